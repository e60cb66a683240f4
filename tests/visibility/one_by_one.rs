//! A stretch decided event by event: the state before each event, whatever came later, and the
//! table of the text.

use std::collections::BTreeSet;

use matrix_knock::event::{Event, EventType, Membership};
use matrix_knock::id::UserId;
use matrix_knock::state::StateMap;
use matrix_knock::visibility::{EventVisibility, HistoryVisibility, JoinedLater, UserAtEvent, VisibilityAtEvent};

use crate::table::{Cell, Table};

fn is_member(event: &impl Event, user: &str) -> bool {
    event.is_type(EventType::Member) && event.state_key() == Some(user)
}

/// Whether the user joins behind this place, or after the stretch.
fn joined_later<E: Event>(user: &str, behind: &[E], after: JoinedLater) -> JoinedLater {
    let joins = |event: &E| is_member(event, user) && event.member_facts().membership() == Some(Membership::Join);
    if behind.iter().any(joins) { JoinedLater::Yes } else { after }
}

/// The decision on each event for the user, by the table as well.
pub(crate) fn for_user<E: Event + Clone>(
    user: UserId<'_>,
    state: &StateMap<E>,
    events: &[E],
    after: JoinedLater,
    table: &Table,
) -> Vec<EventVisibility> {
    let mut state = state.clone();
    let mut decided = Vec::new();
    for (at, event) in events.iter().enumerate() {
        let later = joined_later(user.as_str(), &events[at + 1..], after);
        let room = VisibilityAtEvent::read(event, &state).expect("a whole state");
        let of_user = UserAtEvent::read(user, event, &state, later).expect("a whole state");
        let cell = Cell {
            visibility: room.before,
            visibility_after: room.after,
            membership: of_user.before,
            membership_after: of_user.after,
            joined_later: later == JoinedLater::Yes,
        };
        assert_eq!(room.for_user(of_user).rule(), table.rule(cell));
        decided.push(room.for_user(of_user));
        // A message is no part of it.
        state.extend([event.clone()]);
    }
    decided
}

/// The decision on each event for a server with these users.
pub(crate) fn for_server<E: Event + Clone>(
    users: &BTreeSet<String>,
    state: &StateMap<E>,
    events: &[E],
    after: JoinedLater,
) -> Vec<EventVisibility> {
    let mut state = state.clone();
    let mut decided = Vec::new();
    for (at, event) in events.iter().enumerate() {
        let room = VisibilityAtEvent::read(event, &state).expect("a whole state");
        let of_users = users.iter().map(|user| {
            let later = joined_later(user, &events[at + 1..], after);
            UserAtEvent::read(UserId::parse(user).expect("a user ID"), event, &state, later).expect("a whole state")
        });
        decided.push(room.for_server(of_users));
        // A message is no part of it.
        state.extend([event.clone()]);
    }
    decided
}

/// What a stretch starts with, read from the state before it.
pub(crate) fn start<E: Event + Clone>(state: &StateMap<E>) -> HistoryVisibility {
    HistoryVisibility::of_state(state).expect("a whole state")
}

/// The memberships of these users in the state.
pub(crate) fn memberships<'u, E: Event + Clone>(
    users: &'u BTreeSet<String>,
    state: &StateMap<E>,
) -> Vec<(UserId<'u>, Membership)> {
    use matrix_knock::state::RoomState as _;
    let of_user = |user: &'u String| {
        let event = state.event(EventType::Member, user).expect("a whole state")?;
        let membership = event.member_facts().membership().unwrap_or(Membership::Leave);
        Some((UserId::parse(user).expect("a user ID"), membership))
    };
    users.iter().filter_map(of_user).collect()
}
