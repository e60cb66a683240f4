//! Rooms: events in the order in which they were accepted, and the state after each.
//!
//! A room is kept as a line. The state after an event is what the state events up to its position in the line make, the last
//! of each type and state key. For an event that comes after the last one that is exactly its state; where the room has
//! forked, it stands in for state resolution: every event was allowed by the current state when it came (else it is soft-failed
//! and changes nothing), and of two at once the one that came here last counts. Servers of a room can come to differ so.

use std::collections::BTreeSet;

use matrix_knock::RoomVersion;
use matrix_knock::auth::AuthStatus;
use matrix_knock::event::{Event as _, EventType, Membership, OwnedPdu};
use matrix_knock::id::{OwnedEventId, OwnedRoomId, OwnedServerName, RoomId, ServerName, UserId};
use matrix_knock::receipt::AuthEventRef;
use matrix_knock::resident::{Residence, ResidentRoom};
use matrix_knock::state::{Reads, Snapshot};
use matrix_knock::template::PrevEvent;
use rusqlite::{OptionalExtension as _, Row, Transaction, params};
use serde::Deserialize;

use super::{Store, StoreError, text};

/// A room that this server is or was in.
#[derive(Debug, Clone)]
pub struct Room {
    pub id: OwnedRoomId,
    pub version: RoomVersion,
    pub residence: Residence,
}

impl Room {
    /// The room as the steps of the library take it.
    pub const fn resident(&self) -> ResidentRoom<'_> {
        ResidentRoom { room_id: self.id.as_borrowed(), version: self.version, residence: self.residence }
    }

    /// Whether its events are received here.
    pub fn is_joined(&self) -> bool {
        self.residence != Residence::Left
    }
}

/// An event as it is stored.
#[derive(Debug, Clone)]
pub struct Stored {
    /// It knows its ID.
    pub event: OwnedPdu,
    pub position: i64,
    pub origin_server_ts: i64,
}

/// Which state of a room.
#[derive(Debug, Clone, Copy)]
pub enum At {
    /// The current one.
    Now,
    /// The one after the event at this position.
    After(i64),
    /// The one before the event at this position.
    Before(i64),
}

impl At {
    /// The last position that counts.
    const fn last(self) -> i64 {
        match self {
            Self::Now => i64::MAX,
            Self::After(position) => position,
            Self::Before(position) => position.saturating_sub(1),
        }
    }
}

/// What has become of an event. The database has the names of the variants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Accepted,
    SoftFailed,
    Rejected,
    /// An event that others name, of which this server does not know where in the room it stands.
    Outlier,
}

/// Whether an event that is appended is to be sent to the other servers of the room.
#[derive(Debug, Clone)]
pub enum Relay {
    /// No: another server does that.
    No,
    /// To all but that of its sender, and to this one whether it is in the room or not.
    ToRoom(Option<OwnedServerName>),
}

/// What is read of the text of an event beside what the library reads.
#[derive(Deserialize)]
pub struct Links {
    pub depth: i64,
    pub origin_server_ts: i64,
    prev_events: Vec<String>,
    auth_events: Vec<String>,
}

impl Store {
    pub async fn room(&self, room_id: RoomId<'_>) -> Result<Option<Room>, StoreError> {
        let query = "SELECT room_id, version, partial, coalesce((SELECT joined > 0 FROM residents r
            WHERE r.room_id = rooms.room_id AND r.server = ?2), 0) FROM rooms WHERE room_id = ?1";
        let read = |row: &Row<'_>| {
            let (id, version) = (OwnedRoomId::parse(text(row, 0)?)?, text(row, 1)?);
            let version = version.parse().map_err(|_| StoreError::Version(version))?;
            let residence = match (row.get(3)?, row.get(2)?) {
                (false, _) => Residence::Left,
                (true, true) => Residence::PartialState,
                (true, false) => Residence::Joined,
            };
            Ok(Room { id, version, residence })
        };
        self.first(query, (room_id.to_string(), self.own.to_string()), read).await
    }

    /// Notes that the state of a room is complete or not.
    pub async fn set_partial(&self, room: &Room, is_partial: bool) -> Result<(), StoreError> {
        self.run("UPDATE rooms SET partial = ? WHERE room_id = ?", (is_partial, room.id.to_string())).await
    }

    /// Fetches entries of the state of a room: what each step of the library asks for.
    pub async fn state(&self, room: &Room, at: At, reads: &Reads) -> Result<Snapshot<OwnedPdu>, StoreError> {
        Snapshot::fetch(reads, |event_type, state_key| self.state_event(room, at, event_type, state_key)).await
    }

    pub async fn state_event(
        &self,
        room: &Room,
        at: At,
        event_type: EventType<'_>,
        state_key: &str,
    ) -> Result<Option<OwnedPdu>, StoreError> {
        Ok(self.stored_state(room, at, event_type, state_key).await?.map(|stored| stored.event))
    }

    pub async fn stored_state(
        &self,
        room: &Room,
        at: At,
        event_type: EventType<'_>,
        state_key: &str,
    ) -> Result<Option<Stored>, StoreError> {
        let query = "SELECT * FROM events WHERE event_id = (SELECT event_id FROM state
            WHERE room_id = ? AND type = ? AND state_key = ? AND position <= ? ORDER BY position DESC LIMIT 1)";
        let values = (room.id.to_string(), event_type.to_string(), state_key.to_owned(), at.last());
        self.first(query, values, stored).await
    }

    /// The current membership of a user; `None` if there is none, or none that can be read.
    pub async fn membership(&self, room: &Room, user: UserId<'_>) -> Result<Option<Membership>, StoreError> {
        let member = self.state_event(room, At::Now, EventType::Member, user.as_str()).await?;
        Ok(member.and_then(|member| member.member_facts().membership()))
    }

    /// All of the state. What takes this takes time and memory in proportion to the room.
    pub async fn whole_state(&self, room: &Room, at: At) -> Result<Vec<OwnedPdu>, StoreError> {
        // Of the other columns SQLite takes those of the row with the highest position.
        let query = "SELECT e.* FROM (SELECT event_id, max(position) FROM state WHERE room_id = ? AND position <= ?
            GROUP BY type, state_key) s JOIN events e USING (event_id) ORDER BY e.position";
        self.all(query, (room.id.to_string(), at.last()), |row| Ok(stored(row)?.event)).await
    }

    /// The member events of a room, in the order in which they came.
    pub async fn members(&self, room: &Room) -> Result<Vec<Stored>, StoreError> {
        let query = "SELECT e.* FROM members m JOIN events e USING (event_id) WHERE m.room_id = ? ORDER BY m.position";
        self.all(query, (room.id.to_string(),), stored).await
    }

    /// The knocks that wait for an answer, in the order in which they came.
    pub async fn knocks(&self, room: &Room) -> Result<Vec<Stored>, StoreError> {
        let query = "SELECT e.* FROM members m JOIN events e USING (event_id)
            WHERE m.room_id = ? AND m.membership = 'knock' ORDER BY m.position";
        self.all(query, (room.id.to_string(),), stored).await
    }

    /// The rooms in whose state this user has a membership, and which.
    pub async fn rooms_of(&self, user: UserId<'_>) -> Result<Vec<(OwnedRoomId, String)>, StoreError> {
        let query = "SELECT room_id, membership FROM members WHERE user_id = ?";
        self.all(query, (user.to_string(),), |row| Ok((OwnedRoomId::parse(text(row, 0)?)?, row.get(1)?))).await
    }

    /// The room whose current state names this alias.
    pub async fn room_of_alias(&self, alias: &str) -> Result<Option<OwnedRoomId>, StoreError> {
        let query = "SELECT s.room_id, max(s.position) FROM state s JOIN events e USING (event_id) JOIN residents r
            ON r.room_id = s.room_id AND r.server = ?2 AND r.joined > 0 WHERE s.type = 'm.room.canonical_alias'
            AND s.state_key = '' GROUP BY s.room_id HAVING e.text ->> '$.content.alias' = ?1";
        let values = (alias.to_owned(), self.own.to_string());
        self.first(query, values, |row| Ok(OwnedRoomId::parse(text(row, 0)?)?)).await
    }

    pub async fn room_of_event(&self, event_id: &str) -> Result<Option<OwnedRoomId>, StoreError> {
        let query = "SELECT room_id FROM events WHERE event_id = ?";
        self.first(query, (event_id.to_owned(),), |row| Ok(OwnedRoomId::parse(text(row, 0)?)?)).await
    }

    /// The servers with a joined user.
    pub async fn residents(&self, room: &Room) -> Result<Vec<String>, StoreError> {
        self.all(RESIDENTS, (room.id.to_string(),), |row| text(row, 0)).await
    }

    pub async fn has_joined_user(&self, room: &Room, server: ServerName<'_>) -> Result<bool, StoreError> {
        let query = "SELECT 1 FROM residents WHERE room_id = ? AND server = ? AND joined > 0";
        Ok(self.first(query, (room.id.to_string(), server.to_string()), |_| Ok(())).await?.is_some())
    }

    /// An event of the room that is in its line, or was rejected.
    pub async fn event(&self, room: &Room, event_id: &str) -> Result<Option<Stored>, StoreError> {
        let query = "SELECT * FROM events WHERE room_id = ? AND event_id = ? AND status != 'Outlier'";
        self.first(query, (room.id.to_string(), event_id.to_owned()), stored).await
    }

    /// Those of these events that are known, and how they came in.
    pub async fn auth_events(
        &self,
        room: &Room,
        event_ids: &[String],
    ) -> Result<Vec<AuthEventRef<OwnedPdu>>, StoreError> {
        let query = "SELECT *, status = 'Rejected' AS is_rejected FROM events WHERE room_id = ? AND event_id = ?";
        let read = |row: &Row<'_>| {
            let is_rejected = row.get("is_rejected")?;
            let status = if is_rejected { AuthStatus::Rejected } else { AuthStatus::Accepted };
            Ok(AuthEventRef { event: stored(row)?.event, status })
        };
        let mut found = Vec::new();
        for event_id in event_ids {
            found.extend(self.first(query, (room.id.to_string(), event_id.clone()), read).await?);
        }
        Ok(found)
    }

    /// The events by which these are allowed, and those by which they are, and so on.
    pub async fn auth_chain(&self, room: &Room, of: Vec<String>) -> Result<Vec<OwnedPdu>, StoreError> {
        let room_id = room.id.to_string();
        self.call(move |db| {
            let mut open: Vec<(String, bool)> = of.into_iter().map(|event_id| (event_id, false)).collect();
            let (mut seen, mut chain) = (BTreeSet::new(), Vec::new());
            while let Some((event_id, is_named)) = open.pop() {
                let mut query = db.prepare_cached("SELECT * FROM events WHERE room_id = ? AND event_id = ?")?;
                let found = query.query_and_then([&room_id, &event_id], stored)?.next().transpose()?;
                let Some(found) = found else { continue };
                let links: Links = serde_json::from_str(found.event.text())?;
                let new = links.auth_events.into_iter().filter(|event_id| seen.insert(event_id.clone()));
                open.extend(new.map(|event_id| (event_id, true)));
                chain.extend(is_named.then_some(found.event));
            }
            Ok(chain)
        })
        .await
    }

    /// The position after which all of these events are in the line; `None` if one is not known.
    pub async fn position_after(&self, room: &Room, event_ids: &[String]) -> Result<Option<i64>, StoreError> {
        let mut last = None;
        for event_id in event_ids {
            match self.event(room, event_id).await? {
                Some(known) => last = last.max(Some(known.position)),
                None => return Ok(None),
            }
        }
        Ok(last)
    }

    /// Returns events that nothing comes after yet, with their depths: the ten deepest, and ten
    /// others from a random place, so that of events made at the same time each brings other
    /// branches together.
    pub async fn extremities(&self, room: &Room) -> Result<Vec<(OwnedEventId, u64)>, StoreError> {
        let mut random = [0; 3];
        getrandom::fill(&mut random).map_err(StoreError::Random)?;
        // What follows the `$` of an ID is a hash in URL-safe base64.
        const ALPHABET: &[u8; 64] = b"-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";
        let characters = random.map(|byte| ALPHABET.get(usize::from(byte % 64)).map_or('-', |byte| char::from(*byte)));
        let query =
            "SELECT * FROM (SELECT event_id, depth FROM extremities WHERE room_id = ?1 ORDER BY depth DESC LIMIT 10)
            UNION SELECT * FROM (SELECT event_id, depth FROM extremities WHERE room_id = ?1 AND event_id > ?2
            ORDER BY event_id LIMIT 10)";
        let values = (room.id.to_string(), format!("${}", String::from_iter(characters)));
        self.all(query, values, |row| Ok((OwnedEventId::parse(text(row, 0)?)?, row.get(1)?))).await
    }

    /// The last accepted events up to this position, the oldest first.
    pub async fn line(&self, room: &Room, up_to: i64, limit: u32) -> Result<Vec<Stored>, StoreError> {
        let query = "SELECT * FROM (SELECT * FROM events WHERE room_id = ? AND status = 'Accepted' AND position <= ?
            ORDER BY position DESC LIMIT ?) ORDER BY position";
        self.all(query, (room.id.to_string(), up_to, limit), stored).await
    }

    /// Makes an event a part of the room, and puts it into the queues of the servers that have to get it.
    pub async fn append(&self, room: &Room, event: OwnedPdu, status: Status, relay: Relay) -> Result<(), StoreError> {
        let (room, own) = (room.clone(), self.own.clone());
        self.write(move |db| append(db, &room, &event, status, (&relay, &own))).await?;
        self.outbox.notify_one();
        Ok(())
    }

    /// Makes a room of this server out of its first events, all or nothing.
    pub async fn create(&self, room: &Room, events: Vec<OwnedPdu>) -> Result<(), StoreError> {
        let (room, own) = (room.clone(), self.own.clone());
        self.write(move |db| {
            db.execute("INSERT INTO rooms VALUES (?, ?, 0)", [room.id.as_str(), room.version.as_str()])?;
            let mut events = events.iter();
            events.try_for_each(|event| append(db, &room, event, Status::Accepted, (&Relay::No, &own)))
        })
        .await
    }

    /// Takes the room over as another server knows it: its state, and the events that allow these. The line starts anew.
    pub async fn import(
        &self,
        room: &Room,
        auth_chain: Vec<OwnedPdu>,
        state: Vec<OwnedPdu>,
        join: OwnedPdu,
    ) -> Result<(), StoreError> {
        let (room, own) = (room.clone(), self.own.clone());
        self.write(move |db| {
            let id = room.id.as_str();
            db.execute("INSERT OR REPLACE INTO rooms VALUES (?, ?, 0)", params![id, room.version.as_str()])?;
            for table in ["extremities", "members", "residents", "outside"] {
                db.execute(&format!("DELETE FROM {table} WHERE room_id = ?"), [id])?;
            }
            let forget = "INSERT OR REPLACE INTO state SELECT room_id, type, state_key,
                (SELECT coalesce(max(position), 0) FROM events), NULL FROM state WHERE room_id = ? GROUP BY type, state_key";
            db.execute(forget, [id])?;
            for event in auth_chain {
                insert(db, &room, &event, Status::Outlier)?;
            }
            for event in &state {
                let (position, _) = insert(db, &room, event, Status::Accepted)?;
                set_state(db, id, event, position)?;
            }
            append(db, &room, &join, Status::Accepted, (&Relay::No, &own))
        })
        .await
    }

    /// Keeps an event that another one names.
    pub async fn keep_outlier(&self, room: &Room, event: OwnedPdu) -> Result<(), StoreError> {
        let room = room.clone();
        self.write(move |db| insert(db, &room, &event, Status::Outlier).map(drop)).await
    }
}

/// The events as what templates come after.
pub fn prev_events(extremities: &[(OwnedEventId, u64)]) -> Vec<PrevEvent<'_>> {
    extremities.iter().map(|(id, depth)| PrevEvent { event_id: id.as_borrowed(), depth: *depth }).collect()
}

fn stored(row: &Row<'_>) -> Result<Stored, StoreError> {
    let event = OwnedPdu::parse_stored(row.get::<_, String>("text")?)?.with_event_id(row.get::<_, String>("event_id")?);
    Ok(Stored { event, position: row.get("position")?, origin_server_ts: row.get("origin_server_ts")? })
}

const RESIDENTS: &str = "SELECT server FROM residents WHERE room_id = ? AND joined > 0";

fn residents(db: &Transaction<'_>, room_id: &str) -> Result<Vec<String>, StoreError> {
    db.prepare_cached(RESIDENTS)?.query_and_then([room_id], |row| text(row, 0))?.collect()
}

fn insert(db: &Transaction<'_>, room: &Room, event: &OwnedPdu, status: Status) -> Result<(i64, Links), StoreError> {
    let links: Links = serde_json::from_str(event.text())?;
    // An outlier that finds its place gets a position of its own. What has its place keeps it.
    let query = match status {
        Status::Outlier => "INSERT OR IGNORE INTO events VALUES (NULL, ?, ?, ?, ?, ?, ?)",
        Status::Accepted | Status::SoftFailed | Status::Rejected => {
            "INSERT OR REPLACE INTO events VALUES (NULL, ?, ?, ?, ?, ?, ?)"
        }
    };
    let event_id = event.event_id().unwrap_or_default();
    let (room_id, status) = (room.id.as_str(), format!("{status:?}"));
    let values = params![event_id, room_id, status, links.depth, links.origin_server_ts, event.text()];
    db.prepare_cached(query)?.execute(values)?;
    Ok((db.last_insert_rowid(), links))
}

fn append(
    db: &Transaction<'_>,
    room: &Room,
    event: &OwnedPdu,
    status: Status,
    (relay, own): (&Relay, &OwnedServerName),
) -> Result<(), StoreError> {
    let id = room.id.as_str();
    let event_id = event.event_id().unwrap_or_default();
    let known = "SELECT 1 FROM events WHERE event_id = ? AND status != 'Outlier'";
    if db.prepare_cached(known)?.exists([event_id])? {
        // It came by two ways at once, or once more after a restart.
        return Ok(());
    }
    let mut destinations = residents(db, id)?;
    let (position, links) = insert(db, room, event, status)?;
    if status != Status::Accepted {
        return Ok(());
    }
    let mut remove = db.prepare_cached("DELETE FROM extremities WHERE room_id = ? AND event_id = ?")?;
    for prev in links.prev_events {
        remove.execute([id, &prev])?;
    }
    let extremity = "INSERT OR IGNORE INTO extremities VALUES (?, ?, ?)";
    db.prepare_cached(extremity)?.execute(params![id, event_id, links.depth])?;
    if event.state_key().is_some() {
        set_state(db, id, event, position)?;
    }
    if let Relay::ToRoom(also) = relay {
        destinations.extend(residents(db, id)?);
        destinations.extend(also.as_ref().map(ToString::to_string));
        destinations.sort_unstable();
        destinations.dedup();
        let sender = UserId::parse(event.sender())?.server_name();
        let mut send = db.prepare_cached("INSERT INTO outbox (destination, text) VALUES (?, ?)")?;
        for destination in destinations.iter().filter(|name| *own != ***name && sender != ***name) {
            send.execute([destination, event.text()])?;
        }
    }
    Ok(())
}

/// Makes a state event the entry of its type and state key.
fn set_state(db: &Transaction<'_>, room_id: &str, event: &OwnedPdu, position: i64) -> Result<(), StoreError> {
    let (event_type, state_key) = (event.event_type(), event.state_key().unwrap_or_default());
    let event_id = event.event_id();
    let query = "INSERT OR REPLACE INTO state VALUES (?, ?, ?, ?, ?)";
    db.prepare_cached(query)?.execute(params![room_id, event_type, state_key, position, event_id])?;
    let Some(user) = UserId::parse(state_key).ok().filter(|_| event.is_type(EventType::Member)) else { return Ok(()) };
    let membership = event.member_facts().membership().map_or("leave", |membership| membership.as_str());
    let server = user.server_name().as_str();
    let before = "SELECT membership FROM members WHERE room_id = ? AND user_id = ?";
    let before: Option<String> =
        db.prepare_cached(before)?.query_row([room_id, state_key], |row| row.get(0)).optional()?;
    let query = "INSERT OR REPLACE INTO members VALUES (?, ?, ?, ?, ?, ?)";
    db.prepare_cached(query)?.execute(params![room_id, state_key, membership, server, position, event_id])?;
    let change = i64::from(membership == "join").saturating_sub(i64::from(before.as_deref() == Some("join")));
    let query = "INSERT INTO residents VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET joined = joined + excluded.joined";
    db.prepare_cached(query)?.execute(params![room_id, server, change])?;
    Ok(())
}
