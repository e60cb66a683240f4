//! The product.

use matrix_knock::RoomVersion;
use matrix_knock::event::EventType;
use matrix_knock::restricted_join::{AllowConditions, JoinBy, JoinCheck, MayJoin, RefusedJoin};
use matrix_knock::state::{NotLookedUp, Snapshot, StateMap};
use serde_json::json;

use super::kay::MEMBERSHIPS;
use super::{ALICE, KAY, Stored, condition, look_up, room, state, user, versions};

/// Join rules, and the version since which each is known; 99 for those that no version knows, 0 for
/// a room without join rules, which counts as `invite`.
const RULES: [(Option<&str>, u32); 8] = [
    (None, 0),
    (Some("public"), 1),
    (Some("invite"), 1),
    (Some("knock"), 7),
    (Some("restricted"), 8),
    (Some("knock_restricted"), 10),
    (Some("private"), 99),
    (Some("Restricted"), 99),
];

/// The rooms of known conditions in their order: joined, not joined, unknown, joined, unknown.
const ROOMS: [&str; 5] = ["!n:a.example", "!u1:c.example", "!j1:a.example", "!j2:d.example", "!u2"];

/// Entries of which none is a condition. If one counted, the look-up would be asked for a room that
/// it does not have, or Kay would be in it.
fn malformed() -> Vec<String> {
    let texts = [
        "null",
        "true",
        "1",
        r#""!j3:a.example""#,
        "[]",
        r#"["!j3:a.example"]"#,
        "{}",
        r#"{"type":"m.room_membership"}"#,
        r#"{"room_id":"!j3:a.example"}"#,
        r#"{"type":null,"room_id":"!j3:a.example"}"#,
        r#"{"type":["m.room_membership"],"room_id":"!j3:a.example"}"#,
        r#"{"type":"org.example.moon_phase","room_id":"!j3:a.example"}"#,
        r#"{"type":"M.ROOM_MEMBERSHIP","room_id":"!j3:a.example"}"#,
        r#"{"type":"m.room_membership","type":"m.room_membership","room_id":"!j3:a.example"}"#,
        r#"{"type":"m.room_membership","room_id":"!j3:a.example","room_id":"!j3:a.example"}"#,
        r#"{"type":"m.room_membership","room_id":null}"#,
        r#"{"type":"m.room_membership","room_id":["!j3:a.example"]}"#,
        r#"{"type":"m.room_membership","room_id":""}"#,
        r#"{"type":"m.room_membership","room_id":"!"}"#,
        r##"{"type":"m.room_membership","room_id":"#j3:a.example"}"##,
        r#"{"type":"m.room_membership","room_id":"!j3:a_b"}"#,
        r#"{"type":"m.room_membership","room_id":"!j3\u0000:a.example"}"#,
        r#"{"type":"m.room_membership","room":"!j3:a.example"}"#,
    ];
    let long = json!({ "type": "m.room_membership", "room_id": format!("!j{}:a.example", "3".repeat(250)) });
    texts.into_iter().map(str::to_owned).chain([long.to_string()]).collect()
}

/// What Kay may, by the text.
///
/// <https://spec.matrix.org/v1.19/rooms/v8/#authorization-rules> (4.3),
/// <https://spec.matrix.org/v1.19/server-server-api/#restricted-rooms>
fn expected<'r>(number: u32, rule: (Option<&str>, u32), own: Option<&str>, rooms: &[&'r str]) -> MayJoin<'r> {
    let (rule, since) = rule;
    let is_inside = matches!(own, Some("invite" | "join"));
    match rule {
        // "If the sender is banned, reject."
        _ if own == Some("ban") => MayJoin::No,
        // "Otherwise, reject", for rules that the version does not have.
        _ if number < since => MayJoin::No,
        Some("public") => MayJoin::Yes(JoinBy::Rules),
        _ if is_inside => MayJoin::Yes(JoinBy::Rules),
        Some("restricted" | "knock_restricted") => {
            let known = |kind: &str| rooms.iter().copied().find(|id| id.starts_with(kind));
            match (known("!j"), known("!u")) {
                // "satisfies at least one of the conditions"
                (Some(joined), _) => MayJoin::Yes(JoinBy::Condition(room(joined))),
                // "does not have state information about rooms required by the conditions"
                (None, Some(_)) => MayJoin::NotKnown,
                // "fails all conditions"; "if no conditions are available, or none match"
                (None, None) => MayJoin::No,
            }
        }
        _ => MayJoin::No,
    }
}

/// The answer of a resident server, by the text.
fn answer(may: MayJoin<'_>, has_authorizing_user: bool) -> (u16, &'static str) {
    match may {
        MayJoin::Yes(JoinBy::Rules) => (200, ""),
        MayJoin::Yes(JoinBy::Condition(_)) if has_authorizing_user => (200, ALICE),
        MayJoin::Yes(JoinBy::Condition(_)) => (400, "M_UNABLE_TO_GRANT_JOIN"),
        MayJoin::NotKnown => (400, "M_UNABLE_TO_AUTHORISE_JOIN"),
        MayJoin::No => (403, "M_FORBIDDEN"),
    }
}

fn check_answer(may: MayJoin<'_>) {
    for authorizing_user in [None, Some(user(ALICE))] {
        let found = match may.grant(authorizing_user) {
            Ok(user) => (200, user.map(|user| user.as_str().to_owned()).unwrap_or_default()),
            Err(refused) => {
                let response = refused.to_response();
                assert_eq!(RefusedJoin::of_errcode(response.errcode()), Some(refused));
                assert_eq!(refused.another_server_may(), response.status() == 400);
                (response.status(), response.errcode().to_string())
            }
        };
        let (status, what) = answer(may, authorizing_user.is_some());
        assert_eq!(found, (status, what.to_owned()));
    }
}

#[test]
fn every_version_rule_membership_condition_and_malformed_entry() {
    let malformed = malformed();
    let (mut cells, mut counts) = (0, [0; 4]);
    for subset in 0..1_u32 << ROOMS.len() {
        let named: Vec<&str> = (0..).zip(ROOMS).filter(|(bit, _)| subset & 1 << bit != 0).map(|(_, id)| id).collect();
        let entries: Vec<String> = named.iter().map(|id| condition(id).to_string()).collect();
        let with = |more: &str, is_first: bool| {
            let (before, behind) = if is_first { (Some(more), None) } else { (None, Some(more)) };
            before.into_iter().chain(entries.iter().map(String::as_str)).chain(behind).collect::<Vec<_>>().join(",")
        };
        let lists = malformed.iter().flat_map(|more| [with(more, true), with(more, false)]).chain([entries.join(",")]);
        for list in lists {
            for rule in RULES {
                let content = rule.0.map(|name| format!(r#"{{"allow":[{list}],"join_rule":"{name}"}}"#));
                for own in MEMBERSHIPS {
                    let state = state(content.as_deref(), own);
                    for (number, version) in versions() {
                        let what = || format!("{version} {rule:?} {own:?} {list}");
                        let check = JoinCheck::new(version, user(KAY), &state).expect("a whole state");
                        let found = check.answer(look_up);
                        let expected = expected(number, rule, own, &named);
                        assert_eq!(found, expected, "{}", what());
                        // Conditions are looked at where they matter, and nowhere else.
                        let matter = number >= rule.1
                            && matches!(rule.0, Some("restricted" | "knock_restricted"))
                            && !matches!(own, Some("invite" | "join" | "ban"));
                        let rooms: &[&str] = if matter { &named } else { &[] };
                        assert_eq!(check.rooms(), rooms, "{}", what());
                        check_answer(found);
                        let join = match found {
                            MayJoin::Yes(by) => Some(by),
                            MayJoin::No | MayJoin::NotKnown => None,
                        };
                        assert_eq!(
                            (found.join_instead(), check.rejection().is_none()),
                            (join, expected == MayJoin::Yes(JoinBy::Rules))
                        );
                        cells += 1;
                        let [rules, condition, no, not_known] = &mut counts;
                        *match found {
                            MayJoin::Yes(JoinBy::Rules) => rules,
                            MayJoin::Yes(JoinBy::Condition(_)) => condition,
                            MayJoin::No => no,
                            MayJoin::NotKnown => not_known,
                        } += 1;
                    }
                }
            }
        }
    }
    assert_eq!(cells, 32 * 49 * 8 * 6 * 14);
    assert_eq!(counts, [257_152, 38_808, 748_034, 9_702]);
}

#[test]
fn an_allow_that_is_no_list_has_no_condition() {
    let entry = condition("!j1:a.example");
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    for (number, version) in versions() {
        for (rule, since) in [("restricted", 8), ("knock_restricted", 10)] {
            let has_conditions = number >= since;
            for allow in [
                String::new(),
                r#","allow":null"#.to_owned(),
                r#","allow":true"#.to_owned(),
                r#","allow":"!j1:a.example""#.to_owned(),
                format!(r#","allow":{entry}"#),
                r#","allow":[]"#.to_owned(),
                format!(r#","allow":[[{entry}]]"#),
                format!(r#","allow":[{entry}],"allow":[{entry}]"#),
                format!(r#","Allow":[{entry}]"#),
                format!(r#","allow":[{}]"#, deep(100)),
            ] {
                let content = format!(r#"{{"join_rule":"{rule}"{allow}}}"#);
                let conditions = AllowConditions::of_content(version, &content);
                assert_eq!(conditions, has_conditions.then(AllowConditions::default), "{version} {content}");
                let state = state(Some(&content), None);
                assert_eq!(AllowConditions::of(version, &state), Ok(conditions), "{version} {content}");
                let check = JoinCheck::new(version, user(KAY), &state).expect("a whole state");
                assert_eq!(check.answer(look_up), MayJoin::No, "{version} {content}");
            }
            // What cannot be read as a whole is no join rule, so nobody comes in by it.
            for content in [
                format!(r#"{{"join_rule":"{rule}","allow":[{entry}]"#),
                format!(r#"{{"join_rule":"{rule}","allow":[{entry}],"x":{}}}"#, deep(128)),
            ] {
                assert_eq!(AllowConditions::of_content(version, &content), None);
            }
        }
    }
}

/// The way of writing does not matter, and neither does what else stands in an entry.
#[test]
fn the_same_conditions_written_in_other_ways() {
    for entry in [
        r#"{"type":"m.room_membership","room_id":"!j1:a.example"}"#,
        r#" { "room_id" : "\u0021j1:a.example" , "ty\u0070e" : "m.room\u005fmembership" } "#,
        r#"{"via":["a.example",{"x":[]}],"room_id":"!j1:a.example","type":"m.room_membership","x":1.5e9}"#,
    ] {
        let content = format!(r#"{{"join_rule":"restricted","allow":[{entry},{entry}]}}"#);
        let conditions = AllowConditions::of_content(RoomVersion::V8, &content).expect("conditions");
        assert_eq!(conditions.rooms(), ["!j1:a.example"]);
        assert_eq!(conditions, AllowConditions::of_rooms([room("!j1:a.example"), room("!j1:a.example")]));
    }
}

/// From what it says that it reads it decides as from the whole state; without it, not at all.
#[test]
fn what_is_read() {
    let entry = condition("!j1:a.example");
    let (mut decided, mut not_decided) = (0, 0);
    for (_, version) in versions() {
        for rule in ["public", "invite", "restricted", "knock_restricted"] {
            for own in MEMBERSHIPS {
                let whole = state(Some(&json!({ "join_rule": rule, "allow": [entry] }).to_string()), own);
                let check = JoinCheck::new(version, user(KAY), &whole).expect("a whole state");
                let reads = JoinCheck::reads(version, user(KAY));
                let snapshot = Snapshot::of_events(&reads, whole.iter());
                assert_eq!(JoinCheck::new(version, user(KAY), &snapshot).as_ref(), Ok(&check));
                for (left_out, key) in reads.iter() {
                    let fewer = reads.iter().filter(|read| *read != (left_out, key)).collect();
                    match JoinCheck::new(version, user(KAY), &Snapshot::of_events(&fewer, whole.iter())) {
                        Ok(found) => {
                            assert_eq!(found, check, "{version} {rule} {own:?} without {left_out}");
                            decided += 1;
                        }
                        Err(error) => {
                            assert_eq!((error.event_type(), error.state_key()), (left_out, key));
                            not_decided += 1;
                        }
                    }
                }
                let of_conditions = Snapshot::of_events(&AllowConditions::reads(), whole.iter());
                assert_eq!(AllowConditions::of(version, &of_conditions), AllowConditions::of(version, &whole));
            }
        }
    }
    let nothing = Snapshot::<Stored>::new();
    assert_eq!(AllowConditions::of(RoomVersion::V8, &nothing), Err(NotLookedUp::new(EventType::JoinRules, "")));
    assert_eq!((decided, not_decided), (392, 952));
}

/// A room without a create event lets nobody in, and no condition is looked at.
#[test]
fn without_a_create_event() {
    let mut whole =
        state(Some(&json!({ "join_rule": "restricted", "allow": [condition("!j1:a.example")] }).to_string()), None);
    whole.remove(EventType::Create, "");
    let check = JoinCheck::new(RoomVersion::V8, user(KAY), &whole).expect("a whole state");
    assert_eq!((check.answer(look_up), check.rooms().len()), (MayJoin::No, 0));
    let nothing = StateMap::<Stored>::new();
    let check = JoinCheck::new(RoomVersion::V8, user(KAY), &nothing).expect("a whole state");
    assert_eq!(check.answer(look_up), MayJoin::No);
}
