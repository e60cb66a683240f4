//! The room's policy server: who it is, what it answers, and that no event gets past it, neither
//! one that is made here nor one that arrives, also where the room names another one meanwhile.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#policy-servers>
#![cfg(feature = "ed25519")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    reason = "what is off fails the test"
)]

#[path = "policy_servers/answers.rs"]
mod answers;
#[path = "policy_servers/gates.rs"]
mod gates;
#[path = "answers/knocker.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod knocker;
#[path = "policy_servers/named.rs"]
mod named;
#[path = "policy_servers/received.rs"]
mod received;
#[path = "answers/resident.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod resident;
#[path = "answers/room.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod room;
#[path = "policy_servers/server.rs"]
mod server;
#[path = "policy_servers/stages.rs"]
mod stages;
