//! Why a resident server refuses, and the one map from there to the wire.

use crate::auth::{AuthorizeError, Rejection};
use crate::error::{Errcode, ErrorResponse, PathError};
use crate::event::{EventType, FormatError, Membership, PduError, SignError, SignatureError};
use crate::policy::{NotPassed, PolicyRefusal};
use crate::receipt::UnknownAuthEvents;
use crate::room_version::RoomVersion;
use crate::state::NotLookedUp;
use crate::template::TemplateError;

/// Why a resident server refuses a knock, or the leave that takes it back: one variant for each check.
///
/// `Display` is for the host's own log; what goes on the wire is [`to_response`](Self::to_response) and says less.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The path or the query is not that of the endpoint.
    #[error(transparent)]
    Path(#[from] PathError),
    /// This server does not know the room.
    #[error("unknown room")]
    UnknownRoom,
    /// No user of this server is in the room.
    #[error("this server is not in the room")]
    NotInRoom,
    /// The state of the room is not complete yet.
    #[error("the state of the room is not complete yet")]
    PartialState,
    /// The ACL of the room denies the asking server.
    #[error("the ACL of the room denies the server")]
    ServerDenied,
    /// The path does not hold a valid user ID.
    #[error("not a user ID")]
    UserId,
    /// The user belongs to another server than the one that asks.
    #[error("the user belongs to another server")]
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
    /// Events of room versions 1 and 2 name others with their hashes; this crate makes no templates of them.
    #[error("no templates in room version {0}")]
    OldEventFormat(RoomVersion),
    /// The body is not UTF-8.
    #[error("the body is not UTF-8")]
    NotUtf8,
    /// The body is not an event of the room's version.
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
    /// The event has no previous events: there is no state before it.
    #[error("no previous events")]
    NoPrevEvents,
    /// The host does not have an event in `prev_events` and cannot fetch it.
    #[error("unknown previous events")]
    UnknownPrevEvents,
    /// The host does not have the state before the event.
    #[error("unknown state before the event")]
    UnknownState,
    /// The host does not have these events in `auth_events` and cannot fetch them.
    #[error("{0}")]
    UnknownAuthEvents(#[source] UnknownAuthEvents),
    /// A rule refuses the event.
    #[error("{stage}: {rejection}")]
    Rejected {
        /// By which state.
        stage: AuthStage,
        /// The rule.
        rejection: Rejection,
    },
    /// The host's own authorization refuses the event.
    #[error("{stage}: refused by the host's own authorization")]
    RejectedByHost {
        /// By which state.
        stage: AuthStage,
    },
    /// The event has more than [`MAX_SUBMITTED_BYTES`](crate::event::MAX_SUBMITTED_BYTES): the reason or the name is too long.
    #[error("the event would be too large")]
    TooLarge,
    /// The event is nested deeper than [`MAX_SUBMITTED_DEPTH`](crate::event::MAX_SUBMITTED_DEPTH): it could not be sent on.
    #[error("the event is nested too deep to be sent on")]
    TooDeep,
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
    /// The host refuses with an error of its own.
    #[error("refused by the host: {}", .0.error())]
    ByHost(Box<ErrorResponse>),
    /// There is no knock (no invite, no ban) of that user that the answer would be to, or it is the sender's own.
    #[error("the membership of the user is not `{expected}`")]
    NothingToAnswer {
        /// What the membership would have to be.
        expected: Membership,
    },
    /// The policy server of the room did not sign the event.
    #[error("{0}")]
    Policy(PolicyRefusal),
    /// No refusal: the host made a mistake.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// A mistake of the host. It is 500 on the wire, and nothing was decided.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// A snapshot lacks an entry of the step's `reads`.
    #[error(transparent)]
    NotLookedUp(#[from] NotLookedUp),
    /// The room is not the one that the request names.
    #[error("the room is not the one that the request names")]
    OtherRoom,
    /// The auth events were matched with another event.
    #[error("the auth events were matched with another event")]
    OtherAuthEvents,
    /// The host named no forward extremities of the room.
    #[error("no previous events to come after")]
    NoForwardExtremities,
    /// An event of the state that a template names has no event ID, or a malformed one.
    #[error("the `{event_type}` event of the state has no event ID")]
    NoEventId {
        /// The type of the event.
        event_type: EventType<'static>,
    },
    /// The create event of the room has no text that could be sent.
    #[error("the create event of the room has no text that could be sent")]
    NoCreateEvent,
    /// The verdict of the policy server is of another server, key or event than those that count by the current state, or there
    /// is none. Perhaps the room has changed meanwhile: the host asks the server that the room names now.
    #[error("the verdict is not that of the policy server that the room names now")]
    PolicyServer,
    /// The host cannot sign.
    #[error("{0}")]
    Sign(#[from] SignError),
}

/// What is not as the request has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
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
    /// The event has no `state_key`.
    #[error("the event has no `state_key`")]
    NoStateKey,
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

/// By which state an event was authorized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AuthStage {
    /// State-independent rules: the event and its auth events.
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
    pub(super) fn by_current_state(error: AuthorizeError) -> Self {
        Self::authorizing(AuthStage::CurrentState)(error)
    }

    pub(super) fn authorizing(stage: AuthStage) -> impl Fn(AuthorizeError) -> Self {
        move |error| match error {
            AuthorizeError::Rejected(rejection) => Self::Rejected { stage, rejection },
            AuthorizeError::NotLookedUp(error) => error.into(),
            // The type was checked before.
            AuthorizeError::NotAMemberEvent => Mismatch::EventType.into(),
        }
    }

    /// Returns whether this is no refusal but a mistake of the host.
    #[must_use]
    pub const fn is_host_error(&self) -> bool {
        matches!(self, Self::Host(_))
    }

    /// Returns the answer on the wire. It does not tell who is in the room, or how anybody stands to it.
    #[must_use]
    pub fn to_response(&self) -> ErrorResponse {
        let (errcode, error) = match self {
            Self::Path(error) => return error.to_response(),
            Self::UnknownRoom | Self::NotInRoom | Self::PartialState => (Errcode::NotFound, "Unknown room"),
            Self::ServerDenied => (Errcode::Forbidden, "The server is not allowed in the room"),
            Self::UserId => (Errcode::InvalidParam, "Not a user ID"),
            Self::UserOfOtherServer => (Errcode::Forbidden, "The user is of another server"),
            Self::NoVersions => (Errcode::MissingParam, "`ver` is missing"),
            Self::IncompatibleRoomVersion(version) => {
                return ErrorResponse::incompatible_room_version(version.to_string());
            }
            Self::NoKnocking(_) => (Errcode::Forbidden, "There is no knocking in the version of the room"),
            Self::OldEventFormat(_) => (Errcode::Unrecognized, "No templates in the version of the room"),
            Self::NotUtf8 => (Errcode::BadJson, "The body is not JSON"),
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
            Self::NoPrevEvents | Self::UnknownAuthEvents(_) | Self::Rejected { .. } | Self::RejectedByHost { .. } => {
                (Errcode::Forbidden, "The room does not allow it")
            }
            // Another server of the room may know them: the knocking server asks it, since this is no refusal.
            Self::UnknownPrevEvents | Self::UnknownState => {
                return ErrorResponse::internal("This server does not know the state before the event");
            }
            Self::TooLarge => (Errcode::TooLarge, "The event is too large"),
            Self::TooDeep => (Errcode::BadJson, "The event is nested too deep"),
            Self::RateLimited { retry_after_ms } => return ErrorResponse::limit_exceeded(*retry_after_ms),
            Self::NothingToAnswer { expected } => (
                Errcode::Forbidden,
                match expected {
                    Membership::Invite => "The user is not invited",
                    Membership::Ban => "The user is not banned",
                    Membership::Leave => "The user knocks, is invited, joined or banned",
                    Membership::Knock => "The user does not knock",
                    Membership::Join => "The user is not in the room",
                },
            ),
            Self::Policy(refusal) => return refusal.to_response(),
            Self::Forbidden => (Errcode::Forbidden, "Not allowed here"),
            Self::Suspended => (Errcode::UserSuspended, "The user is suspended"),
            Self::ByHost(response) => return (**response).clone(),
            Self::Host(_) => return ErrorResponse::internal("Internal server error"),
        };
        ErrorResponse::new(errcode, error)
    }
}

impl From<HostError> for ErrorResponse {
    fn from(error: HostError) -> Self {
        Refusal::Host(error).to_response()
    }
}

impl From<NotLookedUp> for ErrorResponse {
    fn from(error: NotLookedUp) -> Self {
        Refusal::from(error).to_response()
    }
}

impl From<UnknownAuthEvents> for ErrorResponse {
    fn from(unknown: UnknownAuthEvents) -> Self {
        Refusal::from(unknown).to_response()
    }
}

impl From<TemplateError> for ErrorResponse {
    fn from(error: TemplateError) -> Self {
        Refusal::from(error).to_response()
    }
}

impl From<Refusal> for ErrorResponse {
    fn from(refusal: Refusal) -> Self {
        refusal.to_response()
    }
}

impl Mismatch {
    const fn error(self) -> &'static str {
        match self {
            Self::RoomId => "The event is of another room",
            Self::EventType => "Not an `m.room.member` event",
            Self::Membership => "The `membership` is not the one of the request",
            Self::NoStateKey => "The event has no `state_key`",
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

impl From<NotLookedUp> for Refusal {
    fn from(error: NotLookedUp) -> Self {
        Self::Host(error.into())
    }
}

impl From<NotPassed> for Refusal {
    fn from(error: NotPassed) -> Self {
        match error {
            NotPassed::Refused(refusal) => Self::Policy(refusal),
            NotPassed::OtherVerdict => HostError::PolicyServer.into(),
            NotPassed::NotLookedUp(error) => error.into(),
        }
    }
}

impl From<UnknownAuthEvents> for Refusal {
    fn from(unknown: UnknownAuthEvents) -> Self {
        Self::UnknownAuthEvents(unknown)
    }
}

impl From<TemplateError> for Refusal {
    fn from(error: TemplateError) -> Self {
        match error {
            TemplateError::Rejected(rejection) => Self::Rejected { stage: AuthStage::CurrentState, rejection },
            TemplateError::OldEventFormat(version) => Self::OldEventFormat(version),
            TemplateError::NotLookedUp(error) => error.into(),
            TemplateError::NoPrevEvents => HostError::NoForwardExtremities.into(),
            TemplateError::NoEventId { event_type } => HostError::NoEventId { event_type }.into(),
        }
    }
}
