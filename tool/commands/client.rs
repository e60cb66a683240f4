//! The command about what clients say.

use matrix_knock::client::KnockRequest;
use matrix_knock::wire::HttpRequest;

use crate::lines::{Answer, Line, optional, parse};

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
