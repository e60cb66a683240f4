//! The format that an event has to have in its room version, or it is dropped before anything else is asked.
//!
//! <https://spec.matrix.org/v1.19/rooms/v12/#event-format>,
//! <https://spec.matrix.org/v1.19/client-server-api/#size-limits>

use std::borrow::Cow;

use super::event_type::EventType;
use super::hash::{Sha256Hash, event_id_of};
use super::pdu::Pdu;
use super::redaction::essential_of;
use super::signature::each_signature;
use super::{Event, PduError};
use crate::id::{EventId, IdError, MAX_ID_BYTES, OwnedServerName, RoomId, UserId};
use crate::json::{Field, JsonError, Kind, Reader, Str, read_object_field};
use crate::room_version::{EventIdFormat, RoomVersion};

/// The most bytes that an event may have in canonical form, signatures included. `unsigned` does not count: no signature covers
/// it, and any server on the way may change it.
pub const MAX_EVENT_BYTES: usize = 65_536;
/// The most bytes of an event that is made here or taken by a request: 128 less than [`MAX_EVENT_BYTES`], since other servers
/// count what they add to it (an age, the content before it).
pub const MAX_SUBMITTED_BYTES: usize = MAX_EVENT_BYTES - 128;
/// The deepest nesting of an event that is taken by a request: 120 levels. Around it transactions, requests and `/sync` have
/// more, and what reads them may stop at 128.
pub const MAX_SUBMITTED_DEPTH: u32 = 120;
/// The most events that `auth_events` may name.
pub const MAX_AUTH_EVENTS: usize = 10;
/// The most events that `prev_events` may name.
pub const MAX_PREV_EVENTS: usize = 20;

/// Why an event is not in the format of its room version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// It is not even an event in outline, or has no canonical form in this version.
    #[error(transparent)]
    Pdu(#[from] PduError),
    /// It has more than [`MAX_EVENT_BYTES`].
    #[error("event of {bytes} bytes, more than {MAX_EVENT_BYTES}")]
    TooLarge {
        /// The bytes of its canonical form; of an entry of a `knock_room_state`, as it was sent.
        bytes: usize,
    },
    /// A property that it must have is missing.
    #[error("event has no `{0}`")]
    Missing(&'static str),
    /// A property that it must not have is there.
    #[error("event has a `{0}`, which it must not have in this room version")]
    Unexpected(&'static str),
    /// A property is of the wrong kind, or out of its range.
    #[error("`{0}` of the event is of the wrong kind or out of range")]
    WrongKind(&'static str),
    /// A property has more than [`MAX_ID_BYTES`] bytes.
    #[error("`{0}` of the event is longer than {MAX_ID_BYTES} bytes")]
    TooLong(&'static str),
    /// A property is not the identifier that it has to be.
    #[error("`{property}` of the event {error}")]
    Id {
        /// The property.
        property: &'static str,
        /// What is wrong with it.
        error: IdError,
    },
    /// A property names too many events.
    #[error("`{property}` of the event names {count} events, too many")]
    TooMany {
        /// The property.
        property: &'static str,
        /// How many it names.
        count: usize,
    },
}

impl From<JsonError> for FormatError {
    fn from(error: JsonError) -> Self {
        Self::Pdu(error.into())
    }
}

/// An event that has the format of its room version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormattedPdu<'a> {
    pdu: Pdu<'a>,
    version: RoomVersion,
    links: Links<'a>,
    /// How many bytes its canonical form has.
    bytes: usize,
    /// What the servers sign.
    essential: String,
}

/// What the format check reads beside what [`Pdu`] has.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Links<'a> {
    auth_events: Vec<Cow<'a, str>>,
    prev_events: Vec<Cow<'a, str>>,
    depth: i64,
    origin_server_ts: i64,
    sha256: Cow<'a, str>,
    signatures: &'a str,
}

impl<'a> Pdu<'a> {
    /// Checks the format of the event in its room version. The text has to be as it goes between servers: since v3
    /// without an `event_id`.
    ///
    /// # Errors
    ///
    /// [`FormatError`], by the first thing that is wrong.
    pub fn check_format(self, version: RoomVersion) -> Result<FormattedPdu<'a>, FormatError> {
        let (pdu, links, bytes) = self.checked(version)?;
        let essential = essential_of(version, &pdu)?;
        let pdu = pdu.with_member_facts();
        let pdu = match version.rules().event_ids {
            EventIdFormat::InBody => pdu,
            EventIdFormat::StandardHash | EventIdFormat::UrlSafeHash => {
                pdu.with_event_id(event_id_of(version, &Sha256Hash::of_text(&essential)))
            }
        };
        Ok(FormattedPdu { pdu, version, links, bytes, essential })
    }

    /// The IDs of the ed25519 keys with which the sender's server says it has signed the event, if that
    /// has the format of its room version.
    pub(crate) fn key_ids_of_sender(self, version: RoomVersion) -> Option<(OwnedServerName, Vec<String>)> {
        let (pdu, links, _) = self.checked(version).ok()?;
        let server = UserId::parse(pdu.sender()).ok()?.server_name();
        let key_ids = key_ids(links.signatures, server.as_str());
        Some((server.into_owned(), key_ids))
    }

    /// The event, what else its format has, and how many bytes its canonical form has.
    fn checked(self, version: RoomVersion) -> Result<(Self, Links<'a>, usize), FormatError> {
        let (pdu, bytes) = self.canonicalized(version)?;
        if bytes > MAX_EVENT_BYTES {
            return Err(FormatError::TooLarge { bytes });
        }
        let links = Links::read(&pdu, version)?;
        check_ids(&pdu, version)?;
        Ok((pdu, links, bytes))
    }
}

impl<'a> FormattedPdu<'a> {
    /// The ID of the event: before v3 what it says, since then what it is.
    #[must_use]
    pub fn event_id(&self) -> &str {
        // The format has one before v3, and the check has made one since.
        self.pdu.event_id().unwrap_or_default()
    }

    /// The event. It knows its ID.
    #[must_use]
    pub const fn pdu(&self) -> &Pdu<'a> {
        &self.pdu
    }

    /// Returns how many bytes the event has in canonical form, without `unsigned`.
    #[must_use]
    pub const fn canonical_bytes(&self) -> usize {
        self.bytes
    }

    /// Returns whether the event is nested no deeper than [`MAX_SUBMITTED_DEPTH`].
    pub(crate) fn leaves_depth(&self) -> bool {
        const WITHIN: u32 = MAX_SUBMITTED_DEPTH - 1;
        let is_deep = |value: &str| Reader::with_depth(value, WITHIN).skip_value().is_err();
        // Nearly all events have fewer brackets than that in all.
        let brackets = |value: &str| value.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count();
        let may_be_deep = |value: &str| u32::try_from(brackets(value)).is_ok_and(|brackets| brackets > WITHIN);
        !self.pdu.members().any(|(_, value)| may_be_deep(value) && is_deep(value))
    }

    /// The room version whose format it has.
    #[must_use]
    pub const fn version(&self) -> RoomVersion {
        self.version
    }

    /// The IDs in `auth_events`, 10 at most.
    pub fn auth_events(&self) -> impl ExactSizeIterator<Item = &str> {
        self.links.auth_events.iter().map(|id| &**id)
    }

    /// The IDs in `prev_events`, 20 at most.
    pub fn prev_events(&self) -> impl ExactSizeIterator<Item = &str> {
        self.links.prev_events.iter().map(|id| &**id)
    }

    /// The `depth`: not negative.
    #[must_use]
    pub const fn depth(&self) -> i64 {
        self.links.depth
    }

    /// The `origin_server_ts`, in milliseconds since the Unix epoch.
    #[must_use]
    pub const fn origin_server_ts(&self) -> i64 {
        self.links.origin_server_ts
    }

    /// Returns the IDs of the ed25519 keys with which this server says it has signed the event, the
    /// first 8.
    #[must_use]
    pub fn key_ids(&self, server: &str) -> Vec<String> {
        key_ids(self.signatures(), server)
    }

    /// Whether this is the content hash that the event claims to have.
    pub(crate) fn claims_hash(&self, hash: &Sha256Hash) -> bool {
        Sha256Hash::from_base64(&self.links.sha256) == Some(*hash)
    }

    pub(crate) fn essential(&self) -> &str {
        &self.essential
    }

    pub(crate) const fn signatures(&self) -> &'a str {
        self.links.signatures
    }
}

/// The most keys of a server that are asked for because of one event. A server signs with one, or
/// with two while it changes them.
const MAX_KEYS_PER_EVENT: usize = 8;

fn key_ids(signatures: &str, server: &str) -> Vec<String> {
    let mut key_ids = Vec::new();
    let read = each_signature(signatures, |signer, key_id, _| {
        if key_ids.len() < MAX_KEYS_PER_EVENT && signer.is(server) {
            key_ids.push(key_id.text().into_owned());
        }
    });
    // The format check has read the signatures before: there is no error.
    if read.is_ok() { key_ids } else { Vec::new() }
}

impl<'a> Links<'a> {
    fn read(pdu: &Pdu<'a>, version: RoomVersion) -> Result<Self, FormatError> {
        let mut auth_events = Field::Missing;
        let mut prev_events = Field::Missing;
        let mut depth = Field::Missing;
        let mut origin_server_ts = Field::Missing;
        let mut sha256 = Field::Missing;
        let mut signatures = Field::Missing;
        let mut content = Field::Missing;
        let mut has_event_id = false;
        for (key, value) in pdu.members() {
            let reader = &mut Reader::new(value);
            match &*key.text() {
                "auth_events" => auth_events.put(references(reader, version)?),
                "prev_events" => prev_events.put(references(reader, version)?),
                "depth" => depth.put(reader.integer_field()?),
                "origin_server_ts" => origin_server_ts.put(reader.integer_field()?),
                "hashes" => sha256.put(hashes(reader)?),
                "signatures" => signatures.put(signature_map(value)?),
                "content" => content.put(is_object(reader)?),
                "event_id" => has_event_id = true,
                _ => {}
            }
        }
        required("content", content)?;
        if has_event_id && version.rules().event_ids != EventIdFormat::InBody {
            return Err(FormatError::Unexpected("event_id"));
        }
        let depth = required("depth", depth)?;
        let highest = if version.rules().strict_canonical_json { (1 << 53) - 1 } else { i64::MAX };
        if !(0..=highest).contains(&depth) {
            return Err(FormatError::WrongKind("depth"));
        }
        Ok(Self {
            auth_events: at_most(MAX_AUTH_EVENTS, "auth_events", required("auth_events", auth_events)?)?,
            prev_events: at_most(MAX_PREV_EVENTS, "prev_events", required("prev_events", prev_events)?)?,
            depth,
            origin_server_ts: required("origin_server_ts", origin_server_ts)?,
            sha256: required("hashes", sha256)?.ok_or(FormatError::Missing("hashes.sha256"))?.text(),
            signatures: required("signatures", signatures)?,
        })
    }
}

/// The identifiers, and which of them are there.
fn check_ids(pdu: &Pdu<'_>, version: RoomVersion) -> Result<(), FormatError> {
    let rules = version.rules();
    if pdu.event_type().len() > MAX_ID_BYTES {
        return Err(FormatError::TooLong("type"));
    }
    if pdu.state_key().is_some_and(|state_key| state_key.len() > MAX_ID_BYTES) {
        return Err(FormatError::TooLong("state_key"));
    }
    UserId::parse(pdu.sender()).map_err(|error| FormatError::Id { property: "sender", error })?;

    let is_create = pdu.is_type(EventType::Create) && pdu.state_key() == Some("");
    match pdu.room_id() {
        Some(_) if rules.create_event_is_room_id && is_create => return Err(FormatError::Unexpected("room_id")),
        None if rules.create_event_is_room_id && is_create => {}
        None => return Err(FormatError::Missing("room_id")),
        Some(room_id) => {
            RoomId::parse(room_id).map_err(|error| FormatError::Id { property: "room_id", error })?;
        }
    }
    match (rules.event_ids, pdu.event_id()) {
        (EventIdFormat::InBody, None) => Err(FormatError::Missing("event_id")),
        (EventIdFormat::InBody, Some(id)) => match EventId::parse(id) {
            Ok(_) if !id.contains(':') => Err(FormatError::Id { property: "event_id", error: IdError::NoDomain }),
            Ok(_) => Ok(()),
            Err(error) => Err(FormatError::Id { property: "event_id", error }),
        },
        (EventIdFormat::StandardHash | EventIdFormat::UrlSafeHash, _) => Ok(()),
    }
}

fn required<T>(property: &'static str, field: Field<T>) -> Result<T, FormatError> {
    field.optional(FormatError::WrongKind(property))?.ok_or(FormatError::Missing(property))
}

/// Checks how many events are named, and that each has the form of an ID.
fn at_most<'a>(most: usize, property: &'static str, ids: Vec<Cow<'a, str>>) -> Result<Vec<Cow<'a, str>>, FormatError> {
    if ids.len() > most {
        return Err(FormatError::TooMany { property, count: ids.len() });
    }
    for id in &ids {
        EventId::parse(id).map_err(|error| FormatError::Id { property, error })?;
    }
    Ok(ids)
}

/// The events that a list names: IDs, or before v3 pairs of an ID and its hashes.
fn references<'a>(reader: &mut Reader<'a>, version: RoomVersion) -> Result<Field<Vec<Cow<'a, str>>>, JsonError> {
    let id: fn(&mut Reader<'a>) -> Result<Field<Str<'a>>, JsonError> = match version.rules().event_ids {
        EventIdFormat::InBody => pair,
        EventIdFormat::StandardHash | EventIdFormat::UrlSafeHash => Reader::string_field,
    };
    reader.list_field(|reader| Ok(id(reader)?.map(Str::text)))
}

/// A list of an ID and an object of hashes, and of nothing else.
fn pair<'a>(reader: &mut Reader<'a>) -> Result<Field<Str<'a>>, JsonError> {
    if reader.kind()? != Kind::Array {
        return reader.skip_value().map(|()| Field::Malformed);
    }
    let mut id = Field::Missing;
    let mut hashes = Field::Missing;
    reader.array(|reader| {
        match id {
            Field::Missing => id = reader.string_field()?,
            // A third entry makes it malformed.
            Field::Malformed | Field::Is(_) => hashes.put(object(reader)?),
        }
        Ok(())
    })?;
    Ok(match hashes {
        Field::Is(()) => id,
        Field::Missing | Field::Malformed => Field::Malformed,
    })
}

/// The `sha256` of `hashes`, if it has one that is a string.
fn hashes<'a>(reader: &mut Reader<'a>) -> Result<Field<Option<Str<'a>>>, JsonError> {
    let mut sha256 = Field::Missing;
    let is_object = read_object_field(reader, |key, reader| {
        if key.is("sha256") { reader.string_field().map(|field| sha256.put(field)) } else { reader.skip_value() }
    })?;
    Ok(match sha256 {
        _ if !is_object => Field::Malformed,
        Field::Missing => Field::Is(None),
        Field::Malformed => Field::Malformed,
        Field::Is(hash) => Field::Is(Some(hash)),
    })
}

/// The text of an object of objects of strings.
fn signature_map(text: &str) -> Result<Field<&str>, JsonError> {
    let mut well_formed = true;
    let is_object = read_object_field(&mut Reader::new(text), |_server, reader| {
        let is_object = read_object_field(reader, |_key_id, reader| {
            let is_string = matches!(reader.string_field()?, Field::Is(_));
            well_formed = well_formed && is_string;
            Ok(())
        })?;
        well_formed = well_formed && is_object;
        Ok(())
    })?;
    Ok(if is_object && well_formed { Field::Is(text) } else { Field::Malformed })
}

/// Whether a value that was read before is an object. Reads over none of it.
fn is_object(reader: &mut Reader<'_>) -> Result<Field<()>, JsonError> {
    Ok(if reader.kind()? == Kind::Object { Field::Is(()) } else { Field::Malformed })
}

fn object(reader: &mut Reader<'_>) -> Result<Field<()>, JsonError> {
    let found = is_object(reader)?;
    reader.skip_value()?;
    Ok(found)
}
