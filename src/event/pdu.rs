//! An event in the federation's format, as a view over its JSON text.

use std::borrow::Cow;

use super::Event;
use super::content::MemberFacts;
use super::event_type::EventType;
use crate::id::domain;
use crate::json::{
    Canonical, CanonicalDialect, Field, Filter, JsonError, JsonErrorKind, Kind, Reader, Str, Without, canonical_part,
    canonicalize, read_array_unread, read_object, read_object_unread,
};
use crate::room_version::{EventIdFormat, RoomVersion};

/// The longest text without `unsigned` that [`Pdu::parse`] looks at, in bytes: six times the 65,536 bytes that an event may
/// have in canonical form, since an escape (`\u0061`) may take six bytes for one.
pub const MAX_EVENT_TEXT_BYTES: usize = 6 * 65_536;

/// A JSON text that is not even the outline of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PduError {
    /// The text is longer than [`MAX_EVENT_TEXT_BYTES`].
    #[error("event text of {bytes} bytes, more than {MAX_EVENT_TEXT_BYTES}")]
    TooLarge {
        /// The length of the text.
        bytes: usize,
    },
    /// The text is no JSON, or is JSON that no event may be: nested too deep, with a key twice, with lone surrogates.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The value is no object.
    #[error("event is not an object")]
    NotAnObject,
    /// A property that every event has is missing.
    #[error("event has no `{0}`")]
    Missing(&'static str),
    /// A property is not of the kind that it has in every event.
    #[error("`{0}` of the event is of the wrong kind")]
    WrongKind(&'static str),
}

/// An event read from JSON text: what the rules need of it, borrowed from the text.
///
/// The outline is checked, not more: it is an object with `type`, `sender` and `content`; what else it has of
/// `state_key`, `room_id` and `prev_events` is of the right kind. What `content` says is the rules' affair. An `event_id` is
/// the host's note of the event's ID (before v3, a part of the event); one that is no string is none.
#[derive(Debug, Clone)]
pub struct Pdu<'a> {
    text: &'a str,
    /// What is known of its canonical form.
    form: Option<Form<'a>>,
    event_type: Cow<'a, str>,
    state_key: Option<Cow<'a, str>>,
    sender: Cow<'a, str>,
    content: &'a str,
    room_id: Option<Cow<'a, str>>,
    event_id: Option<Cow<'a, str>>,
    sole_prev_event: Option<Cow<'a, str>>,
    /// What was read of the content, if it was.
    member_facts: Option<MemberFacts>,
}

/// The outline of an event.
pub(super) struct Parts<'a> {
    pub(super) text: &'a str,
    pub(super) event_type: Cow<'a, str>,
    pub(super) state_key: Option<Cow<'a, str>>,
    pub(super) sender: Cow<'a, str>,
    pub(super) content: &'a str,
    pub(super) room_id: Option<Cow<'a, str>>,
    pub(super) event_id: Option<Cow<'a, str>>,
    pub(super) sole_prev_event: Option<Cow<'a, str>>,
    pub(super) member_facts: Option<MemberFacts>,
}

/// The canonical form of an event.
#[derive(Debug, Clone)]
struct Form<'a> {
    canonical: Canonical<'a>,
    bytes: usize,
    /// The first number that canonical JSON does not have since v6.
    loose_number: Option<JsonError>,
}

impl<'a> Form<'a> {
    /// `unsigned` is no part of it: nobody signs it, and any server on the way may change it.
    fn of(text: &'a str) -> Result<Self, PduError> {
        const SIGNED: Without<'_> = Without(&["unsigned"]);
        let (canonical, loose_number) = match canonicalize(text, CanonicalDialect::Strict, SIGNED) {
            Ok(canonical) => (canonical, None),
            Err(error) if error.kind() == JsonErrorKind::NumberNotAllowed => {
                (canonicalize(text, CanonicalDialect::Lenient, SIGNED)?, Some(error))
            }
            Err(error) => return Err(error.into()),
        };
        if !canonical.is_object() {
            return Err(PduError::NotAnObject);
        }
        Ok(Self { bytes: canonical.len(), canonical, loose_number })
    }
}

/// What is read of the members of an event.
#[derive(Default)]
struct Outline<'a> {
    event_type: Field<Str<'a>>,
    state_key: Field<Str<'a>>,
    sender: Field<Str<'a>>,
    content: Field<&'a str>,
    member_facts: Option<MemberFacts>,
    room_id: Field<Str<'a>>,
    event_id: Field<Str<'a>>,
    prev_events: Field<Option<Str<'a>>>,
}

impl<'a> Outline<'a> {
    /// Reads the value behind this key.
    fn put(&mut self, key: Str<'a>, reader: &mut Reader<'a>) -> Result<(), JsonError> {
        match &*key.text() {
            "type" => self.event_type.put(reader.string_field()?),
            "state_key" => self.state_key.put(reader.string_field()?),
            "sender" => self.sender.put(reader.string_field()?),
            "room_id" => self.room_id.put(reader.string_field()?),
            "event_id" => self.event_id.put(reader.string_field()?),
            "content" => {
                let (text, facts) = reader.with_text(MemberFacts::read)?;
                self.content.put(Field::Is(text));
                self.member_facts = Some(facts);
            }
            "prev_events" => self.prev_events.put(sole_prev_event(reader)?),
            "unsigned" => reader.skip_unsigned()?,
            _ => reader.skip_value()?,
        }
        Ok(())
    }

    fn pdu(self, text: &'a str, form: Option<Form<'a>>) -> Result<Pdu<'a>, PduError> {
        Ok(Pdu {
            text,
            form,
            event_type: required("type", self.event_type.map(Str::text))?,
            state_key: self.state_key.map(Str::text).optional(PduError::WrongKind("state_key"))?,
            sender: required("sender", self.sender.map(Str::text))?,
            content: required("content", self.content)?,
            room_id: self.room_id.map(Str::text).optional(PduError::WrongKind("room_id"))?,
            event_id: self.event_id.map(Str::text).optional(()).unwrap_or_default(),
            sole_prev_event: self.prev_events.optional(PduError::WrongKind("prev_events"))?.flatten().map(Str::text),
            member_facts: self.member_facts,
        })
    }
}

impl<'a> Pdu<'a> {
    /// Reads an event that comes from anywhere. The whole text is checked: JSON, nesting, keys that occur twice at any
    /// level, escapes. `unsigned` is no part of the event: of it no more than the grammar of JSON is checked.
    ///
    /// # Errors
    ///
    /// [`PduError`], by the first thing that is wrong.
    pub fn parse(text: &'a str) -> Result<Self, PduError> {
        if text.len() > MAX_EVENT_TEXT_BYTES {
            let bytes = signed_len(text);
            if bytes > MAX_EVENT_TEXT_BYTES {
                return Err(PduError::TooLarge { bytes });
            }
        }
        let form = Form::of(text)?;
        let mut outline = Outline::default();
        for (key, value) in form.canonical.members() {
            match key.is("content") {
                // Read over already.
                true => outline.content.put(Field::Is(value)),
                false => outline.put(key, &mut Reader::new(value))?,
            }
        }
        outline.pdu(text, Some(form))
    }

    /// Reads an event from the host's own store, which was checked before it was stored: keys that stand twice within
    /// `content` are not looked for, nor is there a limit on the length. Whatever the text is, this does not panic.
    ///
    /// # Errors
    ///
    /// [`PduError`], by the first thing that is wrong.
    pub fn parse_stored(text: &'a str) -> Result<Self, PduError> {
        let mut reader = Reader::new(text);
        if reader.kind()? != Kind::Object {
            return Err(PduError::NotAnObject);
        }
        let mut outline = Outline::default();
        reader.object(|key, reader| outline.put(key, reader))?;
        reader.end()?;
        outline.pdu(text, None)
    }

    pub(super) fn of_parts(parts: Parts<'a>) -> Self {
        let Parts { text, event_type, state_key, sender, content, room_id, event_id, sole_prev_event, member_facts } =
            parts;
        let form = None;
        Self { text, form, event_type, state_key, sender, content, room_id, event_id, sole_prev_event, member_facts }
    }

    pub(super) fn into_parts(self) -> Parts<'a> {
        let Self { text, event_type, state_key, sender, content, room_id, event_id, sole_prev_event, .. } = self;
        let member_facts = self.member_facts;
        Parts { text, event_type, state_key, sender, content, room_id, event_id, sole_prev_event, member_facts }
    }

    /// The same event with a note of its ID, as a host has computed or stored it.
    #[must_use]
    pub fn with_event_id(self, event_id: impl Into<Cow<'a, str>>) -> Self {
        Self { event_id: Some(event_id.into()), ..self }
    }

    /// The event as it goes to other servers: canonical JSON without `unsigned`, and since v3 without `event_id`.
    ///
    /// # Errors
    ///
    /// [`JsonError`] if the text of a [stored](Self::parse_stored) event has no canonical form.
    pub fn to_federation(&self, version: RoomVersion) -> Result<String, JsonError> {
        let omitted: &[&str] = match version.rules().event_ids {
            EventIdFormat::InBody => &["unsigned"],
            EventIdFormat::StandardHash | EventIdFormat::UrlSafeHash => &["unsigned", "event_id"],
        };
        // The lenient dialect: whether numbers are allowed in there was decided when the event came in.
        self.canonical_part(CanonicalDialect::Lenient, Without(omitted))
    }

    /// The event with its canonical form, and how many bytes that has in this version.
    pub(super) fn canonicalized(self, version: RoomVersion) -> Result<(Self, usize), PduError> {
        let form = match self.form {
            Some(form) => form,
            None => Form::of(self.text)?,
        };
        match form.loose_number {
            Some(error) if version.rules().strict_canonical_json => Err(error.into()),
            _ => {
                let bytes = form.bytes;
                Ok((Self { form: Some(form), ..self }, bytes))
            }
        }
    }

    /// The event with what decisions need of its content, if it is a member event.
    pub(super) fn with_member_facts(self) -> Self {
        let facts = self.is_type(EventType::Member).then(|| MemberFacts::of(self.content));
        Self { member_facts: self.member_facts.or(facts), ..self }
    }

    /// The members with their values, once they are [canonicalized](Self::canonicalized).
    pub(super) fn members(&self) -> impl Iterator<Item = (Str<'a>, &'a str)> {
        self.form.iter().flat_map(|form| form.canonical.members())
    }

    /// Whether the event that was [read](Self::parse) has a member of one of these names.
    pub(crate) fn has_any_of(&self, names: &[&str]) -> bool {
        self.members().any(|(key, _)| names.iter().any(|name| key.is(name)))
    }

    /// The canonical form, once it is known.
    pub(super) fn canonical(&self) -> Option<&Canonical<'a>> {
        self.form.as_ref().map(|form| &form.canonical)
    }

    /// What a filter leaves of the canonical form.
    pub(super) fn canonical_part(&self, dialect: CanonicalDialect, filter: impl Filter) -> Result<String, JsonError> {
        match &self.form {
            Some(form) => form.canonical.part(dialect, filter),
            None => canonical_part(self.text, dialect, filter),
        }
    }

    /// The text that was read.
    #[must_use]
    pub const fn text(&self) -> &'a str {
        self.text
    }

    /// The server of the sender.
    pub(super) fn sender_server(&self) -> Option<Cow<'a, str>> {
        part(&self.sender, domain)
    }

    /// What stands behind the first `:` of the event ID: before v3, its server.
    pub(super) fn event_id_server(&self) -> Option<Cow<'a, str>> {
        part(self.event_id.as_ref()?, |id| id.split_once(':').map(|(_, server)| server))
    }
}

/// A part of a text, borrowed if the text is.
fn part<'a>(whole: &Cow<'a, str>, of: impl Fn(&str) -> Option<&str>) -> Option<Cow<'a, str>> {
    match *whole {
        Cow::Borrowed(whole) => of(whole).map(Cow::Borrowed),
        Cow::Owned(ref whole) => of(whole).map(|part| Cow::Owned(part.to_owned())),
    }
}

/// Equal are those with the same text and the same note of an ID: all else follows from these.
impl PartialEq for Pdu<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.event_id == other.event_id
    }
}

impl Eq for Pdu<'_> {}

impl Event for Pdu<'_> {
    fn event_type(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.event_type)
    }

    fn is_type(&self, event_type: EventType<'_>) -> bool {
        self.event_type == event_type.as_str()
    }

    fn state_key(&self) -> Option<&str> {
        self.state_key.as_deref()
    }

    fn sender(&self) -> &str {
        &self.sender
    }

    fn content(&self) -> &str {
        self.content
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
        self.member_facts.unwrap_or_else(|| MemberFacts::of(self.content))
    }
}

/// Returns the texts of the PDUs of a transaction (the body of `PUT /send/{txnId}`), each to be read by itself: one that is
/// malformed, or nested too deep, costs itself only.
///
/// At most [`MAX_TRANSACTION_PDUS`] are returned, as many as a transaction may have.
///
/// # Errors
///
/// [`JsonError`] if the body is not an object, or it cannot be told where one PDU ends and the next begins.
///
/// <https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv1sendtxnid>
///
/// # Examples
///
/// ```
/// use matrix_knock::event::{Pdu, transaction_pdus};
///
/// let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
/// let body = format!(r#"{{"origin":"a.example","pdus":[{deep},{{"type":"t","sender":"@a:b","content":{{}}}}]}}"#);
/// let pdus = transaction_pdus(&body)?;
/// assert_eq!(pdus.iter().map(|text| Pdu::parse(text).is_ok()).collect::<Vec<_>>(), [false, true]);
/// # Ok::<(), matrix_knock::json::JsonError>(())
/// ```
pub fn transaction_pdus(body: &str) -> Result<Vec<&str>, JsonError> {
    let mut list = None;
    read_object_unread(body, |key, value| {
        if key.is("pdus") {
            list = Some(value);
        }
    })?;
    let mut pdus = Vec::new();
    if let Some(list) = list {
        read_array_unread(list, |pdu| {
            if pdus.len() < MAX_TRANSACTION_PDUS {
                pdus.push(pdu);
            }
        })?;
    }
    Ok(pdus)
}

/// The most PDUs of a transaction.
pub const MAX_TRANSACTION_PDUS: usize = 50;

/// The text of an event without its `unsigned`. A text that cannot be read stays as it is: whoever
/// reads it next refuses it.
pub(crate) fn without_unsigned(text: &str) -> String {
    let mut out = String::new();
    match each_signed(text, |part| out.push_str(part)) {
        Ok(()) => out,
        Err(_) => text.to_owned(),
    }
}

/// How many bytes [`without_unsigned`] has, whatever the text has: nothing of it is copied.
pub(crate) fn signed_len(text: &str) -> usize {
    let mut bytes = 0_usize;
    match each_signed(text, |part| bytes = bytes.saturating_add(part.len())) {
        Ok(()) => bytes,
        Err(_) => text.len(),
    }
}

/// Hands out the text of an event without its `unsigned`, from its beginning to its end.
fn each_signed(text: &str, mut each: impl FnMut(&str)) -> Result<(), JsonError> {
    let mut before = "{";
    read_object(text, |key, reader| {
        let value = reader.skip_unread()?;
        if !key.is("unsigned") {
            let (quote, key) = key.as_written();
            [before, quote, key, quote, ":", value].into_iter().for_each(&mut each);
            before = ",";
        }
        Ok(())
    })?;
    each(if before == "{" { "{}" } else { "}" });
    Ok(())
}

/// The `type` of any object that has one.
pub(crate) fn event_type(text: &str) -> Result<Str<'_>, PduError> {
    string_in(text, "type")
}

/// The `event_id` of any object that has one: in versions 1 and 2, the ID of the event.
pub(crate) fn id_in_body(text: &str) -> Result<String, PduError> {
    string_in(text, "event_id").map(|id| id.text().into_owned())
}

fn string_in<'a>(text: &'a str, name: &'static str) -> Result<Str<'a>, PduError> {
    let mut reader = Reader::new(text);
    if reader.kind()? != Kind::Object {
        return Err(PduError::NotAnObject);
    }
    let mut field = Field::Missing;
    reader.object(|key, reader| match () {
        () if key.is(name) => reader.string_field().map(|found| field.put(found)),
        () if key.is("unsigned") => reader.skip_unsigned(),
        () => reader.skip_value(),
    })?;
    reader.end()?;
    required(name, field)
}

fn required<T>(name: &'static str, field: Field<T>) -> Result<T, PduError> {
    field.optional(PduError::WrongKind(name))?.ok_or(PduError::Missing(name))
}

/// The event ID in `prev_events` if there is exactly one. In versions 1 and 2 an entry is a pair of the ID and hashes.
fn sole_prev_event<'a>(reader: &mut Reader<'a>) -> Result<Field<Option<Str<'a>>>, JsonError> {
    if reader.kind()? != Kind::Array {
        return reader.skip_value().map(|()| Field::Malformed);
    }
    let mut sole = None;
    let mut count = 0_usize;
    let mut malformed = false;
    reader.array(|reader| {
        count = count.saturating_add(1);
        match event_reference(reader)? {
            Field::Is(id) => sole = Some(id),
            Field::Missing | Field::Malformed => malformed = true,
        }
        Ok(())
    })?;
    Ok(match malformed {
        true => Field::Malformed,
        false => Field::Is(sole.filter(|_| count == 1)),
    })
}

fn event_reference<'a>(reader: &mut Reader<'a>) -> Result<Field<Str<'a>>, JsonError> {
    if reader.kind()? != Kind::Array {
        return reader.string_field();
    }
    let mut first = Field::Missing;
    reader.array(|reader| match first {
        Field::Missing => reader.string_field().map(|field| first = field),
        _ => reader.skip_value(),
    })?;
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::JsonErrorKind;

    fn json_error(text: &str) -> Option<JsonErrorKind> {
        match Pdu::parse(text) {
            Err(PduError::Json(error)) => Some(error.kind()),
            _ => None,
        }
    }

    #[test]
    fn an_event_of_version_10() {
        let text = r#"{"type":"m.room.member","state_key":"@a:b","sender":"@a\u003ab","content":{"membership":"knock"},
            "room_id":"!r:b","prev_events":["$p"],"auth_events":[],"depth":4,"hashes":{},"origin_server_ts":1}"#;
        let Ok(pdu) = Pdu::parse(text) else { panic!("a good event") };
        assert_eq!(pdu.event_type(), "m.room.member");
        assert_eq!(pdu.state_key(), Some("@a:b"));
        assert_eq!(pdu.sender(), "@a:b");
        assert_eq!(pdu.content(), r#"{"membership":"knock"}"#);
        assert_eq!(pdu.room_id(), Some("!r:b"));
        assert_eq!(pdu.event_id(), None);
        assert_eq!(pdu.sole_prev_event(), Some("$p"));
        assert_eq!(pdu.text(), text);
    }

    #[test]
    fn between_servers() {
        let text = r#"{"unsigned":{"age":1},"type":"t","sender":"s","event_id":"$e","content":{"b":1,"a":2}}"#;
        let pdu = Pdu::parse(text).unwrap();
        let without = r#"{"content":{"a":2,"b":1},"sender":"s","type":"t"}"#;
        let with = r#"{"content":{"a":2,"b":1},"event_id":"$e","sender":"s","type":"t"}"#;
        for version in RoomVersion::ALL {
            let expected = if version <= RoomVersion::V2 { with } else { without };
            assert_eq!(pdu.to_federation(version), Ok(expected.to_owned()), "{version}");
        }
    }

    #[test]
    fn previous_events() {
        for (prev, sole) in [
            ("[]", Some(None)),
            (r#"["$a"]"#, Some(Some("$a"))),
            (r#"["$a","$b"]"#, Some(None)),
            (r#"[["$a:b",{"sha256":"x"}]]"#, Some(Some("$a:b"))),
            (r#"[["$a:b",{}],["$c:d",{}]]"#, Some(None)),
            ("[[]]", None),
            ("[[1]]", None),
            ("[1]", None),
            ("{}", None),
            ("null", None),
        ] {
            let text = format!(r#"{{"type":"t","sender":"s","content":{{}},"prev_events":{prev}}}"#);
            let parsed = Pdu::parse(&text);
            let found = parsed.as_ref().map(|pdu| pdu.sole_prev_event());
            assert_eq!(found, sole.ok_or(&PduError::WrongKind("prev_events")), "{prev}");
        }
    }

    #[test]
    fn what_is_no_event() {
        assert_eq!(Pdu::parse("[]"), Err(PduError::NotAnObject));
        assert_eq!(Pdu::parse("{}"), Err(PduError::Missing("type")));
        assert_eq!(Pdu::parse(r#"{"type":"t"}"#), Err(PduError::Missing("sender")));
        assert_eq!(Pdu::parse(r#"{"type":"t","sender":"s"}"#), Err(PduError::Missing("content")));
        assert_eq!(Pdu::parse(r#"{"type":1,"sender":"s","content":{}}"#), Err(PduError::WrongKind("type")));
        let noted = Pdu::parse(r#"{"type":"t","sender":"s","content":{},"event_id":5}"#).unwrap();
        assert_eq!(noted.event_id(), None);
        assert_eq!(noted.with_event_id("$x").event_id(), Some("$x"));
        for name in ["state_key", "room_id"] {
            let text = format!(r#"{{"type":"t","sender":"s","content":{{}},"{name}":null}}"#);
            assert_eq!(Pdu::parse(&text), Err(PduError::WrongKind(name)));
        }
    }

    #[test]
    fn texts_that_attack() {
        let deep = "[".repeat(1_000_000);
        let in_content = |value: &str| format!(r#"{{"type":"t","sender":"s","content":{{"a":{value}}}}}"#);
        assert_eq!(Pdu::parse(&deep), Err(PduError::TooLarge { bytes: 1_000_000 }));
        assert_eq!(json_error(&in_content(&"[".repeat(200_000))), Some(JsonErrorKind::TooDeep));
        let nested = |depth| in_content(&format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
        assert_eq!(json_error(&nested(126)), None);
        assert_eq!(json_error(&nested(127)), Some(JsonErrorKind::TooDeep));
        assert_eq!(json_error(&in_content(r#"{"b":1,"c":{"d":1,"\u0064":2}}"#)), Some(JsonErrorKind::DuplicateKey));
        assert_eq!(json_error(r#"{"type":"t","type":"t"}"#), Some(JsonErrorKind::DuplicateKey));
        assert_eq!(json_error(&in_content(r#""\ud800""#)), Some(JsonErrorKind::LoneSurrogate));
        assert_eq!(json_error(""), Some(JsonErrorKind::UnexpectedEnd));
        let large = in_content(&format!("{:?}", "x".repeat(10_000_000)));
        assert_eq!(Pdu::parse(&large), Err(PduError::TooLarge { bytes: large.len() }));
    }
}
