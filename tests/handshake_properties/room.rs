//! A room, and the resident servers in it: they share it, and do what the crate's own pipelines say.

use std::sync::LazyLock;

use matrix_knock::auth::AuthStatus;
use matrix_knock::event::KeyValidity::Forever;
use matrix_knock::event::{Ed25519Key, Keys, Pdu, VerifyKey, redact, room_id_of_create, sign_event};
use matrix_knock::id::{EventId, KeyId, OwnedServerName, RoomId, ServerName};
use matrix_knock::policy::PolicyVerdict;
use matrix_knock::resident::submission::{AuthEventRef, SendKnock, SendLeave, SendRequest};
use matrix_knock::resident::{
    Decision, MakeKnock, MakeLeave, MakeRequest, Refusal, RequestKind, Residence, ResidentRoom,
};
use matrix_knock::state::StateMap;
use matrix_knock::stripped_state::StrippedEvent;
use matrix_knock::template::PrevEvent;
use matrix_knock::{Ed25519, RoomVersion};
use serde_json::{Value, json};

/// The knocker's server, its user and its key.
pub(crate) const HOME: &str = "b.example";
pub(crate) const KAY: &str = "@kay:b.example";
pub(crate) const KEY_ID: &str = "ed25519:1";

pub(crate) fn key_id() -> KeyId<'static> {
    KeyId::parse(KEY_ID).unwrap()
}

/// Where the creator of the room lives.
pub(crate) const RESIDENT: &str = "a.example";
/// Milliseconds since the Unix epoch.
pub(crate) const NOW: u64 = 1_700_000_000_000;

pub(crate) fn key(server: &str) -> Ed25519Key {
    let mut seed = [7; 32];
    seed.iter_mut().zip(server.bytes()).for_each(|(seed, byte)| *seed = byte);
    Ed25519Key::from_seed(KEY_ID, &seed).unwrap()
}

/// Every server has one key, and everybody knows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AllKeys;

impl Keys for AllKeys {
    fn key(&self, server: &str, key_id: &str) -> Option<VerifyKey> {
        (key_id == KEY_ID).then(|| VerifyKey { public_key: key(server).public_key(), validity: Forever })
    }
}

pub(crate) fn names<'n>(servers: impl IntoIterator<Item = &'n str>) -> Vec<OwnedServerName> {
    servers.into_iter().map(|server| server.parse().unwrap()).collect()
}

#[derive(Debug, Clone)]
pub(crate) struct Room {
    pub(crate) version: RoomVersion,
    pub(crate) id: String,
    /// IDs and texts, as they came in.
    pub(crate) events: Vec<(String, String)>,
}

impl Room {
    /// A room that can be knocked on: one for each version of the specification, made once.
    pub(crate) fn new(version: RoomVersion) -> Self {
        static ROOMS: LazyLock<Vec<Room>> =
            LazyLock::new(|| RoomVersion::ALL[6..].iter().map(|it| Room::make(*it)).collect());
        ROOMS.iter().find(|room| room.version == version).cloned().unwrap_or_else(|| Self::make(version))
    }

    fn make(version: RoomVersion) -> Self {
        let mut room = Self { version, id: "!room:a.example".to_owned(), events: Vec::new() };
        let creator = format!("@alice:{RESIDENT}");
        room.push("m.room.create", "", json!({ "room_version": version.as_str(), "creator": creator }));
        room.push("m.room.member", &creator, json!({ "membership": "join", "displayname": "Alice \u{1F511}" }));
        room.push("m.room.join_rules", "", json!({ "join_rule": "knock" }));
        room.push("m.room.name", "", json!({ "name": "Knock!" }));
        room
    }

    fn push(&mut self, event_type: &str, state_key: &str, content: Value) {
        let is_create = event_type == "m.room.create";
        let names_create = self.version.goes_by() < RoomVersion::V12;
        let auth_events: Vec<_> =
            self.events.iter().take(3).map(|(id, _)| id).skip(usize::from(!names_create)).collect();
        let prev_events: Vec<_> = self.events.last().iter().map(|(id, _)| id).collect();
        let mut event = json!({
            "type": event_type, "state_key": state_key, "sender": format!("@alice:{RESIDENT}"), "content": content,
            "auth_events": auth_events, "prev_events": prev_events, "depth": self.events.len() + 1,
            "origin_server_ts": NOW, "room_id": self.id,
        });
        if is_create && !names_create {
            event.as_object_mut().unwrap().remove("room_id");
        }
        let server = ServerName::parse(RESIDENT).unwrap();
        let signed = sign_event(self.version, &event.to_string(), server, &key(RESIDENT)).unwrap();
        if is_create {
            self.id = room_id_of_create(self.version, signed.event_id()).unwrap_or_else(|| self.id.clone());
        }
        self.events.push((signed.event_id().to_owned(), signed.into_text()));
    }

    /// Alice invites Kay.
    pub(crate) fn invite(&mut self) {
        self.push("m.room.member", KAY, json!({ "membership": "invite" }));
    }

    pub(crate) fn room_id(&self) -> RoomId<'_> {
        RoomId::parse(&self.id).unwrap()
    }

    /// What its servers say to people outside of it: each event as it was made, and as a redaction
    /// leaves it.
    pub(crate) fn said(&self) -> Vec<StrippedEvent> {
        let stripped = |text: &str| StrippedEvent::of(&Pdu::parse(text).unwrap());
        let both = |text: &str| [stripped(text), stripped(&redact(self.version, text).unwrap())];
        self.events.iter().flat_map(|(_, text)| both(text)).flatten().collect()
    }

    /// All its events as its state: of two with the same type and state key the last counts.
    pub(crate) fn state(&self) -> StateMap<Pdu<'_>> {
        self.pdus().collect()
    }

    fn pdus(&self) -> impl Iterator<Item = Pdu<'_>> {
        self.events.iter().map(|(id, text)| Pdu::parse(text).unwrap().with_event_id(id.as_str()))
    }

    pub(crate) fn has(&self, event_id: &str) -> bool {
        self.events.iter().any(|(id, _)| id == event_id)
    }

    pub(crate) fn resident(&self) -> ResidentRoom<'_> {
        ResidentRoom { room_id: self.room_id(), version: self.version, residence: Residence::Joined }
    }

    fn last(&self) -> PrevEvent<'_> {
        let (id, _) = self.events.last().unwrap();
        PrevEvent { event_id: EventId::parse(id).unwrap(), depth: u64::try_from(self.events.len()).unwrap() }
    }

    /// The answer to `make_knock`.
    pub(crate) fn make_knock(&self, versions: &[&str]) -> (u16, String) {
        self.template(MakeKnock::new(self.room_id(), KAY, home(), versions.iter().copied()))
    }

    /// The answer to `make_leave`.
    pub(crate) fn make_leave(&self) -> (u16, String) {
        self.template(MakeLeave::new(self.room_id(), KAY, home()))
    }

    fn template<K: RequestKind>(&self, request: MakeRequest<'_, K>) -> (u16, String) {
        let state = self.state();
        let admitted = request.check(&self.resident(), &state).and_then(|allowed| allowed.decide(Decision::Admit));
        answer(admitted.map(|admitted| admitted.template(&state, &[self.last()], NOW - 1).unwrap().to_response()))
    }

    /// The answer to `send_knock`, after which the event is in the room if it is allowed.
    pub(crate) fn send_knock(&mut self, event_id: &str, body: &str) -> (u16, String) {
        let room = self.clone();
        let taken = room.send(&SendKnock::new(room.room_id(), event_id, home(), body));
        self.take(event_id, body, taken)
    }

    /// The answer to `send_leave`, after which the event is in the room if it is allowed.
    pub(crate) fn send_leave(&mut self, event_id: &str, body: &str) -> (u16, String) {
        let room = self.clone();
        let taken = room.send(&SendLeave::new(room.room_id(), event_id, home(), body));
        self.take(event_id, body, taken)
    }

    fn send<K: RequestKind>(&self, request: &SendRequest<'_, K>) -> Result<String, Refusal> {
        let state = self.state();
        let text = |event: &&Pdu<'_>| event.to_federation(self.version).ok();
        let verified = request.check(&self.resident(), &state)?.verify(&AllKeys, &Ed25519, NOW)?;
        if self.has(verified.event_id()) {
            return Ok(verified.known().to_response(&state, text).unwrap());
        }
        let known = self.pdus().map(|event| AuthEventRef { event, status: AuthStatus::Accepted });
        let auth_events = verified.match_auth_events(known)?;
        let permitted = verified.authorize(&auth_events, &state, &state)?;
        let accepted = permitted.accept(&state, PolicyVerdict::NotNamed, Decision::Admit)?;
        Ok(accepted.to_response(&state, text).unwrap())
    }

    fn take(&mut self, event_id: &str, body: &str, taken: Result<String, Refusal>) -> (u16, String) {
        if taken.is_ok() && !self.has(event_id) {
            self.events.push((event_id.to_owned(), body.to_owned()));
        }
        answer(taken)
    }
}

fn home() -> ServerName<'static> {
    ServerName::parse(HOME).unwrap()
}

fn answer(answer: Result<String, Refusal>) -> (u16, String) {
    match answer {
        Ok(body) => (200, body),
        Err(refusal) => (refusal.to_response().status(), refusal.to_response().to_string()),
    }
}
