//! Why an invite is not taken, and what the inviting server is told.

use super::super::room_state::Dropped;
use crate::error::{Errcode, ErrorResponse, PathError};
use crate::event::{FormatError, MAX_SUBMITTED_DEPTH, PduError, SignatureError};
use crate::json::JsonError;

/// Why an invite is not signed.
///
/// <https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv2inviteroomideventid>
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InviteRefusal {
    /// The path or the query is not that of the endpoint.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The body is not UTF-8.
    #[error("the body is not UTF-8")]
    NotUtf8,
    /// The body has more than [`MAX_INVITE_BYTES`](super::MAX_INVITE_BYTES), or the event is too large with this server's
    /// signature.
    #[error("the invite is too large")]
    TooLarge,
    /// The body is not JSON, or the event has no canonical form.
    #[error(transparent)]
    Body(JsonError),
    /// The body is JSON, but not an object.
    #[error("the body is not an object")]
    NotAnObject,
    /// A property of the body is missing.
    #[error("no `{0}`")]
    Missing(&'static str),
    /// A property of the body is of the wrong kind.
    #[error("`{0}` is of the wrong kind")]
    Malformed(&'static str),
    /// This server does not have the version of the room.
    #[error("this server does not have room version `{0}`")]
    IncompatibleRoomVersion(String),
    /// The event is malformed by its room version.
    #[error("malformed event: {0}")]
    Format(#[from] FormatError),
    /// The event is nested deeper than [`MAX_SUBMITTED_DEPTH`]: no client could be shown it.
    #[error("event nested deeper than {MAX_SUBMITTED_DEPTH} levels")]
    TooDeep,
    /// The event is not what the request says, or not an invite that this server may sign.
    #[error(transparent)]
    Mismatch(#[from] InviteMismatch),
    /// The signature of the inviting server is missing or wrong.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The content hash is wrong.
    #[error("the content hash is wrong")]
    ContentHash,
    /// Since version 12: something is wrong with the `invite_room_state`.
    #[error("`invite_room_state`: {0}")]
    RoomState(RoomStateFault),
    /// The user has blocked such invites.
    #[error("the user has blocked such invites")]
    Blocked,
    /// The host does not allow it.
    #[error("not allowed")]
    Forbidden,
    /// The host has an error of its own.
    #[error("refused by the host: {}", .0.error())]
    ByHost(Box<ErrorResponse>),
}

/// What is not as an invite has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum InviteMismatch {
    /// The event ID in the path is not that of the event.
    #[error("the event ID in the path is not that of the event")]
    EventId,
    /// The event is of another room.
    #[error("the event is of another room")]
    RoomId,
    /// The room is of another version than the request says: by the form of its ID, or by its create event.
    #[error("the room is of another version")]
    RoomVersion,
    /// It is no `m.room.member` event.
    #[error("the event is not an `m.room.member` event")]
    EventType,
    /// The `membership` is not `invite`.
    #[error("the `membership` is not `invite`")]
    Membership,
    /// The sender is no user of the server that asks.
    #[error("the sender is of another server")]
    Sender,
    /// The `state_key` is no user of this server.
    #[error("the invited user is of another server")]
    StateKey,
}

/// What the specification wants otherwise of an `invite_room_state`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RoomStateFault {
    /// There is none.
    #[error("missing")]
    Missing,
    /// The create event of the room is not among what holds.
    #[error("no valid create event")]
    NoCreateEvent,
    /// An entry is malformed, of another room, or not signed as it must be. Or it is the first of
    /// those beyond [`MAX_ENTRIES`](super::super::room_state::MAX_ENTRIES), which are not looked at.
    #[error("entry {index}: {reason}")]
    Entry {
        /// Its position, from 0.
        index: usize,
        /// What is wrong with it.
        reason: Dropped,
    },
    /// There are entries of four keys, which nobody has signed.
    #[error("entries that are no whole events")]
    Stripped,
}

impl InviteRefusal {
    /// Returns the answer on the wire.
    #[must_use]
    pub fn to_response(&self) -> ErrorResponse {
        let (errcode, error) = match self {
            // Not the 404 of other endpoints: it is not asked whether the room is known here.
            Self::Path(PathError::RoomId) => (Errcode::InvalidParam, "Not a room ID"),
            Self::Path(error) => return error.to_response(),
            Self::NotUtf8 => (Errcode::NotJson, "The body is not JSON"),
            Self::Body(error) => Errcode::of_unread_body(error.kind()),
            Self::NotAnObject => (Errcode::BadJson, "The body is not an object"),
            Self::Missing(_) => (Errcode::MissingParam, "A property of the body is missing"),
            Self::Malformed(_) => (Errcode::BadJson, "A property of the body is of the wrong kind"),
            Self::IncompatibleRoomVersion(version) => return ErrorResponse::incompatible_room_version(version.clone()),
            Self::TooLarge
            | Self::Format(
                FormatError::TooLarge { .. } | FormatError::TooLong(_) | FormatError::Pdu(PduError::TooLarge { .. }),
            ) => (Errcode::TooLarge, "The event is too large"),
            Self::Format(_) => (Errcode::BadJson, "Not an event of the version of the room"),
            Self::TooDeep => (Errcode::BadJson, "The event is nested too deep"),
            Self::Mismatch(mismatch) => (Errcode::InvalidParam, mismatch.error()),
            Self::Signature(_) => (Errcode::InvalidParam, "A signature of the event is missing or wrong"),
            Self::ContentHash => (Errcode::InvalidParam, "The content hash of the event is wrong"),
            Self::RoomState(RoomStateFault::Missing) => (Errcode::MissingParam, "`invite_room_state` is missing"),
            Self::RoomState(_) => (Errcode::InvalidParam, "`invite_room_state` is not as it must be"),
            Self::Blocked => (Errcode::InviteBlocked, "The user has blocked the invite"),
            Self::Forbidden => (Errcode::Forbidden, "Not allowed here"),
            Self::ByHost(response) => return (**response).clone(),
        };
        ErrorResponse::new(errcode, error)
    }
}

impl InviteMismatch {
    const fn error(self) -> &'static str {
        match self {
            Self::EventId => "The event ID in the path is not that of the event",
            Self::RoomId => "The event is of another room",
            Self::RoomVersion => "The room is of another version",
            Self::EventType => "Not an `m.room.member` event",
            Self::Membership => "The `membership` is not `invite`",
            Self::Sender => "The sender is of another server",
            Self::StateKey => "The invited user is of another server",
        }
    }
}

impl From<PduError> for InviteRefusal {
    fn from(error: PduError) -> Self {
        Self::Format(error.into())
    }
}

impl From<InviteRefusal> for ErrorResponse {
    fn from(refusal: InviteRefusal) -> Self {
        refusal.to_response()
    }
}
