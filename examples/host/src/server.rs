//! The endpoints for other servers.

use std::sync::Arc;

use matrix_knock::Ed25519;
use matrix_knock::error::ErrorResponse;
use matrix_knock::event::{Event as _, OwnedPdu};
use matrix_knock::id::{OwnedServerName, ServerName, UserId};
use matrix_knock::resident::{Knock, Leave};
use matrix_knock::x_matrix::{Authorization, XMatrixError};
use serde::Deserialize;
use serde_json::json;

use crate::host::{Host, now};
use crate::http::{Call, Reply, forbidden, invalid, no_such_endpoint, not_found, room_id};
use crate::join::list;
use crate::store::{At, Room, StoreError};

/// The most events of one answer.
const MAX_EVENTS: u32 = 100;

pub async fn handle(host: &Arc<Host>, call: &Call, version: &str, rest: &[&str]) -> Reply {
    if (version, rest) == ("v1", &["version"]) {
        let version = env!("CARGO_PKG_VERSION");
        return Ok(json!({ "server": { "name": "knock-host", "version": version } }).to_string());
    }
    let origin = host.authenticate(call).await?;
    let origin = origin.as_borrowed();
    match (call.method(), version, rest) {
        // The steps of the library check method, version and path by themselves.
        (_, _, ["make_knock", ..]) => host.make::<Knock>(origin, call).await,
        (_, _, ["send_knock", ..]) => host.send::<Knock>(origin, call).await,
        (_, _, ["make_leave", ..]) => host.make::<Leave>(origin, call).await,
        (_, _, ["send_leave", ..]) => host.send::<Leave>(origin, call).await,
        (_, _, ["invite", ..]) => host.receive_invite(origin, call).await,
        ("PUT", "v1", ["send", _]) => host.receive_transaction(origin, call).await,
        ("GET", "v1", ["make_join", room, user]) => host.make_join(origin, call, room_id(room)?, user).await,
        ("PUT", "v2", ["send_join", room, event]) => host.send_join(origin, call, room_id(room)?, event).await,
        ("GET", "v1", ["query", "profile"]) => host.query_profile(call).await,
        ("GET", "v1", ["query", "directory"]) => host.query_directory(call).await,
        ("GET", "v1", ["event", event]) => host.send_event(origin, event).await,
        (_, "v1", [name, room, rest @ ..]) => {
            let room = host.resident_room(origin, room_id(room)?).await?;
            if !host.store.has_joined_user(&room, origin).await? {
                return Err(forbidden("The server is not in the room"));
            }
            match (call.method(), *name, rest) {
                ("GET", "state", []) => host.send_state_at(call, &room, false).await,
                ("GET", "state_ids", []) => host.send_state_at(call, &room, true).await,
                ("GET", "backfill", []) => host.send_backfill(call, &room).await,
                ("GET", "event_auth", [event]) => {
                    let chain = host.store.auth_chain(&room, vec![(*event).to_owned()]).await?;
                    Ok(format!(r#"{{"auth_chain":{}}}"#, list(&chain)))
                }
                ("POST", "get_missing_events", []) => host.send_missing_events(call, &room).await,
                _ => Err(no_such_endpoint()),
            }
        }
        _ => Err(no_such_endpoint()),
    }
}

impl Host {
    /// The server that has signed the request.
    async fn authenticate(&self, call: &Call) -> Result<OwnedServerName, ErrorResponse> {
        let header = call.authorization().ok_or(XMatrixError::Scheme)?;
        let authorization = Authorization::parse(header)?;
        let (origin, key_id) = (authorization.origin(), authorization.key_id().as_str().to_owned());
        let keys: Vec<_> = self.keys_of(origin, [key_id]).await?.into_iter().collect();
        let content = if call.body.is_empty() { None } else { Some(call.text()?) };
        let uri = call.parts.uri.path_and_query().map_or("/", |uri| uri.as_str());
        let own = self.name.as_borrowed();
        let verified = authorization.verify(call.method(), uri, content, own, &keys, &Ed25519, now())?;
        Ok(verified.into_owned())
    }

    async fn query_profile(&self, call: &Call) -> Reply {
        let user = call.value("user_id").unwrap_or_default();
        let user =
            UserId::parse(&user).ok().filter(|user| self.is_own(*user)).ok_or_else(|| invalid("Not a user here"))?;
        match self.store.displayname(user.as_str()).await? {
            Some(name) => Ok(json!({ "displayname": name }).to_string()),
            None => Ok("{}".to_owned()),
        }
    }

    async fn query_directory(&self, call: &Call) -> Reply {
        let alias = call.value("room_alias").unwrap_or_default();
        let unknown = || not_found("Unknown alias");
        let room_id = self.store.room_of_alias(&alias).await?.ok_or_else(unknown)?;
        let room = self.store.room(room_id.as_borrowed()).await?.ok_or_else(unknown)?;
        Ok(json!({ "room_id": room_id.as_str(), "servers": self.store.residents(&room).await? }).to_string())
    }

    /// `GET /event/{eventId}`.
    async fn send_event(&self, origin: ServerName<'_>, event_id: &str) -> Reply {
        let unknown = || not_found("Unknown event");
        let room_id = self.store.room_of_event(event_id).await?.ok_or_else(unknown)?;
        let room = self.resident_room(origin, room_id.as_borrowed()).await?;
        if !self.store.has_joined_user(&room, origin).await? {
            return Err(unknown());
        }
        let found = self.store.auth_events(&room, &[event_id.to_owned()]).await?;
        let event = found.first().ok_or_else(unknown)?;
        Ok(self.answer_with(&format!(r#""pdus":[{}]"#, event.event.text())))
    }

    fn answer_with(&self, fields: &str) -> String {
        format!(r#"{{"origin":"{}","origin_server_ts":{},{fields}}}"#, self.name, now())
    }

    /// `GET /state` and `GET /state_ids`: the state before an event.
    async fn send_state_at(&self, call: &Call, room: &Room, only_ids: bool) -> Reply {
        let event_id = call.value("event_id").unwrap_or_default();
        let event = self.store.event(room, &event_id).await?.ok_or_else(|| not_found("Unknown event"))?;
        let state = self.store.whole_state(room, At::Before(event.position)).await?;
        let auth_chain = self.store.auth_chain(room, ids(&state)).await?;
        Ok(match only_ids {
            true => json!({ "pdu_ids": ids(&state), "auth_chain_ids": ids(&auth_chain) }).to_string(),
            false => format!(r#"{{"pdus":{},"auth_chain":{}}}"#, list(&state), list(&auth_chain)),
        })
    }

    /// `GET /backfill`: the events up to these, the latest first.
    async fn send_backfill(&self, call: &Call, room: &Room) -> Reply {
        let last = self.last_of(room, &call.values("v").collect::<Vec<_>>()).await?;
        let limit = call.value("limit").and_then(|limit| limit.parse().ok()).unwrap_or(MAX_EVENTS).min(MAX_EVENTS);
        let line = self.store.line(room, last, limit).await?;
        Ok(self.answer_with(&format!(r#""pdus":{}"#, list(line.iter().rev().map(|stored| &stored.event)))))
    }

    /// `POST /get_missing_events`: the line between the earliest and the latest, the oldest first.
    async fn send_missing_events(&self, call: &Call, room: &Room) -> Reply {
        #[derive(Deserialize)]
        struct Missing {
            earliest_events: Vec<String>,
            latest_events: Vec<String>,
            limit: Option<u32>,
        }
        let asked: Missing = call.json()?;
        let first = self.last_of(room, &asked.earliest_events).await?;
        let last = self.last_of(room, &asked.latest_events).await?;
        let limit = asked.limit.unwrap_or(10).min(MAX_EVENTS);
        let line = self.store.line(room, last.saturating_sub(1), limit).await?;
        let between = line.iter().filter(|stored| stored.position > first).map(|stored| &stored.event);
        Ok(format!(r#"{{"events":{}}}"#, list(between)))
    }

    /// The position of the last of these events that is known; 0 if none is.
    async fn last_of(&self, room: &Room, event_ids: &[String]) -> Result<i64, StoreError> {
        let mut last = 0;
        for event_id in event_ids.iter().take(20) {
            last = self.store.event(room, event_id).await?.map_or(last, |event| event.position.max(last));
        }
        Ok(last)
    }
}

fn ids(events: &[OwnedPdu]) -> Vec<String> {
    events.iter().filter_map(|event| event.event_id().map(str::to_owned)).collect()
}
