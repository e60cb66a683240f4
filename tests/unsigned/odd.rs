//! What may stand in `unsigned`, which nobody signs and any server on the way may change.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// A value of `unsigned`, by a name for the messages.
pub(crate) type Odd = (&'static str, String);

fn nested(levels: usize) -> String {
    format!("{}{}", "[".repeat(levels), "]".repeat(levels))
}

fn nested_objects(levels: usize) -> String {
    format!("{}0{}", r#"{"a":"#.repeat(levels), "}".repeat(levels))
}

/// Values that are in the grammar of JSON, and that no event may have elsewhere, or clients would
/// believe.
pub(crate) fn odd() -> Vec<Odd> {
    let mut rows = vec![
        // What servers do put there.
        ("an age", r#"{"age":1234}"#.to_owned()),
        ("empty", "{}".to_owned()),
        ("an old age", r#"{"age_ts":1700000000000,"age":-5}"#.to_owned()),
        // Numbers.
        ("a float", r#"{"age":1.5}"#.to_owned()),
        ("a float that is whole", r#"{"age":1.0}"#.to_owned()),
        ("an exponent", r#"{"age":1e3}"#.to_owned()),
        ("beyond a double", r#"{"age":1e400}"#.to_owned()),
        ("minus zero", r#"{"age":-0}"#.to_owned()),
        ("2^53", r#"{"age":9007199254740992}"#.to_owned()),
        ("2^64", r#"{"age":18446744073709551616}"#.to_owned()),
        ("many digits", format!(r#"{{"age":{}}}"#, "9".repeat(400))),
        // Other kinds than an object.
        ("null", "null".to_owned()),
        ("a boolean", "true".to_owned()),
        ("an integer", "5".to_owned()),
        ("1e400 itself", "1e400".to_owned()),
        ("a string", r#""unsigned""#.to_owned()),
        ("a list", r#"[{"age":1},null]"#.to_owned()),
        // What clients believe of the user's own server.
        ("redacted_because", r#"{"redacted_because":{"type":"m.room.redaction","sender":"@m:m.example"}}"#.to_owned()),
        ("prev_content", r#"{"prev_content":{"membership":"ban"},"prev_sender":"@m:m.example"}"#.to_owned()),
        ("replaces_state", r#"{"replaces_state":"$another"}"#.to_owned()),
        ("room state", r#"{"knock_room_state":[{"type":"m.room.name"}],"invite_room_state":5}"#.to_owned()),
        ("transaction_id", r#"{"transaction_id":"m1","m.relations":{"m.thread":{}},"membership":"join"}"#.to_owned()),
        // Names that mean something a level higher.
        ("an event", r#"{"type":"m.room.create","sender":1,"content":[],"depth":-1,"event_id":"$x"}"#.to_owned()),
        ("signatures", r#"{"signatures":{"a.example":{"ed25519:1":"x"}},"hashes":{"sha256":"x"}}"#.to_owned()),
        ("unsigned", r#"{"unsigned":{"unsigned":{}}}"#.to_owned()),
        // Keys and strings that no event may have.
        ("a key twice", r#"{"age":1,"age":2}"#.to_owned()),
        ("a key twice, escaped", r#"{"age":1,"\u0061ge":2}"#.to_owned()),
        ("half a pair", r#"{"x":"\ud83d"}"#.to_owned()),
        ("the other half", r#"{"x":"a\uDE00b"}"#.to_owned()),
        ("half a pair in a key", r#"{"\ud83d":{}}"#.to_owned()),
        ("half a pair itself", r#""\ud83d""#.to_owned()),
        ("brackets in strings", r#"{"]}":"[{\"\\","a":["}"]}"#.to_owned()),
        ("white space", " {\n\t\"age\" :\r 1 } ".to_owned()),
        ("all at once", format!(r#"{{"a":"\ud83d","a":[1e400,{}],"b":-0}}"#, nested(130))),
    ];
    for levels in [60, 118, 119, 120, 121, 125, 126, 127, 128, 129, 160, 161, 2000] {
        rows.push(("nested lists", nested(levels)));
        rows.push(("nested objects", nested_objects(levels)));
    }
    for bytes in [60_000, 400_000] {
        rows.push(("long", format!(r#"{{"x":"{}"}}"#, "x".repeat(bytes))));
        rows.push(("much", format!("[{}0]", "0,".repeat(bytes / 2))));
    }
    rows
}

/// Those that do not take long to read.
pub(crate) fn odd_and_short() -> Vec<Odd> {
    odd().into_iter().filter(|(_, unsigned)| unsigned.len() < 1000).collect()
}

/// The name of the member as it may be written; and twice.
pub(crate) const NAMES: [&str; 3] =
    [r#""unsigned""#, r#""\u0075nsigne\u0064""#, r#""unsigned":{"age":1e400},"unsigned""#];

/// Where the member may stand among others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    First,
    Middle,
    Last,
}

impl Place {
    pub(crate) const ALL: [Self; 3] = [Self::First, Self::Middle, Self::Last];
}

/// An event, a JSON text without `unsigned`, with this one.
pub(crate) fn with(event: &str, name: &str, unsigned: &str, place: Place) -> String {
    let event: BTreeMap<&str, &RawValue> = serde_json::from_str(event).expect("an object");
    let mut members: Vec<String> = event.iter().map(|(key, value)| format!(r#""{key}":{value}"#)).collect();
    let at = match place {
        Place::First => 0,
        Place::Middle => members.len() / 2,
        Place::Last => members.len(),
    };
    members.insert(at, format!("{name}:{unsigned}"));
    format!("{{{}}}", members.join(","))
}
