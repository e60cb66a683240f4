//! The invite of a user of another server, which that server has to sign before anybody else gets it.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv2inviteroomideventid>

mod countersigned;
mod stored;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use self::countersigned::Signatures;
pub use self::countersigned::{BadInviteAnswer, CountersignedInvite, MAX_INVITE_ANSWER_BYTES};
use super::super::{HostError, Refusal, room_state_texts};
use super::Action;
use crate::error::{Errcode, ErrorBody, ErrorResponse};
use crate::event::{Event, EventType, Keys, SignedEvent, Verify};
use crate::id::{KeyId, OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, ServerName, UserId};
use crate::machine::{Endpoint, Machine, NotTaken, Reply, Request, Ticket, Want};
use crate::policy::PolicyVerdict;
use crate::room_version::RoomVersion;
use crate::state::{Reads, RoomState};
use crate::stripped_state::ShownTypes;

/// An invite that every check let pass, and that the user's server has to sign now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsignedInvite {
    pub(super) version: RoomVersion,
    /// [`Action::Accept`] or [`Action::Invite`].
    pub(super) action: Action,
    pub(super) target: OwnedUserId,
    pub(super) event: SignedEvent,
    /// With which it passed; the room may name another policy server before it is countersigned.
    pub(super) policy: PolicyVerdict,
}

impl UnsignedInvite {
    /// Returns the invite.
    #[must_use]
    pub const fn event(&self) -> &SignedEvent {
        &self.event
    }

    /// Returns who is invited.
    #[must_use]
    pub const fn target(&self) -> UserId<'_> {
        self.target.as_borrowed()
    }

    /// Returns the entries of the current state that [`start`](Self::start) reads.
    #[must_use]
    pub fn reads(&self, types: &ShownTypes) -> Reads {
        let inviter = self.inviter();
        let inviter: Reads = inviter.iter().map(|inviter| (EventType::Member, inviter.as_str())).collect();
        types.reads().and(&inviter)
    }

    /// Whose name and avatar go with the invite.
    fn inviter(&self) -> Option<String> {
        self.event.pdu().ok().map(|event| event.sender().to_owned())
    }

    /// Begins to ask the user's server. `types` is what the user is shown of the room, beside the member event of who invites;
    /// `text` returns the text of an event of the state as it goes between servers, and an event without one is left out.
    ///
    /// # Errors
    ///
    /// [`Refusal::Host`] if `text` returns none for the create event, or a snapshot lacks an entry.
    pub fn start<'s, S: RoomState + ?Sized>(
        self,
        types: &ShownTypes,
        state: &'s S,
        text: impl FnMut(&S::Event<'s>) -> Option<String>,
    ) -> Result<Inviting, Refusal> {
        let inviter = self.inviter().map(|inviter| state.event(EventType::Member, &inviter)).transpose()?;
        let events = types.events(state).collect::<Result<Vec<_>, _>>()?;
        let invite_room_state = room_state_texts(events.into_iter().chain(inviter.flatten()), text)?;
        let Self { version, action, target, event, policy } = self;
        // It was written here, with the ID of a room.
        let room_id = event.pdu()?.room_id().map(RoomId::checked).ok_or(HostError::OtherRoom)?.into_owned();
        let state = State::Asking;
        Ok(Inviting { version, action, room_id, target, event, policy, invite_room_state, state, ticket: 0 })
    }
}

/// An invite under way: a [`Machine`] that asks the user's server for its signature.
///
/// It ends with the invite in the form in which it can be appended to the room, or with why there is none. A lost answer is
/// no harm: the server signs the same event again ([`retry`](Self::retry)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "stored::StoredInviting", try_from = "stored::StoredInviting")]
pub struct Inviting {
    version: RoomVersion,
    action: Action,
    room_id: OwnedRoomId,
    target: OwnedUserId,
    event: SignedEvent,
    policy: PolicyVerdict,
    /// Whole events, as they go between servers.
    invite_room_state: Vec<String>,
    state: State,
    ticket: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Asking,
    /// These signatures of the user's server have to be verified.
    Verifying(Signatures),
    Countersigned(SignedEvent),
    Failed(NotInvited),
}

/// Why there is no invite. Nothing has been appended to the room.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotInvited {
    /// The user's server refuses, for a reason that the inviting user can be told: its answer, as it is.
    #[error("refused: {}", .0.error())]
    Refused(Box<ErrorResponse>),
    /// The user's server was not reached, or has answered with an error that says nothing to the inviting user.
    #[error("the server of the user could not be asked")]
    NoAnswer,
    /// The user's server has answered with something else than the same event with its signature.
    #[error(transparent)]
    BadAnswer(#[from] BadInviteAnswer),
}

impl NotInvited {
    /// Returns the answer to the client of the inviting user.
    #[must_use]
    pub fn to_response(&self) -> ErrorResponse {
        match self {
            Self::Refused(response) => (**response).clone(),
            Self::NoAnswer => ErrorResponse::new(Errcode::Unknown, "The server of the user could not be asked"),
            Self::BadAnswer(_) => {
                ErrorResponse::new(Errcode::Unknown, "The server of the user did not sign the invite")
            }
        }
    }

    /// What an error of the user's server comes to.
    ///
    /// 400, 403 and 429 go to the client. Codes that speak of the request between the servers would be misread there, as would
    /// those about the access of whoever sent it.
    fn of_error(status: u16, body: ErrorBody) -> Self {
        match body.errcode() {
            None
            | Some(
                Errcode::MissingParam
                | Errcode::InvalidParam
                | Errcode::BadJson
                | Errcode::NotJson
                | Errcode::Unrecognized,
            ) => Self::NoAnswer,
            Some(_) if !matches!(status, 400 | 403 | 429) => Self::NoAnswer,
            Some(_) => body.into_response(status).map_or(Self::NoAnswer, |response| Self::Refused(Box::new(response))),
        }
    }
}

impl From<NotInvited> for ErrorResponse {
    fn from(error: NotInvited) -> Self {
        error.to_response()
    }
}

impl Inviting {
    /// Returns who is invited.
    #[must_use]
    pub const fn target(&self) -> UserId<'_> {
        self.target.as_borrowed()
    }

    /// Returns the invite as this server has signed it.
    #[must_use]
    pub const fn event(&self) -> &SignedEvent {
        &self.event
    }

    /// Asks again after [`NotInvited::NoAnswer`]. Whether it does: anything else stays as it is.
    pub fn retry(&mut self) -> bool {
        let can_retry = self.state == State::Failed(NotInvited::NoAnswer);
        if can_retry {
            self.go_to(State::Asking);
        }
        can_retry
    }

    fn go_to(&mut self, state: State) {
        self.state = state;
        self.ticket = self.ticket.wrapping_add(1);
    }

    fn check(&self, ticket: Ticket) -> Result<(), NotTaken> {
        if ticket == Ticket::new(self.ticket) { Ok(()) } else { Err(NotTaken::NotAsked) }
    }

    fn server(&self) -> ServerName<'_> {
        self.target().server_name()
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint::Invite {
            room_id: self.room_id.clone(),
            room_version: self.version,
            event: self.event.clone(),
            invite_room_state: self.invite_room_state.clone(),
        }
    }

    fn answered(&self, reply: Reply<'_>) -> State {
        let read = |event: &str| match Signatures::read(&self.event, self.server(), event) {
            Ok(signatures) => State::Verifying(signatures),
            Err(bad) => State::Failed(bad.into()),
        };
        match reply {
            Reply::Response(response) if response.status == 200 => match countersigned::event_of(response.body) {
                Ok(event) => read(event),
                Err(bad) => State::Failed(bad.into()),
            },
            Reply::Invited { event } => read(event),
            Reply::Response(response) => {
                State::Failed(NotInvited::of_error(response.status, ErrorBody::of_response(response)))
            }
            Reply::Error(error) => State::Failed(NotInvited::of_error(error.status, error.to_body())),
            Reply::Template { .. } | Reply::Accepted { .. } | Reply::None => State::Failed(NotInvited::NoAnswer),
        }
    }
}

impl Machine for Inviting {
    type Outcome = Result<CountersignedInvite, NotInvited>;
    type Verified = ();

    fn want(&self) -> (Ticket, Want<'_>) {
        let want = match &self.state {
            State::Asking => Want::Request(Request { server: self.server().into_owned(), endpoint: self.endpoint() }),
            State::Verifying(signatures) => Want::Keys(wanted(self.server(), signatures.key_ids())),
            State::Countersigned(_) | State::Failed(_) => Want::Ended,
        };
        (Ticket::new(self.ticket), want)
    }

    fn reply(&mut self, ticket: Ticket, reply: Reply<'_>, _now: u64) -> Result<(), NotTaken> {
        self.check(ticket)?;
        if self.state != State::Asking {
            return Err(NotTaken::NotAsked);
        }
        self.go_to(self.answered(reply));
        Ok(())
    }

    fn signature(&mut self, _: Ticket, _: KeyId<'_>, _: &[u8; 64]) -> Result<(), NotTaken> {
        // This server has signed before it began.
        Err(NotTaken::NotAsked)
    }

    fn keys(
        &mut self,
        ticket: Ticket,
        keys: &(impl Keys + ?Sized),
        verifier: &(impl Verify + ?Sized),
        now: u64,
    ) -> Result<(), NotTaken> {
        self.check(ticket)?;
        let State::Verifying(signatures) = &self.state else { return Err(NotTaken::NotAsked) };
        let added = signatures.add_to(self.version, &self.event, self.server(), (keys, verifier, now));
        self.go_to(added.map_or_else(|bad| State::Failed(bad.into()), State::Countersigned));
        Ok(())
    }

    fn outcome(&self) -> Option<Self::Outcome> {
        match &self.state {
            State::Asking | State::Verifying(_) => None,
            State::Countersigned(event) => {
                Some(Ok(CountersignedInvite::of(self.version, self.action, event.clone(), self.policy.clone())))
            }
            State::Failed(why) => Some(Err(why.clone())),
        }
    }
}

fn wanted<'k>(
    server: ServerName<'_>,
    key_ids: impl Iterator<Item = &'k str>,
) -> BTreeMap<OwnedServerName, BTreeSet<String>> {
    BTreeMap::from([(server.into_owned(), key_ids.map(str::to_owned).collect())])
}
