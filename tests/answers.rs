//! The answer to a knock, both ends in one process: who may, what is signed, what the knocker's
//! server makes of it, and what another server of the room does.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#knocking-on-rooms>
#![cfg(feature = "ed25519")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    reason = "what is off fails the test"
)]

#[path = "answers/handshake.rs"]
mod handshake;
#[path = "answers/knocker.rs"]
mod knocker;
#[path = "answers/many.rs"]
mod many;
#[path = "answers/resident.rs"]
mod resident;
#[path = "answers/room.rs"]
mod room;
#[path = "oracle/ruma.rs"]
mod ruma;
#[path = "answers/second_opinion.rs"]
mod second_opinion;
#[path = "answers/table.rs"]
mod table;
