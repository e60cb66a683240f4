//! A room and an event as a tree of JSON, and what each of the two says about it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer as _, SigningKey};
#[cfg(feature = "ed25519")]
pub(crate) use matrix_knock::Ed25519 as Verifier;
use matrix_knock::RoomVersion;
use matrix_knock::auth::{AuthorizeError, CompiledRoom, Selection, authorize};
use matrix_knock::event::{Membership, Pdu, PduError};
use matrix_knock::state::StateMap;
use ruma_common::room_version_rules::AuthorizationRules;
use ruma_common::{MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, RoomVersionId, UserId};
use ruma_events::{StateEventType, TimelineEventType};
use ruma_state_res::check_state_dependent_auth_rules;
use serde_json::value::RawValue;

pub(crate) const ALICE: &str = "@alice:a.example";
pub(crate) const BOB: &str = "@bob:b.example";
pub(crate) const CAROL: &str = "@carol:a.example";
pub(crate) const DAVE: &str = "@dave:c.example:8448";
/// No user ID: it has no domain.
pub(crate) const NOT_A_USER: &str = "@nowhere";
pub(crate) const USERS: [&str; 4] = [ALICE, BOB, CAROL, DAVE];

/// A value of JSON that keeps what a parser would lose: how numbers are written, and keys that stand twice.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    /// Any text: numbers, `null`, `true`.
    Raw(String),
    Text(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
    /// A signature of the nearest object around that has `signatures`, by the key of this number.
    Signature(u8, Encoding),
}

/// How a signature is written, or spoiled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Encoding {
    Unpadded,
    Padded,
    UrlSafe,
    Tampered,
    Short,
    /// The point at infinity and zero: by the key of small order, "valid" for every message.
    SmallOrder,
}

pub(crate) fn raw(text: impl Into<String>) -> Json {
    Json::Raw(text.into())
}

pub(crate) fn text(text: &str) -> Json {
    Json::Text(text.to_owned())
}

pub(crate) fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
    Json::Object(members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn secret_key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

pub(crate) fn public_key(number: u8) -> Json {
    Json::Text(STANDARD_NO_PAD.encode(secret_key(number).verifying_key().as_bytes()))
}

fn neutral_point() -> [u8; 32] {
    let mut point = [0; 32];
    point[0] = 1;
    point
}

pub(crate) fn small_order_key() -> Json {
    Json::Text(STANDARD_NO_PAD.encode(neutral_point()))
}

impl Json {
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        let Self::Object(members) = self else { return None };
        members.iter_mut().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    pub(crate) fn count(&self, key: &str) -> usize {
        let Self::Object(members) = self else { return 0 };
        members.iter().filter(|(name, _)| name == key).count()
    }

    /// The value of a key that stands exactly once.
    pub(crate) fn sole(&self, key: &str) -> Option<&Self> {
        self.get(key).filter(|_| self.count(key) == 1)
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub(crate) fn remove(&mut self, key: &str) {
        if let Self::Object(members) = self {
            members.retain(|(name, _)| name != key);
        }
    }

    pub(crate) fn set(&mut self, key: &str, value: Self) {
        self.remove(key);
        self.push(key, value);
    }

    /// Adds a member, also if there is one of that name.
    pub(crate) fn push(&mut self, key: &str, value: Self) {
        if let Self::Object(members) = self {
            members.push((key.to_owned(), value));
        }
    }

    fn write(&self, out: &mut String, message: &str, escaped: bool) {
        match self {
            Self::Raw(raw) => out.push_str(raw),
            Self::Text(text) => write_text(out, text, escaped),
            Self::Signature(key, encoding) => write_text(out, &sign(*key, *encoding, message), false),
            Self::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    out.push_str(if index == 0 { "" } else { ", " });
                    item.write(out, message, escaped);
                }
                out.push(']');
            }
            Self::Object(members) => {
                let signed = self.get("signatures").map(|_| self.canonical(&["signatures", "unsigned"]));
                out.push('{');
                for (index, (key, value)) in members.iter().enumerate() {
                    out.push_str(if index == 0 { " " } else { " , " });
                    write_text(out, key, escaped);
                    out.push_str(" : ");
                    value.write(out, signed.as_deref().unwrap_or(message), escaped);
                }
                out.push('}');
            }
        }
    }

    /// Canonical JSON, for what the generator puts under a signature.
    fn canonical(&self, omitted: &[&str]) -> String {
        match self {
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(|item| item.canonical(&[])).collect();
                format!("[{}]", items.join(","))
            }
            Self::Object(members) => {
                // Of two of one name the last counts, as it does for ruma.
                let members: BTreeMap<_, _> = members.iter().map(|(key, value)| (key.as_str(), value)).collect();
                let kept = members.iter().filter(|(key, _)| !omitted.contains(key));
                let members: Vec<_> = kept.map(|(key, value)| format!("{key:?}:{}", value.canonical(&[]))).collect();
                format!("{{{}}}", members.join(","))
            }
            Self::Raw(raw) if raw == "-0" => "0".to_owned(),
            _ => self.render(false),
        }
    }

    pub(crate) fn render(&self, escaped: bool) -> String {
        let mut out = String::new();
        self.write(&mut out, "", escaped);
        out
    }
}

/// `escaped`: the same string, with its last character written as an escape.
fn write_text(out: &mut String, text: &str, escaped: bool) {
    let plain = format!("{}", serde_json::Value::from(text));
    match text.chars().last().filter(|last| escaped && last.is_ascii_alphanumeric()) {
        Some(last) => {
            out.push_str(plain.trim_end_matches('"').trim_end_matches(last));
            // The same character may have stood there more than once.
            let count = text.chars().rev().take_while(|character| *character == last).count();
            for _ in 0..count {
                out.push_str(&format!("\\u{:04x}", u32::from(last)));
            }
            out.push('"');
        }
        None => out.push_str(&plain),
    }
}

fn sign(key: u8, encoding: Encoding, message: &str) -> String {
    let mut signature = secret_key(key).sign(message.as_bytes()).to_bytes();
    match encoding {
        Encoding::Unpadded => STANDARD_NO_PAD.encode(signature),
        Encoding::Padded => STANDARD.encode(signature),
        Encoding::UrlSafe => URL_SAFE_NO_PAD.encode(signature),
        Encoding::Short => STANDARD_NO_PAD.encode(&signature[1..]),
        Encoding::Tampered => {
            signature[5] ^= 1;
            STANDARD_NO_PAD.encode(signature)
        }
        Encoding::SmallOrder => {
            signature = [0; 64];
            signature[..32].copy_from_slice(&neutral_point());
            STANDARD_NO_PAD.encode(signature)
        }
    }
}

#[cfg(not(feature = "ed25519"))]
pub(crate) struct Verifier;

#[cfg(not(feature = "ed25519"))]
impl matrix_knock::event::Verify for Verifier {
    fn verify(&self, public_key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        ed25519_dalek::VerifyingKey::from_bytes(public_key)
            .is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
    }
}

/// An event for both libraries.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) event_type: TimelineEventType,
    pub(crate) type_text: String,
    pub(crate) state_key: Option<String>,
    pub(crate) sender: OwnedUserId,
    pub(crate) content: Box<RawValue>,
    pub(crate) room_id: Option<OwnedRoomId>,
    pub(crate) event_id: OwnedEventId,
    pub(crate) prev_events: Vec<OwnedEventId>,
    pub(crate) auth_events: Vec<OwnedEventId>,
    pub(crate) rejected: bool,
}

impl Event {
    pub(crate) fn new(
        event_type: &str,
        event_id: &str,
        state_key: Option<&str>,
        sender: &str,
        content: String,
    ) -> Self {
        Self {
            event_type: event_type.into(),
            type_text: event_type.to_owned(),
            state_key: state_key.map(str::to_owned),
            sender: sender.try_into().unwrap(),
            content: RawValue::from_string(content).unwrap(),
            room_id: None,
            event_id: event_id.try_into().unwrap(),
            prev_events: Vec::new(),
            auth_events: Vec::new(),
            rejected: false,
        }
    }

    /// The event as JSON text.
    fn pdu(&self, escaped: bool) -> String {
        let mut pdu = object([
            ("type", text(&self.type_text)),
            ("sender", text(self.sender.as_str())),
            ("event_id", text(self.event_id.as_str())),
            ("prev_events", Json::List(self.prev_events.iter().map(|id| text(id.as_str())).collect())),
            ("content", raw(self.content.get())),
        ]);
        if let Some(key) = &self.state_key {
            pdu.push("state_key", text(key));
        }
        pdu.render(escaped)
    }
}

impl matrix_knock::event::Event for Event {
    fn event_type(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.type_text)
    }

    fn state_key(&self) -> Option<&str> {
        self.state_key.as_deref()
    }

    fn sender(&self) -> &str {
        self.sender.as_str()
    }

    fn content(&self) -> &str {
        self.content.get()
    }

    fn room_id(&self) -> Option<&str> {
        self.room_id.as_deref().map(RoomId::as_str)
    }

    fn event_id(&self) -> Option<&str> {
        Some(self.event_id.as_str())
    }

    fn sole_prev_event(&self) -> Option<&str> {
        if let [event_id] = self.prev_events.as_slice() { Some(event_id.as_str()) } else { None }
    }
}

impl ruma_state_res::Event for Event {
    type Id = OwnedEventId;

    fn event_id(&self) -> &OwnedEventId {
        &self.event_id
    }

    fn room_id(&self) -> Option<&RoomId> {
        self.room_id.as_deref()
    }

    fn sender(&self) -> &UserId {
        &self.sender
    }

    fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
        MilliSecondsSinceUnixEpoch(0_u8.into())
    }

    fn event_type(&self) -> &TimelineEventType {
        &self.event_type
    }

    fn content(&self) -> &RawValue {
        &self.content
    }

    fn state_key(&self) -> Option<&str> {
        self.state_key.as_deref()
    }

    fn prev_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(self.prev_events.iter())
    }

    fn auth_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(self.auth_events.iter())
    }

    fn redacts(&self) -> Option<&OwnedEventId> {
        None
    }

    fn rejected(&self) -> bool {
        self.rejected
    }
}

/// A room and a change of membership in it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Case {
    pub(crate) version: RoomVersion,
    /// Sender and content, as in `invites`.
    pub(crate) create: Option<(&'static str, Json)>,
    pub(crate) join_rules: Option<Json>,
    pub(crate) power_levels: Option<Json>,
    pub(crate) members: BTreeMap<String, Json>,
    /// By token.
    pub(crate) invites: BTreeMap<String, (&'static str, Json)>,
    pub(crate) sender: &'static str,
    pub(crate) target: Option<String>,
    pub(crate) content: Json,
    pub(crate) prev_events: Vec<&'static str>,
    /// Whether strings in the contents are written with escapes.
    pub(crate) escaped: bool,
}

impl Case {
    /// Alice has made a room for the invited and invites Bob.
    pub(crate) fn plain(version: RoomVersion) -> Self {
        Self {
            version,
            create: Some((ALICE, object([("creator", text(ALICE))]))),
            join_rules: Some(object([("join_rule", text("invite"))])),
            power_levels: None,
            members: BTreeMap::from([(ALICE.to_owned(), object([("membership", text("join"))]))]),
            invites: BTreeMap::new(),
            sender: ALICE,
            target: Some(BOB.to_owned()),
            content: object([("membership", text("invite"))]),
            prev_events: vec!["$other"],
            escaped: false,
        }
    }

    pub(crate) fn state(&self) -> Vec<Event> {
        let event = |event_type, key: &str, sender, content: &Json| {
            let id = if event_type == "m.room.create" { "$create" } else { "$state" };
            Event::new(event_type, id, Some(key), sender, content.render(self.escaped))
        };
        let mut state = Vec::new();
        state.extend(self.create.as_ref().map(|(sender, content)| event("m.room.create", "", sender, content)));
        state.extend(self.join_rules.as_ref().map(|content| event("m.room.join_rules", "", ALICE, content)));
        state.extend(self.power_levels.as_ref().map(|content| event("m.room.power_levels", "", ALICE, content)));
        state.extend(self.members.iter().map(|(user, content)| event("m.room.member", user, ALICE, content)));
        let invites = self.invites.iter();
        state.extend(
            invites.map(|(token, (sender, content))| event("m.room.third_party_invite", token, sender, content)),
        );
        state
    }

    pub(crate) fn event(&self) -> Event {
        let content = self.content.render(self.escaped);
        let mut event = Event::new("m.room.member", "$event", self.target.as_deref(), self.sender, content);
        event.prev_events = self.prev_events.iter().map(|&id| id.try_into().unwrap()).collect();
        event
    }

    /// Our verdict.
    pub(crate) fn ours(&self) -> Result<Membership, AuthorizeError> {
        let state: StateMap<Event> = self.state().into_iter().collect();
        authorize(self.version, &self.event(), &state, &Verifier).map(|authorized| authorized.membership())
    }

    /// What our other ways to a verdict make of it, where that is not the same.
    pub(crate) fn other_verdict(&self) -> Option<String> {
        let (events, event) = (self.state(), self.event());
        let state: StateMap<&Event> = events.iter().collect();
        let verdict = self.ours();
        let differing =
            |way, other: &Result<_, _>| (*other != verdict).then(|| format!("{way} says {other:?}, not {verdict:?}"));

        let compiled = match CompiledRoom::compile(self.version, &state) {
            Ok(room) => room.authorize(&event, &state, &Verifier).map(|authorized| authorized.membership()),
            Err(error) => Err(error),
        };
        let selection = Selection::of(self.version, &event);
        let selected: Vec<_> = selection.state().collect();
        let is_selected = |entry: &&Event| {
            selected.contains(&(entry.type_text.as_str().into(), entry.state_key.as_deref().unwrap_or_default()))
        };
        let reduced: StateMap<&Event> = events.iter().filter(is_selected).collect();
        let by_selection =
            authorize(self.version, &event, &reduced, &Verifier).map(|authorized| authorized.membership());

        let texts: Vec<_> = events.iter().map(|entry| entry.pdu(self.escaped)).collect();
        let text = event.pdu(self.escaped);
        let pdus: Result<StateMap<Pdu<'_>>, _> = texts.iter().map(|text| Pdu::parse(text)).collect();
        let of_texts = match pdus.and_then(|pdus| Ok((pdus, Pdu::parse(&text)?))) {
            Ok((pdus, pdu)) => {
                authorize(self.version, &pdu, &pdus, &Verifier).map(|authorized| authorized.membership())
            }
            // In a `Pdu` no key stands twice, and no number is beyond a double.
            Err(PduError::Json(_)) => verdict.clone(),
            Err(error) => return Some(format!("the text is not read: {error}")),
        };
        differing("the compiled room", &compiled)
            .or_else(|| differing("the selected state", &by_selection))
            .or_else(|| differing("the text", &of_texts))
    }

    /// Ruma's verdict.
    pub(crate) fn ruma(&self) -> Result<(), String> {
        let (state, event) = (self.state(), self.event());
        check_state_dependent_auth_rules(&rules(self.version), &event, |event_type: &StateEventType, key: &str| {
            let event_type = TimelineEventType::from(event_type.clone());
            state.iter().find(|entry| entry.event_type == event_type && entry.state_key.as_deref() == Some(key))
        })
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "room version {}", self.version)?;
        for entry in self.state() {
            writeln!(f, "  {}", entry.pdu(self.escaped))?;
        }
        write!(f, "  event: {}", self.event().pdu(self.escaped))
    }
}

pub(crate) fn rules(version: RoomVersion) -> AuthorizationRules {
    RoomVersionId::try_from(version.as_str()).unwrap().rules().unwrap().authorization
}
