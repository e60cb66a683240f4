//! The commands: JSON lines in, JSON lines out.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, BufRead, Write};

use matrix_knock::auth;
use matrix_knock::event::Pdu;
use matrix_knock::id::UserId;
use matrix_knock::json::{CanonicalDialect, canonical};
use matrix_knock::state::StateMap;
use matrix_knock::{Ed25519, RoomVersion, stripped_state};
use serde_json::value::RawValue;

/// The members of the answer behind `id`, or why the line cannot be read.
pub(crate) type Answer = Result<String, Box<dyn Error>>;

/// The members of a line; each command asks for what it needs. (A derived struct would take a list for an object.)
pub(crate) type Line<'a> = BTreeMap<String, &'a RawValue>;

/// Reads lines and writes the command's answer to each. Whether all could be read.
pub(crate) fn answer(command: fn(&Line<'_>) -> Answer, input: impl BufRead, mut out: impl Write) -> io::Result<bool> {
    let mut all_read = true;
    for line in input.split(b'\n') {
        let line = line?;
        let (id, answer) = answer_line(&line, command);
        match answer {
            Ok(members) => writeln!(out, r#"{{"id":{id},{members}}}"#)?,
            Err(error) => {
                all_read = false;
                writeln!(out, r#"{{"id":{id},"error":{}}}"#, serde_json::to_string(&error.to_string())?)?;
            }
        }
    }
    out.flush()?;
    Ok(all_read)
}

fn answer_line(line: &[u8], command: fn(&Line<'_>) -> Answer) -> (String, Answer) {
    let unknown = || "null".to_owned();
    let line = match str::from_utf8(line) {
        Ok(line) => line,
        Err(error) => return (unknown(), Err(error.into())),
    };
    let line: Line<'_> = match serde_json::from_str(line) {
        Ok(line) => line,
        Err(error) => return (unknown(), Err(error.into())),
    };
    // An ID in canonical form has no line break in it.
    let id = line.get("id").and_then(|id| canonical(id.get(), CanonicalDialect::Lenient).ok());
    (id.unwrap_or_else(unknown), command(&line))
}

/// `authorize`: the verdict on an event over a state.
pub(crate) fn authorize(line: &Line<'_>) -> Answer {
    let version = room_version(line)?;
    let state = state(line)?;
    let event = Pdu::parse(required("event", line)?.get())?;
    Ok(match auth::authorize(version, &event, &state, &Ed25519) {
        Ok(_) => r#""allow":true"#.to_owned(),
        Err(auth::AuthorizeError::Rejected(rejection)) => format!(
            r#""allow":false,"rule":"{}","number":"{}","reason":{}"#,
            rejection.rule().name(),
            rejection.number(),
            serde_json::to_string(&rejection.reason())?
        ),
        Err(error @ auth::AuthorizeError::NotAMemberEvent) => return Err(error.into()),
    })
}

/// `stripped-state`: what the user is shown of the room, between servers and in a client.
pub(crate) fn stripped_state(line: &Line<'_>) -> Answer {
    let version = room_version(line)?;
    let state = state(line)?;
    let user_id: String = serde_json::from_str(required("user_id", line)?.get())?;
    let user_id = UserId::parse(&user_id).map_err(|error| format!("`user_id` {error}"))?;
    let federation: Vec<String> =
        stripped_state::events(&state).map(|event| event.to_federation(version)).collect::<Result<_, _>>()?;
    let client: Vec<String> = stripped_state::for_client(&state, user_id).iter().map(ToString::to_string).collect();
    Ok(format!(r#""federation":[{}],"client":[{}]"#, federation.join(","), client.join(",")))
}

fn required<'a>(name: &str, line: &Line<'a>) -> Result<&'a RawValue, String> {
    line.get(name).copied().ok_or_else(|| format!("missing `{name}`"))
}

fn room_version(line: &Line<'_>) -> Result<RoomVersion, Box<dyn Error>> {
    let version: String = serde_json::from_str(required("room_version", line)?.get())
        .map_err(|error| format!("`room_version`: {error}"))?;
    Ok(version.parse().map_err(|error| format!("{error} `{version}`"))?)
}

fn state<'a>(line: &Line<'a>) -> Result<StateMap<Pdu<'a>>, Box<dyn Error>> {
    let entries: Vec<&'a RawValue> =
        serde_json::from_str(required("state", line)?.get()).map_err(|error| format!("`state`: {error}"))?;
    let mut state = StateMap::new();
    for (position, entry) in entries.into_iter().enumerate() {
        let event = Pdu::parse_stored(entry.get()).map_err(|error| format!("`state[{position}]`: {error}"))?;
        if state.insert(event).is_err() {
            return Err(format!("`state[{position}]` has no `state_key`").into());
        }
    }
    Ok(state)
}
