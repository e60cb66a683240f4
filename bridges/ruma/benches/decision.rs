//! A ruma-shaped host's decision beside ruma's own, in one process and on the same map.
//!
//! The host keeps its events in a struct of ruma's types and its state in ruma-state-res's map. At
//! the end stands one line for each figure, a plain decimal: `ratio NAME ours/ruma`. Both sides
//! take turns for a number of rounds, of which each side's fastest counts: what else runs on the
//! machine can only slow a round down.
//!
//! | name | our look-up | ruma's look-up | our contents |
//! | --- | --- | --- | --- |
//! | `knock` | `matrix_knock_ruma::state::StateMap` | with a key made for it, as ruma-state-res does it itself | facts kept |
//! | `knock/one_look_up` | the same | ours | facts kept |
//! | `knock/unread` | the same | with a key made for it | read for each decision |
//! | `knock/owned_keys` | with a key made for it | with a key made for it | facts kept |
//! | `knock/compiled` | the same; create event, join rules and power levels read before | with a key made for it | facts kept |
//!
//! `look-ups NAME` is what the look-ups of the decision take alone, by `StateMap`: what no side can
//! do without.
//!
//! With `--test` every side runs once; `count NAME ours|ruma REPETITIONS` runs one side, for
//! callgrind (see `count.sh`).
#![expect(clippy::unwrap_used, reason = "a benchmark, not a library")]

use std::collections::HashMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion};
use matrix_knock::auth::{CompiledRoom, authorize};
use matrix_knock::event::{EventType, MemberFacts};
use matrix_knock::state::RoomState as _;
use matrix_knock::{NoVerifier, RoomVersion};
use matrix_knock_ruma::state::StateMap;
use ruma_common::room_version_rules::AuthorizationRules;
use ruma_common::{EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId};
use ruma_events::{StateEventType, TimelineEventType};
use ruma_state_res::check_state_dependent_auth_rules;
use serde_json::value::RawValue;

const MODERATOR: &str = "@moderator:a.example";
const WAITING: &str = "@waiting:b.example";
const STRANGER: &str = "@stranger:b.example";
const CREATOR: &str = "@founder:a.example";
const MEMBERS: usize = 1_000;

/// An event as ruma-based hosts keep it.
#[derive(Debug, Clone)]
struct PduEvent {
    event_id: OwnedEventId,
    room_id: OwnedRoomId,
    sender: OwnedUserId,
    kind: TimelineEventType,
    content: Box<RawValue>,
    state_key: Option<String>,
    prev_events: Vec<OwnedEventId>,
    auth_events: Vec<OwnedEventId>,
    member_facts: MemberFacts,
}

/// With the three bytes that our side has read of a member event, kept since it was read.
#[derive(Debug, Clone)]
struct Kept(PduEvent);

/// Without: our side reads the contents for every decision, as ruma does.
#[derive(Debug, Clone)]
struct Unread(PduEvent);

matrix_knock_ruma::impl_event! {
    impl Event for Kept |pdu| {
        event_type: &pdu.0.kind,
        state_key: pdu.0.state_key.as_deref(),
        sender: &pdu.0.sender,
        content: &pdu.0.content,
        room_id: Some(&*pdu.0.room_id),
        event_id: Some(&*pdu.0.event_id),
        prev_events: &pdu.0.prev_events,
        member_facts: pdu.0.member_facts,
    }
}

matrix_knock_ruma::impl_event! {
    impl Event for Unread |pdu| {
        event_type: &pdu.0.kind,
        state_key: pdu.0.state_key.as_deref(),
        sender: &pdu.0.sender,
        content: &pdu.0.content,
        room_id: Some(&*pdu.0.room_id),
        event_id: Some(&*pdu.0.event_id),
        prev_events: &pdu.0.prev_events,
    }
}

macro_rules! ruma_event {
    ($($host:ty),*) => {$(
        impl ruma_state_res::Event for $host {
            type Id = OwnedEventId;
            fn event_id(&self) -> &OwnedEventId {
                &self.0.event_id
            }
            fn room_id(&self) -> Option<&RoomId> {
                Some(&self.0.room_id)
            }
            fn sender(&self) -> &UserId {
                &self.0.sender
            }
            fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
                MilliSecondsSinceUnixEpoch(0_u8.into())
            }
            fn event_type(&self) -> &TimelineEventType {
                &self.0.kind
            }
            fn content(&self) -> &RawValue {
                &self.0.content
            }
            fn state_key(&self) -> Option<&str> {
                self.0.state_key.as_deref()
            }
            fn prev_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
                Box::new(self.0.prev_events.iter())
            }
            fn auth_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
                Box::new(self.0.auth_events.iter())
            }
            fn redacts(&self) -> Option<&OwnedEventId> {
                None
            }
            fn rejected(&self) -> bool {
                false
            }
        }
    )*};
}

ruma_event!(Kept, Unread);

fn pdu(kind: &str, state_key: &str, sender: &str, content: String) -> PduEvent {
    PduEvent {
        event_id: EventId::parse("$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg").unwrap().to_owned(),
        room_id: RoomId::parse("!room:a.example").unwrap().to_owned(),
        sender: UserId::parse(sender).unwrap().to_owned(),
        kind: kind.into(),
        member_facts: MemberFacts::of(&content),
        content: RawValue::from_string(content).unwrap(),
        state_key: Some(state_key.to_owned()),
        prev_events: vec![EventId::parse("$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zh").unwrap().to_owned()],
        auth_events: Vec::new(),
    }
}

/// The events of a room of so many members, with 5 or 500 users in its power levels.
fn room(members: usize, levels: usize, version: RoomVersion) -> Vec<PduEvent> {
    let user = |number: usize| format!("@user{number:07}:a.example");
    let users: Vec<String> = (1..levels).map(|number| format!(r#""{}":50"#, user(number))).collect();
    let levels = format!(
        r#"{{"ban":50,"events":{{"m.room.name":50,"m.room.power_levels":100}},"events_default":0,"invite":0,"kick":50,"redact":50,"state_default":50,"users":{{"{MODERATOR}":100,{}}},"users_default":0}}"#,
        users.join(",")
    );
    let mut events = vec![
        pdu("m.room.create", "", CREATOR, format!(r#"{{"creator":"{CREATOR}","room_version":"{version}"}}"#)),
        pdu("m.room.join_rules", "", CREATOR, r#"{"join_rule":"knock"}"#.to_owned()),
        pdu("m.room.power_levels", "", CREATOR, levels),
        pdu(
            "m.room.member",
            WAITING,
            WAITING,
            r#"{"displayname":"Wanda","membership":"knock","reason":"Let me in, please"}"#.to_owned(),
        ),
    ];
    let joined =
        r#"{"avatar_url":"mxc://a.example/SEsfnsuifSDFSSEF","displayname":"Alice Margatroid","membership":"join"}"#;
    events.push(pdu("m.room.member", MODERATOR, MODERATOR, joined.to_owned()));
    events.extend((1..members).map(|number| pdu("m.room.member", &user(number), &user(number), joined.to_owned())));
    events
}

type Map<E> = HashMap<(StateEventType, String), E>;

fn map<E>(events: &[PduEvent], wrap: fn(PduEvent) -> E) -> Map<E> {
    let key = |event: &PduEvent| (event.kind.to_string().into(), event.state_key.clone().unwrap());
    events.iter().map(|event| (key(event), wrap(event.clone()))).collect()
}

/// One way to do the work, so many times.
struct Side(Box<dyn Fn(u64)>);

impl Side {
    fn new(work: impl Fn() -> bool + 'static) -> Self {
        assert!(work(), "every decision in here is to allow");
        Self(Box::new(move |repetitions| {
            for _ in 0..repetitions {
                black_box(work());
            }
        }))
    }

    /// callgrind collects within this function only.
    #[inline(never)]
    fn run(&self, repetitions: u64) {
        (self.0)(black_box(repetitions));
    }
}

struct Operation {
    name: String,
    ours: Side,
    ruma: Side,
}

const VERSION: RoomVersion = RoomVersion::V10;
static RULES: AuthorizationRules = AuthorizationRules::V10;

/// The look-up that ruma's side is given.
#[derive(Clone, Copy)]
enum RumasLookUp {
    /// With a key made for it.
    OwnedKey,
    /// As ours, which copies no key.
    Ours,
}

/// Both sides over the same map.
fn plain<E>(
    look_up: RumasLookUp,
    name: &str,
    wrap: fn(PduEvent) -> E,
    events: &[PduEvent],
    change: &PduEvent,
) -> Operation
where
    E: matrix_knock::event::Event + ruma_state_res::Event + 'static,
{
    let room: &'static Map<E> = Box::leak(Box::new(map(events, wrap)));
    let change: &'static E = Box::leak(Box::new(wrap(change.clone())));
    let ours = move || authorize(VERSION, black_box(change), black_box(&StateMap(room)), &NoVerifier).is_ok();
    Operation { name: name.to_owned(), ours: Side::new(ours), ruma: by_ruma(look_up, change, room) }
}

fn by_ruma<E: ruma_state_res::Event>(look_up: RumasLookUp, change: &'static E, room: &'static Map<E>) -> Side {
    match look_up {
        RumasLookUp::OwnedKey => Side::new(move || {
            let room = black_box(room);
            let fetch = |kind: &StateEventType, key: &str| room.get(&(kind.clone(), key.to_owned()));
            check_state_dependent_auth_rules(&RULES, black_box(change), fetch).is_ok()
        }),
        RumasLookUp::Ours => Side::new(move || {
            let state = black_box(StateMap(room));
            check_state_dependent_auth_rules(&RULES, black_box(change), |kind, key| state.get(kind, key)).is_ok()
        }),
    }
}

/// With keys that are made for each look-up, on both sides: the host has no other way into its map.
fn with_owned_keys<E>(name: &str, wrap: fn(PduEvent) -> E, events: &[PduEvent], change: &PduEvent) -> Operation
where
    E: matrix_knock::event::Event + ruma_state_res::Event + 'static,
{
    let room: &'static Map<E> = Box::leak(Box::new(map(events, wrap)));
    let change: &'static E = Box::leak(Box::new(wrap(change.clone())));
    let state = Owned(room);
    let ours = move || authorize(VERSION, black_box(change), black_box(&state), &NoVerifier).is_ok();
    let ruma = by_ruma(RumasLookUp::OwnedKey, change, room);
    Operation { name: name.to_owned(), ours: Side::new(ours), ruma }
}

/// A look-up with a key made for it.
struct Owned<E: 'static>(&'static Map<E>);

impl<E: matrix_knock::event::Event> matrix_knock::state::RoomState for Owned<E> {
    type Event<'s> = &'s E;

    fn event(
        &self,
        event_type: matrix_knock::event::EventType<'_>,
        state_key: &str,
    ) -> Result<Option<&E>, matrix_knock::state::NotLookedUp> {
        Ok(self.0.get(&(matrix_knock_ruma::event::state_event_type(event_type), state_key.to_owned())))
    }
}

/// Ours in a compiled room, which has read create event, join rules and power levels before.
fn compiled(name: &str, events: &[PduEvent], change: &PduEvent) -> Operation {
    let room: &'static Map<Kept> = Box::leak(Box::new(map(events, Kept)));
    let change: &'static Kept = Box::leak(Box::new(Kept(change.clone())));
    let compiled = CompiledRoom::compile(VERSION, &StateMap(room)).unwrap();
    let ours =
        move || black_box(&compiled).authorize(black_box(change), black_box(&StateMap(room)), &NoVerifier).is_ok();
    Operation { name: name.to_owned(), ours: Side::new(ours), ruma: by_ruma(RumasLookUp::OwnedKey, change, room) }
}

fn operations(members: usize) -> Vec<Operation> {
    let small = room(members, 5, VERSION);
    let large = room(members, 500, VERSION);
    let member = |sender: &str, target: &str, content: &str| pdu("m.room.member", target, sender, content.to_owned());
    let knock =
        member(STRANGER, STRANGER, r#"{"displayname":"Kay","membership":"knock","reason":"Let me in, please"}"#);
    let accept = member(MODERATOR, WAITING, r#"{"displayname":"Wanda","membership":"invite"}"#);
    let decline = member(MODERATOR, WAITING, r#"{"membership":"leave","reason":"Not today"}"#);
    let mut operations = Vec::new();
    for (name, change, room) in [
        ("knock", &knock, &small),
        ("accept", &accept, &small),
        ("decline", &decline, &small),
        ("accept_500", &accept, &large),
    ] {
        operations.push(plain(RumasLookUp::OwnedKey, name, Kept, room, change));
        operations.push(plain(RumasLookUp::Ours, &format!("{name}/one_look_up"), Kept, room, change));
        operations.push(plain(RumasLookUp::OwnedKey, &format!("{name}/unread"), Unread, room, change));
        operations.push(with_owned_keys(&format!("{name}/owned_keys"), Kept, room, change));
        operations.push(compiled(&format!("{name}/compiled"), room, change));
    }
    operations
}

/// The look-ups that a decision makes, alone.
fn look_ups(members: usize) -> Vec<(&'static str, Side)> {
    let room: &'static Map<Kept> = Box::leak(Box::new(map(&room(members, 5, VERSION), Kept)));
    let (create, join_rules, levels) =
        ((EventType::Create, ""), (EventType::JoinRules, ""), (EventType::PowerLevels, ""));
    let side = |entries: &'static [(EventType<'static>, &'static str)]| {
        Side::new(move || {
            let state = black_box(StateMap(room));
            entries.iter().fold(true, |all, (event_type, key)| {
                black_box(state.event(*event_type, key).is_ok_and(|event| event.is_some())) | all
            })
        })
    };
    let knock = vec![create, join_rules, (EventType::Member, STRANGER)].leak();
    let accept = vec![create, (EventType::Member, MODERATOR), (EventType::Member, WAITING), levels].leak();
    vec![("knock", side(knock)), ("accept", side(accept))]
}

/// How long a side works in one round, and how many rounds there are.
const ROUND: Duration = Duration::from_millis(5);
const ROUNDS: u32 = 60;

fn ratios(operations: &[Operation]) {
    println!("# {:32} {:>10} {:>10}", "nanoseconds, the fastest round", "ours", "ruma");
    let mut lines = Vec::new();
    for Operation { name, ours, ruma } in operations {
        let sides = [ours, ruma];
        let repetitions = sides.map(repetitions);
        let mut fastest = [f64::INFINITY; 2];
        for _ in 0..ROUNDS {
            for ((side, repetitions), fastest) in sides.iter().zip(repetitions).zip(&mut fastest) {
                *fastest = fastest.min(time(side, repetitions).as_secs_f64() * 1e9 / f64::from(repetitions));
            }
        }
        println!("# {name:32} {:10.1} {:10.1}", fastest[0], fastest[1]);
        lines.push(format!("ratio {name} {:.3}", fastest[0] / fastest[1]));
    }
    for (name, side) in look_ups(MEMBERS) {
        let repetitions = repetitions(&side);
        let fastest = (0..ROUNDS).map(|_| time(&side, repetitions)).min().unwrap_or_default();
        println!("# look-ups {name:23} {:10.1}", fastest.as_secs_f64() * 1e9 / f64::from(repetitions));
    }
    lines.iter().for_each(|line| println!("{line}"));
}

fn repetitions(side: &Side) -> u32 {
    let mut repetitions = 1_u32;
    while time(side, repetitions) < ROUND {
        repetitions = repetitions.saturating_mul(2);
    }
    repetitions
}

fn time(side: &Side, repetitions: u32) -> Duration {
    let start = now();
    side.run(repetitions.into());
    start.elapsed()
}

#[expect(clippy::disallowed_methods, reason = "measuring is what this is for")]
fn now() -> Instant {
    Instant::now()
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["count", name, side, repetitions] => {
            let operation = operations(MEMBERS).into_iter().find(|operation| operation.name == *name).unwrap();
            let side = if *side == "ours" { operation.ours } else { operation.ruma };
            side.run(repetitions.parse().unwrap());
        }
        ["--test", ..] => operations(10).iter().for_each(|operation| {
            operation.ours.run(1);
            operation.ruma.run(1);
        }),
        [] => {
            let operations = operations(MEMBERS);
            let mut criterion = Criterion::default().warm_up_time(ROUND).measurement_time(Duration::from_millis(500));
            for Operation { name, ours, ruma } in &operations {
                let mut group = criterion.benchmark_group(name.as_str());
                for (side, work) in [("ours", ours), ("ruma", ruma)] {
                    group.bench_function(BenchmarkId::from_parameter(side), |bencher| {
                        bencher.iter_custom(|repetitions| {
                            let start = now();
                            work.run(repetitions);
                            start.elapsed()
                        });
                    });
                }
                group.finish();
            }
            ratios(&operations);
        }
        _ => ratios(&operations(MEMBERS)),
    }
}
