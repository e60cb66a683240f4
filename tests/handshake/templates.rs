//! Templates that are not what was asked for, in every way: each is named, and the next server is asked.

use matrix_knock::RoomVersion;
use matrix_knock::id::{RoomId, ServerName, UserId};
use matrix_knock::json::JsonErrorKind;
use matrix_knock::knocking::{Failed, Failure};
use matrix_knock::template::MAX_DEPTH;
use matrix_knock::template::{BadTemplate, CheckedTemplate, Details, Expected, MAX_TEMPLATE_BYTES};
use serde_json::{Value, json};

use super::federation::{A, Federation, KAY, json_of, rooms};
use super::knocker::{BOTH, Memory, NOW, details, left, machine, retracting, run, run_retraction};
use super::walks::pending;

/// An event ID, a different one for each number.
fn id(number: usize) -> String {
    format!("${number:0>43}")
}

fn ids(count: usize) -> Value {
    (0..count).map(|number| json!(id(number))).collect()
}

/// All that can be wrong with a template that was `good`, by what it is called.
fn hostile(good: &Value) -> Vec<(String, BadTemplate)> {
    let mut rows = Vec::new();
    let mut row = |change: &dyn Fn(&mut Value), error: BadTemplate| {
        let mut answer = good.clone();
        change(&mut answer);
        rows.push((answer.to_string(), error));
    };
    row(&|answer| *answer = json!([answer]), BadTemplate::Malformed("answer"));
    row(&|answer| *answer = json!("event"), BadTemplate::Malformed("answer"));
    row(&|answer| *answer = json!({}), BadTemplate::Missing("room_version"));
    row(&|answer| *answer = answer["event"].clone(), BadTemplate::Missing("room_version"));
    row(&|answer| answer["room_version"] = json!(null), BadTemplate::Malformed("room_version"));
    row(&|answer| answer["room_version"] = json!(10), BadTemplate::Malformed("room_version"));
    for other in ["1", "6", "13", "", "07", "v10", "org.example.x"] {
        row(&|answer| answer["room_version"] = json!(other), BadTemplate::RoomVersion);
    }
    row(&|answer| drop(answer.as_object_mut().map(|it| it.remove("event"))), BadTemplate::Missing("event"));
    for kind in [json!(null), json!([]), json!("{}"), json!(1), json!(true)] {
        row(&|answer| answer["event"] = kind.clone(), BadTemplate::Malformed("event"));
        for property in ["content", "auth_events", "prev_events", "depth", "room_id", "sender", "state_key", "type"] {
            let fits = match property {
                "auth_events" | "prev_events" => kind.is_array(),
                "depth" => kind.is_number(),
                "content" => false,
                _ => kind.is_string(),
            };
            if !fits {
                row(&|answer| answer["event"][property] = kind.clone(), BadTemplate::Malformed(property));
            }
        }
    }
    for property in ["content", "auth_events", "prev_events", "depth", "room_id", "sender", "state_key", "type"] {
        let remove = |answer: &mut Value| drop(answer["event"].as_object_mut().map(|it| it.remove(property)));
        row(&remove, BadTemplate::Missing(property));
    }
    for (property, others) in [
        ("room_id", ["!other:a.example", "!r", ""]),
        ("sender", ["@mallory:k.example", "@kay:k.example", ""]),
        ("state_key", ["@mallory:k.example", "@kay:k.example", ""]),
        ("type", ["m.room.message", "m.room.power_levels", ""]),
    ] {
        for other in others {
            row(&|answer| answer["event"][property] = json!(other), BadTemplate::Other(property));
        }
    }
    for other in [json!("join"), json!("invite"), json!("ban"), json!("x"), json!(""), json!(null), json!(["knock"])] {
        row(&|answer| answer["event"]["content"]["membership"] = other.clone(), BadTemplate::Other("membership"));
    }
    row(&|answer| answer["event"]["content"] = json!({}), BadTemplate::Other("membership"));
    for property in ["join_authorised_via_users_server", "third_party_invite"] {
        for value in [json!("@alice:a.example"), json!(null), json!({}), json!(1)] {
            row(&|answer| answer["event"]["content"][property] = value.clone(), BadTemplate::Unwanted(property));
        }
    }
    for depth in [json!(-1), json!(MAX_DEPTH + 1), json!(u64::MAX), json!(1.0), json!("5"), json!(1e300)] {
        row(&|answer| answer["event"]["depth"] = depth.clone(), BadTemplate::Malformed("depth"));
    }
    for (property, counts) in [("auth_events", [11, 12, 100]), ("prev_events", [0, 21, 100])] {
        for count in counts {
            row(&|answer| answer["event"][property] = ids(count), BadTemplate::Count { property, count });
        }
        for mixed in [json!([id(1), 2]), json!([null]), json!([[id(1), {}]]), json!([{}])] {
            row(&|answer| answer["event"][property] = mixed.clone(), BadTemplate::Malformed(property));
        }
        let opaque = "A".repeat(43);
        for bad in [
            String::new(),
            "$".to_owned(),
            opaque.clone(),
            format!("!{opaque}"),
            format!("${opaque}A"),
            format!("${opaque}="),
            format!("${}+", "A".repeat(42)),
            format!("${}/", "A".repeat(42)),
            format!("${}:", "A".repeat(42)),
            format!("${}.", "A".repeat(42)),
            format!("${}\u{e9}", "A".repeat(41)),
            format!("${opaque}:a.example"),
            "$x:a.example".to_owned(),
            format!("${}", "A".repeat(42)),
        ] {
            row(&|answer| answer["event"][property] = json!([bad]), BadTemplate::EventId(property));
            row(&|answer| answer["event"][property] = json!([id(1), bad]), BadTemplate::EventId(property));
        }
        let twice = json!([id(1), id(2), id(1)]);
        row(&|answer| answer["event"][property] = twice.clone(), BadTemplate::Duplicate(property));
    }
    let bytes = MAX_TEMPLATE_BYTES + 1;
    let padding = bytes - good.to_string().len();
    rows.push((format!("{good}{}", " ".repeat(padding)), BadTemplate::TooLarge { bytes }));
    rows
}

/// What is no JSON, or has a key twice, anywhere.
fn unreadable(good: &str) -> Vec<(String, JsonErrorKind)> {
    let text = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1)
    };
    vec![
        (String::new(), JsonErrorKind::UnexpectedEnd),
        (" ".to_owned(), JsonErrorKind::UnexpectedEnd),
        ("<html>".to_owned(), JsonErrorKind::UnexpectedCharacter),
        (good.strip_suffix('}').expect("an object").to_owned(), JsonErrorKind::UnexpectedEnd),
        (format!("{good}{{}}"), JsonErrorKind::TrailingCharacters),
        (text(r#""event":"#, r#""room_version":"10","event":"#), JsonErrorKind::DuplicateKey),
        (text(r#""content":"#, r#""event":0,"event":1,"content":"#), JsonErrorKind::DuplicateKey),
        (text(r#""membership":"#, r#""membership":"join","membership":"#), JsonErrorKind::DuplicateKey),
        (text(r#""membership":"#, r#""x":{"y":1,"\u0079":2},"membership":"#), JsonErrorKind::DuplicateKey),
        (text(r#""membership":"#, r#""x":"\ud800","membership":"#), JsonErrorKind::LoneSurrogate),
        (text(r#""membership":"#, "\"x\":\"\n\",\"membership\":"), JsonErrorKind::ControlCharacter),
        (text(r#""membership":"#, r#""x":"\a","membership":"#), JsonErrorKind::InvalidEscape),
        (
            text(r#""depth":"#, &format!(r#""x":{}1{},"depth":"#, "[".repeat(127), "]".repeat(127))),
            JsonErrorKind::TooDeep,
        ),
        (text(r#""depth":"#, r#""x":1e999,"depth":"#), JsonErrorKind::NumberNotAllowed),
    ]
}

fn read(asked: Expected<'_>, federation: &Federation, answer: &str) -> Result<CheckedTemplate, BadTemplate> {
    let room_id = RoomId::parse(&federation.room.id).expect("a room ID");
    CheckedTemplate::read(asked, room_id, UserId::parse(KAY).expect("a user ID"), answer)
}

/// A resident server's own template, and what may be in it for all we care.
fn good(federation: &mut Federation) -> Value {
    let mut good = Value::Null;
    let machine = machine(&federation.room.id, &[A], &details());
    run(machine, Memory::Keeps, |request, now| {
        if request.method() == "PUT" {
            return Some((403, String::new()));
        }
        let answer = federation.serve(request, now);
        good = answer.as_ref().map(|(_, body)| json_of(body)).expect("a template");
        answer
    });
    good
}

#[test]
fn hostile_templates() {
    for (version, join_rule) in rooms() {
        let mut federation = Federation::new(version, join_rule);
        let good = good(&mut federation);
        let mut rows = hostile(&good);
        let text = good.to_string();
        for (answer, kind) in unreadable(&text) {
            let Err(BadTemplate::Json(error)) = read(Expected::Knock(&RoomVersion::ALL), &federation, &answer) else {
                panic!("{kind:?}: {answer}");
            };
            assert_eq!(error.kind(), kind, "{answer}");
            rows.push((answer, error.into()));
        }
        assert!(rows.len() > 150, "{} rows", rows.len());
        let offered: Vec<_> = RoomVersion::ALL.into_iter().filter(|version| version.rules().knocking).collect();
        for (answer, error) in rows {
            assert_eq!(read(Expected::Knock(&offered), &federation, &answer), Err(error), "{answer}");
            let mut federation = federation.clone();
            let walk = run(machine(&federation.room.id, &BOTH, &details()), Memory::Keeps, |request, now| {
                if request.server == *A { Some((200, answer.clone())) } else { federation.serve(request, now) }
            });
            assert_eq!(walk.asked, ["a.example make_knock", "b.example make_knock", "b.example send_knock"]);
            assert_eq!(walk.outcome.map(|pending| pending.event_id().to_owned()), Ok(federation.room.tip.clone()));
            let walk =
                run(machine(&federation.room.id, &[A], &details()), Memory::Keeps, |_, _| Some((200, answer.clone())));
            assert_eq!(walk.outcome, Err(Failed::from(Failure::NoAnswer)));
        }
        // A host that offers what has no knocking, which the machine never does.
        for old in [RoomVersion::V1, RoomVersion::V6] {
            let mut answer = good.clone();
            answer["room_version"] = json!(old.as_str());
            let found = read(Expected::Knock(&RoomVersion::ALL), &federation, &answer.to_string());
            assert_eq!(found, Err(BadTemplate::NoKnocking(old)));
        }
    }
}

/// A version that was offered, and is not the room's, is found out by nobody but the resident server: it sees another event ID, or a
/// format that it does not have. Only those are offered that the host has.
#[test]
fn a_version_that_was_not_offered() {
    for (version, join_rule) in rooms() {
        let mut federation = Federation::new(version, join_rule);
        let answer = good(&mut federation).to_string();
        for offered in RoomVersion::ALL.into_iter().filter(|offered| offered.rules().knocking) {
            let found = read(Expected::Knock(&[offered]), &federation, &answer).map(|event| event.version());
            let expected = if offered == version { Ok(version) } else { Err(BadTemplate::RoomVersion) };
            assert_eq!(found, expected);
        }
    }
}

/// What a template has beside what was asked for is not signed.
#[test]
fn what_is_left_behind() {
    for (version, join_rule) in rooms() {
        let mut federation = Federation::new(version, join_rule);
        let good = good(&mut federation);
        let expected = read(Expected::Knock(&[version]), &federation, &good.to_string()).expect("a template");
        let mut answer = good.clone();
        answer["x"] = json!(1.5);
        for (property, value) in [
            ("unsigned", json!({ "age": 1 })),
            ("origin", json!("evil.example")),
            ("origin_server_ts", json!("never")),
            ("hashes", json!({ "sha256": "x" })),
            ("signatures", json!({ "k.example": { "ed25519:1": "x" } })),
            ("event_id", json!("$x:evil.example")),
            ("redacts", json!("$x")),
            ("prev_state", json!([])),
            ("membership", json!("join")),
            ("unknown", json!(1e5)),
        ] {
            answer["event"][property] = value;
        }
        for property in ["reason", "displayname", "avatar_url", "is_direct", "unknown"] {
            answer["event"]["content"][property] = json!({ "from": "evil.example" });
        }
        let found = read(Expected::Knock(&[version]), &federation, &answer.to_string());
        assert_eq!(found.as_ref(), Ok(&expected));
        let origin = ServerName::parse("k.example").expect("a server name");
        let event = json_of(&expected.to_event(&Details::default(), origin, NOW));
        let mut asked_for = good["event"].clone();
        asked_for["origin"] = json!("k.example");
        asked_for["origin_server_ts"] = json!(NOW);
        assert_eq!(event, asked_for);

        let before = federation.room.clone();
        let walk = run(machine(&before.id, &[A], &details()), Memory::Stores, |request, now| {
            if request.method() == "GET" { Some((200, answer.to_string())) } else { federation.serve(request, now) }
        });
        let hostile = walk.outcome.expect("a knock that is taken");
        federation.room = before.clone();
        let walk = run(machine(&before.id, &[A], &details()), Memory::Stores, |request, now| {
            if request.method() == "GET" { Some((200, good.to_string())) } else { federation.serve(request, now) }
        });
        assert_eq!(walk.outcome, Ok(hostile));
    }
}

/// The ends of what may be named.
#[test]
fn counts_and_depths_that_are_allowed() {
    let mut federation = Federation::new(RoomVersion::V10, "knock");
    let good = good(&mut federation);
    for (auth_events, prev_events, depth) in [(0, 1, 0), (10, 20, MAX_DEPTH), (1, 2, 1)] {
        let mut answer = good.clone();
        answer["event"]["auth_events"] = ids(auth_events);
        answer["event"]["prev_events"] = ids(prev_events);
        answer["event"]["depth"] = json!(depth);
        let event = read(Expected::Knock(&[RoomVersion::V10]), &federation, &answer.to_string()).expect("a template");
        let origin = ServerName::parse("k.example").expect("a server name");
        let event = json_of(&event.to_event(&Details::default(), origin, u64::MAX));
        assert_eq!(event["auth_events"], ids(auth_events));
        assert_eq!(event["prev_events"], ids(prev_events));
        assert_eq!((&event["depth"], &event["origin_server_ts"]), (&json!(depth), &json!(MAX_DEPTH)));
    }
}

/// The same for a leave; its version is known, and need not be repeated.
#[test]
fn hostile_templates_of_a_leave() {
    for (version, join_rule) in rooms() {
        let mut federation = Federation::new(version, join_rule);
        let pending = pending(&mut federation);
        let mut good = Value::Null;
        let retracting = retracting(&pending, &BOTH, None);
        run_retraction(retracting.clone(), Memory::Keeps, |request, now| {
            let answer = federation.clone().serve(request, now);
            if request.method() == "GET" {
                good = answer.as_ref().map(|(_, body)| json_of(body)).expect("a template");
            }
            answer
        });
        let other = if version == RoomVersion::V12 { "11" } else { "12" };
        let rows = hostile(&good).into_iter().filter(|(_, error)| *error != BadTemplate::Missing("room_version"));
        let mut renamed = good.clone();
        renamed["room_version"] = json!(other);
        let mut knock = good.clone();
        knock["event"]["content"]["membership"] = json!("knock");
        let more = [
            (renamed.to_string(), BadTemplate::RoomVersion),
            (knock.to_string(), BadTemplate::Other("membership")),
            ("{}".to_owned(), BadTemplate::Missing("event")),
        ];
        for (answer, error) in rows.chain(more) {
            assert_eq!(read(Expected::Leave(&[version]), &federation, &answer), Err(error), "{answer}");
            let mut federation = federation.clone();
            let walk = run_retraction(retracting.clone(), Memory::Keeps, |request, now| {
                if request.server == *A { Some((200, answer.clone())) } else { federation.serve(request, now) }
            });
            assert_eq!(walk.asked, ["a.example make_leave", "b.example make_leave", "b.example send_leave"]);
            assert_eq!(walk.outcome, left("b.example", &federation.room));
        }
        let mut unnamed = good.clone();
        drop(unnamed.as_object_mut().map(|it| it.remove("room_version")));
        for answer in [&good, &unnamed] {
            let found =
                read(Expected::Leave(&[version]), &federation, &answer.to_string()).map(|event| event.version());
            assert_eq!(found, Ok(version));
        }
    }
}

/// Event IDs of version 3 are in the standard alphabet, those since version 4 in the URL-safe one.
#[test]
fn alphabets_of_event_ids() {
    let federation = Federation::new(RoomVersion::V10, "knock");
    let [standard, url_safe] = ["+/", "-_"].map(|odd| format!("${}{odd}", "A".repeat(41)));
    for version in RoomVersion::ALL.into_iter().filter(|version| *version >= RoomVersion::V3) {
        let (own, other) = if version == RoomVersion::V3 { (&standard, &url_safe) } else { (&url_safe, &standard) };
        for property in ["auth_events", "prev_events"] {
            let answer = |named: &str| {
                let mut answer = json!({ "event": {
                    "type": "m.room.member", "room_id": federation.room.id, "sender": KAY, "state_key": KAY,
                    "content": { "membership": "leave" }, "auth_events": [id(1)], "prev_events": [id(2)], "depth": 3,
                } });
                answer["event"][property] = json!([named]);
                answer.to_string()
            };
            let found = read(Expected::Leave(&[version]), &federation, &answer(own));
            assert_eq!(found.map(|event| event.version()), Ok(version));
            let found = read(Expected::Leave(&[version]), &federation, &answer(other));
            assert_eq!(found, Err(BadTemplate::EventId(property)), "{version}");
        }
    }
}

/// The same template with `membership` `join`, and everything that is wrong with it beside: a join
/// is read as strictly as a knock.
#[test]
fn hostile_templates_of_joins() {
    let mut federation = Federation::new(RoomVersion::V10, "knock");
    let mut good = good(&mut federation);
    good["event"]["content"] = json!({"membership": "join"});
    let offered = [RoomVersion::V9, RoomVersion::V10];
    let join = |answer: &Value| read(Expected::Join(&offered), &federation, &answer.to_string());
    let template = join(&good).expect("a template");
    assert_eq!(template.version(), RoomVersion::V10);
    let event = json_of(&template.to_event(&details(), ServerName::parse("k.example").expect("a name"), 7));
    assert_eq!(event["content"]["membership"], "join");

    for (answer, error) in hostile(&good) {
        // There the membership is another one on purpose: `join` is that of the knock's table.
        let expected = match error {
            BadTemplate::Other("membership") if answer.contains(r#""membership":"join""#) => continue,
            BadTemplate::NoKnocking(_) => BadTemplate::RoomVersion,
            error => error,
        };
        if expected == BadTemplate::Missing("room_version") {
            continue;
        }
        assert_eq!(read(Expected::Join(&offered), &federation, &answer), Err(expected), "{answer}");
    }
    // A server that names no version means version 1.
    let without = |offered: &[RoomVersion]| {
        let mut answer = good.clone();
        answer.as_object_mut().map(|answer| answer.remove("room_version"));
        read(Expected::Join(offered), &federation, &answer.to_string()).map(|template| template.version())
    };
    assert_eq!(without(&offered), Err(BadTemplate::RoomVersion));
    assert_eq!(without(&[RoomVersion::V3]), Err(BadTemplate::RoomVersion));
    for membership in ["knock", "leave", "invite", "ban"] {
        let mut answer = good.clone();
        answer["event"]["content"]["membership"] = json!(membership);
        assert_eq!(join(&answer), Err(BadTemplate::Other("membership")));
    }
}
