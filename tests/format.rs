//! The format check as a table: a good event of each version, then one rule broken at a time.
//!
//! <https://spec.matrix.org/v1.19/rooms/v12/#event-format> and the same section of the other versions,
//! <https://spec.matrix.org/v1.19/client-server-api/#size-limits>. At the end, what the specification signs itself.

use matrix_knock::RoomVersion;
use matrix_knock::event::{FormatError, MAX_EVENT_TEXT_BYTES, Pdu, PduError};
use matrix_knock::id::IdError;
use matrix_knock::json::{CanonicalDialect, JsonErrorKind, canonical};
use serde_json::{Value, json};

/// 43 characters of base64, as the hash of an event or of its content.
const HASH: &str = "5jM4wQpv6lnBo7CLIghJuHdW+s2CMBJPUOGOC89ncos";
/// One value of every kind that JSON has.
const KINDS: [&str; 7] = ["null", "true", "1", r#""x""#, r#"["x"]"#, "{}", "[]"];

/// What the check says. Where in a text JSON is wrong is no affair of the format.
#[derive(Debug, PartialEq)]
enum Answer {
    Good,
    Refused(FormatError),
    /// Already by the reader of the outline, in every version.
    NoJson(JsonErrorKind),
    /// By the dialect of the version.
    NotCanonical(JsonErrorKind),
}

use Answer::{Good, NoJson, NotCanonical, Refused};

const NO_NUMBER: Answer = NotCanonical(JsonErrorKind::NumberNotAllowed);

fn answer(version: RoomVersion, text: &str) -> Answer {
    let pdu = match Pdu::parse(text) {
        Ok(pdu) => pdu,
        Err(PduError::Json(error)) => return NoJson(error.kind()),
        Err(error) => return outline(error),
    };
    match pdu.check_format(version) {
        Ok(_) => Good,
        Err(FormatError::Pdu(PduError::Json(error))) => NotCanonical(error.kind()),
        Err(error) => Refused(error),
    }
}

const fn outline(error: PduError) -> Answer {
    Refused(FormatError::Pdu(error))
}

const fn wrong_kind(property: &'static str) -> Answer {
    Refused(FormatError::WrongKind(property))
}

const fn id(property: &'static str, error: IdError) -> Answer {
    Refused(FormatError::Id { property, error })
}

fn has_pairs(version: RoomVersion) -> bool {
    version <= RoomVersion::V2
}

/// How a list of this version names an event.
fn reference(version: RoomVersion, event_id: &str) -> Value {
    if has_pairs(version) { json!([event_id, { "sha256": HASH }]) } else { json!(event_id) }
}

fn good(version: RoomVersion) -> Value {
    let room_id = if version == RoomVersion::V12 { format!("!{HASH}") } else { "!room:a.example".to_owned() };
    let mut event = json!({
        "type": "m.room.member",
        "state_key": "@kay:b.example",
        "sender": "@kay:b.example",
        "room_id": room_id,
        "content": { "membership": "join", "displayname": "Kaÿ" },
        "auth_events": [reference(version, "$one:a.example"), reference(version, "$two:a.example")],
        "prev_events": [reference(version, "$three:a.example")],
        "depth": 12,
        "origin_server_ts": 1_700_000_000_000_i64,
        "hashes": { "sha256": HASH },
        "signatures": { "b.example": { "ed25519:1": "x" }, "c.example": {} },
        "unsigned": { "age": 5 },
    });
    if has_pairs(version) {
        event.as_object_mut().and_then(|event| event.insert("event_id".to_owned(), json!("$event:b.example")));
    }
    event
}

fn with(version: RoomVersion, property: &str, value: impl Into<Value>) -> String {
    let mut event = good(version);
    event.as_object_mut().and_then(|event| event.insert(property.to_owned(), value.into()));
    event.to_string()
}

/// With a text for the value, which need not be one that a `Value` could hold.
fn with_text(version: RoomVersion, property: &str, text: &str) -> String {
    with(version, property, "\u{1}").replace(r#""\u0001""#, text)
}

fn without(version: RoomVersion, property: &str) -> String {
    let mut event = good(version);
    event.as_object_mut().and_then(|event| event.remove(property));
    event.to_string()
}

#[test]
fn good_events() {
    for version in RoomVersion::ALL {
        let text = good(version).to_string();
        let formatted = Pdu::parse(&text).unwrap().check_format(version).unwrap();
        assert_eq!((formatted.version(), formatted.pdu().text()), (version, &*text));
        assert_eq!(formatted.auth_events().collect::<Vec<_>>(), ["$one:a.example", "$two:a.example"]);
        assert_eq!(formatted.prev_events().collect::<Vec<_>>(), ["$three:a.example"]);
        assert_eq!((formatted.depth(), formatted.origin_server_ts()), (12, 1_700_000_000_000));
    }
}

#[test]
fn properties_that_are_missing() {
    for version in RoomVersion::ALL {
        for property in ["type", "sender", "content"] {
            assert_eq!(answer(version, &without(version, property)), outline(PduError::Missing(property)));
        }
        for property in ["room_id", "auth_events", "prev_events", "depth", "origin_server_ts", "hashes", "signatures"] {
            let expected = Refused(FormatError::Missing(property));
            assert_eq!(answer(version, &without(version, property)), expected, "{version}");
        }
        for optional in ["state_key", "unsigned"] {
            assert_eq!(answer(version, &without(version, optional)), Good, "{version} {optional}");
        }
    }
}

#[test]
fn properties_of_the_wrong_kind() {
    const OUTLINE: [&str; 5] = ["type", "state_key", "sender", "room_id", "prev_events"];
    for version in RoomVersion::ALL {
        for (right, properties) in [
            ('"', &["type", "state_key", "sender", "room_id"][..]),
            ('[', &["prev_events", "auth_events"]),
            ('1', &["depth", "origin_server_ts"]),
            ('{', &["content", "signatures", "hashes"]),
        ] {
            let each = properties.iter().flat_map(|property| KINDS.map(|kind| (*property, kind)));
            for (property, kind) in each {
                let expected = match OUTLINE.contains(&property) {
                    _ if kind.starts_with(right) => continue,
                    true => outline(PduError::WrongKind(property)),
                    false => wrong_kind(property),
                };
                let text = with_text(version, property, kind);
                assert_eq!(answer(version, &text), expected, "{version} {property} {kind}");
            }
        }
        // This is no part of the event.
        for kind in KINDS {
            assert_eq!(answer(version, &with_text(version, "unsigned", kind)), Good, "{version} {kind}");
        }
    }
}

/// Whatever else the check is asked, an unknown property is none of its business.
#[test]
fn more_properties() {
    for version in RoomVersion::ALL {
        for property in ["origin", "membership", "prev_state", "redacts", "org.example.x", ""] {
            for kind in KINDS {
                assert_eq!(answer(version, &with_text(version, property, kind)), Good, "{version} {property} {kind}");
            }
        }
    }
}

#[test]
fn references() {
    const PAIR: &str = r#"["$x:a.example",{"sha256":"x"}]"#;
    for version in RoomVersion::ALL {
        let (ids, pairs) = (r#"["$x:a.example"]"#, format!("[{PAIR}]"));
        let (right, other) = if has_pairs(version) { (&*pairs, ids) } else { (ids, &*pairs) };
        let mixed = format!(r#"[{PAIR},"$x:a.example"]"#);
        for property in ["auth_events", "prev_events"] {
            let check = |list: &str| answer(version, &with_text(version, property, list));
            assert_eq!([check(right), check("[]")], [Good, Good], "{version} {property}");
            assert_eq!([check(other), check(&mixed)], [(); 2].map(|()| wrong_kind(property)), "{version} {property}");
            for bad in ["[null]", "[1]", "[true]", "[{}]", "[[]]", "[[1,{}]]", r#"["$x:a.example",1]"#] {
                let expected = match property {
                    "prev_events" => outline(PduError::WrongKind(property)),
                    _ => wrong_kind(property),
                };
                assert_eq!(check(bad), expected, "{version} {property} {bad}");
            }
            for (bad, error) in [("x:a.example", IdError::Sigil('$')), ("$", IdError::LocalPart)] {
                let list = json!([reference(version, "$x:a.example"), reference(version, bad)]).to_string();
                assert_eq!(check(&list), id(property, error), "{version} {property} {bad}");
            }
        }
    }
}

/// A pair has two entries, neither more nor less.
#[test]
fn pairs_have_two_entries() {
    for version in [RoomVersion::V1, RoomVersion::V2] {
        for list in [r#"[["$x:a.example"]]"#, r#"[["$x:a.example",{},{}]]"#, r#"[["$x:a.example",1]]"#] {
            let text = with_text(version, "auth_events", list);
            assert_eq!(answer(version, &text), wrong_kind("auth_events"), "{version} {list}");
        }
    }
}

#[test]
fn how_many_references() {
    for version in RoomVersion::ALL {
        for (property, most) in [("auth_events", 10), ("prev_events", 20)] {
            let list = |count| vec![reference(version, "$x:a.example"); count];
            assert_eq!(answer(version, &with(version, property, list(most))), Good, "{version} {property}");
            for count in [most + 1, 200] {
                let expected = Refused(FormatError::TooMany { property, count });
                assert_eq!(answer(version, &with(version, property, list(count))), expected, "{version}");
            }
        }
    }
}

/// Bytes are counted, not characters: `é` has two.
#[test]
fn lengths() {
    for version in RoomVersion::ALL {
        for letter in ["x", "é", "\u{1F511}"] {
            let long = |before: &str, after: &str, bytes: usize| {
                let between = bytes - before.len() - after.len();
                let filler = "x".repeat(between % letter.len());
                format!("{before}{}{filler}{after}", letter.repeat(between / letter.len()))
            };
            for (property, before, after, too_long) in [
                ("type", "", "", Refused(FormatError::TooLong("type"))),
                ("state_key", "", "", Refused(FormatError::TooLong("state_key"))),
                ("sender", "@", ":b.example", id("sender", IdError::TooLong)),
                ("room_id", "!", ":b.example", id("room_id", IdError::TooLong)),
                ("event_id", "$", ":b.example", id("event_id", IdError::TooLong)),
            ] {
                if property == "event_id" && !has_pairs(version) {
                    continue;
                }
                let check = |bytes| answer(version, &with(version, property, long(before, after, bytes)));
                assert_eq!(check(255), Good, "{version} {property} {letter}");
                assert_eq!(check(256), too_long, "{version} {property} {letter}");
            }
            for property in ["auth_events", "prev_events"] {
                let list = |bytes| vec![reference(version, &long("$", ":b.example", bytes))];
                assert_eq!(answer(version, &with(version, property, list(255))), Good);
                let text = with(version, property, list(256));
                assert_eq!(answer(version, &text), id(property, IdError::TooLong), "{version} {letter}");
            }
        }
    }
}

#[test]
fn identifiers() {
    for version in RoomVersion::ALL {
        for (property, value, error) in [
            ("sender", "kay:b.example", IdError::Sigil('@')),
            ("sender", "@kay", IdError::NoDomain),
            ("sender", "@kay:b example", IdError::ServerName),
            ("sender", "@k\0y:b.example", IdError::LocalPart),
            ("room_id", "#room:a.example", IdError::Sigil('!')),
            ("room_id", "!room:", IdError::ServerName),
            ("room_id", "!", IdError::LocalPart),
        ] {
            assert_eq!(answer(version, &with(version, property, value)), id(property, error), "{version} {value:?}");
        }
        for (value, error) in [
            ("event:b.example", Some(IdError::Sigil('$'))),
            ("$event", Some(IdError::NoDomain)),
            ("$event:", Some(IdError::ServerName)),
            ("$event:c.example", None),
        ] {
            let expected = match error {
                _ if !has_pairs(version) => Refused(FormatError::Unexpected("event_id")),
                Some(error) => id("event_id", error),
                None => Good,
            };
            assert_eq!(answer(version, &with(version, "event_id", value)), expected, "{version} {value}");
        }
        let missing = has_pairs(version).then_some(Refused(FormatError::Missing("event_id")));
        assert_eq!(answer(version, &without(version, "event_id")), missing.unwrap_or(Good), "{version}");
    }
}

/// Since v12 the ID of the create event makes the room ID, so the event cannot hold it.
#[test]
fn room_of_the_create_event() {
    for version in RoomVersion::ALL {
        let mut create = good(version);
        create["type"] = json!("m.room.create");
        create["state_key"] = json!("");
        let named = if version == RoomVersion::V12 { Refused(FormatError::Unexpected("room_id")) } else { Good };
        assert_eq!(answer(version, &create.to_string()), named, "{version}");
        create.as_object_mut().unwrap().remove("room_id");
        let unnamed = if version == RoomVersion::V12 { Good } else { Refused(FormatError::Missing("room_id")) };
        assert_eq!(answer(version, &create.to_string()), unnamed, "{version}");
    }
}

#[test]
fn sizes() {
    for version in RoomVersion::ALL {
        let with = |property: &str, value: Value| {
            let mut event = good(version);
            event.as_object_mut().unwrap().remove("unsigned");
            event[property] = value;
            event.to_string()
        };
        let bare = canonical(&with("content", json!({ "body": "" })), CanonicalDialect::Strict).unwrap().len();
        let of = |bytes: usize| with("content", json!({ "body": "x".repeat(bytes - bare) }));
        assert_eq!(of(65_536).len(), 65_536);
        assert_eq!(answer(version, &of(65_536)), Good, "{version}");
        assert_eq!(answer(version, &of(65_537)), Refused(FormatError::TooLarge { bytes: 65_537 }), "{version}");

        // The canonical form counts, in which an escape or a space takes no room.
        let escaped = of(65_536).replace('x', r"\u0078");
        assert!(escaped.len() > 300_000);
        assert_eq!(answer(version, &escaped), Good, "{version}");
        let text = with("org.example.x", json!([]));
        let padded = |bytes: usize| text.replacen("[]", &format!("[{}]", " ".repeat(bytes - text.len())), 1);
        let bytes = MAX_EVENT_TEXT_BYTES + 1;
        let (longest, longer) = (padded(bytes - 1), padded(bytes));
        assert_eq!((longest.len(), longer.len()), (bytes - 1, bytes));
        assert_eq!(answer(version, &longest), Good, "{version}");
        assert_eq!(answer(version, &longer), outline(PduError::TooLarge { bytes }), "{version}");

        // The whole event counts, and nothing that is no part of it.
        let text = with("signatures", json!({ "x": { "ed25519:x": "x".repeat(65_536) } }));
        let bytes = canonical(&text, CanonicalDialect::Strict).unwrap().len();
        assert_eq!(answer(version, &text), Refused(FormatError::TooLarge { bytes }), "{version}");
        let note = |text: &str, bytes: usize| {
            text.replacen('{', &format!(r#"{{"unsigned":{{"x":"{}"}},"#, "x".repeat(bytes)), 1)
        };
        for bytes in [1, 65_536, 1_000_000] {
            assert_eq!(answer(version, &note(&of(65_536), bytes)), Good, "{version} {bytes}");
            let too_large = Refused(FormatError::TooLarge { bytes: 65_537 });
            assert_eq!(answer(version, &note(&of(65_537), bytes)), too_large, "{version} {bytes}");
            let too_large = outline(PduError::TooLarge { bytes: MAX_EVENT_TEXT_BYTES + 1 });
            assert_eq!(answer(version, &note(&longer, bytes)), too_large, "{version} {bytes}");
        }
    }
}

#[test]
fn depths_and_times() {
    let (depth, time) = (|| wrong_kind("depth"), || wrong_kind("origin_server_ts"));
    for version in RoomVersion::ALL {
        for (text, before_v6, since_v6) in [
            ("-1", (depth(), Good), (depth(), Good)),
            ("0", (Good, Good), (Good, Good)),
            ("9007199254740991", (Good, Good), (Good, Good)),
            ("9007199254740992", (Good, Good), (NO_NUMBER, NO_NUMBER)),
            ("9223372036854775807", (Good, Good), (NO_NUMBER, NO_NUMBER)),
            ("9223372036854775808", (depth(), time()), (NO_NUMBER, NO_NUMBER)),
            ("-0", (Good, Good), (NO_NUMBER, NO_NUMBER)),
            ("1.0", (depth(), time()), (NO_NUMBER, NO_NUMBER)),
            ("1e1", (depth(), time()), (NO_NUMBER, NO_NUMBER)),
        ] {
            let answers = ["depth", "origin_server_ts"].map(|name| answer(version, &with_text(version, name, text)));
            let expected = if version >= RoomVersion::V6 { since_v6 } else { before_v6 };
            assert_eq!(answers, <[Answer; 2]>::from(expected), "{version} {text}");
        }
    }
}

/// <https://spec.matrix.org/v1.19/rooms/v6/#canonical-json>: enforced from there on.
#[test]
fn numbers() {
    const NUMBERS_OF_OLD: &str = "-0 -0.0 0.5 1.0 1e2 1E2 1e-7 9007199254740992 -9007199254740992 99999999999999999999";
    for version in RoomVersion::ALL {
        let places = ["content", "org.example.x"].map(|property| (property, r#"{"a":[{"b":NUMBER}]}"#));
        for (property, nested) in places {
            let check = |number| answer(version, &with_text(version, property, &nested.replace("NUMBER", number)));
            for number in ["0", "-1", "9007199254740991", "-9007199254740991"] {
                assert_eq!(check(number), Good, "{version} {property} {number}");
            }
            for number in NUMBERS_OF_OLD.split(' ') {
                let expected = if version >= RoomVersion::V6 { NO_NUMBER } else { Good };
                assert_eq!(check(number), expected, "{version} {property} {number}");
            }
            assert_eq!(check("1e400"), NoJson(JsonErrorKind::NumberNotAllowed), "{version} {property}");
            for number in ["01", "+1", "1.", "NaN"] {
                assert_eq!(check(number), NoJson(JsonErrorKind::UnexpectedCharacter), "{version} {property} {number}");
            }
        }
        // Of what nobody signs no more than the grammar counts.
        let check = |number| answer(version, &with_text(version, "unsigned", &format!(r#"{{"a":[{number}]}}"#)));
        for number in NUMBERS_OF_OLD.split(' ').chain(["0", "9007199254740991", "1e400", "-1e400"]) {
            assert_eq!(check(number), Good, "{version} {number}");
        }
        for number in ["01", "+1", "1.", "NaN"] {
            assert_eq!(check(number), NoJson(JsonErrorKind::UnexpectedCharacter), "{version} {number}");
        }
    }
}

#[test]
fn hashes_and_signatures() {
    for version in RoomVersion::ALL {
        let check = |property, text: &str| answer(version, &with_text(version, property, text));
        assert_eq!(check("hashes", r#"{"sha256":"x","md5":1}"#), Good, "{version}");
        for bad in [r#"{"sha256":1}"#, r#"{"sha256":null}"#] {
            assert_eq!(check("hashes", bad), wrong_kind("hashes"), "{version} {bad}");
        }
        for good in ["{}", r#"{"c.example":{}}"#, r#"{"c.example":{"ed25519:1":"x","other":"y"}}"#] {
            assert_eq!(check("signatures", good), Good, "{version} {good}");
        }
        for bad in [r#""x""#, "null", r#"["x"]"#, r#"{"ed25519:1":1}"#, r#"{"ed25519:1":null}"#, r#"{"other":{}}"#] {
            let bad = format!(r#"{{"b.example":{{"ed25519:1":"x"}},"c.example":{bad}}}"#);
            assert_eq!(check("signatures", &bad), wrong_kind("signatures"), "{version} {bad}");
        }
    }
}

#[test]
fn texts() {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    for version in RoomVersion::ALL {
        for text in ["[]", "null", "1", r#""x""#, "true"] {
            assert_eq!(answer(version, text), outline(PduError::NotAnObject), "{version} {text}");
        }
        let whole = good(version).to_string();
        for (text, kind) in [
            (String::new(), JsonErrorKind::UnexpectedEnd),
            (whole.trim_end_matches('}').to_owned(), JsonErrorKind::UnexpectedEnd),
            (format!("{whole}x"), JsonErrorKind::TrailingCharacters),
            (whole.replacen("\":", "\";", 1), JsonErrorKind::UnexpectedCharacter),
            (whole.replacen('{', r#"{"type":"m.room.member","#, 1), JsonErrorKind::DuplicateKey),
            (whole.replacen('{', r#"{"\u0074ype":"m.room.member","#, 1), JsonErrorKind::DuplicateKey),
        ] {
            assert_eq!(answer(version, &text), NoJson(kind), "{version} {text}");
        }
        for property in ["content", "unsigned", "org.example.x"] {
            let check = |text: &str| answer(version, &with_text(version, property, text));
            // Of what nobody signs no more than the grammar counts.
            let counts = property != "unsigned";
            for (text, kind) in [
                (r#"{"a":"\ud800"}"#, JsonErrorKind::LoneSurrogate),
                (r#"{"a":"\udc00\ud800"}"#, JsonErrorKind::LoneSurrogate),
                (r#"{"\udfff":1}"#, JsonErrorKind::LoneSurrogate),
                (r#"{"a":1,"a":1}"#, JsonErrorKind::DuplicateKey),
                (r#"{"x":[{"a":1,"\u0061":2}]}"#, JsonErrorKind::DuplicateKey),
            ] {
                let expected = if counts { NoJson(kind) } else { Good };
                assert_eq!(check(text), expected, "{version} {property} {text}");
            }
            for (text, kind) in
                [(r#"{"a":"\x"}"#, JsonErrorKind::InvalidEscape), ("{\"a\":\"\n\"}", JsonErrorKind::ControlCharacter)]
            {
                assert_eq!(check(text), NoJson(kind), "{version} {property} {text}");
            }
            // The event and this property are the outer two of 128 levels.
            assert_eq!(check(&format!(r#"{{"a":{}}}"#, deep(126))), Good, "{version} {property}");
            for levels in [127, 1000, 100_000] {
                let expected = if counts { NoJson(JsonErrorKind::TooDeep) } else { Good };
                assert_eq!(check(&format!(r#"{{"a":{}}}"#, deep(levels))), expected, "{version} {property} {levels}");
            }
            assert_eq!(check(r#"{"a":"\ud83d\udd11 \u0000"}"#), Good, "{version} {property}");
        }
        // A key that stands twice is none of the event either.
        let twice = whole.replacen('{', r#"{"unsigned":1,"unsigned":{"a":2},"#, 1);
        assert_eq!(answer(version, &twice), Good, "{version}");
    }
}

/// <https://spec.matrix.org/v1.19/appendices/#cryptographic-test-vectors>
#[cfg(feature = "ed25519")]
mod vectors {
    use base64::Engine as _;
    use base64::alphabet::STANDARD;
    use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
    use base64::prelude::BASE64_STANDARD_NO_PAD;
    use matrix_knock::event::{Ed25519Key, Sign as _, content_hash, sign_event};
    use matrix_knock::id::ServerName;
    use serde_json::json;

    use super::RoomVersion;

    /// The seed has bits behind its last byte.
    #[expect(clippy::expect_used, reason = "a test that cannot be set up fails")]
    fn key() -> Ed25519Key {
        let lenient = GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::RequireNone)
            .with_decode_allow_trailing_bits(true);
        let seed = GeneralPurpose::new(&STANDARD, lenient).decode("YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1");
        Ed25519Key::from_seed("ed25519:1", &seed.ok().and_then(|seed| seed.try_into().ok()).unwrap_or_default())
            .expect("a key ID")
    }

    #[test]
    fn json_signing() {
        for (message, signature) in [
            ("{}", "K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ"),
            (
                r#"{"one":1,"two":"Two"}"#,
                "KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw",
            ),
        ] {
            assert_eq!(BASE64_STANDARD_NO_PAD.encode(key().sign(message.as_bytes())), signature);
        }
    }

    /// The first event has no ID of its own, as since v3; the second has one, as before. Both have an `origin`, which a
    /// redaction keeps before v11.
    #[test]
    fn event_signing() {
        for (versions, mut event, sha256, signature) in [
            (
                &RoomVersion::ALL[2..10],
                json!({
                    "room_id": "!x:domain", "sender": "@a:domain", "origin": "domain", "origin_server_ts": 1_000_000,
                    "signatures": {}, "hashes": {}, "type": "X", "content": {}, "prev_events": [], "auth_events": [],
                    "depth": 3, "unsigned": { "age_ts": 1_000_000 },
                }),
                "5jM4wQpv6lnBo7CLIghJuHdW+s2CMBJPUOGOC89ncos",
                "KxwGjPSDEtvnFgU00fwFz+l6d2pJM6XBIaMEn81SXPTRl16AqLAYqfIReFGZlHi5KLjAWbOoMszkwsQma+lYAg",
            ),
            (
                &RoomVersion::ALL[..2],
                json!({
                    "content": { "body": "Here is the message content" }, "event_id": "$0:domain", "origin": "domain",
                    "origin_server_ts": 1_000_000, "type": "m.room.message", "room_id": "!r:domain",
                    "sender": "@u:domain", "signatures": {}, "unsigned": { "age_ts": 1_000_000 },
                }),
                "onLKD1bGljeBWQhWZ1kaP9SorVmRQNdN5aM2JYU2n/g",
                "Wm+VzmOUOz08Ds+0NTWb1d4CZrVsJSikkeRxh6aCcUwu6pNC78FunoD7KNWzqFn241eYHYMGCA5McEiVPdhzBA",
            ),
        ] {
            let text = event.to_string();
            // The text keeps what nobody signs. Here it is no part of what is sent.
            event.as_object_mut().unwrap().remove("unsigned");
            event["hashes"] = json!({ "sha256": sha256 });
            event["signatures"] = json!({ "domain": { "ed25519:1": signature } });
            for version in versions {
                let signed = sign_event(*version, &text, ServerName::parse("domain").unwrap(), &key()).unwrap();
                assert_eq!(signed.text(), event.to_string(), "{version}");
                assert_eq!(content_hash(*version, &text).unwrap().to_string(), sha256, "{version}");
            }
        }
    }
}
