//! The state of a room, as a look-up by event type and state key.
//!
//! A decision reads at most six entries, whatever the size of the room. A host that has its state in a map, a
//! database or a slice implements [`RoomState`] for it, or wraps a closure in [`FromFn`]. A host that must wait for its
//! store asks [`Selection`](crate::auth::Selection) first which entries a decision will read, fetches those, and hands
//! them in as a slice.

use std::collections::HashMap;
use std::fmt;

use foldhash::fast::RandomState;

use crate::event::{Event, content};

/// Look-up of one entry of a room's state.
pub trait RoomState {
    /// An entry: a reference, an `Arc`, or an event of its own.
    type Event<'s>: Event
    where
        Self: 's;

    /// The state event of this type and state key, if the room has one.
    fn event(&self, event_type: &str, state_key: &str) -> Option<Self::Event<'_>>;
}

impl<S: RoomState + ?Sized> RoomState for &S {
    type Event<'s>
        = S::Event<'s>
    where
        Self: 's;

    fn event(&self, event_type: &str, state_key: &str) -> Option<Self::Event<'_>> {
        (**self).event(event_type, state_key)
    }
}

/// The events of a state in any order, searched one by one: for the few that a decision needs. Of two for the same type
/// and state key the last counts.
impl<E: Event> RoomState for [E] {
    type Event<'s>
        = &'s E
    where
        E: 's;

    fn event(&self, event_type: &str, state_key: &str) -> Option<&E> {
        self.iter().rev().find(|event| event.state_key() == Some(state_key) && event.event_type() == event_type)
    }
}

impl<E: Event> RoomState for Vec<E> {
    type Event<'s>
        = &'s E
    where
        E: 's;

    fn event(&self, event_type: &str, state_key: &str) -> Option<&E> {
        self.as_slice().event(event_type, state_key)
    }
}

impl<E: Event, const N: usize> RoomState for [E; N] {
    type Event<'s>
        = &'s E
    where
        E: 's;

    fn event(&self, event_type: &str, state_key: &str) -> Option<&E> {
        self.as_slice().event(event_type, state_key)
    }
}

/// A room's state behind a closure from type and state key to the event.
///
/// # Examples
///
/// ```
/// use matrix_knock::state::{FromFn, RoomState};
/// use matrix_knock::event::{Event, Pdu};
///
/// let create = Pdu::parse(r#"{"type":"m.room.create","state_key":"","sender":"@a:b","content":{}}"#)?;
/// let state = FromFn(|event_type: &str, state_key: &str| match (event_type, state_key) {
///     ("m.room.create", "") => Some(&create),
///     _ => None,
/// });
/// assert_eq!(state.event("m.room.create", "").map(|event| event.sender().to_owned()), Some("@a:b".to_owned()));
/// # Ok::<(), matrix_knock::event::PduError>(())
/// ```
#[derive(Clone, Copy)]
pub struct FromFn<F>(pub F);

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FromFn(..)")
    }
}

impl<F, E> RoomState for FromFn<F>
where
    F: Fn(&str, &str) -> Option<E>,
    E: Event,
{
    type Event<'s>
        = E
    where
        Self: 's;

    fn event(&self, event_type: &str, state_key: &str) -> Option<E> {
        (self.0)(event_type, state_key)
    }
}

/// A room's state in memory. A look-up takes the same time in a room of any size and allocates nothing.
#[derive(Debug, Clone)]
pub struct StateMap<E> {
    /// What decisions and stripped state ask for, by its [place]; each with an empty state key.
    placed: [Option<E>; PLACES],
    /// What nearly all of a large room is.
    members: ByKey<E>,
    others: ByKey<ByKey<E>>,
}

/// foldhash, seeded at random: user IDs are other people's choice, and a hash that they cannot see is none that they can aim at. It takes
/// a fifth of the time of the standard one, which is most of what a look-up takes.
pub(crate) type ByKey<V> = HashMap<Box<str>, V, RandomState>;

const PLACES: usize = 8;

/// The place of its own that an event of this type with an empty state key has.
fn place(event_type: &str, state_key: &str) -> Option<usize> {
    match event_type {
        _ if !state_key.is_empty() => None,
        content::CREATE => Some(0),
        content::JOIN_RULES => Some(1),
        content::POWER_LEVELS => Some(2),
        "m.room.avatar" => Some(3),
        "m.room.canonical_alias" => Some(4),
        "m.room.encryption" => Some(5),
        "m.room.name" => Some(6),
        "m.room.topic" => Some(7),
        _ => None,
    }
}

impl<E> Default for StateMap<E> {
    fn default() -> Self {
        Self { placed: Default::default(), members: ByKey::default(), others: ByKey::default() }
    }
}

impl<E: Event> StateMap<E> {
    /// An empty state.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a state event in its place and gives what stood there before. An event without a state key is no state: it
    /// is given back.
    ///
    /// # Errors
    ///
    /// The event itself, if it has no state key.
    pub fn insert(&mut self, event: E) -> Result<Option<E>, E> {
        let Some(state_key) = event.state_key() else { return Err(event) };
        if let Some(slot) = place(event.event_type(), state_key).and_then(|place| self.placed.get_mut(place)) {
            return Ok(slot.replace(event));
        }
        let of_type = match event.event_type() {
            content::MEMBER => &mut self.members,
            other => self.others.entry(other.into()).or_default(),
        };
        Ok(of_type.insert(state_key.into(), event))
    }

    /// How many events the state has.
    #[must_use]
    pub fn len(&self) -> usize {
        #[expect(clippy::disallowed_methods, reason = "a sum does not depend on the order")]
        let others: usize = self.others.values().map(HashMap::len).sum();
        let placed = self.placed.iter().flatten().count();
        others.saturating_add(self.members.len()).saturating_add(placed)
    }

    /// Whether the state has no event at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Of two events for the same type and state key the last counts; events without a state key are passed over.
impl<E: Event> FromIterator<E> for StateMap<E> {
    fn from_iter<I: IntoIterator<Item = E>>(events: I) -> Self {
        let mut state = Self::new();
        for event in events {
            // An event that is no state event has no place in here.
            drop(state.insert(event));
        }
        state
    }
}

impl<E: Event> RoomState for StateMap<E> {
    type Event<'s>
        = &'s E
    where
        E: 's;

    fn event(&self, event_type: &str, state_key: &str) -> Option<&E> {
        if event_type == content::MEMBER {
            return self.members.get(state_key);
        }
        match place(event_type, state_key).and_then(|place| self.placed.get(place)) {
            Some(slot) => slot.as_ref(),
            None => self.others.get(event_type)?.get(state_key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Pdu;

    fn event(event_type: &str, state_key: Option<&str>, sender: &str) -> String {
        let state_key = state_key.map(|key| format!(r#","state_key":"{key}""#)).unwrap_or_default();
        format!(r#"{{"type":"{event_type}","sender":"{sender}","content":{{}}{state_key}}}"#)
    }

    fn senders(state: &impl RoomState) -> [Option<String>; 4] {
        [("t", "k"), ("t", "l"), ("u", "k"), ("u", "")]
            .map(|(event_type, key)| state.event(event_type, key).map(|event| event.sender().to_owned()))
    }

    #[test]
    fn every_kind_of_state_finds_the_same() {
        let texts = [
            event("t", Some("k"), "1"),
            event("u", None, "2"),
            event("t", Some("l"), "3"),
            event("t", Some("k"), "4"),
            event("u", Some(""), "5"),
        ];
        let events = texts.each_ref().map(|text| Pdu::parse(text).unwrap());
        let expected = [Some("4".to_owned()), Some("3".to_owned()), None, Some("5".to_owned())];
        assert_eq!(senders(&events), expected);
        assert_eq!(senders(&events.to_vec()), expected);
        assert_eq!(senders(&&events), expected);
        let map: StateMap<&Pdu<'_>> = events.iter().collect();
        assert_eq!(senders(&map), expected);
        assert_eq!((map.len(), map.is_empty()), (3, false));
        assert_eq!(senders(&FromFn(|event_type: &str, key: &str| map.event(event_type, key).cloned())), expected);
        assert_eq!(
            senders(&FromFn(|event_type: &str, key: &str| map.event(event_type, key).map(std::sync::Arc::new))),
            expected
        );
        assert_eq!(format!("{:?}", FromFn(())), "FromFn(..)");
    }

    #[test]
    fn inserting() {
        let texts = [event("t", Some("k"), "1"), event("t", Some("k"), "2"), event("t", None, "3")];
        let [first, second, message] = texts.each_ref().map(|text| Pdu::parse(text).unwrap());
        let mut map = StateMap::new();
        assert!(map.is_empty());
        assert_eq!(map.insert(&first), Ok(None));
        assert_eq!(map.insert(&second), Ok(Some(&first)));
        assert_eq!(map.insert(&message), Err(&message));
        assert_eq!(map.len(), 1);
    }
}
