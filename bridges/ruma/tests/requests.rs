//! Typed requests and responses: what a machine wants is what ruma sends; what ruma receives is
//! what the machine and the steps get.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up fails")]

use std::fmt::Debug;

use matrix_knock::error::{Errcode, ErrorResponse, PathError};
use matrix_knock::event::{Ed25519Key, Pdu, SignedEvent, sign_event};
use matrix_knock::id::{OwnedServerName, RoomId, ServerName, UserId};
use matrix_knock::knocking::invitation::{InviteRefusal, InviteRequest};
use matrix_knock::knocking::{Details, Intent, Knocking, OwnMembership, Retracting, Start};
use matrix_knock::machine::{Endpoint, ErrorReply, Machine, NotTaken, Reply, Request, Want};
use matrix_knock::resident::submission::{SendKnock, SendLeave};
use matrix_knock::resident::{Decision, HostError, MakeKnock, MakeLeave, Refusal, Residence, ResidentRoom};
use matrix_knock::state::StateMap;
use matrix_knock::template::{PrevEvent, Template};
use matrix_knock::wire::HttpResponse;
use matrix_knock::{RoomVersion, event::Sign as _};
use matrix_knock_ruma::error::to_ruma;
use matrix_knock_ruma::machine::{TypedReply, TypedRequest};
use matrix_knock_ruma::{Unconvertible, invitation, resident};
use proptest::prelude::*;
use ruma_common::api::error::{Error, FromHttpResponseError};
use ruma_common::api::path_builder::SinglePath;
use ruma_common::api::{
    IncomingRequest, IncomingRequestExt as _, IncomingResponse, IncomingResponseExt as _, Metadata, OutgoingBody as _,
    OutgoingRequest, OutgoingResponse, OutgoingResponseExt as _,
};
use ruma_common::{OwnedRoomId, RoomVersionId};
use ruma_federation_api::membership::{
    create_invite, create_knock_event, create_leave_event, prepare_knock_event, prepare_leave_event,
};
use serde_json::value::RawValue;

const NOW: u64 = 1_700_000_000_000;
const ROOM: &str = "!room:a.example";
const KAY: &str = "@kay:b.example";
const CREATE: &str = r#"{"auth_events":[],"content":{"creator":"@alice:a.example"},"depth":1,"hashes":{},"origin_server_ts":1,"prev_events":[],"room_id":"!room:a.example","sender":"@alice:a.example","signatures":{},"state_key":"","type":"m.room.create"}"#;
const JOIN_RULES: &str = r#"{"auth_events":[],"content":{"join_rule":"knock"},"depth":2,"hashes":{},"origin_server_ts":1,"prev_events":[],"room_id":"!room:a.example","sender":"@alice:a.example","signatures":{},"state_key":"","type":"m.room.join_rules"}"#;

fn room_id() -> RoomId<'static> {
    RoomId::parse(ROOM).expect("a room")
}

fn server() -> ServerName<'static> {
    ServerName::parse("b.example").expect("a server")
}

fn signed(membership: &str) -> SignedEvent {
    let id = "$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let event = format!(
        r#"{{"type":"m.room.member","sender":"{KAY}","state_key":"{KAY}","room_id":"{ROOM}","content":{{"membership":"{membership}"}},
        "auth_events":["{id}"],"prev_events":["{id}"],"depth":7,"origin_server_ts":1700000000000}}"#
    );
    let key = Ed25519Key::from_seed("ed25519:1", &[7; 32]).expect("a key");
    sign_event(RoomVersion::V10, &event, server(), &key).expect("an event")
}

/// What ruma sends for a typed request, without authentication: method, path, query, body.
fn sent<R>(request: R) -> (String, String, String, Vec<u8>)
where
    R: OutgoingRequest + Metadata<PathBuilder = SinglePath>,
{
    let request = request.try_into_http_request_inner("https://a.example", ()).expect("a request");
    let (parts, body) = request.into_parts();
    let Ok(body) = body.try_into_buf::<Vec<u8>>() else { panic!("a body") };
    let query = parts.uri.query().unwrap_or_default().to_owned();
    (parts.method.to_string(), parts.uri.path().to_owned(), query, body)
}

fn sent_typed(request: TypedRequest) -> (String, String, String, Vec<u8>) {
    match request {
        TypedRequest::MakeKnock(request) => sent(request),
        TypedRequest::SendKnock(request) => sent(request),
        TypedRequest::MakeLeave(request) => sent(request),
        TypedRequest::SendLeave(request) => sent(request),
        TypedRequest::Invite(request) => sent(request),
    }
}

fn decoded(path: &str) -> String {
    path.replace("%21", "!").replace("%3A", ":").replace("%40", "@").replace("%24", "$")
}

fn endpoints() -> Vec<Endpoint> {
    let room_id = || room_id().into_owned();
    let user_id = || UserId::parse(KAY).expect("a user").into_owned();
    vec![
        Endpoint::MakeKnock { room_id: room_id(), user_id: user_id(), versions: RoomVersion::ALL.to_vec() },
        Endpoint::SendKnock { room_id: room_id(), event: signed("knock") },
        Endpoint::MakeLeave { room_id: room_id(), user_id: user_id() },
        Endpoint::SendLeave { room_id: room_id(), event: signed("leave") },
        Endpoint::Invite {
            room_id: room_id(),
            room_version: RoomVersion::V10,
            event: signed("invite"),
            invite_room_state: vec![CREATE.to_owned(), JOIN_RULES.to_owned()],
        },
    ]
}

/// Method, path, query and body are those of the library's own request.
#[test]
fn what_a_machine_wants_is_what_ruma_sends() {
    for endpoint in endpoints() {
        let request = Request { server: server().into_owned(), endpoint };
        let ours = request.to_http();
        let (method, path, query, body) = sent_typed(TypedRequest::of(request.endpoint).expect("a request of ruma's"));
        assert_eq!((method.as_str(), decoded(&path), query), (ours.method, decoded(&ours.path), ours.query));
        let json = |body: &[u8]| serde_json::from_slice::<serde_json::Value>(body).ok();
        assert_eq!(json(&body), ours.body.as_deref().and_then(|body| json(body.as_bytes())), "{path}");
    }
}

#[test]
fn what_ruma_cannot_send() {
    let room_id = RoomId::parse("!r:a.example:99999").expect("a room").into_owned();
    let user_id = UserId::parse("@kay:b.example:99999").expect("a user").into_owned();
    let refused = |endpoint| match TypedRequest::of(endpoint) {
        Err(error) => error.to_string(),
        Ok(request) => panic!("{request:?}"),
    };
    let make = Endpoint::MakeKnock { room_id: room_id.clone(), user_id: user_id.clone(), versions: Vec::new() };
    assert_eq!(refused(make), "ruma does not take an identifier: server name is not a valid IP address or domain name");
    assert_eq!(
        refused(Endpoint::MakeLeave { room_id, user_id }),
        "ruma does not take an identifier: server name is not a valid IP address or domain name"
    );
    let response: ErrorResponse = Unconvertible::Endpoint.into();
    assert_eq!(response, ErrorResponse::internal("Internal server error"));
}

/// A typed request over the wire: as ruma writes it, and reads it at the other end.
fn received<R, I>(request: R, path_args: &[&str]) -> I
where
    R: OutgoingRequest + Metadata<PathBuilder = SinglePath>,
    I: IncomingRequest,
{
    let (method, path, query, body) = sent(request);
    let request = http::Request::builder().method(method.as_str()).uri(format!("{path}?{query}"));
    let request = request.body(body.as_slice()).expect("a request");
    I::try_from_http_request(request, path_args).expect("a request of ruma's")
}

#[test]
fn requests_into_steps() {
    for endpoint in endpoints() {
        let request = TypedRequest::of(endpoint).expect("a request of ruma's");
        let event_id = signed("knock");
        match request {
            TypedRequest::MakeKnock(request) => {
                let request: prepare_knock_event::v1::Request = received(request, &[ROOM, KAY]);
                let versions = RoomVersion::ALL.map(|version| version.to_string());
                let expected = MakeKnock::new(room_id(), KAY, server(), versions);
                assert_eq!(resident::make_knock(&request, server()), Ok(expected));
            }
            TypedRequest::SendKnock(request) => {
                let request: create_knock_event::v1::Request = received(request, &[ROOM, event_id.event_id()]);
                let expected = SendKnock::new(room_id(), event_id.event_id(), server(), event_id.text());
                assert_eq!(resident::send_knock(&request, server()), Ok(expected));
            }
            TypedRequest::MakeLeave(request) => {
                let request: prepare_leave_event::v1::Request = received(request, &[ROOM, KAY]);
                assert_eq!(resident::make_leave(&request, server()), Ok(MakeLeave::new(room_id(), KAY, server())));
            }
            TypedRequest::SendLeave(request) => {
                let leave = signed("leave");
                let request: create_leave_event::v2::Request = received(request, &[ROOM, leave.event_id()]);
                let expected = SendLeave::new(room_id(), leave.event_id(), server(), leave.text());
                assert_eq!(resident::send_leave(&request, server()), Ok(expected));
            }
            TypedRequest::Invite(request) => {
                let invite = signed("invite");
                let request: create_invite::v2::Request = received(request, &[ROOM, invite.event_id()]);
                let body = format!(
                    r#"{{"event":{},"invite_room_state":[{CREATE},{JOIN_RULES}],"room_version":"10"}}"#,
                    invite.text()
                );
                let expected = InviteRequest::new(room_id(), invite.event_id(), server(), body);
                assert_eq!(invitation::invite(&request, server()), Ok(expected));
            }
        }
    }
}

/// A room ID that only ruma takes is the ID of no room.
#[test]
fn rooms_that_only_ruma_takes() {
    let raw = || RawValue::from_string("{}".to_owned()).expect("JSON");
    let event_id = || ruma_common::EventId::parse("$e").expect("an ID").to_owned();
    let user_id = || ruma_common::UserId::parse(KAY).expect("a user").to_owned();
    for room in ["!", "!a:b_c", "!a:256.1.1.1", "!a:b:+8"] {
        let room: OwnedRoomId = room.try_into().expect("a room of ruma's");
        let refused = Refusal::Path(PathError::RoomId);
        let request = prepare_knock_event::v1::Request::new(room.clone(), user_id());
        assert_eq!(resident::make_knock(&request, server()), Err(refused.clone()));
        let request = prepare_leave_event::v1::Request::new(room.clone(), user_id());
        assert_eq!(resident::make_leave(&request, server()), Err(refused.clone()));
        let request = create_knock_event::v1::Request::new(room.clone(), event_id(), raw());
        assert_eq!(resident::send_knock(&request, server()), Err(refused.clone()));
        let request = create_leave_event::v2::Request::new(room.clone(), event_id(), raw());
        assert_eq!(resident::send_leave(&request, server()), Err(refused.clone()));
        let request = create_invite::v2::Request::new(room, event_id(), RoomVersionId::V10, raw(), Vec::new());
        assert_eq!(invitation::invite(&request, server()), Err(InviteRefusal::Path(PathError::RoomId)));
        assert_eq!(refused.to_response().status(), 404);
    }
    // A user that only ruma takes is refused by the step.
    let texts = [CREATE, JOIN_RULES].map(|text| Pdu::parse(text).expect("an event"));
    let room = ResidentRoom { room_id: room_id(), version: RoomVersion::V10, residence: Residence::Joined };
    let user = ruma_common::UserId::parse("@kay:256.1.1.1").expect("a user of ruma's").to_owned();
    let request = prepare_knock_event::v1::Request::new(ROOM.try_into().expect("a room"), user);
    let step = resident::make_knock(&request, server()).expect("a step");
    assert_eq!(step.check(&room, &StateMap::from(texts)), Err(Refusal::UserId));
}

fn template() -> Template {
    let ids = ["$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "$BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"];
    let [create, join_rules] = [CREATE, JOIN_RULES].map(|text| Pdu::parse(text).expect("an event"));
    let events = [create.with_event_id(ids[0]), join_rules.with_event_id(ids[1])];
    let id = matrix_knock::id::EventId::parse("$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").expect("an ID");
    let room = ResidentRoom { room_id: room_id(), version: RoomVersion::V10, residence: Residence::Joined };
    let state = StateMap::from(events);
    let request = MakeKnock::new(room_id(), KAY, server(), ["10"]).check(&room, &state).expect("an allowed request");
    let approved = request.decide(Decision::Admit).expect("an approved request");
    approved.template(&state, &[PrevEvent { event_id: id, depth: 3 }], NOW).expect("a template")
}

/// A response as ruma writes it.
fn written(response: impl OutgoingResponse) -> http::Response<Vec<u8>> {
    response.try_into_http_response().expect("a response")
}

fn json(text: &[u8]) -> serde_json::Value {
    serde_json::from_slice(text).expect("JSON")
}

#[test]
fn steps_into_responses() {
    let template = template();
    let knock = written(resident::make_knock_response(&template).expect("a response"));
    let leave = written(resident::make_leave_response(&template).expect("a response"));
    for response in [knock, leave] {
        assert_eq!((response.status().as_u16(), json(response.body())), (200, json(template.to_response().as_bytes())));
    }
    let events = [CREATE, JOIN_RULES].map(|text| Pdu::parse(text).expect("an event"));
    let text = |event: &Pdu<'_>| RawValue::from_string(event.text().to_owned()).ok();
    let response = written(resident::send_knock_response(events.clone(), text).expect("a response"));
    assert_eq!(json(response.body()), json(format!(r#"{{"knock_room_state":[{CREATE},{JOIN_RULES}]}}"#).as_bytes()));
    // Without a create event there is no answer, as in the library.
    let no_create = |result: Result<create_knock_event::v1::Response, Refusal>| match result {
        Err(refusal) => refusal,
        Ok(response) => panic!("{response:?}"),
    };
    let refusal = Refusal::Host(HostError::NoCreateEvent);
    assert_eq!(no_create(resident::send_knock_response(events.iter().skip(1), |event| text(event))), refusal);
    assert_eq!(no_create(resident::send_knock_response(events, |_| None)), refusal);
}

/// A machine that asks one server, or two.
fn knocking(servers: &[&str]) -> Knocking {
    let servers: Vec<OwnedServerName> = servers.iter().map(|name| name.parse().expect("a server")).collect();
    let details = Details::default();
    let intent = Intent {
        room_id: room_id(),
        user_id: UserId::parse(KAY).expect("a user"),
        own: OwnMembership::OutOfBand,
        servers: &servers,
        versions: &RoomVersion::ALL,
        details: &details,
    };
    match Knocking::start(&intent) {
        Start::Remote(knocking) => *knocking,
        other => panic!("{other:?}"),
    }
}

/// One that has sent its event.
fn sending(servers: &[&str]) -> Knocking {
    let mut machine = knocking(servers);
    let (ticket, _) = machine.want();
    TypedReply::from(resident::make_knock_response(&template()).expect("a response"))
        .feed(&mut machine, ticket, NOW)
        .expect("an asked reply");
    let key = Ed25519Key::from_seed("ed25519:1", &[7; 32]).expect("a key");
    let (ticket, want) = machine.want();
    let Want::Sign(bytes) = want else { panic!("{want:?}") };
    let signature = key.sign(bytes.as_bytes());
    machine.signature(ticket, key.key_id(), &signature).expect("an asked signature");
    machine
}

/// Both replies leave the machine in the same state.
fn same<M: Machine + Clone + PartialEq + Debug>(machine: &M, typed: &TypedReply, reply: Reply<'_>) {
    let (mut one, mut other) = (machine.clone(), machine.clone());
    let (ticket, _) = machine.want();
    assert_eq!(typed.feed(&mut one, ticket, NOW), Ok(()));
    assert_eq!(other.reply(ticket, reply, NOW), Ok(()));
    assert_eq!(one, other, "{typed:?}");
    // And are taken once.
    assert_eq!(typed.feed(&mut one, ticket, NOW), Err(NotTaken::NotAsked));
}

fn read<R: IncomingResponse<EndpointError = Error>>(
    status: u16,
    body: &str,
) -> Result<R, FromHttpResponseError<Error>> {
    let response = http::Response::builder().status(status).body(body.as_bytes()).expect("a response");
    R::try_from_http_response(response)
}

fn read_with_header<R: IncomingResponse<EndpointError = Error>>(header: &str, body: &str) -> TypedReply
where
    TypedReply: From<R>,
{
    let response = http::Response::builder().status(429).header("Retry-After", header);
    R::try_from_http_response(response.body(body.as_bytes()).expect("a response")).into()
}

#[test]
fn replies_of_ruma_are_replies_of_the_machine() {
    let (making, sending) = (knocking(&["a.example", "c.example"]), sending(&["a.example", "c.example"]));
    let leaving = Retracting::start(&matrix_knock::knocking::Departure {
        room_id: room_id(),
        user_id: UserId::parse(KAY).expect("a user"),
        servers: &["a.example".parse().expect("a server")],
        versions: &[RoomVersion::V10],
        reason: None,
    });
    fn response(body: &str) -> Reply<'_> {
        HttpResponse::new(200, body).into()
    }

    let body = template().to_response();
    same(&making, &read::<prepare_knock_event::v1::Response>(200, &body).into(), response(&body));
    let leave = body.replace(r#""membership":"knock""#, r#""membership":"leave""#);
    same(&leaving, &read::<prepare_leave_event::v1::Response>(200, &leave).into(), response(&leave));
    let stripped = r#"{"content":{"name":"x"},"sender":"@a:a.example","state_key":"","type":"m.room.name"}"#;
    for body in ["{\"knock_room_state\":[]}".to_owned(), format!(r#"{{"knock_room_state":[{CREATE},{stripped}]}}"#)] {
        same(&sending, &read::<create_knock_event::v1::Response>(200, &body).into(), response(&body));
    }
    same(&sending, &create_leave_event::v2::Response::new().into(), Reply::Accepted { knock_room_state: &[] });
    let event = RawValue::from_string(CREATE.to_owned()).expect("JSON");
    same(&sending, &create_invite::v2::Response::new(event).into(), Reply::Invited { event: CREATE });
    same(&sending, &TypedReply::None, Reply::None);

    // What ruma cannot read: no template; an accepted knock that shows nothing.
    for body in ["", "[]", r#"{"event":1}"#, r#"{"knock_room_state":[1]}"#, "<html>"] {
        let unreadable: TypedReply = read::<prepare_knock_event::v1::Response>(200, body).into();
        same(&making, &unreadable, response(body));
        let unreadable: TypedReply = read::<create_knock_event::v1::Response>(200, body).into();
        same(&sending, &unreadable, response(""));
        assert!(sending.knock().is_some() && matches!(unreadable, TypedReply::Unreadable), "{body}");
    }
}

/// Errors with every code, status and property come to what the answer itself comes to.
#[test]
fn errors_of_ruma_are_errors_of_the_machine() {
    let machines = [knocking(&["a.example"]), sending(&["a.example"]), knocking(&["a.example", "c.example"])];
    let codes = Errcode::ALL.map(|errcode| errcode.as_str().to_owned()).into_iter().chain(
        ["M_USER_LOCKED", "M_UNKNOWN_TOKEN", "M_RESOURCE_LIMIT_EXCEEDED", "ORG.X", "M_UNABLE_TO_GRANT_JOIN"]
            .map(str::to_owned),
    );
    let mut bodies: Vec<String> = vec![String::new(), "<html>".to_owned(), "{}".to_owned(), "[1]".to_owned()];
    for code in codes {
        bodies.push(format!(r#"{{"errcode":"{code}","error":"Geht nicht: \"zu\""}}"#));
        bodies.push(format!(r#"{{"errcode":"{code}","error":"x","room_version":"11"}}"#));
        bodies.push(format!(r#"{{"errcode":"{code}"}}"#));
    }
    bodies.push(r#"{"errcode":"M_LIMIT_EXCEEDED","error":"x","retry_after_ms":2500}"#.to_owned());
    bodies.push(r#"{"errcode":"ORG.X","error":"x","contact":{"a":[1]}}"#.to_owned());
    for machine in &machines {
        for body in &bodies {
            for status in [400, 403, 404, 405, 408, 413, 429, 500, 502] {
                let typed: TypedReply = read::<prepare_knock_event::v1::Response>(status, body).into();
                // ruma keeps no properties that the code does not have, and adds one to a code:
                // these are compared without.
                let kept = match &typed {
                    TypedReply::Error(error) => match &error.body {
                        ruma_common::api::error::ErrorBody::Standard(body) => {
                            serde_json::to_string(body).expect("JSON")
                        }
                        _ => body.clone(),
                    },
                    other => panic!("{other:?}"),
                };
                same(machine, &typed, HttpResponse::new(status, &kept).into());
                let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
                let lost = kept != *body && read(&kept) != read(body);
                let keeps = ["INCOMPATIBLE", "RESOURCE_LIMIT"].iter().any(|code| body.contains(code));
                let loses = body.contains("room_version") && !keeps;
                let adds = body.contains("M_USER_LOCKED") && body.contains("error\"");
                assert_eq!(lost, loses || adds, "{body} {kept}");
            }
        }
    }
}

#[test]
fn when_to_try_again() {
    let machine = knocking(&["a.example"]);
    let body = r#"{"errcode":"M_LIMIT_EXCEEDED","error":"x"}"#;
    let failed = |typed: TypedReply| {
        let mut machine = machine.clone();
        let (ticket, _) = machine.want();
        typed.feed(&mut machine, ticket, NOW).expect("an asked reply");
        let failed = machine.outcome().expect("an end").expect_err("a failure");
        failed.to_response().retry_after_ms()
    };
    type Response = prepare_knock_event::v1::Response;
    assert_eq!(failed(read_with_header::<Response>("3", body)), Some(3000));
    // A date, by the host's clock: NOW is 2023-11-14 22:13:20.
    assert_eq!(failed(read_with_header::<Response>("Tue, 14 Nov 2023 22:14:20 GMT", body)), Some(60_000));
    assert_eq!(failed(read_with_header::<Response>("Tue, 14 Nov 2023 22:13:00 GMT", body)), Some(0));
    let limited = |retry_after_ms| TypedReply::Error(to_ruma(&ErrorResponse::limit_exceeded(retry_after_ms)));
    assert_eq!(failed(limited(Some(2500))), Some(2500));
    assert_eq!(failed(limited(None)), None);
}

/// An error by its parts comes to the same as one of ruma's with the same parts.
#[test]
fn errors_by_their_parts() {
    for response in [
        ErrorResponse::new(Errcode::Forbidden, "no"),
        ErrorResponse::incompatible_room_version("org.example.x"),
        ErrorResponse::limit_exceeded(Some(1500)),
    ] {
        let parts = ErrorReply {
            status: response.status(),
            errcode: Some(response.errcode().as_str()),
            error: Some(response.error()),
            room_version: response.room_version(),
            retry_after_ms: response.retry_after_ms(),
            body: None,
        };
        same(&knocking(&["a.example"]), &TypedReply::Error(to_ruma(&response)), Reply::Error(parts));
    }
}

proptest! {
    /// Whatever another server answers, typed or not, nothing panics, and the machine takes one
    /// answer.
    #[test]
    fn any_answer(status in 200_u16..600, body in "(\\{\"(errcode|event|knock_room_state|room_version)\":[\\[\\]{}\":a-z0-9,]{0,20}\\}|.{0,20})") {
        for machine in [knocking(&["a.example"]), sending(&["a.example"])] {
            let replies: [TypedReply; 4] = [
                read::<prepare_knock_event::v1::Response>(status, &body).into(),
                read::<create_knock_event::v1::Response>(status, &body).into(),
                read::<prepare_leave_event::v1::Response>(status, &body).into(),
                read::<create_invite::v2::Response>(status, &body).into(),
            ];
            for reply in replies {
                let mut machine = machine.clone();
                let (ticket, _) = machine.want();
                prop_assert_eq!(reply.feed(&mut machine, ticket, NOW), Ok(()));
                prop_assert_eq!(reply.feed(&mut machine, ticket, NOW), Err(NotTaken::NotAsked));
            }
        }
    }

    /// No event text makes a typed request panic on its way through the first step.
    #[test]
    fn any_event(text in "\\{\"[a-z_]{0,12}\":[1-9][0-9]{0,2}\\}|[1-9][0-9]{0,3}|\"[a-z]{0,8}\"") {
        let pdu = RawValue::from_string(text.clone()).expect("JSON");
        let event_id = ruma_common::EventId::parse("$e").expect("an ID").to_owned();
        let request = create_knock_event::v1::Request::new(ROOM.try_into().expect("a room"), event_id, pdu);
        let step = resident::send_knock(&request, server()).expect("a step");
        let events = [CREATE, JOIN_RULES].map(|text| Pdu::parse(text).expect("an event"));
        let room = ResidentRoom { room_id: room_id(), version: RoomVersion::V10, residence: Residence::Joined };
        let same = SendKnock::new(room_id(), "$e", server(), text);
        let state = StateMap::from(events);
        prop_assert_eq!(step.check(&room, &state).map(drop), same.check(&room, &state).map(drop));
    }
}
