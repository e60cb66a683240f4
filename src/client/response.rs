//! The answer.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::error::{Errcode, ErrorBody, ErrorResponse};
use crate::id::{OwnedRoomId, RoomId};
use crate::json::{Field, JsonError, JsonText, Reader, Str, push_string, read_field, read_object_unread};
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
        let malformed = || KnockError { status: 200, kind: KnockErrorKind::Malformed, body: Box::default() };
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
    let mut room_id = Field::Missing;
    read_object_unread(body, |key, value| {
        if key.is("room_id") {
            room_id.put(read_field(value, Reader::string_field));
        }
    })?;
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
    body: Box<ErrorBody>,
}

/// The kinds of [`KnockError`]: by the code, and by the status where there is no code, or one that says nothing
/// (`M_UNKNOWN`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum KnockErrorKind {
    /// `M_INCOMPATIBLE_ROOM_VERSION`: the server does not have the version of the room.
    #[error("the server does not have the version of the room")]
    IncompatibleRoomVersion {
        /// The version, if it is named.
        room_version: Option<String>,
    },
    /// `M_FORBIDDEN`, or 403 without a code: the user may not knock on this room, or is in it, invited to it or banned from it.
    #[error("not allowed")]
    Forbidden,
    /// `M_GUEST_ACCESS_FORBIDDEN`: guests may not.
    #[error("not allowed to guests")]
    GuestAccessForbidden,
    /// `M_USER_SUSPENDED`: the user may not do anything of the kind for now.
    #[error("the user is suspended")]
    UserSuspended,
    /// `M_NOT_FOUND`, or 404 without a code: nobody who was asked knows the room, or the alias stands for none.
    #[error("unknown room")]
    NotFound,
    /// `M_UNRECOGNIZED`, or 405 without a code: the server, or every server that could be asked, does not have knocking.
    #[error("the server does not have knocking")]
    Unrecognized,
    /// `M_TOO_LARGE`, or 413 without a code: the reason is too long.
    #[error("the reason is too long")]
    TooLarge,
    /// `M_LIMIT_EXCEEDED`, or 429 without a code: too many requests.
    #[error("rate limited")]
    RateLimited {
        /// After how many milliseconds the next one may come, if that is known: by the header `Retry-After` in seconds, else by
        /// `retry_after_ms`, which is deprecated since v1.10.
        retry_after_ms: Option<u64>,
    },
    /// 502 and 504: the server could ask no server of the room.
    #[error("no server of the room could be asked")]
    NoAnswer,
    /// Another code or status: the request is wrong, the access token does not count, terms are to be agreed to, the server is
    /// broken. [`KnockError::errcode`] is the code as it came.
    #[error("refused")]
    Other,
    /// 200 without a room ID: perhaps there is a knock.
    #[error("malformed answer")]
    Malformed,
}

impl KnockErrorKind {
    /// Returns the kind in lower case, with `_` between the words, for logs and metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::IncompatibleRoomVersion { .. } => "incompatible_room_version",
            Self::Forbidden => "forbidden",
            Self::GuestAccessForbidden => "guest_access_forbidden",
            Self::UserSuspended => "user_suspended",
            Self::NotFound => "not_found",
            Self::Unrecognized => "unrecognized",
            Self::TooLarge => "too_large",
            Self::RateLimited { .. } => "rate_limited",
            Self::NoAnswer => "no_answer",
            Self::Other => "other",
            Self::Malformed => "malformed",
        }
    }
}

impl KnockError {
    fn read(response: HttpResponse<'_>) -> Self {
        let body = Box::new(ErrorBody::of_response(response));
        let limited = || KnockErrorKind::RateLimited { retry_after_ms: body.retry_after_ms };
        let kind = match body.errcode() {
            Some(Errcode::IncompatibleRoomVersion) => {
                KnockErrorKind::IncompatibleRoomVersion { room_version: body.room_version.clone() }
            }
            Some(Errcode::Forbidden) => KnockErrorKind::Forbidden,
            Some(Errcode::GuestAccessForbidden) => KnockErrorKind::GuestAccessForbidden,
            Some(Errcode::UserSuspended) => KnockErrorKind::UserSuspended,
            Some(Errcode::NotFound) => KnockErrorKind::NotFound,
            Some(Errcode::Unrecognized) => KnockErrorKind::Unrecognized,
            Some(Errcode::TooLarge) => KnockErrorKind::TooLarge,
            Some(Errcode::LimitExceeded) => limited(),
            // A code that says something else says more than the status: a 403 need not mean that the room refuses.
            Some(
                Errcode::BadJson
                | Errcode::InvalidParam
                | Errcode::InviteBlocked
                | Errcode::MissingParam
                | Errcode::NotJson
                | Errcode::Unauthorized
                | Errcode::Other(_),
            ) => KnockErrorKind::Other,
            Some(Errcode::Unknown) | None => match response.status {
                403 => KnockErrorKind::Forbidden,
                404 => KnockErrorKind::NotFound,
                405 => KnockErrorKind::Unrecognized,
                413 => KnockErrorKind::TooLarge,
                429 => limited(),
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

    /// Returns the other properties of the error, a JSON object, if there are any (at most
    /// [`MAX_EXTRA_BYTES`](crate::error::MAX_EXTRA_BYTES)).
    #[must_use]
    pub fn extra(&self) -> Option<&str> {
        self.body.extra.as_deref()
    }

    /// Returns after how many milliseconds the next request may come, if the server said so.
    #[must_use]
    pub const fn retry_after_ms(&self) -> Option<u64> {
        self.body.retry_after_ms
    }

    /// What the server says to people.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.body.error.as_deref()
    }
}
