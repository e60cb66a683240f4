//! An event as ruma-state-res reads it, and ruma's rules of a room version.

use matrix_knock::RoomVersion;
use ruma_common::room_version_rules::RoomVersionRules;
use ruma_common::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, RoomVersionId, UserId,
};
use ruma_events::TimelineEventType;
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RumaEvent {
    #[serde(skip)]
    event_id: Option<OwnedEventId>,
    room_id: Option<OwnedRoomId>,
    sender: OwnedUserId,
    #[serde(rename = "type")]
    pub(crate) event_type: TimelineEventType,
    content: Box<RawValue>,
    pub(crate) state_key: Option<String>,
    prev_events: Vec<OwnedEventId>,
    auth_events: Vec<OwnedEventId>,
}

#[expect(clippy::expect_used, reason = "a test that cannot be set up fails")]
impl RumaEvent {
    /// The event of this ID and text.
    pub(crate) fn new(event_id: &str, text: &str) -> Self {
        let event: Self = serde_json::from_str(text).expect("an event");
        Self { event_id: Some(EventId::parse(event_id).expect("an ID").to_owned()), ..event }
    }

    pub(crate) fn id(&self) -> &OwnedEventId {
        self.event_id.as_ref().expect("an ID")
    }
}

impl ruma_state_res::Event for RumaEvent {
    type Id = OwnedEventId;

    fn event_id(&self) -> &OwnedEventId {
        self.id()
    }

    fn room_id(&self) -> Option<&RoomId> {
        self.room_id.as_deref()
    }

    fn sender(&self) -> &UserId {
        &self.sender
    }

    fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
        MilliSecondsSinceUnixEpoch(0_u8.into())
    }

    fn event_type(&self) -> &TimelineEventType {
        &self.event_type
    }

    fn content(&self) -> &RawValue {
        &self.content
    }

    fn state_key(&self) -> Option<&str> {
        self.state_key.as_deref()
    }

    fn prev_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(self.prev_events.iter())
    }

    fn auth_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(self.auth_events.iter())
    }

    fn redacts(&self) -> Option<&OwnedEventId> {
        None
    }

    fn rejected(&self) -> bool {
        false
    }
}

#[expect(clippy::expect_used, reason = "a test that cannot be set up fails")]
pub(crate) fn rules(version: RoomVersion) -> RoomVersionRules {
    RoomVersionId::try_from(version.as_str()).ok().and_then(|version| version.rules()).expect("a version that ruma has")
}
