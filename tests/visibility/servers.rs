//! What a server may see: what any of its users may.

use matrix_knock::event::Membership;
use matrix_knock::id::ServerName;
use matrix_knock::visibility::{
    EventVisibility, HistoryVisibility, JoinedLater, Stretch, UserAtEvent, VisibilityAtEvent,
};

use crate::{MESSAGE, member, pdus, setting, user};

fn rules(decided: &[EventVisibility]) -> Vec<u8> {
    decided.iter().map(|decided| decided.rule()).collect()
}

/// Nobody of the server ever was in the room: the world-readable and nothing else.
#[test]
fn without_a_user() {
    for before in HistoryVisibility::ALL {
        let expected = match before {
            HistoryVisibility::WorldReadable => EventVisibility::WorldReadable,
            _ => EventVisibility::Hidden,
        };
        assert_eq!(VisibilityAtEvent { before, after: None }.for_server([]), expected);
        let closed = VisibilityAtEvent { before, after: Some(HistoryVisibility::WorldReadable) };
        assert_eq!(closed.for_server([]), EventVisibility::WorldReadable);
    }
}

/// Every pair of users: visible to the server if it is to either of them.
#[test]
fn any_of_its_users() {
    let users = || {
        Membership::ALL.into_iter().flat_map(|before| {
            [JoinedLater::No, JoinedLater::Yes].map(|joined_later| UserAtEvent { before, after: None, joined_later })
        })
    };
    let mut pairs = 0;
    for before in HistoryVisibility::ALL {
        for after in [None].into_iter().chain(HistoryVisibility::ALL.map(Some)) {
            let room = VisibilityAtEvent { before, after };
            for one in users() {
                for other in users() {
                    let each = [one, other].map(|user| room.for_user(user));
                    let of_server = room.for_server([one, other]);
                    assert_eq!(of_server.rule(), each[0].rule().min(each[1].rule()));
                    assert_eq!(of_server.is_visible(), each[0].is_visible() || each[1].is_visible());
                    pairs += 1;
                }
            }
        }
    }
    assert_eq!(pairs, 2000);
}

/// A server whose user knocks, and is let in; beside it one whose user was in the room from the
/// start. Synapse says the same of every event but those marked, where it asks the state after the
/// event alone.
#[test]
fn the_server_of_a_knocker() {
    let texts = [
        MESSAGE.to_owned(),
        member("@kay:b.example", "knock"),
        setting("joined"),
        member("@kay:b.example", "invite"),
        MESSAGE.to_owned(),
        member("@kay:b.example", "join"),
        MESSAGE.to_owned(),
        // Synapse hides it from the server: it has no user in the room any more.
        member("@kay:b.example", "leave"),
        MESSAGE.to_owned(),
    ];
    let events = pdus(&texts);
    let stretch = Stretch { visibility: HistoryVisibility::Shared, joined_after: JoinedLater::No };
    let founder = [(user("@a:a.example"), Membership::Join)];
    let of = |server: &str| rules(&stretch.for_server(ServerName::parse(server).unwrap(), founder, &events));
    assert_eq!(of("b.example"), [3, 3, 3, 5, 5, 2, 2, 2, 5]);
    assert_eq!(of("a.example"), [2; 9]);
    assert_eq!(of("c.example"), [5; 9]);
}

/// A member event of the same membership again, and a user who is counted once.
#[test]
fn users_come_and_go() {
    let texts = [
        member("@kay:b.example", "join"),
        member("@kay:b.example", "join"),
        member("@lou:b.example", "join"),
        member("@kay:b.example", "leave"),
        MESSAGE.to_owned(),
        member("@lou:b.example", "ban"),
        MESSAGE.to_owned(),
        member("@kay:b.example", "invite"),
        MESSAGE.to_owned(),
        member("@kay:b.example", "knock"),
        MESSAGE.to_owned(),
    ];
    let stretch = Stretch { visibility: HistoryVisibility::Invited, joined_after: JoinedLater::No };
    let server = ServerName::parse("b.example").unwrap();
    let decided = stretch.for_server(server, [], pdus(&texts));
    assert_eq!(rules(&decided), [2, 2, 2, 2, 2, 2, 5, 4, 4, 4, 5]);
    // The same user given twice: the last counts.
    let twice = [(user("@kay:b.example"), Membership::Join), (user("@kay:b.example"), Membership::Leave)];
    assert_eq!(rules(&stretch.for_server(server, twice, pdus(&texts[4..5]))), [5]);
}
