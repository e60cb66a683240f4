//! The request.

use serde::{Serialize, Serializer};

use super::{RequestError, body};
use crate::id::{IdError, MAX_ID_BYTES, OwnedRoomIdOrAlias, OwnedServerName, RoomId, RoomIdOrAlias, ServerName};
use crate::json::JsonText;
use crate::uri::{decoded, decoded_in_query, encoded};
use crate::wire::{BuiltRequest, HttpRequest};

/// The most servers that a request names: as many as a knocking server asks.
pub const MAX_VIA: usize = 20;
/// The longest query that is read, in bytes.
pub const MAX_QUERY_BYTES: usize = 65_536;
/// The longest body that is read, in bytes: the longest reason fits in, every byte of it escaped, and leaves room.
pub const MAX_BODY_BYTES: usize = 524_288;
/// The longest reason, in bytes of UTF-8: a whole event has no more.
pub const MAX_REASON_BYTES: usize = 65_536;

/// The most bytes that an identifier can have in a path.
const MAX_ENCODED_ID_BYTES: usize = MAX_ID_BYTES * 3;

/// A user's wish to knock, as the client tells it to its server: SDKs have it as `knockRoom(roomIdOrAlias, serverName, via, reason)`.
///
/// # Examples
///
/// ```
/// use matrix_knock::client::KnockRequest;
/// use matrix_knock::id::RoomIdOrAlias;
/// use matrix_knock::wire::HttpRequest;
///
/// let knock = KnockRequest::parse(HttpRequest {
///     method: "POST",
///     path: "/_matrix/client/v3/knock/%23monkeys%3Amatrix.org",
///     query: "via=matrix.org&server_name=elsewhere.ca",
///     body: br#"{"reason":"Looking for support"}"#,
/// })?;
/// assert_eq!(knock.room_id_or_alias(), RoomIdOrAlias::parse("#monkeys:matrix.org")?);
/// assert_eq!(knock.via(), ["matrix.org", "elsewhere.ca"]);
/// assert_eq!(knock.reason(), Some("Looking for support"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KnockRequest {
    room_id_or_alias: OwnedRoomIdOrAlias,
    via: Vec<OwnedServerName>,
    passed_over: Vec<PassedOver>,
    reason: Option<String>,
}

/// A server in a query that is not asked, for the host's log.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PassedOver {
    /// The name in the query: `via`, `server_name`, or one that was meant so (`via[]`). At most 255 bytes.
    pub name: String,
    /// The value, as it stands in the query, of which at most 255 bytes.
    pub value: String,
    /// Why it is not asked.
    pub why: WhyPassedOver,
}

/// Why a server in a query is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum WhyPassedOver {
    /// The parameter is called `via` or `server_name`, without brackets.
    #[error("not a parameter of this endpoint")]
    Name,
    /// It is not percent-encoded UTF-8.
    #[error("not percent-encoded UTF-8")]
    Encoding,
    /// It is not a server name: a URL, a list, empty.
    #[error("not a server name")]
    Malformed,
    /// There are [`MAX_VIA`] already.
    #[error("beyond the first {MAX_VIA} servers")]
    TooMany,
}

impl KnockRequest {
    /// A wish of a client's own. `via` are the servers that may know the room, the best first: malformed and repeated names and
    /// what is beyond [`MAX_VIA`] are passed over.
    ///
    /// # Errors
    ///
    /// [`RequestError::ReasonTooLong`].
    ///
    /// # Examples
    ///
    /// ```
    /// use matrix_knock::client::{KnockRequest, MAX_REASON_BYTES, RequestError};
    /// use matrix_knock::id::RoomIdOrAlias;
    ///
    /// let room = RoomIdOrAlias::parse("!room:a.example")?;
    /// let knock = KnockRequest::new(room, ["b.example", "no server", "b.example"], Some("Hello?"))?;
    /// assert_eq!(knock.via(), ["b.example"]);
    /// assert_eq!(knock.to_http().body.as_deref(), Some(r#"{"reason":"Hello?"}"#));
    /// let long = "a".repeat(MAX_REASON_BYTES + 1);
    /// let refused = KnockRequest::new(room, [], Some(&long));
    /// assert_eq!(refused, Err(RequestError::ReasonTooLong { bytes: MAX_REASON_BYTES + 1 }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new<'s>(
        room_id_or_alias: RoomIdOrAlias<'_>,
        via: impl IntoIterator<Item = &'s str>,
        reason: Option<&str>,
    ) -> Result<Self, RequestError> {
        let mut servers = Servers::default();
        via.into_iter().for_each(|server| servers.take("via", server, Some(server)));
        Ok(Self {
            room_id_or_alias: room_id_or_alias.into_owned(),
            via: servers.named,
            passed_over: servers.passed_over,
            reason: reason.map(body::checked).transpose()?,
        })
    }

    /// Reads a request: what becomes of which stands [above](super).
    ///
    /// # Errors
    ///
    /// [`RequestError`] says what is wrong with it, and what to answer.
    pub fn parse(request: HttpRequest<'_>) -> Result<Self, RequestError> {
        let room = Room::of_path(request.path).ok_or(RequestError::Path)?;
        if request.method != "POST" {
            return Err(RequestError::Method);
        }
        if request.query.len() > MAX_QUERY_BYTES {
            return Err(RequestError::QueryTooLong { bytes: request.query.len() });
        }
        let reason = body::reason_of(request.body)?;
        let Servers { named, passed_over } = Servers::of_query(request.query);
        Ok(Self { room_id_or_alias: room.identifier()?, via: named, passed_over, reason })
    }

    /// The request that says it. The servers stand there under both names, `via` and `server_name`, so that new and old homeservers
    /// understand.
    #[must_use]
    pub fn to_http(&self) -> BuiltRequest {
        let named = |name: &str| self.via.iter().map(|server| format!("{name}={}", encoded(server.as_str()))).collect();
        let both: [Vec<String>; 2] = [named("via"), named("server_name")];
        BuiltRequest {
            method: "POST",
            path: format!("/_matrix/client/v3/knock/{}", encoded(self.room_id_or_alias.as_str())),
            query: both.concat().join("&"),
            body: Some(body::of_reason(self.reason.as_deref())),
        }
    }

    /// The room.
    #[must_use]
    pub const fn room_id_or_alias(&self) -> RoomIdOrAlias<'_> {
        self.room_id_or_alias.as_borrowed()
    }

    /// The servers that may know the room, the best first: at most [`MAX_VIA`] well-formed names, none twice.
    #[must_use]
    pub fn via(&self) -> &[OwnedServerName] {
        &self.via
    }

    /// Returns the servers in the query that are not asked, and why, for the host's log: of the first 100 of them.
    #[must_use]
    pub fn passed_over(&self) -> &[PassedOver] {
        &self.passed_over
    }

    /// What the user says: at most [`MAX_REASON_BYTES`].
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
}

/// Its body.
impl Serialize for KnockRequest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        JsonText(&body::of_reason(self.reason())).serialize(serializer)
    }
}

/// What stands for the room in a path, still encoded.
enum Room<'a> {
    IdOrAlias(&'a str),
    Id(&'a str),
}

impl<'a> Room<'a> {
    fn of_path(path: &'a str) -> Option<Self> {
        let path = path.strip_prefix("/_matrix/client/")?;
        let draft = path.strip_prefix("unstable/xyz.amorgan.knock/");
        if let Some(room) = draft.and_then(|path| path.strip_prefix("rooms/")?.strip_suffix("/knock")) {
            return Some(Self::Id(room)).filter(|_| !room.contains('/'));
        }
        let path = draft.or_else(|| path.strip_prefix("v3/")).or_else(|| path.strip_prefix("r0/"))?;
        path.strip_prefix("knock/").filter(|room| !room.contains('/')).map(Self::IdOrAlias)
    }

    fn identifier(self) -> Result<OwnedRoomIdOrAlias, RequestError> {
        let (Self::IdOrAlias(encoded) | Self::Id(encoded)) = self;
        if encoded.len() > MAX_ENCODED_ID_BYTES {
            return Err(RequestError::Identifier(IdError::TooLong));
        }
        let text = decoded(encoded).ok_or(RequestError::Encoding)?;
        match self {
            Self::IdOrAlias(_) => RoomIdOrAlias::parse(&text),
            Self::Id(_) => RoomId::parse(&text).map(RoomIdOrAlias::Id),
        }
        .map(RoomIdOrAlias::into_owned)
        .map_err(RequestError::Identifier)
    }
}

/// The servers that are asked, and those that are not.
#[derive(Default)]
struct Servers {
    named: Vec<OwnedServerName>,
    passed_over: Vec<PassedOver>,
}

/// How many servers that are not asked are told of.
const MAX_PASSED_OVER: usize = 100;
/// How much of each of them, in bytes.
const MAX_PASSED_OVER_BYTES: usize = 255;

impl Servers {
    /// The servers in a query.
    ///
    /// DEVIATION: MSC4156 has a server ignore `server_name` where there is a `via`. Clients that send both send the same names,
    /// and whoever sends different ones knows more servers, of which the knocking server asks one after the other.
    fn of_query(query: &str) -> Self {
        let mut servers = Self::default();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded_name = decoded_in_query(name).unwrap_or_default();
            match &*decoded_name {
                name @ ("via" | "server_name") => servers.take(name, value, decoded_in_query(value).as_deref()),
                // As some libraries write a list.
                name if name
                    .strip_suffix(']')
                    .is_some_and(|name| name.starts_with("via[") || name.starts_with("server_name[")) =>
                {
                    servers.pass_over(name, value, WhyPassedOver::Name);
                }
                _ => {}
            }
        }
        servers
    }

    /// Takes a server, by the text in the query and what it stands for.
    fn take(&mut self, name: &str, value: &str, decoded: Option<&str>) {
        let Some(decoded) = decoded else { return self.pass_over(name, value, WhyPassedOver::Encoding) };
        let why = match ServerName::parse(decoded) {
            Err(_) => WhyPassedOver::Malformed,
            // It is asked: clients name servers under both names.
            Ok(server) if self.named.iter().any(|known| *known == server) => return,
            Ok(_) if self.named.len() == MAX_VIA => WhyPassedOver::TooMany,
            Ok(server) => return self.named.push(server.into_owned()),
        };
        self.pass_over(name, value, why);
    }

    fn pass_over(&mut self, name: &str, value: &str, why: WhyPassedOver) {
        if self.passed_over.len() < MAX_PASSED_OVER {
            let (name, value) = (beginning(name), beginning(value));
            self.passed_over.push(PassedOver { name, value, why });
        }
    }
}

/// The first characters of a text, of no more than [`MAX_PASSED_OVER_BYTES`].
fn beginning(text: &str) -> String {
    let end = (0..=MAX_PASSED_OVER_BYTES.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default().to_owned()
}
