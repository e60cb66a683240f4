//! The answers: what a server says, what a client makes of it.

use matrix_knock::client::{KnockError, KnockErrorKind, KnockRefusal, KnockResponse};
use matrix_knock::id::RoomId;
use matrix_knock::knocking::Failure;
use matrix_knock::wire::HttpResponse;

fn parse(status: u16, retry_after: Option<&str>, body: &str) -> Result<KnockResponse, KnockError> {
    KnockResponse::parse(HttpResponse { status, retry_after, body })
}

fn kind(status: u16, retry_after: Option<&str>, body: &str) -> KnockErrorKind {
    parse(status, retry_after, body).unwrap_err().kind().clone()
}

#[test]
fn knocks() {
    for room_id in ["!a:b", "!2dpEZGZptZRLjpG4zhaOpng8UeStblrCZUl1wSMFdyE", "!\"\u{1}é\\:b"] {
        let response = KnockResponse::new(RoomId::parse(room_id).unwrap());
        assert_eq!(parse(200, None, &response.to_string()), Ok(response.clone()));
        assert_eq!(response.room_id().as_str(), room_id);
    }
    let more = parse(200, Some("1"), r#" {"x":[],"room_id":"\u0021a:b"} "#).unwrap();
    assert_eq!(more.room_id().as_str(), "!a:b");
    let long = format!(r#"{{"room_id":"!a:b","x":"{}"}}"#, "a".repeat(65_536));
    for malformed in [
        "",
        "{}",
        "[]",
        r#"["!a:b"]"#,
        r#"{"room_id":"!a:b""#,
        r#"{"room_id":"!a:b"}}"#,
        r#"{"room_id":null}"#,
        r##"{"room_id":"#a:b"}"##,
        r#"{"room_id":"!a:b","room_id":"!a:b"}"#,
        &long,
    ] {
        let error = parse(200, None, malformed).unwrap_err();
        assert_eq!((error.status(), error.kind()), (200, &KnockErrorKind::Malformed), "{malformed}");
        assert_eq!((error.errcode(), error.error()), (None, None));
    }
}

#[test]
fn errors_by_code_then_by_status() {
    let code = |errcode: &str| format!(r#"{{"errcode":"{errcode}","error":"x"}}"#);
    let limited = |retry_after_ms| KnockErrorKind::RateLimited { retry_after_ms };
    for (errcode, status, expected) in [
        ("M_FORBIDDEN", 403, KnockErrorKind::Forbidden),
        // As recorded.
        ("M_FORBIDDEN", 500, KnockErrorKind::Forbidden),
        // A code that says something else than that the room refuses.
        ("M_BAD_STATE", 403, KnockErrorKind::Other),
        ("M_CONSENT_NOT_GIVEN", 403, KnockErrorKind::Other),
        ("M_UNKNOWN", 403, KnockErrorKind::Forbidden),
        ("M_UNKNOWN", 404, KnockErrorKind::NotFound),
        ("M_UNKNOWN", 502, KnockErrorKind::NoAnswer),
        ("M_GUEST_ACCESS_FORBIDDEN", 403, KnockErrorKind::GuestAccessForbidden),
        ("M_USER_SUSPENDED", 403, KnockErrorKind::UserSuspended),
        ("M_NOT_FOUND", 404, KnockErrorKind::NotFound),
        ("M_UNRECOGNIZED", 404, KnockErrorKind::Unrecognized),
        ("M_UNRECOGNIZED", 405, KnockErrorKind::Unrecognized),
        ("M_UNRECOGNIZED", 400, KnockErrorKind::Unrecognized),
        ("M_TOO_LARGE", 413, KnockErrorKind::TooLarge),
        ("M_LIMIT_EXCEEDED", 429, limited(None)),
        ("M_LIMIT_EXCEEDED", 400, limited(None)),
        ("M_UNKNOWN_TOKEN", 401, KnockErrorKind::Other),
        ("M_BAD_JSON", 400, KnockErrorKind::Other),
        ("M_NOT_JSON", 400, KnockErrorKind::Other),
        ("M_INVALID_PARAM", 400, KnockErrorKind::Other),
        ("M_MISSING_PARAM", 400, KnockErrorKind::Other),
    ] {
        let error = parse(status, None, &code(errcode)).unwrap_err();
        assert_eq!((error.kind(), error.status()), (&expected, status), "{errcode}");
        assert_eq!((error.errcode(), error.error()), (Some(errcode), Some("x")));
    }
    for (status, expected) in [
        (204, KnockErrorKind::Other),
        (302, KnockErrorKind::Other),
        (400, KnockErrorKind::Other),
        (403, KnockErrorKind::Forbidden),
        (404, KnockErrorKind::NotFound),
        (405, KnockErrorKind::Unrecognized),
        (413, KnockErrorKind::TooLarge),
        (429, limited(None)),
        (500, KnockErrorKind::Other),
        (502, KnockErrorKind::NoAnswer),
        (503, KnockErrorKind::Other),
        (504, KnockErrorKind::NoAnswer),
    ] {
        for body in ["", "<html>", "{}", r#"{"room_id":"!a:b"}"#] {
            assert_eq!(kind(status, None, body), expected, "{status} {body}");
        }
    }
}

#[test]
fn versions() {
    let version = |body: &str| kind(400, None, body);
    let named = |room_version: Option<&str>| KnockErrorKind::IncompatibleRoomVersion {
        room_version: room_version.map(str::to_owned),
    };
    assert_eq!(version(r#"{"errcode":"M_INCOMPATIBLE_ROOM_VERSION","room_version":"13"}"#), named(Some("13")));
    assert_eq!(version(r#"{"errcode":"M_INCOMPATIBLE_ROOM_VERSION","room_version":13}"#), named(None));
    assert_eq!(version(r#"{"errcode":"M_INCOMPATIBLE_ROOM_VERSION"}"#), named(None));
}

#[test]
fn when_to_try_again() {
    let body = r#"{"errcode":"M_LIMIT_EXCEEDED","error":"","retry_after_ms":1500}"#;
    for (header, body, expected) in [
        (None, "", None),
        (None, body, Some(1500)),
        (Some("2"), body, Some(2000)),
        (Some(" 2 "), "", Some(2000)),
        (Some("0"), body, Some(0)),
        (Some("Fri, 31 Dec 2026 23:59:59 GMT"), body, Some(1500)),
        (Some("-1"), body, Some(1500)),
        (Some("+1"), body, Some(1500)),
        (Some("1.5"), body, Some(1500)),
        (Some(""), body, Some(1500)),
        (Some("18446744073709551615"), body, Some(u64::MAX)),
        (Some("18446744073709551616"), body, Some(1500)),
        (None, r#"{"retry_after_ms":-1}"#, None),
        (None, r#"{"retry_after_ms":18446744073709551616}"#, None),
    ] {
        let expected = KnockErrorKind::RateLimited { retry_after_ms: expected };
        assert_eq!(kind(429, header, body), expected, "{header:?} {body}");
    }
}

#[test]
fn what_an_error_says() {
    for (status, body, message) in [
        (403, r#"{"errcode":"M_FORBIDDEN"}"#, "not allowed (status 403)"),
        (403, r#"{"errcode":"M_GUEST_ACCESS_FORBIDDEN"}"#, "not allowed to guests (status 403)"),
        (403, r#"{"errcode":"M_USER_SUSPENDED"}"#, "the user is suspended (status 403)"),
        (404, "", "unknown room (status 404)"),
        (404, r#"{"errcode":"M_UNRECOGNIZED"}"#, "the server does not have knocking (status 404)"),
        (
            400,
            r#"{"errcode":"M_INCOMPATIBLE_ROOM_VERSION"}"#,
            "the server does not have the version of the room (status 400)",
        ),
        (413, "", "the reason is too long (status 413)"),
        (429, "", "rate limited (status 429)"),
        (502, "", "no server of the room could be asked (status 502)"),
        (500, "", "refused (status 500)"),
        (200, "", "malformed answer (status 200)"),
    ] {
        assert_eq!(parse(status, None, body).unwrap_err().to_string(), message);
    }
}

/// What a server tells of itself and of others, and what its client makes of that.
#[test]
fn refusals_and_failures_reach_the_client() {
    let limited = |retry_after_ms| KnockErrorKind::RateLimited { retry_after_ms };
    let version = || "13".to_owned();
    let refused = |status, errcode: &str| Failure::Refused { status, errcode: Some(errcode.into()) }.to_response();
    for (response, status, retry_after, errcode, expected) in [
        (KnockRefusal::Forbidden.to_response(), 403, None, "M_FORBIDDEN", KnockErrorKind::Forbidden),
        (
            KnockRefusal::Guest.to_response(),
            403,
            None,
            "M_GUEST_ACCESS_FORBIDDEN",
            KnockErrorKind::GuestAccessForbidden,
        ),
        (KnockRefusal::Suspended.to_response(), 403, None, "M_USER_SUSPENDED", KnockErrorKind::UserSuspended),
        (KnockRefusal::UnknownAlias.to_response(), 404, None, "M_NOT_FOUND", KnockErrorKind::NotFound),
        (
            KnockRefusal::RateLimited { retry_after_ms: Some(1) }.to_response(),
            429,
            Some(1),
            "M_LIMIT_EXCEEDED",
            limited(Some(1000)),
        ),
        (
            KnockRefusal::RateLimited { retry_after_ms: None }.to_response(),
            429,
            None,
            "M_LIMIT_EXCEEDED",
            limited(None),
        ),
        (
            Failure::IncompatibleRoomVersion { room_version: version() }.to_response(),
            400,
            None,
            "M_INCOMPATIBLE_ROOM_VERSION",
            KnockErrorKind::IncompatibleRoomVersion { room_version: Some(version()) },
        ),
        (Failure::Forbidden.to_response(), 403, None, "M_FORBIDDEN", KnockErrorKind::Forbidden),
        (Failure::NoVersions.to_response(), 403, None, "M_FORBIDDEN", KnockErrorKind::Forbidden),
        (
            Failure::RateLimited { retry_after_ms: Some(2001) }.to_response(),
            429,
            Some(3),
            "M_LIMIT_EXCEEDED",
            limited(Some(3000)),
        ),
        (Failure::NotFound.to_response(), 404, None, "M_NOT_FOUND", KnockErrorKind::NotFound),
        (Failure::NoServers.to_response(), 404, None, "M_NOT_FOUND", KnockErrorKind::NotFound),
        (Failure::TooLarge.to_response(), 413, None, "M_TOO_LARGE", KnockErrorKind::TooLarge),
        (Failure::NoKnocking.to_response(), 404, None, "M_UNRECOGNIZED", KnockErrorKind::Unrecognized),
        (refused(403, "M_USER_DEACTIVATED"), 403, None, "M_USER_DEACTIVATED", KnockErrorKind::Other),
        (refused(400, "M_BAD_JSON"), 502, None, "M_UNKNOWN", KnockErrorKind::NoAnswer),
        (Failure::NoAnswer.to_response(), 502, None, "M_UNKNOWN", KnockErrorKind::NoAnswer),
    ] {
        assert_eq!((response.status(), response.retry_after()), (status, retry_after), "{response}");
        let header = retry_after.map(|seconds: u64| seconds.to_string());
        let error = parse(status, header.as_deref(), &response.to_string()).unwrap_err();
        assert_eq!((error.kind(), error.errcode()), (&expected, Some(errcode)));
    }
    for (refusal, message) in [
        (KnockRefusal::Forbidden, "not allowed"),
        (KnockRefusal::Guest, "the user is a guest"),
        (KnockRefusal::Suspended, "the user is suspended"),
        (KnockRefusal::UnknownAlias, "unknown alias"),
        (KnockRefusal::RateLimited { retry_after_ms: None }, "rate limited"),
    ] {
        assert_eq!(refusal.to_string(), message);
    }
}
