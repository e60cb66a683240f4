//! What the handshake costs: `send_knock` and the receipt of a knock, from text to accepted, beside
//! bare ed25519 verification of the same event and beside ruma's parts for the same work; an invite,
//! checked and countersigned, likewise; `make_knock`; a template read and written anew; the state that
//! comes back, filtered.
#![expect(clippy::unwrap_used, reason = "a benchmark, not a library")]

#[expect(dead_code, reason = "this bench takes a part of it")]
mod operations;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use matrix_knock::Ed25519;
use matrix_knock::event::{Sign, Verify, without_event_id};
use matrix_knock::id::{KeyId, RoomId};
use matrix_knock::knocking::room_state::ReceivedRoomState;
use operations::exchange::{Exchange, NOW, ROOM, operation, receipt};
use operations::invite::{self, Invited};
use operations::room::VERSION;

/// Believes everything, in no time.
struct Trusting;

impl Verify for Trusting {
    fn verify(&self, _: &[u8; 32], _: &[u8], _: &[u8; 64]) -> bool {
        true
    }
}

/// Signs everything, in no time.
struct Idle;

impl Sign for Idle {
    fn key_id(&self) -> KeyId<'_> {
        KeyId::parse("ed25519:1").unwrap()
    }

    fn sign(&self, _: &[u8]) -> [u8; 64] {
        [0; 64]
    }
}

fn handshake(criterion: &mut Criterion) {
    let exchange = Exchange::new();
    let operation = operation();
    let mut group = criterion.benchmark_group("handshake/send_knock");
    group.bench_function("ours", |bencher| bencher.iter(|| operation.ours.run(1)));
    group.bench_function("ours_without_the_curve", |bencher| bencher.iter(|| exchange.send_knock(&Trusting)));
    group.bench_function("ruma", |bencher| bencher.iter(|| operation.peer.run(1)));
    group.bench_function("bare_ed25519", |bencher| {
        bencher.iter(|| operation.limit.iter().for_each(|side| side.run(1)));
    });
    group.finish();

    let operation = receipt();
    let mut group = criterion.benchmark_group("handshake/receive");
    group.bench_function("ours", |bencher| bencher.iter(|| operation.ours.run(1)));
    group.bench_function("ours_without_the_curve", |bencher| bencher.iter(|| exchange.receive(&Trusting)));
    group.bench_function("ruma", |bencher| bencher.iter(|| operation.peer.run(1)));
    group.bench_function("bare_ed25519", |bencher| {
        bencher.iter(|| operation.limit.iter().for_each(|side| side.run(1)));
    });
    group.finish();

    let operation = invite::operation();
    let invited = Invited::new();
    let mut group = criterion.benchmark_group("handshake/invite");
    group.bench_function("ours", |bencher| bencher.iter(|| operation.ours.run(1)));
    group.bench_function("ours_without_the_curve", |bencher| bencher.iter(|| invited.sign(&Trusting, &Idle)));
    group.bench_function("ruma", |bencher| bencher.iter(|| operation.peer.run(1)));
    group.bench_function("bare_ed25519", |bencher| {
        bencher.iter(|| operation.limit.iter().for_each(|side| side.run(1)));
    });
    group.finish();

    let sent: Vec<String> = exchange.texts.iter().map(|text| without_event_id(VERSION, text).unwrap()).collect();
    let list = format!("[{}]", sent.join(","));
    let room_id = RoomId::parse(ROOM).unwrap();
    let filter = || ReceivedRoomState::of_list(black_box(&list)).verify(VERSION, room_id, exchange, &Ed25519, NOW);
    assert_eq!(filter().shown().len(), exchange.texts.len());
    let mut group = criterion.benchmark_group("handshake");
    group.bench_function("make_knock", |bencher| bencher.iter(|| exchange.make_knock()));
    group.bench_function("template", |bencher| bencher.iter(|| exchange.fill()));
    group.bench_function("filter_of_6_events", |bencher| bencher.iter(filter));
    group.finish();
}

criterion_group!(benches, handshake);
criterion_main!(benches);
