//! `/sync`: all that there is, every time.

use std::collections::BTreeMap;

use matrix_knock::error::ErrorResponse;
use matrix_knock::event::{Event as _, EventType, Membership};
use matrix_knock::id::{EventId, OwnedRoomId, UserId};
use matrix_knock::knocking::room_state::ShowUnverified;
use matrix_knock::stripped_state::{self, StrippedEvent};
use matrix_knock::sync::{self, KnockedRoom, Section};
use serde_json::json;

use crate::host::Host;
use crate::http::Reply;
use crate::store::{At, Outside, Room, Stored};

/// How many of the last events of a room are shown.
const MAX_TIMELINE: u32 = 100;

impl Host {
    /// `GET /sync`.
    pub async fn client_sync(&self, user: UserId<'_>) -> Reply {
        // A room stands in one section.
        let mut rooms: BTreeMap<OwnedRoomId, (Section, String)> = BTreeMap::new();
        for (room_id, membership) in self.store.rooms_of(user).await? {
            let Some(room) = self.store.room(room_id.as_borrowed()).await? else { continue };
            let section = membership.parse().map_or(Section::Leave, |membership: Membership| Section::of(membership));
            rooms.insert(room_id, (section, self.room_entry(user, &room, section).await?));
        }
        for (room_id, outside) in self.store.all_outside(user).await? {
            // Where this server is in the room, the room's state counts.
            if !self.store.room(room_id.as_borrowed()).await?.is_some_and(|room| room.is_joined()) {
                rooms.insert(room_id, outside_entry(user, &outside));
            }
        }
        let sections = [Section::Invite, Section::Join, Section::Knock, Section::Leave].map(|section| {
            let entries = rooms.iter().filter(|(_, (of, _))| *of == section);
            let entries = entries.map(|(room_id, (_, entry))| format!("{}:{entry}", json!(room_id.as_str())));
            format!(r#""{section}":{{{}}}"#, entries.collect::<Vec<_>>().join(","))
        });
        Ok(format!(r#"{{"next_batch":"all","rooms":{{{}}}}}"#, sections.join(",")))
    }

    /// A room whose state this server has.
    async fn room_entry(&self, user: UserId<'_>, room: &Room, section: Section) -> Result<String, ErrorResponse> {
        let reads = stripped_state::reads_for_client(user);
        let state = self.store.state(room, At::Now, &reads).await?;
        Ok(match section {
            Section::Knock => KnockedRoom::new(stripped_state::for_client(&state, user)?, user).to_string(),
            Section::Invite => invite_entry(&stripped_state::for_client(&state, user)?),
            Section::Join => {
                let timeline = self.store.line(room, i64::MAX, MAX_TIMELINE).await?;
                let timeline: Vec<String> = timeline.iter().filter_map(client_event).collect();
                // Of the other members there is the endpoint `members`.
                let mut events = Vec::new();
                for (event_type, key) in reads.iter() {
                    let event = self.store.stored_state(room, At::Now, event_type, key).await?;
                    events.extend(event.as_ref().and_then(client_event));
                }
                format!(
                    r#"{{"state":{{"events":[{}]}},"timeline":{{"events":[{}],"limited":true}}}}"#,
                    events.join(","),
                    timeline.join(",")
                )
            }
            Section::Leave => {
                let member = self.store.stored_state(room, At::Now, EventType::Member, user.as_str()).await?;
                leave_entry(member.as_ref().and_then(client_event))
            }
        })
    }
}

/// A room that this server is not in.
fn outside_entry(user: UserId<'_>, outside: &Outside) -> (Section, String) {
    match outside {
        Outside::Knock(knock) => {
            let shown = knock.knock_state(ShowUnverified::default());
            (Section::Knock, KnockedRoom::new(shown, user).to_string())
        }
        Outside::Invite(invite, _) => {
            let shown = invite.invite_state(ShowUnverified::default());
            (Section::Invite, invite_entry(&shown.into_iter().map(StrippedEvent::from).collect::<Vec<_>>()))
        }
        Outside::Left { shown, .. } => (Section::Leave, leave_entry(Some(shown.clone()))),
    }
}

fn invite_entry(state: &[StrippedEvent]) -> String {
    let events: Vec<&str> = state.iter().map(StrippedEvent::text).collect();
    format!(r#"{{"invite_state":{{"events":[{}]}}}}"#, events.join(","))
}

fn leave_entry(event: Option<String>) -> String {
    format!(r#"{{"timeline":{{"events":[{}],"limited":false}}}}"#, event.unwrap_or_default())
}

/// An event as clients see it.
pub fn client_event(stored: &Stored) -> Option<String> {
    let event_id = stored.event.event_id().and_then(|id| EventId::parse(id).ok());
    sync::client_event(&stored.event, event_id, u64::try_from(stored.origin_server_ts).unwrap_or(0), None)
}
