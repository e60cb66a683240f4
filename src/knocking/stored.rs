//! What is stored of an exchange, and how it is read again.
//!
//! Nothing that follows from something else is stored: the ID of an event, and the bytes that are signed, are computed anew.
//! So a stored exchange that somebody has changed is refused, or is another exchange; it never makes this server sign or send
//! anything but a membership of the user in the room, as the exchange is about.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::exchange::{Exchange, Purpose, Sent, State, Told};
use super::{Arriving, Knocking, Retracting};
use crate::event::{Draft, Event, EventType, FormatError, Membership, Pdu, PduError, SignError, SignedEvent};
use crate::id::{OwnedRoomId, OwnedServerName, OwnedUserId};
use crate::room_version::RoomVersion;
use crate::template::Details;

#[derive(Debug, Serialize, Deserialize)]
struct StoredExchange {
    purpose: Purpose,
    room_id: OwnedRoomId,
    user_id: OwnedUserId,
    details: Details,
    servers: Vec<OwnedServerName>,
    server: usize,
    state: StoredState,
    ticket: u32,
    #[serde(deserialize_with = "required")]
    failure: Option<Told>,
    #[serde(deserialize_with = "required")]
    silent: Option<usize>,
}

/// An option that has to be there: `null` is none, a missing one is lost.
pub(super) fn required<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredState {
    Making,
    Signing(StoredEvent),
    Sending(StoredEvent),
    Accepted(StoredEvent),
    Failed(Told, Option<StoredEvent>),
}

/// An event as text. (Not as the object that it is: it must come back byte for byte.)
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredEvent {
    version: RoomVersion,
    event: String,
}

/// Why what was stored is not an exchange.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoredError {
    #[error("the exchange is about something else")]
    Purpose,
    #[error("the server that is asked is not among the servers")]
    Server,
    #[error("a server was silent to an event that it was not sent")]
    Silent,
    #[error("the room state does not go with how far the knock is")]
    RoomState,
    #[error("the event is not the one that the exchange is about")]
    OtherEvent,
    #[error("the draft is not as it was written")]
    Draft,
    #[error("the event is not one of this exchange's: {0}")]
    Sign(#[from] SignError),
    #[error("the event is not one of this exchange's: {0}")]
    Format(#[from] FormatError),
}

impl From<PduError> for StoredError {
    fn from(error: PduError) -> Self {
        Self::Format(error.into())
    }
}

impl From<&Sent> for StoredEvent {
    fn from(sent: &Sent) -> Self {
        Self { version: sent.version, event: sent.event.text().to_owned() }
    }
}

impl TryFrom<StoredEvent> for Sent {
    type Error = StoredError;

    fn try_from(stored: StoredEvent) -> Result<Self, StoredError> {
        let StoredEvent { version, event } = stored;
        Pdu::parse(&event)?.check_format(version)?;
        // The content hash.
        Draft::prepare(version, &event)?;
        Ok(Self { version, event: SignedEvent::from_stored(version, event)? })
    }
}

impl Serialize for Exchange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        StoredExchange::from(self.clone()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Exchange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        StoredExchange::deserialize(deserializer)?.try_into().map_err(de::Error::custom)
    }
}

impl From<Exchange> for StoredExchange {
    fn from(exchange: Exchange) -> Self {
        let Exchange { purpose, room_id, user_id, details, servers, server, state, ticket, failure, silent } = exchange;
        let state = match &state {
            State::Making => StoredState::Making,
            State::Signing { version, draft } => {
                StoredState::Signing(StoredEvent { version: *version, event: draft.hashed() })
            }
            State::Sending(sent) => StoredState::Sending(sent.into()),
            State::Accepted(sent) => StoredState::Accepted(sent.into()),
            State::Failed(told, sent) => StoredState::Failed(told.clone(), sent.as_ref().map(StoredEvent::from)),
        };
        Self { purpose, room_id, user_id, details, servers, server, state, ticket, failure, silent }
    }
}

impl TryFrom<StoredExchange> for Exchange {
    type Error = StoredError;

    fn try_from(stored: StoredExchange) -> Result<Self, StoredError> {
        let StoredExchange { purpose, room_id, user_id, details, servers, server, state, ticket, failure, silent } =
            stored;
        let state = match state {
            StoredState::Making => State::Making,
            StoredState::Signing(StoredEvent { version, event }) => {
                let draft = Draft::prepare(version, &event)?;
                if draft.hashed() != event {
                    return Err(StoredError::Draft);
                }
                State::Signing { version, draft }
            }
            StoredState::Sending(sent) => State::Sending(sent.try_into()?),
            StoredState::Accepted(sent) => State::Accepted(sent.try_into()?),
            StoredState::Failed(told, sent) => State::Failed(told, sent.map(Sent::try_from).transpose()?),
        };
        let asks_nobody = matches!(state, State::Failed(..)) && server == 0;
        let is_server = |server: usize| server < servers.len();
        if !(is_server(server) || asks_nobody) {
            return Err(StoredError::Server);
        }
        let exchange = Self { purpose, room_id, user_id, details, servers, server, state, ticket, failure, silent };
        if !exchange.is_about_its_event()? {
            return Err(StoredError::OtherEvent);
        }
        let was_sent = matches!(exchange.state, State::Sending(_) | State::Accepted(_) | State::Failed(_, Some(_)));
        if silent.is_some_and(|silent| !was_sent || silent > server) {
            return Err(StoredError::Silent);
        }
        Ok(exchange)
    }
}

impl Exchange {
    /// Whether the event, if it is made, is what the exchange is about: this membership of the user in the room.
    fn is_about_its_event(&self) -> Result<bool, PduError> {
        let (version, text) = match &self.state {
            State::Making | State::Failed(_, None) => return Ok(true),
            State::Signing { version, draft } => (version, Cow::Owned(draft.hashed())),
            State::Sending(sent) | State::Accepted(sent) | State::Failed(_, Some(sent)) => {
                (&sent.version, Cow::Borrowed(sent.event.text()))
            }
        };
        let (versions, membership) = match &self.purpose {
            Purpose::Knock(versions) => (versions, Membership::Knock),
            Purpose::Leave(versions) => (versions, Membership::Leave),
        };
        let event = Pdu::parse(&text)?;
        Ok(versions.contains(version)
            && event.room_id() == Some(self.room_id().as_str())
            && event.is_type(EventType::Member)
            && event.sender() == self.user_id().as_str()
            && event.state_key() == Some(self.user_id().as_str())
            && event.member_facts().membership() == Some(membership))
    }
}

/// A [`Knocking`] as it is read.
#[derive(Deserialize)]
pub(super) struct StoredKnocking {
    exchange: Exchange,
    #[serde(deserialize_with = "required")]
    arrival: Option<Arriving>,
}

impl TryFrom<StoredKnocking> for Knocking {
    type Error = StoredError;

    fn try_from(stored: StoredKnocking) -> Result<Self, StoredError> {
        let StoredKnocking { exchange, arrival } = stored;
        match &exchange.purpose {
            Purpose::Knock(versions) if versions.iter().all(|version| version.rules().knocking) => {}
            Purpose::Knock(_) | Purpose::Leave(_) => return Err(StoredError::Purpose),
        }
        let is_accepted = matches!(exchange.state, State::Accepted(_));
        if is_accepted == arrival.is_some() { Ok(Self { exchange, arrival }) } else { Err(StoredError::RoomState) }
    }
}

/// A [`Retracting`] as it is read.
#[derive(Deserialize)]
pub(super) struct StoredRetracting {
    exchange: Exchange,
}

impl TryFrom<StoredRetracting> for Retracting {
    type Error = StoredError;

    fn try_from(stored: StoredRetracting) -> Result<Self, StoredError> {
        let StoredRetracting { exchange } = stored;
        match exchange.purpose {
            Purpose::Leave(_) => Ok(Self { exchange }),
            Purpose::Knock(_) => Err(StoredError::Purpose),
        }
    }
}

/// Stripped events with serde: as texts, so that none is nested deeper than the reader of what is stored can take.
pub(super) mod texts {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    use crate::stripped_state::StrippedEvent;

    pub(in crate::knocking) fn serialize<S: Serializer>(
        events: &[StrippedEvent],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(events.iter().map(StrippedEvent::text))
    }

    pub(in crate::knocking) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<StrippedEvent>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts.into_iter().map(|text| StrippedEvent::try_from(text).map_err(de::Error::custom)).collect()
    }
}
