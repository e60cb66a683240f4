//! The tool as a process: its arguments, its exit status, and what happens when nobody reads on.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

const README: &str = include_str!("../../README.md");

/// A run of the tool.
pub(crate) struct Knock(Child);

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) status: Option<i32>,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Knock {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_into(arguments, Stdio::piped(), Stdio::piped())
    }

    fn start_into(arguments: &[&str], output: impl Into<Stdio>, errors: impl Into<Stdio>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_knock"));
        command.args(arguments).stdin(Stdio::piped()).stdout(output).stderr(errors);
        Self(command.spawn().expect("the tool starts"))
    }

    /// Gives it this input, and waits for its end.
    pub(crate) fn end(mut self, input: &[u8]) -> Ended {
        let mut stdin = self.0.stdin.take().expect("a pipe");
        let output = std::thread::scope(|scope| {
            // A tool that takes no input may have ended.
            scope.spawn(move || drop(stdin.write_all(input)));
            self.0.wait_with_output().expect("it ends")
        });
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Ended { status: output.status.code(), output: text(output.stdout), errors: text(output.stderr) }
    }

    fn write(&mut self, line: &str) {
        let stdin = self.0.stdin.as_mut().expect("a pipe");
        stdin.write_all(line.as_bytes()).expect("it reads");
    }

    /// Reads one line of its output, and then no more.
    fn first_line(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(self.0.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        line
    }
}

/// A pipe that nobody reads.
fn broken() -> Stdio {
    #[expect(clippy::incompatible_msrv, reason = "the tests may need a newer compiler")]
    let (_, writer) = std::io::pipe().expect("a pipe");
    writer.into()
}

/// The commands in the table of the README.
fn commands() -> Vec<&'static str> {
    let (_, section) = README.split_once("## The tool with a command").expect("the section about the tool");
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| row.split_once('`').expect("the end of a name").0).collect()
}

#[test]
fn without_a_command_it_walks() {
    let walk = Knock::start(&[]).end(b"");
    assert_eq!((walk.status, &*walk.errors), (Some(0), ""));
    let (_, shown) = README.split_once("```text\n").expect("a part of the walk");
    let (shown, _) = shown.split_once("```").expect("its end");
    assert!(walk.output.contains(shown), "{}", walk.output);
    // Both servers of a knock, to its end.
    for line in [
        "  GET      make_knock hs0.test        no answer",
        "  GET      make_knock hs1.test:18448  200, 414 bytes",
        "  (sign)   450 bytes with ed25519:walk",
        "  PUT      send_knock hs1.test:18448  200, 4116 bytes",
        "  (keys)   of hs1.test:18448: ed25519:a_iYFt",
        "  $I4Q-CI1BWV1XnNecnMtbpNI6p4rqA2Y8DX_gtRC-Ol0",
        "  another reason    400 M_INVALID_PARAM: the content hash is wrong",
        "  another depth     400 M_INVALID_PARAM: the event ID in the path is not that of the event",
        "  no depth          400 M_BAD_JSON: malformed event: event has no `depth`",
        "  of another user   400 M_INVALID_PARAM: the event ID in the path is not that of the event",
        "  PUT      send_leave hs1.test:18448  200, 2 bytes",
        "  left by way of hs1.test:18448: $sWVdWqsZwtuAwQM5Q2e-jwV_VB9DBqVEoTZKVCv3NS8",
        "  the room in the client's /sync: `knock` before, now `leave`",
    ] {
        assert!(walk.output.lines().any(|written| written == line), "{line}\n{}", walk.output);
    }
}

#[test]
fn the_help_describes_every_command() {
    let help = Knock::start(&["--help"]).end(b"");
    assert_eq!((help.status, &*help.errors), (Some(0), ""));
    for arguments in [&["-h"][..], &["help"], &["verify", "--help"], &["explain", "--help"], &["nonsense", "-h"]] {
        assert_eq!(Knock::start(arguments).end(b""), help);
    }
    // The one that takes no lines stands before the table.
    assert!(
        help.output.contains("\n       knock explain --user @NAME:SERVER [--room-version VERSION]"),
        "{}",
        help.output
    );
    let named = help.output.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    let (names, about): (Vec<_>, Vec<_>) = named.filter_map(|line| line.split_once(' ')).unzip();
    assert_eq!(names, commands());
    assert!(about.iter().all(|about| about.trim().ends_with('.')), "{}", help.output);
    assert_eq!(help.output.matches("\n                  in:  ").count(), names.len());
    assert_eq!(help.output.matches("\n                  out: ").count(), names.len());
    let (_, example) = help.output.split_once("    echo '").expect("an example");
    let (line, answer) = example.split_once("' | knock canonical\n    ").expect("its answer");
    let example = Knock::start(&["canonical"]).end(line.as_bytes());
    assert_eq!(example.output.lines().next(), answer.lines().next());
    // The help and the README say the same of refusals and of server ACLs.
    assert_eq!(help.output.matches("out: status, body; reason if it is a refusal").count(), 2);
    assert_eq!(README.matches("| `status`, `body`; `reason` in words if it is a refusal |").count(), 2);
    assert!(help.output.contains("Server ACLs are no rules: see `explain`.\n"), "{}", help.output);
    assert!(README.contains("\n`authorize` says nothing about server ACLs"));
    let longest = help.output.lines().map(|line| line.chars().count()).max();
    assert!(longest <= Some(120), "{}", help.output);
    for name in names {
        let ended = Knock::start(&[name]).end(b"");
        assert_eq!((ended.status, &*ended.output, &*ended.errors), (Some(0), "", ""), "{name}");
    }
}

#[test]
fn its_version() {
    for argument in ["--version", "-V"] {
        let ended = Knock::start(&[argument]).end(b"");
        let expected = format!("knock {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!((ended.status, &*ended.output, &*ended.errors), (Some(0), &*expected, ""));
    }
}

#[test]
fn an_unknown_command_is_an_error() {
    for (arguments, error) in [
        (&["nonsense"][..], "unknown command `nonsense`"),
        (&[""], "unknown command ``"),
        (&["--verbose"], "unknown command `--verbose`"),
        (&["nonsense", "verify"], "unknown command `nonsense`"),
        (&["verify", "a.jsonl"], "`verify` takes no argument `a.jsonl`"),
    ] {
        let ended = Knock::start(arguments).end(b"{}\n");
        let errors = format!("knock: {error}; `knock --help` lists the commands\n");
        assert_eq!(ended, Ended { status: Some(2), output: String::new(), errors });
    }
}

#[test]
fn nobody_reads_on() {
    let quiet = |status| Ended { status: Some(status), output: String::new(), errors: String::new() };
    // Nothing at all is read of the walk, of the help, of answers, of errors.
    for arguments in [&[][..], &["--help"], &["--version"], &["canonical"]] {
        let knock = Knock::start_into(arguments, broken(), Stdio::piped());
        assert_eq!(knock.end(b"{\"value\":1}\n{\"value\":2}\n"), quiet(0), "{arguments:?}");
    }
    let explain = ["explain", "--user", "@k:c"];
    assert_eq!(Knock::start_into(&explain, broken(), Stdio::piped()).end(super::CREATE.as_bytes()), quiet(0));
    assert_eq!(Knock::start_into(&explain, Stdio::piped(), broken()).end(b"no JSON"), quiet(1));
    assert_eq!(Knock::start_into(&["nonsense"], Stdio::piped(), broken()).end(b""), quiet(2));
    assert_eq!(Knock::start_into(&["canonical"], broken(), Stdio::piped()).end(b"no JSON\n"), quiet(1));

    // One answer is read. The exit status is about the lines that were answered.
    for (first, answer, status) in [
        ("{\"value\":1}\n", "{\"id\":null,\"canonical\":\"1\"}\n", 0),
        ("{}\n", "{\"id\":null,\"error\":\"missing `value`\"}\n", 1),
    ] {
        let mut knock = Knock::start(&["canonical"]);
        knock.write(first);
        assert_eq!(knock.first_line(), answer);
        assert_eq!(knock.end(b"{\"value\":2}\n{\"value\":3}\n"), quiet(status));
    }
}

#[test]
fn each_answer_at_once() {
    let mut knock = Knock::start(&["canonical"]);
    let mut answers = knock.0.stdout.take().expect("a pipe");
    for value in ["1", "[]"] {
        knock.write(&format!("{{\"id\":7,\"value\":{value}}}\n"));
        let mut answer = vec![0; format!("{{\"id\":7,\"canonical\":\"{value}\"}}\n").len()];
        answers.read_exact(&mut answer).expect("an answer before the next line is written");
        assert_eq!(answer, format!("{{\"id\":7,\"canonical\":\"{value}\"}}\n").into_bytes());
    }
    assert_eq!(knock.end(b"").status, Some(0));
}
