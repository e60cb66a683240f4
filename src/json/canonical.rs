//! Canonical JSON: the one text of a value that servers hash and sign.
//!
//! <https://spec.matrix.org/v1.19/appendices/#canonical-json>

use std::cmp::Ordering;
use std::ops::Range;

use super::filter::{Everything, Filter, Member};
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
    fn is_as_written(self, number: Number<'_>) -> bool {
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

/// [`canonical_part`], not yet in one piece.
pub(crate) fn canonicalize(
    text: &str,
    dialect: CanonicalDialect,
    filter: impl Filter,
) -> Result<Canonical<'_>, JsonError> {
    let mut writer = Writer {
        out: String::with_capacity(text.len()),
        members: Vec::with_capacity(USUAL_MEMBERS),
        spare: String::new(),
        dialect,
    };
    let mut reader = Reader::new(text);
    let reordered = match reader.kind()? {
        Kind::Object => writer.members(&mut reader, filter, 0)?,
        kind => writer.value(&mut reader, kind, filter).map(|()| false)?,
    };
    reader.end()?;
    if !reordered {
        writer.members.clear();
    }
    Ok(Canonical { written: writer.out, members: writer.members })
}

/// A value in canonical form. The members of the outermost object need not stand in order: whoever hashes them takes them
/// one by one, and saves a copy.
#[derive(Debug)]
pub(crate) struct Canonical<'a> {
    written: String,
    /// The members in order, if they do not stand so.
    members: Vec<Entry<'a>>,
}

impl Canonical<'_> {
    pub(crate) fn is_object(&self) -> bool {
        self.written.starts_with('{')
    }

    /// Whether the last member of the object is this one, and not the only one.
    pub(crate) fn last_member_is(&self, member: &str) -> bool {
        match self.members.last() {
            Some(last) => self.written.get(last.text.clone()) == Some(member),
            None => {
                let rest = self.written.strip_suffix('}').and_then(|rest| rest.strip_suffix(member));
                rest.is_some_and(|rest| rest.ends_with(','))
            }
        }
    }

    /// How many bytes it has: in whatever order the members stand, they are as many.
    pub(crate) fn len(&self) -> usize {
        self.written.len()
    }

    pub(crate) fn into_text(self) -> String {
        if self.members.is_empty() {
            return self.written;
        }
        let mut text = String::with_capacity(self.len());
        self.each_part(|part| text.push_str(part));
        text
    }

    /// Hands out the text from its beginning to its end.
    pub(crate) fn each_part(&self, mut each: impl FnMut(&str)) {
        if self.members.is_empty() {
            return each(&self.written);
        }
        let mut before = "{";
        for member in &self.members {
            each(before);
            each(self.written.get(member.text.clone()).unwrap_or_default());
            before = ",";
        }
        each("}");
    }
}

/// Appends a string with its quotes.
pub(crate) fn push_string(out: &mut String, text: &str) {
    out.push('"');
    text.chars().for_each(|character| push_char(out, character));
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

/// Room for the members of an event and its content, so that a usual one needs no second allocation.
const USUAL_MEMBERS: usize = 16;

/// How deep values are tried as they stand. What is not canonical is read again to be written, so this bounds how often.
const TRIED_DEPTH: u32 = 2;

/// A member of an object, and where its text `"key":value` stands.
#[derive(Debug)]
struct Entry<'a> {
    key: Str<'a>,
    prefix: u64,
    text: Range<usize>,
}

impl Entry<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.prefix.cmp(&other.prefix).then_with(|| self.key.cmp(other.key))
    }

    fn is_before(&self, other: &Self) -> bool {
        self.cmp(other).is_lt()
    }
}

struct Writer<'a> {
    out: String,
    /// The members of all objects that are open, outer ones first.
    members: Vec<Entry<'a>>,
    /// Room to put an object in order; kept for the next one.
    spare: String,
    dialect: CanonicalDialect,
}

impl<'a> Writer<'a> {
    /// Writes the value that comes next, which is of this kind.
    fn value<F: Filter>(&mut self, reader: &mut Reader<'a>, kind: Kind, filter: F) -> Result<(), JsonError> {
        if filter.keeps_all() && reader.depth() <= TRIED_DEPTH {
            let dialect = self.dialect;
            if let Some(text) = reader.skip_as_written(|number| dialect.is_as_written(number)) {
                self.out.push_str(text);
                return Ok(());
            }
        }
        match kind {
            Kind::Object => self.object(reader, filter),
            Kind::Array => self.array(reader),
            Kind::String => {
                let string = reader.string()?;
                self.string(string);
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

    fn object<F: Filter>(&mut self, reader: &mut Reader<'a>, filter: F) -> Result<(), JsonError> {
        let first = self.members.len();
        if self.members(reader, filter, first)? {
            self.put_in_order(first);
        }
        self.members.truncate(first);
        Ok(())
    }

    /// Writes an object with its members as they come, and puts their entries, from `first` on, in order. Whether the members
    /// have to follow them.
    fn members<F: Filter>(&mut self, reader: &mut Reader<'a>, filter: F, first: usize) -> Result<bool, JsonError> {
        self.out.push('{');
        reader.object(|key, reader| {
            let from = self.out.len();
            let kind = reader.kind()?;
            match filter.member(key, kind) {
                Member::Keep(filter) => {
                    self.key(key);
                    self.value(reader, kind, filter)?;
                }
                Member::Empty => {
                    self.key(key);
                    reader.skip()?;
                    self.out.push_str("{}");
                }
                Member::Omit => return reader.skip().map(drop),
            }
            self.members.push(Entry { key, prefix: key.prefix(), text: from..self.out.len() });
            self.out.push(',');
            Ok(())
        })?;
        if self.out.ends_with(',') {
            self.out.pop();
        }
        self.out.push('}');

        let members = self.members.get_mut(first..).unwrap_or_default();
        if members.is_sorted_by(Entry::is_before) {
            return Ok(false);
        }
        members.sort_unstable_by(Entry::cmp);
        if members.is_sorted_by(Entry::is_before) { Ok(true) } else { Err(reader.error(JsonErrorKind::DuplicateKey)) }
    }

    /// Writes the object that was written last once more, with the members in the order of their entries.
    fn put_in_order(&mut self, first: usize) {
        let members = self.members.get(first..).unwrap_or_default();
        let start = members.iter().map(|member| member.text.start).min().unwrap_or(self.out.len());
        self.spare.clear();
        self.spare.reserve(self.out.len());
        for member in members {
            self.spare.push_str(self.out.get(member.text.clone()).unwrap_or_default());
            self.spare.push(',');
        }
        self.spare.pop();
        self.out.truncate(start);
        self.out.push_str(&self.spare);
        self.out.push('}');
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
        self.string(key);
        self.out.push(':');
    }

    fn string(&mut self, string: Str<'a>) {
        match string.plain_quoted() {
            Some(quoted) => self.out.push_str(quoted),
            None => {
                self.out.push('"');
                string.chars().for_each(|character| push_char(&mut self.out, character));
                self.out.push('"');
            }
        }
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
