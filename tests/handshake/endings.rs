//! Servers that made a template and do not take what was made of it: who is sent it next, and what is known in the end.

use std::borrow::Cow;

use matrix_knock::RoomVersion;
use matrix_knock::error::Errcode;
use matrix_knock::knocking::room_state::{MAX_ANSWER_BYTES, VerifiedRoomState};
use matrix_knock::knocking::{Details, Failed, Failure, PendingKnock, Retracted};
use matrix_knock::resident::{Decision, Refusal, Residence};

use super::federation::{A, Answer, B, Federation, KAY, rooms, versions};
use super::knocker::{
    BOTH, Knocked, Memory, details, knock, knock_state, left, machine, retracting, run, run_retraction,
};
use super::walks::{pending, shown};

fn answer(status: u16, body: &str) -> Answer {
    Some((status, body.to_owned()))
}

/// Answers that leave open whether the knock stands in the room.
fn silences() -> Vec<Answer> {
    // 408 too: something on the way has lost patience.
    let mut silences = vec![None];
    for status in [0, 100, 201, 202, 204, 301, 302, 304, 399, 408, 500, 502, 503, 504, 599, 999] {
        silences.push(answer(status, r#"{"errcode":"M_FORBIDDEN"}"#));
        silences.push(answer(status, ""));
    }
    silences
}

/// Answers that say no: by their code, and by the status where the code says nothing.
fn refusals() -> Vec<(Answer, Failure)> {
    let limited = |retry_after_ms| Failure::RateLimited { retry_after_ms };
    let refused = |status, errcode: Option<&str>| Failure::Refused { status, errcode: errcode.map(Errcode::from) };
    let mut refusals = vec![
        (answer(400, r#"{"errcode":"M_FORBIDDEN"}"#), Failure::Forbidden),
        (answer(403, r#"{"errcode":"M_UNKNOWN"}"#), Failure::Forbidden),
        (answer(403, r#"{"errcode":"M_USER_SUSPENDED"}"#), refused(403, Some("M_USER_SUSPENDED"))),
        (answer(403, r#"{"errcode":"ORG.EXAMPLE"}"#), refused(403, Some("ORG.EXAMPLE"))),
        (answer(404, r#"{"errcode":"M_UNRECOGNIZED"}"#), Failure::NoKnocking),
        (answer(405, ""), Failure::NoKnocking),
        (answer(413, ""), Failure::TooLarge),
        (answer(413, r#"{"errcode":"M_UNKNOWN"}"#), Failure::TooLarge),
        (answer(400, r#"{"errcode":"M_TOO_LARGE"}"#), Failure::TooLarge),
        (answer(400, r#"{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":6}"#), limited(Some(6))),
        (answer(400, r#"{"errcode":"M_UNKNOWN"}"#), refused(400, Some("M_UNKNOWN"))),
        (answer(400, ""), refused(400, None)),
        (answer(422, "{}"), refused(422, None)),
        (answer(403, r#"{"errcode":"M_FORBIDDEN"}"#), Failure::Forbidden),
        (answer(403, ""), Failure::Forbidden),
        (answer(404, r#"{"errcode":"M_NOT_FOUND"}"#), Failure::NotFound),
        (answer(404, "<html>"), Failure::NotFound),
        (answer(429, "{}"), limited(None)),
        (answer(429, r#"{"retry_after_ms":5}"#), limited(Some(5))),
        // The version was settled before: this server contradicts itself.
        (
            answer(400, r#"{"errcode":"M_INCOMPATIBLE_ROOM_VERSION","room_version":"13"}"#),
            refused(400, Some("M_INCOMPATIBLE_ROOM_VERSION")),
        ),
        (
            answer(403, r#"{"errcode":"M_INCOMPATIBLE_ROOM_VERSION","room_version":"13"}"#),
            refused(403, Some("M_INCOMPATIBLE_ROOM_VERSION")),
        ),
    ];
    for status in [400, 401, 402, 403, 404, 405, 406, 407, 409, 410, 413, 418, 422, 429, 451, 499] {
        let failure = refused(status, Some("M_INVALID_PARAM"));
        refusals.push((answer(status, r#"{"errcode":"M_INVALID_PARAM"}"#), failure));
    }
    refusals
}

/// What a server does with a knock that it is sent.
#[derive(Clone)]
enum Does {
    /// Says this, and nothing else.
    Says(Answer),
    /// Takes it into the room, and says this.
    Takes(Answer),
    /// Serves.
    Serves,
}

/// Kay knocks; what each server does with the knock. A template comes from the first.
fn walk(federation: &mut Federation, first: &Does, second: &Does, memory: Memory) -> Knocked {
    let machine = machine(&federation.room.id, &BOTH, &details());
    let mut sent = Vec::new();
    let walk = run(machine, memory, |request, now| {
        if request.method() == "GET" {
            return federation.serve(request, now);
        }
        sent.push((request.path_and_query(), request.body().map(Cow::into_owned)));
        match if request.server == A { first } else { second } {
            Does::Says(answer) => answer.clone(),
            Does::Takes(answer) => {
                let served = federation.serve(request, now);
                assert_eq!(served.map(|(status, _)| status), Some(200));
                answer.clone()
            }
            Does::Serves => federation.serve(request, now),
        }
    });
    assert!(sent.windows(2).all(|pair| pair[0] == pair[1]), "the same event");
    walk
}

fn perhaps_of(walk: &Knocked) -> Option<&PendingKnock> {
    walk.outcome.as_ref().err().and_then(|failed| failed.perhaps.as_ref())
}

/// The same event to the next server, which may have it already: the knock is pending there, once.
#[test]
fn the_same_event_to_the_next_server() {
    for (version, join_rule) in rooms() {
        let room = Federation::new(version, join_rule);
        for silence in silences() {
            for first in [Does::Says(silence.clone()), Does::Takes(silence.clone())] {
                let mut federation = room.clone();
                let walk = walk(&mut federation, &first, &Does::Serves, Memory::Stores);
                assert_eq!(
                    walk.asked,
                    ["a.example make_knock", "a.example send_knock", "b.example send_knock"],
                    "{silence:?}"
                );
                let pending = walk.outcome.expect("a knock that is taken");
                assert_eq!((pending.server().as_str(), pending.event_id()), (B, federation.room.tip.as_str()));
                assert_eq!(federation.room.events.len(), room.room.events.len() + 1);
                assert_eq!(knock_state(&pending), shown(version, join_rule));
            }
        }
    }
}

/// A refusal ends it: the next server would say the same.
#[test]
fn a_refusal_ends_it() {
    for version in versions() {
        let room = Federation::new(version, "knock");
        for (refusal, failure) in refusals() {
            let mut federation = room.clone();
            let walk = walk(&mut federation, &Does::Says(refusal), &Does::Serves, Memory::Stores);
            assert_eq!(walk.asked, ["a.example make_knock", "a.example send_knock"]);
            let failed = walk.outcome.expect_err("a refusal");
            assert_eq!((&failed.failure, &failed.perhaps), (&failure, &None));
            assert_eq!((failed.error(), failed.extra()), (None, None));
            assert_eq!(federation.room.events.len(), room.room.events.len());
        }
    }
}

/// Once one server has been silent, nobody else's refusal makes it certain that the knock does not stand in the room.
#[test]
fn a_refusal_behind_a_silence() {
    for version in [RoomVersion::V7, RoomVersion::V12] {
        let room = Federation::new(version, "knock");
        for silence in silences() {
            for (refusal, failure) in refusals() {
                let mut federation = room.clone();
                let first = Does::Takes(silence.clone());
                let walk = walk(&mut federation, &first, &Does::Says(refusal), Memory::Stores);
                assert_eq!(walk.asked, ["a.example make_knock", "a.example send_knock", "b.example send_knock"]);
                assert_eq!(walk.outcome.as_ref().err().map(|failed| &failed.failure), Some(&failure));
                is_the_knock(perhaps_of(&walk), &federation, A);
            }
        }
    }
}

/// The knock that nobody has said anything about: what is shown of it is the knock alone, and it can be taken back.
fn is_the_knock(perhaps: Option<&PendingKnock>, federation: &Federation, server: &str) {
    let perhaps = perhaps.expect("a knock that may stand in the room");
    let room = &federation.room;
    assert_eq!(
        (perhaps.room_id().as_str(), perhaps.user_id().as_str(), perhaps.version(), perhaps.server().as_str()),
        (room.id.as_str(), KAY, room.version, server)
    );
    let (id, text) = (room.tip.as_str(), room.events[&room.tip].as_str());
    assert_eq!((perhaps.event_id(), perhaps.event().event_id(), perhaps.event().text()), (id, id, text));
    assert_eq!(knock_state(perhaps), shown(room.version, "knock")[3..]);
}

#[test]
fn nobody_says_anything() {
    for version in versions() {
        let room = Federation::new(version, "knock");
        for first in silences() {
            for second in [None, answer(500, ""), answer(302, "")] {
                let mut federation = room.clone();
                let (first, second) = (Does::Takes(first.clone()), Does::Says(second));
                let walk = walk(&mut federation, &first, &second, Memory::Stores);
                assert_eq!(walk.asked, ["a.example make_knock", "a.example send_knock", "b.example send_knock"]);
                let failure = walk.outcome.as_ref().err().map(|failed| &failed.failure);
                assert_eq!(failure, Some(&Failure::NoAnswer));
                let perhaps = perhaps_of(&walk);
                is_the_knock(perhaps, &federation, A);

                let retracting = retracting(perhaps.expect("a knock"), &BOTH, None);
                let walk = run_retraction(retracting, Memory::Keeps, |request, now| federation.serve(request, now));
                assert_eq!(walk.outcome, left(A, &federation.room));
            }
        }
    }
}

/// What servers said before one of them made a template counts no longer; and they are not sent the knock.
#[test]
fn what_was_said_of_templates_is_forgotten() {
    for (status, silence) in [(403, None), (429, answer(500, "")), (404, None), (500, answer(302, ""))] {
        let mut federation = Federation::new(RoomVersion::V9, "knock");
        let machine = machine(&federation.room.id, &BOTH, &details());
        let walk = run(machine, Memory::Stores, |request, now| match (request.server.as_str(), request.method()) {
            (A, _) => answer(status, "{}"),
            (_, "PUT") => {
                federation.serve(request, now);
                silence.clone()
            }
            _ => federation.serve(request, now),
        });
        assert_eq!(walk.asked, ["a.example make_knock", "b.example make_knock", "b.example send_knock"]);
        let failure = walk.outcome.as_ref().err().map(|failed| &failed.failure);
        assert_eq!(failure, Some(&Failure::NoAnswer), "{status}");
        is_the_knock(perhaps_of(&walk), &federation, B);
    }
}

/// A leave in the same way.
#[test]
fn a_leave_that_is_not_taken() {
    let mut room = Federation::new(RoomVersion::V12, "knock_restricted");
    let pending = pending(&mut room);
    let retracting = retracting(&pending, &BOTH, None);
    for silence in silences() {
        for is_taken in [true, false] {
            let mut federation = room.clone();
            let walk = run_retraction(retracting.clone(), Memory::Stores, |request, now| {
                match (request.method(), request.server.as_str()) {
                    ("PUT", A) if is_taken => federation.serve(request, now).and(silence.clone()),
                    ("PUT", A) => silence.clone(),
                    _ => federation.serve(request, now),
                }
            });
            assert_eq!(walk.asked, ["a.example make_leave", "a.example send_leave", "b.example send_leave"]);
            assert_eq!(walk.outcome, left(B, &federation.room));
        }
        let mut federation = room.clone();
        let walk = run_retraction(retracting.clone(), Memory::Stores, |request, now| match request.method() {
            "PUT" => silence.clone(),
            _ => federation.serve(request, now),
        });
        assert_eq!(walk.asked, ["a.example make_leave", "a.example send_leave", "b.example send_leave"]);
        assert_eq!(walk.outcome, Retracted::LocallyOnly { failure: Failure::NoAnswer });
    }
    for (refusal, failure) in refusals() {
        let mut federation = room.clone();
        let walk = run_retraction(retracting.clone(), Memory::Stores, |request, now| match request.method() {
            "PUT" => refusal.clone(),
            _ => federation.serve(request, now),
        });
        assert_eq!(walk.asked, ["a.example make_leave", "a.example send_leave"]);
        assert_eq!(walk.outcome, Retracted::LocallyOnly { failure });
    }
}

/// What a resident server says to people it does not want: of both servers, in the end.
#[test]
fn what_resident_servers_say() {
    let limited = |retry_after_ms| Failure::RateLimited { retry_after_ms };
    for (residence, decision, refusal, failure) in [
        (Residence::Left, Decision::Admit, Refusal::NotInRoom, Failure::NotFound),
        (Residence::PartialState, Decision::Admit, Refusal::PartialState, Failure::NotFound),
        (Residence::Joined, Decision::Forbidden, Refusal::Forbidden, Failure::Forbidden),
        (
            Residence::Joined,
            Decision::Suspended,
            Refusal::Suspended,
            Failure::Refused { status: 403, errcode: Some(Errcode::UserSuspended) },
        ),
        (
            Residence::Joined,
            Decision::RateLimited { retry_after_ms: Some(7) },
            Refusal::RateLimited { retry_after_ms: Some(7) },
            limited(Some(7)),
        ),
        (
            Residence::Joined,
            Decision::RateLimited { retry_after_ms: None },
            Refusal::RateLimited { retry_after_ms: None },
            limited(None),
        ),
    ] {
        for (version, join_rule) in rooms() {
            let mut federation = Federation::new(version, join_rule);
            (federation.residence, federation.decision) = (residence, decision.clone());
            let walk = knock(&mut federation);
            let response = refusal.to_response();
            let expected = Err((&failure, Some(response.error()), None));
            assert_eq!(walk.parts(), expected);
            assert_eq!(walk.asked, ["a.example make_knock", "b.example make_knock"]);
            assert_eq!(federation.refusal, Some(refusal.clone()));

            (federation.residence, federation.decision) = (Residence::Joined, Decision::Admit);
            let machine = machine(&federation.room.id, &BOTH, &details());
            let walk = run(machine, Memory::Keeps, |request, now| {
                if request.method() == "PUT" {
                    (federation.residence, federation.decision) = (residence, decision.clone());
                }
                federation.serve(request, now)
            });
            assert_eq!(walk.parts(), expected);
            assert_eq!(walk.asked, ["a.example make_knock", "a.example send_knock"]);
            assert_eq!(federation.refusal, Some(refusal.clone()));
        }
    }
}

/// The knock is accepted by then: what comes with it may be anything, and is no error.
#[test]
fn an_answer_without_a_state() {
    let room = Federation::new(RoomVersion::V11, "knock");
    let long = format!(r#"{{"knock_room_state":[{}1]}}"#, "1,".repeat(MAX_ANSWER_BYTES / 2));
    for body in [
        "",
        "{}",
        "[]",
        "null",
        "<html>",
        r#"{"knock_room_state":[]}"#,
        r#"{"knock_room_state":null}"#,
        r#"{"knock_room_state":{}}"#,
        r#"{"knock_room_state":"[]"}"#,
        r#"{"knock_room_state":[{}"#,
        r#"{"knock_room_state":[{}]} x"#,
        r#"[{"knock_room_state":[{}]}]"#,
        r#"{"room_state":[{}]}"#,
        &long,
    ] {
        let mut federation = room.clone();
        let walk = walk(&mut federation, &Does::Takes(answer(200, body)), &Does::Serves, Memory::Stores);
        let pending = walk.outcome.expect("a knock that is taken");
        assert_eq!(walk.arrival, Some(VerifiedRoomState::default()));
        is_the_knock(Some(&pending), &federation, A);
    }
}

/// The largest knock there is, and the smallest that is too large: before it is signed, and with the signature.
#[test]
fn too_large() {
    let room = Federation::new(RoomVersion::V11, "knock");
    let with = |bytes: usize| {
        let details = Details { reason: Some("x".repeat(bytes)), ..Details::default() };
        let mut federation = room.clone();
        let machine = machine(&federation.room.id, &BOTH, &details);
        run(machine, Memory::Stores, |request, now| federation.serve(request, now))
    };
    let one = with(1).outcome.expect("a knock that is taken").event().text().len();
    // Others add to it: less than an event may have.
    let most = 65_408 - one + 1;
    let pending = with(most).outcome.expect("a knock that is taken");
    assert_eq!(pending.event().text().len(), 65_408);
    for bytes in [most + 1, most + 100, most + 128, most + 400, 65_536, 200_000] {
        let walk = with(bytes);
        assert_eq!(walk.outcome, Err(Failed::from(Failure::TooLarge)));
        assert_eq!(walk.asked, ["a.example make_knock"]);
    }
}
