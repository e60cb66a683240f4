//! The index of pending knocks beside a model: a list in order of arrival, and the room's current
//! state.
//!
//! Whatever happens in the room (knocks, repeated ones, answers, retractions, redactions, events
//! that come again, malformed ones), and wherever the index is stored in between, it lists what the
//! model lists, and says of each event what it did. At each step the state that has come of it,
//! read at once, gives the same knocks.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#knocking-on-rooms>,
//! <https://spec.matrix.org/v1.19/client-server-api/#redactions>
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot be set up fails")]

#[path = "pending_model/model.rs"]
mod model;
#[path = "pending_model/room.rs"]
mod room;

use std::collections::BTreeSet;
use std::sync::Mutex;

use matrix_knock::RoomVersion;
use matrix_knock::event::{Pdu, event_id};
use matrix_knock::pending::{Knocker, PendingKnocks, Position, Update};
use model::{Entry, Model};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use room::{Content, Said, Sent};

/// What happens to the room, or to the index.
#[derive(Debug, Clone)]
enum Step {
    /// A member event becomes a part of the state.
    Happens { user: u8, content: Content, by_oneself: bool, time: Option<i64>, noted: bool },
    /// The member event of a user arrives once more, as the state has it.
    Again(Index),
    /// As it was sent at first: the redaction is undone for nobody.
    AgainAsSent(Index),
    /// The member event of a user is redacted.
    Redacted(Index),
    /// An event of the past is the user's member event again, after state resolution.
    Replayed(Index),
    /// Something that is no member event.
    Stranger(&'static str),
    /// The user's member event is no longer a part of the state.
    Removed(u8),
    /// The host stops, and goes on with what it has stored.
    Stored,
}

const STRANGERS: [&str; 4] = [
    r#"{"type":"m.room.message","sender":"@u1:b","content":{"membership":"knock"}}"#,
    r#"{"type":"m.room.member","sender":"@u1:b","content":{"membership":"knock"},"event_id":"$x"}"#,
    r#"{"type":"m.room.name","sender":"@u1:b","state_key":"@u1:b","content":{"membership":"knock"},"event_id":"$x"}"#,
    r#"{"type":"M.room.member","sender":"@u1:b","state_key":"@u1:b","content":{"membership":"leave"},"event_id":"$x"}"#,
];

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![
        2 => Just(Said::Nothing),
        4 => "[a-z\"\\\\é🔔\u{0}-\u{1f}]{0,6}".prop_map(Said::Text),
        1 => select(vec!["null", "1", "[\"x\"]", "{}", "true"]).prop_map(Said::Otherwise),
        1 => "[a-z]{1,3}".prop_map(Said::Twice),
    ]
}

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![
        6 => (select(room::WRITTEN.to_vec()), said(), said(), said()).prop_map(
            |(written, reason, displayname, avatar_url)| Content::Knock { written, reason, displayname, avatar_url }
        ),
        3 => select(vec!["invite", "leave", "ban", "join", "knocking", ""]).prop_map(Content::Other),
        1 => select(room::MALFORMED.to_vec()).prop_map(Content::Malformed),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let happens =
        (0..12_u8, content(), prop::bool::weighted(0.9), prop::option::weighted(0.9, -2..3_i64), any::<bool>())
            .prop_map(|(user, content, by_oneself, time, noted)| Step::Happens {
                user,
                content,
                by_oneself,
                time,
                noted,
            });
    prop_oneof![
        8 => happens,
        1 => any::<Index>().prop_map(Step::Again),
        1 => any::<Index>().prop_map(Step::AgainAsSent),
        3 => any::<Index>().prop_map(Step::Redacted),
        1 => any::<Index>().prop_map(Step::Replayed),
        1 => select(STRANGERS.to_vec()).prop_map(Step::Stranger),
        1 => (0..12_u8).prop_map(Step::Removed),
        1 => Just(Step::Stored),
    ]
}

fn entry(knocker: &Knocker) -> Entry {
    Entry {
        user: knocker.user().to_owned(),
        event_id: knocker.event_id().to_owned(),
        time: knocker.origin_server_ts(),
        reason: knocker.reason().map(str::to_owned),
        displayname: knocker.displayname().map(str::to_owned),
        avatar_url: knocker.avatar_url().map(str::to_owned),
    }
}

fn entries(index: &PendingKnocks) -> Vec<Entry> {
    index.iter().map(entry).collect()
}

fn positions(index: &PendingKnocks) -> Vec<(u64, String)> {
    let all = index.after(Position::START);
    all.map(|(position, knocker)| (position.to_token(), knocker.user().to_owned())).collect()
}

/// Gives the index an event as a host does: with the ID that it has computed or noted, and its
/// time.
fn apply(index: &mut PendingKnocks, event: &Sent, text: &str) -> Update {
    let pdu = Pdu::parse_stored(text).expect("an event in outline").with_event_id(event.id.as_str());
    index.apply(&pdu, event.time).expect("an event with an ID")
}

/// Which updates the random sequences have led to: all of them have to.
static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Goes one step in the room, the index and the model, and compares what the index says of it.
fn go(step: &Step, version: RoomVersion, index: &mut PendingKnocks, model: &mut Model) -> Result<(), TestCaseError> {
    let (found, expected) = match step {
        Step::Happens { user, content, by_oneself, time, noted } => {
            let sent = Sent::new(version, model.sent.len(), *user, content.clone(), *by_oneself, *time, *noted);
            (apply(index, &sent, &sent.text), model.happen(sent))
        }
        Step::Again(which) => {
            let Some(stands) = model.standing(which) else { return Ok(()) };
            (apply(index, &stands.sent, &stands.text), Update::Nothing)
        }
        Step::AgainAsSent(which) => {
            let Some(stands) = model.standing(which) else { return Ok(()) };
            (apply(index, &stands.sent, &stands.sent.text), Update::Nothing)
        }
        Step::Redacted(which) => {
            let Some(stands) = model.standing(which) else { return Ok(()) };
            let redacted = stands.sent.redacted();
            if stands.sent.is_knock() {
                // A redaction leaves the event its ID.
                prop_assert_eq!(event_id(version, &room::without_note(&redacted)).unwrap(), &*stands.sent.id);
            }
            let user = stands.sent.user.clone();
            (apply(index, &stands.sent, &redacted), model.redact(&user))
        }
        Step::Replayed(which) => {
            if model.sent.is_empty() {
                return Ok(());
            }
            let sent = which.get(&model.sent).clone();
            (apply(index, &sent, &sent.text), model.happen_again(&sent))
        }
        Step::Stranger(text) => {
            let pdu = Pdu::parse(text).expect("an event");
            (index.apply(&pdu, 1).expect("nothing that needs an ID"), Update::Nothing)
        }
        Step::Removed(user) => {
            let user = room::user(*user);
            prop_assert_eq!(index.remove(&user).as_ref().map(entry), model.remove(&user));
            return Ok(());
        }
        Step::Stored => {
            let stored = serde_json::to_string(&index).expect("it can be stored");
            let again: PendingKnocks = serde_json::from_str(&stored).expect("what was stored");
            prop_assert_eq!((&again, positions(&again)), (&*index, positions(index)));
            *index = again;
            return Ok(());
        }
    };
    SEEN.lock().unwrap().insert(format!("{found:?}"));
    prop_assert_eq!(found, expected, "{:?}", step);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    fn beside_the_model(version in select(RoomVersion::ALL[6..].to_vec()), steps in prop::collection::vec(step(), 0..120)) {
        let (mut index, mut model) = (PendingKnocks::new(), Model::default());
        for step in &steps {
            let before = positions(&index);
            let knocks_before = model.waiting.clone();
            go(step, version, &mut index, &mut model)?;

            prop_assert_eq!(entries(&index), &*model.waiting, "{:?}", step);
            prop_assert_eq!((index.len(), index.is_empty()), (model.waiting.len(), model.waiting.is_empty()));
            for number in 0..12 {
                let user = room::user(number);
                let waiting = model.waiting.iter().find(|entry| entry.user == user).cloned();
                prop_assert_eq!(index.knocker(&user).map(entry), waiting);
            }

            // Who stays with the same event keeps the place; who comes stands behind all that ever
            // was there.
            let after = positions(&index);
            let highest = before.last().map_or(0, |(position, _)| *position);
            for (position, user) in &after {
                let id = |entries: &[Entry]| {
                    entries.iter().find(|entry| entry.user == *user).map(|entry| entry.event_id.clone())
                };
                match id(&knocks_before) == id(&model.waiting) {
                    true => prop_assert!(before.contains(&(*position, user.clone())), "{:?}", step),
                    false => prop_assert!(*position > highest, "{:?}", step),
                }
            }

            // The state that has come of it, in whatever order.
            let mut texts: Vec<String> = model.state.values().map(|stands| stands.text.clone()).collect();
            if let Some(middle) = steps.len().checked_rem(texts.len()) {
                texts.rotate_left(middle);
            }
            let read = PendingKnocks::from_state(version, &texts);
            prop_assert_eq!(entries(&read), model.by_time());
            // The same state, event by event in that order, is the same index.
            let mut one_by_one = PendingKnocks::new();
            for user in read.iter().map(Knocker::user) {
                let stands = model.state.get(user).expect("whoever knocks is in the state");
                prop_assert_eq!(apply(&mut one_by_one, &stands.sent, &stands.text), Update::Knocked);
            }
            prop_assert_eq!(one_by_one, read);
        }
    }
}

#[test]
fn random_sequences() {
    beside_the_model();
    let seen: Vec<String> = SEEN.lock().unwrap().iter().cloned().collect();
    assert_eq!(seen, ["Ended", "Knocked", "KnockedAgain", "Nothing", "Redacted"]);
}

/// The case of the report: what a moderator has redacted is gone from the list at once.
#[test]
fn a_redacted_knock_is_not_on_show() {
    for version in &RoomVersion::ALL[6..] {
        let said = |text: &str| Said::Text(text.to_owned());
        let abusive = Content::Knock {
            written: r#""knock""#,
            reason: said("abusive text"),
            displayname: said("abusive name"),
            avatar_url: said("mxc://b/abusive"),
        };
        let mut index = PendingKnocks::new();
        let first = Sent::new(*version, 0, 1, abusive.clone(), true, Some(5), false);
        let second = Sent::new(*version, 1, 2, abusive, true, Some(6), true);
        assert_eq!(apply(&mut index, &first, &first.text), Update::Knocked);
        assert_eq!(apply(&mut index, &second, &second.text), Update::Knocked);
        let before = positions(&index);
        assert_eq!(before.len(), 2);

        let bare = |sent: &Sent| Entry { reason: None, displayname: None, avatar_url: None, ..sent.entry() };
        assert_eq!(apply(&mut index, &first, &first.redacted()), Update::Redacted);
        assert_eq!(entries(&index), [bare(&first), second.entry()]);
        assert_eq!(positions(&index), before);
        // A second time there is nothing left to forget; and the event as it was sent brings
        // nothing back.
        assert_eq!(apply(&mut index, &first, &first.redacted()), Update::Nothing);
        assert_eq!(apply(&mut index, &first, &first.text), Update::Nothing);
        assert_eq!(apply(&mut index, &second, &second.redacted()), Update::Redacted);
        assert_eq!(entries(&index), [bare(&first), bare(&second)]);
        assert_eq!(index, PendingKnocks::from_state(*version, [second.redacted(), first.redacted()]));
    }
}
