//! `send_knock` and `send_leave` with every check broken, one at a time and two at a time: the earlier check names the refusal.

use matrix_knock::RoomVersion;
use matrix_knock::auth::Rule;
use matrix_knock::event::Membership;
use matrix_knock::resident::{AuthStage, Mismatch};
use serde_json::json;

use super::breaks::{Said, breaks};
use super::federation::{KAY, rooms};
use super::submission::Submission;

const KINDS: [Membership; 2] = [Membership::Knock, Membership::Leave];

#[test]
fn nothing_broken() {
    for (version, join_rule) in rooms() {
        let answer = Submission::new(Membership::Leave, version, join_rule).answer();
        assert_eq!(answer, Ok("{}".to_owned()));
        let knock = Submission::new(Membership::Knock, version, join_rule);
        let of_state = |event_type: &str| {
            let event = knock.state.iter().find(|event| event["type"] == json!(event_type)).expect("an event");
            let mut event = event.clone();
            drop(event.as_object_mut().and_then(|event| event.remove("event_id")));
            event
        };
        let shown = ["m.room.create", "m.room.join_rules", "m.room.name"].map(of_state);
        assert_eq!(knock.answer(), Ok(json!({ "knock_room_state": shown }).to_string()));
    }
}

#[test]
fn one_check_broken() {
    for membership in KINDS {
        for (version, join_rule) in rooms() {
            let good = Submission::new(membership, version, join_rule);
            for row in breaks(membership, version) {
                let mut broken = good.clone();
                (row.apply)(&mut broken);
                let name = format!("{membership} {version}: {}", row.name);
                let Err(refusal) = broken.answer() else { panic!("{name} is taken") };
                let expected = (row.said)(&broken);
                assert!(expected.is(&refusal, broken.version), "{name}: {refusal:?}, not {expected:?}");
                let response = refusal.to_response();
                assert_eq!((response.status(), response.to_string().as_str()), row.response, "{name}");
            }
        }
    }
}

#[test]
fn two_checks_broken() {
    let mut pairs = 0_u32;
    for membership in KINDS {
        for (version, join_rule) in rooms() {
            let good = Submission::new(membership, version, join_rule);
            let rows = breaks(membership, version);
            for first in &rows {
                for second in rows.iter().filter(|second| second.step > first.step) {
                    let mut broken = good.clone();
                    // What both of them set is as the first wants it.
                    (second.apply)(&mut broken);
                    (first.apply)(&mut broken);
                    let name = format!("{membership} {version}: {}, {}", first.name, second.name);
                    let Err(refusal) = broken.answer() else { panic!("{name} is taken") };
                    let expected = (first.said)(&broken);
                    assert!(expected.is(&refusal, broken.version), "{name}: {refusal:?}, not {expected:?}");
                    let response = refusal.to_response();
                    assert_eq!((response.status(), response.to_string().as_str()), first.response, "{name}");
                    pairs += 1;
                }
            }
        }
    }
    assert!(pairs > 18_000, "{pairs} pairs");
}

/// Since v8 a rule asks for the signature of an authorizing user's server, on a leave too; before,
/// the property means nothing there.
#[test]
fn a_leave_with_an_authorizing_user() {
    for (version, join_rule) in rooms() {
        for user in [json!("@alice:a.example"), json!("alice"), json!(null), json!([])] {
            let mut leave = Submission::new(Membership::Leave, version, join_rule);
            leave.event["content"]["join_authorised_via_users_server"] = user.clone();
            match (version, leave.answer()) {
                (RoomVersion::V7, answer) => assert_eq!(answer, Ok("{}".to_owned())),
                (_, Err(refusal)) => {
                    let said = Said::Rule(AuthStage::Itself, Rule::AuthorizingServerSignature);
                    assert!(said.is(&refusal, version), "{version} {user}: {refusal:?}");
                }
                (_, Ok(_)) => panic!("{version} {user} is taken"),
            }
            // The knocker's server may be that of the user: then it has signed.
            leave.event["content"]["join_authorised_via_users_server"] = json!(KAY);
            assert_eq!(leave.answer(), Ok("{}".to_owned()), "{version}");
            // Before v8 it is nothing in a knock either.
            let mut knock = Submission::new(Membership::Knock, version, join_rule);
            let answer = knock.answer();
            knock.event["content"]["join_authorised_via_users_server"] = user;
            let expected = if version == RoomVersion::V7 { answer } else { Err(Mismatch::AuthorizingUser.into()) };
            assert_eq!(knock.answer(), expected, "{version}");
        }
    }
}
