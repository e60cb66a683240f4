//! Random walks of a room and two servers, the one in the room and the knocker's, beside a model:
//! knocks, answers over federation, what takes them back, joins; messages lost, late, repeated and
//! out of order; whatever is under way stored and read again at any time. A third server, in the
//! room too, receives every event, in any order.
//!
//! With `PROPTEST_CASES` it takes longer and sees more. `--nocapture` shows how often what
//! happened.
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

#[path = "answers_model/exchange.rs"]
mod exchange;
#[path = "answers_model/home.rs"]
mod home;
#[path = "answers/knocker.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod knocker;
#[path = "answers_model/model.rs"]
mod model;
#[path = "answers/resident.rs"]
mod resident;
#[path = "answers/room.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod room;
#[path = "answers_model/walk.rs"]
mod walk;
#[path = "answers_model/witness.rs"]
mod witness;
#[path = "answers_model/world.rs"]
mod world;
