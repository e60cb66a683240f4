//! What cannot be put into a type of ruma's.

use matrix_knock::error::ErrorResponse;
use ruma_common::IdParseError;

/// Something of the library's that a type of ruma's cannot hold.
///
/// On the wire it is 500 `M_UNKNOWN`: the host sent or answered something that its own types do not
/// take.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unconvertible {
    /// ruma does not take an identifier: see [`id`](crate::id).
    #[error("ruma does not take an identifier: {0}")]
    Id(#[from] IdParseError),
    /// serde_json does not take a text of the library's. None in practice.
    #[error("serde_json does not take the JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The endpoint is one that this release does not know.
    #[error("an endpoint that is not known here")]
    Endpoint,
}

impl From<Unconvertible> for ErrorResponse {
    fn from(_: Unconvertible) -> Self {
        Self::internal("Internal server error")
    }
}
