//! An oracle of the authorization rules for `m.room.member` events, written from the text of the
//! Matrix specification alone and from no implementation.
//!
//! The text is transcribed as it stands: each ordered list of the specification is a slice of
//! [`Item`]s, in the order of the text, and each nested list is a nested slice. The number of a
//! rule is nowhere written down in the tables: it is the position of the item, counted as a
//! Markdown reader counts it. (The numbers in the comments, and those in [`self_check`], were read
//! off the text.) What a room version does not know needs no code either: no row of its tables
//! mentions it, so that it falls on to the "Otherwise, reject".
//!
//! Sources, all below `content/rooms/` of the specification:
//!
//! | versions | text                         | `m.room.member` is rule |
//! |----------|------------------------------|-------------------------|
//! | 1, 2     | `fragments/v1-auth-rules.md` | 5                       |
//! | 3, 4, 5  | `fragments/v3-auth-rules.md` | 5                       |
//! | 6        | `v6.md`                      | 4                       |
//! | 7        | `v7.md`                      | 4                       |
//! | 8, 9     | `fragments/v8-auth-rules.md` | 4                       |
//! | 10       | `v10.md`                     | 4                       |
//! | 11       | `v11.md`                     | 4                       |
//! | 12       | `v12.md`                     | 5                       |

/// What `m.room.join_rules` in the state says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinRule {
    /// `public`
    Public,
    /// `invite`
    Invite,
    /// `knock`, known since version 7.
    Knock,
    /// `restricted`, known since version 8.
    Restricted,
    /// `knock_restricted`, known since version 10.
    KnockRestricted,
    /// `private`, which no version gives a meaning.
    Private,
    /// Some other string.
    Unknown,
    /// There is no `m.room.join_rules` event in the state.
    MissingEvent,
    /// Its content has no `join_rule`.
    MissingKey,
    /// Its `join_rule` is no string.
    WrongType,
}

/// The membership stored in the state for a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// There is no `m.room.member` event for the user.
    NoEvent,
    /// `invite`
    Invite,
    /// `join`
    Join,
    /// `leave`
    Leave,
    /// `knock`, known since version 7.
    Knock,
    /// `ban`
    Ban,
    /// Some other string.
    Other,
}

/// `content.membership` of the event being decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum New {
    /// `join`
    Join,
    /// `invite`
    Invite,
    /// `leave`
    Leave,
    /// `ban`
    Ban,
    /// `knock`, known since version 7.
    Knock,
    /// Some other string.
    Unknown,
    /// There is no such property.
    Missing,
}

/// What a user is to the `m.room.create` event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Nothing.
    Ordinary,
    /// The sender of the create event and, in versions 1 to 10, also its `content.creator`.
    CreateSender,
    /// Listed in `content.additional_creators`, which only version 12 gives a meaning.
    AdditionalCreator,
}

/// The `m.room.power_levels` event; `None` is an absent key or entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Levels {
    /// The sender's entry in `users`.
    pub sender: Option<i64>,
    /// The target user's entry in `users`.
    pub target: Option<i64>,
    /// The authorizing user's entry in `users`.
    pub authorizer: Option<i64>,
    /// `users_default`
    pub users_default: Option<i64>,
    /// `invite`
    pub invite: Option<i64>,
    /// `kick`
    pub kick: Option<i64>,
    /// `ban`
    pub ban: Option<i64>,
}

/// The `third_party_invite` property of the content, named by its first defect: in the order of
/// the rules everything before it is fine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThirdParty {
    /// There is no such property.
    Absent,
    /// It is there, but null.
    Null,
    /// It is there, but a string.
    NotAnObject,
    /// It has no `signed`.
    NoSigned,
    /// Its `signed` is no object.
    SignedNotAnObject,
    /// Its `signed` has no `mxid`.
    NoMxid,
    /// Its `signed` has no `token`.
    NoToken,
    /// Its `mxid` is not the state key.
    OtherMxid,
    /// The state has no `m.room.third_party_invite` event of that token.
    NoInviteEvent,
    /// The `m.room.third_party_invite` event has another sender.
    OtherSender,
    /// No signature matches a key of the `m.room.third_party_invite` event.
    BadSignature,
    /// A signature matches.
    Good,
}

/// The user named by `content.join_authorised_via_users_server`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authorizer {
    /// There is no such property.
    Absent,
    /// It is a number.
    NotAString,
    /// It names a user without `m.room.member` event.
    NoMemberEvent,
    /// It names a user, neither sender nor target, with this stored membership.
    Is(Before),
}

/// One cell: an `m.room.member` event and as much of the room's state as the rules look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// The room version, 1 to 12.
    pub version: u8,
    /// The membership that the event is to bring about.
    pub new: New,
    /// Whether the event has a `state_key`.
    pub has_state_key: bool,
    /// The sender is the state key; what is said of the target is then to be ignored.
    pub is_self: bool,
    /// The sender's stored membership.
    pub sender_before: Before,
    /// The target user's stored membership.
    pub target_before: Before,
    /// The room's join rule.
    pub join_rule: JoinRule,
    /// `None`: the state has no `m.room.power_levels` event.
    pub levels: Option<Levels>,
    /// What the sender is to the create event.
    pub sender_role: Role,
    /// What the target user is to the create event.
    pub target_role: Role,
    /// What the authorizing user is to the create event.
    pub authorizer_role: Role,
    /// Who authorizes a join to a restricted room.
    pub authorizer: Authorizer,
    /// The third-party invitation that the event comes from.
    pub third_party: ThirdParty,
    /// The create event has `"m.federate": false`.
    pub federate_false: bool,
    /// The sender's domain is another than that of the create event's sender.
    pub sender_remote: bool,
    /// The event's only previous event is the create event.
    pub only_prev_is_create: bool,
}

/// All variants of [`JoinRule`].
pub const JOIN_RULES: [JoinRule; 10] = [
    JoinRule::Public,
    JoinRule::Invite,
    JoinRule::Knock,
    JoinRule::Restricted,
    JoinRule::KnockRestricted,
    JoinRule::Private,
    JoinRule::Unknown,
    JoinRule::MissingEvent,
    JoinRule::MissingKey,
    JoinRule::WrongType,
];

/// All variants of [`Before`].
pub const BEFORES: [Before; 7] =
    [Before::NoEvent, Before::Invite, Before::Join, Before::Leave, Before::Knock, Before::Ban, Before::Other];

/// All variants of [`New`].
pub const NEWS: [New; 7] = [New::Join, New::Invite, New::Leave, New::Ban, New::Knock, New::Unknown, New::Missing];

/// All variants of [`ThirdParty`].
pub const THIRD_PARTIES: [ThirdParty; 12] = [
    ThirdParty::Absent,
    ThirdParty::Null,
    ThirdParty::NotAnObject,
    ThirdParty::NoSigned,
    ThirdParty::SignedNotAnObject,
    ThirdParty::NoMxid,
    ThirdParty::NoToken,
    ThirdParty::OtherMxid,
    ThirdParty::NoInviteEvent,
    ThirdParty::OtherSender,
    ThirdParty::BadSignature,
    ThirdParty::Good,
];

/// All values of [`Authorizer`]. `Is(NoEvent)` says the same as `NoMemberEvent`.
#[must_use]
pub fn authorizers() -> Vec<Authorizer> {
    [Authorizer::Absent, Authorizer::NotAString, Authorizer::NoMemberEvent]
        .into_iter()
        .chain(BEFORES.map(Authorizer::Is))
        .collect()
}

// ---------------------------------------------------------------------------------------------
// The vocabulary of the tables
// ---------------------------------------------------------------------------------------------

/// One item of an ordered list of the specification.
enum Item {
    /// Says nothing about the events this oracle is asked about: it is about another type of
    /// event, or about something that is given as satisfied.
    Silent,
    /// "If …, reject."; with no condition "Otherwise, reject."
    Reject(When),
    /// "If …, allow."; with no condition "Otherwise, allow."
    Allow(When),
    /// "If (first), allow if and only if (second)."
    AllowOnlyIf(When, When),
    /// "If …:" and a nested list.
    List(When, &'static [Self]),
}

/// All of these must hold.
type When = &'static [Fact];

/// What the conditions in the text speak of.
enum Fact {
    FederatesNot,
    SenderRemote,
    NoStateKeyOrMembership,
    Membership(New),
    HasAuthorizer,
    /// "is not a user with sufficient permission to invite other users or is not a joined member"
    AuthorizerUnfit,
    OnlyPrevIsCreate,
    /// "the `state_key` is the creator", since version 11 "… is the sender of the `m.room.create`"
    TargetMadeRoom,
    SenderIsTarget,
    SenderIsNotTarget,
    Sender(&'static [Before]),
    SenderNot(&'static [Before]),
    Target(&'static [Before]),
    Rule(&'static [JoinRule]),
    RuleNot(&'static [JoinRule]),
    Invitation(&'static [ThirdParty]),
    InvitationNot(&'static [ThirdParty]),
    /// The sender's power level is greater than or equal to this level.
    Reaches(Gate),
    /// The sender's power level is less than this level.
    Below(Gate),
    /// The target user's power level is less than the sender's.
    TargetBelowSender,
}

enum Gate {
    Invite,
    Kick,
    Ban,
}

enum Who {
    Sender,
    Target,
    Authorizer,
}

/// A power level. The order of the variants makes the infinite one greater than every number, and
/// not less than itself (`v12.md`, the note on "room creators" before the rules).
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Power {
    Number(i64),
    Infinite,
}

use Fact::{
    AuthorizerUnfit, Below, FederatesNot, HasAuthorizer, Invitation, InvitationNot, Membership, NoStateKeyOrMembership,
    OnlyPrevIsCreate, Reaches, Rule, RuleNot, Sender, SenderIsNotTarget, SenderIsTarget, SenderNot, SenderRemote,
    Target, TargetBelowSender, TargetMadeRoom,
};
use Item::{Allow, AllowOnlyIf, List, Reject, Silent};

// ---------------------------------------------------------------------------------------------
// The text. M stands for the number of the rule "If type is `m.room.member`": 5 in versions 1 to 5
// and 12, 4 in versions 6 to 11.
// ---------------------------------------------------------------------------------------------

const OTHERWISE: When = &[];

/// "If `membership` is `join`" in fragments/v1-auth-rules.md (v1, v2), fragments/v3-auth-rules.md
/// (v3 to v5) and v6.md: rule M.2.
const JOIN_V1: &[Item] = &[
    Allow(&[OnlyPrevIsCreate, TargetMadeRoom]), // M.2.1, whoever the sender is
    Reject(&[SenderIsNotTarget]),               // M.2.2
    Reject(&[Sender(&[Before::Ban])]),          // M.2.3
    Allow(&[Rule(&[JoinRule::Invite]), Sender(&[Before::Invite, Before::Join])]), // M.2.4
    Allow(&[Rule(&[JoinRule::Public])]),        // M.2.5
    Reject(OTHERWISE),                          // M.2.6
];

/// "If `membership` is `join`" in v7.md: rule 4.2.
const JOIN_V7: &[Item] = &[
    Allow(&[OnlyPrevIsCreate, TargetMadeRoom]), // 4.2.1
    Reject(&[SenderIsNotTarget]),               // 4.2.2
    Reject(&[Sender(&[Before::Ban])]),          // 4.2.3
    Allow(&[Rule(&[JoinRule::Invite, JoinRule::Knock]), Sender(&[Before::Invite, Before::Join])]), // 4.2.4, changed in v7
    Allow(&[Rule(&[JoinRule::Public])]),                                                           // 4.2.5
    Reject(OTHERWISE),                                                                             // 4.2.6
];

/// "If `membership` is `join`" in fragments/v8-auth-rules.md (v8, v9): rule 4.3.
const JOIN_V8: &[Item] = &[
    Allow(&[OnlyPrevIsCreate, TargetMadeRoom]), // 4.3.1
    Reject(&[SenderIsNotTarget]),               // 4.3.2
    Reject(&[Sender(&[Before::Ban])]),          // 4.3.3
    Allow(&[Rule(&[JoinRule::Invite, JoinRule::Knock]), Sender(&[Before::Invite, Before::Join])]), // 4.3.4
    List(&[Rule(&[JoinRule::Restricted])], VIA_AUTHORIZER), // 4.3.5, added in v8
    Allow(&[Rule(&[JoinRule::Public])]),        // 4.3.6
    Reject(OTHERWISE),                          // 4.3.7
];

/// "If `membership` is `join`" in v10.md, v11.md (4.3.1 there names the sender of the create event
/// in place of the creator) and v12.md (the same): rule M.3.
const JOIN_V10: &[Item] = &[
    Allow(&[OnlyPrevIsCreate, TargetMadeRoom]), // M.3.1
    Reject(&[SenderIsNotTarget]),               // M.3.2
    Reject(&[Sender(&[Before::Ban])]),          // M.3.3
    Allow(&[Rule(&[JoinRule::Invite, JoinRule::Knock]), Sender(&[Before::Invite, Before::Join])]), // M.3.4
    List(&[Rule(&[JoinRule::Restricted, JoinRule::KnockRestricted])], VIA_AUTHORIZER), // M.3.5, changed in v10
    Allow(&[Rule(&[JoinRule::Public])]),        // M.3.6
    Reject(OTHERWISE),                          // M.3.7
];

/// The list below M.3.5: fragments/v8-auth-rules.md, v10.md, v11.md, v12.md.
const VIA_AUTHORIZER: &[Item] = &[
    Allow(&[Sender(&[Before::Join, Before::Invite])]), // M.3.5.1
    Reject(&[AuthorizerUnfit]),                        // M.3.5.2
    Allow(OTHERWISE),                                  // M.3.5.3
];

/// "If `membership` is `invite`", the same in every version: rule M.3 in versions 1 to 7, M.4 in
/// versions 8 to 12.
const INVITE: &[Item] = &[
    List(&[InvitationNot(&[ThirdParty::Absent])], THIRD_PARTY_INVITE), // .1
    Reject(&[SenderNot(&[Before::Join])]),                             // .2
    Reject(&[Target(&[Before::Join, Before::Ban])]),                   // .3
    Allow(&[Reaches(Gate::Invite)]),                                   // .4
    Reject(OTHERWISE),                                                 // .5
];

/// "If `content` has a `third_party_invite` property", the same in every version: rule M.3.1 in
/// versions 1 to 7, M.4.1 in versions 8 to 12. What is null or no object has no `signed`; a `signed`
/// that is no object has neither `mxid` nor `token`.
const THIRD_PARTY_INVITE: &[Item] = &[
    Reject(&[Target(&[Before::Ban])]), // .1.1
    Reject(&[Invitation(&[ThirdParty::Null, ThirdParty::NotAnObject, ThirdParty::NoSigned])]), // .1.2
    Reject(&[Invitation(&[ThirdParty::SignedNotAnObject, ThirdParty::NoMxid, ThirdParty::NoToken])]), // .1.3
    Reject(&[Invitation(&[ThirdParty::OtherMxid])]), // .1.4
    Reject(&[Invitation(&[ThirdParty::NoInviteEvent])]), // .1.5
    Reject(&[Invitation(&[ThirdParty::OtherSender])]), // .1.6
    Allow(&[InvitationNot(&[ThirdParty::BadSignature])]), // .1.7, a signature matches a key
    Reject(OTHERWISE),                 // .1.8
];

/// "If `membership` is `leave`" in fragments/v1-auth-rules.md (v1, v2), fragments/v3-auth-rules.md
/// (v3 to v5) and v6.md: rule M.4.
const LEAVE_V1: &[Item] = &[
    AllowOnlyIf(&[SenderIsTarget], &[Sender(&[Before::Invite, Before::Join])]), // M.4.1
    Reject(&[SenderNot(&[Before::Join])]),                                      // M.4.2
    Reject(&[Target(&[Before::Ban]), Below(Gate::Ban)]),                        // M.4.3
    Allow(&[Reaches(Gate::Kick), TargetBelowSender]),                           // M.4.4
    Reject(OTHERWISE),                                                          // M.4.5
];

/// "If `membership` is `leave`" in v7.md (rule 4.4) and in fragments/v8-auth-rules.md, v10.md,
/// v11.md and v12.md (rule M.5).
const LEAVE_V7: &[Item] = &[
    AllowOnlyIf(&[SenderIsTarget], &[Sender(&[Before::Invite, Before::Join, Before::Knock])]), // .1, changed in v7
    Reject(&[SenderNot(&[Before::Join])]),                                                     // .2
    Reject(&[Target(&[Before::Ban]), Below(Gate::Ban)]),                                       // .3
    Allow(&[Reaches(Gate::Kick), TargetBelowSender]),                                          // .4
    Reject(OTHERWISE),                                                                         // .5
];

/// "If `membership` is `ban`", the same in every version: rule M.5 in versions 1 to 7, M.6 in
/// versions 8 to 12.
const BAN: &[Item] = &[
    Reject(&[SenderNot(&[Before::Join])]),           // .1
    Allow(&[Reaches(Gate::Ban), TargetBelowSender]), // .2
    Reject(OTHERWISE),                               // .3
];

/// "If `membership` is `knock`" in v7.md (rule 4.6) and fragments/v8-auth-rules.md (rule 4.7).
const KNOCK_V7: &[Item] = &[
    Reject(&[RuleNot(&[JoinRule::Knock])]),                            // .1
    Reject(&[SenderIsNotTarget]),                                      // .2
    Allow(&[SenderNot(&[Before::Ban, Before::Invite, Before::Join])]), // .3
    Reject(OTHERWISE),                                                 // .4
];

/// "If `membership` is `knock`" in v10.md, v11.md (rule 4.7) and v12.md (rule 5.7).
const KNOCK_V10: &[Item] = &[
    Reject(&[RuleNot(&[JoinRule::Knock, JoinRule::KnockRestricted])]), // M.7.1, changed in v10
    Reject(&[SenderIsNotTarget]),                                      // M.7.2
    Allow(&[SenderNot(&[Before::Ban, Before::Invite, Before::Join])]), // M.7.3
    Reject(OTHERWISE),                                                 // M.7.4
];

/// "If `content` has a `join_authorised_via_users_server` property": the list below M.2 in
/// fragments/v8-auth-rules.md, v10.md, v11.md and v12.md.
const SIGNED_BY_AUTHORIZER: &[Item] = &[
    Silent, // M.2.1, the signature: given as satisfied
];

/// "If type is `m.room.member`" in fragments/v1-auth-rules.md (v1, v2: rule 5),
/// fragments/v3-auth-rules.md (v3 to v5: rule 5) and v6.md (rule 4).
const MEMBER_V1: &[Item] = &[
    Reject(&[NoStateKeyOrMembership]),         // M.1
    List(&[Membership(New::Join)], JOIN_V1),   // M.2
    List(&[Membership(New::Invite)], INVITE),  // M.3
    List(&[Membership(New::Leave)], LEAVE_V1), // M.4
    List(&[Membership(New::Ban)], BAN),        // M.5
    Reject(OTHERWISE),                         // M.6, the membership is unknown
];

/// "If type is `m.room.member`" in v7.md: rule 4.
const MEMBER_V7: &[Item] = &[
    Reject(&[NoStateKeyOrMembership]),         // 4.1
    List(&[Membership(New::Join)], JOIN_V7),   // 4.2
    List(&[Membership(New::Invite)], INVITE),  // 4.3
    List(&[Membership(New::Leave)], LEAVE_V7), // 4.4
    List(&[Membership(New::Ban)], BAN),        // 4.5
    List(&[Membership(New::Knock)], KNOCK_V7), // 4.6, added in v7
    Reject(OTHERWISE),                         // 4.7, the membership is unknown
];

/// "If type is `m.room.member`" in fragments/v8-auth-rules.md (v8, v9): rule 4.
const MEMBER_V8: &[Item] = &[
    Reject(&[NoStateKeyOrMembership]),            // 4.1
    List(&[HasAuthorizer], SIGNED_BY_AUTHORIZER), // 4.2, added in v8
    List(&[Membership(New::Join)], JOIN_V8),      // 4.3
    List(&[Membership(New::Invite)], INVITE),     // 4.4
    List(&[Membership(New::Leave)], LEAVE_V7),    // 4.5
    List(&[Membership(New::Ban)], BAN),           // 4.6
    List(&[Membership(New::Knock)], KNOCK_V7),    // 4.7
    Reject(OTHERWISE),                            // 4.8, the membership is unknown
];

/// "If type is `m.room.member`" in v10.md, v11.md (rule 4) and v12.md (rule 5).
const MEMBER_V10: &[Item] = &[
    Reject(&[NoStateKeyOrMembership]),            // M.1
    List(&[HasAuthorizer], SIGNED_BY_AUTHORIZER), // M.2
    List(&[Membership(New::Join)], JOIN_V10),     // M.3
    List(&[Membership(New::Invite)], INVITE),     // M.4
    List(&[Membership(New::Leave)], LEAVE_V7),    // M.5
    List(&[Membership(New::Ban)], BAN),           // M.6
    List(&[Membership(New::Knock)], KNOCK_V10),   // M.7
    Reject(OTHERWISE),                            // M.8, the membership is unknown
];

/// fragments/v1-auth-rules.md (v1, v2) and fragments/v3-auth-rules.md (v3 to v5).
const RULES_V1: &[Item] = &[
    Silent,                                // 1, m.room.create
    Silent,                                // 2, auth_events: given as satisfied
    Reject(&[FederatesNot, SenderRemote]), // 3
    Silent,                                // 4, m.room.aliases
    List(&[], MEMBER_V1),                  // 5
];

/// v6.md, which drops the rule about m.room.aliases.
const RULES_V6: &[Item] = &[
    Silent,                                // 1, m.room.create
    Silent,                                // 2, auth_events: given as satisfied
    Reject(&[FederatesNot, SenderRemote]), // 3
    List(&[], MEMBER_V1),                  // 4
];

/// v7.md.
const RULES_V7: &[Item] = &[
    Silent,                                // 1, m.room.create
    Silent,                                // 2, auth_events: given as satisfied
    Reject(&[FederatesNot, SenderRemote]), // 3
    List(&[], MEMBER_V7),                  // 4
];

/// fragments/v8-auth-rules.md (v8, v9).
const RULES_V8: &[Item] = &[
    Silent,                                // 1, m.room.create
    Silent,                                // 2, auth_events: given as satisfied
    Reject(&[FederatesNot, SenderRemote]), // 3
    List(&[], MEMBER_V8),                  // 4
];

/// v10.md and v11.md.
const RULES_V10: &[Item] = &[
    Silent,                                // 1, m.room.create
    Silent,                                // 2, auth_events: given as satisfied
    Reject(&[FederatesNot, SenderRemote]), // 3
    List(&[], MEMBER_V10),                 // 4
];

/// v12.md.
const RULES_V12: &[Item] = &[
    Silent,                                // 1, m.room.create
    Silent,                                // 2, room_id: given as satisfied; added in v12
    Silent,                                // 3, auth_events: given as satisfied
    Reject(&[FederatesNot, SenderRemote]), // 4
    List(&[], MEMBER_V10),                 // 5
];

/// The rules of each room version, version 1 first.
const RULES: [&[Item]; 12] = [
    RULES_V1, RULES_V1, RULES_V1, RULES_V1, RULES_V1, RULES_V6, RULES_V7, RULES_V8, RULES_V8, RULES_V10, RULES_V10,
    RULES_V12,
];

/// The first room version in which room creators are infinitely powerful (`v12.md`).
const CREATORS_INFINITE_SINCE: u8 = 12;

// ---------------------------------------------------------------------------------------------
// Reading the tables
// ---------------------------------------------------------------------------------------------

/// Whether the event is allowed.
///
/// # Errors
///
/// The number of the rule that rejects the event, such as `4.7.1`.
pub fn verdict(case: &Case) -> Result<(), String> {
    usize::from(case.version)
        .checked_sub(1)
        .and_then(|index| RULES.get(index))
        .and_then(|rules| read(rules, case))
        .unwrap_or_else(|| Err(format!("undecided in version {}", case.version)))
}

/// Goes through a list; `None` if no item of it decides.
fn read(items: &[Item], case: &Case) -> Option<Result<(), String>> {
    items.iter().zip(1_usize..).find_map(|(item, number)| {
        let reject = || Some(Err(number.to_string()));
        match item {
            Reject(when) if all(when, case) => reject(),
            Allow(when) if all(when, case) => Some(Ok(())),
            AllowOnlyIf(when, only) if all(when, case) => {
                if all(only, case) {
                    Some(Ok(()))
                } else {
                    reject()
                }
            }
            List(when, nested) if all(when, case) => {
                read(nested, case).map(|decision| decision.map_err(|rest| format!("{number}.{rest}")))
            }
            Silent | Reject(_) | Allow(_) | AllowOnlyIf(..) | List(..) => None,
        }
    })
}

fn all(when: When, case: &Case) -> bool {
    when.iter().all(|fact| holds(fact, case))
}

fn holds(fact: &Fact, case: &Case) -> bool {
    match fact {
        FederatesNot => case.federate_false,
        SenderRemote => case.sender_remote,
        NoStateKeyOrMembership => !case.has_state_key || case.new == New::Missing,
        Membership(new) => case.new == *new,
        HasAuthorizer => case.authorizer != Authorizer::Absent,
        AuthorizerUnfit => {
            case.authorizer != Authorizer::Is(Before::Join)
                || power(&Who::Authorizer, case) < level(&Gate::Invite, case)
        }
        OnlyPrevIsCreate => case.only_prev_is_create,
        TargetMadeRoom => target(case).1 == Role::CreateSender,
        SenderIsTarget => case.is_self,
        SenderIsNotTarget => !case.is_self,
        Sender(these) => these.contains(&case.sender_before),
        SenderNot(these) => !these.contains(&case.sender_before),
        Target(these) => these.contains(&target(case).0),
        Rule(these) => these.contains(&join_rule(case)),
        RuleNot(these) => !these.contains(&join_rule(case)),
        Invitation(these) => these.contains(&case.third_party),
        InvitationNot(these) => !these.contains(&case.third_party),
        Reaches(gate) => power(&Who::Sender, case) >= level(gate, case),
        Below(gate) => power(&Who::Sender, case) < level(gate, case),
        TargetBelowSender => power(&Who::Target, case) < power(&Who::Sender, case),
    }
}

/// The target user's stored membership, role and entry among the power levels' users.
fn target(case: &Case) -> (Before, Role, Option<i64>) {
    if case.is_self {
        (case.sender_before, case.sender_role, case.levels.and_then(|levels| levels.sender))
    } else {
        (case.target_before, case.target_role, case.levels.and_then(|levels| levels.target))
    }
}

/// A room without join rules, or with join rules that do not name one, is by invitation.
fn join_rule(case: &Case) -> JoinRule {
    match case.join_rule {
        JoinRule::MissingEvent | JoinRule::MissingKey => JoinRule::Invite,
        named => named,
    }
}

/// data/event-schemas/schema/m.room.power_levels.yaml: the description, `users` and
/// `users_default`; and v12.md, the note on "room creators".
fn power(who: &Who, case: &Case) -> Power {
    let (role, entry) = match who {
        Who::Sender => (case.sender_role, case.levels.and_then(|levels| levels.sender)),
        Who::Target => {
            let (_, role, entry) = target(case);
            (role, entry)
        }
        Who::Authorizer => (case.authorizer_role, case.levels.and_then(|levels| levels.authorizer)),
    };
    match (case.version, role, case.levels) {
        (CREATORS_INFINITE_SINCE.., Role::CreateSender | Role::AdditionalCreator, _) => Power::Infinite,
        (_, Role::CreateSender, None) => Power::Number(100),
        (_, _, None) => Power::Number(0),
        (_, _, Some(levels)) => Power::Number(entry.or(levels.users_default).unwrap_or(0)),
    }
}

/// data/event-schemas/schema/m.room.power_levels.yaml: `invite` defaults to 0, `kick` and `ban` to
/// 50, with a power levels event or without.
fn level(gate: &Gate, case: &Case) -> Power {
    let (named, default): (fn(Levels) -> Option<i64>, i64) = match gate {
        Gate::Invite => (|levels| levels.invite, 0),
        Gate::Kick => (|levels| levels.kick, 50),
        Gate::Ban => (|levels| levels.ban, 50),
    };
    Power::Number(case.levels.and_then(named).unwrap_or(default))
}

// ---------------------------------------------------------------------------------------------
// Spot checks
// ---------------------------------------------------------------------------------------------

/// What is said for all the spot checks that do not say otherwise: a stranger for herself in a room
/// without power levels whose join rule is `invite`.
const STRANGER: Case = Case {
    version: 1,
    new: New::Join,
    has_state_key: true,
    is_self: true,
    sender_before: Before::NoEvent,
    target_before: Before::NoEvent,
    join_rule: JoinRule::Invite,
    levels: None,
    sender_role: Role::Ordinary,
    target_role: Role::Ordinary,
    authorizer_role: Role::Ordinary,
    authorizer: Authorizer::Absent,
    third_party: ThirdParty::Absent,
    federate_false: false,
    sender_remote: false,
    only_prev_is_create: false,
};

/// A joined member acting upon somebody else, who has no member event.
const MEMBER: Case = Case { is_self: false, sender_before: Before::Join, ..STRANGER };

/// A power levels event that says nothing.
const EMPTY: Levels =
    Levels { sender: None, target: None, authorizer: None, users_default: None, invite: None, kick: None, ban: None };

/// The failures, none if all is well, among cases whose verdicts were read off the text by hand.
#[must_use]
pub fn self_check() -> Vec<String> {
    [
        checks_before_membership(),
        checks_join(),
        checks_restricted(),
        checks_invite(),
        checks_leave(),
        checks_ban(),
        checks_knock_and_unknown(),
    ]
    .into_iter()
    .flatten()
    .filter_map(|(case, expected)| {
        let found = verdict(&case);
        let wanted = if expected == "allow" { Ok(()) } else { Err(expected.to_owned()) };
        (found != wanted).then(|| format!("expected {expected}, found {found:?}: {case:?}"))
    })
    .collect()
}

type Checks = Vec<(Case, &'static str)>;

fn in_versions(checks: &[(u8, &'static str)], case: Case) -> Checks {
    checks.iter().map(|&(version, expected)| (Case { version, ..case }, expected)).collect()
}

/// A power levels event that says something only of the sender and of the target.
const fn levels(sender: i64, target: i64) -> Levels {
    Levels { sender: Some(sender), target: Some(target), ..EMPTY }
}

fn checks_before_membership() -> Checks {
    [
        // A room that does not federate, and a sender from elsewhere.
        in_versions(
            &[(1, "3"), (5, "3"), (6, "3"), (11, "3"), (12, "4")],
            Case { federate_false: true, sender_remote: true, join_rule: JoinRule::Public, ..STRANGER },
        ),
        // The same with no state key: the rule on federation comes first.
        in_versions(
            &[(2, "3"), (12, "4")],
            Case { federate_false: true, sender_remote: true, has_state_key: false, is_self: false, ..STRANGER },
        ),
        // A sender from here.
        in_versions(
            &[(3, "allow"), (12, "allow")],
            Case { federate_false: true, join_rule: JoinRule::Public, ..STRANGER },
        ),
        in_versions(
            &[(1, "5.1"), (5, "5.1"), (6, "4.1"), (11, "4.1"), (12, "5.1")],
            Case { has_state_key: false, is_self: false, ..STRANGER },
        ),
        in_versions(&[(4, "5.1"), (7, "4.1"), (9, "4.1"), (12, "5.1")], Case { new: New::Missing, ..STRANGER }),
    ]
    .concat()
}

fn checks_join() -> Checks {
    [
        // The creator's first join, here by somebody else's hand; the state may say what it likes.
        in_versions(
            &[(1, "allow"), (7, "allow"), (10, "allow"), (12, "allow")],
            Case {
                is_self: false,
                target_role: Role::CreateSender,
                target_before: Before::Ban,
                only_prev_is_create: true,
                ..STRANGER
            },
        ),
        // Additional creators have no such right.
        in_versions(
            &[(6, "4.2.6"), (12, "5.3.7")],
            Case { sender_role: Role::AdditionalCreator, only_prev_is_create: true, ..STRANGER },
        ),
        in_versions(
            &[(1, "5.2.2"), (6, "4.2.2"), (8, "4.3.2"), (12, "5.3.2")],
            Case { join_rule: JoinRule::Public, ..MEMBER },
        ),
        in_versions(
            &[(5, "5.2.3"), (7, "4.2.3"), (10, "4.3.3"), (12, "5.3.3")],
            Case { sender_before: Before::Ban, join_rule: JoinRule::Public, ..STRANGER },
        ),
        // The invited may join where the rule is `invite`, or is missing.
        in_versions(
            &[(1, "allow"), (12, "allow")],
            Case { sender_before: Before::Invite, join_rule: JoinRule::MissingKey, ..STRANGER },
        ),
        in_versions(
            &[(2, "5.2.6"), (7, "4.2.6"), (9, "4.3.7"), (12, "5.3.7")],
            Case { sender_before: Before::Leave, join_rule: JoinRule::MissingEvent, ..STRANGER },
        ),
        // Where the rule is `knock`, which version 6 does not know.
        in_versions(
            &[(5, "5.2.6"), (6, "4.2.6"), (7, "allow"), (8, "allow")],
            Case { sender_before: Before::Invite, join_rule: JoinRule::Knock, ..STRANGER },
        ),
        // Nobody joins where the rule is `private`.
        in_versions(
            &[(6, "4.2.6"), (7, "4.2.6"), (11, "4.3.7"), (12, "5.3.7")],
            Case { sender_before: Before::Join, join_rule: JoinRule::Private, ..STRANGER },
        ),
    ]
    .concat()
}

fn checks_restricted() -> Checks {
    let restricted = Case { join_rule: JoinRule::Restricted, authorizer: Authorizer::Is(Before::Join), ..STRANGER };
    let invite_50 = Some(Levels { invite: Some(50), ..EMPTY });
    [
        in_versions(&[(3, "5.2.6"), (7, "4.2.6"), (8, "allow"), (11, "allow"), (12, "allow")], restricted),
        in_versions(&[(9, "4.3.7"), (10, "allow")], Case { join_rule: JoinRule::KnockRestricted, ..restricted }),
        // The invited needs no authorizer.
        in_versions(
            &[(7, "4.2.6"), (8, "allow"), (12, "allow")],
            Case { sender_before: Before::Invite, authorizer: Authorizer::Absent, ..restricted },
        ),
        in_versions(&[(8, "4.3.5.2"), (12, "5.3.5.2")], Case { authorizer: Authorizer::Absent, ..restricted }),
        in_versions(&[(9, "4.3.5.2"), (12, "5.3.5.2")], Case { authorizer: Authorizer::NotAString, ..restricted }),
        in_versions(
            &[(10, "4.3.5.2"), (12, "5.3.5.2")],
            Case { authorizer: Authorizer::Is(Before::Invite), authorizer_role: Role::CreateSender, ..restricted },
        ),
        in_versions(&[(10, "4.3.5.2"), (12, "5.3.5.2")], Case { levels: invite_50, ..restricted }),
        // With power levels in the room, version 11 does not ask who created it; version 12 does.
        in_versions(
            &[(11, "4.3.5.2"), (12, "allow")],
            Case { levels: invite_50, authorizer_role: Role::CreateSender, ..restricted },
        ),
        // The banned is banned first.
        in_versions(&[(8, "4.3.3"), (12, "5.3.3")], Case { sender_before: Before::Ban, ..restricted }),
    ]
    .concat()
}

fn checks_invite() -> Checks {
    let invite = Case { new: New::Invite, ..MEMBER };
    let third_party =
        |third_party| Case { third_party, sender_before: Before::Leave, target_before: Before::Join, ..invite };
    [
        in_versions(&[(1, "allow"), (7, "allow"), (12, "allow")], invite),
        in_versions(
            &[(1, "5.3.2"), (6, "4.3.2"), (8, "4.4.2"), (12, "5.4.2")],
            Case { sender_before: Before::Invite, ..invite },
        ),
        in_versions(
            &[(5, "5.3.3"), (7, "4.3.3"), (10, "4.4.3"), (12, "5.4.3")],
            Case { target_before: Before::Ban, sender_role: Role::CreateSender, ..invite },
        ),
        // One who invites herself has joined already.
        in_versions(&[(3, "5.3.3"), (12, "5.4.3")], Case { is_self: true, ..invite }),
        in_versions(
            &[(2, "5.3.5"), (6, "4.3.5"), (11, "4.4.5"), (12, "allow")],
            Case { levels: Some(Levels { invite: Some(1), ..EMPTY }), sender_role: Role::CreateSender, ..invite },
        ),
        // The rules on third parties ask neither for the sender's membership nor for her level, nor
        // whether the target has joined.
        in_versions(&[(1, "allow"), (7, "allow"), (8, "allow"), (12, "allow")], third_party(ThirdParty::Good)),
        in_versions(
            &[(1, "5.3.1.1"), (7, "4.3.1.1"), (11, "4.4.1.1"), (12, "5.4.1.1")],
            Case { target_before: Before::Ban, ..third_party(ThirdParty::Null) },
        ),
        in_versions(&[(4, "5.3.1.2"), (9, "4.4.1.2")], third_party(ThirdParty::Null)),
        in_versions(&[(6, "4.3.1.3"), (12, "5.4.1.3")], third_party(ThirdParty::SignedNotAnObject)),
        in_versions(&[(10, "4.4.1.3")], third_party(ThirdParty::NoToken)),
        in_versions(&[(7, "4.3.1.4")], third_party(ThirdParty::OtherMxid)),
        in_versions(&[(5, "5.3.1.5")], third_party(ThirdParty::NoInviteEvent)),
        in_versions(&[(8, "4.4.1.6")], third_party(ThirdParty::OtherSender)),
        in_versions(&[(1, "5.3.1.8"), (6, "4.3.1.8"), (12, "5.4.1.8")], third_party(ThirdParty::BadSignature)),
    ]
    .concat()
}

fn checks_leave() -> Checks {
    let kick = Case { new: New::Leave, target_before: Before::Join, ..MEMBER };
    [
        // Taking back a knock.
        in_versions(
            &[(1, "5.4.1"), (6, "4.4.1"), (7, "allow"), (12, "allow")],
            Case { new: New::Leave, sender_before: Before::Knock, ..STRANGER },
        ),
        in_versions(
            &[(3, "5.4.1"), (7, "4.4.1"), (8, "4.5.1"), (12, "5.5.1")],
            Case { new: New::Leave, sender_before: Before::Ban, ..STRANGER },
        ),
        in_versions(
            &[(1, "5.4.2"), (6, "4.4.2"), (9, "4.5.2"), (12, "5.5.2")],
            Case { sender_before: Before::Leave, ..kick },
        ),
        // Lifting a ban: below the level to ban; above it, but below the level to kick.
        in_versions(
            &[(2, "5.4.3"), (7, "4.4.3"), (11, "4.5.3"), (12, "5.5.3")],
            Case { target_before: Before::Ban, levels: Some(levels(49, 0)), ..kick },
        ),
        in_versions(
            &[(1, "5.4.5"), (7, "4.4.5"), (8, "4.5.5"), (12, "5.5.5")],
            Case {
                target_before: Before::Ban,
                levels: Some(Levels { sender: Some(60), kick: Some(70), ..EMPTY }),
                ..kick
            },
        ),
        // Without power levels the creator has 100.
        in_versions(&[(1, "allow"), (11, "allow"), (12, "allow")], Case { sender_role: Role::CreateSender, ..kick }),
        in_versions(&[(11, "4.5.5"), (12, "allow")], Case { sender_role: Role::AdditionalCreator, ..kick }),
    ]
    .concat()
}

fn checks_ban() -> Checks {
    let ban = Case { new: New::Ban, target_before: Before::Join, ..MEMBER };
    [
        // Creators are not below each other, and above every number.
        in_versions(
            &[(11, "allow"), (12, "5.6.3")],
            Case { sender_role: Role::CreateSender, target_role: Role::AdditionalCreator, ..ban },
        ),
        in_versions(
            &[(11, "allow"), (12, "5.6.3")],
            Case { target_role: Role::CreateSender, levels: Some(levels(i64::MAX, 0)), ..ban },
        ),
        in_versions(
            &[(1, "5.5.1"), (7, "4.5.1"), (8, "4.6.1"), (12, "5.6.1")],
            Case { sender_before: Before::Knock, ..ban },
        ),
        in_versions(
            &[(5, "5.5.3"), (6, "4.5.3"), (10, "4.6.3"), (12, "5.6.3")],
            Case { levels: Some(levels(50, 50)), ..ban },
        ),
        in_versions(&[(5, "allow"), (12, "allow")], Case { levels: Some(levels(50, 49)), ..ban }),
        // The target's level is that of users_default if it has no entry of its own.
        in_versions(
            &[(9, "4.6.3")],
            Case { levels: Some(Levels { sender: Some(60), users_default: Some(60), ..EMPTY }), ..ban },
        ),
        // Nobody is below herself.
        in_versions(&[(4, "5.5.3"), (12, "5.6.3")], Case { is_self: true, sender_role: Role::CreateSender, ..ban }),
    ]
    .concat()
}

fn checks_knock_and_unknown() -> Checks {
    let knock = Case { new: New::Knock, join_rule: JoinRule::Knock, ..STRANGER };
    [
        in_versions(&[(1, "5.6"), (5, "5.6"), (6, "4.6"), (7, "allow"), (8, "allow"), (12, "allow")], knock),
        in_versions(
            &[(7, "4.6.1"), (8, "4.7.1"), (11, "4.7.1"), (12, "5.7.1")],
            Case { join_rule: JoinRule::Public, is_self: false, ..knock },
        ),
        in_versions(
            &[(9, "4.7.1"), (10, "allow"), (12, "allow")],
            Case { join_rule: JoinRule::KnockRestricted, ..knock },
        ),
        in_versions(&[(7, "4.6.2"), (9, "4.7.2"), (12, "5.7.2")], Case { is_self: false, ..knock }),
        in_versions(&[(7, "4.6.4"), (10, "4.7.4"), (12, "5.7.4")], Case { sender_before: Before::Invite, ..knock }),
        in_versions(&[(7, "allow"), (10, "allow"), (12, "allow")], Case { sender_before: Before::Other, ..knock }),
        in_versions(
            &[(1, "5.6"), (5, "5.6"), (6, "4.6"), (7, "4.7"), (8, "4.8"), (11, "4.8"), (12, "5.8")],
            Case { new: New::Unknown, ..STRANGER },
        ),
    ]
    .concat()
}
