//! Input that is no state, and states that somebody has made to do harm.

use serde_json::{Value, json};

use super::{ROOM, explain, explained, failed};

const USER: &str = "@kay:b.evil.example";

const CREATE: &str =
    r#"{"type":"m.room.create","state_key":"","sender":"@a:b","content":{"room_version":"11"},"room_id":"!r:b"}"#;

#[test]
fn what_is_no_state() {
    let other = CREATE.replace("!r:b", "!s:b").replace("create", "name");
    let message = CREATE.replace(r#""state_key":"","#, "");
    let with_version = |version: &str| CREATE.replace(r#""11""#, version);
    let nested = |depth: usize| format!(r#"{{"state":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let deep = CREATE.replace(r#""11""#, &format!("{}{}", "[".repeat(1_000), "]".repeat(1_000)));
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"".into(), "the input has no events"),
        (b" \n\t".into(), "the input has no events"),
        (b"[]".into(), "the input has no events"),
        (br#"{"pdus":[]}"#.into(), "the input has no events"),
        (b"\xFF".into(), "the input is not UTF-8: invalid utf-8 sequence of 1 bytes from index 0"),
        (b"state".into(), "the input is not JSON: expected value at line 1 column 1"),
        (b"[".into(), "the input is not JSON: EOF while parsing a list at line 1 column 1"),
        ([CREATE, "\n{"].concat().into(), "the input is not JSON: EOF while parsing an object at line 2 column 1"),
        (vec![b'['; 1_000_000], "the input is not JSON: EOF while parsing a list at line 1 column 1000000"),
        (b"{}".into(), "the input is neither a list of events nor an object with `state` or `pdus`"),
        (
            br#"{"errcode":"M_FORBIDDEN","error":"No"}"#.into(),
            "the input is neither a list of events nor an object with `state` or `pdus`",
        ),
        (
            br#"{"pdus":[],"state":[]}"#.into(),
            "the input is neither a list of events nor an object with `state` or `pdus`",
        ),
        (br#"{"pdus":[],"pdus":[]}"#.into(), "the input is not JSON: duplicate field `pdus` at line 1 column 17"),
        (br#"{"state":{}}"#.into(), "the input is not JSON: invalid type: map, expected a sequence at line 1 column 9"),
        (b"7".into(), "event 1: event is not an object"),
        (br#""x""#.into(), "event 1: event is not an object"),
        (nested(100_000).into(), "event 1: event is not an object"),
        ([CREATE, "[]"].concat().into(), "event 2: event is not an object"),
        (br#"{"type":1}"#.into(), "event 1: `type` of the event is of the wrong kind"),
        (br#"{"type":"t"}"#.into(), "event 1: event has no `sender`"),
        (deep.into(), "event 1: JSON nested deeper than 128 levels at byte 208"),
        ([CREATE, &message].concat().into(), "event 2 has no `state_key`: it is not a state event"),
        ([CREATE, &other].concat().into(), "event 2 is of another room than the events before it"),
        (
            CREATE.replace("create", "name").into(),
            "the state has no `m.room.create` event to say the room version; give it with `--room-version`",
        ),
        (
            with_version("11").into(),
            "the `m.room.create` event does not say the room version as a string; give it with `--room-version`",
        ),
        (
            with_version(r#""\u001b]0;x""#).into(),
            r"unknown room version `\u{1b}]0;x`; give the one whose rules it follows with `--room-version`",
        ),
    ];
    for (input, error) in cases {
        let shown = String::from_utf8_lossy(&input[..input.len().min(200)]).into_owned();
        assert_eq!(explain(&["--user", USER], &input), failed(1, error), "{shown}");
    }
    // What is quoted has an end.
    let long = format!(r#"{{"state":"\u001b[31m{}"}}"#, "x".repeat(100_000));
    let error = r#"the input is not JSON: invalid type: string "\u{1b}[31m"#;
    let error = format!("{error}{}…", "x".repeat(255 - error.len()));
    assert_eq!(explain(&["--user", USER], long.as_bytes()), failed(1, &error));
    // A version that is given needs none in the state.
    let none = explain(&["--user", USER, "--room-version", "10"], CREATE.replace("create", "name").as_bytes());
    assert_eq!((none.status, &*none.errors), (Some(0), ""));
    assert!(
        none.output.contains("there is no accepted `m.room.create` event of the room (rule 2.4)"),
        "{}",
        none.output
    );
    // Nor is a create event without one of a version unknown.
    let first = explained(USER, &CREATE.replace(r#""room_version":"11""#, ""));
    assert!(first.starts_with("@kay:b.evil.example and !r:b, room version 1\n"), "{first}");
}

/// Texts that steer a terminal, hide what is beside them, or go on for ever.
#[test]
fn nothing_steers_the_terminal() {
    let evil = "\u{1B}[2J\u{9B}31m\u{7}\r\n\t\u{202E}\u{2066}\u{200B}\u{FEFF}\u{2028}\u{E0041}\0";
    let long = "x".repeat(100_000);
    let mut events: Vec<Value> = serde_json::from_str(ROOM).expect("a list");
    for event in &mut events {
        event["room_id"] = json!(format!("!{evil}"));
        event["event_id"] = json!(format!("${evil}{long}"));
        event["sender"] = json!(format!("@{evil}:{long}"));
    }
    events[2]["content"] = json!({ "users_default": 100 });
    events[3]["content"] = json!({ "join_rule": format!("{evil}{long}") });
    events[4]["content"] = json!({ "deny": [format!("*{}", "*".repeat(100_000)), "*\u{1B}"], "allow": [evil] });
    events[7]["content"] = json!({ "membership": "leave", "reason": format!("{evil}{long}") });
    for number in 0..3 {
        events.push(json!({ "type": "m.room.member", "state_key": format!("@{evil}{number}"), "sender": evil,
            "content": { "membership": "join" } }));
    }
    let state = Value::from(events.clone()).to_string();
    let restricted =
        json!({ "join_rule": "restricted", "allow": [{ "type": "m.room_membership", "room_id": evil }, 1, {}] });
    events[3]["content"] = restricted;
    for state in [state, Value::from(events).to_string()] {
        let report = explained(USER, &state);
        let steers = |character: &char| {
            (character.is_control() && *character != '\n')
                || "\u{202E}\u{2066}\u{200B}\u{2028}".contains(*character)
                || ['\u{FEFF}', '\u{E0041}'].contains(character)
        };
        assert_eq!(report.chars().find(steers), None);
        assert!(
            report.contains(
                r"\u{1b}[2J\u{9b}31m\u{7}\u{d}\u{a}\u{9}\u{202e}\u{2066}\u{200b}\u{feff}\u{2028}\u{e0041}\u{0}"
            )
        );
        assert!(report.len() < 20_000 && report.lines().count() < 60, "{}", report.len());
    }
}

/// Contents that the rules cannot read.
#[test]
fn malformed_contents() {
    let mut events: Vec<Value> = serde_json::from_str(ROOM).expect("a list");
    for (position, content) in
        [(0, json!([])), (2, json!("")), (3, json!({ "join_rule": null })), (4, json!([])), (7, json!({}))]
    {
        events[position]["content"] = content;
    }
    let ended = explain(&["--user", USER, "--room-version", "10"], Value::from(events).to_string().as_bytes());
    assert_eq!((ended.status, &*ended.errors), (Some(0), ""));
    for line in [
        "  membership  malformed",
        "  federation  malformed: users of its creator's server alone",
        "  join rule   malformed: nobody may knock or join",
        "  server ACL  denies b.evil.example: no entry of `allow` fits the server",
        "May they knock? no, 4 things are in the way",
        "  1. server ACL: no entry of `allow` fits the server",
        "  2. the content of the `m.room.create` event is malformed (rule 3)",
        "  3. the content of the `m.room.join_rules` event is malformed (rule 4.7.1)",
        "  4. the content of an `m.room.member` event in the state is malformed (rule 4.7.4)",
        "  invite                      nobody: the content of an `m.room.member` event in the state is malformed (rule 4.4.3)",
        "  ban                         nobody: a level in the `m.room.power_levels` event is malformed (rule 4.6.3)",
    ] {
        assert!(ended.output.lines().any(|written| written == line), "{line}\n{}", ended.output);
    }
}

/// The room with a piece cut out or put in at many places: it is explained or refused, and nothing
/// else happens.
#[test]
fn mangled_states() {
    let pieces = ["", "\"", "{", "]", "null", "\\", "\\ud800", "\u{0}", "1e999", ",\"content\":[]", "é"];
    let (mut explained, mut refused) = (0, 0);
    for (step, piece) in (0..ROOM.len()).step_by(13).zip(pieces.into_iter().cycle()) {
        let cut = step.saturating_add(step % 5).min(ROOM.len());
        let mangled = [&ROOM.as_bytes()[..step], piece.as_bytes(), &ROOM.as_bytes()[cut..]].concat();
        let ended = explain(&["--user", USER], &mangled);
        let mangled = String::from_utf8_lossy(&mangled);
        match ended.status {
            Some(0) => {
                assert_eq!(ended.errors, "", "{mangled}");
                assert!(ended.output.contains("\nMay they knock? ") && ended.output.ends_with(".\n"), "{mangled}");
                explained += 1;
            }
            Some(1) => {
                assert_eq!((&*ended.output, ended.errors.lines().count()), ("", 1), "{mangled}");
                assert!(ended.errors.starts_with("knock: "), "{}", ended.errors);
                refused += 1;
            }
            other => panic!("exit status {other:?}: {}\n{mangled}", ended.errors),
        }
    }
    assert!(explained > 10 && refused > 50, "{explained} {refused}");
}
