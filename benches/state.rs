//! What stripped state costs: by look-up, out of a pile of JSON texts of about 800 bytes each, out of a pile of events. And the pending
//! knocks out of such a pile of texts.
//!
//! The texts are 100,000 (80 MB), and with `--test` 1,000; `MATRIX_KNOCK_BENCH_EVENTS` says otherwise: 1000000 takes 1.2 GB of memory.
//! The events are ten times as many.
#![expect(clippy::unwrap_used, reason = "a benchmark, not a library")]

#[expect(dead_code, reason = "this bench takes a part of it")]
mod operations;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use matrix_knock::id::UserId;
use matrix_knock::state::Snapshot;
use matrix_knock::stripped_state::{for_client, reads_for_client};
use operations::Operation;
use operations::room::{Stored, WAITING, events};
use operations::stripped::{Form, lookup, pending, raw_texts};

fn state(criterion: &mut Criterion) {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let count = std::env::var("MATRIX_KNOCK_BENCH_EVENTS").ok().and_then(|events| events.parse().ok());
    let count: u32 = count.unwrap_or(if is_test { 1_000 } else { 100_000 });
    let texts = usize::try_from(count).unwrap();

    let operation = lookup();
    let mut group = criterion.benchmark_group("stripped/lookup");
    group.bench_function("ours", |bencher| bencher.iter(|| operation.ours.run(1)));
    group.bench_function("ruma", |bencher| bencher.iter(|| operation.peer.run(1)));
    group.finish();

    let piles: [(&str, &dyn Fn() -> Operation); 3] = [
        ("stripped/raw_texts", &|| raw_texts(texts, Form::Federation)),
        ("stripped/raw_texts_with_unsigned", &|| raw_texts(texts, Form::Unsigned)),
        ("pending/raw_texts", &|| pending(texts)),
    ];
    for (name, make) in piles {
        let operation = make();
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(count.into()));
        group.sample_size(10);
        group.bench_function("ours", |bencher| bencher.iter(|| operation.ours.run(1)));
        group.bench_function("ruma", |bencher| bencher.iter(|| operation.peer.run(1)));
        group.bench_function("memchr", |bencher| bencher.iter(|| operation.limit.iter().for_each(|side| side.run(1))));
        group.finish();
    }

    let events: Vec<Stored<'_>> = events(texts.saturating_mul(10), 5, "knock").collect();
    let user = UserId::parse(WAITING).unwrap();
    let reads = reads_for_client(user);
    let shown = || for_client(&Snapshot::of_events(&reads, black_box(&events)), user);
    assert_eq!(shown().unwrap().len(), 3);
    let mut group = criterion.benchmark_group("stripped/events");
    group.throughput(Throughput::Elements(u64::from(count).saturating_mul(10)));
    group.sample_size(10);
    group.bench_function("ours", |bencher| bencher.iter(shown));
    group.finish();
}

criterion_group!(benches, state);
criterion_main!(benches);
