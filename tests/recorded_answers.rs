//! Reality, seen from the knocking server: every honest answer that a recorded Synapse gave is taken. Where the vectors come from is
//! said in `vectors/README.md`.
#![cfg(feature = "ed25519")]
#![expect(clippy::unwrap_used, reason = "a vector that cannot be read fails the test")]

use std::collections::BTreeSet;

use matrix_knock::event::{Ed25519Key, ServerKeys, content_hash, event_id, sign_event};
use matrix_knock::id::{RoomId, ServerName, UserId};
use matrix_knock::knocking::room_state::ReceivedRoomState;
use matrix_knock::template::{CheckedTemplate, Details, Expected};
use matrix_knock::{Ed25519, RoomVersion};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

const MAKE_KNOCKS: &str = include_str!("vectors/make_knock.jsonl");
const EXCHANGES: &str = include_str!("vectors/exchanges.jsonl");
const ROOMS: &str = include_str!("vectors/rooms.jsonl");
const MORE_EVENTS: &str = include_str!("vectors/more_events.jsonl");
const KEYS: &str = include_str!("vectors/keys.jsonl");

fn lines(text: &'static str) -> impl Iterator<Item = Map<String, Value>> {
    text.lines().map(|line| serde_json::from_str(line).unwrap())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// All versions that a server would offer: it supports each.
fn offered() -> Vec<RoomVersion> {
    RoomVersion::ALL.into_iter().filter(|version| version.rules().knocking).collect()
}

fn keys() -> Vec<ServerKeys> {
    KEYS.lines()
        .map(|document| {
            let value: Value = serde_json::from_str(document).unwrap();
            let server = ServerName::parse(text(value.get("server_name").unwrap())).unwrap();
            ServerKeys::parse(server, document, &Ed25519).unwrap()
        })
        .collect()
}

#[test]
fn every_template_is_taken_and_its_event_keeps_its_place() {
    let key = Ed25519Key::from_seed("ed25519:1", &[1; 32]).expect("a key ID");
    let mut taken = 0;
    for line in lines(MAKE_KNOCKS) {
        let response = line.get("response").unwrap();
        let event = response.get("event").unwrap();
        let get = |key: &str| text(event.get(key).unwrap());
        let (room_id, user_id) = (RoomId::parse(get("room_id")).unwrap(), UserId::parse(get("sender")).unwrap());
        let proposed =
            CheckedTemplate::read(Expected::Knock(&offered()), room_id, user_id, &response.to_string()).unwrap();
        assert_eq!(proposed.version().as_str(), text(response.get("room_version").unwrap()));

        let made = proposed.to_event(&Details::default(), user_id.server_name(), 7);
        let value: Map<String, Value> = serde_json::from_str(&made).unwrap();
        for key in ["auth_events", "prev_events", "depth", "content", "room_id", "sender", "state_key", "type"] {
            assert_eq!(value.get(key), event.get(key), "{key}");
        }
        assert_eq!(value.len(), 10, "{made}");
        let signed = sign_event(proposed.version(), &made, user_id.server_name(), &key).unwrap();
        assert_eq!(event_id(proposed.version(), signed.text()).as_deref(), Ok(signed.event_id()));
        taken += 1;
    }
    assert_eq!(taken, 215);
}

/// What the client is shown of an event.
fn four_keys(text: &str) -> String {
    let event: Map<String, Value> = serde_json::from_str(text).unwrap();
    let kept = ["content", "sender", "state_key", "type"].map(|key| (key.to_owned(), event.get(key).unwrap().clone()));
    Value::Object(kept.into_iter().collect()).to_string()
}

#[test]
fn every_state_that_came_back_is_shown() {
    let keys = keys();
    let mut events: Vec<String> = Vec::new();
    for room in lines(ROOMS).chain(lines(MORE_EVENTS)) {
        for event in room.get("events").unwrap().as_array().unwrap() {
            let pdu: &RawValue = &serde_json::value::to_raw_value(event.get("pdu").unwrap_or(event)).unwrap();
            events.push(pdu.get().to_owned());
        }
    }
    let (mut states, mut shown, mut redacted) = (0, 0, 0);
    for line in lines(EXCHANGES) {
        let Some(numbers) = line.get("response_knock_room_state") else { continue };
        let texts: Vec<&str> = numbers
            .as_array()
            .unwrap()
            .iter()
            .map(|number| events.get(usize::try_from(number.as_u64().unwrap()).unwrap()).unwrap().as_str())
            .collect();
        let answer = format!(r#"{{"knock_room_state":[{}]}}"#, texts.join(","));
        let version: RoomVersion = text(line.get("room_version").unwrap()).parse().unwrap();
        let room_id = RoomId::parse(text(line.get("room_id").unwrap())).unwrap();
        let now = line.get("now").unwrap().as_u64().unwrap();
        let arrival = ReceivedRoomState::of_answer(&answer).verify(version, room_id, &keys, &Ed25519, now);
        assert!(arrival.has_create_event());
        // Each as it came: a topic that was redacted has nothing left to show, and its hash is that
        // of what it was.
        let came: BTreeSet<String> = texts.iter().map(|text| four_keys(text)).collect();
        let found: BTreeSet<String> = arrival.shown().iter().map(ToString::to_string).collect();
        assert_eq!((found, arrival.shown().len()), (came, texts.len()));
        assert_eq!((arrival.dropped().count(), arrival.unverified()), (0, &[][..]));
        shown += texts.len();
        let is_redacted = |text: &&&str| {
            let claimed: Value = serde_json::from_str(text).unwrap();
            *claimed.pointer("/hashes/sha256").unwrap() != *content_hash(version, text).unwrap().to_string()
        };
        redacted += texts.iter().filter(is_redacted).count();
        states += 1;
    }
    assert_eq!((states, shown, redacted), (285, 1014, 5));
}
