//! The resident server: the recorded room, and what comes into it.
//!
//! Every step of a handler gets a snapshot of the state as it is then, with the entries that it reads and no others, as
//! from a store. (`examples/async_server.rs` has the same handlers over a store that awaits and can fail.)

use std::io;

use matrix_knock::Ed25519;
use matrix_knock::auth::AuthStatus;
use matrix_knock::error::PathError;
use matrix_knock::event::{Ed25519Key, Event as _, KeyValidity, Keys, OwnedPdu, SignedEvent, VerifyKey};
use matrix_knock::id::{EventId, RoomId, ServerName};
use matrix_knock::policy::{PolicyRefusal, PolicyServer, PolicyVerdict};
use matrix_knock::resident::answer::{AnswerRequest, Answered, CountersignedInvite, Inviting, UnsignedInvite};
use matrix_knock::resident::submission::{AuthEventRef, SendRequest};
use matrix_knock::resident::{Decision, Knock, Leave, MakeRequest, Refusal, RequestKind, Residence, ResidentRoom};
use matrix_knock::state::{Reads, Snapshot};
use matrix_knock::stripped_state::ShownTypes;
use matrix_knock::template::{Details, PrevEvent};
use matrix_knock::wire::HttpRequest;

use super::recording::{Room, StoredEvent};

/// The server of the recorded room, and its real key.
pub(crate) const SERVER: &str = "hs1.test:18448";
const KEY: (&str, &str) = ("ed25519:a_iYFt", "kUrTBlD18L/h77V8xlu2lEPYAx2XZuLBTS3AvTxhHmI");

/// The key that this server signs with in the walk: nobody has the secret of the recorded one.
const SEED: [u8; 32] = [8; 32];
const KEY_ID: &str = "ed25519:walk_hs1";

/// A server's only key.
#[derive(Clone, Copy)]
pub(crate) struct OnlyKey<'a> {
    pub(crate) server: &'a str,
    pub(crate) key_id: &'a str,
    pub(crate) key: Option<VerifyKey>,
}

impl Keys for OnlyKey<'_> {
    fn key(&self, server: &str, key_id: &str) -> Option<VerifyKey> {
        self.key.filter(|_| server == self.server && key_id == self.key_id)
    }
}

#[derive(Clone)]
pub(crate) struct Resident<'a> {
    room: Room,
    key: Ed25519Key,
    /// The key of the other server of the walk. (A real host asks that server.)
    knockers_key: OnlyKey<'a>,
    now: u64,
}

impl<'a> Resident<'a> {
    pub(crate) fn new(room: Room, knockers_key: OnlyKey<'a>, now: u64) -> io::Result<Self> {
        let key = Ed25519Key::from_seed(KEY_ID, &SEED).map_err(io::Error::other)?;
        Ok(Self { room, key, knockers_key, now })
    }

    /// The keys that others verify the events of this server with: the recorded one, and that of the walk.
    pub(crate) fn keys() -> Vec<OnlyKey<'static>> {
        let (key_id, key) = KEY;
        let recorded = OnlyKey { server: SERVER, key_id, key: VerifyKey::from_base64(key, KeyValidity::Forever) };
        let of_walk = Ed25519Key::from_seed(KEY_ID, &SEED).ok();
        let key = of_walk.map(|key| VerifyKey { public_key: key.public_key(), validity: KeyValidity::Forever });
        vec![recorded, OnlyKey { server: SERVER, key_id: KEY_ID, key }]
    }

    /// The body of the answer to a request of another server, which has been authenticated.
    pub(crate) fn answer(&mut self, origin: ServerName<'_>, request: HttpRequest<'_>) -> Result<String, Refusal> {
        match request.path.split('/').nth(4) {
            Some(Knock::MAKE) => self.make::<Knock>(origin, request),
            Some(Leave::MAKE) => self.make::<Leave>(origin, request),
            Some(Knock::SEND) => self.send::<Knock>(origin, request),
            Some(Leave::SEND) => self.send::<Leave>(origin, request),
            _ => Err(PathError::NoSuchEndpoint.into()),
        }
    }

    fn make<K: RequestKind>(&self, origin: ServerName<'_>, request: HttpRequest<'_>) -> Result<String, Refusal> {
        let request = MakeRequest::<K>::parse(origin, request)?;
        let room = self.room(request.room_id())?;
        let state = self.current(&request.reads(&room));
        let approved = request.check(&room, &state)?.decide(Decision::Admit)?;
        let template = approved.template(&self.current(&approved.reads()), &self.forward_extremities(), self.now)?;
        Ok(template.to_response())
    }

    fn send<K: RequestKind>(&mut self, origin: ServerName<'_>, request: HttpRequest<'_>) -> Result<String, Refusal> {
        let request = SendRequest::<K>::parse(origin, request)?;
        let room = self.room(request.room_id())?;
        let text = |event: &&OwnedPdu| event.as_pdu().to_federation(room.version).ok();
        let checked = request.check(&room, &self.current(&request.reads()))?;
        let checked = checked.verify(&self.knockers_key, &Ed25519, self.now)?;
        if self.position(checked.event_id()).is_some() {
            let again = checked.known();
            return again.to_response(&self.current(&again.reads()), text);
        }

        let auth_events = checked.match_auth_events(self.accepted(checked.auth_events().collect()))?;
        let before = self.state_after(checked.prev_events(), &checked.reads()).ok_or(Refusal::UnknownPrevEvents)?;
        let current = self.current(&checked.reads());
        let authorized = checked.authorize(&auth_events, &before, &current)?;
        let policy = match authorized.policy_server(&self.current(&PolicyServer::reads()))? {
            None => PolicyVerdict::NotNamed,
            // The recorded room has none. A real host asks it to sign the event, if a user of it is joined.
            Some(_) => PolicyVerdict::Refused(PolicyRefusal::NoAnswer),
        };
        let current = self.current(&authorized.reads());
        let accepted = authorized.accept(&current, policy, Decision::Admit)?;

        // A real host sends the event to every server with a joined user now.
        let depth = u64::try_from(accepted.pdu().signed().formatted().depth()).unwrap_or_default();
        self.room.events.push(StoredEvent { event: accepted.to_stored()?, depth });
        accepted.to_response(&self.current(&accepted.reads()), text)
    }

    /// A member's answer to a knock, up to where it can be appended or sent to the invited user's server.
    pub(crate) fn answer_knock(&self, request: AnswerRequest<'_>, policy: PolicyVerdict) -> Result<Answered, Refusal> {
        let room = self.room(self.room.id)?;
        let approved = request.check(&room, &self.current(&request.reads(&room)))?.decide(Decision::Admit)?;
        let state = self.current(&approved.reads());
        let event = approved.sign(&state, &Details::default(), &self.forward_extremities(), self.now, &self.key)?;
        let state = self.current(&event.reads());
        event.accept(&state, policy)
    }

    /// The machine that asks the invited user's server.
    pub(crate) fn invite(&self, invite: UnsignedInvite) -> Result<Inviting, Refusal> {
        let types = ShownTypes::default();
        let state = self.current(&invite.reads(&types));
        invite.start(&types, &state, |event| event.as_pdu().to_federation(self.room.version).ok())
    }

    pub(crate) fn append_invite(&mut self, invite: CountersignedInvite) -> Result<SignedEvent, Refusal> {
        let state = self.current(&invite.reads());
        let event = invite.accept(&state)?;
        self.append(&event)?;
        Ok(event)
    }

    /// A real host sends the event to every server with a joined user now, too.
    pub(crate) fn append(&mut self, event: &SignedEvent) -> Result<(), Refusal> {
        let depth = self.room.events.last().map_or(0, |last| last.depth).saturating_add(1);
        self.room.events.push(StoredEvent { event: event.pdu()?.into_owned(), depth });
        Ok(())
    }

    fn room(&self, room_id: RoomId<'_>) -> Result<ResidentRoom<'static>, Refusal> {
        let Room { id, version, .. } = self.room;
        let room = ResidentRoom { room_id: id, version, residence: Residence::Joined };
        if room_id == id { Ok(room) } else { Err(Refusal::UnknownRoom) }
    }

    /// The entries of the current state.
    fn current(&self, reads: &Reads) -> Snapshot<OwnedPdu> {
        self.state_at(self.room.events.len(), reads)
    }

    /// The entries of the state after all of these events, if they are known.
    fn state_after<'i>(&self, event_ids: impl Iterator<Item = &'i str>, reads: &Reads) -> Option<Snapshot<OwnedPdu>> {
        let positions = event_ids.map(|event_id| self.position(event_id)).collect::<Option<Vec<_>>>()?;
        Some(self.state_at(positions.into_iter().max()?.saturating_add(1), reads))
    }

    /// The entries of the state after the first so many events.
    fn state_at(&self, length: usize, reads: &Reads) -> Snapshot<OwnedPdu> {
        Snapshot::of_events(reads, self.room.events.iter().take(length).map(|stored| stored.event.clone()))
    }

    /// Those of the events that are known.
    fn accepted(&self, event_ids: Vec<&str>) -> impl Iterator<Item = AuthEventRef<&OwnedPdu>> {
        let known = event_ids.into_iter().filter_map(|event_id| self.room.events.get(self.position(event_id)?));
        known.map(|stored| AuthEventRef { event: &stored.event, status: AuthStatus::Accepted })
    }

    fn position(&self, event_id: &str) -> Option<usize> {
        self.room.events.iter().position(|stored| stored.event.event_id() == Some(event_id))
    }

    fn forward_extremities(&self) -> Vec<PrevEvent<'_>> {
        let last = self.room.events.last();
        let event_id = last.and_then(|stored| EventId::parse(stored.event.event_id()?).ok());
        event_id.zip(last).map(|(event_id, stored)| PrevEvent { event_id, depth: stored.depth }).into_iter().collect()
    }
}
