//! The events that an event names as those that allow it, as hosts find them: in any order, with others, not all, the wrong ones.

use matrix_knock::RoomVersion;
use matrix_knock::auth::{AuthStatus, Rule};
use matrix_knock::error::ErrorResponse;
use matrix_knock::event::{Event, Pdu};
use matrix_knock::resident::submission::{AuthEventRef, AuthorizedEvent, SignatureChecked, UnknownAuthEvents};
use matrix_knock::resident::{AuthStage, Knock, Leave, Refusal, RequestKind};
use matrix_knock::state::StateMap;
use serde_json::json;

use super::asking::FORBIDDEN;
use super::breaks::{Said, breaks};
use super::federation::{KAY, rooms};
use super::submission::{Stored, Submission, pdus, put, texts};

/// What the host has found.
type Found<'p> = Vec<AuthEventRef<&'p Pdu<'p>>>;

/// Every order of so many things.
fn permutations(count: usize) -> Vec<Vec<usize>> {
    let Some(last) = count.checked_sub(1) else { return vec![Vec::new()] };
    let mut all = Vec::new();
    for shorter in permutations(last) {
        for position in 0..=last {
            let mut longer = shorter.clone();
            longer.insert(position, last);
            all.push(longer);
        }
    }
    all
}

/// Some orders of so many things: backwards, turned, and every so many.
fn some_orders(count: usize) -> Vec<Vec<usize>> {
    let straight: Vec<usize> = (0..count).collect();
    let turned = (1..count).map(|by| [&straight[by..], &straight[..by]].concat());
    let every = (2..count).map(|by| (0..by).flat_map(|from| straight[from..].iter().step_by(by).copied()).collect());
    let backwards = straight.iter().rev().copied().collect();
    [backwards].into_iter().chain(turned).chain(every).collect()
}

fn authorized<'q, K: RequestKind>(
    verified: &SignatureChecked<'q, K>,
    found: Found<'_>,
    (before, current): (&StateMap<Pdu<'_>>, &StateMap<Pdu<'_>>),
) -> Result<AuthorizedEvent<'q, K>, Refusal> {
    let auth_events = verified.match_auth_events(found)?;
    verified.clone().authorize(&auth_events, before, current)
}

/// The same answer in each of these orders, and with other events of the room among them.
fn in_orders<K: RequestKind>(submission: &Submission, orders: &[Vec<usize>]) -> Result<(), Refusal> {
    let (events, standings): (Vec<Stored>, Vec<AuthStatus>) = submission.auth_events.iter().cloned().unzip();
    let events = texts(&events);
    let events = pdus(&events);
    let named: Found<'_> =
        events.iter().zip(&standings).map(|(event, status)| AuthEventRef { event, status: *status }).collect();
    let others = texts(&submission.state);
    let others = pdus(&others);
    let others = others.iter().filter(|other| events.iter().all(|event| event.event_id() != other.event_id()));
    // Nothing that they are counts, least of all how they came in.
    let standings = [AuthStatus::Rejected, AuthStatus::Accepted].into_iter().cycle();
    let others: Found<'_> = others.zip(standings).map(|(event, status)| AuthEventRef { event, status }).collect();
    assert!(others.len() > 3);
    submission.verified::<K, _>(|verified, before, current| {
        let expected = authorized(verified, named.clone(), (before, current));
        for order in orders {
            let ordered: Found<'_> = order.iter().map(|position| named[*position]).collect();
            let between: Found<'_> =
                ordered.iter().enumerate().flat_map(|(at, event)| [others[at % others.len()], *event]).collect();
            let behind = [ordered.clone(), others.clone()].concat();
            let before_them = [others.clone(), ordered.clone()].concat();
            let twice = [ordered.clone(), ordered.clone()].concat();
            for found in [ordered, between, behind, before_them, twice] {
                assert_eq!(authorized(verified, found, (before, current)), expected, "{order:?}");
            }
        }
        expected.map(drop)
    })
}

/// Good ones, with as many auth events as there can be.
fn good<K: RequestKind>(version: RoomVersion, join_rule: &str) -> Submission {
    let mut good = Submission::new(K::MEMBERSHIP, version, join_rule);
    if K::SEND == Knock::SEND {
        // Kay has been in the room before.
        let left = good.other("m.room.member", KAY, json!({ "membership": "leave" }));
        put(left.clone(), &mut good.state);
        put(left.clone(), &mut good.before);
        good.auth_events.push((left, AuthStatus::Accepted));
    }
    good
}

fn every_order<K: RequestKind>() {
    for (version, join_rule) in rooms() {
        let good = good::<K>(version, join_rule);
        let orders = permutations(good.auth_events.len());
        assert_eq!(in_orders::<K>(&good, &orders), Ok(()));
        let mut refused = 0;
        for row in breaks(K::MEMBERSHIP, version).into_iter().filter(|row| (320..500).contains(&row.step)) {
            let mut broken = good.clone();
            (row.apply)(&mut broken);
            let refusal = in_orders::<K>(&broken, &permutations(broken.auth_events.len())).expect_err(row.name);
            // Where two things are broken by what is broken here, the first one is named.
            let said = (row.said)(&broken);
            let twice = matches!(refusal, Refusal::Rejected { ref rejection, .. }
                if rejection.rule() == Rule::DuplicateAuthEvents);
            assert!(said.is(&refusal, version) || twice, "{}: {refusal:?}, not {said:?}", row.name);
            refused += 1;
        }
        assert!(refused > 8, "{refused} refusals");
    }
}

#[test]
fn found_in_every_order() {
    every_order::<Knock>();
    every_order::<Leave>();
}

/// Ten events are as many as can be named. Most of them do not belong there, so it is refused; always for the same.
fn many<K: RequestKind>() {
    for (version, join_rule) in rooms() {
        let mut many = good::<K>(version, join_rule);
        for number in many.auth_events.len()..10 {
            let other = many.other("org.example", &"k".repeat(number), json!({}));
            many.auth_events.push((other, AuthStatus::Accepted));
        }
        for rejected in [None, Some(0), Some(9)] {
            let mut many = many.clone();
            if let Some(rejected) = rejected {
                many.auth_events[rejected].1 = AuthStatus::Rejected;
            }
            let refusal = in_orders::<K>(&many, &some_orders(10)).expect_err("they do not belong there");
            let said = Said::Rule(AuthStage::Itself, Rule::UnselectedAuthEvent);
            assert!(said.is(&refusal, version), "{refusal:?}");
        }
    }
}

#[test]
fn found_in_some_orders() {
    many::<Knock>();
    many::<Leave>();
}

fn ids(unknown: &UnknownAuthEvents) -> Vec<String> {
    unknown.ids().map(str::to_owned).collect()
}

/// All that are missing are named, in the order of the event; and when they are there, the same step goes on.
fn missing<K: RequestKind>() {
    for (version, join_rule) in rooms() {
        let good = good::<K>(version, join_rule);
        let events: Vec<Stored> = good.auth_events.iter().map(|(event, _)| event.clone()).collect();
        let events = texts(&events);
        let events = pdus(&events);
        let all: Found<'_> = events.iter().map(|event| AuthEventRef { event, status: AuthStatus::Accepted }).collect();
        good.verified::<K, _>(|verified, before, current| {
            for missing in 1..1_usize << all.len() {
                let is_missing = |position: &usize| missing >> position & 1 == 1;
                let (gone, there): (Vec<usize>, Vec<usize>) = (0..all.len()).partition(is_missing);
                // What is there comes backwards.
                let found: Found<'_> = there.iter().rev().map(|position| all[*position]).collect();
                let unknown = verified.match_auth_events(found.clone()).expect_err("not all are there");
                let expected: Vec<String> =
                    gone.iter().filter_map(|position| events[*position].event_id()).map(str::to_owned).collect();
                assert_eq!((ids(&unknown), unknown.ids().len()), (expected.clone(), expected.len()));
                assert_eq!(unknown.to_string(), format!("unknown auth events: {}", expected.join(", ")));
                let refusal = Refusal::from(unknown.clone());
                assert_eq!(refusal, Refusal::UnknownAuthEvents(unknown.clone()));
                assert_eq!(refusal.to_string(), unknown.to_string());
                let response = refusal.to_response();
                assert_eq!((response.status(), response.to_string().as_str()), FORBIDDEN);
                assert_eq!(ErrorResponse::from(unknown), response);

                // The host fetches those that are named.
                let fetched = gone.iter().map(|position| all[*position]);
                let found: Found<'_> = found.into_iter().chain(fetched).collect();
                let found = authorized(verified, found, (before, current));
                assert_eq!(found.map(|event| event.event().event_id().map(str::to_owned)), {
                    Ok(Some(verified.event_id().to_owned()))
                });
            }
        });
    }
}

#[test]
fn not_all_are_found() {
    missing::<Knock>();
    missing::<Leave>();
}

/// A look-up that gives another event than the one that was asked for, or one that does not know its ID: it is not found.
fn wrong<K: RequestKind>() {
    for (version, join_rule) in rooms() {
        let good = good::<K>(version, join_rule);
        let events: Vec<Stored> = good.auth_events.iter().map(|(event, _)| event.clone()).collect();
        let name = good.state.iter().find(|event| event["type"] == json!("m.room.name")).expect("an event").clone();
        let renamed = |event: &Stored, change: fn(&str) -> String| {
            let mut event = event.clone();
            event["event_id"] = json!(change(event["event_id"].as_str().expect("an ID")));
            event
        };
        for (position, event) in events.iter().enumerate() {
            let mut nameless = event.clone();
            drop(nameless.as_object_mut().and_then(|event| event.remove("event_id")));
            for other in [
                name.clone(),
                nameless,
                // The same event by another name.
                renamed(event, |id| format!("{id} ")),
                renamed(event, str::to_ascii_lowercase),
                renamed(event, |id| id.replacen('$', "", 1)),
                renamed(event, |_| String::new()),
                // One that is named elsewhere.
                events[(position + 1) % events.len()].clone(),
            ] {
                let mut found = events.clone();
                found[position] = other.clone();
                let (found, right) = (texts(&found), event.to_string());
                let (found, right) = (pdus(&found), Pdu::parse_stored(&right).expect("an event"));
                let right = AuthEventRef { event: &right, status: AuthStatus::Accepted };
                let found = || found.iter().map(|event| AuthEventRef { event, status: AuthStatus::Accepted });
                good.verified::<K, _>(|verified, before, current| {
                    let unknown = verified.match_auth_events(found()).expect_err("one is not there");
                    assert_eq!(ids(&unknown), [event["event_id"].as_str().expect("an ID")], "{other}");
                    // The right one beside it is enough.
                    let all: Found<'_> = found().chain([right]).collect();
                    assert!(authorized(verified, all, (before, current)).is_ok());
                });
            }
        }
    }
}

#[test]
fn another_event_is_found() {
    wrong::<Knock>();
    wrong::<Leave>();
}

/// An event that names one twice is refused, however often that one is found.
fn named_twice<K: RequestKind>() {
    for (version, join_rule) in rooms() {
        let good = good::<K>(version, join_rule);
        let events: Vec<Stored> = good.auth_events.iter().map(|(event, _)| event.clone()).collect();
        let found = texts(&events);
        let found = pdus(&found);
        let found: Found<'_> = found.iter().map(|event| AuthEventRef { event, status: AuthStatus::Accepted }).collect();
        for twice in &events {
            for position in 0..=events.len() {
                let mut named: Vec<_> = events.iter().map(|event| event["event_id"].clone()).collect();
                named.insert(position, twice["event_id"].clone());
                let mut submission = good.clone();
                submission.event["auth_events"] = json!(named);
                submission.verified::<K, _>(|verified, before, current| {
                    assert_eq!(verified.auth_events().collect::<Vec<_>>(), named);
                    for found in [found.clone(), [found.clone(), found.clone()].concat()] {
                        let refusal = authorized(verified, found, (before, current)).expect_err("it is named twice");
                        let said = Said::Rule(AuthStage::Itself, Rule::DuplicateAuthEvents);
                        assert!(said.is(&refusal, version), "{refusal:?}");
                        let response = refusal.to_response();
                        assert_eq!((response.status(), response.to_string().as_str()), FORBIDDEN);
                    }
                    // If it is missing it is named once.
                    let id = twice["event_id"].as_str().expect("an ID");
                    let without = found.iter().copied().filter(|found| found.event.event_id() != Some(id));
                    let unknown = verified.match_auth_events(without).expect_err("one is not there");
                    assert_eq!(ids(&unknown), [id]);
                });
            }
        }
    }
}

#[test]
fn one_is_named_twice() {
    named_twice::<Knock>();
    named_twice::<Leave>();
}
