//! What an error of a server comes to: every `errcode` of the specification, with every status that
//! says something, at both ends. The code counts before the status, a code that is not known says
//! what it says and nothing else, and the text, the waiting time and the other properties of the
//! server that said no reach the client.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#standard-error-response>
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up fails")]

#[path = "errcodes/table.rs"]
mod table;

use matrix_knock::RoomVersion;
use matrix_knock::client::{KnockErrorKind, KnockResponse};
use matrix_knock::error::{Errcode, ErrorResponse};
use matrix_knock::event::Pdu;
use matrix_knock::id::{KeyId, OwnedServerName, RoomId, ServerName, UserId};
use matrix_knock::knocking::{Details, Failed, Intent, Knocking, OwnMembership, Start};
use matrix_knock::machine::{ErrorReply, Machine as _, Reply, Want};
use matrix_knock::resident::{Decision, MakeKnock, Refusal, Residence, ResidentRoom};
use matrix_knock::state::StateMap;
use matrix_knock::wire::HttpResponse;
use serde_json::{Map, Value, json};
use table::{CODES, Means, OUR_TEXTS, Outcome, STATUSES, at_client, at_make_knock, at_send_knock};

const NOW: u64 = 1_700_000_000_000;
/// What another server says to people.
const THEIR_TEXT: &str = "Geht nicht: \"zu\"";

/// An error as it comes: its parts, and what else is in the body.
#[derive(Debug, Clone)]
struct Error {
    status: u16,
    errcode: Option<&'static str>,
    /// Whether there is more than the code: a text, a version, a waiting time, other properties.
    is_full: bool,
    retry_after: Option<&'static str>,
}

/// The properties that no error has by the specification's scheme.
fn others() -> Value {
    json!({ "admin_contact": "mailto:a@a.example", "org.example.x": [1, { "y": null }], "soft_logout": false })
}

impl Error {
    fn body(&self) -> String {
        let mut body = Map::new();
        body.extend(self.errcode.map(|errcode| ("errcode".to_owned(), json!(errcode))));
        if self.is_full {
            body.extend([
                ("error".to_owned(), json!(THEIR_TEXT)),
                ("room_version".to_owned(), json!("11")),
                ("retry_after_ms".to_owned(), json!(2500)),
            ]);
            body.extend(others().as_object().expect("an object").clone());
        }
        Value::Object(body).to_string()
    }

    /// The header counts before the body.
    fn retry_after_ms(&self) -> Option<u64> {
        let in_header = self.retry_after.map(|seconds| seconds.parse::<u64>().expect("seconds").saturating_mul(1000));
        in_header.or(self.is_full.then_some(2500))
    }

    fn text(&self) -> Option<&'static str> {
        self.is_full.then_some(THEIR_TEXT)
    }

    fn version(&self) -> Option<&'static str> {
        self.is_full.then_some("11")
    }

    fn extra(&self) -> Option<String> {
        self.is_full.then(|| others().to_string())
    }
}

/// In which form the host gives the error to the machine.
#[derive(Debug, Clone, Copy)]
enum Form {
    Http,
    Parts,
}

fn give(machine: &mut Knocking, error: &Error, form: Form) {
    let body = error.body();
    let reply = match form {
        Form::Http => {
            Reply::Response(HttpResponse { status: error.status, retry_after: error.retry_after, body: &body })
        }
        Form::Parts => Reply::Error(ErrorReply {
            status: error.status,
            errcode: error.errcode,
            error: error.text(),
            room_version: error.version(),
            retry_after_ms: error.retry_after_ms(),
            body: Some(&body),
        }),
    };
    machine.reply(machine.want().0, reply, NOW).expect("it is asked for");
}

/// A machine that asks one server.
fn machine() -> Knocking {
    let intent = Intent {
        room_id: RoomId::parse("!r:a.example").expect("a room ID"),
        user_id: UserId::parse("@kay:b.example").expect("a user ID"),
        own: OwnMembership::OutOfBand,
        servers: &[OwnedServerName::parse("a.example").expect("a server name")],
        versions: &[RoomVersion::V7, RoomVersion::V10],
        details: &Details::default(),
    };
    match Knocking::start(&intent) {
        Start::Remote(machine) => *machine,
        other => panic!("{other:?}"),
    }
}

/// A machine that has sent its knock.
fn sending() -> Knocking {
    let mut machine = machine();
    let event = json!({
        "type": "m.room.member", "room_id": "!r:a.example", "sender": "@kay:b.example", "state_key": "@kay:b.example",
        "content": { "membership": "knock" }, "auth_events": ["$CCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCC"],
        "prev_events": ["$NNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNN"], "depth": 6,
    });
    let template = json!({ "room_version": "10", "event": event }).to_string();
    machine.reply(machine.want().0, HttpResponse::new(200, &template).into(), NOW).expect("it is asked for");
    let key_id = KeyId::parse("ed25519:1").expect("a key ID");
    machine.signature(machine.want().0, key_id, &[7; 64]).expect("it is asked for");
    assert!(matches!(machine.want().1, Want::Request(_)));
    machine
}

/// All of what the failure says.
fn check(error: &Error, failed: &Failed, expected: &Outcome) {
    let Outcome { failure, status, errcode, said, .. } = expected;
    let passes = |is_full: bool| *said && is_full;
    let text = error.text().filter(|_| passes(true));
    let extra = error.extra().filter(|_| passes(true));
    assert_eq!(&failed.failure, failure, "{error:?}");
    assert_eq!((failed.error(), failed.extra()), (text, extra.as_deref()), "{error:?}");

    let (_, ours) = OUR_TEXTS.iter().find(|(name, _)| *name == expected.text).expect("a text");
    let retry_after_ms = error.retry_after_ms().filter(|_| *status == 429);
    let room_version = (errcode == "M_INCOMPATIBLE_ROOM_VERSION").then(|| error.version()).flatten();
    let room_version = room_version.filter(|_| *status == 400);
    let mut body = json!({ "errcode": errcode, "error": text.unwrap_or(ours) });
    let members = body.as_object_mut().expect("an object");
    members.extend(retry_after_ms.map(|retry_after_ms| ("retry_after_ms".to_owned(), json!(retry_after_ms))));
    members.extend(room_version.map(|room_version| ("room_version".to_owned(), json!(room_version))));
    members.extend(extra.iter().flat_map(|_| others().as_object().expect("an object").clone()));
    let response = failed.to_response();
    assert_eq!((response.status(), response.to_string()), (*status, body.to_string()), "{error:?}");
    assert_eq!(response.retry_after(), retry_after_ms.map(|ms| ms.div_ceil(1000)), "{error:?}");
    assert_eq!(ErrorResponse::from(failed.clone()), response);

    // And without what the other server said.
    let plain = failed.failure.to_response();
    assert_eq!((plain.status(), plain.error(), plain.extra()), (*status, *ours, None), "{error:?}");
    assert_eq!(plain.errcode().as_str(), errcode, "{error:?}");

    // What the client reads of it, at the other end.
    let header = response.retry_after().map(|seconds| seconds.to_string());
    let body = response.to_string();
    let answer = HttpResponse { status: *status, retry_after: header.as_deref(), body: &body };
    let read = KnockResponse::parse(answer).expect_err("an error");
    let waiting = retry_after_ms.map(|ms| ms.div_ceil(1000).saturating_mul(1000));
    let means = CODES.iter().find(|(code, _)| code == errcode).map(|(_, means)| *means);
    let kind = at_client(means, *status, room_version, waiting);
    assert_eq!(*read.kind(), kind, "{error:?}");
    assert_eq!((read.errcode(), read.error()), (Some(errcode.as_str()), Some(text.unwrap_or(ours))), "{error:?}");
    assert_eq!((read.extra(), read.retry_after_ms()), (extra.as_deref(), waiting), "{error:?}");
}

/// Every code, and none; every status; all there is in the body, and the code alone; with the
/// header `Retry-After` and without.
fn errors() -> impl Iterator<Item = (Option<Means>, Error)> {
    let codes = CODES.iter().map(|(code, means)| (Some(*code), Some(*means))).chain([(None, None)]);
    codes.flat_map(|(errcode, means)| {
        STATUSES.into_iter().flat_map(move |status| {
            [(true, None), (true, Some("7")), (false, None), (false, Some("0"))]
                .map(|(is_full, retry_after)| (means, Error { status, errcode, is_full, retry_after }))
        })
    })
}

#[test]
fn to_make_knock() {
    let mut cells = 0_u32;
    for (means, error) in errors() {
        let expected = at_make_knock(means, error.status, error.errcode, error.version(), error.retry_after_ms());
        for form in [Form::Http, Form::Parts] {
            let mut machine = machine();
            give(&mut machine, &error, form);
            let failed = machine.outcome().expect("nobody else to ask").expect_err("a failure");
            assert_eq!(failed.perhaps, None);
            check(&error, &failed, &expected);
            cells = cells.saturating_add(1);
        }
    }
    assert_eq!(cells, 70 * 14 * 4 * 2);
}

#[test]
fn to_send_knock() {
    let mut cells = 0_u32;
    let sent = sending();
    for (means, error) in errors() {
        let expected = at_send_knock(means, error.status, error.errcode, error.retry_after_ms());
        for form in [Form::Http, Form::Parts] {
            let mut machine = sent.clone();
            give(&mut machine, &error, form);
            let failed = machine.outcome().expect("nobody else to ask").expect_err("a failure");
            let perhaps = sent.knock().filter(|_| expected.is_silence);
            assert_eq!(failed.perhaps, perhaps, "{error:?}");
            check(&error, &failed, &expected);
            cells = cells.saturating_add(1);
        }
    }
    assert_eq!(cells, 70 * 14 * 4 * 2);
}

#[test]
fn to_a_client() {
    let mut cells = 0_u32;
    for (means, error) in errors() {
        let body = error.body();
        let response = HttpResponse { status: error.status, retry_after: error.retry_after, body: &body };
        let read = KnockResponse::parse(response).expect_err("an error");
        let kind = at_client(means, error.status, error.version(), error.retry_after_ms());
        assert_eq!((read.kind(), read.status()), (&kind, error.status), "{error:?}");
        assert_eq!((read.errcode(), read.error()), (error.errcode, error.text()), "{error:?}");
        assert_eq!(read.extra(), error.extra().as_deref(), "{error:?}");
        assert_eq!(read.retry_after_ms(), error.retry_after_ms(), "{error:?}");
        cells = cells.saturating_add(1);
    }
    assert_eq!(cells, 70 * 14 * 4);
}

/// A host in the room refuses with an error of its own, whatever that is: it goes out as it is, and
/// what of it is not between the servers reaches the client.
#[test]
fn from_a_host() {
    let texts = [
        r#"{"type":"m.room.create","state_key":"","sender":"@a:a.example","content":{"creator":"@a:a.example"}}"#,
        r#"{"type":"m.room.join_rules","state_key":"","sender":"@a:a.example","content":{"join_rule":"knock"}}"#,
    ];
    let state: StateMap<Pdu<'_>> = texts.iter().map(|text| Pdu::parse_stored(text).expect("an event")).collect();
    let room_id = RoomId::parse("!r:a.example").expect("a room ID");
    let room = ResidentRoom { room_id, version: RoomVersion::V10, residence: Residence::Joined };
    let origin = ServerName::parse("b.example").expect("a server name");
    let mut cells = 0_u32;
    for (errcode, means) in CODES {
        for status in STATUSES {
            let extra = others().to_string();
            let response = ErrorResponse::with_status(status, Errcode::from(errcode), THEIR_TEXT);
            let response = response.with_extra(&extra).expect("an object");
            let request = MakeKnock::new(room_id, "@kay:b.example", origin, ["10"]);
            let allowed = request.check(&room, &state).expect("allowed");
            let refusal = allowed.decide(Decision::Refuse(Box::new(response.clone()))).expect_err("a refusal");
            assert_eq!(refusal, Refusal::ByHost(Box::new(response.clone())));
            let sent = refusal.to_response();
            assert_eq!(sent, response);
            let mut body = json!({ "errcode": errcode, "error": THEIR_TEXT });
            body.as_object_mut().expect("an object").extend(others().as_object().expect("an object").clone());
            let body = body.to_string();
            assert_eq!((sent.status(), sent.to_string()), (status, body.clone()));

            let mut machine = machine();
            let ticket = machine.want().0;
            machine.reply(ticket, HttpResponse::new(status, &body).into(), NOW).expect("it is asked for");
            let failed = machine.outcome().expect("nobody else to ask").expect_err("a failure");
            let expected = at_make_knock(Some(means), status, Some(errcode), None, None);
            assert_eq!(failed.failure, expected.failure, "{errcode}, {status}");
            assert_eq!((failed.error(), failed.extra()), (Some(THEIR_TEXT), Some(&*extra)), "{errcode}, {status}");
            cells = cells.saturating_add(1);
        }
    }
    assert_eq!(cells, 69 * 14);
}

/// The three of the reports: with 403 they are not "the room refuses", and arrive as what they are.
#[test]
fn what_is_not_the_room() {
    for errcode in ["M_CONSENT_NOT_GIVEN", "M_RESOURCE_LIMIT_EXCEEDED", "M_USER_DEACTIVATED"] {
        let error = Error { status: 403, errcode: Some(errcode), is_full: true, retry_after: None };
        for mut machine in [machine(), sending()] {
            give(&mut machine, &error, Form::Http);
            let failed = machine.outcome().expect("nobody else to ask").expect_err("a failure");
            let response = failed.to_response();
            assert_eq!((response.status(), response.errcode().as_str()), (403, errcode));
            let body = response.to_string();
            let read = KnockResponse::parse(HttpResponse::new(403, &body)).expect_err("an error");
            assert_eq!((read.kind(), read.errcode()), (&KnockErrorKind::Other, Some(errcode)));
        }
    }
}
