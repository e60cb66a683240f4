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
    reason: Option<String>,
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
        Ok(Self {
            room_id_or_alias: room_id_or_alias.into_owned(),
            via: servers(via),
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
        Ok(Self { room_id_or_alias: room.identifier()?, via: via(request.query), reason })
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

/// The servers in a query.
///
/// DEVIATION: MSC4156 has a server ignore `server_name` where there is a `via`. Clients that send both send the same names, and
/// whoever sends different ones knows more servers, of which the knocking server asks one after the other.
fn via(query: &str) -> Vec<OwnedServerName> {
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let named = pairs.filter(|(name, _)| matches!(decoded_in_query(name).as_deref(), Some("via" | "server_name")));
    servers(named.filter_map(|(_, server)| decoded_in_query(server)))
}

/// Servers without those that are malformed, repeated or too many.
fn servers(names: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<OwnedServerName> {
    let mut servers: Vec<OwnedServerName> = Vec::new();
    for name in names {
        if servers.len() == MAX_VIA {
            break;
        }
        let Ok(name) = ServerName::parse(name.as_ref()) else { continue };
        if !servers.iter().any(|known| *known == name) {
            servers.push(name.into_owned());
        }
    }
    servers
}
