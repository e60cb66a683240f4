//! Canonical JSON: the one text of a value that servers hash and sign.
//!
//! <https://spec.matrix.org/v1.19/appendices/#canonical-json>

use std::cmp::Ordering;
use std::ops::Range;

use super::filter::{Everything, Filter, Member};
use super::reader::is_plain;
use super::{JsonError, JsonErrorKind, Kind, Number, Reader, Str};
use crate::room_version::RoomVersion;

/// Which numbers canonical JSON has; everything else is the same in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CanonicalDialect {
    /// Room versions 6 and later: integers within ±(2^53-1), written without fraction, exponent or `-0`.
    Strict,
    /// Room versions 1 to 5, which never said: what Python's `json` makes of the number, since the servers of
    /// those days were written in it. Integers of any size stay, `-0` becomes `0`; a float becomes its shortest
    /// decimal form (`1e2` becomes `100.0`, `1E-7` becomes `1e-07`); a float beyond the range of a double is refused.
    Lenient,
}

impl CanonicalDialect {
    /// The dialect of a room version.
    #[must_use]
    pub const fn of(version: RoomVersion) -> Self {
        match version.rules().strict_canonical_json {
            true => Self::Strict,
            false => Self::Lenient,
        }
    }

    /// Whether a number is in its canonical form as it was written.
    pub(super) fn is_as_written(self, number: Number<'_>) -> bool {
        match self {
            Self::Strict => number.strict_integer().is_some(),
            Self::Lenient => number.is_integer() && number.text() != "-0",
        }
    }
}

/// Rewrites a JSON text in canonical form: no white space, keys sorted by code point, the shortest escapes.
///
/// # Errors
///
/// [`JsonError`] if the text is no JSON, is nested deeper than [`MAX_DEPTH`](super::MAX_DEPTH), has a key twice in
/// one object, a lone surrogate, or a number that the dialect does not have.
///
/// # Examples
///
/// ```
/// use matrix_knock::json::{CanonicalDialect, canonical};
///
/// let text = canonical(r#" { "b": "\u00e9", "a": [1, 2] } "#, CanonicalDialect::Strict)?;
/// assert_eq!(text, r#"{"a":[1,2],"b":"é"}"#);
/// # Ok::<(), matrix_knock::json::JsonError>(())
/// ```
pub fn canonical(text: &str, dialect: CanonicalDialect) -> Result<String, JsonError> {
    canonical_part(text, dialect, Everything)
}

/// [`canonical`] of what a filter leaves.
pub(crate) fn canonical_part(text: &str, dialect: CanonicalDialect, filter: impl Filter) -> Result<String, JsonError> {
    canonicalize(text, dialect, filter).map(Canonical::into_text)
}

/// [`canonical`] of what has events in it: transactions, requests. It may be nested
/// [`MAX_CONTAINER_DEPTH`](super::MAX_CONTAINER_DEPTH) levels deep.
pub(crate) fn canonical_container(text: &str, dialect: CanonicalDialect) -> Result<String, JsonError> {
    let reader = Reader::with_depth(text, super::MAX_CONTAINER_DEPTH);
    canonicalize_with(reader, dialect, Everything).map(Canonical::into_text)
}

/// [`canonical_part`], not yet in one piece.
pub(crate) fn canonicalize(
    text: &str,
    dialect: CanonicalDialect,
    filter: impl Filter,
) -> Result<Canonical<'_>, JsonError> {
    canonicalize_with(Reader::new(text), dialect, filter)
}

fn canonicalize_with(
    mut reader: Reader<'_>,
    dialect: CanonicalDialect,
    filter: impl Filter,
) -> Result<Canonical<'_>, JsonError> {
    let mut writer = Writer { out: String::new(), open: Vec::new(), spare: String::new(), dialect };
    let members = match reader.kind()? {
        Kind::Object => Some(writer.outermost(&mut reader, filter)?),
        kind => writer.value(&mut reader, kind, filter).map(|()| None)?,
    };
    reader.end()?;
    Ok(Canonical { written: writer.out, members })
}

/// A value in canonical form: of an object its members, in order, each borrowed from the text if it is canonical as it stands there.
#[derive(Debug, Clone)]
pub(crate) struct Canonical<'a> {
    /// The members that are not, one behind the other; all of the value, if it is no object.
    written: String,
    members: Option<Vec<CanonicalMember<'a>>>,
}

#[derive(Debug, Clone)]
struct CanonicalMember<'a> {
    place: Place<'a>,
    /// The value as it stands in the text.
    value: &'a str,
    text: MemberText<'a>,
}

/// `"key":value`
#[derive(Debug, Clone)]
enum MemberText<'a> {
    Borrowed(&'a str),
    Written(Range<usize>),
}

impl<'a> Canonical<'a> {
    pub(crate) const fn is_object(&self) -> bool {
        self.members.is_some()
    }

    /// The members of an object in order, each with its value as it stands in the text.
    pub(crate) fn members(&self) -> impl Iterator<Item = (Str<'a>, &'a str)> {
        self.members.iter().flatten().map(|member| (member.place.key, member.value))
    }

    /// Whether the last member of the object is this one.
    pub(crate) fn last_member_is(&self, text: &str) -> bool {
        let last = self.members.as_ref().and_then(|members| members.last());
        last.is_some_and(|member| self.text(member) == text)
    }

    /// How many bytes it has.
    pub(crate) fn len(&self) -> usize {
        let mut bytes = 0_usize;
        self.each_part(|part| bytes = bytes.saturating_add(part.len()));
        bytes
    }

    pub(crate) fn into_text(self) -> String {
        if self.members.is_none() {
            return self.written;
        }
        let mut text = String::with_capacity(self.len());
        self.each_part(|part| text.push_str(part));
        text
    }

    /// Hands out the text from its beginning to its end.
    pub(crate) fn each_part(&self, mut each: impl FnMut(&str)) {
        match self.members {
            Some(_) => self.each_part_without(&[], each),
            None => each(&self.written),
        }
    }

    /// The same of an object without these members.
    pub(crate) fn each_part_without(&self, names: &[&str], mut each: impl FnMut(&str)) {
        let is_left_out = |member: &CanonicalMember<'_>| names.iter().any(|name| member.place.key.is(name));
        let mut before = "{";
        for member in self.members.iter().flatten().filter(|member| !is_left_out(member)) {
            each(before);
            each(self.text(member));
            before = ",";
        }
        each(if before == "{" { "{}" } else { "}" });
    }

    /// The members in front of where a member of this name stands or would stand, and those behind, each without braces.
    pub(crate) fn around(&self, name: &str) -> [String; 2] {
        let mut around = [String::new(), String::new()];
        let [front, behind] = &mut around;
        for member in self.members.iter().flatten() {
            let out = match (*member.place.key.text()).cmp(name) {
                Ordering::Less => &mut *front,
                Ordering::Equal => continue,
                Ordering::Greater => &mut *behind,
            };
            if !out.is_empty() {
                out.push(',');
            }
            out.push_str(self.text(member));
        }
        around
    }

    /// What a filter leaves of it, as text: the same as [`canonical_part`] of the text that it was made of.
    pub(crate) fn part(&self, dialect: CanonicalDialect, filter: impl Filter) -> Result<String, JsonError> {
        let out = String::with_capacity(self.len());
        let mut writer = Writer { out, open: Vec::new(), spare: String::new(), dialect };
        let mut before = '{';
        for member in self.members.iter().flatten() {
            let (key, mut reader) = (member.place.key, Reader::new(member.value));
            let kind = reader.kind()?;
            let kept = filter.member(key, kind);
            if matches!(kept, Member::Omit | Member::OmitUnread) {
                continue;
            }
            writer.out.push(before);
            match kept {
                Member::Omit | Member::OmitUnread => {}
                Member::Keep(filter) if filter.keeps_all() => writer.out.push_str(self.text(member)),
                Member::Keep(filter) => {
                    writer.key(key);
                    writer.value(&mut reader, kind, filter)?;
                }
                Member::Empty => {
                    writer.key(key);
                    writer.out.push_str("{}");
                }
            }
            before = ',';
        }
        writer.out.push_str(if before == '{' { "{}" } else { "}" });
        Ok(writer.out)
    }

    fn text<'s>(&'s self, member: &'s CanonicalMember<'_>) -> &'s str {
        match &member.text {
            MemberText::Borrowed(text) => text,
            MemberText::Written(range) => self.written.get(range.clone()).unwrap_or_default(),
        }
    }
}

/// Appends a string that was read, with its quotes.
fn push_str(out: &mut String, string: Str<'_>) {
    out.push('"');
    match string.plain() {
        Some(plain) => out.push_str(plain),
        None => string.chars().for_each(|character| push_char(out, character)),
    }
    out.push('"');
}

/// Appends a string with its quotes.
pub(crate) fn push_string(out: &mut String, text: &str) {
    out.push('"');
    match is_plain(text) {
        true => out.push_str(text),
        false => text.chars().for_each(|character| push_char(out, character)),
    }
    out.push('"');
}

/// Appends an array of strings.
pub(crate) fn push_strings(out: &mut String, strings: &[String]) {
    let mut separator = '[';
    for string in strings {
        out.push(separator);
        push_string(out, string);
        separator = ',';
    }
    out.push_str(if strings.is_empty() { "[]" } else { "]" });
}

/// Room for the members of an event, so that a usual one needs no second allocation.
const USUAL_MEMBERS: usize = 16;

/// How deep values are tried as they stand. What is not canonical is read again to be written, so this bounds how often.
const TRIED_DEPTH: u32 = 2;

/// A key, and how it sorts.
#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    key: Str<'a>,
    prefix: u64,
}

impl<'a> Place<'a> {
    fn of(key: Str<'a>) -> Self {
        Self { key, prefix: key.prefix() }
    }

    fn cmp(&self, other: &Self) -> Ordering {
        self.prefix.cmp(&other.prefix).then_with(|| self.key.cmp(other.key))
    }
}

/// Puts members in order. Whether they did not stand so; none if two have the same key.
fn sort<'a, T>(members: &mut [T], place: impl Fn(&T) -> Place<'a>) -> Option<bool> {
    let ascending = |one: &T, two: &T| place(one).cmp(&place(two)).is_lt();
    if members.is_sorted_by(ascending) {
        return Some(false);
    }
    members.sort_unstable_by(|one, two| place(one).cmp(&place(two)));
    members.is_sorted_by(ascending).then_some(true)
}

struct Writer<'a> {
    out: String,
    /// The members of all objects within the outermost one that are open, outer ones first, and where they stand in `out`.
    open: Vec<(Place<'a>, Range<usize>)>,
    /// Room to put an object in order; kept for the next one.
    spare: String,
    dialect: CanonicalDialect,
}

impl<'a> Writer<'a> {
    fn outermost<F: Filter>(
        &mut self,
        reader: &mut Reader<'a>,
        filter: F,
    ) -> Result<Vec<CanonicalMember<'a>>, JsonError> {
        let mut members = Vec::with_capacity(USUAL_MEMBERS);
        reader.object(|key, reader| {
            let kind = reader.kind()?;
            let (at, start) = (reader.at(), self.out.len());
            let (value, text) = match filter.member(key, kind) {
                Member::Omit => return reader.skip_value(),
                Member::OmitUnread => return reader.skip_unsigned(),
                Member::Keep(filter) => match self.as_written(reader, filter) {
                    Some(value) => (value, reader.member(key, value)),
                    None => {
                        // Room for this value and what may follow, once.
                        self.out.reserve(reader.rest());
                        self.key(key);
                        self.value(reader, kind, filter)?;
                        (reader.since(at), None)
                    }
                },
                Member::Empty => {
                    self.key(key);
                    self.out.push_str("{}");
                    (reader.skip()?, None)
                }
            };
            let text = match text {
                Some(text) => MemberText::Borrowed(text),
                None => {
                    if self.out.len() == start {
                        self.key(key);
                        self.out.push_str(value);
                    }
                    MemberText::Written(start..self.out.len())
                }
            };
            members.push(CanonicalMember { place: Place::of(key), value, text });
            Ok(())
        })?;
        match sort(&mut members, |member| member.place) {
            Some(_) => Ok(members),
            None => Err(reader.error(JsonErrorKind::DuplicateKey)),
        }
    }

    /// Reads over the next value if it is canonical as it stands.
    fn as_written(&self, reader: &mut Reader<'a>, filter: impl Filter) -> Option<&'a str> {
        if !filter.keeps_all() || reader.depth() > TRIED_DEPTH {
            return None;
        }
        let dialect = self.dialect;
        reader.skip_as_written(|number| dialect.is_as_written(number))
    }

    /// Writes the value that comes next, which is of this kind.
    fn value<F: Filter>(&mut self, reader: &mut Reader<'a>, kind: Kind, filter: F) -> Result<(), JsonError> {
        match kind {
            Kind::Object => self.object(reader, filter),
            Kind::Array => self.array(reader),
            Kind::String => {
                let string = reader.string()?;
                push_str(&mut self.out, string);
                Ok(())
            }
            Kind::Number => {
                let before = reader.clone();
                let number = reader.number()?;
                self.number(number).map_err(|kind| before.error(kind))
            }
            Kind::True | Kind::False | Kind::Null => {
                self.out.push_str(reader.skip()?);
                Ok(())
            }
        }
    }

    /// Writes the members as they come, and puts them in order afterwards if they did not come so.
    fn object<F: Filter>(&mut self, reader: &mut Reader<'a>, filter: F) -> Result<(), JsonError> {
        let first = self.open.len();
        self.out.push('{');
        let start = self.out.len();
        reader.object(|key, reader| {
            let from = self.out.len();
            let kind = reader.kind()?;
            match filter.member(key, kind) {
                Member::Keep(filter) => {
                    self.key(key);
                    match self.as_written(reader, filter) {
                        Some(value) => self.out.push_str(value),
                        None => self.value(reader, kind, filter)?,
                    }
                }
                Member::Empty => {
                    self.key(key);
                    reader.skip_value()?;
                    self.out.push_str("{}");
                }
                Member::Omit => return reader.skip_value(),
                Member::OmitUnread => return reader.skip_unsigned(),
            }
            self.open.push((Place::of(key), from..self.out.len()));
            self.out.push(',');
            Ok(())
        })?;
        let members = self.open.get_mut(first..).unwrap_or_default();
        if sort(members, |(place, _)| *place).ok_or(reader.error(JsonErrorKind::DuplicateKey))? {
            self.spare.clear();
            self.spare.reserve(self.out.len());
            for (_, range) in members {
                self.spare.push_str(self.out.get(range.clone()).unwrap_or_default());
                self.spare.push(',');
            }
            self.out.truncate(start);
            self.out.push_str(&self.spare);
        }
        self.open.truncate(first);
        if self.out.ends_with(',') {
            self.out.pop();
        }
        self.out.push('}');
        Ok(())
    }

    fn array(&mut self, reader: &mut Reader<'a>) -> Result<(), JsonError> {
        self.out.push('[');
        reader.array(|reader| {
            let kind = reader.kind()?;
            self.value(reader, kind, Everything)?;
            self.out.push(',');
            Ok(())
        })?;
        if self.out.ends_with(',') {
            self.out.pop();
        }
        self.out.push(']');
        Ok(())
    }

    fn key(&mut self, key: Str<'a>) {
        push_str(&mut self.out, key);
        self.out.push(':');
    }

    fn number(&mut self, number: Number<'_>) -> Result<(), JsonErrorKind> {
        match self.dialect {
            dialect if dialect.is_as_written(number) => self.out.push_str(number.text()),
            CanonicalDialect::Strict => return Err(JsonErrorKind::NumberNotAllowed),
            CanonicalDialect::Lenient if number.text() == "-0" => self.out.push('0'),
            CanonicalDialect::Lenient => {
                let float = number.text().parse::<f64>().ok().filter(|float| float.is_finite());
                push_float(&mut self.out, float.ok_or(JsonErrorKind::NumberNotAllowed)?);
            }
        }
        Ok(())
    }
}

/// Writes a float as Python's `repr` does: the shortest digits that read back as the same double, with an exponent
/// of at least two digits where the decimal point would stand before the fifth zero or behind the sixteenth digit.
fn push_float(out: &mut String, float: f64) {
    let scientific = format!("{float:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..16).contains(&exponent) {
        out.push_str(&format!("{float:?}"));
        return;
    }
    out.push_str(digits);
    out.push_str(if exponent.is_negative() { "e-" } else { "e+" });
    out.push_str(&format!("{:02}", exponent.unsigned_abs()));
}

fn push_char(out: &mut String, character: char) {
    match character {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\u{8}' => out.push_str("\\b"),
        '\t' => out.push_str("\\t"),
        '\n' => out.push_str("\\n"),
        '\u{c}' => out.push_str("\\f"),
        '\r' => out.push_str("\\r"),
        '\0'..'\u{20}' => {
            // Without a string in between: a hostile text may have thousands of them.
            out.push_str(if character < '\u{10}' { "\\u000" } else { "\\u001" });
            out.extend(char::from_digit(u32::from(character) & 0xF, 16));
        }
        _ => out.push(character),
    }
}
