//! Knocks in `/sync`: which section a room stands in, what the `knock` section holds, and whether a room can be knocked on at all.
//!
//! A server writes a [`KnockedRoom`], a client reads a [`KnockSection`].
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync>
//!
//! # Examples
//!
//! ```
//! use matrix_knock::event::{Membership, Pdu};
//! use matrix_knock::id::UserId;
//! use matrix_knock::stripped_state::StrippedEvent;
//! use matrix_knock::sync::{KnockSection, KnockedRoom, Section};
//!
//! assert_eq!(Section::of(Membership::Knock).as_str(), "knock");
//!
//! // What another server sent, verified, and the user's own knock.
//! let create = r#"{"type":"m.room.create","state_key":"","sender":"@a:a.example","content":{"room_version":"11"}}"#;
//! let knock = r#"{"type":"m.room.member","state_key":"@kay:b.example","sender":"@kay:b.example",
//!     "content":{"membership":"knock"}}"#;
//! let state = [knock, create].into_iter().filter_map(|text| StrippedEvent::of(&Pdu::parse(text).ok()?));
//! let room = KnockedRoom::new(state, UserId::parse("@kay:b.example")?);
//! let section = KnockedRoom::section([("!r:a.example", &room)]);
//! assert!(section.starts_with(r#"{"!r:a.example":{"knock_state":{"events":[{"content":{"room_version":"11"},"#));
//!
//! let read = KnockSection::parse(&section)?;
//! let (room_id, room) = read.rooms().next().expect("one room");
//! assert_eq!(room_id, "!r:a.example");
//! assert_eq!(room.state().len(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Serialize, Serializer};

use crate::event::content::join_rules::{JoinRule, join_rule};
use crate::event::{Event, EventType, Membership, Pdu};
use crate::id::{EventId, UserId};
use crate::json::{
    CanonicalDialect, Field, JsonError, JsonText, Kind, Reader, canonical, push_string, read_array_unread,
    read_object_unread,
};
use crate::room_version::RoomVersion;
use crate::state::{NotLookedUp, RoomState};
use crate::stripped_state::{MAX_SHOWN_DEPTH, StrippedEvent};

/// The sections of `rooms` in `/sync`. A room stands in exactly one of them for a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// The user is asked in.
    Invite,
    /// The user is in the room.
    Join,
    /// The user asks to be let in.
    Knock,
    /// The user is not in the room any more: left, was kicked, was banned, took a knock back, had it declined.
    Leave,
}

impl Section {
    /// The section by the user's membership. A user without any has no section for the room.
    #[must_use]
    pub const fn of(membership: Membership) -> Self {
        match membership {
            Membership::Invite => Self::Invite,
            Membership::Join => Self::Join,
            Membership::Knock => Self::Knock,
            Membership::Ban | Membership::Leave => Self::Leave,
        }
    }

    /// The name of the section: `knock`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invite => "invite",
            Self::Join => "join",
            Self::Knock => "knock",
            Self::Leave => "leave",
        }
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Whether anybody at all can knock on the room, for its summary, the public rooms list and the space hierarchy: its version has
/// knocking, and its join rule lets people knock.
///
/// Whether a certain user can is for [`authorize_proposal`](crate::auth::authorize_proposal) to say.
///
/// <https://spec.matrix.org/v1.19/client-server-api/#knocking-on-rooms>
///
/// # Errors
///
/// [`NotLookedUp`] if a snapshot lacks the `m.room.join_rules` entry.
pub fn is_knockable(version: RoomVersion, state: &(impl RoomState + ?Sized)) -> Result<bool, NotLookedUp> {
    let join_rules = state.event(EventType::JoinRules, "")?;
    Ok(join_rules.is_some_and(|event| lets_knock(version, event.content())))
}

/// Whether people can knock on a room, as far as a summary says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Knockable {
    /// They can.
    Yes,
    /// They cannot.
    No,
    /// The summary does not say: it has no room version, or one that is not known here.
    NotKnown,
}

impl Knockable {
    /// Returns whether to offer knocking to the user: unless it is known not to work.
    #[must_use]
    pub const fn is_worth_offering(self) -> bool {
        match self {
            Self::Yes | Self::NotKnown => true,
            Self::No => false,
        }
    }
}

/// The same for a client, which has no more than the `room_version` and the `join_rule` of a summary, of an entry of the space
/// hierarchy, or of the public rooms (which have no room version). `supported` are the versions that are known:
/// [`RoomVersion::ALL`], and unstable ones.
///
/// Without a `join_rule` a room is `public`.
///
/// # Examples
///
/// ```
/// use matrix_knock::RoomVersion;
/// use matrix_knock::sync::{Knockable, summary_is_knockable};
///
/// let knockable = |version, rule| summary_is_knockable(version, Some(rule), &RoomVersion::ALL);
/// assert_eq!(knockable(Some("7"), "knock"), Knockable::Yes);
/// assert_eq!(knockable(Some("9"), "knock_restricted"), Knockable::No);
/// assert_eq!(knockable(None, "knock"), Knockable::NotKnown);
/// assert_eq!(knockable(Some("13"), "knock"), Knockable::NotKnown);
/// assert_eq!(knockable(None, "invite"), Knockable::No);
/// assert_eq!(summary_is_knockable(None, None, &RoomVersion::ALL), Knockable::No);
/// ```
#[must_use]
pub fn summary_is_knockable(
    room_version: Option<&str>,
    join_rule: Option<&str>,
    supported: &[RoomVersion],
) -> Knockable {
    let join_rule = join_rule.unwrap_or("public");
    let version = room_version.and_then(|name| RoomVersion::parse_among(name, supported).ok());
    match version {
        Some(version) => {
            let mut content = String::from(r#"{"join_rule":"#);
            push_string(&mut content, join_rule);
            content.push('}');
            if lets_knock(version, &content) { Knockable::Yes } else { Knockable::No }
        }
        // No version lets anybody knock on these.
        None if matches!(join_rule, "public" | "invite" | "private" | "restricted") => Knockable::No,
        None => Knockable::NotKnown,
    }
}

fn lets_knock(version: RoomVersion, join_rules: &str) -> bool {
    match join_rule(join_rules, version.rules()) {
        Ok(JoinRule::Knock | JoinRule::KnockRestricted) => true,
        Ok(JoinRule::Public | JoinRule::Invite | JoinRule::Restricted | JoinRule::Unknown) | Err(_) => false,
    }
}

/// The name under which the member event stands beside the `knock_state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum MemberEventKey {
    /// `state`: since [MSC4319](https://github.com/matrix-org/matrix-spec-proposals/pull/4319) is in the specification, which as of v1.19 it
    /// is not.
    State,
    /// `org.matrix.msc4319.state`: until then.
    Unstable,
}

impl MemberEventKey {
    const fn as_str(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Unstable => "org.matrix.msc4319.state",
        }
    }
}

/// A room that a user knocks on, as `/sync` shows it: `rooms.knock.{roomId}`.
///
/// `Display` writes it as JSON, in the same order every time: the create event first, the user's own member event last, the others
/// by type and state key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KnockedRoom {
    state: Vec<StrippedEvent>,
    member_event: Option<(MemberEventKey, String)>,
}

impl KnockedRoom {
    /// Creates the entry of a room of which this user is shown this state: that of a
    /// pending knock, or [of this server's own](crate::stripped_state::for_client).
    ///
    /// If a type and state key occur twice, the last event wins. Events nested deeper than
    /// [`MAX_SHOWN_DEPTH`] are left out: the whole answer has to be readable.
    #[must_use]
    pub fn new(state: impl IntoIterator<Item = impl Into<StrippedEvent>>, user: UserId<'_>) -> Self {
        let mut by_place = BTreeMap::new();
        for event in state.into_iter().map(Into::into).filter(StrippedEvent::is_shallow) {
            by_place.insert((event.event_type().into_owned(), event.state_key().into_owned()), event);
        }
        let mut state: Vec<StrippedEvent> = by_place.into_values().collect();
        let rank = |event: &StrippedEvent| match (EventType::from(&*event.event_type()), &*event.state_key()) {
            (EventType::Create, "") => 0,
            (EventType::Member, key) if key == user.as_str() => 2,
            _ => 1,
        };
        // A stable sort: the others stay in order.
        state.sort_by_key(rank);
        Self { state, member_event: None }
    }

    /// Adds the user's own member event, whole, beside the stripped state, where clients ask for it: with its ID and its
    /// `origin_server_ts` (milliseconds since the Unix epoch), and without the room ID, as events stand in `/sync`.
    ///
    /// An event without a state key, whose content is not a JSON object, or that is nested deeper than [`MAX_SHOWN_DEPTH`] is not
    /// added.
    #[must_use]
    pub fn with_member_event(
        self,
        key: MemberEventKey,
        event_id: EventId<'_>,
        event: &impl Event,
        origin_server_ts: u64,
    ) -> Self {
        let shown = event.state_key().and_then(|_| client_event(event, Some(event_id), origin_server_ts, None));
        let member_event = shown.map(|text| (key, text));
        Self { member_event: member_event.or(self.member_event), ..self }
    }

    /// What is shown, in its order.
    #[must_use]
    pub fn state(&self) -> &[StrippedEvent] {
        &self.state
    }

    /// The value of `unsigned` with the `knock_room_state` that a member event carries where it is shown by itself.
    #[must_use]
    pub fn to_unsigned(&self) -> String {
        format!(r#"{{"knock_room_state":[{}]}}"#, self.events())
    }

    /// The `knock` section of several rooms: an object by room ID. Of two entries for the same room the last counts.
    #[must_use]
    pub fn section<'r>(rooms: impl IntoIterator<Item = (&'r str, &'r Self)>) -> String {
        let mut out = String::from("{");
        for (room_id, room) in rooms.into_iter().collect::<BTreeMap<_, _>>() {
            if out.len() > 1 {
                out.push(',');
            }
            push_string(&mut out, room_id);
            out.push_str(&format!(":{room}"));
        }
        out.push('}');
        out
    }

    fn events(&self) -> String {
        self.state.iter().map(StrippedEvent::text).collect::<Vec<_>>().join(",")
    }
}

impl fmt::Display for KnockedRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, r#"{{"knock_state":{{"events":[{}]}}"#, self.events())?;
        if let Some((key, event)) = &self.member_event {
            write!(f, r#","{}":{{"events":[{event}]}}"#, key.as_str())?;
        }
        f.write_str("}")
    }
}

impl Serialize for KnockedRoom {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        JsonText(&self.to_string()).serialize(serializer)
    }
}

/// Writes an event as clients see it in `/sync`: content, ID, `origin_server_ts` (milliseconds
/// since the Unix epoch), sender, state key, type and `unsigned`, without the room ID.
///
/// `event_id` is `None` for an event that only this server knows, such as a leave after which no
/// server of the room could be reached. `unsigned` is a JSON object, if there is anything to say.
///
/// Returns `None` if the content is not a JSON object, if `unsigned` is not one, or if the event is
/// nested deeper than [`MAX_SHOWN_DEPTH`]: the whole answer has to be readable.
///
/// <https://spec.matrix.org/v1.19/client-server-api/#room-event-format>
///
/// # Examples
///
/// ```
/// use matrix_knock::event::Pdu;
/// use matrix_knock::id::EventId;
/// use matrix_knock::sync::client_event;
///
/// let denied = Pdu::parse(r#"{"type":"m.room.member","state_key":"@kay:b.example","sender":"@alice:a.example",
///     "content":{"membership":"leave"},"room_id":"!r:a.example"}"#)?;
/// let unsigned = r#"{"prev_content":{"membership":"knock"}}"#;
/// let shown = client_event(&denied, Some(EventId::parse("$denied")?), 1_700_000_000_000, Some(unsigned));
/// assert_eq!(
///     shown.as_deref(),
///     Some(concat!(
///         r#"{"content":{"membership":"leave"},"event_id":"$denied","origin_server_ts":1700000000000,"#,
///         r#""sender":"@alice:a.example","state_key":"@kay:b.example","type":"m.room.member","#,
///         r#""unsigned":{"prev_content":{"membership":"knock"}}}"#,
///     ))
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn client_event(
    event: &(impl Event + ?Sized),
    event_id: Option<EventId<'_>>,
    origin_server_ts: u64,
    unsigned: Option<&str>,
) -> Option<String> {
    let object = |text| canonical(text, CanonicalDialect::Lenient).ok().filter(|text| text.starts_with('{'));
    let mut out = format!(r#"{{"content":{}"#, object(event.content())?);
    if let Some(event_id) = event_id {
        out.push_str(r#","event_id":"#);
        push_string(&mut out, event_id.as_str());
    }
    out.push_str(&format!(r#","origin_server_ts":{origin_server_ts},"sender":"#));
    push_string(&mut out, event.sender());
    if let Some(state_key) = event.state_key() {
        out.push_str(r#","state_key":"#);
        push_string(&mut out, state_key);
    }
    out.push_str(r#","type":"#);
    push_string(&mut out, &event.event_type());
    if let Some(unsigned) = unsigned {
        out.push_str(&format!(r#","unsigned":{}"#, object(unsigned)?));
    }
    out.push('}');
    Reader::with_depth(&out, MAX_SHOWN_DEPTH).skip_value().is_ok().then_some(out)
}

/// A `knock` section that cannot be read at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SectionError {
    /// It is not JSON, as far as it takes to tell one room from the next.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// It is of another kind than an object.
    #[error("the `knock` section is not an object")]
    NotAnObject,
}

/// The `knock` section as a client reads it: `rooms.knock`.
///
/// Each room and each event is read by itself: one that is malformed is left out, and costs the others nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KnockSection {
    rooms: BTreeMap<String, ReadRoom>,
}

/// A room that the user knocks on, as a client reads it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadRoom {
    state: Vec<StrippedEvent>,
    member_event: Option<String>,
}

impl KnockSection {
    /// Reads the section, the value of `rooms.knock`. If a room occurs twice, the last one wins.
    ///
    /// # Errors
    ///
    /// [`SectionError`].
    pub fn parse(text: &str) -> Result<Self, SectionError> {
        if Reader::new(text).kind()? != Kind::Object {
            return Err(SectionError::NotAnObject);
        }
        let mut rooms = BTreeMap::new();
        read_object_unread(text, |room_id, room| {
            rooms.insert(room_id.text().into_owned(), ReadRoom::read(room));
        })?;
        Ok(Self { rooms })
    }

    /// The rooms by their IDs.
    pub fn rooms(&self) -> impl ExactSizeIterator<Item = (&str, &ReadRoom)> {
        self.rooms.iter().map(|(room_id, room)| (room_id.as_str(), room))
    }
}

impl ReadRoom {
    fn read(text: &str) -> Self {
        let mut state = Field::Missing;
        let mut member_events: [Field<&str>; 2] = [Field::Missing; 2];
        // What cannot be read shows nothing.
        let _malformed = read_object_unread(text, |key, value| match () {
            () if key.is("knock_state") => state.put(Field::Is(value)),
            () if key.is("state") => member_events[0].put(Field::Is(value)),
            () if key.is("org.matrix.msc4319.state") => member_events[1].put(Field::Is(value)),
            () => {}
        });
        let mut seen = BTreeSet::new();
        let mut room = Self::default();
        for event in events(state).into_iter().filter_map(|text| StrippedEvent::of(&Pdu::parse_stored(text).ok()?)) {
            if seen.insert((event.event_type().into_owned(), event.state_key().into_owned())) {
                room.state.push(event);
            }
        }
        for field in member_events {
            let found = events(field).into_iter().find(|text| {
                Pdu::parse(text).is_ok_and(|event| event.is_type(EventType::Member) && event.state_key().is_some())
            });
            room.member_event = room.member_event.or(found.map(str::to_owned));
        }
        room
    }

    /// What the server shows, the first one for each type and state key.
    #[must_use]
    pub fn state(&self) -> &[StrippedEvent] {
        &self.state
    }

    /// The event of this type and state key.
    #[must_use]
    pub fn event(&self, event_type: &str, state_key: &str) -> Option<&StrippedEvent> {
        self.state.iter().find(|event| event.event_type() == event_type && event.state_key() == state_key)
    }

    /// The user's own member event, whole, as JSON, from a server that gives it (MSC4319).
    #[must_use]
    pub fn member_event(&self) -> Option<&str> {
        self.member_event.as_deref()
    }
}

/// The texts in the `events` of an object; none if there is nothing of the kind.
fn events(object: Field<&str>) -> Vec<&str> {
    let Field::Is(object) = object else { return Vec::new() };
    let mut list = Field::Missing;
    let read = read_object_unread(object, |key, value| {
        if key.is("events") {
            list.put(Field::Is(value));
        }
    });
    let (Ok(()), Field::Is(list)) = (read, list) else { return Vec::new() };
    let mut found = Vec::new();
    match read_array_unread(list, |event| found.push(event)) {
        Ok(()) => found,
        Err(_) => Vec::new(),
    }
}
