//! A machine at work: the host that drives it, the servers that answer it, and at each step the model beside it.

use std::collections::{BTreeMap, BTreeSet};

use matrix_knock::event::{KeysFn, Pdu, Sign as _};
use matrix_knock::id::{KeyId, OwnedServerName, UserId};
use matrix_knock::knocking::room_state::{ShowUnverified, ShownEvent, VerifiedRoomState};
use matrix_knock::knocking::{
    Details, Failed, Intent, Knocking, OwnMembership, PendingKnock, Retracted, Retracting, Start,
};
use matrix_knock::machine::{Endpoint, Machine as _, NotTaken, Reply, Request, Ticket, Want};
use matrix_knock::stripped_state::StrippedEvent;
use matrix_knock::wire::HttpResponse;
use matrix_knock::{Ed25519, RoomVersion};
use proptest::sample::Index;
use serde_json::json;

use crate::hostile::Hostile;
use crate::model::{Exchange, Given, Now, OnTheWire, Response, Said};
use crate::room::{AllKeys, HOME, KAY, KEY_ID, NOW, RESIDENT, Room, key, key_id, names};
use crate::stored::resumed;
use crate::typed::Typed;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Machine {
    Knock(Box<Knocking>),
    Leave(Box<Retracting>),
}

impl Machine {
    pub(crate) fn want(&self) -> (Ticket, Want<'_>) {
        match self {
            Self::Knock(machine) => machine.want(),
            Self::Leave(machine) => machine.want(),
        }
    }

    pub(crate) fn reply(&mut self, ticket: Ticket, reply: Reply<'_>, now: u64) -> Result<(), NotTaken> {
        match self {
            Self::Knock(machine) => machine.reply(ticket, reply, now),
            Self::Leave(machine) => machine.reply(ticket, reply, now),
        }
    }

    pub(crate) fn signature(
        &mut self,
        ticket: Ticket,
        key_id: KeyId<'_>,
        signature: &[u8; 64],
    ) -> Result<(), NotTaken> {
        match self {
            Self::Knock(machine) => machine.signature(ticket, key_id, signature),
            Self::Leave(machine) => machine.signature(ticket, key_id, signature),
        }
    }

    /// Only a knock has use for keys.
    fn keys(&mut self, ticket: Ticket, known: bool) -> Result<VerifiedRoomState, NotTaken> {
        match self {
            Self::Knock(machine) if known => machine.keys(ticket, &AllKeys, &Ed25519, NOW),
            Self::Knock(machine) => machine.keys(ticket, &KeysFn(|_: &str, _: &str| None), &Ed25519, NOW),
            Self::Leave(_) => Err(NotTaken::NotAsked),
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        match self {
            Self::Knock(machine) => machine.outcome().is_some(),
            Self::Leave(machine) => machine.outcome().is_some(),
        }
    }

    pub(crate) fn stored(&self) -> Self {
        match self {
            Self::Knock(machine) => Self::Knock(resumed(machine)),
            Self::Leave(machine) => Self::Leave(resumed(machine)),
        }
    }
}

/// What the host does, or what is done to it.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// What is wanted, as an honest server answers it.
    Honest,
    /// The server does what it is asked to, and its answer is lost, or a proxy puts another one in its place.
    Lost(Option<u16>),
    /// The server is not reached.
    Silent,
    /// The server does nothing and says this.
    Refusal(Response),
    /// The server does what it is asked to and says something else.
    Hostile(Hostile),
    /// An answer to something that was asked for earlier, or will be, or never was.
    Stale(Index, Kind),
    /// An answer of a kind that is not asked for.
    WrongKind(Index),
    /// The host signs with a key of another name.
    OddKeyId(String),
    /// The host stops, and goes on from what it stored.
    Resume,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Reply,
    NoReply,
    Signature,
    Keys,
}

pub(crate) const KINDS: [Kind; 4] = [Kind::Reply, Kind::NoReply, Kind::Signature, Kind::Keys];

/// A machine at work, and all that came of it.
pub(crate) struct Stage {
    pub(crate) machine: Machine,
    pub(crate) room: Room,
    pub(crate) history: Vec<Given>,
    tickets: Vec<Ticket>,
    /// Whether the last answer came as an honest server gave it, and none before was made up.
    is_honest: bool,
    was_lied_to: bool,
    arrival: Option<VerifiedRoomState>,
    /// Which replies came by their parts as well.
    pub(crate) typed: BTreeSet<&'static str>,
}

impl Stage {
    pub(crate) fn new(machine: Machine, room: Room) -> Self {
        Self {
            machine,
            room,
            history: Vec::new(),
            tickets: Vec::new(),
            is_honest: false,
            was_lied_to: false,
            arrival: None,
            typed: BTreeSet::new(),
        }
    }

    /// What the server does with a request, and says.
    fn serve(&mut self, request: &Request) -> (u16, String) {
        match &request.endpoint {
            Endpoint::MakeKnock { versions, .. } => {
                let versions: Vec<_> = versions.iter().map(|version| version.as_str()).collect();
                self.room.make_knock(&versions)
            }
            Endpoint::MakeLeave { .. } => self.room.make_leave(),
            Endpoint::SendKnock { event, .. } => self.room.send_knock(event.event_id(), event.text()),
            Endpoint::SendLeave { event, .. } => self.room.send_leave(event.event_id(), event.text()),
            other => panic!("unknown endpoint: {other:?}"),
        }
    }

    fn give(&mut self, ticket: Ticket, reply: Option<Response>, now: u64) {
        let given = reply.as_ref().map_or(Reply::None, |response| response.to_http().into());
        let mut typed = self.machine.clone();
        let parts = reply.as_ref().and_then(|response| Typed::of(&self.machine.want().1, response));
        assert_eq!(self.machine.reply(ticket, given, now), Ok(()));
        // By its parts it is the same.
        if let Some(parts) = parts {
            self.typed.insert(parts.name());
            assert_eq!(parts.give(|reply| typed.reply(ticket, reply, now)), Ok(()));
            assert_eq!(typed, self.machine, "{parts:?}");
        }
        // A second time, it is not asked for any more.
        self.refuses(|machine| machine.reply(ticket, given, now), NotTaken::NotAsked);
        self.history.push(Given::Reply(reply, now));
        self.tickets.push(ticket);
        self.is_honest = false;
    }

    fn refuses(&mut self, act: impl FnOnce(&mut Machine) -> Result<(), NotTaken>, expected: NotTaken) {
        let before = self.machine.clone();
        assert_eq!(act(&mut self.machine), Err(expected));
        assert_eq!(self.machine, before);
    }

    fn offer(&mut self, ticket: Ticket, kind: Kind) {
        let act = |machine: &mut Machine| match kind {
            Kind::Reply => machine.reply(ticket, HttpResponse::new(200, "{}").into(), NOW),
            Kind::NoReply => machine.reply(ticket, Reply::None, NOW),
            Kind::Signature => machine.signature(ticket, key_id(), &[0; 64]),
            Kind::Keys => machine.keys(ticket, true).map(drop),
        };
        self.refuses(act, NotTaken::NotAsked);
    }

    pub(crate) fn go(&mut self, step: &Step, now: u64) {
        let machine = self.machine.clone();
        let (ticket, want) = machine.want();
        match (step, &want) {
            (Step::Resume, _) => self.machine = self.machine.stored(),
            (Step::Stale(which, kind), _) => {
                let future: Vec<Ticket> = (0..70_u32).map(|number| resumed_ticket(number * number * number)).collect();
                let others: Vec<_> = self.tickets.iter().copied().chain(future).filter(|it| *it != ticket).collect();
                self.offer(*which.get(&others), *kind);
            }
            (Step::WrongKind(which), _) => {
                let wanted = |kind| match want {
                    Want::Request(_) => matches!(kind, Kind::Reply | Kind::NoReply),
                    Want::Sign(_) => kind == Kind::Signature,
                    Want::Keys(_) => kind == Kind::Keys,
                    Want::Ended => false,
                };
                let unwanted: Vec<_> = KINDS.into_iter().filter(|kind| !wanted(*kind)).collect();
                self.offer(ticket, *which.get(&unwanted));
            }
            (Step::OddKeyId(key_id), Want::Sign(_)) => self.sign(ticket, (key_id.clone(), [1; 64])),
            (Step::OddKeyId(key_id), _) => {
                let key_id = KeyId::parse(key_id).unwrap();
                self.refuses(|machine| machine.signature(ticket, key_id, &[1; 64]), NotTaken::NotAsked);
            }
            (Step::Silent, Want::Request(_)) => self.give(ticket, None, now),
            (Step::Refusal(response), Want::Request(_)) => self.give(ticket, Some(response.clone()), now),
            (Step::Lost(status), Want::Request(request)) => {
                let (_, body) = self.serve(request);
                self.give(ticket, status.map(|status| Response::new(status, body)), now);
            }
            (Step::Hostile(hostile), Want::Request(request)) => {
                let (_, body) = self.serve(request);
                self.give(ticket, Some(Response::new(200, hostile.body(&body))), now);
                self.was_lied_to = true;
            }
            (Step::Honest, Want::Request(request)) => {
                let (status, body) = self.serve(request);
                self.give(ticket, Some(Response::new(status, body)), now);
                self.is_honest = !self.was_lied_to;
            }
            (Step::Honest | Step::Silent | Step::Lost(_) | Step::Refusal(..), Want::Sign(message)) => {
                self.sign(ticket, (KEY_ID.to_owned(), key(HOME).sign(message.as_bytes())));
            }
            (Step::Hostile(_), Want::Sign(_)) => self.sign(ticket, (KEY_ID.to_owned(), [9; 64])),
            (step, Want::Keys(wanted)) => {
                if self.is_honest {
                    let known = BTreeSet::from([KEY_ID.to_owned()]);
                    assert_eq!(*wanted, BTreeMap::from([(RESIDENT.parse().unwrap(), known)]));
                }
                self.keys(ticket, !matches!(step, Step::Hostile(_)));
            }
            (_, Want::Ended) => {}
        }
    }

    fn sign(&mut self, ticket: Ticket, (key_id, signature): (String, [u8; 64])) {
        let parsed = KeyId::parse(&key_id).unwrap();
        assert_eq!(self.machine.signature(ticket, parsed, &signature), Ok(()));
        self.refuses(|machine| machine.signature(ticket, parsed, &signature), NotTaken::NotAsked);
        self.history.push(Given::Signature(key_id, signature));
        self.tickets.push(ticket);
    }

    /// Nothing is shown that the room's servers have not said, and all that an honest server says.
    fn keys(&mut self, ticket: Ticket, known: bool) {
        let arrival = self.machine.keys(ticket, known).unwrap();
        self.refuses(|machine| machine.keys(ticket, known).map(drop), NotTaken::NotAsked);
        let said = self.room.said();
        let mut places = BTreeSet::new();
        for shown in arrival.shown() {
            assert!(known && said.contains(shown), "{shown}");
            assert!(places.insert((shown.event_type(), shown.state_key())), "{shown}");
        }
        for unverified in arrival.unverified() {
            let is_create = unverified.event_type() == "m.room.create" && unverified.state_key().is_empty();
            assert!(!(is_create && self.room.version.goes_by() >= RoomVersion::V12), "{unverified}");
            assert_ne!(unverified.event_type(), "m.room.member");
            assert!(places.insert((unverified.event_type(), unverified.state_key())), "{unverified}");
        }
        if known && self.is_honest {
            let shown: Vec<_> = arrival.shown().iter().map(StrippedEvent::event_type).collect();
            assert_eq!(shown, ["m.room.create", "m.room.join_rules", "m.room.name"]);
            assert_eq!((arrival.dropped().count(), arrival.has_create_event()), (0, true));
            assert_eq!(arrival.unverified(), []);
        }
        self.arrival = Some(arrival);
    }

    /// Whether all is as the model has it.
    pub(crate) fn check(&self, exchange: &Exchange<'_>) -> Now {
        let now = exchange.now(&self.history);
        let (ticket, want) = self.machine.want();
        assert!(!self.tickets.contains(&ticket));
        assert_eq!(self.machine.stored(), self.machine);
        let ended = match &now {
            Now::Ask(expected) => {
                let Want::Request(request) = want else { panic!("{want:?}, not {expected:?}") };
                assert_eq!(OnTheWire::of(&request), *expected);
                false
            }
            Now::Sign(event) => {
                assert_eq!(want, Want::Sign(&event.message));
                false
            }
            Now::Accepted { .. } if matches!(self.machine, Machine::Knock(_)) && self.arrival.is_none() => {
                assert!(matches!(want, Want::Keys(_)));
                false
            }
            Now::Accepted { .. } | Now::Failed { .. } => {
                assert_eq!(want, Want::Ended);
                true
            }
        };
        assert_eq!(self.machine.has_ended(), ended);
        now
    }

    fn check_pending(&self, knock: &PendingKnock, arrival: Option<&VerifiedRoomState>) {
        assert_eq!((knock.room_id().as_str(), knock.user_id().as_str()), (self.room.id.as_str(), KAY));
        let own = StrippedEvent::of(&Pdu::parse(knock.event().text()).unwrap()).unwrap();
        let (verified, unverified) = arrival.map_or_else(Default::default, |it| (it.shown(), it.unverified()));
        let place = |event: &StrippedEvent| (event.event_type().into_owned(), event.state_key().into_owned());
        let is_at = |event: &StrippedEvent, event_type: &str, state_key: &str| {
            place(event) == (event_type.to_owned(), state_key.to_owned())
        };
        let others: Vec<_> = verified.iter().filter(|event| !is_at(event, "m.room.member", KAY)).cloned().collect();
        for (choice, shows) in [
            (ShowUnverified::BeforeV12, self.room.version.goes_by() < RoomVersion::V12),
            (ShowUnverified::Always, true),
            (ShowUnverified::Never, false),
        ] {
            let unverified = if shows { unverified } else { &[] };
            let shown = |is_verified| move |event: &StrippedEvent| ShownEvent { event: event.clone(), is_verified };
            let all = others.iter().map(shown(true)).chain(unverified.iter().map(shown(false)));
            let (create, rest): (Vec<_>, Vec<_>) = all.partition(|shown| is_at(&shown.event, "m.room.create", ""));
            let own = ShownEvent { event: own.clone(), is_verified: true };
            let expected: Vec<_> = create.into_iter().chain(rest).chain([own]).collect();
            assert_eq!(knock.knock_state(choice), expected, "{choice:?}");
        }
        assert_eq!(resumed(knock), *knock);
    }

    /// How it ended, compared with the model; by name.
    pub(crate) fn check_end(&self, now: &Now) -> String {
        match (&self.machine, now) {
            (Machine::Knock(machine), Now::Accepted { server, event_id, text, version }) => {
                let knock = machine.outcome().unwrap().unwrap();
                let told = (knock.server(), knock.event_id(), knock.event().text(), knock.version());
                assert_eq!(told, (server.as_borrowed(), event_id.as_str(), text.as_str(), *version));
                assert_eq!(knock.event().event_id(), event_id);
                self.check_pending(&knock, Some(self.arrival.as_ref().unwrap()));
                "pending".to_owned()
            }
            (Machine::Knock(machine), Now::Failed { failure, said, perhaps }) => {
                let failed: Failed = machine.outcome().unwrap().unwrap_err();
                assert_eq!(failed.failure, *failure);
                let extra = failed.extra().map(|extra| serde_json::from_str(extra).unwrap());
                assert_eq!(Said { error: failed.error().map(str::to_owned), extra }, *said);
                assert_eq!(resumed(&failed), failed);
                let told =
                    failed.perhaps.as_ref().map(|knock| (knock.server().into_owned(), knock.event_id().to_owned()));
                assert_eq!(told, *perhaps);
                failed.perhaps.iter().for_each(|knock| self.check_pending(knock, None));
                let name = format!("{failure:?}");
                let name = name.split([' ', '(']).next().unwrap();
                format!("{name}{}", if perhaps.is_some() { ", perhaps pending" } else { "" })
            }
            (Machine::Leave(machine), Now::Accepted { server, event_id, text, .. }) => {
                let Some(Retracted::InRoom { server: found, event }) = machine.outcome() else { panic!("{machine:?}") };
                assert_eq!((&found, event.event_id(), event.text()), (server, event_id.as_str(), text.as_str()));
                "left".to_owned()
            }
            (Machine::Leave(machine), Now::Failed { failure, .. }) => {
                assert_eq!(machine.outcome(), Some(Retracted::LocallyOnly { failure: failure.clone() }));
                "left locally only".to_owned()
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A knock that the room has taken.
pub(crate) fn pending(room: &mut Room) -> PendingKnock {
    let details = Details { displayname: Some("Kay".to_owned()), ..Details::default() };
    let mut stage = Stage::new(start(room, &["a.example"], &[room.version], &details), room.clone());
    while !stage.machine.has_ended() {
        stage.go(&Step::Honest, NOW);
    }
    *room = stage.room;
    let Machine::Knock(machine) = stage.machine else { panic!("a knock") };
    machine.outcome().unwrap().unwrap()
}

pub(crate) fn start(room: &Room, servers: &[&str], versions: &[RoomVersion], details: &Details) -> Machine {
    Machine::Knock(match knock(room, &names(servers.iter().copied()), versions, details) {
        Start::Remote(machine) => machine,
        other => panic!("{other:?}"),
    })
}

pub(crate) fn knock(room: &Room, servers: &[OwnedServerName], versions: &[RoomVersion], details: &Details) -> Start {
    let (room_id, user_id) = (room.room_id(), UserId::parse(KAY).unwrap());
    Knocking::start(&Intent { room_id, user_id, own: OwnMembership::OutOfBand, servers, versions, details })
}

fn resumed_ticket(number: u32) -> Ticket {
    serde_json::from_value(json!(number)).unwrap()
}
