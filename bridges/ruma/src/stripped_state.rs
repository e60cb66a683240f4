//! Stripped state: ruma's `RawStrippedState` and `Raw<AnyStrippedStateEvent>` as the library's
//! texts and events, and back.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#stripped-state>

use matrix_knock::stripped_state::{NotStripped, StrippedEvent};
use ruma_common::serde::Raw;
use ruma_events::AnyStrippedStateEvent;
use ruma_federation_api::membership::RawStrippedState;
use serde_json::value::RawValue;

/// Returns the text of an entry of a `knock_room_state` or an `invite_room_state`, whole event or
/// not. Borrows.
///
/// The library tells the two apart itself, by the format of the event.
#[must_use]
pub fn text(entry: &RawStrippedState) -> &str {
    match entry {
        RawStrippedState::Pdu(event) => event.get(),
        #[expect(deprecated, reason = "servers of before v1.16 send it")]
        RawStrippedState::Stripped(event) => event.json().get(),
        // ruma writes every entry as the JSON that it is; of a kind that is not known here the text
        // is not known.
        _ => "null",
    }
}

/// Returns an event that a client is shown as ruma's. Neither copies nor reads the text.
#[must_use]
pub fn to_raw(event: StrippedEvent) -> Raw<AnyStrippedStateEvent> {
    let event: Box<RawValue> = event.into();
    Raw::from_json(event)
}

/// Returns an event that a client is shown, of ruma's. Reads the text and copies it into the
/// library's form.
///
/// # Errors
///
/// [`NotStripped`] if it is not a state event whose content is an object.
pub fn from_raw(event: &Raw<AnyStrippedStateEvent>) -> Result<StrippedEvent, NotStripped> {
    StrippedEvent::try_from(event.json().get().to_owned())
}
