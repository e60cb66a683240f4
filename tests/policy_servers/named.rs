//! Which policy server a room names.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#determining-if-a-policy-server-is-enabled-in-a-room>

use matrix_knock::RoomVersion;
use matrix_knock::event::{EventType, Pdu};
use matrix_knock::policy::{MAX_ANSWER_BYTES, POLICY_KEY_ID, PolicyServer};
use matrix_knock::state::{NotLookedUp, Snapshot, StateMap};
use serde_json::json;

use crate::room::{ALICE, Room};
use crate::server::{KEY_ID, P, content, naming, server};

fn named(content: &str, state_key: &str) -> Option<PolicyServer> {
    let event = format!(
        r#"{{"type":"m.room.policy","state_key":{},"sender":"{ALICE}","content":{content}}}"#,
        json!(state_key)
    );
    PolicyServer::named(&StateMap::from([Pdu::parse(&event).unwrap()])).unwrap()
}

#[test]
fn who_it_is() {
    let good = content(P, 1);
    assert_eq!(named(&good.to_string(), ""), Some(server(P, 1)));
    assert_eq!((POLICY_KEY_ID.as_str(), MAX_ANSWER_BYTES), (KEY_ID, 65_536));
    let key = good["public_keys"]["ed25519"].as_str().unwrap();
    let same = |other: &str| named(other, "");
    // Beside others, padded, in the other alphabet, with escapes.
    for content in [
        format!(r#"{{"x":[1],"via":"{P}","public_keys":{{"x25519":7,"ed25519":"{key}"}}}}"#),
        format!(r#"{{"via":"{P}","public_keys":{{"ed25519":"{key}="}}}}"#),
        format!(r#"{{"via":"{P}","public_keys":{{"ed25519":"{}"}}}}"#, key.replace('+', "-").replace('/', "_")),
        format!(r#"{{"v\u0069a":"\u0070.example","public_\u006beys":{{"ed\u00325519":"{key}"}}}}"#),
    ] {
        assert_eq!(same(&content), Some(server(P, 1)), "{content}");
    }
    // Not valid: the room uses none.
    for content in [
        "{}".to_owned(),
        format!(r#"{{"via":"{P}"}}"#),
        format!(r#"{{"public_keys":{{"ed25519":"{key}"}}}}"#),
        format!(r#"{{"via":null,"public_keys":{{"ed25519":"{key}"}}}}"#),
        format!(r#"{{"via":["{P}"],"public_keys":{{"ed25519":"{key}"}}}}"#),
        format!(r#"{{"via":"","public_keys":{{"ed25519":"{key}"}}}}"#),
        format!(r#"{{"via":"no server name","public_keys":{{"ed25519":"{key}"}}}}"#),
        format!(r#"{{"via":"{P}","public_keys":"{key}"}}"#),
        format!(r#"{{"via":"{P}","public_keys":["{key}"]}}"#),
        format!(r#"{{"via":"{P}","public_keys":null}}"#),
        format!(r#"{{"via":"{P}","public_keys":{{}}}}"#),
        format!(r#"{{"via":"{P}","public_keys":{{"ed25519":["{key}"]}}}}"#),
        format!(r#"{{"via":"{P}","public_keys":{{"curve25519":"{key}"}}}}"#),
        format!(r#"{{"Via":"{P}","public_keys":{{"ed25519":"{key}"}}}}"#),
    ] {
        assert_eq!(same(&content), None, "{content}");
    }
    // A string, but no key: it is used, and nothing verifies.
    for key in ["", "AAAA", "not base64!", &format!("{key}AAAA")] {
        let content = format!(r#"{{"via":"{P}","public_keys":{{"ed25519":"{key}"}}}}"#);
        let found = same(&content).unwrap();
        assert_eq!(found.name(), *P);
        assert_ne!(found, server(P, 1));
    }
    // Only that with the empty state key counts.
    assert_eq!(named(&good.to_string(), P), None);
}

#[test]
fn the_entry_that_is_read() {
    let reads: Vec<_> = PolicyServer::reads().iter().map(|(of, key)| (of.to_string(), key.to_owned())).collect();
    assert_eq!(reads, [("m.room.policy".to_owned(), String::new())]);
    let nothing = Snapshot::<Pdu<'_>>::new();
    assert_eq!(PolicyServer::named(&nothing), Err(NotLookedUp::new(EventType::Policy, "")));
    for version in [RoomVersion::V7, RoomVersion::V12] {
        let room = Room::new(version, "knock");
        assert_eq!(PolicyServer::named(&room.look_up(&PolicyServer::reads())), Ok(None));
        let room = naming(&room, P, 1);
        assert_eq!(PolicyServer::named(&room.look_up(&PolicyServer::reads())), Ok(Some(server(P, 1))));
    }
}

/// About every event but the one that names the policy server.
#[test]
fn what_it_is_asked_about() {
    let mut cells = 0;
    for event_type in ["m.room.policy", "m.room.member", "m.room.power_levels", "m.room.create", "m.room.message"] {
        for state_key in [None, Some(""), Some("x"), Some(P), Some(ALICE)] {
            let mut event = json!({ "type": event_type, "sender": ALICE, "content": {} });
            if let Some(state_key) = state_key {
                event["state_key"] = json!(state_key);
            }
            let text = event.to_string();
            let expected = !(event_type == "m.room.policy" && state_key == Some(""));
            assert_eq!(PolicyServer::is_asked_about(&Pdu::parse(&text).unwrap()), expected, "{text}");
            cells += 1;
        }
    }
    assert_eq!(cells, 25);
}
