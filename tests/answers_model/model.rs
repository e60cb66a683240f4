//! What has to come of it all, by the specification's rules and the conditions of the design, told
//! from a list of changes.

use matrix_knock::auth::Rule;
use matrix_knock::resident::answer::Action;

/// Kay's membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Is {
    Nothing,
    Invited,
    Joined,
    Knocking,
    Left,
    Banned,
}

impl Is {
    pub(crate) const fn name(self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::Invited => Some("invite"),
            Self::Joined => Some("join"),
            Self::Knocking => Some("knock"),
            Self::Left => Some("leave"),
            Self::Banned => Some("ban"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    // By Kay herself.
    Knock,
    Leave,
    Join,
    // By Mo.
    Answer(Action),
    /// Mo gets the power, or loses it.
    Power(bool),
    /// People may knock, or not.
    Open(bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) number: usize,
    pub(crate) change: Change,
    /// The number of Kay's membership event before it: what it answers, by its auth events.
    pub(crate) names: Option<usize>,
    /// It comes after so many events of the room.
    pub(crate) after: usize,
}

/// The state of the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) kay: Is,
    /// Kay's membership event.
    pub(crate) event: Option<usize>,
    power: bool,
    open: bool,
    /// Whether the join rule is `knock_restricted` while it is open.
    restricted: bool,
}

/// Why an answer is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    Rule(Rule),
    Nothing,
}

/// What Kay's server has to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Home {
    pub(crate) kay: Is,
    pub(crate) event: Option<usize>,
    /// Whether it has sent a join that may have been taken.
    pub(crate) is_joining: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Model {
    /// What the room has, in order of arrival.
    pub(crate) log: Vec<Event>,
    numbers: usize,
    restricted: bool,
    pub(crate) home: Home,
}

pub(crate) const fn answers(action: Action) -> Is {
    match action {
        Action::Accept | Action::Decline | Action::Ban => Is::Knocking,
        Action::Revoke => Is::Invited,
        Action::Unban => Is::Banned,
        Action::Invite => panic!("no answer"),
    }
}

impl Change {
    pub(crate) const fn makes(self) -> Option<Is> {
        match self {
            Self::Knock => Some(Is::Knocking),
            Self::Leave | Self::Answer(Action::Decline | Action::Revoke | Action::Unban) => Some(Is::Left),
            Self::Join => Some(Is::Joined),
            Self::Answer(Action::Accept | Action::Invite) => Some(Is::Invited),
            Self::Answer(Action::Ban) => Some(Is::Banned),
            Self::Power(_) | Self::Open(_) => None,
        }
    }

    /// The rule that refuses it. Mo is joined; Kay has no power.
    ///
    /// <https://spec.matrix.org/v1.19/rooms/v12/#authorisation-rules>
    pub(crate) const fn refused(self, state: State) -> Option<Rule> {
        let State { kay, power, open, restricted, .. } = state;
        match (self, kay) {
            (Self::Knock, _) if !open => Some(Rule::KnockJoinRule),
            (Self::Knock, Is::Invited | Is::Joined | Is::Banned) => Some(Rule::KnockMembership),
            (Self::Leave, Is::Nothing | Is::Left | Is::Banned) => Some(Rule::LeaveFromNothing),
            (Self::Join, Is::Banned) => Some(Rule::JoinWhileBanned),
            (Self::Join, Is::Nothing | Is::Knocking | Is::Left) if open && restricted => Some(Rule::JoinNotAuthorized),
            (Self::Join, Is::Nothing | Is::Knocking | Is::Left) => Some(Rule::JoinRule),
            (Self::Answer(Action::Accept), Is::Joined | Is::Banned) => Some(Rule::InviteOfJoinedOrBanned),
            (Self::Answer(Action::Accept), _) if !power => Some(Rule::InvitePower),
            (Self::Answer(Action::Ban), _) if !power => Some(Rule::BanPower),
            (Self::Answer(Action::Decline | Action::Revoke | Action::Unban), Is::Banned) if !power => {
                Some(Rule::UnbanPower)
            }
            (Self::Answer(Action::Decline | Action::Revoke | Action::Unban), _) if !power => Some(Rule::KickPower),
            _ => None,
        }
    }
}

impl Model {
    pub(crate) const fn new(restricted: bool) -> Self {
        let home = Home { kay: Is::Nothing, event: None, is_joining: false };
        Self { log: Vec::new(), numbers: 0, restricted, home }
    }

    /// The state after so many events.
    pub(crate) fn state_after(&self, events: usize) -> State {
        let mut state = State { kay: Is::Nothing, event: None, power: true, open: true, restricted: self.restricted };
        for event in &self.log[..events] {
            match event.change {
                Change::Power(power) => state.power = power,
                Change::Open(open) => state.open = open,
                change => {
                    state.kay = change.makes().unwrap();
                    state.event = Some(event.number);
                }
            }
        }
        state
    }

    pub(crate) fn state(&self) -> State {
        self.state_after(self.log.len())
    }

    /// A new event behind all that there are.
    pub(crate) fn make(&mut self, change: Change) -> Event {
        self.numbers += 1;
        Event { number: self.numbers - 1, change, names: self.state().event, after: self.log.len() }
    }

    pub(crate) fn has(&self, event: Event) -> bool {
        self.log.contains(&event)
    }

    /// Whether there is something to answer is asked before the rules, as long as there is no
    /// event.
    pub(crate) fn no_answer_yet(&self, action: Action) -> Option<NoAnswer> {
        let state = self.state();
        let nothing = (state.kay != answers(action)).then_some(NoAnswer::Nothing);
        nothing.or_else(|| Change::Answer(action).refused(state).map(NoAnswer::Rule))
    }

    /// Once there is one, behind them.
    pub(crate) fn no_answer(&self, action: Action) -> Option<NoAnswer> {
        let state = self.state();
        let rule = Change::Answer(action).refused(state).map(NoAnswer::Rule);
        rule.or_else(|| (state.kay != answers(action)).then_some(NoAnswer::Nothing))
    }
}
