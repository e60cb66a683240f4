//! A room of Alice's, and Kay of another server, who may be joined to other rooms.

use std::borrow::Cow;

use matrix_knock::event::Event;
use matrix_knock::id::RoomId;
use matrix_knock::restricted_join::RoomMembership;

/// Of another server than the room.
pub(crate) const KAY: &str = "@kay:b.example";
pub(crate) const ALICE: &str = "@alice:a.example";

pub(crate) const MEMBERSHIPS: [Option<&str>; 6] =
    [None, Some("leave"), Some("knock"), Some("invite"), Some("join"), Some("ban")];

/// Kay, or a user of the server, is joined to rooms with a `j`, not joined to those with an `n`, and
/// this server does not know those with a `u`. No other room is asked for.
#[expect(clippy::panic, reason = "a test that asks for more fails")]
pub(crate) fn look_up(id: RoomId<'_>) -> RoomMembership {
    match id.as_str().as_bytes().get(1) {
        Some(b'j') => RoomMembership::Joined,
        Some(b'n') => RoomMembership::NotJoined,
        Some(b'u') => RoomMembership::NotKnown,
        _ => panic!("asked for `{id}`"),
    }
}

/// A state event of Alice's, with whatever content.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stored {
    event_type: &'static str,
    state_key: String,
    content: String,
}

pub(crate) fn state_event(event_type: &'static str, state_key: &str, content: &str) -> Stored {
    Stored { event_type, state_key: state_key.to_owned(), content: content.to_owned() }
}

impl Event for Stored {
    fn event_type(&self) -> Cow<'_, str> {
        self.event_type.into()
    }

    fn state_key(&self) -> Option<&str> {
        Some(&self.state_key)
    }

    fn sender(&self) -> &str {
        ALICE
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
