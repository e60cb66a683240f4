//! A server that the ACL denies gets no answer but that, by whatever way the host looks the ACL up.

use matrix_knock::RoomVersion;
use matrix_knock::event::{EventType, Membership};
use matrix_knock::id::{RoomId, ServerName};
use matrix_knock::resident::submission::SendRequest;
use matrix_knock::resident::{HostError, Knock, Leave, Refusal, Residence, ResidentRoom};
use matrix_knock::state::{NotLookedUp, Reads, RoomState, Snapshot, StateMap};

use super::generators::{Host, USERS};
use super::requests::{Made, sent_by};
use super::rooms::of_version;

/// Dave of the server `away` may knock, and may take a knock back; but for the ACL.
fn room(version: RoomVersion, membership: Option<Membership>, acl: &str) -> (String, Vec<Host>) {
    let events = [
        Host::new("m.room.create", "", USERS[0], r#"{"creator":"@alice:home"}"#),
        Host::new("m.room.join_rules", "", USERS[0], r#"{"join_rule":"knock"}"#),
        Host::new("m.room.server_acl", "", USERS[0], acl),
    ];
    let own = membership.map(|is| Host::member(USERS[3], USERS[3], format!(r#"{{"membership":"{is}"}}"#)));
    of_version(version, events.into_iter().chain(own).collect())
}

/// What comes of both requests over what was looked up of the state. No error: it would be answered with 200, or with the next
/// question.
fn asked<K: Made>(room: &ResidentRoom<'_>, events: &[Host], left_out: Option<EventType<'_>>) -> [Option<Refusal>; 2] {
    let state: StateMap<&Host> = events.iter().collect();
    let look_up = |reads: &Reads| {
        let reads: Reads = reads.iter().filter(|(event_type, _)| Some(*event_type) != left_out).collect();
        Snapshot::fill(&reads, |event_type, key| state.event(event_type, key).map(|found| found.copied())).unwrap()
    };
    let origin = ServerName::parse("away").unwrap();
    let make = K::make(room.room_id, USERS[3], origin, "7 8 9 10 11 12");
    let made = make.clone().check(room, &look_up(&make.reads(room))).err();
    let event = sent_by::<K>(room.version, room.room_id.as_str(), USERS[3], &state);
    let send = SendRequest::<K>::new(room.room_id, event.event_id(), origin, event.text());
    [made, send.check(room, &look_up(&send.reads())).err()]
}

fn denied<K: Made>(before: Option<Membership>) {
    let [open, closed] = [r#"{"allow":["*"]}"#, r#"{"allow":["*"],"deny":["aw?y"]}"#];
    for version in &RoomVersion::ALL[6..] {
        for acl in [open, closed] {
            let (room_id, events) = room(*version, before, acl);
            let room_id = RoomId::parse(&room_id).unwrap();
            let room = ResidentRoom { room_id, version: *version, residence: Residence::Joined };
            let expected = (acl == closed).then_some(Refusal::ServerDenied);
            assert_eq!(asked::<K>(&room, &events, None), [expected.clone(), expected], "{version} {acl}");
            // Not looked up, it is not taken for absent.
            let error = Refusal::Host(HostError::NotLookedUp(NotLookedUp::new(EventType::ServerAcl, "")));
            assert_eq!(error.to_response().status(), 500);
            let expected = [Some(error.clone()), Some(error)];
            assert_eq!(asked::<K>(&room, &events, Some(EventType::ServerAcl)), expected, "{version} {acl}");
        }
    }
    assert_eq!(Refusal::ServerDenied.to_response().status(), 403);
}

#[test]
fn knocks() {
    denied::<Knock>(None);
}

#[test]
fn leaves() {
    denied::<Leave>(Some(Membership::Knock));
}
