//! `knock_room` and the rooms of `/sync` in ruma's types.
#![expect(clippy::expect_used, reason = "a test that cannot be set up fails")]

use matrix_knock::client::{KnockRequest, KnockResponse, MAX_REASON_BYTES, RequestError, WhyPassedOver};
use matrix_knock::event::Pdu;
use matrix_knock::id::{IdError, RoomId, RoomIdOrAlias, UserId};
use matrix_knock::stripped_state::{NotStripped, StrippedEvent};
use matrix_knock::sync::KnockedRoom;
use matrix_knock_ruma::client::{
    from_ruma_response, invited_room, knock_request, knock_response, knocked_room, to_ruma_request,
};
use matrix_knock_ruma::stripped_state::{from_raw, text, to_raw};
use ruma_client_api::knock::knock_room::v3::{Request, Response};
use ruma_common::RoomOrAliasId;
use ruma_common::serde::Raw;
use ruma_events::AnyStrippedStateEvent;
use ruma_federation_api::membership::RawStrippedState;

fn request(room: &str) -> Request {
    Request::new(<&RoomOrAliasId>::try_from(room).expect("a room of ruma's").to_owned())
}

#[test]
fn requests() {
    for room in ["!r:a.example", "#r:a.example", "!2dpEZGZptZRLjpG4zhaOpng8UeStblrCZUl1wSMFdyE"] {
        let mut typed = request(room);
        typed.reason = Some("Let me in".to_owned());
        typed.via = ["a.example", "b.example:8448"].map(|name| name.try_into().expect("a server")).into();
        let ours = knock_request(&typed).expect("a request");
        let id = RoomIdOrAlias::parse(room).expect("a room");
        assert_eq!(ours, KnockRequest::new(id, ["a.example", "b.example:8448"], Some("Let me in")).expect("a request"));
        let back = to_ruma_request(&ours).expect("a request of ruma's");
        assert_eq!((back.room_id_or_alias, back.reason, back.via), (typed.room_id_or_alias, typed.reason, typed.via));
    }
    for (room, error) in [("!", IdError::LocalPart), ("!a:b_c", IdError::ServerName), ("#a:b:+8", IdError::ServerName)]
    {
        assert_eq!(knock_request(&request(room)), Err(RequestError::Identifier(error)), "{room}");
    }
    let mut long = request("!r:a.example");
    long.reason = Some("a".repeat(MAX_REASON_BYTES + 1));
    assert_eq!(knock_request(&long), Err(RequestError::ReasonTooLong { bytes: MAX_REASON_BYTES + 1 }));

    // Servers that only one side takes.
    let mut typed = request("!r:a.example");
    typed.via = ["256.1.1.1", "a.example"].map(|name| name.try_into().expect("a server of ruma's")).into();
    let ours = knock_request(&typed).expect("a request");
    assert_eq!(
        (ours.via().len(), ours.passed_over().first().map(|passed| passed.why)),
        (1, Some(WhyPassedOver::Malformed))
    );
    let id = RoomIdOrAlias::parse("!r:a.example").expect("a room");
    let ours = KnockRequest::new(id, ["a.example:99999"], None).expect("a request");
    let error = to_ruma_request(&ours).map(|_| ()).map_err(|error| error.to_string());
    assert_eq!(error, Err("server name is not a valid IP address or domain name".to_owned()));
}

#[test]
fn responses() {
    let room = RoomId::parse("!r:a.example").expect("a room");
    let ours = KnockResponse::new(room);
    let rumas = knock_response(&ours).expect("a response");
    assert_eq!(rumas.room_id, "!r:a.example");
    assert_eq!(from_ruma_response(&rumas), Ok(ours));
    let only_rumas = Response::new("!a:b_c".try_into().expect("a room of ruma's"));
    assert_eq!(from_ruma_response(&only_rumas), Err(IdError::ServerName));
}

const NAME: &str = r#"{"content":{"name":"Knock! \"é\""},"sender":"@a:a.example","state_key":"","type":"m.room.name"}"#;
const CREATE: &str = r#"{"content":{},"sender":"@a:a.example","state_key":"","type":"m.room.create"}"#;
const KNOCK: &str = r#"{"content":{"membership":"knock"},"sender":"@kay:b.example","state_key":"@kay:b.example","type":"m.room.member"}"#;

fn stripped(text: &str) -> StrippedEvent {
    StrippedEvent::of(&Pdu::parse(text).expect("an event")).expect("a state event")
}

#[test]
fn rooms_of_sync() {
    let user = UserId::parse("@kay:b.example").expect("a user");
    let room = KnockedRoom::new([KNOCK, NAME, CREATE].map(stripped), user);
    let rumas = knocked_room(&room);
    let texts: Vec<&str> = rumas.knock_state.events.iter().map(|event| event.json().get()).collect();
    assert_eq!(texts, [CREATE, NAME, KNOCK]);
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
    assert_eq!(serde_json::to_value(&rumas).expect("JSON"), json(&room.to_string()));
    let read: Result<Vec<_>, _> = rumas.knock_state.events.iter().map(from_raw).collect();
    assert_eq!(read, Ok(room.state().to_vec()));
    for event in &rumas.knock_state.events {
        assert_eq!(
            event.deserialize().map(|event| event.state_key().to_owned()).ok(),
            from_raw(event).ok().map(|event| event.state_key().into_owned())
        );
    }

    let invited = invited_room([CREATE, NAME].map(stripped));
    let texts: Vec<&str> = invited.invite_state.events.iter().map(|event| event.json().get()).collect();
    assert_eq!(texts, [CREATE, NAME]);
    assert!(knocked_room(&KnockedRoom::new(Vec::<StrippedEvent>::new(), user)).is_empty());
}

#[test]
fn stripped_events() {
    for text in [NAME, CREATE, KNOCK] {
        let event = stripped(text);
        let raw = to_raw(event.clone());
        assert_eq!((raw.json().get(), from_raw(&raw)), (text, Ok(event)));
    }
    let message: Raw<AnyStrippedStateEvent> =
        serde_json::from_str(r#"{"content":{},"sender":"@a:a.example","type":"m.room.message"}"#).expect("JSON");
    assert_eq!(from_raw(&message), Err(NotStripped::NotState));
    // Whole or not, an entry is its text.
    let whole = r#"{"auth_events":[],"content":{},"hashes":{},"prev_events":[],"sender":"@a:a.example","signatures":{},"state_key":"","type":"m.room.create"}"#;
    for entry in [whole, NAME] {
        let read: RawStrippedState = serde_json::from_str(entry).expect("an entry");
        assert_eq!((text(&read), matches!(read, RawStrippedState::Pdu(_))), (entry, entry == whole));
    }
}
