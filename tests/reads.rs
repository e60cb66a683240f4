//! What a step reads of a room's state is what it says that it reads: from a snapshot of exactly these entries it decides as from
//! the whole state, and without one of them that it needs it does not decide at all.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot be set up fails")]
#![expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "what is off fails the test")]

#[path = "reads/acl.rs"]
mod acl;
#[path = "reads/decisions.rs"]
mod decisions;
#[expect(dead_code, reason = "other tests take more of it")]
#[path = "properties/generators.rs"]
mod generators;
#[expect(dead_code, reason = "other tests take more of it")]
#[path = "recordings/graph.rs"]
mod graph;
#[path = "reads/look_up.rs"]
mod look_up;
#[path = "reads/recorded.rs"]
mod recorded;
#[path = "reads/requests.rs"]
mod requests;
#[path = "reads/rooms.rs"]
mod rooms;

use proptest::prelude::ProptestConfig;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}
