//! `pending`: all sequences of a few events in a room, beside a list that is kept by hand.

use serde_json::{Value, json};

use crate::{check, run};

/// Who waits, as the answer has it.
#[derive(Debug, Default)]
struct Waiting(Vec<Value>);

impl Waiting {
    fn apply(&mut self, event: &Value) {
        let user = &event["state_key"];
        if event["type"] != "m.room.member" || user.is_null() {
            return;
        }
        if event["content"]["membership"] != "knock" {
            return self.0.retain(|knock| knock["user_id"] != *user);
        }
        let text = |name: &str| event["content"].get(name).filter(|text| text.is_string()).cloned();
        let known = self.0.iter_mut().find(|knock| knock["user_id"] == *user && knock["event_id"] == event["event_id"]);
        if let Some(known) = known {
            // The same event says as much as before, or less: it was redacted.
            for name in ["reason", "displayname"] {
                if text(name).is_none() {
                    known[name] = Value::Null;
                }
            }
            return;
        }
        self.0.retain(|knock| knock["user_id"] != *user);
        self.0.push(json!({ "user_id": user, "event_id": event["event_id"], "reason": text("reason"),
            "displayname": text("displayname") }));
    }
}

fn events() -> Vec<Value> {
    let member = |user: &str, event_id: &str, content: Value| json!({ "type": "m.room.member", "state_key": user, "sender": user, "event_id": event_id, "content": content });
    let mut message = member("@a:x", "$m", json!({ "membership": "knock" }));
    message["type"] = json!("m.room.message");
    vec![
        member("@a:x", "$1", json!({ "membership": "knock", "reason": "Please", "displayname": "A \u{202e}" })),
        // The same, redacted.
        member("@a:x", "$1", json!({ "membership": "knock" })),
        member("@a:x", "$2", json!({ "membership": "knock", "reason": 5, "displayname": null })),
        member("@a:x", "$3", json!({ "membership": "leave", "reason": "Not today" })),
        member("@b:x", "$4", json!({ "membership": "knock", "reason": "", "displayname": "B" })),
        member("@b:x", "$5", json!({ "membership": "x" })),
        message,
    ]
}

/// All sequences of up to four events; and the last member event of each user, as a state read at
/// once, gives the same knocks.
#[test]
fn sequences() {
    let events = events();
    let mut sequences: Vec<Vec<usize>> = vec![Vec::new()];
    let mut longest = sequences.clone();
    for _ in 0..4 {
        let longer = |sequence: &Vec<usize>| {
            let sequence = sequence.clone();
            (0..events.len()).map(move |next| [&sequence[..], &[next]].concat())
        };
        longest = longest.iter().flat_map(longer).collect();
        sequences.extend(longest.iter().cloned());
    }
    assert_eq!(sequences.len(), 1 + 7 + 49 + 343 + 2_401);
    let cases: Vec<(Value, Value)> = sequences
        .iter()
        .enumerate()
        .map(|(id, sequence)| {
            let sequence: Vec<&Value> = sequence.iter().map(|event| &events[*event]).collect();
            let mut waiting = Waiting::default();
            sequence.iter().for_each(|event| waiting.apply(event));
            let line = json!({ "id": id, "room_version": "10", "events": sequence });
            (line, json!({ "id": id, "knocks": waiting.0 }))
        })
        .collect();
    check("pending", &cases);
}

/// Without its ID an event has the one that its hash gives, which a redaction leaves alone.
#[test]
fn ids_by_hash() {
    let event = |reason: &Value| {
        let mut event = json!({ "type": "m.room.member", "room_id": "!r:x", "state_key": "@a:x", "sender": "@a:x",
            "content": { "membership": "knock" }, "auth_events": [], "prev_events": ["$p"], "depth": 5,
            "origin_server_ts": 7, "hashes": { "sha256": "x" }, "unsigned": { "age": 1.5 } });
        if !reason.is_null() {
            event["content"]["reason"] = reason.clone();
        }
        event
    };
    let (whole, redacted) = (event(&json!("Please")), event(&Value::Null));
    let mut versions = 0;
    for version in ["7", "8", "9", "10", "11", "12"] {
        let ids = [&whole, &redacted].map(|event| {
            let line = json!({ "id": 1, "room_version": version, "event": event }).to_string();
            let (_, answers) = run("event-id", &[line]);
            let answer: Value = serde_json::from_str(&answers[0]).expect("JSON");
            answer["event_id"].clone()
        });
        assert!(ids[0].is_string() && ids[0] == ids[1], "{version}: {ids:?}");
        let knock =
            |reason: &Value| json!({ "user_id": "@a:x", "event_id": ids[0], "reason": reason, "displayname": null });
        let line = |id: u32, events: &[&Value]| json!({ "id": id, "room_version": version, "events": events });
        let answer = |id: u32, reason: &Value| json!({ "id": id, "knocks": [knock(reason)] });
        check(
            "pending",
            &[
                (line(1, &[&whole]), answer(1, &json!("Please"))),
                (line(2, &[&whole, &whole]), answer(2, &json!("Please"))),
                (line(3, &[&whole, &redacted]), answer(3, &Value::Null)),
                (line(4, &[&redacted]), answer(4, &Value::Null)),
                (line(5, &[&whole, &redacted, &whole]), answer(5, &Value::Null)),
            ],
        );
        versions += 1;
    }
    assert_eq!(versions, 6);
}
