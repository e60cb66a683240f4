//! What a redaction keeps, in every version, against the lists of the specification:
//! <https://spec.matrix.org/v1.19/rooms/v5/#redactions>, <https://spec.matrix.org/v1.19/rooms/v10/#redactions>,
//! <https://spec.matrix.org/v1.19/rooms/v12/#redactions>
#![expect(clippy::expect_used, reason = "a test that cannot be set up fails")]

use matrix_knock::RoomVersion;
use matrix_knock::event::{PduError, content_hash, redact, reference_hash, room_id_of_create, without_event_id};
use matrix_knock::json::JsonErrorKind;
use serde_json::{Map, Value, json};

/// Every key that any version keeps of any content, and some that none does.
const CONTENT_KEYS: [&str; 21] = [
    "aliases",
    "allow",
    "ban",
    "body",
    "creator",
    "events",
    "events_default",
    "history_visibility",
    "invite",
    "join_authorised_via_users_server",
    "join_rule",
    "kick",
    "m.federate",
    "membership",
    "reason",
    "redact",
    "redacts",
    "state_default",
    "users",
    "users_default",
    "notifications",
];

/// The keys of the content that stay, as the specification lists them.
fn kept(version: u8, event_type: &str) -> Vec<&'static str> {
    let levels = ["ban", "events", "events_default", "kick", "redact", "state_default", "users", "users_default"];
    match (event_type, version) {
        ("m.room.member", 1..=8) => vec!["membership"],
        ("m.room.member", _) => vec!["membership", "join_authorised_via_users_server"],
        ("m.room.create", 1..=10) => vec!["creator"],
        ("m.room.create", _) => CONTENT_KEYS.to_vec(),
        ("m.room.join_rules", 1..=7) => vec!["join_rule"],
        ("m.room.join_rules", _) => vec!["join_rule", "allow"],
        ("m.room.power_levels", 1..=10) => levels.to_vec(),
        ("m.room.power_levels", _) => levels.into_iter().chain(["invite"]).collect(),
        ("m.room.aliases", 1..=5) => vec!["aliases"],
        ("m.room.history_visibility", _) => vec!["history_visibility"],
        ("m.room.redaction", 11..) => vec!["redacts"],
        _ => Vec::new(),
    }
}

fn redacted(version: RoomVersion, event: &Value) -> Value {
    let text = redact(version, &event.to_string()).expect("an event");
    serde_json::from_str(&text).expect("JSON")
}

fn numbered(version: RoomVersion) -> u8 {
    version.as_str().parse().expect("a number")
}

#[test]
fn contents() {
    for version in RoomVersion::ALL {
        for event_type in [
            "m.room.aliases",
            "m.room.create",
            "m.room.history_visibility",
            "m.room.join_rules",
            "m.room.member",
            "m.room.power_levels",
            "m.room.redaction",
            "m.room.message",
            "m.room.name",
            "org.example",
        ] {
            let content: Map<String, Value> =
                CONTENT_KEYS.iter().map(|key| ((*key).to_owned(), json!([key]))).collect();
            let stays: Map<String, Value> =
                kept(numbered(version), event_type).iter().map(|key| ((*key).to_owned(), json!([key]))).collect();
            let event = json!({ "type": event_type, "content": content });
            let expected = json!({ "type": event_type, "content": stays });
            assert_eq!(redacted(version, &event), expected, "{event_type} in version {version}");
        }
    }
}

#[test]
fn keys_of_the_event() {
    let always = [
        "auth_events",
        "depth",
        "event_id",
        "hashes",
        "origin_server_ts",
        "prev_events",
        "room_id",
        "sender",
        "signatures",
        "state_key",
    ];
    let before_11 = ["membership", "origin", "prev_state"];
    let never = ["age_ts", "redacts", "replaces_state", "unsigned", "x"];
    for version in RoomVersion::ALL {
        let all = always.iter().chain(&before_11).chain(&never);
        let mut event: Map<String, Value> = all.map(|key| ((*key).to_owned(), json!({ "a": key }))).collect();
        event.insert("type".to_owned(), json!("m.room.member"));
        let old = if version < RoomVersion::V11 { before_11.as_slice() } else { &[] };
        let mut expected: Map<String, Value> =
            always.iter().chain(old).map(|key| ((*key).to_owned(), json!({ "a": key }))).collect();
        expected.insert("type".to_owned(), json!("m.room.member"));
        assert_eq!(redacted(version, &Value::Object(event)), Value::Object(expected), "{version}");
    }
}

#[test]
fn odd_contents() {
    for version in RoomVersion::ALL {
        let since_11 = version >= RoomVersion::V11;
        for (invite, stays) in [
            (json!({ "signed": { "a": 1 }, "display_name": "x" }), Some(json!({ "signed": { "a": 1 } }))),
            (json!({ "signed": null }), Some(json!({ "signed": null }))),
            (json!({ "display_name": "x" }), Some(json!({}))),
            (json!({}), Some(json!({}))),
            (json!(null), None),
            (json!([1]), None),
            (json!("x"), None),
        ] {
            let event = json!({ "type": "m.room.member", "content": { "third_party_invite": invite, "reason": "x" } });
            let expected = match stays.filter(|_| since_11) {
                Some(stays) => json!({ "type": "m.room.member", "content": { "third_party_invite": stays } }),
                None => json!({ "type": "m.room.member", "content": {} }),
            };
            assert_eq!(redacted(version, &event), expected, "{version}");
        }
        for content in [json!([1]), json!(null), json!("x")] {
            for event_type in ["m.room.member", "m.room.create", "m.room.message"] {
                let event = json!({ "type": event_type, "content": content });
                let stays = if since_11 && event_type == "m.room.create" { content.clone() } else { json!({}) };
                assert_eq!(redacted(version, &event), json!({ "type": event_type, "content": stays }));
            }
        }
        assert_eq!(redacted(version, &json!({ "type": "m.room.member" })), json!({ "type": "m.room.member" }));
    }
    // The type may stand anywhere, be written with escapes, and stand elsewhere too.
    let odd = r#"{"content":{"membership":"x","creator":"y","a":",\"type\":\"m.room.member\""},"typ\u0065":"m.room.cr\u0065ate"}"#;
    let expected = r#"{"content":{"creator":"y"},"type":"m.room.create"}"#;
    assert_eq!(redact(RoomVersion::V10, odd).as_deref(), Ok(expected));
}

#[test]
fn what_cannot_be_redacted() {
    let kind = |text: &str| match redact(RoomVersion::V10, text) {
        Err(PduError::Json(error)) => Some(error.kind()),
        _ => None,
    };
    assert_eq!(
        kind(r#"{"type":"m.room.member","x":1,"content":{"membership":1.5}}"#),
        Some(JsonErrorKind::NumberNotAllowed)
    );
    assert_eq!(kind(r#"{"type":"m.room.member","type":"m.room.name"}"#), None);
    assert_eq!(redact(RoomVersion::V10, r#"{"type":"a","type":"b"}"#), Err(PduError::WrongKind("type")));
    assert_eq!(redact(RoomVersion::V10, r#"{"type":1}"#), Err(PduError::WrongKind("type")));
    assert_eq!(redact(RoomVersion::V10, "{}"), Err(PduError::Missing("type")));
    assert_eq!(redact(RoomVersion::V10, "[]"), Err(PduError::NotAnObject));
    // What goes may be anything that is JSON.
    let float = r#"{"content":{"body":1.5},"type":"m.room.message","unsigned":{"a":1,"a":1e9}}"#;
    assert_eq!(redact(RoomVersion::V10, float).as_deref(), Ok(r#"{"content":{},"type":"m.room.message"}"#));
}

#[test]
fn notes_of_event_ids() {
    let noted = r#"{ "event_id" : "$x" , "typ\u0065":"a" ,"b":1.0,"b":-0,"event\u005fid":1}"#;
    for version in RoomVersion::ALL {
        let stripped = without_event_id(version, noted);
        let expected = if version < RoomVersion::V3 { noted } else { r#"{"typ\u0065":"a","b":1.0,"b":-0}"# };
        assert_eq!(stripped.as_deref(), Ok(expected), "{version}");
        assert_eq!(without_event_id(version, "[1]").as_deref(), Ok("[1]"));
        let only = if version < RoomVersion::V3 { r#"{"event_id":1}"# } else { "{}" };
        assert_eq!(without_event_id(version, r#"{"event_id":1}"#).as_deref(), Ok(only));
        let room_id = room_id_of_create(version, "$hash");
        assert_eq!(room_id.as_deref(), Some("!hash").filter(|_| version == RoomVersion::V12));
    }
    assert_eq!(room_id_of_create(RoomVersion::V12, "hash"), None);
    assert_eq!(
        without_event_id(RoomVersion::V10, "{} x").map_err(|error| error.kind()),
        Err(JsonErrorKind::TrailingCharacters)
    );
    let hash = reference_hash(RoomVersion::V10, r#"{"type":"X","depth":6,"content":{}}"#).map(|hash| hash.to_string());
    assert_eq!(hash.as_deref(), Ok("q/w7YUBP7NR3arNe5+SzZFtyE6qxaqfvoaOtbxaD6es"));
}

#[test]
fn what_is_no_object_has_no_hash() {
    for version in RoomVersion::ALL {
        for text in ["[]", "1", "null", r#""{}""#] {
            assert_eq!(content_hash(version, text), Err(PduError::NotAnObject), "{text}");
            assert_eq!(reference_hash(version, text), Err(PduError::NotAnObject), "{text}");
        }
    }
}
