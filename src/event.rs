//! Events: the trait [`Event`], which a host implements for its own type; [`Pdu`], a view over JSON text; and the proofs that an
//! event from another server is what it says.

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
pub use format::{
    FormatError, FormattedPdu, MAX_AUTH_EVENTS, MAX_EVENT_BYTES, MAX_PREV_EVENTS, MAX_SUBMITTED_BYTES,
    MAX_SUBMITTED_DEPTH,
};
pub use hash::{
    Sha256Hash, content_hash, event_id, event_id_of_stored, reference_hash, room_id_of_create, without_event_id,
};
pub use key_document::KeyDocument;
pub use keys::{KeyValidity, Keys, KeysFn, MAX_KEY_DOCUMENT_BYTES, ServerKeys, ServerKeysError, VerifyKey};
pub use owned::OwnedPdu;
pub use pdu::{MAX_EVENT_TEXT_BYTES, MAX_TRANSACTION_PDUS, Pdu, PduError, transaction_pdus};
pub(crate) use pdu::{signed_len, without_unsigned};
pub use redaction::redact;
pub(crate) use sign::{Draft, with_signature};
pub use sign::{SignError, SignedEvent, sign_event};
#[cfg(feature = "ed25519")]
pub use signature::{Ed25519, Ed25519Key};
pub use signature::{NoVerifier, Sign, Verify, signature_from_base64};
pub(crate) use signature::{ServerSignatures, check_server_signatures, each_signature};
pub use verified::{RedactedPdu, SignatureError, SignedPdu, VerifiedPdu, WholePdu};

/// The fields of an event that the authorization rules read.
///
/// A host implements it for the type that it has; nothing is copied or converted. The values are what the event
/// says, well-formed or not: the rules find out. The types that are ever asked for are those of [`EventType`].
///
/// # Examples
///
/// A host keeps the type as an enum, and the content as JSON text:
///
/// ```
/// use std::borrow::Cow;
///
/// use matrix_knock::RoomVersion;
/// use matrix_knock::auth::authorize_proposal;
/// use matrix_knock::event::{Event, EventType, Membership, Proposal};
/// use matrix_knock::state::StateMap;
///
/// enum Kind {
///     Create,
///     Member,
///     Other(String),
/// }
///
/// struct Stored {
///     id: String,
///     room: String,
///     kind: Kind,
///     key: Option<String>,
///     sender: String,
///     content: String,
///     prev_events: Vec<String>,
/// }
///
/// impl Event for Stored {
///     fn event_type(&self) -> Cow<'_, str> {
///         match &self.kind {
///             Kind::Create => "m.room.create".into(),
///             Kind::Member => "m.room.member".into(),
///             Kind::Other(name) => name.as_str().into(),
///         }
///     }
///     fn is_type(&self, event_type: EventType<'_>) -> bool {
///         match (&self.kind, event_type) {
///             (Kind::Create, EventType::Create) | (Kind::Member, EventType::Member) => true,
///             (Kind::Other(name), other) => other == name.as_str(),
///             (Kind::Create | Kind::Member, _) => false,
///         }
///     }
///     fn state_key(&self) -> Option<&str> {
///         self.key.as_deref()
///     }
///     fn sender(&self) -> &str {
///         &self.sender
///     }
///     fn content(&self) -> &str {
///         &self.content
///     }
///     fn room_id(&self) -> Option<&str> {
///         Some(&self.room)
///     }
///     fn event_id(&self) -> Option<&str> {
///         Some(&self.id)
///     }
///     fn sole_prev_event(&self) -> Option<&str> {
///         match self.prev_events.as_slice() {
///             [sole] => Some(sole),
///             _ => None,
///         }
///     }
/// }
///
/// let stored = |kind, content: &str| Stored {
///     id: "$event".to_owned(),
///     room: "!room:a.example".to_owned(),
///     kind,
///     key: Some(String::new()),
///     sender: "@alice:a.example".to_owned(),
///     content: content.to_owned(),
///     prev_events: Vec::new(),
/// };
/// let state = StateMap::from([
///     stored(Kind::Create, "{}"),
///     stored(Kind::Other("m.room.join_rules".to_owned()), r#"{"join_rule":"knock"}"#),
/// ]);
/// let knock = Proposal::of_oneself("@kay:b.example", Membership::Knock);
/// assert!(authorize_proposal(RoomVersion::V11, &knock, &state).is_ok());
/// ```
pub trait Event {
    /// Returns the `type`.
    fn event_type(&self) -> Cow<'_, str>;

    /// Returns whether the event is of this type. A host whose events have an enum for it compares that, and need not write the name
    /// out.
    fn is_type(&self, event_type: EventType<'_>) -> bool {
        self.event_type() == event_type.as_str()
    }

    /// Returns the `state_key`, if it is a state event.
    fn state_key(&self) -> Option<&str>;

    /// Returns the `sender`, a user ID.
    fn sender(&self) -> &str;

    /// Returns the `content`, a JSON text. Decisions take any text; [what a client is shown](crate::stripped_state::for_client)
    /// has it as it is, and needs JSON.
    fn content(&self) -> &str;

    /// Returns the `room_id`; `None` for the create event of a version 12 room.
    fn room_id(&self) -> Option<&str>;

    /// Returns the ID of the event, if it is known. Asked of the create event, to find out whether a join is the first one,
    /// of events that a template names, and of auth events.
    fn event_id(&self) -> Option<&str>;

    /// Returns the ID of the previous event, if there is exactly one in `prev_events`.
    fn sole_prev_event(&self) -> Option<&str>;

    /// Returns what decisions need of the [`content`](Self::content) of an `m.room.member` event. A host that keeps events in
    /// memory reads them once and returns what it kept; they have to be those of this content. A [`Pdu`] keeps them if it comes
    /// [from a store](Pdu::parse_stored) or its [format is checked](Pdu::check_format).
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

            #[inline]
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
