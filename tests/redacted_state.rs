//! A `knock_room_state` with events that their room has redacted: the signatures hold, the content
//! hash does not, and the user is shown the redacted event. Every type that a redaction treats in a
//! way of its own or that knockers are shown, in every version; ruma says what a redaction leaves.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#validating-hashes-and-signatures-on-received-events>
#![cfg(feature = "ed25519")]
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test that cannot be set up fails")]

#[path = "oracle/events.rs"]
mod events;

use events::{A, ALICE, AllKeys, KEY_ID, NOW, Room, redacted};
use matrix_knock::event::SignatureError;
use matrix_knock::id::RoomId;
use matrix_knock::knocking::room_state::{Dropped, ReceivedRoomState};
use matrix_knock::stripped_state::TYPES;
use matrix_knock::{Ed25519, RoomVersion};
use serde_json::{Value, json};

/// The types of the stripped state with contents that a redaction takes all or some of.
fn shown_types() -> Vec<(&'static str, &'static str, Value)> {
    let allow = json!([{ "type": "m.room_membership", "room_id": "!other:a.example" }]);
    let thumbnail = json!({ "h": 1, "w": 2, "mimetype": "image/png" });
    vec![
        ("m.room.join_rules", "", json!({ "join_rule": "knock_restricted", "allow": allow, "x": 1 })),
        ("m.room.name", "", json!({ "name": "An insult" })),
        ("m.room.avatar", "", json!({ "url": "mxc://a.example/insult", "info": thumbnail })),
        ("m.room.topic", "", json!({ "topic": "An insult", "m.topic": { "m.text": [{ "body": "An insult" }] } })),
        ("m.room.canonical_alias", "", json!({ "alias": "#insult:a.example", "alt_aliases": ["#b:a.example"] })),
        ("m.room.encryption", "", json!({ "algorithm": "m.megolm.v1.aes-sha2", "rotation_period_msgs": 100 })),
    ]
}

/// Others that a host may choose to show, or that other servers send: what a redaction leaves of
/// them differs by version.
fn other_types() -> Vec<(&'static str, &'static str, Value)> {
    let levels = json!({
        "ban": 50, "events": { "m.room.name": 50 }, "events_default": 0, "invite": 50, "kick": 50, "redact": 50,
        "state_default": 50, "users": { ALICE: 100 }, "users_default": 0, "notifications": { "room": 50 },
    });
    let member = json!({
        "membership": "join", "displayname": "An insult", "reason": "An insult",
        "join_authorised_via_users_server": ALICE,
        "third_party_invite": { "display_name": "x", "signed": { "mxid": ALICE, "token": "t", "signatures": {} } },
    });
    vec![
        ("m.room.power_levels", "", levels),
        ("m.room.member", ALICE, member),
        ("m.room.history_visibility", "", json!({ "history_visibility": "shared", "x": [] })),
        ("m.room.aliases", A, json!({ "aliases": ["#insult:a.example"], "x": {} })),
        ("m.room.guest_access", "", json!({ "guest_access": "can_join" })),
        ("m.room.redaction", "", json!({ "redacts": "$x", "reason": "An insult" })),
        ("org.example.rules", "", json!({ "membership": "join", "creator": ALICE })),
    ]
}

/// Every event of a room, as it was made.
fn made(room: &Room) -> Vec<Value> {
    let types = shown_types().into_iter().chain(other_types());
    let others = types.map(|(event_type, state_key, content)| room.event(event_type, state_key, &content));
    std::iter::once(room.create.clone()).chain(others).collect()
}

/// An event as a client is shown it.
fn stripped(event: &Value) -> String {
    let shown = |name: &str| event[name].clone();
    json!({
        "content": shown("content"), "sender": shown("sender"), "state_key": shown("state_key"), "type": shown("type"),
    })
    .to_string()
}

/// What a client is shown of these entries, and what is dropped.
fn filtered(room: &Room, entries: &[Value]) -> (Vec<String>, Vec<(usize, Dropped)>) {
    let texts: Vec<String> = entries.iter().map(Value::to_string).collect();
    let received = ReceivedRoomState::of_entries(texts.iter().map(String::as_str));
    let room_id = RoomId::parse(&room.id).expect("a room ID");
    let verified = received.verify(room.version, room_id, &AllKeys, &Ed25519, NOW);
    assert_eq!(verified.unverified(), []);
    let shown: Vec<String> = verified.shown().iter().map(|event| event.text().to_owned()).collect();
    let has_create_event = shown.first().is_some_and(|first| first.ends_with(r#","type":"m.room.create"}"#));
    assert_eq!(verified.has_create_event(), has_create_event);
    (shown, verified.dropped().map(|(position, reason)| (position, reason.clone())).collect())
}

/// With what a server keeps beside a redacted event.
fn with_unsigned(event: &Value) -> Value {
    let mut event = event.clone();
    let because = json!({ "type": "m.room.redaction", "content": { "reason": "An insult" }, "sender": ALICE });
    event["unsigned"] = json!({ "age": 1.5, "redacted_because": because, "redacted_by": "$x" });
    event
}

/// With another content, under the old hash and signature.
fn with_content(event: &Value, content: Value) -> Value {
    let mut event = event.clone();
    event["content"] = content;
    event
}

/// One redacted event by itself, in every form in which a server may send it.
#[test]
fn each_type_in_each_version() {
    let mut cells = 0;
    let mut changed = 0;
    for version in RoomVersion::ALL {
        let room = Room::new(version);
        for event in made(&room) {
            let left = redacted(version, &event);
            changed += u32::from(left["content"] != event["content"]);
            let mut more = event["content"].clone();
            more["name"] = json!("Mallory's");
            let is_create = event["type"] == "m.room.create";
            // Of a create event all content stays since v11, and belongs to what is signed.
            let is_signed = is_create && version >= RoomVersion::V11;
            for (sent, shown) in [
                (event.clone(), Some(&event)),
                (left.clone(), Some(&left)),
                (with_unsigned(&left), Some(&left)),
                (with_content(&event, json!({})), Some(&left).filter(|left| left["content"] == json!({}))),
                (with_content(&event, more), Some(&left).filter(|_| !is_signed)),
            ] {
                let expected = match shown {
                    Some(shown) => (vec![stripped(shown)], Vec::new()),
                    // What a redaction keeps is signed: without it the event is another one.
                    None if is_create && version >= RoomVersion::V12 => (Vec::new(), vec![(0, Dropped::OtherRoom)]),
                    None => (Vec::new(), vec![(0, bad_signature())]),
                };
                assert_eq!(filtered(&room, std::slice::from_ref(&sent)), expected, "{version}: {sent}");
                cells += 1;
            }
        }
    }
    assert_eq!((cells, changed), (12 * 14 * 5, 12 * 13 + 10));
}

fn bad_signature() -> Dropped {
    SignatureError::BadSignature { server: A.to_owned(), key_id: KEY_ID.to_owned() }.into()
}

/// A room that has redacted one of its events, two of them, all of them: the others are shown
/// whole.
#[test]
fn any_of_them_among_the_others() {
    for version in RoomVersion::ALL {
        let room = Room::new(version);
        let events = made(&room);
        for first in 0..events.len() {
            for second in first..events.len() {
                let sent: Vec<Value> = (0..)
                    .zip(&events)
                    .map(
                        |(at, event)| {
                            if at == first || at == second { redacted(version, event) } else { event.clone() }
                        },
                    )
                    .collect();
                let expected: Vec<String> = sent.iter().map(stripped).collect();
                assert_eq!(filtered(&room, &sent), (expected, Vec::new()), "{version}: {first}, {second}");
            }
        }
        let sent: Vec<Value> = events.iter().map(|event| redacted(version, event)).collect();
        let expected: Vec<String> = sent.iter().map(stripped).collect();
        assert_eq!(filtered(&room, &sent), (expected, Vec::new()), "{version}");
    }
}

/// The first that holds is shown, whole or redacted.
#[test]
fn both_forms_of_an_event() {
    for version in RoomVersion::ALL {
        let room = Room::new(version);
        for event in made(&room) {
            let left = redacted(version, &event);
            for (first, second) in [(&event, &left), (&left, &event)] {
                let expected = (vec![stripped(first)], vec![(1, Dropped::Repeated)]);
                assert_eq!(filtered(&room, &[first.clone(), second.clone()]), expected, "{version}: {first}");
            }
        }
    }
}

/// The list above is that of the library.
#[test]
fn all_types_that_are_shown() {
    let listed: Vec<&str> =
        std::iter::once("m.room.create").chain(shown_types().into_iter().map(|row| row.0)).collect();
    assert_eq!(listed, TYPES.map(|event_type| event_type.to_string()));
}
