//! Receipt of an event from another server: the seven checks, each by itself and all in one.
//!
//! | check | by | fails |
//! | --- | --- | --- |
//! | 1. format | [`Pdu::check_format`] | dropped: [`Dropped::Format`] |
//! | 2. signatures | [`ReceivedEvent::verify`] | dropped: [`Dropped::Signatures`] |
//! | 3. content hash | likewise | the event goes on redacted: [`ReceivedEvent::is_redacted`] |
//! | 4. the rules by its auth events | [`check_auth_events`](ReceivedEvent::check_auth_events) | rejected |
//! | 5. the rules by the state before it | [`check_state_before`](ReceivedEvent::check_state_before) | rejected |
//! | 6. the rules by the current state | [`check_current_state`](ReceivedEvent::check_current_state) | soft-failed |
//! | 7. the room's policy server | [`check_policy_server`](ReceivedEvent::check_policy_server) | soft-failed |
//!
//! [`ReceivedEvent::check`] does 4 to 7 in order. What the host owes then:
//!
//! * **Dropped**: nothing. The event is as if it had not come. The other events of its transaction are not affected.
//! * **Rejected**: it keeps the event (others may refer to it) and marks it as rejected ([`AuthStatus::Rejected`]). It does not
//!   show it to clients, does not let it change the state, and makes no event that comes after it.
//! * **Soft-failed**: it keeps the event, which takes part in state resolution as any other, and gives it to servers that ask.
//!   It does not show it to clients, and makes no event that comes after it (it is no forward extremity).
//! * **Accepted**: the event becomes a part of the room. It is kept as [`to_text`](ReceivedEvent::to_text) has it.
//!
//! Before all of them, the host asks for each event of a transaction whether the room's ACL
//! [allows](crate::auth::server_is_allowed) the server that sends it, and ignores the event if not. That is no rule about events:
//! what came by another way stays.
//!
//! In scope are member events, of every membership. An event of a room that this server is not in is no receipt: see
//! [`out_of_band`](crate::knocking::out_of_band).
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#checks-performed-on-receipt-of-a-pdu>
//!
//! # Examples
//!
//! ```
//! use matrix_knock::event::{Keys, Pdu, Verify};
//! use matrix_knock::policy::PolicyVerdict;
//! use matrix_knock::receipt::{AuthEventRef, Dropped, Outcome, ReceivedEvent, States};
//! use matrix_knock::state::StateMap;
//! use matrix_knock::RoomVersion;
//!
//! fn receive(
//!     text: &str,
//!     keys: &impl Keys,
//!     verifier: &impl Verify,
//!     now: u64,
//!     known: &[AuthEventRef<Pdu<'_>>],
//!     before: &StateMap<Pdu<'_>>,
//!     current: &StateMap<Pdu<'_>>,
//! ) -> Result<Outcome, Box<dyn std::error::Error>> {
//!     let formatted = Pdu::parse(text)?.check_format(RoomVersion::V11)?;
//!     // A host fetches the keys that `formatted.key_ids(…)` names here.
//!     let event = ReceivedEvent::verify(formatted, keys, verifier, now)?;
//!     let auth_events = event.match_auth_events(known.iter().cloned())?;
//!     let states = States { before, current };
//!     Ok(event.check(&auth_events, states, verifier, PolicyVerdict::NotNamed)?)
//! }
//! ```

mod auth_events;

use std::borrow::Cow;

pub(crate) use self::auth_events::ByAuthEvents;
pub use self::auth_events::{AuthEventRef, AuthEvents, UnknownAuthEvents};
use crate::auth::{AuthorizeError, Rejection, Selection, authorize};
use crate::event::{
    Event, EventType, FormatError, FormattedPdu, Keys, MAX_EVENT_BYTES, Pdu, PduError, SignatureError, VerifiedPdu,
    Verify,
};
use crate::policy::{NotPassed, PolicyRefusal, PolicyServer, PolicySignature, PolicyVerdict};
use crate::room_version::RoomVersion;
use crate::state::{NotLookedUp, Reads, RoomState, StateMap};

#[cfg(doc)]
use crate::auth::AuthStatus;

/// One of the seven checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// The format of the room version.
    Format,
    /// The signatures of the servers that must have signed.
    Signatures,
    /// The content hash.
    Hash,
    /// The rules, by the auth events.
    AuthEvents,
    /// The rules, by the state before the event.
    StateBefore,
    /// The rules, by the current state.
    CurrentState,
    /// The policy server of the room.
    PolicyServer,
}

impl Check {
    /// All of them, in order.
    pub const ALL: [Self; 7] = [
        Self::Format,
        Self::Signatures,
        Self::Hash,
        Self::AuthEvents,
        Self::StateBefore,
        Self::CurrentState,
        Self::PolicyServer,
    ];

    /// Returns the number of the check in the specification, from 1.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Format => 1,
            Self::Signatures => 2,
            Self::Hash => 3,
            Self::AuthEvents => 4,
            Self::StateBefore => 5,
            Self::CurrentState => 6,
            Self::PolicyServer => 7,
        }
    }
}

/// Why an event is dropped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Dropped {
    /// Check 1: it is not in the format of its room version.
    #[error("malformed event: {0}")]
    Format(#[from] FormatError),
    /// Check 2: a signature is missing or wrong.
    #[error(transparent)]
    Signatures(#[from] SignatureError),
}

impl Dropped {
    /// Returns the check that failed.
    #[must_use]
    pub const fn check(&self) -> Check {
        match self {
            Self::Format(_) => Check::Format,
            Self::Signatures(_) => Check::Signatures,
        }
    }
}

impl From<PduError> for Dropped {
    fn from(error: PduError) -> Self {
        Self::Format(error.into())
    }
}

/// A mistake of the host. Nothing was decided.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// The event is of another type: the rules about it are not in here.
    #[error("not an `m.room.member` event")]
    NotAMemberEvent,
    /// A snapshot lacks an entry.
    #[error(transparent)]
    NotLookedUp(#[from] NotLookedUp),
    /// The auth events were matched with another event.
    #[error("the auth events were matched with another event")]
    OtherAuthEvents,
    /// The verdict of the policy server is of another server, key or event than those that count by the current state.
    #[error("the verdict is not that of the policy server that the room names now")]
    PolicyServer,
}

/// What becomes of an event that was not dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It becomes a part of the room; with the signature of the policy server, if the room uses one.
    Accepted(Option<PolicySignature>),
    /// It is kept, but neither shown nor built upon.
    SoftFailed(SoftFailure),
    /// It is kept as rejected.
    Rejected(Rejected),
}

/// Why an event is soft-failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SoftFailure {
    /// Check 6: the current state does not allow it.
    #[error("{0}, by the current state")]
    CurrentState(Rejection),
    /// Check 7: the policy server has not signed it.
    #[error(transparent)]
    PolicyServer(PolicyRefusal),
}

/// Why an event is rejected: check 4 or 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{rejection}")]
pub struct Rejected {
    check: Check,
    rejection: Rejection,
}

impl Rejected {
    /// Returns the check that failed.
    #[must_use]
    pub const fn check(&self) -> Check {
        self.check
    }

    /// Returns the rule that refuses the event.
    #[must_use]
    pub const fn rejection(&self) -> Rejection {
        self.rejection
    }
}

impl Outcome {
    /// Returns the check that decided; `None` if all passed.
    #[must_use]
    pub const fn check(&self) -> Option<Check> {
        match self {
            Self::Accepted(_) => None,
            Self::SoftFailed(SoftFailure::CurrentState(_)) => Some(Check::CurrentState),
            Self::SoftFailed(SoftFailure::PolicyServer(_)) => Some(Check::PolicyServer),
            Self::Rejected(rejected) => Some(rejected.check),
        }
    }
}

/// The two states by which an event is authorized.
#[derive(Debug)]
pub struct States<'s, B: ?Sized, C: ?Sized> {
    /// The state before the event, that of its previous events after state resolution.
    pub before: &'s B,
    /// The current state of the room.
    pub current: &'s C,
}

impl<B: ?Sized, C: ?Sized> Clone for States<'_, B, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: ?Sized, C: ?Sized> Copy for States<'_, B, C> {}

/// An event that passed checks 1 and 2; redacted if it did not pass check 3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedEvent<'a>(VerifiedPdu<'a>);

impl<'a> ReceivedEvent<'a> {
    /// Checks the signatures and the content hash. `now` is the time in milliseconds since the Unix epoch, for the validity of
    /// keys.
    ///
    /// # Errors
    ///
    /// [`Dropped::Signatures`].
    pub fn verify(
        event: FormattedPdu<'a>,
        keys: &(impl Keys + ?Sized),
        verifier: &(impl Verify + ?Sized),
        now: u64,
    ) -> Result<Self, Dropped> {
        Ok(Self(event.check_signatures(keys, verifier, now)?.check_hash()?))
    }

    /// Returns the event: whole, or redacted. It knows its ID.
    #[must_use]
    pub fn event(&self) -> Cow<'_, Pdu<'_>> {
        match &self.0 {
            VerifiedPdu::Whole(whole) => Cow::Borrowed(whole.pdu()),
            VerifiedPdu::Redacted(redacted) => Cow::Owned(redacted.pdu()),
        }
    }

    /// Returns the event, to be shown to the room's [policy server](crate::policy).
    ///
    /// # Errors
    ///
    /// None in practice: what a redaction leaves of a well-formed event is one.
    pub fn formatted(&self) -> Result<Cow<'_, FormattedPdu<'_>>, Dropped> {
        Ok(match &self.0 {
            VerifiedPdu::Whole(whole) => Cow::Borrowed(whole.signed().formatted()),
            VerifiedPdu::Redacted(redacted) => Cow::Owned(Pdu::parse(redacted.text())?.check_format(self.version())?),
        })
    }

    /// Returns whether the content hash was wrong (check 3): what is left is the redacted event.
    #[must_use]
    pub const fn is_redacted(&self) -> bool {
        matches!(self.0, VerifiedPdu::Redacted(_))
    }

    /// Returns the ID of the event.
    #[must_use]
    pub fn event_id(&self) -> &str {
        self.0.event_id()
    }

    /// Returns the room version by whose rules it is checked.
    #[must_use]
    pub const fn version(&self) -> RoomVersion {
        match &self.0 {
            VerifiedPdu::Whole(whole) => whole.signed().version(),
            VerifiedPdu::Redacted(redacted) => redacted.version(),
        }
    }

    /// Returns the IDs of the events by which it says it is allowed: 10 at most.
    pub fn auth_events(&self) -> impl Iterator<Item = &str> {
        let (whole, redacted) = match &self.0 {
            VerifiedPdu::Whole(whole) => (Some(whole.signed().formatted().auth_events()), None),
            VerifiedPdu::Redacted(redacted) => (None, Some(redacted.auth_events())),
        };
        whole.into_iter().flatten().chain(redacted.into_iter().flatten())
    }

    /// Returns the IDs of the events that it comes after: 20 at most.
    pub fn prev_events(&self) -> impl Iterator<Item = &str> {
        let (whole, redacted) = match &self.0 {
            VerifiedPdu::Whole(whole) => (Some(whole.signed().formatted().prev_events()), None),
            VerifiedPdu::Redacted(redacted) => (None, Some(redacted.prev_events())),
        };
        whole.into_iter().flatten().chain(redacted.into_iter().flatten())
    }

    fn signed_by(&self) -> Vec<&str> {
        match &self.0 {
            VerifiedPdu::Whole(whole) => whole.signed().signed_by().collect(),
            VerifiedPdu::Redacted(redacted) => redacted.signed_by().collect(),
        }
    }

    /// Matches the events that the host has found with [`auth_events`](Self::auth_events), by their IDs. They come in any
    /// order; others are ignored.
    ///
    /// # Errors
    ///
    /// [`UnknownAuthEvents`] names those that are missing. The host fetches them (`/event_auth`), and checks them first.
    pub fn match_auth_events<E: Event>(
        &self,
        found: impl IntoIterator<Item = AuthEventRef<E>>,
    ) -> Result<AuthEvents<E>, UnknownAuthEvents> {
        AuthEvents::matching(self.event_id(), self.auth_events(), found)
    }

    /// Returns the entries that checks 4 to 7 read, of the state before the event and of the current one.
    #[must_use]
    pub fn reads(&self) -> Reads {
        let create = [(EventType::Create, "")].into_iter().collect::<Reads>();
        Selection::of(self.version(), &*self.event()).reads().and(&create).and(&PolicyServer::reads())
    }

    /// Checks 4 to 7 in their order.
    ///
    /// # Errors
    ///
    /// [`ReceiptError`]: a mistake of the host.
    pub fn check<E: Event>(
        &self,
        auth_events: &AuthEvents<E>,
        states: States<'_, impl RoomState + ?Sized, impl RoomState + ?Sized>,
        verifier: &(impl Verify + ?Sized),
        policy: PolicyVerdict,
    ) -> Result<Outcome, ReceiptError> {
        let States { before, current } = states;
        if let Err(rejected) = self.check_auth_events(auth_events, current, verifier)? {
            return Ok(Outcome::Rejected(rejected));
        }
        if let Err(rejected) = self.check_state_before(before, verifier)? {
            return Ok(Outcome::Rejected(rejected));
        }
        if let Err(failure) = self.check_current_state(current, verifier)? {
            return Ok(Outcome::SoftFailed(failure));
        }
        Ok(match self.check_policy_server(current, policy)? {
            Ok(signature) => Outcome::Accepted(signature),
            Err(failure) => Outcome::SoftFailed(failure),
        })
    }

    /// Check 4: the rules about the event and the events that it names, and the rules by the state that these make. Of the
    /// current state it reads the create event, since version 12.
    ///
    /// # Errors
    ///
    /// [`ReceiptError`]: a mistake of the host.
    pub fn check_auth_events<E: Event>(
        &self,
        auth_events: &AuthEvents<E>,
        current: &(impl RoomState + ?Sized),
        verifier: &(impl Verify + ?Sized),
    ) -> Result<Result<(), Rejected>, ReceiptError> {
        if !auth_events.are_of(self.event_id()) {
            return Err(ReceiptError::OtherAuthEvents);
        }
        let (version, event) = (self.version(), self.event());
        let create = match version.rules().create_event_is_room_id {
            true => current.event(EventType::Create, "")?,
            false => None,
        };
        let by_itself = auth_events.check_event(version, &event, &self.signed_by(), create.as_ref());
        let by_auth_events = || {
            let state = ByAuthEvents::new(auth_events, create.as_ref());
            authorize(version, &*event, &state, verifier).map(drop)
        };
        rejected(Check::AuthEvents, by_itself.and_then(|()| by_auth_events()))
    }

    /// Check 5: the rules by the state before the event. Of an event without previous events that is empty.
    ///
    /// # Errors
    ///
    /// [`ReceiptError`]: a mistake of the host.
    pub fn check_state_before(
        &self,
        before: &(impl RoomState + ?Sized),
        verifier: &(impl Verify + ?Sized),
    ) -> Result<Result<(), Rejected>, ReceiptError> {
        let (version, event) = (self.version(), self.event());
        let authorized = match self.prev_events().next() {
            Some(_) => authorize(version, &*event, before, verifier).map(drop),
            // Nothing comes before it, whatever the host hands in.
            None => authorize(version, &*event, &StateMap::<Pdu<'_>>::default(), verifier).map(drop),
        };
        rejected(Check::StateBefore, authorized)
    }

    /// Check 6: the rules by the current state.
    ///
    /// # Errors
    ///
    /// [`ReceiptError`]: a mistake of the host.
    pub fn check_current_state(
        &self,
        current: &(impl RoomState + ?Sized),
        verifier: &(impl Verify + ?Sized),
    ) -> Result<Result<(), SoftFailure>, ReceiptError> {
        let by_current = authorize(self.version(), &*self.event(), current, verifier).map(drop);
        let checked = rejected(Check::CurrentState, by_current)?;
        Ok(checked.map_err(|rejected| SoftFailure::CurrentState(rejected.rejection)))
    }

    /// Check 7: the policy server that the current state names. Returns its signature, if the room uses one.
    ///
    /// # Errors
    ///
    /// [`ReceiptError`]: a mistake of the host.
    pub fn check_policy_server(
        &self,
        current: &(impl RoomState + ?Sized),
        policy: PolicyVerdict,
    ) -> Result<Result<Option<PolicySignature>, SoftFailure>, ReceiptError> {
        match policy.passed(&*self.event(), current) {
            Ok(signature) => Ok(Ok(signature)),
            Err(NotPassed::Refused(refusal)) => Ok(Err(SoftFailure::PolicyServer(refusal))),
            Err(NotPassed::OtherVerdict) => Err(ReceiptError::PolicyServer),
            Err(NotPassed::NotLookedUp(error)) => Err(error.into()),
        }
    }

    /// Returns the event as it is to be kept: canonical JSON, redacted if its hash was wrong, without `unsigned`, and with the
    /// signature of the policy server, if there is one. (An event that would be too large with it is kept without: every
    /// other server would drop it.)
    ///
    /// # Errors
    ///
    /// None in practice: the event was canonicalized when it came.
    pub fn to_text(&self, policy: Option<&PolicySignature>) -> Result<String, Dropped> {
        let event = self.formatted()?;
        let signed = policy.map(|signature| signature.added_to(&event)).transpose().map_err(PduError::from)?;
        match signed.filter(|text| text.len() <= MAX_EVENT_BYTES) {
            Some(text) => Ok(text),
            None => Ok(event.pdu().to_federation(self.version()).map_err(PduError::from)?),
        }
    }
}

/// A refusal by the rules; all else is a mistake of the host.
fn rejected(check: Check, result: Result<(), AuthorizeError>) -> Result<Result<(), Rejected>, ReceiptError> {
    match result {
        Ok(()) => Ok(Ok(())),
        Err(AuthorizeError::Rejected(rejection)) => Ok(Err(Rejected { check, rejection })),
        Err(AuthorizeError::NotLookedUp(error)) => Err(error.into()),
        Err(AuthorizeError::NotAMemberEvent) => Err(ReceiptError::NotAMemberEvent),
    }
}
