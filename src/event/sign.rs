//! Signing an event: hashes, signature, ID.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#adding-hashes-and-signatures-to-outgoing-events>

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;

use super::PduError;
use super::content::read_object_field;
use super::hash::{Sha256Hash, content_hash, event_id_of};
use super::pdu::id_in_body;
use super::redaction::essential;
use crate::id::ServerName;
use crate::json::{CanonicalDialect, Field, JsonError, Kind, Reader, Without, canonical, canonical_part, push_string};
use crate::room_version::{EventIdFormat, RoomVersion};

/// Makes ed25519 signatures with a key of this server.
pub trait Sign {
    /// The ID of the key: `ed25519:` and a version of letters, digits and `_`.
    fn key_id(&self) -> &str;

    /// Signs the message.
    fn sign(&self, message: &[u8]) -> [u8; 64];
}

/// An event with its hash and signature, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedEvent {
    text: String,
    event_id: String,
}

impl SignedEvent {
    /// The event, as canonical JSON.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The ID of the event.
    #[must_use]
    pub fn event_id(&self) -> &str {
        &self.event_id
    }
}

/// Why an event is not signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// It is no event, or has no canonical form.
    #[error(transparent)]
    Pdu(#[from] PduError),
    /// Its `signatures` are no object of objects of strings.
    #[error("`signatures` of the event is of the wrong kind")]
    Signatures,
    /// The key's ID is not `ed25519:` and a version.
    #[error("the key ID `{key_id}` is not `ed25519:` and a version")]
    KeyId {
        /// The ID.
        key_id: String,
    },
}

/// Puts the content hash into an event and signs it. Signatures that it has already stay.
///
/// The text is taken as it goes between servers: an `event_id` that a host has noted in it is signed too.
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
/// let key = Ed25519Key::from_seed("ed25519:1", &[7; 32]);
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
    signer: &impl Sign,
) -> Result<SignedEvent, SignError> {
    let key_id = signer.key_id();
    if !is_key_id(key_id) {
        return Err(SignError::KeyId { key_id: key_id.to_owned() });
    }
    let dialect = CanonicalDialect::of(version);
    let mut signatures = signatures_in(text)?;
    let hash = content_hash(version, text).map_err(PduError::Json)?;
    let bare = canonical_part(text, dialect, Without(&["hashes", "signatures"])).map_err(PduError::Json)?;
    let hashed = with_members(&bare, &format!(r#""hashes":{{"sha256":"{hash}"}}"#));
    let message = essential(version, &hashed)?;
    let signature = BASE64_STANDARD_NO_PAD.encode(signer.sign(message.as_bytes()));
    signatures.entry(server.as_str().to_owned()).or_default().insert(key_id.to_owned(), signature);

    let mut members = String::from(r#""signatures":"#);
    push_signatures(&mut members, &signatures);
    let text = canonical(&with_members(&hashed, &members), dialect).map_err(PduError::Json)?;
    let event_id = match version.rules().event_ids {
        EventIdFormat::InBody => id_in_body(&text)?,
        EventIdFormat::StandardHash | EventIdFormat::UrlSafeHash => event_id_of(version, &Sha256Hash::of(&message)),
    };
    Ok(SignedEvent { text, event_id })
}

type Signatures = BTreeMap<String, BTreeMap<String, String>>;

/// An object with more members, not in order.
fn with_members(object: &str, members: &str) -> String {
    match object.strip_suffix('}') {
        Some("{") => format!("{{{members}}}"),
        Some(rest) => format!("{rest},{members}}}"),
        None => object.to_owned(),
    }
}

fn push_signatures(out: &mut String, signatures: &Signatures) {
    push_object(out, signatures, |out, of_server| push_object(out, of_server, |out, text| push_string(out, text)));
}

fn push_object<T>(out: &mut String, members: &BTreeMap<String, T>, mut push: impl FnMut(&mut String, &T)) {
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

fn is_key_id(key_id: &str) -> bool {
    key_id.strip_prefix("ed25519:").is_some_and(|version| {
        !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

/// The signatures that the event has already.
fn signatures_in(text: &str) -> Result<Signatures, SignError> {
    let mut reader = Reader::new(text);
    if reader.kind().map_err(PduError::Json)? != Kind::Object {
        return Err(PduError::NotAnObject.into());
    }
    let mut found = Signatures::new();
    let mut well_formed = true;
    let read = reader.object(|key, reader| {
        if !key.is("signatures") {
            return reader.skip().map(drop);
        }
        well_formed &= read_object_field(reader, |server, reader| {
            let of_server = found.entry(server.text().into_owned()).or_default();
            let is_object = read_object_field(reader, |key_id, reader| {
                match reader.string_field()? {
                    Field::Is(signature) => {
                        of_server.insert(key_id.text().into_owned(), signature.text().into_owned());
                    }
                    Field::Missing | Field::Malformed => well_formed = false,
                }
                Ok::<(), JsonError>(())
            })?;
            well_formed = well_formed && is_object;
            Ok(())
        })?;
        Ok(())
    });
    read.map_err(PduError::Json)?;
    if well_formed { Ok(found) } else { Err(SignError::Signatures) }
}
