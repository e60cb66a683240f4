//! One decision: ours on the plain path, ours in a compiled room, ruma's. From events that were read before, on all sides: with what the
//! trait of each side asks of an event. Ours has a place for what was read of the content, ruma's has not.

use std::hint::black_box;
use std::sync::LazyLock;

use matrix_knock::NoVerifier;
use matrix_knock::auth::{CompiledRoom, authorize};
use ruma_common::room_version_rules::AuthorizationRules;
use ruma_state_res::check_state_dependent_auth_rules;

use super::Operation;
use super::room::{MODERATOR, Room, STRANGER, Stored, VERSION, WAITING, leaked, raw, stored};

static RULES: AuthorizationRules = AuthorizationRules::V10;

/// A change of membership, and whether it is allowed.
#[derive(Debug)]
pub(crate) struct Decision {
    pub(crate) name: &'static str,
    /// Of the room that it is made on.
    pub(crate) join_rule: &'static str,
    pub(crate) event: Stored<'static>,
    pub(crate) allowed: bool,
}

/// The decisions that knocking leads to, and the other ways into a room.
pub(crate) static DECISIONS: LazyLock<Vec<Decision>> = LazyLock::new(|| {
    let knock = r#"{"displayname":"Kay","membership":"knock","reason":"Let me in, please"}"#;
    let join = format!(
        r#"{{"avatar_url":null,"displayname":"Kay","join_authorised_via_users_server":"{MODERATOR}","membership":"join"}}"#
    );
    let decision = |name, join_rule, allowed, sender, target, content: &str| Decision {
        name,
        join_rule,
        event: stored("m.room.member", target, sender, raw(content.to_owned())),
        allowed,
    };
    vec![
        decision("knock", "knock", true, STRANGER, STRANGER, knock),
        decision("knock_bare", "knock", true, STRANGER, STRANGER, r#"{"membership":"knock"}"#),
        decision("knock_refused", "knock", false, MODERATOR, MODERATOR, knock),
        decision("accept", "knock", true, MODERATOR, WAITING, r#"{"displayname":"Wanda","membership":"invite"}"#),
        decision("decline", "knock", true, MODERATOR, WAITING, r#"{"membership":"leave","reason":"Not today"}"#),
        decision("ban", "knock", true, MODERATOR, WAITING, r#"{"membership":"ban","reason":"Not ever"}"#),
        decision("restricted_join", "restricted", true, STRANGER, STRANGER, &join),
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
    let fetch = |event_type: &_, key: &str| room.fetch(event_type, key);
    check_state_dependent_auth_rules(&RULES, black_box(event), fetch).is_ok()
}

/// The same by ruma over our look-up.
fn is_allowed_by_ruma_from_ours(event: &Stored<'_>, room: &Room) -> bool {
    let room = black_box(room);
    let fetch = |event_type: &_, key: &str| room.fetch_from_ours(event_type, key);
    check_state_dependent_auth_rules(&RULES, black_box(event), fetch).is_ok()
}

pub(crate) fn compile(room: &Room) -> CompiledRoom {
    CompiledRoom::compile(VERSION, &room.state).unwrap()
}

fn prepare(name: &str, members: usize, levels: usize) -> (&'static Decision, &'static Room) {
    let decision = DECISIONS.iter().find(|decision| decision.name == name).unwrap();
    (decision, Room::new(members, levels, decision.join_rule))
}

pub(super) fn plain(name: &str, members: usize, levels: usize) -> Operation {
    let (decision, room) = prepare(name, members, levels);
    plain_on(&decision.event, room, decision.allowed)
}

/// The plain path with nothing kept of the contents on our side either.
pub(super) fn plain_unread(name: &str, members: usize, levels: usize) -> Operation {
    let (decision, room) = prepare(name, members, levels);
    plain_on(leaked_event(decision.event.with_content_unread()), room.with_contents_unread(), decision.allowed)
}

fn plain_on(event: &'static Stored<'static>, room: &'static Room, allowed: bool) -> Operation {
    Operation::new(
        move || is_allowed(event, room),
        move || is_allowed_by_ruma(event, room),
        move |ours, ruma| *ours == allowed && *ruma == allowed,
    )
}

/// The plain path, with our look-up under both.
pub(crate) fn plain_with_one_look_up(name: &str, members: usize, levels: usize) -> Operation {
    let (Decision { event, allowed, .. }, room) = prepare(name, members, levels);
    Operation::new(
        move || is_allowed(event, room),
        move || is_allowed_by_ruma_from_ours(event, room),
        |ours, ruma| ours == allowed && ruma == allowed,
    )
}

pub(super) fn compiled(name: &str, members: usize, levels: usize) -> Operation {
    let (decision, room) = prepare(name, members, levels);
    compiled_on(&decision.event, room, decision.allowed)
}

/// A compiled room with nothing kept of the contents on our side either.
pub(super) fn compiled_unread(name: &str, members: usize, levels: usize) -> Operation {
    let (decision, room) = prepare(name, members, levels);
    compiled_on(leaked_event(decision.event.with_content_unread()), room.with_contents_unread(), decision.allowed)
}

fn compiled_on(event: &'static Stored<'static>, room: &'static Room, allowed: bool) -> Operation {
    let compiled = compile(room);
    Operation::new(
        move || is_allowed_compiled(event, room, &compiled),
        move || is_allowed_by_ruma(event, room),
        move |ours, ruma| *ours == allowed && *ruma == allowed,
    )
}

/// The knocks of so many strangers: where a look-up looks depends on the name.
const STRANGERS: usize = 64;

fn strangers() -> &'static [Stored<'static>] {
    let content = DECISIONS.iter().find(|decision| decision.name == "knock").unwrap().event.content;
    let users = (0..STRANGERS).map(|number| leaked(format!("@strange{number:02}:b.example")));
    users.map(|user| stored("m.room.member", user, user, content)).collect::<Vec<_>>().leak()
}

pub(super) fn plain_of_strangers(members: usize) -> Operation {
    let (events, room) = (strangers(), Room::new(members, 5, "knock"));
    Operation::new(
        move || events.iter().filter(|event| is_allowed(event, room)).count(),
        move || events.iter().filter(|event| is_allowed_by_ruma(event, room)).count(),
        |ours, ruma| [*ours, *ruma] == [STRANGERS; 2],
    )
}

pub(super) fn compiled_of_strangers(members: usize) -> Operation {
    let (events, room) = (strangers(), Room::new(members, 5, "knock"));
    let compiled = compile(room);
    Operation::new(
        move || events.iter().filter(|event| is_allowed_compiled(event, room, &compiled)).count(),
        move || events.iter().filter(|event| is_allowed_by_ruma(event, room)).count(),
        |ours, ruma| [*ours, *ruma] == [STRANGERS; 2],
    )
}

fn leaked_event(event: Stored<'static>) -> &'static Stored<'static> {
    Box::leak(Box::new(event))
}
