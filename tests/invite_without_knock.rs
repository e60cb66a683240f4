//! An invite of somebody who does not knock goes by the same steps as an acceptance.
#![cfg(feature = "ed25519")]
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use matrix_knock::RoomVersion;
use matrix_knock::event::{Ed25519Key, Membership, Pdu};
use matrix_knock::id::{EventId, RoomId, UserId};
use matrix_knock::policy::PolicyVerdict;
use matrix_knock::resident::answer::{Action, AnswerRequest, Answered};
use matrix_knock::resident::{Decision, Refusal, Residence, ResidentRoom};
use matrix_knock::state::StateMap;
use matrix_knock::template::{Details, PrevEvent};

const CREATE: &str =
    r#"{"type":"m.room.create","state_key":"","sender":"@alice:a.example","content":{},"event_id":"$create"}"#;
const ALICE: &str = r#"{"type":"m.room.member","state_key":"@alice:a.example","sender":"@alice:a.example",
    "content":{"membership":"join"},"event_id":"$alice"}"#;
const LEVELS: &str = r#"{"type":"m.room.power_levels","state_key":"","sender":"@alice:a.example",
    "content":{"users":{"@alice:a.example":100}},"event_id":"$levels"}"#;

fn room() -> ResidentRoom<'static> {
    let room_id = RoomId::parse("!r:a.example").unwrap();
    ResidentRoom { room_id, version: RoomVersion::V11, residence: Residence::Joined }
}

/// Alice invites this user, who has this membership before.
fn invited(target: &str, before: Option<&str>) -> Result<Answered, Refusal> {
    let member = before.map(|membership| {
        format!(
            r#"{{"type":"m.room.member","state_key":"{target}","sender":"{target}","content":{{"membership":"{membership}"}},
            "event_id":"$before"}}"#
        )
    });
    let events = [CREATE, ALICE, LEVELS].into_iter().chain(member.as_deref());
    let state: StateMap<Pdu<'_>> = events.map(|text| Pdu::parse_stored(text).unwrap()).collect();
    let request =
        AnswerRequest::new(Action::Invite, UserId::parse("@alice:a.example").unwrap(), UserId::parse(target).unwrap());
    let key = Ed25519Key::from_seed("ed25519:1", &[7; 32]).unwrap();
    let last = PrevEvent { event_id: EventId::parse("$levels").unwrap(), depth: 9 };
    let room = room();
    let approved = request.check(&room, &state)?.decide(Decision::Admit)?;
    let event = approved.sign(&state, &Details::default(), &[last], 1_700_000_000_000, &key)?;
    event.accept(&state, PolicyVerdict::NotNamed)
}

#[test]
fn somebody_who_is_not_in_the_room_is_invited() {
    for before in [None, Some("leave")] {
        match invited("@kay:b.example", before).unwrap() {
            Answered::Invite(invite) => assert_eq!(invite.target(), "@kay:b.example"),
            Answered::Append(_) => panic!("the server of the user has to sign"),
        }
        match invited("@bob:a.example", before).unwrap() {
            Answered::Append(invite) => assert_eq!(invite.also_to(), None),
            Answered::Invite(_) => panic!("a user of this server"),
        }
    }
}

#[test]
fn anybody_else_is_not() {
    let expected = Membership::Leave;
    for before in ["knock", "invite", "join", "ban", "unheard-of"] {
        let refused = invited("@kay:b.example", Some(before)).unwrap_err();
        assert_eq!(refused, Refusal::NothingToAnswer { expected }, "{before}");
        assert_eq!(refused.to_response().status(), 403);
    }
    // Nobody invites themselves.
    assert_eq!(invited("@alice:a.example", None).unwrap_err(), Refusal::NothingToAnswer { expected });
}
