//! The room of an explanation, and what is asked of it. Every yes and no comes from the library.

use std::collections::BTreeMap;

use matrix_knock::auth::{AuthorizeError, CompiledRoom, Obstacle, Rejection, obstacles_to_join, obstacles_to_knock};
use matrix_knock::event::{Event as _, EventType, Membership, OwnedPdu, Pdu, Proposal, event_id_of_stored};
use matrix_knock::id::{ServerName, UserId};
use matrix_knock::state::{FromFn, NotLookedUp, RoomState, StateMap};
use matrix_knock::{NoVerifier, RoomVersion};
use serde_json::{Value, json};

use super::input::{self, InputError};

/// A room by its state.
pub(super) struct Room<'a> {
    pub(super) version: RoomVersion,
    /// The version by the create event, if the question names another.
    pub(super) version_of_create: Option<String>,
    pub(super) room_id: Option<String>,
    state: StateMap<Pdu<'a>>,
}

/// The two ways into a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Knock,
    Join,
}

/// Who can do something, or what keeps everybody from it.
pub(super) struct Able<'r> {
    pub(super) users: Vec<&'r str>,
    /// The refusal of whom the rules let come furthest; `None` if nobody is joined.
    pub(super) refusal: Option<Rejection>,
}

impl<'a> Room<'a> {
    /// Reads a state. Of two events for one type and state key the last counts.
    pub(super) fn read(text: &'a str, version: Option<RoomVersion>) -> Result<Self, InputError> {
        let mut state = StateMap::new();
        let mut room_id: Option<String> = None;
        for (position, text) in (1..).zip(input::events(text)?) {
            let event = Pdu::parse_stored(text.get()).map_err(|error| InputError::Event { position, error })?;
            if let Some(of_event) = event.room_id() {
                if *room_id.get_or_insert_with(|| of_event.to_owned()) != *of_event {
                    return Err(InputError::OtherRoom { position });
                }
            }
            state.insert(event).map_err(|_| InputError::NotAStateEvent { position })?;
        }
        let create = find(&state, EventType::Create, "");
        let said = create.map(|create| version_of(create.content()));
        let version = match (version, &said) {
            (Some(version), _) => version,
            (None, None) => return Err(InputError::NoVersion),
            (None, Some(None)) => return Err(InputError::MalformedVersion),
            (None, Some(Some(name))) => name.parse().map_err(|_| InputError::UnknownVersion(name.clone()))?,
        };
        let version_of_create = said.flatten().filter(|said| version != **said);
        Ok(Self { version, version_of_create, room_id, state })
    }

    /// An event of the state.
    pub(super) fn event(&self, event_type: EventType<'_>, state_key: &str) -> Option<&Pdu<'a>> {
        find(&self.state, event_type, state_key)
    }

    /// The content of an event of the state; null where there is none or it is not JSON.
    pub(super) fn content(&self, event_type: EventType<'_>, state_key: &str) -> Value {
        let content = self.event(event_type, state_key).map(|event| event.content());
        content.and_then(|content| serde_json::from_str(content).ok()).unwrap_or_default()
    }

    /// The ID of an event: as its server notes it, or computed where the event is as servers send
    /// it.
    pub(super) fn event_id(&self, event: &Pdu<'_>) -> Option<String> {
        if let Some(event_id) = event.event_id() {
            return Some(event_id.to_owned());
        }
        let members: BTreeMap<String, serde::de::IgnoredAny> = serde_json::from_str(event.text()).ok()?;
        // What a client is given lacks parts that the ID is made of.
        let is_whole = ["auth_events", "prev_events", "hashes"].iter().all(|name| members.contains_key(*name));
        is_whole.then(|| event_id_of_stored(self.version, event.text()).ok()).flatten()
    }

    pub(super) fn membership(&self, user: UserId<'_>) -> Option<Membership> {
        self.event(EventType::Member, user.as_str())?.member_facts().membership()
    }

    /// How many users each server has in the room.
    pub(super) fn servers(&self) -> BTreeMap<ServerName<'_>, usize> {
        let mut servers: BTreeMap<ServerName<'_>, usize> = BTreeMap::new();
        for user in self.joined().filter_map(|user| UserId::parse(user).ok()) {
            let users = servers.entry(user.server_name()).or_default();
            *users = users.saturating_add(1);
        }
        servers
    }

    /// The joined users, in the order of their IDs.
    pub(super) fn joined(&self) -> impl Iterator<Item = &str> {
        let members = self.state.iter().filter(|event| event.is_type(EventType::Member));
        let joined = members.filter(|member| member.member_facts().membership() == Some(Membership::Join));
        joined.filter_map(|member| member.state_key())
    }

    /// All that keeps the user from this way in.
    pub(super) fn obstacles<'u>(&self, way: Way, user: UserId<'u>) -> Result<Vec<Obstacle<'u>>, NotLookedUp> {
        obstacles(self.version, way, user, &self.state)
    }

    /// The same with other join rules.
    pub(super) fn obstacles_under<'u>(
        &self,
        join_rules: &OwnedPdu,
        way: Way,
        user: UserId<'u>,
    ) -> Result<Vec<Obstacle<'u>>, NotLookedUp> {
        obstacles(self.version, way, user, &self.under(join_rules))
    }

    /// Whose word would let the user join.
    pub(super) fn who_may_authorize(&self, user: UserId<'_>) -> Vec<&str> {
        let authorizes = authorizes(self.version, user, &self.state);
        self.joined().filter(|authorizer| authorizes(authorizer)).collect()
    }

    /// Whether somebody's word would let the user join, with other join rules.
    pub(super) fn somebody_may_authorize_under(&self, join_rules: &OwnedPdu, user: UserId<'_>) -> bool {
        let state = self.under(join_rules);
        let authorizes = authorizes(self.version, user, &state);
        self.joined().any(authorizes)
    }

    fn under<'r>(&'r self, join_rules: &'r OwnedPdu) -> impl RoomState + use<'r, 'a> {
        let join_rules = join_rules.as_pdu();
        FromFn(move |event_type: &str, state_key: &str| match EventType::from(event_type) {
            EventType::JoinRules => Some(join_rules.clone()),
            event_type => self.event(event_type, state_key).cloned(),
        })
    }

    /// Who may make this of the user's membership: a joined user other than themselves.
    pub(super) fn who_may(&self, membership: Membership, user: UserId<'_>) -> Able<'_> {
        self.able(membership, user, &self.state)
    }

    /// The same, had the user no membership.
    pub(super) fn who_may_without_membership(&self, membership: Membership, user: UserId<'_>) -> Able<'_> {
        let without = FromFn(|event_type: &str, state_key: &str| {
            let is_theirs = EventType::from(event_type) == EventType::Member && user == *state_key;
            if is_theirs { None } else { self.event(EventType::from(event_type), state_key) }
        });
        self.able(membership, user, &without)
    }

    fn able(&self, membership: Membership, user: UserId<'_>, state: &impl RoomState) -> Able<'_> {
        let room = match CompiledRoom::compile(self.version, state) {
            Ok(room) => room,
            Err(error) => return Able { users: Vec::new(), refusal: error.rejection() },
        };
        let (mut users, mut refusal) = (Vec::new(), None::<Rejection>);
        for sender in self.joined().filter(|sender| user != **sender) {
            let proposal = Proposal { sender, target: user.as_str(), membership };
            match room.authorize_proposal(&proposal, state) {
                Ok(_) => users.push(sender),
                Err(error) => refusal = further(refusal, &error),
            }
        }
        Able { users, refusal }
    }
}

/// The one of both refusals whose rule comes later.
fn further(one: Option<Rejection>, other: &AuthorizeError) -> Option<Rejection> {
    one.into_iter().chain(other.rejection()).max_by_key(|rejection| rejection.rule())
}

fn obstacles<'u>(
    version: RoomVersion,
    way: Way,
    user: UserId<'u>,
    state: &impl RoomState,
) -> Result<Vec<Obstacle<'u>>, NotLookedUp> {
    match way {
        Way::Knock => obstacles_to_knock(version, user, state),
        Way::Join => obstacles_to_join(version, user, state),
    }
}

/// Whether the word of this user would let the other one join.
fn authorizes(version: RoomVersion, user: UserId<'_>, state: &impl RoomState) -> impl Fn(&str) -> bool {
    let room = CompiledRoom::compile(version, state).ok();
    move |authorizer| {
        let join = json!({
            "type": "m.room.member", "sender": user.as_str(), "state_key": user.as_str(),
            "content": { "membership": "join", "join_authorised_via_users_server": authorizer },
        });
        let (join, room) = (join.to_string(), room.as_ref());
        let join = Pdu::parse_stored(&join).ok().zip(room);
        join.is_some_and(|(join, room)| room.authorize(&join, state, &NoVerifier).is_ok())
    }
}

fn find<'s, 'a>(state: &'s StateMap<Pdu<'a>>, event_type: EventType<'_>, state_key: &str) -> Option<&'s Pdu<'a>> {
    state.event(event_type, state_key).ok().flatten()
}

/// The room version that a create event says: `1` if it says none, `None` if it says no string.
fn version_of(content: &str) -> Option<String> {
    let content: Value = serde_json::from_str(content).ok()?;
    match content.as_object()?.get("room_version") {
        None => Some("1".to_owned()),
        Some(version) => version.as_str().map(str::to_owned),
    }
}
