//! What an event costs, of 1 KB and of 64 KB: canonical JSON, content hash, parsing, the event ID, verification and signing. The ID of the
//! smaller one beside ruma and beside bare SHA-256 of the same bytes; verification beside bare ed25519.
#![expect(clippy::unwrap_used, reason = "a benchmark, not a library")]

#[expect(dead_code, reason = "this bench takes a part of it")]
mod operations;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use matrix_knock::Ed25519;
use matrix_knock::event::{
    Ed25519Key, KeyValidity, KeysFn, Pdu, Sign as _, Verify, VerifyKey, content_hash, event_id, sign_event,
};
use matrix_knock::id::ServerName;
use matrix_knock::json::{CanonicalDialect, canonical};
use operations::id::{KNOCK, operation};
use operations::room::VERSION;

/// The same knock with so much in its content that it has nearly the 65,536 bytes that an event may have: text and numbers in small
/// objects.
fn large() -> String {
    let entries: Vec<String> = (0..760)
        .map(|number| {
            format!(
                r#""key{number}": {{"text":"Räksmörgås number {number}","list":[{number}, 2,3],"flag":true,"a":"b\n"}}"#
            )
        })
        .collect();
    // The recorded hash is of the smaller one.
    let unhashed = KNOCK.replacen(r#""hashes":{"sha256":"KdoQXMysu5htYQ8u/MPclBS7boTmafGH/CqcwEpu4Dk"},"#, "", 1);
    assert!(unhashed.len() < KNOCK.len());
    unhashed.replacen(r#""content":{"#, &format!(r#""content":{{{},"#, entries.join(",")), 1)
}

fn ids(criterion: &mut Criterion) {
    let operation = operation();
    let mut group = criterion.benchmark_group("event/id");
    group.throughput(Throughput::Bytes(KNOCK.len().try_into().unwrap()));
    group.bench_function("ours", |bencher| bencher.iter(|| operation.ours.run(1)));
    group.bench_function("ruma", |bencher| bencher.iter(|| operation.peer.run(1)));
    group.bench_function("sha256", |bencher| bencher.iter(|| operation.limit.iter().for_each(|side| side.run(1))));
    group.finish();
}

fn events(criterion: &mut Criterion) {
    let key = Ed25519Key::from_seed("ed25519:1", &[7; 32]).unwrap();
    let server = ServerName::parse("hs2.test:28448").unwrap();
    let public_key = key.public_key();
    let keys = KeysFn(|_: &str, key_id: &str| {
        (key_id == "ed25519:1").then_some(VerifyKey { public_key, validity: KeyValidity::Forever })
    });
    let verify = |text: &str| {
        let formatted = Pdu::parse(text).unwrap().check_format(VERSION).unwrap();
        formatted.check_signatures(&keys, &Ed25519, 0).unwrap().check_hash().is_ok()
    };
    let mut group = criterion.benchmark_group("event");
    for (size, text) in [("1KB", KNOCK.to_owned()), ("64KB", large())] {
        let sorted = canonical(&text, CanonicalDialect::Strict).unwrap();
        assert!(sorted.len() <= 65_536);
        let signed = sign_event(VERSION, &text, server, &key).unwrap();
        assert!(verify(signed.text()));
        let signature = key.sign(sorted.as_bytes());
        group.throughput(Throughput::Bytes(text.len().try_into().unwrap()));
        group.bench_function(BenchmarkId::new("canonical/as_written", size), |bencher| {
            bencher.iter(|| canonical(black_box(&text), CanonicalDialect::Strict));
        });
        group.bench_function(BenchmarkId::new("canonical/sorted", size), |bencher| {
            bencher.iter(|| canonical(black_box(&sorted), CanonicalDialect::Strict));
        });
        group.bench_function(BenchmarkId::new("content_hash", size), |bencher| {
            bencher.iter(|| content_hash(VERSION, black_box(&text)));
        });
        group.bench_function(BenchmarkId::new("parse", size), |bencher| {
            bencher.iter(|| Pdu::parse(black_box(&text)).is_ok());
        });
        group.bench_function(BenchmarkId::new("event_id", size), |bencher| {
            bencher.iter(|| event_id(VERSION, black_box(&text)));
        });
        group.bench_function(BenchmarkId::new("verify", size), |bencher| {
            bencher.iter(|| verify(black_box(signed.text())));
        });
        group.bench_function(BenchmarkId::new("verify/bare_ed25519", size), |bencher| {
            bencher.iter(|| Ed25519.verify(&public_key, black_box(sorted.as_bytes()), &signature));
        });
        group.bench_function(BenchmarkId::new("sign", size), |bencher| {
            bencher.iter(|| sign_event(VERSION, black_box(&text), server, &key));
        });
    }
    group.finish();
}

criterion_group!(benches, ids, events);
criterion_main!(benches);
