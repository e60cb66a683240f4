//! `POST /knock`, at the server and at the client: what is read, what is answered, and that both ends understand each other.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot be set up fails")]

#[path = "client/answers.rs"]
mod answers;
#[path = "client/any.rs"]
mod any;
#[path = "client/recorded.rs"]
mod recorded;

use matrix_knock::client::{KnockRequest, MAX_BODY_BYTES, MAX_QUERY_BYTES, MAX_REASON_BYTES, MAX_VIA, RequestError};
use matrix_knock::error::Errcode;
use matrix_knock::id::{IdError, RoomIdOrAlias};
use matrix_knock::json::JsonErrorKind;
use matrix_knock::wire::HttpRequest;

const V3: &str = "/_matrix/client/v3/knock/";

fn post<'a>(path: &'a str, query: &'a str, body: &'a str) -> HttpRequest<'a> {
    HttpRequest { method: "POST", path, query, body: body.as_bytes() }
}

/// The room in a path, or what is wrong with the request.
fn room(path: &str) -> Result<String, RequestError> {
    KnockRequest::parse(post(path, "", "{}")).map(|knock| knock.room_id_or_alias().to_string())
}

#[test]
fn paths() {
    for prefix in ["v3/", "r0/", "unstable/xyz.amorgan.knock/"] {
        for (encoded, id) in [
            ("!room:a.example", "!room:a.example"),
            ("%21room%3Aa.example", "!room:a.example"),
            ("%21room%3aa.example%3a8448", "!room:a.example:8448"),
            ("!2dpEZGZptZRLjpG4zhaOpng8UeStblrCZUl1wSMFdyE", "!2dpEZGZptZRLjpG4zhaOpng8UeStblrCZUl1wSMFdyE"),
            ("%23a%2Fb%25%3F%23+c%20:a.example", "#a/b%?#+c :a.example"),
            ("%23%F0%9F%91%8B:[::1]", "#👋:[::1]"),
            // Not as it should be, but clear.
            ("#👋:a.example", "#👋:a.example"),
            ("%2521:a", ""),
        ] {
            let expected =
                if id.is_empty() { Err(RequestError::Identifier(IdError::RoomSigil)) } else { Ok(id.to_owned()) };
            assert_eq!(room(&format!("/_matrix/client/{prefix}knock/{encoded}")), expected, "{prefix}{encoded}");
        }
    }
    for path in [
        "",
        "/",
        "/_matrix/client/v3/knock",
        "/_matrix/client/v3/knock/!a:b/",
        "/_matrix/client/v3/knock/!a/b:c",
        "/_matrix/client/v3/knock//!a:b",
        "/_matrix/client/v3//knock/!a:b",
        "//_matrix/client/v3/knock/!a:b",
        "_matrix/client/v3/knock/!a:b",
        "/_matrix/client/v3/join/!a:b",
        "/_matrix/client/v3/Knock/!a:b",
        "/_matrix/client/v3/%6Bnock/!a:b",
        "/_matrix/client/v1/knock/!a:b",
        "/_matrix/client/knock/!a:b",
        "/_matrix/client/api/v1/knock/!a:b",
        "/_matrix/client/unstable/knock/!a:b",
        "/_matrix/client/unstable/xyz.amorgan/knock/!a:b",
        "/_matrix/client/v3/rooms/!a:b/knock",
        "/_matrix/client/r0/rooms/!a:b/knock",
        "/_matrix/client/unstable/xyz.amorgan.knock/rooms/!a/:b/knock",
        "/_matrix/client/unstable/xyz.amorgan.knock/rooms/knock",
        "/_matrix/federation/v1/knock/!a:b",
    ] {
        assert_eq!(room(path), Err(RequestError::Path), "{path}");
    }
}

#[test]
fn the_draft_knew_room_ids_only() {
    let path = |id: &str| format!("/_matrix/client/unstable/xyz.amorgan.knock/rooms/{id}/knock");
    assert_eq!(room(&path("%21a:b")), Ok("!a:b".to_owned()));
    assert_eq!(room(&path("%23a:b")), Err(RequestError::Identifier(IdError::Sigil('!'))));
    assert_eq!(room(&path("")), Err(RequestError::Identifier(IdError::Sigil('!'))));
}

#[test]
fn identifiers() {
    let longest = format!("%21{}%3Ab", "%61".repeat(252));
    assert_eq!(room(&format!("{V3}{longest}")), Ok(format!("!{}:b", "a".repeat(252))));
    for (encoded, error) in [
        ("", RequestError::Identifier(IdError::RoomSigil)),
        ("room", RequestError::Identifier(IdError::RoomSigil)),
        ("@a:b", RequestError::Identifier(IdError::RoomSigil)),
        ("!", RequestError::Identifier(IdError::LocalPart)),
        ("!a%00:b", RequestError::Identifier(IdError::LocalPart)),
        ("%23a", RequestError::Identifier(IdError::NoDomain)),
        ("!a:b_c", RequestError::Identifier(IdError::ServerName)),
        ("!a:b?via=c", RequestError::Identifier(IdError::ServerName)),
        (&format!("!{}:b", "a".repeat(253)), RequestError::Identifier(IdError::TooLong)),
        (&format!("!{}", "%".repeat(765)), RequestError::Identifier(IdError::TooLong)),
        (&format!("!{}", "%".repeat(764)), RequestError::Encoding),
        ("!a%:b", RequestError::Encoding),
        ("!a%2", RequestError::Encoding),
        ("!a%zz:b", RequestError::Encoding),
        ("!a%FF:b", RequestError::Encoding),
        ("!a%ED%A0%BD:b", RequestError::Encoding),
    ] {
        assert_eq!(room(&format!("{V3}{encoded}")), Err(error), "{encoded}");
        assert_eq!(*error.to_response().errcode(), Errcode::InvalidParam);
    }
}

#[test]
fn methods() {
    let path = format!("{V3}!a:b");
    for method in ["GET", "PUT", "post", "", "OPTIONS", "POST "] {
        let request = HttpRequest { method, ..post(&path, "", "{}") };
        assert_eq!(KnockRequest::parse(request), Err(RequestError::Method), "{method}");
        let request = HttpRequest { method, ..post("/knock", "", "{}") };
        assert_eq!(KnockRequest::parse(request), Err(RequestError::Path), "{method}");
    }
}

#[test]
fn queries() {
    let path = format!("{V3}!a:b");
    let via = |query: &str| KnockRequest::parse(post(&path, query, "{}")).map(|knock| knock.via().to_vec());
    for (query, expected) in [
        ("", vec![]),
        ("via=a.example", vec!["a.example"]),
        ("server_name=a.example", vec!["a.example"]),
        ("via=c&server_name=a&via=b", vec!["c", "a", "b"]),
        ("via=a&via=b&server_name=a&server_name=b", vec!["a", "b"]),
        ("via=a&via=A&via=a", vec!["a", "A"]),
        ("via=a%3A8448&via=[::1]:80&via=%5B::2%5d", vec!["a:8448", "[::1]:80", "[::2]"]),
        ("v%69a=a&server%5Fname=b", vec!["a", "b"]),
        ("x=1&via=a&access_token=secret&Via=b&via[]=c&via2=d&org.matrix.msc4156.via=e", vec!["a"]),
        // No server has such a name.
        ("via=&via&via==&via=a,b&via=a%20b&via=a+b&via=%2B&via=a_b&via=https://a&via=é&via=ok", vec!["ok"]),
        ("via=%&via=%f&via=%FF&via=%zz&%=a&%FF=b&via=ok", vec!["ok"]),
        ("&&via=a&&", vec!["a"]),
        ("via=a;via=b", vec![]),
        ("?via=a", vec![]),
    ] {
        assert_eq!(via(query).unwrap(), expected, "{query}");
    }
    let many: Vec<String> = (0..MAX_VIA + 5).map(|server| format!("via=_&via=s{server}&via=s0")).collect();
    let expected: Vec<String> = (0..MAX_VIA).map(|server| format!("s{server}")).collect();
    assert_eq!(via(&many.join("&")).unwrap(), expected);
    let longest = format!("via=a&x={}", "a".repeat(MAX_QUERY_BYTES - 8));
    assert_eq!(via(&longest).unwrap(), ["a"]);
    assert_eq!(via(&format!("{longest}a")), Err(RequestError::QueryTooLong { bytes: MAX_QUERY_BYTES + 1 }));
}

/// The reason in a body, or status and code of the answer.
fn reason(body: &[u8]) -> Result<Option<String>, (u16, Errcode)> {
    let path = format!("{V3}!a:b");
    KnockRequest::parse(HttpRequest { body, ..post(&path, "", "") })
        .map(|knock| knock.reason().map(str::to_owned))
        .map_err(|error| (error.to_response().status(), error.to_response().errcode().clone()))
}

#[test]
fn bodies() {
    for (body, expected) in [
        ("{}", None),
        (" {\r\n\t} ", None),
        (r#"{"reason":null}"#, None),
        (r#"{"Reason":"a","membership":"join","displayname":"x","a":[{"reason":1}],"a":1}"#, None),
        (r#"{"reason":""}"#, Some("")),
        (r#"{"x":{},"reason":"a"}"#, Some("a")),
        (r#"{"\u0072eason":"\u0041\/\ud83d\ude80\u0000"}"#, Some("A/🚀\0")),
        ("{\"reason\":\"é\u{2028}\u{7f}\u{feff}\u{ffff}\"}", Some("é\u{2028}\u{7f}\u{feff}\u{ffff}")),
    ] {
        assert_eq!(reason(body.as_bytes()), Ok(expected.map(str::to_owned)), "{body}");
    }
    let deep = |depth| format!(r#"{{"a":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    assert_eq!(reason(deep(127).as_bytes()), Ok(None));
    let (not_json, bad_json) = (Err((400, Errcode::NotJson)), Err((400, Errcode::BadJson)));
    for (body, expected) in [
        (&b""[..], &not_json),
        (b" ", &not_json),
        (b"{", &not_json),
        (b"{}}", &not_json),
        (b"{} {}", &not_json),
        (b"[1,", &not_json),
        (b"[]x", &not_json),
        (b"nul", &not_json),
        (b"reason=a", &not_json),
        (b"{'reason':'a'}", &not_json),
        (b"{\"reason\":\"a\",}", &not_json),
        (b"{\"reason\":NaN}", &not_json),
        (b"{\"reason\":\"\x01\"}", &not_json),
        (b"{\"reason\":\"\\x\"}", &not_json),
        (b"{\"reason\":\"a\xff\"}", &not_json),
        (b"{\"reason\":\"\xed\xa0\xbd\"}", &not_json),
        (b"\xef\xbb\xbf{}", &not_json),
        (b"null", &bad_json),
        (b"[]", &bad_json),
        (br#"[{"reason":"a"}]"#, &bad_json),
        (br#""reason""#, &bad_json),
        (b"1", &bad_json),
        (b"true", &bad_json),
        (br#"{"reason":5}"#, &bad_json),
        (br#"{"reason":true}"#, &bad_json),
        (br#"{"reason":["a"]}"#, &bad_json),
        (br#"{"reason":{"a":1}}"#, &bad_json),
        (br#"{"reason":"a","reason":"a"}"#, &bad_json),
        (br#"{"reason":"a","\u0072eason":null}"#, &bad_json),
        (br#"{"reason":null,"reason":null}"#, &bad_json),
        (br#"{"reason":"\ud83d"}"#, &bad_json),
        (br#"{"reason":"\ude80\ud83d"}"#, &bad_json),
        (br#"{"a":"\ud83d"}"#, &bad_json),
        (deep(128).as_bytes(), &bad_json),
    ] {
        assert_eq!(&reason(body), expected, "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn what_is_too_long() {
    let body = |reason: &str| format!(r#"{{"reason":"{reason}"}}"#);
    let longest = "a".repeat(MAX_REASON_BYTES);
    let too_large = Err((413, Errcode::TooLarge));
    assert_eq!(reason(body(&longest).as_bytes()), Ok(Some(longest.clone())));
    assert_eq!(reason(body(&format!("{longest}a")).as_bytes()), too_large);
    // However it is written.
    assert_eq!(reason(body(&"\\u0061".repeat(MAX_REASON_BYTES)).as_bytes()), Ok(Some(longest.clone())));
    let padding = " ".repeat(MAX_BODY_BYTES - 2);
    assert_eq!(reason(format!("{{{padding}}}").as_bytes()), Ok(None));
    assert_eq!(reason(format!("{{{padding} }}").as_bytes()), too_large);
    let room = RoomIdOrAlias::parse("!a:b").unwrap();
    assert_eq!(KnockRequest::new(room, [], Some(&longest)).map(|knock| knock.reason() == Some(&longest)), Ok(true));
    assert_eq!(
        KnockRequest::new(room, [], Some(&format!("{longest}é"))),
        Err(RequestError::ReasonTooLong { bytes: MAX_REASON_BYTES + 2 })
    );
}

/// Path, method, query, body, ID: the first that is wrong is answered.
#[test]
fn the_first_mistake_is_answered() {
    let query = "a".repeat(MAX_QUERY_BYTES + 1);
    let (bad_path, bad_id) = ("/x", format!("{V3}x"));
    let request = HttpRequest { method: "GET", path: bad_path, query: &query, body: b"{" };
    for (request, expected) in [
        (request, "the path is not that of a knock"),
        (HttpRequest { path: &bad_id, ..request }, "the method is not `POST`"),
        (HttpRequest { path: &bad_id, method: "POST", ..request }, "query of 65537 bytes, more than 65536"),
        (post(&bad_id, "", "{"), "unexpected end of JSON at byte 1"),
        (post(&bad_id, "", "{}"), "the room ID or alias does not begin with `!` or `#`"),
    ] {
        assert_eq!(KnockRequest::parse(request).unwrap_err().to_string(), expected);
    }
}

#[test]
fn what_is_built() {
    let room = RoomIdOrAlias::parse("#a/b é%:a.example:80").unwrap();
    let knock = KnockRequest::new(room, ["b.example:1", "_", "[::1]", "b.example:1"], Some("\u{1}\"é/")).unwrap();
    let built = knock.to_http();
    assert_eq!(built.method, "POST");
    assert_eq!(built.path, "/_matrix/client/v3/knock/%23a%2Fb%20%C3%A9%25%3Aa.example%3A80");
    assert_eq!(built.query, "via=b.example%3A1&via=%5B%3A%3A1%5D&server_name=b.example%3A1&server_name=%5B%3A%3A1%5D");
    assert_eq!(built.body.as_deref(), Some(r#"{"reason":"\u0001\"é/"}"#));
    let knock = KnockRequest::new(RoomIdOrAlias::parse("!a").unwrap(), [], None).unwrap();
    assert_eq!(knock.to_http().path_and_query(), "/_matrix/client/v3/knock/%21a");
    assert_eq!(knock.to_http().body.as_deref(), Some("{}"));
}

#[test]
fn messages_and_answers() {
    let json = |body: &str| KnockRequest::parse(post(&format!("{V3}!a:b"), "", body)).unwrap_err();
    assert!(matches!(json("{"), RequestError::Json(error) if error.kind() == JsonErrorKind::UnexpectedEnd));
    for (error, message, status, body) in [
        (
            RequestError::Path,
            "the path is not that of a knock",
            404,
            r#"{"errcode":"M_UNRECOGNIZED","error":"No such endpoint"}"#,
        ),
        (
            RequestError::Method,
            "the method is not `POST`",
            405,
            r#"{"errcode":"M_UNRECOGNIZED","error":"No such method here"}"#,
        ),
        (
            RequestError::QueryTooLong { bytes: 65_537 },
            "query of 65537 bytes, more than 65536",
            414,
            r#"{"errcode":"M_TOO_LARGE","error":"The URI is too long"}"#,
        ),
        (
            RequestError::BodyTooLarge { bytes: 524_289 },
            "body of 524289 bytes, more than 524288",
            413,
            r#"{"errcode":"M_TOO_LARGE","error":"The body is too large"}"#,
        ),
        (
            RequestError::NotUtf8,
            "the body is not UTF-8",
            400,
            r#"{"errcode":"M_NOT_JSON","error":"The body is not JSON"}"#,
        ),
        (
            json(""),
            "unexpected end of JSON at byte 0",
            400,
            r#"{"errcode":"M_NOT_JSON","error":"The body is not JSON"}"#,
        ),
        (
            json(r#"{"reason":"\ud800"}"#),
            "lone surrogate in a string at byte 11",
            400,
            r#"{"errcode":"M_BAD_JSON","error":"The body cannot be read"}"#,
        ),
        (
            RequestError::NotAnObject,
            "the body is not an object",
            400,
            r#"{"errcode":"M_BAD_JSON","error":"The body is not an object"}"#,
        ),
        (
            RequestError::Reason,
            "`reason` is not one string",
            400,
            r#"{"errcode":"M_BAD_JSON","error":"`reason` is not a string"}"#,
        ),
        (
            RequestError::ReasonTooLong { bytes: 65_537 },
            "`reason` of 65537 bytes, more than 65536",
            413,
            r#"{"errcode":"M_TOO_LARGE","error":"`reason` is too long"}"#,
        ),
        (
            RequestError::Encoding,
            "the room ID or alias is not percent-encoded UTF-8",
            400,
            r#"{"errcode":"M_INVALID_PARAM","error":"Not a room ID or alias"}"#,
        ),
        (
            RequestError::Identifier(IdError::NoDomain),
            "the room ID or alias has no domain",
            400,
            r#"{"errcode":"M_INVALID_PARAM","error":"Not a room ID or alias"}"#,
        ),
    ] {
        let response = error.to_response();
        assert_eq!((error.to_string().as_str(), response.status()), (message, status));
        assert_eq!(response.to_string(), body);
    }
}
