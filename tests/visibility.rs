//! History visibility: every cell of the decision beside the table of the text, stretches of the
//! timeline beside their events one by one, and what a knocker may read.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#room-history-visibility>
#![expect(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot be set up fails"
)]

#[path = "visibility/knocker.rs"]
mod knocker;
#[path = "visibility/malformed.rs"]
mod malformed;
#[path = "visibility/one_by_one.rs"]
mod one_by_one;
#[path = "visibility/recorded.rs"]
mod recorded;
#[path = "visibility/servers.rs"]
mod servers;
#[path = "visibility/stretches.rs"]
mod stretches;
#[path = "visibility/table.rs"]
mod table;

use matrix_knock::event::{EventType, Membership, Pdu};
use matrix_knock::id::UserId;
use matrix_knock::state::{Snapshot, StateMap};
use matrix_knock::visibility::{
    EventVisibility, HistoryVisibility, JoinedLater, UserAtEvent, VisibilityAtEvent, reads,
};
use table::Table;

/// A state event of a room.
fn state_event(event_type: &str, state_key: &str, content: &str) -> String {
    format!(r#"{{"type":"{event_type}","state_key":"{state_key}","sender":"@a:a.example","content":{content}}}"#)
}

fn member(user: &str, membership: &str) -> String {
    state_event("m.room.member", user, &format!(r#"{{"membership":"{membership}"}}"#))
}

fn setting(visibility: &str) -> String {
    state_event("m.room.history_visibility", "", &format!(r#"{{"history_visibility":"{visibility}"}}"#))
}

const MESSAGE: &str = r#"{"type":"m.room.message","sender":"@a:a.example","content":{"body":"Hello"}}"#;

fn pdus(texts: &[String]) -> Vec<Pdu<'_>> {
    texts.iter().map(|text| Pdu::parse_stored(text).expect("an event")).collect()
}

fn user(id: &str) -> UserId<'_> {
    UserId::parse(id).expect("a user ID")
}

/// All that the decision can be asked, against the table of the text.
#[test]
fn the_whole_product() {
    let table = Table::read();
    let (mut cells, mut visible) = (0, 0);
    for cell in table::cells() {
        let room = VisibilityAtEvent { before: cell.visibility, after: cell.visibility_after };
        let of_user = UserAtEvent {
            before: cell.membership,
            after: cell.membership_after,
            joined_later: if cell.joined_later { JoinedLater::Yes } else { JoinedLater::No },
        };
        let decided = room.for_user(of_user);
        assert_eq!(decided.rule(), table.rule(cell), "{cell:?}");
        assert_eq!(decided.is_visible(), decided.rule() != 5);
        // A server with this one user.
        assert_eq!(room.for_server([of_user]), decided, "{cell:?}");
        cells += 1;
        visible += usize::from(decided.is_visible());
    }
    assert_eq!((cells, visible), (1200, VISIBLE));
}

/// How many cells of the product are visible.
const VISIBLE: usize = 920;

#[test]
fn each_rule_says_its_reason() {
    let reasons = EventVisibility::ALL.map(|decided| (decided.rule(), decided.to_string()));
    let expected = [
        (1, "the history is `world_readable` at the event"),
        (2, "the user is joined at the event"),
        (3, "the history is `shared` at the event, and the user joined later"),
        (4, "the history is `invited` at the event, and the user is invited"),
        (5, "no rule lets the user see the event"),
    ];
    assert_eq!(reasons, expected.map(|(rule, reason)| (rule, reason.to_owned())));
}

/// What the decision asks is read from the state before the event, and the event.
#[test]
fn read_from_a_state() {
    let kay = user("@kay:b.example");
    let texts = [setting("joined"), member("@kay:b.example", "invite"), member("@lou:b.example", "join")];
    let state: StateMap<Pdu<'_>> = pdus(&texts).into_iter().collect();
    let reads = reads(kay);
    assert_eq!(reads.len(), 2);
    let snapshot = Snapshot::of_events(&reads, pdus(&texts));
    let both = |event: &str| {
        let event = Pdu::parse(event).unwrap();
        let room = VisibilityAtEvent::read(&event, &state);
        let of_user = UserAtEvent::read(kay, &event, &state, JoinedLater::Yes);
        assert_eq!(VisibilityAtEvent::read(&event, &snapshot), room);
        assert_eq!(UserAtEvent::read(kay, &event, &snapshot, JoinedLater::Yes), of_user);
        (room.unwrap(), of_user.unwrap())
    };
    let before = HistoryVisibility::Joined;
    let invited = UserAtEvent { before: Membership::Invite, after: None, joined_later: JoinedLater::Yes };
    let unchanged = VisibilityAtEvent { before, after: None };
    assert_eq!(both(MESSAGE), (unchanged, invited));
    let opened = VisibilityAtEvent { before, after: Some(HistoryVisibility::WorldReadable) };
    assert_eq!(both(&setting("world_readable")), (opened, invited));
    let joining = UserAtEvent { after: Some(Membership::Join), ..invited };
    assert_eq!(both(&member("@kay:b.example", "join")), (unchanged, joining));
    assert_eq!(both(&member("@lou:b.example", "leave")), (unchanged, invited));

    // Neither is set: `shared`, and outside.
    let (event, none) = (Pdu::parse(MESSAGE).unwrap(), StateMap::<Pdu<'_>>::new());
    let unset = VisibilityAtEvent { before: HistoryVisibility::Shared, after: None };
    assert_eq!(VisibilityAtEvent::read(&event, &none), Ok(unset));
    assert_eq!(UserAtEvent::read(kay, &event, &none, JoinedLater::No), Ok(UserAtEvent::OUTSIDER));

    let empty = Snapshot::<Pdu<'_>>::new();
    let missing = VisibilityAtEvent::read(&event, &empty).unwrap_err();
    assert_eq!((missing.event_type(), missing.state_key()), (EventType::HistoryVisibility, ""));
    let missing = UserAtEvent::read(kay, &event, &empty, JoinedLater::No).unwrap_err();
    assert_eq!((missing.event_type(), missing.state_key()), (EventType::Member, "@kay:b.example"));
}
