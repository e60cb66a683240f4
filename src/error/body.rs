//! What is read of the error of another server.

use std::collections::BTreeMap;

use super::{ErrorResponse, ExtraError, MAX_EXTRA_BYTES};
use crate::json::{
    CanonicalDialect, Field, JsonError, Kind, Reader, Str, Without, canonical_part, push_string, read_field,
    read_object_unread,
};
use crate::wire::HttpResponse;

/// The parts of an error body that anybody here asks for. What is missing or malformed is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ErrorBody {
    pub(crate) errcode: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) room_version: Option<String>,
    pub(crate) retry_after_ms: Option<u64>,
    /// An object of the other properties, as canonical JSON.
    pub(crate) extra: Option<Box<str>>,
}

/// The properties of an object other than those that every error has, as canonical JSON; `None` if there are none.
pub(super) fn extra_of(object: &str) -> Result<Option<Box<str>>, ExtraError> {
    /// How deep they may be nested.
    const MAX_DEPTH: u32 = 16;
    const KNOWN: Without<'_> = Without(&["errcode", "error", "retry_after_ms", "room_version"]);

    if Reader::new(object).kind()? != Kind::Object {
        return Err(ExtraError::NotAnObject);
    }
    let mut reader = Reader::with_depth(object, MAX_DEPTH);
    reader.skip_value()?;
    reader.end()?;
    let extra = canonical_part(object, CanonicalDialect::Lenient, KNOWN)?;
    match extra.len() {
        0..=2 => Ok(None),
        3..=MAX_EXTRA_BYTES => Ok(Some(extra.into())),
        bytes => Err(ExtraError::TooLarge { bytes }),
    }
}

/// The properties, as they are read.
#[derive(Default)]
struct Fields<'a> {
    errcode: Field<Str<'a>>,
    error: Field<Str<'a>>,
    room_version: Field<Str<'a>>,
    retry_after_ms: Field<u64>,
}

impl ErrorBody {
    /// The longest error that is looked at, and the longest code and version that are passed on, in bytes.
    const MAX_BYTES: usize = 65_536;
    const MAX_NAME_BYTES: usize = 255;

    /// What a response says; the header `Retry-After` in seconds counts before the body. (A header with a date would take a
    /// clock; the body may still say.)
    pub(crate) fn of_response(response: HttpResponse<'_>) -> Self {
        let body = Self::read(response.body);
        let header = response.retry_after.map(str::trim);
        let seconds = header.filter(|value| value.bytes().all(|byte| byte.is_ascii_digit()));
        let header =
            seconds.and_then(|seconds| seconds.parse::<u64>().ok()).map(|seconds| seconds.saturating_mul(1000));
        Self { retry_after_ms: header.or(body.retry_after_ms), ..body }
    }

    /// The parts of an error that somebody else has read. A code or a version that is too long is none here either. The other
    /// properties are those of the body, if it is given.
    pub(crate) fn of_parts(
        errcode: Option<&str>,
        error: Option<&str>,
        room_version: Option<&str>,
        retry_after_ms: Option<u64>,
        body: Option<&str>,
    ) -> Self {
        let name = |name: Option<&str>| name.filter(|name| name.len() <= Self::MAX_NAME_BYTES).map(str::to_owned);
        Self {
            errcode: name(errcode),
            error: error.map(str::to_owned),
            room_version: name(room_version),
            retry_after_ms,
            extra: body.and_then(|body| Self::read(body).extra),
        }
    }

    /// Of what is no error there is nothing in it.
    pub(crate) fn read(body: &str) -> Self {
        if body.len() > Self::MAX_BYTES {
            return Self::default();
        }
        let Ok(fields) = Fields::read(body) else { return Self::default() };
        let text = |field: Field<Str<'_>>| field.known().map(|text| text.text().into_owned());
        let name = |field| text(field).filter(|name| name.len() <= Self::MAX_NAME_BYTES);
        Self {
            errcode: name(fields.errcode),
            error: text(fields.error),
            room_version: name(fields.room_version),
            retry_after_ms: fields.retry_after_ms.known(),
            // What cannot be passed on is not.
            extra: readable_extra(body),
        }
    }

    /// The error as an answer with this status, to pass it on; `None` if there is no code in it or one [about
    /// access](super::Errcode::is_about_access), or its text is too long.
    pub(crate) fn into_response(self, status: u16) -> Option<ErrorResponse> {
        let errcode = self.errcode().filter(|errcode| !errcode.is_about_access())?;
        let error = self.error.unwrap_or_default();
        (error.len() <= MAX_EXTRA_BYTES).then_some(ErrorResponse {
            status,
            errcode,
            error: error.into(),
            retry_after_ms: self.retry_after_ms,
            room_version: self.room_version.map(Into::into),
            extra: self.extra,
        })
    }

    /// The code, if there is one.
    pub(crate) fn errcode(&self) -> Option<super::Errcode> {
        self.errcode.as_deref().map(super::Errcode::from)
    }
}

impl<'a> Fields<'a> {
    /// Each property is read by itself: one that cannot be read costs the others nothing.
    fn read(body: &'a str) -> Result<Self, JsonError> {
        let mut fields = Self::default();
        read_object_unread(body, |key, value| match &*key.text() {
            "errcode" => fields.errcode.put(read_field(value, Reader::string_field)),
            "error" => fields.error.put(read_field(value, Reader::string_field)),
            "room_version" => fields.room_version.put(read_field(value, Reader::string_field)),
            "retry_after_ms" => fields.retry_after_ms.put(read_field(value, Reader::integer_field)),
            _ => {}
        })?;
        Ok(fields)
    }
}

/// The other properties of an error that can be passed on: those that can be read, and stand there once.
fn readable_extra(body: &str) -> Option<Box<str>> {
    let mut members: BTreeMap<String, Option<String>> = BTreeMap::new();
    let read = read_object_unread(body, |key, value| {
        let key = key.text();
        let mut member = String::from("{");
        push_string(&mut member, &key);
        let member = extra_of(&format!("{member}:{value}}}")).ok().flatten().map(String::from);
        members.entry(key.into_owned()).and_modify(|twice| *twice = None).or_insert(member);
    });
    let members: Vec<&str> =
        members.values().flatten().filter_map(|member| member.strip_prefix('{')?.strip_suffix('}')).collect();
    read.ok().and_then(|()| extra_of(&format!("{{{}}}", members.join(","))).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Errcode;

    #[test]
    fn what_is_read() {
        let body =
            r#"{"error":"a \"b\"","errcode":"M_LIMIT_EXCEEDED","retry_after_ms":2000,"room_version":"7","x":[]}"#;
        let read = ErrorBody::read(body);
        let expected = ErrorBody {
            errcode: Some("M_LIMIT_EXCEEDED".to_owned()),
            error: Some("a \"b\"".to_owned()),
            room_version: Some("7".to_owned()),
            retry_after_ms: Some(2000),
            extra: Some(r#"{"x":[]}"#.into()),
        };
        assert_eq!((read.errcode(), read), (Some(Errcode::LimitExceeded), expected));
        let long = format!(r#"{{"error":"{}"}}"#, "a".repeat(ErrorBody::MAX_BYTES));
        let long_name = format!(r#"{{"errcode":"{}"}}"#, "a".repeat(256));
        for nothing in [
            "",
            "<html>",
            "[]",
            "{",
            r#"{"errcode":"M_FORBIDDEN""#,
            r#"{"errcode":"M_FORBIDDEN"}}"#,
            r#"{"errcode":1,"error":null,"room_version":7,"retry_after_ms":"1"}"#,
            r#"{"errcode":"a","errcode":"a"}"#,
            r#"{"errcode":"\ud83d","error":"\ud83d"}"#,
            r#"{"retry_after_ms":-1}"#,
            r#"{"retry_after_ms":1.5}"#,
            long.as_str(),
            long_name.as_str(),
        ] {
            assert_eq!(ErrorBody::read(nothing), ErrorBody::default(), "{nothing}");
        }
        assert_eq!(ErrorBody::read(r#"{"errcode":"M_X"}"#).errcode(), Some(Errcode::from("M_X")));
        let spoiled = r#"{"errcode":"M_X","a":1,"b":"\ud83d","c":1e400,"d":{},"d":{},"e":{"f":1,"f":2},"\ud83d":0,"error":1,"z":[]}"#;
        let read = ErrorBody::read(spoiled);
        assert_eq!((read.errcode.as_deref(), read.extra.as_deref()), (Some("M_X"), Some(r#"{"a":1,"z":[]}"#)));
        let deep = format!(r#"{{"errcode":"M_X","x":{}{}}}"#, "[".repeat(16), "]".repeat(16));
        assert_eq!((ErrorBody::read(&deep).errcode, ErrorBody::read(&deep).extra), (Some("M_X".to_owned()), None));
    }
}
