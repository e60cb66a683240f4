//! The third server, in the room from the beginning: it gets every event, late, twice, out of
//! order.

use std::collections::BTreeSet;

use matrix_knock::policy::PolicyVerdict;
use matrix_knock::receipt::{Outcome, SoftFailure};

use crate::model::{Change, Event};
use crate::world::{Label, World};

#[derive(Debug, Default)]
pub(crate) struct Witness {
    pub(crate) seen: BTreeSet<usize>,
    /// The state is that after so many events: what came with the newest event that it has seen.
    current: usize,
}

impl World {
    /// The event in this place of the room comes. The state before an event of which it does not
    /// have all that came before is fetched with it.
    pub(crate) fn witnessed(&mut self, place: usize) -> Label {
        let event = self.model.log[place];
        let is_repeated = !self.witness.seen.insert(place);
        let current = self.witness.current.max(place);
        let label = match event.change {
            // Not this crate's to decide on.
            Change::Power(_) | Change::Open(_) => "seen: another event",
            _ => self.receive(place, event, current),
        };
        self.witness.current = self.witness.current.max(place + 1);
        if is_repeated { "seen before" } else { label }
    }

    fn receive(&self, place: usize, event: Event, current: usize) -> Label {
        let states = [self.base + event.after, self.base + current];
        let outcome = self.room.receive(self.text(place), states, PolicyVerdict::NotNamed);
        // What the room took, its state before allows; the current one may not.
        assert_eq!(event.change.refused(self.model.state_after(event.after)), None);
        match (outcome, event.change.refused(self.model.state_after(current))) {
            (Outcome::Accepted(None), None) => "seen: accepted",
            (Outcome::SoftFailed(SoftFailure::CurrentState(rejection)), Some(rule)) => {
                assert_eq!((rejection.rule(), rejection.version()), (rule, self.room.version));
                "seen: soft-failed"
            }
            other => panic!("{event:?}: {other:?}"),
        }
    }
}
