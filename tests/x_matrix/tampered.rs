//! Requests that are not what was signed, or not to whom, or with a key that does not count.

use matrix_knock::Ed25519;
use matrix_knock::event::{Ed25519Key, KeyDocument, KeyValidity, KeysFn, NoVerifier, ServerKeys, VerifyKey};
use matrix_knock::id::KeyId;
use matrix_knock::x_matrix::{Authorization, SignedRequest, XMatrixError};
use serde_json::Value;

use super::{DESTINATION, KEY_ID, NOW, ORIGIN, URI, key, request, server, verify};

const CONTENT: &str =
    r#"{"content":{"membership":"knock","reason":"é\n"},"depth":12,"type":"m.room.member","x":[true,null,-3]}"#;

fn signed() -> Authorization {
    request(Some(CONTENT)).sign(&key()).unwrap()
}

/// The header with another text in it.
fn changed(from: &str, to: &str) -> Authorization {
    let header = signed().to_string();
    assert_eq!(header.matches(from).count(), 1, "{from}");
    Authorization::parse(&header.replace(from, to)).unwrap()
}

#[test]
fn what_makes_no_difference() {
    assert_eq!(verify(&signed(), &request(Some(CONTENT))), Ok(()));
    // The order of keys, white space, escapes.
    let other = r#" { "x": [true, null, -3], "type": "m.room.member", "depth": 12,
        "content": {"reason": "\u00e9\u000A", "membership": "kn\u006Fck"} } "#;
    assert_eq!(verify(&signed(), &request(Some(other))), Ok(()));
    // A destination that is not said is this server.
    let unsaid = changed(r#"destination="a.example:8448","#, "");
    assert_eq!(verify(&unsaid, &request(Some(CONTENT))), Ok(()));
}

#[test]
fn method_uri_and_destination() {
    let sent = request(Some(CONTENT));
    for method in ["POST", "GET", "put", "PUT ", ""] {
        assert_eq!(verify(&signed(), &SignedRequest { method, ..sent }), Err(XMatrixError::BadSignature), "{method}");
    }
    let others = [
        // Decoded, with other encoding, with a query, without the path before it, with the server before it.
        URI.replace("%21", "!"),
        URI.replace("%3A", "%3a"),
        format!("{URI}?"),
        format!("{URI}?ver=10"),
        format!("{URI}/"),
        URI.replace("/_matrix", ""),
        format!("https://{DESTINATION}{URI}"),
        String::new(),
    ];
    for uri in &others {
        assert_eq!(verify(&signed(), &SignedRequest { uri, ..sent }), Err(XMatrixError::BadSignature), "{uri}");
    }
    // Names are compared with case, and a port is a part of the name.
    for name in ["a.example", "a.example:8449", "A.example:8448", "b.example", "[::1]:8448"] {
        let destination = server(name);
        let received = SignedRequest { destination, ..sent };
        assert_eq!(verify(&signed(), &received), Err(XMatrixError::OtherDestination), "{name}");
        let unsaid = changed(r#"destination="a.example:8448","#, "");
        assert_eq!(verify(&unsaid, &received), Err(XMatrixError::BadSignature), "{name}");
        let readdressed = changed(r#""a.example:8448""#, &format!(r#""{name}""#));
        assert_eq!(verify(&readdressed, &received), Err(XMatrixError::BadSignature), "{name}");
    }
}

#[test]
fn origin_key_and_signature() {
    let sent = request(Some(CONTENT));
    let other_origin = changed(r#""b.example""#, r#""c.example""#);
    assert_eq!(verify(&other_origin, &sent), Err(XMatrixError::UnknownKey));
    let other_key = changed(r#""ed25519:1""#, r#""ed25519:2""#);
    assert_eq!(verify(&other_key, &sent), Err(XMatrixError::UnknownKey));
    // The same with a look-up that knows every key of every server.
    let of_seed = |seed| VerifyKey {
        public_key: Ed25519Key::from_seed(KEY_ID, &[seed; 32]).expect("a key ID").public_key(),
        validity: KeyValidity::Forever,
    };
    let check = |authorization: &Authorization, seed| {
        let keys = KeysFn(|_: &str, _: &str| Some(of_seed(seed)));
        let verified = authorization.verify("PUT", URI, Some(CONTENT), server(DESTINATION), &keys, &Ed25519, NOW);
        verified.map(|origin| origin.to_string())
    };
    assert_eq!(check(&signed(), 7), Ok(ORIGIN.to_owned()));
    assert_eq!(check(&signed(), 8), Err(XMatrixError::BadSignature));
    assert_eq!(check(&other_origin, 7), Err(XMatrixError::BadSignature));
    // The ID of the key is not signed: with the same key under two names, both are right.
    assert_eq!(check(&other_key, 7), Ok(ORIGIN.to_owned()));

    let sig = |authorization: &Authorization| {
        let header = authorization.to_string();
        header.rsplit_once("sig=").map(|(_, sig)| sig.trim_matches('"').to_owned()).unwrap()
    };
    let right = sig(&signed());
    let mut refused = 0;
    for (at, character) in right.char_indices() {
        let (before, behind) = (right.get(..at).unwrap(), right.get(at + 1..).unwrap());
        let other = if character == 'A' { 'B' } else { 'A' };
        let wrong = changed(&right, &format!("{before}{other}{behind}"));
        if sig(&wrong) == right {
            // Nothing but the bits behind the last byte.
            assert_eq!(at, 85);
            continue;
        }
        assert_eq!(verify(&wrong, &sent), Err(XMatrixError::BadSignature), "{at}");
        refused += 1;
    }
    assert!(refused >= 85);
    let zeroes = changed(&right, &"A".repeat(86));
    assert_eq!(verify(&zeroes, &sent), Err(XMatrixError::BadSignature));
    // A host without a verifier believes nobody.
    let keys = KeysFn(|_: &str, _: &str| Some(of_seed(7)));
    let authorization = signed();
    let verified = authorization.verify("PUT", URI, Some(CONTENT), server(DESTINATION), &keys, &NoVerifier, NOW);
    assert_eq!(verified, Err(XMatrixError::BadSignature));
}

/// Every byte of the body: it is another body, or none.
#[test]
fn content() {
    let sent = request(Some(CONTENT));
    let (mut other, mut none) = (0, 0);
    for at in 0..CONTENT.len() {
        let mut bytes = CONTENT.as_bytes().to_vec();
        *bytes.get_mut(at).unwrap() ^= 1;
        let Ok(text) = String::from_utf8(bytes) else { continue };
        let verified = verify(&signed(), &SignedRequest { content: Some(&text), ..sent });
        match serde_json::from_str::<Value>(&text) {
            Ok(_) => {
                assert_eq!(verified, Err(XMatrixError::BadSignature), "{text}");
                other += 1;
            }
            Err(_) => {
                assert!(matches!(verified, Err(XMatrixError::Content(_))), "{text}");
                none += 1;
            }
        }
    }
    assert_eq!((other, none), (56, 47));
    for content in [None, Some("{}"), Some("null"), Some("[]")] {
        assert_eq!(verify(&signed(), &SignedRequest { content, ..sent }), Err(XMatrixError::BadSignature));
    }
    // No body is not the same as an empty one, nor as one that is null.
    let contents = [None, Some("{}"), Some("null"), Some("[]"), Some("\"\""), Some("0")];
    for (one, of_one) in contents.into_iter().enumerate() {
        let authorization = request(of_one).sign(&key()).unwrap();
        for (two, of_two) in contents.into_iter().enumerate() {
            let expected = if one == two { Ok(()) } else { Err(XMatrixError::BadSignature) };
            assert_eq!(verify(&authorization, &request(of_two)), expected, "{of_one:?}, {of_two:?}");
        }
    }
}

/// A key in use counts up to its last millisecond, a replaced one for no request.
#[test]
fn when_keys_count() {
    const UNTIL: u64 = 1_700_000_000_000;
    let authorization = signed();
    let at = |validity, now| {
        let known = VerifyKey { public_key: key().public_key(), validity };
        let keys = KeysFn(|_: &str, _: &str| Some(known));
        authorization.verify("PUT", URI, Some(CONTENT), server(DESTINATION), &keys, &Ed25519, now).map(drop)
    };
    let expired = || Err(XMatrixError::ExpiredKey);
    for (validity, now, expected) in [
        (KeyValidity::Until(UNTIL), 0, Ok(())),
        (KeyValidity::Until(UNTIL), UNTIL - 1, Ok(())),
        (KeyValidity::Until(UNTIL), UNTIL, Ok(())),
        (KeyValidity::Until(UNTIL), UNTIL + 1, expired()),
        (KeyValidity::Until(UNTIL), u64::MAX, expired()),
        (KeyValidity::Until(0), 0, Ok(())),
        (KeyValidity::Until(0), 1, expired()),
        (KeyValidity::Until(u64::MAX), u64::MAX, Ok(())),
        (KeyValidity::Expired(UNTIL), 0, expired()),
        (KeyValidity::Expired(UNTIL), UNTIL - 1, expired()),
        (KeyValidity::Expired(u64::MAX), UNTIL, expired()),
        (KeyValidity::Forever, 0, Ok(())),
        (KeyValidity::Forever, u64::MAX, Ok(())),
    ] {
        assert_eq!(at(validity, now), expected, "{validity:?} at {now}");
    }
}

/// The keys that a server publishes.
#[test]
fn keys_of_a_document() {
    let other = Ed25519Key::from_seed("ed25519:2", &[8; 32]).expect("a key ID");
    let document = |in_use: &Ed25519Key, old: &Ed25519Key, [in_use_id, old_id]: [&str; 2]| {
        let [in_use_id, old_id] = [in_use_id, old_id].map(|key_id| KeyId::parse(key_id).unwrap());
        let document = KeyDocument::new(server(ORIGIN), NOW).with_key(in_use_id, in_use.public_key());
        let document = document.with_old_key(old_id, old.public_key(), NOW).sign(&[in_use]).unwrap();
        ServerKeys::parse(server(ORIGIN), &document, &Ed25519).unwrap()
    };
    let check = |keys: &ServerKeys, now| {
        signed().verify("PUT", URI, Some(CONTENT), server(DESTINATION), keys, &Ed25519, now).map(drop)
    };
    let in_use = document(&key(), &other, [KEY_ID, "ed25519:2"]);
    assert_eq!([NOW, NOW + 1].map(|now| check(&in_use, now)), [Ok(()), Err(XMatrixError::ExpiredKey)]);
    let replaced = document(&other, &key(), ["ed25519:2", KEY_ID]);
    assert_eq!(check(&replaced, NOW - 1), Err(XMatrixError::ExpiredKey));
    // Keys of the server that is asked, not of the one that asks.
    let key_of_destination = KeyDocument::new(server(DESTINATION), NOW)
        .with_key(KeyId::parse(KEY_ID).unwrap(), key().public_key())
        .sign(&[&key()])
        .unwrap();
    let keys = ServerKeys::parse(server(DESTINATION), &key_of_destination, &Ed25519).unwrap();
    assert_eq!(check(&keys, NOW), Err(XMatrixError::UnknownKey));
}

/// What is said of a request that is wrong in more than one way.
#[test]
fn the_first_thing_that_is_wrong() {
    let known = |validity| {
        let public_key = Ed25519Key::from_seed(KEY_ID, &[8; 32]).expect("a key ID").public_key();
        move |_: &str, _: &str| Some(VerifyKey { public_key, validity })
    };
    let check = |own, keys: &dyn Fn(&str, &str) -> Option<VerifyKey>, content| {
        let keys = KeysFn(|server: &str, key_id: &str| keys(server, key_id));
        let authorization = signed();
        let verified = authorization.verify("GET", "/", Some(content), server(own), &keys, &Ed25519, NOW);
        verified.map(drop).unwrap_err().to_string()
    };
    let (expired, counts) = (known(KeyValidity::Expired(0)), known(KeyValidity::Forever));
    assert_eq!(check("c.example", &|_, _| panic!("asked for a key"), "{"), "the request is for another server");
    assert_eq!(check(DESTINATION, &|_, _| None, "{"), "unknown key");
    assert_eq!(check(DESTINATION, &expired, "{"), "expired key");
    assert_eq!(check(DESTINATION, &counts, "{"), "the body: unexpected end of JSON at byte 1");
    assert_eq!(check(DESTINATION, &counts, "{}"), "the signature does not verify");
    // One key is asked for: that of the header.
    let asked = |server: &str, key_id: &str| {
        assert_eq!((server, key_id), (ORIGIN, KEY_ID));
        None
    };
    assert_eq!(check(DESTINATION, &asked, "{}"), "unknown key");
}
