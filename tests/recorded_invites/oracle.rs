//! Hashes, signatures and canonical forms of the events in here, made without the library.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#signing-events>,
//! <https://spec.matrix.org/v1.19/rooms/v12/#redactions>

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer as _, SigningKey};
use matrix_knock::RoomVersion;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

pub(crate) const KEY_ID: &str = "ed25519:test";

/// The key of a server under [`KEY_ID`]: `hs1` has the seed 1, and so on.
pub(crate) fn key(server: &str) -> SigningKey {
    let seed = server.bytes().find(u8::is_ascii_digit).unwrap();
    SigningKey::from_bytes(&[seed - b'0'; 32])
}

/// The keys of a [`Map`] are sorted, and its text has no escapes but those of canonical JSON.
pub(crate) fn canonical(value: &Value) -> String {
    value.to_string()
}

pub(crate) fn without(event: &Value, names: &[&str]) -> Value {
    let members = event.as_object().unwrap().iter().filter(|(name, _)| !names.contains(&name.as_str()));
    Value::Object(members.map(|(name, value)| (name.clone(), value.clone())).collect())
}

fn is_since(version: RoomVersion, number: u32) -> bool {
    version.as_str().parse::<u32>().unwrap() >= number
}

/// What a redaction leaves.
fn redacted(version: RoomVersion, event: &Value) -> Value {
    let kept_of_content: Option<&[&str]> = match event["type"].as_str().unwrap_or_default() {
        "m.room.create" if is_since(version, 11) => None,
        "m.room.create" => Some(&["creator"]),
        "m.room.join_rules" if is_since(version, 8) => Some(&["allow", "join_rule"]),
        "m.room.join_rules" => Some(&["join_rule"]),
        "m.room.member" if is_since(version, 9) => Some(&["join_authorised_via_users_server", "membership"]),
        "m.room.member" => Some(&["membership"]),
        _ => Some(&[]),
    };
    let mut kept: Map<String, Value> = Map::new();
    for (name, value) in event.as_object().unwrap() {
        let value = match (name.as_str(), kept_of_content) {
            ("content", Some(kept_of_content)) => {
                let names = value.as_object().unwrap().keys().map(String::as_str);
                let dropped: Vec<&str> = names.filter(|name| !kept_of_content.contains(name)).collect();
                let mut kept = without(value, &dropped);
                let signed = &value["third_party_invite"]["signed"];
                if event["type"] == json!("m.room.member") && is_since(version, 11) && !signed.is_null() {
                    kept["third_party_invite"] = json!({ "signed": signed });
                }
                kept
            }
            (
                "content" | "auth_events" | "depth" | "event_id" | "hashes" | "origin_server_ts" | "prev_events"
                | "room_id" | "sender" | "state_key" | "type",
                _,
            ) => value.clone(),
            ("origin" | "membership" | "prev_state", _) if !is_since(version, 11) => value.clone(),
            _ => continue,
        };
        kept.insert(name.clone(), value);
    }
    Value::Object(kept)
}

/// What servers sign.
pub(crate) fn message(version: RoomVersion, event: &Value) -> String {
    canonical(&redacted(version, event))
}

pub(crate) fn event_id(version: RoomVersion, event: &Value) -> String {
    format!("${}", URL_SAFE_NO_PAD.encode(Sha256::digest(message(version, event))))
}

pub(crate) fn content_hash(event: &Value) -> String {
    STANDARD_NO_PAD.encode(Sha256::digest(canonical(&without(event, &["hashes", "signatures", "unsigned"]))))
}

/// The signature of a server by the key of the tests.
pub(crate) fn signature(version: RoomVersion, event: &Value, server: &str) -> String {
    STANDARD_NO_PAD.encode(key(server).sign(message(version, event).as_bytes()).to_bytes())
}

/// Adds the signature of a server by the key of the tests.
pub(crate) fn sign(version: RoomVersion, event: &mut Value, server: &str) {
    let signature = signature(version, event, server);
    event["signatures"][server][KEY_ID] = json!(signature);
}

/// The event with its right content hash, and signed by this server alone: nothing is wrong with it
/// but what is meant to be.
pub(crate) fn made_by(version: RoomVersion, event: &Value, server: &str) -> Value {
    let mut event = without(event, &["signatures", "unsigned"]);
    event["hashes"] = json!({ "sha256": content_hash(&event) });
    sign(version, &mut event, server);
    event
}

/// The event as it goes between servers, with the signature of a server: what the answer to an
/// invite has.
pub(crate) fn countersigned(version: RoomVersion, event: &Value, server: &str) -> String {
    let mut event = without(event, &["unsigned"]);
    sign(version, &mut event, server);
    canonical(&event)
}

/// The event with its four keys for the client.
pub(crate) fn stripped(event: &Value) -> Value {
    json!({
        "content": event["content"], "sender": event["sender"], "state_key": event["state_key"], "type": event["type"],
    })
}
