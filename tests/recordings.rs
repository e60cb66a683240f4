//! Reality: every membership event that two Synapse servers made of the recorded rooms gets the verdict that was stored
//! with it. Where the vectors come from is said in `vectors/README.md`.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a vector that cannot be read fails the test"
)]

#[path = "recordings/graph.rs"]
mod graph;

use std::collections::BTreeMap;

use graph::{Graph, ROOMS, Stored};
use matrix_knock::auth::{AuthEvent, AuthStatus, CompiledRoom, Evidence, Rule, authorize, check_state_independent};
use matrix_knock::event::Event;
use matrix_knock::id::{EventId, RoomId, UserId};
use matrix_knock::state::StateMap;
use matrix_knock::template::{PrevEvent, Template};
use matrix_knock::{NoVerifier, RoomVersion};
use serde::Deserialize;
use serde_json::Value;

const MAKE_KNOCKS: &str = include_str!("vectors/make_knock.jsonl");

/// What both ways to decide say.
fn verdict(version: RoomVersion, event: &Stored<'_>, state: &StateMap<&Stored<'_>>) -> Result<(), Rule> {
    let plain = authorize(version, event, state, &NoVerifier).map(|_| ());
    let compiled = CompiledRoom::compile(version, state).expect("a create event");
    assert_eq!(compiled.authorize(event, state, &NoVerifier).map(|_| ()), plain);
    plain.map_err(|error| error.rejection().expect("a member event").rule())
}

/// How many membership events there are of each kind, and how many of them could be decided from which state.
#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    allowed: usize,
    refused: usize,
    soft_failed: usize,
    out_of_band: usize,
    out_of_band_without_auth_events: usize,
    by_state_before: usize,
}

#[test]
fn every_membership_gets_its_recorded_verdict() {
    let mut counts: BTreeMap<RoomVersion, Count> = BTreeMap::new();
    for line in ROOMS.lines() {
        let graph = Graph::read(line);
        let count = counts.entry(graph.version).or_default();
        let before = graph.states_before();
        for recorded in &graph.room.events {
            let (event, _, status) = &graph.events[recorded.event_id];
            if event.event_type() != "m.room.member" {
                continue;
            }
            let what = format!("{} {} {}", graph.room.scenario, graph.room.server, recorded.event_id);
            let expected = match status {
                AuthStatus::Accepted => Ok(()),
                // The one refused event of the recordings: a knock in version 6.
                AuthStatus::Rejected => Err(Rule::UnknownMembership),
            };
            match recorded.flags.as_slice() {
                [] if expected.is_ok() => count.allowed += 1,
                [] => count.refused += 1,
                ["soft_failed"] => count.soft_failed += 1,
                ["out_of_band_membership"] => count.out_of_band += 1,
                flags => panic!("{what}: unknown flags {flags:?}"),
            }
            let Some(auth_events) = graph.auth_events(recorded.event_id) else {
                // The server of a knocker that has left has nothing of the room but the memberships it was sent.
                assert_eq!(recorded.flags, ["out_of_band_membership"], "{what}");
                count.out_of_band_without_auth_events += 1;
                continue;
            };
            let by_auth_events: StateMap<_> = auth_events.iter().copied().chain(graph.create()).collect();
            assert_eq!(verdict(graph.version, event, &by_auth_events), expected, "{what} by its auth events");
            check_links(&graph, event, &auth_events);
            if let Some(state) = before.get(recorded.event_id) {
                count.by_state_before += 1;
                assert_eq!(verdict(graph.version, event, &graph.state(state)), expected, "{what} by the state before");
            }
        }
    }
    println!("{counts:#?}");
    let expected = [
        (RoomVersion::V6, Count { allowed: 2, refused: 1, by_state_before: 3, ..Count::default() }),
        (
            RoomVersion::V7,
            Count {
                allowed: 170,
                soft_failed: 1,
                out_of_band: 1,
                out_of_band_without_auth_events: 1,
                by_state_before: 152,
                ..Count::default()
            },
        ),
        (
            RoomVersion::V10,
            Count {
                allowed: 228,
                soft_failed: 1,
                out_of_band: 2,
                out_of_band_without_auth_events: 2,
                by_state_before: 209,
                ..Count::default()
            },
        ),
        (
            RoomVersion::V12,
            Count {
                allowed: 227,
                soft_failed: 1,
                out_of_band: 2,
                out_of_band_without_auth_events: 2,
                by_state_before: 209,
                ..Count::default()
            },
        ),
    ];
    assert_eq!(counts, BTreeMap::from(expected));
}

/// The rules about the events that it refers to hold as well, and break when one of those is not what it was.
fn check_links(graph: &Graph<'_>, event: &Stored<'_>, auth_events: &[&Stored<'_>]) {
    let entry = |event: &Stored<'_>| AuthEvent {
        event_id: graph.events.get_key_value(event.id).expect("its own event").0,
        event_type: "",
        state_key: None,
        room_id: None,
        status: AuthStatus::Accepted,
    };
    let types: Vec<_> = auth_events.iter().map(|auth| auth.event_type()).collect();
    let entries: Vec<AuthEvent<'_>> = auth_events
        .iter()
        .zip(&types)
        .map(|(auth, event_type)| AuthEvent {
            event_type,
            state_key: auth.state_key(),
            room_id: auth.room_id(),
            ..entry(auth)
        })
        .collect();
    let create =
        graph.create().map(|create| AuthEvent { event_type: "m.room.create", state_key: Some(""), ..entry(create) });
    // Only an authorizing user's server is asked for; all users who authorize are of the recorded servers.
    let signed_by = ["hs1.test:18448", "hs2.test:28448"];
    let refusal = |entries: &[AuthEvent<'_>], create_event| {
        let evidence = Evidence { auth_events: entries, create_event, signed_by: &signed_by };
        let checked = check_state_independent(graph.version, event, &evidence);
        checked.err().map(|error| error.rejection().expect("a member event").rule())
    };
    assert_eq!(refusal(&entries, create), None, "{}", event.id);

    for position in 0..entries.len() {
        let with = |change: fn(&mut AuthEvent<'_>)| {
            let mut changed = entries.clone();
            change(&mut changed[position]);
            refusal(&changed, create)
        };
        let twice: Vec<_> = entries.iter().chain(entries.get(position)).copied().collect();
        assert_eq!(refusal(&twice, create), Some(Rule::DuplicateAuthEvents));
        assert_eq!(with(|entry| entry.event_type = "m.room.name"), Some(Rule::UnselectedAuthEvent));
        assert_eq!(with(|entry| entry.state_key = None), Some(Rule::UnselectedAuthEvent));
        assert_eq!(with(|entry| entry.state_key = Some("other")), Some(Rule::UnselectedAuthEvent));
        assert_eq!(with(|entry| entry.status = AuthStatus::Rejected), Some(Rule::RejectedAuthEvent));
        assert_eq!(with(|entry| entry.room_id = Some("!other:room")), Some(Rule::AuthEventOfOtherRoom));
        assert_eq!(with(|entry| entry.room_id = None), Some(Rule::AuthEventOfOtherRoom));
    }
    if graph.version < RoomVersion::V12 {
        let without: Vec<_> = entries.iter().filter(|entry| entry.event_type != "m.room.create").copied().collect();
        assert_eq!(refusal(&without, create), Some(Rule::NoCreateEvent));
    } else {
        assert_eq!(refusal(&entries, None), Some(Rule::NoCreateEvent));
        let rejected = create.map(|create| AuthEvent { status: AuthStatus::Rejected, ..create });
        assert_eq!(refusal(&entries, rejected), Some(Rule::NoCreateEvent));
        let other = create.map(|create| AuthEvent { event_id: "$other", ..create });
        assert_eq!(refusal(&entries, other), Some(Rule::NoCreateEvent));
        let selected: Vec<_> = entries.iter().copied().chain(create).collect();
        assert_eq!(refusal(&selected, create), Some(Rule::UnselectedAuthEvent));
    }
}

/// Our template of a knock is the one that Synapse gave, but for the order of the auth events (which it does not fix).
#[test]
fn every_recorded_template_is_ours() {
    #[derive(Deserialize)]
    struct Answer {
        response: Value,
    }
    let graphs: Vec<_> = ROOMS.lines().map(Graph::read).collect();
    let sorted = |mut response: Value| {
        let auth_events = response["event"]["auth_events"].as_array_mut().unwrap();
        auth_events.sort_by_key(ToString::to_string);
        response
    };
    let mut compared = 0;
    for line in MAKE_KNOCKS.lines() {
        let recorded = serde_json::from_str::<Answer>(line).unwrap().response;
        let event = &recorded["event"];
        let text = |key: &str| event[key].as_str().unwrap();
        let previous: Vec<_> = event["prev_events"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let graph = graphs
            .iter()
            .find(|graph| previous.iter().all(|id| graph.events.contains_key(id)) && graph.create().is_some())
            .expect("a recorded room");
        let before = graph.states_before();
        assert_eq!(previous.len(), 1, "a recorded room that forks");
        let state = &before[previous[0]];
        let (last, _, _) = &graph.events[previous[0]];
        let mut events = graph.state(state);
        events.extend(last.state_key().is_some().then_some(last));
        let depth = serde_json::from_str::<Value>(last.pdu.text()).unwrap()["depth"].as_u64().unwrap();
        let template = Template::knock(
            graph.version,
            RoomId::parse(text("room_id")).unwrap(),
            UserId::parse(text("sender")).unwrap(),
            &events,
            &[PrevEvent { event_id: EventId::parse(previous[0]).unwrap(), depth }],
            event["origin_server_ts"].as_u64().unwrap(),
        );
        let ours = serde_json::from_str(&template.unwrap().to_response()).unwrap();
        assert_eq!(sorted(ours), sorted(recorded));
        compared += 1;
    }
    assert_eq!(compared, 215);
}

/// The states that the test computes are those that the servers had.
#[test]
fn the_state_behind_the_last_event_is_the_recorded_one() {
    let (mut checked, mut left) = (0, 0);
    for line in ROOMS.lines() {
        let graph = Graph::read(line);
        let before = graph.states_before();
        let [last] = graph.room.forward_extremities.as_slice() else { continue };
        let Some(state) = before.get(last) else { continue };
        let mut state = state.clone();
        let (event, _, status) = &graph.events[last];
        if let (Some(key), AuthStatus::Accepted) = (event.state_key(), status) {
            state.insert((event.event_type().into_owned(), key.to_owned()), last);
        }
        let mut computed: Vec<_> = state.into_values().collect();
        let mut recorded = graph.room.current_state.clone();
        let joined = |id: &&str| graph.events[id].0.content().contains(r#""membership":"join""#);
        if !computed.iter().any(joined) {
            // The last user has left: the server has forgotten the state.
            left += 1;
            continue;
        }
        computed.sort_unstable();
        recorded.sort_unstable();
        assert_eq!(computed, recorded, "{} {}", graph.room.scenario, graph.room.server);
        checked += 1;
    }
    assert_eq!((checked, left), (118, 3));
}
