//! The table: what each code means, and what comes of it. Written from the specification's text and
//! from the reports, not from the code.

use matrix_knock::client::KnockErrorKind;
use matrix_knock::error::Errcode;
use matrix_knock::knocking::Failure;

/// What a code says about a knock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Means {
    /// The room refuses, or the user's own membership does.
    NotAllowed,
    /// There is no such room.
    NoRoom,
    /// There is no such endpoint.
    NoKnocking,
    /// The room has another version than was offered.
    OtherVersion,
    /// Too many requests.
    Limited,
    /// Too large.
    Large,
    /// Guests may not.
    Guests,
    /// The user is suspended.
    Suspended,
    /// Nothing: the status may say more.
    Nothing,
    /// Something that is not about the room.
    Else,
}

/// Every code of the specification (v1.19, all APIs), then some that are not in it.
pub(crate) const CODES: [(&str, Means); 69] = [
    ("M_APPSERVICE_LOGIN_UNSUPPORTED", Means::Else),
    ("M_BAD_ALIAS", Means::Else),
    ("M_BAD_JSON", Means::Else),
    ("M_BAD_STATE", Means::Else),
    ("M_BAD_STATUS", Means::Else),
    ("M_CANNOT_LEAVE_SERVER_NOTICE_ROOM", Means::Else),
    ("M_CANNOT_OVERWRITE_MEDIA", Means::Else),
    ("M_CAPTCHA_INVALID", Means::Else),
    ("M_CAPTCHA_NEEDED", Means::Else),
    ("M_CONNECTION_FAILED", Means::Else),
    ("M_CONNECTION_TIMEOUT", Means::Else),
    ("M_DESTINATION_REJECTED", Means::Else),
    ("M_DUPLICATE_ANNOTATION", Means::Else),
    ("M_EMAIL_SEND_ERROR", Means::Else),
    ("M_EXCLUSIVE", Means::Else),
    ("M_FORBIDDEN", Means::NotAllowed),
    ("M_GUEST_ACCESS_FORBIDDEN", Means::Guests),
    ("M_INCOMPATIBLE_ROOM_VERSION", Means::OtherVersion),
    ("M_INVALID_ADDRESS", Means::Else),
    ("M_INVALID_EMAIL", Means::Else),
    ("M_INVALID_PARAM", Means::Else),
    ("M_INVALID_PEPPER", Means::Else),
    ("M_INVALID_ROOM_STATE", Means::Else),
    ("M_INVALID_SIGNATURE", Means::Else),
    ("M_INVALID_USERNAME", Means::Else),
    ("M_INVITE_BLOCKED", Means::Else),
    ("M_KEY_TOO_LARGE", Means::Else),
    ("M_LIMIT_EXCEEDED", Means::Limited),
    ("M_MISSING_PARAM", Means::Else),
    ("M_MISSING_TOKEN", Means::Else),
    ("M_NOT_FOUND", Means::NoRoom),
    ("M_NOT_JSON", Means::Else),
    ("M_NOT_YET_UPLOADED", Means::Else),
    ("M_NO_VALID_SESSION", Means::Else),
    ("M_PROFILE_TOO_LARGE", Means::Else),
    ("M_RESOURCE_LIMIT_EXCEEDED", Means::Else),
    ("M_ROOM_IN_USE", Means::Else),
    ("M_SEND_ERROR", Means::Else),
    ("M_SERVER_NOT_TRUSTED", Means::Else),
    ("M_SESSION_EXPIRED", Means::Else),
    ("M_SESSION_NOT_VALIDATED", Means::Else),
    ("M_TERMS_NOT_SIGNED", Means::Else),
    ("M_THREEPID_AUTH_FAILED", Means::Else),
    ("M_THREEPID_DENIED", Means::Else),
    ("M_THREEPID_IN_USE", Means::Else),
    ("M_THREEPID_MEDIUM_NOT_SUPPORTED", Means::Else),
    ("M_THREEPID_NOT_FOUND", Means::Else),
    ("M_TOKEN_INCORRECT", Means::Else),
    ("M_TOO_LARGE", Means::Large),
    ("M_UNABLE_TO_AUTHORISE_JOIN", Means::Else),
    ("M_UNABLE_TO_GRANT_JOIN", Means::Else),
    ("M_UNAUTHORIZED", Means::Else),
    ("M_UNKNOWN", Means::Nothing),
    ("M_UNKNOWN_DEVICE", Means::Else),
    ("M_UNKNOWN_TOKEN", Means::Else),
    ("M_UNRECOGNIZED", Means::NoKnocking),
    ("M_UNSUPPORTED_ROOM_VERSION", Means::Else),
    ("M_URL_NOT_SET", Means::Else),
    ("M_USER_DEACTIVATED", Means::Else),
    ("M_USER_IN_USE", Means::Else),
    ("M_USER_LIMIT_EXCEEDED", Means::Else),
    ("M_USER_LOCKED", Means::Else),
    ("M_USER_SUSPENDED", Means::Suspended),
    ("M_WEAK_PASSWORD", Means::Else),
    ("M_WRONG_ROOM_KEYS_VERSION", Means::Else),
    ("M_CONSENT_NOT_GIVEN", Means::Else),
    ("ORG.EXAMPLE.CLOSED", Means::Else),
    ("m_forbidden", Means::Else),
    ("M_FORBIDDEN ", Means::Else),
];

/// The statuses: those of the client-server API, those of proxies, and one that is nobody's.
pub(crate) const STATUSES: [u16; 14] = [400, 401, 403, 404, 405, 408, 413, 418, 429, 500, 502, 503, 504, 599];

/// What people are told where the other server says nothing to them.
pub(crate) const OUR_TEXTS: [(&str, &str); 8] = [
    ("not allowed", "The room does not allow it"),
    ("no room", "Unknown room"),
    ("no knocking", "The servers of the room do not have knocking"),
    ("version", "This server does not have the version of the room"),
    ("limited", "Too many requests"),
    ("large", "The reason or the name is too long"),
    ("refused", "A server of the room refused it"),
    ("no answer", "No server of the room could be asked"),
];

/// What comes of an error at the knocker's server, and the answer to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) failure: Failure,
    /// Whether nobody knows if the knock was taken.
    pub(crate) is_silence: bool,
    pub(crate) status: u16,
    pub(crate) errcode: String,
    /// Which of our texts.
    pub(crate) text: &'static str,
    /// Whether the text and the other properties of the server go on to the client.
    pub(crate) said: bool,
}

fn outcome(failure: Failure, status: u16, errcode: &str, text: &'static str) -> Outcome {
    Outcome { failure, is_silence: false, status, errcode: errcode.to_owned(), text, said: true }
}

/// What the status says where the code says nothing.
fn meaning(means: Option<Means>, status: u16) -> Means {
    match (means.unwrap_or(Means::Nothing), status) {
        (Means::Nothing, 403) => Means::NotAllowed,
        (Means::Nothing, 404) => Means::NoRoom,
        (Means::Nothing, 405) => Means::NoKnocking,
        (Means::Nothing, 413) => Means::Large,
        (Means::Nothing, 429) => Means::Limited,
        (means, _) => means,
    }
}

/// An error that is none of those that say something about the knock. What the user can wait for,
/// or do something about, they hear as it is.
fn refused(status: u16, errcode: Option<&str>) -> Outcome {
    let failure = Failure::Refused { status, errcode: errcode.map(Errcode::from) };
    match (status, errcode) {
        // A client would believe that its own access is lost.
        (_, Some("M_MISSING_TOKEN" | "M_UNAUTHORIZED" | "M_UNKNOWN_TOKEN" | "M_USER_LOCKED")) => {
            outcome(failure, 502, "M_UNKNOWN", "refused")
        }
        (403 | 429, Some(errcode)) => outcome(failure, status, errcode, "refused"),
        _ => outcome(failure, 502, "M_UNKNOWN", "refused"),
    }
}

fn of_meaning(means: Means, retry_after_ms: Option<u64>) -> Option<Outcome> {
    match means {
        Means::NotAllowed => Some(outcome(Failure::Forbidden, 403, "M_FORBIDDEN", "not allowed")),
        Means::NoRoom => Some(outcome(Failure::NotFound, 404, "M_NOT_FOUND", "no room")),
        Means::NoKnocking => Some(outcome(Failure::NoKnocking, 404, "M_UNRECOGNIZED", "no knocking")),
        Means::Limited => Some(outcome(Failure::RateLimited { retry_after_ms }, 429, "M_LIMIT_EXCEEDED", "limited")),
        Means::Large => Some(outcome(Failure::TooLarge, 413, "M_TOO_LARGE", "large")),
        // Of guests and of who is suspended, only their own server knows.
        Means::OtherVersion | Means::Guests | Means::Suspended | Means::Nothing | Means::Else => None,
    }
}

/// The only server that was asked to `make_knock` gave this error.
pub(crate) fn at_make_knock(
    means: Option<Means>,
    status: u16,
    errcode: Option<&str>,
    room_version: Option<&str>,
    retry_after_ms: Option<u64>,
) -> Outcome {
    let means = meaning(means, status);
    if let (Means::OtherVersion, Some(version)) = (means, room_version) {
        let failure = Failure::IncompatibleRoomVersion { room_version: version.to_owned() };
        return outcome(failure, 400, "M_INCOMPATIBLE_ROOM_VERSION", "version");
    }
    // The knock was not sent yet, so nothing of it is too large.
    let about_the_room = of_meaning(means, retry_after_ms).filter(|_| means != Means::Large);
    about_the_room.unwrap_or_else(|| match refused(status, errcode) {
        refused if matches!(status, 403 | 429) => refused,
        // One of several servers that may be asked: that it is broken says nothing about the room.
        _ => outcome(Failure::NoAnswer, 502, "M_UNKNOWN", "no answer"),
    })
}

/// The only server that was sent the knock gave this error.
pub(crate) fn at_send_knock(
    means: Option<Means>,
    status: u16,
    errcode: Option<&str>,
    retry_after_ms: Option<u64>,
) -> Outcome {
    // The event may have been taken all the same, and another server could be asked.
    if status == 408 || status >= 500 {
        let silence = outcome(Failure::NoAnswer, 502, "M_UNKNOWN", "no answer");
        return Outcome { is_silence: true, said: false, ..silence };
    }
    of_meaning(meaning(means, status), retry_after_ms).unwrap_or_else(|| refused(status, errcode))
}

/// What a client reads.
pub(crate) fn at_client(
    means: Option<Means>,
    status: u16,
    room_version: Option<&str>,
    retry_after_ms: Option<u64>,
) -> KnockErrorKind {
    match meaning(means, status) {
        Means::NotAllowed => KnockErrorKind::Forbidden,
        Means::NoRoom => KnockErrorKind::NotFound,
        Means::NoKnocking => KnockErrorKind::Unrecognized,
        Means::OtherVersion => {
            KnockErrorKind::IncompatibleRoomVersion { room_version: room_version.map(str::to_owned) }
        }
        Means::Limited => KnockErrorKind::RateLimited { retry_after_ms },
        Means::Large => KnockErrorKind::TooLarge,
        Means::Guests => KnockErrorKind::GuestAccessForbidden,
        Means::Suspended => KnockErrorKind::UserSuspended,
        // A proxy's: the server could not be asked, or could ask nobody.
        Means::Nothing if matches!(status, 502 | 504) => KnockErrorKind::NoAnswer,
        Means::Nothing | Means::Else => KnockErrorKind::Other,
    }
}
