//! An event that owns its text.

use std::borrow::Cow;
use std::ops::Range;

use super::content::MemberFacts;
use super::event_type::EventType;
use super::pdu::{Parts, Pdu};
use super::{Event, PduError};

/// An owned [`Pdu`]: for a host that keeps events in memory, or moves one into a task.
///
/// # Examples
///
/// ```
/// use matrix_knock::event::{Event, OwnedPdu, Pdu};
/// use matrix_knock::state::StateMap;
///
/// let text = r#"{"type":"m.room.create","state_key":"","sender":"@a:b","content":{},"event_id":"$create"}"#.to_owned();
/// let create = OwnedPdu::parse_stored(text)?;
/// assert_eq!((create.event_id(), create.as_pdu().text()), (Some("$create"), create.text()));
/// let state: StateMap<OwnedPdu> = [create].into();
/// # drop(state);
/// # Ok::<(), matrix_knock::event::PduError>(())
/// ```
#[derive(Debug, Clone)]
pub struct OwnedPdu {
    text: Box<str>,
    event_type: Box<str>,
    state_key: Option<Box<str>>,
    sender: Box<str>,
    /// Where in the text the content stands.
    content: Range<usize>,
    room_id: Option<Box<str>>,
    event_id: Option<Box<str>>,
    sole_prev_event: Option<Box<str>>,
    member_facts: Option<MemberFacts>,
}

impl OwnedPdu {
    /// Reads an event from the host's own store, as [`Pdu::parse_stored`].
    ///
    /// # Errors
    ///
    /// [`PduError`], by the first thing that is wrong.
    pub fn parse_stored(text: impl AsRef<str>) -> Result<Self, PduError> {
        Pdu::parse_stored(text.as_ref()).map(Pdu::into_owned)
    }

    /// The same event with a note of its ID, as a host has computed or stored it.
    #[must_use]
    pub fn with_event_id(self, event_id: impl Into<Box<str>>) -> Self {
        Self { event_id: Some(event_id.into()), ..self }
    }

    /// Borrows the event. It is not read again.
    #[must_use]
    pub fn as_pdu(&self) -> Pdu<'_> {
        Pdu::of_parts(Parts {
            text: &self.text,
            event_type: Cow::Borrowed(&self.event_type),
            state_key: self.state_key.as_deref().map(Cow::Borrowed),
            sender: Cow::Borrowed(&self.sender),
            content: self.content(),
            room_id: self.room_id.as_deref().map(Cow::Borrowed),
            event_id: self.event_id.as_deref().map(Cow::Borrowed),
            sole_prev_event: self.sole_prev_event.as_deref().map(Cow::Borrowed),
            member_facts: self.member_facts,
        })
    }

    /// Returns the text that was read.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl Pdu<'_> {
    /// Copies the event.
    #[must_use]
    pub fn into_owned(self) -> OwnedPdu {
        self.into()
    }
}

impl From<Pdu<'_>> for OwnedPdu {
    fn from(pdu: Pdu<'_>) -> Self {
        let Parts { text, event_type, state_key, sender, content, room_id, event_id, sole_prev_event, member_facts } =
            pdu.into_parts();
        let owned = |text: Cow<'_, str>| Box::<str>::from(text);
        // The content is a part of the text.
        let start = content.as_ptr().addr().saturating_sub(text.as_ptr().addr());
        Self {
            text: text.into(),
            event_type: owned(event_type),
            state_key: state_key.map(owned),
            sender: owned(sender),
            content: start..start.saturating_add(content.len()),
            room_id: room_id.map(owned),
            event_id: event_id.map(owned),
            sole_prev_event: sole_prev_event.map(owned),
            member_facts,
        }
    }
}

/// Equal are those with the same text and the same note of an ID: all else follows from these.
impl PartialEq for OwnedPdu {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.event_id == other.event_id
    }
}

impl Eq for OwnedPdu {}

impl Event for OwnedPdu {
    fn event_type(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.event_type)
    }

    fn is_type(&self, event_type: EventType<'_>) -> bool {
        *self.event_type == *event_type.as_str()
    }

    fn state_key(&self) -> Option<&str> {
        self.state_key.as_deref()
    }

    fn sender(&self) -> &str {
        &self.sender
    }

    fn content(&self) -> &str {
        self.text.get(self.content.clone()).unwrap_or_default()
    }

    fn room_id(&self) -> Option<&str> {
        self.room_id.as_deref()
    }

    fn event_id(&self) -> Option<&str> {
        self.event_id.as_deref()
    }

    fn sole_prev_event(&self) -> Option<&str> {
        self.sole_prev_event.as_deref()
    }

    fn member_facts(&self) -> MemberFacts {
        self.member_facts.unwrap_or_else(|| MemberFacts::of(self.content()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_event() {
        for text in [
            r#"{"type":"t","sender":"s","content":{}}"#,
            r#" { "content" : {"a":"é"} , "type":"m.room.m\u0065mber","state_key":"\u0040a:b","sender":"@\u0061:b",
                "room_id":"!r:b","event_id":"$e","prev_events":["$p"] } "#,
        ] {
            for pdu in [Pdu::parse(text).unwrap(), Pdu::parse_stored(text).unwrap()] {
                let owned = pdu.clone().into_owned();
                let forms: [&dyn Event; 2] = [&owned, &owned.as_pdu()];
                for event in forms {
                    assert_eq!(event.event_type(), pdu.event_type());
                    assert_eq!(event.is_type(EventType::Member), pdu.is_type(EventType::Member));
                    assert_eq!((event.state_key(), event.sender()), (pdu.state_key(), pdu.sender()));
                    assert_eq!((event.content(), event.room_id()), (pdu.content(), pdu.room_id()));
                    assert_eq!(
                        (event.event_id(), event.sole_prev_event(), event.member_facts()),
                        (pdu.event_id(), pdu.sole_prev_event(), pdu.member_facts())
                    );
                }
                assert_eq!(
                    (owned.text(), &owned.as_pdu(), &OwnedPdu::parse_stored(text).unwrap()),
                    (text, &pdu, &owned)
                );
                let noted = pdu.with_event_id("$other").into_owned();
                assert_eq!((noted.event_id(), noted == owned), (Some("$other"), false));
            }
        }
    }
}
