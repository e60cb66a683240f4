//! Stripped state: the little of a room that somebody outside of it is shown, so that they know what they knock on.
//!
//! It comes in two shapes. Between servers it is whole events, so that the receiving server can verify them; to
//! clients it is events of exactly four keys. A server never passes the former on as the latter.
//!
//! The events are chosen by look-up, seven at most: what it costs does not depend on the size of the room.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#stripped-state>
//!
//! # Examples
//!
//! ```
//! use matrix_knock::event::Pdu;
//! use matrix_knock::id::UserId;
//! use matrix_knock::stripped_state;
//!
//! let create = r#"{"type":"m.room.create","state_key":"","sender":"@a:a.example","content":{},"depth":1}"#;
//! let name = r#"{"type":"m.room.name","state_key":"","sender":"@a:a.example","content":{"name":"Knock!"},"depth":5}"#;
//! let state = [Pdu::parse(name)?, Pdu::parse(create)?];
//!
//! let whole: Vec<_> = stripped_state::events(&state).map(Pdu::text).collect();
//! assert_eq!(whole, [create, name]);
//!
//! let user = UserId::parse("@kay:b.example").expect("a user ID");
//! let shown: Vec<_> = stripped_state::for_client(&state, user).iter().map(ToString::to_string).collect();
//! assert_eq!(
//!     shown,
//!     [
//!         r#"{"content":{},"sender":"@a:a.example","state_key":"","type":"m.room.create"}"#,
//!         r#"{"content":{"name":"Knock!"},"sender":"@a:a.example","state_key":"","type":"m.room.name"}"#,
//!     ]
//! );
//! # Ok::<(), matrix_knock::event::PduError>(())
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::event::{Event, Pdu, PduError, content};
use crate::id::UserId;
use crate::json::{CanonicalDialect, canonical, push_string};
use crate::state::RoomState;

/// The types of the events that tell what a room is, each with an empty state key, in the order in which they are given.
pub const TYPES: [&str; 7] = [
    content::CREATE,
    content::JOIN_RULES,
    "m.room.name",
    "m.room.avatar",
    "m.room.topic",
    "m.room.canonical_alias",
    "m.room.encryption",
];

/// The events that tell what a room is, whole: the create event first, then the others that the room has.
pub fn events<S: RoomState + ?Sized>(state: &S) -> impl Iterator<Item = S::Event<'_>> {
    TYPES.into_iter().filter_map(|event_type| state.event(event_type, ""))
}

/// [`events`] of a state that is no look-up but a pile of JSON texts, in any order: what a host has on disk. One pass, and hardly any text
/// is parsed: what is chosen has an empty state key, and most events of a large room have nothing empty in them.
///
/// The texts are the host's own, as for [`Pdu::parse_stored`]. Of two for the same type the last counts.
///
/// # Errors
///
/// [`PduError`] of the first text that had to be parsed and is no event. (Those that need not be are not looked at so closely.)
///
/// # Examples
///
/// ```
/// use matrix_knock::event::Pdu;
/// use matrix_knock::stripped_state;
///
/// let texts = [
///     r#"{"content":{"membership":"join"},"sender":"@a:b","state_key":"@a:b","type":"m.room.member"}"#,
///     r#"{"content":{},"sender":"@a:b","state_key":"","type":"m.room.cr\u0065ate"}"#,
/// ];
/// let found = stripped_state::in_texts(texts)?;
/// assert_eq!(found.iter().map(Pdu::text).collect::<Vec<_>>(), [texts[1]]);
/// # Ok::<(), matrix_knock::event::PduError>(())
/// ```
pub fn in_texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Vec<Pdu<'a>>, PduError> {
    let mut found: [Option<Pdu<'a>>; TYPES.len()] = Default::default();
    for text in texts {
        if !may_be_chosen(text) {
            continue;
        }
        let event = Pdu::parse_stored(text)?;
        let chosen =
            TYPES.into_iter().position(|name| event.event_type() == name).filter(|_| event.state_key() == Some(""));
        if let Some(slot) = chosen.and_then(|position| found.get_mut(position)) {
            *slot = Some(event);
        }
    }
    Ok(found.into_iter().flatten().collect())
}

/// Whether the text of an event may be one of those that are chosen; false for nearly all that are not.
fn may_be_chosen(text: &str) -> bool {
    // In canonical form the type stands last, so that for the many members a look at the end will do: quotes that are not escaped
    // and the last brace of all make this the last property of the event itself.
    // For all others: an empty string is two quotes in a row, in whatever way the rest is written.
    !text.ends_with(r#","type":"m.room.member"}"#) && text.contains(r#""""#)
}

/// The same for a client: four keys each. The member event of the user who asks comes last, if the state has one.
///
/// An event whose content is no JSON object is left out: there is nothing that could be shown.
pub fn for_client<S: RoomState + ?Sized>(state: &S, user: UserId<'_>) -> Vec<StrippedEvent> {
    let own = state.event(content::MEMBER, user.as_str());
    let mut shown = Vec::with_capacity(TYPES.len().saturating_add(1));
    shown.extend(events(state).chain(own).filter_map(|event| StrippedEvent::of(&event)));
    shown
}

/// An event as a client is shown it: `type`, `state_key`, `sender`, `content`, and nothing else.
///
/// `Display` writes it as canonical JSON.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StrippedEvent {
    event_type: String,
    state_key: String,
    sender: String,
    content: String,
}

impl StrippedEvent {
    /// Prunes a state event. None if it has no state key, or its content is no JSON object.
    #[must_use]
    pub fn of(event: &impl Event) -> Option<Self> {
        // The lenient dialect: whether numbers are allowed in there was decided when the event came in.
        let content = canonical(event.content(), CanonicalDialect::Lenient).ok()?;
        Some(Self {
            event_type: event.event_type().to_owned(),
            state_key: event.state_key()?.to_owned(),
            sender: event.sender().to_owned(),
            content: Some(content).filter(|content| content.starts_with('{'))?,
        })
    }

    /// The `type`.
    #[must_use]
    pub fn event_type(&self) -> &str {
        &self.event_type
    }

    /// The `state_key`.
    #[must_use]
    pub fn state_key(&self) -> &str {
        &self.state_key
    }

    /// The `sender`.
    #[must_use]
    pub fn sender(&self) -> &str {
        &self.sender
    }

    /// The `content`, a JSON object in canonical form.
    #[must_use]
    pub fn content(&self) -> &str {
        &self.content
    }
}

impl fmt::Display for StrippedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 3] = [r#","sender":"#, r#","state_key":"#, r#","type":"#];
        let values = [&self.sender, &self.state_key, &self.event_type];
        let bytes = values.iter().map(|value| value.len()).fold(self.content.len(), usize::saturating_add);
        // The names and quotes take 51 bytes; escapes, should there be any, take more.
        let mut out = String::with_capacity(bytes.saturating_add(64));
        out.push_str(r#"{"content":"#);
        out.push_str(&self.content);
        for (name, value) in NAMES.into_iter().zip(values) {
            out.push_str(name);
            push_value(&mut out, value);
        }
        out.push('}');
        f.write_str(&out)
    }
}

/// Appends a string with its quotes, in one piece if nothing in it has to be escaped.
fn push_value(out: &mut String, value: &str) {
    // All are looked at, since that takes fewer steps than stopping at the first.
    let escapes = |found, byte| found | matches!(byte, b'"' | b'\\' | 0..=0x1F);
    if value.bytes().fold(false, escapes) {
        return push_string(out, value);
    }
    out.push('"');
    out.push_str(value);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::StateMap;

    fn event(event_type: &str, state_key: &str, content: &str) -> String {
        format!(
            r#"{{"unsigned":{{"age":1}},"type":"{event_type}","state_key":"{state_key}","sender":"@\u0061:b","content":{content},
            "depth":1}}"#
        )
    }

    #[test]
    fn chosen_by_type_and_empty_state_key() {
        let user = UserId::parse("@a:b").unwrap();
        let mut texts: Vec<_> =
            TYPES.iter().rev().map(|event_type| event(event_type, "", r#"{"b":1,"a":[1.0]}"#)).collect();
        for decoy in ["m.room.name", "m.room.create", "m.room.member"] {
            texts.push(event(decoy, "decoy", "{}"));
        }
        texts.push(event("m.room.power_levels", "", "{}"));
        texts.push(event("m.room.member", "@a:b", r#"{"membership":"knock"}"#));
        let events_of_room: Vec<_> = texts.iter().map(|text| Pdu::parse(text).unwrap()).collect();
        let state: StateMap<&Pdu<'_>> = events_of_room.iter().collect();

        let whole: Vec<_> = events(&state).map(|event| event.event_type().to_owned()).collect();
        assert_eq!(whole, TYPES);
        let shown: Vec<_> = for_client(&state, user).iter().map(ToString::to_string).collect();
        let mut expected: Vec<_> = TYPES
            .iter()
            .map(|name| format!(r#"{{"content":{{"a":[1.0],"b":1}},"sender":"@a:b","state_key":"","type":"{name}"}}"#))
            .collect();
        expected.push(
            r#"{"content":{"membership":"knock"},"sender":"@a:b","state_key":"@a:b","type":"m.room.member"}"#
                .to_owned(),
        );
        assert_eq!(shown, expected);

        let other = UserId::parse("@c:d").unwrap();
        assert_eq!(for_client(&state, other), for_client(&state, user)[..7]);
        assert_eq!(for_client(&StateMap::<&Pdu<'_>>::new(), user), []);
    }

    /// However the texts are written, the pile gives what the look-up gives.
    #[test]
    fn from_a_pile_of_texts() {
        let member = r#"{"content":{"displayname":"","membership":"join"},"sender":"@a:b","state_key":"@a:b","type":"m.room.member"}"#;
        let mut texts: Vec<String> = TYPES.iter().rev().map(|name| event(name, "", "{}")).collect();
        texts.push(event("m.room.n\\u0061me", "", r#"{"name":"last"}"#));
        texts.push(event("m.room.name", "decoy", r#"{"name":""}"#));
        texts.push(event("m.room.power_levels", "", "{}"));
        texts.push(member.to_owned());
        texts.push(r#"{"type":"m.room.topic","content":{},"sender":"@a:b","state_key" : "" }"#.to_owned());
        texts.push(
            r#"{"content":{"x":",\"type\":\"m.room.member\"}"},"sender":"","state_key":"","type":"m.room.avatar"}"#
                .to_owned(),
        );
        let state: StateMap<Pdu<'_>> = texts.iter().map(|text| Pdu::parse(text).unwrap()).collect();
        let looked_up: Vec<&str> = events(&state).map(|event| event.text()).collect();
        let found = in_texts(texts.iter().map(String::as_str)).unwrap();
        assert_eq!(found.iter().map(Pdu::text).collect::<Vec<_>>(), looked_up);
        assert_eq!(found.len(), TYPES.len());
        assert_eq!(in_texts([r#"{"a":""}"#]), Err(PduError::Missing("type")));
        assert_eq!(in_texts([r#"{"a":1}"#, ""]), Ok(Vec::new()));
        assert!(!may_be_chosen(member) && may_be_chosen(&texts[0]) && !may_be_chosen("{}"));
    }

    #[test]
    fn what_cannot_be_shown() {
        let texts = ["[]", "null", r#"{"a":1,"a":2}"#, r#""{""#].map(|content| event("m.room.name", "", content));
        for text in &texts {
            assert_eq!(StrippedEvent::of(&Pdu::parse_stored(text).unwrap()), None, "{text}");
        }
        let message = r#"{"type":"m.room.message","sender":"@a:b","content":{}}"#;
        assert_eq!(StrippedEvent::of(&Pdu::parse(message).unwrap()), None);
    }

    #[test]
    fn the_four_values() {
        let text = event("m.room.name", "", r#"{ "name" : "\"x\"\n" }"#);
        let stripped = StrippedEvent::of(&Pdu::parse(&text).unwrap()).unwrap();
        assert_eq!(
            (stripped.event_type(), stripped.state_key(), stripped.sender(), stripped.content()),
            ("m.room.name", "", "@a:b", r#"{"name":"\"x\"\n"}"#)
        );
    }
}
