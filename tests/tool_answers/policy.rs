//! `policy`: the policy server of a room, what to ask it, and whether it has signed.

use serde_json::{Value, json};

use crate::room::{ALICE, KAY, Room, public_key, signed};
use crate::{assert_answers, error, missing_members, with};

fn room(version: &'static str, policy: Value) -> Room {
    let mut room = Room::new(version, &[(KAY, "knock", KAY)]);
    room.add("policy", "m.room.policy", "", ALICE, policy);
    room
}

fn content() -> Value {
    json!({"via": "p.example", "public_keys": {"ed25519": public_key("p.example")}})
}

fn line_of(room: &Room, event: &Value) -> Value {
    json!({
        "room_version": room.version, "state": room.state(), "joined_servers": ["a.example", "p.example"], "event": event,
    })
}

fn invite(room: &Room) -> Value {
    let auth_events = ["create", "levels", "alice", KAY, "rules"];
    let event = room.member(KAY, ALICE, json!({"membership": "invite"}), &auth_events);
    signed(room.version, &event, &["a.example"])
}

/// A good line.
pub(crate) fn line() -> Value {
    let room = room("11", content());
    line_of(&room, &invite(&room))
}

fn none() -> String {
    r#""server":null,"request":null,"signed":false"#.to_owned()
}

fn asked(event: &Value, signed: bool) -> String {
    let request = format!(r#"{{"method":"POST","path":"/_matrix/policy/v1/sign","body":{event}}}"#);
    format!(r#""server":"p.example","request":{request},"signed":{signed}"#)
}

#[test]
fn what_to_ask() {
    let mut cells = 0;
    for version in ["7", "8", "9", "10", "11", "12"] {
        let room = room(version, content());
        let event = invite(&room);
        let good = line_of(&room, &event);
        let both = signed(version, &event, &["p.example"]);
        let mut forged = both.clone();
        forged["signatures"]["p.example"]["ed25519:policy_server"] =
            event["signatures"]["a.example"]["ed25519:1"].clone();
        let mut under_other_key = both.clone();
        under_other_key["signatures"]["p.example"] =
            json!({"ed25519:1": both["signatures"]["p.example"]["ed25519:policy_server"]});
        let with_unsigned = with(&event, "unsigned", json!({"age": 1}));
        let policy = room.event("policy");
        let cases = vec![
            (good.clone(), asked(&event, false)),
            // `unsigned` is no part of the event.
            (with(&good, "event", with_unsigned), asked(&event, false)),
            (with(&good, "event", both.clone()), asked(&both, true)),
            (with(&good, "event", forged.clone()), asked(&forged, false)),
            (with(&good, "event", under_other_key.clone()), asked(&under_other_key, false)),
            // It is asked about every event, whatever its type.
            (with(&good, "event", room.event("name")), asked(&room.event("name"), false)),
            // But for the one that names it.
            (with(&good, "event", policy), r#""server":"p.example","request":null,"signed":false"#.to_owned()),
            (with(&good, "joined_servers", json!(["a.example"])), none()),
            (with(&good, "joined_servers", json!([])), none()),
            (with(&good, "joined_servers", json!(["p.example:8448"])), none()),
        ];
        cells += assert_answers("policy", cases);
    }
    assert_eq!(cells, 60);
}

#[test]
fn what_names_no_server() {
    let key = public_key("p.example");
    let contents = [
        json!({}),
        json!({"via": "p.example"}),
        json!({"via": 1, "public_keys": {"ed25519": key}}),
        json!({"via": "p example", "public_keys": {"ed25519": key}}),
        json!({"via": "p.example", "public_keys": key}),
        json!({"via": "p.example", "public_keys": {"ed25519": [key]}}),
        json!({"via": "p.example", "public_keys": {"ed25519:policy_server": key}}),
        json!({"via": "p.example", "public_key": key}),
    ];
    let cases = contents.map(|content| {
        let room = room("11", content);
        (line_of(&room, &invite(&room)), none())
    });
    let mut cases = cases.to_vec();
    let plain = Room::new("11", &[(KAY, "knock", KAY)]);
    cases.push((line_of(&plain, &invite(&plain)), none()));
    // What is no key signs nothing: the server is asked in vain.
    let room = room("11", json!({"via": "p.example", "public_keys": {"ed25519": "AAAA"}}));
    let both = signed("11", &invite(&room), &["p.example"]);
    cases.push((line_of(&room, &both), asked(&both, false)));
    assert_eq!(assert_answers("policy", cases), 10);
}

#[test]
fn bad_input() {
    let line = line();
    let mut cases = missing_members(&line, &["room_version", "state", "joined_servers", "event"]);
    let event = &line["event"];
    cases.extend([
        (
            with(&line, "room_version", 11),
            error("`room_version`: invalid type: integer `11`, expected a string at line 1 column 2"),
        ),
        (
            with(&line, "joined_servers", "p"),
            error("`joined_servers`: invalid type: string \"p\", expected a sequence at line 1 column 3"),
        ),
        (with(&line, "state", json!([{}])), error("`state[0]`: event has no `type`")),
        (with(&line, "event", json!({})), error("event has no `type`")),
        (with(&line, "event", crate::without(event, "hashes")), error("event has no `hashes`")),
        (with(&line, "event", with(event, "depth", 1.5)), error("number not allowed in canonical JSON at byte 294")),
    ]);
    assert_eq!(assert_answers("policy", cases), 10);
}
