//! The walk over a JSON text.

mod unread;

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
    /// How deep objects and arrays may stand in each other.
    max_depth: u32,
    /// Whether nothing was read so far that may be written another way: white space, an escape.
    as_written: bool,
}

#[expect(clippy::arithmetic_side_effects, reason = "an offset is never beyond the length of a text that is in memory")]
impl<'a> Reader<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self::with_depth(text, MAX_DEPTH)
    }

    pub(crate) const fn with_depth(text: &'a str, max_depth: u32) -> Self {
        Self { text, at: 0, depth: 0, max_depth, as_written: true }
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
    #[inline]
    pub(crate) fn object(
        &mut self,
        mut member: impl FnMut(Str<'a>, &mut Self) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        self.open(b'{')?;
        let mut goes_on = !self.closes(b'}');
        while goes_on {
            let key = self.string()?;
            if !self.eat(b':') {
                self.space();
                self.expect(b':')?;
            }
            member(key, self)?;
            goes_on = self.goes_on(b'}')?;
        }
        self.depth -= 1;
        Ok(())
    }

    /// Reads an array: `element` must read exactly one value.
    #[inline]
    pub(crate) fn array(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        self.open(b'[')?;
        let mut goes_on = !self.closes(b']');
        while goes_on {
            element(self)?;
            goes_on = self.goes_on(b']')?;
        }
        self.depth -= 1;
        Ok(())
    }

    fn open(&mut self, bracket: u8) -> Result<(), JsonError> {
        self.space();
        self.expect(bracket)?;
        if self.depth >= self.max_depth {
            return Err(self.error(match self.max_depth {
                MAX_DEPTH => JsonErrorKind::TooDeep,
                levels => JsonErrorKind::DeeperThan { levels },
            }));
        }
        self.depth += 1;
        Ok(())
    }

    /// Whether an object or array that was just opened has nothing in it.
    fn closes(&mut self, bracket: u8) -> bool {
        self.space();
        self.eat(bracket)
    }

    /// Whether a comma comes behind an item, and not the end of the object or array.
    fn goes_on(&mut self, bracket: u8) -> Result<bool, JsonError> {
        if self.eat(b',') {
            return Ok(true);
        }
        self.space();
        if self.eat(b',') {
            return Ok(true);
        }
        self.expect(bracket).map(|()| false)
    }

    /// Reads a string and checks its escapes.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Str<'a>, JsonError> {
        match self.plain_string() {
            Some(plain) => Ok(plain),
            None => self.any_string(),
        }
    }

    /// Reads a string that comes next, without white space before it, and has no escape: nearly all do.
    #[inline(always)]
    pub(super) fn plain_string(&mut self) -> Option<Str<'a>> {
        let inside = self.text.as_bytes().get(self.at..)?.strip_prefix(b"\"")?;
        let plain = plain_bytes(inside);
        inside.get(plain).filter(|byte| **byte == b'"')?;
        let start = self.at + 1;
        let end = start + plain;
        self.at = end + 1;
        Some(Str::plain_from(self.text.get(start..end).unwrap_or_default()))
    }

    #[cold]
    fn any_string(&mut self) -> Result<Str<'a>, JsonError> {
        self.space();
        let start = self.at;
        self.expect(b'"')?;
        let mut escaped = false;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            self.at += plain_bytes(rest);
            match self.peek() {
                Some(b'"') => {
                    let inside = self.since(start + 1);
                    self.at += 1;
                    return Ok(if escaped { Str::escaped_from(self.since(start)) } else { Str::plain_from(inside) });
                }
                Some(b'\\') => {
                    escaped = true;
                    let behind = self.text.get(self.at + 1..).unwrap_or_default();
                    // Escapes of one letter have no other form. Those by number may be the only form; that is left to the writer.
                    self.as_written &= !behind.starts_with(['/', 'u']);
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
        self.pass_number()?;
        Ok(Number { text: self.since(start) })
    }

    fn pass_number(&mut self) -> Result<(), JsonError> {
        if let Some(bytes) = plain_integer(self.text.as_bytes().get(self.at..).unwrap_or_default()) {
            self.at += bytes;
            return Ok(());
        }
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'.' | b'e' | b'E')) {
            return self.fraction_and_exponent();
        }
        Ok(())
    }

    #[cold]
    fn fraction_and_exponent(&mut self) -> Result<(), JsonError> {
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _signed = self.eat(b'+') || self.eat(b'-');
            self.digits()?;
        }
        Ok(())
    }

    /// Reads over one value of any kind and gives its text.
    pub(crate) fn skip(&mut self) -> Result<&'a str, JsonError> {
        self.with_text(Self::skip_value).map(|(text, ())| text)
    }

    /// Reads what comes next with `read`, and gives its text beside what that made of it.
    pub(crate) fn with_text<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, JsonError>,
    ) -> Result<(&'a str, T), JsonError> {
        self.space();
        let start = self.at;
        let found = read(self)?;
        Ok((self.since(start), found))
    }

    /// Reads over one value of any kind.
    #[inline]
    pub(crate) fn skip_value(&mut self) -> Result<(), JsonError> {
        match self.plain_string() {
            Some(_) => Ok(()),
            None => self.pass_any(),
        }
    }

    fn pass_any(&mut self) -> Result<(), JsonError> {
        let kind = self.kind()?;
        self.pass(kind)
    }

    /// Reads over a value of this kind, which comes next.
    fn pass(&mut self, kind: Kind) -> Result<(), JsonError> {
        match kind {
            Kind::Object => self.object(|_, reader| reader.skip_value()),
            Kind::Array => self.array(Self::skip_value),
            Kind::String => self.string().map(drop),
            Kind::Number => self.pass_number(),
            Kind::True => self.literal("true"),
            Kind::False => self.literal("false"),
            Kind::Null => self.literal("null"),
        }
    }

    /// Whether the text ends here.
    pub(crate) fn end(&mut self) -> Result<(), JsonError> {
        self.space();
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.error(JsonErrorKind::TrailingCharacters)),
        }
    }

    /// Reads over one value and gives its text, if that is canonical: no white space, no escape that need not be, the keys in
    /// order, and of numbers none but those that `number` takes. Else the value still comes next. (It does too if an escape by
    /// number needs to be one: whoever writes it finds out.)
    pub(super) fn skip_as_written(&mut self, number: impl Fn(Number<'_>) -> bool + Copy) -> Option<&'a str> {
        let mut ahead = Self { as_written: true, ..*self };
        ahead.read_as_written(number).ok().filter(|_| ahead.as_written)?;
        let start = self.at;
        *self = ahead;
        Some(self.since(start))
    }

    /// Whatever stands in the way is an error here, of a kind that does not matter.
    fn read_as_written(&mut self, number: impl Fn(Number<'_>) -> bool + Copy) -> Result<(), JsonError> {
        let kind = self.kind()?;
        match kind {
            Kind::Object => {
                let mut last: Option<Str<'a>> = None;
                self.object(|key, reader| {
                    if last.is_some_and(|last| !last.cmp(key).is_lt()) {
                        reader.as_written = false;
                    }
                    last = Some(key);
                    reader.read_as_written(number)
                })?;
            }
            Kind::Array => self.array(|reader| reader.read_as_written(number))?,
            Kind::Number => self.as_written &= number(self.number()?),
            Kind::String | Kind::True | Kind::False | Kind::Null => self.pass(kind)?,
        }
        if self.as_written { Ok(()) } else { Err(self.error(JsonErrorKind::UnexpectedCharacter)) }
    }

    /// The text from the start of this key to here, if it has no escape and nothing but the colon stands between it and this value,
    /// which was read last.
    pub(super) fn member(&self, key: Str<'a>, value: &str) -> Option<&'a str> {
        let key = key.plain()?;
        let start = self.at.checked_sub(key.len() + "\"\":".len() + value.len())?;
        let member = self.since(start);
        let behind = member.strip_prefix('"')?.strip_prefix(key)?;
        behind.starts_with("\":").then_some(member)
    }

    /// How many bytes are not read yet.
    pub(super) fn rest(&self) -> usize {
        self.text.len().saturating_sub(self.at)
    }

    /// How far the text is read.
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    /// How many objects and arrays are open.
    pub(super) const fn depth(&self) -> u32 {
        self.depth
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
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return Err(self.unexpected());
        }
        self.at += count;
        Ok(())
    }

    #[inline]
    fn space(&mut self) {
        if self.peek().is_some_and(|byte| byte <= b' ') {
            self.pass_space();
        }
    }

    #[cold]
    fn pass_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
            self.as_written = false;
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

    /// The text from there to here.
    pub(super) fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }
}

/// How many bytes of a text are an integer, if it begins with one and that is not the beginning of another number.
#[expect(clippy::arithmetic_side_effects, reason = "a length is never beyond that of a text that is in memory")]
fn plain_integer(text: &[u8]) -> Option<usize> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let is_padded = count > 1 && digits.first() == Some(&b'0');
    let goes_on = matches!(digits.get(count), Some(b'.' | b'e' | b'E'));
    (count > 0 && !is_padded && !goes_on).then(|| text.len() - digits.len() + count)
}

/// Whether the text is an object without white space whose keys and values all are strings without
/// escapes, none of them called `name`: nearly all small contents are.
pub(crate) fn is_plain_object_without(text: &str, name: &str) -> bool {
    let Some(mut rest) = text.as_bytes().strip_prefix(b"{\"") else { return false };
    loop {
        let Some((key, behind)) = rest.split_at_checked(plain_bytes(rest)) else { return false };
        let Some(value) = behind.strip_prefix(b"\":\"") else { return false };
        if key == name.as_bytes() {
            return false;
        }
        match value.split_at_checked(plain_bytes(value)).map(|(_, behind)| behind) {
            Some(b"\"}") => return true,
            Some([b'"', b',', b'"', behind @ ..]) => rest = behind,
            Some(_) | None => return false,
        }
    }
}

/// Whether nothing in the text has to be escaped in a string.
pub(super) fn is_plain(text: &str) -> bool {
    let mut rest = text.as_bytes();
    // Of a text that is long enough the last eight once more, whatever the others leave of them.
    let Some(last) = rest.last_chunk::<8>() else { return plain_bytes(rest) == rest.len() };
    while let Some((eight, behind)) = rest.split_first_chunk::<8>() {
        if interruptions(*eight) != 0 {
            return false;
        }
        rest = behind;
    }
    interruptions(*last) == 0
}

/// How many bytes stand before the first one that ends or interrupts a string: a quote, a backslash or a control character;
/// all of them if there is none. Looks at eight bytes at a time.
#[expect(clippy::arithmetic_side_effects, reason = "a length is never beyond that of a text that is in memory")]
fn plain_bytes(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some((eight, behind)) = rest.split_first_chunk::<8>() {
        let found = interruptions(*eight);
        if found != 0 {
            return bytes.len() - rest.len() + usize::try_from(found.trailing_zeros() / 8).unwrap_or(0);
        }
        rest = behind;
    }
    let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1F)).unwrap_or(rest.len());
    bytes.len() - rest.len() + plain
}

/// The high bits of those bytes that end or interrupt a string. Above the first one other bits may be set too; none if there is none.
#[inline]
const fn interruptions(eight: [u8; 8]) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
    let word = u64::from_le_bytes(eight);
    // A borrow goes upward only, from a byte that is meant. Bytes beyond ASCII fall out at the end. The quote is the only one above the
    // control characters that this bit moves below 0x21.
    let quotes_and_controls = (word ^ (ONES * 0x02)).wrapping_sub(ONES * 0x21);
    let backslashes = (word ^ (ONES * 0x5C)).wrapping_sub(ONES);
    (quotes_and_controls | backslashes) & !word & HIGH_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Told apart at every place of the eight bytes that are looked at together, and behind them.
    #[test]
    fn where_a_plain_string_ends() {
        for length in 0..24 {
            for byte in 0..=0x7F_u8 {
                for place in 0..length {
                    let mut bytes = vec![b'x'; length];
                    bytes[place] = byte;
                    let ends = matches!(byte, b'"' | b'\\' | 0..=0x1F);
                    assert_eq!(plain_bytes(&bytes), if ends { place } else { length }, "{byte} at {place} of {length}");
                    let beyond: String = bytes.iter().map(|byte| char::from(*byte)).chain(['é', '"']).collect();
                    let expected = if ends { place } else { beyond.len() - 1 };
                    assert_eq!(plain_bytes(beyond.as_bytes()), expected, "{byte} at {place} of {length}");
                    let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
                    assert_eq!(is_plain(&text), !ends, "{byte} at {place} of {length}");
                    assert_eq!(is_plain(&(text + "é")), !ends, "{byte} at {place} of {length}");
                }
            }
        }
    }
}
