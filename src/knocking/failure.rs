//! What ends a knock without success, and what the client is told.

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::error::{Errcode, ErrorBody, ErrorResponse};
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
    /// The servers that were asked do not have knocking. They may well know the room.
    #[error("the servers of the room do not have knocking")]
    NoKnocking,
    /// A server refused for another reason than the room's: the status and the code that it gave.
    #[error("refused with status {status}{}", .errcode.as_ref().map_or_else(String::new, |errcode| format!(" {errcode}")))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The `errcode`, if there is one.
        errcode: Option<Errcode>,
    },
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
            Self::NoKnocking => (Errcode::Unrecognized, "The servers of the room do not have knocking"),
            // What the user can do something about passes as it is; the rest is between the servers.
            Self::Refused { status: status @ (403 | 429), errcode: Some(errcode) } if !errcode.is_about_access() => {
                return ErrorResponse::with_status(*status, errcode.clone(), "A server of the room refused it");
            }
            Self::Refused { .. } => (Errcode::Unknown, "A server of the room refused it"),
            Self::NoAnswer => (Errcode::Unknown, "No server of the room could be asked"),
        };
        ErrorResponse::new(errcode, error)
    }

    /// What an error of another server comes to: by its code, and by the status where there is none, or one that says
    /// nothing. `room_version` is the version that the server says the room has.
    pub(super) fn of_error(status: u16, body: &ErrorBody, room_version: Option<&str>) -> Self {
        let limited = || Self::RateLimited { retry_after_ms: body.retry_after_ms };
        let by_status = || match status {
            403 => Self::Forbidden,
            404 => Self::NotFound,
            405 => Self::NoKnocking,
            413 => Self::TooLarge,
            429 => limited(),
            _ => Self::Refused { status, errcode: body.errcode() },
        };
        match (body.errcode(), room_version) {
            (Some(Errcode::IncompatibleRoomVersion), Some(room_version)) => {
                Self::IncompatibleRoomVersion { room_version: room_version.to_owned() }
            }
            (Some(Errcode::Forbidden), _) => Self::Forbidden,
            (Some(Errcode::NotFound), _) => Self::NotFound,
            (Some(Errcode::Unrecognized), _) => Self::NoKnocking,
            (Some(Errcode::TooLarge), _) => Self::TooLarge,
            (Some(Errcode::LimitExceeded), _) => limited(),
            (Some(Errcode::Unknown) | None, _) => by_status(),
            (
                Some(
                    errcode @ (Errcode::BadJson
                    | Errcode::GuestAccessForbidden
                    | Errcode::IncompatibleRoomVersion
                    | Errcode::InvalidParam
                    | Errcode::InviteBlocked
                    | Errcode::MissingParam
                    | Errcode::NotJson
                    | Errcode::Unauthorized
                    | Errcode::UserSuspended
                    | Errcode::Other(_)),
                ),
                _,
            ) => Self::Refused { status, errcode: Some(errcode) },
        }
    }

    /// Which of the failures of several servers the client is told: the lowest.
    pub(super) const fn rank(&self) -> u8 {
        match self {
            Self::NoServers
            | Self::NoVersions
            | Self::OwnMembership { .. }
            | Self::TooLarge
            | Self::IncompatibleRoomVersion { .. } => 0,
            Self::Forbidden | Self::Refused { status: 403, .. } => 1,
            Self::RateLimited { .. } | Self::Refused { status: 429, .. } => 2,
            Self::NotFound => 3,
            Self::NoKnocking => 4,
            Self::Refused { .. } | Self::NoAnswer => 5,
        }
    }
}

/// What the server said whose failure it is: for people, and in properties of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Said {
    // A missing one is lost; `null` is none.
    #[serde(deserialize_with = "Option::deserialize")]
    error: Option<String>,
    #[serde(deserialize_with = "properties")]
    extra: Option<String>,
    retry_after_ms: Option<u64>,
}

/// The properties of a stored error, as they were taken from a body, or none.
fn properties<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let stored = Option::<String>::deserialize(deserializer)?;
    let is_as_taken = |text: &String| ErrorBody::read(text).extra.as_deref() == Some(text);
    match stored.as_ref().is_none_or(is_as_taken) {
        true => Ok(stored),
        false => Err(de::Error::custom("the properties of the error are not as they were taken")),
    }
}

/// The longest text of another server that is passed on, in bytes.
const MAX_SAID_BYTES: usize = 4096;

impl Said {
    pub(super) fn of_error(body: ErrorBody) -> Self {
        let error = body.error.filter(|error| error.len() <= MAX_SAID_BYTES);
        Self { error, extra: body.extra.map(String::from), retry_after_ms: body.retry_after_ms }
    }

    /// The answer to the client, with what the server said in place of our text, and with its other properties.
    pub(super) fn add_to(&self, failure: &Failure) -> ErrorResponse {
        let mut response = failure.to_response();
        if let Some(error) = &self.error {
            response = response.with_error(error.clone());
        }
        // Too many requests, whatever the code is.
        if response.status() == 429 {
            let known = response.retry_after_ms();
            response = response.with_retry_after_ms(self.retry_after_ms.or(known));
        }
        match &self.extra {
            // They were checked when they came.
            Some(extra) => response.clone().with_extra(extra).unwrap_or(response),
            None => response,
        }
    }

    pub(super) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    pub(super) fn extra(&self) -> Option<&str> {
        self.extra.as_deref()
    }
}

impl From<Failure> for ErrorResponse {
    fn from(failure: Failure) -> Self {
        failure.to_response()
    }
}
