//! `filter-state` over recorded answers: whole, redacted, and as servers send them that know
//! nothing but four keys.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::check;

const STATES: &str = include_str!("../vectors/knock_room_states.jsonl");
const KEYS: &str = include_str!("../vectors/keys.jsonl");
const MEMBER: &str = "an unverified member event";
const CREATE: &str = "an unverified create event";
const REPEATED: &str = "another event with the same type and state key is shown";

fn keys() -> Value {
    let of_server = |document: &str| {
        let document: Value = serde_json::from_str(document).expect("JSON");
        let keys = document["verify_keys"].as_object().expect("keys").iter();
        let keys: BTreeMap<String, Value> = keys.map(|(key_id, key)| (key_id.clone(), key["key"].clone())).collect();
        (document["server_name"].as_str().expect("a name").to_owned(), keys)
    };
    json!(KEYS.lines().map(of_server).collect::<BTreeMap<_, _>>())
}

fn with_content(event: &Value, content: &Value) -> Value {
    let mut event = event.clone();
    event["content"] = content.clone();
    event
}

/// `type`, `state_key`, `sender`, `content`.
fn cut(event: &Value) -> Value {
    let names = ["type", "state_key", "sender", "content"];
    json!(names.map(|name| (name.to_owned(), event[name].clone())).into_iter().collect::<BTreeMap<_, _>>())
}

/// The event as its room has it after the redaction.
/// <https://spec.matrix.org/v1.19/rooms/v10/#redactions>, <https://spec.matrix.org/v1.19/rooms/v12/#redactions>
fn redacted(version: &str, event: &Value) -> Value {
    let content = &event["content"];
    let kept = match (event["type"].as_str(), version) {
        (Some("m.room.create"), "12") => content.clone(),
        (Some("m.room.create"), _) => json!({ "creator": content["creator"] }),
        // None of the recorded rooms has an `allow`.
        (Some("m.room.join_rules"), _) => json!({ "join_rule": content["join_rule"] }),
        (Some("m.room.member"), _) => json!({ "membership": content["membership"] }),
        _ => json!({}),
    };
    with_content(event, &kept)
}

/// As an answer gives them: the create event first.
fn create_first(mut events: Vec<Value>) -> Vec<Value> {
    events.sort_by_key(|event| event["type"] != "m.room.create");
    events
}

fn dropped(reasons: &[(usize, &str)]) -> Value {
    json!(reasons.iter().map(|(index, reason)| json!({ "index": index, "reason": reason })).collect::<Vec<_>>())
}

#[test]
fn whole_redacted_and_cut() {
    let mut cases = Vec::new();
    for room in STATES.lines() {
        let room: Value = serde_json::from_str(room).expect("JSON");
        let version = room["room_version"].as_str().expect("a version");
        let mut whole = room["knock_room_state"].as_array().expect("a list").clone();
        whole.push(room["member"].clone());
        let (last, is_v12) = (whole.len() - 1, version == "12");
        let create = whole.iter().position(|event| event["type"] == "m.room.create").expect("a create event");
        let of_cut: Vec<Value> = whole.iter().map(cut).collect();
        let of_redacted: Vec<Value> = whole.iter().map(|event| redacted(version, event)).collect();
        let mut add = |what: &str, entries: Vec<Value>, client: Vec<Value>, unverified: Vec<Value>, dropped: Value| {
            let id = json!([room["source"], what]);
            let line = json!({ "id": id, "room_version": version, "room_id": room["room_id"],
                "user_id": room["user_id"], "knock_room_state": entries, "keys": keys() });
            let client = create_first(client);
            let answer = json!({ "id": id, "client": client, "unverified": unverified, "dropped": dropped });
            cases.push((line, answer));
        };
        add("whole", whole.clone(), of_cut.clone(), vec![], json!([]));
        add("redacted", of_redacted.clone(), of_redacted.iter().map(cut).collect(), vec![], json!([]));

        // As Synapse 1.157 and older servers send them.
        let mut unverified = of_cut.clone();
        unverified.pop();
        let mut reasons = vec![(last, MEMBER)];
        if is_v12 {
            unverified.remove(create);
            reasons.insert(0, (create, CREATE));
        }
        add("four keys", of_cut.clone(), vec![], unverified, dropped(&reasons));

        // The create event whole, as they do in version 12.
        let mut entries = of_cut.clone();
        entries[create] = whole[create].clone();
        let mut unverified = of_cut.clone();
        unverified.pop();
        let created = vec![unverified.remove(create)];
        add("create whole", entries, created, unverified, dropped(&[(last, MEMBER)]));

        // Each one twice: an entry that is verified has no twin, wherever it stands.
        let mut entries = of_cut.clone();
        entries.extend(of_redacted.iter().cloned());
        let reasons: Vec<(usize, &str)> = (0..=last)
            .map(|index| match index {
                index if index == last => (index, MEMBER),
                index if index == create && is_v12 => (index, CREATE),
                index => (index, REPEATED),
            })
            .collect();
        add("twins", entries, of_redacted.iter().map(cut).collect(), vec![], dropped(&reasons));

        // Four keys and something else that makes no event of them.
        let mut odd = with_content(&of_cut[last - 1], &json!({ "x": "y" }));
        odd["unsigned"] = json!({ "age": 1.5 });
        odd["event_id"] = json!("$x");
        odd["origin_server_ts"] = json!(5);
        let shown = cut(&odd);
        let (client, unverified, reasons) = match odd["type"].as_str() {
            Some("m.room.create") if is_v12 => (vec![], vec![], vec![(0, CREATE)]),
            _ => (vec![], vec![shown], vec![]),
        };
        add("odd", vec![odd], client, unverified, dropped(&reasons));
        add("nothing", vec![], vec![], vec![], json!([]));
        for (entry, reason) in [
            (json!(null), "malformed event: event is not an object"),
            (json!({}), "malformed event: event has no `type`"),
            (json!({ "type": "m.room.name", "sender": "@a:b", "content": {} }), "not a state event"),
        ] {
            let state = vec![entry, whole[create].clone()];
            add(reason, state, vec![of_cut[create].clone()], vec![], dropped(&[(0, reason)]));
        }
    }
    assert_eq!(cases.len(), 9 * 10);
    check("filter-state", &cases);
}
