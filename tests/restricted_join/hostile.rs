//! Hostile sizes.

use std::future::{Ready, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use matrix_knock::RoomVersion;
use matrix_knock::id::RoomId;
use matrix_knock::restricted_join::{AllowConditions, JoinBy, JoinCheck, MAX_CONDITION_ROOMS, MayJoin, RoomMembership};
use serde_json::json;

use super::within::within;
use super::{KAY, condition, look_up, room, state, user};

fn content(entries: &[String]) -> String {
    format!(r#"{{"join_rule":"restricted","allow":[{}]}}"#, entries.join(","))
}

fn conditions(what: &str, entries: &[String], bytes: u64, count: u64) -> AllowConditions {
    let content = content(entries);
    let read = within(what, bytes, count, || AllowConditions::of_content(RoomVersion::V10, &content));
    read.expect("a restricted room")
}

#[test]
fn ten_thousand_entries() {
    let rooms = |kind: &str| (0..10_000).map(|number| condition(&format!("!{kind}{number}")).to_string()).collect();
    let different: Vec<String> = rooms("n");
    let read = conditions("10,000 rooms", &different, 200_000, 13_000);
    assert_eq!(read.rooms().len(), MAX_CONDITION_ROOMS);
    // Some rooms were not looked at.
    assert_eq!(read.answer(look_up), MayJoin::NotKnown);

    for (position, expected) in [
        (MAX_CONDITION_ROOMS - 1, MayJoin::Yes(JoinBy::Condition(room("!j")))),
        (MAX_CONDITION_ROOMS, MayJoin::NotKnown),
    ] {
        let mut with_one = different.clone();
        with_one.insert(position, condition("!j").to_string());
        let read = conditions("with one that the user is joined to", &with_one, 200_000, 13_000);
        let mut asked = 0;
        let answer = read.answer(|room| {
            asked += 1;
            look_up(room)
        });
        assert_eq!((answer, asked), (expected, MAX_CONDITION_ROOMS));
    }

    let same = vec![condition("!n").to_string(); 10_000];
    let read = conditions("the same room 10,000 times", &same, 1_000, 10_010);
    assert_eq!((read.rooms().len(), read.answer(look_up)), (1, MayJoin::No));
    let malformed = vec![r#"{"type":"m.room_membership","room_id":"none"}"#.to_owned(); 10_000];
    let read = conditions("10,000 malformed ones", &malformed, 0, 0);
    assert_eq!((read.rooms().len(), read.answer(look_up)), (0, MayJoin::No));
    let other = vec![json!({ "type": "org.example.x", "via": ["a"] }).to_string(); 10_000];
    assert_eq!(conditions("10,000 unknown ones", &other, 0, 0).answer(look_up), MayJoin::No);
}

#[test]
fn a_bomb_in_via() {
    let via = |via: String| format!(r#"{{"type":"m.room_membership","via":{via},"room_id":"!j"}}"#);
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let many = format!("[{}]", vec![r#""a.example""#; 100_000].join(","));
    for bomb in [many, deep(100), format!(r#""{}""#, "x".repeat(1_000_000)), r#"{"a":{"a":[]}}"#.to_owned()] {
        let read = conditions("a bomb in `via`", &[via(bomb)], 500, 10);
        assert_eq!(read.answer(look_up), MayJoin::Yes(JoinBy::Condition(room("!j"))));
    }
    // Deeper than any event: the content cannot be read, and is no join rule.
    for levels in [126, 100_000] {
        assert_eq!(AllowConditions::of_content(RoomVersion::V10, &content(&[via(deep(levels))])), None);
    }
}

#[test]
fn long_room_ids() {
    let long = condition(&format!("!{}", "j".repeat(1_000_000))).to_string();
    let escaped = format!(r#"{{"type":"m.room_membership","room_id":"!{}"}}"#, r"\u006a".repeat(100_000));
    assert_eq!(conditions("long IDs", &[long, escaped], 400_000, 30).rooms().len(), 0);
}

/// The most rooms that fit into an event are looked at, so none of an event is left out.
#[test]
fn no_condition_of_an_event_is_left_out() {
    let alphabet: Vec<char> = ('0'..='9').chain('a'..='z').chain('A'..='Z').collect();
    let ids = alphabet.iter().flat_map(|one| alphabet.iter().map(move |other| format!("!{one}{other}")));
    let entries: Vec<String> = ids.take(MAX_CONDITION_ROOMS).map(|id| condition(&id).to_string()).collect();
    assert_eq!(entries.len(), MAX_CONDITION_ROOMS);
    assert!(content(&entries).len() > 65_536);
}

/// Asynchronous look-ups answer the same, and their errors come back.
#[test]
fn asynchronous_look_ups() {
    fn done<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(found) => found,
            Poll::Pending => panic!("nothing here waits"),
        }
    }
    let found = |id: RoomId<'_>| -> Ready<Result<RoomMembership, &'static str>> { ready(Ok(look_up(id))) };
    let rooms = ["!n", "!u", "!j"];
    for subset in [&rooms[..], &rooms[..2], &rooms[..1], &rooms[1..], &[]] {
        let entries: Vec<_> = subset.iter().map(|id| condition(id)).collect();
        let state = state(Some(&json!({ "join_rule": "restricted", "allow": entries }).to_string()), None);
        let check = JoinCheck::new(RoomVersion::V8, user(KAY), &state).expect("a whole state");
        assert_eq!(done(check.fetch(found)), Ok(check.answer(look_up)));
        let failed = done(check.fetch(|_| ready(Err::<RoomMembership, _>("no"))));
        assert_eq!(failed, if subset.is_empty() { Ok(MayJoin::No) } else { Err("no") });
    }
    let state = state(Some(r#"{"join_rule":"public"}"#), None);
    let check = JoinCheck::new(RoomVersion::V8, user(KAY), &state).expect("a whole state");
    assert_eq!(done(check.fetch(found)), Ok(MayJoin::Yes(JoinBy::Rules)));
}
