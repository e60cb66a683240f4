//! An invite of a user of this server into a room that this server is perhaps not in: the answer to a knock, or a surprise.
//!
//! ```text
//! InviteRequest ── check ──▶ CheckedInvite ── verify ──▶ VerifiedInvite ── decide ──▶ ApprovedInvite ── countersign ──▶ AcceptedInvite
//! ```
//!
//! Each step consumes the last: nothing is signed before every check. What was decided for [`knock_room_state`](super::room_state)
//! holds for the `invite_room_state` as well.
//!
//! | before | the host | and if it cannot |
//! | --- | --- | --- |
//! | `parse` | authenticates the request (X-Matrix); that server is the `origin` | 401, not of this crate |
//! | `verify` | fetches the keys of [`wanted_keys`](CheckedInvite::wanted_keys) | goes on without: [`InviteRefusal::Signature`] |
//! | `decide` | finds the user's pending knock ([`acceptance`](VerifiedInvite::acceptance)), and what the user blocks | an [`InviteDecision`] |
//! | | if it is in the room: whether the ACL [allows](crate::auth::server_is_allowed) the inviting server | [`InviteDecision::Forbidden`] |
//! | the answer | stores the invite as the user's membership, out of band if it is not in the room, and tells the client | 500 |
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv2inviteroomideventid>

mod refusal;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use self::refusal::{InviteMismatch, InviteRefusal, RoomStateFault};
use super::exchange::Sent;
use super::out_of_band::{Acceptance, NoAnswer, SentKnock};
use super::room_state::{
    Dropped, MAX_ANSWER_BYTES, MAX_ENTRIES, ReceivedRoomState, ShowUnverified, Shown, ShownEvent, VerifiedRoomState,
};
use super::stored::{StoredError, StoredEvent};
use crate::error::ErrorResponse;
use crate::event::content::create::room_version;
use crate::event::{
    Event, EventType, FormattedPdu, Keys, MAX_EVENT_BYTES, Membership, Pdu, Sign, SignedEvent, VerifiedPdu, Verify,
    WholePdu, with_signature,
};
use crate::id::{MAX_ID_BYTES, OwnedServerName, RoomId, ServerName, UserId};
use crate::json::{Field, Kind, Reader, read_field, read_object_unread};
use crate::path::{self, EventRequest};
use crate::room_version::RoomVersion;
use crate::stripped_state::StrippedEvent;
use crate::wire::HttpRequest;

/// The longest body of an invite that is looked at, in bytes: 8 MiB.
pub const MAX_INVITE_BYTES: usize = MAX_ANSWER_BYTES;

/// A request with an invite, authenticated: `PUT /_matrix/federation/v2/invite/{roomId}/{eventId}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InviteRequest<'q>(EventRequest<'q>);

impl<'q> InviteRequest<'q> {
    /// Creates the request from its parts: the room and the event ID of the path, percent-decoded; the server that asks, as
    /// its request was authenticated; the body.
    #[must_use]
    pub fn new(
        room_id: RoomId<'q>,
        event_id: impl Into<Cow<'q, str>>,
        origin: ServerName<'q>,
        body: impl Into<Cow<'q, str>>,
    ) -> Self {
        Self(EventRequest::new(room_id, event_id.into(), origin, body.into()))
    }

    /// Reads the request as it came. `origin` is the server that asks, as its request was authenticated.
    ///
    /// # Errors
    ///
    /// [`InviteRefusal::Path`], [`InviteRefusal::NotUtf8`].
    pub fn parse(origin: ServerName<'q>, request: HttpRequest<'q>) -> Result<Self, InviteRefusal> {
        let path = path::parse("PUT", "invite", &["v2"], request)?;
        let body = std::str::from_utf8(request.body).map_err(|_| InviteRefusal::NotUtf8)?;
        Ok(Self(EventRequest::of_path(path, origin, body)))
    }

    /// Copies what is borrowed.
    #[must_use]
    pub fn into_owned(self) -> InviteRequest<'static> {
        InviteRequest(self.0.into_owned())
    }

    /// Checks all that can be checked without keys. `own` is the name of this server, `supported` the room versions that it
    /// has.
    ///
    /// # Errors
    ///
    /// [`InviteRefusal`], by the first thing that is wrong.
    pub fn check(&self, own: ServerName<'_>, supported: &[RoomVersion]) -> Result<CheckedInvite<'_>, InviteRefusal> {
        let Self(request) = self;
        let body = Body::read(&request.body)?;
        let version = RoomVersion::parse_among(&body.room_version, supported)
            .map_err(|_| InviteRefusal::IncompatibleRoomVersion(body.room_version.into_owned()))?;
        let formatted = Pdu::parse(body.event)?.check_format(version)?;
        if !formatted.leaves_depth() {
            return Err(InviteRefusal::TooDeep);
        }
        let pdu = formatted.pdu();
        if formatted.event_id() != request.event_id {
            return Err(InviteMismatch::EventId.into());
        }
        if pdu.room_id() != Some(&*request.room_id) {
            return Err(InviteMismatch::RoomId.into());
        }
        // Since version 12 room IDs have no server name.
        let has_server_name = RoomId::checked(&request.room_id).server_name().is_some();
        if has_server_name == version.rules().create_event_is_room_id {
            return Err(InviteMismatch::RoomVersion.into());
        }
        if !pdu.is_type(EventType::Member) {
            return Err(InviteMismatch::EventType.into());
        }
        if pdu.member_facts().membership() != Some(Membership::Invite) {
            return Err(InviteMismatch::Membership.into());
        }
        // The format has seen to it that the sender is a user ID.
        if UserId::parse(pdu.sender()).map(UserId::server_name) != Ok(ServerName::checked(&request.origin)) {
            return Err(InviteMismatch::Sender.into());
        }
        let target = pdu.state_key().and_then(|target| UserId::parse(target).ok());
        if target.is_none_or(|target| target.server_name() != own) {
            return Err(InviteMismatch::StateKey.into());
        }
        let room_state = body.invite_room_state.map(ReceivedRoomState::of_list);
        Ok(CheckedInvite { formatted, room_state })
    }
}

/// What is read of the body.
struct Body<'a> {
    room_version: Cow<'a, str>,
    event: &'a str,
    invite_room_state: Option<&'a str>,
}

impl<'a> Body<'a> {
    fn read(text: &'a str) -> Result<Self, InviteRefusal> {
        if text.len() > MAX_INVITE_BYTES {
            return Err(InviteRefusal::TooLarge);
        }
        check_is_object(text)?;
        let (mut room_version, mut event, mut state) = (Field::Missing, Field::Missing, Field::Missing);
        read_object_unread(text, |key, value| match () {
            () if key.is("room_version") => room_version.put(Field::Is(value)),
            () if key.is("event") => event.put(Field::Is(value)),
            () if key.is("invite_room_state") => state.put(Field::Is(value)),
            () => {}
        })
        .map_err(InviteRefusal::Body)?;
        let malformed = InviteRefusal::Malformed;
        let missing = InviteRefusal::Missing;
        let room_version = room_version.optional(malformed("room_version"))?.ok_or(missing("room_version"))?;
        let room_version =
            read_field(room_version, Reader::string_field).known().ok_or(malformed("room_version"))?.text();
        // It goes into the answer and the log.
        if room_version.len() > MAX_ID_BYTES {
            return Err(malformed("room_version"));
        }
        let event = event.optional(malformed("event"))?.ok_or(missing("event"))?;
        let invite_room_state = state.optional(malformed("invite_room_state"))?;
        Ok(Self { room_version, event, invite_room_state })
    }
}

/// Other JSON than an object is told apart from what is no JSON.
fn check_is_object(text: &str) -> Result<(), InviteRefusal> {
    let mut reader = Reader::new(text);
    if reader.kind().map_err(InviteRefusal::Body)? == Kind::Object {
        return Ok(());
    }
    reader.skip_value().and_then(|()| reader.end()).map_err(InviteRefusal::Body)?;
    Err(InviteRefusal::NotAnObject)
}

/// An invite that is what the request says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedInvite<'q> {
    formatted: FormattedPdu<'q>,
    /// `None` if the request has none.
    room_state: Option<ReceivedRoomState>,
}

impl<'q> CheckedInvite<'q> {
    /// Returns the keys that are needed: their IDs by server, 8 at most for the invite and for each entry of the state.
    /// [`verify`](Self::verify) needs at least one of the inviting server.
    #[must_use]
    pub fn wanted_keys(&self) -> BTreeMap<OwnedServerName, BTreeSet<String>> {
        let version = self.formatted.version();
        let mut wanted = self.room_state.as_ref().map(|state| state.wanted_keys(version)).unwrap_or_default();
        for (server, key_ids) in self.formatted.wanted_keys() {
            wanted.entry(server).or_default().extend(key_ids);
        }
        wanted
    }

    /// Checks the signature of the inviting server, the content hash, and the `invite_room_state`. `now` is the time in
    /// milliseconds since the Unix epoch.
    ///
    /// Of the state, what is wrong is left out, and what is beyond the first [`MAX_ENTRIES`]. Since
    /// version 12 of a room it also refuses the invite; before, it is a
    /// [warning](VerifiedInvite::warnings), since older servers send stripped events.
    ///
    /// # Errors
    ///
    /// [`InviteRefusal::Signature`], [`InviteRefusal::ContentHash`], [`InviteRefusal::RoomState`];
    /// [`InviteMismatch::RoomVersion`] if the create event says that the room is of another version.
    pub fn verify(
        self,
        keys: &(impl Keys + ?Sized),
        verifier: &(impl Verify + ?Sized),
        now: u64,
    ) -> Result<VerifiedInvite<'q>, InviteRefusal> {
        let version = self.formatted.version();
        // That of the sender is asked for in a third-party invite too: the inviting server is the sender's.
        let signed = self.formatted.check_signatures_with_sender(keys, verifier, now)?;
        let invite = match signed.check_hash()? {
            VerifiedPdu::Whole(invite) => invite,
            VerifiedPdu::Redacted(_) => return Err(InviteRefusal::ContentHash),
        };
        let room_id = RoomId::checked(invite.pdu().room_id().unwrap_or_default());
        let room_state = match &self.room_state {
            Some(state) => state.verify(version, room_id, keys, verifier, now),
            None => VerifiedRoomState::default(),
        };
        let create = room_state.shown().first().filter(|_| room_state.has_create_event());
        if create.and_then(|create| room_version(create.content())).is_some_and(|of_room| of_room != version.as_str()) {
            return Err(InviteMismatch::RoomVersion.into());
        }
        let warnings = faults(self.room_state.is_some(), &room_state);
        match warnings.first() {
            Some(fault) if version.rules().create_event_is_room_id => Err(InviteRefusal::RoomState(fault.clone())),
            Some(_) | None => Ok(VerifiedInvite { invite, room_state, warnings }),
        }
    }
}

/// What the specification wants otherwise of an `invite_room_state`.
fn faults(is_there: bool, state: &VerifiedRoomState) -> Vec<RoomStateFault> {
    if !is_there {
        return vec![RoomStateFault::Missing];
    }
    let create = (!state.has_create_event()).then_some(RoomStateFault::NoCreateEvent);
    let entries = state.dropped().filter_map(|(index, reason)| match reason {
        // These are left out, and nothing is wrong with them.
        Dropped::Repeated | Dropped::TooDeep => None,
        // Nobody has looked at them. The first stands for all.
        Dropped::Beyond if index > MAX_ENTRIES => None,
        reason => Some(RoomStateFault::Entry { index, reason: reason.clone() }),
    });
    let unsigned = (!state.unverified().is_empty()).then_some(RoomStateFault::Stripped);
    create.into_iter().chain(entries).chain(unsigned).collect()
}

/// The host's decision on an invite.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InviteDecision {
    /// Nothing against it.
    Admit,
    /// The user has blocked such invites: 403 `M_INVITE_BLOCKED`. One that [answers the user's own
    /// knock](VerifiedInvite::acceptance) is expected.
    Blocked,
    /// The server does not allow it, or the ACL of a room that it is in does not: 403 `M_FORBIDDEN`.
    Forbidden,
    /// An error of the host's own.
    Refuse(Box<ErrorResponse>),
}

/// An invite whose signature and content hash are valid, and the host is to decide on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedInvite<'q> {
    invite: WholePdu<'q>,
    room_state: VerifiedRoomState,
    warnings: Vec<RoomStateFault>,
}

impl<'q> VerifiedInvite<'q> {
    /// Returns the invite. It knows its ID.
    #[must_use]
    pub const fn event(&self) -> &Pdu<'q> {
        self.invite.pdu()
    }

    /// Returns the proof that the invite is whole.
    #[must_use]
    pub const fn pdu(&self) -> &WholePdu<'q> {
        &self.invite
    }

    /// Returns the version of the room, by the inviting server's word.
    #[must_use]
    pub const fn version(&self) -> RoomVersion {
        self.invite.signed().version()
    }

    /// Returns who is invited.
    #[must_use]
    pub fn target(&self) -> UserId<'_> {
        // The check has seen to it that it is a user ID.
        UserId::checked(self.invite.pdu().state_key().unwrap_or_default())
    }

    /// Returns what came of the `invite_room_state`.
    #[must_use]
    pub const fn room_state(&self) -> &VerifiedRoomState {
        &self.room_state
    }

    /// Returns what the specification wants otherwise of the `invite_room_state`, for the log. Nothing since version 12:
    /// there it refuses the invite.
    #[must_use]
    pub fn warnings(&self) -> &[RoomStateFault] {
        &self.warnings
    }

    /// Returns how the invite answers this knock of the user.
    ///
    /// # Errors
    ///
    /// [`NoAnswer`]: it does not.
    pub fn acceptance(&self, knock: &SentKnock<'_>) -> Result<Acceptance, NoAnswer> {
        knock.acceptance(&self.invite)
    }

    /// Takes the host's decision.
    ///
    /// # Errors
    ///
    /// The refusal that the host decided on.
    pub fn decide(self, decision: InviteDecision) -> Result<ApprovedInvite<'q>, InviteRefusal> {
        match decision {
            InviteDecision::Admit => Ok(ApprovedInvite(self)),
            InviteDecision::Blocked => Err(InviteRefusal::Blocked),
            InviteDecision::Forbidden => Err(InviteRefusal::Forbidden),
            InviteDecision::Refuse(response) => Err(InviteRefusal::ByHost(response)),
        }
    }
}

/// An invite that this server lets its user have.
///
/// Nothing else is signed. This compiles:
///
/// ```
/// # use matrix_knock::event::Sign;
/// # use matrix_knock::knocking::invitation::{AcceptedInvite, ApprovedInvite, InviteRefusal};
/// fn signed(invite: ApprovedInvite<'_>, signer: &impl Sign) -> Result<AcceptedInvite, InviteRefusal> {
///     invite.countersign(signer)
/// }
/// ```
///
/// With what the host has not decided on, a `VerifiedInvite`, it does not:
///
/// ```compile_fail,E0599
/// # use matrix_knock::event::Sign;
/// # use matrix_knock::knocking::invitation::{AcceptedInvite, InviteRefusal, VerifiedInvite};
/// fn signed(invite: VerifiedInvite<'_>, signer: &impl Sign) -> Result<AcceptedInvite, InviteRefusal> {
///     invite.countersign(signer)
/// }
/// ```
///
/// nor with what is not verified, a `CheckedInvite`,
///
/// ```compile_fail,E0599
/// # use matrix_knock::event::Sign;
/// # use matrix_knock::knocking::invitation::{AcceptedInvite, CheckedInvite, InviteRefusal};
/// fn signed(invite: CheckedInvite<'_>, signer: &impl Sign) -> Result<AcceptedInvite, InviteRefusal> {
///     invite.countersign(signer)
/// }
/// ```
///
/// nor with the request as it came:
///
/// ```compile_fail,E0599
/// # use matrix_knock::event::Sign;
/// # use matrix_knock::knocking::invitation::{AcceptedInvite, InviteRefusal, InviteRequest};
/// fn signed(invite: InviteRequest<'_>, signer: &impl Sign) -> Result<AcceptedInvite, InviteRefusal> {
///     invite.countersign(signer)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovedInvite<'q>(VerifiedInvite<'q>);

impl ApprovedInvite<'_> {
    /// Signs the invite: the same event, with one signature more.
    ///
    /// # Errors
    ///
    /// [`InviteRefusal::TooLarge`] if it is too large with the signature.
    pub fn countersign(self, signer: &(impl Sign + ?Sized)) -> Result<AcceptedInvite, InviteRefusal> {
        let (version, event) = (self.0.version(), self.0.invite.signed().formatted());
        let text = event.pdu().to_federation(version).map_err(InviteRefusal::Body)?;
        let signature = signer.sign(event.essential().as_bytes());
        let signed = with_signature(&text, self.0.target().server_name(), signer.key_id(), &signature);
        let signed = signed.map_err(InviteRefusal::Body)?;
        if signed.len() > MAX_EVENT_BYTES {
            return Err(InviteRefusal::TooLarge);
        }
        let event = SignedEvent::from_stored(version, signed)?;
        Ok(AcceptedInvite { sent: Sent { version, event }, shown: self.0.room_state.into() })
    }
}

/// An invite that this server has signed: for the host to answer, to store (serde), and to show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Stored", try_from = "Stored")]
pub struct AcceptedInvite {
    sent: Sent,
    shown: Shown,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(flatten)]
    event: StoredEvent,
    shown: Shown,
}

impl From<AcceptedInvite> for Stored {
    fn from(invite: AcceptedInvite) -> Self {
        Self { event: StoredEvent::from(&invite.sent), shown: invite.shown }
    }
}

impl TryFrom<Stored> for AcceptedInvite {
    type Error = StoredError;

    fn try_from(stored: Stored) -> Result<Self, StoredError> {
        let sent: Sent = stored.event.try_into()?;
        let pdu = sent.event.pdu()?;
        let is_invite = pdu.is_type(EventType::Member) && pdu.member_facts().membership() == Some(Membership::Invite);
        if !is_invite || pdu.state_key().is_none_or(|target| UserId::parse(target).is_err()) {
            return Err(StoredError::OtherEvent);
        }
        drop(pdu);
        let shown = stored.shown.checked(sent.version);
        Ok(Self { sent, shown })
    }
}

impl AcceptedInvite {
    /// Returns the invite with the signatures of both servers.
    #[must_use]
    pub const fn event(&self) -> &SignedEvent {
        &self.sent.event
    }

    /// Returns the version of the room, by the inviting server's word.
    #[must_use]
    pub const fn version(&self) -> RoomVersion {
        self.sent.version
    }

    /// Returns the body of the answer: the event with this server's signature.
    #[must_use]
    pub fn to_response(&self) -> String {
        format!(r#"{{"event":{}}}"#, self.event().text())
    }

    /// Returns what the client is shown under `rooms.invite`: the state that came with the invite, the create event first, and
    /// the invite itself, last. `unverified` is the host's choice for the events that nobody has signed.
    #[must_use]
    pub fn invite_state(&self, unverified: ShowUnverified) -> Vec<ShownEvent> {
        let Ok(event) = self.event().pdu() else { return Vec::new() };
        let target = UserId::checked(event.state_key().unwrap_or_default());
        self.shown.to_client(self.version(), target, StrippedEvent::of(&event), unverified)
    }
}
