//! A small room of each version, and events in it that fail exactly the checks that they are to fail.

use std::fmt;

use matrix_knock::auth::AuthStatus;
use matrix_knock::error::{Errcode, ErrorResponse};
use matrix_knock::event::{Ed25519Key, KeyValidity, Keys, KeysFn, Pdu, VerifyKey, sign_event};
use matrix_knock::id::{OwnedServerName, ServerName};
use matrix_knock::policy::{PolicyRefusal, PolicyServer, PolicySignature};
use matrix_knock::receipt::{AuthEventRef, Dropped, ReceivedEvent};
use matrix_knock::state::StateMap;
use matrix_knock::wire::HttpResponse;
use matrix_knock::{Ed25519, RoomVersion};
use serde_json::{Value, json};

pub(crate) const ALICE: &str = "@alice:a.example";
pub(crate) const KAY: &str = "@kay:b.example";
pub(crate) const POLICY: &str = "p.example";
const NOW: u64 = 1_795_320_900_000;

/// What the event does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    /// Kay joins a public room.
    Join,
    /// Kay joins a restricted room, authorized by Alice.
    RestrictedJoin,
    /// Alice invites Kay.
    Invite,
    /// Kay knocks.
    Knock,
    /// Kay takes the knock back (or an invite, where there is no knocking).
    Retract,
    /// Alice declines it.
    Decline,
    /// Alice bans Kay.
    Ban,
}

impl Case {
    pub(crate) const ALL: [Self; 7] =
        [Self::Join, Self::RestrictedJoin, Self::Invite, Self::Knock, Self::Retract, Self::Decline, Self::Ban];

    pub(crate) const fn is_by_alice(self) -> bool {
        matches!(self, Self::Invite | Self::Decline | Self::Ban)
    }

    /// Whose signature the event needs.
    pub(crate) const fn server(self) -> &'static str {
        if self.is_by_alice() { "a.example" } else { "b.example" }
    }

    const fn membership(self) -> &'static str {
        match self {
            Self::Join | Self::RestrictedJoin => "join",
            Self::Invite => "invite",
            Self::Knock => "knock",
            Self::Retract | Self::Decline => "leave",
            Self::Ban => "ban",
        }
    }

    const fn join_rule(self) -> &'static str {
        match self {
            Self::Join => "public",
            Self::RestrictedJoin => "restricted",
            Self::Knock => "knock",
            Self::Invite | Self::Retract | Self::Decline | Self::Ban => "invite",
        }
    }
}

/// A set of checks, those that an event is to fail.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flaws(u8);

impl Flaws {
    pub(crate) const NONE: Self = Self(0);

    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..128).map(Self)
    }

    pub(crate) const fn has(self, check: u8) -> bool {
        self.0 >> (check - 1) & 1 == 1
    }
}

impl fmt::Debug for Flaws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries((1..=7).filter(|check| self.has(*check))).finish()
    }
}

/// An event as it comes in, and what the policy server signs of it.
pub(crate) struct Sent {
    pub(crate) text: String,
    pub(crate) policy_signature: String,
}

/// A room by its state: the texts of its events, with notes of their IDs.
pub(crate) struct Room {
    pub(crate) version: RoomVersion,
    pub(crate) case: Case,
    pub(crate) room_id: String,
    /// Create event, power levels, join rules, Alice, Kay.
    texts: Vec<(&'static str, String)>,
    /// The member event of whoever acts, in which they are banned or gone.
    gone: (&'static str, String),
    policy: String,
}

pub(crate) fn key(server: &str) -> Ed25519Key {
    let (key_id, seed) = match server {
        "a.example" => ("ed25519:1", [1; 32]),
        "b.example" => ("ed25519:1", [2; 32]),
        POLICY => ("ed25519:policy_server", [3; 32]),
        "somebody else" => ("ed25519:1", [4; 32]),
        other => panic!("no server `{other}`"),
    };
    Ed25519Key::from_seed(key_id, &seed).expect("a key ID")
}

pub(crate) fn keys() -> impl Keys {
    KeysFn(|server: &str, key_id: &str| {
        let is_known = matches!(server, "a.example" | "b.example") && key_id == "ed25519:1";
        is_known.then(|| VerifyKey { public_key: key(server).public_key(), validity: KeyValidity::Forever })
    })
}

pub(crate) fn policy_server() -> PolicyServer {
    PolicyServer::new(OwnedServerName::parse(POLICY).expect("a name"), key(POLICY).public_key())
}

pub(crate) fn refused() -> PolicyRefusal {
    PolicyRefusal::Refused(Box::new(ErrorResponse::new(Errcode::Forbidden, "This looks like spam")))
}

impl Room {
    pub(crate) fn new(version: RoomVersion, case: Case) -> Self {
        let number: u8 = version.as_str().parse().unwrap();
        let room_id = match number {
            12 => id(version, "create").replacen('$', "!", 1),
            _ => "!room:a.example".to_owned(),
        };
        let state_event = |name: &str, event_type: &str, state_key: &str, sender: &str, content: Value| {
            let mut event = json!({
                "type": event_type, "state_key": state_key, "sender": sender, "content": content,
                "event_id": id(version, name),
            });
            if !(number == 12 && event_type == "m.room.create") {
                event["room_id"] = room_id.as_str().into();
            }
            event.to_string()
        };
        let member = |name: &str, user: &str, sender: &str, membership: &str| {
            state_event(name, "m.room.member", user, sender, json!({"membership": membership}))
        };
        // Creators have no level of their own in version 12.
        let users = if number == 12 { json!({}) } else { json!({ALICE: 100}) };
        let levels = json!({"users": users, "invite": 50, "kick": 50, "ban": 50});
        let create = json!({"creator": ALICE, "room_version": version.as_str()});
        let waits = if number < 7 { "invite" } else { "knock" };
        let kay = match case {
            Case::Retract | Case::Decline | Case::Ban => waits,
            Case::Join | Case::RestrictedJoin | Case::Invite | Case::Knock => "leave",
        };
        let texts = vec![
            ("create", state_event("create", "m.room.create", "", ALICE, create)),
            ("levels", state_event("levels", "m.room.power_levels", "", ALICE, levels)),
            ("rules", state_event("rules", "m.room.join_rules", "", ALICE, json!({"join_rule": case.join_rule()}))),
            ("alice", member("alice", ALICE, ALICE, "join")),
            ("kay", member("kay", KAY, KAY, kay)),
        ];
        let gone = match case.is_by_alice() {
            true => ("alice", member("alice_left", ALICE, ALICE, "leave")),
            false => ("kay", member("kay_banned", KAY, ALICE, "ban")),
        };
        let policy = json!({"via": POLICY, "public_keys": {"ed25519": base64(&key(POLICY).public_key())}});
        let policy = state_event("policy", "m.room.policy", "", ALICE, policy);
        Self { version, case, room_id, texts, gone, policy }
    }

    fn texts(&self, is_gone: bool) -> impl Iterator<Item = &str> {
        self.texts.iter().map(move |(name, text)| match is_gone && *name == self.gone.0 {
            true => &*self.gone.1,
            false => text,
        })
    }

    /// The state, with or without whoever acts being banned or gone.
    pub(crate) fn state(&self, is_gone: bool) -> StateMap<Pdu<'_>> {
        self.texts(is_gone).map(|text| Pdu::parse_stored(text).unwrap()).collect()
    }

    /// The current state: perhaps it names a policy server.
    pub(crate) fn current(&self, is_gone: bool, names_policy_server: bool) -> StateMap<Pdu<'_>> {
        let mut state = self.state(is_gone);
        if names_policy_server {
            state.insert(Pdu::parse_stored(&self.policy).unwrap()).unwrap();
        }
        state
    }

    /// The names of the events that `auth_events` has to name, from the specification's list.
    pub(crate) fn auth_event_names(&self) -> Vec<&'static str> {
        let number: u8 = self.version.as_str().parse().unwrap();
        let names = |name: &&str| match *name {
            "create" => number < 12,
            "rules" => matches!(self.case, Case::Join | Case::RestrictedJoin | Case::Invite | Case::Knock),
            // Since version 8 as the authorizing user.
            "alice" => self.case.is_by_alice() || self.case == Case::RestrictedJoin && number >= 8,
            _ => true,
        };
        ["create", "levels", "rules", "alice", "kay"].into_iter().filter(names).collect()
    }

    /// The auth events as the host finds them, and some that the event does not name.
    pub(crate) fn named(&self, is_gone: bool) -> Vec<AuthEventRef<Pdu<'_>>> {
        let texts = self.texts(is_gone).chain([&*self.policy]);
        texts
            .map(|text| AuthEventRef { event: Pdu::parse_stored(text).unwrap(), status: AuthStatus::Accepted })
            .collect()
    }

    /// The event, unsigned.
    pub(crate) fn unsigned(&self, flaws: Flaws) -> Value {
        let is_gone = |name: &str| flaws.has(4) && name == self.gone.0;
        let names = self.auth_event_names().into_iter().map(|name| match (is_gone(name), name) {
            (true, "alice") => "alice_left",
            (true, _) => "kay_banned",
            (false, name) => name,
        });
        let auth_events: Vec<Value> = names.map(|name| self.reference(name)).collect();
        let (sender, reason) = (if self.case.is_by_alice() { ALICE } else { KAY }, "why not");
        let mut event = json!({
            "type": "m.room.member", "sender": sender, "state_key": KAY, "room_id": self.room_id,
            "content": {"membership": self.case.membership(), "reason": reason},
            "auth_events": auth_events, "prev_events": [self.reference("rules")],
            "depth": 9, "origin_server_ts": NOW,
        });
        if self.case == Case::RestrictedJoin {
            event["content"]["join_authorised_via_users_server"] = ALICE.into();
        }
        if is_before_v3(self.version) {
            event["event_id"] = format!("$event:{}", self.case.server()).into();
        }
        if flaws.has(1) {
            event["depth"] = "9".into();
        }
        event
    }

    /// How the version names another event.
    pub(crate) fn reference(&self, name: &str) -> Value {
        let id = id(self.version, name);
        if is_before_v3(self.version) { json!([id, {"sha256": "x"}]) } else { id.into() }
    }

    /// The event, which fails the first four of its checks by itself. The others are a matter of states.
    pub(crate) fn event(&self, flaws: Flaws) -> Sent {
        self.sign(&self.unsigned(flaws), flaws)
    }

    /// Another event that is as good.
    pub(crate) fn other_event(&self) -> Sent {
        let mut event = self.unsigned(Flaws::NONE);
        event["depth"] = 10.into();
        if let Some(event_id) = event.get_mut("event_id") {
            *event_id = format!("$other:{}", self.case.server()).into();
        }
        self.sign(&event, Flaws::NONE)
    }

    pub(crate) fn sign(&self, event: &Value, flaws: Flaws) -> Sent {
        let server = self.case.server();
        let signer = if flaws.has(2) { "somebody else" } else { server };
        let sign = |text: &str, server: &str, signer: &str| {
            let server = ServerName::parse(server).expect("a name");
            sign_event(self.version, text, server, &key(signer)).expect("an event").into_text()
        };
        let mut text = sign(&event.to_string(), server, signer);
        if self.case == Case::RestrictedJoin {
            text = sign(&text, "a.example", "a.example");
        }
        let by_policy: Value = serde_json::from_str(&sign(&text, POLICY, POLICY)).unwrap();
        let policy_signature = by_policy["signatures"][POLICY]["ed25519:policy_server"].as_str().unwrap().to_owned();
        if flaws.has(3) {
            text = text.replace("why not", "because");
        }
        // Nobody signs that.
        text = text.replacen('{', r#"{"unsigned":{"age":1},"#, 1);
        Sent { text, policy_signature }
    }

    pub(crate) fn receive<'t>(&self, text: &'t str) -> Result<ReceivedEvent<'t>, Dropped> {
        ReceivedEvent::verify(Pdu::parse(text)?.check_format(self.version)?, &keys(), &Ed25519, NOW)
    }

    /// The signature as the policy server gives it.
    pub(crate) fn policy_signature(&self, event: &ReceivedEvent<'_>, sent: &Sent) -> PolicySignature {
        let answer = json!({POLICY: {"ed25519:policy_server": sent.policy_signature}}).to_string();
        let event = event.formatted().expect("an event");
        policy_server().read_answer(&event, Some(HttpResponse::new(200, &answer)), &Ed25519).expect("a signature")
    }
}

pub(crate) fn is_before_v3(version: RoomVersion) -> bool {
    matches!(version.as_str(), "1" | "2")
}

/// The ID of an event of the state.
pub(crate) fn id(version: RoomVersion, name: &str) -> String {
    if is_before_v3(version) { format!("${name}:a.example") } else { format!("${name:A<43}") }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD_NO_PAD.encode(bytes)
}
