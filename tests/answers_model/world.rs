//! The servers and what is on its way between them, with the model beside: every step is taken by
//! both, and they must not differ.

use std::collections::{BTreeMap, BTreeSet};

use matrix_knock::auth::Rule;
use matrix_knock::event::SignedEvent;
use matrix_knock::knocking::out_of_band::{Acceptance, NoAnswer as NotBelieved};
use matrix_knock::machine::{Machine as _, NotTaken, Reply, Request, Want};
use matrix_knock::policy::PolicyVerdict;
use matrix_knock::receipt::Outcome;
use matrix_knock::resident::answer::{Action, Answered, Inviting, NotInvited};
use matrix_knock::resident::{LocalEvent, Refusal};
use matrix_knock::template::Details;
use matrix_knock::wire::HttpResponse;
use matrix_knock::{Ed25519, RoomVersion};
use serde_json::{Value, json};

use crate::exchange::Exchange;
use crate::home::Home;
use crate::model::{Change, Event, Is, Model, NoAnswer};
use crate::room::{ALICE, AllKeys, HERE, KAY, Room, THEN, THERE};
use crate::witness::Witness;

/// Who answers.
pub(crate) const MO: &str = "@mo:a.example";

/// What the network does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Net {
    Good,
    /// It may come late.
    RequestLost,
    AnswerLost,
}

/// What happened, in short.
pub(crate) type Label = &'static str;

pub(crate) struct World {
    pub(crate) room: Room,
    /// While it is open.
    join_rule: &'static str,
    /// How many events made the room.
    pub(crate) base: usize,
    /// Milliseconds since the Unix epoch.
    pub(crate) now: u64,
    pub(crate) model: Model,
    /// The IDs of the model's events, by number.
    pub(crate) ids: BTreeMap<usize, String>,
    signed: Option<(LocalEvent<Action>, Event)>,
    pub(crate) inviting: Option<(Inviting, Event)>,
    pub(crate) home: Home,
    pub(crate) exchange: Option<Exchange>,
    /// Requests that were lost, or repeated.
    pub(crate) late: Vec<(Request, Event)>,
    /// Events of the room, by their place in it, on the way to Kay's server and to the third one.
    pub(crate) to_home: Vec<usize>,
    pub(crate) to_witness: Vec<usize>,
    /// Those that have to be sent once more.
    pub(crate) lost: [Vec<usize>; 2],
    pub(crate) witness: Witness,
    pub(crate) seen: BTreeSet<Label>,
}

pub(crate) fn no_answer(refusal: &Refusal) -> NoAnswer {
    match refusal {
        Refusal::NothingToAnswer { .. } => NoAnswer::Nothing,
        other => NoAnswer::Rule(rule(other)),
    }
}

pub(crate) fn rule(refusal: &Refusal) -> Rule {
    let Refusal::Rejected { rejection, .. } = refusal else { panic!("{refusal:?}") };
    rejection.rule()
}

impl World {
    pub(crate) fn new(version: RoomVersion, join_rule: &'static str) -> Self {
        let mut room = Room::new(version, join_rule);
        room.levels(json!({ MO: 50 }));
        room.member(ALICE, MO, "invite");
        room.member(MO, MO, "join");
        Self {
            base: room.events.len(),
            room,
            now: THEN + 1_000_000,
            model: Model::new(join_rule == "knock_restricted"),
            join_rule,
            ids: BTreeMap::new(),
            signed: None,
            inviting: None,
            home: Home::default(),
            exchange: None,
            late: Vec::new(),
            to_home: Vec::new(),
            to_witness: Vec::new(),
            lost: [Vec::new(), Vec::new()],
            witness: Witness::default(),
            seen: BTreeSet::new(),
        }
    }

    /// The number of an event gets its ID.
    pub(crate) fn note(&mut self, event: Event, id: &str) {
        assert!(!self.ids.values().any(|known| known == id), "two events are one");
        assert_eq!(self.ids.insert(event.number, id.to_owned()), None);
    }

    /// An event has become a part of the room; whoever has to hear of it will.
    pub(crate) fn appended(&mut self, event: Event, tell_home: bool) {
        let was_joined = self.model.state().kay == Is::Joined && event.change.makes().is_some();
        let place = self.model.log.len();
        self.model.log.push(event);
        assert_eq!(self.room.events.len(), self.base + self.model.log.len());
        assert_eq!(self.room.events[self.base + place].0, self.ids[&event.number]);
        self.to_witness.push(place);
        if tell_home || was_joined {
            self.to_home.push(place);
        }
    }

    pub(crate) fn text(&self, place: usize) -> &str {
        &self.room.events[self.base + place].1
    }

    /// Mo signs an answer.
    pub(crate) fn sign(&mut self, action: Action) -> Label {
        let details = Details { reason: Some(self.now.to_string()), ..Details::default() };
        let found = self.room.answer((action, MO, KAY), &details, self.now);
        let expected = self.model.no_answer_yet(action);
        assert_eq!(found.as_ref().err().map(no_answer), expected);
        let Ok(signed) = found else { return "nothing to sign" };
        let event = self.model.make(Change::Answer(action));
        self.note(event, signed.event_id());
        self.signed = Some((signed, event));
        "signed"
    }

    pub(crate) const fn has_signed(&self) -> bool {
        self.signed.is_some()
    }

    /// The signed answer is accepted, if the room still is as it has to be.
    pub(crate) fn accept(&mut self) -> Label {
        let Some((signed, event)) = self.signed.take() else { return "nothing to accept" };
        let Change::Answer(action) = event.change else { panic!("{event:?}") };
        let text = signed.text().to_owned();
        let found = self.room.accept(signed, PolicyVerdict::NotNamed);
        let expected = self.model.no_answer(action);
        assert_eq!(found.as_ref().err().map(no_answer), expected);
        match found {
            Err(_) => "answer overtaken",
            Ok(Answered::Append(answer)) => {
                assert_ne!(action, Action::Accept);
                assert_eq!(answer.event().text(), text);
                let also_to = answer.also_to().map(|reach| reach.server.as_str().to_owned());
                let tells_home = action != Action::Unban;
                assert_eq!(also_to.as_deref(), tells_home.then_some(THERE));
                self.room.take(answer.event());
                self.appended(event, tells_home);
                "answered"
            }
            Ok(Answered::Invite(invite)) => {
                assert_eq!(action, Action::Accept);
                // One at a time; a second is dropped.
                if self.inviting.is_some() {
                    return "invite dropped";
                }
                self.inviting = Some((self.room.invite(invite), event));
                "inviting"
            }
        }
    }

    /// The next step of the invite.
    pub(crate) fn invite(&mut self, net: Net) -> Label {
        let Some((mut inviting, event)) = self.inviting.take() else { return "no invite" };
        let (ticket, want) = inviting.want();
        let label = match want {
            Want::Request(request) if net == Net::RequestLost => {
                self.late.push((request, event));
                inviting.reply(ticket, Reply::None, self.now).unwrap();
                assert_eq!(inviting.outcome(), Some(Err(NotInvited::NoAnswer)));
                "invite lost"
            }
            Want::Request(request) => {
                let (status, body) = self.invited(&request, event);
                if net == Net::AnswerLost {
                    inviting.reply(ticket, Reply::None, self.now).unwrap();
                    assert_eq!(inviting.outcome(), Some(Err(NotInvited::NoAnswer)));
                    // The answer comes too late.
                    let late = Reply::from(HttpResponse::new(status, &body));
                    assert_eq!(inviting.reply(ticket, late, self.now), Err(NotTaken::NotAsked));
                    "countersigned in vain"
                } else {
                    inviting.reply(ticket, HttpResponse::new(status, &body).into(), self.now).unwrap();
                    match status {
                        200 => "countersigned",
                        _ => {
                            let Some(Err(NotInvited::Refused(refusal))) = inviting.outcome() else {
                                panic!("{status}")
                            };
                            assert_eq!((refusal.status(), refusal.errcode().as_str()), (403, "M_FORBIDDEN"));
                            "invite refused"
                        }
                    }
                }
            }
            Want::Keys(_) => {
                assert_eq!(inviting.outcome(), None);
                inviting.keys(ticket, &AllKeys, &Ed25519, self.now).unwrap();
                assert!(matches!(inviting.outcome(), Some(Ok(_))));
                "signature verified"
            }
            Want::Ended => "invite ended",
            Want::Sign(_) => panic!("it is signed"),
        };
        self.inviting = Some((inviting, event));
        label
    }

    pub(crate) fn retry(&mut self) -> Label {
        let Some((inviting, _)) = &mut self.inviting else { return "no invite" };
        let can_retry = inviting.outcome() == Some(Err(NotInvited::NoAnswer));
        assert_eq!(inviting.retry(), can_retry);
        if can_retry { "invite again" } else { "no invite again" }
    }

    /// What the countersigned invite comes to.
    pub(crate) fn append(&mut self) -> Label {
        let Some((inviting, event)) = self.inviting.take() else { return "no invite" };
        match inviting.outcome() {
            None => {
                self.inviting = Some((inviting, event));
                "not countersigned yet"
            }
            Some(Err(_)) => "given up",
            Some(Ok(invite)) => {
                let found = self.room.append(invite.clone());
                let expected = self.model.no_answer(Action::Accept);
                assert_eq!(found.as_ref().err().map(no_answer), expected);
                let Ok(appended) = found else { return "invite overtaken" };
                check_signers(&appended);
                self.appended(event, false);
                // A second time it is not appended: the knock is answered, or Mo may not any more.
                assert_eq!(self.room.append(invite).map_err(|refusal| no_answer(&refusal)), Err(NoAnswer::Nothing));
                "invited"
            }
        }
    }

    /// Alice changes what Mo may, or whether people may knock.
    pub(crate) fn change(&mut self, change: Change) -> Label {
        let event = self.model.make(change);
        let id = match change {
            Change::Power(power) => {
                self.room.levels(json!({ MO: if power { 50 } else { 49 } }));
                self.room.events.last().unwrap().0.clone()
            }
            Change::Open(open) => {
                let rule = if open { self.join_rule } else { "invite" };
                self.room.send(ALICE, "m.room.join_rules", "", json!({ "join_rule": rule }))
            }
            other => panic!("{other:?}"),
        };
        self.note(event, &id);
        self.appended(event, false);
        "room changed"
    }

    /// Kay joins, invited as she thinks she is. (The join is not this crate's; its receipt is.)
    pub(crate) fn join(&mut self, net: Net) -> Label {
        if self.exchange.is_some() || self.home.is() != Is::Invited {
            return "no join";
        }
        if net == Net::RequestLost {
            return "join lost";
        }
        let mut draft = self.room.clone();
        let content = json!({ "membership": "join", "displayname": self.now.to_string() });
        let id = draft.send(KAY, "m.room.member", KAY, content);
        let (_, text) = draft.events.pop().unwrap();
        let outcome = self.room.receive(&text, [self.room.events.len(); 2], PolicyVerdict::NotNamed);
        let refused = Change::Join.refused(self.model.state());
        match outcome {
            Outcome::Rejected(rejected) => {
                assert_eq!(Some(rejected.rejection().rule()), refused);
                if net == Net::Good {
                    self.set_home(Is::Left, None);
                }
                "dead invite"
            }
            other => {
                assert_eq!((other, refused), (Outcome::Accepted(None), None));
                let event = self.model.make(Change::Join);
                self.note(event, &id);
                self.room.events.push((id.clone(), text));
                self.appended(event, false);
                if net == Net::AnswerLost {
                    self.model.home.is_joining = true;
                    return "joined unheard";
                }
                self.set_home(Is::Joined, Some(event.number));
                "joined"
            }
        }
    }

    /// Kay's server knows something new, and the model beside.
    pub(crate) fn set_home(&mut self, kay: Is, event: Option<usize>) {
        self.model.home = crate::model::Home { kay, event, is_joining: false };
        self.home.set(kay, event.map(|number| self.ids[&number].clone()));
    }

    /// A request that was lost, or answered before, arrives.
    pub(crate) fn arrives_late(&mut self, place: usize) -> Label {
        let Some((request, event)) = self.late.get(place).cloned() else { return "nothing late" };
        match event.change {
            Change::Answer(_) => {
                let (status, _) = self.invited(&request, event);
                if status == 200 { "late invite" } else { "late invite refused" }
            }
            _ => {
                let was_there = self.model.has(event);
                self.served(&request, event);
                match (was_there, self.model.has(event)) {
                    (true, _) => "late and known",
                    (false, true) => "late and taken",
                    (false, false) => "late and refused",
                }
            }
        }
    }

    /// What holds at all times.
    pub(crate) fn check(&self) {
        let state = self.model.state();
        assert_eq!(self.room.membership(KAY).as_deref(), state.kay.name());
        let model = &self.model.home;
        assert_eq!((self.home.is(), self.home.current()), (model.kay, model.event.map(|number| &*self.ids[&number])));
        // Who believes to be in is in, or will hear otherwise.
        if model.kay == Is::Joined && state.kay != Is::Joined {
            assert!(!self.to_home.is_empty() || !self.lost[0].is_empty(), "{:?}", self.model.log);
        }
        for (place, event) in self.model.log.iter().enumerate() {
            if event.change == Change::Answer(Action::Accept) {
                assert!(signers(self.text(place)).contains(&THERE.to_owned()));
            }
        }
    }
}

fn signers(text: &str) -> Vec<String> {
    text.parse::<Value>().unwrap()["signatures"].as_object().unwrap().keys().cloned().collect()
}

/// Both servers, and their signatures verify.
fn check_signers(event: &SignedEvent) {
    assert_eq!(signers(event.text()), [HERE, THERE]);
}

/// What the model says of a link or a denial.
pub(crate) fn acceptance(is_named: bool) -> Acceptance {
    if is_named { Acceptance::LinkedByAuthEvents } else { Acceptance::MerelyInvited }
}

pub(crate) const NOT_NAMED: NotBelieved = NotBelieved::NotInAuthEvents;
