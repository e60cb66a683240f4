//! The recorded rooms of two Synapse servers.

use matrix_knock::auth::AuthStatus;
use matrix_knock::event::{Event, EventType, Membership};
use matrix_knock::id::UserId;
use matrix_knock::restricted_join::{AllowConditions, JoinBy, JoinCheck, MayJoin, RoomMembership};

use super::content;
use super::graph::{Graph, ROOMS};

#[test]
fn every_recorded_join_rule_and_join() {
    let (mut rules, mut with_conditions, mut joins, mut refused, mut by_condition) = (0, 0, 0, 0, 0);
    for line in ROOMS.lines() {
        let graph = Graph::read(line);
        let before = graph.states_before();
        for recorded in &graph.room.events {
            let (event, _, status) = &graph.events[recorded.event_id];
            if event.is_type(EventType::JoinRules) {
                let content = content(event);
                let found = AllowConditions::of_content(graph.version, event.content());
                let named: Option<Vec<&str>> = content["join_rule"]
                    .as_str()
                    .filter(|rule| rule.contains("restricted"))
                    .filter(|_| graph.version >= matrix_knock::RoomVersion::V10)
                    .map(|_| {
                        content["allow"]
                            .as_array()
                            .into_iter()
                            .flatten()
                            .filter_map(|entry| entry["room_id"].as_str())
                            .collect()
                    });
                let found: Option<Vec<&str>> =
                    found.as_ref().map(|found| found.rooms().iter().map(|id| id.as_str()).collect());
                assert_eq!(found, named, "{}", recorded.event_id);
                rules += 1;
                with_conditions += usize::from(named.is_some_and(|named| !named.is_empty()));
            }
            let is_own_join = event.is_type(EventType::Member)
                && event.member_facts().membership() == Some(Membership::Join)
                && event.state_key() == Some(event.sender());
            let is_first = event
                .sole_prev_event()
                .is_some_and(|id| graph.events.get(id).is_some_and(|(event, ..)| event.is_type(EventType::Create)));
            let Some(state) = before.get(recorded.event_id).filter(|_| is_own_join && !is_first) else { continue };
            let user = UserId::parse(event.sender()).expect("a user ID");
            let check = JoinCheck::new(graph.version, user, &graph.state(state)).expect("a whole state");
            // Nobody authorized any of them.
            let is_allowed = check.answer(|_| RoomMembership::NotJoined) == MayJoin::Yes(JoinBy::Rules);
            assert_eq!(is_allowed, matches!(status, AuthStatus::Accepted), "{}", recorded.event_id);
            joins += 1;
            refused += usize::from(!is_allowed);
            by_condition += usize::from(!check.rooms().is_empty());
        }
    }
    assert_eq!((rules, with_conditions, joins, refused, by_condition), (125, 32, 24, 0, 0));
}
