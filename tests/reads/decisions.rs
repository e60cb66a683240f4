//! Decisions, what is shown of a room, and the answers to a knock.

use matrix_knock::RoomVersion;
use matrix_knock::auth::{CompiledRoom, Selection, authorize, authorize_proposal, server_is_allowed};
use matrix_knock::event::{Event, EventType, MemberFacts, Membership, Proposal};
use matrix_knock::id::{EventId, RoomId, ServerName, UserId};
use matrix_knock::pending::{Answer, Answering};
use matrix_knock::resident::{must_also_reach, reads_of_must_also_reach};
use matrix_knock::state::{NotLookedUp, Reads, StateMap};
use matrix_knock::stripped_state::{events as stripped_events, for_client, reads, reads_for_client};
use matrix_knock::sync::is_knockable;
use matrix_knock::template::{PrevEvent, Template};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;

use super::config;
use super::generators::{Host, USERS, Zeroes, events};
use super::look_up::Watch;
use super::rooms::{of_version, rooms};

fn types<E: Event>(events: Vec<&E>) -> Vec<String> {
    events.into_iter().map(|event| format!("{} {}", event.event_type(), event.content())).collect()
}

/// Every decision on one event, by one version, over one state.
pub(crate) fn decide<E: Event>(
    watch: &Watch,
    version: RoomVersion,
    event: &impl Event,
    state: &StateMap<E>,
) -> Result<(), TestCaseError> {
    let roles = [(event.sender(), "sender"), (event.state_key().unwrap_or_default(), "target")];
    let selection = Selection::of(version, event).reads();
    let decided = watch.outcome("authorize", &roles, &selection, state, |state| {
        authorize(version, event, state, &Zeroes).map(|allowed| allowed.membership())
    })?;
    let compiled =
        watch.outcome("compile", &[], &CompiledRoom::reads(), state, |state| CompiledRoom::compile(version, state))?;
    if let Ok(room) = &compiled {
        // What a compiled room has not read before.
        let rest: Reads = selection
            .iter()
            .filter(|(event_type, _)| [EventType::Member, EventType::ThirdPartyInvite].contains(event_type))
            .collect();
        let found = watch.outcome("compiled authorize", &roles, &rest, state, |state| {
            room.authorize(event, state, &Zeroes).map(|allowed| allowed.membership())
        })?;
        prop_assert_eq!(found, decided);
    }
    let allowed = authorize(version, event, state, &Zeroes);
    if let Ok(allowed) = &allowed {
        for own in ["home", "away"].map(ServerName::parse) {
            let own = own.expect("a server name");
            let reads = reads_of_must_also_reach(event);
            watch.run("must_also_reach", &roles, &reads, state, |state| must_also_reach(allowed, state, own))?;
        }
    }
    Ok(())
}

/// Every question about one user, and one about another.
pub(crate) fn ask<E: Event>(
    watch: &Watch,
    version: RoomVersion,
    room_id: RoomId<'_>,
    [user, other]: [&str; 2],
    state: &StateMap<E>,
) -> Result<(), TestCaseError> {
    let roles = [(user, "sender"), (other, "target")];
    let room = CompiledRoom::compile(version, state);
    for (target, membership) in Membership::ALL.map(|membership| [(user, membership), (other, membership)]).concat() {
        let proposal = Proposal { sender: user, target, membership };
        let name = format!("authorize_proposal {}{membership}", if user == target { "own " } else { "" });
        let reads = Selection::of(version, &proposal).reads();
        watch.run(&name, &roles, &reads, state, |state| {
            authorize_proposal(version, &proposal, state).map(|allowed| allowed.membership())
        })?;
        if let Ok(room) = &room {
            let rest: Reads = reads.iter().filter(|(event_type, _)| *event_type == EventType::Member).collect();
            watch.run("compiled authorize_proposal", &roles, &rest, state, |state| {
                room.authorize_proposal(&proposal, state).map(|allowed| allowed.membership())
            })?;
        }
    }
    if let Ok(room) = &room {
        for answer in Answer::ALL {
            let reads = Answering::<StateMap<E>>::reads(user, other);
            watch.run("may", &roles, &reads, state, |state| Answering::new(room, state).may(answer, user, other))?;
            let reads = Answering::<StateMap<E>>::reads_of_who_may(room, other);
            watch
                .outcome_of_any("who_may", &roles, &reads, state, |state| {
                    Answering::new(room, state).who_may(answer, other).map(|answerers| format!("{answerers:?}"))
                })?
                .expect("a whole state");
        }
    }

    let acl: Reads = [(EventType::ServerAcl, "")].into_iter().collect();
    for server in ["home", "away", "[::1]"].map(ServerName::parse) {
        let server = server.expect("a server name");
        watch.run("server_is_allowed", &[], &acl, state, |state| server_is_allowed(server, state))?;
    }
    watch.run("stripped_state::events", &[], &reads(), state, |state| {
        stripped_events(state).collect::<Result<Vec<&E>, NotLookedUp>>().map(types)
    })?;
    let join_rules: Reads = [(EventType::JoinRules, "")].into_iter().collect();
    watch.run("is_knockable", &[], &join_rules, state, |state| is_knockable(version, state))?;

    let Ok(user_id) = UserId::parse(user) else { return Ok(()) };
    watch.run("for_client", &roles, &reads_for_client(user_id), state, |state| for_client(state, user_id))?;
    let prev_events = [PrevEvent { event_id: EventId::parse("$last").expect("an event ID"), depth: 5 }];
    watch.run("Template::knock", &roles, &Template::reads_of_knock(version, user_id), state, |state| {
        Template::knock(version, room_id, user_id, state, &prev_events, 1)
    })?;
    Ok(())
}

/// The steps of [`decide`] and [`ask`], but for those whose name has more behind it.
pub(crate) const STEPS: [&str; 11] = [
    "authorize",
    "compile",
    "compiled authorize",
    "compiled authorize_proposal",
    "for_client",
    "is_knockable",
    "may",
    "server_is_allowed",
    "stripped_state::events",
    "who_may",
    "Template::knock",
];

#[test]
fn decisions() {
    let watch = Watch::default();
    let strategy = (events(), rooms(), select(&RoomVersion::ALL[..]), select(&USERS[..]), select(&USERS[..]));
    let result = TestRunner::new(config(6000)).run(&strategy, |(event, room, version, user, other)| {
        let (room_id, room) = of_version(version, room);
        let state: StateMap<_> = room.iter().collect();
        decide(&watch, version, &event, &state)?;
        ask(&watch, version, RoomId::parse(&room_id).unwrap(), [user, other], &state)
    });
    assert_eq!(result.map_err(|error| error.to_string()), Ok(()));
    // What chance brings about too seldom to count on it.
    let (state, events) = of_others();
    for event in &events {
        decide(&watch, RoomVersion::V10, event, &state).unwrap();
    }
    watch.assert_reached([50, 0], &STEPS);
    // A selection names the entries of `auth_events`; some of them a verdict does not depend on.
    let never = [
        "authorize_proposal ban: m.room.member of the target",
        "authorize_proposal invite: m.room.join_rules",
        "authorize_proposal join: m.room.join_rules",
        "authorize_proposal join: m.room.member of the sender",
        "authorize_proposal join: m.room.member of the target",
        "authorize_proposal join: m.room.power_levels",
        "authorize_proposal knock: m.room.member of the sender",
        "authorize_proposal knock: m.room.member of the target",
        "authorize_proposal knock: m.room.power_levels",
        "authorize_proposal own invite: m.room.join_rules",
        "authorize_proposal own invite: m.room.power_levels",
        "authorize_proposal own join: m.room.power_levels",
        "authorize_proposal own knock: m.room.power_levels",
        "authorize_proposal own leave: m.room.power_levels",
        "must_also_reach: m.room.member of the sender",
    ];
    assert_eq!(watch.never_read(), never);
}

/// The events that say more than a proposal can, a third-party invite and a join with the word of another user, and a room that
/// allows both since version 8.
fn of_others() -> (StateMap<Host>, [Host; 2]) {
    let signature = "A".repeat(86);
    let invite = format!(
        concat!(
            r#"{{"membership":"invite","third_party_invite":{{"signed":{{"mxid":"@dave:away","token":"token","#,
            r#""signatures":{{"id.home":{{"ed25519:0":"{}"}}}}}}}}}}"#
        ),
        signature
    );
    let join = r#"{"membership":"join","join_authorised_via_users_server":"@alice:home"}"#;
    let key = r#"{"public_key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#;
    let state = [
        Host::new("m.room.create", "", USERS[0], r#"{"creator":"@alice:home"}"#),
        Host::new("m.room.join_rules", "", USERS[0], r#"{"join_rule":"restricted"}"#),
        Host::new("m.room.power_levels", "", USERS[0], r#"{"users":{"@alice:home":100}}"#),
        Host::member(USERS[0], USERS[0], r#"{"membership":"join"}"#),
        Host::new("m.room.third_party_invite", "token", USERS[0], key),
    ];
    (state.into(), [Host::member(USERS[0], USERS[3], invite), Host::member(USERS[3], USERS[3], join)])
}

#[test]
fn events_of_others() {
    let watch = Watch::default();
    let (state, events) = of_others();
    for version in &RoomVersion::ALL[7..] {
        for (name, event) in ["third-party invite", "join by authorization"].into_iter().zip(&events) {
            let roles = [(USERS[0], "inviter"), (USERS[3], "user")];
            let reads = Selection::of(*version, event).reads();
            let decided = watch.outcome(name, &roles, &reads, &state, |state| {
                authorize(*version, event, state, &Zeroes).map(|allowed| allowed.membership())
            });
            assert_eq!(decided.unwrap(), Ok(MemberFacts::of(&event.content).membership().unwrap()));
        }
    }
    let never = ["join_rules", "member of the inviter", "power_levels"];
    assert_eq!(watch.never_read(), never.map(|entry| format!("third-party invite: m.room.{entry}")));
}
