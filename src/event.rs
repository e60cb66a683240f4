//! An event, as the rules see it: a trait that a host implements for its own type, and [`Pdu`], a view over JSON text.

pub(crate) mod content;
mod event_type;
mod format;
mod hash;
mod key_document;
mod keys;
mod owned;
mod pdu;
mod redaction;
mod sign;
mod signature;
mod verified;

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

pub use content::{Malformed, MemberFacts, Membership, UnknownMembership};
pub use event_type::{EventType, OtherEventType};
pub use format::{FormatError, FormattedPdu, MAX_AUTH_EVENTS, MAX_EVENT_BYTES, MAX_PREV_EVENTS};
pub use hash::{Sha256Hash, content_hash, event_id, reference_hash, room_id_of_create, without_event_id};
pub use key_document::KeyDocument;
pub use keys::{KeyValidity, Keys, KeysFn, MAX_KEY_DOCUMENT_BYTES, ServerKeys, ServerKeysError, VerifyKey};
pub use owned::OwnedPdu;
pub use pdu::{MAX_EVENT_TEXT_BYTES, Pdu, PduError};
pub use redaction::redact;
pub(crate) use sign::Draft;
pub use sign::{SignError, SignedEvent, sign_event};
#[cfg(feature = "ed25519")]
pub use signature::{Ed25519, Ed25519Key};
pub use signature::{NoVerifier, Sign, Verify};
pub use verified::{RedactedPdu, SignatureError, SignedPdu, VerifiedPdu, WholePdu};

/// What the rules read of an event, be it the one to decide on or one of a room's state.
///
/// A host implements it for the type that it has; nothing is copied or converted. The values are what the event
/// says, well-formed or not: the rules find out.
pub trait Event {
    /// The `type`.
    fn event_type(&self) -> Cow<'_, str>;

    /// Whether the event is of this type. A host whose events have an enum for it compares that, and need not write the name
    /// out.
    fn is_type(&self, event_type: EventType<'_>) -> bool {
        self.event_type() == event_type.as_str()
    }

    /// The `state_key`, if it is a state event.
    fn state_key(&self) -> Option<&str>;

    /// The `sender`, a user ID.
    fn sender(&self) -> &str;

    /// The `content`, a JSON text. Decisions make do with any text; [what a client is shown](crate::stripped_state::for_client) has
    /// it as it is, and asks for more.
    fn content(&self) -> &str;

    /// The `room_id`; none in the create event of a version 12 room.
    fn room_id(&self) -> Option<&str>;

    /// The ID of the event, if it is known. Asked of the create event, to find out whether a join is the first one,
    /// and of events that a template refers to.
    fn event_id(&self) -> Option<&str>;

    /// The ID of the previous event, if there is exactly one in `prev_events`.
    fn sole_prev_event(&self) -> Option<&str>;

    /// What decisions need of the [`content`](Self::content) of an `m.room.member` event. A host that keeps its events in memory reads
    /// them once and answers with what it kept; they have to be those of this content. A [`Pdu`] keeps them if it comes [from a
    /// store](Pdu::parse_stored) or its [format is checked](Pdu::check_format).
    fn member_facts(&self) -> MemberFacts {
        MemberFacts::of(self.content())
    }
}

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<E: Event + ?Sized> Event for $pointer {
            fn event_type(&self) -> Cow<'_, str> {
                (**self).event_type()
            }

            fn is_type(&self, event_type: EventType<'_>) -> bool {
                (**self).is_type(event_type)
            }

            fn state_key(&self) -> Option<&str> {
                (**self).state_key()
            }

            fn sender(&self) -> &str {
                (**self).sender()
            }

            fn content(&self) -> &str {
                (**self).content()
            }

            fn room_id(&self) -> Option<&str> {
                (**self).room_id()
            }

            fn event_id(&self) -> Option<&str> {
                (**self).event_id()
            }

            fn sole_prev_event(&self) -> Option<&str> {
                (**self).sole_prev_event()
            }

            fn member_facts(&self) -> MemberFacts {
                (**self).member_facts()
            }
        }
    )*};
}

forward!(&E, Box<E>, Rc<E>, Arc<E>);

/// A change of membership that nobody has made an event of yet: for asking whether somebody could.
///
/// It is what a user's client would send: no previous event, no authorizing user, no third-party invite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Proposal<'a> {
    /// Who would send the event: a user ID.
    pub sender: &'a str,
    /// Whose membership would change: a user ID.
    pub target: &'a str,
    /// What the membership would be.
    pub membership: Membership,
}

impl<'a> Proposal<'a> {
    /// A change of the sender's own membership.
    #[must_use]
    pub const fn of_oneself(user: &'a str, membership: Membership) -> Self {
        Self { sender: user, target: user, membership }
    }
}

impl Event for Proposal<'_> {
    fn event_type(&self) -> Cow<'_, str> {
        EventType::Member.as_str().into()
    }

    fn is_type(&self, event_type: EventType<'_>) -> bool {
        event_type == EventType::Member
    }

    fn state_key(&self) -> Option<&str> {
        Some(self.target)
    }

    fn sender(&self) -> &str {
        self.sender
    }

    fn content(&self) -> &str {
        self.membership.bare_content()
    }

    fn room_id(&self) -> Option<&str> {
        None
    }

    fn event_id(&self) -> Option<&str> {
        None
    }

    fn sole_prev_event(&self) -> Option<&str> {
        None
    }
}
