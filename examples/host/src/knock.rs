//! A user of this server knocks: on a room of other servers, by the library's machine; or on one that this server is in, by
//! the same steps by which other servers are answered.

use std::sync::Arc;
use std::time::Duration;

use matrix_knock::Ed25519;
use matrix_knock::RoomVersion;
use matrix_knock::client::{KnockRequest, KnockResponse};
use matrix_knock::error::ErrorResponse;
use matrix_knock::event::Sign as _;
use matrix_knock::id::{OwnedRoomId, OwnedServerName, RoomIdOrAlias, UserId};
use matrix_knock::knocking::room_state::MAX_ANSWER_BYTES;
use matrix_knock::knocking::{Details, Intent, Knocking, OwnMembership, Start};
use matrix_knock::machine::{Machine, Reply as PeerReply, Want};
use matrix_knock::resident::{MakeKnock, Residence};
use serde::{Deserialize, Serialize};

use crate::host::{Host, now};
use crate::http::{Call, Reply, encoded, not_found};
use crate::peers::Answer;
use crate::store::{Outside, StoreError, Task, TaskKind};

/// The pause before a server that did not answer is sent the same event once more.
const PAUSE: Duration = Duration::from_secs(2);

impl Host {
    /// `POST /knock/{roomIdOrAlias}`.
    pub async fn client_knock(self: &Arc<Self>, user: UserId<'_>, call: &Call) -> Reply {
        let request = KnockRequest::parse(call.as_http())?;
        for passed_over in request.passed_over() {
            eprintln!("knock-host: `{}={}` is passed over: {}", passed_over.name, passed_over.value, passed_over.why);
        }
        let (room_id, servers) = self.resolve(request.room_id_or_alias(), request.via().to_vec()).await?;
        let room = self.store.room(room_id.as_borrowed()).await?.filter(|room| room.residence == Residence::Joined);
        let own = match &room {
            Some(room) => OwnMembership::InRoom(self.store.membership(room, user).await?),
            None => OwnMembership::OutOfBand,
        };
        let details = Details {
            reason: request.reason().map(str::to_owned),
            displayname: self.store.displayname(user.as_str()).await?,
            avatar_url: None,
        };
        let versions = self.offered(call)?;
        let intent = Intent {
            room_id: room_id.as_borrowed(),
            user_id: user,
            own,
            servers: &servers,
            versions: &versions,
            details: &details,
        };
        match (Knocking::start(&intent), &room) {
            (Start::Failed(failure), _) => Err(failure.into()),
            (Start::Remote(machine), _) => self.knock_outside(&intent, *machine).await,
            (Start::Local, Some(room)) => {
                let versions = versions.iter().map(RoomVersion::as_str);
                let request = MakeKnock::new(intent.room_id, user.as_str(), self.name.as_borrowed(), versions);
                self.change_own(request, room, &details).await
            }
            // The library says so only of a room that the intent says this server is in.
            (Start::Local, None) => Err(not_found("Unknown room")),
        }?;
        Ok(KnockResponse::new(room_id.as_borrowed()).to_string())
    }

    /// Knocks on a room of other servers.
    async fn knock_outside(self: &Arc<Self>, intent: &Intent<'_>, machine: Knocking) -> Result<(), ErrorResponse> {
        let _lock = self.lock(format!("{} {}", intent.user_id, intent.room_id)).await;
        let task = self.store.begin(TaskKind::Knocking, intent.user_id, intent.room_id, &machine).await?;
        self.knocking(task, machine).await
    }

    /// Drives a knock to its end, from where it is.
    async fn knocking(&self, task: Task, mut machine: Knocking) -> Result<(), ErrorResponse> {
        match self.drive(task.id, &mut machine).await? {
            Ok(knock) => Ok(self.store.end(task, Some(&Outside::Knock(knock))).await?),
            Err(failed) => {
                // A knock of which no server said what became of it is shown, so that it can be taken back.
                let perhaps = failed.perhaps.clone().map(Outside::Knock);
                self.store.end(task, perhaps.as_ref()).await?;
                Err(failed.into())
            }
        }
    }

    /// The room that is meant, and the servers that may know it.
    pub async fn resolve(
        &self,
        room: RoomIdOrAlias<'_>,
        mut servers: Vec<OwnedServerName>,
    ) -> Result<(OwnedRoomId, Vec<OwnedServerName>), ErrorResponse> {
        #[derive(Deserialize)]
        struct Directory {
            room_id: OwnedRoomId,
            #[serde(default)]
            servers: Vec<String>,
        }
        let alias = match room {
            RoomIdOrAlias::Id(room_id) => {
                servers.extend(room_id.server_name().map(matrix_knock::id::ServerName::into_owned));
                return Ok((room_id.into_owned(), servers));
            }
            RoomIdOrAlias::Alias(alias) => alias,
        };
        let unknown = || not_found("Unknown alias");
        if self.name == alias.server_name() {
            let room_id = self.store.room_of_alias(alias.as_str()).await?.ok_or_else(unknown)?;
            return Ok((room_id, servers));
        }
        let query = format!("room_alias={}", encoded(alias.as_str()));
        let path = "/_matrix/federation/v1/query/directory".to_owned();
        let answer = self.peers.get(alias.server_name(), path, query).await;
        let answer = answer.filter(|answer| answer.status == 200).ok_or_else(unknown)?;
        let found: Directory = serde_json::from_str(&answer.body).map_err(|_| unknown())?;
        servers.extend(found.servers.into_iter().filter_map(|name| OwnedServerName::parse(name).ok()));
        servers.push(alias.server_name().into_owned());
        Ok((found.room_id, servers))
    }

    /// The versions to offer: all, unless a test says otherwise.
    fn offered(&self, call: &Call) -> Result<Vec<RoomVersion>, ErrorResponse> {
        let header = call.parts.headers.get("X-Knock-Versions").filter(|_| self.test_hooks);
        let Some(header) = header else { return Ok(self.versions.clone()) };
        let names = header.to_str().unwrap_or_default().split(',');
        Ok(names.filter_map(|name| name.trim().parse().ok()).collect())
    }

    /// Drives any machine to its end. It is stored before each thing that it wants, so after a restart it goes on where it
    /// was; to ask another server for the same once more does no harm.
    pub async fn drive<M>(&self, task: i64, machine: &mut M) -> Result<M::Outcome, StoreError>
    where
        M: Machine + Serialize + Send + Sync,
    {
        loop {
            self.store.save(task, machine).await?;
            if let Some(outcome) = machine.outcome() {
                return Ok(outcome);
            }
            let (ticket, want) = machine.want();
            let taken = match want {
                Want::Request(request) => {
                    let (server, http) = (request.server.as_borrowed(), request.to_http());
                    let mut answer = self.peers.send(server, &http, MAX_ANSWER_BYTES).await;
                    if answer.is_none() && request.method() == "PUT" {
                        // It may have taken the event, and the next server may have to get it from there: so not at once.
                        tokio::time::sleep(PAUSE).await;
                        answer = self.peers.send(server, &http, MAX_ANSWER_BYTES).await;
                    }
                    let reply = answer.as_ref().map(Answer::as_http).map_or(PeerReply::None, PeerReply::Response);
                    machine.reply(ticket, reply, now())
                }
                Want::Sign(bytes) => {
                    let signature = self.key.sign(bytes.as_bytes());
                    machine.signature(ticket, self.key.key_id(), &signature)
                }
                Want::Keys(wanted) => {
                    let found = self.keys(wanted).await?;
                    machine.keys(ticket, &found, &Ed25519, now()).map(drop)
                }
                // The outcome is there in the next round.
                Want::Ended => Ok(()),
            };
            // What was asked for is given under its ticket.
            debug_assert_eq!(taken, Ok(()));
        }
    }

    /// Goes on with what was under way when the server ended.
    pub async fn resume(self: &Arc<Self>) -> Result<(), StoreError> {
        for task in self.store.tasks().await? {
            let host = Arc::clone(self);
            // Before anything else is done for this user in this room.
            let lock = self.lock(format!("{} {}", task.user_id, task.room_id)).await;
            let (kind, machine) = (task.kind, task.machine.clone());
            macro_rules! go_on {
                ($drive:ident) => {{
                    let machine = serde_json::from_str(&machine)?;
                    tokio::spawn(async move { (host.$drive(task, machine).await, lock).0 })
                }};
            }
            let _task = match kind {
                TaskKind::Knocking => go_on!(knocking),
                TaskKind::Retracting => go_on!(retracting),
                TaskKind::Inviting => go_on!(inviting),
            };
        }
        Ok(())
    }
}
