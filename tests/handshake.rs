//! Both ends of the handshake in one process: a knocking server that serves what its machine wants, two resident servers with
//! a room of signed events, and a clock that goes when it is told to.
#![cfg(feature = "ed25519")]
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "a test that cannot be set up fails"
)]

#[path = "handshake/asking.rs"]
mod asking;
#[path = "handshake/auth_events.rs"]
mod auth_events;
#[path = "handshake/breaks.rs"]
mod breaks;
#[path = "handshake/declining.rs"]
mod declining;
#[path = "handshake/endings.rs"]
mod endings;
#[path = "handshake/endpoints.rs"]
mod endpoints;
#[path = "handshake/failing.rs"]
mod failing;
#[path = "handshake/federation.rs"]
mod federation;
#[path = "handshake/host_errors.rs"]
mod host_errors;
#[path = "handshake/host_verdicts.rs"]
mod host_verdicts;
#[path = "handshake/knocker.rs"]
mod knocker;
#[path = "handshake/malformed.rs"]
mod malformed;
#[path = "handshake/resuming.rs"]
mod resuming;
#[path = "handshake/room_states.rs"]
mod room_states;
#[path = "handshake/submission.rs"]
mod submission;
#[path = "handshake/submitting.rs"]
mod submitting;
#[path = "handshake/templates.rs"]
mod templates;
#[path = "handshake/walks.rs"]
mod walks;
