//! The four endpoints between servers, read from method, path, query and body as they come in.

use matrix_knock::auth::AuthStatus;
use matrix_knock::error::PathError;
use matrix_knock::event::{FormatError, Membership, Pdu, PduError};
use matrix_knock::id::{RoomId, ServerName};
use matrix_knock::json::JsonErrorKind;
use matrix_knock::policy::PolicyVerdict;
use matrix_knock::resident::submission::{AuthEventRef, SendKnock, SendLeave};
use matrix_knock::resident::{Decision, MakeKnock, MakeLeave, Refusal, Residence, ResidentRoom};
use matrix_knock::state::StateMap;
use matrix_knock::wire::HttpRequest;
use matrix_knock::{Ed25519, RoomVersion};

use super::federation::{AllKeys, THEN, knocking_server, rooms};
use super::submission::{Submission, pdus, texts};

const ROOM: &str = "!room:a.example";
const ALL: [Endpoint; 5] =
    [Endpoint::MakeKnock, Endpoint::SendKnock, Endpoint::MakeLeave, Endpoint::SendLeave, Endpoint::OldSendLeave];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Endpoint {
    MakeKnock,
    SendKnock,
    MakeLeave,
    SendLeave,
    /// `/v1/send_leave`.
    OldSendLeave,
}

/// The parts that a request is read as.
#[derive(Debug, Clone, Copy)]
struct Parts<'a> {
    room_id: &'a str,
    last: &'a str,
    versions: &'a [&'a str],
    body: &'a str,
}

impl Endpoint {
    const fn path(self) -> &'static str {
        match self {
            Self::MakeKnock => "v1/make_knock",
            Self::SendKnock => "v1/send_knock",
            Self::MakeLeave => "v1/make_leave",
            Self::SendLeave => "v2/send_leave",
            Self::OldSendLeave => "v1/send_leave",
        }
    }

    const fn method(self) -> &'static str {
        match self {
            Self::MakeKnock | Self::MakeLeave => "GET",
            Self::SendKnock | Self::SendLeave | Self::OldSendLeave => "PUT",
        }
    }

    /// A good request, but for its path.
    const fn request(self, path: &str) -> HttpRequest<'_> {
        HttpRequest { method: self.method(), path, query: "ver=10", body: b"{}" }
    }

    fn path_of(self, room_id: &str, last: &str) -> String {
        format!("/_matrix/federation/{}/{room_id}/{last}", self.path())
    }

    /// Reads a request of this endpoint. `Ok` says whether it is the one with these parts.
    fn read(self, request: HttpRequest<'_>, parts: Parts<'_>) -> Result<bool, Refusal> {
        let (origin, room_id) = (knocking_server(), RoomId::parse(parts.room_id).expect("a room ID"));
        let Parts { last, versions, body, .. } = parts;
        match self {
            Self::MakeKnock => {
                let found = MakeKnock::parse(origin, request)?;
                assert_eq!(found.clone().into_owned(), found);
                Ok(found == MakeKnock::new(room_id, last, origin, versions.iter().copied())
                    && found.room_id() == room_id)
            }
            Self::MakeLeave => {
                let found = MakeLeave::parse(origin, request)?;
                assert_eq!(found.clone().into_owned(), found);
                Ok(found == MakeLeave::new(room_id, last, origin) && found.room_id() == room_id)
            }
            Self::SendKnock => {
                let found = SendKnock::parse(origin, request)?;
                assert_eq!(found.clone().into_owned(), found);
                let is_it = (found.room_id(), found.event_id()) == (room_id, last);
                Ok(found == SendKnock::new(room_id, last, origin, body) && is_it)
            }
            Self::SendLeave => {
                let found = SendLeave::parse(origin, request)?;
                assert_eq!(found.clone().into_owned(), found);
                let is_it = (found.room_id(), found.event_id()) == (room_id, last);
                Ok(found == SendLeave::new(room_id, last, origin, body) && is_it)
            }
            Self::OldSendLeave => {
                let found = SendLeave::parse(origin, request)?;
                assert_eq!(found.clone().into_owned(), found);
                // It is answered in another way.
                assert_ne!(found, SendLeave::new(room_id, last, origin, body));
                Ok((found.room_id(), found.event_id()) == (room_id, last))
            }
        }
    }

    /// As it is read with a good query and body.
    fn read_path(self, path: &str, room_id: &str, last: &str) -> Result<bool, Refusal> {
        self.read(self.request(path), Parts { room_id, last, versions: &["10"], body: "{}" })
    }

    fn refused(self, request: HttpRequest<'_>) -> Refusal {
        let nothing = Parts { room_id: ROOM, last: "", versions: &[], body: "" };
        let refusal = self.read(request, nothing).expect_err(request.path);
        let expected = match refusal {
            Refusal::Path(PathError::NoSuchEndpoint) => {
                (404, r#"{"errcode":"M_UNRECOGNIZED","error":"No such endpoint"}"#)
            }
            Refusal::Path(PathError::Method) => (405, r#"{"errcode":"M_UNRECOGNIZED","error":"No such method here"}"#),
            Refusal::Path(PathError::UriTooLong) => (414, r#"{"errcode":"M_TOO_LARGE","error":"The URI is too long"}"#),
            Refusal::Path(PathError::Encoding) => {
                (400, r#"{"errcode":"M_INVALID_PARAM","error":"The path is not percent-encoded UTF-8"}"#)
            }
            Refusal::Path(PathError::RoomId) => (404, r#"{"errcode":"M_NOT_FOUND","error":"Unknown room"}"#),
            Refusal::NotUtf8 => (400, r#"{"errcode":"M_BAD_JSON","error":"The body is not JSON"}"#),
            _ => panic!("{refusal:?}"),
        };
        let response = refusal.to_response();
        assert_eq!((response.status(), response.to_string().as_str()), expected);
        refusal
    }
}

#[test]
fn paths() {
    for endpoint in ALL {
        for (encoded, id) in [
            ("!room:a.example", "!room:a.example"),
            ("%21room%3Aa.example", "!room:a.example"),
            ("%21room%3aa.example%3a8448", "!room:a.example:8448"),
            ("!2dpEZGZptZRLjpG4zhaOpng8UeStblrCZUl1wSMFdyE", "!2dpEZGZptZRLjpG4zhaOpng8UeStblrCZUl1wSMFdyE"),
            ("%21a%2Fb%25%3F%23+c%20:a.example", "!a/b%?#+c :a.example"),
            ("%21%F0%9F%91%8B:[::1]", "!👋:[::1]"),
            // Not as it should be, but clear.
            ("!👋:a.example", "!👋:a.example"),
            ("!a?b&c=d:a.example", "!a?b&c=d:a.example"),
        ] {
            for (last, decoded) in [
                ("@kay:k.example", "@kay:k.example"),
                ("%40kay%3Ak.example", "@kay:k.example"),
                ("%24event", "$event"),
                ("$event", "$event"),
                ("%2F%3F%23%25", "/?#%"),
                ("a+b%20c", "a+b c"),
                ("%252F", "%2F"),
                ("é%C3%A9", "éé"),
                ("%00", "\0"),
                // What it names is for later steps to say.
                ("", ""),
                ("..", ".."),
            ] {
                let path = endpoint.path_of(encoded, last);
                assert_eq!(endpoint.read_path(&path, id, decoded), Ok(true), "{path}");
                assert_eq!(endpoint.read_path(&path, id, "other"), Ok(false), "{path}");
                assert_eq!(endpoint.read_path(&path, "!other:a.example", decoded), Ok(false), "{path}");
            }
        }
    }
}

#[test]
fn other_paths() {
    for endpoint in ALL {
        let name = endpoint.path();
        let (api, short) = name.split_once('/').expect("a version and a name");
        for path in [
            String::new(),
            "/".to_owned(),
            format!("/_matrix/federation/{name}"),
            format!("/_matrix/federation/{name}/"),
            format!("/_matrix/federation/{name}/!a:b"),
            // Segments too many.
            format!("/_matrix/federation/{name}/!a:b/x/"),
            format!("/_matrix/federation/{name}/!a:b/x/y"),
            format!("/_matrix/federation/{name}/!a:b//"),
            format!("/_matrix/federation/{name}/!a/b:c/x"),
            format!("/_matrix/federation/{name}//!a:b/x"),
            format!("/_matrix/federation//{name}/!a:b/x"),
            format!("//_matrix/federation/{name}/!a:b/x"),
            format!("_matrix/federation/{name}/!a:b/x"),
            format!(" /_matrix/federation/{name}/!a:b/x"),
            format!("https://a.example/_matrix/federation/{name}/!a:b/x"),
            format!("/_matrix/client/{name}/!a:b/x"),
            format!("/_matrix/Federation/{name}/!a:b/x"),
            format!("/_matrix/federation/{}/!a:b/x", name.to_uppercase()),
            format!("/_matrix/federation/{}/!a:b/x", name.replace('k', "%6B").replace('l', "%6C")),
            format!("/_matrix/federation/{api}%2F{short}/!a:b/x"),
            format!("/_matrix/federation/v3/{short}/!a:b/x"),
            format!("/_matrix/federation/{short}/!a:b/x"),
            format!("/_matrix/federation/unstable/{short}/!a:b/x"),
            format!("/_matrix/federation/{api}/{short}x/!a:b/x"),
            "/_matrix/federation/v1/make_join/!a:b/x".to_owned(),
            "/_matrix/federation/v2/send_join/!a:b/x".to_owned(),
            "/_matrix/federation/v2/invite/!a:b/x".to_owned(),
        ] {
            assert_eq!(endpoint.refused(endpoint.request(&path)), Refusal::Path(PathError::NoSuchEndpoint), "{path}");
        }
        // Each knows its own, and the old path of one of them.
        for other in ALL {
            let path = other.path_of(ROOM, "x");
            let is_leave = |endpoint| matches!(endpoint, Endpoint::SendLeave | Endpoint::OldSendLeave);
            if other == endpoint || is_leave(other) && is_leave(endpoint) {
                continue;
            }
            for method in [endpoint.method(), other.method()] {
                let request = HttpRequest { method, ..endpoint.request(&path) };
                assert_eq!(endpoint.refused(request), Refusal::Path(PathError::NoSuchEndpoint), "{path}");
            }
        }
        // The others have but one version.
        if !matches!(endpoint, Endpoint::SendLeave | Endpoint::OldSendLeave) {
            let path = endpoint.path_of(ROOM, "x").replacen("v1", "v2", 1);
            assert_eq!(endpoint.refused(endpoint.request(&path)), Refusal::Path(PathError::NoSuchEndpoint), "{path}");
        }
    }
}

#[test]
fn methods() {
    for endpoint in ALL {
        let path = endpoint.path_of(ROOM, "x");
        for method in ["GET", "PUT", "POST", "HEAD", "DELETE", "OPTIONS", "get", "put", "", "GET ", "PUT\n"] {
            let request = HttpRequest { method, ..endpoint.request(&path) };
            if method == endpoint.method() {
                let parts = Parts { room_id: ROOM, last: "x", versions: &["10"], body: "{}" };
                assert_eq!(endpoint.read(request, parts), Ok(true));
            } else {
                assert_eq!(endpoint.refused(request), Refusal::Path(PathError::Method), "{method}");
            }
        }
    }
}

#[test]
fn identifiers() {
    for endpoint in ALL {
        for bad in ["%", "a%", "a%2", "%zz", "%2g", "%FF", "%C3", "%ED%A0%BD", "%C0%AF", "%+1", "%é", "% 1"] {
            for (room_id, last) in [(format!("!{bad}:b"), "x"), (ROOM.to_owned(), bad)] {
                let path = endpoint.path_of(&room_id, last);
                assert_eq!(endpoint.refused(endpoint.request(&path)), Refusal::Path(PathError::Encoding), "{path}");
            }
        }
        for bad in [
            "",
            "room",
            "@a:b",
            "%23a:b",
            "$a:b",
            "!",
            "!a%00:b",
            "!a:",
            "!a:b_c",
            "!a:b:c",
            "!a:b%20",
            "%2521a:b",
            " !a:b",
            &format!("!{}:b", "a".repeat(253)),
            &format!("!{}:b", "é".repeat(127)),
        ] {
            let path = endpoint.path_of(bad, "x");
            assert_eq!(endpoint.refused(endpoint.request(&path)), Refusal::Path(PathError::RoomId), "{path}");
        }
    }
}

#[test]
fn what_is_too_long() {
    const MOST: usize = 65_536;
    for endpoint in ALL {
        // 255 bytes, each of them encoded; an ID cannot be longer.
        let longest = format!("!{}:b", "a".repeat(252));
        let encoded = format!("%21{}%3A%62", "%61".repeat(252));
        assert_eq!(encoded.len(), 765);
        let path = endpoint.path_of(&encoded, &"%61".repeat(255));
        assert_eq!(endpoint.read_path(&path, &longest, &"a".repeat(255)), Ok(true));
        for (room_id, last) in [
            (ROOM.to_owned(), "x".repeat(766)),
            (format!("{encoded}1"), "x".to_owned()),
            (format!("!{}", "%".repeat(765)), "x".to_owned()),
            (ROOM.to_owned(), "%61".repeat(100_000)),
        ] {
            let path = endpoint.path_of(&room_id, &last);
            assert_eq!(endpoint.refused(endpoint.request(&path)), Refusal::Path(PathError::UriTooLong), "{path}");
        }
        let path = endpoint.path_of(ROOM, &"%".repeat(765));
        assert_eq!(endpoint.refused(endpoint.request(&path)), Refusal::Path(PathError::Encoding));

        let path = endpoint.path_of(ROOM, "x");
        let query = format!("ver=10&x={}", "x".repeat(MOST - 9));
        assert_eq!(query.len(), MOST);
        let parts = Parts { room_id: ROOM, last: "x", versions: &["10"], body: "{}" };
        assert_eq!(endpoint.read(HttpRequest { query: &query, ..endpoint.request(&path) }, parts), Ok(true));
        let query = format!("{query}x");
        let request = HttpRequest { query: &query, ..endpoint.request(&path) };
        assert_eq!(endpoint.refused(request), Refusal::Path(PathError::UriTooLong));
    }
}

#[test]
fn versions() {
    let path = Endpoint::MakeKnock.path_of(ROOM, "x");
    let good = Endpoint::MakeKnock.request(&path);
    let read = |query: &str, versions: &[&str]| {
        let parts = Parts { room_id: ROOM, last: "x", versions, body: "" };
        Endpoint::MakeKnock.read(HttpRequest { query, ..good }, parts)
    };
    for (query, versions) in [
        ("", &[][..]),
        ("ver=10", &["10"]),
        ("ver=7&ver=8&ver=9&ver=10&ver=11&ver=12", &["7", "8", "9", "10", "11", "12"]),
        // As they come, one of them twice, none of them known.
        ("ver=10&ver=1&ver=10", &["10", "1", "10"]),
        ("ver=org.example.x&ver=", &["org.example.x", ""]),
        ("ver", &[""]),
        ("ver==10&ver=1=0", &["=10", "1=0"]),
        ("ver=1%30&v%65r=%31%31&%76%65%72=12", &["10", "11", "12"]),
        ("ver=a+b&ver=a%2Bb&ver=a%20b", &["a b", "a+b", "a b"]),
        ("ver=%C3%A9&ver=é", &["é", "é"]),
        ("ver=%26&ver=%00", &["&", "\0"]),
        ("&&ver=10&&", &["10"]),
        // Not percent-encoded UTF-8: no version.
        ("ver=%&ver=%2&ver=%zz&ver=%FF&%=10&%FF=10&ver=10", &["10"]),
        ("Ver=10&VER=10&ver[]=10&vers=10&ve=10&%20ver=10&x=ver&ver%3D10", &[]),
        ("ver=10;ver=11", &["10;ver=11"]),
        ("?ver=10", &[]),
        ("user_id=@a:b&ver=10&access_token=secret", &["10"]),
    ] {
        assert_eq!(read(query, versions), Ok(true), "{query}");
    }
    // A hundred of them are read, whatever they are.
    let many = |count: usize| (0..count).map(|number| format!("ver={number}&x=1")).collect::<Vec<_>>().join("&");
    let numbers: Vec<String> = (0..100).map(|number: u32| number.to_string()).collect();
    let numbers: Vec<&str> = numbers.iter().map(String::as_str).collect();
    assert_eq!(read(&many(100), &numbers), Ok(true));
    for query in [many(101), many(5000), vec!["ver=%"; 101].join("&"), vec!["ver"; 101].join("&")] {
        assert_eq!(
            Endpoint::MakeKnock.refused(HttpRequest { query: &query, ..good }),
            Refusal::Path(PathError::UriTooLong)
        );
    }
    // The others have no such parameter.
    for endpoint in ALL.into_iter().filter(|endpoint| *endpoint != Endpoint::MakeKnock) {
        let path = endpoint.path_of(ROOM, "x");
        for query in ["", "ver=%", "?", "&&&", &many(5000)] {
            let parts = Parts { room_id: ROOM, last: "x", versions: &[], body: "{}" };
            let request = HttpRequest { query, ..endpoint.request(&path) };
            assert_eq!(endpoint.read(request, parts), Ok(true), "{query}");
        }
    }
}

/// Which versions are among those of the query shows when the request is checked.
#[test]
fn versions_that_are_offered() {
    let state = StateMap::<Pdu<'_>>::new();
    let room_id = RoomId::parse(ROOM).expect("a room ID");
    let room = ResidentRoom { room_id, version: RoomVersion::V10, residence: Residence::Joined };
    let path = Endpoint::MakeKnock.path_of(ROOM, "@kay:k.example");
    let incompatible = || Refusal::IncompatibleRoomVersion(RoomVersion::V10);
    for (query, refusal) in [
        ("", Some(Refusal::NoVersions)),
        ("ver=%", Some(Refusal::NoVersions)),
        ("Ver=10", Some(Refusal::NoVersions)),
        ("ver=", Some(incompatible())),
        ("ver", Some(incompatible())),
        ("ver=1&ver=11", Some(incompatible())),
        ("ver=10+", Some(incompatible())),
        ("ver=010", Some(incompatible())),
        ("ver=11&ver=%31%30", None),
        ("ver=10", None),
    ] {
        let request = HttpRequest { query, ..Endpoint::MakeKnock.request(&path) };
        let found = MakeKnock::parse(knocking_server(), request).and_then(|request| request.check(&room, &state));
        match (found, refusal) {
            // It goes on to the rules, which find no room.
            (Err(Refusal::Rejected { .. }), None) => {}
            (found, refusal) => assert_eq!(found.err(), refusal, "{query}"),
        }
    }
}

#[test]
fn bodies() {
    for endpoint in ALL {
        let path = endpoint.path_of(ROOM, "x");
        let request = |body| HttpRequest { body, ..endpoint.request(&path) };
        for body in ["", "{}", " ", "null", "{\"a\":\"é\u{0}\u{feff}\u{10ffff}\"}", "<html>"] {
            let parts = Parts { room_id: ROOM, last: "x", versions: &["10"], body };
            assert_eq!(endpoint.read(request(body.as_bytes()), parts), Ok(true), "{body}");
        }
        for body in [&b"\xff"[..], b"{\"a\":\"\xc3\"}", b"\xed\xa0\xbd", b"\xc0\x80", b"{}\x80", b"\xfe\xff\0{\0}"] {
            // A `GET` has no body that anybody looks at.
            if endpoint.method() == "GET" {
                let parts = Parts { room_id: ROOM, last: "x", versions: &["10"], body: "" };
                assert_eq!(endpoint.read(request(body), parts), Ok(true), "{body:?}");
            } else {
                assert_eq!(endpoint.refused(request(body)), Refusal::NotUtf8, "{body:?}");
            }
        }
    }
    // What is in a body is for the next step to say.
    let room_id = RoomId::parse(ROOM).expect("a room ID");
    let room = ResidentRoom { room_id, version: RoomVersion::V10, residence: Residence::Joined };
    let path = Endpoint::SendKnock.path_of(ROOM, "x");
    for (body, kind) in [("", JsonErrorKind::UnexpectedEnd), ("<", JsonErrorKind::UnexpectedCharacter)] {
        let request = HttpRequest { body: body.as_bytes(), ..Endpoint::SendKnock.request(&path) };
        let request = SendKnock::parse(knocking_server(), request).expect("a request");
        let refusal = request.check(&room, &StateMap::<Pdu<'_>>::new()).map(drop);
        let Err(Refusal::Format(FormatError::Pdu(PduError::Json(error)))) = refusal else { panic!("{refusal:?}") };
        assert_eq!(error.kind(), kind);
    }
}

/// Path, method, length, encoding, room ID, versions or body: the first that is wrong is answered.
#[test]
fn the_first_mistake_is_answered() {
    for endpoint in ALL {
        let query = "x".repeat(65_537);
        let too_many = "ver=&".repeat(101);
        let (other, long) = ("/x".to_owned(), endpoint.path_of("%", &"%".repeat(766)));
        let (encoding, room) = (endpoint.path_of("%", "%"), endpoint.path_of("x", "x"));
        let bad = HttpRequest { method: "POST", path: &other, query: &query, body: b"\xff" };
        let with_method = HttpRequest { method: endpoint.method(), ..bad };
        for (request, refusal) in [
            (bad, Refusal::Path(PathError::NoSuchEndpoint)),
            (HttpRequest { path: &long, ..bad }, Refusal::Path(PathError::Method)),
            (HttpRequest { path: &encoding, ..with_method }, Refusal::Path(PathError::UriTooLong)),
            (HttpRequest { path: &long, query: &too_many, ..with_method }, Refusal::Path(PathError::UriTooLong)),
            (HttpRequest { path: &encoding, query: &too_many, ..with_method }, Refusal::Path(PathError::Encoding)),
            (HttpRequest { path: &room, query: &too_many, ..with_method }, Refusal::Path(PathError::RoomId)),
        ] {
            assert_eq!(endpoint.refused(request), refusal);
        }
    }
}

/// A leave is answered as its endpoint has it, the first time and again.
#[test]
fn answers_to_a_leave() {
    for (version, join_rule) in rooms() {
        let leave = Submission::new(Membership::Leave, version, join_rule);
        let (event_id, body) = leave.request();
        let (state, named) = (texts(&leave.state), leave.auth_events.iter().map(|(event, _)| event.clone()));
        let (state, named) = (pdus(&state).into_iter().collect::<StateMap<_>>(), texts(&named.collect::<Vec<_>>()));
        let named = pdus(&named);
        let encoded = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
        let room_id = RoomId::parse(&leave.room_id).expect("a room ID");
        let room = ResidentRoom { room_id, version, residence: Residence::Joined };
        for (endpoint, answer) in [(Endpoint::SendLeave, "{}"), (Endpoint::OldSendLeave, "[200,{}]")] {
            let path = endpoint.path_of(&encoded(&leave.room_id), &encoded(&event_id));
            let request = HttpRequest { method: "PUT", path: &path, query: "", body: body.as_bytes() };
            let origin = ServerName::parse("k.example").expect("a server name");
            for request in [
                SendLeave::parse(origin, request).expect("a request"),
                SendLeave::parse(origin, request).expect("a request").into_owned(),
            ] {
                let verified = request.check(&room, &state).and_then(|it| it.verify(&AllKeys, &Ed25519, THEN));
                let verified = verified.expect("a signed leave");
                let found = named.iter().map(|event| AuthEventRef { event, status: AuthStatus::Accepted });
                let auth_events = verified.match_auth_events(found).expect("all of them");
                let allowed = verified.clone().authorize(&auth_events, &state, &state).expect("a leave");
                let accepted = allowed.accept(&state, PolicyVerdict::NotNamed, Decision::Admit).expect("a leave");
                let no_text = |_: &&Pdu<'_>| -> Option<String> { panic!("nothing of the state is shown") };
                assert!(accepted.reads().is_empty());
                assert_eq!(accepted.to_response(&state, no_text).as_deref(), Ok(answer));
                assert_eq!(accepted.room_state(&state).map(|events| events.len()), Ok(0));
                assert_eq!(verified.known().to_response(&state, no_text).as_deref(), Ok(answer));
            }
        }
    }
}
