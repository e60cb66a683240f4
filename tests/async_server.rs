//! The asynchronous host of `examples/async_server.rs`, whose handlers stand in the README: on recorded requests, with a room
//! that changes between any two steps, and with a store that fails at any of them.
#![cfg(feature = "ed25519")]
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a vector that cannot be read fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use matrix_knock::RoomVersion;
use matrix_knock::error::ErrorResponse;
use matrix_knock::event::{Ed25519, Event, KeyValidity, OwnedPdu, ServerKeys, VerifyKey};
use matrix_knock::id::{OwnedServerName, ServerName, UserId};
use matrix_knock::knocking::{Details, Intent, OwnMembership};
use matrix_knock::machine::{Endpoint, Request};
use matrix_knock::wire::BuiltRequest;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

#[path = "../examples/async_server.rs"]
#[expect(dead_code, reason = "an example is more than what its test needs")]
mod host;

use host::{Host, Network, Room, block_on};

const KAY: &str = "@kay:bb.example";

/// The functions of the README are those of the example, to the letter.
#[test]
fn the_readme_shows_this_host() {
    let example = include_str!("../examples/async_server.rs");
    let readme = include_str!("../README.md");
    for name in ["send_knock", "drive"] {
        let (_, body) = example.split_once(&format!("    pub(crate) async fn {name}")).expect("a function");
        let (body, _) = body.split_once("\n    }\n").expect("its end");
        let shown: String = format!("    async fn {name}{body}\n    }}\n")
            .replace("pub(crate) ", "")
            .lines()
            .map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or(line)))
            .collect();
        assert!(readme.contains(&shown), "the README does not have this function:\n\n{shown}");
    }
}

#[derive(Deserialize)]
struct Recorded<'a> {
    event_id: &'a str,
    pdu: &'a RawValue,
}

#[derive(Deserialize)]
struct RecordedRoom<'a> {
    #[serde(borrow)]
    events: Vec<Recorded<'a>>,
}

#[derive(Deserialize)]
struct Exchange<'a> {
    source: &'a str,
    kind: &'a str,
    room_version: &'a str,
    room_id: &'a str,
    event_id: Option<String>,
    origin: Option<&'a str>,
    state: Option<Vec<usize>>,
    current_state: Option<Vec<usize>>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
    status: u16,
    response_knock_room_state: Option<Vec<usize>>,
}

/// All recorded events, numbered as `vectors/README.md` says.
fn recorded_events() -> Vec<OwnedPdu> {
    let lines = include_str!("vectors/rooms.jsonl").lines().chain(include_str!("vectors/more_events.jsonl").lines());
    let rooms: Vec<RecordedRoom<'_>> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    let with_id = |event: &Recorded<'_>| {
        OwnedPdu::parse_stored(event.pdu.get()).unwrap().as_pdu().with_event_id(event.event_id).into_owned()
    };
    rooms.iter().flat_map(|room| &room.events).map(with_id).collect()
}

fn recorded_keys() -> BTreeMap<OwnedServerName, VerifyKey> {
    let mut keys = BTreeMap::new();
    for text in include_str!("vectors/keys.jsonl").lines() {
        let server: Value = serde_json::from_str(text).unwrap();
        let server = ServerName::parse(server["server_name"].as_str().unwrap()).unwrap();
        let document = ServerKeys::parse(server, text, &Ed25519).unwrap();
        let (_, key) = document.keys().next().unwrap();
        keys.insert(server.into_owned(), VerifyKey { validity: KeyValidity::Forever, ..key });
    }
    keys
}

/// Second knocks: those who knock again (scenario n), and those who knock after they were declined (scenario b). They have a
/// member event among their auth events.
#[test]
fn recorded_second_knocks() {
    let (events, keys) = (recorded_events(), recorded_keys());
    let mut answered = BTreeMap::new();
    for line in include_str!("vectors/exchanges.jsonl").lines() {
        let exchange: Exchange<'_> = serde_json::from_str(line).unwrap();
        let scenario = exchange.source.split('/').nth(2).unwrap_or_default().split('_').next().unwrap_or_default();
        let is_of_interest = matches!(scenario, "n" | "b") && exchange.kind == "send_knock" && exchange.status == 200;
        let (Some(body), Some(state), true) = (exchange.body, &exchange.state, is_of_interest) else { continue };
        assert_eq!(exchange.current_state, None, "{}", exchange.source);
        let named = |key: &str| {
            let body: Value = serde_json::from_str(body.get()).unwrap();
            let ids: Vec<String> = serde_json::from_value(body[key].clone()).unwrap();
            ids
        };
        // The line of the room: its state, what the event names besides, and what it comes after, last.
        let by_id = |id: &String| events.iter().rev().find(|event| event.event_id() == Some(id)).unwrap();
        let (auth_events, last) = (named("auth_events"), named("prev_events"));
        let mut line: Vec<&OwnedPdu> = auth_events.iter().map(by_id).collect();
        line.extend(state.iter().map(|number| &events[*number]));
        line.retain(|event| event.event_id() != Some(&last[0]));
        line.push(by_id(&last[0]));
        assert_eq!(last.len(), 1);

        let mut host = host::host("a.example", &[]).unwrap();
        host.known_keys = keys.clone();
        host.store.insert(Room {
            id: exchange.room_id.parse().unwrap(),
            version: exchange.room_version.parse().unwrap(),
            events: line.into_iter().cloned().collect(),
        });
        let encoded = |text: &str| text.replace('!', "%21").replace('$', "%24").replace(':', "%3A");
        let path = format!(
            "/_matrix/federation/v1/send_knock/{}/{}",
            encoded(exchange.room_id),
            encoded(exchange.event_id.as_deref().unwrap())
        );
        let request = BuiltRequest { method: "PUT", path, query: String::new(), body: Some(body.get().to_owned()) };
        let origin = ServerName::parse(exchange.origin.unwrap()).unwrap();
        let names_a_member = auth_events.iter().any(|id| by_id(id).event_type() == "m.room.member");
        let first = block_on(host.send_knock(origin, request.as_http()));
        let answer: Value = serde_json::from_str(first.as_deref().unwrap_or_else(|error| panic!("{error}"))).unwrap();
        let shown = answer["knock_room_state"].as_array().unwrap().len();
        assert_eq!(shown, exchange.response_knock_room_state.unwrap().len(), "{}", exchange.source);
        // The same event twice gets the same answer, and stands in the room once.
        assert_eq!(block_on(host.send_knock(origin, request.as_http())), first);
        *answered.entry((scenario.to_owned(), names_a_member)).or_insert(0) += 1;
    }
    let of =
        |scenario: &str, names_a_member| answered.get(&(scenario.to_owned(), names_a_member)).copied().unwrap_or(0);
    assert!(of("n", true) > 0 && of("b", true) > 0 && of("n", false) > 0, "{answered:?}");
}

/// A room of the example's, its server, and a signed knock on it.
struct Stage {
    resident: Arc<Host>,
    home: Host,
    room: Room,
    network: Network,
}

impl Stage {
    fn new() -> Self {
        let resident = Arc::new(host::host("a.example", &["bb.example"]).unwrap());
        let home = host::host("bb.example", &["a.example"]).unwrap();
        let room = host::room(&resident).unwrap();
        resident.store.insert(room.clone());
        let network = Network(BTreeMap::from([(resident.name.clone(), Arc::clone(&resident))]));
        Self { resident, home, room, network }
    }

    /// The request of a knock that is allowed, as it comes over the wire.
    fn request(&self) -> BuiltRequest {
        let knock = block_on(async {
            let servers = [self.resident.name.clone()];
            let intent = Intent {
                room_id: self.room.id.as_borrowed(),
                user_id: UserId::parse(KAY).unwrap(),
                own: OwnMembership::OutOfBand,
                servers: &servers,
                versions: &RoomVersion::ALL,
                details: &Details::default(),
            };
            self.home.knock(&intent, &self.network).await.unwrap()
        });
        self.resident.store.insert(self.room.clone());
        let endpoint = Endpoint::SendKnock { room_id: self.room.id.clone(), event: knock.event().clone() };
        Request { server: self.resident.name.clone(), endpoint }.to_http()
    }

    /// Bans Kay by an event at the end of the room as it is.
    fn ban(&self) {
        let mut room = self.resident.store.rooms().get(self.room.id.as_str()).cloned().unwrap();
        let ban = ("@alice:a.example", "m.room.member", KAY);
        host::event(&mut room, &self.resident, ban, r#"{"membership":"ban"}"#).unwrap();
        self.resident.store.insert(room);
    }

    fn memberships(&self) -> Vec<String> {
        let rooms = self.resident.store.rooms();
        let of_kay = rooms[self.room.id.as_str()].events.iter().filter(|event| event.state_key() == Some(KAY));
        of_kay.map(|event| event.member_facts().membership().unwrap().to_string()).collect()
    }
}

/// Polls a future so many times; its output, if that was enough.
fn poll<T>(future: &mut std::pin::Pin<&mut impl Future<Output = T>>, times: usize) -> Option<T> {
    let mut context = Context::from_waker(Waker::noop());
    (0..times).find_map(|_| match future.as_mut().poll(&mut context) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    })
}

/// A ban arrives at any point of the way: the knock is refused by the state as it is then, unless it stands in the room by then.
#[test]
fn a_ban_between_any_two_steps() {
    let mut refused = 0;
    let mut accepted = 0;
    for polls in 0.. {
        let stage = Stage::new();
        let request = stage.request();
        let handler = stage.resident.send_knock(stage.home.name.as_borrowed(), request.as_http());
        let mut handler = pin!(handler);
        if poll(&mut handler, polls).is_some() {
            break;
        }
        stage.ban();
        match block_on(handler) {
            Ok(_) => {
                assert_eq!(stage.memberships(), ["knock", "ban"], "{polls}");
                accepted += 1;
            }
            Err(error) => {
                assert_eq!((error.status(), error.error()), (403, "The room does not allow it"), "{polls}");
                assert_eq!(stage.memberships(), ["ban"], "{polls}");
                refused += 1;
            }
        }
    }
    assert!(refused > 8 && accepted > 0, "{refused} refused, {accepted} accepted");
}

/// The store fails at any point of the way: that is 500, and nothing is decided.
#[test]
fn a_store_that_fails_at_any_step() {
    let mut statuses = BTreeSet::new();
    for polls in 0.. {
        let stage = Stage::new();
        let request = stage.request();
        let handler = stage.resident.send_knock(stage.home.name.as_borrowed(), request.as_http());
        let mut handler = pin!(handler);
        if poll(&mut handler, polls).is_some() {
            break;
        }
        stage.resident.store.fail();
        let error = block_on(handler).unwrap_err();
        let expected = ErrorResponse::internal("The database does not answer");
        assert_eq!(error, expected, "{polls}");
        // Stored or not: both is possible, half of it is not.
        assert!(matches!(&*stage.memberships().concat(), "" | "knock"), "{polls}");
        statuses.insert(stage.memberships());
    }
    assert_eq!(statuses.len(), 2);
}

/// What a host spawns on an executor of many threads has to be `Send`.
#[test]
fn the_futures_can_be_sent() {
    const fn is_send<T: Send>(future: T) -> T {
        future
    }
    let stage = Stage::new();
    let request = stage.request();
    let origin = stage.home.name.as_borrowed();
    let answer = block_on(is_send(stage.resident.send_knock(origin, request.as_http())));
    assert!(answer.is_ok());
    drop(is_send(stage.resident.make_knock(origin, request.as_http())));
    drop(is_send(stage.network.send(
        origin,
        &Request {
            server: stage.resident.name.clone(),
            endpoint: Endpoint::MakeLeave { room_id: stage.room.id.clone(), user_id: KAY.parse().unwrap() },
        },
    )));
}
