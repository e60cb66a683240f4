//! A room by its ID or by an alias.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{IdError, OwnedRoomAlias, OwnedRoomId, RoomAlias, RoomId};

/// What a client may call a room by: its ID or one of its aliases.
///
/// # Examples
///
/// ```
/// use matrix_knock::id::{IdError, RoomAlias, RoomIdOrAlias};
///
/// let room = RoomIdOrAlias::parse("#monkeys:matrix.org")?;
/// assert_eq!(room, RoomIdOrAlias::Alias(RoomAlias::parse("#monkeys:matrix.org")?));
/// assert_eq!(RoomIdOrAlias::parse("monkeys"), Err(IdError::RoomSigil));
/// # Ok::<(), IdError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(untagged)]
pub enum RoomIdOrAlias<'a> {
    /// The ID: it begins with `!`.
    Id(RoomId<'a>),
    /// An alias: it begins with `#`. Its server, or this one, knows the ID.
    Alias(RoomAlias<'a>),
}

impl<'a> RoomIdOrAlias<'a> {
    /// Checks the grammar: that of an alias behind `#`, else that of a room ID.
    ///
    /// # Errors
    ///
    /// [`IdError`] says what is wrong with the text.
    pub fn parse(text: &'a str) -> Result<Self, IdError> {
        match text.chars().next() {
            Some('!') => RoomId::parse(text).map(Self::Id),
            Some('#') => RoomAlias::parse(text).map(Self::Alias),
            _ => Err(IdError::RoomSigil),
        }
    }

    /// Returns the identifier as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        match self {
            Self::Id(id) => id.as_str(),
            Self::Alias(alias) => alias.as_str(),
        }
    }

    /// Copies the identifier.
    #[must_use]
    pub fn into_owned(self) -> OwnedRoomIdOrAlias {
        match self {
            Self::Id(id) => OwnedRoomIdOrAlias::Id(id.into_owned()),
            Self::Alias(alias) => OwnedRoomIdOrAlias::Alias(alias.into_owned()),
        }
    }
}

/// An owned [`RoomIdOrAlias`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum OwnedRoomIdOrAlias {
    /// The ID: it begins with `!`.
    Id(OwnedRoomId),
    /// An alias: it begins with `#`. Its server, or this one, knows the ID.
    Alias(OwnedRoomAlias),
}

impl OwnedRoomIdOrAlias {
    /// Borrows the identifier.
    #[must_use]
    pub const fn as_borrowed(&self) -> RoomIdOrAlias<'_> {
        match self {
            Self::Id(id) => RoomIdOrAlias::Id(id.as_borrowed()),
            Self::Alias(alias) => RoomIdOrAlias::Alias(alias.as_borrowed()),
        }
    }

    /// Returns the identifier as it is written.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        self.as_borrowed().as_str()
    }
}

impl fmt::Display for RoomIdOrAlias<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for OwnedRoomIdOrAlias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl AsRef<str> for RoomIdOrAlias<'_> {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for OwnedRoomIdOrAlias {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl<'a> TryFrom<&'a str> for RoomIdOrAlias<'a> {
    type Error = IdError;

    fn try_from(text: &'a str) -> Result<Self, IdError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for OwnedRoomIdOrAlias {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        RoomIdOrAlias::parse(&text).map(RoomIdOrAlias::into_owned)
    }
}

impl FromStr for OwnedRoomIdOrAlias {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        RoomIdOrAlias::parse(text).map(RoomIdOrAlias::into_owned)
    }
}

impl From<OwnedRoomIdOrAlias> for String {
    fn from(id: OwnedRoomIdOrAlias) -> Self {
        match id {
            OwnedRoomIdOrAlias::Id(id) => id.into(),
            OwnedRoomIdOrAlias::Alias(alias) => alias.into(),
        }
    }
}
