//! The part of the walk that happens between two servers: a knock, what it looks like had somebody changed it, and the
//! leave that takes it back. Both ends, a fake clock, real signatures.

use std::io::{self, Write};

use matrix_knock::RoomVersion;
use matrix_knock::event::{Event, EventType, Membership};
use matrix_knock::id::{OwnedServerName, UserId};
use matrix_knock::knocking::room_state::ShowUnverified;
use matrix_knock::knocking::{Details, Intent, Knocking, OwnMembership, PendingKnock, Retracted, Retracting, Start};
use matrix_knock::machine::{Endpoint, Request};
use matrix_knock::resident::Refusal;
use matrix_knock::state::RoomState as _;
use matrix_knock::sync::{KnockSection, KnockedRoom, Section};
use matrix_knock::wire::BuiltRequest;
use serde_json::Value;

use super::knocker::Knocker;
use super::resident::{self, Resident};
use super::{OUTSIDER, Walk, heading, plain, shortened};

/// A server that does not answer.
const DOWN: &str = "hs0.test";
/// 2026-11-22 12:00:00 UTC, in milliseconds since the Unix epoch.
const NOW: u64 = 1_795_348_800_000;

impl Walk {
    pub(super) fn the_handshake(&self, out: &mut impl Write) -> io::Result<()> {
        let knocker = Knocker::new(UserId::parse(OUTSIDER).map_err(io::Error::other)?, NOW)?;
        let mut resident = Resident::new(self.room.clone(), knocker.key(), NOW)?;

        heading(out, &format!("{OUTSIDER} knocks: what the two servers say to each other"))?;
        let knock = self.knock(&knocker, &mut resident, out)?;
        self.what_is_pending(&knock, out)?;
        what_the_knocker_syncs(&knock, out)?;

        heading(out, "Had somebody changed the knock on its way")?;
        changed_on_its_way(&knock, &knocker, &mut resident, out)?;

        self.the_answers(&knock, &knocker, &resident, out)?;

        heading(out, &format!("{OUTSIDER} takes the knock back"))?;
        let mut retracting = Retracting::of_knock(&knock, &[], Some("Not today"));
        match knocker.drive(&mut retracting, &mut resident, out)? {
            Retracted::InRoom { server, event } => {
                writeln!(out, "\n  left by way of {server}: {}", event.event_id())?;
            }
            Retracted::LocallyOnly { failure } => writeln!(out, "\n  left, but only here: {failure}")?,
        }
        let (before, after) = (Section::of(Membership::Knock), Section::of(Membership::Leave));
        writeln!(out, "  the room in the client's /sync: `{before}` before, now `{after}`")
    }

    /// Knocks by way of a server that is down and of the resident one.
    fn knock(&self, knocker: &Knocker, resident: &mut Resident<'_>, out: &mut impl Write) -> io::Result<PendingKnock> {
        let servers = [DOWN, resident::SERVER].map(OwnedServerName::parse);
        let [Ok(down), Ok(up)] = servers else { return Err(io::Error::other("a server name is malformed")) };
        let start = Knocking::start(&Intent {
            room_id: self.room.id,
            user_id: knocker.user_id,
            own: OwnMembership::OutOfBand,
            servers: &[down, up],
            versions: &RoomVersion::ALL,
            details: &Details { reason: Some("Let me in, please".to_owned()), ..Details::default() },
        });
        match start {
            Start::Remote(mut knocking) => knocker.drive(&mut *knocking, resident, out)?.map_err(io::Error::other),
            Start::Failed(failure) => Err(io::Error::other(failure)),
            Start::Local => Err(io::Error::other("the knocker's server is not in the room")),
        }
    }

    fn what_is_pending(&self, knock: &PendingKnock, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "\n  pending at {}, room version {}:", knock.server(), knock.version())?;
        writeln!(out, "  {}", knock.event_id())?;
        let event: Value = serde_json::from_str(knock.event().text())?;
        for (key, value) in event.as_object().into_iter().flatten() {
            match value.as_array() {
                None => writeln!(out, "    {key:<17} {}", shortened(&plain(value)))?,
                Some(events) => {
                    for (position, event) in events.iter().map(plain).enumerate() {
                        let key = if position == 0 { key.as_str() } else { "" };
                        writeln!(out, "    {key:<17} {event}  {}", self.name_of(&event))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// What an event is that the knock refers to.
    fn name_of(&self, event_id: &str) -> &'static str {
        let is_current = |event_type: &EventType<'_>| {
            let event = self.state.event(*event_type, "").ok().flatten();
            event.and_then(Event::event_id) == Some(event_id)
        };
        [EventType::Create, EventType::PowerLevels, EventType::JoinRules]
            .into_iter()
            .find(is_current)
            .map_or("the last event of the room", EventType::as_str)
    }
}

fn what_the_knocker_syncs(knock: &PendingKnock, out: &mut impl Write) -> io::Result<()> {
    let room = KnockedRoom::new(knock.knock_state(ShowUnverified::default()), knock.user_id());
    let section = KnockedRoom::section([(knock.room_id().as_str(), &room)]);
    let section = KnockSection::parse(&section).map_err(io::Error::other)?;
    let name = Section::of(Membership::Knock);
    writeln!(out, "\n  the room in the client's /sync: no section before, now `{name}`:")?;
    for event in section.rooms().flat_map(|(_, room)| room.state()) {
        writeln!(out, "    {:<22} {}", event.event_type(), shortened(event.content()))?;
    }
    Ok(())
}

/// Sends the knock with changes to the resident server.
fn changed_on_its_way(
    knock: &PendingKnock,
    knocker: &Knocker,
    resident: &mut Resident<'_>,
    out: &mut impl Write,
) -> io::Result<()> {
    let endpoint = Endpoint::SendKnock { room_id: knock.room_id().into_owned(), event: knock.event().clone() };
    let request = Request { server: knock.server().into_owned(), endpoint }.to_http();
    for (what, from, to) in [
        ("another reason", "please", "now"),
        ("another depth", r#""depth":2"#, r#""depth":3"#),
        ("no depth", r#""depth""#, r#""height""#),
        ("of another user", "@nia", "@mia"),
    ] {
        let changed = BuiltRequest { body: Some(knock.event().text().replace(from, to)), ..request.clone() };
        let answer = resident.answer(knocker.server(), changed.as_http());
        writeln!(out, "  {what:<17} {}", answer.map_or_else(|refusal| told(&refusal), |_| "accepted".to_owned()))?;
    }
    Ok(())
}

fn told(refusal: &Refusal) -> String {
    let response = refusal.to_response();
    format!("{} {}: {refusal}", response.status(), response.errcode())
}
