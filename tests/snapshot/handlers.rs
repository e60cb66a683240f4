//! The handlers of a host that serves knocks and leaves with the same code and awaits between all steps.

use std::future::Future;

use matrix_knock::RoomVersion;
use matrix_knock::auth::AuthStatus;
use matrix_knock::error::ErrorResponse;
use matrix_knock::event::{KeyValidity, Keys, KeysFn, Membership, NoVerifier, OwnedPdu, Sign, SignedEvent, VerifyKey};
use matrix_knock::id::{EventId, KeyId, OwnedRoomId, RoomId, ServerName};
use matrix_knock::policy::{PolicyServer, PolicyVerdict};
use matrix_knock::resident::submission::{AuthEventRef, SendRequest};
use matrix_knock::resident::{
    Decision, Knock, Leave, MakeKnock, MakeLeave, MakeRequest, Refusal, RequestKind, Residence, ResidentRoom,
};
use matrix_knock::state::{Reads, Snapshot};
use matrix_knock::template::{Details, PrevEvent};
use matrix_knock::wire::HttpRequest;

use super::{KAY, Store, StoreError, event, is_send, pause, room, run};

impl From<StoreError> for ErrorResponse {
    fn from(StoreError(_): StoreError) -> Self {
        Self::internal("The database does not answer")
    }
}

impl Store {
    /// One entry after the other, by hand.
    async fn current(&self, reads: &Reads) -> Result<Snapshot<OwnedPdu>, StoreError> {
        let mut snapshot = Snapshot::new();
        for (event_type, state_key) in reads.iter() {
            let event = self.state_event(event_type.as_str(), state_key).await?;
            snapshot.insert(event_type, state_key, event);
        }
        Ok(snapshot)
    }

    /// All entries in one query.
    async fn before(&self, reads: &Reads) -> Result<Snapshot<OwnedPdu>, StoreError> {
        pause().await;
        Ok(Snapshot::of_events(reads, self.events.values().cloned()))
    }

    async fn room(&self, room_id: RoomId<'_>) -> Result<Option<OwnedRoomId>, StoreError> {
        pause().await;
        Ok(Some(room_id.into_owned()).filter(|room_id| *room_id.as_str() == *"!room:a.example"))
    }
}

async fn keys(_server: ServerName<'_>, _key_ids: Vec<String>) -> impl Keys + use<> {
    pause().await;
    KeysFn(|_: &str, _: &str| Some(VerifyKey { public_key: [0; 32], validity: KeyValidity::Forever }))
}

async fn ask_policy_server(server: PolicyServer) -> PolicyVerdict {
    pause().await;
    PolicyVerdict::NotJoined(server)
}

const fn resident(room_id: &OwnedRoomId) -> ResidentRoom<'_> {
    ResidentRoom { room_id: room_id.as_borrowed(), version: RoomVersion::V11, residence: Residence::Joined }
}

async fn make<K: RequestKind>(
    store: &Store,
    origin: ServerName<'_>,
    request: HttpRequest<'_>,
) -> Result<String, ErrorResponse> {
    let request = MakeRequest::<K>::parse(origin, request)?;
    let room_id = store.room(request.room_id()).await?.ok_or(Refusal::UnknownRoom)?;
    let room = resident(&room_id);
    let state = store.current(&request.reads(&room)).await?;
    let checked = request.check(&room, &state)?;
    pause().await;
    let approved = checked.decide(Decision::Admit)?;
    let state = store.current(&approved.reads()).await?;
    let last = PrevEvent { event_id: EventId::parse("$last").map_err(|_| StoreError(0))?, depth: 3 };
    Ok(approved.template(&state, &[last], 1)?.to_response())
}

async fn send<K: RequestKind>(
    store: &Store,
    origin: ServerName<'_>,
    request: HttpRequest<'_>,
) -> Result<String, ErrorResponse> {
    let text = |event: &&OwnedPdu| event.as_pdu().to_federation(RoomVersion::V11).ok();
    let request = SendRequest::<K>::parse(origin, request)?;
    let room_id = store.room(request.room_id()).await?.ok_or(Refusal::UnknownRoom)?;
    let room = resident(&room_id);
    let state = store.current(&request.reads()).await?;
    let checked = request.check(&room, &state)?;
    let keys = keys(checked.origin(), checked.key_ids()).await;
    let checked = checked.verify(&keys, &NoVerifier, 1)?;
    pause().await;
    let found = store.events.values().map(|event| AuthEventRef { event, status: AuthStatus::Accepted });
    let auth_events = checked.match_auth_events(found)?;
    let before = store.before(&checked.reads()).await?;
    let current = store.current(&checked.reads()).await?;
    let authorized = checked.authorize(&auth_events, &before, &current)?;
    let state = store.current(&PolicyServer::reads()).await?;
    let policy = match authorized.policy_server(&state)? {
        None => PolicyVerdict::NotNamed,
        Some(server) => ask_policy_server(server).await,
    };
    let state = store.current(&authorized.reads()).await?;
    let accepted = authorized.accept(&state, policy, Decision::Admit)?;
    pause().await;
    let state = store.current(&accepted.reads()).await?;
    Ok(accepted.to_response(&state, text)?)
}

/// A knock of this server's own user, or the leave that takes it back.
async fn local<K: RequestKind>(
    store: &Store,
    request: MakeRequest<'_, K>,
    signer: &(impl Sign + Sync),
) -> Result<SignedEvent, ErrorResponse> {
    let room_id = store.room(request.room_id()).await?.ok_or(Refusal::UnknownRoom)?;
    let room = resident(&room_id);
    let state = store.current(&request.reads(&room)).await?;
    let approved = request.check(&room, &state)?.decide(Decision::Admit)?;
    let state = store.current(&approved.reads()).await?;
    let last = PrevEvent { event_id: EventId::parse("$last").map_err(|_| StoreError(0))?, depth: 3 };
    let event = approved.sign(&state, &Details::default(), &[last], 1, signer)?;
    let state = store.current(&PolicyServer::reads()).await?;
    let policy = match event.policy_server(&state)? {
        None => PolicyVerdict::NotNamed,
        Some(server) => ask_policy_server(server).await,
    };
    let state = store.current(&event.reads()).await?;
    Ok(event.accept(&state, policy)?)
}

struct Zeroing;

impl Sign for Zeroing {
    fn key_id(&self) -> KeyId<'_> {
        KeyId::parse("ed25519:0").unwrap()
    }

    fn sign(&self, _message: &[u8]) -> [u8; 64] {
        [0; 64]
    }
}

/// A room whose events know their IDs, and of which Kay is a member in this way.
fn store(membership: Option<Membership>) -> Store {
    let own = membership.map(|is| event("m.room.member", KAY, &format!(r#"{{"membership":"{is}"}}"#)));
    let texts = room().into_iter().chain(own).enumerate();
    let noted = |(number, text): (usize, String)| text.replacen('{', &format!(r#"{{"event_id":"${number}","#), 1);
    Store::of(&texts.map(noted).collect::<Vec<_>>())
}

/// The status of an answer, or that of the error.
fn status<T>(answer: impl Future<Output = Result<T, ErrorResponse>>) -> u16 {
    run(answer).0.map_or_else(|error| error.status(), |_| 200)
}

/// The handlers of one kind: they can be sent to another thread, and end as they should. `look_ups` is how many the template and
/// the local event take.
fn handlers<K: RequestKind>(request: &MakeRequest<'_, K>, own: Option<Membership>, look_ups: [usize; 2]) {
    let origin = ServerName::parse("b.example").unwrap();
    let path = |api, name| format!("/_matrix/federation/{api}/{name}/%21room%3Aa.example/%40kay%3Ab.example");
    let path = [path("v1", K::MAKE), path(if K::SEND == "send_knock" { "v1" } else { "v2" }, K::SEND)];
    let http = |method, path, body| HttpRequest { method, path, query: "ver=11", body };

    let open = store(own);
    let made = make::<K>(&open, origin, http("GET", &path[0], b""));
    is_send(&made);
    let sent = send::<K>(&open, origin, http("PUT", &path[1], b"{}"));
    is_send(&sent);
    let signed = local::<K>(&open, request.clone(), &Zeroing);
    is_send(&signed);
    // The body is no event.
    assert_eq!([status(made), status(sent), status(signed)], [200, 400, 200]);

    // Whichever look-up fails, it is the host's failure.
    for failing in 0..=look_ups[0] {
        let store = Store { fails_at: Some(failing), ..store(own) };
        let expected = if failing < look_ups[0] { 500 } else { 200 };
        assert_eq!(status(make::<K>(&store, origin, http("GET", &path[0], b""))), expected, "{failing}");
    }
    for failing in 0..=look_ups[1] {
        let store = Store { fails_at: Some(failing), ..store(own) };
        let expected = if failing < look_ups[1] { 500 } else { 200 };
        assert_eq!(status(local::<K>(&store, request.clone(), &Zeroing)), expected, "{failing}");
    }
}

#[test]
fn knocks() {
    let (room_id, origin) = (RoomId::parse("!room:a.example").unwrap(), ServerName::parse("b.example").unwrap());
    handlers::<Knock>(&MakeKnock::new(room_id, KAY, origin, ["11"]), None, [9, 15]);
}

#[test]
fn leaves() {
    let (room_id, origin) = (RoomId::parse("!room:a.example").unwrap(), ServerName::parse("b.example").unwrap());
    handlers::<Leave>(&MakeLeave::new(room_id, KAY, origin), Some(Membership::Knock), [7, 12]);
}
