//! Third-party invites: the `third_party_invite` of an invite, and the `m.room.third_party_invite` that it redeems.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#third-party-invites>

use crate::event::signature::each_signature;
use crate::event::{Event, Verify};
use crate::json::{
    CanonicalDialect, Field, Reader, Str, Without, canonical, canonical_part, read_object, read_object_field,
};
use crate::unpadded_base64;

/// The most signatures that are tried before an invite is refused.
///
/// DEVIATION: the specification sets no bound, and an event has room for some 700 signatures and the other for as many
/// keys. Honest ones have one signature and at most two keys.
const MAX_VERIFICATIONS: usize = 512;

/// The `signed` of a `third_party_invite`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Signed<'a> {
    text: &'a str,
    pub(crate) mxid: Field<Str<'a>>,
    pub(crate) token: Field<Str<'a>>,
    signatures: Field<&'a str>,
}

impl<'a> Signed<'a> {
    /// Reads the value of `third_party_invite`. None if it has no `signed`.
    pub(crate) fn read(third_party_invite: &'a str) -> Option<Self> {
        let mut signed = Field::Missing;
        let read = read_object(third_party_invite, |key, reader| {
            let value = reader.skip()?;
            if key.is("signed") {
                signed.put(Field::Is(value));
            }
            Ok(())
        });
        let (Ok(()), Field::Is(text)) = (read, signed) else { return None };
        let mut found = Self { text, ..Self::default() };
        let read = read_object(text, |key, reader| {
            match () {
                () if key.is("mxid") => found.mxid.put(reader.string_field()?),
                () if key.is("token") => found.token.put(reader.string_field()?),
                () if key.is("signatures") => found.signatures.put(Field::Is(reader.skip()?)),
                () => reader.skip_value()?,
            }
            Ok(())
        });
        // What is no object has no properties.
        Some(if read.is_ok() { found } else { Self { text, ..Self::default() } })
    }

    /// Whether any signature in here is one by any key of the `m.room.third_party_invite` event.
    /// Entries that are malformed on either side are passed over.
    pub(crate) fn verifies(
        &self,
        third_party_invite: &impl Event,
        dialect: CanonicalDialect,
        verifier: &(impl Verify + ?Sized),
    ) -> bool {
        let Field::Is(signatures) = self.signatures else { return false };
        // All of it has to be canonical, also what is not signed: since v6 no event has anything else.
        let Ok(whole) = canonical(self.text, dialect) else { return false };
        let Ok(message) = canonical_part(&whole, dialect, Without(&["signatures", "unsigned"])) else { return false };
        let keys = public_keys(third_party_invite.content());
        let mut left = MAX_VERIFICATIONS;
        let mut verified = false;
        // The text has been read before: it is well-formed, and an error means that it is of another kind.
        let _wrong_kind = each_signature(signatures, |_server, _key_id, signature| {
            let Some(signature) = signature.filter(|_| !verified) else { return };
            let tried = keys.get(..left.min(keys.len())).unwrap_or_default();
            left = left.saturating_sub(tried.len());
            verified = tried.iter().any(|key| verifier.verify(key, message.as_bytes(), &signature));
        });
        verified
    }
}

/// The keys in `public_key` and `public_keys[].public_key`. A property that stands twice is malformed, and passed over.
fn public_keys(content: &str) -> Vec<[u8; 32]> {
    let mut single = Field::Missing;
    let mut list = Field::Missing;
    let read = read_object(content, |key, reader| {
        match () {
            () if key.is("public_key") => single.put(reader.string_field()?),
            () if key.is("public_keys") => list.put(Field::Is(reader.skip()?)),
            () => reader.skip_value()?,
        }
        Ok(())
    });
    if read.is_err() {
        return Vec::new();
    }
    let mut keys = Vec::new();
    let mut add = |key: Field<Str<'_>>| {
        if let Field::Is(key) = key {
            keys.extend(unpadded_base64::decode::<32>(&key.text()));
        }
    };
    add(single);
    if let Field::Is(list) = list {
        // What is no list has no entries.
        let _wrong_kind = Reader::new(list).array(|reader| {
            let mut key_of_entry = Field::Missing;
            read_object_field(reader, |key, reader| {
                if key.is("public_key") {
                    reader.string_field().map(|key| key_of_entry.put(key))
                } else {
                    reader.skip_value()
                }
            })?;
            add(key_of_entry);
            Ok(())
        });
    }
    keys
}
