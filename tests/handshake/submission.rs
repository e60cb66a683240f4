//! A `send_knock` or `send_leave` with everything around it, each part of which can be broken.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD as STANDARD_NO_PAD;
use matrix_knock::auth::AuthStatus;
use matrix_knock::event::{
    Ed25519Key, Event, FormattedPdu, KeyValidity, KeysFn, Membership, Pdu, Verify, VerifyKey, sign_event,
};
use matrix_knock::id::{RoomId, ServerName};
use matrix_knock::policy::{PolicyServer, PolicyVerdict};
use matrix_knock::resident::submission::{AuthEventRef, SendRequest, SignatureChecked};
use matrix_knock::resident::{Decision, Knock, Leave, Refusal, RequestKind, Residence, ResidentRoom};
use matrix_knock::state::{Reads, RoomState, Snapshot, StateMap};
use matrix_knock::wire::HttpResponse;
use matrix_knock::{Ed25519, RoomVersion};
use serde_json::{Value, json};

use super::federation::{ALICE, AllKeys, KAY, KEY_ID, THEN, json_of, key};
use super::walks::ready;

/// An event as the host has it: it knows its ID.
pub(crate) type Stored = Value;

/// Everything that goes into an answer.
#[derive(Clone)]
pub(crate) struct Submission {
    pub(crate) membership: Membership,
    pub(crate) version: RoomVersion,
    pub(crate) room_id: String,
    pub(crate) is_known: bool,
    pub(crate) residence: Residence,
    /// The current state, the state before the event, and what it names.
    pub(crate) state: Vec<Stored>,
    pub(crate) before: Vec<Stored>,
    pub(crate) auth_events: Vec<(Stored, AuthStatus)>,
    /// How many of the named events the host finds.
    pub(crate) found: Option<usize>,
    pub(crate) origin: String,
    /// Without auth events, hashes and signatures.
    pub(crate) event: Value,
    pub(crate) event_id: Option<String>,
    pub(crate) key: Ed25519Key,
    pub(crate) validity: KeyValidity,
    /// How many bytes the body has, if it has to have so many.
    pub(crate) bytes: Option<usize>,
    /// What becomes of the signed event on its way.
    pub(crate) signed: Vec<fn(&mut Value)>,
    /// What becomes of its text.
    pub(crate) text: Option<fn(String) -> String>,
    pub(crate) decision: Decision,
    pub(crate) policy: PolicyVerdict,
}

/// The word of the policy server that the state names, signed without a look at the event.
pub(crate) fn signed_by_policy_server(event: &FormattedPdu<'_>, state: &StateMap<Pdu<'_>>) -> PolicyVerdict {
    let server = PolicyServer::named(state).expect("a whole state").expect("the room names one");
    let body = json!({ "p.example": { "ed25519:policy_server": "A".repeat(86) } }).to_string();
    server.read_answer(event, Some(HttpResponse::new(200, &body)), &Credulous).into()
}

/// Takes every signature.
struct Credulous;

impl Verify for Credulous {
    fn verify(&self, _: &[u8; 32], _: &[u8], _: &[u8; 64]) -> bool {
        true
    }
}

pub(crate) fn texts(events: &[Stored]) -> Vec<String> {
    events.iter().map(ToString::to_string).collect()
}

pub(crate) fn pdus(texts: &[String]) -> Vec<Pdu<'_>> {
    texts.iter().map(|text| Pdu::parse_stored(text).expect("an event")).collect()
}

/// Puts an event in its place.
pub(crate) fn put(event: Stored, state: &mut Vec<Stored>) {
    let place = |event: &Stored| (event["type"].clone(), event["state_key"].clone());
    state.retain(|known| place(known) != place(&event));
    state.push(event);
}

/// How a host hands in a state.
pub(crate) trait HandIn {
    type State<'a>: RoomState;

    fn hand_in<'a>(events: &[Pdu<'a>], reads: &Reads) -> Self::State<'a>;
}

/// The whole state.
pub(crate) enum Whole {}

impl HandIn for Whole {
    type State<'a> = StateMap<Pdu<'a>>;

    fn hand_in<'a>(events: &[Pdu<'a>], _reads: &Reads) -> StateMap<Pdu<'a>> {
        events.iter().cloned().collect()
    }
}

/// What the step reads, and nothing else.
pub(crate) enum Parts {}

impl HandIn for Parts {
    type State<'a> = Snapshot<Pdu<'a>>;

    fn hand_in<'a>(events: &[Pdu<'a>], reads: &Reads) -> Snapshot<Pdu<'a>> {
        Snapshot::of_events(reads, events.iter().cloned())
    }
}

impl Submission {
    /// A good one.
    pub(crate) fn new(membership: Membership, version: RoomVersion, join_rule: &str) -> Self {
        let room = ready(membership, version, join_rule).room;
        let state: Vec<Stored> = room.places.values().map(|id| room.stored(id)).collect();
        let mut named = vec![room.at("m.room.power_levels", "")];
        match membership {
            Membership::Leave => named.push(room.at("m.room.member", KAY)),
            _ => named.push(room.at("m.room.join_rules", "")),
        }
        if version < RoomVersion::V12 {
            named.push(room.at("m.room.create", ""));
        }
        Self {
            membership,
            version,
            room_id: room.id.clone(),
            is_known: true,
            residence: Residence::Joined,
            before: state.clone(),
            state,
            auth_events: named.iter().map(|id| (room.stored(id), AuthStatus::Accepted)).collect(),
            found: None,
            origin: "k.example".to_owned(),
            event: json!({
                "type": "m.room.member", "room_id": room.id, "sender": KAY, "state_key": KAY, "origin": "evil.example",
                "content": { "membership": membership.as_str(), "reason": "R" }, "prev_events": [room.tip],
                "depth": room.depth + 1, "origin_server_ts": THEN, "unsigned": { "age": 1 },
            }),
            event_id: None,
            key: key("k.example"),
            validity: KeyValidity::Until(THEN),
            bytes: None,
            signed: Vec::new(),
            text: None,
            decision: Decision::Admit,
            policy: PolicyVerdict::NotNamed,
        }
    }

    /// An event that the room might have, of the type and state key.
    pub(crate) fn other(&self, event_type: &str, state_key: &str, content: Value) -> Stored {
        json!({
            "type": event_type, "state_key": state_key, "sender": ALICE, "content": content, "room_id": self.room_id,
            "event_id": format!("${:A>43}", event_type.len() + state_key.len()),
        })
    }

    /// The room names a policy server.
    pub(crate) fn with_policy_server(mut self) -> Self {
        let public_key = STANDARD_NO_PAD.encode(key("p.example").public_key());
        let content = json!({ "via": "p.example", "public_keys": { "ed25519": public_key } });
        put(self.other("m.room.policy", "", content), &mut self.state);
        self
    }

    /// The event ID in the path, and the body.
    pub(crate) fn request(&self) -> (String, String) {
        let Some(bytes) = self.bytes else { return self.request_with(None) };
        let (_, unpadded) = self.request_with(Some(0));
        self.request_with(Some(bytes.saturating_sub(unpadded.len())))
    }

    /// With so much padding, if there is any.
    fn request_with(&self, padding: Option<usize>) -> (String, String) {
        let mut event = self.event.clone();
        if let Some(padding) = padding {
            event["content"]["padding"] = json!("x".repeat(padding));
        }
        if event.get("auth_events").is_none() {
            event["auth_events"] = self.auth_events.iter().map(|(event, _)| event["event_id"].clone()).collect();
        }
        let server = ServerName::parse("k.example").expect("a server name");
        let signed = sign_event(self.version, &event.to_string(), server, &self.key).expect("an event");
        let event_id = self.event_id.clone().unwrap_or_else(|| signed.event_id().to_owned());
        let mut event = json_of(signed.text());
        for change in &self.signed {
            change(&mut event);
        }
        let body = self.text.map_or_else(|| event.to_string(), |change| change(event.to_string()));
        (event_id, body)
    }

    /// What the resident server says: by the whole state, and by the entries that each step reads.
    pub(crate) fn answer(&self) -> Result<String, Refusal> {
        let request = self.request();
        let (state, before) = (texts(&self.state), texts(&self.before));
        let (state, before) = (pdus(&state), pdus(&before));
        let states = (state.as_slice(), before.as_slice());
        let (by_whole, by_parts) = match self.membership {
            Membership::Leave => {
                (self.answer_by::<Leave, Whole>(&request, states), self.answer_by::<Leave, Parts>(&request, states))
            }
            _ => (self.answer_by::<Knock, Whole>(&request, states), self.answer_by::<Knock, Parts>(&request, states)),
        };
        assert_eq!(by_parts, by_whole);
        by_whole
    }

    fn answer_by<K: RequestKind, H: HandIn>(
        &self,
        (event_id, body): &(String, String),
        (current, before): (&[Pdu<'_>], &[Pdu<'_>]),
    ) -> Result<String, Refusal> {
        if !self.is_known {
            return Err(Refusal::UnknownRoom);
        }
        let room_id = RoomId::parse(&self.room_id).expect("a room ID");
        let room = ResidentRoom { room_id, version: self.version, residence: self.residence };
        let origin = ServerName::parse(&self.origin).expect("a server name");
        let request = SendRequest::<K>::new(room_id, event_id, origin, body);
        let received = request.check(&room, &H::hand_in(current, &request.reads()))?;

        let keys = KeysFn(|server: &str, key_id: &str| {
            let public_key = key(server).public_key();
            (key_id == KEY_ID).then_some(VerifyKey { public_key, validity: self.validity })
        });
        let verified = received.verify(&keys, &Ed25519, THEN)?;
        let (events, standings): (Vec<Stored>, Vec<AuthStatus>) = self.auth_events.iter().cloned().unzip();
        let events = texts(&events);
        let named = pdus(&events).into_iter().zip(standings).map(|(event, status)| AuthEventRef { event, status });
        let auth_events = verified.match_auth_events(named.take(self.found.unwrap_or(events.len())))?;
        let reads = verified.reads();
        let permitted = verified.authorize(&auth_events, &H::hand_in(before, &reads), &H::hand_in(current, &reads))?;
        let state = H::hand_in(current, &permitted.reads());
        let accepted = permitted.accept(&state, self.policy.clone(), self.decision.clone())?;
        assert_eq!((accepted.pdu().event_id(), accepted.event().text()), (event_id.as_str(), body.as_str()));
        let state = H::hand_in(current, &accepted.reads());
        Ok(accepted.to_response(&state, |event| self.to_federation(event)).expect("a create event"))
    }

    /// Hands on the event as far as its signature, and the state before it and the current one.
    pub(crate) fn verified<K: RequestKind, T>(
        &self,
        then: impl FnOnce(&SignatureChecked<'_, K>, &StateMap<Pdu<'_>>, &StateMap<Pdu<'_>>) -> T,
    ) -> T {
        let (event_id, body) = self.request();
        let (state, before) = (texts(&self.state), texts(&self.before));
        let (state, before) = (pdus(&state).into_iter().collect(), pdus(&before).into_iter().collect());
        let room_id = RoomId::parse(&self.room_id).expect("a room ID");
        let room = ResidentRoom { room_id, version: self.version, residence: self.residence };
        let origin = ServerName::parse(&self.origin).expect("a server name");
        let request = SendRequest::<K>::new(room_id, event_id, origin, body);
        let received = request.check(&room, &state).expect("what the request says");
        let verified = received.verify(&AllKeys, &Ed25519, THEN).expect("signed");
        then(&verified, &before, &state)
    }

    /// The text of an event of the current state, as it goes between servers.
    fn to_federation(&self, event: &impl Event) -> Option<String> {
        let is_it = |stored: &&Stored| {
            stored["type"] == *event.event_type() && stored["state_key"].as_str() == event.state_key()
        };
        let stored = self.state.iter().find(is_it).expect("an event of the state").to_string();
        Pdu::parse_stored(&stored).expect("an event").to_federation(self.version).ok()
    }
}
