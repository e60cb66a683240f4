//! Machines that are stored in every state, and answers that they do not take.

use std::collections::BTreeMap;

use matrix_knock::event::{KeyValidity, KeysFn, Sign, VerifyKey};
use matrix_knock::id::{EventId, KeyId};
use matrix_knock::knocking::out_of_band::SentKnock;
use matrix_knock::knocking::{Failed, Failure, Knocking, PendingKnock, Retracted, Retracting};
use matrix_knock::machine::{Machine, NotTaken, Reply, Ticket, Want};
use matrix_knock::wire::HttpResponse;
use matrix_knock::{Ed25519, RoomVersion};

use super::federation::{A, AllKeys, Answer, B, Federation, KAY, json_of, key, key_id, rooms};
use super::knocker::{
    BOTH, Memory, NOW, details, knock_state, left, machine, reply_of, retracting, run, run_retraction,
};
use super::walks::{pending, shown};

fn ticket(number: u32) -> Ticket {
    serde_json::from_str(&number.to_string()).expect("a ticket")
}

/// A machine in a state: how often it has been answered, and what it is called.
type States = Vec<(&'static str, u32, Knocking)>;

/// A machine in every state that it can be in.
fn states(federation: &mut Federation) -> States {
    let mut states = States::new();
    let start = machine(&federation.room.id, &BOTH, &details());
    states.push(("making", 0, start.clone()));
    let next = replied(&start, &Some((429, r#"{"retry_after_ms":9}"#.to_owned())));
    states.push(("making, next server", 1, next.clone()));
    states.push(("failed", 2, replied(&next, &None)));
    let incompatible = r#"{"errcode":"M_INCOMPATIBLE_ROOM_VERSION","room_version":"13"}"#;
    states.push(("incompatible", 1, replied(&start, &Some((400, incompatible.to_owned())))));

    let signing = served(&start, federation);
    states.push(("signing", 1, signing.clone()));
    let sending = signed(&signing);
    states.push(("sending", 2, sending.clone()));
    states.push(("refused", 3, replied(&sending, &Some((403, String::new())))));
    let silent = replied(&sending, &None);
    states.push(("sending, next server", 3, silent.clone()));
    states.push(("nobody knows", 4, replied(&silent, &None)));
    states.push(("refused, perhaps accepted", 4, replied(&silent, &Some((403, String::new())))));
    let accepted = served(&sending, federation);
    states.push(("keys", 3, accepted.clone()));
    let later = served(&silent, federation);
    states.push(("keys, next server", 4, later.clone()));
    for (name, answers, mut machine) in [("pending", 3, accepted), ("pending, next server", 4, later)] {
        let (ticket, _) = machine.want();
        assert!(machine.keys(ticket, &AllKeys, &Ed25519, NOW).is_ok());
        states.push((name, answers, machine));
    }
    states
}

fn replied(machine: &Knocking, answer: &Answer) -> Knocking {
    let mut machine = machine.clone();
    let (ticket, _) = machine.want();
    assert_eq!(machine.reply(ticket, reply_of(answer), NOW), Ok(()));
    machine
}

fn served(machine: &Knocking, federation: &mut Federation) -> Knocking {
    let (_, Want::Request(request)) = machine.want() else { panic!("no request: {machine:?}") };
    let answer = federation.serve(&request, NOW);
    replied(machine, &answer)
}

fn signed(machine: &Knocking) -> Knocking {
    let mut after = machine.clone();
    let (ticket, Want::Sign(bytes)) = machine.want() else { panic!("nothing to sign: {machine:?}") };
    let signature = key("k.example").sign(bytes.as_bytes());
    assert_eq!(after.signature(ticket, key_id(), &signature), Ok(()));
    after
}

/// In every state it is what it was when it comes back, wants the same, and ends the same.
#[test]
fn stored_in_every_state() {
    for (version, join_rule) in rooms() {
        let mut federation = Federation::new(version, join_rule);
        let before = federation.clone();
        for (name, _, machine) in states(&mut federation) {
            let text = serde_json::to_string(&machine).expect("a text");
            let back: Knocking = serde_json::from_str(&text).expect("a machine");
            assert_eq!(back, machine, "{name}");
            assert_eq!(back.want(), machine.want(), "{name}");
            assert_eq!(serde_json::to_string(&back).expect("a text"), text, "{name}");
            let walks = [(machine, Memory::Keeps), (back, Memory::Stores)].map(|(machine, memory)| {
                let mut federation = if name.starts_with("making") { before.clone() } else { federation.clone() };
                run(machine, memory, |request, now| federation.serve(request, now))
            });
            assert_eq!(walks[0], walks[1], "{name}");
            if let Ok(pending) = &walks[0].outcome {
                let text = serde_json::to_string(pending).expect("a text");
                let back: PendingKnock = serde_json::from_str(&text).expect("a knock");
                assert_eq!((&back, knock_state(&back)), (pending, knock_state(pending)));
            }
        }
    }
}

/// What each state wants, and what it has to say of the end.
#[test]
fn every_state() {
    let mut federation = Federation::new(RoomVersion::V8, "knock");
    let found: Vec<_> = states(&mut federation)
        .into_iter()
        .map(|(name, answers, machine)| {
            let (given, want) = machine.want();
            assert_eq!(given, ticket(answers), "{name}");
            let want = match want {
                Want::Request(request) => super::knocker::short(&request),
                Want::Sign(_) => "sign".to_owned(),
                Want::Keys(wanted) => {
                    let wanted: BTreeMap<_, _> = wanted.iter().map(|(server, ids)| (server.as_str(), ids)).collect();
                    format!("keys {wanted:?}")
                }
                Want::Ended => "ended".to_owned(),
            };
            let ended = machine.outcome().map(|outcome| match outcome {
                Ok(pending) => format!("pending at {}", pending.server()),
                Err(Failed { failure, perhaps, .. }) => {
                    format!("{failure:?}, perhaps at {:?}", perhaps.map(|it| it.server().to_string()))
                }
            });
            (name, want, ended.unwrap_or_default())
        })
        .collect();
    let keys = r#"keys {"a.example": {"ed25519:1"}}"#;
    let expected = [
        ("making", "a.example make_knock", ""),
        ("making, next server", "b.example make_knock", ""),
        ("failed", "ended", "RateLimited { retry_after_ms: Some(9) }, perhaps at None"),
        ("incompatible", "ended", r#"IncompatibleRoomVersion { room_version: "13" }, perhaps at None"#),
        ("signing", "sign", ""),
        ("sending", "a.example send_knock", ""),
        ("refused", "ended", "Forbidden, perhaps at None"),
        ("sending, next server", "b.example send_knock", ""),
        ("nobody knows", "ended", r#"NoAnswer, perhaps at Some("a.example")"#),
        ("refused, perhaps accepted", "ended", r#"Forbidden, perhaps at Some("a.example")"#),
        ("keys", keys, ""),
        ("keys, next server", keys, ""),
        ("pending", "ended", "pending at a.example"),
        ("pending, next server", "ended", "pending at b.example"),
    ];
    assert_eq!(found, expected.map(|(name, want, ended)| (name, want.to_owned(), ended.to_owned())));
}

/// Every answer of the wrong kind, under every ticket, and of the right kind under a wrong one: not taken, and nothing changes.
#[test]
fn answers_to_something_else() {
    for (version, join_rule) in rooms() {
        let mut federation = Federation::new(version, join_rule);
        for (name, right, machine) in states(&mut federation) {
            let (wants_reply, wants_signature, wants_keys) = match machine.want().1 {
                Want::Request(_) => (true, false, false),
                Want::Sign(_) => (false, true, false),
                Want::Keys(_) => (false, false, true),
                Want::Ended => (false, false, false),
            };
            for number in [0, 1, 2, 3, 4, 5, u32::MAX] {
                let (given, is_right) = (ticket(number), number == right);
                let same = |found: &Knocking| assert_eq!(*found, machine, "{name}, ticket {number}");
                if !(is_right && wants_reply) {
                    let error = r#"{"errcode":"M_FORBIDDEN"}"#;
                    for (status, body) in [(200, "{}"), (403, error), (429, "{}"), (500, "")] {
                        let mut found = machine.clone();
                        let reply = HttpResponse::new(status, body).into();
                        assert_eq!(found.reply(given, reply, NOW), Err(NotTaken::NotAsked));
                        same(&found);
                    }
                    let mut found = machine.clone();
                    assert_eq!(found.reply(given, Reply::None, NOW), Err(NotTaken::NotAsked));
                    same(&found);
                }
                if !(is_right && wants_signature) {
                    let mut found = machine.clone();
                    assert_eq!(found.signature(given, key_id(), &[0; 64]), Err(NotTaken::NotAsked));
                    same(&found);
                }
                if !(is_right && wants_keys) {
                    let mut found = machine.clone();
                    assert_eq!(found.keys(given, &AllKeys, &Ed25519, NOW), Err(NotTaken::NotAsked));
                    same(&found);
                }
            }
        }
    }
}

/// An answer that comes twice, to a machine that it brought further.
#[test]
fn repeated_answers() {
    for (version, join_rule) in rooms() {
        let mut federation = Federation::new(version, join_rule);
        let mut machine = machine(&federation.room.id, &BOTH, &details());
        let (mut old, mut answers) = (Vec::new(), 0);
        loop {
            let (given, want) = machine.want();
            match want {
                Want::Request(request) => {
                    let answer = federation.serve(&request, NOW);
                    assert_eq!(machine.reply(given, reply_of(&answer), NOW), Ok(()));
                    old.push((given, Some(answer)));
                }
                Want::Sign(bytes) => {
                    let signature = key("k.example").sign(bytes.as_bytes());
                    assert_eq!(machine.signature(given, key_id(), &signature), Ok(()));
                    let before = machine.clone();
                    assert_eq!(machine.signature(given, key_id(), &signature), Err(NotTaken::NotAsked));
                    assert_eq!(machine, before);
                    old.push((given, None));
                }
                Want::Keys(_) => {
                    assert!(machine.keys(given, &AllKeys, &Ed25519, NOW).is_ok());
                    let before = machine.clone();
                    let none = KeysFn(|_: &str, _: &str| -> Option<VerifyKey> { None });
                    assert_eq!(machine.keys(given, &none, &Ed25519, NOW), Err(NotTaken::NotAsked));
                    assert_eq!(machine, before);
                }
                Want::Ended => break,
            }
            let before = machine.clone();
            for (given, answer) in &old {
                if let Some(answer) = answer {
                    assert_eq!(machine.reply(*given, reply_of(answer), NOW), Err(NotTaken::NotAsked));
                }
                assert_eq!(machine.reply(*given, Reply::None, NOW), Err(NotTaken::NotAsked));
                assert_eq!(machine.signature(*given, key_id(), &[7; 64]), Err(NotTaken::NotAsked));
                assert_eq!(machine, before);
            }
            answers += 1;
        }
        assert_eq!(answers, 4);
        assert!(machine.outcome().is_some_and(|outcome| outcome.is_ok()));
    }
}

/// A signature of whatever key a server has: those of the grammar, and others that servers do have.
#[test]
fn key_ids() {
    let mut federation = Federation::new(RoomVersion::V7, "knock");
    let signing = served(&machine(&federation.room.id, &BOTH, &details()), &mut federation);
    let (given, Want::Sign(bytes)) = signing.want() else { panic!("nothing to sign") };
    let signature = key("k.example").sign(bytes.as_bytes());
    for good in ["ed25519:1", "ed25519:a_Bc9", "ed25519:_", "ed25519:1:2", "ed25519:a+b-c", "ed25519:{}"] {
        let mut found = signing.clone();
        let key_id = KeyId::parse(good).expect("a key ID");
        assert_eq!(found.signature(given, key_id, &signature), Ok(()));
        let (_, Want::Request(request)) = found.want() else { panic!("nothing to send") };
        let signatures = json_of(&request.body().expect("a body"))["signatures"].clone();
        let signed_with = signatures["k.example"].as_object().map(|keys| keys.keys().cloned().collect::<Vec<_>>());
        assert_eq!(signed_with, Some(vec![good.to_owned()]));
        // It is stored with that signature, and comes back.
        let text = serde_json::to_string(&found).expect("a text");
        assert_eq!(serde_json::from_str::<Knocking>(&text).expect("a machine"), found);
    }
}

/// Keys that cannot be had are no reason to wait: what they would have verified is not shown.
#[test]
fn without_keys() {
    for (version, join_rule) in rooms() {
        let mut federation = Federation::new(version, join_rule);
        let start = machine(&federation.room.id, &BOTH, &details());
        let accepted = served(&signed(&served(&start, &mut federation)), &mut federation);
        let none = KeysFn(|_: &str, _: &str| -> Option<VerifyKey> { None });
        let wrong = KeysFn(|_: &str, _: &str| {
            Some(VerifyKey { public_key: key("evil.example").public_key(), validity: KeyValidity::Forever })
        });
        let mut shown = Vec::new();
        for mut machine in [accepted.clone(), accepted.clone(), accepted] {
            let (given, _) = machine.want();
            let arrival = match shown.len() {
                0 => machine.keys(given, &none, &Ed25519, NOW),
                1 => machine.keys(given, &wrong, &Ed25519, NOW),
                _ => machine.keys(given, &AllKeys, &Ed25519, NOW),
            };
            let arrival = arrival.expect("keys were asked for");
            let pending = machine.outcome().and_then(Result::ok).expect("a knock that is taken");
            shown.push((arrival.shown().len(), arrival.dropped().count(), knock_state(&pending).len()));
        }
        assert_eq!(shown, [(0, 3, 1), (0, 3, 1), (3, 0, 4)]);
    }
}

/// The machine that takes a knock back, in every state.
#[test]
fn retractions() {
    for (version, join_rule) in rooms() {
        let mut federation = Federation::new(version, join_rule);
        let knock = pending(&mut federation);
        let start = retracting(&knock, &[B], Some("Never mind"));
        let reply = |machine: &Retracting, answer: &Answer| {
            let mut machine = machine.clone();
            let (given, _) = machine.want();
            assert_eq!(machine.reply(given, reply_of(answer), NOW), Ok(()));
            machine
        };
        let request = |machine: &Retracting| match machine.want() {
            (_, Want::Request(request)) => request,
            other => panic!("no request: {other:?}"),
        };
        let next = reply(&start, &Some((404, String::new())));
        let signing = reply(&start, &federation.serve(&request(&start), NOW));
        let mut sending = signing.clone();
        let (given, Want::Sign(bytes)) = signing.want() else { panic!("nothing to sign") };
        let signature = key("k.example").sign(bytes.as_bytes());
        assert_eq!(sending.signature(given, key_id(), &signature), Ok(()));
        let silent = reply(&sending, &None);
        let before = federation.clone();
        let gone = reply(&sending, &federation.serve(&request(&sending), NOW));
        let failed = reply(&next, &None);
        for (machine, right, asked, outcome) in [
            (start, 0, Some("a.example make_leave"), None),
            (next, 1, Some("b.example make_leave"), None),
            (signing, 1, None, None),
            (sending, 2, Some("a.example send_leave"), None),
            (silent, 3, Some("b.example send_leave"), None),
            (failed, 2, None, Some(Retracted::LocallyOnly { failure: Failure::NotFound })),
            (gone, 3, None, Some(left(A, &federation.room))),
        ] {
            let (given, want) = machine.want();
            let short = match &want {
                Want::Request(request) => Some(super::knocker::short(request)),
                _ => None,
            };
            assert_eq!((given, short.as_deref(), machine.outcome()), (ticket(right), asked, outcome));
            let (takes_reply, takes_signature) = (asked.is_some(), matches!(want, Want::Sign(_)));
            for number in [0, 1, 2, 3, 4, u32::MAX] {
                let mut found = machine.clone();
                if !(number == right && takes_reply) {
                    let reply = HttpResponse::new(200, "{}").into();
                    assert_eq!(found.reply(ticket(number), reply, NOW), Err(NotTaken::NotAsked));
                    assert_eq!(found.reply(ticket(number), Reply::None, NOW), Err(NotTaken::NotAsked));
                }
                if !(number == right && takes_signature) {
                    assert_eq!(found.signature(ticket(number), key_id(), &[7; 64]), Err(NotTaken::NotAsked));
                }
                assert_eq!(found, machine);
            }
            let walks = [Memory::Keeps, Memory::Stores].map(|memory| {
                let mut federation = before.clone();
                run_retraction(machine.clone(), memory, |request, now| federation.serve(request, now))
            });
            assert_eq!(walks[0], walks[1]);
        }
    }
}

/// The knock is there as soon as it is signed, with the server that has it or is asked; never before, and not once it is refused.
#[test]
fn the_knock_at_every_point() {
    for (version, join_rule) in rooms() {
        let mut federation = Federation::new(version, join_rule);
        let mut sent = None;
        for (name, _, machine) in states(&mut federation) {
            let expected = match name {
                "sending" | "nobody knows" | "refused, perhaps accepted" | "keys" | "pending" => Some(A),
                "sending, next server" | "keys, next server" | "pending, next server" => Some(B),
                "making" | "making, next server" | "failed" | "incompatible" | "signing" | "refused" => None,
                other => panic!("{other}"),
            };
            let knock = machine.knock();
            assert_eq!(knock.as_ref().map(|knock| knock.server().as_str()), expected, "{name}");
            let Some(knock) = knock else { continue };
            // It is the one event that is sent.
            if let (_, Want::Request(request)) = machine.want() {
                assert_eq!(request.body().as_deref(), Some(knock.event().text()));
            }
            let event = sent.get_or_insert_with(|| knock.event().clone());
            assert_eq!((knock.event(), knock.event_id()), (&*event, event.event_id()));
            assert_eq!(
                (knock.room_id().as_str(), knock.user_id().as_str(), knock.version()),
                (federation.room.id.as_str(), KAY, version)
            );
            // The room's state is shown when it is verified.
            let shown = shown(version, join_rule);
            let seen = if name.starts_with("pending") { &shown[..] } else { &shown[3..] };
            assert_eq!(knock_state(&knock), seen, "{name}");
            // At the end it is what the outcome has.
            match machine.outcome() {
                None => {}
                Some(Ok(pending)) => assert_eq!(knock, pending),
                Some(Err(failed)) => assert_eq!(Some(&knock), failed.perhaps.as_ref()),
            }
            let text = serde_json::to_string(&knock).expect("a text");
            assert_eq!(serde_json::from_str::<PendingKnock>(&text).expect("a knock"), knock);
            // An invite that comes now is compared with it.
            let id = EventId::parse(knock.event_id()).expect("an event ID");
            let other = EventId::parse("$other").expect("an event ID");
            for (current, found) in [(Some(id), Some(id)), (None, None), (Some(other), None)] {
                let expected = SentKnock {
                    room_id: knock.room_id(),
                    user_id: knock.user_id(),
                    event_id: id,
                    version,
                    current: found,
                    through: Some(knock.server()),
                };
                assert_eq!(knock.sent(current), expected);
            }
        }
        assert!(sent.is_some());
    }
}
