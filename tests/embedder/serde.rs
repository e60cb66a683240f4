//! What is stored, and what is JSON on the wire.

use std::fmt::Debug;

use matrix_knock::client::{KnockRequest, KnockResponse};
use matrix_knock::error::{Errcode, ErrorResponse};
use matrix_knock::event::{KeyValidity, Membership, Pdu, ServerKeys, Verify, VerifyKey};
use matrix_knock::id::{EventId, OwnedServerName, RoomId, RoomIdOrAlias, ServerName, UserId};
use matrix_knock::knocking::room_state::ReceivedRoomState;
use matrix_knock::knocking::{Details, Failed, Failure, Intent, Knocking, OwnMembership, Retracting, Start};
use matrix_knock::machine::Machine as _;
use matrix_knock::room_version::RoomVersion;
use matrix_knock::state::StateMap;
use matrix_knock::stripped_state::{MAX_SHOWN_DEPTH, NotStripped, StrippedEvent};
use matrix_knock::sync::{KnockedRoom, MemberEventKey};
use matrix_knock::template::{CheckedTemplate, PrevEvent, Template};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{CREATE, JOIN_RULES, KNOCK, NAME, knock, pending_knock, stripped};

/// Stores a value as text and as a value, and takes it back.
fn stored<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) -> Value {
    let text = serde_json::to_string(value).unwrap();
    assert_eq!(serde_json::from_str::<T>(&text).unwrap(), *value, "{text}");
    let json = serde_json::to_value(value).unwrap();
    assert_eq!(serde_json::from_value::<T>(json.clone()).unwrap(), *value, "{text}");
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json);
    json
}

struct Anything;

impl Verify for Anything {
    fn verify(&self, _public_key: &[u8; 32], _message: &[u8], _signature: &[u8; 64]) -> bool {
        true
    }
}

#[test]
fn what_hosts_store() {
    for (failure, perhaps) in [
        (Failure::NoServers, None),
        (Failure::OwnMembership { membership: Membership::Ban }, None),
        (Failure::IncompatibleRoomVersion { room_version: "13".to_owned() }, None),
        (Failure::RateLimited { retry_after_ms: Some(u64::MAX) }, None),
        (Failure::NoKnocking, None),
        (Failure::Refused { status: 403, errcode: Some("M_USER_DEACTIVATED".into()) }, Some(pending_knock())),
        (Failure::Refused { status: 500, errcode: None }, None),
        (Failure::NoAnswer, Some(pending_knock())),
    ] {
        stored(&failure);
        let mut failed = Failed::from(failure);
        failed.perhaps = perhaps;
        stored(&failed);
    }
    stored(&pending_knock());
    for validity in [KeyValidity::Until(u64::MAX), KeyValidity::Expired(0), KeyValidity::Forever] {
        let json = stored(&VerifyKey { public_key: [0xFB; 32], validity });
        assert_eq!(json.get("public_key"), Some(&json!("+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s")));
    }
    let document = r#"{"server_name":"a.example","valid_until_ts":9,
        "verify_keys":{"ed25519:1":{"key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}},
        "old_verify_keys":{"ed25519:0":{"key":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","expired_ts":5}},
        "signatures":{"a.example":{"ed25519:1":"SIG"}}}"#;
    let document = document.replace("SIG", &"A".repeat(86));
    stored(&ServerKeys::parse(ServerName::parse("a.example").unwrap(), &document, &Anything).unwrap());
    stored(&ReceivedRoomState::of_entries([CREATE, "{}", "no JSON"]));
    stored(&Details { reason: Some("é\n".to_owned()), ..Details::default() });
    for version in RoomVersion::ALL {
        assert_eq!(stored(&version), version.as_str());
    }
    for membership in [Membership::Ban, Membership::Invite, Membership::Join, Membership::Knock, Membership::Leave] {
        assert_eq!(stored(&membership), membership.as_str());
    }
}

#[test]
fn machines_are_stored_in_between() {
    let servers = [OwnedServerName::parse("a.example").unwrap()];
    let start = Knocking::start(&Intent {
        room_id: RoomId::parse("!r:a.example").unwrap(),
        user_id: UserId::parse("@kay:b.example").unwrap(),
        own: OwnMembership::OutOfBand,
        servers: &servers,
        versions: &RoomVersion::ALL,
        details: &Details::default(),
    });
    let Start::Remote(knocking) = start else { panic!("{start:?}") };
    stored(&*knocking);
    let (ticket, _) = knocking.want();
    stored(&ticket);
    stored(&Retracting::of_knock(&pending_knock(), &servers, Some("changed my mind")));
}

#[test]
fn what_is_json_on_the_wire() {
    for errcode in Errcode::ALL.into_iter().chain(["M_NONE", "ORG.\"Ü", ""].map(Errcode::from)) {
        let text = errcode.as_str();
        assert_eq!(stored(&errcode), text);
        assert_eq!((text.parse(), Errcode::from(text)), (Ok(errcode.clone()), errcode.clone()));
        assert_eq!((Errcode::from(text.to_owned()), String::from(errcode.clone())), (errcode.clone(), text.to_owned()));
        assert!(errcode == *text && errcode == text);
        assert_eq!((errcode.as_ref(), errcode.to_string()), (text, text.to_owned()));
    }
    let response = ErrorResponse::limit_exceeded(Some(1500));
    let expected = json!({ "errcode": "M_LIMIT_EXCEEDED", "error": "Too many requests", "retry_after_ms": 1500 });
    assert_eq!(json!(response), expected);
    assert_eq!(serde_json::to_string(&response).unwrap(), response.to_string());
    assert_eq!(
        json!({ "failed": { "@kay:b.example": response } }),
        json!({ "failed": { "@kay:b.example": expected } })
    );

    let room = RoomIdOrAlias::parse("!r:a.example").unwrap();
    let request = KnockRequest::new(room, ["a.example"], Some("\"Hello?\"")).unwrap();
    assert_eq!(json!(request), json!({ "reason": "\"Hello?\"" }));
    assert_eq!(json!(KnockRequest::new(room, [], None).unwrap()), json!({}));
    assert_eq!(json!(KnockResponse::new(RoomId::parse("!r:a.example").unwrap())), json!({ "room_id": "!r:a.example" }));

    let knock = knock();
    assert_eq!(json!({ "pdus": [knock] }), json!({ "pdus": [serde_json::from_str::<Value>(knock.text()).unwrap()] }));
    let template = template();
    assert_eq!(json!(template), serde_json::from_str::<Value>(&template.to_response()).unwrap());
    stored(&CheckedTemplate::from(template));
}

fn template() -> Template {
    let [create, rules] = [CREATE, JOIN_RULES].map(|text| Pdu::parse(text).unwrap());
    Template::knock(
        RoomVersion::V10,
        RoomId::parse("!r:a.example").unwrap(),
        UserId::parse("@kay:b.example").unwrap(),
        &StateMap::from([create, rules]),
        &[PrevEvent { event_id: EventId::parse("$rules").unwrap(), depth: 2 }],
        1_700_000_000_000,
    )
    .unwrap()
}

/// An object in JSON, not a string with JSON in it.
#[test]
fn stripped_events_in_json() {
    let event = stripped(NAME);
    let expected = json!({
        "type": "m.room.name",
        "state_key": "",
        "sender": "@alice:a.example",
        "content": { "n": [1.5, 0], "name": "Knock!" },
    });
    assert_eq!(json!({ "events": [event] }), json!({ "events": [expected] }));
    assert_eq!(serde_json::to_string(&event).unwrap(), event.text());
    assert_eq!(stored(&event), expected);
    // Of any state event; what is not shown falls away.
    let whole: Value = serde_json::from_str(KNOCK).unwrap();
    let of_text: StrippedEvent = serde_json::from_str(KNOCK).unwrap();
    let of_value: StrippedEvent = serde_json::from_value(whole.clone()).unwrap();
    let of_list: Vec<StrippedEvent> = serde_json::from_value(json!([whole, expected])).unwrap();
    assert_eq!(of_text, stripped(KNOCK));
    assert_eq!((&of_value, of_list), (&of_text, vec![of_text.clone(), event.clone()]));
    let of_slice: StrippedEvent = serde_json::from_slice(KNOCK.as_bytes()).unwrap();
    assert_eq!(of_slice, of_text);
    // As a text it is the same to the byte.
    let text = String::from(event.clone());
    assert_eq!((text.as_str(), StrippedEvent::try_from(text.clone())), (event.text(), Ok(event.clone())));
    for malformed in [
        json!(null),
        json!("m.room.name"),
        json!([]),
        json!({}),
        json!({ "type": "t", "sender": "@a:b", "content": {} }),
        json!({ "type": "t", "sender": "@a:b", "state_key": "", "content": [] }),
    ] {
        let error = serde_json::from_value::<StrippedEvent>(malformed.clone()).unwrap_err().to_string();
        let error_of_text = StrippedEvent::try_from(malformed.to_string()).unwrap_err();
        assert_eq!(error, error_of_text.to_string());
    }
    let no_state = json!({ "type": "t", "sender": "@a:b", "content": {} });
    assert_eq!(StrippedEvent::try_from(no_state.to_string()), Err(NotStripped::NotState));
}

/// Numbers and keys of other people's contents, through serde_json with none of its features on. (With all of them on:
/// `feature_unification`.)
#[test]
fn whatever_is_in_a_content() {
    let event = |content: &str| format!(r#"{{"content":{content},"sender":"@a:b","state_key":"","type":"t"}}"#);
    for (content, read, written) in [
        ("{}", "{}", "{}"),
        (r#"{"a":1.5}"#, r#"{"a":1.5}"#, r#"{"a":1.5}"#),
        (r#"{"a":18446744073709551615}"#, r#"{"a":18446744073709551615}"#, r#"{"a":18446744073709551615}"#),
        (r#"{"a":-9223372036854775808}"#, r#"{"a":-9223372036854775808}"#, r#"{"a":-9223372036854775808}"#),
        // A number is what it counts, not how it is spelled.
        (r#"{"a":1e2}"#, r#"{"a":100.0}"#, r#"{"a":100.0}"#),
        (r#"{"a":-0}"#, r#"{"a":-0.0}"#, r#"{"a":0}"#),
        // Nothing in the names of keys means anything.
        (
            r#"{"$serde_json::private::Number":"1.5"}"#,
            r#"{"$serde_json::private::Number":"1.5"}"#,
            r#"{"$serde_json::private::Number":"1.5"}"#,
        ),
        (
            r#"{"a":{"$serde_json::private::Number":"x","b":1}}"#,
            r#"{"a":{"$serde_json::private::Number":"x","b":1}}"#,
            r#"{"a":{"$serde_json::private::Number":"x","b":1}}"#,
        ),
    ] {
        let of_text: StrippedEvent = serde_json::from_str(&event(content)).unwrap();
        assert_eq!(of_text.content(), read);
        let value: Value = serde_json::from_str(&event(content)).unwrap();
        assert_eq!(StrippedEvent::deserialize_of(&value).content(), read);
        assert_eq!(serde_json::from_value::<StrippedEvent>(value).unwrap().content(), read);
        let as_it_is = StrippedEvent::try_from(event(content)).unwrap();
        assert_eq!((as_it_is.content(), serde_json::to_string(&as_it_is).unwrap()), (content, event(written)));
    }
    // A value of serde_json's own is not made of this one, but of what stands in it.
    let content = r#"{"$serde_json::private::RawValue":"[]"}"#;
    let of_text: StrippedEvent = serde_json::from_str(&event(content)).unwrap();
    assert_eq!(serde_json::to_string(&of_text).unwrap(), event(content));
    for (content, read) in [(r#"{"a":1e300}"#, 1e300), (r#"{"a":5e-324}"#, 5e-324)] {
        let of_text: StrippedEvent = serde_json::from_str(&event(content)).unwrap();
        let value: Value = serde_json::from_str(of_text.content()).unwrap();
        assert_eq!(value, json!({ "a": read }));
        assert_eq!(json!(of_text).get("content"), Some(&value));
    }
}

trait OfReference {
    fn deserialize_of(value: &Value) -> Self;
}

impl OfReference for StrippedEvent {
    /// From a value that is borrowed, which hands its strings over in another way.
    fn deserialize_of(value: &Value) -> Self {
        serde::Deserialize::deserialize(value).unwrap()
    }
}

/// An event may have 128 levels. A client gets no more of them than fit into the whole answer,
/// whose reader may stop at 128.
#[test]
fn rooms_with_deep_events() {
    let user = UserId::parse("@kay:b.example").unwrap();
    let deep = |levels: usize| {
        let content = format!(r#"{{"a":{}{}}}"#, "[".repeat(levels - 2), "]".repeat(levels - 2));
        let text = format!(r#"{{"content":{content},"sender":"@a:b","state_key":"","type":"t"}}"#);
        StrippedEvent::try_from(text).unwrap()
    };
    assert_eq!(MAX_SHOWN_DEPTH, 120);
    for levels in [100, 119, 120, 121, 122, 127, 128] {
        let event = deep(levels);
        assert_eq!(serde_json::to_string(&event).unwrap(), event.text(), "{levels}");
        let room = KnockedRoom::new(vec![event.clone()], user);
        let shown = if levels <= 120 { vec![event] } else { Vec::new() };
        assert_eq!(room.state(), shown, "{levels}");
        assert_eq!(serde_json::to_string(&room).unwrap(), room.to_string(), "{levels}");
        // serde_json reads no more than 127 levels.
        let answer = format!(r#"{{"rooms":{{"knock":{}}}}}"#, KnockedRoom::section([("!r:a.example", &room)]));
        assert!(serde_json::from_str::<Value>(&answer).is_ok(), "{levels}");
    }
    let pdu = Pdu::parse(KNOCK).unwrap();
    let event_id = EventId::parse("$knock").unwrap();
    let room = KnockedRoom::new(vec![stripped(CREATE)], user);
    let room = room.with_member_event(MemberEventKey::Unstable, event_id, &pdu, 1_700_000_000_000);
    let expected: Value = serde_json::from_str(&room.to_string()).unwrap();
    assert_eq!(json!({ "!r:a.example": room }), json!({ "!r:a.example": expected }));
    assert!(expected.pointer("/org.matrix.msc4319.state/events/0/content/membership").is_some());
}
