//! What the rules ask of a room beside its memberships.

use super::power_levels::{Powers, is_creator, powers};
use super::{AuthorizeError, Rejection, Rule};
use crate::event::content::create::federates;
use crate::event::content::join_rules::{JoinRule, join_rule};
use crate::event::{Event, EventType, Malformed};
use crate::id::domain;
use crate::room_version::{RoomVersion, RoomVersionRules};
use crate::state::{NotLookedUp, RoomState};

/// Three events of a room, as answers. [`StateFacts`] reads them when asked, a compiled room has read them before.
pub(super) trait Facts {
    /// Whether users of the server of this user may take part.
    fn federates_with(&self, sender: &str) -> Result<bool, Malformed>;

    /// Whether this is the ID of the create event.
    fn is_create_event(&self, event_id: &str) -> bool;

    /// Whether this user made the room.
    fn is_creator(&self, user: &str) -> bool;

    /// How people come in. A room without join rules is `invite`.
    fn join_rule(&self) -> Result<JoinRule, NoFact>;

    /// The power of two users, sender and target, and what the memberships take.
    fn powers(&self, users: [&str; 2]) -> Result<Powers, NotLookedUp>;
}

/// Why there is no answer.
pub(super) enum NoFact {
    Malformed(Malformed),
    NotLookedUp(NotLookedUp),
}

impl From<Malformed> for NoFact {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<NotLookedUp> for NoFact {
    fn from(error: NotLookedUp) -> Self {
        Self::NotLookedUp(error)
    }
}

/// The answers from a state.
pub(super) struct StateFacts<'s, S: RoomState + ?Sized + 's> {
    state: &'s S,
    create: S::Event<'s>,
    rules: RoomVersionRules,
}

impl<'s, S: RoomState + ?Sized> StateFacts<'s, S> {
    /// There is nothing to say of a room without a create event.
    pub(super) fn new(version: RoomVersion, state: &'s S) -> Result<Self, AuthorizeError> {
        let create = state.event(EventType::Create, "")?;
        let create = create.ok_or_else(|| Rejection::new(Rule::NoCreateEvent, version, None))?;
        Ok(Self { state, create, rules: *version.rules() })
    }

    pub(super) const fn create(&self) -> &S::Event<'s> {
        &self.create
    }
}

impl<S: RoomState + ?Sized> Facts for StateFacts<'_, S> {
    fn federates_with(&self, sender: &str) -> Result<bool, Malformed> {
        match federates(self.create.content()) {
            // Nearly all rooms do, and most contents are read faster than the two users are
            // compared.
            Ok(true) => Ok(true),
            _ if same_domain(domain(self.create.sender()), sender) => Ok(true),
            bars => bars,
        }
    }

    fn is_create_event(&self, event_id: &str) -> bool {
        self.create.event_id() == Some(event_id)
    }

    fn is_creator(&self, user: &str) -> bool {
        is_creator(&self.create, user, &self.rules)
    }

    fn join_rule(&self) -> Result<JoinRule, NoFact> {
        // DEVIATION: the specification does not say what a room without join rules is. It counts as `invite`, as in
        // Synapse and gomatrixserverlib.
        match self.state.event(EventType::JoinRules, "")? {
            Some(event) => Ok(join_rule(event.content(), &self.rules)?),
            None => Ok(JoinRule::Invite),
        }
    }

    fn powers(&self, users: [&str; 2]) -> Result<Powers, NotLookedUp> {
        powers(self.state, &self.create, users, &self.rules)
    }
}

/// Whether the user is of this server. Neither a malformed user ID nor a missing domain is of any.
pub(super) fn same_domain(server: Option<&str>, user: &str) -> bool {
    server.is_some() && server == domain(user)
}
