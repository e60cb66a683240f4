//! [`matrix_knock`] for homeservers that are built on [ruma](https://docs.rs/ruma).
//!
//! The library takes identifiers as texts, events by a trait, requests and answers by their parts.
//! This crate converts these from ruma's types and back: nothing is decided here. Every conversion
//! says what it copies, what it reads, and what only one of the two sides takes.
//!
//! # Which ruma
//!
//! Version 0.17 goes with **ruma 0.17**: ruma-common 0.20, ruma-events 0.35, ruma-federation-api
//! 0.16, ruma-client-api 0.25 and ruma-state-res 0.18. The minor versions of this crate are those
//! of ruma's releases.
//!
//! # What converts where
//!
//! | of ruma | of the library | module |
//! | --- | --- | --- |
//! | `UserId`, `RoomId`, `EventId`, `ServerName`, … | [`matrix_knock::id`] | [`id`] |
//! | `RoomVersionId`, `RoomVersionRules` | [`RoomVersion`](matrix_knock::RoomVersion) | [`room_version`] |
//! | a host's `PduEvent`, `CanonicalJsonObject`, `Raw<AnyStateEvent>` | [`Event`](matrix_knock::event::Event) | [`event`], [`impl_event!`] |
//! | `StateMap` of ruma-state-res | [`RoomState`](matrix_knock::state::RoomState) | [`state`] |
//! | `make_knock`, `send_knock`, `make_leave`, `send_leave` as the answering server | [`matrix_knock::resident`] | [`resident`] |
//! | the same and `invite` as the asking server | [`matrix_knock::machine`] | [`machine`] |
//! | `invite` as the invited server | [`matrix_knock::knocking::invitation`] | [`invitation`] |
//! | `RawStrippedState`, `Raw<AnyStrippedStateEvent>` | [`matrix_knock::stripped_state`] | [`stripped_state`] |
//! | `knock_room`, `KnockedRoom` and `InvitedRoom` of `/sync` | [`matrix_knock::client`], [`matrix_knock::sync`] | [`client`] |
//! | `Error`, `ErrorKind` | [`ErrorResponse`](matrix_knock::error::ErrorResponse), every refusal | [`error`] |
//!
//! [`examples/ruma_host.rs`](https://github.com/matrix-knock/matrix-knock/blob/HEAD/bridges/ruma/examples/ruma_host.rs)
//! is the whole path of a ruma-based host in both roles.
//!
//! # Features
//!
//! `state-res` (default): [`event::StateResEvent`], for events that have `ruma_state_res::Event`.

pub mod client;
pub mod error;
pub mod event;
pub mod id;
pub mod invitation;
pub mod machine;
pub mod resident;
pub mod room_version;
pub mod state;
pub mod stripped_state;
mod unconvertible;

pub use unconvertible::Unconvertible;

/// What [`impl_event!`] names.
#[doc(hidden)]
pub use {matrix_knock, ruma_common, serde_json};

/// The examples of the README are run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
