//! Knocks that are taken, in every version and join rule, and what becomes of them: accepted, declined, banned, taken back,
//! repeated.

use std::borrow::Cow;

use matrix_knock::RoomVersion;
use matrix_knock::auth::{AuthorizeError, Rule};
use matrix_knock::event::{Membership, event_id};
use matrix_knock::knocking::room_state::VerifiedRoomState;
use matrix_knock::knocking::{Failure, PendingKnock, Retracted};
use matrix_knock::machine::{Endpoint, Machine, Request, Want};
use matrix_knock::resident::{AuthStage, Refusal};
use serde_json::{Value, json};

use super::federation::{A, ALICE, B, BOB, Federation, KAY, event_in, json_of, rooms};
use super::knocker::{
    BOTH, Memory, NOW, Walk, details, knock, knock_state, left, machine, retracting, run, run_retraction,
};

/// What the resident servers say if a rule refuses.
const NOT_ALLOWED: &str = "The room does not allow it";

/// Kay has knocked.
pub(crate) fn pending(federation: &mut Federation) -> PendingKnock {
    knock(federation).outcome.expect("a knock that is taken")
}

/// Where Kay can ask for this change of her membership: before a leave, she has knocked.
pub(crate) fn ready(membership: Membership, version: RoomVersion, join_rule: &str) -> Federation {
    let mut federation = Federation::new(version, join_rule);
    if membership == Membership::Leave {
        pending(&mut federation);
    }
    federation
}

/// By which state and which rule it was refused.
fn rule_of(refusal: Option<&Refusal>) -> Option<(AuthStage, Rule)> {
    match refusal {
        Some(Refusal::Rejected { stage, rejection }) => Some((*stage, rejection.rule())),
        _ => None,
    }
}

fn rejected(found: Result<String, AuthorizeError>) -> Option<Rule> {
    found.err().and_then(|error| error.rejection()).map(|rejection| rejection.rule())
}

/// What the client is shown of the room, and of Kay's own membership.
pub(crate) fn shown(version: RoomVersion, join_rule: &str) -> Vec<String> {
    let creator = if version <= RoomVersion::V10 { r#""creator":"@alice:a.example","# } else { "" };
    let event = |content: String, sender: &str, state_key: &str, event_type: &str| {
        format!(r#"{{"content":{content},"sender":"{sender}","state_key":"{state_key}","type":"{event_type}"}}"#)
    };
    let own = concat!(
        r#"{"avatar_url":"mxc://k.example/kay","displayname":"Kay","membership":"knock","#,
        r#""reason":"Let me in: \"Ö\" 🚪"}"#
    );
    vec![
        event(format!(r#"{{{creator}"room_version":"{version}"}}"#), ALICE, "", "m.room.create"),
        event(format!(r#"{{"join_rule":"{join_rule}"}}"#), ALICE, "", "m.room.join_rules"),
        event(r#"{"name":"Türen"}"#.to_owned(), ALICE, "", "m.room.name"),
        event(own.to_owned(), KAY, KAY, "m.room.member"),
    ]
}

/// The knock that stands in the room, whole.
#[test]
fn a_knock_is_taken() {
    for (version, join_rule) in rooms() {
        let mut federation = Federation::new(version, join_rule);
        let before = federation.room.clone();
        let Walk { outcome, asked, arrival } = knock(&mut federation);
        let pending = outcome.expect("a knock that is taken");
        assert_eq!(asked, ["a.example make_knock", "a.example send_knock"]);

        let room = &federation.room;
        let event = room.events[pending.event_id()].as_str();
        assert_eq!(room.events.len(), before.events.len() + 1);
        assert_eq!(room.tip, pending.event_id());
        assert_eq!(event_in(&room.state(), "m.room.member", KAY), Some(pending.event_id()));
        assert_eq!(event_id(version, event).as_deref(), Ok(pending.event_id()));
        assert_eq!(
            (pending.room_id().as_str(), pending.user_id().as_str(), pending.version(), pending.server().as_str()),
            (room.id.as_str(), KAY, version, A)
        );
        assert_eq!((pending.event().event_id(), pending.event().text()), (pending.event_id(), event));
        assert_eq!(knock_state(&pending), shown(version, join_rule));

        let arrival = arrival.expect("keys were asked for");
        let arrived: Vec<String> = arrival.shown().iter().map(ToString::to_string).collect();
        assert_eq!(arrived, shown(version, join_rule)[..3]);
        assert_eq!((arrival.has_create_event(), arrival.dropped().count()), (true, 0));

        let mut event = json_of(event);
        let signed = event.as_object_mut().expect("an object");
        let (hashes, signatures) = (signed.remove("hashes"), signed.remove("signatures"));
        assert_eq!(hashes.and_then(|it| it.as_object().map(serde_json::Map::len)), Some(1));
        let signers = signatures.and_then(|it| it.as_object().map(|it| it.keys().cloned().collect::<Vec<_>>()));
        assert_eq!(signers, Some(vec!["k.example".to_owned()]));
        let mut auth_events = vec![before.at("m.room.power_levels", ""), before.at("m.room.join_rules", "")];
        if version < RoomVersion::V12 {
            auth_events.insert(0, before.at("m.room.create", ""));
        }
        assert_eq!(
            event,
            json!({
                "auth_events": auth_events,
                "content": {
                    "avatar_url": "mxc://k.example/kay", "displayname": "Kay", "membership": "knock",
                    "reason": "Let me in: \"Ö\" \u{1F6AA}",
                },
                "depth": before.depth + 1,
                "origin": "k.example",
                "origin_server_ts": NOW + 1000,
                "prev_events": [before.tip],
                "room_id": before.id,
                "sender": KAY,
                "state_key": KAY,
                "type": "m.room.member",
            })
        );
    }
}

/// A request as it goes over the wire: server, method, path and query, body.
type OnTheWire = (String, &'static str, String, Option<String>);

fn on_the_wire(request: &Request) -> OnTheWire {
    let body = request.body().map(Cow::into_owned);
    (request.server.to_string(), request.method(), request.path_and_query(), body)
}

/// What goes over the wire, byte for byte.
#[test]
fn the_requests() {
    for (version, join_rule) in rooms() {
        let mut federation = Federation::new(version, join_rule);
        let room_id = match version {
            RoomVersion::V12 => federation.room.id.replacen('!', "%21", 1),
            _ => "%21a%20room%2Fof%3F100%25%26all%3D%C3%B6%3Aa.example".to_owned(),
        };
        let kay = "%40kay%2F%C3%B6%3F%26%2541%20%3D%3Ak.example";
        let machine = machine(&federation.room.id, &BOTH, &details());
        let mut requests = Vec::new();
        let walk = run(machine, Memory::Keeps, |request, now| {
            requests.push(request.clone());
            federation.serve(request, now)
        });
        let pending = walk.outcome.expect("a knock that is taken");
        let versions = "ver=7&ver=8&ver=9&ver=10&ver=11&ver=12";
        let make = format!("/_matrix/federation/v1/make_knock/{room_id}/{kay}?{versions}");
        let event_id = pending.event_id().replacen('$', "%24", 1);
        let send = format!("/_matrix/federation/v1/send_knock/{room_id}/{event_id}");
        let expected: [OnTheWire; 2] =
            [(A.to_owned(), "GET", make, None), (A.to_owned(), "PUT", send, Some(pending.event().text().to_owned()))];
        assert_eq!(requests.iter().map(on_the_wire).collect::<Vec<_>>(), expected);
        let endpoints: Vec<Endpoint> = requests.into_iter().map(|request| request.endpoint).collect();
        let (room, user) = (pending.room_id().into_owned(), pending.user_id().into_owned());
        let versions = RoomVersion::ALL[6..].to_vec();
        let make = Endpoint::MakeKnock { room_id: room.clone(), user_id: user.clone(), versions };
        let send = Endpoint::SendKnock { room_id: room.clone(), event: pending.event().clone() };
        assert_eq!(endpoints, [make, send]);

        let retracting = retracting(&pending, &BOTH, None);
        let mut requests = Vec::new();
        let walk = run_retraction(retracting, Memory::Keeps, |request, now| {
            requests.push(request.clone());
            federation.serve(request, now)
        });
        let Retracted::InRoom { event, .. } = walk.outcome else { panic!("nobody took it: {walk:?}") };
        let make = format!("/_matrix/federation/v1/make_leave/{room_id}/{kay}");
        let event_id = event.event_id().replacen('$', "%24", 1);
        let send = format!("/_matrix/federation/v2/send_leave/{room_id}/{event_id}");
        let text = federation.room.events[event.event_id()].clone();
        let expected: [OnTheWire; 2] = [(A.to_owned(), "GET", make, None), (A.to_owned(), "PUT", send, Some(text))];
        assert_eq!(requests.iter().map(on_the_wire).collect::<Vec<_>>(), expected);
        let endpoints: Vec<Endpoint> = requests.into_iter().map(|request| request.endpoint).collect();
        let make = Endpoint::MakeLeave { room_id: room.clone(), user_id: user };
        assert_eq!(endpoints, [make, Endpoint::SendLeave { room_id: room, event }]);
    }
}

#[test]
fn accepted() {
    for (version, join_rule) in rooms() {
        for by in [ALICE, BOB] {
            let mut federation = Federation::new(version, join_rule);
            pending(&mut federation);
            let room = &mut federation.room;
            // A knock alone lets nobody in.
            let rule = if join_rule == "knock" { Rule::JoinRule } else { Rule::JoinNotAuthorized };
            assert_eq!(rejected(room.member(KAY, KAY, "join")), Some(rule));
            room.member(by, KAY, "invite").expect("everybody may invite");
            assert_eq!(room.member_content(KAY), Some(json!({ "membership": "invite" })));
            room.member(KAY, KAY, "join").expect("the invited join");
            assert_eq!(room.member_content(KAY), Some(json!({ "membership": "join" })));
        }
    }
}

#[test]
fn declined() {
    for (version, join_rule) in rooms() {
        let mut federation = Federation::new(version, join_rule);
        pending(&mut federation);
        let room = &mut federation.room;
        assert_eq!(rejected(room.member(BOB, KAY, "leave")), Some(Rule::KickPower));
        room.member(ALICE, KAY, "leave").expect("who has the power kicks");
        assert_eq!(room.member_content(KAY), Some(json!({ "membership": "leave" })));
        assert_eq!(rejected(room.member(KAY, KAY, "leave")), Some(Rule::LeaveFromNothing));
    }
}

#[test]
fn banned() {
    for (version, join_rule) in rooms() {
        let mut federation = Federation::new(version, join_rule);
        pending(&mut federation);
        assert_eq!(rejected(federation.room.member(BOB, KAY, "ban")), Some(Rule::BanPower));
        federation.room.member(ALICE, KAY, "ban").expect("who has the power bans");
        assert_eq!(federation.room.member_content(KAY), Some(json!({ "membership": "ban" })));
    }
}

#[test]
fn taken_back() {
    for (version, join_rule) in rooms() {
        for reason in [None, Some("Never mind")] {
            let mut federation = Federation::new(version, join_rule);
            let pending = pending(&mut federation);
            let retracting = retracting(&pending, &[B, A, "k.example"], reason);
            let walk = run_retraction(retracting, Memory::Stores, |request, now| federation.serve(request, now));
            let event_id = federation.room.at("m.room.member", KAY);
            assert_eq!(
                walk,
                Walk {
                    outcome: left(A, &federation.room),
                    asked: vec!["a.example make_leave".to_owned(), "a.example send_leave".to_owned()],
                    arrival: None,
                }
            );
            let content = match reason {
                None => json!({ "membership": "leave" }),
                Some(reason) => json!({ "membership": "leave", "reason": reason }),
            };
            assert_eq!(federation.room.member_content(KAY), Some(content));
            let event = json_of(&federation.room.events[&event_id]);
            assert_eq!(event["prev_events"], json!([pending.event_id()]));
            assert_eq!(event["origin_server_ts"], json!(NOW + 1500));
            let names_the_knock =
                |ids: &Value| ids.as_array().is_some_and(|ids| ids.contains(&json!(pending.event_id())));
            assert!(names_the_knock(&event["auth_events"]));
        }
    }
}

/// What was answered before it could be taken back, is over: the leave is refused, and stays with the client.
#[test]
fn taken_back_too_late() {
    for (version, join_rule) in rooms() {
        for answer in ["leave", "ban"] {
            let mut federation = Federation::new(version, join_rule);
            let pending = pending(&mut federation);
            federation.room.member(ALICE, KAY, answer).expect("an answer");
            let before = federation.room.events.len();
            let retracting = retracting(&pending, &BOTH, None);
            let walk = run_retraction(retracting, Memory::Keeps, |request, now| federation.serve(request, now));
            assert_eq!(walk.outcome, Retracted::LocallyOnly { failure: Failure::Forbidden });
            assert_eq!(walk.asked, ["a.example make_leave", "b.example make_leave"]);
            let rule = rule_of(federation.refusal.as_ref());
            assert_eq!(rule, Some((AuthStage::CurrentState, Rule::LeaveFromNothing)));
            assert_eq!(federation.room.events.len(), before);
        }
        // Whoever is invited declines by the same leave.
        let mut federation = Federation::new(version, join_rule);
        let pending = pending(&mut federation);
        federation.room.member(BOB, KAY, "invite").expect("an answer");
        let retracting = retracting(&pending, &BOTH, None);
        let walk = run_retraction(retracting, Memory::Keeps, |request, now| federation.serve(request, now));
        assert_eq!(walk.outcome, left(A, &federation.room));
        assert_eq!(federation.room.member_content(KAY), Some(json!({ "membership": "leave" })));
    }
}

/// Once more, from a knock and from a leave of every kind; never from a ban, an invite or a join.
#[test]
fn repeated() {
    for (version, join_rule) in rooms() {
        for (answers, allowed) in [
            (&[][..], true),
            (&[(ALICE, "leave")], true),
            (&[(KAY, "leave")], true),
            (&[(ALICE, "ban"), (ALICE, "leave")], true),
            (&[(BOB, "invite"), (KAY, "leave")], true),
            (&[(BOB, "invite"), (KAY, "join"), (KAY, "leave")], true),
            (&[(ALICE, "ban")], false),
            (&[(BOB, "invite")], false),
            (&[(BOB, "invite"), (KAY, "join")], false),
        ] {
            let mut federation = Federation::new(version, join_rule);
            let first = pending(&mut federation);
            for (sender, membership) in answers {
                federation.room.member(sender, KAY, membership).expect("an answer");
            }
            let before = federation.room.events.len();
            let walk = knock(&mut federation);
            if allowed {
                let second = walk.outcome.expect("a knock that is taken");
                assert_ne!(second.event_id(), first.event_id());
                assert_eq!(federation.room.at("m.room.member", KAY), second.event_id());
                assert_eq!(knock_state(&second), knock_state(&first));
                assert_eq!(walk.asked, ["a.example make_knock", "a.example send_knock"]);
                continue;
            }
            assert_eq!(walk.parts(), Err((&Failure::Forbidden, Some(NOT_ALLOWED), None)), "{answers:?}");
            assert_eq!(walk.asked, ["a.example make_knock", "b.example make_knock"]);
            let rule = rule_of(federation.refusal.as_ref());
            assert_eq!(rule, Some((AuthStage::CurrentState, Rule::KnockMembership)));
            assert_eq!(federation.room.events.len(), before);
        }
    }
}

/// What happens in the room between template and knock: it still comes after the template's events, and is soft-failed.
#[test]
fn overtaken() {
    for (version, join_rule) in rooms() {
        let mut cases = vec![
            ("m.room.member", KAY, json!({ "membership": "ban" }), Rule::KnockMembership),
            ("m.room.member", KAY, json!({ "membership": "invite" }), Rule::KnockMembership),
        ];
        for rule in ["invite", "public", "private", "restricted"] {
            cases.push(("m.room.join_rules", "", json!({ "join_rule": rule }), Rule::KnockJoinRule));
        }
        for (event_type, key, content, rule) in cases {
            let mut federation = Federation::new(version, join_rule);
            let machine = machine(&federation.room.id, &BOTH, &details());
            let walk = run(machine, Memory::Keeps, |request, now| {
                if request.method() == "PUT" {
                    federation.room.send(ALICE, event_type, key, &content).expect("a change");
                }
                federation.serve(request, now)
            });
            assert_eq!(walk.parts(), Err((&Failure::Forbidden, Some(NOT_ALLOWED), None)));
            assert_eq!(walk.asked, ["a.example make_knock", "a.example send_knock"]);
            assert_eq!(rule_of(federation.refusal.as_ref()), Some((AuthStage::CurrentState, rule)));
        }
        // Whatever does not touch on it, does not matter.
        let mut federation = Federation::new(version, join_rule);
        let machine = machine(&federation.room.id, &BOTH, &details());
        let walk = run(machine, Memory::Keeps, |request, now| {
            if request.method() == "PUT" {
                federation.room.send(ALICE, "m.room.topic", "", &json!({ "topic": "Doors" })).expect("a change");
            }
            federation.serve(request, now)
        });
        let pending = walk.outcome.expect("a knock that is taken");
        let mut expected = shown(version, join_rule);
        let topic =
            format!(r#"{{"content":{{"topic":"Doors"}},"sender":"{ALICE}","state_key":"","type":"m.room.topic"}}"#);
        expected.insert(3, topic);
        assert_eq!(knock_state(&pending), expected);
    }
}

/// Join rules that let nobody knock, `knock_restricted` before v10 among them.
#[test]
fn rooms_without_knocking() {
    for (version, _) in rooms() {
        for join_rule in ["public", "invite", "private", "restricted", "knock_restricted", "no such rule"] {
            if join_rule == "knock_restricted" && version >= RoomVersion::V10 {
                continue;
            }
            let mut federation = Federation::new(version, join_rule);
            let walk = knock(&mut federation);
            assert_eq!(walk.parts(), Err((&Failure::Forbidden, Some(NOT_ALLOWED), None)));
            let rule = rule_of(federation.refusal.as_ref());
            assert_eq!(rule, Some((AuthStage::CurrentState, Rule::KnockJoinRule)), "{version} {join_rule}");
        }
    }
    // Versions without knocking at all: the resident server says so first, as they were not offered.
    for version in [RoomVersion::V3, RoomVersion::V4, RoomVersion::V5, RoomVersion::V6] {
        let mut federation = Federation::new(version, "knock");
        let walk = knock(&mut federation);
        let failure = Failure::IncompatibleRoomVersion { room_version: version.to_string() };
        let said = "This server does not have the version of the room";
        assert_eq!(walk.parts(), Err((&failure, Some(said), None)));
        assert_eq!(walk.asked, ["a.example make_knock"]);
        assert_eq!(federation.refusal, Some(Refusal::IncompatibleRoomVersion(version)));
    }
}

/// The first knock and the second are the same event to a server that has it: it says the same.
#[test]
fn the_same_event_twice() {
    for (version, join_rule) in rooms() {
        let mut federation = Federation::new(version, join_rule);
        let machine = machine(&federation.room.id, &BOTH, &details());
        let mut answers = Vec::new();
        let walk = run(machine, Memory::Keeps, |request, now| {
            let answer = federation.serve(request, now);
            if request.method() == "PUT" {
                let events = federation.room.events.len();
                let again = Request { server: B.parse().expect("a server name"), ..request.clone() };
                answers.extend([answer.clone(), federation.serve(&again, now)]);
                assert_eq!(federation.room.events.len(), events);
            }
            answer
        });
        assert!(walk.outcome.is_ok());
        assert_eq!(answers[0], answers[1]);
        assert_ne!(walk.arrival, Some(VerifiedRoomState::default()));
    }
}

/// A machine wants the same however often it is asked, and its ticket is the same.
#[test]
fn asking_changes_nothing() {
    let federation = Federation::new(RoomVersion::V10, "knock");
    let machine = machine(&federation.room.id, &BOTH, &details());
    assert_eq!(machine.want(), machine.want());
    assert!(matches!(machine.want(), (_, Want::Request(_))));
}
