//! `send_knock` and `send_leave`: a signed event on its way into the room.
//!
//! Each step consumes the last, and there is no other way to an [`Accepted`] event:
//!
//! ```text
//! SendKnock ┐
//!           ├─ check ──▶ FormatChecked ── verify ──▶ SignatureChecked ── authorize ──▶ AuthorizedEvent ── accept ──▶ Accepted
//! SendLeave ┘    │                           │                                │                               │
//!                └───────────────────────────┴───────────────┬────────────────┴───────────────────────────────┘
//!                                                            ▼
//!                                                         Refusal ── to_response ──▶ 4xx, 5xx
//! ```
//!
//! What the host does between the steps is listed in the [parent module](super). A step cannot be left out. This compiles:
//!
//! ```
//! # use matrix_knock::event::{Event, Keys, Verify};
//! # use matrix_knock::resident::submission::{Accepted, AuthEventRef, SendKnock};
//! # use matrix_knock::policy::PolicyVerdict;
//! # use matrix_knock::resident::{Decision, Knock, Refusal, ResidentRoom};
//! # use matrix_knock::state::RoomState;
//! fn all_steps<'q>(
//!     request: &'q SendKnock<'_>, room: &ResidentRoom, keys: &impl Keys, verifier: &(impl Verify + ?Sized),
//!     found: Vec<AuthEventRef<impl Event>>, state: &impl RoomState,
//! ) -> Result<Accepted<'q, Knock>, Refusal> {
//!     let checked = request.check(room, state)?.verify(keys, verifier, 0)?;
//!     let auth_events = checked.match_auth_events(found)?;
//!     let authorized = checked.authorize(&auth_events, state, state)?;
//!     authorized.accept(state, PolicyVerdict::NotNamed, Decision::Admit)
//! }
//! ```
//!
//! Without the signature it does not:
//!
//! ```compile_fail,E0599
//! # use matrix_knock::event::{Event, Keys, Verify};
//! # use matrix_knock::resident::submission::{Accepted, AuthEventRef, SendKnock};
//! # use matrix_knock::policy::PolicyVerdict;
//! # use matrix_knock::resident::{Decision, Knock, Refusal, ResidentRoom};
//! # use matrix_knock::state::RoomState;
//! # fn all_steps<'q>(
//! #     request: &'q SendKnock<'_>, room: &ResidentRoom, keys: &impl Keys, verifier: &(impl Verify + ?Sized),
//! #     found: Vec<AuthEventRef<impl Event>>, state: &impl RoomState,
//! # ) -> Result<Accepted<'q, Knock>, Refusal> {
//! let checked = request.check(room, state)?;
//! let auth_events = checked.match_auth_events(found)?;
//! # let authorized = checked.authorize(&auth_events, state, state)?;
//! # authorized.accept(state, PolicyVerdict::NotNamed, Decision::Admit)
//! # }
//! ```
//!
//! nor without the rules,
//!
//! ```compile_fail,E0599
//! # use matrix_knock::event::{Event, Keys, Verify};
//! # use matrix_knock::resident::submission::{Accepted, AuthEventRef, SendKnock};
//! # use matrix_knock::policy::PolicyVerdict;
//! # use matrix_knock::resident::{Decision, Knock, Refusal, ResidentRoom};
//! # use matrix_knock::state::RoomState;
//! # fn all_steps<'q>(
//! #     request: &'q SendKnock<'_>, room: &ResidentRoom, keys: &impl Keys, verifier: &(impl Verify + ?Sized),
//! #     found: Vec<AuthEventRef<impl Event>>, state: &impl RoomState,
//! # ) -> Result<Accepted<'q, Knock>, Refusal> {
//! let checked = request.check(room, state)?.verify(keys, verifier, 0)?;
//! checked.accept(state, PolicyVerdict::NotNamed, Decision::Admit)
//! # }
//! ```
//!
//! nor by what was accepted for something else, a leave for a knock,
//!
//! ```compile_fail,E0308
//! # use matrix_knock::event::{Event, Keys, Verify};
//! # use matrix_knock::resident::submission::{Accepted, AuthEventRef, SendLeave};
//! # use matrix_knock::policy::PolicyVerdict;
//! # use matrix_knock::resident::{Decision, Knock, Refusal, ResidentRoom};
//! # use matrix_knock::state::RoomState;
//! # fn all_steps<'q>(
//! #     request: &'q SendLeave<'_>, room: &ResidentRoom, keys: &impl Keys, verifier: &(impl Verify + ?Sized),
//! #     found: Vec<AuthEventRef<impl Event>>, state: &impl RoomState,
//! # ) -> Result<Accepted<'q, Knock>, Refusal> {
//! #   let checked = request.check(room, state)?.verify(keys, verifier, 0)?;
//! #   let auth_events = checked.match_auth_events(found)?;
//! let authorized = checked.authorize(&auth_events, state, state)?;
//! authorized.accept(state, PolicyVerdict::NotNamed, Decision::Admit)
//! # }
//! ```
//!
//! nor by writing down what was never checked:
//!
//! ```compile_fail
//! # use matrix_knock::event::WholePdu;
//! # use matrix_knock::resident::Knock;
//! # use matrix_knock::resident::submission::Accepted;
//! fn forged<'q>(pdu: WholePdu<'q>) -> Accepted<'q, Knock> {
//!     Accepted { pdu }
//! }
//! ```
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv1send_knockroomideventid>,
//! <https://spec.matrix.org/v1.19/server-server-api/#checks-performed-on-receipt-of-a-pdu>

mod accepted;
mod authorized;

use std::borrow::Cow;
use std::marker::PhantomData;

pub use self::accepted::{Accepted, Repeated};
pub use self::authorized::{AuthorizedEvent, HostVerdict};
use super::{AuthStage, HostError, Knock, Leave, Mismatch, Refusal, RequestKind, ResidentRoom, reads_of_check};
use crate::auth::{Selection, authorize};
use crate::event::{
    Event, EventType, FormattedPdu, Keys, MAX_SUBMITTED_BYTES, NoVerifier, Pdu, VerifiedPdu, Verify, WholePdu,
};
use crate::id::{RoomId, ServerName, UserId};
use crate::path::{self, EventRequest};
use crate::receipt::ByAuthEvents;
pub use crate::receipt::{AuthEventRef, AuthEvents, UnknownAuthEvents};
use crate::state::{Reads, RoomState};
use crate::wire::HttpRequest;

/// A request with a signed event, authenticated: `PUT /_matrix/federation/v1/send_knock/{roomId}/{eventId}`, or
/// `/v2/send_leave`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendRequest<'q, K> {
    request: EventRequest<'q>,
    answer: Answer<K>,
}

/// In what form the answer goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Answer<K> {
    /// The deprecated `/v1/send_leave` has the body in a list behind the status.
    in_list: bool,
    kind: PhantomData<K>,
}

/// A request with a signed knock: `send_knock`.
pub type SendKnock<'q> = SendRequest<'q, Knock>;

/// A request with a signed leave, which takes a knock back or declines an invite: `send_leave`.
pub type SendLeave<'q> = SendRequest<'q, Leave>;

impl<'q, K: RequestKind> SendRequest<'q, K> {
    /// Creates the request from its parts: the room and the event ID of the path, percent-decoded; the server that asks, as
    /// its request was authenticated (an `origin` in the body counts for nothing); the body.
    #[must_use]
    pub fn new(
        room_id: RoomId<'q>,
        event_id: impl Into<Cow<'q, str>>,
        origin: ServerName<'q>,
        body: impl Into<Cow<'q, str>>,
    ) -> Self {
        let request = EventRequest::new(room_id, event_id.into(), origin, body.into());
        Self { request, answer: Answer { in_list: false, kind: PhantomData } }
    }

    /// Reads the request as it came. `origin` is the server that asks, as its request was authenticated.
    ///
    /// Knows `/v1/send_knock`, `/v2/send_leave` and the deprecated `/v1/send_leave`.
    ///
    /// # Errors
    ///
    /// [`Refusal::Path`],
    /// [`Refusal::NotUtf8`].
    ///
    /// # Examples
    ///
    /// ```
    /// use matrix_knock::id::ServerName;
    /// use matrix_knock::resident::submission::SendKnock;
    /// use matrix_knock::wire::HttpRequest;
    ///
    /// let request = HttpRequest {
    ///     method: "PUT",
    ///     path: "/_matrix/federation/v1/send_knock/%21room%3Aa.example/%24event",
    ///     query: "",
    ///     body: b"{}",
    /// };
    /// let request = SendKnock::parse(ServerName::parse("b.example")?, request)?;
    /// assert_eq!(request.room_id().as_str(), "!room:a.example");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn parse(origin: ServerName<'q>, request: HttpRequest<'q>) -> Result<Self, Refusal> {
        let apis: &[&str] = if K::SEND == Knock::SEND { &["v1"] } else { &["v2", "v1"] };
        let path = path::parse("PUT", K::SEND, apis, request)?;
        let body = std::str::from_utf8(request.body).map_err(|_| Refusal::NotUtf8)?;
        let answer = Answer { in_list: K::SEND == Leave::SEND && path.api == "v1", kind: PhantomData };
        Ok(Self { request: EventRequest::of_path(path, origin, body), answer })
    }

    /// Returns the room that the event is sent to.
    #[must_use]
    pub fn room_id(&self) -> RoomId<'_> {
        RoomId::checked(&self.request.room_id)
    }

    /// Returns the ID that the path gives to the event.
    #[must_use]
    pub fn event_id(&self) -> &str {
        &self.request.event_id
    }

    /// Copies what is borrowed.
    #[must_use]
    pub fn into_owned(self) -> SendRequest<'static, K> {
        SendRequest { request: self.request.into_owned(), answer: self.answer }
    }

    /// Returns the entry of the current state that [`check`](Self::check) reads: the server ACL.
    #[must_use]
    pub fn reads(&self) -> Reads {
        reads_of_check()
    }

    /// Checks all that can be checked without keys: residency, the server ACL, the format of the event, and that it is what
    /// the request says.
    ///
    /// # Errors
    ///
    /// [`Refusal`], by the first thing that is wrong.
    pub fn check<'b>(
        &'b self,
        room: &ResidentRoom<'_>,
        state: &(impl RoomState + ?Sized),
    ) -> Result<FormatChecked<'b, K>, Refusal> {
        let origin = ServerName::checked(&self.request.origin);
        room.check(&self.request.room_id, origin, state)?;
        let is_knock = K::SEND == Knock::SEND;
        if is_knock && !room.version.rules().knocking {
            return Err(Refusal::NoKnocking(room.version));
        }
        let formatted = Pdu::parse(&self.request.body)?.check_format(room.version)?;
        if formatted.canonical_bytes() > MAX_SUBMITTED_BYTES {
            return Err(Refusal::TooLarge);
        }
        if !formatted.leaves_depth() {
            return Err(Refusal::TooDeep);
        }
        let event = formatted.pdu();
        if event.room_id() != Some(&*self.request.room_id) {
            return Err(Mismatch::RoomId.into());
        }
        if !event.is_type(EventType::Member) {
            return Err(Mismatch::EventType.into());
        }
        let member = event.member_facts();
        if member.membership() != Some(K::MEMBERSHIP) {
            return Err(Mismatch::Membership.into());
        }
        if event.state_key().is_none() {
            return Err(Mismatch::NoStateKey.into());
        }
        if event.state_key() != Some(event.sender()) {
            return Err(Mismatch::StateKey.into());
        }
        // The format has seen to it that the sender is a user ID.
        if UserId::parse(event.sender()).map(UserId::server_name) != Ok(origin) {
            return Err(Mismatch::Sender.into());
        }
        if formatted.event_id() != self.request.event_id {
            return Err(Mismatch::EventId.into());
        }
        // Before v8 the key means nothing.
        if is_knock && room.version.rules().restricted_join_rule && member.has_authorizing_user() {
            return Err(Mismatch::AuthorizingUser.into());
        }
        Ok(FormatChecked { formatted, origin, answer: self.answer })
    }
}

/// An event that is what the request says: format, room, type, membership, sender, event ID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatChecked<'q, K> {
    formatted: FormattedPdu<'q>,
    origin: ServerName<'q>,
    answer: Answer<K>,
}

impl<'q, K: RequestKind> FormatChecked<'q, K> {
    /// Returns the ID of the event.
    #[must_use]
    pub fn event_id(&self) -> &str {
        self.formatted.event_id()
    }

    /// Returns the server that asks, whose keys are needed.
    #[must_use]
    pub const fn origin(&self) -> ServerName<'q> {
        self.origin
    }

    /// Returns the IDs of the keys with which the asking server says it has signed. Fetch every valid key listed;
    /// [`verify`](Self::verify) needs at least one.
    #[must_use]
    pub fn key_ids(&self) -> Vec<String> {
        self.formatted.key_ids(self.origin.as_str())
    }

    /// Checks the signature of the asking server and the content hash. `now` is the time in milliseconds since the Unix
    /// epoch, for the validity of keys.
    ///
    /// # Errors
    ///
    /// [`Refusal::Signature`], [`Refusal::ContentHash`].
    pub fn verify(
        self,
        keys: &(impl Keys + ?Sized),
        verifier: &(impl Verify + ?Sized),
        now: u64,
    ) -> Result<SignatureChecked<'q, K>, Refusal> {
        // DEVIATION: the text redacts an event whose hash is wrong and goes on. What the knocker said would be lost, and
        // nobody honest sends one.
        match self.formatted.check_signatures(keys, verifier, now)?.check_hash()? {
            VerifiedPdu::Whole(pdu) => Ok(SignatureChecked { pdu, answer: self.answer }),
            VerifiedPdu::Redacted(_) => Err(Refusal::ContentHash),
        }
    }
}

/// An event whose signature and content hash are valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureChecked<'q, K> {
    pdu: WholePdu<'q>,
    answer: Answer<K>,
}

impl<'q, K: RequestKind> SignatureChecked<'q, K> {
    /// Returns the ID of the event.
    #[must_use]
    pub fn event_id(&self) -> &str {
        self.pdu.event_id()
    }

    /// Returns the IDs of the events by which it says it is allowed: 10 at most.
    pub fn auth_events(&self) -> impl ExactSizeIterator<Item = &str> {
        self.pdu.signed().formatted().auth_events()
    }

    /// Returns the IDs of the events that it comes after: 20 at most.
    pub fn prev_events(&self) -> impl ExactSizeIterator<Item = &str> {
        self.pdu.signed().formatted().prev_events()
    }

    /// Ends here if the host has accepted this event before: it came a second time, and gets the same answer.
    #[must_use]
    pub fn known(self) -> Repeated<K> {
        Repeated::of(self.answer)
    }

    /// Matches the events that the host has found with [`auth_events`](Self::auth_events), by their IDs. They come in any
    /// order; others are ignored.
    ///
    /// # Errors
    ///
    /// [`UnknownAuthEvents`] names those that are missing. The host fetches them and asks again, or refuses with that.
    pub fn match_auth_events<E: Event>(
        &self,
        found: impl IntoIterator<Item = AuthEventRef<E>>,
    ) -> Result<AuthEvents<E>, UnknownAuthEvents> {
        AuthEvents::matching(self.event_id(), self.auth_events(), found)
    }

    /// Returns the entries that [`authorize`](Self::authorize) reads, of the state before the event and of the current one.
    #[must_use]
    pub fn reads(&self) -> Reads {
        Selection::of(self.pdu.signed().version(), self.pdu.pdu()).reads()
    }

    /// Authorizes the event: by the state-independent rules, by the state that its auth events make, by the state before it,
    /// and by the current state (the event would be soft-failed, which for a request means refused).
    ///
    /// `before` is the state before the event, that of its previous events after state resolution.
    ///
    /// # Errors
    ///
    /// [`Refusal::NoPrevEvents`]; [`Refusal::Rejected`] with the first rule that refuses; [`Refusal::Host`].
    pub fn authorize<E: Event>(
        self,
        auth_events: &AuthEvents<E>,
        before: &(impl RoomState + ?Sized),
        current: &(impl RoomState + ?Sized),
    ) -> Result<AuthorizedEvent<'q, K>, Refusal> {
        let (version, event) = (self.pdu.signed().version(), self.pdu.pdu());
        if self.prev_events().len() == 0 {
            return Err(Refusal::NoPrevEvents);
        }
        if !auth_events.are_of(self.event_id()) {
            return Err(HostError::OtherAuthEvents.into());
        }
        let create = match version.rules().create_event_is_room_id {
            true => current.event(EventType::Create, "")?,
            false => None,
        };
        let signed_by: Vec<&str> = self.pdu.signed().signed_by().collect();
        let by_itself = auth_events.check_event(version, event, &signed_by, create.as_ref());
        by_itself.map_err(Refusal::authorizing(AuthStage::Itself))?;

        let by_auth_events = ByAuthEvents::new(auth_events, create.as_ref());
        let authorize_by = |stage, result| Result::map_err(result, Refusal::authorizing(stage));
        authorize_by(AuthStage::AuthEvents, authorize(version, event, &by_auth_events, &NoVerifier).map(drop))?;
        authorize_by(AuthStage::StateBefore, authorize(version, event, before, &NoVerifier).map(drop))?;
        authorize_by(AuthStage::CurrentState, authorize(version, event, current, &NoVerifier).map(drop))?;
        Ok(AuthorizedEvent::of(self.pdu, self.answer))
    }

    /// Takes the host's own verdict in place of [`authorize`](Self::authorize), for a host whose pipeline authorizes every
    /// event anyway.
    ///
    /// With [`HostVerdict::Allowed`] the host vouches that the event passed all of checks 4 to 6 on receipt of a PDU: by its
    /// auth events (all of them known, none rejected, those that the selection names), by the state before it, and by the
    /// current state. <https://spec.matrix.org/v1.19/server-server-api/#checks-performed-on-receipt-of-a-pdu>
    ///
    /// # Errors
    ///
    /// [`Refusal::RejectedByHost`] unless the verdict is `Allowed`.
    pub fn authorize_by_host(self, verdict: HostVerdict) -> Result<AuthorizedEvent<'q, K>, Refusal> {
        verdict.allowed()?;
        Ok(AuthorizedEvent::of(self.pdu, self.answer))
    }
}
