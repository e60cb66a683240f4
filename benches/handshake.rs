//! What the handshake costs: `send_knock` from text to accepted beside bare ed25519 verification of the same bytes and beside the parts
//! that ruma has for the same work; `make_knock`; a template read and written anew; the state that comes back.
#![expect(clippy::unwrap_used, reason = "a benchmark, not a library")]

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use matrix_knock::auth::Standing;
use matrix_knock::event::{
    Ed25519Key, Event, KeyValidity, Pdu, Sign, Verify, VerifyKey, redact, sign_event, without_event_id,
};
use matrix_knock::handshake::arrival::KnockRoomState;
use matrix_knock::handshake::proposed::{Asked, Details, ProposedEvent};
use matrix_knock::handshake::resident::{Decision, MakeKnock, Residence, ResidentRoom};
use matrix_knock::handshake::submission::{Named, PolicyVerdict, SendKnock};
use matrix_knock::handshake::template::PrevEvent;
use matrix_knock::id::{EventId, RoomId, ServerName, UserId};
use matrix_knock::json::{CanonicalDialect, canonical};
use matrix_knock::state::StateMap;
use matrix_knock::{Ed25519, RoomVersion};
use ruma_common::CanonicalJsonObject;
use ruma_common::room_version_rules::RoomVersionRules;
use ruma_signatures::{PublicKeyMap, Verified};

const VERSION: RoomVersion = RoomVersion::V10;
const ROOM: &str = "!mdzTZKjFFTCZKQSMlf:a.example:8448";
const KNOCKER: &str = "@kay:b.example:8448";
const NOW: u64 = 1_795_320_483_644;

/// The events of a small room, signed, with notes of their IDs.
fn state_events(key: &Ed25519Key) -> Vec<String> {
    let mut previous: Option<String> = None;
    let contents = [
        ("m.room.create", "", r#"{"creator":"@alice:a.example:8448","room_version":"10"}"#),
        ("m.room.member", "@alice:a.example:8448", r#"{"displayname":"Alice","membership":"join"}"#),
        ("m.room.power_levels", "", r#"{"ban":50,"invite":0,"kick":50,"users":{"@alice:a.example:8448":100}}"#),
        ("m.room.join_rules", "", r#"{"join_rule":"knock"}"#),
        ("m.room.name", "", r#"{"name":"Knock knock"}"#),
        ("m.room.topic", "", r#"{"topic":"Who is there?"}"#),
    ];
    let server = ServerName::parse("a.example:8448").unwrap();
    let mut events = Vec::new();
    for (depth, (event_type, state_key, content)) in (1_u32..).zip(contents) {
        let prev_events = previous.as_ref().map(|id| format!(r#""{id}""#)).unwrap_or_default();
        let text = format!(
            r#"{{"auth_events":[],"content":{content},"depth":{},"origin_server_ts":{NOW},"prev_events":[{prev_events}],
            "room_id":"{ROOM}","sender":"@alice:a.example:8448","state_key":"{state_key}","type":"{event_type}"}}"#,
            depth
        );
        let signed = sign_event(VERSION, &text, server, key).unwrap();
        previous = Some(signed.event_id().to_owned());
        events.push(signed.text().replacen('{', &format!(r#"{{"event_id":"{}","#, signed.event_id()), 1));
    }
    events
}

fn handshake(criterion: &mut Criterion) {
    let (theirs, key) =
        (Ed25519Key::from_seed("ed25519:1", &[1; 32]), Ed25519Key::from_seed("ed25519:a_mdJa", &[7; 32]));
    let texts = state_events(&theirs);
    let events: Vec<_> = texts.iter().map(|text| Pdu::parse_stored(text).unwrap()).collect();
    let state: StateMap<&Pdu<'_>> = events.iter().collect();
    let room_id = RoomId::parse(ROOM).unwrap();
    let room = ResidentRoom { room_id, version: VERSION, residence: Residence::Joined, state: &state };
    let origin = ServerName::parse("b.example:8448").unwrap();
    let last = Event::event_id(events.last().unwrap()).unwrap();
    let last = PrevEvent { event_id: EventId::parse(last).unwrap(), depth: 6 };

    let make_knock = || {
        let request = MakeKnock { user_id: KNOCKER, origin, versions: &["7", "8", "9", "10", "11", "12"] };
        let admitted = request.check(Some(&room)).unwrap().decide(Decision::Admit).unwrap();
        admitted.template(&[last], NOW).unwrap().to_response()
    };
    let answer = make_knock();
    let user_id = UserId::parse(KNOCKER).unwrap();
    let details = Details {
        reason: Some("Let me in, please".to_owned()),
        displayname: Some("Kay 🔔".to_owned()),
        avatar_url: None,
    };
    let fill = |answer: &str| {
        ProposedEvent::read(Asked::Knock(&[VERSION]), room_id, user_id, answer).unwrap().to_event(&details, origin, NOW)
    };
    let knock = sign_event(VERSION, &fill(&answer), origin, &key).unwrap();
    let (public_key, their_key) = (key.public_key(), theirs.public_key());
    let keys = |server: &str, _key_id: &str| {
        let public_key = if server == origin.as_str() { public_key } else { their_key };
        Some(VerifyKey { public_key, validity: KeyValidity::Forever })
    };
    let received = SendKnock { event_id: knock.event_id(), origin, body: knock.text() }.check(Some(&room)).unwrap();
    let verified = received.verify(&keys, &Ed25519, NOW).unwrap();
    let named: Vec<Named<&Pdu<'_>>> = verified
        .auth_events()
        .filter_map(|id| events.iter().find(|event| Event::event_id(*event) == Some(id)))
        .map(|event| Named { event, standing: Standing::Accepted })
        .collect();
    assert_eq!(named.len(), 3);
    let send_knock = |body: &str| {
        let received = SendKnock { event_id: knock.event_id(), origin, body }.check(Some(&room)).unwrap();
        let verified = received.verify(&keys, &Ed25519, NOW).unwrap();
        let permitted = verified.authorize(&named, &state).unwrap();
        permitted.accept(PolicyVerdict::NotUsed, Decision::Admit).is_ok()
    };
    assert!(send_knock(knock.text()));

    let signed = canonical(&redact(VERSION, knock.text()).unwrap(), CanonicalDialect::Strict).unwrap();
    let mut essential: serde_json::Value = serde_json::from_str(&signed).unwrap();
    essential.as_object_mut().unwrap().remove("signatures");
    let message = serde_json::to_string(&essential).unwrap();
    let signature = key.sign(message.as_bytes());
    let rules = RoomVersionRules::V10;
    let ruma_keys: PublicKeyMap = BTreeMap::from([(
        origin.as_str().to_owned(),
        BTreeMap::from([("ed25519:a_mdJa".to_owned(), ruma_common::serde::Base64::new(public_key.to_vec()))]),
    )]);
    let ruma = |body: &str| {
        let object: CanonicalJsonObject = serde_json::from_str(body).unwrap();
        ruma_state_res::check_pdu_format(&object, &rules.event_format).unwrap();
        let id = ruma_signatures::reference_hash(&object, &rules).unwrap();
        assert!(matches!(ruma_signatures::verify_event(&ruma_keys, &object, &rules), Ok(Verified::All)));
        id
    };
    assert_eq!(format!("${}", ruma(knock.text())), knock.event_id());
    struct Trusting;
    impl Verify for Trusting {
        fn verify(&self, _: &[u8; 32], _: &[u8], _: &[u8; 64]) -> bool {
            true
        }
    }

    let mut group = criterion.benchmark_group("handshake/send_knock");
    group.bench_function("ours", |bencher| bencher.iter(|| send_knock(black_box(knock.text()))));
    group.bench_function("ours_without_the_curve", |bencher| {
        bencher.iter(|| {
            let request = SendKnock { event_id: knock.event_id(), origin, body: black_box(knock.text()) };
            let verified = request.check(Some(&room)).unwrap().verify(&keys, &Trusting, NOW).unwrap();
            verified.authorize(&named, &state).unwrap().accept(PolicyVerdict::NotUsed, Decision::Admit).is_ok()
        });
    });
    group.bench_function("bare_ed25519", |bencher| {
        bencher.iter(|| Ed25519.verify(&public_key, black_box(message.as_bytes()), &signature));
    });
    group.bench_function("ruma_without_the_rules", |bencher| bencher.iter(|| ruma(black_box(knock.text()))));
    group.finish();

    let sent: Vec<String> = texts.iter().map(|text| without_event_id(VERSION, text).unwrap()).collect();
    let list = format!("[{}]", sent.join(","));
    let mut group = criterion.benchmark_group("handshake");
    group.bench_function("make_knock", |bencher| bencher.iter(make_knock));
    group.bench_function("template", |bencher| bencher.iter(|| fill(black_box(&answer))));
    group.bench_function("arrival_of_6_events", |bencher| {
        bencher.iter(|| KnockRoomState::of_list(black_box(&list)).verify(VERSION, room_id, &keys, &Ed25519, NOW));
    });
    group.finish();
}

criterion_group!(benches, handshake);
criterion_main!(benches);
