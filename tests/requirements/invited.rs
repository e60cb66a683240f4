//! What the invited user's server has to see to, sentence by sentence of `PUT /invite`.

use matrix_knock::auth::server_is_allowed;
use matrix_knock::error::{Errcode, ErrorResponse, PathError};
use matrix_knock::event::{FormatError, SignatureError};
use matrix_knock::id::{EventId, RoomId};
use matrix_knock::knocking::invitation::{
    AcceptedInvite, InviteDecision, InviteMismatch, InviteRefusal, InviteRequest, RoomStateFault, VerifiedInvite,
};
use matrix_knock::knocking::out_of_band::{Acceptance, SentKnock};
use matrix_knock::knocking::room_state::{Dropped, ShowUnverified};
use matrix_knock::wire::HttpRequest;
use matrix_knock::{Ed25519, RoomVersion};
use serde_json::{Value, json};

use super::room::{A, ALICE, AllKeys, K, KAY, KEY_ID, NOW, Room, json_of, key, server, sign, versions, with};

/// The body with this event and state.
fn body(room: &Room, event: &str, state: &[String]) -> Value {
    let state: Vec<Value> = state.iter().map(|entry| json_of(entry)).collect();
    json!({ "room_version": room.version.as_str(), "event": json_of(event), "invite_room_state": state })
}

fn request<'q>(room: &'q Room, id: &str, body: &Value) -> InviteRequest<'q> {
    let room_id = RoomId::parse(&room.id).expect("a room ID");
    InviteRequest::new(room_id, id.to_owned(), server(A), body.to_string())
}

/// What comes of a request up to the host's decision; with `accepted`, of what is granted.
fn judged<T>(
    request: &InviteRequest<'_>,
    accepted: impl FnOnce(VerifiedInvite<'_>) -> Result<T, InviteRefusal>,
) -> Result<T, InviteRefusal> {
    let checked = request.check(server(K), &versions())?;
    accepted(checked.verify(&AllKeys, &Ed25519, NOW)?)
}

fn countersigned(verified: VerifiedInvite<'_>) -> Result<AcceptedInvite, InviteRefusal> {
    verified.decide(InviteDecision::Admit)?.countersign(&key(K))
}

fn of_event(room: &Room, event: &Value, by: &str) -> Result<AcceptedInvite, InviteRefusal> {
    let (id, text) = sign(room.version, event, by);
    judged(&request(room, &id, &body(room, &text, &room.shown())), countersigned)
}

fn of_state(room: &Room, state: &[String]) -> Result<Vec<RoomStateFault>, InviteRefusal> {
    let (id, text) = sign(room.version, &room.membership(ALICE, KAY, "invite"), A);
    judged(&request(room, &id, &body(room, &text, state)), |invite| Ok(invite.warnings().to_vec()))
}

fn invalid_param(error: &'static str) -> ErrorResponse {
    ErrorResponse::new(Errcode::InvalidParam, error)
}

#[test]
fn nothing_but_an_invite_is_signed() {
    let mut cells = 0;
    for version in versions() {
        let room = Room::new(version);
        let invite = room.membership(ALICE, KAY, "invite");
        let not_signed: InviteRefusal = SignatureError::NotSigned { server: A.to_owned() }.into();
        let mismatch = InviteRefusal::Mismatch;
        for (event, by, expected, error) in [
            (invite.clone(), "other.example", not_signed, "A signature of the event is missing or wrong"),
            (
                with(&invite, "type", json!("m.room.message")),
                A,
                mismatch(InviteMismatch::EventType),
                "Not an `m.room.member` event",
            ),
            (
                with(&invite, "content", json!({ "membership": "join" })),
                A,
                mismatch(InviteMismatch::Membership),
                "The `membership` is not `invite`",
            ),
            (
                with(&invite, "sender", json!("@eve:other.example")),
                A,
                mismatch(InviteMismatch::Sender),
                "The sender is of another server",
            ),
            (
                with(&invite, "state_key", json!("@kay:other.example")),
                A,
                mismatch(InviteMismatch::StateKey),
                "The invited user is of another server",
            ),
        ] {
            let refusal = of_event(&room, &event, by).expect_err("not to be signed");
            assert_eq!((&refusal, refusal.to_response()), (&expected, invalid_param(error)), "{version}");
            cells += 1;
        }
    }
    assert_eq!(cells, 30);
}

#[test]
fn a_faulty_state_refuses_since_version_12_and_warns_before() {
    let mut cells = 0;
    for version in versions() {
        let room = Room::new(version);
        let good = room.shown();
        let [create, rules, member] = [0, 1, 2].map(|index| json_of(&good[index]));
        let entry = |reason: Dropped| RoomStateFault::Entry { index: 1, reason };
        let rules_of =
            |room_id: &str| with(&room.draft(ALICE, "m.room.join_rules", "", json!({})), "room_id", json!(room_id));
        let mut without_depth = rules.clone();
        without_depth.as_object_mut().and_then(|event| event.remove("depth"));
        let forged = sign(version, &rules_of(&room.id), "other.example").1;
        let elsewhere = sign(version, &rules_of("!other:a.example"), A).1;
        for (state, expected) in [
            (vec![rules.clone(), member.clone()], RoomStateFault::NoCreateEvent),
            (vec![create.clone(), without_depth], entry(FormatError::Missing("depth").into())),
            (vec![create.clone(), json_of(&forged)], entry(SignatureError::NotSigned { server: A.to_owned() }.into())),
            (vec![create.clone(), json_of(&elsewhere)], entry(Dropped::OtherRoom)),
        ] {
            let state: Vec<String> = state.iter().map(Value::to_string).collect();
            let judged = of_state(&room, &state);
            match version >= RoomVersion::V12 {
                true => {
                    let refusal = judged.expect_err("refused since version 12");
                    assert_eq!(refusal, InviteRefusal::RoomState(expected));
                    assert_eq!(refusal.to_response(), invalid_param("`invite_room_state` is not as it must be"));
                }
                false => assert_eq!(judged, Ok(vec![expected]), "{version}"),
            }
            cells += 1;
        }
        assert_eq!(of_state(&room, &good), Ok(Vec::new()), "{version}");
    }
    assert_eq!(cells, 24);
    // In version 12 a whole create event of another room is known by its hash.
    let room = Room::new(RoomVersion::V12);
    let mut create = with(&json_of(room.at("m.room.create", "").1), "origin_server_ts", json!(5));
    create.as_object_mut().expect("an event").retain(|property, _| !["hashes", "signatures"].contains(&&**property));
    let mut state = room.shown();
    state[0] = sign(RoomVersion::V12, &create, A).1;
    assert_eq!(of_state(&room, &state), Err(InviteRefusal::RoomState(RoomStateFault::NoCreateEvent)));
}

#[test]
fn what_the_body_must_have() {
    for version in versions() {
        let room = Room::new(version);
        let (id, text) = sign(version, &room.membership(ALICE, KAY, "invite"), A);
        let whole = body(&room, &text, &room.shown());
        for property in ["event", "room_version"] {
            let mut body = whole.clone();
            body.as_object_mut().and_then(|body| body.remove(property));
            let refusal = judged(&request(&room, &id, &body), countersigned).expect_err("something is missing");
            assert_eq!(refusal, InviteRefusal::Missing(property));
            let response = ErrorResponse::new(Errcode::MissingParam, "A property of the body is missing");
            assert_eq!(refusal.to_response(), response);
        }
        for unknown in ["6", "13", "org.example.new"] {
            let body = with(&whole, "room_version", json!(unknown));
            let refusal = judged(&request(&room, &id, &body), countersigned).expect_err("a version that is not there");
            assert_eq!(refusal, InviteRefusal::IncompatibleRoomVersion(unknown.to_owned()));
            let response = refusal.to_response();
            assert_eq!((response.status(), response.errcode()), (400, &Errcode::IncompatibleRoomVersion));
            assert_eq!(json_of(&response.to_string())["room_version"], unknown);
        }
    }
}

#[test]
fn invites_that_are_not_allowed() {
    let room = Room::new(RoomVersion::V11);
    let (id, text) = sign(room.version, &room.membership(ALICE, KAY, "invite"), A);
    let request = request(&room, &id, &body(&room, &text, &room.shown()));
    let refused = |decision| judged(&request, |invite| invite.decide(decision).map(drop)).expect_err("refused");
    for (decision, status, errcode) in
        [(InviteDecision::Forbidden, 403, Errcode::Forbidden), (InviteDecision::Blocked, 403, Errcode::InviteBlocked)]
    {
        let response = refused(decision).to_response();
        assert_eq!((response.status(), response.errcode()), (status, &errcode));
    }
    // Where this server is in the room, its ACL decides on the inviting server.
    let mut acl = room.clone();
    acl.send(ALICE, "m.room.server_acl", "", json!({ "allow": ["*"], "deny": ["a.example"] }));
    assert_eq!(server_is_allowed(server(A), &acl.state()), Ok(false));
    assert_eq!(server_is_allowed(server(A), &room.state()), Ok(true));
}

#[test]
fn the_answer_is_the_invite_with_one_signature_more() {
    for version in versions() {
        let room = Room::new(version);
        let invite = with(&room.membership(ALICE, KAY, "invite"), "org.example.note", json!({ "kept": [1, "ü"] }));
        let (_, text) = sign(version, &invite, A);
        let accepted = of_event(&room, &invite, A).expect("an invite");
        let (_, ours) = sign(version, &json_of(&text), K);
        let mut expected = json_of(&text);
        expected["signatures"][K] = json_of(&ours)["signatures"][K].clone();
        assert_eq!(json_of(&accepted.to_response()), json!({ "event": expected }), "{version}");
        let signers: Vec<&String> = expected["signatures"].as_object().expect("signatures").keys().collect();
        assert_eq!(signers, [A, K]);
        assert_eq!(expected["signatures"][K].as_object().map(|keys| keys.contains_key(KEY_ID)), Some(true));
    }
}

#[test]
fn the_first_version_of_the_endpoint_is_for_rooms_that_have_no_knocking() {
    let path = "/_matrix/federation/v1/invite/!r:a.example/$id";
    let request = HttpRequest { method: "PUT", path, query: "", body: b"{}" };
    let refusal = InviteRequest::parse(server(A), request).expect_err("no such endpoint");
    assert_eq!(refusal, InviteRefusal::Path(PathError::NoSuchEndpoint));
    assert_eq!((refusal.to_response().status(), refusal.to_response().errcode()), (404, &Errcode::Unrecognized));
    let request = HttpRequest { method: "GET", path: "/_matrix/federation/v2/invite/!r:a.example/$id", ..request };
    let refusal = InviteRequest::parse(server(A), request).expect_err("another method");
    assert_eq!((refusal.to_response().status(), refusal.to_response().errcode()), (405, &Errcode::Unrecognized));
}

#[test]
fn an_invite_is_linked_to_the_knock_that_it_does_not_name() {
    for version in versions() {
        let room = Room::new(version);
        let knock = room.at("m.room.member", KAY).0;
        let sent = SentKnock {
            room_id: RoomId::parse(&room.id).expect("a room ID"),
            user_id: super::room::user(KAY),
            event_id: EventId::parse(knock).expect("an event ID"),
            version,
            current: EventId::parse(knock).ok(),
            through: None,
        };
        let invite = room.membership(ALICE, KAY, "invite");
        let others: Vec<Value> = invite["auth_events"].as_array().into_iter().flatten().cloned().collect();
        let others: Vec<Value> = others.into_iter().filter(|id| id != knock).collect();
        for (auth_events, expected) in [
            (invite["auth_events"].clone(), Acceptance::LinkedByAuthEvents),
            (json!(others), Acceptance::MerelyInvited),
        ] {
            let (id, text) = sign(version, &with(&invite, "auth_events", auth_events), A);
            let request = request(&room, &id, &body(&room, &text, &room.shown()));
            assert_eq!(judged(&request, |invite| Ok(invite.acceptance(&sent))), Ok(Ok(expected)), "{version}");
        }
    }
}

#[test]
fn what_the_client_is_shown() {
    for version in versions() {
        let room = Room::new(version);
        let invite = with(&room.membership(ALICE, KAY, "invite"), "unsigned", json!({ "age": 5 }));
        let accepted = of_event(&room, &invite, A).expect("an invite");
        let shown = accepted.invite_state(ShowUnverified::default());
        let places: Vec<(String, String)> = shown
            .iter()
            .map(|shown| (shown.event.event_type().into_owned(), shown.event.state_key().into_owned()))
            .collect();
        let expected =
            [("m.room.create", ""), ("m.room.join_rules", ""), ("m.room.member", ALICE), ("m.room.member", KAY)];
        assert_eq!(places, expected.map(|(event_type, key)| (event_type.to_owned(), key.to_owned())), "{version}");
        for shown in shown {
            let event = json_of(shown.event.text());
            let keys: Vec<&str> = event.as_object().expect("an event").keys().map(String::as_str).collect();
            assert_eq!((&*keys, shown.is_verified), (&["content", "sender", "state_key", "type"][..], true));
        }
    }
}
