//! The state of a room as servers give it out: which texts in the input are its events.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::str::Utf8Error;

use matrix_knock::event::PduError;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The most that is read, in bytes: 1 GiB. The state of a room with a million members has less.
const MAX_INPUT_BYTES: u64 = 1 << 30;

/// Why the input is not the state of a room.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    #[error("{name}: {error}")]
    Read { name: String, error: io::Error },
    #[error("the input has more than {MAX_INPUT_BYTES} bytes")]
    TooLarge,
    #[error("the input is not UTF-8: {0}")]
    NotUtf8(#[from] Utf8Error),
    #[error("the input is not JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the input has no events")]
    NoEvents,
    #[error("the input is neither a list of events nor an object with `state` or `pdus`")]
    NotAState,
    #[error("event {position}: {error}")]
    Event { position: usize, error: PduError },
    #[error("event {position} has no `state_key`: it is not a state event")]
    NotAStateEvent { position: usize },
    #[error("event {position} is of another room than the events before it")]
    OtherRoom { position: usize },
    #[error("the state has no `m.room.create` event to say the room version; give it with `--room-version`")]
    NoVersion,
    #[error("the `m.room.create` event does not say the room version as a string; give it with `--room-version`")]
    MalformedVersion,
    #[error("unknown room version `{0}`; give the one whose rules it follows with `--room-version`")]
    UnknownVersion(String),
}

/// Reads a file, or standard input.
pub(super) fn read(file: Option<&Path>) -> Result<String, InputError> {
    let name = || file.map_or("standard input".to_owned(), |file| file.display().to_string());
    let failed = |error| InputError::Read { name: name(), error };
    let bytes = match file {
        Some(file) => {
            let file = File::open(file).map_err(failed)?;
            // A file that says its length need not be read to find out.
            if file.metadata().map_err(failed)?.len() > MAX_INPUT_BYTES {
                return Err(InputError::TooLarge);
            }
            read_bounded(file).map_err(failed)?
        }
        None => read_bounded(io::stdin().lock()).map_err(failed)?,
    };
    let bytes = bytes.ok_or(InputError::TooLarge)?;
    String::from_utf8(bytes).map_err(|error| error.utf8_error().into())
}

/// Reads to the end. `None` if that is beyond the bound.
fn read_bounded(input: impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    input.take(MAX_INPUT_BYTES.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(u64::try_from(bytes.len()).is_ok_and(|length| length <= MAX_INPUT_BYTES).then_some(bytes))
}

/// What servers wrap a state in. A key that stands twice is an error.
#[derive(Deserialize)]
struct Wrapped<'a> {
    /// Of the admin API of Synapse.
    #[serde(borrow)]
    state: Option<Vec<&'a RawValue>>,
    /// Of `/state` between servers.
    #[serde(borrow)]
    pdus: Option<Vec<&'a RawValue>>,
}

/// What tells an event from what wraps events.
#[derive(Deserialize)]
struct Outline<'a> {
    #[serde(borrow, rename = "type")]
    event_type: Option<&'a RawValue>,
}

/// Finds the texts of the events: in a list; in the `state` or the `pdus` of an object; or one
/// after the other, as in JSON lines.
pub(super) fn events(text: &str) -> Result<Vec<&RawValue>, InputError> {
    let values = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    let values = values.collect::<Result<Vec<_>, _>>()?;
    let events = match values.as_slice() {
        [list] if list.get().starts_with('[') => serde_json::from_str(list.get())?,
        [object] if object.get().starts_with('{') && !is_event(object)? => {
            let Wrapped { state, pdus } = serde_json::from_str(object.get())?;
            match (state, pdus) {
                (Some(events), None) | (None, Some(events)) => events,
                (None, None) | (Some(_), Some(_)) => return Err(InputError::NotAState),
            }
        }
        _ => values,
    };
    if events.is_empty() { Err(InputError::NoEvents) } else { Ok(events) }
}

fn is_event(object: &RawValue) -> Result<bool, InputError> {
    let outline: Outline<'_> = serde_json::from_str(object.get())?;
    Ok(outline.event_type.is_some())
}
