//! Clients: ruma's typed `knock_room` and the rooms of `/sync`.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#knocking-on-rooms>

use matrix_knock::client::{KnockRequest, KnockResponse, RequestError};
use matrix_knock::id::{IdError, RoomId, RoomIdOrAlias};
use matrix_knock::stripped_state::StrippedEvent;
use matrix_knock::sync::KnockedRoom;
use ruma_client_api::knock::knock_room;
use ruma_client_api::sync::sync_events::v3;
use ruma_common::IdParseError;
use ruma_common::serde::Raw;
use ruma_events::AnyStrippedStateEvent;

use crate::id::RumaId;
use crate::stripped_state::to_raw;

/// Returns the library's request to knock. Copies room, servers and reason.
///
/// Of the servers, those that only ruma takes, repeated ones and those beyond the first 20 are
/// [passed over](KnockRequest::passed_over). ruma has read `via`, or `server_name` if there is no
/// `via`; the library's own `KnockRequest::parse` merges the two.
///
/// # Errors
///
/// [`RequestError::Identifier`] if the room ID or alias is one that only ruma takes;
/// [`RequestError::ReasonTooLong`].
///
/// # Examples
///
/// ```
/// use matrix_knock::id::RoomIdOrAlias;
/// use matrix_knock_ruma::client::knock_request;
/// use ruma_client_api::knock::knock_room::v3::Request;
///
/// let request = Request::new(ruma_common::room_id!("!r:a.example").to_owned().into());
/// assert_eq!(knock_request(&request)?.room_id_or_alias(), RoomIdOrAlias::parse("!r:a.example")?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn knock_request(request: &knock_room::v3::Request) -> Result<KnockRequest, RequestError> {
    let room = RoomIdOrAlias::from_ruma(&request.room_id_or_alias).map_err(RequestError::Identifier)?;
    KnockRequest::new(room, request.via.iter().map(|server| server.as_str()), request.reason.as_deref())
}

/// Returns ruma's request to knock, for a client. Copies room, servers and reason.
///
/// # Errors
///
/// [`IdParseError`] if ruma does not take the room or one of the servers.
pub fn to_ruma_request(request: &KnockRequest) -> Result<knock_room::v3::Request, IdParseError> {
    let mut to = knock_room::v3::Request::new(request.room_id_or_alias().to_ruma()?.to_owned());
    to.reason = request.reason().map(str::to_owned);
    for server in request.via() {
        to.via.push(server.as_borrowed().to_ruma()?.to_owned());
    }
    Ok(to)
}

/// Returns ruma's answer to a knock that was made. Copies the room ID.
///
/// # Errors
///
/// [`IdParseError`], in practice none: ruma takes every room ID that the library takes.
pub fn knock_response(response: &KnockResponse) -> Result<knock_room::v3::Response, IdParseError> {
    Ok(knock_room::v3::Response::new(response.room_id().to_ruma()?.to_owned()))
}

/// Returns the library's answer to a knock, of ruma's, for a client. Copies the room ID.
///
/// # Errors
///
/// [`IdError`] if the room ID is one that only ruma takes.
pub fn from_ruma_response(response: &knock_room::v3::Response) -> Result<KnockResponse, IdError> {
    RoomId::from_ruma(&response.room_id).map(KnockResponse::new)
}

/// Returns the room as it stands under `rooms.knock` of `/sync`, in the same order. Copies the
/// texts of the events once, and reads none.
///
/// ruma's type has no place for the user's whole member event (MSC4319): a room [with
/// one](KnockedRoom::with_member_event) is written by its `Display` or with serde.
///
/// <https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync>
#[must_use]
pub fn knocked_room(room: &KnockedRoom) -> v3::KnockedRoom {
    let mut state = v3::KnockState::new();
    state.events = events(room.state().iter().cloned());
    state.into()
}

/// Returns the room as it stands under `rooms.invite` of `/sync`: the events of
/// [`AcceptedInvite::invite_state`](matrix_knock::knocking::invitation::AcceptedInvite::invite_state).
/// Neither copies nor reads the texts.
#[must_use]
pub fn invited_room(state: impl IntoIterator<Item = impl Into<StrippedEvent>>) -> v3::InvitedRoom {
    v3::InviteState::from(events(state)).into()
}

fn events(state: impl IntoIterator<Item = impl Into<StrippedEvent>>) -> Vec<Raw<AnyStrippedStateEvent>> {
    state.into_iter().map(|event| to_raw(event.into())).collect()
}
