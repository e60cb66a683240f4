//! Who may see a summary.

use matrix_knock::event::{EventType, Membership};
use matrix_knock::state::{NotLookedUp, Snapshot};
use matrix_knock::summary::{SummaryAccess, access_of_server, access_of_user, reads_of_access};
use serde_json::json;

use super::{KAY, MEMBERSHIPS, look_up, sets, state, user, versions};

/// Join rules, and the version since which each counts.
const RULES: [(Option<&str>, u32); 7] = [
    (None, 0),
    (Some("public"), 1),
    (Some("invite"), 1),
    (Some("knock"), 7),
    (Some("restricted"), 8),
    (Some("knock_restricted"), 10),
    (Some("private"), 99),
];
const VISIBILITIES: [Option<&str>; 6] =
    [None, Some("world_readable"), Some("shared"), Some("invited"), Some("joined"), Some("World_readable")];

/// By the text: "the server should return any rooms where at least one of the following conditions
/// is true".
fn expected(
    number: u32,
    rule: (Option<&str>, u32),
    visibility: Option<&str>,
    own: Option<&str>,
    rooms: &[&str],
    is_known: bool,
) -> SummaryAccess {
    let (rule, since) = rule;
    let rule = rule.filter(|_| number >= since);
    let shown = [
        is_known && own == Some("join"),
        is_known && own == Some("invite"),
        rule == Some("public"),
        is_known && rule == Some("restricted") && rooms.iter().any(|id| id.starts_with("!j")),
        matches!(rule, Some("knock" | "knock_restricted")),
        visibility == Some("world_readable"),
    ];
    if shown.contains(&true) {
        return SummaryAccess::Shown;
    }
    match is_known && rule == Some("restricted") && rooms.iter().any(|id| id.starts_with("!u")) {
        true => SummaryAccess::NotKnown,
        false => SummaryAccess::Hidden,
    }
}

#[test]
fn who_may_see_it() {
    let mut counts = [0; 3];
    for (rule, visibility, rooms) in RULES.iter().flat_map(|rule| {
        VISIBILITIES.iter().flat_map(move |visibility| sets().map(move |rooms| (*rule, *visibility, rooms)))
    }) {
        let allow: Vec<_> = rooms.iter().map(|id| json!({ "type": "m.room_membership", "room_id": id })).collect();
        for own in MEMBERSHIPS {
            let rules =
                rule.0.map(|name| ("m.room.join_rules", "", json!({ "join_rule": name, "allow": allow }).to_string()));
            let history =
                visibility.map(|is| ("m.room.history_visibility", "", json!({ "history_visibility": is }).to_string()));
            let member = own.map(|is| ("m.room.member", KAY, json!({ "membership": is }).to_string()));
            let state = state(&rules.into_iter().chain(history).chain(member).collect::<Vec<_>>());
            for (number, version) in versions() {
                let what = format!("{version} {rule:?} {visibility:?} {own:?} {rooms:?}");
                let expected = |is_known| expected(number, rule, visibility, own, &rooms, is_known);
                let found = access_of_user(version, Some(user()), &state, look_up);
                assert_eq!(found, Ok(expected(true)), "{what}");
                let snapshot = Snapshot::of_events(&reads_of_access(Some(user())), state.iter());
                assert_eq!(access_of_user(version, Some(user()), &snapshot, look_up), found, "{what}");
                // Nobody is logged in: no room of the conditions is asked for.
                let unknown = access_of_user(version, None, &state, |id| panic!("asked for `{id}`"));
                assert_eq!(unknown, Ok(expected(false)), "{what}");
                // A server with this user, and others that are not in the room.
                let memberships = own.and_then(|own| own.parse().ok());
                let memberships = [Some(Membership::Leave), memberships, Some(Membership::Ban)].into_iter().flatten();
                let of_room = Snapshot::of_events(&reads_of_access(None), state.iter());
                assert_eq!(access_of_server(version, memberships, &of_room, look_up), Ok(expected(true)), "{what}");
                let [shown, hidden, not_known] = &mut counts;
                *match expected(true) {
                    SummaryAccess::Shown => shown,
                    SummaryAccess::Hidden => hidden,
                    SummaryAccess::NotKnown => not_known,
                } += 1;
            }
        }
    }
    assert_eq!(counts.iter().sum::<usize>(), 7 * 6 * 16 * 6 * 12);
    assert_eq!(counts, [29_424, 18_760, 200]);
    let nothing = Snapshot::<super::Stored>::new();
    let error = NotLookedUp::new(EventType::HistoryVisibility, "");
    assert_eq!(access_of_user(matrix_knock::RoomVersion::V10, None, &nothing, look_up), Err(error));
}
