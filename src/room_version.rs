//! Room versions: the twelve of the specification, the ones that a host adds, and the rules of each.
//!
//! Each version is its predecessor and a difference, so that a line below says *since when* something holds.
//!
//! <https://spec.matrix.org/v1.19/rooms/>

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A room version: a name, and the rules that rooms of this version follow.
///
/// The twelve versions of the specification are constants. A host that supports another one names it with
/// [`unstable`](Self::unstable): from then on it is offered, served, stored and compared like the twelve.
///
/// Two versions are equal if they have the same name and the same rules. They are ordered by the version of the
/// specification whose rules they follow, then by name.
///
/// With serde a version of the specification is its name. An unstable version is an object with `name`, `goes_by` and, if
/// single rules differ, `rules`, so that what was stored can be read without the host's list of versions.
///
/// # Examples
///
/// ```
/// use matrix_knock::RoomVersion;
///
/// assert_eq!("10".parse(), Ok(RoomVersion::V10));
///
/// // Per-state-key permissions of MSC3757, on top of version 11.
/// let msc3757 = RoomVersion::unstable("org.matrix.msc3757.11", RoomVersion::V11)?;
/// assert!(msc3757.rules().knocking);
/// assert_eq!(msc3757.goes_by(), RoomVersion::V11);
///
/// // The `room_version` of a create event or an answer is looked up among the versions that the host supports.
/// let supported = [RoomVersion::V10, RoomVersion::V11, msc3757];
/// assert_eq!(RoomVersion::parse_among("org.matrix.msc3757.11", &supported), Ok(msc3757));
/// # Ok::<(), matrix_knock::room_version::UnstableVersionError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "Stored", try_from = "Stored")]
pub struct RoomVersion {
    specified: Specified,
    name: Name,
    rules: RoomVersionRules,
}

/// The versions of the specification. An unstable version goes by one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Specified {
    V1,
    V2,
    V3,
    V4,
    V5,
    V6,
    V7,
    V8,
    V9,
    V10,
    V11,
    V12,
}

/// The longest name of a room version, in bytes, which are ASCII characters.
pub const MAX_ROOM_VERSION_BYTES: usize = 32;

/// The name of a version, followed by zeroes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Name([u8; MAX_ROOM_VERSION_BYTES]);

impl Name {
    /// Takes a name of at most [`MAX_ROOM_VERSION_BYTES`].
    #[expect(clippy::indexing_slicing, reason = "the loop ends at both lengths, and `get` is not const in Rust 1.85")]
    #[expect(clippy::arithmetic_side_effects, reason = "a position within an array")]
    const fn of(text: &str) -> Self {
        let mut name = [0; MAX_ROOM_VERSION_BYTES];
        let mut at = 0;
        while at < text.len() && at < name.len() {
            name[at] = text.as_bytes()[at];
            at += 1;
        }
        Self(name)
    }

    fn as_str(&self) -> &str {
        let end = self.0.iter().position(|byte| *byte == 0);
        let name = end.map_or(Some(self.0.as_slice()), |end| self.0.get(..end));
        // Only ASCII gets in.
        name.and_then(|name| std::str::from_utf8(name).ok()).unwrap_or_default()
    }
}

/// A text that does not name a known room version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("unknown room version")]
pub struct UnknownRoomVersion;

/// Why a host cannot name a room version so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum UnstableVersionError {
    /// The name is empty.
    #[error("the name of a room version is empty")]
    Empty,
    /// The name has more than [`MAX_ROOM_VERSION_BYTES`].
    #[error("the name of a room version has {bytes} bytes, more than {MAX_ROOM_VERSION_BYTES}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// The name has a character other than `a-z`, `0-9`, `.` and `-`.
    #[error("the name of a room version has a character other than `a-z`, `0-9`, `.` and `-`")]
    Character,
    /// The name is that of a version of the specification.
    #[error("the specification has a room version of this name")]
    Specified,
    /// What was stored goes by a version that the specification does not have.
    #[error("a room version goes by a version that the specification does not have")]
    GoesBy,
}

impl RoomVersion {
    /// <https://spec.matrix.org/v1.19/rooms/v1/>
    pub const V1: Self = Self::specified(Specified::V1, "1", RoomVersionRules::V1);
    /// <https://spec.matrix.org/v1.19/rooms/v2/>
    pub const V2: Self = Self::specified(Specified::V2, "2", RoomVersionRules::V1);
    /// <https://spec.matrix.org/v1.19/rooms/v3/>
    pub const V3: Self = Self::specified(Specified::V3, "3", RoomVersionRules::V3);
    /// <https://spec.matrix.org/v1.19/rooms/v4/>
    pub const V4: Self = Self::specified(Specified::V4, "4", RoomVersionRules::V4);
    /// <https://spec.matrix.org/v1.19/rooms/v5/>
    pub const V5: Self = Self::specified(Specified::V5, "5", RoomVersionRules::V5);
    /// <https://spec.matrix.org/v1.19/rooms/v6/>
    pub const V6: Self = Self::specified(Specified::V6, "6", RoomVersionRules::V6);
    /// <https://spec.matrix.org/v1.19/rooms/v7/>
    pub const V7: Self = Self::specified(Specified::V7, "7", RoomVersionRules::V7);
    /// <https://spec.matrix.org/v1.19/rooms/v8/>
    pub const V8: Self = Self::specified(Specified::V8, "8", RoomVersionRules::V8);
    /// <https://spec.matrix.org/v1.19/rooms/v9/>
    pub const V9: Self = Self::specified(Specified::V9, "9", RoomVersionRules::V9);
    /// <https://spec.matrix.org/v1.19/rooms/v10/>
    pub const V10: Self = Self::specified(Specified::V10, "10", RoomVersionRules::V10);
    /// <https://spec.matrix.org/v1.19/rooms/v11/>
    pub const V11: Self = Self::specified(Specified::V11, "11", RoomVersionRules::V11);
    /// <https://spec.matrix.org/v1.19/rooms/v12/>
    pub const V12: Self = Self::specified(Specified::V12, "12", RoomVersionRules::V12);

    /// All versions of the specification, oldest first.
    pub const ALL: [Self; 12] = [
        Self::V1,
        Self::V2,
        Self::V3,
        Self::V4,
        Self::V5,
        Self::V6,
        Self::V7,
        Self::V8,
        Self::V9,
        Self::V10,
        Self::V11,
        Self::V12,
    ];

    const fn specified(specified: Specified, name: &str, rules: RoomVersionRules) -> Self {
        Self { specified, name: Name::of(name), rules }
    }

    /// Names a version that the specification does not have and that follows the rules of `goes_by`. Refusals are numbered
    /// as there.
    ///
    /// A name has 1 to 32 characters of `a-z`, `0-9`, `.` and `-`:
    /// <https://spec.matrix.org/v1.19/rooms/#room-version-grammar>
    ///
    /// # Errors
    ///
    /// [`UnstableVersionError`] if the name is not in the grammar or is that of a version of the specification.
    pub fn unstable(name: &str, goes_by: Self) -> Result<Self, UnstableVersionError> {
        Self::unstable_with(name, goes_by, |_| ())
    }

    /// Names a version that the specification does not have and that follows the rules of `goes_by` but for those that
    /// `change` changes.
    ///
    /// Any combination of rules is taken. A refusing rule that `goes_by` does not have has no number.
    ///
    /// # Errors
    ///
    /// As [`unstable`](Self::unstable).
    ///
    /// # Examples
    ///
    /// ```
    /// use matrix_knock::RoomVersion;
    ///
    /// // MSC2176, which version 11 took up, on top of version 6.
    /// let version = RoomVersion::unstable_with("org.matrix.msc2176", RoomVersion::V6, |rules| {
    ///     rules.updated_redaction = true;
    /// })?;
    /// assert!(!version.rules().knocking);
    /// # Ok::<(), matrix_knock::room_version::UnstableVersionError>(())
    /// ```
    pub fn unstable_with(
        name: &str,
        goes_by: Self,
        change: impl FnOnce(&mut RoomVersionRules),
    ) -> Result<Self, UnstableVersionError> {
        match name.len() {
            0 => return Err(UnstableVersionError::Empty),
            1..=MAX_ROOM_VERSION_BYTES => {}
            bytes => return Err(UnstableVersionError::TooLong { bytes }),
        }
        if !name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-')) {
            return Err(UnstableVersionError::Character);
        }
        if name.parse::<Self>().is_ok() {
            return Err(UnstableVersionError::Specified);
        }
        let mut rules = goes_by.rules;
        change(&mut rules);
        Ok(Self { specified: goes_by.specified, name: Name::of(name), rules })
    }

    /// Returns the version of this name among those that the host supports.
    ///
    /// # Errors
    ///
    /// [`UnknownRoomVersion`] if none of them has this name.
    pub fn parse_among(name: &str, supported: &[Self]) -> Result<Self, UnknownRoomVersion> {
        supported.iter().copied().find(|version| version.as_str() == name).ok_or(UnknownRoomVersion)
    }

    /// Returns the name of the version, as events and requests write it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.name.as_str()
    }

    /// Returns the rules of the version.
    #[must_use]
    pub const fn rules(&self) -> &RoomVersionRules {
        &self.rules
    }

    /// Returns the version of the specification that numbers the rules of this version: itself, for one of the twelve.
    #[must_use]
    pub fn goes_by(&self) -> Self {
        let found = Self::ALL.into_iter().find(|version| version.specified == self.specified);
        // Each of `Specified` is in `ALL`.
        found.unwrap_or(*self)
    }

    /// The same version, with knocking: to find out what else keeps somebody from it.
    pub(crate) const fn with_knocking(mut self) -> Self {
        self.rules.knocking = true;
        self
    }

    pub(crate) const fn numbering(&self) -> Specified {
        self.specified
    }
}

impl fmt::Debug for RoomVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RoomVersion({})", self.as_str())
    }
}

impl fmt::Display for RoomVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl AsRef<str> for RoomVersion {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq<str> for RoomVersion {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for RoomVersion {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl From<RoomVersion> for String {
    fn from(version: RoomVersion) -> Self {
        version.as_str().to_owned()
    }
}

/// Parses the name of a version of the specification. For others see [`RoomVersion::parse_among`].
impl FromStr for RoomVersion {
    type Err = UnknownRoomVersion;

    fn from_str(text: &str) -> Result<Self, UnknownRoomVersion> {
        Self::parse_among(text, &Self::ALL)
    }
}

/// Parses the name of a version of the specification. For others see [`RoomVersion::parse_among`].
impl TryFrom<&str> for RoomVersion {
    type Error = UnknownRoomVersion;

    fn try_from(text: &str) -> Result<Self, UnknownRoomVersion> {
        text.parse()
    }
}

/// A version as serde stores it.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Stored {
    Specified(String),
    Unstable {
        name: String,
        goes_by: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rules: Option<RoomVersionRules>,
    },
}

impl From<RoomVersion> for Stored {
    fn from(version: RoomVersion) -> Self {
        let goes_by = version.goes_by();
        if version == goes_by {
            return Self::Specified(version.into());
        }
        let rules = Some(version.rules).filter(|rules| *rules != goes_by.rules);
        Self::Unstable { name: version.into(), goes_by: goes_by.into(), rules }
    }
}

/// Why what was stored is not a room version.
#[derive(Debug, thiserror::Error)]
enum StoredError {
    #[error(transparent)]
    Unknown(#[from] UnknownRoomVersion),
    #[error(transparent)]
    Unstable(#[from] UnstableVersionError),
}

impl TryFrom<Stored> for RoomVersion {
    type Error = StoredError;

    fn try_from(stored: Stored) -> Result<Self, StoredError> {
        match stored {
            Stored::Specified(name) => Ok(name.parse()?),
            Stored::Unstable { name, goes_by, rules } => {
                let goes_by: Self = goes_by.parse().map_err(|_| UnstableVersionError::GoesBy)?;
                Ok(Self::unstable_with(&name, goes_by, |changed| *changed = rules.unwrap_or(*changed))?)
            }
        }
    }
}

/// What a room version says about knocks and the membership changes around them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RoomVersionRules {
    /// How event IDs are made and where they stand.
    pub event_ids: EventIdFormat,
    /// Since v5 a key counts only for events not later than its `valid_until_ts`.
    pub enforces_key_validity: bool,
    /// Since v6 numbers in events are integers within ±(2^53-1), in one form only. Before, anything goes.
    pub strict_canonical_json: bool,
    /// Since v7: membership `knock`, join rule `knock`, and leaving from a knock.
    pub knocking: bool,
    /// Since v8: join rule `restricted`, and users who authorize a join.
    pub restricted_join_rule: bool,
    /// Since v9 a redaction keeps who authorized a join.
    pub redaction_keeps_authorizing_user: bool,
    /// Since v10: join rule `knock_restricted`.
    pub knock_restricted_join_rule: bool,
    /// Since v10 a power level is an integer; before, a string may stand for one.
    pub integer_power_levels: bool,
    /// Since v11 the creator of a room is the sender of its create event; before, the event's content names them.
    pub creator_is_sender: bool,
    /// Since v11 a redaction keeps all of a create event's content, the invite level, the `redacts` of a redaction and
    /// what is signed in a third-party invite; no longer the top-level `membership`, `origin` and `prev_state`.
    pub updated_redaction: bool,
    /// Since v12 the creators (sender and `additional_creators`) stand above every power level.
    pub privileged_creators: bool,
    /// Since v12 the room ID is the event ID of the create event with another sigil; so the create event has no
    /// `room_id` and is in nobody's `auth_events`.
    pub create_event_is_room_id: bool,
}

/// How the ID of an event comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EventIdFormat {
    /// v1, v2: `$opaque:domain`, chosen by the server and written in the event.
    InBody,
    /// v3: `$` and the reference hash in standard base64.
    StandardHash,
    /// Since v4: `$` and the reference hash in URL-safe base64.
    UrlSafeHash,
}

impl RoomVersionRules {
    const V1: Self = Self {
        event_ids: EventIdFormat::InBody,
        enforces_key_validity: false,
        strict_canonical_json: false,
        knocking: false,
        restricted_join_rule: false,
        redaction_keeps_authorizing_user: false,
        knock_restricted_join_rule: false,
        integer_power_levels: false,
        creator_is_sender: false,
        updated_redaction: false,
        privileged_creators: false,
        create_event_is_room_id: false,
    };
    const V3: Self = Self { event_ids: EventIdFormat::StandardHash, ..Self::V1 };
    const V4: Self = Self { event_ids: EventIdFormat::UrlSafeHash, ..Self::V3 };
    const V5: Self = Self { enforces_key_validity: true, ..Self::V4 };
    const V6: Self = Self { strict_canonical_json: true, ..Self::V5 };
    const V7: Self = Self { knocking: true, ..Self::V6 };
    const V8: Self = Self { restricted_join_rule: true, ..Self::V7 };
    const V9: Self = Self { redaction_keeps_authorizing_user: true, ..Self::V8 };
    const V10: Self = Self { knock_restricted_join_rule: true, integer_power_levels: true, ..Self::V9 };
    const V11: Self = Self { creator_is_sender: true, updated_redaction: true, ..Self::V10 };
    const V12: Self = Self { privileged_creators: true, create_event_is_room_id: true, ..Self::V11 };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read() {
        for version in RoomVersion::ALL {
            assert_eq!(version.to_string().parse(), Ok(version));
        }
        for unknown in ["", "0", "01", "13", "v10", " 1", "org.matrix.msc3757.10"] {
            assert_eq!(unknown.parse::<RoomVersion>(), Err(UnknownRoomVersion), "{unknown}");
        }
        assert_eq!(UnknownRoomVersion.to_string(), "unknown room version");
    }

    #[test]
    fn unstable_names() {
        use UnstableVersionError::{Character, Empty, Specified, TooLong};
        let long = "a".repeat(10_000);
        for (name, error) in [
            ("", Empty),
            (long.as_str(), TooLong { bytes: 10_000 }),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", TooLong { bytes: 33 }),
            ("a b", Character),
            ("A", Character),
            ("a_b", Character),
            ("a\0", Character),
            ("é", Character),
        ] {
            assert_eq!(RoomVersion::unstable(name, RoomVersion::V11), Err(error));
        }
        for version in RoomVersion::ALL {
            assert_eq!(RoomVersion::unstable(version.as_str(), RoomVersion::V11), Err(Specified));
        }
        for name in ["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "org.matrix.msc3757.11", "13", "1.2-beta", "-", "."] {
            for goes_by in RoomVersion::ALL {
                let version = RoomVersion::unstable(name, goes_by).unwrap();
                assert_eq!((version.as_str(), version.rules()), (name, goes_by.rules()));
                assert_eq!((version.goes_by(), version == goes_by), (goes_by, false));
                assert_eq!(RoomVersion::parse_among(name, &[goes_by, version]), Ok(version));
                assert_eq!(RoomVersion::parse_among(name, &RoomVersion::ALL), Err(UnknownRoomVersion));
            }
        }
    }

    #[test]
    fn ordered_by_what_they_go_by_and_by_name() {
        let unstable = |name, goes_by| RoomVersion::unstable(name, goes_by).unwrap();
        let mut versions = [
            unstable("b", RoomVersion::V10),
            RoomVersion::V11,
            RoomVersion::V9,
            unstable("a", RoomVersion::V10),
            RoomVersion::V10,
        ];
        versions.sort();
        assert_eq!(versions.map(|version| version.to_string()), ["9", "10", "a", "b", "11"]);
        assert_eq!(format!("{:?}", RoomVersion::V10), "RoomVersion(10)");
    }

    #[test]
    fn stored_and_read() {
        let plain = RoomVersion::unstable("org.matrix.msc3757.11", RoomVersion::V11).unwrap();
        let changed = RoomVersion::unstable_with("x", plain, |rules| rules.knocking = false).unwrap();
        assert_eq!(changed.goes_by(), RoomVersion::V11);
        for version in RoomVersion::ALL.into_iter().chain([plain, changed]) {
            let stored = serde_json::to_string(&version).unwrap();
            assert_eq!(serde_json::from_str::<RoomVersion>(&stored).unwrap(), version, "{stored}");
        }
        assert_eq!(serde_json::to_string(&RoomVersion::V10).unwrap(), r#""10""#);
        assert_eq!(serde_json::to_string(&plain).unwrap(), r#"{"name":"org.matrix.msc3757.11","goes_by":"11"}"#);
        for (stored, error) in [
            (r#""13""#, "unknown room version"),
            (r#"{"name":"x","goes_by":"13"}"#, "a room version goes by a version that the specification does not have"),
            (r#"{"name":"11","goes_by":"11"}"#, "the specification has a room version of this name"),
            (r#"{"name":"","goes_by":"11"}"#, "the name of a room version is empty"),
            ("7", "data did not match any variant of untagged enum Stored"),
            (r#"{"name":"x"}"#, "data did not match any variant of untagged enum Stored"),
        ] {
            assert_eq!(serde_json::from_str::<RoomVersion>(stored).unwrap_err().to_string(), error);
        }
    }

    /// The table of the facts, written down a second time by version instead of by change.
    #[test]
    fn facts() {
        let since = |fact: fn(&RoomVersionRules) -> bool| {
            RoomVersion::ALL.into_iter().filter(|version| fact(version.rules())).collect::<Vec<_>>()
        };
        let from =
            |first: RoomVersion| RoomVersion::ALL.into_iter().filter(|version| *version >= first).collect::<Vec<_>>();
        assert_eq!(since(|rules| rules.strict_canonical_json), from(RoomVersion::V6));
        assert_eq!(since(|rules| rules.knocking), from(RoomVersion::V7));
        assert_eq!(since(|rules| rules.restricted_join_rule), from(RoomVersion::V8));
        assert_eq!(since(|rules| rules.knock_restricted_join_rule), from(RoomVersion::V10));
        assert_eq!(since(|rules| rules.integer_power_levels), from(RoomVersion::V10));
        assert_eq!(since(|rules| rules.creator_is_sender), from(RoomVersion::V11));
        assert_eq!(since(|rules| rules.redaction_keeps_authorizing_user), from(RoomVersion::V9));
        assert_eq!(since(|rules| rules.updated_redaction), from(RoomVersion::V11));
        assert_eq!(since(|rules| rules.enforces_key_validity), from(RoomVersion::V5));
        assert_eq!(since(|rules| rules.privileged_creators), from(RoomVersion::V12));
        assert_eq!(since(|rules| rules.create_event_is_room_id), from(RoomVersion::V12));
        assert_eq!(since(|rules| rules.event_ids == EventIdFormat::InBody), [RoomVersion::V1, RoomVersion::V2]);
        assert_eq!(since(|rules| rules.event_ids == EventIdFormat::StandardHash), [RoomVersion::V3]);
        assert_eq!(since(|rules| rules.event_ids == EventIdFormat::UrlSafeHash), from(RoomVersion::V4));
    }
}
