//! The recorded rooms, as a server gives out their states.

use std::collections::BTreeMap;

use serde_json::{Value, json};

const ROOMS: &str = include_str!("../vectors/rooms.jsonl");

/// A recorded room with its current state.
pub(crate) struct Recorded {
    pub(crate) scenario: String,
    pub(crate) version: String,
    /// Event IDs and events as servers send them.
    state: Vec<(String, Value)>,
}

/// Every recorded room that a server has a state of.
pub(crate) fn recorded() -> Vec<Recorded> {
    let rooms = ROOMS.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let rooms = rooms.map(|room| {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let events = room["events"].as_array().expect("events");
        let events: BTreeMap<String, &Value> =
            events.iter().map(|event| (text(&event["event_id"]), &event["pdu"])).collect();
        let ids = room["current_state"].as_array().expect("a state").iter().map(text);
        let state = ids.filter_map(|id| events.get(&id).map(|event| (id, (*event).clone()))).collect();
        Recorded { scenario: text(&room["scenario"]), version: text(&room["room_version"]), state }
    });
    rooms.filter(|room| room.state.iter().any(|(_, event)| event["type"] == "m.room.create")).collect()
}

impl Recorded {
    /// The first recorded room of a scenario that knows this user; else the last one.
    pub(crate) fn of(scenario: &str, user: &str) -> Self {
        let mut rooms: Vec<Self> = recorded().into_iter().filter(|room| room.scenario == scenario).collect();
        let known = rooms.iter().position(|room| room.state.iter().any(|(_, event)| event["state_key"] == user));
        rooms.swap_remove(known.unwrap_or(rooms.len().saturating_sub(1)))
    }

    /// As servers send it: `/state`.
    pub(crate) fn pdus(&self) -> Value {
        let events: Vec<&Value> = self.state.iter().map(|(_, event)| event).collect();
        json!({ "auth_chain": [], "pdus": events })
    }

    /// As clients are given it: `/rooms/{roomId}/state`. Only what stands in the format of client
    /// events.
    pub(crate) fn client_events(&self) -> Vec<Value> {
        let room_id = self.state.iter().find_map(|(_, event)| event.get("room_id")).expect("a room ID");
        let event = |(id, event): &(String, Value)| {
            json!({
                "content": event["content"], "event_id": id, "origin_server_ts": event["origin_server_ts"],
                "room_id": room_id, "sender": event["sender"], "state_key": event["state_key"],
                "type": event["type"], "unsigned": { "age": 1 },
            })
        };
        self.state.iter().map(event).collect()
    }

    /// The users that the state knows, and some that it does not know.
    pub(crate) fn users(&self) -> Vec<String> {
        let members = self.state.iter().filter(|(_, event)| event["type"] == "m.room.member");
        let members = members.map(|(_, event)| event["state_key"].as_str().expect("a user ID").to_owned());
        members.chain(["@o:hs1.test:18448", "@o:hs2.test:28448"].map(str::to_owned)).collect()
    }
}
