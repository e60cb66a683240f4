//! A ruma-based host's whole path in both roles, on ruma's typed requests and responses.
//!
//! Two servers in one process: `a.example` has a room that people can knock on, `b.example` has
//! users who knock. What goes from one to the other are ruma's request and response types, as
//! ruma's own `try_into_http_request` and `try_from_http_response` would write and read them. Both
//! keep events in a struct of ruma's types and the state in ruma-state-res's map.
//!
//! There is no store that awaits in here: the library's `examples/async_server.rs` shows that.
//!
//! `cargo run --example ruma_host`

use std::cell::RefCell;
use std::collections::HashMap;
use std::error::Error;
use std::rc::Rc;

use matrix_knock::auth::AuthStatus;
use matrix_knock::event::{
    Ed25519Key, KeyValidity, Keys, MemberFacts, Membership, Sign, SignedEvent, VerifyKey, sign_event,
};
use matrix_knock::id::{EventId, RoomId, ServerName, UserId};
use matrix_knock::knocking::invitation::{AcceptedInvite, InviteDecision};
use matrix_knock::knocking::out_of_band::Acceptance;
use matrix_knock::knocking::room_state::ShowUnverified;
use matrix_knock::knocking::{
    Details, Failure, Intent, Knocking, OwnMembership, PendingKnock, Retracted, Retracting, Start,
};
use matrix_knock::machine::{Machine, Want};
use matrix_knock::policy::PolicyVerdict;
use matrix_knock::resident::answer::{Action, AnswerRequest, Answered};
use matrix_knock::resident::submission::{AuthEventRef, SendRequest};
use matrix_knock::resident::{Decision, Refusal, RequestKind, Residence, ResidentRoom};
use matrix_knock::stripped_state::ShownTypes;
use matrix_knock::sync::KnockedRoom;
use matrix_knock::template::PrevEvent;
use matrix_knock::{Ed25519, RoomVersion};
use matrix_knock_ruma::error::ApiError;
use matrix_knock_ruma::id::RumaId as _;
use matrix_knock_ruma::machine::{TypedReply, TypedRequest};
use matrix_knock_ruma::state::StateMap;
use matrix_knock_ruma::{client, invitation, resident, room_version};
use ruma_client_api::knock::knock_room;
use ruma_common::api::error::{ErrorKind, FromHttpResponseError};
use ruma_common::{OwnedEventId, OwnedRoomId, OwnedServerName, OwnedUserId, RoomVersionId};
use ruma_events::{StateEventType, TimelineEventType};
use ruma_federation_api::membership::{
    create_invite, create_knock_event, create_leave_event, prepare_knock_event, prepare_leave_event,
};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

/// 2026-11-25 12:00:00 UTC, in milliseconds since the Unix epoch.
const NOW: u64 = 1_795_608_000_000;
const ALICE: &str = "@alice:a.example";

/// An event as ruma-based hosts keep it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct PduEvent {
    #[serde(skip)]
    event_id: Option<OwnedEventId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room_id: Option<OwnedRoomId>,
    sender: OwnedUserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<OwnedServerName>,
    origin_server_ts: u64,
    #[serde(rename = "type")]
    kind: TimelineEventType,
    content: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_key: Option<String>,
    prev_events: Vec<OwnedEventId>,
    auth_events: Vec<OwnedEventId>,
    depth: u64,
    hashes: Box<RawValue>,
    signatures: Box<RawValue>,
    /// Three bytes, so that a decision need not read the content.
    #[serde(skip)]
    member_facts: Option<MemberFacts>,
}

matrix_knock_ruma::impl_event! {
    impl Event for PduEvent |pdu| {
        event_type: &pdu.kind,
        state_key: pdu.state_key.as_deref(),
        sender: &pdu.sender,
        content: &pdu.content,
        room_id: pdu.room_id.as_deref(),
        event_id: pdu.event_id.as_deref(),
        prev_events: &pdu.prev_events,
        member_facts: pdu.member_facts.unwrap_or_else(|| MemberFacts::of(pdu.content.get())),
    }
}

impl PduEvent {
    fn read(event_id: &str, text: &str) -> Result<Self, Box<dyn Error>> {
        let event: Self = serde_json::from_str(text)?;
        let member_facts = Some(MemberFacts::of(event.content.get()));
        Ok(Self { event_id: Some(event_id.try_into()?), member_facts, ..event })
    }
}

type State = HashMap<(StateEventType, String), Rc<PduEvent>>;

/// A room as a line of events. (A real room is a graph, and the state before an event takes state
/// resolution.)
struct Room {
    id: OwnedRoomId,
    version: RoomVersionId,
    events: Vec<Rc<PduEvent>>,
    state: State,
}

impl Room {
    fn append(&mut self, event_id: &str, text: &str) -> Result<(), Box<dyn Error>> {
        let event = Rc::new(PduEvent::read(event_id, text)?);
        if let Some(state_key) = &event.state_key {
            self.state.insert((event.kind.to_string().into(), state_key.clone()), Rc::clone(&event));
        }
        self.events.push(event);
        Ok(())
    }

    fn event(&self, event_id: &str) -> Option<&Rc<PduEvent>> {
        self.events.iter().find(|event| event.event_id.as_deref().is_some_and(|id| id == event_id))
    }

    /// Takes a knock or a leave that another server sends. Returns the events that the answer to a
    /// knock shows; none for a leave.
    fn submit<K: RequestKind>(&mut self, request: SendRequest<'_, K>) -> Result<Vec<Rc<PduEvent>>, ApiError> {
        let (resident_room, state) = (self.resident()?, StateMap(&self.state));
        let checked = request.check(&resident_room, &state)?.verify(&KnownKeys, &Ed25519, NOW)?;
        if self.event(checked.event_id()).is_some() {
            return Ok(checked.known().room_state(&state)?.into_iter().cloned().collect());
        }
        let known = checked.auth_events().filter_map(|event_id| self.event(event_id));
        let known = known.map(|event| AuthEventRef { event: Rc::clone(event), status: AuthStatus::Accepted });
        let auth_events = checked.match_auth_events(known.collect::<Vec<_>>())?;
        // In a line of events the state before the event is the current one.
        let authorized = checked.authorize(&auth_events, &state, &state)?;
        let accepted = authorized.accept(&state, PolicyVerdict::NotNamed, Decision::Admit)?;
        let stored = accepted.to_text().map_err(|_| Refusal::UnknownState)?;
        let shown = accepted.room_state(&state)?.into_iter().cloned().collect();
        let event_id = accepted.pdu().event_id().to_owned();
        // A real host sends the event to every server with a joined user as well.
        self.append(&event_id, &stored).map_err(|_| Refusal::UnknownState)?;
        Ok(shown)
    }

    /// The room as the library's steps see it.
    fn resident(&self) -> Result<ResidentRoom<'_>, ApiError> {
        let room_id = RoomId::from_ruma(&self.id).map_err(|_| Refusal::UnknownRoom)?;
        let version = room_version::from_ruma(&self.version, &RoomVersion::ALL).map_err(|_| Refusal::UnknownRoom)?;
        Ok(ResidentRoom { room_id, version, residence: Residence::Joined })
    }

    /// The forward extremity of the room.
    fn last(&self) -> Result<PrevEvent<'_>, ApiError> {
        let last = self.events.last().and_then(|event| Some((event.event_id.as_deref()?, event.depth)));
        let (event_id, depth) = last.ok_or(Refusal::UnknownState)?;
        let event_id = EventId::from_ruma(event_id).map_err(|_| Refusal::UnknownState)?;
        Ok(PrevEvent { event_id, depth })
    }
}

/// An event as it goes between servers.
fn text(event: &Rc<PduEvent>) -> Option<Box<RawValue>> {
    to_raw_value(&**event).ok()
}

/// A homeserver.
struct Server {
    name: OwnedServerName,
    key: Ed25519Key,
    rooms: RefCell<HashMap<OwnedRoomId, Room>>,
    /// The knocks of its users that wait for an answer.
    knocks: RefCell<Vec<PendingKnock>>,
    invites: RefCell<Vec<AcceptedInvite>>,
}

/// The public keys of both servers. (A real host fetches `/_matrix/key/v2/server`.)
struct KnownKeys;

impl Keys for KnownKeys {
    fn key(&self, server: &str, key_id: &str) -> Option<VerifyKey> {
        let public_key = key(server).ok().filter(|key| key.key_id().as_str() == key_id)?.public_key();
        Some(VerifyKey { public_key, validity: KeyValidity::Until(NOW) })
    }
}

fn key(server: &str) -> Result<Ed25519Key, Box<dyn Error>> {
    Ok(Ed25519Key::from_seed("ed25519:1", &[server.bytes().fold(0, u8::wrapping_add); 32])?)
}

/// The room that a request names.
macro_rules! room {
    ($rooms:expr, $request:expr) => {
        $rooms.get(&$request.room_id).ok_or(Refusal::UnknownRoom)?
    };
}

/// The handlers of ruma's federation requests. `origin` is the server that asks, as its request was
/// authenticated.
impl Server {
    fn make_knock(
        &self,
        origin: ServerName<'_>,
        request: &prepare_knock_event::v1::Request,
    ) -> Result<prepare_knock_event::v1::Response, ApiError> {
        let rooms = self.rooms.borrow();
        let room = room!(rooms, request);
        let (resident_room, state) = (room.resident()?, StateMap(&room.state));
        let approved = resident::make_knock(request, origin)?.check(&resident_room, &state)?.decide(Decision::Admit)?;
        Ok(resident::make_knock_response(&approved.template(&state, &[room.last()?], NOW)?)?)
    }

    fn send_knock(
        &self,
        origin: ServerName<'_>,
        request: &create_knock_event::v1::Request,
    ) -> Result<create_knock_event::v1::Response, ApiError> {
        let mut rooms = self.rooms.borrow_mut();
        let room = rooms.get_mut(&request.room_id).ok_or(Refusal::UnknownRoom)?;
        Ok(resident::send_knock_response(room.submit(resident::send_knock(request, origin)?)?, text)?)
    }

    fn make_leave(
        &self,
        origin: ServerName<'_>,
        request: &prepare_leave_event::v1::Request,
    ) -> Result<prepare_leave_event::v1::Response, ApiError> {
        let rooms = self.rooms.borrow();
        let room = room!(rooms, request);
        let (resident_room, state) = (room.resident()?, StateMap(&room.state));
        let approved = resident::make_leave(request, origin)?.check(&resident_room, &state)?.decide(Decision::Admit)?;
        Ok(resident::make_leave_response(&approved.template(&state, &[room.last()?], NOW)?)?)
    }

    fn send_leave(
        &self,
        origin: ServerName<'_>,
        request: &create_leave_event::v2::Request,
    ) -> Result<create_leave_event::v2::Response, ApiError> {
        let mut rooms = self.rooms.borrow_mut();
        let room = rooms.get_mut(&request.room_id).ok_or(Refusal::UnknownRoom)?;
        room.submit(resident::send_leave(request, origin)?)?;
        Ok(create_leave_event::v2::Response::new())
    }

    fn invite(
        &self,
        origin: ServerName<'_>,
        request: &create_invite::v2::Request,
    ) -> Result<create_invite::v2::Response, ApiError> {
        let own = ServerName::from_ruma(&self.name).map_err(|_| Refusal::UnknownState)?;
        let step = invitation::invite(request, origin)?;
        let verified = step.check(own, &RoomVersion::ALL)?.verify(&KnownKeys, &Ed25519, NOW)?;
        let knocks = self.knocks.borrow();
        let current = |knock: &PendingKnock| EventId::parse(knock.event_id()).ok().map(EventId::into_owned);
        let answers = knocks.iter().find_map(|knock| {
            let current = current(knock);
            verified.acceptance(&knock.sent(current.as_ref().map(|id| id.as_borrowed()))).ok()
        });
        println!("  {}: the invite answers a knock: {}", self.name, answers == Some(Acceptance::LinkedByAuthEvents));
        let accepted = verified.decide(InviteDecision::Admit)?.countersign(&self.key)?;
        let response = invitation::invite_response(&accepted);
        self.invites.borrow_mut().push(accepted);
        Ok(response)
    }
}

/// What ruma's typed client returns: a response, or an error with a status.
type Answer<R> = Result<R, FromHttpResponseError<ruma_common::api::error::Error>>;

fn answer<R>(result: Result<R, ApiError>) -> Answer<R> {
    if let Err(error) = &result {
        println!("  -> {error}");
    }
    result.map_err(|error| FromHttpResponseError::Server(error.0))
}

/// The other servers.
struct Network(Vec<Rc<Server>>);

impl Network {
    /// Sends a typed request from one server to another, and returns the typed response.
    fn send(&self, from: &Server, to: &str, request: TypedRequest) -> TypedReply {
        let Some(to) = self.0.iter().find(|server| server.name == to) else { return TypedReply::None };
        let Ok(origin) = ServerName::from_ruma(&from.name) else { return TypedReply::None };
        println!("  {} -> {}: {}", from.name, to.name, name(&request));
        match request {
            TypedRequest::MakeKnock(request) => answer(to.make_knock(origin, &request)).into(),
            TypedRequest::SendKnock(request) => answer(to.send_knock(origin, &request)).into(),
            TypedRequest::MakeLeave(request) => answer(to.make_leave(origin, &request)).into(),
            TypedRequest::SendLeave(request) => answer(to.send_leave(origin, &request)).into(),
            TypedRequest::Invite(request) => answer(to.invite(origin, &request)).into(),
        }
    }
}

const fn name(request: &TypedRequest) -> &'static str {
    match request {
        TypedRequest::MakeKnock(_) => "make_knock",
        TypedRequest::SendKnock(_) => "send_knock",
        TypedRequest::MakeLeave(_) => "make_leave",
        TypedRequest::SendLeave(_) => "send_leave",
        TypedRequest::Invite(_) => "invite",
    }
}

impl Server {
    fn new(name: &str) -> Result<Rc<Self>, Box<dyn Error>> {
        Ok(Rc::new(Self {
            name: name.try_into()?,
            key: key(name)?,
            rooms: RefCell::default(),
            knocks: RefCell::default(),
            invites: RefCell::default(),
        }))
    }

    /// Drives any machine to its end. A real host stores the machine before it sends, to go on
    /// after a restart.
    fn drive<M: Machine>(&self, machine: &mut M, network: &Network) -> Result<M::Outcome, Box<dyn Error>> {
        loop {
            if let Some(outcome) = machine.outcome() {
                return Ok(outcome);
            }
            let (ticket, want) = machine.want();
            match want {
                Want::Request(request) => {
                    let typed = TypedRequest::of(request.endpoint)?;
                    network.send(self, request.server.as_str(), typed).feed(machine, ticket, NOW)?;
                }
                Want::Sign(bytes) => {
                    let signature = self.key.sign(bytes.as_bytes());
                    machine.signature(ticket, self.key.key_id(), &signature)?;
                }
                Want::Keys(_) => machine.keys(ticket, &KnownKeys, &Ed25519, NOW).map(drop)?,
                Want::Ended => {}
            }
        }
    }

    /// The handler of ruma's `knock_room`.
    fn knock_room(
        &self,
        user_id: &str,
        request: &knock_room::v3::Request,
        network: &Network,
    ) -> Result<knock_room::v3::Response, Box<dyn Error>> {
        let request = client::knock_request(request).map_err(ApiError::from)?;
        let room_id = RoomId::parse(request.room_id_or_alias().as_str())?;
        let details = Details { reason: request.reason().map(str::to_owned), ..Details::default() };
        let intent = Intent {
            room_id,
            user_id: UserId::parse(user_id)?,
            own: OwnMembership::OutOfBand,
            servers: request.via(),
            versions: &RoomVersion::ALL,
            details: &details,
        };
        let mut knocking = match Knocking::start(&intent) {
            Start::Remote(knocking) => knocking,
            Start::Failed(failure) => return Err(ApiError::from(failure).into()),
            Start::Local => return Err("the server is not in the room".into()),
        };
        let knock = self
            .drive(&mut *knocking, network)?
            .map_err(|failed| ApiError(matrix_knock_ruma::error::to_ruma(&failed.to_response())))?;
        self.knocks.borrow_mut().push(knock);
        Ok(client::knock_response(&matrix_knock::client::KnockResponse::new(room_id))?)
    }
}

/// A room of version 10 that Alice made and that people can knock on.
fn room(server: &Server) -> Result<Room, Box<dyn Error>> {
    let id: OwnedRoomId = "!room:a.example".try_into()?;
    let mut room = Room { id, version: RoomVersionId::V10, events: Vec::new(), state: State::new() };
    for (kind, state_key, content) in [
        ("m.room.create", "", r#"{"creator":"@alice:a.example","room_version":"10"}"#),
        ("m.room.member", ALICE, r#"{"membership":"join"}"#),
        ("m.room.power_levels", "", r#"{"users":{"@alice:a.example":100}}"#),
        ("m.room.join_rules", "", r#"{"join_rule":"knock"}"#),
        ("m.room.name", "", r#"{"name":"Knock!"}"#),
        ("m.room.member", "@mallory:b.example", r#"{"membership":"ban"}"#),
    ] {
        let signed = event(&room, server, kind, state_key, content)?;
        room.append(signed.event_id(), signed.text())?;
    }
    Ok(room)
}

/// A signed event of Alice's at the end of the room, whatever the rules say.
fn event(
    room: &Room,
    server: &Server,
    kind: &str,
    state_key: &str,
    content: &str,
) -> Result<SignedEvent, Box<dyn Error>> {
    let ids = |events: &[Rc<PduEvent>]| {
        let ids: Vec<_> = events.iter().filter_map(|event| event.event_id.clone()).collect();
        serde_json::to_string(&ids)
    };
    let (room_id, depth) = (&room.id, room.events.len().saturating_add(1));
    let text = format!(
        r#"{{"type":"{kind}","state_key":"{state_key}","sender":"{ALICE}","content":{content},"room_id":"{room_id}",
        "auth_events":{},"prev_events":{},"depth":{depth},"origin_server_ts":{NOW}}}"#,
        ids(room.events.get(..1).unwrap_or_default())?,
        ids(room.events.last_chunk::<1>().map_or(&[], |last| last.as_slice()))?,
    );
    let version = room_version::from_ruma(&room.version, &RoomVersion::ALL)?;
    Ok(sign_event(version, &text, ServerName::from_ruma(&server.name)?, &server.key)?)
}

/// What a user's membership is in the room.
fn membership(server: &Server, room_id: &OwnedRoomId, user: &str) -> Option<Membership> {
    let rooms = server.rooms.borrow();
    let key = (StateEventType::RoomMember, user.to_owned());
    rooms.get(room_id)?.state.get(&key)?.member_facts?.membership()
}

fn main() -> Result<(), Box<dyn Error>> {
    let (a, b) = (Server::new("a.example")?, Server::new("b.example")?);
    let room = room(&a)?;
    let room_id = room.id.clone();
    a.rooms.borrow_mut().insert(room_id.clone(), room);
    let network = Network(vec![Rc::clone(&a), Rc::clone(&b)]);
    let (kay, zoe) = ("@kay:b.example", "@zoe:b.example");

    println!("Kay knocks:");
    let mut request = knock_room::v3::Request::new(room_id.clone().into());
    request.reason = Some("Let me in, please".to_owned());
    request.via = vec!["down.example".try_into()?, "a.example".try_into()?];
    let response = b.knock_room(kay, &request, &network)?;
    assert_eq!(response.room_id, room_id);
    assert_eq!(membership(&a, &room_id, kay), Some(Membership::Knock));

    // What Kay's client is shown in `/sync`.
    let shown = {
        let knocks = b.knocks.borrow();
        let knock = knocks.first().ok_or("a knock")?;
        client::knocked_room(&KnockedRoom::new(knock.knock_state(ShowUnverified::BeforeV12), knock.user_id()))
    };
    for event in &shown.knock_state.events {
        println!("  shown: {}", event.json());
    }
    assert_eq!(shown.knock_state.events.len(), 4);

    println!("Alice accepts:");
    let mut inviting = {
        let rooms = a.rooms.borrow();
        let room = rooms.get(&room_id).ok_or("the room")?;
        let (resident_room, state) = (room.resident()?, StateMap(&room.state));
        let (alice, kay) = (UserId::parse(ALICE)?, UserId::parse(kay)?);
        let request = AnswerRequest::new(Action::Accept, alice, kay);
        let approved = request.check(&resident_room, &state)?.decide(Decision::Admit)?;
        let event = approved.sign(&state, &Details::default(), &[room.last()?], NOW, &a.key)?;
        let Answered::Invite(invite) = event.accept(&state, PolicyVerdict::NotNamed)? else {
            return Err("the invite of another server's user".into());
        };
        let text = |event: &&Rc<PduEvent>| text(event).map(|text| text.get().to_owned());
        invite.start(&ShownTypes::default(), &state, text)?
    };
    let countersigned = a.drive(&mut inviting, &network)??;
    {
        let mut rooms = a.rooms.borrow_mut();
        let room = rooms.get_mut(&room_id).ok_or("the room")?;
        let event = countersigned.accept(&StateMap(&room.state))?;
        room.append(event.event_id(), event.text())?;
    }
    assert_eq!(membership(&a, &room_id, kay), Some(Membership::Invite));
    let invites = b.invites.borrow();
    let invited = client::invited_room(invites.first().ok_or("an invite")?.invite_state(ShowUnverified::BeforeV12));
    println!("  shown with the invite: {} events", invited.invite_state.events.len());
    assert_eq!(invited.invite_state.events.len(), 5);

    println!("Zoe knocks, and takes it back:");
    b.knock_room(zoe, &request, &network)?;
    assert_eq!(membership(&a, &room_id, zoe), Some(Membership::Knock));
    let mut retracting = {
        let knocks = b.knocks.borrow();
        Retracting::of_knock(knocks.last().ok_or("a knock")?, &[], Some("Never mind"))
    };
    let Retracted::InRoom { server, event } = b.drive(&mut retracting, &network)? else {
        return Err("a leave in the room".into());
    };
    println!("  {server} has the leave {}", event.event_id());
    assert_eq!(membership(&a, &room_id, zoe), Some(Membership::Leave));

    println!("Mallory, who is banned, knocks:");
    let refused = b.knock_room("@mallory:b.example", &request, &network);
    let refused = refused.err().and_then(|error| error.downcast::<ApiError>().ok()).ok_or("a refusal")?;
    println!("  to the client: {refused}");
    assert_eq!((refused.0.status_code.as_u16(), refused.0.error_kind()), (403, Some(&ErrorKind::Forbidden)));

    println!("Nobody can be asked:");
    request.via = vec!["down.example".try_into()?];
    let refused = b.knock_room(kay, &request, &network);
    let refused = refused.err().and_then(|error| error.downcast::<ApiError>().ok()).ok_or("a refusal")?;
    println!("  to the client: {refused}");
    assert_eq!(refused.to_string(), ApiError::from(Failure::NoAnswer).to_string());
    assert_eq!(refused.0.status_code.as_u16(), 502);
    Ok(())
}
