//! A string of a JSON text, compared and decoded without a copy where that is possible.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::JsonErrorKind;

/// A JSON string whose escapes are known to be valid.
///
/// What stands between the quotes, if that has no escape; else with the quotes. So the first character tells the two apart: between the
/// quotes none stands without an escape.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Str<'a>(&'a str);

impl<'a> Str<'a> {
    /// What stands between the quotes has no escape.
    #[inline]
    pub(super) const fn plain_from(inside: &'a str) -> Self {
        Self(inside)
    }

    /// `quoted` begins and ends with a quote and has only valid escapes in between, at least one.
    pub(super) const fn escaped_from(quoted: &'a str) -> Self {
        Self(quoted)
    }

    #[inline]
    fn is_escaped(self) -> bool {
        self.0.as_bytes().first() == Some(&b'"')
    }

    /// Appends the text with its quotes, as it was written.
    pub(crate) fn push_as_written(self, out: &mut String) {
        let (quote, text) = self.as_written();
        [quote, text, quote].into_iter().for_each(|part| out.push_str(part));
    }

    /// The text as it was written, and the quote that has to stand on both sides of it.
    pub(crate) fn as_written(self) -> (&'static str, &'a str) {
        (if self.is_escaped() { "" } else { "\"" }, self.0)
    }

    /// The text between the quotes if it stands for itself.
    #[inline]
    pub(crate) fn plain(self) -> Option<&'a str> {
        if self.is_escaped() { None } else { Some(self.0) }
    }

    /// Whether the string is this text.
    #[inline]
    pub(crate) fn is(self, text: &str) -> bool {
        if self.is_escaped() { self.decodes_to(text) } else { self.0 == text }
    }

    #[cold]
    fn decodes_to(self, text: &str) -> bool {
        self.chars().eq(text.chars())
    }

    /// The text, borrowed if it has no escape.
    #[inline]
    pub(crate) fn text(self) -> Cow<'a, str> {
        self.plain().map_or_else(|| Cow::Owned(self.chars().collect()), Cow::Borrowed)
    }

    /// The characters of the text, escapes decoded.
    pub(crate) fn chars(self) -> Unescaped<'a> {
        let inside = self.0.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        Unescaped { rest: inside.unwrap_or(self.0) }
    }

    /// The order of canonical JSON: by code point.
    pub(crate) fn cmp(self, other: Str<'_>) -> Ordering {
        if self.is_escaped() || other.is_escaped() {
            return self.chars().cmp(other.chars());
        }
        // UTF-8 bytes sort as their code points do.
        self.0.cmp(other.0)
    }

    /// The first eight bytes as a number, with zeroes for those that are missing: where it differs between two strings, it
    /// orders them as [`cmp`](Self::cmp) does.
    pub(super) fn prefix(self) -> u64 {
        if self.is_escaped() {
            let text: String = self.chars().take(8).collect();
            return prefix(text.as_bytes());
        }
        prefix(self.0.as_bytes())
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
