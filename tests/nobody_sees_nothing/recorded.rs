//! Rooms as a recorded Synapse sent them with an accepted knock; for the versions that were not
//! recorded the same events, changed where the version has them otherwise and signed anew.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use matrix_knock::RoomVersion;
use matrix_knock::event::{Ed25519, Ed25519Key, KeyValidity, Keys, ServerKeys, Verify, VerifyKey, sign_event};
use matrix_knock::id::ServerName;
use serde_json::{Map, Value, json};

const STATES: &str = include_str!("../vectors/knock_room_states.jsonl");
const KEYS: &str = include_str!("../vectors/keys.jsonl");

/// The server that answers, and the ID of its key.
pub(crate) const RESIDENT: &str = "hs1.test:18448";
pub(crate) const KEY_ID: &str = "ed25519:a_iYFt";

pub(crate) struct Room {
    /// Where the recording comes from, and the version as which it is taken.
    pub(crate) name: String,
    pub(crate) version: RoomVersion,
    pub(crate) id: String,
    /// The knocker.
    pub(crate) user: String,
    /// The `knock_room_state`, and behind it the member event of the room's creator.
    pub(crate) events: Vec<Map<String, Value>>,
    /// A member event of the knocker, whose server has never sent it.
    pub(crate) own: Map<String, Value>,
    is_signed_anew: bool,
}

fn own_key() -> Ed25519Key {
    Ed25519Key::from_seed(KEY_ID, &[42; 32]).expect("a key ID")
}

fn recorded_keys() -> Vec<ServerKeys> {
    let read = |document: &str| {
        let value: Value = serde_json::from_str(document).expect("JSON");
        let server = ServerName::parse(value["server_name"].as_str().expect("a string")).expect("a server name");
        ServerKeys::parse(server, document, &Ed25519).expect("keys")
    };
    KEYS.lines().map(read).collect()
}

/// Checks each signature once: the same ones come in thousands of answers.
#[derive(Debug, Default)]
pub(crate) struct Remembering(RefCell<HashMap<Signed, bool>>);

/// A key, a message and a signature.
type Signed = ([u8; 32], Vec<u8>, [u8; 64]);

impl Verify for Remembering {
    fn verify(&self, public_key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
        let signed = (*public_key, message.to_owned(), *signature);
        let check = || Ed25519.verify(public_key, message, signature);
        *self.0.borrow_mut().entry(signed).or_insert_with(check)
    }
}

/// The keys that the knocker's server finds.
impl Keys for Room {
    fn key(&self, server: &str, key_id: &str) -> Option<VerifyKey> {
        if self.is_signed_anew {
            static OWN: LazyLock<[u8; 32]> = LazyLock::new(|| own_key().public_key());
            let key = VerifyKey { public_key: *OWN, validity: KeyValidity::Forever };
            return Some(key).filter(|_| (server, key_id) == (RESIDENT, KEY_ID));
        }
        static RECORDED: LazyLock<Vec<ServerKeys>> = LazyLock::new(recorded_keys);
        RECORDED.as_slice().key(server, key_id)
    }
}

impl Room {
    fn read(line: &str) -> Self {
        let line: BTreeMap<String, Value> = serde_json::from_str(line).expect("a line");
        let text = |name: &str| line.get(name).and_then(Value::as_str).expect("a string").to_owned();
        let state = line.get("knock_room_state").and_then(Value::as_array).expect("a list");
        let events = state.iter().chain(line.get("member"));
        let own = json!({ "type": "m.room.member", "state_key": text("user_id"), "sender": text("user_id"),
            "content": { "membership": "join" } });
        Self {
            own: own.as_object().expect("an object").clone(),
            name: text("source"),
            version: text("room_version").parse().expect("a room version"),
            id: text("room_id"),
            user: text("user_id"),
            events: events.map(|event| event.as_object().expect("an event").clone()).collect(),
            is_signed_anew: false,
        }
    }

    /// The same room, had it another version (below 12).
    fn as_version(&self, version: RoomVersion) -> Self {
        let events = self.events.iter().map(|event| {
            let mut event = event.clone();
            for property in ["signatures", "hashes", "unsigned"] {
                event.remove(property);
            }
            if event["type"] == "m.room.create" {
                let creator = event["sender"].clone();
                event["content"] = match version < RoomVersion::V11 {
                    true => json!({ "creator": creator, "room_version": version.as_str() }),
                    false => json!({ "room_version": version.as_str() }),
                };
            }
            let server = ServerName::parse(RESIDENT).expect("a server name");
            let text = Value::Object(event).to_string();
            let signed = sign_event(version, &text, server, &own_key()).expect("an event");
            let mut event: Map<String, Value> = serde_json::from_str(signed.text()).expect("an event");
            event.insert("unsigned".to_owned(), json!({ "age": 5 }));
            event
        });
        Self {
            name: format!("{} as version {version}", self.name),
            version,
            id: self.id.clone(),
            user: self.user.clone(),
            own: self.own.clone(),
            events: events.collect(),
            is_signed_anew: true,
        }
    }
}

/// Rooms of the versions 7 to 12, three of each.
pub(crate) fn rooms() -> Vec<Room> {
    let recorded: Vec<Room> = STATES.lines().map(Room::read).collect();
    let anew = [RoomVersion::V8, RoomVersion::V9, RoomVersion::V11].into_iter().flat_map(|version| {
        recorded.iter().filter(|room| room.version == RoomVersion::V10).map(move |room| room.as_version(version))
    });
    let mut rooms: Vec<Room> = anew.collect();
    rooms.extend(recorded);
    rooms.sort_by_key(|room| room.version);
    rooms
}
