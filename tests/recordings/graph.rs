//! The recorded rooms: the events of each by their IDs, and the state before each event.

use std::borrow::Cow;
use std::collections::BTreeMap;

use matrix_knock::RoomVersion;
use matrix_knock::auth::AuthStatus;
use matrix_knock::event::{Event, Pdu};
use matrix_knock::state::StateMap;
use serde::Deserialize;
use serde_json::value::RawValue;

pub(crate) const ROOMS: &str = include_str!("../vectors/rooms.jsonl");

#[derive(Deserialize)]
pub(crate) struct Room<'a> {
    pub(crate) scenario: &'a str,
    pub(crate) server: &'a str,
    pub(crate) room_version: &'a str,
    #[serde(borrow)]
    pub(crate) current_state: Vec<&'a str>,
    pub(crate) forward_extremities: Vec<&'a str>,
    pub(crate) events: Vec<Recorded<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct Recorded<'a> {
    pub(crate) event_id: &'a str,
    pub(crate) rejected: Option<&'a str>,
    #[serde(default, borrow)]
    pub(crate) flags: Vec<&'a str>,
    #[serde(borrow)]
    pub(crate) pdu: &'a RawValue,
}

#[derive(Deserialize)]
pub(crate) struct Links {
    pub(crate) auth_events: Vec<String>,
    pub(crate) prev_events: Vec<String>,
}

/// An event with the ID that the recording server computed, as a host has it.
#[derive(Debug, Clone)]
pub(crate) struct Stored<'a> {
    pub(crate) id: &'a str,
    pub(crate) pdu: Pdu<'a>,
}

impl Event for Stored<'_> {
    fn event_type(&self) -> Cow<'_, str> {
        self.pdu.event_type()
    }
    fn state_key(&self) -> Option<&str> {
        self.pdu.state_key()
    }
    fn sender(&self) -> &str {
        self.pdu.sender()
    }
    fn content(&self) -> &str {
        self.pdu.content()
    }
    fn room_id(&self) -> Option<&str> {
        self.pdu.room_id()
    }
    fn event_id(&self) -> Option<&str> {
        Some(self.id)
    }
    fn sole_prev_event(&self) -> Option<&str> {
        self.pdu.sole_prev_event()
    }
}

/// A recorded room with its events by ID.
pub(crate) struct Graph<'a> {
    pub(crate) version: RoomVersion,
    pub(crate) room: Room<'a>,
    pub(crate) events: BTreeMap<&'a str, (Stored<'a>, Links, AuthStatus)>,
}

pub(crate) type State<'a> = BTreeMap<(String, String), &'a str>;

impl<'a> Graph<'a> {
    pub(crate) fn read(line: &'a str) -> Self {
        let room: Room<'a> = serde_json::from_str(line).expect("a room");
        let events = room.events.iter().map(|event| {
            let status = match event.rejected {
                None => AuthStatus::Accepted,
                Some(_) => AuthStatus::Rejected,
            };
            let stored = Stored { id: event.event_id, pdu: Pdu::parse(event.pdu.get()).expect("an event") };
            let links = serde_json::from_str(event.pdu.get()).expect("links of versions 3 and later");
            (event.event_id, (stored, links, status))
        });
        let events = events.collect();
        Self { version: room.room_version.parse().unwrap(), events, room }
    }

    pub(crate) fn create(&self) -> Option<&Stored<'a>> {
        self.events.values().map(|(event, _, _)| event).find(|event| event.event_type() == "m.room.create")
    }

    /// The events that `auth_events` names, if the recording has them all.
    pub(crate) fn auth_events(&self, event_id: &str) -> Option<Vec<&Stored<'a>>> {
        let (_, links, _) = &self.events[event_id];
        links.auth_events.iter().map(|id| self.events.get(id.as_str()).map(|(event, _, _)| event)).collect()
    }

    pub(crate) fn state(&self, state: &State<'a>) -> StateMap<&Stored<'a>> {
        state.values().map(|id| &self.events[id].0).collect()
    }

    /// The state before every event whose state needs no resolution: those behind the create event all of whose previous
    /// events have the same state after them.
    pub(crate) fn states_before(&self) -> BTreeMap<&'a str, State<'a>> {
        let mut before: BTreeMap<&'a str, State<'a>> = BTreeMap::new();
        let mut after: BTreeMap<&'a str, State<'a>> = BTreeMap::new();
        loop {
            let known = before.len();
            for (id, (event, links, status)) in &self.events {
                if before.contains_key(id) {
                    continue;
                }
                let previous: Option<Vec<_>> = links.prev_events.iter().map(|prev| after.get(prev.as_str())).collect();
                let Some(state) = (match previous.as_deref() {
                    Some([]) if event.event_type() == "m.room.create" => Some(State::new()),
                    Some([first, rest @ ..]) if rest.iter().all(|other| other == first) => Some((*first).clone()),
                    _ => None,
                }) else {
                    continue;
                };
                let mut next = state.clone();
                if let (Some(key), AuthStatus::Accepted) = (event.state_key(), status) {
                    next.insert((event.event_type().into_owned(), key.to_owned()), id);
                }
                before.insert(id, state);
                after.insert(id, next);
            }
            if before.len() == known {
                return before;
            }
        }
    }
}
