//! The example of an asynchronous host: all that it does can be sent to another thread, and its handlers heed the ACL. (What
//! happens to it while a knock is under way stands in `tests/async_server.rs`.)

use std::collections::BTreeMap;
use std::sync::Arc;

use matrix_knock::RoomVersion;
use matrix_knock::id::{OwnedServerName, ServerName, UserId};
use matrix_knock::knocking::{Departure, Details, Intent, Knocking, OwnMembership, Retracting, Start};
use matrix_knock::wire::HttpRequest;

use super::async_server::{Host, Network, Room, event, host, room};
use super::{is_send, run};

const KAY: &str = "@kay:bb.example";
const ALICE: &str = "@alice:a.example";

/// The server of the room, the server of the knocker, and what connects them.
struct Servers {
    resident: Arc<Host>,
    home: Host,
    network: Network,
    room: Room,
}

impl Servers {
    /// `more` are events of Alice in the room: type, state key, content.
    fn new(more: &[(&str, &str, &str)]) -> Self {
        let resident = Arc::new(host("a.example", &["bb.example"]).unwrap());
        let home = host("bb.example", &["a.example"]).unwrap();
        let mut room = room(&resident).unwrap();
        for (event_type, state_key, content) in more {
            event(&mut room, &resident, (ALICE, event_type, state_key), content).unwrap();
        }
        resident.store.insert(room.clone());
        let network = Network(BTreeMap::from([(resident.name.clone(), Arc::clone(&resident))]));
        Self { resident, home, network, room }
    }

    fn intent<'i>(&'i self, servers: &'i [OwnedServerName], details: &'i Details) -> Intent<'i> {
        Intent {
            room_id: self.room.id.as_borrowed(),
            user_id: UserId::parse(KAY).unwrap(),
            own: OwnMembership::OutOfBand,
            servers,
            versions: &RoomVersion::ALL,
            details,
        }
    }
}

#[test]
fn everything_can_be_sent_to_another_thread() {
    let servers = Servers::new(&[]);
    let (names, details) = ([servers.resident.name.clone()], Details::default());
    let intent = servers.intent(&names, &details);
    let origin = ServerName::parse("bb.example").unwrap();
    let request = |method| HttpRequest { method, path: "/", query: "", body: b"" };
    is_send(&servers.resident.make_knock(origin, request("GET")));
    is_send(&servers.resident.send_knock(origin, request("PUT")));
    is_send(&servers.home.knock(&intent, &servers.network));
    let Start::Remote(mut knocking) = Knocking::start(&intent) else { panic!("a room of another server") };
    is_send(&servers.home.drive(&mut *knocking, &servers.network));
    let departure = Departure {
        room_id: intent.room_id,
        user_id: intent.user_id,
        servers: &names,
        versions: &[RoomVersion::V10],
        reason: None,
    };
    is_send(&servers.home.drive(&mut Retracting::start(&departure), &servers.network));
}

#[test]
fn a_server_that_the_acl_denies() {
    let open = Servers::new(&[]);
    let (names, details) = ([open.resident.name.clone()], Details::default());
    let knock = run(open.home.knock(&open.intent(&names, &details), &open.network)).0.unwrap();
    let event = knock.event();
    let acl = [("m.room.server_acl", "", r#"{"allow":["*"],"deny":["bb.example"]}"#)];
    let closed = Servers::new(&acl);
    let origin = ServerName::parse("bb.example").unwrap();
    let path = |name: &str, last: &str| format!("/_matrix/federation/v1/{name}/%21room%3Aa.example/{last}");
    let make = path("make_knock", "%40kay%3Abb.example");
    let send = path("send_knock", &event.event_id().replace('$', "%24"));
    let requests = [
        HttpRequest { method: "GET", path: &make, query: "ver=10", body: b"" },
        HttpRequest { method: "PUT", path: &send, query: "", body: event.text().as_bytes() },
    ];
    for (servers, expected) in [(&open, [200, 200]), (&closed, [403, 403])] {
        let made = run(servers.resident.make_knock(origin, requests[0])).0;
        let sent = run(servers.resident.send_knock(origin, requests[1])).0;
        let statuses = [made, sent].map(|answer| match answer {
            Ok(_) => 200,
            Err(error) => {
                let body = r#"{"errcode":"M_FORBIDDEN","error":"The server is not allowed in the room"}"#;
                assert_eq!(error.to_string(), body);
                error.status()
            }
        });
        assert_eq!(statuses, expected);
    }
}
