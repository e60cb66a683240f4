//! Policy servers and their signatures.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use matrix_knock::event::{Ed25519Key, Pdu, sign_event};
use matrix_knock::policy::{PolicyServer, PolicySignature};
use matrix_knock::wire::HttpResponse;
use matrix_knock::{Ed25519, RoomVersion};
use serde_json::{Value, json};

use crate::room::{ALICE, HERE, Room, key, name};

pub(crate) const P: &str = "p.example";
pub(crate) const Q: &str = "q.example";
pub(crate) const KEY_ID: &str = "ed25519:policy_server";

/// A policy server's key: not the one that it signs its own events with.
pub(crate) fn secret(number: u8) -> Ed25519Key {
    Ed25519Key::from_seed(KEY_ID, &[number; 32]).unwrap()
}

pub(crate) fn server(server: &str, key: u8) -> PolicyServer {
    PolicyServer::new(name(server).into_owned(), secret(key).public_key())
}

pub(crate) fn content(server: &str, key: u8) -> Value {
    let key = BASE64_STANDARD_NO_PAD.encode(secret(key).public_key());
    json!({ "via": server, "public_keys": { "ed25519": key } })
}

/// The room with this policy server.
pub(crate) fn naming(room: &Room, server: &str, key: u8) -> Room {
    let mut room = room.clone();
    room.send(ALICE, "m.room.policy", "", content(server, key));
    room
}

/// Another event by the same sender.
pub(crate) fn another(version: RoomVersion, text: &str) -> String {
    let mut event: Value = text.parse().unwrap();
    event.as_object_mut().unwrap().retain(|key, _| !["hashes", "signatures"].contains(&key.as_str()));
    event["depth"] = json!(1);
    sign_event(version, &event.to_string(), name(HERE), &key(HERE)).unwrap().into_text()
}

/// What the policy server answers if it has nothing against the event.
pub(crate) fn signed(version: RoomVersion, text: &str, server: &str, key: u8) -> Value {
    let with = sign_event(version, text, name(server), &secret(key)).unwrap();
    let signatures = &with.text().parse::<Value>().unwrap()["signatures"];
    json!({ server: { KEY_ID: signatures[server][KEY_ID] } })
}

/// The event with the signature in it.
pub(crate) fn with(text: &str, signatures: &Value) -> String {
    let mut event: Value = text.parse().unwrap();
    event["signatures"].as_object_mut().unwrap().extend(signatures.as_object().unwrap().clone());
    event.to_string()
}

pub(crate) fn signature(version: RoomVersion, text: &str, by: &str, key: u8) -> PolicySignature {
    let body = signed(version, text, by, key).to_string();
    let event = Pdu::parse(text).unwrap().check_format(version).unwrap();
    server(by, key).read_answer(&event, Some(HttpResponse::new(200, &body)), &Ed25519).unwrap()
}
