//! Hashes of an event, and the IDs that are made of them.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#calculating-the-reference-hash-for-an-event>

use std::fmt;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use super::PduError;
use super::pdu::{Pdu, id_in_body};
use super::redaction::{essential, essential_of_stored};
use crate::json::{Canonical, CanonicalDialect, JsonError, Kind, Reader, Without, canonicalize};
use crate::room_version::{EventIdFormat, RoomVersion};
use crate::unpadded_base64;

/// A SHA-256 hash. `Display` writes it in unpadded standard base64, as the `hashes` of an event have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256Hash([u8; 32]);

impl Sha256Hash {
    pub(crate) fn of_text(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    pub(crate) fn of(value: &Canonical<'_>) -> Self {
        Self::of_parts(|part| value.each_part(part))
    }

    /// The hash of a text in parts.
    fn of_parts(each: impl FnOnce(&mut dyn FnMut(&str))) -> Self {
        let mut hasher = Sha256::new();
        each(&mut |part| hasher.update(part.as_bytes()));
        Self(hasher.finalize().into())
    }

    /// The hash that base64 stands for: standard or URL-safe alphabet, with or without padding.
    #[must_use]
    pub fn from_base64(text: &str) -> Option<Self> {
        unpadded_base64::decode(text).map(Self)
    }

    /// The hash itself.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Sha256Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&unpadded_base64::encode(&self.0))
    }
}

/// The content hash: of the whole event but for `hashes`, `signatures` and `unsigned`, which need not be canonical.
///
/// The text is taken as it goes between servers: an `event_id` that a host has noted in it counts.
///
/// # Errors
///
/// [`PduError`] if the text is no JSON object, or what is hashed is not canonical in the version's dialect.
pub fn content_hash(version: RoomVersion, text: &str) -> Result<Sha256Hash, PduError> {
    let hashed = canonicalize(text, CanonicalDialect::of(version), HASHED)?;
    if hashed.is_object() { Ok(Sha256Hash::of(&hashed)) } else { Err(PduError::NotAnObject) }
}

/// What the content hash is made of.
const HASHED: Without<'_> = Without(&["hashes", "signatures", "unsigned"]);

/// [`content_hash`] of an event that was read.
pub(crate) fn content_hash_of(version: RoomVersion, pdu: &Pdu<'_>) -> Result<Sha256Hash, PduError> {
    match pdu.canonical() {
        Some(canonical) => Ok(Sha256Hash::of_parts(|part| canonical.each_part_without(HASHED.0, part))),
        None => Ok(Sha256Hash::of_text(&pdu.canonical_part(CanonicalDialect::of(version), HASHED)?)),
    }
}

/// An event without the `event_id` that a host may have noted in it; the rest of the text stays as it is. Before v3 the
/// `event_id` is part of the event, and stays.
///
/// # Errors
///
/// [`JsonError`] if the text is no JSON.
pub fn without_event_id(version: RoomVersion, text: &str) -> Result<String, JsonError> {
    let mut reader = Reader::new(text);
    if version.rules().event_ids == EventIdFormat::InBody || reader.kind()? != Kind::Object {
        return Ok(text.to_owned());
    }
    let mut out = String::with_capacity(text.len());
    reader.object(|key, reader| {
        let (value, ()) = match key.is("unsigned") {
            true => reader.with_text(Reader::skip_unsigned)?,
            false => reader.with_text(Reader::skip_value)?,
        };
        if !key.is("event_id") {
            out.push(if out.is_empty() { '{' } else { ',' });
            key.push_as_written(&mut out);
            out.push(':');
            out.push_str(value);
        }
        Ok(())
    })?;
    reader.end()?;
    out.push_str(if out.is_empty() { "{}" } else { "}" });
    Ok(out)
}

/// The reference hash: of the redacted event without its signatures. Event IDs are made of it since v3.
///
/// # Errors
///
/// [`PduError`] if the text is no JSON object, has no `type`, or what a redaction leaves is not canonical.
pub fn reference_hash(version: RoomVersion, text: &str) -> Result<Sha256Hash, PduError> {
    Ok(Sha256Hash::of(&essential(version, text)?))
}

/// The ID of an event: its reference hash since v3, before what its `event_id` says.
///
/// # Errors
///
/// As [`reference_hash`]; in versions 1 and 2 an event without an `event_id` has none.
///
/// # Examples
///
/// ```
/// use matrix_knock::RoomVersion;
/// use matrix_knock::event::event_id;
///
/// let event = r#"{"type":"X","depth":6,"content":{}}"#;
/// assert_eq!(event_id(RoomVersion::V3, event)?, "$q/w7YUBP7NR3arNe5+SzZFtyE6qxaqfvoaOtbxaD6es");
/// assert_eq!(event_id(RoomVersion::V4, event)?, "$q_w7YUBP7NR3arNe5-SzZFtyE6qxaqfvoaOtbxaD6es");
/// # Ok::<(), matrix_knock::event::PduError>(())
/// ```
pub fn event_id(version: RoomVersion, text: &str) -> Result<String, PduError> {
    match version.rules().event_ids {
        EventIdFormat::InBody => id_in_body(text),
        EventIdFormat::StandardHash | EventIdFormat::UrlSafeHash => {
            Ok(event_id_of(version, &reference_hash(version, text)?))
        }
    }
}

/// The ID of an event that stands in a database, as whoever took it computed it: with whatever numbers it has.
///
/// Since v6 an event has integers within ±(2^53-1) only, and [`event_id`] refuses others. Servers have taken such events all
/// the same, with a `depth` of 2^64-1 for example. This function is for these; an event that comes in has no ID of this kind.
///
/// # Errors
///
/// As [`event_id`], but for numbers that the version does not have.
///
/// # Examples
///
/// ```
/// use matrix_knock::RoomVersion;
/// use matrix_knock::event::{event_id, event_id_of_stored};
///
/// let event = r#"{"type":"X","depth":18446744073709551615,"content":{}}"#;
/// assert!(event_id(RoomVersion::V10, event).is_err());
/// let id = event_id_of_stored(RoomVersion::V10, event)?;
/// assert_eq!(Ok(id), event_id(RoomVersion::V5, event));
/// # Ok::<(), matrix_knock::event::PduError>(())
/// ```
pub fn event_id_of_stored(version: RoomVersion, text: &str) -> Result<String, PduError> {
    match version.rules().event_ids {
        EventIdFormat::InBody => id_in_body(text),
        EventIdFormat::StandardHash | EventIdFormat::UrlSafeHash => {
            Ok(event_id_of(version, &Sha256Hash::of(&essential_of_stored(version, text)?)))
        }
    }
}

/// The event ID that a reference hash makes since v3.
pub(crate) fn event_id_of(version: RoomVersion, hash: &Sha256Hash) -> String {
    let engine = match version.rules().event_ids {
        EventIdFormat::InBody | EventIdFormat::StandardHash => &BASE64_STANDARD_NO_PAD,
        EventIdFormat::UrlSafeHash => &BASE64_URL_SAFE_NO_PAD,
    };
    let mut base64 = [0; 43];
    // 256 bits make 43 characters: they fit, and are ASCII.
    let length = engine.encode_slice(hash.0, &mut base64).unwrap_or_default();
    let opaque = base64.get(..length).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default();
    ["$", opaque].concat()
}

/// The room ID that a create event makes since v12: its event ID with another sigil. None before.
#[must_use]
pub fn room_id_of_create(version: RoomVersion, create_event_id: &str) -> Option<String> {
    let opaque = create_event_id.strip_prefix('$').filter(|_| version.rules().create_event_is_room_id)?;
    Some(format!("!{opaque}"))
}
