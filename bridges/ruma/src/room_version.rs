//! Room versions: the library's from ruma's and back.
//!
//! A host has ruma's `RoomVersionId` ([`from_ruma`]), or nothing but ruma's `RoomVersionRules`
//! ([`from_rules`], or [`named_by_rules`] if it knows the name).
//!
//! # How rules determine a version
//!
//! Each fact that the library knows of a version ([`RoomVersionRules`]) is read off the rules of
//! ruma's that say the same:
//!
//! | fact | ruma's rules |
//! | --- | --- |
//! | `event_ids` | `event_id_format`, `events_reference_format`, `event_format.require_event_id` |
//! | `enforces_key_validity` | `enforce_key_validity` |
//! | `strict_canonical_json`, `knocking`, `knock_restricted_join_rule`, `integer_power_levels` | the same in `authorization` |
//! | `restricted_join_rule` | the same in `authorization`, `signatures.check_join_authorised_via_users_server`, `redaction.keep_room_join_rules_allow` |
//! | `redaction_keeps_authorizing_user` | `redaction.keep_room_member_join_authorised_via_users_server` |
//! | `creator_is_sender` | `authorization.use_room_create_sender` |
//! | `updated_redaction` | the six rules of `redaction` that version 11 changed |
//! | `privileged_creators` | `explicitly_privilege_room_creators`, `additional_room_creators` in `authorization` |
//! | `create_event_is_room_id` | `authorization.room_create_event_id_as_room_id`, `room_id_format`, two rules of `event_format` |
//!
//! Where one fact stands for several of ruma's rules and these do not agree, there is no such fact:
//! [`RulesError::Disagree`]. No two versions of the specification have the same facts but 1 and 2,
//! which `state_res` tells apart; so the facts name the version. Rules that no version of the
//! specification has are [`RulesError::NoSuchVersion`].
//!
//! <https://spec.matrix.org/v1.19/rooms/>

use matrix_knock::RoomVersion;
use matrix_knock::room_version::{EventIdFormat, RoomVersionRules, UnknownRoomVersion, UnstableVersionError};
use ruma_common::room_version_rules::{
    EventIdFormatVersion, EventsReferenceFormatVersion, RoomIdFormatVersion, RoomVersionDisposition,
    RoomVersionRules as RumaRules, StateResolutionVersion,
};
use ruma_common::{IdParseError, RoomVersionId};

/// Returns the version of this name among those that the host supports: [`RoomVersion::ALL`], or
/// with unstable ones.
///
/// Compares names; copies and allocates nothing.
///
/// # Errors
///
/// [`UnknownRoomVersion`] if the host does not support a version of this name.
///
/// # Examples
///
/// ```
/// use matrix_knock::RoomVersion;
/// use matrix_knock::room_version::UnknownRoomVersion;
/// use matrix_knock_ruma::room_version::from_ruma;
/// use ruma_common::RoomVersionId;
///
/// assert_eq!(from_ruma(&RoomVersionId::V10, &RoomVersion::ALL), Ok(RoomVersion::V10));
/// let unstable = RoomVersionId::try_from("org.example.1")?;
/// assert_eq!(from_ruma(&unstable, &RoomVersion::ALL), Err(UnknownRoomVersion));
/// # Ok::<(), ruma_common::IdParseError>(())
/// ```
pub fn from_ruma(version: &RoomVersionId, supported: &[RoomVersion]) -> Result<RoomVersion, UnknownRoomVersion> {
    RoomVersion::parse_among(version.as_str(), supported)
}

/// Returns ruma's version of the same name.
///
/// Allocates only for the name of an unstable version.
///
/// # Errors
///
/// None in practice: every name that a [`RoomVersion`] can have is in ruma's grammar.
pub fn to_ruma(version: RoomVersion) -> Result<RoomVersionId, IdParseError> {
    RoomVersionId::try_from(version.as_str())
}

/// Why rules of ruma's do not determine a room version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RulesError {
    /// They are the rules of an unstable version, whose name they do not have. [`named_by_rules`]
    /// takes it.
    #[error("the rules are those of an unstable room version, whose name they do not have")]
    Unstable,
    /// Rules that stand for one fact do not agree.
    #[error("the rules that `{0}` stands for do not agree")]
    Disagree(&'static str),
    /// A format is one that this release does not know.
    #[error("`{0}` is of a kind that is not known here")]
    UnknownFormat(&'static str),
    /// No version of the specification has these rules.
    #[error("no room version of the specification has these rules")]
    NoSuchVersion,
    /// The name is not that of an unstable version.
    #[error(transparent)]
    Name(#[from] UnstableVersionError),
}

/// Returns the version of the specification that has these rules.
///
/// Looks at some 30 flags; allocates nothing.
///
/// # Errors
///
/// [`RulesError`] if the rules do not determine a version of the specification.
///
/// # Examples
///
/// ```
/// use matrix_knock::RoomVersion;
/// use matrix_knock_ruma::room_version::{RulesError, from_rules};
/// use ruma_common::room_version_rules::RoomVersionRules;
///
/// assert_eq!(from_rules(&RoomVersionRules::V10), Ok(RoomVersion::V10));
///
/// let mut rules = RoomVersionRules::V6;
/// rules.authorization.restricted_join_rule = true;
/// assert_eq!(from_rules(&rules), Err(RulesError::Disagree("restricted_join_rule")));
/// ```
pub fn from_rules(rules: &RumaRules) -> Result<RoomVersion, RulesError> {
    if rules.disposition != RoomVersionDisposition::Stable {
        return Err(RulesError::Unstable);
    }
    let facts = facts(rules)?;
    let is_first = match rules.state_res {
        StateResolutionVersion::V1 => true,
        StateResolutionVersion::V2(_) => false,
        _ => return Err(RulesError::UnknownFormat("state_res")),
    };
    let found = RoomVersion::ALL
        .into_iter()
        .find(|version| *version.rules() == facts && is_first == (*version == RoomVersion::V1));
    found.ok_or(RulesError::NoSuchVersion)
}

/// Returns the unstable version of this name that has these rules. It goes by the newest version of
/// the specification that it has all the rules of; its own rules are those that the rules of ruma's
/// say.
///
/// A version that the specification has is returned as such, if the rules are its rules.
///
/// Rules of ruma's that the library has no fact for (those of state resolution, of MSC2870) are not
/// looked at.
///
/// # Errors
///
/// [`RulesError`] if the rules do not agree with each other, or the name is not one.
///
/// # Examples
///
/// ```
/// use matrix_knock::RoomVersion;
/// use matrix_knock_ruma::room_version::named_by_rules;
/// use ruma_common::RoomVersionId;
/// use ruma_common::room_version_rules::RoomVersionRules;
///
/// let name = RoomVersionId::try_from("org.matrix.msc3757.11")?;
/// let version = named_by_rules(&name, &RoomVersionRules::V11)?;
/// assert_eq!(version.as_str(), "org.matrix.msc3757.11");
/// assert_eq!(version.goes_by(), RoomVersion::V11);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn named_by_rules(name: &RoomVersionId, rules: &RumaRules) -> Result<RoomVersion, RulesError> {
    let facts = facts(rules)?;
    if let Ok(version) = name.as_str().parse::<RoomVersion>() {
        return if *version.rules() == facts { Ok(version) } else { Err(RulesError::NoSuchVersion) };
    }
    let has_all = |version: &RoomVersion| includes(&facts, version.rules());
    let goes_by = RoomVersion::ALL.into_iter().rev().find(has_all).ok_or(RulesError::NoSuchVersion)?;
    Ok(RoomVersion::unstable_with(name.as_str(), goes_by, |own| *own = facts)?)
}

/// Whether the one has every rule that the other has.
fn includes(one: &RoomVersionRules, other: &RoomVersionRules) -> bool {
    let flags = |rules: &RoomVersionRules| {
        [
            rules.enforces_key_validity,
            rules.strict_canonical_json,
            rules.knocking,
            rules.restricted_join_rule,
            rules.redaction_keeps_authorizing_user,
            rules.knock_restricted_join_rule,
            rules.integer_power_levels,
            rules.creator_is_sender,
            rules.updated_redaction,
            rules.privileged_creators,
            rules.create_event_is_room_id,
        ]
    };
    one.event_ids == other.event_ids && flags(one).into_iter().zip(flags(other)).all(|(one, other)| one >= other)
}

/// Returns the facts that the library knows of a version, read off ruma's rules: for
/// [`RoomVersion::unstable_with`], by a host that chooses itself which version its own goes by.
///
/// # Errors
///
/// [`RulesError::Disagree`], [`RulesError::UnknownFormat`].
pub fn facts(rules: &RumaRules) -> Result<RoomVersionRules, RulesError> {
    let (authorization, redaction, format) = (&rules.authorization, &rules.redaction, &rules.event_format);
    let references_have_hashes = match rules.events_reference_format {
        EventsReferenceFormatVersion::V1 => true,
        EventsReferenceFormatVersion::V2 => false,
        _ => return Err(RulesError::UnknownFormat("events_reference_format")),
    };
    let room_id_is_hash = match rules.room_id_format {
        RoomIdFormatVersion::V1 => false,
        RoomIdFormatVersion::V2 => true,
        _ => return Err(RulesError::UnknownFormat("room_id_format")),
    };
    let event_ids = match rules.event_id_format {
        EventIdFormatVersion::V1 => EventIdFormat::InBody,
        EventIdFormatVersion::V2 => EventIdFormat::StandardHash,
        EventIdFormatVersion::V3 => EventIdFormat::UrlSafeHash,
        _ => return Err(RulesError::UnknownFormat("event_id_format")),
    };
    let is_in_body = event_ids == EventIdFormat::InBody;
    agreed("event_ids", [is_in_body, references_have_hashes, format.require_event_id])?;

    // Every fact is set below: a new one of the library's shows in the test of the twelve versions.
    let mut facts = *RoomVersion::V1.rules();
    facts.event_ids = event_ids;
    facts.enforces_key_validity = rules.enforce_key_validity;
    facts.strict_canonical_json = authorization.strict_canonical_json;
    facts.knocking = authorization.knocking;
    facts.restricted_join_rule = agreed(
        "restricted_join_rule",
        [
            authorization.restricted_join_rule,
            rules.signatures.check_join_authorised_via_users_server,
            redaction.keep_room_join_rules_allow,
        ],
    )?;
    facts.redaction_keeps_authorizing_user = redaction.keep_room_member_join_authorised_via_users_server;
    facts.knock_restricted_join_rule = authorization.knock_restricted_join_rule;
    facts.integer_power_levels = authorization.integer_power_levels;
    facts.creator_is_sender = authorization.use_room_create_sender;
    facts.updated_redaction = agreed(
        "updated_redaction",
        [
            !redaction.keep_origin_membership_prev_state,
            redaction.keep_room_create_content,
            redaction.keep_room_redaction_redacts,
            redaction.keep_room_power_levels_invite,
            redaction.keep_room_member_third_party_invite_signed,
            redaction.content_field_redacts,
        ],
    )?;
    facts.privileged_creators = agreed(
        "privileged_creators",
        [authorization.explicitly_privilege_room_creators, authorization.additional_room_creators],
    )?;
    facts.create_event_is_room_id = agreed(
        "create_event_is_room_id",
        [
            authorization.room_create_event_id_as_room_id,
            room_id_is_hash,
            !format.require_room_create_room_id,
            !format.allow_room_create_in_auth_events,
        ],
    )?;
    Ok(facts)
}

/// The value of rules that stand for one fact.
fn agreed<const N: usize>(fact: &'static str, rules: [bool; N]) -> Result<bool, RulesError> {
    match (rules.contains(&true), rules.contains(&false)) {
        (true, true) => Err(RulesError::Disagree(fact)),
        (holds, _) => Ok(holds),
    }
}
