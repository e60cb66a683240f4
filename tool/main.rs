//! The tool: without a command it walks over a recorded room; with one it answers JSON lines.

mod between_servers;
mod client;
mod commands;
mod handshake;
mod walk;

use std::io;
use std::process::ExitCode;

const USAGE: &str = "usage: knock [COMMAND]

Without a command: a walk over a recorded room.
With one: reads JSON lines from standard input, writes one JSON line for each.

  authorize        room_version, state, event   -> may this membership event happen?
  event-id         room_version, event          -> its ID and hashes, and what a redaction leaves
  canonical        value, room_version (or not) -> the canonical form
  verify           room_version, event, keys    -> are format, signatures and hash right?
  filter-state     room_version, room_id, user_id, knock_room_state, keys
                                                -> what of it a client may be shown
  make-knock       room_version, room_id, user_id, origin, ver, state, prev_events, server_name, now
                                                -> what a resident server answers
  request          method, path, query, body    -> what a server reads out of a client's `/knock`
  send-knock       room_version, room_id, event_id, origin, body, state, auth_events, keys, server_name
                                                -> what a resident server answers
  template         room_id, user_id, ver, response, now, server_name, reason, displayname, avatar_url
                                                -> what a knocking server makes of the answer to make_knock
  classify         before (or null), event      -> the name of what a member event did
  stripped-state   room_version, state, user_id -> what somebody outside the room is shown
";

fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => walk::walk(&mut io::stdout().lock()).map(|()| true),
        ["authorize"] => answer(commands::authorize),
        ["classify"] => answer(commands::classify),
        ["event-id"] => answer(commands::event_id),
        ["canonical"] => answer(commands::canonical_json),
        ["verify"] => answer(commands::verify),
        ["filter-state"] => answer(handshake::filter_state),
        ["make-knock"] => answer(handshake::make_knock),
        ["request"] => answer(client::request),
        ["send-knock"] => answer(handshake::send_knock),
        ["template"] => answer(handshake::template),
        ["stripped-state"] => answer(commands::stripped_state),
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(true)
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // Whoever reads our output has seen enough of it.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("knock: {error}");
            ExitCode::FAILURE
        }
    }
}

fn answer(command: fn(&commands::Line<'_>) -> commands::Answer) -> io::Result<bool> {
    commands::answer(command, io::stdin().lock(), io::BufWriter::new(io::stdout().lock()))
}
