//! What ends a knock without success, and what the client is told.

use serde::{Deserialize, Serialize};

use crate::error::{Errcode, ErrorResponse};
use crate::event::Membership;

/// What ends a knock without success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Failure {
    /// There is no server to ask.
    #[error("no server to ask")]
    NoServers,
    /// None of the versions that the host supports has knocking.
    #[error("no room version with knocking to offer")]
    NoVersions,
    /// The user is joined, invited or banned, by the state of a room that this server is in.
    #[error("the user's membership is `{membership}`")]
    OwnMembership {
        /// Which of the three.
        membership: Membership,
    },
    /// The event would have more than 65,536 bytes: the reason or the name is too long.
    #[error("the event would be too large")]
    TooLarge,
    /// The room has a version that was not offered.
    #[error("the room has version `{room_version}`")]
    IncompatibleRoomVersion {
        /// The version, as the resident server names it.
        room_version: String,
    },
    /// A server did not allow it.
    #[error("not allowed")]
    Forbidden,
    /// Too many requests.
    #[error("rate limited")]
    RateLimited {
        /// Milliseconds, if the server said so.
        retry_after_ms: Option<u64>,
    },
    /// The room is not known.
    #[error("unknown room")]
    NotFound,
    /// No server gave a useful answer.
    #[error("no useful answer")]
    NoAnswer,
}

impl Failure {
    /// Returns the answer to the client.
    #[must_use]
    pub fn to_response(&self) -> ErrorResponse {
        let (errcode, error) = match self {
            Self::NoServers => (Errcode::NotFound, "No server is known that is in the room"),
            Self::NoVersions => (Errcode::Forbidden, "This server does not have knocking"),
            Self::OwnMembership { membership } => (
                Errcode::Forbidden,
                match membership {
                    Membership::Join => "You are in the room already",
                    Membership::Invite => "You are invited to the room already",
                    Membership::Ban => "You are banned from the room",
                    Membership::Knock | Membership::Leave => "You may not knock on this room",
                },
            ),
            Self::TooLarge => (Errcode::TooLarge, "The reason or the name is too long"),
            Self::IncompatibleRoomVersion { room_version } => {
                return ErrorResponse::incompatible_room_version(room_version.clone());
            }
            Self::Forbidden => (Errcode::Forbidden, "The room does not allow it"),
            Self::RateLimited { retry_after_ms } => return ErrorResponse::limit_exceeded(*retry_after_ms),
            Self::NotFound => (Errcode::NotFound, "Unknown room"),
            Self::NoAnswer => (Errcode::Unknown, "No server of the room could be asked"),
        };
        ErrorResponse::new(errcode, error)
    }

    /// Which of the failures of several servers the client is told: the lowest.
    pub(super) const fn rank(&self) -> u8 {
        match self {
            Self::NoServers
            | Self::NoVersions
            | Self::OwnMembership { .. }
            | Self::TooLarge
            | Self::IncompatibleRoomVersion { .. } => 0,
            Self::Forbidden => 1,
            Self::RateLimited { .. } => 2,
            Self::NotFound => 3,
            Self::NoAnswer => 4,
        }
    }
}

impl From<Failure> for ErrorResponse {
    fn from(failure: Failure) -> Self {
        failure.to_response()
    }
}
