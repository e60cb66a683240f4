//! What stands at the end: an event that every check let pass, and what the host owes for it.

use super::super::{Knock, Refusal, RequestKind, room_state_texts};
use super::Answer;
use crate::event::{OwnedPdu, Pdu, PduError, WholePdu};
use crate::json::JsonError;
use crate::policy::PolicySignature;
use crate::state::{NotLookedUp, Reads, RoomState};
use crate::stripped_state::ShownTypes;

/// An event that every check let pass. The host owes, in this order:
///
/// 1. to store the event ([`to_stored`](Self::to_stored)), and make it part of the room;
/// 2. to send it ([`to_text`](Self::to_text)) to every server with a joined user. The knocker's server is not one of them for its knock;
/// 3. to answer with [`to_response`](Self::to_response).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted<'q, K> {
    pdu: WholePdu<'q>,
    policy: Option<PolicySignature>,
    answer: Answer<K>,
    types: ShownTypes,
}

impl<'q, K: RequestKind> Accepted<'q, K> {
    pub(super) fn of(pdu: WholePdu<'q>, policy: Option<PolicySignature>, answer: Answer<K>) -> Self {
        Self { pdu, policy, answer, types: ShownTypes::default() }
    }

    /// Chooses what the answer to a knock shows of the room. The specification's list is shown otherwise.
    #[must_use]
    pub fn showing(self, types: ShownTypes) -> Self {
        Self { types, ..self }
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

    /// Returns the event as it is to be stored and sent: canonical JSON, with the signature of the room's policy server, and without
    /// the `unsigned` that came with it. Nobody has signed that, and clients would believe it.
    ///
    /// # Errors
    ///
    /// None in practice: the event was canonicalized when it came.
    pub fn to_text(&self) -> Result<String, JsonError> {
        match &self.policy {
            Some(signature) => signature.added_to(self.pdu.signed().formatted()),
            None => self.pdu.pdu().to_federation(self.pdu.signed().version()),
        }
    }

    /// Returns the event as it is to be kept: as [`to_text`](Self::to_text) has it, with its ID.
    ///
    /// # Errors
    ///
    /// As [`to_text`](Self::to_text).
    pub fn to_stored(&self) -> Result<OwnedPdu, PduError> {
        let stored = OwnedPdu::parse_stored(self.to_text()?)?;
        Ok(stored.with_event_id(self.pdu.event_id()))
    }

    /// Returns the entries of the current state that [`to_response`](Self::to_response) reads; none for a leave.
    #[must_use]
    pub fn reads(&self) -> Reads {
        self.answer.reads(&self.types)
    }

    /// Returns the events that the answer to a knock shows, the create event first; none for a leave.
    ///
    /// # Errors
    ///
    /// [`NotLookedUp`] if a snapshot lacks an entry of [`reads`](Self::reads).
    pub fn room_state<'s, S: RoomState + ?Sized>(&self, state: &'s S) -> Result<Vec<S::Event<'s>>, NotLookedUp> {
        self.answer.room_state(&self.types, state)
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
        self.answer.to_response(&self.types, state, text)
    }
}

/// An event that came a second time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeated<K> {
    answer: Answer<K>,
    types: ShownTypes,
}

impl<K: RequestKind> Repeated<K> {
    pub(super) fn of(answer: Answer<K>) -> Self {
        Self { answer, types: ShownTypes::default() }
    }

    /// As [`Accepted::showing`].
    #[must_use]
    pub fn showing(self, types: ShownTypes) -> Self {
        Self { types, ..self }
    }

    /// As [`Accepted::reads`].
    #[must_use]
    pub fn reads(&self) -> Reads {
        self.answer.reads(&self.types)
    }

    /// As [`Accepted::room_state`].
    ///
    /// # Errors
    ///
    /// As [`Accepted::room_state`].
    pub fn room_state<'s, S: RoomState + ?Sized>(&self, state: &'s S) -> Result<Vec<S::Event<'s>>, NotLookedUp> {
        self.answer.room_state(&self.types, state)
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
        self.answer.to_response(&self.types, state, text)
    }
}

impl<K: RequestKind> Answer<K> {
    fn shows_state(self) -> bool {
        K::SEND == Knock::SEND
    }

    fn reads(self, types: &ShownTypes) -> Reads {
        if self.shows_state() { types.reads() } else { Reads::default() }
    }

    fn room_state<'s, S: RoomState + ?Sized>(
        self,
        types: &ShownTypes,
        state: &'s S,
    ) -> Result<Vec<S::Event<'s>>, NotLookedUp> {
        if self.shows_state() { types.events(state).collect() } else { Ok(Vec::new()) }
    }

    fn to_response<'s, S: RoomState + ?Sized>(
        self,
        types: &ShownTypes,
        state: &'s S,
        text: impl FnMut(&S::Event<'s>) -> Option<String>,
    ) -> Result<String, Refusal> {
        if !self.shows_state() {
            return Ok(if self.in_list { "[200,{}]" } else { "{}" }.to_owned());
        }
        let events = room_state_texts(self.room_state(types, state)?, text)?;
        Ok(format!(r#"{{"knock_room_state":[{}]}}"#, events.join(",")))
    }
}
