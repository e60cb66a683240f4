//! What hostile sizes cost where servers and clients that are not to be trusted are read: upper
//! bounds on memory and allocations, asserted; times are printed for whoever reads
//! (`cargo test --test hostile_sizes -- --nocapture --test-threads 1`).
#![cfg(feature = "ed25519")]
#![expect(clippy::expect_used, reason = "a test that cannot be set up fails")]

#[path = "oracle/within.rs"]
mod within;

use matrix_knock::event::{Ed25519Key, KeyValidity, KeysFn, Pdu, VerifyKey, sign_event, transaction_pdus};
use matrix_knock::id::{RoomId, ServerName};
use matrix_knock::knocking::room_state::{ReceivedRoomState, VerifiedRoomState};
use matrix_knock::pending::{PendingKnocks, Update};
use matrix_knock::sync::KnockSection;
use matrix_knock::{Ed25519, RoomVersion};
use serde_json::{Value, json};
use within::within;

const NOW: u64 = 1_700_000_000_000;
const ROOM: &str = "!r:a.example";

fn key() -> Ed25519Key {
    Ed25519Key::from_seed("ed25519:1", &[7; 32]).expect("a key ID")
}

/// A state event of the room, signed by its server.
fn signed(event_type: &str, content: &Value) -> String {
    let event = json!({ "type": event_type, "state_key": "", "sender": "@a:a.example", "room_id": ROOM,
        "content": content, "auth_events": [], "prev_events": [], "depth": 1, "origin_server_ts": 1 });
    let server = ServerName::parse("a.example").expect("a server name");
    sign_event(RoomVersion::V10, &event.to_string(), server, &key()).expect("an event").into_text()
}

/// So many levels of lists.
fn deep(levels: usize) -> String {
    format!("{}{}", "[".repeat(levels), "]".repeat(levels))
}

/// Reads and verifies the answer to `send_knock`: how many are verified, unverified, dropped.
fn arrive(what: &str, answer: &str, bytes: u64, count: u64) -> [usize; 3] {
    let state = within(what, bytes, count, || verified(&ReceivedRoomState::of_answer(answer)));
    outcome(&state)
}

fn verified(received: &ReceivedRoomState) -> VerifiedRoomState {
    let public_key = key().public_key();
    let keys = KeysFn(|_: &str, _: &str| Some(VerifyKey { public_key, validity: KeyValidity::Forever }));
    let room_id = RoomId::parse(ROOM).expect("a room ID");
    assert!(received.wanted_keys(RoomVersion::V10).len() <= 100);
    received.verify(RoomVersion::V10, room_id, &keys, &Ed25519, NOW)
}

fn outcome(state: &VerifiedRoomState) -> [usize; 3] {
    [state.shown().len(), state.unverified().len(), state.dropped().count()]
}

#[test]
fn room_states() {
    let body = |entries: &[String]| format!(r#"{{"knock_room_state":[{}]}}"#, entries.join(","));
    let many = |event: &dyn Fn(usize) -> String, count: usize| (0..count).map(event).collect::<Vec<_>>();
    let whole = |bytes: usize| move |number: usize| signed(&format!("x.{number}"), &json!({ "x": "x".repeat(bytes) }));
    let large = many(&whole(50_000), 1_000);
    let answer = body(&large);
    assert!(answer.len() > 50_000_000);
    // An answer of more than 8 MiB gives no state at all.
    assert_eq!(arrive("1,000 signed events of 50 KB, 50 MB", &answer, 100, 5), [0, 0, 0]);
    // A host with a typed client hands entries over, of which the first hundred are looked at.
    let state = within("the same, entry by entry", 15_000_000, 4_000, || {
        verified(&ReceivedRoomState::of_entries(large.iter().map(String::as_str)))
    });
    assert_eq!(outcome(&state), [100, 0, 900]);
    let answer = body(&many(&whole(7_500), 1_000));
    assert_eq!(arrive("1,000 signed events of 8 KB, 8 MB", &answer, 2_500_000, 4_000), [100, 0, 900]);

    // The same events with other contents: their hashes do not hold, and they count as redacted.
    let redacted = |number: usize| whole(7_500)(number).replacen("xxx", "yyy", 1);
    let answer = body(&many(&redacted, 1_000));
    assert_eq!(arrive("1,000 events whose hash is wrong, 8 MB", &answer, 1_500_000, 5_000), [100, 0, 900]);

    let stripped = |more: &str, number: usize| {
        format!(r#"{{"type":"x.{number}","state_key":"","sender":"@a:a.example","content":{{{more}}}}}"#)
    };
    let long = format!(r#""x":"{}""#, "x".repeat(65_000));
    let answer = body(&many(&|number| stripped(&long, number), 100));
    assert_eq!(arrive("100 events of four keys of 64 KB", &answer, 20_000_000, 1_500), [0, 100, 0]);
    let levels = format!(r#""x":{}"#, deep(126));
    let answer = body(&many(&|number| stripped(&levels, number), 1_000));
    assert_eq!(arrive("1,000 events of four keys of 128 levels", &answer, 120_000, 1_500), [0, 0, 1_000]);
    let answer = body(&many(&|number| stripped("", number % 2), 50_000));
    assert_eq!(arrive("50,000 events of four keys, two of them", &answer, 50_000, 1_500), [0, 2, 49_998]);

    // What is no part of an event costs no more than to be skipped.
    let event = whole(10)(0);
    let signed = event.strip_prefix('{').expect("an object");
    let entry = format!(r#"{{"unsigned":{{"x":"{}","age":1.5}},{signed}"#, "x".repeat(50_000_000));
    let state = within("an event with 50 MB of `unsigned`", 10_000, 80, || {
        verified(&ReceivedRoomState::of_entries([entry.as_str()]))
    });
    assert_eq!(outcome(&state), [1, 0, 0]);
}

#[test]
fn sections() {
    let event = |number: usize, more: &str| {
        format!(r#"{{"content":{{"x":{more}}},"sender":"@a:a.example","state_key":"","type":"x.{number}"}}"#)
    };
    let room = |number: usize, events: &[String]| {
        format!(r#""!{number}:a.example":{{"knock_state":{{"events":[{}]}}}}"#, events.join(","))
    };
    let read = |what: &str, text: &str, bytes: u64, count: u64| {
        let section = within(what, bytes, count, || KnockSection::parse(text));
        section
            .map(|section| (section.rooms().len(), section.rooms().map(|(_, room)| room.state().len()).sum::<usize>()))
    };
    let seven: Vec<String> = (0..7).map(|number| event(number, "1")).collect();
    let rooms: Vec<String> = (0..10_000).map(|number| room(number, &seven)).collect();
    let text = format!("{{{}}}", rooms.join(","));
    let what = format!("a section of 10,000 rooms, {} bytes", text.len());
    assert_eq!(read(&what, &text, 15_000_000, 500_000), Ok((10_000, 70_000)));

    let all: Vec<String> = (0..100_000).map(|number| event(number, "1")).collect();
    let text = format!("{{{}}}", room(0, &all));
    let what = format!("a section of one room with 100,000 events, {} bytes", text.len());
    assert_eq!(read(&what, &text, 40_000_000, 600_000), Ok((1, 100_000)));
    let text = format!("{{{}}}", room(0, &vec![event(0, "1"); 100_000]));
    assert_eq!(read("the same with one event 100,000 times", &text, 5_000_000, 600_000), Ok((1, 1)));

    // One bad event in each room.
    for (what, bad) in [
        ("10^6 levels", deep(1_000_000)),
        ("128 levels and one", deep(127)),
        ("half a surrogate pair", r#""\ud83d""#.to_owned()),
    ] {
        let rooms = if bad.len() > 1_000 { 10 } else { 10_000 };
        let events = [event(0, "1"), event(1, &bad)];
        let rooms: Vec<String> = (0..rooms).map(|number| room(number, &events)).collect();
        let text = format!("{{{}}}", rooms.join(","));
        let what = format!("{} rooms with an event of {what}, {} bytes", rooms.len(), text.len());
        assert_eq!(read(&what, &text, 6_000_000, 120_000), Ok((rooms.len(), rooms.len())));
    }
    let text = format!(r#"{{"!r:a.example":"{}"}}"#, "x".repeat(50_000_000));
    assert_eq!(read("50 MB in one string", &text, 2_000, 10), Ok((1, 0)));
    let text = format!(r#"{{"!r:a.example":{}}}"#, deep(25_000_000));
    assert_eq!(read("25 * 10^6 levels", &text, 2_000, 10), Ok((1, 0)));
}

#[test]
fn pending_knocks() {
    for users in [10_000, 100_000] {
        let member = |user: usize, content: &str| {
            format!(
                r#"{{"type":"m.room.member","state_key":"@u{user}:a.example","sender":"@u{user}:a.example",
                "event_id":"${user}","content":{content}}}"#
            )
        };
        let texts = |content: &str| (0..users).map(|user| member(user, content)).collect::<Vec<String>>();
        let knock = r#"{"membership":"knock","reason":"Let me in, please","displayname":"U"}"#;
        let (knocks, redacted) = (texts(knock), texts(r#"{"membership":"knock"}"#));
        let ended = texts(r#"{"membership":"leave"}"#);
        let mut index = PendingKnocks::new();
        let per = u64::try_from(users).expect("a count");
        for (what, texts, update, memory, allocations) in [
            ("knocks", &knocks, Update::Knocked, 450, 5),
            ("the same again", &knocks, Update::Nothing, 0, 0),
            ("redactions", &redacted, Update::Redacted, 0, 0),
            ("ends", &ended, Update::Ended, 0, 0),
        ] {
            let events: Vec<Pdu<'_>> = texts.iter().map(|text| Pdu::parse_stored(text).expect("an event")).collect();
            within(&format!("{users} {what}, applied"), per * memory, per * allocations, || {
                for event in &events {
                    assert_eq!(index.apply(event, 1), Ok(update));
                }
            });
        }
        assert_eq!(index.iter().count(), 0);
        let read = within(&format!("{users} knocks, read as a state"), per * 700, per * 8, || {
            PendingKnocks::from_state(RoomVersion::V10, &knocks)
        });
        assert_eq!(read.iter().count(), users);
    }
}

#[test]
fn transactions() {
    let event = signed("x", &json!({ "x": "x".repeat(65_000) }));
    let large = |text: &str| event.replacen("xxx", text, 1);
    let bad = [
        event.clone(),
        large(r"\ud83d"),
        event.replacen(r#""depth":1"#, &format!(r#""depth":{}"#, deep(30_000)), 1),
        event.replacen(r#""depth":1"#, r#""depth":1e400"#, 1),
        event.replacen(r#""depth":1"#, r#""depth":1,"depth":1"#, 1),
        large(&r"\u0078".repeat(30_000)),
    ];
    let read = |what: &str, pdus: &[String], bytes: u64, count: u64| {
        let body = format!(r#"{{"edus":[],"origin":"a.example","origin_server_ts":1,"pdus":[{}]}}"#, pdus.join(","));
        let what = format!("{what}, {} bytes", body.len());
        let texts = within(&format!("{what}, split"), 3_000, 10, || transaction_pdus(&body).expect("a transaction"));
        let good = within(&format!("{what}, read one by one"), bytes, count, || {
            let good = |text: &&&str| Pdu::parse(text).is_ok_and(|pdu| pdu.check_format(RoomVersion::V10).is_ok());
            texts.iter().filter(good).count()
        });
        (texts.len(), good)
    };
    let mixed = |count: usize| bad.iter().cycle().take(count).cloned().collect::<Vec<String>>();
    assert_eq!(read("50 events of 64 KiB", &vec![event.clone(); 50], 120_000, 500), (50, 50));
    assert_eq!(read("50 events of 64 KiB, 41 of them bad", &mixed(50), 400_000, 500), (50, 9));
    assert_eq!(read("1,500 events of 64 KiB", &mixed(1_500), 400_000, 500), (50, 9));
    let deepest = vec![deep(2_000_000); 50];
    assert_eq!(read("50 values of 2 * 10^6 levels", &deepest, 5_000_000, 100), (50, 0));
}
