//! A user of this server leaves: takes a knock back, declines an invite, or goes out of a room.

use std::sync::Arc;

use matrix_knock::error::ErrorResponse;
use matrix_knock::id::{RoomId, UserId};
use matrix_knock::knocking::{Departure, Details, Retracted, Retracting};
use matrix_knock::resident::MakeLeave;
use serde_json::json;

use crate::host::{Host, now};
use crate::http::{Reply, forbidden};
use crate::store::{Outside, Room, StoreError, Task, TaskKind};

impl Host {
    /// `POST /rooms/{roomId}/leave`.
    pub async fn client_leave(
        self: &Arc<Self>,
        user: UserId<'_>,
        room_id: RoomId<'_>,
        reason: Option<String>,
    ) -> Reply {
        match self.store.room(room_id).await?.filter(Room::is_joined) {
            Some(room) => {
                let request = MakeLeave::new(room_id, user.as_str(), self.name.as_borrowed());
                self.change_own(request, &room, &Details { reason, ..Details::default() }).await?;
            }
            None => self.leave_outside(user, room_id, reason).await?,
        }
        Ok("{}".to_owned())
    }

    /// Takes back a knock on a room that this server is not in, or declines an invite to it.
    async fn leave_outside(
        self: &Arc<Self>,
        user: UserId<'_>,
        room_id: RoomId<'_>,
        reason: Option<String>,
    ) -> Result<(), ErrorResponse> {
        let _lock = self.lock(format!("{user} {room_id}")).await;
        let reason = reason.as_deref();
        let machine = match self.store.outside(user, room_id).await? {
            Some(Outside::Knock(knock)) => Retracting::of_knock(&knock, &[], reason),
            Some(Outside::Invite(invite, inviter)) => {
                let (servers, versions) = ([inviter], [invite.version()]);
                Retracting::start(&Departure { room_id, user_id: user, servers: &servers, versions: &versions, reason })
            }
            Some(Outside::Left { .. }) => return Err(forbidden("You are not in the room")),
            None => return self.leave_empty_room(user, room_id).await,
        };
        let task = self.store.begin(TaskKind::Retracting, user, room_id, &machine).await?;
        self.retracting(task, machine).await
    }

    /// Ends an invite or a knock in a room that all users of this server have left: nobody is left
    /// to ask.
    async fn leave_empty_room(&self, user: UserId<'_>, room_id: RoomId<'_>) -> Result<(), ErrorResponse> {
        let rooms = self.store.rooms_of(user).await?;
        let waits = |membership: &str| matches!(membership, "invite" | "knock");
        if !rooms.iter().any(|(room, membership)| *room == room_id && waits(membership)) {
            return Err(forbidden("You are not in the room"));
        }
        Ok(self.store.set_outside(user, room_id, &local_leave(user.as_str())?).await?)
    }

    /// Drives a leave to its end, from where it is. For the client it is over in any case.
    pub async fn retracting(&self, task: Task, mut machine: Retracting) -> Result<(), ErrorResponse> {
        let left = match self.drive(task.id, &mut machine).await? {
            Retracted::InRoom { event, .. } => Outside::left(event.text(), event.event_id())?,
            Retracted::LocallyOnly { failure } => {
                eprintln!("knock-host: {} has left {} only here: {failure}", task.user_id, task.room_id);
                local_leave(&task.user_id)?
            }
        };
        Ok(self.store.end(task, Some(&left)).await?)
    }
}

/// Returns the leave that a client is shown where no room has one. Its ID cannot be that of an
/// event.
fn local_leave(user: &str) -> Result<Outside, StoreError> {
    let event = json!({ "type": "m.room.member", "state_key": user, "sender": user, "origin_server_ts": now(),
        "content": { "membership": "leave" } });
    Outside::left(&event.to_string(), &format!("$local:{}", now()))
}
