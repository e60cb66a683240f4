//! A string of a JSON text, compared and decoded without a copy where that is possible.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::JsonErrorKind;

/// A JSON string whose escapes are known to be valid.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Str<'a> {
    quoted: &'a str,
    escaped: bool,
}

impl<'a> Str<'a> {
    /// `quoted` begins and ends with a quote and has only valid escapes in between, at least one if `escaped`.
    pub(super) const fn new(quoted: &'a str, escaped: bool) -> Self {
        Self { quoted, escaped }
    }

    /// What stands between the quotes.
    fn raw(self) -> &'a str {
        self.quoted.get(1..self.quoted.len().saturating_sub(1)).unwrap_or_default()
    }

    /// The text with its quotes, as it was written.
    pub(crate) const fn quoted(self) -> &'a str {
        self.quoted
    }

    /// The text with its quotes if it stands for itself.
    pub(super) const fn plain_quoted(self) -> Option<&'a str> {
        if self.escaped { None } else { Some(self.quoted) }
    }

    /// The text between the quotes if it stands for itself.
    pub(crate) fn plain(self) -> Option<&'a str> {
        if self.escaped { None } else { Some(self.raw()) }
    }

    /// Whether the string is this text.
    pub(crate) fn is(self, text: &str) -> bool {
        if self.escaped { self.chars().eq(text.chars()) } else { self.bytes() == text.as_bytes() }
    }

    /// The text, borrowed if it has no escape.
    pub(crate) fn text(self) -> Cow<'a, str> {
        self.plain().map_or_else(|| Cow::Owned(self.chars().collect()), Cow::Borrowed)
    }

    /// The characters of the text, escapes decoded.
    pub(crate) fn chars(self) -> Unescaped<'a> {
        Unescaped { rest: self.raw() }
    }

    /// The order of canonical JSON: by code point.
    pub(crate) fn cmp(self, other: Str<'_>) -> Ordering {
        if self.escaped || other.escaped {
            return self.chars().cmp(other.chars());
        }
        // UTF-8 bytes sort as their code points do.
        self.bytes().cmp(other.bytes())
    }

    /// The first eight bytes as a number, with zeroes for those that are missing: where it differs between two strings, it
    /// orders them as [`cmp`](Self::cmp) does.
    pub(super) fn prefix(self) -> u64 {
        if self.escaped {
            let text: String = self.chars().take(8).collect();
            return prefix(text.as_bytes());
        }
        prefix(self.bytes())
    }

    /// What stands between the quotes, if nothing is escaped.
    fn bytes(self) -> &'a [u8] {
        match self.quoted.as_bytes() {
            [_, inside @ .., _] => inside,
            _ => &[],
        }
    }
}

/// The same text, however it is written.
impl PartialEq for Str<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(*other).is_eq()
    }
}

impl Eq for Str<'_> {}

fn prefix(bytes: &[u8]) -> u64 {
    if let Some(first) = bytes.first_chunk() {
        return u64::from_be_bytes(*first);
    }
    let mut eight = [0; 8];
    eight.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    u64::from_be_bytes(eight)
}

/// The decoded characters of a [`Str`].
#[derive(Debug, Clone)]
pub(crate) struct Unescaped<'a> {
    rest: &'a str,
}

impl Iterator for Unescaped<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next()?;
        if next != '\\' {
            self.rest = chars.as_str();
            return Some(next);
        }
        // A `Str` has only valid escapes; should one not be, the text ends here.
        let (decoded, rest) = unescape(chars.as_str()).ok()?;
        self.rest = rest;
        Some(decoded)
    }
}

/// Decodes the escape whose backslash stands before `rest`, and gives what follows it.
pub(super) fn unescape(rest: &str) -> Result<(char, &str), JsonErrorKind> {
    let mut chars = rest.chars();
    let decoded = match chars.next().ok_or(JsonErrorKind::UnexpectedEnd)? {
        '"' => '"',
        '\\' => '\\',
        '/' => '/',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => return unescape_unicode(chars.as_str()),
        _ => return Err(JsonErrorKind::InvalidEscape),
    };
    Ok((decoded, chars.as_str()))
}

/// Decodes the four hexadecimal digits behind `\u`, and the second half of a surrogate pair behind a first.
fn unescape_unicode(rest: &str) -> Result<(char, &str), JsonErrorKind> {
    let (first, rest) = four_digits(rest)?;
    if !(0xD800..0xE000).contains(&first) {
        let decoded = char::from_u32(first).ok_or(JsonErrorKind::LoneSurrogate)?;
        return Ok((decoded, rest));
    }
    let second = rest.strip_prefix("\\u").ok_or(JsonErrorKind::LoneSurrogate)?;
    let (second, rest) = four_digits(second)?;
    let unit = |value: u32| u16::try_from(value).unwrap_or(u16::MAX);
    char::decode_utf16([unit(first), unit(second)])
        .next()
        .and_then(Result::ok)
        .map_or(Err(JsonErrorKind::LoneSurrogate), |decoded| Ok((decoded, rest)))
}

fn four_digits(rest: &str) -> Result<(u32, &str), JsonErrorKind> {
    let (digits, rest) = rest.split_at_checked(4).ok_or(JsonErrorKind::InvalidEscape)?;
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(JsonErrorKind::InvalidEscape);
    }
    let value = u32::from_str_radix(digits, 16).map_err(|_| JsonErrorKind::InvalidEscape)?;
    Ok((value, rest))
}
