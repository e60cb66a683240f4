//! Requests and answers by their parts, for a host with types of its own for them.

use matrix_knock::event::{Event as _, KeyValidity, KeysFn, Pdu, Verify, VerifyKey};
use matrix_knock::id::{EventId, KeyId, OwnedServerName, RoomId, ServerName, UserId};
use matrix_knock::knocking::{Details, Failed, Failure, Intent, Knocking, OwnMembership, PendingKnock, Start};
use matrix_knock::machine::{Endpoint, ErrorReply, Machine as _, Reply, Request, Want};
use matrix_knock::policy::PolicyVerdict;
use matrix_knock::resident::submission::{HostVerdict, SendKnock};
use matrix_knock::resident::{Decision, Residence, ResidentRoom};
use matrix_knock::room_version::RoomVersion;
use matrix_knock::state::StateMap;
use matrix_knock::stripped_state::StrippedEvent;
use matrix_knock::sync::{KnockedRoom, MemberEventKey};
use matrix_knock::wire::HttpResponse;

use super::{CREATE, JOIN_RULES, KNOCK, NAME, knock, stripped};

const NOW: u64 = 1_700_000_000_000;

struct Anything;

impl Verify for Anything {
    fn verify(&self, _public_key: &[u8; 32], _message: &[u8], _signature: &[u8; 64]) -> bool {
        true
    }
}

fn any_key() -> KeysFn<impl Fn(&str, &str) -> Option<VerifyKey>> {
    KeysFn(|_: &str, _: &str| Some(VerifyKey { public_key: [0; 32], validity: KeyValidity::Forever }))
}

fn start() -> Knocking {
    let start = Knocking::start(&Intent {
        room_id: RoomId::parse("!r:a.example").unwrap(),
        user_id: UserId::parse("@kay:b.example").unwrap(),
        own: OwnMembership::OutOfBand,
        servers: &[OwnedServerName::parse("a.example").unwrap()],
        versions: &[RoomVersion::V9, RoomVersion::V10],
        details: &Details::default(),
    });
    match start {
        Start::Remote(knocking) => *knocking,
        Start::Local | Start::Failed(_) => panic!("{start:?}"),
    }
}

fn asked(knocking: &Knocking) -> Request {
    match knocking.want() {
        (_, Want::Request(request)) => request,
        (_, other) => panic!("{other:?}"),
    }
}

fn reply(knocking: &mut Knocking, reply: Reply<'_>) {
    let (ticket, _) = knocking.want();
    knocking.reply(ticket, reply, NOW).unwrap();
}

const TEMPLATE: &str = r#"{"type":"m.room.member","sender":"@kay:b.example","state_key":"@kay:b.example",
    "room_id":"!r:a.example","content":{"membership":"knock"},"depth":3,"origin_server_ts":1,
    "auth_events":["$CfT5xE9KUcYpbuxIJaL3Ka8vcLsbkDtpwVM4C-zLkBo","$DfT5xE9KUcYpbuxIJaL3Ka8vcLsbkDtpwVM4C-zLkBo"],
    "prev_events":["$EfT5xE9KUcYpbuxIJaL3Ka8vcLsbkDtpwVM4C-zLkBo"]}"#;

#[test]
fn a_knock_by_parts() {
    let mut knocking = start();
    let Request { server, endpoint } = asked(&knocking);
    assert_eq!(server, "a.example");
    let Endpoint::MakeKnock { room_id, user_id, versions } = endpoint else { panic!("{endpoint:?}") };
    assert_eq!((room_id.as_str(), user_id.as_str()), ("!r:a.example", "@kay:b.example"));
    assert_eq!(versions, [RoomVersion::V9, RoomVersion::V10]);
    let request = asked(&knocking);
    assert_eq!((request.method(), request.query(), request.body()), ("GET", "ver=9&ver=10".to_owned(), None));
    assert_eq!(request.path(), "/_matrix/federation/v1/make_knock/%21r%3Aa.example/%40kay%3Ab.example");
    assert_eq!(request.path_and_query(), format!("{}?{}", request.path(), request.query()));

    reply(&mut knocking, Reply::Template { room_version: Some("10"), event: TEMPLATE });
    let (ticket, Want::Sign(bytes)) = knocking.want() else { panic!("{knocking:?}") };
    assert!(bytes.starts_with('{'));
    knocking.signature(ticket, KeyId::parse("ed25519:1").unwrap(), &[7; 64]).unwrap();
    let request = asked(&knocking);
    let Endpoint::SendKnock { room_id, event } = &request.endpoint else { panic!("{request:?}") };
    assert_eq!(
        (room_id.as_str(), Some(event.text()), request.method()),
        ("!r:a.example", request.body().as_deref(), "PUT")
    );

    // The entries one by one; those that do not verify are not shown.
    reply(&mut knocking, Reply::Accepted { knock_room_state: &[CREATE, "{}"] });
    let (ticket, Want::Keys(_)) = knocking.want() else { panic!("{knocking:?}") };
    let verified = knocking.keys(ticket, &any_key(), &Anything, NOW).unwrap();
    assert_eq!(verified.dropped().count(), 2);
    let outcome: Option<Result<PendingKnock, Failed>> = knocking.outcome();
    assert_eq!(outcome.unwrap().unwrap().event(), event);
}

/// An error as it came, with the header, and by its parts.
#[test]
fn errors_by_parts_and_the_header_that_says_when() {
    let body = r#"{"errcode":"M_LIMIT_EXCEEDED","error":"Too many","x":[1]}"#;
    let by_parts = ErrorReply {
        status: 429,
        errcode: Some("M_LIMIT_EXCEEDED"),
        error: Some("Too many"),
        room_version: None,
        retry_after_ms: Some(3000),
        body: Some(r#"{"errcode":"","error":"","x":[1]}"#),
    };
    for error in [
        Reply::from(HttpResponse { status: 429, retry_after: Some("3"), body }),
        Reply::Response(HttpResponse { status: 429, retry_after: Some("3"), body }),
        Reply::Error(by_parts),
    ] {
        let mut knocking = start();
        reply(&mut knocking, error);
        let failure = Failure::RateLimited { retry_after_ms: Some(3000) };
        let failed = knocking.outcome().unwrap().unwrap_err();
        assert_eq!((&failed.failure, &failed.perhaps), (&failure, &None), "{error:?}");
        assert_eq!((failed.error(), failed.extra()), (Some("Too many"), Some(r#"{"x":[1]}"#)), "{error:?}");
    }
    let other_version = ErrorReply {
        status: 400,
        errcode: Some("M_INCOMPATIBLE_ROOM_VERSION"),
        error: None,
        room_version: Some("12"),
        retry_after_ms: None,
        body: None,
    };
    let mut knocking = start();
    reply(&mut knocking, Reply::Error(other_version));
    let failure = Failure::IncompatibleRoomVersion { room_version: "12".to_owned() };
    assert_eq!(knocking.outcome(), Some(Err(Failed::from(failure))));
    let mut knocking = start();
    reply(&mut knocking, Reply::None);
    assert_eq!(knocking.outcome(), Some(Err(Failed::from(Failure::NoAnswer))));
}

/// The state that the answer shows, event by event, beside the finished body.
#[test]
fn the_answer_to_a_knock_by_parts() {
    let knock = knock();
    let room_id = RoomId::parse("!r:a.example").unwrap();
    let request = SendKnock::new(room_id, knock.event_id(), ServerName::parse("b.example").unwrap(), knock.text());
    let room = ResidentRoom { room_id, version: RoomVersion::V10, residence: Residence::Joined };
    let state = StateMap::from([NAME, JOIN_RULES, CREATE].map(|text| Pdu::parse(text).unwrap()));
    let checked = request.check(&room, &state).unwrap();
    let verified = checked.verify(&any_key(), &Anything, NOW).unwrap();
    let authorized = verified.authorize_by_host(HostVerdict::Allowed).unwrap();
    let accepted =
        authorized.accept_by_host(HostVerdict::Allowed, &state, PolicyVerdict::NotNamed, Decision::Admit).unwrap();
    assert_eq!((accepted.event().event_id(), accepted.pdu().event_id()), (Some(knock.event_id()), knock.event_id()));
    let shown: Vec<&Pdu<'_>> = accepted.room_state(&state).unwrap();
    assert_eq!(shown.iter().map(|event| event.text()).collect::<Vec<_>>(), [CREATE, JOIN_RULES, NAME]);
    let response = accepted.to_response(&state, |event| Some(event.event_type().into_owned())).unwrap();
    assert_eq!(response, r#"{"knock_room_state":[m.room.create,m.room.join_rules,m.room.name]}"#);
}

/// The user's own member event in `/sync`, of any type that a host has for events.
#[test]
fn the_member_event_of_any_event() {
    let user = UserId::parse("@kay:b.example").unwrap();
    let event_id = EventId::parse("$knock").unwrap();
    let pdu = Pdu::parse(KNOCK).unwrap();
    let room = || KnockedRoom::new(vec![stripped(CREATE)], user);
    let key = MemberEventKey::Unstable;
    let of_pdu = room().with_member_event(key, event_id, &pdu, NOW);
    let event: Box<dyn matrix_knock::event::Event> = Box::new(pdu.clone());
    for of_other in [
        room().with_member_event(key, event_id, &pdu.into_owned(), NOW),
        room().with_member_event(key, event_id, &event, NOW),
        room().with_member_event(key, event_id, &&*event, NOW),
    ] {
        assert_eq!(of_other, of_pdu);
    }
    let expected = concat!(
        r#","org.matrix.msc4319.state":{"events":[{"content":{"membership":"knock","reason":"Let me in"},"#,
        r#""event_id":"$knock","origin_server_ts":1700000000000,"sender":"@kay:b.example","#,
        r#""state_key":"@kay:b.example","type":"m.room.member"}]}}"#
    );
    assert!(of_pdu.to_string().ends_with(expected), "{of_pdu}");
    assert_eq!(StrippedEvent::of(&event), Some(stripped(KNOCK)));
}
