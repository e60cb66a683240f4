//! An event on its way to being believed: what holds for every event, every changed byte, every key and every text.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#signing-events>
#![cfg(feature = "ed25519")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "what is off fails the test")]

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_STANDARD_NO_PAD;
use matrix_knock::event::KeyValidity::{Expired, Forever, Until};
use matrix_knock::event::{
    Ed25519Key, KeyValidity, Keys, KeysFn, Pdu, ServerKeys, ServerKeysError, Sign as _, SignatureError, VerifiedPdu,
    VerifyKey, content_hash, event_id, redact, reference_hash, sign_event,
};
use matrix_knock::id::{ServerName, UserId};
use matrix_knock::json::{CanonicalDialect, JsonErrorKind, canonical};
use matrix_knock::{Ed25519, RoomVersion};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

const V1: RoomVersion = RoomVersion::V1;
const V2: RoomVersion = RoomVersion::V2;
const V3: RoomVersion = RoomVersion::V3;
const V4: RoomVersion = RoomVersion::V4;
const V5: RoomVersion = RoomVersion::V5;
const V6: RoomVersion = RoomVersion::V6;
const V7: RoomVersion = RoomVersion::V7;
const V8: RoomVersion = RoomVersion::V8;
const V10: RoomVersion = RoomVersion::V10;
const V11: RoomVersion = RoomVersion::V11;
const V12: RoomVersion = RoomVersion::V12;

/// The servers of the sender, of who authorizes them, of the event ID in versions 1 and 2, and one that nobody knows.
const A: &str = "a.example:8448";
const B: &str = "b.example";
const C: &str = "[::1]:80";
const UNKNOWN: &str = "d.example";
const USER: &str = "join_authorised_via_users_server";

/// When the events are made, in milliseconds since the Unix epoch.
const TIME: u64 = 1_700_000_000_000;
const WEEK: u64 = 7 * 24 * 60 * 60 * 1000;

fn seed(server: &str, key_id: &str) -> [u8; 32] {
    let mut seed = [0; 32];
    seed.iter_mut().zip(server.bytes().chain(key_id.bytes())).for_each(|(seed, byte)| *seed = byte);
    seed
}

fn key(server: &str, key_id: &str) -> Ed25519Key {
    Ed25519Key::from_seed(key_id, &seed(server, key_id)).expect("a key ID")
}

fn public(server: &str, key_id: &str, validity: KeyValidity) -> VerifyKey {
    VerifyKey { public_key: key(server, key_id).public_key(), validity }
}

fn known(server: &str, key_id: &str) -> Option<VerifyKey> {
    ([A, B, C].contains(&server) && key_id == "ed25519:1").then(|| public(server, key_id, Forever))
}

fn event(version: RoomVersion, kind: &str, content: Value) -> Value {
    let reference = |id: &str| if version <= V2 { json!([id, { "sha256": "x" }]) } else { json!(id) };
    let mut event = json!({
        "type": kind, "sender": format!("@kay:{A}"), "content": content, "room_id": "!r:c.example", "depth": 7,
        "auth_events": [reference("$one:a")], "prev_events": [reference("$two:a")], "origin_server_ts": TIME,
        "unsigned": { "age": 10 }, "origin": "x", "state_key": "",
    });
    if kind == "m.room.create" && version == V12 {
        event.as_object_mut().unwrap().remove("room_id");
    }
    if version <= V2 {
        event["event_id"] = json!(format!("$event:{C}"));
    }
    event
}

fn sign_with(version: RoomVersion, text: &str, server: &str, key_id: &str) -> String {
    let signed = sign_event(version, text, ServerName::parse(server).unwrap(), &key(server, key_id)).unwrap();
    assert_eq!(Ok(signed.event_id()), event_id(version, signed.text()).as_deref());
    signed.text().to_owned()
}

fn sign(version: RoomVersion, event: &Value, servers: &[&str]) -> String {
    servers.iter().fold(event.to_string(), |text, server| sign_with(version, &text, server, "ed25519:1"))
}

/// Who has to sign an event that is no member event.
fn required(version: RoomVersion) -> &'static [&'static str] {
    if version <= V2 { &[A, C] } else { &[A] }
}

/// An event that is believed: its ID, whose signatures were checked, and what is left if it is not whole.
#[derive(Debug, PartialEq)]
struct Believed {
    id: String,
    by: Vec<String>,
    redacted: Option<String>,
}

/// What becomes of an event; no error if it is refused for its format.
fn outcome(version: RoomVersion, text: &str, keys: &impl Keys, now: u64) -> Result<Believed, Option<SignatureError>> {
    let formatted = Pdu::parse(text).ok().and_then(|pdu| pdu.check_format(version).ok()).ok_or(None)?;
    let signed = formatted.check_signatures(keys, &Ed25519, now)?;
    let (id, by) = (signed.event_id().to_owned(), signed.signed_by().map(str::to_owned).collect::<Vec<_>>());
    let redacted = match signed.check_hash()? {
        VerifiedPdu::Whole(whole) => (whole.event_id() == id && whole.pdu().text() == text).then_some(None),
        VerifiedPdu::Redacted(redacted) => {
            (redacted.event_id() == id && redacted.signed_by().eq(&by)).then(|| Some(redacted.text().to_owned()))
        }
    };
    let redacted = redacted.expect("the same event");
    Ok(Believed { id, by, redacted })
}

fn whole(version: RoomVersion, text: &str, by: &[&str]) -> Believed {
    let by = by.iter().map(|server| (*server).to_owned()).collect();
    Believed { id: event_id(version, text).unwrap(), by, redacted: None }
}

/// Checks that the event is whole, by these servers, or refused for this.
fn check(version: RoomVersion, text: &str, keys: &impl Keys, now: u64, by: &[&str], error: Option<SignatureError>) {
    let expected = error.map_or_else(|| Ok(whole(version, text, by)), |error| Err(Some(error)));
    assert_eq!(outcome(version, text, keys, now), expected, "{version} {now} {text}");
}

fn not_signed(server: &str) -> SignatureError {
    SignatureError::NotSigned { server: server.to_owned() }
}

fn bad_signature(server: &str, key_id: &str) -> SignatureError {
    SignatureError::BadSignature { server: server.to_owned(), key_id: key_id.to_owned() }
}

fn values() -> impl Strategy<Value = Value> {
    const TEXT: &str = "[a-c\"\\\\\n\u{1f}é\u{1F511}]{0,3}";
    let leaf = prop_oneof![Just(json!(null)), any::<i32>().prop_map(Value::from), TEXT.prop_map(Value::from)];
    leaf.prop_recursive(2, 8, 3, |inner| {
        let members = btree_map(TEXT, inner.clone(), 0..3);
        prop_oneof![vec(inner, 0..3).prop_map(Value::from), members.prop_map(|members| json!(members))]
    })
}

/// Types and contents with keys that redaction keeps in one of them or another, and others.
fn contents() -> impl Strategy<Value = (String, Value)> {
    const KINDS: &str = "member create join_rules power_levels aliases history_visibility redaction message";
    const KEYS: &str = "membership creator join_rule allow invite users aliases history_visibility redacts body";
    let kind = select(KINDS.split(' ').collect::<Vec<_>>()).prop_map(|kind| format!("m.room.{kind}"));
    let members = btree_map(select(KEYS.split(' ').collect::<Vec<_>>()), values(), 0..8);
    (kind, members.prop_map(|members| json!(members)))
}

/// The same event with its properties the other way round, and white space.
fn turned(event: &Value) -> String {
    let members = event.as_object().unwrap().iter().rev().map(|(key, value)| format!("\n{} : {value:#}", json!(key)));
    format!("{{{}\t}}", members.collect::<Vec<_>>().join(" ,\r"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// The content hash is blind to what is apart, and to how the text is written; what is left by a redaction is redacted,
    /// and has the reference hash of the whole.
    #[test]
    fn hashes_and_redaction(version in select(&RoomVersion::ALL[..]), of in contents(), other in values()) {
        let mut event = event(version, &of.0, of.1);
        let hash = content_hash(version, &event.to_string());
        prop_assert_eq!(content_hash(version, &turned(&event)), hash);
        for property in ["unsigned", "signatures", "hashes"] {
            prop_assert_eq!(content_hash(version, &without(&event, &[property]).to_string()), hash);
            event[property] = other.clone();
            prop_assert_eq!(content_hash(version, &event.to_string()), hash);
        }
        let reference = reference_hash(version, &event.to_string());
        event["x"] = other;
        prop_assert_ne!(content_hash(version, &event.to_string()), hash);
        let redacted = redact(version, &turned(&event)).unwrap();
        prop_assert_eq!(redact(version, &redacted), Ok(redacted.clone()));
        prop_assert_eq!(reference_hash(version, &redacted), reference);
        prop_assert_eq!(reference_hash(version, &without(&event, &["signatures"]).to_string()), reference);
    }

    /// In every version: what is signed is whole, in whatever text it comes; where something is added that a redaction
    /// takes away, it has the same ID and is redacted.
    #[test]
    fn signed_events_verify(of in contents(), more in any::<bool>()) {
        for version in RoomVersion::ALL {
            let signers = [required(version), if more { &[B, UNKNOWN] } else { &[] }].concat();
            let text = sign(version, &event(version, &of.0, of.1.clone()), &signers);
            let mut event: Value = text.parse().unwrap();
            prop_assert_eq!(event["signatures"].as_object().unwrap().len(), signers.len());
            for text in [&text, &turned(&event)] {
                check(version, text, &KeysFn(known), 0, required(version), None);
            }
            let redacted = Believed { redacted: redact(version, &text).ok(), ..whole(version, &text, required(version)) };
            // Create events keep all their content since v11.
            let place = if of.0 == "m.room.create" { &mut event } else { &mut event["content"] };
            place["org.example.x"] = json!(1);
            prop_assert_eq!(outcome(version, &event.to_string(), &KeysFn(known), 0), Ok(redacted));
        }
    }

    #[test]
    fn no_text_panics(version in select(&RoomVersion::ALL[..]), which in any::<Index>(), end in any::<Index>(),
        changes in vec((any::<Index>(), 0..9_usize, "|[{}\\[\\]\",:0-9\\\\u-]{0,3}|null|\\PC{0,3}"), 0..6),
    ) {
        let mut texts: Vec<_> = signed_events().into_iter().map(|(_, text)| text).collect();
        texts.extend([key_document(&["ed25519:1"], |_| {}), String::new()]);
        let mut bytes = which.get(&texts).clone().into_bytes();
        for (at, length, with) in changes {
            let at = at.index(bytes.len() + 1);
            bytes.splice(at..bytes.len().min(at + length), with.bytes());
        }
        bytes.truncate(end.index(bytes.len() + 1) * 2);
        let text = String::from_utf8_lossy(&bytes);
        let _ = (outcome(version, &text, &KeysFn(known), TIME), redact(version, &text), event_id(version, &text));
        let _ = (content_hash(version, &text), reference_hash(version, &text));
        let _ = sign_event(version, &text, ServerName::parse(A).unwrap(), &key(A, "ed25519:1"));
        let _ = ServerKeys::parse(ServerName::parse(B).unwrap(), &text, &Ed25519);
    }
}

/// Events of several kinds and versions, signed by who has to sign them, and some by others too.
fn signed_events() -> Vec<(RoomVersion, String)> {
    let third_party = json!({ "display_name": "K", "signed": { "mxid": "@k:b", "token": "t", "signatures": {} } });
    let all = [
        (V1, "m.room.message", json!({ "body": "é \u{1f} \"\\ \u{1F511}" }), vec![A, C]),
        (V2, "m.room.member", json!({ "membership": "join", "displayname": "K" }), vec![A, C]),
        (V3, "m.room.aliases", json!({ "aliases": ["#a:b"], "x": -10 }), vec![A]),
        (V4, "m.room.power_levels", json!({ "ban": 50.5, "users": { "@k:a": "100" }, "invite": 1e300 }), vec![A]),
        (V5, "m.room.create", json!({ "creator": "@k:a", "m.federate": true }), vec![A]),
        (V7, "m.room.member", json!({ "membership": "join", USER: "@x:b.example" }), vec![A]),
        (V8, "m.room.member", json!({ "membership": "join", USER: "@x:b.example" }), vec![A, B]),
        (V10, "m.room.member", json!({ "membership": "knock", "reason": "\u{1e}é" }), vec![A, C]),
        (V11, "m.room.member", json!({ "membership": "invite", "third_party_invite": third_party }), vec![C]),
        (V11, "m.room.redaction", json!({ "redacts": "$x", "reason": "y" }), vec![A]),
        (V12, "m.room.create", json!({ "additional_creators": ["@l:a"], "room_version": "12" }), vec![A]),
    ];
    all.map(|(version, kind, content, by)| (version, sign(version, &event(version, kind, content), &by))).into()
}

fn with(mut value: Value, property: &str, to: Value) -> Value {
    value[property] = to;
    value
}

fn without(event: &Value, properties: &[&str]) -> Value {
    let kept = event.as_object().unwrap().iter().filter(|(key, _)| !properties.contains(&key.as_str()));
    Value::Object(kept.map(|(key, value)| (key.clone(), value.clone())).collect())
}

/// The bytes that base64 stands for: either alphabet, but one of them; what is behind the last byte does not count.
fn decoded(text: &Value) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
    let config = config.with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let text = text.as_str().filter(|text| !text.contains(['+', '/']) || !text.contains(['-', '_']))?;
    GeneralPurpose::new(&base64::alphabet::STANDARD, config).decode(text.replace('-', "+").replace('_', "/")).ok()
}

/// What has to become of an event in format that was made of another: no signature is one of anything else than what it
/// was made for.
fn expected(version: RoomVersion, text: &str, original: &str) -> Result<Believed, SignatureError> {
    let [event, before]: [Value; 2] = [text, original].map(|text| text.parse().unwrap());
    let domain = |id: &str| id.split_once(':').unwrap().1.to_owned();
    let (content, is_member) = (&event["content"], event["type"] == "m.room.member");
    let mut by = Vec::new();
    if !(is_member && content["membership"] == "invite" && content.get("third_party_invite").is_some()) {
        by.push(domain(event["sender"].as_str().unwrap()));
    }
    if version <= V2 {
        by.push(domain(event["event_id"].as_str().unwrap()));
    }
    by.dedup();
    let same = reference_hash(version, text) == reference_hash(version, original);
    let has_signed = |server: &String| {
        let signature = event["signatures"].get(server).and_then(|signatures| signatures.get("ed25519:1"));
        let signature = signature.filter(|_| known(server, "ed25519:1").is_some()).ok_or_else(|| not_signed(server))?;
        let made = before["signatures"].get(server).map(|signatures| decoded(&signatures["ed25519:1"]));
        if !same || made != Some(decoded(signature)) {
            return Err(bad_signature(server, "ed25519:1"));
        }
        Ok(())
    };
    by.iter().try_for_each(has_signed)?;
    // The server of a user who vouches is named if it has signed. If it has not, a rule refuses the
    // event later.
    if let Some(user) = content.get(USER).filter(|_| is_member && version >= V8) {
        let server = user.as_str().filter(|user| UserId::parse(user).is_ok()).map(domain);
        by.extend(server.filter(|server| has_signed(server).is_ok() && !by.contains(server)));
    }
    let hashed = |event: &Value| {
        let hash = event["hashes"].get("sha256").and_then(decoded);
        (hash, without(event, &["hashes", "signatures", "unsigned"]))
    };
    let redacted = if hashed(&event) == hashed(&before) { None } else { redact(version, text).ok() };
    Ok(Believed { id: event_id(version, text).unwrap(), by, redacted })
}

/// Whatever byte is changed to whatever other: the event is still whole with the same ID only where nothing but
/// `unsigned`, `signatures` or the spelling (`\u001F`) has changed. In `signatures`, those of others do not count, and
/// those that do may be written in another base64.
#[test]
fn one_changed_byte() {
    let mut still_whole = 0;
    for (version, text) in signed_events() {
        let covered = |text: &str| without(&text.parse().unwrap(), &["signatures", "unsigned"]);
        let (id, original) = (event_id(version, &text).unwrap(), covered(&text));
        for (at, byte) in text.bytes().enumerate() {
            for other in [byte ^ 1, byte ^ 0x20, b'"', b'\\', b'0', b'-', b' ', 0xE9] {
                let mut bytes = text.clone().into_bytes();
                bytes[at] = other;
                let Some(changed) = String::from_utf8(bytes).ok().filter(|_| other != byte) else { continue };
                let found = outcome(version, &changed, &KeysFn(known), TIME);
                if found != Err(None) {
                    assert_eq!(found, expected(version, &changed, &text).map_err(Some), "{version} {changed}");
                }
                if found.is_ok_and(|found| found.redacted.is_none() && found.id == id) {
                    assert_eq!(covered(&changed), original, "{version} {changed}");
                    still_whole += 1;
                }
            }
        }
    }
    assert!(still_whole > 1000, "{still_whole}");
}

/// Every row in every version: whether the key counts before v5, and whether since then.
#[test]
fn key_validity() {
    for version in RoomVersion::ALL {
        for (validity, now, counts) in [
            (Until(TIME - 1), TIME, [true, false]),
            (Until(TIME), TIME, [true, true]),
            (Until(TIME + 1), TIME, [true, true]),
            // Never trusted for more than seven days from now.
            (Until(u64::MAX), TIME - WEEK, [true, true]),
            (Until(u64::MAX), TIME - WEEK - 1, [true, false]),
            (Expired(TIME - 1), TIME, [false, false]),
            (Expired(TIME), TIME, [true, true]),
            (Expired(TIME + 1), 0, [true, true]),
            (Forever, u64::MAX, [true, true]),
        ] {
            let text = sign(version, &event(version, "m.room.message", json!({})), &[A, C]);
            let validity = |server: &str| if server == A { validity } else { Forever };
            let keys = KeysFn(|server: &str, key_id: &str| Some(public(server, key_id, validity(server))));
            let error = (!counts[usize::from(version >= V5)]).then(|| not_signed(A));
            check(version, &text, &keys, now, required(version), error);
        }
    }
}

/// One signature by a known key has to be there, and no signature by a known key may be bad.
#[test]
fn several_keys() {
    let keys = KeysFn(|server: &str, key_id: &str| match key_id {
        "ed25519:1" | "ed25519:2" | "curve25519:1" => Some(public(server, key_id, Forever)),
        "ed25519:old" => Some(public(server, key_id, Expired(TIME - 1))),
        _ => None,
    });
    for version in [V3, V5, V6, V10, V12] {
        let text = sign(version, &event(version, "m.room.message", json!({})), &[A, UNKNOWN]);
        let text = sign_with(version, &sign_with(version, &text, A, "ed25519:2"), A, "ed25519:old");
        let event: Value = text.parse().unwrap();
        let [one, two, old] = ["1", "2", "old"].map(|name| event["signatures"][A][format!("ed25519:{name}")].clone());
        let with_signatures = |signatures: Value, error: Option<SignatureError>| {
            let text = with(event.clone(), "signatures", signatures).to_string();
            check(version, &text, &keys, TIME, &[A], error);
        };
        for good in [json!({}), json!({ "ed25519:2": two }), json!({ "ed25519:x": "x", "ed25519:old": one, "x": "" })] {
            with_signatures(json!({ A: with(good, "ed25519:1", one.clone()), B: { "ed25519:1": "x" } }), None);
        }
        let short: String = one.as_str().unwrap().chars().take(84).collect();
        let bad_one = || Some(bad_signature(A, "ed25519:1"));
        for bad in ["", "x", "é", &short, &format!("{short}AAA"), &"A".repeat(86), two.as_str().unwrap()] {
            with_signatures(json!({ A: { "ed25519:1": bad } }), bad_one());
            with_signatures(json!({ A: { "ed25519:1": bad, "ed25519:2": bad } }), bad_one());
        }
        with_signatures(json!({ A: { "ed25519:1": one, "ed25519:2": one } }), Some(bad_signature(A, "ed25519:2")));
        for none in [json!({}), json!({ "ed25519:x": one }), json!({ "ed25519:old": old, "curve25519:1": one })] {
            with_signatures(json!({ A: none, B: { "ed25519:1": one } }), Some(not_signed(A)));
        }
        with_signatures(json!({}), Some(not_signed(A)));
    }
}

/// Who has to sign in versions 1 and 2, and since 3; and, since 8, who else is looked at: the
/// server of a user who vouches, if it has signed.
#[test]
fn who_has_to_sign() {
    let member = |membership: &str| json!({ "membership": membership });
    let by = |content, server: &str| with(content, USER, json!(format!("@x:{server}")));
    let third_party = |content| with(content, "third_party_invite", json!({ "signed": {} }));
    let mut rows: Vec<(&str, Value, [&[&str]; 3])> = vec![
        ("m.room.message", by(third_party(member("invite")), B), [&[A, C], &[A], &[A]]),
        ("m.room.member", third_party(member("invite")), [&[C], &[], &[]]),
        ("m.room.member", by(third_party(member("invite")), B), [&[C], &[], &[B]]),
        ("m.room.member", by(member("join"), A), [&[A, C], &[A], &[A]]),
        ("m.room.member", by(member("join"), C), [&[A, C], &[A], &[A, C]]),
        ("m.room.member", member("invite"), [&[A, C], &[A], &[A]]),
    ];
    for membership in ["join", "leave", "ban", "knock", "other"] {
        rows.push(("m.room.member", by(member(membership), B), [&[A, C], &[A], &[A, B]]));
        rows.push(("m.room.member", third_party(member(membership)), [&[A, C], &[A], &[A]]));
    }
    for version in RoomVersion::ALL {
        for (kind, content, required) in &rows {
            let signers = required[usize::from(version >= V3) + usize::from(version >= V8)];
            let required = required[usize::from(version >= V3)];
            let text = sign(version, &event(version, kind, content.clone()), &[A, B, C, UNKNOWN]);
            check(version, &text, &KeysFn(known), TIME, signers, None);
            for server in [A, B, C, UNKNOWN] {
                let others: Vec<&str> = signers.iter().copied().filter(|signer| *signer != server).collect();
                let mut missing: Value = text.parse().unwrap();
                missing["signatures"].as_object_mut().unwrap().remove(server);
                let error = required.contains(&server).then(|| not_signed(server));
                check(version, &missing.to_string(), &KeysFn(known), TIME, &others, error);
                let mut wrong: Value = text.parse().unwrap();
                wrong["signatures"][server]["ed25519:1"] = json!("A".repeat(86));
                let error = required.contains(&server).then(|| bad_signature(server, "ed25519:1"));
                check(version, &wrong.to_string(), &KeysFn(known), TIME, &others, error);
            }
        }
        let users = ["", "x", "@x", "@x:", "@x:b example", B, &format!("@{}:{B}", "x".repeat(255))].map(Value::from);
        for user in users.into_iter().chain([json!(null), json!(1), json!([]), json!({}), json!(true)]) {
            for content in ["join", "leave", "invite"].map(|membership| with(member(membership), USER, user.clone())) {
                for kind in ["m.room.member", "m.room.message"] {
                    let text = sign(version, &event(version, kind, content.clone()), &[UNKNOWN]);
                    check(version, &text, &KeysFn(known), TIME, &[], Some(not_signed(A)));
                    let text =
                        sign(version, &event(version, kind, content.clone()), &[required(version), &[B]].concat());
                    check(version, &text, &KeysFn(known), TIME, required(version), None);
                }
            }
        }
    }
}

/// Without the right hash, and so redacted, this is no third-party invite before v11, nor later where
/// `third_party_invite` is no object: nobody but the server of the sender can make it a plain invite.
#[test]
fn nobody_invites_for_somebody_else() {
    for (version, invite, error) in [
        (V2, json!({ "signed": {} }), bad_signature(C, "ed25519:1")),
        (V3, json!({ "signed": {} }), not_signed(A)),
        (V10, json!({ "signed": {} }), not_signed(A)),
        (V11, json!(1), not_signed(A)),
        (V12, json!(null), not_signed(A)),
    ] {
        let content = json!({ "membership": "invite", "third_party_invite": invite });
        let event = sign(version, &event(version, "m.room.member", content), &[C]).parse().unwrap();
        let text = with(event, "hashes", json!({ "sha256": "x".repeat(43) })).to_string();
        check(version, &text, &KeysFn(known), TIME, &[], Some(error));
    }
}

/// The key document of B, with a change, signed by these keys.
fn key_document(signers: &[&str], change: impl FnOnce(&mut Value)) -> String {
    let base64 = |key_id| BASE64_STANDARD_NO_PAD.encode(key(B, key_id).public_key());
    let mut document = json!({
        "server_name": B, "valid_until_ts": TIME,
        "verify_keys": { "curve25519:1": { "key": 1 },
            "ed25519:1": { "key": base64("ed25519:1") }, "ed25519:2": { "key": base64("ed25519:2") } },
        "old_verify_keys": { "ed25519:0": { "key": base64("ed25519:0"), "expired_ts": 5 }, "ed25519:z": 1,
            "ed25519:1": { "key": base64("ed25519:0"), "expired_ts": 6 }, "ed25519:x": { "key": "x", "expired_ts": 7 },
            "ed25519:y": { "key": base64("ed25519:y") } },
    });
    change(&mut document);
    let text = canonical(&document.to_string(), CanonicalDialect::Lenient).unwrap();
    // Signatures stand under IDs that none of our keys can have, too.
    let signer = |key_id: &str| Ed25519Key::from_seed("ed25519:1", &seed(B, key_id)).unwrap();
    let sign = |key_id: &&str| BASE64_STANDARD_NO_PAD.encode(signer(key_id).sign(text.as_bytes()));
    let signed = signers.iter().map(|key_id| (*key_id, sign(key_id))).collect::<BTreeMap<_, _>>();
    with(with(document, "signatures", json!({ B: signed })), "unsigned", json!({ "x": 1 })).to_string()
}

/// <https://spec.matrix.org/v1.19/server-server-api/#publishing-keys>
#[test]
fn key_documents() {
    use ServerKeysError::{BadSignature, Malformed, NotSigned, OtherServer, TooLarge};
    let parse = |text: &str| ServerKeys::parse(ServerName::parse(B).unwrap(), text, &Ed25519);
    let key = |key_id, validity| (key_id, public(B, key_id, validity));
    let known = [key("ed25519:0", Expired(5)), key("ed25519:1", Until(TIME)), key("ed25519:2", Until(TIME))];
    for signers in [&["ed25519:1"][..], &["ed25519:2", "ed25519:3"], &["ed25519:1", "ed25519:2"]] {
        let keys = parse(&key_document(signers, |_| {})).unwrap();
        assert_eq!((keys.server_name().as_str(), keys.keys().collect()), (B, known.to_vec()));
        assert_eq!([keys.key(A, "ed25519:1"), keys.key(B, "ed25519:x")], [None, None]);
        assert_eq!([keys][..].key(B, "ed25519:0"), Some(known[0].1));
    }
    let good: Value = key_document(&["ed25519:1"], |_| {}).parse().unwrap();
    let padded = |bytes: usize| format!("{good}{}", " ".repeat(bytes - good.to_string().len()));
    assert_eq!(parse(&padded(65_536)).map(|keys| keys.keys().len()), Ok(3));
    assert_eq!(parse(&padded(65_537)), Err(TooLarge { bytes: 65_537 }));

    let changed = |property: &str, value| key_document(&["ed25519:1"], |document| document[property] = value);
    for (property, values) in [
        ("server_name", [json!(null), json!(1)]),
        ("valid_until_ts", [json!("1"), json!(-1)]),
        ("verify_keys", [json!([]), json!("x")]),
        ("old_verify_keys", [json!([]), json!(null)]),
    ] {
        for value in values {
            assert_eq!(parse(&changed(property, value)), Err(Malformed(property)));
        }
        let missing = key_document(&["ed25519:1"], |document| *document = without(document, &[property]));
        let error = Some(Malformed(property)).filter(|_| property != "old_verify_keys");
        assert_eq!(parse(&missing).err(), error, "{property}");
    }
    assert_eq!(parse(&changed("server_name", json!(A))), Err(OtherServer));
    for bad in [json!({ "key": "x" }), json!({ "key": 1 }), json!({}), json!(1), json!({ "key": "A".repeat(42) })] {
        // It costs itself, and the document only if no other key has signed that.
        let beside = |document: &mut Value| document["verify_keys"]["ed25519:2"] = bad.clone();
        for signers in [&["ed25519:1"][..], &["ed25519:1", "ed25519:2"]] {
            let keys = parse(&key_document(signers, beside)).unwrap();
            assert_eq!(keys.keys().collect::<Vec<_>>(), known[..2], "{bad}");
        }
        assert_eq!(parse(&key_document(&["ed25519:2"], beside)), Err(NotSigned), "{bad}");
        let text = changed("verify_keys", json!({ "ed25519:2": bad }));
        assert_eq!(parse(&text), Err(NotSigned), "{text}");
    }
    for nobody in [&[][..], &["ed25519:0"], &["ed25519:3", "curve25519:1"]] {
        assert_eq!(parse(&key_document(nobody, |_| {})), Err(NotSigned), "{nobody:?}");
    }
    for bad in [with(good.clone(), "x", json!(1)), with(good.clone(), "signatures", json!({ B: { "ed25519:1": 1 } }))] {
        assert_eq!(parse(&bad.to_string()), Err(BadSignature { key_id: "ed25519:1".to_owned() }), "{bad}");
    }
    let json = |text: &str| if let Err(ServerKeysError::Json(error)) = parse(text) { Some(error.kind()) } else { None };
    assert_eq!(parse(&changed("valid_until_ts", json!(1.5))), Err(Malformed("valid_until_ts")));
    assert_eq!(json(&good.to_string().replacen('{', r#"{"x":1,"x":1,"#, 1)), Some(JsonErrorKind::DuplicateKey));
    for text in [without(&good, &["signatures"]), with(good.clone(), "signatures", json!([]))] {
        assert_eq!(parse(&text.to_string()), Err(Malformed("signatures")), "{text}");
    }
}
