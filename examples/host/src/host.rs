//! What all of the server shares.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use matrix_knock::RoomVersion;
use matrix_knock::event::Ed25519Key;
use matrix_knock::id::{OwnedServerName, OwnedUserId, UserId};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, Semaphore};

use crate::config::Config;
use crate::http::ALL_LONG_BODIES;
use crate::peers::Peers;
use crate::store::Store;

/// A homeserver.
pub struct Host {
    pub name: OwnedServerName,
    pub key: Arc<Ed25519Key>,
    pub versions: Vec<RoomVersion>,
    pub test_hooks: bool,
    pub store: Store,
    pub peers: Peers,
    /// The space for long bodies of requests, in KiB.
    pub long_bodies: Arc<Semaphore>,
    locks: Mutex<HashMap<String, Arc<AsyncMutex<()>>>>,
}

impl Host {
    pub fn new(config: Config, key: Ed25519Key, store: Store) -> Result<Self, reqwest::Error> {
        let key = Arc::new(key);
        Ok(Self {
            versions: config.versions(),
            peers: Peers::new(config.server_name.clone(), Arc::clone(&key), config.insecure_peers)?,
            name: config.server_name,
            key,
            test_hooks: config.test_hooks,
            store,
            long_bodies: Arc::new(Semaphore::new(ALL_LONG_BODIES)),
            locks: Mutex::default(),
        })
    }

    /// The user of this server with this local part.
    pub fn user(&self, local_part: &str) -> Option<OwnedUserId> {
        OwnedUserId::parse(format!("@{local_part}:{}", self.name)).ok()
    }

    pub fn is_own(&self, user: UserId<'_>) -> bool {
        user.server_name() == self.name
    }

    /// Takes a lock of this name: that of a room, while an event is checked by its current state
    /// and appended; or that of a user in a room, while the user knocks on it or leaves it from
    /// outside. Nothing is asked of other servers under the former.
    pub async fn lock(&self, name: String) -> OwnedMutexGuard<()> {
        const MANY: usize = 1000;
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            if locks.len() > MANY {
                locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            }
            Arc::clone(locks.entry(name).or_default())
        };
        lock.lock_owned().await
    }
}

/// The time, in milliseconds since the Unix epoch.
pub fn now() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "this is the host: it has a clock")]
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
