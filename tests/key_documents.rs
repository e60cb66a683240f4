//! The key document of this server: what is written is what others read, and nothing else is written.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#publishing-keys>
#![cfg(feature = "ed25519")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::indexing_slicing, reason = "a property of a document that is an object")]

use std::collections::BTreeMap;

use matrix_knock::Ed25519;
use matrix_knock::event::{
    Ed25519Key, KeyDocument, KeyValidity, Keys as _, MAX_KEY_DOCUMENT_BYTES, NoVerifier, ServerKeys, ServerKeysError,
    Sign, SignError, VerifyKey,
};
use matrix_knock::id::{IdError, KeyId, ServerName};
use matrix_knock::json::{CanonicalDialect, canonical};
use proptest::collection::btree_map;
use proptest::prelude::*;
use ruma_common::CanonicalJsonObject;
use ruma_common::serde::Base64;
use ruma_common::serde::base64::Standard;
use ruma_signatures::PublicKeyMap;
use serde_json::{Value, json};

const SERVER: &str = "a.example:8448";
const UNTIL: u64 = 1_700_000_000_000;
/// The highest integer of canonical JSON.
const MAX: u64 = (1 << 53) - 1;

fn server() -> ServerName<'static> {
    ServerName::parse(SERVER).unwrap()
}

fn key(key_id: &str, seed: u8) -> Ed25519Key {
    Ed25519Key::from_seed(key_id, &[seed; 32]).unwrap()
}

fn id(key_id: &str) -> KeyId<'_> {
    KeyId::parse(key_id).unwrap()
}

fn document(valid_until_ts: u64, keys: &[&Ed25519Key]) -> KeyDocument<'static> {
    let document = KeyDocument::new(server(), valid_until_ts);
    keys.iter().fold(document, |document, key| document.with_key(key.key_id(), key.public_key()))
}

fn signed(document: &KeyDocument<'_>, signers: &[&Ed25519Key]) -> Result<String, SignError> {
    let mut by_trait: Vec<&dyn Sign> = Vec::new();
    for signer in signers {
        by_trait.push(*signer);
    }
    document.sign(&by_trait)
}

/// The keys by their IDs, as another server that runs this crate reads them.
fn read(text: &str) -> Result<BTreeMap<String, VerifyKey>, ServerKeysError> {
    assert_eq!(canonical(text, CanonicalDialect::Strict).as_deref(), Ok(text));
    let keys = ServerKeys::parse(server(), text, &Ed25519)?;
    assert_eq!(keys.server_name(), server());
    let found: BTreeMap<_, _> = keys.keys().map(|(key_id, key)| (key_id.to_owned(), key)).collect();
    for (key_id, known) in &found {
        assert_eq!((keys.key(SERVER, key_id), keys.key("a.example", key_id)), (Some(*known), None));
    }
    Ok(found)
}

/// Whether ruma verifies every signature by a key in use, and agrees on the canonical form.
fn ruma_verifies(text: &str) -> bool {
    let object: CanonicalJsonObject = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&object).unwrap(), text);
    let value: Value = serde_json::from_str(text).unwrap();
    let keys = value["verify_keys"].as_object().unwrap().iter();
    let keys = keys.map(|(key_id, key)| (key_id.clone(), Base64::parse(key["key"].as_str().unwrap()).unwrap()));
    let keys = PublicKeyMap::from([(value["server_name"].as_str().unwrap().to_owned(), keys.collect())]);
    ruma_signatures::verify_json(&keys, &object).is_ok()
}

fn until(key: &Ed25519Key, time: u64) -> (String, VerifyKey) {
    let known = VerifyKey { public_key: key.public_key(), validity: KeyValidity::Until(time) };
    (key.key_id().to_string(), known)
}

fn expired(key: &Ed25519Key, time: u64) -> (String, VerifyKey) {
    let known = VerifyKey { public_key: key.public_key(), validity: KeyValidity::Expired(time) };
    (key.key_id().to_string(), known)
}

/// All that is in a document, with nothing that the text does not know.
#[test]
fn what_is_written() {
    let (one, old) = (key("ed25519:a_1", 1), key("ed25519:OLD", 2));
    let document = document(UNTIL, &[&one]).with_old_key(old.key_id(), old.public_key(), 5);
    let text = signed(&document, &[&one]).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    let base64 = |key: &Ed25519Key| Base64::<Standard, _>::new(key.public_key()).encode();
    let expected = json!({
        "old_verify_keys": { "ed25519:OLD": { "expired_ts": 5, "key": base64(&old) } },
        "server_name": SERVER,
        "signatures": { SERVER: { "ed25519:a_1": value["signatures"][SERVER]["ed25519:a_1"] } },
        "valid_until_ts": UNTIL,
        "verify_keys": { "ed25519:a_1": { "key": base64(&one) } },
    });
    assert_eq!(value, expected);
    assert_eq!(value["signatures"][SERVER]["ed25519:a_1"].as_str().map(str::len), Some(86));
    assert_eq!(read(&text), Ok(BTreeMap::from([until(&one, UNTIL), expired(&old, 5)])));
    assert!(ruma_verifies(&text));
}

#[test]
fn several_keys() {
    let ids = ["ed25519:b", "ed25519:a", "ed25519:_", "ed25519:0", "ed25519:Z", "ed25519:a0"];
    let keys: Vec<Ed25519Key> = ids.iter().zip(1..).map(|(key_id, seed)| key(key_id, seed)).collect();
    for count in 1..=keys.len() {
        let mut keys: Vec<&Ed25519Key> = keys.iter().take(count).collect();
        let text = signed(&document(UNTIL, &keys), &keys).unwrap();
        assert_eq!(read(&text), Ok(keys.iter().map(|key| until(key, UNTIL)).collect()));
        assert!(ruma_verifies(&text));
        // In whatever order they are given.
        let document = document(UNTIL, &keys);
        keys.reverse();
        assert_eq!(signed(&document, &keys), Ok(text.clone()));
        let reversed = keys
            .iter()
            .fold(KeyDocument::new(server(), UNTIL), |document, key| document.with_key(key.key_id(), key.public_key()));
        assert_eq!(reversed, document);
        // One that signs twice signs once.
        let twice: Vec<_> = keys.iter().chain(&keys).copied().collect();
        assert_eq!(signed(&document, &twice), Ok(text));
    }
}

#[test]
fn old_keys() {
    let in_use = key("ed25519:1", 1);
    let [old, older] = [key("ed25519:0", 2), key("ed25519:00", 3)];
    let with = |keys: &[(&Ed25519Key, u64)]| {
        keys.iter().fold(document(UNTIL, &[&in_use]), |document, (key, time)| {
            document.with_old_key(key.key_id(), key.public_key(), *time)
        })
    };
    let text = signed(&with(&[(&old, 7), (&older, 3)]), &[&in_use]).unwrap();
    assert_eq!(read(&text), Ok(BTreeMap::from([until(&in_use, UNTIL), expired(&old, 7), expired(&older, 3)])));
    assert!(ruma_verifies(&text));
    // They do not sign.
    let document = with(&[(&old, 7)]);
    let refused = signed(&document, &[&in_use, &old]);
    assert_eq!(refused, Err(SignError::Signers { key_id: "ed25519:0".to_owned() }));
    // Of two for the same ID the last counts; a key in use wins over an old one.
    let other = key("ed25519:0", 4);
    let text = signed(&with(&[(&old, 7), (&other, 8)]), &[&in_use]).unwrap();
    assert_eq!(read(&text), Ok(BTreeMap::from([until(&in_use, UNTIL), expired(&other, 8)])));
    let same_id = key("ed25519:1", 5);
    let text = signed(&with(&[(&same_id, 7)]), &[&in_use]).unwrap();
    assert_eq!(read(&text), Ok(BTreeMap::from([until(&in_use, UNTIL)])));
}

#[test]
fn who_has_to_sign() {
    let [one, two, three] = [key("ed25519:1", 1), key("ed25519:2", 2), key("ed25519:3", 3)];
    let document = document(UNTIL, &[&one, &two]);
    let signers = |key_id: &str| Err(SignError::Signers { key_id: key_id.to_owned() });
    for (signed_by, refused) in [
        (&[][..], "ed25519:1"),
        (&[&one], "ed25519:2"),
        (&[&two], "ed25519:1"),
        (&[&one, &one], "ed25519:2"),
        (&[&three], "ed25519:3"),
        (&[&one, &two, &three], "ed25519:3"),
        (&[&three, &one], "ed25519:3"),
    ] {
        assert_eq!(signed(&document, signed_by), signers(refused));
    }
    assert_eq!(
        signed(&document, &[&one]).unwrap_err().to_string(),
        "`ed25519:2` is either a key in use that does not sign or a signer that is not in use"
    );
    // A key that is not the one published under its ID: others do not take the document.
    let [one_again, two_again] = [key("ed25519:1", 4), key("ed25519:2", 5)];
    for (signed_by, key_id) in [
        (&[&one_again, &two], "ed25519:1"),
        (&[&one, &two_again], "ed25519:2"),
        (&[&one_again, &two_again], "ed25519:1"),
    ] {
        let text = signed(&document, signed_by).unwrap();
        assert_eq!(read(&text), Err(ServerKeysError::BadSignature { key_id: key_id.to_owned() }));
        assert!(!ruma_verifies(&text));
    }
}

/// The version in the ID has letters, digits and `_`, the text's `[a-zA-Z0-9_]`, or what servers
/// have beside these.
#[test]
fn ids_of_keys() {
    let refused = ["", "1", "ed25519", "ed25519:", "ED25519:1", "ed25519:a b", "ed25519:a\"b", "ed25519:é", "rsa:1"];
    for key_id in refused {
        assert_eq!(KeyId::parse(key_id), Err(IdError::KeyId), "{key_id}");
        assert_eq!(Ed25519Key::from_seed(key_id, &[1; 32]).err(), Some(IdError::KeyId), "{key_id}");
    }
    assert_eq!(IdError::KeyId.to_string(), "is not the ID of an ed25519 key");
    let longest = format!("ed25519:{}", "a".repeat(247));
    assert_eq!(KeyId::parse(&format!("{longest}a")), Err(IdError::TooLong));
    for key_id in ["ed25519:0", "ed25519:_", "ed25519:Az09_", "ed25519:a.b", "ed25519:a+b-c", &longest] {
        let key = key(key_id, 1);
        let text = signed(&document(UNTIL, &[&key]), &[&key]).unwrap();
        assert_eq!(read(&text), Ok(BTreeMap::from([until(&key, UNTIL)])));
    }
}

/// Canonical JSON has integers up to 2^53-1.
#[test]
fn times() {
    let (in_use, old) = (key("ed25519:1", 1), key("ed25519:0", 2));
    for (time, written) in [(0, 0), (1, 1), (UNTIL, UNTIL), (MAX, MAX), (MAX + 1, MAX), (u64::MAX, MAX)] {
        let document = document(time, &[&in_use]).with_old_key(old.key_id(), old.public_key(), time);
        let text = signed(&document, &[&in_use]).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["valid_until_ts"], json!(written));
        assert_eq!(value["old_verify_keys"]["ed25519:0"]["expired_ts"], json!(written));
        assert_eq!(read(&text), Ok(BTreeMap::from([until(&in_use, written), expired(&old, written)])));
        assert!(ruma_verifies(&text));
    }
}

/// A document without a key in use can be written; nobody takes it, since nothing in it is signed.
#[test]
fn no_keys() {
    let text = signed(&document(UNTIL, &[]), &[]).unwrap();
    let expected = r#"{"old_verify_keys":{},"server_name":"a.example:8448","signatures":{"a.example:8448":{}},"valid_until_ts":1700000000000,"verify_keys":{}}"#;
    assert_eq!((text.as_str(), read(&text)), (expected, Err(ServerKeysError::NotSigned)));
    let old = document(UNTIL, &[]).with_old_key(id("ed25519:0"), [1; 32], 5);
    assert_eq!(read(&signed(&old, &[]).unwrap()), Err(ServerKeysError::NotSigned));
    let signers = Err(SignError::Signers { key_id: "ed25519:0".to_owned() });
    assert_eq!(signed(&old, &[&key("ed25519:0", 1)]), signers);
}

/// Hundreds of old keys fit in.
#[test]
fn many_old_keys() {
    let in_use = key("ed25519:1", 1);
    let with = |count: usize| {
        let document = (0..count).fold(document(UNTIL, &[&in_use]), |document, number| {
            document.with_old_key(id(&format!("ed25519:old_{number}")), [1; 32], 5)
        });
        signed(&document, &[&in_use]).unwrap()
    };
    let text = with(700);
    assert!(text.len() <= MAX_KEY_DOCUMENT_BYTES);
    assert_eq!(read(&text).map(|keys| keys.len()), Ok(701));
    let text = with(900);
    assert_eq!(read(&text), Err(ServerKeysError::TooLarge { bytes: text.len() }));
}

#[test]
fn other_servers_and_verifiers() {
    let one = key("ed25519:1", 1);
    for name in ["a", "a.example", "1.2.3.4:80", "[2001:db8::1]:8448", "[::1]"] {
        let server = ServerName::parse(name).unwrap();
        let document = KeyDocument::new(server, UNTIL).with_key(one.key_id(), one.public_key());
        let text = signed(&document, &[&one]).unwrap();
        let keys = ServerKeys::parse(server, &text, &Ed25519).unwrap();
        assert_eq!(keys.key(name, "ed25519:1"), Some(until(&one, UNTIL).1));
        assert!(ruma_verifies(&text));
        assert_eq!(read(&text), Err(ServerKeysError::OtherServer));
        // It is stored and comes back.
        let stored = serde_json::to_string(&keys).unwrap();
        assert_eq!(serde_json::from_str::<ServerKeys>(&stored).unwrap(), keys);
        let unverified = ServerKeys::parse(server, &text, &NoVerifier);
        assert_eq!(unverified, Err(ServerKeysError::BadSignature { key_id: "ed25519:1".to_owned() }));
    }
}

/// Every byte of a document that is changed is noticed, but in the IDs of the signatures: those are not signed, and one
/// that is missing leaves the document without a signature.
#[test]
fn each_byte_counts() {
    let (one, old) = (key("ed25519:1", 1), key("ed25519:0", 2));
    let document = document(UNTIL, &[&one]).with_old_key(old.key_id(), old.public_key(), 5);
    let text = signed(&document, &[&one]).unwrap();
    let keys = ServerKeys::parse(server(), &text, &Ed25519).unwrap();
    let mut refused = 0;
    for at in 0..text.len() {
        let mut bytes = text.as_bytes().to_vec();
        *bytes.get_mut(at).unwrap() ^= 1;
        let Ok(changed) = String::from_utf8(bytes) else { continue };
        match ServerKeys::parse(server(), &changed, &Ed25519) {
            // The bits of base64 behind the last byte of a signature.
            Ok(same) => assert_eq!((same, changed.get(at + 1..at + 4)), (keys.clone(), Some("\"}}"))),
            Err(_) => refused += 1,
        }
    }
    assert!(refused + 1 >= text.len());
    // What is not signed may be added.
    let noted = text.replacen('{', r#"{"unsigned":{"age":1},"#, 1);
    assert_eq!(ServerKeys::parse(server(), &noted, &Ed25519), Ok(keys));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_what_others_read(
        in_use in btree_map("[A-Za-z0-9_]{1,8}", any::<[u8; 32]>(), 1..4),
        old in btree_map("[A-Za-z0-9_]{1,8}", (any::<[u8; 32]>(), any::<u64>()), 0..4),
        time: u64,
    ) {
        let keys: Vec<_> =
            in_use.iter().map(|(version, seed)| Ed25519Key::from_seed(&format!("ed25519:{version}"), seed).unwrap()).collect();
        let keys: Vec<_> = keys.iter().collect();
        let mut document = document(time, &keys);
        let mut expected = BTreeMap::new();
        for (version, (public_key, time)) in old {
            let key_id = format!("ed25519:{version}");
            document = document.with_old_key(id(&key_id), public_key, time);
            expected.insert(key_id, VerifyKey { public_key, validity: KeyValidity::Expired(time.min(MAX)) });
        }
        expected.extend(keys.iter().map(|key| until(key, time.min(MAX))));
        let text = signed(&document, &keys).unwrap();
        prop_assert_eq!(read(&text), Ok(expected));
        prop_assert!(ruma_verifies(&text));
    }
}
