//! Signing an event: hashes, signature, ID.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#adding-hashes-and-signatures-to-outgoing-events>

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::PduError;
use super::hash::{Sha256Hash, content_hash, event_id, event_id_of};
use super::pdu::{Pdu, id_in_body};
use super::redaction::essential;
use super::signature::Sign;
use crate::id::{KeyId, ServerName};
use crate::json::{
    CanonicalDialect, Everything, Field, JsonError, JsonText, Kind, Reader, Without, canonical_part, canonicalize,
    push_string, read_object, read_object_field,
};
use crate::room_version::{EventIdFormat, RoomVersion};
use crate::unpadded_base64;

/// An event with its hash and signature, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedEvent {
    text: String,
    event_id: String,
}

impl SignedEvent {
    /// One of this server's own that was stored as canonical JSON.
    pub(crate) fn from_stored(version: RoomVersion, text: String) -> Result<Self, PduError> {
        let event_id = event_id(version, &text)?;
        Ok(Self { text, event_id })
    }

    /// The event, as canonical JSON.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the event as what the rules read. It knows its ID.
    ///
    /// # Errors
    ///
    /// [`PduError`] if what was stored of the event is not an event.
    pub fn pdu(&self) -> Result<Pdu<'_>, PduError> {
        Ok(Pdu::parse_stored(&self.text)?.with_event_id(self.event_id.as_str()))
    }

    /// Returns the event as canonical JSON.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }

    /// The ID of the event.
    #[must_use]
    pub fn event_id(&self) -> &str {
        &self.event_id
    }
}

/// The event itself.
impl Serialize for SignedEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        JsonText(&self.text).serialize(serializer)
    }
}

/// Why an event is not signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// It is no event, or has no canonical form.
    #[error(transparent)]
    Pdu(#[from] PduError),
    /// Its `signatures` are no object of objects of strings.
    #[error("`signatures` of the event is of the wrong kind")]
    Signatures,
    /// It has a content hash already, and that is not its hash: signing it would put a name to something else.
    #[error("the content hash in `hashes` is not that of the event")]
    Hash,
    /// It has an `event_id`, which since v3 is no part of an event.
    #[error("event has an `event_id`, which would be signed with it")]
    EventId,
    /// A key document is not signed by exactly its keys in use.
    #[error("`{key_id}` is either a key in use that does not sign or a signer that is not in use")]
    Signers {
        /// The key.
        key_id: String,
    },
}

/// Puts the content hash into an event and signs it.
///
/// An event that has its hash already is signed as it is: nothing but the signature is added, so that the event keeps its ID
/// and the signatures of other servers (as for an invite or a restricted join). The text has to be as it goes between
/// servers: since v3 without an `event_id`.
///
/// # Errors
///
/// [`SignError`]: there is nothing that could be signed, or nothing to sign it with.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "ed25519")] {
/// use matrix_knock::RoomVersion;
/// use matrix_knock::event::{Ed25519Key, sign_event};
/// use matrix_knock::id::ServerName;
///
/// let key = Ed25519Key::from_seed("ed25519:1", &[7; 32]).expect("a key ID");
/// let server = ServerName::parse("b.example").expect("a server name");
/// let event = r#"{"type":"m.room.member","content":{"membership":"knock"}}"#;
/// let signed = sign_event(RoomVersion::V10, event, server, &key).expect("an event");
/// assert!(signed.text().contains(r#""signatures":{"b.example":{"ed25519:1":""#));
/// assert!(signed.event_id().starts_with('$'));
/// # }
/// ```
pub fn sign_event(
    version: RoomVersion,
    text: &str,
    server: ServerName<'_>,
    signer: &(impl Sign + ?Sized),
) -> Result<SignedEvent, SignError> {
    let draft = Draft::prepare(version, text)?;
    let signature = signer.sign(draft.message.as_bytes());
    Ok(draft.sign(server, signer.key_id(), &signature))
}

/// An event that has its content hash and waits for a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draft {
    /// The members of the event with its hash, as canonical JSON: those in front of `signatures`, and those behind.
    around: [String; 2],
    /// The signatures that it had before.
    signatures: Signatures,
    /// What is signed.
    message: String,
    event_id: String,
}

impl Draft {
    pub(crate) fn prepare(version: RoomVersion, text: &str) -> Result<Self, SignError> {
        let dialect = CanonicalDialect::of(version);
        // Nobody signs `unsigned`, and it is no part of what is sent.
        let whole = canonical_part(text, dialect, Without(&["unsigned"])).map_err(PduError::Json)?;
        let found = Found::read(&whole)?;
        if found.has_event_id && version.rules().event_ids != EventIdFormat::InBody {
            return Err(SignError::EventId);
        }
        let hash = content_hash(version, &whole)?;
        let hashed = match found.sha256 {
            None => {
                let bare = canonicalize(&whole, dialect, Without(&["hashes"])).map_err(PduError::Json)?;
                let [front, behind] = bare.around("hashes");
                object([&front, &format!(r#""hashes":{{"sha256":"{hash}"}}"#), &behind])
            }
            Some(claimed) if Sha256Hash::from_base64(&claimed) == Some(hash) => whole.clone(),
            Some(_) => return Err(SignError::Hash),
        };
        let around = canonicalize(&hashed, dialect, Everything).map_err(PduError::Json)?.around("signatures");
        let essential = essential(version, &hashed)?;
        let event_id = match version.rules().event_ids {
            EventIdFormat::InBody => id_in_body(&whole)?,
            EventIdFormat::StandardHash | EventIdFormat::UrlSafeHash => {
                event_id_of(version, &Sha256Hash::of(&essential))
            }
        };
        let message = essential.into_text();
        Ok(Self { around, signatures: found.signatures, message, event_id })
    }

    /// The event with its hash, without signatures: what a draft can be prepared from again.
    pub(crate) fn hashed(&self) -> String {
        let [front, behind] = &self.around;
        object([front, "", behind])
    }

    /// What is to be signed.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Adds a signature.
    pub(crate) fn sign(self, server: ServerName<'_>, key_id: KeyId<'_>, signature: &[u8; 64]) -> SignedEvent {
        let mut signatures = self.signatures;
        let signature = unpadded_base64::encode(signature);
        signatures.entry(server.as_str().to_owned()).or_default().insert(key_id.as_str().to_owned(), signature);
        let [front, behind] = &self.around;
        let mut member = String::from(r#""signatures":"#);
        push_signatures(&mut member, &signatures);
        SignedEvent { text: object([front, &member, behind]), event_id: self.event_id }
    }
}

/// An event with one signature more, as canonical JSON. It was read before: whether its numbers are allowed was decided then.
pub(crate) fn with_signature(
    text: &str,
    server: ServerName<'_>,
    key_id: KeyId<'_>,
    signature: &[u8; 64],
) -> Result<String, JsonError> {
    let mut signatures = Signatures::new();
    read_object(text, |key, reader| {
        if key.is("signatures") { read_signatures(reader, &mut signatures).map(drop) } else { reader.skip_value() }
    })?;
    let of_server = signatures.entry(server.as_str().to_owned()).or_default();
    of_server.insert(key_id.as_str().to_owned(), unpadded_base64::encode(signature));
    let [front, behind] = canonicalize(text, CanonicalDialect::Lenient, Everything)?.around("signatures");
    let mut member = String::from(r#""signatures":"#);
    push_signatures(&mut member, &signatures);
    Ok(object([&front, &member, &behind]))
}

/// By server and key ID.
pub(super) type Signatures = BTreeMap<String, BTreeMap<String, String>>;

pub(super) fn push_signatures(out: &mut String, signatures: &Signatures) {
    push_object(out, signatures, |out, of_server| push_object(out, of_server, |out, text| push_string(out, text)));
}

/// An object of these groups of members. A group may be empty.
fn object(groups: [&str; 3]) -> String {
    let mut out = String::from("{");
    for group in groups.into_iter().filter(|group| !group.is_empty()) {
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(group);
    }
    out.push('}');
    out
}

pub(super) fn push_object<T>(out: &mut String, members: &BTreeMap<String, T>, mut push: impl FnMut(&mut String, &T)) {
    let mut separator = '{';
    for (key, value) in members {
        out.push(separator);
        push_string(out, key);
        out.push(':');
        push(out, value);
        separator = ',';
    }
    if members.is_empty() {
        out.push('{');
    }
    out.push('}');
}

/// What an event has already of what signing puts into it.
#[derive(Default)]
struct Found {
    signatures: Signatures,
    /// The `sha256` of `hashes`; empty if it is no string, which is no hash of anything.
    sha256: Option<String>,
    has_event_id: bool,
}

impl Found {
    fn read(text: &str) -> Result<Self, SignError> {
        let mut reader = Reader::new(text);
        if reader.kind().map_err(PduError::Json)? != Kind::Object {
            return Err(PduError::NotAnObject.into());
        }
        let mut found = Self::default();
        let mut well_formed = true;
        let read = reader.object(|key, reader| {
            match () {
                () if key.is("signatures") => well_formed &= read_signatures(reader, &mut found.signatures)?,
                () if key.is("hashes") => found.sha256 = read_sha256(reader)?,
                () => {
                    found.has_event_id |= key.is("event_id");
                    reader.skip_value()?;
                }
            }
            Ok(())
        });
        read.map_err(PduError::Json)?;
        if well_formed { Ok(found) } else { Err(SignError::Signatures) }
    }
}

/// Reads an object of objects of strings. Whether it was one.
fn read_signatures(reader: &mut Reader<'_>, found: &mut Signatures) -> Result<bool, JsonError> {
    let mut well_formed = true;
    let is_object = read_object_field(reader, |server, reader| {
        let of_server = found.entry(server.text().into_owned()).or_default();
        let is_object = read_object_field(reader, |key_id, reader| {
            match reader.string_field()? {
                Field::Is(signature) => {
                    of_server.insert(key_id.text().into_owned(), signature.text().into_owned());
                }
                Field::Missing | Field::Malformed => well_formed = false,
            }
            Ok(())
        })?;
        well_formed = well_formed && is_object;
        Ok(())
    })?;
    Ok(is_object && well_formed)
}

fn read_sha256(reader: &mut Reader<'_>) -> Result<Option<String>, JsonError> {
    let mut sha256 = None;
    read_object_field(reader, |name, reader| {
        let value = reader.string_field()?;
        if name.is("sha256") {
            sha256 = Some(match value {
                Field::Is(hash) => hash.text().into_owned(),
                Field::Missing | Field::Malformed => String::new(),
            });
        }
        Ok(())
    })?;
    Ok(sha256)
}
