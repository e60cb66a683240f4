//! What a decision costs: on the plain path and in a compiled room, in rooms of 100 and of 100,000 members, with 5 and
//! with 500 users in the power levels.
#![expect(clippy::unwrap_used, reason = "a benchmark, not a library")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use matrix_knock::auth::{CompiledRoom, authorize};
use matrix_knock::event::{Membership, Pdu, Proposal};
use matrix_knock::state::StateMap;
use matrix_knock::{NoVerifier, RoomVersion};

const VERSION: RoomVersion = RoomVersion::V10;
const MODERATOR: &str = "@moderator:a.example";
const KNOCKER: &str = "@knocker:b.example";

fn state_event(event_type: &str, state_key: &str, content: &str) -> String {
    format!(r#"{{"type":"{event_type}","state_key":"{state_key}","sender":"@founder:a.example","content":{content}}}"#)
}

fn room(members: usize, levels: usize) -> Vec<String> {
    let users: Vec<String> = (1..levels).map(|number| format!(r#""@user{number:07}:a.example":50"#)).collect();
    let levels = format!(r#"{{"ban":50,"kick":50,"users":{{"{MODERATOR}":100,{}}}}}"#, users.join(","));
    let mut texts = vec![
        state_event("m.room.create", "", r#"{"creator":"@founder:a.example","room_version":"10"}"#),
        state_event("m.room.join_rules", "", r#"{"join_rule":"knock"}"#),
        state_event("m.room.power_levels", "", &levels),
        state_event("m.room.member", MODERATOR, r#"{"membership":"join"}"#),
        state_event("m.room.member", KNOCKER, r#"{"membership":"knock"}"#),
    ];
    texts.extend((texts.len()..members).map(|number| {
        state_event(
            "m.room.member",
            &format!("@user{number:07}:a.example"),
            r#"{"displayname":"U","membership":"join"}"#,
        )
    }));
    texts
}

fn decisions(criterion: &mut Criterion) {
    for (members, levels) in [(100, 5), (100, 500), (100_000, 5)] {
        let texts = room(members, levels);
        let events: Vec<_> = texts.iter().map(|text| Pdu::parse_stored(text).unwrap()).collect();
        let state: StateMap<&Pdu<'_>> = events.iter().collect();
        let compiled = CompiledRoom::compile(VERSION, &state).unwrap();
        let size = format!("{members}_members_{levels}_levels");
        for (name, proposal) in [
            ("knock", Proposal::of_oneself(KNOCKER, Membership::Knock)),
            ("knock_refused", Proposal::of_oneself(MODERATOR, Membership::Knock)),
            ("accept", Proposal { sender: MODERATOR, target: KNOCKER, membership: Membership::Invite }),
            ("decline", Proposal { sender: MODERATOR, target: KNOCKER, membership: Membership::Leave }),
            ("ban", Proposal { sender: MODERATOR, target: KNOCKER, membership: Membership::Ban }),
        ] {
            let mut group = criterion.benchmark_group(format!("auth/{name}"));
            group.bench_function(BenchmarkId::new("plain", &size), |bencher| {
                bencher.iter(|| authorize(VERSION, black_box(&proposal), &state, &NoVerifier).is_ok());
            });
            group.bench_function(BenchmarkId::new("compiled", &size), |bencher| {
                bencher.iter(|| compiled.authorize(black_box(&proposal), &state, &NoVerifier).is_ok());
            });
            group.finish();
        }
    }
}

criterion_group!(benches, decisions);
criterion_main!(benches);
