//! The `knock` section of `/sync`, written and read.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use std::collections::BTreeSet;

use matrix_knock::RoomVersion;
use matrix_knock::event::{Membership, Pdu};
use matrix_knock::id::{EventId, UserId};
use matrix_knock::state::StateMap;
use matrix_knock::stripped_state::{MAX_SHOWN_DEPTH, StrippedEvent};
use matrix_knock::sync::{
    KnockSection, Knockable, KnockedRoom, MemberEventKey, Section, SectionError, client_event, is_knockable,
    summary_is_knockable,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const SECTIONS: &str = include_str!("vectors/knock_sections.jsonl");

fn stripped(event: &Value) -> StrippedEvent {
    StrippedEvent::of(&Pdu::parse(&event.to_string()).unwrap()).unwrap()
}

fn event(event_type: &str, state_key: &str, content: &Value) -> Value {
    json!({"type": event_type, "state_key": state_key, "sender": "@a:a.example", "content": content})
}

fn set(events: &Value) -> BTreeSet<String> {
    events.as_array().unwrap().iter().map(ToString::to_string).collect()
}

#[test]
fn recorded_sections_are_read_and_built_again() {
    let mut rooms = 0;
    for line in SECTIONS.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let user = UserId::parse(line["user"].as_str().unwrap()).unwrap();
        let recorded = &line["knock"];
        let section = KnockSection::parse(&recorded.to_string()).unwrap();
        assert_eq!(section.rooms().len(), recorded.as_object().unwrap().len());
        for (room_id, room) in section.rooms() {
            rooms += 1;
            let built = KnockedRoom::new(room.state().to_vec(), user);
            let built: Value = serde_json::from_str(&KnockedRoom::section([(room_id, &built)])).unwrap();
            let events = &built[room_id]["knock_state"]["events"];
            assert_eq!(set(events), set(&recorded[room_id]["knock_state"]["events"]), "{line}");
            assert_eq!(events[0]["type"], "m.room.create");
            let last = events.as_array().unwrap().last().unwrap();
            assert_eq!(
                (last["type"].as_str(), last["state_key"].as_str()),
                (Some("m.room.member"), Some(user.as_str()))
            );
            assert_eq!(room.member_event(), None);
        }
    }
    assert_eq!(rooms, 61);
}

#[test]
fn exactly_one_section() {
    let sections = Membership::ALL.map(|membership| Section::of(membership).to_string());
    assert_eq!(sections, ["leave", "invite", "join", "knock", "leave"]);
}

#[test]
fn who_can_be_knocked_on() {
    for version in RoomVersion::ALL {
        for rule in ["public", "invite", "knock", "restricted", "knock_restricted", "private", "", "Knock", "kn\"ock"] {
            let expected = match rule {
                "knock" => version >= RoomVersion::V7,
                "knock_restricted" => version >= RoomVersion::V10,
                _ => false,
            };
            let text = event("m.room.join_rules", "", &json!({"join_rule": rule})).to_string();
            let state = StateMap::from([Pdu::parse(&text).unwrap()]);
            assert_eq!(is_knockable(version, &state), Ok(expected), "{version} {rule}");
            let expected = if expected { Knockable::Yes } else { Knockable::No };
            let knockable = |supported| summary_is_knockable(Some(version.as_str()), Some(rule), supported);
            assert_eq!(knockable(&RoomVersion::ALL), expected, "{version} {rule}");
            // A version that is not known here, and none at all: some rules let nobody knock in any
            // version.
            let expected = match rule {
                "public" | "invite" | "restricted" | "private" => Knockable::No,
                _ => Knockable::NotKnown,
            };
            assert_eq!(knockable(&[]), expected, "{version} {rule}");
            for unknown in [None, Some(""), Some("13"), Some("org.example.1")] {
                let knockable = summary_is_knockable(unknown, Some(rule), &RoomVersion::ALL);
                assert_eq!(knockable, expected, "{unknown:?} {rule}");
            }
        }
        assert_eq!(summary_is_knockable(Some(version.as_str()), None, &RoomVersion::ALL), Knockable::No);
        assert_eq!(is_knockable(version, &StateMap::<Pdu<'_>>::new()), Ok(false));
        for content in [json!({}), json!({"join_rule": 1}), json!({"join_rule": null})] {
            let text = event("m.room.join_rules", "", &content).to_string();
            assert_eq!(is_knockable(version, &StateMap::from([Pdu::parse(&text).unwrap()])), Ok(false));
        }
    }
    assert_eq!(summary_is_knockable(None, None, &RoomVersion::ALL), Knockable::No);
    let unstable = RoomVersion::unstable("org.example.1", RoomVersion::V9).unwrap();
    for (rule, expected) in [("knock", Knockable::Yes), ("knock_restricted", Knockable::No)] {
        assert_eq!(summary_is_knockable(Some("org.example.1"), Some(rule), &[unstable]), expected);
    }
    let offered = [Knockable::Yes, Knockable::No, Knockable::NotKnown].map(Knockable::is_worth_offering);
    assert_eq!(offered, [true, false, true]);
}

#[test]
fn in_the_same_order_every_time() {
    let kay = UserId::parse("@kay:b.example").unwrap();
    let own = event("m.room.member", "@kay:b.example", &json!({"membership": "knock"}));
    let other = event("m.room.member", "@z:b.example", &json!({"membership": "join"}));
    let old_name = event("m.room.name", "", &json!({"name": "old"}));
    let name = event("m.room.name", "", &json!({"name": "new"}));
    let create = event("m.room.create", "", &json!({}));
    let decoy = event("m.room.create", "x", &json!({}));
    let given: Vec<StrippedEvent> = [&own, &old_name, &decoy, &name, &create, &other].map(stripped).into();
    let room = KnockedRoom::new(given, kay);
    let expected = [&create, &decoy, &other, &name, &own].map(stripped);
    assert_eq!(room.state(), expected);
    let events = expected.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    assert_eq!(room.to_string(), format!(r#"{{"knock_state":{{"events":[{events}]}}}}"#));
    assert_eq!(room.to_unsigned(), format!(r#"{{"knock_room_state":[{events}]}}"#));

    let empty = KnockedRoom::new(Vec::<StrippedEvent>::new(), kay);
    assert_eq!(empty.to_string(), r#"{"knock_state":{"events":[]}}"#);
    let section = KnockedRoom::section([("!b:x", &empty), ("!a\"", &room), ("!b:x", &empty)]);
    assert_eq!(section, format!(r#"{{"!a\"":{room},"!b:x":{empty}}}"#));
    assert_eq!(KnockedRoom::section([]), "{}");
}

#[test]
fn the_member_event_beside_the_state() {
    let kay = UserId::parse("@kay:b.example").unwrap();
    let knock = json!({
        "type": "m.room.member", "state_key": "@kay:b.example", "sender": "@kay:b.example", "room_id": "!r:a.example",
        "content": {"membership": "knock", "reason": "x"}, "origin_server_ts": 7, "depth": 4, "auth_events": [],
        "prev_events": [], "hashes": {}, "signatures": {}, "origin": "b.example", "unsigned": {"age": 1},
    });
    let text = knock.to_string();
    let event = Pdu::parse(&text).unwrap();
    let id = EventId::parse("$knock").unwrap();
    let whole = concat!(
        r#"{"content":{"membership":"knock","reason":"x"},"event_id":"$knock","origin_server_ts":7,"#,
        r#""sender":"@kay:b.example","state_key":"@kay:b.example","type":"m.room.member"}"#
    );
    for (key, name) in [(MemberEventKey::State, "state"), (MemberEventKey::Unstable, "org.matrix.msc4319.state")] {
        let room = KnockedRoom::new(vec![stripped(&knock)], kay).with_member_event(key, id, &event, 7);
        let state = stripped(&knock);
        let expected = format!(r#"{{"knock_state":{{"events":[{state}]}},"{name}":{{"events":[{whole}]}}}}"#);
        assert_eq!(room.to_string(), expected);
        let section = KnockSection::parse(&KnockedRoom::section([("!r:a.example", &room)])).unwrap();
        let (_, read) = section.rooms().next().unwrap();
        assert_eq!(read.member_event(), Some(whole));
        assert_eq!(read.event("m.room.member", "@kay:b.example"), Some(&state));
        assert_eq!(read.event("m.room.member", ""), None);
    }
    // What is no state event, or has a content that cannot be shown.
    for malformed in [text.replace("state_key", "key"), text.replace(r#"{"membership":"knock","reason":"x"}"#, "[]")] {
        assert_ne!(malformed, text);
        let room = KnockedRoom::new(Vec::<StrippedEvent>::new(), kay);
        let event = Pdu::parse(&malformed).unwrap();
        assert_eq!(room.clone().with_member_event(MemberEventKey::State, id, &event, 7), room);
    }
}

/// Every combination of what an event may have or lack.
#[test]
fn events_as_clients_see_them() {
    let id = EventId::parse("$a").unwrap();
    for (key, event_id, unsigned) in [None, Some(""), Some("@kay:b.example")].into_iter().flat_map(|key| {
        [None, Some(id)].into_iter().flat_map(move |event_id| {
            [None, Some(r#"{ "age":1 }"#)].into_iter().map(move |unsigned| (key, event_id, unsigned))
        })
    }) {
        // What else stands in an event is between servers.
        let mut event = json!({"type": "x.y", "sender": "@a:a.example", "content": {"b": 1.5, "a": "\u{e9}"}, "depth": 5,
            "room_id": "!r:a.example", "event_id": "$other", "unsigned": {"age": 9}, "hashes": {}});
        let mut expected = json!({"type": "x.y", "sender": "@a:a.example", "content": {"b": 1.5, "a": "\u{e9}"},
            "origin_server_ts": 7});
        for (name, value) in
            [("state_key", key.map(|key| json!(key))), ("event_id", event_id.map(|id| json!(id.as_str())))]
        {
            if let Some(value) = value {
                event[name] = value.clone();
                expected[name] = value;
            }
        }
        if unsigned.is_some() {
            expected["unsigned"] = json!({"age": 1});
        }
        let text = event.to_string();
        let shown = client_event(&Pdu::parse_stored(&text).unwrap(), event_id, 7, unsigned).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), expected);
    }
    let shown = |content: &str, unsigned: Option<&str>| {
        let text = format!(r#"{{"type":"x.y","sender":"@a:a.example","content":{content}}}"#);
        client_event(&Pdu::parse_stored(&text).ok()?, None, 7, unsigned)
    };
    assert_eq!(
        shown("{}", None).unwrap(),
        r#"{"content":{},"origin_server_ts":7,"sender":"@a:a.example","type":"x.y"}"#
    );
    for unsigned in ["", "[]", "null", r#"{"a":1}}"#, r#"{"a":1,"a":2}"#] {
        assert_eq!(shown("{}", Some(unsigned)), None, "{unsigned}");
    }
    let deep = |levels| format!("{}{}", r#"{"x":"#.repeat(levels) + "{}", "}".repeat(levels));
    let most = (1..200_usize).take_while(|levels| shown(&deep(*levels), None).is_some()).count();
    // The event and its content are a level each.
    assert_eq!(u32::try_from(most), Ok(MAX_SHOWN_DEPTH - 2));
    assert!(shown("{}", Some(&deep(most))).is_some());
    assert_eq!(shown("{}", Some(&deep(most + 1))), None);
}

#[test]
fn what_a_client_passes_over() {
    assert_eq!(KnockSection::parse("[]"), Err(SectionError::NotAnObject));
    for cut in ["", "{", r#"{"a":"#, r#"{"a":{}"#, r#"{"a":{"#, r#"{a:{}}"#, "{}}", "{} {}"] {
        assert!(matches!(KnockSection::parse(cut), Err(SectionError::Json(_))), "{cut}");
    }
    assert_eq!(KnockSection::parse("{}").unwrap().rooms().len(), 0);
    let good = event("m.room.name", "", &json!({"name": "x"}));
    let again = event("m.room.name", "", &json!({"name": "y"}));
    let message = json!({"type": "m.room.message", "sender": "@a:b", "content": {}});
    let listed = json!({"type": "m.room.name", "state_key": "", "sender": "@a:b", "content": []});
    let text = json!({
        "!1": 1, "!2": {}, "!3": {"knock_state": []}, "!4": {"knock_state": {"events": {}}},
        "!5": {"knock_state": {"events": [1, null, "x", {}, message, listed, good, again]}, "state": {"events": [1, good]}},
    });
    let section = KnockSection::parse(&text.to_string()).unwrap();
    let shown: Vec<(&str, &[StrippedEvent])> = section.rooms().map(|(id, room)| (id, room.state())).collect();
    assert_eq!(shown, [("!1", &[][..]), ("!2", &[]), ("!3", &[]), ("!4", &[]), ("!5", &[stripped(&good)])]);
    assert!(section.rooms().all(|(_, room)| room.member_event().is_none()));
    // Of a room that occurs twice the last entry counts.
    let [one, two] = [&good, &again].map(|event| json!({"knock_state": {"events": [event]}}));
    let section = KnockSection::parse(&format!(r#"{{"!a":{one},"!b":{one},"\u0021a":{two}}}"#)).unwrap();
    let shown: Vec<(&str, &[StrippedEvent])> = section.rooms().map(|(id, room)| (id, room.state())).collect();
    assert_eq!(shown, [("!a", &[stripped(&again)][..]), ("!b", &[stripped(&good)])]);
}

proptest! {
    /// Whatever is shown, it has four keys each, and a client reads it as it was.
    #[test]
    fn never_a_fifth_key(
        events in prop::collection::vec(("[a-z.]{1,6}|m.room.create|m.room.member", "|@kay:b.example|\\PC{0,4}", ".{0,8}", any::<bool>()), 0..8),
        room_id in "!.{1,10}",
    ) {
        let kay = UserId::parse("@kay:b.example").unwrap();
        let state: Vec<StrippedEvent> = events.iter().map(|(event_type, key, text, extra)| {
            let mut event = event(event_type, key, &json!({"text": text, "membership": "knock"}));
            if *extra {
                event["unsigned"] = json!({"age": 1});
                event["event_id"] = json!("$x");
            }
            stripped(&event)
        }).collect();
        let room = KnockedRoom::new(state, kay);
        let text = KnockedRoom::section([(room_id.as_str(), &room)]);
        let value: Value = serde_json::from_str(&text).unwrap();
        for event in value[&room_id]["knock_state"]["events"].as_array().unwrap() {
            prop_assert_eq!(event.as_object().unwrap().keys().collect::<Vec<_>>(), ["content", "sender", "state_key", "type"]);
        }
        let section = KnockSection::parse(&text).unwrap();
        let (read_id, read) = section.rooms().next().unwrap();
        prop_assert_eq!((read_id, read.state()), (room_id.as_str(), room.state()));
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,40}|[\\{\\}\\[\\]:,\"a0]{0,30}") {
        drop(KnockSection::parse(&text));
    }
}
