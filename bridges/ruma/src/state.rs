//! A room's state in the map that ruma's state resolution works on.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};

use matrix_knock::event::{Event, EventType};
use matrix_knock::state::{NotLookedUp, RoomState};
use ruma_events::StateEventType;

use crate::event::state_event_type;

/// A whole state that a host keeps as `HashMap<(StateEventType, String), E>`: ruma-state-res's
/// `StateMap`.
///
/// What the map does not have is absent from the room. A look-up compares ruma's enum and borrows
/// the state key: it allocates nothing, where a look-up with an owned key copies the state key each
/// time.
///
/// # Examples
///
/// ```
/// use std::collections::HashMap;
///
/// use matrix_knock::event::{Event, EventType, Pdu};
/// use matrix_knock::state::RoomState;
/// use matrix_knock_ruma::state::StateMap;
/// use ruma_events::StateEventType;
///
/// let name = Pdu::parse(r#"{"type":"m.room.name","state_key":"","sender":"@a:b","content":{}}"#)?;
/// let map = HashMap::from([((StateEventType::RoomName, String::new()), name)]);
/// let state = StateMap(&map);
/// assert_eq!(state.event(EventType::Name, "")?.map(|event| event.sender()), Some("@a:b"));
/// assert_eq!(state.get(&StateEventType::RoomTopic, ""), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct StateMap<'m, E, H>(pub &'m HashMap<(StateEventType, String), E, H>);

impl<'m, E, H: BuildHasher> StateMap<'m, E, H> {
    /// Returns the event of this type and state key, without a copy of the key.
    #[must_use]
    #[inline]
    pub fn get(&self, event_type: &StateEventType, state_key: &str) -> Option<&'m E> {
        let place: &dyn Place = &(event_type, state_key);
        self.0.get(place)
    }
}

impl<E, H> Clone for StateMap<'_, E, H> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E, H> Copy for StateMap<'_, E, H> {}

impl<E, H> fmt::Debug for StateMap<'_, E, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateMap({} events)", self.0.len())
    }
}

impl<E: Event, H: BuildHasher> RoomState for StateMap<'_, E, H> {
    type Event<'s>
        = &'s E
    where
        Self: 's;

    #[inline]
    fn event(&self, event_type: EventType<'_>, state_key: &str) -> Result<Option<&E>, NotLookedUp> {
        Ok(self.get(&state_event_type(event_type), state_key))
    }
}

/// Type and state key, owned or borrowed.
trait Place {
    fn place(&self) -> (&StateEventType, &str);
}

impl Place for (StateEventType, String) {
    #[inline]
    fn place(&self) -> (&StateEventType, &str) {
        (&self.0, &self.1)
    }
}

impl Place for (&StateEventType, &str) {
    #[inline]
    fn place(&self) -> (&StateEventType, &str) {
        *self
    }
}

impl<'p> Borrow<dyn Place + 'p> for (StateEventType, String) {
    #[inline]
    fn borrow(&self) -> &(dyn Place + 'p) {
        self
    }
}

/// As a pair of a type and a string is hashed.
impl Hash for dyn Place + '_ {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.place().hash(state);
    }
}

impl PartialEq for dyn Place + '_ {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        let ((of_type, key), (of_other_type, other_key)) = (self.place(), other.place());
        // Most look-ups are for the empty state key. An empty `String` points nowhere, and
        // comparing nothing there takes some processors longer than all the rest (a masked load
        // from an address that is not mapped).
        of_type == of_other_type && key.len() == other_key.len() && (key.is_empty() || key == other_key)
    }
}

impl Eq for dyn Place + '_ {}
