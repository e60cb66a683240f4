//! Who may see the summary of a room.

use crate::event::content::join_rules::{JoinRule, join_rule};
use crate::event::{Event, EventType, Membership};
use crate::id::{RoomId, UserId};
use crate::restricted_join::{AllowConditions, MayJoin, RoomMembership};
use crate::room_version::RoomVersion;
use crate::state::{NotLookedUp, Reads, RoomState};
use crate::visibility::HistoryVisibility;

/// Whether somebody may see the summary of a room, as far as this server can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SummaryAccess {
    /// They may.
    Shown,
    /// They may not: the room is not found.
    Hidden,
    /// It depends on a room of the conditions that this server does not know.
    NotKnown,
}

/// Returns the entries of the state that [`access_of_user`] and, without a user,
/// [`access_of_server`] read.
#[must_use]
pub fn reads_of_access(user: Option<UserId<'_>>) -> Reads {
    let of_room = [(EventType::JoinRules, ""), (EventType::HistoryVisibility, "")];
    let own = user.iter().map(|user| (EventType::Member, user.as_str()));
    of_room.into_iter().chain(own).collect()
}

/// Returns whether a user may see the summary of a room: if they are joined or invited, the room is
/// public, it is restricted and they meet a condition, it can be knocked on, or it is
/// world-readable.
///
/// Without a user (nobody is logged in): if the room is public, can be knocked on, or is
/// world-readable.
///
/// <https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidhierarchy>,
/// <https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1room_summaryroomidoralias>
///
/// # Errors
///
/// [`NotLookedUp`] if a snapshot lacks an entry of [`reads_of_access`].
pub fn access_of_user(
    version: RoomVersion,
    user: Option<UserId<'_>>,
    state: &(impl RoomState + ?Sized),
    look_up: impl FnMut(RoomId<'_>) -> RoomMembership,
) -> Result<SummaryAccess, NotLookedUp> {
    let Some(user) = user else { return access(version, None, state, |_| RoomMembership::NotJoined) };
    let member = state.event(EventType::Member, user.as_str())?;
    access(version, member.and_then(|member| member.member_facts().membership()), state, look_up)
}

/// Returns whether another server may see the summary of a room: whether one of its users could be
/// shown it. `memberships` are those of its users in the room; `look_up` says whether any of its
/// users is joined to a room of the conditions.
///
/// The text asks for what the server "could feasibly peek/join"; the asking server filters what it
/// gets for its user. So it is given what any of its users may see by [`access_of_user`].
///
/// <https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1hierarchyroomid>
///
/// # Errors
///
/// [`NotLookedUp`] if a snapshot lacks an entry of [`reads_of_access`] without a user.
pub fn access_of_server(
    version: RoomVersion,
    memberships: impl IntoIterator<Item = Membership>,
    state: &(impl RoomState + ?Sized),
    look_up: impl FnMut(RoomId<'_>) -> RoomMembership,
) -> Result<SummaryAccess, NotLookedUp> {
    let is_inside = |membership: &Membership| matches!(membership, Membership::Join | Membership::Invite);
    access(version, memberships.into_iter().find(is_inside), state, look_up)
}

fn access(
    version: RoomVersion,
    membership: Option<Membership>,
    state: &(impl RoomState + ?Sized),
    look_up: impl FnMut(RoomId<'_>) -> RoomMembership,
) -> Result<SummaryAccess, NotLookedUp> {
    if matches!(membership, Some(Membership::Join | Membership::Invite)) {
        return Ok(SummaryAccess::Shown);
    }
    let visibility = HistoryVisibility::of_state(state)?;
    let join_rules = state.event(EventType::JoinRules, "")?;
    if visibility == HistoryVisibility::WorldReadable {
        return Ok(SummaryAccess::Shown);
    }
    let Some(join_rules) = join_rules else { return Ok(SummaryAccess::Hidden) };
    Ok(match join_rule(join_rules.content(), version.rules()) {
        Ok(JoinRule::Public | JoinRule::Knock | JoinRule::KnockRestricted) => SummaryAccess::Shown,
        Ok(JoinRule::Restricted) => {
            let conditions = AllowConditions::of_content(version, join_rules.content()).unwrap_or_default();
            match conditions.answer(look_up) {
                MayJoin::Yes(_) => SummaryAccess::Shown,
                MayJoin::No => SummaryAccess::Hidden,
                MayJoin::NotKnown => SummaryAccess::NotKnown,
            }
        }
        Ok(JoinRule::Invite | JoinRule::Unknown) | Err(_) => SummaryAccess::Hidden,
    })
}
