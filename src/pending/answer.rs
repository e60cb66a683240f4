//! Who may answer a knock, and one answer to many of them.

use crate::auth::{AuthorizeError, CompiledRoom, Rejection};
use crate::event::{Event, EventType, Membership, Proposal};
use crate::state::{NotLookedUp, Reads, RoomState};

/// An answer to a knock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    /// The knocker is asked in: `invite`.
    Accept,
    /// The knocker is not asked in: `leave`. They may knock again.
    Decline,
    /// The knocker is kept out: `ban`.
    Ban,
}

impl Answer {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Accept, Self::Decline, Self::Ban];

    /// What the knocker's membership becomes.
    #[must_use]
    pub const fn membership(self) -> Membership {
        match self {
            Self::Accept => Membership::Invite,
            Self::Decline => Membership::Leave,
            Self::Ban => Membership::Ban,
        }
    }

    /// The answer as an event that is yet to be made.
    const fn proposal<'a>(self, sender: &'a str, knocker: &'a str) -> Proposal<'a> {
        Proposal { sender, target: knocker, membership: self.membership() }
    }
}

/// Why somebody cannot answer a knock.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAnswered {
    /// There is no knock of this user in the room's state. (To decline it would be to kick somebody who may have joined
    /// since.)
    #[error("the user does not knock")]
    NotKnocking,
    /// Who would answer is who knocks. To decline one's own knock is to retract it.
    #[error("nobody answers their own knock")]
    OwnKnock,
    /// The state does not know a membership that the answer depends on: the host's mistake, and no verdict.
    #[error(transparent)]
    NotLookedUp(#[from] NotLookedUp),
    /// A rule of the specification refuses the answer.
    #[error(transparent)]
    Rejected(#[from] Rejection),
}

/// Who may answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answerers<'r> {
    /// These joined users, in order of their IDs. Perhaps nobody.
    Only(Vec<&'r str>),
    /// Everybody who is joined, but these joined users, in order of their IDs.
    EverybodyJoinedBut(Vec<&'r str>),
}

/// One answer to many knocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers<'a> {
    /// The events to be made, in the order of the knocks.
    pub events: Vec<Proposal<'a>>,
    /// The knocks that stay without this answer, in their order.
    pub refused: Vec<Refused<'a>>,
}

/// A knock that somebody cannot answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused<'a> {
    /// Who knocks.
    pub knocker: &'a str,
    /// Why it cannot be answered.
    pub why: NotAnswered,
}

/// The answers that are possible in a room as it is now: by the rules, from its current state. What comes of them is
/// authorized as every event is, once it is made.
///
/// An answer by one user to one knock takes two look-ups in the state: the knocker's membership and the sender's.
///
/// <https://spec.matrix.org/v1.19/client-server-api/#knocking-on-rooms>
///
/// # Examples
///
/// See the [module's](super).
#[derive(Debug, Clone, Copy)]
pub struct Answering<'r, S: ?Sized> {
    room: &'r CompiledRoom,
    state: &'r S,
}

impl<'r, S: RoomState + ?Sized> Answering<'r, S> {
    /// `room` was compiled from `state`, or from one that does not differ in
    /// [what is compiled](CompiledRoom::COMPILED_FROM).
    #[must_use]
    pub const fn new(room: &'r CompiledRoom, state: &'r S) -> Self {
        Self { room, state }
    }

    /// Whether `sender` may give this answer to the knock of `knocker`: the event to be made.
    ///
    /// # Errors
    ///
    /// [`NotAnswered`], by the first of its variants that it is.
    pub fn may<'a>(&self, answer: Answer, sender: &'a str, knocker: &'a str) -> Result<Proposal<'a>, NotAnswered> {
        if self.membership(knocker)? != Some(Membership::Knock) {
            return Err(NotAnswered::NotKnocking);
        }
        if sender == knocker {
            return Err(NotAnswered::OwnKnock);
        }
        let proposal = answer.proposal(sender, knocker);
        match self.room.authorize_proposal(&proposal, self.state) {
            Ok(_) => Ok(proposal),
            Err(AuthorizeError::Rejected(rejection)) => Err(rejection.into()),
            Err(AuthorizeError::NotLookedUp(error)) => Err(error.into()),
            // A proposal is a member event.
            Err(AuthorizeError::NotAMemberEvent) => Err(NotAnswered::NotKnocking),
        }
    }

    /// Everybody who may give this answer to the knock of `knocker`: for notifications.
    ///
    /// Looks at the users that the power levels name, and at the creators since v12; never at all members. So where a new
    /// member has power enough, the answer is not a list of them. Nobody can answer somebody who does not knock.
    ///
    /// # Errors
    ///
    /// [`NotLookedUp`] if a snapshot lacks an entry of [`reads_of_who_may`](Self::reads_of_who_may).
    pub fn who_may(&self, answer: Answer, knocker: &str) -> Result<Answerers<'r>, NotLookedUp> {
        let is_knocking = self.membership(knocker)? == Some(Membership::Knock);
        let everybody = is_knocking && self.room.default_power_suffices(answer.membership(), knocker);
        let mut users = Vec::new();
        for user in self.room.named_users() {
            let may = match self.may(answer, user, knocker) {
                Ok(_) => true,
                Err(NotAnswered::NotLookedUp(error)) => return Err(error),
                Err(NotAnswered::NotKnocking | NotAnswered::OwnKnock | NotAnswered::Rejected(_)) => false,
            };
            let is_named = match everybody {
                true => !may && self.membership(user)? == Some(Membership::Join),
                false => may,
            };
            users.extend(is_named.then_some(user));
        }
        Ok(if everybody { Answerers::EverybodyJoinedBut(users) } else { Answerers::Only(users) })
    }

    /// Returns the entries of the state that [`may`](Self::may) reads: two memberships.
    #[must_use]
    pub fn reads(sender: &str, knocker: &str) -> Reads {
        [knocker, sender].map(|user| (EventType::Member, user)).into_iter().collect()
    }

    /// Returns the entries of the state that [`who_may`](Self::who_may) reads: the memberships of the knocker and of every
    /// user that the power levels name, and of the creators since v12. There may be more than 20 of them.
    #[must_use]
    pub fn reads_of_who_may(room: &CompiledRoom, knocker: &str) -> Reads {
        let users = std::iter::once(knocker).chain(room.named_users());
        users.map(|user| (EventType::Member, user)).collect()
    }

    /// Gives this answer to many knocks: accept all, decline all.
    ///
    /// Those that the rules refuse are left out and named. The events do not get in each other's way: no answer changes
    /// who may give the next.
    #[must_use]
    pub fn all<'a>(&self, answer: Answer, sender: &'a str, knockers: impl IntoIterator<Item = &'a str>) -> Answers<'a> {
        let mut answers = Answers { events: Vec::new(), refused: Vec::new() };
        for knocker in knockers {
            match self.may(answer, sender, knocker) {
                Ok(event) => answers.events.push(event),
                Err(why) => answers.refused.push(Refused { knocker, why }),
            }
        }
        answers
    }

    /// A membership in the state; none if there is none that can be read.
    fn membership(&self, user: &str) -> Result<Option<Membership>, NotLookedUp> {
        let member = self.state.event(EventType::Member, user)?;
        Ok(member.and_then(|member| member.member_facts().membership()))
    }
}
