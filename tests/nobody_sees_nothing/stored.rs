//! Knocks that other software has stored, with what it was sent: what nobody has signed has no
//! other rights there.

use matrix_knock::RoomVersion;
use matrix_knock::id::ServerName;
use matrix_knock::knocking::PendingKnock;
use matrix_knock::knocking::room_state::{ShowUnverified, ShownEvent};
use matrix_knock::stripped_state::StrippedEvent;
use serde_json::{Value, json};

use crate::recorded::{RESIDENT, Remembering, rooms};
use crate::{CHOICES, arrive, own_knock, shown};

fn event(event_type: &str, state_key: &str, is_verified: bool) -> (Value, bool) {
    let content = json!({ "x": is_verified });
    let sender = "@alice:hs1.test:18448";
    (json!({ "content": content, "sender": sender, "state_key": state_key, "type": event_type }), is_verified)
}

/// In a server that is moved, a room may be shown by entries of four keys alone: as long as they
/// are none that must not be shown.
#[test]
fn unverified_events_of_other_software() {
    for room in rooms() {
        let (_, knock) = arrive(&room, "{}", &Remembering::default());
        let given = [
            event("m.room.name", "", false),
            event("m.room.topic", "", true),
            event("m.room.create", "", false),
            event("m.room.create", "x", false),
            event("m.room.member", "@alice:hs1.test:18448", false),
            event("m.room.member", &room.user, false),
            event("m.room.topic", "", false),
            event("m.room.name", "", false),
            event("m.room.topic", "x", false),
        ];
        let events = given.iter().map(|(event, is_verified)| ShownEvent {
            event: StrippedEvent::try_from(event.to_string()).expect("an event of four keys"),
            is_verified: *is_verified,
        });
        let server = ServerName::parse(RESIDENT).expect("a server name");
        let moved = PendingKnock::of_stored(room.version, knock.event().text(), server, events).expect("a knock");
        // What is verified; then, each place once, what a host may choose.
        let may_be_shown: &[usize] = if room.version < RoomVersion::V12 { &[0, 2, 3, 8] } else { &[0, 8] };
        for choice in CHOICES {
            let shows = match choice {
                ShowUnverified::BeforeV12 => room.version < RoomVersion::V12,
                ShowUnverified::Always => true,
                ShowUnverified::Never => false,
            };
            let mut expected: Vec<(Value, bool)> = std::iter::once(1)
                .chain(may_be_shown.iter().copied().filter(|_| shows))
                .map(|index| given[index].clone())
                .collect();
            expected.sort_by_key(|(event, _)| event["type"] != "m.room.create" || event["state_key"] != "");
            expected.push((own_knock(&room), true));
            assert_eq!(shown(&moved, choice), expected, "{}, {choice:?}", room.name);
        }
        let again: PendingKnock = serde_json::from_str(&serde_json::to_string(&moved).expect("stored")).expect("read");
        assert_eq!(again, moved);
    }
}
