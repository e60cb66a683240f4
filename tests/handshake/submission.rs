//! A `send_knock` or `send_leave` with everything around it, each part of which can be broken.

use matrix_knock::auth::AuthStatus;
use matrix_knock::event::{Ed25519Key, KeyValidity, Membership, Pdu, VerifyKey, sign_event};
use matrix_knock::id::{RoomId, ServerName};
use matrix_knock::resident::submission::{
    AuthEventRef, AuthorizedEvent, FormatChecked, PolicyVerdict, RequestKind, SendKnock, SendLeave,
};
use matrix_knock::resident::{Decision, Refusal, Residence, ResidentRoom};
use matrix_knock::state::RoomState;
use matrix_knock::{Ed25519, RoomVersion};
use serde_json::{Value, json};

use super::federation::{ALICE, KAY, KEY_ID, THEN, json_of, key};
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
    /// What becomes of the signed event on its way.
    pub(crate) signed: Vec<fn(&mut Value)>,
    /// What becomes of its text.
    pub(crate) text: Option<fn(String) -> String>,
    pub(crate) decision: Decision,
    pub(crate) policy: PolicyVerdict,
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
            signed: Vec::new(),
            text: None,
            decision: Decision::Admit,
            policy: PolicyVerdict::NotUsed,
        }
    }

    /// An event that the room might have, of the type and state key.
    pub(crate) fn other(&self, event_type: &str, state_key: &str, content: Value) -> Stored {
        json!({
            "type": event_type, "state_key": state_key, "sender": ALICE, "content": content, "room_id": self.room_id,
            "event_id": format!("${:A>43}", event_type.len() + state_key.len()),
        })
    }

    /// What the resident server says.
    pub(crate) fn answer(&self) -> Result<String, Refusal> {
        let mut event = self.event.clone();
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

        let (state, before) = (texts(&self.state), texts(&self.before));
        let (state, before) = (pdus(&state), pdus(&before));
        let (events, standings): (Vec<Stored>, Vec<AuthStatus>) = self.auth_events.iter().cloned().unzip();
        let events = texts(&events);
        let named: Vec<_> =
            pdus(&events).into_iter().zip(standings).map(|(event, status)| AuthEventRef { event, status }).collect();
        let named = named.get(..self.found.unwrap_or(named.len())).expect("not more than there are");
        let room = ResidentRoom {
            room_id: RoomId::parse(&self.room_id).expect("a room ID"),
            version: self.version,
            residence: self.residence,
            state: &state,
        };
        let room = self.is_known.then_some(&room);
        let origin = ServerName::parse(&self.origin).expect("a server name");
        match self.membership {
            Membership::Leave => {
                let received = SendLeave { event_id: &event_id, origin, body: &body }.check(room)?;
                let accepted = self.permitted(received, named, &before)?.accept(self.policy, self.decision)?;
                assert_eq!((accepted.pdu().event_id(), accepted.event().text()), (event_id.as_str(), body.as_str()));
                Ok(accepted.to_response().to_owned())
            }
            _ => {
                let received = SendKnock { event_id: &event_id, origin, body: &body }.check(room)?;
                let accepted = self.permitted(received, named, &before)?.accept(self.policy, self.decision)?;
                assert_eq!((accepted.pdu().event_id(), accepted.event().text()), (event_id.as_str(), body.as_str()));
                let text = |event: &&Pdu<'_>| event.to_federation(self.version).ok();
                Ok(accepted.to_response(text).expect("a create event"))
            }
        }
    }

    fn permitted<'q, 'r, C: RequestKind, S: RoomState>(
        &self,
        received: FormatChecked<'q, 'r, C, S>,
        named: &[AuthEventRef<Pdu<'_>>],
        before: &Vec<Pdu<'_>>,
    ) -> Result<AuthorizedEvent<'q, 'r, C, S>, Refusal> {
        let keys = |server: &str, key_id: &str| {
            let public_key = key(server).public_key();
            (key_id == KEY_ID).then_some(VerifyKey { public_key, validity: self.validity })
        };
        received.verify(&keys, &Ed25519, THEN)?.authorize(named, before)
    }
}
