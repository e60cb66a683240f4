//! The part of the walk about those who wait: who they are, who is told of them, what they are shown.

use std::collections::BTreeMap;
use std::io::{self, Write};

use matrix_knock::auth::CompiledRoom;
use matrix_knock::event::{Event as _, OwnedPdu};
use matrix_knock::id::UserId;
use matrix_knock::membership_change::{Before, MembershipChange};
use matrix_knock::pending::{Answer, Answerers, Answering, PendingKnocks};
use matrix_knock::stripped_state;

use super::{KNOCKER, Walk, heading, shortened};

impl Walk {
    /// The index of those who wait for an answer, and the names of the changes that brought them there.
    pub(super) fn who_waits(&self, out: &mut impl Write) -> io::Result<()> {
        heading(out, "Who waits for an answer, and to whom it is told")?;
        let mut latest: BTreeMap<&str, &OwnedPdu> = BTreeMap::new();
        let mut changes: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for event in self.room.member_events() {
            let user = event.state_key().unwrap_or_default();
            let before = latest.insert(user, event).map_or(Before::NoEvent, Before::Event);
            let change = MembershipChange::new(before, event).map_err(io::Error::other)?;
            changes.entry(user).or_default().push(change.change().to_string());
        }
        let knocks = PendingKnocks::from_state(self.room.version, latest.into_values().map(OwnedPdu::text));
        let room = CompiledRoom::compile(self.room.version, &self.state).map_err(io::Error::other)?;
        let door = Answering::new(&room, &self.state);
        for knocker in knocks.iter() {
            let history = changes.get(knocker.user()).map(|names| names.join(", ")).unwrap_or_default();
            writeln!(out, "  {:<24} {history}", knocker.user())?;
            writeln!(out, "  {:<24} says: {}", "", shortened(knocker.reason().unwrap_or("nothing")))?;
            let told = match door.who_may(Answer::Accept, knocker.user()).map_err(io::Error::other)? {
                Answerers::Only(users) => users.join(", "),
                Answerers::EverybodyJoinedBut(users) if users.is_empty() => "everybody in the room".to_owned(),
                Answerers::EverybodyJoinedBut(users) => format!("everybody in the room but {}", users.join(", ")),
            };
            writeln!(out, "  {:<24} told to: {told}", "")?;
        }
        Ok(())
    }

    pub(super) fn what_a_knocker_is_shown(&self, out: &mut impl Write) -> io::Result<()> {
        heading(out, &format!("What {KNOCKER} is shown of the room (stripped state)"))?;
        let user = UserId::parse(KNOCKER).map_err(io::Error::other)?;
        for event in stripped_state::for_client(&self.state, user).map_err(io::Error::other)? {
            writeln!(out, "  {:<22} {}", event.event_type(), shortened(event.content()))?;
        }
        let events = stripped_state::events(&self.state).count();
        writeln!(out, "  To the other server the first {events} go as whole, signed events.")
    }
}
