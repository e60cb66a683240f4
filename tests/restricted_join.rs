//! Who may join a restricted room outright: every version, join rule, membership, set of known and
//! unknown conditions and malformed entry, against a table written from the texts.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot be set up fails"
)]

#[path = "restricted_join/authorizing.rs"]
mod authorizing;
#[expect(dead_code, reason = "other tests take more of it")]
#[path = "recordings/graph.rs"]
mod graph;
#[path = "restricted_join/hostile.rs"]
mod hostile;
#[path = "oracle/kay.rs"]
mod kay;
#[path = "restricted_join/product.rs"]
mod product;
#[path = "restricted_join/recorded.rs"]
mod recorded;
#[path = "oracle/within.rs"]
mod within;

use matrix_knock::RoomVersion;
use matrix_knock::event::Event;
use matrix_knock::id::{RoomId, UserId};
use matrix_knock::state::StateMap;
use serde_json::{Value, json};

use self::kay::{ALICE, KAY, Stored, look_up, state_event};

fn user(id: &'static str) -> UserId<'static> {
    UserId::parse(id).expect("a user ID")
}

fn room(id: &str) -> RoomId<'_> {
    RoomId::parse(id).expect("a room ID")
}

/// A room of Alice's with these join rules and this membership of Kay's.
fn state(join_rules: Option<&str>, own: Option<&str>) -> StateMap<Stored> {
    let mut state = StateMap::from([state_event("m.room.create", "", &format!(r#"{{"creator":"{ALICE}"}}"#))]);
    state.extend(join_rules.map(|content| state_event("m.room.join_rules", "", content)));
    state.extend(own.map(|own| state_event("m.room.member", KAY, &format!(r#"{{"membership":"{own}"}}"#))));
    state
}

/// Those of the specification, and two of the host's own that go by them.
fn versions() -> impl Iterator<Item = (u32, RoomVersion)> {
    let unstable = [("org.example.like-9", RoomVersion::V9, 9), ("org.example.like-12", RoomVersion::V12, 12)];
    let unstable = unstable.map(|(name, like, number)| (number, RoomVersion::unstable(name, like).expect("a version")));
    (1..).zip(RoomVersion::ALL).chain(unstable)
}

fn condition(room_id: &str) -> Value {
    json!({ "type": "m.room_membership", "room_id": room_id })
}

fn content(event: &impl Event) -> Value {
    serde_json::from_str(event.content()).expect("JSON")
}
