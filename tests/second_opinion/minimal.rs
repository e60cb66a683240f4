//! For every decision the smallest room in which it makes the difference.

use matrix_knock::RoomVersion;
use matrix_knock::auth::Rule;
use matrix_knock::event::Membership::{self, Ban, Invite, Join};

use super::decisions::Decision;
use super::independent::{self, Referring};
use super::room::{ALICE, BOB, Case, Encoding, Json, NOT_A_USER, object, public_key, raw, small_order_key, text};

/// A change to a plain room, our verdict, and how ruma's begins.
pub(crate) struct Minimal<C, D> {
    pub(crate) decision: D,
    pub(crate) version: RoomVersion,
    pub(crate) change: fn(&mut C),
    pub(crate) ours: Result<Membership, Rule>,
    pub(crate) ruma: Result<(), &'static str>,
}

fn case(
    decision: Decision,
    version: RoomVersion,
    change: fn(&mut Case),
    ours: Result<Membership, Rule>,
    ruma: Result<(), &'static str>,
) -> Minimal<Case, Decision> {
    Minimal { decision, version, change, ours, ruma }
}

fn create(case: &mut Case, key: &str, value: Json) {
    case.create.iter_mut().for_each(|(_, content)| content.push(key, value.clone()));
}

fn member(case: &mut Case, user: &str, membership: &str) {
    case.members.insert(user.to_owned(), object([("membership", text(membership))]));
}

fn change(case: &mut Case, sender: &'static str, membership: &str, target: &str) {
    (case.sender, case.target) = (sender, Some(target.to_owned()));
    case.content.set("membership", text(membership));
}

/// Bob, whom Alice knew by e-mail only. `signatures` of `id.example`.
fn third_party<const N: usize>(case: &mut Case, signatures: [(&str, Json); N]) {
    let signatures = object([("id.example", object(signatures))]);
    let signed = object([("mxid", text(BOB)), ("token", text("t")), ("signatures", signatures)]);
    case.content.push("third_party_invite", object([("signed", signed)]));
    case.invites.insert("t".to_owned(), (ALICE, object([("public_key", public_key(1))])));
}

const KEY: &str = "ed25519:1";
const GOOD: Json = Json::Signature(1, Encoding::Unpadded);

pub(crate) fn of_state_dependent_rules() -> Vec<Minimal<Case, Decision>> {
    use Decision::*;
    vec![
        case(
            StateKeyIsText,
            RoomVersion::V11,
            |case| case.target = Some(NOT_A_USER.into()),
            Ok(Invite),
            Err("invalid `state_key`"),
        ),
        case(
            ListIsNoObject,
            RoomVersion::V10,
            |case| {
                case.members.insert(BOB.to_owned(), Json::List(vec![text("invite")]));
                change(case, BOB, "join", BOB);
            },
            Err(Rule::JoinWhileBanned),
            Ok(()),
        ),
        case(
            DuplicateKeys,
            RoomVersion::V10,
            |case| case.power_levels = Some(object([("invite", raw("0")), ("invite", raw("0"))])),
            Err(Rule::InvitePower),
            Ok(()),
        ),
        case(
            DuplicateKeys,
            RoomVersion::V10,
            |case| {
                third_party(case, [(KEY, GOOD)]);
                let signed = case.content.get_mut("third_party_invite").and_then(|invite| invite.get_mut("signed"));
                signed.into_iter().for_each(|signed| signed.push("token", text("t")));
            },
            Err(Rule::ThirdPartyInviteUnknown),
            Ok(()),
        ),
        case(
            OnlyFalseBars,
            RoomVersion::V10,
            |case| create(case, "m.federate", text("no")),
            Ok(Invite),
            Err("invalid `m.federate`"),
        ),
        case(
            FederateReadWhereNeeded,
            RoomVersion::V11,
            |case| case.create = Some((ALICE, raw("null"))),
            Ok(Invite),
            Err("invalid `m.federate`"),
        ),
        case(
            CreatorIsNobody,
            RoomVersion::V10,
            |case| case.create = Some((ALICE, object([]))),
            Ok(Invite),
            Err("missing or invalid"),
        ),
        case(
            CreatorIsNobody,
            RoomVersion::V1,
            |case| {
                case.create = Some((ALICE, object([("creator", raw("7"))])));
                case.join_rules = Some(object([("join_rule", text("public"))]));
                change(case, ALICE, "join", ALICE);
            },
            Ok(Join),
            Err("missing or invalid `creator`"),
        ),
        case(
            AdditionalCreatorsLenient,
            RoomVersion::V12,
            |case| {
                create(case, "additional_creators", Json::List(vec![raw("1"), text(BOB)]));
                member(case, BOB, "join");
                change(case, BOB, "ban", NOT_A_USER);
                case.target = Some("@eve:e.example".to_owned());
            },
            Ok(Ban),
            Err("invalid `additional_creators`"),
        ),
        case(
            NoJoinRulesIsInvite,
            RoomVersion::V12,
            |case| {
                case.join_rules = None;
                change(case, ALICE, "join", ALICE);
            },
            Ok(Join),
            Err("no `m.room.join_rules`"),
        ),
        case(
            NoJoinRulesIsInvite,
            RoomVersion::V6,
            |case| {
                case.join_rules = Some(object([]));
                change(case, ALICE, "join", ALICE);
            },
            Ok(Join),
            Err("missing or invalid `join_rule`"),
        ),
        case(
            NullLevelIsAbsent,
            RoomVersion::V9,
            |case| invite_level(case, "null"),
            Ok(Invite),
            Err("unexpected format of `invite`"),
        ),
        case(
            NullLevelIsAbsent,
            RoomVersion::V1,
            |case| case.power_levels = Some(object([("users_default", raw("null"))])),
            Ok(Invite),
            Err("unexpected format of `users_default`"),
        ),
        case(StringGrammar, RoomVersion::V9, |case| invite_level(case, r#""\u00a00""#), Err(Rule::InvitePower), Ok(())),
        case(StringGrammar, RoomVersion::V1, |case| invite_level(case, r#""++0""#), Err(Rule::InvitePower), Ok(())),
        case(
            FloatTruncated,
            RoomVersion::V5,
            |case| invite_level(case, "-0.5"),
            Ok(Invite),
            Err("unexpected format of `invite`"),
        ),
        case(
            FloatTruncated,
            RoomVersion::V1,
            |case| invite_level(case, "-0"),
            Ok(Invite),
            Err("unexpected format of `invite`"),
        ),
        case(
            LevelSaturates,
            RoomVersion::V9,
            |case| invite_level(case, r#""-99999999999999999999""#),
            Ok(Invite),
            Err("unexpected format of `invite`"),
        ),
        case(
            LevelSaturates,
            RoomVersion::V5,
            |case| invite_level(case, "-99999999999999999999"),
            Ok(Invite),
            Err("unexpected format of `invite`"),
        ),
        case(
            LevelReadWhereNeeded,
            RoomVersion::V10,
            |case| case.power_levels = Some(object([("users", object([(BOB, raw("null"))]))])),
            Ok(Invite),
            Err("unexpected format of `users`"),
        ),
        case(
            NullIsPresent,
            RoomVersion::V11,
            |case| case.content.push("third_party_invite", raw("null")),
            Err(Rule::ThirdPartyInviteUnsigned),
            Ok(()),
        ),
        case(
            MalformedEntriesPassedOver,
            RoomVersion::V11,
            |case| {
                third_party(case, [(KEY, GOOD)]);
                case.invites.values_mut().for_each(|(_, content)| content.push("public_keys", raw("null")));
            },
            Ok(Invite),
            Err("invalid `public_key` or `public_keys`"),
        ),
        case(
            MalformedEntriesPassedOver,
            RoomVersion::V11,
            |case| {
                third_party(case, [(KEY, GOOD)]);
                let signed = case.content.get_mut("third_party_invite").and_then(|invite| invite.get_mut("signed"));
                let signatures = signed.and_then(|signed| signed.get_mut("signatures"));
                signatures.into_iter().for_each(|signatures| signatures.push("a.example", raw("null")));
            },
            Ok(Invite),
            Err("unexpected format of `signatures`"),
        ),
        case(
            SignedNumbersLenient,
            RoomVersion::V5,
            |case| {
                third_party(case, [(KEY, GOOD)]);
                let signed = case.content.get_mut("third_party_invite").and_then(|invite| invite.get_mut("signed"));
                signed.into_iter().for_each(|signed| signed.push("note", raw("1.5")));
            },
            Ok(Invite),
            Err("invalid `third_party_invite`"),
        ),
        case(
            SignatureUrlSafe,
            RoomVersion::V11,
            |case| third_party(case, [(KEY, Json::Signature(1, Encoding::UrlSafe))]),
            Ok(Invite),
            Err("no signature on third-party invite"),
        ),
        case(
            StrictVerification,
            RoomVersion::V11,
            |case| {
                third_party(case, [(KEY, Json::Signature(1, Encoding::SmallOrder))]);
                case.invites.values_mut().for_each(|(_, content)| content.set("public_key", small_order_key()));
            },
            Err(Rule::ThirdPartyInviteSignature),
            Ok(()),
        ),
        case(
            VerificationBound,
            RoomVersion::V11,
            |case| {
                third_party(case, []);
                let signed = case.content.get_mut("third_party_invite").and_then(|invite| invite.get_mut("signed"));
                let signatures = signed.and_then(|signed| signed.get_mut("signatures"));
                let signatures = signatures.and_then(|signatures| signatures.get_mut("id.example"));
                let bad = Json::Signature(1, Encoding::Tampered);
                let all =
                    (0..513).map(|index| (format!("ed25519:{index:03}"), if index < 512 { bad.clone() } else { GOOD }));
                signatures.into_iter().for_each(|signatures| *signatures = Json::Object(all.clone().collect()));
            },
            Err(Rule::ThirdPartyInviteSignature),
            Ok(()),
        ),
    ]
}

fn invite_level(case: &mut Case, level: &str) {
    case.power_levels = Some(object([("invite", raw(level))]));
}

fn referring(
    decision: independent::Decision,
    version: RoomVersion,
    change: fn(&mut Referring),
    ours: Result<Membership, Rule>,
    ruma: Result<(), &'static str>,
) -> Minimal<Referring, independent::Decision> {
    Minimal { decision, version, change, ours, ruma }
}

pub(crate) fn of_state_independent_rules() -> Vec<Minimal<Referring, independent::Decision>> {
    use independent::Decision::*;
    vec![
        referring(
            AuthorizingSignature,
            RoomVersion::V8,
            |referring| referring.case.content.push("join_authorised_via_users_server", text(BOB)),
            Err(Rule::AuthorizingServerSignature),
            Ok(()),
        ),
        referring(
            AuthorizingSignature,
            RoomVersion::V12,
            |referring| {
                referring.case.content = object([("membership", text("join"))]);
                referring.case.content.push("join_authorised_via_users_server", raw("null"));
            },
            Err(Rule::AuthorizingServerSignature),
            Ok(()),
        ),
        referring(
            RoomIdIsOfCreate,
            RoomVersion::V12,
            |referring| referring.create.iter_mut().for_each(|create| create.event_type = "m.room.name"),
            Err(Rule::NoCreateEvent),
            Ok(()),
        ),
        referring(
            ListIsNoObject,
            RoomVersion::V11,
            |referring| referring.case.content = Json::List(vec![text("leave")]),
            Err(Rule::MissingMembership),
            Ok(()),
        ),
        referring(
            MembershipLeftToState,
            RoomVersion::V11,
            |referring| referring.case.content = object([]),
            Ok(Invite),
            Err("missing or invalid `membership`"),
        ),
        referring(
            TokenLeftToState,
            RoomVersion::V11,
            |referring| referring.case.content.push("third_party_invite", object([])),
            Ok(Invite),
            Err("invalid `third_party_invite`"),
        ),
    ]
}
