//! Objects whose properties stand for themselves: errors, the answer to a client, the answer to
//! `make_knock`, and the servers in a query.

use matrix_knock::RoomVersion;
use matrix_knock::client::{KnockError, KnockErrorKind, KnockRequest, KnockResponse, WhyPassedOver};
use matrix_knock::id::{OwnedServerName, RoomId, UserId};
use matrix_knock::template::{CheckedTemplate, Details, Expected};
use matrix_knock::wire::{HttpRequest, HttpResponse};

use super::bad::{DEEP, Fault, LONE, NUMBER, TWICE, values};
use super::events::NOW;
use super::{PLACES, with};

fn error(status: u16, body: &str) -> KnockError {
    KnockResponse::parse(HttpResponse::new(status, body)).expect_err("an error")
}

/// Whether an error's other property is passed on: 16 levels are, numbers too.
fn is_passed_on(name: &str, fault: Fault) -> bool {
    matches!(fault, Fault::Content | Fault::Number) && !name.contains("nested")
}

#[test]
fn of_an_error() {
    let good = [r#""errcode":"M_FORBIDDEN""#, r#""error":"No""#, r#""a":[1]"#].map(str::to_owned);
    let mut cells = 0_u32;
    for (name, value, fault) in values() {
        for place in PLACES {
            let body = format!("{{{}}}", with(&good, &format!(r#""x":{value}"#), place).join(","));
            let read = error(403, &body);
            let is_there = place.1 > 0;
            let mut extra = if is_there { vec![r#""a":[1]"#.to_owned()] } else { Vec::new() };
            extra.extend(is_passed_on(&name, fault).then(|| format!(r#""x":{value}"#)));
            let extra = (!extra.is_empty()).then(|| format!("{{{}}}", extra.join(",")));
            let expected =
                (Some("M_FORBIDDEN").filter(|_| is_there), Some("No").filter(|_| is_there), extra.as_deref());
            assert_eq!((read.errcode(), read.error(), read.extra()), expected, "{name}: {body}");
            assert_eq!((read.kind(), read.retry_after_ms()), (&KnockErrorKind::Forbidden, None), "{name}: {body}");
            cells = cells.saturating_add(1);
        }
        // In the place of one that is read, the others stay.
        for property in ["errcode", "error", "room_version", "retry_after_ms"] {
            let members = [
                ("errcode", r#""M_INCOMPATIBLE_ROOM_VERSION""#),
                ("error", r#""No""#),
                ("retry_after_ms", "7"),
                ("room_version", r#""11""#),
                ("y", "{}"),
            ];
            let members = members.map(|(key, good)| {
                let value = if key == property { value.as_str() } else { good };
                format!(r#""{key}":{value}"#)
            });
            let body = format!("{{{}}}", members.join(","));
            let read = error(400, &body);
            let unless = |other: &str, said: &'static str| Some(said).filter(|_| property != other);
            let room_version = unless("room_version", "11").map(str::to_owned);
            let kind = match property {
                "errcode" => KnockErrorKind::Other,
                _ => KnockErrorKind::IncompatibleRoomVersion { room_version },
            };
            assert_eq!(*read.kind(), kind, "{name}: {body}");
            let said = (unless("errcode", "M_INCOMPATIBLE_ROOM_VERSION"), unless("error", "No"), Some(r#"{"y":{}}"#));
            assert_eq!((read.errcode(), read.error(), read.extra()), said, "{name}: {body}");
            let integer =
                matches!(value.as_str(), "5" | "9007199254740992").then(|| value.parse().expect("an integer"));
            let milliseconds = if property == "retry_after_ms" { integer } else { Some(7) };
            assert_eq!(read.retry_after_ms(), milliseconds, "{name}: {body}");
            cells = cells.saturating_add(1);
        }
    }
    assert_eq!(cells, 440);
}

#[test]
fn of_the_answer_to_a_client() {
    let good = [r#""room_id":"!r:a.example""#, r#""a":1"#, r#""b":{}"#].map(str::to_owned);
    let room_id = RoomId::parse("!r:a.example").expect("a room ID");
    let mut cells = 0_u32;
    for (name, value, _) in values() {
        for place in PLACES {
            let body = format!("{{{}}}", with(&good, &format!(r#""x":{value}"#), place).join(","));
            let read = KnockResponse::parse(HttpResponse::new(200, &body));
            let kind = read.as_ref().map_err(|error| error.kind().clone());
            let expected = KnockResponse::new(room_id);
            let expected = if place.1 > 0 { Ok(&expected) } else { Err(KnockErrorKind::Malformed) };
            assert_eq!(kind, expected, "{name}: {body}");
            cells = cells.saturating_add(1);
        }
    }
    assert_eq!(cells, 220);
}

#[test]
fn of_the_answer_to_make_knock() {
    let event = concat!(
        r#""event":{"auth_events":["$CCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCC"],"content":{"membership":"knock"},"#,
        r#""depth":6,"prev_events":["$NNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNN"],"room_id":"!r:a.example","#,
        r#""sender":"@kay:b.example","state_key":"@kay:b.example","type":"m.room.member"}"#,
    );
    let good = [event, r#""room_version":"10""#, r#""a":1"#].map(str::to_owned);
    let room_id = RoomId::parse("!r:a.example").expect("a room ID");
    let user_id = UserId::parse("@kay:b.example").expect("a user ID");
    let read = |body: &str| {
        let template = CheckedTemplate::read(Expected::Knock(&[RoomVersion::V10]), room_id, user_id, body);
        template.map(|template| template.to_event(&Details::default(), user_id.server_name(), NOW)).ok()
    };
    let whole = read(&format!("{{{}}}", good.join(",")));
    assert!(whole.is_some());
    let mut cells = 0_u32;
    for (name, value, fault) in values() {
        // What is not in the grammar of JSON is no answer.
        let is_json = match fault {
            Fault::Json(why) => matches!(why, LONE | TWICE | NUMBER | DEEP),
            _ => true,
        };
        for place in PLACES {
            let body = format!("{{{}}}", with(&good, &format!(r#""x":{value}"#), place).join(","));
            let expected = whole.clone().filter(|_| place.1 > 0 && is_json);
            assert_eq!(read(&body), expected, "{name}: {body}");
            cells = cells.saturating_add(1);
        }
    }
    assert_eq!(cells, 220);
}

#[test]
fn servers_of_a_query() {
    let good = ["a.example", "b.example:8448", "[::1]"].map(|server| format!("via={server}"));
    let servers = ["a.example", "b.example:8448", "[::1]"].map(|name| OwnedServerName::parse(name).expect("a name"));
    let mut cells = 0_u32;
    for (name, value, why) in [
        ("via", "", WhyPassedOver::Malformed),
        ("via", "c.example,d.example", WhyPassedOver::Malformed),
        ("via", "https://c.example", WhyPassedOver::Malformed),
        ("via", "https%3A%2F%2Fc.example", WhyPassedOver::Malformed),
        ("via", "c+example", WhyPassedOver::Malformed),
        ("via", "c.example:99999999", WhyPassedOver::Malformed),
        ("via", "@kay:c.example", WhyPassedOver::Malformed),
        ("via", "[::1", WhyPassedOver::Malformed),
        ("via", "%C3%A4.example", WhyPassedOver::Malformed),
        ("via", "%ff.example", WhyPassedOver::Encoding),
        ("via", "%ED%A0%BD", WhyPassedOver::Encoding),
        ("via", "c%2", WhyPassedOver::Encoding),
        ("via[]", "c.example", WhyPassedOver::Name),
        ("via%5B%5D", "c.example", WhyPassedOver::Name),
        ("server_name", "c.example/", WhyPassedOver::Malformed),
    ] {
        for place in PLACES {
            let query = with(&good, &format!("{name}={value}"), place).join("&");
            let path = "/_matrix/client/v3/knock/%21r%3Aa.example";
            let request = KnockRequest::parse(HttpRequest { method: "POST", path, query: &query, body: b"{}" });
            let request = request.expect("a request");
            assert_eq!(request.via(), &servers[..place.1], "{query}");
            let passed_over: Vec<_> = request.passed_over().iter().map(|over| (&*over.value, over.why)).collect();
            assert_eq!(passed_over, [(value, why)], "{query}");
            cells = cells.saturating_add(1);
        }
    }
    assert_eq!(cells, 15 * 4);
}
