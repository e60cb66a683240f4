//! A room whose events both sides read through their own trait, and find by the same look-up.

use std::borrow::Cow;

use matrix_knock::RoomVersion;
use matrix_knock::event::{EventType, MemberFacts};
use matrix_knock::state::{RoomState as _, StateMap};
use ruma_common::{EventId, MilliSecondsSinceUnixEpoch, RoomId, UserId};
use ruma_events::{StateEventType, TimelineEventType};
use serde_json::value::RawValue;

pub(crate) const VERSION: RoomVersion = RoomVersion::V10;
/// Joined, with all the power there is.
pub(crate) const MODERATOR: &str = "@moderator:a.example";
/// Has knocked.
pub(crate) const WAITING: &str = "@waiting:b.example";
/// Has no part in the room yet.
pub(crate) const STRANGER: &str = "@stranger:b.example";
const CREATOR: &str = "@founder:a.example";
const ROOM: &str = "!room:a.example";

/// An event that was read before: a reference or a few for each property, so that a room of a million fits.
#[derive(Debug, Clone)]
pub(crate) struct Stored<'a> {
    pub(crate) event_type: &'a str,
    /// The same for ruma, which has a type of its own for it.
    pub(crate) ruma_type: TimelineEventType,
    pub(crate) state_key: Option<&'a str>,
    pub(crate) sender: &'a UserId,
    pub(crate) content: &'a RawValue,
    /// What our side has read of the content, if it keeps it; else it reads the content for every decision, as ruma does.
    pub(crate) member_facts: Option<MemberFacts>,
    pub(crate) room_id: &'a RoomId,
    pub(crate) event_id: &'a EventId,
    pub(crate) prev_events: Vec<&'a EventId>,
    pub(crate) auth_events: Vec<&'a EventId>,
}

impl<'a> Stored<'a> {
    pub(crate) fn with_content_unread(&self) -> Self {
        Self { member_facts: None, ..self.clone() }
    }
}

impl matrix_knock::event::Event for Stored<'_> {
    fn event_type(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.event_type)
    }

    fn state_key(&self) -> Option<&str> {
        self.state_key
    }

    fn sender(&self) -> &str {
        self.sender.as_str()
    }

    fn content(&self) -> &str {
        self.content.get()
    }

    fn room_id(&self) -> Option<&str> {
        Some(self.room_id.as_str())
    }

    fn event_id(&self) -> Option<&str> {
        Some(self.event_id.as_str())
    }

    fn sole_prev_event(&self) -> Option<&str> {
        if let [event_id] = self.prev_events.as_slice() { Some(event_id.as_str()) } else { None }
    }

    fn member_facts(&self) -> MemberFacts {
        self.member_facts.unwrap_or_else(|| MemberFacts::of(self.content.get()))
    }
}

impl<'a> ruma_state_res::Event for Stored<'a> {
    type Id = &'a EventId;

    fn event_id(&self) -> &&'a EventId {
        &self.event_id
    }

    fn room_id(&self) -> Option<&RoomId> {
        Some(self.room_id)
    }

    fn sender(&self) -> &UserId {
        self.sender
    }

    fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
        MilliSecondsSinceUnixEpoch(0_u8.into())
    }

    fn event_type(&self) -> &TimelineEventType {
        &self.ruma_type
    }

    fn content(&self) -> &RawValue {
        self.content
    }

    fn state_key(&self) -> Option<&str> {
        self.state_key
    }

    fn prev_events(&self) -> Box<dyn DoubleEndedIterator<Item = &&'a EventId> + '_> {
        Box::new(self.prev_events.iter())
    }

    fn auth_events(&self) -> Box<dyn DoubleEndedIterator<Item = &&'a EventId> + '_> {
        Box::new(self.auth_events.iter())
    }

    fn redacts(&self) -> Option<&&'a EventId> {
        None
    }

    fn rejected(&self) -> bool {
        false
    }
}

/// Inputs live as long as the process.
pub(crate) fn leaked(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

pub(crate) fn raw(text: String) -> &'static RawValue {
    Box::leak(RawValue::from_string(text).unwrap())
}

/// An event of the room.
pub(crate) fn stored(
    event_type: &'static str,
    state_key: &'static str,
    sender: &'static str,
    content: &'static RawValue,
) -> Stored<'static> {
    Stored {
        event_type,
        ruma_type: event_type.into(),
        state_key: Some(state_key),
        sender: sender.try_into().unwrap(),
        content,
        member_facts: Some(MemberFacts::of(content.get())),
        room_id: ROOM.try_into().unwrap(),
        event_id: "$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg".try_into().unwrap(),
        prev_events: Vec::new(),
        auth_events: Vec::new(),
    }
}

/// The state of a room: the same events in our map and in ruma's.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) state: StateMap<&'static Stored<'static>>,
    rumas: ruma_state_res::StateMap<&'static Stored<'static>>,
}

impl Room {
    pub(crate) fn of(events: &'static [Stored<'static>]) -> Self {
        let rumas = events.iter().map(|event| {
            let key = event.state_key.unwrap().to_owned();
            ((event.ruma_type.to_string().into(), key), event)
        });
        Self { state: events.iter().collect(), rumas: rumas.collect() }
    }

    /// A room of so many members, with so many users in its power levels.
    pub(crate) fn new(members: usize, levels: usize, join_rule: &str) -> &'static Self {
        let events = events(members, levels, join_rule).collect::<Vec<_>>().leak();
        Box::leak(Box::new(Self::of(events)))
    }

    /// The same with nothing kept of the contents.
    pub(crate) fn with_contents_unread(&self) -> &'static Self {
        #[expect(clippy::disallowed_methods, reason = "it becomes a map again")]
        let events: Vec<_> = self.rumas.values().map(|event| event.with_content_unread()).collect();
        Box::leak(Box::new(Self::of(events.leak())))
    }

    /// The look-up as ruma asks for it, in ruma's own map, as its state resolution does it.
    pub(crate) fn fetch(&self, event_type: &StateEventType, state_key: &str) -> Option<&'static Stored<'static>> {
        self.rumas.get(&(event_type.clone(), state_key.to_owned())).copied()
    }

    /// The same in our map, which needs no key of its own for that.
    pub(crate) fn fetch_from_ours(&self, event_type: &StateEventType, key: &str) -> Option<&'static Stored<'static>> {
        let event_type = match event_type {
            StateEventType::RoomCreate => EventType::Create,
            StateEventType::RoomJoinRules => EventType::JoinRules,
            StateEventType::RoomMember => EventType::Member,
            StateEventType::RoomPowerLevels => EventType::PowerLevels,
            _ => return None,
        };
        self.state.event(event_type, key).unwrap().copied()
    }
}

/// The events of a room, its members last. They are all called the same, and share one content.
pub(crate) fn events(members: usize, levels: usize, join_rule: &str) -> impl Iterator<Item = Stored<'static>> + use<> {
    let user = |number: usize| format!("@user{number:07}:a.example");
    let users: Vec<String> = (1..levels).map(|number| format!(r#""{}":50"#, user(number))).collect();
    let levels = format!(
        r#"{{"ban":50,"events":{{"m.room.name":50,"m.room.power_levels":100}},"events_default":0,"invite":0,"kick":50,"redact":50,"state_default":50,"users":{{"{MODERATOR}":100,{}}},"users_default":0}}"#,
        users.join(",")
    );
    let create = format!(r#"{{"creator":"{CREATOR}","room_version":"{VERSION}"}}"#);
    let joined = raw(
        r#"{"avatar_url":"mxc://a.example/SEsfnsuifSDFSSEF","displayname":"Alice Margatroid","membership":"join"}"#
            .to_owned(),
    );
    let knocked = r#"{"displayname":"Wanda","membership":"knock","reason":"Let me in, please"}"#;
    let first = [
        stored("m.room.create", "", CREATOR, raw(create)),
        stored("m.room.join_rules", "", CREATOR, raw(format!(r#"{{"join_rule":"{join_rule}"}}"#))),
        stored("m.room.power_levels", "", CREATOR, raw(levels)),
        stored("m.room.member", MODERATOR, MODERATOR, joined),
        stored("m.room.member", WAITING, WAITING, raw(knocked.to_owned())),
    ];
    first.into_iter().chain((1..members).map(move |number| {
        let user = leaked(user(number));
        stored("m.room.member", user, user, joined)
    }))
}
