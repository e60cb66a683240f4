//! Pending knocks: the index against a naive one, who may answer against the rules asked one user at a time.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test that cannot be set up fails")]

use std::collections::{BTreeMap, BTreeSet};

use matrix_knock::RoomVersion;
use matrix_knock::auth::{AuthorizeError, CompiledRoom, Rule, authorize_proposal};
use matrix_knock::event::{Membership, Pdu, Proposal};
use matrix_knock::pending::{
    Answer, Answerers, Answering, Knocker, NoEventId, NotAnswered, PendingKnocks, Position, Refused, Update,
};
use matrix_knock::state::StateMap;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

const ROOMS: &str = include_str!("vectors/rooms.jsonl");

fn parse(text: &str) -> Pdu<'_> {
    Pdu::parse(text).expect("an event")
}

/// What happens to a user in a test: the member event, all but its ID.
#[derive(Debug, Clone)]
struct Happening {
    user: u8,
    membership: &'static str,
    time: u8,
    reason: Option<String>,
}

impl Happening {
    fn user(&self) -> String {
        format!("@u{}:b", self.user)
    }

    fn is_knock(&self) -> bool {
        self.membership == "knock"
    }

    fn text(&self, event_id: &str) -> String {
        let user = self.user();
        let mut content = json!({ "membership": self.membership, "displayname": format!("User {}", self.user) });
        if let Some(reason) = &self.reason {
            content["reason"] = json!(reason);
        }
        json!({
            "type": "m.room.member", "state_key": user, "sender": user, "content": content, "event_id": event_id,
            "origin_server_ts": self.time,
        })
        .to_string()
    }
}

fn happening() -> impl Strategy<Value = Happening> {
    let memberships = select(vec!["knock", "knock", "knock", "leave", "invite", "join", "ban", "knocking"]);
    let reason = proptest::option::of("[a-z\"\\\\é🔔\u{0}-\u{1f}]{0,6}");
    (0..40_u8, memberships, 0..4_u8, reason).prop_map(|(user, membership, time, reason)| Happening {
        user,
        membership,
        time,
        reason,
    })
}

/// An entry of the naive index, and of ours.
type Entry = (String, String, i64, Option<String>);

fn entry(knocker: &Knocker) -> Entry {
    (
        knocker.user().to_owned(),
        knocker.event_id().to_owned(),
        knocker.origin_server_ts(),
        knocker.reason().map(str::to_owned),
    )
}

fn apply(index: &mut PendingKnocks, happening: &Happening, event_id: &str) -> Update {
    let text = happening.text(event_id);
    index.apply(&parse(&text), happening.time.into()).expect("an event with an ID")
}

/// The same in the naive way.
fn apply_naively(naive: &mut Vec<Entry>, happening: &Happening, event_id: &str) -> Update {
    let before = naive.len();
    naive.retain(|(user, ..)| *user != happening.user());
    let was_pending = naive.len() != before;
    if happening.is_knock() {
        naive.push((happening.user(), event_id.to_owned(), happening.time.into(), happening.reason.clone()));
    }
    match (happening.is_knock(), was_pending) {
        (true, true) => Update::KnockedAgain,
        (true, false) => Update::Knocked,
        (false, true) => Update::Ended,
        (false, false) => Update::Nothing,
    }
}

/// A JSON text in which every letter of these words is written as an escape by number.
fn escaped(text: &str, words: &[&str]) -> String {
    words.iter().fold(text.to_owned(), |text, word| {
        let escaped: String = word.chars().map(|letter| format!("\\u{:04x}", u32::from(letter))).collect();
        text.replace(&format!("\"{word}\""), &format!("\"{escaped}\""))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn the_index_is_the_naive_one(happenings in proptest::collection::vec(happening(), 0..200)) {
        let (mut index, mut naive) = (PendingKnocks::new(), Vec::new());
        for (number, happening) in happenings.iter().enumerate() {
            let event_id = format!("${number}");
            let update = apply(&mut index, happening, &event_id);
            prop_assert_eq!(update, apply_naively(&mut naive, happening, &event_id));
            if happening.is_knock() {
                prop_assert_eq!(apply(&mut index, happening, &event_id), Update::Nothing);
            }
            prop_assert_eq!(index.iter().map(entry).collect::<Vec<_>>(), naive.clone());
            prop_assert_eq!((index.len(), index.is_empty()), (naive.len(), naive.is_empty()));
            let found = index.knocker(&happening.user()).map(entry);
            prop_assert_eq!(found, naive.iter().find(|(user, ..)| *user == happening.user()).cloned());
        }
        let reversed: Vec<_> = index.iter().rev().map(entry).collect();
        prop_assert_eq!(reversed, naive.iter().rev().cloned().collect::<Vec<_>>());
        for (user, ..) in &naive {
            prop_assert_eq!(index.remove(user).map(|knocker| knocker.user().to_owned()), Some(user.clone()));
            prop_assert_eq!(index.remove(user), None);
        }
        prop_assert_eq!(index, PendingKnocks::new());
    }

    /// Between two pages anything may happen: no event comes twice, and none that is there from the first page to the
    /// last is left out.
    #[test]
    fn pages(
        first in proptest::collection::vec(happening(), 0..100),
        between in proptest::collection::vec(proptest::collection::vec(happening(), 0..20), 10),
        size in 1..8_usize,
    ) {
        let mut index = PendingKnocks::new();
        let mut number = 0_u32;
        let mut happen = |index: &mut PendingKnocks, happenings: &[Happening]| {
            for happening in happenings {
                number = number.checked_add(1).expect("few events");
                apply(index, happening, &format!("${number}"));
            }
        };
        happen(&mut index, &first);
        let mut always: BTreeSet<Entry> = index.iter().map(entry).collect();
        let (mut seen, mut position) = (Vec::new(), Position::START);
        let mut between = between.into_iter();
        loop {
            let page: Vec<_> = index.after(position).take(size).collect();
            let Some((last, _)) = page.last() else { break };
            position = Position::from_token(last.to_token());
            seen.extend(page.iter().map(|(_, knocker)| entry(knocker)));
            happen(&mut index, &between.next().unwrap_or_default());
            let now: BTreeSet<Entry> = index.iter().map(entry).collect();
            always.retain(|entry| now.contains(entry));
        }
        let once: BTreeSet<Entry> = seen.iter().cloned().collect();
        prop_assert_eq!(once.len(), seen.len());
        prop_assert!(always.is_subset(&once));
    }

    /// From a state, in whatever order and writing: as if its events had been applied in the order of their times.
    #[test]
    fn rebuilt_from_a_state(
        happenings in proptest::collection::vec(happening(), 0..60),
        writing in select(vec![
            &[][..], &["knock"], &["m.room.member"], &["type"], &["content", "membership"], &["state_key", "knock"],
        ]),
        backwards: bool,
    ) {
        let state: BTreeMap<u8, &Happening> = happenings.iter().map(|happening| (happening.user, happening)).collect();
        let mut entries: Vec<_> = state.values().map(|happening| (happening.time, format!("${}", happening.user), *happening)).collect();
        let mut texts: Vec<_> = entries.iter().map(|(_, id, happening)| escaped(&happening.text(id), writing)).collect();
        // What looks like a knock and is none.
        texts.push(r#"{"type":"m.room.join_rules","state_key":"","content":{"join_rule":"knock"}}"#.to_owned());
        texts.push(r#"{"type":"m.room.members","state_key":"@x:b","event_id":"$x","content":{"membership":"knock"}}"#.to_owned());
        texts.push(r#"{"type":"m.room.member","event_id":"$x","content":{"membership":"knock"}}"#.to_owned());
        texts.push(r#"{"type":"m.room.member","state_key":"@x:b","event_id":"$x","content":["membership","knock"]}"#.to_owned());
        texts.push(r#"{"type":"m.room.member","state_key":"@x:b","event_id":"$x","content":{"membership":"knock"}"#.to_owned());
        if backwards {
            texts.reverse();
        }
        let mut naive = PendingKnocks::new();
        entries.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
        for (_, id, happening) in entries {
            apply(&mut naive, happening, &id);
        }
        prop_assert_eq!(PendingKnocks::from_state(RoomVersion::V10, &texts), naive);
    }
}

#[test]
fn a_knocker() {
    let text = r#"{"type":"m.room.member","state_key":"@kay:b","sender":"@kay:b","event_id":"$k","origin_server_ts":-5,
        "content":{"membership":"knock","reason":"\u00e9\n","displayname":"Kay \"K\"","avatar_url":"mxc://b/k"}}"#;
    let rebuilt = PendingKnocks::from_state(RoomVersion::V10, [text]);
    let mut applied = PendingKnocks::new();
    assert_eq!(applied.apply(&parse(text), -5), Ok(Update::Knocked));
    assert_eq!(applied, rebuilt);
    let kay = rebuilt.knocker("@kay:b").expect("a knocker");
    assert_eq!((kay.user(), kay.event_id(), kay.origin_server_ts()), ("@kay:b", "$k", -5));
    assert_eq!(
        [kay.reason(), kay.displayname(), kay.avatar_url()],
        [Some("é\n"), Some("Kay \"K\""), Some("mxc://b/k")]
    );
    assert_ne!(applied, PendingKnocks::new());

    // What no state has: no name, no time, and a time that is none.
    for time in ["", r#""origin_server_ts":"1","#, r#""origin_server_ts":1.5,"#] {
        let text = format!(r#"{{{time}"type":"m.room.member","state_key":"@x:y","content":{{"membership":"knock"}}}}"#);
        let index = PendingKnocks::from_state(RoomVersion::V3, [&text]);
        let knocker = index.knocker("@x:y").expect("a knocker");
        assert_eq!((knocker.origin_server_ts(), knocker.reason(), knocker.displayname()), (0, None, None));
        assert!(knocker.event_id().starts_with('$'));
        // In the first versions the event has to say its ID.
        assert!(PendingKnocks::from_state(RoomVersion::V1, [&text]).is_empty());
    }
}

#[test]
fn what_is_applied_without_effect() {
    let mut index = PendingKnocks::new();
    let knock = r#"{"type":"m.room.member","state_key":"@kay:b","sender":"@kay:b","content":{"membership":"knock"}}"#;
    assert_eq!(index.apply(&parse(knock), 0), Err(NoEventId));
    assert_eq!(NoEventId.to_string(), "the knock has no event ID");
    let with_id = |text: &str| index.clone().apply(&parse(text).with_event_id("$k"), 0);
    assert_eq!(with_id(knock), Ok(Update::Knocked));
    assert_eq!(with_id(&knock.replace("m.room.member", "m.room.name")), Ok(Update::Nothing));
    assert_eq!(with_id(&knock.replace(r#""state_key":"@kay:b","#, "")), Ok(Update::Nothing));
    // What is no readable knock is none: it ends the one that was there.
    index.apply(&parse(knock).with_event_id("$k"), 0).expect("an event with an ID");
    let malformed = knock.replace(r#"{"membership":"knock"}"#, "[]");
    assert_eq!(index.apply(&parse(&malformed), 0), Ok(Update::Ended));
}

/// However often users knock: what is over does not add up.
#[test]
fn memory_is_for_what_is_pending() {
    let mut index = PendingKnocks::new();
    for number in 0..5_000_u32 {
        let user = u8::try_from(number % 50).expect("a small number");
        let knock = Happening { user, membership: "knock", time: 0, reason: None };
        apply(&mut index, &knock, &format!("${number}"));
        let slots = format!("{index:?}").matches("Slot").count();
        assert!(slots <= 101, "{slots} slots for {} knocks", index.len());
    }
}

/// The current state of every recorded room, by event ID; the IDs are computed, since the texts do not have them.
#[test]
fn recorded_rooms() {
    let mut found = 0;
    for line in ROOMS.lines() {
        let room: Value = serde_json::from_str(line).expect("a room");
        let version: RoomVersion = room["room_version"].as_str().expect("a version").parse().expect("a version");
        let ids: BTreeSet<&str> =
            room["current_state"].as_array().expect("IDs").iter().filter_map(Value::as_str).collect();
        let state: Vec<&Value> = room["events"]
            .as_array()
            .expect("events")
            .iter()
            .filter(|event| event["event_id"].as_str().is_some_and(|id| ids.contains(id)))
            .collect();
        let index = PendingKnocks::from_state(version, state.iter().map(|event| event["pdu"].to_string()));
        let mut expected: Vec<_> = state
            .iter()
            .filter(|event| event["pdu"]["type"] == "m.room.member" && event["pdu"]["content"]["membership"] == "knock")
            .map(|event| {
                let pdu = &event["pdu"];
                let time = pdu["origin_server_ts"].as_i64().expect("a time");
                let text = |value: &Value| value.as_str().map(str::to_owned);
                (time, text(&event["event_id"]), text(&pdu["state_key"]), text(&pdu["content"]["reason"]))
            })
            .collect();
        expected.sort();
        found += expected.len();
        let index: Vec<_> = index
            .iter()
            .map(|knocker| {
                let (user, id, time, reason) = entry(knocker);
                (time, Some(id), Some(user), reason)
            })
            .collect();
        assert_eq!(index, expected, "{}", room["room_id"]);
    }
    assert_eq!(found, 205);
}

// Who may answer.

fn state_event(event_type: &str, state_key: &str, content: &Value) -> String {
    json!({ "type": event_type, "state_key": state_key, "sender": "@founder:a", "content": content }).to_string()
}

const USERS: [&str; 7] = ["@founder:a", "@second:a", "@mod:a", "@peer:b", "@low:b", "@plain:a", "@other:b"];
const KAY: &str = "@kay:b";

/// A room: its version, levels, who is joined, and the knocker's membership.
fn texts(levels: Option<&Value>, joined: &BTreeSet<&str>, kay: &str, federate: &Value) -> Vec<String> {
    let create = json!({ "creator": "@founder:a", "additional_creators": ["@second:a"], "m.federate": federate });
    let mut texts = vec![state_event("m.room.create", "", &create)];
    texts.extend(levels.map(|levels| state_event("m.room.power_levels", "", levels)));
    texts.extend(joined.iter().map(|user| state_event("m.room.member", user, &json!({ "membership": "join" }))));
    texts.push(state_event("m.room.member", KAY, &json!({ "membership": kay })));
    texts
}

fn level() -> impl Strategy<Value = Value> {
    select(vec![json!(-1), json!(0), json!(1), json!(50), json!(100), json!("50"), json!(null)])
}

fn levels() -> impl Strategy<Value = Value> {
    let named = proptest::collection::btree_map(select(vec!["invite", "kick", "ban", "users_default"]), level(), 0..5);
    let who = select([&USERS[..5], &[KAY]].concat());
    let users = proptest::collection::btree_map(who, level(), 0..6);
    (named, users).prop_map(|(named, users)| {
        let mut levels = json!({ "users": users });
        for (name, level) in named {
            levels[name] = level;
        }
        levels
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3000) })]

    #[test]
    fn who_may_answer_is_whom_the_rules_let(
        version in select(RoomVersion::ALL.to_vec()),
        levels in proptest::option::of(levels()),
        joined in proptest::collection::btree_set(select(USERS.to_vec()), 0..8),
        kay in select(vec!["knock", "knock", "knock", "leave", "join", "ban"]),
        federate in select(vec![json!(true), json!(true), json!(false)]),
    ) {
        // A user of another server is never joined to a room that is not federated.
        let joined: BTreeSet<&str> = joined.into_iter().filter(|user| federate == true || user.ends_with(":a")).collect();
        let texts = texts(levels.as_ref(), &joined, kay, &federate);
        let state: StateMap<Pdu<'_>> = texts.iter().map(|text| parse(text)).collect();
        let room = CompiledRoom::compile(version, &state).expect("a create event");
        let door = Answering::new(&room, &state);
        for answer in Answer::ALL {
            let refused = |error: AuthorizeError| NotAnswered::Rejected(error.rejection().expect("a proposal"));
            let verdict = |sender: &str| authorize_proposal(version, &Proposal { sender, target: KAY, membership: answer.membership() }, &state).map(|_| ());
            for user in USERS {
                let expected = match kay {
                    "knock" => verdict(user).map_err(refused),
                    _ => Err(NotAnswered::NotKnocking),
                };
                prop_assert_eq!(door.may(answer, user, KAY).map(|_| ()), expected);
            }
            let own = if kay == "knock" { NotAnswered::OwnKnock } else { NotAnswered::NotKnocking };
            prop_assert_eq!(door.may(answer, KAY, KAY), Err(own));
            let able = |user: &&str| kay == "knock" && verdict(user).is_ok();
            let expected: BTreeSet<&str> = USERS.into_iter().filter(|user| able(user)).collect();
            let answerers = door.who_may(answer, KAY).expect("a whole state");
            let (Answerers::Only(list) | Answerers::EverybodyJoinedBut(list)) = &answerers;
            prop_assert!(list.is_sorted());
            let found: BTreeSet<&str> = match &answerers {
                Answerers::Only(users) => users.iter().copied().collect(),
                Answerers::EverybodyJoinedBut(users) => {
                    prop_assert!(users.iter().all(|user| joined.contains(user)));
                    joined.iter().copied().filter(|user| !users.contains(user)).collect()
                }
            };
            prop_assert_eq!(found, expected, "{:?}", answerers);
        }
    }
}

#[test]
fn everybody_or_a_few() {
    let joined = BTreeSet::from(USERS);
    let answerers = |version, levels: Value, answer| {
        let texts = texts(Some(&levels), &joined, "knock", &json!(true));
        let state: StateMap<Pdu<'_>> = texts.iter().map(|text| parse(text)).collect();
        let room = CompiledRoom::compile(version, &state).expect("a create event");
        format!("{:?}", Answering::new(&room, &state).who_may(answer, KAY).expect("a whole state"))
    };
    let levels = json!({ "users": { "@mod:a": 50, "@low:b": -1, "@gone:a": -1 } });
    let (v10, v12) = (RoomVersion::V10, RoomVersion::V12);
    assert_eq!(answerers(v10, levels.clone(), Answer::Accept), r#"EverybodyJoinedBut(["@low:b"])"#);
    assert_eq!(answerers(v10, levels.clone(), Answer::Decline), r#"Only(["@mod:a"])"#);
    assert_eq!(answerers(v12, levels, Answer::Ban), r#"Only(["@founder:a", "@mod:a", "@second:a"])"#);
    // Everybody may kick, but not their like.
    let levels = json!({ "kick": 0, "users": { KAY: -1 } });
    assert_eq!(answerers(v10, levels, Answer::Decline), "EverybodyJoinedBut([])");
    assert_eq!(answerers(v10, json!({ "kick": 0 }), Answer::Decline), "Only([])");
}

#[test]
fn one_answer_to_many() {
    let mut texts =
        texts(Some(&json!({ "users": { "@mod:a": 50, "@kim:b": 50 } })), &["@mod:a"].into(), "knock", &json!(true));
    for (user, membership) in [("@kim:b", "knock"), ("@zoe:c", "join"), ("@lea:c", "knock")] {
        texts.push(state_event("m.room.member", user, &json!({ "membership": membership })));
    }
    let state: StateMap<Pdu<'_>> = texts.iter().map(|text| parse(text)).collect();
    let room = CompiledRoom::compile(RoomVersion::V10, &state).expect("a create event");
    let door = Answering::new(&room, &state);
    let knockers = [KAY, "@zoe:c", "@kim:b", "@lea:c", "@nobody:d"];
    let all = |answer, sender| {
        let answers = door.all(answer, sender, knockers);
        let events: Vec<_> =
            answers.events.iter().map(|event| (event.sender, event.target, event.membership)).collect();
        let refused: Vec<_> = answers
            .refused
            .iter()
            .map(|Refused { knocker, why }| {
                let rule = match why {
                    NotAnswered::NotKnocking | NotAnswered::OwnKnock => None,
                    NotAnswered::Rejected(rejection) => Some(rejection.rule()),
                    other => panic!("{other}"),
                };
                (*knocker, rule)
            })
            .collect();
        (events, refused)
    };
    let by_mod = |knocker, membership| ("@mod:a", knocker, membership);
    // The one who joined in the meantime is not kicked.
    let (events, refused) = all(Answer::Decline, "@mod:a");
    assert_eq!(events, [by_mod(KAY, Membership::Leave), by_mod("@lea:c", Membership::Leave)]);
    assert_eq!(refused, [("@zoe:c", None), ("@kim:b", Some(Rule::KickPower)), ("@nobody:d", None)]);
    let (events, refused) = all(Answer::Accept, "@mod:a");
    assert_eq!(events, [KAY, "@kim:b", "@lea:c"].map(|knocker| by_mod(knocker, Membership::Invite)));
    assert_eq!(refused, [("@zoe:c", None), ("@nobody:d", None)]);
    let (events, refused) = all(Answer::Ban, "@stranger:a");
    assert_eq!(events, []);
    let [not_joined, not_knocking] = [Some(Rule::BannerNotJoined), None];
    let expected = [not_joined, not_knocking, not_joined, not_joined, not_knocking];
    assert_eq!(refused.iter().map(|(_, why)| *why).collect::<Vec<_>>(), expected);
    assert_eq!(NotAnswered::NotKnocking.to_string(), "the user does not knock");
    assert_eq!(NotAnswered::OwnKnock.to_string(), "nobody answers their own knock");
}
