//! Hostile `knock_room_state`: each entry that is not as its server made it is dropped by the name of what is wrong with
//! it, and whatever is shown was said by the room's servers.

use matrix_knock::event::{FormatError, Pdu, PduError, SignatureError, redact, sign_event};
use matrix_knock::id::{IdError, ServerName};
use matrix_knock::json::{CanonicalDialect, JsonErrorKind, canonical};
use matrix_knock::knocking::room_state::{Dropped, MAX_ENTRIES, ReceivedRoomState, VerifiedRoomState};
use matrix_knock::stripped_state::StrippedEvent;
use matrix_knock::{Ed25519, RoomVersion};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

use crate::hostile::{changed, changes, hostile};
use crate::room::{AllKeys, KEY_ID, NOW, RESIDENT, Room, key};
use crate::stored::resumed;

fn verify(room: &Room, entries: &[String]) -> VerifiedRoomState {
    let state = resumed(&ReceivedRoomState::of_answer(&format!(r#"{{"knock_room_state":[{}]}}"#, entries.join(","))));
    assert_eq!(state, ReceivedRoomState::of_list(&format!("[{}]", entries.join(","))));
    state.verify(room.version, room.room_id(), &AllKeys, &Ed25519, NOW)
}

/// An entry of four keys.
fn stripped(event_type: &str, state_key: &str) -> String {
    let sender = "@alice:a.example";
    format!(r#"{{"content":{{"x":1}},"sender":"{sender}","state_key":"{state_key}","type":"{event_type}"}}"#)
}

/// An event of the room, changed and signed anew by this server.
fn signed(room: &Room, by: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut event: Value = room.events[3].1.parse().unwrap();
    for property in ["hashes", "signatures"] {
        event.as_object_mut().unwrap().remove(property).unwrap();
    }
    change(&mut event);
    sign_event(room.version, &event.to_string(), ServerName::parse(by).unwrap(), &key(by)).unwrap().into_text()
}

#[test]
fn each_is_dropped_by_its_name() {
    for version in [RoomVersion::V7, RoomVersion::V10, RoomVersion::V12] {
        let room = Room::new(version);
        let name = &room.events[3].1;
        let with = |place: &str, value: Value| {
            let mut event: Value = name.parse().unwrap();
            let (parent, key) = place.rsplit_once('/').unwrap();
            event.pointer_mut(parent).unwrap()[key] = value;
            event.to_string()
        };
        let not_signed = |server: &str| Dropped::Signature(SignatureError::NotSigned { server: server.to_owned() });
        let bad_signature = || {
            let (server, key_id) = (RESIDENT.to_owned(), KEY_ID.to_owned());
            Dropped::Signature(SignatureError::BadSignature { server, key_id })
        };
        let format = |error| Dropped::Format(error);
        let lied = room.events[2].1.replacen(r#""knock""#, r#""public""#, 1);
        let other_room = Room::new(if version == RoomVersion::V12 { RoomVersion::V11 } else { RoomVersion::V12 });
        let of_other_room =
            if version == RoomVersion::V12 { Dropped::OtherRoom } else { format(FormatError::Missing("room_id")) };
        let mut other_create: Value = room.events[0].1.parse().unwrap();
        other_create["content"]["topic"] = json!("another");
        let other_create = match version {
            RoomVersion::V12 => {
                other_create.as_object_mut().unwrap().retain(|key, _| key != "hashes" && key != "signatures");
                let server = ServerName::parse(RESIDENT).unwrap();
                sign_event(version, &other_create.to_string(), server, &key(RESIDENT)).unwrap().into_text()
            }
            _ => other_room.events[0].1.clone(),
        };
        let cases = [
            (
                json!({
                    "type": "m.room.name", "state_key": "", "sender": "@alice:a.example", "content": {}, "depth": 3,
                })
                .to_string(),
                format(FormatError::Missing("auth_events")),
            ),
            (stripped("m.room.member", "@alice:a.example"), Dropped::UnverifiedMember),
            ("[]".to_owned(), format(FormatError::Pdu(PduError::NotAnObject))),
            ("null".to_owned(), format(FormatError::Pdu(PduError::NotAnObject))),
            (with("/content", json!(1)), format(FormatError::WrongKind("content"))),
            (
                with("/sender", json!("alice")),
                format(FormatError::Id { property: "sender", error: IdError::Sigil('@') }),
            ),
            (with("/event_id", json!("$x")), format(FormatError::Unexpected("event_id"))),
            (
                signed(&room, RESIDENT, |event| drop(event.as_object_mut().unwrap().remove("state_key"))),
                Dropped::NotState,
            ),
            (signed(&room, RESIDENT, |event| event["room_id"] = json!("!other:a.example")), Dropped::OtherRoom),
            (other_create, of_other_room),
            // The signature of somebody else, under their own name or the sender's.
            (signed(&room, "c.example", |_| {}), not_signed(RESIDENT)),
            (signed(&room, "c.example", |_| {}).replace("\"c.example\"", &format!("{RESIDENT:?}")), bad_signature()),
            (with("/signatures", json!({})), not_signed(RESIDENT)),
            (with("/sender", json!("@alice:c.example")), not_signed("c.example")),
            (with("/state_key", json!("x")), bad_signature()),
            (with("/depth", json!(1)), bad_signature()),
            // What a redaction leaves is signed.
            (lied, bad_signature()),
        ];
        for (entry, expected) in &cases {
            let arrival = verify(&room, std::slice::from_ref(entry));
            assert_eq!(arrival.dropped().collect::<Vec<_>>(), [(0, expected)], "{entry} in version {version}");
            assert_eq!((arrival.shown(), arrival.unverified()), (&[][..], &[][..]));
        }
        // Redacted it is signed: none of somebody else's words are left.
        for entry in [with("/content/name", json!("Free money")), with("/x", json!(1)), with("/content", json!({}))] {
            let arrival = verify(&room, &[entry]);
            let shown: Vec<&str> = arrival.shown().iter().map(StrippedEvent::text).collect();
            let redacted = r#"{"content":{},"sender":"@alice:a.example","state_key":"","type":"m.room.name"}"#;
            assert_eq!((shown, arrival.dropped().count()), (vec![redacted], 0));
        }
        // What nobody has signed is known as that.
        for event_type in ["m.room.name", "m.room.create"] {
            let arrival = verify(&room, &[stripped(event_type, "")]);
            assert_eq!(arrival.shown(), []);
            let unverified: Vec<String> = arrival.unverified().iter().map(ToString::to_string).collect();
            let dropped: Vec<_> = arrival.dropped().collect();
            match event_type {
                "m.room.create" if version == RoomVersion::V12 => {
                    assert_eq!((unverified, dropped), (Vec::new(), vec![(0, &Dropped::UnverifiedCreate)]));
                }
                _ => assert_eq!((unverified, dropped), (vec![stripped(event_type, "")], Vec::new())),
            }
        }

        // Among good ones, it is dropped alone; and the second of a kind is.
        let mut entries: Vec<_> = cases.iter().map(|(entry, _)| entry.clone()).collect();
        let bad = entries.len();
        entries.extend(room.events.iter().rev().map(|(_, text)| text.clone()));
        entries.push(signed(&room, RESIDENT, |event| event["content"]["name"] = json!("Second")));
        entries.extend([stripped("m.room.name", ""), stripped("m.room.topic", ""), with("/x", json!(1))]);
        entries.resize(MAX_ENTRIES + 3, "{}".to_owned());
        let arrival = verify(&room, &entries);
        let shown: Vec<_> = arrival.shown().iter().map(StrippedEvent::event_type).collect();
        assert_eq!(shown, ["m.room.create", "m.room.name", "m.room.join_rules", "m.room.member"]);
        assert!(arrival.shown()[1].content().contains("Knock!"));
        let unverified: Vec<String> = arrival.unverified().iter().map(ToString::to_string).collect();
        assert_eq!(unverified, [stripped("m.room.topic", "")]);
        let dropped: Vec<_> = arrival.dropped().map(|(position, reason)| (position, reason.clone())).collect();
        let empty = || format(FormatError::Pdu(PduError::Missing("type")));
        let mut expected: Vec<_> = cases.into_iter().map(|(_, reason)| reason).enumerate().collect();
        expected.extend([bad + 4, bad + 5, bad + 7].map(|position| (position, Dropped::Repeated)));
        expected.extend((bad + 8..MAX_ENTRIES).map(|position| (position, empty())));
        expected.extend((MAX_ENTRIES..MAX_ENTRIES + 3).map(|position| (position, Dropped::Beyond)));
        assert_eq!(dropped, expected);
    }
}

/// What JSON itself does not allow is not allowed in an entry, wherever it stands.
#[test]
fn entries_that_are_no_json_of_events() {
    let room = Room::new(RoomVersion::V10);
    let name = &room.events[3].1;
    for (entry, kind) in [
        (name.replacen(r#""content":{"#, r#""content":{"name":"Knock!","#, 1), JsonErrorKind::DuplicateKey),
        (name.replacen(r#""depth":"#, r#""x":1.5,"depth":"#, 1), JsonErrorKind::NumberNotAllowed),
    ] {
        let error = canonical(&entry, CanonicalDialect::Strict).unwrap_err();
        assert_eq!(error.kind(), kind);
        let arrival = verify(&room, &[entry]);
        let expected = Dropped::Format(FormatError::Pdu(PduError::Json(error)));
        assert_eq!(arrival.dropped().collect::<Vec<_>>(), [(0, &expected)]);
    }
    // What is no JSON of Unicode text, or too deep, is dropped by itself; what breaks off takes the whole list with it.
    let deep = format!("{}{}", "[".repeat(129), "]".repeat(129));
    for (rubbish, kind) in [
        ("", JsonErrorKind::UnexpectedEnd),
        ("nul", JsonErrorKind::UnexpectedCharacter),
        ("1 2", JsonErrorKind::TrailingCharacters),
        (r#""\ud800""#, JsonErrorKind::LoneSurrogate),
        (&deep, JsonErrorKind::TooDeep),
    ] {
        assert!(ReceivedRoomState::of_list(&format!("[{name},{rubbish}")).is_empty());
        let arrival = verify(&room, &[name.clone(), rubbish.to_owned()]);
        assert_eq!(arrival.shown().len(), 1);
        let dropped: Vec<_> = arrival.dropped().collect();
        let [(1, Dropped::Format(FormatError::Pdu(PduError::Json(error))))] = dropped[..] else {
            panic!("{dropped:?}")
        };
        assert_eq!(error.kind(), kind, "{rubbish}");
    }
    for open in ["{", "[", "\"", "{\"a\":\"\\\""] {
        let list = format!("[{name},{open}");
        assert!(
            ReceivedRoomState::of_list(&list).is_empty() && ReceivedRoomState::of_list(&format!("{list}]")).is_empty()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.max(1000), failure_persistence: None, ..ProptestConfig::default()
    })]

    /// One thing changed in an event: it is dropped, or is shown as it was, or as a redaction
    /// leaves it.
    #[test]
    fn one_change(version in select(RoomVersion::ALL[6..].to_vec()), which in any::<Index>(), change in changes()) {
        let room = Room::new(version);
        let (_, honest) = which.get(&room.events);
        let redacted = redact(version, honest).unwrap();
        let said = [honest.as_str(), &redacted].map(|text| StrippedEvent::of(&Pdu::parse(text).unwrap()).unwrap());
        let entry = changed(&honest.parse().unwrap(), &change).to_string();
        let arrival = verify(&room, &[entry]);
        prop_assert_eq!(arrival.shown().len() + arrival.dropped().count(), 1);
        for shown in arrival.shown() {
            prop_assert!(said.contains(shown), "{}", shown);
        }
    }

    /// Whatever comes: what is shown was said.
    #[test]
    fn whole_answers(version in select(RoomVersion::ALL[6..].to_vec()), hostile in hostile()) {
        let room = Room::new(version);
        let honest: Vec<Value> = room.events.iter().map(|(_, text)| text.parse().unwrap()).collect();
        let body = hostile.body(&json!({ "knock_room_state": honest }).to_string());
        let state = ReceivedRoomState::of_answer(&body);
        prop_assert!(state.wanted_keys(version).values().all(|ids| ids.len() <= 800));
        let arrival = state.verify(version, room.room_id(), &AllKeys, &Ed25519, NOW);
        let (shown, unverified, dropped) = (arrival.shown(), arrival.unverified(), arrival.dropped());
        prop_assert_eq!(shown.len() + unverified.len() + dropped.count(), state.len());
        let said = room.said();
        for (position, shown) in arrival.shown().iter().enumerate() {
            prop_assert!(said.contains(shown), "{}", shown);
            prop_assert!(!arrival.shown()[..position].contains(shown), "{}", shown);
        }
    }
}
