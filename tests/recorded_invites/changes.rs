//! Hostile changes to the request and to the event, by the names that `refusals.txt` has for them.
//!
//! Where nothing else is said the event is hashed and signed anew after the change, so that nothing
//! else is wrong.

use matrix_knock::RoomVersion;
use matrix_knock::error::ErrorResponse;
use matrix_knock::event::{KeyValidity, VerifyKey};
use matrix_knock::knocking::invitation::InviteDecision;
use serde_json::{Value, json};

use super::attempt::Attempt;
use super::{INVITED, INVITER, OTHER, oracle, published};

pub(crate) type Change = (&'static str, fn(&mut Attempt<'_>));

const EIGHT_MIB: usize = 8 << 20;

pub(crate) const REQUEST: &[Change] = &[
    ("nothing", |_| {}),
    ("the recorded event", |a| a.is_made_anew = false),
    ("path: another room", |a| a.room_in_path = Some("!other:hs1.test:18448".to_owned())),
    ("path: not a room ID", |a| a.room_in_path = Some("room".to_owned())),
    ("path: a room ID of 256 bytes", |a| a.room_in_path = Some(format!("!{}", "r".repeat(255)))),
    ("path: another event", |a| a.event_in_path = Some(format!("${}", "A".repeat(43)))),
    ("path: no event ID", |a| a.event_in_path = Some(String::new())),
    ("path: the other version of the API", |a| a.endpoint = a.endpoint.replace("v2", "v1")),
    ("path: another endpoint", |a| a.endpoint = a.endpoint.replace("invite", "send_leave")),
    ("path: a part more", |a| a.endpoint.push_str("/x")),
    ("path: broken encoding", |a| a.event_in_path = Some("%zz".to_owned())),
    ("path: 3 KB", |a| a.event_in_path = Some(format!("${}", "A".repeat(3000)))),
    ("method: POST", |a| a.method = "POST".to_owned()),
    ("origin: another server", |a| a.origin = OTHER),
    ("origin: the invited server", |a| a.origin = INVITED),
    ("server name: another", |a| a.own = OTHER),
    ("server name: without its port", |a| a.own = "hs2.test"),
    ("room version: missing", |a| a.room_version = Value::Null),
    ("room version: a number", |a| a.room_version = json!(10)),
    ("room version: a list", |a| a.room_version = json!([a.room_version])),
    ("room version: null", |a| {
        a.room_version = json!("@");
        a.rewrite = Some(|body| replaced(&body, r#""@""#, "null"));
    }),
    ("room version: twice", |a| {
        a.rewrite = Some(|body| replaced(&body, r#"{"event""#, r#"{"room_version":"10","event""#))
    }),
    ("room version: unknown", |a| a.room_version = json!("99")),
    ("room version: empty", |a| a.room_version = json!("")),
    ("room version: not supported here", |a| a.supported = vec![RoomVersion::V8, RoomVersion::V11]),
    ("room version: none supported here", |a| a.supported = Vec::new()),
    ("room version: 1 instead", |a| a.room_version = json!("1")),
    ("room version: 12 instead", |a| a.room_version = json!("12")),
    ("room version: 11 instead", |a| a.room_version = json!("11")),
    ("room version: 9 instead", |a| a.room_version = json!("9")),
    ("body: no event", |a| {
        a.event = Value::Null;
        a.is_made_anew = false;
    }),
    ("body: event twice", |a| a.rewrite = Some(|body| replaced(&body, r#"{"event""#, r#"{"event":{},"event""#))),
    ("body: state twice", |a| {
        a.rewrite = Some(|body| replaced(&body, r#"{"event""#, r#"{"invite_room_state":[],"event""#));
    }),
    ("body: event a string", |a| {
        a.event = json!("@");
        a.is_made_anew = false;
    }),
    ("body: event a list", |a| {
        a.event = json!([a.sent()]);
        a.is_made_anew = false;
    }),
    ("body: event null", |a| {
        a.event = json!("@");
        a.is_made_anew = false;
        a.rewrite = Some(|body| replaced(&body, r#""@""#, "null"));
    }),
    ("body: not UTF-8", |a| {
        a.rewrite = Some(|body| {
            let mut bytes = body.into_bytes();
            bytes.insert(2, 0xff);
            bytes
        });
    }),
    ("body: empty", |a| a.rewrite = Some(|_| Vec::new())),
    ("body: HTML", |a| a.rewrite = Some(|_| b"<html></html>".to_vec())),
    ("body: cut off", |a| a.rewrite = Some(|body| body.as_bytes()[..body.len() - 1].to_vec())),
    ("body: something behind it", |a| a.rewrite = Some(|body| format!("{body}{{}}").into_bytes())),
    ("body: in a list", |a| a.rewrite = Some(|body| format!("[{body}]").into_bytes())),
    ("body: null", |a| a.rewrite = Some(|_| b"null".to_vec())),
    ("body: a string", |a| a.rewrite = Some(|_| b" \"invite\"".to_vec())),
    ("body: a list cut off", |a| a.rewrite = Some(|body| format!("[{body}").into_bytes())),
    ("body: 8 MiB", |a| a.rewrite = Some(|body| padded(&body, EIGHT_MIB))),
    ("body: 8 MiB and a byte", |a| a.rewrite = Some(|body| padded(&body, EIGHT_MIB + 1))),
    ("body: 20 MB", |a| a.rewrite = Some(|body| padded(&body, 20_000_000))),
    ("body: a bomb beside the rest", |a| {
        a.rewrite = Some(|body| replaced(&body, r#"{"event""#, &format!(r#"{{"x":{},"event""#, bomb(1_000_000))));
    }),
    ("body: a bomb that goes on", |a| {
        a.rewrite = Some(|body| replaced(&body, r#"{"event""#, &format!(r#"{{"x":{},"event""#, "[".repeat(1_000_000))));
    }),
    ("body: an unknown key", |a| {
        a.rewrite = Some(|body| replaced(&body, r#"{"event""#, r#"{"sender":"@kay:hs3.test:38448","event""#));
    }),
    ("body: white space", |a| a.rewrite = Some(|body| body.replace(r#","room"#, " ,\r\n\t \"room").into_bytes())),
    ("host: blocked", |a| a.decision = InviteDecision::Blocked),
    ("host: forbidden", |a| a.decision = InviteDecision::Forbidden),
    ("host: its own error", |a| a.decision = InviteDecision::Refuse(Box::new(ErrorResponse::limit_exceeded(Some(1))))),
];

pub(crate) const EVENT: &[Change] = &[
    ("event: sender of another server", |a| a.event["sender"] = json!("@mallory:hs3.test:38448")),
    ("event: sender of another server, which signs too", |a| {
        a.event["sender"] = json!("@mallory:hs3.test:38448");
        made(a, |_, _| {});
        let mut event = a.event.clone();
        oracle::sign(a.version, &mut event, OTHER);
        a.event = event;
    }),
    ("event: sender is the invited user", |a| a.event["sender"] = a.event["state_key"].clone()),
    ("event: sender not a user ID", |a| a.event["sender"] = json!("alice")),
    ("event: a user of another server", |a| a.event["state_key"] = json!("@kay:hs3.test:38448")),
    ("event: a user of a server that begins alike", |a| a.event["state_key"] = json!("@kay:hs2.test:284480")),
    ("event: a user of the inviting server", |a| a.event["state_key"] = json!("@bob:hs1.test:18448")),
    ("event: no state key", |a| a.event = oracle::without(&a.event, &["state_key"])),
    ("event: empty state key", |a| a.event["state_key"] = json!("")),
    ("event: state key not a user ID", |a| a.event["state_key"] = json!("kay:hs2.test:28448")),
    ("event: state key null", |a| a.event["state_key"] = Value::Null),
    ("event: membership join", |a| a.event["content"]["membership"] = json!("join")),
    ("event: membership knock", |a| a.event["content"]["membership"] = json!("knock")),
    ("event: membership leave", |a| a.event["content"]["membership"] = json!("leave")),
    ("event: membership ban", |a| a.event["content"]["membership"] = json!("ban")),
    ("event: membership in upper case", |a| a.event["content"]["membership"] = json!("INVITE")),
    ("event: membership a list", |a| a.event["content"]["membership"] = json!(["invite"])),
    ("event: no membership", |a| a.event["content"] = json!({})),
    ("event: a message", |a| a.event["type"] = json!("m.room.message")),
    ("event: power levels", |a| a.event["type"] = json!("m.room.power_levels")),
    ("event: of another room", |a| {
        a.room_in_path = Some(string(&a.event["room_id"]));
        a.event["room_id"] = a.elsewhere["event"]["room_id"].clone();
    }),
    ("event: no room ID", |a| {
        a.room_in_path = Some(string(&a.event["room_id"]));
        a.event = oracle::without(&a.event, &["room_id"]);
    }),
    ("event: with an event ID", |a| a.event["event_id"] = json!("$event")),
    ("event: no content hash", |a| made(a, |_, event| *event = oracle::without(event, &["hashes"]))),
    ("event: no signatures", |a| made(a, |_, event| *event = oracle::without(event, &["signatures"]))),
    ("event: negative depth", |a| a.event["depth"] = json!(-1)),
    ("event: depth of 2^53", |a| a.event["depth"] = json!(9_007_199_254_740_992_u64)),
    ("event: a fraction", |a| a.event["content"]["x"] = json!(0.5)),
    ("event: 11 auth events", |a| a.event["auth_events"] = json!(vec!["$event"; 11])),
    ("event: 21 prev events", |a| a.event["prev_events"] = json!(vec!["$event"; 21])),
    ("event: an auth event without an ID", |a| a.event["auth_events"] = json!(["event"])),
    ("event: type of 256 bytes", |a| a.event["type"] = json!("t".repeat(256))),
    ("event: 70 KB", |a| a.event["content"]["reason"] = json!("r".repeat(70_000))),
    ("event: 400 KB", |a| a.event["content"]["reason"] = json!("r".repeat(400_000))),
    ("event: too large with our signature", |a| {
        a.event["content"]["reason"] = json!("");
        let rest = 65_536 - oracle::canonical(&a.sent()).len();
        a.event["content"]["reason"] = json!("r".repeat(rest));
    }),
    ("event: nested 120 levels", |a| a.event["content"]["x"] = serde_json::from_str(&bomb(118)).unwrap()),
    ("event: nested 121 levels", |a| a.event["content"]["x"] = serde_json::from_str(&bomb(119)).unwrap()),
    ("event: nested 128 levels", |a| a.event["content"]["x"] = serde_json::from_str(&bomb(126)).unwrap()),
    ("event: nested 129 levels", |a| a.event["content"]["x"] = serde_json::from_str(&bomb(127)).unwrap()),
    ("event: a bomb", |a| a.rewrite = Some(|body| in_content(&body, &format!(r#""x":{}"#, bomb(30_000))))),
    ("event: a bomb that goes on", |a| {
        a.rewrite = Some(|body| in_content(&body, &format!(r#""x":{}"#, "[".repeat(30_000))));
    }),
    ("event: a key twice", |a| a.rewrite = Some(|body| in_content(&body, r#""membership":"join""#))),
    ("event: half a character", |a| a.rewrite = Some(|body| in_content(&body, r#""x":"\ud800""#))),
    ("signature: none", |a| made(a, |_, event| event["signatures"] = json!({}))),
    ("signature: of another server", |a| {
        made(a, |version, event| *event = oracle::made_by(version, event, OTHER));
    }),
    ("signature: under the name of the invited server", |a| {
        made(a, |_, event| event["signatures"] = json!({ INVITED: event["signatures"][INVITER] }));
    }),
    ("signature: by an unknown key", |a| {
        made(a, |_, event| {
            event["signatures"][INVITER] = json!({ "ed25519:0": event["signatures"][INVITER][oracle::KEY_ID] })
        });
    }),
    ("signature: of another algorithm", |a| {
        made(a, |_, event| {
            event["signatures"][INVITER] = json!({ "rsa:test": event["signatures"][INVITER][oracle::KEY_ID] })
        });
    }),
    ("signature: by another's key", |a| {
        made(a, |version, event| {
            event["signatures"][INVITER][oracle::KEY_ID] = json!(oracle::signature(version, event, OTHER));
        });
    }),
    ("signature: a bit", |a| made(a, |_, event| flip(&mut event["signatures"][INVITER][oracle::KEY_ID]))),
    ("signature: not base64", |a| made(a, |_, event| event["signatures"][INVITER][oracle::KEY_ID] = json!("?"))),
    ("signature: not a string", |a| made(a, |_, event| event["signatures"][INVITER][oracle::KEY_ID] = json!(1))),
    ("signature: a second one, wrong", |a| {
        let recorded = a.event["signatures"].clone();
        a.event["content"]["reason"] = json!("Changed");
        made(a, |_, _| {});
        a.event["signatures"][INVITER]["ed25519:a_iYFt"] = recorded[INVITER]["ed25519:a_iYFt"].clone();
    }),
    ("signature: no keys known", |a| a.keys = Some(|_, _| None)),
    ("signature: the key expired before", |a| {
        a.keys = Some(|name, id| at(name, id, KeyValidity::Expired(1_795_320_000_000)))
    }),
    ("signature: the key was valid until before", |a| {
        a.keys = Some(|name, id| at(name, id, KeyValidity::Until(1_795_320_000_000)));
    }),
    ("signature: a third-party invite that its sender has not signed", |a| {
        let signed =
            json!({ "mxid": a.event["state_key"], "token": "t", "signatures": { OTHER: { "ed25519:0": "AA" } } });
        a.event["content"]["third_party_invite"] = json!({ "display_name": "Kay", "signed": signed });
        made(a, |version, event| *event = oracle::made_by(version, event, OTHER));
    }),
    ("changed: the reason", |a| {
        a.event["content"]["reason"] = json!("Come in, quick");
        a.is_made_anew = false;
    }),
    ("changed: a property more", |a| {
        a.event["x"] = json!(1);
        a.is_made_anew = false;
    }),
    ("changed: who may authorize", |a| {
        a.event["content"]["x"] = json!("@alice:hs1.test:18448");
        a.is_made_anew = false;
    }),
    ("changed: the depth", |a| {
        a.event["depth"] = json!(1);
        a.is_made_anew = false;
    }),
    ("changed: the depth, under the old ID", |a| {
        a.event_in_path = Some(oracle::event_id(a.version, &a.event));
        a.event["depth"] = json!(1);
        a.is_made_anew = false;
    }),
    ("changed: the content hash, signed", |a| {
        made(a, |version, event| {
            event["hashes"]["sha256"] = json!(oracle::content_hash(&json!({})));
            oracle::sign(version, event, INVITER);
        });
    }),
    ("changed: the content hash, no base64", |a| {
        made(a, |version, event| {
            event["hashes"]["sha256"] = json!("?");
            oracle::sign(version, event, INVITER);
        });
    }),
];

/// Makes the event, and changes it behind that.
fn made(attempt: &mut Attempt<'_>, change: fn(RoomVersion, &mut Value)) {
    attempt.event = attempt.sent();
    attempt.is_made_anew = false;
    change(attempt.version, &mut attempt.event);
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// So many lists, one in the other.
pub(crate) fn bomb(levels: usize) -> String {
    format!("{}{}", "[".repeat(levels), "]".repeat(levels))
}

/// Replaces what stands there once.
pub(crate) fn replaced(body: &str, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(body.matches(from).count(), 1, "{from}");
    body.replacen(from, to, 1).into_bytes()
}

/// Adds a property to the content of the event, which stands first.
fn in_content(body: &str, property: &str) -> Vec<u8> {
    body.replacen(r#""content":{"#, &format!(r#""content":{{{property},"#), 1).into_bytes()
}

/// White space behind the body, until it has so many bytes.
fn padded(body: &str, bytes: usize) -> Vec<u8> {
    let mut padded = body.as_bytes().to_vec();
    padded.resize(bytes, b' ');
    padded
}

/// Changes the first bit of what base64 stands for.
pub(crate) fn flip(base64: &mut Value) {
    let text = string(base64);
    let first = if text.starts_with('A') { 'g' } else { 'A' };
    *base64 = json!(format!("{first}{}", text.get(1..).unwrap()));
}

/// The key of the tests, valid in this way.
fn at(name: &str, key_id: &str, validity: KeyValidity) -> Option<VerifyKey> {
    published(name, key_id).map(|key| VerifyKey { validity, ..key })
}
