//! The conditions in `allow`.

use std::collections::BTreeSet;

use super::{JoinBy, MayJoin};
use crate::event::content::join_rules::{JoinRule, allow_list, join_rule};
use crate::event::{Event, EventType, Membership};
use crate::id::{OwnedRoomId, RoomId};
use crate::json::{Field, read_array_unread, read_field, read_object_field};
use crate::room_version::RoomVersion;
use crate::state::{NotLookedUp, Reads, RoomState};

/// The most different rooms of the conditions that are looked at: more than fit into an event of
/// 65,536 bytes. Where there are more, a user who is joined to none of these is
/// [not known](MayJoin::NotKnown) to fail.
pub const MAX_CONDITION_ROOMS: usize = 1_500;

/// What this server knows of a user's membership in a room of the conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RoomMembership {
    /// The user is joined.
    Joined,
    /// The user is not joined: invited, knocking, banned, left, or never heard of. So it is for a
    /// user of this server in a room that this server is not in.
    NotJoined,
    /// This server cannot tell: the user is of another server, and this server is not in the room,
    /// or does not have the whole state of it yet.
    NotKnown,
}

impl RoomMembership {
    /// Takes what is known of one room of the conditions into the answer. Returns whether it is
    /// decided by that.
    const fn settles<'c>(self, room: RoomId<'c>, answer: &mut MayJoin<'c>) -> bool {
        match self {
            Self::Joined => *answer = MayJoin::Yes(JoinBy::Condition(room)),
            Self::NotJoined => {}
            Self::NotKnown => *answer = MayJoin::NotKnown,
        }
        matches!(self, Self::Joined)
    }
}

/// Whether the user is joined to any of these rooms; if they are to none, and all are known, the
/// answer is `otherwise`.
pub(crate) fn joined_to_any<'c>(
    rooms: &'c [OwnedRoomId],
    otherwise: MayJoin<'c>,
    mut look_up: impl FnMut(RoomId<'_>) -> RoomMembership,
) -> MayJoin<'c> {
    let mut answer = otherwise;
    for room in rooms.iter().map(OwnedRoomId::as_borrowed) {
        if look_up(room).settles(room, &mut answer) {
            break;
        }
    }
    answer
}

/// By the user's membership in the full state of the room.
impl From<Option<Membership>> for RoomMembership {
    fn from(membership: Option<Membership>) -> Self {
        match membership {
            Some(Membership::Join) => Self::Joined,
            Some(Membership::Invite | Membership::Knock | Membership::Leave | Membership::Ban) | None => {
                Self::NotJoined
            }
        }
    }
}

/// The rooms whose members may join another room: what is read of `allow` in its join rules.
///
/// Conditions of the kind `m.room_membership` with a `room_id` count. Other kinds, and entries that
/// are malformed, are passed over. An `allow` that is missing, occurs twice or is not a list has no
/// condition, so that nobody meets any.
///
/// <https://spec.matrix.org/v1.19/client-server-api/#conditions>
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AllowConditions {
    rooms: Vec<OwnedRoomId>,
    /// Whether rooms beyond [`MAX_CONDITION_ROOMS`] are left out.
    is_cut: bool,
}

impl AllowConditions {
    /// Returns the entry of the state that [`of`](Self::of) reads.
    #[must_use]
    pub fn reads() -> Reads {
        Reads::of_types([EventType::JoinRules])
    }

    /// Reads the conditions of a room, or `None` if its join rule has none: it is neither
    /// `restricted` (since v8) nor `knock_restricted` (since v10).
    ///
    /// # Errors
    ///
    /// [`NotLookedUp`] if a snapshot lacks the entry of [`reads`](Self::reads).
    pub fn of(version: RoomVersion, state: &(impl RoomState + ?Sized)) -> Result<Option<Self>, NotLookedUp> {
        let join_rules = state.event(EventType::JoinRules, "")?;
        Ok(join_rules.and_then(|event| Self::of_content(version, event.content())))
    }

    /// Reads the conditions out of the content of an `m.room.join_rules` event, as
    /// [`of`](Self::of) does.
    ///
    /// # Examples
    ///
    /// ```
    /// use matrix_knock::RoomVersion;
    /// use matrix_knock::restricted_join::AllowConditions;
    ///
    /// let content = r#"{"join_rule":"restricted","allow":[
    ///     {"type":"m.room_membership","room_id":"!a:a.example","via":["a.example"]},
    ///     {"type":"m.room_membership","room_id":"none"}, "!b:a.example"]}"#;
    /// let conditions = AllowConditions::of_content(RoomVersion::V8, content).expect("conditions");
    /// assert_eq!(conditions.rooms(), ["!a:a.example"]);
    /// assert_eq!(AllowConditions::of_content(RoomVersion::V7, content), None);
    /// ```
    #[must_use]
    pub fn of_content(version: RoomVersion, content: &str) -> Option<Self> {
        match join_rule(content, version.rules()) {
            Ok(JoinRule::Restricted | JoinRule::KnockRestricted) => {}
            Ok(JoinRule::Public | JoinRule::Invite | JoinRule::Knock | JoinRule::Unknown) | Err(_) => return None,
        }
        let mut rooms = Rooms::default();
        if let Field::Is(list) = allow_list(content) {
            // What is not a list has no entry.
            let _not_a_list = read_array_unread(list, |entry| rooms.extend(room_of(entry)));
        }
        Some(rooms.conditions)
    }

    /// Creates the conditions from room IDs, such as the `allowed_room_ids` of a summary.
    #[must_use]
    pub fn of_rooms<'r>(rooms: impl IntoIterator<Item = RoomId<'r>>) -> Self {
        let mut found = Rooms::default();
        found.extend(rooms.into_iter().map(RoomId::into_owned));
        found.conditions
    }

    /// Returns the rooms in the order of the conditions, none twice, at most
    /// [`MAX_CONDITION_ROOMS`].
    #[must_use]
    pub fn rooms(&self) -> &[OwnedRoomId] {
        &self.rooms
    }

    /// Returns whether a user meets a condition. `look_up` is asked for one room after the other
    /// until the user is joined to one.
    #[must_use]
    pub fn answer(&self, look_up: impl FnMut(RoomId<'_>) -> RoomMembership) -> MayJoin<'_> {
        joined_to_any(&self.rooms, self.without_rooms(), look_up)
    }

    /// Returns whether a user meets a condition as [`answer`](Self::answer) does, with an
    /// asynchronous look-up that can fail.
    ///
    /// # Errors
    ///
    /// The first error of the closure.
    pub async fn fetch<'c, X, F: Future<Output = Result<RoomMembership, X>>>(
        &'c self,
        mut look_up: impl FnMut(RoomId<'c>) -> F,
    ) -> Result<MayJoin<'c>, X> {
        let mut answer = self.without_rooms();
        for room in self.rooms.iter().map(OwnedRoomId::as_borrowed) {
            if look_up(room).await?.settles(room, &mut answer) {
                break;
            }
        }
        Ok(answer)
    }

    const fn without_rooms(&self) -> MayJoin<'_> {
        if self.is_cut { MayJoin::NotKnown } else { MayJoin::No }
    }
}

/// The rooms that were read so far.
#[derive(Default)]
struct Rooms {
    conditions: AllowConditions,
    seen: BTreeSet<OwnedRoomId>,
}

impl Extend<OwnedRoomId> for Rooms {
    fn extend<I: IntoIterator<Item = OwnedRoomId>>(&mut self, rooms: I) {
        for room in rooms {
            if self.seen.contains(&room) {
                continue;
            }
            if self.conditions.rooms.len() >= MAX_CONDITION_ROOMS {
                self.conditions.is_cut = true;
                continue;
            }
            self.seen.insert(room.clone());
            self.conditions.rooms.push(room);
        }
    }
}

/// The room of a condition of the known kind.
fn room_of(entry: &str) -> Option<OwnedRoomId> {
    let (mut kind, mut room) = (Field::Missing, Field::Missing);
    let read = read_field(entry, |reader| {
        let is_object = read_object_field(reader, |key, reader| {
            match () {
                () if key.is("type") => kind.put(reader.string_field()?),
                () if key.is("room_id") => room.put(reader.string_field()?),
                () => reader.skip_value()?,
            }
            Ok(())
        })?;
        Ok(if is_object { Field::Is(()) } else { Field::Malformed })
    });
    match (read, kind, room) {
        (Field::Is(()), Field::Is(kind), Field::Is(room)) if kind.is("m.room_membership") => {
            RoomId::parse(&room.text()).ok().map(RoomId::into_owned)
        }
        _ => None,
    }
}
