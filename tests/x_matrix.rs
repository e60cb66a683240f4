//! Requests between servers: those that real servers signed, headers by the text and by RFC 9110, each field tampered with,
//! bodies at the bounds, and what holds for all of them. Where the vectors come from is said in `vectors/README.md`.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#request-authentication>
#![cfg(feature = "ed25519")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::arithmetic_side_effects, reason = "small numbers")]

#[path = "x_matrix/bodies.rs"]
mod bodies;
#[path = "x_matrix/headers.rs"]
mod headers;
#[path = "x_matrix/properties.rs"]
mod properties;
#[path = "x_matrix/tampered.rs"]
mod tampered;

use std::collections::BTreeMap;

use matrix_knock::Ed25519;
use matrix_knock::event::{Ed25519Key, KeyValidity, KeysFn, ServerKeys, VerifyKey};
use matrix_knock::id::ServerName;
use matrix_knock::x_matrix::{Authorization, SignedRequest, XMatrixError};
use serde::Deserialize;
use serde_json::value::RawValue;

const REQUESTS: &str = include_str!("vectors/x_matrix.jsonl");
const KEYS: &str = include_str!("vectors/keys.jsonl");

const ORIGIN: &str = "b.example";
const DESTINATION: &str = "a.example:8448";
const KEY_ID: &str = "ed25519:1";
const URI: &str = "/_matrix/federation/v1/send_knock/%21r%3Aa.example/%24event";
const NOW: u64 = 1_700_000_000_000;

fn server(name: &str) -> ServerName<'_> {
    ServerName::parse(name).unwrap()
}

fn key() -> Ed25519Key {
    Ed25519Key::from_seed(KEY_ID, &[7; 32]).unwrap()
}

fn request(content: Option<&str>) -> SignedRequest<'_> {
    SignedRequest { method: "PUT", uri: URI, origin: server(ORIGIN), destination: server(DESTINATION), content }
}

/// Checks a request as its destination does, which knows one key.
fn verify(authorization: &Authorization, request: &SignedRequest<'_>) -> Result<(), XMatrixError> {
    let SignedRequest { method, uri, content, destination, .. } = *request;
    let known = VerifyKey { public_key: key().public_key(), validity: KeyValidity::Forever };
    let keys = KeysFn(|server: &str, key_id: &str| ((server, key_id) == (ORIGIN, KEY_ID)).then_some(known));
    let origin = authorization.verify(method, uri, content, destination, &keys, &Ed25519, NOW)?;
    assert_eq!(origin, ORIGIN);
    Ok(())
}

#[derive(Deserialize)]
struct Recorded<'a> {
    source: &'a str,
    method: &'a str,
    uri: &'a str,
    to: &'a str,
    authorization: String,
    /// What was made wrong on purpose: Synapse answered 401.
    refused: Option<&'a str>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

#[test]
fn recorded_requests_verify() {
    let mut keys = Vec::new();
    let mut now = u64::MAX;
    for document in KEYS.lines() {
        let name: serde_json::Value = serde_json::from_str(document).unwrap();
        let name = name.get("server_name").and_then(|name| name.as_str()).unwrap();
        let of_server = ServerKeys::parse(server(name), document, &Ed25519).unwrap();
        for (_, key) in of_server.keys() {
            // The last moment at which all keys count.
            assert!(matches!(key.validity, KeyValidity::Until(until) if { now = now.min(until); true }));
        }
        keys.push(of_server);
    }
    let signer = key();
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut refused = 0;
    for line in REQUESTS.lines() {
        let recorded: Recorded<'_> = serde_json::from_str(line).unwrap();
        let Recorded { source, method, uri, to, .. } = recorded;
        let content = recorded.content.map(RawValue::get);
        let authorization = Authorization::parse(&recorded.authorization).unwrap();
        let origin = authorization.origin();
        let verified = authorization.verify(method, uri, content, server(to), keys.as_slice(), &Ed25519, now);
        let expected = match recorded.refused {
            None => Ok(origin),
            Some("signature") => Err(XMatrixError::BadSignature),
            Some("destination") => Err(XMatrixError::OtherDestination),
            Some(other) => panic!("{source}: {other}"),
        };
        assert_eq!(verified, expected, "{source}");
        if let Err(error) = verified {
            assert_eq!(error.to_response().status(), 401);
            refused += 1;
            continue;
        }
        let late = authorization.verify(method, uri, content, server(to), keys.as_slice(), &Ed25519, u64::MAX);
        assert_eq!(late, Err(XMatrixError::ExpiredKey), "{source}");

        // The same request signed by this crate.
        let request = SignedRequest { method, uri, origin, destination: server(to), content };
        let signed = request.sign(&signer).unwrap();
        assert_eq!(Authorization::parse(&signed.to_string()), Ok(signed.clone()), "{source}");
        assert_eq!((signed.origin(), signed.key_id().as_str()), (origin, KEY_ID), "{source}");
        let public_key = signer.public_key();
        let known = KeysFn(|_: &str, _: &str| Some(VerifyKey { public_key, validity: KeyValidity::Forever }));
        let verified = signed.verify(method, uri, content, server(to), &known, &Ed25519, now);
        assert_eq!(verified, Ok(origin), "{source}");

        let (version, _) = source.split_once('/').unwrap();
        *counts.entry((version, method)).or_default() += 1;
    }
    let expected = [
        (("v10", "GET"), 24),
        (("v10", "POST"), 1),
        (("v10", "PUT"), 134),
        (("v12", "GET"), 24),
        (("v12", "POST"), 1),
        (("v12", "PUT"), 13),
        (("v6", "GET"), 6),
        (("v6", "PUT"), 3),
        (("v7", "GET"), 20),
        (("v7", "POST"), 1),
        (("v7", "PUT"), 13),
    ];
    assert_eq!((counts, refused), (BTreeMap::from(expected), 9));
}

/// The example of the text, with its server names.
#[test]
fn the_signed_text() {
    let request = SignedRequest {
        method: "POST",
        uri: "/target",
        origin: server("origin.hs.example.com"),
        destination: server("destination.hs.example.com"),
        content: Some("{ \"b\" : [1, 2], \"a\": \"\\u00e9\" }"),
    };
    let rest = concat!(
        r#""destination":"destination.hs.example.com","method":"POST","#,
        r#""origin":"origin.hs.example.com","uri":"/target"}"#
    );
    assert_eq!(request.message(), Ok(format!(r#"{{"content":{{"a":"é","b":[1,2]}},{rest}"#)));
    let without = SignedRequest { content: None, ..request };
    assert_eq!(without.message(), Ok(format!("{{{rest}")));
    // Nothing in a method or a URI ends the string that it stands in.
    let odd = SignedRequest { method: "P\"", uri: "/a\\?b=\u{1}é", ..without };
    let expected = concat!(
        r#"{"destination":"destination.hs.example.com","method":"P\"","#,
        r#""origin":"origin.hs.example.com","uri":"/a\\?b=\u0001é"}"#
    );
    assert_eq!(odd.message().as_deref(), Ok(expected));
}
