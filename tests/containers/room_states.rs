//! The entries of a `knock_room_state`.

use matrix_knock::id::RoomId;
use matrix_knock::knocking::room_state::ReceivedRoomState;
use matrix_knock::{Ed25519, RoomVersion};
use serde_json::{Value, json};

use super::bad::{Bad, Fault, NUMBER, spoiled};
use super::events::{ALICE, AllKeys, NOW, Room};
use super::{PLACES, with, without_place};

/// A good event of a type, and what a client is shown of it.
fn stripped(event: &Value) -> String {
    let shown = |name: &str| event[name].clone();
    json!({
        "content": shown("content"), "sender": shown("sender"), "state_key": shown("state_key"), "type": shown("type"),
    })
    .to_string()
}

/// What becomes of the event in which something is wrong: what is shown of it, or why it is not.
fn expected(version: RoomVersion, bad: &Bad) -> Result<String, String> {
    let malformed = |why: &str| Err(format!("malformed event: {why}"));
    let redacted = json!({ "content": {}, "sender": ALICE, "state_key": "", "type": "m.room.topic" }).to_string();
    match bad.fault {
        // The signature holds, for it covers no topic; the content hash does not.
        Fault::Content => Ok(redacted),
        Fault::Number if version < RoomVersion::V6 => Ok(redacted),
        Fault::Number => malformed(NUMBER),
        Fault::Json(why) => malformed(why),
        Fault::NotAnEvent("not a state event") => Err("not a state event".to_owned()),
        Fault::NotAnEvent(why) => malformed(why),
        Fault::Missing(property) => malformed(&format!("event has no `{property}`")),
        Fault::WrongKind("content") => malformed("`content` of the event is of the wrong kind or out of range"),
        Fault::WrongKind(property) => malformed(&format!("`{property}` of the event is of the wrong kind")),
    }
}

#[test]
fn whole_entries() {
    let mut cells = 0_u32;
    for version in [RoomVersion::V5, RoomVersion::V10, RoomVersion::V12] {
        let room = Room::new(version);
        let room_id = RoomId::parse(&room.id).expect("a room ID");
        let good = [
            room.create.clone(),
            room.event("m.room.name", "", &json!({ "name": "Good" })),
            room.event("m.room.avatar", "", &json!({ "url": "mxc://a.example/good" })),
        ];
        let texts = good.each_ref().map(Value::to_string);
        let topic = room.event("m.room.topic", "", &json!({ "topic": "T" })).to_string();
        for bad in spoiled(&topic) {
            for place in PLACES {
                let all = with(&texts, &bad.text, place);
                let list = format!("[{}]", all.join(","));
                let received = ReceivedRoomState::of_list(&list);
                let answer = format!(r#"{{"x":[],"knock_room_state":{list}}}"#);
                assert_eq!(ReceivedRoomState::of_answer(&answer), received);
                assert_eq!(ReceivedRoomState::of_entries(all.iter().map(String::as_str)), received);
                let verified = received.verify(version, room_id, &AllKeys, &Ed25519, NOW);
                let shown: Vec<String> = verified.shown().iter().map(|event| event.text().to_owned()).collect();
                let dropped: Vec<_> =
                    verified.dropped().map(|(at, why)| (at, without_place(&why.to_string()))).collect();
                let mut expected_shown: Vec<String> = good[..place.1].iter().map(stripped).collect();
                let mut expected_dropped = Vec::new();
                match expected(version, &bad) {
                    Ok(text) if place.0 == 0 && place.1 > 0 => expected_shown.insert(1, text),
                    Ok(text) => expected_shown.insert(place.0, text),
                    Err(why) => expected_dropped.push((place.0, why)),
                }
                let found = (shown, dropped);
                assert_eq!(found, (expected_shown, expected_dropped), "{version}, {}, {place:?}", bad.name);
                assert_eq!(verified.unverified(), []);
                cells = cells.saturating_add(1);
            }
        }
    }
    assert_eq!(cells, 1_320);
}

/// Entries of four keys, which nobody has signed: what can be read of them is unverified.
#[test]
fn entries_of_four_keys() {
    let mut cells = 0_u32;
    let four = |event_type: &str, content: Value| {
        json!({ "content": content, "sender": ALICE, "state_key": "", "type": event_type }).to_string()
    };
    let room_id = RoomId::parse("!r:a.example").expect("a room ID");
    let contents =
        [json!({ "name": "Good" }), json!({ "url": "mxc://a.example/good" }), json!({ "alias": "#a:a.example" })];
    let mut types = ["m.room.name", "m.room.avatar", "m.room.canonical_alias"].into_iter();
    let good = contents.map(|content| four(types.next().expect("a type"), content));
    for version in [RoomVersion::V7, RoomVersion::V11] {
        for bad in spoiled(&four("m.room.topic", json!({ "topic": "T" }))) {
            for place in PLACES {
                let all = with(&good, &bad.text, place);
                let received = ReceivedRoomState::of_list(&format!("[{}]", all.join(",")));
                let verified = received.verify(version, room_id, &AllKeys, &Ed25519, NOW);
                let unverified: Vec<String> =
                    verified.unverified().iter().map(|event| event.text().to_owned()).collect();
                let dropped: Vec<_> =
                    verified.dropped().map(|(at, why)| (at, without_place(&why.to_string()))).collect();
                let (mut expected, mut expected_dropped) = (good[..place.1].to_vec(), Vec::new());
                match unverified_of(&bad) {
                    None => expected.insert(place.0, bad.text.clone()),
                    Some(why) => expected_dropped.push((place.0, why)),
                }
                assert_eq!((unverified, dropped), (expected, expected_dropped), "{version}, {}", bad.name);
                assert_eq!(verified.shown(), []);
                cells = cells.saturating_add(1);
            }
        }
    }
    assert_eq!(cells, 880);
}

/// Why such an event is dropped.
fn unverified_of(bad: &Bad) -> Option<String> {
    let malformed = |why: &str| Some(format!("malformed event: {why}"));
    match bad.fault {
        // A client can be shown no more than 120 levels.
        Fault::Content if bad.name.contains("nested") && !bad.name.starts_with("118 ") => {
            Some("nested deeper than 120 levels".to_owned())
        }
        Fault::Content | Fault::Number => None,
        Fault::Json(why) => malformed(why),
        Fault::NotAnEvent("not a state event") => Some("not a state event".to_owned()),
        Fault::NotAnEvent(why) => malformed(why),
        Fault::Missing(property) => malformed(&format!("event has no `{property}`")),
        Fault::WrongKind("content") => malformed("`content` of the event is of the wrong kind or out of range"),
        Fault::WrongKind(property) => malformed(&format!("`{property}` of the event is of the wrong kind")),
    }
}
