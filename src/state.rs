//! The state of a room, as a look-up by event type and state key.
//!
//! A decision reads at most six entries, whatever the size of the room. What a step reads can be asked for beforehand:
//! every step has a method `reads` that returns [`Reads`], pairs of event type and state key.
//!
//! * A host that has the whole state of a room at hand (a map, an index of its own) implements [`RoomState`] for it, or
//!   wraps a closure in [`FromFn`]. What such a state does not have is absent.
//! * A host whose store is asynchronous, or can fail, fetches the entries of `reads` into a [`Snapshot`]. What a snapshot
//!   has not looked up is an error ([`NotLookedUp`]) when a step asks for it, never an absent entry.

mod map;
mod reads;
mod snapshot;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::BuildHasher;
use std::rc::Rc;
use std::sync::Arc;

pub(crate) use self::map::ByKey;
pub use self::map::StateMap;
pub use self::reads::Reads;
pub use self::snapshot::Snapshot;
use crate::event::{Event, EventType};

/// Look-up of one entry of a room's state.
///
/// # Examples
///
/// A host keeps the state of its rooms in a table of its own:
///
/// ```
/// use std::borrow::Cow;
///
/// use matrix_knock::event::{Event, EventType};
/// use matrix_knock::state::{NotLookedUp, RoomState};
///
/// struct Row {
///     event_id: String,
///     event_type: String,
///     state_key: String,
///     sender: String,
///     content: String,
/// }
///
/// impl Event for Row {
///     fn event_type(&self) -> Cow<'_, str> {
///         self.event_type.as_str().into()
///     }
///     fn state_key(&self) -> Option<&str> {
///         Some(&self.state_key)
///     }
///     fn sender(&self) -> &str {
///         &self.sender
///     }
///     fn content(&self) -> &str {
///         &self.content
///     }
///     fn room_id(&self) -> Option<&str> {
///         None
///     }
///     fn event_id(&self) -> Option<&str> {
///         Some(&self.event_id)
///     }
///     fn sole_prev_event(&self) -> Option<&str> {
///         None
///     }
/// }
///
/// struct Table(Vec<Row>);
///
/// impl RoomState for Table {
///     type Event<'s> = &'s Row;
///
///     fn event(&self, event_type: EventType<'_>, state_key: &str) -> Result<Option<&Row>, NotLookedUp> {
///         Ok(self.0.iter().find(|row| row.is_type(event_type) && row.state_key == state_key))
///     }
/// }
/// ```
pub trait RoomState {
    /// An entry: a reference, an `Arc`, or an event of its own.
    type Event<'s>: Event
    where
        Self: 's;

    /// Returns the state event of this type and state key, or `None` if the room has none.
    ///
    /// # Errors
    ///
    /// [`NotLookedUp`] if the entry is not known here. A whole state never returns it.
    fn event(&self, event_type: EventType<'_>, state_key: &str) -> Result<Option<Self::Event<'_>>, NotLookedUp>;
}

/// A step needs an entry of the room's state that was not looked up: the host's mistake, and no verdict.
///
/// The step's `reads` names every entry that it needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the `{}` entry of the state with the state key `{}` was not looked up", .0.event_type, .0.state_key)]
pub struct NotLookedUp(Box<Entry>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    event_type: Box<str>,
    state_key: Box<str>,
}

impl NotLookedUp {
    /// The entry of this type and state key is not known.
    #[cold]
    #[must_use]
    pub fn new(event_type: EventType<'_>, state_key: &str) -> Self {
        Self(Box::new(Entry { event_type: event_type.as_str().into(), state_key: state_key.into() }))
    }

    /// Returns the type of the entry.
    #[must_use]
    pub fn event_type(&self) -> EventType<'_> {
        EventType::from(&*self.0.event_type)
    }

    /// Returns the state key of the entry.
    #[must_use]
    pub fn state_key(&self) -> &str {
        &self.0.state_key
    }
}

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<S: RoomState + ?Sized> RoomState for $pointer {
            type Event<'s>
                = S::Event<'s>
            where
                Self: 's;

            fn event(&self, event_type: EventType<'_>, state_key: &str) -> Result<Option<Self::Event<'_>>, NotLookedUp> {
                (**self).event(event_type, state_key)
            }
        }
    )*};
}

forward!(&S, Box<S>, Rc<S>, Arc<S>);

/// A room's whole state behind a closure from type and state key to the event.
///
/// # Examples
///
/// ```
/// use matrix_knock::event::{Event, EventType, Pdu};
/// use matrix_knock::state::{FromFn, RoomState};
///
/// let create = Pdu::parse(r#"{"type":"m.room.create","state_key":"","sender":"@a:b","content":{}}"#)?;
/// let state = FromFn(|event_type: &str, state_key: &str| match (event_type, state_key) {
///     ("m.room.create", "") => Some(&create),
///     _ => None,
/// });
/// assert_eq!(state.event(EventType::Create, "")?.map(|event| event.sender()), Some("@a:b"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
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

    fn event(&self, event_type: EventType<'_>, state_key: &str) -> Result<Option<E>, NotLookedUp> {
        Ok((self.0)(event_type.as_str(), state_key))
    }
}

/// A whole state by event type and state key.
impl<E: Event, H: BuildHasher> RoomState for HashMap<(String, String), E, H> {
    type Event<'s>
        = &'s E
    where
        Self: 's;

    fn event(&self, event_type: EventType<'_>, state_key: &str) -> Result<Option<&E>, NotLookedUp> {
        let place: &dyn Place = &(event_type.as_str(), state_key);
        Ok(self.get(place))
    }
}

/// A whole state by event type and state key.
impl<E: Event> RoomState for BTreeMap<(String, String), E> {
    type Event<'s>
        = &'s E
    where
        Self: 's;

    fn event(&self, event_type: EventType<'_>, state_key: &str) -> Result<Option<&E>, NotLookedUp> {
        let place: &dyn Place = &(event_type.as_str(), state_key);
        Ok(self.get(place))
    }
}

/// Type and state key, owned or borrowed: what maps with owned keys are searched by without a copy of the texts.
trait Place {
    fn place(&self) -> (&str, &str);
}

impl Place for (String, String) {
    fn place(&self) -> (&str, &str) {
        (&self.0, &self.1)
    }
}

impl Place for (&str, &str) {
    fn place(&self) -> (&str, &str) {
        *self
    }
}

impl<'p> std::borrow::Borrow<dyn Place + 'p> for (String, String) {
    fn borrow(&self) -> &(dyn Place + 'p) {
        self
    }
}

/// As a pair of strings is hashed and compared.
impl std::hash::Hash for dyn Place + '_ {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.place().hash(state);
    }
}

impl PartialEq for dyn Place + '_ {
    fn eq(&self, other: &Self) -> bool {
        is_same_place(self.place(), other.place())
    }
}

impl Eq for dyn Place + '_ {}

impl PartialOrd for dyn Place + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for dyn Place + '_ {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let ((of_type, key), (of_other_type, other_key)) = (self.place(), other.place());
        of_type.cmp(of_other_type).then_with(|| match (key.is_empty(), other_key.is_empty()) {
            (false, false) => key.cmp(other_key),
            (one_is_empty, other_is_empty) => other_is_empty.cmp(&one_is_empty),
        })
    }
}

/// Whether type and state key are the same.
///
/// Most state keys are empty, and an empty `String` points nowhere. To compare nothing there takes
/// some processors longer than the whole decision: a masked load from an address that is not
/// mapped.
fn is_same_place((of_type, key): (&str, &str), (of_other_type, other_key): (&str, &str)) -> bool {
    key.len() == other_key.len() && of_type == of_other_type && (key.is_empty() || key == other_key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Pdu;

    fn event(event_type: &str, state_key: Option<&str>, sender: &str) -> String {
        let state_key = state_key.map(|key| format!(r#","state_key":"{key}""#)).unwrap_or_default();
        format!(r#"{{"type":"{event_type}","sender":"{sender}","content":{{}}{state_key}}}"#)
    }

    const ASKED: [(&str, &str); 4] = [("t", "k"), ("t", "l"), ("u", "k"), ("u", "")];

    fn senders(state: &impl RoomState) -> [Option<String>; 4] {
        ASKED.map(|(event_type, key)| {
            state.event(event_type.into(), key).unwrap().map(|event| event.sender().to_owned())
        })
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
        let map: StateMap<&Pdu<'_>> = events.iter().collect();
        assert_eq!(senders(&map), expected);
        let find = |event_type: &str, key: &str| map.event(event_type.into(), key).unwrap().cloned();
        assert_eq!(senders(&FromFn(find)), expected);
        assert_eq!(senders(&FromFn(|event_type: &str, key: &str| find(event_type, key).map(Arc::new))), expected);
        assert_eq!(format!("{:?}", FromFn(())), "FromFn(..)");

        let place = |event: &Pdu<'_>| Some((event.event_type().into_owned(), event.state_key()?.to_owned()));
        let placed = || events.iter().filter_map(|event| Some((place(event)?, event)));
        assert_eq!(senders(&placed().collect::<HashMap<_, _>>()), expected);
        assert_eq!(senders(&placed().collect::<BTreeMap<_, _>>()), expected);

        let reads: Reads = ASKED.into_iter().map(|(event_type, key)| (event_type.into(), key)).collect();
        let snapshot = Snapshot::of_events(&reads, events.iter());
        assert_eq!(senders(&snapshot), expected);

        assert_eq!(senders(&&map), expected);
        assert_eq!(senders(&Box::new(map.clone())), expected);
        assert_eq!(senders(&Rc::new(map.clone())), expected);
        assert_eq!(senders(&Arc::new(map)), expected);
    }

    #[test]
    fn places_in_the_order_of_their_texts() {
        let texts = ["", "a", "ab", "b"];
        for (one, other) in texts.iter().flat_map(|one| texts.iter().map(move |other| (*one, *other))) {
            for (place, other_place) in
                [((one, "k"), (other, "k")), (("t", one), ("t", other)), ((one, one), ("b", other))]
            {
                let (owned, borrowed): (&dyn Place, &dyn Place) =
                    (&(place.0.to_owned(), place.1.to_owned()), &other_place);
                assert_eq!((owned.cmp(borrowed), owned == borrowed), (place.cmp(&other_place), place == other_place));
            }
        }
    }

    #[test]
    fn what_was_not_looked_up() {
        let error = NotLookedUp::new(EventType::Member, "@a:b");
        assert_eq!((error.event_type(), error.state_key()), (EventType::Member, "@a:b"));
        let message = "the `m.room.member` entry of the state with the state key `@a:b` was not looked up";
        assert_eq!(error.to_string(), message);
        assert_eq!(std::mem::size_of::<Result<Option<&Pdu<'_>>, NotLookedUp>>(), 16);
    }
}
