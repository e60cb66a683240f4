//! The handshake under hostile hands: whatever the servers answer, in whatever order, late, twice or never, nothing
//! panics, nothing is signed but what is wanted, and no knock that a server took is lost.
//!
//! With `PROPTEST_CASES` set to more than 2000 it takes longer and sees more. `--nocapture` shows figures.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#knocking-rooms>
#![cfg(feature = "ed25519")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    reason = "what is off fails the test"
)]

#[path = "handshake_properties/bounds.rs"]
mod bounds;
#[path = "handshake_properties/endpoints.rs"]
mod endpoints;
#[path = "handshake_properties/hostile.rs"]
mod hostile;
#[path = "handshake_properties/machine.rs"]
mod machine;
#[path = "handshake_properties/model.rs"]
mod model;
#[path = "handshake_properties/points.rs"]
mod points;
#[path = "handshake_properties/room.rs"]
mod room;
#[path = "handshake_properties/stage.rs"]
mod stage;
#[path = "handshake_properties/states.rs"]
mod states;
#[path = "handshake_properties/stored.rs"]
mod stored;
#[path = "handshake_properties/stored_changes.rs"]
mod stored_changes;
#[path = "handshake_properties/tampered.rs"]
mod tampered;
#[path = "handshake_properties/templates.rs"]
mod templates;
#[path = "handshake_properties/typed.rs"]
mod typed;
#[path = "oracle/within.rs"]
mod within;
