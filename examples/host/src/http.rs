//! HTTP: every request as it came, since the steps of the library read raw paths, queries and bodies.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use matrix_knock::error::{Errcode, ErrorResponse, PathError};
use matrix_knock::wire::HttpRequest;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::de::DeserializeOwned;

use crate::host::Host;
use crate::{client, server};

/// The longest body that is read, in bytes: 50 events with room around them, or an invite with its state.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// The body of the answer, with status 200, or an error.
pub type Reply = Result<String, ErrorResponse>;

/// A request, as it came.
pub struct Call {
    pub method: String,
    pub path: String,
    pub query: String,
    pub body: Vec<u8>,
    pub headers: HeaderMap,
}

impl Call {
    /// The request as the steps of the library take it.
    pub fn as_http(&self) -> HttpRequest<'_> {
        HttpRequest { method: &self.method, path: &self.path, query: &self.query, body: &self.body }
    }

    pub fn path_and_query(&self) -> String {
        if self.query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, self.query) }
    }

    /// The segments of the path, decoded.
    pub fn segments(&self) -> Result<Vec<String>, ErrorResponse> {
        let segments = self.path.split('/').skip(1);
        let decoded = segments.map(|segment| percent_decode_str(segment).decode_utf8().map(Cow::into_owned));
        decoded.collect::<Result<_, _>>().map_err(|_| PathError::Encoding.into())
    }

    /// The values of this name in the query, decoded.
    pub fn values(&self, name: &str) -> Vec<String> {
        let pairs = form_urlencoded::parse(self.query.as_bytes());
        pairs.filter(|(key, _)| key == name).map(|(_, value)| value.into_owned()).collect()
    }

    pub fn value(&self, name: &str) -> Option<String> {
        self.values(name).into_iter().next()
    }

    pub fn text(&self) -> Result<&str, ErrorResponse> {
        std::str::from_utf8(&self.body).map_err(|_| ErrorResponse::new(Errcode::NotJson, "The body is not JSON"))
    }

    /// The body; an empty one stands for an empty object.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ErrorResponse> {
        let text = if self.body.is_empty() { "{}" } else { self.text()? };
        serde_json::from_str(text).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => ErrorResponse::new(Errcode::BadJson, error.to_string()),
            _ => ErrorResponse::new(Errcode::NotJson, "The body is not JSON"),
        })
    }

    pub fn authorization(&self) -> Option<&str> {
        self.headers.get(AUTHORIZATION)?.to_str().ok()
    }
}

/// A text as a segment of a path or a value of a query.
pub fn encoded(text: &str) -> String {
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, RESERVED).to_string()
}

pub fn no_such_endpoint() -> ErrorResponse {
    PathError::NoSuchEndpoint.into()
}

pub fn forbidden(error: &'static str) -> ErrorResponse {
    ErrorResponse::new(Errcode::Forbidden, error)
}

pub fn not_found(error: &'static str) -> ErrorResponse {
    ErrorResponse::new(Errcode::NotFound, error)
}

pub fn invalid(error: &'static str) -> ErrorResponse {
    ErrorResponse::new(Errcode::InvalidParam, error)
}

pub fn router(host: Arc<Host>) -> Router {
    Router::new().fallback(handle).with_state(host)
}

async fn handle(State(host): State<Arc<Host>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let reply = match to_bytes(body, MAX_BODY_BYTES).await {
        Ok(body) => {
            let call = Call {
                method: parts.method.as_str().to_owned(),
                path: parts.uri.path().to_owned(),
                query: parts.uri.query().unwrap_or_default().to_owned(),
                body: body.into(),
                headers: parts.headers,
            };
            // In a task of its own: what is begun goes on if the other side hangs up.
            let task = tokio::spawn(async move { route(&host, &call).await });
            task.await.unwrap_or_else(|_| Err(ErrorResponse::internal("Internal server error")))
        }
        Err(_) => Err(ErrorResponse::new(Errcode::TooLarge, "The body is too large")),
    };
    let (status, body, retry_after) = match reply {
        Ok(body) => (200, body, None),
        Err(error) => (error.status(), error.to_string(), error.retry_after()),
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(seconds) = retry_after {
        response.headers_mut().insert("Retry-After", seconds.into());
    }
    response
}

async fn route(host: &Arc<Host>, call: &Call) -> Reply {
    let segments = call.segments()?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match segments.as_slice() {
        ["_matrix", "client", _, rest @ ..] => client::handle(host, call, rest).await,
        ["_knock", rest @ ..] => client::handle_own(host, call, rest).await,
        ["_matrix", "key", "v2", "server"] => Ok(host.peers.key_document().unwrap_or_default()),
        ["_matrix", "federation", version, rest @ ..] => server::handle(host, call, version, rest).await,
        _ => Err(no_such_endpoint()),
    }
}
