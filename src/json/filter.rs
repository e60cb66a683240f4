//! Which members of an object reach its canonical form.

use super::{Kind, Str};

/// A filter is asked about the members of the outermost object, and hands on the one for what is within a member.
pub(crate) trait Filter: Copy {
    /// Whether nothing is left out, whatever comes.
    fn keeps_all(self) -> bool;

    /// What to do with a member: its key, and the kind of its value.
    fn member(self, key: Str<'_>, kind: Kind) -> Member<Self>;
}

/// What to do with a member of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Member<F> {
    /// Write it, and of its value what this filter keeps.
    Keep(F),
    /// Write it with an empty object for its value.
    Empty,
    /// Leave it out. Its value is read over, and need not be canonical.
    Omit,
    /// Leave it out: it is the `unsigned` of an event, or something else that nobody asks for. Of
    /// its value no more than the grammar of JSON is checked.
    OmitUnread,
}

impl<F> Member<F> {
    /// What to do with a member of an event that is left out.
    pub(crate) fn omit(key: Str<'_>) -> Self {
        if key.is("unsigned") { Self::OmitUnread } else { Self::Omit }
    }
}

/// Keeps all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Everything;

impl Filter for Everything {
    fn keeps_all(self) -> bool {
        true
    }

    fn member(self, _key: Str<'_>, _kind: Kind) -> Member<Self> {
        Member::Keep(self)
    }
}

/// Leaves out these keys of the outermost object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Without<'k>(pub(crate) &'k [&'k str]);

impl Filter for Without<'_> {
    fn keeps_all(self) -> bool {
        self.0.is_empty()
    }

    fn member(self, key: Str<'_>, _kind: Kind) -> Member<Self> {
        if self.0.iter().any(|name| key.is(name)) { Member::omit(key) } else { Member::Keep(Self(&[])) }
    }
}
