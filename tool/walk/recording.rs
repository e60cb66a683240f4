//! The recorded room.

use std::error::Error;

use matrix_knock::RoomVersion;
use matrix_knock::event::{Event, EventType, OwnedPdu};
use matrix_knock::id::RoomId;
use matrix_knock::state::StateMap;
use serde::Deserialize;
use serde_json::value::RawValue;

const RECORDING: &str = include_str!("room.json");

#[derive(Deserialize)]
struct Recording<'a> {
    recorded: &'a str,
    room_version: &'a str,
    room_id: &'a str,
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
}

/// The room as its server has it. This one is a line of events; a real room is a graph, and its state takes state resolution.
#[derive(Clone)]
pub(crate) struct Room {
    /// From what it was recorded.
    pub(crate) recorded: &'static str,
    pub(crate) id: RoomId<'static>,
    pub(crate) version: RoomVersion,
    /// In the order in which they came.
    pub(crate) events: Vec<StoredEvent>,
}

/// An event that knows its ID, and what a host notes of it beside.
#[derive(Clone)]
pub(crate) struct StoredEvent {
    pub(crate) event: OwnedPdu,
    pub(crate) depth: u64,
}

impl Room {
    pub(crate) fn recorded() -> Result<Self, Box<dyn Error>> {
        let recording: Recording<'static> = serde_json::from_str(RECORDING)?;
        let events = recording.events.into_iter().map(|text| StoredEvent::new(OwnedPdu::parse_stored(text.get())?));
        Ok(Self {
            recorded: recording.recorded,
            id: RoomId::parse(recording.room_id)?,
            version: recording.room_version.parse()?,
            events: events.collect::<Result<_, _>>()?,
        })
    }

    /// The state after all of its events. A redaction has no state key and stays out.
    pub(crate) fn state(&self) -> StateMap<OwnedPdu> {
        self.events.iter().map(|stored| stored.event.clone()).collect()
    }

    /// The users who have a member event, in the order in which they appear.
    pub(crate) fn users(&self) -> Vec<String> {
        let mut users: Vec<String> = Vec::new();
        for member in self.member_events() {
            let user = member.state_key().unwrap_or_default();
            if !users.iter().any(|known| known == user) {
                users.push(user.to_owned());
            }
        }
        users
    }

    pub(crate) fn member_events(&self) -> impl Iterator<Item = &OwnedPdu> {
        self.events.iter().map(|stored| &stored.event).filter(|event| event.is_type(EventType::Member))
    }
}

impl StoredEvent {
    pub(crate) fn new(event: OwnedPdu) -> Result<Self, Box<dyn Error>> {
        #[derive(Deserialize)]
        struct Position {
            depth: u64,
        }
        let Position { depth } = serde_json::from_str(event.text())?;
        Ok(Self { event, depth })
    }
}
