//! Which texts are JSON: serde_json's opinion and ours.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use matrix_knock::json::{CanonicalDialect, JsonErrorKind, MAX_DEPTH, canonical};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::TestRunner;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::{BOTH, SAFE, answer, by_serde, characters, config};

const TOKENS: &[&str] = &[
    "null",
    "true",
    "false",
    "nul",
    "True",
    "NaN",
    "Infinity",
    "",
    "-",
    "+1",
    "01",
    "-01",
    "1.",
    ".5",
    "1e",
    "1e+",
    "0x1",
    "1_0",
    "-0",
    "-0.0",
    "0.10",
    "1E2",
    "1e999",
    "-1e309",
    "1e-999",
    "9007199254740991",
    "9007199254740992",
    "-9007199254740992",
    "123456789012345678901234567890",
    "\u{feff}1",
    "'a'",
    "\u{c}1",
    "//",
    "[,]",
    "[1,]",
    "{,}",
    "\"",
];

/// Texts that are nearly JSON, and often are.
fn texts() -> impl Strategy<Value = String> {
    let string = r#""([ac-fé😀]|\\["\\/bfnrt]|\\u00[0-7][0-9a-fA-F]|\\u[dD][89cCdD]0[01]){0,3}""#;
    let odd_string = "\"([a-c]|\\\\[a-x\"'0 ]|\\\\u[0-9a-gD+]{3,4}|[\\x00-\\x20]){0,4}\"";
    let number = r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,2})?([eE][+-]?[0-9]{1,3})?";
    let leaf = prop_oneof![
        4 => string,
        1 => odd_string,
        3 => number,
        4 => select(&["null", "true", "false", "0", "1", "{}", "[]"][..]).prop_map(str::to_owned),
        1 => select(TOKENS).prop_map(str::to_owned),
    ];
    let key = prop_oneof![
        6 => r#""[a-f]{1,2}""#,
        2 => r#""\\u006[1-6]""#,
        1 => string,
        1 => select(&["a", "1", "", "null"][..]).prop_map(str::to_owned),
    ];
    let space = || prop_oneof![30 => Just(""), 1 => select(&[" ", "\t", "\n", "\r", "\u{b}", "\u{a0}", "\0"][..])];
    let nest = leaf.prop_recursive(4, 32, 5, move |inner| {
        let member = (space(), key.clone(), space(), inner.clone())
            .prop_map(|(before, key, behind, value)| format!("{before}{key}{behind}:{value}"));
        prop_oneof![
            (vec(inner, 0..4), space()).prop_map(|(elements, space)| format!("[{space}{}]", elements.join(","))),
            (vec(member, 0..4), space()).prop_map(|(members, space)| format!("{{{}{space}}}", members.join(","))),
        ]
    });
    let deep = (120..135_usize, any::<bool>()).prop_map(|(depth, closed)| {
        format!("{}{}", r#"[[{"a":[0,"#.repeat(depth / 4), if closed { "1]}]]" } else { "" }.repeat(depth / 4))
    });
    prop_oneof![30 => nest, 3 => any::<String>(), 1 => deep]
}

fn mutated() -> impl Strategy<Value = String> {
    let inserted = prop_oneof![characters(), select(&['{', '}', '[', ']', ',', ':', '0', '-', 'e', '.'][..])];
    let mutations = vec((0..4_u8, any::<Index>(), 0..6_usize, inserted), 0..4);
    (texts(), mutations).prop_map(|(text, mutations)| {
        let mut text: Vec<char> = text.chars().collect();
        for (kind, at, length, character) in mutations {
            let at = at.index(text.len() + 1);
            let range = at..text.len().min(at + length);
            match kind {
                0 => drop(text.drain(range)),
                1 => {
                    let copied = text[range.clone()].to_vec();
                    drop(text.splice(range.end..range.end, copied));
                }
                2 => text.insert(at, character),
                _ => drop(text.splice(range.start..range.end.min(at + 1), [character])),
            }
        }
        text.into_iter().collect()
    })
}

/// Whether an object has a key twice: this value itself, or anything in it.
#[derive(Default)]
struct Twice {
    here: bool,
    within: bool,
}

impl<'de> Deserialize<'de> for Twice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TwiceVisitor)
    }
}

struct TwiceVisitor;

impl<'de> Visitor<'de> for TwiceVisitor {
    type Value = Twice;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_bool<E>(self, _: bool) -> Result<Twice, E> {
        Ok(Twice::default())
    }
    fn visit_i64<E>(self, _: i64) -> Result<Twice, E> {
        Ok(Twice::default())
    }
    fn visit_u64<E>(self, _: u64) -> Result<Twice, E> {
        Ok(Twice::default())
    }
    fn visit_f64<E>(self, _: f64) -> Result<Twice, E> {
        Ok(Twice::default())
    }
    fn visit_str<E>(self, _: &str) -> Result<Twice, E> {
        Ok(Twice::default())
    }
    fn visit_unit<E>(self) -> Result<Twice, E> {
        Ok(Twice::default())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Twice, A::Error> {
        let mut found = Twice::default();
        while let Some(element) = elements.next_element::<Twice>()? {
            found.within |= element.here || element.within;
        }
        Ok(found)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Twice, A::Error> {
        let (mut found, mut keys) = (Twice::default(), BTreeSet::new());
        while let Some((key, value)) = members.next_entry::<String, Twice>()? {
            found.here |= !keys.insert(key);
            found.within |= value.here || value.within;
        }
        Ok(found)
    }
}

/// How many brackets are open at the end of a text, and the most that ever were.
fn depth(text: &str) -> (u32, u32) {
    let (mut open, mut most, mut in_string, mut escaped) = (0_u32, 0, false, false);
    for character in text.chars() {
        match (character, in_string) {
            _ if escaped => escaped = false,
            ('\\', true) => escaped = true,
            ('"', _) => in_string = !in_string,
            ('[' | '{', false) => open += 1,
            (']' | '}', false) => open -= 1,
            _ => {}
        }
        most = most.max(open);
    }
    (open, most)
}

fn surrogate(text: &str) -> Option<u32> {
    let unit = u32::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok()?;
    (0xD800..0xE000).contains(&unit).then_some(unit)
}

/// Whether the reason for which we refuse a text is true of it, by other means than ours.
fn applies(text: &str, dialect: CanonicalDialect, kind: JsonErrorKind, at: usize) -> bool {
    let rest = &text[at..];
    let syntax = serde_json::from_str::<IgnoredAny>(text);
    match kind {
        JsonErrorKind::UnexpectedCharacter => syntax.is_err(),
        JsonErrorKind::UnexpectedEnd => syntax.is_err() && matches!(rest, "" | "\\"),
        JsonErrorKind::TrailingCharacters => {
            syntax.is_err() && serde_json::from_str::<IgnoredAny>(&text[..at]).is_ok() && !rest.is_empty()
        }
        JsonErrorKind::ControlCharacter => syntax.is_err() && rest.starts_with(|character| character < ' '),
        JsonErrorKind::InvalidEscape => syntax.is_err() && rest.starts_with('\\'),
        JsonErrorKind::TooDeep => depth(&text[..at]).0 == MAX_DEPTH + 1,
        JsonErrorKind::LoneSurrogate => match (surrogate(rest), rest.get(6..).and_then(surrogate)) {
            (Some(0xD800..0xDC00), Some(0xDC00..0xE000)) | (None, _) => false,
            (Some(_), _) => serde_json::from_str::<Value>(text).is_err(),
        },
        // The innermost object that ends here.
        JsonErrorKind::DuplicateKey => text[..at]
            .rmatch_indices('{')
            .find_map(|(start, _)| serde_json::from_str::<Twice>(&text[start..at]).ok())
            .is_some_and(|found| found.here && !found.within),
        JsonErrorKind::NumberNotAllowed => {
            // The longest number that stands here.
            let ends = rest.char_indices().map(|(at, character)| at + character.len_utf8());
            let numbers = ends.map(|end| &rest[..end]).take_while(|text| !text.ends_with([' ', '\n', '\r', '\t']));
            let number = numbers.filter(|text| serde_json::from_str::<IgnoredAny>(text).is_ok()).last();
            let number = number.unwrap_or_default();
            let float = number.contains(['.', 'e', 'E']);
            match dialect {
                CanonicalDialect::Lenient => float && number.parse().is_ok_and(f64::is_infinite),
                CanonicalDialect::Strict if float || number == "-0" => true,
                // Beyond 64 bits is beyond 53 bits.
                CanonicalDialect::Strict => number
                    .parse::<i64>()
                    .map_or(number.len() > 18, |number| number.unsigned_abs() > SAFE.unsigned_abs()),
            }
        }
        // No text is refused for what only containers are refused for.
        _ => false,
    }
}

fn check_acceptance(text: &str) -> Result<[Result<String, JsonErrorKind>; 2], TestCaseError> {
    let value = serde_json::from_str::<Value>(text);
    let answers = BOTH.map(|dialect| answer(text, dialect));
    for (dialect, answer) in BOTH.into_iter().zip(&answers) {
        match answer {
            Ok(form) => {
                prop_assert!(serde_json::from_str::<IgnoredAny>(text).is_ok(), "{:?} {}", dialect, text);
                prop_assert!(value.is_ok() || depth(text).1 == MAX_DEPTH, "{:?} {}", dialect, text);
                let answer_again = canonical(form, dialect);
                let twice = serde_json::from_str::<Twice>(text).unwrap_or_default();
                prop_assert!(!twice.here && !twice.within, "{:?} {}", dialect, text);
                prop_assert_eq!(answer_again, Ok(form.clone()));
            }
            Err((kind, at)) => {
                prop_assert!(applies(text, dialect, *kind, *at), "{:?} {} at {}: {}", dialect, kind, at, text)
            }
        }
    }
    let [strict, lenient] = answers;
    if let (Ok(form), Ok(value)) = (&strict, &value) {
        prop_assert_eq!(form, &by_serde(value));
        prop_assert_eq!(Ok(form), lenient.as_ref());
    }
    Ok([strict, lenient].map(|answer| answer.map_err(|(kind, _)| kind)))
}

/// Every text, and nothing but what is listed in `applies` tells us from serde_json. Each reason comes up.
#[test]
fn accepts_what_serde_json_accepts() {
    let mut runner = TestRunner::new(config(30_000));
    let seen = RefCell::new(BTreeSet::<String>::new());
    let result = runner.run(&prop_oneof![texts(), mutated()], |text| {
        for answer in check_acceptance(&text)? {
            let name = answer.map_or_else(|kind| format!("{kind:?}"), |_| "Ok".to_owned());
            seen.borrow_mut().insert(name);
        }
        Ok(())
    });
    assert_eq!(result, Ok(()));
    let seen: Vec<_> = seen.into_inner().into_iter().collect();
    assert_eq!(
        seen,
        [
            "ControlCharacter",
            "DuplicateKey",
            "InvalidEscape",
            "LoneSurrogate",
            "NumberNotAllowed",
            "Ok",
            "TooDeep",
            "TrailingCharacters",
            "UnexpectedCharacter",
            "UnexpectedEnd",
        ]
    );
}
