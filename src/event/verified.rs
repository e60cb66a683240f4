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

use super::content::MEMBER;
use super::content::member::MemberContent;
use super::format::FormattedPdu;
use super::hash::{Sha256Hash, content_hash, event_id_of};
use super::keys::Keys;
use super::pdu::Pdu;
use super::redaction::{essential, redact};
use super::signature::{Verify, each_signature_of};
use super::{Event, Membership, PduError};
use crate::id::{UserId, domain};
use crate::json::Field;
use crate::room_version::{EventIdFormat, RoomVersion};

/// Why the signatures of an event do not make it an event of those who must have signed it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
    /// The `join_authorised_via_users_server` is no user ID, so that no server can have signed for it.
    #[error("`join_authorised_via_users_server` is not a user ID")]
    NoAuthorizingUser,
}

/// An event of those who must have signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedPdu<'a> {
    formatted: FormattedPdu<'a>,
    event_id: String,
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
    text: String,
    version: RoomVersion,
    event_id: String,
    signed_by: Vec<String>,
}

impl<'a> FormattedPdu<'a> {
    /// Checks the signatures of every server that must have signed: the sender's (but for third-party invites), before v3
    /// that of the event ID, since v8 that of the user who authorizes a join.
    ///
    /// Each of them must have signed by at least one known key that counts for the event's time, and *every* signature by
    /// such a key must verify. Signatures by other keys, and of other servers, are passed over. `now` is the time in
    /// milliseconds since the Unix epoch.
    ///
    /// # Errors
    ///
    /// [`SignatureError`], by the first server whose signature is missing or wrong.
    pub fn check_signatures(
        self,
        keys: &(impl Keys + ?Sized),
        verifier: &impl Verify,
        now: u64,
    ) -> Result<SignedPdu<'a>, SignatureError> {
        let signed = essential(self.version(), self.pdu().text())?;
        let mut signed_by: Vec<String> = Vec::new();
        for server in self.signers()? {
            if !signed_by.contains(&server) {
                self.check_server(&server, &signed, keys, verifier, now)?;
                signed_by.push(server);
            }
        }
        let event_id = match self.version().rules().event_ids {
            EventIdFormat::InBody => self.pdu().event_id().ok_or(PduError::Missing("event_id"))?.to_owned(),
            _ => event_id_of(self.version(), &Sha256Hash::of(&signed)),
        };
        Ok(SignedPdu { formatted: self, event_id, signed_by })
    }

    /// The servers that must have signed.
    fn signers(&self) -> Result<Vec<String>, SignatureError> {
        let (pdu, rules) = (self.pdu(), self.version().rules());
        let mut servers = Vec::new();
        let content = match pdu.event_type() {
            MEMBER => MemberContent::read(pdu.content()).unwrap_or_default(),
            _ => MemberContent::default(),
        };
        let is_third_party_invite = matches!(content.membership, Field::Is(Some(Membership::Invite)))
            && !matches!(content.third_party_invite, Field::Missing);
        if !is_third_party_invite {
            servers.extend(domain(pdu.sender()).map(str::to_owned));
        }
        if rules.event_ids == EventIdFormat::InBody {
            let server = pdu.event_id().and_then(|id| id.split_once(':')).map(|(_, server)| server.to_owned());
            servers.push(server.ok_or(PduError::Missing("event_id"))?);
        }
        if rules.restricted_join_rule {
            match content.authorizing_user {
                Field::Missing => {}
                Field::Malformed => return Err(SignatureError::NoAuthorizingUser),
                Field::Is(user) => {
                    let user = user.text();
                    let user = UserId::parse(&user).map_err(|_| SignatureError::NoAuthorizingUser)?;
                    servers.push(user.server_name().as_str().to_owned());
                }
            }
        }
        Ok(servers)
    }

    fn check_server(
        &self,
        server: &str,
        message: &str,
        keys: &(impl Keys + ?Sized),
        verifier: &impl Verify,
        now: u64,
    ) -> Result<(), SignatureError> {
        let mut signed = false;
        let mut bad = None;
        each_signature_of(self.signatures(), server, |key_id, signature| {
            let key_id = key_id.text();
            let Some(key) = keys.key(server, &key_id) else { return };
            if !key.validity.counts(self.origin_server_ts(), now, self.version().rules()) {
                return;
            }
            if signature.is_some_and(|signature| verifier.verify(&key.public_key, message.as_bytes(), &signature)) {
                signed = true;
            } else {
                bad.get_or_insert_with(|| key_id.into_owned());
            }
        })
        .map_err(PduError::Json)?;
        match bad {
            Some(key_id) => Err(SignatureError::BadSignature { server: server.to_owned(), key_id }),
            None if signed => Ok(()),
            None => Err(SignatureError::NotSigned { server: server.to_owned() }),
        }
    }
}

impl<'a> SignedPdu<'a> {
    /// Compares the content hash: an event whose hash is wrong goes on as its redacted form.
    ///
    /// # Errors
    ///
    /// [`PduError`] if there is no canonical form to hash; an event of the right format has one.
    pub fn check_hash(self) -> Result<VerifiedPdu<'a>, PduError> {
        let (version, text) = (self.version(), self.formatted.pdu().text());
        if self.formatted.claims_hash(&content_hash(version, text)?) {
            return Ok(VerifiedPdu::Whole(WholePdu(self)));
        }
        let text = redact(version, text)?;
        Ok(VerifiedPdu::Redacted(RedactedPdu { text, version, event_id: self.event_id, signed_by: self.signed_by }))
    }

    /// The ID of the event.
    #[must_use]
    pub fn event_id(&self) -> &str {
        &self.event_id
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

    /// The event.
    #[must_use]
    pub const fn pdu(&self) -> &Pdu<'a> {
        self.0.formatted.pdu()
    }
}

impl RedactedPdu {
    /// The redacted event, as canonical JSON.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The ID of the event, which is that of the whole one.
    #[must_use]
    pub fn event_id(&self) -> &str {
        &self.event_id
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
