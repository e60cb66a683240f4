//! `rooms.knock` of `/sync`: the rooms, and the events of each.

use matrix_knock::sync::KnockSection;
use serde_json::json;

use super::bad::{Fault, spoiled, values};
use super::events::ALICE;
use super::{PLACES, with};

fn event(event_type: &str, content: &str) -> String {
    format!(r#"{{"content":{content},"sender":"{ALICE}","state_key":"","type":"{event_type}"}}"#)
}

fn good() -> [String; 3] {
    [
        event("m.room.create", r#"{"room_version":"11"}"#),
        event("m.room.name", r#"{"name":"Good"}"#),
        event("m.room.avatar", r#"{"url":"mxc://a.example/good"}"#),
    ]
}

fn room(events: &[String]) -> String {
    format!(r#"{{"knock_state":{{"events":[{}]}}}}"#, events.join(","))
}

/// The rooms with the texts of their events, and the member events.
fn read(section: &str) -> Vec<(String, Vec<String>, Option<String>)> {
    let section = KnockSection::parse(section).expect("a section");
    let rooms = section.rooms().map(|(room_id, room)| {
        let state = room.state().iter().map(|event| event.text().to_owned()).collect();
        (room_id.to_owned(), state, room.member_event().map(str::to_owned))
    });
    rooms.collect()
}

#[test]
fn events_of_a_room() {
    let good = good();
    let knock = json!({
        "type": "m.room.member", "state_key": "@kay:b.example", "sender": "@kay:b.example", "event_id": "$k",
        "content": { "membership": "knock" }, "origin_server_ts": 5,
    });
    let members = [knock.to_string(), event("m.room.name", "{}"), event("m.room.name", "{}")];
    let mut cells = 0_u32;
    for bad in spoiled(&event("m.room.topic", r#"{"topic":"T"}"#)) {
        for place in PLACES {
            let state = room(&with(&good, &bad.text, place));
            let beside = with(&members, &bad.text, place).join(",");
            let spoiled =
                format!("{},\"state\":{{\"events\":[{beside}]}}}}", state.trim_end_matches('}').to_owned() + "}");
            let whole = room(&good);
            let section = format!(r#"{{"!1:a.example":{whole},"!2:a.example":{spoiled},"!3:a.example":{whole}}}"#);
            let mut expected = good[..place.1].to_vec();
            // A client can read what it can read; only servers measure events by the room version.
            if matches!(bad.fault, Fault::Content | Fault::Number) {
                expected.insert(place.0, bad.text.clone());
            }
            let member_event = (place.1 > 0).then(|| knock.to_string());
            let whole = |number: u8| (format!("!{number}:a.example"), good.to_vec(), None);
            let expected = [whole(1), ("!2:a.example".to_owned(), expected, member_event), whole(3)];
            assert_eq!(read(&section), expected, "{}, {place:?}", bad.name);
            cells = cells.saturating_add(1);
        }
    }
    assert_eq!(cells, 440);
}

/// Where in a room a value may stand that is none.
const FRAMES: [(&str, &str, bool); 9] = [
    ("the room", "VALUE", false),
    ("the state", r#"{"knock_state":VALUE}"#, false),
    ("the events", r#"{"knock_state":{"events":VALUE}}"#, false),
    ("beside the state, first", r#"{"x":VALUE,"knock_state":{"events":[GOOD]}}"#, true),
    ("beside the state, last", r#"{"knock_state":{"events":[GOOD]},"x":VALUE}"#, true),
    ("beside the events, first", r#"{"knock_state":{"x":VALUE,"events":[GOOD]}}"#, true),
    ("beside the events, last", r#"{"knock_state":{"events":[GOOD],"x":VALUE}}"#, true),
    ("the member event", r#"{"state":VALUE,"knock_state":{"events":[GOOD]}}"#, true),
    ("the member events", r#"{"knock_state":{"events":[GOOD]},"state":{"events":VALUE}}"#, true),
];

#[test]
fn rooms() {
    let good = good();
    let whole = room(&good);
    let rooms = ["!1:a.example", "!2:a.example", "!3:a.example"].map(|room_id| format!(r#""{room_id}":{whole}"#));
    let mut bad = Vec::new();
    for (place, frame, is_good) in FRAMES {
        for (name, value, _) in values() {
            let text = frame.replace("VALUE", &value).replace("GOOD", &good.join(","));
            let shown = if is_good { good.to_vec() } else { Vec::new() };
            bad.push((format!("{name}, {place}"), format!(r#""!bad:b.example":{text}"#), Some(shown)));
        }
    }
    for (name, member, shown) in [
        ("a key that is half a pair", r#""\ud83d":{}"#.to_owned(), None),
        ("a key with a bad escape", r#""!\x":{}"#.to_owned(), None),
        ("a key with a control character", format!("\"!\n\":{whole}"), None),
        ("a room twice", format!(r#""!bad:b.example":{{}},"!bad:b.example":{whole}"#), Some(good.to_vec())),
        ("a state twice", r#""!bad:b.example":{"knock_state":{},"knock_state":{}}"#.to_owned(), Some(Vec::new())),
        (
            "events twice",
            format!(r#""!bad:b.example":{{"knock_state":{{"events":[{0}],"events":[{0}]}}}}"#, good[0]),
            Some(Vec::new()),
        ),
        (
            "an event twice",
            format!(r#""!bad:b.example":{}"#, room(&[good.clone(), good.clone()].concat())),
            Some(good.to_vec()),
        ),
    ] {
        bad.push((name.to_owned(), member, shown));
    }
    let mut cells = 0_u32;
    for (name, member, shown) in bad {
        for place in PLACES {
            let section = format!("{{{}}}", with(&rooms, &member, place).join(","));
            let mut expected: Vec<_> =
                (1..=place.1).map(|number| (format!("!{number}:a.example"), good.to_vec(), None)).collect();
            expected.extend(shown.clone().map(|shown| ("!bad:b.example".to_owned(), shown, None)));
            assert_eq!(read(&section), expected, "{name}, {place:?}");
            cells = cells.saturating_add(1);
        }
    }
    assert_eq!(cells, 2_008);
}
