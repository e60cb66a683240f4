//! A second opinion on every event that an answer makes: ruma believes its signatures and allows it
//! by the same state, and where the room is another, ruma and this crate say the same.

use matrix_knock::Ed25519;
use matrix_knock::RoomVersion;
use matrix_knock::auth::authorize;
use matrix_knock::event::{NoVerifier, Pdu};
use matrix_knock::machine::{Machine as _, Want};
use matrix_knock::policy::PolicyVerdict;
use matrix_knock::resident::answer::{Action, Answered};
use matrix_knock::template::Details;
use matrix_knock::wire::HttpResponse;
use ruma_common::EventId;
use ruma_common::serde::Base64;
use ruma_events::{StateEventType, TimelineEventType};
use ruma_signatures::{PublicKeyMap, Verified, verify_event};
use ruma_state_res::{check_state_dependent_auth_rules, check_state_independent_auth_rules};
use serde_json::json;

use crate::knocker::countersign;
use crate::room::{ALICE, ANSWERS, AllKeys, HERE, KAY, KEY_ID, Room, THEN, THERE, key, versions};
use crate::ruma::{RumaEvent, rules};

const LEE: &str = "@lee:a.example";
const NOW: u64 = THEN + 60_000;

fn signatures(version: RoomVersion, text: &str) -> Option<Verified> {
    let of = |server: &str| {
        let key = Base64::new(key(server).public_key().to_vec());
        (server.to_owned(), [(KEY_ID.to_owned(), key)].into())
    };
    let keys: PublicKeyMap = [of(HERE), of(THERE)].into();
    verify_event(&keys, &serde_json::from_str(text).unwrap(), &rules(version)).ok()
}

/// By the events that it names.
fn by_itself(room: &Room, event: &RumaEvent) -> Result<(), String> {
    let known: Vec<_> = room.events.iter().map(|(id, text)| RumaEvent::new(id, text)).collect();
    let known = |id: &EventId| known.iter().find(|event| event.id() == id);
    check_state_independent_auth_rules(&rules(room.version).authorization, event, known)
}

/// By the state of the room.
fn by_state(room: &Room, event: &RumaEvent) -> Result<(), String> {
    let state: Vec<_> = room.events.iter().map(|(id, text)| RumaEvent::new(id, text)).collect();
    check_state_dependent_auth_rules(
        &rules(room.version).authorization,
        event,
        |event_type: &StateEventType, state_key: &str| {
            let event_type = TimelineEventType::from(event_type.clone());
            let is_it =
                |event: &&RumaEvent| event.event_type == event_type && event.state_key.as_deref() == Some(state_key);
            state.iter().rev().find(is_it)
        },
    )
}

/// The event that is appended in the end, with its ID.
fn made(room: &Room, action: Action, target: &str) -> (String, String) {
    let details = Details { reason: Some("\u{1F6AA} \"\u{0}\"".to_owned()), ..Details::default() };
    let signed = room.answer((action, ALICE, target), &details, NOW).unwrap();
    let event = match room.accept(signed, PolicyVerdict::NotNamed).unwrap() {
        Answered::Append(event) => event.into_event(),
        Answered::Invite(invite) => {
            let mut inviting = room.invite(invite);
            let (ticket, Want::Request(request)) = inviting.want() else { panic!("no request") };
            let response = countersign(&request, None).unwrap().1.to_response();
            inviting.reply(ticket, HttpResponse::new(200, &response).into(), NOW).unwrap();
            let (ticket, _) = inviting.want();
            inviting.keys(ticket, &AllKeys, &Ed25519, NOW).unwrap();
            inviting.outcome().unwrap().unwrap().accept(&room.state()).unwrap()
        }
    };
    (event.event_id().to_owned(), event.into_text())
}

fn with(room: &Room, target: &str, before: Option<&str>, level: i64) -> Room {
    let mut room = room.clone();
    room.levels(json!({ target: level }));
    if let Some(before) = before {
        room.member(if ["join", "knock"].contains(&before) { target } else { ALICE }, target, before);
    }
    room
}

#[test]
fn ruma_takes_every_event() {
    let (mut events, mut verdicts, mut allowed) = (0, 0, 0);
    for &version in versions() {
        for join_rule in ["knock", "knock_restricted", "restricted", "invite", "public"] {
            let plain = Room::new(version, join_rule);
            for target in [KAY, LEE] {
                for action in ANSWERS {
                    let room = with(&plain, target, Some(action.answers().as_str()), 0);
                    let (id, text) = made(&room, action, target);
                    assert_eq!(signatures(version, &text), Some(Verified::All), "{text}");
                    let object = serde_json::from_str(&text).unwrap();
                    let hash = ruma_signatures::reference_hash(&object, &rules(version)).unwrap();
                    assert_eq!(format!("${hash}"), id);
                    let event = RumaEvent::new(&id, &text);
                    assert_eq!(by_itself(&room, &event), Ok(()), "{text}");
                    assert_eq!(by_state(&room, &event), Ok(()), "{text}");
                    events += 1;

                    // In another room ruma may refuse it: where this crate does.
                    let pdu = Pdu::parse(&text).unwrap();
                    for before in [None, Some("invite"), Some("join"), Some("knock"), Some("leave"), Some("ban")] {
                        for level in [0, 100] {
                            for has_left in [false, true] {
                                let mut other = with(&plain, target, before, level);
                                if has_left {
                                    other.member(ALICE, ALICE, "leave");
                                }
                                let ours = authorize(version, &pdu, &other.state(), &NoVerifier);
                                let theirs = by_state(&other, &event);
                                assert_eq!(ours.is_ok(), theirs.is_ok(), "{theirs:?} {before:?} {level} {text}");
                                allowed += usize::from(ours.is_ok());
                                verdicts += 1;
                            }
                        }
                    }
                }
            }
        }
    }
    assert_eq!((events, verdicts), (6 * 5 * 2 * 5, 6 * 5 * 2 * 5 * 6 * 2 * 2));
    // Of the five, an invite is allowed from four memberships at both levels; the others from all
    // six, and beside an equal level since v12 only.
    assert_eq!(allowed, 5 * 2 * (6 * (4 * 2 + 4 * 6) + 4 * 6));
}
