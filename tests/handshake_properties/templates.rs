//! Hostile answers to `make_knock`: each kind of them is refused by its name, and what is not refused changes nothing of
//! what is signed but the place in the room.

use matrix_knock::RoomVersion;
use matrix_knock::id::{ServerName, UserId};
use matrix_knock::json::{CanonicalDialect, canonical};
use matrix_knock::knocking::{Details, Failure};
use matrix_knock::machine::{Machine as _, Want};
use matrix_knock::template::{BadTemplate, CheckedTemplate, Expected, MAX_TEMPLATE_BYTES};
use matrix_knock::wire::HttpResponse;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use crate::hostile::{changed, changes, hostile};
use crate::model::{Exchange, Given, Now, Purpose, Response, strict};
use crate::room::{HOME, KAY, NOW, Room, names};
use crate::stage::{Machine, pending, start};
use crate::stored::resumed;

const OFFERED: [RoomVersion; 3] = [RoomVersion::V6, RoomVersion::V10, RoomVersion::V11];

fn good(room: &Room) -> Value {
    serde_json::from_str(&room.make_knock(&[room.version.as_str()]).1).unwrap()
}

fn read(room: &Room, offered: &[RoomVersion], answer: &str) -> Result<CheckedTemplate, BadTemplate> {
    CheckedTemplate::read(Expected::Knock(offered), room.room_id(), UserId::parse(KAY).unwrap(), answer)
}

fn with(room: &Room, place: &str, value: Value) -> Value {
    let mut template = good(room);
    let (parent, key) = place.rsplit_once('/').unwrap();
    template.pointer_mut(parent).unwrap()[key] = value;
    template
}

fn without(room: &Room, place: &str) -> Value {
    let mut template = good(room);
    let (parent, key) = place.rsplit_once('/').unwrap();
    template.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key).unwrap();
    template
}

/// Two event IDs, and many.
const ID: &str = "$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn ids(count: usize) -> Value {
    (0..count).map(|number| format!("${number:0>43}")).collect()
}

#[test]
fn each_is_refused_by_its_name() {
    use BadTemplate::{Count, Duplicate, EventId, Malformed, Missing, NoKnocking, Other, TooLarge, Unwanted};
    let room = Room::new(RoomVersion::V10);
    let mut cases: Vec<(Value, BadTemplate, &str)> = vec![
        (json!([]), Malformed("answer"), "`answer` is of the wrong kind or out of range"),
        (json!("knock"), Malformed("answer"), "`answer` is of the wrong kind or out of range"),
        (json!({}), Missing("room_version"), "no `room_version`"),
        (without(&room, "/room_version"), Missing("room_version"), "no `room_version`"),
        (
            with(&room, "/room_version", json!(10)),
            Malformed("room_version"),
            "`room_version` is of the wrong kind or out of range",
        ),
        (
            with(&room, "/room_version", json!("12")),
            BadTemplate::RoomVersion,
            "another `room_version` than was asked for",
        ),
        (
            with(&room, "/room_version", json!("10 ")),
            BadTemplate::RoomVersion,
            "another `room_version` than was asked for",
        ),
        (with(&room, "/room_version", json!("6")), NoKnocking(RoomVersion::V6), "no knocking in room version 6"),
        (without(&room, "/event"), Missing("event"), "no `event`"),
        (with(&room, "/event", json!([])), Malformed("event"), "`event` is of the wrong kind or out of range"),
        (
            with(&room, "/event/room_id", json!("!other:a.example")),
            Other("room_id"),
            "another `room_id` than was asked for",
        ),
        (
            with(&room, "/event/sender", json!("@alice:a.example")),
            Other("sender"),
            "another `sender` than was asked for",
        ),
        (with(&room, "/event/sender", json!("@Kay:b.example")), Other("sender"), "another `sender` than was asked for"),
        (with(&room, "/event/state_key", json!("")), Other("state_key"), "another `state_key` than was asked for"),
        (with(&room, "/event/type", json!("m.room.message")), Other("type"), "another `type` than was asked for"),
        (without(&room, "/event/content"), Missing("content"), "no `content`"),
        (
            with(&room, "/event/content", json!(["knock"])),
            Malformed("content"),
            "`content` is of the wrong kind or out of range",
        ),
        (without(&room, "/event/content/membership"), Other("membership"), "another `membership` than was asked for"),
        (
            with(&room, "/event/content/join_authorised_via_users_server", json!(null)),
            Unwanted("join_authorised_via_users_server"),
            "a `join_authorised_via_users_server` in the content",
        ),
        (
            with(&room, "/event/content/third_party_invite", json!(null)),
            Unwanted("third_party_invite"),
            "a `third_party_invite` in the content",
        ),
        (without(&room, "/event/depth"), Missing("depth"), "no `depth`"),
        (
            with(&room, "/event/depth", json!(1_u64 << 53)),
            Malformed("depth"),
            "`depth` is of the wrong kind or out of range",
        ),
        (without(&room, "/event/auth_events"), Missing("auth_events"), "no `auth_events`"),
        (
            with(&room, "/event/auth_events", ids(11)),
            Count { property: "auth_events", count: 11 },
            "`auth_events` names 11 events",
        ),
        (
            with(&room, "/event/prev_events", ids(21)),
            Count { property: "prev_events", count: 21 },
            "`prev_events` names 21 events",
        ),
        (
            with(&room, "/event/prev_events", json!([])),
            Count { property: "prev_events", count: 0 },
            "`prev_events` names 0 events",
        ),
        (
            with(&room, "/event/prev_events", json!([ID, ID])),
            Duplicate("prev_events"),
            "`prev_events` names an event twice",
        ),
        (
            with(&room, "/event/auth_events", json!([ID, ID])),
            Duplicate("auth_events"),
            "`auth_events` names an event twice",
        ),
        (
            with(&room, "/event/auth_events", json!([ID, 1])),
            Malformed("auth_events"),
            "`auth_events` is of the wrong kind or out of range",
        ),
        (
            with(&room, "/event/prev_events", json!([[ID, { "sha256": "x" }]])),
            Malformed("prev_events"),
            "`prev_events` is of the wrong kind or out of range",
        ),
    ];
    for membership in
        [json!("join"), json!("invite"), json!("leave"), json!("ban"), json!("KNOCK"), json!(["knock"]), json!(null)]
    {
        let expected = "another `membership` than was asked for";
        cases.push((with(&room, "/event/content/membership", membership), Other("membership"), expected));
    }
    for depth in [json!(-1), json!(1.0), json!("4"), json!(null), json!(u64::MAX), json!(1e300)] {
        cases.push((
            with(&room, "/event/depth", depth),
            Malformed("depth"),
            "`depth` is of the wrong kind or out of range",
        ));
    }
    let standard = ID.replace('A', "+");
    for id in [
        "",
        "$",
        "$event:a.example",
        "AAAA",
        &ID.replacen('A', "", 1),
        &format!("{ID}A"),
        &format!("{ID}="),
        &standard,
        "$\u{0}",
    ] {
        cases.push((
            with(&room, "/event/prev_events", json!([id])),
            EventId("prev_events"),
            "`prev_events` has what is no event ID",
        ));
        cases.push((
            with(&room, "/event/auth_events", json!([id])),
            EventId("auth_events"),
            "`auth_events` has what is no event ID",
        ));
    }
    for property in ["room_id", "sender", "state_key", "type"] {
        let message = format!("no `{property}`").leak();
        cases.push((without(&room, &format!("/event/{property}")), Missing(property), message));
        let message = format!("`{property}` is of the wrong kind or out of range").leak();
        cases.push((with(&room, &format!("/event/{property}"), json!(null)), Malformed(property), message));
    }
    let texts =
        cases.into_iter().map(|(template, expected, message)| (template.to_string(), expected, message.to_owned()));
    let mut texts: Vec<_> = texts.collect();

    let whole = good(&room).to_string();
    let large = format!("{whole}{}", " ".repeat(MAX_TEMPLATE_BYTES));
    let bytes = large.len();
    texts.push((large, TooLarge { bytes }, format!("answer of {bytes} bytes, more than 131072")));
    for (text, message) in [
        (String::new(), "unexpected end of JSON at byte 0".to_owned()),
        ("<html>".to_owned(), "unexpected character at byte 0".to_owned()),
        (format!("{whole}{whole}"), format!("characters after the JSON value at byte {}", whole.len())),
        (whole.replacen('{', r#"{"event":{},"#, 1), String::new()),
        (whole.replacen("\"content\":{", "\"content\":{\"membership\":\"join\",", 1), String::new()),
        (whole.replacen("\"knock\"", "\"knock\\ud800\"", 1), String::new()),
        (whole.replacen("\"depth\":", "\"x\":1e999,\"depth\":", 1), String::new()),
        (
            whole.replacen("\"depth\":", &format!("\"x\":{}1{},\"depth\":", "[".repeat(130), "]".repeat(130)), 1),
            String::new(),
        ),
    ] {
        let error = canonical(&text, CanonicalDialect::Lenient).unwrap_err();
        let message = if message.is_empty() { error.to_string() } else { message };
        texts.push((text, BadTemplate::Json(error), message));
    }

    assert!(read(&room, &OFFERED, &whole).is_ok());
    for (text, expected, message) in texts {
        assert_eq!(read(&room, &OFFERED, &text), Err(expected.clone()), "{text}");
        assert_eq!(expected.to_string(), message);
        // The machine goes to the next server.
        let Machine::Knock(mut machine) = start(&room, &["c.example", "d.example"], &OFFERED, &Details::default())
        else {
            panic!("a knock");
        };
        let (ticket, _) = machine.want();
        machine.reply(ticket, HttpResponse::new(200, &text).into(), NOW).unwrap();
        assert!(
            matches!(machine.want().1, Want::Request(request) if request.server == *"d.example" && request.method() == "GET")
        );
    }
}

/// What another server says in an error is passed on only where it says it beyond doubt.
#[test]
fn errors_by_their_body() {
    use Failure::{IncompatibleRoomVersion, NoAnswer, RateLimited};
    let room = Room::new(RoomVersion::V10);
    let other = || IncompatibleRoomVersion { room_version: "x".to_owned() };
    let limited = |retry_after_ms| RateLimited { retry_after_ms };
    let refused_with_403 = |errcode: &str| Failure::Refused { status: 403, errcode: Some(errcode.into()) };
    let incompatible = r#"{"errcode":"M_INCOMPATIBLE_ROOM_VERSION","error":"no","room_version":"x"}"#;
    for (status, body, expected) in [
        (400, incompatible.to_owned(), other()),
        (400, incompatible.replace("x", r"\u0078"), other()),
        (400, incompatible.replace("\"x\"", "\"10\""), NoAnswer),
        (400, incompatible.replace("\"x\"", "10"), NoAnswer),
        (400, incompatible.replace('x', &"x".repeat(256)), NoAnswer),
        (400, incompatible.replace("M_INC", "M_UNC"), NoAnswer),
        (400, incompatible.replace('}', r#","room_version":"x"}"#), NoAnswer),
        (400, incompatible.replace("no", &"x".repeat(65_536)), NoAnswer),
        (400, format!("{incompatible} {incompatible}"), NoAnswer),
        (400, format!("[{incompatible}]"), NoAnswer),
        (400, String::new(), NoAnswer),
        // The code says more than the status.
        (401, incompatible.to_owned(), other()),
        (403, incompatible.to_owned(), other()),
        (403, incompatible.replace("M_INC", "M_UNC"), refused_with_403("M_UNCOMPATIBLE_ROOM_VERSION")),
        (403, format!("[{incompatible}]"), Failure::Forbidden),
        (404, "<html>".to_owned(), Failure::NotFound),
        (429, r#"{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":7}"#.to_owned(), limited(Some(7))),
        (429, r#"{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":7}>"#.to_owned(), limited(None)),
        (429, r#"{"retry_after_ms":-7}"#.to_owned(), limited(None)),
        (429, r#"{"retry_after_ms":7.0}"#.to_owned(), limited(None)),
        (429, r#"{"retry_after_ms":"7"}"#.to_owned(), limited(None)),
        (500, incompatible.to_owned(), other()),
        (500, incompatible.replace("M_INC", "M_UNC"), NoAnswer),
        (301, String::new(), NoAnswer),
    ] {
        let Machine::Knock(mut machine) = start(&room, &["c.example"], &OFFERED, &Details::default()) else {
            panic!("a knock");
        };
        let ticket = machine.want().0;
        machine.reply(ticket, HttpResponse::new(status, &body).into(), NOW).unwrap();
        let failed = machine.outcome().unwrap().unwrap_err();
        assert_eq!((failed.failure, failed.perhaps), (expected, None), "{status} {body}");
    }
}

/// The limits themselves are within.
#[test]
fn what_is_at_the_limit_is_taken() {
    let room = Room::new(RoomVersion::V10);
    for template in [
        with(&room, "/event/auth_events", json!([])),
        with(&room, "/event/auth_events", ids(10)),
        with(&room, "/event/prev_events", ids(20)),
        with(&room, "/event/depth", json!(0)),
        with(&room, "/event/depth", json!((1_u64 << 53) - 1)),
    ] {
        let proposed = read(&room, &OFFERED, &template.to_string()).unwrap();
        assert_eq!(resumed(&proposed), proposed);
        let event: Value =
            proposed.to_event(&Details::default(), ServerName::parse(HOME).unwrap(), NOW).parse().unwrap();
        for property in ["auth_events", "prev_events", "depth"] {
            assert_eq!(event[property], template["event"][property]);
        }
    }
    let whole = good(&room).to_string();
    let large = format!("{whole}{}", " ".repeat(MAX_TEMPLATE_BYTES - whole.len()));
    assert!(read(&room, &OFFERED, &large).is_ok());
}

/// Everything but the place in the room.
fn own_part(event: &str) -> Value {
    let mut event: Value = event.parse().unwrap();
    for chosen in ["auth_events", "prev_events", "depth"] {
        event.as_object_mut().unwrap().remove(chosen).unwrap();
    }
    event
}

fn said() -> Details {
    Details {
        reason: Some("\"Let me in\"\u{1}\u{2028}".to_owned()),
        displayname: Some(String::new()),
        avatar_url: None,
    }
}

/// What a template comes to, compared with the model: the event, and what the machine has signed.
fn check(room: &Room, purpose: Purpose<'_>, text: &str) -> Option<String> {
    let details = match purpose {
        Purpose::Knock(_) => said(),
        Purpose::Leave(_) => Details { reason: said().reason, ..Details::default() },
    };
    let servers = names(["c.example"]);
    let exchange = Exchange { purpose, room_id: &room.id, servers: &servers, details: &details };
    let expected = exchange.now(&[Given::Reply(Some(Response::new(200, text)), NOW)]);
    let asked = match purpose {
        Purpose::Knock(offered) => Expected::Knock(offered),
        Purpose::Leave(possible) => Expected::Leave(possible),
    };
    let proposed = CheckedTemplate::read(asked, room.room_id(), UserId::parse(KAY).unwrap(), text);
    let machine = match purpose {
        Purpose::Knock(offered) => start(room, &["c.example"], offered, &details),
        Purpose::Leave(_) => {
            assert_eq!(proposed.is_ok(), matches!(expected, Now::Sign(_)), "{text}");
            return proposed.ok().map(|it| it.to_event(&details, ServerName::parse(HOME).unwrap(), NOW));
        }
    };
    let Machine::Knock(mut machine) = machine else { panic!("a knock") };
    let (ticket, _) = machine.want();
    machine.reply(ticket, HttpResponse::new(200, text).into(), NOW).unwrap();
    match (proposed, expected, machine.want().1) {
        (Ok(proposed), Now::Sign(event), Want::Sign(message)) => {
            assert_eq!((message, proposed.version()), (event.message.as_str(), event.version), "{text}");
            Some(proposed.to_event(&details, ServerName::parse(HOME).unwrap(), NOW))
        }
        (Err(_), Now::Failed { .. }, Want::Ended) => None,
        other => panic!("{other:?}: {text}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.max(2000), failure_persistence: None, ..ProptestConfig::default()
    })]

    /// One thing changed: it is refused, or the event to sign is the same but for the place in the room.
    #[test]
    fn one_change(version in select(RoomVersion::ALL[6..].to_vec()), change in changes()) {
        let offered = &RoomVersion::ALL[6..];
        let room = Room::new(version);
        let honest = good(&room);
        let text = changed(&honest, &change).to_string();
        if let Some(event) = check(&room, Purpose::Knock(offered), &text) {
            let same = check(&room, Purpose::Knock(offered), &honest.to_string()).unwrap();
            prop_assert_eq!(own_part(&event), own_part(&same));
            prop_assert_eq!(canonical(&event, CanonicalDialect::Strict), Ok(event));
        }
    }

    /// Whatever comes: it is refused, or the event to sign is the same but for the place in the room.
    #[test]
    fn many_changes(
        version in select(vec![RoomVersion::V10, RoomVersion::V12]), hostile in hostile(), is_leave in any::<bool>(),
    ) {
        let mut room = Room::new(version);
        let honest = if is_leave {
            pending(&mut room);
            room.make_leave().1
        } else {
            good(&room).to_string()
        };
        let known = [version];
        let purpose = if is_leave { Purpose::Leave(&known) } else { Purpose::Knock(&RoomVersion::ALL[6..]) };
        let text = hostile.body(&honest);
        if let Some(event) = check(&room, purpose, &text) {
            prop_assert!(strict(&text).is_some());
            let own = own_part(&event);
            let mut kept = own["content"].as_object().unwrap().keys();
            prop_assert!(kept.all(|key| ["membership", "reason", "displayname"].contains(&key.as_str())));
            prop_assert_eq!(&own["sender"], KAY);
            prop_assert_eq!(&own["room_id"], &room.id);
            prop_assert_eq!(own.as_object().unwrap().len(), 7);
        }
    }
}
