//! One whole asynchronous host in one file: a store that awaits and can fail, keys fetched in between, events by their IDs, the
//! state as it is at each step, and every failure of the host's own.
//!
//! `Host` plays both roles. The handlers `make_knock` and `send_knock` are those of the README; `knock` drives the machine of
//! the knocking server. There is no HTTP in here: two hosts hand each other requests.
//!
//! `cargo run --example async_server`

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use matrix_knock::auth::AuthStatus;
use matrix_knock::error::{ErrorResponse, PathError};
use matrix_knock::event::{
    Ed25519Key, Event, EventType, FormattedPdu, KeyValidity, Keys, KeysFn, Membership, OwnedPdu, Sign, VerifyKey,
    sign_event,
};
use matrix_knock::id::{EventId, OwnedRoomId, OwnedServerName, RoomId, ServerName, UserId};
use matrix_knock::knocking::room_state::ShowUnverified;
use matrix_knock::knocking::{Details, Failed, Failure, Intent, Knocking, OwnMembership, PendingKnock, Start};
use matrix_knock::machine::{Machine, Reply, Request, Want};
use matrix_knock::policy::{PolicyServer, PolicyVerdict};
use matrix_knock::resident::submission::{AuthEventRef, SendKnock};
use matrix_knock::resident::{Decision, MakeKnock, Refusal, Residence, ResidentRoom};
use matrix_knock::state::{Reads, Snapshot, StateMap};
use matrix_knock::template::PrevEvent;
use matrix_knock::wire::{HttpRequest, HttpResponse};
use matrix_knock::{Ed25519, RoomVersion};

/// 2026-11-25 12:00:00 UTC, in milliseconds since the Unix epoch.
const NOW: u64 = 1_795_608_000_000;

/// A room as the store has it: a line of events. (A real room is a graph, and its state takes state resolution.)
#[derive(Clone)]
pub(crate) struct Room {
    pub(crate) id: OwnedRoomId,
    pub(crate) version: RoomVersion,
    pub(crate) events: Vec<OwnedPdu>,
}

impl Room {
    fn resident(&self) -> ResidentRoom<'_> {
        ResidentRoom { room_id: self.id.as_borrowed(), version: self.version, residence: Residence::Joined }
    }

    /// Of each entry of `reads` the latest event among the first `length` of the room.
    fn state_at(&self, length: usize, reads: &Reads) -> Snapshot<OwnedPdu> {
        let wanted = |event: &&OwnedPdu| {
            event.state_key().is_some_and(|key| reads.contains(EventType::from(&*event.event_type()), key))
        };
        Snapshot::of_events(reads, self.events.iter().take(length).filter(wanted).cloned())
    }

    fn position(&self, event_id: &str) -> Option<usize> {
        self.events.iter().position(|event| event.event_id() == Some(event_id))
    }
}

/// The store is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoreError;

/// A failure of the store is the host's, not the room's: 500.
impl From<StoreError> for ErrorResponse {
    fn from(StoreError: StoreError) -> Self {
        Self::internal("The database does not answer")
    }
}

/// Rooms behind a connection: every call awaits, and may fail.
#[derive(Default)]
pub(crate) struct Store {
    rooms: Mutex<BTreeMap<OwnedRoomId, Room>>,
    /// Whether the connection is down.
    is_down: Mutex<bool>,
}

impl Store {
    pub(crate) fn insert(&self, room: Room) {
        self.rooms().insert(room.id.clone(), room);
    }

    pub(crate) fn rooms(&self) -> MutexGuard<'_, BTreeMap<OwnedRoomId, Room>> {
        locked(&self.rooms)
    }

    /// From now on the connection is down.
    pub(crate) fn fail(&self) {
        *locked(&self.is_down) = true;
    }

    async fn room(&self, room_id: RoomId<'_>) -> Result<Option<Room>, StoreError> {
        self.connection().await?;
        Ok(self.rooms().get(room_id.as_str()).cloned())
    }

    /// The entries of the current state, and how long the room is: where a change of the state would show.
    async fn current(&self, room: &Room, reads: &Reads) -> Result<(Snapshot<OwnedPdu>, usize), StoreError> {
        let room = self.room(room.id.as_borrowed()).await?.ok_or(StoreError)?;
        Ok((room.state_at(room.events.len(), reads), room.events.len()))
    }

    /// The entries of the state after all of these events, if they are known.
    async fn state_after(
        &self,
        room: &Room,
        event_ids: Vec<String>,
        reads: &Reads,
    ) -> Result<Option<Snapshot<OwnedPdu>>, StoreError> {
        let room = self.room(room.id.as_borrowed()).await?.ok_or(StoreError)?;
        let positions: Option<Vec<usize>> = event_ids.iter().map(|event_id| room.position(event_id)).collect();
        let last = positions.and_then(|positions| positions.into_iter().max());
        Ok(last.map(|last| room.state_at(last.saturating_add(1), reads)))
    }

    /// Those of the events that are known, as the database finds them.
    async fn events(&self, room: &Room, event_ids: Vec<String>) -> Result<Vec<AuthEventRef<OwnedPdu>>, StoreError> {
        let room = self.room(room.id.as_borrowed()).await?.ok_or(StoreError)?;
        let known = |event: &&OwnedPdu| event_ids.iter().any(|event_id| event.event_id() == Some(event_id));
        let found = room.events.iter().rev().filter(known).cloned();
        Ok(found.map(|event| AuthEventRef { event, status: AuthStatus::Accepted }).collect())
    }

    async fn has_event(&self, room: &Room, event_id: &str) -> Result<bool, StoreError> {
        Ok(self.room(room.id.as_borrowed()).await?.is_some_and(|room| room.position(event_id).is_some()))
    }

    async fn has_joined_user(&self, room: &Room, server: ServerName<'_>) -> Result<bool, StoreError> {
        let room = self.room(room.id.as_borrowed()).await?.ok_or(StoreError)?;
        let joined: StateMap<OwnedPdu> = room.events.into_iter().collect();
        Ok(joined.servers_with_joined_users().contains(server.as_str()))
    }

    /// Appends an event, unless the room has changed since it had this length.
    async fn append(&self, room: &Room, length: usize, event: OwnedPdu) -> Result<bool, StoreError> {
        self.connection().await?;
        let mut rooms = self.rooms();
        let room = rooms.get_mut(room.id.as_str()).ok_or(StoreError)?;
        let unchanged = room.events.len() == length;
        if unchanged {
            room.events.push(event);
        }
        Ok(unchanged)
    }

    async fn connection(&self) -> Result<(), StoreError> {
        yielded().await;
        if *locked(&self.is_down) { Err(StoreError) } else { Ok(()) }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A homeserver.
pub(crate) struct Host {
    pub(crate) name: OwnedServerName,
    pub(crate) key: Ed25519Key,
    pub(crate) store: Store,
    /// The public keys of the other servers, by name. (A real host fetches `/_matrix/key/v2/server`.)
    pub(crate) known_keys: BTreeMap<OwnedServerName, VerifyKey>,
}

impl Host {
    pub(crate) async fn make_knock(
        &self,
        origin: ServerName<'_>,
        request: HttpRequest<'_>,
    ) -> Result<String, ErrorResponse> {
        let request = MakeKnock::parse(origin, request)?;
        let room = self.store.room(request.room_id()).await?.ok_or(Refusal::UnknownRoom)?;
        let (state, _) = self.store.current(&room, &request.reads(&room.resident())).await?;
        let resident = room.resident();
        let approved = request.check(&resident, &state)?.decide(Decision::Admit)?;

        // The room may have changed meanwhile: the template is made of the state as it is now.
        let (state, _) = self.store.current(&room, &approved.reads()).await?;
        let last = self.last_event(&room).await?;
        let last = PrevEvent { event_id: EventId::parse(&last.0).map_err(|_| StoreError)?, depth: last.1 };
        Ok(approved.template(&state, &[last], NOW)?.to_response())
    }

    pub(crate) async fn send_knock(
        &self,
        origin: ServerName<'_>,
        request: HttpRequest<'_>,
    ) -> Result<String, ErrorResponse> {
        let request = SendKnock::parse(origin, request)?;
        let room = self.store.room(request.room_id()).await?.ok_or(Refusal::UnknownRoom)?;
        let text = |event: &&OwnedPdu| event.as_pdu().to_federation(room.version).ok();
        let (state, _) = self.store.current(&room, &request.reads()).await?;
        let checked = request.check(&room.resident(), &state)?;

        let keys = self.keys_of(checked.origin(), checked.key_ids()).await;
        let checked = checked.verify(&keys, &Ed25519, NOW)?;
        if self.store.has_event(&room, checked.event_id()).await? {
            let again = checked.known();
            let (state, _) = self.store.current(&room, &again.reads()).await?;
            return Ok(again.to_response(&state, text)?);
        }

        let named = checked.auth_events().map(str::to_owned).collect();
        let auth_events = checked.match_auth_events(self.store.events(&room, named).await?)?;
        let previous = checked.prev_events().map(str::to_owned).collect();
        let before = self.store.state_after(&room, previous, &checked.reads()).await?;
        let before = before.ok_or(Refusal::UnknownPrevEvents)?;
        let (current, _) = self.store.current(&room, &checked.reads()).await?;
        let authorized = checked.authorize(&auth_events, &before, &current)?;

        let (state, _) = self.store.current(&room, &PolicyServer::reads()).await?;
        let policy = match authorized.policy_server(&state)? {
            None => PolicyVerdict::NotNamed,
            Some(server) => self.ask_policy_server(&room, server, authorized.formatted()).await?,
        };
        let accepted = loop {
            let (current, length) = self.store.current(&room, &authorized.reads()).await?;
            let accepted = authorized.clone().accept(&current, policy.clone(), Decision::Admit)?;
            // The store takes the event only if the room is as it was read.
            let event = accepted.to_stored().map_err(|_| StoreError)?;
            if self.store.append(&room, length, event).await? {
                break accepted;
            }
        };
        // A real host sends the event to every server with a joined user now.
        let (state, _) = self.store.current(&room, &accepted.reads()).await?;
        Ok(accepted.to_response(&state, text)?)
    }

    /// ID and depth of the forward extremity. In this example the depth is the place in the line.
    async fn last_event(&self, room: &Room) -> Result<(String, u64), StoreError> {
        let room = self.store.room(room.id.as_borrowed()).await?.ok_or(StoreError)?;
        let id = room.events.last().and_then(Event::event_id).ok_or(StoreError)?;
        Ok((id.to_owned(), u64::try_from(room.events.len()).map_err(|_| StoreError)?))
    }

    /// Fetches keys: a real host asks the server and caches what it says.
    async fn keys_of(&self, server: ServerName<'_>, key_ids: Vec<String>) -> impl Keys + Send + use<> {
        yielded().await;
        let key = self.known_keys.get(server.as_str()).copied();
        let server = server.into_owned();
        KeysFn(move |of: &str, key_id: &str| key.filter(|_| server == *of && key_ids.iter().any(|id| id == key_id)))
    }

    /// Shows an event to the policy server that the room names, if the room uses it.
    async fn ask_policy_server(
        &self,
        room: &Room,
        server: PolicyServer,
        event: &FormattedPdu<'_>,
    ) -> Result<PolicyVerdict, StoreError> {
        if !self.store.has_joined_user(room, server.name()).await? {
            return Ok(PolicyVerdict::NotJoined(server));
        }
        if let Some(signature) = server.signature_of(event, &Ed25519) {
            return Ok(PolicyVerdict::Signed(signature));
        }
        // A real host sends `server.request(event)` here. No policy server answers in this example.
        yielded().await;
        Ok(server.read_answer(event, None, &Ed25519).into())
    }

    /// Knocks for a user of this server.
    pub(crate) async fn knock(&self, intent: &Intent<'_>, network: &Network) -> Result<PendingKnock, Failed> {
        let mut knocking = match Knocking::start(intent) {
            Start::Remote(knocking) => knocking,
            Start::Failed(failure) => return Err(failure.into()),
            // The intent of this example says that the server is not in the room.
            Start::Local => return Err(Failure::NoServers.into()),
        };
        self.drive(&mut *knocking, network).await
    }

    /// Drives any machine to its end. A real host stores the machine before it sends, to go on after a restart.
    pub(crate) async fn drive<M: Machine>(&self, machine: &mut M, network: &Network) -> M::Outcome {
        loop {
            if let Some(outcome) = machine.outcome() {
                return outcome;
            }
            let (ticket, want) = machine.want();
            let taken = match want {
                Want::Request(request) => match network.send(self.name.as_borrowed(), &request).await {
                    Some((status, body)) => machine.reply(ticket, HttpResponse::new(status, &body).into(), NOW),
                    None => machine.reply(ticket, Reply::None, NOW),
                },
                Want::Sign(bytes) => {
                    let signature = self.key.sign(bytes.as_bytes());
                    machine.signature(ticket, self.key.key_id(), &signature)
                }
                Want::Keys(wanted) => {
                    let mut found = Vec::new();
                    for (server, key_ids) in wanted {
                        found.push(self.keys_of(server.as_borrowed(), key_ids.into_iter().collect()).await);
                    }
                    machine.keys(ticket, &found, &Ed25519, NOW).map(drop)
                }
                // The outcome is there in the next round.
                Want::Ended => Ok(()),
            };
            // What was asked for is given under its ticket.
            debug_assert_eq!(taken, Ok(()));
        }
    }
}

/// The other servers, by name. One that is not in here does not answer.
#[derive(Clone, Default)]
pub(crate) struct Network(pub(crate) BTreeMap<OwnedServerName, Arc<Host>>);

impl Network {
    pub(crate) async fn send(&self, origin: ServerName<'_>, request: &Request) -> Option<(u16, String)> {
        yielded().await;
        let host = self.0.get(&request.server)?;
        let http = request.to_http();
        let answer = match http.path.split('/').nth(4) {
            Some("make_knock") => host.make_knock(origin, http.as_http()).await,
            Some("send_knock") => host.send_knock(origin, http.as_http()).await,
            _ => Err(PathError::NoSuchEndpoint.into()),
        };
        println!("  {} {} of {}: {}", http.method, http.path, request.server, told(&answer));
        Some(answer.map_or_else(|error| (error.status(), error.to_string()), |body| (200, body)))
    }
}

fn told(answer: &Result<String, ErrorResponse>) -> String {
    match answer {
        Ok(body) => format!("200, {} bytes", body.len()),
        Err(error) => format!("{} {error}", error.status()),
    }
}

/// Gives way once, as a future that waits for something does.
pub(crate) fn yielded() -> impl Future<Output = ()> + Send {
    let mut is_ready = false;
    std::future::poll_fn(move |context| {
        if std::mem::replace(&mut is_ready, true) {
            return std::task::Poll::Ready(());
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
}

/// Runs a future to its end: an executor for one task.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

/// A host with a signing key made from its name.
pub(crate) fn host(name: &str, known: &[&str]) -> Result<Host, Box<dyn std::error::Error>> {
    let key = |name: &str| Ed25519Key::from_seed("ed25519:1", &[u8::try_from(name.len()).unwrap_or(0); 32]);
    let mut known_keys = BTreeMap::new();
    for name in known {
        let public_key = key(name)?.public_key();
        known_keys.insert(name.parse()?, VerifyKey { public_key, validity: KeyValidity::Until(NOW) });
    }
    Ok(Host { name: name.parse()?, key: key(name)?, store: Store::default(), known_keys })
}

/// Appends a signed event to a room, whatever the rules say.
pub(crate) fn event(
    room: &mut Room,
    host: &Host,
    (sender, event_type, state_key): (&str, &str, &str),
    content: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    let ids = |events: &mut dyn Iterator<Item = &OwnedPdu>| {
        events.filter_map(Event::event_id).map(|id| format!("{id:?}")).collect::<Vec<_>>().join(",")
    };
    let room_id = room.id.clone();
    let depth = room.events.len().saturating_add(1);
    let text = format!(
        r#"{{"type":"{event_type}","state_key":"{state_key}","sender":"{sender}","content":{content},"room_id":"{room_id}",
        "auth_events":[{}],"prev_events":[{}],"depth":{depth},"origin_server_ts":{NOW}}}"#,
        ids(&mut room.events.iter().take(1)),
        ids(&mut room.events.iter().rev().take(1)),
    );
    let signed = sign_event(room.version, &text, host.name.as_borrowed(), &host.key)?;
    room.events.push(signed.pdu()?.into_owned());
    Ok(())
}

/// A room of version 10 that Alice made and that people can knock on.
pub(crate) fn room(host: &Host) -> Result<Room, Box<dyn std::error::Error>> {
    const ALICE: &str = "@alice:a.example";
    let mut room = Room { id: "!room:a.example".parse()?, version: RoomVersion::V10, events: Vec::new() };
    event(&mut room, host, (ALICE, "m.room.create", ""), r#"{"creator":"@alice:a.example","room_version":"10"}"#)?;
    event(&mut room, host, (ALICE, "m.room.member", ALICE), r#"{"membership":"join"}"#)?;
    event(&mut room, host, (ALICE, "m.room.power_levels", ""), r#"{"users":{"@alice:a.example":100}}"#)?;
    event(&mut room, host, (ALICE, "m.room.join_rules", ""), r#"{"join_rule":"knock"}"#)?;
    event(&mut room, host, (ALICE, "m.room.name", ""), r#"{"name":"Knock!"}"#)?;
    Ok(room)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let resident = Arc::new(host("a.example", &["bb.example"])?);
    let home = host("bb.example", &["a.example"])?;
    let room = room(&resident)?;
    resident.store.insert(room.clone());
    let network = Network(BTreeMap::from([(resident.name.clone(), Arc::clone(&resident))]));

    let servers = ["down.example".parse()?, resident.name.clone()];
    let details = Details { reason: Some("Let me in, please".to_owned()), ..Details::default() };
    let intent = Intent {
        room_id: room.id.as_borrowed(),
        user_id: UserId::parse("@kay:bb.example")?,
        own: OwnMembership::OutOfBand,
        servers: &servers,
        versions: &RoomVersion::ALL,
        details: &details,
    };
    println!("Kay knocks:");
    let knock = block_on(home.knock(&intent, &network))?;
    println!("  pending: {}", knock.event_id());
    for shown in knock.knock_state(ShowUnverified::BeforeV12) {
        println!("  shown: {}", shown.event);
    }

    println!("Her server sends the same event again:");
    let endpoint =
        matrix_knock::machine::Endpoint::SendKnock { room_id: room.id.clone(), event: knock.event().clone() };
    let request = Request { server: resident.name.clone(), endpoint };
    block_on(network.send(home.name.as_borrowed(), &request));

    println!("Alice has banned Kay, who knocks once more:");
    let mut banned = room.clone();
    event(&mut banned, &resident, ("@alice:a.example", "m.room.member", "@kay:bb.example"), r#"{"membership":"ban"}"#)?;
    resident.store.insert(banned);
    let refused = block_on(home.knock(&intent, &network));
    println!("  {}", refused.err().map_or_else(String::new, |failed| failed.to_string()));

    println!("The database of Alice's server is down:");
    resident.store.fail();
    let refused = block_on(home.knock(&intent, &network));
    println!("  {}", refused.err().map_or_else(String::new, |failed| failed.to_string()));

    println!("Kay is in the room already, by the full state of her own server:");
    let own = OwnMembership::InRoom(Some(Membership::Join));
    let refused = block_on(home.knock(&Intent { own, ..intent }, &network));
    println!("  {}", refused.err().map_or_else(String::new, |failed| failed.to_string()));
    Ok(())
}
