//! A summary as a client, or another server, reads it.

use super::{RoomSummary, content};
use crate::id::{IdError, OwnedRoomId, RoomId};
use crate::json::{Field, JsonError, Kind, Reader, read_array_unread, read_field, read_object_unread};
use crate::restricted_join::AllowConditions;

/// The longest text in a summary that is read, in bytes; a longer one is left out.
pub const MAX_TEXT_BYTES: usize = 65_536;

/// The most summaries that are read of a list.
pub const MAX_SUMMARIES: usize = 10_000;

/// Why a summary cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SummaryError {
    /// It is not JSON, as far as it takes to tell one property from the next.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// It is of another kind than an object.
    #[error("the summary is not an object")]
    NotAnObject,
    /// The `room_id` is missing, occurs twice or is not a string.
    #[error("the summary does not name a room")]
    NoRoomId,
    /// The `room_id` is not in the grammar.
    #[error("`room_id` of the summary {0}")]
    RoomId(#[from] IdError),
}

impl RoomSummary {
    /// Reads a summary: the answer to `GET /room_summary`, or an entry of the hierarchy or the
    /// public rooms. Each property is read by itself: one that is malformed, occurs twice or is too
    /// long is left out, and costs the others nothing.
    ///
    /// # Errors
    ///
    /// [`SummaryError`] if it does not say which room it is about.
    pub fn parse(text: &str) -> Result<Self, SummaryError> {
        if Reader::new(text).kind()? != Kind::Object {
            return Err(SummaryError::NotAnObject);
        }
        let mut properties = Properties([Field::Missing; NAMES.len()]);
        read_object_unread(text, |key, value| {
            let place = NAMES.iter().position(|name| key.is(name));
            if let Some(property) = place.and_then(|place| properties.0.get_mut(place)) {
                property.put(Field::Is(value));
            }
        })?;
        let room_id = properties.text("room_id").ok_or(SummaryError::NoRoomId)?;
        let join_rule = match properties.get("join_rule") {
            // Without one a room is assumed to be public.
            Field::Missing => Some("public".to_owned()),
            Field::Malformed | Field::Is(_) => properties.text("join_rule"),
        };
        Ok(Self {
            room_id: OwnedRoomId::parse(room_id)?,
            join_rule: join_rule.unwrap_or_default(),
            room_version: properties.text("room_version"),
            allowed_room_ids: properties.rooms(),
            membership: properties.text("membership").and_then(|membership| membership.parse().ok()),
            name: properties.text("name"),
            topic: properties.text("topic"),
            canonical_alias: properties.text("canonical_alias").filter(|alias| content::is_alias(alias)),
            avatar_url: properties.text("avatar_url").filter(|url| content::is_mxc(url)),
            room_type: properties.text("room_type"),
            encryption: properties.text("encryption"),
            num_joined_members: properties.number("num_joined_members"),
            world_readable: properties.is_true("world_readable"),
            guest_can_join: properties.is_true("guest_can_join"),
        })
    }

    /// Reads the summaries of a list: the `chunk` of the public rooms, the `rooms` of a client's
    /// hierarchy, the `children` of a server's. One that cannot be read is left out, and so are
    /// those beyond the first [`MAX_SUMMARIES`]. What is not a list has none.
    ///
    /// # Examples
    ///
    /// ```
    /// use matrix_knock::summary::RoomSummary;
    ///
    /// let list = r#"[{"room_id":"!a:b"},{"room_id":5},"!c:d",{"room_id":"!e:f","name":[]}]"#;
    /// let read = RoomSummary::parse_list(list);
    /// let rooms: Vec<_> = read.iter().map(|room| room.room_id.as_str()).collect();
    /// assert_eq!(rooms, ["!a:b", "!e:f"]);
    /// ```
    #[must_use]
    pub fn parse_list(list: &str) -> Vec<Self> {
        let mut found = Vec::new();
        // Of a list that ends too early, what was read counts.
        let _to_its_end = read_array_unread(list, |entry| {
            if found.len() < MAX_SUMMARIES {
                found.extend(Self::parse(entry).ok());
            }
        });
        found
    }
}

const NAMES: [&str; 14] = [
    "room_id",
    "join_rule",
    "room_version",
    "allowed_room_ids",
    "membership",
    "name",
    "topic",
    "canonical_alias",
    "avatar_url",
    "room_type",
    "encryption",
    "num_joined_members",
    "world_readable",
    "guest_can_join",
];

/// The texts of the properties, in the order of their [`NAMES`].
struct Properties<'a>([Field<&'a str>; NAMES.len()]);

impl<'a> Properties<'a> {
    fn get(&self, name: &str) -> Field<&'a str> {
        let place = NAMES.iter().position(|of| *of == name);
        place.and_then(|place| self.0.get(place)).copied().unwrap_or_default()
    }

    fn text(&self, name: &str) -> Option<String> {
        self.get(name).known().and_then(content::string).filter(|text| text.len() <= MAX_TEXT_BYTES)
    }

    fn number(&self, name: &str) -> u64 {
        let read = |value| read_field(value, |reader| reader.integer_field()).known();
        self.get(name).known().and_then(read).unwrap_or_default()
    }

    fn is_true(&self, name: &str) -> bool {
        self.get(name).known() == Some("true")
    }

    fn rooms(&self) -> Vec<OwnedRoomId> {
        let mut rooms: Vec<String> = Vec::new();
        if let Some(list) = self.get("allowed_room_ids").known() {
            // Malformed entries are passed over, as those of the conditions.
            let _not_a_list = read_array_unread(list, |entry| rooms.extend(content::string(entry)));
        }
        let rooms = rooms.iter().filter_map(|room| RoomId::parse(room).ok());
        AllowConditions::of_rooms(rooms).rooms().to_vec()
    }
}
