//! The events that an event names as those that allow it.

use std::borrow::Cow;

use crate::auth::{AuthEvent, AuthStatus, AuthorizeError, Evidence, check_state_independent};
use crate::event::{Event, EventType, Pdu};
use crate::room_version::RoomVersion;
use crate::state::{NotLookedUp, RoomState};

/// An event that another one names in its `auth_events`, as the host has it. It knows its ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthEventRef<E> {
    /// The event.
    pub event: E,
    /// How it came in.
    pub status: AuthStatus,
}

/// All auth events of an event. Made by [`ReceivedEvent::match_auth_events`](super::ReceivedEvent::match_auth_events), and by the
/// method of that name of a [submission](crate::resident::submission::SignatureChecked::match_auth_events).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthEvents<E> {
    /// The ID of the event that names them.
    of: String,
    /// What the host has found.
    found: Vec<AuthEventRef<E>>,
    /// Which of them the event names, in its order. One that it names twice stands here twice.
    named: Vec<usize>,
}

/// The host has not found these auth events.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown auth events: {}", .ids.join(", "))]
pub struct UnknownAuthEvents {
    ids: Vec<String>,
}

impl UnknownAuthEvents {
    /// Returns the IDs of the missing events, each once, in the order in which the event names them.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = &str> {
        self.ids.iter().map(String::as_str)
    }
}

impl<E: Event> AuthEvents<E> {
    /// `auth_events` are those that the event with the ID `of` names.
    pub(crate) fn matching<'i>(
        of: &str,
        auth_events: impl Iterator<Item = &'i str>,
        found: impl IntoIterator<Item = AuthEventRef<E>>,
    ) -> Result<Self, UnknownAuthEvents> {
        let found: Vec<AuthEventRef<E>> = found.into_iter().collect();
        let mut named = Vec::new();
        let mut ids: Vec<String> = Vec::new();
        for id in auth_events {
            match found.iter().position(|found| found.event.event_id() == Some(id)) {
                Some(position) => named.push(position),
                None if ids.iter().any(|known| known == id) => {}
                None => ids.push(id.to_owned()),
            }
        }
        match ids.is_empty() {
            true => Ok(Self { of: of.to_owned(), found, named }),
            false => Err(UnknownAuthEvents { ids }),
        }
    }

    pub(crate) fn are_of(&self, event_id: &str) -> bool {
        self.of == event_id
    }

    fn iter(&self) -> impl Iterator<Item = &AuthEventRef<E>> {
        self.named.iter().filter_map(|position| self.found.get(*position))
    }

    /// Checks the rules about an event and the events that it names. `create` is the create event of the room since v12.
    pub(crate) fn check_event(
        &self,
        version: RoomVersion,
        event: &Pdu<'_>,
        signed_by: &[&str],
        create: Option<&impl Event>,
    ) -> Result<(), AuthorizeError> {
        let types: Vec<Cow<'_, str>> = self.iter().map(|named| named.event.event_type()).collect();
        let known = self.iter().zip(&types);
        let known: Vec<AuthEvent<'_>> =
            known.filter_map(|(named, event_type)| auth_event(&named.event, event_type, named.status)).collect();
        let create_type = create.map(Event::event_type);
        let create_event = create
            .zip(create_type.as_ref())
            .and_then(|(create, event_type)| auth_event(create, event_type, AuthStatus::Accepted));
        let evidence = Evidence { auth_events: &known, create_event, signed_by };
        check_state_independent(version, event, &evidence).map(drop)
    }
}

/// The state that auth events make; since v12 with the create event, which the room ID names.
pub(crate) struct ByAuthEvents<'a>(Vec<&'a dyn Event>);

impl<'a> ByAuthEvents<'a> {
    pub(crate) fn new<E: Event>(auth_events: &'a AuthEvents<E>, create: Option<&'a impl Event>) -> Self {
        let named = auth_events.iter().map(|named| -> &dyn Event { &named.event });
        Self(named.chain(create.map(|create| -> &dyn Event { create })).collect())
    }
}

impl RoomState for ByAuthEvents<'_> {
    type Event<'s>
        = &'s dyn Event
    where
        Self: 's;

    fn event(&self, event_type: EventType<'_>, state_key: &str) -> Result<Option<&dyn Event>, NotLookedUp> {
        let found = self.0.iter().find(|event| event.state_key() == Some(state_key) && event.is_type(event_type));
        Ok(found.copied())
    }
}

fn auth_event<'e>(event: &'e impl Event, event_type: &'e str, status: AuthStatus) -> Option<AuthEvent<'e>> {
    let (state_key, room_id) = (event.state_key(), event.room_id());
    Some(AuthEvent { event_id: event.event_id()?, event_type, state_key, room_id, status })
}
