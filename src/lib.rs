//! Knocking on Matrix rooms, without I/O: who may ask to be let in, who may answer, what a knocker gets and is shown.
//!
//! Everything comes in as an argument (the room's state as look-ups, events as JSON texts or as the host's own type,
//! keys, the time) and goes out as a value. Nothing in here opens a socket or a file, asks for the time, logs, or panics
//! on input.
//!
//! # Where in the specification, where in here
//!
//! | section | module |
//! | --- | --- |
//! | [Authorization rules](https://spec.matrix.org/v1.19/server-server-api/#authorization-rules), of `m.room.member` | [`auth`] |
//! | [Auth events selection](https://spec.matrix.org/v1.19/server-server-api/#auth-events-selection) | [`auth::Selection`] |
//! | [Server access control lists](https://spec.matrix.org/v1.19/server-server-api/#server-access-control-lists-acls) | [`auth::server_is_allowed`] |
//! | [Knocking upon a room](https://spec.matrix.org/v1.19/server-server-api/#knocking-rooms) | [`resident`], [`knocking`], [`template`] |
//! | [Signing events](https://spec.matrix.org/v1.19/server-server-api/#signing-events), event format | [`event`] |
//! | [Knocking on rooms](https://spec.matrix.org/v1.19/client-server-api/#knocking-on-rooms), of clients | [`client`] |
//! | [Restricted rooms](https://spec.matrix.org/v1.19/client-server-api/#restricted-rooms) | [`restricted_join`] |
//! | [Stripped state](https://spec.matrix.org/v1.19/client-server-api/#stripped-state) | [`stripped_state`] |
//! | [Knocking on rooms](https://spec.matrix.org/v1.19/client-server-api/#knocking-on-rooms), for those who answer | [`pending`] |
//! | [Syncing](https://spec.matrix.org/v1.19/client-server-api/#syncing), of rooms that are knocked on | [`sync`] |
//! | [Room history visibility](https://spec.matrix.org/v1.19/client-server-api/#room-history-visibility) | [`visibility`] |
//! | [Room summaries](https://spec.matrix.org/v1.19/client-server-api/#room-summaries), hierarchy, public rooms | [`summary`] |
//! | [Standard error response](https://spec.matrix.org/v1.19/client-server-api/#standard-error-response) | [`error`] |
//! | [The table of membership changes](https://spec.matrix.org/v1.19/client-server-api/#mroommember) | [`membership_change`] |
//! | [Room versions](https://spec.matrix.org/v1.19/rooms/) | [`room_version`] |
//! | [Canonical JSON](https://spec.matrix.org/v1.19/appendices/#canonical-json) | [`json`] |
//! | [Request authentication](https://spec.matrix.org/v1.19/server-server-api/#request-authentication) | [`x_matrix`] |
//! | [Identifier grammar](https://spec.matrix.org/v1.19/appendices/#identifier-grammar) | [`id`] |
//!
//! # Examples
//!
//! A resident server decides whether a user may knock, makes the template for the knocking server, and chooses what the
//! knocker is shown:
//!
//! ```
//! use matrix_knock::RoomVersion;
//! use matrix_knock::event::{Event, Pdu};
//! use matrix_knock::template::{PrevEvent, Template};
//! use matrix_knock::id::{EventId, RoomId, UserId};
//! use matrix_knock::state::StateMap;
//! use matrix_knock::stripped_state;
//!
//! let create = r#"{"type":"m.room.create","state_key":"","sender":"@alice:a.example","content":{},
//!     "event_id":"$create"}"#;
//! let join_rules = r#"{"type":"m.room.join_rules","state_key":"","sender":"@alice:a.example",
//!     "content":{"join_rule":"knock"},"event_id":"$join_rules"}"#;
//! let state: StateMap<Pdu> = [create, join_rules].into_iter().map(Pdu::parse).collect::<Result<_, _>>()?;
//!
//! let (room, kay) = (RoomId::parse("!room:a.example")?, UserId::parse("@kay:b.example")?);
//! let last = PrevEvent { event_id: EventId::parse("$join_rules")?, depth: 2 };
//! let template = Template::knock(RoomVersion::V10, room, kay, &state, &[last], 1_700_000_000_000)?;
//! assert!(template.to_response().ends_with(r#""room_version":"10"}"#));
//!
//! let shown: Vec<_> = stripped_state::events(&state).map(|event| event.map(|event| event.event_type().into_owned())).collect::<Result<_, _>>()?;
//! assert_eq!(shown, ["m.room.create", "m.room.join_rules"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod auth;
pub mod client;
pub mod error;
pub mod event;
pub mod id;
pub mod json;
pub mod knocking;
pub mod machine;
pub mod membership_change;
mod path;
pub mod pending;
pub mod policy;
#[cfg(feature = "serde_json")]
mod raw_value;
pub mod receipt;
pub mod resident;
pub mod restricted_join;
pub mod room_version;
pub mod state;
pub mod stripped_state;
pub mod summary;
pub mod sync;
pub mod template;
mod unpadded_base64;
mod uri;
pub mod visibility;
pub mod wire;
pub mod x_matrix;

#[cfg(feature = "ed25519")]
pub use event::Ed25519;
pub use event::NoVerifier;
pub use room_version::RoomVersion;

/// The examples of the README are run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
