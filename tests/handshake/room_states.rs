//! The `knock_room_state` of a server that may be anybody's: each entry by itself, and what of it Kay is shown.

use std::collections::{BTreeMap, BTreeSet};

use matrix_knock::event::{FormatError, KeyValidity, KeysFn, Pdu, PduError, SignatureError, VerifyKey, sign_event};
use matrix_knock::id::{RoomId, ServerName};
use matrix_knock::knocking::room_state::{Dropped, MAX_ENTRIES, MAX_ENTRY_BYTES, ReceivedRoomState, VerifiedRoomState};
use matrix_knock::{Ed25519, RoomVersion};
use serde_json::{Value, json};

use super::federation::{A, ALICE, AllKeys, Federation, KAY, KEY_ID, Room, THEN, json_of, key, rooms, sign};
use super::knocker::{BOTH, Memory, NOW, details, machine, run};
use super::walks::shown;

/// A state event of the room, not signed yet.
fn draft(room: &Room, event_type: &str, state_key: &str, content: &Value) -> Value {
    json!({
        "type": event_type, "state_key": state_key, "sender": ALICE, "room_id": room.id, "content": content,
        "auth_events": [], "prev_events": [], "depth": 5, "origin_server_ts": THEN,
    })
}

fn without(mut event: Value, property: &str) -> Value {
    drop(event.as_object_mut().and_then(|event| event.remove(property)));
    event
}

fn named(room: &Room, name: &str) -> Value {
    draft(room, "m.room.name", "", &json!({ "name": name }))
}

fn signed(room: &Room, event: &Value) -> String {
    sign(room.version, event, A).1
}

fn list(entries: &[String]) -> String {
    format!("[{}]", entries.join(","))
}

fn verify(room: &Room, entries: &[String]) -> VerifiedRoomState {
    let room_id = RoomId::parse(&room.id).expect("a room ID");
    ReceivedRoomState::of_list(&list(entries)).verify(room.version, room_id, &AllKeys, &Ed25519, NOW)
}

fn dropped(arrival: &VerifiedRoomState) -> Vec<(usize, Dropped)> {
    arrival.dropped().map(|(position, reason)| (position, reason.clone())).collect()
}

fn client(arrival: &VerifiedRoomState) -> Vec<String> {
    arrival.shown().iter().map(ToString::to_string).collect()
}

fn with_signatures(text: &str, signatures: Value) -> String {
    let mut event = json_of(text);
    event["signatures"] = signatures;
    event.to_string()
}

fn not_signed(server: &str) -> Dropped {
    SignatureError::NotSigned { server: server.to_owned() }.into()
}

fn bad_signature() -> Dropped {
    SignatureError::BadSignature { server: A.to_owned(), key_id: KEY_ID.to_owned() }.into()
}

fn malformed(text: &str) -> Dropped {
    FormatError::Pdu(Pdu::parse(text).expect_err("no event")).into()
}

/// Entries of every kind; what becomes of each.
fn entries(room: &Room) -> Vec<(String, Option<Dropped>)> {
    let version = room.version;
    let state = |event_type: &str| room.events[&room.at(event_type, "")].clone();
    let forged = |event: &Value| sign(version, event, "evil.example").1;
    let good = json_of(&signed(room, &named(room, "First")));
    let changed = |property: &str, value: Value| {
        let mut event = good.clone();
        event[property] = value;
        event.to_string()
    };
    let third_party = json!({ "membership": "invite", "third_party_invite": { "display_name": "M", "signed": {
        "mxid": "@mallory:evil.example", "token": "t", "signatures": {},
    } } });
    let invite = draft(room, "m.room.member", "@mallory:evil.example", &third_party);
    let authorized = json!({ "membership": "join", "join_authorised_via_users_server": "@bob:b.example" });
    let mut join = draft(room, "m.room.member", "@zoe:a.example", &authorized);
    join["sender"] = json!("@zoe:a.example");
    let mut odd = draft(room, "m.room.member", "@yan:a.example", &authorized);
    odd["sender"] = json!("@yan:a.example");
    odd["content"]["join_authorised_via_users_server"] = json!(1);
    let since_v8 = |reason| Some(reason).filter(|_| version >= RoomVersion::V8);
    let own_create = json_of(&state("m.room.create"));
    let of_another = without(without(own_create.clone(), "hashes"), "signatures");
    let mut rows = vec![
        ("null".to_owned(), Some(FormatError::Pdu(PduError::NotAnObject).into())),
        ("[]".to_owned(), Some(FormatError::Pdu(PduError::NotAnObject).into())),
        ("{}".to_owned(), Some(FormatError::Pdu(PduError::Missing("type")).into())),
        (
            r#"{"type":"m.room.name","state_key":"","sender":"@alice:a.example","content":{"name":"Stripped"}}"#
                .to_owned(),
            Some(FormatError::Missing("depth").into()),
        ),
        (changed("event_id", json!("$x")), Some(FormatError::Unexpected("event_id").into())),
        (changed("sender", json!(1)), Some(FormatError::Pdu(PduError::WrongKind("sender")).into())),
        (changed("signatures", json!([])), Some(FormatError::WrongKind("signatures").into())),
        (changed("hashes", json!({})), Some(FormatError::Missing("hashes.sha256").into())),
        (changed("content", json!([])), Some(FormatError::WrongKind("content").into())),
    ];
    let twice = good.to_string().replacen('{', r#"{"depth":5,"#, 1);
    rows.push((twice.clone(), Some(malformed(&twice))));
    let surrogate = good.to_string().replacen("First", r"\udead", 1);
    rows.push((surrogate.clone(), Some(malformed(&surrogate))));
    let padding = " ".repeat(MAX_ENTRY_BYTES + 1 - good.to_string().len());
    let bytes = MAX_ENTRY_BYTES + 1;
    let padded = good.to_string().replacen('{', &format!("{{{padding}"), 1);
    rows.push((padded, Some(FormatError::TooLarge { bytes }.into())));
    rows.extend([
        (signed(room, &without(named(room, "A message"), "state_key")), Some(Dropped::NotState)),
        (
            signed(room, &{
                let mut other = named(room, "Another room");
                other["room_id"] = json!("!other:a.example");
                other
            }),
            Some(Dropped::OtherRoom),
        ),
        // None of these takes the place of the one that holds.
        (changed("signatures", json!({})), Some(not_signed(A))),
        (forged(&named(room, "Forged")), Some(not_signed(A))),
        (changed("signatures", json!({ A: { "ed25519:2": "x" } })), Some(not_signed(A))),
        (changed("depth", json!(6)), Some(bad_signature())),
        (changed("signatures", json!({ A: { KEY_ID: "x" } })), Some(bad_signature())),
        (changed("content", json!({ "name": "Other words" })), Some(Dropped::ContentHash)),
        (good.to_string(), None),
        (good.to_string(), Some(Dropped::Repeated)),
        (signed(room, &named(room, "Second")), Some(Dropped::Repeated)),
        (forged(&named(room, "Second")), Some(Dropped::Repeated)),
        // Nobody invites in Alice's name: the rules do not ask for her server's signature, but we do.
        (forged(&invite), Some(not_signed(A))),
        (with_signatures(&forged(&invite), json!({})), Some(not_signed(A))),
        (with_signatures(&forged(&invite), json!({ A: { KEY_ID: "x" } })), Some(bad_signature())),
        (signed(room, &invite), None),
        (signed(room, &join), since_v8(not_signed("b.example"))),
        (signed(room, &odd), since_v8(SignatureError::NoAuthorizingUser.into())),
        (state("m.room.join_rules"), None),
        (state("m.room.power_levels"), None),
    ]);
    // The create event: of the room by its room ID, and since v12 by its hash.
    let mut create = of_another.clone();
    create["content"]["type"] = json!("m.space");
    create["room_id"] = json!("!other:a.example");
    match version {
        RoomVersion::V12 => rows.extend([
            (signed(room, &create), Some(FormatError::Unexpected("room_id").into())),
            (signed(room, &without(create.clone(), "room_id")), Some(Dropped::OtherRoom)),
            (
                signed(room, &{
                    create["room_id"] = json!(room.id);
                    create
                }),
                Some(FormatError::Unexpected("room_id").into()),
            ),
            (
                {
                    let mut hash = own_create;
                    hash["hashes"]["sha256"] = json!("x");
                    hash.to_string()
                },
                Some(Dropped::OtherRoom),
            ),
            (signed(room, &without(named(room, "Nowhere"), "room_id")), Some(FormatError::Missing("room_id").into())),
        ]),
        _ => rows.extend([
            (signed(room, &create), Some(Dropped::OtherRoom)),
            (signed(room, &without(create, "room_id")), Some(FormatError::Missing("room_id").into())),
        ]),
    }
    rows.push((state("m.room.create"), None));
    rows
}

/// Every entry by itself, and in its place among the others; the same through the machine.
#[test]
fn every_kind_of_entry() {
    for (version, join_rule) in rooms() {
        let mut federation = Federation::new(version, join_rule);
        let rows = entries(&federation.room);
        for (text, reason) in &rows {
            let found = verify(&federation.room, std::slice::from_ref(text));
            // A second one is none when it is alone.
            if *reason != Some(Dropped::Repeated) {
                let expected: Vec<_> = reason.iter().map(|reason| (0, reason.clone())).collect();
                assert_eq!(dropped(&found), expected, "{version}: {text}");
                assert_eq!(found.shown().len(), usize::from(reason.is_none()));
            }
        }
        let texts: Vec<String> = rows.iter().map(|(text, _)| text.clone()).collect();
        let found = verify(&federation.room, &texts);
        let expected: Vec<_> = rows
            .iter()
            .enumerate()
            .filter_map(|(position, (_, reason))| reason.clone().map(|reason| (position, reason)))
            .collect();
        assert_eq!(dropped(&found), expected, "{version}");
        // The create event stands last, and is shown first.
        let mut kept: Vec<Value> =
            rows.iter().filter(|(_, reason)| reason.is_none()).map(|(text, _)| json_of(text)).collect();
        kept.rotate_right(1);
        let four_keys = |event: &Value| {
            let [content, sender, key, name] = ["content", "sender", "state_key", "type"].map(|name| &event[name]);
            json!({ "content": content, "sender": sender, "state_key": key, "type": name }).to_string()
        };
        let kept: Vec<String> = kept.iter().map(four_keys).collect();
        assert_eq!(client(&found), kept);
        assert!(found.has_create_event());

        let body = format!(r#"{{"knock_room_state":{}}}"#, list(&texts));
        let machine = machine(&federation.room.id, &BOTH, &details());
        let walk = run(machine, Memory::Stores, |request, now| {
            let answer = federation.serve(request, now);
            if request.method() == "PUT" { Some((200, body.clone())) } else { answer }
        });
        assert_eq!(walk.arrival, Some(found));
        let pending = walk.outcome.expect("a knock that is taken");
        let knock_state: Vec<String> = pending.knock_state().iter().map(ToString::to_string).collect();
        let own = shown(version, join_rule)[3].clone();
        assert_eq!(knock_state, kept.into_iter().chain([own]).collect::<Vec<_>>());
    }
}

/// An entry that is no JSON, or nested as deep as an event may be and deeper: the others do not suffer for it.
#[test]
fn entries_that_cannot_be_read() {
    for (version, _) in rooms() {
        let room = Room::new(version, "knock");
        let good = signed(&room, &named(&room, "Name"));
        let create = room.events[&room.at("m.room.create", "")].clone();
        let deep = |depth: usize| {
            let draft = draft(&room, "org.example.deep", "", &json!({})).to_string();
            let nested = format!(r#""content":{{"x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
            draft.replacen(r#""content":{}"#, &nested, 1)
        };
        let server = ServerName::parse(A).expect("a server name");
        let deepest = sign_event(version, &deep(126), server, &key(A)).expect("an event").into_text();
        let after = |found: &str, instead: &str| {
            assert!(good.contains(found));
            good.replacen(found, instead, 1)
        };
        let unreadable = [
            deep(127),
            deep(5000),
            after("Name", r"\udead"),
            after("Name", r"\q"),
            after("Name", "\n"),
            after(r#""Name""#, r#""]}\\\"" """#),
            after(r#""depth":5"#, r#""depth":05"#),
            after(r#""depth":5"#, r#""depth""#),
            after(r#""depth":5"#, r#""depth":[}"#),
            after(r#""depth":5"#, "depth:5"),
            "nul".to_owned(),
            "1 2".to_owned(),
            String::new(),
        ];
        for text in unreadable {
            let entries = [text.clone(), good.clone(), text.clone(), deepest.clone(), create.clone()];
            let list = list(&entries);
            let answer = format!(r#"{{"other":[{text}],"knock_room_state" : {list} }}"#);
            assert_eq!(ReceivedRoomState::of_answer(&answer), ReceivedRoomState::of_list(&list));
            let found = verify(&room, &entries);
            let reason = malformed(&text);
            assert_eq!(dropped(&found), [(0, reason.clone()), (2, reason)], "{text}");
            let types: Vec<_> = found.shown().iter().map(|event| event.event_type()).collect();
            assert_eq!(types, ["m.room.create", "m.room.name", "org.example.deep"]);
        }
        // Where a bracket or a quote is missing nobody can say what was meant.
        for broken in [
            r#"{"knock_room_state":[{]}"#,
            r#"{"knock_room_state":["]}"#,
            r#"{"knock_room_state":["\"#,
            r#"{"knock_room_state":[1}"#,
            r#"{"knock_room_state":[1]]"#,
        ] {
            assert_eq!(ReceivedRoomState::of_answer(broken), ReceivedRoomState::default(), "{broken}");
        }
    }
}

/// An entry with two things wrong: the first is named.
#[test]
fn two_things_wrong_with_an_entry() {
    for (version, _) in rooms() {
        let room = Room::new(version, "knock");
        let first = signed(&room, &named(&room, "First"));
        let reasons: [Dropped; 6] = [
            FormatError::WrongKind("depth").into(),
            Dropped::NotState,
            Dropped::OtherRoom,
            Dropped::Repeated,
            not_signed(A),
            Dropped::ContentHash,
        ];
        for (one, reason) in reasons.iter().enumerate() {
            for other in one..reasons.len() {
                let is = |wrong: usize| one == wrong || other == wrong;
                let mut event = named(&room, "Second");
                if is(0) {
                    event["depth"] = json!(-1);
                }
                if is(1) {
                    event = without(event, "state_key");
                }
                if is(2) {
                    event["room_id"] = json!("!other:a.example");
                }
                if !is(3) {
                    event["type"] = json!("m.room.topic");
                }
                let mut event = json_of(&sign(version, &event, if is(4) { "evil.example" } else { A }).1);
                if is(5) {
                    event["content"]["name"] = json!("Third");
                }
                let found = verify(&room, &[first.clone(), event.to_string()]);
                assert_eq!(dropped(&found), [(1, reason.clone())], "{version} {one} {other}");
                assert_eq!(found.shown().len(), 1);
            }
        }
    }
}

/// A hundred entries are looked at, whatever they are.
#[test]
fn many_entries() {
    for (version, _) in rooms() {
        let room = Room::new(version, "knock");
        let create = room.events[&room.at("m.room.create", "")].clone();
        for count in [99, 100, 101, 102, 150] {
            let mut entries: Vec<String> = (1..count)
                .map(|number| signed(&room, &draft(&room, "org.example", &number.to_string(), &json!({}))))
                .collect();
            entries.push(create.clone());
            let found = verify(&room, &entries);
            let beyond: Vec<_> = (MAX_ENTRIES..count).map(|position| (position, Dropped::Beyond)).collect();
            assert_eq!(dropped(&found), beyond);
            let is_seen = count <= MAX_ENTRIES;
            assert_eq!((found.shown().len(), found.has_create_event()), (count.min(MAX_ENTRIES), is_seen));
            let state = ReceivedRoomState::of_list(&list(&entries));
            assert_eq!((state.len(), state.is_empty()), (count, false));
            let wanted = BTreeMap::from([(A.parse().expect("a server name"), BTreeSet::from([KEY_ID.to_owned()]))]);
            assert_eq!(state.wanted_keys(version), wanted);
        }
        let nothing = vec!["0".to_owned(); 101];
        let found = verify(&room, &nothing);
        let not_an_object = Dropped::from(FormatError::Pdu(PduError::NotAnObject));
        let mut expected: Vec<_> = (0..100).map(|position| (position, not_an_object.clone())).collect();
        expected.push((100, Dropped::Beyond));
        assert_eq!((dropped(&found), found.has_create_event()), (expected, false));
        assert_eq!(ReceivedRoomState::of_list(&list(&nothing)).wanted_keys(version), BTreeMap::new());
    }
}

/// An entry of as many bytes as there may be is looked at; how its text is written does not matter.
#[test]
fn the_largest_entry() {
    for (version, _) in rooms() {
        let room = Room::new(version, "knock");
        let one = signed(&room, &named(&room, "x")).len();
        let largest = signed(&room, &named(&room, &"x".repeat(MAX_ENTRY_BYTES - one + 1)));
        assert_eq!(largest.len(), MAX_ENTRY_BYTES);
        assert_eq!(verify(&room, &[largest]).shown().len(), 1);
        let larger = signed(&room, &named(&room, &"x".repeat(MAX_ENTRY_BYTES - one + 2)));
        let bytes = MAX_ENTRY_BYTES + 1;
        let too_large = FormatError::TooLarge { bytes }.into();
        assert_eq!(dropped(&verify(&room, &[larger])), [(0, too_large)]);
    }
}

/// Whose keys are asked for: the senders', 8 for an entry at most.
#[test]
fn wanted_keys() {
    for (version, _) in rooms() {
        let room = Room::new(version, "knock");
        let mut many = json_of(&signed(&room, &named(&room, "x")));
        for number in 1..=20 {
            many["signatures"][A][format!("ed25519:a{number:0>2}")] = json!("x");
        }
        many["signatures"]["evil.example"] = json!({ "ed25519:1": "x" });
        many["signatures"][A]["rsa:1"] = json!("x");
        let mut by_bob = named(&room, "y");
        by_bob["sender"] = json!("@bob:b.example");
        let by_bob = sign(version, &by_bob, "b.example").1;
        let unsigned = without(json_of(&signed(&room, &named(&room, "z"))), "signatures").to_string();
        let state = ReceivedRoomState::of_list(&list(&[many.to_string(), by_bob, unsigned, "1".to_owned()]));
        let of_a = ["1", "a01", "a02", "a03", "a04", "a05", "a06", "a07"].map(|id| format!("ed25519:{id}"));
        let wanted = BTreeMap::from([
            (A.parse().expect("a server name"), BTreeSet::from(of_a)),
            ("b.example".parse().expect("a server name"), BTreeSet::from([KEY_ID.to_owned()])),
        ]);
        assert_eq!(state.wanted_keys(version), wanted);
    }
}

/// A key counts for the time of the event, and not for longer than seven days from now.
#[test]
fn keys_and_time() {
    const DAY: u64 = 24 * 60 * 60 * 1000;
    for (version, _) in rooms() {
        let room = Room::new(version, "knock");
        let at = |time: u64| {
            let mut event = named(&room, "x");
            event["origin_server_ts"] = json!(time);
            signed(&room, &event)
        };
        for (validity, time, counts) in [
            (KeyValidity::Forever, u64::from(u32::MAX), true),
            (KeyValidity::Until(THEN), THEN, true),
            (KeyValidity::Until(THEN), THEN + 1, false),
            (KeyValidity::Expired(THEN), THEN, true),
            (KeyValidity::Expired(THEN), THEN + 1, false),
            (KeyValidity::Until(u64::MAX), NOW + 7 * DAY, true),
            (KeyValidity::Until(u64::MAX), NOW + 7 * DAY + 1, false),
        ] {
            let keys =
                KeysFn(|server: &str, _: &str| Some(VerifyKey { public_key: key(server).public_key(), validity }));
            let room_id = RoomId::parse(&room.id).expect("a room ID");
            let state = ReceivedRoomState::of_list(&list(&[at(time)]));
            let found = state.verify(version, room_id, &keys, &Ed25519, NOW);
            let expected = if counts { vec![] } else { vec![(0, not_signed(A))] };
            assert_eq!(dropped(&found), expected, "{validity:?} {time}");
        }
    }
}

/// What a server says of Kay's own membership is not shown, whoever has signed it: the knock is.
#[test]
fn somebody_elses_word() {
    for (version, join_rule) in rooms() {
        for membership in ["knock", "invite", "join", "ban", "leave"] {
            let mut federation = Federation::new(version, join_rule);
            let entry = signed(
                &federation.room,
                &draft(&federation.room, "m.room.member", KAY, &json!({ "membership": membership })),
            );
            let machine = machine(&federation.room.id, &BOTH, &details());
            let walk = run(machine, Memory::Keeps, |request, now| {
                let (status, mut body) = federation.serve(request, now)?;
                if request.method() == "PUT" {
                    body = body.replacen('[', &format!("[{entry},"), 1);
                }
                Some((status, body))
            });
            let arrival = walk.arrival.expect("keys were asked for");
            assert_eq!((arrival.shown().len(), dropped(&arrival)), (4, vec![]));
            let pending = walk.outcome.expect("a knock that is taken");
            let knock_state: Vec<String> = pending.knock_state().iter().map(ToString::to_string).collect();
            assert_eq!(knock_state, shown(version, join_rule));
        }
    }
}
