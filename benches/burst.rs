//! 100,000 users knock on one room with 500 users in its power levels: all of them decided, one after the other. With `--test`, 100.
#![expect(clippy::unwrap_used, reason = "a benchmark, not a library")]

#[expect(dead_code, reason = "this bench takes a part of it")]
mod operations;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use operations::decision::{compile, is_allowed, is_allowed_by_ruma, is_allowed_compiled};
use operations::room::{Room, Stored, leaked, raw, stored};

fn burst(criterion: &mut Criterion) {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let count = if is_test { 100 } else { 100_000 };
    let room = Room::new(1_000, 500, "knock");
    let content = raw(r#"{"displayname":"Kay","membership":"knock","reason":"Let me in, please"}"#.to_owned());
    let knocks: Vec<Stored<'_>> = (0..count)
        .map(|number| leaked(format!("@knocker{number:06}:b.example")))
        .map(|user| stored("m.room.member", user, user, content))
        .collect();
    assert!(knocks.iter().all(|knock| is_allowed(knock, room) && is_allowed_by_ruma(knock, room)));

    let mut group = criterion.benchmark_group("burst");
    group.throughput(Throughput::Elements(count));
    group.sample_size(10);
    group.bench_function("plain", |bencher| {
        bencher.iter(|| knocks.iter().filter(|knock| is_allowed(knock, room)).count());
    });
    group.bench_function("compiled", |bencher| {
        bencher.iter(|| {
            let compiled = compile(room);
            knocks.iter().filter(|knock| is_allowed_compiled(knock, room, &compiled)).count()
        });
    });
    group.bench_function("ruma", |bencher| {
        bencher.iter(|| knocks.iter().filter(|knock| is_allowed_by_ruma(knock, room)).count());
    });
    group.finish();
}

criterion_group!(benches, burst);
criterion_main!(benches);
