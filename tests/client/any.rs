//! What holds for every request.

use std::fmt::Write;

use matrix_knock::client::{
    KnockRequest, KnockResponse, MAX_REASON_BYTES, MAX_VIA, PassedOver, RequestError, WhyPassedOver,
};
use matrix_knock::id::{OwnedServerName, RoomId, RoomIdOrAlias, ServerName};
use matrix_knock::wire::{HttpRequest, HttpResponse};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::V3;

/// Characters that somebody has to escape, besides all others.
fn character() -> impl Strategy<Value = char> {
    prop_oneof![
        any::<char>(),
        select(vec!['/', '%', '+', '&', '=', '?', '#', ';', '"', '\\', ' ', '\n', '\u{1}', '👋', 'é'])
    ]
}

fn opaque() -> impl Strategy<Value = String> {
    let allowed = character().prop_filter("in the grammar", |character| !matches!(character, ':' | '\0'));
    vec(allowed, 1..50).prop_map(String::from_iter)
}

fn server() -> impl Strategy<Value = String> {
    prop_oneof!["[A-Za-z0-9.-]{1,8}(:[0-9]{1,5})?", "[0-9]{1,2}\\.1\\.2\\.3", Just("[::1]:80".to_owned())]
        .prop_filter("in the grammar", |name| ServerName::parse(name).is_ok())
}

fn room() -> impl Strategy<Value = String> {
    prop_oneof![
        (select(vec!['!', '#']), opaque(), server())
            .prop_map(|(sigil, opaque, server)| format!("{sigil}{opaque}:{server}")),
        opaque().prop_map(|opaque| format!("!{opaque}")),
        "![A-Za-z0-9_-]{43}",
    ]
}

fn reason() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => vec(character(), 0..100).prop_map(String::from_iter),
        // As long as can be.
        1 => vec(character(), 1..20).prop_map(|characters| {
            let text = String::from_iter(characters);
            let mut reason = text.repeat(MAX_REASON_BYTES.div_euclid(text.len()));
            reason.extend(std::iter::repeat_n('a', MAX_REASON_BYTES.saturating_sub(reason.len())));
            reason
        }),
    ]
}

fn knock() -> impl Strategy<Value = KnockRequest> {
    (room(), vec(server(), 0..30), option::of(reason())).prop_map(|(room, via, reason)| {
        let room = RoomIdOrAlias::parse(&room).expect("in the grammar");
        KnockRequest::new(room, via.iter().map(String::as_str), reason.as_deref()).expect("no longer than allowed")
    })
}

/// What goes to the server: those that are asked, and nothing of those that are not.
fn sent(knock: &KnockRequest) -> KnockRequest {
    let via = knock.via().iter().map(OwnedServerName::as_str);
    let sent = KnockRequest::new(knock.room_id_or_alias(), via, knock.reason()).expect("no longer than allowed");
    assert_eq!(sent.passed_over(), []);
    sent
}

/// A text with every byte percent-encoded.
fn all_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        write!(out, "%{byte:02x}").expect("memory can be written");
        out
    })
}

/// A text with every UTF-16 unit escaped as JSON has it.
fn all_escaped(text: &str) -> String {
    text.encode_utf16().fold(String::new(), |mut out, unit| {
        write!(out, "\\u{unit:04X}").expect("memory can be written");
        out
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_built_is_read(knock in knock()) {
        let built = knock.to_http();
        prop_assert!(built.path_and_query().bytes().all(|byte| byte.is_ascii_graphic()));
        let body = built.body.as_deref().map(serde_json::from_str::<serde_json::Value>);
        prop_assert!(body.is_some_and(|body| body.is_ok_and(|body| body.is_object())));
        prop_assert_eq!(KnockRequest::parse(built.as_http()), Ok(sent(&knock)));
    }

    /// Each server is asked, or is passed over and told of, or has the name of one that is asked.
    #[test]
    fn each_server_has_its_place(
        via in vec(prop_oneof![3 => server(), 1 => select(vec!["", "a,b", "https://a", "é"]).prop_map(str::to_owned)], 0..150),
    ) {
        let room = RoomIdOrAlias::parse("!room").expect("in the grammar");
        let knock = KnockRequest::new(room, via.iter().map(String::as_str), None).expect("no longer than allowed");
        let (mut asked, mut passed_over) = (Vec::new(), Vec::new());
        for name in &via {
            let why = match ServerName::parse(name) {
                Err(_) => WhyPassedOver::Malformed,
                Ok(_) if asked.contains(&name.as_str()) => continue,
                Ok(_) if asked.len() == MAX_VIA => WhyPassedOver::TooMany,
                Ok(_) => {
                    asked.push(name.as_str());
                    continue;
                }
            };
            passed_over.push(PassedOver { name: "via".to_owned(), value: name.clone(), why });
        }
        passed_over.truncate(100);
        let found: Vec<_> = knock.via().iter().map(OwnedServerName::as_str).collect();
        prop_assert_eq!((found, knock.passed_over()), (asked, &passed_over[..]));
    }

    /// However it is written, and under all its paths.
    #[test]
    fn what_another_builds_is_read(
        knock in knock(),
        prefix in select(vec!["v3", "r0", "unstable/xyz.amorgan.knock"]),
    ) {
        let path = format!("/_matrix/client/{prefix}/knock/{}", all_encoded(knock.room_id_or_alias().as_str()));
        let query: Vec<String> = knock.via().iter().map(|server| format!("x&{}={}", all_encoded("via"), all_encoded(server.as_str()))).collect();
        let body = knock.reason().map_or_else(|| "{\"reason\": null}".to_owned(), |reason| {
            format!(" {{\"{}\" :\t\"{}\"}}\r\n", all_escaped("reason"), all_escaped(reason))
        });
        let request = HttpRequest { method: "POST", path: &path, query: &query.join("&"), body: body.as_bytes() };
        prop_assert_eq!(KnockRequest::parse(request), Ok(sent(&knock)));
    }

    /// As form encoders and JSON writers of others have it.
    #[test]
    fn what_serde_json_writes_is_read(reason in reason()) {
        let body = serde_json::json!({ "reason": reason }).to_string();
        let path = format!("{V3}%21a:b");
        let request = HttpRequest { method: "POST", path: &path, query: "", body: body.as_bytes() };
        prop_assert_eq!(KnockRequest::parse(request).map(|knock| knock.reason() == Some(&reason)), Ok(true));
    }

    #[test]
    fn what_is_read_is_in_bounds(
        path in prop_oneof![".{0,40}", ".{0,40}".prop_map(|room| format!("{V3}{room}")), room().prop_map(|room| format!("{V3}{}", all_encoded(&room)))],
        query in prop_oneof![".{0,80}", "((via|server_name|x)=([a-c]{0,2}|%[0-9a-g]{0,2}|.)&){0,40}"],
        body in prop_oneof![any::<Vec<u8>>(), "\\{\"reason\":.{0,9}\\}".prop_map(String::into_bytes), Just(b"{}".to_vec())],
    ) {
        let request = HttpRequest { method: "POST", path: &path, query: &query, body: &body };
        match KnockRequest::parse(request) {
            Ok(knock) => {
                let room = knock.room_id_or_alias();
                prop_assert_eq!(RoomIdOrAlias::parse(room.as_str()), Ok(room));
                prop_assert!(knock.via().len() <= MAX_VIA);
                prop_assert!(knock.via().iter().all(|server| ServerName::parse(server.as_str()).is_ok()));
                prop_assert!(knock.reason().is_none_or(|reason| reason.len() <= MAX_REASON_BYTES));
                prop_assert!(knock.passed_over().len() <= 100);
                prop_assert!(knock.passed_over().iter().all(|it| it.name.len() <= 255 && it.value.len() <= 255));
                prop_assert_eq!(KnockRequest::parse(knock.to_http().as_http()), Ok(sent(&knock)));
            }
            Err(error) => {
                prop_assert!(matches!(error.to_response().status(), 400 | 404 | 413));
                prop_assert_eq!(error == RequestError::Path, error.to_response().status() == 404);
            }
        }
    }

    #[test]
    fn answers_are_read(room in room(), status in 100_u16..600, header in option::of(".{0,9}"), body in ".{0,60}") {
        if let Ok(room_id) = RoomId::parse(&room) {
            let response = KnockResponse::new(room_id);
            let body = response.to_string();
            prop_assert_eq!(KnockResponse::parse(HttpResponse { status: 200, retry_after: None, body: &body }), Ok(response));
        }
        let error = KnockResponse::parse(HttpResponse { status, retry_after: header.as_deref(), body: &body }).unwrap_err();
        prop_assert_eq!(error.status(), status);
    }
}
