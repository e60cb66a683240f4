//! A state that notes what it is asked, and that does not know everything.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use matrix_knock::auth::AuthorizeError;
use matrix_knock::event::{Event, EventType};
use matrix_knock::pending::NotAnswered;
use matrix_knock::resident::{HostError, Refusal};
use matrix_knock::state::{NotLookedUp, Reads, RoomState, Snapshot, StateMap};
use matrix_knock::template::TemplateError;
use proptest::prelude::*;

/// The most entries that a step reads.
const MOST: usize = 20;

type Entry = (String, String);

fn entry(event_type: EventType<'_>, state_key: &str) -> Entry {
    (event_type.to_string(), state_key.to_owned())
}

/// A state, whole or in part, and what it was asked so far.
pub(crate) struct View<'s, E> {
    source: Source<'s, E>,
    asked: RefCell<BTreeSet<Entry>>,
}

enum Source<'s, E> {
    Whole(&'s StateMap<E>),
    Part(Snapshot<&'s E>),
}

impl<'s, E: Event> View<'s, E> {
    pub(crate) fn whole(state: &'s StateMap<E>) -> Self {
        Self { source: Source::Whole(state), asked: RefCell::default() }
    }

    fn part(state: &'s StateMap<E>, reads: &Reads) -> Result<Self, NotLookedUp> {
        let snapshot = Snapshot::fill(reads, |event_type, state_key| state.event(event_type, state_key))?;
        Ok(Self { source: Source::Part(snapshot), asked: RefCell::default() })
    }
}

impl<'s, E: Event> RoomState for View<'s, E> {
    type Event<'v>
        = &'s E
    where
        Self: 'v;

    fn event(&self, event_type: EventType<'_>, state_key: &str) -> Result<Option<&'s E>, NotLookedUp> {
        self.asked.borrow_mut().insert(entry(event_type, state_key));
        match &self.source {
            Source::Whole(state) => <StateMap<E> as RoomState>::event(state, event_type, state_key),
            Source::Part(snapshot) => Ok(snapshot.event(event_type, state_key)?.copied()),
        }
    }
}

/// What comes of a step.
pub(crate) trait Outcome: Debug + PartialEq {
    fn is_ok(&self) -> bool;
    fn not_looked_up(&self) -> Option<&NotLookedUp>;
}

macro_rules! outcomes {
    ($($error:ty: $not_looked_up:expr;)*) => {$(
        impl<T: Debug + PartialEq> Outcome for Result<T, $error> {
            fn is_ok(&self) -> bool {
                self.is_ok()
            }

            fn not_looked_up(&self) -> Option<&NotLookedUp> {
                let not_looked_up: fn(&$error) -> Option<&NotLookedUp> = $not_looked_up;
                self.as_ref().err().and_then(not_looked_up)
            }
        }
    )*};
}

outcomes! {
    NotLookedUp: |error| Some(error);
    AuthorizeError: |error| if let AuthorizeError::NotLookedUp(error) = error { Some(error) } else { None };
    NotAnswered: |error| if let NotAnswered::NotLookedUp(error) = error { Some(error) } else { None };
    Refusal: |error| if let Refusal::Host(HostError::NotLookedUp(error)) = error { Some(error) } else { None };
    TemplateError: |error| if let TemplateError::NotLookedUp(error) = error { Some(error) } else { None };
}

/// Who is who in the entries of a step.
pub(crate) type Roles<'r> = &'r [(&'r str, &'r str)];

/// Runs steps, and notes which of the entries they ask for.
#[derive(Default)]
pub(crate) struct Watch {
    /// By step and entry, whether it was ever asked for.
    entries: RefCell<BTreeMap<(String, String), bool>>,
    /// By step, how often it came to something and how often it refused.
    outcomes: RefCell<BTreeMap<String, [u32; 2]>>,
}

impl Watch {
    /// Runs a step on the whole state, on exactly what it says it reads, and on that without each entry in turn.
    pub(crate) fn run<E: Event, O: Outcome>(
        &self,
        step: &str,
        roles: Roles<'_>,
        reads: &Reads,
        state: &StateMap<E>,
        act: impl Fn(&View<'_, E>) -> O,
    ) -> Result<(), TestCaseError> {
        self.outcome(step, roles, reads, state, act).map(drop)
    }

    /// The same, and returns what came of the whole state.
    pub(crate) fn outcome<E: Event, O: Outcome>(
        &self,
        step: &str,
        roles: Roles<'_>,
        reads: &Reads,
        state: &StateMap<E>,
        act: impl Fn(&View<'_, E>) -> O,
    ) -> Result<O, TestCaseError> {
        prop_assert!(reads.len() <= MOST, "{} reads {:?}", step, reads);
        self.outcome_of_any(step, roles, reads, state, act)
    }

    /// The same for a step whose entries are as many as the room makes them.
    pub(crate) fn outcome_of_any<E: Event, O: Outcome>(
        &self,
        step: &str,
        roles: Roles<'_>,
        reads: &Reads,
        state: &StateMap<E>,
        act: impl Fn(&View<'_, E>) -> O,
    ) -> Result<O, TestCaseError> {
        let named: BTreeSet<Entry> = reads.iter().map(|(event_type, key)| entry(event_type, key)).collect();
        prop_assert_eq!(named.len(), reads.len(), "{} reads an entry twice: {:?}", step, reads);

        let whole = View::whole(state);
        let outcome = act(&whole);
        prop_assert_eq!(outcome.not_looked_up(), None, "{}", step);
        let asked = whole.asked.into_inner();
        prop_assert!(asked.is_subset(&named), "{} looks up {:?}, and says {:?}", step, asked, named);

        let part = |reads: &Reads| View::part(state, reads).map_err(|error| TestCaseError::fail(error.to_string()));
        prop_assert_eq!(&act(&part(reads)?), &outcome, "{} from a snapshot", step);
        for left_out in reads.iter() {
            let others: Reads = reads.iter().filter(|other| *other != left_out).collect();
            let without = act(&part(&others)?);
            let left_out = entry(left_out.0, left_out.1);
            match without.not_looked_up() {
                Some(error) => prop_assert_eq!(&entry(error.event_type(), error.state_key()), &left_out, "{}", step),
                None => prop_assert_eq!(&without, &outcome, "{} without {:?}", step, left_out),
            }
            // What is asked for of the whole state is not guessed where it is not known.
            prop_assert_eq!(without.not_looked_up().is_some(), asked.contains(&left_out), "{} {:?}", step, left_out);
        }
        self.note(step, roles, named.iter().map(|entry| (entry, asked.contains(entry))), outcome.is_ok());
        Ok(outcome)
    }

    fn note<'e>(&self, step: &str, roles: Roles<'_>, entries: impl Iterator<Item = (&'e Entry, bool)>, is_ok: bool) {
        for ((event_type, state_key), asked) in entries {
            let role = roles.iter().find(|(user, _)| user == state_key).map_or("other", |(_, role)| role);
            let place = match event_type.as_str() {
                "m.room.member" => format!("m.room.member of the {role}"),
                _ => event_type.clone(),
            };
            *self.entries.borrow_mut().entry((step.to_owned(), place)).or_default() |= asked;
        }
        self.outcomes.borrow_mut().entry(step.to_owned()).or_default()[usize::from(!is_ok)] += 1;
    }

    /// The entries that a step says it reads and that nothing made it look up, as `step: entry`.
    pub(crate) fn never_read(&self) -> Vec<String> {
        let entries = self.entries.borrow();
        let never = entries.iter().filter(|(_, asked)| !**asked);
        never.map(|((step, place), _)| format!("{step}: {place}")).collect()
    }

    /// How often a step came to something, and how often it refused.
    pub(crate) fn counts(&self, step: &str) -> [u32; 2] {
        self.outcomes.borrow().get(step).copied().unwrap_or_default()
    }

    /// Panics unless each of these steps has come to something and has refused so many times at least.
    pub(crate) fn assert_reached(&self, least: [u32; 2], steps: &[&str]) {
        for step in steps {
            let [ok, refused] = self.counts(step);
            assert!(ok >= least[0] && refused >= least[1], "`{step}`: {ok} times ok, {refused} refused");
        }
    }
}
