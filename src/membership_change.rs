//! A change of membership, named: from the member event before, the one after, and who sent it.
//!
//! This decides nothing. It names what an event did that the [rules](crate::auth) have let pass, so that a timeline, a
//! moderation bot or a push rule need not guess. [`Change::Impossible`] is what they let nobody do, in no room of any
//! version; an event that gets another name may have been refused all the same.
//!
//! | from | to `invite` | to `join` | to `leave` | to `ban` | to `knock` |
//! | --- | --- | --- | --- | --- | --- |
//! | `invite` | none | invitation accepted* | *invitation rejected*, revoked° | banned° | impossible |
//! | `join` | impossible, invited³ | profile changed*, none* | left*, kicked° | kicked and banned° | impossible |
//! | `leave`, no member event | invited°³ | joined* | none | banned° | knocked* |
//! | `ban` | impossible | impossible | unbanned° | none | impossible |
//! | `knock` | knock accepted°, invited³ | joined from knock* | knock retracted*, denied° | knock denied and banned° | knocked again* |
//!
//! \* if the users themselves did it, ° if somebody else did; else impossible. ³ by a third-party invite, which may come
//! from anybody, of anybody who is not banned.
//!
//! It is the table of the specification, with what the rules say of the sender. Four cells say something else there:
//!
//! * `invite` to `knock` is a repeated knock in that table. Every version refuses it.
//! * `knock` to `join` must never happen in that table. The rules allow it where the room is public by then, or a
//!   member [vouches](MembershipChange::authorized_by) for the user.
//! * `knock` to `knock` is no change in that table. It is a request of its own: it may bring another reason, and it takes
//!   the place of the knock before.
//! * `join` to `invite` must never happen in that table. The rules ask of a third-party invite only that its user is
//!   not banned.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#mroommember>
//!
//! # Examples
//!
//! ```
//! use matrix_knock::event::Pdu;
//! use matrix_knock::membership_change::{Before, Change, MembershipChange};
//!
//! let knock = Pdu::parse(
//!     r#"{"type":"m.room.member","state_key":"@kay:b.example","sender":"@kay:b.example",
//!     "content":{"membership":"knock","reason":"Let me in"}}"#,
//! )?;
//! let leave = Pdu::parse(
//!     r#"{"type":"m.room.member","state_key":"@kay:b.example","sender":"@mod:a.example",
//!     "content":{"membership":"leave","reason":"Not today"}}"#,
//! )?;
//! let change = MembershipChange::new(Before::Event(&knock), &leave)?;
//! assert_eq!(change.change(), Change::KnockDenied);
//! assert_eq!(change.change().name(), "knock_denied");
//! assert_eq!(change.after().reason().as_deref(), Some("Not today"));
//!
//! // A client has one event, which says what was before.
//! let event = r#"{"type":"m.room.member","state_key":"@kay:b.example","sender":"@mod:a.example",
//!     "content":{"membership":"invite"},"unsigned":{"prev_content":{"membership":"knock"}}}"#;
//! let before = Before::of_client_event(event)?.expect("the event says it");
//! assert_eq!(MembershipChange::new(before, &Pdu::parse(event)?)?.change(), Change::KnockAccepted);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod member;

use std::borrow::Cow;
use std::fmt;

pub use self::member::Member;
use crate::event::{Event, EventType, Malformed, Membership};
use crate::json::{Field, JsonError, read_object_unread};

/// What an event did to the membership of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// Nothing that anybody would be told of: the membership is as before, the name and the avatar too.
    None,
    /// A joined user changed their display name or avatar.
    ProfileChanged,
    /// The user came in, uninvited: anybody may, or somebody vouched for them.
    Joined,
    /// The user went.
    Left,
    /// The user was asked in, without having knocked.
    Invited,
    /// The user came in, invited.
    InvitationAccepted,
    /// The user does not want to come in.
    InvitationRejected,
    /// Somebody took the invitation back.
    InvitationRevoked,
    /// Somebody put the user out.
    Kicked,
    /// The user, who was outside or invited, is kept out from now on.
    Banned,
    /// Somebody put the user out and keeps them out.
    KickedAndBanned,
    /// Somebody lifted the ban.
    Unbanned,
    /// The user asks to be let in.
    Knocked,
    /// The user asks again: with another reason, another name, or just so.
    KnockedAgain,
    /// Somebody asked the knocking user in.
    KnockAccepted,
    /// The user took the knock back.
    KnockRetracted,
    /// Somebody declined the knock.
    KnockDenied,
    /// Somebody declined the knock and keeps the user out.
    KnockDeniedAndBanned,
    /// The knocking user came in without an answer: anybody may by now, or somebody vouched for them.
    JoinedFromKnock,
    /// No room of any version allows this.
    Impossible,
}

impl Change {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::None,
        Self::ProfileChanged,
        Self::Joined,
        Self::Left,
        Self::Invited,
        Self::InvitationAccepted,
        Self::InvitationRejected,
        Self::InvitationRevoked,
        Self::Kicked,
        Self::Banned,
        Self::KickedAndBanned,
        Self::Unbanned,
        Self::Knocked,
        Self::KnockedAgain,
        Self::KnockAccepted,
        Self::KnockRetracted,
        Self::KnockDenied,
        Self::KnockDeniedAndBanned,
        Self::JoinedFromKnock,
        Self::Impossible,
    ];

    /// The change in lower case, with `_` between the words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ProfileChanged => "profile_changed",
            Self::Joined => "joined",
            Self::Left => "left",
            Self::Invited => "invited",
            Self::InvitationAccepted => "invitation_accepted",
            Self::InvitationRejected => "invitation_rejected",
            Self::InvitationRevoked => "invitation_revoked",
            Self::Kicked => "kicked",
            Self::Banned => "banned",
            Self::KickedAndBanned => "kicked_and_banned",
            Self::Unbanned => "unbanned",
            Self::Knocked => "knocked",
            Self::KnockedAgain => "knocked_again",
            Self::KnockAccepted => "knock_accepted",
            Self::KnockRetracted => "knock_retracted",
            Self::KnockDenied => "knock_denied",
            Self::KnockDeniedAndBanned => "knock_denied_and_banned",
            Self::JoinedFromKnock => "joined_from_knock",
            Self::Impossible => "impossible",
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What is known of the user's membership before. Who does not know it cannot name the change: "no member event" and "not
/// known" are two things.
#[derive(Debug, PartialEq, Eq)]
pub enum Before<'e, E: ?Sized> {
    /// The member event that the event took the place of.
    Event(&'e E),
    /// The `content` of that event, as JSON.
    Content(&'e str),
    /// There was no member event: the user was outside.
    NoEvent,
}

impl<E: ?Sized> Clone for Before<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E: ?Sized> Copy for Before<'_, E> {}

impl<'e, E: ?Sized> Before<'e, E> {
    /// Reads `unsigned.prev_content` of an event as the user's own homeserver gives it to clients, bots and bridges. `None`:
    /// the event does not say what was before. The homeserver leaves it out where there was no member event, but also where
    /// the user may not see it.
    ///
    /// Nobody signs `unsigned`: in an event that another homeserver has sent it means nothing.
    ///
    /// <https://spec.matrix.org/v1.19/client-server-api/#room-event-format>
    ///
    /// # Errors
    ///
    /// [`JsonError`] if the text is not a JSON object. Values that are malformed elsewhere in the event do not matter.
    pub fn of_client_event(text: &'e str) -> Result<Option<Self>, JsonError> {
        let mut unsigned = Field::Missing;
        read_object_unread(text, |key, value| {
            if key.is("unsigned") {
                unsigned.put(Field::Is(value));
            }
        })?;
        let mut content = Field::Missing;
        if let Field::Is(unsigned) = unsigned {
            let read = read_object_unread(unsigned, |key, value| {
                if key.is("prev_content") {
                    content.put(Field::Is(value));
                }
            });
            if read.is_err() {
                return Ok(None);
            }
        }
        Ok(content.known().filter(|content| *content != "null").map(Self::Content))
    }
}

/// Two events of which no change can be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum NotAChange {
    /// One of them is not of type `m.room.member`, or has no state key.
    #[error("not an `m.room.member` event with a `state_key`")]
    NotAMemberEvent,
    /// They are the memberships of two users.
    #[error("the two events are of different users")]
    OtherUser,
    /// [`Malformed::Member`]: the event before has no readable membership. [`Malformed::Event`]: the one after.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// A change of membership with what there is to say of it. Borrows from the two events and allocates nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MembershipChange<'e> {
    change: Change,
    target: &'e str,
    sender: &'e str,
    before: Member<'e>,
    after: Member<'e>,
}

impl<'e> MembershipChange<'e> {
    /// Names what `event` did. The caller sees to it that what was before is of the same room.
    ///
    /// # Errors
    ///
    /// [`NotAChange`], by the first thing that is wrong.
    ///
    /// # Examples
    ///
    /// See the [module's](self).
    pub fn new<E: Event + ?Sized>(before: Before<'e, E>, event: &'e E) -> Result<Self, NotAChange> {
        let target = target(event)?;
        let before = match before {
            Before::Event(before) if self::target(before)? != target => return Err(NotAChange::OtherUser),
            Before::Event(before) => Member::read(before.content()),
            Before::Content(content) => Member::read(content),
            Before::NoEvent => Ok(Member::OUTSIDE),
        };
        let before = before.map_err(|_| Malformed::Member)?;
        let after = Member::read(event.content())?;
        let by = if event.sender() == target { By::Oneself } else { By::Another };
        Ok(Self { change: change(before, after, by), target, sender: event.sender(), before, after })
    }

    /// The name of the change.
    #[must_use]
    pub const fn change(&self) -> Change {
        self.change
    }

    /// The user whose membership it is.
    #[must_use]
    pub const fn target(&self) -> &'e str {
        self.target
    }

    /// The user who did it.
    #[must_use]
    pub const fn sender(&self) -> &'e str {
        self.sender
    }

    /// What the event before says; [`Member::OUTSIDE`] without one.
    #[must_use]
    pub const fn before(&self) -> Member<'e> {
        self.before
    }

    /// What the event says: the reason, among other things.
    #[must_use]
    pub const fn after(&self) -> Member<'e> {
        self.after
    }

    /// Whether the display name is another than before.
    #[must_use]
    pub fn displayname_changed(&self) -> bool {
        !self.before.same_displayname(&self.after)
    }

    /// Whether the avatar is another than before.
    #[must_use]
    pub fn avatar_url_changed(&self) -> bool {
        !self.before.same_avatar_url(&self.after)
    }

    /// Whether the reason is another than before: what to tell of a knock that is repeated.
    #[must_use]
    pub fn reason_changed(&self) -> bool {
        !self.before.same_reason(&self.after)
    }

    /// The member who vouched for a user who came in uninvited. Since v8; none for all other changes, whatever their event
    /// carries along.
    #[must_use]
    pub fn authorized_by(&self) -> Option<Cow<'e, str>> {
        match self.change {
            Change::Joined | Change::JoinedFromKnock => self.after.authorizing_user(),
            _ => None,
        }
    }
}

fn target<E: Event + ?Sized>(event: &E) -> Result<&str, NotAChange> {
    event.state_key().filter(|_| event.is_type(EventType::Member)).ok_or(NotAChange::NotAMemberEvent)
}

/// Who sent the event, as seen from the user whose membership it is.
#[derive(Clone, Copy)]
enum By {
    Oneself,
    Another,
}

fn change(before: Member<'_>, after: Member<'_>, by: By) -> Change {
    use Membership::{Ban, Invite, Join, Knock, Leave};
    // No version has a membership of another name, so nobody gets one. Where a state has it all the same, it is as good as none.
    let Some(new) = after.membership() else { return Change::Impossible };
    match (before.membership().unwrap_or(Leave), new, by) {
        // What changes nothing has no right or wrong sender.
        (Invite, Invite, _) | (Leave, Leave, _) | (Ban, Ban, _) => Change::None,

        (Knock, Invite, By::Another) => Change::KnockAccepted,
        (Leave, Invite, By::Another) => Change::Invited,
        (Join | Leave | Knock, Invite, _) if after.is_third_party_invite() => Change::Invited,
        (Join | Ban, Invite, _) | (Leave | Knock, Invite, By::Oneself) => Change::Impossible,

        (Join, Join, By::Oneself) if !before.same_profile(&after) => Change::ProfileChanged,
        (Join, Join, By::Oneself) => Change::None,
        (Invite, Join, By::Oneself) => Change::InvitationAccepted,
        (Leave, Join, By::Oneself) => Change::Joined,
        (Knock, Join, By::Oneself) => Change::JoinedFromKnock,
        // By the letter, the first join of a room's creator may be sent by somebody else. Nobody has reason to.
        (Ban, Join, _) | (_, Join, By::Another) => Change::Impossible,

        (Invite, Leave, By::Oneself) => Change::InvitationRejected,
        (Invite, Leave, By::Another) => Change::InvitationRevoked,
        (Join, Leave, By::Oneself) => Change::Left,
        (Join, Leave, By::Another) => Change::Kicked,
        (Ban, Leave, By::Another) => Change::Unbanned,
        (Ban, Leave, By::Oneself) => Change::Impossible,
        (Knock, Leave, By::Oneself) => Change::KnockRetracted,
        (Knock, Leave, By::Another) => Change::KnockDenied,

        (Invite | Leave, Ban, By::Another) => Change::Banned,
        (Join, Ban, By::Another) => Change::KickedAndBanned,
        (Knock, Ban, By::Another) => Change::KnockDeniedAndBanned,
        // Nobody has more power than they have.
        (_, Ban, By::Oneself) => Change::Impossible,

        (Leave, Knock, By::Oneself) => Change::Knocked,
        (Knock, Knock, By::Oneself) => Change::KnockedAgain,
        (Invite | Join | Ban, Knock, _) | (_, Knock, By::Another) => Change::Impossible,
    }
}
