//! A walk of four users through the memberships of a room, beside the model.

use std::cell::RefCell;
use std::collections::BTreeSet;

use matrix_knock::RoomVersion;
use matrix_knock::auth::{CompiledRoom, authorize};
use matrix_knock::event::{Event, EventType, Membership};
use matrix_knock::state::{RoomState, StateMap};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;

use super::config;
use super::generators::{Host, USERS, Zeroes};
use super::model::{Change, INFINITE, JoinRule, Model, Version};

/// The levels of a room that has a power levels event.
#[derive(Debug, Clone)]
struct Levels {
    users: [Option<i64>; 4],
    users_default: Option<i64>,
    invite: Option<i64>,
    kick: Option<i64>,
    ban: Option<i64>,
}

#[derive(Debug, Clone)]
struct Room {
    levels: Option<Levels>,
    /// Whether user 1 is an additional creator, where the version has such.
    two_creators: bool,
    closed: bool,
    join_rule: JoinRule,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Change(Change),
    JoinRule(JoinRule),
}

fn join_rules() -> impl Strategy<Value = JoinRule> {
    prop_oneof![
        3 => Just(JoinRule::Knock),
        3 => Just(JoinRule::KnockRestricted),
        2 => Just(JoinRule::Public),
        2 => Just(JoinRule::Invite),
        1 => Just(JoinRule::Restricted),
    ]
}

fn rooms() -> impl Strategy<Value = Room> {
    let level = || select(&[-1, 0, 49, 50, 51, 100][..]);
    let users = (option::weighted(0.9, Just(100)), option::of(level()), option::of(level()), option::of(level()));
    let named = (option::of(level()), option::of(level()), option::of(level()), option::of(level()));
    let levels = (users, named).prop_map(|((a, b, c, d), (users_default, invite, kick, ban))| Levels {
        users: [a, b, c, d],
        users_default,
        invite,
        kick,
        ban,
    });
    (option::weighted(0.9, levels), any::<bool>(), proptest::bool::weighted(0.1), join_rules())
        .prop_map(|(levels, two_creators, closed, join_rule)| Room { levels, two_creators, closed, join_rule })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let membership = prop_oneof![
        4 => Just(Membership::Join),
        3 => Just(Membership::Knock),
        3 => Just(Membership::Invite),
        3 => Just(Membership::Leave),
        2 => Just(Membership::Ban),
    ];
    let first = proptest::bool::weighted(0.05);
    let change = (0..4_usize, any::<bool>(), 0..4_usize, membership, option::weighted(0.3, 0..4_usize), first)
        .prop_map(|(sender, own, other, to, authorizer, first)| {
            Step::Change(Change { sender, target: if own { sender } else { other }, to, authorizer, first })
        });
    let join = |user, first| {
        Step::Change(Change { sender: user, target: user, to: Membership::Join, authorizer: None, first })
    };
    // Most rooms begin as rooms do; some have had an open door.
    let begun = vec![join(0, true)];
    let open = [Step::JoinRule(JoinRule::Public), join(1, false), join(2, false), join(3, false)];
    let full: Vec<_> = begun.iter().copied().chain(open).collect();
    let begin = prop_oneof![1 => Just(vec![]), 5 => Just(begun), 5 => Just(full)];
    let steps = vec(prop_oneof![15 => change, 1 => join_rules().prop_map(Step::JoinRule)], 1..60);
    (begin, steps).prop_map(|(begin, steps)| begin.into_iter().chain(steps).collect())
}

fn room_version(version: Version) -> RoomVersion {
    match version {
        Version::Seven => RoomVersion::V7,
        Version::Ten => RoomVersion::V10,
        Version::Twelve => RoomVersion::V12,
    }
}

/// <https://spec.matrix.org/v1.19/client-server-api/#mroompower_levels>: the levels where nothing is said.
fn model(version: Version, room: &Room) -> Model {
    let levels = room.levels.as_ref();
    let mut powers = match levels {
        Some(levels) => levels.users.map(|user| user.or(levels.users_default).unwrap_or(0)),
        None => [100, 0, 0, 0],
    };
    if version == Version::Twelve {
        powers[0] = INFINITE;
        if room.two_creators {
            powers[1] = INFINITE;
        }
    }
    Model {
        version,
        join_rule: room.join_rule,
        powers,
        invite: levels.and_then(|levels| levels.invite).unwrap_or(0),
        kick: levels.and_then(|levels| levels.kick).unwrap_or(50),
        ban: levels.and_then(|levels| levels.ban).unwrap_or(50),
        closed: room.closed,
        members: [None; 4],
    }
}

/// The state of the room before anybody is in it.
fn state(version: Version, room: &Room) -> StateMap<Host> {
    let create = match version {
        Version::Seven | Version::Ten => serde_json::json!({ "creator": USERS[0], "m.federate": !room.closed }),
        Version::Twelve if room.two_creators => {
            serde_json::json!({ "additional_creators": [USERS[1]], "m.federate": !room.closed })
        }
        Version::Twelve => serde_json::json!({ "m.federate": !room.closed }),
    };
    let create = Host::new("m.room.create", "", USERS[0], create.to_string());
    let levels = room.levels.as_ref().map(|levels| {
        // Creators of version 12 do not stand among the users.
        let creators = if version == Version::Twelve { 1 + usize::from(room.two_creators) } else { 0 };
        let users = USERS.into_iter().zip(levels.users).skip(creators);
        let users: serde_json::Map<_, _> =
            users.filter_map(|(user, level)| Some((user.to_owned(), level?.into()))).collect();
        let mut content = serde_json::Map::from_iter([("users".to_owned(), users.into())]);
        let named = [
            ("users_default", levels.users_default),
            ("invite", levels.invite),
            ("kick", levels.kick),
            ("ban", levels.ban),
        ];
        content.extend(named.into_iter().filter_map(|(name, level)| Some((name.to_owned(), level?.into()))));
        Host::new("m.room.power_levels", "", USERS[0], serde_json::Value::from(content).to_string())
    });
    let create = Host { event_id: Some("$create".to_owned()), ..create };
    [create, join_rules_event(room.join_rule)].into_iter().chain(levels).collect()
}

fn join_rules_event(join_rule: JoinRule) -> Host {
    let content = match join_rule {
        JoinRule::Public => r#"{"join_rule":"public"}"#,
        JoinRule::Invite => r#"{"join_rule":"invite"}"#,
        JoinRule::Knock => r#"{"join_rule":"knock"}"#,
        JoinRule::Restricted => r#"{"allow":[],"join_rule":"restricted"}"#,
        JoinRule::KnockRestricted => r#"{"allow":[],"join_rule":"knock_restricted"}"#,
    };
    Host::new("m.room.join_rules", "", USERS[0], content)
}

fn event(change: Change) -> Host {
    let membership = name(change.to);
    let content = match change.authorizer {
        Some(user) => serde_json::json!({ "join_authorised_via_users_server": USERS[user], "membership": membership }),
        None => serde_json::json!({ "membership": membership }),
    };
    let prev = Some(if change.first { "$create" } else { "$other" }.to_owned());
    Host { prev, ..Host::member(USERS[change.sender], USERS[change.target], content.to_string()) }
}

fn name(membership: Membership) -> &'static str {
    match membership {
        Membership::Ban => "ban",
        Membership::Invite => "invite",
        Membership::Join => "join",
        Membership::Knock => "knock",
        Membership::Leave => "leave",
    }
}

/// The memberships that stand in the state.
fn members(state: &StateMap<Host>) -> [Option<String>; 4] {
    USERS.map(|user| {
        let content: serde_json::Value =
            serde_json::from_str(state.event(EventType::Member, user).ok()??.content()).ok()?;
        content["membership"].as_str().map(str::to_owned)
    })
}

/// Walks, and gives what came of each step.
fn walk(version: Version, room: &Room, steps: &[Step]) -> Result<BTreeSet<String>, TestCaseError> {
    let (mut model, mut state, version) = (model(version, room), state(version, room), room_version(version));
    let failed = |error: &dyn std::fmt::Display| TestCaseError::fail(error.to_string());
    let mut compiled = CompiledRoom::compile(version, &state).map_err(|error| failed(&error))?;
    let mut outcomes = BTreeSet::new();
    for step in steps {
        let change = match *step {
            Step::JoinRule(join_rule) => {
                model.join_rule = join_rule;
                prop_assert!(matches!(state.insert(join_rules_event(join_rule)), Ok(Some(_))));
                compiled = CompiledRoom::compile(version, &state).map_err(|error| failed(&error))?;
                continue;
            }
            Step::Change(change) => change,
        };
        let event = event(change);
        let decided = authorize(version, &event, &state, &Zeroes).map(|allowed| allowed.membership());
        let again = compiled.authorize(&event, &state, &Zeroes).map(|allowed| allowed.membership());
        prop_assert_eq!(&again, &decided);
        let number = |error: matrix_knock::auth::AuthorizeError| error.rejection().map(|it| it.number().to_owned());
        let expected = model.step(change);
        let allowed = decided.is_ok();
        prop_assert_eq!(decided.map_err(number), expected.clone().map_err(Some), "{:?}", change);
        if allowed {
            prop_assert!(state.insert(event).is_ok());
        }
        prop_assert_eq!(members(&state), model.members.map(|member| member.map(|it| name(it).to_owned())));
        outcomes.insert(expected.map_or_else(|number| number, |membership| name(membership).to_owned()));
    }
    let others = 2 + usize::from(room.levels.is_some());
    prop_assert_eq!(state.len(), others + model.members.iter().flatten().count());
    Ok(outcomes)
}

fn walks(version: Version, outcomes: &[&str]) {
    let mut runner = TestRunner::new(config(6000));
    let seen = RefCell::new(BTreeSet::new());
    let result = runner.run(&(rooms(), steps()), |(room, steps)| {
        seen.borrow_mut().append(&mut walk(version, &room, &steps)?);
        Ok(())
    });
    assert_eq!(result.map_err(|error| error.to_string()), Ok(()));
    // Every rule of the model was on the way.
    let seen = seen.into_inner();
    assert_eq!(seen.iter().map(String::as_str).collect::<Vec<_>>(), outcomes);
}

#[test]
fn version_7() {
    let outcomes = [
        "3", "4.2.2", "4.2.3", "4.2.6", "4.3.2", "4.3.3", "4.3.5", "4.4.1", "4.4.2", "4.4.3", "4.4.5", "4.5.1",
        "4.5.3", "4.6.1", "4.6.2", "4.6.4", "ban", "invite", "join", "knock", "leave",
    ];
    walks(Version::Seven, &outcomes);
}

#[test]
fn version_10() {
    let outcomes = [
        "3", "4.3.2", "4.3.3", "4.3.5.2", "4.3.7", "4.4.2", "4.4.3", "4.4.5", "4.5.1", "4.5.2", "4.5.3", "4.5.5",
        "4.6.1", "4.6.3", "4.7.1", "4.7.2", "4.7.4", "ban", "invite", "join", "knock", "leave",
    ];
    walks(Version::Ten, &outcomes);
}

#[test]
fn version_12() {
    let outcomes = [
        "4", "5.3.2", "5.3.3", "5.3.5.2", "5.3.7", "5.4.2", "5.4.3", "5.4.5", "5.5.1", "5.5.2", "5.5.3", "5.5.5",
        "5.6.1", "5.6.3", "5.7.1", "5.7.2", "5.7.4", "ban", "invite", "join", "knock", "leave",
    ];
    walks(Version::Twelve, &outcomes);
}
