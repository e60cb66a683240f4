//! What members do about others: accept, decline or ban who knocks, and take that back. Invites of users of other servers are
//! signed by these first.

use std::sync::Arc;

use matrix_knock::auth::CompiledRoom;
use matrix_knock::error::ErrorResponse;
use matrix_knock::event::{EventType, OwnedPdu};
use matrix_knock::id::UserId;
use matrix_knock::knocking::Details;
use matrix_knock::pending::{Answer, Answering, Knocker, PendingKnocks};
use matrix_knock::resident::answer::{Action, AnswerRequest, Answered, ClientAction, Inviting, UnsignedInvite};
use matrix_knock::resident::{Decision, Refusal};
use matrix_knock::state::StateMap;
use matrix_knock::stripped_state::ShownTypes;
use serde_json::json;

use crate::host::{Host, now};
use crate::http::{Reply, forbidden};
use crate::store::{At, Room, StoreError, Task, TaskKind, prev_events};

impl Host {
    /// `POST /rooms/{roomId}/{invite,kick,ban,unban}`, by a user in the room.
    pub async fn client_answer(
        self: &Arc<Self>,
        room: &Room,
        sender: UserId<'_>,
        target: UserId<'_>,
        action: ClientAction,
        reason: Option<String>,
    ) -> Reply {
        match action.action(self.store.membership(room, target).await?)? {
            Some(action) => self.answer(AnswerRequest::new(action, sender, target), room, reason).await?,
            // Nothing of this is about a knock.
            None => self.change_membership(room, sender, target, action.membership(), reason).await?,
        }
        Ok("{}".to_owned())
    }

    async fn answer(
        self: &Arc<Self>,
        request: AnswerRequest<'_>,
        room: &Room,
        reason: Option<String>,
    ) -> Result<(), ErrorResponse> {
        let resident = room.resident();
        let state = self.store.state(room, At::Now, &request.reads(&resident)).await?;
        let approved = request.check(&resident, &state)?.decide(Decision::Admit)?;

        let extremities = self.store.extremities(room).await?;
        let state = self.store.state(room, At::Now, &approved.reads()).await?;
        let details = Details { reason, ..Details::default() };
        let event = approved.sign(&state, &details, &prev_events(&extremities), now(), &*self.key)?;
        let policy = self.ask_policy_server(room, &event.formatted()?).await?;

        let lock = self.lock(room.id.to_string()).await;
        let state = self.store.state(room, At::Now, &event.reads()).await?;
        match event.accept(&state, policy)? {
            Answered::Append(answer) => {
                let also_to = answer.also_to().map(|reach| reach.server);
                Ok(self.append_signed(room, answer.event(), also_to).await?)
            }
            Answered::Invite(invite) => {
                // The other server is asked without the lock.
                drop(lock);
                self.invite(room, invite).await
            }
        }
    }

    /// Has the invited user's server sign an invite.
    async fn invite(self: &Arc<Self>, room: &Room, invite: UnsignedInvite) -> Result<(), ErrorResponse> {
        let target = invite.target().into_owned();
        let _lock = self.lock(format!("{target} {}", room.id)).await;
        let types = ShownTypes::default();
        let state = self.store.state(room, At::Now, &invite.reads(&types)).await?;
        let machine = invite.start(&types, &state, |event| event.as_pdu().to_federation(room.version).ok())?;
        let task = self.store.begin(TaskKind::Inviting, target.as_borrowed(), room.id.as_borrowed(), &machine).await?;
        self.inviting(task, machine).await
    }

    /// Drives an invite to its end, from where it is, and makes it a part of the room.
    pub async fn inviting(&self, task: Task, mut machine: Inviting) -> Result<(), ErrorResponse> {
        let appended = match self.drive(task.id, &mut machine).await? {
            Ok(countersigned) => {
                let room = self.store.room(task.room_id.as_borrowed()).await?.ok_or(Refusal::UnknownRoom)?;
                let _lock = self.lock(room.id.to_string()).await;
                let state = self.store.state(&room, At::Now, &countersigned.reads()).await?;
                match countersigned.accept(&state) {
                    Ok(event) => Ok(self.append_signed(&room, &event, None).await?),
                    Err(refusal) => Err(refusal.into()),
                }
            }
            Err(not_invited) => Err(not_invited.into()),
        };
        // If the process ends between the two, the invite is appended once more: the store knows it then.
        self.store.end(task, None).await?;
        appended
    }

    /// Who knocks. The index is made of the knocks of the current state, in the order in which they
    /// came; a larger host keeps it and applies each event to it.
    async fn pending(&self, room: &Room) -> Result<PendingKnocks, StoreError> {
        let mut knocks = PendingKnocks::new();
        for knock in self.store.knocks(room).await? {
            // Every event of the store knows its ID.
            let _applied = knocks.apply(&knock.event, knock.origin_server_ts);
        }
        Ok(knocks)
    }

    /// `GET /_knock/pending/{roomId}`.
    pub async fn client_pending(&self, room: &Room) -> Reply {
        let knocks = self.pending(room).await?;
        let shown = |knock: &Knocker| json!({ "user": knock.user(), "reason": knock.reason(), "displayname": knock.displayname() });
        Ok(knocks.iter().map(shown).collect::<serde_json::Value>().to_string())
    }

    /// `POST /_knock/decline_all/{roomId}`: one answer to all who knock.
    pub async fn client_decline_all(self: &Arc<Self>, sender: UserId<'_>, room: &Room) -> Reply {
        let knocks = self.store.knocks(room).await?.into_iter().map(|knock| knock.event);
        let own = self.store.state_event(room, At::Now, EventType::Member, sender.as_str()).await?;
        let memberships: StateMap<OwnedPdu> = knocks.chain(own).collect();
        let state = self.store.state(room, At::Now, &CompiledRoom::reads()).await?;
        let compiled = CompiledRoom::compile(room.version, &state);
        let compiled = compiled.map_err(|_| forbidden("The room does not allow it"))?;
        let door = Answering::new(&compiled, &memberships);
        let knocks = self.pending(room).await?;
        let answers = door.all(Answer::Decline, sender.as_str(), knocks.iter().map(Knocker::user));
        let (mut declined, mut refused) = (0_u32, answers.refused.len());
        for answer in &answers.events {
            let target = UserId::parse(answer.target).map_err(StoreError::from)?;
            match self.answer(AnswerRequest::new(Action::Decline, sender, target), room, None).await {
                Ok(()) => declined = declined.saturating_add(1),
                // That is this server's fault, and no answer of the room.
                Err(error) if error.status() == 500 => return Err(error),
                Err(_) => refused = refused.saturating_add(1),
            }
        }
        Ok(json!({ "declined": declined, "refused": refused }).to_string())
    }
}
