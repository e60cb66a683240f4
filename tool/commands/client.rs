//! The commands about what clients say and are told.

use matrix_knock::client::{KnockRequest, KnockResponse};
use matrix_knock::stripped_state::StrippedEvent;
use matrix_knock::sync::KnockSection;
use matrix_knock::wire::{HttpRequest, HttpResponse};

use crate::lines::{Answer, Line, json_string, optional, parse};

/// `request`: what a server reads out of `POST /knock`, or what it answers.
pub(crate) fn request(line: &Line<'_>) -> Answer {
    let (method, path): (String, String) = (parse("method", line)?, parse("path", line)?);
    let query: Option<String> = optional("query", line)?;
    let body: Option<String> = optional("body", line)?;
    let (query, body) = (query.unwrap_or_default(), body.unwrap_or_default());
    let request = HttpRequest { method: &method, path: &path, query: &query, body: body.as_bytes() };
    match KnockRequest::parse(request) {
        Ok(knock) => Ok(format!(
            r#""room_id_or_alias":{},"via":{},"reason":{}"#,
            serde_json::to_string(knock.room_id_or_alias().as_str())?,
            serde_json::to_string(knock.via())?,
            serde_json::to_string(&knock.reason())?
        )),
        Err(error) => {
            let response = error.to_response();
            Ok(format!(r#""status":{},"body":{response}"#, response.status()))
        }
    }
}

/// `knock-section`: what a client reads out of the `rooms.knock` of a sync.
pub(crate) fn knock_section(line: &Line<'_>) -> Answer {
    let section: String = parse("section", line)?;
    let rooms = KnockSection::parse(&section)?;
    let rooms: Vec<String> = rooms
        .rooms()
        .map(|(room_id, room)| {
            let state: Vec<&str> = room.state().iter().map(StrippedEvent::text).collect();
            Ok(format!("{}:[{}]", json_string(room_id)?, state.join(",")))
        })
        .collect::<Result<_, serde_json::Error>>()?;
    Ok(format!(r#""rooms":{{{}}}"#, rooms.join(",")))
}

/// `knock-answer`: what a client reads out of the answer to its knock.
pub(crate) fn knock_answer(line: &Line<'_>) -> Answer {
    let retry_after: Option<String> = optional("retry_after", line)?;
    let body: String = parse("body", line)?;
    let response = HttpResponse { status: parse("status", line)?, retry_after: retry_after.as_deref(), body: &body };
    match KnockResponse::parse(response) {
        Ok(knock) => Ok(format!(r#""room_id":{}"#, json_string(knock.room_id().as_str())?)),
        Err(error) => Ok(format!(
            r#""kind":"{}","errcode":{},"error":{},"retry_after_ms":{}"#,
            error.kind().name(),
            serde_json::to_string(&error.errcode())?,
            serde_json::to_string(&error.error())?,
            serde_json::to_string(&error.retry_after_ms())?
        )),
    }
}
