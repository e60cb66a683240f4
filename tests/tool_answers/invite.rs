//! `invite`: what the invited user's server answers, and what its client is shown.

use serde_json::{Value, json};

use crate::room::{ALICE, KAY, LOU, Room, event_id, keys, seed_text, signed, stripped};
use crate::{assert_answers, error, missing_members, refusal, with};

const STATE: [&str; 4] = ["create", "rules", "name", "alice"];

/// The room in which Kay knocks, and the invite that answers.
fn invited(version: &'static str, auth_events: &[&str]) -> (Room, Value) {
    let room = Room::new(version, &[(KAY, "knock", KAY)]);
    let content = json!({"membership": "invite", "reason": "Come in"});
    let event = room.member(KAY, ALICE, content, auth_events);
    (room, event)
}

/// A line about this event, as its sender's server has signed it.
fn line(room: &Room, event: &Value) -> Value {
    let event = signed(room.version, event, &["a.example"]);
    let state: Value = STATE.iter().map(|name| room.event(name)).collect();
    json!({
        "room_id": room.room_id, "event_id": event_id(room.version, &event), "origin": "a.example",
        "server_name": "b.example", "versions": ["7", "8", "9", "10", "11", "12", "org.example.13"], "keys": keys(),
        "body": {"event": event, "invite_room_state": state, "room_version": room.version},
        "knock": room.id(KAY), "key_id": "ed25519:1", "seed": seed_text("b.example"),
    })
}

/// The answer that takes it: both signatures, and what the client is shown.
fn taken(room: &Room, line: &Value, state: &[Value], acceptance: &str, warnings: &[&str]) -> String {
    let both = signed(room.version, &line["body"]["event"], &["b.example"]);
    let client: Value = state.iter().chain([&line["body"]["event"]]).map(stripped).collect();
    format!(
        r#""status":200,"body":{{"event":{both}}},"client":{client},"acceptance":{acceptance},"warnings":{}"#,
        json!(warnings)
    )
}

#[test]
fn taken_in_every_version() {
    let mut cells = 0;
    for version in ["7", "8", "9", "10", "11", "12"] {
        let all = ["create", "levels", "alice", KAY, "rules"];
        let (room, event) = invited(version, &all);
        let state = STATE.map(|name| room.event(name));
        let whole = line(&room, &event);
        let (_, unlinked) = invited(version, &["create", "levels", "alice", "rules"]);
        let unlinked = line(&room, &unlinked);
        // `unsigned` is nobody's word, and is not given back.
        let mut stuffed = whole.clone();
        stuffed["body"]["event"]["unsigned"] = json!({"age": 7});
        stuffed["body"]["x"] = json!({"y": []});
        let mut cases = vec![
            (whole.clone(), taken(&room, &whole, &state, r#""linked""#, &[])),
            (stuffed, taken(&room, &whole, &state, r#""linked""#, &[])),
            (unlinked.clone(), taken(&room, &unlinked, &state, r#""merely_invited""#, &[])),
            (with(&whole, "knock", Value::Null), taken(&room, &whole, &state, "null", &[])),
            (with(&whole, "knock", "$other"), taken(&room, &whole, &state, r#""merely_invited""#, &[])),
        ];

        // What is wrong with the state: a warning, and since version 12 a refusal.
        let with_state = |change: &dyn Fn(&mut Value)| {
            let mut line = whole.clone();
            change(&mut line["body"]);
            line
        };
        let mut badly_signed = room.event("name");
        badly_signed["depth"] = 77.into();
        let name_is_bad = "entry 2: the signature of `a.example` by `ed25519:1` does not verify";
        let without_name = [0, 1, 3].map(|at: usize| state[at].clone());
        let faults: [(Value, &[Value], &[&str]); 5] = [
            (with_state(&|body| body["invite_room_state"] = json!([])), &[], &["no valid create event"]),
            (
                with_state(&|body| drop(body["invite_room_state"].as_array_mut().unwrap().remove(0))),
                &state[1..],
                &["no valid create event"],
            ),
            (with_state(&|body| body["invite_room_state"][2] = badly_signed.clone()), &without_name, &[name_is_bad]),
            (
                with_state(&|body| body["invite_room_state"][2]["room_id"] = "!other:a.example".into()),
                &without_name,
                &["entry 2: an event of another room"],
            ),
            (
                with_state(&|body| body["invite_room_state"][2] = 1.into()),
                &without_name,
                &["entry 2: malformed event: event is not an object"],
            ),
        ];
        let bad_state = refusal(400, "M_INVALID_PARAM", "`invite_room_state` is not as it must be");
        for (line, state, warnings) in faults {
            let expected = match version {
                "12" => bad_state.clone(),
                _ => taken(&room, &line, state, r#""linked""#, warnings),
            };
            cases.push((line, expected));
        }
        // Entries of four keys, as older servers send them: shown before version 12, but for the member event.
        let old = with_state(&|body| {
            let entries = body["invite_room_state"].as_array_mut().unwrap();
            entries.iter_mut().for_each(|entry| *entry = stripped(entry));
        });
        let warnings =
            ["no valid create event", "entry 3: an unverified member event", "entries that are no whole events"];
        let expected = match version {
            "12" => bad_state,
            _ => taken(&room, &old, &state[..3], r#""linked""#, &warnings),
        };
        cases.push((old, expected));
        let missing = with_state(&|body| drop(body.as_object_mut().unwrap().remove("invite_room_state")));
        let expected = match version {
            "12" => refusal(400, "M_MISSING_PARAM", "`invite_room_state` is missing"),
            _ => taken(&room, &missing, &[], r#""linked""#, &["missing"]),
        };
        cases.push((missing, expected));
        cells += assert_answers("invite", cases);
    }
    assert_eq!(cells, 6 * 12);
}

#[test]
fn refused() {
    let mut cells = 0;
    for version in ["7", "10", "12"] {
        let all = ["create", "levels", "alice", KAY, "rules"];
        let (room, event) = invited(version, &all);
        let whole = line(&room, &event);
        let with_event = |name: &str, value: Value| line(&room, &with(&event, name, value));
        let with_body = |name: &str, value: Value| with(&whole, "body", with(&whole["body"], name, value));
        let invalid = |message: &str| refusal(400, "M_INVALID_PARAM", message);
        let bad_json = |message: &str| refusal(400, "M_BAD_JSON", message);
        let malformed = || bad_json("A property of the body is of the wrong kind");
        let missing = || refusal(400, "M_MISSING_PARAM", "A property of the body is missing");
        let not_an_event = || bad_json("Not an event of the version of the room");
        let too_large = || refusal(413, "M_TOO_LARGE", "The event is too large");
        let incompatible = |version: &str| {
            let message = "This server does not have the version of the room";
            let refusal = refusal(400, "M_INCOMPATIBLE_ROOM_VERSION", message);
            refusal.replacen(r#""}"#, &format!(r#"","room_version":"{version}"}}"#), 1)
        };
        let deep: Value = serde_json::from_str(&format!("{}{}", "[".repeat(127), "]".repeat(127))).unwrap();
        let long = json!({"membership": "invite", "reason": "x".repeat(70_000)});
        let mut unsigned = whole["body"]["event"].clone();
        unsigned["signatures"] = json!({});
        let mut forged = whole["body"]["event"].clone();
        forged["content"]["reason"] = "Keep out".into();
        let mut resigned = whole["body"]["event"].clone();
        resigned["signatures"]["a.example"]["ed25519:1"] = "A".repeat(86).into();
        let cases = vec![
            (with(&whole, "versions", json!(["1", "2"])), incompatible(version)),
            (with_body("room_version", "99".into()), incompatible("99")),
            (with_body("room_version", 7.into()), malformed()),
            (with_body("event", json!([])), not_an_event()),
            (with_body("event", Value::Null), not_an_event()),
            (with_body("event", json!({})), not_an_event()),
            (with_body("event", with(&whole["body"]["event"], "event_id", "$x:a.example")), not_an_event()),
            (with_event("depth", (-1).into()), not_an_event()),
            (with_event("content", json!({"membership": "invite", "x": deep})), not_an_event()),
            (with_body("event", with(&whole["body"]["event"], "content", long)), too_large()),
            (with(&whole, "body", json!({})), missing()),
            (with(&whole, "body", crate::without(&whole["body"], "event")), missing()),
            (with(&whole, "body", crate::without(&whole["body"], "room_version")), missing()),
            (with(&whole, "body", json!([whole["body"]])), refusal(400, "M_BAD_JSON", "The body is not an object")),
            (with(&whole, "event_id", "$other"), invalid("The event ID in the path is not that of the event")),
            (with(&whole, "room_id", "!other:a.example"), invalid("The event is of another room")),
            (with_event("type", "m.room.name".into()), invalid("Not an `m.room.member` event")),
            (with_event("content", json!({"membership": "join"})), invalid("The `membership` is not `invite`")),
            (with_event("content", json!({})), invalid("The `membership` is not `invite`")),
            (with(&whole, "origin", "c.example"), invalid("The sender is of another server")),
            (with_event("sender", "@eve:c.example".into()), invalid("The sender is of another server")),
            (with_event("state_key", LOU.into()), invalid("The invited user is of another server")),
            (with_event("state_key", "kay".into()), invalid("The invited user is of another server")),
            (with(&whole, "server_name", "b.example:8448"), invalid("The invited user is of another server")),
            (with(&whole, "keys", json!({})), invalid("A signature of the event is missing or wrong")),
            (with_body("event", unsigned), invalid("A signature of the event is missing or wrong")),
            (with_body("event", resigned), invalid("A signature of the event is missing or wrong")),
            (with_body("event", forged), invalid("The content hash of the event is wrong")),
        ];
        cells += assert_answers("invite", cases);
    }
    assert_eq!(cells, 3 * 28);
}

#[test]
fn bad_input() {
    let (room, event) = invited("11", &["create", "levels", "alice", KAY, "rules"]);
    let line = line(&room, &event);
    let names = ["room_id", "event_id", "origin", "server_name", "body", "versions", "keys", "key_id", "seed"];
    let mut cases = missing_members(&line, &names);
    cases.extend([
        (with(&line, "room_id", "#r:a"), error("`room_id` does not begin with `!`")),
        (with(&line, "origin", "a b"), error("`origin` has a malformed server name")),
        (with(&line, "server_name", ""), error("`server_name` has a malformed server name")),
        (
            with(&line, "keys", json!({"x": {"ed25519:a": "AAAA"}})),
            error("`keys`: `ed25519:a` of `x` is no ed25519 key"),
        ),
        (with(&line, "seed", "x"), error("`seed` is not 32 bytes in base64")),
        (with(&line, "knock", 1), error("`knock`: invalid type: integer `1`, expected a string at line 1 column 1")),
    ]);
    assert_eq!(assert_answers("invite", cases), 15);
}
