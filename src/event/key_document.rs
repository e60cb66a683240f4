//! The key document of this server, written and signed.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#get_matrixkeyv2server>

use std::collections::BTreeMap;

use super::sign::{SignError, Signatures, push_object, push_signatures};
use super::signature::Sign;
use crate::id::{KeyId, ServerName};
use crate::json::push_string;
use crate::unpadded_base64;

/// The keys that this server publishes: the body of its answer to `GET /_matrix/key/v2/server`.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "ed25519")] {
/// use matrix_knock::Ed25519;
/// use matrix_knock::event::{Ed25519Key, KeyDocument, Keys, ServerKeys, Sign};
/// use matrix_knock::id::{KeyId, ServerName};
///
/// let server = ServerName::parse("a.example")?;
/// let key = Ed25519Key::from_seed("ed25519:2", &[7; 32])?;
/// let document = KeyDocument::new(server, 1_700_000_000_000)
///     .with_key(key.key_id(), key.public_key())
///     .with_old_key(KeyId::parse("ed25519:1")?, [1; 32], 1_600_000_000_000)
///     .sign(&[&key])?;
///
/// // What another server makes of it.
/// let keys = ServerKeys::parse(server, &document, &Ed25519)?;
/// assert!(keys.key("a.example", "ed25519:2").is_some());
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDocument<'a> {
    server: ServerName<'a>,
    valid_until_ts: u64,
    keys: BTreeMap<String, [u8; 32]>,
    /// With `expired_ts`.
    old_keys: BTreeMap<String, ([u8; 32], u64)>,
}

/// The highest integer that canonical JSON has.
const MAX_INTEGER: u64 = (1 << 53) - 1;

impl<'a> KeyDocument<'a> {
    /// Creates a document without keys. The keys count until `valid_until_ts`, in milliseconds since the Unix epoch; other
    /// servers trust them for seven days at most. A time beyond 2^53-1, the highest integer of canonical JSON, is written as that.
    #[must_use]
    pub const fn new(server: ServerName<'a>, valid_until_ts: u64) -> Self {
        Self { server, valid_until_ts, keys: BTreeMap::new(), old_keys: BTreeMap::new() }
    }

    /// Adds a key in use.
    #[must_use]
    pub fn with_key(mut self, key_id: KeyId<'_>, public_key: [u8; 32]) -> Self {
        self.keys.insert(key_id.as_str().to_owned(), public_key);
        self
    }

    /// Adds a key that was in use until `expired_ts`, in milliseconds since the Unix epoch, at most 2^53-1.
    #[must_use]
    pub fn with_old_key(mut self, key_id: KeyId<'_>, public_key: [u8; 32], expired_ts: u64) -> Self {
        self.old_keys.insert(key_id.as_str().to_owned(), (public_key, expired_ts));
        self
    }

    /// Returns the document as canonical JSON, signed by these keys: each of those in use has to be among them, or other
    /// servers do not take the document. Nor do they take one without a key in use.
    ///
    /// # Errors
    ///
    /// [`SignError::Signers`] if a key in use does not sign, or a signer is not a key in use.
    pub fn sign(&self, signers: &[&dyn Sign]) -> Result<String, SignError> {
        let not_signing = self.keys.keys().find(|key_id| !signers.iter().any(|signer| signer.key_id() == **key_id));
        let mut signing = signers.iter().map(|signer| signer.key_id().as_str());
        let not_in_use = signing.find(|key_id| !self.keys.contains_key(*key_id));
        if let Some(key_id) = not_in_use.or(not_signing.map(String::as_str)) {
            return Err(SignError::Signers { key_id: key_id.to_owned() });
        }
        let message = self.text(None);
        let mut signatures = Signatures::new();
        let own = signatures.entry(self.server.as_str().to_owned()).or_default();
        for signer in signers {
            let signature = signer.sign(message.as_bytes());
            own.insert(signer.key_id().as_str().to_owned(), unpadded_base64::encode(&signature));
        }
        Ok(self.text(Some(&signatures)))
    }

    /// The document as canonical JSON. Without signatures it is what is signed.
    fn text(&self, signatures: Option<&Signatures>) -> String {
        let mut out = String::from(r#"{"old_verify_keys":"#);
        push_object(&mut out, &self.old_keys, |out, (key, expired_ts)| {
            let (key, expired_ts) = (unpadded_base64::encode(key), (*expired_ts).min(MAX_INTEGER));
            out.push_str(&format!(r#"{{"expired_ts":{expired_ts},"key":"{key}"}}"#));
        });
        out.push_str(r#","server_name":"#);
        push_string(&mut out, self.server.as_str());
        if let Some(signatures) = signatures {
            out.push_str(r#","signatures":"#);
            push_signatures(&mut out, signatures);
        }
        out.push_str(&format!(r#","valid_until_ts":{},"verify_keys":"#, self.valid_until_ts.min(MAX_INTEGER)));
        push_object(&mut out, &self.keys, |out, key| {
            out.push_str(&format!(r#"{{"key":"{}"}}"#, unpadded_base64::encode(key)));
        });
        out.push('}');
        out
    }
}

#[cfg(all(test, feature = "ed25519"))]
mod tests {
    use super::*;
    use crate::event::{Ed25519, Ed25519Key, KeyValidity, Keys as _, ServerKeys, VerifyKey};

    const SERVER: &str = "a.example";

    #[test]
    fn what_others_read() {
        let server = ServerName::parse(SERVER).unwrap();
        let [one, two] = ["ed25519:b", "ed25519:a"].map(|key_id| Ed25519Key::from_seed(key_id, &[7; 32]).unwrap());
        let document = KeyDocument::new(server, u64::MAX)
            .with_key(one.key_id(), one.public_key())
            .with_key(two.key_id(), two.public_key())
            .with_old_key(KeyId::parse("ed25519:old").unwrap(), [1; 32], 5);
        let keys = ServerKeys::parse(server, &document.sign(&[&one, &two]).unwrap(), &Ed25519).unwrap();
        assert_eq!(keys.server_name(), server);
        let until = KeyValidity::Until(MAX_INTEGER);
        for (key_id, public_key, validity) in [
            ("ed25519:a", two.public_key(), until),
            ("ed25519:b", one.public_key(), until),
            ("ed25519:old", [1; 32], KeyValidity::Expired(5)),
        ] {
            assert_eq!(keys.key(SERVER, key_id), Some(VerifyKey { public_key, validity }));
        }
        let refused = |signers: &[&dyn Sign]| document.sign(signers).unwrap_err().to_string();
        assert_eq!(
            refused(&[&one]),
            "`ed25519:a` is either a key in use that does not sign or a signer that is not in use"
        );
        let other = Ed25519Key::from_seed("ed25519:c", &[8; 32]).unwrap();
        assert_eq!(
            refused(&[&one, &two, &other]),
            "`ed25519:c` is either a key in use that does not sign or a signer that is not in use"
        );
    }

    #[test]
    fn as_it_is_written() {
        let server = ServerName::parse(SERVER).unwrap();
        let key = Ed25519Key::from_seed("ed25519:1", &[7; 32]).unwrap();
        let document = KeyDocument::new(server, 9).with_key(key.key_id(), [0; 32]);
        let text = document.sign(&[&key]).unwrap();
        let start = r#"{"old_verify_keys":{},"server_name":"a.example","signatures":{"a.example":{"ed25519:1":""#;
        let end = r#""}},"valid_until_ts":9,"verify_keys":{"ed25519:1":{"key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}}}"#;
        assert!(text.starts_with(start) && text.ends_with(end), "{text}");
    }
}
