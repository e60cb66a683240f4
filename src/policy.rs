//! The policy server of a room, which is shown every event before the event is sent.
//!
//! [`PolicyServer::named`] reads which server the room names; the room uses it if a user of that server is joined, which the
//! host looks up. The event is sent to it ([`request`](PolicyServer::request)), and its answer read
//! ([`read_answer`](PolicyServer::read_answer)). That somebody has signed is no word but a [`PolicySignature`], which only a
//! signature gives that was verified: so nothing gets past the policy server because of a mistake of the host. What comes of it
//! is a [`PolicyVerdict`], which the last step of every event that is to be sent takes.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#policy-servers>
//!
//! # Examples
//!
//! ```
//! # #[cfg(feature = "ed25519")] {
//! use matrix_knock::event::{Ed25519Key, Pdu};
//! use matrix_knock::policy::{PolicyRefusal, PolicyServer};
//! use matrix_knock::state::StateMap;
//! use matrix_knock::wire::HttpResponse;
//! use matrix_knock::{Ed25519, RoomVersion};
//!
//! let policy = r#"{"type":"m.room.policy","state_key":"","sender":"@alice:a.example","content":{"via":"p.example",
//!     "public_keys":{"ed25519":"6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw"}}}"#;
//! let state = StateMap::from([Pdu::parse(policy)?]);
//! let server = PolicyServer::named(&state)?.expect("the room names one");
//! assert_eq!(server.name(), "p.example");
//!
//! let text = r#"{"auth_events":[],"content":{"membership":"knock"},"depth":3,"hashes":{"sha256":""},"origin_server_ts":5,
//!     "prev_events":[],"room_id":"!r:a.example","sender":"@kay:b.example","signatures":{},"state_key":"@kay:b.example",
//!     "type":"m.room.member"}"#;
//! let event = Pdu::parse(text)?.check_format(RoomVersion::V11)?;
//! let request = server.request(&event)?;
//! assert_eq!((request.method, &*request.path), ("POST", "/_matrix/policy/v1/sign"));
//!
//! let body = r#"{"errcode":"M_FORBIDDEN","error":"This looks like spam"}"#;
//! let refusal = server.read_answer(&event, Some(HttpResponse::new(400, body)), &Ed25519).unwrap_err();
//! assert_eq!(refusal.to_response().error(), "This looks like spam");
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # No event gets past it
//!
//! An event of this server can be had for sending only with a verdict. This compiles:
//!
//! ```
//! # use matrix_knock::event::SignedEvent;
//! # use matrix_knock::policy::PolicyVerdict;
//! # use matrix_knock::resident::{Knock, LocalEvent, Refusal};
//! # use matrix_knock::state::RoomState;
//! fn to_send(event: LocalEvent<Knock>, state: &impl RoomState, policy: PolicyVerdict) -> Result<SignedEvent, Refusal> {
//!     event.accept(state, policy)
//! }
//! ```
//!
//! Without one it does not:
//!
//! ```compile_fail,E0061
//! # use matrix_knock::event::SignedEvent;
//! # use matrix_knock::policy::PolicyVerdict;
//! # use matrix_knock::resident::{Knock, LocalEvent, Refusal};
//! # use matrix_knock::state::RoomState;
//! fn to_send(event: LocalEvent<Knock>, state: &impl RoomState) -> Result<SignedEvent, Refusal> {
//!     event.accept(state)
//! }
//! ```
//!
//! and that the server has signed is said by its signature, verified:
//!
//! ```
//! # use matrix_knock::event::{FormattedPdu, Verify};
//! # use matrix_knock::policy::{PolicyServer, PolicyVerdict};
//! # use matrix_knock::wire::HttpResponse;
//! fn verdict(
//!     server: PolicyServer, event: &FormattedPdu<'_>, answer: Option<HttpResponse<'_>>, verifier: &impl Verify,
//! ) -> PolicyVerdict {
//!     server.read_answer(event, answer, verifier).into()
//! }
//! ```
//!
//! not by the host:
//!
//! ```compile_fail,E0451
//! # use matrix_knock::policy::{PolicyServer, PolicySignature, PolicyVerdict};
//! fn verdict(server: PolicyServer, event_id: Box<str>, signature: [u8; 64]) -> PolicyVerdict {
//!     PolicyVerdict::Signed(PolicySignature { server, event_id, signature })
//! }
//! ```

use crate::error::{Errcode, ErrorBody, ErrorResponse};
use crate::event::{
    Event, EventType, FormattedPdu, MAX_EVENT_BYTES, ServerSignatures, Verify, check_server_signatures, each_signature,
    with_signature,
};
use crate::id::{KeyId, OwnedServerName, ServerName};
use crate::json::{Field, JsonError, Reader, Str, read_object, read_object_field};
use crate::state::{NotLookedUp, Reads, RoomState};
use crate::unpadded_base64;
use crate::wire::{BuiltRequest, HttpResponse};

/// The ID of every policy server's key.
pub const POLICY_KEY_ID: KeyId<'static> = KeyId::checked("ed25519:policy_server");
/// The longest answer of a policy server that is looked at, in bytes.
pub const MAX_ANSWER_BYTES: usize = 65_536;

/// The policy server that a room names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PolicyServer {
    name: OwnedServerName,
    /// `None`: what stands there is no key, so nothing can be signed with it.
    public_key: Option<[u8; 32]>,
}

impl PolicyServer {
    /// Creates the policy server of this name and public key, for a host that has read them elsewhere.
    #[must_use]
    pub const fn new(name: OwnedServerName, public_key: [u8; 32]) -> Self {
        Self { name, public_key: Some(public_key) }
    }

    /// What was stored of it.
    pub(crate) const fn of_parts(name: OwnedServerName, public_key: Option<[u8; 32]>) -> Self {
        Self { name, public_key }
    }

    pub(crate) const fn public_key(&self) -> Option<[u8; 32]> {
        self.public_key
    }

    /// Returns the entry of the current state that [`named`](Self::named) reads.
    #[must_use]
    pub fn reads() -> Reads {
        Reads::of_types([EventType::Policy])
    }

    /// Reads which policy server the current state names. The room uses it if a user of that server is joined.
    ///
    /// A `via` that is no server name is none, since nobody is joined of it. A public key that is none is one that no
    /// signature verifies with.
    ///
    /// # Errors
    ///
    /// [`NotLookedUp`] if a snapshot lacks the entry of [`reads`](Self::reads).
    pub fn named(state: &(impl RoomState + ?Sized)) -> Result<Option<Self>, NotLookedUp> {
        let policy = state.event(EventType::Policy, "")?;
        Ok(policy.and_then(|policy| Self::read(policy.content())))
    }

    fn read(content: &str) -> Option<Self> {
        let (mut via, mut key) = (Field::<Str<'_>>::Missing, Field::<Str<'_>>::Missing);
        read_object(content, |name, reader| {
            match () {
                () if name.is("via") => via.put(reader.string_field()?),
                () if name.is("public_keys") => key.put(read_key(reader)?),
                () => reader.skip_value()?,
            }
            Ok(())
        })
        .ok()?;
        let (via, key) = (via.known()?, key.known()?);
        let name = OwnedServerName::parse(via.text()).ok()?;
        Some(Self { name, public_key: unpadded_base64::decode(&key.text()) })
    }

    /// Returns the name of the server.
    #[must_use]
    pub const fn name(&self) -> ServerName<'_> {
        self.name.as_borrowed()
    }

    /// Returns whether policy servers are asked about this event: about every event but `m.room.policy` with an empty state
    /// key, which needs no signature.
    #[must_use]
    pub fn is_asked_about(event: &(impl Event + ?Sized)) -> bool {
        !(event.is_type(EventType::Policy) && event.state_key() == Some(""))
    }

    /// Returns the request that shows the event to the server: `POST /_matrix/policy/v1/sign`, to be authenticated as every
    /// request between servers.
    ///
    /// <https://spec.matrix.org/v1.19/server-server-api/#post_matrixpolicyv1sign>
    ///
    /// # Errors
    ///
    /// None in practice: an event whose format was checked has a canonical form.
    pub fn request(&self, event: &FormattedPdu<'_>) -> Result<BuiltRequest, JsonError> {
        let body = event.pdu().to_federation(event.version())?;
        Ok(BuiltRequest {
            method: "POST",
            path: "/_matrix/policy/v1/sign".to_owned(),
            query: String::new(),
            body: Some(body),
        })
    }

    /// Returns the server's signature that the event has already, if it is valid. Then nobody needs to be asked.
    #[must_use]
    pub fn signature_of(&self, event: &FormattedPdu<'_>, verifier: &(impl Verify + ?Sized)) -> Option<PolicySignature> {
        self.verified(event, event.signatures(), verifier).ok()
    }

    /// Reads what the server answered; `None` if it did not answer. An error about the access of whoever asked is no answer:
    /// a client would log its user out.
    ///
    /// # Errors
    ///
    /// [`PolicyRefusal`]: there is no valid signature.
    pub fn read_answer(
        &self,
        event: &FormattedPdu<'_>,
        response: Option<HttpResponse<'_>>,
        verifier: &(impl Verify + ?Sized),
    ) -> Result<PolicySignature, PolicyRefusal> {
        let response = response.ok_or(PolicyRefusal::NoAnswer)?;
        match response.status {
            200 if response.body.len() <= MAX_ANSWER_BYTES => self.verified(event, response.body, verifier),
            400..=499 => {
                let status = response.status;
                ErrorBody::of_response(response)
                    .into_response(status)
                    .map_or(Err(PolicyRefusal::NoAnswer), |response| Err(PolicyRefusal::Refused(Box::new(response))))
            }
            _ => Err(PolicyRefusal::NoAnswer),
        }
    }

    /// The server's signature among these, if it is valid.
    fn verified(
        &self,
        event: &FormattedPdu<'_>,
        signatures: &str,
        verifier: &(impl Verify + ?Sized),
    ) -> Result<PolicySignature, PolicyRefusal> {
        let key = |key_id: &str| self.public_key.filter(|_| POLICY_KEY_ID == *key_id);
        let found = check_server_signatures(signatures, self.name.as_str(), event.essential(), verifier, key);
        match found {
            Ok(ServerSignatures::Good) => {}
            Ok(ServerSignatures::Bad(_)) => return Err(PolicyRefusal::BadSignature),
            Ok(ServerSignatures::Missing) | Err(_) => return Err(PolicyRefusal::NoAnswer),
        }
        match signature_among(signatures, self) {
            Some(signature) => {
                Ok(PolicySignature { server: self.clone(), event_id: event.event_id().into(), signature })
            }
            None => Err(PolicyRefusal::NoAnswer),
        }
    }
}

/// What stands among the signatures as that of the policy server.
fn signature_among(signatures: &str, server: &PolicyServer) -> Option<[u8; 64]> {
    let mut signature = None;
    let read = each_signature(signatures, |name, key_id, bytes| {
        if name.is(server.name.as_str()) && key_id.is(POLICY_KEY_ID.as_str()) {
            signature = bytes;
        }
    });
    signature.filter(|_| read.is_ok())
}

fn read_key<'a>(reader: &mut Reader<'a>) -> Result<Field<Str<'a>>, JsonError> {
    let mut key = Field::Missing;
    let is_object = read_object_field(reader, |name, reader| {
        if !name.is("ed25519") {
            return reader.skip_value();
        }
        key.put(reader.string_field()?);
        Ok(())
    })?;
    Ok(if is_object { key } else { Field::Malformed })
}

/// The signature of a policy server under an event, verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicySignature {
    server: PolicyServer,
    event_id: Box<str>,
    signature: [u8; 64],
}

impl PolicySignature {
    /// Returns whose signature it is.
    #[must_use]
    pub const fn server(&self) -> &PolicyServer {
        &self.server
    }

    /// Returns the ID of the event.
    #[must_use]
    pub fn event_id(&self) -> &str {
        &self.event_id
    }

    /// The signature that was added to the event before it was stored; `None` if there is none.
    pub(crate) fn of_stored(server: PolicyServer, event: &FormattedPdu<'_>) -> Option<Self> {
        let signature = signature_among(event.signatures(), &server)?;
        Some(Self { server, event_id: event.event_id().into(), signature })
    }

    /// Returns the event with this signature beside those that it has, as canonical JSON. For events that go by no step of this
    /// crate, such as messages; the steps add the signature themselves.
    ///
    /// # Errors
    ///
    /// None in practice: an event whose format was checked has a canonical form.
    pub fn added_to(&self, event: &FormattedPdu<'_>) -> Result<String, JsonError> {
        let text = event.pdu().to_federation(event.version())?;
        with_signature(&text, self.server.name(), POLICY_KEY_ID, &self.signature)
    }

    /// Whether the event is still of an allowed size with this signature.
    pub(crate) fn fits(&self, event: &FormattedPdu<'_>) -> Result<bool, JsonError> {
        Ok(self.added_to(event)?.len() <= MAX_EVENT_BYTES)
    }
}

/// Why there is no signature of the policy server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyRefusal {
    /// The server refuses to sign: its answer, which goes to the client as it is.
    #[error("refused by the policy server of the room: {}", .0.error())]
    Refused(Box<ErrorResponse>),
    /// The signature in the answer does not verify: the key may have changed without the room.
    #[error("the signature of the policy server does not verify")]
    BadSignature,
    /// The server did not answer, or answered neither with a signature nor with an error.
    #[error("no signature of the policy server")]
    NoAnswer,
}

impl PolicyRefusal {
    /// Returns the answer to the client whose event it is.
    #[must_use]
    pub fn to_response(&self) -> ErrorResponse {
        match self {
            Self::Refused(response) => (**response).clone(),
            Self::BadSignature | Self::NoAnswer => {
                ErrorResponse::new(Errcode::Forbidden, "The policy server of the room has not signed the event")
            }
        }
    }
}

impl From<PolicyRefusal> for ErrorResponse {
    fn from(refusal: PolicyRefusal) -> Self {
        refusal.to_response()
    }
}

/// What the room's policy server says to an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyVerdict {
    /// The room names no policy server.
    NotNamed,
    /// The room names this one, but no user of that server is joined: it is not used. The host has looked it up.
    NotJoined(PolicyServer),
    /// It has signed the event.
    Signed(PolicySignature),
    /// It has not signed the event.
    Refused(PolicyRefusal),
}

impl From<Result<PolicySignature, PolicyRefusal>> for PolicyVerdict {
    fn from(answer: Result<PolicySignature, PolicyRefusal>) -> Self {
        answer.map_or_else(Self::Refused, Self::Signed)
    }
}

/// Why an event does not pass the policy server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotPassed {
    Refused(PolicyRefusal),
    /// The verdict is of another server, key or event than those that count now.
    OtherVerdict,
    NotLookedUp(NotLookedUp),
}

impl PolicyVerdict {
    /// Whether the event may be sent, by the policy server that the current state names: the room may have changed since
    /// the verdict.
    pub(crate) fn passed(
        self,
        event: &(impl Event + ?Sized),
        current: &(impl RoomState + ?Sized),
    ) -> Result<Option<PolicySignature>, NotPassed> {
        let named = PolicyServer::named(current).map_err(NotPassed::NotLookedUp)?;
        let Some(named) = named.filter(|_| PolicyServer::is_asked_about(event)) else {
            // A signature that nobody asks for any more may stay.
            return Ok(self.signature(event));
        };
        match &self {
            Self::Refused(refusal) => Err(NotPassed::Refused(refusal.clone())),
            Self::NotJoined(server) if *server == named => Ok(None),
            Self::Signed(signature) if signature.server == named => {
                self.signature(event).map(Some).ok_or(NotPassed::OtherVerdict)
            }
            Self::NotNamed | Self::NotJoined(_) | Self::Signed(_) => Err(NotPassed::OtherVerdict),
        }
    }

    fn signature(&self, event: &(impl Event + ?Sized)) -> Option<PolicySignature> {
        match self {
            Self::Signed(signature) if event.event_id() == Some(signature.event_id()) => Some(signature.clone()),
            Self::NotNamed | Self::NotJoined(_) | Self::Signed(_) | Self::Refused(_) => None,
        }
    }
}
