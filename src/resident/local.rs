//! An event of this server's own user in a room that this server is in: a knock, a leave, an
//! answer; or another one, which the host makes and authorizes by itself.

use super::{HostError, Refusal, RequestKind};
use crate::auth::{Selection, authorize};
use crate::event::{
    FormattedPdu, MAX_EVENT_BYTES, MAX_SUBMITTED_BYTES, NoVerifier, Pdu, PduError, Sign, SignError, SignedEvent,
    sign_event,
};
use crate::id::ServerName;
use crate::policy::{PolicyServer, PolicyVerdict};
use crate::room_version::RoomVersion;
use crate::state::{NotLookedUp, Reads, RoomState};
use crate::template::{CheckedTemplate, Details, Template};

/// A signed event of a local user that still has to pass the room's
/// [policy server](crate::policy): a [`Knock`](super::Knock), a [`Leave`](super::Leave), an answer
/// ([`Action`](super::answer::Action)), or an event of the host's own making ([`ByHost`]).
///
/// It can be sent only after [`accept`](Self::accept).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalEvent<K> {
    signed: SignedEvent,
    version: RoomVersion,
    kind: K,
}

/// An event of any type that the host makes, and whose rules are the host's own: a message, a name
/// of the room, a join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ByHost;

impl LocalEvent<ByHost> {
    /// Signs an event that the host has made, as JSON that goes between servers without hashes and
    /// signatures, for a room of this version. `server` is this server.
    ///
    /// Checks that it is an event of this version, and short enough for other servers to add to it.
    ///
    /// # Errors
    ///
    /// [`Refusal::Format`]: it is no event of this version, such as for a content with a float;
    /// [`Refusal::TooLarge`]; [`Refusal::Host`].
    pub fn sign_by_host(
        version: RoomVersion,
        event: &str,
        server: ServerName<'_>,
        signer: &(impl Sign + ?Sized),
    ) -> Result<Self, Refusal> {
        let signed = sign_event(version, event, server, signer).map_err(|error| match error {
            SignError::Pdu(error) => Refusal::from(error),
            error => HostError::Sign(error).into(),
        })?;
        if signed.text().len() > MAX_SUBMITTED_BYTES {
            return Err(Refusal::TooLarge);
        }
        formatted(version, &signed)?;
        Ok(Self { signed, version, kind: ByHost })
    }

    /// Takes the verdict of the policy server and returns the event, which is to be appended to the
    /// room and sent to every server with a joined user. The host vouches for it that the current
    /// state allows the event: no rule is looked at here. Of `state` the entry of
    /// [`PolicyServer::reads`] is read.
    ///
    /// # Errors
    ///
    /// [`Refusal::Policy`], [`Refusal::TooLarge`], [`Refusal::Host`].
    pub fn accept_by_host(
        self,
        state: &(impl RoomState + ?Sized),
        policy: PolicyVerdict,
    ) -> Result<SignedEvent, Refusal> {
        with_policy(self.version, self.signed, state, policy)
    }
}

impl<K> LocalEvent<K> {
    pub(super) fn sign(
        template: Template,
        kind: K,
        server: ServerName<'_>,
        details: &Details,
        now: u64,
        signer: &(impl Sign + ?Sized),
    ) -> Result<Self, Refusal> {
        let version = template.version();
        let event = CheckedTemplate::from(template).to_event(details, server, now);
        let signed = sign_event(version, &event, server, signer).map_err(HostError::Sign)?;
        if signed.text().len() > MAX_SUBMITTED_BYTES {
            return Err(Refusal::TooLarge);
        }
        Ok(Self { signed, version, kind })
    }

    pub(super) const fn version(&self) -> RoomVersion {
        self.version
    }

    /// Returns the event as the policy server is to be shown it: canonical JSON.
    #[must_use]
    pub fn text(&self) -> &str {
        self.signed.text()
    }

    /// Returns the ID of the event.
    #[must_use]
    pub fn event_id(&self) -> &str {
        self.signed.event_id()
    }

    /// Returns the event, to be shown to the room's [policy server](crate::policy). It knows its ID.
    ///
    /// # Errors
    ///
    /// None in practice: the event was written here.
    pub fn formatted(&self) -> Result<FormattedPdu<'_>, Refusal> {
        formatted(self.version, &self.signed)
    }

    /// Returns the policy server that the current state names; it reads the entry of [`PolicyServer::reads`].
    ///
    /// # Errors
    ///
    /// [`NotLookedUp`] if a snapshot lacks the entry.
    pub fn policy_server(&self, state: &(impl RoomState + ?Sized)) -> Result<Option<PolicyServer>, NotLookedUp> {
        PolicyServer::named(state)
    }

    /// Returns the entries of the current state that [`accept`](Self::accept) reads.
    #[must_use]
    pub fn reads(&self) -> Reads {
        let of_rules = self.signed.pdu().map(|event| Selection::of(self.version, &event).reads());
        of_rules.unwrap_or_default().and(&PolicyServer::reads())
    }

    /// The event, [passed](passed).
    pub(super) fn passed(
        self,
        state: &(impl RoomState + ?Sized),
        policy: PolicyVerdict,
    ) -> Result<(SignedEvent, K), Refusal> {
        Ok((passed(self.version, self.signed, state, policy)?, self.kind))
    }
}

/// An event of this server, as what the rules and signatures are checked on.
pub(super) fn formatted(version: RoomVersion, event: &SignedEvent) -> Result<FormattedPdu<'_>, Refusal> {
    Ok(Pdu::parse(event.text())?.check_format(version)?)
}

/// An event of this server, authorized by the current state once more and with the signature of the
/// policy server.
pub(super) fn passed(
    version: RoomVersion,
    signed: SignedEvent,
    state: &(impl RoomState + ?Sized),
    policy: PolicyVerdict,
) -> Result<SignedEvent, Refusal> {
    authorize(version, &signed.pdu()?, state, &NoVerifier).map_err(Refusal::by_current_state)?;
    with_policy(version, signed, state, policy)
}

/// An event of this server with the signature of the policy server. With that it may be too large,
/// and every other server would drop it.
fn with_policy(
    version: RoomVersion,
    signed: SignedEvent,
    state: &(impl RoomState + ?Sized),
    policy: PolicyVerdict,
) -> Result<SignedEvent, Refusal> {
    let event = formatted(version, &signed)?;
    let text = match policy.passed(event.pdu(), state)? {
        Some(signature) => signature.added_to(&event).map_err(PduError::from)?,
        None => return Ok(signed),
    };
    if text.len() > MAX_EVENT_BYTES {
        return Err(Refusal::TooLarge);
    }
    Ok(SignedEvent::from_stored(version, text)?)
}

impl<K: RequestKind> LocalEvent<K> {
    /// Takes the verdict of the policy server and returns the event, which is to be appended to the room and sent to every
    /// server with a joined user. It is authorized by the current state once more: the room may have changed while the
    /// policy server was asked.
    ///
    /// # Errors
    ///
    /// [`Refusal::Rejected`], [`Refusal::Policy`], [`Refusal::TooLarge`], [`Refusal::Host`].
    pub fn accept(self, state: &(impl RoomState + ?Sized), policy: PolicyVerdict) -> Result<SignedEvent, Refusal> {
        Ok(self.passed(state, policy)?.0)
    }
}
