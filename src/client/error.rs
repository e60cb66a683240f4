//! What is wrong with a request, and what to answer.

use super::{MAX_BODY_BYTES, MAX_QUERY_BYTES, MAX_REASON_BYTES};
use crate::error::{Errcode, ErrorResponse};
use crate::id::IdError;
use crate::json::JsonError;

/// What is wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The path is not that of a knock.
    #[error("the path is not that of a knock")]
    Path,
    /// The method is not `POST`.
    #[error("the method is not `POST`")]
    Method,
    /// The query has more than [`MAX_QUERY_BYTES`].
    #[error("query of {bytes} bytes, more than {MAX_QUERY_BYTES}")]
    QueryTooLong {
        /// How many it has.
        bytes: usize,
    },
    /// The body has more than [`MAX_BODY_BYTES`].
    #[error("body of {bytes} bytes, more than {MAX_BODY_BYTES}")]
    BodyTooLarge {
        /// How many it has.
        bytes: usize,
    },
    /// The body is no UTF-8.
    #[error("the body is not UTF-8")]
    NotUtf8,
    /// The body is no JSON, or is JSON that is read nowhere in here.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The body is JSON, but no object.
    #[error("the body is not an object")]
    NotAnObject,
    /// The reason is no string, or stands twice.
    #[error("`reason` is not one string")]
    Reason,
    /// The reason has more than [`MAX_REASON_BYTES`].
    #[error("`reason` of {bytes} bytes, more than {MAX_REASON_BYTES}")]
    ReasonTooLong {
        /// How many it has.
        bytes: usize,
    },
    /// The room ID or alias is not percent-encoded UTF-8.
    #[error("the room ID or alias is not percent-encoded UTF-8")]
    Encoding,
    /// The room ID or alias is malformed.
    #[error("the room ID or alias {0}")]
    Identifier(IdError),
}

impl RequestError {
    /// The answer to the client.
    ///
    /// # Examples
    ///
    /// ```
    /// use matrix_knock::client::RequestError;
    ///
    /// let response = RequestError::Method.to_response();
    /// assert_eq!(response.status(), 405);
    /// assert_eq!(response.to_string(), r#"{"errcode":"M_UNRECOGNIZED","error":"No such method here"}"#);
    /// ```
    #[must_use]
    pub fn to_response(&self) -> ErrorResponse {
        let (errcode, error) = match self {
            Self::Path => (Errcode::Unrecognized, "No such endpoint"),
            Self::Method => return ErrorResponse::method_not_allowed(),
            Self::QueryTooLong { .. } => return ErrorResponse::uri_too_long(),
            Self::BodyTooLarge { .. } => (Errcode::TooLarge, "The body is too large"),
            Self::NotUtf8 => (Errcode::NotJson, "The body is not JSON"),
            Self::Json(error) => Errcode::of_unread_body(error.kind()),
            Self::NotAnObject => (Errcode::BadJson, "The body is not an object"),
            Self::Reason => (Errcode::BadJson, "`reason` is not a string"),
            Self::ReasonTooLong { .. } => (Errcode::TooLarge, "`reason` is too long"),
            Self::Encoding | Self::Identifier(_) => (Errcode::InvalidParam, "Not a room ID or alias"),
        };
        ErrorResponse::new(errcode, error)
    }
}

impl From<RequestError> for ErrorResponse {
    fn from(error: RequestError) -> Self {
        error.to_response()
    }
}
