//! Writing from the state.

use matrix_knock::RoomVersion;
use matrix_knock::event::{Event, Membership};
use matrix_knock::state::Snapshot;
use matrix_knock::summary::RoomSummary;
use serde_json::{Value, json};

use super::graph::{Graph, ROOMS};
use super::{KAY, MEMBERSHIPS, ROOM, room, state, user};

fn of(events: &[(&'static str, &'static str, Value)]) -> RoomSummary {
    let events: Vec<_> =
        events.iter().map(|(event_type, key, content)| (*event_type, *key, content.to_string())).collect();
    RoomSummary::of_state(room(), RoomVersion::V10, Some(user()), 37, &state(&events)).expect("a whole state")
}

#[test]
fn a_whole_room() {
    let events = [
        ("m.room.create", "", json!({ "type": "m.space" })),
        (
            "m.room.join_rules",
            "",
            json!({ "join_rule": "knock_restricted", "allow": [
            { "type": "m.room_membership", "room_id": "!a:a.example" }, { "type": "x" }, { "type": "m.room_membership", "room_id": "!b" }] }),
        ),
        ("m.room.name", "", json!({ "name": "A \"room\"" })),
        ("m.room.topic", "", json!({ "topic": "Knock!" })),
        ("m.room.canonical_alias", "", json!({ "alias": "#room:a.example" })),
        ("m.room.avatar", "", json!({ "url": "mxc://a.example/abc" })),
        ("m.room.encryption", "", json!({ "algorithm": "m.megolm.v1.aes-sha2" })),
        ("m.room.history_visibility", "", json!({ "history_visibility": "world_readable" })),
        ("m.room.guest_access", "", json!({ "guest_access": "can_join" })),
        ("m.room.member", KAY, json!({ "membership": "invite" })),
    ];
    assert_eq!(of(&events).to_summary(), super::reading::full().to_string());
    // It reads what it says that it reads.
    let whole: Vec<_> =
        events.iter().map(|(event_type, key, content)| (*event_type, *key, content.to_string())).collect();
    let whole = state(&whole);
    let reads = RoomSummary::reads(Some(user()));
    let summary =
        |state: &Snapshot<&super::Stored>| RoomSummary::of_state(room(), RoomVersion::V10, Some(user()), 37, state);
    assert_eq!(summary(&Snapshot::of_events(&reads, whole.iter())), Ok(of(&events)));
    for (event_type, key) in reads.iter() {
        let fewer = reads.iter().filter(|read| *read != (event_type, key)).collect();
        let error = summary(&Snapshot::of_events(&fewer, whole.iter())).expect_err("what was not looked up");
        assert_eq!((error.event_type(), error.state_key()), (event_type, key));
    }
    assert_eq!((reads.len(), RoomSummary::reads(None).len()), (10, 9));
}

#[test]
fn an_empty_and_a_malformed_room() {
    let empty = json!({ "guest_can_join": false, "join_rule": "invite", "membership": "leave", "num_joined_members": 37,
        "room_id": ROOM, "room_version": "10", "world_readable": false });
    assert_eq!(of(&[]).to_summary(), empty.to_string());
    let malformed = [
        ("m.room.create", "", json!({ "type": 5 })),
        ("m.room.join_rules", "", json!({ "join_rule": ["public"] })),
        ("m.room.name", "", json!([])),
        ("m.room.topic", "", json!({ "topic": {} })),
        ("m.room.canonical_alias", "", json!({ "alias": "room" })),
        ("m.room.avatar", "", json!({ "url": "https://a.example/" })),
        ("m.room.encryption", "", json!(null)),
        ("m.room.history_visibility", "", json!({ "history_visibility": true })),
        ("m.room.guest_access", "", json!({ "guest_access": null })),
        ("m.room.member", KAY, json!({ "membership": 1 })),
    ];
    assert_eq!(of(&malformed).to_summary(), empty.to_string());
}

#[test]
fn memberships() {
    for own in MEMBERSHIPS {
        let events: Vec<_> = own.iter().map(|own| ("m.room.member", KAY, json!({ "membership": own }))).collect();
        let expected: Membership = own.unwrap_or("leave").parse().expect("a membership");
        assert_eq!(of(&events).membership, Some(expected));
        let events: Vec<_> =
            events.iter().map(|(event_type, key, content)| (*event_type, *key, content.to_string())).collect();
        let unknown = RoomSummary::of_state(room(), RoomVersion::V10, None, 1, &state(&events)).expect("a whole state");
        assert_eq!(unknown.membership, None);
        assert!(!unknown.to_summary().contains("membership"));
    }
}

#[test]
fn topics() {
    for (content, topic) in [
        (json!({ "topic": "a" }), Some("a")),
        (
            json!({ "topic": "a", "m.topic": { "m.text": [{ "mimetype": "text/html", "body": "<b>b</b>" }, { "body": "b" }] } }),
            Some("b"),
        ),
        (
            json!({ "topic": "a", "m.topic": { "m.text": [{ "mimetype": "text/plain", "body": "b" }, { "body": "c" }] } }),
            Some("b"),
        ),
        (json!({ "topic": "a", "m.topic": { "m.text": [{ "mimetype": "text/html", "body": "<b>b</b>" }] } }), None),
        (json!({ "topic": "a", "m.topic": { "m.text": {} } }), Some("a")),
        (json!({ "topic": "a", "m.topic": [] }), Some("a")),
        (json!({}), None),
    ] {
        assert_eq!(of(&[("m.room.topic", "", content.clone())]).topic.as_deref(), topic, "{content}");
    }
}

#[test]
fn large_numbers() {
    let summary = RoomSummary::of_state(room(), RoomVersion::V1, None, u64::MAX, &state(&[])).expect("a whole state");
    assert!(summary.to_public_rooms().contains(r#""num_joined_members":9007199254740991"#));
}

#[test]
fn recorded_rooms() {
    let (mut rooms, mut restricted) = (0, 0);
    for line in ROOMS.lines() {
        let graph = Graph::read(line);
        let state =
            graph.room.current_state.iter().filter_map(|id| graph.events.get(id).map(|(event, ..)| event)).collect();
        let state: matrix_knock::state::StateMap<_> = state;
        let Some(create) = graph.create() else { continue };
        let id = matrix_knock::id::RoomId::parse(ROOM).expect("a room ID");
        let summary = RoomSummary::of_state(id, graph.version, None, 1, &state).expect("a whole state");
        assert_eq!(RoomSummary::parse(&summary.to_summary()), Ok(summary.clone()), "{}", create.id);
        let expected = state
            .iter()
            .find(|event| event.event_type() == "m.room.join_rules")
            .map(|event| serde_json::from_str::<Value>(event.content()).expect("JSON"));
        let named = expected.as_ref().and_then(|rules| rules["join_rule"].as_str()).unwrap_or("invite");
        assert_eq!(summary.join_rule, named);
        rooms += 1;
        restricted += usize::from(!summary.allowed_room_ids.is_empty());
    }
    assert_eq!((rooms, restricted), (124, 32));
}
