//! The walk over a JSON text.

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
    rest: &'a str,
    depth: u32,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self { text, rest: text, depth: 0 }
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
        self.depth = self.depth.saturating_add(1);
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
        self.depth = self.depth.saturating_sub(1);
        Ok(())
    }

    /// Reads a string and checks its escapes.
    pub(crate) fn string(&mut self) -> Result<Str<'a>, JsonError> {
        self.space();
        self.expect(b'"')?;
        let start = self.rest;
        let mut escaped = false;
        loop {
            let stop = self.rest.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1F));
            self.skip_bytes(stop.unwrap_or(self.rest.len()));
            match self.peek() {
                Some(b'"') => {
                    let raw = start.get(..start.len().saturating_sub(self.rest.len()));
                    self.skip_bytes(1);
                    return Ok(Str::new(raw.unwrap_or_default(), escaped));
                }
                Some(b'\\') => {
                    escaped = true;
                    let behind = self.rest.get(1..).unwrap_or_default();
                    let (_, rest) = unescape(behind).map_err(|kind| self.error(kind))?;
                    self.rest = rest;
                }
                Some(_) => return Err(self.error(JsonErrorKind::ControlCharacter)),
                None => return Err(self.error(JsonErrorKind::UnexpectedEnd)),
            }
        }
    }

    /// Reads a number in the grammar of JSON.
    pub(crate) fn number(&mut self) -> Result<Number<'a>, JsonError> {
        self.space();
        let start = self.rest;
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
        let text = start.get(..start.len().saturating_sub(self.rest.len()));
        Ok(Number { text: text.unwrap_or_default() })
    }

    /// Reads over one value of any kind and gives its text.
    pub(crate) fn skip(&mut self) -> Result<&'a str, JsonError> {
        let kind = self.kind()?;
        let start = self.rest;
        match kind {
            Kind::Object => self.object(|_, reader| reader.skip().map(drop))?,
            Kind::Array => self.array(|reader| reader.skip().map(drop))?,
            Kind::String => drop(self.string()?),
            Kind::Number => drop(self.number()?),
            Kind::True => self.literal("true")?,
            Kind::False => self.literal("false")?,
            Kind::Null => self.literal("null")?,
        }
        let text = start.get(..start.len().saturating_sub(self.rest.len()));
        Ok(text.unwrap_or_default())
    }

    /// Reads a string, or reads over something else that is malformed where a string should be.
    pub(crate) fn string_field(&mut self) -> Result<Field<Str<'a>>, JsonError> {
        if self.kind()? == Kind::String {
            return self.string().map(Field::Is);
        }
        self.skip().map(|_| Field::Malformed)
    }

    /// Whether the text ends here.
    pub(crate) fn end(&mut self) -> Result<(), JsonError> {
        self.space();
        if self.rest.is_empty() { Ok(()) } else { Err(self.error(JsonErrorKind::TrailingCharacters)) }
    }

    pub(super) const fn error(&self, kind: JsonErrorKind) -> JsonError {
        JsonError::new(kind, self.text.len().saturating_sub(self.rest.len()))
    }

    fn literal(&mut self, literal: &str) -> Result<(), JsonError> {
        self.rest = self.rest.strip_prefix(literal).ok_or_else(|| self.error(JsonErrorKind::UnexpectedCharacter))?;
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let end = self.rest.bytes().position(|byte| !byte.is_ascii_digit());
        match end.unwrap_or(self.rest.len()) {
            0 if self.rest.is_empty() => Err(self.error(JsonErrorKind::UnexpectedEnd)),
            0 => Err(self.error(JsonErrorKind::UnexpectedCharacter)),
            count => {
                self.skip_bytes(count);
                Ok(())
            }
        }
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.skip_bytes(1);
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.eat(byte) {
            return Ok(());
        }
        Err(self.error(if self.rest.is_empty() {
            JsonErrorKind::UnexpectedEnd
        } else {
            JsonErrorKind::UnexpectedCharacter
        }))
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.skip_bytes(1);
        }
        found
    }

    fn peek(&self) -> Option<u8> {
        self.rest.as_bytes().first().copied()
    }

    fn skip_bytes(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }
}
