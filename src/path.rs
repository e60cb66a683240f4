//! Paths and queries of the federation endpoints.

use std::borrow::Cow;

use crate::error::PathError;
use crate::id::{MAX_ID_BYTES, RoomId, ServerName};
use crate::uri::{decoded, decoded_in_query};
use crate::wire::HttpRequest;

/// The longest query that is read, in bytes.
const MAX_QUERY_BYTES: usize = 65_536;
/// The most values of a name in a query that are read.
const MAX_VALUES: usize = 100;
/// The most bytes that an identifier can have in a path.
const MAX_ENCODED_ID_BYTES: usize = MAX_ID_BYTES * 3;

/// A path `/_matrix/federation/{api}/{endpoint}/{roomId}/{last}`, percent-decoded.
pub(crate) struct Path<'q> {
    pub(crate) api: &'q str,
    /// In the grammar of room IDs.
    pub(crate) room_id: Cow<'q, str>,
    pub(crate) last: Cow<'q, str>,
}

/// Reads a request to this endpoint of one of these versions of the API.
pub(crate) fn parse<'q>(
    method: &str,
    endpoint: &str,
    apis: &[&str],
    request: HttpRequest<'q>,
) -> Result<Path<'q>, PathError> {
    let mut parts = request.path.strip_prefix("/_matrix/federation/").ok_or(PathError::NoSuchEndpoint)?.split('/');
    let parts = [parts.next(), parts.next(), parts.next(), parts.next(), parts.next()];
    let [Some(api), Some(name), Some(room_id), Some(last), None] = parts else { return Err(PathError::NoSuchEndpoint) };
    if name != endpoint || !apis.contains(&api) {
        return Err(PathError::NoSuchEndpoint);
    }
    if request.method != method {
        return Err(PathError::Method);
    }
    if request.query.len() > MAX_QUERY_BYTES || room_id.len().max(last.len()) > MAX_ENCODED_ID_BYTES {
        return Err(PathError::UriTooLong);
    }
    let room_id = decoded(room_id).ok_or(PathError::Encoding)?;
    let last = decoded(last).ok_or(PathError::Encoding)?;
    RoomId::parse(&room_id).map_err(|_| PathError::RoomId)?;
    Ok(Path { api, room_id, last })
}

/// A request with an event to a path of a room and an event ID, authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EventRequest<'q> {
    /// In the grammar of room IDs.
    pub(crate) room_id: Cow<'q, str>,
    pub(crate) event_id: Cow<'q, str>,
    /// In the grammar of server names.
    pub(crate) origin: Cow<'q, str>,
    pub(crate) body: Cow<'q, str>,
}

impl<'q> EventRequest<'q> {
    pub(crate) fn new(room_id: RoomId<'q>, event_id: Cow<'q, str>, origin: ServerName<'q>, body: Cow<'q, str>) -> Self {
        Self { room_id: room_id.as_str().into(), event_id, origin: origin.as_str().into(), body }
    }

    pub(crate) fn of_path(path: Path<'q>, origin: ServerName<'q>, body: &'q str) -> Self {
        Self { room_id: path.room_id, event_id: path.last, origin: origin.as_str().into(), body: body.into() }
    }

    pub(crate) fn into_owned(self) -> EventRequest<'static> {
        EventRequest {
            room_id: self.room_id.into_owned().into(),
            event_id: self.event_id.into_owned().into(),
            origin: self.origin.into_owned().into(),
            body: self.body.into_owned().into(),
        }
    }
}

/// The values of this name in a query, percent-decoded, without those that cannot be.
pub(crate) fn values<'q>(name: &str, query: &'q str) -> Result<Vec<Cow<'q, str>>, PathError> {
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let named = pairs.filter(|(key, _)| decoded_in_query(key).is_some_and(|key| key == name));
    let values: Vec<_> = named.map(|(_, value)| value).take(MAX_VALUES.saturating_add(1)).collect();
    if values.len() > MAX_VALUES {
        return Err(PathError::UriTooLong);
    }
    Ok(values.into_iter().filter_map(decoded_in_query).collect())
}
