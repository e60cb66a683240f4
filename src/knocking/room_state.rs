//! The `knock_room_state` that comes back with an accepted knock, and the `invite_room_state` of an invite: what of it may be
//! shown to the user.
//!
//! It is what a stranger says of a room that this server is not in. Each event is verified by itself, so that nobody can put words
//! into another server's mouth; that it is all of the state, or the current one, nobody can know. So it is shown to the knocker and
//! used for nothing else: it is never room state, and changes nobody's membership.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv1send_knockroomideventid>

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::event::{
    Event, EventType, FormatError, FormattedPdu, Keys, Pdu, SignatureError, VerifiedPdu, Verify, room_id_of_create,
};
use crate::id::{OwnedServerName, RoomId, UserId};
use crate::json::{JsonError, Kind, Reader};
use crate::room_version::RoomVersion;
use crate::stripped_state::StrippedEvent;

/// The longest answer to `send_knock` that is looked at, in bytes: 8 MiB. Of a longer one no state is taken.
pub const MAX_ANSWER_BYTES: usize = 8 << 20;
/// The most entries that are looked at.
pub const MAX_ENTRIES: usize = 100;
/// The longest entry that is looked at, in bytes.
pub const MAX_ENTRY_BYTES: usize = 65_536;
/// The most keys that are asked for the sake of one entry: a server signs with one, or with two while it changes them.
const MAX_KEYS_PER_ENTRY: usize = 8;

/// Why an entry is not shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Dropped {
    /// It is beyond the first [`MAX_ENTRIES`].
    #[error("beyond the first {MAX_ENTRIES} entries")]
    Beyond,
    /// It is no event of the room's version. (The four keys of a client's stripped event are none either.)
    #[error("malformed event: {0}")]
    Format(#[from] FormatError),
    /// It has no state key.
    #[error("not a state event")]
    NotState,
    /// It is an event of another room. Since v12 a create event is of the room that its hash names.
    #[error("an event of another room")]
    OtherRoom,
    /// An entry before it, which is shown, has the same type and state key.
    #[error("another event with the same type and state key is shown")]
    Repeated,
    /// A signature is missing or wrong.
    #[error("{0}")]
    Signature(#[from] SignatureError),
    /// The content hash is wrong: what is left of the event would show nothing.
    #[error("the content hash is wrong")]
    ContentHash,
}

/// The entries of a `knock_room_state`, not verified yet.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReceivedRoomState {
    entries: Vec<Entry>,
    /// How many entries there are beyond those.
    beyond: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Entry {
    Text(String),
    /// So many bytes, more than are looked at.
    TooLarge(usize),
}

/// What has become of the entries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifiedRoomState {
    shown: Vec<StrippedEvent>,
    dropped: Vec<(usize, Dropped)>,
    /// The positions of the entries that were not looked at.
    beyond: std::ops::Range<usize>,
}

impl ReceivedRoomState {
    /// Takes the entries from the answer to `send_knock`. The knock is accepted by then: an answer that has none, or none that is a
    /// list, or is too long or breaks off, has no entries and is no error. An entry that is no JSON, or nested too deep, is one that
    /// is dropped: the others do not suffer for it.
    #[must_use]
    pub fn of_answer(answer: &str) -> Self {
        let mut found = None;
        let mut reader = Reader::new(answer);
        let mut read = || -> Result<(), JsonError> {
            if reader.kind()? != Kind::Object {
                return Ok(());
            }
            reader.object(|key, reader| {
                let value = reader.skip_unread()?;
                if key.is("knock_room_state") {
                    found = Some(value);
                }
                Ok(())
            })?;
            reader.end()
        };
        if answer.len() <= MAX_ANSWER_BYTES && read().is_ok() {
            found.map(Self::of_list).unwrap_or_default()
        } else {
            Self::default()
        }
    }

    /// Takes the entries of a JSON list; there are none in anything else.
    #[must_use]
    pub fn of_list(list: &str) -> Self {
        let mut state = Self::default();
        let mut reader = Reader::new(list);
        if list.len() > MAX_ANSWER_BYTES || reader.kind() != Ok(Kind::Array) {
            return state;
        }
        let read = reader.array(|reader| {
            state.push(reader.skip_unread()?);
            Ok(())
        });
        if read.and_then(|()| reader.end()).is_ok() { state } else { Self::default() }
    }

    /// Takes the entries one by one, each a JSON text.
    #[must_use]
    pub fn of_entries<'a>(entries: impl IntoIterator<Item = &'a str>) -> Self {
        let mut state = Self::default();
        entries.into_iter().for_each(|text| state.push(text));
        state
    }

    fn push(&mut self, text: &str) {
        if self.entries.len() >= MAX_ENTRIES {
            self.beyond = self.beyond.saturating_add(1);
        } else if text.len() > MAX_ENTRY_BYTES {
            self.entries.push(Entry::TooLarge(text.len()));
        } else {
            self.entries.push(Entry::Text(text.to_owned()));
        }
    }

    /// How many entries there are, those included that are not looked at.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len().saturating_add(self.beyond)
    }

    /// Whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The keys that are needed to verify the entries: their IDs by server. 8 for an entry at most.
    #[must_use]
    pub fn wanted_keys(&self, version: RoomVersion) -> BTreeMap<OwnedServerName, BTreeSet<String>> {
        let mut wanted: BTreeMap<OwnedServerName, BTreeSet<String>> = BTreeMap::new();
        for entry in &self.entries {
            let Ok(event) = entry.read(version) else { continue };
            let Ok(sender) = UserId::parse(event.pdu().sender()) else { continue };
            let server = sender.server_name();
            let key_ids = event.key_ids(server.as_str()).into_iter().take(MAX_KEYS_PER_ENTRY);
            wanted.entry(server.into_owned()).or_default().extend(key_ids);
        }
        wanted
    }

    /// Verifies the entries one by one. Those that hold are pruned for the client, the create event first; of two with the same type and
    /// state key the first one that holds is taken. `now` is the time in milliseconds since the Unix epoch.
    #[must_use]
    pub fn verify(
        &self,
        version: RoomVersion,
        room_id: RoomId<'_>,
        keys: &(impl Keys + ?Sized),
        verifier: &(impl Verify + ?Sized),
        now: u64,
    ) -> VerifiedRoomState {
        let mut arrival = VerifiedRoomState { beyond: self.entries.len()..self.len(), ..VerifiedRoomState::default() };
        let mut seen = BTreeSet::new();
        for (position, entry) in self.entries.iter().enumerate() {
            let verified = entry.read(version).and_then(|event| {
                let event = belonging(event, room_id)?;
                let place = (event.pdu().event_type().into_owned(), event.pdu().state_key().map(str::to_owned));
                if seen.contains(&place) {
                    return Err(Dropped::Repeated);
                }
                // A third-party invite needs no signature of its sender; to be shown in the sender's name it does.
                let signed = event.check_signatures_with_sender(keys, verifier, now)?;
                match signed.check_hash()? {
                    VerifiedPdu::Redacted(_) => Err(Dropped::ContentHash),
                    VerifiedPdu::Whole(whole) => {
                        seen.insert(place);
                        StrippedEvent::of(whole.pdu()).ok_or(Dropped::NotState)
                    }
                }
            });
            match verified {
                Ok(event) if is_create(&event) => arrival.shown.insert(0, event),
                Ok(event) => arrival.shown.push(event),
                Err(reason) => arrival.dropped.push((position, reason)),
            }
        }
        arrival
    }
}

impl Entry {
    fn read(&self, version: RoomVersion) -> Result<FormattedPdu<'_>, Dropped> {
        match self {
            Self::Text(text) => Ok(Pdu::parse(text).map_err(FormatError::Pdu)?.check_format(version)?),
            Self::TooLarge(bytes) => Err(FormatError::TooLarge { bytes: *bytes }.into()),
        }
    }
}

/// A state event of this room.
fn belonging<'a>(event: FormattedPdu<'a>, room_id: RoomId<'_>) -> Result<FormattedPdu<'a>, Dropped> {
    if event.pdu().state_key().is_none() {
        return Err(Dropped::NotState);
    }
    let of_create;
    let of_event = match event.pdu().room_id() {
        Some(room_id) => Some(room_id),
        // The format has seen to it that this is a create event of v12.
        None => {
            of_create = room_id_of_create(event.version(), event.event_id());
            of_create.as_deref()
        }
    };
    if of_event == Some(room_id.as_str()) { Ok(event) } else { Err(Dropped::OtherRoom) }
}

fn is_create(event: &StrippedEvent) -> bool {
    event.event_type() == EventType::Create.as_str() && event.state_key().is_empty()
}

impl VerifiedRoomState {
    /// What may be shown, the create event first, if there is one.
    #[must_use]
    pub fn shown(&self) -> &[StrippedEvent] {
        &self.shown
    }

    /// Whether the create event of the room is among what may be shown, as it has to be since v1.16 of the specification. Without it
    /// nothing binds the rest to the room but its room ID.
    #[must_use]
    pub fn has_create_event(&self) -> bool {
        self.shown.first().is_some_and(is_create)
    }

    /// The entries that are not shown, by their position from 0, and why.
    pub fn dropped(&self) -> impl Iterator<Item = (usize, &Dropped)> {
        let beyond = self.beyond.clone().map(|position| (position, &Dropped::Beyond));
        self.dropped.iter().map(|(position, reason)| (*position, reason)).chain(beyond)
    }
}
