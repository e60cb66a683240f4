//! What the crate makes itself fits the same bounds: the knock and the leave of the knocking side,
//! and those of a local user.

use matrix_knock::RoomVersion;
use matrix_knock::event::{Sign as _, SignedEvent};
use matrix_knock::id::{OwnedServerName, UserId};
use matrix_knock::knocking::{Departure, Details, Failure, Intent, Knocking, OwnMembership, Retracting, Start};
use matrix_knock::machine::{Endpoint, Machine, Want};
use matrix_knock::resident::Refusal;
use matrix_knock::wire::HttpResponse;
use serde_json::{Value, json};

use crate::room::{KAY, NOW, RESIDENT, Room};
use crate::transactions::goes_on;
use crate::{KEY_ID, TAKEN_BYTES};

/// What makes an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Maker {
    Knocking,
    Retracting,
    Local,
}

fn details(reason: &str) -> Details {
    Details { reason: Some(reason.to_owned()), displayname: Some("Kay".to_owned()), ..Details::default() }
}

/// Drives a machine up to the event that it sends, or to the status of its failure.
fn driven<M: Machine>(room: &Room, mut machine: M, template: &str) -> Option<SignedEvent> {
    let (ticket, Want::Request(_)) = machine.want() else { panic!("a request") };
    machine.reply(ticket, HttpResponse::new(200, template).into(), NOW).expect("asked for");
    let (ticket, want) = machine.want();
    let signature = match want {
        Want::Sign(message) => room.home_key.sign(message.as_bytes()),
        Want::Ended => return None,
        other => panic!("{other:?}"),
    };
    machine.signature(ticket, room.home_key.key_id(), &signature).expect("asked for");
    match machine.want().1 {
        Want::Request(request) => match request.endpoint {
            Endpoint::SendKnock { event, .. } | Endpoint::SendLeave { event, .. } => Some(event),
            other => panic!("{other:?}"),
        },
        Want::Ended => None,
        other => panic!("{other:?}"),
    }
}

/// The event of a user who says this; none if it would be too large.
fn made(room: &Room, maker: Maker, reason: &str) -> Option<SignedEvent> {
    let servers: [OwnedServerName; 1] = [RESIDENT.parse().expect("a server name")];
    let (room_id, user_id) = (room.room_id(), UserId::parse(KAY).expect("a user ID"));
    match maker {
        Maker::Knocking => {
            let details = details(reason);
            let own = OwnMembership::OutOfBand;
            let versions = &RoomVersion::ALL;
            let intent = Intent { room_id, user_id, own, servers: &servers, versions, details: &details };
            let Start::Remote(machine) = Knocking::start(&intent) else { panic!("a server to ask") };
            let event = driven(room, (*machine).clone(), &room.make_knock());
            if event.is_none() {
                too_large(room, *machine);
            }
            event
        }
        Maker::Retracting => {
            let versions = &[room.version];
            let departure = Departure { room_id, user_id, servers: &servers, versions, reason: Some(reason) };
            let mut template: Value = serde_json::from_str(&room.make_knock()).expect("JSON");
            template["event"]["content"] = json!({ "membership": "leave" });
            driven(room, Retracting::start(&departure), &template.to_string())
        }
        Maker::Local => match room.local_knock(&details(reason)) {
            Ok(event) => Some(event),
            Err(Refusal::TooLarge) => None,
            Err(other) => panic!("{other}"),
        },
    }
}

/// How a knock that is too large ends: the client reads 413.
fn too_large(room: &Room, mut machine: Knocking) {
    machine.reply(machine.want().0, HttpResponse::new(200, &room.make_knock()).into(), NOW).expect("asked for");
    if let (ticket, Want::Sign(message)) = machine.want() {
        let signature = room.home_key.sign(message.as_bytes());
        machine.signature(ticket, room.home_key.key_id(), &signature).expect("asked for");
    }
    let failed = machine.outcome().expect("its end").expect_err("a failure");
    assert_eq!((&failed.failure, &failed.perhaps), (&Failure::TooLarge, &None));
    let response = failed.to_response();
    assert_eq!((response.status(), response.errcode().as_str()), (413, "M_TOO_LARGE"));
}

/// Each size around the bound: within it the event is made, and the resident server takes it.
#[test]
fn what_is_made_fits() {
    let mut cells = 0;
    for version in &RoomVersion::ALL[6..] {
        let room = Room::new(*version, KEY_ID);
        for maker in [Maker::Knocking, Maker::Retracting, Maker::Local] {
            let empty = made(&room, maker, "").expect("a small one").text().len();
            for character in ['a', 'é', '\u{1F6AA}', '"', '\u{1}'] {
                for bytes in [TAKEN_BYTES - 1, TAKEN_BYTES, TAKEN_BYTES + 1, 65_460, 65_536, 65_537, 100_000] {
                    let unit = json!(character).to_string().len() - 2;
                    let rest = bytes - empty;
                    let reason: String =
                        std::iter::repeat_n(character, rest / unit).chain("a".repeat(rest % unit).chars()).collect();
                    let event = made(&room, maker, &reason);
                    let what = format!("{version}, {maker:?}, {bytes} bytes of {character:?}");
                    let size = event.as_ref().map(|event| event.text().len());
                    assert_eq!(size, Some(bytes).filter(|bytes| *bytes <= TAKEN_BYTES), "{what}");
                    if let Some(event) = event {
                        goes_on(&room, &event, if character == '"' { 50 } else { 1 }, &what);
                        if maker == Maker::Knocking {
                            let taken = room.send_knock(event.event_id(), event.text());
                            assert_eq!(taken.map(|taken| taken.text).as_deref(), Ok(event.text()), "{what}");
                        }
                    }
                    cells += 1;
                }
            }
        }
    }
    assert_eq!(cells, 6 * 3 * 5 * 7);
}
