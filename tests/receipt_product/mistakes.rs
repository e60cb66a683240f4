//! The host's mistakes: each is an error, and never an outcome.

use matrix_knock::event::{Event as _, EventType, Pdu};
use matrix_knock::policy::PolicyVerdict;
use matrix_knock::receipt::{AuthEvents, Outcome, ReceiptError, ReceivedEvent, States};
use matrix_knock::state::{NotLookedUp, RoomState as _, Snapshot, StateMap};
use matrix_knock::{Ed25519, RoomVersion};

use crate::auth_events::is_known;
use crate::room::{ALICE, Case, Flaws, KAY, Room, refused};

/// An entry of a state, and which of the checks 4 to 7 look it up.
type Entry = (EventType<'static>, &'static str, [bool; 4]);

/// What each check reads of its state, from the rules: of the current state check 4 reads the create event, since version 12.
fn entries(case: Case, version: RoomVersion) -> Vec<Entry> {
    let member = EventType::Member;
    let rules = |reads: bool| [false, reads, reads, false];
    let is_restricted = case == Case::RestrictedJoin;
    let is_kay_asked_for = !case.is_by_alice() || matches!(case, Case::Invite | Case::Decline);
    let mut entries = vec![
        (EventType::Create, "", [version == RoomVersion::V12, true, true, false]),
        (EventType::PowerLevels, "", rules(case.is_by_alice() || is_restricted)),
        (member, KAY, rules(is_kay_asked_for)),
        (EventType::Policy, "", [false, false, false, true]),
    ];
    if case.is_by_alice() || is_restricted {
        entries.push((member, ALICE, rules(true)));
    }
    if matches!(case, Case::Join | Case::RestrictedJoin | Case::Knock | Case::Invite) {
        // An invite names the join rules; no rule asks for them.
        entries.push((EventType::JoinRules, "", rules(case != Case::Invite)));
    }
    entries
}

/// A snapshot of what `reads` names, but for one entry.
fn snapshot<'s>(
    event: &ReceivedEvent<'_>,
    state: &'s StateMap<Pdu<'s>>,
    left_out: Option<&Entry>,
) -> Snapshot<Pdu<'s>> {
    let mut snapshot = Snapshot::new();
    for (event_type, state_key) in event.reads().iter() {
        if left_out.is_none_or(|(left_out, key, _)| *left_out != event_type || *key != state_key) {
            let event = state.event(event_type, state_key).unwrap();
            snapshot.insert(event_type, state_key, event.cloned());
        }
    }
    snapshot
}

#[test]
fn an_entry_that_was_not_looked_up() {
    let mut cells = 0;
    for version in RoomVersion::ALL {
        for case in Case::ALL.into_iter().filter(|case| is_known(*case, version)) {
            let room = Room::new(version, case);
            let sent = room.event(Flaws::NONE);
            let received = room.receive(&sent.text).expect("a valid event");
            let named = received.match_auth_events(room.named(false)).expect("all of them");
            let state = room.state(false);
            let whole = snapshot(&received, &state, None);

            let entries = entries(case, version);
            let reads = received.reads();
            assert_eq!(reads.len(), entries.len(), "{reads:?}");
            for entry in &entries {
                let (event_type, state_key, reads) = *entry;
                let what = format!("{case:?} in version {version} without {event_type} {state_key}");
                let lacking = snapshot(&received, &state, Some(entry));
                let error = ReceiptError::from(NotLookedUp::new(event_type, state_key));
                let or_error = |fails: bool| if fails { Err(error.clone()) } else { Ok(()) };
                let one_by_one = [
                    received.check_auth_events(&named, &lacking, &Ed25519).map(|checked| assert_eq!(checked, Ok(()))),
                    received.check_state_before(&lacking, &Ed25519).map(|checked| assert_eq!(checked, Ok(()))),
                    received.check_current_state(&lacking, &Ed25519).map(|checked| assert_eq!(checked, Ok(()))),
                    received
                        .check_policy_server(&lacking, PolicyVerdict::NotNamed)
                        .map(|checked| assert_eq!(checked, Ok(None))),
                ];
                assert_eq!(one_by_one, reads.map(or_error), "{what}");

                let all = |before, current| {
                    let states = States { before, current };
                    let outcome = received.check(&named, states, &Ed25519, PolicyVerdict::NotNamed);
                    outcome.map(|outcome| assert_eq!(outcome, Outcome::Accepted(None)))
                };
                assert_eq!(all(&lacking, &whole), or_error(reads[1]), "{what} before");
                assert_eq!(all(&whole, &lacking), or_error(reads[0] || reads[2] || reads[3]), "{what} now");
                assert_eq!(all(&whole, &whole), Ok(()));
                let message =
                    format!("the `{event_type}` entry of the state with the state key `{state_key}` was not looked up");
                assert_eq!(error.to_string(), message);
                cells += 1;
            }
        }
    }
    // Kay's own: 4 entries, with the join rules or Alice 5, with both 6.
    assert_eq!(cells, 12 * 5 + 5 * 6 + 12 * 6 + 6 * 5 + 12 * 4 + 12 * 5 + 12 * 5);
}

#[test]
fn auth_events_of_another_event() {
    let mut cells = 0;
    for version in RoomVersion::ALL {
        for case in Case::ALL {
            let room = Room::new(version, case);
            let sent = room.event(Flaws::NONE);
            let received = room.receive(&sent.text).expect("a valid event");
            let other = room.other_event();
            let other = room.receive(&other.text).expect("a valid event");
            let named: AuthEvents<_> = other.match_auth_events(room.named(false)).expect("all of them");
            let state = room.state(false);
            let states = States { before: &state, current: &state };
            let error = ReceiptError::OtherAuthEvents;
            assert_eq!(received.check(&named, states, &Ed25519, PolicyVerdict::NotNamed), Err(error.clone()));
            assert_eq!(received.check_auth_events(&named, &state, &Ed25519), Err(error.clone()));
            // Nothing was decided: by the state before it, the event may well be refused.
            let gone = room.state(true);
            let states = States { before: &gone, current: &gone };
            assert_eq!(received.check(&named, states, &Ed25519, PolicyVerdict::Refused(refused())), Err(error.clone()));
            assert_eq!(error.to_string(), "the auth events were matched with another event");
            cells += 1;
        }
    }
    assert_eq!(cells, 84);
}

/// The rules about events of other types are not in here. Their format, their signatures and their hash are the same.
#[test]
fn an_event_that_is_no_member_event() {
    let mut cells = 0;
    for version in RoomVersion::ALL {
        let room = Room::new(version, Case::Ban);
        for (event_type, state_key) in [
            ("m.room.name", Some("")),
            ("m.room.message", None),
            ("m.room.policy", Some("")),
            ("m.room.create", Some("x")),
            ("m.room.member.", Some(KAY)),
        ] {
            let mut event = room.unsigned(Flaws::NONE);
            event["type"] = event_type.into();
            let members = event.as_object_mut().unwrap();
            members.remove("state_key");
            members.extend(state_key.map(|state_key| ("state_key".to_owned(), state_key.into())));
            let sent = room.sign(&event, Flaws::NONE);
            let received = room.receive(&sent.text).expect("a valid event");
            assert_eq!(received.event().event_type(), event_type);
            let named = received.match_auth_events(room.named(false)).expect("all of them");
            let state = room.state(false);
            let current = room.current(false, true);
            let states = States { before: &state, current: &current };
            let error = ReceiptError::NotAMemberEvent;
            assert_eq!(received.check(&named, states, &Ed25519, PolicyVerdict::NotNamed), Err(error.clone()));
            assert_eq!(received.check_auth_events(&named, &current, &Ed25519), Err(error.clone()));
            assert_eq!(received.check_state_before(&state, &Ed25519), Err(error.clone()));
            assert_eq!(received.check_current_state(&current, &Ed25519), Err(error.clone()));
            // A policy server is shown every event but the one that names it.
            let expected = match event_type {
                "m.room.policy" => Ok(Ok(None)),
                _ => Err(ReceiptError::PolicyServer),
            };
            assert_eq!(received.check_policy_server(&current, PolicyVerdict::NotNamed), expected);
            assert_eq!(error.to_string(), "not an `m.room.member` event");
            cells += 1;
        }
    }
    assert_eq!(cells, 60);
}
