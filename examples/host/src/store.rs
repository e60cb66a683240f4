//! The database: SQLite on a thread of its own, behind an asynchronous interface.
//!
//! What is written together is one transaction: an event, what it changes in the room's state, and to whom it goes. So there is
//! no point at which the process could end and leave half of that behind.

mod outside;
mod rooms;

use std::path::Path;
use std::sync::mpsc;

use matrix_knock::error::ErrorResponse;
use matrix_knock::event::{Ed25519Key, PduError, ServerKeys};
use matrix_knock::id::{OwnedServerName, ServerName};
use rusqlite::{Connection, OptionalExtension as _, Params, Row, Transaction, params};
use tokio::sync::{Notify, oneshot};

pub use self::outside::{Outside, Task, TaskKind};
pub use self::rooms::{At, Relay, Room, Status, Stored, prev_events};

/// The store cannot be used, or what is in it cannot be read. It is 500 on the wire.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("what is stored cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    #[error("an event in it cannot be read: {0}")]
    Event(#[from] PduError),
    #[error("an identifier in it {0}")]
    Id(#[from] matrix_knock::id::IdError),
    #[error("a room in it has version `{0}`, which this server does not have")]
    Version(String),
    #[error("it is that of the server `{0}`, not of this one")]
    OtherServer(String),
    #[error("it is of another program, or of another version of this one")]
    OtherSchema,
    #[error("it is damaged: {0}")]
    Damaged(String),
    #[error("the signing key in it is damaged")]
    Key,
    #[error("no randomness for a signing key: {0}")]
    Random(getrandom::Error),
    #[error("its thread has ended")]
    Ended,
}

/// A failure of the store is this server's, never the room's refusal.
impl From<StoreError> for ErrorResponse {
    fn from(error: StoreError) -> Self {
        eprintln!("knock-host: the database: {error}");
        Self::internal("The database does not answer")
    }
}

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

pub struct Store {
    jobs: mpsc::Sender<Job>,
    own: OwnedServerName,
    /// Something is to be sent.
    pub outbox: Notify,
}

/// Changes with the tables of the schema.
const SCHEMA_VERSION: i64 = 2;

const SCHEMA: &str = include_str!("store/schema.sql");

impl Store {
    /// Opens the database of this server, or makes it.
    pub fn open(path: Option<&Path>, own: ServerName<'_>) -> Result<Self, StoreError> {
        let mut connection = match path {
            Some(path) => Connection::open(path)?,
            None => Connection::open_in_memory()?,
        };
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        prepare(&mut connection, own)?;
        let (jobs, queue) = mpsc::channel::<Job>();
        std::thread::spawn(move || queue.into_iter().for_each(|job| job(&mut connection)));
        Ok(Self { jobs, own: own.into_owned(), outbox: Notify::new() })
    }

    /// Runs this on the database's thread.
    async fn call<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |connection| drop(sender.send(job(connection))));
        self.jobs.send(job).map_err(|_| StoreError::Ended)?;
        receiver.await.map_err(|_| StoreError::Ended)?
    }

    /// Runs this as one transaction.
    async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let job = |transaction: Transaction<'_>| {
            let done = job(&transaction)?;
            transaction.commit()?;
            Ok(done)
        };
        self.call(move |db| job(db.transaction()?)).await
    }

    /// Runs one statement.
    async fn run(&self, query: &'static str, values: impl Params + Send + 'static) -> Result<(), StoreError> {
        self.call(move |db| Ok(db.prepare_cached(query)?.execute(values).map(drop)?)).await
    }

    /// Reads all rows of a query.
    async fn all<T: Send + 'static>(
        &self,
        query: &'static str,
        values: impl Params + Send + 'static,
        read: fn(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        self.call(move |db| db.prepare_cached(query)?.query_and_then(values, read)?.collect()).await
    }

    /// Reads the first row of a query.
    async fn first<T: Send + 'static>(
        &self,
        query: &'static str,
        values: impl Params + Send + 'static,
        read: fn(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        self.call(move |db| db.prepare_cached(query)?.query_and_then(values, read)?.next().transpose()).await
    }

    /// The signing key of this server.
    pub async fn signing_key(&self) -> Result<Ed25519Key, StoreError> {
        let query = "SELECT key_id, seed, public_key FROM own";
        self.first(query, (), |row| Ok(signing_key(row))).await?.flatten().ok_or(StoreError::Key)
    }

    pub async fn displayname(&self, user_id: &str) -> Result<Option<String>, StoreError> {
        let query = "SELECT displayname FROM profiles WHERE user_id = ?";
        Ok(self.first(query, (user_id.to_owned(),), |row| Ok(row.get(0)?)).await?.flatten())
    }

    pub async fn set_displayname(&self, user_id: &str, name: Option<String>) -> Result<(), StoreError> {
        self.run("INSERT OR REPLACE INTO profiles VALUES (?, ?)", (user_id.to_owned(), name)).await
    }

    /// The keys of another server, as they were fetched last.
    pub async fn server_keys(&self, server: ServerName<'_>) -> Result<Option<ServerKeys>, StoreError> {
        let query = "SELECT keys FROM server_keys WHERE server = ?";
        self.first(query, (server.to_string(),), |row| Ok(serde_json::from_str(&row.get::<_, String>(0)?)?)).await
    }

    pub async fn set_server_keys(&self, keys: &ServerKeys) -> Result<(), StoreError> {
        let values = (keys.server_name().to_string(), serde_json::to_string(keys)?);
        self.run("INSERT OR REPLACE INTO server_keys VALUES (?, ?)", values).await
    }

    /// The servers for which something is to be sent.
    pub async fn destinations(&self) -> Result<Vec<OwnedServerName>, StoreError> {
        self.all("SELECT DISTINCT destination FROM outbox", (), |row| Ok(OwnedServerName::parse(text(row, 0)?)?)).await
    }

    /// The oldest events for this server, as many as go into one transaction, with their numbers.
    pub async fn outgoing(&self, destination: ServerName<'_>) -> Result<Vec<(i64, String)>, StoreError> {
        let query = "SELECT seq, text FROM outbox WHERE destination = ? ORDER BY seq LIMIT ?";
        let values = (destination.to_string(), matrix_knock::event::MAX_TRANSACTION_PDUS);
        self.all(query, values, |row| Ok((row.get(0)?, row.get(1)?))).await
    }

    /// The server has these events, up to this number.
    pub async fn delivered(&self, destination: ServerName<'_>, seq: i64) -> Result<(), StoreError> {
        self.run("DELETE FROM outbox WHERE destination = ? AND seq <= ?", (destination.to_string(), seq)).await
    }
}

fn text(row: &Row<'_>, column: usize) -> Result<String, StoreError> {
    Ok(row.get(column)?)
}

/// `None` if the parts are not those of one key.
fn signing_key(row: &Row<'_>) -> Option<Ed25519Key> {
    let key = Ed25519Key::from_seed(&row.get::<_, String>(0).ok()?, &row.get(1).ok()?).ok()?;
    (row.get(2) == Ok(key.public_key())).then_some(key)
}

/// Makes the tables and the signing key of a new database, or checks that an old one is that of this server.
fn prepare(connection: &mut Connection, own: ServerName<'_>) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match version {
        0 if tables == 0 => {
            let (mut seed, mut name) = ([0; 32], [0; 4]);
            getrandom::fill(&mut seed).and_then(|()| getrandom::fill(&mut name)).map_err(StoreError::Random)?;
            let key_id = format!("ed25519:{:08x}", u32::from_be_bytes(name));
            let key = Ed25519Key::from_seed(&key_id, &seed).map_err(|_| StoreError::Key)?;
            transaction.execute_batch(SCHEMA)?;
            transaction.execute(
                "INSERT INTO own VALUES (?, ?, ?, ?)",
                params![own.as_str(), key_id, seed, key.public_key()],
            )?;
            transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        }
        SCHEMA_VERSION => {
            // Damage to a row or a page would come to light in the midst of something else.
            let check: String = transaction.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
            if check != "ok" {
                return Err(StoreError::Damaged(check.lines().last().unwrap_or_default().to_owned()));
            }
            let name = transaction.query_row("SELECT server_name FROM own", [], |row| row.get::<_, String>(0));
            let name = name.optional()?.ok_or(StoreError::Key)?;
            if own != *name {
                return Err(StoreError::OtherServer(name));
            }
        }
        _ => return Err(StoreError::OtherSchema),
    }
    Ok(transaction.commit()?)
}
