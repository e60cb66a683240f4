//! The members' answer to a knock: accept, decline, ban; and what takes an answer back.
//!
//! ```text
//! AnswerRequest ── check ──▶ AuthorizedAnswer ── decide ──▶ ApprovedAnswer ── sign ──▶ LocalEvent ── accept ──▶ Answered
//!                                                                                                          ├─ Append
//!                    SignedEvent ◀── accept ── CountersignedInvite ◀── Inviting ◀── start ── UnsignedInvite ◀─┘ Invite
//! ```
//!
//! Each step consumes the last. An event can be appended to the room only if the knock stands, the rules allow the answer, the
//! host has nothing against it, and the room's [policy server](crate::policy) has signed it; an invite of another server's
//! user only once that server has countersigned it.
//!
//! For many knocks, [`Answering::all`](crate::pending::Answering::all) says which can be answered; each of its events is an
//! [`AnswerRequest`].
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#knocking-on-rooms>,
//! <https://spec.matrix.org/v1.19/server-server-api/#inviting-to-a-room>
//!
//! # Examples
//!
//! ```
//! # #[cfg(feature = "ed25519")] {
//! use matrix_knock::RoomVersion;
//! use matrix_knock::event::{Ed25519Key, Pdu};
//! use matrix_knock::id::{EventId, RoomId, ServerName, UserId};
//! use matrix_knock::policy::PolicyVerdict;
//! use matrix_knock::resident::answer::{Action, AnswerRequest, Answered};
//! use matrix_knock::resident::{Decision, Residence, ResidentRoom};
//! use matrix_knock::state::StateMap;
//! use matrix_knock::template::{Details, PrevEvent};
//!
//! let events = [
//!     r#"{"type":"m.room.create","state_key":"","sender":"@alice:a.example","content":{},"event_id":"$create"}"#,
//!     r#"{"type":"m.room.member","state_key":"@alice:a.example","sender":"@alice:a.example",
//!         "content":{"membership":"join"},"event_id":"$alice"}"#,
//!     r#"{"type":"m.room.member","state_key":"@kay:b.example","sender":"@kay:b.example",
//!         "content":{"membership":"knock"},"event_id":"$knock"}"#,
//!     r#"{"type":"m.room.power_levels","state_key":"","sender":"@alice:a.example",
//!         "content":{"users":{"@alice:a.example":100}},"event_id":"$levels"}"#,
//! ];
//! let state: StateMap<Pdu> = events.into_iter().map(Pdu::parse_stored).collect::<Result<_, _>>()?;
//! let room_id = RoomId::parse("!r:a.example")?;
//! let room = ResidentRoom { room_id, version: RoomVersion::V11, residence: Residence::Joined };
//! let key = Ed25519Key::from_seed("ed25519:1", &[7; 32])?;
//!
//! let (alice, kay) = (UserId::parse("@alice:a.example")?, UserId::parse("@kay:b.example")?);
//! let answer = AnswerRequest::new(Action::Decline, alice, kay).check(&room, &state)?.decide(Decision::Admit)?;
//! let last = PrevEvent { event_id: EventId::parse("$levels")?, depth: 9 };
//! let why = Details { reason: Some("Not today".to_owned()), ..Details::default() };
//! let answer = answer.sign(&state, &why, &[last], 1_700_000_000_000, &key)?;
//! let Answered::Append(answer) = answer.accept(&state, PolicyVerdict::NotNamed)? else { panic!("no invite") };
//! assert_eq!(answer.also_to().map(|reach| reach.server), Some(ServerName::parse("b.example")?));
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod inviting;
mod reach;

pub use self::inviting::{
    BadInviteAnswer, CountersignedInvite, Inviting, MAX_INVITE_ANSWER_BYTES, NotInvited, UnsignedInvite,
};
pub use self::reach::{MustReach, Reason, must_also_reach, reads_of_must_also_reach};
use super::{Decision, LocalEvent, Refusal, ResidentRoom};
use crate::auth::{Selection, authorize_proposal};
use crate::event::{Event, EventType, Membership, Pdu, Proposal, Sign, SignedEvent};
use crate::id::{OwnedServerName, UserId};
use crate::pending::Answer;
use crate::policy::PolicyVerdict;
use crate::state::{Reads, RoomState};
use crate::template::{Details, PrevEvent, Template};

/// What a member does about somebody who knocks, who was answered before, or who is asked in without a knock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Asks in who knocks: `invite`.
    Accept,
    /// Does not ask in who knocks: `leave`. They may knock again.
    Decline,
    /// Keeps out who knocks: `ban`.
    Ban,
    /// Takes an acceptance back, before who was invited has come in: `leave`.
    Revoke,
    /// Takes a ban back: `leave`.
    Unban,
    /// Asks in who neither knocks nor is in the room: `invite`, by the same way as an acceptance.
    Invite,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Accept, Self::Decline, Self::Ban, Self::Revoke, Self::Unban, Self::Invite];

    /// Returns what the membership becomes.
    #[must_use]
    pub const fn membership(self) -> Membership {
        match self {
            Self::Accept | Self::Invite => Membership::Invite,
            Self::Decline | Self::Revoke | Self::Unban => Membership::Leave,
            Self::Ban => Membership::Ban,
        }
    }

    /// Returns what the membership has to be before; a user without any counts as `leave`.
    #[must_use]
    pub const fn answers(self) -> Membership {
        match self {
            Self::Accept | Self::Decline | Self::Ban => Membership::Knock,
            Self::Revoke => Membership::Invite,
            Self::Unban => Membership::Ban,
            Self::Invite => Membership::Leave,
        }
    }
}

impl From<Answer> for Action {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Accept => Self::Accept,
            Answer::Decline => Self::Decline,
            Answer::Ban => Self::Ban,
        }
    }
}

/// An endpoint by which a client changes the membership of another user: `/rooms/{roomId}/invite`,
/// `kick`, `ban` or `unban`.
///
/// <https://spec.matrix.org/v1.19/client-server-api/#room-membership>
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClientAction {
    /// `invite`.
    Invite,
    /// `kick`.
    Kick,
    /// `ban`.
    Ban,
    /// `unban`.
    Unban,
}

impl ClientAction {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Invite, Self::Kick, Self::Ban, Self::Unban];

    /// Returns the last segment of the path: `invite`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invite => "invite",
            Self::Kick => "kick",
            Self::Ban => "ban",
            Self::Unban => "unban",
        }
    }

    /// Returns the endpoint with this last segment of the path, if there is one.
    #[must_use]
    pub fn of_segment(segment: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == segment)
    }

    /// Returns what the membership becomes.
    #[must_use]
    pub const fn membership(self) -> Membership {
        match self {
            Self::Invite => Membership::Invite,
            Self::Kick | Self::Unban => Membership::Leave,
            Self::Ban => Membership::Ban,
        }
    }

    /// Returns which action the request is, by the current membership of the target; a user without
    /// any, or with one that cannot be read, has `None`. The steps of [`AnswerRequest`] check the
    /// rest.
    ///
    /// `Ok(None)`: there is nothing to answer, and the host makes the event by itself
    /// ([`Template::of_proposal`]). That is a `kick` of a joined user, and a `ban` of anybody who
    /// does not knock.
    ///
    /// # Errors
    ///
    /// [`Refusal::NothingToAnswer`] for a `kick` of somebody who neither knocks nor is invited or
    /// joined. The rules would allow it: a kick of a banned user would be an `unban`.
    pub const fn action(self, membership: Option<Membership>) -> Result<Option<Action>, Refusal> {
        Ok(Some(match (self, membership) {
            (Self::Invite, Some(Membership::Knock)) => Action::Accept,
            (Self::Invite, _) => Action::Invite,
            (Self::Kick, Some(Membership::Knock)) => Action::Decline,
            (Self::Kick, Some(Membership::Invite)) => Action::Revoke,
            (Self::Kick, Some(Membership::Join)) => return Ok(None),
            (Self::Kick, Some(Membership::Ban | Membership::Leave) | None) => {
                return Err(Refusal::NothingToAnswer { expected: Membership::Join });
            }
            (Self::Ban, Some(Membership::Knock)) => Action::Ban,
            (Self::Ban, _) => return Ok(None),
            (Self::Unban, _) => Action::Unban,
        }))
    }
}

/// What a user of this server asks for: a client's `/invite`, `/kick`, `/ban` or `/unban`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerRequest<'a> {
    action: Action,
    sender: UserId<'a>,
    target: UserId<'a>,
}

impl<'a> AnswerRequest<'a> {
    /// Creates the request of `sender`, an authenticated user of this server, about `target`.
    #[must_use]
    pub const fn new(action: Action, sender: UserId<'a>, target: UserId<'a>) -> Self {
        Self { action, sender, target }
    }

    /// What was asked for, by the event that was made of it here, for users with well-formed IDs.
    fn of_event(action: Action, event: &'a Pdu<'_>) -> Self {
        let target = UserId::checked(event.state_key().unwrap_or_default());
        Self { action, sender: UserId::checked(event.sender()), target }
    }

    fn proposal(&self) -> Proposal<'a> {
        Proposal { sender: self.sender.as_str(), target: self.target.as_str(), membership: self.action.membership() }
    }

    /// Returns the entries of the current state that [`check`](Self::check) reads.
    #[must_use]
    pub fn reads(&self, room: &ResidentRoom<'_>) -> Reads {
        Selection::of(room.version, &self.proposal()).reads()
    }

    /// Checks that this server is in the room, that there is something to answer, and the rules by the current state.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotInRoom`], [`Refusal::PartialState`]; [`Refusal::NothingToAnswer`]; [`Refusal::Rejected`]; [`Refusal::Host`].
    pub fn check<'r>(
        self,
        room: &ResidentRoom<'r>,
        state: &(impl RoomState + ?Sized),
    ) -> Result<AuthorizedAnswer<'a, 'r>, Refusal> {
        room.check_residence()?;
        // Who is not in the room is not told who knocks there.
        let sender = state.event(EventType::Member, self.sender.as_str())?;
        let is_joined = sender.is_some_and(|sender| sender.member_facts().membership() == Some(Membership::Join));
        if is_joined {
            check_stands(&self, state)?;
        }
        authorize_proposal(room.version, &self.proposal(), state).map_err(Refusal::by_current_state)?;
        check_stands(&self, state)?;
        Ok(AuthorizedAnswer { request: self, room: *room })
    }
}

/// Whether the knock, the invite or the ban that is answered is still there.
fn check_stands(request: &AnswerRequest<'_>, state: &(impl RoomState + ?Sized)) -> Result<(), Refusal> {
    let member = state.event(EventType::Member, request.target.as_str())?;
    // Who was never in the room is as one who has left. A membership that cannot be read is none of the five.
    let found = member.map_or(Some(Membership::Leave), |member| member.member_facts().membership());
    // A user's own knock is retracted, by a leave of their own.
    if found != Some(request.action.answers()) || request.sender == request.target {
        return Err(Refusal::NothingToAnswer { expected: request.action.answers() });
    }
    Ok(())
}

/// An answer that the rules allow, and the host is to decide on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizedAnswer<'a, 'r> {
    request: AnswerRequest<'a>,
    room: ResidentRoom<'r>,
}

impl<'a, 'r> AuthorizedAnswer<'a, 'r> {
    /// Takes the host's decision: rate limits, suspended users, invites that the target does not want.
    ///
    /// # Errors
    ///
    /// The refusal that the host decided on.
    pub fn decide(self, decision: Decision) -> Result<ApprovedAnswer<'a, 'r>, Refusal> {
        decision.admitted().map(|()| ApprovedAnswer(self))
    }
}

/// An answer that is granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovedAnswer<'a, 'r>(AuthorizedAnswer<'a, 'r>);

impl ApprovedAnswer<'_, '_> {
    /// Returns the entries of the current state that [`sign`](Self::sign) reads.
    #[must_use]
    pub fn reads(&self) -> Reads {
        self.0.request.reads(&self.0.room)
    }

    /// Makes and signs the event, if the current state, as it is now, still allows it. `prev_events` and `now` as for
    /// [`Template::knock`]; `details` has the reason, and for an acceptance perhaps name and avatar of the knocker.
    ///
    /// # Errors
    ///
    /// [`Refusal::NothingToAnswer`], [`Refusal::Rejected`] if the state has changed since the check; [`Refusal::OldEventFormat`];
    /// [`Refusal::TooLarge`]; [`Refusal::Host`].
    pub fn sign(
        &self,
        state: &(impl RoomState + ?Sized),
        details: &Details,
        prev_events: &[PrevEvent<'_>],
        now: u64,
        signer: &(impl Sign + ?Sized),
    ) -> Result<LocalEvent<Action>, Refusal> {
        let AuthorizedAnswer { request, room } = &self.0;
        check_stands(request, state)?;
        let template = Template::of_proposal(room.version, &request.proposal(), room.room_id, state, prev_events, now)?;
        LocalEvent::sign(template, request.action, request.sender.server_name(), details, now, signer)
    }
}

impl LocalEvent<Action> {
    /// Takes the verdict of the policy server. The event is authorized by the current state once more: the room may have changed
    /// while the policy server was asked.
    ///
    /// # Errors
    ///
    /// [`Refusal::NothingToAnswer`], [`Refusal::Rejected`], [`Refusal::Policy`], [`Refusal::TooLarge`], [`Refusal::Host`].
    pub fn accept(self, state: &(impl RoomState + ?Sized), policy: PolicyVerdict) -> Result<Answered, Refusal> {
        let version = self.version();
        // What counts as long as the room names this policy server.
        let kept = match self.policy_server(state)? {
            Some(_) => policy.clone(),
            None => PolicyVerdict::NotNamed,
        };
        let (event, action) = self.passed(state, policy)?;
        let (target, also_to) = {
            let pdu = event.pdu()?;
            let request = AnswerRequest::of_event(action, &pdu);
            check_stands(&request, state)?;
            let reach = reach::reach_of(request.sender, request.target, action.answers(), action.membership());
            (request.target.into_owned(), reach.map(|reach| (reach.server.into_owned(), reach.reason)))
        };
        Ok(match also_to {
            Some((_, Reason::Invited)) => {
                Answered::Invite(UnsignedInvite { version, action, target, event, policy: kept })
            }
            also_to => Answered::Append(AnswerEvent { event, also_to }),
        })
    }
}

/// What is to be done with an answer now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered {
    /// It is to be appended to the room and sent.
    Append(AnswerEvent),
    /// It is the invite of a user of another server, which has to sign it first.
    Invite(UnsignedInvite),
}

/// An answer that is to be appended to the room and sent to every server with a joined user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerEvent {
    event: SignedEvent,
    also_to: Option<(OwnedServerName, Reason)>,
}

impl AnswerEvent {
    /// Returns the event.
    #[must_use]
    pub const fn event(&self) -> &SignedEvent {
        &self.event
    }

    /// Takes the event.
    #[must_use]
    pub fn into_event(self) -> SignedEvent {
        self.event
    }

    /// Returns the server that has to get the event though it may not be in the room.
    #[must_use]
    pub fn also_to(&self) -> Option<MustReach<'_>> {
        self.also_to.as_ref().map(|(server, reason)| MustReach { server: server.as_borrowed(), reason: *reason })
    }
}
