//! A second opinion that is not ours: rooms and events from a generator, decided by ruma-state-res and by us.
//!
//! Ruma decides otherwise in some points on purpose or for want of one. Each such point is a [`decisions::Decision`]: a
//! change of the input after which ruma decides as we do. The property is that after all of these changes nothing is
//! left to differ, in any room; and every decision has a room in `minimal` in which it alone makes the difference.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on has failed")]

#[path = "second_opinion/decisions.rs"]
mod decisions;
#[path = "second_opinion/generator.rs"]
mod generator;
#[path = "second_opinion/independent.rs"]
mod independent;
#[path = "second_opinion/minimal.rs"]
mod minimal;
#[path = "second_opinion/room.rs"]
mod room;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::{Debug, Display};

use generator::{Tape, case, tapes};
use independent::Referring;
use matrix_knock::auth::AuthorizeError;
use minimal::Minimal;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};
use room::Case;

/// What there is to decide on, by both.
trait Question: Clone + Display {
    type Decision: Copy + Debug + PartialEq + 'static;
    const DECISIONS: &'static [Self::Decision];

    fn ours(&self) -> Result<(), AuthorizeError>;
    /// What another of our own ways says, if it is something else.
    fn other_verdict(&self) -> Option<String>;
    fn ruma(&self) -> Result<(), String>;
    fn translated(&self, decision: Self::Decision) -> Option<Self>;

    /// With all of these decisions that come up.
    fn translated_by(&self, decisions: &[Self::Decision]) -> Self {
        decisions.iter().fold(self.clone(), |case, decision| case.translated(*decision).unwrap_or(case))
    }
}

impl Question for Case {
    type Decision = decisions::Decision;
    const DECISIONS: &'static [Self::Decision] = &decisions::Decision::ALL;

    fn ours(&self) -> Result<(), AuthorizeError> {
        self.ours().map(drop)
    }

    fn other_verdict(&self) -> Option<String> {
        self.other_verdict()
    }

    fn ruma(&self) -> Result<(), String> {
        self.ruma()
    }

    fn translated(&self, decision: Self::Decision) -> Option<Self> {
        decision.translated(self)
    }
}

impl Question for Referring {
    type Decision = independent::Decision;
    const DECISIONS: &'static [Self::Decision] = &independent::Decision::ALL;

    fn ours(&self) -> Result<(), AuthorizeError> {
        self.ours()
    }

    fn other_verdict(&self) -> Option<String> {
        None
    }

    fn ruma(&self) -> Result<(), String> {
        self.ruma()
    }

    fn translated(&self, decision: Self::Decision) -> Option<Self> {
        decision.translated(self)
    }
}

/// The decisions that a difference cannot do without.
fn causes<Q: Question>(question: &Q, ours: bool) -> Vec<Q::Decision> {
    let mut causes = Q::DECISIONS.to_vec();
    for decision in Q::DECISIONS {
        let others: Vec<_> = causes.iter().copied().filter(|other| other != decision).collect();
        if question.translated_by(&others).ruma().is_ok() == ours {
            causes = others;
        }
    }
    causes
}

fn compare<Q: Question>(question: impl Fn(&mut Tape) -> Q) {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(50_000);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let counts = RefCell::new(BTreeMap::<String, u32>::new());
    let count = |what: String| {
        let mut counts = counts.borrow_mut();
        let counter = counts.entry(what).or_default();
        *counter = counter.saturating_add(1);
    };
    let result = TestRunner::new(config).run(&tapes(), |tape| {
        let question = question(&mut Tape::from(tape));
        let (ours, ruma) = (question.ours(), question.ruma());
        let allowed = ours.is_ok();
        count(format!("allowed: {allowed}"));
        if let Some(other) = question.other_verdict() {
            return Err(TestCaseError::fail(format!("{other}: {question}")));
        }
        // Also where the two agree by chance: what ruma is shown has to get our verdict.
        let translated = question.translated_by(Q::DECISIONS).ruma();
        if translated.is_ok() != allowed {
            return Err(TestCaseError::fail(format!(
                "we say {ours:?}, ruma {ruma:?}, and {translated:?} in place of our verdict: {question}"
            )));
        }
        if ruma.is_ok() != allowed {
            let causes = causes(&question, allowed);
            let single = if causes.len() == 1 { "differ for" } else { "differ for more than one:" };
            count(format!("{single} {causes:?}"));
        }
        Ok(())
    });
    for (what, count) in counts.into_inner() {
        println!("{count:>8} {what}");
    }
    match result {
        Ok(()) => {}
        Err(TestError::Fail(reason, _)) => panic!("{reason}"),
        Err(TestError::Abort(reason)) => panic!("aborted: {reason}"),
    }
}

#[test]
fn rules_on_the_state() {
    compare(case);
}

#[test]
fn rules_on_the_references() {
    compare(Referring::from_tape);
}

/// The decision makes the difference, alone; and none is listed without a case.
fn check_minimal<Q: Question>(table: &[Minimal<Q, Q::Decision>], plain: impl Fn(&Minimal<Q, Q::Decision>) -> Q) {
    for row in table {
        let mut question = plain(row);
        (row.change)(&mut question);
        let at = format!("{:?} in version {}", row.decision, row.version);

        let ours = question.ours();
        let rule = ours.as_ref().err().and_then(AuthorizeError::rejection).map(|rejection| rejection.rule());
        assert_eq!(rule, row.ours.err(), "{at}");
        let ruma = question.ruma();
        match (&ruma, row.ruma) {
            (Ok(()), Ok(())) => {}
            (Err(message), Err(start)) if message.starts_with(start) => {}
            _ => panic!("{at}: ruma says {ruma:?}"),
        }
        assert_ne!(ours.is_ok(), ruma.is_ok(), "{at}: no difference");
        assert_eq!(causes(&question, ours.is_ok()), [row.decision], "{at}");
    }
    for decision in Q::DECISIONS {
        assert!(table.iter().any(|row| row.decision == *decision), "{decision:?} has no minimal case");
    }
}

#[test]
fn every_decision_on_the_state_makes_a_difference() {
    check_minimal(&minimal::of_state_dependent_rules(), |row| Case::plain(row.version));
}

#[test]
fn every_decision_on_the_references_makes_a_difference() {
    check_minimal(&minimal::of_state_independent_rules(), |row| Referring::plain(row.version));
}
