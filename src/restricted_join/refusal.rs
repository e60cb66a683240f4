//! The errors of a join.

use crate::error::{Errcode, ErrorResponse};

/// Why a resident server refuses a join, at `make_join` and at `send_join`.
///
/// <https://spec.matrix.org/v1.19/server-server-api/#restricted-rooms>
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum RefusedJoin {
    /// This server cannot tell whether the user meets a condition: it does not know the state of a
    /// room of the conditions. 400 `M_UNABLE_TO_AUTHORISE_JOIN`; another server may know.
    #[error("unable to tell whether the user meets a condition of the room")]
    UnableToAuthorise,
    /// The user meets a condition, and no user of this server has the power to authorize the join.
    /// 400 `M_UNABLE_TO_GRANT_JOIN`; another server may have one.
    #[error("no user of this server can authorize the join")]
    UnableToGrant,
    /// The user meets no condition, or the room has none, or a rule refuses. 403 `M_FORBIDDEN`.
    #[error("the room does not let the user join")]
    Forbidden,
}

const UNABLE_TO_AUTHORISE: &str = "M_UNABLE_TO_AUTHORISE_JOIN";
const UNABLE_TO_GRANT: &str = "M_UNABLE_TO_GRANT_JOIN";

impl RefusedJoin {
    /// Reads the error of another server that was asked for a join; `None` for any other error.
    ///
    /// The code says it alone: whatever the status is.
    #[must_use]
    pub fn of_errcode(errcode: &Errcode) -> Option<Self> {
        match errcode.as_str() {
            UNABLE_TO_AUTHORISE => Some(Self::UnableToAuthorise),
            UNABLE_TO_GRANT => Some(Self::UnableToGrant),
            "M_FORBIDDEN" => Some(Self::Forbidden),
            _ => None,
        }
    }

    /// Returns whether the joining server tries another server of the room.
    #[must_use]
    pub const fn another_server_may(self) -> bool {
        match self {
            Self::UnableToAuthorise | Self::UnableToGrant => true,
            Self::Forbidden => false,
        }
    }

    /// Returns the answer to the joining server.
    ///
    /// # Examples
    ///
    /// ```
    /// use matrix_knock::restricted_join::RefusedJoin;
    ///
    /// let response = RefusedJoin::UnableToGrant.to_response();
    /// assert_eq!(response.status(), 400);
    /// assert_eq!(response.errcode().as_str(), "M_UNABLE_TO_GRANT_JOIN");
    /// ```
    #[must_use]
    pub fn to_response(self) -> ErrorResponse {
        let (errcode, error) = match self {
            Self::UnableToAuthorise => {
                (Errcode::from(UNABLE_TO_AUTHORISE), "This server cannot tell whether you may join the room")
            }
            Self::UnableToGrant => (Errcode::from(UNABLE_TO_GRANT), "Nobody on this server can invite you"),
            Self::Forbidden => (Errcode::Forbidden, "You may not join the room"),
        };
        ErrorResponse::new(errcode, error)
    }
}

impl From<RefusedJoin> for ErrorResponse {
    fn from(refused: RefusedJoin) -> Self {
        refused.to_response()
    }
}
