//! Servers that do not make a template: which one is asked next, and what the client is told in the end.

use matrix_knock::RoomVersion;
use matrix_knock::event::Membership;
use matrix_knock::id::{IdError, OwnedServerName, RoomId, UserId};
use matrix_knock::knocking::{
    Details, Failed, Failure, Intent, Knocking, MAX_SERVERS, OwnMembership, Retracted, Start,
};

use super::federation::{A, Answer, B, Federation, KAY, versions};
use super::knocker::{BOTH, Memory, details, left, machine, names, retracting, run, run_retraction};
use super::walks::pending;

fn answer(status: u16, body: &str) -> Answer {
    Some((status, body.to_owned()))
}

fn error(status: u16, errcode: &str) -> Answer {
    answer(status, &format!(r#"{{"errcode":"{errcode}","error":"No"}}"#))
}

const fn limited(retry_after_ms: Option<u64>) -> Failure {
    Failure::RateLimited { retry_after_ms }
}

/// What a server may say instead of a template, and what is told if nobody says anything better.
pub(crate) fn refusals() -> Vec<(Answer, Failure)> {
    let mut rows = vec![
        (None, Failure::NoAnswer),
        (error(403, "M_FORBIDDEN"), Failure::Forbidden),
        (error(403, "M_UNKNOWN"), Failure::Forbidden),
        (answer(403, "<html>"), Failure::Forbidden),
        (answer(403, ""), Failure::Forbidden),
        // A code that says something else than that the room refuses.
        (error(403, "M_USER_SUSPENDED"), refused_with_403("M_USER_SUSPENDED")),
        (error(403, "ORG.EXAMPLE"), refused_with_403("ORG.EXAMPLE")),
        (error(404, "M_NOT_FOUND"), Failure::NotFound),
        (error(404, "M_UNKNOWN"), Failure::NotFound),
        (answer(404, ""), Failure::NotFound),
        (error(404, "M_UNRECOGNIZED"), Failure::NoKnocking),
        (error(400, "M_UNRECOGNIZED"), Failure::NoKnocking),
        (answer(405, ""), Failure::NoKnocking),
        (error(405, "M_UNKNOWN"), Failure::NoKnocking),
        (error(400, "M_LIMIT_EXCEEDED"), limited(None)),
        (error(429, "M_LIMIT_EXCEEDED"), limited(None)),
        (answer(429, r#"{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":2001}"#), limited(Some(2001))),
        (answer(429, r#"{"retry_after_ms":18446744073709551615}"#), limited(Some(u64::MAX))),
    ];
    for malformed in [
        r#"{"retry_after_ms":"5"}"#,
        r#"{"retry_after_ms":-5}"#,
        r#"{"retry_after_ms":1.5}"#,
        r#"{"retry_after_ms":1,"retry_after_ms":2}"#,
        r#"{"retry_after_ms":18446744073709551616}"#,
        r#"{"retry_after_ms":5"#,
        r#"{"retry_after_ms":5}{}"#,
        r#"[{"retry_after_ms":5}]"#,
        "",
    ] {
        rows.push((answer(429, malformed), limited(None)));
    }
    for status in [100, 201, 204, 301, 302, 304, 400, 401, 402, 406, 408, 409, 410, 413, 418, 422, 451, 499] {
        rows.push((error(status, "M_UNKNOWN"), Failure::NoAnswer));
        rows.push((error(status, "M_INVALID_PARAM"), Failure::NoAnswer));
        rows.push((error(status, "M_FORBIDDEN"), Failure::Forbidden));
    }
    for status in [500, 501, 502, 503, 504, 521, 599, 0, 999] {
        rows.push((error(status, "M_UNKNOWN"), Failure::NoAnswer));
        rows.push((error(status, "M_FORBIDDEN"), Failure::Forbidden));
    }
    for status in [400, 413, 414] {
        // What is too large is not the knock: that was not sent.
        rows.push((error(status, "M_TOO_LARGE"), Failure::NoAnswer));
    }
    rows.push((error(403, "M_TOO_LARGE"), refused_with_403("M_TOO_LARGE")));
    let long = format!(r#"{{"errcode":"M_INCOMPATIBLE_ROOM_VERSION","room_version":"{}"}}"#, "x".repeat(256));
    let padded =
        format!(r#"{{"errcode":"M_INCOMPATIBLE_ROOM_VERSION","room_version":"13","error":"{}"}}"#, "x".repeat(65_536));
    for body in [
        // What names no version that was not offered, or is no such error.
        r#"{"errcode":"M_INCOMPATIBLE_ROOM_VERSION","room_version":"10"}"#,
        r#"{"errcode":"M_INCOMPATIBLE_ROOM_VERSION","error":"No"}"#,
        r#"{"errcode":"M_INCOMPATIBLE_ROOM_VERSION","room_version":13}"#,
        r#"{"errcode":"M_INCOMPATIBLE_ROOM_VERSION","room_version":null}"#,
        r#"{"errcode":"M_INCOMPATIBLE_ROOM_VERSION","room_version":"13","room_version":"14"}"#,
        r#"{"errcode":"M_UNSUPPORTED_ROOM_VERSION","room_version":"13"}"#,
        r#"{"errcode":["M_INCOMPATIBLE_ROOM_VERSION"],"room_version":"13"}"#,
        r#"{"room_version":"13"}"#,
        r#"{"errcode":"M_INCOMPATIBLE_ROOM_VERSION","room_version":"13"} x"#,
        r#"["M_INCOMPATIBLE_ROOM_VERSION","13"]"#,
        "",
        &long,
        &padded,
    ] {
        rows.push((answer(400, body), Failure::NoAnswer));
    }
    // This is no error.
    rows.push((answer(200, r#"{"errcode":"M_INCOMPATIBLE_ROOM_VERSION","room_version":"13"}"#), Failure::NoAnswer));
    rows
}

fn refused_with_403(errcode: &str) -> Failure {
    Failure::Refused { status: 403, errcode: Some(errcode.into()) }
}

/// What a server says to people.
fn said(answer: &Answer) -> Option<&'static str> {
    answer.as_ref().filter(|(_, body)| body.contains(r#""error":"No""#)).map(|_| "No")
}

/// Where a failure stands: the first 403, else 429, else 404, else that there is no knocking, else
/// 502.
fn place(failure: &Failure) -> usize {
    let response = failure.to_response();
    match (response.status(), response.errcode().as_str()) {
        (403, _) => 0,
        (429, _) => 1,
        (404, "M_NOT_FOUND") => 2,
        (404, "M_UNRECOGNIZED") => 3,
        (502, _) => 4,
        other => panic!("not one of the five: {other:?}"),
    }
}

#[test]
fn the_next_server_is_asked() {
    for version in versions() {
        let room = Federation::new(version, "knock");
        for (first, failure) in refusals() {
            let mut federation = room.clone();
            let machine = machine(&federation.room.id, &BOTH, &details());
            let walk = run(machine, Memory::Stores, |request, now| match request.server.as_str() {
                A => first.clone(),
                _ => federation.serve(request, now),
            });
            let pending = walk.outcome.expect("a knock that is taken");
            assert_eq!(walk.asked, ["a.example make_knock", "b.example make_knock", "b.example send_knock"]);
            assert_eq!((pending.server().as_str(), pending.event_id()), (B, federation.room.tip.as_str()));

            let alone = super::knocker::machine(&federation.room.id, &[A], &details());
            let walk = run(alone, Memory::Stores, |_, _| first.clone());
            assert_eq!(walk.parts(), Err((&failure, said(&first), None)), "{first:?}");
            assert_eq!(walk.asked, ["a.example make_knock"]);
        }
    }
}

/// Every pair of failures, and every order of the five kinds.
#[test]
fn what_the_client_is_told() {
    let room_id = "!r:a.example";
    let rows = refusals();
    for (first, one) in &rows {
        for (second, other) in &rows {
            let walk = run(machine(room_id, &BOTH, &details()), Memory::Keeps, |request, _| {
                if request.server == *A { first.clone() } else { second.clone() }
            });
            let (told, by) = if place(other) < place(one) { (other, second) } else { (one, first) };
            assert_eq!(walk.parts(), Err((told, said(by), None)), "{first:?} {second:?}");
            assert_eq!(walk.asked, ["a.example make_knock", "b.example make_knock"]);
        }
    }
    let kinds = [
        (error(403, "M_FORBIDDEN"), Failure::Forbidden),
        (error(429, "M_LIMIT_EXCEEDED"), limited(None)),
        (error(404, "M_NOT_FOUND"), Failure::NotFound),
        (error(404, "M_UNRECOGNIZED"), Failure::NoKnocking),
        (None, Failure::NoAnswer),
    ];
    let servers = ["one.example", "two.example", "three.example", "four.example", "five.example"];
    for order in 0..3125_usize {
        let order = [order % 5, order / 5 % 5, order / 25 % 5, order / 125 % 5, order / 625];
        let walk = run(machine(room_id, &servers, &details()), Memory::Keeps, |request, _| {
            let position = servers.iter().position(|server| request.server == **server).expect("one of the servers");
            kinds[order[position]].0.clone()
        });
        let best = order.into_iter().min().expect("five of them");
        let (answer, failure) = &kinds[best];
        assert_eq!(walk.parts(), Err((failure, said(answer), None)), "{order:?}");
        assert_eq!(walk.asked, servers.map(|server| format!("{server} make_knock")));
    }
}

/// The version of the room is the same everywhere: the first that names one ends it, whatever others have said.
#[test]
fn the_room_has_another_version() {
    for version in ["13", "6", "1", "", "org.example.\u{f6}", &"x".repeat(255)] {
        let failure = Failure::IncompatibleRoomVersion { room_version: version.to_owned() };
        let body = format!(r#"{{"errcode":"M_INCOMPATIBLE_ROOM_VERSION","room_version":"{version}","x":1}}"#);
        for status in [401, 403, 404, 429, 500] {
            // The code says it, whatever the status is.
            let walk = run(machine("!r:a.example", &BOTH, &details()), Memory::Stores, |_, _| answer(status, &body));
            assert_eq!(walk.asked, ["a.example make_knock"]);
            assert_eq!(walk.outcome.map_err(|failed| failed.failure), Err(failure.clone()));
        }
        let incompatible = answer(400, &body.replace(r#","x":1"#, ""));
        for (first, _) in refusals() {
            let walk = run(machine("!r:a.example", &BOTH, &details()), Memory::Stores, |request, _| {
                if request.server == *A { first.clone() } else { incompatible.clone() }
            });
            assert_eq!(walk.outcome, Err(Failed::from(failure.clone())));
            assert_eq!(walk.asked, ["a.example make_knock", "b.example make_knock"]);
        }
        let walk = run(machine("!r:a.example", &BOTH, &details()), Memory::Stores, |_, _| incompatible.clone());
        assert_eq!(walk.outcome, Err(Failed::from(failure)));
        assert_eq!(walk.asked, ["a.example make_knock"]);
    }
}

/// A leave goes on to the next server in the same way, and nothing is said of room versions: that of the room is known.
#[test]
fn a_leave_that_nobody_takes() {
    let incompatible = answer(400, r#"{"errcode":"M_INCOMPATIBLE_ROOM_VERSION","room_version":"13"}"#);
    let mut federation = Federation::new(RoomVersion::V11, "knock");
    let pending = pending(&mut federation);
    for (said, failure) in refusals().into_iter().chain([(incompatible, Failure::NoAnswer)]) {
        let retracting = retracting(&pending, &[B], None);
        let walk = run_retraction(retracting.clone(), Memory::Stores, |_, _| said.clone());
        assert_eq!(walk.outcome, Retracted::LocallyOnly { failure }, "{said:?}");
        assert_eq!(walk.asked, ["a.example make_leave", "b.example make_leave"]);

        let mut federation = federation.clone();
        let walk = run_retraction(retracting, Memory::Stores, |request, now| match request.server.as_str() {
            A => said.clone(),
            _ => federation.serve(request, now),
        });
        assert_eq!(walk.outcome, left(B, &federation.room));
        assert_eq!(walk.asked, ["a.example make_leave", "b.example make_leave", "b.example send_leave"]);
    }
}

fn start(own: OwnMembership, servers: &[&str], versions: &[RoomVersion]) -> Start {
    Knocking::start(&Intent {
        room_id: RoomId::parse("!r:a.example").expect("a room ID"),
        user_id: UserId::parse(KAY).expect("a user ID"),
        own,
        servers: &names(servers),
        versions,
        details: &Details::default(),
    })
}

#[test]
fn beginnings() {
    const NEW: RoomVersion = RoomVersion::V10;
    for (own, expected) in [
        (None, Start::Local),
        (Some(Membership::Leave), Start::Local),
        (Some(Membership::Knock), Start::Local),
        (Some(Membership::Join), Start::Failed(Failure::OwnMembership { membership: Membership::Join })),
        (Some(Membership::Invite), Start::Failed(Failure::OwnMembership { membership: Membership::Invite })),
        (Some(Membership::Ban), Start::Failed(Failure::OwnMembership { membership: Membership::Ban })),
    ] {
        for servers in [&[][..], &BOTH] {
            assert_eq!(start(OwnMembership::InRoom(own), servers, &[NEW]), expected, "{own:?}");
        }
    }
    let outside = OwnMembership::OutOfBand;
    for nobody in [&[][..], &["k.example"], &["k.example"; MAX_SERVERS + 1]] {
        assert_eq!(start(outside, nobody, &[NEW]), Start::Failed(Failure::NoServers), "{nobody:?}");
    }
    // What is no server name cannot be asked for.
    for malformed in ["", "a b", "a.example:", "@x:a.example", "not a name", "-x-:y"] {
        assert_eq!(malformed.parse::<OwnedServerName>(), Err(IdError::ServerName), "{malformed}");
    }
    for old in [&[][..], &[RoomVersion::V1, RoomVersion::V6]] {
        assert_eq!(start(outside, &BOTH, old), Start::Failed(Failure::NoVersions));
    }
}

/// At most 20 servers, in order, each once, and not the knocking server.
#[test]
fn who_is_asked() {
    let many: Vec<String> = (1..=30).map(|number| format!("s{number}.example")).collect();
    let mut servers = vec!["k.example"];
    for name in &many {
        servers.extend([name.as_str(), "k.example", "s1.example"]);
    }
    let walk = run(machine("!r:a.example", &servers, &details()), Memory::Keeps, |_, _| None);
    assert_eq!(walk.outcome, Err(Failed::from(Failure::NoAnswer)));
    let expected: Vec<String> = many.iter().take(20).map(|server| format!("{server} make_knock")).collect();
    assert_eq!((walk.asked, MAX_SERVERS), (expected, 20));
    // A name with a port is another server than the one without; the case of letters counts.
    let servers = ["k.example:8448", "K.example", "a.example", "a.example:443", "[::1]:80", "1.2.3.4"];
    let walk = run(machine("!r:a.example", &servers, &details()), Memory::Keeps, |_, _| None);
    assert_eq!(walk.asked, servers.map(|server| format!("{server} make_knock")));
}

/// What the client gets, whole.
#[test]
fn responses() {
    for (failure, status, body) in [
        (Failure::NoServers, 404, r#"{"errcode":"M_NOT_FOUND","error":"No server is known that is in the room"}"#),
        (Failure::NoVersions, 403, r#"{"errcode":"M_FORBIDDEN","error":"This server does not have knocking"}"#),
        (
            Failure::OwnMembership { membership: Membership::Join },
            403,
            r#"{"errcode":"M_FORBIDDEN","error":"You are in the room already"}"#,
        ),
        (
            Failure::OwnMembership { membership: Membership::Invite },
            403,
            r#"{"errcode":"M_FORBIDDEN","error":"You are invited to the room already"}"#,
        ),
        (
            Failure::OwnMembership { membership: Membership::Ban },
            403,
            r#"{"errcode":"M_FORBIDDEN","error":"You are banned from the room"}"#,
        ),
        (Failure::TooLarge, 413, r#"{"errcode":"M_TOO_LARGE","error":"The reason or the name is too long"}"#),
        (
            Failure::IncompatibleRoomVersion { room_version: "org.\"x\"".to_owned() },
            400,
            concat!(
                r#"{"errcode":"M_INCOMPATIBLE_ROOM_VERSION","#,
                r#""error":"This server does not have the version of the room","room_version":"org.\"x\""}"#
            ),
        ),
        (Failure::Forbidden, 403, r#"{"errcode":"M_FORBIDDEN","error":"The room does not allow it"}"#),
        (limited(None), 429, r#"{"errcode":"M_LIMIT_EXCEEDED","error":"Too many requests"}"#),
        (
            limited(Some(2001)),
            429,
            r#"{"errcode":"M_LIMIT_EXCEEDED","error":"Too many requests","retry_after_ms":2001}"#,
        ),
        (Failure::NotFound, 404, r#"{"errcode":"M_NOT_FOUND","error":"Unknown room"}"#),
        (
            Failure::NoKnocking,
            404,
            r#"{"errcode":"M_UNRECOGNIZED","error":"The servers of the room do not have knocking"}"#,
        ),
        (
            refused_with_403("M_USER_DEACTIVATED"),
            403,
            r#"{"errcode":"M_USER_DEACTIVATED","error":"A server of the room refused it"}"#,
        ),
        (
            Failure::Refused { status: 403, errcode: None },
            502,
            r#"{"errcode":"M_UNKNOWN","error":"A server of the room refused it"}"#,
        ),
        (
            Failure::Refused { status: 400, errcode: Some("M_INVALID_PARAM".into()) },
            502,
            r#"{"errcode":"M_UNKNOWN","error":"A server of the room refused it"}"#,
        ),
        (Failure::NoAnswer, 502, r#"{"errcode":"M_UNKNOWN","error":"No server of the room could be asked"}"#),
    ] {
        let response = failure.to_response();
        let retry_after = if failure == limited(Some(2001)) { Some(3) } else { None };
        assert_eq!((response.status(), response.to_string()), (status, body.to_owned()));
        assert_eq!(response.retry_after(), retry_after);
    }
}
