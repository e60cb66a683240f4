//! Events made without this crate: redacted by ruma, hashed by sha2, signed by ed25519-dalek. Every server has one key,
//! which everybody knows.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer as _, SigningKey};
use matrix_knock::RoomVersion;
use matrix_knock::event::{KeyValidity, Keys, VerifyKey};
use ruma_common::room_version_rules::RedactionRules;
use ruma_common::{CanonicalJsonObject, RoomVersionId};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub(crate) const A: &str = "a.example";
pub(crate) const ALICE: &str = "@alice:a.example";
pub(crate) const KEY_ID: &str = "ed25519:1";
pub(crate) const NOW: u64 = 1_700_000_000_000;

/// The secret of a server's key is the first letter of its name.
fn key(server: &str) -> SigningKey {
    SigningKey::from_bytes(&[server.as_bytes()[0]; 32])
}

/// The keys of all servers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AllKeys;

impl Keys for AllKeys {
    fn key(&self, server: &str, key_id: &str) -> Option<VerifyKey> {
        let public_key = key(server).verifying_key().to_bytes();
        (key_id == KEY_ID).then_some(VerifyKey { public_key, validity: KeyValidity::Forever })
    }
}

/// Canonical JSON, of a value without floats: serde_json sorts the keys and escapes as little as it must.
fn canonical(value: &Value) -> String {
    value.to_string()
}

fn without(event: &Value, properties: &[&str]) -> Value {
    let mut event = event.clone();
    let members = event.as_object_mut().expect("an event is an object");
    members.retain(|name, _| !properties.contains(&name.as_str()));
    event
}

fn redaction_rules(version: RoomVersion) -> RedactionRules {
    let id = RoomVersionId::try_from(version.as_str()).expect("a version that ruma knows");
    id.rules().expect("a version that ruma knows").redaction
}

/// What is left of an event whose content was taken back.
pub(crate) fn redacted(version: RoomVersion, event: &Value) -> Value {
    let object: CanonicalJsonObject = serde_json::from_value(event.clone()).expect("canonical JSON");
    let left = ruma_common::canonical_json::redact(object, &redaction_rules(version), None).expect("an event");
    serde_json::to_value(left).expect("JSON")
}

/// What the servers sign, and since version 3 hash for the ID.
fn essential(version: RoomVersion, event: &Value) -> String {
    canonical(&without(&redacted(version, event), &["signatures", "unsigned"]))
}

/// The ID of an event.
pub(crate) fn event_id(version: RoomVersion, event: &Value) -> String {
    let hash = || Sha256::digest(essential(version, event));
    match version {
        RoomVersion::V1 | RoomVersion::V2 => event["event_id"].as_str().expect("an ID in the event").to_owned(),
        RoomVersion::V3 => format!("${}", BASE64_STANDARD_NO_PAD.encode(hash())),
        _ => format!("${}", BASE64_URL_SAFE_NO_PAD.encode(hash())),
    }
}

/// The event with its content hash and the signature of its sender's server.
pub(crate) fn signed(version: RoomVersion, event: &Value) -> Value {
    let mut event = event.clone();
    let hashed = canonical(&without(&event, &["hashes", "signatures", "unsigned"]));
    event["hashes"] = json!({ "sha256": BASE64_STANDARD_NO_PAD.encode(Sha256::digest(hashed)) });
    let (_, server) = event["sender"].as_str().and_then(|sender| sender.split_once(':')).expect("a user ID");
    let signature = key(server).sign(essential(version, &event).as_bytes());
    event["signatures"] = json!({ server: { KEY_ID: BASE64_STANDARD_NO_PAD.encode(signature.to_bytes()) } });
    event
}

/// A room that Alice has made.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    pub(crate) version: RoomVersion,
    pub(crate) id: String,
    /// Its create event, signed.
    pub(crate) create: Value,
}

impl Room {
    pub(crate) fn new(version: RoomVersion) -> Self {
        let mut content = json!({ "room_version": version.as_str(), "type": "m.space", "m.federate": true });
        if version < RoomVersion::V11 {
            content["creator"] = json!(ALICE);
        }
        let mut room = Self { version, id: "!room:a.example".to_owned(), create: Value::Null };
        let mut create = room.draft("m.room.create", "", &content);
        if version >= RoomVersion::V12 {
            create = without(&create, &["room_id"]);
            room.id = event_id(version, &signed(version, &create)).replacen('$', "!", 1);
        }
        Self { create: signed(version, &create), ..room }
    }

    /// A state event of Alice's, not signed yet.
    pub(crate) fn draft(&self, event_type: &str, state_key: &str, content: &Value) -> Value {
        let mut event = json!({
            "type": event_type, "state_key": state_key, "sender": ALICE, "room_id": self.id, "content": content,
            "auth_events": [], "prev_events": [], "depth": 5, "origin_server_ts": NOW,
        });
        if self.version < RoomVersion::V3 {
            event["event_id"] = json!(format!("${event_type}.{}:a.example", state_key.len()));
        }
        event
    }

    /// A state event of Alice's.
    pub(crate) fn event(&self, event_type: &str, state_key: &str, content: &Value) -> Value {
        signed(self.version, &self.draft(event_type, state_key, content))
    }
}
