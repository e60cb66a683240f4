//! The knocking server: a knock on a room that this server is not in, and the leave that takes it back.
//!
//! Both are [machines](crate::machine): ask what is wanted, do it, give what came of it, until it has ended.
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
//! Each thing that is wanted has a [`Ticket`]; an answer to anything else changes nothing. Both machines can be stored in
//! between (serde), and go on where they were.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#knocking-rooms>

mod exchange;
mod failure;
pub mod invitation;
pub mod out_of_band;
mod pending;
pub mod room_state;
mod stored;

use serde::{Deserialize, Serialize};

pub use self::exchange::MAX_SERVERS;
use self::exchange::{Ended, Exchange, Purpose, Sent, Wants};
pub use self::failure::Failure;
pub use self::pending::{Failed, NotAKnock, PendingKnock};
use self::room_state::{ReceivedRoomState, Shown, VerifiedRoomState};
use crate::event::{Keys, Membership, SignedEvent, Verify};
use crate::id::{KeyId, OwnedServerName, RoomId, ServerName, UserId};
use crate::machine::{Machine, NotTaken, Reply, Ticket, Want};
use crate::room_version::RoomVersion;
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
///
/// Perhaps they may join instead: the host asks [`JoinCheck`](crate::restricted_join::JoinCheck) in
/// a room that this server is in, and a [summary](crate::summary::RoomSummary::may_join) in
/// another. A knock is started all the same if the host wants it.
#[derive(Debug, Clone, Copy)]
pub struct Intent<'a> {
    /// On which room. An alias has to be resolved before.
    pub room_id: RoomId<'a>,
    /// Who: a user of this server.
    pub user_id: UserId<'a>,
    /// What is known of their membership.
    pub own: OwnMembership,
    /// Which servers may know the room, the best first: `via`, `server_name`, what the alias came with, and the
    /// [server in the room ID](RoomId::server_name) (before v12). At most [`MAX_SERVERS`] are asked; repeated ones and this
    /// server itself are ignored.
    pub servers: &'a [OwnedServerName],
    /// Every room version that this server supports. Those without knocking are not offered.
    pub versions: &'a [RoomVersion],
    /// What the user says, and is.
    pub details: &'a Details,
}

/// How a knock starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// By asking other servers.
    Remote(Box<Knocking>),
    /// Right here, for this server is in the room: [`MakeKnock`](crate::resident::MakeKnock) with this server as `origin`.
    Local,
    /// Not at all.
    Failed(Failure),
}

/// A knock under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "stored::StoredKnocking")]
pub struct Knocking {
    exchange: Exchange,
    /// Since the knock was accepted: the state that came with it, and what it comes to.
    arrival: Option<Arriving>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Arriving {
    Unverified(ReceivedRoomState),
    Verified(Shown),
}

impl Knocking {
    /// Starts a knock. Returns the machine to drive, or the reason why there is nothing to do.
    #[must_use]
    pub fn start(intent: &Intent<'_>) -> Start {
        match intent.own {
            // A second knock is no mistake: it changes the reason, and finds out about a rejection that never came.
            OwnMembership::InRoom(None | Some(Membership::Leave | Membership::Knock)) => return Start::Local,
            OwnMembership::InRoom(Some(membership @ (Membership::Join | Membership::Invite | Membership::Ban))) => {
                return Start::Failed(Failure::OwnMembership { membership });
            }
            OwnMembership::OutOfBand => {}
        }
        let versions: Vec<RoomVersion> =
            intent.versions.iter().copied().filter(|version| version.rules().knocking).collect();
        if versions.is_empty() {
            return Start::Failed(Failure::NoVersions);
        }
        let servers = intent.servers.iter().map(OwnedServerName::as_borrowed);
        let purpose = Purpose::Knock(versions);
        let exchange = Exchange::new(purpose, intent.room_id, intent.user_id, servers, intent.details.clone());
        match exchange.wants() {
            Wants::Nothing(Ended::Failed { told, .. }) => Start::Failed(told.failure.clone()),
            _ => Start::Remote(Box::new(Self { exchange, arrival: None })),
        }
    }

    /// Returns the knock as soon as it is signed and on its way, with the server that has it or is being asked: an invite that
    /// answers it may arrive before the answer to `send_knock`. `None` before, and if it was refused.
    #[must_use]
    pub fn knock(&self) -> Option<PendingKnock> {
        let (server, sent) = self.exchange.sent()?;
        Some(self.pending(server, sent))
    }

    fn pending(&self, server: ServerName<'_>, sent: &Sent) -> PendingKnock {
        let shown = match &self.arrival {
            Some(Arriving::Verified(shown)) => shown.clone(),
            Some(Arriving::Unverified(_)) | None => Shown::default(),
        };
        PendingKnock::of_exchange(&self.exchange, server, sent, shown)
    }
}

impl Machine for Knocking {
    type Outcome = Result<PendingKnock, Failed>;
    /// What became of the state that came with the accepted knock: for the host's log, since the knock stands whatever it is.
    type Verified = VerifiedRoomState;

    fn want(&self) -> (Ticket, Want<'_>) {
        let want = match (self.exchange.wants(), &self.arrival) {
            (Wants::Request(request), _) => Want::Request(request),
            (Wants::Signature(bytes), _) => Want::Sign(bytes),
            (Wants::Nothing(Ended::Accepted { sent, .. }), Some(Arriving::Unverified(state))) => {
                Want::Keys(state.wanted_keys(sent.version))
            }
            (Wants::Nothing(_), _) => Want::Ended,
        };
        (self.exchange.ticket(), want)
    }

    fn reply(&mut self, ticket: Ticket, reply: Reply<'_>, now: u64) -> Result<(), NotTaken> {
        self.exchange.reply(ticket, reply, now)?;
        if let Wants::Nothing(Ended::Accepted { .. }) = self.exchange.wants() {
            self.arrival = Some(Arriving::Unverified(match reply {
                Reply::Response(response) => ReceivedRoomState::of_answer(response.body),
                Reply::Accepted { knock_room_state } => ReceivedRoomState::of_entries(knock_room_state.iter().copied()),
                Reply::Template { .. } | Reply::Invited { .. } | Reply::Error(_) | Reply::None => {
                    ReceivedRoomState::default()
                }
            }));
        }
        Ok(())
    }

    fn signature(&mut self, ticket: Ticket, key_id: KeyId<'_>, signature: &[u8; 64]) -> Result<(), NotTaken> {
        self.exchange.signature(ticket, key_id, signature)
    }

    fn keys(
        &mut self,
        ticket: Ticket,
        keys: &(impl Keys + ?Sized),
        verifier: &(impl Verify + ?Sized),
        now: u64,
    ) -> Result<VerifiedRoomState, NotTaken> {
        let (Wants::Nothing(Ended::Accepted { sent, .. }), Some(Arriving::Unverified(state))) =
            (self.exchange.wants(), &self.arrival)
        else {
            return Err(NotTaken::NotAsked);
        };
        if ticket != self.exchange.ticket() {
            return Err(NotTaken::NotAsked);
        }
        let verified = state.verify(sent.version, self.exchange.room_id(), keys, verifier, now);
        let (shown, unverified) = (verified.shown().to_vec(), verified.unverified().to_vec());
        self.arrival = Some(Arriving::Verified(Shown { verified: shown, unverified }));
        Ok(verified)
    }

    fn outcome(&self) -> Option<Self::Outcome> {
        match (self.exchange.wants(), &self.arrival) {
            (Wants::Nothing(Ended::Accepted { server, sent }), Some(Arriving::Verified(_))) => {
                Some(Ok(self.pending(server, sent)))
            }
            (Wants::Nothing(Ended::Failed { told, perhaps }), _) => {
                let perhaps = perhaps.map(|(server, sent)| self.pending(server, sent));
                Some(Err(Failed::new(told, perhaps)))
            }
            _ => None,
        }
    }
}

/// A user's wish to leave a room that this server is not in: to take a knock back, or to decline an invite.
#[derive(Debug, Clone, Copy)]
pub struct Departure<'a> {
    /// From which room.
    pub room_id: RoomId<'a>,
    /// Who: a user of this server.
    pub user_id: UserId<'a>,
    /// Which servers may know the room, the best first: the one that took the knock, the inviter's, others. At most
    /// [`MAX_SERVERS`] are asked; repeated ones and this server itself are ignored.
    pub servers: &'a [OwnedServerName],
    /// The version of the room, or every version that this server supports where it is not known.
    pub versions: &'a [RoomVersion],
    /// Why the user leaves.
    pub reason: Option<&'a str>,
}

/// A leave under way: a knock is taken back, or an invite declined. It never wants keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "stored::StoredRetracting")]
pub struct Retracting {
    exchange: Exchange,
}

/// How a leave ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retracted {
    /// A server has taken the leave into the room.
    InRoom {
        /// The server.
        server: OwnedServerName,
        /// The leave.
        event: SignedEvent,
    },
    /// No server took it. For this server's client it is over all the same; in the room the knock or the invite may go on
    /// standing, and be answered.
    LocallyOnly {
        /// What the last word was.
        failure: Failure,
    },
}

impl Retracting {
    /// Starts a leave.
    #[must_use]
    pub fn start(departure: &Departure<'_>) -> Self {
        let servers = departure.servers.iter().map(OwnedServerName::as_borrowed);
        Self::of(departure.room_id, departure.user_id, departure.versions.to_vec(), servers, departure.reason)
    }

    /// Starts to take a knock back: the server that took the knock is asked first, then the others.
    #[must_use]
    pub fn of_knock(knock: &PendingKnock, servers: &[OwnedServerName], reason: Option<&str>) -> Self {
        let servers = std::iter::once(knock.server()).chain(servers.iter().map(OwnedServerName::as_borrowed));
        Self::of(knock.room_id(), knock.user_id(), vec![knock.version()], servers, reason)
    }

    fn of<'s>(
        room_id: RoomId<'_>,
        user_id: UserId<'_>,
        versions: Vec<RoomVersion>,
        servers: impl IntoIterator<Item = ServerName<'s>>,
        reason: Option<&str>,
    ) -> Self {
        let details = Details { reason: reason.map(str::to_owned), ..Details::default() };
        Self { exchange: Exchange::new(Purpose::Leave(versions), room_id, user_id, servers, details) }
    }
}

impl Machine for Retracting {
    type Outcome = Retracted;
    type Verified = ();

    fn want(&self) -> (Ticket, Want<'_>) {
        let want = match self.exchange.wants() {
            Wants::Request(request) => Want::Request(request),
            Wants::Signature(bytes) => Want::Sign(bytes),
            Wants::Nothing(_) => Want::Ended,
        };
        (self.exchange.ticket(), want)
    }

    fn reply(&mut self, ticket: Ticket, reply: Reply<'_>, now: u64) -> Result<(), NotTaken> {
        self.exchange.reply(ticket, reply, now)
    }

    fn signature(&mut self, ticket: Ticket, key_id: KeyId<'_>, signature: &[u8; 64]) -> Result<(), NotTaken> {
        self.exchange.signature(ticket, key_id, signature)
    }

    fn keys(
        &mut self,
        _ticket: Ticket,
        _keys: &(impl Keys + ?Sized),
        _verifier: &(impl Verify + ?Sized),
        _now: u64,
    ) -> Result<(), NotTaken> {
        Err(NotTaken::NotAsked)
    }

    fn outcome(&self) -> Option<Retracted> {
        match self.exchange.wants() {
            Wants::Nothing(Ended::Accepted { server, sent }) => {
                Some(Retracted::InRoom { server: server.into_owned(), event: sent.event.clone() })
            }
            Wants::Nothing(Ended::Failed { told, .. }) => {
                Some(Retracted::LocallyOnly { failure: told.failure.clone() })
            }
            Wants::Request(_) | Wants::Signature(_) => None,
        }
    }
}
