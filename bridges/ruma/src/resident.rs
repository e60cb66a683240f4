//! The server in the room: ruma's typed requests into the library's steps, and their results into
//! ruma's responses.
//!
//! | ruma | the library |
//! | --- | --- |
//! | `prepare_knock_event::v1::Request` | [`make_knock`] → [`MakeKnock`] |
//! | `prepare_knock_event::v1::Response` | [`make_knock_response`] ← [`Template`] |
//! | `create_knock_event::v1::Request` | [`send_knock`] → [`SendKnock`] |
//! | `create_knock_event::v1::Response` | [`send_knock_response`] ← [`Accepted::room_state`], [`Repeated::room_state`] |
//! | `prepare_leave_event::v1::Request` | [`make_leave`] → [`MakeLeave`] |
//! | `prepare_leave_event::v1::Response` | [`make_leave_response`] ← [`Template`] |
//! | `create_leave_event::v2::Request` | [`send_leave`] → [`SendLeave`] |
//! | `create_leave_event::v2::Response` | `Response::new()` |
//!
//! The requests are borrowed; nothing in them is copied, and of an event nothing is read before the
//! step that checks it.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#knocking-rooms>
//!
//! [`Accepted::room_state`]: matrix_knock::resident::submission::Accepted::room_state
//! [`Repeated::room_state`]: matrix_knock::resident::submission::Repeated::room_state

use matrix_knock::error::PathError;
use matrix_knock::event::Event;
use matrix_knock::id::{RoomId, ServerName};
use matrix_knock::resident::submission::{SendKnock, SendLeave};
use matrix_knock::resident::{MakeKnock, MakeLeave, Refusal, room_state_texts};
use matrix_knock::template::Template;
use ruma_federation_api::membership::{
    RawStrippedState, create_knock_event, create_leave_event, prepare_knock_event, prepare_leave_event,
};
use serde_json::value::RawValue;

use crate::Unconvertible;
use crate::id::RumaId as _;
use crate::room_version::to_ruma;

/// The room that a request names. What is no room ID is the ID of no room.
fn room_id(room_id: &ruma_common::RoomId) -> Result<RoomId<'_>, Refusal> {
    RoomId::from_ruma(room_id).map_err(|_| PathError::RoomId.into())
}

/// Returns the library's request for a template of a knock. `origin` is the server that asks, as
/// its request was authenticated.
///
/// Borrows the request, and allocates a list of its versions.
///
/// <https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1make_knockroomiduserid>
///
/// # Errors
///
/// [`Refusal::Path`] if the room ID is one that only ruma takes: 404, as for a room that this
/// server does not know. (A user ID is checked by [`check`](MakeKnock::check).)
///
/// # Examples
///
/// ```
/// use matrix_knock::id::ServerName;
/// use matrix_knock_ruma::resident::make_knock;
/// use ruma_common::{owned_room_id, owned_user_id};
/// use ruma_federation_api::membership::prepare_knock_event::v1::Request;
///
/// let request = Request::new(owned_room_id!("!r:a.example"), owned_user_id!("@kay:b.example"));
/// let step = make_knock(&request, ServerName::parse("b.example")?)?;
/// assert_eq!(step.room_id(), "!r:a.example");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn make_knock<'q>(
    request: &'q prepare_knock_event::v1::Request,
    origin: ServerName<'q>,
) -> Result<MakeKnock<'q>, Refusal> {
    let room_id = room_id(&request.room_id)?;
    Ok(MakeKnock::new(room_id, request.user_id.as_str(), origin, request.ver.iter().map(|version| version.as_str())))
}

/// Returns the library's request for a template of a leave. `origin` is the server that asks, as
/// its request was authenticated.
///
/// Borrows the request and allocates nothing.
///
/// <https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1make_leaveroomiduserid>
///
/// # Errors
///
/// As [`make_knock`].
pub fn make_leave<'q>(
    request: &'q prepare_leave_event::v1::Request,
    origin: ServerName<'q>,
) -> Result<MakeLeave<'q>, Refusal> {
    Ok(MakeLeave::new(room_id(&request.room_id)?, request.user_id.as_str(), origin))
}

/// Returns the answer to `make_knock`.
///
/// Writes the event once, and serde_json reads over it once.
///
/// # Errors
///
/// [`Unconvertible`], in practice none.
pub fn make_knock_response(template: &Template) -> Result<prepare_knock_event::v1::Response, Unconvertible> {
    let event = RawValue::from_string(template.to_event())?;
    Ok(prepare_knock_event::v1::Response::new(to_ruma(template.version())?, event))
}

/// Returns the answer to `make_leave`. Costs as much as [`make_knock_response`].
///
/// # Errors
///
/// [`Unconvertible`], in practice none.
pub fn make_leave_response(template: &Template) -> Result<prepare_leave_event::v1::Response, Unconvertible> {
    let event = RawValue::from_string(template.to_event())?;
    Ok(prepare_leave_event::v1::Response::new(Some(to_ruma(template.version())?), event))
}

/// Returns the library's request with a signed knock. `origin` is the server that asks, as its
/// request was authenticated.
///
/// Borrows the request and allocates nothing.
///
/// <https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv1send_knockroomideventid>
///
/// # Errors
///
/// As [`make_knock`]. (The event ID of the path is compared with that of the event by
/// [`check`](SendKnock::check).)
pub fn send_knock<'q>(
    request: &'q create_knock_event::v1::Request,
    origin: ServerName<'q>,
) -> Result<SendKnock<'q>, Refusal> {
    Ok(SendKnock::new(room_id(&request.room_id)?, request.event_id.as_str(), origin, request.pdu.get()))
}

/// Returns the library's request with a signed leave. As [`send_knock`].
///
/// <https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv2send_leaveroomideventid>
///
/// # Errors
///
/// As [`make_knock`].
pub fn send_leave<'q>(
    request: &'q create_leave_event::v2::Request,
    origin: ServerName<'q>,
) -> Result<SendLeave<'q>, Refusal> {
    Ok(SendLeave::new(room_id(&request.room_id)?, request.event_id.as_str(), origin, request.pdu.get()))
}

/// Returns the answer to `send_knock`: the events of `room_state`, whole.
///
/// `text` returns an event as it goes between servers, without `event_id` and `unsigned`; an event
/// without one is left out. Copies nothing itself.
///
/// # Errors
///
/// [`Refusal::Host`] if `text` returns none for the create event.
pub fn send_knock_response<E: Event>(
    room_state: impl IntoIterator<Item = E>,
    mut text: impl FnMut(&E) -> Option<Box<RawValue>>,
) -> Result<create_knock_event::v1::Response, Refusal> {
    let state = room_state_texts(room_state, |event| text(event).map(RawStrippedState::Pdu))?;
    Ok(create_knock_event::v1::Response::new(state))
}
