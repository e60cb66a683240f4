//! The keys of servers, and until when they count.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#retrieving-server-keys>

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::BuildHasher;
use std::rc::Rc;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::signature::{ServerSignatures, Verify, check_server_signatures};
use crate::id::{OwnedServerName, ServerName};
use crate::json::{
    CanonicalDialect, Field, JsonError, Kind, Reader, Str, Without, canonical_part, read_object, read_object_field,
};
use crate::room_version::RoomVersionRules;
use crate::unpadded_base64;

/// The longest key document that is looked at, in bytes.
pub const MAX_KEY_DOCUMENT_BYTES: usize = 65_536;

/// Seven days in milliseconds: no key is trusted for longer, whatever its server says.
const SEVEN_DAYS: u64 = 7 * 24 * 60 * 60 * 1000;

/// A public key of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VerifyKey {
    /// The key itself: ed25519, 32 bytes. With serde, unpadded base64.
    #[serde(with = "unpadded_base64::bytes")]
    pub public_key: [u8; 32],
    /// For which events it counts.
    pub validity: KeyValidity,
}

impl VerifyKey {
    /// The key that base64 stands for: standard or URL-safe alphabet, with or without padding.
    #[must_use]
    pub fn from_base64(text: &str, validity: KeyValidity) -> Option<Self> {
        unpadded_base64::decode(text).map(|public_key| Self { public_key, validity })
    }
}

/// For which events a key counts, by their `origin_server_ts`. Times are in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyValidity {
    /// A key in use: since v5 for events not later than `valid_until_ts`, itself at most seven days from now. Before v5
    /// for all.
    Until(u64),
    /// A key that was replaced: for events not later than its `expired_ts`, in every version.
    Expired(u64),
    /// A key that is never questioned.
    Forever,
}

impl KeyValidity {
    /// Whether the key counts for a request that comes now.
    pub(crate) const fn counts_now(self, now: u64) -> bool {
        match self {
            Self::Until(until) => now <= until,
            Self::Expired(_) => false,
            Self::Forever => true,
        }
    }

    /// Whether the key counts for an event of this time.
    pub(crate) fn counts(self, origin_server_ts: i64, now: u64, rules: &RoomVersionRules) -> bool {
        let time = u64::try_from(origin_server_ts).unwrap_or(0);
        match self {
            Self::Until(until) if rules.enforces_key_validity => time <= until.min(now.saturating_add(SEVEN_DAYS)),
            Self::Until(_) | Self::Forever => true,
            Self::Expired(expired) => time <= expired,
        }
    }
}

/// Look-up of the keys of servers.
///
/// Key documents ([`ServerKeys`]) and lists and maps of them are look-ups already; [`KeysFn`] wraps a closure.
///
/// # Examples
///
/// A cache that a host fills by itself:
///
/// ```
/// use std::collections::HashMap;
///
/// use matrix_knock::event::{Keys, VerifyKey};
///
/// struct Cache(HashMap<(String, String), VerifyKey>);
///
/// impl Keys for Cache {
///     fn key(&self, server: &str, key_id: &str) -> Option<VerifyKey> {
///         self.0.get(&(server.to_owned(), key_id.to_owned())).copied()
///     }
/// }
/// ```
pub trait Keys {
    /// Returns the key of this ID of this server, or `None` if it is not known.
    fn key(&self, server: &str, key_id: &str) -> Option<VerifyKey>;
}

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<K: Keys + ?Sized> Keys for $pointer {
            fn key(&self, server: &str, key_id: &str) -> Option<VerifyKey> {
                (**self).key(server, key_id)
            }
        }
    )*};
}

forward!(&K, Box<K>, Rc<K>, Arc<K>);

/// Keys behind a closure from server name and key ID to the key.
#[derive(Clone, Copy)]
pub struct KeysFn<F>(pub F);

impl<F> fmt::Debug for KeysFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeysFn(..)")
    }
}

impl<F: Fn(&str, &str) -> Option<VerifyKey>> Keys for KeysFn<F> {
    fn key(&self, server: &str, key_id: &str) -> Option<VerifyKey> {
        (self.0)(server, key_id)
    }
}

/// The keys of one server, as it publishes them itself.
///
/// <https://spec.matrix.org/v1.19/server-server-api/#get_matrixkeyv2server>
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerKeys {
    server_name: OwnedServerName,
    keys: BTreeMap<String, VerifyKey>,
}

/// Why a key document is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServerKeysError {
    /// It is longer than [`MAX_KEY_DOCUMENT_BYTES`].
    #[error("key document of {bytes} bytes, more than {MAX_KEY_DOCUMENT_BYTES}")]
    TooLarge {
        /// The length of the text.
        bytes: usize,
    },
    /// It is not canonical JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A property is missing or of the wrong kind.
    #[error("`{0}` of the key document is missing or malformed")]
    Malformed(&'static str),
    /// It is of another server than was asked.
    #[error("the key document is of another server")]
    OtherServer,
    /// None of the keys in use has signed the document.
    #[error("no key of the document has signed it")]
    NotSigned,
    /// A signature by one of the keys in use does not verify.
    #[error("the signature of the key document by `{key_id}` does not verify")]
    BadSignature {
        /// The key's ID.
        key_id: String,
    },
}

impl ServerKeys {
    /// Reads a `/_matrix/key/v2/server` document of this server: at least one of its keys in use has signed it, and
    /// every signature by one of them verifies.
    ///
    /// Keys of other algorithms than ed25519 are ignored, and so are malformed ones.
    ///
    /// # Errors
    ///
    /// [`ServerKeysError`], by the first thing that is wrong.
    pub fn parse(
        server: ServerName<'_>,
        text: &str,
        verifier: &(impl Verify + ?Sized),
    ) -> Result<Self, ServerKeysError> {
        if text.len() > MAX_KEY_DOCUMENT_BYTES {
            return Err(ServerKeysError::TooLarge { bytes: text.len() });
        }
        // The lenient dialect: a number that no key has costs the key that has it. What has no
        // canonical form at all, nobody can have signed.
        let whole = canonical_part(text, CanonicalDialect::Lenient, Without(&["unsigned"]))?;
        let message = canonical_part(&whole, CanonicalDialect::Lenient, Without(&["signatures"]))?;
        let document = Document::read(&whole)?;
        let name = required("server_name", document.server_name)?;
        if !name.is(server.as_str()) {
            return Err(ServerKeysError::OtherServer);
        }
        let until = KeyValidity::Until(required("valid_until_ts", document.valid_until_ts)?);
        let mut keys = BTreeMap::new();
        for (key_id, key) in required("verify_keys", document.verify_keys)? {
            // A key that cannot be read is a key less. Were it the only one, nothing would have signed the document.
            if let Some(OldKey { public_key, .. }) = key {
                keys.insert(key_id, VerifyKey { public_key, validity: until });
            }
        }
        let signatures = required("signatures", document.signatures)?;
        let key = |key_id: &str| keys.get(key_id).map(|key: &VerifyKey| key.public_key);
        match check_server_signatures(signatures, server.as_str(), &message, verifier, key)? {
            ServerSignatures::Good => {}
            ServerSignatures::Missing => return Err(ServerKeysError::NotSigned),
            ServerSignatures::Bad(key_id) => return Err(ServerKeysError::BadSignature { key_id }),
        }
        for (key_id, key) in
            document.old_verify_keys.optional(ServerKeysError::Malformed("old_verify_keys"))?.unwrap_or_default()
        {
            // An old key that cannot be read is a key less, and a key in use wins over an old one of its ID.
            if let Some(OldKey { public_key, expired_ts: Some(expired) }) = key {
                keys.entry(key_id).or_insert(VerifyKey { public_key, validity: KeyValidity::Expired(expired) });
            }
        }
        Ok(Self { server_name: server.into_owned(), keys })
    }

    /// The server whose keys they are.
    #[must_use]
    pub const fn server_name(&self) -> ServerName<'_> {
        self.server_name.as_borrowed()
    }

    /// The keys by their IDs, old ones too.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = (&str, VerifyKey)> {
        self.keys.iter().map(|(key_id, key)| (key_id.as_str(), *key))
    }
}

impl Keys for ServerKeys {
    fn key(&self, server: &str, key_id: &str) -> Option<VerifyKey> {
        self.keys.get(key_id).filter(|_| self.server_name == *server).copied()
    }
}

/// The first that knows the key.
impl<K: Keys> Keys for [K] {
    fn key(&self, server: &str, key_id: &str) -> Option<VerifyKey> {
        self.iter().find_map(|keys| keys.key(server, key_id))
    }
}

/// The first that knows the key.
impl<K: Keys> Keys for Vec<K> {
    fn key(&self, server: &str, key_id: &str) -> Option<VerifyKey> {
        self.as_slice().key(server, key_id)
    }
}

/// The documents of several servers by their names.
impl<H: BuildHasher> Keys for HashMap<OwnedServerName, ServerKeys, H> {
    fn key(&self, server: &str, key_id: &str) -> Option<VerifyKey> {
        self.get(server)?.key(server, key_id)
    }
}

/// The documents of several servers by their names.
impl Keys for BTreeMap<OwnedServerName, ServerKeys> {
    fn key(&self, server: &str, key_id: &str) -> Option<VerifyKey> {
        self.get(server)?.key(server, key_id)
    }
}

/// A key of `verify_keys` or `old_verify_keys`.
#[derive(Debug, Clone, Copy)]
struct OldKey {
    public_key: [u8; 32],
    expired_ts: Option<u64>,
}

type KeyEntries = Vec<(String, Option<OldKey>)>;

#[derive(Default)]
struct Document<'a> {
    server_name: Field<Str<'a>>,
    valid_until_ts: Field<u64>,
    verify_keys: Field<KeyEntries>,
    old_verify_keys: Field<KeyEntries>,
    signatures: Field<&'a str>,
}

impl<'a> Document<'a> {
    fn read(text: &'a str) -> Result<Self, JsonError> {
        let mut found = Self::default();
        read_object(text, |key, reader| {
            match () {
                () if key.is("server_name") => found.server_name.put(reader.string_field()?),
                () if key.is("valid_until_ts") => found.valid_until_ts.put(reader.integer_field()?),
                () if key.is("verify_keys") => found.verify_keys.put(key_entries(reader)?),
                () if key.is("old_verify_keys") => found.old_verify_keys.put(key_entries(reader)?),
                () if key.is("signatures") => {
                    let is_object = reader.kind()? == Kind::Object;
                    let text = reader.skip()?;
                    found.signatures.put(if is_object { Field::Is(text) } else { Field::Malformed });
                }
                () => reader.skip_value()?,
            }
            Ok(())
        })?;
        Ok(found)
    }
}

fn key_entries(reader: &mut Reader<'_>) -> Result<Field<KeyEntries>, JsonError> {
    let mut entries = Vec::new();
    let is_object = read_object_field(reader, |key_id, reader| {
        let mut public_key = Field::Missing;
        let mut expired_ts = Field::Missing;
        read_object_field(reader, |key, reader| {
            match () {
                () if key.is("key") => public_key.put(reader.string_field()?),
                () if key.is("expired_ts") => expired_ts.put(reader.integer_field()?),
                () => reader.skip_value()?,
            }
            Ok(())
        })?;
        let public_key = public_key.known().and_then(|key| unpadded_base64::decode(&key.text()));
        let expired_ts = expired_ts.known();
        let key_id = key_id.text();
        if key_id.starts_with("ed25519:") {
            entries.push((key_id.into_owned(), public_key.map(|public_key| OldKey { public_key, expired_ts })));
        }
        Ok(())
    })?;
    Ok(if is_object { Field::Is(entries) } else { Field::Malformed })
}

fn required<T>(property: &'static str, field: Field<T>) -> Result<T, ServerKeysError> {
    field.optional(ServerKeysError::Malformed(property))?.ok_or(ServerKeysError::Malformed(property))
}
