//! To and from the types of the crate `http`.

use ::http::header::{CONTENT_TYPE, RETRY_AFTER};
use ::http::{Request, Response, StatusCode};
use matrix_knock::client::{KnockError, KnockErrorKind, KnockRequest, KnockResponse};
use matrix_knock::error::{Errcode, ErrorResponse};
use matrix_knock::id::{RoomId, RoomIdOrAlias, ServerName};
use matrix_knock::machine::{Endpoint, Reply, Request as ServerRequest};
use matrix_knock::resident::MakeKnock;
use matrix_knock::resident::submission::SendKnock;
use matrix_knock::room_version::RoomVersion;
use matrix_knock::wire::{BuiltRequest, HttpRequest, HttpResponse};

use super::knock;

#[test]
fn requests_there_and_back() {
    let room = RoomIdOrAlias::parse("#ro om/?:a.example").unwrap();
    let knock = KnockRequest::new(room, ["a.example", "[::1]:80"], Some("é")).unwrap();
    let request = Request::<String>::try_from(knock.to_http()).unwrap();
    let expected = concat!(
        "/_matrix/client/v3/knock/%23ro%20om%2F%3F%3Aa.example?",
        "via=a.example&via=%5B%3A%3A1%5D%3A80&server_name=a.example&server_name=%5B%3A%3A1%5D%3A80"
    );
    assert_eq!((request.method().as_str(), request.uri().to_string()), ("POST", expected.to_owned()));
    assert_eq!(request.headers().get(CONTENT_TYPE).map(|value| value.as_bytes()), Some(&b"application/json"[..]));
    assert_eq!(request.body(), r#"{"reason":"é"}"#);
    assert_eq!(KnockRequest::parse(HttpRequest::from(&request)), Ok(knock.clone()));
    // With a body of bytes, and a URI with all before the path.
    let request = request.map(String::into_bytes);
    assert_eq!(KnockRequest::parse((&request).into()), Ok(knock));
    let uri = "https://a.example:8448/p%20q?r=%20&s#t";
    let request = Request::builder().method("OPTIONS").uri(uri).body([1_u8, 2]).unwrap();
    let expected = HttpRequest { method: "OPTIONS", path: "/p%20q", query: "r=%20&s", body: &[1, 2] };
    assert_eq!(HttpRequest::from(&request), expected);
    let request = Request::builder().uri("/").body("").unwrap();
    assert_eq!(HttpRequest::from(&request), HttpRequest { method: "GET", path: "/", query: "", body: &[] });
}

#[test]
fn requests_between_servers() {
    let (knock, server) = (knock(), ServerName::parse("a.example").unwrap().into_owned());
    let room_id = RoomId::parse("!r:a.example").unwrap();
    let origin = ServerName::parse("b.example").unwrap();
    let endpoint = Endpoint::SendKnock { room_id: room_id.into_owned(), event: knock.clone() };
    let built = ServerRequest { server: server.clone(), endpoint }.to_http();
    let request = Request::<String>::try_from(built.clone()).unwrap();
    assert_eq!(HttpRequest::from(&request), built.as_http());
    assert!(request.headers().contains_key(CONTENT_TYPE));
    let read = SendKnock::parse(origin, HttpRequest::from(&request)).unwrap();
    assert_eq!((read.room_id(), read.event_id()), (room_id, knock.event_id()));

    let user_id = matrix_knock::id::OwnedUserId::parse("@kay:b.example").unwrap();
    let versions = vec![RoomVersion::V7, RoomVersion::V12];
    let endpoint = Endpoint::MakeKnock { room_id: room_id.into_owned(), user_id, versions };
    let built = ServerRequest { server, endpoint }.to_http();
    let request = Request::<String>::try_from(built.clone()).unwrap();
    assert_eq!(HttpRequest::from(&request), built.as_http());
    // Without a body there is no type of it.
    assert_eq!((request.body().as_str(), request.headers().len()), ("", 0));
    let expected = MakeKnock::new(room_id, "@kay:b.example", origin, ["7", "12"]);
    assert_eq!(MakeKnock::parse(origin, (&request).into()), Ok(expected));

    let no_uri = BuiltRequest { method: "GET", path: "no path".to_owned(), query: String::new(), body: None };
    assert!(Request::<String>::try_from(no_uri).is_err());
}

#[test]
fn responses_there_and_back() {
    for (error, retry_after, kind) in [
        (ErrorResponse::new(Errcode::Forbidden, "No"), None, KnockErrorKind::Forbidden),
        (
            ErrorResponse::incompatible_room_version("12"),
            None,
            KnockErrorKind::IncompatibleRoomVersion { room_version: Some("12".to_owned()) },
        ),
        (
            ErrorResponse::limit_exceeded(Some(1001)),
            Some("2"),
            KnockErrorKind::RateLimited { retry_after_ms: Some(2000) },
        ),
        (ErrorResponse::limit_exceeded(None), None, KnockErrorKind::RateLimited { retry_after_ms: None }),
        (ErrorResponse::uri_too_long(), None, KnockErrorKind::TooLarge),
        (ErrorResponse::method_not_allowed(), None, KnockErrorKind::Unrecognized),
        (ErrorResponse::internal("Oh"), None, KnockErrorKind::Other),
        (ErrorResponse::with_status(451, Errcode::from("ORG.LAW"), "No"), None, KnockErrorKind::Other),
    ] {
        let response = Response::<String>::from(error.clone());
        assert_eq!(response.status().as_u16(), error.status());
        assert_eq!(response.headers().get(CONTENT_TYPE).map(|value| value.as_bytes()), Some(&b"application/json"[..]));
        assert_eq!(response.body(), &error.to_string());
        let read = HttpResponse::from(&response);
        assert_eq!(read, HttpResponse { status: error.status(), retry_after, body: response.body() });
        let read: KnockError = KnockResponse::parse(read).unwrap_err();
        assert_eq!((read.kind(), read.status()), (&kind, error.status()));
        assert_eq!((read.errcode(), read.error()), (Some(error.errcode().as_str()), Some(error.error())));
    }
    let every_status: Vec<u16> = Errcode::ALL.iter().map(Errcode::status).chain([405, 414, 500]).collect();
    assert!(every_status.into_iter().all(|status| StatusCode::from_u16(status).is_ok()));
}

#[test]
fn responses_of_other_servers() {
    let response = |value: &[u8], body: &'static [u8]| {
        Response::builder().status(429).header(RETRY_AFTER, value).body(body).unwrap()
    };
    let body = br#"{"room_id":"!r:a.example"}"#;
    let knocked = Response::new(body);
    let read = KnockResponse::parse((&knocked).into()).unwrap();
    assert_eq!(read, KnockResponse::new(RoomId::parse("!r:a.example").unwrap()));
    // Dates, and what no text can be made of; the first of two headers.
    let date = "Wed, 21 Oct 2015 07:28:00 GMT";
    assert_eq!(HttpResponse::from(&response(date.as_bytes(), b"{}")).retry_after, Some(date));
    assert_eq!(HttpResponse::from(&response(&[0xFF], b"{}")).retry_after, None);
    let mut twice = response(b"1", b"\xFF");
    twice.headers_mut().append(RETRY_AFTER, 2.into());
    let read = HttpResponse::from(&twice);
    assert_eq!(read, HttpResponse { status: 429, retry_after: Some("1"), body: "" });
    assert_eq!(Reply::from(read), Reply::Response(read));
}
