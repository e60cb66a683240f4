//! Rooms of this server: making them, and making events of its users.
//!
//! Knocks, leaves and answers to knocks are made by steps of the library ([`knock`](crate::knock), [`leave`](crate::leave),
//! [`answer`](crate::answer)). Joins, kicks and bans of others go by its template of a proposal. What is no member event is out
//! of its scope, so its rules are here, as few as do for trying out: the sender is in the room and has the level for the
//! type.

use matrix_knock::RoomVersion;
use matrix_knock::auth::authorize;
use matrix_knock::error::{Errcode, ErrorResponse};
use matrix_knock::event::{
    Event, EventType, Membership, NoVerifier, OwnedPdu, Proposal, SignedEvent, room_id_of_create,
};
use matrix_knock::id::{OwnedEventId, OwnedRoomId, ServerName, UserId};
use matrix_knock::policy::PolicyServer;
use matrix_knock::resident::{ByHost, LocalEvent, Refusal, Residence, must_also_reach};
use matrix_knock::state::{Reads, RoomState, StateMap};
use matrix_knock::template::{CheckedTemplate, Details, Template};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::host::{Host, now};
use crate::http::{forbidden, invalid};
use crate::store::{At, Relay, Room, Status, StoreError, prev_events};

/// The body of `createRoom`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CreateRoom {
    room_version: Option<String>,
    preset: Option<String>,
    name: Option<String>,
    topic: Option<String>,
    initial_state: Vec<InitialState>,
    creation_content: Map<String, Value>,
    power_level_content_override: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct InitialState {
    #[serde(rename = "type")]
    event_type: String,
    #[serde(default)]
    state_key: String,
    content: Value,
}

impl Host {
    pub async fn create_room(&self, creator: UserId<'_>, wish: CreateRoom) -> Result<OwnedRoomId, ErrorResponse> {
        let version = match &wish.room_version {
            Some(name) => RoomVersion::parse_among(name, &self.versions).ok(),
            None => self.versions.last().copied(),
        };
        let version = version.ok_or_else(|| {
            ErrorResponse::new(Errcode::from("M_UNSUPPORTED_ROOM_VERSION"), "No such room version here")
        })?;
        let join_rule = match wish.preset.as_deref().unwrap_or("private_chat") {
            "public_chat" => "public",
            "private_chat" | "trusted_private_chat" => "invite",
            _ => return Err(invalid("No such preset")),
        };
        let (room, create) = self.create_event(version, creator, wish.creation_content)?;
        let has_creators = version.rules().create_event_is_room_id;
        // The creator's join is allowed by what comes before it, which a proposal does not have.
        let before = [create.event_id()];
        let mut content = Map::from_iter([("membership".to_owned(), json!("join"))]);
        content.extend(self.name_of(creator).await?.map(|name| ("displayname".to_owned(), json!(name))));
        let join = json!({ "type": "m.room.member", "state_key": creator.as_str(), "sender": creator.as_str(),
            "content": content, "room_id": room.id.as_str(), "origin_server_ts": now(), "depth": 2, "prev_events": before,
            "auth_events": if has_creators { json!([]) } else { json!(before) } });
        let join = self.sign(version, &join)?;

        let mut levels = Map::new();
        if !has_creators {
            levels.insert("users".to_owned(), json!({ creator.as_str(): 100 }));
        }
        let tombstone = if has_creators { 150 } else { 100 };
        let events = json!({ "m.room.tombstone": tombstone, "m.room.power_levels": 100, "m.room.server_acl": 100,
            "m.room.encryption": 100, "m.room.policy": 100 });
        levels.insert("events".to_owned(), events);
        levels.extend(wish.power_level_content_override);
        let entry = |event_type: &str, content| (event_type.to_owned(), String::new(), content);
        // Of two for the same entry the later one counts.
        let mut entries = vec![
            entry("m.room.power_levels", Value::Object(levels)),
            entry("m.room.join_rules", json!({ "join_rule": join_rule })),
        ];
        entries.extend(wish.initial_state.into_iter().map(|event| (event.event_type, event.state_key, event.content)));
        entries.extend(wish.name.map(|name| entry("m.room.name", json!({ "name": name }))));
        entries.extend(wish.topic.map(|topic| entry("m.room.topic", json!({ "topic": topic }))));

        let mut state: StateMap<OwnedPdu> = StateMap::new();
        let mut events = Vec::new();
        for event in [create, join] {
            let event = OwnedPdu::from(event.formatted()?.pdu().clone());
            state.extend([event.clone()]);
            events.push(event);
        }
        for ((event_type, state_key, content), depth) in entries.iter().zip(2..) {
            let change = StateChange { event_type, state_key: Some(state_key), sender: creator.as_str(), version };
            let last = events.last().and_then(|event| event.event_id()).unwrap_or_default();
            let last = (OwnedEventId::parse(last).map_err(StoreError::from)?, depth);
            let event = self.state_event(&room, &change, content, &state, &[last])?;
            let event = OwnedPdu::from(event.formatted()?.pdu().clone());
            state.extend([event.clone()]);
            events.push(event);
        }
        // The room is there with all of this, or not at all.
        self.store.create(&room, events).await?;
        Ok(room.id)
    }

    /// The first event of a room, and the room.
    fn create_event(
        &self,
        version: RoomVersion,
        creator: UserId<'_>,
        mut content: Map<String, Value>,
    ) -> Result<(Room, LocalEvent<ByHost>), ErrorResponse> {
        let rules = version.rules();
        content.insert("room_version".to_owned(), json!(version.as_str()));
        if !rules.creator_is_sender {
            content.insert("creator".to_owned(), json!(creator.as_str()));
        }
        let mut random = [0; 9];
        getrandom::fill(&mut random).map_err(|error| ErrorResponse::internal(error.to_string()))?;
        let local_part: String = random.iter().map(|byte| char::from(b'a'.saturating_add(byte % 26))).collect();
        let made = format!("!{local_part}{}:{}", now(), self.name);
        let mut event = json!({ "type": "m.room.create", "state_key": "", "sender": creator.as_str(), "content": content,
            "room_id": made, "origin_server_ts": now(), "depth": 1, "auth_events": [], "prev_events": [] });
        if let Some(event) = event.as_object_mut().filter(|_| rules.create_event_is_room_id) {
            event.remove("room_id");
        }
        let create = self.sign(version, &event)?;
        let id = room_id_of_create(version, create.event_id()).unwrap_or(made);
        let id = OwnedRoomId::parse(id).map_err(StoreError::from)?;
        Ok((Room { id, version, residence: Residence::Joined }, create))
    }

    fn sign(&self, version: RoomVersion, event: &Value) -> Result<LocalEvent<ByHost>, Refusal> {
        LocalEvent::sign_by_host(version, &event.to_string(), self.name.as_borrowed(), &*self.key)
    }

    /// Sends a state event of a user, other than a member event.
    pub async fn send_state(
        &self,
        room: &Room,
        sender: UserId<'_>,
        event_type: &str,
        state_key: &str,
        content: &Value,
    ) -> Result<String, ErrorResponse> {
        let change =
            StateChange { event_type, state_key: Some(state_key), sender: sender.as_str(), version: room.version };
        let state = self.store.state(room, At::Now, &change.reads()).await?;
        let event = self.state_event(room, &change, content, &state, &self.store.extremities(room).await?)?;
        let policy = self.ask_policy_server(room, &event.formatted()?).await?;

        let _lock = self.lock(room.id.to_string()).await;
        let state = self.store.state(room, At::Now, &change.reads().and(&PolicyServer::reads())).await?;
        change.authorize(&state)?;
        let event = event.accept_by_host(&state, policy)?;
        self.append_signed(room, &event, None).await?;
        Ok(event.event_id().to_owned())
    }

    /// Makes a state event, other than a member event, if this state of the room allows it.
    fn state_event(
        &self,
        room: &Room,
        change: &StateChange<'_>,
        content: &Value,
        state: &impl RoomState,
        prev_events: &[(OwnedEventId, u64)],
    ) -> Result<LocalEvent<ByHost>, ErrorResponse> {
        change.authorize(state)?;
        let mut auth_events = Vec::new();
        for (event_type, key) in change.reads().iter() {
            let is_named = event_type != EventType::Create || !room.version.rules().create_event_is_room_id;
            let event = state.event(event_type, key)?.filter(|_| is_named);
            auth_events.extend(event.as_ref().and_then(Event::event_id).map(str::to_owned));
        }
        let depth = prev_events.iter().map(|(_, depth)| *depth).max().unwrap_or(0).saturating_add(1);
        let prev_events: Vec<&str> = prev_events.iter().map(|(id, _)| id.as_str()).collect();
        let event = json!({ "type": change.event_type, "state_key": change.state_key, "sender": change.sender,
            "content": content, "room_id": room.id.as_str(), "origin_server_ts": now(), "depth": depth,
            "auth_events": auth_events, "prev_events": prev_events });
        Ok(self.sign(room.version, &event)?)
    }

    /// Changes a membership in a room that this server is in, where the library has no step for it: a join, a kick or a ban of
    /// somebody who does not knock.
    pub async fn change_membership(
        &self,
        room: &Room,
        sender: UserId<'_>,
        target: UserId<'_>,
        membership: Membership,
        reason: Option<String>,
    ) -> Result<(), ErrorResponse> {
        let proposal = Proposal { sender: sender.as_str(), target: target.as_str(), membership };
        let reads = matrix_knock::auth::Selection::of(room.version, &proposal).reads();
        let state = self.store.state(room, At::Now, &reads).await?;
        let extremities = self.store.extremities(room).await?;
        let prev_events = prev_events(&extremities);
        let template =
            Template::of_proposal(room.version, &proposal, room.id.as_borrowed(), &state, &prev_events, now())?;
        let details = Details { reason, displayname: self.name_of(target).await?, avatar_url: None };
        let event = CheckedTemplate::from(template).to_event(&details, self.name.as_borrowed(), now());
        let event = LocalEvent::sign_by_host(room.version, &event, self.name.as_borrowed(), &*self.key)?;
        let policy = self.ask_policy_server(room, &event.formatted()?).await?;

        let _lock = self.lock(room.id.to_string()).await;
        let state = self.store.state(room, At::Now, &event.reads()).await?;
        let event = event.accept_by_host(&state, policy)?;
        let pdu = event.pdu().map_err(StoreError::from)?;
        let authorized = authorize(room.version, &pdu, &state, &NoVerifier);
        let authorized = authorized.map_err(|_| forbidden("The room does not allow it"))?;
        let also = must_also_reach(&authorized, &state, self.name.as_borrowed())?;
        Ok(self.append_signed(room, &event, also.map(|reach| reach.server)).await?)
    }

    /// The display name of a user of this server.
    pub async fn name_of(&self, user: UserId<'_>) -> Result<Option<String>, StoreError> {
        if self.is_own(user) { self.store.displayname(user.as_str()).await } else { Ok(None) }
    }

    /// Makes an event of this server a part of the room, and sends it to the servers in the room; and to this one.
    pub async fn append_signed(
        &self,
        room: &Room,
        signed: &SignedEvent,
        also_to: Option<ServerName<'_>>,
    ) -> Result<(), StoreError> {
        let relay = Relay::ToRoom(also_to.map(ServerName::into_owned));
        self.store.append(room, OwnedPdu::from(signed.pdu()?), Status::Accepted, relay).await
    }
}

/// An event other than a member event, as far as the rules for such events look at it.
pub struct StateChange<'e> {
    pub event_type: &'e str,
    /// `None`: no state event.
    pub state_key: Option<&'e str>,
    pub sender: &'e str,
    pub version: RoomVersion,
}

impl StateChange<'_> {
    /// What an event of any type names as allowing it.
    pub fn reads(&self) -> Reads {
        let entries = [(EventType::Create, ""), (EventType::PowerLevels, ""), (EventType::Member, self.sender)];
        entries.into_iter().collect()
    }

    /// The rules for what is no member event, but for those about a change of the power levels, which are left out.
    pub fn authorize(&self, state: &impl RoomState) -> Result<(), ErrorResponse> {
        let Some(create) = state.event(EventType::Create, "")? else { return Err(forbidden("There is no such room")) };
        let member = state.event(EventType::Member, self.sender)?;
        if member.and_then(|member| member.member_facts().membership()) != Some(Membership::Join) {
            return Err(forbidden("You are not in the room"));
        }
        if matches!(self.event_type, "m.room.create" | "m.room.member") {
            return Err(forbidden("Not in this way"));
        }
        if self.state_key.is_some_and(|key| key.starts_with('@') && key != self.sender) {
            return Err(forbidden("The state key is another user"));
        }
        let creation: Value = serde_json::from_str(create.content()).unwrap_or_default();
        let server = |user| UserId::parse(user).ok().map(UserId::server_name);
        if creation.get("m.federate") == Some(&Value::Bool(false)) && server(self.sender) != server(create.sender()) {
            return Err(forbidden("The room is not federated"));
        }
        let levels = state.event(EventType::PowerLevels, "")?;
        let levels: Option<Value> = levels.and_then(|levels| serde_json::from_str(levels.content()).ok());
        let is_first = create.sender() == self.sender;
        let others = creation.get("additional_creators").and_then(Value::as_array);
        let is_creator = is_first || others.is_some_and(|users| users.iter().any(|user| user == self.sender));
        let power = match &levels {
            _ if is_creator && self.version.rules().create_event_is_room_id => i64::MAX,
            Some(levels) => level(levels, &["users", self.sender]).or(level(levels, &["users_default"])).unwrap_or(0),
            None if is_first => 100,
            None => 0,
        };
        let (default, otherwise) = if self.state_key.is_some() { ("state_default", 50) } else { ("events_default", 0) };
        let needed = levels.as_ref().map_or(0, |levels| {
            level(levels, &["events", self.event_type]).or(level(levels, &[default])).unwrap_or(otherwise)
        });
        if power >= needed { Ok(()) } else { Err(forbidden("You do not have the power level for it")) }
    }
}

fn level(levels: &Value, path: &[&str]) -> Option<i64> {
    let value = path.iter().try_fold(levels, |value, key| value.get(key))?;
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
}
