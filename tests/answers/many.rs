//! One answer to many knocks: what may be answered leads into the same pipeline, and comes to the
//! same, one by one.

use matrix_knock::RoomVersion;
use matrix_knock::auth::{CompiledRoom, Rule};
use matrix_knock::event::{Membership, Proposal};
use matrix_knock::id::UserId;
use matrix_knock::pending::{Answer, Answering, NotAnswered};
use matrix_knock::policy::PolicyVerdict;
use matrix_knock::resident::Decision;
use matrix_knock::resident::answer::{Action, AnswerRequest, Answered};
use matrix_knock::template::Details;

use crate::room::{ALICE, BOB, HERE, KAY, Room, THEN, key, versions};

/// All who are asked about, in this order, and what they are.
const ASKED: [(&str, Option<&str>); 8] = [
    (KAY, Some("knock")),
    ("@lee:a.example", Some("knock")),
    ("@high:b.example", Some("knock")),
    ("@invited:b.example", Some("invite")),
    ("@banned:a.example", Some("ban")),
    ("@gone:c.example", Some("leave")),
    ("@nobody:c.example", None),
    (BOB, Some("join")),
];

#[derive(Debug, PartialEq, Eq)]
enum Expected {
    Answered,
    NotKnocking,
    ByRule(Rule),
}

/// Alice has 100, Mo 50 and is joined, Bob has nothing; `@high` has 50.
fn expected(answer: Answer, sender: &str, knocker: &str, membership: Option<&str>) -> Expected {
    if membership != Some("knock") {
        return Expected::NotKnocking;
    }
    let outranked = sender == MO && knocker == "@high:b.example";
    match answer {
        Answer::Accept if sender == BOB => Expected::ByRule(Rule::InvitePower),
        Answer::Accept => Expected::Answered,
        Answer::Decline if sender == BOB || outranked => Expected::ByRule(Rule::KickPower),
        Answer::Ban if sender == BOB || outranked => Expected::ByRule(Rule::BanPower),
        Answer::Decline | Answer::Ban => Expected::Answered,
    }
}

const MO: &str = "@mo:a.example";

fn room(version: RoomVersion, join_rule: &str) -> Room {
    let mut room = Room::new(version, join_rule);
    room.levels(serde_json::json!({ MO: 50, "@high:b.example": 50 }));
    room.member(ALICE, MO, "invite");
    room.member(MO, MO, "join");
    for (user, membership) in ASKED {
        match membership {
            Some(membership @ ("invite" | "ban")) => drop(room.member(ALICE, user, membership)),
            Some(membership) if user != BOB => drop(room.member(user, user, membership)),
            Some(_) | None => {}
        }
    }
    room
}

#[test]
fn all_at_once_and_one_by_one() {
    let mut cells = 0;
    for &version in versions() {
        for join_rule in ["knock", "knock_restricted", "restricted", "invite", "public"] {
            let room = room(version, join_rule);
            for answer in Answer::ALL {
                for sender in [ALICE, MO, BOB] {
                    check(&room, answer, sender);
                    cells += ASKED.len();
                }
            }
        }
    }
    assert_eq!(cells, 6 * 5 * 3 * 3 * 8);
}

fn check(room: &Room, answer: Answer, sender: &str) {
    let state = room.state();
    let compiled = CompiledRoom::compile(room.version, &state).unwrap();
    let answers = Answering::new(&compiled, &state).all(answer, sender, ASKED.map(|(user, _)| user));
    let mut events = answers.events.iter();
    let mut refused = answers.refused.iter();
    for (knocker, membership) in ASKED {
        let one_by_one = AnswerRequest::new(answer.into(), user(sender), user(knocker));
        let found = one_by_one.check(&room.resident(), &state);
        let expected = expected(answer, sender, knocker, membership);
        if expected == Expected::Answered {
            let Proposal { sender: by, target, membership } = events.next().unwrap();
            assert_eq!((*by, *target, *membership), (sender, knocker, answer.membership()));
            assert_eq!(found.map(drop), Ok(()));
            continue;
        }
        let why = refused.next().unwrap();
        assert_eq!(why.knocker, knocker);
        let found = found.unwrap_err();
        match &why.why {
            NotAnswered::NotKnocking => {
                assert_eq!(expected, Expected::NotKnocking);
                assert_eq!(found, matrix_knock::resident::Refusal::NothingToAnswer { expected: Membership::Knock });
            }
            NotAnswered::Rejected(rejection) => {
                assert_eq!((expected, rejection.version()), (Expected::ByRule(rejection.rule()), room.version));
                let stage = matrix_knock::resident::AuthStage::CurrentState;
                assert_eq!(found, matrix_knock::resident::Refusal::Rejected { stage, rejection: *rejection });
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((events.next(), refused.next()), (None, None));
}

fn user(user: &str) -> UserId<'_> {
    UserId::parse(user).unwrap()
}

/// Many in a row, each event behind the one before: no answer changes what may be answered next.
#[test]
fn the_whole_queue() {
    const KNOCKERS: usize = 100;
    for &version in versions() {
        for answer in Answer::ALL {
            let mut room = Room::new(version, "knock");
            let knockers: Vec<_> = (0..KNOCKERS).map(|number| format!("@k{number}:a.example")).collect();
            knockers.iter().for_each(|knocker| drop(room.member(knocker, knocker, "knock")));
            let events = {
                let state = room.state();
                let compiled = CompiledRoom::compile(version, &state).unwrap();
                let answers = Answering::new(&compiled, &state).all(answer, ALICE, knockers.iter().map(String::as_str));
                assert_eq!(answers.refused, []);
                answers.events.iter().map(|event| event.target.to_owned()).collect::<Vec<_>>()
            };
            assert_eq!(events, knockers);
            for target in events {
                let request = AnswerRequest::new(Action::from(answer), user(ALICE), user(&target));
                let event = {
                    let state = room.state();
                    let approved = request.check(&room.resident(), &state).unwrap().decide(Decision::Admit).unwrap();
                    let event = approved.sign(&state, &Details::default(), &[room.last()], THEN, &key(HERE)).unwrap();
                    event.accept(&state, PolicyVerdict::NotNamed).unwrap()
                };
                let Answered::Append(event) = event else { panic!("a local knocker: {event:?}") };
                assert_eq!(event.also_to(), None);
                room.take(event.event());
            }
            for knocker in &knockers {
                assert_eq!(room.membership(knocker).as_deref(), Some(answer.membership().as_str()));
            }
        }
    }
}
