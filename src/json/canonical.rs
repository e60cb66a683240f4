//! Canonical JSON: the one text of a value that servers hash and sign.
//!
//! <https://spec.matrix.org/v1.19/appendices/#canonical-json>

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
    let mut writer = Writer {
        out: String::with_capacity(text.len()),
        members: Vec::with_capacity(USUAL_MEMBERS),
        spare: String::new(),
        dialect,
    };
    let mut reader = Reader::new(text);
    writer.value(&mut reader, filter)?;
    reader.end()?;
    Ok(writer.out)
}

/// Appends a string with its quotes.
pub(crate) fn push_string(out: &mut String, text: &str) {
    out.push('"');
    text.chars().for_each(|character| push_char(out, character));
    out.push('"');
}

/// Room for the members of an event and its content, so that a usual one needs no second allocation.
const USUAL_MEMBERS: usize = 24;

/// A member of an object that is open, with where its text `"key":value` stands.
type Entry<'a> = (Str<'a>, Range<usize>);

struct Writer<'a> {
    out: String,
    /// The members of all objects that are open, outer ones first.
    members: Vec<Entry<'a>>,
    /// Room to put an object in order; kept for the next one.
    spare: String,
    dialect: CanonicalDialect,
}

impl<'a> Writer<'a> {
    fn value<F: Filter>(&mut self, reader: &mut Reader<'a>, filter: F) -> Result<(), JsonError> {
        match reader.kind()? {
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

    /// Writes the members as they come, and puts them in order afterwards if they did not come so.
    fn object<F: Filter>(&mut self, reader: &mut Reader<'a>, filter: F) -> Result<(), JsonError> {
        let first = self.members.len();
        self.out.push('{');
        let start = self.out.len();
        reader.object(|key, reader| {
            let from = self.out.len();
            match filter.member(key, reader.kind()?) {
                Member::Keep(filter) => {
                    self.key(key);
                    self.value(reader, filter)?;
                }
                Member::Empty => {
                    self.key(key);
                    reader.skip()?;
                    self.out.push_str("{}");
                }
                Member::Omit => return reader.skip().map(drop),
            }
            self.members.push((key, from..self.out.len()));
            self.out.push(',');
            Ok(())
        })?;
        self.order(first, start).map_err(|kind| reader.error(kind))?;
        self.members.truncate(first);
        if self.out.ends_with(',') {
            self.out.pop();
        }
        self.out.push('}');
        Ok(())
    }

    fn order(&mut self, first: usize, start: usize) -> Result<(), JsonErrorKind> {
        let ascending = |(one, _): &Entry<'a>, (two, _): &Entry<'a>| one.cmp(*two).is_lt();
        let members = self.members.get_mut(first..).unwrap_or_default();
        if members.is_sorted_by(ascending) {
            return Ok(());
        }
        members.sort_unstable_by(|(one, _), (two, _)| one.cmp(*two));
        if !members.is_sorted_by(ascending) {
            return Err(JsonErrorKind::DuplicateKey);
        }
        self.spare.clear();
        self.spare.reserve(self.out.len());
        for (_, range) in members.iter() {
            self.spare.push_str(self.out.get(range.clone()).unwrap_or_default());
            self.spare.push(',');
        }
        self.out.truncate(start);
        self.out.push_str(&self.spare);
        Ok(())
    }

    fn array(&mut self, reader: &mut Reader<'a>) -> Result<(), JsonError> {
        self.out.push('[');
        reader.array(|reader| {
            self.value(reader, Everything)?;
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
            CanonicalDialect::Strict => {
                if number.strict_integer().is_none() {
                    return Err(JsonErrorKind::NumberNotAllowed);
                }
                self.out.push_str(number.text());
            }
            CanonicalDialect::Lenient if number.text() == "-0" => self.out.push('0'),
            CanonicalDialect::Lenient if number.is_integer() => self.out.push_str(number.text()),
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
        '\0'..'\u{20}' => out.push_str(&format!("\\u{:04x}", u32::from(character))),
        _ => out.push(character),
    }
}
