//! What a policy server answers, and what comes of it: whatever it is, it is typed and bounded, and
//! nothing but its own valid signature under this event counts.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#post_matrixpolicyv1sign>

use matrix_knock::Ed25519;
use matrix_knock::event::{Pdu, Verify};
use matrix_knock::policy::{MAX_ANSWER_BYTES, PolicyRefusal, PolicyServer, PolicyVerdict};
use matrix_knock::resident::Refusal;
use matrix_knock::template::Details;
use matrix_knock::wire::HttpResponse;
use serde_json::{Value, json};
use std::cell::Cell;

use crate::room::{ALICE, ANSWERS, HERE, KAY, Room, THEN, key, versions};
use crate::server::{KEY_ID, P, Q, another, secret, server, signed, with};

const NOW: u64 = THEN + 60_000;

/// Events of all kinds that are made here: an invite, leaves, a ban.
fn events() -> Vec<(Room, String)> {
    let mut events = Vec::new();
    for &version in versions() {
        for action in ANSWERS {
            let mut room = Room::new(version, "knock");
            let before = action.answers();
            room.member(if before.as_str() == "knock" { KAY } else { ALICE }, KAY, before.as_str());
            let details = Details { reason: Some("Why not".to_owned()), ..Details::default() };
            let text = room.answer((action, ALICE, KAY), &details, NOW).unwrap().text().to_owned();
            events.push((room, text));
        }
    }
    events
}

#[derive(Debug, Clone, PartialEq)]
enum Expected {
    Signed,
    Bad,
    None,
    /// Status and body, as they came.
    Refused(u16, Value),
}

fn found(result: Result<(), PolicyRefusal>) -> Expected {
    match result {
        Ok(()) => Expected::Signed,
        Err(PolicyRefusal::BadSignature) => Expected::Bad,
        Err(PolicyRefusal::NoAnswer) => Expected::None,
        Err(PolicyRefusal::Refused(response)) => {
            Expected::Refused(response.status(), response.to_string().parse().unwrap())
        }
        Err(other) => panic!("{other:?}"),
    }
}

/// Counts what is verified.
struct Counting(Cell<usize>);

impl Verify for Counting {
    fn verify(&self, public_key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
        self.0.set(self.0.get() + 1);
        Ed25519.verify(public_key, message, signature)
    }
}

#[test]
fn whatever_it_answers() {
    let events = events();
    let mut cells = 0;
    for (room, text) in &events {
        let version = room.version;
        let event = Pdu::parse(text).unwrap().check_format(version).unwrap();
        let good = signed(version, text, P, 1);
        let signature = good[P][KEY_ID].as_str().unwrap().to_owned();
        let of_other_event = signed(version, &another(version, text), P, 1);
        let mut unrelated = json!({ HERE: text.parse::<Value>().unwrap()["signatures"][HERE] });
        unrelated[Q] = signed(version, text, Q, 2)[Q].clone();
        let mut beside = unrelated.clone();
        beside[P] = json!({ KEY_ID: signature, "ed25519:1": "nonsense", "curve:1": 7 });
        let by = |bytes: usize| format!("{}{good}", " ".repeat(bytes - good.to_string().len()));
        let error =
            |errcode: &str| json!({ "errcode": errcode, "error": "Spam: \"ü\"", "org.example.x": { "y": [1] } });
        let limited = json!({ "errcode": "M_LIMIT_EXCEEDED", "error": "Slowly", "retry_after_ms": 2000 });

        let mut cases = vec![
            (200, good.to_string(), Expected::Signed),
            (200, beside.to_string(), Expected::Signed),
            (200, json!({ P: { KEY_ID: format!("{signature}==") } }).to_string(), Expected::Signed),
            (200, by(MAX_ANSWER_BYTES), Expected::Signed),
            // Too large, however good it is.
            (200, by(MAX_ANSWER_BYTES + 1), Expected::None),
            (200, by(8 << 20), Expected::None),
            (200, signed(version, text, P, 2).to_string(), Expected::Bad),
            (200, of_other_event.to_string(), Expected::Bad),
            (200, json!({ P: { KEY_ID: signature.chars().skip(1).collect::<String>() } }).to_string(), Expected::Bad),
            (200, json!({ P: { KEY_ID: 7 } }).to_string(), Expected::Bad),
            (200, json!({ P: { KEY_ID: "" } }).to_string(), Expected::Bad),
            // Another server's, or by another key ID: nothing of ours.
            (200, unrelated.to_string(), Expected::None),
            (200, json!({ P: { "ed25519:1": signature } }).to_string(), Expected::None),
            (200, json!({ P: { "ed25519:policy_server2": signature } }).to_string(), Expected::None),
            (200, json!({ "P.EXAMPLE": { KEY_ID: signature } }).to_string(), Expected::None),
            (200, json!({ "signatures": good }).to_string(), Expected::None),
            (200, json!({ "policy_server": signature }).to_string(), Expected::None),
            // A name that stands twice: each signature there has to be valid.
            (200, format!(r#"{{"{P}":{{"{KEY_ID}":"{signature}"}},"{P}":{{}}}}"#), Expected::Signed),
            (200, format!(r#"{{"{P}":{{"{KEY_ID}":"{signature}"}},"{P}":{{"{KEY_ID}":"AA"}}}}"#), Expected::Bad),
            (200, format!(r#"{{"{P}":{{"{KEY_ID}":"AA","{KEY_ID}":"{signature}"}}}}"#), Expected::Bad),
            (200, format!("{good}x"), Expected::None),
            (200, format!("[{good}]"), Expected::None),
            (400, error("M_FORBIDDEN").to_string(), Expected::Refused(400, error("M_FORBIDDEN"))),
            (403, error("M_FORBIDDEN").to_string(), Expected::Refused(403, error("M_FORBIDDEN"))),
            (404, error("M_NOT_FOUND").to_string(), Expected::Refused(404, error("M_NOT_FOUND"))),
            (429, limited.to_string(), Expected::Refused(429, limited)),
            (451, error("ORG.EXAMPLE_X").to_string(), Expected::Refused(451, error("ORG.EXAMPLE_X"))),
            // A signature that comes with an error is none.
            (400, good.to_string(), Expected::None),
            (403, "{}".to_owned(), Expected::None),
            (403, r#"{"errcode":7}"#.to_owned(), Expected::None),
            (403, "<html>".to_owned(), Expected::None),
            (400, format!(r#"{{"errcode":"M_FORBIDDEN","error":"{}"}}"#, "x".repeat(8 << 20)), Expected::None),
        ];
        for nonsense in ["", "{}", "null", "[]", "\"\"", "7", "<html>", "{", "\u{feff}{}"] {
            cases.push((200, nonsense.to_owned(), Expected::None));
        }
        let bomb = format!(r#"{{"{P}":{}{}}}"#, "[".repeat(30_000), "]".repeat(30_000));
        cases.push((200, bomb, Expected::None));
        for status in [0, 100, 201, 202, 204, 299, 301, 302, 500, 502, 503, 599, 999] {
            cases.push((status, good.to_string(), Expected::None));
            cases.push((status, error("M_FORBIDDEN").to_string(), Expected::None));
        }
        for (status, body, expected) in &cases {
            let counting = Counting(Cell::new(0));
            let answer = server(P, 1).read_answer(&event, Some(HttpResponse::new(*status, body)), &counting);
            if let Ok(signature) = &answer {
                assert_eq!((signature.server(), signature.event_id()), (&server(P, 1), event.event_id()));
            }
            let shown: String = body.chars().take(100).collect();
            assert_eq!(found(answer.map(drop)), *expected, "{version} {status} {shown}");
            // At most one signature is verified, whatever stands there.
            assert!(counting.0.get() <= 1, "{shown}");
            cells += 1;
        }
        let never = server(P, 1).read_answer(&event, None, &Ed25519);
        assert_eq!(found(never.map(drop)), Expected::None);
        cells += 1;
    }
    assert_eq!((events.len(), cells), (30, 30 * (32 + 9 + 1 + 26 + 1)));
}

/// The request is the event as it goes between servers, and the refusal reaches the client as it
/// came.
#[test]
fn what_it_is_shown_and_what_the_client_is_told() {
    for (room, text) in events() {
        let event = Pdu::parse(&text).unwrap().check_format(room.version).unwrap();
        let request = server(P, 1).request(&event).unwrap();
        assert_eq!((request.method, &*request.path, &*request.query), ("POST", "/_matrix/policy/v1/sign", ""));
        assert_eq!(request.body.as_deref(), Some(&*text));

        let body = r#"{"errcode":"M_FORBIDDEN","error":"This looks like spam","org.example.score":0}"#;
        let refusal = server(P, 1).read_answer(&event, Some(HttpResponse::new(400, body)), &Ed25519).unwrap_err();
        assert_eq!(refusal.to_string(), "refused by the policy server of the room: This looks like spam");
        let response = Refusal::Policy(refusal.clone()).to_response();
        assert_eq!((response.status(), response.to_string()), (400, body.to_owned()));
        assert_eq!(PolicyVerdict::from(Err(refusal.clone())), PolicyVerdict::Refused(refusal));
        for refusal in [PolicyRefusal::NoAnswer, PolicyRefusal::BadSignature] {
            let response = Refusal::Policy(refusal).to_response();
            let said = r#"{"errcode":"M_FORBIDDEN","error":"The policy server of the room has not signed the event"}"#;
            assert_eq!((response.status(), response.to_string()), (403, said.to_owned()));
        }
    }
}

/// Whose signature is there already is not asked; whose signature is not valid any more is.
#[test]
fn already_signed() {
    let mut cells = 0;
    for (room, text) in events() {
        let version = room.version;
        let at = |signatures: &Value| {
            let text = with(&text, signatures);
            let event = Pdu::parse(&text).unwrap().check_format(version).unwrap();
            let asked = |server: PolicyServer| server.signature_of(&event, &Ed25519).is_none();
            [asked(server(P, 1)), asked(server(P, 2)), asked(server(Q, 1))]
        };
        let mut both = signed(version, &text, P, 1);
        both[Q] = signed(version, &text, Q, 1)[Q].clone();
        for (signatures, expected) in [
            (json!({}), [true, true, true]),
            (signed(version, &text, P, 1), [false, true, true]),
            (signed(version, &text, P, 2), [true, false, true]),
            (signed(version, &text, Q, 1), [true, true, false]),
            (both, [false, true, false]),
            (signed(version, &another(version, &text), P, 1), [true, true, true]),
            // As a homeserver, by the key that it publishes: not as a policy server.
            (json!({ P: { "ed25519:1": signed(version, &text, P, 1)[P][KEY_ID] } }), [true, true, true]),
        ] {
            assert_eq!(at(&signatures), expected, "{signatures}");
            cells += 3;
        }
    }
    assert_eq!(cells, 30 * 7 * 3);
    assert_ne!(secret(1).public_key(), key(P).public_key());
}
