//! The `knock_room_state` of a server that may be anybody's: each entry by itself, and what of it Kay is shown.

use std::collections::{BTreeMap, BTreeSet};

use matrix_knock::event::{FormatError, KeyValidity, KeysFn, Pdu, PduError, SignatureError, VerifyKey, sign_event};
use matrix_knock::id::{RoomId, ServerName};
use matrix_knock::knocking::room_state::{
    Dropped, MAX_ENTRIES, MAX_ENTRY_BYTES, ReceivedRoomState, ShowUnverified, VerifiedRoomState,
};
use matrix_knock::{Ed25519, RoomVersion};
use serde_json::{Value, json};

use super::federation::{A, ALICE, AllKeys, Federation, KAY, KEY_ID, Room, THEN, json_of, key, rooms, sign};
use super::knocker::{BOTH, Memory, NOW, details, knock_state, machine, run};
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

/// What becomes of an entry.
#[derive(Debug, Clone, PartialEq)]
enum Fate {
    Shown,
    /// It is shown redacted: this is left of its content.
    Redacted(Value),
    /// It may be shown, and nobody has signed it.
    Unverified,
    Dropped(Dropped),
}

use Fate::{Redacted, Shown, Unverified};

impl<D: Into<Dropped>> From<D> for Fate {
    fn from(reason: D) -> Self {
        Self::Dropped(reason.into())
    }
}

/// An entry, what becomes of it alone, and among the others.
struct Row {
    text: String,
    alone: Fate,
    among: Fate,
}

impl Row {
    fn new(text: impl ToString, fate: impl Into<Fate>) -> Self {
        let fate = fate.into();
        Self { text: text.to_string(), alone: fate.clone(), among: fate }
    }

    /// One whose type and state key another entry has that is shown.
    fn again(text: impl ToString, alone: impl Into<Fate>) -> Self {
        Self { text: text.to_string(), alone: alone.into(), among: Dropped::Repeated.into() }
    }
}

/// An entry of four keys, as servers sent it before v1.16 of the specification. What stands beside
/// these makes no difference.
fn stripped(event_type: &str, state_key: &str, content: &Value) -> Value {
    json!({ "type": event_type, "state_key": state_key, "sender": ALICE, "content": content, "unsigned": { "age": 1.5 } })
}

/// Entries of every kind.
fn entries(room: &Room) -> Vec<Row> {
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
    // What servers of others have not signed is for the rules to judge, and nobody judges here: the
    // sender's server says it.
    let authorized = json!({ "membership": "join", "join_authorised_via_users_server": "@bob:b.example" });
    let mut join = draft(room, "m.room.member", "@zoe:a.example", &authorized);
    join["sender"] = json!("@zoe:a.example");
    let mut odd = draft(room, "m.room.member", "@yan:a.example", &authorized);
    odd["sender"] = json!("@yan:a.example");
    odd["content"]["join_authorised_via_users_server"] = json!(1);
    let own_create = json_of(&state("m.room.create"));
    let of_another = without(without(own_create.clone(), "hashes"), "signatures");
    let mut rows = vec![
        Row::new("null", FormatError::Pdu(PduError::NotAnObject)),
        Row::new("[]", FormatError::Pdu(PduError::NotAnObject)),
        Row::new("{}", FormatError::Pdu(PduError::Missing("type"))),
        Row::new(changed("event_id", json!("$x")), FormatError::Unexpected("event_id")),
        Row::new(changed("sender", json!(1)), FormatError::Pdu(PduError::WrongKind("sender"))),
        Row::new(changed("signatures", json!([])), FormatError::WrongKind("signatures")),
        Row::new(changed("hashes", json!({})), FormatError::Missing("hashes.sha256")),
        Row::new(changed("content", json!([])), FormatError::WrongKind("content")),
    ];
    // With one property of a whole event it is one, and lacks the others.
    for (property, missing) in
        [("auth_events", "depth"), ("depth", "auth_events"), ("hashes", "depth"), ("signatures", "depth")]
    {
        let mut event = stripped("m.room.topic", "", &json!({}));
        event[property] = good[property].clone();
        rows.push(Row::new(event, FormatError::Missing(missing)));
    }
    let twice = good.to_string().replacen('{', r#"{"depth":5,"#, 1);
    rows.push(Row::new(&twice, malformed(&twice)));
    let surrogate = good.to_string().replacen("First", r"\udead", 1);
    rows.push(Row::new(&surrogate, malformed(&surrogate)));
    let padding = " ".repeat(MAX_ENTRY_BYTES + 1 - good.to_string().len());
    let bytes = MAX_ENTRY_BYTES + 1;
    let padded = good.to_string().replacen(r#""content":{"#, &format!(r#""content":{{{padding}"#), 1);
    rows.push(Row::new(padded, FormatError::TooLarge { bytes }));
    let mut topic = json_of(&signed(room, &draft(room, "m.room.topic", "", &json!({ "topic": "A topic" }))));
    topic["content"]["topic"] = json!("Other words");
    let mut rules = json_of(&state("m.room.join_rules"));
    rules["content"]["org.example"] = json!("More words");
    let join_rule = json!({ "join_rule": rules["content"]["join_rule"] });
    rows.extend([
        Row::new(signed(room, &without(named(room, "A message"), "state_key")), Dropped::NotState),
        Row::new(
            signed(room, &{
                let mut other = named(room, "Another room");
                other["room_id"] = json!("!other:a.example");
                other
            }),
            Dropped::OtherRoom,
        ),
        // None of these takes the place of the one that holds.
        Row::new(changed("signatures", json!({})), not_signed(A)),
        Row::new(forged(&named(room, "Forged")), not_signed(A)),
        Row::new(changed("signatures", json!({ A: { "ed25519:2": "x" } })), not_signed(A)),
        Row::new(changed("depth", json!(6)), bad_signature()),
        Row::new(changed("signatures", json!({ A: { KEY_ID: "x" } })), bad_signature()),
        Row::again(stripped("m.room.name", "", &json!({ "name": "Stripped" })), Unverified),
        Row::new(good.to_string(), Shown),
        Row::again(good.to_string(), Shown),
        Row::again(signed(room, &named(room, "Second")), Shown),
        Row::again(forged(&named(room, "Second")), not_signed(A)),
        // The room has redacted these, and its servers tell so.
        Row::new(&topic, Redacted(json!({}))),
        Row::again(&topic, Redacted(json!({}))),
        Row::new(rules, Redacted(join_rule)),
        // Nobody invites in Alice's name: the rules do not ask for her server's signature, but we do.
        Row::new(forged(&invite), not_signed(A)),
        Row::new(with_signatures(&forged(&invite), json!({})), not_signed(A)),
        Row::new(with_signatures(&forged(&invite), json!({ A: { KEY_ID: "x" } })), bad_signature()),
        Row::new(signed(room, &invite), Shown),
        Row::new(signed(room, &join), Shown),
        Row::new(signed(room, &odd), Shown),
        Row::new(state("m.room.power_levels"), Shown),
        // What nobody has signed: never a membership, and since v12 no create event.
        Row::new(stripped("m.room.member", KAY, &json!({ "membership": "join" })), Dropped::UnverifiedMember),
        Row::new(stripped("m.room.member", ALICE, &json!({ "membership": "join" })), Dropped::UnverifiedMember),
        Row::new(stripped("m.room.avatar", "", &json!({ "url": "mxc://a/b" })), Unverified),
        Row::again(stripped("m.room.avatar", "", &json!({ "url": "mxc://a/c" })), Unverified),
        Row::new(stripped("m.room.avatar", "other", &json!({})), Unverified),
        Row::new(without(stripped("m.room.avatar", "", &json!({})), "state_key"), Dropped::NotState),
    ]);
    let create = stripped("m.room.create", "", &json!({ "type": "m.space" }));
    rows.push(match version {
        RoomVersion::V12 => Row::new(create, Dropped::UnverifiedCreate),
        _ => Row::again(create, Unverified),
    });
    // The create event: of the room by its room ID, and since v12 by its hash.
    let mut create = of_another.clone();
    create["content"]["type"] = json!("m.space");
    create["room_id"] = json!("!other:a.example");
    match version {
        RoomVersion::V12 => rows.extend([
            Row::new(signed(room, &create), FormatError::Unexpected("room_id")),
            Row::new(signed(room, &without(create.clone(), "room_id")), Dropped::OtherRoom),
            Row::new(
                signed(room, &{
                    create["room_id"] = json!(room.id);
                    create
                }),
                FormatError::Unexpected("room_id"),
            ),
            Row::new(
                {
                    let mut hash = own_create;
                    hash["hashes"]["sha256"] = json!("x");
                    hash
                },
                Dropped::OtherRoom,
            ),
            Row::new(signed(room, &without(named(room, "Nowhere"), "room_id")), FormatError::Missing("room_id")),
        ]),
        _ => rows.extend([
            Row::new(signed(room, &create), Dropped::OtherRoom),
            Row::new(signed(room, &without(create, "room_id")), FormatError::Missing("room_id")),
        ]),
    }
    rows.push(Row::new(state("m.room.create"), Shown));
    rows
}

/// What the client is shown of an entry: four keys.
fn four_keys(text: &str, content: Option<&Value>) -> String {
    let event = json_of(text);
    let [sender, key, name] = ["sender", "state_key", "type"].map(|name| &event[name]);
    let content = content.unwrap_or(&event["content"]);
    json!({ "content": content, "sender": sender, "state_key": key, "type": name }).to_string()
}

/// What comes of all entries, by what becomes of each: shown, unverified, dropped.
type Found = (Vec<String>, Vec<String>, Vec<(usize, Dropped)>);

fn found(arrival: &VerifiedRoomState) -> Found {
    let unverified = arrival.unverified().iter().map(ToString::to_string).collect();
    (client(arrival), unverified, dropped(arrival))
}

fn expected<'r>(fates: impl Iterator<Item = (&'r str, &'r Fate)>) -> Found {
    let mut expected = Found::default();
    for (position, (text, fate)) in fates.enumerate() {
        match fate {
            Shown => expected.0.push(four_keys(text, None)),
            Redacted(content) => expected.0.push(four_keys(text, Some(content))),
            Unverified => expected.1.push(four_keys(text, None)),
            Fate::Dropped(reason) => expected.2.push((position, reason.clone())),
        }
    }
    expected
}

/// Every entry by itself, and in its place among the others; the same through the machine.
#[test]
fn every_kind_of_entry() {
    for (version, join_rule) in rooms() {
        let mut federation = Federation::new(version, join_rule);
        let rows = entries(&federation.room);
        for Row { text, alone, .. } in &rows {
            let arrival = verify(&federation.room, std::slice::from_ref(text));
            assert_eq!(found(&arrival), expected([(text.as_str(), alone)].into_iter()), "{version}: {text}");
        }
        let texts: Vec<String> = rows.iter().map(|row| row.text.clone()).collect();
        let arrival = verify(&federation.room, &texts);
        let mut expected = expected(rows.iter().map(|row| (row.text.as_str(), &row.among)));
        // The create event stands last, and is shown first.
        expected.0.rotate_right(1);
        assert_eq!(found(&arrival), expected, "{version}");
        assert!(arrival.has_create_event());

        let body = format!(r#"{{"knock_room_state":{}}}"#, list(&texts));
        let machine = machine(&federation.room.id, &BOTH, &details());
        let walk = run(machine, Memory::Stores, |request, now| {
            let answer = federation.serve(request, now);
            if request.method() == "PUT" { Some((200, body.clone())) } else { answer }
        });
        assert_eq!(walk.arrival, Some(arrival));
        // The host chooses whether its users see what nobody has signed; each entry says what it
        // is.
        let pending = walk.outcome.expect("a knock that is taken");
        let own = shown(version, join_rule)[3].clone();
        let (verified, unverified, _) = expected;
        for (choice, shows) in [
            (ShowUnverified::BeforeV12, version < RoomVersion::V12),
            (ShowUnverified::Always, true),
            (ShowUnverified::Never, false),
        ] {
            let others = unverified.iter().filter(|_| shows).map(|text| (text.clone(), false));
            let all = verified.iter().map(|text| (text.clone(), true)).chain(others).chain([(own.clone(), true)]);
            let knock_state = pending.knock_state(choice).into_iter();
            let knock_state = knock_state.map(|shown| (shown.event.to_string(), shown.is_verified));
            assert_eq!(knock_state.collect::<Vec<_>>(), all.collect::<Vec<_>>(), "{version} {choice:?}");
        }
        assert_eq!(pending.knock_state(ShowUnverified::default()), pending.knock_state(ShowUnverified::BeforeV12));
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
        let signed_deep = |depth| sign_event(version, &deep(depth), server, &key(A)).expect("an event").into_text();
        // An event and its content are two levels. Deeper ones are events too, but no client could
        // read the whole answer.
        let deepest = signed_deep(118);
        for depth in 119..=126 {
            let found = verify(&room, &[signed_deep(depth), good.clone()]);
            assert_eq!((dropped(&found), found.shown().len()), (vec![(0, Dropped::TooDeep)], 1), "{depth}");
            let stripped = stripped("org.example.deep", "", &json!({})).to_string();
            let nested = format!(r#""content":{{"x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
            let stripped = stripped.replacen(r#""content":{}"#, &nested, 1);
            let found = verify(&room, &[stripped, good.clone()]);
            assert_eq!((dropped(&found), found.unverified()), (vec![(0, Dropped::TooDeep)], &[][..]), "{depth}");
        }
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
            Dropped::TooDeep,
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
                if is(5) {
                    event["content"]["x"] = json_of(&format!("{}{}", "[".repeat(119), "]".repeat(119)));
                }
                let event = sign(version, &event, if is(4) { "evil.example" } else { A }).1;
                let found = verify(&room, &[first.clone(), event]);
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
        let noted = largest.replacen('{', &format!(r#"{{"unsigned":{},"#, "[".repeat(200) + &"]".repeat(200)), 1);
        for largest in [noted, largest] {
            assert_eq!(verify(&room, &[largest]).shown().len(), 1);
        }
        let larger = signed(&room, &named(&room, &"x".repeat(MAX_ENTRY_BYTES - one + 2)));
        let bytes = MAX_ENTRY_BYTES + 1;
        let too_large: Dropped = FormatError::TooLarge { bytes }.into();
        // Nobody signs `unsigned`: whatever is in there does not count.
        let noted = |text: &str| text.replacen('{', &format!(r#"{{"unsigned":{{"x":"{}"}},"#, "x".repeat(100_000)), 1);
        for larger in [noted(&larger), larger] {
            assert_eq!(dropped(&verify(&room, &[larger])), [(0, too_large.clone())]);
        }
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
            assert_eq!(knock_state(&pending), shown(version, join_rule));
        }
    }
}
