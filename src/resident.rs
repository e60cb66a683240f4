//! The resident server's side: what it answers to `make_knock` and `make_leave`, and why it refuses.
//!
//! ```text
//! MakeKnock ┐
//!           ├─ check ──▶ AuthorizedRequest ── decide ──▶ ApprovedRequest ── template ──▶ Template ── to_response ──▶ 200
//! MakeLeave ┘    │                     │
//!                └─────────────────────┴──▶ Refusal ── to_response ──▶ 4xx
//! ```
//!
//! What comes back signed goes through [`submission`](submission). A user of this very server knocks by the same way,
//! with this server as `origin`: [`ApprovedRequest::sign`].
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#knocking-rooms>

mod refusal;
pub mod submission;

pub use self::refusal::{AuthStage, Mismatch, Refusal};
use crate::auth::{authorize_proposal, server_is_allowed};
use crate::event::{MAX_EVENT_BYTES, Membership, Proposal, Sign, SignError, SignedEvent, sign_event};
use crate::id::{RoomId, ServerName, UserId};
use crate::room_version::RoomVersion;
use crate::state::RoomState;
use crate::template::{CheckedTemplate, Details, PrevEvent, Template, TemplateError};

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
    /// Its current state. It must not change while a request is dealt with: what was allowed is not decided again.
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

/// A request for a template of a knock: `GET /_matrix/federation/v1/make_knock/{roomId}/{userId}`.
///
/// # Examples
///
/// ```
/// use matrix_knock::RoomVersion;
/// use matrix_knock::event::Pdu;
/// use matrix_knock::resident::{Decision, MakeKnock, Residence, ResidentRoom};
/// use matrix_knock::template::PrevEvent;
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
    ) -> Result<AuthorizedRequest<'q, 'r, S>, Refusal> {
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
        AuthorizedRequest::check(user_id, Membership::Knock, room)
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
    ) -> Result<AuthorizedRequest<'q, 'r, S>, Refusal> {
        let (user_id, room) = asks(self.user_id, self.origin, room)?;
        AuthorizedRequest::check(user_id, Membership::Leave, room)
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
pub struct AuthorizedRequest<'q, 'r, S: ?Sized> {
    user_id: UserId<'q>,
    membership: Membership,
    room: ResidentRoom<'r, S>,
}

impl<'q, 'r, S: RoomState + ?Sized> AuthorizedRequest<'q, 'r, S> {
    fn check(user_id: UserId<'q>, membership: Membership, room: ResidentRoom<'r, S>) -> Result<Self, Refusal> {
        let allowed = Self { user_id, membership, room };
        match authorize_proposal(room.version, &allowed.proposal(), room.state) {
            Ok(_) => Ok(allowed),
            Err(rejection) => Err(Refusal::Rejected { stage: AuthStage::CurrentState, rejection }),
        }
    }

    fn proposal(&self) -> Proposal<'q> {
        Proposal::of_oneself(self.user_id.as_str(), self.membership)
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
    pub fn decide(self, decision: Decision) -> Result<ApprovedRequest<'q, 'r, S>, Refusal> {
        decision.admitted().map(|()| ApprovedRequest(self))
    }
}

/// A request that is granted.
#[derive(Debug)]
pub struct ApprovedRequest<'q, 'r, S: ?Sized>(AuthorizedRequest<'q, 'r, S>);

impl<S: RoomState + ?Sized> ApprovedRequest<'_, '_, S> {
    /// Makes the template. `prev_events` and `now` as for [`Template::knock`].
    ///
    /// # Errors
    ///
    /// [`TemplateError`]: the host gave too little.
    pub fn template(&self, prev_events: &[PrevEvent<'_>], now: u64) -> Result<Template, TemplateError> {
        let Self(allowed) = self;
        let ResidentRoom { room_id, version, state, .. } = allowed.room;
        Template::of(version, &allowed.proposal(), room_id, state, prev_events, now)
    }

    /// Makes and signs the event itself, for a user of this very server: a local knock, or the leave that takes it back. The rules and
    /// the host have let it pass: what is left is to append it to the room and to send it to the servers in it.
    ///
    /// # Errors
    ///
    /// [`LocalError`]: the host gave too little, or the user too much.
    pub fn sign(
        &self,
        details: &Details,
        prev_events: &[PrevEvent<'_>],
        now: u64,
        signer: &impl Sign,
    ) -> Result<SignedEvent, LocalError> {
        let version = self.0.room.version;
        let server = self.0.user_id.server_name();
        let event = CheckedTemplate::from(self.template(prev_events, now)?).to_event(details, server, now);
        let signed = sign_event(version, &event, server, signer)?;
        if signed.text().len() > MAX_EVENT_BYTES { Err(LocalError::TooLarge) } else { Ok(signed) }
    }
}

/// Why there is no local event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocalError {
    /// There is no template of it.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// It cannot be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// It would have more than 65,536 bytes: the reason or the name is too long.
    #[error("the event would be too large")]
    TooLarge,
}
