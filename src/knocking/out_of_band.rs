//! What a server outside the room may believe of the answer to a knock, and of its taking back.
//!
//! * [`SentKnock::acceptance`]: whether an invite is the answer to a knock. Everything but [`Acceptance::msc4509_joins`] is in
//!   the specification.
//! * [`SentKnock::msc4233_denial`]: whether to believe a leave or a ban that cannot be checked, since this server has no state
//!   of the room. **Unstable**: the specification says nothing, [MSC4233] does (as of July 2026), and wants it switched off
//!   unless an administrator switches it on.
//!
//! * [`ReceivedInvite::revocation`]: whether to believe a leave or a ban that takes an invite back. The specification is silent;
//!   servers of today send and believe such leaves, and without them the user looks at a dead invite.
//!
//! A leave or a ban is believed on three conditions, the same for both:
//!
//! | | a knock that is denied | an invite that is taken back |
//! | --- | --- | --- |
//! | 1. It ends what stands. | The knock is the user's current membership. | The invite is. |
//! | 2. Who made it has seen that. | The knock is among its `auth_events`. | The invite is. |
//! | 3. It comes from a server with a part in this. | The one knocked through, or its sender's. | The inviter's, or its sender's. |
//!
//! In a room that the user's server is in, events are [authorized](crate::auth) instead.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#knocking-on-rooms>
//!
//! [MSC4233]: https://github.com/matrix-org/matrix-spec-proposals/pull/4233

use crate::event::{Event, EventType, Membership, WholePdu};
use crate::id::{EventId, RoomId, ServerName, UserId};
use crate::room_version::RoomVersion;

/// A knock that this server has sent for one of its users, as far as an answer has to be compared with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SentKnock<'a> {
    /// The room.
    pub room_id: RoomId<'a>,
    /// Who knocks.
    pub user_id: UserId<'a>,
    /// The ID of the latest knock: a repeated one takes the place of those before it.
    pub event_id: EventId<'a>,
    /// The room version by whose rules the knock was made.
    pub version: RoomVersion,
    /// The event that is the user's membership in the room now, as this server knows it. Another than `event_id` means that
    /// the knock is over: retracted, answered.
    pub current: Option<EventId<'a>>,
    /// The server that answered `send_knock` with status 200, if it was remembered.
    pub through: Option<ServerName<'a>>,
}

/// How an invite answers a knock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Acceptance {
    /// The knock is among the invite's `auth_events`, and the inviter's server has signed that: who invites has seen the
    /// knock.
    LinkedByAuthEvents,
    /// It is an invite to the room that was knocked on, which is enough to count as the acceptance. It may have crossed the
    /// knock on the way, or is a third-party invite, of which nobody knows who sent it.
    MerelyInvited,
}

impl Acceptance {
    /// Whether [MSC4509] has the server join the room for the user at once, without asking. Unstable. (The
    /// specification leaves every server free to do so after any acceptance.)
    ///
    /// Only with a link: the sender of the invite is then shown to the user's clients as the one who let the user in, whose room
    /// keys they take.
    ///
    /// [MSC4509]: https://github.com/matrix-org/matrix-spec-proposals/pull/4509
    #[must_use]
    pub const fn msc4509_joins(self) -> bool {
        match self {
            Self::LinkedByAuthEvents => true,
            Self::MerelyInvited => false,
        }
    }
}

/// A denial of a knock that is believed without having been authorized. Unstable:
/// [MSC4233](https://github.com/matrix-org/matrix-spec-proposals/pull/4233).
///
/// To be stored as the user's membership, marked as out of band. The room may see it otherwise: nobody has checked
/// that the sender has the power. So it must never keep the user from knocking again; of a ban, the end may not reach
/// this server either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Msc4233Denial {
    /// The knock is declined: `leave`.
    Declined,
    /// The knock is declined and the user banned: `ban`.
    Banned,
}

/// Why an event is not the answer to a knock or the end of an invite, or not one to believe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoAnswer {
    /// The event was checked by the rules of another room version than the knock's.
    #[error("the event was checked by room version {found}, not by that of the knock")]
    OtherVersion {
        /// The version that it was checked by.
        found: RoomVersion,
    },
    /// The event is of another room.
    #[error("the event is of another room")]
    OtherRoom,
    /// The event is not the membership of this user: of another type, or with another state key.
    #[error("the event is not the membership of this user")]
    OtherUser,
    /// The user has sent it: a knock taken back or an invite declined, not an answer.
    #[error("the event was sent by the user")]
    ByTheUser,
    /// The event is not an invite. From [`SentKnock::acceptance`].
    #[error("the event is not an invite")]
    NotAnInvite,
    /// The event is neither a leave nor a ban. From [`SentKnock::msc4233_denial`], [`ReceivedInvite::revocation`].
    #[error("the event is neither a leave nor a ban")]
    NeitherLeaveNorBan,
    /// The knock or invite is over: the user's membership is another event now. The first condition.
    #[error("the knock or invite is not the user's current membership")]
    NotCurrent,
    /// Whoever made the event may never have seen the knock or invite. The second condition.
    #[error("the knock or invite is not among the auth events")]
    NotInAuthEvents,
    /// The server that sent the event has no part in this. The third condition.
    #[error("`{origin}` has no part in this, and the event's sender is of another server")]
    Origin {
        /// The server that sent it.
        origin: String,
    },
}

/// An invite that this server has countersigned for one of its users, as far as what takes it back has to be compared with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReceivedInvite<'a> {
    /// The room.
    pub room_id: RoomId<'a>,
    /// Who is invited.
    pub user_id: UserId<'a>,
    /// The ID of the invite.
    pub event_id: EventId<'a>,
    /// The room version that came with the invite.
    pub version: RoomVersion,
    /// The event that is the user's membership in the room now, as this server knows it. Another than `event_id` means that
    /// the invite is over: accepted, declined.
    pub current: Option<EventId<'a>>,
    /// The server that sent the invite.
    pub inviter: ServerName<'a>,
}

/// How an invite is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Revocation {
    /// The user is not invited any more: `leave`.
    Revoked,
    /// The user is banned: `ban`. The room may see it otherwise, and the end of the ban may not reach this server: so it must
    /// not keep the user from knocking, or from taking another invite.
    Banned,
}

impl ReceivedInvite<'_> {
    /// Whether a leave or a ban takes the invite back. `origin` is the server whose authenticated request has brought the event,
    /// which has to be [whole](WholePdu), and to meet the three conditions of the [module](self).
    ///
    /// # Errors
    ///
    /// [`NoAnswer`], by the first of these that it is: [`OtherVersion`](NoAnswer::OtherVersion),
    /// [`OtherRoom`](NoAnswer::OtherRoom), [`OtherUser`](NoAnswer::OtherUser), [`ByTheUser`](NoAnswer::ByTheUser),
    /// [`NeitherLeaveNorBan`](NoAnswer::NeitherLeaveNorBan); then the conditions: [`NotCurrent`](NoAnswer::NotCurrent),
    /// [`NotInAuthEvents`](NoAnswer::NotInAuthEvents), [`Origin`](NoAnswer::Origin).
    pub fn revocation(&self, event: &WholePdu<'_>, origin: ServerName<'_>) -> Result<Revocation, NoAnswer> {
        let outstanding = Outstanding {
            room_id: self.room_id,
            user_id: self.user_id,
            event_id: self.event_id,
            version: self.version,
            current: self.current,
            through: Some(self.inviter),
        };
        Ok(if outstanding.is_ended_with_ban(event, origin)? { Revocation::Banned } else { Revocation::Revoked })
    }
}

/// A knock or an invite that nobody has answered yet.
struct Outstanding<'a> {
    room_id: RoomId<'a>,
    user_id: UserId<'a>,
    event_id: EventId<'a>,
    version: RoomVersion,
    current: Option<EventId<'a>>,
    through: Option<ServerName<'a>>,
}

impl Outstanding<'_> {
    /// Whether a leave or a ban that is believed is a ban: the one list of conditions.
    fn is_ended_with_ban(&self, event: &WholePdu<'_>, origin: ServerName<'_>) -> Result<bool, NoAnswer> {
        let is_ban = match self.answered_with(event)? {
            Some(Membership::Leave) => false,
            Some(Membership::Ban) => true,
            _ => return Err(NoAnswer::NeitherLeaveNorBan),
        };
        self.check_current()?;
        if !self.is_auth_event_of(event) {
            return Err(NoAnswer::NotInAuthEvents);
        }
        if self.through != Some(origin) && sender_server(event) != Some(origin) {
            return Err(NoAnswer::Origin { origin: origin.as_str().to_owned() });
        }
        Ok(is_ban)
    }

    /// What another user has made of the user's membership; none if that is malformed.
    fn answered_with(&self, event: &WholePdu<'_>) -> Result<Option<Membership>, NoAnswer> {
        let pdu = event.pdu();
        if event.signed().version() != self.version {
            return Err(NoAnswer::OtherVersion { found: event.signed().version() });
        }
        if pdu.room_id() != Some(self.room_id.as_str()) {
            return Err(NoAnswer::OtherRoom);
        }
        if !pdu.is_type(EventType::Member) || pdu.state_key() != Some(self.user_id.as_str()) {
            return Err(NoAnswer::OtherUser);
        }
        if pdu.sender() == self.user_id.as_str() {
            return Err(NoAnswer::ByTheUser);
        }
        Ok(pdu.member_facts().membership())
    }

    fn check_current(&self) -> Result<(), NoAnswer> {
        if self.current == Some(self.event_id) { Ok(()) } else { Err(NoAnswer::NotCurrent) }
    }

    /// Events that change a user's membership name the one before it: the link to what they answer.
    ///
    /// <https://spec.matrix.org/v1.19/server-server-api/#auth-events-selection>
    fn is_auth_event_of(&self, event: &WholePdu<'_>) -> bool {
        event.signed().formatted().auth_events().any(|id| id == self.event_id.as_str())
    }
}

impl<'a> SentKnock<'a> {
    const fn outstanding(&self) -> Outstanding<'a> {
        let Self { room_id, user_id, event_id, version, current, through } = *self;
        Outstanding { room_id, user_id, event_id, version, current, through }
    }

    /// What an invite means to the knock. While the knock is pending, every invite of the user to the room is its
    /// acceptance.
    ///
    /// The invite has to be [whole](WholePdu): signed as it must be. That its sender may invite, or is in the room at all,
    /// nobody outside the room can tell; a join shows it. The room version that comes with an invite is its sender's
    /// word, so it is compared with the knock's.
    ///
    /// <https://spec.matrix.org/v1.19/client-server-api/#knocking-on-rooms>,
    /// <https://spec.matrix.org/v1.19/server-server-api/#inviting-to-a-room>
    ///
    /// # Errors
    ///
    /// [`NoAnswer`], by the first of these that it is: [`OtherVersion`](NoAnswer::OtherVersion),
    /// [`OtherRoom`](NoAnswer::OtherRoom), [`OtherUser`](NoAnswer::OtherUser), [`ByTheUser`](NoAnswer::ByTheUser),
    /// [`NotAnInvite`](NoAnswer::NotAnInvite), [`NotCurrent`](NoAnswer::NotCurrent).
    pub fn acceptance(&self, invite: &WholePdu<'_>) -> Result<Acceptance, NoAnswer> {
        let outstanding = self.outstanding();
        match outstanding.answered_with(invite)? {
            Some(Membership::Invite) => {}
            _ => return Err(NoAnswer::NotAnInvite),
        }
        outstanding.check_current()?;
        // Of a third-party invite the sender's server need not have signed anything: anybody could name the knock.
        let is_linked = outstanding.is_auth_event_of(invite) && is_signed_by_its_sender(invite);
        Ok(if is_linked { Acceptance::LinkedByAuthEvents } else { Acceptance::MerelyInvited })
    }

    /// Whether a leave or a ban is to be believed that comes from a room which this server is not in. Unstable: [MSC4233].
    ///
    /// `origin` is the server whose authenticated request has brought the event. To be believed, it has to be whole (so its
    /// sender's server has signed it) and to meet the three conditions of the [module](self). (Nobody outside the room gets to
    /// know the knock's ID.)
    ///
    /// What remains is that a server in the room can make up a denial. The room does not notice, and the user may knock again.
    ///
    /// [MSC4233]: https://github.com/matrix-org/matrix-spec-proposals/pull/4233
    ///
    /// # Errors
    ///
    /// [`NoAnswer`], by the first of these that it is: [`OtherVersion`](NoAnswer::OtherVersion),
    /// [`OtherRoom`](NoAnswer::OtherRoom), [`OtherUser`](NoAnswer::OtherUser), [`ByTheUser`](NoAnswer::ByTheUser),
    /// [`NeitherLeaveNorBan`](NoAnswer::NeitherLeaveNorBan); then the conditions: [`NotCurrent`](NoAnswer::NotCurrent),
    /// [`NotInAuthEvents`](NoAnswer::NotInAuthEvents), [`Origin`](NoAnswer::Origin).
    pub fn msc4233_denial(&self, event: &WholePdu<'_>, origin: ServerName<'_>) -> Result<Msc4233Denial, NoAnswer> {
        let is_ban = self.outstanding().is_ended_with_ban(event, origin)?;
        Ok(if is_ban { Msc4233Denial::Banned } else { Msc4233Denial::Declined })
    }
}

fn sender_server<'e>(event: &'e WholePdu<'_>) -> Option<ServerName<'e>> {
    UserId::parse(event.pdu().sender()).ok().map(UserId::server_name)
}

fn is_signed_by_its_sender(event: &WholePdu<'_>) -> bool {
    sender_server(event).is_some_and(|server| event.signed().signed_by().any(|name| name == server.as_str()))
}
