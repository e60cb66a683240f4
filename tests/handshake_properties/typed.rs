//! Replies by their parts, as a host with a typed client has them: they do what the response does that has the same parts.

use matrix_knock::RoomVersion;
use matrix_knock::knocking::{Details, Failure};
use matrix_knock::machine::{ErrorReply, Machine as _, Reply, Want};
use matrix_knock::wire::HttpResponse;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::model::{Response, error, strict};
use crate::room::{NOW, RESIDENT, Room, key_id};
use crate::stage::{Machine, start};

/// The parts of a response.
#[derive(Debug)]
pub(crate) enum Typed {
    Template {
        room_version: Option<String>,
        event: String,
    },
    Accepted(Vec<String>),
    Error {
        status: u16,
        errcode: Option<String>,
        error: Option<String>,
        room_version: Option<String>,
        retry_after_ms: Option<u64>,
        body: String,
    },
}

#[derive(Deserialize)]
struct Template<'a> {
    room_version: Option<String>,
    #[serde(borrow)]
    event: &'a RawValue,
}

#[derive(Deserialize)]
struct Accepted<'a> {
    #[serde(borrow)]
    knock_room_state: Vec<&'a RawValue>,
}

impl Typed {
    /// What a typed client makes of the response to what is wanted; none if it makes nothing of it.
    pub(crate) fn of(want: &Want<'_>, response: &Response) -> Option<Self> {
        let Want::Request(request) = want else { return None };
        let body = response.body.as_str();
        match (response.status, request.body()) {
            (200, None) => {
                // One thing for each name. A `null` is none for such clients.
                strict(body)?.get("room_version").is_none_or(|version| !version.is_null()).then_some(())?;
                let Template { room_version, event } = serde_json::from_str(body).ok()?;
                Some(Self::Template { room_version, event: event.get().to_owned() })
            }
            (200, Some(_)) => {
                // serde reads a list as an object too, by the order of its members.
                let accepted = serde_json::from_str::<Accepted<'_>>(body);
                let entries = match accepted.ok().filter(|_| body.trim_start().starts_with('{')) {
                    Some(accepted) => accepted.knock_room_state,
                    // JSON without a list.
                    None => strict(body).map(|_| Vec::new())?,
                };
                Some(Self::Accepted(entries.into_iter().map(|entry| entry.get().to_owned()).collect()))
            }
            (status, _) => {
                let members = error(body).unwrap_or_default();
                let text = |name: &str| members.get(name).and_then(|value| value.as_str()).map(str::to_owned);
                Some(Self::Error {
                    status,
                    errcode: text("errcode"),
                    error: text("error"),
                    room_version: text("room_version"),
                    retry_after_ms: response.retry_after_ms(),
                    body: body.to_owned(),
                })
            }
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Template { .. } => "by parts: a template",
            Self::Accepted(_) => "by parts: accepted",
            Self::Error { .. } => "by parts: an error",
        }
    }

    pub(crate) fn give<T>(&self, take: impl FnOnce(Reply<'_>) -> T) -> T {
        match self {
            Self::Template { room_version, event } => {
                take(Reply::Template { room_version: room_version.as_deref(), event })
            }
            Self::Accepted(entries) => {
                let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
                take(Reply::Accepted { knock_room_state: &entries })
            }
            Self::Error { status, errcode, error, room_version, retry_after_ms, body } => {
                take(Reply::Error(ErrorReply {
                    status: *status,
                    errcode: errcode.as_deref(),
                    error: error.as_deref(),
                    room_version: room_version.as_deref(),
                    retry_after_ms: *retry_after_ms,
                    body: Some(body),
                }))
            }
        }
    }
}

const VERSION: RoomVersion = RoomVersion::V10;
const SERVERS: [&str; 2] = ["c.example", RESIDENT];

/// A knock that waits for a template, and one that waits for the answer to its event.
fn knocks() -> [Machine; 2] {
    let room = Room::new(VERSION);
    let making = start(&room, &SERVERS, &[VERSION], &Details::default());
    let mut sending = making.clone();
    let (_, template) = room.make_knock(&[VERSION.as_str()]);
    replied(&mut sending, HttpResponse::new(200, &template).into());
    let ticket = sending.want().0;
    assert_eq!(sending.signature(ticket, key_id(), &[1; 64]), Ok(()));
    [making, sending]
}

fn replied(machine: &mut Machine, reply: Reply<'_>) {
    let ticket = machine.want().0;
    assert_eq!(machine.reply(ticket, reply, NOW), Ok(()));
}

fn failure_of(machine: &Machine) -> Failure {
    let Machine::Knock(knock) = machine else { panic!("a knock") };
    knock.outcome().unwrap().unwrap_err().failure
}

fn after(machine: &Machine, reply: Reply<'_>) -> Machine {
    let mut machine = machine.clone();
    replied(&mut machine, reply);
    machine
}

/// The parts of another answer than the one to what was asked are as no answer.
#[test]
fn replies_of_another_kind() {
    let [making, sending] = knocks();
    let (_, template) = Room::new(VERSION).make_knock(&[VERSION.as_str()]);
    let event = strict(&template).unwrap()["event"].to_string();
    let accepted = Reply::Accepted { knock_room_state: &["{}"] };
    let template = Reply::Template { room_version: Some("10"), event: &event };
    assert!(matches!(after(&making, template).want().1, Want::Sign(_)));
    assert!(matches!(after(&sending, accepted).want().1, Want::Keys(_)));
    assert_eq!(after(&making, accepted), after(&making, Reply::None));
    assert_eq!(after(&sending, template), after(&sending, Reply::None));
    // An error is one by its code. Whether the event was taken is another question: there the
    // status decides.
    for status in [0, 100, 200, 204, 301, 399, 408, 500, 999] {
        let error = |errcode| {
            Reply::Error(ErrorReply {
                status,
                errcode,
                error: Some("No"),
                room_version: Some("13"),
                retry_after_ms: Some(1),
                body: None,
            })
        };
        let (forbidden, silent) = (after(&making, error(Some("M_FORBIDDEN"))), after(&making, Reply::None));
        let nobody = |machine: &Machine| failure_of(&after(machine, Reply::None));
        assert_eq!((nobody(&forbidden), nobody(&silent)), (Failure::Forbidden, Failure::NoAnswer), "{status}");
        assert_eq!(nobody(&after(&making, error(None))), Failure::NoAnswer, "{status}");
        assert_eq!(after(&sending, error(Some("M_FORBIDDEN"))), after(&sending, Reply::None), "{status}");
    }
}

/// The event of a template is one JSON object: nothing in it is taken for another part.
#[test]
fn templates_that_are_more_than_an_event() {
    let [making, _] = knocks();
    let (_, template) = Room::new(VERSION).make_knock(&[VERSION.as_str()]);
    let event = strict(&template).unwrap()["event"].to_string();
    let long = format!("{event}{}", " ".repeat(200_000));
    for (room_version, event) in [
        (Some("10"), format!(r#"{event},"x":1"#)),
        (Some("10"), format!(r#"{event}}}"#)),
        (Some("10"), format!("{event} {event}")),
        (None, format!(r#"{event},"room_version":"10""#)),
        (None, event.clone()),
        (Some("12"), event.clone()),
        (Some("10\",\"x\":\""), event.clone()),
        (Some(""), event.clone()),
        (Some("10"), String::new()),
        (Some("10"), "null".to_owned()),
        (Some("10"), format!("[{event}]")),
        (Some("10"), long),
    ] {
        let found = after(&making, Reply::Template { room_version, event: &event });
        assert_eq!(found, after(&making, Reply::None), "{room_version:?}");
    }
    // White space is none of it.
    let spaced = format!("\n {event}\t");
    let found = after(&making, Reply::Template { room_version: Some("10"), event: &spaced });
    assert_eq!(found, after(&making, Reply::Template { room_version: Some("10"), event: &event }));
}

/// Names that are too long are none, however they come.
#[test]
fn long_versions() {
    let [making, _] = knocks();
    for (length, failure) in [(255, true), (256, false), (65_000, false), (100_000, false)] {
        let version = "x".repeat(length);
        let error = Reply::Error(ErrorReply {
            status: 400,
            errcode: Some("M_INCOMPATIBLE_ROOM_VERSION"),
            error: None,
            room_version: Some(&version),
            retry_after_ms: None,
            body: None,
        });
        let body = format!(r#"{{"errcode":"M_INCOMPATIBLE_ROOM_VERSION","room_version":"{version}"}}"#);
        let found = after(&making, error);
        let read = after(&making, HttpResponse::new(400, &body).into());
        match body.len() {
            0..=65_536 => assert_eq!(found, read),
            // Of so long a body not even the code is looked at.
            _ => {
                let bare = HttpResponse::new(400, r#"{"errcode":"M_INCOMPATIBLE_ROOM_VERSION"}"#);
                let expected = (after(&making, bare.into()), after(&making, HttpResponse::new(400, "").into()));
                assert_eq!((&found, read), (&expected.0, expected.1));
            }
        }
        assert_eq!(found.has_ended(), failure);
    }
}

/// A header `Retry-After` counts before the body, if it says seconds.
#[test]
fn retry_after() {
    let in_body = |body: &str| if body.contains("7") { Some(7) } else { None };
    for machine in knocks() {
        for body in ["", "<html>", "{}", r#"{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":7}"#] {
            for (header, milliseconds) in [
                (None, in_body(body)),
                (Some("0"), Some(0)),
                (Some("2"), Some(2000)),
                (Some("\t120 "), Some(120_000)),
                (Some("007"), Some(7000)),
                (Some("18446744073709551"), Some(18_446_744_073_709_551_000)),
                (Some("18446744073709552"), Some(u64::MAX)),
                (Some("18446744073709551615"), Some(u64::MAX)),
                // What says no seconds that could be counted says nothing.
                (Some("18446744073709551616"), in_body(body)),
                (Some(""), in_body(body)),
                (Some("  "), in_body(body)),
                (Some("+2"), in_body(body)),
                (Some("-2"), in_body(body)),
                (Some("2.5"), in_body(body)),
                (Some("2s"), in_body(body)),
                (Some("1 2"), in_body(body)),
                (Some("٣"), in_body(body)),
                (Some("Wed, 21 Oct 2026 07:28:00 GMT"), in_body(body)),
            ] {
                let response = HttpResponse { status: 429, retry_after: header, body };
                let mut limited = after(&machine, response.into());
                let Machine::Knock(knock) = &mut limited else { panic!("a knock") };
                // Of the first server it is remembered: the second knows the room as little.
                if knock.outcome().is_none() {
                    let ticket = knock.want().0;
                    assert_eq!(knock.reply(ticket, HttpResponse::new(404, "").into(), NOW), Ok(()));
                }
                let failed = knock.outcome().unwrap().unwrap_err();
                let expected = Failure::RateLimited { retry_after_ms: milliseconds };
                assert_eq!((failed.failure, failed.perhaps), (expected, None), "{header:?} {body}");
            }
        }
    }
    // Of other errors there is nothing to wait for.
    let [making, _] = knocks();
    let failed = |machine: &Machine, response: HttpResponse<'_>| {
        let Machine::Knock(mut knock) = after(machine, response.into()) else { panic!("a knock") };
        if knock.outcome().is_none() {
            let ticket = knock.want().0;
            assert_eq!(knock.reply(ticket, HttpResponse::new(404, "").into(), NOW), Ok(()));
        }
        knock.outcome().unwrap().unwrap_err().failure
    };
    for status in [400, 403, 404, 500, 503] {
        let response = HttpResponse { status, retry_after: Some("2"), body: "" };
        assert_eq!(failed(&making, response), failed(&making, HttpResponse::new(status, "")));
    }
}
