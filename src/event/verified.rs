//! An event on its way to being believed: format checked, signatures checked, hash checked or redacted. Each step consumes
//! the last, and there is no other way.
//!
//! ```text
//! Pdu ── check_format ──▶ FormattedPdu ── check_signatures ──▶ SignedPdu ── check_hash ──▶ VerifiedPdu
//!                                                                                         ├ Whole
//!                                                                                         └ Redacted
//! ```
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#validating-hashes-and-signatures-on-received-events>

use super::content::member::MemberContent;
use super::event_type::EventType;
use super::format::FormattedPdu;
use super::hash::content_hash_of;
use super::keys::Keys;
use super::owned::OwnedPdu;
use super::pdu::Pdu;
use super::redaction::redact;
use super::signature::{ServerSignatures, Verify, check_server_signatures};
use super::{Event, Membership, PduError};
use crate::id::{UserId, domain};
use crate::room_version::{EventIdFormat, RoomVersion};

/// Why the signatures of an event do not make it an event of those who must have signed it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// There is no canonical form to sign.
    #[error(transparent)]
    Pdu(#[from] PduError),
    /// A server that must have signed has not, or only with keys that are unknown or do not count for the event's time.
    #[error("no signature by a known key of `{server}` that counts")]
    NotSigned {
        /// The server.
        server: String,
    },
    /// A signature by a known key of a server that must have signed does not verify.
    #[error("the signature of `{server}` by `{key_id}` does not verify")]
    BadSignature {
        /// The server.
        server: String,
        /// The key.
        key_id: String,
    },
}

/// An event of those who must have signed it. A third-party invite is signed by nobody for certain: whether to believe it is
/// for [`authorize`](crate::auth::authorize) to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedPdu<'a> {
    formatted: FormattedPdu<'a>,
    signed_by: Vec<String>,
}

/// An event that a server may act on.
#[expect(clippy::large_enum_variant, reason = "nearly all events are whole: an allocation for each would be a waste")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerifiedPdu<'a> {
    /// The content hash is right: this is the event as it was made.
    Whole(WholePdu<'a>),
    /// The content hash is wrong: what is left is what the signatures cover.
    Redacted(RedactedPdu),
}

/// An event as it was made: format, signatures and content hash are right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholePdu<'a>(SignedPdu<'a>);

/// What is left of an event whose content hash is wrong: its redacted form, whose signatures are right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedactedPdu {
    event: OwnedPdu,
    version: RoomVersion,
    auth_events: Vec<String>,
    prev_events: Vec<String>,
    signed_by: Vec<String>,
}

impl<'a> FormattedPdu<'a> {
    /// Checks the signatures of every server that must have signed: the sender's (but for third-party invites), and before v3
    /// that of the event ID.
    ///
    /// Each of them must have signed by at least one known key that counts for the event's time, and *every* signature by
    /// such a key must verify. Signatures by other keys, and of other servers, are ignored. `now` is the time in
    /// milliseconds since the Unix epoch.
    ///
    /// Since v8 the signature of the server of the user who authorizes a join is checked too, but its absence is no error here:
    /// it is for [a rule](crate::auth::Rule::AuthorizingServerSignature) to refuse. [`SignedPdu::signed_by`] says whether it is
    /// there.
    ///
    /// # Errors
    ///
    /// [`SignatureError`], by the first server whose signature is missing or wrong.
    pub fn check_signatures(
        self,
        keys: &(impl Keys + ?Sized),
        verifier: &(impl Verify + ?Sized),
        now: u64,
    ) -> Result<SignedPdu<'a>, SignatureError> {
        let needed = signers(self.version(), self.pdu())?;
        self.check_servers(needed, keys, verifier, now)
    }

    /// Checks the same, and the signature of the sender's server in any case: for an event that is to be shown in the sender's
    /// name, and that no rule will judge.
    ///
    /// # Errors
    ///
    /// As [`check_signatures`](Self::check_signatures).
    pub(crate) fn check_signatures_with_sender(
        self,
        keys: &(impl Keys + ?Sized),
        verifier: &(impl Verify + ?Sized),
        now: u64,
    ) -> Result<SignedPdu<'a>, SignatureError> {
        let needed = signers(self.version(), self.pdu())?;
        let sender = domain(self.pdu().sender()).map(str::to_owned);
        self.check_servers(sender.into_iter().chain(needed), keys, verifier, now)
    }

    fn check_servers(
        self,
        needed: impl IntoIterator<Item = String>,
        keys: &(impl Keys + ?Sized),
        verifier: &(impl Verify + ?Sized),
        now: u64,
    ) -> Result<SignedPdu<'a>, SignatureError> {
        let mut signed_by: Vec<String> = Vec::new();
        for server in needed {
            if !signed_by.contains(&server) {
                self.check_server(&server, keys, verifier, now)?;
                signed_by.push(server);
            }
        }
        // Whether this one has signed is for a rule to judge.
        if let Some(server) = authorizing_server(self.version(), self.pdu()) {
            if !signed_by.contains(&server) && self.check_server(&server, keys, verifier, now).is_ok() {
                signed_by.push(server);
            }
        }
        Ok(SignedPdu { formatted: self, signed_by })
    }

    fn check_server(
        &self,
        server: &str,
        keys: &(impl Keys + ?Sized),
        verifier: &(impl Verify + ?Sized),
        now: u64,
    ) -> Result<(), SignatureError> {
        let key = |key_id: &str| {
            let key = keys.key(server, key_id)?;
            let counts = key.validity.counts(self.origin_server_ts(), now, self.version().rules());
            counts.then_some(key.public_key)
        };
        let found = check_server_signatures(self.signatures(), server, self.essential(), verifier, key)
            .map_err(PduError::Json)?;
        let server = server.to_owned();
        match found {
            ServerSignatures::Good => Ok(()),
            ServerSignatures::Missing => Err(SignatureError::NotSigned { server }),
            ServerSignatures::Bad(key_id) => Err(SignatureError::BadSignature { server, key_id }),
        }
    }
}

/// The servers that must have signed an event.
fn signers(version: RoomVersion, pdu: &Pdu<'_>) -> Result<Vec<String>, SignatureError> {
    let rules = version.rules();
    let mut servers = Vec::new();
    let member = Some(pdu.member_facts()).filter(|_| pdu.is_type(EventType::Member));
    let is_third_party_invite =
        member.is_some_and(|member| member.membership() == Some(Membership::Invite) && member.has_third_party_invite());
    let sender = domain(pdu.sender());
    if !is_third_party_invite {
        servers.extend(sender.map(str::to_owned));
    }
    if rules.event_ids == EventIdFormat::InBody {
        let server = pdu.event_id().and_then(|id| id.split_once(':')).map(|(_, server)| server);
        let server = server.ok_or(PduError::Missing("event_id"))?;
        if Some(server) != sender {
            servers.push(server.to_owned());
        }
    }
    Ok(servers)
}

/// Since v8: the server of the user who authorizes a join. `None` if there is no such user, or no such server.
fn authorizing_server(version: RoomVersion, pdu: &Pdu<'_>) -> Option<String> {
    if !version.rules().restricted_join_rule || !pdu.is_type(EventType::Member) {
        return None;
    }
    if !pdu.member_facts().has_authorizing_user() {
        return None;
    }
    let user = MemberContent::read(pdu.content()).ok()?.authorizing_user.known()?;
    Some(UserId::parse(&user.text()).ok()?.server_name().as_str().to_owned())
}

impl<'a> SignedPdu<'a> {
    /// Compares the content hash: an event whose hash is wrong goes on as its redacted form.
    ///
    /// What a redaction leaves may need other signatures than the event did: a third-party invite becomes a plain one,
    /// which its sender's server must have signed. So they are asked for again.
    ///
    /// # Errors
    ///
    /// [`SignatureError`] if a server that must have signed the redacted form has not.
    pub fn check_hash(self) -> Result<VerifiedPdu<'a>, SignatureError> {
        let (version, text) = (self.version(), self.formatted.pdu().text());
        if self.formatted.claims_hash(&content_hash_of(version, self.formatted.pdu())?) {
            return Ok(VerifiedPdu::Whole(WholePdu(self)));
        }
        let event = OwnedPdu::parse_stored(redact(version, text)?)?.with_event_id(self.event_id());
        let needed = signers(version, &event.as_pdu())?;
        if let Some(server) = needed.into_iter().find(|server| !self.signed_by.contains(server)) {
            return Err(SignatureError::NotSigned { server });
        }
        let auth_events = self.formatted.auth_events().map(str::to_owned).collect();
        let prev_events = self.formatted.prev_events().map(str::to_owned).collect();
        let signed_by = self.signed_by;
        Ok(VerifiedPdu::Redacted(RedactedPdu { event, version, auth_events, prev_events, signed_by }))
    }

    /// The ID of the event.
    #[must_use]
    pub fn event_id(&self) -> &str {
        self.formatted.event_id()
    }

    /// The servers whose signatures were checked.
    pub fn signed_by(&self) -> impl ExactSizeIterator<Item = &str> {
        self.signed_by.iter().map(String::as_str)
    }

    /// The event with its format checked.
    #[must_use]
    pub const fn formatted(&self) -> &FormattedPdu<'a> {
        &self.formatted
    }

    /// The room version by whose rules it was checked.
    #[must_use]
    pub const fn version(&self) -> RoomVersion {
        self.formatted.version()
    }
}

impl VerifiedPdu<'_> {
    /// The ID of the event.
    #[must_use]
    pub fn event_id(&self) -> &str {
        match self {
            Self::Whole(whole) => whole.event_id(),
            Self::Redacted(redacted) => redacted.event_id(),
        }
    }
}

impl<'a> WholePdu<'a> {
    /// The event with its signatures checked.
    #[must_use]
    pub const fn signed(&self) -> &SignedPdu<'a> {
        &self.0
    }

    /// The ID of the event.
    #[must_use]
    pub fn event_id(&self) -> &str {
        self.0.event_id()
    }

    /// The event. It knows its ID.
    #[must_use]
    pub const fn pdu(&self) -> &Pdu<'a> {
        self.0.formatted.pdu()
    }
}

impl RedactedPdu {
    /// The redacted event. It knows its ID.
    #[must_use]
    pub fn pdu(&self) -> Pdu<'_> {
        self.event.as_pdu()
    }

    /// The redacted event, as canonical JSON.
    #[must_use]
    pub fn text(&self) -> &str {
        self.event.text()
    }

    /// The ID of the event, which is that of the whole one.
    #[must_use]
    pub fn event_id(&self) -> &str {
        self.event.event_id().unwrap_or_default()
    }

    /// The IDs of the events by which it says it is allowed: 10 at most.
    pub fn auth_events(&self) -> impl ExactSizeIterator<Item = &str> {
        self.auth_events.iter().map(String::as_str)
    }

    /// The IDs of the events that it comes after: 20 at most.
    pub fn prev_events(&self) -> impl ExactSizeIterator<Item = &str> {
        self.prev_events.iter().map(String::as_str)
    }

    /// The room version by whose rules it was checked.
    #[must_use]
    pub const fn version(&self) -> RoomVersion {
        self.version
    }

    /// The servers whose signatures were checked.
    pub fn signed_by(&self) -> impl ExactSizeIterator<Item = &str> {
        self.signed_by.iter().map(String::as_str)
    }
}
