//! Requests between servers, authenticated: the `X-Matrix` scheme of the `Authorization` header.
//!
//! The sending server signs method, URI, both server names and the body; the receiving one checks that. The body is
//! canonicalized here with room for what comes around an event ([`MAX_CONTAINER_DEPTH`](crate::json::MAX_CONTAINER_DEPTH)
//! levels), so an event of the greatest depth can be sent on.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#request-authentication>
//!
//! # Examples
//!
//! ```
//! # #[cfg(feature = "ed25519")] {
//! use matrix_knock::Ed25519;
//! use matrix_knock::event::{Ed25519Key, KeyValidity, KeysFn, VerifyKey};
//! use matrix_knock::id::ServerName;
//! use matrix_knock::x_matrix::{Authorization, SignedRequest};
//!
//! let (origin, destination) = (ServerName::parse("b.example")?, ServerName::parse("a.example")?);
//! let request = SignedRequest {
//!     method: "PUT",
//!     uri: "/_matrix/federation/v1/send_knock/%21r%3Aa.example/%24event",
//!     origin,
//!     destination,
//!     content: Some(r#"{ "type": "m.room.member" }"#),
//! };
//! let key = Ed25519Key::from_seed("ed25519:1", &[7; 32])?;
//! let header = request.sign(&key)?.to_string();
//! assert!(header.starts_with(r#"X-Matrix origin="b.example",destination="a.example",key="ed25519:1",sig=""#));
//!
//! // The other server reads the header, fetches that key, and checks the request.
//! let authorization = Authorization::parse(&header)?;
//! assert_eq!((authorization.origin(), authorization.key_id().as_str()), (origin, "ed25519:1"));
//! let public_key = key.public_key();
//! let keys = KeysFn(|_: &str, _: &str| Some(VerifyKey { public_key, validity: KeyValidity::Forever }));
//! let content = r#"{"type":"m.room.member"}"#;
//! let (method, uri) = (request.method, request.uri);
//! authorization.verify(method, uri, Some(content), destination, &keys, &Ed25519, 1_700_000_000_000)?;
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::str::FromStr;

use crate::error::{Errcode, ErrorResponse};
use crate::event::{Keys, Sign, Verify};
use crate::id::{IdError, KeyId, OwnedKeyId, OwnedServerName, ServerName};
use crate::json::{CanonicalDialect, JsonError, canonical_container, push_string};
use crate::unpadded_base64;

/// The longest header that is read, in bytes.
pub const MAX_HEADER_BYTES: usize = 8192;

/// A request as its sender signs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedRequest<'a> {
    /// The method, in upper case: `PUT`.
    pub method: &'a str,
    /// Path and query as they are sent, percent-encoded, from the first `/`.
    pub uri: &'a str,
    /// The sending server.
    pub origin: ServerName<'a>,
    /// The receiving server, by its name before delegation.
    pub destination: ServerName<'a>,
    /// The body, a JSON text, if there is one.
    pub content: Option<&'a str>,
}

/// What an `Authorization` header of the scheme `X-Matrix` says. `Display` writes the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    origin: OwnedServerName,
    destination: Option<OwnedServerName>,
    key_id: OwnedKeyId,
    signature: [u8; 64],
}

/// Why a request is not authenticated, or cannot be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum XMatrixError {
    /// The header is longer than [`MAX_HEADER_BYTES`].
    #[error("header of {bytes} bytes, more than {MAX_HEADER_BYTES}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// The header is of another scheme.
    #[error("the scheme is not `X-Matrix`")]
    Scheme,
    /// The header is not a list of parameters.
    #[error("malformed parameters")]
    Parameters,
    /// A parameter is missing.
    #[error("no `{0}`")]
    Missing(&'static str),
    /// A parameter occurs twice.
    #[error("`{0}` occurs twice")]
    Repeated(&'static str),
    /// A parameter is not a server name.
    #[error("`{parameter}` {error}")]
    ServerName {
        /// The parameter.
        parameter: &'static str,
        /// What is wrong with it.
        error: IdError,
    },
    /// The key ID is not `ed25519:` and a version.
    #[error("`key` is not an ed25519 key ID")]
    KeyId,
    /// The signature is not 64 bytes of base64.
    #[error("`sig` is not a signature")]
    Signature,
    /// The request is for another server.
    #[error("the request is for another server")]
    OtherDestination,
    /// The body has no canonical form.
    #[error("the body: {0}")]
    Content(#[from] JsonError),
    /// The key is not known.
    #[error("unknown key")]
    UnknownKey,
    /// The key does not count any more.
    #[error("expired key")]
    ExpiredKey,
    /// The signature does not verify.
    #[error("the signature does not verify")]
    BadSignature,
}

impl XMatrixError {
    /// Returns the answer to the request: 401 `M_UNAUTHORIZED`; 400 `M_NOT_JSON` or `M_BAD_JSON` if the body is at fault.
    #[must_use]
    pub fn to_response(&self) -> ErrorResponse {
        let (errcode, error) = match self {
            Self::TooLong { .. }
            | Self::Scheme
            | Self::Parameters
            | Self::Missing(_)
            | Self::Repeated(_)
            | Self::ServerName { .. }
            | Self::KeyId
            | Self::Signature => (Errcode::Unauthorized, "Malformed `Authorization` header"),
            Self::OtherDestination => (Errcode::Unauthorized, "The request is for another server"),
            Self::Content(error) => Errcode::of_unread_body(error.kind()),
            Self::UnknownKey | Self::ExpiredKey | Self::BadSignature => {
                (Errcode::Unauthorized, "The signature of the request does not verify")
            }
        };
        ErrorResponse::new(errcode, error)
    }
}

impl From<XMatrixError> for ErrorResponse {
    fn from(error: XMatrixError) -> Self {
        error.to_response()
    }
}

impl SignedRequest<'_> {
    /// Returns the text that is signed: canonical JSON.
    ///
    /// # Errors
    ///
    /// [`JsonError`] if the body has no canonical form.
    pub fn message(&self) -> Result<String, JsonError> {
        let mut out = String::from("{");
        if let Some(content) = self.content {
            // Requests carry events of all room versions: numbers as those of before v6 have them.
            out.push_str(r#""content":"#);
            out.push_str(&canonical_container(content, CanonicalDialect::Lenient)?);
            out.push(',');
        }
        for (name, value) in [
            (r#""destination":"#, self.destination.as_str()),
            (r#","method":"#, self.method),
            (r#","origin":"#, self.origin.as_str()),
            (r#","uri":"#, self.uri),
        ] {
            out.push_str(name);
            push_string(&mut out, value);
        }
        out.push('}');
        Ok(out)
    }

    /// Signs the request with a key of the sending server. Returns what goes into the `Authorization` header.
    ///
    /// # Errors
    ///
    /// [`JsonError`] if the body has no canonical form.
    pub fn sign(&self, signer: &(impl Sign + ?Sized)) -> Result<Authorization, JsonError> {
        let key_id = signer.key_id().into_owned();
        let signature = signer.sign(self.message()?.as_bytes());
        let (origin, destination) = (self.origin.into_owned(), Some(self.destination.into_owned()));
        Ok(Authorization { origin, destination, key_id, signature })
    }
}

impl Authorization {
    /// Reads the value of an `Authorization` header.
    ///
    /// The scheme and the names of the parameters are read without case; values may stand with or without quotes, and colons
    /// without. Unknown parameters and empty elements of the list are ignored, and so is a missing `destination`, which servers
    /// before v1.3 did not send.
    ///
    /// # Errors
    ///
    /// [`XMatrixError`], by the first thing that is wrong.
    pub fn parse(header: &str) -> Result<Self, XMatrixError> {
        if header.len() > MAX_HEADER_BYTES {
            return Err(XMatrixError::TooLong { bytes: header.len() });
        }
        let header = header.trim_matches(SPACE);
        let (scheme, mut rest) = header.split_once(' ').unwrap_or((header, ""));
        if !scheme.eq_ignore_ascii_case("X-Matrix") {
            return Err(XMatrixError::Scheme);
        }
        let mut found = Found::default();
        loop {
            // Elements of a list may be empty: <https://www.rfc-editor.org/rfc/rfc9110#section-5.6.1.2>
            rest = rest.trim_start_matches([' ', '\t', ',']);
            if rest.is_empty() {
                return found.authorization();
            }
            let (name, value, behind) = parameter(rest).ok_or(XMatrixError::Parameters)?;
            found.put(name, value)?;
            if !(behind.is_empty() || behind.starts_with(',')) {
                return Err(XMatrixError::Parameters);
            }
            rest = behind;
        }
    }

    /// Returns the sending server, whose key is needed. It is not to be believed before [`verify`](Self::verify).
    #[must_use]
    pub const fn origin(&self) -> ServerName<'_> {
        self.origin.as_borrowed()
    }

    /// Returns the ID of the key that has signed the request.
    #[must_use]
    pub const fn key_id(&self) -> KeyId<'_> {
        self.key_id.as_borrowed()
    }

    /// Checks that the sending server has signed this request to this server (`own`). `now` is the time in milliseconds since
    /// the Unix epoch: a key counts as long as it is valid. Returns the sending server.
    ///
    /// `uri` is path and query as they came, `content` the body, if there is one.
    ///
    /// # Errors
    ///
    /// [`XMatrixError::OtherDestination`], [`Content`](XMatrixError::Content), [`UnknownKey`](XMatrixError::UnknownKey),
    /// [`ExpiredKey`](XMatrixError::ExpiredKey), [`BadSignature`](XMatrixError::BadSignature).
    #[expect(clippy::too_many_arguments, reason = "each is a part of the request or of the check, and of another type")]
    pub fn verify(
        &self,
        method: &str,
        uri: &str,
        content: Option<&str>,
        own: ServerName<'_>,
        keys: &(impl Keys + ?Sized),
        verifier: &(impl Verify + ?Sized),
        now: u64,
    ) -> Result<ServerName<'_>, XMatrixError> {
        if self.destination.as_ref().is_some_and(|destination| *destination != own) {
            return Err(XMatrixError::OtherDestination);
        }
        let origin = self.origin();
        let key = keys.key(origin.as_str(), self.key_id.as_str()).ok_or(XMatrixError::UnknownKey)?;
        if !key.validity.counts_now(now) {
            return Err(XMatrixError::ExpiredKey);
        }
        let request = SignedRequest { method, uri, origin, destination: own, content };
        match verifier.verify(&key.public_key, request.message()?.as_bytes(), &self.signature) {
            true => Ok(origin),
            false => Err(XMatrixError::BadSignature),
        }
    }
}

impl fmt::Display for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, r#"X-Matrix origin="{}""#, self.origin)?;
        if let Some(destination) = &self.destination {
            write!(f, r#",destination="{destination}""#)?;
        }
        write!(f, r#",key="{}",sig="{}""#, self.key_id, unpadded_base64::encode(&self.signature))
    }
}

impl FromStr for Authorization {
    type Err = XMatrixError;

    fn from_str(header: &str) -> Result<Self, XMatrixError> {
        Self::parse(header)
    }
}

/// The parameters that are looked for.
#[derive(Default)]
struct Found {
    origin: Option<String>,
    destination: Option<String>,
    key: Option<String>,
    sig: Option<String>,
}

impl Found {
    fn put(&mut self, name: &str, value: String) -> Result<(), XMatrixError> {
        let (slot, name) = match () {
            () if name.eq_ignore_ascii_case("origin") => (&mut self.origin, "origin"),
            () if name.eq_ignore_ascii_case("destination") => (&mut self.destination, "destination"),
            () if name.eq_ignore_ascii_case("key") => (&mut self.key, "key"),
            // DEVIATION: the list of parameters calls it `signature`; the example, and every server, `sig`.
            () if name.eq_ignore_ascii_case("sig") => (&mut self.sig, "sig"),
            () => return Ok(()),
        };
        match slot.replace(value) {
            Some(_) => Err(XMatrixError::Repeated(name)),
            None => Ok(()),
        }
    }

    fn authorization(self) -> Result<Authorization, XMatrixError> {
        let server = |parameter, value: String| {
            OwnedServerName::parse(value).map_err(|error| XMatrixError::ServerName { parameter, error })
        };
        let origin = server("origin", self.origin.ok_or(XMatrixError::Missing("origin"))?)?;
        let destination = self.destination.map(|value| server("destination", value)).transpose()?;
        let key_id = self.key.ok_or(XMatrixError::Missing("key"))?;
        let key_id = OwnedKeyId::parse(key_id).map_err(|_| XMatrixError::KeyId)?;
        let signature = self.sig.ok_or(XMatrixError::Missing("sig"))?;
        let signature = unpadded_base64::decode(&signature).ok_or(XMatrixError::Signature)?;
        Ok(Authorization { origin, destination, key_id, signature })
    }
}

const SPACE: [char; 2] = [' ', '\t'];

/// Reads a parameter with the white space behind it: its name, its value, and what stands behind.
fn parameter(text: &str) -> Option<(&str, String, &str)> {
    let (name, rest) = text.split_once('=')?;
    let name = name.trim_end_matches(SPACE);
    if name.is_empty() || !name.bytes().all(is_token) {
        return None;
    }
    let rest = rest.trim_start_matches(SPACE);
    let (value, behind) = match rest.strip_prefix('"') {
        Some(quoted) => quoted_value(quoted)?,
        None => {
            let end = rest.bytes().position(|byte| !(is_token(byte) || is_lenient(byte))).unwrap_or(rest.len());
            let (value, behind) = rest.split_at_checked(end).filter(|(value, _)| !value.is_empty())?;
            (value.to_owned(), behind)
        }
    };
    Some((name, value, behind.trim_start_matches(SPACE)))
}

/// Reads a value in quotes, behind the first.
///
/// <https://www.rfc-editor.org/rfc/rfc9110#section-5.6.4>
fn quoted_value(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.chars();
    loop {
        let character = match chars.next()? {
            '"' => return Some((value, chars.as_str())),
            '\\' => chars.next()?,
            character => character,
        };
        if character.is_ascii_control() && character != '\t' {
            return None;
        }
        value.push(character);
    }
}

/// <https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2>
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

/// What stands in values without quotes besides: colons, as the text has it.
///
/// DEVIATION: the text wants quotes around what base64 and IPv6 addresses have. Synapse reads it without.
const fn is_lenient(byte: u8) -> bool {
    matches!(byte, b':' | b'/' | b'=' | b'[' | b']')
}
