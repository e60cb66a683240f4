//! A server's part in `send_knock`, by ruma: an event is parsed, verified, named and decided on.

use std::collections::BTreeMap;

use ruma_common::room_version_rules::RoomVersionRules;
use ruma_common::serde::Base64;
use ruma_common::{
    CanonicalJsonObject, EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId,
};
use ruma_events::{StateEventType, TimelineEventType};
use ruma_signatures::{PublicKeyMap, reference_hash, verify_event};
use ruma_state_res::{check_pdu_format, check_state_dependent_auth_rules};
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Event {
    content: Box<RawValue>,
    event_id: OwnedEventId,
    room_id: OwnedRoomId,
    sender: OwnedUserId,
    state_key: Option<String>,
    r#type: TimelineEventType,
    prev_events: Vec<OwnedEventId>,
    auth_events: Vec<OwnedEventId>,
    origin_server_ts: MilliSecondsSinceUnixEpoch,
}

impl ruma_state_res::Event for Event {
    type Id = OwnedEventId;

    fn event_id(&self) -> &OwnedEventId {
        &self.event_id
    }

    fn room_id(&self) -> Option<&RoomId> {
        Some(&self.room_id)
    }

    fn sender(&self) -> &UserId {
        &self.sender
    }

    fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
        self.origin_server_ts
    }

    fn event_type(&self) -> &TimelineEventType {
        &self.r#type
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

fn main() {
    let mut lines = std::io::stdin().lines().map_while(Result::ok);
    let body = lines.next().unwrap_or_default();
    let events: Vec<Event> = lines.flat_map(|text| serde_json::from_str(&text)).collect();
    let keys =
        PublicKeyMap::from([("a".to_owned(), BTreeMap::from([("ed25519:1".to_owned(), Base64::new(vec![7; 32]))]))]);
    let rules = RoomVersionRules::V10;
    let decide = || {
        let object: CanonicalJsonObject = serde_json::from_str(&body).ok()?;
        check_pdu_format(&object, &rules.event_format).ok()?;
        verify_event(&keys, &object, &rules).ok()?;
        let event_id = <&EventId>::try_from(&*format!("${}", reference_hash(&object, &rules).ok()?)).ok()?.to_owned();
        let event = Event { event_id, ..serde_json::from_str(&body).ok()? };
        check_state_dependent_auth_rules(&rules.authorization, &event, |event_type: &StateEventType, key: &str| {
            let event_type = TimelineEventType::from(event_type.clone());
            events.iter().find(|event| event.r#type == event_type && event.state_key.as_deref() == Some(key))
        })
        .ok()?;
        Some(event.event_id)
    };
    println!("{:?}", decide());
}
