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
//! use matrix_knock::state::StateMap;
//! use matrix_knock::stripped_state;
//!
//! let create = r#"{"type":"m.room.create","state_key":"","sender":"@a:a.example","content":{},"depth":1}"#;
//! let name = r#"{"type":"m.room.name","state_key":"","sender":"@a:a.example","content":{"name":"Knock!"},"depth":5}"#;
//! let state = StateMap::from([Pdu::parse(name)?, Pdu::parse(create)?]);
//!
//! let whole: Vec<_> = stripped_state::events(&state).collect::<Result<_, _>>()?;
//! assert_eq!(whole, [&Pdu::parse(create)?, &Pdu::parse(name)?]);
//!
//! let user = UserId::parse("@kay:b.example")?;
//! let shown: Vec<_> = stripped_state::for_client(&state, user)?.iter().map(ToString::to_string).collect();
//! assert_eq!(
//!     shown,
//!     [
//!         r#"{"content":{},"sender":"@a:a.example","state_key":"","type":"m.room.create"}"#,
//!         r#"{"content":{"name":"Knock!"},"sender":"@a:a.example","state_key":"","type":"m.room.name"}"#,
//!     ]
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::event::{Event, EventType, Pdu, PduError};
use crate::id::UserId;
use crate::json::{CanonicalDialect, Captured, JsonText, Reader, Str, canonical_as_it_stands, push_string};
use crate::state::{NotLookedUp, Reads, RoomState};

/// The types of the events that tell what a room is, each with an empty state key, in the order in which they are given.
pub const TYPES: [EventType<'static>; 7] = [
    EventType::Create,
    EventType::JoinRules,
    EventType::Name,
    EventType::Avatar,
    EventType::Topic,
    EventType::CanonicalAlias,
    EventType::Encryption,
];

/// Which state events, of an empty state key, somebody outside the room is shown. [`Default`] is the specification's list,
/// [`TYPES`]; a host may choose others.
///
/// # Examples
///
/// ```
/// use matrix_knock::event::EventType;
/// use matrix_knock::stripped_state::ShownTypes;
///
/// // The create event is always there, first.
/// let types = ShownTypes::new([EventType::Name, EventType::from("org.example.rules")])?;
/// let names: Vec<_> = types.iter().map(|event_type| event_type.to_string()).collect();
/// assert_eq!(names, ["m.room.create", "m.room.name", "org.example.rules"]);
/// # Ok::<(), matrix_knock::stripped_state::TooManyTypes>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownTypes(Cow<'static, [Cow<'static, str>]>);

/// The most types that somebody outside the room is shown, the create event included.
pub const MAX_SHOWN_TYPES: usize = 20;

/// More types than [`MAX_SHOWN_TYPES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{types} types of events, more than {MAX_SHOWN_TYPES}")]
pub struct TooManyTypes {
    types: usize,
}

impl Default for ShownTypes {
    fn default() -> Self {
        static NAMES: [Cow<'static, str>; TYPES.len()] = [
            Cow::Borrowed(EventType::Create.as_str()),
            Cow::Borrowed(EventType::JoinRules.as_str()),
            Cow::Borrowed(EventType::Name.as_str()),
            Cow::Borrowed(EventType::Avatar.as_str()),
            Cow::Borrowed(EventType::Topic.as_str()),
            Cow::Borrowed(EventType::CanonicalAlias.as_str()),
            Cow::Borrowed(EventType::Encryption.as_str()),
        ];
        Self(Cow::Borrowed(&NAMES))
    }
}

impl ShownTypes {
    /// Creates a list of types: the create event, then these in their order, none twice.
    ///
    /// # Errors
    ///
    /// [`TooManyTypes`].
    pub fn new<'a>(types: impl IntoIterator<Item = EventType<'a>>) -> Result<Self, TooManyTypes> {
        let mut list: Vec<Cow<'static, str>> = Vec::new();
        for event_type in std::iter::once(EventType::Create).chain(types) {
            if !list.iter().any(|known| **known == *event_type.as_str()) {
                list.push(event_type.as_str().to_owned().into());
            }
        }
        if list.len() > MAX_SHOWN_TYPES { Err(TooManyTypes { types: list.len() }) } else { Ok(Self(list.into())) }
    }

    /// Returns the types in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = EventType<'_>> {
        self.0.iter().map(|name| EventType::from(&**name))
    }

    /// Returns the entries that [`events`](Self::events) looks up.
    #[must_use]
    pub fn reads(&self) -> Reads {
        Reads::of_types(self.iter())
    }

    /// Returns the entries that [`for_client`](Self::for_client) looks up.
    #[must_use]
    pub fn reads_for_client(&self, user: UserId<'_>) -> Reads {
        self.reads().and(&[(EventType::Member, user.as_str())].into_iter().collect())
    }

    /// [`events`] of these types.
    ///
    /// # Errors
    ///
    /// As [`events`].
    pub fn events<'s, S: RoomState + ?Sized>(
        &self,
        state: &'s S,
    ) -> impl Iterator<Item = Result<S::Event<'s>, NotLookedUp>> {
        self.iter().filter_map(|event_type| state.event(event_type, "").transpose())
    }

    /// [`for_client`] with events of these types.
    ///
    /// # Errors
    ///
    /// As [`for_client`].
    pub fn for_client<S: RoomState + ?Sized>(
        &self,
        state: &S,
        user: UserId<'_>,
    ) -> Result<Vec<StrippedEvent>, NotLookedUp> {
        pruned(self.iter(), state, user)
    }
}

/// Returns the entries that [`events`] looks up.
#[must_use]
pub fn reads() -> Reads {
    Reads::of_types(TYPES)
}

/// Returns the entries that [`for_client`] looks up.
#[must_use]
pub fn reads_for_client(user: UserId<'_>) -> Reads {
    TYPES.into_iter().map(|event_type| (event_type, "")).chain([(EventType::Member, user.as_str())]).collect()
}

/// Returns the events that tell what a room is, whole: the create event first, then the others that the room has.
///
/// # Errors
///
/// [`NotLookedUp`] in the place of an event if a snapshot lacks an entry of [`reads`].
pub fn events<S: RoomState + ?Sized>(state: &S) -> impl Iterator<Item = Result<S::Event<'_>, NotLookedUp>> {
    TYPES.into_iter().filter_map(|event_type| state.event(event_type, "").transpose())
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
        let chosen = TYPES.into_iter().position(|name| event.is_type(name)).filter(|_| event.state_key() == Some(""));
        if let Some(slot) = chosen.and_then(|position| found.get_mut(position)) {
            *slot = Some(event);
        }
    }
    Ok(found.into_iter().flatten().collect())
}

/// Whether the text of an event may be one of those that are chosen; false for nearly all that are not.
#[inline]
fn may_be_chosen(text: &str) -> bool {
    // In canonical form the type stands last, so that for the many members a look at the end will do: quotes that are not escaped
    // and the last brace of all make this the last property of the event itself.
    // For all others: an empty string is two quotes in a row, in whatever way the rest is written.
    !text.ends_with(r#","type":"m.room.member"}"#) && text.contains(r#""""#)
}

/// The same for a client: four keys each. The member event of the user who asks comes last, if the state has one.
///
/// The contents are passed on as they are, but for white space around them, and not read again: the state is the host's own. They have to be JSON as
/// [`Pdu::parse_stored`] takes it, nested at most 128 levels deep and without lone surrogates (a `RawValue` of serde_json is
/// not checked for either); what is shown of others may be no JSON. A host that is not sure of its contents looks
/// the [`events`] up and prunes each with [`StrippedEvent::of`], which reads them. An event whose content does not begin as an
/// object is left out: there is nothing that could be shown.
///
/// # Errors
///
/// [`NotLookedUp`] if a snapshot lacks an entry of [`reads_for_client`].
pub fn for_client<S: RoomState + ?Sized>(state: &S, user: UserId<'_>) -> Result<Vec<StrippedEvent>, NotLookedUp> {
    pruned(TYPES.into_iter(), state, user)
}

fn pruned<'t, S: RoomState + ?Sized>(
    types: impl ExactSizeIterator<Item = EventType<'t>>,
    state: &S,
    user: UserId<'_>,
) -> Result<Vec<StrippedEvent>, NotLookedUp> {
    let mut shown = Vec::with_capacity(types.len().saturating_add(1));
    let places = types.map(|event_type| (event_type, "")).chain([(EventType::Member, user.as_str())]);
    for (event_type, state_key) in places {
        let event = state.event(event_type, state_key)?;
        shown.extend(event.and_then(|event| StrippedEvent::with_content(&event, event.content())));
    }
    Ok(shown)
}

/// An event as a client is shown it: `type`, `state_key`, `sender`, `content`, and nothing else.
///
/// `Display` writes it as JSON, the keys in the order of canonical JSON. With serde it is that object. Converted into a
/// `String` and back it is the same to the byte.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StrippedEvent {
    text: String,
    /// Where in the text the values end.
    content: usize,
    sender: usize,
    state_key: usize,
}

/// The deepest nesting of an event that is shown to a client, its own braces included: 120 levels. Around it `/sync` has six
/// more, and a client's JSON parser may stop at 128.
pub const MAX_SHOWN_DEPTH: u32 = 120;

const CONTENT: &str = r#"{"content":"#;
const SENDER: &str = r#","sender":"#;
const STATE_KEY: &str = r#","state_key":"#;
const TYPE: &str = r#","type":"#;
const END: &str = "}";

impl StrippedEvent {
    /// Prunes a state event, its content in canonical form. None if it has no state key, or its content is no JSON object.
    #[must_use]
    pub fn of(event: &impl Event) -> Option<Self> {
        // The lenient dialect: whether numbers are allowed in there was decided when the event came in.
        let content = canonical_as_it_stands(event.content(), CanonicalDialect::Lenient).ok()?;
        Self::with_content(event, &content)
    }

    fn with_content(event: &impl Event, content: &str) -> Option<Self> {
        const NAMES: usize = CONTENT.len() + SENDER.len() + STATE_KEY.len() + TYPE.len() + END.len();
        const QUOTES: usize = 6;
        let (sender, state_key, event_type) = (event.sender(), event.state_key()?, &*event.event_type());
        let content = match content.as_bytes() {
            [b'{', .., b'}'] => content,
            _ => Some(content.trim_matches([' ', '\t', '\n', '\r'])).filter(|trimmed| trimmed.starts_with('{'))?,
        };
        // Escapes, should there be any, take more.
        let bytes = [content, sender, state_key, event_type].into_iter().map(str::len);
        let mut text = String::with_capacity(bytes.fold(NAMES + QUOTES, usize::saturating_add));
        text.push_str(CONTENT);
        text.push_str(content);
        let content = text.len();
        let mut push = |name, value| {
            text.push_str(name);
            push_string(&mut text, value);
            text.len()
        };
        let (sender, state_key) = (push(SENDER, sender), push(STATE_KEY, state_key));
        push(TYPE, event_type);
        text.push_str(END);
        Some(Self { text, content, sender, state_key })
    }

    /// Whether the event is nested no deeper than [`MAX_SHOWN_DEPTH`].
    pub(crate) fn is_shallow(&self) -> bool {
        Reader::with_depth(&self.text, MAX_SHOWN_DEPTH).skip_value().is_ok()
    }

    /// The event as JSON.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The `type`.
    #[must_use]
    pub fn event_type(&self) -> Cow<'_, str> {
        self.value(self.state_key, TYPE, self.text.len().saturating_sub(END.len()))
    }

    /// The `state_key`.
    #[must_use]
    pub fn state_key(&self) -> Cow<'_, str> {
        self.value(self.sender, STATE_KEY, self.state_key)
    }

    /// The `sender`.
    #[must_use]
    pub fn sender(&self) -> Cow<'_, str> {
        self.value(self.content, SENDER, self.sender)
    }

    /// The `content`, a JSON object.
    #[must_use]
    pub fn content(&self) -> &str {
        self.text.get(CONTENT.len()..self.content).unwrap_or_default()
    }

    /// The string behind this name, which was written there.
    fn value(&self, name_from: usize, name: &str, to: usize) -> Cow<'_, str> {
        let quoted = self.text.get(name_from.saturating_add(name.len())..to).unwrap_or_default();
        Reader::new(quoted).string().map(Str::text).unwrap_or_default()
    }
}

impl fmt::Display for StrippedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<StrippedEvent> for String {
    fn from(event: StrippedEvent) -> Self {
        event.text
    }
}

/// Of any state event; what is not shown falls away, the content stays as it is.
impl TryFrom<String> for StrippedEvent {
    type Error = NotStripped;

    fn try_from(text: String) -> Result<Self, NotStripped> {
        let event = Pdu::parse_stored(&text)?;
        Self::with_content(&event, event.content()).ok_or(NotStripped::NotState)
    }
}

impl Serialize for StrippedEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        JsonText(&self.text).serialize(serializer)
    }
}

/// Of any state event, from a format that describes itself; what is not shown falls away.
impl<'de> Deserialize<'de> for StrippedEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Captured(text) = Captured::deserialize(deserializer)?;
        Self::try_from(text).map_err(de::Error::custom)
    }
}

/// A text that is no stripped event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotStripped {
    /// It is no event.
    #[error(transparent)]
    Pdu(#[from] PduError),
    /// It has no state key, or its content is no object.
    #[error("not a state event whose content is an object")]
    NotState,
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
            TYPES.iter().rev().map(|event_type| event(event_type.as_str(), "", r#"{"b":1,"a":[1.0]}"#)).collect();
        for decoy in ["m.room.name", "m.room.create", "m.room.member"] {
            texts.push(event(decoy, "decoy", "{}"));
        }
        texts.push(event("m.room.power_levels", "", "{}"));
        texts.push(event("m.room.member", "@a:b", r#"{"membership":"knock"}"#));
        let events_of_room: Vec<_> = texts.iter().map(|text| Pdu::parse(text).unwrap()).collect();
        let state: StateMap<&Pdu<'_>> = events_of_room.iter().collect();

        let whole: Vec<_> = events(&state).map(|event| event.unwrap().event_type().into_owned()).collect();
        assert_eq!(whole, TYPES.map(EventType::as_str));
        let shown: Vec<_> = for_client(&state, user).unwrap().iter().map(ToString::to_string).collect();
        let mut expected: Vec<_> = TYPES
            .iter()
            .map(|name| format!(r#"{{"content":{{"b":1,"a":[1.0]}},"sender":"@a:b","state_key":"","type":"{name}"}}"#))
            .collect();
        expected.push(
            r#"{"content":{"membership":"knock"},"sender":"@a:b","state_key":"@a:b","type":"m.room.member"}"#
                .to_owned(),
        );
        assert_eq!(shown, expected);

        let other = UserId::parse("@c:d").unwrap();
        assert_eq!(for_client(&state, other).unwrap(), for_client(&state, user).unwrap()[..7]);
        assert_eq!(for_client(&StateMap::<&Pdu<'_>>::new(), user), Ok(vec![]));
    }

    /// However the texts are written, the pile gives what the look-up gives.
    #[test]
    fn from_a_pile_of_texts() {
        let member = r#"{"content":{"displayname":"","membership":"join"},"sender":"@a:b","state_key":"@a:b","type":"m.room.member"}"#;
        let mut texts: Vec<String> = TYPES.iter().rev().map(|name| event(name.as_str(), "", "{}")).collect();
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
        let looked_up: Vec<&str> = events(&state).map(|event| event.unwrap().text()).collect();
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
        let values = |event: &StrippedEvent| {
            [&*event.event_type(), &*event.state_key(), &*event.sender(), event.content()].map(str::to_owned)
        };
        assert_eq!(values(&stripped), ["m.room.name", "", "@a:b", r#"{"name":"\"x\"\n"}"#]);

        let text = r#"{"type":"t\"\u0020","state_key":"\n","sender":"\\","content":{}}"#;
        let escaped = StrippedEvent::of(&Pdu::parse(text).unwrap()).unwrap();
        assert_eq!(values(&escaped), ["t\" ", "\n", "\\", "{}"]);
        assert_eq!(escaped.text(), r#"{"content":{},"sender":"\\","state_key":"\n","type":"t\" "}"#);
        for event in [stripped, escaped] {
            let text = String::from(event.clone());
            assert_eq!(text, event.to_string());
            assert_eq!(StrippedEvent::try_from(text), Ok(event));
        }
        let padded = StrippedEvent::with_content(&Pdu::parse(text).unwrap(), " \t{ }\r\n").unwrap();
        assert_eq!(padded.content(), "{ }");
        assert_eq!(StrippedEvent::try_from(padded.to_string()), Ok(padded));
        let refused = |text: &str| StrippedEvent::try_from(text.to_owned());
        assert_eq!(refused("[]"), Err(NotStripped::Pdu(PduError::NotAnObject)));
        assert_eq!(refused(r#"{"type":"t","sender":"","content":{}}"#), Err(NotStripped::NotState));
        assert_eq!(refused(r#"{"type":"t","state_key":"","sender":"","content":[]}"#), Err(NotStripped::NotState));
    }
}
