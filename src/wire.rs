//! HTTP requests and responses, as far as this crate reads and writes them. Nothing is sent from here.

/// An HTTP request as it came, with nothing decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HttpRequest<'a> {
    /// The method, in upper case: `POST`.
    pub method: &'a str,
    /// The path, from its first `/`, percent-encoded, without the query.
    pub path: &'a str,
    /// The query, percent-encoded, without its `?`; empty if there is none.
    pub query: &'a str,
    /// The body; empty if there is none.
    pub body: &'a [u8],
}

/// A request to send, with `Content-Type: application/json` if it has a body.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BuiltRequest {
    /// The method: `POST`.
    pub method: &'static str,
    /// The path, percent-encoded.
    pub path: String,
    /// The query, percent-encoded, without its `?`; empty if there is none.
    pub query: String,
    /// The body, a JSON object; `None` for a `GET`.
    pub body: Option<String>,
}

impl BuiltRequest {
    /// Returns the request as it comes to the server.
    ///
    /// # Examples
    ///
    /// ```
    /// use matrix_knock::client::KnockRequest;
    /// use matrix_knock::id::RoomIdOrAlias;
    ///
    /// let knock = KnockRequest::new(RoomIdOrAlias::parse("!room:a.example")?, [], Some("Hello?"))?;
    /// assert_eq!(KnockRequest::parse(knock.to_http().as_http())?, knock);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn as_http(&self) -> HttpRequest<'_> {
        let body = self.body.as_deref().unwrap_or_default();
        HttpRequest { method: self.method, path: &self.path, query: &self.query, body: body.as_bytes() }
    }

    /// Returns path and query in one, as they stand in the first line of a request.
    ///
    /// # Examples
    ///
    /// ```
    /// use matrix_knock::client::KnockRequest;
    /// use matrix_knock::id::RoomIdOrAlias;
    ///
    /// let knock = KnockRequest::new(RoomIdOrAlias::parse("#room:a.example")?, ["b.example"], None)?;
    /// let expected = "/_matrix/client/v3/knock/%23room%3Aa.example?via=b.example&server_name=b.example";
    /// assert_eq!(knock.to_http().path_and_query(), expected);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn path_and_query(&self) -> String {
        if self.query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, self.query) }
    }
}

/// An HTTP response as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HttpResponse<'a> {
    /// Its status.
    pub status: u16,
    /// The value of the header `Retry-After`, if there is one.
    pub retry_after: Option<&'a str>,
    /// Its body, as text; an empty text if it is not UTF-8.
    pub body: &'a str,
}

impl<'a> HttpResponse<'a> {
    /// Creates a response without a header `Retry-After`.
    #[must_use]
    pub const fn new(status: u16, body: &'a str) -> Self {
        Self { status, retry_after: None, body }
    }
}

#[cfg(feature = "http")]
mod http {
    //! To and from the types of the crate `http`. Feature `http`.

    use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
    use http::{Request, Response};

    use super::{BuiltRequest, HttpRequest, HttpResponse};

    const JSON: HeaderValue = HeaderValue::from_static("application/json");

    impl<'a, B: AsRef<[u8]>> From<&'a Request<B>> for HttpRequest<'a> {
        fn from(request: &'a Request<B>) -> Self {
            Self {
                method: request.method().as_str(),
                path: request.uri().path(),
                query: request.uri().query().unwrap_or_default(),
                body: request.body().as_ref(),
            }
        }
    }

    /// With path and query for a URI: scheme and authority are the host's.
    impl TryFrom<BuiltRequest> for Request<String> {
        type Error = http::Error;

        fn try_from(request: BuiltRequest) -> Result<Self, http::Error> {
            let builder = Request::builder().method(request.method).uri(request.path_and_query());
            match request.body {
                Some(body) => builder.header(CONTENT_TYPE, JSON).body(body),
                None => builder.body(String::new()),
            }
        }
    }

    /// A body that is not UTF-8 is an empty text.
    impl<'a, B: AsRef<[u8]>> From<&'a Response<B>> for HttpResponse<'a> {
        fn from(response: &'a Response<B>) -> Self {
            Self {
                status: response.status().as_u16(),
                retry_after: response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()),
                body: std::str::from_utf8(response.body().as_ref()).unwrap_or_default(),
            }
        }
    }
}
