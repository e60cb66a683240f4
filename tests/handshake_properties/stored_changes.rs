//! What a host stores, changed by somebody's hand: it is refused, or is another machine of the same user in the same room.

use std::fmt::Debug;
use std::sync::LazyLock;

use matrix_knock::event::sign_event;
use matrix_knock::id::ServerName;
use matrix_knock::knocking::{Knocking, PendingKnock, Retracting};
use matrix_knock::machine::{Machine, Reply, Want};
use matrix_knock::{Ed25519, RoomVersion};
use proptest::prelude::*;
use proptest::sample::Index;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::hostile::{changed, changes, places, take};
use crate::model::canon;
use crate::points::{knocks, leaves, pending_knocks};
use crate::room::{AllKeys, HOME, NOW, key, key_id};
use crate::stored::{resumed, versions};

/// At every point it is what it was.
#[test]
fn every_point_comes_back() {
    for version in versions() {
        let knocks = knocks(version);
        assert_eq!(knocks.len(), 35);
        for machine in &knocks {
            let back = resumed(machine);
            assert_eq!(
                (back.want(), back.outcome(), back.knock()),
                (machine.want(), machine.outcome(), machine.knock())
            );
            machine.knock().iter().for_each(|knock| drop(resumed(knock)));
        }
        let leaves = leaves(version);
        assert_eq!(leaves.len(), 33);
        for machine in &leaves {
            let back = resumed(machine);
            assert_eq!((back.want(), back.outcome()), (machine.want(), machine.outcome()));
        }
        let (pending, failed) = pending_knocks(version);
        assert_eq!((pending.len(), failed.len()), (2, 5));
        pending.iter().for_each(|knock| drop(resumed(knock)));
        failed.iter().for_each(|failed| drop(resumed(failed)));
    }
}

/// What is read of a changed text: a value that is stored in the same way again, or an error.
fn read<T: Serialize + DeserializeOwned + PartialEq + Debug>(changed: &Value) -> Result<T, String> {
    let read: T = serde_json::from_value(changed.clone()).map_err(|error| error.to_string())?;
    Ok(resumed(&read))
}

/// The names of the members whose absence is `null`: what the user says, how long to wait, the code
/// of a refusal.
const OPTIONAL: [&str; 5] = ["reason", "displayname", "avatar_url", "retry_after_ms", "errcode"];

/// Each member taken out, and each value replaced by one of each other kind.
fn one_by_one<T: Serialize + DeserializeOwned + PartialEq + Debug>(stored: &T) {
    let value = serde_json::to_value(stored).unwrap();
    let mut all = Vec::new();
    places(&value, String::new(), &mut all);
    // What a room version is stored as is read by itself.
    all.retain(|place| !["/goes_by", "/name", "/rules"].iter().any(|part| place.contains(part)));
    for place in all {
        let (parent, name) = place.rsplit_once('/').unwrap_or_default();
        let in_list = value.pointer(parent).is_some_and(Value::is_array);
        if !place.is_empty() && !in_list {
            let mut without = value.clone();
            take(&mut without, parent, name).unwrap();
            match OPTIONAL.contains(&name) {
                true => {
                    let mut null = value.clone();
                    *null.pointer_mut(&place).unwrap() = Value::Null;
                    assert_eq!(read::<T>(&without), read::<T>(&null), "without {place}");
                }
                false => assert!(read::<T>(&without).is_err(), "without {place}: {value}"),
            }
        }
        let found = value.pointer(&place).unwrap();
        for other in
            [json!(null), json!(true), json!(-1), json!(1.5), json!(u64::MAX), json!("\u{0}"), json!([0]), json!({})]
        {
            // What the user says is any text, or none, and so is what another server says to
            // people; what a stranger says of the room is any text, read later.
            let is_said = OPTIONAL.contains(&name) || name == "error";
            let is_text = is_said && (other.is_string() || other.is_null());
            let is_text = is_text || name == "Text" && other.is_string() || name == "extra" && other.is_null();
            let is_count = ["retry_after_ms", "beyond"].contains(&name) && other.is_u64();
            let says_nothing = ["details", "rate_limited"].contains(&name) && other == json!({});
            if is_text || is_count || says_nothing || other == *found {
                continue;
            }
            let mut with = value.clone();
            *with.pointer_mut(&place).unwrap() = other.clone();
            let read = read::<T>(&with);
            // It could have been so: no failure before, no silent server, no event that it would have been silent to.
            let none = match place.as_str() {
                "/exchange/failure" | "/exchange/silent" | "/perhaps" => true,
                "/exchange/state/failed/1" => value["exchange"]["silent"].is_null(),
                _ => false,
            };
            assert_eq!(read.is_ok(), other.is_null() && none, "{place}: {other} in {value}");
        }
    }
}

#[test]
fn one_thing_missing_or_of_another_kind() {
    for version in [RoomVersion::V10, versions()[3], versions()[4]] {
        knocks(version).iter().for_each(one_by_one);
        leaves(version).iter().for_each(one_by_one);
        let (pending, failed) = pending_knocks(version);
        pending.iter().for_each(one_by_one);
        failed.iter().for_each(one_by_one);
    }
}

/// The event, changed, with its hash and signed anew; a draft has no signature.
fn rewritten(version: RoomVersion, event: &str, is_draft: bool, change: impl FnOnce(&mut Value)) -> String {
    let mut event: Value = event.parse().unwrap();
    event.as_object_mut().unwrap().retain(|name, _| name != "hashes" && name != "signatures");
    change(&mut event);
    let server = ServerName::parse(HOME).unwrap();
    let signed = sign_event(version, &event.to_string(), server, &key(HOME)).unwrap().into_text();
    let mut event: Value = signed.parse().unwrap();
    if is_draft {
        event.as_object_mut().unwrap().remove("signatures").unwrap();
    }
    canon(&event)
}

/// Another event than the exchange is about, each with a valid hash and signature.
const OTHER_EVENTS: [fn(&mut Value); 7] = [
    |event| event["type"] = json!("m.room.power_levels"),
    |event| event["sender"] = json!("@alice:b.example"),
    |event| event["state_key"] = json!("@alice:b.example"),
    |event| drop(event.as_object_mut().unwrap().remove("state_key")),
    |event| event["room_id"] = json!("!other:a.example"),
    |event| event["content"]["membership"] = json!("join"),
    |event| drop(event["content"].as_object_mut().unwrap().remove("membership")),
];

const OTHER_EVENT: &str = "the event is not the one that the exchange is about";
const HASH: &str = "the event is not one of this exchange's: the content hash in `hashes` is not that of the event";

/// The stored machine with this in place of the text of its event.
fn with_event(stored: &Value, text: impl FnOnce(&str) -> String) -> Value {
    let mut all = Vec::new();
    places(stored, String::new(), &mut all);
    let place = all.into_iter().find(|place| place.ends_with("/event")).unwrap();
    let mut changed = stored.clone();
    let event = changed.pointer_mut(&place).unwrap();
    *event = text(event.as_str().unwrap()).into();
    changed
}

fn events_of_a_machine<T: Serialize + DeserializeOwned + PartialEq + Debug>(version: RoomVersion, machine: &T) {
    let stored = serde_json::to_value(machine).unwrap();
    let (purpose, state) = (&stored["exchange"]["purpose"], &stored["exchange"]["state"]);
    let Some(state) = state.as_object().and_then(|state| state.keys().next()).map(String::as_str) else { return };
    if state == "failed" && stored["exchange"]["state"]["failed"][1].is_null() {
        return;
    }
    let is_draft = state == "signing";
    let refused = |changed: &Value, message: &str| assert_eq!(read::<T>(changed), Err(message.to_owned()), "{changed}");
    // As it was, it is read.
    let same = with_event(&stored, |event| rewritten(version, event, is_draft, |_| {}));
    assert_eq!(read::<T>(&same).as_ref(), Ok(machine));
    for other in OTHER_EVENTS {
        refused(&with_event(&stored, |event| rewritten(version, event, is_draft, other)), OTHER_EVENT);
    }
    let membership = if purpose.get("knock").is_some() { "leave" } else { "knock" };
    let other = |event: &mut Value| event["content"]["membership"] = json!(membership);
    refused(&with_event(&stored, |event| rewritten(version, event, is_draft, other)), OTHER_EVENT);
    // Other words are what the user might have said.
    let said = |event: &mut Value| event["content"]["reason"] = json!("Something else");
    let said = with_event(&stored, |event| rewritten(version, event, is_draft, said));
    assert_ne!(read::<T>(&said).as_ref(), Ok(machine));
    // But not without their hash.
    refused(&with_event(&stored, |event| event.replacen(r#""reason":""#, r#""reason":"x"#, 1)), HASH);
    refused(&with_event(&stored, |event| event.replacen(r#""depth":"#, r#""depth":1"#, 1)), HASH);
    let without = |event: &str, name: &str| {
        let mut event: Value = event.parse().unwrap();
        event.as_object_mut().unwrap().remove(name).unwrap();
        canon(&event)
    };
    let no_hash = with_event(&stored, |event| without(event, "hashes"));
    if is_draft {
        let draft = "the draft is not as it was written";
        refused(&no_hash, draft);
        refused(&with_event(&stored, |event| format!("{event} ")), draft);
        refused(&with_event(&stored, |event| rewritten(version, event, false, |_| {})), draft);
    } else {
        let of_event = |error: &str| format!("the event is not one of this exchange's: {error}");
        refused(&no_hash, &of_event("event has no `hashes`"));
        let unsigned = with_event(&stored, |event| without(event, "signatures"));
        refused(&unsigned, &of_event("event has no `signatures`"));
    }
    // A version that the exchange is not about.
    let mut versions = stored.clone();
    let of_purpose = if membership == "leave" { "knock" } else { "leave" };
    versions["exchange"]["purpose"][of_purpose] = json!(["11"]);
    refused(&versions, OTHER_EVENT);
}

#[test]
fn other_events() {
    for version in [RoomVersion::V10, versions()[2], versions()[4]] {
        knocks(version).iter().for_each(|machine| events_of_a_machine(version, machine));
        leaves(version).iter().for_each(|machine| events_of_a_machine(version, machine));
    }
}

/// A pending knock is a knock, whole.
#[test]
fn pending_knocks_of_other_events() {
    for version in versions() {
        let (pending, _) = pending_knocks(version);
        for knock in pending {
            let stored = serde_json::to_value(&knock).unwrap();
            let refused = |changed: &Value, message: &str| {
                assert_eq!(read::<PendingKnock>(changed), Err(message.to_owned()), "{changed}");
            };
            for (position, other) in OTHER_EVENTS.into_iter().enumerate() {
                let changed = with_event(&stored, |event| rewritten(version, event, false, other));
                // Of another room it is a knock all the same: what it was about is nowhere else.
                if position == 4 {
                    assert_eq!(read::<PendingKnock>(&changed).unwrap().room_id(), "!other:a.example");
                    continue;
                }
                refused(&changed, "the event is not a user's own knock");
            }
            refused(&with_event(&stored, |event| event.replacen(r#""reason":""#, r#""reason":"x"#, 1)), HASH);
            let mut changed = stored.clone();
            changed["version"] = json!("6");
            refused(&changed, "no knocking in room version 6");
        }
    }
}

/// What does not go together.
#[test]
fn parts_that_do_not_go_together() {
    const SERVER: &str = "the server that is asked is not among the servers";
    const SILENT: &str = "a server was silent to an event that it was not sent";
    const ROOM_STATE: &str = "the room state does not go with how far the knock is";
    const PURPOSE: &str = "the exchange is about something else";
    let version = RoomVersion::V10;
    for machine in knocks(version) {
        let stored = serde_json::to_value(&machine).unwrap();
        let refused = |place: &str, value: Value, message: &str| {
            let mut changed = stored.clone();
            *changed.pointer_mut(place).unwrap() = value;
            assert_eq!(read::<Knocking>(&changed), Err(message.to_owned()), "{changed}");
        };
        for beyond in [json!(3), json!(u32::MAX)] {
            refused("/exchange/server", beyond.clone(), SERVER);
            refused("/exchange/silent", beyond, SILENT);
        }
        let ends_without_asking =
            stored["exchange"]["state"].get("failed").is_some() && stored["exchange"]["server"] == 0;
        if !ends_without_asking {
            refused("/exchange/servers", json!([]), SERVER);
        }
        let is_sent =
            machine.knock().is_some() || stored.pointer("/exchange/state/failed/1").is_some_and(Value::is_object);
        if !is_sent {
            refused("/exchange/silent", json!(0), SILENT);
        }
        match stored["arrival"].is_null() {
            true => refused("/arrival", json!({ "verified": { "verified": [], "unverified": [] } }), ROOM_STATE),
            false => refused("/arrival", json!(null), ROOM_STATE),
        }
        refused("/exchange/ticket", json!(1_u64 << 32), "invalid value: integer `4294967296`, expected u32");
        let is_made = stored["exchange"]["state"].get("signing").is_some() || is_sent;
        // Of an event it is known first that it is a knock.
        let message = if is_made { OTHER_EVENT } else { PURPOSE };
        refused("/exchange/purpose", json!({ "leave": ["10"] }), message);
        refused("/exchange/purpose", json!({ "knock": ["6"] }), message);
        refused("/exchange/purpose", json!({ "knock": ["10", "6"] }), PURPOSE);
        let back: Result<Retracting, _> = serde_json::from_value(stored);
        assert_eq!(back.unwrap_err().to_string(), PURPOSE);
    }
    for machine in leaves(version) {
        let mut stored = serde_json::to_value(&machine).unwrap();
        stored["arrival"] = json!(null);
        assert_eq!(read::<Knocking>(&stored), Err(PURPOSE.to_owned()));
    }
}

/// Drives a machine that nobody answers to its end.
fn driven<M: Machine + Debug>(mut machine: M, is_fine: impl Fn(&M)) {
    for _ in 0..30 {
        is_fine(&machine);
        if machine.outcome().is_some() {
            return;
        }
        match machine.want() {
            (ticket, Want::Request(_)) => machine.reply(ticket, Reply::None, NOW).unwrap(),
            (ticket, Want::Sign(_)) => machine.signature(ticket, key_id(), &[1; 64]).unwrap(),
            (ticket, Want::Keys(_)) => drop(machine.keys(ticket, &AllKeys, &Ed25519, NOW).unwrap()),
            (_, Want::Ended) => panic!("no outcome: {machine:?}"),
        }
    }
    panic!("no end: {machine:?}");
}

/// Whether what is to be signed is a membership of the user that the machine is about.
fn is_own(stored: &Value, message: &str, membership: &str) {
    let event: Value = message.parse().unwrap();
    let user = &stored["exchange"]["user_id"];
    assert_eq!((&event["sender"], &event["state_key"]), (user, user));
    assert_eq!((&event["room_id"], &event["type"]), (&stored["exchange"]["room_id"], &json!("m.room.member")));
    assert_eq!(event["content"], json!({ "membership": membership }));
}

/// Every knock and every leave, stored, in a version of the specification and in one of a host.
static STORED: LazyLock<[Vec<Value>; 2]> = LazyLock::new(|| {
    let both = [RoomVersion::V10, versions()[3]];
    let knocks = both.into_iter().flat_map(knocks).map(|machine| serde_json::to_value(machine).unwrap());
    let leaves = both.into_iter().flat_map(leaves).map(|machine| serde_json::to_value(machine).unwrap());
    [knocks.collect(), leaves.collect()]
});

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.max(4000), failure_persistence: None, ..ProptestConfig::default()
    })]

    /// Whatever is changed: an error, or a machine that comes to an end and signs nothing but what it is about.
    #[test]
    fn any_change(which in any::<Index>(), change in changes(), is_leave in any::<bool>()) {
        let [knocks, leaves] = &*STORED;
        if is_leave {
            let stored = changed(which.get(leaves), &change);
            if let Ok(machine) = read::<Retracting>(&stored) {
                driven(machine, |machine| {
                    let Want::Sign(message) = machine.want().1 else { return };
                    is_own(&stored, message, "leave");
                });
            }
        } else {
            let stored = changed(which.get(knocks), &change);
            if let Ok(machine) = read::<Knocking>(&stored) {
                driven(machine, |machine| {
                    machine.knock().iter().for_each(|knock| drop(resumed(knock)));
                    let Want::Sign(message) = machine.want().1 else { return };
                    is_own(&stored, message, "knock");
                });
            }
        }
    }
}
