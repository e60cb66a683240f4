//! What is left of a knock that is on its way or stands: for the host to store.

use serde::{Deserialize, Serialize};

use super::exchange::{Exchange, Sent, Told};
use super::failure::{Failure, Said};
use super::out_of_band::SentKnock;
use super::room_state::{ShowUnverified, Shown, ShownEvent};
use super::stored::{StoredError, StoredEvent};
use crate::error::ErrorResponse;
use crate::event::{Event, EventType, FormatError, Membership, Pdu, PduError, SignedEvent};
use crate::id::{EventId, IdError, OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, ServerName, UserId};
use crate::room_version::RoomVersion;
use crate::stripped_state::StrippedEvent;

/// A knock that another server has taken into the room, or perhaps has, and nobody has answered yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Stored", try_from = "Stored")]
pub struct PendingKnock {
    room_id: OwnedRoomId,
    user_id: OwnedUserId,
    version: RoomVersion,
    server: OwnedServerName,
    event: SignedEvent,
    shown: Shown,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    server: OwnedServerName,
    #[serde(flatten)]
    event: StoredEvent,
    shown: Shown,
}

impl From<PendingKnock> for Stored {
    fn from(knock: PendingKnock) -> Self {
        let sent = Sent { version: knock.version, event: knock.event };
        Self { server: knock.server, event: StoredEvent::from(&sent), shown: knock.shown }
    }
}

#[derive(Debug, thiserror::Error)]
enum NotStored {
    #[error(transparent)]
    Event(#[from] StoredError),
    #[error(transparent)]
    NotAKnock(#[from] NotAKnock),
}

impl TryFrom<Stored> for PendingKnock {
    type Error = NotStored;

    fn try_from(stored: Stored) -> Result<Self, NotStored> {
        let sent = Sent::try_from(stored.event)?;
        Ok(Self::of_event(sent, stored.server, stored.shown)?)
    }
}

/// Why an event is not a knock that could be pending.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAKnock {
    /// The room version has no knocking.
    #[error("no knocking in room version {0}")]
    NoKnocking(RoomVersion),
    /// It is not an event of the room version.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// It is not a user's own `m.room.member` event with the membership `knock`.
    #[error("the event is not a user's own knock")]
    NotOwnKnock,
    /// A user, room or event ID is malformed.
    #[error("an ID of the event {0}")]
    Id(#[from] IdError),
}

impl PendingKnock {
    /// Creates a pending knock from what a host has stored of it: the event as it went between servers, the server that took
    /// it, and the state that came with the answer. For knocks that were made by other software.
    ///
    /// The format of the event is checked; its signature is not, since it is this server's own. Of the state that is not
    /// verified, what must not be shown is left out: member events, since v12 create events, and those that have a verified
    /// twin of the same type and state key.
    ///
    /// # Errors
    ///
    /// [`NotAKnock`] if the event is not a knock of the room version.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "ed25519")] {
    /// use matrix_knock::RoomVersion;
    /// use matrix_knock::event::{Ed25519Key, sign_event};
    /// use matrix_knock::id::ServerName;
    /// use matrix_knock::knocking::PendingKnock;
    ///
    /// let event = r#"{"type":"m.room.member","sender":"@kay:b.example","state_key":"@kay:b.example","room_id":"!r:a.example",
    ///     "content":{"membership":"knock"},"auth_events":["$create","$rules"],"prev_events":["$name"],"depth":7,
    ///     "origin_server_ts":1700000000000}"#;
    /// let key = Ed25519Key::from_seed("ed25519:1", &[7; 32])?;
    /// let stored = sign_event(RoomVersion::V10, event, ServerName::parse("b.example")?, &key)?.into_text();
    ///
    /// let server = ServerName::parse("a.example")?;
    /// let knock = PendingKnock::of_stored(RoomVersion::V10, &stored, server, Vec::new())?;
    /// assert_eq!(knock.user_id(), "@kay:b.example");
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of_stored(
        version: RoomVersion,
        event: &str,
        server: ServerName<'_>,
        shown: impl IntoIterator<Item = ShownEvent>,
    ) -> Result<Self, NotAKnock> {
        let formatted = Pdu::parse(event).map_err(FormatError::Pdu)?.check_format(version)?;
        let event = formatted.pdu().to_federation(version).map_err(PduError::Json).map_err(FormatError::Pdu)?;
        let event = SignedEvent::from_stored(version, event).map_err(FormatError::Pdu)?;
        let (verified, unverified): (Vec<_>, Vec<_>) = shown.into_iter().partition(|shown| shown.is_verified);
        let events = |shown: Vec<ShownEvent>| shown.into_iter().map(StrippedEvent::from).collect();
        let shown = Shown { verified: events(verified), unverified: events(unverified) };
        Self::of_event(Sent { version, event }, server.into_owned(), shown)
    }

    fn of_event(sent: Sent, server: OwnedServerName, shown: Shown) -> Result<Self, NotAKnock> {
        let Sent { version, event } = sent;
        if !version.rules().knocking {
            return Err(NotAKnock::NoKnocking(version));
        }
        let pdu = event.pdu().map_err(FormatError::Pdu)?;
        let is_own = pdu.is_type(EventType::Member) && pdu.state_key() == Some(pdu.sender());
        if !is_own || pdu.member_facts().membership() != Some(Membership::Knock) {
            return Err(NotAKnock::NotOwnKnock);
        }
        let room_id = OwnedRoomId::parse(pdu.room_id().unwrap_or_default())?;
        let user_id = OwnedUserId::parse(pdu.sender())?;
        EventId::parse(event.event_id())?;
        Ok(Self { room_id, user_id, version, server, event, shown: shown.checked(version) })
    }

    pub(super) fn of_exchange(exchange: &Exchange, server: ServerName<'_>, sent: &Sent, shown: Shown) -> Self {
        Self {
            room_id: exchange.room_id().into_owned(),
            user_id: exchange.user_id().into_owned(),
            version: sent.version,
            server: server.into_owned(),
            event: sent.event.clone(),
            shown,
        }
    }

    /// Returns the room.
    #[must_use]
    pub const fn room_id(&self) -> RoomId<'_> {
        self.room_id.as_borrowed()
    }

    /// Returns the knocker.
    #[must_use]
    pub const fn user_id(&self) -> UserId<'_> {
        self.user_id.as_borrowed()
    }

    /// Returns the version of the room, as the resident server said it.
    #[must_use]
    pub const fn version(&self) -> RoomVersion {
        self.version
    }

    /// Returns the server that took the knock: the first to ask when it is taken back.
    #[must_use]
    pub const fn server(&self) -> ServerName<'_> {
        self.server.as_borrowed()
    }

    /// Returns the ID of the knock.
    #[must_use]
    pub fn event_id(&self) -> &str {
        self.event.event_id()
    }

    /// Returns the knock itself.
    #[must_use]
    pub const fn event(&self) -> &SignedEvent {
        &self.event
    }

    /// Returns the knock as answers to it are compared with. `current` is the event that is the user's membership in the room
    /// now, as this server knows it: another than the knock means that the knock is over.
    #[must_use]
    pub fn sent(&self, current: Option<EventId<'_>>) -> SentKnock<'_> {
        let event_id = EventId::checked(self.event.event_id());
        SentKnock {
            room_id: self.room_id(),
            user_id: self.user_id(),
            event_id,
            version: self.version,
            current: current.filter(|current| *current == event_id).map(|_| event_id),
            through: Some(self.server()),
        }
    }

    /// Returns what the client is shown: the state that came with the answer, the create event first, and the user's own
    /// knock, last. `unverified` is the host's choice for the events that nobody has signed.
    ///
    /// Leaves out member events of the user that other servers sent.
    #[must_use]
    pub fn knock_state(&self, unverified: ShowUnverified) -> Vec<ShownEvent> {
        let own = self.event.pdu().ok().and_then(|event| StrippedEvent::of(&event));
        self.shown.to_client(self.version, self.user_id(), own, unverified)
    }
}

/// How a knock ended that is not pending for certain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{failure}")]
pub struct Failed {
    /// What to tell the client.
    pub failure: Failure,
    /// The knock, if a server was sent it and never said what became of it: it may stand in the room all the same. An answer
    /// to it may come, and it can be taken back.
    #[serde(deserialize_with = "super::stored::required")]
    pub perhaps: Option<PendingKnock>,
    said: Said,
}

impl Failed {
    pub(super) fn new(told: &Told, perhaps: Option<PendingKnock>) -> Self {
        Self { failure: told.failure.clone(), perhaps, said: told.said.clone() }
    }

    /// Returns what the server whose failure it is says to people: a text of anybody's, of 4,096 bytes at most.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.said.error()
    }

    /// Returns the other properties of that server's error, a JSON object, if there are any (at most
    /// [`MAX_EXTRA_BYTES`](crate::error::MAX_EXTRA_BYTES)).
    #[must_use]
    pub fn extra(&self) -> Option<&str> {
        self.said.extra()
    }

    /// Returns the answer to the client: that of the [failure](Failure::to_response), with what the server said in place of
    /// our text, and with its other properties. A host that does not pass on what other servers say takes the former.
    #[must_use]
    pub fn to_response(&self) -> ErrorResponse {
        self.said.add_to(&self.failure)
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self { failure, perhaps: None, said: Said::default() }
    }
}

impl From<Failed> for ErrorResponse {
    fn from(failed: Failed) -> Self {
        failed.to_response()
    }
}
