//! The resident server's side of `send_knock` and `send_leave`: a signed event on its way into the room.
//!
//! Each step consumes the last, and there is no other way to an [`AcceptedKnock`]:
//!
//! ```text
//! SendKnock ── check ──▶ FormatChecked ── verify ──▶ Verified ── authorize ──▶ AuthorizedEvent ── accept ──▶ AcceptedKnock
//! SendLeave ── check ──▶    ″          ″           ″           ″             ″           ″        AcceptedLeave
//!                │             │                   │              │
//!                └─────────────┴─────────┬─────────┴──────────────┘
//!                                        ▼
//!                                     Refusal ── to_response ──▶ 4xx
//! ```
//!
//! The host does what stands between the steps: it fetches the keys that [`FormatChecked::key_ids`] names, looks up whether it has
//! the event already ([`SignatureChecked::known`]), finds the events that [`SignatureChecked::auth_events`] and [`SignatureChecked::prev_events`] name and the
//! state before it, asks the room's policy server, and decides. A host that cannot find them, or the state, refuses.
//!
//! A step cannot be left out. This compiles:
//!
//! ```
//! # use matrix_knock::event::{Event, Keys, Verify};
//! # use matrix_knock::resident::{Decision, Refusal, ResidentRoom};
//! # use matrix_knock::resident::submission::{AcceptedKnock, AuthEventRef, PolicyVerdict, SendKnock};
//! # use matrix_knock::state::RoomState;
//! fn all_steps<'q, 'r, S: RoomState>(
//!     request: SendKnock<'q>, room: &ResidentRoom<'r, S>, keys: &impl Keys, verifier: &impl Verify, named: &[AuthEventRef<impl Event>],
//! ) -> Result<AcceptedKnock<'q, 'r, S>, Refusal> {
//!     let verified = request.check(Some(room))?.verify(keys, verifier, 0)?;
//!     verified.authorize(named, room.state)?.accept(PolicyVerdict::NotUsed, Decision::Admit)
//! }
//! ```
//!
//! Without the signature it does not:
//!
//! ```compile_fail,E0599
//! # use matrix_knock::event::{Event, Keys, Verify};
//! # use matrix_knock::resident::{Decision, Refusal, ResidentRoom};
//! # use matrix_knock::resident::submission::{AcceptedKnock, AuthEventRef, PolicyVerdict, SendKnock};
//! # use matrix_knock::state::RoomState;
//! # fn all_steps<'q, 'r, S: RoomState>(
//! #     request: SendKnock<'q>, room: &ResidentRoom<'r, S>, keys: &impl Keys, verifier: &impl Verify, named: &[AuthEventRef<impl Event>],
//! # ) -> Result<AcceptedKnock<'q, 'r, S>, Refusal> {
//! let received = request.check(Some(room))?;
//! received.authorize(named, room.state)?.accept(PolicyVerdict::NotUsed, Decision::Admit)
//! # }
//! ```
//!
//! nor without the rules,
//!
//! ```compile_fail,E0599
//! # use matrix_knock::event::{Event, Keys, Verify};
//! # use matrix_knock::resident::{Decision, Refusal, ResidentRoom};
//! # use matrix_knock::resident::submission::{AcceptedKnock, AuthEventRef, PolicyVerdict, SendKnock};
//! # use matrix_knock::state::RoomState;
//! # fn all_steps<'q, 'r, S: RoomState>(
//! #     request: SendKnock<'q>, room: &ResidentRoom<'r, S>, keys: &impl Keys, verifier: &impl Verify, named: &[AuthEventRef<impl Event>],
//! # ) -> Result<AcceptedKnock<'q, 'r, S>, Refusal> {
//! let verified = request.check(Some(room))?.verify(keys, verifier, 0)?;
//! verified.accept(PolicyVerdict::NotUsed, Decision::Admit)
//! # }
//! ```
//!
//! nor by what was accepted for something else, a leave for a knock,
//!
//! ```compile_fail,E0308
//! # use matrix_knock::event::{Event, Keys, Verify};
//! # use matrix_knock::resident::{Decision, Refusal, ResidentRoom};
//! # use matrix_knock::resident::submission::{AcceptedKnock, AuthEventRef, PolicyVerdict, SendLeave};
//! # use matrix_knock::state::RoomState;
//! # fn all_steps<'q, 'r, S: RoomState>(
//! #     request: SendLeave<'q>, room: &ResidentRoom<'r, S>, keys: &impl Keys, verifier: &impl Verify, named: &[AuthEventRef<impl Event>],
//! # ) -> Result<AcceptedKnock<'q, 'r, S>, Refusal> {
//! let verified = request.check(Some(room))?.verify(keys, verifier, 0)?;
//! verified.authorize(named, room.state)?.accept(PolicyVerdict::NotUsed, Decision::Admit)
//! # }
//! ```
//!
//! nor by writing down what was never checked:
//!
//! ```compile_fail,E0423
//! # use matrix_knock::resident::submission::{AcceptedKnock, AuthorizedEvent, Knock};
//! # use matrix_knock::state::RoomState;
//! fn forged<'q, 'r, S: RoomState>(permitted: AuthorizedEvent<'q, 'r, Knock, S>) -> AcceptedKnock<'q, 'r, S> {
//!     AcceptedKnock(permitted)
//! }
//! ```
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv1send_knockroomideventid>,
//! <https://spec.matrix.org/v1.19/server-server-api/#checks-performed-on-receipt-of-a-pdu>

mod accepted;

use std::marker::PhantomData;

use self::accepted::Accepted;
pub use self::accepted::{AcceptedKnock, AcceptedLeave, NoCreateEvent, Repeated};
use super::{AuthStage, Decision, Mismatch, Refusal, ResidentRoom};
use crate::auth::{AuthEvent, AuthStatus, AuthorizeError, Evidence, authorize, check_state_independent};
use crate::event::content::{CREATE, MEMBER};
use crate::event::{Event, FormattedPdu, Keys, Membership, NoVerifier, Pdu, VerifiedPdu, Verify, WholePdu};
use crate::id::{ServerName, UserId};
use crate::json::{Field, read_object};
use crate::state::RoomState;

mod sealed {
    pub trait Sealed {}
}

/// What is submitted: a [`Knock`] or a [`Leave`].
pub trait RequestKind: sealed::Sealed {
    /// The membership that the event has to have.
    const MEMBERSHIP: Membership;
}

/// A knock: `send_knock`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Knock {}

/// A leave, which takes a knock back (or declines an invite): `send_leave`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {}

impl sealed::Sealed for Knock {}
impl sealed::Sealed for Leave {}

impl RequestKind for Knock {
    const MEMBERSHIP: Membership = Membership::Knock;
}

impl RequestKind for Leave {
    const MEMBERSHIP: Membership = Membership::Leave;
}

/// A signed knock: `PUT /_matrix/federation/v1/send_knock/{roomId}/{eventId}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendKnock<'q> {
    /// The event ID in the path, percent-decoded.
    pub event_id: &'q str,
    /// The server that asks, as its request was authenticated. An `origin` in the body counts for nothing.
    pub origin: ServerName<'q>,
    /// The body.
    pub body: &'q str,
}

impl<'q> SendKnock<'q> {
    /// Checks all that can be checked without keys; `room` is the room in the path, if this server knows it.
    ///
    /// # Errors
    ///
    /// [`Refusal`], by the first thing that is wrong.
    pub fn check<'r, S: RoomState + ?Sized>(
        self,
        room: Option<&ResidentRoom<'r, S>>,
    ) -> Result<FormatChecked<'q, 'r, Knock, S>, Refusal> {
        FormatChecked::check(self.event_id, self.origin, self.body, room)
    }
}

/// A signed leave: `PUT /_matrix/federation/v2/send_leave/{roomId}/{eventId}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendLeave<'q> {
    /// The event ID in the path, percent-decoded.
    pub event_id: &'q str,
    /// The server that asks, as its request was authenticated. An `origin` in the body counts for nothing.
    pub origin: ServerName<'q>,
    /// The body.
    pub body: &'q str,
}

impl<'q> SendLeave<'q> {
    /// Checks all that can be checked without keys; `room` is the room in the path, if this server knows it.
    ///
    /// # Errors
    ///
    /// [`Refusal`], by the first thing that is wrong.
    pub fn check<'r, S: RoomState + ?Sized>(
        self,
        room: Option<&ResidentRoom<'r, S>>,
    ) -> Result<FormatChecked<'q, 'r, Leave, S>, Refusal> {
        FormatChecked::check(self.event_id, self.origin, self.body, room)
    }
}

/// An event that is what the request says: format, room, type, membership, sender, event ID.
#[derive(Debug)]
pub struct FormatChecked<'q, 'r, C, S: ?Sized> {
    formatted: FormattedPdu<'q>,
    origin: ServerName<'q>,
    room: ResidentRoom<'r, S>,
    change: PhantomData<C>,
}

/// An event that its sender's server has signed, as it was made.
#[derive(Debug)]
pub struct SignatureChecked<'q, 'r, C, S: ?Sized> {
    pdu: WholePdu<'q>,
    room: ResidentRoom<'r, S>,
    change: PhantomData<C>,
}

/// An event that every rule allows, and the host is to decide on.
#[derive(Debug)]
pub struct AuthorizedEvent<'q, 'r, C, S: ?Sized> {
    pdu: WholePdu<'q>,
    room: ResidentRoom<'r, S>,
    change: PhantomData<C>,
}

impl<'q, 'r, C: RequestKind, S: RoomState + ?Sized> FormatChecked<'q, 'r, C, S> {
    fn check(
        event_id: &str,
        origin: ServerName<'q>,
        body: &'q str,
        room: Option<&ResidentRoom<'r, S>>,
    ) -> Result<Self, Refusal> {
        let room = *room.ok_or(Refusal::UnknownRoom)?;
        room.check(origin)?;
        let is_knock = C::MEMBERSHIP == Membership::Knock;
        if is_knock && !room.version.rules().knocking {
            return Err(Refusal::NoKnocking(room.version));
        }
        let formatted = Pdu::parse(body)?.check_format(room.version)?;
        let event = formatted.pdu();
        if event.room_id() != Some(room.room_id.as_str()) {
            return Err(Mismatch::RoomId.into());
        }
        if event.event_type() != MEMBER {
            return Err(Mismatch::EventType.into());
        }
        let member = event.member_facts();
        if member.membership() != Some(C::MEMBERSHIP) {
            return Err(Mismatch::Membership.into());
        }
        if event.state_key() != Some(event.sender()) {
            return Err(Mismatch::StateKey.into());
        }
        // The format has seen to it that the sender is a user ID.
        if UserId::parse(event.sender()).map(UserId::server_name) != Ok(origin) {
            return Err(Mismatch::Sender.into());
        }
        if formatted.event_id() != event_id {
            return Err(Mismatch::EventId.into());
        }
        if is_knock && member.has_authorizing_user() {
            return Err(Mismatch::AuthorizingUser.into());
        }
        Ok(Self { formatted, origin, room, change: PhantomData })
    }

    /// The ID of the event.
    #[must_use]
    pub fn event_id(&self) -> &str {
        self.formatted.event_id()
    }

    /// The IDs of the keys with which the asking server says it has signed. Those that are known to count and at least one
    /// of them have to be there for [`verify`](Self::verify).
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
        verifier: &impl Verify,
        now: u64,
    ) -> Result<SignatureChecked<'q, 'r, C, S>, Refusal> {
        // DEVIATION: the text redacts an event whose hash is wrong and goes on. What the knocker said would be lost, and
        // nobody honest sends one.
        match self.formatted.check_signatures(keys, verifier, now)?.check_hash()? {
            VerifiedPdu::Whole(pdu) => Ok(SignatureChecked { pdu, room: self.room, change: PhantomData }),
            VerifiedPdu::Redacted(_) => Err(Refusal::ContentHash),
        }
    }
}

/// An event that another one names in its `auth_events`, as the host has it. It knows its ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthEventRef<E> {
    /// The event.
    pub event: E,
    /// How it came in.
    pub status: AuthStatus,
}

impl<'q, 'r, C: RequestKind, S: RoomState + ?Sized> SignatureChecked<'q, 'r, C, S> {
    /// The ID of the event.
    #[must_use]
    pub fn event_id(&self) -> &str {
        self.pdu.event_id()
    }

    /// The IDs of the events by which it says it is allowed: 10 at most.
    pub fn auth_events(&self) -> impl ExactSizeIterator<Item = &str> {
        self.pdu.signed().formatted().auth_events()
    }

    /// The IDs of the events that it comes after: 20 at most.
    pub fn prev_events(&self) -> impl ExactSizeIterator<Item = &str> {
        self.pdu.signed().formatted().prev_events()
    }

    /// The host has accepted this event before: it came a second time, and gets the same answer.
    #[must_use]
    pub fn known(self) -> Repeated<'r, C, S> {
        Repeated::of(self.room)
    }

    /// Decides by all the rules: those about the event itself, by the state that its auth events make, by the state before it,
    /// and by the current state (the event would be soft-failed, which for a request means refused).
    ///
    /// `auth_events` are the events that [`auth_events`](Self::auth_events) names, each of them, in that order; `before` is the state
    /// before the event, that of its previous events after state resolution.
    ///
    /// # Errors
    ///
    /// [`Refusal::NoPrevEvents`], [`Refusal::UnknownAuthEvents`] if `auth_events` are not those that the event names,
    /// [`Refusal::Rejected`] with the first rule that refuses.
    pub fn authorize<E: Event>(
        self,
        auth_events: &[AuthEventRef<E>],
        before: &(impl RoomState + ?Sized),
    ) -> Result<AuthorizedEvent<'q, 'r, C, S>, Refusal> {
        let (version, event) = (self.room.version, self.pdu.pdu());
        if self.prev_events().len() == 0 {
            return Err(Refusal::NoPrevEvents);
        }
        let refused = |stage| {
            move |error: AuthorizeError| match error {
                AuthorizeError::Rejected(rejection) => Refusal::Rejected { stage, rejection },
                // The type has been checked.
                AuthorizeError::NotAMemberEvent => Mismatch::EventType.into(),
            }
        };
        let by_room_id = version.rules().create_event_is_room_id;
        let create = self.room.state.event(CREATE, "").filter(|_| by_room_id);
        self.check_by_itself(auth_events, create.as_ref()).map_err(|error| match error {
            Some(error) => refused(AuthStage::Itself)(error),
            None => Refusal::UnknownAuthEvents,
        })?;

        let named = auth_events.iter().map(|named| -> &dyn Event { &named.event });
        let by_auth_events: Vec<&dyn Event> =
            named.chain(create.as_ref().map(|create| -> &dyn Event { create })).collect();
        authorize(version, event, &by_auth_events, &NoVerifier).map_err(refused(AuthStage::AuthEvents))?;
        authorize(version, event, before, &NoVerifier).map_err(refused(AuthStage::StateBefore))?;
        authorize(version, event, self.room.state, &NoVerifier).map_err(refused(AuthStage::CurrentState))?;
        Ok(AuthorizedEvent { pdu: self.pdu, room: self.room, change: PhantomData })
    }

    /// The rules about the event itself; no error at all means that `auth_events` are not those that it names.
    fn check_by_itself<E: Event>(
        &self,
        auth_events: &[AuthEventRef<E>],
        create: Option<&impl Event>,
    ) -> Result<(), Option<AuthorizeError>> {
        let given = auth_events.iter().map(|named| named.event.event_id());
        if !self.auth_events().map(Some).eq(given) {
            return Err(None);
        }
        let known: Vec<AuthEvent<'_>> =
            auth_events.iter().filter_map(|named| auth_event(&named.event, named.status)).collect();
        let signed_by: Vec<&str> = self.pdu.signed().signed_by().collect();
        let create_event = create.and_then(|create| auth_event(create, AuthStatus::Accepted));
        let evidence = Evidence { auth_events: &known, create_event, signed_by: &signed_by };
        check_state_independent(self.room.version, self.pdu.pdu(), &evidence)?;
        Ok(())
    }
}

fn auth_event(event: &impl Event, status: AuthStatus) -> Option<AuthEvent<'_>> {
    Some(AuthEvent {
        event_id: event.event_id()?,
        event_type: event.event_type(),
        state_key: event.state_key(),
        room_id: event.room_id(),
        status,
    })
}

/// What the room's policy server says to an event.
///
/// A room has one if the `via` of its current `m.room.policy` event is a server with a joined user and the event has a public key;
/// see [`AuthorizedEvent::policy_server`]. <https://spec.matrix.org/v1.19/server-server-api/#policy-servers>
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PolicyVerdict {
    /// The room has no policy server.
    NotUsed,
    /// The policy server has signed the event.
    Signed,
    /// The policy server has not signed the event.
    Refused,
}

impl<'q, 'r, C: RequestKind, S: RoomState + ?Sized> AuthorizedEvent<'q, 'r, C, S> {
    /// The event.
    #[must_use]
    pub const fn event(&self) -> &Pdu<'q> {
        self.pdu.pdu()
    }

    /// The server that the room names as its policy server, well-formed or not. Whether it counts as one is for the host to
    /// say: it does if a user of it is joined.
    #[must_use]
    pub fn policy_server(&self) -> Option<String> {
        let policy = self.room.state.event("m.room.policy", "")?;
        let mut via = Field::Missing;
        let read = read_object(policy.content(), |key, reader| {
            if key.is("via") { reader.string_field().map(|field| via.put(field)) } else { reader.skip_value() }
        });
        match via {
            Field::Is(via) if read.is_ok() => Some(via.text().into_owned()),
            _ => None,
        }
    }

    fn decide(self, policy: PolicyVerdict, decision: Decision) -> Result<Accepted<'q, 'r, S>, Refusal> {
        decision.admitted()?;
        match policy {
            PolicyVerdict::NotUsed | PolicyVerdict::Signed => Ok(Accepted::of(self.pdu, self.room)),
            PolicyVerdict::Refused => Err(Refusal::Policy),
        }
    }
}

impl<'q, 'r, S: RoomState + ?Sized> AuthorizedEvent<'q, 'r, Knock, S> {
    /// Takes the answer of the policy server and the host's decision.
    ///
    /// # Errors
    ///
    /// The refusal that they decided on.
    pub fn accept(self, policy: PolicyVerdict, decision: Decision) -> Result<AcceptedKnock<'q, 'r, S>, Refusal> {
        self.decide(policy, decision).map(AcceptedKnock::of)
    }
}

impl<'q, 'r, S: RoomState + ?Sized> AuthorizedEvent<'q, 'r, Leave, S> {
    /// Takes the answer of the policy server and the host's decision.
    ///
    /// # Errors
    ///
    /// The refusal that they decided on.
    pub fn accept(self, policy: PolicyVerdict, decision: Decision) -> Result<AcceptedLeave<'q, 'r, S>, Refusal> {
        self.decide(policy, decision).map(AcceptedLeave::of)
    }
}
