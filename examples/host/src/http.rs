//! HTTP: every request as it came, since the steps of the library read raw paths, queries and bodies.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody as _, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use matrix_knock::error::{Errcode, ErrorResponse, PathError};
use matrix_knock::id::RoomId;
use matrix_knock::wire::HttpRequest;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::de::DeserializeOwned;

use crate::host::Host;
use crate::{client, server};

/// The longest body that is read, in bytes: 50 events with room around them, or an invite with its state.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;
/// Bodies longer than this, in KiB, share [`ALL_LONG_BODIES`]. A knock and an event of any size are
/// shorter.
const SHORT_BODY: u32 = 128;
/// How much all longer bodies may take together until their requests are answered, in KiB.
pub const ALL_LONG_BODIES: usize = 64 * 1024;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// The body of the answer, with status 200, or an error.
pub type Reply = Result<String, ErrorResponse>;

/// A request, as it came.
pub struct Call {
    pub parts: Parts,
    pub body: Bytes,
}

impl Call {
    /// The request as the steps of the library take it.
    pub fn as_http(&self) -> HttpRequest<'_> {
        HttpRequest { method: self.method(), path: self.parts.uri.path(), query: self.query(), body: &self.body }
    }

    pub fn method(&self) -> &str {
        self.parts.method.as_str()
    }

    fn query(&self) -> &str {
        self.parts.uri.query().unwrap_or_default()
    }

    /// The values of this name in the query, decoded.
    pub fn values(&self, name: &str) -> impl Iterator<Item = String> {
        let pairs = form_urlencoded::parse(self.query().as_bytes());
        pairs.filter(move |(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    pub fn value(&self, name: &str) -> Option<String> {
        self.values(name).next()
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

    /// The `Authorization` header. Two of them are as none: it would not be clear which one counts.
    pub fn authorization(&self) -> Option<&str> {
        let mut headers = self.parts.headers.get_all(AUTHORIZATION).iter();
        headers.next().filter(|_| headers.next().is_none())?.to_str().ok()
    }
}

/// A text as a segment of a path or a value of a query.
pub fn encoded(text: &str) -> String {
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, RESERVED).to_string()
}

pub fn room_id(text: &str) -> Result<RoomId<'_>, ErrorResponse> {
    RoomId::parse(text).map_err(|_| PathError::RoomId.into())
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
    let (status, body, retry_after) = match serve(host, request).await {
        Ok(body) => (200, body, None),
        Err(error) => (error.status(), error.to_string(), error.retry_after()),
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

async fn serve(host: Arc<Host>, request: Request) -> Reply {
    let (parts, body) = request.into_parts();
    // A body whose length is not said may become as long as any.
    let longest = u32::try_from(MAX_BODY_BYTES / 1024).unwrap_or(u32::MAX);
    let length = body.size_hint().upper().map_or(longest, |bytes| u32::try_from(bytes / 1024).unwrap_or(longest));
    let permits = if length > SHORT_BODY { length.min(longest) } else { 0 };
    let room = Arc::clone(&host.long_bodies).acquire_many_owned(permits).await;
    let read = tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, MAX_BODY_BYTES)).await;
    let read =
        read.map_err(|_| ErrorResponse::with_status(408, Errcode::Unknown, "The body did not arrive in time"))?;
    let body = read.map_err(|_| ErrorResponse::new(Errcode::TooLarge, "The body is too large"))?;
    // In a task of its own: what is begun goes on if the other side hangs up.
    let task = tokio::spawn(async move { (route(&host, &Call { parts, body }).await, room).0 });
    task.await.unwrap_or_else(|_| Err(ErrorResponse::internal("Internal server error")))
}

async fn route(host: &Arc<Host>, call: &Call) -> Reply {
    let segments = call.parts.uri.path().split('/').skip(1);
    let segments = segments.map(|segment| percent_decode_str(segment).decode_utf8()).collect::<Result<Vec<_>, _>>();
    let segments = segments.map_err(|_| PathError::Encoding)?;
    let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
    match segments.as_slice() {
        ["_matrix", "client", _, rest @ ..] => client::handle(host, call, rest).await,
        ["_knock", rest @ ..] => client::handle_own(host, call, rest).await,
        ["_matrix", "key", "v2", "server"] => Ok(host.peers.key_document().unwrap_or_default()),
        ["_matrix", "federation", version, rest @ ..] => server::handle(host, call, version, rest).await,
        _ => Err(no_such_endpoint()),
    }
}
