//! The commands about one event or one value, without a room.

use std::collections::BTreeMap;

use matrix_knock::event::{self, FormatError, Keys, Pdu, Sha256Hash, VerifiedPdu};
use matrix_knock::json::{CanonicalDialect, canonical};
use matrix_knock::{Ed25519, RoomVersion};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::lines::{Answer, Line, json_string, keys, required, room_version};

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
        json_string(&event::event_id(version, &event)?)?,
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
    Ok(format!(r#""canonical":{}"#, json_string(&text)?))
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
