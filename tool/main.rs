//! The tool `knock`: without a command it walks over a recorded room; with one it answers JSON lines.

mod commands;
mod explain;
mod lines;
mod walk;

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use commands::{COMMANDS, Command};
use explain::ExplainError;

const USAGE: &str = r#"usage: knock [COMMAND]
       knock explain --user @NAME:SERVER [--room-version VERSION] [--server SERVER] [FILE]

Without a command: a walk over a recorded room, through both servers of a knock.

`explain`: in words, whether the user may knock on a room and join it, everything that is in the
way, who could let them in, and which events say so. The state of the room is read from the file, or
from standard input, as a server gives it out: `/_matrix/client/v3/rooms/ROOM/state`, Synapse's
`/_synapse/admin/v1/rooms/ROOM/state`, `/state` between servers, or one event a line. The room
version is that of the create event unless `--room-version` names another. `--server` is the server
that the knock would go to. Exit status: 0, whatever the answer is; 1 if the state cannot be read; 2
if the arguments cannot. Colours are for a terminal, and not if NO_COLOR is set.

With another command: reads JSON lines from standard input and writes one JSON line for each, in order,
with the `id` of the line. A line that cannot be read gives an `error`; the others go on.

    echo '{"id":1,"value":{"b":2,"a":1}}' | knock canonical
    {"id":1,"canonical":"{\"a\":1,\"b\":2}"}

Exit status: 0; 1 if a line could not be read, or on an error of input or output; 2 for a
command that does not exist.

Commands, with the members of a line (in brackets: may be left out) and of its answer:
"#;

fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut out = io::stdout().lock();
    let done = match (arguments.as_slice(), arguments.first().and_then(|name| Command::named(name))) {
        ([], _) => walk::walk(&mut out).map(|()| true),
        ([.., "-h" | "--help"] | ["help"], _) => help(&mut out).map(|()| true),
        (["-V" | "--version"], _) => writeln!(out, "knock {}", env!("CARGO_PKG_VERSION")).map(|()| true),
        (["explain", ..], _) => {
            let arguments: Vec<_> = std::env::args_os().skip(2).collect();
            match explain::explain(&arguments, &mut out) {
                Ok(()) => Ok(true),
                Err(error @ ExplainError::Arguments(_)) => return misused(&error.shown()),
                Err(ExplainError::Output(error)) => Err(error),
                Err(error) => Err(io::Error::other(error.shown())),
            }
        }
        ([_], Some(command)) => lines::answer(command.answer, io::stdin().lock(), io::BufWriter::new(out)),
        ([name, argument, ..], Some(_)) => return misused(&format!("`{name}` takes no argument `{argument}`")),
        ([name, ..], None) => return misused(&format!("unknown command `{name}`")),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // Whoever reads our output has seen enough of it.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn help(out: &mut impl Write) -> io::Result<()> {
    out.write_all(USAGE.as_bytes())?;
    for Command { name, about, takes, gives, .. } in &COMMANDS {
        let gives = gives.replace('\n', "\n                       ");
        let takes = takes.replace('\n', "\n                       ");
        write!(out, "\n  {name:<16}{about}\n{:18}in:  {takes}\n{:18}out: {gives}\n", "", "")?;
    }
    out.flush()
}

fn misused(why: &str) -> ExitCode {
    complain(&format!("{why}; `knock --help` lists the commands"));
    ExitCode::from(2)
}

/// Writes to standard error, if there is one: nobody could be told that there is none.
fn complain(message: &str) {
    drop(writeln!(io::stderr(), "knock: {message}"));
}
