//! What a machine wants of the host, and what the host gives it: the loop that drives a knock, the leave that takes it back,
//! and whatever else takes several requests to other servers.
//!
//! The loop is the same for every [`Machine`]: ask what it wants, do it, give what came of it, until it has ended. Nothing in
//! here sends, signs, waits or looks at a clock.
//!
//! # Examples
//!
//! A host writes the loop once:
//!
//! ```
//! use matrix_knock::event::{Keys, Sign, Verify};
//! use matrix_knock::machine::{Machine, Reply, Request, Want};
//! use matrix_knock::wire::HttpResponse;
//!
//! async fn drive<M: Machine>(
//!     machine: &mut M,
//!     signer: &impl Sign,
//!     verifier: &impl Verify,
//!     send: impl AsyncFn(Request) -> Option<(u16, String)>,
//!     find: impl AsyncFn(String, String) -> Box<dyn Keys>,
//!     now: impl Fn() -> u64,
//! ) -> M::Outcome {
//!     loop {
//!         if let Some(outcome) = machine.outcome() {
//!             return outcome;
//!         }
//!         let (ticket, want) = machine.want();
//!         // What is asked for is given, so it is taken. Store the machine here, to go on after a restart.
//!         let _taken = match want {
//!             Want::Request(request) => match send(request).await {
//!                 Some((status, body)) => machine.reply(ticket, HttpResponse::new(status, &body).into(), now()),
//!                 None => machine.reply(ticket, Reply::None, now()),
//!             },
//!             Want::Sign(bytes) => {
//!                 let signature = signer.sign(bytes.as_bytes());
//!                 machine.signature(ticket, signer.key_id(), &signature)
//!             }
//!             Want::Keys(wanted) => {
//!                 let mut found = Vec::new();
//!                 for (server, key_ids) in wanted {
//!                     for key_id in key_ids {
//!                         found.push(find(server.to_string(), key_id).await);
//!                     }
//!                 }
//!                 machine.keys(ticket, found.as_slice(), verifier, now()).map(drop)
//!             }
//!             Want::Ended => Ok(()),
//!         };
//!     }
//! }
//! ```

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::error::ErrorBody;
use crate::event::{Keys, SignedEvent, Verify};
use crate::id::{KeyId, OwnedRoomId, OwnedServerName, OwnedUserId};
use crate::json::push_string;
use crate::room_version::RoomVersion;
use crate::uri::encoded;
use crate::wire::{BuiltRequest, HttpResponse};

/// A sequence of requests to other servers, driven by the host.
///
/// A machine can be stored at any point (serde) and goes on where it was; asking again for what was asked for does no harm.
pub trait Machine {
    /// How it ends.
    type Outcome;
    /// What came of the keys that were found.
    type Verified;

    /// Returns what is wanted now, and the ticket to give back with it.
    fn want(&self) -> (Ticket, Want<'_>);

    /// Feeds the response to the pending request into the machine. `now` is the time in milliseconds since the Unix epoch: that
    /// of the event that comes of it.
    ///
    /// # Errors
    ///
    /// [`NotTaken::NotAsked`] if no request is asked for under this ticket.
    fn reply(&mut self, ticket: Ticket, reply: Reply<'_>, now: u64) -> Result<(), NotTaken>;

    /// Feeds the signature into the machine, and the ID of the key that made it.
    ///
    /// # Errors
    ///
    /// [`NotTaken::NotAsked`] if no signature is asked for under this ticket.
    fn signature(&mut self, ticket: Ticket, key_id: KeyId<'_>, signature: &[u8; 64]) -> Result<(), NotTaken>;

    /// Feeds the keys that were found into the machine. Keys that cannot be had are no reason to wait. `now` is the time in
    /// milliseconds since the Unix epoch.
    ///
    /// # Errors
    ///
    /// [`NotTaken::NotAsked`] if no keys are asked for under this ticket.
    fn keys(
        &mut self,
        ticket: Ticket,
        keys: &(impl Keys + ?Sized),
        verifier: &(impl Verify + ?Sized),
        now: u64,
    ) -> Result<Self::Verified, NotTaken>;

    /// Returns how it ended; `None` while it is under way.
    fn outcome(&self) -> Option<Self::Outcome>;
}

/// Marks one thing that was asked for, so that an answer that comes twice or late is known as such.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ticket(u32);

impl Ticket {
    pub(crate) const fn new(number: u32) -> Self {
        Self(number)
    }
}

/// An answer that is not taken. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum NotTaken {
    /// It answers something that is not asked for, or not any more.
    #[error("this is not asked for now")]
    NotAsked,
}

/// What a machine wants of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want<'a> {
    /// Send this request, and give the [`Reply`].
    Request(Request),
    /// Sign these bytes with a key of this server, and give the signature.
    Sign(&'a str),
    /// Find these keys (key IDs by server), and give what was found.
    Keys(BTreeMap<OwnedServerName, BTreeSet<String>>),
    /// Nothing more: it has ended.
    Ended,
}

/// A request to another server. It has to be authenticated (X-Matrix) as every request between servers.
///
/// A host with a typed client matches on [`endpoint`](Self::endpoint); for others there are [`method`](Self::method),
/// [`path_and_query`](Self::path_and_query) and [`body`](Self::body).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The server to ask.
    pub server: OwnedServerName,
    /// What to ask.
    pub endpoint: Endpoint,
}

/// An endpoint of the federation API with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Endpoint {
    /// `GET /_matrix/federation/v1/make_knock/{roomId}/{userId}`.
    MakeKnock {
        /// The room.
        room_id: OwnedRoomId,
        /// The user who knocks.
        user_id: OwnedUserId,
        /// Every `ver`.
        versions: Vec<RoomVersion>,
    },
    /// `PUT /_matrix/federation/v1/send_knock/{roomId}/{eventId}`.
    SendKnock {
        /// The room.
        room_id: OwnedRoomId,
        /// The body, and the event ID.
        event: SignedEvent,
    },
    /// `GET /_matrix/federation/v1/make_leave/{roomId}/{userId}`.
    MakeLeave {
        /// The room.
        room_id: OwnedRoomId,
        /// The user who leaves.
        user_id: OwnedUserId,
    },
    /// `PUT /_matrix/federation/v2/send_leave/{roomId}/{eventId}`.
    SendLeave {
        /// The room.
        room_id: OwnedRoomId,
        /// The body, and the event ID.
        event: SignedEvent,
    },
    /// `PUT /_matrix/federation/v2/invite/{roomId}/{eventId}`.
    Invite {
        /// The room.
        room_id: OwnedRoomId,
        /// Its version.
        room_version: RoomVersion,
        /// The event, and its ID.
        event: SignedEvent,
        /// What the user is shown of the room: whole events, each a JSON object.
        invite_room_state: Vec<String>,
    },
}

impl Request {
    /// Returns the method: `GET` or `PUT`.
    #[must_use]
    pub const fn method(&self) -> &'static str {
        match self.endpoint {
            Endpoint::MakeKnock { .. } | Endpoint::MakeLeave { .. } => "GET",
            Endpoint::SendKnock { .. } | Endpoint::SendLeave { .. } | Endpoint::Invite { .. } => "PUT",
        }
    }

    /// Returns the path, percent-encoded.
    #[must_use]
    pub fn path(&self) -> String {
        let (name, room_id, last) = match &self.endpoint {
            Endpoint::MakeKnock { room_id, user_id, .. } => ("v1/make_knock", room_id, user_id.as_str()),
            Endpoint::SendKnock { room_id, event } => ("v1/send_knock", room_id, event.event_id()),
            Endpoint::MakeLeave { room_id, user_id } => ("v1/make_leave", room_id, user_id.as_str()),
            Endpoint::SendLeave { room_id, event } => ("v2/send_leave", room_id, event.event_id()),
            Endpoint::Invite { room_id, event, .. } => ("v2/invite", room_id, event.event_id()),
        };
        format!("/_matrix/federation/{name}/{}/{}", encoded(room_id.as_str()), encoded(last))
    }

    /// Returns the query, percent-encoded, without its `?`; empty if there is none.
    #[must_use]
    pub fn query(&self) -> String {
        match &self.endpoint {
            Endpoint::MakeKnock { versions, .. } => {
                versions.iter().map(|version| format!("ver={version}")).collect::<Vec<_>>().join("&")
            }
            Endpoint::SendKnock { .. }
            | Endpoint::MakeLeave { .. }
            | Endpoint::SendLeave { .. }
            | Endpoint::Invite { .. } => String::new(),
        }
    }

    /// Returns path and query in one, as they stand in the first line of a request.
    #[must_use]
    pub fn path_and_query(&self) -> String {
        self.to_http().path_and_query()
    }

    /// Returns the body, a JSON object; `None` for a `GET`.
    #[must_use]
    pub fn body(&self) -> Option<Cow<'_, str>> {
        match &self.endpoint {
            Endpoint::MakeKnock { .. } | Endpoint::MakeLeave { .. } => None,
            Endpoint::SendKnock { event, .. } | Endpoint::SendLeave { event, .. } => Some(event.text().into()),
            Endpoint::Invite { room_version, event, invite_room_state, .. } => {
                let (event, state) = (event.text(), invite_room_state.join(","));
                let mut body = format!(r#"{{"event":{event},"invite_room_state":[{state}],"room_version":"#);
                push_string(&mut body, room_version.as_str());
                body.push('}');
                Some(body.into())
            }
        }
    }

    /// Returns the request as it goes out, without the server and without authentication.
    #[must_use]
    pub fn to_http(&self) -> BuiltRequest {
        BuiltRequest {
            method: self.method(),
            path: self.path(),
            query: self.query(),
            body: self.body().map(Cow::into_owned),
        }
    }
}

/// What came of a request: as it came, or by its parts for a host with a typed client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply<'a> {
    /// An HTTP response. A host may cut the body off behind 8 MiB.
    Response(HttpResponse<'a>),
    /// The answer to `make_knock` or `make_leave`.
    Template {
        /// The `room_version`.
        room_version: Option<&'a str>,
        /// The `event`, a JSON object.
        event: &'a str,
    },
    /// The answer to `send_knock` or `send_leave`: the event is accepted.
    Accepted {
        /// The entries of the `knock_room_state`, each a JSON object; none for a leave.
        knock_room_state: &'a [&'a str],
    },
    /// The answer to an invite.
    Invited {
        /// The `event`, a JSON object.
        event: &'a str,
    },
    /// An error.
    Error(ErrorReply<'a>),
    /// None: the server was not reached, or did not answer in time.
    None,
}

/// An error of another server by its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorReply<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The `errcode`.
    pub errcode: Option<&'a str>,
    /// The `error`: a text for people.
    pub error: Option<&'a str>,
    /// The `room_version` of an `M_INCOMPATIBLE_ROOM_VERSION`.
    pub room_version: Option<&'a str>,
    /// Milliseconds, by the header `Retry-After` or the body.
    pub retry_after_ms: Option<u64>,
    /// The body itself, a JSON object, for the properties that the others are not.
    pub body: Option<&'a str>,
}

impl ErrorReply<'_> {
    pub(crate) fn to_body(self) -> ErrorBody {
        let Self { errcode, error, room_version, retry_after_ms, body, .. } = self;
        ErrorBody::of_parts(errcode, error, room_version, retry_after_ms, body)
    }
}

impl<'a> From<HttpResponse<'a>> for Reply<'a> {
    fn from(response: HttpResponse<'a>) -> Self {
        Self::Response(response)
    }
}
