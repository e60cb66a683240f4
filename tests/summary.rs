//! Summaries of rooms: what is written from the state and read again, who may see it by a table
//! written from the texts, and what hostile ones cost.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
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
#[path = "summary/reading.rs"]
mod reading;
#[path = "oracle/within.rs"]
mod within;
#[path = "summary/writing.rs"]
mod writing;

use std::borrow::Cow;

use matrix_knock::RoomVersion;
use matrix_knock::event::Event;
use matrix_knock::id::{RoomId, UserId};
use matrix_knock::restricted_join::RoomMembership;
use matrix_knock::state::StateMap;

const KAY: &str = "@kay:b.example";
const ROOM: &str = "!room:a.example";

/// A state event with whatever content.
#[derive(Debug, Clone, PartialEq)]
struct Stored {
    event_type: &'static str,
    state_key: &'static str,
    content: String,
}

impl Event for Stored {
    fn event_type(&self) -> Cow<'_, str> {
        self.event_type.into()
    }

    fn state_key(&self) -> Option<&str> {
        Some(self.state_key)
    }

    fn sender(&self) -> &str {
        "@alice:a.example"
    }

    fn content(&self) -> &str {
        &self.content
    }

    fn room_id(&self) -> Option<&str> {
        None
    }

    fn event_id(&self) -> Option<&str> {
        None
    }

    fn sole_prev_event(&self) -> Option<&str> {
        None
    }
}

fn state(events: &[(&'static str, &'static str, String)]) -> StateMap<Stored> {
    let stored = events.iter().map(|(event_type, state_key, content)| Stored {
        event_type,
        state_key,
        content: content.clone(),
    });
    stored.collect()
}

fn user() -> UserId<'static> {
    UserId::parse(KAY).expect("a user ID")
}

fn room() -> RoomId<'static> {
    RoomId::parse(ROOM).expect("a room ID")
}

/// Kay, or a user of the server, is joined to rooms with a `j`, not joined to those with an `n`, and
/// this server does not know those with a `u`.
fn look_up(id: RoomId<'_>) -> RoomMembership {
    match id.as_str().as_bytes().get(1) {
        Some(b'j') => RoomMembership::Joined,
        Some(b'n') => RoomMembership::NotJoined,
        Some(b'u') => RoomMembership::NotKnown,
        _ => panic!("asked for `{id}`"),
    }
}

fn versions() -> impl Iterator<Item = (u32, RoomVersion)> {
    (1..).zip(RoomVersion::ALL)
}

const MEMBERSHIPS: [Option<&str>; 6] = [None, Some("leave"), Some("knock"), Some("invite"), Some("join"), Some("ban")];

/// The rooms of known conditions in their order.
const CONDITIONS: [&str; 4] = ["!n:a.example", "!u:c.example", "!j1:a.example", "!j2"];

/// Every set of them.
fn sets() -> impl Iterator<Item = Vec<&'static str>> {
    (0..1_u32 << CONDITIONS.len())
        .map(|set| (0..).zip(CONDITIONS).filter(|(bit, _)| set & 1 << bit != 0).map(|(_, id)| id).collect())
}
