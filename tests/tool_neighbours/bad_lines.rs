//! Lines that cannot be read: what the answer says, and that the lines around it are answered.

use crate::run;

const MEMBER: &str = r#""type":"m.room.member","state_key":"@a:b","sender":"@a:b","content":{"membership":"knock"}"#;

/// Command, bad members of a line, error. Lines of JSON that is no object are bad everywhere.
fn cases() -> Vec<(&'static str, String, &'static str)> {
    let event = |more: &str| format!(r#""room_version":"10","events":[{{{MEMBER}}},{more}]"#);
    let case = |command, members: &str, error| (command, members.to_owned(), error);
    vec![
        case("pending", "", "missing `room_version`"),
        case("pending", r#""room_version":"10""#, "missing `events`"),
        case("pending", r#""room_version":"13","events":[]"#, "unknown room version `13`"),
        case(
            "pending",
            r#""room_version":10,"events":[]"#,
            "`room_version`: invalid type: integer `10`, expected a string at line 1 column 2",
        ),
        case(
            "pending",
            r#""room_version":"10","events":null"#,
            "`events`: invalid type: null, expected a sequence at line 1 column 4",
        ),
        ("pending", event("1"), "`events[1]`: event is not an object"),
        ("pending", event("{}"), "`events[1]`: event has no `type`"),
        ("pending", event(r#"{"type":"m.room.member","sender":"@a:b"}"#), "`events[1]`: event has no `content`"),
        (
            "pending",
            event(&format!(r#"{{"state_key":"x",{MEMBER}}}"#)),
            "`events[1]`: `state_key` of the event is of the wrong kind",
        ),
        (
            "pending",
            event(&format!(r#"{{{MEMBER},"origin_server_ts":"1"}}"#)),
            "`events[1]`: `origin_server_ts`: invalid type: string \"1\", expected i64 at line 1 column 3",
        ),
        (
            "pending",
            event(&format!(r#"{{{MEMBER},"x":"\udead"}}"#)),
            "`events[1]`: lone surrogate in a string at byte 97",
        ),
        ("pending", format!(r#""room_version":"2","events":[{{{MEMBER}}}]"#), "`events[0]`: event has no `event_id`"),
        case("knock-section", "", "missing `section`"),
        case("knock-section", r#""section":{}"#, "`section`: invalid type: map, expected a string at line 1 column 0"),
        case("knock-section", r#""section":"""#, "unexpected end of JSON at byte 0"),
        case("knock-section", r#""section":"[]""#, "the `knock` section is not an object"),
        case("knock-section", r#""section":"null""#, "the `knock` section is not an object"),
        case("knock-section", r#""section":"{\"!a:b\":{},""#, "unexpected end of JSON at byte 11"),
        case("knock-section", r#""section":"{} {}""#, "characters after the JSON value at byte 3"),
        case("knock-answer", r#""status":200"#, "missing `body`"),
        case("knock-answer", r#""body":"""#, "missing `status`"),
        case(
            "knock-answer",
            r#""status":200,"body":{}"#,
            "`body`: invalid type: map, expected a string at line 1 column 0",
        ),
        case(
            "knock-answer",
            r#""status":"200","body":"""#,
            "`status`: invalid type: string \"200\", expected u16 at line 1 column 5",
        ),
        case(
            "knock-answer",
            r#""status":65536,"body":"""#,
            "`status`: invalid value: integer `65536`, expected u16 at line 1 column 5",
        ),
        case(
            "knock-answer",
            r#""status":429,"retry_after":5,"body":"""#,
            "`retry_after`: invalid type: integer `5`, expected a string at line 1 column 1",
        ),
        case(
            "knockable",
            r#""room_version":7"#,
            "`room_version`: invalid type: integer `7`, expected a string at line 1 column 1",
        ),
        case(
            "knockable",
            r#""room_version":"7","join_rule":["knock"]"#,
            "`join_rule`: invalid type: sequence, expected a string at line 1 column 0",
        ),
        case("classify", "", "missing `event`"),
        case("classify", r#""before":null"#, "missing `event`"),
        case("classify", r#""event":{}"#, "event has no `type`"),
        ("classify", format!(r#""event":{{{MEMBER}}}"#), "neither `before` nor `unsigned.prev_content` of the event"),
        (
            "classify",
            format!(r#""event":{{{MEMBER},"unsigned":{{"prev_content":null,"age":1}}}}"#),
            "neither `before` nor `unsigned.prev_content` of the event",
        ),
        (
            "classify",
            format!(r#""event":{{{MEMBER},"unsigned":{{"prev_content":[]}}}}"#),
            "the content of an `m.room.member` event in the state is malformed",
        ),
        ("classify", format!(r#""event":{{{MEMBER}}},"before":1"#), "`before`: event is not an object"),
        ("classify", format!(r#""event":{{{MEMBER}}},"before":{{}}"#), "`before`: event has no `type`"),
        (
            "classify",
            format!(r#""event":{{{MEMBER}}},"before":{{{}}}"#, MEMBER.replace("@a", "@x")),
            "the two events are of different users",
        ),
        case("filter-state", r#""room_version":"10""#, "missing `room_id`"),
        case(
            "filter-state",
            r#""room_version":"10","room_id":"!r:a","keys":[],"knock_room_state":[]"#,
            "`keys`: invalid type: sequence, expected a map at line 1 column 0",
        ),
    ]
}

/// A line of each command that can be read, and its answer.
const GOOD: [(&str, &str, &str); 6] = [
    ("pending", r#""room_version":"10","events":[]"#, r#""knocks":[]"#),
    ("knock-section", r#""section":"{}""#, r#""rooms":{}"#),
    ("knock-answer", r#""status":200,"body":"{\"room_id\":\"!r:a\"}""#, r#""room_id":"!r:a""#),
    ("knockable", r#""room_version":"7","join_rule":"knock""#, r#""knockable":true"#),
    (
        "classify",
        r#""before":null,"event":{"type":"m.room.member","state_key":"@a:b","sender":"@a:b","content":{"membership":"join"}}"#,
        r#""change":"joined""#,
    ),
    (
        "filter-state",
        r#""room_version":"10","room_id":"!r:a","user_id":"@k:b","keys":{}"#,
        r#""client":[],"unverified":[],"dropped":[]"#,
    ),
];

#[test]
fn a_bad_line_costs_only_itself() {
    let cases = cases();
    assert_eq!(cases.len(), 38);
    for (command, good, answer) in GOOD {
        let bad: Vec<&(&str, String, &str)> = cases.iter().filter(|(of, ..)| *of == command).collect();
        assert!(!bad.is_empty(), "{command}");
        let mut lines = Vec::new();
        let mut expected = Vec::new();
        for (number, (_, members, error)) in bad.iter().enumerate() {
            let comma = if members.is_empty() { "" } else { "," };
            lines.push(format!(r#"{{"id":[{number}]{comma}{members}}}"#));
            expected.push(format!(r#"{{"id":[{number}],"error":{}}}"#, serde_json::json!(error)));
            lines.push(format!(r#"{{"id":"good",{good}}}"#));
            expected.push(format!(r#"{{"id":"good",{answer}}}"#));
        }
        // No objects at all.
        for (line, error) in [
            ("", "EOF while parsing a value at line 1 column 0"),
            ("[]", "invalid type: sequence, expected a map at line 1 column 0"),
            ("null", "invalid type: null, expected a map at line 1 column 4"),
        ] {
            lines.push(line.to_owned());
            expected.push(format!(r#"{{"id":null,"error":{}}}"#, serde_json::json!(error)));
        }
        assert_eq!(run(command, &lines), (Some(1), expected), "{command}");
        assert_eq!(run(command, &[format!("{{{good}}}")]), (Some(0), vec![format!(r#"{{"id":null,{answer}}}"#)]));
    }
}
