//! What holds for every header and every body.

use std::collections::BTreeMap;

use matrix_knock::x_matrix::{Authorization, SignedRequest, XMatrixError};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use ruma_common::CanonicalJsonObject;
use ruma_common::serde::Base64;
use ruma_signatures::PublicKeyMap;
use serde_json::{Number, Value, json};

use super::{KEY_ID, ORIGIN, key, request, server, verify};

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Pieces of headers, in any order.
fn soup() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "X-Matrix",
        "x-matrix",
        " ",
        "\t",
        ",",
        "=",
        "\"",
        "\\",
        "origin",
        "destination",
        "key",
        "sig",
        "KEY",
        "a",
        "b.example",
        "a.example:8448",
        "[::1]",
        "ed25519:1",
        super::headers::SIG,
        "é",
        "\u{a0}",
        "\0",
        "\u{7f}",
        ";",
    ];
    let piece = prop_oneof![9 => select(PIECES).prop_map(str::to_owned), 1 => any::<String>()];
    (any::<bool>(), vec(piece, 0..30)).prop_map(|(scheme, pieces)| {
        let start = if scheme { "X-Matrix " } else { "" };
        format!("{start}{}", pieces.concat())
    })
}

fn server_names() -> impl Strategy<Value = String> {
    let hosts = prop_oneof!["[a-zA-Z0-9.-]{1,30}", "\\[[0-9a-f]{1,4}::[0-9a-f]{1,4}\\]", "1[0-9]\\.2\\.3\\.4"];
    let names = (hosts, proptest::option::of("[0-9]{1,5}"));
    let names = names.prop_map(|(host, port)| match port {
        Some(port) => format!("{host}:{port}"),
        None => host,
    });
    names.prop_filter("four numbers that are no address", |name| matrix_knock::id::ServerName::parse(name).is_ok())
}

/// How a header is spelled.
#[derive(Debug, Clone)]
struct Spelling {
    order: Vec<Index>,
    upper: Vec<bool>,
    spaces: Vec<&'static str>,
    escapes: Vec<bool>,
    unknown: Vec<(Index, String)>,
}

fn spellings() -> impl Strategy<Value = Spelling> {
    let spaces = vec(select(&["", "", " ", "\t", "  \t", ",", " ,\t, "][..]), 32);
    let unknown = (any::<Index>(), "[ -~é\t]{0,20}");
    (vec(any::<Index>(), 4), vec(any::<bool>(), 4), spaces, vec(any::<bool>(), 300), vec(unknown, 0..3))
        .prop_map(|(order, upper, spaces, escapes, unknown)| Spelling { order, upper, spaces, escapes, unknown })
}

/// A string in quotes, some of its characters escaped.
fn quoted(value: &str, escapes: &[bool]) -> String {
    let mut out = String::from("\"");
    for (character, escaped) in value.chars().zip(escapes.iter().cycle()) {
        if *escaped || matches!(character, '"' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out.push('"');
    out
}

impl Spelling {
    fn write(&self, parameters: &[(&str, &str)]) -> String {
        let mut written = Vec::new();
        for ((name, value), upper) in parameters.iter().zip(self.upper.iter().cycle()) {
            let name = if *upper { name.to_uppercase() } else { (*name).to_owned() };
            written.push(format!("{name}={}", quoted(value, &self.escapes)));
        }
        for (one, other) in self.order.iter().enumerate() {
            let (one, other) = (one % written.len(), other.index(written.len()));
            written.swap(one, other);
        }
        for (place, value) in &self.unknown {
            let place = place.index(written.len() + 1);
            written.insert(place, format!("unknown={}", quoted(value, &self.escapes)));
        }
        let mut out = String::from("X-Matrix ");
        for (one, parameter) in written.iter().enumerate() {
            if one > 0 {
                out.push(',');
            }
            out.push_str(self.spaces.get(one % 32).unwrap());
            out.push_str(parameter);
            // White space or an empty element.
            out.push_str(self.spaces.get((one + 7) % 32).unwrap());
        }
        out
    }
}

/// Values that JSON and serde_json both have, with numbers that both write in the same way.
fn bodies() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        any::<i64>().prop_map(Number::from),
        any::<i16>().prop_map(Number::from),
        any::<u64>().prop_map(Number::from),
        // Eighths are exact, and far from where an exponent is written.
        any::<i32>()
            .prop_filter_map("-0.0", |eighths| (eighths != 0).then(|| Number::from_f64(f64::from(eighths) / 8.0))?),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        number.prop_map(Value::Number),
        any::<String>().prop_map(Value::String),
        "[\\x00-\\x7f]{0,8}".prop_map(Value::String),
    ];
    leaf.prop_recursive(6, 60, 6, |inner| {
        let key = prop_oneof![any::<String>(), "[a-c\\x00-\\x1f\"\\\\é€😀]{0,3}"];
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::Array),
            btree_map(key, inner, 0..6).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Whether all numbers are in canonical JSON as the specification has it.
fn is_strict(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.values().all(is_strict),
        Value::Array(elements) => elements.iter().all(is_strict),
        Value::Number(number) => number.as_i64().is_some_and(|number| number.unsigned_abs() < 1 << 53),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

/// Canonical JSON, written anew: keys by code point, which is the order of their bytes; serde_json's own strings and numbers.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let sorted: BTreeMap<&String, &Value> = members.iter().collect();
            let member = |(key, value): (&String, &Value)| {
                format!("{}:{}", serde_json::to_string(key).unwrap(), canonical(value))
            };
            format!("{{{}}}", sorted.into_iter().map(member).collect::<Vec<_>>().join(","))
        }
        Value::Array(elements) => format!("[{}]", elements.iter().map(canonical).collect::<Vec<_>>().join(",")),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => serde_json::to_string(value).unwrap(),
    }
}

/// The same value in another spelling: keys from the last to the first, white space, escapes by number.
fn respelled(value: &Value) -> String {
    let string = |text: &str| {
        let units = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect::<String>();
        format!("\"{units}\"")
    };
    match value {
        Value::Object(members) => {
            let sorted: BTreeMap<&String, &Value> = members.iter().collect();
            let member = |(key, value): (&String, &Value)| format!("\t{} :\n{}", string(key), respelled(value));
            format!("{{{} }}", sorted.into_iter().rev().map(member).collect::<Vec<_>>().join(" ,"))
        }
        Value::Array(elements) => format!("[ {}\r]", elements.iter().map(respelled).collect::<Vec<_>>().join(", ")),
        Value::String(text) => string(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => serde_json::to_string(value).unwrap(),
    }
}

proptest! {
    #![proptest_config(config(4096))]

    #[test]
    fn no_header_makes_it_panic(header in soup()) {
        if let Ok(read) = Authorization::parse(&header) {
            let written = read.to_string();
            prop_assert_eq!(Authorization::parse(&written), Ok(read));
        }
    }

    #[test]
    fn what_is_written_reads_back(
        origin in server_names(),
        destination in proptest::option::of(server_names()),
        version in "[!#-+\\--\\[\\]-~]{1,20}",
        sig in "[A-Za-z0-9+/]{85}[AQgw]",
        spelling in spellings(),
    ) {
        let key = format!("ed25519:{version}");
        let mut parameters = vec![("origin", origin.as_str()), ("key", &key), ("sig", &sig)];
        parameters.extend(destination.as_deref().map(|name| ("destination", name)));
        let header = spelling.write(&parameters);
        let said = destination.as_deref().map(|name| format!(r#",destination="{name}""#)).unwrap_or_default();
        let expected = format!(r#"X-Matrix origin="{origin}"{said},key="{key}",sig="{sig}""#);
        let read = Authorization::parse(&header);
        prop_assert_eq!(read.as_ref().map(ToString::to_string), Ok(expected.clone()), "{}", header);
        prop_assert_eq!(Authorization::parse(&expected), read);
    }
}

proptest! {
    #![proptest_config(config(512))]

    #[test]
    fn what_is_signed_is_what_another_reading_gives(
        body in bodies(),
        method in "[A-Z]{1,8}",
        uri in "/[ -~é\"\\\\]{0,40}",
        origin in server_names(),
        destination in server_names(),
    ) {
        let members = [
            ("method", Value::from(method.as_str())),
            ("uri", Value::from(uri.as_str())),
            ("origin", Value::from(origin.as_str())),
            ("destination", Value::from(destination.as_str())),
            ("content", body.clone()),
        ];
        let whole: Value = members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        for text in [body.to_string(), serde_json::to_string_pretty(&body).unwrap(), respelled(&body)] {
            let (method, uri) = (method.as_str(), uri.as_str());
            let (origin, destination) = (server(&origin), server(&destination));
            let request = SignedRequest { method, uri, origin, destination, content: Some(&text) };
            prop_assert_eq!(request.message(), Ok(canonical(&whole)), "{}", text);
        }
    }

    /// Step 1 of the text, verified by ruma.
    #[test]
    fn another_library_verifies_it(body in bodies().prop_filter("what ruma has no number for", is_strict)) {
        let text = body.to_string();
        let sent = request(Some(&text));
        let header = sent.sign(&key()).unwrap().to_string();
        let sig = header.rsplit_once("sig=").map(|(_, sig)| sig.trim_matches('"')).unwrap();
        let mut object: Value = serde_json::from_str(&sent.message().unwrap()).unwrap();
        let members = object.as_object_mut().unwrap();
        members.insert("signatures".to_owned(), json!({ ORIGIN: { KEY_ID: sig } }));
        let public_key = [(KEY_ID.to_owned(), Base64::new(key().public_key().to_vec()))].into();
        let keys = PublicKeyMap::from([(ORIGIN.to_owned(), public_key)]);
        let object: CanonicalJsonObject = serde_json::from_value(object).unwrap();
        prop_assert!(ruma_signatures::verify_json(&keys, &object).is_ok(), "{}", text);
    }

    #[test]
    fn any_text_is_signed_and_verified_or_refused_by_both(text in prop_oneof![any::<String>(), "[\\[\\]{}\",:0-9.e\\\\ -]{0,20}"]) {
        let sent = request(Some(&text));
        match sent.sign(&key()) {
            Ok(signed) => {
                prop_assert_eq!(signed.key_id(), KEY_ID);
                prop_assert_eq!(verify(&signed, &sent), Ok(()));
                prop_assert!(serde_json::from_str::<Value>(&text).is_ok());
            }
            Err(error) => {
                let signed = request(None).sign(&key()).unwrap();
                prop_assert_eq!(verify(&signed, &sent), Err(XMatrixError::Content(error)));
            }
        }
    }
}
