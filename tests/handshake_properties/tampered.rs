//! Signed knocks that were tampered with, as far as they can be judged without the room's state: each is refused by the
//! name of what is wrong with it, and those that are as they should be pass.
//!
//! What the recording server said to them is no oracle here: it took some of them.

use std::collections::BTreeMap;

use matrix_knock::event::{FormatError, Pdu, PduError, ServerKeys, SignatureError, event_id};
use matrix_knock::id::{IdError, RoomId, ServerName};
use matrix_knock::json::{CanonicalDialect, JsonErrorKind, canonical};
use matrix_knock::resident::submission::SendKnock;
use matrix_knock::resident::{Mismatch, Refusal, Residence, ResidentRoom};
use matrix_knock::state::StateMap;
use matrix_knock::{Ed25519, RoomVersion};
use serde_json::Value;

const ROOMS: &str = include_str!("../vectors/rooms.jsonl");
const TAMPERED: &str = include_str!("../vectors/tampered_send_knock.jsonl");
const KEYS: &str = include_str!("../vectors/keys.jsonl");

/// The server that asks, and a time at which its key counts.
const ORIGIN: &str = "hs2.test:28448";
const NOW: u64 = 1_795_320_540_000;

fn lines(text: &'static str) -> impl Iterator<Item = Value> {
    text.lines().map(|line| line.parse().unwrap())
}

fn keys() -> Vec<ServerKeys> {
    let documents = KEYS.lines().map(|text| (text, text.parse::<Value>().unwrap()));
    let parse = |(text, document): (&str, Value)| {
        ServerKeys::parse(ServerName::parse(document["server_name"].as_str().unwrap()).unwrap(), text, &Ed25519)
            .unwrap()
    };
    documents.map(parse).collect()
}

/// What has to come of a note: of the request as it is.
#[derive(Debug, Clone, PartialEq)]
enum Verdict {
    /// Nothing is wrong with the event by itself.
    Good,
    /// What is wrong is for the room's state to tell, or for the events that it names: the next step.
    ByState,
    /// What is wrong is not in the event, but in the request: the host's affair.
    ByHost,
    Refused(Refusal),
}

fn expected(version: RoomVersion, note: &str, body: &str) -> Verdict {
    use Verdict::{ByHost, ByState, Good, Refused};
    let format = |error: FormatError| Refused(Refusal::Format(error));
    let pdu = |error: PduError| format(FormatError::Pdu(error));
    let mismatch = |mismatch| Refused(Refusal::Mismatch(mismatch));
    let signature = |error| Refused(Refusal::Signature(error));
    let server = || ORIGIN.to_owned();
    match note {
        "baseline: a proper hand-made knock"
        | "the same event properly sent"
        | "the same event sent a second time"
        | "a plain knock after the one of depth 2^53-1"
        | "sender with an upper-case localpart"
        | "sender with an empty localpart"
        | "a good signature and one under an unknown key ID"
        | "a good signature and a bogus one of hs1"
        | "depth 0"
        | "depth 2^53-1"
        | "origin_server_ts 0"
        | "origin_server_ts negative"
        | "reason a number"
        | "reason null"
        | "reason of 60,000 bytes (PDU fits)"
        | "displayname a number"
        | "displayname null, avatar_url null"
        | "third_party_invite in content"
        | "an integer -(2^53)+1 in content"
        | "an extra top-level key, hashed"
        | "an origin field, hashed"
        | "prev_state and membership at top level, hashed"
        | "unsigned with age and other keys" => Good,

        "another room's ID in path and body, prev/auth events of the first"
        | "prev_events empty"
        | "prev_events unknown"
        | "prev_events one known, one unknown"
        | "prev_events is the create event only (state before the join rule)"
        | "auth_events empty"
        | "auth_events unknown"
        | "auth_events with a duplicate"
        | "auth_events without m.room.create"
        | "auth_events without m.room.power_levels"
        | "auth_events without m.room.join_rules"
        | "auth_events with the first member event of the room's creator"
        | "auth_events with one of an unneeded type"
        | "auth_events with the create event"
        | "auth_events in reverse order" => ByState,

        "no X-Matrix header" | "bad X-Matrix signature" | "send_knock under /v2/" => ByHost,

        "membership 'leave'"
        | "membership 'join'"
        | "membership 'invite'"
        | "membership 'ban'"
        | "membership 'KNOCK'"
        | "membership 'org.example.x'"
        | "membership missing"
        | "membership not a string"
        | "membership an array" => mismatch(Mismatch::Membership),
        "type m.room.message" | "type m.room.topic" => mismatch(Mismatch::EventType),
        "no state_key" => mismatch(Mismatch::NoStateKey),
        "state_key empty"
        | "state_key of another user of hs2"
        | "state_key of a user of hs1"
        | "sender of hs1, state_key of hs2, signed by hs2" => mismatch(Mismatch::StateKey),
        "sender and state_key of hs1, signed by hs2"
        | "sender of hs3, signed by hs3, sent by hs2"
        | "sender of the unreachable hs4, signed by hs2" => mismatch(Mismatch::Sender),
        // What is signed is what the ID is made of: whoever changes it has to change the path as well.
        "another event ID in the path"
        | "a malformed event ID in the path"
        | "depth changed after signing"
        | "origin_server_ts changed after signing"
        | "an extra hash added after signing" => mismatch(Mismatch::EventId),
        "another room's ID in the path" => mismatch(Mismatch::RoomId),
        // Before version 8 it means nothing.
        "join_authorised_via_users_server in content" if version < RoomVersion::V8 => Good,
        "join_authorised_via_users_server in content" => mismatch(Mismatch::AuthorizingUser),

        "reason changed after hashing (content hash mismatch)" | "a top-level key added after hashing" => {
            Refused(Refusal::ContentHash)
        }
        "signature corrupted" => {
            signature(SignatureError::BadSignature { server: server(), key_id: "ed25519:a_mdJa".to_owned() })
        }
        "signatures empty"
        | "signed by hs3 only"
        | "signature under an unknown key ID"
        // The key does not count so far ahead.
        | "origin_server_ts far ahead" => signature(SignatureError::NotSigned { server: server() }),

        "state_key not a string" => pdu(PduError::WrongKind("state_key")),
        "sender missing" => pdu(PduError::Missing("sender")),
        "body an empty array" => pdu(PduError::NotAnObject),
        "body an empty object" => pdu(PduError::Missing("type")),
        "depth 2^53"
        | "depth 2^63-1"
        | "depth a float"
        | "a float in content"
        | "a whole float in content"
        | "an integer 2^53 in content" => {
            let error = canonical(body, CanonicalDialect::Strict).unwrap_err();
            assert_eq!(error.kind(), JsonErrorKind::NumberNotAllowed);
            pdu(error.into())
        }
        "sender not a user ID" => format(FormatError::Id { property: "sender", error: IdError::Sigil('@') }),
        "sender longer than 255 bytes" => format(FormatError::TooLong("state_key")),
        "signatures missing" => format(FormatError::Missing("signatures")),
        "hashes missing" => format(FormatError::Missing("hashes")),
        "hashes empty" => format(FormatError::Missing("hashes.sha256")),
        "hashes.sha256 not a string" => format(FormatError::WrongKind("hashes")),
        "room_id missing" => format(FormatError::Missing("room_id")),
        "an explicit event_id field" => format(FormatError::Unexpected("event_id")),
        "prev_events missing" => format(FormatError::Missing("prev_events")),
        "depth -1" | "depth a string" | "depth true" => format(FormatError::WrongKind("depth")),
        "depth missing" => format(FormatError::Missing("depth")),
        "origin_server_ts a string" => format(FormatError::WrongKind("origin_server_ts")),
        "reason of 70,000 bytes (PDU too large)" => {
            let bytes = canonical(body, CanonicalDialect::Strict).unwrap().len();
            format(FormatError::TooLarge { bytes })
        }
        other => panic!("what of `{other}`?"),
    }
}

/// The same under the ID that the tampered event has: what a tamperer would do next.
fn expected_under_its_own_id(version: RoomVersion, note: &str, body: &str) -> Verdict {
    match note {
        "another event ID in the path" | "a malformed event ID in the path" => Verdict::Good,
        "depth changed after signing"
        | "origin_server_ts changed after signing"
        | "an extra hash added after signing" => {
            let (server, key_id) = (ORIGIN.to_owned(), "ed25519:a_mdJa".to_owned());
            Verdict::Refused(Refusal::Signature(SignatureError::BadSignature { server, key_id }))
        }
        other => expected(version, other, body),
    }
}

#[test]
fn each_is_refused_by_its_name() {
    let recorded = lines(ROOMS).filter(|room| room["scenario"].as_str().unwrap().contains("/j_tampered"));
    let rooms: Vec<Value> = recorded.collect();
    let keys = keys();
    let mut counts = BTreeMap::<&str, usize>::new();
    for case in lines(TAMPERED) {
        let text = |property: &str| case[property].as_str().unwrap();
        let (body, note, in_path) = (text("body"), text("note"), text("path_event_id"));
        let version: RoomVersion = text("version").parse().unwrap();
        let named = body.parse::<Value>().unwrap()["room_id"].clone();
        let mut of_version = rooms.iter().filter(|room| room["room_version"] == case["version"]);
        // The request names the room of the event but once; of an event without a room, any is as good.
        let is_it = |room: &&Value| match note {
            "another room's ID in the path" => room["room_id"] != named,
            _ => named.is_null() || room["room_id"] == named,
        };
        let room = of_version.find(is_it).unwrap();
        let texts: BTreeMap<_, _> =
            array(&room["events"]).map(|it| (it["event_id"].as_str().unwrap(), it["pdu"].to_string())).collect();
        let state: StateMap<Pdu<'_>> =
            array(&room["current_state"]).map(|id| Pdu::parse(&texts[id.as_str().unwrap()]).unwrap()).collect();
        let room_id = RoomId::parse(room["room_id"].as_str().unwrap()).unwrap();
        let resident = ResidentRoom { room_id, version, residence: Residence::Joined };
        let send = |event_id: &str| {
            let origin = ServerName::parse(ORIGIN).unwrap();
            let request = SendKnock::new(room_id, event_id, origin, body);
            let received = request.check(&resident, &state)?;
            let verified = received.verify(&keys[..], &Ed25519, NOW)?;
            assert_eq!(verified.event_id(), event_id);
            Ok(())
        };
        let own_id = event_id(version, body).unwrap_or_else(|_| in_path.to_owned());
        let of_own = expected_under_its_own_id(version, note, body);
        for (id, verdict) in [(in_path, expected(version, note, body)), (&own_id, of_own)] {
            let refusal = match &verdict {
                Verdict::Refused(refusal) => Err(refusal.clone()),
                Verdict::Good | Verdict::ByState | Verdict::ByHost => Ok(()),
            };
            assert_eq!(send(id), refusal, "{note} in version {version}");
            if id == in_path {
                let kind = match verdict {
                    Verdict::Good => "nothing wrong",
                    Verdict::ByState => "wrong by the state",
                    Verdict::ByHost => "wrong request",
                    Verdict::Refused(_) => "refused",
                };
                *counts.entry(kind).or_default() += 1;
                if own_id == in_path {
                    break;
                }
            }
        }
    }
    println!("tampered requests: {counts:?}");
    assert_eq!(counts.values().sum::<usize>(), 290);
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().unwrap().iter()
}
