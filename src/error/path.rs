//! What can be wrong with the path of a request.

use super::{Errcode, ErrorResponse};

/// Why the path or the query of a request is not that of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// The path is not that of the endpoint, or of a version of the API that does not have it.
    #[error("the path is not that of the endpoint")]
    NoSuchEndpoint,
    /// The endpoint has another method.
    #[error("the endpoint does not have this method")]
    Method,
    /// The path or the query is too long.
    #[error("the path or the query is too long")]
    UriTooLong,
    /// The path is not percent-encoded UTF-8.
    #[error("the path is not percent-encoded UTF-8")]
    Encoding,
    /// The path does not hold a valid room ID.
    #[error("not a room ID")]
    RoomId,
}

impl PathError {
    /// Returns the answer on the wire.
    #[must_use]
    pub fn to_response(&self) -> ErrorResponse {
        match self {
            Self::NoSuchEndpoint => ErrorResponse::new(Errcode::Unrecognized, "No such endpoint"),
            Self::Method => ErrorResponse::method_not_allowed(),
            Self::UriTooLong => ErrorResponse::uri_too_long(),
            Self::Encoding => ErrorResponse::new(Errcode::InvalidParam, "The path is not percent-encoded UTF-8"),
            // What is no room ID is the ID of no room.
            Self::RoomId => ErrorResponse::new(Errcode::NotFound, "Unknown room"),
        }
    }
}

impl From<PathError> for ErrorResponse {
    fn from(error: PathError) -> Self {
        error.to_response()
    }
}
