//! Colours: on a terminal, and nowhere else.

use std::process::Command;

use super::{ROOM, end, explained};

const USER: &str = "@kay:b.evil.example";

#[test]
fn none_in_a_pipe() {
    for (name, value) in [("TERM", "xterm-256color"), ("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")] {
        let mut tool = Command::new(env!("CARGO_BIN_EXE_knock"));
        tool.args(["explain", "--user", USER]).env(name, value);
        let ended = end(tool, ROOM.as_bytes());
        assert_eq!((ended.status, &*ended.errors), (Some(0), ""));
        assert!(!ended.output.contains('\u{1B}'), "{}", ended.output);
        assert_eq!(ended.output, explained(USER, ROOM));
    }
}

/// `script` of util-linux gives the tool a terminal. Every Debian and Ubuntu has it.
#[cfg(target_os = "linux")]
#[test]
fn on_a_terminal_unless_unwanted() {
    let room = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/explain/room.json");
    let on_a_terminal = |no_color: Option<&str>, term: &str| {
        let mut script = Command::new("script");
        let command = format!("'{}' explain --user {USER} '{room}'", env!("CARGO_BIN_EXE_knock"));
        script.args(["--quiet", "--return", "--command", &command, "/dev/null"]).env("TERM", term);
        match no_color {
            Some(value) => script.env("NO_COLOR", value),
            None => script.env_remove("NO_COLOR"),
        };
        let ended = end(script, b"");
        assert_eq!(ended.status, Some(0), "{ended:?}");
        // A terminal ends lines with both.
        ended.output.replace("\r\n", "\n")
    };
    let plain = explained(USER, ROOM);
    let coloured = on_a_terminal(None, "xterm");
    assert!(
        coloured.contains("\u{1B}[1mMay they knock?\u{1B}[0m \u{1B}[31mno, 4 things are in the way\u{1B}[0m\n"),
        "{coloured}"
    );
    // An empty value is none.
    assert_eq!(on_a_terminal(Some(""), "xterm"), coloured);
    let mut without = coloured.clone();
    for code in ["\u{1B}[0m", "\u{1B}[1m", "\u{1B}[2m", "\u{1B}[31m", "\u{1B}[32m"] {
        without = without.replace(code, "");
    }
    assert_eq!(without, plain);
    assert_eq!(on_a_terminal(Some("1"), "xterm"), plain);
    assert_eq!(on_a_terminal(None, "dumb"), plain);
}
