//! What is no event of the room's version, in every way.

use matrix_knock::event::{FormatError, MAX_EVENT_TEXT_BYTES, PduError};
use matrix_knock::id::IdError;
use matrix_knock::json::JsonErrorKind;
use matrix_knock::resident::Refusal;
use serde_json::json;

use super::breaks::{Break, Said, row};

const BAD_JSON: (u16, &str) = (400, r#"{"errcode":"M_BAD_JSON","error":"Not an event of the version of the room"}"#);
const TOO_LARGE: (u16, &str) = (413, r#"{"errcode":"M_TOO_LARGE","error":"The event is too large"}"#);
const fn format(error: FormatError) -> Said {
    Said::This(Refusal::Format(error))
}

/// In the order of the checks.
pub(crate) fn malformed() -> Vec<Break> {
    vec![
        row(
            50,
            "a very long text",
            |it| {
                it.text =
                    Some(|text| text.replacen('{', &format!(r#"{{"x":"{}","#, "x".repeat(MAX_EVENT_TEXT_BYTES)), 1));
            },
            |it| {
                let Err(Refusal::Format(FormatError::Pdu(PduError::TooLarge { bytes }))) = it.answer() else {
                    return format(FormatError::Pdu(PduError::NotAnObject));
                };
                assert!(bytes > MAX_EVENT_TEXT_BYTES);
                format(FormatError::Pdu(PduError::TooLarge { bytes }))
            },
            TOO_LARGE,
        ),
        row(
            50,
            "no JSON",
            |it| it.text = Some(|text| text.replacen('{', "", 1)),
            |_| Said::Json(JsonErrorKind::TrailingCharacters),
            BAD_JSON,
        ),
        row(
            50,
            "nothing",
            |it| it.text = Some(|_| String::new()),
            |_| Said::Json(JsonErrorKind::UnexpectedEnd),
            BAD_JSON,
        ),
        row(
            50,
            "a key twice",
            |it| it.text = Some(|text| text.replacen(r#""depth":"#, r#""depth":1,"depth":"#, 1)),
            |_| Said::Json(JsonErrorKind::DuplicateKey),
            BAD_JSON,
        ),
        row(
            50,
            "a list",
            |it| it.text = Some(|text| format!("[{text}]")),
            |_| format(FormatError::Pdu(PduError::NotAnObject)),
            BAD_JSON,
        ),
        row(
            60,
            "no type",
            |it| it.signed.push(|event| drop(event.as_object_mut().map(|it| it.remove("type")))),
            |_| format(FormatError::Pdu(PduError::Missing("type"))),
            BAD_JSON,
        ),
        row(
            70,
            "a float",
            |it| it.signed.push(|event| event["x"] = json!(1.5)),
            |_| Said::Json(JsonErrorKind::NumberNotAllowed),
            BAD_JSON,
        ),
        row(
            80,
            "too many bytes",
            |it| it.signed.push(|event| event["x"] = json!("x".repeat(65_536))),
            |it| {
                let Err(Refusal::Format(FormatError::TooLarge { bytes })) = it.answer() else {
                    return format(FormatError::Pdu(PduError::NotAnObject));
                };
                assert!(bytes > 65_536);
                format(FormatError::TooLarge { bytes })
            },
            TOO_LARGE,
        ),
        row(
            100,
            "an event ID",
            |it| it.signed.push(|event| event["event_id"] = json!("$x")),
            |_| format(FormatError::Unexpected("event_id")),
            BAD_JSON,
        ),
        row(
            110,
            "a negative depth",
            |it| it.event["depth"] = json!(-1),
            |_| format(FormatError::WrongKind("depth")),
            BAD_JSON,
        ),
        row(
            120,
            "eleven auth events",
            |it| it.event["auth_events"] = vec![json!("$x"); 11].into(),
            |_| format(FormatError::TooMany { property: "auth_events", count: 11 }),
            BAD_JSON,
        ),
        row(
            130,
            "21 previous events",
            |it| it.event["prev_events"] = vec![json!("$x"); 21].into(),
            |_| format(FormatError::TooMany { property: "prev_events", count: 21 }),
            BAD_JSON,
        ),
        row(
            140,
            "no hashes",
            |it| it.signed.push(|event| drop(event.as_object_mut().map(|it| it.remove("hashes")))),
            |_| format(FormatError::Missing("hashes")),
            BAD_JSON,
        ),
        row(
            150,
            "no signatures",
            |it| it.signed.push(|event| drop(event.as_object_mut().map(|it| it.remove("signatures")))),
            |_| format(FormatError::Missing("signatures")),
            BAD_JSON,
        ),
        row(
            160,
            "a long state key",
            |it| it.event["state_key"] = json!(format!("@{}:k.example", "x".repeat(245))),
            |_| format(FormatError::TooLong("state_key")),
            TOO_LARGE,
        ),
        row(
            170,
            "a sender that is no user",
            |it| it.event["sender"] = json!("kay"),
            |_| format(FormatError::Id { property: "sender", error: IdError::Sigil('@') }),
            BAD_JSON,
        ),
        row(
            180,
            "no room ID",
            |it| drop(it.event.as_object_mut().map(|it| it.remove("room_id"))),
            |_| format(FormatError::Missing("room_id")),
            BAD_JSON,
        ),
    ]
}
