//! The recorded rooms: every run of events of each, read by every user and every server that has a
//! part in it.

use std::collections::BTreeSet;

use matrix_knock::auth::AuthStatus;
use matrix_knock::event::{Event as _, Membership};
use matrix_knock::id::ServerName;
use matrix_knock::visibility::{JoinedLater, Stretch};

use crate::table::Table;
use crate::{one_by_one, user};

#[expect(dead_code, reason = "other tests take more of it")]
#[path = "../recordings/graph.rs"]
mod graph;

use graph::{Graph, ROOMS, Stored};

/// Runs of accepted events, each of which comes right after the one before it and nothing else.
fn runs<'g, 'a>(graph: &'g Graph<'a>) -> Vec<Vec<&'g Stored<'a>>> {
    let mut runs: Vec<Vec<&Stored<'_>>> = Vec::new();
    let known = graph.states_before();
    for recorded in &graph.room.events {
        let (event, links, status) = &graph.events[recorded.event_id];
        if *status != AuthStatus::Accepted || !known.contains_key(recorded.event_id) {
            continue;
        }
        match runs.last_mut() {
            Some(run) if run.last().is_some_and(|last| links.prev_events == [last.id]) => run.push(event),
            _ => runs.push(vec![event]),
        }
    }
    runs
}

#[test]
fn recorded_runs_at_once_and_one_by_one() {
    let table = Table::read();
    let (mut rooms, mut all_runs, mut longest, mut decisions, mut visible) = (0, 0, 0, 0, 0);
    for line in ROOMS.lines() {
        let graph = Graph::read(line);
        let before = graph.states_before();
        let members = graph.events.values().filter(|(event, ..)| event.event_type() == "m.room.member");
        let users: BTreeSet<String> = members.filter_map(|(event, ..)| event.state_key()).map(str::to_owned).collect();
        let servers: BTreeSet<&str> = users.iter().filter_map(|id| id.split_once(':')).map(|(_, name)| name).collect();
        for run in runs(&graph) {
            let state = graph.state(&before[run[0].id]);
            for joined_after in [JoinedLater::No, JoinedLater::Yes] {
                let stretch = Stretch { visibility: one_by_one::start(&state), joined_after };
                for id in &users {
                    let of_user = BTreeSet::from([id.clone()]);
                    let membership =
                        one_by_one::memberships(&of_user, &state).first().map_or(Membership::Leave, |of| of.1);
                    let at_once = stretch.for_user(user(id), membership, run.iter().copied());
                    assert_eq!(at_once, one_by_one::for_user(user(id), &state, &run, joined_after, &table));
                    decisions += at_once.len();
                    visible += at_once.iter().filter(|decided| decided.is_visible()).count();
                }
                for name in &servers {
                    let server = ServerName::parse(name).unwrap();
                    let of_server: BTreeSet<String> =
                        users.iter().filter(|id| user(id).server_name() == server).cloned().collect();
                    let memberships = one_by_one::memberships(&users, &state);
                    let at_once = stretch.for_server(server, memberships, run.iter().copied());
                    assert_eq!(at_once, one_by_one::for_server(&of_server, &state, &run, joined_after));
                    decisions += at_once.len();
                    visible += at_once.iter().filter(|decided| decided.is_visible()).count();
                }
            }
            all_runs += 1;
            longest = longest.max(run.len());
        }
        rooms += 1;
    }
    assert_eq!((rooms, all_runs, longest, decisions, visible), (129, 130, 49, 16_758, 11_238));
}
