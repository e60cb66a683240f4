//! Signatures: who verifies and makes them, and how they stand in JSON.

use std::rc::Rc;
use std::sync::Arc;

use crate::id::KeyId;
#[cfg(feature = "ed25519")]
use crate::id::{IdError, OwnedKeyId};
use crate::json::{JsonError, Str, read_object, read_object_field};
use crate::unpadded_base64;

/// Verifies ed25519 signatures. `Ed25519` does it with this crate's own dependency; a host with its own
/// cryptography implements this instead and turns the feature `ed25519` off.
///
/// # Examples
///
/// ```
/// use matrix_knock::event::Verify;
///
/// /// The host's own cryptography.
/// struct Hardware;
/// # impl Hardware {
/// #     fn ed25519_verify_strict(&self, _: &[u8; 32], _: &[u8], _: &[u8; 64]) -> bool {
/// #         false
/// #     }
/// # }
///
/// impl Verify for Hardware {
///     fn verify(&self, public_key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
///         self.ed25519_verify_strict(public_key, message, signature)
///     }
/// }
/// ```
pub trait Verify {
    /// Returns whether `signature` is a signature of `message` by `public_key`.
    ///
    /// Must be strict: no points of small order, no second encoding of the same signature. Servers that differ in
    /// this split rooms.
    fn verify(&self, public_key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool;
}

/// Makes ed25519 signatures with a key of this server. `Ed25519Key` does it with this crate's own dependency.
///
/// # Examples
///
/// ```
/// use matrix_knock::event::Sign;
/// use matrix_knock::id::{KeyId, OwnedKeyId};
///
/// /// A key that the host keeps elsewhere.
/// struct Vault {
///     key_id: OwnedKeyId,
/// }
/// # impl Vault {
/// #     fn ed25519_sign(&self, _: &[u8]) -> [u8; 64] {
/// #         [0; 64]
/// #     }
/// # }
///
/// impl Sign for Vault {
///     fn key_id(&self) -> KeyId<'_> {
///         self.key_id.as_borrowed()
///     }
///     fn sign(&self, message: &[u8]) -> [u8; 64] {
///         self.ed25519_sign(message)
///     }
/// }
/// ```
pub trait Sign {
    /// Returns the ID of the key.
    fn key_id(&self) -> KeyId<'_>;

    /// Signs the message.
    fn sign(&self, message: &[u8]) -> [u8; 64];
}

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<T: Verify + ?Sized> Verify for $pointer {
            fn verify(&self, public_key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
                (**self).verify(public_key, message, signature)
            }
        }

        impl<T: Sign + ?Sized> Sign for $pointer {
            fn key_id(&self) -> KeyId<'_> {
                (**self).key_id()
            }

            fn sign(&self, message: &[u8]) -> [u8; 64] {
                (**self).sign(message)
            }
        }
    )*};
}

forward!(&T, Box<T>, Rc<T>, Arc<T>);

/// Decodes an ed25519 signature: base64 in the standard or the URL-safe alphabet, with or without padding.
///
/// # Examples
///
/// ```
/// use matrix_knock::event::signature_from_base64;
///
/// assert_eq!(signature_from_base64(&"A".repeat(86)), Some([0; 64]));
/// assert_eq!(signature_from_base64("AA"), None);
/// ```
#[must_use]
pub fn signature_from_base64(text: &str) -> Option<[u8; 64]> {
    unpadded_base64::decode(text)
}

/// Verifies nothing: for questions in which third-party invites do not occur. Every one of them is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NoVerifier;

impl Verify for NoVerifier {
    fn verify(&self, _public_key: &[u8; 32], _message: &[u8], _signature: &[u8; 64]) -> bool {
        false
    }
}

/// Strict verification by ed25519-dalek. Feature `ed25519`.
#[cfg(feature = "ed25519")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ed25519;

#[cfg(feature = "ed25519")]
impl Verify for Ed25519 {
    fn verify(&self, public_key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        ed25519_dalek::VerifyingKey::from_bytes(public_key)
            .is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
    }
}

/// A signing key of a server, of ed25519-dalek. Feature `ed25519`. `Debug` does not show the secret.
#[cfg(feature = "ed25519")]
#[derive(Clone)]
pub struct Ed25519Key {
    key_id: OwnedKeyId,
    key: ed25519_dalek::SigningKey,
}

#[cfg(feature = "ed25519")]
impl Ed25519Key {
    /// Creates the key that 32 secret bytes make. Its ID is `ed25519:` and a version that the server chooses.
    ///
    /// # Errors
    ///
    /// [`IdError::KeyId`] if the ID is not one that a key can have.
    pub fn from_seed(key_id: &str, seed: &[u8; 32]) -> Result<Self, IdError> {
        Ok(Self { key_id: OwnedKeyId::parse(key_id)?, key: ed25519_dalek::SigningKey::from_bytes(seed) })
    }

    /// The public key that belongs to it.
    #[must_use]
    pub fn public_key(&self) -> [u8; 32] {
        self.key.verifying_key().to_bytes()
    }
}

#[cfg(feature = "ed25519")]
impl std::fmt::Debug for Ed25519Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ed25519Key").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

#[cfg(feature = "ed25519")]
impl Sign for Ed25519Key {
    fn key_id(&self) -> KeyId<'_> {
        self.key_id.as_borrowed()
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        ed25519_dalek::Signer::sign(&self.key, message).to_bytes()
    }
}

/// What the signatures of one server under a message come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ServerSignatures {
    /// At least one by a key that counts, and every such one verifies.
    Good,
    /// None by a key that counts.
    Missing,
    /// One by a key that counts does not verify: the first, by its key ID. Nothing behind it is looked at.
    Bad(String),
}

/// Checks what this server has signed in `{server: {key ID: signature}}`; `key` gives the keys that count by their IDs.
pub(crate) fn check_server_signatures(
    signatures: &str,
    server: &str,
    message: &str,
    verifier: &(impl Verify + ?Sized),
    key: impl Fn(&str) -> Option<[u8; 32]>,
) -> Result<ServerSignatures, JsonError> {
    let mut found = ServerSignatures::Missing;
    each_signature(signatures, |signer, key_id, signature| {
        if !signer.is(server) || matches!(found, ServerSignatures::Bad(_)) {
            return;
        }
        let key_id = key_id.text();
        let Some(public_key) = key(&key_id) else { return };
        found = match signature.is_some_and(|signature| verifier.verify(&public_key, message.as_bytes(), &signature)) {
            true => ServerSignatures::Good,
            false => ServerSignatures::Bad(key_id.into_owned()),
        };
    })?;
    Ok(found)
}

/// Calls `each` for every ed25519 key ID, with the server and the signature if it is well-formed.
pub(crate) fn each_signature<'a>(
    signatures: &'a str,
    mut each: impl FnMut(Str<'a>, Str<'a>, Option<[u8; 64]>),
) -> Result<(), JsonError> {
    read_object(signatures, |server, reader| {
        read_object_field(reader, |key_id, reader| {
            let signature =
                reader.string_field()?.known().and_then(|signature| unpadded_base64::decode(&signature.text()));
            if key_id.text().starts_with("ed25519:") {
                each(server, key_id, signature);
            }
            Ok(())
        })
        .map(drop)
    })
}

#[cfg(all(test, feature = "ed25519"))]
mod tests {
    use super::*;

    /// RFC 8032, section 7.1, test 2.
    #[test]
    fn a_signature_of_the_rfc() {
        let key = unpadded_base64::decode("PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw").unwrap();
        let signature = unpadded_base64::decode(
            "kqAJqfDUyrhyDoILX2QlQKKye1QWUD+Ps3YiI+vbadoIWsHkPhWZbkWPNhPQ8R2MOHsurrQwKu6wDSkWErsMAA",
        )
        .unwrap();
        assert!(Ed25519.verify(&key, b"r", &signature));
        let by_reference: &&Ed25519 = &&Ed25519;
        assert!(by_reference.verify(&key, b"r", &signature));
        assert!(!by_reference.verify(&key, b"s", &signature));
        assert!(!Ed25519.verify(&key, b"s", &signature));
        assert!(!Ed25519.verify(&[0; 32], b"r", &signature));
    }
}
