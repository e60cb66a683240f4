//! The model: a plain list, and the state as it stands.

use std::collections::BTreeMap;

use matrix_knock::pending::Update;
use proptest::sample::Index;

use crate::room::Sent;

/// A knock as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) user: String,
    pub(crate) event_id: String,
    pub(crate) time: i64,
    pub(crate) reason: Option<String>,
    pub(crate) displayname: Option<String>,
    pub(crate) avatar_url: Option<String>,
}

/// The member event of a user, and its text as the state has it.
#[derive(Debug, Clone)]
pub(crate) struct Stands {
    pub(crate) sent: Sent,
    pub(crate) text: String,
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    /// Who waits, in order of arrival.
    pub(crate) waiting: Vec<Entry>,
    /// The member events by user.
    pub(crate) state: BTreeMap<String, Stands>,
    /// All that ever was sent.
    pub(crate) sent: Vec<Sent>,
}

impl Model {
    /// A new event becomes a part of the state.
    pub(crate) fn happen(&mut self, sent: Sent) -> Update {
        self.sent.push(sent.clone());
        self.stand(sent)
    }

    /// An event of the past does. If it is the one that stands there, nothing changes: a redaction
    /// included.
    pub(crate) fn happen_again(&mut self, sent: &Sent) -> Update {
        let stands_there = self.state.get(&sent.user).is_some_and(|stands| stands.sent.text == sent.text);
        if stands_there { Update::Nothing } else { self.stand(sent.clone()) }
    }

    fn stand(&mut self, sent: Sent) -> Update {
        let before = self.waiting.iter().position(|entry| entry.user == sent.user);
        if let Some(place) = before {
            self.waiting.remove(place);
        }
        if sent.is_knock() {
            self.waiting.push(sent.entry());
        }
        let update = match (before, sent.is_knock()) {
            (None, false) => Update::Nothing,
            (None, true) => Update::Knocked,
            (Some(_), true) => Update::KnockedAgain,
            (Some(_), false) => Update::Ended,
        };
        self.state.insert(sent.user.clone(), Stands { text: sent.text.clone(), sent });
        update
    }

    /// The member event of a user is redacted. Its place in the order stays.
    pub(crate) fn redact(&mut self, user: &str) -> Update {
        let Some(stands) = self.state.get_mut(user) else { return Update::Nothing };
        stands.text = stands.sent.redacted();
        let Some(entry) = self.waiting.iter_mut().find(|entry| entry.user == user) else { return Update::Nothing };
        let said = [entry.reason.take(), entry.displayname.take(), entry.avatar_url.take()];
        if said.iter().any(Option::is_some) { Update::Redacted } else { Update::Nothing }
    }

    /// The member event of a user is no longer a part of the state. Returns the knock that goes
    /// with it.
    pub(crate) fn remove(&mut self, user: &str) -> Option<Entry> {
        self.state.remove(user);
        let place = self.waiting.iter().position(|entry| entry.user == user)?;
        Some(self.waiting.remove(place))
    }

    /// Some member event of the state.
    pub(crate) fn standing(&self, which: &Index) -> Option<Stands> {
        let all: Vec<&Stands> = self.state.values().collect();
        if all.is_empty() { None } else { Some((*which.get(&all)).clone()) }
    }

    /// Who waits, in the order that a state alone tells: by the time that the events say, then by
    /// their IDs.
    pub(crate) fn by_time(&self) -> Vec<Entry> {
        let mut waiting = self.waiting.clone();
        waiting.sort_by_key(|entry| (entry.time, entry.event_id.clone()));
        waiting
    }
}
