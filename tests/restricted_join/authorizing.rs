//! Who can authorize a join: the same users whom the authorization rules take.

use matrix_knock::auth::{CompiledRoom, authorize};
use matrix_knock::event::Pdu;
use matrix_knock::id::UserId;
use matrix_knock::restricted_join::{MAX_AUTHORIZING_USERS, authorizing_user, reads_of_authorizing_user};
use matrix_knock::state::{Snapshot, StateMap};
use matrix_knock::{NoVerifier, RoomVersion};
use serde_json::json;

use super::{ALICE, KAY, Stored, state, state_event, user, versions};

const BOB: &str = "@bob:a.example";

fn member(id: &str, membership: &str) -> Stored {
    state_event("m.room.member", id, &json!({ "membership": membership }).to_string())
}

/// Whether the rules let Kay join with this user's authorization.
fn takes(version: RoomVersion, state: &StateMap<Stored>, user: &str) -> bool {
    let join = json!({ "type": "m.room.member", "sender": KAY, "state_key": KAY,
        "content": { "membership": "join", "join_authorised_via_users_server": user } });
    authorize(version, &Pdu::parse(&join.to_string()).expect("an event"), state, &NoVerifier).is_ok()
}

#[test]
fn those_whom_the_rules_take() {
    let levels = [
        None,
        Some(json!({})),
        Some(json!({ "invite": 50 })),
        Some(json!({ "invite": 50, "users": { BOB: 50 } })),
        Some(json!({ "invite": 50, "users": { BOB: 49, ALICE: 100 } })),
        Some(json!({ "invite": 50, "users_default": 50, "users": { BOB: 0 } })),
        Some(json!({ "invite": 101, "users": { ALICE: 100, BOB: 101 } })),
        Some(json!({ "invite": -1, "users": { BOB: -2 } })),
        Some(json!({ "invite": "50", "users": { BOB: "50" } })),
        Some(json!({ "invite": [], "users": { BOB: 50 } })),
        Some(json!({ "invite": 50, "users": [] })),
    ];
    let (mut cells, mut can) = (0, 0);
    for (number, version) in versions() {
        for levels in &levels {
            for [alice, bob] in ["join", "leave", "invite", "ban", "knock"]
                .map(|is| ["join", is])
                .into_iter()
                .chain([["leave", "join"]])
            {
                for rule in ["restricted", "knock_restricted"] {
                    let mut state = state(Some(&json!({ "join_rule": rule, "allow": [] }).to_string()), None);
                    state.extend(
                        levels.as_ref().map(|levels| state_event("m.room.power_levels", "", &levels.to_string())),
                    );
                    state.extend([member(ALICE, alice), member(BOB, bob)]);
                    let room = CompiledRoom::compile(version, &state).expect("a create event");
                    let knows = number >= if rule == "restricted" { 8 } else { 10 };
                    for users in [&[ALICE, BOB][..], &[BOB, ALICE], &[ALICE], &[BOB], &[]] {
                        let ids = || users.iter().map(|id| user(id));
                        let found = authorizing_user(&room, &state, ids()).expect("a whole state");
                        let first = users.iter().copied().find(|id| takes(version, &state, id));
                        // In versions 8 and 9 `knock_restricted` is no rule, and nobody is asked.
                        if knows || number < 8 {
                            assert_eq!(
                                found.map(UserId::as_str),
                                first,
                                "{version} {levels:?} {alice} {bob} {users:?}"
                            );
                            cells += 1;
                            can += usize::from(found.is_some());
                        }
                        let reads = reads_of_authorizing_user(&room, ids());
                        let snapshot = Snapshot::of_events(&reads, state.iter());
                        assert_eq!(authorizing_user(&room, &snapshot, ids()), Ok(found));
                        let nothing = Snapshot::<Stored>::new();
                        assert_eq!(authorizing_user(&room, &nothing, ids()).is_err(), !reads.is_empty());
                    }
                }
            }
        }
    }
    assert_eq!((cells, can), (8250, 1287));
}

/// So many look-ups and not more, however many users a server has.
#[test]
fn few_of_many_users() {
    let ids: Vec<String> = (0..10_000).map(|number| format!("@{number}:a.example")).collect();
    let users = || ids.iter().map(|id| UserId::parse(id).expect("a user ID"));
    let mut state = state(Some(r#"{"join_rule":"restricted"}"#), None);
    let room = CompiledRoom::compile(RoomVersion::V10, &state).expect("a create event");
    // The level to invite is 0 where nothing is said.
    assert_eq!(reads_of_authorizing_user(&room, users()).len(), MAX_AUTHORIZING_USERS);
    state.extend([state_event("m.room.power_levels", "", r#"{"invite":50}"#)]);
    let closed = CompiledRoom::compile(RoomVersion::V10, &state).expect("a create event");
    assert!(reads_of_authorizing_user(&closed, users()).is_empty());
    assert_eq!(authorizing_user(&room, &state, users()), Ok(None));
    state.extend([member(&ids[MAX_AUTHORIZING_USERS], "join")]);
    assert_eq!(authorizing_user(&room, &state, users()), Ok(None));
    state.extend([member(&ids[MAX_AUTHORIZING_USERS - 1], "join")]);
    let found = authorizing_user(&room, &state, users()).expect("a whole state");
    assert_eq!(found.map(UserId::as_str), Some(&*ids[MAX_AUTHORIZING_USERS - 1]));
}
