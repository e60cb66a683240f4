//! The machines of Kay's server: a knock, and the leave with which it is taken back, an invite
//! declined, the room left.

use matrix_knock::event::Sign as _;
use matrix_knock::id::{OwnedServerName, RoomId, UserId};
use matrix_knock::knocking::{
    Departure, Details, Failed, Failure, Intent, Knocking, OwnMembership, Retracted, Retracting, Start,
};
use matrix_knock::machine::{Endpoint, Machine as _, NotTaken, Reply, Request, Ticket, Want};
use matrix_knock::resident::AuthStage;
use matrix_knock::resident::Refusal;
use matrix_knock::wire::HttpResponse;
use matrix_knock::{Ed25519, RoomVersion};

use crate::home::stored;
use crate::model::{Change, Event, Is};
use crate::room::{AllKeys, HERE, KAY, THERE, key};
use crate::world::{Label, Net, World, rule};

#[derive(Debug, Clone)]
enum Machine {
    Knock(Box<Knocking>),
    Leave(Box<Retracting>),
}

/// Where the machine has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Make,
    Sign,
    Send,
    Keys,
    /// Taken; or why not. A server may have taken it and not said so.
    Ended(Result<(), (bool, Silence)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Silence {
    NoAnswer,
    Forbidden,
}

#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    machine: Machine,
    stage: Stage,
    /// What the template has become.
    event: Option<Event>,
    /// What Kay's server knew when it began.
    began: crate::model::Home,
}

impl Machine {
    fn want(&self) -> (Ticket, Want<'_>) {
        match self {
            Self::Knock(machine) => machine.want(),
            Self::Leave(machine) => machine.want(),
        }
    }

    fn reply(&mut self, ticket: Ticket, reply: Reply<'_>, now: u64) -> Result<(), NotTaken> {
        match self {
            Self::Knock(machine) => machine.reply(ticket, reply, now),
            Self::Leave(machine) => machine.reply(ticket, reply, now),
        }
    }

    fn sign(&mut self, ticket: Ticket, bytes: &str) {
        let signature = key(THERE).sign(bytes.as_bytes());
        let taken = match self {
            Self::Knock(machine) => machine.signature(ticket, key(THERE).key_id(), &signature),
            Self::Leave(machine) => machine.signature(ticket, key(THERE).key_id(), &signature),
        };
        assert_eq!(taken, Ok(()));
    }

    const fn change(&self) -> Change {
        match self {
            Self::Knock(_) => Change::Knock,
            Self::Leave(_) => Change::Leave,
        }
    }
}

impl Exchange {
    pub(crate) fn store(&mut self) {
        self.machine = match &self.machine {
            Machine::Knock(machine) => Machine::Knock(Box::new(stored(&**machine))),
            Machine::Leave(machine) => Machine::Leave(Box::new(stored(&**machine))),
        };
    }
}

fn here() -> [OwnedServerName; 1] {
    [HERE.parse().unwrap()]
}

impl World {
    /// Kay wants to knock. Her server has nothing against it unless she is in.
    pub(crate) fn knock(&mut self) -> Label {
        if self.exchange.is_some() || self.home.is() == Is::Joined || self.model.home.is_joining {
            return "no knock";
        }
        let details = Details { reason: Some(self.now.to_string()), ..Details::default() };
        let start = Knocking::start(&Intent {
            room_id: RoomId::parse(&self.room.id).unwrap(),
            user_id: UserId::parse(KAY).unwrap(),
            own: OwnMembership::OutOfBand,
            servers: &here(),
            versions: &RoomVersion::ALL,
            details: &details,
        });
        let Start::Remote(machine) = start else { panic!("{start:?}") };
        self.begin(Machine::Knock(machine));
        "knocking"
    }

    /// Kay wants to leave what she believes to be in.
    pub(crate) fn leave(&mut self) -> Label {
        if self.exchange.is_some() || !matches!(self.home.is(), Is::Knocking | Is::Invited | Is::Joined) {
            return "no leave";
        }
        let machine = match &self.home.pending {
            Some(knock) => Retracting::of_knock(knock, &[], Some("Never mind")),
            None => Retracting::start(&Departure {
                room_id: RoomId::parse(&self.room.id).unwrap(),
                user_id: UserId::parse(KAY).unwrap(),
                servers: &here(),
                versions: &[self.room.version],
                reason: None,
            }),
        };
        self.begin(Machine::Leave(Box::new(machine)));
        "leaving"
    }

    fn begin(&mut self, machine: Machine) {
        self.exchange = Some(Exchange { machine, stage: Stage::Make, event: None, began: self.model.home });
    }

    /// The next step of the knock or leave.
    pub(crate) fn drive(&mut self, net: Net) -> Label {
        let Some(mut exchange) = self.exchange.take() else { return "nothing to drive" };
        let machine = exchange.machine.clone();
        let (ticket, want) = machine.want();
        let label = match (want, exchange.stage) {
            (Want::Request(request), Stage::Make | Stage::Send) => {
                let label = self.ask(&mut exchange, (ticket, &request), net);
                // An answer that comes twice is not taken.
                assert_eq!(exchange.machine.reply(ticket, Reply::None, self.now), Err(NotTaken::NotAsked));
                label
            }
            (Want::Sign(bytes), Stage::Sign) => {
                exchange.machine.sign(ticket, bytes);
                exchange.stage = Stage::Send;
                let (_, Want::Request(request)) = exchange.machine.want() else { panic!("nothing to send") };
                let (Endpoint::SendKnock { event, .. } | Endpoint::SendLeave { event, .. }) = &request.endpoint else {
                    panic!("{request:?}")
                };
                self.note(exchange.event.unwrap(), event.event_id());
                "made"
            }
            (Want::Keys(_), Stage::Keys) => {
                let Machine::Knock(machine) = &mut exchange.machine else { panic!("a leave wants no keys") };
                let state = machine.keys(ticket, &AllKeys, &Ed25519, self.now).unwrap();
                assert!(state.has_create_event());
                assert_eq!((state.dropped().count(), state.unverified()), (0, &[][..]));
                exchange.stage = Stage::Ended(Ok(()));
                "shown"
            }
            (Want::Ended, Stage::Ended(end)) => return self.end(exchange, end),
            other => panic!("{other:?}"),
        };
        self.exchange = Some(exchange);
        label
    }

    fn ask(&mut self, exchange: &mut Exchange, (ticket, request): (Ticket, &Request), net: Net) -> Label {
        let is_make = exchange.stage == Stage::Make;
        let silent = Stage::Ended(Err((!is_make, Silence::NoAnswer)));
        if net == Net::RequestLost {
            self.late.extend(exchange.event.map(|event| (request.clone(), event)));
            exchange.machine.reply(ticket, Reply::None, self.now).unwrap();
            exchange.stage = silent;
            return "request lost";
        }
        let change = exchange.machine.change();
        let (status, body, refused) = match exchange.event {
            None => self.template(request, change),
            Some(event) => {
                // A proxy repeats it, perhaps much later.
                self.late.push((request.clone(), event));
                self.served(request, event)
            }
        };
        if net == Net::AnswerLost {
            exchange.machine.reply(ticket, Reply::None, self.now).unwrap();
            exchange.stage = silent;
            return "answer lost";
        }
        exchange.machine.reply(ticket, HttpResponse::new(status, &body).into(), self.now).unwrap();
        exchange.stage = match exchange.machine {
            _ if refused => Stage::Ended(Err((false, Silence::Forbidden))),
            _ if is_make => {
                exchange.event = Some(self.model.make(change));
                Stage::Sign
            }
            Machine::Knock(_) => Stage::Keys,
            Machine::Leave(_) => Stage::Ended(Ok(())),
        };
        if refused { "refused" } else { "taken" }
    }

    /// `make_knock` or `make_leave`; whether it was refused.
    fn template(&mut self, request: &Request, change: Change) -> (u16, String, bool) {
        let found = self.room.serve(request, self.now);
        assert_eq!(found.as_ref().err().map(rule), change.refused(self.model.state()));
        answer(found)
    }

    /// `send_knock` or `send_leave`; whether it was refused. The room may have changed since the
    /// template.
    pub(crate) fn served(&mut self, request: &Request, event: Event) -> (u16, String, bool) {
        let found = self.room.serve(request, self.now);
        if self.model.has(event) {
            // The same answer again.
            assert_eq!(found.as_ref().err(), None);
            return answer(found);
        }
        let refused = event.change.refused(self.model.state());
        let found_rule = found.as_ref().err().map(|refusal| match refusal {
            Refusal::Rejected { stage, .. } => (*stage, rule(refusal)),
            other => panic!("{other:?}"),
        });
        assert_eq!(found_rule, refused.map(|rule| (AuthStage::CurrentState, rule)));
        if refused.is_none() {
            self.appended(event, false);
        }
        answer(found)
    }

    fn end(&mut self, exchange: Exchange, end: Result<(), (bool, Silence)>) -> Label {
        // Who heard something else meanwhile, goes by that.
        let is_news = self.model.home == exchange.began;
        let failure = match end {
            Ok(()) => None,
            Err((_, Silence::NoAnswer)) => Some(Failure::NoAnswer),
            Err((_, Silence::Forbidden)) => Some(Failure::Forbidden),
        };
        match exchange.machine {
            Machine::Knock(machine) => {
                let (pending, label) = match machine.outcome().unwrap() {
                    Ok(pending) => {
                        assert_eq!(failure, None);
                        (Some(pending), "knock stands")
                    }
                    Err(Failed { failure: found, perhaps, .. }) => {
                        assert_eq!((Some(found), perhaps.is_some()), (failure, matches!(end, Err((true, _)))));
                        let label = if perhaps.is_some() { "knock perhaps stands" } else { "no knock stands" };
                        (perhaps, label)
                    }
                };
                let Some(pending) = pending else { return label };
                let event = exchange.event.unwrap();
                assert_eq!(pending.event_id(), self.ids[&event.number]);
                if is_news {
                    self.set_home(Is::Knocking, Some(event.number));
                    self.home.pending = Some(pending);
                }
                label
            }
            Machine::Leave(machine) => match machine.outcome().unwrap() {
                Retracted::InRoom { event: found, .. } => {
                    let event = exchange.event.unwrap();
                    assert_eq!((failure, found.event_id()), (None, &*self.ids[&event.number]));
                    if is_news {
                        self.set_home(Is::Left, Some(event.number));
                    }
                    "left"
                }
                Retracted::LocallyOnly { failure: found } => {
                    assert_eq!(Some(found), failure);
                    // Who is in, or may be, is so until the room says otherwise.
                    if is_news && exchange.began.kay != Is::Joined && !exchange.began.is_joining {
                        self.set_home(Is::Left, None);
                    }
                    "left locally"
                }
            },
        }
    }
}

fn answer(found: Result<String, Refusal>) -> (u16, String, bool) {
    match found {
        Ok(body) => (200, body, false),
        Err(refusal) => {
            let response = refusal.to_response();
            assert_eq!(response.status(), 403);
            (response.status(), response.to_string(), true)
        }
    }
}
