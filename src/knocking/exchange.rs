//! What the asking server does to have its knock, or the leave that takes it back, sent into the room by another server: the part that
//! both have in common.

use serde::{Deserialize, Serialize};

use crate::error::{Errcode, ErrorBody, ErrorResponse};
use crate::event::{Draft, MAX_EVENT_BYTES, SignedEvent};
use crate::id::{RoomId, ServerName, UserId};
use crate::room_version::RoomVersion;
use crate::template::{CheckedTemplate, Details, Expected};
use crate::uri::encoded;

/// The most servers that are asked.
pub const MAX_SERVERS: usize = 20;

/// A request to another server. It has to be signed (`X-Matrix`) as every request between servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The name of the server to ask.
    pub server: String,
    /// `GET` or `PUT`.
    pub method: &'static str,
    /// The path and the query, percent-encoded.
    pub path_and_query: String,
    /// The body, a JSON object.
    pub body: Option<String>,
}

/// Marks one thing that was asked for, so that an answer that comes twice or late is known as such.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ticket(u32);

/// An answer that is not taken. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NotTaken {
    /// It answers something that is not asked for (any more).
    #[error("this is not asked for now")]
    NotAsked,
    /// The key ID is not `ed25519:` and a version.
    #[error("not a key ID")]
    KeyId,
}

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply<'a> {
    /// An HTTP response. A host may cut the body off behind 8 MiB.
    Response {
        /// Its status.
        status: u16,
        /// Its body, as text; what is no UTF-8 may be given as an empty text.
        body: &'a str,
    },
    /// None: the server was not reached, or did not answer in time.
    None,
}

/// What ends a knock without success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Failure {
    /// There is no server to ask.
    #[error("no server to ask")]
    NoServers,
    /// None of the versions that the host supports has knocking.
    #[error("no room version with knocking to offer")]
    NoVersions,
    /// The event would have more than 65,536 bytes: the reason or the name is too long.
    #[error("the event would be too large")]
    TooLarge,
    /// The room has a version that was not offered.
    #[error("the room has version `{room_version}`")]
    IncompatibleRoomVersion {
        /// The version, as the resident server names it.
        room_version: String,
    },
    /// A server did not allow it.
    #[error("not allowed")]
    Forbidden,
    /// Too many requests.
    #[error("rate limited")]
    RateLimited {
        /// Milliseconds, if the server said so.
        retry_after_ms: Option<u64>,
    },
    /// The room is not known.
    #[error("unknown room")]
    NotFound,
    /// No server gave an answer of any use.
    #[error("no useful answer")]
    NoAnswer,
}

impl Failure {
    /// The answer to the client.
    #[must_use]
    pub fn to_response(&self) -> ErrorResponse {
        match self {
            Self::NoServers => ErrorResponse::new(Errcode::NotFound, "No server is known that is in the room"),
            Self::NoVersions => ErrorResponse::new(Errcode::Forbidden, "This server does not have knocking"),
            Self::TooLarge => ErrorResponse::new(Errcode::TooLarge, "The reason or the name is too long"),
            Self::IncompatibleRoomVersion { room_version } => {
                ErrorResponse::incompatible_room_version(room_version.clone())
            }
            Self::Forbidden => ErrorResponse::new(Errcode::Forbidden, "The room does not allow it"),
            Self::RateLimited { retry_after_ms } => ErrorResponse::limit_exceeded(*retry_after_ms),
            Self::NotFound => ErrorResponse::new(Errcode::NotFound, "Unknown room"),
            Self::NoAnswer => ErrorResponse::new(Errcode::Unknown, "No server of the room could be asked"),
        }
    }

    /// Which of the failures of several servers the client is told: the lowest.
    const fn rank(&self) -> u8 {
        match self {
            Self::NoServers | Self::NoVersions | Self::TooLarge | Self::IncompatibleRoomVersion { .. } => 0,
            Self::Forbidden => 1,
            Self::RateLimited { .. } => 2,
            Self::NotFound => 3,
            Self::NoAnswer => 4,
        }
    }
}

/// What the exchange is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Purpose {
    /// A knock, on a room of one of these versions.
    Knock(Vec<RoomVersion>),
    /// A leave from a room of this version.
    Leave(RoomVersion),
}

/// A handshake under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Exchange {
    purpose: Purpose,
    room_id: String,
    user_id: String,
    details: Details,
    servers: Vec<String>,
    /// The position of the server that is asked.
    server: usize,
    state: State,
    ticket: u32,
    /// The failure to tell if all servers fail.
    failure: Option<Failure>,
    /// The first server that was sent the event and did not say what became of it.
    silent: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    Making,
    Signing { version: RoomVersion, draft: Draft },
    Sending { version: RoomVersion, event: SignedEvent },
    Accepted { version: RoomVersion, event: SignedEvent },
    Failed(Failure, Option<(RoomVersion, SignedEvent)>),
}

/// What the exchange waits for.
pub(super) enum Wants<'a> {
    Request(Request),
    Signature(&'a str),
    Nothing(Ended<'a>),
}

/// How the exchange ended, and with which server.
pub(super) enum Ended<'a> {
    Accepted { server: &'a str, version: RoomVersion, event: &'a SignedEvent },
    Failed { failure: &'a Failure, perhaps: Option<(&'a str, RoomVersion, &'a SignedEvent)> },
}

impl Exchange {
    /// `servers` in the order in which they are asked: malformed names, this server itself and repeated ones are passed over, and
    /// so is what is beyond [`MAX_SERVERS`].
    pub(super) fn new<'s>(
        purpose: Purpose,
        room_id: RoomId<'_>,
        user_id: UserId<'_>,
        servers: impl IntoIterator<Item = &'s str>,
        details: Details,
    ) -> Self {
        let mut asked: Vec<String> = Vec::new();
        for server in servers {
            let is_new = server != user_id.server_name().as_str() && !asked.iter().any(|known| known == server);
            if is_new && asked.len() < MAX_SERVERS && ServerName::parse(server).is_ok() {
                asked.push(server.to_owned());
            }
        }
        let state = if asked.is_empty() { State::Failed(Failure::NoServers, None) } else { State::Making };
        Self {
            purpose,
            room_id: room_id.as_str().to_owned(),
            user_id: user_id.as_str().to_owned(),
            details,
            servers: asked,
            server: 0,
            state,
            ticket: 0,
            failure: None,
            silent: None,
        }
    }

    pub(super) fn room_id(&self) -> &str {
        &self.room_id
    }

    pub(super) fn user_id(&self) -> &str {
        &self.user_id
    }

    pub(super) const fn ticket(&self) -> Ticket {
        Ticket(self.ticket)
    }

    pub(super) fn wants(&self) -> Wants<'_> {
        let server = self.name(self.server);
        match &self.state {
            State::Making => Wants::Request(self.make_request(server)),
            State::Signing { draft, .. } => Wants::Signature(draft.message()),
            State::Sending { event, .. } => Wants::Request(self.send_request(server, event)),
            State::Accepted { version, event } => Wants::Nothing(Ended::Accepted { server, version: *version, event }),
            State::Failed(failure, sent) => {
                let silent = self.silent.map(|silent| self.name(silent));
                let perhaps = sent.as_ref().zip(silent).map(|((version, event), server)| (server, *version, event));
                Wants::Nothing(Ended::Failed { failure, perhaps })
            }
        }
    }

    /// Takes what came of the request. `now` is the time in milliseconds since the Unix epoch.
    pub(super) fn reply(&mut self, ticket: Ticket, reply: Reply<'_>, now: u64) -> Result<(), NotTaken> {
        self.check(ticket)?;
        match &self.state {
            State::Making => self.made(reply, now),
            State::Sending { .. } => self.sent(reply),
            State::Signing { .. } | State::Accepted { .. } | State::Failed(..) => return Err(NotTaken::NotAsked),
        }
        self.ticket = self.ticket.wrapping_add(1);
        Ok(())
    }

    /// Takes the signature.
    pub(super) fn signature(&mut self, ticket: Ticket, key_id: &str, signature: &[u8; 64]) -> Result<(), NotTaken> {
        self.check(ticket)?;
        let State::Signing { version, draft } = &self.state else { return Err(NotTaken::NotAsked) };
        let user_id = UserId::parse(&self.user_id).map_err(|_| NotTaken::NotAsked)?;
        let signed = draft.clone().sign(*version, user_id.server_name(), key_id, signature);
        // Of the event itself nothing can be wrong: it was written here.
        let signed = signed.map_err(|_| NotTaken::KeyId)?;
        self.state = match signed.text().len() {
            0..=MAX_EVENT_BYTES => State::Sending { version: *version, event: signed },
            _ => State::Failed(Failure::TooLarge, None),
        };
        self.ticket = self.ticket.wrapping_add(1);
        Ok(())
    }

    fn check(&self, ticket: Ticket) -> Result<(), NotTaken> {
        if ticket == self.ticket() { Ok(()) } else { Err(NotTaken::NotAsked) }
    }

    fn made(&mut self, reply: Reply<'_>, now: u64) {
        let Reply::Response { status, body } = reply else { return self.next_server(Failure::NoAnswer) };
        if status != 200 {
            return match self.failed(status, body) {
                failure @ Failure::IncompatibleRoomVersion { .. } => self.state = State::Failed(failure, None),
                failure => self.next_server(failure),
            };
        }
        let (Ok(room_id), Ok(user_id)) = (RoomId::parse(&self.room_id), UserId::parse(&self.user_id)) else {
            return self.next_server(Failure::NoAnswer);
        };
        let asked = match &self.purpose {
            Purpose::Knock(offered) => Expected::Knock(offered),
            Purpose::Leave(version) => Expected::Leave(*version),
        };
        let Ok(proposed) = CheckedTemplate::read(asked, room_id, user_id, body) else {
            return self.next_server(Failure::NoAnswer);
        };
        let event = proposed.to_event(&self.details, user_id.server_name(), now);
        self.state = match Draft::prepare(proposed.version(), &event) {
            Ok(_) if event.len() > MAX_EVENT_BYTES => State::Failed(Failure::TooLarge, None),
            Ok(draft) => State::Signing { version: proposed.version(), draft },
            // Of what this crate has written itself.
            Err(_) => State::Failed(Failure::NoAnswer, None),
        };
    }

    fn sent(&mut self, reply: Reply<'_>) {
        let State::Sending { version, event } = &self.state else { return };
        let (version, event) = (*version, event.clone());
        match reply {
            Reply::Response { status: 200, .. } => self.state = State::Accepted { version, event },
            // 408: something on the way has lost patience, as without an answer.
            Reply::Response { status: status @ 400..=499, body } if status != 408 => {
                let failure = match self.failed(status, body) {
                    // The versions were settled before.
                    Failure::IncompatibleRoomVersion { .. } => Failure::NoAnswer,
                    failure => failure,
                };
                self.state = State::Failed(failure, Some((version, event)));
            }
            Reply::Response { .. } | Reply::None => {
                self.silent = self.silent.or(Some(self.server));
                self.next_server(Failure::NoAnswer);
            }
        }
    }

    /// Asks the next server the same, or ends.
    fn next_server(&mut self, failure: Failure) {
        let worse = self.failure.as_ref().is_none_or(|known| failure.rank() < known.rank());
        if worse {
            self.failure = Some(failure);
        }
        self.server = self.server.saturating_add(1);
        if self.server < self.servers.len() {
            return;
        }
        self.server = self.servers.len().saturating_sub(1);
        let sent = match &self.state {
            State::Sending { version, event } => Some((*version, event.clone())),
            State::Making | State::Signing { .. } | State::Accepted { .. } | State::Failed(..) => None,
        };
        // What servers said to `make_knock` counts no longer once one of them has made a template.
        let told = if sent.is_some() { None } else { self.failure.take() };
        self.state = State::Failed(told.unwrap_or(Failure::NoAnswer), sent);
    }

    /// What a status and an error body come to.
    fn failed(&self, status: u16, body: &str) -> Failure {
        match status {
            400 => match (ErrorBody::read(body), &self.purpose) {
                (
                    ErrorBody { errcode: Some(errcode), room_version: Some(room_version), .. },
                    Purpose::Knock(offered),
                ) if errcode == Errcode::IncompatibleRoomVersion.as_str()
                        // A server that has what was offered contradicts itself.
                        && !offered.iter().any(|version| version.as_str() == room_version) =>
                {
                    Failure::IncompatibleRoomVersion { room_version }
                }
                _ => Failure::NoAnswer,
            },
            403 => Failure::Forbidden,
            404 => Failure::NotFound,
            429 => Failure::RateLimited { retry_after_ms: ErrorBody::read(body).retry_after_ms },
            _ => Failure::NoAnswer,
        }
    }

    fn make_request(&self, server: &str) -> Request {
        let (endpoint, query) = match &self.purpose {
            Purpose::Knock(versions) => {
                let query: Vec<String> = versions.iter().map(|version| format!("ver={version}")).collect();
                ("make_knock", format!("?{}", query.join("&")))
            }
            Purpose::Leave(_) => ("make_leave", String::new()),
        };
        let (room_id, user_id) = (encoded(&self.room_id), encoded(&self.user_id));
        Request {
            server: server.to_owned(),
            method: "GET",
            path_and_query: format!("/_matrix/federation/v1/{endpoint}/{room_id}/{user_id}{query}"),
            body: None,
        }
    }

    fn send_request(&self, server: &str, event: &SignedEvent) -> Request {
        let endpoint = match &self.purpose {
            Purpose::Knock(_) => "v1/send_knock",
            Purpose::Leave(_) => "v2/send_leave",
        };
        let (room_id, event_id) = (encoded(&self.room_id), encoded(event.event_id()));
        Request {
            server: server.to_owned(),
            method: "PUT",
            path_and_query: format!("/_matrix/federation/{endpoint}/{room_id}/{event_id}"),
            body: Some(event.text().to_owned()),
        }
    }

    fn name(&self, server: usize) -> &str {
        self.servers.get(server).map(String::as_str).unwrap_or_default()
    }
}
