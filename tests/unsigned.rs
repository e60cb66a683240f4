//! `unsigned` is no part of an event: nobody signs it, and any server on the way may change it.
//! Whatever stands there, in every way in the event is what it is without it; and what is accepted
//! has none.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#signing-events>
#![cfg(all(feature = "ed25519", feature = "serde_json"))]
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "a test that cannot be set up fails"
)]

#[path = "oracle/events.rs"]
mod events;
#[path = "unsigned/odd.rs"]
mod odd;
#[path = "unsigned/room.rs"]
mod room;
#[path = "unsigned/ways.rs"]
mod ways;

use matrix_knock::RoomVersion;
use odd::{NAMES, Odd, Place, odd, odd_and_short, with};
use room::Scene;
use ways::{OF_EVERY_VERSION, OF_KNOCKS, TEMPLATE, Way};

/// Compares an event with and without `unsigned`, in these ways, and says in how many cells, and
/// which of them differ. Each value stands in one of the places, under one of the names; with
/// `everywhere` in all of them.
fn compared(ways: &[Way], version: RoomVersion, odd: &[Odd], everywhere: bool) -> (usize, Vec<String>) {
    let mut cells = 0;
    let mut differing = Vec::new();
    let scene = Scene::new(version);
    let ends: Vec<_> = Place::ALL.into_iter().flat_map(|place| NAMES.map(|key| (place, key))).collect();
    for way in ways {
        for base in (way.bases)(&scene) {
            let expected = (way.read)(&scene, &base, &base.text);
            // The whole answer with the template is bounded, whatever is in it.
            let fitting = odd.iter().filter(|(_, unsigned)| way.name != TEMPLATE || unsigned.len() < 100_000);
            for (at, (name, unsigned)) in fitting.enumerate() {
                let all = if everywhere { ends.as_slice() } else { &ends[at % ends.len()..][..1] };
                for (place, key) in all {
                    let found = (way.read)(&scene, &base, &with(&base.text, key, unsigned, *place));
                    cells += 1;
                    if found != expected {
                        let event = format!("{version}, {}, {}, {name}, {place:?}", way.name, base.name);
                        differing.push(format!("{event}: {found:.200}, not {expected:.200}"));
                    }
                }
            }
        }
    }
    (cells, differing)
}

#[test]
fn events_of_every_version() {
    for version in RoomVersion::ALL {
        assert_eq!(compared(&OF_EVERY_VERSION, version, &odd(), false), (4_416, Vec::new()));
    }
}

#[test]
fn knocks_and_their_answers() {
    for version in [RoomVersion::V7, RoomVersion::V10, RoomVersion::V12] {
        assert_eq!(compared(&OF_KNOCKS, version, &odd(), false), (7_228, Vec::new()));
    }
}

#[test]
fn wherever_it_stands() {
    let (odd, version) = (odd_and_short(), RoomVersion::V11);
    let cells: Vec<_> =
        [OF_EVERY_VERSION.as_slice(), &OF_KNOCKS].map(|ways| compared(ways, version, &odd, true)).into();
    assert_eq!(cells, [(36_018, Vec::new()), (58_986, Vec::new())]);
}

/// What is the same with and without `unsigned` is not the same refusal of everything.
#[test]
fn which_are_taken() {
    let taken = |name: &str| {
        let way = OF_KNOCKS.iter().find(|way| way.name == name).expect("a way");
        let scene = Scene::new(RoomVersion::V10);
        let taken = |base: &room::Base| (way.read)(&scene, base, &base.text).starts_with("Ok(");
        (way.bases)(&scene).iter().filter(|base| taken(base)).map(|base| base.name).collect::<Vec<_>>()
    };
    for name in ["send_knock", "send_leave"] {
        assert_eq!(taken(name), ["good", "of 65,408 bytes", "of 120 levels"], "{name}");
    }
    // That the signature is its server's own, the host says.
    let others = ["with a bad signature", "with a wrong hash", "of another room"];
    let others = others.into_iter().chain(["without previous events", "without auth events"]);
    let long_and_deep = ["of 65,408 bytes", "of 65,409 bytes", "of 65,536 bytes"].into_iter();
    let long_and_deep = long_and_deep.chain(["of 120 levels", "of 121 levels", "of 128 levels"]);
    let stored: Vec<&str> = ["good"].into_iter().chain(others).chain(long_and_deep).collect();
    assert_eq!(taken("PendingKnock::of_stored"), stored);
}
