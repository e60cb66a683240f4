//! The resident server's side: what it answers to `make_knock` and `make_leave`, and why it refuses.
//!
//! ```text
//! MakeKnock ┐
//!           ├─ check ──▶ Allowed ── decide ──▶ Admitted ── template ──▶ Template ── to_response ──▶ 200
//! MakeLeave ┘    │                     │
//!                └─────────────────────┴──▶ Refusal ── to_response ──▶ 4xx
//! ```
//!
//! What comes back signed goes through [`submission`](super::submission).
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#knocking-rooms>

use super::template::{PrevEvent, Template, TemplateError};
use crate::auth::{Authorized, Rejection, may, server_is_allowed};
use crate::error::{Errcode, ErrorResponse};
use crate::event::{FormatError, Membership, PduError, Proposal, SignatureError};
use crate::id::{RoomId, ServerName, UserId};
use crate::room_version::RoomVersion;
use crate::state::RoomState;

/// How this server itself stands to the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Residence {
    /// A user of this server is joined, and all of the state is there.
    Joined,
    /// A user of this server is joined, but the state is still being fetched after a fast join: nothing can be decided.
    PartialState,
    /// No user of this server is joined (any more): what is known of the state is old.
    Left,
}

/// A room that the resident server knows.
#[derive(Debug)]
pub struct ResidentRoom<'r, S: ?Sized> {
    /// Its ID.
    pub room_id: RoomId<'r>,
    /// Its version.
    pub version: RoomVersion,
    /// How this server stands to it.
    pub residence: Residence,
    /// Its current state.
    pub state: &'r S,
}

impl<S: ?Sized> Clone for ResidentRoom<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: ?Sized> Copy for ResidentRoom<'_, S> {}

impl<S: RoomState + ?Sized> ResidentRoom<'_, S> {
    /// What has to hold before anybody is answered about the room.
    pub(super) fn check(&self, origin: ServerName<'_>) -> Result<(), Refusal> {
        match self.residence {
            Residence::Joined => {}
            Residence::PartialState => return Err(Refusal::PartialState),
            Residence::Left => return Err(Refusal::NotInRoom),
        }
        if server_is_allowed(origin, self.state) { Ok(()) } else { Err(Refusal::ServerDenied) }
    }
}

/// What the host has to say to something that the rules allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Nothing against it.
    Admit,
    /// Not so many requests; the next one may come after so many milliseconds, if that is known.
    RateLimited {
        /// Milliseconds from now.
        retry_after_ms: Option<u64>,
    },
    /// Something that the rules do not know forbids it: a policy of the host.
    Forbidden,
    /// The user is suspended.
    Suspended,
}

impl Decision {
    pub(super) const fn admitted(self) -> Result<(), Refusal> {
        match self {
            Self::Admit => Ok(()),
            Self::RateLimited { retry_after_ms } => Err(Refusal::RateLimited { retry_after_ms }),
            Self::Forbidden => Err(Refusal::Forbidden),
            Self::Suspended => Err(Refusal::Suspended),
        }
    }
}

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
    #[error("{judged_by}: {rejection}")]
    Rejected {
        /// By which state.
        judged_by: JudgedBy,
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
pub enum JudgedBy {
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
                return ErrorResponse::incompatible_room_version(version.as_str());
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

/// A request for a template of a knock: `GET /_matrix/federation/v1/make_knock/{roomId}/{userId}`.
///
/// # Examples
///
/// ```
/// use matrix_knock::RoomVersion;
/// use matrix_knock::event::Pdu;
/// use matrix_knock::handshake::resident::{Decision, MakeKnock, Residence, ResidentRoom};
/// use matrix_knock::handshake::template::PrevEvent;
/// use matrix_knock::id::{EventId, RoomId, ServerName};
///
/// let create =
///     r#"{"type":"m.room.create","state_key":"","sender":"@a:a.example","content":{},"event_id":"$create"}"#;
/// let rules = r#"{"type":"m.room.join_rules","state_key":"","sender":"@a:a.example",
///     "content":{"join_rule":"knock"},"event_id":"$rules"}"#;
/// let state = [Pdu::parse(create)?, Pdu::parse(rules)?];
/// let room = ResidentRoom {
///     room_id: RoomId::parse("!room:a.example")?,
///     version: RoomVersion::V11,
///     residence: Residence::Joined,
///     state: &state,
/// };
/// let last = PrevEvent { event_id: EventId::parse("$rules")?, depth: 2 };
///
/// let origin = ServerName::parse("b.example")?;
/// let request = MakeKnock { user_id: "@kay:b.example", origin, versions: &["10", "11"] };
/// let template = request.check(Some(&room))?.decide(Decision::Admit)?.template(&[last], 1_700_000_000_000)?;
/// assert!(template.to_response().ends_with(r#""room_version":"11"}"#));
///
/// let request = MakeKnock { user_id: "@kay:b.example", origin, versions: &["9"] };
/// let refusal = request.check(Some(&room)).unwrap_err().to_response();
/// assert_eq!(refusal.status(), 400);
/// assert!(refusal.to_string().starts_with(r#"{"errcode":"M_INCOMPATIBLE_ROOM_VERSION""#));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MakeKnock<'q> {
    /// The user in the path, percent-decoded.
    pub user_id: &'q str,
    /// The server that asks, as its request was authenticated.
    pub origin: ServerName<'q>,
    /// Every `ver` of the query.
    pub versions: &'q [&'q str],
}

impl<'q> MakeKnock<'q> {
    /// Checks the request; `room` is the room in the path, if this server knows it.
    ///
    /// # Errors
    ///
    /// [`Refusal`], by the first thing that is wrong.
    pub fn check<'r, S: RoomState + ?Sized>(
        self,
        room: Option<&ResidentRoom<'r, S>>,
    ) -> Result<Allowed<'q, 'r, S>, Refusal> {
        let (user_id, room) = asks(self.user_id, self.origin, room)?;
        if self.versions.is_empty() {
            return Err(Refusal::NoVersions);
        }
        if !self.versions.contains(&room.version.as_str()) {
            return Err(Refusal::IncompatibleRoomVersion(room.version));
        }
        if !room.version.rules().knocking {
            return Err(Refusal::NoKnocking(room.version));
        }
        Allowed::check(user_id, Membership::Knock, room)
    }
}

/// A request for a template of a leave, with which a knock is taken back (or an invite declined):
/// `GET /_matrix/federation/v1/make_leave/{roomId}/{userId}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MakeLeave<'q> {
    /// The user in the path, percent-decoded.
    pub user_id: &'q str,
    /// The server that asks, as its request was authenticated.
    pub origin: ServerName<'q>,
}

impl<'q> MakeLeave<'q> {
    /// Checks the request; `room` is the room in the path, if this server knows it.
    ///
    /// # Errors
    ///
    /// [`Refusal`], by the first thing that is wrong.
    pub fn check<'r, S: RoomState + ?Sized>(
        self,
        room: Option<&ResidentRoom<'r, S>>,
    ) -> Result<Allowed<'q, 'r, S>, Refusal> {
        let (user_id, room) = asks(self.user_id, self.origin, room)?;
        Allowed::check(user_id, Membership::Leave, room)
    }
}

/// Who asks, about which room.
fn asks<'q, 'r, S: RoomState + ?Sized>(
    user_id: &'q str,
    origin: ServerName<'_>,
    room: Option<&ResidentRoom<'r, S>>,
) -> Result<(UserId<'q>, ResidentRoom<'r, S>), Refusal> {
    let room = room.ok_or(Refusal::UnknownRoom)?;
    room.check(origin)?;
    let user_id = UserId::parse(user_id).map_err(|_| Refusal::UserId)?;
    if user_id.server_name() != origin {
        return Err(Refusal::UserOfOtherServer);
    }
    Ok((user_id, *room))
}

/// A request that the rules allow, and the host is to decide on.
#[derive(Debug)]
pub struct Allowed<'q, 'r, S: ?Sized> {
    user_id: UserId<'q>,
    membership: Membership,
    room: ResidentRoom<'r, S>,
}

impl<'q, 'r, S: RoomState + ?Sized> Allowed<'q, 'r, S> {
    fn check(user_id: UserId<'q>, membership: Membership, room: ResidentRoom<'r, S>) -> Result<Self, Refusal> {
        let allowed = Self { user_id, membership, room };
        allowed.authorize(&allowed.proposal())?;
        Ok(allowed)
    }

    fn proposal(&self) -> Proposal<'q> {
        Proposal::of_oneself(self.user_id.as_str(), self.membership)
    }

    fn authorize<'p>(&self, proposal: &'p Proposal<'p>) -> Result<Authorized<'p, Proposal<'p>>, Refusal> {
        may(self.room.version, proposal, self.room.state)
            .map_err(|rejection| Refusal::Rejected { judged_by: JudgedBy::CurrentState, rejection })
    }

    /// Who asks.
    #[must_use]
    pub const fn user_id(&self) -> UserId<'q> {
        self.user_id
    }

    /// Takes the host's decision.
    ///
    /// # Errors
    ///
    /// The refusal that the host decided on.
    pub fn decide(self, decision: Decision) -> Result<Admitted<'q, 'r, S>, Refusal> {
        decision.admitted().map(|()| Admitted(self))
    }
}

/// A request that is granted.
#[derive(Debug)]
pub struct Admitted<'q, 'r, S: ?Sized>(Allowed<'q, 'r, S>);

impl<S: RoomState + ?Sized> Admitted<'_, '_, S> {
    /// Makes the template. `prev_events` and `now` as for [`Template::knock`].
    ///
    /// # Errors
    ///
    /// [`TemplateError`]: the host gave too little.
    pub fn template(&self, prev_events: &[PrevEvent<'_>], now: u64) -> Result<Template, TemplateError> {
        let Self(allowed) = self;
        let proposal = allowed.proposal();
        let authorized = may(allowed.room.version, &proposal, allowed.room.state)?;
        Template::of(authorized, allowed.room.room_id, allowed.room.state, prev_events, now)
    }
}
