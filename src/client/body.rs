//! The body of a knock.

use super::{MAX_BODY_BYTES, MAX_REASON_BYTES, RequestError};
use crate::json::{Field, Kind, Reader, push_string};

/// Reads the reason out of a body.
pub(super) fn reason_of(body: &[u8]) -> Result<Option<String>, RequestError> {
    if body.len() > MAX_BODY_BYTES {
        return Err(RequestError::BodyTooLarge { bytes: body.len() });
    }
    let text = std::str::from_utf8(body).map_err(|_| RequestError::NotUtf8)?;
    let mut reader = Reader::new(text);
    if reader.kind()? != Kind::Object {
        reader.skip_value()?;
        reader.end()?;
        return Err(RequestError::NotAnObject);
    }
    let mut reason = Field::Missing;
    reader.object(|key, reader| {
        if !key.is("reason") {
            return reader.skip_value();
        }
        // Servers and clients write `null` for nothing.
        reason.put(match reader.kind()? {
            Kind::Null => reader.skip().map(|_| Field::Is(None))?,
            _ => reader.string_field()?.map(Some),
        });
        Ok(())
    })?;
    reader.end()?;
    let reason = reason.optional(RequestError::Reason)?.flatten();
    reason.map(|reason| checked(&reason.text())).transpose()
}

/// The reason, if it has no more than [`MAX_REASON_BYTES`].
pub(super) fn checked(reason: &str) -> Result<String, RequestError> {
    match reason.len() {
        0..=MAX_REASON_BYTES => Ok(reason.to_owned()),
        bytes => Err(RequestError::ReasonTooLong { bytes }),
    }
}

/// Writes a body.
pub(super) fn of_reason(reason: Option<&str>) -> String {
    let Some(reason) = reason else { return "{}".to_owned() };
    let mut out = r#"{"reason":"#.to_owned();
    push_string(&mut out, reason);
    out.push('}');
    out
}
