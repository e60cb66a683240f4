//! A whole state in memory.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};

use foldhash::fast::RandomState;

use super::{NotLookedUp, RoomState};
use crate::event::{Event, EventType, Membership};
use crate::id::{OwnedServerName, UserId};

/// A room's whole state in memory. A look-up takes the same time in a room of any size and allocates nothing.
///
/// # Examples
///
/// ```
/// use matrix_knock::event::{Event, EventType, Pdu};
/// use matrix_knock::state::{RoomState, StateMap};
///
/// let create = r#"{"type":"m.room.create","state_key":"","sender":"@a:b","content":{}}"#;
/// let name = r#"{"type":"m.room.name","state_key":"","sender":"@a:b","content":{"name":"Knock!"}}"#;
/// let mut state = StateMap::from([Pdu::parse(create)?, Pdu::parse(name)?]);
/// let sender = state.event(EventType::Create, "")?.map(|event| event.sender().to_owned());
/// assert_eq!(sender.as_deref(), Some("@a:b"));
///
/// assert!(state.remove(EventType::Name, "").is_some());
/// assert_eq!(state.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct StateMap<E> {
    /// What decisions and stripped state ask for, by its [place]; each with an empty state key.
    placed: [Option<E>; PLACES],
    /// What nearly all of a large room is.
    members: ByKey<E>,
    others: ByKey<ByKey<E>>,
}

/// foldhash, seeded at random: user IDs are other people's choice, so a hash that they can see could be aimed at. It takes a
/// fifth of the time of the standard one, which is most of what a look-up takes.
pub(crate) type ByKey<V> = HashMap<Box<str>, V, RandomState>;

const PLACES: usize = 8;

/// The place of its own that an event of this type with an empty state key has.
const fn place(event_type: EventType<'_>, state_key: &str) -> Option<usize> {
    if !state_key.is_empty() {
        return None;
    }
    match event_type {
        EventType::Create => Some(0),
        EventType::JoinRules => Some(1),
        EventType::PowerLevels => Some(2),
        EventType::Avatar => Some(3),
        EventType::CanonicalAlias => Some(4),
        EventType::Encryption => Some(5),
        EventType::Name => Some(6),
        EventType::Topic => Some(7),
        EventType::Member
        | EventType::ThirdPartyInvite
        | EventType::ServerAcl
        | EventType::Policy
        | EventType::HistoryVisibility
        | EventType::Other(_) => None,
    }
}

impl<E> Default for StateMap<E> {
    fn default() -> Self {
        Self { placed: Default::default(), members: ByKey::default(), others: ByKey::default() }
    }
}

impl<E> StateMap<E> {
    /// Creates an empty state.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes out the event of this type and state key and returns it.
    pub fn remove(&mut self, event_type: EventType<'_>, state_key: &str) -> Option<E> {
        if event_type == EventType::Member {
            return self.members.remove(state_key);
        }
        match place(event_type, state_key).and_then(|place| self.placed.get_mut(place)) {
            Some(slot) => slot.take(),
            None => self.others.get_mut(event_type.as_str())?.remove(state_key),
        }
    }

    /// Returns how many events the state has.
    #[must_use]
    pub fn len(&self) -> usize {
        #[expect(clippy::disallowed_methods, reason = "a sum does not depend on the order")]
        let others: usize = self.others.values().map(HashMap::len).sum();
        let placed = self.placed.iter().flatten().count();
        others.saturating_add(self.members.len()).saturating_add(placed)
    }

    /// Returns whether the state has no event at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn find(&self, event_type: EventType<'_>, state_key: &str) -> Option<&E> {
        if event_type == EventType::Member {
            return self.members.get(state_key);
        }
        match place(event_type, state_key).and_then(|place| self.placed.get(place)) {
            Some(slot) => slot.as_ref(),
            None => self.others.get(event_type.as_str())?.get(state_key),
        }
    }
}

impl<E: Event> StateMap<E> {
    /// Puts a state event in its place and returns what stood there before.
    ///
    /// # Errors
    ///
    /// The event itself if it has no state key: it is no state event.
    pub fn insert(&mut self, event: E) -> Result<Option<E>, E> {
        let Some(state_key) = event.state_key() else { return Err(event) };
        let name = event.event_type();
        let event_type = EventType::from(&*name);
        if let Some(slot) = place(event_type, state_key).and_then(|place| self.placed.get_mut(place)) {
            drop(name);
            return Ok(slot.replace(event));
        }
        let of_type = match event_type {
            EventType::Member => &mut self.members,
            other => self.others.entry(other.as_str().into()).or_default(),
        };
        let state_key: Box<str> = state_key.into();
        drop(name);
        Ok(of_type.insert(state_key, event))
    }

    /// Returns the events in the order of their types, then of their state keys. Sorting them takes O(n log n).
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &E> {
        #[expect(clippy::disallowed_methods, reason = "sorted below")]
        let others = self.others.values().flat_map(HashMap::values);
        #[expect(clippy::disallowed_methods, reason = "sorted below")]
        let members = self.members.values();
        let mut events: Vec<&E> = self.placed.iter().flatten().chain(members).chain(others).collect();
        events.sort_unstable_by(|one, other| in_order(*one, *other));
        events.into_iter()
    }

    /// Returns the servers with a joined user: those that an event of the room is sent to. Users whose ID is malformed count
    /// for no server. Looks at every member.
    #[must_use]
    pub fn servers_with_joined_users(&self) -> BTreeSet<OwnedServerName> {
        #[expect(clippy::disallowed_methods, reason = "a set does not depend on the order")]
        let members = self.members.values();
        let joined = members.filter(|member| member.member_facts().membership() == Some(Membership::Join));
        let mut servers = BTreeSet::new();
        for user in joined.filter_map(|member| UserId::parse(member.state_key()?).ok()) {
            servers.insert(user.server_name().into_owned());
        }
        servers
    }
}

/// If two events have the same type and state key, the last one wins. Events without a state key are ignored.
impl<E: Event> Extend<E> for StateMap<E> {
    fn extend<I: IntoIterator<Item = E>>(&mut self, events: I) {
        for event in events {
            // An event that is no state event has no place in here.
            drop(self.insert(event));
        }
    }
}

/// As [`extend`](StateMap::extend).
impl<E: Event> FromIterator<E> for StateMap<E> {
    fn from_iter<I: IntoIterator<Item = E>>(events: I) -> Self {
        let mut state = Self::new();
        state.extend(events);
        state
    }
}

/// As [`extend`](StateMap::extend).
impl<E: Event, const N: usize> From<[E; N]> for StateMap<E> {
    fn from(events: [E; N]) -> Self {
        events.into_iter().collect()
    }
}

/// In the order of [`iter`](StateMap::iter).
impl<'m, E: Event> IntoIterator for &'m StateMap<E> {
    type Item = &'m E;
    type IntoIter = std::vec::IntoIter<&'m E>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter().collect::<Vec<_>>().into_iter()
    }
}

/// In the order of [`iter`](StateMap::iter).
impl<E: Event> IntoIterator for StateMap<E> {
    type Item = E;
    type IntoIter = std::vec::IntoIter<E>;

    fn into_iter(self) -> Self::IntoIter {
        let others = self.others.into_values().flat_map(HashMap::into_values);
        let members = self.members.into_values();
        let mut events: Vec<E> = self.placed.into_iter().flatten().chain(members).chain(others).collect();
        events.sort_unstable_by(in_order);
        events.into_iter()
    }
}

/// By type and state key.
fn in_order<E: Event>(one: &E, other: &E) -> Ordering {
    (one.event_type(), one.state_key()).cmp(&(other.event_type(), other.state_key()))
}

impl<E: Event> RoomState for StateMap<E> {
    type Event<'s>
        = &'s E
    where
        E: 's;

    fn event(&self, event_type: EventType<'_>, state_key: &str) -> Result<Option<&E>, NotLookedUp> {
        Ok(self.find(event_type, state_key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Pdu;

    fn event(event_type: &str, state_key: Option<&str>, content: &str) -> String {
        let state_key = state_key.map(|key| format!(r#","state_key":"{key}""#)).unwrap_or_default();
        format!(r#"{{"type":"{event_type}","sender":"@s:s","content":{content}{state_key}}}"#)
    }

    #[test]
    fn inserting_and_removing() {
        let texts = [event("t", Some("k"), "{}"), event("t", Some("k"), r#"{"a":1}"#), event("t", None, "{}")];
        let [first, second, message] = texts.each_ref().map(|text| Pdu::parse(text).unwrap());
        let mut map = StateMap::new();
        assert!(map.is_empty());
        assert_eq!(map.insert(&first), Ok(None));
        assert_eq!(map.insert(&second), Ok(Some(&first)));
        assert_eq!(map.insert(&message), Err(&message));
        assert_eq!((map.len(), map.remove("t".into(), "l"), map.remove("u".into(), "k")), (1, None, None));
        assert_eq!((map.remove("t".into(), "k"), map.remove("t".into(), "k")), (Some(&second), None));
        assert!(map.is_empty());
    }

    #[test]
    fn in_order_whatever_came_first() {
        let mut texts = vec![
            event("m.room.create", Some(""), "{}"),
            event("m.room.create", Some("x"), "{}"),
            event("m.room.member", Some("@a:b"), "{}"),
            event("m.room.member", Some("@b:b"), "{}"),
            event("m.room.server_acl", Some(""), "{}"),
            event("m.room.topic", Some(""), "{}"),
            event("t", Some("k"), "{}"),
            event("t", Some("l"), "{}"),
        ];
        let expected = texts.clone();
        texts.reverse();
        texts.push(event("t", None, "{}"));
        let mut map: StateMap<Pdu<'_>> = texts.iter().map(|text| Pdu::parse(text).unwrap()).collect();
        assert_eq!(map.iter().map(Pdu::text).collect::<Vec<_>>(), expected);
        assert_eq!((&map).into_iter().map(Pdu::text).collect::<Vec<_>>(), expected);
        assert_eq!(map.clone().into_iter().map(|event| event.text().to_owned()).collect::<Vec<_>>(), expected);
        for (text, left) in expected.iter().zip((0..expected.len()).rev()) {
            let event = Pdu::parse(text).unwrap();
            let (name, state_key) = (event.event_type(), event.state_key().unwrap());
            assert_eq!(map.remove(EventType::from(&*name), state_key).as_ref(), Some(&event));
            assert_eq!(map.len(), left);
        }
    }

    #[test]
    fn servers() {
        let texts = [("@a:a", "join"), ("@b:b:80", "join"), ("@c:b:80", "join"), ("@d:d", "knock"), ("@e", "join")]
            .map(|(user, membership)| {
                event("m.room.member", Some(user), &format!(r#"{{"membership":"{membership}"}}"#))
            });
        let map = StateMap::from(texts.each_ref().map(|text| Pdu::parse(text).unwrap()));
        assert_eq!(map.servers_with_joined_users().into_iter().map(String::from).collect::<Vec<_>>(), ["a", "b:80"]);
    }
}
