//! Rooms with all that a step may ask for.

use matrix_knock::RoomVersion;
use matrix_knock::stripped_state::TYPES;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::generators::{Host, USERS, states};

pub(crate) const ROOM: &str = "!room:home";

fn event(event_type: &'static str, contents: &'static [&'static str]) -> impl Strategy<Value = Host> {
    select(contents).prop_map(move |content| Host::new(event_type, "", USERS[0], content))
}

/// What is not in the rooms of the decisions: the ACL, the policy server, what a room shows of itself.
fn surroundings() -> impl Strategy<Value = Vec<Host>> {
    let acl = event(
        "m.room.server_acl",
        &[
            r#"{"allow":["*"]}"#,
            r#"{"allow":["*"],"deny":["away"]}"#,
            r#"{"allow":["h*"]}"#,
            r#"{"allow":["*"],"deny":["home"]}"#,
            "{}",
            "[",
        ],
    );
    let policy = event(
        "m.room.policy",
        &[
            r#"{"via":"home"}"#,
            r#"{"via":"home","public_keys":{"ed25519":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}}"#,
            r#"{"via":"policy.example","public_keys":{}}"#,
            r#"{"via":1}"#,
            "[",
        ],
    );
    let shown = select(&TYPES[2..]).prop_map(|event_type| Host::new(event_type.as_str(), "", USERS[1], r#"{"a":1}"#));
    let acl = option::weighted(0.4, acl);
    (acl, option::of(policy), vec(shown, 0..4))
        .prop_map(|(acl, policy, shown)| acl.into_iter().chain(policy).chain(shown).collect())
}

/// A room as rooms are: whoever decides on it reads all that there is to read.
fn sound() -> impl Strategy<Value = Vec<Host>> {
    let create = event(
        "m.room.create",
        &[
            r#"{"creator":"@alice:home"}"#,
            r#"{"creator":"@bob:home","additional_creators":["@carol:home"]}"#,
            r#"{"creator":"@alice:home","m.federate":false}"#,
        ],
    );
    let join_rules = event(
        "m.room.join_rules",
        &[
            r#"{"join_rule":"knock"}"#,
            r#"{"join_rule":"knock"}"#,
            r#"{"join_rule":"knock_restricted","allow":[]}"#,
            r#"{"join_rule":"restricted","allow":[]}"#,
            r#"{"join_rule":"public"}"#,
            r#"{"join_rule":"invite"}"#,
        ],
    );
    let power_levels = event(
        "m.room.power_levels",
        &[
            "{}",
            r#"{"users":{"@alice:home":100,"@bob:home":50},"invite":50}"#,
            r#"{"users":{"@alice:home":100,"@dave:away":100},"kick":0,"ban":0}"#,
        ],
    );
    let membership = || option::weighted(0.7, select(&["join", "join", "knock", "leave", "invite", "ban"][..]));
    let members = [membership(), membership(), membership(), membership()].prop_map(|members| {
        let members = USERS.into_iter().zip(members);
        members
            .filter_map(|(user, is)| Some(Host::member(user, user, format!(r#"{{"membership":"{}"}}"#, is?))))
            .collect()
    });
    let members = members.prop_map(|members: Vec<Host>| members);
    (create, option::weighted(0.9, join_rules), option::weighted(0.8, power_levels), members).prop_map(
        |(create, join_rules, power_levels, members)| {
            [create].into_iter().chain(join_rules).chain(power_levels).chain(members).collect()
        },
    )
}

/// A room, sound or not, whose events know their IDs.
pub(crate) fn rooms() -> impl Strategy<Value = Vec<Host>> {
    let room = prop_oneof![2 => sound(), 1 => states()];
    (room, surroundings()).prop_map(|(room, surroundings)| room.into_iter().chain(surroundings).collect())
}

/// The same events as a server of this version has them: with IDs of their own, in one room, which since version 12 the create
/// event names.
pub(crate) fn of_version(version: RoomVersion, events: Vec<Host>) -> (String, Vec<Host>) {
    let room_id = match version >= RoomVersion::V12 {
        true => event_id(0).replacen('$', "!", 1),
        false => ROOM.to_owned(),
    };
    let placed = events.into_iter().enumerate().map(|(position, event)| {
        let is_create = event.event_type == "m.room.create";
        Host {
            event_id: Some(event_id(if is_create { 0 } else { position + 1 })),
            room_id: Some(room_id.clone()).filter(|_| version < RoomVersion::V12 || !is_create),
            ..event
        }
    });
    let placed = placed.collect();
    (room_id, placed)
}

/// An event ID as all versions write it.
fn event_id(number: usize) -> String {
    format!("${number:A>43}")
}
