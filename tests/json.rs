//! `json::canonical` against oracles that share no code with it: serde_json, the crate `canonical_json` where its
//! dialect is the same, what Python wrote, and the examples of the specification.
//!
//! serde_json gives up one level earlier than we do (127), reads a key that stands twice, and rounds numbers; where the
//! two part, the reason that we give is checked by hand.
#![expect(clippy::indexing_slicing, clippy::string_slice, reason = "an offset that is off fails the test")]
#![expect(clippy::arithmetic_side_effects, reason = "small numbers")]

#[path = "json/acceptance.rs"]
mod acceptance;

use std::collections::BTreeMap;

use matrix_knock::json::{CanonicalDialect, JsonErrorKind, canonical};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

const BOTH: [CanonicalDialect; 2] = [CanonicalDialect::Strict, CanonicalDialect::Lenient];
const SAFE: i64 = (1 << 53) - 1;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn answer(text: &str, dialect: CanonicalDialect) -> Result<String, (JsonErrorKind, usize)> {
    canonical(text, dialect).map_err(|error| (error.kind(), error.at()))
}

/// <https://spec.matrix.org/v1.19/appendices/#canonical-json>, "Examples", all but the last.
#[test]
fn examples_of_the_specification() {
    for (given, expected) in [
        ("{}", "{}"),
        ("{\n    \"one\": 1,\n    \"two\": \"Two\"\n}", r#"{"one":1,"two":"Two"}"#),
        ("{\n    \"b\": \"2\",\n    \"a\": \"1\"\n}", r#"{"a":"1","b":"2"}"#),
        (r#"{"b":"2","a":"1"}"#, r#"{"a":"1","b":"2"}"#),
        (
            r#"{
                "auth": {
                    "success": true,
                    "mxid": "@john.doe:example.com",
                    "profile": {
                        "display_name": "John Doe",
                        "three_pids": [
                            {
                                "medium": "email",
                                "address": "john.doe@example.org"
                            },
                            {
                                "medium": "msisdn",
                                "address": "123456789"
                            }
                        ]
                    }
                }
            }"#,
            concat!(
                r#"{"auth":{"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":["#,
                r#"{"address":"john.doe@example.org","medium":"email"},{"address":"123456789","medium":"msisdn"}"#,
                r#"]},"success":true}}"#,
            ),
        ),
        ("{\n    \"a\": \"日本語\"\n}", r#"{"a":"日本語"}"#),
        ("{\n    \"本\": 2,\n    \"日\": 1\n}", r#"{"日":1,"本":2}"#),
        ("{\n    \"a\": \"\\u65E5\"\n}", r#"{"a":"日"}"#),
        ("{\n    \"a\": null\n}", r#"{"a":null}"#),
    ] {
        for dialect in BOTH {
            assert_eq!(answer(given, dialect), Ok(expected.to_owned()), "{dialect:?}");
        }
    }
}

/// The last example makes `{"a":0,"b":10000000000}` of numbers that the section itself says must not appear; the Python
/// in the same section does not give that either.
#[test]
fn the_example_that_is_not_canonical_json() {
    let given = "{\n    \"a\": -0,\n    \"b\": 1e10\n}";
    assert_eq!(answer(given, CanonicalDialect::Strict), Err((JsonErrorKind::NumberNotAllowed, 11)));
    assert_eq!(answer(given, CanonicalDialect::Lenient), Ok(r#"{"a":0,"b":10000000000.0}"#.to_owned()));
}

/// What `json.dumps(json.loads(x), ensure_ascii=False, separators=(',', ':'), sort_keys=True)` of Python 3.11 writes.
const PYTHON: &[(&str, &str)] = &[
    ("0", "0"),
    ("-0", "0"),
    ("1", "1"),
    ("-1", "-1"),
    ("-0.0", "-0.0"),
    ("0.0", "0.0"),
    ("1.0", "1.0"),
    ("1.50", "1.5"),
    ("-1.5", "-1.5"),
    ("1e0", "1.0"),
    ("1e2", "100.0"),
    ("1E2", "100.0"),
    ("1e+2", "100.0"),
    ("12e-1", "1.2"),
    ("1E-7", "1e-07"),
    ("0.1", "0.1"),
    ("0.10", "0.1"),
    ("0.2", "0.2"),
    ("0.3", "0.3"),
    ("0.30000000000000004", "0.30000000000000004"),
    ("0.1e1", "1.0"),
    ("1e-4", "0.0001"),
    ("1e-5", "1e-05"),
    ("0.0001", "0.0001"),
    ("0.00001", "1e-05"),
    ("0.00012345", "0.00012345"),
    ("123e-6", "0.000123"),
    ("123e-7", "1.23e-05"),
    ("2.5e-10", "2.5e-10"),
    ("1e15", "1000000000000000.0"),
    ("1e16", "1e+16"),
    ("1e17", "1e+17"),
    ("9999999999999998.0", "9999999999999998.0"),
    ("99999999999999999.0", "1e+17"),
    ("123456789012345.6", "123456789012345.6"),
    ("1234567890123456.7", "1234567890123456.8"),
    ("12345678901234567.8", "1.2345678901234568e+16"),
    ("1e21", "1e+21"),
    ("1e22", "1e+22"),
    ("1e23", "1e+23"),
    ("1.5e300", "1.5e+300"),
    ("-1e-300", "-1e-300"),
    ("1e100", "1e+100"),
    ("5e-324", "5e-324"),
    ("4.9406564584124654e-324", "5e-324"),
    ("2e-324", "0.0"),
    ("2.2250738585072014e-308", "2.2250738585072014e-308"),
    ("2.2250738585072011e-308", "2.225073858507201e-308"),
    ("1.7976931348623157e308", "1.7976931348623157e+308"),
    ("1.7976931348623158e308", "1.7976931348623157e+308"),
    ("-1.7976931348623157E+308", "-1.7976931348623157e+308"),
    ("3.141592653589793238462643383279", "3.141592653589793"),
    ("9007199254740991", "9007199254740991"),
    ("9007199254740992", "9007199254740992"),
    ("9007199254740993", "9007199254740993"),
    ("9007199254740993.0", "9007199254740992.0"),
    ("-9007199254740992", "-9007199254740992"),
    ("18446744073709551616", "18446744073709551616"),
    ("123456789012345678901234567890", "123456789012345678901234567890"),
    ("-123456789012345678901234567890", "-123456789012345678901234567890"),
    ("1e-400", "0.0"),
    ("-1e-400", "-0.0"),
    ("0e999", "0.0"),
    ("0.000e-999", "0.0"),
    ("100000000000000000000.0", "1e+20"),
    ("1.0e1", "10.0"),
    ("5.0E-1", "0.5"),
    ("8.41e21", "8.41e+21"),
    ("2.0000000000000002", "2.0"),
    ("4.35", "4.35"),
    ("1e-323", "1e-323"),
    (r#"[1.0,{"b":1e2,"a":-0}]"#, r#"[1.0,{"a":0,"b":100.0}]"#),
    (r#"{"\ud83d\ude00":1.0,"\uffff":2e0}"#, "{\"\u{ffff}\":2.0,\"😀\":1.0}"),
    (r#" [ "\/\u007f\u001F" , -0.0 ] "#, "[\"/\u{7f}\\u001f\",-0.0]"),
];

#[test]
fn numbers_as_python_writes_them() {
    for (given, expected) in PYTHON {
        assert_eq!(answer(given, CanonicalDialect::Lenient), Ok((*expected).to_owned()), "{given}");
    }
    // Python makes `Infinity` of these, which is no JSON.
    for given in ["1e309", "-1E400", "1.7976931348623159e308", "17976931348623159e292"] {
        assert_eq!(answer(given, CanonicalDialect::Lenient), Err((JsonErrorKind::NumberNotAllowed, 0)), "{given}");
    }
}

/// Of the numbers in the table, the strict dialect has those that are written as it writes them.
#[test]
fn numbers_of_the_strict_dialect() {
    let numbers = PYTHON.iter().map(|(given, _)| *given).filter(|given| !given.contains([' ', '[', '{']));
    let allowed: Vec<_> = numbers.filter(|given| answer(given, CanonicalDialect::Strict).is_ok()).collect();
    assert_eq!(allowed, ["0", "1", "-1", "9007199254740991"]);
    for (given, expected) in [
        ("-9007199254740991", Ok("-9007199254740991".to_owned())),
        ("9007199254740992", Err((JsonErrorKind::NumberNotAllowed, 0))),
        (" -9007199254740992", Err((JsonErrorKind::NumberNotAllowed, 1))),
        ("[0,-0]", Err((JsonErrorKind::NumberNotAllowed, 3))),
        ("[1.0]", Err((JsonErrorKind::NumberNotAllowed, 1))),
        ("1e2", Err((JsonErrorKind::NumberNotAllowed, 0))),
    ] {
        assert_eq!(answer(given, CanonicalDialect::Strict), expected, "{given}");
    }
}

#[test]
fn nested_as_deep_as_it_may_be() {
    let limit = 128;
    for (open, close, levels_each) in [("[", "]", 1), (r#"{"a":"#, "}", 1), (r#"[{"":"#, "}]", 2)] {
        for times in 1..=140 {
            let (levels, text) = (times * levels_each, format!("{}1{}", open.repeat(times), close.repeat(times)));
            // The bracket too many is the first of the next time.
            let expected = match levels <= limit {
                true => Ok(text.clone()),
                false => Err((JsonErrorKind::TooDeep, limit / levels_each * open.len() + 1)),
            };
            for dialect in BOTH {
                assert_eq!(answer(&text, dialect), expected, "{levels} levels of {open}");
            }
            assert_eq!(serde_json::from_str::<Value>(&text).is_ok(), levels < limit);
        }
    }
}

/// Those that are escaped, those that could be, and those on which the orders by code point and by UTF-16 part.
const CHARACTERS: &str = concat!(
    "\0\u{1}\u{8}\t\n\u{b}\u{c}\r\u{1f} !\"/\\u\u{7f}\u{80}é\u{2028}日",
    "\u{d7ff}\u{e000}\u{feff}\u{ffff}\u{10000}😀\u{10ffff}",
);

fn characters() -> impl Strategy<Value = char> {
    select(CHARACTERS.chars().collect::<Vec<_>>())
}

fn strings() -> impl Strategy<Value = String> {
    let characters = prop_oneof![3 => characters(), 1 => any::<char>()];
    prop_oneof!["[a-c]{0,2}", vec(characters, 0..6).prop_map(String::from_iter)]
}

fn integers() -> impl Strategy<Value = i64> {
    prop_oneof![-SAFE..=SAFE, -3..=3_i64, select(&[SAFE, -SAFE, SAFE - 1, 1 << 31, -(1 << 31) - 1][..])]
}

fn values<S: Strategy<Value = String> + Clone + 'static>(strings: S) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        integers().prop_map(Value::from),
        strings.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            btree_map(strings.clone(), inner, 0..6).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// The canonical form by serde_json. Its own order of keys depends on a feature that another crate may turn on.
fn by_serde(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let sorted: BTreeMap<_, _> = members.iter().collect();
            let texts: Vec<_> = sorted
                .iter()
                .map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), by_serde(value)))
                .collect();
            format!("{{{}}}", texts.join(","))
        }
        Value::Array(elements) => {
            format!("[{}]", elements.iter().map(by_serde).collect::<Vec<_>>().join(","))
        }
        leaf => leaf.to_string(),
    }
}

/// One of the many spellings of a value: the choices say where white space stands, which characters are escaped and
/// how, and in what order members come.
struct Spelling<I> {
    choices: I,
    out: String,
}

fn spell(value: &Value, choices: &[u8]) -> String {
    let mut spelling = Spelling { choices: choices.iter().copied().cycle(), out: String::new() };
    spelling.value(value);
    spelling.out
}

impl<I: Iterator<Item = u8>> Spelling<I> {
    fn choose(&mut self, below: u8) -> u8 {
        self.choices.next().unwrap_or_default() % below
    }

    fn space(&mut self) {
        for _ in 0..self.choose(3).saturating_sub(1) {
            let space = [' ', '\n', '\r', '\t'][usize::from(self.choose(4))];
            self.out.push(space);
        }
    }

    fn value(&mut self, value: &Value) {
        self.space();
        match value {
            Value::String(text) => self.string(text),
            Value::Array(elements) => self.items('[', ']', elements, |spelling, element| spelling.value(element)),
            Value::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                for position in 1..members.len() {
                    members.swap(position, usize::from(self.choose(8)) % (position + 1));
                }
                self.items('{', '}', &members, |spelling, (key, value)| {
                    spelling.space();
                    spelling.string(key);
                    spelling.space();
                    spelling.out.push(':');
                    spelling.value(value);
                });
            }
            leaf => self.out.push_str(&leaf.to_string()),
        }
        self.space();
    }

    fn items<T>(&mut self, open: char, close: char, items: &[T], mut each: impl FnMut(&mut Self, &T)) {
        self.out.push(open);
        for (position, item) in items.iter().enumerate() {
            if position > 0 {
                self.out.push(',');
            }
            each(self, item);
        }
        if items.is_empty() {
            self.space();
        }
        self.out.push(close);
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for character in text.chars() {
            let choice = self.choose(5);
            let short = "\"\\/\u{8}\u{c}\n\r\t".find(character).map(|at| &r#""\/bfnrt"#[at..=at]);
            match (choice, short) {
                (2 | 3, Some(short)) => self.out.extend(["\\", short]),
                (0..=3, _) if character >= ' ' && !matches!(character, '"' | '\\') => self.out.push(character),
                _ => {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        let upper = self.choose(2) == 1;
                        self.out.push_str(&if upper { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") });
                    }
                }
            }
        }
        self.out.push('"');
    }
}

proptest! {
    #![proptest_config(config(3000))]

    /// However a value is spelled, its canonical form is that of serde_json; and that is its own canonical form.
    #[test]
    fn one_form_for_all_spellings(value in values(strings().boxed()), choices in vec(any::<u8>(), 0..64)) {
        let text = spell(&value, &choices);
        let read_back: Value = serde_json::from_str(&text)?;
        prop_assert_eq!(&read_back, &value);
        let expected = by_serde(&value);
        for dialect in BOTH {
            prop_assert_eq!(answer(&text, dialect), Ok(expected.clone()), "{}", text);
            prop_assert_eq!(answer(&expected, dialect), Ok(expected.clone()));
        }
    }

    #[test]
    fn as_the_crate_canonical_json_in_ascii(value in values("[ -~]{0,5}".boxed()), choices in vec(any::<u8>(), 0..64)) {
        let expected = canonical_json::to_string(&value).map_err(|error| error.to_string());
        for dialect in BOTH {
            let form = answer(&spell(&value, &choices), dialect).map_err(|(kind, _)| kind.to_string());
            prop_assert_eq!(form, expected.clone());
        }
    }

    /// No digit is lost or added, and the form is Python's: an exponent only outside of 1e-4 to 1e16.
    #[test]
    fn floats_keep_their_value(bits in any::<u64>(), small in -1e18..1e18_f64) {
        for float in [f64::from_bits(bits), small].into_iter().filter(|float| float.is_finite()) {
            let written = answer(&format!("{float:e}"), CanonicalDialect::Lenient);
            let written = written.unwrap_or_default();
            prop_assert_eq!(written.parse::<f64>().map(f64::to_bits), Ok(float.to_bits()), "{}", written);
            let plain = float == 0.0 || (1e-4..1e16).contains(&float.abs());
            prop_assert_eq!(written.contains('e'), !plain, "{}", written);
            prop_assert!(plain || written.contains("e+") || written.contains("e-"), "{}", written);
            prop_assert!(!plain || written.contains('.'), "{}", written);
            prop_assert_eq!(answer(&written, CanonicalDialect::Lenient), Ok(written));
        }
    }
}

/// Nesting counts, not how many objects and arrays there are.
#[test]
fn siblings_are_not_nested() {
    let one = format!("{}{}", "[".repeat(100), "]".repeat(100));
    let text = format!("[{}]", vec![one.as_str(); 300].join(","));
    assert_eq!(canonical(&text, CanonicalDialect::Strict).as_deref(), Ok(text.as_str()));
    let objects = format!("[{}]", vec![r#"{"a":{}}"#; 300].join(","));
    assert_eq!(canonical(&objects, CanonicalDialect::Strict).as_deref(), Ok(objects.as_str()));
}
