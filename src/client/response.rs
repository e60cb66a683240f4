//! The answer.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::error::{Errcode, ErrorBody, ErrorResponse};
use crate::id::{OwnedRoomId, RoomId};
use crate::json::{Field, JsonError, JsonText, Kind, Reader, Str, push_string};
use crate::wire::HttpResponse;

/// The answer to a knock that was made. `Display` is its body; its status is 200.
///
/// # Examples
///
/// ```
/// use matrix_knock::client::KnockResponse;
/// use matrix_knock::id::RoomId;
/// use matrix_knock::wire::HttpResponse;
///
/// let response = KnockResponse::new(RoomId::parse("!d41d8cd:matrix.org")?);
/// let body = response.to_string();
/// assert_eq!(body, r#"{"room_id":"!d41d8cd:matrix.org"}"#);
/// assert_eq!(KnockResponse::parse(HttpResponse { status: 200, retry_after: None, body: &body })?, response);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KnockResponse {
    room_id: OwnedRoomId,
}

impl KnockResponse {
    /// The longest body that is read, in bytes.
    const MAX_BYTES: usize = 65_536;

    /// The user has knocked on this room.
    #[must_use]
    pub fn new(room_id: RoomId<'_>) -> Self {
        Self { room_id: room_id.into_owned() }
    }

    /// Reads an answer.
    ///
    /// # Errors
    ///
    /// [`KnockError`] says why there is no knock, or that nobody knows ([`KnockErrorKind::Malformed`]).
    pub fn parse(response: HttpResponse<'_>) -> Result<Self, KnockError> {
        if response.status != 200 {
            return Err(KnockError::read(response));
        }
        let malformed = || KnockError { status: 200, kind: KnockErrorKind::Malformed, body: ErrorBody::default() };
        let room_id = Some(response.body).filter(|body| body.len() <= Self::MAX_BYTES).map(room_id_of);
        let Some(Ok(Field::Is(room_id))) = room_id else { return Err(malformed()) };
        RoomId::parse(&room_id.text()).map(Self::new).map_err(|_| malformed())
    }

    /// The room: of an alias, what it stands for.
    #[must_use]
    pub const fn room_id(&self) -> RoomId<'_> {
        self.room_id.as_borrowed()
    }
}

impl fmt::Display for KnockResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = r#"{"room_id":"#.to_owned();
        push_string(&mut out, self.room_id.as_str());
        out.push('}');
        f.write_str(&out)
    }
}

/// Its body.
impl Serialize for KnockResponse {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        JsonText(&self.to_string()).serialize(serializer)
    }
}

fn room_id_of(body: &str) -> Result<Field<Str<'_>>, JsonError> {
    let mut reader = Reader::new(body);
    if reader.kind()? != Kind::Object {
        return Ok(Field::Malformed);
    }
    let mut room_id = Field::Missing;
    reader.object(|key, reader| {
        if !key.is("room_id") {
            return reader.skip_value();
        }
        room_id.put(reader.string_field()?);
        Ok(())
    })?;
    reader.end()?;
    Ok(room_id)
}

/// Why a server of its own lets a user not knock, before any other server is asked.
///
/// What other servers say is [`Failure`](crate::knocking::Failure).
///
/// # Examples
///
/// ```
/// use matrix_knock::client::KnockRefusal;
///
/// let response = KnockRefusal::RateLimited { retry_after_ms: Some(2500) }.to_response();
/// assert_eq!((response.status(), response.retry_after()), (429, Some(3)));
/// let body = r#"{"errcode":"M_LIMIT_EXCEEDED","error":"Too many requests","retry_after_ms":2500}"#;
/// assert_eq!(response.to_string(), body);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum KnockRefusal {
    /// The rules of the room do not allow it, the user's own membership does not, or this server has something against it.
    #[error("not allowed")]
    Forbidden,
    /// The user is a guest.
    #[error("the user is a guest")]
    Guest,
    /// The user is suspended.
    #[error("the user is suspended")]
    Suspended,
    /// The alias stands for no room.
    #[error("unknown alias")]
    UnknownAlias,
    /// Too many requests.
    #[error("rate limited")]
    RateLimited {
        /// After how many milliseconds the next one may come, if that is known.
        retry_after_ms: Option<u64>,
    },
}

impl KnockRefusal {
    /// The answer to the client.
    #[must_use]
    pub fn to_response(&self) -> ErrorResponse {
        let (errcode, error) = match self {
            Self::Forbidden => (Errcode::Forbidden, "You may not knock on this room"),
            Self::Guest => (Errcode::GuestAccessForbidden, "Guests may not knock"),
            Self::Suspended => (Errcode::UserSuspended, "You may not knock while you are suspended"),
            Self::UnknownAlias => (Errcode::NotFound, "Unknown alias"),
            Self::RateLimited { retry_after_ms } => return ErrorResponse::limit_exceeded(*retry_after_ms),
        };
        ErrorResponse::new(errcode, error)
    }
}

impl From<KnockRefusal> for ErrorResponse {
    fn from(refusal: KnockRefusal) -> Self {
        refusal.to_response()
    }
}

/// An answer that is no knock.
///
/// # Examples
///
/// ```
/// use matrix_knock::client::{KnockErrorKind, KnockResponse};
/// use matrix_knock::wire::HttpResponse;
///
/// let body = r#"{"errcode":"M_LIMIT_EXCEEDED","error":"Too many requests"}"#;
/// let error = KnockResponse::parse(HttpResponse { status: 429, retry_after: Some("3"), body }).unwrap_err();
/// assert_eq!(*error.kind(), KnockErrorKind::RateLimited { retry_after_ms: Some(3000) });
/// assert_eq!((error.errcode(), error.error()), (Some("M_LIMIT_EXCEEDED"), Some("Too many requests")));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} (status {status})")]
pub struct KnockError {
    status: u16,
    kind: KnockErrorKind,
    body: ErrorBody,
}

/// The kinds of [`KnockError`]: by the code, where it says enough, else by the status.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum KnockErrorKind {
    /// `M_INCOMPATIBLE_ROOM_VERSION`: the server does not have the version of the room.
    #[error("the server does not have the version of the room")]
    IncompatibleRoomVersion {
        /// The version, if it is named.
        room_version: Option<String>,
    },
    /// `M_FORBIDDEN`, or another 403: the user may not knock on this room, or is in it, invited to it or banned from it.
    #[error("not allowed")]
    Forbidden,
    /// `M_GUEST_ACCESS_FORBIDDEN`: guests may not.
    #[error("not allowed to guests")]
    GuestAccessForbidden,
    /// `M_USER_SUSPENDED`: the user may not do anything of the kind for now.
    #[error("the user is suspended")]
    UserSuspended,
    /// `M_NOT_FOUND`, or another 404: nobody who was asked knows the room, or the alias stands for none.
    #[error("unknown room")]
    NotFound,
    /// `M_UNRECOGNIZED`: the server does not have knocking.
    #[error("the server does not have knocking")]
    Unrecognized,
    /// `M_TOO_LARGE`, or another 413: the reason is too long.
    #[error("the reason is too long")]
    TooLarge,
    /// `M_LIMIT_EXCEEDED`, or another 429: too many requests.
    #[error("rate limited")]
    RateLimited {
        /// After how many milliseconds the next one may come, if that is known: by the header `Retry-After` in seconds, else by
        /// `retry_after_ms`, which is deprecated since v1.10.
        retry_after_ms: Option<u64>,
    },
    /// 502 and 504: the server could ask no server of the room.
    #[error("no server of the room could be asked")]
    NoAnswer,
    /// Another status: the request is wrong, the access token does not count, the server is broken.
    #[error("refused")]
    Other,
    /// 200 without a room ID: perhaps there is a knock.
    #[error("malformed answer")]
    Malformed,
}

impl KnockError {
    fn read(response: HttpResponse<'_>) -> Self {
        let body = ErrorBody::of_response(response);
        let kind = match body.known_errcode() {
            Some(Errcode::IncompatibleRoomVersion) => {
                KnockErrorKind::IncompatibleRoomVersion { room_version: body.room_version.clone() }
            }
            Some(Errcode::Forbidden) => KnockErrorKind::Forbidden,
            Some(Errcode::GuestAccessForbidden) => KnockErrorKind::GuestAccessForbidden,
            Some(Errcode::UserSuspended) => KnockErrorKind::UserSuspended,
            Some(Errcode::NotFound) => KnockErrorKind::NotFound,
            Some(Errcode::Unrecognized) => KnockErrorKind::Unrecognized,
            Some(Errcode::TooLarge) => KnockErrorKind::TooLarge,
            Some(Errcode::LimitExceeded) => KnockErrorKind::RateLimited { retry_after_ms: body.retry_after_ms },
            Some(
                Errcode::BadJson
                | Errcode::InvalidParam
                | Errcode::MissingParam
                | Errcode::NotJson
                | Errcode::Unauthorized
                | Errcode::Unknown,
            )
            | None => match response.status {
                403 => KnockErrorKind::Forbidden,
                404 => KnockErrorKind::NotFound,
                413 => KnockErrorKind::TooLarge,
                429 => KnockErrorKind::RateLimited { retry_after_ms: body.retry_after_ms },
                502 | 504 => KnockErrorKind::NoAnswer,
                _ => KnockErrorKind::Other,
            },
        };
        Self { status: response.status, kind, body }
    }

    /// What it comes to.
    #[must_use]
    pub const fn kind(&self) -> &KnockErrorKind {
        &self.kind
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The code that the server gave, known here or not: at most 255 bytes.
    #[must_use]
    pub fn errcode(&self) -> Option<&str> {
        self.body.errcode.as_deref()
    }

    /// What the server says to people.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.body.error.as_deref()
    }
}
