//! The resident server: what it answers to another server, and its own users' answers to knocks.
//! Each step gets the entries of the state that it reads, and no others.

use matrix_knock::Ed25519;
use matrix_knock::auth::AuthStatus;
use matrix_knock::event::{Event as _, EventType, Pdu, SignedEvent};
use matrix_knock::id::UserId;
use matrix_knock::machine::{Endpoint, Request};
use matrix_knock::policy::PolicyVerdict;
use matrix_knock::resident::answer::{Action, AnswerRequest, Answered, CountersignedInvite, Inviting, UnsignedInvite};
use matrix_knock::resident::submission::{AuthEventRef, SendRequest};
use matrix_knock::resident::{Decision, Knock, Leave, LocalEvent, MakeRequest, Refusal, RequestKind};
use matrix_knock::state::RoomState as _;
use matrix_knock::stripped_state::ShownTypes;
use matrix_knock::template::Details;

use crate::room::{AllKeys, HERE, Room, THERE, key, name};

impl Room {
    /// The answer to a request of the knocker's server, after which the event is in the room if it
    /// is taken.
    pub(crate) fn serve(&mut self, request: &Request, now: u64) -> Result<String, Refusal> {
        match request.endpoint {
            Endpoint::MakeKnock { .. } => self.make::<Knock>(request, now),
            Endpoint::MakeLeave { .. } => self.make::<Leave>(request, now),
            Endpoint::SendKnock { .. } => self.take_in::<Knock>(request, now),
            Endpoint::SendLeave { .. } => self.take_in::<Leave>(request, now),
            _ => panic!("not for this server: {request:?}"),
        }
    }

    fn make<K: RequestKind>(&self, request: &Request, now: u64) -> Result<String, Refusal> {
        let http = request.to_http();
        let request = MakeRequest::<K>::parse(name(THERE), http.as_http())?;
        let (room, reads) = (self.resident(), request.reads(&self.resident()));
        let approved = request.check(&room, &self.look_up(&reads))?.decide(Decision::Admit)?;
        Ok(approved.template(&self.look_up(&approved.reads()), &[self.last()], now)?.to_response())
    }

    fn take_in<K: RequestKind>(&mut self, request: &Request, now: u64) -> Result<String, Refusal> {
        let http = request.to_http();
        let request = SendRequest::<K>::parse(name(THERE), http.as_http())?;
        let version = self.version;
        let text = |event: &&Pdu<'_>| event.to_federation(version).ok();
        let checked = request.check(&self.resident(), &self.look_up(&request.reads()))?;
        let checked = checked.verify(&AllKeys, &Ed25519, now)?;
        if self.position(checked.event_id()).is_some() {
            let again = checked.known();
            return again.to_response(&self.look_up(&again.reads()), text);
        }
        let state = self.state();
        let prev = checked.prev_events().map(|id| self.position(id)).max().flatten();
        let before = self.state_after(prev.ok_or(Refusal::UnknownPrevEvents)? + 1);
        let auth_events = checked.match_auth_events(self.accepted())?;
        let authorized = checked.authorize(&auth_events, &before, &state)?;
        let accepted = authorized.accept(&state, PolicyVerdict::NotNamed, Decision::Admit)?;
        let response = accepted.to_response(&state, text)?;
        let stored = (accepted.event().event_id().unwrap().to_owned(), accepted.to_text().unwrap());
        self.events.push(stored);
        Ok(response)
    }

    fn accepted(&self) -> impl Iterator<Item = AuthEventRef<Pdu<'_>>> {
        let events = self.events.iter().map(|(id, text)| Pdu::parse(text).unwrap().with_event_id(id.as_str()));
        events.map(|event| AuthEventRef { event, status: AuthStatus::Accepted })
    }

    pub(crate) fn position(&self, event_id: &str) -> Option<usize> {
        self.events.iter().position(|(id, _)| id == event_id)
    }

    /// A member's answer, up to its signature.
    pub(crate) fn answer(
        &self,
        (action, sender, target): (Action, &str, &str),
        details: &Details,
        now: u64,
    ) -> Result<LocalEvent<Action>, Refusal> {
        let (sender, target) = (UserId::parse(sender).unwrap(), UserId::parse(target).unwrap());
        let request = AnswerRequest::new(action, sender, target);
        let room = self.resident();
        let approved = request.check(&room, &self.look_up(&request.reads(&room)))?.decide(Decision::Admit)?;
        approved.sign(&self.look_up(&approved.reads()), details, &[self.last()], now, &key(HERE))
    }

    pub(crate) fn accept(&self, event: LocalEvent<Action>, policy: PolicyVerdict) -> Result<Answered, Refusal> {
        let state = self.look_up(&event.reads());
        event.accept(&state, policy)
    }

    /// The machine that asks the invited user's server.
    pub(crate) fn invite(&self, invite: UnsignedInvite) -> Inviting {
        let types = ShownTypes::default();
        let state = self.look_up(&invite.reads(&types));
        invite.start(&types, &state, |event| event.to_federation(self.version).ok()).unwrap()
    }

    pub(crate) fn append(&mut self, invite: CountersignedInvite) -> Result<SignedEvent, Refusal> {
        let state = self.look_up(&invite.reads());
        let event = invite.accept(&state)?;
        self.take(&event);
        Ok(event)
    }

    /// What the state says of a user's membership.
    pub(crate) fn membership(&self, user: &str) -> Option<String> {
        let state = self.state();
        let found = state.event(EventType::Member, user).unwrap();
        let content: serde_json::Value = serde_json::from_str(found?.content()).unwrap();
        content["membership"].as_str().map(str::to_owned)
    }
}
