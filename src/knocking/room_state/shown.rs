//! What is stored of a verified room state, and shown to the user's clients.

use serde::{Deserialize, Serialize};

use super::super::stored::texts;
use super::{ShowUnverified, ShownEvent, VerifiedRoomState, check_unverified, is_create};
use crate::event::EventType;
use crate::id::UserId;
use crate::room_version::RoomVersion;
use crate::stripped_state::StrippedEvent;

/// The events of a [`VerifiedRoomState`] that can be shown.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(in crate::knocking) struct Shown {
    #[serde(with = "texts")]
    pub(in crate::knocking) verified: Vec<StrippedEvent>,
    /// What nobody has signed.
    #[serde(with = "texts")]
    pub(in crate::knocking) unverified: Vec<StrippedEvent>,
}

impl From<VerifiedRoomState> for Shown {
    fn from(state: VerifiedRoomState) -> Self {
        let VerifiedRoomState { shown, unverified, .. } = state;
        Self { verified: shown, unverified }
    }
}

impl Shown {
    /// Leaves out what is not verified and must not be shown.
    pub(in crate::knocking) fn checked(self, version: RoomVersion) -> Self {
        let mut unverified: Vec<StrippedEvent> = Vec::new();
        for event in self.unverified {
            if check_unverified(version, &event, self.verified.iter().chain(&unverified)).is_ok() {
                unverified.push(event);
            }
        }
        Self { unverified, ..self }
    }

    /// What the client is shown: the create event first, and the user's own member event, which this server knows, last.
    ///
    /// Leaves out member events of the user that other servers sent.
    pub(in crate::knocking) fn to_client(
        &self,
        version: RoomVersion,
        user_id: UserId<'_>,
        own: Option<StrippedEvent>,
        unverified: ShowUnverified,
    ) -> Vec<ShownEvent> {
        let is_own =
            |event: &StrippedEvent| event.event_type() == EventType::Member.as_str() && user_id == *event.state_key();
        let others: &[StrippedEvent] = match unverified {
            ShowUnverified::BeforeV12 if version.rules().create_event_is_room_id => &[],
            ShowUnverified::Never => &[],
            ShowUnverified::BeforeV12 | ShowUnverified::Always => &self.unverified,
        };
        let shown = |is_verified| move |event: StrippedEvent| ShownEvent { event, is_verified };
        let verified = self.verified.iter().filter(|event| !is_own(event)).cloned().map(shown(true));
        let mut events: Vec<ShownEvent> = verified.chain(others.iter().cloned().map(shown(false))).collect();
        events.sort_by_key(|shown| !is_create(&shown.event));
        events.extend(own.map(shown(true)));
        events
    }
}
