//! The rules of `m.room.member`, one function for each membership, in the order of the specification.
//!
//! <https://spec.matrix.org/v1.19/rooms/v12/#authorisation-rules>

use super::facts::{Facts, NoFact};
use super::{AuthorizeError, Rejection, Rule};
use crate::event::content::join_rules::JoinRule;
use crate::event::content::member::MemberContent;
use crate::event::content::third_party_invite::Signed;
use crate::event::{Event, EventType, Malformed, MemberFacts, Membership, Verify};
use crate::json::{CanonicalDialect, Field};
use crate::room_version::RoomVersion;
use crate::state::{NotLookedUp, RoomState};

/// Why a rule does not allow.
enum Stop {
    /// It refuses, perhaps for want of something readable.
    Refused(Rule, Option<Malformed>),
    NotLookedUp(NotLookedUp),
}

impl Stop {
    #[cold]
    fn into_error(self, version: RoomVersion) -> AuthorizeError {
        match self {
            Self::Refused(rule, malformed) => Rejection::new(rule, version, malformed).into(),
            Self::NotLookedUp(error) => error.into(),
        }
    }
}

impl From<NotLookedUp> for Stop {
    fn from(error: NotLookedUp) -> Self {
        Self::NotLookedUp(error)
    }
}

/// Decides on an event of type `m.room.member`. What it makes the membership, if it is allowed.
pub(super) fn decide<E, F, S, V>(
    version: &RoomVersion,
    event: &E,
    facts: &F,
    state: &S,
    verifier: &V,
) -> Result<Membership, AuthorizeError>
where
    E: Event + ?Sized,
    F: Facts,
    S: RoomState + ?Sized,
    V: Verify + ?Sized,
{
    let reject = |stop: Stop| stop.into_error(*version);
    if !readable(Rule::NotFederated, facts.federates_with(event.sender())).map_err(reject)? {
        return Err(reject(Stop::Refused(Rule::NotFederated, None)));
    }
    let target = event.state_key().ok_or_else(|| reject(Stop::Refused(Rule::MissingStateKey, None)))?;
    let member = event.member_facts();
    let change = Change { version, event, sender: event.sender(), target, member, facts, state, verifier };
    let membership = change.new_membership().map_err(reject)?;
    let verdict = match membership {
        Membership::Join => change.join(),
        Membership::Invite => change.invite(),
        Membership::Leave => change.leave(),
        Membership::Ban => change.ban(),
        Membership::Knock if version.rules().knocking => change.knock(),
        Membership::Knock => refuse(Rule::UnknownMembership),
    };
    verdict.map(|()| membership).map_err(reject)
}

const fn refuse<T>(rule: Rule) -> Result<T, Stop> {
    Err(Stop::Refused(rule, None))
}

/// What a rule needs to read; it refuses if that is malformed.
fn readable<T>(rule: Rule, read: Result<T, impl Into<NoFact>>) -> Result<T, Stop> {
    read.map_err(|error| match error.into() {
        NoFact::Malformed(malformed) => Stop::Refused(rule, Some(malformed)),
        NoFact::NotLookedUp(error) => Stop::NotLookedUp(error),
    })
}

struct Change<'c, E: ?Sized, F, S: ?Sized, V: ?Sized> {
    version: &'c RoomVersion,
    event: &'c E,
    sender: &'c str,
    target: &'c str,
    member: MemberFacts,
    facts: &'c F,
    state: &'c S,
    verifier: &'c V,
}

impl<'c, E, F, S, V> Change<'c, E, F, S, V>
where
    E: Event + ?Sized,
    F: Facts,
    S: RoomState + ?Sized,
    V: Verify + ?Sized,
{
    fn new_membership(&self) -> Result<Membership, Stop> {
        match readable(Rule::MissingMembership, self.member.membership_field())? {
            Field::Is(Some(membership)) => Ok(membership),
            Field::Is(None) => refuse(Rule::UnknownMembership),
            Field::Missing => refuse(Rule::MissingMembership),
            Field::Malformed => Err(Stop::Refused(Rule::UnknownMembership, Some(Malformed::Event))),
        }
    }

    fn join(&self) -> Result<(), Stop> {
        if self.is_first_join() {
            return Ok(());
        }
        if self.sender != self.target {
            return refuse(Rule::JoinOfAnotherUser);
        }
        let before = self.membership(Rule::JoinWhileBanned, self.sender)?;
        if before == Some(Membership::Ban) {
            return refuse(Rule::JoinWhileBanned);
        }
        let is_inside = matches!(before, Some(Membership::Invite | Membership::Join));
        match readable(Rule::JoinRule, self.facts.join_rule())? {
            JoinRule::Invite | JoinRule::Knock if is_inside => Ok(()),
            JoinRule::Restricted | JoinRule::KnockRestricted if is_inside => Ok(()),
            JoinRule::Restricted | JoinRule::KnockRestricted => self.join_by_authorization(),
            JoinRule::Public => Ok(()),
            JoinRule::Invite | JoinRule::Knock | JoinRule::Unknown => refuse(Rule::JoinRule),
        }
    }

    /// The creator of a room joins it right behind the create event, whatever the state is.
    fn is_first_join(&self) -> bool {
        self.event.sole_prev_event().is_some_and(|event_id| self.facts.is_create_event(event_id))
            && self.facts.is_creator(self.target)
    }

    /// Since v8: a joined user with the power to invite vouches that the joining user fulfills the room's conditions.
    /// That user's server has signed the event; see [`check_state_independent`](super::check_state_independent).
    fn join_by_authorization(&self) -> Result<(), Stop> {
        const RULE: Rule = Rule::JoinNotAuthorized;
        if !self.member.has_authorizing_user() {
            return refuse(RULE);
        }
        let Field::Is(authorizing_user) = self.content(RULE)?.authorizing_user else { return refuse(RULE) };
        let user = authorizing_user.text();
        if self.membership(RULE, &user)? != Some(Membership::Join) {
            return refuse(RULE);
        }
        let powers = self.facts.powers([&user, &user])?;
        if !readable(RULE, powers.suffice_to_invite())? {
            return refuse(RULE);
        }
        Ok(())
    }

    fn invite(&self) -> Result<(), Stop> {
        if self.member.has_third_party_invite() {
            return match self.content(Rule::ThirdPartyInviteUnsigned)?.third_party_invite {
                Field::Is(third_party_invite) => self.third_party_invite(third_party_invite),
                Field::Missing | Field::Malformed => {
                    Err(Stop::Refused(Rule::ThirdPartyInviteUnsigned, Some(Malformed::Event)))
                }
            };
        }
        if self.membership(Rule::InviterNotJoined, self.sender)? != Some(Membership::Join) {
            return refuse(Rule::InviterNotJoined);
        }
        let before = self.membership(Rule::InviteOfJoinedOrBanned, self.target)?;
        if matches!(before, Some(Membership::Join | Membership::Ban)) {
            return refuse(Rule::InviteOfJoinedOrBanned);
        }
        let powers = self.facts.powers([self.sender, self.target])?;
        if !readable(Rule::InvitePower, powers.suffice_to_invite())? {
            return refuse(Rule::InvitePower);
        }
        Ok(())
    }

    /// An invite to somebody who was known by an e-mail address or the like when they were invited.
    /// The property is present even if it is null.
    fn third_party_invite(&self, third_party_invite: &str) -> Result<(), Stop> {
        if self.membership(Rule::ThirdPartyInviteOfBanned, self.target)? == Some(Membership::Ban) {
            return refuse(Rule::ThirdPartyInviteOfBanned);
        }
        let Some(signed) = Signed::read(third_party_invite) else { return refuse(Rule::ThirdPartyInviteUnsigned) };
        if matches!(signed.mxid, Field::Missing) || matches!(signed.token, Field::Missing) {
            return refuse(Rule::ThirdPartyInviteIncomplete);
        }
        if !matches!(signed.mxid, Field::Is(mxid) if mxid.is(self.target)) {
            return refuse(Rule::ThirdPartyInviteOfAnotherUser);
        }
        let Field::Is(token) = signed.token else { return refuse(Rule::ThirdPartyInviteUnknown) };
        let Some(invite) = self.state.event(EventType::ThirdPartyInvite, &token.text())? else {
            return refuse(Rule::ThirdPartyInviteUnknown);
        };
        if invite.sender() != self.sender {
            return refuse(Rule::ThirdPartyInviteOfOtherSender);
        }
        let dialect = CanonicalDialect::of(*self.version);
        if !signed.verifies(&invite, dialect, self.verifier) {
            return refuse(Rule::ThirdPartyInviteSignature);
        }
        Ok(())
    }

    fn leave(&self) -> Result<(), Stop> {
        if self.sender == self.target {
            return self.leave_oneself();
        }
        if self.membership(Rule::KickerNotJoined, self.sender)? != Some(Membership::Join) {
            return refuse(Rule::KickerNotJoined);
        }
        let powers = self.facts.powers([self.sender, self.target])?;
        let is_unban = self.membership(Rule::UnbanPower, self.target)? == Some(Membership::Ban);
        if is_unban && !readable(Rule::UnbanPower, powers.reach_ban())? {
            return refuse(Rule::UnbanPower);
        }
        if !readable(Rule::KickPower, powers.suffice_to_kick())? {
            return refuse(Rule::KickPower);
        }
        Ok(())
    }

    fn leave_oneself(&self) -> Result<(), Stop> {
        match self.membership(Rule::LeaveFromNothing, self.sender)? {
            Some(Membership::Invite | Membership::Join) => Ok(()),
            Some(Membership::Knock) if self.version.rules().knocking => Ok(()),
            Some(Membership::Knock | Membership::Ban | Membership::Leave) | None => refuse(Rule::LeaveFromNothing),
        }
    }

    fn ban(&self) -> Result<(), Stop> {
        if self.membership(Rule::BannerNotJoined, self.sender)? != Some(Membership::Join) {
            return refuse(Rule::BannerNotJoined);
        }
        let powers = self.facts.powers([self.sender, self.target])?;
        if !readable(Rule::BanPower, powers.suffice_to_ban())? {
            return refuse(Rule::BanPower);
        }
        Ok(())
    }

    fn knock(&self) -> Result<(), Stop> {
        match readable(Rule::KnockJoinRule, self.facts.join_rule())? {
            JoinRule::Knock | JoinRule::KnockRestricted => {}
            JoinRule::Public | JoinRule::Invite | JoinRule::Restricted | JoinRule::Unknown => {
                return refuse(Rule::KnockJoinRule);
            }
        }
        if self.sender != self.target {
            return refuse(Rule::KnockOfAnotherUser);
        }
        match self.membership(Rule::KnockMembership, self.sender)? {
            Some(Membership::Ban | Membership::Invite | Membership::Join) => refuse(Rule::KnockMembership),
            Some(Membership::Knock | Membership::Leave) | None => Ok(()),
        }
    }

    /// All that the rules read of the content of the event itself.
    fn content(&self, rule: Rule) -> Result<MemberContent<'c>, Stop> {
        readable(rule, MemberContent::read(self.event.content()))
    }

    /// The membership of a user in the state, for a rule that refuses if it is malformed. None if the user has none, or
    /// one that nobody knows.
    fn membership(&self, rule: Rule, user: &str) -> Result<Option<Membership>, Stop> {
        let event = self.state.event(EventType::Member, user)?;
        readable(rule, event.map_or(Ok(None), |event| event.member_facts().stored_membership()))
    }
}
