//! The keys in the document of a server: `verify_keys` and `old_verify_keys`.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use matrix_knock::Ed25519;
use matrix_knock::event::{KeyValidity, ServerKeys, ServerKeysError};
use matrix_knock::id::ServerName;

use super::bad::{DEEP, Fault, values};
use super::events::A;
use super::{PLACES, with, without_place};

const UNTIL: u64 = 1_700_000_000_000;
const OLD: u64 = 1_600_000_000_000;

fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

fn base64(number: u8) -> String {
    BASE64_STANDARD_NO_PAD.encode(key(number).verifying_key().to_bytes())
}

/// Keys of these numbers as members, each with these properties beside.
fn members(numbers: [u8; 3], beside: &str) -> [String; 3] {
    numbers.map(|number| format!(r#""ed25519:{number}":{{{beside}"key":"{}"}}"#, base64(number)))
}

fn body(verify_keys: &[String], old_verify_keys: &[String]) -> String {
    format!(
        r#"{{"old_verify_keys":{{{}}},"server_name":"{A}","valid_until_ts":{UNTIL},"verify_keys":{{{}}}}}"#,
        old_verify_keys.join(","),
        verify_keys.join(","),
    )
}

/// The document with these members, signed by key 1. What is canonical within a member is canonical
/// in the document, once the members are sorted; and what is not, nobody can have signed.
fn document(verify_keys: &[String], old_verify_keys: &[String]) -> String {
    let sorted = |members: &[String]| {
        let mut members = members.to_vec();
        members.sort();
        members
    };
    let message = body(&sorted(verify_keys), &sorted(old_verify_keys));
    let signature = BASE64_STANDARD_NO_PAD.encode(key(1).sign(message.as_bytes()).to_bytes());
    let signatures = format!(r#"{{"signatures":{{"{A}":{{"ed25519:1":"{signature}"}}}},"#);
    body(verify_keys, old_verify_keys).replacen('{', &signatures, 1)
}

/// The IDs of the keys, and how long they count.
fn read(document: &str) -> Result<Vec<(String, KeyValidity)>, String> {
    let server = ServerName::parse(A).expect("a server name");
    let keys = ServerKeys::parse(server, document, &Ed25519).map_err(|error| without_place(&error.to_string()))?;
    Ok(keys.keys().map(|(key_id, key)| (key_id.to_owned(), key.validity)).collect())
}

/// Members that are no keys, and why the document cannot be had, if it cannot.
fn bad() -> Vec<(String, String, Option<&'static str>)> {
    let mut rows = Vec::new();
    for (name, value, fault) in values() {
        let refused = match fault {
            Fault::Json(why) => Some(why),
            _ => None,
        };
        // A level deeper than where `values` counts it.
        let deeper = if name.starts_with("126 ") { Some(DEEP) } else { refused };
        let entry = format!(r#"{{"expired_ts":{OLD},"key":{value}}}"#);
        rows.push((format!("{name} for a key"), format!(r#""ed25519:bad":{entry}"#), deeper));
        rows.push((format!("{name} for an entry"), format!(r#""ed25519:bad":{value}"#), refused));
    }
    let short = BASE64_STANDARD_NO_PAD.encode([7; 31]);
    let long = BASE64_STANDARD_NO_PAD.encode([7; 33]);
    for (name, value) in [
        ("an empty entry", "{}".to_owned()),
        ("an entry in a list", format!(r#"[{{"key":"{}"}}]"#, base64(4))),
        ("the key by itself", format!(r#""{}""#, base64(4))),
        ("an empty key", r#"{"key":""}"#.to_owned()),
        ("no base64", r#"{"key":"!!!"}"#.to_owned()),
        ("31 bytes", format!(r#"{{"key":"{short}"}}"#)),
        ("33 bytes", format!(r#"{{"key":"{long}"}}"#)),
        ("a key in a list", format!(r#"{{"key":["{}"]}}"#, base64(4))),
        ("a key under another name", format!(r#"{{"Key":"{}"}}"#, base64(4))),
    ] {
        rows.push((name.to_owned(), format!(r#""ed25519:bad":{value}"#), None));
    }
    for (name, key_id) in [
        ("another algorithm", "curve25519:bad"),
        ("no algorithm", "bad"),
        ("an empty ID", ""),
        ("upper case", "Ed25519:bad"),
    ] {
        rows.push((name.to_owned(), format!(r#""{key_id}":{{"key":"{}"}}"#, base64(4)), None));
    }
    rows
}

#[test]
fn verify_keys() {
    let good = members([1, 2, 3], "");
    let olds = members([5, 6, 7], &format!(r#""expired_ts":{OLD},"#));
    let old = ["ed25519:5", "ed25519:6", "ed25519:7"].map(|key_id| (key_id.to_owned(), KeyValidity::Expired(OLD)));
    let mut cells = 0_u32;
    for (name, member, refused) in bad() {
        // Without a good one nothing has signed the document.
        for place in PLACES {
            let document = document(&with(&good, &member, place), &olds);
            let in_use = (1..=place.1).map(|number| (format!("ed25519:{number}"), KeyValidity::Until(UNTIL)));
            let expected = match refused {
                Some(why) => Err(why.to_owned()),
                None if place.1 == 0 => Err(ServerKeysError::NotSigned.to_string()),
                None => Ok(in_use.chain(old.clone()).collect()),
            };
            assert_eq!(read(&document), expected, "{name}, {place:?}: {document}");
            cells = cells.saturating_add(1);
        }
    }
    assert_eq!(cells, 492);
}

#[test]
fn old_verify_keys() {
    let good = members([5, 6, 7], &format!(r#""expired_ts":{OLD},"#));
    let in_use = members([1, 2, 3], "");
    let mut bad = bad();
    for (name, expired_ts) in [
        ("no time", ""),
        ("a time before 1970", r#""expired_ts":-1,"#),
        ("a time with a fraction", r#""expired_ts":1.5,"#),
        ("a time in words", r#""expired_ts":"1600000000000","#),
        ("null", r#""expired_ts":null,"#),
        ("a time beyond 64 bits", r#""expired_ts":18446744073709551616,"#),
    ] {
        bad.push((name.to_owned(), format!(r#""ed25519:bad":{{{expired_ts}"key":"{}"}}"#, base64(4)), None));
    }
    let mut cells = 0_u32;
    for (name, member, refused) in bad {
        for place in PLACES {
            let document = document(&in_use, &with(&good, &member, place));
            let new = (1..=3).map(|number| (format!("ed25519:{number}"), KeyValidity::Until(UNTIL)));
            let old = ["ed25519:5", "ed25519:6", "ed25519:7"].into_iter().take(place.1);
            let old = old.map(|key_id| (key_id.to_owned(), KeyValidity::Expired(OLD)));
            let expected = refused.map_or_else(|| Ok(new.chain(old).collect()), |why| Err(why.to_owned()));
            assert_eq!(read(&document), expected, "{name}, {place:?}: {document}");
            cells = cells.saturating_add(1);
        }
    }
    assert_eq!(cells, 516);
}
