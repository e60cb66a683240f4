//! Check 7 on receipt, beside the others: the signature is kept, also under what is left of an
//! event, and the event that names the policy server needs none.

use matrix_knock::Ed25519;
use matrix_knock::auth::AuthStatus;
use matrix_knock::event::{Pdu, redact};
use matrix_knock::policy::{PolicyRefusal, PolicyServer, PolicyVerdict};
use matrix_knock::receipt::{AuthEventRef, Check, Outcome, ReceiptError, SoftFailure, States};
use matrix_knock::state::Snapshot;
use matrix_knock::wire::HttpResponse;
use serde_json::{Value, json};

use crate::gates::Gate;
use crate::room::{ALICE, Room, versions};
use crate::server::{P, content, naming, server, signature, signed, with};

fn check(
    room: &Room,
    text: &str,
    verdict: impl Fn(Option<&PolicyServer>, &Pdu<'_>) -> PolicyVerdict,
) -> (Outcome, String) {
    let received = room.received(text);
    let known = room.events.iter().map(|(id, text)| AuthEventRef {
        event: Pdu::parse(text).unwrap().with_event_id(id.as_str()),
        status: AuthStatus::Accepted,
    });
    let auth_events = received.match_auth_events(known).unwrap();
    let state = room.look_up(&received.reads());
    let named = PolicyServer::named(&state).unwrap();
    let verdict = verdict(named.as_ref(), received.formatted().unwrap().pdu());
    let outcome = received.check(&auth_events, States { before: &state, current: &state }, &Ed25519, verdict).unwrap();
    let kept = match &outcome {
        Outcome::Accepted(signature) => received.to_text(signature.as_ref()),
        Outcome::SoftFailed(_) | Outcome::Rejected(_) => received.to_text(None),
    };
    (outcome, kept.unwrap())
}

/// Signed when it comes: nobody is asked, and it is kept as it came; redacted, if its hash is
/// wrong.
#[test]
fn signed_when_it_comes() {
    let mut cells = 0;
    for &version in versions() {
        // On receipt, the rules for events that are no member events are the host's own.
        for gate in Gate::all().into_iter().filter(|gate| *gate != Gate::ByHost) {
            let before = gate.room(version);
            let room = naming(&before, P, 1);
            let text = gate.event(&before);
            let arrived = with(&text, &signed(version, &text, P, 1));
            let there = |text: &str| {
                let event = Pdu::parse(text).unwrap().check_format(version).unwrap();
                server(P, 1).signature_of(&event, &Ed25519)
            };
            let kept = arrived.parse::<Value>().unwrap().to_string();
            let found = check(&room, &arrived, |named, pdu| {
                assert_eq!(named, Some(&server(P, 1)));
                PolicyVerdict::Signed(there(pdu.text()).unwrap())
            });
            assert_eq!(found, (Outcome::Accepted(there(&arrived)), kept), "{version} {gate:?}");

            // The hash is wrong: what is left has the signature all the same.
            let mut changed: Value = arrived.parse().unwrap();
            changed["content"]["reason"] = json!("other");
            let left = redact(version, &changed.to_string()).unwrap();
            let found = check(&room, &changed.to_string(), |_, pdu| PolicyVerdict::Signed(there(pdu.text()).unwrap()));
            assert_eq!(found, (Outcome::Accepted(there(&arrived)), left), "{version} {gate:?}");

            // Not signed, and the policy server is asked: its signature is added to what is kept,
            // which is not what came.
            let found = check(&room, &text, |named, pdu| {
                let event = Pdu::parse(pdu.text()).unwrap().check_format(version).unwrap();
                let body = signed(version, pdu.text(), P, 1).to_string();
                named.unwrap().read_answer(&event, Some(HttpResponse::new(200, &body)), &Ed25519).into()
            });
            let both = arrived.parse::<Value>().unwrap().to_string();
            assert_eq!(found, (Outcome::Accepted(Some(signature(version, &text, P, 1))), both));

            // By the key of before: asked again, and not answered.
            let renamed = naming(&before, P, 2);
            let old = with(&text, &signed(version, &text, P, 1));
            let (outcome, kept) = check(&renamed, &old, |named, pdu| {
                let event = Pdu::parse(pdu.text()).unwrap().check_format(version).unwrap();
                assert_eq!(named.unwrap().signature_of(&event, &Ed25519), None);
                named.unwrap().read_answer(&event, None, &Ed25519).into()
            });
            let failure = SoftFailure::PolicyServer(PolicyRefusal::NoAnswer);
            assert_eq!((outcome.check(), &outcome), (Some(Check::PolicyServer), &Outcome::SoftFailed(failure)));
            assert_eq!(kept, old.parse::<Value>().unwrap().to_string());
            cells += 4;
        }
    }
    assert_eq!(cells, 6 * 15 * 4);
}

/// `m.room.policy` with an empty state key is exempt, whatever the policy server of before says;
/// nothing else is.
#[test]
fn the_exemption() {
    let mut cells = 0;
    for &version in versions() {
        let mut room = naming(&Room::new(version, "knock"), P, 1);
        let before = room.clone();
        for (event_type, state_key, is_exempt) in [
            ("m.room.policy", "", true),
            ("m.room.policy", "x", false),
            ("m.room.policy", P, false),
            ("m.room.power_levels", "", false),
            ("m.room.name", "", false),
            ("m.room.member", ALICE, false),
        ] {
            let content = if event_type == "m.room.member" { json!({ "membership": "join" }) } else { content(P, 2) };
            room.send(ALICE, event_type, state_key, content);
            let (_, text) = room.events.pop().unwrap();
            let received = before.received(&text);
            let state = before.look_up(&PolicyServer::reads());
            for refusal in [PolicyRefusal::NoAnswer, PolicyRefusal::BadSignature] {
                let found = received.check_policy_server(&state, PolicyVerdict::Refused(refusal.clone()));
                let expected = if is_exempt { Ok(None) } else { Err(SoftFailure::PolicyServer(refusal)) };
                assert_eq!(found, Ok(expected), "{version} {event_type} {state_key:?}");
                cells += 1;
            }
            let found = received.check_policy_server(&state, PolicyVerdict::NotNamed);
            let expected = if is_exempt { Ok(Ok(None)) } else { Err(ReceiptError::PolicyServer) };
            assert_eq!(found, expected, "{version} {event_type} {state_key:?}");
            // Nobody looked: no verdict, also for what is exempt.
            let found = received.check_policy_server(&Snapshot::<Pdu<'_>>::new(), PolicyVerdict::NotNamed);
            assert!(matches!(found, Err(ReceiptError::NotLookedUp(_))));
            cells += 2;
        }
    }
    assert_eq!(cells, 6 * 6 * 4);
}

/// The rules come first: what they refuse is not shown to anybody, and a signature does not help.
#[test]
fn the_rules_come_first() {
    for &version in versions() {
        let room = Gate::Receipt.room(version);
        let text = Gate::Receipt.event(&room);
        let mut closed = naming(&room, P, 1);
        closed.send(ALICE, "m.room.join_rules", "", json!({ "join_rule": "invite" }));
        let received = room.received(&text);
        let known = room.events.iter().map(|(id, text)| AuthEventRef {
            event: Pdu::parse(text).unwrap().with_event_id(id.as_str()),
            status: AuthStatus::Accepted,
        });
        let auth_events = received.match_auth_events(known).unwrap();
        let (open, closed) = (room.state(), closed.state());
        for verdict in [
            PolicyVerdict::Signed(signature(version, &text, P, 1)),
            PolicyVerdict::Refused(PolicyRefusal::NoAnswer),
            PolicyVerdict::NotNamed,
        ] {
            let by_current = States { before: &open, current: &closed };
            let outcome = received.check(&auth_events, by_current, &Ed25519, verdict.clone()).unwrap();
            assert_eq!(outcome.check(), Some(Check::CurrentState));
            let by_before = States { before: &closed, current: &open };
            let outcome = received.check(&auth_events, by_before, &Ed25519, verdict).unwrap();
            assert_eq!(outcome.check(), Some(Check::StateBefore));
        }
    }
}
