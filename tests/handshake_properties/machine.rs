//! The knocking server's machines, driven by hosts and servers that do anything in any order, beside a model that knows
//! no states.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use matrix_knock::RoomVersion;
use matrix_knock::id::{OwnedServerName, UserId};
use matrix_knock::knocking::{Departure, Details, Failure, MAX_SERVERS, Retracted, Retracting, Start};
use matrix_knock::machine::Machine as _;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::TestRunner;
use serde_json::json;

use crate::hostile::{hostile, keys, values};
use crate::model::{Exchange, Now, Purpose, Response};
use crate::room::{HOME, KAY, NOW, Room, names};
use crate::stage::{KINDS, Machine, Stage, Step, knock, pending};

#[derive(Debug, Clone)]
struct Play {
    version: RoomVersion,
    what: What,
    servers: Vec<String>,
    versions: Vec<RoomVersion>,
    details: Details,
    now: u64,
    steps: Vec<Step>,
    /// What the host does when there are no more steps.
    rest: Step,
}

/// What the user does.
#[derive(Debug, Clone, Copy)]
enum What {
    Knock,
    /// Takes back a knock.
    Retract,
    /// Declines an invite.
    Decline,
}

/// Other servers, and this server itself, which is passed over.
const NAMES: [&str; 7] = ["a.example", "c.example:8448", "[::1]:80", "192.0.2.1", "D.example", "d.example", HOME];

fn refusals() -> impl Strategy<Value = Step> {
    let version = prop_oneof![select(vec!["6", "10", "org.example.v1", "\"\n"]).prop_map(str::to_owned), "\\PC{0,3}"];
    let retry_after = prop_oneof![Just(json!(null)), (0..1_u64 << 53).prop_map(|time| json!(time)), Just(json!(-1))];
    let errcode = prop_oneof![
        4 => select(vec!["M_INCOMPATIBLE_ROOM_VERSION", "M_FORBIDDEN", "M_LIMIT_EXCEEDED", "M_UNKNOWN"]),
        3 => select(vec!["M_NOT_FOUND", "M_UNRECOGNIZED"]),
        1 => select(vec!["M_TOO_LARGE", "M_USER_SUSPENDED", "M_BAD_STATE", "ORG.X", ""]),
    ];
    let extra = prop_oneof![2 => Just(json!({})), 1 => btree_map(keys(), values(), 0..3).prop_map(|it| json!(it))];
    let body = (errcode, version, retry_after, extra).prop_map(|(errcode, version, retry_after, mut body)| {
        body["errcode"] = json!(errcode);
        body["error"] = json!("no");
        body["room_version"] = json!(version);
        body["retry_after_ms"] = retry_after;
        body.to_string()
    });
    let body = prop_oneof![3 => body.clone(), 2 => (body, hostile()).prop_map(|(body, hostile)| hostile.body(&body))];
    let status = prop_oneof![
        5 => select(vec![400, 403, 404, 405, 429]),
        1 => select(vec![0, 100, 199, 201, 204, 301, 401, 408, 413, 499, 500, 502, 503, 504, 599, u16::MAX]),
        1 => any::<u16>(),
    ];
    let headers = vec!["0", "7", " 120 ", "-1", "", "1.5", "Wed, 21 Oct 2026 07:28:00 GMT", "+7", "7s"];
    let header = select([headers, vec!["18446744073709551", "18446744073709551615", "99999999999999999999"]].concat());
    let header = prop_oneof![4 => Just(None), 1 => header.prop_map(|header| Some(header.to_owned()))];
    (status, header, body).prop_map(|(status, retry_after, body)| Step::Refusal(Response { status, retry_after, body }))
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => Just(Step::Honest),
        4 => prop_oneof![Just(None), select(vec![201, 202, 301, 500, 502, 504]).prop_map(Some)].prop_map(Step::Lost),
        1 => Just(Step::Silent),
        3 => refusals(),
        3 => hostile().prop_map(Step::Hostile),
        2 => (any::<Index>(), select(KINDS.to_vec())).prop_map(|(which, kind)| Step::Stale(which, kind)),
        1 => any::<Index>().prop_map(Step::WrongKind),
        // Key IDs of the grammar, and others that servers have.
        1 => prop_oneof!["ed25519:[a-zA-Z0-9_]{1,9}", "ed25519:[!#-+\\--\\[\\]-~]{1,247}"].prop_map(Step::OddKeyId),
        1 => Just(Step::Resume),
    ]
}

/// Knocks that a server took without a word, which seldom come about by chance.
fn beginnings() -> impl Strategy<Value = Vec<Step>> {
    let lost = [Step::Honest, Step::Honest, Step::Lost(None)];
    prop_oneof![3 => Just(Vec::new()), 1 => refusals().prop_map(move |then| [&lost[..], &[then]].concat())]
}

fn details() -> impl Strategy<Value = Details> {
    let text = prop_oneof![
        20 => Just(None),
        20 => "[\\PC\u{0}-\u{1f}\"\\\\]{0,8}".prop_map(Some),
        1 => (65_000..66_000_usize).prop_map(|length| Some("x".repeat(length))),
        1 => (20_000..66_000_usize).prop_map(|length| Some("\u{1}".repeat(length / 6))),
    ];
    (text.clone(), text.clone(), text).prop_map(|(reason, displayname, avatar_url)| Details {
        reason,
        displayname,
        avatar_url,
    })
}

fn plays() -> impl Strategy<Value = Play> {
    let [.., v6, v7, v8, _, v10, v11, v12] = RoomVersion::ALL;
    let versions = prop_oneof![4 => Just(RoomVersion::ALL.to_vec()), 1 => vec(select(vec![v6, v7, v10, v12]), 1..4)];
    let name = select(NAMES.to_vec()).prop_map(str::to_owned);
    let many = (18..30_u32).prop_map(|many| (0..many).map(|number| format!("s{number}.example")).collect());
    (
        (
            select(vec![v7, v8, v10, v11, v12]),
            prop_oneof![6 => Just(What::Knock), 1 => Just(What::Retract), 1 => Just(What::Decline)],
        ),
        prop_oneof![20 => vec(name, 1..7), 1 => many],
        (versions, details(), prop_oneof![8 => Just(NOW), 1 => Just(0), 1 => Just(u64::MAX)]),
        (beginnings(), vec(steps(), 0..25)).prop_map(|(first, then)| [first, then].concat()),
        prop_oneof![Just(Step::Honest), Just(Step::Silent), Just(Step::Lost(None))],
    )
        .prop_map(|((version, what), servers, (versions, details, now), steps, rest)| Play {
            version,
            what,
            servers,
            versions,
            details,
            now,
            steps,
            rest,
        })
}

/// Who is asked: each once, in order, and not this server itself.
fn asked<'a>(names: impl Iterator<Item = &'a OwnedServerName>) -> Vec<OwnedServerName> {
    let mut asked: Vec<OwnedServerName> = Vec::new();
    for name in names.filter(|name| **name != *HOME) {
        if !asked.contains(name) {
            asked.push(name.clone());
        }
    }
    asked.truncate(MAX_SERVERS);
    asked
}

/// Plays it to the end, and says how it ended, and which replies came by their parts as well.
fn play(play: &Play) -> (String, BTreeSet<&'static str>) {
    let mut room = Room::new(play.version);
    let names = names(play.servers.iter().map(String::as_str));
    let versions: Vec<_> = play.versions.iter().copied().filter(|version| *version >= RoomVersion::V7).collect();
    let mut details = play.details.clone();
    let mut servers = asked(names.iter());
    let known = [play.version];
    let (machine, purpose) = match play.what {
        What::Retract => {
            let taken = pending(&mut room);
            details = Details { reason: details.reason, ..Details::default() };
            servers = asked([taken.server().into_owned()].iter().chain(names.iter()));
            let machine = Retracting::of_knock(&taken, &names, details.reason.as_deref());
            (Machine::Leave(Box::new(machine)), Purpose::Leave(&known))
        }
        What::Decline => {
            room.invite();
            details = Details { reason: details.reason, ..Details::default() };
            let invited = room.clone();
            let departure = Departure {
                room_id: invited.room_id(),
                user_id: UserId::parse(KAY).unwrap(),
                servers: &names,
                versions: &play.versions,
                reason: details.reason.as_deref(),
            };
            let machine = Retracting::start(&departure);
            if servers.is_empty() {
                assert_eq!(machine.outcome(), Some(Retracted::LocallyOnly { failure: Failure::NoServers }));
                return ("NoServers".to_owned(), BTreeSet::new());
            }
            (Machine::Leave(Box::new(machine)), Purpose::Leave(&play.versions))
        }
        What::Knock => match knock(&room, &names, &play.versions, &details) {
            Start::Remote(machine) => (Machine::Knock(machine), Purpose::Knock(&versions)),
            Start::Local => panic!("this server is not in the room"),
            Start::Failed(failure) => {
                let expected = if versions.is_empty() { Failure::NoVersions } else { Failure::NoServers };
                assert_eq!(failure, expected);
                assert!(versions.is_empty() || servers.is_empty());
                return (format!("{failure:?}"), BTreeSet::new());
            }
        },
    };
    let room_id = room.id.clone();
    let exchange = Exchange { purpose, room_id: &room_id, servers: &servers, details: &details };
    let mut stage = Stage::new(machine, room);
    for step in &play.steps {
        stage.check(&exchange);
        stage.go(step, play.now);
    }
    while !stage.machine.has_ended() {
        stage.check(&exchange);
        stage.go(&play.rest, play.now);
        assert!(
            stage.history.len() <= servers.len() + 2,
            "one request a server, one signature, one event sent twice to one"
        );
    }
    let now = stage.check(&exchange);
    nothing_is_lost(&stage, &now);
    (stage.check_end(&now), stage.typed)
}

/// Said without the model: a knock that is in the room is known to be there, or that it may be.
fn nothing_is_lost(stage: &Stage, now: &Now) {
    let Machine::Knock(machine) = &stage.machine else { return };
    let in_room = stage.room.events.iter().skip(4).map(|(id, _)| id.as_str()).next();
    let outcome = machine.outcome().unwrap();
    let known = outcome.as_ref().map_or_else(|failed| failed.perhaps.as_ref(), Some);
    if let Some(in_room) = in_room {
        assert_eq!(known.map(|knock| knock.event_id()), Some(in_room), "{now:?}");
    }
}

#[test]
fn whatever_is_answered() {
    let cases = ProptestConfig::default().cases.max(1000);
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let ends = RefCell::new(BTreeMap::<String, usize>::new());
    TestRunner::new(config)
        .run(&plays(), |of| {
            let (end, typed) = play(&of);
            for seen in typed.into_iter().map(str::to_owned).chain([end]) {
                *ends.borrow_mut().entry(seen).or_default() += 1;
            }
            Ok(())
        })
        .unwrap();
    let ends = ends.into_inner();
    println!("how {cases} exchanges ended: {ends:#?}");
    for end in [
        "pending",
        "NoServers",
        "NoVersions",
        "TooLarge",
        "IncompatibleRoomVersion",
        "Forbidden",
        "RateLimited",
        "NotFound",
        "NoKnocking",
        "Refused",
        "NoAnswer",
        "Forbidden, perhaps pending",
        "Refused, perhaps pending",
        "RateLimited, perhaps pending",
        "NotFound, perhaps pending",
        "NoKnocking, perhaps pending",
        "NoAnswer, perhaps pending",
        "left",
        "left locally only",
        "by parts: a template",
        "by parts: accepted",
        "by parts: an error",
    ] {
        assert!(ends.contains_key(end), "{end} never came");
    }
}
