//! The seven checks on receipt, as a product: every set of checks that fail, each alone among them, in every room version and for
//! every membership. The outcome names the first of them by its number, and each check by itself says the same.
#![cfg(feature = "ed25519")]
#![expect(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot be set up fails"
)]

#[path = "receipt_product/auth_events.rs"]
mod auth_events;
#[path = "receipt_product/mistakes.rs"]
mod mistakes;
#[path = "receipt_product/room.rs"]
mod room;
#[path = "receipt_product/verdicts.rs"]
mod verdicts;

use std::collections::BTreeMap;

use matrix_knock::auth::Rule;
use matrix_knock::event::{FormatError, SignatureError, event_id, redact};
use matrix_knock::policy::{PolicyRefusal, PolicyVerdict};
use matrix_knock::receipt::{Check, Dropped, Outcome, SoftFailure, States};
use matrix_knock::{Ed25519, RoomVersion};
use room::{Case, Flaws, Room};
use serde_json::Value;

/// What is known of the policy server where check 7 passes, and where it fails.
const POLICIES: usize = 3;

/// What has to come of an event with these flaws, from the specification's text.
#[derive(Debug, PartialEq)]
struct Expected {
    dropped: Option<u8>,
    is_redacted: bool,
    /// The rules that refuse the event by its auth events, by the state before it, by the current state.
    rules: [Option<Rule>; 3],
    refused_by_policy: bool,
}

impl Expected {
    fn of(case: Case, version: RoomVersion, flaws: Flaws) -> Self {
        // What such a user may not do, who is banned or (if it is about somebody else) has left.
        let refused = match case {
            Case::Join | Case::RestrictedJoin => Rule::JoinWhileBanned,
            Case::Invite => Rule::InviterNotJoined,
            Case::Knock => Rule::KnockMembership,
            Case::Retract => Rule::LeaveFromNothing,
            Case::Decline => Rule::KickerNotJoined,
            Case::Ban => Rule::BannerNotJoined,
        };
        let number = version.as_str().parse::<u8>().unwrap();
        let is_redacted = flaws.has(3);
        let mut rules = [4, 5, 6].map(|check| flaws.has(check).then_some(refused));
        match (case, number) {
            // There is no such membership.
            (Case::Knock, 1..=6) => rules = [Some(Rule::UnknownMembership); 3],
            // There is no such join rule. Whether the user is banned is asked first.
            (Case::RestrictedJoin, 1..=7) => rules = rules.map(|rule| rule.or(Some(Rule::JoinRule))),
            // The redaction of version 8 does not keep the authorizing user. So their member event does not belong to the auth
            // events any more.
            (Case::RestrictedJoin, 8) if is_redacted => {
                rules = rules.map(|rule| rule.or(Some(Rule::JoinNotAuthorized)));
                rules[0] = Some(Rule::UnselectedAuthEvent);
            }
            _ => {}
        }
        let dropped = [1, 2].into_iter().find(|check| flaws.has(*check));
        Self { dropped, is_redacted, rules, refused_by_policy: flaws.has(7) }
    }

    /// The number of the check that decides.
    fn check(&self) -> Option<u8> {
        let rules = [4, 5, 6].into_iter().zip(self.rules).find(|(_, rule)| rule.is_some()).map(|(check, _)| check);
        self.dropped.or(rules).or(self.refused_by_policy.then_some(7))
    }
}

#[test]
fn every_set_of_failing_checks() {
    let mut decided: BTreeMap<Option<u8>, usize> = BTreeMap::new();
    for version in RoomVersion::ALL {
        for case in Case::ALL {
            let room = Room::new(version, case);
            for flaws in Flaws::all() {
                let expected = Expected::of(case, version, flaws);
                let sent = room.event(flaws);
                for policy in 0..POLICIES {
                    let what = format!("{case:?} in version {version}, {flaws:?}, policy {policy}");
                    check(&room, &sent, flaws, policy, &expected, &what);
                    *decided.entry(expected.check()).or_default() += 1;
                }
            }
        }
    }
    // Of 84 rooms 13 refuse by every state (a knock before version 7, a restricted join before version 8), and one if the event
    // is redacted.
    let expected = [
        (None, 423),
        (Some(1), 16_128),
        (Some(2), 8_064),
        (Some(4), 4_680),
        (Some(5), 1_692),
        (Some(6), 846),
        (Some(7), 423),
    ];
    assert_eq!(decided, BTreeMap::from(expected));
    assert_eq!(decided.values().sum::<usize>(), 12 * 7 * 128 * POLICIES);
}

/// One cell of the product.
fn check(room: &Room, sent: &room::Sent, flaws: Flaws, policy: usize, expected: &Expected, what: &str) {
    let received = match room.receive(&sent.text) {
        Ok(received) => received,
        Err(dropped) => {
            let reason = match expected.dropped {
                Some(1) => Dropped::Format(FormatError::WrongKind("depth")),
                Some(2) => Dropped::Signatures(SignatureError::BadSignature {
                    server: room.case.server().to_owned(),
                    key_id: "ed25519:1".to_owned(),
                }),
                other => panic!("{what}: dropped by {dropped}, not by {other:?}"),
            };
            assert_eq!(dropped, reason, "{what}");
            assert_eq!(Some(dropped.check().number()), expected.dropped, "{what}");
            assert_eq!(expected.check(), expected.dropped);
            return;
        }
    };
    assert_eq!(expected.dropped, None, "{what}");
    assert_eq!(received.is_redacted(), expected.is_redacted, "{what}");

    let before = room.state(flaws.has(5));
    let uses_policy_server = flaws.has(7) || policy > 0;
    let current = room.current(flaws.has(6), uses_policy_server);
    let refusals = [PolicyRefusal::NoAnswer, PolicyRefusal::BadSignature, room::refused()];
    let signature = room.policy_signature(&received, sent);
    let verdict = match (flaws.has(7), policy) {
        (true, _) => PolicyVerdict::Refused(refusals[policy].clone()),
        (false, 0) => PolicyVerdict::NotNamed,
        (false, 1) => PolicyVerdict::NotJoined(room::policy_server()),
        (false, _) => PolicyVerdict::Signed(signature.clone()),
    };
    let signature = (!flaws.has(7) && policy == 2).then_some(signature);
    let named = received.match_auth_events(room.named(flaws.has(4))).expect("all of them");

    // One by one: each fails if it has to, whatever the others say.
    let [by_auth_events, by_state_before] = [
        received.check_auth_events(&named, &current, &Ed25519).expect("no mistake"),
        received.check_state_before(&before, &Ed25519).expect("no mistake"),
    ];
    let by_current_state = received.check_current_state(&current, &Ed25519).expect("no mistake");
    let by_policy = received.check_policy_server(&current, verdict.clone()).expect("no mistake");
    let rejected = |checked: &Result<(), matrix_knock::receipt::Rejected>| {
        checked.err().map(|rejected| (rejected.check(), rejected.rejection().rule()))
    };
    let [by_4, by_5, by_6] = expected.rules;
    assert_eq!(rejected(&by_auth_events), by_4.map(|rule| (Check::AuthEvents, rule)), "{what}");
    assert_eq!(rejected(&by_state_before), by_5.map(|rule| (Check::StateBefore, rule)), "{what}");
    let soft_failed = by_current_state.as_ref().err().map(|failure| match failure {
        SoftFailure::CurrentState(rejection) => rejection.rule(),
        failure => panic!("{what}: {failure}"),
    });
    assert_eq!(soft_failed, by_6, "{what}");
    let refused = SoftFailure::PolicyServer(refusals[policy].clone());
    let passed = if flaws.has(7) { Err(refused) } else { Ok(signature.clone()) };
    assert_eq!(by_policy, passed, "{what}");

    // All in one: the first of them decides.
    let states = States { before: &before, current: &current };
    let outcome = received.check(&named, states, &Ed25519, verdict).expect("no mistake");
    assert_eq!(outcome.check().map(Check::number), expected.check(), "{what}");
    let first = match (by_auth_events.and(by_state_before), by_current_state, by_policy) {
        (Err(rejected), _, _) => Outcome::Rejected(rejected),
        (Ok(()), Err(failure), _) | (Ok(()), Ok(()), Err(failure)) => Outcome::SoftFailed(failure),
        (Ok(()), Ok(()), Ok(signature)) => Outcome::Accepted(signature),
    };
    assert_eq!(outcome, first, "{what}");

    kept(room, sent, &received, signature.as_ref(), what);
}

/// Whatever the outcome, the event is kept with its ID: as it came, or redacted; with the signature of the policy server.
fn kept(
    room: &Room,
    sent: &room::Sent,
    received: &matrix_knock::receipt::ReceivedEvent<'_>,
    signature: Option<&matrix_knock::policy::PolicySignature>,
    what: &str,
) {
    let kept = received.to_text(signature).expect("an event");
    assert_eq!(event_id(room.version, &kept).as_deref(), Ok(received.event_id()), "{what}");
    let mut expected = match received.is_redacted() {
        true => serde_json::from_str(&redact(room.version, &sent.text).unwrap()).unwrap(),
        false => serde_json::from_str::<Value>(&sent.text).unwrap(),
    };
    let members = expected.as_object_mut().unwrap();
    members.remove("unsigned");
    if signature.is_some() {
        members["signatures"][room::POLICY] = serde_json::json!({"ed25519:policy_server": sent.policy_signature});
    }
    let value: Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(value, expected, "{what}");
    assert_eq!(value["content"].get("reason").is_none(), received.is_redacted(), "{what}");
    assert_eq!(kept, value.to_string(), "{what}: canonical");
}

#[test]
fn the_checks_are_numbered_as_in_the_specification() {
    let numbers = Check::ALL.map(|check| (check.number(), check));
    let expected = [
        (1, Check::Format),
        (2, Check::Signatures),
        (3, Check::Hash),
        (4, Check::AuthEvents),
        (5, Check::StateBefore),
        (6, Check::CurrentState),
        (7, Check::PolicyServer),
    ];
    assert_eq!(numbers, expected);
}
