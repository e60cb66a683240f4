//! The walks themselves.

use std::cell::RefCell;
use std::collections::BTreeMap;

use matrix_knock::machine::Machine as _;
use matrix_knock::resident::answer::Action;
use matrix_knock::{RoomVersion, machine::Want};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::home::stored;
use crate::model::{Change, Is};
use crate::room::versions;
use crate::world::{Label, Net, World};

#[derive(Debug, Clone)]
enum Step {
    /// Whatever comes next where all goes well.
    Go(Net),
    Knock,
    Leave,
    Drive(Net),
    Sign(Action),
    Accept,
    /// An acceptance is taken back at once.
    TakeBack,
    Invite(Net),
    Retry,
    Append,
    Join(Net),
    Change(Change),
    /// An event reaches Kay's server; it may come again.
    Told(Index, bool),
    Witnessed(Index, bool),
    /// It does not, for now.
    Lost(Index, bool),
    Late(Index),
    Time(u64),
    /// Both servers stop, and go on from what they stored.
    Store,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let net = || prop_oneof![8 => Just(Net::Good), 1 => Just(Net::RequestLost), 1 => Just(Net::AnswerLost)];
    let action = prop_oneof![
        6 => Just(Action::Accept), 2 => Just(Action::Decline), 2 => Just(Action::Ban), 2 => Just(Action::Revoke),
        2 => Just(Action::Unban),
    ];
    let change = prop_oneof![
        3 => Just(Change::Power(true)), 1 => Just(Change::Power(false)), 3 => Just(Change::Open(true)),
        1 => Just(Change::Open(false)),
    ];
    let step = prop_oneof![
        60 => net().prop_map(Step::Go),
        6 => Just(Step::Knock),
        2 => Just(Step::Leave),
        24 => net().prop_map(Step::Drive),
        10 => action.prop_map(Step::Sign),
        9 => Just(Step::Accept),
        5 => Just(Step::TakeBack),
        9 => net().prop_map(Step::Invite),
        2 => Just(Step::Retry),
        6 => Just(Step::Append),
        4 => net().prop_map(Step::Join),
        2 => change.prop_map(Step::Change),
        6 => (any::<Index>(), any::<bool>()).prop_map(|(index, again)| Step::Told(index, again)),
        8 => (any::<Index>(), any::<bool>()).prop_map(|(index, again)| Step::Witnessed(index, again)),
        2 => (any::<Index>(), any::<bool>()).prop_map(|(index, home)| Step::Lost(index, home)),
        2 => any::<Index>().prop_map(Step::Late),
        3 => (0..100_000_000_u64).prop_map(Step::Time),
        4 => Just(Step::Store),
    ];
    vec(step, 20..160)
}

impl World {
    fn take(&mut self, step: &Step) -> Label {
        // Two events of the same millisecond could be one.
        self.now += 1;
        match step {
            Step::Go(net) => self.go(*net),
            Step::Knock => self.knock(),
            Step::Leave => self.leave(),
            Step::Drive(net) => self.drive(*net),
            Step::Sign(action) => self.sign(*action),
            Step::Accept => self.accept(),
            Step::TakeBack => match self.sign(Action::Revoke) {
                "signed" => self.accept(),
                nothing => nothing,
            },
            Step::Invite(net) => self.invite(*net),
            Step::Retry => self.retry(),
            Step::Append => self.append(),
            Step::Join(net) => self.join(*net),
            Step::Change(change) => self.change(*change),
            Step::Told(index, again) => match picked(&mut self.to_home, index, *again) {
                Some(place) => self.told(place),
                None => "nothing to tell",
            },
            Step::Witnessed(index, again) => match picked(&mut self.to_witness, index, *again) {
                Some(place) => self.witnessed(place),
                None => "nothing to see",
            },
            Step::Lost(index, home) => {
                let (queue, lost) = match home {
                    true => (&mut self.to_home, &mut self.lost[0]),
                    false => (&mut self.to_witness, &mut self.lost[1]),
                };
                let place = picked(queue, index, false);
                lost.extend(place);
                if place.is_some() { "transaction lost" } else { "nothing to lose" }
            }
            Step::Late(index) => match self.late.len() {
                0 => "nothing late",
                late => self.arrives_late(index.index(late)),
            },
            Step::Time(more) => {
                self.now += more;
                "time passes"
            }
            Step::Store => {
                self.home.store();
                self.exchange.iter_mut().for_each(crate::exchange::Exchange::store);
                self.inviting = self.inviting.take().map(|(inviting, event)| (stored(&inviting), event));
                "stored"
            }
        }
    }

    fn go(&mut self, net: Net) -> Label {
        if self.exchange.is_some() {
            return self.drive(net);
        }
        if let Some((inviting, _)) = &self.inviting {
            return if inviting.outcome().is_some() { self.append() } else { self.invite(net) };
        }
        if self.has_signed() {
            return self.accept();
        }
        match (self.model.state().kay, self.home.is()) {
            (Is::Banned, _) => self.sign(Action::Unban),
            (Is::Knocking, _) => self.sign(Action::Accept),
            (Is::Joined, Is::Joined) => self.leave(),
            (_, Is::Invited) => self.join(net),
            _ => self.knock(),
        }
    }

    /// Everything comes to its end, and what was lost is sent again: who is in is known to all.
    fn settle(&mut self) {
        let mut queue: Vec<_> = self.lost.iter_mut().map(std::mem::take).collect();
        self.to_witness.extend(queue.pop().unwrap());
        self.to_home.extend(queue.pop().unwrap());
        while self.exchange.is_some() {
            self.note_label(&Step::Drive(Net::Good));
        }
        self.note_label(&Step::Accept);
        while let Some((inviting, _)) = &self.inviting {
            let has_ended = inviting.want().1 == Want::Ended;
            let retried = has_ended && self.note_label(&Step::Retry) == "invite again";
            self.note_label(if has_ended && !retried { &Step::Append } else { &Step::Invite(Net::Good) });
        }
        if self.model.home.is_joining {
            self.note_label(&Step::Join(Net::Good));
        }
        self.to_home.sort_unstable();
        while !self.to_home.is_empty() {
            let place = self.to_home.remove(0);
            let label = self.told(place);
            self.seen.insert(label);
            self.check();
        }
        for place in std::mem::take(&mut self.to_witness) {
            let label = self.witnessed(place);
            self.seen.insert(label);
        }
        assert_eq!(self.witness.seen.len(), self.model.log.len());
        assert_eq!(self.home.is() == Is::Joined, self.model.state().kay == Is::Joined, "{:?}", self.model.log);
    }

    fn note_label(&mut self, step: &Step) -> Label {
        let label = self.take(step);
        self.seen.insert(label);
        self.check();
        label
    }
}

fn picked(queue: &mut Vec<usize>, index: &Index, again: bool) -> Option<usize> {
    let place = if queue.is_empty() { return None } else { index.index(queue.len()) };
    Some(if again { queue[place] } else { queue.remove(place) })
}

/// Every version with every join rule of it that lets people knock.
fn rooms() -> impl Strategy<Value = (RoomVersion, &'static str)> {
    let knock = versions().iter().map(|version| (*version, "knock"));
    let restricted = versions()[3..].iter().map(|version| (*version, "knock_restricted"));
    select(knock.chain(restricted).collect::<Vec<_>>())
}

/// What has to have happened in some walk, or the walks show nothing.
const HAPPENS: [Label; 38] = [
    "answer lost",
    "answer overtaken",
    "answered",
    "countersigned",
    "countersigned in vain",
    "dead invite",
    "denial believed",
    "denial of another knock",
    "given up",
    "gone by the room",
    "invite again",
    "invite dropped",
    "invite lost",
    "invite overtaken",
    "invited",
    "joined",
    "joined unheard",
    "knock perhaps stands",
    "knock stands",
    "late and known",
    "late and refused",
    "late and taken",
    "late invite",
    "late invite refused",
    "left",
    "left locally",
    "no knock stands",
    "nobody waits for it",
    "nothing to sign",
    "refused",
    "request lost",
    "revocation believed",
    "revocation of another invite",
    "room changed",
    "seen before",
    "seen: accepted",
    "seen: soft-failed",
    "transaction lost",
];

#[test]
fn two_servers_and_a_room() {
    // The same walks each time, unless more are asked for: those are others each time.
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let config = Config { cases: cases.unwrap_or(800), failure_persistence: None, ..Config::default() };
    let mut runner = match cases {
        Some(_) => TestRunner::new(config),
        None => TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha)),
    };
    let counts = RefCell::new(BTreeMap::<Label, u32>::new());
    let result = runner.run(&(rooms(), steps()), |((version, join_rule), steps)| {
        let mut world = World::new(version, join_rule);
        for step in &steps {
            let label = world.note_label(step);
            *counts.borrow_mut().entry(label).or_default() += 1;
        }
        world.settle();
        for label in world.seen {
            counts.borrow_mut().entry(label).or_default();
        }
        Ok(())
    });
    let counts = counts.into_inner();
    for (label, count) in &counts {
        println!("{count:>8} {label}");
    }
    result.unwrap_or_else(|error| panic!("{error}"));
    let missing: Vec<_> = HAPPENS.into_iter().filter(|label| !counts.contains_key(label)).collect();
    assert!(missing.is_empty(), "never happened: {missing:?}");
}
