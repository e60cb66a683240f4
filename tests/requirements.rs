//! The requirements of the specification on invites, knocks, leaves, receipt, policy servers and
//! history visibility: `requirements.md` names the test that shows each, and here are those that
//! stand nowhere else.
#![cfg_attr(
    feature = "ed25519",
    expect(
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::arithmetic_side_effects,
        reason = "a test that cannot be set up fails"
    )
)]

#[cfg(feature = "ed25519")]
#[path = "requirements/hostile.rs"]
mod hostile;
#[cfg(feature = "ed25519")]
#[path = "requirements/invited.rs"]
mod invited;
#[cfg(feature = "ed25519")]
#[path = "requirements/inviting.rs"]
mod inviting;
#[path = "requirements/list.rs"]
mod list;
#[cfg(feature = "ed25519")]
#[path = "requirements/policy.rs"]
mod policy;
#[cfg(feature = "ed25519")]
#[path = "requirements/receipt.rs"]
mod receipt;
#[cfg(feature = "ed25519")]
#[path = "requirements/room.rs"]
mod room;
