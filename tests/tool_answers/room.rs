//! A room between three servers, its events made with ruma-signatures.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ruma_common::room_version_rules::RoomVersionRules;
use ruma_common::{CanonicalJsonObject, RoomVersionId};
use ruma_signatures::{Ed25519KeyPair, hash_and_sign_event, reference_hash};
use serde_json::{Value, json};

pub(crate) const ALICE: &str = "@alice:a.example";
pub(crate) const KAY: &str = "@kay:b.example";
/// A user of Alice's server who knocks as well.
pub(crate) const LOU: &str = "@lou:a.example";
pub(crate) const NOW: u64 = 1_700_000_000_000;

pub(crate) fn seed(server: &str) -> [u8; 32] {
    [server.as_bytes()[0]; 32]
}

pub(crate) fn seed_text(server: &str) -> String {
    STANDARD_NO_PAD.encode(seed(server))
}

pub(crate) fn public_key(server: &str) -> String {
    let key = ed25519_dalek::SigningKey::from_bytes(&seed(server));
    STANDARD_NO_PAD.encode(key.verifying_key().as_bytes())
}

/// The keys of both servers, as the commands take them.
pub(crate) fn keys() -> Value {
    json!({"a.example": {"ed25519:1": public_key("a.example")}, "b.example": {"ed25519:1": public_key("b.example")}})
}

fn rules(version: &str) -> RoomVersionRules {
    RoomVersionId::try_from(version).ok().and_then(|version| version.rules()).expect("a version that ruma has")
}

/// The event with its hash and the signatures of these servers. That of a policy server has a name of its own.
pub(crate) fn signed(version: &str, event: &Value, servers: &[&str]) -> Value {
    let mut object: CanonicalJsonObject = serde_json::from_value(event.clone()).unwrap();
    for server in servers {
        // PKCS#8: RFC 8410, section 7.
        let mut document = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
        document.extend(seed(server));
        let name = if *server == "p.example" { "policy_server" } else { "1" };
        let pair = Ed25519KeyPair::from_der(&document, name.to_owned()).unwrap();
        hash_and_sign_event(server, &pair, &mut object, &rules(version).redaction).unwrap();
    }
    serde_json::to_value(object).unwrap()
}

pub(crate) fn event_id(version: &str, event: &Value) -> String {
    let object: CanonicalJsonObject = serde_json::from_value(event.clone()).unwrap();
    format!("${}", reference_hash(&object, &rules(version)).unwrap())
}

/// What a client is shown of an event.
pub(crate) fn stripped(event: &Value) -> Value {
    json!({
        "content": event["content"], "sender": event["sender"], "state_key": event["state_key"], "type": event["type"],
    })
}

pub(crate) struct Room {
    pub(crate) version: &'static str,
    pub(crate) room_id: String,
    events: Vec<(&'static str, String, Value)>,
}

impl Room {
    /// Alice's room, with the members as given: who, what, by whom.
    pub(crate) fn new(version: &'static str, members: &[(&'static str, &'static str, &'static str)]) -> Self {
        let mut room = Self { version, room_id: String::new(), events: Vec::new() };
        if version != "12" {
            room.room_id = "!r/1:a.example".to_owned();
        }
        // The creator is the sender since version 11.
        room.add("create", "m.room.create", "", ALICE, json!({"creator": ALICE, "room_version": version}));
        if version == "12" {
            room.room_id = room.id("create").replacen('$', "!", 1);
        }
        room.add("alice", "m.room.member", ALICE, ALICE, json!({"displayname": "Älice", "membership": "join"}));
        // Creators have no level of their own in version 12.
        let users = if version == "12" { json!({}) } else { json!({ALICE: 100}) };
        let levels = json!({"users": users, "invite": 50, "kick": 50, "ban": 50});
        room.add("levels", "m.room.power_levels", "", ALICE, levels);
        room.add("rules", "m.room.join_rules", "", ALICE, json!({"join_rule": "knock"}));
        room.add("name", "m.room.name", "", ALICE, json!({"name": "Knock \"knock\""}));
        for (user, membership, sender) in members {
            let content = json!({"displayname": "Somebody", "membership": membership, "reason": "Let me in, please"});
            room.add(user, "m.room.member", user, sender, content);
        }
        room
    }

    pub(crate) fn add(&mut self, name: &'static str, event_type: &str, state_key: &str, sender: &str, content: Value) {
        let depth = self.events.len() + 1;
        let prev_events: Vec<&String> = self.events.last().map(|(_, id, _)| id).into_iter().collect();
        let mut event = json!({
            "type": event_type, "state_key": state_key, "sender": sender, "content": content, "depth": depth,
            "room_id": self.room_id, "auth_events": [], "prev_events": prev_events, "origin_server_ts": NOW,
        });
        if self.room_id.is_empty() {
            event.as_object_mut().unwrap().remove("room_id");
        }
        let (_, server) = sender.split_once(':').expect("a user ID");
        let event = signed(self.version, &event, &[server]);
        let id = event_id(self.version, &event);
        self.events.push((name, id, event));
    }

    pub(crate) fn id(&self, name: &str) -> String {
        self.found(name).1.clone()
    }

    pub(crate) fn event(&self, name: &str) -> Value {
        self.found(name).2.clone()
    }

    fn found(&self, name: &str) -> &(&'static str, String, Value) {
        self.events.iter().rfind(|(known, ..)| *known == name).unwrap_or_else(|| panic!("no event `{name}`"))
    }

    /// The event with a note of its ID, as the commands take it.
    pub(crate) fn noted(&self, name: &str) -> Value {
        let mut event = self.event(name);
        event["event_id"] = self.id(name).into();
        event
    }

    pub(crate) fn state(&self) -> Value {
        // Of two for the same type and state key the last counts.
        self.events.iter().map(|(name, ..)| self.noted(name)).collect()
    }

    /// IDs of these events, without those that the room does not have; the create event is none of them since version 12.
    pub(crate) fn ids(&self, names: &[&str]) -> Vec<String> {
        let is_there = |name: &&&str| self.events.iter().any(|(known, ..)| known == *name);
        let names = names.iter().filter(is_there).filter(|name| !(self.version == "12" && **name == "create"));
        names.map(|name| self.id(name)).collect()
    }

    /// The end of the room, as the commands take it.
    pub(crate) fn prev_events(&self) -> Value {
        let (_, id, event) = self.events.last().expect("an event");
        json!([{"event_id": id, "depth": event["depth"]}])
    }

    /// A member event that comes after the room's last one, unsigned, with these auth events.
    pub(crate) fn member(&self, target: &str, sender: &str, content: Value, auth_events: &[&str]) -> Value {
        let (_, last, event) = self.events.last().expect("an event");
        let (_, server) = sender.split_once(':').expect("a user ID");
        json!({
            "type": "m.room.member", "state_key": target, "sender": sender, "content": content, "room_id": self.room_id,
            "auth_events": self.ids(auth_events), "prev_events": [last], "depth": event["depth"].as_u64().unwrap() + 1,
            "origin": server, "origin_server_ts": NOW,
        })
    }
}
