//! Identifiers: a value of one of these types is in the grammar of the specification.
//!
//! Each kind has a borrowed form, which is `Copy`, and an owned one to keep. Both are parsed from and compared with texts,
//! and serde has them as strings.
//!
//! # Where ruma's grammar differs
//!
//! ruma takes server names that are not in the grammar (`256.1.1.1`, `b:+8`), room IDs whatever stands behind the colon
//! (`!a:b_c`), and identifiers of nothing but a sigil (`!`, `$`); here they are refused. A port above 65,535 is in the grammar
//! and is taken here. A server name has 255 bytes at most here; with a port it may have 261 in the grammar, and for ruma.
//!
//! <https://spec.matrix.org/v1.19/appendices/#identifier-grammar>

mod grammar;
mod room;

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, de};

use grammar::{check_event_id, check_key_id, check_room_alias, check_room_id, check_server_name, check_user_id};

pub(crate) use grammar::{domain, is_dotted_quad};
pub use room::{OwnedRoomIdOrAlias, RoomIdOrAlias};

/// The most bytes that any identifier may have, sigil and domain included.
pub const MAX_ID_BYTES: usize = 255;

/// A text that is not the identifier it has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// It does not begin with the sigil of its kind.
    #[error("does not begin with `{0}`")]
    Sigil(char),
    /// It begins with neither `!` nor `#`: it is neither a room ID nor an alias.
    #[error("does not begin with `!` or `#`")]
    RoomSigil,
    /// It has more than [`MAX_ID_BYTES`] bytes.
    #[error("is longer than {MAX_ID_BYTES} bytes")]
    TooLong,
    /// It has no `:` before a domain.
    #[error("has no domain")]
    NoDomain,
    /// What stands behind the `:` is no server name.
    #[error("has a malformed server name")]
    ServerName,
    /// It is not `ed25519:` and a version that can be written in an `Authorization` header.
    #[error("is not the ID of an ed25519 key")]
    KeyId,
    /// The part that belongs to the identifier alone is empty or has a character that it must not have.
    #[error("has a malformed local part")]
    LocalPart,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $owned:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name<'a>(&'a str);

        #[doc = concat!("An owned [`", stringify!($name), "`].")]
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $owned(Box<str>);

        impl<'a> $name<'a> {
            /// Checks the grammar.
            ///
            /// # Errors
            ///
            /// [`IdError`] says what is wrong with the text.
            pub fn parse(text: &'a str) -> Result<Self, IdError> {
                $check(text).map(|()| Self(text))
            }

            /// Returns the identifier as it is written.
            #[must_use]
            pub const fn as_str(self) -> &'a str {
                self.0
            }

            /// Copies the identifier.
            #[must_use]
            pub fn into_owned(self) -> $owned {
                $owned(self.0.into())
            }
        }

        impl $owned {
            /// Checks the grammar.
            ///
            /// # Errors
            ///
            /// [`IdError`] says what is wrong with the text.
            pub fn parse(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                $check(&text).map(|()| Self(text.into()))
            }

            /// Returns the identifier as it is written.
            #[must_use]
            pub const fn as_str(&self) -> &str {
                &self.0
            }

            /// Borrows the identifier.
            #[must_use]
            pub const fn as_borrowed(&self) -> $name<'_> {
                $name(&self.0)
            }
        }

        impl fmt::Display for $name<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.0)
            }
        }

        impl fmt::Display for $owned {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl AsRef<str> for $name<'_> {
            fn as_ref(&self) -> &str {
                self.0
            }
        }

        impl AsRef<str> for $owned {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        /// So that a map by the owned form is searched by the text.
        impl Borrow<str> for $owned {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<str> for $name<'_> {
            fn eq(&self, other: &str) -> bool {
                self.0 == other
            }
        }

        impl PartialEq<&str> for $name<'_> {
            fn eq(&self, other: &&str) -> bool {
                self.0 == *other
            }
        }

        impl PartialEq<str> for $owned {
            fn eq(&self, other: &str) -> bool {
                &*self.0 == other
            }
        }

        impl PartialEq<&str> for $owned {
            fn eq(&self, other: &&str) -> bool {
                &*self.0 == *other
            }
        }

        impl PartialEq<String> for $name<'_> {
            fn eq(&self, other: &String) -> bool {
                self.0 == other
            }
        }

        impl PartialEq<String> for $owned {
            fn eq(&self, other: &String) -> bool {
                &*self.0 == other
            }
        }

        impl PartialEq<$name<'_>> for $owned {
            fn eq(&self, other: &$name<'_>) -> bool {
                &*self.0 == other.0
            }
        }

        impl PartialEq<$owned> for $name<'_> {
            fn eq(&self, other: &$owned) -> bool {
                self.0 == &*other.0
            }
        }

        impl<'a> TryFrom<&'a str> for $name<'a> {
            type Error = IdError;

            fn try_from(text: &'a str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }

        impl TryFrom<&str> for $owned {
            type Error = IdError;

            fn try_from(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $owned {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }

        impl FromStr for $owned {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }

        impl From<$name<'_>> for $owned {
            fn from(id: $name<'_>) -> Self {
                id.into_owned()
            }
        }

        impl<'a> From<&'a $owned> for $name<'a> {
            fn from(id: &'a $owned) -> Self {
                id.as_borrowed()
            }
        }

        impl From<$name<'_>> for String {
            fn from(id: $name<'_>) -> Self {
                id.0.to_owned()
            }
        }

        impl From<$owned> for String {
            fn from(id: $owned) -> Self {
                id.0.into()
            }
        }

        /// Borrows from the input: of JSON, a string without escapes.
        impl<'de: 'a, 'a> Deserialize<'de> for $name<'a> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <&str>::deserialize(deserializer)?;
                Self::parse(text).map_err(de::Error::custom)
            }
        }
    };
}

id! {
    /// The name of a homeserver: a DNS name, an IPv4 address or an IPv6 address in brackets, and perhaps a port.
    /// Compared with case.
    ///
    /// <https://spec.matrix.org/v1.19/appendices/#server-name>
    ServerName, OwnedServerName, check_server_name
}

id! {
    /// A user: `@localpart:domain`. The historical grammar, which servers must accept from others: any local part
    /// without `:` and NUL, even an empty one.
    ///
    /// <https://spec.matrix.org/v1.19/appendices/#user-identifiers>
    UserId, OwnedUserId, check_user_id
}

id! {
    /// A room: `!opaque_id:domain`, or, since v12, `!` and the reference hash of the create event (43 characters of
    /// URL-safe base64) without a domain.
    ///
    /// <https://spec.matrix.org/v1.19/appendices/#room-ids>
    RoomId, OwnedRoomId, check_room_id
}

id! {
    /// An event: `$opaque_id:domain` in versions 1 and 2, later `$` and a hash of the event.
    ///
    /// <https://spec.matrix.org/v1.19/appendices/#event-ids>
    EventId, OwnedEventId, check_event_id
}

id! {
    /// A name of a room: `#localpart:domain`.
    ///
    /// <https://spec.matrix.org/v1.19/appendices/#room-aliases>
    RoomAlias, OwnedRoomAlias, check_room_alias
}

id! {
    /// The ID of a signing key: `ed25519:` and a version.
    ///
    /// The specification has letters, digits and `_` in a version. There are servers with others in it (`+`, `-`), whose
    /// signatures everybody takes, so any visible ASCII character is allowed here but `"`, `,` and `\\`, which would end
    /// the parameter `key` of an `Authorization` header.
    ///
    /// <https://spec.matrix.org/v1.19/appendices/#signing-details>
    KeyId, OwnedKeyId, check_key_id
}

macro_rules! checked {
    ($($name:ident)*) => {$(
        impl<'a> $name<'a> {
            /// One whose grammar has been checked before.
            pub(crate) const fn checked(text: &'a str) -> Self {
                Self(text)
            }
        }
    )*};
}

checked!(ServerName UserId RoomId EventId KeyId);

impl<'a> RoomId<'a> {
    /// Returns the server that made the room, which may know it still. `None` for a room ID without a domain (since v12).
    #[must_use]
    pub fn server_name(self) -> Option<ServerName<'a>> {
        // The grammar has been checked: behind the first colon there is a server name.
        self.0.split_once(':').map(|(_, server)| ServerName(server))
    }
}

impl<'a> RoomAlias<'a> {
    /// Returns the server that knows what the alias stands for.
    #[must_use]
    pub fn server_name(self) -> ServerName<'a> {
        // The grammar has been checked: behind the first colon there is a server name.
        ServerName(self.0.split_once(':').map_or("", |(_, server)| server))
    }
}

impl<'a> UserId<'a> {
    /// The server that the user belongs to.
    #[must_use]
    pub fn server_name(self) -> ServerName<'a> {
        // The grammar has been checked: there is a domain.
        ServerName(domain(self.0).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_of_an_alias() {
        for (alias, server) in [("#door:a.example", "a.example"), ("#door:a.example:8448", "a.example:8448")] {
            assert_eq!(RoomAlias::parse(alias).unwrap().server_name(), server);
        }
    }

    #[test]
    fn server_names() {
        for good in [
            "matrix.org",
            "matrix.org:8888",
            "1.2.3.4",
            "1.2.3.4:1234",
            "001.2.3.4",
            "[1234:5678::abcd]",
            "[::1]:5",
            "[1234:5678::abcd]:5678",
            "localhost",
            "a-b.c",
            "A.example",
            "1.2.3",
            "x:00080",
        ] {
            assert_eq!(ServerName::parse(good).map(ServerName::as_str), Ok(good));
        }
        let long = "a".repeat(256);
        for bad in [
            "",
            ":1",
            "a:",
            "a:123456",
            "a:1:2",
            "a b",
            "a_b",
            "é.example",
            "[::1",
            "[::1]x",
            "[::1]:",
            "[]",
            "[1.2.3.4]",
            "[fe80::1%eth0]",
            "256.1.1.1",
            "a/b",
            long.as_str(),
        ] {
            assert_eq!(ServerName::parse(bad), Err(IdError::ServerName), "{bad}");
        }
    }

    #[test]
    fn user_ids() {
        for good in ["@a:b", "@:b", "@a b\u{1}é:b:80", "@A:[::1]:80"] {
            assert_eq!(UserId::parse(good).map(UserId::as_str), Ok(good));
        }
        assert_eq!(UserId::parse("@a:b:80").map(UserId::server_name), Ok(ServerName("b:80")));
        let long = format!("@{}:b", "a".repeat(253));
        for (bad, error) in [
            ("a:b", IdError::Sigil('@')),
            ("", IdError::Sigil('@')),
            ("@a", IdError::NoDomain),
            ("@a:", IdError::ServerName),
            ("@a:b:c", IdError::ServerName),
            ("@a\0:b", IdError::LocalPart),
            (long.as_str(), IdError::TooLong),
        ] {
            assert_eq!(UserId::parse(bad), Err(error), "{bad}");
        }
    }

    #[test]
    fn rooms_events_and_aliases() {
        for good in ["!a:b", "!2dpEZGZptZRLjpG4zhaOpng8UeStblrCZUl1wSMFdyE", "!:b"] {
            assert_eq!(RoomId::parse(good).map(RoomId::as_str), Ok(good));
        }
        for (bad, error) in [
            ("!", IdError::LocalPart),
            ("#a:b", IdError::Sigil('!')),
            ("!a\0", IdError::LocalPart),
            ("!a:", IdError::ServerName),
        ] {
            assert_eq!(RoomId::parse(bad), Err(error), "{bad}");
        }
        assert_eq!(EventId::parse("$a:b").map(EventId::as_str), Ok("$a:b"));
        assert_eq!(EventId::parse("$"), Err(IdError::LocalPart));
        assert_eq!(RoomAlias::parse("#a b:c").map(RoomAlias::as_str), Ok("#a b:c"));
        assert_eq!(RoomAlias::parse("#a"), Err(IdError::NoDomain));
        assert_eq!(IdError::Sigil('@').to_string(), "does not begin with `@`");
    }

    #[test]
    fn rooms_by_id_or_alias() {
        let long = format!("#{}:b", "a".repeat(253));
        for (text, parsed) in [
            ("!a:b", Ok(RoomIdOrAlias::Id(RoomId("!a:b")))),
            ("!a", Ok(RoomIdOrAlias::Id(RoomId("!a")))),
            ("#a:b", Ok(RoomIdOrAlias::Alias(RoomAlias("#a:b")))),
            ("#a", Err(IdError::NoDomain)),
            ("!", Err(IdError::LocalPart)),
            ("", Err(IdError::RoomSigil)),
            ("a:b", Err(IdError::RoomSigil)),
            ("@a:b", Err(IdError::RoomSigil)),
            (long.as_str(), Err(IdError::TooLong)),
        ] {
            assert_eq!(RoomIdOrAlias::parse(text), parsed, "{text}");
            if let Ok(room) = parsed {
                assert_eq!((room.as_str(), room.to_string()), (text, text.to_owned()));
                let owned: OwnedRoomIdOrAlias = text.parse().unwrap();
                assert_eq!((owned.as_borrowed(), owned.as_str(), owned.to_string()), (room, text, text.to_owned()));
                assert_eq!(
                    (room.into_owned(), OwnedRoomIdOrAlias::try_from(text.to_owned())),
                    (owned.clone(), Ok(owned))
                );
            }
        }
    }

    #[test]
    fn conversions() {
        let (user, text) = (UserId::parse("@a:b").unwrap(), "@a:b".to_owned());
        let owned = user.into_owned();
        assert_eq!((owned.as_borrowed(), UserId::from(&owned), OwnedUserId::from(user)), (user, user, owned.clone()));
        assert_eq!((OwnedUserId::parse("@a:b"), "@a:b".parse()), (Ok(owned.clone()), Ok(owned.clone())));
        assert_eq!(
            (OwnedUserId::try_from("@a:b"), OwnedUserId::try_from("@a:b".to_owned())),
            (Ok(owned.clone()), "@a:b".parse())
        );
        assert_eq!((UserId::try_from("@a:b"), UserId::try_from("a")), (Ok(user), Err(IdError::Sigil('@'))));
        assert_eq!(OwnedUserId::parse("a"), Err(IdError::Sigil('@')));
        for equal in [user == *"@a:b", user == "@a:b", user == text, user == owned] {
            assert!(equal);
        }
        for equal in [owned == *"@a:b", owned == "@a:b", owned == text, owned == user] {
            assert!(equal);
        }
        assert_eq!((user.as_ref(), owned.as_ref(), String::from(user)), ("@a:b", "@a:b", "@a:b".to_owned()));
        assert_eq!(
            (format!("{user:>6}|{owned:<5}|"), String::from(owned)),
            ("  @a:b|@a:b |".to_owned(), "@a:b".to_owned())
        );
    }

    #[test]
    fn with_serde() {
        let (user, text) = (UserId::parse("@a:b").unwrap(), r#""@a:b""#);
        assert_eq!(serde_json::to_string(&user).unwrap(), text);
        assert_eq!(serde_json::to_string(&user.into_owned()).unwrap(), text);
        assert_eq!(serde_json::from_str::<UserId<'_>>(text).unwrap(), user);
        assert_eq!(serde_json::from_str::<OwnedUserId>(r#""@\u0061:b""#).unwrap(), user);
        for (malformed, error) in [("\"a\"", "does not begin with `@`"), ("1", "invalid type: integer `1`")] {
            let found = serde_json::from_str::<UserId<'_>>(malformed).unwrap_err().to_string();
            assert!(found.starts_with(error), "{found}");
        }
        assert_eq!(serde_json::from_str::<OwnedUserId>("\"a\"").unwrap_err().to_string(), "does not begin with `@`");
        let alias = RoomIdOrAlias::parse("#a:b").unwrap();
        assert_eq!(serde_json::to_string(&alias).unwrap(), r##""#a:b""##);
        assert_eq!(serde_json::from_str::<OwnedRoomIdOrAlias>(r##""#a:b""##).unwrap(), alias.into_owned());
        assert_eq!(serde_json::to_string(&alias.into_owned()).unwrap(), r##""#a:b""##);
    }

    #[test]
    fn servers_of_rooms() {
        for (room, server) in [("!a:b", Some("b")), ("!a:[::1]:80", Some("[::1]:80")), ("!a", None), ("!:b", Some("b"))]
        {
            assert_eq!(RoomId::parse(room).unwrap().server_name().map(ServerName::as_str), server);
        }
    }
}
