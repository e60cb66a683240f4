//! The commands of the tool, line for line: other people's tests speak this format.
#![cfg(feature = "ed25519")]
#![expect(clippy::expect_used, reason = "a test that cannot be set up fails")]

#[path = "../examples/knock/commands.rs"]
mod commands;

use commands::{Answer, Line, answer, authorize, stripped_state};

/// The answers to some lines, and whether all could be read.
fn run(command: fn(&Line<'_>) -> Answer, lines: &[&[u8]]) -> (Vec<String>, bool) {
    let input: Vec<u8> = lines.join(&b'\n');
    let mut out = Vec::new();
    let all_read = answer(command, input.as_slice(), &mut out).expect("memory can be read and written");
    let text = String::from_utf8(out).expect("UTF-8");
    (text.split_terminator('\n').map(str::to_owned).collect(), all_read)
}

fn one(command: fn(&Line<'_>) -> Answer, line: &str) -> (String, bool) {
    let (answers, all_read) = run(command, &[line.as_bytes()]);
    (answers.join("\n"), all_read)
}

const CREATE: &str =
    r#"{"type":"m.room.create","state_key":"","sender":"@a:b","content":{"creator":"@a:b"},"event_id":"$c"}"#;
const RULES: &str = r#"{"type":"m.room.join_rules","state_key":"","sender":"@a:b","content":{"join_rule":"knock"}}"#;
const KNOCK: &str = r#"{"type":"m.room.member","state_key":"@k:c","sender":"@k:c","content":{"membership":"knock"}}"#;

#[test]
fn verdicts() {
    let line = |id: &str, version: &str, state: &str, event: &str| {
        format!(r#"{{"id":{id},"room_version":"{version}","state":[{state}],"event":{event}}}"#)
    };
    let room = format!("{CREATE},{RULES}");
    let refused = |id: &str, rule: &str, number: &str, reason: &str| {
        format!(r#"{{"id":{id},"allow":false,"rule":"{rule}","number":"{number}","reason":"{reason}"}}"#)
    };
    let cases = [
        (line("1", "10", &room, KNOCK), r#"{"id":1,"allow":true}"#.to_owned()),
        (line(r#""é\u2028""#, "12", &room, KNOCK), "{\"id\":\"é\u{2028}\",\"allow\":true}".to_owned()),
        (
            line(r#"{"b":[1.5, null],"a":1}"#, "6", &room, KNOCK),
            refused(
                r#"{"a":1,"b":[1.5,null]}"#,
                "UnknownMembership",
                "4.6",
                "the membership is none of this room version",
            ),
        ),
        (
            line("2", "10", CREATE, KNOCK),
            refused("2", "KnockJoinRule", "4.7.1", "the join rule does not let anybody knock"),
        ),
        // Of two entries for one type and state key the last counts.
        (
            line("3", "10", &format!("{room},{}", RULES.replace(r#""knock""#, r#""invite""#)), KNOCK),
            refused("3", "KnockJoinRule", "4.7.1", "the join rule does not let anybody knock"),
        ),
        (
            line("4", "10", &room, &KNOCK.replace(r#"{"membership":"knock"}"#, r#"["membership","knock"]"#)),
            refused("4", "MissingMembership", "4.1", "the content of the event is malformed"),
        ),
        (
            line("5", "10", RULES, KNOCK),
            refused("5", "NoCreateEvent", "2.4", "there is no accepted `m.room.create` event of the room"),
        ),
        // The signature of the authorizing user's server counts as there.
        (
            line("6", "10", &room, &KNOCK.replace("\"knock\"", "\"knock\",\"join_authorised_via_users_server\":1")),
            r#"{"id":6,"allow":true}"#.to_owned(),
        ),
        // The creator's first join is known by the event ID of the create entry.
        (
            line(
                "7",
                "10",
                CREATE,
                &KNOCK.replace("@k:c", "@a:b").replace("knock\"}", "join\"},\"prev_events\":[\"$c\"]"),
            ),
            r#"{"id":7,"allow":true}"#.to_owned(),
        ),
    ];
    for (line, expected) in cases {
        assert_eq!(one(authorize, &line), (expected, true), "{line}");
    }
}

#[test]
fn lines_that_cannot_be_read_do_not_stop_the_rest() {
    let with = |rest: &str| format!(r#"{{"id":"x","room_version":"10","state":[{CREATE},{RULES}]{rest}}}"#);
    let message = KNOCK.replace("m.room.member", "m.room.message");
    let twice = KNOCK.replace(r#""knock"}"#, r#""knock","a":{"b":1,"b":2}}"#);
    let deep = KNOCK.replace("\"knock\"", &format!("\"knock\",\"a\":{}1{}", "[".repeat(1000), "]".repeat(1000)));
    let good = with(&format!(r#","event":{KNOCK}"#));
    let cases: Vec<(String, &str)> = vec![
        (String::new(), r#"{"id":null,"error":"EOF while parsing a value at line 1 column 0"}"#),
        ("[1]".to_owned(), r#"{"id":null,"error":""#),
        (r#"{"id":1"#.to_owned(), r#"{"id":null,"error":""#),
        (r#"{"id":1}"#.to_owned(), r#"{"id":1,"error":"missing `room_version`"}"#),
        (good.replace(r#""10""#, r#""13""#), r#"{"id":"x","error":"unknown room version `13`"}"#),
        (good.replace(r#""10""#, "10"), r#"{"id":"x","error":"`room_version`: "#),
        (with(""), r#"{"id":"x","error":"missing `event`"}"#),
        (with(&format!(r#","event":{message}"#)), r#"{"id":"x","error":"not an `m.room.member` event"}"#),
        (with(r#","event":[]"#), r#"{"id":"x","error":"event is not an object"}"#),
        (with(r#","event":{}"#), r#"{"id":"x","error":"event has no `type`"}"#),
        (with(&format!(r#","event":{twice}"#)), r#"{"id":"x","error":"duplicate key in an object at byte "#),
        (with(&format!(r#","event":{deep}"#)), r#"{"id":"x","error":"JSON nested deeper than 128 levels at byte "#),
        (good.replace(r#""state":["#, r#""state":[1,"#), r#"{"id":"x","error":"`state[0]`: event is not an object"}"#),
        (good.replace(r#""state_key":"","#, ""), r#"{"id":"x","error":"`state[0]` has no `state_key`"}"#),
        (
            good.replace(r#""state":["#, r#""state":{"a":["#).replace(r#"],"event""#, r#"]},"event""#),
            r#"{"id":"x","error":"`state`: "#,
        ),
    ];
    for (line, expected) in &cases {
        let (answer, all_read) = one(authorize, &format!("{line}\n{good}"));
        assert!(answer.starts_with(expected), "{line}\n{answer}");
        assert!(answer.ends_with("}\n{\"id\":\"x\",\"allow\":true}"), "{answer}");
        assert!(!all_read);
    }
    let (answers, all_read) = run(authorize, &[b"\xff{}", good.as_bytes()]);
    assert_eq!(
        answers.first().map(String::as_str),
        Some(r#"{"id":null,"error":"invalid utf-8 sequence of 1 bytes from index 0"}"#)
    );
    assert_eq!((answers.len(), all_read), (2, false));
}

#[test]
fn what_is_shown() {
    let own = KNOCK.replace(r#""knock"}"#, r#""knock"},"unsigned":{"age":1}"#);
    let line = |version: &str, user: &str| {
        format!(r#"{{"id":1,"room_version":"{version}","state":[{own},{RULES},{CREATE}],"user_id":"{user}"}}"#)
    };
    let create = r#"{"content":{"creator":"@a:b"},"sender":"@a:b","state_key":"","type":"m.room.create"}"#;
    let create_v1 =
        r#"{"content":{"creator":"@a:b"},"event_id":"$c","sender":"@a:b","state_key":"","type":"m.room.create"}"#;
    let rules = r#"{"content":{"join_rule":"knock"},"sender":"@a:b","state_key":"","type":"m.room.join_rules"}"#;
    let knock = r#"{"content":{"membership":"knock"},"sender":"@k:c","state_key":"@k:c","type":"m.room.member"}"#;
    let answer = |create_whole: &str, client: &[&str]| {
        format!(r#"{{"id":1,"federation":[{create_whole},{rules}],"client":[{}]}}"#, client.join(","))
    };
    assert_eq!(one(stripped_state, &line("10", "@k:c")), (answer(create, &[create, rules, knock]), true));
    assert_eq!(one(stripped_state, &line("10", "@x:c")), (answer(create, &[create, rules]), true));
    assert_eq!(one(stripped_state, &line("1", "@x:c")), (answer(create_v1, &[create, rules]), true));
    let (error, all_read) = one(stripped_state, &line("10", "k"));
    assert_eq!((error.as_str(), all_read), (r#"{"id":1,"error":"`user_id` does not begin with `@`"}"#, false));
}
