//! The part of the walk about the answer to the knock: accept, over both servers; decline; ban; and an acceptance taken back.

use std::io::{self, Write};

use matrix_knock::Ed25519;
use matrix_knock::event::{Event as _, Membership, Pdu, SignedEvent, VerifiedPdu};
use matrix_knock::id::{EventId, ServerName, UserId};
use matrix_knock::knocking::PendingKnock;
use matrix_knock::knocking::invitation::AcceptedInvite;
use matrix_knock::knocking::out_of_band::{Acceptance, Msc4233Denial, ReceivedInvite, Revocation};
use matrix_knock::knocking::room_state::ShowUnverified;
use matrix_knock::machine::Machine as _;
use matrix_knock::policy::PolicyVerdict;
use matrix_knock::resident::Refusal;
use matrix_knock::resident::answer::{Action, AnswerRequest, Answered};
use matrix_knock::sync::Section;

use super::knocker::{Knocker, sent_knock};
use super::resident::{self, Resident};
use super::{Walk, heading, shortened};

/// Who answers.
const MEMBER: &str = "@alice12:hs1.test:18448";

impl Walk {
    /// Answers the knock in every way, each in a room of its own.
    pub(super) fn the_answers(
        &self,
        knock: &PendingKnock,
        knocker: &Knocker,
        resident: &Resident<'_>,
        out: &mut impl Write,
    ) -> io::Result<()> {
        heading(out, &format!("{MEMBER} accepts the knock"))?;
        let mut room = resident.clone();
        let Answered::Invite(invite) = answer(Action::Accept, knock, &mut room).map_err(io::Error::other)? else {
            return Err(io::Error::other("the knocker is of another server"));
        };
        let mut inviting = room.invite(invite).map_err(io::Error::other)?;
        let accepted = knocker.countersign(&mut inviting, knock, out)?;
        let Some(Ok(countersigned)) = inviting.outcome() else { return Err(io::Error::other("no invite")) };
        let event = room.append_invite(countersigned).map_err(io::Error::other)?;
        writeln!(out, "\n  appended with the signatures of both: {}", event.event_id())?;
        what_the_invited_sees(&accepted, out)?;

        heading(out, &format!("{MEMBER} takes the acceptance back"))?;
        let Answered::Append(revoked) = answer(Action::Revoke, knock, &mut room).map_err(io::Error::other)? else {
            return Err(io::Error::other("a leave is no invite"));
        };
        let invite = ReceivedInvite {
            room_id: knock.room_id(),
            user_id: knock.user_id(),
            event_id: id(accepted.event().event_id())?,
            version: accepted.version(),
            current: Some(id(accepted.event().event_id())?),
            inviter: origin()?,
        };
        sent_to_the_knocker(revoked.event(), out)?;
        let believed = whole(revoked.event(), knock, |event| invite.revocation(event, invite.inviter))?;
        let believed = match believed.map_err(io::Error::other)? {
            Revocation::Revoked => "the invite is over",
            Revocation::Banned => "the user is banned",
        };
        writeln!(out, "  the knocker's server believes it: {believed}")?;

        for (action, heading_of) in [(Action::Decline, "declines the knock"), (Action::Ban, "bans the knocker")] {
            heading(
                out,
                &format!("Had {MEMBER} {heading_of}").replace("declines", "declined").replace("bans", "banned"),
            )?;
            let Answered::Append(denied) = answer(action, knock, &mut resident.clone()).map_err(io::Error::other)?
            else {
                return Err(io::Error::other("a denial is no invite"));
            };
            sent_to_the_knocker(denied.event(), out)?;
            let sent = sent_knock(knock)?;
            let believed = whole(denied.event(), knock, |event| sent.msc4233_denial(event, knock.server()))?;
            let believed = match believed.map_err(io::Error::other)? {
                Msc4233Denial::Declined => "declined",
                Msc4233Denial::Banned => "declined and banned",
            };
            writeln!(out, "  a knocker's server with MSC4233 believes it: {believed}")?;
        }
        Ok(())
    }
}

fn answer(action: Action, knock: &PendingKnock, resident: &mut Resident<'_>) -> Result<Answered, Refusal> {
    let Ok(member) = UserId::parse(MEMBER) else { return Err(Refusal::UserId) };
    let answered =
        resident.answer_knock(AnswerRequest::new(action, member, knock.user_id()), PolicyVerdict::NotNamed)?;
    if let Answered::Append(answer) = &answered {
        resident.append(answer.event())?;
    }
    Ok(answered)
}

/// What comes of an event that is brought to the knocker's server, once it is verified.
fn whole<T>(
    event: &SignedEvent,
    knock: &PendingKnock,
    read: impl FnOnce(&matrix_knock::event::WholePdu<'_>) -> T,
) -> io::Result<T> {
    let formatted = Pdu::parse(event.text()).map_err(io::Error::other)?.check_format(knock.version());
    let signed = formatted.map_err(io::Error::other)?.check_signatures(&Resident::keys(), &Ed25519, 0);
    match signed.and_then(|signed| signed.check_hash()).map_err(io::Error::other)? {
        VerifiedPdu::Whole(event) => Ok(read(&event)),
        VerifiedPdu::Redacted(_) => Err(io::Error::other("the hash is wrong")),
    }
}

fn sent_to_the_knocker(event: &SignedEvent, out: &mut impl Write) -> io::Result<()> {
    let pdu = event.pdu().map_err(io::Error::other)?;
    writeln!(out, "  {} {}", event.event_id(), pdu.content())?;
    let server = pdu.state_key().and_then(|target| UserId::parse(target).ok()).map(UserId::server_name);
    writeln!(out, "  sent to everybody in the room, and to {}", server.map_or("nobody else", ServerName::as_str))
}

fn what_the_invited_sees(invite: &AcceptedInvite, out: &mut impl Write) -> io::Result<()> {
    let (before, after) = (Section::of(Membership::Knock), Section::of(Membership::Invite));
    writeln!(out, "  the room in the client's /sync: `{before}` before, now `{after}`:")?;
    for shown in invite.invite_state(ShowUnverified::default()) {
        writeln!(out, "    {:<22} {}", shown.event.event_type(), shortened(shown.event.content()))?;
    }
    Ok(())
}

fn id(event_id: &str) -> io::Result<EventId<'_>> {
    EventId::parse(event_id).map_err(io::Error::other)
}

fn origin() -> io::Result<ServerName<'static>> {
    ServerName::parse(resident::SERVER).map_err(io::Error::other)
}

/// How an invite answers the knock, for people.
pub(super) const fn acceptance(acceptance: Acceptance) -> &'static str {
    match acceptance {
        Acceptance::LinkedByAuthEvents => "names the knock: it is the answer",
        Acceptance::MerelyInvited => "does not name the knock",
    }
}
