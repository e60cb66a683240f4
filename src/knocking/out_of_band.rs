//! What a server outside the room may believe of the answer to a knock.
//!
//! * [`SentKnock::acceptance`]: whether an invite is the answer to a knock. Everything but [`Acceptance::msc4509_joins`] is in
//!   the specification.
//! * [`SentKnock::msc4233_denial`]: whether to believe a leave or a ban that cannot be checked, since this server has no state
//!   of the room. **Unstable**: the specification says nothing, [MSC4233] does (as of July 2026), and wants it switched off
//!   unless an administrator switches it on.
//!
//! In a room that the knocker's server is in, events are [authorized](crate::auth) instead.
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

/// Why an event is not the answer to a knock, or not one to believe.
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
    #[error("the event is not of the room that was knocked on")]
    OtherRoom,
    /// The event is not the membership of the user who knocked: of another type, or with another state key.
    #[error("the event is not the membership of the user who knocked")]
    OtherUser,
    /// The user who knocked has sent it: a retraction, not an answer.
    #[error("the event was sent by the user who knocked")]
    ByTheKnocker,
    /// The event is not an invite. From [`SentKnock::acceptance`].
    #[error("the event is not an invite")]
    NotAnInvite,
    /// The event is neither a leave nor a ban. From [`SentKnock::msc4233_denial`].
    #[error("the event is neither a leave nor a ban")]
    NeitherLeaveNorBan,
    /// The knock is over: the user's membership is another event now. MSC4233's first condition.
    #[error("the knock is not the user's current membership")]
    NotKnocking,
    /// Whoever made the event may never have seen the knock. MSC4233's second condition.
    #[error("the knock is not among the auth events")]
    KnockNotInAuthEvents,
    /// The server that sent the event has no part in this. MSC4233's third condition.
    #[error("`{origin}` is neither the server knocked through nor that of the event's sender")]
    Origin {
        /// The server that sent it.
        origin: String,
    },
}

impl SentKnock<'_> {
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
    /// [`OtherRoom`](NoAnswer::OtherRoom), [`OtherUser`](NoAnswer::OtherUser), [`ByTheKnocker`](NoAnswer::ByTheKnocker),
    /// [`NotAnInvite`](NoAnswer::NotAnInvite), [`NotKnocking`](NoAnswer::NotKnocking).
    pub fn acceptance(&self, invite: &WholePdu<'_>) -> Result<Acceptance, NoAnswer> {
        match self.answered_with(invite)? {
            Some(Membership::Invite) => {}
            _ => return Err(NoAnswer::NotAnInvite),
        }
        self.check_pending()?;
        // Of a third-party invite the sender's server need not have signed anything: anybody could name the knock.
        let is_linked = self.is_auth_event_of(invite) && is_signed_by_its_sender(invite);
        Ok(if is_linked { Acceptance::LinkedByAuthEvents } else { Acceptance::MerelyInvited })
    }

    /// Whether a leave or a ban is to be believed that comes from a room which this server is not in. Unstable: [MSC4233].
    ///
    /// `origin` is the server whose authenticated request has brought the event. To be believed, it has to be whole (so its
    /// sender's server has signed it) and to meet three conditions:
    ///
    /// 1. The knock is the user's current membership.
    /// 2. The knock is among the event's `auth_events`: who made it has seen the knock. Nobody outside the room gets to know
    ///    the knock's ID.
    /// 3. It comes from the server that was knocked through, or from its sender's own.
    ///
    /// What remains is that a server in the room can make up a denial. The room does not notice, and the user may knock again.
    ///
    /// [MSC4233]: https://github.com/matrix-org/matrix-spec-proposals/pull/4233
    ///
    /// # Errors
    ///
    /// [`NoAnswer`], by the first of these that it is: [`OtherVersion`](NoAnswer::OtherVersion),
    /// [`OtherRoom`](NoAnswer::OtherRoom), [`OtherUser`](NoAnswer::OtherUser), [`ByTheKnocker`](NoAnswer::ByTheKnocker),
    /// [`NeitherLeaveNorBan`](NoAnswer::NeitherLeaveNorBan); then the conditions: [`NotKnocking`](NoAnswer::NotKnocking),
    /// [`KnockNotInAuthEvents`](NoAnswer::KnockNotInAuthEvents), [`Origin`](NoAnswer::Origin).
    pub fn msc4233_denial(&self, event: &WholePdu<'_>, origin: ServerName<'_>) -> Result<Msc4233Denial, NoAnswer> {
        let denial = match self.answered_with(event)? {
            Some(Membership::Leave) => Msc4233Denial::Declined,
            Some(Membership::Ban) => Msc4233Denial::Banned,
            _ => return Err(NoAnswer::NeitherLeaveNorBan),
        };
        self.check_pending()?;
        if !self.is_auth_event_of(event) {
            return Err(NoAnswer::KnockNotInAuthEvents);
        }
        if self.through != Some(origin) && sender_server(event) != Some(origin) {
            return Err(NoAnswer::Origin { origin: origin.as_str().to_owned() });
        }
        Ok(denial)
    }

    /// What another user has made of the knocker's membership; none if that is malformed.
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
            return Err(NoAnswer::ByTheKnocker);
        }
        Ok(pdu.member_facts().membership())
    }

    fn check_pending(&self) -> Result<(), NoAnswer> {
        if self.current == Some(self.event_id) { Ok(()) } else { Err(NoAnswer::NotKnocking) }
    }

    /// Events that change a user's membership name the one before it: the link to what they answer.
    ///
    /// <https://spec.matrix.org/v1.19/server-server-api/#auth-events-selection>
    fn is_auth_event_of(&self, event: &WholePdu<'_>) -> bool {
        event.signed().formatted().auth_events().any(|id| id == self.event_id.as_str())
    }
}

fn sender_server<'e>(event: &'e WholePdu<'_>) -> Option<ServerName<'e>> {
    UserId::parse(event.pdu().sender()).ok().map(UserId::server_name)
}

fn is_signed_by_its_sender(event: &WholePdu<'_>) -> bool {
    sender_server(event).is_some_and(|server| event.signed().signed_by().any(|name| name == server.as_str()))
}
