//! Values that are read over without being read: what stands beside them is not to suffer for what
//! is wrong with them.

use super::{Reader, plain_bytes};
use crate::json::{JsonError, JsonErrorKind, Str};

#[expect(clippy::arithmetic_side_effects, reason = "an offset is never beyond the length of a text that is in memory")]
impl<'a> Reader<'a> {
    /// Reads over one value and gives its text, which may turn out to be no JSON: only strings and
    /// brackets are looked at, as far as it takes to find its end. For values that stand beside
    /// others, which are not to suffer for it.
    pub(crate) fn skip_unread(&mut self) -> Result<&'a str, JsonError> {
        self.space();
        let start = self.at;
        let mut open = 0_usize;
        loop {
            match self.peek() {
                None => return Err(self.error(JsonErrorKind::UnexpectedEnd)),
                Some(b',' | b'}' | b']') if open == 0 => return Ok(self.since(start).trim_end()),
                Some(b'"') => self.pass_quoted(),
                Some(byte) => {
                    match byte {
                        b'{' | b'[' => open += 1,
                        b'}' | b']' => open -= 1,
                        _ => {}
                    }
                    self.at += 1;
                }
            }
        }
    }

    /// Reads an object of which each member stands for itself: `member` gets the keys and the texts
    /// of the values, which may turn out to be no JSON. A member whose key cannot be read is left
    /// out.
    pub(crate) fn object_unread(&mut self, mut member: impl FnMut(Str<'a>, &'a str)) -> Result<(), JsonError> {
        self.open(b'{')?;
        let mut goes_on = !self.closes(b'}');
        while goes_on {
            self.space();
            let start = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.unexpected());
            }
            self.pass_quoted();
            let key = Self::new(self.since(start)).string();
            self.space();
            self.expect(b':')?;
            let value = self.skip_unread()?;
            if let Ok(key) = key {
                member(key, value);
            }
            goes_on = self.goes_on(b'}')?;
        }
        self.depth -= 1;
        Ok(())
    }

    /// Reads over the value of `unsigned`, which nobody signs and any server on the way may change:
    /// it may be nested as deep as it likes, and have half a surrogate pair in it.
    pub(crate) fn skip_unsigned(&mut self) -> Result<(), JsonError> {
        let before = self.clone();
        match self.skip_value() {
            Err(error) if error.kind().is_about_a_value() => {
                *self = before;
                self.skip_unread().map(drop)
            }
            passed => passed,
        }
    }

    /// Reads over what stands between two quotes, whatever it is. The first of them comes next.
    fn pass_quoted(&mut self) {
        self.at += 1;
        loop {
            self.at += plain_bytes(self.text.as_bytes().get(self.at..).unwrap_or_default());
            match self.peek() {
                None => return,
                Some(b'"') => {
                    self.at += 1;
                    return;
                }
                // What is escaped is one byte that is read over with the backslash; of a longer
                // character the rest is none of these.
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_over_unread() {
        for (text, value, behind) in [
            ("1,2", "1", ",2"),
            (" nonsense }", "nonsense", "}"),
            ("[1,[2],{\"a\":[]}] ]", "[1,[2],{\"a\":[]}]", "]"),
            ("{\"a\":{\"b\":1,\"c\":2}},", "{\"a\":{\"b\":1,\"c\":2}}", ","),
            ("\"]}\\\",\",", "\"]}\\\",\"", ","),
            ("\"é\\é\"\"\\\\\"}", "\"é\\é\"\"\\\\\"", "}"),
            ("[\"]\"],", "[\"]\"]", ","),
            (",", "", ","),
        ] {
            let mut reader = Reader::new(text);
            assert_eq!(reader.skip_unread(), Ok(value), "{text}");
            assert_eq!(text.get(reader.at()..), Some(behind), "{text}");
        }
        for text in ["", "1", "[1,2", "\"", "\"]", "\"\\", "{\"a\":1", "[\"]"] {
            let kind = Reader::new(text).skip_unread().map_err(|error| error.kind());
            assert_eq!(kind, Err(JsonErrorKind::UnexpectedEnd), "{text}");
        }
    }
}
