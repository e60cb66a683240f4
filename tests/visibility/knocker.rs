//! What a knocker may read, before, during and after: every way from outside over a knock, under
//! every visibility.

use matrix_knock::event::Membership;
use matrix_knock::visibility::{EventVisibility, HistoryVisibility, JoinedLater, Stretch};

use crate::{MESSAGE, member, pdus, setting, user};

const KAY: &str = "@kay:b.example";

/// The decisions on the events of a room in which one message follows each membership of the
/// knocker: on the messages, and on the member events.
fn read(visibility: HistoryVisibility, memberships: &[&str]) -> (Vec<EventVisibility>, Vec<EventVisibility>) {
    let mut texts = vec![MESSAGE.to_owned()];
    texts.extend(memberships.iter().flat_map(|membership| [member(KAY, membership), MESSAGE.to_owned()]));
    let stretch = Stretch { visibility, joined_after: JoinedLater::No };
    let decided = stretch.for_user(user(KAY), Membership::Leave, pdus(&texts));
    let at = |odd: usize| decided.iter().copied().enumerate().filter(move |(at, _)| at % 2 == odd);
    (at(0).map(|(_, decided)| decided).collect(), at(1).map(|(_, decided)| decided).collect())
}

/// Before the knock, while it waits, after it was declined, banned or taken back, and while
/// knocking again: what is world-readable and nothing else. The knock itself and its end are no
/// exception.
#[test]
fn a_knock_gives_no_right_to_read() {
    let ways: [&[&str]; 6] = [
        &["knock"],
        &["knock", "knock"],
        &["knock", "leave"],
        &["knock", "ban"],
        &["knock", "ban", "leave"],
        &["knock", "leave", "knock", "leave", "knock"],
    ];
    for way in ways {
        for visibility in HistoryVisibility::ALL {
            let (messages, members) = read(visibility, way);
            let expected = match visibility {
                HistoryVisibility::WorldReadable => EventVisibility::WorldReadable,
                _ => EventVisibility::Hidden,
            };
            assert!(messages.iter().chain(&members).all(|decided| *decided == expected), "{visibility}: {way:?}");
            assert_eq!((messages.len(), members.len()), (way.len() + 1, way.len()));
        }
    }
}

/// Accepted and joined: `shared` opens all that came before, the knock and the time of the knock
/// included; `invited` opens what came since the invite; `joined` what came since the join. Digits
/// are rules: before, knock, invite, join, leave.
#[test]
fn after_the_knock_was_accepted() {
    let way = ["knock", "invite", "join", "leave"];
    for (visibility, messages, members) in [
        (HistoryVisibility::WorldReadable, [1, 1, 1, 1, 1], [1, 1, 1, 1]),
        (HistoryVisibility::Shared, [3, 3, 3, 2, 5], [3, 3, 2, 2]),
        (HistoryVisibility::Invited, [5, 5, 4, 2, 5], [5, 4, 2, 2]),
        (HistoryVisibility::Joined, [5, 5, 5, 2, 5], [5, 5, 2, 2]),
    ] {
        let decided = read(visibility, &way);
        let rules = |decided: Vec<EventVisibility>| decided.iter().map(|decided| decided.rule()).collect::<Vec<_>>();
        assert_eq!((rules(decided.0), rules(decided.1)), (messages.to_vec(), members.to_vec()), "{visibility}");
    }
    // The invite that answers the knock is not taken up: nothing under `shared`, what came since
    // then under `invited`.
    for (visibility, messages) in [
        (HistoryVisibility::Shared, [5, 5, 5, 5]),
        (HistoryVisibility::Invited, [5, 5, 4, 5]),
        (HistoryVisibility::Joined, [5, 5, 5, 5]),
    ] {
        let (decided, _) = read(visibility, &["knock", "invite", "leave"]);
        assert_eq!(decided.iter().map(|decided| decided.rule()).collect::<Vec<_>>(), messages, "{visibility}");
    }
}

/// A room that is opened to the world and closed again while somebody knocks: they may read what
/// was sent in between, and both events that changed the setting.
#[test]
fn a_room_that_is_open_for_a_while() {
    let texts = [
        MESSAGE.to_owned(),
        member(KAY, "knock"),
        setting("world_readable"),
        MESSAGE.to_owned(),
        member(KAY, "leave"),
        setting("joined"),
        MESSAGE.to_owned(),
    ];
    let stretch = Stretch { visibility: HistoryVisibility::Shared, joined_after: JoinedLater::No };
    let decided = stretch.for_user(user(KAY), Membership::Leave, pdus(&texts));
    let visible: Vec<bool> = decided.iter().map(|decided| decided.is_visible()).collect();
    assert_eq!(visible, [false, false, true, true, true, true, false]);
}
