//! Room versions 1 to 12 and what changes between them, as far as knocking is concerned.
//!
//! Each version is its predecessor and a difference, so that a line below says *since when* something holds.
//!
//! <https://spec.matrix.org/v1.19/rooms/>

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A version of the rules that a room lives by.
///
/// Stored (serde) as events and requests write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
#[non_exhaustive]
pub enum RoomVersion {
    /// <https://spec.matrix.org/v1.19/rooms/v1/>
    V1,
    /// <https://spec.matrix.org/v1.19/rooms/v2/>
    V2,
    /// <https://spec.matrix.org/v1.19/rooms/v3/>
    V3,
    /// <https://spec.matrix.org/v1.19/rooms/v4/>
    V4,
    /// <https://spec.matrix.org/v1.19/rooms/v5/>
    V5,
    /// <https://spec.matrix.org/v1.19/rooms/v6/>
    V6,
    /// <https://spec.matrix.org/v1.19/rooms/v7/>
    V7,
    /// <https://spec.matrix.org/v1.19/rooms/v8/>
    V8,
    /// <https://spec.matrix.org/v1.19/rooms/v9/>
    V9,
    /// <https://spec.matrix.org/v1.19/rooms/v10/>
    V10,
    /// <https://spec.matrix.org/v1.19/rooms/v11/>
    V11,
    /// <https://spec.matrix.org/v1.19/rooms/v12/>
    V12,
}

/// A text that names no room version that this crate knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("unknown room version")]
pub struct UnknownRoomVersion;

impl RoomVersion {
    /// All versions, oldest first.
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

    /// The version as events and requests write it: `1` to `12`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "1",
            Self::V2 => "2",
            Self::V3 => "3",
            Self::V4 => "4",
            Self::V5 => "5",
            Self::V6 => "6",
            Self::V7 => "7",
            Self::V8 => "8",
            Self::V9 => "9",
            Self::V10 => "10",
            Self::V11 => "11",
            Self::V12 => "12",
        }
    }

    /// What holds in this version.
    #[must_use]
    pub const fn rules(self) -> &'static RoomVersionRules {
        match self {
            Self::V1 | Self::V2 => &RoomVersionRules::V1,
            Self::V3 => &RoomVersionRules::V3,
            Self::V4 => &RoomVersionRules::V4,
            Self::V5 => &RoomVersionRules::V5,
            Self::V6 => &RoomVersionRules::V6,
            Self::V7 => &RoomVersionRules::V7,
            Self::V8 => &RoomVersionRules::V8,
            Self::V9 => &RoomVersionRules::V9,
            Self::V10 => &RoomVersionRules::V10,
            Self::V11 => &RoomVersionRules::V11,
            Self::V12 => &RoomVersionRules::V12,
        }
    }
}

impl fmt::Display for RoomVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<RoomVersion> for &'static str {
    fn from(version: RoomVersion) -> Self {
        version.as_str()
    }
}

impl TryFrom<String> for RoomVersion {
    type Error = UnknownRoomVersion;

    fn try_from(text: String) -> Result<Self, UnknownRoomVersion> {
        text.parse()
    }
}

impl FromStr for RoomVersion {
    type Err = UnknownRoomVersion;

    fn from_str(text: &str) -> Result<Self, UnknownRoomVersion> {
        Self::ALL.into_iter().find(|version| version.as_str() == text).ok_or(UnknownRoomVersion)
    }
}

/// What a room version says about knocks and the membership changes around them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
