//! Check 4 in its parts: what may be wrong with the events that an event names, each in every version and for every membership.

use matrix_knock::auth::{AuthStatus, Rule};
use matrix_knock::event::{Event as _, Pdu};
use matrix_knock::policy::PolicyVerdict;
use matrix_knock::receipt::{AuthEventRef, Check, Outcome, States};
use matrix_knock::{Ed25519, RoomVersion};
use serde_json::Value;

use crate::room::{Case, Flaws, Room, id};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Wrong {
    /// The first is named twice: of one ID there is only one event.
    Twice,
    /// One of a type that no member event selects.
    Unselected,
    /// One was rejected when it came.
    Rejected,
    /// One was soft-failed when it came: nothing is wrong with that.
    SoftFailed,
    /// Up to version 11: the create event is not named. Since version 12: it is named.
    Create,
    /// One is of another room.
    OtherRoom,
}

impl Wrong {
    const ALL: [Self; 6] =
        [Self::Twice, Self::Unselected, Self::Rejected, Self::SoftFailed, Self::Create, Self::OtherRoom];

    fn rule(self, version: RoomVersion) -> Option<Rule> {
        match self {
            Self::Twice => Some(Rule::DuplicateAuthEvents),
            Self::Unselected => Some(Rule::UnselectedAuthEvent),
            Self::Rejected => Some(Rule::RejectedAuthEvent),
            Self::SoftFailed => None,
            Self::Create if version == RoomVersion::V12 => Some(Rule::UnselectedAuthEvent),
            Self::Create => Some(Rule::NoCreateEvent),
            Self::OtherRoom => Some(Rule::AuthEventOfOtherRoom),
        }
    }
}

/// Cases that the version has not are refused by other rules.
pub(crate) fn is_known(case: Case, version: RoomVersion) -> bool {
    match case {
        Case::Knock => version >= RoomVersion::V7,
        Case::RestrictedJoin => version >= RoomVersion::V8,
        _ => true,
    }
}

#[test]
fn the_events_that_it_names() {
    let mut cells = 0;
    for version in RoomVersion::ALL {
        for case in Case::ALL.into_iter().filter(|case| is_known(*case, version)) {
            let room = Room::new(version, case);
            for wrong in Wrong::ALL {
                let mut event = room.unsigned(Flaws::NONE);
                change(&mut event, &room, wrong);
                let sent = room.sign(&event, Flaws::NONE);
                let received = room.receive(&sent.text).expect("a valid event");
                let levels = id(version, "levels");
                let other = format!(
                    r#"{{"type":"m.room.power_levels","state_key":"","sender":"@alice:a.example","room_id":"!other:a.example",
                    "content":{{"users":{{"@alice:a.example":100}}}},"event_id":"{levels}"}}"#
                );
                let other = Pdu::parse_stored(&other).unwrap();
                let named = room.named(false).into_iter().map(|named| {
                    let is_levels = named.event.event_id() == Some(&*levels);
                    match wrong {
                        Wrong::Rejected if is_levels => AuthEventRef { status: AuthStatus::Rejected, ..named },
                        Wrong::OtherRoom if is_levels => AuthEventRef { event: other.clone(), ..named },
                        _ => named,
                    }
                });
                let named = received.match_auth_events(named).expect("all of them");
                let (before, current) = (room.state(false), room.current(false, false));
                let states = States { before: &before, current: &current };
                let outcome = received.check(&named, states, &Ed25519, PolicyVerdict::NotNamed).expect("no mistake");
                let decided = match outcome {
                    Outcome::Accepted(None) => None,
                    Outcome::Rejected(rejected) if rejected.check() == Check::AuthEvents => {
                        assert_eq!(rejected.rejection().version(), version);
                        Some(rejected.rejection().rule())
                    }
                    other => panic!("{case:?}, {wrong:?} in version {version}: {other:?}"),
                };
                assert_eq!(decided, wrong.rule(version), "{case:?}, {wrong:?} in version {version}");
                cells += 1;
            }
        }
    }
    assert_eq!(cells, (12 * 7 - 6 - 7) * 6);
}

fn change(event: &mut Value, room: &Room, wrong: Wrong) {
    let is_v12 = room.version == RoomVersion::V12;
    let named = event["auth_events"].as_array_mut().unwrap();
    match wrong {
        Wrong::Twice => named.push(named[0].clone()),
        Wrong::Unselected => named.push(room.reference("policy")),
        Wrong::Create if is_v12 => named.push(room.reference("create")),
        Wrong::Create => named.retain(|reference| *reference != room.reference("create")),
        Wrong::Rejected | Wrong::SoftFailed | Wrong::OtherRoom => {}
    }
}

/// Those that the host does not have are told by name, each once, in the order in which the event names them.
#[test]
fn the_events_that_the_host_does_not_have() {
    let mut cells = 0;
    for version in RoomVersion::ALL {
        for case in Case::ALL {
            let room = Room::new(version, case);
            let received = room.event(Flaws::NONE);
            let received = room.receive(&received.text).expect("a valid event");
            let names: Vec<String> = room.auth_event_names().into_iter().map(|name| id(version, name)).collect();
            assert!(received.auth_events().eq(names.iter().map(String::as_str)));
            assert!(received.prev_events().eq([&*id(version, "rules")]));
            for missing in 0..1_usize << names.len() {
                let is_missing =
                    |id: &str| names.iter().position(|name| name == id).is_some_and(|at| missing >> at & 1 == 1);
                let found = room.named(false).into_iter().filter(|named| !is_missing(named.event.event_id().unwrap()));
                let expected: Vec<&str> = names.iter().map(String::as_str).filter(|id| is_missing(id)).collect();
                match received.match_auth_events(found) {
                    Ok(_) => assert_eq!(expected, [""; 0]),
                    Err(unknown) => {
                        assert!(unknown.ids().eq(expected.iter().copied()), "{unknown}");
                        assert_eq!(unknown.to_string(), format!("unknown auth events: {}", expected.join(", ")));
                    }
                }
                cells += 1;
            }
        }
    }
    assert_eq!(cells, 1_452);
}
