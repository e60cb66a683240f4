//! Summaries of rooms: what is written from the state and read again, who may see it by a table
//! written from the texts, and what hostile ones cost.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot be set up fails"
)]

#[path = "summary/access.rs"]
mod access;
#[expect(dead_code, reason = "other tests take more of it")]
#[path = "recordings/graph.rs"]
mod graph;
#[path = "summary/joins.rs"]
mod joins;
#[path = "oracle/kay.rs"]
mod kay;
#[path = "summary/reading.rs"]
mod reading;
#[path = "oracle/within.rs"]
mod within;
#[path = "summary/writing.rs"]
mod writing;

use matrix_knock::RoomVersion;
use matrix_knock::id::{RoomId, UserId};
use matrix_knock::state::StateMap;

use self::kay::{KAY, MEMBERSHIPS, Stored, look_up, state_event};

const ROOM: &str = "!room:a.example";

fn state(events: &[(&'static str, &'static str, String)]) -> StateMap<Stored> {
    let stored = events.iter().map(|(event_type, state_key, content)| state_event(event_type, state_key, content));
    stored.collect()
}

fn user() -> UserId<'static> {
    UserId::parse(KAY).expect("a user ID")
}

fn room() -> RoomId<'static> {
    RoomId::parse(ROOM).expect("a room ID")
}

fn versions() -> impl Iterator<Item = (u32, RoomVersion)> {
    (1..).zip(RoomVersion::ALL)
}

/// The rooms of known conditions in their order.
const CONDITIONS: [&str; 4] = ["!n:a.example", "!u:c.example", "!j1:a.example", "!j2"];

/// Every set of them.
fn sets() -> impl Iterator<Item = Vec<&'static str>> {
    (0..1_u32 << CONDITIONS.len())
        .map(|set| (0..).zip(CONDITIONS).filter(|(bit, _)| set & 1 << bit != 0).map(|(_, id)| id).collect())
}
