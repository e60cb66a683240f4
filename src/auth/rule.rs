//! The rules that can refuse a membership change, by name; their numbers, which move between versions, as a table.

use std::fmt;

use crate::event::Malformed;
use crate::room_version::{RoomVersion, Specified};

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident [$v1:expr, $v6:expr, $v7:expr, $v8:expr, $v12:expr] $reason:literal;)*) => {
        /// A rule of the specification that refuses, in the order of its text.
        ///
        /// Only what *refuses* has a name: where a rule says "allow if" and does not allow, evaluation goes on, and the
        /// name is that of the "otherwise, reject" at the end.
        ///
        /// <https://spec.matrix.org/v1.19/rooms/v12/#authorisation-rules>
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $($(#[$doc])* #[doc = ""] #[doc = concat!("Refused because ", $reason, ".")] $name,)*
        }

        impl Rule {
            /// All rules, in the order of the specification.
            pub const ALL: [Self; [$(Self::$name),*].len()] = [$(Self::$name),*];

            /// The name of the variant.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// What was wrong with the event, in words.
            #[must_use]
            pub const fn reason(self) -> &'static str {
                match self {
                    $(Self::$name => $reason,)*
                }
            }

            /// The numbers in versions 1 to 5, 6, 7, 8 to 11, and 12; empty where there is no such rule.
            const fn numbers(self) -> [&'static str; 5] {
                match self {
                    $(Self::$name => [$v1, $v6, $v7, $v8, $v12],)*
                }
            }
        }
    };
}

rules! {
    // name                        [v1-v5      v6         v7         v8-v11     v12]
    /// v1 to v11: the create event is among the `auth_events`. v12: the room ID is that of an accepted create event.
    /// Either way: there is no deciding without the create event.
    NoCreateEvent                  ["2.4",     "2.4",     "2.4",     "2.4",     "2"]
        "there is no accepted `m.room.create` event of the room";
    /// No two `auth_events` for the same type and state key.
    DuplicateAuthEvents            ["2.1",     "2.1",     "2.1",     "2.1",     "3.1"]
        "two of the `auth_events` have the same type and state key";
    /// The `auth_events` are of those that the selection names.
    UnselectedAuthEvent            ["2.2",     "2.2",     "2.2",     "2.2",     "3.2"]
        "one of the `auth_events` does not belong there";
    /// None of the `auth_events` was itself rejected.
    RejectedAuthEvent              ["2.3",     "2.3",     "2.3",     "2.3",     "3.3"]
        "one of the `auth_events` was rejected";
    /// The `auth_events` are of the same room.
    AuthEventOfOtherRoom           ["2.5",     "2.5",     "2.5",     "2.5",     "3.4"]
        "one of the `auth_events` belongs to another room";
    /// A room with `m.federate: false` is for users of one server.
    NotFederated                   ["3",       "3",       "3",       "3",       "4"]
        "the room is not federated and the sender is of another server";
    /// A member event says whose membership it is.
    MissingStateKey                ["5.1",     "4.1",     "4.1",     "4.1",     "5.1"]
        "the event has no `state_key`";
    /// A member event says what the membership is.
    MissingMembership              ["5.1",     "4.1",     "4.1",     "4.1",     "5.1"]
        "the event has no `membership` in its content";
    /// The server of the authorizing user signs too.
    AuthorizingServerSignature     ["",        "",        "",        "4.2.1",   "5.2.1"]
        "the server of the authorizing user has not validly signed the event";
    /// Nobody joins for somebody else.
    JoinOfAnotherUser              ["5.2.2",   "4.2.2",   "4.2.2",   "4.3.2",   "5.3.2"]
        "the sender is not the user who would join";
    /// The banned do not join.
    JoinWhileBanned                ["5.2.3",   "4.2.3",   "4.2.3",   "4.3.3",   "5.3.3"]
        "the user is banned";
    /// A restricted room is joined by invitation, or with the word of a member who may invite.
    JoinNotAuthorized              ["",        "",        "",        "4.3.5.2", "5.3.5.2"]
        "no joined user with the power to invite authorizes the join";
    /// Nothing in the join rule lets the user in.
    JoinRule                       ["5.2.6",   "4.2.6",   "4.2.6",   "4.3.7",   "5.3.7"]
        "the join rule does not let the user join";
    /// A third-party invite does not lift a ban.
    ThirdPartyInviteOfBanned       ["5.3.1.1", "4.3.1.1", "4.3.1.1", "4.4.1.1", "5.4.1.1"]
        "the user of the third-party invite is banned";
    /// A third-party invite has something signed.
    ThirdPartyInviteUnsigned       ["5.3.1.2", "4.3.1.2", "4.3.1.2", "4.4.1.2", "5.4.1.2"]
        "the third-party invite has no `signed`";
    /// What is signed has a user and a token.
    ThirdPartyInviteIncomplete     ["5.3.1.3", "4.3.1.3", "4.3.1.3", "4.4.1.3", "5.4.1.3"]
        "what is signed in the third-party invite has no `mxid` or no `token`";
    /// What is signed is for the invited user.
    ThirdPartyInviteOfAnotherUser  ["5.3.1.4", "4.3.1.4", "4.3.1.4", "4.4.1.4", "5.4.1.4"]
        "the third-party invite is for another user";
    /// The token was issued in this room.
    ThirdPartyInviteUnknown        ["5.3.1.5", "4.3.1.5", "4.3.1.5", "4.4.1.5", "5.4.1.5"]
        "the room has no `m.room.third_party_invite` event of this token";
    /// Who issued the token redeems it.
    ThirdPartyInviteOfOtherSender  ["5.3.1.6", "4.3.1.6", "4.3.1.6", "4.4.1.6", "5.4.1.6"]
        "somebody else sent the `m.room.third_party_invite` event";
    /// One of the keys of the token has signed.
    ThirdPartyInviteSignature      ["5.3.1.8", "4.3.1.8", "4.3.1.8", "4.4.1.8", "5.4.1.8"]
        "no signature of the third-party invite is by one of its keys";
    /// Members invite.
    InviterNotJoined               ["5.3.2",   "4.3.2",   "4.3.2",   "4.4.2",   "5.4.2"]
        "the inviting user is not joined";
    /// The joined and the banned are not invited.
    InviteOfJoinedOrBanned         ["5.3.3",   "4.3.3",   "4.3.3",   "4.4.3",   "5.4.3"]
        "the invited user is joined or banned";
    /// Inviting takes the invite level.
    InvitePower                    ["5.3.5",   "4.3.5",   "4.3.5",   "4.4.5",   "5.4.5"]
        "the inviting user has not the power to invite";
    /// One leaves from an invite, a join or (since v7) a knock, and from nothing else.
    LeaveFromNothing               ["5.4.1",   "4.4.1",   "4.4.1",   "4.5.1",   "5.5.1"]
        "the user is in no membership that can be left";
    /// Members kick.
    KickerNotJoined                ["5.4.2",   "4.4.2",   "4.4.2",   "4.5.2",   "5.5.2"]
        "the kicking user is not joined";
    /// Lifting a ban takes the ban level, besides what a kick takes.
    UnbanPower                     ["5.4.3",   "4.4.3",   "4.4.3",   "4.5.3",   "5.5.3"]
        "the user has not the power to lift a ban";
    /// Kicking takes the kick level, and more than the kicked user has.
    KickPower                      ["5.4.5",   "4.4.5",   "4.4.5",   "4.5.5",   "5.5.5"]
        "the kicking user has not the power to kick, or not more than the other";
    /// Members ban.
    BannerNotJoined                ["5.5.1",   "4.5.1",   "4.5.1",   "4.6.1",   "5.6.1"]
        "the banning user is not joined";
    /// Banning takes the ban level, and more than the banned user has.
    BanPower                       ["5.5.3",   "4.5.3",   "4.5.3",   "4.6.3",   "5.6.3"]
        "the banning user has not the power to ban, or not more than the other";
    /// One knocks where the join rule is `knock` or (since v10) `knock_restricted`.
    KnockJoinRule                  ["",        "",        "4.6.1",   "4.7.1",   "5.7.1"]
        "the join rule does not let anybody knock";
    /// Nobody knocks for somebody else.
    KnockOfAnotherUser             ["",        "",        "4.6.2",   "4.7.2",   "5.7.2"]
        "the sender is not the user who would knock";
    /// The banned, the invited and the joined do not knock.
    KnockMembership                ["",        "",        "4.6.4",   "4.7.4",   "5.7.4"]
        "the user is banned, invited or joined";
    /// A membership that this version does not have, such as `knock` before v7.
    UnknownMembership              ["5.6",     "4.6",     "4.7",     "4.8",     "5.8"]
        "the membership is none of this room version";
}

impl Rule {
    /// The number of the rule in a room version, as a Markdown reader counts (v12's source skips 3.4).
    /// None if the version has no such rule. The rules of an unstable version are numbered as in the version that it
    /// [goes by](RoomVersion::goes_by).
    #[must_use]
    pub fn number(self, version: RoomVersion) -> Option<&'static str> {
        let [v1, v6, v7, v8, v12] = self.numbers();
        let number = match version.numbering() {
            Specified::V1 | Specified::V2 | Specified::V3 | Specified::V4 | Specified::V5 => v1,
            Specified::V6 => v6,
            Specified::V7 => v7,
            Specified::V8 | Specified::V9 | Specified::V10 | Specified::V11 => v8,
            Specified::V12 => v12,
        };
        Some(number).filter(|number| !number.is_empty())
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

/// A refusal: which rule of which version, and whether it was for want of something readable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub struct Rejection {
    rule: Rule,
    version: RoomVersion,
    malformed: Option<Malformed>,
}

impl Rejection {
    pub(crate) const fn new(rule: Rule, version: RoomVersion, malformed: Option<Malformed>) -> Self {
        Self { rule, version, malformed }
    }

    /// The rule that refuses.
    #[must_use]
    pub const fn rule(&self) -> Rule {
        self.rule
    }

    /// The version whose rule it is.
    #[must_use]
    pub const fn version(&self) -> RoomVersion {
        self.version
    }

    /// The number of the rule in that version. Every rule that refuses has one; it is empty only
    /// for a rule that a host has added to an [unstable version](RoomVersion::unstable_with), and
    /// for an [obstacle](super::Obstacle) to knocking that a room would still have if its version
    /// had knocking.
    #[must_use]
    pub fn number(&self) -> &'static str {
        self.rule.number(self.version).unwrap_or_default()
    }

    /// What was wrong with the event, in words.
    #[must_use]
    pub fn reason(&self) -> String {
        self.malformed.map_or_else(|| self.rule.reason().to_owned(), |malformed| malformed.to_string())
    }

    /// What the rule needed to read and could not. None if it could read everything, and the answer was no.
    #[must_use]
    pub const fn malformed(&self) -> Option<Malformed> {
        self.malformed
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number() {
            "" => write!(f, "an added rule of room version {}: {}", self.version, self.reason()),
            number => write!(f, "rule {number} of room version {}: {}", self.version, self.reason()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        let refused = Rejection::new(Rule::KnockJoinRule, RoomVersion::V10, None);
        assert_eq!(refused.to_string(), "rule 4.7.1 of room version 10: the join rule does not let anybody knock");
        assert_eq!((refused.rule(), refused.version()), (Rule::KnockJoinRule, RoomVersion::V10));
        assert_eq!((refused.number(), refused.malformed()), ("4.7.1", None));
        let malformed = Rejection::new(Rule::KickPower, RoomVersion::V12, Some(Malformed::PowerLevels));
        assert_eq!(
            malformed.to_string(),
            "rule 5.5.5 of room version 12: a level in the `m.room.power_levels` event is malformed"
        );
        assert_eq!(malformed.malformed(), Some(Malformed::PowerLevels));
    }

    #[test]
    fn names_and_numbers() {
        for rule in Rule::ALL {
            assert_eq!(rule.name(), format!("{rule:?}"));
            assert!(rule.number(RoomVersion::V12).is_some(), "{rule:?}");
        }
        assert_eq!(Rule::KnockJoinRule.number(RoomVersion::V6), None);
        assert_eq!(Rule::KnockJoinRule.number(RoomVersion::V7), Some("4.6.1"));
        assert_eq!(std::mem::size_of::<Rule>(), 1);
    }
}
