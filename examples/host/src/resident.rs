//! Users of other servers knock on rooms of this one, and take that back: `make_knock`, `send_knock`, `make_leave`,
//! `send_leave`. Both are written once, over the kind of request.

use matrix_knock::Ed25519;
use matrix_knock::error::ErrorResponse;
use matrix_knock::event::OwnedPdu;
use matrix_knock::id::{RoomId, ServerName};
use matrix_knock::resident::submission::SendRequest;
use matrix_knock::resident::{Decision, MakeRequest, Refusal, RequestKind};
use matrix_knock::template::Details;

use crate::host::{Host, now};
use crate::http::{Call, Reply};
use crate::store::{At, Relay, Room, Status, StoreError, prev_events};

impl Host {
    async fn known_room(&self, room_id: RoomId<'_>) -> Result<Room, ErrorResponse> {
        Ok(self.store.room(room_id).await?.ok_or(Refusal::UnknownRoom)?)
    }

    /// `make_knock` and `make_leave`.
    pub async fn make<K: RequestKind>(&self, origin: ServerName<'_>, call: &Call) -> Reply {
        let request = MakeRequest::<K>::parse(origin, call.as_http())?;
        let room = self.known_room(request.room_id()).await?;
        let resident = room.resident();
        let state = self.store.state(&room, At::Now, &request.reads(&resident)).await?;
        let approved = request.check(&resident, &state)?.decide(Decision::Admit)?;

        let extremities = self.store.extremities(&room).await?;
        let state = self.store.state(&room, At::Now, &approved.reads()).await?;
        Ok(approved.template(&state, &prev_events(&extremities), now())?.to_response())
    }

    /// `send_knock` and `send_leave`.
    pub async fn send<K: RequestKind>(&self, origin: ServerName<'_>, call: &Call) -> Reply {
        let request = SendRequest::<K>::parse(origin, call.as_http())?;
        let room = self.known_room(request.room_id()).await?;
        let text = |event: &&OwnedPdu| event.as_pdu().to_federation(room.version).ok();
        let state = self.store.state(&room, At::Now, &request.reads()).await?;
        let checked = request.check(&room.resident(), &state)?;

        let keys = self.keys_of(checked.origin(), checked.key_ids()).await?;
        let keys: Vec<_> = keys.into_iter().collect();
        let checked = checked.verify(&keys, &Ed25519, now())?;
        if self.store.event(&room, checked.event_id()).await?.is_some() {
            let again = checked.known();
            let state = self.store.state(&room, At::Now, &again.reads()).await?;
            return Ok(again.to_response(&state, text)?);
        }

        let named: Vec<String> = checked.auth_events().map(str::to_owned).collect();
        let auth_events = checked.match_auth_events(self.store.auth_events(&room, &named).await?)?;
        let previous: Vec<String> = checked.prev_events().map(str::to_owned).collect();
        let position = self.store.position_after(&room, &previous).await?.ok_or(Refusal::UnknownPrevEvents)?;
        let before = self.store.state(&room, At::After(position), &checked.reads()).await?;
        let current = self.store.state(&room, At::Now, &checked.reads()).await?;
        let authorized = checked.authorize(&auth_events, &before, &current)?;

        let policy = self.ask_policy_server(&room, authorized.formatted()).await?;
        let accepted = {
            // From here until the event is stored the room stays as it is.
            let _lock = self.lock(room.id.to_string()).await;
            let current = self.store.state(&room, At::Now, &authorized.reads()).await?;
            let accepted = authorized.accept(&current, policy, Decision::Admit)?;
            let event = accepted.to_stored().map_err(StoreError::from)?;
            self.store.append(&room, event, Status::Accepted, Relay::ToRoom(None)).await?;
            accepted
        };
        let state = self.store.state(&room, At::Now, &accepted.reads()).await?;
        Ok(accepted.to_response(&state, text)?)
    }

    /// The same for a user of this server, in a room that it is in: a knock, or a leave from whatever there was.
    pub async fn change_own<K: RequestKind>(
        &self,
        request: MakeRequest<'_, K>,
        room: &Room,
        details: &Details,
    ) -> Result<(), ErrorResponse> {
        let resident = room.resident();
        let state = self.store.state(room, At::Now, &request.reads(&resident)).await?;
        let approved = request.check(&resident, &state)?.decide(Decision::Admit)?;

        let extremities = self.store.extremities(room).await?;
        let state = self.store.state(room, At::Now, &approved.reads()).await?;
        let event = approved.sign(&state, details, &prev_events(&extremities), now(), &*self.key)?;
        let policy = self.ask_policy_server(room, &event.formatted()?).await?;

        let _lock = self.lock(room.id.to_string()).await;
        let state = self.store.state(room, At::Now, &event.reads()).await?;
        let event = event.accept(&state, policy)?;
        Ok(self.append_signed(room, &event, None).await?)
    }
}
