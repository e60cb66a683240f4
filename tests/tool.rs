//! The commands of the tool, line for line: other people's tests speak this format.
#![cfg(all(feature = "ed25519", feature = "serde_json"))]
#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot be set up fails")]

#[path = "tool/handshake.rs"]
mod handshake;
#[path = "tool/process.rs"]
mod process;
#[path = "tool/visible.rs"]
mod visible;

use process::Knock;

/// The answers to some lines, and whether all could be read.
fn run(command: &str, lines: &[&[u8]]) -> (Vec<String>, bool) {
    let ended = Knock::start(&[command]).end(&lines.join(&b'\n'));
    assert_eq!(ended.errors, "");
    let all_read = match ended.status {
        Some(0) => true,
        Some(1) => false,
        other => panic!("exit status {other:?}"),
    };
    (ended.output.split_terminator('\n').map(str::to_owned).collect(), all_read)
}

fn one(command: &str, line: &str) -> (String, bool) {
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
        (line("\"é\u{2028}\\u2028\"", "12", &room, KNOCK), "{\"id\":\"é\u{2028}\\u2028\",\"allow\":true}".to_owned()),
        (line("1e999", "12", &room, KNOCK), r#"{"id":1e999,"allow":true}"#.to_owned()),
        (
            line(r#"{"b":[1.5, null],"a":1}"#, "6", &room, KNOCK),
            refused(
                r#"{"b":[1.5, null],"a":1}"#,
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
        assert_eq!(one("authorize", &line), (expected, true), "{line}");
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
        let (answer, all_read) = one("authorize", &format!("{line}\n{good}"));
        assert!(answer.starts_with(expected), "{line}\n{answer}");
        assert!(answer.ends_with("}\n{\"id\":\"x\",\"allow\":true}"), "{answer}");
        assert!(!all_read);
    }
    let (answers, all_read) = run("authorize", &[b"\xff{}", good.as_bytes()]);
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
    assert_eq!(one("stripped-state", &line("10", "@k:c")), (answer(create, &[create, rules, knock]), true));
    assert_eq!(one("stripped-state", &line("10", "@x:c")), (answer(create, &[create, rules]), true));
    assert_eq!(one("stripped-state", &line("1", "@x:c")), (answer(create_v1, &[create, rules]), true));
    let (error, all_read) = one("stripped-state", &line("10", "k"));
    assert_eq!((error.as_str(), all_read), (r#"{"id":1,"error":"`user_id` does not begin with `@`"}"#, false));
}

#[test]
fn canonical_forms() {
    for (line, expected) in [
        (r#"{"id":1,"value":{"b":"\u00e9\n","a":[1, -2]}}"#, r#"{"id":1,"canonical":"{\"a\":[1,-2],\"b\":\"é\\n\"}"}"#),
        (r#"{"id":2,"value":1e2,"room_version":"5"}"#, r#"{"id":2,"canonical":"100.0"}"#),
        (r#"{"id":3,"value":"x","room_version":"6"}"#, r#"{"id":3,"canonical":"\"x\""}"#),
    ] {
        assert_eq!(one("canonical", line), (expected.to_owned(), true));
    }
    for (line, expected) in [
        (r#"{"id":4,"value":1e2}"#, r#"{"id":4,"error":"number not allowed in canonical JSON at byte 0"}"#),
        (r#"{"id":5,"value":{"a":1,"\u0061":2}}"#, r#"{"id":5,"error":"duplicate key in an object at byte 18"}"#),
        (r#"{"id":6}"#, r#"{"id":6,"error":"missing `value`"}"#),
        (r#"{"id":7,"value":1,"room_version":"x"}"#, r#"{"id":7,"error":"unknown room version `x`"}"#),
    ] {
        assert_eq!(one("canonical", line), (expected.to_owned(), false));
    }
    let nested = |depth| format!(r#"{{"id":8,"value":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let expected = format!(r#"{{"id":8,"canonical":"{}{}"}}"#, "[".repeat(128), "]".repeat(128));
    assert_eq!(one("canonical", &nested(128)), (expected, true));
    let expected = r#"{"id":8,"error":"JSON nested deeper than 128 levels at byte 129"}"#;
    assert_eq!(one("canonical", &nested(129)), (expected.to_owned(), false));
}

/// A recorded event of version 10 and the key of its server.
const RECORDED: &str = include_str!("vectors/tampered_send_knock.jsonl");
const KEYS: &str = r#"{"hs2.test:28448":{"ed25519:a_mdJa":"/sq0Xm+k63PzwNLlvmIH5Eyaely0ApUEREMHVnHHRMo"}}"#;

fn recorded_knock() -> (String, String) {
    let line = RECORDED.lines().next().expect("a request");
    let request: serde_json::Value = serde_json::from_str(line).expect("JSON");
    let text = |key: &str| request[key].as_str().expect("a string").to_owned();
    (text("body"), text("path_event_id"))
}

#[test]
fn ids_and_hashes() {
    let (event, id) = recorded_knock();
    // The host's note of an ID is no part of the event.
    let noted = event.replacen('{', r#"{"event_id":"$note","#, 1);
    let value: serde_json::Value = serde_json::from_str(&event).expect("JSON");
    let hash = value["hashes"]["sha256"].as_str().expect("a hash");
    for event in [&event, &noted] {
        let (answer, all_read) = one("event-id", &format!(r#"{{"id":1,"room_version":"10","event":{event}}}"#));
        let start = format!(r#"{{"id":1,"event_id":"{id}","content_hash":"{hash}","hash_ok":true,"redacted":{{"#);
        assert!(answer.starts_with(&start), "{answer}");
        assert!(answer.contains(r#""content":{"membership":"knock"}"#) && !answer.contains("reason"), "{answer}");
        assert!(all_read);
    }
    let of = |version: &str, event: &str| {
        one("event-id", &format!(r#"{{"id":1,"room_version":"{version}","event":{event}}}"#))
    };
    let expected = concat!(
        r#"{"id":1,"event_id":"$x:y","content_hash":"SRxBynihrRJqWJY7oJU9Q5yUzO29Nc5Pl+KiwC8drDs","#,
        r#""hash_ok":false,"redacted":{"content":{},"event_id":"$x:y","hashes":{},"type":"X"}}"#,
    );
    let (answer, _) = of("1", r#"{"type":"X","event_id":"$x:y","content":{"a":1},"hashes":{}}"#);
    assert_eq!(answer, expected);
    assert_eq!(of("1", r#"{"type":"X"}"#).0, r#"{"id":1,"error":"event has no `event_id`"}"#);
    assert_eq!(of("10", "{}").0, r#"{"id":1,"error":"event has no `type`"}"#);
    assert_eq!(of("10", "[]").0, r#"{"id":1,"error":"event is not an object"}"#);
}

#[test]
fn verdicts_on_events() {
    let (event, _) = recorded_knock();
    let with = |event: &str, keys: &str| {
        one("verify", &format!(r#"{{"id":1,"room_version":"10","event":{event},"keys":{keys}}}"#))
    };
    let verdict =
        |verdict: &str, reason: &str| (format!(r#"{{"id":1,"verdict":"{verdict}","reason":{reason}}}"#), true);
    assert_eq!(with(&event, KEYS), verdict("ok", "null"));
    assert_eq!(with(&event.replacen('{', r#"{"event_id":"$note","#, 1), KEYS), verdict("ok", "null"));
    let changed = event.replace(r#""membership":"knock""#, r#""membership":"knock","x":1"#);
    assert_eq!(with(&changed, KEYS), verdict("hash_mismatch", r#""the content hash is not that of the event""#));
    assert_eq!(
        with(&event.replace(r#""membership":"knock""#, r#""membership":"join""#), KEYS),
        verdict("bad_signature", r#""the signature of `hs2.test:28448` by `ed25519:a_mdJa` does not verify""#)
    );
    assert_eq!(
        with(&event, "{}"),
        verdict("bad_signature", r#""no signature by a known key of `hs2.test:28448` that counts""#)
    );
    assert_eq!(
        with(&event.replace(r#""depth""#, r#""height""#), KEYS),
        verdict("bad_format", r#""event has no `depth`""#)
    );
    assert_eq!(
        with(&event.replacen('{', r#"{"type":"x","#, 1), KEYS).0.split(" at byte").next(),
        Some(r#"{"id":1,"verdict":"bad_format","reason":"duplicate key in an object"#)
    );
    let error = r#"{"id":1,"error":"`keys`: `ed25519:a` of `x` is no ed25519 key"}"#;
    assert_eq!(with(&event, r#"{"x":{"ed25519:a":"AAAA"}}"#), (error.to_owned(), false));
}

#[test]
fn client_requests() {
    let line = |rest: &str| format!(r#"{{"id":1,"method":"POST","path":"/_matrix/client/v3/knock/%21r%3Ab"{rest}}}"#);
    let error = |status: u16, errcode: &str, error: &str| {
        format!(r#"{{"id":1,"status":{status},"body":{{"errcode":"{errcode}","error":"{error}"}}}}"#)
    };
    let knock =
        |via: &str, reason: &str| format!(r#"{{"id":1,"room_id_or_alias":"!r:b","via":[{via}],"reason":{reason}}}"#);
    let whole = line(r#","query":"server_name=c&via=d%3A80&via=c","body":"{\"reason\":\"\\u00e9/%\"}""#);
    for (line, expected) in [
        (whole.clone(), knock(r#""c","d:80""#, r#""é/%""#)),
        (line(r#","query":"","body":"{}""#), knock("", "null")),
        (line(r#","query":null,"body":"{\"reason\":null}""#), knock("", "null")),
        (line(r#","query":"","body":null"#), error(400, "M_NOT_JSON", "The body is not JSON")),
        (line(r#","query":"","body":"""#), error(400, "M_NOT_JSON", "The body is not JSON")),
        (line(r#","query":"","body":"[]""#), error(400, "M_BAD_JSON", "The body is not an object")),
        (line(r#","query":"","body":"{\"reason\":1}""#), error(400, "M_BAD_JSON", "`reason` is not a string")),
        (whole.replace("POST", "GET"), error(405, "M_UNRECOGNIZED", "No such method here")),
        (whole.replace("knock", "join"), error(404, "M_UNRECOGNIZED", "No such endpoint")),
        (whole.replace("%21r", "r"), error(400, "M_INVALID_PARAM", "Not a room ID or alias")),
        (whole.replace("%21r", "%23r%22"), knock(r#""c","d:80""#, r#""é/%""#).replace("!r:b", r##"#r\":b"##)),
    ] {
        assert_eq!(one("request", &line), (expected, true), "{line}");
    }
    for (line, expected) in [
        (r#"{"id":1,"path":"/"}"#.to_owned(), r#"{"id":1,"error":"missing `method`"}"#),
        (r#"{"id":1,"method":"POST"}"#.to_owned(), r#"{"id":1,"error":"missing `path`"}"#),
        (line(r#","query":1"#), r#"{"id":1,"error":"`query`: invalid type: "#),
        (line(r#","body":{}"#), r#"{"id":1,"error":"`body`: invalid type: "#),
    ] {
        let (answer, all_read) = one("request", &line);
        assert!(answer.starts_with(expected) && !all_read, "{answer}");
    }
}

#[test]
fn names_of_changes() {
    let leave = KNOCK.replace(r#""knock""#, r#""leave""#);
    let denied = leave.replace(r#""sender":"@k:c""#, r#""sender":"@a:b""#);
    let of = |before: &str, event: &str| one("classify", &format!(r#"{{"id":1,"before":{before},"event":{event}}}"#));
    for (before, event, change) in [
        ("null", KNOCK, "knocked"),
        (&leave, KNOCK, "knocked"),
        (KNOCK, KNOCK, "knocked_again"),
        (KNOCK, &leave, "knock_retracted"),
        (KNOCK, &denied, "knock_denied"),
        (&leave, &denied, "none"),
        (&KNOCK.replace("knock", "invite"), KNOCK, "impossible"),
        ("null", &KNOCK.replace("knock", "something else"), "impossible"),
    ] {
        assert_eq!(of(before, event), (format!(r#"{{"id":1,"change":"{change}"}}"#), true));
    }
    for (before, event, error) in [
        (CREATE, KNOCK, "not an `m.room.member` event with a `state_key`"),
        ("null", RULES, "not an `m.room.member` event with a `state_key`"),
        (&KNOCK.replace("@k", "@l"), KNOCK, "the two events are of different users"),
        ("[]", KNOCK, "`before`: event is not an object"),
        ("null", "null", "event is not an object"),
        (&KNOCK.replace(r#""knock""#, "1"), KNOCK, "the content of an `m.room.member` event in the state is malformed"),
        (KNOCK, &KNOCK.replace(r#""knock""#, "null"), "the content of the event is malformed"),
    ] {
        assert_eq!(of(before, event), (format!(r#"{{"id":1,"error":"{error}"}}"#), false));
    }
    // Without the event before, what the event says of it itself.
    let alone = |unsigned: &str| {
        let event = denied.replacen('{', &format!(r#"{{"unsigned":{unsigned},"#), 1);
        one("classify", &format!(r#"{{"id":1,"event":{event}}}"#))
    };
    for (unsigned, change) in [
        (r#"{"age":1.5,"prev_content":{"membership":"knock"}}"#, "knock_denied"),
        (r#"{"prev_content":{"membership":"join","a":[-0]}}"#, "kicked"),
    ] {
        assert_eq!(alone(unsigned), (format!(r#"{{"id":1,"change":"{change}"}}"#), true), "{unsigned}");
    }
    for unsigned in ["null", "[]", "{}", r#"{"prev_content":null}"#] {
        let error = r#"{"id":1,"error":"neither `before` nor `unsigned.prev_content` of the event"}"#;
        assert_eq!(alone(unsigned), (error.to_owned(), false), "{unsigned}");
    }
    let error = "the content of an `m.room.member` event in the state is malformed";
    assert_eq!(alone(r#"{"prev_content":{}}"#), (format!(r#"{{"id":1,"error":"{error}"}}"#), false));
}
