//! The same events at the knockers' server: those that it took as a server in the room, those that came with a join, and those
//! that it was told of from outside, of which this is no receipt.

use std::collections::BTreeMap;

use matrix_knock::event::Event;
use serde::Deserialize;

use super::graph::{Links, ROOMS, Stored};
use super::rooms::{Course, receive};

const RECEIVED: &str = include_str!("../vectors/received.jsonl");

#[derive(Deserialize)]
struct Room<'a> {
    #[serde(borrow)]
    events: Vec<(&'a str, How)>,
}

/// How the server took an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
enum How {
    /// A user of the server was in the room, or came in by it.
    InRoom,
    /// As a part of the state that came with a join.
    WithJoin,
    /// No user of the server was in the room.
    OutOfBand,
}

#[test]
fn the_other_server_took_the_same_events() {
    let courses: Vec<Course<'_>> = ROOMS.lines().map(Course::read).collect();
    let texts: BTreeMap<&str, &(Stored<'_>, Links, _)> =
        courses.iter().flat_map(|course| course.graph.events.iter().map(|(id, event)| (*id, event))).collect();
    let mut counts = BTreeMap::new();
    for line in RECEIVED.lines() {
        let room: Room<'_> = serde_json::from_str(line).expect("a room");
        for (id, how) in room.events {
            let (event, links, _) = texts[id];
            // The server that the room is on has its other events.
            let course = courses
                .iter()
                .find(|course| links.prev_events.iter().all(|id| course.after.contains_key(id.as_str())))
                .expect("a recorded room");
            assert_eq!(event.event_type(), "m.room.member");
            // The rooms do not fork: the current state is that before the event.
            let before = course.graph.state(&course.before(links));
            let states = [before.clone(), before];
            let ours = receive(course.graph.version, event.pdu.text(), &course.auth_events(links), &states);
            *counts.entry((how, ours)).or_default() += 1;
        }
    }
    let accepted = || "accepted".to_owned();
    // The leaves by which the server ended a knock by itself, and which it sent to nobody: they name what the knock named, also
    // the join rules, which a leave has no use for.
    let unselected = |number: &str| format!("rejected by check 4: {number} UnselectedAuthEvent");
    let expected = [
        ((How::InRoom, accepted()), 16),
        ((How::WithJoin, accepted()), 11),
        ((How::OutOfBand, accepted()), 184),
        ((How::OutOfBand, unselected("2.2")), 3),
        ((How::OutOfBand, unselected("3.2")), 2),
    ];
    assert_eq!(counts, BTreeMap::from(expected));
    assert_eq!(counts.values().sum::<usize>(), 216);
}
