//! A knock as it really comes, over both servers, and its answer: by every join rule of every
//! version. Where nobody may knock, nothing waits for an answer.

use matrix_knock::Ed25519;
use matrix_knock::RoomVersion;
use matrix_knock::auth::Rule;
use matrix_knock::event::{Membership, Sign as _};
use matrix_knock::id::{OwnedServerName, UserId};
use matrix_knock::knocking::out_of_band::{Acceptance, Msc4233Denial, NoAnswer, ReceivedInvite, Revocation};
use matrix_knock::knocking::room_state::ShowUnverified;
use matrix_knock::knocking::{
    Departure, Details, Failed, Failure, Intent, Knocking, OwnMembership, PendingKnock, Retracted, Retracting, Start,
};
use matrix_knock::machine::{Machine, Reply, Want};
use matrix_knock::policy::PolicyVerdict;
use matrix_knock::resident::answer::{Action, Answered};
use matrix_knock::resident::{AuthStage, Refusal};
use matrix_knock::wire::HttpResponse;

use crate::knocker::{countersign, id, whole};
use crate::room::{ALICE, ANSWERS, AllKeys, HERE, KAY, Room, THEN, THERE, key, name, versions};

const NOW: u64 = THEN + 60_000;

/// Whether a join rule lets people knock, by the text of each version.
fn can_knock(version: RoomVersion, join_rule: &str) -> bool {
    match join_rule {
        "knock" => true,
        "knock_restricted" => version >= RoomVersion::V10,
        _ => false,
    }
}

/// Drives a machine of the knocker's server to its end; the last refusal of the resident server
/// beside.
fn drive<M: Machine>(machine: &mut M, room: &mut Room) -> (M::Outcome, Option<Refusal>) {
    let mut refusal = None;
    loop {
        if let Some(outcome) = machine.outcome() {
            return (outcome, refusal);
        }
        let (ticket, want) = machine.want();
        let taken = match want {
            Want::Request(request) => {
                let (status, body) = match room.serve(&request, NOW) {
                    Ok(body) => (200, body),
                    Err(refused) => {
                        let response = refused.to_response();
                        refusal = Some(refused);
                        (response.status(), response.to_string())
                    }
                };
                machine.reply(ticket, Reply::from(HttpResponse::new(status, &body)), NOW)
            }
            Want::Sign(bytes) => {
                let signature = key(THERE).sign(bytes.as_bytes());
                machine.signature(ticket, key(THERE).key_id(), &signature)
            }
            Want::Keys(_) => machine.keys(ticket, &AllKeys, &Ed25519, NOW).map(drop),
            Want::Ended => panic!("no outcome"),
        };
        assert_eq!(taken, Ok(()));
    }
}

fn knock(room: &mut Room) -> (Result<PendingKnock, Failed>, Option<Refusal>) {
    let room_id = room.id.clone();
    let servers: [OwnedServerName; 1] = [HERE.parse().unwrap()];
    let start = Knocking::start(&Intent {
        room_id: matrix_knock::id::RoomId::parse(&room_id).unwrap(),
        user_id: UserId::parse(KAY).unwrap(),
        own: OwnMembership::OutOfBand,
        servers: &servers,
        versions: &RoomVersion::ALL,
        details: &Details::default(),
    });
    let Start::Remote(mut machine) = start else { panic!("{start:?}") };
    drive(&mut *machine, room)
}

#[test]
fn every_answer_to_a_real_knock() {
    let (mut taken, mut refused) = (0, 0);
    for &version in versions() {
        for join_rule in ["knock", "knock_restricted", "restricted", "invite", "public"] {
            let mut room = Room::new(version, join_rule);
            let (outcome, refusal) = knock(&mut room);
            if !can_knock(version, join_rule) {
                assert_eq!(outcome.unwrap_err().failure, Failure::Forbidden);
                let Some(Refusal::Rejected { stage: AuthStage::CurrentState, rejection }) = refusal else {
                    panic!("{refusal:?}")
                };
                assert_eq!(rejection.rule(), Rule::KnockJoinRule);
                for action in ANSWERS {
                    let nothing = Refusal::NothingToAnswer { expected: action.answers() };
                    assert_eq!(room.answer((action, ALICE, KAY), &Details::default(), NOW), Err(nothing));
                    refused += 1;
                }
                continue;
            }
            let knock = outcome.unwrap();
            assert_eq!(room.membership(KAY).as_deref(), Some("knock"));
            for action in ANSWERS {
                answered(action, &knock, &mut room.clone());
                taken += 1;
            }
        }
    }
    assert_eq!((taken, refused), ((6 + 3) * 5, (30 - 9) * 5));
}

fn append(action: Action, room: &mut Room) -> String {
    let signed = room.answer((action, ALICE, KAY), &Details::default(), NOW).unwrap();
    let Answered::Append(event) = room.accept(signed, PolicyVerdict::NotNamed).unwrap() else { panic!("no invite") };
    room.take(event.event());
    event.event().text().to_owned()
}

fn answered(action: Action, knock: &PendingKnock, room: &mut Room) {
    let (version, own) = (room.version, id(knock.event_id()));
    let denial =
        |text: &str, current| whole(version, text, |event| knock.sent(current).msc4233_denial(event, name(HERE)));
    match action {
        Action::Invite => panic!("no answer"),
        Action::Accept | Action::Revoke => {
            let signed = room.answer((Action::Accept, ALICE, KAY), &Details::default(), NOW).unwrap();
            let Answered::Invite(invite) = room.accept(signed, PolicyVerdict::NotNamed).unwrap() else {
                panic!("nobody has countersigned it")
            };
            let mut inviting = room.invite(invite);
            let (ticket, Want::Request(request)) = inviting.want() else { panic!("no request") };
            let (acceptance, accepted) = countersign(&request, Some(&knock.sent(Some(own)))).unwrap();
            assert_eq!(acceptance, Some(Ok(Acceptance::LinkedByAuthEvents)));
            // Taken back meanwhile, it would be a surprise.
            let (surprise, _) = countersign(&request, Some(&knock.sent(None))).unwrap();
            assert_eq!(surprise, Some(Err(NoAnswer::NotCurrent)));
            let shown = accepted.invite_state(ShowUnverified::Never);
            let types: Vec<_> = shown.iter().map(|shown| shown.event.event_type().into_owned()).collect();
            assert_eq!(types, ["m.room.create", "m.room.join_rules", "m.room.name", "m.room.member", "m.room.member"]);
            let response = accepted.to_response();
            inviting.reply(ticket, HttpResponse::new(200, &response).into(), NOW).unwrap();
            let (ticket, _) = inviting.want();
            inviting.keys(ticket, &AllKeys, &Ed25519, NOW).unwrap();
            let event = room.append(inviting.outcome().unwrap().unwrap()).unwrap();
            assert_eq!((event.text(), room.membership(KAY).as_deref()), (accepted.event().text(), Some("invite")));
            let event = accepted.event().event_id();
            let invite = ReceivedInvite {
                room_id: knock.room_id(),
                user_id: knock.user_id(),
                event_id: id(event),
                version,
                current: Some(id(event)),
                inviter: name(HERE),
            };
            if action == Action::Revoke {
                let text = append(Action::Revoke, room);
                let found = whole(version, &text, |event| invite.revocation(event, name(HERE)));
                assert_eq!(found, Ok(Revocation::Revoked));
                let other = whole(version, &text, |event| invite.revocation(event, name("c.example")));
                assert_eq!(other, Err(NoAnswer::Origin { origin: "c.example".to_owned() }));
                // It names the invite, not the knock before it.
                assert_eq!(denial(&text, Some(own)), Err(NoAnswer::NotInAuthEvents));
                assert_eq!(room.membership(KAY).as_deref(), Some("leave"));
                return;
            }
            decline(knock, room);
        }
        Action::Decline => {
            let text = append(Action::Decline, room);
            assert_eq!(denial(&text, Some(own)), Ok(Msc4233Denial::Declined));
            assert_eq!(denial(&text, None), Err(NoAnswer::NotCurrent));
            // She may knock again.
            assert_eq!(
                self::knock(room).0.map(|knock| knock.event_id().to_owned()),
                Ok(room.events.last().unwrap().0.clone())
            );
        }
        Action::Ban | Action::Unban => {
            let text = append(Action::Ban, room);
            assert_eq!(denial(&text, Some(own)), Ok(Msc4233Denial::Banned));
            let (again, refusal) = self::knock(room);
            assert_eq!(again.unwrap_err().failure, Failure::Forbidden);
            let rule = refusal.map(|refusal| match refusal {
                Refusal::Rejected { rejection, .. } => rejection.rule(),
                other => panic!("{other:?}"),
            });
            assert_eq!(rule, Some(Rule::KnockMembership));
            if action == Action::Unban {
                let text = append(Action::Unban, room);
                // Nobody outside can tell: the knock is not among its auth events.
                assert_eq!(denial(&text, Some(own)), Err(NoAnswer::NotInAuthEvents));
                assert!(self::knock(room).0.is_ok());
            }
        }
    }
}

/// The invited user declines by way of the inviter's server.
fn decline(knock: &PendingKnock, room: &mut Room) {
    let mut leave = Retracting::start(&Departure {
        room_id: knock.room_id(),
        user_id: knock.user_id(),
        servers: &[HERE.parse().unwrap()],
        versions: &[room.version],
        reason: None,
    });
    let (Retracted::InRoom { server, event }, None) = drive(&mut leave, room) else { panic!("not left") };
    assert_eq!((server.as_str(), event.event_id()), (HERE, &*room.events.last().unwrap().0));
    assert_eq!(room.membership(KAY).as_deref(), Some(Membership::Leave.as_str()));
    // Nothing is left to take back.
    let nothing = Refusal::NothingToAnswer { expected: Membership::Invite };
    assert_eq!(room.answer((Action::Revoke, ALICE, KAY), &Details::default(), NOW), Err(nothing));
}
