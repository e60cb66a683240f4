//! The commands about the handshake: one whole knock through all four, and what each of them says to what is wrong.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use matrix_knock::RoomVersion;
use matrix_knock::event::{Ed25519Key, SignedEvent, sign_event};
use matrix_knock::id::ServerName;
use serde_json::{Value, json};

use super::one;

const ALICE: &str = "@alice:a.example";
const KAY: &str = "@kay:b.example";
const ROOM: &str = "!room:a.example";
const NOW: u64 = 1_700_000_000_000;

fn key() -> Ed25519Key {
    Ed25519Key::from_seed("ed25519:1", &[7; 32]).expect("a key ID")
}

fn signed(event: &Value, server: &str) -> SignedEvent {
    let server = ServerName::parse(server).expect("a server name");
    sign_event(RoomVersion::V10, &event.to_string(), server, &key()).expect("an event")
}

fn read(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// The keys of both servers.
fn keys() -> Value {
    let key = json!({ "ed25519:1": BASE64_STANDARD_NO_PAD.encode(key().public_key()) });
    json!({ "a.example": key.clone(), "b.example": key })
}

/// A room of version 10 that can be knocked on: its state events as its server stores them, with their IDs.
fn room() -> Vec<Value> {
    let mut events: Vec<Value> = Vec::new();
    let contents = [
        ("m.room.create", "", json!({ "creator": ALICE, "room_version": "10" })),
        ("m.room.member", ALICE, json!({ "membership": "join" })),
        ("m.room.power_levels", "", json!({ "users": { ALICE: 100 } })),
        ("m.room.join_rules", "", json!({ "join_rule": "knock" })),
        ("m.room.name", "", json!({ "name": "Knock!" })),
    ];
    for (depth, (event_type, state_key, content)) in (1..).zip(contents) {
        let event = json!({
            "type": event_type, "state_key": state_key, "sender": ALICE, "content": content, "room_id": ROOM,
            "auth_events": events.first().map_or_else(Vec::new, |create| vec![create["event_id"].clone()]),
            "prev_events": events.last().map_or_else(Vec::new, |last| vec![last["event_id"].clone()]),
            "depth": depth, "origin_server_ts": NOW,
        });
        let event = signed(&event, "a.example");
        let mut stored = read(event.text());
        stored["event_id"] = event.event_id().into();
        events.push(stored);
    }
    events
}

/// An event as it goes between servers.
fn sent(stored: &Value) -> Value {
    let mut event = stored.clone();
    event.as_object_mut().expect("an object").remove("event_id");
    event
}

fn make_knock() -> Value {
    let room = room();
    json!({
        "id": 1, "room_version": "10", "room_id": ROOM, "user_id": KAY, "origin": "b.example", "ver": ["9", "10"],
        "state": room, "prev_events": [room[4]], "server_name": "a.example", "now": NOW,
    })
}

/// What Kay's server sends.
fn knock() -> SignedEvent {
    let room = room();
    let event = json!({
        "type": "m.room.member", "state_key": KAY, "sender": KAY, "content": { "membership": "knock", "reason": "Hi" },
        "room_id": ROOM, "auth_events": ([0, 2, 3].map(|position: usize| room[position]["event_id"].clone())),
        "prev_events": [room[4]["event_id"]], "depth": 6, "origin_server_ts": NOW,
    });
    signed(&event, "b.example")
}

fn send_knock() -> Value {
    let (room, knock) = (room(), knock());
    json!({
        "id": 1, "room_version": "10", "room_id": ROOM, "event_id": knock.event_id(), "origin": "b.example",
        "body": read(knock.text()), "state": room, "auth_events": [room[0], room[2], room[3]], "keys": keys(),
        "server_name": "a.example",
    })
}

/// The line with another value for one of its members.
fn with(line: &Value, name: &str, value: Value) -> Value {
    let mut line = line.clone();
    line[name] = value;
    line
}

fn without(line: &Value, name: &str) -> Value {
    let mut line = line.clone();
    line.as_object_mut().expect("an object").remove(name);
    line
}

/// Status, code and `room_version` of an answer, and the reason of a refusal; or the error of the
/// line.
fn short(command: &str, line: &Value) -> String {
    let (answer, all_read) = one(command, &line.to_string());
    let answer = read(&answer);
    assert_eq!(answer.get("error").is_none(), all_read, "{answer}");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match answer.get("status") {
        None => text(&answer["error"]),
        Some(status) => {
            let parts = [status.to_string(), text(&answer["body"]["errcode"]), text(&answer["body"]["room_version"])];
            let answered = parts.join(" ").trim_end().to_owned();
            // A refusal has a reason, and nothing else has one.
            let reason = answer.get("reason").map(|reason| reason.as_str().expect("a text"));
            assert_eq!(reason.is_some(), *status != 200, "{answer}");
            reason.map_or(answered.clone(), |reason| format!("{answered}: {reason}"))
        }
    }
}

#[test]
fn a_whole_knock() {
    let room = room();
    let ids = |positions: &[usize]| -> Vec<Value> {
        positions.iter().map(|position| room[*position]["event_id"].clone()).collect()
    };
    let (answer, all_read) = one("make-knock", &make_knock().to_string());
    assert!(all_read, "{answer}");
    let event = json!({
        "auth_events": ids(&[0, 2, 3]), "content": { "membership": "knock" }, "depth": 6, "origin_server_ts": NOW,
        "prev_events": ids(&[4]), "room_id": ROOM, "sender": KAY, "state_key": KAY, "type": "m.room.member",
    });
    let expected = format!(r#"{{"id":1,"status":200,"body":{{"event":{event},"room_version":"10"}}}}"#);
    assert_eq!(answer, expected);

    let line = json!({
        "id": 2, "room_id": ROOM, "user_id": KAY, "ver": ["10", "org.example.unknown"], "response": read(&answer)["body"],
        "now": NOW, "server_name": "b.example", "reason": "Hi", "avatar_url": null,
    });
    let (answer, all_read) = one("template", &line.to_string());
    assert!(all_read, "{answer}");
    let answer = read(&answer);
    let event = signed(&answer["event"], "b.example");
    let mut expected = read(knock().text());
    for added in ["hashes", "signatures"] {
        expected.as_object_mut().expect("an object").remove(added);
    }
    expected["origin"] = "b.example".into();
    assert_eq!(answer, json!({ "id": 2, "ok": true, "event": expected }));

    let line = with(&with(&send_knock(), "body", read(event.text())), "event_id", event.event_id().into());
    let (answer, all_read) = one("send-knock", &line.to_string());
    assert!(all_read, "{answer}");
    let state = [sent(&room[0]), sent(&room[3]), sent(&room[4])];
    assert_eq!(read(&answer), json!({ "id": 1, "status": 200, "body": { "knock_room_state": state } }));

    let line = json!({
        "id": 3, "room_version": "10", "room_id": ROOM, "user_id": KAY,
        "knock_room_state": read(&answer)["body"]["knock_room_state"], "keys": keys(),
    });
    let (answer, all_read) = one("filter-state", &line.to_string());
    assert!(all_read, "{answer}");
    let expected = concat!(
        r#"{"id":3,"client":["#,
        r#"{"content":{"creator":"@alice:a.example","room_version":"10"},"sender":"@alice:a.example","#,
        r#""state_key":"","type":"m.room.create"},"#,
        r#"{"content":{"join_rule":"knock"},"sender":"@alice:a.example","state_key":"","type":"m.room.join_rules"},"#,
        r#"{"content":{"name":"Knock!"},"sender":"@alice:a.example","state_key":"","type":"m.room.name"}"#,
        r#"],"unverified":[],"dropped":[]}"#,
    );
    assert_eq!(answer, expected);
}

#[test]
fn what_make_knock_answers() {
    let line = make_knock();
    let room = room();
    let mut left = room.clone();
    left.push(with(&room[1], "content", json!({ "membership": "leave" })));
    let no_ids: Vec<Value> = room.iter().map(sent).collect();
    let invite = with(&room[3], "content", json!({ "join_rule": "invite" }));
    for (line, expected) in [
        (line.clone(), "200  10"),
        (without(&line, "server_name"), "200  10"),
        (with(&line, "server_name", "c.example".into()), "404 M_NOT_FOUND: this server is not in the room"),
        // Of two events for one type and state key the last counts: Alice has left.
        (with(&line, "state", left.into()), "404 M_NOT_FOUND: this server is not in the room"),
        (with(&line, "state", Value::Null), "404 M_NOT_FOUND: unknown room"),
        (without(&with(&line, "state", Value::Null), "room_version"), "404 M_NOT_FOUND: unknown room"),
        (with(&line, "room_id", "room".into()), "404 M_NOT_FOUND: unknown room"),
        (with(&line, "user_id", "kay".into()), "400 M_INVALID_PARAM: not a user ID"),
        (with(&line, "origin", "c.example".into()), "403 M_FORBIDDEN: the user belongs to another server"),
        (with(&line, "ver", json!([])), "400 M_MISSING_PARAM: no `ver`"),
        (without(&line, "ver"), "400 M_MISSING_PARAM: no `ver`"),
        (
            with(&line, "ver", json!(["9", "x"])),
            "400 M_INCOMPATIBLE_ROOM_VERSION 10: the asking server does not have room version 10",
        ),
        (
            with(&with(&line, "room_version", "6".into()), "ver", json!(["6"])),
            "403 M_FORBIDDEN: no knocking in room version 6",
        ),
        (
            with(&line, "state", json!([room[0], room[1], invite])),
            "403 M_FORBIDDEN: by the current state: rule 4.7.1 of room version 10: the join rule does not let anybody knock",
        ),
        // What the host has done wrong, and what cannot be read.
        (with(&line, "state", no_ids.into()), "the `m.room.create` event of the state has no event ID"),
        (with(&line, "prev_events", json!([])), "no previous events to come after"),
        (with(&line, "prev_events", json!([sent(&room[4])])), "missing `event_id`"),
        (with(&line, "prev_events", json!([without(&room[4], "depth")])), "missing `depth`"),
        (with(&line, "prev_events", json!([with(&room[4], "event_id", "x".into())])), "does not begin with `$`"),
        (with(&line, "origin", "b example".into()), "`origin` has a malformed server name"),
        (without(&line, "state"), "missing `state`"),
        (without(&line, "now"), "missing `now`"),
        (without(&line, "room_version"), "missing `room_version`"),
    ] {
        assert_eq!(short("make-knock", &line), expected, "{line}");
    }
    let whole = concat!(
        r#"{"id":1,"status":404,"body":{"errcode":"M_NOT_FOUND","error":"Unknown room"},"#,
        r#""reason":"unknown room"}"#,
    );
    assert_eq!(one("make-knock", &with(&line, "state", Value::Null).to_string()), (whole.to_owned(), true));
}

#[test]
fn what_send_knock_answers() {
    let line = send_knock();
    let room = room();
    let known = |positions: &[usize]| -> Value { positions.iter().map(|position| room[*position].clone()).collect() };
    let with_body = |name: &str, value: Value| with(&line, "body", with(&line["body"], name, value));
    let left = with(&room[1], "content", json!({ "membership": "leave" }));
    let invite = with(&room[3], "content", json!({ "join_rule": "invite" }));
    // Stored by somebody who does not look into contents, and not to be sent.
    let twice = line.to_string().replace(r#""creator":"#, r#""x":{"a":1,"a":2},"creator":"#);
    for (line, expected) in [
        (line.clone(), "200"),
        (without(&line, "server_name"), "200"),
        // In any order, and with others.
        (with(&line, "auth_events", known(&[4, 3, 2, 1, 0])), "200"),
        (
            with(&line, "auth_events", known(&[0, 3])),
            "403 M_FORBIDDEN: unknown auth events: $RhKc8n_hcku-FWHkAVg9K29grtQ1-AiW3Eg_6b0bhz8",
        ),
        (with(&line, "server_name", "c.example".into()), "404 M_NOT_FOUND: this server is not in the room"),
        (
            with(&line, "state", json!([room[0], left, room[2], room[3]])),
            "404 M_NOT_FOUND: this server is not in the room",
        ),
        (with(&line, "state", Value::Null), "404 M_NOT_FOUND: unknown room"),
        (with(&line, "room_id", "room".into()), "404 M_NOT_FOUND: unknown room"),
        (with(&line, "room_id", "!other:a.example".into()), "400 M_INVALID_PARAM: the event is of another room"),
        (
            with(&line, "event_id", "$other".into()),
            "400 M_INVALID_PARAM: the event ID in the path is not that of the event",
        ),
        (with(&line, "origin", "a.example".into()), "400 M_INVALID_PARAM: the sender is of another server"),
        (with(&line, "keys", json!({})), "400 M_INVALID_PARAM: no signature by a known key of `b.example` that counts"),
        (with(&line, "body", json!([])), "400 M_BAD_JSON: malformed event: event is not an object"),
        (with_body("unsigned", json!({ "age": 1 })), "200"),
        (with_body("content", json!({ "membership": "knock" })), "400 M_INVALID_PARAM: the content hash is wrong"),
        (
            with_body("depth", json!("6")),
            "400 M_BAD_JSON: malformed event: `depth` of the event is of the wrong kind or out of range",
        ),
        (
            with_body("event_id", line["event_id"].clone()),
            "400 M_BAD_JSON: malformed event: event has a `event_id`, which it must not have in this room version",
        ),
        (with(&line, "room_version", "6".into()), "403 M_FORBIDDEN: no knocking in room version 6"),
        (
            with(&line, "state", json!([room[0], room[1], room[2], invite])),
            "403 M_FORBIDDEN: by the state before it: rule 4.7.1 of room version 10: the join rule does not let anybody knock",
        ),
        (
            with(&line, "state", known(&[1, 2, 3])),
            "403 M_FORBIDDEN: by the state before it: rule 2.4 of room version 10: there is no accepted `m.room.create` event of the room",
        ),
        (without(&line, "body"), "missing `body`"),
        (without(&line, "auth_events"), "missing `auth_events`"),
        (without(&line, "keys"), "missing `keys`"),
        (with(&line, "auth_events", json!([{}])), "event has no `type`"),
    ] {
        assert_eq!(short("send-knock", &line), expected, "{line}");
    }
    let expected = r#"{"id":1,"error":"the create event of the room has no text that could be sent"}"#;
    assert_eq!(one("send-knock", &twice), (expected.to_owned(), false));
}

#[test]
fn what_template_and_filter_state_refuse() {
    let event = json!({
        "type": "m.room.member", "sender": KAY, "state_key": KAY, "room_id": ROOM, "content": { "membership": "knock" },
        "auth_events": ["$c"], "prev_events": ["$p"], "depth": 1,
    });
    let line = json!({
        "id": 1, "room_id": ROOM, "user_id": KAY, "ver": ["9"], "response": { "room_version": "10", "event": event },
        "now": NOW, "server_name": "b.example",
    });
    for (line, answer, all_read) in [
        (line.clone(), r#"{"id":1,"ok":false,"reason":"another `room_version` than was asked for"}"#, true),
        (with(&line, "response", json!({})), r#"{"id":1,"ok":false,"reason":"no `room_version`"}"#, true),
        (with(&line, "user_id", "kay".into()), r#"{"id":1,"error":"`user_id` does not begin with `@`"}"#, false),
        (without(&line, "response"), r#"{"id":1,"error":"missing `response`"}"#, false),
    ] {
        assert_eq!(one("template", &line.to_string()), (answer.to_owned(), all_read), "{line}");
    }

    let name = sent(&room()[4]);
    let stripped = json!({ "type": "m.room.name", "state_key": "", "sender": ALICE, "content": {} });
    let [topic, member] = ["m.room.topic", "m.room.member"].map(|name| with(&stripped, "type", name.into()));
    let forged = with(&with(&name, "type", "m.room.topic".into()), "content", json!({}));
    let line = json!({ "id": 1, "room_version": "10", "room_id": ROOM, "user_id": KAY, "keys": keys(),
        "knock_room_state": [
            stripped, with(&name, "room_id", "!other:a.example".into()), with(&name, "content", json!({ "name": "X" })), name,
            topic, member, forged, with(&stripped, "depth", json!(1)),
        ] });
    let (answer, all_read) = one("filter-state", &line.to_string());
    // What is left of the event whose content was changed: its redacted form.
    let bad_signature = "the signature of `a.example` by `ed25519:1` does not verify";
    let expected = json!({ "id": 1, "client": [stripped], "unverified": [topic], "dropped": [
        { "index": 0, "reason": "another event with the same type and state key is shown" },
        { "index": 1, "reason": "an event of another room" },
        { "index": 3, "reason": "another event with the same type and state key is shown" },
        { "index": 5, "reason": "an unverified member event" },
        { "index": 6, "reason": bad_signature },
        { "index": 7, "reason": "malformed event: event has no `auth_events`" },
    ] });
    assert_eq!((read(&answer), all_read), (expected, true));
    for line in [without(&line, "knock_room_state"), with(&line, "knock_room_state", json!("x"))] {
        let expected = r#"{"id":1,"client":[],"unverified":[],"dropped":[]}"#;
        assert_eq!(one("filter-state", &line.to_string()), (expected.to_owned(), true));
    }
}
