//! A room of versions 7 to 12 in which everybody may knock: its resident server by the crate's own
//! pipelines, and knocks that are written by hand.

use matrix_knock::auth::AuthStatus;
use matrix_knock::event::{
    Ed25519Key, KeyValidity, KeysFn, Pdu, Sign as _, SignedEvent, VerifyKey, room_id_of_create, sign_event,
};
use matrix_knock::id::{EventId, RoomId, ServerName};
use matrix_knock::policy::PolicyVerdict;
use matrix_knock::resident::submission::{AuthEventRef, SendKnock};
use matrix_knock::resident::{ApprovedRequest, Decision, Knock, MakeKnock, Refusal, Residence, ResidentRoom};
use matrix_knock::state::StateMap;
use matrix_knock::template::{Details, PrevEvent};
use matrix_knock::{Ed25519, RoomVersion};
use serde_json::{Value, json};

/// The server in the room.
pub(crate) const RESIDENT: &str = "a.example";
pub(crate) const ALICE: &str = "@alice:a.example";
/// A user of that server who is not in the room.
const LOCAL: &str = "@local:a.example";
/// The knocker's server.
pub(crate) const HOME: &str = "b.example";
pub(crate) const KAY: &str = "@kay:b.example";
/// Milliseconds since the Unix epoch.
pub(crate) const NOW: u64 = 1_700_000_000_000;

pub(crate) fn server(name: &str) -> ServerName<'_> {
    ServerName::parse(name).expect("a server name")
}

pub(crate) struct Room {
    pub(crate) version: RoomVersion,
    pub(crate) id: String,
    /// The keys of the two servers.
    pub(crate) resident_key: Ed25519Key,
    pub(crate) home_key: Ed25519Key,
    events: Vec<SignedEvent>,
}

/// What was taken.
pub(crate) struct Taken {
    /// The event as it is to be sent on.
    pub(crate) text: String,
    /// The event as it is to be kept.
    pub(crate) stored: String,
    /// The answer.
    pub(crate) body: String,
}

impl Room {
    pub(crate) fn new(version: RoomVersion, key_id: &str) -> Self {
        let [resident_key, home_key] =
            [[1; 32], [2; 32]].map(|seed| Ed25519Key::from_seed(key_id, &seed).expect("a key ID"));
        let mut room = Self { version, id: "!room:a.example".to_owned(), resident_key, home_key, events: Vec::new() };
        room.push("m.room.create", "", &json!({ "room_version": version.as_str(), "creator": ALICE }));
        room.push("m.room.member", ALICE, &json!({ "membership": "join" }));
        room.push("m.room.join_rules", "", &json!({ "join_rule": "knock" }));
        room.push("m.room.name", "", &json!({ "name": "Knock!" }));
        room
    }

    fn push(&mut self, event_type: &str, state_key: &str, content: &Value) {
        let mut event = json!({
            "type": event_type, "state_key": state_key, "sender": ALICE, "content": content, "room_id": self.id,
            "auth_events": self.auth_events(), "prev_events": self.tip(), "depth": self.events.len(),
            "origin_server_ts": NOW,
        });
        let is_create_of_v12 = event_type == "m.room.create" && self.version == RoomVersion::V12;
        if is_create_of_v12 {
            event.as_object_mut().expect("an object").remove("room_id");
        }
        let signed = sign_event(self.version, &event.to_string(), server(RESIDENT), &self.resident_key);
        let signed = signed.expect("an event");
        if is_create_of_v12 {
            self.id = room_id_of_create(self.version, signed.event_id()).expect("a room ID");
        }
        self.events.push(signed);
    }

    /// The create event (below version 12) and the join rules.
    fn auth_events(&self) -> Vec<&str> {
        let names_create = self.version < RoomVersion::V12;
        let ids = self.events.iter().map(SignedEvent::event_id).enumerate();
        ids.filter(|(number, _)| *number == 2 || (*number == 0 && names_create)).map(|(_, id)| id).collect()
    }

    fn tip(&self) -> Vec<&str> {
        self.events.last().into_iter().map(SignedEvent::event_id).collect()
    }

    pub(crate) fn room_id(&self) -> RoomId<'_> {
        RoomId::parse(&self.id).expect("a room ID")
    }

    pub(crate) fn state(&self) -> StateMap<Pdu<'_>> {
        self.pdus().collect()
    }

    fn pdus(&self) -> impl Iterator<Item = Pdu<'_>> {
        self.events.iter().map(|event| event.pdu().expect("an event"))
    }

    /// The keys of both servers, each by its one ID.
    pub(crate) fn keys(&self) -> KeysFn<impl Fn(&str, &str) -> Option<VerifyKey>> {
        let known = [(RESIDENT, &self.resident_key), (HOME, &self.home_key)];
        let known = known.map(|(server, key)| (server, key.key_id().into_owned(), key.public_key()));
        KeysFn(move |server: &str, key_id: &str| {
            let found = known.iter().find(|(name, known, _)| (*name, known.as_str()) == (server, key_id));
            found.map(|(.., public_key)| VerifyKey { public_key: *public_key, validity: KeyValidity::Forever })
        })
    }

    fn resident(&self) -> ResidentRoom<'_> {
        ResidentRoom { room_id: self.room_id(), version: self.version, residence: Residence::Joined }
    }

    fn admitted<'r>(
        &self,
        room: &'r ResidentRoom<'r>,
        user: &'r str,
        origin: &'r str,
    ) -> ApprovedRequest<'r, 'r, Knock> {
        let versions = RoomVersion::ALL.map(|version| version.to_string());
        let request = MakeKnock::new(room.room_id, user, server(origin), versions);
        let request = request.check(room, &self.state()).expect("a room that can be knocked on");
        request.decide(Decision::Admit).expect("nothing against it")
    }

    pub(crate) fn prev_events(&self) -> [PrevEvent<'_>; 1] {
        let event_id = self.tip().first().and_then(|id| EventId::parse(id).ok()).expect("an event ID");
        [PrevEvent { event_id, depth: 4 }]
    }

    /// The body of the answer to `make_knock`.
    pub(crate) fn make_knock(&self) -> String {
        let room = self.resident();
        let admitted = self.admitted(&room, KAY, HOME);
        admitted.template(&self.state(), &self.prev_events(), NOW).expect("a template").to_response()
    }

    /// Kay's knock with this content, and these properties beside it, signed by her server.
    pub(crate) fn knock(&self, content: &str, more: &str) -> SignedEvent {
        let event = format!(
            r#"{{"type":"m.room.member","state_key":"{KAY}","sender":"{KAY}","room_id":"{}","content":{content},
            "auth_events":{},"prev_events":{},"depth":5,"origin_server_ts":{NOW}{more}}}"#,
            self.id,
            json!(self.auth_events()),
            json!(self.tip()),
        );
        sign_event(self.version, &event, server(HOME), &self.home_key).expect("an event")
    }

    /// What the resident server does with a knock.
    pub(crate) fn send_knock(&self, event_id: &str, body: &str) -> Result<Taken, Refusal> {
        let (room, state) = (self.resident(), self.state());
        let request = SendKnock::new(room.room_id, event_id, server(HOME), body);
        let verified = request.check(&room, &state)?.verify(&self.keys(), &Ed25519, NOW)?;
        let known = self.pdus().map(|event| AuthEventRef { event, status: AuthStatus::Accepted });
        let auth_events = verified.match_auth_events(known)?;
        let authorized = verified.authorize(&auth_events, &state, &state)?;
        let accepted = authorized.accept(&state, PolicyVerdict::NotNamed, Decision::Admit)?;
        let text = |event: &&Pdu<'_>| event.to_federation(self.version).ok();
        Ok(Taken {
            text: accepted.to_text().expect("a text"),
            stored: accepted.to_stored().expect("an event").text().to_owned(),
            body: accepted.to_response(&state, text)?,
        })
    }

    /// A knock of the resident server's own user, up to the event that is sent.
    pub(crate) fn local_knock(&self, details: &Details) -> Result<SignedEvent, Refusal> {
        let (room, state) = (self.resident(), self.state());
        let admitted = self.admitted(&room, LOCAL, RESIDENT);
        let event = admitted.sign(&state, details, &self.prev_events(), NOW, &self.resident_key)?;
        event.accept(&state, PolicyVerdict::NotNamed)
    }
}
