//! Every answer to every membership, beside a table that was written from the specification's rules
//! of `m.room.member`.
//!
//! <https://spec.matrix.org/v1.19/rooms/v12/#authorisation-rules>

use std::collections::BTreeSet;

use matrix_knock::auth::Rule;
use matrix_knock::event::{Membership, SignedEvent};
use matrix_knock::id::UserId;
use matrix_knock::knocking::out_of_band::{Acceptance, Msc4233Denial, NoAnswer, ReceivedInvite, Revocation, SentKnock};
use matrix_knock::machine::{Endpoint, Machine as _, Reply, Want};
use matrix_knock::policy::PolicyVerdict;
use matrix_knock::receipt::Outcome;
use matrix_knock::resident::answer::{Action, AnswerRequest, Answered, Reason};
use matrix_knock::resident::{AuthStage, Refusal, Residence, ResidentRoom};
use matrix_knock::template::Details;
use matrix_knock::wire::HttpResponse;
use matrix_knock::{Ed25519, RoomVersion};
use serde_json::{Value, json};

use crate::knocker::{countersign, id, whole};
use crate::room::{ALICE, ANSWERS, AllKeys, BOB, HERE, KAY, Room, THEN, THERE, name, versions};

/// A local target, and somebody with a level of 100 who is not in the room.
const LEE: &str = "@lee:a.example";
const GONE: &str = "@gone:a.example";
const NOW: u64 = THEN + 60_000;

const JOIN_RULES: [&str; 5] = ["knock", "knock_restricted", "restricted", "invite", "public"];
const BEFORE: [Option<&str>; 6] = [None, Some("invite"), Some("join"), Some("knock"), Some("leave"), Some("ban")];

/// What an action makes of what; the memberships by name.
const fn action(action: Action) -> (&'static str, &'static str) {
    match action {
        Action::Accept => ("knock", "invite"),
        Action::Decline => ("knock", "leave"),
        Action::Ban => ("knock", "ban"),
        Action::Revoke => ("invite", "leave"),
        Action::Unban => ("ban", "leave"),
        Action::Invite => panic!("no answer"),
    }
}

/// By name, as in the specification.
fn membership(name: &str) -> Membership {
    match name {
        "invite" => Membership::Invite,
        "join" => Membership::Join,
        "knock" => Membership::Knock,
        "leave" => Membership::Leave,
        "ban" => Membership::Ban,
        other => panic!("{other}"),
    }
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    version: RoomVersion,
    action: Action,
    sender: &'static str,
    target: &'static str,
    before: Option<&'static str>,
    target_level: i64,
}

/// The level of a user; a creator of v12 has one above all.
fn level(version: RoomVersion, user: &str, target: &str, target_level: i64) -> i64 {
    match user {
        ALICE if version == RoomVersion::V12 => i64::MAX,
        ALICE | GONE => 100,
        user if user == target => target_level,
        _ => 0,
    }
}

/// The first rule that refuses. All levels that it takes are 50.
fn refused_by(cell: Cell) -> Option<Rule> {
    let Cell { version, sender, target, target_level, .. } = cell;
    let is_joined = [ALICE, BOB].contains(&sender);
    let [own, other] = [sender, target].map(|user| level(version, user, target, target_level));
    match cell.action {
        // "If the sender's current membership state is not join, reject." "If the sender's power
        // level is greater than or equal to the invite level, allow. Otherwise, reject."
        Action::Accept | Action::Invite if !is_joined => Some(Rule::InviterNotJoined),
        Action::Accept | Action::Invite => (own < 50).then_some(Rule::InvitePower),
        // "… greater than or equal to the ban level, and the target user's power level is less than
        // the sender's …"
        Action::Ban if !is_joined => Some(Rule::BannerNotJoined),
        Action::Ban => (own < 50 || other >= own).then_some(Rule::BanPower),
        Action::Decline | Action::Revoke | Action::Unban if !is_joined => Some(Rule::KickerNotJoined),
        // "If the target user's current membership state is ban, and the sender's power level is
        // less than the ban level, reject."
        Action::Unban if own < 50 => Some(Rule::UnbanPower),
        Action::Decline | Action::Revoke | Action::Unban => (own < 50 || other >= own).then_some(Rule::KickPower),
    }
}

/// By name, since a rejection is made by the library only.
#[derive(Debug, PartialEq, Eq)]
enum Refused {
    NothingToAnswer(Membership),
    ByRule(AuthStage, Rule, RoomVersion),
    NotInRoom,
    PartialState,
}

fn refused(refusal: Refusal) -> Refused {
    let response = refusal.to_response();
    assert_eq!((response.status(), response.errcode().as_str()), wire(&refusal), "{refusal}");
    match refusal {
        Refusal::NothingToAnswer { expected } => Refused::NothingToAnswer(expected),
        Refusal::Rejected { stage, rejection } => {
            assert_eq!(rejection.malformed(), None);
            Refused::ByRule(stage, rejection.rule(), rejection.version())
        }
        Refusal::NotInRoom => Refused::NotInRoom,
        Refusal::PartialState => Refused::PartialState,
        other => panic!("{other:?}"),
    }
}

const fn wire(refusal: &Refusal) -> (u16, &'static str) {
    match refusal {
        Refusal::NotInRoom | Refusal::PartialState => (404, "M_NOT_FOUND"),
        _ => (403, "M_FORBIDDEN"),
    }
}

fn expected(cell: Cell) -> Option<Refused> {
    let (answers, _) = action(cell.action);
    let by_oneself = cell.sender == cell.target;
    let nothing = || Some(Refused::NothingToAnswer(membership(answers)));
    let by_rule = |rule| Some(Refused::ByRule(AuthStage::CurrentState, rule, cell.version));
    // Who is in the room sees who knocks there. Others are told the rule only.
    let is_joined = if by_oneself { cell.before == Some("join") } else { [ALICE, BOB].contains(&cell.sender) };
    if is_joined && (by_oneself || cell.before != Some(answers)) {
        return nothing();
    }
    match (by_oneself, cell.action, cell.before) {
        // "If membership state is invite, knock or join, allow": the rules let users leave, but that is no answer.
        (true, Action::Decline | Action::Revoke | Action::Unban, Some("invite" | "knock")) => nothing(),
        (true, Action::Decline | Action::Revoke | Action::Unban, _) => by_rule(Rule::LeaveFromNothing),
        (true, Action::Accept | Action::Ban | Action::Invite, _) | (false, _, _) => by_rule(refused_by(cell)?),
    }
}

/// The room with the target's membership and level in it.
fn arranged(mut room: Room, target: &str, before: Option<&str>, target_level: i64) -> Room {
    room.levels(json!({ GONE: 100, target: target_level }));
    if let Some(before) = before {
        let by_themselves = ["join", "knock"].contains(&before);
        room.member(if by_themselves { target } else { ALICE }, target, before);
    }
    room
}

fn details() -> Details {
    Details { reason: Some("Für \"alle\"".to_owned()), ..Details::default() }
}

/// The event without what is computed from it.
fn check_event(event: &SignedEvent, cell: Cell, room: &Room) {
    let state = room.state();
    let at = |event_type: &str, key: &str| {
        use matrix_knock::event::Event as _;
        use matrix_knock::state::RoomState as _;
        let found = state.event(event_type.into(), key).unwrap();
        found.and_then(|event| event.event_id().map(str::to_owned))
    };
    let mut named = BTreeSet::from([at("m.room.power_levels", ""), at("m.room.member", cell.sender)]);
    named.extend([at("m.room.member", cell.target)]);
    named.extend((cell.version < RoomVersion::V12).then(|| at("m.room.create", "")));
    named.extend((cell.action == Action::Accept).then(|| at("m.room.join_rules", "")));

    let mut found: Value = event.text().parse().unwrap();
    let object = found.as_object_mut().unwrap();
    let auth_events = object.remove("auth_events").unwrap();
    let auth_events: Vec<_> = auth_events.as_array().unwrap().iter().map(|id| id.as_str().map(str::to_owned)).collect();
    assert_eq!((auth_events.len(), auth_events.into_iter().collect()), (named.len(), named), "{cell:?}");
    assert_eq!(object.remove("hashes").unwrap().as_object().unwrap().len(), 1);
    let signatures = object.remove("signatures").unwrap();
    let servers: Vec<_> = signatures.as_object().unwrap().keys().cloned().collect();
    let is_countersigned = cell.action == Action::Accept && cell.target == KAY;
    assert_eq!(servers, if is_countersigned { &[HERE, THERE][..] } else { &[HERE] });
    let (_, membership) = action(cell.action);
    assert_eq!(
        found,
        json!({
            "type": "m.room.member", "room_id": room.id, "sender": cell.sender, "state_key": cell.target,
            "content": { "membership": membership, "reason": "Für \"alle\"" }, "origin": HERE, "origin_server_ts": NOW,
            "depth": room.events.len() + 1, "prev_events": [room.events.last().unwrap().0],
        })
    );
}

/// The knocker's server signs, and ours takes its answer: the event that may be appended.
fn countersigned(room: &Room, invite: matrix_knock::resident::answer::UnsignedInvite) -> SignedEvent {
    let ours = invite.event().clone();
    let mut inviting = room.invite(invite);
    let (ticket, Want::Request(request)) = inviting.want() else { panic!("no request") };
    assert_eq!(request.server, name(THERE));
    let Endpoint::Invite { room_id, room_version, event, invite_room_state } = &request.endpoint else {
        panic!("{request:?}")
    };
    assert_eq!((room_id.as_str(), *room_version, event), (&*room.id, room.version, &ours));
    let types: Vec<String> =
        invite_room_state.iter().map(|text| text.parse::<Value>().unwrap()["type"].as_str().unwrap().into()).collect();
    assert_eq!(types, ["m.room.create", "m.room.join_rules", "m.room.name", "m.room.member"]);
    let (knock, _) = room.events.last().unwrap();
    let sent = SentKnock {
        room_id: room.room_id(),
        user_id: UserId::parse(KAY).unwrap(),
        event_id: id(knock),
        version: room.version,
        current: Some(id(knock)),
        through: Some(name(HERE)),
    };
    let (acceptance, accepted) = countersign(&request, Some(&sent)).unwrap();
    assert_eq!(acceptance, Some(Ok(Acceptance::LinkedByAuthEvents)));
    assert_eq!(inviting.outcome(), None);
    let response = accepted.to_response();
    assert_eq!(inviting.reply(ticket, Reply::from(HttpResponse::new(200, &response)), NOW), Ok(()));
    let (ticket, Want::Keys(_)) = inviting.want() else { panic!("no keys") };
    assert_eq!(inviting.outcome(), None);
    inviting.keys(ticket, &AllKeys, &Ed25519, NOW).unwrap();
    let countersigned = inviting.outcome().unwrap().unwrap();

    // Ours and one signature more.
    let mut text: Value = countersigned.event().text().parse().unwrap();
    assert!(text["signatures"].as_object_mut().unwrap().remove(THERE).is_some());
    assert_eq!(text, ours.text().parse::<Value>().unwrap());
    assert_eq!(accepted.event().text(), countersigned.event().text());
    let state = room.look_up(&countersigned.reads());
    countersigned.accept(&state).unwrap()
}

/// What the target's server makes of an event of a room that it is not in: believes it or not.
fn believed(room: &Room, event: &SignedEvent, cell: Cell) {
    let before = id(&room.events.last().unwrap().0);
    let (room_id, user_id, version) = (room.room_id(), UserId::parse(KAY).unwrap(), room.version);
    let knock =
        SentKnock { room_id, user_id, event_id: before, version, current: Some(before), through: Some(name(HERE)) };
    let invite =
        ReceivedInvite { room_id, user_id, event_id: before, version, current: Some(before), inviter: name(HERE) };
    let found = whole(version, event.text(), |event| {
        (knock.msc4233_denial(event, name(HERE)), invite.revocation(event, name(HERE)))
    });
    let (_, after) = action(cell.action);
    let expected = match after {
        "leave" => (Ok(Msc4233Denial::Declined), Ok(Revocation::Revoked)),
        "ban" => (Ok(Msc4233Denial::Banned), Ok(Revocation::Banned)),
        _ => (Err(NoAnswer::NeitherLeaveNorBan), Err(NoAnswer::NeitherLeaveNorBan)),
    };
    assert_eq!(found, expected);
}

fn check(cell: Cell, room: &mut Room) -> bool {
    let answer = (cell.action, cell.sender, cell.target);
    let signed = match (room.answer(answer, &details(), NOW), expected(cell)) {
        (Err(refusal), Some(expected)) => {
            assert_eq!(refused(refusal), expected, "{cell:?}");
            return false;
        }
        (Ok(signed), None) => signed,
        (found, expected) => panic!("{cell:?}: {found:?}, not {expected:?}"),
    };
    let (id, text) = (signed.event_id().to_owned(), signed.text().to_owned());
    let is_remote = cell.target == KAY;
    let event = match room.accept(signed, PolicyVerdict::NotNamed).unwrap() {
        Answered::Invite(invite) => {
            assert!(is_remote && cell.action == Action::Accept, "{cell:?}");
            assert_eq!((invite.target().as_str(), invite.event().text()), (cell.target, &*text));
            countersigned(room, invite)
        }
        Answered::Append(answer) => {
            let reason = match cell.action {
                Action::Decline | Action::Ban if is_remote => Some(Reason::KnockDenied),
                Action::Revoke if is_remote => Some(Reason::InviteRevoked),
                Action::Accept | Action::Invite if is_remote => panic!("{cell:?}: nobody has countersigned it"),
                Action::Accept | Action::Invite | Action::Decline | Action::Ban | Action::Revoke | Action::Unban => {
                    None
                }
            };
            let also_to = answer.also_to().map(|reach| (reach.server.as_str(), reach.reason));
            assert_eq!(also_to, reason.map(|reason| (THERE, reason)), "{cell:?}");
            assert_eq!(answer.event().text(), text);
            answer.into_event()
        }
    };
    assert_eq!(event.event_id(), id);
    check_event(&event, cell, room);
    if is_remote {
        believed(room, &event, cell);
    }
    // Another server of the room takes it.
    let events = room.events.len();
    assert_eq!(room.receive(event.text(), [events; 2], PolicyVerdict::NotNamed), Outcome::Accepted(None), "{cell:?}");
    room.take(&event);
    assert_eq!(room.membership(cell.target).as_deref(), Some(action(cell.action).1));
    room.events.pop();
    true
}

#[test]
fn every_answer() {
    let (mut cells, mut allowed) = (0, 0);
    for &version in versions() {
        for join_rule in JOIN_RULES {
            let room = Room::new(version, join_rule);
            for (target, senders) in [(KAY, &[ALICE, BOB, GONE][..]), (LEE, &[ALICE, BOB, GONE, LEE])] {
                for before in BEFORE {
                    for target_level in [0, 100] {
                        let mut room = arranged(room.clone(), target, before, target_level);
                        for action in ANSWERS {
                            for &sender in senders {
                                let cell = Cell { version, action, sender, target, before, target_level };
                                allowed += usize::from(check(cell, &mut room));
                                cells += 1;
                            }
                        }
                    }
                }
            }
        }
    }
    assert_eq!(cells, 6 * 5 * 6 * 2 * 5 * (3 + 4));
    // Alice answers each of the five from the one membership that it answers; beside who has 100 as
    // she has, before v12, only to accept.
    assert_eq!(allowed, 5 * 2 * (5 * (5 + 1) + (5 + 5)));
}

/// What this server must be, before anything else is looked at.
#[test]
fn residence() {
    let mut cells = 0;
    for &version in versions() {
        let room = Room::new(version, "knock");
        for (residence, expected) in
            [(Residence::Left, Refused::NotInRoom), (Residence::PartialState, Refused::PartialState)]
        {
            for action in ANSWERS {
                for before in BEFORE {
                    let room = arranged(room.clone(), KAY, before, 0);
                    let [alice, kay] = [ALICE, KAY].map(|user| UserId::parse(user).unwrap());
                    let asked = AnswerRequest::new(action, alice, kay);
                    let found = asked.check(&ResidentRoom { residence, ..room.resident() }, &room.state());
                    assert_eq!(refused(found.unwrap_err()), expected);
                    cells += 1;
                }
            }
        }
    }
    assert_eq!(cells, 6 * 2 * 5 * 6);
}

/// The target's membership changes while the event is signed, and while the policy server or the
/// target's server is asked.
#[test]
fn the_room_changes_meanwhile() {
    let mut cells = 0;
    for &version in versions() {
        let room = Room::new(version, "knock");
        for action_of in ANSWERS {
            let (answers, _) = action(action_of);
            let room = arranged(room.clone(), KAY, Some(answers), 0);
            let signed = room.answer((action_of, ALICE, KAY), &details(), NOW).unwrap();
            for after in BEFORE.into_iter().flatten() {
                let mut changed = room.clone();
                changed.member(if ["join", "knock"].contains(&after) { KAY } else { ALICE }, KAY, after);
                let nothing = Refused::NothingToAnswer(membership(answers));
                // The rules are asked first: nobody invites who is joined or banned.
                let by_rule = (action_of == Action::Accept && ["join", "ban"].contains(&after))
                    .then_some(Refused::ByRule(AuthStage::CurrentState, Rule::InviteOfJoinedOrBanned, version));
                let expected = (after != answers).then(|| by_rule.unwrap_or(nothing));
                let found = changed.accept(signed.clone(), PolicyVerdict::NotNamed);
                assert_eq!(found.err().map(refused), expected, "{version} {action_of:?} {after}");

                if let Ok(Answered::Invite(invite)) = room.accept(signed.clone(), PolicyVerdict::NotNamed) {
                    let mut inviting = room.invite(invite);
                    let (ticket, Want::Request(request)) = inviting.want() else { panic!("no request") };
                    let (_, accepted) = countersign(&request, None).unwrap();
                    let response = accepted.to_response();
                    inviting.reply(ticket, HttpResponse::new(200, &response).into(), NOW).unwrap();
                    let (ticket, _) = inviting.want();
                    inviting.keys(ticket, &AllKeys, &Ed25519, NOW).unwrap();
                    let countersigned = inviting.outcome().unwrap().unwrap();
                    let state = changed.look_up(&countersigned.reads());
                    let found = countersigned.accept(&state);
                    assert_eq!(found.err().map(refused), expected, "{version} {action_of:?} {after}");
                    cells += 1;
                }
                cells += 1;
            }
            // The sender has lost the power, or has gone.
            for (membership, level) in [("leave", 100), ("join", 0)] {
                if version == RoomVersion::V12 && membership == "join" {
                    continue;
                }
                let mut changed = room.clone();
                changed.member(ALICE, ALICE, membership);
                changed.send(ALICE, "m.room.power_levels", "", json!({ "users": { ALICE: level } }));
                let rule = match (action_of, membership) {
                    (Action::Accept | Action::Invite, "leave") => Rule::InviterNotJoined,
                    (Action::Ban, "leave") => Rule::BannerNotJoined,
                    (_, "leave") => Rule::KickerNotJoined,
                    // The level to invite is 0 where the event does not name it.
                    (Action::Accept | Action::Invite, _) => continue,
                    (Action::Ban, _) => Rule::BanPower,
                    (Action::Unban, _) => Rule::UnbanPower,
                    (Action::Decline | Action::Revoke, _) => Rule::KickPower,
                };
                let found = changed.accept(signed.clone(), PolicyVerdict::NotNamed);
                let expected = Some(Refused::ByRule(AuthStage::CurrentState, rule, version));
                assert_eq!(found.err().map(refused), expected, "{version} {action_of:?} {membership}");
                cells += 1;
            }
        }
    }
    assert_eq!(cells, 6 * (5 * 5 + 5) + 6 * 5 + 5 * 4);
}
