//! The knocking server's look at a template: is it what was asked for?
//!
//! Nothing of it is signed but what stands here: whatever else the resident server put into it is left behind.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1make_knockroomiduserid>

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::{MAX_DEPTH, Template};
use crate::event::content::member::MemberContent;
use crate::event::{EventType, MAX_AUTH_EVENTS, MAX_PREV_EVENTS, Membership, Sha256Hash};
use crate::id::{RoomId, ServerName, UserId};
use crate::json::{
    CanonicalDialect, Field, Filter, JsonError, Kind, Member, Reader, Str, canonical_part, push_string, push_strings,
};
use crate::room_version::{EventIdFormat, RoomVersion};

/// The longest answer to `make_knock`, `make_leave` or `make_join` that is looked at, in bytes.
pub const MAX_TEMPLATE_BYTES: usize = 131_072;

/// What a template was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected<'a> {
    /// A knock on a room whose version is not known: it has to be one of these, which the request has offered.
    Knock(&'a [RoomVersion]),
    /// A leave from a room of one of these versions; of the only one, if there is one. It takes back a knock, or declines an
    /// invite.
    Leave(&'a [RoomVersion]),
    /// A join of a room of one of these versions, which the request has offered; of version 1 if
    /// the answer names none. A template that names an authorizing user (a restricted join) is
    /// [unwanted](BadTemplate::Unwanted).
    Join(&'a [RoomVersion]),
}

/// Why a template is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadTemplate {
    /// The answer is longer than [`MAX_TEMPLATE_BYTES`].
    #[error("answer of {bytes} bytes, more than {MAX_TEMPLATE_BYTES}")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The answer is no JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A property is missing.
    #[error("no `{0}`")]
    Missing(&'static str),
    /// A property is of the wrong kind, or out of its range.
    #[error("`{0}` is of the wrong kind or out of range")]
    Malformed(&'static str),
    /// The room version is not one of those that were offered, or not the one that is remembered.
    #[error("another `room_version` than was asked for")]
    RoomVersion,
    /// The room version has no knocking.
    #[error("no knocking in room version {0}")]
    NoKnocking(RoomVersion),
    /// The event is of another room, user, type or membership.
    #[error("another `{0}` than was asked for")]
    Other(&'static str),
    /// The content has something that a knock, a leave or an unrestricted join never has: it would
    /// be signed with it.
    #[error("a `{0}` in the content")]
    Unwanted(&'static str),
    /// Too few or too many events are named.
    #[error("`{property}` names {count} events")]
    Count {
        /// Where.
        property: &'static str,
        /// How many.
        count: usize,
    },
    /// What names an event is no event ID of the room version.
    #[error("`{0}` has what is no event ID")]
    EventId(&'static str),
    /// An event is named twice.
    #[error("`{0}` names an event twice")]
    Duplicate(&'static str),
}

/// What the sender says with the change: the rest of the content of the event. What is not there is left out, and is never null.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Details {
    /// Why the user knocks, leaves, or answers.
    pub reason: Option<String>,
    /// The display name of the user whose membership changes.
    pub displayname: Option<String>,
    /// The avatar of that user: an `mxc://` URI.
    pub avatar_url: Option<String>,
}

/// A template that is what was asked for: of this room, by this user; or this server's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedTemplate {
    version: RoomVersion,
    membership: Membership,
    room_id: String,
    sender: String,
    target: String,
    auth_events: Vec<String>,
    prev_events: Vec<String>,
    depth: u64,
}

/// What this server proposes itself, in a room that it is in.
impl From<Template> for CheckedTemplate {
    fn from(template: Template) -> Self {
        let Template { version, membership, room_id, sender, target, auth_events, prev_events, depth, .. } = template;
        Self { version, membership, room_id, sender, target, auth_events, prev_events, depth }
    }
}

/// What is read of an answer.
#[derive(Default)]
struct Answer<'a> {
    room_version: Field<Str<'a>>,
    event: Field<&'a str>,
}

/// What is read of the event in it.
#[derive(Default)]
struct EventOutline<'a> {
    room_id: Field<Str<'a>>,
    sender: Field<Str<'a>>,
    state_key: Field<Str<'a>>,
    event_type: Field<Str<'a>>,
    content: Field<&'a str>,
    auth_events: Field<Vec<Str<'a>>>,
    prev_events: Field<Vec<Str<'a>>>,
    depth: Field<u64>,
}

impl CheckedTemplate {
    /// Reads an answer to `make_knock`, `make_leave` or `make_join`, which comes from anybody.
    ///
    /// # Errors
    ///
    /// [`BadTemplate`], by the first thing that is wrong.
    ///
    /// # Examples
    ///
    /// ```
    /// use matrix_knock::RoomVersion;
    /// use matrix_knock::template::{Expected, BadTemplate, Details, CheckedTemplate};
    /// use matrix_knock::id::{RoomId, ServerName, UserId};
    ///
    /// let answer = r#"{"room_version":"10","event":{"room_id":"!r:a.example","type":"m.room.member","sender":"@k:b.example",
    ///     "state_key":"@k:b.example","content":{"membership":"knock","is_admin":true},"auth_events":[],"depth":4,
    ///     "prev_events":["$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"]}}"#;
    /// let (room, kay) = (RoomId::parse("!r:a.example")?, UserId::parse("@k:b.example")?);
    /// let offered = Expected::Knock(&[RoomVersion::V9, RoomVersion::V10]);
    /// let proposed = CheckedTemplate::read(offered, room, kay, answer)?;
    ///
    /// let details = Details { reason: Some("Let me in".to_owned()), ..Details::default() };
    /// assert_eq!(
    ///     proposed.to_event(&details, ServerName::parse("b.example")?, 1_700_000_000_000),
    ///     concat!(
    ///         r#"{"auth_events":[],"content":{"membership":"knock","reason":"Let me in"},"depth":4,"origin":"b.example","#,
    ///         r#""origin_server_ts":1700000000000,"prev_events":["$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"],"#,
    ///         r#""room_id":"!r:a.example","sender":"@k:b.example","state_key":"@k:b.example","type":"m.room.member"}"#,
    ///     )
    /// );
    ///
    /// let other = UserId::parse("@mallory:b.example")?;
    /// assert_eq!(CheckedTemplate::read(offered, room, other, answer), Err(BadTemplate::Other("sender")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read(
        asked: Expected<'_>,
        room_id: RoomId<'_>,
        user_id: UserId<'_>,
        answer: &str,
    ) -> Result<Self, BadTemplate> {
        if answer.len() > MAX_TEMPLATE_BYTES {
            return Err(BadTemplate::TooLarge { bytes: answer.len() });
        }
        // Keys that stand twice, at any level. Numbers are looked at where they count. `unsigned` is no part of the event.
        let answer = canonical_part(answer, CanonicalDialect::Lenient, Signable::Answer)?;
        let answer = Answer::read(&answer)?;
        let (version, membership) = asked.version(answer.room_version)?;
        let event = EventOutline::read(required("event", answer.event)?)?;
        for (property, value, expected) in [
            ("room_id", event.room_id, room_id.as_str()),
            ("sender", event.sender, user_id.as_str()),
            ("state_key", event.state_key, user_id.as_str()),
            ("type", event.event_type, EventType::Member.as_str()),
        ] {
            if !required(property, value)?.is(expected) {
                return Err(BadTemplate::Other(property));
            }
        }
        let content = MemberContent::read(required("content", event.content)?);
        let content = content.map_err(|_| BadTemplate::Malformed("content"))?;
        if content.membership != Field::Is(Some(membership)) {
            return Err(BadTemplate::Other("membership"));
        }
        if !matches!(content.authorizing_user, Field::Missing) {
            return Err(BadTemplate::Unwanted("join_authorised_via_users_server"));
        }
        if !matches!(content.third_party_invite, Field::Missing) {
            return Err(BadTemplate::Unwanted("third_party_invite"));
        }
        let depth = required("depth", event.depth)?;
        if depth > MAX_DEPTH {
            return Err(BadTemplate::Malformed("depth"));
        }
        Ok(Self {
            version,
            membership,
            room_id: room_id.as_str().to_owned(),
            sender: user_id.as_str().to_owned(),
            target: user_id.as_str().to_owned(),
            auth_events: event_ids("auth_events", version, 0..=MAX_AUTH_EVENTS, event.auth_events)?,
            prev_events: event_ids("prev_events", version, 1..=MAX_PREV_EVENTS, event.prev_events)?,
            depth,
        })
    }

    /// The version of the room.
    #[must_use]
    pub const fn version(&self) -> RoomVersion {
        self.version
    }

    /// The event to sign, as canonical JSON, without hashes and signatures: what was asked for, the place in the room that
    /// the resident server proposes, the knocker's own words and time, and nothing else.
    ///
    /// `now` is the time in milliseconds since the Unix epoch.
    #[must_use]
    pub fn to_event(&self, details: &Details, origin: ServerName<'_>, now: u64) -> String {
        let mut out = String::from(r#"{"auth_events":"#);
        push_strings(&mut out, &self.auth_events);
        out.push_str(r#","content":{"#);
        for (key, value) in [("avatar_url", &details.avatar_url), ("displayname", &details.displayname)] {
            push_member(&mut out, key, value.as_deref());
        }
        out.push_str(&format!(r#""membership":"{}""#, self.membership));
        if let Some(reason) = &details.reason {
            out.push_str(r#","reason":"#);
            push_string(&mut out, reason);
        }
        out.push_str(&format!(r#"}},"depth":{},"#, self.depth));
        push_member(&mut out, "origin", Some(origin.as_str()));
        out.push_str(&format!(r#""origin_server_ts":{},"prev_events":"#, now.min(MAX_DEPTH)));
        push_strings(&mut out, &self.prev_events);
        out.push(',');
        for (key, value) in [("room_id", &self.room_id), ("sender", &self.sender), ("state_key", &self.target)] {
            push_member(&mut out, key, Some(value));
        }
        out.push_str(r#""type":"m.room.member"}"#);
        out
    }
}

/// Writes a member and a comma, or nothing.
fn push_member(out: &mut String, key: &str, value: Option<&str>) {
    if let Some(value) = value {
        push_string(out, key);
        out.push(':');
        push_string(out, value);
        out.push(',');
    }
}

impl Expected<'_> {
    fn version(self, room_version: Field<Str<'_>>) -> Result<(RoomVersion, Membership), BadTemplate> {
        let named = room_version.optional(BadTemplate::Malformed("room_version"))?;
        match self {
            Self::Knock(offered) => {
                let named = named.ok_or(BadTemplate::Missing("room_version"))?;
                let found = offered.iter().copied().find(|version| named.is(version.as_str()));
                let version = found.ok_or(BadTemplate::RoomVersion)?;
                if !version.rules().knocking {
                    return Err(BadTemplate::NoKnocking(version));
                }
                Ok((version, Membership::Knock))
            }
            Self::Join(offered) => {
                let version = match named {
                    Some(named) => offered.iter().copied().find(|version| named.is(version.as_str())),
                    // <https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1make_joinroomiduserid>
                    None => offered.iter().copied().find(|version| *version == RoomVersion::V1),
                };
                Ok((version.ok_or(BadTemplate::RoomVersion)?, Membership::Join))
            }
            Self::Leave(possible) => {
                let version = match (named, possible) {
                    (None, [only]) => *only,
                    (None, _) => return Err(BadTemplate::Missing("room_version")),
                    (Some(named), _) => possible
                        .iter()
                        .copied()
                        .find(|version| named.is(version.as_str()))
                        .ok_or(BadTemplate::RoomVersion)?,
                };
                Ok((version, Membership::Leave))
            }
        }
    }
}

/// What of an answer is read: the version and the event, and of that all but its `unsigned`.
#[derive(Debug, Clone, Copy)]
enum Signable {
    Answer,
    Event,
    Everything,
}

impl Filter for Signable {
    fn keeps_all(self) -> bool {
        matches!(self, Self::Everything)
    }

    fn member(self, key: Str<'_>, _kind: Kind) -> Member<Self> {
        match self {
            Self::Answer if key.is("event") => Member::Keep(Self::Event),
            Self::Answer if key.is("room_version") => Member::Keep(Self::Everything),
            Self::Answer => Member::OmitUnread,
            Self::Event if key.is("unsigned") => Member::OmitUnread,
            Self::Event | Self::Everything => Member::Keep(Self::Everything),
        }
    }
}

impl<'a> Answer<'a> {
    fn read(text: &'a str) -> Result<Self, BadTemplate> {
        let mut found = Self::default();
        let mut reader = Reader::new(text);
        if reader.kind()? != Kind::Object {
            return Err(BadTemplate::Malformed("answer"));
        }
        reader.object(|key, reader| {
            match &*key.text() {
                "room_version" => found.room_version.put(reader.string_field()?),
                "event" => found.event.put(object(reader)?),
                _ => reader.skip_value()?,
            }
            Ok(())
        })?;
        Ok(found)
    }
}

impl<'a> EventOutline<'a> {
    fn read(text: &'a str) -> Result<Self, JsonError> {
        let mut found = Self::default();
        Reader::new(text).object(|key, reader| {
            match &*key.text() {
                "room_id" => found.room_id.put(reader.string_field()?),
                "sender" => found.sender.put(reader.string_field()?),
                "state_key" => found.state_key.put(reader.string_field()?),
                "type" => found.event_type.put(reader.string_field()?),
                "content" => found.content.put(object(reader)?),
                "auth_events" => found.auth_events.put(reader.list_field(Reader::string_field)?),
                "prev_events" => found.prev_events.put(reader.list_field(Reader::string_field)?),
                "depth" => found.depth.put(reader.integer_field()?),
                _ => reader.skip_value()?,
            }
            Ok(())
        })?;
        Ok(found)
    }
}

fn required<T>(property: &'static str, field: Field<T>) -> Result<T, BadTemplate> {
    field.optional(BadTemplate::Malformed(property))?.ok_or(BadTemplate::Missing(property))
}

/// The text of an object.
fn object<'a>(reader: &mut Reader<'a>) -> Result<Field<&'a str>, JsonError> {
    let is_object = reader.kind()? == Kind::Object;
    let text = reader.skip()?;
    Ok(if is_object { Field::Is(text) } else { Field::Malformed })
}

/// Event IDs as the room version writes them, each once.
fn event_ids(
    property: &'static str,
    version: RoomVersion,
    counts: RangeInclusive<usize>,
    ids: Field<Vec<Str<'_>>>,
) -> Result<Vec<String>, BadTemplate> {
    let ids = required(property, ids)?;
    if !counts.contains(&ids.len()) {
        return Err(BadTemplate::Count { property, count: ids.len() });
    }
    // The alphabet of the other versions, and padding.
    let foreign = match version.rules().event_ids {
        EventIdFormat::StandardHash => ['-', '_', '='],
        EventIdFormat::UrlSafeHash | EventIdFormat::InBody => ['+', '/', '='],
    };
    let mut seen = BTreeSet::new();
    ids.into_iter()
        .map(|id| {
            let id = id.text().into_owned();
            let hash = id.strip_prefix('$').filter(|hash| hash.len() == 43 && !hash.contains(foreign));
            if hash.and_then(Sha256Hash::from_base64).is_none() {
                return Err(BadTemplate::EventId(property));
            }
            if seen.insert(id.clone()) { Ok(id) } else { Err(BadTemplate::Duplicate(property)) }
        })
        .collect()
}
