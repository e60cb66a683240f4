//! What is stored of an exchange, and how it is read again.
//!
//! Nothing that follows from something else is stored: the ID of an event, and the bytes that are signed, are computed anew.
//! So a stored exchange that somebody has changed is refused, or is another exchange; it never makes this server sign what it
//! did not write.

use serde::{Deserialize, Serialize};

use super::exchange::{Exchange, Purpose, Sent, State};
use super::failure::Failure;
use crate::event::{Draft, PduError, SignError, SignedEvent};
use crate::id::{OwnedRoomId, OwnedServerName, OwnedUserId};
use crate::room_version::RoomVersion;
use crate::template::Details;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredExchange {
    purpose: Purpose,
    room_id: OwnedRoomId,
    user_id: OwnedUserId,
    details: Details,
    servers: Vec<OwnedServerName>,
    server: usize,
    state: StoredState,
    ticket: u32,
    failure: Option<Failure>,
    silent: Option<usize>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredState {
    Making,
    Signing(StoredEvent),
    Sending(StoredEvent),
    Accepted(StoredEvent),
    Failed(Failure, Option<StoredEvent>),
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
    #[error("the server that is asked is not among the servers")]
    Server,
    #[error("the event is not one of this exchange's: {0}")]
    Sign(#[from] SignError),
    #[error("the event is not one of this exchange's: {0}")]
    Event(#[from] PduError),
}

impl From<&Sent> for StoredEvent {
    fn from(sent: &Sent) -> Self {
        Self { version: sent.version, event: sent.event.text().to_owned() }
    }
}

impl TryFrom<StoredEvent> for Sent {
    type Error = StoredError;

    fn try_from(stored: StoredEvent) -> Result<Self, StoredError> {
        let event = SignedEvent::from_stored(stored.version, stored.event)?;
        Ok(Self { version: stored.version, event })
    }
}

impl From<Exchange> for StoredExchange {
    fn from(exchange: Exchange) -> Self {
        let Exchange { purpose, room_id, user_id, details, servers, server, state, ticket, failure, silent } = exchange;
        let state = match &state {
            State::Making => StoredState::Making,
            State::Signing { version, draft } => {
                StoredState::Signing(StoredEvent { version: *version, event: draft.hashed().to_owned() })
            }
            State::Sending(sent) => StoredState::Sending(sent.into()),
            State::Accepted(sent) => StoredState::Accepted(sent.into()),
            State::Failed(failure, sent) => StoredState::Failed(failure.clone(), sent.as_ref().map(StoredEvent::from)),
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
                State::Signing { version, draft: Draft::prepare(version, &event)? }
            }
            StoredState::Sending(sent) => State::Sending(sent.try_into()?),
            StoredState::Accepted(sent) => State::Accepted(sent.try_into()?),
            StoredState::Failed(failure, sent) => State::Failed(failure, sent.map(Sent::try_from).transpose()?),
        };
        let asks_nobody = matches!(state, State::Failed(..)) && server == 0;
        let is_server = |server: usize| server < servers.len();
        if !(is_server(server) || asks_nobody) || !silent.is_none_or(is_server) {
            return Err(StoredError::Server);
        }
        Ok(Self { purpose, room_id, user_id, details, servers, server, state, ticket, failure, silent })
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
