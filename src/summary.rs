//! Summaries of rooms: an entry of the room summary, of the space hierarchy (of clients and between
//! servers) and of the public rooms, as far as somebody who wants in needs it.
//!
//! Which rooms are children of a space, pages and filters are the host's.
//!
//! | property | room summary | hierarchy | public rooms |
//! | --- | --- | --- | --- |
//! | `room_id`, `join_rule`, `room_type`, `num_joined_members` | yes | yes | yes |
//! | `name`, `topic`, `canonical_alias`, `avatar_url` | yes | yes | yes |
//! | `world_readable`, `guest_can_join` | yes | yes | yes |
//! | `room_version`, `encryption`, `allowed_room_ids` | yes | yes | |
//! | `membership` | yes | | |
//! | `children_state` | | yes | |
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#room-summaries>,
//! <https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidhierarchy>,
//! <https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1hierarchyroomid>,
//! <https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3publicrooms>
//!
//! # Examples
//!
//! ```
//! use matrix_knock::RoomVersion;
//! use matrix_knock::event::Pdu;
//! use matrix_knock::id::{RoomId, UserId};
//! use matrix_knock::state::StateMap;
//! use matrix_knock::summary::RoomSummary;
//! use matrix_knock::sync::Knockable;
//!
//! let create = r#"{"type":"m.room.create","state_key":"","sender":"@alice:a.example",
//!     "content":{}}"#;
//! let rules = r#"{"type":"m.room.join_rules","state_key":"","sender":"@alice:a.example",
//!     "content":{"join_rule":"knock"}}"#;
//! let state = StateMap::from([Pdu::parse(create)?, Pdu::parse(rules)?]);
//!
//! let room = RoomId::parse("!room:a.example")?;
//! let summary = RoomSummary::of_state(room, RoomVersion::V10, None, 3, &state)?;
//! assert_eq!(summary.to_summary(), concat!(
//!     r#"{"guest_can_join":false,"join_rule":"knock","num_joined_members":3,"#,
//!     r#""room_id":"!room:a.example","room_version":"10","world_readable":false}"#,
//! ));
//! let read = RoomSummary::parse(&summary.to_public_rooms())?;
//! assert_eq!(summary.knockable(&RoomVersion::ALL), Knockable::Yes);
//! // The public rooms do not say of which version a room is.
//! assert_eq!(read.knockable(&RoomVersion::ALL), Knockable::NotKnown);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod access;
mod content;
mod read;

use std::collections::BTreeMap;

pub use self::access::{SummaryAccess, access_of_server, access_of_user, reads_of_access};
pub use self::read::{MAX_SUMMARIES, MAX_TEXT_BYTES, SummaryError};
use crate::event::content::join_rules::{JoinRule, join_rule};
use crate::event::{Event, EventType, Membership};
use crate::id::{OwnedRoomId, RoomId, UserId};
use crate::json::{CanonicalDialect, canonical, push_string};
use crate::restricted_join::{AllowConditions, JoinBy, MayJoin, RoomMembership, joined_to_any};
use crate::room_version::RoomVersion;
use crate::state::{NotLookedUp, Reads, RoomState};
use crate::sync::{Knockable, summary_is_knockable};
use crate::visibility::HistoryVisibility;

/// What stands in a summary of a room.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RoomSummary {
    /// The room.
    pub room_id: OwnedRoomId,
    /// The join rule. A summary that says nothing has `public`, as the text has it; one whose
    /// `join_rule` is malformed has an empty text, which is the rule of no room.
    pub join_rule: String,
    /// The version; `None` if it is missing or malformed.
    pub room_version: Option<String>,
    /// The rooms whose members may join, if the join rule is `restricted` or `knock_restricted`;
    /// else empty. At most
    /// [`MAX_CONDITION_ROOMS`](crate::restricted_join::MAX_CONDITION_ROOMS), none twice.
    pub allowed_room_ids: Vec<OwnedRoomId>,
    /// The membership of the user who asks; `None` if nobody is logged in.
    pub membership: Option<Membership>,
    /// The name.
    pub name: Option<String>,
    /// The topic as plain text.
    pub topic: Option<String>,
    /// The canonical alias.
    pub canonical_alias: Option<String>,
    /// The avatar: an `mxc` URI.
    pub avatar_url: Option<String>,
    /// The `type` in the create event: `m.space` for a space.
    pub room_type: Option<String>,
    /// The algorithm by which the room is encrypted.
    pub encryption: Option<String>,
    /// How many users are joined; 0 if it is missing or malformed.
    pub num_joined_members: u64,
    /// Whether anybody may read the room without joining.
    pub world_readable: bool,
    /// Whether guests may join.
    pub guest_can_join: bool,
}

/// The largest integer of canonical JSON.
const MAX_INTEGER: u64 = (1 << 53) - 1;

const GUEST_ACCESS: &str = "m.room.guest_access";

impl RoomSummary {
    /// Returns the entries of the state that [`of_state`](Self::of_state) reads.
    #[must_use]
    pub fn reads(user: Option<UserId<'_>>) -> Reads {
        let types = [
            EventType::Create,
            EventType::JoinRules,
            EventType::Name,
            EventType::Avatar,
            EventType::Topic,
            EventType::CanonicalAlias,
            EventType::Encryption,
            EventType::HistoryVisibility,
            EventType::from(GUEST_ACCESS),
        ];
        let own = user.iter().map(|user| (EventType::Member, user.as_str()));
        types.into_iter().map(|event_type| (event_type, "")).chain(own).collect()
    }

    /// Summarizes a room that this server is in, for this user, or for somebody who is not logged
    /// in or another server. What is malformed in the state is left out.
    ///
    /// A room without join rules counts as `invite`, as everywhere in this crate, so the summary
    /// says so. A user without a membership has `leave`.
    ///
    /// # Errors
    ///
    /// [`NotLookedUp`] if a snapshot lacks an entry of [`reads`](Self::reads).
    pub fn of_state(
        room_id: RoomId<'_>,
        version: RoomVersion,
        user: Option<UserId<'_>>,
        num_joined_members: u64,
        state: &(impl RoomState + ?Sized),
    ) -> Result<Self, NotLookedUp> {
        let text = |event_type, name| {
            let event = state.event(event_type, "")?;
            Ok(event.and_then(|event| content::text(event.content(), name)))
        };
        let topic = state.event(EventType::Topic, "")?;
        let membership = match user {
            Some(user) => {
                let member = state.event(EventType::Member, user.as_str())?;
                let membership = member.and_then(|member| member.member_facts().membership());
                Some(membership.unwrap_or(Membership::Leave))
            }
            None => None,
        };
        let conditions = AllowConditions::of(version, state)?;
        let guest_access = text(EventType::from(GUEST_ACCESS), "guest_access")?;
        Ok(Self {
            room_id: room_id.into_owned(),
            join_rule: text(EventType::JoinRules, "join_rule")?.unwrap_or_else(|| "invite".to_owned()),
            room_version: Some(version.as_str().to_owned()),
            allowed_room_ids: conditions.map(|conditions| conditions.rooms().to_vec()).unwrap_or_default(),
            membership,
            name: text(EventType::Name, "name")?,
            topic: topic.and_then(|event| content::topic(event.content())),
            canonical_alias: text(EventType::CanonicalAlias, "alias")?.filter(|alias| content::is_alias(alias)),
            avatar_url: text(EventType::Avatar, "url")?.filter(|url| content::is_mxc(url)),
            room_type: text(EventType::Create, "type")?,
            encryption: text(EventType::Encryption, "algorithm")?,
            num_joined_members,
            world_readable: HistoryVisibility::of_state(state)? == HistoryVisibility::WorldReadable,
            guest_can_join: guest_access.is_some_and(|access| access == "can_join"),
        })
    }

    /// Returns whether anybody can knock on the room, as far as the summary says.
    #[must_use]
    pub fn knockable(&self, supported: &[RoomVersion]) -> Knockable {
        summary_is_knockable(self.room_version.as_deref(), Some(&self.join_rule), supported)
    }

    /// Returns the conditions of `allowed_room_ids`.
    #[must_use]
    pub fn conditions(&self) -> AllowConditions {
        AllowConditions::of_rooms(self.allowed_room_ids.iter().map(OwnedRoomId::as_borrowed))
    }

    /// Returns whether the user may join instead of knocking, as far as the summary says, for a
    /// room that this server is not in. `look_up` is asked for the rooms of the conditions, if they
    /// matter, until the user is joined to one.
    ///
    /// [`MayJoin::NotKnown`] if the version decides and is missing or not among `supported`.
    pub fn may_join<'s>(
        &'s self,
        supported: &[RoomVersion],
        look_up: impl FnMut(RoomId<'_>) -> RoomMembership,
    ) -> MayJoin<'s> {
        let is_inside = match self.membership {
            Some(Membership::Ban) => return MayJoin::No,
            Some(Membership::Invite | Membership::Join) => true,
            Some(Membership::Knock | Membership::Leave) | None => false,
        };
        let inside = if is_inside { MayJoin::Yes(JoinBy::Rules) } else { MayJoin::No };
        let version = self.room_version.as_deref();
        let Some(version) = version.and_then(|name| RoomVersion::parse_among(name, supported).ok()) else {
            return match &*self.join_rule {
                // Every version has these.
                "public" => MayJoin::Yes(JoinBy::Rules),
                "invite" => inside,
                // No version lets anybody in by this one, nor the uninvited by that one.
                "private" => MayJoin::No,
                "knock" if !is_inside => MayJoin::No,
                _ => MayJoin::NotKnown,
            };
        };
        let mut content = String::from(r#"{"join_rule":"#);
        push_string(&mut content, &self.join_rule);
        content.push('}');
        match join_rule(&content, version.rules()) {
            Ok(JoinRule::Public) => MayJoin::Yes(JoinBy::Rules),
            Ok(JoinRule::Invite | JoinRule::Knock) => inside,
            Ok(JoinRule::Restricted | JoinRule::KnockRestricted) if is_inside => inside,
            Ok(JoinRule::Restricted | JoinRule::KnockRestricted) => {
                joined_to_any(&self.allowed_room_ids, MayJoin::No, look_up)
            }
            Ok(JoinRule::Unknown) | Err(_) => MayJoin::No,
        }
    }

    /// Writes the answer to `GET /room_summary`, as canonical JSON.
    #[must_use]
    pub fn to_summary(&self) -> String {
        self.write(true, self.membership, None)
    }

    /// Writes an entry of the hierarchy, of clients and between servers, as canonical JSON.
    ///
    /// `children_state` are the room's `m.space.child` events, as stripped state with an
    /// `origin_server_ts`; none for a room that is not a space. One that is not a JSON object is
    /// left out.
    #[must_use]
    pub fn to_hierarchy<'c>(&self, children_state: impl IntoIterator<Item = &'c str>) -> String {
        let events = children_state.into_iter().filter_map(|event| canonical(event, CanonicalDialect::Lenient).ok());
        let events: Vec<String> = events.filter(|event| event.starts_with('{')).collect();
        self.write(true, None, Some(&events.join(",")))
    }

    /// Writes an entry of the `chunk` of the public rooms, as canonical JSON.
    #[must_use]
    pub fn to_public_rooms(&self) -> String {
        self.write(false, None, None)
    }

    fn write(&self, is_summary: bool, membership: Option<Membership>, children_state: Option<&str>) -> String {
        let text = |text: &str| {
            let mut out = String::new();
            push_string(&mut out, text);
            out
        };
        let optional = |value: &Option<String>| value.as_deref().map(text);
        let rooms: Vec<String> = self.allowed_room_ids.iter().map(|room| text(room.as_str())).collect();
        let rooms = (!rooms.is_empty()).then(|| format!("[{}]", rooms.join(",")));
        let properties = BTreeMap::from([
            ("allowed_room_ids", rooms.filter(|_| is_summary)),
            ("avatar_url", optional(&self.avatar_url)),
            ("canonical_alias", optional(&self.canonical_alias)),
            ("children_state", children_state.map(|events| format!("[{events}]"))),
            ("encryption", optional(&self.encryption).filter(|_| is_summary)),
            ("guest_can_join", Some(self.guest_can_join.to_string())),
            ("join_rule", Some(text(&self.join_rule))),
            ("membership", membership.map(|membership| text(membership.as_str()))),
            ("name", optional(&self.name)),
            ("num_joined_members", Some(self.num_joined_members.min(MAX_INTEGER).to_string())),
            ("room_id", Some(text(self.room_id.as_str()))),
            ("room_type", optional(&self.room_type)),
            ("room_version", optional(&self.room_version).filter(|_| is_summary)),
            ("topic", optional(&self.topic)),
            ("world_readable", Some(self.world_readable.to_string())),
        ]);
        let written = properties.into_iter().filter_map(|(name, value)| Some(format!("{}:{}", text(name), value?)));
        format!("{{{}}}", written.collect::<Vec<_>>().join(","))
    }
}
