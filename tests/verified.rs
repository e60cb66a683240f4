//! From a text to an event that is believed: what must not come out of it.
#![cfg(feature = "ed25519")]
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test that cannot be set up fails")]

use matrix_knock::auth::authorize;
use matrix_knock::event::{
    Ed25519Key, Event, KeyValidity, KeysFn, Pdu, SignError, SignatureError, VerifiedPdu, VerifyKey, event_id,
    sign_event,
};
use matrix_knock::id::ServerName;
use matrix_knock::state::StateMap;
use matrix_knock::{Ed25519, RoomVersion};
use serde_json::{Value, json};

fn key(server: &str) -> Ed25519Key {
    let seed = server.bytes().next().expect("a name");
    Ed25519Key::from_seed("ed25519:1", &[seed; 32]).expect("a key ID")
}

fn keys(server: &str, key_id: &str) -> Option<VerifyKey> {
    let public_key = key(server).public_key();
    (key_id == "ed25519:1").then_some(VerifyKey { public_key, validity: KeyValidity::Forever })
}

fn verify(version: RoomVersion, text: &str) -> Result<VerifiedPdu<'_>, SignatureError> {
    let formatted = Pdu::parse(text).expect("an event").check_format(version).expect("the right format");
    formatted.check_signatures(&KeysFn(keys), &Ed25519, 0)?.check_hash()
}

fn sign(version: RoomVersion, text: &str, server: &str) -> String {
    let server_name = ServerName::parse(server).expect("a server name");
    sign_event(version, text, server_name, &key(server)).expect("an event").into_text()
}

/// A member event in the format of the version.
fn member(version: RoomVersion, sender: &str, target: &str, content: &Value) -> Value {
    let mut event = json!({
        "type": "m.room.member", "sender": sender, "state_key": target, "room_id": "!r:a", "content": content,
        "auth_events": [], "prev_events": [], "depth": 5, "origin_server_ts": 1,
    });
    if version <= RoomVersion::V2 {
        event["event_id"] = json!("$x:evil");
    }
    event
}

/// A third-party invite needs no signature of its sender's server, but what a redaction leaves of it is a plain invite, which
/// does: an invite that nobody signed must not come out of a wrong hash.
#[test]
fn no_invite_is_made_of_a_third_party_invite_with_a_wrong_hash() {
    for version in RoomVersion::ALL {
        for third_party_invite in [json!({}), json!(null), json!([]), json!("x"), json!({ "signed": {} })] {
            let content = json!({ "membership": "invite", "third_party_invite": third_party_invite });
            let mut event = member(version, "@admin:a", "@mallory:evil", &content);
            event["hashes"] = json!({ "sha256": "wrong" });
            event["signatures"] = json!({});
            // Before version 3 the server of the event ID signs, which is the attacker's own.
            let text = match version <= RoomVersion::V2 {
                true => {
                    let signed =
                        sign(version, &member(version, "@admin:a", "@mallory:evil", &content).to_string(), "evil");
                    signed.replacen(r#""membership":"invite""#, r#""membership":"invite","x":1"#, 1)
                }
                false => event.to_string(),
            };
            let outcome = verify(version, &text).map(|verified| verified.event_id().to_owned());
            // Since version 11 a redaction keeps that it was a third-party invite, if it was an object.
            if version >= RoomVersion::V11 && third_party_invite.is_object() {
                assert_eq!(outcome, event_id(version, &text).map_err(SignatureError::Pdu));
                continue;
            }
            assert_eq!(outcome, Err(SignatureError::NotSigned { server: "a".to_owned() }), "{version} {content}");
        }
    }
}

#[test]
fn who_signs_a_third_party_invite() {
    let content = json!({ "membership": "invite", "third_party_invite": { "signed": {} } });
    for version in RoomVersion::ALL {
        let signed = sign(version, &member(version, "@admin:a", "@kay:b", &content).to_string(), "evil");
        assert!(matches!(verify(version, &signed), Ok(VerifiedPdu::Whole(_))), "{version}");
    }
    // Before version 3 the server of the event ID has to have signed only where it is not the sender's.
    let mut event = member(RoomVersion::V1, "@admin:a", "@kay:b", &content);
    let by_other = sign(RoomVersion::V1, &event.to_string(), "other");
    assert_eq!(verify(RoomVersion::V1, &by_other), Err(SignatureError::NotSigned { server: "evil".to_owned() }));
    event["event_id"] = json!("$x:a");
    let by_other = sign(RoomVersion::V1, &event.to_string(), "other");
    assert!(matches!(verify(RoomVersion::V1, &by_other), Ok(VerifiedPdu::Whole(_))));
}

/// A second server adds its signature and touches nothing else.
#[test]
fn signing_what_another_server_has_signed() {
    const VERSION: RoomVersion = RoomVersion::V10;
    let content = json!({ "membership": "join", "join_authorised_via_users_server": "@admin:a" });
    let first = sign(VERSION, &member(VERSION, "@kay:b", "@kay:b", &content).to_string(), "b");
    let signed_by = |text: &str| {
        let Ok(VerifiedPdu::Whole(whole)) = verify(VERSION, text) else { panic!("not whole: {text}") };
        whole.signed().signed_by().map(str::to_owned).collect::<Vec<_>>()
    };
    // That the server of the authorizing user is missing is for a rule to refuse.
    assert_eq!(signed_by(&first), ["b"]);
    // A hash that is written with padding, beside one of another kind: as odd as it may be, it has been signed.
    let mut padded: Value = serde_json::from_str(&first).expect("JSON");
    let hash = padded["hashes"]["sha256"].as_str().expect("a hash").to_owned();
    padded["hashes"] = json!({ "sha256": format!("{hash}="), "sha3": "x" });
    padded["signatures"] = json!({});
    for first in [first.clone(), sign(VERSION, &padded.to_string(), "b")] {
        let both = sign(VERSION, &first, "a");
        assert_eq!(event_id(VERSION, &both), event_id(VERSION, &first));
        assert_eq!(signed_by(&both), ["b", "a"]);
        let without = |text: &str| {
            let mut event: Value = serde_json::from_str(text).expect("JSON");
            event["signatures"] = json!({});
            event
        };
        assert_eq!(without(&both), without(&first));
    }
    let server = ServerName::parse("a").expect("a name");
    let changed = first.replace(r#""depth":5"#, r#""depth":6"#);
    assert_eq!(sign_event(VERSION, &changed, server, &key("a")), Err(SignError::Hash));
    let noted = first.replacen('{', r#"{"event_id":"$x","#, 1);
    assert_eq!(sign_event(VERSION, &noted, server, &key("a")), Err(SignError::EventId));
}

/// A verified event knows its ID, so that the rules that ask for it find it.
#[test]
fn a_verified_event_knows_its_id() {
    for version in [RoomVersion::V3, RoomVersion::V11, RoomVersion::V12] {
        let mut create = json!({
            "type": "m.room.create", "sender": "@a:a", "state_key": "", "room_id": "!r:a", "content": { "creator": "@a:a" },
            "auth_events": [], "prev_events": [], "depth": 1, "origin_server_ts": 1,
        });
        if version == RoomVersion::V12 {
            drop(create.as_object_mut().and_then(|create| create.remove("room_id")));
        }
        let create = sign(version, &create.to_string(), "a");
        let Ok(VerifiedPdu::Whole(create)) = verify(version, &create) else { panic!("a good event") };
        assert_eq!(create.pdu().event_id(), Some(create.event_id()));

        let mut join = member(version, "@a:a", "@a:a", &json!({ "membership": "join" }));
        join["prev_events"] = json!([create.event_id()]);
        let join = sign(version, &join.to_string(), "a");
        let Ok(VerifiedPdu::Whole(join)) = verify(version, &join) else { panic!("a good event") };
        assert!(authorize(version, join.pdu(), &StateMap::from([create.pdu()]), &Ed25519).is_ok(), "{version}");

        let text = join.pdu().text().replacen(r#""membership""#, r#""displayname":"A","membership""#, 1);
        let Ok(VerifiedPdu::Redacted(redacted)) = verify(version, &text) else { panic!("a wrong hash") };
        let pdu = redacted.pdu();
        assert_eq!((pdu.event_id(), pdu.content()), (Some(join.event_id()), r#"{"membership":"join"}"#));
        assert!(authorize(version, &pdu, &StateMap::from([create.pdu()]), &Ed25519).is_ok(), "{version}");
    }
}

/// Every server whose signature is checked is asked for its keys: the sender's, before version 3
/// that of the event ID, since version 8 that of the user who authorizes a join. Of each at most 8
/// keys, of who has not signed none.
#[test]
fn the_keys_that_an_event_needs() {
    for version in RoomVersion::ALL {
        let content = json!({ "membership": "join", "join_authorised_via_users_server": "@admin:granter" });
        let mut event = member(version, "@kay:home", "@kay:home", &content);
        event["hashes"] = json!({ "sha256": "" });
        let many: serde_json::Map<_, _> = (10..30).map(|n| (format!("ed25519:{n}"), json!("x"))).collect();
        event["signatures"] = json!({
            "home": { "ed25519:a": "x", "ed25519:b": "x", "other:c": "x" },
            "granter": many, "evil": { "ed25519:e": "x" }, "else": { "ed25519:f": "x" },
        });
        let text = event.to_string();
        let formatted = Pdu::parse(&text).expect("an event").check_format(version).expect("the right format");
        let wanted = formatted.wanted_keys();
        let wanted: Vec<(&str, Vec<&str>)> =
            wanted.iter().map(|(server, ids)| (server.as_str(), ids.iter().map(String::as_str).collect())).collect();
        let first: Vec<String> = (10..18).map(|n| format!("ed25519:{n}")).collect();
        let mut expected = vec![("home", vec!["ed25519:a", "ed25519:b"])];
        if version >= RoomVersion::V8 {
            expected.insert(0, ("granter", first.iter().map(String::as_str).collect()));
        }
        if version <= RoomVersion::V2 {
            expected.insert(0, ("evil", vec!["ed25519:e"]));
        }
        assert_eq!(wanted, expected, "{version}");

        event["signatures"] = json!({});
        let text = event.to_string();
        let formatted = Pdu::parse(&text).expect("an event").check_format(version).expect("the right format");
        assert!(formatted.wanted_keys().is_empty(), "{version}");
    }
}
