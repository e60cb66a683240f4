//! A leave without a knock: an invite is declined, of a room whose version is known, or one of several, or not known at all.

use matrix_knock::event::{Event, Pdu, VerifiedPdu};
use matrix_knock::id::{RoomId, UserId};
use matrix_knock::knocking::{Departure, Failure, MAX_SERVERS, Retracted, Retracting};
use matrix_knock::machine::{Machine, Want};
use matrix_knock::{Ed25519, RoomVersion};
use serde_json::json;

use super::federation::{A, ALICE, AllKeys, B, BOB, Federation, KAY, json_of, rooms};
use super::knocker::{BOTH, Memory, NOW, Walk, left, names, retracting, run_retraction};
use super::walks::pending;

/// Every version of which this crate makes templates, with a join rule by which people are invited.
fn all_rooms() -> Vec<(RoomVersion, &'static str)> {
    let [_, _, v3, v4, v5, v6, ..] = RoomVersion::ALL;
    [v3, v4, v5, v6].map(|version| (version, "invite")).into_iter().chain(rooms()).collect()
}

/// Kay is invited.
fn invited(version: RoomVersion, join_rule: &str, by: &str) -> Federation {
    let mut federation = Federation::new(version, join_rule);
    federation.room.member(by, KAY, "invite").expect("everybody may invite");
    federation
}

fn departing(federation: &Federation, servers: &[&str], versions: &[RoomVersion], reason: Option<&str>) -> Retracting {
    Retracting::start(&Departure {
        room_id: RoomId::parse(&federation.room.id).expect("a room ID"),
        user_id: UserId::parse(KAY).expect("a user ID"),
        servers: &names(servers),
        versions,
        reason,
    })
}

/// Every list of versions that this one is in.
fn with(version: RoomVersion) -> Vec<Vec<RoomVersion>> {
    let unstable = RoomVersion::unstable("org.example.x", version).expect("a name");
    let [first, second, ..] = RoomVersion::ALL;
    vec![
        vec![version],
        vec![version, version],
        RoomVersion::ALL.to_vec(),
        RoomVersion::ALL.into_iter().rev().collect(),
        vec![first, second, unstable, version],
    ]
}

/// The leave that ended in the room: it is what it says, whole, and signed.
fn is_whole(outcome: &Retracted, federation: &Federation) {
    let Retracted::InRoom { event, .. } = outcome else { panic!("nobody took it: {outcome:?}") };
    let room = &federation.room;
    assert_eq!((event.event_id(), event.text()), (room.tip.as_str(), room.events[&room.tip].as_str()));
    let formatted = Pdu::parse(event.text()).expect("an event").check_format(room.version).expect("an event");
    assert_eq!(formatted.event_id(), event.event_id());
    let signed = formatted.check_signatures(&AllKeys, &Ed25519, NOW).expect("signed");
    assert_eq!(signed.signed_by().collect::<Vec<_>>(), ["k.example"]);
    let VerifiedPdu::Whole(whole) = signed.check_hash().expect("a hash") else { panic!("redacted") };
    let pdu = whole.pdu();
    assert_eq!((pdu.room_id(), pdu.sender(), pdu.state_key()), (Some(room.id.as_str()), KAY, Some(KAY)));
    assert_eq!(event.pdu().expect("an event").event_id(), Some(event.event_id()));
    assert_eq!(event.clone().into_text(), event.text());
}

#[test]
fn an_invite_is_declined() {
    for (version, join_rule) in all_rooms() {
        for by in [ALICE, BOB] {
            for reason in [None, Some("No, thank you: \"Ö\"")] {
                for versions in with(version) {
                    let mut federation = invited(version, join_rule, by);
                    let invite = federation.room.tip.clone();
                    let leave = departing(&federation, &BOTH, &versions, reason);
                    let walk = run_retraction(leave, Memory::Stores, |request, now| federation.serve(request, now));
                    is_whole(&walk.outcome, &federation);
                    let outcome = left(A, &federation.room);
                    let asked = ["a.example make_leave", "a.example send_leave"].map(str::to_owned).to_vec();
                    assert_eq!(walk, Walk { outcome, asked, arrival: None });
                    let content = match reason {
                        None => json!({ "membership": "leave" }),
                        Some(reason) => json!({ "membership": "leave", "reason": reason }),
                    };
                    assert_eq!(federation.room.member_content(KAY), Some(content));
                    let event = json_of(&federation.room.events[&federation.room.tip]);
                    assert_eq!(event["prev_events"], json!([invite]));
                    assert!(event["auth_events"].as_array().is_some_and(|ids| ids.contains(&json!(invite))));
                }
            }
        }
    }
}

/// Of several versions the server has to say which it is; the only one need not be said.
#[test]
fn versions_that_are_not_said() {
    for (version, join_rule) in all_rooms() {
        for versions in with(version) {
            let mut federation = invited(version, join_rule, BOB);
            let leave = departing(&federation, &BOTH, &versions, None);
            let walk = run_retraction(leave, Memory::Stores, |request, now| {
                let (status, body) = federation.serve(request, now)?;
                if request.server == *B || request.method() == "PUT" {
                    return Some((status, body));
                }
                let mut body = json_of(&body);
                drop(body.as_object_mut().and_then(|body| body.remove("room_version")));
                Some((status, body.to_string()))
            });
            let server = if versions.len() == 1 { A } else { B };
            assert_eq!(walk.outcome, left(server, &federation.room), "{versions:?}");
            is_whole(&walk.outcome, &federation);
        }
    }
}

/// A version that the host does not have: nothing is signed by other rules.
#[test]
fn other_versions() {
    for (version, join_rule) in all_rooms() {
        let unstable = RoomVersion::unstable("org.example.x", version).expect("a name");
        let others: Vec<RoomVersion> = RoomVersion::ALL.into_iter().filter(|other| *other != version).collect();
        for versions in [vec![], vec![unstable], others.clone(), vec![others[3]]] {
            let mut federation = invited(version, join_rule, BOB);
            let before = federation.room.events.len();
            let leave = departing(&federation, &BOTH, &versions, None);
            let walk = run_retraction(leave, Memory::Stores, |request, now| federation.serve(request, now));
            assert_eq!(walk.outcome, Retracted::LocallyOnly { failure: Failure::NoAnswer }, "{versions:?}");
            assert_eq!(walk.asked, ["a.example make_leave", "b.example make_leave"]);
            assert_eq!((federation.room.events.len(), federation.refusal), (before, None));
        }
    }
}

/// Rooms of the first two versions: their templates name events with their hashes, which is beyond this crate.
#[test]
fn the_first_versions() {
    let federation = Federation::new(RoomVersion::V10, "invite");
    let event = json!({
        "type": "m.room.member", "room_id": federation.room.id, "sender": KAY, "state_key": KAY, "depth": 3,
        "content": { "membership": "leave" }, "auth_events": [["$x:a.example", { "sha256": "x" }]],
        "prev_events": [["$y:a.example", { "sha256": "y" }]],
    });
    for version in [RoomVersion::V1, RoomVersion::V2] {
        let template = json!({ "room_version": version.as_str(), "event": event }).to_string();
        for versions in [vec![version], RoomVersion::ALL.to_vec()] {
            let leave = departing(&federation, &BOTH, &versions, None);
            let walk = run_retraction(leave, Memory::Stores, |_, _| Some((200, template.clone())));
            assert_eq!(walk.outcome, Retracted::LocallyOnly { failure: Failure::NoAnswer });
            assert_eq!(walk.asked, ["a.example make_leave", "b.example make_leave"]);
        }
    }
}

/// Nobody may leave what they are not in: it is refused, and over for the client.
#[test]
fn nothing_to_leave() {
    for (version, join_rule) in all_rooms() {
        for memberships in [&[][..], &[(BOB, "invite"), (KAY, "leave")], &[(ALICE, "ban")]] {
            let mut federation = Federation::new(version, join_rule);
            for (sender, membership) in memberships {
                federation.room.member(sender, KAY, membership).expect("a change");
            }
            let before = federation.room.events.len();
            let leave = departing(&federation, &BOTH, &[version], None);
            let walk = run_retraction(leave, Memory::Stores, |request, now| federation.serve(request, now));
            assert_eq!(walk.outcome, Retracted::LocallyOnly { failure: Failure::Forbidden });
            assert_eq!(walk.asked, ["a.example make_leave", "b.example make_leave"]);
            assert_eq!(federation.room.events.len(), before);
        }
    }
}

/// At most 20 servers, in order, each once, and not the user's own.
#[test]
fn who_is_asked() {
    let federation = invited(RoomVersion::V10, "knock", BOB);
    for nobody in [&[][..], &["k.example"], &["k.example"; MAX_SERVERS + 1]] {
        let leave = departing(&federation, nobody, &[RoomVersion::V10], None);
        assert_eq!(leave.want().1, Want::Ended);
        assert_eq!(leave.outcome(), Some(Retracted::LocallyOnly { failure: Failure::NoServers }));
        let walk = run_retraction(leave, Memory::Stores, |_, _| panic!("nobody to ask"));
        assert_eq!(walk.asked, Vec::<String>::new());
    }
    let many: Vec<String> = (1..=30).map(|number| format!("s{number}.example")).collect();
    let mut servers = vec!["k.example"];
    for name in &many {
        servers.extend([name.as_str(), "k.example", "s1.example"]);
    }
    let leave = departing(&federation, &servers, &[RoomVersion::V10], None);
    let walk = run_retraction(leave, Memory::Keeps, |_, _| None);
    let expected: Vec<String> = many.iter().take(20).map(|server| format!("{server} make_leave")).collect();
    assert_eq!(walk.asked, expected);
}

/// A knock is taken back by the same leave.
#[test]
fn as_if_there_was_a_knock() {
    for (version, join_rule) in rooms() {
        let mut federation = Federation::new(version, join_rule);
        let knock = pending(&mut federation);
        assert_eq!(
            departing(&federation, &BOTH, &[version], Some("Never mind")),
            retracting(&knock, &[B, A], Some("Never mind"))
        );
        let leave = retracting(&knock, &[], None);
        let walk = run_retraction(leave, Memory::Stores, |request, now| federation.serve(request, now));
        is_whole(&walk.outcome, &federation);
    }
}
