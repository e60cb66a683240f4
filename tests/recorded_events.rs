//! Every event that the recorded servers made verifies here, to the byte; and what was tampered with is found, and says
//! what is wrong. Where the vectors come from is said in `vectors/README.md`.
#![cfg(feature = "ed25519")]
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a vector that cannot be read fails the test")]

use std::collections::BTreeMap;

use matrix_knock::event::{
    Event as _, Keys, Pdu, ServerKeys, VerifiedPdu, WholePdu, content_hash, event_id, redact, room_id_of_create,
};
use matrix_knock::id::ServerName;
use matrix_knock::{Ed25519, RoomVersion};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

const ROOMS: &str = include_str!("vectors/rooms.jsonl");
const TAMPERED: &str = include_str!("vectors/tampered_send_knock.jsonl");
const KEYS: &str = include_str!("vectors/keys.jsonl");

/// When the recordings were made: 2026-11-22.
const NOW: u64 = 1_795_320_900_000;

#[derive(Deserialize)]
struct Room<'a> {
    room_id: &'a str,
    room_version: &'a str,
    #[serde(borrow)]
    events: Vec<Recorded<'a>>,
}

#[derive(Deserialize)]
struct Recorded<'a> {
    event_id: &'a str,
    #[serde(borrow)]
    pdu: &'a RawValue,
}

/// The published keys of the servers; parsing checks that they signed their documents themselves.
fn keys() -> Vec<ServerKeys> {
    KEYS.lines()
        .map(|text| {
            let document: Value = serde_json::from_str(text).expect("JSON");
            let server = document["server_name"].as_str().expect("a name");
            let server = ServerName::parse(server).expect("a server name");
            ServerKeys::parse(server, text, &Ed25519).expect("a document signed by its server")
        })
        .collect()
}

/// How an event comes out: `ok`, or the step that it fails at and why.
fn outcome(version: RoomVersion, text: &str, keys: &(impl Keys + ?Sized)) -> String {
    let formatted = match Pdu::parse(text).map_err(Into::into).and_then(|pdu| pdu.check_format(version)) {
        Ok(formatted) => formatted,
        Err(error) => return format!("bad format: {error}"),
    };
    let signed = match formatted.check_signatures(keys, &Ed25519, NOW) {
        Ok(signed) => signed,
        Err(error) => return format!("bad signature: {error}"),
    };
    assert_eq!(event_id(version, text).as_deref(), Ok(signed.event_id()));
    match signed.check_hash().expect("an event of the right format has a hash") {
        VerifiedPdu::Whole(whole) => match unsigned_authorizer(version, &whole) {
            Some(server) => format!("ok, but not signed by `{server}`, which a rule asks for"),
            None => "ok".to_owned(),
        },
        VerifiedPdu::Redacted(redacted) => {
            assert_eq!(redact(version, text).as_deref(), Ok(redacted.text()));
            "hash mismatch".to_owned()
        }
    }
}

/// The server of the user who authorizes a join, since v8, if it has not signed.
fn unsigned_authorizer(version: RoomVersion, whole: &WholePdu<'_>) -> Option<String> {
    let content: Value = serde_json::from_str(whole.pdu().content()).expect("JSON");
    let user = content.get("join_authorised_via_users_server").filter(|_| version >= RoomVersion::V8)?;
    let (_, server) = user.as_str().and_then(|user| user.split_once(':')).expect("a user ID");
    (!whole.signed().signed_by().any(|signer| signer == server)).then(|| server.to_owned())
}

#[test]
fn every_recorded_event_verifies() {
    let keys = keys();
    let mut counts: BTreeMap<(RoomVersion, String), usize> = BTreeMap::new();
    for line in ROOMS.lines() {
        let room: Room<'_> = serde_json::from_str(line).expect("a room");
        let version: RoomVersion = room.room_version.parse().expect("a version");
        for event in &room.events {
            let text = event.pdu.get();
            assert_eq!(event_id(version, text).as_deref(), Ok(event.event_id));
            // What a redaction leaves has the same ID.
            let redacted = redact(version, text).expect("an event");
            assert_eq!(event_id(version, &redacted).as_deref(), Ok(event.event_id));
            let value: Value = serde_json::from_str(text).expect("JSON");
            let hash = content_hash(version, text).expect("canonical JSON").to_string();
            let outcome = outcome(version, text, keys.as_slice());
            assert_eq!(outcome != "hash mismatch", value["hashes"]["sha256"] == hash.as_str(), "{text}");
            if value["type"] == "m.room.create" && version == RoomVersion::V12 {
                assert_eq!(room_id_of_create(version, event.event_id).as_deref(), Some(room.room_id));
            }
            *counts.entry((version, outcome)).or_default() += 1;
        }
    }
    // Two of the tampered knocks were taken by Synapse all the same: the one whose content hash is wrong, and the one with
    // an authorizing user whose server has not signed (which nobody has to in version 7).
    let ok = || "ok".to_owned();
    let mismatch = || "hash mismatch".to_owned();
    let unsigned = || "ok, but not signed by `hs1.test:18448`, which a rule asks for".to_owned();
    let expected = [
        ((RoomVersion::V6, ok()), 10),
        ((RoomVersion::V7, ok()), 380),
        ((RoomVersion::V7, mismatch()), 1),
        ((RoomVersion::V10, ok()), 548),
        ((RoomVersion::V10, mismatch()), 1),
        ((RoomVersion::V10, unsigned()), 1),
        ((RoomVersion::V12, ok()), 547),
        ((RoomVersion::V12, mismatch()), 1),
        ((RoomVersion::V12, unsigned()), 1),
    ];
    assert_eq!(counts, BTreeMap::from(expected));
}

/// What is wrong with each tampered request, by its note. With the others nothing is wrong that the event alone can show:
/// the resident server finds it (another room, another sender, another ID in the path) or nobody minds.
const FOUND: &[(&str, &str)] = &[
    ("a float in content", "bad format: number not allowed in canonical JSON"),
    ("a top-level key added after hashing", "hash mismatch"),
    ("a whole float in content", "bad format: number not allowed in canonical JSON"),
    ("an explicit event_id field", "bad format: event has a `event_id`, which it must not have in this room version"),
    (
        "an extra hash added after signing",
        "bad signature: the signature of `hs2.test:28448` by `ed25519:a_mdJa` does not verify",
    ),
    ("an integer 2^53 in content", "bad format: number not allowed in canonical JSON"),
    ("body an empty array", "bad format: event is not an object"),
    ("body an empty object", "bad format: event has no `type`"),
    ("depth -1", "bad format: `depth` of the event is of the wrong kind or out of range"),
    ("depth 2^53", "bad format: number not allowed in canonical JSON"),
    ("depth 2^63-1", "bad format: number not allowed in canonical JSON"),
    ("depth a float", "bad format: number not allowed in canonical JSON"),
    ("depth a string", "bad format: `depth` of the event is of the wrong kind or out of range"),
    (
        "depth changed after signing",
        "bad signature: the signature of `hs2.test:28448` by `ed25519:a_mdJa` does not verify",
    ),
    ("depth missing", "bad format: event has no `depth`"),
    ("depth true", "bad format: `depth` of the event is of the wrong kind or out of range"),
    ("hashes empty", "bad format: event has no `hashes.sha256`"),
    ("hashes missing", "bad format: event has no `hashes`"),
    ("hashes.sha256 not a string", "bad format: `hashes` of the event is of the wrong kind or out of range"),
    ("join_authorised_via_users_server in content", "ok, but not signed by `hs1.test:18448`, which a rule asks for"),
    ("origin_server_ts a string", "bad format: `origin_server_ts` of the event is of the wrong kind or out of range"),
    (
        "origin_server_ts changed after signing",
        "bad signature: the signature of `hs2.test:28448` by `ed25519:a_mdJa` does not verify",
    ),
    ("origin_server_ts far ahead", "bad signature: no signature by a known key of `hs2.test:28448` that counts"),
    ("prev_events missing", "bad format: event has no `prev_events`"),
    ("reason changed after hashing (content hash mismatch)", "hash mismatch"),
    ("reason of 70,000 bytes (PDU too large)", "bad format: event of 70657 bytes, more than 65536"),
    ("room_id missing", "bad format: event has no `room_id`"),
    (
        "sender and state_key of hs1, signed by hs2",
        "bad signature: no signature by a known key of `hs1.test:18448` that counts",
    ),
    ("sender longer than 255 bytes", "bad format: `state_key` of the event is longer than 255 bytes"),
    ("sender missing", "bad format: event has no `sender`"),
    ("sender not a user ID", "bad format: `sender` of the event does not begin with `@`"),
    (
        "sender of hs1, state_key of hs2, signed by hs2",
        "bad signature: no signature by a known key of `hs1.test:18448` that counts",
    ),
    (
        "sender of the unreachable hs4, signed by hs2",
        "bad signature: no signature by a known key of `hs4.test:48448` that counts",
    ),
    ("signature corrupted", "bad signature: the signature of `hs2.test:28448` by `ed25519:a_mdJa` does not verify"),
    ("signature under an unknown key ID", "bad signature: no signature by a known key of `hs2.test:28448` that counts"),
    ("signatures empty", "bad signature: no signature by a known key of `hs2.test:28448` that counts"),
    ("signatures missing", "bad format: event has no `signatures`"),
    ("signed by hs3 only", "bad signature: no signature by a known key of `hs2.test:28448` that counts"),
    ("state_key not a string", "bad format: `state_key` of the event is of the wrong kind"),
];

#[test]
fn what_was_tampered_with_is_found() {
    #[derive(Deserialize)]
    struct Tampered {
        version: String,
        note: String,
        body: String,
    }
    let keys = keys();
    let mut found = BTreeMap::new();
    let mut fine = 0;
    for line in TAMPERED.lines() {
        let sent: Tampered = serde_json::from_str(line).expect("a request");
        let version: RoomVersion = sent.version.parse().expect("a version");
        let outcome = outcome(version, &sent.body, keys.as_slice());
        // Where in the text differs from version to version.
        let outcome = outcome.split(" at byte ").next().expect("the first part").to_owned();
        if outcome == "ok" {
            fine += 1;
            // Before version 8 nobody signs for an authorizing user.
            let unsigned = sent.note == "join_authorised_via_users_server in content" && sent.version == "7";
            assert!(unsigned || !FOUND.iter().any(|(note, _)| *note == sent.note), "{}", sent.note);
            continue;
        }
        let known = found.insert(sent.note.clone(), outcome.clone());
        assert!(known.is_none_or(|known| known == outcome), "{}", sent.note);
    }
    let expected = FOUND.iter().map(|(note, outcome)| ((*note).to_owned(), (*outcome).to_owned()));
    assert_eq!(found, expected.collect());
    assert_eq!((TAMPERED.lines().count(), fine), (290, 176));
}
