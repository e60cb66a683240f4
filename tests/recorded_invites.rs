//! The federated invite under real input: the recorded invites taken by the invited user's server
//! and their recorded answers by the inviting one, hostile changes to each of them, and hostile
//! answers. Where the vectors come from is said in `vectors/README.md`.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv2inviteroomideventid>
#![cfg(feature = "ed25519")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

#[path = "recorded_invites/answers.rs"]
mod answers;
#[path = "recorded_invites/attempt.rs"]
mod attempt;
#[path = "recorded_invites/changes.rs"]
mod changes;
#[path = "recorded_invites/hostile.rs"]
mod hostile;
#[path = "recorded_invites/inviting.rs"]
mod inviting;
#[path = "recorded_invites/oracle.rs"]
mod oracle;
#[path = "recorded_invites/state_changes.rs"]
mod state_changes;
#[path = "recorded_invites/taken.rs"]
mod taken;

use matrix_knock::event::{KeyValidity, ServerKeys, VerifyKey};
use matrix_knock::id::ServerName;
use matrix_knock::{Ed25519, RoomVersion};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

const INVITES: &str = include_str!("vectors/invites.jsonl");
const KEYS: &str = include_str!("vectors/keys.jsonl");

/// The server whose users invite.
const INVITER: &str = "hs1.test:18448";
/// The server whose users are invited.
const INVITED: &str = "hs2.test:28448";
/// A server that has no part in it.
const OTHER: &str = "hs3.test:38448";

/// When the recordings were made: 2026-11-22.
const NOW: u64 = 1_795_320_900_000;

/// One invite, and what came of it.
#[derive(Deserialize)]
struct Recorded {
    source: String,
    method: String,
    uri: String,
    to: String,
    authorization: String,
    /// As it was sent.
    body: Box<RawValue>,
    status: u16,
    response: Box<RawValue>,
    /// The event ID of the user's knock that was pending.
    knock: Option<String>,
    /// What the user's client was shown then: the `invite_state`.
    client: Option<Vec<Value>>,
}

impl Recorded {
    fn body(&self) -> Value {
        serde_json::from_str(self.body.get()).unwrap()
    }

    fn event(&self) -> Value {
        self.body()["event"].clone()
    }

    fn version(&self) -> RoomVersion {
        self.body()["room_version"].as_str().unwrap().parse().unwrap()
    }

    /// The room ID and the event ID in the path.
    fn ids(&self) -> [String; 2] {
        let mut ids = self.uri.rsplit('/').map(|id| id.replace("%21", "!").replace("%24", "$").replace("%3A", ":"));
        let (event_id, room_id) = (ids.next().unwrap(), ids.next().unwrap());
        [room_id, event_id]
    }
}

fn recorded() -> Vec<Recorded> {
    let recorded: Vec<Recorded> = INVITES.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(recorded.len(), 20);
    recorded
}

fn server(name: &str) -> ServerName<'_> {
    ServerName::parse(name).unwrap()
}

/// The key documents of the recordings.
fn documents() -> Vec<ServerKeys> {
    let name = |document: &str| serde_json::from_str::<Value>(document).unwrap()["server_name"].clone();
    KEYS.lines()
        .map(|document| ServerKeys::parse(server(name(document).as_str().unwrap()), document, &Ed25519).unwrap())
        .collect()
}

/// The key of the tests' own that a server publishes beside those of the recordings.
fn published(name: &str, key_id: &str) -> Option<VerifyKey> {
    let public_key = oracle::key(name).verifying_key().to_bytes();
    (key_id == oracle::KEY_ID).then_some(VerifyKey { public_key, validity: KeyValidity::Until(NOW) })
}
