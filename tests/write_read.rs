//! What this crate writes, it reads: a state that other servers have signed, whatever is in it, is
//! verified, written into `/sync`, and read again as the same events. A client's JSON parser reads
//! it too, and finds it nested no deeper than 128 levels, the whole answer counted.
#![cfg(feature = "ed25519")]
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that cannot be set up fails"
)]

#[path = "oracle/events.rs"]
#[expect(dead_code, reason = "other tests take more of it")]
mod events;
#[path = "write_read/hostile.rs"]
mod hostile;

use std::cell::Cell;
use std::collections::BTreeSet;

use events::{A, AllKeys, NOW, Room, event_id, redacted, signed};
use hostile::{Form, KAY, Made, State, depth};
use matrix_knock::Ed25519;
use matrix_knock::event::{FormatError, Pdu};
use matrix_knock::id::{EventId, RoomId, ServerName, UserId};
use matrix_knock::knocking::PendingKnock;
use matrix_knock::knocking::room_state::{Dropped, ReceivedRoomState, ShowUnverified, ShownEvent};
use matrix_knock::stripped_state::StrippedEvent;
use matrix_knock::sync::{KnockSection, KnockedRoom, MemberEventKey};
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

const CASES: u32 = 600;
/// How deep the whole answer may be nested, and the event that is shown.
const ANSWER_DEPTH: usize = 128;
const SHOWN_DEPTH: usize = 120;

/// How often what happened, over all cases.
#[derive(Debug, Default)]
struct Counts {
    cases: Cell<u32>,
    events: Cell<u32>,
    shown: Cell<u32>,
    too_deep: Cell<u32>,
    not_read: Cell<u32>,
    repeated: Cell<u32>,
    as_deep_as_allowed: Cell<u32>,
}

impl Counts {
    fn add(count: &Cell<u32>) {
        count.set(count.get() + 1);
    }
}

fn stripped(event: &Value) -> Value {
    let shown = |name: &str| event[name].clone();
    json!({
        "content": shown("content"), "sender": shown("sender"), "state_key": shown("state_key"), "type": shown("type"),
    })
}

/// The event as it is sent: what of it is signed, and its text.
fn sent(room: &Room, made: &Made) -> (Value, String) {
    let mut draft = room.draft(&made.event_type, &made.state_key, &Value::Object(made.content.clone()));
    draft["sender"] = json!(made.sender);
    let event = signed(room.version, &draft);
    match made.form {
        Form::Whole => (event.clone(), event.to_string()),
        Form::Spaced => {
            // White space counts among the bytes that are looked at.
            let spaced = serde_json::to_string_pretty(&event).expect("JSON");
            let text = if spaced.len() <= 65_536 { spaced } else { event.to_string() };
            (event, text)
        }
        Form::Redacted => {
            let left = redacted(room.version, &event);
            (left.clone(), left.to_string())
        }
        Form::WithUnsigned => {
            let unsigned = r#"{"unsigned":{"age":1e400,"x":"\ud83d","x":[[[]]]},"#;
            (event.clone(), event.to_string().replacen('{', unsigned, 1))
        }
    }
}

/// What is shown of the events, the create event first, and why the others are not.
fn expected(events: &[(Value, String)], counts: &Counts) -> (Vec<Value>, Vec<(usize, String)>) {
    let (mut shown, mut dropped, mut places) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (position, (event, _)) in events.iter().enumerate() {
        let event_depth = depth(&event.to_string());
        let shape = stripped(event);
        let place = (event["type"].to_string(), event["state_key"].to_string());
        let bytes = event.to_string().len();
        let why = if bytes > 65_536 {
            Dropped::from(FormatError::TooLarge { bytes }).to_string()
        } else if event_depth > ANSWER_DEPTH {
            Counts::add(&counts.not_read);
            "malformed event: JSON nested deeper than 128 levels".to_owned()
        } else if places.contains(&place) {
            Counts::add(&counts.repeated);
            Dropped::Repeated.to_string()
        } else if depth(&shape.to_string()) > SHOWN_DEPTH {
            Counts::add(&counts.too_deep);
            Dropped::TooDeep.to_string()
        } else {
            places.insert(place);
            Counts::add(&counts.shown);
            if depth(&shape.to_string()) == SHOWN_DEPTH {
                Counts::add(&counts.as_deep_as_allowed);
            }
            shown.push(shape);
            continue;
        };
        dropped.push((position, why));
    }
    shown.sort_by_key(|event| event["type"] != "m.room.create");
    (shown, dropped)
}

fn check(state: &State, counts: &Counts) {
    let version = state.version;
    let room = Room::new(version);
    let mut events: Vec<(Value, String)> = state.events.iter().map(|made| sent(&room, made)).collect();
    if let Some(position) = state.create {
        events.insert(position.min(events.len()), (room.create.clone(), room.create.to_string()));
    }
    let room_id = RoomId::parse(&room.id).expect("a room ID");
    let (shown, dropped) = expected(&events, counts);

    let received = ReceivedRoomState::of_entries(events.iter().map(|(_, text)| text.as_str()));
    let list: Vec<&str> = events.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(ReceivedRoomState::of_list(&format!("[{}]", list.join(","))), received);
    let verified = received.verify(version, room_id, &AllKeys, &Ed25519, NOW);
    let texts = |events: &[StrippedEvent]| events.iter().map(|event| event.text().to_owned()).collect::<Vec<_>>();
    let written: Vec<String> = shown.iter().map(Value::to_string).collect();
    assert_eq!(texts(verified.shown()), written);
    let without_place = |why: String| why.split(" at byte ").next().unwrap_or_default().to_owned();
    let found: Vec<_> = verified.dropped().map(|(at, why)| (at, without_place(why.to_string()))).collect();
    assert_eq!(found, dropped);
    assert_eq!((verified.unverified(), verified.has_create_event()), (&[][..], state.create.is_some()));

    // The user's own knock, made by other software.
    let mut knock = room.draft("m.room.member", KAY, &Value::Object(state.knock.clone()));
    knock["sender"] = json!(KAY);
    let knock = signed(version, &knock);
    let knock_text = knock.to_string();
    let server = ServerName::parse(A).expect("a server name");
    let events = verified.shown().iter().map(|event| ShownEvent { event: event.clone(), is_verified: true });
    let pending = PendingKnock::of_stored(version, &knock_text, server, events).expect("a knock");
    let knock_state = pending.knock_state(ShowUnverified::Never);
    assert!(knock_state.iter().all(|shown| shown.is_verified));

    let user = UserId::parse(KAY).expect("a user ID");
    let knock_id = event_id(version, &knock);
    let pdu = Pdu::parse(&knock_text).expect("an event");
    let shown_room = KnockedRoom::new(knock_state, user).with_member_event(
        MemberEventKey::State,
        EventId::parse(&knock_id).expect("an event ID"),
        &pdu,
        NOW,
    );
    // Of what others say of the user's own membership nothing is shown.
    let others =
        shown.iter().filter(|event| (&event["type"], &event["state_key"]) != (&json!("m.room.member"), &json!(KAY)));
    let own = stripped(&knock);
    let own = (depth(&own.to_string()) <= SHOWN_DEPTH).then_some(own);
    let mut all: Vec<String> = others.chain(&own).map(Value::to_string).collect();
    all.sort();
    let mut found = texts(shown_room.state());
    found.sort();
    assert_eq!(found, all);

    // Written and read.
    let room_ids = [room.id.as_str(), "!\"\\\u{0}\u{2028}:x", ""];
    let section = KnockedRoom::section(room_ids.map(|room_id| (room_id, &shown_room)));
    let read = KnockSection::parse(&section).expect("a section");
    assert_eq!(read.rooms().map(|(room_id, _)| room_id).collect::<BTreeSet<_>>(), BTreeSet::from(room_ids));
    for (_, room) in read.rooms() {
        assert_eq!(room.state(), shown_room.state());
        let member_event: Option<Value> = room.member_event().map(|text| serde_json::from_str(text).expect("JSON"));
        let expected = json!({
            "content": knock["content"], "event_id": knock_id, "origin_server_ts": NOW, "sender": KAY, "state_key": KAY,
            "type": "m.room.member",
        });
        assert_eq!(member_event, own.as_ref().map(|_| expected));
    }

    // By another parser, in the whole answer.
    let answer = format!(r#"{{"next_batch":"s1","rooms":{{"knock":{section}}}}}"#);
    assert!(depth(&answer) <= ANSWER_DEPTH);
    let value: Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(value["rooms"]["knock"].as_object().map(serde_json::Map::len), Some(3));
    for room_id in room_ids {
        let events = value["rooms"]["knock"][room_id]["knock_state"]["events"].as_array().expect("events");
        assert_eq!(events.iter().map(Value::to_string).collect::<Vec<_>>(), texts(shown_room.state()));
    }
    // And where a member event is shown by itself.
    let unsigned: Value = serde_json::from_str(&shown_room.to_unsigned()).expect("JSON");
    let events = unsigned["knock_room_state"].as_array().expect("events");
    assert_eq!(events.iter().map(Value::to_string).collect::<Vec<_>>(), texts(shown_room.state()));
    counts.events.set(counts.events.get() + u32::try_from(state.events.len()).expect("few"));
    Counts::add(&counts.cases);
}

#[test]
fn what_is_written_is_read() {
    let counts = Counts::default();
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let run = TestRunner::new(config).run(&hostile::state(), |state| {
        check(&state, &counts);
        Ok(())
    });
    assert_eq!(run.map_err(|error| error.to_string()), Ok(()));
    assert_eq!(counts.cases.get(), CASES);
    // Of everything that may become of an event there was some.
    let happened = [&counts.shown, &counts.too_deep, &counts.not_read, &counts.repeated, &counts.as_deep_as_allowed];
    assert!(happened.iter().all(|count| count.get() > 20), "{counts:?}");
}

/// At every depth: the last that is shown, the first that is not, the last that is an event.
#[test]
fn at_every_depth() {
    let counts = Counts::default();
    for version in hostile::VERSIONS {
        for levels in 2..=130 {
            let content = hostile::nested(levels - 2);
            let events = vec![Made {
                event_type: "m.room.topic".to_owned(),
                state_key: String::new(),
                sender: "@mallory:m.example".to_owned(),
                content,
                form: Form::Whole,
            }];
            let mut knock = hostile::nested(levels.min(128) - 2);
            knock.insert("membership".to_owned(), json!("knock"));
            check(&State { version, create: Some(0), events, knock }, &counts);
        }
    }
    let found = [&counts.cases, &counts.shown, &counts.too_deep, &counts.not_read, &counts.as_deep_as_allowed];
    assert_eq!(found.map(Cell::get), [6 * 129, 6 * (129 + 119), 6 * 8, 6 * 2, 6]);
}
