//! A room of signed events at `a.example`, and the servers around it.

use std::collections::BTreeMap;

use matrix_knock::auth::{AuthStatus, Selection};
use matrix_knock::event::{Ed25519Key, KeyValidity, Keys, Pdu, VerifyKey, sign_event};
use matrix_knock::id::{EventId, RoomId, ServerName, UserId};
use matrix_knock::policy::{PolicyServer, PolicySignature};
use matrix_knock::receipt::AuthEventRef;
use matrix_knock::resident::{Residence, ResidentRoom};
use matrix_knock::state::StateMap;
use matrix_knock::template::PrevEvent;
use matrix_knock::wire::HttpResponse;
use matrix_knock::{Ed25519, RoomVersion};
use serde_json::{Value, json};

pub(crate) const A: &str = "a.example";
pub(crate) const K: &str = "k.example";
/// The room's policy server, where it has one.
pub(crate) const P: &str = "policy.of.the.room.example";
pub(crate) const BOT: &str = "@bot:policy.of.the.room.example";
pub(crate) const ALICE: &str = "@alice:a.example";
/// In the room, without power.
pub(crate) const BEN: &str = "@ben:a.example";
pub(crate) const KAY: &str = "@kay:k.example";
pub(crate) const KEY_ID: &str = "ed25519:1";
pub(crate) const POLICY_KEY_ID: &str = "ed25519:policy_server";
pub(crate) const NOW: u64 = 1_700_000_000_000;

/// The versions that have knocking.
pub(crate) fn versions() -> [RoomVersion; 6] {
    let [.., v7, v8, v9, v10, v11, v12] = RoomVersion::ALL;
    [v7, v8, v9, v10, v11, v12]
}

/// The key of a server: its secret is the first letter of its name.
pub(crate) fn key(server: &str) -> Ed25519Key {
    Ed25519Key::from_seed(KEY_ID, &[server.as_bytes()[0]; 32]).expect("a key ID")
}

/// The key of the policy server for its judgement, which is not the one that it publishes.
pub(crate) fn policy_key() -> Ed25519Key {
    Ed25519Key::from_seed(POLICY_KEY_ID, &[200; 32]).expect("a key ID")
}

/// Every server has one key, and everybody knows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AllKeys;

impl Keys for AllKeys {
    fn key(&self, server: &str, key_id: &str) -> Option<VerifyKey> {
        let public_key = key(server).public_key();
        (key_id == KEY_ID).then_some(VerifyKey { public_key, validity: KeyValidity::Forever })
    }
}

pub(crate) fn server(name: &str) -> ServerName<'_> {
    ServerName::parse(name).expect("a server name")
}

pub(crate) fn user(id: &str) -> UserId<'_> {
    UserId::parse(id).expect("a user ID")
}

pub(crate) fn json_of(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// The event with its hash and this server's signature: its ID and its text.
pub(crate) fn sign(version: RoomVersion, event: &Value, by: &str) -> (String, String) {
    let signed = sign_event(version, &event.to_string(), server(by), &key(by)).expect("an event");
    (signed.event_id().to_owned(), signed.into_text())
}

/// The event under another property.
pub(crate) fn with(event: &Value, property: &str, value: Value) -> Value {
    let mut event = event.clone();
    event[property] = value;
    event
}

/// A room, whatever the rules say of its events.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    pub(crate) version: RoomVersion,
    pub(crate) id: String,
    /// The current state: ID and text, by type and state key.
    state: BTreeMap<(String, String), (String, String)>,
    tip: String,
    depth: u64,
}

impl Room {
    /// Made by Alice, who has all the power; Ben is in it, and Kay knocks.
    pub(crate) fn new(version: RoomVersion) -> Self {
        let is_v12 = version >= RoomVersion::V12;
        let mut content = json!({ "room_version": version.as_str() });
        if version <= RoomVersion::V10 {
            content["creator"] = json!(ALICE);
        }
        let mut create = json!({
            "type": "m.room.create", "state_key": "", "sender": ALICE, "content": content, "auth_events": [],
            "prev_events": [], "depth": 1, "origin_server_ts": NOW,
        });
        let mut id = "!room:a.example".to_owned();
        if !is_v12 {
            create["room_id"] = json!(id);
        }
        let (create_id, text) = sign(version, &create, A);
        if is_v12 {
            id = create_id.replacen('$', "!", 1);
        }
        let mut room = Self { version, id, state: BTreeMap::new(), tip: create_id.clone(), depth: 1 };
        room.state.insert(("m.room.create".to_owned(), String::new()), (create_id, text));
        room.member(ALICE, ALICE, "join");
        room.send(
            ALICE,
            "m.room.power_levels",
            "",
            if is_v12 { json!({}) } else { json!({ "users": { ALICE: 100 } }) },
        );
        room.send(ALICE, "m.room.join_rules", "", json!({ "join_rule": "knock" }));
        room.member(ALICE, BEN, "invite");
        room.member(BEN, BEN, "join");
        room.member(KAY, KAY, "knock");
        room
    }

    /// The same with a policy server, of which a user is joined.
    pub(crate) fn with_policy_server(version: RoomVersion) -> Self {
        let mut room = Self::new(version);
        room.member(ALICE, BOT, "invite");
        room.member(BOT, BOT, "join");
        room.name_policy_server();
        room
    }

    pub(crate) fn name_policy_server(&mut self) {
        let key = unpadded(&policy_key().public_key());
        self.send(ALICE, "m.room.policy", "", json!({ "via": P, "public_keys": { "ed25519": key } }));
    }

    /// A draft that comes after everything else, with the auth events of the current state.
    pub(crate) fn draft(&self, sender: &str, event_type: &str, state_key: &str, content: Value) -> Value {
        let mut event = json!({
            "type": event_type, "state_key": state_key, "sender": sender, "content": content, "room_id": self.id,
            "prev_events": [self.tip], "depth": self.depth + 1, "origin_server_ts": NOW, "auth_events": [],
        });
        event["auth_events"] = json!(self.auth_events(&event));
        event
    }

    /// The IDs that the selection names, by the current state.
    pub(crate) fn auth_events(&self, event: &Value) -> Vec<String> {
        let text = event.to_string();
        let event = Pdu::parse(&text).expect("an event");
        let selection = Selection::of(self.version, &event);
        let places = selection.auth_events().map(|(event_type, key)| (event_type.to_string(), key.to_owned()));
        places.filter_map(|place| Some(self.state.get(&place)?.0.clone())).collect()
    }

    pub(crate) fn membership(&self, sender: &str, target: &str, membership: &str) -> Value {
        self.draft(sender, "m.room.member", target, json!({ "membership": membership }))
    }

    /// Puts an event into the state. Returns its ID.
    pub(crate) fn send(&mut self, sender: &str, event_type: &str, state_key: &str, content: Value) -> String {
        let event = self.draft(sender, event_type, state_key, content);
        self.put(&event)
    }

    pub(crate) fn put(&mut self, event: &Value) -> String {
        let text_of = |property: &str| event[property].as_str().expect("a string").to_owned();
        let (id, text) = sign(self.version, event, user(&text_of("sender")).server_name().as_str());
        self.state.insert((text_of("type"), text_of("state_key")), (id.clone(), text));
        self.tip.clone_from(&id);
        self.depth += 1;
        id
    }

    pub(crate) fn member(&mut self, sender: &str, target: &str, membership: &str) -> String {
        self.send(sender, "m.room.member", target, json!({ "membership": membership }))
    }

    pub(crate) fn state(&self) -> StateMap<Pdu<'_>> {
        self.events().collect()
    }

    fn events(&self) -> impl Iterator<Item = Pdu<'_>> {
        self.state.values().map(|(id, text)| Pdu::parse(text).expect("an event").with_event_id(id.as_str()))
    }

    /// The ID and the text of an event of the state.
    pub(crate) fn at(&self, event_type: &str, state_key: &str) -> (&str, &str) {
        let (id, text) = &self.state[&(event_type.to_owned(), state_key.to_owned())];
        (id, text)
    }

    /// All events of the state, as those that auth events are found among.
    pub(crate) fn found(&self) -> Vec<AuthEventRef<Pdu<'_>>> {
        self.events().map(|event| AuthEventRef { event, status: AuthStatus::Accepted }).collect()
    }

    pub(crate) fn resident(&self) -> ResidentRoom<'_> {
        let room_id = RoomId::parse(&self.id).expect("a room ID");
        ResidentRoom { room_id, version: self.version, residence: Residence::Joined }
    }

    pub(crate) fn prev_events(&self) -> [PrevEvent<'_>; 1] {
        [PrevEvent { event_id: EventId::parse(&self.tip).expect("an event ID"), depth: self.depth }]
    }

    /// The state that an invite shows: create, join rule, and the inviter's member event.
    pub(crate) fn shown(&self) -> Vec<String> {
        let places = [("m.room.create", ""), ("m.room.join_rules", ""), ("m.room.member", ALICE)];
        places.map(|(event_type, key)| self.at(event_type, key).1.to_owned()).into()
    }
}

pub(crate) fn unpadded(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD_NO_PAD.encode(bytes)
}

/// What the policy server answers to this event.
pub(crate) fn policy_answer(version: RoomVersion, event: &str) -> String {
    let signed = sign_event(version, event, server(P), &policy_key()).expect("an event");
    json!({ P: { POLICY_KEY_ID: json_of(signed.text())["signatures"][P][POLICY_KEY_ID] } }).to_string()
}

/// Its signature, as a host has it.
pub(crate) fn policy_signature(room: &Room, event: &str) -> PolicySignature {
    let named = PolicyServer::named(&room.state()).expect("a whole state").expect("the room names one");
    let event = Pdu::parse(event).expect("an event").check_format(room.version).expect("the format");
    let answer = policy_answer(room.version, event.pdu().text());
    named.read_answer(&event, Some(HttpResponse::new(200, &answer)), &Ed25519).expect("a signature")
}
