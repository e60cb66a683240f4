//! `make_knock` and `make_leave`: a request for a template.

use std::borrow::Cow;
use std::marker::PhantomData;

use super::{Decision, Knock, Leave, LocalEvent, Refusal, RequestKind, ResidentRoom, reads_of_check};
use crate::auth::{Selection, authorize_proposal};
use crate::event::{Proposal, Sign};
use crate::id::{RoomId, ServerName, UserId};
use crate::path::{self, Path};
use crate::state::{Reads, RoomState};
use crate::template::{Details, PrevEvent, Template};
use crate::wire::HttpRequest;

/// A request for a template, authenticated: `GET /_matrix/federation/v1/make_knock/{roomId}/{userId}`, or `make_leave`.
///
/// # Examples
///
/// ```
/// use matrix_knock::RoomVersion;
/// use matrix_knock::event::Pdu;
/// use matrix_knock::id::{EventId, RoomId, ServerName};
/// use matrix_knock::resident::{Decision, MakeKnock, Residence, ResidentRoom};
/// use matrix_knock::state::StateMap;
/// use matrix_knock::template::PrevEvent;
/// use matrix_knock::wire::HttpRequest;
///
/// let create =
///     r#"{"type":"m.room.create","state_key":"","sender":"@a:a.example","content":{},"event_id":"$create"}"#;
/// let rules = r#"{"type":"m.room.join_rules","state_key":"","sender":"@a:a.example",
///     "content":{"join_rule":"knock"},"event_id":"$rules"}"#;
/// let state = StateMap::from([Pdu::parse(create)?, Pdu::parse(rules)?]);
/// let last = PrevEvent { event_id: EventId::parse("$rules")?, depth: 2 };
///
/// let origin = ServerName::parse("b.example")?;
/// let request = MakeKnock::parse(origin, HttpRequest {
///     method: "GET",
///     path: "/_matrix/federation/v1/make_knock/%21room%3Aa.example/%40kay%3Ab.example",
///     query: "ver=10&ver=11",
///     body: b"",
/// })?;
/// let room = ResidentRoom { room_id: RoomId::parse("!room:a.example")?, version: RoomVersion::V11, residence: Residence::Joined };
/// assert_eq!(request.room_id(), room.room_id);
/// let approved = request.check(&room, &state)?.decide(Decision::Admit)?;
/// let template = approved.template(&state, &[last], 1_700_000_000_000)?;
/// assert!(template.to_response().ends_with(r#""room_version":"11"}"#));
///
/// let request = MakeKnock::new(room.room_id, "@kay:b.example", origin, ["9"]);
/// let refusal = request.check(&room, &state).unwrap_err().to_response();
/// assert_eq!(refusal.status(), 400);
/// assert!(refusal.to_string().starts_with(r#"{"errcode":"M_INCOMPATIBLE_ROOM_VERSION""#));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MakeRequest<'q, K> {
    /// In the grammar of room IDs.
    room_id: Cow<'q, str>,
    user_id: Cow<'q, str>,
    /// In the grammar of server names.
    origin: Cow<'q, str>,
    versions: Vec<Cow<'q, str>>,
    kind: PhantomData<K>,
}

/// A request for the template of a knock: `make_knock`.
pub type MakeKnock<'q> = MakeRequest<'q, Knock>;

/// A request for the template of a leave, with which a knock is taken back or an invite declined: `make_leave`.
pub type MakeLeave<'q> = MakeRequest<'q, Leave>;

impl<'q> MakeKnock<'q> {
    /// Creates the request from its parts: the room and the user of the path, percent-decoded; the server that asks, as its
    /// request was authenticated; every `ver` of the query.
    #[must_use]
    pub fn new<V: Into<Cow<'q, str>>>(
        room_id: RoomId<'q>,
        user_id: impl Into<Cow<'q, str>>,
        origin: ServerName<'q>,
        versions: impl IntoIterator<Item = V>,
    ) -> Self {
        let versions = versions.into_iter().map(Into::into).collect();
        Self::of_parts(room_id.as_str().into(), user_id.into(), origin, versions)
    }
}

impl<'q> MakeLeave<'q> {
    /// Creates the request from its parts: the room and the user of the path, percent-decoded; the server that asks, as its
    /// request was authenticated.
    #[must_use]
    pub fn new(room_id: RoomId<'q>, user_id: impl Into<Cow<'q, str>>, origin: ServerName<'q>) -> Self {
        Self::of_parts(room_id.as_str().into(), user_id.into(), origin, Vec::new())
    }
}

impl<'q, K: RequestKind> MakeRequest<'q, K> {
    fn of_parts(
        room_id: Cow<'q, str>,
        user_id: Cow<'q, str>,
        origin: ServerName<'q>,
        versions: Vec<Cow<'q, str>>,
    ) -> Self {
        Self { room_id, user_id, origin: origin.as_str().into(), versions, kind: PhantomData }
    }

    /// Reads the request as it came. `origin` is the server that asks, as its request was authenticated.
    ///
    /// Names in the query other than `ver` are ignored. A `ver` that is not percent-encoded UTF-8 is no version.
    ///
    /// # Errors
    ///
    /// [`Refusal::Path`].
    pub fn parse(origin: ServerName<'q>, request: HttpRequest<'q>) -> Result<Self, Refusal> {
        let Path { room_id, last, .. } = path::parse("GET", K::MAKE, &["v1"], request)?;
        let versions = if K::MAKE == Knock::MAKE { path::values("ver", request.query)? } else { Vec::new() };
        Ok(Self::of_parts(room_id, last, origin, versions))
    }

    /// Returns the room that is asked about.
    #[must_use]
    pub fn room_id(&self) -> RoomId<'_> {
        RoomId::checked(&self.room_id)
    }

    /// Copies what is borrowed.
    #[must_use]
    pub fn into_owned(self) -> MakeRequest<'static, K> {
        MakeRequest {
            room_id: self.room_id.into_owned().into(),
            user_id: self.user_id.into_owned().into(),
            origin: self.origin.into_owned().into(),
            versions: self.versions.into_iter().map(|version| version.into_owned().into()).collect(),
            kind: PhantomData,
        }
    }

    fn proposal(&self) -> Proposal<'_> {
        Proposal::of_oneself(&self.user_id, K::MEMBERSHIP)
    }

    /// Returns the entries of the current state that [`check`](Self::check) reads.
    #[must_use]
    pub fn reads(&self, room: &ResidentRoom<'_>) -> Reads {
        reads_of_check().and(&Selection::of(room.version, &self.proposal()).reads())
    }

    /// Checks residency, the server ACL, the user, the versions, and the rules by the current state.
    ///
    /// # Errors
    ///
    /// [`Refusal`], by the first thing that is wrong.
    pub fn check<'r>(
        self,
        room: &ResidentRoom<'r>,
        state: &(impl RoomState + ?Sized),
    ) -> Result<AuthorizedRequest<'q, 'r, K>, Refusal> {
        let origin = ServerName::checked(&self.origin);
        room.check(&self.room_id, origin, state)?;
        let user_id = UserId::parse(&self.user_id).map_err(|_| Refusal::UserId)?;
        if user_id.server_name() != origin {
            return Err(Refusal::UserOfOtherServer);
        }
        if K::MAKE == Knock::MAKE {
            if self.versions.is_empty() {
                return Err(Refusal::NoVersions);
            }
            if !self.versions.iter().any(|version| room.version == **version) {
                return Err(Refusal::IncompatibleRoomVersion(room.version));
            }
            if !room.version.rules().knocking {
                return Err(Refusal::NoKnocking(room.version));
            }
        }
        let proposal = self.proposal();
        authorize_proposal(room.version, &proposal, state).map_err(Refusal::by_current_state)?;
        Ok(AuthorizedRequest { user_id: self.user_id, room: *room, kind: PhantomData })
    }
}

/// A request that the rules allow, and the host is to decide on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizedRequest<'q, 'r, K> {
    /// In the grammar of user IDs.
    user_id: Cow<'q, str>,
    room: ResidentRoom<'r>,
    kind: PhantomData<K>,
}

impl<'q, 'r, K: RequestKind> AuthorizedRequest<'q, 'r, K> {
    /// Returns who asks.
    #[must_use]
    pub fn user_id(&self) -> UserId<'_> {
        UserId::checked(&self.user_id)
    }

    /// Takes the host's decision.
    ///
    /// # Errors
    ///
    /// The refusal that the host decided on.
    pub fn decide(self, decision: Decision) -> Result<ApprovedRequest<'q, 'r, K>, Refusal> {
        decision.admitted().map(|()| ApprovedRequest(self))
    }
}

/// A request that is granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovedRequest<'q, 'r, K>(AuthorizedRequest<'q, 'r, K>);

impl<K: RequestKind> ApprovedRequest<'_, '_, K> {
    fn proposal(&self) -> Proposal<'_> {
        Proposal::of_oneself(&self.0.user_id, K::MEMBERSHIP)
    }

    /// Returns the entries of the current state that [`template`](Self::template) and [`sign`](Self::sign) read.
    #[must_use]
    pub fn reads(&self) -> Reads {
        Selection::of(self.0.room.version, &self.proposal()).reads()
    }

    /// Makes the template, if the current state, as it is now, still allows it. `prev_events` and `now` as for
    /// [`Template::knock`].
    ///
    /// # Errors
    ///
    /// [`Refusal::Rejected`] if the state has changed since the check; [`Refusal::OldEventFormat`]; [`Refusal::Host`] if the
    /// host gave too little.
    pub fn template(
        &self,
        state: &(impl RoomState + ?Sized),
        prev_events: &[PrevEvent<'_>],
        now: u64,
    ) -> Result<Template, Refusal> {
        let ResidentRoom { room_id, version, .. } = self.0.room;
        Ok(Template::of_proposal(version, &self.proposal(), room_id, state, prev_events, now)?)
    }

    /// Makes and signs the event itself, for a user of this very server: a local knock, or the leave that takes it back.
    ///
    /// # Errors
    ///
    /// As [`template`](Self::template); [`Refusal::TooLarge`] if the reason or the name is too long.
    pub fn sign(
        &self,
        state: &(impl RoomState + ?Sized),
        details: &Details,
        prev_events: &[PrevEvent<'_>],
        now: u64,
        signer: &(impl Sign + ?Sized),
    ) -> Result<LocalEvent<K>, Refusal> {
        let template = self.template(state, prev_events, now)?;
        LocalEvent::sign(template, K::default(), self.0.user_id().server_name(), details, now, signer)
    }
}
