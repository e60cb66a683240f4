//! What stands at the end: an event that every check let pass, and what the host owes for it.

use std::marker::PhantomData;

use super::{Knock, Leave};
use crate::event::content::CREATE;
use crate::event::{Event, Pdu, WholePdu};
use crate::resident::ResidentRoom;
use crate::state::RoomState;
use crate::stripped_state;

#[derive(Debug)]
pub(super) struct Accepted<'q, 'r, S: ?Sized> {
    pdu: WholePdu<'q>,
    room: ResidentRoom<'r, S>,
}

impl<'q, 'r, S: ?Sized> Accepted<'q, 'r, S> {
    pub(super) const fn of(pdu: WholePdu<'q>, room: ResidentRoom<'r, S>) -> Self {
        Self { pdu, room }
    }
}

/// A knock that every check let pass. The host owes, in this order:
///
/// 1. to store the event, and make it part of the room;
/// 2. to send it to every server with a joined user. The knocker's server is not one of them for its knock;
/// 3. to answer with [`to_response`](Self::to_response).
#[derive(Debug)]
pub struct AcceptedKnock<'q, 'r, S: ?Sized>(Accepted<'q, 'r, S>);

/// A leave that every check let pass. The host owes, in this order:
///
/// 1. to store the event, and make it part of the room;
/// 2. to send it to every server with a joined user;
/// 3. to answer with [`to_response`](Self::to_response).
#[derive(Debug)]
pub struct AcceptedLeave<'q, 'r, S: ?Sized>(Accepted<'q, 'r, S>);

/// The create event of the room has no text that could be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("the create event of the room has no text that could be sent")]
pub struct NoCreateEvent;

impl<'q, 'r, S: RoomState + ?Sized> AcceptedKnock<'q, 'r, S> {
    pub(super) const fn of(accepted: Accepted<'q, 'r, S>) -> Self {
        Self(accepted)
    }

    /// The event. It knows its ID.
    #[must_use]
    pub const fn event(&self) -> &Pdu<'q> {
        self.0.pdu.pdu()
    }

    /// The proof that the event is whole.
    #[must_use]
    pub const fn pdu(&self) -> &WholePdu<'q> {
        &self.0.pdu
    }

    /// The body of the answer: the `knock_room_state`, whole events, the create event first. `text` gives the text of an event of
    /// the state as it goes between servers ([`Pdu::to_federation`]); an event without one is left out.
    ///
    /// # Errors
    ///
    /// [`NoCreateEvent`]: `text` gave none for it.
    pub fn to_response(&self, text: impl FnMut(&S::Event<'r>) -> Option<String>) -> Result<String, NoCreateEvent> {
        knock_room_state(self.0.room.state, text)
    }
}

impl<'q, 'r, S: RoomState + ?Sized> AcceptedLeave<'q, 'r, S> {
    pub(super) const fn of(accepted: Accepted<'q, 'r, S>) -> Self {
        Self(accepted)
    }

    /// The event. It knows its ID.
    #[must_use]
    pub const fn event(&self) -> &Pdu<'q> {
        self.0.pdu.pdu()
    }

    /// The proof that the event is whole.
    #[must_use]
    pub const fn pdu(&self) -> &WholePdu<'q> {
        &self.0.pdu
    }

    /// The body of the answer of `v2`. (Under the deprecated `v1` it stands in a list behind the status: `[200,{}]`.)
    #[must_use]
    pub const fn to_response(&self) -> &'static str {
        LEFT
    }
}

/// An event that came a second time.
#[derive(Debug)]
pub struct Repeated<'r, C, S: ?Sized> {
    room: ResidentRoom<'r, S>,
    change: PhantomData<C>,
}

impl<'r, C, S: ?Sized> Repeated<'r, C, S> {
    pub(super) const fn of(room: ResidentRoom<'r, S>) -> Self {
        Self { room, change: PhantomData }
    }
}

impl<'r, S: RoomState + ?Sized> Repeated<'r, Knock, S> {
    /// The body of the answer, as [`AcceptedKnock::to_response`].
    ///
    /// # Errors
    ///
    /// [`NoCreateEvent`]: `text` gave none for it.
    pub fn to_response(&self, text: impl FnMut(&S::Event<'r>) -> Option<String>) -> Result<String, NoCreateEvent> {
        knock_room_state(self.room.state, text)
    }
}

impl<S: RoomState + ?Sized> Repeated<'_, Leave, S> {
    /// The body of the answer, as [`AcceptedLeave::to_response`].
    #[must_use]
    pub const fn to_response(&self) -> &'static str {
        LEFT
    }
}

const LEFT: &str = "{}";

fn knock_room_state<'r, S: RoomState + ?Sized>(
    state: &'r S,
    mut text: impl FnMut(&S::Event<'r>) -> Option<String>,
) -> Result<String, NoCreateEvent> {
    let mut events = Vec::new();
    for event in stripped_state::events(state) {
        match text(&event) {
            Some(text) => events.push(text),
            None if event.event_type() == CREATE => return Err(NoCreateEvent),
            None => {}
        }
    }
    Ok(format!(r#"{{"knock_room_state":[{}]}}"#, events.join(",")))
}
