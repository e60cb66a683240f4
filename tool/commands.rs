//! The commands: JSON lines in, JSON lines out.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, BufRead, Write};

use matrix_knock::auth;
use matrix_knock::event::{self, FormatError, KeyValidity, Keys, Pdu, Sha256Hash, VerifiedPdu, VerifyKey};
use matrix_knock::id::UserId;
use matrix_knock::json::{CanonicalDialect, canonical};
use matrix_knock::membership_change::MembershipChange;
use matrix_knock::state::{RoomState as _, StateMap};
use matrix_knock::stripped_state::{self, StrippedEvent};
use matrix_knock::{Ed25519, RoomVersion};
use serde_json::Value;
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
        // Whoever sent the line may wait for its answer.
        out.flush()?;
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

/// `event-id`: the ID and the hashes of any object with a `type`, and what a redaction leaves of it.
pub(crate) fn event_id(line: &Line<'_>) -> Answer {
    let version = room_version(line)?;
    let event = event::without_event_id(version, required("event", line)?.get())?;
    let hash = event::content_hash(version, &event)?;
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(&event)?;
    let hash_ok = members.get("hashes").map_or_else(String::new, |hashes| {
        let hashes: Value = serde_json::from_str(hashes.get()).unwrap_or_default();
        let claimed = hashes.get("sha256").and_then(Value::as_str).and_then(Sha256Hash::from_base64);
        format!(r#","hash_ok":{}"#, claimed == Some(hash))
    });
    Ok(format!(
        r#""event_id":{},"content_hash":"{hash}"{hash_ok},"redacted":{}"#,
        serde_json::to_string(&event::event_id(version, &event)?)?,
        event::redact(version, &event)?
    ))
}

/// `canonical`: the canonical form of a value, of version 6 and later unless a room version is given.
pub(crate) fn canonical_json(line: &Line<'_>) -> Answer {
    let dialect = match line.get("room_version").filter(|version| version.get() != "null") {
        None => CanonicalDialect::Strict,
        Some(_) => CanonicalDialect::of(room_version(line)?),
    };
    let text = canonical(required("value", line)?.get(), dialect)?;
    Ok(format!(r#""canonical":{}"#, serde_json::to_string(&text)?))
}

/// `verify`: format, signatures and hash of an event.
pub(crate) fn verify(line: &Line<'_>) -> Answer {
    let version = room_version(line)?;
    let keys = keys(line)?;
    let (verdict, reason) = match event::without_event_id(version, required("event", line)?.get()) {
        Err(error) => ("bad_format", Some(error.to_string())),
        Ok(event) => verdict(version, &event, &keys),
    };
    let reason = serde_json::to_string(&reason)?;
    Ok(format!(r#""verdict":"{verdict}","reason":{reason}"#))
}

fn verdict(version: RoomVersion, event: &str, keys: &impl Keys) -> (&'static str, Option<String>) {
    let formatted = match Pdu::parse(event).map_err(FormatError::from).and_then(|pdu| pdu.check_format(version)) {
        Ok(formatted) => formatted,
        Err(error) => return ("bad_format", Some(error.to_string())),
    };
    let signed = match formatted.check_signatures(keys, &Ed25519, u64::MAX) {
        Ok(signed) => signed,
        Err(error) => return ("bad_signature", Some(error.to_string())),
    };
    match signed.check_hash() {
        Ok(VerifiedPdu::Whole(_)) => ("ok", None),
        Ok(VerifiedPdu::Redacted(_)) => ("hash_mismatch", Some("the content hash is not that of the event".to_owned())),
        Err(error) => ("bad_format", Some(error.to_string())),
    }
}

/// The keys of a line: `{server: {key ID: base64}}`, valid for ever.
pub(crate) fn keys(line: &Line<'_>) -> Result<impl Keys + use<>, Box<dyn Error>> {
    let text = required("keys", line)?.get();
    let keys: BTreeMap<String, BTreeMap<String, String>> =
        serde_json::from_str(text).map_err(|error| format!("`keys`: {error}"))?;
    let mut decoded = BTreeMap::new();
    for (server, keys) in keys {
        for (key_id, key) in keys.into_iter().filter(|(key_id, _)| key_id.starts_with("ed25519:")) {
            let key = VerifyKey::from_base64(&key, KeyValidity::Forever)
                .ok_or_else(|| format!("`keys`: `{key_id}` of `{server}` is no ed25519 key"))?;
            decoded.insert((server.clone(), key_id), key);
        }
    }
    Ok(move |server: &str, key_id: &str| decoded.get(&(server.to_owned(), key_id.to_owned())).copied())
}

/// `stripped-state`: what the user is shown of the room, between servers and in a client.
pub(crate) fn stripped_state(line: &Line<'_>) -> Answer {
    let version = room_version(line)?;
    let state = state(line)?;
    let user_id: String = serde_json::from_str(required("user_id", line)?.get())?;
    let user_id = UserId::parse(&user_id).map_err(|error| format!("`user_id` {error}"))?;
    // What has no canonical form cannot be sent; nobody has checked these events before.
    let federation: Vec<String> =
        stripped_state::events(&state).filter_map(|event| event.to_federation(version).ok()).collect();
    let own = state.event("m.room.member", user_id.as_str());
    let client = stripped_state::events(&state).chain(own).filter_map(|event| StrippedEvent::of(&event));
    let client: Vec<String> = client.map(String::from).collect();
    Ok(format!(r#""federation":[{}],"client":[{}]"#, federation.join(","), client.join(",")))
}

/// `classify`: the name of what a member event did, given the one before.
pub(crate) fn classify(line: &Line<'_>) -> Answer {
    let before = match required("before", line)?.get() {
        "null" => None,
        before => Some(Pdu::parse_stored(before).map_err(|error| format!("`before`: {error}"))?),
    };
    let event = Pdu::parse(required("event", line)?.get())?;
    let change = MembershipChange::new(before.as_ref(), &event)?;
    Ok(format!(r#""change":"{}""#, change.change()))
}

pub(crate) fn required<'a>(name: &str, line: &Line<'a>) -> Result<&'a RawValue, String> {
    line.get(name).copied().ok_or_else(|| format!("missing `{name}`"))
}

pub(crate) fn parse<'a, T: serde::Deserialize<'a>>(name: &str, line: &Line<'a>) -> Result<T, String> {
    serde_json::from_str(required(name, line)?.get()).map_err(|error| format!("`{name}`: {error}"))
}

pub(crate) fn optional<'a, T: serde::Deserialize<'a>>(name: &str, line: &Line<'a>) -> Result<Option<T>, String> {
    let text = line.get(name).map_or("null", |value| value.get());
    serde_json::from_str(text).map_err(|error| format!("`{name}`: {error}"))
}

pub(crate) fn room_version(line: &Line<'_>) -> Result<RoomVersion, Box<dyn Error>> {
    let version: String = serde_json::from_str(required("room_version", line)?.get())
        .map_err(|error| format!("`room_version`: {error}"))?;
    Ok(version.parse().map_err(|error| format!("{error} `{version}`"))?)
}

pub(crate) fn state<'a>(line: &Line<'a>) -> Result<StateMap<Pdu<'a>>, Box<dyn Error>> {
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
