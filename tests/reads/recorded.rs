//! The same over the recorded rooms: every event of a member, decided from the state before it; every knock and every leave that
//! came from another server, as a request to one that is in the room.

use matrix_knock::auth::AuthStatus;
use matrix_knock::event::{Event, EventType, Membership};
use matrix_knock::id::{RoomId, UserId};
use matrix_knock::resident::submission::{AuthEventRef, SendRequest};
use matrix_knock::resident::{Knock, Leave, Residence, ResidentRoom};
use proptest::test_runner::TestCaseError;

use super::decisions::{ask, decide};
use super::graph::{Graph, ROOMS, State, Stored};
use super::look_up::Watch;
use super::requests::{Made, make, send};

/// One recorded event as a request.
fn request<K: Made>(
    watch: &Watch,
    graph: &Graph<'_>,
    room: &ResidentRoom<'_>,
    event: &Stored<'_>,
    state: &State<'_>,
) -> Result<(), TestCaseError> {
    let state = graph.state(state);
    let origin = UserId::parse(event.sender()).expect("a user ID").server_name();
    make::<K, _>(watch, room, (event.sender(), origin), [&state; 3])?;
    let named = graph.auth_events(event.id).expect("the auth events of an event with a state");
    let found: Vec<_> = named.into_iter().map(|event| AuthEventRef { event, status: AuthStatus::Accepted }).collect();
    let request = SendRequest::<K>::new(room.room_id, event.id, origin, event.pdu.text());
    send(watch, room, (event.sender(), &request), &found, [&state; 3])
}

#[test]
fn recorded_rooms() {
    let watch = Watch::default();
    let run = || -> Result<[u32; 3], TestCaseError> {
        let mut counts = [0; 3];
        for line in ROOMS.lines() {
            let graph = Graph::read(line);
            for (id, state) in graph.states_before() {
                let (event, _, status) = &graph.events[id];
                if !event.is_type(EventType::Member) {
                    continue;
                }
                let looked_up = graph.state(&state);
                decide(&watch, graph.version, event, &looked_up)?;
                let room_id = RoomId::parse(event.room_id().expect("a room ID")).expect("a room ID");
                let target = event.state_key().expect("a state key");
                ask(&watch, graph.version, room_id, [event.sender(), target], &looked_up)?;
                counts[0] += 1;

                let room = ResidentRoom { room_id, version: graph.version, residence: Residence::Joined };
                let is_own = target == event.sender() && *status == AuthStatus::Accepted;
                match event.member_facts().membership().filter(|_| is_own) {
                    Some(Membership::Knock) => request::<Knock>(&watch, &graph, &room, event, &state)?,
                    Some(Membership::Leave) => request::<Leave>(&watch, &graph, &room, event, &state)?,
                    _ => continue,
                }
                counts[usize::from(event.member_facts().membership() == Some(Membership::Leave)) + 1] += 1;
            }
        }
        Ok(counts)
    };
    let counts = run().map_err(|error| error.to_string());
    assert_eq!(counts, Ok([573, 322, 34]));
    // With the text of the create event and without it. Three of the knocks were tampered with.
    assert_eq!(watch.counts("knock Accepted::to_response"), [319, 319]);
    assert_eq!(watch.counts("leave Accepted::to_response"), [68, 0]);
}
