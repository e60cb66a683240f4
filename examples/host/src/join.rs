//! Joins, both ways: outside of the library, so as plain as possible. Restricted joins are left out.

use std::sync::Arc;

use matrix_knock::auth::server_is_allowed;
use matrix_knock::error::{Errcode, ErrorResponse};
use matrix_knock::event::{Event, EventType, Membership, OwnedPdu, Pdu, Proposal};
use matrix_knock::id::{OwnedServerName, RoomId, RoomIdOrAlias, ServerName, UserId};
use matrix_knock::receipt::Outcome;
use matrix_knock::resident::{LocalEvent, Refusal, Residence};
use matrix_knock::restricted_join::{JoinCheck, RoomMembership};
use matrix_knock::state::Reads;
use matrix_knock::template::{CheckedTemplate, Details, Expected, Template};
use matrix_knock::wire::BuiltRequest;
use serde::Deserialize;
use serde_json::json;

use crate::host::{Host, now};
use crate::http::{Call, Reply, encoded, forbidden, invalid, not_found};
use crate::peers::{Answer, events_in};
use crate::receive::NotTaken;
use crate::store::{At, Outside, Relay, Room, StoreError, prev_events};

/// The longest answer to `send_join` that is read, in bytes: it has the whole state of the room in it.
const MAX_STATE_BYTES: usize = 256 * 1024 * 1024;

impl Host {
    /// `POST /join/{roomIdOrAlias}` and `POST /rooms/{roomId}/join`.
    pub async fn client_join(
        self: &Arc<Self>,
        user: UserId<'_>,
        room: &str,
        mut servers: Vec<OwnedServerName>,
    ) -> Reply {
        let room = RoomIdOrAlias::parse(room).map_err(|_| invalid("Not a room ID or alias"))?;
        let (room_id, known) = self.resolve(room, Vec::new()).await?;
        servers.extend(known);
        let joined = json!({ "room_id": room_id.as_str() }).to_string();
        let id = room_id.as_borrowed();
        if let Some(room) = self.store.room(id).await?.filter(|room| room.residence == Residence::Joined) {
            if self.store.membership(&room, user).await? != Some(Membership::Join) {
                self.change_membership(&room, user, user, Membership::Join, None).await?;
            }
            return Ok(joined);
        }
        let _lock = self.lock(format!("{user} {room_id}")).await;
        match self.store.outside(user, id).await? {
            Some(Outside::Invite(_, inviter)) => servers.push(inviter),
            Some(Outside::Knock(knock)) => servers.push(knock.server().into_owned()),
            Some(Outside::Left { .. }) | None => {}
        }
        let mut failure = not_found("No server is known that is in the room");
        for server in servers.iter().filter(|server| self.name != **server) {
            match self.join_through(server.as_borrowed(), user, id).await {
                Ok(()) => return Ok(joined),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Joins a room by way of a server that is in it.
    async fn join_through(
        &self,
        server: ServerName<'_>,
        user: UserId<'_>,
        room_id: RoomId<'_>,
    ) -> Result<(), ErrorResponse> {
        let (room, who) = (encoded(room_id.as_str()), encoded(user.as_str()));
        let versions = self.versions.iter().map(|version| format!("ver={version}")).collect::<Vec<_>>().join("&");
        let answer = self.peers.get(server, format!("/_matrix/federation/v1/make_join/{room}/{who}"), versions).await;
        let expected = Expected::Join(&self.versions);
        let template = CheckedTemplate::read(expected, room_id, user, &answered(answer)?).map_err(|_| bad_gateway())?;
        let version = template.version();
        let details = Details { displayname: self.name_of(user).await?, ..Details::default() };
        let own = self.name.as_borrowed();
        let signed = LocalEvent::sign_by_host(version, &template.to_event(&details, own, now()), own, &*self.key)?;
        let request = BuiltRequest {
            method: "PUT",
            path: format!("/_matrix/federation/v2/send_join/{room}/{}", encoded(signed.event_id())),
            query: String::new(),
            body: Some(signed.text().to_owned()),
        };
        let body = answered(self.peers.send(server, &request, MAX_STATE_BYTES).await)?;
        let room = Room { id: room_id.into_owned(), version, residence: Residence::Joined };
        let (mut state, mut auth_chain) = (Vec::new(), Vec::new());
        for (name, list) in [("state", &mut state), ("auth_chain", &mut auth_chain)] {
            for text in events_in(&body, name) {
                // What nobody has signed is left out; what the room does not allow is believed of the server in it.
                list.extend(self.verified(&room, &text).await?);
            }
        }
        if !state.iter().any(|event: &OwnedPdu| event.is_type(EventType::Create)) {
            return Err(bad_gateway());
        }
        let join = OwnedPdu::from(signed.formatted()?.pdu().clone());
        Ok(self.store.import(&room, auth_chain, state, join).await?)
    }

    /// `make_join`.
    pub async fn make_join(&self, origin: ServerName<'_>, call: &Call, room_id: RoomId<'_>, user: &str) -> Reply {
        let room = self.resident_room(origin, room_id).await?;
        let user = UserId::parse(user).map_err(|_| Refusal::UserId)?;
        if user.server_name() != origin {
            return Err(Refusal::UserOfOtherServer.into());
        }
        if !call.values("ver").any(|version| room.version == *version) {
            return Err(Refusal::IncompatibleRoomVersion(room.version).into());
        }
        let join = Proposal::of_oneself(user.as_str(), Membership::Join);
        let state = self.store.state(&room, At::Now, &JoinCheck::reads(room.version, user)).await?;
        let check = JoinCheck::new(room.version, user, &state)?;
        if !check.rooms().is_empty() {
            // This host authorizes no joins; another server of the room may.
            check.fetch(|id| self.membership_of(user, id)).await?.grant(None)?;
        }
        let extremities = self.store.extremities(&room).await?;
        let prev_events = prev_events(&extremities);
        let template = Template::of_proposal(room.version, &join, room_id, &state, &prev_events, now())?;
        Ok(template.to_response())
    }

    /// Whether the user is joined to the room, as far as this server can tell.
    async fn membership_of(&self, user: UserId<'_>, room_id: RoomId<'_>) -> Result<RoomMembership, StoreError> {
        match self.store.room(room_id).await?.filter(|room| room.residence == Residence::Joined) {
            Some(room) => Ok(self.store.membership(&room, user).await?.into()),
            None if self.is_own(user) => Ok(RoomMembership::NotJoined),
            None => Ok(RoomMembership::NotKnown),
        }
    }

    /// `send_join`.
    pub async fn send_join(&self, origin: ServerName<'_>, call: &Call, room_id: RoomId<'_>, event_id: &str) -> Reply {
        let room = self.resident_room(origin, room_id).await?;
        let text = call.text()?;
        {
            let event = Pdu::parse(text).map_err(Refusal::from)?.check_format(room.version).map_err(Refusal::from)?;
            let pdu = event.pdu();
            let is_join = pdu.is_type(EventType::Member) && pdu.member_facts().membership() == Some(Membership::Join);
            let is_own = pdu.state_key() == Some(pdu.sender())
                && UserId::parse(pdu.sender()).is_ok_and(|sender| sender.server_name() == origin);
            if !is_join || !is_own || pdu.room_id() != Some(room_id.as_str()) || event.event_id() != event_id {
                return Err(invalid("Not the join of a user of the asking server"));
            }
        }
        if self.store.event(&room, event_id).await?.is_none() {
            // The others of the room hear of it from here.
            match self.receive_event(origin, &room, text, Relay::ToRoom(None)).await {
                Ok(Outcome::Accepted(_)) => {}
                Ok(Outcome::SoftFailed(_) | Outcome::Rejected(_)) => {
                    return Err(forbidden("The room does not allow it"));
                }
                Err(NotTaken::Store(error)) => return Err(error.into()),
                Err(error) => return Err(ErrorResponse::new(Errcode::InvalidParam, error.to_string())),
            }
        }
        let stored = self.store.event(&room, event_id).await?.ok_or_else(|| not_found("Unknown event"))?;
        let state = self.store.whole_state(&room, At::Before(stored.position)).await?;
        let ids = state.iter().filter_map(Event::event_id).map(str::to_owned).collect();
        let auth_chain = self.store.auth_chain(&room, ids).await?;
        Ok(format!(
            r#"{{"origin":"{}","members_omitted":false,"event":{},"state":{},"auth_chain":{}}}"#,
            self.name,
            stored.event.text(),
            list(&state),
            list(&auth_chain),
        ))
    }

    /// A room that this server is in, and the asking server may take part in.
    pub async fn resident_room(&self, origin: ServerName<'_>, room_id: RoomId<'_>) -> Result<Room, ErrorResponse> {
        let room = self.store.room(room_id).await?.ok_or(Refusal::UnknownRoom)?;
        if room.residence != Residence::Joined {
            return Err(Refusal::NotInRoom.into());
        }
        let acl = [(EventType::ServerAcl, "")].into_iter().collect::<Reads>();
        let state = self.store.state(&room, At::Now, &acl).await?;
        if server_is_allowed(origin, &state)? { Ok(room) } else { Err(Refusal::ServerDenied.into()) }
    }
}

/// The events as a list, as they go between servers.
pub fn list<'e>(events: impl IntoIterator<Item = &'e OwnedPdu>) -> String {
    format!("[{}]", events.into_iter().map(OwnedPdu::text).collect::<Vec<_>>().join(","))
}

fn answered(answer: Option<Answer>) -> Result<String, ErrorResponse> {
    #[derive(Deserialize)]
    struct Refused {
        errcode: String,
        error: Option<String>,
    }
    match answer {
        Some(Answer { status: 200, body, .. }) => Ok(body),
        Some(Answer { status: status @ 400..=499, body, .. }) => {
            let refused: Refused = serde_json::from_str(&body).map_err(|_| bad_gateway())?;
            let error = refused.error.unwrap_or_default();
            Err(ErrorResponse::with_status(status, Errcode::from(refused.errcode), error))
        }
        Some(_) | None => Err(bad_gateway()),
    }
}

fn bad_gateway() -> ErrorResponse {
    ErrorResponse::new(Errcode::Unknown, "No useful answer of the server of the room")
}
