//! Third-party invites with real signatures, made here with a key of a fixed seed.
#![cfg(feature = "ed25519")]
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test that cannot be set up fails")]

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer, SigningKey};
use matrix_knock::auth::{CompiledRoom, Rule, authorize};
use matrix_knock::event::Pdu;
use matrix_knock::json::{CanonicalDialect, canonical};
use matrix_knock::state::StateMap;
use matrix_knock::{Ed25519, RoomVersion};
use serde_json::{Value, json};

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn public(seed: u8) -> String {
    BASE64_STANDARD_NO_PAD.encode(key(seed).verifying_key().as_bytes())
}

/// What an identity server signs.
fn signed(token: &str) -> Value {
    json!({ "mxid": "@kay:b", "token": token, "sender": "@alice:a", "é": "\u{1F514}" })
}

fn signature(seed: u8, signed: &Value) -> String {
    let message = canonical(&signed.to_string(), CanonicalDialect::Strict).expect("JSON");
    BASE64_STANDARD_NO_PAD.encode(key(seed).sign(message.as_bytes()).to_bytes())
}

fn with_signatures(mut signed: Value, signatures: Value) -> Value {
    signed["signatures"] = signatures;
    signed
}

fn state_event(event_type: &str, state_key: &str, sender: &str, content: &Value) -> String {
    json!({ "type": event_type, "state_key": state_key, "sender": sender, "content": content }).to_string()
}

/// The verdict on an invite with this `signed` in a room whose third-party invite has this content.
fn verdict(version: RoomVersion, signed: &Value, keys: &Value) -> Result<(), Rule> {
    let texts = [
        state_event("m.room.create", "", "@alice:a", &json!({ "creator": "@alice:a" })),
        state_event("m.room.third_party_invite", "tok\u{e9}n", "@alice:a", keys),
    ];
    let state = StateMap::from(texts.each_ref().map(|text| Pdu::parse(text).expect("an event")));
    let content = json!({ "membership": "invite", "third_party_invite": { "display_name": "k…", "signed": signed } });
    let text = state_event("m.room.member", "@kay:b", "@alice:a", &content);
    let event = Pdu::parse(&text).expect("an event");
    let plain = authorize(version, &event, &state, &Ed25519).map(|_| ());
    let compiled = CompiledRoom::compile(version, &state).expect("a create event");
    assert_eq!(compiled.authorize(&event, &state, &Ed25519).map(|_| ()), plain);
    plain.map_err(|error| error.rejection().expect("a member event").rule())
}

const REFUSED: Result<(), Rule> = Err(Rule::ThirdPartyInviteSignature);

#[test]
fn any_signature_by_any_key() {
    let good = signature(1, &signed("tokén"));
    let good_by_2 = signature(2, &signed("tokén"));
    let one = json!({ "id.example": { "ed25519:0": good } });
    let url_safe = |seed: u8| BASE64_URL_SAFE_NO_PAD.encode(key(seed).verifying_key().as_bytes());
    let padded = |seed: u8| BASE64_STANDARD.encode(key(seed).verifying_key().as_bytes());
    let public_keys = |keys: &[Value]| json!({ "public_keys": keys });
    for (name, signatures, keys, expected) in [
        ("its key", one.clone(), json!({ "public_key": public(1) }), Ok(())),
        ("URL-safe key", one.clone(), json!({ "public_key": url_safe(1) }), Ok(())),
        ("padded key", one.clone(), json!({ "public_key": padded(1) }), Ok(())),
        ("another key", one.clone(), json!({ "public_key": public(2) }), REFUSED),
        ("no key", one.clone(), json!({}), REFUSED),
        ("a key of another kind", one.clone(), json!({ "public_key": [public(1)] }), REFUSED),
        ("a key that is short", one.clone(), json!({ "public_key": "AAAA" }), REFUSED),
        ("in the list", one.clone(), public_keys(&[json!({ "public_key": public(1) })]), Ok(())),
        (
            "last in the list, behind what is malformed",
            one.clone(),
            public_keys(&[
                json!(1),
                json!({}),
                json!({ "public_key": "?" }),
                json!({ "x": 1, "public_key": public(1) }),
            ]),
            Ok(()),
        ),
        ("a list of strings", one.clone(), json!({ "public_keys": [public(1)] }), REFUSED),
        ("no list", one.clone(), json!({ "public_keys": { "public_key": public(1) } }), REFUSED),
        (
            "in the list beside another",
            one.clone(),
            json!({ "public_key": public(2), "public_keys": [{ "public_key": public(1) }] }),
            Ok(()),
        ),
        (
            "any of several servers, malformed ones passed over",
            json!({ "a": 1, "b": { "ed25519:1": 2, "ed25519:2": "?", "x": good }, "c": { "ed25519:0": good_by_2, "ed25519:1": good } }),
            json!({ "public_key": public(1) }),
            Ok(()),
        ),
        ("another algorithm", json!({ "a": { "ed448:0": good } }), json!({ "public_key": public(1) }), REFUSED),
        ("no signatures", json!({}), json!({ "public_key": public(1) }), REFUSED),
        ("signatures of another kind", json!([good]), json!({ "public_key": public(1) }), REFUSED),
        ("a broken signature", json!({ "a": { "ed25519:0": good_by_2 } }), json!({ "public_key": public(1) }), REFUSED),
    ] {
        for version in RoomVersion::ALL {
            let signed = with_signatures(signed("tokén"), signatures.clone());
            assert_eq!(verdict(version, &signed, &keys), expected, "{name} in version {version}");
        }
    }
}

#[test]
fn what_was_signed_counts() {
    let keys = json!({ "public_key": public(1) });
    let signatures = json!({ "id.example": { "ed25519:0": signature(1, &signed("tokén")) } });
    let with = |key: &str, value: Value| {
        let mut changed = with_signatures(signed("tokén"), signatures.clone());
        changed[key] = value;
        verdict(RoomVersion::V10, &changed, &keys)
    };
    assert_eq!(with("sender", json!("@alice:a")), Ok(()));
    assert_eq!(with("unsigned", json!({ "age": 1 })), Ok(()));
    assert_eq!(with("sender", json!("@mallory:a")), REFUSED);
    assert_eq!(with("extra", json!(1)), REFUSED);
    // No canonical form, no signature; before version 6 there is one.
    assert_eq!(with("extra", json!(1.5)), REFUSED);
    assert_eq!(with("mxid", json!("@zoe:b")), Err(Rule::ThirdPartyInviteOfAnotherUser));
    assert_eq!(with("mxid", json!(1)), Err(Rule::ThirdPartyInviteOfAnotherUser));
    assert_eq!(with("token", json!("other")), Err(Rule::ThirdPartyInviteUnknown));
    assert_eq!(with("token", json!(null)), Err(Rule::ThirdPartyInviteUnknown));
}

#[test]
fn a_float_is_signed_as_python_writes_it() {
    let keys = json!({ "public_key": public(1) });
    let bare: Value = serde_json::from_str(r#"{"mxid":"@kay:b","token":"tokén","x":1e2}"#).expect("JSON");
    let message = r#"{"mxid":"@kay:b","token":"tokén","x":100.0}"#;
    let good = BASE64_STANDARD_NO_PAD.encode(key(1).sign(message.as_bytes()).to_bytes());
    let signed = with_signatures(bare, json!({ "id.example": { "ed25519:0": good } }));
    for version in RoomVersion::ALL {
        let expected = if version < RoomVersion::V6 { Ok(()) } else { REFUSED };
        assert_eq!(verdict(version, &signed, &keys), expected, "{version}");
    }
}

/// An invite has room for hundreds of signatures and its counterpart for as many keys: not all pairs are tried.
#[test]
fn the_work_is_bounded() {
    let good = signature(1, &signed("tokén"));
    let bad = signature(2, &signed("tokén"));
    let with_bad_ones = |count: usize| {
        let mut all: serde_json::Map<String, Value> =
            (0..count).map(|number| (format!("ed25519:{number:03}"), json!(bad))).collect();
        all.insert("ed25519:z".to_owned(), json!(good));
        let signed = with_signatures(signed("tokén"), json!({ "id.example": all }));
        verdict(RoomVersion::V10, &signed, &json!({ "public_key": public(1) }))
    };
    assert_eq!(with_bad_ones(511), Ok(()));
    assert_eq!(with_bad_ones(512), REFUSED);
}
