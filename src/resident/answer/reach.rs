//! Which server outside the room has to hear of an answer.

use crate::auth::Authorized;
use crate::event::{Event, EventType, Membership};
use crate::id::{ServerName, UserId};
use crate::state::{NotLookedUp, Reads, RoomState};

/// A server that an event has to reach, whether it is in the room or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MustReach<'e> {
    /// The server of the user whose membership changes.
    pub server: ServerName<'e>,
    /// Why, and so by which way.
    pub reason: Reason,
}

/// Why an event has to reach a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The user is invited; if the user was knocking, the knock is accepted. Before anybody else gets the event, it goes as
    /// a request [`PUT /invite`] and comes back with the signature of that server.
    ///
    /// [`PUT /invite`]: https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv2inviteroomideventid
    Invited,
    /// The knock is declined, with or without a ban. In a transaction. Unstable:
    /// [MSC4233](https://github.com/matrix-org/matrix-spec-proposals/pull/4233).
    KnockDenied,
    /// The invite is taken back, with or without a ban. In a transaction. The specification is silent; Synapse sends a
    /// leave in this way (a ban not, though the user would look at a dead invite all the same).
    InviteRevoked,
    /// The user was joined until now. In a transaction; the server is among the room's in the state before the event, and
    /// stands in here for hosts that go by the state after it.
    Removed,
}

/// The server that must get one of our events though it may not be in the room: that of the user whose membership
/// changes.
///
/// `before` is the state before the event, `own` the name of this server. It comes beside the servers that are in the room,
/// and may be one of them. None for:
///
/// * users of our own server, and what users of other servers send: theirs see to it;
/// * what users do about themselves;
/// * a ban, a leave or an unban of somebody who is neither in the room nor asking nor asked in. Nobody waits for it, and nobody
///   outside the room could believe it.
///
/// <https://spec.matrix.org/v1.19/server-server-api/#inviting-to-a-room>
///
/// # Errors
///
/// [`NotLookedUp`] if a snapshot lacks the entry of [`reads_of_must_also_reach`].
pub fn must_also_reach<'e, E: Event + ?Sized>(
    event: &Authorized<'e, E>,
    before: &(impl RoomState + ?Sized),
    own: ServerName<'_>,
) -> Result<Option<MustReach<'e>>, NotLookedUp> {
    let sender = UserId::parse(event.event().sender());
    // A state key that is no user ID has no server to reach.
    let target = event.event().state_key().and_then(|target| UserId::parse(target).ok());
    let (Ok(sender), Some(target)) = (sender, target) else { return Ok(None) };
    if sender.server_name() != own || target.server_name() == own {
        return Ok(None);
    }
    // A membership that is none of the five is as good as none.
    let member = before.event(EventType::Member, target.as_str())?;
    let before = member.and_then(|member| member.member_facts().membership());
    Ok(reach_of(sender, target, before.unwrap_or(Membership::Leave), event.membership()))
}

/// Where a change of membership by one of our users has to be told, by the memberships before and after.
pub(super) fn reach_of<'e>(
    sender: UserId<'_>,
    target: UserId<'e>,
    before: Membership,
    after: Membership,
) -> Option<MustReach<'e>> {
    let server = target.server_name();
    let reason = reason(before, after).filter(|_| server != sender.server_name());
    reason.map(|reason| MustReach { server, reason })
}

/// Returns the entry of the state before the event that [`must_also_reach`] reads: the membership of the user whom the event
/// is about.
#[must_use]
pub fn reads_of_must_also_reach(event: &(impl Event + ?Sized)) -> Reads {
    event.state_key().map(|target| (EventType::Member, target)).into_iter().collect()
}

/// Why another user's server has to hear of a change by one of our users.
const fn reason(before: Membership, after: Membership) -> Option<Reason> {
    match (before, after) {
        (_, Membership::Invite) => Some(Reason::Invited),
        (Membership::Knock, Membership::Leave | Membership::Ban) => Some(Reason::KnockDenied),
        (Membership::Invite, Membership::Leave | Membership::Ban) => Some(Reason::InviteRevoked),
        (Membership::Join, Membership::Leave | Membership::Ban) => Some(Reason::Removed),
        (Membership::Leave | Membership::Ban, Membership::Leave | Membership::Ban) => None,
        // Only users themselves do that.
        (_, Membership::Join | Membership::Knock) => None,
    }
}
