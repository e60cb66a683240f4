//! The tool's commands about the answer to a knock, whole lines: `answer`, `countersigned`, `invite`, `receive`, `policy`. The
//! expected events are hashed, signed and named by ruma-signatures.
#![cfg(all(feature = "ed25519", feature = "serde_json"))]
#![expect(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot be set up fails"
)]

#[path = "tool_answers/answer.rs"]
mod answer;
#[path = "tool_answers/countersigned.rs"]
mod countersigned;
#[path = "tool_answers/invite.rs"]
mod invite;
#[path = "tool_answers/policy.rs"]
mod policy;
#[path = "tool_answers/receive.rs"]
mod receive;
#[path = "tool_answers/room.rs"]
mod room;

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// What the tool says to these lines, a line each, and its exit status.
fn run(command: &str, lines: &[String]) -> (Vec<String>, Option<i32>) {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_knock"));
    tool.arg(command).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut tool = tool.spawn().expect("the tool starts");
    let mut stdin = tool.stdin.take().expect("a pipe");
    let input = lines.join("\n");
    let ended = std::thread::scope(|scope| {
        scope.spawn(move || drop(stdin.write_all(input.as_bytes())));
        tool.wait_with_output().expect("it ends")
    });
    assert_eq!(String::from_utf8(ended.stderr).as_deref(), Ok(""));
    let output = String::from_utf8(ended.stdout).expect("UTF-8");
    assert!(output.is_empty() || output.ends_with('\n'), "{output}");
    let answers: Vec<String> = output.split_terminator('\n').map(str::to_owned).collect();
    assert_eq!(answers.len(), lines.len(), "{output}");
    (answers, ended.status.code())
}

/// Runs the cases, each a line and the whole answer to it. The lines get their place as `id`.
fn assert_answers(command: &str, cases: Vec<(Value, String)>) -> usize {
    let lines: Vec<String> = cases.iter().enumerate().map(|(id, (line, _))| with_id(line, id)).collect();
    let (answers, status) = run(command, &lines);
    let wrong = answers.iter().zip(&cases).enumerate().filter_map(|(id, (answer, (_, expected)))| {
        let expected = format!(r#"{{"id":{id},{expected}}}"#);
        (*answer != expected).then(|| format!("answer:   {answer}\nexpected: {expected}"))
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{command}\n{}", wrong.join("\n"));
    let failed = cases.iter().any(|(_, expected)| expected.starts_with(r#""error":"#));
    assert_eq!(status, Some(i32::from(failed)));
    cases.len()
}

fn with_id(line: &Value, id: usize) -> String {
    let mut line = line.clone();
    line["id"] = id.into();
    line.to_string()
}

/// The answer to a line that cannot be read.
fn error(message: &str) -> String {
    format!(r#""error":{}"#, Value::from(message))
}

/// The answer on the wire.
fn refusal(status: u16, errcode: &str, message: &str) -> String {
    format!(r#""status":{status},"body":{{"errcode":"{errcode}","error":{}}}"#, Value::from(message))
}

/// The line without one of its members.
fn without(line: &Value, name: &str) -> Value {
    let mut line = line.clone();
    assert!(line.as_object_mut().unwrap().remove(name).is_some(), "{name}");
    line
}

/// The line with another value of one of its members.
fn with(line: &Value, name: &str, value: impl Into<Value>) -> Value {
    let mut line = line.clone();
    line[name] = value.into();
    line
}

/// Every one of these members has to be there.
fn missing_members(line: &Value, names: &[&str]) -> Vec<(Value, String)> {
    names.iter().map(|name| (without(line, name), error(&format!("missing `{name}`")))).collect()
}

/// A line goes by itself: others that cannot be read do not stop it.
#[test]
fn lines_that_cannot_be_read() {
    let good = policy::line();
    let good = with(&good, "id", "x").to_string();
    for command in ["answer", "countersigned", "invite", "receive", "policy"] {
        let lines: Vec<String> = ["", "[]", "{", "\"", "1", "null"].map(str::to_owned).to_vec();
        let (answers, status) = run(command, &[lines, vec![good.clone()]].concat());
        assert_eq!(status, Some(1), "{command}");
        for answer in &answers[..6] {
            let answer: Value = serde_json::from_str(answer).expect("JSON");
            let error = answer["error"].as_str().expect("a message");
            assert_eq!(answer, json!({"id": null, "error": error}));
        }
        let last: Value = serde_json::from_str(&answers[6]).expect("JSON");
        assert_eq!(last["id"], "x");
        assert_eq!(last.get("error").is_none(), command == "policy", "{last}");
    }
}
