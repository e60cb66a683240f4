//! The types of events that this crate asks for.

use std::fmt;

macro_rules! event_types {
    ($($(#[$doc:meta])* $variant:ident $name:literal,)*) => {
        /// The type of an event, as a look-up in a state asks for it.
        ///
        /// A host whose store is keyed by an enum matches on the variants; for the others, [`as_str`](Self::as_str) is the
        /// name. Compare types with `==` or [`Event::is_type`](super::Event::is_type).
        ///
        /// # Examples
        ///
        /// ```
        /// use matrix_knock::event::EventType;
        ///
        /// assert_eq!(EventType::from("m.room.member"), EventType::Member);
        /// assert_eq!(EventType::Member.as_str(), "m.room.member");
        /// assert_eq!(EventType::from("org.example.x").as_str(), "org.example.x");
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum EventType<'a> {
            $($(#[$doc])* #[doc = concat!("`", $name, "`.")] $variant,)*
            /// Any other type. Made by `from` only, so that a type has one form.
            Other(OtherEventType<'a>),
        }

        impl<'a> EventType<'a> {
            /// Returns the name of the type.
            #[must_use]
            pub const fn as_str(self) -> &'a str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Other(OtherEventType(name)) => name,
                }
            }
        }

        impl<'a> From<&'a str> for EventType<'a> {
            fn from(name: &'a str) -> Self {
                match name {
                    $($name => Self::$variant,)*
                    other => Self::Other(OtherEventType(other)),
                }
            }
        }
    };
}

event_types! {
    /// Decisions read it, templates name it, outsiders are shown it:
    Create "m.room.create",
    /// Decisions read it, templates name it, outsiders are shown it:
    JoinRules "m.room.join_rules",
    /// Decisions read it, templates name it:
    PowerLevels "m.room.power_levels",
    /// Decisions read it, templates name it; the state key is the user:
    Member "m.room.member",
    /// Decisions on a third-party invite read it; the state key is the token:
    ThirdPartyInvite "m.room.third_party_invite",
    /// Read before a server is answered:
    ServerAcl "m.room.server_acl",
    /// Read before an event is sent, for the policy server of the room:
    Policy "m.room.policy",
    /// Read for which events somebody may see:
    HistoryVisibility "m.room.history_visibility",
    /// Outsiders are shown it:
    Name "m.room.name",
    /// Outsiders are shown it:
    Avatar "m.room.avatar",
    /// Outsiders are shown it:
    Topic "m.room.topic",
    /// Outsiders are shown it:
    CanonicalAlias "m.room.canonical_alias",
    /// Outsiders are shown it:
    Encryption "m.room.encryption",
}

/// The name of an event type that [`EventType`] has no variant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OtherEventType<'a>(&'a str);

impl fmt::Display for EventType<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl AsRef<str> for EventType<'_> {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq<str> for EventType<'_> {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for EventType<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}
