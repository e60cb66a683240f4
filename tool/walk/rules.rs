//! The part of the walk about the rules: who may knock, and who may answer.

use std::io::{self, Write};

use matrix_knock::auth::{AuthorizeError, Rejection, authorize_proposal};
use matrix_knock::event::{EventType, Membership, OwnedPdu, Proposal};
use matrix_knock::pending::Answer;
use matrix_knock::state::{FromFn, RoomState};

use super::{KNOCKER, OUTSIDER, Walk, heading, text_in};

impl Walk {
    pub(super) fn who_may_knock(&self, out: &mut impl Write) -> io::Result<()> {
        heading(out, "Who may knock")?;
        writeln!(out, "  join rule: {}", self.text_of(EventType::JoinRules, "", "join_rule")?)?;
        for user in &self.users {
            let verdict = verdict(self.refused(&Proposal::of_oneself(user, Membership::Knock), &self.state)?);
            let membership = self.text_of(EventType::Member, user, "membership")?;
            writeln!(out, "  {user:<24} {membership:<8} {verdict}")?;
        }
        writeln!(out, "  (the walk has banned the last one)")
    }

    pub(super) fn under_other_join_rules(&self, out: &mut impl Write) -> io::Result<()> {
        heading(out, &format!("Could {OUTSIDER} knock or join under another join rule"))?;
        for rule in ["public", "knock", "knock_restricted", "restricted", "invite", "private"] {
            let text = format!(
                r#"{{"type":"m.room.join_rules","state_key":"","sender":"@a:b","content":{{"join_rule":"{rule}"}}}}"#
            );
            let join_rules = OwnedPdu::parse_stored(text).map_err(io::Error::other)?;
            let state = FromFn(|event_type: &str, state_key: &str| match EventType::from(event_type) {
                EventType::JoinRules => Some(&join_rules),
                event_type => self.state.event(event_type, state_key).ok().flatten(),
            });
            for membership in [Membership::Knock, Membership::Join] {
                let verdict = verdict(self.refused(&Proposal::of_oneself(OUTSIDER, membership), &state)?);
                writeln!(out, "  {rule:<17} {membership:<6} {verdict}")?;
            }
        }
        Ok(())
    }

    pub(super) fn who_may_answer(&self, out: &mut impl Write) -> io::Result<()> {
        heading(out, &format!("Who may end the knock of {KNOCKER}"))?;
        for (name, answer) in [("accept", Answer::Accept), ("decline", Answer::Decline), ("ban", Answer::Ban)] {
            let membership = answer.membership();
            let (mut able, mut unable) = (Vec::new(), Vec::new());
            for sender in self.users.iter().filter(|user| *user != KNOCKER) {
                let refused = self.refused(&Proposal { sender, target: KNOCKER, membership }, &self.state)?;
                match refused {
                    None => able.push(sender.as_str()),
                    Some(_) => unable.push((sender, refused)),
                }
            }
            writeln!(out, "  {name:<8} ({membership:<6})  {}: yes", able.join(", "))?;
            if let Some((sender, refused)) = unable.first() {
                writeln!(out, "  {:<18} {sender}: {}", "", verdict(*refused))?;
            }
        }
        let retract = Proposal::of_oneself(KNOCKER, Membership::Leave);
        let verdict = verdict(self.refused(&retract, &self.state)?);
        writeln!(out, "  {:<8} ({:<6})  {KNOCKER}: {verdict}", "retract", retract.membership)
    }

    /// The rule that says no, if one does.
    fn refused(&self, proposal: &Proposal<'_>, state: &impl RoomState) -> io::Result<Option<Rejection>> {
        match authorize_proposal(self.room.version, proposal, state) {
            Ok(_) => Ok(None),
            Err(AuthorizeError::Rejected(rejection)) => Ok(Some(rejection)),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    /// A text in the content of a state event; `-` if there is none.
    fn text_of(&self, event_type: EventType<'_>, state_key: &str, key: &str) -> io::Result<String> {
        let event = self.state.event(event_type, state_key).map_err(io::Error::other)?;
        Ok(event.and_then(|event| text_in(event, key)).unwrap_or_else(|| "-".to_owned()))
    }
}

fn verdict(refused: Option<Rejection>) -> String {
    refused.map_or_else(|| "yes".to_owned(), |refused| format!("no, rule {}: {}", refused.number(), refused.reason()))
}
