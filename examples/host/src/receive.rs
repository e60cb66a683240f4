//! Events of other servers that come in a transaction: the checks of `receipt`, and out of band what ends a knock or an invite.

use matrix_knock::Ed25519;
use matrix_knock::auth::server_is_allowed;
use matrix_knock::event::{Event as _, EventType, OwnedPdu, Pdu, PduError, VerifiedPdu, transaction_pdus};
use matrix_knock::id::{EventId, OwnedRoomId, RoomId, ServerName, UserId};
use matrix_knock::knocking::out_of_band::{NoAnswer, ReceivedInvite};
use matrix_knock::policy::{PolicyServer, PolicyVerdict};
use matrix_knock::receipt::{Dropped, Outcome, ReceiptError, ReceivedEvent, States};
use matrix_knock::state::Reads;
use serde_json::{Map, json};

use crate::host::{Host, now};
use crate::http::{Call, Reply, encoded};
use crate::peers::events_in;
use crate::room::StateChange;
use crate::store::{At, Outside, Relay, Room, Status, StoreError};

/// How many events before one are fetched, where a transaction leaves a gap.
const MAX_MISSING: usize = 100;

/// Why an event is not taken. It is told to the server that sent it.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    #[error(transparent)]
    Dropped(#[from] Dropped),
    #[error("the event names no room")]
    NoRoom,
    #[error("this server is not in the room")]
    NotInRoom,
    #[error("the ACL of the room denies the server")]
    ServerDenied,
    #[error("the room does not allow it")]
    NotAllowed,
    #[error("unknown previous events")]
    UnknownPrevEvents,
    #[error(transparent)]
    UnknownAuthEvents(#[from] matrix_knock::receipt::UnknownAuthEvents),
    #[error("not believed: {0}")]
    NotBelieved(#[from] NoAnswer),
    #[error("internal server error")]
    Store(#[from] StoreError),
    #[error("internal server error")]
    Host(#[from] ReceiptError),
}

impl From<PduError> for NotTaken {
    fn from(error: PduError) -> Self {
        Dropped::from(error).into()
    }
}

impl Host {
    /// `PUT /send/{txnId}`: each event is taken by itself. Events that came before are known, so nothing needs to be noted of
    /// the transaction.
    pub async fn receive_transaction(&self, origin: ServerName<'_>, call: &Call) -> Reply {
        let body = call.text()?;
        let pdus =
            transaction_pdus(body).map_err(|error| matrix_knock::x_matrix::XMatrixError::from(error).to_response())?;
        let mut results = Map::new();
        for text in pdus {
            let result = match self.receive_pdu(origin, text).await {
                Ok(event_id) => (event_id, json!({})),
                // The sender sends the transaction once more.
                Err(NotTaken::Store(error)) => return Err(error.into()),
                Err(error) => {
                    eprintln!("knock-host: an event of {origin} is not taken: {error}");
                    // What has no ID, or none that can be told, stands under none.
                    (self.id_of(text).await.unwrap_or_default(), json!({ "error": error.to_string() }))
                }
            };
            results.extend([result]);
        }
        Ok(json!({ "pdus": results }).to_string())
    }

    async fn id_of(&self, text: &str) -> Option<String> {
        let pdu = Pdu::parse(text).ok()?;
        let room = self.store.room(RoomId::parse(pdu.room_id()?).ok()?).await.ok()??;
        Some(pdu.clone().check_format(room.version).ok()?.event_id().to_owned())
    }

    /// Takes an event. Returns its ID.
    async fn receive_pdu(&self, origin: ServerName<'_>, text: &str) -> Result<String, NotTaken> {
        let room_id = Pdu::parse(text)?.room_id().and_then(|room_id| OwnedRoomId::parse(room_id).ok());
        let room_id = room_id.ok_or(NotTaken::NoRoom)?;
        match self.store.room(room_id.as_borrowed()).await? {
            Some(room) if room.is_joined() => self.receive_in_room(origin, &room, text).await,
            _ => self.receive_outside(origin, room_id.as_borrowed(), text).await,
        }
    }

    /// An event of a room that this server is in; with those before it that are missing.
    async fn receive_in_room(&self, origin: ServerName<'_>, room: &Room, text: &str) -> Result<String, NotTaken> {
        let acl = [(EventType::ServerAcl, "")].into_iter().collect::<Reads>();
        let state = self.store.state(room, At::Now, &acl).await?;
        if !server_is_allowed(origin, &state).map_err(ReceiptError::from)? {
            return Err(NotTaken::ServerDenied);
        }
        let (event_id, prev_events) = {
            let formatted = Pdu::parse(text)?.check_format(room.version).map_err(Dropped::from)?;
            (formatted.event_id().to_owned(), formatted.prev_events().map(str::to_owned).collect::<Vec<_>>())
        };
        if self.store.event(room, &event_id).await?.is_some() {
            return Ok(event_id);
        }
        if self.store.position_after(room, &prev_events).await?.is_none() {
            for missing in self.missing_events(origin, room, &event_id).await? {
                match self.receive_event(origin, room, &missing, Relay::No).await {
                    Err(NotTaken::Store(error)) => return Err(error.into()),
                    Err(error) => eprintln!("knock-host: an event of {} that was missing: {error}", room.id),
                    Ok(_) => {}
                }
            }
        }
        match self.receive_event(origin, room, text, Relay::No).await? {
            Outcome::Accepted(_) => {}
            Outcome::SoftFailed(why) => eprintln!("knock-host: {event_id} is soft-failed: {why}"),
            Outcome::Rejected(why) => eprintln!("knock-host: {event_id} is rejected: {why}"),
        }
        Ok(event_id)
    }

    /// Checks an event of a room that this server is in, and stores it as what it turns out to be.
    pub async fn receive_event(
        &self,
        origin: ServerName<'_>,
        room: &Room,
        text: &str,
        relay: Relay,
    ) -> Result<Outcome, NotTaken> {
        let formatted = Pdu::parse(text)?.check_format(room.version).map_err(Dropped::from)?;
        let keys = self.keys(formatted.wanted_keys()).await?;
        let received = ReceivedEvent::verify(formatted, &keys, &Ed25519, now())?;
        let previous: Vec<String> = received.prev_events().map(str::to_owned).collect();
        let position = self.store.position_after(room, &previous).await?.ok_or(NotTaken::UnknownPrevEvents)?;
        let named: Vec<String> = received.auth_events().map(str::to_owned).collect();
        let mut found = self.store.auth_events(room, &named).await?;
        if let Err(unknown) = received.match_auth_events(found.clone()) {
            for event_id in unknown.ids() {
                self.fetch_outlier(origin, room, event_id).await?;
            }
            found = self.store.auth_events(room, &named).await?;
        }
        let auth_events = received.match_auth_events(found)?;
        let before = self.store.state(room, At::After(position), &received.reads()).await?;
        let is_asked_about = PolicyServer::is_asked_about(&*received.event());
        let policy = match is_asked_about {
            true => self.ask_policy_server(room, &*received.formatted()?).await?,
            false => PolicyVerdict::NotNamed,
        };

        let _lock = self.lock(room.id.to_string()).await;
        let current = self.store.state(room, At::Now, &received.reads()).await?;
        let states = States { before: &before, current: &current };
        let outcome = match received.event().is_type(EventType::Member) {
            true => received.check(&auth_events, states, &Ed25519, policy)?,
            false => {
                // The rules for other events are this host's own.
                let event = received.event();
                let change = StateChange {
                    event_type: &event.event_type(),
                    state_key: event.state_key(),
                    sender: event.sender(),
                    version: room.version,
                };
                if change.authorize(&before).and_then(|()| change.authorize(&current)).is_err() {
                    return Err(NotTaken::NotAllowed);
                }
                match received.check_policy_server(&current, policy)? {
                    Ok(signature) => Outcome::Accepted(signature),
                    Err(failure) => Outcome::SoftFailed(failure),
                }
            }
        };
        let (status, signature) = match &outcome {
            Outcome::Accepted(signature) => (Status::Accepted, signature.as_ref()),
            Outcome::SoftFailed(_) => (Status::SoftFailed, None),
            Outcome::Rejected(_) => (Status::Rejected, None),
        };
        let event = OwnedPdu::parse_stored(received.to_text(signature)?)?.with_event_id(received.event_id());
        self.store.append(room, event, status, relay).await?;
        Ok(outcome)
    }

    /// Asks for the events between those that this server has and this one, the oldest first.
    async fn missing_events(
        &self,
        origin: ServerName<'_>,
        room: &Room,
        latest: &str,
    ) -> Result<Vec<String>, StoreError> {
        let earliest: Vec<String> = self.store.extremities(room).await?.iter().map(|(id, _)| id.to_string()).collect();
        let body = json!({ "earliest_events": earliest, "latest_events": [latest], "limit": MAX_MISSING });
        let path = format!("/_matrix/federation/v1/get_missing_events/{}", encoded(room.id.as_str()));
        let answer = self.peers.post(origin, path, body.to_string()).await;
        let mut events = answer.map(|answer| events_in(&answer.body, "events")).unwrap_or_default();
        events.truncate(MAX_MISSING);
        Ok(events)
    }

    /// Fetches an event that another one names as allowing it.
    async fn fetch_outlier(&self, origin: ServerName<'_>, room: &Room, event_id: &str) -> Result<(), NotTaken> {
        let path = format!("/_matrix/federation/v1/event/{}", encoded(event_id));
        let answer = self.peers.get(origin, path, String::new()).await;
        let pdus = answer.map(|answer| events_in(&answer.body, "pdus")).unwrap_or_default();
        let Some(text) = pdus.first() else { return Ok(()) };
        if let Some(event) = self.verified(room, text).await?.filter(|event| event.event_id() == Some(event_id)) {
            self.store.keep_outlier(room, event).await?;
        }
        Ok(())
    }

    /// An event of this room that those have signed who must; `None` if it is not.
    pub async fn verified(&self, room: &Room, text: &str) -> Result<Option<OwnedPdu>, StoreError> {
        let formatted = Pdu::parse(text).ok().and_then(|pdu| pdu.check_format(room.version).ok());
        let Some(formatted) = formatted else { return Ok(None) };
        let keys = self.keys(formatted.wanted_keys()).await?;
        let Ok(received) = ReceivedEvent::verify(formatted, &keys, &Ed25519, now()) else { return Ok(None) };
        let is_of_room = match received.event().room_id() {
            Some(room_id) => room.id == *room_id,
            // Since version 12 the room ID is that of the create event.
            None => received.event_id().strip_prefix('$') == room.id.as_str().strip_prefix('!'),
        };
        let text = received.to_text(None).ok().filter(|_| is_of_room);
        Ok(text.map(OwnedPdu::parse_stored).transpose()?.map(|event| event.with_event_id(received.event_id())))
    }

    /// An event of a room that this server is not in: believed only if it ends what a user of this server has there, an
    /// invite (or a knock, where an administrator wants MSC4233: here with the test hooks).
    async fn receive_outside(
        &self,
        origin: ServerName<'_>,
        room_id: RoomId<'_>,
        text: &str,
    ) -> Result<String, NotTaken> {
        let pdu = Pdu::parse(text)?;
        let target = pdu.state_key().and_then(|user| UserId::parse(user).ok()).map(UserId::into_owned);
        let target = target.filter(|target| self.is_own(target.as_borrowed())).ok_or(NotTaken::NotInRoom)?;
        let user = target.as_borrowed();
        let outside = self.store.outside(user, room_id).await?.ok_or(NotTaken::NotInRoom)?;
        let version = match &outside {
            Outside::Knock(knock) => knock.version(),
            Outside::Invite(invite, _) => invite.version(),
            Outside::Left { .. } => return Err(NotTaken::NotInRoom),
        };
        let formatted = pdu.check_format(version).map_err(Dropped::from)?;
        let keys = self.keys(formatted.wanted_keys()).await?;
        let signed = formatted.check_signatures(&keys, &Ed25519, now()).map_err(Dropped::from)?;
        let VerifiedPdu::Whole(event) = signed.check_hash().map_err(Dropped::from)? else {
            return Err(NotTaken::NotInRoom);
        };
        let event_id = EventId::parse(outside.event_id()).map_err(StoreError::from)?;
        let current = Some(event_id);
        match &outside {
            Outside::Invite(_, inviter) => {
                let inviter = inviter.as_borrowed();
                let invite = ReceivedInvite { room_id, user_id: user, event_id, version, current, inviter };
                invite.revocation(&event, origin)?;
            }
            Outside::Knock(knock) if self.test_hooks => drop(knock.sent(current).msc4233_denial(&event, origin)?),
            Outside::Knock(_) | Outside::Left { .. } => return Err(NotTaken::NotInRoom),
        }
        let left = Outside::left(&event.pdu().to_federation(version).map_err(PduError::from)?, event.event_id())?;
        self.store.set_outside(user, room_id, &left).await?;
        Ok(event.event_id().to_owned())
    }
}
