//! What the invited user's server answers: the same event, with its signature.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[cfg(doc)]
use super::super::super::HostError;
use super::super::super::Refusal;
use super::super::super::local::{formatted, passed};
use super::super::{Action, AnswerRequest, check_stands};
use crate::auth::Selection;
use crate::event::{FormattedPdu, Keys, MAX_EVENT_BYTES, SignedEvent, Verify, each_signature, with_signature};
use crate::id::{KeyId, ServerName};
use crate::json::{CanonicalDialect, Field, Without, canonical_part, read_object_unread};
use crate::policy::{PolicyServer, PolicyVerdict};
use crate::room_version::RoomVersion;
use crate::state::{Reads, RoomState};
use crate::unpadded_base64;

/// The longest answer to an invite that is looked at, in bytes.
pub const MAX_INVITE_ANSWER_BYTES: usize = 262_144;
/// The most signatures that are looked at: a server signs with one key, or with two while it changes them.
const MAX_SIGNATURES: usize = 8;

/// Why the answer to an invite is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BadInviteAnswer {
    /// It is longer than [`MAX_INVITE_ANSWER_BYTES`].
    #[error("answer of more than {MAX_INVITE_ANSWER_BYTES} bytes")]
    TooLarge,
    /// It has no event in it.
    #[error("no event in the answer")]
    NoEvent,
    /// It is another event: something beside `signatures` and `unsigned` has changed.
    #[error("another event than the one to sign")]
    OtherEvent,
    /// There is no signature of the user's server by a key that is known and counts.
    #[error("not signed by the server of the user")]
    NotSigned,
    /// A signature of the user's server does not verify.
    #[error("a signature of the server of the user does not verify")]
    BadSignature,
}

/// The event in the body of an answer.
pub(super) fn event_of(body: &str) -> Result<&str, BadInviteAnswer> {
    if body.len() > MAX_INVITE_ANSWER_BYTES {
        return Err(BadInviteAnswer::TooLarge);
    }
    let mut event = Field::Missing;
    read_object_unread(body, |key, value| {
        if key.is("event") {
            event.put(Field::Is(value));
        }
    })
    .map_err(|_| BadInviteAnswer::NoEvent)?;
    event.known().ok_or(BadInviteAnswer::NoEvent)
}

/// The signatures of the invited user's server, by key ID, as texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Signatures(BTreeMap<String, String>);

impl Signatures {
    /// Reads those of `server` under what has to be the same event as `sent`.
    pub(super) fn read(sent: &SignedEvent, server: ServerName<'_>, answer: &str) -> Result<Self, BadInviteAnswer> {
        if answer.len() > MAX_INVITE_ANSWER_BYTES {
            return Err(BadInviteAnswer::TooLarge);
        }
        let without =
            |text: &str| canonical_part(text, CanonicalDialect::Lenient, Without(&["signatures", "unsigned"]));
        match (without(sent.text()), without(answer)) {
            (Ok(sent), Ok(answer)) if sent == answer => {}
            (Ok(_) | Err(_), Ok(_) | Err(_)) => return Err(BadInviteAnswer::OtherEvent),
        }
        let mut signatures = Field::Missing;
        read_object_unread(answer, |key, value| {
            if key.is("signatures") {
                signatures.put(Field::Is(value));
            }
        })
        .map_err(|_| BadInviteAnswer::NotSigned)?;
        let mut found = BTreeMap::new();
        let read = each_signature(signatures.known().unwrap_or("{}"), |signer, key_id, signature| {
            let key_id = key_id.text();
            if signer.is(server.as_str()) && KeyId::parse(&key_id).is_ok() && found.len() < MAX_SIGNATURES {
                found.extend(signature.map(|signature| (key_id.into_owned(), unpadded_base64::encode(&signature))));
            }
        });
        if read.is_ok() && !found.is_empty() { Ok(Self(found)) } else { Err(BadInviteAnswer::NotSigned) }
    }

    pub(super) fn key_ids(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Adds those that verify to the event that was sent.
    pub(super) fn add_to(
        &self,
        version: RoomVersion,
        sent: &SignedEvent,
        server: ServerName<'_>,
        (keys, verifier, now): (&(impl Keys + ?Sized), &(impl Verify + ?Sized), u64),
    ) -> Result<SignedEvent, BadInviteAnswer> {
        // It was written here.
        let event = formatted(version, sent).map_err(|_| BadInviteAnswer::OtherEvent)?;
        let mut text = sent.text().to_owned();
        let mut is_signed = false;
        for (key_id, signature) in &self.0 {
            let key = keys.key(server.as_str(), key_id);
            let key = key.filter(|key| key.validity.counts(event.origin_server_ts(), now, version.rules()));
            let (Some(key), Some(signature)) = (key, unpadded_base64::decode(signature)) else { continue };
            if !verifier.verify(&key.public_key, event.essential().as_bytes(), &signature) {
                return Err(BadInviteAnswer::BadSignature);
            }
            let added = with_signature(&text, server, KeyId::checked(key_id), &signature);
            text = added.map_err(|_| BadInviteAnswer::OtherEvent)?;
            is_signed = true;
        }
        if !is_signed {
            return Err(BadInviteAnswer::NotSigned);
        }
        if text.len() > MAX_EVENT_BYTES {
            return Err(BadInviteAnswer::TooLarge);
        }
        SignedEvent::from_stored(version, text).map_err(|_| BadInviteAnswer::OtherEvent)
    }
}

/// An invite that the user's server has signed: it is to be appended to the room.
///
/// An invite comes to be one in no other way than by the answer of that server. This compiles:
///
/// ```
/// # use matrix_knock::event::SignedEvent;
/// # use matrix_knock::resident::Refusal;
/// # use matrix_knock::resident::answer::{CountersignedInvite, Inviting, UnsignedInvite};
/// # use matrix_knock::state::RoomState;
/// fn to_append(invite: CountersignedInvite, state: &impl RoomState) -> Result<SignedEvent, Refusal> {
///     invite.accept(state)
/// }
/// ```
///
/// With the invite that nobody has shown to that server, an `UnsignedInvite`, it does not:
///
/// ```compile_fail,E0599
/// # use matrix_knock::event::SignedEvent;
/// # use matrix_knock::resident::Refusal;
/// # use matrix_knock::resident::answer::{CountersignedInvite, Inviting, UnsignedInvite};
/// # use matrix_knock::state::RoomState;
/// fn to_append(invite: UnsignedInvite, state: &impl RoomState) -> Result<SignedEvent, Refusal> {
///     invite.accept(state)
/// }
/// ```
///
/// nor with one under way, an `Inviting`, before it has ended:
///
/// ```compile_fail,E0599
/// # use matrix_knock::event::SignedEvent;
/// # use matrix_knock::resident::Refusal;
/// # use matrix_knock::resident::answer::{CountersignedInvite, Inviting, UnsignedInvite};
/// # use matrix_knock::state::RoomState;
/// fn to_append(invite: Inviting, state: &impl RoomState) -> Result<SignedEvent, Refusal> {
///     invite.accept(state)
/// }
/// ```
///
/// nor by calling countersigned what was not:
///
/// ```compile_fail,E0451
/// # use matrix_knock::RoomVersion;
/// # use matrix_knock::event::SignedEvent;
/// # use matrix_knock::policy::PolicyVerdict;
/// # use matrix_knock::resident::answer::{Action, CountersignedInvite};
/// fn countersigned(version: RoomVersion, event: SignedEvent, policy: PolicyVerdict) -> CountersignedInvite {
///     CountersignedInvite { version, action: Action::Accept, event, policy }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountersignedInvite {
    version: RoomVersion,
    action: Action,
    event: SignedEvent,
    policy: PolicyVerdict,
}

impl CountersignedInvite {
    pub(super) const fn of(version: RoomVersion, action: Action, event: SignedEvent, policy: PolicyVerdict) -> Self {
        Self { version, action, event, policy }
    }

    /// Returns the invite, with the signatures of both servers.
    #[must_use]
    pub const fn event(&self) -> &SignedEvent {
        &self.event
    }

    /// Returns the invite, to be shown to the policy server that the room names now. It knows its
    /// ID.
    ///
    /// # Errors
    ///
    /// None in practice: the event was written here.
    pub fn formatted(&self) -> Result<FormattedPdu<'_>, Refusal> {
        formatted(self.version, &self.event)
    }

    /// Takes the verdict of the policy server that the room names now, in place of that with which
    /// the invite was sent. It is needed where the room has changed its policy server meanwhile:
    /// [`accept`](Self::accept) says so.
    #[must_use]
    pub fn with_verdict(self, policy: PolicyVerdict) -> Self {
        Self { policy, ..self }
    }

    /// Returns the entries of the current state that [`accept`](Self::accept) reads.
    #[must_use]
    pub fn reads(&self) -> Reads {
        let of_rules = self.event.pdu().map(|event| Selection::of(self.version, &event).reads());
        of_rules.unwrap_or_default().and(&PolicyServer::reads())
    }

    /// Returns the event, which is to be appended to the room and sent to every server with a
    /// joined user. It is authorized by the current state once more, and the knock has to stand
    /// still: the room may have changed while the user's server was asked.
    ///
    /// # Errors
    ///
    /// [`Refusal::Rejected`]; [`Refusal::NothingToAnswer`] if the knock was taken back, or the
    /// invite declined before it was appended, or appended already; [`Refusal::Policy`];
    /// [`Refusal::TooLarge`]; [`Refusal::Host`], with [`HostError::PolicyServer`] if the room names
    /// another policy server now than when the invite was sent: see
    /// [`with_verdict`](Self::with_verdict).
    pub fn accept(self, state: &(impl RoomState + ?Sized)) -> Result<SignedEvent, Refusal> {
        let stands = check_stands(&AnswerRequest::of_event(self.action, &self.event.pdu()?), state);
        match passed(self.version, self.event, state, self.policy) {
            // What the rules say comes first.
            Err(refusal @ Refusal::Rejected { .. }) => Err(refusal),
            passed => stands.and(passed),
        }
    }
}
