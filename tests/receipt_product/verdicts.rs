//! Check 7: the verdict of the policy server, by the server that the room names now. One that is stale is the host's mistake.

use matrix_knock::event::Pdu;
use matrix_knock::id::OwnedServerName;
use matrix_knock::policy::{PolicyRefusal, PolicyServer, PolicySignature, PolicyVerdict};
use matrix_knock::receipt::{Check, Outcome, ReceiptError, SoftFailure, States};
use matrix_knock::state::StateMap;
use matrix_knock::wire::HttpResponse;
use matrix_knock::{Ed25519, RoomVersion};
use serde_json::json;

use crate::auth_events::is_known;
use crate::room::{Case, Flaws, POLICY, Room, Sent, key, policy_server, refused};

/// What comes of a verdict.
#[derive(Debug, PartialEq)]
enum Comes {
    Accepted,
    AcceptedWithSignature,
    SoftFailed,
    Mistake,
}

/// Another server of the same name: with another key.
fn with_other_key() -> PolicyServer {
    PolicyServer::new(OwnedServerName::parse(POLICY).expect("a name"), key("somebody else").public_key())
}

fn other_server() -> PolicyServer {
    PolicyServer::new(OwnedServerName::parse("q.example").expect("a name"), key(POLICY).public_key())
}

/// A signature under an event, by the server that signs it.
fn signature(room: &Room, sent: &Sent, server: &PolicyServer, signature: &str) -> PolicySignature {
    let event = room.receive(&sent.text).expect("a valid event");
    let answer = json!({server.name().as_str(): {"ed25519:policy_server": signature}}).to_string();
    let event = event.formatted().expect("an event");
    server.read_answer(&event, Some(HttpResponse::new(200, &answer)), &Ed25519).expect("a signature")
}

fn by_other_key(room: &Room, sent: &Sent) -> String {
    use matrix_knock::event::{Ed25519Key, sign_event};
    use matrix_knock::id::ServerName;

    let key = Ed25519Key::from_seed("ed25519:policy_server", &[4; 32]).expect("a key ID");
    let signed = sign_event(room.version, &sent.text, ServerName::parse(POLICY).expect("a name"), &key);
    let signed: serde_json::Value = serde_json::from_str(signed.expect("an event").text()).unwrap();
    signed["signatures"][POLICY]["ed25519:policy_server"].as_str().unwrap().to_owned()
}

/// Every verdict, and what comes of it where the room names the server, and where it names none.
fn verdicts(room: &Room, sent: &Sent, other: &Sent) -> Vec<(PolicyVerdict, [Comes; 2])> {
    use Comes::{Accepted, AcceptedWithSignature, Mistake, SoftFailed};
    let (named, of_other_server) = (policy_server(), other_server());
    let good = signature(room, sent, &named, &sent.policy_signature);
    let by_other_key = signature(room, sent, &with_other_key(), &by_other_key(room, sent));
    let by_other_server = signature(room, sent, &of_other_server, &sent.policy_signature);
    let of_other_event = signature(room, other, &named, &other.policy_signature);
    vec![
        (PolicyVerdict::NotNamed, [Mistake, Accepted]),
        (PolicyVerdict::NotJoined(named), [Accepted, Accepted]),
        (PolicyVerdict::NotJoined(of_other_server), [Mistake, Accepted]),
        (PolicyVerdict::NotJoined(with_other_key()), [Mistake, Accepted]),
        // A signature that nobody asks for any more may stay.
        (PolicyVerdict::Signed(good), [AcceptedWithSignature, AcceptedWithSignature]),
        (PolicyVerdict::Signed(by_other_key), [Mistake, AcceptedWithSignature]),
        (PolicyVerdict::Signed(by_other_server), [Mistake, AcceptedWithSignature]),
        (PolicyVerdict::Signed(of_other_event), [Mistake, Accepted]),
        (PolicyVerdict::Refused(PolicyRefusal::NoAnswer), [SoftFailed, Accepted]),
        (PolicyVerdict::Refused(PolicyRefusal::BadSignature), [SoftFailed, Accepted]),
        (PolicyVerdict::Refused(refused()), [SoftFailed, Accepted]),
    ]
}

#[test]
fn a_stale_verdict() {
    let mut cells = 0;
    for version in RoomVersion::ALL {
        for case in Case::ALL.into_iter().filter(|case| is_known(*case, version)) {
            let room = Room::new(version, case);
            let sent = room.event(Flaws::NONE);
            let other = room.other_event();
            let received = room.receive(&sent.text).expect("a valid event");
            let named = received.match_auth_events(room.named(false)).expect("all of them");
            let before = room.state(false);
            for (verdict, comes) in verdicts(&room, &sent, &other) {
                for (names_policy_server, comes) in [true, false].into_iter().zip(comes) {
                    let current = room.current(false, names_policy_server);
                    let states = States { before: &before, current: &current };
                    let by_itself = received.check_policy_server(&current, verdict.clone());
                    let outcome = received.check(&named, states, &Ed25519, verdict.clone());
                    let what = format!("{case:?} in version {version}, {names_policy_server}: {verdict:?}");
                    let (expected_alone, expected) = match (comes, &verdict) {
                        (Comes::Accepted, _) => (Ok(Ok(None)), Ok(Outcome::Accepted(None))),
                        (Comes::AcceptedWithSignature, PolicyVerdict::Signed(signature)) => {
                            let signature = Some(signature.clone());
                            (Ok(Ok(signature.clone())), Ok(Outcome::Accepted(signature)))
                        }
                        (Comes::SoftFailed, PolicyVerdict::Refused(refusal)) => {
                            let failure = SoftFailure::PolicyServer(refusal.clone());
                            (Ok(Err(failure.clone())), Ok(Outcome::SoftFailed(failure)))
                        }
                        (Comes::Mistake, _) => (Err(ReceiptError::PolicyServer), Err(ReceiptError::PolicyServer)),
                        (comes, _) => panic!("{what}: {comes:?}"),
                    };
                    assert_eq!((by_itself, &outcome), (expected_alone, &expected), "{what}");
                    let soft_failed = matches!(outcome, Ok(Outcome::SoftFailed(_))).then_some(Check::PolicyServer);
                    assert_eq!(outcome.ok().and_then(|outcome| outcome.check()), soft_failed);
                    cells += 1;
                }
            }
        }
    }
    assert_eq!(cells, (12 * 7 - 6 - 7) * 11 * 2);
    let message = "the verdict is not that of the policy server that the room names now";
    assert_eq!(ReceiptError::PolicyServer.to_string(), message);
}

/// What names no server: then no verdict is asked for.
#[test]
fn an_event_that_names_no_server() {
    let room = Room::new(RoomVersion::V11, Case::Knock);
    let sent = room.event(Flaws::NONE);
    let received = room.receive(&sent.text).expect("a valid event");
    let key = "6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw";
    let refused = || PolicyVerdict::Refused(PolicyRefusal::NoAnswer);
    for (content, names) in [
        (json!({"via": POLICY, "public_keys": {"ed25519": key}}), true),
        // A key that is none: nothing can be signed with it.
        (json!({"via": POLICY, "public_keys": {"ed25519": "x"}}), true),
        (json!({"via": POLICY, "public_keys": {"ed25519": 1}}), false),
        (json!({"via": POLICY, "public_keys": {"ed448": key}}), false),
        (json!({"via": POLICY, "public_keys": [key]}), false),
        (json!({"via": POLICY, "public_key": key}), false),
        (json!({"via": [POLICY], "public_keys": {"ed25519": key}}), false),
        (json!({"via": "no server", "public_keys": {"ed25519": key}}), false),
        (json!({"public_keys": {"ed25519": key}}), false),
        (json!({}), false),
    ] {
        for (state_key, names) in [("", names), (POLICY, false)] {
            let policy = json!({"type": "m.room.policy", "state_key": state_key, "sender": "@alice:a.example", "content": content});
            let policy = policy.to_string();
            let state = StateMap::from([Pdu::parse_stored(&policy).unwrap()]);
            let expected = match names {
                true => Ok(Err(SoftFailure::PolicyServer(PolicyRefusal::NoAnswer))),
                false => Ok(Ok(None)),
            };
            assert_eq!(received.check_policy_server(&state, refused()), expected, "{policy}");
        }
    }
}
