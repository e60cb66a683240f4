//! Events: the library's trait [`Event`] for what a ruma-based host keeps.
//!
//! | the host has | it uses | what that costs |
//! | --- | --- | --- |
//! | a struct of its own with ruma's types | [`impl_event!`](crate::impl_event) | nothing: every field is borrowed |
//! | a struct with `ruma_state_res::Event` | [`StateResEvent`] | nothing; a join allocates one iterator |
//! | a `CanonicalJsonObject` | [`CanonicalEvent`] | the content is written as text once, when it is first asked for |
//! | a `Raw<AnyStateEvent>`, or another `Raw` | [`pdu_of_raw`] | one pass over the text; nothing is copied but escaped strings |
//!
//! ruma's event types are enums without a public way to `&str`. Decisions compare variants
//! ([`is_type`]) and never write a name out.

use std::borrow::Cow;
use std::sync::OnceLock;

use matrix_knock::event::{Event, EventType, Pdu, PduError};
use ruma_common::CanonicalJsonObject;
use ruma_common::canonical_json::CanonicalJsonValue;
use ruma_common::serde::Raw;
use ruma_events::{StateEventType, TimelineEventType};

macro_rules! types {
    ($($ours:ident $rumas:ident,)*) => {
        /// Returns whether ruma's event type is this one.
        ///
        /// Compares the variants, and allocates nothing. Only a type that the library has no
        /// variant for is written out.
        #[must_use]
        #[inline]
        pub fn is_type(event_type: &TimelineEventType, expected: EventType<'_>) -> bool {
            match expected {
                $(EventType::$ours => matches!(event_type, TimelineEventType::$rumas),)*
                other => event_type.to_string() == other.as_str(),
            }
        }

        /// Returns the name of ruma's event type.
        ///
        /// Borrowed for the types that the library asks for; for all others ruma writes it out,
        /// which allocates.
        #[must_use]
        pub fn name_of_type(event_type: &TimelineEventType) -> Cow<'_, str> {
            match event_type {
                $(TimelineEventType::$rumas => Cow::Borrowed(EventType::$ours.as_str()),)*
                other => Cow::Owned(other.to_string()),
            }
        }

        /// Returns ruma's state event type of the library's.
        ///
        /// Allocates only for a type that ruma has no variant for.
        #[must_use]
        #[inline]
        pub fn state_event_type(event_type: EventType<'_>) -> StateEventType {
            match event_type {
                $(EventType::$ours => StateEventType::$rumas,)*
                other => StateEventType::from(other.as_str()),
            }
        }
    };
}

types! {
    Create RoomCreate,
    JoinRules RoomJoinRules,
    PowerLevels RoomPowerLevels,
    Member RoomMember,
    ThirdPartyInvite RoomThirdPartyInvite,
    ServerAcl RoomServerAcl,
    Policy RoomPolicy,
    HistoryVisibility RoomHistoryVisibility,
    Name RoomName,
    Avatar RoomAvatar,
    Topic RoomTopic,
    CanonicalAlias RoomCanonicalAlias,
    Encryption RoomEncryption,
}

/// Implements the library's [`Event`] for a struct of the host's own, by its fields.
///
/// Each field is an expression over the event, of ruma's types:
///
/// | field | type |
/// | --- | --- |
/// | `event_type` | `&TimelineEventType` |
/// | `state_key` | `Option<&str>` |
/// | `sender` | `&UserId` |
/// | `content` | `&RawValue` |
/// | `room_id` | `Option<&RoomId>` |
/// | `event_id` | `Option<&EventId>` |
/// | `prev_events` | `&[OwnedEventId]`, or a slice of other event IDs |
/// | `member_facts` (may be left out) | [`MemberFacts`], kept since the event was read |
///
/// Nothing is copied, parsed or stored by the implementation. A host that keeps the 3 bytes of
/// [`MemberFacts`] spares every decision the parsing of the member events that it looks at.
///
/// # Examples
///
/// Your `PduEvent` in 30 lines:
///
/// ```
/// use matrix_knock::event::MemberFacts;
/// use ruma_common::{OwnedEventId, OwnedRoomId, OwnedUserId};
/// use ruma_events::TimelineEventType;
/// use serde_json::value::RawValue;
///
/// struct PduEvent {
///     event_id: OwnedEventId,
///     room_id: Option<OwnedRoomId>,
///     sender: OwnedUserId,
///     kind: TimelineEventType,
///     content: Box<RawValue>,
///     state_key: Option<String>,
///     prev_events: Vec<OwnedEventId>,
///     // Optional: `MemberFacts::of(content.get())`, read once when the event comes from the database.
///     member_facts: MemberFacts,
/// }
///
/// matrix_knock_ruma::impl_event! {
///     impl Event for PduEvent |pdu| {
///         event_type: &pdu.kind,
///         state_key: pdu.state_key.as_deref(),
///         sender: &pdu.sender,
///         content: &pdu.content,
///         room_id: pdu.room_id.as_deref(),
///         event_id: Some(&*pdu.event_id),
///         prev_events: &pdu.prev_events,
///         member_facts: pdu.member_facts,
///     }
/// }
///
/// fn has_event(event: &impl matrix_knock::event::Event) -> &str {
///     event.sender()
/// }
/// # let _ = |pdu: &PduEvent| has_event(pdu).len();
/// ```
///
/// [`MemberFacts`]: matrix_knock::event::MemberFacts
#[macro_export]
macro_rules! impl_event {
    (
        impl Event for $host:ty |$event:ident| {
            event_type: $event_type:expr,
            state_key: $state_key:expr,
            sender: $sender:expr,
            content: $content:expr,
            room_id: $room_id:expr,
            event_id: $event_id:expr,
            prev_events: $prev_events:expr
            $(, member_facts: $member_facts:expr)? $(,)?
        }
    ) => {
        impl $crate::matrix_knock::event::Event for $host {
            #[inline]
            fn event_type(&self) -> ::std::borrow::Cow<'_, str> {
                let $event = self;
                $crate::event::name_of_type($event_type)
            }

            #[inline]
            fn is_type(&self, event_type: $crate::matrix_knock::event::EventType<'_>) -> bool {
                let $event = self;
                $crate::event::is_type($event_type, event_type)
            }

            #[inline]
            fn state_key(&self) -> ::std::option::Option<&str> {
                let $event = self;
                $state_key
            }

            #[inline]
            fn sender(&self) -> &str {
                let $event = self;
                let sender: &$crate::ruma_common::UserId = $sender;
                sender.as_str()
            }

            #[inline]
            fn content(&self) -> &str {
                let $event = self;
                let content: &$crate::serde_json::value::RawValue = $content;
                content.get()
            }

            #[inline]
            fn room_id(&self) -> ::std::option::Option<&str> {
                let $event = self;
                let room_id: ::std::option::Option<&$crate::ruma_common::RoomId> = $room_id;
                room_id.map(|room_id| room_id.as_str())
            }

            #[inline]
            fn event_id(&self) -> ::std::option::Option<&str> {
                let $event = self;
                let event_id: ::std::option::Option<&$crate::ruma_common::EventId> = $event_id;
                event_id.map(|event_id| event_id.as_str())
            }

            #[inline]
            fn sole_prev_event(&self) -> ::std::option::Option<&str> {
                let $event = self;
                match $prev_events {
                    slice => $crate::event::sole(slice),
                }
            }

            $(
                #[inline]
                fn member_facts(&self) -> $crate::matrix_knock::event::MemberFacts {
                    let $event = self;
                    $member_facts
                }
            )?
        }
    };
}

/// Returns the only event ID of a list, if there is exactly one.
#[must_use]
#[inline]
pub fn sole<I: AsRef<str>>(event_ids: &[I]) -> Option<&str> {
    match event_ids {
        [sole] => Some(sole.as_ref()),
        _ => None,
    }
}

/// An event that ruma's state resolution reads, as the library reads it.
///
/// For a host whose events have `ruma_state_res::Event` already. `E` is the event, a reference to
/// it or an `Arc` of it. Nothing is copied. For a join, ruma's trait boxes an iterator over the
/// previous events: one allocation.
///
/// A host that wants to keep the [`MemberFacts`](matrix_knock::event::MemberFacts) of its events
/// uses [`impl_event!`](crate::impl_event).
///
/// Feature `state-res` (default).
#[cfg(feature = "state-res")]
#[derive(Debug, Clone, Copy)]
pub struct StateResEvent<E>(pub E);

#[cfg(feature = "state-res")]
impl<E: ruma_state_res::Event> Event for StateResEvent<E> {
    fn event_type(&self) -> Cow<'_, str> {
        name_of_type(self.0.event_type())
    }

    #[inline]
    fn is_type(&self, event_type: EventType<'_>) -> bool {
        is_type(self.0.event_type(), event_type)
    }

    fn state_key(&self) -> Option<&str> {
        self.0.state_key()
    }

    fn sender(&self) -> &str {
        self.0.sender().as_str()
    }

    fn content(&self) -> &str {
        self.0.content().get()
    }

    fn room_id(&self) -> Option<&str> {
        self.0.room_id().map(ruma_common::RoomId::as_str)
    }

    fn event_id(&self) -> Option<&str> {
        let event_id: &ruma_common::EventId = std::borrow::Borrow::borrow(self.0.event_id());
        Some(event_id.as_str())
    }

    fn sole_prev_event(&self) -> Option<&str> {
        let mut prev_events = self.0.prev_events();
        let sole: &ruma_common::EventId = std::borrow::Borrow::borrow(prev_events.next()?);
        if prev_events.next().is_some() { None } else { Some(sole.as_str()) }
    }
}

/// An event that a host keeps as ruma's `CanonicalJsonObject`.
///
/// Every property but the content is borrowed from the object. The content is written as canonical
/// JSON once, when it is first asked for: one allocation, for which the event is kept with its
/// object as long as it is in use.
///
/// A property that is missing or of another kind reads as an empty text, or as absent where the
/// property may be: the rules refuse such an event.
///
/// # Examples
///
/// ```
/// use matrix_knock::event::{Event, Membership};
/// use matrix_knock_ruma::event::CanonicalEvent;
/// use ruma_common::CanonicalJsonObject;
///
/// let object: CanonicalJsonObject = serde_json::from_str(
///     r#"{"type":"m.room.member","state_key":"@kay:b.example","sender":"@kay:b.example",
///         "content":{"membership":"knock"},"prev_events":["$last"]}"#,
/// )?;
/// let event = CanonicalEvent::new(&object);
/// assert_eq!(event.member_facts().membership(), Some(Membership::Knock));
/// assert_eq!(event.sole_prev_event(), Some("$last"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct CanonicalEvent<'o> {
    object: &'o CanonicalJsonObject,
    event_id: Option<&'o str>,
    content: OnceLock<String>,
}

impl<'o> CanonicalEvent<'o> {
    /// Creates the event of this object. Its ID is the `event_id` of the object, if there is one.
    #[must_use]
    pub fn new(object: &'o CanonicalJsonObject) -> Self {
        Self { object, event_id: text(object, "event_id"), content: OnceLock::new() }
    }

    /// Creates the event of this object, with the ID under which the host keeps it (since version 3
    /// an event does not have it).
    #[must_use]
    pub fn with_event_id(object: &'o CanonicalJsonObject, event_id: &'o ruma_common::EventId) -> Self {
        Self { object, event_id: Some(event_id.as_str()), content: OnceLock::new() }
    }
}

fn text<'o>(object: &'o CanonicalJsonObject, key: &str) -> Option<&'o str> {
    match object.get(key) {
        Some(CanonicalJsonValue::String(text)) => Some(text),
        _ => None,
    }
}

impl Event for CanonicalEvent<'_> {
    fn event_type(&self) -> Cow<'_, str> {
        text(self.object, "type").unwrap_or_default().into()
    }

    fn state_key(&self) -> Option<&str> {
        text(self.object, "state_key")
    }

    fn sender(&self) -> &str {
        text(self.object, "sender").unwrap_or_default()
    }

    fn content(&self) -> &str {
        self.content.get_or_init(|| self.object.get("content").map(ToString::to_string).unwrap_or_default())
    }

    fn room_id(&self) -> Option<&str> {
        text(self.object, "room_id")
    }

    fn event_id(&self) -> Option<&str> {
        self.event_id
    }

    /// In versions 1 and 2 an entry is a pair of ID and hashes.
    fn sole_prev_event(&self) -> Option<&str> {
        let Some(CanonicalJsonValue::Array(prev_events)) = self.object.get("prev_events") else { return None };
        let entry = match prev_events.as_slice() {
            [CanonicalJsonValue::Array(pair)] => pair.first()?,
            [sole] => sole,
            _ => return None,
        };
        if let CanonicalJsonValue::String(event_id) = entry { Some(event_id) } else { None }
    }
}

/// Reads an event that a host keeps as ruma's `Raw`: a `Raw<AnyStateEvent>`,
/// `Raw<AnyTimelineEvent>`, and so on.
///
/// It is the host's own text, so it is read as [`Pdu::parse_stored`] reads it: one pass, without
/// ruma's types in between and without copies but of strings with escapes. A text that comes from
/// another server goes through [`Pdu::parse`].
///
/// # Errors
///
/// [`PduError`] if it is not an event.
///
/// # Examples
///
/// ```
/// use matrix_knock::event::Event;
/// use matrix_knock_ruma::event::pdu_of_raw;
/// use ruma_common::serde::Raw;
/// use ruma_events::AnyStateEvent;
///
/// let raw: Raw<AnyStateEvent> = serde_json::from_str(
///     r#"{"type":"m.room.name","state_key":"","sender":"@a:a.example","content":{"name":"Knock!"},"event_id":"$name"}"#,
/// )?;
/// assert_eq!(pdu_of_raw(&raw)?.event_id(), Some("$name"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn pdu_of_raw<T>(raw: &Raw<T>) -> Result<Pdu<'_>, PduError> {
    Pdu::parse_stored(raw.json().get())
}
