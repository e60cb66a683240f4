//! The template of a knock, where the recordings do not lead: limits, and a host that gives too little.
#![expect(clippy::expect_used, reason = "a test that cannot be set up fails")]

use matrix_knock::RoomVersion;
use matrix_knock::auth::Rule;
use matrix_knock::event::{EventType, Pdu};
use matrix_knock::id::{EventId, RoomId, UserId};
use matrix_knock::state::{NotLookedUp, Snapshot, StateMap};
use matrix_knock::template::{MAX_DEPTH, MAX_PREV_EVENTS, PrevEvent, Template, TemplateError};
use serde_json::{Value, json};

const CREATE: &str = r#"{"type":"m.room.create","state_key":"","sender":"@a:b","content":{},"event_id":"$create"}"#;
const JOIN_RULES: &str = r#"{"type":"m.room.join_rules","state_key":"","sender":"@a:b","content":{"join_rule":"knock"},
    "event_id":"$rules"}"#;
const LEVELS: &str =
    r#"{"type":"m.room.power_levels","state_key":"","sender":"@a:b","content":{},"event_id":"$levels"}"#;
const LEFT: &str = r#"{"type":"m.room.member","state_key":"@k:c","sender":"@k:c","content":{"membership":"leave"},
    "event_id":"$left"}"#;

fn prev(id: &str, depth: u64) -> PrevEvent<'_> {
    PrevEvent { event_id: EventId::parse(id).expect("an event ID"), depth }
}

fn build(version: RoomVersion, state: &[&str], prev: &[PrevEvent<'_>]) -> Result<Value, TemplateError> {
    let events = || state.iter().map(|text| Pdu::parse(text).expect("an event"));
    let state: StateMap<Pdu<'_>> = events().collect();
    let room = RoomId::parse("!r\"\u{1}:b").expect("a room ID");
    let user = UserId::parse("@k:c").expect("a user ID");
    let made = Template::knock(version, room, user, &state, prev, 7);
    // What it says that it reads is enough.
    let part = Snapshot::of_events(&Template::reads_of_knock(version, user), events());
    assert_eq!(Template::knock(version, room, user, &part, prev, 7), made);
    let template = made?;
    assert_eq!(template.version(), version);
    let response: Value = serde_json::from_str(&template.to_response()).expect("JSON");
    let event: Value = serde_json::from_str(&template.to_event()).expect("JSON");
    assert_eq!(response, json!({ "event": event, "room_version": version.as_str() }));
    Ok(event)
}

#[test]
fn the_whole_event() {
    for (version, auth_events) in [
        (RoomVersion::V7, json!(["$create", "$levels", "$left", "$rules"])),
        (RoomVersion::V11, json!(["$create", "$levels", "$left", "$rules"])),
        (RoomVersion::V12, json!(["$levels", "$left", "$rules"])),
    ] {
        let expected = json!({
            "auth_events": auth_events,
            "content": { "membership": "knock" },
            "depth": 5,
            "origin_server_ts": 7,
            "prev_events": ["$p", "$q"],
            "room_id": "!r\"\u{1}:b",
            "sender": "@k:c",
            "state_key": "@k:c",
            "type": "m.room.member",
        });
        let prev = [prev("$p", 4), prev("$q", 3), prev("$p", 4)];
        assert_eq!(build(version, &[CREATE, JOIN_RULES, LEVELS, LEFT], &prev), Ok(expected), "{version}");
    }
}

#[test]
fn previous_events_and_depth_have_limits() {
    let ids: Vec<String> = (0..30).map(|number| format!("$e{number}")).collect();
    // The deepest are the last 18 and the first 2.
    let depth = |number: u64| if number < 2 { 100 } else { number };
    let many: Vec<_> = (0..).zip(&ids).map(|(number, id)| prev(id, depth(number))).collect();
    let event = build(RoomVersion::V10, &[CREATE, JOIN_RULES], &many).expect("a template");
    let expected: Vec<_> = ids.iter().take(2).chain(ids.iter().skip(12)).collect();
    assert_eq!(expected.len(), MAX_PREV_EVENTS);
    assert_eq!((&event["prev_events"], &event["depth"]), (&json!(expected), &json!(101)));

    for (deepest, depth) in [(0, 1), (MAX_DEPTH - 1, MAX_DEPTH), (MAX_DEPTH, MAX_DEPTH), (u64::MAX, MAX_DEPTH)] {
        let event = build(RoomVersion::V10, &[CREATE, JOIN_RULES], &[prev("$p", deepest)]).expect("a template");
        assert_eq!(event["depth"], json!(depth));
    }
}

#[test]
fn why_there_is_none() {
    let last = [prev("$p", 1)];
    let refused = |state: &[&str], version| match build(version, state, &last) {
        Err(TemplateError::Rejected(rejection)) => Some(rejection.rule()),
        _ => None,
    };
    assert_eq!(refused(&[CREATE], RoomVersion::V10), Some(Rule::KnockJoinRule));
    assert_eq!(refused(&[JOIN_RULES], RoomVersion::V10), Some(Rule::NoCreateEvent));
    assert_eq!(refused(&[CREATE, JOIN_RULES], RoomVersion::V6), Some(Rule::UnknownMembership));
    let joined = LEFT.replace("leave", "join");
    assert_eq!(refused(&[CREATE, JOIN_RULES, &joined], RoomVersion::V10), Some(Rule::KnockMembership));

    assert_eq!(build(RoomVersion::V10, &[CREATE, JOIN_RULES], &[]), Err(TemplateError::NoPrevEvents));
    let nameless = CREATE.replace("event_id", "other");
    let error = TemplateError::NoEventId { event_type: EventType::Create };
    assert_eq!(error.to_string(), "the `m.room.create` event of the state has no event ID");
    assert_eq!(build(RoomVersion::V11, &[&nameless, JOIN_RULES], &last), Err(error));
    // Since version 12 a template does not name the create event.
    assert!(build(RoomVersion::V12, &[&nameless, JOIN_RULES], &last).is_ok());

    // A host that has not looked for what decides.
    let (room, user) = (RoomId::parse("!r:b").expect("a room ID"), UserId::parse("@k:c").expect("a user ID"));
    let made = Template::knock(RoomVersion::V10, room, user, &Snapshot::<Pdu<'_>>::new(), &last, 7);
    assert_eq!(made, Err(TemplateError::NotLookedUp(NotLookedUp::new(EventType::Create, ""))));
}
