//! Why a resident server refuses, and the one map from there to the wire.

use crate::auth::Rejection;
use crate::error::{Errcode, ErrorResponse};
use crate::event::{FormatError, PduError, SignatureError};
use crate::room_version::RoomVersion;

/// What the resident server refuses a knock for, or the leave that takes it back: one variant for each check. `Display` is for
/// the host's own log; what goes on the wire is [`to_response`](Self::to_response) and says less.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// This server does not know the room.
    #[error("unknown room")]
    UnknownRoom,
    /// No user of this server is in the room.
    #[error("this server is not in the room")]
    NotInRoom,
    /// The state of the room is not complete yet.
    #[error("the state of the room is not complete yet")]
    PartialState,
    /// The room's ACL keeps the asking server out.
    #[error("the ACL of the room keeps the server out")]
    ServerDenied,
    /// What should be a user ID is none.
    #[error("not a user ID")]
    UserId,
    /// The user is of another server than the one that asks.
    #[error("the user is of another server")]
    UserOfOtherServer,
    /// The request does not say which room versions the asking server has.
    #[error("no `ver`")]
    NoVersions,
    /// The asking server does not have the version of the room.
    #[error("the asking server does not have room version {0}")]
    IncompatibleRoomVersion(RoomVersion),
    /// The version of the room has no knocking.
    #[error("no knocking in room version {0}")]
    NoKnocking(RoomVersion),
    /// The body is no event of the room's version.
    #[error("malformed event: {0}")]
    Format(#[source] FormatError),
    /// Something in the event is not as the request has it.
    #[error("{0}")]
    Mismatch(Mismatch),
    /// A signature is missing or wrong.
    #[error("{0}")]
    Signature(#[source] SignatureError),
    /// The content hash is wrong. Redacted, the event could be taken; but the reason and the name in it would be lost.
    #[error("the content hash is wrong")]
    ContentHash,
    /// The event comes after no other: there is no state before it.
    #[error("no previous events")]
    NoPrevEvents,
    /// An event in `auth_events` is not known.
    #[error("unknown auth events")]
    UnknownAuthEvents,
    /// A rule refuses it.
    #[error("{stage}: {rejection}")]
    Rejected {
        /// By which state.
        stage: AuthStage,
        /// The rule.
        rejection: Rejection,
    },
    /// Too many requests.
    #[error("rate limited")]
    RateLimited {
        /// Milliseconds from now.
        retry_after_ms: Option<u64>,
    },
    /// The host forbids it.
    #[error("forbidden by the host")]
    Forbidden,
    /// The user is suspended.
    #[error("the user is suspended")]
    Suspended,
    /// The policy server of the room did not sign it.
    #[error("refused by the policy server of the room")]
    Policy,
}

/// What is not as the request has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Mismatch {
    /// The event is of another room.
    #[error("the event is of another room")]
    RoomId,
    /// It is no `m.room.member` event.
    #[error("the event is not an `m.room.member` event")]
    EventType,
    /// The `membership` is another one than the request is about.
    #[error("the `membership` is not the one of the request")]
    Membership,
    /// `state_key` and `sender` differ.
    #[error("the `state_key` is not the sender")]
    StateKey,
    /// The sender is of another server than the one that asks.
    #[error("the sender is of another server")]
    Sender,
    /// The event's ID is not the one in the path.
    #[error("the event ID in the path is not that of the event")]
    EventId,
    /// A knock names a user who would authorize a join.
    #[error("a knock with a `join_authorised_via_users_server`")]
    AuthorizingUser,
}

/// By which state a rule was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AuthStage {
    /// By none: a rule about the event and those that it names.
    #[error("by itself")]
    Itself,
    /// By the state that its `auth_events` make.
    #[error("by its auth events")]
    AuthEvents,
    /// By the state before it.
    #[error("by the state before it")]
    StateBefore,
    /// By the current state: the event would be soft-failed.
    #[error("by the current state")]
    CurrentState,
}

impl Refusal {
    /// The answer on the wire. It does not tell who is in the room, or how anybody stands to it.
    #[must_use]
    pub fn to_response(&self) -> ErrorResponse {
        let (errcode, error) = match self {
            Self::UnknownRoom | Self::NotInRoom | Self::PartialState => (Errcode::NotFound, "Unknown room"),
            Self::ServerDenied => (Errcode::Forbidden, "The server is not allowed in the room"),
            Self::UserId => (Errcode::InvalidParam, "Not a user ID"),
            Self::UserOfOtherServer => (Errcode::Forbidden, "The user is of another server"),
            Self::NoVersions => (Errcode::MissingParam, "`ver` is missing"),
            Self::IncompatibleRoomVersion(version) => {
                return ErrorResponse::incompatible_room_version(version.to_string());
            }
            Self::NoKnocking(_) => (Errcode::Forbidden, "There is no knocking in the version of the room"),
            Self::Format(error) => match error {
                FormatError::TooLarge { .. }
                | FormatError::TooLong(_)
                | FormatError::Pdu(PduError::TooLarge { .. }) => (Errcode::TooLarge, "The event is too large"),
                FormatError::Pdu(
                    PduError::Json(_) | PduError::NotAnObject | PduError::Missing(_) | PduError::WrongKind(_),
                )
                | FormatError::Missing(_)
                | FormatError::Unexpected(_)
                | FormatError::WrongKind(_)
                | FormatError::Id { .. }
                | FormatError::TooMany { .. } => (Errcode::BadJson, "Not an event of the version of the room"),
            },
            Self::Mismatch(mismatch) => (Errcode::InvalidParam, mismatch.error()),
            Self::Signature(_) => (Errcode::InvalidParam, "A signature of the event is missing or wrong"),
            Self::ContentHash => (Errcode::InvalidParam, "The content hash of the event is wrong"),
            Self::NoPrevEvents | Self::UnknownAuthEvents | Self::Rejected { .. } => {
                (Errcode::Forbidden, "The room does not allow it")
            }
            Self::RateLimited { retry_after_ms } => return ErrorResponse::limit_exceeded(*retry_after_ms),
            Self::Forbidden | Self::Policy => (Errcode::Forbidden, "Not allowed here"),
            Self::Suspended => (Errcode::UserSuspended, "The user is suspended"),
        };
        ErrorResponse::new(errcode, error)
    }
}

impl Mismatch {
    const fn error(self) -> &'static str {
        match self {
            Self::RoomId => "The event is of another room",
            Self::EventType => "Not an `m.room.member` event",
            Self::Membership => "The `membership` is not the one of the request",
            Self::StateKey => "The `state_key` is not the sender",
            Self::Sender => "The sender is of another server",
            Self::EventId => "The event ID in the path is not that of the event",
            Self::AuthorizingUser => "A knock has no `join_authorised_via_users_server`",
        }
    }
}

impl From<FormatError> for Refusal {
    fn from(error: FormatError) -> Self {
        Self::Format(error)
    }
}

impl From<PduError> for Refusal {
    fn from(error: PduError) -> Self {
        Self::Format(FormatError::Pdu(error))
    }
}

impl From<SignatureError> for Refusal {
    fn from(error: SignatureError) -> Self {
        Self::Signature(error)
    }
}

impl From<Mismatch> for Refusal {
    fn from(mismatch: Mismatch) -> Self {
        Self::Mismatch(mismatch)
    }
}
