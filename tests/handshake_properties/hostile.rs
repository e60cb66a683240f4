//! Bodies that no honest server sends.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

/// What is done to one place of a JSON value.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Remove,
    Replace(Value),
    Rename(String),
    Add(String, Value),
    Twice,
    Empty,
    Wrap,
    AsText,
}

const KEYS: &str = "event room_version type sender state_key room_id content membership auth_events prev_events depth \
    origin origin_server_ts hashes signatures unsigned reason displayname avatar_url join_authorised_via_users_server \
    third_party_invite event_id redacts is_admin knock_room_state errcode retry_after_ms";
const VALUES: &str = "knock leave join invite ban @kay:b.example @alice:a.example b.example m.room.member m.room.create \
    !room:a.example 7 10 11 12 6 $AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA \
    $BBBB+BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";

pub(crate) fn keys() -> impl Strategy<Value = String> {
    prop_oneof![4 => select(KEYS.split_whitespace().collect::<Vec<_>>()).prop_map(str::to_owned), 1 => "\\PC{0,4}"]
}

pub(crate) fn values() -> impl Strategy<Value = Value> {
    const NUMBERS: [i64; 7] = [0, -1, 1, 1 << 53, (1 << 53) - 1, i64::MAX, i64::MIN];
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        select(NUMBERS.to_vec()).prop_map(Value::from),
        select(vec![json!(1.0), json!(0.5), json!(1e300), json!(u64::MAX)]),
        select(VALUES.split_whitespace().collect::<Vec<_>>()).prop_map(Value::from),
        "[\\PC\u{0}\"\\\\\u{2028}]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let members = btree_map(keys(), inner.clone(), 0..4);
        prop_oneof![vec(inner, 0..4).prop_map(Value::from), members.prop_map(|members| json!(members))]
    })
}

pub(crate) fn changes() -> impl Strategy<Value = (Index, Change)> {
    let change = prop_oneof![
        Just(Change::Remove),
        values().prop_map(Change::Replace),
        keys().prop_map(Change::Rename),
        (keys(), values()).prop_map(|(key, value)| Change::Add(key, value)),
        Just(Change::Twice),
        Just(Change::Empty),
        Just(Change::Wrap),
        Just(Change::AsText),
    ];
    (any::<Index>(), change)
}

/// The value with this done to one of its places.
pub(crate) fn changed(value: &Value, (at, change): &(Index, Change)) -> Value {
    let mut all = Vec::new();
    places(value, String::new(), &mut all);
    let mut value = value.clone();
    let place = at.get(&all);
    let (parent, name) = place.rsplit_once('/').unwrap_or_default();
    match change {
        Change::Remove => drop(take(&mut value, parent, name)),
        Change::Rename(to) => {
            if let (Some(taken), Some(parent)) = (take(&mut value, parent, name), value.pointer_mut(parent)) {
                put(parent, to, taken);
            }
        }
        Change::Add(key, added) => put(value.pointer_mut(place).unwrap(), key, added.clone()),
        Change::Replace(with) => *value.pointer_mut(place).unwrap() = with.clone(),
        Change::Twice => {
            if let Some(array) = value.pointer_mut(place).unwrap().as_array_mut() {
                array.extend_from_within(..);
            }
        }
        Change::Empty => {
            let at = value.pointer_mut(place).unwrap();
            *at = match at {
                Value::Array(_) => json!([]),
                Value::Object(_) => json!({}),
                Value::String(_) => json!(""),
                _ => json!(null),
            };
        }
        Change::Wrap => {
            let at = value.pointer_mut(place).unwrap();
            *at = json!([at.take()]);
        }
        Change::AsText => {
            let at = value.pointer_mut(place).unwrap();
            *at = at.to_string().into();
        }
    }
    value
}

pub(crate) fn take(value: &mut Value, parent: &str, name: &str) -> Option<Value> {
    match value.pointer_mut(parent)? {
        Value::Object(members) => members.remove(&name.replace("~1", "/").replace("~0", "~")),
        Value::Array(elements) => name.parse().ok().map(|at: usize| elements.remove(at)),
        _ => None,
    }
}

fn put(value: &mut Value, key: &str, added: Value) {
    match value {
        Value::Object(members) => drop(members.insert(key.to_owned(), added)),
        Value::Array(elements) => elements.push(added),
        _ => {}
    }
}

/// Pointers to the value and to all that is in it.
pub(crate) fn places(value: &Value, here: String, all: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(key, value)| {
            places(value, format!("{here}/{}", key.replace('~', "~0").replace('/', "~1")), all);
        }),
        Value::Array(elements) => elements.iter().enumerate().for_each(|(at, value)| {
            places(value, format!("{here}/{at}"), all);
        }),
        _ => {}
    }
    all.push(here);
}

/// A body of a hostile server, made from what an honest one would say.
#[derive(Debug, Clone)]
pub(crate) enum Hostile {
    /// The honest answer, changed here and there.
    Changed(Vec<(Index, Change)>),
    /// The honest answer, with other text in some places.
    Spliced(Vec<(Index, usize, String)>),
    /// The honest answer, cut off.
    Cut(Index),
    Json(Value),
    Text(String),
}

pub(crate) fn hostile() -> impl Strategy<Value = Hostile> {
    let splice = (any::<Index>(), 0..9_usize, "[{}\\[\\]\",:a-z0-9\\\\$!@]{0,3}|null|\\PC{0,3}");
    prop_oneof![
        6 => vec(changes(), 1..4).prop_map(Hostile::Changed),
        2 => vec(splice, 1..4).prop_map(Hostile::Spliced),
        1 => any::<Index>().prop_map(Hostile::Cut),
        1 => values().prop_map(Hostile::Json),
        1 => "[{}\\[\\]\",:0-9\\\\\\PC]{0,30}".prop_map(Hostile::Text),
    ]
}

impl Hostile {
    pub(crate) fn body(&self, honest: &str) -> String {
        match self {
            Self::Changed(changes) => {
                let honest = serde_json::from_str(honest).unwrap_or_else(|_| json!(honest));
                changes.iter().fold(honest, |value, change| changed(&value, change)).to_string()
            }
            Self::Spliced(splices) => {
                let mut text = honest.to_owned();
                for (at, length, with) in splices {
                    let ends: Vec<_> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
                    let from = at.index(ends.len());
                    let to = (from + length).min(ends.len() - 1);
                    text.replace_range(ends[from]..ends[to], with);
                }
                text
            }
            Self::Cut(at) => honest.chars().take(at.index(honest.chars().count() + 1)).collect(),
            Self::Json(value) => value.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}
