//! History visibility: which events of a room a user may read, and which of them another server
//! may.
//!
//! Nothing is looked up in here. The host says what the state is at an event
//! ([`VisibilityAtEvent`], [`UserAtEvent`]) or where a stretch of the timeline starts
//! ([`Stretch`]); the answer is an [`EventVisibility`], which names the rule that decides.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#room-history-visibility>
//!
//! # The rules
//!
//! By the state at the event. The first one that applies decides:
//!
//! | rule | the event is | if |
//! | --- | --- | --- |
//! | 1 | visible | the visibility is `world_readable` |
//! | 2 | visible | the user is joined |
//! | 3 | visible | the visibility is `shared`, and the user joins at any point after the event |
//! | 4 | visible | the user is invited, and the visibility is `invited` |
//! | 5 | hidden | none of these applies |
//!
//! Two kinds of events have two sides, and either side is enough: for an event that sets the
//! visibility, the visibility before it and after it; for the user's own member event, the
//! membership before it and after it.
//!
//! # What a knocker may read
//!
//! To knock gives no right to read. By the rules, a user who knocks is an outsider like one who has
//! never heard of the room, and one whose knock was declined is so again:
//!
//! | sent while the user | `world_readable` | `shared` | `invited` | `joined` |
//! | --- | --- | --- | --- | --- |
//! | was outside, had not knocked yet | yes | if they join later | no | no |
//! | knocked | yes | if they join later | no | no |
//! | was outside again: declined, banned, taken back | yes | if they join later | no | no |
//! | was invited: the knock is accepted | yes | if they join later | yes | no |
//! | was in the room | yes | yes | yes | yes |
//!
//! The user's own knock, and the leave or ban that declines it, are no exception: no side of these
//! events is a join or an invite. A client learns of them by `/sync`, where `rooms.knock`
//! ([`KnockedRoom`](crate::sync::KnockedRoom)) and `rooms.leave` show the user's own member event
//! whatever the history visibility is.
//!
//! Of the room's *state*, a knocker is shown the [stripped state](crate::stripped_state) and no
//! more.
//!
//! # What the host does with a hidden event
//!
//! * **For a client** (`/sync`, `/messages`, `/context`, `/event`, search, push) it leaves the
//!   event out. A single event that is asked for by its ID is "not found": whether it exists is not
//!   told.
//! * **For another server** that fills a gap (`/backfill`, `/get_missing_events`, `/event`) it
//!   sends the [redacted](crate::event::redact) form. The event ID, the hash and the signatures
//!   stay valid, and the asking server can connect the events on both sides of it. Left out, it
//!   would be asked for without end. (The specification has no text about this; Synapse does so.)
//! * **A new event** goes to the servers in the room as it is: each of them has a joined user, and
//!   rule 2 applies.
//!
//! Rejected and soft-failed events, the senders that a user ignores, erased users and retention
//! are not in these rules; the host leaves those out before.
//!
//! # Examples
//!
//! A knock is declined, and its sender asks for the history:
//!
//! ```
//! use matrix_knock::event::{Membership, Pdu};
//! use matrix_knock::id::UserId;
//! use matrix_knock::visibility::{EventVisibility, HistoryVisibility, JoinedLater, Stretch};
//!
//! let message = r#"{"type":"m.room.message","sender":"@a:a.example","content":{"body":"Hm."}}"#;
//! let opened = r#"{"type":"m.room.history_visibility","state_key":"","sender":"@a:a.example",
//!     "content":{"history_visibility":"world_readable"}}"#;
//! let declined = r#"{"type":"m.room.member","state_key":"@kay:b.example","sender":"@a:a.example",
//!     "content":{"membership":"leave"}}"#;
//! let events = [message, declined, message, opened, message].map(Pdu::parse);
//! let events = events.into_iter().collect::<Result<Vec<_>, _>>()?;
//!
//! let stretch = Stretch { visibility: HistoryVisibility::Shared, joined_after: JoinedLater::No };
//! let decided = stretch.for_user(UserId::parse("@kay:b.example")?, Membership::Knock, &events);
//! let visible: Vec<_> = decided.iter().map(|decided| decided.is_visible()).collect();
//! assert_eq!(visible, [false, false, false, true, true]);
//! assert_eq!(decided[4], EventVisibility::WorldReadable);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod history_visibility;
mod stretch;

use std::fmt;

pub use self::history_visibility::{HistoryVisibility, UnknownHistoryVisibility};
pub use self::stretch::Stretch;
use crate::event::{Event, EventType, MemberFacts, Membership};
use crate::id::UserId;
use crate::state::{NotLookedUp, Reads, RoomState};

/// The history visibility of the room at an event.
///
/// # Examples
///
/// ```
/// use matrix_knock::event::Membership;
/// use matrix_knock::visibility::{
///     EventVisibility, HistoryVisibility, JoinedLater, UserAtEvent, VisibilityAtEvent,
/// };
///
/// let room = VisibilityAtEvent { before: HistoryVisibility::Shared, after: None };
/// let knocking = UserAtEvent { before: Membership::Knock, ..UserAtEvent::OUTSIDER };
/// assert_eq!(room.for_user(knocking), EventVisibility::Hidden);
/// let accepted = UserAtEvent { joined_later: JoinedLater::Yes, ..knocking };
/// assert_eq!(room.for_user(accepted), EventVisibility::JoinedLater);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VisibilityAtEvent {
    /// The visibility in the state before the event.
    pub before: HistoryVisibility,
    /// The visibility that the event sets, if it is the room's `m.room.history_visibility` event.
    pub after: Option<HistoryVisibility>,
}

/// What the rules ask about the user at an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UserAtEvent {
    /// The user's membership in the state before the event. `Leave` for a user without a member
    /// event.
    pub before: Membership,
    /// The membership that the event sets, if it is the user's own member event.
    pub after: Option<Membership>,
    /// Whether the user joined at any point after the event, even if they have left since.
    pub joined_later: JoinedLater,
}

/// Whether a user joined the room at any point after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JoinedLater {
    /// They did.
    Yes,
    /// They did not, so far.
    No,
}

/// Whether an event is visible, by the rule that decides: the first one in the order of the
/// specification.
///
/// <https://spec.matrix.org/v1.19/client-server-api/#room-history-visibility>
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[must_use]
pub enum EventVisibility {
    /// Visible by rule 1.
    WorldReadable,
    /// Visible by rule 2.
    Joined,
    /// Visible by rule 3.
    JoinedLater,
    /// Visible by rule 4.
    Invited,
    /// Not visible, by rule 5.
    Hidden,
}

impl EventVisibility {
    /// All five, in the order of the rules.
    pub const ALL: [Self; 5] = [Self::WorldReadable, Self::Joined, Self::JoinedLater, Self::Invited, Self::Hidden];

    /// Returns whether the event is visible.
    #[must_use]
    pub const fn is_visible(self) -> bool {
        match self {
            Self::WorldReadable | Self::Joined | Self::JoinedLater | Self::Invited => true,
            Self::Hidden => false,
        }
    }

    /// Returns the number of the rule: 1 to 5.
    #[must_use]
    pub const fn rule(self) -> u8 {
        match self {
            Self::WorldReadable => 1,
            Self::Joined => 2,
            Self::JoinedLater => 3,
            Self::Invited => 4,
            Self::Hidden => 5,
        }
    }

    /// Returns the reason in words.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::WorldReadable => "the history is `world_readable` at the event",
            Self::Joined => "the user is joined at the event",
            Self::JoinedLater => "the history is `shared` at the event, and the user joined later",
            Self::Invited => "the history is `invited` at the event, and the user is invited",
            Self::Hidden => "no rule lets the user see the event",
        }
    }

    /// The one whose rule comes first.
    fn or(self, other: Self) -> Self {
        if other.rule() < self.rule() { other } else { self }
    }
}

impl fmt::Display for EventVisibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.reason())
    }
}

impl VisibilityAtEvent {
    /// Reads the visibility at an event from the state before it.
    ///
    /// # Errors
    ///
    /// [`NotLookedUp`] if a snapshot lacks an entry of [`reads`].
    pub fn read(event: &(impl Event + ?Sized), state_before: &(impl RoomState + ?Sized)) -> Result<Self, NotLookedUp> {
        let before = HistoryVisibility::of_state(state_before)?;
        Ok(Self { before, after: HistoryVisibility::of_event(event) })
    }

    /// Decides whether this user may see the event.
    ///
    /// # Differences from Synapse
    ///
    /// Synapse (`filter_events_for_client`) shows users every leave of their own that ends an
    /// invite, under `shared` and `joined` too, where no side of the event lets them see it. Under
    /// `shared` it lets a user whose knock was declined read on ([issue
    /// 13968](https://github.com/element-hq/synapse/issues/13968)).
    pub fn for_user(self, user: UserAtEvent) -> EventVisibility {
        let visibilities = [Some(self.before), self.after];
        let memberships = [user.before].into_iter().chain(user.after);
        memberships
            .flat_map(|membership| visibilities.into_iter().flatten().map(move |visibility| (visibility, membership)))
            .map(|(visibility, membership)| decide(visibility, membership, user.joined_later))
            .fold(EventVisibility::Hidden, EventVisibility::or)
    }

    /// Decides whether another server may see the event: if any of its users may.
    ///
    /// `users` are those users of the server that have or had a member event; others change
    /// nothing. Whether the server is in the room, and may ask at all, the host has checked before.
    ///
    /// The specification has no rule for servers. It says of `world_readable` alone that every
    /// participating server may share the events; a server gets the others because a user of it may
    /// read them. For a server that has a user in the room now, an event under `shared` is visible
    /// always: that user was joined at the event, or joined later.
    ///
    /// # Differences from Synapse
    ///
    /// Synapse (`filter_events_for_server`, `event_visible_to_server`) comes to the same answer for
    /// a server in the room, but for two kinds of events. It asks the state *after* an event alone,
    /// so under `joined` it hides from a server the leave of the server's last user, and the event
    /// that closes the history to it. By the two exceptions the user may see these, and so may
    /// their server here. It also takes `shared` for visible to a server without a join after the
    /// event.
    pub fn for_server(self, users: impl IntoIterator<Item = UserAtEvent>) -> EventVisibility {
        let of_anybody = self.for_user(UserAtEvent::OUTSIDER);
        users.into_iter().map(|user| self.for_user(user)).fold(of_anybody, EventVisibility::or)
    }
}

impl UserAtEvent {
    /// A user who has nothing to do with the room, neither at the event nor later.
    pub const OUTSIDER: Self = Self { before: Membership::Leave, after: None, joined_later: JoinedLater::No };

    /// Reads the user's membership at an event from the state before it.
    ///
    /// A member event whose membership cannot be made out counts as a leave. No room accepts one.
    ///
    /// # Errors
    ///
    /// [`NotLookedUp`] if a snapshot lacks an entry of [`reads`].
    pub fn read(
        user: UserId<'_>,
        event: &(impl Event + ?Sized),
        state_before: &(impl RoomState + ?Sized),
        joined_later: JoinedLater,
    ) -> Result<Self, NotLookedUp> {
        let before = state_before.event(EventType::Member, user.as_str())?;
        let before = before.map_or(Membership::Leave, |before| membership(before.member_facts()));
        Ok(Self { before, after: own_membership(user, event), joined_later })
    }
}

/// Returns the two entries of the state before an event that decide whether this user may see it.
#[must_use]
pub fn reads(user: UserId<'_>) -> Reads {
    [(EventType::HistoryVisibility, ""), (EventType::Member, user.as_str())].into_iter().collect()
}

/// The five rules, for one side.
const fn decide(visibility: HistoryVisibility, membership: Membership, joined_later: JoinedLater) -> EventVisibility {
    match (visibility, membership, joined_later) {
        (HistoryVisibility::WorldReadable, _, _) => EventVisibility::WorldReadable,
        (_, Membership::Join, _) => EventVisibility::Joined,
        (HistoryVisibility::Shared, _, JoinedLater::Yes) => EventVisibility::JoinedLater,
        (HistoryVisibility::Invited, Membership::Invite, _) => EventVisibility::Invited,
        _ => EventVisibility::Hidden,
    }
}

/// The membership that an event gives this user, if it is their own member event.
fn own_membership(user: UserId<'_>, event: &(impl Event + ?Sized)) -> Option<Membership> {
    let is_own = event.state_key() == Some(user.as_str()) && event.is_type(EventType::Member);
    is_own.then(|| membership(event.member_facts()))
}

/// The membership that a member event gives.
fn membership(facts: MemberFacts) -> Membership {
    facts.membership().unwrap_or(Membership::Leave)
}
