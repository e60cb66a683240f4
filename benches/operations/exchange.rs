//! A knock on a small room, from `make_knock` to accepted: `send_knock` ours and with ruma's parts.

use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;

use ed25519_dalek::{Signature, VerifyingKey};
use matrix_knock::Ed25519;
use matrix_knock::auth::AuthStatus;
use matrix_knock::event::{
    Ed25519Key, Event, EventType, KeyValidity, Keys, Pdu, Sign, SignedEvent, Verify, VerifyKey, redact, sign_event,
};
use matrix_knock::id::{EventId, RoomId, ServerName, UserId};
use matrix_knock::json::{CanonicalDialect, canonical};
use matrix_knock::policy::PolicyVerdict;
use matrix_knock::receipt::{AuthEventRef, Outcome, ReceivedEvent, States};
use matrix_knock::resident::submission::SendKnock;
use matrix_knock::resident::{Decision, MakeKnock, Residence, ResidentRoom};
use matrix_knock::state::{RoomState as _, StateMap};
use matrix_knock::template::PrevEvent;
use matrix_knock::template::{CheckedTemplate, Details, Expected};
use ruma_common::CanonicalJsonObject;
use ruma_common::room_version_rules::RoomVersionRules;
use ruma_common::serde::Base64;
use ruma_signatures::{PublicKeyMap, Verified};
use ruma_state_res::{check_pdu_format, check_state_dependent_auth_rules, check_state_independent_auth_rules};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Operation;
use super::room::{Room, Stored, VERSION, leaked};

pub(crate) const ROOM: &str = "!mdzTZKjFFTCZKQSMlf:a.example:8448";
const RESIDENT: &str = "a.example:8448";
const HOME: &str = "b.example:8448";
const KNOCKER: &str = "@kay:b.example:8448";
pub(crate) const NOW: u64 = 1_795_320_483_644;
const RULES: RoomVersionRules = RoomVersionRules::V10;

/// The events of a small room, signed, with notes of their IDs.
fn state_events(key: &Ed25519Key) -> Vec<&'static str> {
    let mut previous: Option<String> = None;
    let contents = [
        ("m.room.create", "", r#"{"creator":"@alice:a.example:8448","room_version":"10"}"#),
        ("m.room.member", "@alice:a.example:8448", r#"{"displayname":"Alice","membership":"join"}"#),
        ("m.room.power_levels", "", r#"{"ban":50,"invite":0,"kick":50,"users":{"@alice:a.example:8448":100}}"#),
        ("m.room.join_rules", "", r#"{"join_rule":"knock"}"#),
        ("m.room.name", "", r#"{"name":"Knock knock"}"#),
        ("m.room.topic", "", r#"{"topic":"Who is there?"}"#),
    ];
    let server = ServerName::parse(RESIDENT).unwrap();
    let mut events = Vec::new();
    for (depth, (event_type, state_key, content)) in (1_u32..).zip(contents) {
        let prev_events = previous.as_ref().map(|id| format!(r#""{id}""#)).unwrap_or_default();
        let text = format!(
            r#"{{"auth_events":[],"content":{content},"depth":{depth},"origin_server_ts":{NOW},"prev_events":[{prev_events}],
            "room_id":"{ROOM}","sender":"@alice:a.example:8448","state_key":"{state_key}","type":"{event_type}"}}"#,
        );
        let signed = sign_event(VERSION, &text, server, key).unwrap();
        previous = Some(signed.event_id().to_owned());
        events.push(leaked(signed.text().replacen('{', &format!(r#"{{"event_id":"{}","#, signed.event_id()), 1)));
    }
    events
}

/// An event as a server with ruma reads it from its text.
#[derive(Deserialize)]
struct Read<'a> {
    #[serde(borrow)]
    content: &'a RawValue,
    #[serde(default)]
    event_id: Option<&'a str>,
    auth_events: Vec<&'a str>,
    prev_events: Vec<&'a str>,
    room_id: &'a str,
    sender: &'a str,
    state_key: Option<&'a str>,
    r#type: &'a str,
}

impl<'a> Read<'a> {
    fn stored(self, event_id: &'a str) -> Stored<'a> {
        Stored {
            event_type: self.r#type,
            ruma_type: self.r#type.into(),
            state_key: self.state_key,
            sender: self.sender.try_into().unwrap(),
            content: self.content,
            member_facts: None,
            room_id: self.room_id.try_into().unwrap(),
            event_id: event_id.try_into().unwrap(),
            prev_events: self.prev_events.into_iter().map(|id| id.try_into().unwrap()).collect(),
            auth_events: self.auth_events.into_iter().map(|id| id.try_into().unwrap()).collect(),
        }
    }
}

/// The room, its two servers, and a knock between them.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) texts: Vec<&'static str>,
    pub(crate) knock: SignedEvent,
    /// The answer to `make_knock`.
    pub(crate) answer: String,
    room: ResidentRoom<'static>,
    state: &'static StateMap<Pdu<'static>>,
    named: Vec<AuthEventRef<&'static Pdu<'static>>>,
    home: ServerName<'static>,
    resident_key: [u8; 32],
    home_key: [u8; 32],
    /// What the knocker's server has signed.
    message: String,
    signature: [u8; 64],
    rumas_keys: PublicKeyMap,
    rumas_room: Room,
    rumas_events: HashMap<&'static str, Stored<'static>>,
}

impl Exchange {
    pub(crate) fn new() -> &'static Self {
        let (theirs, ours) = (
            Ed25519Key::from_seed("ed25519:1", &[1; 32]).unwrap(),
            Ed25519Key::from_seed("ed25519:a_mdJa", &[7; 32]).unwrap(),
        );
        let texts = state_events(&theirs);
        let state: StateMap<Pdu<'_>> = texts.iter().map(|text| Pdu::parse_stored(text).unwrap()).collect();
        let state: &'static StateMap<Pdu<'static>> = Box::leak(Box::new(state));
        let room_id = RoomId::parse(ROOM).unwrap();
        let room = ResidentRoom { room_id, version: VERSION, residence: Residence::Joined };
        let home = ServerName::parse(HOME).unwrap();

        let answer = make_knock(&room, state, home);
        let knock = sign_event(VERSION, &fill(&answer, home), home, &ours).unwrap();
        let named = [EventType::Create, EventType::PowerLevels, EventType::JoinRules]
            .map(|event_type| state.event(event_type, "").unwrap().unwrap())
            .map(|event| (event, AuthStatus::Accepted));
        let mut named = named.map(|(event, status)| AuthEventRef { event, status }).to_vec();
        let auth_events: Vec<String> = serde_json::from_str::<Read<'_>>(knock.text())
            .unwrap()
            .auth_events
            .iter()
            .map(|id| (*id).to_owned())
            .collect();
        named.sort_by_key(|named| auth_events.iter().position(|id| Event::event_id(&named.event) == Some(id)));

        let redacted = canonical(&redact(VERSION, knock.text()).unwrap(), CanonicalDialect::Strict).unwrap();
        let mut essential: serde_json::Value = serde_json::from_str(&redacted).unwrap();
        essential.as_object_mut().unwrap().remove("signatures");
        let message = serde_json::to_string(&essential).unwrap();
        let rumas_events: HashMap<&str, Stored<'_>> = texts
            .iter()
            .map(|text| {
                let read: Read<'_> = serde_json::from_str(text).unwrap();
                let id = read.event_id.unwrap();
                (id, read.stored(id))
            })
            .collect();
        let key = (ours.key_id().to_string(), Base64::new(ours.public_key().to_vec()));
        Box::leak(Box::new(Self {
            texts,
            answer,
            room,
            state,
            named,
            home,
            resident_key: theirs.public_key(),
            home_key: ours.public_key(),
            signature: ours.sign(message.as_bytes()),
            message,
            knock,
            rumas_keys: PublicKeyMap::from([(HOME.to_owned(), BTreeMap::from([key]))]),
            rumas_room: Room::of(rumas_events.clone().into_values().collect::<Vec<_>>().leak()),
            rumas_events,
        }))
    }

    pub(crate) fn make_knock(&self) -> String {
        make_knock(&self.room, self.state, self.home)
    }

    /// The answer to `make_knock`, read and written anew.
    pub(crate) fn fill(&self) -> String {
        fill(black_box(&self.answer), self.home)
    }

    /// `send_knock`, from the text to accepted: the ID of the event.
    pub(crate) fn send_knock(&self, verifier: &impl Verify) -> String {
        let body = black_box(self.knock.text());
        let request = SendKnock::new(self.room.room_id, self.knock.event_id(), self.home, body);
        let checked = request.check(&self.room, self.state).unwrap().verify(self, verifier, NOW).unwrap();
        let auth_events = checked.match_auth_events(self.named.iter().copied()).unwrap();
        let authorized = checked.authorize(&auth_events, self.state, self.state).unwrap();
        let accepted = authorized.accept(self.state, PolicyVerdict::NotNamed, Decision::Admit).unwrap();
        accepted.pdu().event_id().to_owned()
    }

    /// Receipt of the knock in a transaction, from the text to the outcome: the ID of the event.
    pub(crate) fn receive(&self, verifier: &impl Verify) -> String {
        let event = Pdu::parse(black_box(self.knock.text())).unwrap().check_format(VERSION).unwrap();
        let event = ReceivedEvent::verify(event, self, verifier, NOW).unwrap();
        let auth_events = event.match_auth_events(self.named.iter().copied()).unwrap();
        let states = States { before: self.state, current: self.state };
        let outcome = event.check(&auth_events, states, verifier, PolicyVerdict::NotNamed).unwrap();
        assert!(matches!(outcome, Outcome::Accepted(None)));
        event.event_id().to_owned()
    }

    /// Both with ruma's parts, in the order in which a server needs them.
    fn accept_by_ruma(&self) -> String {
        let body = black_box(self.knock.text());
        let object: CanonicalJsonObject = serde_json::from_str(body).unwrap();
        check_pdu_format(&object, &RULES.event_format).unwrap();
        let event_id = format!("${}", ruma_signatures::reference_hash(&object, &RULES).unwrap());
        assert!(event_id == self.knock.event_id());
        assert!(matches!(ruma_signatures::verify_event(&self.rumas_keys, &object, &RULES), Ok(Verified::All)));

        let event = serde_json::from_str::<Read<'_>>(body).unwrap().stored(&event_id);
        let rules = &RULES.authorization;
        let fetch = |id: &ruma_common::EventId| self.rumas_events.get(id.as_str());
        check_state_independent_auth_rules(rules, &event, fetch).unwrap();
        let named: Vec<&Stored<'_>> = event.auth_events.iter().filter_map(|id| fetch(id)).collect();
        check_state_dependent_auth_rules(rules, &event, |event_type, key| {
            let is_it =
                |event: &&&Stored<'_>| event.ruma_type == event_type.to_string().into() && event.state_key == Some(key);
            named.iter().find(is_it).copied()
        })
        .unwrap();
        for _before_and_current in 0..2 {
            check_state_dependent_auth_rules(rules, &event, |event_type, key| self.rumas_room.fetch(event_type, key))
                .unwrap();
        }
        event_id
    }

    /// Bare strict verification, of what the knocker's server has signed.
    pub(crate) fn verify(&self) -> bool {
        let key = VerifyingKey::from_bytes(black_box(&self.home_key)).unwrap();
        let signature = Signature::from_bytes(black_box(&self.signature));
        key.verify_strict(black_box(self.message.as_bytes()), &signature).is_ok()
    }
}

/// Everybody's keys.
impl Keys for Exchange {
    fn key(&self, server: &str, _key_id: &str) -> Option<VerifyKey> {
        let public_key = if server == HOME { self.home_key } else { self.resident_key };
        Some(VerifyKey { public_key, validity: KeyValidity::Forever })
    }
}

fn make_knock(room: &ResidentRoom<'_>, state: &StateMap<Pdu<'_>>, home: ServerName<'_>) -> String {
    let last = state.event(EventType::Topic, "").unwrap().and_then(Event::event_id).unwrap();
    let last = PrevEvent { event_id: EventId::parse(last).unwrap(), depth: 6 };
    let request = MakeKnock::new(room.room_id, KNOCKER, home, ["7", "8", "9", "10", "11", "12"]);
    let approved = black_box(request).check(room, state).unwrap().decide(Decision::Admit).unwrap();
    approved.template(state, &[last], NOW).unwrap().to_response()
}

fn fill(answer: &str, home: ServerName<'_>) -> String {
    let details = Details {
        reason: Some("Let me in, please".to_owned()),
        displayname: Some("Kay 🔔".to_owned()),
        avatar_url: None,
    };
    let (room_id, user_id) = (RoomId::parse(ROOM).unwrap(), UserId::parse(KNOCKER).unwrap());
    CheckedTemplate::read(Expected::Knock(&[VERSION]), room_id, user_id, answer).unwrap().to_event(&details, home, NOW)
}

pub(crate) fn operation() -> Operation {
    let exchange = Exchange::new();
    assert!(exchange.verify());
    Operation::new(|| exchange.send_knock(&Ed25519), || exchange.accept_by_ruma(), |ours, ruma| ours == ruma)
        .with_limit(|| exchange.verify())
}

pub(crate) fn receipt() -> Operation {
    let exchange = Exchange::new();
    Operation::new(|| exchange.receive(&Ed25519), || exchange.accept_by_ruma(), |ours, ruma| ours == ruma)
        .with_limit(|| exchange.verify())
}
