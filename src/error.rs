//! Errors as the Matrix APIs have them on the wire: status, `errcode`, body. The one place that knows HTTP numbers.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#standard-error-response>

mod body;
mod path;

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

use crate::json::{CanonicalDialect, JsonError, JsonErrorKind, JsonText, canonical, push_string};

pub(crate) use body::ErrorBody;
pub use path::PathError;

/// The `errcode` of an error. The set is open: a code that this crate has no variant for stays what it is.
///
/// # Examples
///
/// ```
/// use matrix_knock::error::Errcode;
///
/// assert_eq!(Errcode::from("M_NOT_JSON"), Errcode::NotJson);
/// assert_eq!((Errcode::NotJson.as_str(), Errcode::NotJson.status()), ("M_NOT_JSON", 400));
/// assert_eq!(Errcode::from("M_CONSENT_NOT_GIVEN").as_str(), "M_CONSENT_NOT_GIVEN");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
#[non_exhaustive]
pub enum Errcode {
    /// `M_BAD_JSON`: JSON, but not what is asked for here.
    BadJson,
    /// `M_FORBIDDEN`: not allowed.
    Forbidden,
    /// `M_GUEST_ACCESS_FORBIDDEN`: not allowed to guests.
    GuestAccessForbidden,
    /// `M_INCOMPATIBLE_ROOM_VERSION`: the room has a version that the asking server does not have.
    IncompatibleRoomVersion,
    /// `M_INVALID_PARAM`: a parameter has a wrong value.
    InvalidParam,
    /// `M_INVITE_BLOCKED`: the user does not want such invites.
    InviteBlocked,
    /// `M_LIMIT_EXCEEDED`: too many requests.
    LimitExceeded,
    /// `M_MISSING_PARAM`: a parameter is missing.
    MissingParam,
    /// `M_NOT_FOUND`: there is no such thing here.
    NotFound,
    /// `M_NOT_JSON`: no JSON at all.
    NotJson,
    /// `M_TOO_LARGE`: more bytes than are allowed.
    TooLarge,
    /// `M_UNAUTHORIZED`: the request is not authenticated, or not by whom it says.
    Unauthorized,
    /// `M_UNKNOWN`: something else.
    Unknown,
    /// `M_UNRECOGNIZED`: there is no such endpoint, or not with this method.
    Unrecognized,
    /// `M_USER_SUSPENDED`: the user may only read for the time being.
    UserSuspended,
    /// Any other code. Made by `from` only, so that a code has one form.
    Other(OtherErrcode),
}

/// A code that [`Errcode`] has no variant for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OtherErrcode(Box<str>);

impl Errcode {
    /// Those that have a variant, in the order of the alphabet.
    pub const ALL: [Self; 15] = [
        Self::BadJson,
        Self::Forbidden,
        Self::GuestAccessForbidden,
        Self::IncompatibleRoomVersion,
        Self::InvalidParam,
        Self::InviteBlocked,
        Self::LimitExceeded,
        Self::MissingParam,
        Self::NotFound,
        Self::NotJson,
        Self::TooLarge,
        Self::Unauthorized,
        Self::Unknown,
        Self::Unrecognized,
        Self::UserSuspended,
    ];

    /// The code as it is written: `M_FORBIDDEN`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::BadJson => "M_BAD_JSON",
            Self::Forbidden => "M_FORBIDDEN",
            Self::GuestAccessForbidden => "M_GUEST_ACCESS_FORBIDDEN",
            Self::IncompatibleRoomVersion => "M_INCOMPATIBLE_ROOM_VERSION",
            Self::InvalidParam => "M_INVALID_PARAM",
            Self::InviteBlocked => "M_INVITE_BLOCKED",
            Self::LimitExceeded => "M_LIMIT_EXCEEDED",
            Self::MissingParam => "M_MISSING_PARAM",
            Self::NotFound => "M_NOT_FOUND",
            Self::NotJson => "M_NOT_JSON",
            Self::TooLarge => "M_TOO_LARGE",
            Self::Unauthorized => "M_UNAUTHORIZED",
            Self::Unknown => "M_UNKNOWN",
            Self::Unrecognized => "M_UNRECOGNIZED",
            Self::UserSuspended => "M_USER_SUSPENDED",
            Self::Other(OtherErrcode(code)) => code,
        }
    }

    /// The HTTP status that goes with the code where nothing else is said; 400 for a code without a variant.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::BadJson
            | Self::IncompatibleRoomVersion
            | Self::InvalidParam
            | Self::MissingParam
            | Self::NotJson
            | Self::Other(_) => 400,
            Self::Unauthorized => 401,
            Self::Forbidden | Self::GuestAccessForbidden | Self::InviteBlocked | Self::UserSuspended => 403,
            Self::NotFound | Self::Unrecognized => 404,
            Self::TooLarge => 413,
            Self::LimitExceeded => 429,
            // Of what another server said or did not say: a bad gateway.
            Self::Unknown => 502,
        }
    }

    /// Whether the code speaks of the access of whoever sent the request. Another server's word on that never reaches a
    /// client, which would believe that its own access is lost and log its user out.
    pub(crate) fn is_about_access(&self) -> bool {
        let codes = ["M_MISSING_TOKEN", "M_UNAUTHORIZED", "M_UNKNOWN_TOKEN", "M_USER_LOCKED"];
        codes.contains(&self.as_str())
    }

    /// The code for a body that cannot be read, with a text for people.
    pub(crate) const fn of_unread_body(error: JsonErrorKind) -> (Self, &'static str) {
        match error {
            JsonErrorKind::UnexpectedEnd
            | JsonErrorKind::UnexpectedCharacter
            | JsonErrorKind::TrailingCharacters
            | JsonErrorKind::ControlCharacter
            | JsonErrorKind::InvalidEscape => (Self::NotJson, "The body is not JSON"),
            // These are in the grammar of JSON, as far as they were read.
            JsonErrorKind::TooDeep
            | JsonErrorKind::DeeperThan { .. }
            | JsonErrorKind::LoneSurrogate
            | JsonErrorKind::DuplicateKey
            | JsonErrorKind::NumberNotAllowed => (Self::BadJson, "The body cannot be read"),
        }
    }
}

impl fmt::Display for Errcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<&str> for Errcode {
    fn from(code: &str) -> Self {
        let known = Self::ALL.into_iter().find(|errcode| errcode.as_str() == code);
        known.unwrap_or_else(|| Self::Other(OtherErrcode(code.into())))
    }
}

impl From<String> for Errcode {
    fn from(code: String) -> Self {
        Self::from(code.as_str())
    }
}

impl FromStr for Errcode {
    type Err = Infallible;

    fn from_str(code: &str) -> Result<Self, Infallible> {
        Ok(Self::from(code))
    }
}

impl From<Errcode> for String {
    fn from(errcode: Errcode) -> Self {
        errcode.as_str().to_owned()
    }
}

impl AsRef<str> for Errcode {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq<str> for Errcode {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Errcode {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

/// An answer that says what is wrong. `Display` writes its body as canonical JSON; with serde it is that object.
///
/// # Examples
///
/// ```
/// use matrix_knock::error::{Errcode, ErrorResponse};
///
/// let response = ErrorResponse::new(Errcode::Forbidden, "You may not knock on this room");
/// assert_eq!(response.status(), 403);
/// assert_eq!(response.to_string(), r#"{"errcode":"M_FORBIDDEN","error":"You may not knock on this room"}"#);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ErrorResponse {
    status: u16,
    errcode: Errcode,
    error: Cow<'static, str>,
    room_version: Option<Cow<'static, str>>,
    retry_after_ms: Option<u64>,
    /// An object of other properties, as canonical JSON.
    extra: Option<Box<str>>,
}

/// Properties that cannot be added to an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExtraError {
    /// They are not JSON, or nested too deep.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// They are no object.
    #[error("not an object")]
    NotAnObject,
    /// They have more than [`MAX_EXTRA_BYTES`].
    #[error("properties of {bytes} bytes, more than {MAX_EXTRA_BYTES}")]
    TooLarge {
        /// How many bytes they have as canonical JSON.
        bytes: usize,
    },
}

/// The most bytes that other properties of an error have.
pub const MAX_EXTRA_BYTES: usize = 4096;

impl ErrorResponse {
    /// Creates an error with a text for people, and the status that goes with the code.
    #[must_use]
    pub fn new(errcode: Errcode, error: impl Into<Cow<'static, str>>) -> Self {
        Self::with_status(errcode.status(), errcode, error)
    }

    /// Creates an error with this HTTP status.
    #[must_use]
    pub fn with_status(status: u16, errcode: Errcode, error: impl Into<Cow<'static, str>>) -> Self {
        Self { status, errcode, error: error.into(), room_version: None, retry_after_ms: None, extra: None }
    }

    /// Replaces the text for people.
    #[must_use]
    pub fn with_error(self, error: impl Into<Cow<'static, str>>) -> Self {
        Self { error: error.into(), ..self }
    }

    pub(crate) fn with_retry_after_ms(self, retry_after_ms: Option<u64>) -> Self {
        Self { retry_after_ms, ..self }
    }

    /// Adds other properties to the body: a JSON object. Of these, `errcode`, `error`, `room_version` and `retry_after_ms` are
    /// left out.
    ///
    /// # Errors
    ///
    /// [`ExtraError`] if it is not such an object.
    ///
    /// # Examples
    ///
    /// ```
    /// use matrix_knock::error::{Errcode, ErrorResponse};
    ///
    /// let response = ErrorResponse::new(Errcode::UserSuspended, "Ask us").with_extra(r#"{"contact": "@help:a.example"}"#)?;
    /// let body = r#"{"contact":"@help:a.example","errcode":"M_USER_SUSPENDED","error":"Ask us"}"#;
    /// assert_eq!(response.to_string(), body);
    /// # Ok::<(), matrix_knock::error::ExtraError>(())
    /// ```
    pub fn with_extra(self, properties: &str) -> Result<Self, ExtraError> {
        let extra = body::extra_of(properties)?;
        Ok(Self { extra, ..self })
    }

    /// There is such an endpoint, but not with this method: 405 instead of the usual 404 of [`Errcode::Unrecognized`].
    ///
    /// # Examples
    ///
    /// ```
    /// use matrix_knock::error::{Errcode, ErrorResponse};
    ///
    /// let response = ErrorResponse::method_not_allowed();
    /// assert_eq!((response.status(), response.errcode()), (405, &Errcode::Unrecognized));
    /// ```
    #[must_use]
    pub fn method_not_allowed() -> Self {
        Self::with_status(405, Errcode::Unrecognized, "No such method here")
    }

    /// A query that is too long: 414 instead of the usual 413 of [`Errcode::TooLarge`], which is for bodies.
    ///
    /// # Examples
    ///
    /// ```
    /// use matrix_knock::error::{Errcode, ErrorResponse};
    ///
    /// let response = ErrorResponse::uri_too_long();
    /// assert_eq!((response.status(), response.errcode()), (414, &Errcode::TooLarge));
    /// ```
    #[must_use]
    pub fn uri_too_long() -> Self {
        Self::with_status(414, Errcode::TooLarge, "The URI is too long")
    }

    /// This server cannot answer for a reason of its own: 500 `M_UNKNOWN`.
    ///
    /// # Examples
    ///
    /// ```
    /// use matrix_knock::error::{Errcode, ErrorResponse};
    ///
    /// let response = ErrorResponse::internal("Internal server error");
    /// assert_eq!((response.status(), response.errcode()), (500, &Errcode::Unknown));
    /// ```
    #[must_use]
    pub fn internal(error: impl Into<Cow<'static, str>>) -> Self {
        Self::with_status(500, Errcode::Unknown, error)
    }

    /// The room has this version, which the asking server does not have.
    #[must_use]
    pub fn incompatible_room_version(version: impl Into<Cow<'static, str>>) -> Self {
        let error = "This server does not have the version of the room";
        Self { room_version: Some(version.into()), ..Self::new(Errcode::IncompatibleRoomVersion, error) }
    }

    /// Too many requests; the next one may come after so many milliseconds, if that is known.
    #[must_use]
    pub fn limit_exceeded(retry_after_ms: Option<u64>) -> Self {
        Self { retry_after_ms, ..Self::new(Errcode::LimitExceeded, "Too many requests") }
    }

    /// Returns the text for people.
    #[must_use]
    pub fn error(&self) -> &str {
        &self.error
    }

    /// Returns the other properties, a JSON object, if there are any.
    #[must_use]
    pub fn extra(&self) -> Option<&str> {
        self.extra.as_deref()
    }

    /// Returns the `room_version` of an `M_INCOMPATIBLE_ROOM_VERSION`.
    #[must_use]
    pub fn room_version(&self) -> Option<&str> {
        self.room_version.as_deref()
    }

    /// Returns how long to wait before the next request, in milliseconds.
    #[must_use]
    pub const fn retry_after_ms(&self) -> Option<u64> {
        self.retry_after_ms
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The code.
    #[must_use]
    pub const fn errcode(&self) -> &Errcode {
        &self.errcode
    }

    /// The value of the `Retry-After` header, in whole seconds, rounded up.
    #[must_use]
    pub fn retry_after(&self) -> Option<u64> {
        self.retry_after_ms.map(|milliseconds| milliseconds.div_ceil(1000))
    }
}

impl fmt::Display for ErrorResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::from(r#"{"errcode":"#);
        push_string(&mut out, self.errcode.as_str());
        out.push_str(r#","error":"#);
        push_string(&mut out, &self.error);
        if let Some(milliseconds) = self.retry_after_ms {
            out.push_str(&format!(r#","retry_after_ms":{milliseconds}"#));
        }
        if let Some(version) = &self.room_version {
            out.push_str(r#","room_version":"#);
            push_string(&mut out, version);
        }
        out.push('}');
        let Some(extra) = &self.extra else { return f.write_str(&out) };
        let both = format!("{},{}", out.trim_end_matches('}'), extra.trim_start_matches('{'));
        // Neither has a key of the other.
        f.write_str(&canonical(&both, CanonicalDialect::Lenient).unwrap_or(out))
    }
}

/// Status, `Content-Type`, `Retry-After` and body.
#[cfg(feature = "http")]
impl From<ErrorResponse> for http::Response<String> {
    fn from(error: ErrorResponse) -> Self {
        use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};

        let mut response = Self::new(error.to_string());
        // Every status in here is one.
        *response.status_mut() = http::StatusCode::from_u16(error.status).unwrap_or_default();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(seconds) = error.retry_after() {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// Its body.
impl Serialize for ErrorResponse {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        JsonText(&self.to_string()).serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies() {
        for (response, status, retry_after, body) in [
            (
                ErrorResponse::new(Errcode::NotFound, "a \"b\""),
                404,
                None,
                r#"{"errcode":"M_NOT_FOUND","error":"a \"b\""}"#,
            ),
            (
                ErrorResponse::incompatible_room_version("7"),
                400,
                None,
                concat!(
                    r#"{"errcode":"M_INCOMPATIBLE_ROOM_VERSION","#,
                    r#""error":"This server does not have the version of the room","room_version":"7"}"#
                ),
            ),
            (
                ErrorResponse::limit_exceeded(Some(1001)),
                429,
                Some(2),
                r#"{"errcode":"M_LIMIT_EXCEEDED","error":"Too many requests","retry_after_ms":1001}"#,
            ),
            (
                ErrorResponse::limit_exceeded(None),
                429,
                None,
                r#"{"errcode":"M_LIMIT_EXCEEDED","error":"Too many requests"}"#,
            ),
            (
                ErrorResponse::method_not_allowed(),
                405,
                None,
                r#"{"errcode":"M_UNRECOGNIZED","error":"No such method here"}"#,
            ),
            (
                ErrorResponse::with_status(451, Errcode::from("ORG.\"X"), "no")
                    .with_extra(r#"{"a":[1],"error":"x","z":{}}"#)
                    .unwrap(),
                451,
                None,
                r#"{"a":[1],"errcode":"ORG.\"X","error":"no","z":{}}"#,
            ),
            (
                ErrorResponse::new(Errcode::NotFound, "x").with_extra("{}").unwrap(),
                404,
                None,
                r#"{"errcode":"M_NOT_FOUND","error":"x"}"#,
            ),
            (ErrorResponse::uri_too_long(), 414, None, r#"{"errcode":"M_TOO_LARGE","error":"The URI is too long"}"#),
        ] {
            assert_eq!((response.status(), response.retry_after()), (status, retry_after));
            assert_eq!(response.to_string(), body);
        }
    }

    #[test]
    fn properties_that_cannot_be_added() {
        let refused = |text: &str| ErrorResponse::new(Errcode::NotFound, "").with_extra(text).unwrap_err().to_string();
        assert_eq!(refused("[]"), "not an object");
        assert_eq!(refused("{"), "unexpected end of JSON at byte 1");
        assert_eq!(refused(&format!(r#"{{"a":"{}"}}"#, "x".repeat(4089))), "properties of 4097 bytes, more than 4096");
        assert_eq!(
            refused(&format!(r#"{{"a":{}{}}}"#, "[".repeat(20), "]".repeat(20))),
            "JSON nested deeper than 16 levels at byte 21"
        );
    }

    #[test]
    fn codes() {
        let codes = [
            (Errcode::BadJson, "M_BAD_JSON", 400),
            (Errcode::Forbidden, "M_FORBIDDEN", 403),
            (Errcode::GuestAccessForbidden, "M_GUEST_ACCESS_FORBIDDEN", 403),
            (Errcode::IncompatibleRoomVersion, "M_INCOMPATIBLE_ROOM_VERSION", 400),
            (Errcode::InvalidParam, "M_INVALID_PARAM", 400),
            (Errcode::InviteBlocked, "M_INVITE_BLOCKED", 403),
            (Errcode::LimitExceeded, "M_LIMIT_EXCEEDED", 429),
            (Errcode::MissingParam, "M_MISSING_PARAM", 400),
            (Errcode::NotFound, "M_NOT_FOUND", 404),
            (Errcode::NotJson, "M_NOT_JSON", 400),
            (Errcode::TooLarge, "M_TOO_LARGE", 413),
            (Errcode::Unauthorized, "M_UNAUTHORIZED", 401),
            (Errcode::Unknown, "M_UNKNOWN", 502),
            (Errcode::Unrecognized, "M_UNRECOGNIZED", 404),
            (Errcode::UserSuspended, "M_USER_SUSPENDED", 403),
        ];
        assert_eq!(codes.clone().map(|(errcode, ..)| errcode), Errcode::ALL);
        let other = Errcode::from("M_Forbidden");
        assert_eq!((other.as_str(), other.status(), other == Errcode::Forbidden), ("M_Forbidden", 400, false));
        for (errcode, code, status) in codes {
            assert_eq!((errcode.as_str(), errcode.status(), code.parse()), (code, status, Ok(errcode.clone())));
            assert_eq!(ErrorResponse::new(errcode, "").errcode().to_string(), code);
        }
    }
}
