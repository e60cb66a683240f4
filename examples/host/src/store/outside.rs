//! What stands outside of rooms: the users' memberships in rooms that this server is not in, and machines under way.

use matrix_knock::event::Pdu;
use matrix_knock::id::{EventId, OwnedRoomId, OwnedServerName, RoomId, UserId};
use matrix_knock::knocking::invitation::AcceptedInvite;
use matrix_knock::knocking::{Knocking, PendingKnock};
use matrix_knock::sync::client_event;
use rusqlite::{Row, params};
use serde::{Deserialize, Serialize};

use super::{Store, StoreError, text};

/// A membership in a room that this server is not in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outside {
    /// The user knocks, or perhaps does.
    Knock(PendingKnock),
    /// The user is invited, by a user of this server.
    Invite(AcceptedInvite, OwnedServerName),
    /// It is over: with this member event, as clients see it.
    Left { shown: String, event_id: String },
}

impl Outside {
    pub fn event_id(&self) -> &str {
        match self {
            Self::Knock(knock) => knock.event_id(),
            Self::Invite(invite, _) => invite.event().event_id(),
            Self::Left { event_id, .. } => event_id,
        }
    }

    /// The end of a membership, by an event of the room or by one that only this server knows.
    pub fn left(event: &str, event_id: &str) -> Result<Self, StoreError> {
        #[derive(Deserialize)]
        struct Time {
            origin_server_ts: u64,
        }
        let Time { origin_server_ts } = serde_json::from_str(event)?;
        let id = EventId::parse(event_id)?;
        let shown = client_event(&Pdu::parse_stored(event)?, Some(id), origin_server_ts, None).unwrap_or_default();
        Ok(Self::Left { shown, event_id: event_id.to_owned() })
    }
}

/// What kind of machine it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    Knocking,
    Retracting,
    Inviting,
}

/// A machine that has not ended.
#[derive(Debug, Clone)]
pub struct Task {
    pub id: i64,
    pub kind: TaskKind,
    pub user_id: String,
    pub room_id: OwnedRoomId,
    /// The machine, as serde stores it.
    pub machine: String,
}

impl Store {
    pub async fn outside(&self, user: UserId<'_>, room_id: RoomId<'_>) -> Result<Option<Outside>, StoreError> {
        let query = "SELECT data FROM outside WHERE user_id = ? AND room_id = ?";
        self.first(query, (user.to_string(), room_id.to_string()), |row| Ok(serde_json::from_str(&text(row, 0)?)?))
            .await
    }

    pub async fn all_outside(&self, user: UserId<'_>) -> Result<Vec<(OwnedRoomId, Outside)>, StoreError> {
        let query = "SELECT room_id, data FROM outside WHERE user_id = ?";
        let read = |row: &Row<'_>| Ok((OwnedRoomId::parse(text(row, 0)?)?, serde_json::from_str(&text(row, 1)?)?));
        self.all(query, (user.to_string(),), read).await
    }

    pub async fn set_outside(
        &self,
        user: UserId<'_>,
        room_id: RoomId<'_>,
        outside: &Outside,
    ) -> Result<(), StoreError> {
        let data = serde_json::to_string(outside)?;
        let values = (user.to_string(), room_id.to_string(), outside.event_id().to_owned(), data);
        self.run("INSERT OR REPLACE INTO outside VALUES (?, ?, ?, ?)", values).await
    }

    /// Stores a machine before its first step.
    pub async fn begin(
        &self,
        kind: TaskKind,
        user: UserId<'_>,
        room_id: RoomId<'_>,
        machine: &impl Serialize,
    ) -> Result<Task, StoreError> {
        let (user_id, room_id) = (user.as_str().to_owned(), room_id.into_owned());
        let mut task = Task { id: 0, kind, user_id, room_id, machine: serde_json::to_string(machine)? };
        let query = "INSERT INTO tasks (kind, user_id, room_id, before, machine) VALUES (?1, ?2, ?3,
            (SELECT event_id FROM outside WHERE user_id = ?2 AND room_id = ?3), ?4)";
        self.call(move |db| {
            let kind = serde_json::to_string(&task.kind)?;
            db.execute(query, [&kind, &task.user_id, task.room_id.as_str(), &task.machine])?;
            task.id = db.last_insert_rowid();
            Ok(task)
        })
        .await
    }

    /// Stores a machine after a step.
    pub async fn save(&self, task: i64, machine: &impl Serialize) -> Result<(), StoreError> {
        self.run("UPDATE tasks SET machine = ? WHERE id = ?", (serde_json::to_string(machine)?, task)).await
    }

    /// The machine has ended, and this is what the membership is now; unless it has become another one meanwhile: an invite
    /// that answers a knock may have come before the answer to `send_knock`.
    pub async fn end(&self, task: Task, outside: Option<&Outside>) -> Result<(), StoreError> {
        let outside = outside.map(|outside| (outside.event_id().to_owned(), serde_json::to_string(outside)));
        self.write(move |db| {
            if let Some((event_id, data)) = outside {
                let query = "INSERT OR REPLACE INTO outside SELECT user_id, room_id, ?2, ?3 FROM tasks WHERE id = ?1
                    AND before IS (SELECT event_id FROM outside o WHERE o.user_id = tasks.user_id AND o.room_id = tasks.room_id)";
                db.execute(query, params![task.id, event_id, data?])?;
            }
            Ok(db.execute("DELETE FROM tasks WHERE id = ?", [task.id]).map(drop)?)
        })
        .await
    }

    pub async fn tasks(&self) -> Result<Vec<Task>, StoreError> {
        let read = |row: &Row<'_>| {
            let (kind, room_id) = (serde_json::from_str(&text(row, 1)?)?, OwnedRoomId::parse(text(row, 3)?)?);
            Ok(Task { id: row.get(0)?, kind, user_id: row.get(2)?, room_id, machine: row.get(4)? })
        };
        self.all("SELECT id, kind, user_id, room_id, machine FROM tasks ORDER BY id", (), read).await
    }

    /// The knock that is under way for this user on this room.
    pub async fn knock_under_way(&self, user: UserId<'_>, room_id: RoomId<'_>) -> Result<Option<Knocking>, StoreError> {
        let query = "SELECT machine FROM tasks WHERE kind = '\"knocking\"' AND user_id = ? AND room_id = ?";
        self.first(query, (user.to_string(), room_id.to_string()), |row| Ok(serde_json::from_str(&text(row, 0)?)?))
            .await
    }
}
