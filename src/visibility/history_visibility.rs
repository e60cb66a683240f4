//! `m.room.history_visibility`.
//! <https://spec.matrix.org/v1.19/client-server-api/#mroomhistory_visibility>

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::event::{Event, EventType};
use crate::json::{Field, Str, read_object};
use crate::state::{NotLookedUp, RoomState};

/// Who may read the events that are sent while a room has this setting.
///
/// The four have no order from closed to open. A user who is invited reads what was sent under
/// `invited`, and reads nothing of what was sent under `shared` unless they join.
///
/// <https://spec.matrix.org/v1.19/client-server-api/#room-history-visibility>
///
/// # Examples
///
/// ```
/// use matrix_knock::visibility::HistoryVisibility;
///
/// let of = HistoryVisibility::of_content;
/// assert_eq!(of(r#"{"history_visibility":"joined"}"#), HistoryVisibility::Joined);
/// assert_eq!(of(r#"{"history_visibility":"everybody"}"#), HistoryVisibility::Shared);
/// assert_eq!("invited".parse(), Ok(HistoryVisibility::Invited));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HistoryVisibility {
    /// Everybody, in the room or not.
    WorldReadable,
    /// Who is in the room, and who joins later. The default.
    #[default]
    Shared,
    /// Who is in the room or invited.
    Invited,
    /// Who is in the room.
    Joined,
}

impl HistoryVisibility {
    /// All four, in the order of the specification.
    pub const ALL: [Self; 4] = [Self::WorldReadable, Self::Shared, Self::Invited, Self::Joined];

    /// Returns the setting as events write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WorldReadable => "world_readable",
            Self::Shared => "shared",
            Self::Invited => "invited",
            Self::Joined => "joined",
        }
    }

    /// Reads the content of an `m.room.history_visibility` event.
    ///
    /// A value that is missing or not understood counts as `shared`, as the specification has it.
    /// That includes a content that is not an object, a value that is not a string, and a value
    /// that is given twice.
    #[must_use]
    pub fn of_content(content: &str) -> Self {
        let mut found = Field::Missing;
        let read = read_object(content, |key, reader| {
            if key.is("history_visibility") {
                found.put(reader.string_field()?.map(Self::named));
            } else {
                reader.skip_value()?;
            }
            Ok(())
        });
        read.ok().and_then(|()| found.known()).flatten().unwrap_or_default()
    }

    /// Returns the setting that the event gives the room. `None` if it is not the room's
    /// `m.room.history_visibility` event: that one has an empty state key.
    pub fn of_event(event: &(impl Event + ?Sized)) -> Option<Self> {
        let is_setting = event.state_key() == Some("") && event.is_type(EventType::HistoryVisibility);
        is_setting.then(|| Self::of_content(event.content()))
    }

    /// Returns the setting that a room has in this state: `shared` if the room has no such event.
    ///
    /// # Errors
    ///
    /// [`NotLookedUp`] if a snapshot lacks the `m.room.history_visibility` entry.
    pub fn of_state(state: &(impl RoomState + ?Sized)) -> Result<Self, NotLookedUp> {
        let event = state.event(EventType::HistoryVisibility, "")?;
        Ok(event.map_or_else(Self::default, |event| Self::of_content(event.content())))
    }

    fn named(name: Str<'_>) -> Option<Self> {
        Self::ALL.into_iter().find(|visibility| name.is(visibility.as_str()))
    }
}

/// A text that is none of the four history visibilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("unknown history visibility")]
pub struct UnknownHistoryVisibility;

impl FromStr for HistoryVisibility {
    type Err = UnknownHistoryVisibility;

    fn from_str(text: &str) -> Result<Self, UnknownHistoryVisibility> {
        Self::ALL.into_iter().find(|visibility| visibility.as_str() == text).ok_or(UnknownHistoryVisibility)
    }
}

impl TryFrom<&str> for HistoryVisibility {
    type Error = UnknownHistoryVisibility;

    fn try_from(text: &str) -> Result<Self, UnknownHistoryVisibility> {
        text.parse()
    }
}

impl AsRef<str> for HistoryVisibility {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq<str> for HistoryVisibility {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for HistoryVisibility {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Display for HistoryVisibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for visibility in HistoryVisibility::ALL {
            let name = visibility.as_str();
            let content = format!(r#"{{"a":[1],"history_visibility":"{name}","b":{{}}}}"#);
            assert_eq!(HistoryVisibility::of_content(&content), visibility);
            assert_eq!(HistoryVisibility::try_from(name), Ok(visibility));
            assert_eq!(serde_json::to_value(visibility).unwrap(), name);
            assert_eq!(serde_json::from_value::<HistoryVisibility>(name.into()).unwrap(), visibility);
            assert!(visibility == name && visibility == *name);
            assert_eq!((visibility.to_string().as_str(), visibility.as_ref()), (name, name));
        }
        let escaped = r#"{"history_visibilit\u0079":"\u006aoined"}"#;
        assert_eq!(HistoryVisibility::of_content(escaped), HistoryVisibility::Joined);
        assert_eq!("Joined".parse::<HistoryVisibility>(), Err(UnknownHistoryVisibility));
        assert_eq!(UnknownHistoryVisibility.to_string(), "unknown history visibility");
    }
}
