//! What is stored of an invite under way, and how it is read again.
//!
//! What follows from the event (its ID, the room, the user) is computed anew.

use serde::{Deserialize, Serialize};

use super::super::super::local::formatted;
use super::super::Action;
use super::countersigned::{BadInviteAnswer, Signatures};
use super::{Inviting, NotInvited, State};
use crate::error::{ErrorBody, ErrorResponse};
use crate::event::{Draft, Event, EventType, FormattedPdu, Membership, PduError, SignError, SignedEvent};
use crate::id::{OwnedServerName, RoomId, UserId};
use crate::policy::{PolicyServer, PolicySignature, PolicyVerdict};
use crate::room_version::RoomVersion;
use crate::unpadded_base64;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredInviting {
    version: RoomVersion,
    event: String,
    /// Whether it answers no knock.
    #[serde(default)]
    is_unasked: bool,
    #[serde(default)]
    policy: StoredPolicy,
    invite_room_state: Vec<String>,
    state: StoredState,
    ticket: u32,
}

/// With which verdict of a policy server the invite was sent. The signature is in the event.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredPolicy {
    /// What counts if nothing is stored: it passes no policy server.
    #[default]
    NotNamed,
    NotJoined(StoredPolicyServer),
    Signed(StoredPolicyServer),
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredPolicyServer {
    name: OwnedServerName,
    /// Unpadded base64.
    public_key: Option<String>,
}

impl From<&PolicyServer> for StoredPolicyServer {
    fn from(server: &PolicyServer) -> Self {
        let public_key = server.public_key().map(|key| unpadded_base64::encode(&key));
        Self { name: server.name().into_owned(), public_key }
    }
}

impl From<StoredPolicyServer> for PolicyServer {
    fn from(stored: StoredPolicyServer) -> Self {
        // What is no key is one that no signature verifies with.
        let public_key = stored.public_key.and_then(|key| unpadded_base64::decode(&key));
        Self::of_parts(stored.name, public_key)
    }
}

impl From<&PolicyVerdict> for StoredPolicy {
    fn from(verdict: &PolicyVerdict) -> Self {
        match verdict {
            // What was refused is not sent.
            PolicyVerdict::NotNamed | PolicyVerdict::Refused(_) => Self::NotNamed,
            PolicyVerdict::NotJoined(server) => Self::NotJoined(server.into()),
            PolicyVerdict::Signed(signature) => Self::Signed(signature.server().into()),
        }
    }
}

impl StoredPolicy {
    fn read(self, event: &FormattedPdu<'_>) -> PolicyVerdict {
        match self {
            Self::NotNamed => PolicyVerdict::NotNamed,
            Self::NotJoined(server) => PolicyVerdict::NotJoined(server.into()),
            // Without the signature it passes no policy server.
            Self::Signed(server) => {
                PolicySignature::of_stored(server.into(), event).map_or(PolicyVerdict::NotNamed, PolicyVerdict::Signed)
            }
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredState {
    Asking,
    Verifying(Signatures),
    Countersigned(String),
    Refused { status: u16, body: String },
    NoAnswer,
    BadAnswer(BadInviteAnswer),
}

/// Why what was stored is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoredError {
    #[error("not an invite: {0}")]
    Event(String),
    #[error("not an invite of a user of another server")]
    Invite,
    #[error("another invite is countersigned than is asked for")]
    OtherInvite,
    #[error("the error of the other server cannot be read")]
    Refused,
}

impl From<PduError> for StoredError {
    fn from(error: PduError) -> Self {
        Self::Event(error.to_string())
    }
}

impl From<SignError> for StoredError {
    fn from(error: SignError) -> Self {
        Self::Event(error.to_string())
    }
}

impl From<Inviting> for StoredInviting {
    fn from(inviting: Inviting) -> Self {
        let Inviting { version, action, event, policy, invite_room_state, state, ticket, .. } = inviting;
        let is_unasked = action == Action::Invite;
        let policy = StoredPolicy::from(&policy);
        let state = match state {
            State::Asking => StoredState::Asking,
            State::Verifying(signatures) => StoredState::Verifying(signatures),
            State::Countersigned(event) => StoredState::Countersigned(event.into_text()),
            State::Failed(NotInvited::Refused(response)) => {
                StoredState::Refused { status: response.status(), body: response.to_string() }
            }
            State::Failed(NotInvited::NoAnswer) => StoredState::NoAnswer,
            State::Failed(NotInvited::BadAnswer(bad)) => StoredState::BadAnswer(bad),
        };
        Self { version, event: event.into_text(), is_unasked, policy, invite_room_state, state, ticket }
    }
}

impl TryFrom<StoredInviting> for Inviting {
    type Error = StoredError;

    fn try_from(stored: StoredInviting) -> Result<Self, StoredError> {
        let StoredInviting { version, event, is_unasked, policy, invite_room_state, state, ticket } = stored;
        let action = if is_unasked { Action::Invite } else { Action::Accept };
        // The content hash.
        Draft::prepare(version, &event)?;
        let event = SignedEvent::from_stored(version, event)?;
        let (room_id, target, policy) = {
            let formatted = formatted(version, &event).map_err(|error| StoredError::Event(error.to_string()))?;
            let pdu = formatted.pdu();
            let is_invite =
                pdu.is_type(EventType::Member) && pdu.member_facts().membership() == Some(Membership::Invite);
            let target = pdu.state_key().and_then(|target| UserId::parse(target).ok());
            let sender = UserId::parse(pdu.sender()).ok();
            let room_id = pdu.room_id().and_then(|room_id| RoomId::parse(room_id).ok());
            match (room_id, sender, target) {
                (Some(room_id), Some(sender), Some(target))
                    if is_invite && sender.server_name() != target.server_name() =>
                {
                    (room_id.into_owned(), target.into_owned(), policy.read(&formatted))
                }
                _ => return Err(StoredError::Invite),
            }
        };
        let state = match state {
            StoredState::Asking => State::Asking,
            StoredState::Verifying(signatures) => State::Verifying(signatures),
            StoredState::Countersigned(text) => {
                let countersigned = SignedEvent::from_stored(version, text)?;
                if Signatures::read(&event, target.as_borrowed().server_name(), countersigned.text()).is_err() {
                    return Err(StoredError::OtherInvite);
                }
                State::Countersigned(countersigned)
            }
            StoredState::Refused { status, body } => State::Failed(NotInvited::Refused(refused(status, &body)?)),
            StoredState::NoAnswer => State::Failed(NotInvited::NoAnswer),
            StoredState::BadAnswer(bad) => State::Failed(bad.into()),
        };
        Ok(Self { version, action, room_id, target, event, policy, invite_room_state, state, ticket })
    }
}

fn refused(status: u16, body: &str) -> Result<Box<ErrorResponse>, StoredError> {
    ErrorBody::read(body).into_response(status).map(Box::new).ok_or(StoredError::Refused)
}
