//! Other servers: requests to them, their keys, the events that they have to get, the policy servers of rooms.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use matrix_knock::Ed25519;
use matrix_knock::event::{
    Ed25519Key, FormattedPdu, KeyDocument, KeyValidity, Keys as _, MAX_KEY_DOCUMENT_BYTES, ServerKeys, Sign as _,
    SignError,
};
use matrix_knock::id::{OwnedServerName, ServerName};
use matrix_knock::knocking::room_state::MAX_ANSWER_BYTES;
use matrix_knock::policy::{PolicyServer, PolicyVerdict};
use matrix_knock::wire::{BuiltRequest, HttpResponse};
use matrix_knock::x_matrix::SignedRequest;
use serde_json::value::RawValue;

use crate::host::{Host, now};
use crate::store::{At, Room, StoreError};

/// How long another server may take for its answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The longest pause before events are sent once more to a server that does not take them.
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// How long a server that did not give a key is not asked again, in milliseconds.
const KEY_PAUSE: u64 = 5_000;
/// How long other servers may trust our keys, in milliseconds: a day.
const KEY_LIFETIME: u64 = 86_400_000;

/// What another server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub retry_after: Option<String>,
    /// Empty if it is not UTF-8.
    pub body: String,
}

impl Answer {
    pub fn as_http(&self) -> HttpResponse<'_> {
        HttpResponse { status: self.status, retry_after: self.retry_after.as_deref(), body: &self.body }
    }
}

/// Requests to other servers.
pub struct Peers {
    own: OwnedServerName,
    key: Arc<Ed25519Key>,
    http: reqwest::Client,
    /// When a server was asked for its keys last.
    asked_for_keys: Mutex<HashMap<String, u64>>,
}

impl Peers {
    pub fn new(
        own: OwnedServerName,
        key: Arc<Ed25519Key>,
        takes_any_certificate: bool,
    ) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .https_only(true)
            .danger_accept_invalid_certs(takes_any_certificate)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .timeout(TIMEOUT)
            .build()?;
        Ok(Self { own, key, http, asked_for_keys: Mutex::default() })
    }

    /// Sends a request, signed, and reads the answer, of which no more than `limit` bytes. `None` if there is no answer.
    pub async fn send(&self, server: ServerName<'_>, request: &BuiltRequest, limit: usize) -> Option<Answer> {
        let uri = request.path_and_query();
        let signed = SignedRequest {
            method: request.method,
            uri: &uri,
            origin: self.own.as_borrowed(),
            destination: server,
            content: request.body.as_deref(),
        };
        let authorization = signed.sign(&*self.key).ok()?.to_string();
        let method = reqwest::Method::from_bytes(request.method.as_bytes()).ok()?;
        let mut sent = self.http.request(method, url(server, &uri)).header("Authorization", authorization);
        if let Some(body) = &request.body {
            sent = sent.header("Content-Type", "application/json").body(body.clone());
        }
        read(sent, limit).await
    }

    /// Sends a `GET`.
    pub async fn get(&self, server: ServerName<'_>, path: String, query: String) -> Option<Answer> {
        self.send(server, &BuiltRequest { method: "GET", path, query, body: None }, MAX_ANSWER_BYTES).await
    }

    pub async fn post(&self, server: ServerName<'_>, path: String, body: String) -> Option<Answer> {
        let request = BuiltRequest { method: "POST", path, query: String::new(), body: Some(body) };
        self.send(server, &request, MAX_ANSWER_BYTES).await
    }

    /// Asks a server for its keys, unless it was asked in vain a moment ago.
    async fn fetch_keys(&self, server: ServerName<'_>) -> Option<ServerKeys> {
        let asked = || self.asked_for_keys.lock().unwrap_or_else(PoisonError::into_inner);
        asked().retain(|_, time| now().saturating_sub(*time) < KEY_PAUSE);
        if asked().contains_key(server.as_str()) {
            return None;
        }
        let answer = read(self.http.get(url(server, "/_matrix/key/v2/server")), MAX_KEY_DOCUMENT_BYTES).await;
        // The pause begins with the answer: who waited for it shall not wait for the next one.
        asked().insert(server.to_string(), now());
        let answer = answer.filter(|answer| answer.status == 200)?;
        ServerKeys::parse(server, &answer.body, &Ed25519).ok()
    }

    /// This server's own key document.
    pub fn key_document(&self) -> Result<String, SignError> {
        let document = KeyDocument::new(self.own.as_borrowed(), now().saturating_add(KEY_LIFETIME));
        document.with_key(self.key.key_id(), self.key.public_key()).sign(&[&*self.key])
    }
}

/// Servers are found by their name and port alone: `.well-known` and SRV records are left out.
fn url(server: ServerName<'_>, uri: &str) -> String {
    let name = server.as_str();
    let has_port = name.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let port = if has_port { "" } else { ":8448" };
    format!("https://{name}{port}{uri}")
}

async fn read(request: reqwest::RequestBuilder, limit: usize) -> Option<Answer> {
    let mut response = request.send().await.ok()?;
    let status = response.status().as_u16();
    let retry_after = response.headers().get("Retry-After").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        // What is longer is cut off: it is malformed then, as it should be.
        let rest = limit.saturating_sub(body.len());
        body.extend_from_slice(chunk.get(..rest).unwrap_or(&chunk));
        if chunk.len() > rest {
            break;
        }
    }
    Some(Answer { status, retry_after, body: String::from_utf8(body).unwrap_or_default() })
}

impl Host {
    /// Finds the keys of these IDs, by server: those that are known, else what the servers say now.
    pub async fn keys(
        &self,
        wanted: BTreeMap<OwnedServerName, BTreeSet<String>>,
    ) -> Result<Vec<ServerKeys>, StoreError> {
        let mut found = Vec::new();
        for (server, key_ids) in wanted {
            found.extend(self.keys_of(server.as_borrowed(), key_ids).await?);
        }
        Ok(found)
    }

    pub async fn keys_of(
        &self,
        server: ServerName<'_>,
        key_ids: impl IntoIterator<Item = String>,
    ) -> Result<Option<ServerKeys>, StoreError> {
        if self.name == server {
            let document = self.peers.key_document().unwrap_or_default();
            return Ok(ServerKeys::parse(server, &document, &Ed25519).ok());
        }
        let key_ids: Vec<String> = key_ids.into_iter().collect();
        let has_all = |keys: &ServerKeys| {
            let is_good = |validity| !matches!(validity, KeyValidity::Until(until) if until < now());
            key_ids.iter().all(|id| keys.key(server.as_str(), id).is_some_and(|key| is_good(key.validity)))
        };
        let known = self.store.server_keys(server).await?;
        if known.as_ref().is_some_and(has_all) {
            return Ok(known);
        }
        // Who wants the same keys at the same time waits for them.
        let _lock = self.lock(format!("keys of {server}")).await;
        let known = self.store.server_keys(server).await?;
        if known.as_ref().is_some_and(has_all) {
            return Ok(known);
        }
        match self.peers.fetch_keys(server).await {
            Some(fetched) => {
                self.store.set_server_keys(&fetched).await?;
                Ok(Some(fetched))
            }
            None => Ok(known),
        }
    }

    /// Shows an event to the policy server of its room, if the room uses one.
    pub async fn ask_policy_server(&self, room: &Room, event: &FormattedPdu<'_>) -> Result<PolicyVerdict, StoreError> {
        let state = self.store.state(room, At::Now, &PolicyServer::reads()).await?;
        // The one entry that it reads was looked up.
        let Ok(Some(server)) = PolicyServer::named(&state) else { return Ok(PolicyVerdict::NotNamed) };
        if !self.store.has_joined_user(room, server.name()).await? {
            return Ok(PolicyVerdict::NotJoined(server));
        }
        if let Some(signature) = server.signature_of(event, &Ed25519) {
            return Ok(PolicyVerdict::Signed(signature));
        }
        let answer = match server.request(event) {
            Ok(request) => self.peers.send(server.name(), &request, matrix_knock::policy::MAX_ANSWER_BYTES).await,
            Err(_) => None,
        };
        Ok(server.read_answer(event, answer.as_ref().map(Answer::as_http), &Ed25519).into())
    }

    /// Sends the events in the queues, to each server in its own time, for ever.
    pub async fn deliver(self: Arc<Self>) {
        let busy = Arc::new(Mutex::new(HashSet::new()));
        loop {
            let destinations = self.store.destinations().await.unwrap_or_default();
            for destination in destinations {
                if !busy.lock().unwrap_or_else(PoisonError::into_inner).insert(destination.clone()) {
                    continue;
                }
                let (host, busy) = (Arc::clone(&self), Arc::clone(&busy));
                tokio::spawn(async move {
                    host.deliver_to(destination.as_borrowed()).await;
                    busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&destination);
                    // Something may have come between the last look and now.
                    host.store.outbox.notify_one();
                });
            }
            self.store.outbox.notified().await;
        }
    }

    /// Sends what is to be sent to a server, until nothing is left.
    async fn deliver_to(&self, destination: ServerName<'_>) {
        let mut pause = Duration::from_secs(1);
        loop {
            let Ok(events) = self.store.outgoing(destination).await else {
                tokio::time::sleep(MAX_PAUSE).await;
                continue;
            };
            let (Some((first, _)), Some((last, _))) = (events.first(), events.last()) else { return };
            // The same events have the same ID, also after a restart; other events have another one.
            let path =
                format!("/_matrix/federation/v1/send/{}-{first}-{last}", self.key.key_id().as_str().replace(':', "-"));
            let last = *last;
            let texts: Vec<&str> = events.iter().map(|(_, text)| text.as_str()).collect();
            let body =
                format!(r#"{{"origin":"{}","origin_server_ts":{},"pdus":[{}]}}"#, self.name, now(), texts.join(","));
            let request = BuiltRequest { method: "PUT", path, query: String::new(), body: Some(body) };
            let answer = self.peers.send(destination, &request, MAX_ANSWER_BYTES).await;
            let is_taken = answer.is_some_and(|answer| answer.status == 200);
            // If the database does not note it, the same is sent once more, but not at once.
            if is_taken && self.store.delivered(destination, last).await.is_ok() {
                pause = Duration::from_secs(1);
                continue;
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(MAX_PAUSE);
        }
    }
}

/// The texts of events in an answer: the list under this name, each to be read by itself.
pub fn events_in(body: &str, name: &str) -> Vec<String> {
    let fields: Option<BTreeMap<String, &RawValue>> = serde_json::from_str(body).ok();
    let list = fields.and_then(|mut fields| fields.remove(name));
    let list: Option<Vec<&RawValue>> = list.and_then(|list| serde_json::from_str(list.get()).ok());
    list.unwrap_or_default().into_iter().map(|event| event.get().to_owned()).collect()
}
