//! The knocking server's side: a knock on a room that this server is not in, and the leave that takes it back.
//!
//! The contract of both machines in one sentence: ask what is wanted, do it, give what came of it, until it has ended.
//!
//! ```text
//!                  ┌─────── refused, silent, malformed: the next server ───────┐
//!                  ▼                                                           │
//! start ──▶ Request(make_knock) ──▶ Sign ──▶ Request(send_knock) ──▶ Keys ──▶ Ended: PendingKnock
//!                  │                              │        ▲
//!                  │ no server left,              │ 4xx,   └─ silent, 5xx: the same event to the next server
//!                  │ other room version           │ no server left
//!                  ▼                              ▼
//!                Ended: Failure                 Ended: Failure (and the knock that perhaps was accepted)
//! ```
//!
//! Nothing in here sends, signs, waits or looks at a clock. Each thing that is wanted has a [`Ticket`]; an answer to anything else
//! changes nothing. Both machines can be stored in between (serde), and go on where they were: asking again for what was
//! asked for does no harm.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#knocking-rooms>

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

mod exchange;
pub mod out_of_band;
pub mod room_state;

use self::exchange::{Ended, Exchange, Purpose, Wants};
use self::room_state::{ReceivedRoomState, VerifiedRoomState};
use crate::event::{Keys, Membership, Pdu, Verify, content};
use crate::id::{RoomId, UserId};
use crate::room_version::RoomVersion;
use crate::stripped_state::StrippedEvent;

pub use self::exchange::{Failure, MAX_SERVERS, NotTaken, Reply, Request, Ticket};
pub use crate::template::Details;

/// What this server knows of the user's own membership before the knock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OwnMembership {
    /// None, or one that came from outside of the room: an invite or a ban that may be out of date.
    OutOfBand,
    /// The one in the full state of the room: this server is in it.
    InRoom(Option<Membership>),
}

/// A user's wish to knock.
#[derive(Debug, Clone, Copy)]
pub struct Intent<'a> {
    /// On which room. An alias has to be resolved before.
    pub room_id: RoomId<'a>,
    /// Who: a user of this server.
    pub user_id: UserId<'a>,
    /// What is known of their membership.
    pub own: OwnMembership,
    /// Which servers may know the room, the best first: `via`, `server_name`, what the alias came with. At most [`MAX_SERVERS`] are asked;
    /// what is malformed, repeated or this server itself is passed over.
    pub servers: &'a [&'a str],
    /// Every room version that this server supports. Those without knocking are not offered.
    pub versions: &'a [RoomVersion],
    /// What the user says, and is.
    pub details: &'a Details,
}

/// How a knock begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// By asking other servers.
    Remote(Box<Knocking>),
    /// Right here, for this server is in the room: [`Template::knock`](crate::template::Template::knock), then as any event of
    /// this server's own.
    Local,
    /// Not at all.
    Failed(Failure),
}

/// A knock under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Knocking {
    exchange: Exchange,
    /// Since the knock was accepted: the state that came with it, and what it comes to.
    arrival: Option<Arriving>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Arriving {
    Unverified(ReceivedRoomState),
    Verified(Vec<StrippedEvent>),
}

/// What a machine wants of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want<'a> {
    /// Send this request, and give the [`Reply`].
    Request(Request),
    /// Sign these bytes with a key of this server, and give the signature.
    Sign(&'a str),
    /// Find these keys (key IDs by server), and give what was found. Those that cannot be had are no reason to wait.
    Keys(BTreeMap<String, BTreeSet<String>>),
    /// Nothing more: it has ended.
    Ended,
}

/// A knock that another server has taken into the room, and nobody has answered yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingKnock {
    room_id: String,
    user_id: String,
    version: RoomVersion,
    server: String,
    event_id: String,
    event: String,
    shown: Vec<StrippedEvent>,
}

/// How a knock ended that is not pending for certain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// What to tell the client.
    pub failure: Failure,
    /// The knock, if a server was sent it and never said what became of it: it may stand in the room all the same. An answer to it
    /// may come, and it can be taken back.
    pub perhaps: Option<PendingKnock>,
}

impl Knocking {
    /// Begins.
    #[must_use]
    pub fn start(intent: &Intent<'_>) -> Start {
        match intent.own {
            // A second knock is no mistake: it changes the reason, and finds out about a rejection that never came.
            OwnMembership::InRoom(None | Some(Membership::Leave | Membership::Knock)) => return Start::Local,
            OwnMembership::InRoom(Some(Membership::Join | Membership::Invite | Membership::Ban)) => {
                return Start::Failed(Failure::Forbidden);
            }
            OwnMembership::OutOfBand => {}
        }
        let versions: Vec<RoomVersion> =
            intent.versions.iter().copied().filter(|version| version.rules().knocking).collect();
        if versions.is_empty() {
            return Start::Failed(Failure::NoVersions);
        }
        let servers = intent.servers.iter().copied();
        let purpose = Purpose::Knock(versions);
        let exchange = Exchange::new(purpose, intent.room_id, intent.user_id, servers, intent.details.clone());
        match exchange.wants() {
            Wants::Nothing(Ended::Failed { failure, .. }) => Start::Failed(failure.clone()),
            _ => Start::Remote(Box::new(Self { exchange, arrival: None })),
        }
    }

    /// What is wanted now, and the ticket to give back with it.
    #[must_use]
    pub fn want(&self) -> (Ticket, Want<'_>) {
        let want = match (self.exchange.wants(), &self.arrival) {
            (Wants::Request(request), _) => Want::Request(request),
            (Wants::Signature(bytes), _) => Want::Sign(bytes),
            (Wants::Nothing(Ended::Accepted { version, .. }), Some(Arriving::Unverified(state))) => {
                Want::Keys(state.wanted_keys(version))
            }
            (Wants::Nothing(_), _) => Want::Ended,
        };
        (self.exchange.ticket(), want)
    }

    /// Gives what came of a request. `now` is the time in milliseconds since the Unix epoch: that of the knock.
    ///
    /// # Errors
    ///
    /// [`NotTaken::NotAsked`] if no request is asked for under this ticket.
    pub fn reply(&mut self, ticket: Ticket, reply: Reply<'_>, now: u64) -> Result<(), NotTaken> {
        self.exchange.reply(ticket, reply, now)?;
        if let (Wants::Nothing(Ended::Accepted { .. }), Reply::Response { body, .. }) = (self.exchange.wants(), reply) {
            self.arrival = Some(Arriving::Unverified(ReceivedRoomState::of_answer(body)));
        }
        Ok(())
    }

    /// Gives the signature, and the ID of the key that made it.
    ///
    /// # Errors
    ///
    /// [`NotTaken`] if no signature is asked for under this ticket, or the key ID is none.
    pub fn signature(&mut self, ticket: Ticket, key_id: &str, signature: &[u8; 64]) -> Result<(), NotTaken> {
        self.exchange.signature(ticket, key_id, signature)
    }

    /// Gives the keys that were found, verifies the state that came with the accepted knock, and says what became of it: for the
    /// host's log, since the knock stands whatever it is.
    ///
    /// # Errors
    ///
    /// [`NotTaken::NotAsked`] if no keys are asked for under this ticket.
    pub fn keys(
        &mut self,
        ticket: Ticket,
        keys: &(impl Keys + ?Sized),
        verifier: &impl Verify,
        now: u64,
    ) -> Result<VerifiedRoomState, NotTaken> {
        let (Wants::Nothing(Ended::Accepted { version, .. }), Some(Arriving::Unverified(state))) =
            (self.exchange.wants(), &self.arrival)
        else {
            return Err(NotTaken::NotAsked);
        };
        let room_id = RoomId::parse(self.exchange.room_id());
        let (true, Ok(room_id)) = (ticket == self.exchange.ticket(), room_id) else {
            return Err(NotTaken::NotAsked);
        };
        let arrival = state.verify(version, room_id, keys, verifier, now);
        self.arrival = Some(Arriving::Verified(arrival.shown().to_vec()));
        Ok(arrival)
    }

    /// How it ended; none while it is under way.
    ///
    /// # Errors
    ///
    /// [`Failed`]: there is no pending knock, or nobody knows.
    pub fn outcome(&self) -> Option<Result<PendingKnock, Failed>> {
        match (self.exchange.wants(), &self.arrival) {
            (Wants::Nothing(Ended::Accepted { server, version, event }), Some(Arriving::Verified(shown))) => {
                Some(Ok(self.pending(server, version, (event.event_id(), event.text()), shown)))
            }
            (Wants::Nothing(Ended::Failed { failure, perhaps }), _) => {
                let perhaps = perhaps.map(|(server, version, event)| {
                    self.pending(server, version, (event.event_id(), event.text()), &[])
                });
                Some(Err(Failed { failure: failure.clone(), perhaps }))
            }
            _ => None,
        }
    }

    fn pending(
        &self,
        server: &str,
        version: RoomVersion,
        (event_id, event): (&str, &str),
        shown: &[StrippedEvent],
    ) -> PendingKnock {
        PendingKnock {
            room_id: self.exchange.room_id().to_owned(),
            user_id: self.exchange.user_id().to_owned(),
            version,
            server: server.to_owned(),
            event_id: event_id.to_owned(),
            event: event.to_owned(),
            shown: shown.to_vec(),
        }
    }
}

impl PendingKnock {
    /// The room.
    #[must_use]
    pub fn room_id(&self) -> &str {
        &self.room_id
    }

    /// The knocker.
    #[must_use]
    pub fn user_id(&self) -> &str {
        &self.user_id
    }

    /// The version of the room, as the resident server said it.
    #[must_use]
    pub const fn version(&self) -> RoomVersion {
        self.version
    }

    /// The server that took the knock: the first to ask when it is taken back.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The ID of the knock.
    #[must_use]
    pub fn event_id(&self) -> &str {
        &self.event_id
    }

    /// The knock itself, as canonical JSON.
    #[must_use]
    pub fn event(&self) -> &str {
        &self.event
    }

    /// What the client is shown: the state that came with the answer, the create event first, and the user's own knock, last.
    ///
    /// Somebody else's word on the user's own membership is not shown.
    #[must_use]
    pub fn knock_state(&self) -> Vec<StrippedEvent> {
        let is_own = |event: &StrippedEvent| event.event_type() == content::MEMBER && event.state_key() == self.user_id;
        let own = Pdu::parse_stored(&self.event).ok().and_then(|event| StrippedEvent::of(&event));
        self.shown.iter().filter(|event| !is_own(event)).cloned().chain(own).collect()
    }
}

/// A knock that is being taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retracting {
    exchange: Exchange,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retracted {
    /// A server has taken the leave into the room.
    InRoom {
        /// The server.
        server: String,
        /// The ID of the leave.
        event_id: String,
    },
    /// No server took it. For this server's client the knock is over all the same; in the room it may go on status, and be answered.
    LocallyOnly {
        /// What the last word was.
        failure: Failure,
    },
}

impl Retracting {
    /// Begins: the server that took the knock is asked first, then the others. None if what is stored of the knock is no knock: it
    /// was not written here.
    #[must_use]
    pub fn start(knock: &PendingKnock, servers: &[&str], reason: Option<&str>) -> Option<Self> {
        let (room_id, user_id) = (RoomId::parse(&knock.room_id).ok()?, UserId::parse(&knock.user_id).ok()?);
        let details = Details { reason: reason.map(str::to_owned), ..Details::default() };
        let servers = std::iter::once(knock.server.as_str()).chain(servers.iter().copied());
        let exchange = Exchange::new(Purpose::Leave(knock.version), room_id, user_id, servers, details);
        Some(Self { exchange })
    }

    /// What is wanted now, and the ticket to give back with it. Never keys.
    #[must_use]
    pub fn want(&self) -> (Ticket, Want<'_>) {
        let want = match self.exchange.wants() {
            Wants::Request(request) => Want::Request(request),
            Wants::Signature(bytes) => Want::Sign(bytes),
            Wants::Nothing(_) => Want::Ended,
        };
        (self.exchange.ticket(), want)
    }

    /// Gives what came of a request. `now` is the time in milliseconds since the Unix epoch: that of the leave.
    ///
    /// # Errors
    ///
    /// [`NotTaken::NotAsked`] if no request is asked for under this ticket.
    pub fn reply(&mut self, ticket: Ticket, reply: Reply<'_>, now: u64) -> Result<(), NotTaken> {
        self.exchange.reply(ticket, reply, now)
    }

    /// Gives the signature, and the ID of the key that made it.
    ///
    /// # Errors
    ///
    /// [`NotTaken`] if no signature is asked for under this ticket, or the key ID is none.
    pub fn signature(&mut self, ticket: Ticket, key_id: &str, signature: &[u8; 64]) -> Result<(), NotTaken> {
        self.exchange.signature(ticket, key_id, signature)
    }

    /// How it ended; none while it is under way.
    #[must_use]
    pub fn outcome(&self) -> Option<Retracted> {
        match self.exchange.wants() {
            Wants::Nothing(Ended::Accepted { server, event, .. }) => {
                Some(Retracted::InRoom { server: server.to_owned(), event_id: event.event_id().to_owned() })
            }
            Wants::Nothing(Ended::Failed { failure, .. }) => Some(Retracted::LocallyOnly { failure: failure.clone() }),
            Wants::Request(_) | Wants::Signature(_) => None,
        }
    }
}
