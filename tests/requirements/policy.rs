//! The room's policy server: whether there is one, what it is shown, and what of its answer counts.

use matrix_knock::Ed25519;
use matrix_knock::RoomVersion;
use matrix_knock::error::{Errcode, ErrorResponse};
use matrix_knock::event::{Event as _, Pdu, sign_event};
use matrix_knock::policy::{PolicyRefusal, PolicyServer, PolicyVerdict};
use matrix_knock::resident::answer::{Action, AnswerRequest, Answered};
use matrix_knock::resident::{Decision, HostError, Refusal};
use matrix_knock::state::StateMap;
use matrix_knock::template::Details;
use matrix_knock::wire::HttpResponse;
use serde_json::{Value, json};

use super::room::{
    A, ALICE, KAY, NOW, P, POLICY_KEY_ID, Room, json_of, key, policy_answer, policy_key, policy_signature, server,
    sign, unpadded, user, versions,
};

fn named(content: &Value, state_key: &str) -> Option<PolicyServer> {
    let event =
        json!({ "type": "m.room.policy", "state_key": state_key, "sender": ALICE, "content": content }).to_string();
    let state = StateMap::from([Pdu::parse(&event).expect("an event")]);
    PolicyServer::named(&state).expect("a whole state")
}

#[test]
fn whether_the_room_names_one() {
    let key = unpadded(&policy_key().public_key());
    let good = json!({ "via": P, "public_keys": { "ed25519": key, "other": "x" }, "more": [] });
    let expected = PolicyServer::new(server(P).into_owned(), policy_key().public_key());
    assert_eq!(named(&good, ""), Some(expected));
    assert_eq!(named(&good, "x"), None);
    let mut cells = 0;
    for (content, what) in [
        (json!({}), "nothing"),
        (json!({ "public_keys": { "ed25519": key } }), "no `via`"),
        (json!({ "via": 1, "public_keys": { "ed25519": key } }), "`via` is no string"),
        (json!({ "via": P }), "no keys"),
        (json!({ "via": P, "public_keys": key }), "the keys are no object"),
        (json!({ "via": P, "public_keys": {} }), "no ed25519 key"),
        (json!({ "via": P, "public_keys": { "ed25519": null } }), "the key is no string"),
    ] {
        assert_eq!(named(&content, ""), None, "{what}");
        cells += 1;
    }
    assert_eq!(cells, 7);
    assert_eq!(PolicyServer::named(&Room::new(RoomVersion::V11).state()), Ok(None));
}

fn decline(room: &Room) -> matrix_knock::resident::LocalEvent<Action> {
    let (state, resident) = (room.state(), room.resident());
    let request = AnswerRequest::new(Action::Decline, user(ALICE), user(KAY));
    let approved = request.check(&resident, &state).expect("allowed").decide(Decision::Admit).expect("admitted");
    approved.sign(&state, &Details::default(), &room.prev_events(), NOW, &key(A)).expect("an event")
}

#[test]
fn no_event_is_sent_that_it_has_not_signed() {
    for version in versions() {
        let room = Room::with_policy_server(version);
        let (state, event) = (room.state(), decline(&room));
        let named = event.policy_server(&state).expect("a whole state").expect("the room names one");
        let accept = |verdict| event.clone().accept(&state, verdict);
        assert_eq!(accept(PolicyVerdict::NotNamed), Err(Refusal::Host(HostError::PolicyServer)), "{version}");
        for refusal in [PolicyRefusal::NoAnswer, PolicyRefusal::BadSignature] {
            let expected = Refusal::Policy(refusal.clone());
            let response = expected.to_response();
            assert_eq!((response.status(), response.errcode()), (403, &Errcode::Forbidden));
            assert_eq!(accept(PolicyVerdict::Refused(refusal)), Err(expected), "{version}");
        }
        // Nobody of that server is in the room: then it is not used.
        let Ok(Answered::Append(unsigned)) = accept(PolicyVerdict::NotJoined(named)) else { panic!("not used") };
        assert_eq!(unsigned.event().text(), event.text());
        // Signed, with the sender's signature beside it.
        let verdict = PolicyVerdict::Signed(policy_signature(&room, event.text()));
        let Ok(Answered::Append(signed)) = accept(verdict) else { panic!("signed") };
        let mut expected = json_of(event.text());
        expected["signatures"][P] = json_of(&policy_answer(version, event.text()))[P].clone();
        assert_eq!(json_of(signed.event().text()), expected, "{version}");
        assert_eq!(signed.event().event_id(), event.event_id());
        // A room without one.
        let other = Room::new(version);
        assert!(decline(&other).accept(&other.state(), PolicyVerdict::NotNamed).is_ok());
    }
}

#[test]
fn which_events_it_is_shown() {
    let mut cells = 0;
    for version in versions() {
        let room = Room::with_policy_server(version);
        for (event_type, state_key, is_asked) in [
            ("m.room.policy", Some(""), false),
            ("m.room.policy", Some("x"), true),
            ("m.room.policy", None, true),
            ("m.room.power_levels", Some(""), true),
            ("m.room.member", Some(KAY), true),
            ("m.room.message", None, true),
        ] {
            let mut event = room.draft(ALICE, event_type, state_key.unwrap_or_default(), json!({}));
            if state_key.is_none() {
                event.as_object_mut().and_then(|event| event.remove("state_key"));
            }
            let text = event.to_string();
            let is_asked_about = PolicyServer::is_asked_about(&Pdu::parse(&text).expect("an event"));
            assert_eq!(is_asked_about, is_asked, "{event_type} {state_key:?}");
            cells += 1;
        }
    }
    assert_eq!(cells, 36);
}

#[test]
fn the_request_has_the_whole_event() {
    for version in versions() {
        let room = Room::with_policy_server(version);
        let event = decline(&room);
        let named = event.policy_server(&room.state()).expect("a whole state").expect("the room names one");
        let request = named.request(&event.formatted().expect("an event")).expect("an event");
        assert_eq!((request.method, &*request.path, &*request.query), ("POST", "/_matrix/policy/v1/sign", ""));
        assert_eq!(request.body.as_deref(), Some(event.text()), "{version}");
        assert_eq!(json_of(event.text())["signatures"].as_object().map(|by| by.contains_key(A)), Some(true));
    }
}

#[test]
fn what_counts_as_its_signature() {
    let mut cells = 0;
    for version in versions() {
        let room = Room::with_policy_server(version);
        let event = decline(&room);
        let named = event.policy_server(&room.state()).expect("a whole state").expect("the room names one");
        let good = policy_answer(version, event.text());
        let signature = json_of(&good)[P][POLICY_KEY_ID].clone();
        let other_event = policy_answer(version, &sign(version, &room.membership(ALICE, KAY, "ban"), A).1);
        let other_key = sign_event(version, event.text(), server(P), &key("q.example")).expect("an event");
        let other_key = json_of(other_key.text())["signatures"][P]["ed25519:1"].clone();
        for (status, body, expected) in [
            (200, good.clone(), None),
            (200, json!({ P: { POLICY_KEY_ID: signature, "ed25519:2": "AAAA" } }).to_string(), None),
            (200, other_event, Some(PolicyRefusal::BadSignature)),
            (200, json!({ P: { POLICY_KEY_ID: other_key } }).to_string(), Some(PolicyRefusal::BadSignature)),
            (200, json!({ P: { "ed25519:1": signature } }).to_string(), Some(PolicyRefusal::NoAnswer)),
            (200, json!({ "q.example": { POLICY_KEY_ID: signature } }).to_string(), Some(PolicyRefusal::NoAnswer)),
            (200, "{}".to_owned(), Some(PolicyRefusal::NoAnswer)),
            (200, "<html>".to_owned(), Some(PolicyRefusal::NoAnswer)),
            (200, format!("{good}{}", " ".repeat(8 << 20)), Some(PolicyRefusal::NoAnswer)),
            (500, good.clone(), Some(PolicyRefusal::NoAnswer)),
            (302, good.clone(), Some(PolicyRefusal::NoAnswer)),
        ] {
            let event = event.formatted().expect("an event");
            let answer = named.read_answer(&event, Some(HttpResponse::new(status, &body)), &Ed25519);
            assert_eq!(answer.err(), expected, "{version} {status} {:.60}", body);
            cells += 1;
        }
        let event = event.formatted().expect("an event");
        assert_eq!(named.read_answer(&event, None, &Ed25519), Err(PolicyRefusal::NoAnswer));
        // The one that the event has already is as good, and a wrong one is asked for again.
        assert_eq!(named.signature_of(&event, &Ed25519), None);
        let mut signed = json_of(event.pdu().text());
        signed["signatures"][P] = json_of(&good)[P].clone();
        let mut wrong = signed.clone();
        wrong["signatures"][P][POLICY_KEY_ID] = signed["signatures"][A]["ed25519:1"].clone();
        let (signed, wrong) = (signed.to_string(), wrong.to_string());
        for (text, is_signed) in [(&signed, true), (&wrong, false)] {
            let event = Pdu::parse(text).expect("an event").check_format(version).expect("the format");
            assert_eq!(named.signature_of(&event, &Ed25519).is_some(), is_signed, "{version}");
        }
    }
    assert_eq!(cells, 66);
}

#[test]
fn its_errors_reach_the_client_verbatim() {
    let room = Room::with_policy_server(RoomVersion::V11);
    let event = decline(&room);
    let named = event.policy_server(&room.state()).expect("a whole state").expect("the room names one");
    let mut cells = 0;
    for (status, errcode) in [
        (400, "M_FORBIDDEN"),
        (400, "M_BAD_JSON"),
        (400, "M_NOT_JSON"),
        (403, "M_FORBIDDEN"),
        (404, "M_NOT_FOUND"),
        (404, "M_UNRECOGNIZED"),
        (429, "M_LIMIT_EXCEEDED"),
    ] {
        let body = json!({ "errcode": errcode, "error": "Spam ü", "org.example.score": [1] });
        let text = body.to_string();
        let formatted = event.formatted().expect("an event");
        let refusal = named
            .read_answer(&formatted, Some(HttpResponse::new(status, &text)), &Ed25519)
            .expect_err("an error is no signature");
        let refusal = event.clone().accept(&room.state(), PolicyVerdict::Refused(refusal)).expect_err("not sent");
        let response: ErrorResponse = refusal.to_response();
        assert_eq!((response.status(), json_of(&response.to_string())), (status, body), "{errcode}");
        cells += 1;
    }
    assert_eq!(cells, 7);
}

#[test]
fn an_event_without_a_policy_server_passes() {
    for version in versions() {
        let room = Room::new(version);
        let event = decline(&room);
        assert_eq!(event.policy_server(&room.state()), Ok(None), "{version}");
        let Ok(Answered::Append(answer)) = event.clone().accept(&room.state(), PolicyVerdict::NotNamed) else {
            panic!("no invite")
        };
        assert_eq!(answer.event().text(), event.text());
        assert_eq!(answer.event().pdu().expect("an event").sender(), ALICE);
    }
}
