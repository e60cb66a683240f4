//! Identifiers: the library's from ruma's and back, by borrowing.
//!
//! Both sides hold a text whose grammar was checked, but not the same grammar, so each conversion
//! checks the text again: one pass over at most a few hundred bytes, no copy, no allocation. What
//! one side takes and the other does not is an error.
//!
//! | identifier | here | ruma |
//! | --- | --- | --- |
//! | server name `256.1.1.1`: four groups of digits that are no IPv4 address | refused | taken |
//! | server name with a signed or padded port: `b:+8`, `b:000080` | refused | taken |
//! | server name with a port above 65,535: `b:65536`, `b:99999` | taken | refused |
//! | server name of more than 255 bytes, up to 261 with its port | refused | taken |
//! | room ID with anything behind the colon: `!a:b_c`, `!a:` | refused | taken |
//! | `!`, `$`: nothing but a sigil | refused | taken |
//! | event ID without a domain of more than 255 bytes, or with NUL | refused | taken |
//! | event ID with a domain and with NUL before it: `$a\0:b` | refused | taken |
//! | signing key of another algorithm than ed25519: `rsa:1` | refused | taken |
//! | key version with a character other than letters, digits and `_`: `ed25519:a+b` | taken | refused |
//!
//! User IDs and aliases differ in their server names only.
//!
//! <https://spec.matrix.org/v1.19/appendices/#identifier-grammar>
//!
//! # Examples
//!
//! ```
//! use matrix_knock::id::{IdError, RoomId, ServerName};
//! use matrix_knock_ruma::id::RumaId;
//!
//! let room = ruma_common::room_id!("!room:a.example");
//! assert_eq!(RoomId::from_ruma(room)?.as_str(), "!room:a.example");
//! assert_eq!(RoomId::parse("!room:a.example")?.to_ruma()?, room);
//!
//! assert_eq!(RoomId::from_ruma(ruma_common::room_id!("!a:b_c")), Err(IdError::ServerName));
//! assert!(ServerName::parse("b.example:99999")?.to_ruma().is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use matrix_knock::id::{EventId, IdError, KeyId, RoomAlias, RoomId, RoomIdOrAlias, ServerName, UserId};
use ruma_common::IdParseError;

/// An identifier of the library that ruma has too.
///
/// An owned identifier of the library has `as_borrowed` for [`to_ruma`](Self::to_ruma), and comes
/// of [`from_ruma`](Self::from_ruma) by `into_owned`.
pub trait RumaId<'a>: Copy {
    /// The identifier of ruma's.
    type Ruma: ?Sized;

    /// Checks an identifier of ruma's by the grammar of the specification. Borrows.
    ///
    /// # Errors
    ///
    /// [`IdError`] if the identifier is one that only ruma takes: see the [module's table](self).
    fn from_ruma(id: &'a Self::Ruma) -> Result<Self, IdError>;

    /// Checks the identifier by ruma's grammar. Borrows.
    ///
    /// # Errors
    ///
    /// [`IdParseError`] if ruma does not take the identifier: see the [module's table](self).
    fn to_ruma(self) -> Result<&'a Self::Ruma, IdParseError>;
}

macro_rules! ruma_id {
    ($($ours:ident $rumas:ty,)*) => {$(
        impl<'a> RumaId<'a> for $ours<'a> {
            type Ruma = $rumas;

            fn from_ruma(id: &'a $rumas) -> Result<Self, IdError> {
                Self::parse(id.as_str())
            }

            fn to_ruma(self) -> Result<&'a $rumas, IdParseError> {
                <&$rumas>::try_from(self.as_str())
            }
        }
    )*};
}

ruma_id! {
    ServerName ruma_common::ServerName,
    UserId ruma_common::UserId,
    RoomId ruma_common::RoomId,
    EventId ruma_common::EventId,
    RoomAlias ruma_common::RoomAliasId,
    RoomIdOrAlias ruma_common::RoomOrAliasId,
    KeyId ruma_common::ServerSigningKeyId,
}
