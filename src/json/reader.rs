//! The walk over a JSON text.

use std::str::FromStr;

use super::string::unescape;
use super::{JsonError, JsonErrorKind, MAX_DEPTH, Str};

/// What a value is, told by its first character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    String,
    Number,
    True,
    False,
    Null,
}

/// A property of an object, as far as a rule is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Field<T> {
    /// There is no such property.
    #[default]
    Missing,
    /// It is there, and is of the wrong kind, has an impossible value or stands twice.
    Malformed,
    /// It is there once, and has this value.
    Is(T),
}

impl<T> Field<T> {
    /// Takes what was read; a second value for the same property makes it malformed.
    pub(crate) fn put(&mut self, read: Self) {
        *self = match self {
            Self::Missing => read,
            Self::Malformed | Self::Is(_) => Self::Malformed,
        };
    }

    /// The value if the property is there, or this error if it is malformed.
    pub(crate) fn optional<E>(self, malformed: E) -> Result<Option<T>, E> {
        match self {
            Self::Missing => Ok(None),
            Self::Malformed => Err(malformed),
            Self::Is(value) => Ok(Some(value)),
        }
    }

    pub(crate) fn map<U>(self, to: impl FnOnce(T) -> U) -> Field<U> {
        match self {
            Self::Missing => Field::Missing,
            Self::Malformed => Field::Malformed,
            Self::Is(value) => Field::Is(to(value)),
        }
    }
}

/// A number as it was written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Number<'a> {
    text: &'a str,
}

impl<'a> Number<'a> {
    /// The number in the grammar of JSON.
    pub(crate) const fn text(self) -> &'a str {
        self.text
    }

    /// Whether it is written as an integer: no decimal point, no exponent.
    pub(crate) fn is_integer(self) -> bool {
        !self.text.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E'))
    }

    /// The number if it is one that canonical JSON has since room version 6: an integer within ±(2^53-1), not `-0`.
    pub(crate) fn strict_integer(self) -> Option<i64> {
        if self.text == "-0" {
            return None;
        }
        self.text.parse::<i64>().ok().filter(|value| value.unsigned_abs() < 1 << 53)
    }
}

/// A cursor over a JSON text.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

#[expect(clippy::arithmetic_side_effects, reason = "an offset is never beyond the length of a text that is in memory")]
impl<'a> Reader<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// The kind of the value that comes next. Moves over white space only.
    pub(crate) fn kind(&mut self) -> Result<Kind, JsonError> {
        self.space();
        Ok(match self.peek().ok_or_else(|| self.error(JsonErrorKind::UnexpectedEnd))? {
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b'"' => Kind::String,
            b'-' | b'0'..=b'9' => Kind::Number,
            b't' => Kind::True,
            b'f' => Kind::False,
            b'n' => Kind::Null,
            _ => return Err(self.error(JsonErrorKind::UnexpectedCharacter)),
        })
    }

    /// Reads an object: `member` gets each key and must read exactly the value behind it.
    pub(crate) fn object(
        &mut self,
        mut member: impl FnMut(Str<'a>, &mut Self) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        self.items(b'{', b'}', |reader| {
            reader.space();
            let key = reader.string()?;
            reader.space();
            reader.expect(b':')?;
            member(key, reader)
        })
    }

    /// Reads an array: `element` must read exactly one value.
    pub(crate) fn array(&mut self, element: impl FnMut(&mut Self) -> Result<(), JsonError>) -> Result<(), JsonError> {
        self.items(b'[', b']', element)
    }

    fn items(
        &mut self,
        open: u8,
        close: u8,
        mut item: impl FnMut(&mut Self) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        self.space();
        self.expect(open)?;
        if self.depth >= MAX_DEPTH {
            return Err(self.error(JsonErrorKind::TooDeep));
        }
        self.depth += 1;
        self.space();
        if !self.eat(close) {
            loop {
                item(self)?;
                self.space();
                if self.eat(b',') {
                    continue;
                }
                self.expect(close)?;
                break;
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Reads a string and checks its escapes.
    pub(crate) fn string(&mut self) -> Result<Str<'a>, JsonError> {
        self.space();
        self.expect(b'"')?;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at = plain_until(self.text.as_bytes(), self.at);
            match self.peek() {
                Some(b'"') => {
                    let raw = self.since(start);
                    self.at += 1;
                    return Ok(Str::new(raw, self.since(start - 1), escaped));
                }
                Some(b'\\') => {
                    escaped = true;
                    let behind = self.text.get(self.at + 1..).unwrap_or_default();
                    let (_, rest) = unescape(behind).map_err(|kind| self.error(kind))?;
                    self.at = self.text.len() - rest.len();
                }
                Some(_) => return Err(self.error(JsonErrorKind::ControlCharacter)),
                None => return Err(self.error(JsonErrorKind::UnexpectedEnd)),
            }
        }
    }

    /// Reads a number in the grammar of JSON.
    pub(crate) fn number(&mut self) -> Result<Number<'a>, JsonError> {
        self.space();
        let start = self.at;
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _signed = self.eat(b'+') || self.eat(b'-');
            self.digits()?;
        }
        Ok(Number { text: self.since(start) })
    }

    /// Reads over one value of any kind and gives its text.
    pub(crate) fn skip(&mut self) -> Result<&'a str, JsonError> {
        let kind = self.kind()?;
        let start = self.at;
        match kind {
            Kind::Object => self.object(|_, reader| reader.skip().map(drop))?,
            Kind::Array => self.array(|reader| reader.skip().map(drop))?,
            Kind::String => drop(self.string()?),
            Kind::Number => drop(self.number()?),
            Kind::True => self.literal("true")?,
            Kind::False => self.literal("false")?,
            Kind::Null => self.literal("null")?,
        }
        Ok(self.since(start))
    }

    /// Reads a string, or reads over something else that is malformed where a string should be.
    pub(crate) fn string_field(&mut self) -> Result<Field<Str<'a>>, JsonError> {
        if self.kind()? == Kind::String {
            return self.string().map(Field::Is);
        }
        self.skip().map(|_| Field::Malformed)
    }

    /// Reads a number that is written as an integer of this type (`-0` is one too, where the dialect has it), or reads over
    /// something else that is malformed where one should be.
    pub(crate) fn integer_field<T: FromStr>(&mut self) -> Result<Field<T>, JsonError> {
        if self.kind()? == Kind::Number {
            return Ok(self.number()?.text().parse().map_or(Field::Malformed, Field::Is));
        }
        self.skip().map(|_| Field::Malformed)
    }

    /// Whether the text ends here.
    pub(crate) fn end(&mut self) -> Result<(), JsonError> {
        self.space();
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.error(JsonErrorKind::TrailingCharacters)),
        }
    }

    pub(super) const fn error(&self, kind: JsonErrorKind) -> JsonError {
        JsonError::new(kind, self.at)
    }

    fn unexpected(&self) -> JsonError {
        self.error(match self.peek() {
            None => JsonErrorKind::UnexpectedEnd,
            Some(_) => JsonErrorKind::UnexpectedCharacter,
        })
    }

    fn literal(&mut self, literal: &str) -> Result<(), JsonError> {
        let found = self.text.get(self.at..).is_some_and(|rest| rest.starts_with(literal));
        if !found {
            return Err(self.error(JsonErrorKind::UnexpectedCharacter));
        }
        self.at += literal.len();
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return Err(self.unexpected());
        }
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.eat(byte) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.at += 1;
        }
        found
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }
}

/// Where the first byte from `at` on stands that ends or interrupts a string: a quote, a backslash or a control
/// character; the end of the text if there is none. Looks at eight bytes at a time.
#[expect(clippy::arithmetic_side_effects, reason = "an offset is never beyond the length of a text that is in memory")]
fn plain_until(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
    // Sets the high bit of each zero byte; above the first one perhaps of others too.
    let zeroes = |word: u64| word.wrapping_sub(ONES) & !word & HIGH_BITS;
    while let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*eight);
        let quotes = zeroes(word ^ (ONES * 0x22));
        let backslashes = zeroes(word ^ (ONES * 0x5C));
        let controls = word.wrapping_sub(ONES * 0x20) & !word & HIGH_BITS;
        let found = quotes | backslashes | controls;
        if found != 0 {
            // The lowest bit that is set belongs to a byte that was meant.
            return at + usize::try_from(found.trailing_zeros() / 8).unwrap_or(0);
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1F)).unwrap_or(rest.len())
}
