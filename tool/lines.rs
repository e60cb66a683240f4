//! JSON lines in, JSON lines out; and what several commands read from a line.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, BufRead, Write};

use matrix_knock::RoomVersion;
use matrix_knock::event::{KeyValidity, Keys, KeysFn, Pdu, VerifyKey};
use matrix_knock::id::ServerName;
use matrix_knock::state::StateMap;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The members of the answer behind `id`, or why the line cannot be read.
pub(crate) type Answer = Result<String, Box<dyn Error>>;

/// The members of a line; each command asks for what it needs. (A derived struct would take a list for an object.)
pub(crate) type Line<'a> = BTreeMap<String, &'a RawValue>;

/// Reads lines and writes the command's answer to each. Returns whether all lines could be read.
///
/// It ends without an error when nobody reads the answers any more.
pub(crate) fn answer(command: fn(&Line<'_>) -> Answer, input: impl BufRead, mut out: impl Write) -> io::Result<bool> {
    let mut all_read = true;
    for line in input.split(b'\n') {
        let (id, answer) = answer_line(&line?, command);
        all_read &= answer.is_ok();
        let written = match answer {
            Ok(members) => writeln!(out, r#"{{"id":{id},{members}}}"#),
            Err(error) => writeln!(out, r#"{{"id":{id},"error":{}}}"#, json_string(&error.to_string())?),
        };
        // Whoever sent the line may wait for its answer.
        match written.and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            written => written?,
        }
    }
    Ok(all_read)
}

fn answer_line(line: &[u8], command: fn(&Line<'_>) -> Answer) -> (String, Answer) {
    let unknown = || "null".to_owned();
    let line = match std::str::from_utf8(line) {
        Ok(line) => line,
        Err(error) => return (unknown(), Err(error.into())),
    };
    let line: Line<'_> = match serde_json::from_str(line) {
        Ok(line) => line,
        Err(error) => return (unknown(), Err(error.into())),
    };
    let id = line.get("id").map_or_else(unknown, |id| id.get().to_owned());
    (id, command(&line))
}

/// A text as a JSON string.
pub(crate) fn json_string(text: &str) -> serde_json::Result<String> {
    serde_json::to_string(text)
}

/// A member of the line as it stands there.
pub(crate) fn required<'a>(name: &str, line: &Line<'a>) -> Result<&'a RawValue, String> {
    line.get(name).copied().ok_or_else(|| format!("missing `{name}`"))
}

pub(crate) fn parse<'a, T: Deserialize<'a>>(name: &str, line: &Line<'a>) -> Result<T, String> {
    serde_json::from_str(required(name, line)?.get()).map_err(|error| format!("`{name}`: {error}"))
}

/// As [`parse`]; `None` where the member is missing or null.
pub(crate) fn optional<'a, T: Deserialize<'a>>(name: &str, line: &Line<'a>) -> Result<Option<T>, String> {
    let text = line.get(name).map_or("null", |value| value.get());
    serde_json::from_str(text).map_err(|error| format!("`{name}`: {error}"))
}

/// An identifier of a line: `RoomId::parse` and the like over the text of its member.
pub(crate) fn id<'t, I, E: std::fmt::Display>(
    name: &str,
    text: &'t str,
    read: impl FnOnce(&'t str) -> Result<I, E>,
) -> Result<I, String> {
    read(text).map_err(|error| format!("`{name}` {error}"))
}

pub(crate) fn server<'t>(name: &str, text: &'t str) -> Result<ServerName<'t>, String> {
    id(name, text, ServerName::parse)
}

pub(crate) fn room_version(line: &Line<'_>) -> Result<RoomVersion, String> {
    let version: String = parse("room_version", line)?;
    version.parse().map_err(|error| format!("{error} `{version}`"))
}

/// A state of a line. Of two events for one type and state key the last counts.
pub(crate) fn state<'a>(name: &str, line: &Line<'a>) -> Result<StateMap<Pdu<'a>>, String> {
    let entries: Vec<&'a RawValue> = parse(name, line)?;
    let mut state = StateMap::new();
    for (position, entry) in entries.into_iter().enumerate() {
        let event = Pdu::parse_stored(entry.get()).map_err(|error| format!("`{name}[{position}]`: {error}"))?;
        state.insert(event).map_err(|_| format!("`{name}[{position}]` has no `state_key`"))?;
    }
    Ok(state)
}

/// The keys of a line: `{server: {key ID: base64}}`, valid for ever.
pub(crate) fn keys(line: &Line<'_>) -> Result<impl Keys + use<>, String> {
    let texts: BTreeMap<String, BTreeMap<String, String>> = parse("keys", line)?;
    let mut keys = BTreeMap::new();
    for (server, of_server) in texts {
        for (key_id, text) in of_server.into_iter().filter(|(key_id, _)| key_id.starts_with("ed25519:")) {
            let key = VerifyKey::from_base64(&text, KeyValidity::Forever)
                .ok_or_else(|| format!("`keys`: `{key_id}` of `{server}` is no ed25519 key"))?;
            keys.insert((server.clone(), key_id), key);
        }
    }
    Ok(KeysFn(move |server: &str, key_id: &str| keys.get(&(server.to_owned(), key_id.to_owned())).copied()))
}
