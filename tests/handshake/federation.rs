//! The resident servers: `a.example`, which made the room, and `b.example`, which is in it. What one accepts the other has at
//! once.

use std::collections::BTreeMap;

use matrix_knock::auth::{AuthStatus, AuthorizeError, Selection, authorize};
use matrix_knock::event::{Ed25519Key, Event, EventType, KeyValidity, Keys, Pdu, VerifyKey, sign_event};
use matrix_knock::id::{EventId, KeyId, RoomId, ServerName};
use matrix_knock::machine::Request;
use matrix_knock::policy::{PolicyServer, PolicyVerdict};
use matrix_knock::resident::submission::{AuthEventRef, SendRequest};
use matrix_knock::resident::{Decision, Knock, Leave, MakeRequest, Refusal, RequestKind, Residence, ResidentRoom};
use matrix_knock::state::{Reads, RoomState, Snapshot, StateMap};
use matrix_knock::template::PrevEvent;
use matrix_knock::wire::BuiltRequest;
use matrix_knock::{Ed25519, RoomVersion};
use serde_json::{Value, json};

pub(crate) const A: &str = "a.example";
pub(crate) const B: &str = "b.example";
pub(crate) const ALICE: &str = "@alice:a.example";
pub(crate) const BOB: &str = "@bob:b.example";
/// A user of the knocking server, by a name that has to be percent-encoded.
pub(crate) const KAY: &str = "@kay/ö?&%41 =:k.example";
/// The time at which the room was made.
pub(crate) const THEN: u64 = 1_700_000_000_000;
pub(crate) const KEY_ID: &str = "ed25519:1";

pub(crate) fn key_id() -> KeyId<'static> {
    KeyId::parse(KEY_ID).expect("a key ID")
}

/// Every version that has knocking, with every join rule of it that lets people knock.
pub(crate) fn rooms() -> Vec<(RoomVersion, &'static str)> {
    let [.., v7, v8, v9, v10, v11, v12] = RoomVersion::ALL;
    let knock = [v7, v8, v9, v10, v11, v12].map(|version| (version, "knock"));
    let both = [v10, v11, v12].map(|version| (version, "knock_restricted"));
    knock.into_iter().chain(both).collect()
}

/// Every version that has knocking.
pub(crate) fn versions() -> Vec<RoomVersion> {
    rooms().into_iter().filter(|(_, rule)| *rule == "knock").map(|(version, _)| version).collect()
}

/// The key of a server: its secret is the first letter of its name.
pub(crate) fn key(server: &str) -> Ed25519Key {
    Ed25519Key::from_seed(KEY_ID, &[server.as_bytes()[0]; 32]).expect("a key ID")
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

/// An event as its server sends it, and its ID.
pub(crate) fn sign(version: RoomVersion, event: &Value, server: &str) -> (String, String) {
    let name = ServerName::parse(server).expect("a server name");
    let signed = sign_event(version, &event.to_string(), name, &key(server)).expect("an event");
    (signed.event_id().to_owned(), signed.into_text())
}

pub(crate) fn json_of(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// Event IDs by type and state key.
pub(crate) type Places = BTreeMap<(String, String), String>;

/// A room as its servers have it.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    pub(crate) version: RoomVersion,
    pub(crate) id: String,
    /// The events by ID, as they go between servers.
    pub(crate) events: BTreeMap<String, String>,
    /// The current state.
    pub(crate) places: Places,
    /// The state after each event.
    after: BTreeMap<String, Places>,
    /// The last event.
    pub(crate) tip: String,
    pub(crate) depth: u64,
}

impl Room {
    /// An event as the host has it: it knows its ID.
    pub(crate) fn stored(&self, id: &String) -> Value {
        let mut event = json_of(&self.events[id]);
        event["event_id"] = json!(id);
        event
    }

    /// Made and joined by Alice, who has all the power; joined by Bob, who has none.
    pub(crate) fn new(version: RoomVersion, join_rule: &str) -> Self {
        let mut content = json!({ "room_version": version.as_str() });
        let mut create = json!({
            "type": "m.room.create", "state_key": "", "sender": ALICE, "auth_events": [], "prev_events": [], "depth": 1,
            "origin_server_ts": THEN,
        });
        if version <= RoomVersion::V10 {
            content["creator"] = json!(ALICE);
        }
        create["content"] = content;
        // An ID that has to be percent-encoded.
        let mut id = "!a room/of?100%&all=ö:a.example".to_owned();
        if version < RoomVersion::V12 {
            create["room_id"] = json!(id);
        }
        let (create_id, text) = sign(version, &create, A);
        if version >= RoomVersion::V12 {
            id = create_id.replacen('$', "!", 1);
        }
        let (places, tip) = (Places::new(), create_id.clone());
        let mut room = Self { version, id, events: BTreeMap::new(), places, after: BTreeMap::new(), tip, depth: 0 };
        room.take(&create_id, &text);

        let mut powers = json!({ "users": { ALICE: 100 } });
        if version >= RoomVersion::V12 {
            powers = json!({});
        }
        for (sender, event_type, key, content) in [
            (ALICE, "m.room.member", ALICE, json!({ "membership": "join" })),
            (ALICE, "m.room.power_levels", "", powers),
            (ALICE, "m.room.member", BOB, json!({ "membership": "invite" })),
            (BOB, "m.room.member", BOB, json!({ "membership": "join" })),
            (ALICE, "m.room.join_rules", "", json!({ "join_rule": join_rule })),
            (ALICE, "m.room.name", "", json!({ "name": "Türen" })),
            (ALICE, "m.room.history_visibility", "", json!({ "history_visibility": "shared" })),
        ] {
            room.send(sender, event_type, key, &content).expect("what makes the room is allowed");
        }
        room
    }

    /// What makes a state event of a user part of the room, if the rules allow it.
    pub(crate) fn send(
        &mut self,
        sender: &str,
        event_type: &str,
        state_key: &str,
        content: &Value,
    ) -> Result<String, AuthorizeError> {
        let mut event = json!({
            "type": event_type, "state_key": state_key, "sender": sender, "content": content, "room_id": self.id,
            "prev_events": [self.tip], "depth": self.depth + 1, "origin_server_ts": THEN + self.depth, "auth_events": [],
        });
        let draft = event.to_string();
        event["auth_events"] = Selection::of(self.version, &Pdu::parse(&draft).expect("an event"))
            .auth_events()
            .filter_map(|(event_type, key)| self.places.get(&(event_type.to_string(), key.to_owned())))
            .map(|id| json!(id))
            .collect();
        let (_, server) = sender.split_once(':').expect("a user ID");
        let (event_id, text) = sign(self.version, &event, server);
        if event_type == "m.room.member" {
            authorize(self.version, &Pdu::parse(&text).expect("an event"), &self.state(), &Ed25519)?;
        }
        self.take(&event_id, &text);
        Ok(event_id)
    }

    /// A change of membership by somebody in the room.
    pub(crate) fn member(&mut self, sender: &str, target: &str, membership: &str) -> Result<String, AuthorizeError> {
        self.send(sender, "m.room.member", target, &json!({ "membership": membership }))
    }

    fn take(&mut self, event_id: &str, text: &str) {
        let event = json_of(text);
        let text_of = |name: &str| event[name].as_str().expect("a string").to_owned();
        self.places.insert((text_of("type"), text_of("state_key")), event_id.to_owned());
        self.events.insert(event_id.to_owned(), text.to_owned());
        self.after.insert(event_id.to_owned(), self.places.clone());
        self.tip = event_id.to_owned();
        self.depth = event["depth"].as_u64().expect("a depth");
    }

    pub(crate) fn pdu(&self, event_id: &str) -> Option<Pdu<'_>> {
        let text = self.events.get(event_id)?;
        Some(Pdu::parse(text).expect("an event").with_event_id(event_id.to_owned()))
    }

    fn pdus(&self, places: &Places) -> impl Iterator<Item = Pdu<'_>> {
        places.values().filter_map(|id| self.pdu(id))
    }

    pub(crate) fn state(&self) -> StateMap<Pdu<'_>> {
        self.pdus(&self.places).collect()
    }

    /// The entries of the current state that a step reads, and nothing else.
    fn current(&self, reads: &Reads) -> Snapshot<Pdu<'_>> {
        Snapshot::of_events(reads, self.pdus(&self.places))
    }

    /// The ID of the event in this place of the state.
    pub(crate) fn at(&self, event_type: &str, state_key: &str) -> String {
        self.places[&(event_type.to_owned(), state_key.to_owned())].clone()
    }

    /// The content of a user's member event, if there is one.
    pub(crate) fn member_content(&self, user: &str) -> Option<Value> {
        let id = self.places.get(&("m.room.member".to_owned(), user.to_owned()))?;
        Some(json_of(&self.events[id])["content"].clone())
    }
}

/// What comes of a request: status and body, or nothing.
pub(crate) type Answer = Option<(u16, String)>;

/// Both resident servers.
#[derive(Debug, Clone)]
pub(crate) struct Federation {
    pub(crate) room: Room,
    pub(crate) residence: Residence,
    pub(crate) decision: Decision,
    /// What was refused last.
    pub(crate) refusal: Option<Refusal>,
}

impl Federation {
    pub(crate) fn new(version: RoomVersion, join_rule: &str) -> Self {
        let room = Room::new(version, join_rule);
        Self { room, residence: Residence::Joined, decision: Decision::Admit, refusal: None }
    }

    /// What a resident server answers to a request that the knocking server has signed.
    pub(crate) fn serve(&mut self, request: &Request, now: u64) -> Answer {
        assert!([A, B].contains(&request.server.as_str()), "nobody is called {}", request.server);
        let served = self.route(request, now);
        self.refusal = served.as_ref().err().cloned();
        Some(served.map_or_else(
            |refusal| (refusal.to_response().status(), refusal.to_response().to_string()),
            |body| (200, body),
        ))
    }

    fn route(&mut self, request: &Request, now: u64) -> Result<String, Refusal> {
        let http = request.to_http();
        let parts: Vec<String> = http.path.split('/').map(decoded).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let ["", "_matrix", "federation", api, endpoint, room_id, last] = parts[..] else {
            panic!("no such path: {}", http.path)
        };
        match (http.method, api, endpoint, &http.body) {
            ("GET", "v1", "make_knock", None) => self.make::<Knock>((room_id, last), &http, now),
            ("GET", "v1", "make_leave", None) => {
                assert_eq!(http.query, "");
                self.make::<Leave>((room_id, last), &http, now)
            }
            ("PUT", "v1", "send_knock", Some(body)) => self.take_in::<Knock>((room_id, last, body), &http, now),
            ("PUT", "v2", "send_leave", Some(body)) => self.take_in::<Leave>((room_id, last, body), &http, now),
            (method, _, _, body) => panic!("no such request: {method} {} {body:?}", http.path),
        }
    }

    /// `make_knock` or `make_leave`. Each step has the entries of the state that it reads, and no others.
    fn make<K: RequestKind>(
        &self,
        (room_id, user_id): (&str, &str),
        http: &BuiltRequest,
        now: u64,
    ) -> Result<String, Refusal> {
        let request = MakeRequest::<K>::parse(knocking_server(), http.as_http())?;
        assert_eq!(request.room_id(), *room_id);
        let room = self.resident(room_id)?;
        let state = self.room.current(&request.reads(&room));
        let allowed = request.check(&room, &state)?;
        assert_eq!(allowed.user_id(), *user_id);
        let approved = allowed.decide(self.decision.clone())?;
        let event_id = EventId::parse(&self.room.tip).expect("an event ID");
        let last = [PrevEvent { event_id, depth: self.room.depth }];
        let state = self.room.current(&approved.reads());
        Ok(approved.template(&state, &last, now).expect("a template").to_response())
    }

    /// `send_knock` or `send_leave`. Each step has the entries of the state that it reads, and no others.
    fn take_in<K: RequestKind>(
        &mut self,
        (room_id, event_id, body): (&str, &str, &str),
        http: &BuiltRequest,
        now: u64,
    ) -> Result<String, Refusal> {
        let request = SendRequest::<K>::parse(knocking_server(), http.as_http())?;
        assert_eq!((request.room_id().as_str(), request.event_id()), (room_id, event_id));
        let room = self.resident(room_id)?;
        let received = request.check(&room, &self.room.current(&request.reads()))?;
        assert_eq!((received.origin(), received.key_ids()), (knocking_server(), vec![KEY_ID.to_owned()]));
        let verified = received.verify(&AllKeys, &Ed25519, now)?;
        assert_eq!(verified.event_id(), event_id);
        let version = self.room.version;
        let text = |event: &&Pdu<'_>| event.to_federation(version).ok();
        if self.room.events.contains_key(event_id) {
            let again = verified.known();
            return Ok(again.to_response(&self.room.current(&again.reads()), text).expect("a create event"));
        }
        let named = |id: &str| self.room.pdu(id).map(|event| AuthEventRef { event, status: AuthStatus::Accepted });
        let named: Vec<_> = verified.auth_events().filter_map(named).collect();
        let auth_events = verified.match_auth_events(named)?;
        let last = verified.prev_events().next().expect("a previous event");
        let reads = verified.reads();
        let before = Snapshot::of_events(&reads, self.room.pdus(&self.room.after[last]));
        let permitted = verified.authorize(&auth_events, &before, &self.room.current(&reads))?;
        let state = self.room.current(&PolicyServer::reads());
        assert_eq!(permitted.policy_server(&state), Ok(None));
        let state = self.room.current(&permitted.reads());
        let accepted = permitted.accept(&state, PolicyVerdict::NotNamed, self.decision.clone())?;
        let response = accepted.to_response(&self.room.current(&accepted.reads()), text).expect("a create event");
        self.room.take(event_id, body);
        Ok(response)
    }

    /// The room of this ID, if there is one.
    fn resident(&self, room_id: &str) -> Result<ResidentRoom<'_>, Refusal> {
        if room_id != self.room.id {
            return Err(Refusal::UnknownRoom);
        }
        let room_id = RoomId::parse(&self.room.id).expect("a room ID");
        Ok(ResidentRoom { room_id, version: self.room.version, residence: self.residence })
    }
}

/// Who asks.
pub(crate) fn knocking_server() -> ServerName<'static> {
    ServerName::parse("k.example").expect("a server name")
}

fn decoded(part: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = part.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        let byte = match (first, behind) {
            (b'%', [high, low, behind @ ..]) => {
                rest = behind;
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).expect("two digits");
                u8::from_str_radix(digits, 16).expect("two hexadecimal digits")
            }
            (plain, _) => *plain,
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes).expect("UTF-8")
}

/// The ID and the event of a place of the state, for tests that look at it.
pub(crate) fn event_in<'s>(state: &'s StateMap<Pdu<'_>>, event_type: &str, state_key: &str) -> Option<&'s str> {
    let found = state.event(EventType::from(event_type), state_key).expect("a whole state");
    found.and_then(|event| event.event_id())
}
