//! Another server invites a user of this one, perhaps because the user knocks.

use matrix_knock::Ed25519;
use matrix_knock::event::Event as _;
use matrix_knock::id::{EventId, OwnedRoomId, ServerName};
use matrix_knock::knocking::invitation::{InviteDecision, InviteRequest};

use crate::host::{Host, now};
use crate::http::{Call, Reply};
use crate::store::{Outside, StoreError};

impl Host {
    /// `PUT /invite/{roomId}/{eventId}`.
    pub async fn receive_invite(&self, origin: ServerName<'_>, call: &Call) -> Reply {
        let request = InviteRequest::parse(origin, call.as_http())?;
        let checked = request.check(self.name.as_borrowed(), &self.versions)?;
        let keys = self.keys(checked.wanted_keys()).await?;
        let verified = checked.verify(&keys, &Ed25519, now())?;
        for warning in verified.warnings() {
            eprintln!("knock-host: an invite by {origin}: `invite_room_state`: {warning}");
        }
        let target = verified.target().into_owned();
        let room_id = OwnedRoomId::parse(verified.event().room_id().unwrap_or_default()).map_err(StoreError::from)?;
        // The user's knock: it stands, or it is under way and its answer is not here yet.
        let (user, room) = (target.as_borrowed(), room_id.as_borrowed());
        let under_way = self.store.knock_under_way(user, room).await?.and_then(|machine| machine.knock());
        let knock = match (under_way, self.store.outside(user, room).await?) {
            (Some(knock), _) | (None, Some(Outside::Knock(knock))) => Some(knock),
            (None, Some(Outside::Invite(..) | Outside::Left { .. }) | None) => None,
        };
        if let Some(knock) = knock {
            let current = EventId::parse(knock.event_id()).ok();
            match verified.acceptance(&knock.sent(current)) {
                Ok(acceptance) => eprintln!("knock-host: {target} is let into {room_id}: {acceptance:?}"),
                Err(why) => eprintln!("knock-host: {target} is invited to {room_id}, but not for the knock: {why}"),
            }
        }
        // Here everybody takes every invite. A host with settings for that lets one through that answers a knock.
        let accepted = verified.decide(InviteDecision::Admit)?.countersign(&*self.key)?;
        let answer = accepted.to_response();
        // In a room that this server is in, the event comes in a transaction.
        if !self.store.room(room).await?.is_some_and(|room| room.is_joined()) {
            let outside = Outside::Invite(accepted, origin.into_owned());
            self.store.set_outside(user, room, &outside).await?;
        }
        Ok(answer)
    }
}
