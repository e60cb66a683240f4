//! Every way by which a member event becomes a part of the room, and the verdict that is given to
//! it: of the server that the room names now, or of another, or none at all.

use matrix_knock::RoomVersion;
use matrix_knock::auth::AuthStatus;
use matrix_knock::event::{Event as _, MAX_SUBMITTED_BYTES, Pdu, SignError, SignedEvent, sign_event};
use matrix_knock::machine::{Machine as _, Want};
use matrix_knock::policy::{PolicyRefusal, PolicyVerdict};
use matrix_knock::receipt::{AuthEventRef, Outcome, ReceiptError, SoftFailure, States};
use matrix_knock::resident::answer::{Action, Answered, CountersignedInvite, Inviting};
use matrix_knock::resident::submission::SendKnock;
use matrix_knock::resident::{ByHost, Decision, HostError, LocalEvent, MakeKnock, MakeLeave, Refusal};
use matrix_knock::state::StateMap;
use matrix_knock::template::Details;
use matrix_knock::wire::HttpResponse;
use matrix_knock::{Ed25519, error::ErrorResponse};
use serde_json::{Value, json};

use crate::knocker::countersign;
use crate::room::{ALICE, ANSWERS, AllKeys, HERE, KAY, Room, THEN, THERE, key, name, versions};
use crate::server::{KEY_ID, P, Q, another, naming, server, signature, signed};

const LEE: &str = "@lee:a.example";
const NOW: u64 = THEN + 60_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    /// A knock of another server.
    Submission,
    LocalKnock,
    LocalLeave,
    /// To a user of this server.
    LocalAnswer(Action),
    /// To a user of another server: sent, appended.
    Answer(Action),
    /// The invite of a user of another server, countersigned.
    Append,
    /// In a transaction.
    Receipt,
    /// An event of another type, made by the host.
    ByHost,
}

impl Gate {
    pub(crate) fn all() -> Vec<Self> {
        let answers = ANSWERS.into_iter().flat_map(|action| [Self::LocalAnswer(action), Self::Answer(action)]);
        let others = [Self::Submission, Self::LocalKnock, Self::LocalLeave, Self::Append, Self::Receipt, Self::ByHost];
        others.into_iter().chain(answers).collect()
    }

    /// The room before the event.
    pub(crate) fn room(self, version: RoomVersion) -> Room {
        let mut room = Room::new(version, "knock");
        let (user, before) = match self {
            Self::Submission | Self::LocalKnock | Self::Receipt | Self::ByHost => return room,
            Self::LocalLeave => (LEE, "knock"),
            Self::LocalAnswer(action) => (LEE, action.answers().as_str()),
            Self::Answer(action) => (KAY, action.answers().as_str()),
            Self::Append => (KAY, "knock"),
        };
        room.member(if before == "knock" { user } else { ALICE }, user, before);
        room
    }

    /// The event as it is shown to the policy server.
    pub(crate) fn event(self, room: &Room) -> String {
        match self {
            Self::Submission | Self::Receipt => knock(room).into_text(),
            Self::LocalKnock => local_knock(room).text().to_owned(),
            Self::LocalLeave => local_leave(room).text().to_owned(),
            Self::ByHost => by_host(room).text().to_owned(),
            Self::LocalAnswer(action) => room.answer((action, ALICE, LEE), &details(), NOW).unwrap().text().to_owned(),
            Self::Answer(action) => room.answer((action, ALICE, KAY), &details(), NOW).unwrap().text().to_owned(),
            Self::Append => countersigned(room, room, PolicyVerdict::NotNamed).event().text().to_owned(),
        }
    }

    /// What comes out behind it: the event as it is stored and sent. It was made in the room as it
    /// was `before`.
    pub(crate) fn pass(self, before: &Room, now: &Room, verdict: PolicyVerdict) -> Result<String, Stop> {
        let state = now.state();
        Ok(match self {
            Self::Submission => submitted(before, &state, verdict)?,
            Self::LocalKnock => local_knock(before).accept(&state, verdict)?.into_text(),
            Self::LocalLeave => local_leave(before).accept(&state, verdict)?.into_text(),
            Self::ByHost => by_host(before).accept_by_host(&state, verdict)?.into_text(),
            Self::LocalAnswer(action) => answered(before, (action, LEE), now, verdict)?,
            Self::Answer(action) => answered(before, (action, KAY), now, verdict)?,
            Self::Append => {
                let invite = countersigned(before, before, PolicyVerdict::NotNamed).with_verdict(verdict);
                invite.accept(&state)?.into_text()
            }
            Self::Receipt => received(before, now, verdict)?,
        })
    }
}

/// Why it does not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    Refused(PolicyRefusal),
    OtherVerdict,
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Policy(refusal) => Self::Refused(refusal),
            Refusal::Host(HostError::PolicyServer) => {
                // Nobody is told of it as a refusal of the room.
                assert_eq!(refusal.to_response().status(), 500);
                Self::OtherVerdict
            }
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn details() -> Details {
    Details { reason: Some("Gate".to_owned()), ..Details::default() }
}

/// As another server sends it.
fn knock(room: &Room) -> SignedEvent {
    let template = room.knock_template(KAY, THERE);
    let event: Value = template.parse().unwrap();
    sign_event(room.version, &event["event"].to_string(), name(THERE), &key(THERE)).unwrap()
}

impl Room {
    fn knock_template(&self, user: &str, origin: &str) -> String {
        let request = MakeKnock::new(self.room_id(), user, name(origin), [self.version.as_str()]);
        let state = self.state();
        let approved = request.check(&self.resident(), &state).unwrap().decide(Decision::Admit).unwrap();
        approved.template(&state, &[self.last()], NOW).unwrap().to_response()
    }
}

fn local_knock(room: &Room) -> matrix_knock::resident::LocalEvent<matrix_knock::resident::Knock> {
    let request = MakeKnock::new(room.room_id(), LEE, name(HERE), [room.version.as_str()]);
    let state = room.state();
    let approved = request.check(&room.resident(), &state).unwrap().decide(Decision::Admit).unwrap();
    approved.sign(&state, &details(), &[room.last()], NOW, &key(HERE)).unwrap()
}

fn local_leave(room: &Room) -> matrix_knock::resident::LocalEvent<matrix_knock::resident::Leave> {
    let request = MakeLeave::new(room.room_id(), LEE, name(HERE));
    let state = room.state();
    let approved = request.check(&room.resident(), &state).unwrap().decide(Decision::Admit).unwrap();
    approved.sign(&state, &details(), &[room.last()], NOW, &key(HERE)).unwrap()
}

fn by_host(room: &Room) -> LocalEvent<ByHost> {
    let event = topic(room, &json!({ "topic": "Gate" }));
    LocalEvent::sign_by_host(room.version, &event.to_string(), name(HERE), &key(HERE)).unwrap()
}

/// An event that the library has no step for.
fn topic(room: &Room, content: &Value) -> Value {
    json!({ "type": "m.room.topic", "state_key": "", "sender": ALICE, "content": content, "room_id": room.room_id().as_str(),
        "origin_server_ts": NOW, "depth": 9, "auth_events": [], "prev_events": [room.last().event_id.as_str()] })
}

/// What the host makes is signed only if other servers can take it.
#[test]
fn events_that_the_host_makes() {
    for &version in versions() {
        let room = Room::new(version, "knock");
        let sign = |event: &Value| {
            let text = event.to_string();
            LocalEvent::sign_by_host(version, &text, name(HERE), &key(HERE)).map(|event| event.text().len())
        };
        let signed = by_host(&room);
        let event: Value = signed.text().parse().unwrap();
        assert_eq!(event["content"], json!({ "topic": "Gate" }));
        assert!(event["signatures"][HERE].is_object());
        assert_eq!(signed.formatted().unwrap().event_id(), signed.event_id());

        // The longest that other servers can still add to.
        let length = sign(&topic(&room, &json!({ "topic": "" }))).unwrap();
        let fits = MAX_SUBMITTED_BYTES - length;
        assert_eq!(sign(&topic(&room, &json!({ "topic": "x".repeat(fits) }))), Ok(MAX_SUBMITTED_BYTES));
        assert_eq!(sign(&topic(&room, &json!({ "topic": "x".repeat(fits + 1) }))), Err(Refusal::TooLarge));

        let refused = |event: &Value| sign(event).unwrap_err();
        // Versions 3 to 5 take any number.
        if version.rules().strict_canonical_json {
            let float = refused(&topic(&room, &json!({ "topic": 0.5 })));
            assert!(matches!(float, Refusal::Format(_)), "{float:?}");
            assert_eq!(float.to_response().status(), 400);
        }
        let mut no_sender = topic(&room, &json!({}));
        no_sender.as_object_mut().unwrap().remove("sender");
        assert!(matches!(refused(&no_sender), Refusal::Format(_)));
        // That would be the host's own mistake.
        let mut other_hash = topic(&room, &json!({}));
        other_hash["hashes"] = json!({ "sha256": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" });
        assert_eq!(refused(&other_hash), Refusal::Host(HostError::Sign(SignError::Hash)));
        assert_eq!(refused(&other_hash).to_response().status(), 500);
    }
}

fn submitted(before: &Room, now: &StateMap<Pdu<'_>>, verdict: PolicyVerdict) -> Result<String, Refusal> {
    let knock = knock(before);
    let request = SendKnock::new(before.room_id(), knock.event_id(), name(THERE), knock.text());
    let state = before.state();
    let checked = request.check(&before.resident(), &state)?.verify(&AllKeys, &Ed25519, NOW)?;
    let known = before.events.iter().map(|(id, text)| AuthEventRef {
        event: Pdu::parse(text).unwrap().with_event_id(id.as_str()),
        status: AuthStatus::Accepted,
    });
    let auth_events = checked.match_auth_events(known)?;
    let accepted = checked.authorize(&auth_events, &state, now)?.accept(now, verdict, Decision::Admit)?;
    let stored = accepted.to_stored().unwrap();
    let text = accepted.to_text().unwrap();
    assert_eq!((stored.text(), stored.event_id()), (&*text, Some(knock.event_id())));
    Ok(text)
}

fn answered(
    before: &Room,
    (action, target): (Action, &str),
    now: &Room,
    verdict: PolicyVerdict,
) -> Result<String, Refusal> {
    let signed = before.answer((action, ALICE, target), &details(), NOW).unwrap();
    Ok(match now.accept(signed, verdict)? {
        Answered::Append(event) => event.into_event().into_text(),
        Answered::Invite(invite) => invite.event().text().to_owned(),
    })
}

/// An invite that was sent with this verdict, when the room was as it was then.
pub(crate) fn countersigned(before: &Room, then: &Room, verdict: PolicyVerdict) -> CountersignedInvite {
    let signed = before.answer((Action::Accept, ALICE, KAY), &details(), NOW).unwrap();
    let Answered::Invite(invite) = then.accept(signed, verdict).unwrap() else { panic!("no invite") };
    asked(&mut then.invite(invite))
}

/// Asked for by way of the other server; stored and read again after each step.
pub(crate) fn asked(inviting: &mut Inviting) -> CountersignedInvite {
    let (ticket, Want::Request(request)) = inviting.want() else { panic!("no request") };
    let response = countersign(&request, None).unwrap().1.to_response();
    inviting.reply(ticket, HttpResponse::new(200, &response).into(), NOW).unwrap();
    *inviting = stored(inviting);
    let (ticket, _) = inviting.want();
    inviting.keys(ticket, &AllKeys, &Ed25519, NOW).unwrap();
    *inviting = stored(inviting);
    inviting.outcome().unwrap().unwrap()
}

fn stored(inviting: &Inviting) -> Inviting {
    let again: Inviting = serde_json::from_str(&serde_json::to_string(inviting).unwrap()).unwrap();
    assert_eq!(again, *inviting);
    again
}

fn received(before: &Room, now: &Room, verdict: PolicyVerdict) -> Result<String, Stop> {
    let text = knock(before).into_text();
    let received = before.received(&text);
    let known = before.events.iter().map(|(id, text)| AuthEventRef {
        event: Pdu::parse(text).unwrap().with_event_id(id.as_str()),
        status: AuthStatus::Accepted,
    });
    let auth_events = received.match_auth_events(known).unwrap();
    let states = States { before: &before.state(), current: &now.state() };
    match received.check(&auth_events, states, &Ed25519, verdict) {
        Ok(Outcome::Accepted(signature)) => Ok(received.to_text(signature.as_ref()).unwrap()),
        Ok(Outcome::SoftFailed(SoftFailure::PolicyServer(refusal))) => Err(Stop::Refused(refusal)),
        Err(ReceiptError::PolicyServer) => Err(Stop::OtherVerdict),
        other => panic!("{other:?}"),
    }
}

/// What the host gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Given {
    NotNamed,
    NotJoined(&'static str, u8),
    /// By the key of this server, this event.
    Signed(&'static str, u8),
    /// By the right one, another event.
    SignedOther,
    NoAnswer,
    BadSignature,
    Refused,
}

const GIVEN: [Given; 12] = [
    Given::NotNamed,
    Given::NotJoined(P, 1),
    Given::NotJoined(P, 2),
    Given::NotJoined(Q, 1),
    Given::Signed(P, 1),
    Given::Signed(P, 2),
    Given::Signed(Q, 1),
    Given::Signed(Q, 2),
    Given::SignedOther,
    Given::NoAnswer,
    Given::BadSignature,
    Given::Refused,
];

fn refusal() -> PolicyRefusal {
    let response = ErrorResponse::new(matrix_knock::error::Errcode::LimitExceeded, "Slowly");
    PolicyRefusal::Refused(Box::new(response))
}

impl Given {
    fn verdict(self, version: RoomVersion, text: &str, other: &str) -> PolicyVerdict {
        match self {
            Self::NotNamed => PolicyVerdict::NotNamed,
            Self::NotJoined(name, key) => PolicyVerdict::NotJoined(server(name, key)),
            Self::Signed(name, key) => PolicyVerdict::Signed(signature(version, text, name, key)),
            Self::SignedOther => PolicyVerdict::Signed(signature(version, other, P, 1)),
            Self::NoAnswer => PolicyVerdict::Refused(PolicyRefusal::NoAnswer),
            Self::BadSignature => PolicyVerdict::Refused(PolicyRefusal::BadSignature),
            Self::Refused => PolicyVerdict::Refused(refusal()),
        }
    }

    /// By the text: whom the room names now has to have signed, unless nobody of that server is in
    /// the room.
    fn expected(self, named: Option<(&str, u8)>) -> Result<Option<(&'static str, u8)>, Stop> {
        match (self, named) {
            // Nobody has to. A signature may stay.
            (Self::Signed(name, key), None) => Ok(Some((name, key))),
            (_, None) => Ok(None),
            (Self::Signed(name, key), Some(named)) if (name, key) == named => Ok(Some((name, key))),
            (Self::NotJoined(name, key), Some(named)) if (name, key) == named => Ok(None),
            (Self::NoAnswer, Some(_)) => Err(Stop::Refused(PolicyRefusal::NoAnswer)),
            (Self::BadSignature, Some(_)) => Err(Stop::Refused(PolicyRefusal::BadSignature)),
            (Self::Refused, Some(_)) => Err(Stop::Refused(refusal())),
            (Self::NotNamed | Self::NotJoined(..) | Self::Signed(..) | Self::SignedOther, Some(_)) => {
                Err(Stop::OtherVerdict)
            }
        }
    }
}

#[test]
fn every_verdict_at_every_gate() {
    let mut cells = 0;
    for &version in versions() {
        for gate in Gate::all() {
            let room = gate.room(version);
            let text = gate.event(&room);
            let other = another(version, &text);
            for named in [None, Some((P, 1)), Some((P, 2)), Some((Q, 1))] {
                let now = named.map_or_else(|| room.clone(), |(server, key)| naming(&room, server, key));
                for given in GIVEN {
                    let verdict = given.verdict(version, &text, &other);
                    let found = gate.pass(&room, &now, verdict);
                    let expected = given.expected(named).map(|by| {
                        let mut event: Value = text.parse().unwrap();
                        if let Some((server, key)) = by {
                            event["signatures"][server] = json!({
                                KEY_ID: signed(version, &text, server, key)[server][KEY_ID]
                            });
                        }
                        event
                    });
                    let found = found.map(|text| text.parse::<Value>().unwrap());
                    assert_eq!(found, expected, "{version} {gate:?} {named:?} {given:?}");
                    cells += 1;
                }
            }
        }
    }
    assert_eq!(cells, 6 * 16 * 4 * 12);
}

/// Behind the policy server the event is the same: its ID, and what its sender has signed.
#[test]
fn the_signature_is_added_and_the_rest_stays() {
    for &version in versions() {
        for gate in Gate::all() {
            let room = gate.room(version);
            let (text, now) = (gate.event(&room), naming(&room, P, 1));
            let verdict = PolicyVerdict::Signed(signature(version, &text, P, 1));
            let passed = gate.pass(&room, &now, verdict).unwrap();
            let id = matrix_knock::event::event_id(version, &text);
            assert_eq!(matrix_knock::event::event_id(version, &passed), id);
            // Another server of the room need not ask.
            let event = Pdu::parse(&passed).unwrap().check_format(version).unwrap();
            let found = server(P, 1).signature_of(&event, &Ed25519).unwrap();
            assert_eq!((found.event_id(), found.server()), (id.unwrap().as_str(), &server(P, 1)));
            let signers: Value = passed.parse().unwrap();
            let signers: Vec<_> = signers["signatures"].as_object().unwrap().keys().map(String::as_str).collect();
            let sender = event.pdu().sender().split_once(':').unwrap().1;
            let expected: &[&str] = match gate {
                Gate::Append => &[HERE, THERE, P],
                _ => &[sender, P],
            };
            assert_eq!(signers, expected);
        }
    }
}
