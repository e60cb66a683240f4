//! Reality: every `make_knock`, `send_knock`, `make_leave` and `send_leave` that a recorded Synapse was sent gets the answer of
//! Synapse from our resident server, except where `exchanges/exceptions.rs` says what we decide otherwise, and why. Where the vectors
//! come from is said in `vectors/README.md`.
#![cfg(feature = "ed25519")]
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a vector that cannot be read fails the test"
)]

use std::collections::BTreeMap;

use matrix_knock::auth::AuthStatus;
use matrix_knock::error::PathError;
use matrix_knock::event::{Event, FormatError, Pdu, ServerKeys};
use matrix_knock::id::{EventId, RoomId, ServerName, UserId};
use matrix_knock::json::{CanonicalDialect, canonical};
use matrix_knock::policy::{PolicyServer, PolicyVerdict};
use matrix_knock::resident::submission::{AuthEventRef, SendKnock, SendLeave, SendRequest, SignatureChecked};
use matrix_knock::resident::{
    AuthStage, Decision, MakeKnock, MakeLeave, MakeRequest, Mismatch, Refusal, RequestKind, Residence, ResidentRoom,
};
use matrix_knock::state::{Reads, Snapshot};
use matrix_knock::template::PrevEvent;
use matrix_knock::wire::HttpRequest;
use matrix_knock::{Ed25519, RoomVersion};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

#[path = "exchanges/exceptions.rs"]
mod exceptions;

use exceptions::{EXCEPTIONS, Exception, Request};

const EXCHANGES: &str = include_str!("vectors/exchanges.jsonl");
const ROOMS: &str = include_str!("vectors/rooms.jsonl");
const MORE_EVENTS: &str = include_str!("vectors/more_events.jsonl");
const TAMPERED: &str = include_str!("vectors/tampered_send_knock.jsonl");
const MAKE_KNOCKS: &str = include_str!("vectors/make_knock.jsonl");
const KEYS: &str = include_str!("vectors/keys.jsonl");

/// The resident server of all the exchanges.
const RESIDENT: &str = "hs1.test:18448";

/// Where the independent reading of what the answers ought to be has another than we: note, theirs, ours.
///
/// An `event_id` in the body is a format error since version 3, which comes before the ID in the path (theirs names this as the
/// other fair reading; Synapse gives ours).
const READ_OTHERWISE: [(&str, &[&str], &str, &str); 2] = [
    (
        "an explicit event_id field",
        &["7", "10", "12"],
        "400 M_INVALID_PARAM (event ID in the path)",
        "400 M_BAD_JSON (format)",
    ),
    // The property means nothing before version 8.
    ("join_authorised_via_users_server in content", &["7"], "400 M_INVALID_PARAM (authorizing user)", "200 (accepted)"),
];

/// Requests that the library has no answer to: an event before them is unknown. (Synapse asks the other servers for the state.)
const UNDECIDED: [(&str, &str); 2] =
    [("send_knock", "prev_events unknown"), ("send_knock", "prev_events one known, one unknown")];

#[derive(Deserialize)]
struct Exchange<'a> {
    source: &'a str,
    kind: &'a str,
    note: Option<String>,
    during: Option<String>,
    room_version: &'a str,
    room_id: &'a str,
    user_id: Option<String>,
    event_id: Option<String>,
    ver: Option<Vec<&'a str>>,
    origin: Option<&'a str>,
    x_matrix: Option<&'a str>,
    request: Option<&'a str>,
    now: u64,
    state: Option<Vec<usize>>,
    current_state: Option<Vec<usize>>,
    #[serde(default)]
    prev_events: Vec<usize>,
    #[serde(default)]
    auth_events: Vec<usize>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
    body_tampered: Option<usize>,
    status: u16,
    response: Option<Value>,
    response_make_knock: Option<usize>,
    response_knock_room_state: Option<Vec<usize>>,
    expected: Option<&'a str>,
}

impl Exchange<'_> {
    /// What it is: the step of the recording, or in parentheses what a client did meanwhile.
    fn note(&self) -> String {
        self.note.clone().unwrap_or_else(|| format!("({})", self.during.as_ref().expect("a note or a cause")))
    }

    /// Why the host answers it without the library, if it does.
    fn not_for_us(&self) -> Option<&'static str> {
        let recorded = (self.status, self.response.as_ref().map(|response| &response["errcode"]));
        match (self.x_matrix, self.kind, self.request) {
            (Some(_), _, _) => {
                assert_eq!(recorded, (401, Some(&json!("M_UNAUTHORIZED"))), "{}", self.source);
                Some("the host's part: the request is not authenticated")
            }
            (None, _, _) => None,
        }
    }

    /// Method and version of the API.
    fn method_and_api(&self) -> (&'static str, &'static str) {
        match (self.kind, self.request) {
            ("make_knock" | "make_leave", None) => ("GET", "v1"),
            ("send_knock" | "send_leave", None) => ("PUT", "v1"),
            ("make_knock", Some("POST v1")) => ("POST", "v1"),
            ("send_knock" | "send_leave", Some("PUT v2")) => ("PUT", "v2"),
            other => panic!("{}: {other:?}", self.source),
        }
    }

    /// What the answer ought to be by the independent reading, which has nothing on endpoints that there are not.
    fn expected(&self) -> &str {
        match (self.kind, self.request) {
            ("make_knock", Some("POST v1")) => "405 M_UNRECOGNIZED (endpoint)",
            ("send_knock", Some("PUT v2")) => "404 M_UNRECOGNIZED (endpoint)",
            _ => self.expected.unwrap_or("200 (accepted)"),
        }
    }
}

struct Stored {
    pdu: Pdu<'static>,
    status: AuthStatus,
}

/// All that the resident server has.
struct Host {
    events: Vec<Stored>,
    keys: Vec<ServerKeys>,
    tampered: Vec<Value>,
    make_knocks: Vec<Value>,
}

type State = Vec<&'static Pdu<'static>>;

impl Host {
    fn new() -> &'static Self {
        #[derive(Deserialize)]
        struct Room<'a> {
            #[serde(borrow)]
            events: Vec<Recorded<'a>>,
        }
        #[derive(Deserialize)]
        struct Recorded<'a> {
            event_id: &'a str,
            rejected: Option<&'a str>,
            pdu: &'a RawValue,
        }
        let stored = |event: &Recorded<'static>| Stored {
            pdu: Pdu::parse_stored(event.pdu.get()).expect("an event").with_event_id(event.event_id),
            status: if event.rejected.is_some() { AuthStatus::Rejected } else { AuthStatus::Accepted },
        };
        let room = |line| serde_json::from_str::<Room<'static>>(line).expect("a room");
        let keys = |text| {
            let server = serde_json::from_str::<Value>(text).unwrap()["server_name"].as_str().unwrap().to_owned();
            ServerKeys::parse(ServerName::parse(&server).unwrap(), text, &Ed25519).expect("a signed document")
        };
        let values = |lines: &'static str| lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let rooms: Vec<_> = ROOMS.lines().chain(MORE_EVENTS.lines()).map(room).collect();
        Box::leak(Box::new(Self {
            events: rooms.iter().flat_map(|room| &room.events).map(stored).collect(),
            keys: KEYS.lines().map(keys).collect(),
            tampered: values(TAMPERED),
            make_knocks: values(MAKE_KNOCKS),
        }))
    }

    fn state(&'static self, numbers: &[usize]) -> State {
        numbers.iter().map(|number| &self.events[*number].pdu).collect()
    }

    fn has(&self, event_id: &str) -> bool {
        self.events.iter().any(|event| event.pdu.event_id() == Some(event_id))
    }

    fn depth(&self, number: usize) -> u64 {
        serde_json::from_str::<Value>(self.events[number].pdu.text()).unwrap()["depth"].as_u64().unwrap()
    }
}

/// A part of a path or a query, percent-encoded.
fn encoded(part: &str) -> String {
    part.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Whether a user of the resident server is joined.
fn residence(state: &State) -> Residence {
    let joined = |event: &&&Pdu<'_>| {
        let server = event.state_key().and_then(|user| UserId::parse(user).ok()).map(UserId::server_name);
        let content: Value = serde_json::from_str(event.content()).unwrap();
        event.event_type() == "m.room.member"
            && content["membership"] == "join"
            && server.is_some_and(|server| server.as_str() == RESIDENT)
    };
    if state.iter().any(|event| joined(&event)) { Residence::Joined } else { Residence::Left }
}

/// One request, put to the resident server.
struct Replay<'a> {
    host: &'static Host,
    exchange: &'a Exchange<'a>,
}

impl<'a> Replay<'a> {
    /// The body of a 200, or a refusal; nothing if the host has to find an answer without the library.
    fn answer(&self) -> Result<Option<String>, Refusal> {
        let exchange = self.exchange;
        let origin = ServerName::parse(exchange.origin.expect("an authenticated server")).unwrap();
        let last = exchange.user_id.as_deref().or(exchange.event_id.as_deref()).unwrap_or_default();
        let (method, api) = exchange.method_and_api();
        let (endpoint, room_id) = (exchange.kind, encoded(exchange.room_id));
        let path = format!("/_matrix/federation/{api}/{endpoint}/{room_id}/{}", encoded(last));
        let versions = exchange.ver.iter().flatten().map(|version| format!("ver={}", encoded(version)));
        let query = versions.collect::<Vec<_>>().join("&");
        let request = HttpRequest { method, path: &path, query: &query, body: self.body().as_bytes() };
        match endpoint {
            "make_knock" => self.make(MakeKnock::parse(origin, request)?).map(Some),
            "make_leave" => self.make(MakeLeave::parse(origin, request)?).map(Some),
            "send_knock" => self.send(&SendKnock::parse(origin, request)?),
            "send_leave" => self.send(&SendLeave::parse(origin, request)?),
            kind => panic!("{kind}"),
        }
    }

    fn body(&self) -> &'a str {
        match (self.exchange.body, self.exchange.body_tampered) {
            (Some(body), None) => body.get(),
            (None, Some(line)) => self.host.tampered[line]["body"].as_str().unwrap(),
            _ => "",
        }
    }

    fn version(&self) -> RoomVersion {
        self.exchange.room_version.parse().unwrap()
    }

    /// The state before the event.
    fn before(&self) -> State {
        self.exchange.state.as_ref().map(|numbers| self.host.state(numbers)).unwrap_or_default()
    }

    /// The current state, if the room is known. Without a record of its own it is the one before.
    fn current(&self) -> Option<State> {
        let numbers = self.exchange.current_state.as_ref().or(self.exchange.state.as_ref())?;
        Some(self.host.state(numbers))
    }

    /// The room, if this server knows it.
    fn room(&self) -> Result<ResidentRoom<'a>, Refusal> {
        let state = self.current().ok_or(Refusal::UnknownRoom)?;
        Ok(ResidentRoom {
            room_id: RoomId::parse(self.exchange.room_id).expect("the room ID of a known room"),
            version: self.version(),
            residence: residence(&state),
        })
    }

    /// The entries of the current state that a step reads.
    fn read(&self, reads: &Reads) -> Snapshot<&'static Pdu<'static>> {
        Snapshot::of_events(reads, self.current().unwrap_or_default())
    }

    fn make<K: RequestKind>(&self, request: MakeRequest<'_, K>) -> Result<String, Refusal> {
        let room = self.room()?;
        let state = self.read(&request.reads(&room));
        let approved = request.check(&room, &state)?.decide(Decision::Admit)?;
        let last: Vec<PrevEvent<'_>> = self
            .exchange
            .prev_events
            .iter()
            .map(|number| PrevEvent {
                event_id: EventId::parse(self.host.events[*number].pdu.event_id().unwrap()).unwrap(),
                depth: self.host.depth(*number),
            })
            .collect();
        Ok(approved.template(&self.read(&approved.reads()), &last, self.exchange.now).unwrap().to_response())
    }

    fn send<K: RequestKind>(&self, request: &SendRequest<'_, K>) -> Result<Option<String>, Refusal> {
        let version = self.version();
        let text = |event: &&&Pdu<'_>| event.to_federation(version).ok();
        let verified = self.verify(request)?;
        let is_known = |event: &&Pdu<'_>| event.event_id() == Some(verified.event_id());
        if self.current().unwrap_or_default().iter().any(is_known) {
            assert_eq!(self.exchange.note(), "the same event sent a second time");
            let again = verified.known();
            return Ok(Some(again.to_response(&self.read(&again.reads()), text).unwrap()));
        }
        // The host does not have all the events before it: to find them, or to refuse, is its part.
        if !verified.prev_events().all(|id| self.host.has(id)) {
            return Ok(None);
        }
        let known = self.exchange.auth_events.iter().map(|number| &self.host.events[*number]);
        let known = known.map(|event| AuthEventRef { event: &event.pdu, status: event.status });
        let auth_events = verified.match_auth_events(known)?;
        let reads = verified.reads();
        let before = Snapshot::of_events(&reads, self.before());
        let permitted = verified.authorize(&auth_events, &before, &self.read(&reads))?;
        assert_eq!(permitted.policy_server(&self.read(&PolicyServer::reads())), Ok(None));
        let state = self.read(&permitted.reads());
        let accepted = permitted.accept(&state, PolicyVerdict::NotNamed, Decision::Admit)?;
        let answer = accepted.to_response(&self.read(&accepted.reads()), text).unwrap();
        // The same once more, which the host knows by then.
        let again = self.verify(request)?;
        assert_eq!(again.event_id(), accepted.pdu().event_id());
        let again = again.known();
        assert_eq!(again.to_response(&self.read(&again.reads()), text).as_ref(), Ok(&answer));
        Ok(Some(answer))
    }

    fn verify<'q, K: RequestKind>(&self, request: &'q SendRequest<'_, K>) -> Result<SignatureChecked<'q, K>, Refusal> {
        let received = request.check(&self.room()?, &self.read(&request.reads()))?;
        received.verify(&self.host.keys, &Ed25519, self.exchange.now)
    }

    /// The body of our 200 is Synapse's, but for the order of what has none. No property stands on one side only.
    fn compare(&self, ours: &str) {
        assert_eq!(canonical(ours, CanonicalDialect::Strict).as_deref(), Ok(ours));
        let (exchange, ours) = (self.exchange, serde_json::from_str::<Value>(ours).unwrap());
        match (exchange.kind, &exchange.response) {
            ("make_knock" | "make_leave", recorded) => {
                let line = || &self.host.make_knocks[exchange.response_make_knock.expect("a line")]["response"];
                let sorted = |response: &Value| {
                    let mut response = response.clone();
                    for list in ["auth_events", "prev_events"] {
                        let list = response["event"][list].as_array_mut().unwrap();
                        list.sort_by_key(ToString::to_string);
                    }
                    response
                };
                assert_eq!(sorted(&ours), sorted(recorded.as_ref().unwrap_or_else(line)), "{}", exchange.source);
            }
            ("send_knock", None) => {
                let recorded = exchange.response_knock_room_state.as_ref().expect("the stripped state");
                let mut recorded: Vec<Value> = recorded
                    .iter()
                    .map(|number| {
                        let mut event: Value = serde_json::from_str(self.host.events[*number].pdu.text()).unwrap();
                        event.as_object_mut().unwrap().remove("unsigned");
                        event
                    })
                    .collect();
                let mut events = ours["knock_room_state"].as_array().unwrap().clone();
                assert_eq!((&events[0]["type"], ours.as_object().unwrap().len()), (&json!("m.room.create"), 1));
                for list in [&mut events, &mut recorded] {
                    list.sort_by_key(|event| event["hashes"]["sha256"].to_string());
                }
                assert_eq!(events, recorded, "{}", exchange.source);
            }
            ("send_leave", Some(recorded)) => assert_eq!(*recorded, ours),
            other => panic!("{}: {other:?}", exchange.source),
        }
    }
}

/// Status, errcode, and the room version if the body of an error has one.
fn summary(status: u16, body: &Value) -> String {
    match (body["errcode"].as_str(), body["room_version"].as_str()) {
        (Some(errcode), Some(version)) => format!("{status} {errcode} {version}"),
        (Some(errcode), None) => format!("{status} {errcode}"),
        (None, _) => status.to_string(),
    }
}

/// Which of the checks failed, in the words of the independent reading.
fn check(refusal: &Refusal, kind: &str) -> &'static str {
    match refusal {
        Refusal::Path(PathError::NoSuchEndpoint) | Refusal::Path(PathError::Method) => "endpoint",
        Refusal::Path(PathError::RoomId) | Refusal::UnknownRoom => "room",
        Refusal::NotInRoom => "resident left",
        Refusal::ServerDenied => "acl",
        Refusal::UserId => "user ID",
        Refusal::UserOfOtherServer => "user origin",
        Refusal::NoVersions | Refusal::IncompatibleRoomVersion(_) => "ver",
        Refusal::NoKnocking(_) => "version",
        Refusal::Format(FormatError::TooLarge { .. } | FormatError::TooLong(_)) => "size",
        Refusal::Format(_) => "format",
        Refusal::Mismatch(Mismatch::EventId) => "event ID in the path",
        Refusal::Mismatch(Mismatch::AuthorizingUser) => "authorizing user",
        Refusal::Mismatch(_) => "shape",
        Refusal::Signature(_) => "signature",
        Refusal::ContentHash => "content hash",
        Refusal::NoPrevEvents => "prev events",
        Refusal::UnknownAuthEvents(_) => "auth events",
        Refusal::Rejected { stage: AuthStage::Itself | AuthStage::AuthEvents, .. } => "auth events",
        Refusal::Rejected { stage: AuthStage::StateBefore, .. } => "state before",
        Refusal::Rejected { stage: AuthStage::CurrentState, .. } if kind.starts_with("make") => "authorization",
        other => panic!("{other:?} is in no recording"),
    }
}

#[test]
fn every_recorded_request_gets_its_answer() {
    let host = Host::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut exceptions: BTreeMap<(&str, &str, &str), usize> = BTreeMap::new();
    let mut checks: BTreeMap<String, usize> = BTreeMap::new();
    let mut read_otherwise = 0;
    for line in EXCHANGES.lines() {
        let exchange: Exchange<'_> = serde_json::from_str(line).expect("an exchange");
        let (note, what) = (exchange.note(), exchange.source);
        if let Some(why) = exchange.not_for_us() {
            *counts.entry(why).or_default() += 1;
            continue;
        }
        let answer = match (Replay { host, exchange: &exchange }).answer() {
            Ok(Some(body)) => Ok(body),
            Ok(None) => {
                assert!(UNDECIDED.contains(&(exchange.kind, &note)), "{what}: {note}");
                *counts.entry("the host's part: unknown previous events").or_default() += 1;
                continue;
            }
            Err(refusal) => Err(refusal),
        };
        let (ours, read) = match &answer {
            Ok(_) => ("200".to_owned(), "200 (accepted)".to_owned()),
            Err(refusal) => {
                let response = refusal.to_response();
                let ours = summary(response.status(), &serde_json::from_str(&response.to_string()).unwrap());
                let read = format!("{ours} ({})", check(refusal, exchange.kind));
                (ours, read)
            }
        };
        let synapse = summary(exchange.status, exchange.response.as_ref().unwrap_or(&Value::Null));
        let listed = EXCEPTIONS
            .iter()
            .filter(|exception| exception.kind == exchange.kind)
            .find_map(|exception| Some((exception, exception.requests.iter().find(|request| request.note == note)?)));
        // Of some requests Synapse says the same in one of the versions: the counts below tell.
        let listed = listed.filter(|_| ours != synapse);
        if let Some((exception, request)) = listed {
            assert_ne!(exception.ours, exception.synapse);
            assert_eq!((&*ours, &*synapse), (exception.ours, exception.synapse), "{what}: {note}");
            assert!(answer.is_err_and(|refusal| (request.is_refused_for)(&refusal)), "{what}: {note}");
            *counts.entry("another answer").or_default() += 1;
            *exceptions.entry((exception.reason, exception.kind, request.note)).or_default() += 1;
        } else {
            assert_eq!(ours, synapse, "{what}: {note}: {answer:?}");
            *counts.entry("the same answer").or_default() += 1;
            if let Ok(body) = answer {
                (Replay { host, exchange: &exchange }).compare(&body);
            }
        }
        let expected = exchange.expected();
        let otherwise = READ_OTHERWISE
            .iter()
            .find(|(otherwise, versions, ..)| note == *otherwise && versions.contains(&exchange.room_version));
        if let Some((_, _, theirs, ours)) = otherwise {
            assert_eq!((expected, &*read), (*theirs, *ours));
            read_otherwise += 1;
        } else {
            assert_eq!(read, expected, "{what}: {note}");
        }
        *checks.entry(format!("{} {read}", exchange.kind)).or_default() += 1;
    }
    println!("{counts:#?}");
    for (read, count) in &checks {
        println!("{count:4} {read}");
    }
    for exception in EXCEPTIONS {
        let Exception { reason, kind, synapse, ours, count, requests } = exception;
        println!("{count:4} {kind} {ours} for {synapse}: {reason}");
        let mut used = 0;
        for Request { note, .. } in *requests {
            let count = exceptions.get(&(*reason, *kind, *note));
            used += count.unwrap_or_else(|| panic!("{kind}: {note}"));
        }
        assert_eq!(used, *count, "{reason}");
    }
    let expected = [
        ("another answer", 138),
        ("the host's part: the request is not authenticated", 15),
        ("the host's part: unknown previous events", 6),
        ("the same answer", 691),
    ];
    assert_eq!((counts, read_otherwise), (BTreeMap::from(expected), 4));
}
