//! States of rooms as somebody would make them who wants a client to break.

use matrix_knock::RoomVersion;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::events::ALICE;

pub(crate) const KAY: &str = "@kay:b.example";
pub(crate) const VERSIONS: [RoomVersion; 6] =
    [RoomVersion::V7, RoomVersion::V8, RoomVersion::V9, RoomVersion::V10, RoomVersion::V11, RoomVersion::V12];

/// In which form an event comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Whole,
    /// With white space.
    Spaced,
    /// As its room has redacted it.
    Redacted,
    /// With something in `unsigned` that is hardly JSON.
    WithUnsigned,
}

/// An event before it is signed.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) event_type: String,
    pub(crate) state_key: String,
    pub(crate) sender: String,
    pub(crate) content: Map<String, Value>,
    pub(crate) form: Form,
}

/// What a server sends with an accepted knock, and the content of the knock.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) version: RoomVersion,
    /// Where the create event stands, if it does.
    pub(crate) create: Option<usize>,
    pub(crate) events: Vec<Made>,
    pub(crate) knock: Map<String, Value>,
}

/// How deep objects and lists stand in each other.
pub(crate) fn depth(text: &str) -> usize {
    let (mut open, mut deepest, mut is_string, mut is_escaped) = (0_usize, 0, false, false);
    for character in text.chars() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_string => is_escaped = true,
            '"' => is_string = !is_string,
            '{' | '[' if !is_string => open += 1,
            '}' | ']' if !is_string => open -= 1,
            _ => {}
        }
        deepest = deepest.max(open);
    }
    deepest
}

/// A content with so many levels below its own, lists and objects by turns.
pub(crate) fn nested(levels: usize) -> Map<String, Value> {
    let mut content = Map::new();
    if levels > 0 {
        content.insert("x".to_owned(), wrapped(json!([]), levels - 1));
    }
    content
}

fn wrapped(inner: Value, levels: usize) -> Value {
    (0..levels).fold(inner, |inner, level| if level % 2 == 0 { json!({ "": inner }) } else { json!([0, inner, {}]) })
}

/// Text with everything in it that has to be escaped, or looks as if it had to be.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[a-z.]{1,8}",
        "[\\x00-\\x1f\"\\\\/\u{7f}\u{80}\u{2028}\u{2029}\u{feff}\u{fffd}\u{ffff}\u{10ffff}😀é]{1,12}",
        "\\PC{0,20}",
        Just("\\ud83d".to_owned()),
        Just(r#"","type":"m.room.create"}"#.to_owned()),
        Just("]}}".to_owned()),
    ]
}

/// Keys: any text, and those that mean something elsewhere.
fn key() -> impl Strategy<Value = String> {
    let known = [
        "unsigned",
        "signatures",
        "hashes",
        "type",
        "content",
        "events",
        "knock_state",
        "membership",
        "reason",
        "name",
        "creator",
        "join_rule",
        "allow",
        "users",
        "aliases",
        "redacts",
        "__proto__",
        "room_id",
        "event_id",
    ];
    prop_oneof![text(), proptest::sample::select(known.to_vec()).prop_map(str::to_owned)]
}

fn leaf() -> impl Strategy<Value = Value> {
    const MOST: i64 = (1 << 53) - 1;
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-MOST..=MOST).prop_map(Value::from),
        proptest::sample::select(vec![0, 1, -1, MOST, -MOST]).prop_map(Value::from),
        text().prop_map(Value::from),
        (1000_usize..30_000).prop_map(|length| Value::from("é".repeat(length))),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let tree = leaf().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((key(), inner), 0..4).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    });
    // An event has two levels around a value, and a tree has some of its own.
    let levels = prop_oneof![4 => Just(0), 1 => 1_usize..100, 3 => 108_usize..128];
    (tree, levels).prop_map(|(tree, levels)| wrapped(tree, levels))
}

fn content() -> impl Strategy<Value = Map<String, Value>> {
    let any = vec((key(), value()), 0..4).prop_map(|members| members.into_iter().collect());
    prop_oneof![3 => any, 1 => (110_usize..128).prop_map(nested)]
}

fn event_type() -> impl Strategy<Value = String> {
    let known = [
        "m.room.name",
        "m.room.topic",
        "m.room.avatar",
        "m.room.canonical_alias",
        "m.room.encryption",
        "m.room.join_rules",
        "m.room.power_levels",
        "m.room.history_visibility",
        "m.room.aliases",
        "org.example.x",
    ];
    let known = proptest::sample::select(known.to_vec()).prop_map(str::to_owned);
    prop_oneof![4 => known, 1 => text().prop_filter("another type", |name| !name.starts_with("m.room."))]
}

fn form() -> impl Strategy<Value = Form> {
    proptest::sample::select(vec![Form::Whole, Form::Whole, Form::Spaced, Form::Redacted, Form::WithUnsigned])
}

fn made() -> impl Strategy<Value = Made> {
    let state_key = prop_oneof![3 => Just(String::new()), 1 => text(), 1 => Just(KAY.to_owned())];
    let sender = proptest::sample::select(vec![ALICE, "@mallory:m.example"]).prop_map(str::to_owned);
    let other = (event_type(), state_key, sender.clone(), content(), form());
    let other = other.prop_map(|(event_type, state_key, sender, content, form)| Made {
        event_type,
        state_key,
        sender,
        content,
        form,
    });
    let users = proptest::sample::select(vec![KAY, ALICE, "@x:m.example"]).prop_map(str::to_owned);
    let member = (users, sender, content()).prop_map(|(state_key, sender, mut content)| {
        content.insert("membership".to_owned(), json!("join"));
        Made { event_type: "m.room.member".to_owned(), state_key, sender, content, form: Form::Whole }
    });
    prop_oneof![5 => other, 1 => member]
}

/// A knock that other software has made, within what is an event.
fn knock() -> impl Strategy<Value = Map<String, Value>> {
    let bounded = content().prop_filter("an event", |content| {
        let text = Value::Object(content.clone()).to_string();
        depth(&text) < 128 && text.len() < 60_000
    });
    bounded.prop_map(|mut content| {
        content.insert("membership".to_owned(), json!("knock"));
        content
    })
}

pub(crate) fn state() -> impl Strategy<Value = State> {
    let create = prop_oneof![Just(None), (0_usize..8).prop_map(Some)];
    (proptest::sample::select(VERSIONS.to_vec()), create, vec(made(), 0..10), knock())
        .prop_map(|(version, create, events, knock)| State { version, create, events, knock })
}
