//! One decision: ours on the plain path, ours in a compiled room, ruma's. From events that were read before, on all sides.

use std::hint::black_box;
use std::sync::LazyLock;

use matrix_knock::NoVerifier;
use matrix_knock::auth::{CompiledRoom, authorize};
use ruma_common::room_version_rules::AuthorizationRules;
use ruma_state_res::check_state_dependent_auth_rules;

use super::Operation;
use super::room::{MODERATOR, Room, STRANGER, Stored, VERSION, WAITING, raw, stored};

static RULES: AuthorizationRules = AuthorizationRules::V10;

/// A change of membership, and whether it is allowed.
#[derive(Debug)]
pub(crate) struct Decision {
    pub(crate) name: &'static str,
    pub(crate) event: Stored<'static>,
    pub(crate) allowed: bool,
}

/// The decisions that knocking leads to, and the other ways into a room.
pub(crate) static DECISIONS: LazyLock<Vec<Decision>> = LazyLock::new(|| {
    let knock = r#"{"avatar_url":null,"displayname":"Kay","membership":"knock","reason":"Let me in, please"}"#;
    let join = format!(
        r#"{{"avatar_url":null,"displayname":"Kay","join_authorised_via_users_server":"{MODERATOR}","membership":"join"}}"#
    );
    let decision = |name, allowed, sender, target, content: &str| Decision {
        name,
        event: stored("m.room.member", target, sender, raw(content.to_owned())),
        allowed,
    };
    vec![
        decision("knock", true, STRANGER, STRANGER, knock),
        decision("knock_refused", false, MODERATOR, MODERATOR, knock),
        decision("accept", true, MODERATOR, WAITING, r#"{"displayname":"Wanda","membership":"invite"}"#),
        decision("decline", true, MODERATOR, WAITING, r#"{"membership":"leave","reason":"Not today"}"#),
        decision("ban", true, MODERATOR, WAITING, r#"{"membership":"ban","reason":"Not ever"}"#),
        decision("restricted_join", true, STRANGER, STRANGER, &join),
    ]
});

/// What is allowed on the plain path.
pub(crate) fn is_allowed(event: &Stored<'_>, room: &Room) -> bool {
    authorize(VERSION, black_box(event), black_box(&room.state), &NoVerifier).is_ok()
}

/// The same in a compiled room.
pub(crate) fn is_allowed_compiled(event: &Stored<'_>, room: &Room, compiled: &CompiledRoom) -> bool {
    black_box(compiled).authorize(black_box(event), black_box(&room.state), &NoVerifier).is_ok()
}

/// The same by ruma.
pub(crate) fn is_allowed_by_ruma(event: &Stored<'_>, room: &Room) -> bool {
    let room = black_box(room);
    let verdict =
        check_state_dependent_auth_rules(&RULES, black_box(event), |event_type, key| room.fetch(event_type, key));
    verdict.is_ok()
}

pub(crate) fn compile(room: &Room) -> CompiledRoom {
    CompiledRoom::compile(VERSION, &room.state).unwrap()
}

fn named(name: &str) -> &'static Decision {
    DECISIONS.iter().find(|decision| decision.name == name).unwrap()
}

pub(super) fn plain(name: &str, members: usize, levels: usize) -> Operation {
    let (Decision { event, allowed, .. }, room) = (named(name), Room::new(members, levels));
    Operation::new(
        move || is_allowed(event, room),
        move || is_allowed_by_ruma(event, room),
        |ours, ruma| ours == allowed && ruma == allowed,
    )
}

pub(super) fn compiled(name: &str, members: usize, levels: usize) -> Operation {
    let (Decision { event, allowed, .. }, room) = (named(name), Room::new(members, levels));
    let compiled = compile(room);
    Operation::new(
        move || is_allowed_compiled(event, room, &compiled),
        move || is_allowed_by_ruma(event, room),
        |ours, ruma| ours == allowed && ruma == allowed,
    )
}
