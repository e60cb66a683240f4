//! A room that `a.example` is in, as a list of its events: the state is what the last event of each
//! place says.

use matrix_knock::auth::{AuthStatus, Selection};
use matrix_knock::event::{
    Ed25519Key, Event as _, KeyValidity, Keys, Pdu, SignedEvent, VerifyKey, room_id_of_create, sign_event,
};
use matrix_knock::id::{EventId, RoomId, ServerName};
use matrix_knock::policy::PolicyVerdict;
use matrix_knock::receipt::{AuthEventRef, Outcome, ReceivedEvent, States};
use matrix_knock::resident::answer::Action;
use matrix_knock::resident::{Residence, ResidentRoom};
use matrix_knock::state::{Reads, RoomState as _, Snapshot, StateMap};
use matrix_knock::template::PrevEvent;
use matrix_knock::{Ed25519, RoomVersion};
use serde_json::{Value, json};

/// The server in the room, and the one of the knocker.
pub(crate) const HERE: &str = "a.example";
pub(crate) const THERE: &str = "b.example";
/// She has made the room and has all the power.
pub(crate) const ALICE: &str = "@alice:a.example";
/// He is joined and has no power.
pub(crate) const BOB: &str = "@bob:a.example";
/// Knocks from outside.
pub(crate) const KAY: &str = "@kay:b.example";
/// The answers to something that stands: a knock, an invite, a ban.
pub(crate) const ANSWERS: [Action; 5] = [Action::Accept, Action::Decline, Action::Ban, Action::Revoke, Action::Unban];
pub(crate) const KEY_ID: &str = "ed25519:1";
/// The time at which the room was made, in milliseconds since the Unix epoch.
pub(crate) const THEN: u64 = 1_700_000_000_000;

pub(crate) fn versions() -> &'static [RoomVersion] {
    &RoomVersion::ALL[6..]
}

/// The key of a server: its secret is the first letter of its name.
pub(crate) fn key(server: &str) -> Ed25519Key {
    Ed25519Key::from_seed(KEY_ID, &[server.as_bytes()[0]; 32]).unwrap()
}

pub(crate) fn name(server: &str) -> ServerName<'_> {
    ServerName::parse(server).unwrap()
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

#[derive(Debug, Clone)]
pub(crate) struct Room {
    pub(crate) version: RoomVersion,
    pub(crate) id: String,
    /// IDs and texts.
    pub(crate) events: Vec<(String, String)>,
}

impl Room {
    /// Made by Alice; it takes a level of 50 to invite, kick or ban.
    pub(crate) fn new(version: RoomVersion, join_rule: &str) -> Self {
        let mut room = Self { version, id: "!room:a.example".to_owned(), events: Vec::new() };
        let creator = if version <= RoomVersion::V10 { json!(ALICE) } else { Value::Null };
        room.send(ALICE, "m.room.create", "", json!({ "room_version": version.as_str(), "creator": creator }));
        room.send(ALICE, "m.room.member", ALICE, json!({ "membership": "join", "displayname": "Alice" }));
        room.levels(json!({}));
        room.send(ALICE, "m.room.join_rules", "", json!({ "join_rule": "public" }));
        room.send(BOB, "m.room.member", BOB, json!({ "membership": "join" }));
        room.send(ALICE, "m.room.join_rules", "", json!({ "join_rule": join_rule }));
        room.send(ALICE, "m.room.name", "", json!({ "name": "Türen" }));
        room
    }

    /// Alice sets the levels of the others. Since v12 hers is above all, and not named.
    pub(crate) fn levels(&mut self, mut users: Value) {
        if self.version < RoomVersion::V12 {
            users[ALICE] = json!(100);
        }
        self.send(ALICE, "m.room.power_levels", "", json!({ "users": users, "invite": 50, "kick": 50, "ban": 50 }));
    }

    /// A state event that nobody asks about.
    pub(crate) fn send(&mut self, sender: &str, event_type: &str, state_key: &str, content: Value) -> String {
        let mut event = json!({
            "type": event_type, "state_key": state_key, "sender": sender, "content": content, "room_id": self.id,
            "prev_events": [], "depth": self.events.len() + 1, "auth_events": [],
            "origin_server_ts": THEN + u64::try_from(self.events.len()).unwrap(),
        });
        event["prev_events"] = self.events.last().iter().map(|(id, _)| json!(id)).collect();
        let is_create = event_type == "m.room.create";
        if is_create && self.version >= RoomVersion::V12 {
            event.as_object_mut().unwrap().remove("room_id");
        }
        let draft = event.to_string();
        event["auth_events"] = {
            let (state, draft) = (self.state(), Pdu::parse(&draft).unwrap());
            let selection = Selection::of(self.version, &draft);
            let found = selection.auth_events().filter_map(|(event_type, key)| {
                let found = state.event(event_type, key).unwrap();
                found.and_then(|event| event.event_id().map(|id| json!(id)))
            });
            found.collect()
        };
        let (_, server) = sender.split_once(':').unwrap();
        let signed = sign_event(self.version, &event.to_string(), name(server), &key(server)).unwrap();
        if is_create {
            self.id = room_id_of_create(self.version, signed.event_id()).unwrap_or_else(|| self.id.clone());
        }
        self.take(&signed);
        signed.event_id().to_owned()
    }

    /// A change of membership that nobody asks about.
    pub(crate) fn member(&mut self, sender: &str, target: &str, membership: &str) -> String {
        self.send(sender, "m.room.member", target, json!({ "membership": membership }))
    }

    pub(crate) fn take(&mut self, event: &SignedEvent) {
        self.events.push((event.event_id().to_owned(), event.text().to_owned()));
    }

    fn pdus(&self, events: usize) -> impl Iterator<Item = Pdu<'_>> {
        let events = self.events.iter().take(events);
        events.map(|(id, text)| Pdu::parse(text).unwrap().with_event_id(id.as_str()))
    }

    /// The state after the first so many events.
    pub(crate) fn state_after(&self, events: usize) -> StateMap<Pdu<'_>> {
        self.pdus(events).collect()
    }

    pub(crate) fn state(&self) -> StateMap<Pdu<'_>> {
        self.state_after(self.events.len())
    }

    /// The entries of the current state that a step reads, and nothing else.
    pub(crate) fn look_up(&self, reads: &Reads) -> Snapshot<Pdu<'_>> {
        Snapshot::of_events(reads, self.pdus(self.events.len()))
    }

    pub(crate) fn room_id(&self) -> RoomId<'_> {
        RoomId::parse(&self.id).unwrap()
    }

    pub(crate) fn resident(&self) -> ResidentRoom<'_> {
        ResidentRoom { room_id: self.room_id(), version: self.version, residence: Residence::Joined }
    }

    pub(crate) fn last(&self) -> PrevEvent<'_> {
        let (id, _) = self.events.last().unwrap();
        PrevEvent { event_id: EventId::parse(id).unwrap(), depth: u64::try_from(self.events.len()).unwrap() }
    }

    /// An event as it arrived in a transaction, after the signatures.
    pub(crate) fn received<'t>(&self, text: &'t str) -> ReceivedEvent<'t> {
        let formatted = Pdu::parse(text).unwrap().check_format(self.version).unwrap();
        ReceivedEvent::verify(formatted, &AllKeys, &Ed25519, THEN).unwrap()
    }

    /// What another server in the room makes of an event: the state before it is that after
    /// `before` events, the current one that after `current`.
    pub(crate) fn receive(&self, text: &str, [before, current]: [usize; 2], policy: PolicyVerdict) -> Outcome {
        let received = self.received(text);
        let known = self.pdus(before).map(|event| AuthEventRef { event, status: AuthStatus::Accepted });
        let auth_events = received.match_auth_events(known).unwrap();
        let reads = received.reads();
        let (before, current) =
            (Snapshot::of_events(&reads, self.pdus(before)), Snapshot::of_events(&reads, self.pdus(current)));
        received.check(&auth_events, States { before: &before, current: &current }, &Ed25519, policy).unwrap()
    }
}
