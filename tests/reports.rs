//! Reports of bugs in other projects, tried on this crate: each line of `vectors/reports.jsonl`, by
//! the kind of mistake that it stands for.
#![cfg(all(feature = "ed25519", feature = "serde_json"))]
#![expect(clippy::expect_used, reason = "a test that cannot be set up fails")]

use std::borrow::Cow;
use std::io::Write as _;
use std::process::{Command, Stdio};

use matrix_knock::RoomVersion;
use matrix_knock::client::{KnockErrorKind, KnockResponse};
use matrix_knock::error::Errcode;
use matrix_knock::event::{Ed25519Key, Pdu, Verify};
use matrix_knock::id::{EventId, OwnedServerName, RoomId, ServerName, UserId};
use matrix_knock::knocking::{Details, Failure, Intent, Knocking, OwnMembership, Start};
use matrix_knock::machine::{Machine as _, Want};
use matrix_knock::pending::{Knocker, PendingKnocks, Update};
use matrix_knock::policy::{PolicyRefusal, PolicyVerdict};
use matrix_knock::resident::{Decision, HostError, LocalEvent, MakeKnock, Refusal, Residence, ResidentRoom};
use matrix_knock::state::StateMap;
use matrix_knock::sync::{KnockSection, Knockable, summary_is_knockable};
use matrix_knock::template::PrevEvent;
use matrix_knock::wire::HttpResponse;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

const REPORTS: &str = include_str!("vectors/reports.jsonl");
const NOW: u64 = 1_700_000_000_000;

/// A report: how it is tried, with what, and what ought to come of it.
#[derive(Debug, Deserialize)]
struct Report<'a> {
    command: Cow<'a, str>,
    #[serde(borrow)]
    line: &'a RawValue,
    expected: Value,
}

impl Report<'_> {
    fn value(&self) -> Value {
        serde_json::from_str(self.line.get()).expect("JSON")
    }

    /// The answer of the tool.
    fn answer(&self) -> Value {
        answer(&self.command, self.line.get())
    }
}

/// The report of this number, which is tried so.
fn report(number: usize, command: &str) -> Report<'static> {
    let report: Report<'_> = serde_json::from_str(REPORTS.lines().nth(number).expect("a line")).expect("a report");
    assert_eq!(report.command, command);
    report
}

/// What the tool answers to a line: one line, without errors.
fn answer(command: &str, line: &str) -> Value {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_knock"));
    tool.arg(command).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut tool = tool.spawn().expect("the tool starts");
    let mut input = tool.stdin.take().expect("a pipe");
    input.write_all(line.as_bytes()).expect("it reads");
    drop(input);
    let output = tool.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]));
    let output = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!((output.ends_with('\n'), output.lines().count()), (true, 1));
    serde_json::from_str(&output).expect("JSON")
}

/// `expected` with these members beside its own.
fn and(expected: &Value, members: &Value) -> Value {
    let mut all = expected.clone();
    let object = all.as_object_mut().expect("an object");
    object.extend(members.as_object().expect("an object").clone());
    all
}

#[test]
fn there_are_no_others() {
    assert_eq!(REPORTS.lines().count(), 11);
}

#[test]
fn one_bad_value_spoils_the_container() {
    let report = report(0, "api sync::KnockSection::parse");
    let text = report.value();
    let text = text.as_str().expect("the text of a section");
    assert!(text.contains(r#""x\ud83d""#), "half of a pair, escaped");
    let section = KnockSection::parse(text).expect("a section");
    let shown: Vec<_> = section.rooms().map(|(room_id, room)| (room_id, room.state().to_vec())).collect();
    let name = r#"{"content":{"name":"Good"},"sender":"@a:a.example","state_key":"","type":"m.room.name"}"#.to_owned();
    let name = name.try_into().expect("an event");
    assert_eq!(shown, [("!bad:b.example", Vec::new()), ("!good:a.example", vec![name])]);
    // By the tool too.
    let line = json!({ "id": 1, "section": text }).to_string();
    let name =
        json!({ "content": { "name": "Good" }, "sender": "@a:a.example", "state_key": "", "type": "m.room.name" });
    let rooms = json!({ "!bad:b.example": [], "!good:a.example": [name] });
    assert_eq!(answer("knock-section", &line), json!({ "id": 1, "rooms": rooms }));
}

#[test]
fn a_wrong_hash_taken_for_a_forgery() {
    let report = report(1, "filter-state");
    assert_eq!(report.answer(), and(&report.expected, &json!({ "unverified": [] })));
}

/// The report expects 200 to an event of 65,530 bytes. Since then a submitted event has to leave
/// room for what comes around it, and may have 65,408 bytes: it is 413, with `unsigned` and without.
/// Whoever judges other people's events takes it (and does so with `unsigned` too).
#[test]
fn unsigned_treated_as_part_of_the_event_when_it_is_measured() {
    let report = report(2, "send-knock");
    assert_eq!(report.expected, json!({ "id": 1, "status": 200 }));
    let with = report.value();
    let mut without = with.clone();
    let removed = without["body"].as_object_mut().expect("an event").remove("unsigned");
    let bytes = [&with, &without].map(|line| line["body"].to_string().len());
    assert_eq!((removed, bytes), (Some(json!({ "age": 1234 })), [65_554, 65_530]));
    for line in [&with, &without] {
        let body = json!({ "errcode": "M_TOO_LARGE", "error": "The event is too large" });
        let reason = "the event would be too large";
        let too_large = json!({ "id": 1, "status": 413, "body": body, "reason": reason });
        assert_eq!(answer("send-knock", &line.to_string()), too_large);
        let verify = json!({ "id": 1, "room_version": "10", "event": line["body"], "keys": line["keys"] });
        let ok = json!({ "id": 1, "verdict": "ok", "reason": null });
        assert_eq!(answer("verify", &verify.to_string()), ok);
    }
}

#[test]
fn unsigned_treated_as_part_of_the_event_when_it_is_read() {
    let report = report(3, "verify");
    assert_eq!(report.value()["event"]["unsigned"], json!({ "age": 1.5 }));
    assert_eq!(report.answer(), report.expected);
}

#[test]
fn an_index_that_knows_events_by_id_alone() {
    let report = report(4, "api pending::PendingKnocks::apply, twice");
    let events: Vec<&RawValue> = serde_json::from_str(report.line.get()).expect("events");
    let [knock, redacted] = events[..] else { panic!("two events") };
    let mut knocks = PendingKnocks::new();
    let said = |knocks: &PendingKnocks| {
        let said = knocks.knocker("@kay:b.example").map(|knocker: &Knocker| {
            (
                knocker.event_id().to_owned(),
                knocker.reason().map(str::to_owned),
                knocker.displayname().map(str::to_owned),
            )
        });
        said.expect("who knocks")
    };
    let mut apply = |event: &'static str| {
        let update = knocks.apply(&Pdu::parse_stored(event).expect("an event"), 5).expect("an ID");
        (update, said(&knocks))
    };
    let all = ("$k".to_owned(), Some("abusive text".to_owned()), Some("abusive name".to_owned()));
    let nothing = ("$k".to_owned(), None, None);
    assert_eq!(apply(knock.get()), (Update::Knocked, all));
    assert_eq!(apply(redacted.get()), (Update::Redacted, nothing.clone()));
    // Nothing comes back.
    assert_eq!(apply(knock.get()), (Update::Nothing, nothing.clone()));
    assert_eq!(said(&PendingKnocks::from_state(RoomVersion::V10, [redacted.get()])), nothing);
}

/// The auth events are looked up by the IDs that the event names: the user's own member event among
/// them.
#[test]
fn what_was_not_looked_up_taken_for_absent() {
    let report = report(5, "README send_knock (the tool answers 200)");
    let line = report.value();
    assert_eq!(line["body"]["auth_events"].as_array().map(Vec::len), Some(4));
    let shown = |event: &Value| {
        let mut event = event.clone();
        event.as_object_mut().expect("an event").remove("event_id");
        event
    };
    let body = json!({ "knock_room_state": [shown(&line["state"][0]), shown(&line["state"][2])] });
    assert_eq!(answer("send-knock", report.line.get()), and(&report.expected, &json!({ "body": body })));
}

#[test]
fn own_rule_not_followed() {
    let report = report(6, "authorize");
    assert_eq!(report.answer(), report.expected);
}

#[test]
fn the_status_taken_for_more_than_it_says_by_the_client() {
    let report = report(7, "api client::KnockResponse::parse");
    let line = report.value();
    let body = line["body"].as_str().expect("a body");
    assert_eq!((&line["status"], &line["retry_after"]), (&json!(403), &Value::Null));
    let error = KnockResponse::parse(HttpResponse { status: 403, retry_after: None, body }).expect_err("an error");
    assert_eq!((error.kind(), error.status(), error.retry_after_ms()), (&KnockErrorKind::Other, 403, None));
    let said = (error.errcode(), error.error(), error.extra());
    let extra = r#"{"consent_uri":"https://a.example/c"}"#;
    assert_eq!(said, (Some("M_CONSENT_NOT_GIVEN"), Some("Agree first"), Some(extra)));
    assert_eq!(error.to_string(), "refused (status 403)");
}

#[test]
fn the_status_taken_for_more_than_it_says_by_the_server() {
    let report = report(8, "api handshake::knocking (one server, make_knock)");
    let line = report.value();
    assert_eq!(line["status"], 404);
    let body = line["body"].as_str().expect("a body");
    let servers = [OwnedServerName::parse("a.example").expect("a server name")];
    let intent = Intent {
        room_id: RoomId::parse("!r:a.example").expect("a room ID"),
        user_id: UserId::parse("@kay:b.example").expect("a user ID"),
        own: OwnMembership::OutOfBand,
        servers: &servers,
        versions: &[RoomVersion::V10],
        details: &Details::default(),
    };
    let Start::Remote(mut knocking) = Knocking::start(&intent) else { panic!("a server to ask") };
    let (ticket, _) = knocking.want();
    knocking.reply(ticket, HttpResponse::new(404, body).into(), NOW).expect("it is asked for");
    assert_eq!(knocking.want().1, Want::Ended);
    let failed = knocking.outcome().expect("an end").expect_err("a failure");
    assert_eq!((&failed.failure, &failed.perhaps), (&Failure::NoKnocking, &None));
    assert_eq!(failed.failure.to_string(), "the servers of the room do not have knocking");
    let response = failed.to_response();
    assert_eq!((response.status(), response.errcode()), (404, &Errcode::Unrecognized));
    assert_eq!(response.to_string(), r#"{"errcode":"M_UNRECOGNIZED","error":"Unrecognized request"}"#);
}

/// The report expects `true`; since then there is a third answer, by which knocking is offered.
#[test]
fn not_known_taken_for_no() {
    let report = report(9, "api sync::summary_is_knockable");
    assert_eq!(report.expected, true);
    let line = report.value();
    let (version, rule) = (line["room_version"].as_str(), line["join_rule"].as_str());
    assert_eq!((version, rule), (Some(""), Some("knock")));
    for version in [version, None] {
        let knockable = summary_is_knockable(version, rule, &RoomVersion::ALL);
        assert_eq!((knockable, knockable.is_worth_offering()), (Knockable::NotKnown, true));
        let line = json!({ "id": 1, "room_version": version, "join_rule": rule }).to_string();
        assert_eq!(answer("knockable", &line), json!({ "id": 1, "knockable": null }));
    }
}

#[test]
fn a_local_event_past_the_policy_server() {
    let report = report(10, "api resident::MakeKnock … Admitted::sign (a local user)");
    let line = report.value();
    let events: Vec<String> = line["state"].as_array().expect("events").iter().map(ToString::to_string).collect();
    let state: StateMap<Pdu<'_>> = events.iter().map(|text| Pdu::parse_stored(text).expect("an event")).collect();
    let own = ServerName::parse(line["own"].as_str().expect("a name")).expect("a server name");
    let user = line["user_id"].as_str().expect("a user ID");
    let room_id = RoomId::parse("!r:a.example").expect("a room ID");
    let room = ResidentRoom { room_id, version: RoomVersion::V10, residence: Residence::Joined };
    let request = MakeKnock::new(room_id, user, own, ["10"]);
    let approved = request.check(&room, &state).expect("allowed").decide(Decision::Admit).expect("granted");
    let key = Ed25519Key::from_seed("ed25519:1", &[1; 32]).expect("a key ID");
    let last = [PrevEvent {
        event_id: EventId::parse("$NNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNN").expect("an ID"),
        depth: 5,
    }];
    // What is signed is no event to send yet: there is no way to one but `accept`.
    let local: LocalEvent<_> = approved.sign(&state, &Details::default(), &last, NOW, &key).expect("an event");
    let server = local.policy_server(&state).expect("a whole state").expect("the room names one");
    assert_eq!(server.name(), "policy.example");
    let refused = |refusal: PolicyRefusal| (PolicyVerdict::Refused(refusal.clone()), Err(Refusal::Policy(refusal)));
    let (verdict, expected) = refused(PolicyRefusal::NoAnswer);
    assert_eq!(local.clone().accept(&state, verdict), expected);
    assert_eq!(local.clone().accept(&state, PolicyVerdict::NotNamed), Err(HostError::PolicyServer.into()));
    let (id, text) = (local.event_id().to_owned(), local.text().to_owned());
    let signature = "A".repeat(86);
    let body = format!(r#"{{"policy.example":{{"ed25519:policy_server":"{signature}"}}}}"#);
    let formatted = local.formatted().expect("an event");
    let verdict = server.read_answer(&formatted, Some(HttpResponse::new(200, &body)), &Credulous).into();
    let event = local.accept(&state, verdict).expect("an event");
    let mut signed: Value = serde_json::from_str(&text).expect("an event");
    signed["signatures"]["policy.example"]["ed25519:policy_server"] = signature.into();
    let found: Value = serde_json::from_str(event.text()).expect("an event");
    assert_eq!((event.event_id(), found), (&*id, signed));
}

/// Takes every signature.
struct Credulous;

impl Verify for Credulous {
    fn verify(&self, _: &[u8; 32], _: &[u8], _: &[u8; 64]) -> bool {
        true
    }
}
