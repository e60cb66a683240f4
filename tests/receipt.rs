//! Receipt of every member event of the recordings: what the seven checks come to is what the recorded server made of it. Where
//! the vectors come from is said in `vectors/README.md`.
#![cfg(feature = "ed25519")]
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot be set up fails"
)]

#[path = "recordings/graph.rs"]
#[expect(dead_code, reason = "this test takes a part of it")]
mod graph;
#[path = "receipt/late.rs"]
mod late;
#[path = "receipt/received.rs"]
mod received;
#[path = "receipt/rooms.rs"]
mod rooms;
#[path = "oracle/ruma.rs"]
mod ruma;

use std::collections::BTreeMap;

use graph::ROOMS;
use matrix_knock::RoomVersion;
use matrix_knock::auth::AuthStatus;
use matrix_knock::event::Event;
use rooms::{Course, State, receive};
use serde_json::Value;

/// The events that the recorded server took in another way than the specification and the design have it, by what we say
/// and how often.
///
/// * A hand-made knock names an authorizing user, whose server has not signed. Synapse asks for that signature under joins only,
///   the specification under every member event (since version 8).
/// * The last user of the server had left. Synapse keeps no current state of such a room, and soft-fails a knock that comes after
///   an older event. By the state that the room has, the knock is allowed.
const EXCEPTIONS: [(RoomVersion, &str, &str, usize); 5] = [
    (RoomVersion::V7, "soft-failed", "accepted", 1),
    (RoomVersion::V10, "accepted", "rejected by check 4: 4.2.1 AuthorizingServerSignature", 1),
    (RoomVersion::V10, "soft-failed", "accepted", 1),
    (RoomVersion::V12, "accepted", "rejected by check 4: 5.2.1 AuthorizingServerSignature", 1),
    (RoomVersion::V12, "soft-failed", "accepted", 1),
];

/// Every other event: as it was recorded. The content hash of a hand-made knock is wrong; Synapse stored it redacted as well.
const AS_RECORDED: [(RoomVersion, &str, &str, usize); 8] = [
    (RoomVersion::V6, "accepted", "accepted", 2),
    (RoomVersion::V6, "rejected", "rejected by check 4: 4.6 UnknownMembership", 1),
    (RoomVersion::V7, "accepted", "accepted", 169),
    (RoomVersion::V7, "accepted", "accepted, redacted", 1),
    (RoomVersion::V10, "accepted", "accepted", 226),
    (RoomVersion::V10, "accepted", "accepted, redacted", 1),
    (RoomVersion::V12, "accepted", "accepted", 225),
    (RoomVersion::V12, "accepted", "accepted, redacted", 1),
];

fn expected() -> BTreeMap<(RoomVersion, String, String), usize> {
    EXCEPTIONS
        .into_iter()
        .chain(AS_RECORDED)
        .map(|(version, recorded, ours, count)| ((version, recorded.to_owned(), ours.to_owned()), count))
        .collect()
}

#[test]
fn every_recorded_member_event_has_its_recorded_outcome() {
    let mut counts = BTreeMap::new();
    for course in ROOMS.lines().map(Course::read) {
        let graph = &course.graph;
        // The state after the last event that was neither rejected nor soft-failed: none of the rooms forks.
        let mut current = State::new();
        for recorded in &graph.room.events {
            let (event, links, status) = &graph.events[recorded.event_id];
            let (is_outside, is_soft_failed) =
                (recorded.flags.contains(&"out_of_band_membership"), recorded.flags.contains(&"soft_failed"));
            if event.event_type() == "m.room.member" && !is_outside {
                let before = course.before(links);
                let states = [graph.state(&before), graph.state(&current)];
                let ours = receive(graph.version, event.pdu.text(), &course.auth_events(links), &states);
                let theirs = match status {
                    AuthStatus::Rejected => "rejected",
                    AuthStatus::Accepted if is_soft_failed => "soft-failed",
                    AuthStatus::Accepted => "accepted",
                };
                *counts.entry((graph.version, theirs.to_owned(), ours)).or_default() += 1;
            }
            if *status == AuthStatus::Accepted && !is_soft_failed {
                current.clone_from(&course.after[recorded.event_id]);
            }
        }
    }
    assert_eq!(counts, expected());
    assert_eq!(counts.values().sum::<usize>(), 631);
}

/// By no state at all, as Synapse had it of the room that its users had left, these knocks are soft-failed here as well.
#[test]
fn what_was_soft_failed_was_so_for_want_of_a_state() {
    let mut counts = BTreeMap::new();
    for course in ROOMS.lines().map(Course::read) {
        let graph = &course.graph;
        for recorded in graph.room.events.iter().filter(|recorded| recorded.flags.contains(&"soft_failed")) {
            let (event, links, _) = &graph.events[recorded.event_id];
            let joined = |id: &&str| graph.events[id].0.content().contains(r#""membership":"join""#);
            assert!(!graph.room.current_state.iter().any(joined), "somebody of the server is joined");
            // Since version 12 the create event is known by the room ID, whatever the state has.
            let states = [graph.state(&course.before(links)), graph.state(&State::new())];
            let ours = receive(graph.version, event.pdu.text(), &course.auth_events(links), &states);
            *counts.entry((graph.version, ours)).or_default() += 1;
        }
    }
    let expected = [
        ((RoomVersion::V7, "soft-failed by check 6: 2.4 NoCreateEvent".to_owned()), 1),
        ((RoomVersion::V10, "soft-failed by check 6: 2.4 NoCreateEvent".to_owned()), 1),
        ((RoomVersion::V12, "rejected by check 4: 2 NoCreateEvent".to_owned()), 1),
    ];
    assert_eq!(counts, BTreeMap::from(expected));
}

/// An event is kept as it came, but for its `unsigned`; its hash still is its ID. (Those whose content hash is wrong Synapse has
/// stored redacted.)
#[test]
fn what_is_kept_is_what_came() {
    let mut counts = [0; 2];
    for course in ROOMS.lines().map(Course::read) {
        for (event, ..) in course.graph.events.values().filter(|(event, ..)| event.event_type() == "m.room.member") {
            let Some(received) = rooms::verified(course.graph.version, event.pdu.text()) else { continue };
            let kept = received.to_text(None).expect("an event");
            let id = matrix_knock::event::event_id(course.graph.version, &kept);
            assert_eq!(id.as_deref(), Ok(event.id));
            let value = |text: &str| {
                let mut value: Value = serde_json::from_str(text).expect("JSON");
                value.as_object_mut().unwrap().remove("unsigned");
                value
            };
            assert_eq!(value(&kept), value(event.pdu.text()));
            counts[usize::from(received.is_redacted())] += 1;
        }
    }
    assert_eq!(counts, [633, 3]);
}
