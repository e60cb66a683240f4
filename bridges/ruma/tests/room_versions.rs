//! Room versions by name and by rules.
#![expect(clippy::expect_used, reason = "a test that cannot be set up fails")]

use matrix_knock::RoomVersion;
use matrix_knock::room_version::{UnknownRoomVersion, UnstableVersionError};
use matrix_knock_ruma::room_version::{RulesError, from_rules, from_ruma, named_by_rules, to_ruma};
use ruma_common::RoomVersionId;
use ruma_common::room_version_rules::{RoomVersionDisposition, RoomVersionRules, StateResolutionVersion};

const RULES: [RoomVersionRules; 12] = [
    RoomVersionRules::V1,
    RoomVersionRules::V2,
    RoomVersionRules::V3,
    RoomVersionRules::V4,
    RoomVersionRules::V5,
    RoomVersionRules::V6,
    RoomVersionRules::V7,
    RoomVersionRules::V8,
    RoomVersionRules::V9,
    RoomVersionRules::V10,
    RoomVersionRules::V11,
    RoomVersionRules::V12,
];

fn name(name: &str) -> RoomVersionId {
    RoomVersionId::try_from(name).expect("a name of a room version")
}

#[test]
fn the_twelve() {
    for (version, rules) in RoomVersion::ALL.into_iter().zip(RULES) {
        let rumas = to_ruma(version).expect("a version of ruma's");
        assert_eq!(rumas.as_str(), version.as_str());
        assert_eq!(from_ruma(&rumas, &RoomVersion::ALL), Ok(version));
        assert_eq!(from_rules(&rules), Ok(version));
        assert_eq!(from_rules(&rumas.rules().expect("rules")), Ok(version));
        assert_eq!(named_by_rules(&rumas, &rules), Ok(version));
    }
}

#[test]
fn unstable_versions() {
    for (rules, goes_by) in RULES.into_iter().zip(RoomVersion::ALL) {
        let version = named_by_rules(&name("org.example.x"), &rules).expect("an unstable version");
        assert_eq!((version.as_str(), version.rules()), ("org.example.x", goes_by.rules()));
        // 1 and 2 are told apart by nothing that the library knows.
        let expected = if goes_by == RoomVersion::V1 { RoomVersion::V2 } else { goes_by };
        assert_eq!(version.goes_by(), expected);
        let rumas = to_ruma(version).expect("a version of ruma's");
        assert_eq!(from_ruma(&rumas, &[goes_by, version]), Ok(version));
        assert_eq!(from_ruma(&rumas, &RoomVersion::ALL), Err(UnknownRoomVersion));
    }
    let mut knocking = RoomVersionRules::V6;
    knocking.disposition = RoomVersionDisposition::Unstable;
    knocking.authorization.knocking = true;
    knocking.authorization.integer_power_levels = true;
    assert_eq!(from_rules(&knocking), Err(RulesError::Unstable));
    let version = named_by_rules(&name("xyz.amorgan.knock"), &knocking).expect("an unstable version");
    assert_eq!(version.goes_by(), RoomVersion::V7);
    assert!(version.rules().integer_power_levels && !version.rules().knock_restricted_join_rule);
}

#[test]
fn rules_that_determine_nothing() {
    let changed = |change: fn(&mut RoomVersionRules)| {
        let mut rules = RoomVersionRules::V11;
        change(&mut rules);
        from_rules(&rules)
    };
    let disagree = |fact| Err(RulesError::Disagree(fact));
    assert_eq!(changed(|_| ()), Ok(RoomVersion::V11));
    assert_eq!(changed(|rules| rules.disposition = RoomVersionDisposition::Unstable), Err(RulesError::Unstable));
    assert_eq!(changed(|rules| rules.event_format.require_event_id = true), disagree("event_ids"));
    assert_eq!(
        changed(|rules| rules.signatures.check_join_authorised_via_users_server = false),
        disagree("restricted_join_rule")
    );
    assert_eq!(changed(|rules| rules.redaction.keep_room_create_content = false), disagree("updated_redaction"));
    assert_eq!(changed(|rules| rules.authorization.additional_room_creators = true), disagree("privileged_creators"));
    assert_eq!(
        changed(|rules| rules.event_format.require_room_create_room_id = false),
        disagree("create_event_is_room_id")
    );
    assert_eq!(changed(|rules| rules.authorization.knocking = false), Err(RulesError::NoSuchVersion));
    assert_eq!(changed(|rules| rules.enforce_key_validity = false), Err(RulesError::NoSuchVersion));
    assert_eq!(changed(|rules| rules.state_res = StateResolutionVersion::V1), Err(RulesError::NoSuchVersion));
    assert_eq!(named_by_rules(&name("10"), &RoomVersionRules::V11), Err(RulesError::NoSuchVersion));
    // ruma takes upper case in names, which the specification does not have.
    assert_eq!(
        named_by_rules(&name("ORG.x"), &RoomVersionRules::V11),
        Err(RulesError::Name(UnstableVersionError::Character))
    );
    assert_eq!(RulesError::Disagree("event_ids").to_string(), "the rules that `event_ids` stands for do not agree");
}
