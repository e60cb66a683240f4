//! Transactions: what is taken goes on in them, and one bad event costs only itself.

use matrix_knock::event::{FormatError, FormattedPdu, MAX_TRANSACTION_PDUS, Pdu, SignedEvent, transaction_pdus};
use matrix_knock::json::{JsonError, JsonErrorKind};
use matrix_knock::x_matrix::{Authorization, SignedRequest};
use matrix_knock::{Ed25519, RoomVersion};
use serde_json::{Value, json};

use crate::room::{HOME, NOW, RESIDENT, Room, server};
use crate::{KEY_ID, MAX_BYTES};

const URI: &str = "/_matrix/federation/v1/send/1";

/// The body of `PUT /send/{txnId}`.
fn transaction(pdus: &[&str]) -> String {
    let edu = r#"{"edu_type":"m.typing","content":{"room_id":"!r:a.example","typing":true,"user_id":"@a:a.example"}}"#;
    let pdus = pdus.join(",");
    format!(r#"{{"edus":[{edu}],"origin":"{RESIDENT}","origin_server_ts":{NOW},"pdus":[{pdus}]}}"#)
}

/// The request as its sender signs it.
fn request(body: &str) -> SignedRequest<'_> {
    let (origin, destination) = (server(RESIDENT), server(HOME));
    SignedRequest { method: "PUT", uri: URI, origin, destination, content: Some(body) }
}

/// The text that is signed, and whether another server takes the request.
fn sent(room: &Room, body: &str) -> Result<String, JsonError> {
    let message = request(body).message()?;
    let header = request(body).sign(&room.resident_key)?.to_string();
    let authorization = Authorization::parse(&header).expect("a header");
    let verified = authorization.verify("PUT", URI, Some(body), server(HOME), &room.keys(), &Ed25519, NOW);
    assert_eq!(verified, Ok(server(RESIDENT)));
    Ok(message)
}

fn read<'t>(version: RoomVersion, text: &'t str) -> Result<FormattedPdu<'t>, FormatError> {
    Pdu::parse(text)?.check_format(version)
}

/// An event that was taken is sent to all servers of the room: fifty of them in a transaction,
/// authenticated, and on the other side they are what they were. (Or so many copies of it: fifty of
/// the largest are three megabytes.)
pub(crate) fn goes_on(room: &Room, event: &SignedEvent, copies: usize, what: &str) {
    assert!((1..=MAX_TRANSACTION_PDUS).contains(&copies));
    // The longest `unsigned` that Synapse adds and counts has 77 bytes.
    assert!(event.text().len() + 77 <= MAX_BYTES, "{what}");
    let body = transaction(&vec![event.text(); copies]);
    let message = sent(room, &body).unwrap_or_else(|error| panic!("{what}: {error}"));
    // Who stops at 128 levels reads all of it; the text that is signed is canonical.
    let value: Value = serde_json::from_str(&message).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(value.to_string(), message, "{what}");
    let expected = json!({ "content": serde_json::from_str::<Value>(&body).expect("JSON"), "method": "PUT",
        "uri": URI, "origin": RESIDENT, "destination": HOME });
    assert_eq!(value, expected, "{what}");
    let pdus = transaction_pdus(&body).expect("a transaction");
    assert_eq!(pdus, vec![event.text(); copies], "{what}");
    let formatted = read(room.version, pdus[copies - 1]).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(formatted.event_id(), event.event_id(), "{what}");
}

/// Texts in the place of an event that are none, or none of this version, and whether whoever
/// signs requests can sign a transaction with them.
fn bad(event: &SignedEvent) -> Vec<(&'static str, String, bool)> {
    let more = |more: &str| event.text().replacen('{', &format!("{{{more},"), 1);
    let nested = |levels: usize| more(&format!(r#""x":{}{}"#, "[".repeat(levels - 1), "]".repeat(levels - 1)));
    vec![
        ("null", "null".to_owned(), true),
        ("a number", "-1.5e3".to_owned(), true),
        ("a string", r#""]},{[""#.to_owned(), true),
        ("a list", "[[],{}]".to_owned(), true),
        ("an empty object", "{}".to_owned(), true),
        ("no signatures", event.text().replace("signatures", "x"), true),
        ("an ID", more(r#""event_id":"$x""#), true),
        ("a float", more(r#""x":1.5"#), true),
        ("129 levels", nested(129), true),
        ("150 levels", nested(150), true),
        ("200 levels", nested(200), false),
        ("100,000 levels", nested(100_000), false),
        ("infinity", more(r#""x":1e400"#), false),
        ("half a surrogate pair", more(r#""x":"\ud83d""#), false),
        ("a key twice", more(r#""x":{"a":1,"\u0061":1}"#), false),
        ("its type twice", more(r#""type":"m.room.member""#), false),
        ("65,537 bytes", more(&format!(r#""x":"{}""#, "x".repeat(MAX_BYTES - 6 - event.text().len() + 1))), true),
        ("a megabyte", more(&format!(r#""x":"{}""#, "x".repeat(1_000_000))), true),
    ]
}

/// Each kind of bad event at each end and in the middle of fifty: the others are read.
#[test]
fn a_bad_event_costs_only_itself() {
    let mut cells = 0;
    for version in &RoomVersion::ALL[6..] {
        let room = Room::new(*version, KEY_ID);
        let event = room.knock(r#"{"membership":"knock"}"#, "");
        for (what, text, can_be_signed) in bad(&event) {
            assert!(read(*version, &text).is_err(), "{what}");
            for position in [0, 1, 25, 49] {
                let mut pdus = [event.text(); MAX_TRANSACTION_PDUS];
                pdus[position] = &text;
                let body = transaction(&pdus);
                let found = transaction_pdus(&body).unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(found, pdus, "{what} at {position}");
                let good: Vec<usize> = (0..50).filter(|number| read(*version, found[*number]).is_ok()).collect();
                assert_eq!(good, (0..50).filter(|number| *number != position).collect::<Vec<_>>(), "{what}");
                assert_eq!(sent(&room, &body).is_ok(), can_be_signed, "{what}");
                cells += 1;
            }
            // All of them.
            let pdus = [&*text; MAX_TRANSACTION_PDUS];
            assert_eq!(transaction_pdus(&transaction(&pdus)), Ok(pdus.to_vec()), "{what}");
        }
    }
    assert_eq!(cells, 6 * 18 * 4);
}

/// What else stands in a transaction, and what is no transaction.
#[test]
fn bodies() {
    for (body, expected) in [
        (r#"{"pdus":[{},[ ],"x" , 1]}"#, vec!["{}", "[ ]", r#""x""#, "1"]),
        (r#" { "pdu\u0073" : [ { "a" : 1 } ] } "#, vec![r#"{ "a" : 1 }"#]),
        (r#"{"pdus":[]}"#, vec![]),
        (r#"{}"#, vec![]),
        // Bad values elsewhere cost no event.
        (r#"{"edus":[{"x":"\udead","x":1e400}],"origin":"\ud800","pdus":[{}],"x":{"a":1,"a":2}}"#, vec!["{}"]),
        (r#"{"edus":null,"pdus":[{}]}"#, vec!["{}"]),
        // One that is none, between commas.
        (r#"{"pdus":[{} {},{"a"}, {}]}"#, vec!["{} {}", r#"{"a"}"#, "{}"]),
    ] {
        assert_eq!(transaction_pdus(body), Ok(expected), "{body}");
    }
    let many = format!(r#"{{"pdus":[{}]}}"#, vec!["{}"; 51].join(","));
    assert_eq!(transaction_pdus(&many), Ok(vec!["{}"; 50]));
    let deep = format!(r#"{{"edus":{}{},"pdus":[{{}}]}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(transaction_pdus(&deep), Ok(vec!["{}"]));
    for (body, kind) in [
        ("", JsonErrorKind::UnexpectedEnd),
        ("[]", JsonErrorKind::UnexpectedCharacter),
        ("null", JsonErrorKind::UnexpectedCharacter),
        (r#"{"pdus":{}}"#, JsonErrorKind::UnexpectedCharacter),
        (r#"{"pdus":null}"#, JsonErrorKind::UnexpectedCharacter),
        (r#"{"pdus":[{}"#, JsonErrorKind::UnexpectedEnd),
        (r#"{"pdus":[{}}]}"#, JsonErrorKind::UnexpectedCharacter),
        (r#"{"pdus":[]} x"#, JsonErrorKind::TrailingCharacters),
    ] {
        assert_eq!(transaction_pdus(body).map_err(|error| error.kind()), Err(kind), "{body}");
    }
}
