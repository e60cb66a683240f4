//! How the knocking server has a knock, or the leave that takes it back, sent into the room by another server: the part that
//! both have in common.

use serde::{Deserialize, Serialize};

use super::failure::{Failure, Said};
use crate::error::{Errcode, ErrorBody};
use crate::event::{Draft, MAX_SUBMITTED_BYTES, SignedEvent};
use crate::id::{KeyId, OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, ServerName, UserId};
use crate::json::{Reader, push_string};
use crate::machine::{Endpoint, NotTaken, Reply, Request, Ticket};
use crate::room_version::RoomVersion;
use crate::template::{CheckedTemplate, Details, Expected, MAX_TEMPLATE_BYTES};
use crate::wire::HttpResponse;

/// The most servers that are asked.
pub const MAX_SERVERS: usize = 20;

/// What the exchange is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Purpose {
    /// A knock, on a room of one of these versions.
    Knock(Vec<RoomVersion>),
    /// A leave from a room of one of these versions.
    Leave(Vec<RoomVersion>),
}

/// An exchange under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exchange {
    pub(super) purpose: Purpose,
    pub(super) room_id: OwnedRoomId,
    pub(super) user_id: OwnedUserId,
    pub(super) details: Details,
    pub(super) servers: Vec<OwnedServerName>,
    /// The position of the server that is asked. There is one, unless the exchange failed before it began.
    pub(super) server: usize,
    pub(super) state: State,
    pub(super) ticket: u32,
    /// The failure to tell if all servers fail.
    pub(super) failure: Option<Told>,
    /// The first server that was sent the event and did not say what became of it.
    pub(super) silent: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    Making,
    Signing { version: RoomVersion, draft: Draft },
    Sending(Sent),
    Accepted(Sent),
    Failed(Told, Option<Sent>),
}

/// A failure, and what the server said whose failure it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) failure: Failure,
    pub(super) said: Said,
}

impl From<Failure> for Told {
    fn from(failure: Failure) -> Self {
        Self { failure, said: Said::default() }
    }
}

/// An event that is made and signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) version: RoomVersion,
    pub(super) event: SignedEvent,
}

/// What the exchange waits for.
pub(super) enum Wants<'a> {
    Request(Request),
    Signature(&'a str),
    Nothing(Ended<'a>),
}

/// How the exchange ended, and with which server.
pub(super) enum Ended<'a> {
    Accepted { server: ServerName<'a>, sent: &'a Sent },
    Failed { told: &'a Told, perhaps: Option<(ServerName<'a>, &'a Sent)> },
}

impl Exchange {
    /// `servers` in the order in which they are asked: this server itself and repeated ones are ignored, and so is what is
    /// beyond [`MAX_SERVERS`].
    pub(super) fn new<'s>(
        purpose: Purpose,
        room_id: RoomId<'_>,
        user_id: UserId<'_>,
        servers: impl IntoIterator<Item = ServerName<'s>>,
        details: Details,
    ) -> Self {
        let mut asked: Vec<OwnedServerName> = Vec::new();
        for server in servers {
            let is_new = server != user_id.server_name() && !asked.iter().any(|known| *known == server);
            if is_new && asked.len() < MAX_SERVERS {
                asked.push(server.into_owned());
            }
        }
        let state = if asked.is_empty() { State::Failed(Failure::NoServers.into(), None) } else { State::Making };
        Self {
            purpose,
            room_id: room_id.into_owned(),
            user_id: user_id.into_owned(),
            details,
            servers: asked,
            server: 0,
            state,
            ticket: 0,
            failure: None,
            silent: None,
        }
    }

    pub(super) const fn room_id(&self) -> RoomId<'_> {
        self.room_id.as_borrowed()
    }

    pub(super) const fn user_id(&self) -> UserId<'_> {
        self.user_id.as_borrowed()
    }

    pub(super) const fn ticket(&self) -> Ticket {
        Ticket::new(self.ticket)
    }

    pub(super) fn wants(&self) -> Wants<'_> {
        match &self.state {
            State::Making => Wants::Request(self.request(self.make())),
            State::Signing { draft, .. } => Wants::Signature(draft.message()),
            State::Sending(sent) => Wants::Request(self.request(self.send(sent))),
            State::Accepted(sent) => Wants::Nothing(Ended::Accepted { server: self.name(self.server), sent }),
            State::Failed(told, _) => Wants::Nothing(Ended::Failed { told, perhaps: self.sent() }),
        }
    }

    /// The event, once it is on its way or accepted, and the server that has it.
    pub(super) fn sent(&self) -> Option<(ServerName<'_>, &Sent)> {
        match &self.state {
            State::Sending(sent) | State::Accepted(sent) => Some((self.name(self.server), sent)),
            State::Failed(_, sent) => sent.as_ref().zip(self.silent).map(|(sent, silent)| (self.name(silent), sent)),
            State::Making | State::Signing { .. } => None,
        }
    }

    /// Takes what came of the request. `now` is the time in milliseconds since the Unix epoch.
    pub(super) fn reply(&mut self, ticket: Ticket, reply: Reply<'_>, now: u64) -> Result<(), NotTaken> {
        self.check(ticket)?;
        match &self.state {
            State::Making => self.made(reply, now),
            State::Sending(sent) => {
                let sent = sent.clone();
                self.answered(sent, reply);
            }
            State::Signing { .. } | State::Accepted(_) | State::Failed(..) => return Err(NotTaken::NotAsked),
        }
        self.ticket = self.ticket.wrapping_add(1);
        Ok(())
    }

    /// Takes the signature.
    pub(super) fn signature(
        &mut self,
        ticket: Ticket,
        key_id: KeyId<'_>,
        signature: &[u8; 64],
    ) -> Result<(), NotTaken> {
        self.check(ticket)?;
        let State::Signing { version, draft } = &self.state else { return Err(NotTaken::NotAsked) };
        let version = *version;
        let event = draft.clone().sign(self.user_id().server_name(), key_id, signature);
        self.state = match event.text().len() {
            0..=MAX_SUBMITTED_BYTES => State::Sending(Sent { version, event }),
            _ => State::Failed(Failure::TooLarge.into(), None),
        };
        self.ticket = self.ticket.wrapping_add(1);
        Ok(())
    }

    fn check(&self, ticket: Ticket) -> Result<(), NotTaken> {
        if ticket == self.ticket() { Ok(()) } else { Err(NotTaken::NotAsked) }
    }

    fn made(&mut self, reply: Reply<'_>, now: u64) {
        let made = match reply {
            Reply::Response(HttpResponse { status: 200, body, .. }) => self.template(body),
            Reply::Template { room_version, event } => {
                template_response(room_version, event).map_err(Told::from).and_then(|body| self.template(&body))
            }
            Reply::Response(response) => Err(self.not_made(response.status, ErrorBody::of_response(response))),
            Reply::Error(error) => Err(self.not_made(error.status, error.to_body())),
            Reply::Accepted { .. } | Reply::Invited { .. } | Reply::None => Err(Failure::NoAnswer.into()),
        };
        let template = match made {
            Ok(template) => template,
            Err(told) if matches!(told.failure, Failure::IncompatibleRoomVersion { .. }) => {
                return self.state = State::Failed(told, None);
            }
            Err(told) => return self.next_server(told),
        };
        let version = template.version();
        let event = template.to_event(&self.details, self.user_id().server_name(), now);
        self.state = match Draft::prepare(version, &event) {
            Ok(_) if event.len() > MAX_SUBMITTED_BYTES => State::Failed(Failure::TooLarge.into(), None),
            Ok(draft) => State::Signing { version, draft },
            // Of what this crate has written itself.
            Err(_) => State::Failed(Failure::NoAnswer.into(), None),
        };
    }

    fn template(&self, body: &str) -> Result<CheckedTemplate, Told> {
        let expected = match &self.purpose {
            Purpose::Knock(offered) => Expected::Knock(offered),
            Purpose::Leave(versions) => Expected::Leave(versions),
        };
        CheckedTemplate::read(expected, self.room_id(), self.user_id(), body).map_err(|_| Failure::NoAnswer.into())
    }

    fn answered(&mut self, sent: Sent, reply: Reply<'_>) {
        let told = match reply {
            Reply::Accepted { .. } | Reply::Response(HttpResponse { status: 200, .. }) => {
                return self.state = State::Accepted(sent);
            }
            // 408: something on the way has lost patience, as without an answer.
            Reply::Response(response) if matches!(response.status, 400..=499) && response.status != 408 => {
                self.not_taken(response.status, ErrorBody::of_response(response))
            }
            Reply::Error(error) if matches!(error.status, 400..=499) && error.status != 408 => {
                self.not_taken(error.status, error.to_body())
            }
            Reply::Response(_) | Reply::Template { .. } | Reply::Invited { .. } | Reply::Error(_) | Reply::None => {
                self.silent = self.silent.or(Some(self.server));
                return self.next_server(Failure::NoAnswer.into());
            }
        };
        self.state = State::Failed(told, Some(sent));
    }

    /// Asks the next server the same, or ends.
    fn next_server(&mut self, told: Told) {
        let worse = self.failure.as_ref().is_none_or(|known| told.failure.rank() < known.failure.rank());
        if worse {
            self.failure = Some(told);
        }
        self.server = self.server.saturating_add(1);
        if self.server < self.servers.len() {
            return;
        }
        self.server = self.servers.len().saturating_sub(1);
        let sent = match &self.state {
            State::Sending(sent) => Some(sent.clone()),
            State::Making | State::Signing { .. } | State::Accepted(_) | State::Failed(..) => None,
        };
        // What servers said to `make_knock` counts no longer once one of them has made a template.
        let told = if sent.is_some() { None } else { self.failure.take() };
        let told = told.unwrap_or_else(|| Failure::NoAnswer.into());
        let failure = match told.failure {
            // That one of several servers had something against the request says nothing: as if none had answered.
            Failure::Refused { status, .. } if sent.is_none() && !matches!(status, 403 | 429) => Failure::NoAnswer,
            failure => failure,
        };
        self.state = State::Failed(Told { failure, ..told }, sent);
    }

    /// What an error in place of a template comes to.
    fn not_made(&self, status: u16, body: ErrorBody) -> Told {
        let Told { failure, said } = self.told(status, body);
        let failure = match failure {
            // Whatever it is, it is not the knock: nothing of that was sent yet.
            Failure::TooLarge => Failure::Refused { status, errcode: Some(Errcode::TooLarge) },
            failure => failure,
        };
        Told { failure, said }
    }

    /// What an error in answer to the event comes to.
    fn not_taken(&self, status: u16, body: ErrorBody) -> Told {
        let Told { failure, said } = self.told(status, body);
        let failure = match failure {
            // The versions were settled before.
            Failure::IncompatibleRoomVersion { .. } => {
                Failure::Refused { status, errcode: Some(Errcode::IncompatibleRoomVersion) }
            }
            failure => failure,
        };
        Told { failure, said }
    }

    /// What an error of another server comes to.
    fn told(&self, status: u16, body: ErrorBody) -> Told {
        let is_other = |version: &&str| match &self.purpose {
            // A server that has what was offered contradicts itself.
            Purpose::Knock(offered) => !offered.iter().any(|offered| *offered == **version),
            Purpose::Leave(_) => false,
        };
        let failure = Failure::of_error(status, &body, body.room_version.as_deref().filter(is_other));
        Told { failure, said: Said::of_error(body) }
    }

    fn make(&self) -> Endpoint {
        let (room_id, user_id) = (self.room_id.clone(), self.user_id.clone());
        match &self.purpose {
            Purpose::Knock(versions) => Endpoint::MakeKnock { room_id, user_id, versions: versions.clone() },
            Purpose::Leave(_) => Endpoint::MakeLeave { room_id, user_id },
        }
    }

    fn send(&self, sent: &Sent) -> Endpoint {
        let (room_id, event) = (self.room_id.clone(), sent.event.clone());
        match &self.purpose {
            Purpose::Knock(_) => Endpoint::SendKnock { room_id, event },
            Purpose::Leave(_) => Endpoint::SendLeave { room_id, event },
        }
    }

    fn request(&self, endpoint: Endpoint) -> Request {
        Request { server: self.name(self.server).into_owned(), endpoint }
    }

    /// The server at this position. There is one, as long as anything is asked of it.
    fn name(&self, server: usize) -> ServerName<'_> {
        let own = || self.user_id().server_name();
        self.servers.get(server).map_or_else(own, OwnedServerName::as_borrowed)
    }
}

/// The answer to `make_knock` that has these parts.
fn template_response(room_version: Option<&str>, event: &str) -> Result<String, Failure> {
    if event.len() > MAX_TEMPLATE_BYTES {
        return Err(Failure::NoAnswer);
    }
    let mut body = format!(r#"{{"event":{event}"#);
    if let Some(room_version) = room_version {
        body.push_str(r#","room_version":"#);
        push_string(&mut body, room_version);
    }
    body.push('}');
    // One value, and nothing behind it that would be taken for another part. It is read with the others.
    let value = body.strip_prefix(r#"{"event":"#).unwrap_or_default();
    if Reader::new(value).skip_unread() != Ok(event.trim_matches([' ', '\t', '\n', '\r'])) {
        return Err(Failure::NoAnswer);
    }
    Ok(body)
}
