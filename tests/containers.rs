//! One bad value among good ones costs itself, and nothing else: in every container of independent
//! things that others send, every kind of bad value, in every place.
#![cfg(feature = "ed25519")]
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test that cannot be set up fails")]

#[path = "containers/bad.rs"]
mod bad;
#[path = "oracle/events.rs"]
mod events;
#[path = "containers/keys.rs"]
mod keys;
#[path = "containers/properties.rs"]
mod properties;
#[path = "containers/room_states.rs"]
mod room_states;
#[path = "containers/sections.rs"]
mod sections;
#[path = "containers/transactions.rs"]
mod transactions;

/// The places of a bad one among good ones: alone, first, in the middle, last. With it, how many
/// good ones there are.
const PLACES: [(usize, usize); 4] = [(0, 0), (0, 3), (2, 3), (3, 3)];

/// The good ones with the bad one in this place.
fn with<T: Clone>(good: &[T], bad: &T, (place, count): (usize, usize)) -> Vec<T> {
    let mut all = good[..count].to_vec();
    all.insert(place, bad.clone());
    all
}

/// A message without the number of the byte where something is wrong.
fn without_place(message: &str) -> String {
    message.rsplit_once(" at byte ").map_or(message, |(before, _)| before).to_owned()
}
