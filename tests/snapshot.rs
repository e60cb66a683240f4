//! Snapshots from a store that awaits, that fails, and that finds something else; and that the futures of a host can be sent to
//! another thread, whatever it awaits between two steps.
#![expect(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "a test that cannot be set up fails")]

#[cfg(feature = "ed25519")]
#[expect(dead_code, reason = "the example has a story to tell as well")]
#[path = "../examples/async_server.rs"]
mod async_server;
#[path = "snapshot/handlers.rs"]
mod handlers;
#[cfg(feature = "ed25519")]
#[path = "snapshot/hosts.rs"]
mod hosts;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use matrix_knock::RoomVersion;
use matrix_knock::auth::{AuthorizeError, Selection, authorize_proposal};
use matrix_knock::event::{Event, EventType, Membership, OwnedPdu, Proposal};
use matrix_knock::state::{NotLookedUp, Reads, RoomState, Snapshot};

fn is_send<T: Send>(_: &T) {}

/// Runs a future to its end. Returns what came of it, and how often it had to wait.
fn run<T>(future: impl Future<Output = T>) -> (T, usize) {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    let mut waits = 0;
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return (output, waits),
            Poll::Pending => waits += 1,
        }
    }
}

/// Gives way once.
async fn pause() {
    let mut is_ready = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut is_ready, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// The look-up of this number went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct StoreError(usize);

/// A store behind a connection.
#[derive(Default)]
struct Store {
    events: BTreeMap<(String, String), OwnedPdu>,
    fails_at: Option<usize>,
    asked: Mutex<Vec<String>>,
}

impl Store {
    fn of(texts: &[String]) -> Self {
        let events = texts.iter().map(|text| OwnedPdu::parse_stored(text).unwrap());
        let place = |event: &OwnedPdu| (event.event_type().into_owned(), event.state_key().unwrap().to_owned());
        Self { events: events.map(|event| (place(&event), event)).collect(), ..Self::default() }
    }

    async fn state_event(&self, event_type: &str, state_key: &str) -> Result<Option<OwnedPdu>, StoreError> {
        pause().await;
        let number = {
            let mut asked = self.asked.lock().unwrap();
            asked.push(format!("{event_type} {state_key}").trim_end().to_owned());
            asked.len() - 1
        };
        if self.fails_at == Some(number) {
            return Err(StoreError(number));
        }
        Ok(self.events.get(&(event_type.to_owned(), state_key.to_owned())).cloned())
    }

    /// As a host writes it.
    async fn fetch(&self, reads: &Reads) -> Result<Snapshot<OwnedPdu>, StoreError> {
        Snapshot::fetch(reads, async |event_type: EventType<'_>, state_key: &str| {
            self.state_event(event_type.as_str(), state_key).await
        })
        .await
    }
}

const KAY: &str = "@kay:b.example";
const KNOCK: Proposal<'static> = Proposal::of_oneself(KAY, Membership::Knock);
const ASKED: [&str; 4] = ["m.room.create", "m.room.power_levels", "m.room.member @kay:b.example", "m.room.join_rules"];

fn reads() -> Reads {
    Selection::of(RoomVersion::V11, &KNOCK).reads()
}

fn event(event_type: &str, state_key: &str, content: &str) -> String {
    format!(r#"{{"type":"{event_type}","state_key":"{state_key}","sender":"@alice:a.example","content":{content}}}"#)
}

fn room() -> Vec<String> {
    vec![
        event("m.room.create", "", "{}"),
        event("m.room.join_rules", "", r#"{"join_rule":"knock"}"#),
        event("m.room.name", "", r#"{"name":"Knock!"}"#),
    ]
}

#[test]
fn one_after_the_other() {
    let store = Store::of(&room());
    let (fetched, waits) = run(store.fetch(&reads()));
    let fetched = fetched.unwrap();
    assert_eq!((&store.asked.lock().unwrap()[..], waits), (&ASKED.map(str::to_owned)[..], 4));
    let filled = Snapshot::fill(&reads(), |event_type, state_key| {
        let place = (event_type.to_string(), state_key.to_owned());
        Ok::<_, StoreError>(store.events.get(&place).cloned())
    });
    assert_eq!(filled.as_ref(), Ok(&fetched));
    assert!(fetched.missing(&reads()).is_empty());
    // What the room does not have is absent, and what was not asked for is not known.
    assert_eq!(fetched.event(EventType::PowerLevels, ""), Ok(None));
    assert_eq!(fetched.event(EventType::Name, ""), Err(NotLookedUp::new(EventType::Name, "")));
    assert!(authorize_proposal(RoomVersion::V11, &KNOCK, &fetched).is_ok());
}

#[test]
fn the_first_failure_ends_it() {
    for failing in 0..ASKED.len() {
        let store = Store { fails_at: Some(failing), ..Store::of(&room()) };
        let (fetched, waits) = run(store.fetch(&reads()));
        assert_eq!(fetched, Err(StoreError(failing)));
        assert_eq!((&store.asked.lock().unwrap()[..], waits), (&ASKED.map(str::to_owned)[..=failing], failing + 1));
    }
    let store = Store { fails_at: Some(ASKED.len()), ..Store::of(&room()) };
    assert!(run(store.fetch(&reads())).0.is_ok());
}

/// A store that finds another event for one entry of each step: of another type, of another user, or no state event.
#[test]
fn another_event_than_was_asked_for() {
    let wrong = [
        event("m.room.name", "", "{}"),
        event("m.room.member", "@mallory:b.example", r#"{"membership":"join"}"#),
        r#"{"type":"m.room.create","sender":"@alice:a.example","content":{}}"#.to_owned(),
    ];
    let store = Store::of(&room());
    for wrong in wrong.map(|text| OwnedPdu::parse_stored(text).unwrap()) {
        for entry in reads().iter() {
            let fetched = run(Snapshot::fetch(&reads(), async |event_type: EventType<'_>, state_key: &str| {
                let found = store.state_event(event_type.as_str(), state_key).await?;
                Ok::<_, StoreError>(if (event_type, state_key) == entry { Some(wrong.clone()) } else { found })
            }));
            let fetched = fetched.0.unwrap();
            let unknown: Reads = [entry].into_iter().collect();
            assert_eq!(fetched.missing(&reads()), unknown);
            let verdict = authorize_proposal(RoomVersion::V11, &KNOCK, &fetched).map(|allowed| allowed.membership());
            // No verdict on a knock depends on the power levels.
            let expected = match entry.0 {
                EventType::PowerLevels => Ok(Membership::Knock),
                event_type => Err(AuthorizeError::NotLookedUp(NotLookedUp::new(event_type, entry.1))),
            };
            assert_eq!(verdict, expected);
        }
    }
}

#[test]
fn fetching_can_be_sent_to_another_thread() {
    let (store, reads) = (Store::of(&room()), reads());
    is_send(&store.fetch(&reads));
    is_send(&Snapshot::fetch(&reads, async |event_type: EventType<'_>, state_key: &str| {
        store.state_event(event_type.as_str(), state_key).await
    }));
    // Behind a pointer, as in a trait of a host's own.
    let boxed: std::pin::Pin<Box<dyn Future<Output = _> + Send + '_>> = Box::pin(store.fetch(&reads));
    let fetched = std::thread::scope(|scope| scope.spawn(|| run(boxed).0).join().unwrap());
    assert!(authorize_proposal(RoomVersion::V11, &KNOCK, &fetched.unwrap()).is_ok());
}
