//! The commands of the tool about what other servers and clients send, run as a process: whole
//! answers, beside small models of what each answer has to be.
#![cfg(all(feature = "ed25519", feature = "serde_json"))]
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test that cannot be set up fails")]

#[path = "tool_neighbours/bad_lines.rs"]
mod bad_lines;
#[path = "tool_neighbours/pending.rs"]
mod pending;
#[path = "tool_neighbours/room_state.rs"]
mod room_state;
#[path = "tool_neighbours/section.rs"]
mod section;

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// The exit status, and the answers line by line.
pub(crate) fn run(command: &str, lines: &[String]) -> (Option<i32>, Vec<String>) {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_knock"));
    tool.arg(command).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut tool = tool.spawn().expect("the tool starts");
    let mut stdin = tool.stdin.take().expect("a pipe");
    let input = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input.as_bytes()).expect("it reads"));
        tool.wait_with_output().expect("it ends")
    });
    assert_eq!(String::from_utf8(output.stderr).expect("UTF-8"), "");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(text.is_empty() || text.ends_with('\n'));
    (output.status.code(), text.split_terminator('\n').map(str::to_owned).collect())
}

/// Compares the answers to lines that can be read: each an object, which answers its `id` first.
pub(crate) fn check(command: &str, cases: &[(Value, Value)]) {
    let lines: Vec<String> = cases.iter().map(|(line, _)| line.to_string()).collect();
    let (status, answers) = run(command, &lines);
    assert_eq!((status, answers.len()), (Some(0), cases.len()));
    for ((line, expected), answer) in cases.iter().zip(&answers) {
        assert!(answer.starts_with(&format!("{{\"id\":{}", line["id"])), "{answer}");
        let answer: Value = serde_json::from_str(answer).expect("JSON");
        assert_eq!(&answer, expected, "{command}: {line}");
    }
}

/// Whether a room can be knocked on: versions without knocking, with each join rule, not known.
/// <https://spec.matrix.org/v1.19/rooms/v10/#authorization-rules>: the rules by version.
#[test]
fn knockable() {
    let versions = [json!(null), json!(""), json!("1"), json!("6"), json!("7"), json!("9"), json!("10"), json!("12")]
        .into_iter()
        .chain([json!("13"), json!("org.matrix.msc3757.11")]);
    let rules = ["public", "invite", "private", "restricted", "knock", "knock_restricted", "", "x.rule"];
    let rules: Vec<Value> = rules.map(|rule| json!(rule)).into_iter().chain([json!(null)]).collect();
    let mut cases = Vec::new();
    for version in versions {
        for rule in &rules {
            let number: Option<u32> = version.as_str().and_then(|version| version.parse().ok());
            let expected = match (rule.as_str().unwrap_or("public"), number.filter(|number| *number < 13)) {
                ("public" | "invite" | "private" | "restricted", _) => json!(false),
                (_, None) => json!(null),
                ("knock", Some(7..)) | ("knock_restricted", Some(10..)) => json!(true),
                (_, Some(_)) => json!(false),
            };
            let mut line = json!({ "id": cases.len(), "room_version": version, "join_rule": rule });
            let answer = json!({ "id": cases.len(), "knockable": expected });
            cases.push((line.clone(), answer.clone()));
            // What is null can be left out as well.
            line.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
            cases.push((line, answer));
        }
    }
    assert_eq!(cases.len(), 180);
    check("knockable", &cases);
}

/// Each code of an error with each status, with and without `Retry-After`: the code says more than
/// the status.
#[test]
fn knock_answer() {
    const CODES: [(&str, &str); 20] = [
        ("M_FORBIDDEN", "forbidden"),
        ("M_GUEST_ACCESS_FORBIDDEN", "guest_access_forbidden"),
        ("M_USER_SUSPENDED", "user_suspended"),
        ("M_NOT_FOUND", "not_found"),
        ("M_UNRECOGNIZED", "unrecognized"),
        ("M_TOO_LARGE", "too_large"),
        ("M_LIMIT_EXCEEDED", "rate_limited"),
        ("M_INCOMPATIBLE_ROOM_VERSION", "incompatible_room_version"),
        ("M_CONSENT_NOT_GIVEN", "other"),
        ("M_RESOURCE_LIMIT_EXCEEDED", "other"),
        ("M_USER_DEACTIVATED", "other"),
        ("M_UNKNOWN_TOKEN", "other"),
        ("M_MISSING_TOKEN", "other"),
        ("M_BAD_JSON", "other"),
        ("M_NOT_JSON", "other"),
        ("M_INVALID_PARAM", "other"),
        ("ORG.EXAMPLE.NOT_TODAY", "other"),
        ("m_forbidden", "other"),
        // These two say nothing.
        ("M_UNKNOWN", ""),
        ("", ""),
    ];
    let by_status = |status: u16| match status {
        403 => "forbidden",
        404 => "not_found",
        405 => "unrecognized",
        413 => "too_large",
        429 => "rate_limited",
        502 | 504 => "no_answer",
        _ => "other",
    };
    // The header counts in seconds and wins; what is no number of seconds says nothing.
    let waits = [
        (None, None, json!(null)),
        (None, Some(json!(1_500)), json!(1_500)),
        (Some("3"), None, json!(3_000)),
        (Some(" 3 "), Some(json!(1_500)), json!(3_000)),
        (Some("Wed, 21 Oct 2026 07:28:00 GMT"), Some(json!(1_500)), json!(1_500)),
        (Some("-3"), Some(json!("1500")), json!(null)),
    ];
    let mut cases = Vec::new();
    for (code, kind) in CODES {
        for status in [400, 401, 403, 404, 405, 413, 418, 429, 500, 502, 503, 504] {
            for (header, in_body, expected) in &waits {
                let mut body = json!({ "error": "No \u{2028} \"way\"", "contact": { "x": [1] } });
                if !code.is_empty() {
                    body["errcode"] = json!(code);
                }
                if let Some(wait) = in_body {
                    body["retry_after_ms"] = wait.clone();
                }
                let id = cases.len();
                let kind = if kind.is_empty() { by_status(status) } else { kind };
                let errcode = Some(code).filter(|code| !code.is_empty());
                let line = json!({ "id": id, "status": status, "retry_after": header, "body": body.to_string() });
                let answer = json!({ "id": id, "kind": kind, "errcode": errcode, "error": body["error"],
                    "retry_after_ms": expected });
                cases.push((line, answer));
            }
        }
    }
    assert_eq!(cases.len(), 1_440);
    // No error of a Matrix server: the status is all there is.
    for body in ["", "<html>Bad Gateway</html>", "[]", "null", "{", r#"{"errcode":5,"error":{}}"#] {
        for status in [301, 403, 404, 429, 502] {
            let id = cases.len();
            let line = json!({ "id": id, "status": status, "body": body });
            let answer = json!({ "id": id, "kind": by_status(status), "errcode": null, "error": null,
                "retry_after_ms": null });
            cases.push((line, answer));
        }
    }
    for (body, room_id) in [
        (r#"{"room_id":"!r:a.example"}"#, Some("!r:a.example")),
        (r#" {"x":[1.5,1e400],"room\u005fid":"\u0021r:a.example"} "#, Some("!r:a.example")),
        (
            r#"{"room_id":"!3yCs4Lz9QxPV5hGkJMWmZ0vYT8nUoXrB2aFqE1dI7wK"}"#,
            Some("!3yCs4Lz9QxPV5hGkJMWmZ0vYT8nUoXrB2aFqE1dI7wK"),
        ),
        (r##"{"room_id":"#r:a.example"}"##, None),
        (r#"{"room_id":null}"#, None),
        (r#"{"room_id":"!r:a.example","room_id":"!r:a.example"}"#, None),
        (r#"{"errcode":"M_FORBIDDEN","error":"x"}"#, None),
        (r#"["!r:a.example"]"#, None),
        ("{}", None),
        ("", None),
    ] {
        let id = cases.len();
        let answer = match room_id {
            Some(room_id) => json!({ "id": id, "room_id": room_id }),
            None => {
                json!({ "id": id, "kind": "malformed", "errcode": null, "error": null, "retry_after_ms": null })
            }
        };
        cases.push((json!({ "id": id, "status": 200, "retry_after": "5", "body": body }), answer));
    }
    check("knock-answer", &cases);
}

/// The membership before, as the line has it: by its own event, by none, or by what the event says.
#[test]
fn classify() {
    let event =
        |content: &Value| json!({ "type": "m.room.member", "state_key": "@k:b", "sender": "@m:a", "content": content });
    // What an invite by somebody else makes of each membership.
    let of_invite = |before: &str| match before {
        "leave" => "invited",
        "knock" => "knock_accepted",
        "invite" => "none",
        _ => "impossible",
    };
    let memberships = ["invite", "join", "leave", "ban", "knock"];
    let mut cases = Vec::new();
    // As a client has it, in `unsigned`; in `before`; in both, where the line counts.
    for before in memberships.into_iter().chain([""]) {
        for said in memberships.into_iter().chain([""]) {
            let mut invite = event(&json!({ "membership": "invite" }));
            if !said.is_empty() {
                invite["unsigned"] = json!({ "prev_content": { "membership": said }, "prev_sender": "@x:y" });
            }
            for without_event_is_null in [false, true] {
                let mut line = json!({ "id": cases.len(), "event": invite });
                let known = match (before, without_event_is_null) {
                    ("", true) => {
                        line["before"] = json!(null);
                        "leave"
                    }
                    ("", false) if said.is_empty() => continue,
                    ("", false) => said,
                    (before, _) => {
                        line["before"] = event(&json!({ "membership": before }));
                        before
                    }
                };
                let answer = json!({ "id": cases.len(), "change": of_invite(known) });
                cases.push((line, answer));
            }
        }
    }
    assert_eq!(cases.len(), 71);
    check("classify", &cases);
}
