//! Requests between servers: what the machines write is read as it was meant, and nothing that comes in panics.

use matrix_knock::RoomVersion;
use matrix_knock::event::{SignedEvent, sign_event};
use matrix_knock::id::{OwnedRoomId, OwnedUserId, ServerName};
use matrix_knock::machine::{Endpoint, Request};
use matrix_knock::resident::submission::{SendKnock, SendLeave};
use matrix_knock::resident::{MakeKnock, MakeLeave};
use matrix_knock::wire::HttpRequest;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use crate::room::{HOME, RESIDENT, key};
use crate::stored::versions;

fn servers() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z0-9.-]{1,12}(:[0-9]{1,5})?", Just("[::1]:8448".to_owned()), Just("192.0.2.1".to_owned())]
}

fn room_ids() -> impl Strategy<Value = OwnedRoomId> {
    let of_server =
        ("[\\PC\u{1}-\u{1f}%/?#&+ ]{1,20}", servers()).prop_map(|(local, server)| format!("!{local}:{server}"));
    let of_hash = "![A-Za-z0-9_-]{43}";
    prop_oneof![3 => of_server, 1 => of_hash].prop_filter_map("a room ID", |id| id.parse().ok())
}

fn user_ids() -> impl Strategy<Value = OwnedUserId> {
    ("[\\PC\u{1}-\u{1f}%/?#&+ ]{0,20}", servers())
        .prop_filter_map("a user ID", |(local, server)| format!("@{local}:{server}").parse().ok())
}

fn events() -> impl Strategy<Value = SignedEvent> {
    let version = select(RoomVersion::ALL[2..].to_vec());
    (version, "\\PC{0,20}").prop_map(|(version, text)| {
        let event = json!({ "type": "m.room.member", "content": { "reason": text } }).to_string();
        sign_event(version, &event, ServerName::parse(HOME).unwrap(), &key(HOME)).unwrap()
    })
}

fn offers() -> impl Strategy<Value = Vec<RoomVersion>> {
    vec(select([RoomVersion::ALL.to_vec(), versions().to_vec()].concat()), 0..20)
}

/// Parts of paths, good and bad.
fn segments() -> impl Strategy<Value = String> {
    let known = select(vec![
        "",
        "_matrix",
        "federation",
        "v1",
        "v2",
        "make_knock",
        "send_knock",
        "make_leave",
        "send_leave",
        "!room:a.example",
        "%21room%3Aa.example",
        "@kay:b.example",
        "%24event",
        "%",
        "%FF",
        "..",
    ]);
    prop_oneof![6 => known.prop_map(str::to_owned), 1 => "[%0-9A-F!:\\PC\u{0}]{0,10}"]
}

fn paths() -> impl Strategy<Value = String> {
    let good = ("v[12]", select(vec!["make_knock", "send_knock", "make_leave", "send_leave"]), segments(), segments())
        .prop_map(|(api, name, room, last)| format!("/_matrix/federation/{api}/{name}/{room}/{last}"));
    let any = vec(segments(), 0..9).prop_map(|segments| format!("/{}", segments.join("/")));
    prop_oneof![6 => good, 2 => any, 1 => "[\\PC\u{0}]{0,40}"]
}

fn queries() -> impl Strategy<Value = String> {
    let pair = prop_oneof!["ver=[0-9%+]{0,4}", "[\\PC\u{0}]{0,6}", Just("ver".to_owned())];
    prop_oneof![8 => vec(pair, 0..5).prop_map(|pairs| pairs.join("&")), 1 => Just("ver=1&".repeat(200))]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.max(4000), failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_written_is_read(
        room_id in room_ids(), user_id in user_ids(), event in events(), versions in offers(),
    ) {
        let server = RESIDENT.parse().unwrap();
        let origin = ServerName::parse(HOME).unwrap();
        let request = |endpoint| Request { server, endpoint };
        let id = room_id.as_borrowed();

        let made = request(Endpoint::MakeKnock {
            room_id: room_id.clone(), user_id: user_id.clone(), versions: versions.clone(),
        });
        let http = made.to_http();
        let found = MakeKnock::parse(origin, http.as_http()).unwrap();
        let names: Vec<_> = versions.iter().map(|version| version.as_str()).collect();
        prop_assert_eq!(&found, &MakeKnock::new(id, user_id.as_str(), origin, names));
        // In one line the query begins with the first `?`.
        let line = made.path_and_query();
        let (path, query) = line.split_once('?').unwrap_or((&line, ""));
        let split = HttpRequest { method: made.method(), path, query, body: b"" };
        prop_assert_eq!(split, http.as_http());
        prop_assert!(line.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'));

        let made = Request { endpoint: Endpoint::MakeLeave { room_id: room_id.clone(), user_id: user_id.clone() }, ..made };
        let http = made.to_http();
        let found = MakeLeave::parse(origin, http.as_http()).unwrap();
        prop_assert_eq!(&found, &MakeLeave::new(id, user_id.as_str(), origin));
        prop_assert_eq!(made.path_and_query(), &*http.path);

        let made = Request { endpoint: Endpoint::SendKnock { room_id: room_id.clone(), event: event.clone() }, ..made };
        let http = made.to_http();
        let found = SendKnock::parse(origin, http.as_http()).unwrap();
        prop_assert_eq!(&found, &SendKnock::new(id, event.event_id(), origin, event.text()));

        let made = Request { endpoint: Endpoint::SendLeave { room_id: room_id.clone(), event: event.clone() }, ..made };
        let http = made.to_http();
        let found = SendLeave::parse(origin, http.as_http()).unwrap();
        prop_assert_eq!(&found, &SendLeave::new(id, event.event_id(), origin, event.text()));
        let body = made.body();
        prop_assert_eq!((body.as_deref(), http.body.as_deref()), (Some(event.text()), Some(event.text())));
    }

    /// Whatever comes in: a refusal that is no mistake of the host, or a request that can be copied.
    #[test]
    fn anything_is_read(
        method in select(vec!["GET", "PUT", "POST", ""]), path in paths(), query in queries(),
        body in prop_oneof![vec(any::<u8>(), 0..20), "\\PC{0,20}".prop_map(String::into_bytes)],
    ) {
        let origin = ServerName::parse(HOME).unwrap();
        let request = HttpRequest { method, path: &path, query: &query, body: &body };
        let mut read = 0;
        macro_rules! parse {
            ($($endpoint:ident)*) => {$(
                match $endpoint::parse(origin, request) {
                    Ok(found) => {
                        prop_assert_eq!(found.clone().into_owned(), found);
                        read += 1;
                    }
                    Err(refusal) => {
                        prop_assert!(!refusal.is_host_error());
                        prop_assert!((400..500).contains(&refusal.to_response().status()));
                    }
                }
            )*};
        }
        parse!(MakeKnock MakeLeave SendKnock SendLeave);
        prop_assert!(read < 2, "one request, and not another");
    }
}
