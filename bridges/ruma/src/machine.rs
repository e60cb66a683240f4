//! The knocking server, and the inviting one: what a machine of the library's wants as ruma's typed
//! request, and ruma's typed response as the machine's reply.
//!
//! A host with a typed client matches once on [`TypedRequest`], sends each request as it sends
//! every other, and makes a [`TypedReply`] of what comes back: of the response itself, or of the
//! `Result` of ruma's `try_from_http_response`.
//!
//! ruma's response types refuse more than the library does: an accepted knock whose
//! `knock_room_state` has an entry that is no object has no typed response at all. It is
//! [`TypedReply::Unreadable`], with which the knock counts as accepted all the same, without what
//! the other entries showed. Of an error, ruma keeps no properties but those of its code. A host
//! that does not want to lose either sends the typed request and gives the machine the HTTP
//! response as it came (`Reply::Response`).
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#knocking-rooms>
//!
//! # Examples
//!
//! ```
//! use matrix_knock::machine::{Machine, NotTaken, Ticket};
//! use matrix_knock_ruma::Unconvertible;
//! use matrix_knock_ruma::machine::{TypedReply, TypedRequest};
//! use ruma_common::api::OutgoingRequest;
//! use ruma_common::api::error::{Error, FromHttpResponseError};
//!
//! /// The host's typed client.
//! fn send<R: OutgoingRequest>(server: &str, request: R) -> Result<R::IncomingResponse, FromHttpResponseError<Error>> {
//! #   let _ = (server, request);
//! #   unimplemented!()
//! }
//!
//! fn answer(
//!     machine: &mut impl Machine,
//!     ticket: Ticket,
//!     request: matrix_knock::machine::Request,
//!     now: u64,
//! ) -> Result<Result<(), NotTaken>, Unconvertible> {
//!     let server = request.server.as_str();
//!     let reply: TypedReply = match TypedRequest::of(request.endpoint.clone())? {
//!         TypedRequest::MakeKnock(typed) => send(server, typed).into(),
//!         TypedRequest::SendKnock(typed) => send(server, typed).into(),
//!         TypedRequest::MakeLeave(typed) => send(server, typed).into(),
//!         TypedRequest::SendLeave(typed) => send(server, typed).into(),
//!         TypedRequest::Invite(typed) => send(server, typed).into(),
//!     };
//!     Ok(reply.feed(machine, ticket, now))
//! }
//! ```

use std::time::{Duration, SystemTime};

use matrix_knock::machine::{Endpoint, Machine, NotTaken, Reply, Ticket};
use matrix_knock::wire::HttpResponse;
use ruma_common::RoomVersionId;
use ruma_common::api::error::{Error, ErrorBody, ErrorKind, FromHttpResponseError, RetryAfter};
use ruma_federation_api::membership::{
    RawStrippedState, create_invite, create_knock_event, create_leave_event, prepare_knock_event, prepare_leave_event,
};
use serde_json::value::RawValue;

use crate::Unconvertible;
use crate::id::RumaId as _;
use crate::room_version::to_ruma;
use crate::stripped_state::text;

/// A request of a machine's, as ruma's.
#[derive(Debug, Clone)]
pub enum TypedRequest {
    /// `GET /_matrix/federation/v1/make_knock/{roomId}/{userId}`.
    MakeKnock(prepare_knock_event::v1::Request),
    /// `PUT /_matrix/federation/v1/send_knock/{roomId}/{eventId}`.
    SendKnock(create_knock_event::v1::Request),
    /// `GET /_matrix/federation/v1/make_leave/{roomId}/{userId}`.
    MakeLeave(prepare_leave_event::v1::Request),
    /// `PUT /_matrix/federation/v2/send_leave/{roomId}/{eventId}`.
    SendLeave(create_leave_event::v2::Request),
    /// `PUT /_matrix/federation/v2/invite/{roomId}/{eventId}`.
    Invite(create_invite::v2::Request),
}

impl TypedRequest {
    /// Returns ruma's request to this endpoint.
    ///
    /// Copies the identifiers. The text of an event is taken over, neither read nor copied;
    /// serde_json reads over each entry of an `invite_room_state` once.
    ///
    /// # Errors
    ///
    /// [`Unconvertible::Id`] if ruma does not take an identifier: a user on a server with a port
    /// above 65,535. The host then sends the request as it is written (`Request::to_http`), or
    /// gives up.
    pub fn of(endpoint: Endpoint) -> Result<Self, Unconvertible> {
        Ok(match endpoint {
            Endpoint::MakeKnock { room_id, user_id, versions } => {
                let (room_id, user_id) = (room_id.as_borrowed().to_ruma()?, user_id.as_borrowed().to_ruma()?);
                let mut request = prepare_knock_event::v1::Request::new(room_id.to_owned(), user_id.to_owned());
                request.ver = versions.into_iter().map(to_ruma).collect::<Result<_, _>>()?;
                Self::MakeKnock(request)
            }
            Endpoint::SendKnock { room_id, event } => {
                let room_id = room_id.as_borrowed().to_ruma()?.to_owned();
                let event_id = ruma_common::EventId::parse(event.event_id())?.to_owned();
                Self::SendKnock(create_knock_event::v1::Request::new(room_id, event_id, event.into()))
            }
            Endpoint::MakeLeave { room_id, user_id } => {
                let (room_id, user_id) = (room_id.as_borrowed().to_ruma()?, user_id.as_borrowed().to_ruma()?);
                Self::MakeLeave(prepare_leave_event::v1::Request::new(room_id.to_owned(), user_id.to_owned()))
            }
            Endpoint::SendLeave { room_id, event } => {
                let room_id = room_id.as_borrowed().to_ruma()?.to_owned();
                let event_id = ruma_common::EventId::parse(event.event_id())?.to_owned();
                Self::SendLeave(create_leave_event::v2::Request::new(room_id, event_id, event.into()))
            }
            Endpoint::Invite { room_id, room_version, event, invite_room_state } => {
                let room_id = room_id.as_borrowed().to_ruma()?.to_owned();
                let event_id = ruma_common::EventId::parse(event.event_id())?.to_owned();
                let state = invite_room_state.into_iter().map(RawValue::from_string);
                let state = state.map(|event| event.map(RawStrippedState::Pdu)).collect::<Result<_, _>>()?;
                let version = to_ruma(room_version)?;
                Self::Invite(create_invite::v2::Request::new(room_id, event_id, version, event.into(), state))
            }
            _ => return Err(Unconvertible::Endpoint),
        })
    }
}

/// What came of a request, as ruma has it.
#[derive(Debug, Clone)]
pub enum TypedReply {
    /// The answer to `make_knock` or `make_leave`.
    Template {
        /// The `room_version`.
        room_version: Option<RoomVersionId>,
        /// The `event`.
        event: Box<RawValue>,
    },
    /// The answer to `send_knock` or `send_leave`.
    Accepted {
        /// The `knock_room_state`; nothing for a leave.
        knock_room_state: Vec<RawStrippedState>,
    },
    /// The answer to an invite.
    Invited {
        /// The `event`.
        event: Box<RawValue>,
    },
    /// An answer with an error status.
    Error(Error),
    /// An answer without an error status that is not what ruma's type takes: to the machine, a 200
    /// without a readable body.
    Unreadable,
    /// None: the server was not reached, or did not answer in time.
    None,
}

impl From<prepare_knock_event::v1::Response> for TypedReply {
    fn from(response: prepare_knock_event::v1::Response) -> Self {
        Self::Template { room_version: Some(response.room_version), event: response.event }
    }
}

impl From<prepare_leave_event::v1::Response> for TypedReply {
    fn from(response: prepare_leave_event::v1::Response) -> Self {
        Self::Template { room_version: response.room_version, event: response.event }
    }
}

impl From<create_knock_event::v1::Response> for TypedReply {
    fn from(response: create_knock_event::v1::Response) -> Self {
        Self::Accepted { knock_room_state: response.knock_room_state }
    }
}

impl From<create_leave_event::v2::Response> for TypedReply {
    fn from(_: create_leave_event::v2::Response) -> Self {
        Self::Accepted { knock_room_state: Vec::new() }
    }
}

impl From<create_invite::v2::Response> for TypedReply {
    fn from(response: create_invite::v2::Response) -> Self {
        Self::Invited { event: response.event }
    }
}

impl<R: Into<Self>> From<Result<R, FromHttpResponseError<Error>>> for TypedReply {
    fn from(result: Result<R, FromHttpResponseError<Error>>) -> Self {
        match result {
            Ok(response) => response.into(),
            Err(FromHttpResponseError::Server(error)) => Self::Error(error),
            Err(FromHttpResponseError::Deserialization(_)) => Self::Unreadable,
            Err(_) => Self::None,
        }
    }
}

impl TypedReply {
    /// Feeds the reply into a machine. `now` is the time in milliseconds since the Unix epoch.
    ///
    /// Copies nothing of a template, an event or a room state. An error is written as JSON, which
    /// the machine reads.
    ///
    /// # Errors
    ///
    /// [`NotTaken`] as from [`Machine::reply`].
    pub fn feed(&self, machine: &mut impl Machine, ticket: Ticket, now: u64) -> Result<(), NotTaken> {
        match self {
            Self::Template { room_version, event } => {
                let room_version = room_version.as_ref().map(RoomVersionId::as_str);
                machine.reply(ticket, Reply::Template { room_version, event: event.get() }, now)
            }
            Self::Accepted { knock_room_state } => {
                let texts: Vec<&str> = knock_room_state.iter().map(text).collect();
                machine.reply(ticket, Reply::Accepted { knock_room_state: &texts }, now)
            }
            Self::Invited { event } => machine.reply(ticket, Reply::Invited { event: event.get() }, now),
            Self::Error(error) => {
                let (body, retry_after) = (error_body(error), retry_after(error, now));
                let status = error.status_code.as_u16();
                let response = HttpResponse { status, retry_after: retry_after.as_deref(), body: &body };
                machine.reply(ticket, response.into(), now)
            }
            Self::Unreadable => machine.reply(ticket, HttpResponse::new(200, "").into(), now),
            Self::None => machine.reply(ticket, Reply::None, now),
        }
    }
}

/// The body of an error, as JSON; an empty text if it had none.
fn error_body(error: &Error) -> String {
    match &error.body {
        ErrorBody::Standard(body) => serde_json::to_string(body).unwrap_or_default(),
        ErrorBody::Json(body) => body.to_string(),
        ErrorBody::NotJson { .. } => String::new(),
    }
}

/// The header `Retry-After` in seconds, if ruma has it as a date, which is not in the body.
fn retry_after(error: &Error, now: u64) -> Option<String> {
    let Some(ErrorKind::LimitExceeded(data)) = error.error_kind() else { return None };
    let Some(RetryAfter::DateTime(date)) = data.retry_after else { return None };
    let now = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(now))?;
    // A date that has passed: at once.
    let wait = date.duration_since(now).unwrap_or_default();
    Some(wait.as_millis().div_ceil(1000).to_string())
}
