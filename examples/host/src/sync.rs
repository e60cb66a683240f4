//! `/sync`: all that there is, every time.

use std::collections::BTreeMap;

use matrix_knock::error::ErrorResponse;
use matrix_knock::event::{Event as _, EventType, Membership};
use matrix_knock::id::{OwnedRoomId, UserId};
use matrix_knock::knocking::room_state::ShowUnverified;
use matrix_knock::stripped_state::{self, StrippedEvent};
use matrix_knock::sync::{KnockedRoom, Section};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

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
            let entries = entries.map(|(room_id, (_, entry))| format!("{}:{entry}", json(room_id)));
            format!(r#""{section}":{{{}}}"#, entries.collect::<Vec<_>>().join(","))
        });
        Ok(format!(r#"{{"next_batch":"all","rooms":{{{}}}}}"#, sections.join(",")))
    }

    /// A room whose state this server has.
    async fn room_entry(&self, user: UserId<'_>, room: &Room, section: Section) -> Result<String, ErrorResponse> {
        let state = self.store.state(room, At::Now, &stripped_state::reads_for_client(user)).await?;
        Ok(match section {
            Section::Knock => KnockedRoom::new(stripped_state::for_client(&state, user)?, user).to_string(),
            Section::Invite => invite_entry(&stripped_state::for_client(&state, user)?),
            Section::Join => {
                let timeline = self.store.line(room, i64::MAX, MAX_TIMELINE).await?;
                let timeline: Vec<String> = timeline.iter().filter_map(client_event).collect();
                // Of the members there is the endpoint `members`.
                let state = stripped_state::events(&state).filter_map(|event| Some(event.ok()?.event_id()?.to_owned()));
                let mut events = Vec::new();
                for event_id in state.collect::<Vec<_>>() {
                    events.extend(self.store.event(room, &event_id).await?.as_ref().and_then(client_event));
                }
                format!(
                    r#"{{"state":{{"events":[{}]}},"timeline":{{"events":[{}],"limited":true}}}}"#,
                    events.join(","),
                    timeline.join(",")
                )
            }
            Section::Leave => {
                let member = self.store.state_event(room, At::Now, EventType::Member, user.as_str()).await?;
                let event_id = member.as_ref().and_then(|member| member.event_id()).unwrap_or_default();
                leave_entry(self.store.event(room, event_id).await?.as_ref().and_then(client_event))
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
        Outside::Left { event, event_id } => (Section::Leave, leave_entry(shown(event, event_id))),
    }
}

fn invite_entry(state: &[StrippedEvent]) -> String {
    let events: Vec<&str> = state.iter().map(StrippedEvent::text).collect();
    format!(r#"{{"invite_state":{{"events":[{}]}}}}"#, events.join(","))
}

fn leave_entry(event: Option<String>) -> String {
    format!(r#"{{"timeline":{{"events":[{}],"limited":false}}}}"#, event.unwrap_or_default())
}

fn json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// An event as clients see it.
pub fn client_event(stored: &Stored) -> Option<String> {
    shown(stored.event.text(), stored.event.event_id()?)
}

fn shown(event: &str, event_id: &str) -> Option<String> {
    #[derive(Serialize, Deserialize)]
    struct Shown<'e> {
        #[serde(borrow)]
        content: &'e RawValue,
        #[serde(default)]
        event_id: String,
        origin_server_ts: i64,
        sender: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        state_key: Option<String>,
        r#type: String,
    }
    let mut shown: Shown<'_> = serde_json::from_str(event).ok()?;
    shown.event_id = event_id.to_owned();
    serde_json::to_string(&shown).ok()
}
