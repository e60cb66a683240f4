//! A knock of this server's own user on a room that this server is in, and the leave that takes it back.

use std::marker::PhantomData;

use super::{HostError, PolicyVerdict, Refusal, RequestKind, policy_server, reads_of_policy_server};
use crate::auth::{Selection, authorize};
use crate::event::{MAX_SUBMITTED_BYTES, NoVerifier, Pdu, Sign, SignedEvent, sign_event};
use crate::id::ServerName;
use crate::room_version::RoomVersion;
use crate::state::{NotLookedUp, Reads, RoomState};
use crate::template::{CheckedTemplate, Details, Template};

/// A signed event of a local user that still has to pass the room's policy server.
///
/// It can be sent only after [`accept`](Self::accept).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalEvent<K> {
    signed: SignedEvent,
    version: RoomVersion,
    kind: PhantomData<K>,
}

impl<K: RequestKind> LocalEvent<K> {
    pub(super) fn sign(
        template: Template,
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
        Ok(Self { signed, version, kind: PhantomData })
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

    /// Returns the entries of the current state that [`policy_server`](Self::policy_server) reads.
    #[must_use]
    pub fn reads_of_policy_server(&self) -> Reads {
        reads_of_policy_server()
    }

    /// Returns the server that the room names as its policy server, well-formed or not. Whether it counts as one is for the
    /// host to say: it does if a user of it is joined.
    ///
    /// # Errors
    ///
    /// [`NotLookedUp`] if a snapshot lacks an entry.
    pub fn policy_server(&self, state: &(impl RoomState + ?Sized)) -> Result<Option<String>, NotLookedUp> {
        policy_server(state)
    }

    /// Returns the entries of the current state that [`accept`](Self::accept) reads.
    #[must_use]
    pub fn reads(&self) -> Reads {
        self.signed.pdu().map_or_else(|_| Reads::default(), |event| Selection::of(self.version, &event).reads())
    }

    /// Takes the answer of the policy server and returns the event, which is to be appended to the room and sent to every
    /// server with a joined user. It is authorized by the current state once more: the room may have changed while the
    /// policy server was asked.
    ///
    /// # Errors
    ///
    /// [`Refusal::Rejected`], [`Refusal::Policy`], [`Refusal::Host`].
    pub fn accept(self, state: &(impl RoomState + ?Sized), policy: PolicyVerdict) -> Result<SignedEvent, Refusal> {
        let event = self.pdu()?;
        authorize(self.version, &event, state, &NoVerifier).map_err(Refusal::by_current_state)?;
        policy.admitted()?;
        drop(event);
        Ok(self.signed)
    }

    fn pdu(&self) -> Result<Pdu<'_>, Refusal> {
        // It was written here.
        Ok(self.signed.pdu()?)
    }
}
