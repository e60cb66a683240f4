//! Reading.

use matrix_knock::event::Membership;
use matrix_knock::id::IdError;
use matrix_knock::restricted_join::MAX_CONDITION_ROOMS;
use matrix_knock::summary::{MAX_SUMMARIES, MAX_TEXT_BYTES, RoomSummary, SummaryError};
use serde_json::{Value, json};

use super::ROOM;
use super::within::within;

fn parse(value: &Value) -> RoomSummary {
    RoomSummary::parse(&value.to_string()).expect("a summary")
}

/// Everything that a summary can say.
pub(super) fn full() -> Value {
    json!({
        "allowed_room_ids": ["!a:a.example", "!b"],
        "avatar_url": "mxc://a.example/abc",
        "canonical_alias": "#room:a.example",
        "encryption": "m.megolm.v1.aes-sha2",
        "guest_can_join": true,
        "join_rule": "knock_restricted",
        "membership": "invite",
        "name": "A \"room\"",
        "num_joined_members": 37,
        "room_id": ROOM,
        "room_type": "m.space",
        "room_version": "10",
        "topic": "Knock!",
        "world_readable": true,
    })
}

#[test]
fn there_and_back() {
    let read = parse(&full());
    assert_eq!(read.to_summary(), full().to_string());
    assert_eq!(RoomSummary::parse(&read.to_summary()), Ok(read.clone()));
    let child = r#"{"type":"m.space.child","content":{}}"#;
    let hierarchy = RoomSummary { membership: None, ..read.clone() };
    let written = read.to_hierarchy([child, "[]", "{", "nonsense"]);
    assert_eq!(RoomSummary::parse(&written), Ok(hierarchy));
    let mut expected = full();
    let object = expected.as_object_mut().expect("an object");
    object.remove("membership");
    object.insert("children_state".to_owned(), json!([{ "type": "m.space.child", "content": {} }]));
    assert_eq!(written, expected.to_string());
    let written = read.to_public_rooms();
    let object = expected.as_object_mut().expect("an object");
    for name in ["allowed_room_ids", "encryption", "room_version", "children_state"] {
        object.remove(name);
    }
    assert_eq!(written, expected.to_string());
    let public =
        RoomSummary { membership: None, allowed_room_ids: Vec::new(), encryption: None, room_version: None, ..read };
    assert_eq!(RoomSummary::parse(&written), Ok(public));
}

#[test]
fn one_bad_value_costs_only_itself() {
    let whole = parse(&full());
    let names: Vec<String> = full().as_object().expect("an object").keys().cloned().collect();
    let deep = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
    let bad = ["null", "[]", "{}", "-1.5", "tru", r#""\ud800""#, deep.as_str(), r#""!", "x""#];
    let mut cells = 0;
    for name in names.iter().filter(|name| *name != "room_id") {
        for bad in bad {
            let texts: Vec<String> = full()
                .as_object()
                .expect("an object")
                .iter()
                .map(|(of, value)| {
                    format!("{}:{}", json!(of), if of == name { bad.to_owned() } else { value.to_string() })
                })
                .collect();
            let text = format!("{{{}}}", texts.join(","));
            let Ok(found) = RoomSummary::parse(&text) else {
                // One text that cannot be told from the next.
                assert_eq!(bad, r#""!", "x""#);
                continue;
            };
            let mut expected = whole.clone();
            match name.as_str() {
                "allowed_room_ids" => expected.allowed_room_ids.clear(),
                "avatar_url" => expected.avatar_url = None,
                "canonical_alias" => expected.canonical_alias = None,
                "encryption" => expected.encryption = None,
                "guest_can_join" => expected.guest_can_join = false,
                "join_rule" => expected.join_rule = String::new(),
                "membership" => expected.membership = None,
                "name" => expected.name = None,
                "num_joined_members" => expected.num_joined_members = 0,
                "room_type" => expected.room_type = None,
                "room_version" => expected.room_version = None,
                "topic" => expected.topic = None,
                _ => expected.world_readable = false,
            }
            assert_eq!(found, expected, "{text}");
            cells += 1;
        }
    }
    assert_eq!(cells, 13 * 7);
    // Twice is not once.
    let twice = RoomSummary::parse(r#"{"room_id":"!a","join_rule":"knock","join_rule":"knock","name":"x","name":"x"}"#);
    let twice = twice.expect("a summary");
    assert_eq!((twice.join_rule.as_str(), twice.name), ("", None));
    let missing = RoomSummary::parse(r#"{"room_id":"!a"}"#).expect("a summary");
    assert_eq!((missing.join_rule.as_str(), missing.membership), ("public", None::<Membership>));
    let odd = parse(
        &json!({ "room_id": "!a", "canonical_alias": "room", "avatar_url": "https://a.example/", "membership": "in",
        "allowed_room_ids": ["!a", 5, null, "#b:c", "!a", ["!d"], "!e:f"] }),
    );
    assert_eq!((odd.canonical_alias, odd.avatar_url, odd.membership), (None, None, None));
    assert_eq!(odd.allowed_room_ids, ["!a", "!e:f"]);
}

#[test]
fn what_is_no_summary() {
    for (text, error) in [
        ("[]", SummaryError::NotAnObject),
        ("null", SummaryError::NotAnObject),
        ("{}", SummaryError::NoRoomId),
        (r#"{"room_id":5}"#, SummaryError::NoRoomId),
        (r#"{"room_id":"!a","room_id":"!a"}"#, SummaryError::NoRoomId),
        (r##"{"room_id":"#a:b"}"##, SummaryError::RoomId(IdError::Sigil('!'))),
    ] {
        assert_eq!(RoomSummary::parse(text), Err(error), "{text}");
    }
    let whole = full().to_string();
    for end in (0..whole.len()).filter(|end| whole.is_char_boundary(*end)) {
        let cut = whole.get(..end).expect("a text");
        assert!(matches!(RoomSummary::parse(cut), Err(SummaryError::Json(_))), "{cut}");
    }
    assert_eq!(RoomSummary::parse_list("{}"), []);
    assert_eq!(RoomSummary::parse_list("nonsense"), []);
    assert_eq!(RoomSummary::parse_list(r#"[{"room_id":"!a"},{"room_id""#).len(), 1);
}

#[test]
fn hostile_sizes() {
    let entry = r#"{"room_id":"!a"}"#;
    let list = format!("[{}]", vec![entry; 100_000].join(","));
    let read = within("100,000 rooms", 10_000_000, 100_000, || RoomSummary::parse_list(&list));
    assert_eq!(read.len(), MAX_SUMMARIES);

    let rooms: Vec<String> = (0..10_000).map(|number| format!("!{number}")).collect();
    let text = json!({ "room_id": "!a", "allowed_room_ids": rooms }).to_string();
    let read = within("10,000 allowed rooms", 1_500_000, 50_000, || RoomSummary::parse(&text).expect("a summary"));
    assert_eq!(read.allowed_room_ids.len(), MAX_CONDITION_ROOMS);

    let long = |bytes: usize| json!({ "room_id": "!a", "name": "x".repeat(bytes), "topic": "x" });
    assert_eq!(parse(&long(MAX_TEXT_BYTES)).name.map(|name| name.len()), Some(MAX_TEXT_BYTES));
    let read = parse(&long(MAX_TEXT_BYTES + 1));
    assert_eq!((read.name, read.topic.as_deref()), (None, Some("x")));
    let children = format!(r#"{{"room_id":"!a","children_state":{}{}}}"#, "[".repeat(1_000_000), "]".repeat(1_000_000));
    let read = within("a million levels of children", 1_000, 20, || RoomSummary::parse(&children));
    assert!(read.is_ok());
}
