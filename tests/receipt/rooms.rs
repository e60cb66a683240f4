//! The recorded rooms in the order in which the server took their events, and the seven checks on one of them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use matrix_knock::event::{Event as _, Pdu, ServerKeys};
use matrix_knock::id::ServerName;
use matrix_knock::policy::PolicyVerdict;
use matrix_knock::receipt::{AuthEventRef, AuthEvents, Check, Dropped, Outcome, ReceivedEvent, SoftFailure, States};
use matrix_knock::state::{Reads, RoomState, Snapshot, StateMap};
use matrix_knock::{Ed25519, RoomVersion};
use serde_json::Value;

pub(crate) use super::graph::State;
use super::graph::{Graph, Links, Stored};

/// When the recordings were made: 2026-11-22.
const NOW: u64 = 1_795_320_900_000;

static KEYS: LazyLock<Vec<ServerKeys>> = LazyLock::new(|| {
    let documents = include_str!("../vectors/keys.jsonl").lines();
    let keys = documents.map(|text| {
        let document: Value = serde_json::from_str(text).expect("JSON");
        let server = ServerName::parse(document["server_name"].as_str().expect("a name")).expect("a server name");
        ServerKeys::parse(server, text, &Ed25519).expect("a document signed by its server")
    });
    keys.collect()
});

/// A recorded room, and the state after each of its events.
pub(crate) struct Course<'a> {
    pub(crate) graph: Graph<'a>,
    pub(crate) after: BTreeMap<&'a str, State<'a>>,
}

impl<'a> Course<'a> {
    pub(crate) fn read(line: &'a str) -> Self {
        let mut course = Self { graph: Graph::read(line), after: BTreeMap::new() };
        for recorded in &course.graph.room.events {
            let (event, links, _) = &course.graph.events[recorded.event_id];
            let mut state = course.before(links);
            if let (Some(state_key), None) = (event.pdu.state_key(), recorded.rejected) {
                state.insert((event.pdu.event_type().into_owned(), state_key.to_owned()), recorded.event_id);
            }
            course.after.insert(recorded.event_id, state);
        }
        course
    }

    /// The state before an event: that after its previous event. A hand-made knock names a second one, which nobody has.
    pub(crate) fn before(&self, links: &Links) -> State<'a> {
        let known: Vec<_> = links.prev_events.iter().filter_map(|id| self.after.get(id.as_str())).collect();
        match known.as_slice() {
            [] => State::new(),
            [state] => (*state).clone(),
            _ => panic!("a recorded room that forks"),
        }
    }

    /// The auth events that the server had, with how they came in.
    pub(crate) fn auth_events(&self, links: &Links) -> Vec<AuthEventRef<&Stored<'a>>> {
        let found = links.auth_events.iter().filter_map(|id| self.graph.events.get(id.as_str()));
        found.map(|(event, _, status)| AuthEventRef { event, status: *status }).collect()
    }
}

/// The event, if it passes the first two checks.
pub(crate) fn verified(version: RoomVersion, text: &str) -> Option<ReceivedEvent<'_>> {
    dropped_or_verified(version, text).ok()
}

fn dropped_or_verified(version: RoomVersion, text: &str) -> Result<ReceivedEvent<'_>, Dropped> {
    ReceivedEvent::verify(Pdu::parse(text)?.check_format(version)?, KEYS.as_slice(), &Ed25519, NOW)
}

/// What the checks come to, in words: all in one and one by one, by whole states and by what `reads` names of them.
pub(crate) fn receive(
    version: RoomVersion,
    text: &str,
    known: &[AuthEventRef<&Stored<'_>>],
    [before, current]: &[StateMap<&Stored<'_>>; 2],
) -> String {
    let event = match dropped_or_verified(version, text) {
        Ok(event) => event,
        Err(dropped) => return format!("dropped by check {}", dropped.check().number()),
    };
    let auth_events = match event.match_auth_events(known.iter().copied()) {
        Ok(auth_events) => auth_events,
        Err(unknown) => return format!("{} unknown auth events", unknown.ids().len()),
    };
    let outcome = check(&event, &auth_events, before, current);

    let reads = event.reads();
    assert!(reads.len() <= 8, "{reads:?}");
    assert_eq!(check(&event, &auth_events, &named(before, &reads), &named(current, &reads)), outcome);

    let by_auth_events = event.check_auth_events(&auth_events, current, &Ed25519).expect("no mistake");
    let by_state_before = event.check_state_before(before, &Ed25519).expect("no mistake");
    let by_current_state = event.check_current_state(current, &Ed25519).expect("no mistake");
    let by_policy = event.check_policy_server(current, PolicyVerdict::NotNamed).expect("no mistake");
    let one_by_one = match (by_auth_events.and(by_state_before), by_current_state, by_policy) {
        (Err(rejected), _, _) => Outcome::Rejected(rejected),
        (Ok(()), Err(failure), _) | (Ok(()), Ok(()), Err(failure)) => Outcome::SoftFailed(failure),
        (Ok(()), Ok(()), Ok(signature)) => Outcome::Accepted(signature),
    };
    assert_eq!(one_by_one, outcome);
    in_words(&outcome) + if event.is_redacted() { ", redacted" } else { "" }
}

/// What `reads` names of a state, and no more.
fn named<'e, 't>(state: &StateMap<&'e Stored<'t>>, reads: &Reads) -> Snapshot<&'e Stored<'t>> {
    let mut snapshot = Snapshot::new();
    for (event_type, state_key) in reads.iter() {
        snapshot.insert(event_type, state_key, state.event(event_type, state_key).expect("a whole state").copied());
    }
    snapshot
}

fn check(
    event: &ReceivedEvent<'_>,
    auth_events: &AuthEvents<&Stored<'_>>,
    before: &impl RoomState,
    current: &impl RoomState,
) -> Outcome {
    let states = States { before, current };
    event.check(auth_events, states, &Ed25519, PolicyVerdict::NotNamed).expect("no mistake")
}

fn in_words(outcome: &Outcome) -> String {
    let number = outcome.check().map_or(0, Check::number);
    match outcome {
        Outcome::Accepted(None) => "accepted".to_owned(),
        Outcome::Accepted(Some(_)) => "accepted, signed".to_owned(),
        Outcome::SoftFailed(SoftFailure::CurrentState(rejection)) => {
            format!("soft-failed by check {number}: {} {}", rejection.number(), rejection.rule().name())
        }
        Outcome::SoftFailed(failure) => format!("soft-failed by check {number}: {failure}"),
        Outcome::Rejected(rejected) => {
            let rejection = rejected.rejection();
            format!("rejected by check {number}: {} {}", rejection.number(), rejection.rule().name())
        }
    }
}
