//! Knocking on Matrix rooms, without I/O.

pub mod auth;
pub mod event;
pub mod handshake;
pub mod id;
pub mod json;
pub mod room_version;
pub mod state;
pub mod stripped_state;

#[cfg(feature = "ed25519")]
pub use event::Ed25519;
pub use event::NoVerifier;
pub use room_version::RoomVersion;
