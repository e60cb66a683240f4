//! Percent-encoding, as paths and queries have it.
//!
//! <https://www.rfc-editor.org/rfc/rfc3986#section-2.1>

use std::borrow::Cow;

/// A segment of a path, or a value of a query, percent-encoded but for the unreserved characters.
pub(crate) fn encoded(part: &str) -> String {
    let mut out = String::with_capacity(part.len());
    for byte in part.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// What a segment of a path stands for. None if a `%` is not followed by two hexadecimal digits, or the bytes are no UTF-8.
///
/// A `+` is a `+`. Characters that ought to be encoded stand for themselves.
pub(crate) fn decoded(part: &str) -> Option<Cow<'_, str>> {
    if !part.contains('%') {
        return Some(Cow::Borrowed(part));
    }
    let mut out = Vec::with_capacity(part.len());
    let mut bytes = part.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => byte_of(bytes.next()?, bytes.next()?)?,
            _ => byte,
        });
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

/// What a name or a value of a query stands for, as [`decoded`]; but a `+` is a space, as forms have it.
pub(crate) fn decoded_in_query(part: &str) -> Option<Cow<'_, str>> {
    if !part.contains('+') {
        return decoded(part);
    }
    decoded(&part.replace('+', " ")).map(|text| Cow::Owned(text.into_owned()))
}

fn byte_of(high: u8, low: u8) -> Option<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for (text, there) in [
            ("!a:b", "%21a%3Ab"),
            ("#é/%+ 👋:b", "%23%C3%A9%2F%25%2B%20%F0%9F%91%8B%3Ab"),
            ("aZ09-._~", "aZ09-._~"),
            ("\u{0}\u{7f}", "%00%7F"),
            ("", ""),
        ] {
            assert_eq!(encoded(text), there);
            assert_eq!(decoded(there).as_deref(), Some(text));
            assert_eq!(decoded_in_query(there).as_deref(), Some(text));
        }
    }

    #[test]
    fn as_others_write_it() {
        for (text, path, query) in [
            ("a+b", Some("a+b"), Some("a b")),
            ("a%2bb+", Some("a+b+"), Some("a+b ")),
            ("!é:b", Some("!é:b"), Some("!é:b")),
            ("%2525", Some("%25"), Some("%25")),
            ("%", None, None),
            ("%2", None, None),
            ("%2g+", None, None),
            ("%+1", None, None),
            ("%é", None, None),
            ("%FF", None, None),
            ("%ED%A0%80", None, None),
            ("%C0%AF", None, None),
        ] {
            assert_eq!(decoded(text).as_deref(), path, "{text}");
            assert_eq!(decoded_in_query(text).as_deref(), query, "{text}");
        }
    }
}
