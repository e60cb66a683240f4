//! Each hostile change to each recorded invite: what the inviting server is told, by a table that
//! was written from the specification, and that nothing is signed.

use std::collections::{BTreeMap, BTreeSet};

use matrix_knock::RoomVersion;
use matrix_knock::knocking::invitation::AcceptedInvite;
use matrix_knock::knocking::room_state::ShowUnverified;
use serde_json::{Value, json};

use super::attempt::{Attempt, Done};
use super::changes::{Change, EVENT, REQUEST};
use super::state_changes::STATE;
use super::{INVITED, Recorded, oracle, recorded};

/// See there for the format.
const REFUSALS: &str = include_str!("refusals.txt");

/// The most entries of an `invite_room_state` that are looked at.
const MAX_ENTRIES: usize = 100;

/// What is expected of each change: in rooms before version 12, and since.
fn table() -> BTreeMap<&'static str, [&'static str; 2]> {
    let mut table = BTreeMap::new();
    let mut name = "";
    for line in REFUSALS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix("    ") {
            None => {
                name = line;
                assert_eq!(table.insert(name, ["", ""]), None, "{name}");
            }
            Some(expected) => {
                let row: &mut [&str; 2] = table.get_mut(name).unwrap();
                match (expected.strip_prefix("< 12  "), expected.strip_prefix(">= 12 ")) {
                    (Some(before), _) => row[0] = before,
                    (_, Some(since)) => row[1] = since,
                    _ => *row = [expected; 2],
                }
            }
        }
    }
    assert!(table.values().flatten().all(|expected| !expected.is_empty()));
    table
}

/// The summary without what differs from recording to recording.
fn general(summary: &str, attempt: &Attempt<'_>) -> String {
    let last = attempt.state.as_array().map_or(0, |state| state.len().saturating_sub(1));
    let summary = summary.replace(&format!("entry {last}:"), "the last entry:");
    let summary = summary.replace(&format!("`{}`", attempt.version), "`{room version}`");
    let mut general: Vec<&str> = Vec::new();
    for word in summary.split(' ') {
        let is_counted =
            matches!(general.last(), Some(&"byte" | &"of")) && word.bytes().all(|byte| byte.is_ascii_digit());
        general.push(if is_counted { "N" } else { word });
    }
    general.join(" ")
}

/// An invite of another room of the same version.
fn elsewhere(recorded: &[Recorded], one: &Recorded) -> Value {
    let other = recorded.iter().find(|other| other.version() == one.version() && other.ids()[0] != one.ids()[0]);
    other.unwrap().body()
}

/// Nothing that another server made up is shown as verified, and of each pair of type and state key
/// one event.
fn assert_honest(shown: &AcceptedInvite, recorded: &Recorded, sent: &Value, name: &str) {
    let event = recorded.event();
    let state = recorded.body()["invite_room_state"].as_array().unwrap().clone();
    let mut honest: Vec<Value> = state.iter().map(oracle::stripped).collect();
    let redacted = honest.iter().map(|event| {
        let mut event = event.clone();
        event["content"] = json!({});
        event
    });
    honest.extend(redacted.collect::<Vec<_>>());
    for unverified in [ShowUnverified::Always, ShowUnverified::BeforeV12, ShowUnverified::Never] {
        let events = shown.invite_state(unverified);
        let (last, others) = events.split_last().unwrap();
        let last: Value = serde_json::from_str(last.event.text()).unwrap();
        assert_eq!(last, oracle::stripped(sent), "{name}");
        let mut pairs = BTreeSet::new();
        for shown in others {
            let value: Value = serde_json::from_str(shown.event.text()).unwrap();
            assert!(pairs.insert((value["type"].to_string(), value["state_key"].to_string())), "{name}");
            assert_ne!((&value["type"], &value["state_key"]), (&event["type"], &event["state_key"]), "{name}");
            if shown.is_verified {
                assert!(honest.contains(&value), "{name}: {value}");
            } else {
                assert!(unverified != ShowUnverified::Never && value["type"] != json!("m.room.member"), "{name}");
            }
        }
    }
}

fn check(changes: &[Change]) -> [usize; 2] {
    let table = table();
    let recorded = recorded();
    let (mut refused, mut taken) = (0, 0);
    for (name, change) in changes {
        let expected = table.get(name).unwrap_or_else(|| panic!("`{name}` is not in the table"));
        for one in &recorded {
            let elsewhere = elsewhere(&recorded, one);
            let mut attempt = Attempt::of(one, &elsewhere);
            change(&mut attempt);
            let done = attempt.run();
            let [before, since] = *expected;
            let expected = if one.version() < RoomVersion::V12 { before } else { since };
            assert_eq!(general(&done.summary(), &attempt), expected, "{name}: {}", one.source);

            let Done { result, wanted, verified, signed, .. } = done;
            // One signature of the invite, and of each entry that is looked at.
            assert!(verified <= 1 + MAX_ENTRIES, "{name}: {verified}");
            assert!(wanted <= 8 * (1 + MAX_ENTRIES), "{name}: {wanted}");
            match result {
                Ok(invite) => {
                    let sent = attempt.sent();
                    let answer = oracle::countersigned(one.version(), &sent, INVITED);
                    assert_eq!((invite.event().text(), signed), (&*answer, 1), "{name}: {}", one.source);
                    assert_honest(&invite, one, &sent, name);
                    taken += 1;
                }
                Err(refusal) => {
                    // Nothing has been signed, or it is thrown away.
                    assert_eq!(signed, usize::from(*name == "event: too large with our signature"), "{name}");
                    assert_room_version(&refusal.to_response().to_string(), &attempt, name);
                    refused += 1;
                }
            }
        }
    }
    [refused, taken]
}

/// The answer names the version exactly where it is for the version that the invite is refused.
fn assert_room_version(answer: &str, attempt: &Attempt<'_>, name: &str) {
    let answer: Value = serde_json::from_str(answer).unwrap();
    let is_for_version = answer["errcode"] == json!("M_INCOMPATIBLE_ROOM_VERSION");
    assert_eq!(
        answer["room_version"],
        if is_for_version { attempt.room_version.clone() } else { Value::Null },
        "{name}"
    );
}

#[test]
fn every_row_has_its_change() {
    let changes = [REQUEST, EVENT, STATE].concat();
    let names: BTreeSet<&str> = changes.iter().map(|(name, _)| *name).collect();
    assert_eq!(names.len(), changes.len());
    assert_eq!(names, table().into_keys().collect());
    assert_eq!([REQUEST, EVENT, STATE].map(<[_]>::len), [55, 64, 44]);
}

#[test]
fn changed_requests() {
    assert_eq!(check(REQUEST), [960, 140]);
}

#[test]
fn changed_events() {
    assert_eq!(check(EVENT), [1260, 20]);
}

#[test]
fn changed_states() {
    assert_eq!(check(STATE), [316, 564]);
}
