//! The `knock_room_state` that comes back with an accepted knock, and the `invite_room_state` of an invite: what of it may be
//! shown to the user.
//!
//! It is what another server says of a room that this server is not in. Each event is verified by itself, so that nobody can
//! speak for another server; whether it is all of the state, or the current one, nobody can know. So it is shown to the user
//! and used for nothing else: it is never room state, and changes nobody's membership.
//!
//! An event whose content hash is wrong under a right signature is shown redacted, as the specification has it: a room may
//! have redacted its name.
//!
//! Since v1.16 of the specification the entries are whole events. Servers of before send stripped events of four keys, which
//! nobody has signed. These are [`unverified`](VerifiedRoomState::unverified): the host chooses whether its users see them
//! ([`ShowUnverified`]), and each entry that is shown says whether it is verified.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv1send_knockroomideventid>

mod shown;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub(super) use self::shown::Shown;
use crate::event::{
    Event, EventType, FormatError, FormattedPdu, Keys, Pdu, SignatureError, VerifiedPdu, Verify, room_id_of_create,
    signed_len, without_unsigned,
};
use crate::id::{OwnedServerName, RoomId};
use crate::json::{read_array_unread, read_object_unread};
use crate::room_version::RoomVersion;
use crate::stripped_state::{MAX_SHOWN_DEPTH, StrippedEvent};

/// The longest answer to `send_knock` that is looked at, in bytes: 8 MiB. Of a longer one no state is taken.
pub const MAX_ANSWER_BYTES: usize = 8 << 20;
/// The most entries that are looked at.
pub const MAX_ENTRIES: usize = 100;
/// The longest entry without `unsigned` that is looked at, in bytes.
pub const MAX_ENTRY_BYTES: usize = 65_536;

/// Why an entry is not shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Dropped {
    /// It is beyond the first [`MAX_ENTRIES`].
    #[error("beyond the first {MAX_ENTRIES} entries")]
    Beyond,
    /// It is neither an event of the room's version nor a stripped event of four keys.
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
    /// It is a create event of four keys in a room whose ID is the hash of its create event (v12): nothing says that it is the
    /// one.
    #[error("an unverified create event")]
    UnverifiedCreate,
    /// It is a member event of four keys: nobody but the user's server says what a user's membership is.
    #[error("an unverified member event")]
    UnverifiedMember,
    /// It is nested deeper than [`MAX_SHOWN_DEPTH`].
    #[error("nested deeper than {MAX_SHOWN_DEPTH} levels")]
    TooDeep,
}

/// Whether users are shown the entries that nobody has signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ShowUnverified {
    /// In rooms of versions 1 to 11, whose servers may be older than the rule that the entries are whole events.
    #[default]
    BeforeV12,
    /// In all rooms.
    Always,
    /// In no room.
    Never,
}

/// An event to be shown to a client, and whether its sender's server has signed it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ShownEvent {
    /// The event.
    pub event: StrippedEvent,
    /// Whether it was verified. If not, any server on the way may have made it up.
    pub is_verified: bool,
}

impl From<ShownEvent> for StrippedEvent {
    fn from(shown: ShownEvent) -> Self {
        shown.event
    }
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
    unverified: Vec<StrippedEvent>,
    dropped: Vec<(usize, Dropped)>,
    /// The positions of the entries that were not looked at.
    beyond: std::ops::Range<usize>,
}

impl ReceivedRoomState {
    /// Takes the entries from the answer to `send_knock`. A missing or malformed list counts as empty, and so does an answer that
    /// is too long or breaks off: the knock is already accepted. An entry that is not JSON, or nested too deep, costs itself only.
    #[must_use]
    pub fn of_answer(answer: &str) -> Self {
        let mut found = None;
        if answer.len() > MAX_ANSWER_BYTES {
            return Self::default();
        }
        let read = read_object_unread(answer, |key, value| {
            if key.is("knock_room_state") {
                found = Some(value);
            }
        });
        read.ok().and(found).map(Self::of_list).unwrap_or_default()
    }

    /// Takes the entries of a JSON list; there are none in anything else.
    #[must_use]
    pub fn of_list(list: &str) -> Self {
        let mut state = Self::default();
        if list.len() > MAX_ANSWER_BYTES {
            return state;
        }
        let read = read_array_unread(list, |text| state.push(text));
        if read.is_ok() { state } else { Self::default() }
    }

    /// Takes the entries one by one, each a JSON text.
    #[must_use]
    pub fn of_entries<'a>(entries: impl IntoIterator<Item = &'a str>) -> Self {
        let mut state = Self::default();
        entries.into_iter().for_each(|text| state.push(text));
        state
    }

    fn push(&mut self, text: &str) {
        match self.entries.len() {
            0..MAX_ENTRIES => self.entries.push(Entry::of(text)),
            _ => self.beyond = self.beyond.saturating_add(1),
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
            let Ok(Outline::Whole(pdu)) = entry.outline() else { continue };
            let Some((server, key_ids)) = pdu.key_ids_of_sender(version) else { continue };
            wanted.entry(server).or_default().extend(key_ids);
        }
        wanted
    }

    /// Verifies the entries one by one. Those that hold are pruned for the client, the create event first; if several have the
    /// same type and state key, the first one that holds is taken. `now` is the time in milliseconds since the Unix epoch.
    #[must_use]
    pub fn verify(
        &self,
        version: RoomVersion,
        room_id: RoomId<'_>,
        keys: &(impl Keys + ?Sized),
        verifier: &(impl Verify + ?Sized),
        now: u64,
    ) -> VerifiedRoomState {
        let mut verified = VerifiedRoomState { beyond: self.entries.len()..self.len(), ..VerifiedRoomState::default() };
        let mut stripped = Vec::new();
        for (position, entry) in self.entries.iter().enumerate() {
            let entry = entry.outline().and_then(|outline| match outline {
                Outline::Whole(pdu) => verified.verify(pdu.check_format(version)?, room_id, keys, verifier, now),
                Outline::Stripped(event) => {
                    stripped.push((position, event));
                    Ok(())
                }
            });
            verified.drop_if(position, entry);
        }
        for (position, event) in stripped {
            let entry = verified.take_unverified(version, event);
            verified.drop_if(position, entry);
        }
        verified.dropped.sort_by_key(|(position, _)| *position);
        verified
    }
}

/// What an entry is.
#[expect(clippy::large_enum_variant, reason = "nearly all are whole: an allocation for each would be a waste")]
enum Outline<'a> {
    Whole(Pdu<'a>),
    /// Four keys.
    Stripped(StrippedEvent),
}

impl Entry {
    fn of(text: &str) -> Self {
        if text.len() <= MAX_ENTRY_BYTES {
            return Self::Text(text.to_owned());
        }
        // Nobody signs `unsigned`: it is no part of the event.
        match signed_len(text) {
            0..=MAX_ENTRY_BYTES => Self::Text(without_unsigned(text)),
            bytes => Self::TooLarge(bytes),
        }
    }

    fn outline(&self) -> Result<Outline<'_>, Dropped> {
        let text = match self {
            Self::Text(text) => text,
            Self::TooLarge(bytes) => return Err(FormatError::TooLarge { bytes: *bytes }.into()),
        };
        let pdu = Pdu::parse(text).map_err(FormatError::Pdu)?;
        // An event that has nothing of what makes a whole event is a stripped one, whatever else it
        // has.
        if !pdu.has_any_of(&["auth_events", "depth", "hashes", "prev_events", "signatures"]) {
            if pdu.state_key().is_none() {
                return Err(Dropped::NotState);
            }
            let event = StrippedEvent::of(&pdu).ok_or(FormatError::WrongKind("content"))?;
            return Ok(Outline::Stripped(event));
        }
        Ok(Outline::Whole(pdu))
    }
}

impl VerifiedRoomState {
    /// Verifies a whole event, and takes it.
    fn verify(
        &mut self,
        event: FormattedPdu<'_>,
        room_id: RoomId<'_>,
        keys: &(impl Keys + ?Sized),
        verifier: &(impl Verify + ?Sized),
        now: u64,
    ) -> Result<(), Dropped> {
        let event = belonging(event, room_id)?;
        if self.shows(&event.pdu().event_type(), event.pdu().state_key().unwrap_or_default()) {
            return Err(Dropped::Repeated);
        }
        // A third-party invite needs no signature of its sender; to be shown in the sender's name it does.
        let signed = event.check_signatures_with_sender(keys, verifier, now)?;
        let event = match signed.check_hash()? {
            VerifiedPdu::Whole(whole) => StrippedEvent::of(whole.pdu()),
            VerifiedPdu::Redacted(redacted) => StrippedEvent::of(&redacted.pdu()),
        };
        let event = event.ok_or(Dropped::NotState).and_then(shallow)?;
        match is_create(&event) {
            true => self.shown.insert(0, event),
            false => self.shown.push(event),
        }
        Ok(())
    }

    /// Takes an event that nobody has signed, once all that are verified are known.
    fn take_unverified(&mut self, version: RoomVersion, event: StrippedEvent) -> Result<(), Dropped> {
        check_unverified(version, &event, self.shown.iter().chain(&self.unverified))?;
        let event = shallow(event)?;
        self.unverified.push(event);
        Ok(())
    }

    fn shows(&self, event_type: &str, state_key: &str) -> bool {
        self.shown.iter().any(|known| is_of(known, event_type, state_key))
    }

    fn drop_if(&mut self, position: usize, taken: Result<(), Dropped>) {
        self.dropped.extend(taken.err().map(|reason| (position, reason)));
    }
}

/// Checks that an event that nobody has signed may be shown beside the `known` ones: never a member event, since v12 never a
/// create event (of whatever state key: there are clients that look at the type alone), and no second one in a place.
fn check_unverified<'k>(
    version: RoomVersion,
    event: &StrippedEvent,
    mut known: impl Iterator<Item = &'k StrippedEvent>,
) -> Result<(), Dropped> {
    let (event_type, state_key) = (event.event_type(), event.state_key());
    if event_type == EventType::Member.as_str() {
        return Err(Dropped::UnverifiedMember);
    }
    if event_type == EventType::Create.as_str() && version.rules().create_event_is_room_id {
        return Err(Dropped::UnverifiedCreate);
    }
    if known.any(|known| is_of(known, &event_type, &state_key)) { Err(Dropped::Repeated) } else { Ok(()) }
}

fn is_of(event: &StrippedEvent, event_type: &str, state_key: &str) -> bool {
    event.state_key() == state_key && event.event_type() == event_type
}

/// An event that can be shown.
fn shallow(event: StrippedEvent) -> Result<StrippedEvent, Dropped> {
    if event.is_shallow() { Ok(event) } else { Err(Dropped::TooDeep) }
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
    /// Returns the verified events, the create event first, if there is one.
    #[must_use]
    pub fn shown(&self) -> &[StrippedEvent] {
        &self.shown
    }

    /// Returns the events that nobody has signed and that a host may choose to show: none that has a verified twin of the same
    /// type and state key, no member event, and since v12 no create event.
    #[must_use]
    pub fn unverified(&self) -> &[StrippedEvent] {
        &self.unverified
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
