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

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

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
use crate::id::{OwnedServerName, UserId};
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
    signed_by: Servers<'a>,
}

/// Names of servers, each once: the sender's, before v3 that of the event ID, since v8 that of the
/// authorizing user. As they stand in the text of the event, they need no allocation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Servers<'a> {
    names: [Cow<'a, str>; 3],
    count: usize,
}

impl<'a> Servers<'a> {
    fn push(&mut self, server: Cow<'a, str>) {
        if self.contains(&server) {
            return;
        }
        if let Some(free) = self.names.get_mut(self.count) {
            *free = server;
            self.count = self.count.saturating_add(1);
        }
    }

    fn contains(&self, server: &str) -> bool {
        self.iter().any(|known| known == server)
    }

    fn into_each(self, each: impl FnMut(Cow<'a, str>)) {
        self.names.into_iter().take(self.count).for_each(each);
    }

    fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.names.get(..self.count).unwrap_or_default().iter().map(|name| &**name)
    }
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
    /// Returns the keys that the signature checks of this event may need: their IDs by server, at
    /// most 8 a server and 3 servers.
    ///
    /// The servers are that of the sender, before v3 that of the event ID, and since v8 that of the
    /// user who authorizes a join. A server that has not signed is left out. A host that fetches
    /// the sender's keys alone refuses every join that another server has authorized.
    #[must_use]
    pub fn wanted_keys(&self) -> BTreeMap<OwnedServerName, BTreeSet<String>> {
        let mut servers = self.signers_with_sender().unwrap_or_default();
        authorizing_server(self.version(), self.pdu()).into_iter().for_each(|server| servers.push(server.into()));
        let key_ids = |server: &str| {
            let name = OwnedServerName::parse(server).ok()?;
            let key_ids: BTreeSet<_> = self.key_ids(server).into_iter().collect();
            (!key_ids.is_empty()).then_some((name, key_ids))
        };
        servers.iter().filter_map(key_ids).collect()
    }

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
        let needed = self.signers_with_sender()?;
        self.check_servers(needed, keys, verifier, now)
    }

    /// The servers that must have signed the event, and that of the sender in any case.
    fn signers_with_sender(&self) -> Result<Servers<'a>, SignatureError> {
        let mut servers = Servers::default();
        self.pdu().sender_server().into_iter().for_each(|server| servers.push(server));
        signers(self.version(), self.pdu())?.into_each(|server| servers.push(server));
        Ok(servers)
    }

    fn check_servers(
        self,
        needed: Servers<'a>,
        keys: &(impl Keys + ?Sized),
        verifier: &(impl Verify + ?Sized),
        now: u64,
    ) -> Result<SignedPdu<'a>, SignatureError> {
        needed.iter().try_for_each(|server| self.check_server(server, keys, verifier, now))?;
        let mut signed_by = needed;
        // Whether this one has signed is for a rule to judge.
        if let Some(server) = authorizing_server(self.version(), self.pdu()) {
            if !signed_by.contains(&server) && self.check_server(&server, keys, verifier, now).is_ok() {
                signed_by.push(server.into());
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
        match found {
            ServerSignatures::Good => Ok(()),
            ServerSignatures::Missing => Err(SignatureError::NotSigned { server: server.to_owned() }),
            ServerSignatures::Bad(key_id) => Err(SignatureError::BadSignature { server: server.to_owned(), key_id }),
        }
    }
}

/// The servers that must have signed an event.
fn signers<'a>(version: RoomVersion, pdu: &Pdu<'a>) -> Result<Servers<'a>, SignatureError> {
    let mut servers = Servers::default();
    let member = Some(pdu.member_facts()).filter(|_| pdu.is_type(EventType::Member));
    let is_third_party_invite =
        member.is_some_and(|member| member.membership() == Some(Membership::Invite) && member.has_third_party_invite());
    if !is_third_party_invite {
        pdu.sender_server().into_iter().for_each(|server| servers.push(server));
    }
    if version.rules().event_ids == EventIdFormat::InBody {
        let server = pdu.event_id_server().ok_or(PduError::Missing("event_id"))?;
        if Some(&server) != pdu.sender_server().as_ref() {
            servers.push(server);
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
        if let Some(server) = needed.iter().find(|server| !self.signed_by.contains(server)) {
            return Err(SignatureError::NotSigned { server: server.to_owned() });
        }
        let auth_events = self.formatted.auth_events().map(str::to_owned).collect();
        let prev_events = self.formatted.prev_events().map(str::to_owned).collect();
        let signed_by = self.signed_by().map(str::to_owned).collect();
        Ok(VerifiedPdu::Redacted(RedactedPdu { event, version, auth_events, prev_events, signed_by }))
    }

    /// The ID of the event.
    #[must_use]
    pub fn event_id(&self) -> &str {
        self.formatted.event_id()
    }

    /// The servers whose signatures were checked.
    pub fn signed_by(&self) -> impl ExactSizeIterator<Item = &str> {
        self.signed_by.iter()
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
