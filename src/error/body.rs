//! What is read of the error of another server.

use std::str::FromStr;

use crate::json::{Field, JsonError, Kind, Reader, Str};
use crate::wire::HttpResponse;

/// The parts of an error body that anybody here asks for. What is missing or malformed is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ErrorBody {
    pub(crate) errcode: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) room_version: Option<String>,
    pub(crate) retry_after_ms: Option<u64>,
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

    /// The parts of an error that somebody else has read. A code or a version that is too long is none here either.
    pub(crate) fn of_parts(
        errcode: Option<&str>,
        error: Option<&str>,
        room_version: Option<&str>,
        retry_after_ms: Option<u64>,
    ) -> Self {
        let name = |name: Option<&str>| name.filter(|name| name.len() <= Self::MAX_NAME_BYTES).map(str::to_owned);
        Self {
            errcode: name(errcode),
            error: error.map(str::to_owned),
            room_version: name(room_version),
            retry_after_ms,
        }
    }

    /// The version of the room that is not among those that were offered, if that is the error.
    pub(crate) fn incompatible_room_version(self) -> Option<String> {
        self.room_version.filter(|_| self.errcode.as_deref() == Some(super::Errcode::IncompatibleRoomVersion.as_str()))
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
        }
    }

    /// The code, if it is one that is known here.
    pub(crate) fn known_errcode(&self) -> Option<super::Errcode> {
        self.errcode.as_deref().and_then(|errcode| super::Errcode::from_str(errcode).ok())
    }
}

impl<'a> Fields<'a> {
    fn read(body: &'a str) -> Result<Self, JsonError> {
        let mut fields = Self::default();
        let mut reader = Reader::new(body);
        if reader.kind()? != Kind::Object {
            return Ok(fields);
        }
        reader.object(|key, reader| {
            match &*key.text() {
                "errcode" => fields.errcode.put(reader.string_field()?),
                "error" => fields.error.put(reader.string_field()?),
                "room_version" => fields.room_version.put(reader.string_field()?),
                "retry_after_ms" => fields.retry_after_ms.put(reader.integer_field()?),
                _ => reader.skip_value()?,
            }
            Ok(())
        })?;
        reader.end()?;
        Ok(fields)
    }
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
        };
        assert_eq!((read.known_errcode(), read), (Some(Errcode::LimitExceeded), expected));
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
            r#"{"retry_after_ms":-1}"#,
            r#"{"retry_after_ms":1.5}"#,
            long.as_str(),
            long_name.as_str(),
        ] {
            assert_eq!(ErrorBody::read(nothing), ErrorBody::default(), "{nothing}");
        }
        assert_eq!(ErrorBody::read(r#"{"errcode":"M_X"}"#).known_errcode(), None);
    }
}
