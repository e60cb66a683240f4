//! The rules about `auth_events`, the room ID and the authorizing user's signature.

use std::fmt;

use matrix_knock::RoomVersion;
use matrix_knock::auth::{AuthEvent, AuthStatus, AuthorizeError, Evidence, check_state_independent};
use ruma_common::EventId;
use ruma_state_res::check_state_independent_auth_rules;

use super::generator::{Tape, case};
use super::room::{Case, DAVE, Event, Json, USERS, object, raw, rules, text};

/// An event that `auth_events` or the room ID names.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) event_type: &'static str,
    pub(crate) state_key: Option<String>,
    pub(crate) room_id: Option<&'static str>,
    pub(crate) rejected: bool,
}

/// An event with what it refers to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Referring {
    pub(crate) case: Case,
    pub(crate) room_id: Option<&'static str>,
    pub(crate) auth_events: Vec<Entry>,
    /// The event `$create`.
    pub(crate) create: Option<Entry>,
    pub(crate) signed_by: Vec<&'static str>,
    /// What ruma's `verify_event` would say of the signature of the authorizing user's server.
    pub(crate) verified: bool,
}

/// Where we decide otherwise than ruma; see `decisions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Row "`join_authorised_via_users_server` (v8+)": needed on every event that carries it, and so of a value that
    /// is a user ID. Ruma leaves it to `ruma_signatures::verify_event`, for joins.
    AuthorizingSignature,
    /// v12: what the room ID names has to be an `m.room.create` event
    /// (<https://spec.matrix.org/v1.19/rooms/v12/#authorisation-rules>, rule 2). Ruma takes any event.
    RoomIdIsOfCreate,
    /// Row "`content` of the wrong kind": a list is never read as an object. Ruma's derived readers do.
    ListIsNoObject,
    /// A content without a membership is refused by the rules on the state
    /// (<https://spec.matrix.org/v1.19/rooms/v12/#authorisation-rules>, rule 5.1), which come later. Ruma refuses here.
    MembershipLeftToState,
    /// A `third_party_invite` without a readable token selects nothing and is refused by the rules on the state (rules
    /// 5.4.1.2 to 5.4.1.5). Ruma refuses here.
    TokenLeftToState,
}

impl Decision {
    pub(crate) const ALL: [Self; 5] = [
        Self::AuthorizingSignature,
        Self::RoomIdIsOfCreate,
        Self::ListIsNoObject,
        Self::MembershipLeftToState,
        Self::TokenLeftToState,
    ];

    /// What ruma has to be shown. None where this decision does not come up.
    pub(crate) fn translated(self, original: &Referring) -> Option<Referring> {
        let mut translated = original.clone();
        let Referring { case, create, verified, signed_by, .. } = &mut translated;
        let content = &mut case.content;
        match self {
            Self::AuthorizingSignature => {
                if case.version >= RoomVersion::V8 && content.get("join_authorised_via_users_server").is_some() {
                    let user = content.sole("join_authorised_via_users_server").and_then(Json::as_text);
                    let server = user.and_then(|user| user.split_once(':'));
                    *verified = server.is_some_and(|(_, server)| signed_by.contains(&server));
                }
            }
            Self::RoomIdIsOfCreate => {
                let is_create =
                    |entry: &Entry| entry.event_type == "m.room.create" && entry.state_key.as_deref() == Some("");
                if case.version >= RoomVersion::V12 {
                    *create = create.take().filter(is_create);
                }
            }
            Self::ListIsNoObject => {
                if let Json::List(_) = content {
                    *content = raw("null");
                }
            }
            Self::MembershipLeftToState => {
                let is_object = matches!(content, Json::Object(_));
                // Since v8 the rule about the authorizing user's signature needs to read the content.
                let needs_object = case.version >= RoomVersion::V8;
                let has_membership = content.sole("membership").is_some_and(|name| name.as_text().is_some());
                if is_object && !has_membership {
                    content.set("membership", text("leave"));
                } else if !is_object && !needs_object {
                    *content = object([("membership", text("leave"))]);
                }
            }
            Self::TokenLeftToState => {
                let is_invite = content.sole("membership") == Some(&text("invite"));
                if content.get("third_party_invite").is_some_and(|invite| is_invite && *invite != raw("null")) {
                    let signed = content.sole("third_party_invite").and_then(|invite| invite.sole("signed"));
                    let token =
                        signed.and_then(|signed| signed.sole("token")).filter(|token| token.as_text().is_some());
                    match token.cloned() {
                        Some(token) => {
                            content.set("third_party_invite", object([("signed", object([("token", token)]))]));
                        }
                        None => content.remove("third_party_invite"),
                    }
                }
            }
        }
        (translated != *original).then_some(translated)
    }
}

impl Referring {
    /// Alice's invite of Bob, well referred.
    pub(crate) fn plain(version: RoomVersion) -> Self {
        let has_create = version < RoomVersion::V12;
        let room_id = room_id(version);
        let entry = |event_type, state_key: &str, room_id| Entry {
            event_type,
            state_key: Some(state_key.to_owned()),
            room_id,
            rejected: false,
        };
        let mut auth_events = vec![entry("m.room.power_levels", "", room_id)];
        if has_create {
            auth_events.push(entry("m.room.create", "", room_id));
        }
        Self {
            case: Case::plain(version),
            room_id,
            auth_events,
            create: Some(entry("m.room.create", "", None)),
            signed_by: vec!["a.example"],
            verified: true,
        }
    }

    pub(crate) fn from_tape(tape: &mut Tape) -> Self {
        let mut case = case(tape);
        // Most states do not matter here.
        case.create = None;
        let mut referring = Self { case, ..Self::plain(RoomVersion::V1) };
        let version = referring.case.version;
        referring.room_id = room_id(version);
        referring.auth_events = candidates(&referring.case);
        referring.auth_events.retain(|entry| {
            let share = if entry.event_type == "m.room.create" { 2 } else { 15 };
            !tape.percent(share)
        });
        if tape.percent(30) {
            let added = match tape.pick(&[3, 1, 1, 1, 1, 1, 1, 1]) {
                0 => referring.auth_events.first().cloned(),
                1 => Some(entry(version, "m.room.join_rules", Some(""))),
                2 => Some(entry(version, "m.room.create", Some(""))),
                3 => Some(entry(version, "m.room.third_party_invite", Some("token"))),
                4 => Some(entry(version, "m.room.member", Some(DAVE))),
                5 => Some(entry(version, "m.room.member", None)),
                6 => Some(entry(version, "m.room.name", Some(""))),
                _ => Some(entry(version, "m.room.power_levels", Some("x"))),
            };
            referring.auth_events.extend(added);
        }
        for entry in &mut referring.auth_events {
            match tape.pick(&[100, 1, 1, 1]) {
                0 => {}
                1 => entry.rejected = true,
                2 => entry.room_id = None,
                _ => entry.room_id = Some("!another:a.example"),
            }
        }
        match tape.pick(&[100, 1, 1]) {
            0 => {}
            1 => referring.room_id = None,
            _ => referring.room_id = Some("!another:a.example"),
        }
        match tape.pick(&[80, 2, 2, 2, 2]) {
            0 => {}
            1 => referring.create = None,
            2 => referring.create = Some(entry(version, "m.room.name", Some(""))),
            3 => referring.create = Some(entry(version, "m.room.create", Some("x"))),
            _ => referring.create.iter_mut().for_each(|create| create.rejected = true),
        }
        if tape.percent(90) {
            referring.signed_by.extend(["b.example", "c.example:8448"]);
        }
        referring
    }

    pub(crate) fn ours(&self) -> Result<(), AuthorizeError> {
        let ids: Vec<_> = (0..self.auth_events.len()).map(|index| format!("$auth{index}")).collect();
        let auth_events: Vec<_> = self.auth_events.iter().zip(&ids).map(|(entry, id)| entry.known_as(id)).collect();
        let create_event = self.create.as_ref().map(|entry| entry.known_as("$create"));
        let evidence = Evidence { auth_events: &auth_events, create_event, signed_by: &self.signed_by };
        check_state_independent(self.case.version, &self.event(), &evidence).map(drop)
    }

    pub(crate) fn ruma(&self) -> Result<(), String> {
        if !self.verified {
            return Err("verify_event".to_owned());
        }
        let known = |id: &EventId| {
            let index = id.as_str().strip_prefix("$auth").and_then(|index| index.parse::<usize>().ok());
            let entry = match index {
                Some(index) => self.auth_events.get(index),
                None => self.create.as_ref().filter(|_| id == "$create"),
            }?;
            let mut event =
                Event::new(entry.event_type, id.as_str(), entry.state_key.as_deref(), USERS[0], "{}".into());
            event.room_id = entry.room_id.map(|room_id| room_id.try_into().unwrap());
            event.rejected = entry.rejected;
            Some(event)
        };
        check_state_independent_auth_rules(&rules(self.case.version), self.event(), known)
    }

    fn event(&self) -> Event {
        let mut event = self.case.event();
        event.room_id = self.room_id.map(|room_id| room_id.try_into().unwrap());
        let ids = 0..self.auth_events.len();
        event.auth_events = ids.map(|index| format!("$auth{index}").try_into().unwrap()).collect();
        event
    }
}

impl fmt::Display for Referring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.case)?;
        writeln!(f, "  in {:?}, signed by {:?}, $create is {:?}", self.room_id, self.signed_by, self.create)?;
        self.auth_events.iter().try_for_each(|entry| writeln!(f, "  {entry:?}"))
    }
}

impl Entry {
    fn known_as<'a>(&'a self, event_id: &'a str) -> AuthEvent<'a> {
        AuthEvent {
            event_id,
            event_type: self.event_type,
            state_key: self.state_key.as_deref(),
            room_id: self.room_id,
            status: if self.rejected { AuthStatus::Rejected } else { AuthStatus::Accepted },
        }
    }
}

fn room_id(version: RoomVersion) -> Option<&'static str> {
    Some(if version < RoomVersion::V12 { "!room:a.example" } else { "!create" })
}

fn entry(version: RoomVersion, event_type: &'static str, state_key: Option<&str>) -> Entry {
    Entry { event_type, state_key: state_key.map(str::to_owned), room_id: room_id(version), rejected: false }
}

/// What the specification selects for the event: <https://spec.matrix.org/v1.19/server-server-api/#auth-events-selection>
fn candidates(case: &Case) -> Vec<Entry> {
    let membership = case.content.get("membership").and_then(Json::as_text).unwrap_or_default();
    let string = |value: Option<&Json>| value.and_then(Json::as_text).map(str::to_owned);
    let mut keys = vec![("m.room.power_levels", String::new()), ("m.room.member", case.sender.to_owned())];
    if case.version < RoomVersion::V12 {
        keys.push(("m.room.create", String::new()));
    }
    keys.extend(case.target.clone().map(|target| ("m.room.member", target)));
    if ["join", "invite", "knock"].contains(&membership) {
        keys.push(("m.room.join_rules", String::new()));
    }
    if membership == "invite" {
        let invite = case.content.get("third_party_invite").and_then(|invite| invite.get("signed"));
        let token = string(invite.and_then(|signed| signed.get("token")));
        keys.extend(token.map(|token| ("m.room.third_party_invite", token)));
    }
    if membership == "join" && case.version >= RoomVersion::V8 {
        let authorizer = string(case.content.get("join_authorised_via_users_server"));
        keys.extend(authorizer.map(|user| ("m.room.member", user)));
    }
    let mut entries: Vec<Entry> = Vec::new();
    for (event_type, key) in keys {
        let new = entry(case.version, event_type, Some(&key));
        if !entries.contains(&new) {
            entries.push(new);
        }
    }
    entries
}
