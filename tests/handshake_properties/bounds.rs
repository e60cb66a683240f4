//! What hostile sizes cost: upper bounds on allocations, asserted; times are printed for whoever reads.

use matrix_knock::event::{FormatError, MAX_EVENT_TEXT_BYTES, PduError};
use matrix_knock::id::{ServerName, UserId};
use matrix_knock::json::JsonErrorKind;
use matrix_knock::knocking::Details;
use matrix_knock::knocking::room_state::{MAX_ANSWER_BYTES, MAX_ENTRIES, MAX_ENTRY_BYTES};
use matrix_knock::machine::{Machine as _, Want};
use matrix_knock::resident::Refusal;
use matrix_knock::resident::submission::SendKnock;
use matrix_knock::template::{BadTemplate, CheckedTemplate, Expected, MAX_TEMPLATE_BYTES};
use matrix_knock::wire::HttpResponse;
use matrix_knock::{Ed25519, RoomVersion};

use crate::room::{AllKeys, HOME, KAY, KEY_ID, NOW, RESIDENT, Room, key_id};
use crate::stage::{Machine, pending, start};
use crate::within::within;

const VERSION: RoomVersion = RoomVersion::V10;
const MEGABYTES_100: usize = 100_000_000;

/// What a machine does with an answer until it has ended: how many entries are shown, and how many are not.
fn arrive(what: &str, body: &str, bytes: u64, count: u64) -> (usize, usize) {
    let room = Room::new(VERSION);
    let Machine::Knock(mut machine) = start(&room, &[RESIDENT], &[VERSION], &Details::default()) else {
        panic!("a knock")
    };
    let template = room.make_knock(&[VERSION.as_str()]).1;
    machine.reply(machine.want().0, HttpResponse::new(200, &template).into(), NOW).unwrap();
    machine.signature(machine.want().0, key_id(), &[1; 64]).unwrap();
    let arrival = within(what, bytes, count, || {
        machine.reply(machine.want().0, HttpResponse::new(200, body).into(), NOW).unwrap();
        let (ticket, want) = machine.want();
        let Want::Keys(wanted) = want else { panic!("keys") };
        assert!(wanted.len() <= 100 && wanted.values().map(|ids| ids.len()).sum::<usize>() <= 800);
        machine.keys(ticket, &AllKeys, &Ed25519, NOW).unwrap()
    });
    // The knock stands, whatever was in the answer.
    assert!(machine.outcome().unwrap().is_ok());
    (arrival.shown().len(), arrival.dropped().count())
}

#[test]
fn answers_to_send_knock() {
    let room = Room::new(VERSION);
    let create = &room.events[0].1;
    let body = |entries: &[&str]| format!(r#"{{"knock_room_state":[{}]}}"#, entries.join(","));

    let honest: Vec<_> = room.events.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(arrive("an honest answer of 4 events", &body(&honest), 10_000, 250), (4, 0));

    // Of so many the first 100 are looked at, and not one of the others is copied.
    let small = body(&vec!["{}"; 100_000]);
    assert_eq!(arrive("10^5 entries `{}`", &small, 20_000, 700), (0, 100_000));
    let many = body(&vec![create.as_str(); MAX_ANSWER_BYTES / (create.len() + 1) - 1]);
    let (shown, dropped) = arrive("8 MiB of the same create event", &many, 80_000, 3_000);
    assert_eq!((shown, shown + dropped), (1, MAX_ANSWER_BYTES / (create.len() + 1) - 1));

    // Too long, or too deep: nothing of it is taken. What is allocated is the pending knock.
    let large = body(&vec![create.as_str(); MEGABYTES_100 / create.len()]);
    assert!(large.len() >= MEGABYTES_100);
    assert_eq!(arrive("100 MB of create events", &large, 2_000, 25), (0, 0));
    let white = " ".repeat(MEGABYTES_100);
    assert_eq!(arrive("100 MB of white space", &white, 2_000, 25), (0, 0));
    for text in
        [format!(r#"{{"knock_room_state":["{white}"]}}"#), format!(r#"{{"x":"{white}","knock_room_state":[]}}"#)]
    {
        assert_eq!(arrive("100 MB in one string", &text, 2_000, 25), (0, 0));
    }

    for (what, open, close) in [("lists", "[", "]"), ("objects", r#"{"a":"#, "}")] {
        let deep = format!("{}1{}", open.repeat(1_000_000), close.repeat(1_000_000));
        assert_eq!(arrive(&format!("10^6 {what} in each other"), &deep, 2_000, 25), (0, 0));
        let deep = body(&[create, &deep]);
        assert_eq!(arrive(&format!("an entry of 10^6 {what} in each other"), &deep, 10_000, 100), (1, 1));
    }

    // The largest that are looked at: 100 entries of 64 KB each.
    let signed = with_signatures(create, 650);
    assert!((60_000..MAX_ENTRY_BYTES).contains(&signed.len()), "{}", signed.len());
    assert_eq!(arrive("an entry of 64 KB of signatures", &body(&[&signed]), 300_000, 2_500), (1, 0));
    let all = body(&vec![signed.as_str(); MAX_ENTRIES]);
    assert_eq!(arrive("100 entries of 64 KB of signatures", &all, 7_500_000, 150_000), (1, 99));
    let too_large = body(&[&with_signatures(create, 1000), create]);
    assert_eq!(arrive("an entry of more than 64 KB", &too_large, 8_000, 100), (1, 1));
}

/// The event with more signatures of its server, by keys that nobody knows.
fn with_signatures(event: &str, count: usize) -> String {
    let more: Vec<_> = (0..count).map(|number| format!(r#""ed25519:x{number}":"{}","#, "A".repeat(80))).collect();
    event.replacen(&format!(r#""{KEY_ID}":"#), &format!(r#"{}"{KEY_ID}":"#, more.concat()), 1)
}

#[test]
fn answers_to_make_knock() {
    let room = Room::new(VERSION);
    let read = |what: &str, text: &str, bytes, count| {
        let (room_id, user_id) = (room.room_id(), UserId::parse(KAY).unwrap());
        within(what, bytes, count, || CheckedTemplate::read(Expected::Knock(&[VERSION]), room_id, user_id, text))
    };
    let whole = room.make_knock(&[VERSION.as_str()]).1;
    let filled =
        |key: &str, with: String| whole.replacen(r#""content":{"#, &format!(r#""{key}":{with},"content":{{"#), 1);
    assert!(read("an honest template", &whole, 2_500, 25).is_ok());

    let rest = MAX_TEMPLATE_BYTES - filled("x", String::new()).len();
    let one_string = filled("x", format!(r#""{}""#, "x".repeat(rest - 2)));
    assert_eq!(one_string.len(), MAX_TEMPLATE_BYTES);
    assert!(read("a template of 128 KB in one string", &one_string, 400_000, 30).is_ok());
    let escapes = filled("x", format!(r#""{}""#, r"\u0001".repeat(rest / 6 - 1)));
    assert!(read("a template of 128 KB in escapes", &escapes, 400_000, 30).is_ok());
    let empty = filled("x", format!("[{}0]", "[],".repeat(rest / 3 - 1)));
    assert!(read("a template of 128 KB of lists", &empty, 400_000, 30).is_ok());
    let members: Vec<_> = (0..rest / 13).map(|number| format!(r#""{number:08}":0"#)).collect();
    let members = filled("x", format!("{{{}}}", members.iter().rev().cloned().collect::<Vec<_>>().join(",")));
    assert!(read("a template of 128 KB of members", &members, 1_500_000, 50).is_ok());
    let ids: Vec<_> = (0..2_500).map(|number| format!(r#""${number:0>43}""#)).collect();
    let ids = whole.replacen(r#""auth_events":["#, &format!(r#""auth_events":[{},"#, ids.join(",")), 1);
    let error = BadTemplate::Count { property: "auth_events", count: 2_502 };
    assert_eq!(read("a template of 128 KB of auth events", &ids, 400_000, 30), Err(error));

    let large = filled("x", format!(r#""{}""#, "x".repeat(MEGABYTES_100)));
    let bytes = large.len();
    assert_eq!(read("a template of 100 MB", &large, 0, 0), Err(BadTemplate::TooLarge { bytes }));
    let deep = filled("x", format!("{}{}", "[".repeat(60_000), "]".repeat(60_000)));
    let error = read("a template of 60,000 lists in each other", &deep, 200_000, 5).unwrap_err();
    assert!(matches!(error, BadTemplate::Json(error) if error.kind() == JsonErrorKind::TooDeep));
    let deep = filled("x", format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000)));
    let bytes = deep.len();
    assert_eq!(read("a template of 10^6 lists in each other", &deep, 0, 0), Err(BadTemplate::TooLarge { bytes }));

    // Errors are looked at no longer than 64 KB: what is allocated is the next request.
    for status in [400, 403, 429, 500] {
        let Machine::Knock(mut machine) = start(&room, &[RESIDENT, "c.example"], &[VERSION], &Details::default())
        else {
            panic!("a knock")
        };
        let body =
            format!(r#"{{"errcode":"M_INCOMPATIBLE_ROOM_VERSION","room_version":"{}"}}"#, "9".repeat(MEGABYTES_100));
        let ticket = machine.want().0;
        within(&format!("an error {status} of 100 MB"), 500, 40, || {
            machine.reply(ticket, HttpResponse::new(status, &body).into(), NOW).unwrap();
        });
        assert!(machine.outcome().is_none());
    }
}

#[test]
fn bodies_of_send_knock() {
    let mut room = Room::new(VERSION);
    let knock = pending(&mut room);
    let state = room.state();
    let resident = room.resident();
    let send = |what: &str, body: &str, bytes, count| {
        let origin = ServerName::parse(HOME).unwrap();
        within(what, bytes, count, || {
            let request = SendKnock::new(room.room_id(), knock.event_id(), origin, body);
            let received = request.check(&resident, &state)?;
            assert!(received.key_ids().len() <= 8);
            received.verify(&AllKeys, &Ed25519, NOW).map(drop)
        })
    };
    let whole = knock.event().text();
    assert_eq!(send("an honest knock", whole, 4_000, 30), Ok(()));

    let signed = with_signatures(whole, 650);
    assert_eq!(send("a knock of 64 KB of signatures", &signed, 250_000, 2_500), Ok(()));
    let short: Vec<_> = (0..900).map(|number| format!(r#""ed25519:{number}x":"","#)).collect();
    let short = whole.replacen(&format!(r#""{KEY_ID}":"#), &format!(r#"{}"{KEY_ID}":"#, short.concat()), 1);
    assert_eq!(send("a knock of 900 empty signatures", &short, 150_000, 1_200), Ok(()));

    let too_large = |body: &str| Err(Refusal::Format(FormatError::Pdu(PduError::TooLarge { bytes: body.len() })));
    let signed = with_signatures(whole, 100_000);
    assert_eq!(send("a knock of 10^5 signatures", &signed, 0, 0), too_large(&signed));
    let large = whole.replacen(r#""depth""#, &format!(r#""x":"{}","depth""#, "x".repeat(MEGABYTES_100)), 1);
    assert_eq!(send("a knock of 100 MB", &large, 0, 0), too_large(&large));
    let deep = format!("{}{}", r#"{"a":"#.repeat(1_000_000), "}".repeat(1_000_000));
    assert_eq!(send("10^6 objects in each other", &deep, 0, 0), too_large(&deep));
    let deep = format!("{}{}", "[".repeat(150_000), "]".repeat(150_000));
    let refusal = send("150,000 lists in each other", &deep, 1_000, 10).unwrap_err();
    let Refusal::Format(FormatError::Pdu(PduError::Json(error))) = refusal else { panic!("{refusal}") };
    assert_eq!(error.kind(), JsonErrorKind::TooDeep);

    // The longest text that is read: as long as an event may be, every character of it escaped.
    let escaped = whole.replacen(r#""depth""#, &format!(r#""x":"{}","depth""#, r"\u0078".repeat(60_000)), 1);
    assert!((360_000..MAX_EVENT_TEXT_BYTES).contains(&escaped.len()));
    assert_eq!(send("a knock of 384 KB in escapes", &escaped, 1_000_000, 40), Err(Refusal::ContentHash));
}
