//! Stretches at once beside their events one by one: whatever happens in the room.

use std::collections::BTreeSet;

use matrix_knock::event::{Event as _, Membership, Pdu};
use matrix_knock::id::ServerName;
use matrix_knock::state::StateMap;
use matrix_knock::visibility::{EventVisibility, HistoryVisibility, JoinedLater, Stretch};
use proptest::prelude::*;
use proptest::sample::select;

use crate::table::Table;
use crate::{MESSAGE, member, one_by_one, pdus, setting, state_event, user};

const USERS: [&str; 5] =
    ["@kay:b.example", "@lou:b.example", "@max:c.example", "@kay:b.example:8448", "@nobody:a.example"];
const SERVERS: [&str; 4] = ["b.example", "c.example", "b.example:8448", "d.example"];

/// Contents that give no membership and no visibility.
const ODD: [&str; 8] = [
    "{}",
    "[]",
    r#"{"membership":"x","history_visibility":"x"}"#,
    r#"{"membership":1,"history_visibility":null}"#,
    r#"{"membership":"join","membership":"join","history_visibility":"joined","history_visibility":"joined"}"#,
    r#"{"membership":["join"],"history_visibility":["invited"]}"#,
    r#"{"Membership":"join","History_visibility":"invited"}"#,
    r#"{"membership":"\u006aoin","history_visibility":"\u006aoined"}"#,
];

/// An event that changes something, seems to, or does not.
fn event() -> impl Strategy<Value = String> {
    let visibility = select(HistoryVisibility::ALL.to_vec());
    let membership = select(Membership::ALL.to_vec());
    prop_oneof![
        6 => (select(USERS.to_vec()), membership).prop_map(|(user, membership)| member(user, membership.as_str())),
        4 => visibility.prop_map(|visibility| setting(visibility.as_str())),
        3 => Just(MESSAGE.to_owned()),
        1 => (select(USERS.to_vec()), select(ODD.to_vec())).prop_map(|(user, content)| {
            state_event("m.room.member", user, content)
        }),
        1 => select(ODD.to_vec()).prop_map(|content| state_event("m.room.history_visibility", "", content)),
        // Not the room's setting, and nobody's membership.
        1 => select(vec![
            state_event("m.room.history_visibility", "x", r#"{"history_visibility":"world_readable"}"#),
            setting("world_readable").replace(r#""state_key":"","#, ""),
            member("@kay:b.example", "join").replace(r#""state_key":"@kay:b.example","#, ""),
            member("@kay:b.example", "join").replace("m.room.member", "m.room.members"),
            member("", "join"),
        ]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn at_once_and_one_by_one(
        before in proptest::collection::vec(event(), 0..6),
        events in proptest::collection::vec(event(), 0..30),
        joined_after in select(vec![JoinedLater::Yes, JoinedLater::No]),
    ) {
        let table = Table::read();
        let before: Vec<_> = before.into_iter().filter(|text| text.contains("state_key")).collect();
        let state: StateMap<Pdu<'_>> = pdus(&before).into_iter().filter(|event| event.state_key().is_some()).collect();
        let events = pdus(&events);
        let stretch = Stretch { visibility: one_by_one::start(&state), joined_after };
        let mut of_users = Vec::new();
        for id in USERS {
            let of_user = BTreeSet::from([id.to_owned()]);
            let membership = one_by_one::memberships(&of_user, &state).first().map_or(Membership::Leave, |of| of.1);
            let at_once = stretch.for_user(user(id), membership, &events);
            prop_assert_eq!(&at_once, &one_by_one::for_user(user(id), &state, &events, joined_after, &table));
            of_users.push((id, at_once));
        }
        let users: BTreeSet<String> = USERS.map(str::to_owned).into();
        let memberships = one_by_one::memberships(&users, &state);
        for name in SERVERS {
            let server = ServerName::parse(name).unwrap();
            let at_once = stretch.for_server(server, memberships.clone(), &events);
            let of_server: BTreeSet<String> =
                users.iter().filter(|id| user(id).server_name() == server).cloned().collect();
            if of_server.is_empty() && joined_after == JoinedLater::Yes {
                // Somebody comes who is not among the users.
                continue;
            }
            prop_assert_eq!(&at_once, &one_by_one::for_server(&of_server, &state, &events, joined_after));
            // A server may see what any of its users may. (`joined_after` is about any of them.)
            for (at, decided) in at_once.iter().enumerate() {
                let visible_to_users = of_users
                    .iter()
                    .filter(|(id, _)| of_server.contains(*id))
                    .any(|(_, decided)| decided[at].is_visible());
                let without_users = *decided == EventVisibility::WorldReadable;
                prop_assert_eq!(decided.is_visible(), visible_to_users || without_users);
            }
        }
    }

    /// Cut anywhere, a stretch gives the same: a page is decided by what holds at its start and
    /// what comes after it.
    #[test]
    fn page_by_page(events in proptest::collection::vec(event(), 0..40), cut in any::<prop::sample::Index>()) {
        let events = pdus(&events);
        let kay = user("@kay:b.example");
        let whole = Stretch { visibility: HistoryVisibility::Joined, joined_after: JoinedLater::No };
        let (first, second) = events.split_at(cut.index(events.len() + 1));
        let closed = [setting("joined")];
        let mut state: StateMap<Pdu<'_>> = pdus(&closed).into_iter().collect();
        let joins = second.iter().any(|event| {
            event.event_type() == "m.room.member"
                && event.state_key() == Some(kay.as_str())
                && event.member_facts().membership() == Some(Membership::Join)
        });
        let joined_after = if joins { JoinedLater::Yes } else { JoinedLater::No };
        let mut pages = Stretch { joined_after, ..whole }.for_user(kay, Membership::Leave, first);
        state.extend(first.iter().cloned());
        let of_kay = BTreeSet::from([kay.as_str().to_owned()]);
        let membership = one_by_one::memberships(&of_kay, &state).first().map_or(Membership::Leave, |of| of.1);
        let second_page = Stretch { visibility: one_by_one::start(&state), ..whole };
        pages.extend(second_page.for_user(kay, membership, second));
        prop_assert_eq!(pages, whole.for_user(kay, Membership::Leave, &events));
    }
}

#[test]
fn nothing_at_all() {
    let stretch = Stretch { visibility: HistoryVisibility::WorldReadable, joined_after: JoinedLater::Yes };
    assert_eq!(stretch.for_user(user("@kay:b.example"), Membership::Join, Vec::<Pdu<'_>>::new()), []);
}
