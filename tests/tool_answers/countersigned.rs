//! `countersigned`: what comes of the answer to an invite.

use serde_json::{Value, json};

use crate::room::{ALICE, KAY, LOU, Room, keys, signed};
use crate::{assert_answers, error, missing_members, refusal, with};

fn invite(version: &'static str) -> Value {
    let room = Room::new(version, &[(KAY, "knock", KAY)]);
    let content = json!({"membership": "invite", "reason": "Come in"});
    let event = room.member(KAY, ALICE, content, &["create", "levels", "alice", KAY, "rules"]);
    signed(version, &event, &["a.example"])
}

fn line(version: &str, event: &Value, status: u16, response: Value) -> Value {
    json!({
        "room_version": version, "event": event, "target_server": "b.example", "status": status, "response": response,
        "keys": keys(),
    })
}

#[test]
fn taken() {
    let mut cells = 0;
    for version in ["7", "8", "9", "10", "11", "12"] {
        let event = invite(version);
        let both = signed(version, &event, &["b.example"]);
        let taken = format!(r#""event":{both}"#);
        let mut stuffed = both.clone();
        stuffed["unsigned"] = json!({"age": 5, "prev_content": {"membership": "join"}, "invite_room_state": []});
        stuffed["signatures"]["c.example"] = json!({"ed25519:1": "A".repeat(86)});
        stuffed["signatures"]["a.example"] = json!({"ed25519:2": "A".repeat(86)});
        let mut theirs = both.clone();
        theirs["signatures"].as_object_mut().unwrap().remove("a.example");
        // A key that nobody knows does not count.
        let mut by_two = both.clone();
        by_two["signatures"]["b.example"]["ed25519:old"] = "A".repeat(86).into();
        // Of what comes with it nothing is taken.
        let beside = json!({"event": both, "room_version": "1", "x": [1]});
        let answers = [&both, &stuffed, &theirs, &by_two].map(|event| json!({"event": event}));
        let cases = answers.into_iter().chain([beside]);
        let cases = cases.map(|answer| (line(version, &event, 200, answer), taken.clone())).collect();
        cells += assert_answers("countersigned", cases);
    }
    assert_eq!(cells, 30);
}

#[test]
fn not_taken() {
    let bad = || refusal(502, "M_UNKNOWN", "The server of the user did not sign the invite");
    let none = || refusal(502, "M_UNKNOWN", "The server of the user could not be asked");
    let mut cells = 0;
    for version in ["7", "10", "12"] {
        let event = invite(version);
        let both = signed(version, &event, &["b.example"]);
        let changed =
            |name: &str, value: Value| json!({"event": signed(version, &with(&event, name, value), &["b.example"])});
        let mut by_other_key = both.clone();
        by_other_key["signatures"]["b.example"]["ed25519:1"] = event["signatures"]["a.example"]["ed25519:1"].clone();
        let answers = [
            Value::Null,
            json!([]),
            json!({}),
            json!({"event": null}),
            json!({"event": []}),
            json!([200, {"event": both}]),
            // Not signed.
            json!({"event": event}),
            json!({"event": by_other_key}),
            // Another event, whoever has signed it.
            changed("depth", 99.into()),
            changed("content", json!({"membership": "invite", "reason": "Come out"})),
            changed("content", json!({"membership": "join"})),
            changed("state_key", LOU.into()),
            changed("sender", KAY.into()),
            changed("room_id", "!other:b.example".into()),
            changed("prev_events", json!([])),
            changed("origin", "b.example".into()),
            changed("x", 1.into()),
        ];
        let mut cases: Vec<(Value, String)> =
            answers.into_iter().map(|answer| (line(version, &event, 200, answer), bad())).collect();
        cases.push((with(&line(version, &event, 200, json!({"event": both})), "keys", json!({})), bad()));

        let error = |errcode: &str| json!({"errcode": errcode, "error": "No"});
        for (status, errcode) in [(403, "M_FORBIDDEN"), (403, "M_INVITE_BLOCKED"), (400, "M_INCOMPATIBLE_ROOM_VERSION")]
        {
            cases.push((line(version, &event, status, error(errcode)), refusal(status, errcode, "No")));
        }
        // What speaks of the request between the servers says nothing to a client.
        for (status, errcode) in [
            (400, "M_MISSING_PARAM"),
            (400, "M_INVALID_PARAM"),
            (401, "M_UNAUTHORIZED"),
            (404, "M_UNRECOGNIZED"),
            (500, "M_UNKNOWN"),
            (502, "M_FORBIDDEN"),
        ] {
            cases.push((line(version, &event, status, error(errcode)), none()));
        }
        for status in [0, 302, 403, 500] {
            cases.push((line(version, &event, status, Value::Null), none()));
        }
        cells += assert_answers("countersigned", cases);
    }
    assert_eq!(cells, 3 * (17 + 1 + 3 + 6 + 4));
}

const OTHER_HASH: &str = "not an invite: the content hash in `hashes` is not that of the event";

#[test]
fn bad_input() {
    let event = invite("11");
    let again = |event: Value| signed("11", &event, &["a.example"]);
    let both = signed("11", &event, &["b.example"]);
    let line = line("11", &event, 200, json!({"event": both}));
    let not_ours = error("not an invite of a user of another server");
    let mut cases = missing_members(&line, &["room_version", "event", "target_server", "status", "keys"]);
    cases.extend([
        (with(&line, "target_server", "c.example"), error("`target_server` is not that of the invited user")),
        (with(&line, "event", again(with(&event, "state_key", LOU))), not_ours.clone()),
        (with(&line, "event", again(with(&event, "type", "m.room.name"))), not_ours.clone()),
        (with(&line, "event", again(with(&event, "content", json!({"membership": "ban"})))), not_ours),
        (with(&line, "event", with(&event, "depth", 1)), error(OTHER_HASH)),
        (with(&line, "event", json!({})), error("not an invite: event has no `type`")),
        (with(&line, "status", -1), error("`status`: invalid value: integer `-1`, expected u16 at line 1 column 2")),
    ]);
    assert_eq!(assert_answers("countersigned", cases), 12);
}
