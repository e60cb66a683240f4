//! What stands at the end: an event that every check let pass, and what the host owes for it.

use super::super::{HostError, Knock, Refusal, RequestKind};
use super::Answer;
use crate::event::{Event, EventType, Pdu, WholePdu};
use crate::state::{NotLookedUp, Reads, RoomState};
use crate::stripped_state;

/// An event that every check let pass. The host owes, in this order:
///
/// 1. to store the event, and make it part of the room;
/// 2. to send it to every server with a joined user. The knocker's server is not one of them for its knock;
/// 3. to answer with [`to_response`](Self::to_response).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted<'q, K> {
    pdu: WholePdu<'q>,
    answer: Answer<K>,
}

impl<'q, K: RequestKind> Accepted<'q, K> {
    pub(super) const fn of(pdu: WholePdu<'q>, answer: Answer<K>) -> Self {
        Self { pdu, answer }
    }

    /// Returns the event. It knows its ID.
    #[must_use]
    pub const fn event(&self) -> &Pdu<'q> {
        self.pdu.pdu()
    }

    /// Returns the proof that the event is whole.
    #[must_use]
    pub const fn pdu(&self) -> &WholePdu<'q> {
        &self.pdu
    }

    /// Returns the entries of the current state that [`to_response`](Self::to_response) reads; none for a leave.
    #[must_use]
    pub fn reads(&self) -> Reads {
        self.answer.reads()
    }

    /// Returns the events that the answer to a knock shows, the create event first; none for a leave.
    ///
    /// # Errors
    ///
    /// [`NotLookedUp`] if a snapshot lacks an entry of [`reads`](Self::reads).
    pub fn room_state<'s, S: RoomState + ?Sized>(&self, state: &'s S) -> Result<Vec<S::Event<'s>>, NotLookedUp> {
        self.answer.room_state(state)
    }

    /// Returns the body of the answer: of a knock the `knock_room_state`, whole events, the create event first; of a leave an
    /// empty object. (Under the deprecated `/v1/send_leave` it stands in a list behind the status.)
    ///
    /// `text` returns the text of an event of the state as it goes between servers ([`Pdu::to_federation`]); an event without
    /// one is left out.
    ///
    /// # Errors
    ///
    /// [`Refusal::Host`] if `text` returns none for the create event, or a snapshot lacks an entry.
    pub fn to_response<'s, S: RoomState + ?Sized>(
        &self,
        state: &'s S,
        text: impl FnMut(&S::Event<'s>) -> Option<String>,
    ) -> Result<String, Refusal> {
        self.answer.to_response(state, text)
    }
}

/// An event that came a second time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeated<K>(Answer<K>);

impl<K: RequestKind> Repeated<K> {
    pub(super) const fn of(answer: Answer<K>) -> Self {
        Self(answer)
    }

    /// As [`Accepted::reads`].
    #[must_use]
    pub fn reads(&self) -> Reads {
        self.0.reads()
    }

    /// As [`Accepted::to_response`].
    ///
    /// # Errors
    ///
    /// As [`Accepted::to_response`].
    pub fn to_response<'s, S: RoomState + ?Sized>(
        &self,
        state: &'s S,
        text: impl FnMut(&S::Event<'s>) -> Option<String>,
    ) -> Result<String, Refusal> {
        self.0.to_response(state, text)
    }
}

impl<K: RequestKind> Answer<K> {
    fn shows_state(self) -> bool {
        K::SEND == Knock::SEND
    }

    fn reads(self) -> Reads {
        if self.shows_state() { stripped_state::reads() } else { Reads::default() }
    }

    fn room_state<'s, S: RoomState + ?Sized>(self, state: &'s S) -> Result<Vec<S::Event<'s>>, NotLookedUp> {
        if self.shows_state() { stripped_state::events(state).collect() } else { Ok(Vec::new()) }
    }

    fn to_response<'s, S: RoomState + ?Sized>(
        self,
        state: &'s S,
        mut text: impl FnMut(&S::Event<'s>) -> Option<String>,
    ) -> Result<String, Refusal> {
        if !self.shows_state() {
            return Ok(if self.in_list { "[200,{}]" } else { "{}" }.to_owned());
        }
        let mut has_create_event = false;
        let mut events = Vec::new();
        for event in self.room_state(state)? {
            let text = text(&event);
            has_create_event |= text.is_some() && event.is_type(EventType::Create);
            events.extend(text);
        }
        if !has_create_event {
            return Err(HostError::NoCreateEvent.into());
        }
        Ok(format!(r#"{{"knock_room_state":[{}]}}"#, events.join(",")))
    }
}
