//! Errors: ruma's from every refusal of the library's, with status, code, message, `room_version`
//! and `retry_after`.
//!
//! Every refusal of the library converts into an [`ErrorResponse`], and [`ApiError`] is ruma's
//! error from whatever converts into one: a handler that returns `Result<_, ApiError>` uses `?` on
//! every step.
//!
//! What ruma writes for it is the library's own body as JSON. A code that ruma has, with no
//! properties but those that ruma writes, is an [`ErrorKind`]; everything else (properties of the
//! host's own, a `room_version` that is not in ruma's grammar) goes into [`ErrorBody::Json`], which
//! ruma writes as it is.
//!
//! ruma sets the header `Retry-After` for [`ErrorKind::LimitExceeded`] only, in whole seconds
//! rounded down; the body has milliseconds.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#standard-error-response>
//!
//! # Examples
//!
//! ```
//! use matrix_knock::resident::Refusal;
//! use matrix_knock_ruma::error::ApiError;
//! use ruma_common::api::error::ErrorKind;
//!
//! let error = ApiError::from(Refusal::ServerDenied).0;
//! assert_eq!((error.status_code.as_u16(), error.error_kind()), (403, Some(&ErrorKind::Forbidden)));
//! ```

use std::fmt;
use std::time::Duration;

use http::StatusCode;
use matrix_knock::error::{Errcode, ErrorResponse};
use ruma_common::RoomVersionId;
use ruma_common::api::error::{
    Error, ErrorBody, ErrorKind, IncompatibleRoomVersionErrorData, LimitExceededErrorData, RetryAfter,
    StandardErrorBody,
};
use serde_json::Value;

/// ruma's error, made of whatever the library refuses with.
///
/// A wrapper, since neither the library's refusals nor ruma's error are of this crate. `.0` is the
/// error to return from a ruma handler.
#[derive(Debug, Clone)]
pub struct ApiError(pub Error);

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for ApiError {}

impl<E: Into<ErrorResponse>> From<E> for ApiError {
    fn from(error: E) -> Self {
        Self(to_ruma(&error.into()))
    }
}

impl From<ApiError> for Error {
    fn from(error: ApiError) -> Self {
        error.0
    }
}

/// Returns ruma's error for an answer of the library's.
///
/// Copies the message. Only an answer with properties that the code does not have in ruma is
/// written as JSON and parsed.
#[must_use]
pub fn to_ruma(response: &ErrorResponse) -> Error {
    // Every status of the library is one.
    let status = StatusCode::from_u16(response.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Error::new(status, body(response))
}

/// Returns the `ErrorKind` of an answer, if ruma has one that writes all of it.
#[must_use]
pub fn kind(response: &ErrorResponse) -> Option<ErrorKind> {
    if let ErrorBody::Standard(StandardErrorBody { kind, .. }) = body(response) { Some(kind) } else { None }
}

fn body(response: &ErrorResponse) -> ErrorBody {
    if let Some(kind) = kind_of_code(response).filter(|_| response.extra().is_none()) {
        return ErrorBody::Standard(StandardErrorBody::new(kind, response.error().to_owned()));
    }
    let text = response.to_string();
    let json: Value = match serde_json::from_str(&text) {
        Ok(json) => json,
        // The library writes JSON.
        Err(_) => return ErrorBody::Standard(StandardErrorBody::new(ErrorKind::Unknown, response.error().to_owned())),
    };
    // A code that only ruma knows, or nobody: ruma keeps the other properties of the latter. If
    // ruma would write anything else than stands here, the JSON itself is the body.
    match serde_json::from_str::<StandardErrorBody>(&text) {
        Ok(standard) if serde_json::to_value(&standard).is_ok_and(|written| written == json) => {
            ErrorBody::Standard(standard)
        }
        _ => ErrorBody::Json(json),
    }
}

/// The kind of a code that the library has, if it has the properties that ruma writes with it, and
/// no others of the library's.
fn kind_of_code(response: &ErrorResponse) -> Option<ErrorKind> {
    let (room_version, retry_after_ms) = (response.room_version(), response.retry_after_ms());
    let kind = match response.errcode() {
        Errcode::IncompatibleRoomVersion => {
            let room_version = RoomVersionId::try_from(room_version?).ok()?;
            let kind = ErrorKind::IncompatibleRoomVersion(IncompatibleRoomVersionErrorData::new(room_version));
            return Some(kind).filter(|_| retry_after_ms.is_none());
        }
        Errcode::LimitExceeded => {
            // ruma writes integers up to 2^53-1.
            if retry_after_ms.is_some_and(|milliseconds| milliseconds >= 1 << 53) {
                return None;
            }
            let mut data = LimitExceededErrorData::new();
            data.retry_after = retry_after_ms.map(Duration::from_millis).map(RetryAfter::Delay);
            return Some(ErrorKind::LimitExceeded(data)).filter(|_| room_version.is_none());
        }
        Errcode::BadJson => ErrorKind::BadJson,
        Errcode::Forbidden => ErrorKind::Forbidden,
        Errcode::GuestAccessForbidden => ErrorKind::GuestAccessForbidden,
        Errcode::InvalidParam => ErrorKind::InvalidParam,
        Errcode::InviteBlocked => ErrorKind::InviteBlocked,
        Errcode::MissingParam => ErrorKind::MissingParam,
        Errcode::NotFound => ErrorKind::NotFound,
        Errcode::NotJson => ErrorKind::NotJson,
        Errcode::TooLarge => ErrorKind::TooLarge,
        Errcode::Unauthorized => ErrorKind::Unauthorized,
        Errcode::Unknown => ErrorKind::Unknown,
        Errcode::Unrecognized => ErrorKind::Unrecognized,
        Errcode::UserSuspended => ErrorKind::UserSuspended,
        // Of another code ruma itself says what it is.
        _ => return None,
    };
    Some(kind).filter(|_| room_version.is_none() && retry_after_ms.is_none())
}
