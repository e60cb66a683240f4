//! What a host has fetched of a state.

use super::{NotLookedUp, Reads, RoomState, is_same_place};
use crate::event::{Event, EventType};

/// A part of a room's state: for each entry that was looked up an event, or the knowledge that the room has none.
///
/// A step that needs another entry returns [`NotLookedUp`], never a verdict. An event that does not belong to the entry it
/// was given for (another type, another state key) does not count: that entry was not looked up.
///
/// # Examples
///
/// A store that awaits and can fail; its error ends the filling and comes back:
///
/// ```
/// use matrix_knock::RoomVersion;
/// use matrix_knock::auth::{Selection, authorize_proposal};
/// use matrix_knock::event::{EventType, Membership, OwnedPdu, Proposal};
/// use matrix_knock::state::Snapshot;
///
/// struct Store;
/// struct StoreError;
///
/// impl Store {
///     async fn state_event(&self, event_type: &str, state_key: &str) -> Result<Option<OwnedPdu>, StoreError> {
///         // A query.
/// #       let _ = (event_type, state_key);
/// #       Err(StoreError)
///     }
/// }
///
/// async fn may_knock(store: &Store, user: &str) -> Result<bool, StoreError> {
///     let knock = Proposal::of_oneself(user, Membership::Knock);
///     let reads = Selection::of(RoomVersion::V11, &knock).reads();
///     let state = Snapshot::fetch(&reads, async |event_type: EventType<'_>, state_key: &str| {
///         store.state_event(event_type.as_str(), state_key).await
///     });
///     Ok(authorize_proposal(RoomVersion::V11, &knock, &state.await?).is_ok())
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot<E> {
    entries: Vec<Entry<E>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry<E> {
    event_type: Box<str>,
    state_key: Box<str>,
    event: Option<E>,
}

impl<E> Default for Snapshot<E> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<E: Event> Snapshot<E> {
    /// Creates a snapshot in which nothing was looked up.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks up every entry of `reads` with a closure.
    ///
    /// # Errors
    ///
    /// The first error of the closure.
    pub fn fill<X>(
        reads: &Reads,
        mut look_up: impl FnMut(EventType<'_>, &str) -> Result<Option<E>, X>,
    ) -> Result<Self, X> {
        let mut snapshot = Self::new();
        for (event_type, state_key) in reads.iter() {
            snapshot.insert(event_type, state_key, look_up(event_type, state_key)?);
        }
        Ok(snapshot)
    }

    /// Looks up every entry of `reads` with an asynchronous closure, one after the other.
    ///
    /// The future can be sent to another thread if those of the closure can. They may borrow from `reads` and from what the
    /// closure captures by reference, but not from the closure itself: a look-up by `&mut` (a transaction) is a loop over
    /// [`insert`](Self::insert).
    ///
    /// # Errors
    ///
    /// The first error of the closure.
    ///
    /// # Examples
    ///
    /// See the [type's](Self).
    pub async fn fetch<'r, X, F: Future<Output = Result<Option<E>, X>>>(
        reads: &'r Reads,
        mut look_up: impl FnMut(EventType<'r>, &'r str) -> F,
    ) -> Result<Self, X> {
        let mut snapshot = Self::new();
        for (event_type, state_key) in reads.iter() {
            let event = look_up(event_type, state_key).await?;
            snapshot.insert(event_type, state_key, event);
        }
        Ok(snapshot)
    }

    /// Takes the result of one query for all entries of `reads`. An entry without an event is absent from the room; an event
    /// that is none of these entries is ignored. If an entry occurs twice, the last event wins.
    #[must_use]
    pub fn of_events(reads: &Reads, events: impl IntoIterator<Item = E>) -> Self {
        let mut snapshot = Self::new();
        for (event_type, state_key) in reads.iter() {
            snapshot.insert(event_type, state_key, None);
        }
        for event in events {
            let found = snapshot.entries.iter_mut().find(|entry| is_entry(&event, &entry.event_type, &entry.state_key));
            if let Some(entry) = found {
                entry.event = Some(event);
            }
        }
        snapshot
    }

    /// Notes what came of looking up an entry: an event, or `None` if the room has none. An event of another type or state
    /// key is not taken: the entry stays what it was.
    pub fn insert(&mut self, event_type: EventType<'_>, state_key: &str, event: Option<E>) {
        if event.as_ref().is_some_and(|event| !is_entry(event, event_type.as_str(), state_key)) {
            return;
        }
        match self.entries.iter_mut().find(|entry| entry.is(event_type, state_key)) {
            Some(entry) => entry.event = event,
            None => {
                self.entries.push(Entry { event_type: event_type.as_str().into(), state_key: state_key.into(), event })
            }
        }
    }

    /// Returns the entries of `reads` that were not looked up.
    #[must_use]
    pub fn missing(&self, reads: &Reads) -> Reads {
        let is_known = |(event_type, state_key)| self.entries.iter().any(|entry| entry.is(event_type, state_key));
        reads.iter().filter(|entry| !is_known(*entry)).collect()
    }
}

impl<E> Entry<E> {
    fn is(&self, event_type: EventType<'_>, state_key: &str) -> bool {
        is_same_place((&self.event_type, &self.state_key), (event_type.as_str(), state_key))
    }
}

fn is_entry(event: &impl Event, event_type: &str, state_key: &str) -> bool {
    event.state_key() == Some(state_key) && event.is_type(EventType::from(event_type))
}

impl<E: Event> RoomState for Snapshot<E> {
    type Event<'s>
        = &'s E
    where
        Self: 's;

    fn event(&self, event_type: EventType<'_>, state_key: &str) -> Result<Option<&E>, NotLookedUp> {
        match self.entries.iter().find(|entry| entry.is(event_type, state_key)) {
            Some(entry) => Ok(entry.event.as_ref()),
            None => Err(NotLookedUp::new(event_type, state_key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Pdu;

    const NAME: &str = r#"{"type":"m.room.name","state_key":"","sender":"@a:b","content":{}}"#;

    #[test]
    fn absent_is_not_unknown() {
        let name = Pdu::parse(NAME).unwrap();
        let mut state = Snapshot::new();
        let unknown = |event_type| NotLookedUp::new(event_type, "");
        assert_eq!(state.event(EventType::Name, ""), Err(unknown(EventType::Name)));
        state.insert(EventType::Name, "", None);
        assert_eq!(state.event(EventType::Name, ""), Ok(None));
        state.insert(EventType::Name, "", Some(&name));
        assert_eq!(state.event(EventType::Name, ""), Ok(Some(&&name)));
        assert_eq!(state.event(EventType::Name, "x"), Err(NotLookedUp::new(EventType::Name, "x")));
        // The wrong events: what was known stays, what was not known is not known.
        state.insert(EventType::Topic, "", Some(&name));
        assert_eq!(state.event(EventType::Topic, ""), Err(unknown(EventType::Topic)));
        let topic = Pdu::parse(r#"{"type":"m.room.topic","state_key":"","sender":"@a:b","content":{}}"#).unwrap();
        state.insert(EventType::Name, "", Some(&topic));
        assert_eq!(state.event(EventType::Name, ""), Ok(Some(&&name)));
        let reads = Reads::of_types([EventType::Topic, EventType::Name]);
        assert_eq!(state.missing(&reads), Reads::of_types([EventType::Topic]));
    }

    #[test]
    fn a_store_that_fails() {
        let name = Pdu::parse(NAME).unwrap();
        let reads = Reads::of_types([EventType::Name, EventType::Topic, EventType::Create]);
        let mut asked = Vec::new();
        let failed = Snapshot::fill(&reads, |event_type, state_key| {
            asked.push((event_type.to_string(), state_key.to_owned()));
            if event_type == EventType::Topic { Err("down") } else { Ok(Some(&name)) }
        });
        assert_eq!(failed, Err("down"));
        assert_eq!(asked, [("m.room.name", ""), ("m.room.topic", "")].map(|(a, b)| (a.to_owned(), b.to_owned())));
    }
}
