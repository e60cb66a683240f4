//! The endpoints for clients. Who they are is their access token: the local part of a user of this server, for trying out.

use std::sync::Arc;

use matrix_knock::error::{Errcode, ErrorResponse};
use matrix_knock::event::{Event as _, EventType, Membership};
use matrix_knock::id::{OwnedServerName, OwnedUserId, UserId};
use matrix_knock::resident::answer::ClientAction;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::host::Host;
use crate::http::{Call, Reply, forbidden, invalid, no_such_endpoint, not_found, room_id};
use crate::room::CreateRoom;
use crate::store::{At, Room};
use crate::sync::client_event;

/// The bodies of all that changes a membership.
#[derive(Debug, Default, Deserialize)]
struct Change {
    user_id: Option<String>,
    reason: Option<String>,
    server: Option<String>,
}

pub async fn handle(host: &Arc<Host>, call: &Call, rest: &[&str]) -> Reply {
    let user = host.client(call)?;
    let user = user.as_borrowed();
    match (call.method(), rest) {
        // The library checks method, query and body by itself.
        (_, ["knock", _]) => host.client_knock(user, call).await,
        ("POST", ["createRoom"]) => {
            let room_id = host.create_room(user, call.json::<CreateRoom>()?).await?;
            Ok(json!({ "room_id": room_id.as_str() }).to_string())
        }
        ("POST", ["join", room] | ["rooms", room, "join"]) => {
            let names = call.values("via").chain(call.values("server_name"));
            let names = names.chain(call.json::<Change>()?.server);
            let servers = names.filter_map(|name| OwnedServerName::parse(name).ok()).collect();
            host.client_join(user, room, servers).await
        }
        ("POST", ["rooms", room, "leave"]) => {
            host.client_leave(user, room_id(room)?, call.json::<Change>()?.reason).await
        }
        ("POST", ["rooms", room, action]) => {
            let action = ClientAction::of_segment(action).ok_or_else(no_such_endpoint)?;
            let Change { user_id, reason, .. } = call.json()?;
            let target = user_id.ok_or_else(|| ErrorResponse::new(Errcode::MissingParam, "`user_id` is missing"))?;
            let target = UserId::parse(&target).map_err(|_| invalid("Not a user ID"))?;
            host.client_answer(&host.room_of_member(user, room).await?, user, target, action, reason).await
        }
        ("GET", ["rooms", room, "members"]) => {
            let room = host.room_of_member(user, room).await?;
            let wanted = call.value("membership").map(|membership| membership.parse::<Membership>().ok());
            let members = host.store.members(&room).await?.into_iter();
            let members =
                members.filter(|member| wanted.is_none_or(|it| it == member.event.member_facts().membership()));
            let members: Vec<String> = members.filter_map(|member| client_event(&member)).collect();
            Ok(format!(r#"{{"chunk":[{}]}}"#, members.join(",")))
        }
        ("GET", ["rooms", room, "state", event_type, key @ ..]) => {
            let room = host.room_of_member(user, room).await?;
            let key = key.first().copied().unwrap_or_default();
            let event = host.store.state_event(&room, At::Now, EventType::from(*event_type), key).await?;
            Ok(event.ok_or_else(|| not_found("The room has no such state"))?.content().to_owned())
        }
        ("PUT", ["rooms", room, "state", event_type, key @ ..]) => {
            let room = host.room_of_member(user, room).await?;
            let content: Value = call.json()?;
            if !content.is_object() {
                return Err(ErrorResponse::new(Errcode::BadJson, "The content is not an object"));
            }
            let key = key.first().copied().unwrap_or_default();
            let event_id = host.send_state(&room, user, event_type, key, &content).await?;
            Ok(json!({ "event_id": event_id }).to_string())
        }
        ("GET", ["profile", of, "displayname"]) => {
            let name = host.store.displayname(of).await?.ok_or_else(|| not_found("No display name"))?;
            Ok(json!({ "displayname": name }).to_string())
        }
        ("PUT", ["profile", of, "displayname"]) => {
            #[derive(Deserialize)]
            struct Profile {
                displayname: Option<String>,
            }
            if user != **of {
                return Err(forbidden("Not your own profile"));
            }
            host.store.set_displayname(of, call.json::<Profile>()?.displayname).await?;
            Ok("{}".to_owned())
        }
        ("GET", ["sync"]) => host.client_sync(user).await,
        _ => Err(no_such_endpoint()),
    }
}

/// `/_knock`: what no homeserver has otherwise.
pub async fn handle_own(host: &Arc<Host>, call: &Call, rest: &[&str]) -> Reply {
    #[derive(Deserialize)]
    struct Partial {
        partial: bool,
    }
    let user = host.client(call)?;
    let user = user.as_borrowed();
    match (call.method(), rest) {
        ("GET", ["pending", room]) => host.client_pending(&host.room_of_member(user, room).await?).await,
        ("PUT", ["partial", room]) if host.test_hooks => {
            let room = host.room_of_member(user, room).await?;
            host.store.set_partial(&room, call.json::<Partial>()?.partial).await?;
            Ok("{}".to_owned())
        }
        ("POST", ["decline_all", room]) if host.test_hooks => {
            host.client_decline_all(user, &host.room_of_member(user, room).await?).await
        }
        _ => Err(no_such_endpoint()),
    }
}

impl Host {
    /// The user whose access token came with the request.
    fn client(&self, call: &Call) -> Result<OwnedUserId, ErrorResponse> {
        let error = |code| ErrorResponse::with_status(401, Errcode::from(code), "No access token that is known here");
        let header = call.authorization().ok_or_else(|| error("M_MISSING_TOKEN"))?;
        let token = header.strip_prefix("Bearer ").ok_or_else(|| error("M_MISSING_TOKEN"))?;
        self.user(token).ok_or_else(|| error("M_UNKNOWN_TOKEN"))
    }

    /// The room, if this user is in it.
    async fn room_of_member(&self, user: UserId<'_>, room: &str) -> Result<Room, ErrorResponse> {
        let room = self.store.room(room_id(room)?).await?.filter(Room::is_joined);
        let room = room.ok_or_else(|| forbidden("You are not in the room"))?;
        match self.store.membership(&room, user).await? {
            Some(Membership::Join) => Ok(room),
            _ => Err(forbidden("You are not in the room")),
        }
    }
}
