//! What may be wrong with one event among others, in its text.

use super::events::ALICE;

/// An event in which something is wrong.
#[derive(Debug, Clone)]
pub(crate) struct Bad {
    pub(crate) name: String,
    pub(crate) text: String,
    /// What is wrong.
    pub(crate) fault: Fault,
}

/// What is wrong with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Its text cannot be read: why.
    Json(&'static str),
    /// It has a number that no event has since room version 6.
    Number,
    /// Its content cannot be what its server has signed; else there is nothing wrong with it.
    Content,
    /// It is no event: why.
    NotAnEvent(&'static str),
    /// A property is missing.
    Missing(&'static str),
    /// A property is of the wrong kind, or stands there twice.
    WrongKind(&'static str),
}

const UNEXPECTED: &str = "unexpected character";
pub(crate) const LONE: &str = "lone surrogate in a string";
pub(crate) const TWICE: &str = "duplicate key in an object";
const ESCAPE: &str = "invalid escape in a string";
const CONTROL: &str = "unescaped control character in a string";
pub(crate) const DEEP: &str = "JSON nested deeper than 128 levels";
pub(crate) const NUMBER: &str = "number not allowed in canonical JSON";

fn lists(levels: usize) -> String {
    format!("{}{}", "[".repeat(levels), "]".repeat(levels))
}

fn objects(levels: usize) -> String {
    format!("{}{{}}{}", r#"{"a":"#.repeat(levels.saturating_sub(1)), "}".repeat(levels.saturating_sub(1)))
}

/// Values, and what is wrong with an event that has them in its content, where they stand in the
/// third level.
pub(crate) fn values() -> Vec<(String, String, Fault)> {
    let rows = [
        ("half a pair", r#""\ud83d""#, Fault::Json(LONE)),
        ("the other half", r#""a\uDE00b""#, Fault::Json(LONE)),
        ("the halves of a pair in the wrong order", r#""\ude00\ud83d""#, Fault::Json(LONE)),
        ("half a pair in a key", r#"{"\ud83d":1}"#, Fault::Json(LONE)),
        ("half a pair, deeper", r#"[{"a":["\ud800"]}]"#, Fault::Json(LONE)),
        ("a key twice", r#"{"a":1,"a":1}"#, Fault::Json(TWICE)),
        ("a key twice, once escaped", r#"{"a":1,"b":2,"\u0061":3}"#, Fault::Json(TWICE)),
        ("a key twice, deeper", r#"[[{"a":{},"a":[]}]]"#, Fault::Json(TWICE)),
        ("beyond a double", "1e400", Fault::Json(NUMBER)),
        ("beyond a double, below zero", "-1E+400", Fault::Json(NUMBER)),
        ("beyond a double, in a list", "[1,1e309]", Fault::Json(NUMBER)),
        ("a float", "1.5", Fault::Number),
        ("a float in an object", r#"{"a":[0.25]}"#, Fault::Number),
        ("2^53", "9007199254740992", Fault::Number),
        ("-2^53", "-9007199254740992", Fault::Number),
        ("2^64", "18446744073709551616", Fault::Number),
        ("no string", "5", Fault::Content),
        ("null", "null", Fault::Content),
        ("an object", r#"{"a":{}}"#, Fault::Content),
        ("no such escape", r#""\x""#, Fault::Json(ESCAPE)),
        ("an escape cut short", r#""\u12""#, Fault::Json(ESCAPE)),
        ("an escape without digits", r#""\uZZZZ""#, Fault::Json(ESCAPE)),
        ("a control character", "\"a\u{1}\"", Fault::Json(CONTROL)),
        ("a line feed", "\"\n\"", Fault::Json(CONTROL)),
        ("half a word", "nul", Fault::Json(UNEXPECTED)),
        ("another language's word", "None", Fault::Json(UNEXPECTED)),
        ("no number", "NaN", Fault::Json(UNEXPECTED)),
        ("infinity", "-Infinity", Fault::Json(UNEXPECTED)),
        ("a zero in front", "01", Fault::Json(UNEXPECTED)),
        ("a plus in front", "+1", Fault::Json(UNEXPECTED)),
        ("a point in front", ".5", Fault::Json(UNEXPECTED)),
        ("a point behind", "1.", Fault::Json(UNEXPECTED)),
        ("other quotes", "'T'", Fault::Json(UNEXPECTED)),
        ("nothing", "", Fault::Json(UNEXPECTED)),
        ("two values", "1 2", Fault::Json(UNEXPECTED)),
        ("a comma too much in a list", "[1,]", Fault::Json(UNEXPECTED)),
        ("a comma too much in an object", r#"{"a":1,}"#, Fault::Json(UNEXPECTED)),
        ("a key without quotes", "{a:1}", Fault::Json(UNEXPECTED)),
        ("a key without a value", r#"{"a"}"#, Fault::Json(UNEXPECTED)),
        ("brackets that do not match", r#"[{"a":1]}"#, Fault::Json(UNEXPECTED)),
        ("a comment", "1/* */", Fault::Json(UNEXPECTED)),
    ];
    let mut rows = rows.map(|(name, value, fault)| (name.to_owned(), value.to_owned(), fault)).to_vec();
    for levels in [118, 121, 123, 126] {
        rows.push((format!("{levels} lists, nested"), lists(levels), Fault::Content));
        rows.push((format!("{levels} objects, nested"), objects(levels), Fault::Content));
    }
    for levels in [127, 198, 10_000] {
        rows.push((format!("{levels} lists, nested too deep"), lists(levels), Fault::Json(DEEP)));
        rows.push((format!("{levels} objects, nested too deep"), objects(levels), Fault::Json(DEEP)));
    }
    rows
}

/// Values in the place of the whole event.
fn instead() -> Vec<(&'static str, &'static str, Fault)> {
    let no_object = Fault::NotAnEvent("event is not an object");
    vec![
        ("null", "null", no_object),
        ("true", "true", no_object),
        ("false", "false", no_object),
        ("a number", "5", no_object),
        ("a float", "1.5", no_object),
        ("a string", r#""event""#, no_object),
        ("half a pair", r#""\ud83d""#, Fault::Json(LONE)),
        ("a list", "[]", no_object),
        ("a list of events", "[{}]", no_object),
        ("an empty object", "{}", Fault::Missing("type")),
        ("half a word", "nul", Fault::Json(UNEXPECTED)),
    ]
}

/// The properties that every event has.
const PROPERTIES: [&str; 4] = ["type", "sender", "state_key", "content"];

/// The event in which each thing is wrong by itself. It is written as serde_json writes it, its
/// content is `{"topic":"T"}`, and its state key is empty.
pub(crate) fn spoiled(event: &str) -> Vec<Bad> {
    let replaced = |from: &str, to: &str| {
        assert_eq!(event.matches(from).count(), 1, "{from} in {event}");
        event.replacen(from, to, 1)
    };
    let mut rows = Vec::new();
    let mut push = |name: String, text, fault| rows.push(Bad { name, text, fault });
    for (name, value, fault) in values() {
        push(format!("{name} in the content"), replaced(r#"{"topic":"T"}"#, &format!(r#"{{"topic":{value}}}"#)), fault);
    }
    for (name, text, fault) in instead() {
        push(format!("{name} instead"), text.to_owned(), fault);
    }
    for property in PROPERTIES {
        let member = match property {
            "type" => r#""type":"m.room.topic""#.to_owned(),
            "sender" => format!(r#""sender":"{ALICE}""#),
            "state_key" => r#""state_key":"""#.to_owned(),
            _ => r#""content":{"topic":"T"}"#.to_owned(),
        };
        let with = |value: &str| replaced(&member, &format!(r#""{property}":{value}"#));
        // With the comma before or behind it.
        let without = match event.contains(&format!(",{member}")) {
            true => replaced(&format!(",{member}"), ""),
            false => replaced(&format!("{member},"), ""),
        };
        let missing =
            if property == "state_key" { Fault::NotAnEvent("not a state event") } else { Fault::Missing(property) };
        push(format!("no {property}"), without, missing);
        for value in ["null", "true", "5", "-7", "[]", r#"["T"]"#] {
            push(format!("{property}: {value}"), with(value), Fault::WrongKind(property));
        }
        let other = if property == "content" { r#""T""# } else { "{}" };
        push(format!("{property}: {other}"), with(other), Fault::WrongKind(property));
        push(format!("{property} twice"), replaced(&member, &format!("{member},{member}")), Fault::Json(TWICE));
        push(format!("{property}: half a pair"), with(r#""\udbff""#), Fault::Json(LONE));
        push(format!("{property}: 1e400"), with("1e400"), Fault::Json(NUMBER));
    }
    rows
}
