//! `knock explain`: whole explanations, every recorded room beside the decision, what it refuses to
//! read, and that nothing in a state steers a terminal.
#![cfg(all(feature = "ed25519", feature = "serde_json"))]
#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot be set up fails")]

#[path = "explain/arguments.rs"]
mod arguments;
#[path = "explain/decision.rs"]
mod decision;
#[path = "explain/hostile.rs"]
mod hostile;
#[path = "explain/rooms.rs"]
mod rooms;
#[path = "explain/terminal.rs"]
mod terminal;
#[path = "explain/whole.rs"]
mod whole;

use std::io::Write as _;
use std::process::{Command, Stdio};

/// The room of the README, in which everything is in the way of `@kay:b.evil.example`.
pub(crate) const ROOM: &str = include_str!("explain/room.json");

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) status: Option<i32>,
    pub(crate) output: String,
    pub(crate) errors: String,
}

/// Runs `knock explain` with these arguments and this standard input.
pub(crate) fn explain(arguments: &[&str], input: &[u8]) -> Ended {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_knock"));
    tool.arg("explain").args(arguments);
    end(tool, input)
}

pub(crate) fn end(mut tool: Command, input: &[u8]) -> Ended {
    tool.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut tool = tool.spawn().expect("the tool starts");
    let mut stdin = tool.stdin.take().expect("a pipe");
    let ended = std::thread::scope(|scope| {
        // A tool that refuses its arguments reads no input.
        scope.spawn(move || drop(stdin.write_all(input)));
        tool.wait_with_output().expect("it ends")
    });
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Ended { status: ended.status.code(), output: text(ended.stdout), errors: text(ended.stderr) }
}

/// The explanation for a user, of a state that can be read.
pub(crate) fn explained(user: &str, state: &str) -> String {
    let ended = explain(&["--user", user], state.as_bytes());
    assert_eq!((ended.status, &*ended.errors), (Some(0), ""), "{user}");
    ended.output
}

/// An error of this text and exit status.
pub(crate) fn failed(status: i32, error: &str) -> Ended {
    Ended { status: Some(status), output: String::new(), errors: format!("knock: {error}\n") }
}
