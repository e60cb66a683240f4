//! An event that every rule allows, and what is decided on it after that.

use super::super::{AuthStage, Decision, Refusal, RequestKind};
use super::{Accepted, Answer};
use crate::auth::{Selection, authorize};
use crate::event::{FormattedPdu, NoVerifier, Pdu, PduError, WholePdu};
use crate::policy::{PolicyServer, PolicyVerdict};
use crate::state::{NotLookedUp, Reads, RoomState};

/// What a host's own authorization says of an event, where it stands in place of this crate's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HostVerdict {
    /// The event passed checks 4, 5 and 6 on receipt of a PDU.
    Allowed,
    /// Check 4 or 5 rejects it: by its auth events, or by the state before it.
    Rejected(AuthStage),
    /// Check 6 soft-fails it: by the current state.
    SoftFailed,
}

impl HostVerdict {
    pub(super) const fn allowed(self) -> Result<(), Refusal> {
        match self {
            Self::Allowed => Ok(()),
            Self::Rejected(stage) => Err(Refusal::RejectedByHost { stage }),
            Self::SoftFailed => Err(Refusal::RejectedByHost { stage: AuthStage::CurrentState }),
        }
    }
}

/// An event that every rule allows, and the policy server and the host are to decide on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizedEvent<'q, K> {
    pdu: WholePdu<'q>,
    answer: Answer<K>,
}

impl<'q, K: RequestKind> AuthorizedEvent<'q, K> {
    pub(super) const fn of(pdu: WholePdu<'q>, answer: Answer<K>) -> Self {
        Self { pdu, answer }
    }

    /// Returns the event. It knows its ID.
    #[must_use]
    pub const fn event(&self) -> &Pdu<'q> {
        self.pdu.pdu()
    }

    /// Returns the event, to be shown to the room's [policy server](crate::policy).
    #[must_use]
    pub const fn formatted(&self) -> &FormattedPdu<'q> {
        self.pdu.signed().formatted()
    }

    /// Returns the policy server that the current state names; it reads the entry of [`PolicyServer::reads`].
    ///
    /// # Errors
    ///
    /// [`NotLookedUp`] if a snapshot lacks the entry.
    pub fn policy_server(&self, current: &(impl RoomState + ?Sized)) -> Result<Option<PolicyServer>, NotLookedUp> {
        PolicyServer::named(current)
    }

    /// Returns the entries of the current state that [`accept`](Self::accept) reads.
    #[must_use]
    pub fn reads(&self) -> Reads {
        Selection::of(self.pdu.signed().version(), self.pdu.pdu()).reads().and(&PolicyServer::reads())
    }

    /// Takes the verdict of the policy server and the host's decision. The event is authorized by the current state once more:
    /// the room may have changed while the policy server was asked. A host that holds its room's lock from here until the
    /// event is stored accepts nothing that the room forbids by then.
    ///
    /// # Errors
    ///
    /// [`Refusal::Rejected`], [`Refusal::Policy`], [`Refusal::TooLarge`] if it is with the signature of the policy server, the
    /// refusal that the host decided on, [`Refusal::Host`].
    pub fn accept(
        self,
        current: &(impl RoomState + ?Sized),
        policy: PolicyVerdict,
        decision: Decision,
    ) -> Result<Accepted<'q, K>, Refusal> {
        authorize(self.pdu.signed().version(), self.pdu.pdu(), current, &NoVerifier)
            .map_err(Refusal::by_current_state)?;
        self.accept_by_host(HostVerdict::Allowed, current, policy, decision)
    }

    /// As [`accept`](Self::accept), with the host's own verdict by the current state in place of this crate's: see
    /// [`authorize_by_host`](super::SignatureChecked::authorize_by_host). Of the current state it reads the entry of
    /// [`PolicyServer::reads`].
    ///
    /// # Errors
    ///
    /// [`Refusal::RejectedByHost`], [`Refusal::Policy`], [`Refusal::TooLarge`] as above, the refusal that the host decided on,
    /// [`Refusal::Host`].
    pub fn accept_by_host(
        self,
        verdict: HostVerdict,
        current: &(impl RoomState + ?Sized),
        policy: PolicyVerdict,
        decision: Decision,
    ) -> Result<Accepted<'q, K>, Refusal> {
        verdict.allowed()?;
        let signature = policy.passed(self.pdu.pdu(), current)?;
        let fits = signature.as_ref().map(|signature| signature.fits(self.formatted())).transpose();
        if !fits.map_err(PduError::from)?.unwrap_or(true) {
            return Err(Refusal::TooLarge);
        }
        decision.admitted()?;
        Ok(Accepted::of(self.pdu, signature, self.answer))
    }
}
