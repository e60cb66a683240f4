//! What a decision costs: on the plain path, in a compiled room, by ruma; in rooms of 100, 10,000 and 1,000,000 members, and with 5, 500
//! and 5,000 users in the power levels. With `--test` the rooms are small.
#![expect(clippy::unwrap_used, reason = "a benchmark, not a library")]

#[expect(dead_code, reason = "this bench takes a part of it")]
mod operations;

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use operations::decision::{DECISIONS, compile, is_allowed, is_allowed_by_ruma, is_allowed_compiled};
use operations::room::Room;

fn decisions(criterion: &mut Criterion) {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let [many, all] = if is_test { [200, 1_000] } else { [10_000, 1_000_000] };
    let sizes = [(100, 5), (100, 500), (100, 5_000), (many, 5), (all, 5)];
    let rooms = sizes.map(|(members, levels)| (members, levels, "knock"));
    for (members, levels, join_rule) in rooms.into_iter().chain([(100, 5, "restricted"), (100, 500, "restricted")]) {
        let room = Room::new(members, levels, join_rule);
        let compiled = compile(room);
        let size = format!("{members}_members_{levels}_levels");
        for decision in DECISIONS.iter().filter(|decision| decision.join_rule == join_rule) {
            let event = &decision.event;
            assert_eq!(is_allowed(event, room), decision.allowed);
            assert_eq!(is_allowed_compiled(event, room, &compiled), decision.allowed);
            assert_eq!(is_allowed_by_ruma(event, room), decision.allowed);
            let mut group = criterion.benchmark_group(format!("auth/{}", decision.name));
            group.bench_function(BenchmarkId::new("plain", &size), |bencher| bencher.iter(|| is_allowed(event, room)));
            group.bench_function(BenchmarkId::new("compiled", &size), |bencher| {
                bencher.iter(|| is_allowed_compiled(event, room, &compiled));
            });
            group.bench_function(BenchmarkId::new("ruma", &size), |bencher| {
                bencher.iter(|| is_allowed_by_ruma(event, room));
            });
            group.finish();
        }
    }
}

criterion_group! {
    name = benches;
    // There are many of them.
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = decisions
}
criterion_main!(benches);
