//! Whether a user may join by what a summary says, and whether the room can be knocked on.

use matrix_knock::RoomVersion;
use matrix_knock::id::RoomId;
use matrix_knock::restricted_join::{JoinBy, MayJoin};
use matrix_knock::summary::RoomSummary;
use matrix_knock::sync::{Knockable, summary_is_knockable};
use serde_json::json;

use super::{MEMBERSHIPS, ROOM, look_up, sets};

const RULES: [(Option<&str>, u32); 9] = [
    (None, 1),
    (Some("public"), 1),
    (Some("invite"), 1),
    (Some("knock"), 7),
    (Some("restricted"), 8),
    (Some("knock_restricted"), 10),
    (Some("private"), 99),
    (Some(""), 99),
    (Some("x.example.rule"), 99),
];

/// As in a room that this server is in; without a version that is known, what every version says.
fn expected<'r>(number: Option<u32>, rule: (Option<&str>, u32), own: Option<&str>, rooms: &[&'r str]) -> MayJoin<'r> {
    let (rule, since) = rule;
    let is_inside = matches!(own, Some("invite" | "join"));
    let by_conditions = || match [("!j"), ("!u")].map(|kind| rooms.iter().copied().find(|id| id.starts_with(kind))) {
        [Some(joined), _] => MayJoin::Yes(JoinBy::Condition(RoomId::parse(joined).expect("a room ID"))),
        [None, Some(_)] => MayJoin::NotKnown,
        [None, None] => MayJoin::No,
    };
    let inside = if is_inside { MayJoin::Yes(JoinBy::Rules) } else { MayJoin::No };
    match (number, rule.unwrap_or("public")) {
        _ if own == Some("ban") => MayJoin::No,
        (_, "public") => MayJoin::Yes(JoinBy::Rules),
        (_, "private") => MayJoin::No,
        (_, "invite") => inside,
        (None, "knock") if !is_inside => MayJoin::No,
        (None, _) => MayJoin::NotKnown,
        (Some(number), _) if number < since => MayJoin::No,
        (Some(_), "restricted" | "knock_restricted") if !is_inside => by_conditions(),
        (Some(_), _) => inside,
    }
}

#[test]
fn by_what_a_summary_says() {
    let names: Vec<String> = (1..=13).map(|number: u32| number.to_string()).collect();
    let versions =
        (1..).zip(&names).map(|(number, name)| (Some(number).filter(|number| *number <= 12), Some(name.as_str())));
    let (mut cells, mut counts) = (0, [0; 3]);
    for (number, version) in versions.chain([(None, None), (None, Some("07"))]) {
        for rule in RULES {
            for own in MEMBERSHIPS {
                for rooms in sets() {
                    let mut text = json!({ "room_id": ROOM, "allowed_room_ids": rooms });
                    let optional = [("room_version", version), ("join_rule", rule.0), ("membership", own)];
                    let object = text.as_object_mut().expect("an object");
                    object.extend(
                        optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value?)))),
                    );
                    let summary = RoomSummary::parse(&text.to_string()).expect("a summary");
                    let found = summary.may_join(&RoomVersion::ALL, look_up);
                    assert_eq!(found, expected(number, rule, own, &rooms), "{text}");
                    let knockable = summary_is_knockable(version, rule.0, &RoomVersion::ALL);
                    assert_eq!(summary.knockable(&RoomVersion::ALL), knockable, "{text}");
                    cells += 1;
                    let [yes, no, not_known] = &mut counts;
                    *match knockable {
                        Knockable::Yes => yes,
                        Knockable::No => no,
                        Knockable::NotKnown => not_known,
                    } += 1;
                }
            }
        }
    }
    assert_eq!(cells, 15 * 9 * 6 * 16);
    assert_eq!(counts, [864, 10_944, 1_152]);
}
