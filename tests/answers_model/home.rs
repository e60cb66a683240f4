//! Kay's server: outside of the room, or in it.

use std::collections::BTreeMap;

use matrix_knock::event::Event as _;
use matrix_knock::id::UserId;
use matrix_knock::knocking::PendingKnock;
use matrix_knock::knocking::invitation::{AcceptedInvite, InviteDecision, InviteRefusal, InviteRequest};
use matrix_knock::knocking::out_of_band::{Msc4233Denial, NoAnswer as NotBelieved, ReceivedInvite, Revocation};
use matrix_knock::machine::Request;
use matrix_knock::policy::PolicyVerdict;
use matrix_knock::receipt::Outcome;
use matrix_knock::{Ed25519, RoomVersion};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::knocker::{id, whole};
use crate::model::{Change, Event, Is};
use crate::room::{AllKeys, HERE, KAY, THERE, key, name};
use crate::world::{Label, NOT_NAMED, World, acceptance};

/// What it knows of Kay's membership.
pub(crate) struct Home {
    is: Is,
    current: Option<String>,
    pub(crate) pending: Option<PendingKnock>,
    /// The invites that it has signed, by ID: asked again, it says the same.
    answered: BTreeMap<String, AcceptedInvite>,
}

impl Default for Home {
    fn default() -> Self {
        Self { is: Is::Nothing, current: None, pending: None, answered: BTreeMap::new() }
    }
}

/// As it comes back out of the store.
pub(crate) fn stored<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) -> T {
    let back: T = serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap();
    assert_eq!(back, *value);
    back
}

impl Home {
    pub(crate) const fn is(&self) -> Is {
        self.is
    }

    pub(crate) fn current(&self) -> Option<&str> {
        self.current.as_deref()
    }

    pub(crate) fn set(&mut self, is: Is, current: Option<String>) {
        (self.is, self.current) = (is, current);
        if is != Is::Knocking {
            self.pending = None;
        }
    }

    pub(crate) fn store(&mut self) {
        self.pending = self.pending.as_ref().map(stored);
        self.answered.values_mut().for_each(|invite| *invite = stored(invite));
    }
}

impl World {
    /// What Kay's server answers to an invite.
    pub(crate) fn invited(&mut self, request: &Request, event: Event) -> (u16, String) {
        let id = self.ids[&event.number].clone();
        if let Some(again) = self.home.answered.get(&id) {
            return (200, again.to_response());
        }
        match self.countersign(request, event) {
            Ok(accepted) => {
                let response = accepted.to_response();
                assert_eq!(accepted.event().event_id(), id);
                self.home.answered.insert(id, accepted);
                self.set_home(Is::Invited, Some(event.number));
                (200, response)
            }
            Err(refusal) => {
                // Who is in is not invited.
                assert_eq!((&refusal, self.model.home.kay), (&InviteRefusal::Forbidden, Is::Joined));
                (refusal.to_response().status(), refusal.to_response().to_string())
            }
        }
    }

    fn countersign(&self, request: &Request, event: Event) -> Result<AcceptedInvite, InviteRefusal> {
        let http = request.to_http();
        let invite = InviteRequest::parse(name(HERE), http.as_http())?;
        let verified = invite.check(name(THERE), &RoomVersion::ALL)?.verify(&AllKeys, &Ed25519, self.now)?;
        assert_eq!((verified.warnings(), verified.event().event_id()), (&[][..], Some(&*self.ids[&event.number])));
        if let Some(pending) = &self.home.pending {
            assert_eq!(self.model.home.kay, Is::Knocking);
            let found = verified.acceptance(&pending.sent(self.home.current().map(id)));
            assert_eq!(found, Ok(acceptance(event.names == self.model.home.event)));
        }
        let decision = if self.home.is == Is::Joined { InviteDecision::Forbidden } else { InviteDecision::Admit };
        verified.decide(decision)?.countersign(&key(THERE))
    }

    /// An event of the room comes in a transaction.
    pub(crate) fn told(&mut self, place: usize) -> Label {
        let event = self.model.log[place];
        match self.home.is {
            Is::Knocking => self.told_of_knock(place, event),
            Is::Invited => self.told_of_invite(place, event),
            Is::Joined => self.told_inside(place, event),
            Is::Nothing | Is::Left | Is::Banned => "nobody waits for it",
        }
    }

    /// What the model says of an answer: it is believed if it names what stands.
    fn believed(&self, event: Event) -> Result<Is, NotBelieved> {
        match event.change {
            Change::Answer(_) if event.names == self.model.home.event => Ok(event.change.makes().unwrap()),
            Change::Answer(_) => Err(NOT_NAMED),
            _ => Err(NotBelieved::ByTheUser),
        }
    }

    fn told_of_knock(&mut self, place: usize, event: Event) -> Label {
        let Some(pending) = &self.home.pending else { panic!("no knock") };
        let sent = pending.sent(self.home.current().map(id));
        let found = whole(self.room.version, self.text(place), |event| sent.msc4233_denial(event, name(HERE)));
        let found = found.map(|denial| match denial {
            Msc4233Denial::Declined => Is::Left,
            Msc4233Denial::Banned => Is::Banned,
        });
        self.take_word(found, event, "denial believed", "denial of another knock")
    }

    fn told_of_invite(&mut self, place: usize, event: Event) -> Label {
        let current = id(self.home.current().unwrap());
        let invite = ReceivedInvite {
            room_id: self.room.room_id(),
            user_id: UserId::parse(KAY).unwrap(),
            event_id: current,
            version: self.room.version,
            current: Some(current),
            inviter: name(HERE),
        };
        let found = whole(self.room.version, self.text(place), |event| invite.revocation(event, name(HERE)));
        let found = found.map(|revocation| match revocation {
            Revocation::Revoked => Is::Left,
            Revocation::Banned => Is::Banned,
        });
        self.take_word(found, event, "revocation believed", "revocation of another invite")
    }

    fn take_word(&mut self, found: Result<Is, NotBelieved>, event: Event, yes: Label, no: Label) -> Label {
        assert_eq!(found, self.believed(event));
        match found {
            Ok(is) => {
                self.set_home(is, Some(event.number));
                yes
            }
            Err(_) => no,
        }
    }

    /// In the room the rules decide, on what is newer than the join.
    fn told_inside(&mut self, place: usize, event: Event) -> Label {
        let current = self.room.position(self.home.current().unwrap()).unwrap();
        let at = self.base + place;
        if at <= current {
            return "older than the join";
        }
        let found = self.room.receive(self.text(place), [self.base + event.after, at], PolicyVerdict::NotNamed);
        assert_eq!(found, Outcome::Accepted(None));
        self.set_home(event.change.makes().unwrap(), Some(event.number));
        "gone by the room"
    }
}
