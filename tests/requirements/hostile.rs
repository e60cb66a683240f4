//! What a hostile server or a careless host must not bring about.

use matrix_knock::Ed25519;
use matrix_knock::RoomVersion;
use matrix_knock::error::{Errcode, ErrorResponse};
use matrix_knock::event::{Keys as _, MAX_EVENT_BYTES, MAX_SUBMITTED_BYTES, MAX_SUBMITTED_DEPTH, Pdu};
use matrix_knock::id::RoomId;
use matrix_knock::knocking::invitation::{InviteRefusal, InviteRequest};
use matrix_knock::machine::{Machine as _, Reply};
use matrix_knock::policy::{PolicyRefusal, PolicyServer, PolicyVerdict};
use matrix_knock::receipt::ReceivedEvent;
use matrix_knock::resident::answer::{Action, AnswerRequest, Answered, Inviting, NotInvited};
use matrix_knock::resident::submission::SendKnock;
use matrix_knock::resident::{Decision, HostError, Refusal};
use matrix_knock::template::Details;
use matrix_knock::wire::HttpResponse;
use serde_json::{Value, json};

use super::inviting::{countersigned, inviting};
use super::room::{
    A, ALICE, AllKeys, BEN, BOT, K, KAY, KEY_ID, NOW, P, Room, key, policy_key, policy_signature, server, sign, user,
    versions, with,
};

/// The codes that make a client believe that its access is lost.
const ABOUT_ACCESS: [&str; 4] = ["M_MISSING_TOKEN", "M_UNAUTHORIZED", "M_UNKNOWN_TOKEN", "M_USER_LOCKED"];

#[test]
fn no_error_of_another_server_logs_a_client_out() {
    let room = Room::with_policy_server(RoomVersion::V11);
    let (_, text) = sign(room.version, &room.membership(ALICE, KAY, "leave"), A);
    let event = Pdu::parse(&text).expect("an event").check_format(room.version).expect("the format");
    let named = PolicyServer::named(&room.state()).expect("a whole state").expect("the room names one");
    let mut cells = 0;
    for errcode in ABOUT_ACCESS {
        let body = json!({ "errcode": errcode, "error": "Bye", "soft_logout": true }).to_string();
        for status in [400, 401, 403, 429] {
            let answer = || HttpResponse::new(status, &body);
            let refused = named.read_answer(&event, Some(answer()), &Ed25519);
            assert_eq!(refused, Err(PolicyRefusal::NoAnswer), "{status} {errcode}");

            let mut machine = inviting(&Room::new(RoomVersion::V11));
            let (ticket, _) = machine.want();
            machine.reply(ticket, Reply::Response(answer()), NOW).expect("it was asked for");
            assert_eq!(machine.outcome(), Some(Err(NotInvited::NoAnswer)), "{status} {errcode}");
            cells += 1;
        }
        let failure = matrix_knock::knocking::Failure::Refused { status: 403, errcode: Some(errcode.into()) };
        let response = ErrorResponse::new(Errcode::Unknown, "A server of the room refused it");
        assert_eq!(failure.to_response(), response);
    }
    assert_eq!(cells, 16);
}

/// A room with a policy server, and a reason with which the answer to a knock has as many bytes as it may.
fn reason_for(room: &Room, bytes: usize) -> String {
    let signed = |reason: &str| decline(room, reason).text().len();
    "x".repeat(bytes - signed(""))
}

fn decline(room: &Room, reason: &str) -> matrix_knock::resident::LocalEvent<Action> {
    let (state, resident) = (room.state(), room.resident());
    let request = AnswerRequest::new(Action::Decline, user(ALICE), user(KAY));
    let approved = request.check(&resident, &state).expect("allowed").decide(Decision::Admit).expect("admitted");
    let details = Details { reason: Some(reason.to_owned()), ..Details::default() };
    approved.sign(&state, &details, &room.prev_events(), NOW, &key(A)).expect("an event")
}

#[test]
fn a_signature_of_the_policy_server_makes_no_event_too_large() {
    for version in versions() {
        let mut room = Room::with_policy_server(version);
        let largest = decline(&room, &reason_for(&room, MAX_SUBMITTED_BYTES));
        let signature = policy_signature(&room, largest.text());
        let refused = largest.accept(&room.state(), PolicyVerdict::Signed(signature));
        assert_eq!(refused, Err(Refusal::TooLarge), "{version}");
        let smaller = decline(&room, &reason_for(&room, MAX_SUBMITTED_BYTES - 128));
        let signature = policy_signature(&room, smaller.text());
        assert!(smaller.accept(&room.state(), PolicyVerdict::Signed(signature)).is_ok());

        // The same for a knock that another server sends.
        room.member(KAY, KAY, "leave");
        let knock = |reason: &str| {
            let content = json!({ "membership": "knock", "reason": reason });
            sign(version, &room.draft(KAY, "m.room.member", KAY, content), K)
        };
        let bytes = knock("").1.len();
        let (id, text) = knock(&"x".repeat(MAX_SUBMITTED_BYTES - bytes));
        let resident = room.resident();
        let request = SendKnock::new(resident.room_id, id, server(K), text.clone());
        let state = room.state();
        let checked = request.check(&resident, &state).expect("a knock");
        let checked = checked.verify(&AllKeys, &Ed25519, NOW).expect("its signature");
        let auth_events = checked.match_auth_events(room.found()).expect("all of them");
        let authorized = checked.authorize(&auth_events, &state, &state).expect("allowed");
        let verdict = PolicyVerdict::Signed(policy_signature(&room, &text));
        assert_eq!(authorized.accept(&state, verdict, Decision::Admit), Err(Refusal::TooLarge), "{version}");

        // On receipt it may have every byte that there is, and is kept without the signature.
        let (_, text) = knock(&"x".repeat(MAX_EVENT_BYTES - bytes));
        let formatted = Pdu::parse(&text).expect("an event").check_format(version).expect("the format");
        let received = ReceivedEvent::verify(formatted, &AllKeys, &Ed25519, NOW).expect("its signature");
        let signature = policy_signature(&room, &text);
        assert_eq!(received.to_text(Some(&signature)), Ok(text), "{version}");
    }
}

#[test]
fn no_invite_gets_past_a_policy_server_that_was_named_meanwhile() {
    for version in versions() {
        let mut room = Room::new(version);
        room.member(ALICE, BOT, "invite");
        room.member(BOT, BOT, "join");
        let invite = countersigned(&room);
        assert!(invite.clone().accept(&room.state()).is_ok(), "{version}");

        room.name_policy_server();
        let state = room.state();
        let error = Refusal::Host(HostError::PolicyServer);
        assert_eq!(invite.clone().accept(&state), Err(error), "{version}");
        let refused = PolicyVerdict::Refused(PolicyRefusal::NoAnswer);
        assert_eq!(invite.clone().with_verdict(refused).accept(&state), Err(Refusal::Policy(PolicyRefusal::NoAnswer)));
        let signature = policy_signature(&room, invite.event().text());
        let accepted =
            invite.with_verdict(PolicyVerdict::Signed(signature)).accept(&state).expect("signed by all three");
        let event: Value = super::room::json_of(accepted.text());
        let signers: Vec<&str> =
            event["signatures"].as_object().expect("signatures").keys().map(String::as_str).collect();
        assert_eq!(signers, [A, K, P]);
    }
}

#[test]
fn who_is_not_in_the_room_is_not_told_who_knocks() {
    let mut cells = 0;
    for version in versions() {
        let room = Room::new(version);
        let (state, resident) = (room.state(), room.resident());
        for action in Action::ALL {
            for target in [KAY, BEN, ALICE, "@nobody:k.example"] {
                let request = AnswerRequest::new(action, user("@out:a.example"), user(target));
                let refusal = request.check(&resident, &state).expect_err("not in the room");
                let expected = ErrorResponse::new(Errcode::Forbidden, "The room does not allow it");
                assert_eq!(refusal.to_response(), expected, "{version} {action:?} {target}");
                cells += 1;
            }
        }
    }
    assert_eq!(cells, 144);
}

fn invite_request(room: &Room, event: &Value) -> (String, Value) {
    let (id, text) = sign(room.version, event, A);
    let state: Vec<Value> = room.shown().iter().map(|entry| super::room::json_of(entry)).collect();
    let event = super::room::json_of(&text);
    (id, json!({ "room_version": room.version.as_str(), "event": event, "invite_room_state": state }))
}

fn refusal(room: &Room, (id, body): &(String, Value)) -> Option<InviteRefusal> {
    let room_id = RoomId::parse(&room.id).expect("a room ID");
    InviteRequest::new(room_id, &**id, server(A), body.to_string()).check(server(K), &versions()).err()
}

#[test]
fn an_invite_that_no_client_could_read_is_not_signed() {
    for version in versions() {
        let room = Room::new(version);
        let nested = |levels: usize| {
            let deep: Value = (0..levels).fold(json!([]), |inner, _| json!([inner]));
            room.draft(ALICE, "m.room.member", KAY, json!({ "membership": "invite", "deep": deep }))
        };
        // The event, its content, and the first list.
        let most = usize::try_from(MAX_SUBMITTED_DEPTH).expect("a small number") - 3;
        assert_eq!(refusal(&room, &invite_request(&room, &nested(most))), None, "{version}");
        let refused = refusal(&room, &invite_request(&room, &nested(most + 1))).expect("too deep");
        assert_eq!(refused, InviteRefusal::TooDeep);
        assert_eq!(refused.to_response(), ErrorResponse::new(Errcode::BadJson, "The event is nested too deep"));
    }
}

#[test]
fn a_room_version_of_megabytes_does_not_come_back() {
    let room = Room::new(RoomVersion::V11);
    let (id, body) = invite_request(&room, &room.membership(ALICE, KAY, "invite"));
    for (bytes, expected) in [
        (255, InviteRefusal::IncompatibleRoomVersion("9".repeat(255))),
        (256, InviteRefusal::Malformed("room_version")),
        (4_000_000, InviteRefusal::Malformed("room_version")),
    ] {
        let long = with(&body, "room_version", json!("9".repeat(bytes)));
        let refused = refusal(&room, &(id.clone(), long)).expect("no such version");
        assert_eq!(refused, expected);
        assert!(refused.to_response().to_string().len() < 500);
    }
}

#[test]
fn the_keys_that_are_fetched_for_an_invite_are_few() {
    let room = Room::new(RoomVersion::V11);
    let (id, mut body) = invite_request(&room, &room.membership(ALICE, KAY, "invite"));
    let many = (0..1000).map(|number| (format!("ed25519:{number}"), json!("")));
    let many: serde_json::Map<String, Value> = many.collect();
    assert!(AllKeys.key(A, KEY_ID).is_some() && many.contains_key(KEY_ID));
    body["event"]["signatures"][A] = Value::Object(many);
    body["invite_room_state"] = json!([]);
    let room_id = RoomId::parse(&room.id).expect("a room ID");
    let request = InviteRequest::new(room_id, id, server(A), body.to_string());
    let checked = request.check(server(K), &versions()).expect("an invite");
    let wanted: Vec<(String, usize)> =
        checked.wanted_keys().into_iter().map(|(server, key_ids)| (server.to_string(), key_ids.len())).collect();
    assert_eq!(wanted, [(A.to_owned(), 8)]);
}

#[test]
fn an_answer_by_a_policy_server_that_was_not_asked_is_no_signature() {
    for version in versions() {
        let room = Room::with_policy_server(version);
        let (event, other) = (decline(&room, "a"), decline(&room, "b"));
        let signature = policy_signature(&room, other.text());
        let verdict = PolicyVerdict::Signed(signature);
        assert_eq!(event.clone().accept(&room.state(), verdict), Err(Refusal::Host(HostError::PolicyServer)));
        let renamed = PolicyServer::new(server("q.example").into_owned(), policy_key().public_key());
        for verdict in [PolicyVerdict::NotNamed, PolicyVerdict::NotJoined(renamed)] {
            let accepted: Result<Answered, Refusal> = event.clone().accept(&room.state(), verdict);
            assert_eq!(accepted, Err(Refusal::Host(HostError::PolicyServer)), "{version}");
        }
    }
}

#[test]
fn a_stored_invite_that_was_changed_is_not_taken() {
    for version in versions() {
        let room = Room::new(version);
        let stored = serde_json::to_string(&inviting(&room)).expect("JSON");
        let again: Inviting = serde_json::from_str(&stored).expect("as it was");
        assert_eq!(again, inviting(&room), "{version}");
        assert_eq!(stored.matches("Come in").count(), 1);
        let changed = serde_json::from_str::<Inviting>(&stored.replace("Come in", "Stay out"));
        let error = changed.expect_err("another event than was signed").to_string();
        assert_eq!(error, "not an invite: the content hash in `hashes` is not that of the event", "{version}");
    }
}
