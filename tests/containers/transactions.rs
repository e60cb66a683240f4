//! The PDUs of a transaction, and the state from which an index of knocks is made.

use matrix_knock::RoomVersion;
use matrix_knock::event::{Pdu, transaction_pdus};
use matrix_knock::pending::{Knocker, PendingKnocks};
use serde_json::{Value, json};

use super::bad::{Fault, NUMBER, TWICE, spoiled, values};
use super::events::Room;
use super::{PLACES, with};

#[test]
fn pdus() {
    let mut cells = 0_u32;
    for version in [RoomVersion::V6, RoomVersion::V12] {
        let room = Room::new(version);
        let good = ["m.room.name", "m.room.avatar", "m.room.join_rules"];
        let good = good.map(|event_type| room.event(event_type, "", &json!({ "x": [1, "ä"] })).to_string());
        let topic = room.event("m.room.topic", "", &json!({ "topic": "T" })).to_string();
        for bad in spoiled(&topic) {
            for place in PLACES {
                let all = with(&good, &bad.text, place);
                let list = all.join(" ,\n");
                let body = format!(r#"{{"origin":"a.example","pdus":[ {list} ],"edus":[{}]}}"#, bad.text);
                let found = transaction_pdus(&body).expect("a transaction");
                assert_eq!(found, all, "{}, {place:?}", bad.name);
                // Each is what it is: the good ones good, the bad one bad by itself.
                let judged: Vec<bool> = found
                    .iter()
                    .map(|text| Pdu::parse(text).is_ok_and(|event| event.check_format(version).is_ok()))
                    .collect();
                let is_good = matches!(bad.fault, Fault::Content | Fault::NotAnEvent("not a state event"));
                assert_eq!(judged, with(&[true; 3], &is_good, place), "{}, {place:?}", bad.name);
                cells = cells.saturating_add(1);
            }
        }
        // What stands beside the PDUs.
        for (name, value, _) in values() {
            let good = good.join(",");
            for body in [
                format!(r#"{{"origin":{value},"pdus":[{good}]}}"#),
                format!(r#"{{"pdus":[{good}],"edus":[{value},{value}],"x":{value}}}"#),
                format!(r#"{{"\ud83d":{value},"pdus":[{good}],"edus":{value}}}"#),
            ] {
                assert_eq!(transaction_pdus(&body).expect("a transaction").len(), 3, "{name}: {body}");
                cells = cells.saturating_add(1);
            }
        }
    }
    assert_eq!(cells, 1_210);
}

/// A text of the state that cannot be read is no knock, and keeps nobody else from waiting.
#[test]
fn knocks_of_a_state() {
    let knock = |user: &str, time: u64| {
        json!({
            "type": "m.room.member", "state_key": user, "sender": user, "event_id": format!("${user}"),
            "content": { "membership": "knock", "reason": "R" }, "origin_server_ts": time,
        })
    };
    let users = ["@a:a.example", "@b:b.example", "@c:c.example"];
    let good = [1, 2, 3].map(|time| (time, users[usize::try_from(time - 1).expect("small")]));
    let good = good.map(|(time, user)| knock(user, time).to_string());
    let bad_user = "@bad:b.example";
    let text = knock(bad_user, 9).to_string();
    let reason = r#""reason":"R""#;
    assert!(text.contains(reason));
    let mut bad = Vec::new();
    for (name, value, fault) in values() {
        // The state is the host's own: of what no rule reads, only the grammar of JSON is checked.
        // Of a reason that is no string, nothing is shown.
        let is_shown = matches!(fault, Fault::Content | Fault::Number | Fault::Json(NUMBER | TWICE));
        bad.push((name.clone(), text.replace(reason, &format!(r#""reason":{value}"#)), is_shown));
        // There it is one level less deep.
        let is_shown = is_shown || name.starts_with("127 ");
        bad.push((format!("{name}, beside"), text.replacen('{', &format!(r#"{{"x":{value},"#), 1), is_shown));
    }
    for text in ["", "{", "[", "\"", "null", "5", "[]", "{}", r#""knock""#, r#"{"type":"m.room.member""#] {
        bad.push((text.to_owned(), text.to_owned(), false));
    }
    for (property, value) in [("type", json!(5)), ("state_key", Value::Null), ("content", json!([]))] {
        let mut event = knock(bad_user, 9);
        event[property] = value;
        bad.push((property.to_owned(), event.to_string(), false));
    }
    let mut cells = 0_u32;
    for (name, text, is_shown) in &bad {
        for place in PLACES {
            let knocks = PendingKnocks::from_state(RoomVersion::V10, with(&good, text, place));
            let found: Vec<&str> = knocks.iter().map(Knocker::user).collect();
            let mut expected = users[..place.1].to_vec();
            expected.extend(is_shown.then_some(bad_user));
            assert_eq!(found, expected, "{name}, {place:?}: {text}");
            let reason = knocks.knocker(bad_user).and_then(Knocker::reason);
            assert_eq!(reason, Some("R").filter(|_| *is_shown && text.contains(r#""reason":"R""#)));
            cells = cells.saturating_add(1);
        }
    }
    assert_eq!(cells, 492);
}
