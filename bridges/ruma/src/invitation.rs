//! The invited user's server: ruma's typed `invite` into the library's steps, and the answer back.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv2inviteroomideventid>

use matrix_knock::error::PathError;
use matrix_knock::id::{RoomId, ServerName};
use matrix_knock::knocking::invitation::{AcceptedInvite, InviteRefusal, InviteRequest};
use ruma_federation_api::membership::create_invite::v2::{Request, Response};
use serde_json::value::RawValue;

use crate::id::RumaId as _;
use crate::stripped_state::text;

/// Returns the library's request with an invite. `origin` is the server that asks, as its request
/// was authenticated.
///
/// The library reads the body of the request, so the texts of the event and of the state are copied
/// into one: one allocation. A host that has the body as it came uses `InviteRequest::parse`
/// instead.
///
/// # Errors
///
/// [`InviteRefusal::Path`] if the room ID is one that only ruma takes: 404.
pub fn invite<'q>(request: &'q Request, origin: ServerName<'q>) -> Result<InviteRequest<'q>, InviteRefusal> {
    let room_id = RoomId::from_ruma(&request.room_id).map_err(|_| PathError::RoomId)?;
    let state: Vec<&str> = request.invite_room_state.iter().map(text).collect();
    // No character of a room version of ruma's has to be escaped.
    let (event, state, version) = (request.event.get(), state.join(","), request.room_version.as_str());
    let body = format!(r#"{{"event":{event},"invite_room_state":[{state}],"room_version":"{version}"}}"#);
    Ok(InviteRequest::new(room_id, request.event_id.as_str(), origin, body))
}

/// Returns the answer: the event with this server's signature. Copies its text once.
#[must_use]
pub fn invite_response(invite: &AcceptedInvite) -> Response {
    let event: Box<RawValue> = invite.event().clone().into();
    Response::new(event)
}
