//! Which entries of a state a step reads.

use super::is_same_place;
use crate::event::EventType;

/// The entries of a room's state that a step reads: pairs of event type and state key, none twice.
///
/// At most 20 for every step, whatever the size of the room. An entry that a step may read stands here even if the step
/// turns out not to need it.
///
/// # Examples
///
/// ```
/// use matrix_knock::RoomVersion;
/// use matrix_knock::auth::Selection;
/// use matrix_knock::event::{EventType, Membership, Proposal};
///
/// let knock = Proposal::of_oneself("@kay:b.example", Membership::Knock);
/// let reads = Selection::of(RoomVersion::V12, &knock).reads();
/// assert!(reads.contains(EventType::Member, "@kay:b.example"));
/// let keys: Vec<_> = reads.iter().map(|(event_type, state_key)| format!("{event_type}/{state_key}")).collect();
/// assert_eq!(keys, ["m.room.create/", "m.room.power_levels/", "m.room.member/@kay:b.example", "m.room.join_rules/"]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reads(Vec<(Box<str>, Box<str>)>);

impl Reads {
    /// The entries of these types with an empty state key.
    pub(crate) fn of_types<'a>(types: impl IntoIterator<Item = EventType<'a>>) -> Self {
        types.into_iter().map(|event_type| (event_type, "")).collect()
    }

    /// Returns the entries in the order in which they were added.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (EventType<'_>, &str)> {
        self.0.iter().map(|(event_type, state_key)| (EventType::from(&**event_type), &**state_key))
    }

    /// Returns whether this entry is among them.
    #[must_use]
    pub fn contains(&self, event_type: EventType<'_>, state_key: &str) -> bool {
        self.0.iter().any(|(of_type, key)| is_same_place((of_type, key), (event_type.as_str(), state_key)))
    }

    /// Returns how many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the entries of both, for a host that fetches once for two steps.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.extend(other.iter());
        self
    }
}

impl<'t, 'k> Extend<(EventType<'t>, &'k str)> for Reads {
    fn extend<I: IntoIterator<Item = (EventType<'t>, &'k str)>>(&mut self, entries: I) {
        for (event_type, state_key) in entries {
            if !self.contains(event_type, state_key) {
                self.0.push((event_type.as_str().into(), state_key.into()));
            }
        }
    }
}

impl<'t, 'k> FromIterator<(EventType<'t>, &'k str)> for Reads {
    fn from_iter<I: IntoIterator<Item = (EventType<'t>, &'k str)>>(entries: I) -> Self {
        let mut reads = Self::default();
        reads.extend(entries);
        reads
    }
}
