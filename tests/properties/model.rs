//! What memberships may become what, written from the specification's text and nothing else: an independent model of
//! `m.room.member` in versions 7, 10 and 12, for four users whose powers do not change.
//!
//! <https://spec.matrix.org/v1.19/rooms/v7/#authorisation-rules>
//! <https://spec.matrix.org/v1.19/rooms/v10/#authorisation-rules>
//! <https://spec.matrix.org/v1.19/rooms/v12/#authorisation-rules>

use matrix_knock::event::Membership;

/// The level of a v12 creator.
pub(crate) const INFINITE: i64 = i64::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    Seven,
    Ten,
    Twelve,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JoinRule {
    Public,
    Invite,
    Knock,
    Restricted,
    KnockRestricted,
}

/// What one user does to the membership of one user. Users are numbers, 0 to 3; the creator is 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    pub(crate) sender: usize,
    pub(crate) target: usize,
    pub(crate) to: Membership,
    pub(crate) authorizer: Option<usize>,
    /// The only previous event is the create event.
    pub(crate) first: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) version: Version,
    pub(crate) join_rule: JoinRule,
    pub(crate) powers: [i64; 4],
    pub(crate) invite: i64,
    pub(crate) kick: i64,
    pub(crate) ban: i64,
    /// Whether users of other servers are kept out; user 3 is of another server.
    pub(crate) closed: bool,
    pub(crate) members: [Option<Membership>; 4],
}

impl Model {
    /// Applies the change, or gives the number of the rule that rejects it.
    pub(crate) fn step(&mut self, change: Change) -> Result<Membership, String> {
        let chapter = if self.version == Version::Twelve { 5 } else { 4 };
        // "m.federate"
        if self.closed && change.sender == 3 {
            return Err((chapter - 1).to_string());
        }
        // From version 8 on, the second rule is about the signature of the authorizing user's server.
        let first = if self.version == Version::Seven { 2 } else { 3 };
        let (section, rejected) = match change.to {
            Membership::Join => (first, self.join(change)),
            Membership::Invite => (first + 1, self.invite(change)),
            Membership::Leave => (first + 2, self.leave(change)),
            Membership::Ban => (first + 3, self.ban(change)),
            Membership::Knock => (first + 4, self.knock(change)),
        };
        match rejected {
            Some(rule) => Err(format!("{chapter}.{section}.{rule}")),
            None => {
                self.members[change.target] = Some(change.to);
                Ok(change.to)
            }
        }
    }

    fn join(&self, change: Change) -> Option<&'static str> {
        if change.first && change.target == 0 {
            return None;
        }
        if change.sender != change.target {
            return Some("2");
        }
        let before = self.members[change.sender];
        if before == Some(Membership::Ban) {
            return Some("3");
        }
        let expected = matches!(before, Some(Membership::Invite | Membership::Join));
        let otherwise = if self.version == Version::Seven { "6" } else { "7" };
        match self.join_rule {
            JoinRule::Invite | JoinRule::Knock => (!expected).then_some(otherwise),
            JoinRule::Restricted | JoinRule::KnockRestricted if self.version == Version::Seven => Some(otherwise),
            JoinRule::Restricted | JoinRule::KnockRestricted => {
                let lets_in = |user: usize| self.is_joined(user) && self.powers[user] >= self.invite;
                (!expected && !change.authorizer.is_some_and(lets_in)).then_some("5.2")
            }
            JoinRule::Public => None,
        }
    }

    fn invite(&self, change: Change) -> Option<&'static str> {
        if !self.is_joined(change.sender) {
            return Some("2");
        }
        if matches!(self.members[change.target], Some(Membership::Join | Membership::Ban)) {
            return Some("3");
        }
        (self.powers[change.sender] < self.invite).then_some("5")
    }

    fn leave(&self, change: Change) -> Option<&'static str> {
        let before = self.members[change.target];
        if change.sender == change.target {
            let can_leave = matches!(before, Some(Membership::Invite | Membership::Join | Membership::Knock));
            return (!can_leave).then_some("1");
        }
        if !self.is_joined(change.sender) {
            return Some("2");
        }
        if before == Some(Membership::Ban) && self.powers[change.sender] < self.ban {
            return Some("3");
        }
        (!self.has_power_over(change, self.kick)).then_some("5")
    }

    fn ban(&self, change: Change) -> Option<&'static str> {
        if !self.is_joined(change.sender) {
            return Some("1");
        }
        (!self.has_power_over(change, self.ban)).then_some("3")
    }

    fn knock(&self, change: Change) -> Option<&'static str> {
        let open = match self.join_rule {
            JoinRule::Knock => true,
            JoinRule::KnockRestricted => self.version != Version::Seven,
            JoinRule::Public | JoinRule::Invite | JoinRule::Restricted => false,
        };
        if !open {
            return Some("1");
        }
        if change.sender != change.target {
            return Some("2");
        }
        let barred = [Membership::Ban, Membership::Invite, Membership::Join].map(Some);
        barred.contains(&self.members[change.sender]).then_some("4")
    }

    fn is_joined(&self, user: usize) -> bool {
        self.members[user] == Some(Membership::Join)
    }

    fn has_power_over(&self, change: Change, needed: i64) -> bool {
        let power = self.powers[change.sender];
        power >= needed && self.powers[change.target] < power
    }
}
