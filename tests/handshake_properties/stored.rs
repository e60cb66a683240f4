//! What a host stores of a machine is the machine.

use std::collections::BTreeSet;
use std::fmt::Debug;

use matrix_knock::event::Sign as _;
use matrix_knock::knocking::room_state::ShowUnverified;
use matrix_knock::knocking::{Details, Knocking, Retracted, Retracting};
use matrix_knock::machine::{Endpoint, Machine as _, Reply, Want};
use matrix_knock::wire::HttpResponse;
use matrix_knock::{Ed25519, RoomVersion};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::room::{AllKeys, HOME, NOW, RESIDENT, Room, key, key_id, names};
use crate::stage::{Machine, start};

/// What comes back of what was stored.
pub(crate) fn resumed<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) -> T {
    let stored = serde_json::to_string(value).unwrap();
    let resumed: T = serde_json::from_str(&stored).unwrap();
    assert_eq!(resumed, *value);
    assert_eq!(serde_json::to_string(&resumed).unwrap(), stored);
    resumed
}

/// Versions of the specification, and of a host.
pub(crate) fn versions() -> [RoomVersion; 5] {
    let [by_10, by_12] = [RoomVersion::V10, RoomVersion::V12]
        .map(|version| RoomVersion::unstable(&format!("org.example.{version}"), version).unwrap());
    let changed = RoomVersion::unstable_with("org.example.changed", RoomVersion::V6, |rules| rules.knocking = true);
    [RoomVersion::V7, RoomVersion::V12, by_10, by_12, changed.unwrap()]
}

/// What a host offers that has this version.
pub(crate) fn offered(version: RoomVersion) -> Vec<RoomVersion> {
    let others = RoomVersion::ALL.into_iter().filter(|other| *other != version);
    others.chain([version]).collect()
}

/// Every state that a knock and a leave can be in, stored and gone on from.
#[test]
fn every_state() {
    for version in versions() {
        let mut room = Room::new(version);
        let details = Details {
            reason: Some("\"\\\u{0}\u{2028}\u{1F511}".to_owned()),
            displayname: Some(String::new()),
            avatar_url: None,
        };
        assert_eq!(resumed(&details), details);
        let servers = ["c.example", RESIDENT, "d.example"];
        let Machine::Knock(knock) = start(&room, &servers, &offered(version), &details) else { panic!("a knock") };
        let mut seen = BTreeSet::new();

        // To an end with a knock that is pending.
        let mut machine = knock.clone();
        while machine.outcome().is_none() {
            let (ticket, want) = machine.want();
            assert_eq!(resumed(&ticket), ticket);
            let step = match want {
                Want::Request(request) if request.body().is_none() && request.server == *"c.example" => Step::Silent,
                Want::Request(request) if request.body().is_some() && request.server == *RESIDENT => Step::Silent,
                Want::Request(_) | Want::Sign(_) | Want::Keys(_) => Step::Give,
                other => panic!("no outcome: {other:?}"),
            };
            seen.insert(name(&machine));
            step.go(&mut machine, &mut room);
            machine = resumed(&machine);
        }
        seen.insert(name(&machine));
        let pending = resumed(&machine.outcome().unwrap().unwrap());
        assert_eq!((pending.server().as_str(), pending.version()), ("d.example", version));
        assert_eq!(pending.knock_state(ShowUnverified::Never).len(), 4);

        // To an end without one, and with one that there may be.
        let mut failed = knock.clone();
        let mut perhaps = knock;
        while perhaps.outcome().is_none() || failed.outcome().is_none() {
            for (machine, made) in [(&mut perhaps, Step::Give), (&mut failed, Step::Silent)] {
                let step = match machine.want().1 {
                    Want::Request(request) if request.body().is_some() => Step::Silent,
                    Want::Request(_) => made,
                    Want::Sign(_) | Want::Keys(_) => Step::Give,
                    _ => continue,
                };
                seen.insert(name(machine));
                step.go(machine, &mut room);
                *machine = resumed(machine);
            }
        }
        seen.extend([name(&failed), name(&perhaps)]);
        assert_eq!(failed.outcome().unwrap().unwrap_err().perhaps, None);
        let stands = resumed(&perhaps.outcome().unwrap().unwrap_err().perhaps.unwrap());
        assert_eq!((stands.server().as_str(), stands.knock_state(ShowUnverified::Always).len()), ("c.example", 1));
        let states =
            "asks for a template, asks for a signature, sends, asks for keys, pending, perhaps pending, failed";
        assert_eq!(seen, states.split(", ").collect());

        // And the leave that takes it back.
        let mut leave = Retracting::of_knock(&pending, &names(servers), Some("\u{1}"));
        let mut states = 0;
        while leave.outcome().is_none() {
            let (ticket, want) = leave.want();
            match want {
                Want::Request(request) => {
                    let (status, body) = match request.endpoint {
                        Endpoint::SendLeave { event, .. } => room.send_leave(event.event_id(), event.text()),
                        _ => room.make_leave(),
                    };
                    leave.reply(ticket, HttpResponse::new(status, &body).into(), NOW).unwrap();
                }
                Want::Sign(message) => {
                    let signature = key(HOME).sign(message.as_bytes());
                    leave.signature(ticket, key_id(), &signature).unwrap();
                }
                other => panic!("no outcome: {other:?}"),
            }
            leave = resumed(&leave);
            states += 1;
        }
        assert_eq!(states, 3);
        assert!(matches!(leave.outcome(), Some(Retracted::InRoom { server, .. }) if server == *"d.example"));
    }
}

/// What a host does.
#[derive(Debug, Clone, Copy)]
enum Step {
    Give,
    Silent,
}

impl Step {
    fn go(self, machine: &mut Knocking, room: &mut Room) {
        let copy = machine.clone();
        let (ticket, want) = copy.want();
        match (self, want) {
            (Self::Silent, _) => machine.reply(ticket, Reply::None, NOW).unwrap(),
            (Self::Give, Want::Request(request)) => {
                let (status, body) = match request.endpoint {
                    Endpoint::SendKnock { event, .. } => room.send_knock(event.event_id(), event.text()),
                    _ => room.make_knock(&[room.version.as_str()]),
                };
                machine.reply(ticket, HttpResponse::new(status, &body).into(), NOW).unwrap();
            }
            (Self::Give, Want::Sign(message)) => {
                machine.signature(ticket, key_id(), &key(HOME).sign(message.as_bytes())).unwrap();
            }
            (Self::Give, Want::Keys(_)) => drop(machine.keys(ticket, &AllKeys, &Ed25519, NOW).unwrap()),
            (Self::Give, other) => panic!("nothing is wanted: {other:?}"),
        }
    }
}

fn name(machine: &Knocking) -> &'static str {
    match (machine.outcome(), machine.want().1) {
        (None, Want::Request(request)) if request.body().is_none() => "asks for a template",
        (None, Want::Request(_)) => "sends",
        (None, Want::Sign(_)) => "asks for a signature",
        (None, Want::Keys(_)) => "asks for keys",
        (Some(Ok(_)), Want::Ended) => "pending",
        (Some(Err(failed)), Want::Ended) => {
            if failed.perhaps.is_some() {
                "perhaps pending"
            } else {
                "failed"
            }
        }
        other => panic!("{other:?}"),
    }
}
