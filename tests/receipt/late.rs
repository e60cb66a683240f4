//! Every recorded member event, come later than it did: by each state that its room had afterwards it is accepted or soft-failed
//! as ruma-state-res decides by that state.

use std::collections::BTreeMap;

use matrix_knock::RoomVersion;
use matrix_knock::auth::AuthStatus;
use matrix_knock::event::Event;
use ruma_events::StateEventType;
use ruma_state_res::check_state_dependent_auth_rules;

use super::graph::ROOMS;
use super::rooms::{Course, receive};
use super::ruma::{RumaEvent, rules};

#[test]
fn late_events_are_soft_failed_as_a_second_opinion_has_it() {
    let mut counts = BTreeMap::new();
    // A server that has nothing of a room but a leave of its own user decides on nothing.
    for course in ROOMS.lines().map(Course::read).filter(|course| course.graph.create().is_some()) {
        let graph = &course.graph;
        let rules = rules(graph.version).authorization;
        let rumas: BTreeMap<&str, RumaEvent> =
            graph.events.iter().map(|(id, (event, ..))| (*id, RumaEvent::new(id, event.pdu.text()))).collect();
        for (place, recorded) in graph.room.events.iter().enumerate() {
            let (event, links, status) = &graph.events[recorded.event_id];
            if event.event_type() != "m.room.member" || *status == AuthStatus::Rejected {
                continue;
            }
            let before = graph.state(&course.before(links));
            for later in &graph.room.events[place..] {
                let current = &course.after[later.event_id];
                let states = [before.clone(), graph.state(current)];
                let ours = receive(graph.version, event.pdu.text(), &course.auth_events(links), &states);
                let fetch = |event_type: &StateEventType, state_key: &str| {
                    current.get(&(event_type.to_string(), state_key.to_owned())).map(|id| rumas[id].clone())
                };
                let theirs = check_state_dependent_auth_rules(&rules, &rumas[recorded.event_id], fetch);
                let ours = ours.strip_suffix(", redacted").unwrap_or(&ours).to_owned();
                if !ours.starts_with("rejected") {
                    assert_eq!(theirs.is_ok(), ours == "accepted", "{} {theirs:?} {ours}", recorded.event_id);
                }
                *counts.entry((graph.version, ours)).or_insert(0_usize) += 1;
            }
        }
    }
    let rules_of = |numbers: [&str; 5]| {
        let names = ["JoinNotAuthorized", "JoinRule", "InviteOfJoinedOrBanned", "LeaveFromNothing", "KnockMembership"];
        let mut names = names.into_iter();
        numbers.map(|number| format!("soft-failed by check 6: {number} {}", names.next().expect("five")))
    };
    let versions = [
        (RoomVersion::V6, ["", "", "", "", ""], [0; 5], 11, None),
        (RoomVersion::V7, ["", "4.2.6", "4.3.3", "4.4.1", "4.6.4"], [0, 5, 6, 14, 13], 1_791, None),
        (
            RoomVersion::V10,
            ["4.3.5.2", "4.3.7", "4.4.3", "4.5.1", "4.7.4"],
            [5, 5, 10, 22, 26],
            2_058,
            Some(("4.2.1", 9)),
        ),
        (
            RoomVersion::V12,
            ["5.3.5.2", "5.3.7", "5.4.3", "5.5.1", "5.7.4"],
            [5, 5, 10, 22, 26],
            2_029,
            Some(("5.2.1", 8)),
        ),
    ];
    let mut expected = BTreeMap::new();
    for (version, numbers, soft_failed, accepted, unsigned) in versions {
        expected.insert((version, "accepted".to_owned()), accepted);
        let soft_failed = rules_of(numbers).into_iter().zip(soft_failed).filter(|(_, count)| *count > 0);
        expected.extend(soft_failed.map(|(outcome, count)| ((version, outcome), count)));
        // The hand-made knock that names an authorizing user.
        let unsigned = unsigned
            .map(|(number, count)| (format!("rejected by check 4: {number} AuthorizingServerSignature"), count));
        expected.extend(unsigned.map(|(outcome, count)| ((version, outcome), count)));
    }
    assert_eq!(counts, expected);
    assert_eq!(counts.values().sum::<usize>(), 6080);
}
