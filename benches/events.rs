//! What an event costs: from text to event ID beside ruma and beside bare SHA-256 over the same bytes, canonical JSON,
//! content hash, verification and signing.
#![expect(clippy::unwrap_used, reason = "a benchmark, not a library")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use matrix_knock::event::{
    Ed25519Key, KeyValidity, Pdu, Sign as _, Verify, VerifyKey, content_hash, event_id, redact, sign_event,
};
use matrix_knock::id::ServerName;
use matrix_knock::json::{CanonicalDialect, canonical};
use matrix_knock::{Ed25519, RoomVersion};
use ruma_common::CanonicalJsonObject;
use ruma_common::room_version_rules::RoomVersionRules;
use sha2::{Digest as _, Sha256};

const VERSION: RoomVersion = RoomVersion::V10;
/// A recorded knock, about 1 KB.
const KNOCK: &str = include_str!("knock.json");

fn ruma_event_id(text: &str) -> String {
    let object: CanonicalJsonObject = serde_json::from_str(text).unwrap();
    format!("${}", ruma_signatures::reference_hash(&object, &RoomVersionRules::V10).unwrap())
}

/// An event of 64 KB, most of it text and numbers in nested objects.
fn large() -> String {
    let entries: Vec<String> = (0..600)
        .map(|number| {
            format!(
                r#""key{number}": {{"text":"Räksmörgås number {number}","list":[{number}, 2,3],"flag":true,"a":"b\n"}}"#
            )
        })
        .collect();
    format!(r#"{{"type":"org.example","content":{{{}}}}}"#, entries.join(","))
}

fn ids(criterion: &mut Criterion) {
    assert_eq!(event_id(VERSION, KNOCK).unwrap(), ruma_event_id(KNOCK));
    let hashed = canonical(&redact(VERSION, KNOCK).unwrap(), CanonicalDialect::Strict).unwrap();
    let mut group = criterion.benchmark_group("event/id");
    group.throughput(Throughput::Bytes(KNOCK.len().try_into().unwrap()));
    group.bench_function("ours", |bencher| bencher.iter(|| event_id(VERSION, black_box(KNOCK))));
    group.bench_function("ruma", |bencher| bencher.iter(|| ruma_event_id(black_box(KNOCK))));
    group.bench_function("sha256", |bencher| bencher.iter(|| Sha256::digest(black_box(hashed.as_bytes()))));
    group.finish();
}

fn canonical_json(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("event/canonical");
    for (name, text) in [("1KB", KNOCK.to_owned()), ("64KB", large())] {
        let sorted = canonical(&text, CanonicalDialect::Strict).unwrap();
        group.throughput(Throughput::Bytes(text.len().try_into().unwrap()));
        group.bench_function(format!("{name}/as_written"), |bencher| {
            bencher.iter(|| canonical(black_box(&text), CanonicalDialect::Strict));
        });
        group.throughput(Throughput::Bytes(sorted.len().try_into().unwrap()));
        group.bench_function(format!("{name}/sorted"), |bencher| {
            bencher.iter(|| canonical(black_box(&sorted), CanonicalDialect::Strict));
        });
    }
    group.finish();
}

fn checks(criterion: &mut Criterion) {
    let key = Ed25519Key::from_seed("ed25519:1", &[7; 32]);
    let server = ServerName::parse("hs2.test:28448").unwrap();
    let signed = sign_event(VERSION, KNOCK, server, &key).unwrap();
    let public_key = key.public_key();
    let keys = |_: &str, key_id: &str| {
        (key_id == "ed25519:1").then_some(VerifyKey { public_key, validity: KeyValidity::Forever })
    };
    let verify = |text: &str| {
        let formatted = Pdu::parse(text).unwrap().check_format(VERSION).unwrap();
        formatted.check_signatures(&keys, &Ed25519, 0).unwrap().check_hash().is_ok()
    };
    let mut group = criterion.benchmark_group("event");
    group.bench_function("content_hash", |bencher| bencher.iter(|| content_hash(VERSION, black_box(KNOCK))));
    group.bench_function("parse", |bencher| bencher.iter(|| Pdu::parse(black_box(KNOCK)).is_ok()));
    group.bench_function("verify/ours", |bencher| bencher.iter(|| verify(black_box(signed.text()))));
    let signature = key.sign(KNOCK.as_bytes());
    group.bench_function("verify/bare_ed25519", |bencher| {
        bencher.iter(|| Ed25519.verify(&public_key, black_box(KNOCK.as_bytes()), &signature));
    });
    group.bench_function("sign", |bencher| bencher.iter(|| sign_event(VERSION, black_box(KNOCK), server, &key)));
    group.finish();
}

criterion_group!(benches, ids, canonical_json, checks);
criterion_main!(benches);
