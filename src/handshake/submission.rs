//! The resident server's side of `send_knock` and `send_leave`: a signed event on its way into the room.
//!
//! Each step consumes the last, and there is no other way to an [`AcceptedKnock`]:
//!
//! ```text
//! SendKnock ── check ──▶ Received ── verify ──▶ Verified ── authorize ──▶ Permitted ── accept ──▶ AcceptedKnock
//! SendLeave ── check ──▶    ″          ″           ″           ″             ″           ″        AcceptedLeave
//!                │             │                   │              │
//!                └─────────────┴─────────┬─────────┴──────────────┘
//!                                        ▼
//!                                     Refusal ── to_response ──▶ 4xx
//! ```
//!
//! The host does what stands between the steps: it fetches the keys that [`Received::key_ids`] names, looks up whether it has
//! the event already ([`Verified::known`]), finds the events that [`Verified::auth_events`] and [`Verified::prev_events`] name and the
//! state before it, asks the room's policy server, and decides.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv1send_knockroomideventid>,
//! <https://spec.matrix.org/v1.19/server-server-api/#checks-performed-on-receipt-of-a-pdu>

use std::marker::PhantomData;

use super::resident::{Decision, JudgedBy, Mismatch, Refusal, ResidentRoom};
use crate::auth::{AuthEvent, AuthorizeError, Evidence, Standing, authorize, check_state_independent};
use crate::event::content::member::MemberContent;
use crate::event::content::{CREATE, MEMBER, read_object};
use crate::event::{Event, FormattedPdu, Keys, Membership, NoVerifier, Pdu, VerifiedPdu, Verify, WholePdu};
use crate::id::{ServerName, UserId};
use crate::json::Field;
use crate::state::{FromFn, RoomState};
use crate::stripped_state;

mod sealed {
    pub trait Sealed {}
}

/// What is submitted: a [`Knock`] or a [`Leave`].
pub trait Change: sealed::Sealed {
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

impl Change for Knock {
    const MEMBERSHIP: Membership = Membership::Knock;
}

impl Change for Leave {
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
    ) -> Result<Received<'q, 'r, Knock, S>, Refusal> {
        let room = room.ok_or(Refusal::UnknownRoom)?;
        room.check(self.origin)?;
        if !room.version.rules().knocking {
            return Err(Refusal::NoKnocking(room.version));
        }
        Received::check(self.event_id, self.origin, self.body, *room)
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
    ) -> Result<Received<'q, 'r, Leave, S>, Refusal> {
        let room = room.ok_or(Refusal::UnknownRoom)?;
        room.check(self.origin)?;
        Received::check(self.event_id, self.origin, self.body, *room)
    }
}

/// An event that is what the request says: format, room, type, membership, sender, event ID.
#[derive(Debug)]
pub struct Received<'q, 'r, C, S: ?Sized> {
    formatted: FormattedPdu<'q>,
    origin: ServerName<'q>,
    room: ResidentRoom<'r, S>,
    change: PhantomData<C>,
}

/// An event that its sender's server has signed, as it was made.
#[derive(Debug)]
pub struct Verified<'q, 'r, C, S: ?Sized> {
    pdu: WholePdu<'q>,
    room: ResidentRoom<'r, S>,
    change: PhantomData<C>,
}

/// An event that every rule allows, and the host is to decide on.
#[derive(Debug)]
pub struct Permitted<'q, 'r, C, S: ?Sized> {
    pdu: WholePdu<'q>,
    room: ResidentRoom<'r, S>,
    change: PhantomData<C>,
}

impl<'q, 'r, C: Change, S: RoomState + ?Sized> Received<'q, 'r, C, S> {
    fn check(
        event_id: &str,
        origin: ServerName<'q>,
        body: &'q str,
        room: ResidentRoom<'r, S>,
    ) -> Result<Self, Refusal> {
        let formatted = Pdu::parse(body)?.check_format(room.version)?;
        let event = formatted.pdu();
        if event.room_id() != Some(room.room_id.as_str()) {
            return Err(Mismatch::RoomId.into());
        }
        if event.event_type() != MEMBER {
            return Err(Mismatch::EventType.into());
        }
        let content = MemberContent::read(event.content()).unwrap_or_default();
        if !matches!(content.membership, Field::Is(Some(membership)) if membership == C::MEMBERSHIP) {
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
        if C::MEMBERSHIP == Membership::Knock && !matches!(content.authorizing_user, Field::Missing) {
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
    ) -> Result<Verified<'q, 'r, C, S>, Refusal> {
        // DEVIATION: the text redacts an event whose hash is wrong and goes on. What the knocker said would be lost, and
        // nobody honest sends one.
        match self.formatted.check_signatures(keys, verifier, now)?.check_hash()? {
            VerifiedPdu::Whole(pdu) => Ok(Verified { pdu, room: self.room, change: PhantomData }),
            VerifiedPdu::Redacted(_) => Err(Refusal::ContentHash),
        }
    }
}

/// An event that another one names in its `auth_events`, as the host has it. It knows its ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named<E> {
    /// The event.
    pub event: E,
    /// How it came in.
    pub standing: Standing,
}

impl<'q, 'r, C: Change, S: RoomState + ?Sized> Verified<'q, 'r, C, S> {
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
        Repeated { room: self.room, change: PhantomData }
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
        auth_events: &[Named<E>],
        before: &(impl RoomState + ?Sized),
    ) -> Result<Permitted<'q, 'r, C, S>, Refusal> {
        let (version, event) = (self.room.version, self.pdu.pdu());
        if self.prev_events().len() == 0 {
            return Err(Refusal::NoPrevEvents);
        }
        let refused = |judged_by| {
            move |error: AuthorizeError| match error {
                AuthorizeError::Rejected(rejection) => Refusal::Rejected { judged_by, rejection },
                // The type has been checked.
                AuthorizeError::NotAMemberEvent => Mismatch::EventType.into(),
            }
        };
        let by_room_id = version.rules().create_event_is_room_id;
        let create = self.room.state.event(CREATE, "").filter(|_| by_room_id);
        self.check_by_itself(auth_events, create.as_ref()).map_err(|error| match error {
            Some(error) => refused(JudgedBy::Itself)(error),
            None => Refusal::UnknownAuthEvents,
        })?;

        let by_auth_events = FromFn(|event_type: &str, state_key: &str| -> Option<&dyn Event> {
            let is_it = |event: &dyn Event| event.event_type() == event_type && event.state_key() == Some(state_key);
            let named = auth_events.iter().map(|named| -> &dyn Event { &named.event });
            named.chain(create.as_ref().map(|create| -> &dyn Event { create })).find(|event| is_it(*event))
        });
        authorize(version, event, &by_auth_events, &NoVerifier).map_err(refused(JudgedBy::AuthEvents))?;
        authorize(version, event, before, &NoVerifier).map_err(refused(JudgedBy::StateBefore))?;
        authorize(version, event, self.room.state, &NoVerifier).map_err(refused(JudgedBy::CurrentState))?;
        Ok(Permitted { pdu: self.pdu, room: self.room, change: PhantomData })
    }

    /// The rules about the event itself; no error at all means that `auth_events` are not those that it names.
    fn check_by_itself<E: Event>(
        &self,
        auth_events: &[Named<E>],
        create: Option<&impl Event>,
    ) -> Result<(), Option<AuthorizeError>> {
        let given = auth_events.iter().map(|named| named.event.event_id());
        if !self.auth_events().map(Some).eq(given) {
            return Err(None);
        }
        let known: Vec<AuthEvent<'_>> =
            auth_events.iter().filter_map(|named| auth_event(&named.event, named.standing)).collect();
        let signed_by: Vec<&str> = self.pdu.signed().signed_by().collect();
        let create_event = create.and_then(|create| auth_event(create, Standing::Accepted));
        let evidence = Evidence { auth_events: &known, create_event, signed_by: &signed_by };
        check_state_independent(self.room.version, self.pdu.pdu(), &evidence)?;
        Ok(())
    }
}

fn auth_event(event: &impl Event, standing: Standing) -> Option<AuthEvent<'_>> {
    Some(AuthEvent {
        event_id: event.event_id()?,
        event_type: event.event_type(),
        state_key: event.state_key(),
        room_id: event.room_id(),
        standing,
    })
}

/// What the room's policy server says to an event.
///
/// A room has one if the `via` of its current `m.room.policy` event is a server with a joined user and the event has a public key;
/// see [`Permitted::policy_server`]. <https://spec.matrix.org/v1.19/server-server-api/#policy-servers>
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PolicyVerdict {
    /// The room has no policy server.
    NotUsed,
    /// The policy server has signed the event.
    Signed,
    /// The policy server has not signed the event.
    Refused,
}

impl<'q, 'r, C: Change, S: RoomState + ?Sized> Permitted<'q, 'r, C, S> {
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
            if key.is("via") { reader.string_field().map(|field| via.put(field)) } else { reader.skip().map(drop) }
        });
        match via {
            Field::Is(via) if read.is_ok() => Some(via.text().into_owned()),
            _ => None,
        }
    }

    fn decide(self, policy: PolicyVerdict, decision: Decision) -> Result<Accepted<'q, 'r, S>, Refusal> {
        decision.admitted()?;
        match policy {
            PolicyVerdict::NotUsed | PolicyVerdict::Signed => Ok(Accepted { pdu: self.pdu, room: self.room }),
            PolicyVerdict::Refused => Err(Refusal::Policy),
        }
    }
}

impl<'q, 'r, S: RoomState + ?Sized> Permitted<'q, 'r, Knock, S> {
    /// Takes the answer of the policy server and the host's decision.
    ///
    /// # Errors
    ///
    /// The refusal that they decided on.
    pub fn accept(self, policy: PolicyVerdict, decision: Decision) -> Result<AcceptedKnock<'q, 'r, S>, Refusal> {
        self.decide(policy, decision).map(AcceptedKnock)
    }
}

impl<'q, 'r, S: RoomState + ?Sized> Permitted<'q, 'r, Leave, S> {
    /// Takes the answer of the policy server and the host's decision.
    ///
    /// # Errors
    ///
    /// The refusal that they decided on.
    pub fn accept(self, policy: PolicyVerdict, decision: Decision) -> Result<AcceptedLeave<'q, 'r, S>, Refusal> {
        self.decide(policy, decision).map(AcceptedLeave)
    }
}

#[derive(Debug)]
struct Accepted<'q, 'r, S: ?Sized> {
    pdu: WholePdu<'q>,
    room: ResidentRoom<'r, S>,
}

/// A knock that every check let pass. The host owes, in this order:
///
/// 1. to store the event, and make it part of the room;
/// 2. to send it to every server with a joined user. The knocker's server is not one of them for its knock;
/// 3. to answer with [`to_response`](Self::to_response).
#[derive(Debug)]
pub struct AcceptedKnock<'q, 'r, S: ?Sized>(Accepted<'q, 'r, S>);

/// A leave that every check let pass. The host owes, in this order:
///
/// 1. to store the event, and make it part of the room;
/// 2. to send it to every server with a joined user;
/// 3. to answer with [`to_response`](Self::to_response).
#[derive(Debug)]
pub struct AcceptedLeave<'q, 'r, S: ?Sized>(Accepted<'q, 'r, S>);

/// The create event of the room has no text that could be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("the create event of the room has no text that could be sent")]
pub struct NoCreateEvent;

impl<'q, 'r, S: RoomState + ?Sized> AcceptedKnock<'q, 'r, S> {
    /// The event. It knows its ID.
    #[must_use]
    pub const fn event(&self) -> &Pdu<'q> {
        self.0.pdu.pdu()
    }

    /// The proof that the event is whole.
    #[must_use]
    pub const fn pdu(&self) -> &WholePdu<'q> {
        &self.0.pdu
    }

    /// The body of the answer: the `knock_room_state`, whole events, the create event first. `text` gives the text of an event of
    /// the state as it goes between servers ([`Pdu::to_federation`]); an event without one is left out.
    ///
    /// # Errors
    ///
    /// [`NoCreateEvent`]: `text` gave none for it.
    pub fn to_response(&self, text: impl FnMut(&S::Event<'r>) -> Option<String>) -> Result<String, NoCreateEvent> {
        knock_room_state(self.0.room.state, text)
    }
}

impl<'q, S: RoomState + ?Sized> AcceptedLeave<'q, '_, S> {
    /// The event. It knows its ID.
    #[must_use]
    pub const fn event(&self) -> &Pdu<'q> {
        self.0.pdu.pdu()
    }

    /// The proof that the event is whole.
    #[must_use]
    pub const fn pdu(&self) -> &WholePdu<'q> {
        &self.0.pdu
    }

    /// The body of the answer of `v2`. (Under the deprecated `v1` it stands in a list behind the status: `[200,{}]`.)
    #[must_use]
    pub const fn to_response(&self) -> &'static str {
        LEFT
    }
}

/// An event that came a second time.
#[derive(Debug)]
pub struct Repeated<'r, C, S: ?Sized> {
    room: ResidentRoom<'r, S>,
    change: PhantomData<C>,
}

impl<'r, S: RoomState + ?Sized> Repeated<'r, Knock, S> {
    /// The body of the answer, as [`AcceptedKnock::to_response`].
    ///
    /// # Errors
    ///
    /// [`NoCreateEvent`]: `text` gave none for it.
    pub fn to_response(&self, text: impl FnMut(&S::Event<'r>) -> Option<String>) -> Result<String, NoCreateEvent> {
        knock_room_state(self.room.state, text)
    }
}

impl<S: RoomState + ?Sized> Repeated<'_, Leave, S> {
    /// The body of the answer, as [`AcceptedLeave::to_response`].
    #[must_use]
    pub const fn to_response(&self) -> &'static str {
        LEFT
    }
}

const LEFT: &str = "{}";

fn knock_room_state<'r, S: RoomState + ?Sized>(
    state: &'r S,
    mut text: impl FnMut(&S::Event<'r>) -> Option<String>,
) -> Result<String, NoCreateEvent> {
    let mut events = Vec::new();
    for event in stripped_state::events(state) {
        match text(&event) {
            Some(text) => events.push(text),
            None if event.event_type() == CREATE => return Err(NoCreateEvent),
            None => {}
        }
    }
    Ok(format!(r#"{{"knock_room_state":[{}]}}"#, events.join(",")))
}
