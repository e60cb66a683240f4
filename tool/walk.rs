//! The walk over a recorded room: who may knock and why not, who could answer, what a knocker gets and is shown.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Write};

use matrix_knock::auth::{CompiledRoom, Rejection, authorize_proposal};
use matrix_knock::event::{Ed25519Key, Event, KeyValidity, Membership, Pdu, Proposal, VerifyKey};
use matrix_knock::id::{EventId, RoomId, UserId};
use matrix_knock::knocking::{Details, Retracted};
use matrix_knock::membership_change::MembershipChange;
use matrix_knock::pending::{self, Answerers, Answering, PendingKnocks};
use matrix_knock::resident::submission::SendKnock;
use matrix_knock::resident::{Refusal, Residence, ResidentRoom};
use matrix_knock::state::{FromFn, RoomState, StateMap};
use matrix_knock::sync::{KnockSection, KnockedRoom, Section};
use matrix_knock::template::PrevEvent;
use matrix_knock::{Ed25519, RoomVersion, stripped_state};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::between_servers::{self, Knocker, Resident};

const RECORDING: &str = include_str!("room.json");

/// Nobody whom the recorded room has ever heard of.
const OUTSIDER: &str = "@nia:hs3.test";
/// Banned by the walk: nobody is in the recorded room.
const BANNED: &str = "@mallory:hs3.test";
const BAN: &str = r#"{"type":"m.room.member","state_key":"@mallory:hs3.test","sender":"@alice12:hs1.test:18448",
    "content":{"membership":"ban"}}"#;
/// Whose knock is answered.
const KNOCKER: &str = "@zoe12:hs2.test:28448";
/// 2026-11-22 12:00:00 UTC.
const NOW: u64 = 1_795_348_800_000;

#[derive(Deserialize)]
struct Recording<'a> {
    recorded: &'a str,
    room_version: &'a str,
    room_id: &'a str,
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
}

/// What the walk reads of an event beside what the rules read.
#[derive(Deserialize)]
struct Position<'a> {
    event_id: &'a str,
    depth: u64,
}

struct Walk<'a> {
    version: RoomVersion,
    room_id: RoomId<'a>,
    state: StateMap<Pdu<'a>>,
    /// In the order in which they appear; at the end two that the recorded room does not know.
    users: Vec<String>,
    last: PrevEvent<'a>,
}

/// Writes the walk.
pub(crate) fn walk(out: &mut impl Write) -> io::Result<()> {
    let recording: Recording<'_> = serde_json::from_str(RECORDING)?;
    let mut walk = Walk::read(&recording).map_err(|error| io::Error::other(error.to_string()))?;
    writeln!(out, "A room of version {}, recorded from {}:", walk.version, recording.recorded)?;
    writeln!(out, "{}", recording.room_id)?;

    let ban = Pdu::parse(BAN).map_err(io::Error::other)?;
    let proposal = Proposal { sender: ban.sender(), target: BANNED, membership: Membership::Ban };
    authorize_proposal(walk.version, &proposal, &walk.state).map_err(io::Error::other)?;
    drop(walk.state.insert(ban));

    walk.who_may_knock(out)?;
    walk.under_other_join_rules(out)?;
    walk.who_may_answer(out)?;
    walk.who_waits(&recording, out)?;
    walk.what_a_knocker_is_shown(out)?;
    walk.the_handshake(out)
}

impl<'a> Walk<'a> {
    fn read(recording: &Recording<'a>) -> Result<Self, Box<dyn Error>> {
        let mut state = StateMap::new();
        let mut users: Vec<String> = Vec::new();
        let mut last = None;
        for text in &recording.events {
            let event = Pdu::parse(text.get())?;
            if let ("m.room.member", Some(user)) = (event.event_type(), event.state_key()) {
                if !users.iter().any(|known| known == user) {
                    users.push(user.to_owned());
                }
            }
            let position: Position<'a> = serde_json::from_str(text.get())?;
            last = Some(PrevEvent { event_id: EventId::parse(position.event_id)?, depth: position.depth });
            // A redaction has no state key and stays out.
            drop(state.insert(event));
        }
        users.extend([OUTSIDER.to_owned(), BANNED.to_owned()]);
        Ok(Self {
            version: recording.room_version.parse()?,
            room_id: RoomId::parse(recording.room_id)?,
            state,
            users,
            last: last.ok_or("the recording has no events")?,
        })
    }

    fn who_may_knock(&self, out: &mut impl Write) -> io::Result<()> {
        heading(out, "Who may knock")?;
        writeln!(out, "  join rule: {}", self.text_of("m.room.join_rules", "join_rule"))?;
        for user in &self.users {
            let knock = Proposal::of_oneself(user, Membership::Knock);
            let verdict = verdict(authorize_proposal(self.version, &knock, &self.state).err());
            writeln!(out, "  {user:<24} {:<8} {verdict}", self.membership(user))?;
        }
        writeln!(out, "  (the walk has banned the last one)")
    }

    fn under_other_join_rules(&self, out: &mut impl Write) -> io::Result<()> {
        heading(out, &format!("Could {OUTSIDER} knock or join under another join rule"))?;
        for rule in ["public", "knock", "knock_restricted", "restricted", "invite", "private"] {
            let text = format!(
                r#"{{"type":"m.room.join_rules","state_key":"","sender":"@a:b","content":{{"join_rule":"{rule}"}}}}"#
            );
            let join_rules = Pdu::parse(&text).map_err(io::Error::other)?;
            let state = FromFn(|event_type: &str, state_key: &str| match event_type {
                "m.room.join_rules" => Some(&join_rules),
                _ => self.state.event(event_type, state_key),
            });
            for membership in [Membership::Knock, Membership::Join] {
                let proposal = Proposal::of_oneself(OUTSIDER, membership);
                let verdict = verdict(authorize_proposal(self.version, &proposal, &state).err());
                writeln!(out, "  {rule:<17} {membership:<6} {verdict}")?;
            }
        }
        Ok(())
    }

    fn who_may_answer(&self, out: &mut impl Write) -> io::Result<()> {
        heading(out, &format!("Who may end the knock of {KNOCKER}"))?;
        for (answer, membership) in
            [("accept", Membership::Invite), ("decline", Membership::Leave), ("ban", Membership::Ban)]
        {
            let others = self.users.iter().filter(|user| *user != KNOCKER);
            let proposals = others.map(|sender| Proposal { sender, target: KNOCKER, membership });
            let (able, unable): (Vec<_>, Vec<_>) = proposals
                .map(|proposal| (proposal.sender, authorize_proposal(self.version, &proposal, &self.state).err()))
                .partition(|(_, refused)| refused.is_none());
            let able: Vec<_> = able.into_iter().map(|(user, _)| user).collect();
            writeln!(out, "  {answer:<8} ({membership:<6})  {}: yes", able.join(", "))?;
            if let Some((user, refused)) = unable.into_iter().next() {
                writeln!(out, "  {:<18} {user}: {}", "", verdict(refused))?;
            }
        }
        let retract = Proposal::of_oneself(KNOCKER, Membership::Leave);
        let verdict = verdict(authorize_proposal(self.version, &retract, &self.state).err());
        writeln!(out, "  {:<8} ({:<6})  {KNOCKER}: {verdict}", "retract", retract.membership)
    }

    /// The index of those who wait for an answer, and the names of the changes that brought them there.
    fn who_waits(&self, recording: &Recording<'_>, out: &mut impl Write) -> io::Result<()> {
        heading(out, "Who waits for an answer, and to whom it is told")?;
        let texts = recording.events.iter().map(|text| text.get());
        let mut latest: BTreeMap<String, Pdu<'_>> = BTreeMap::new();
        let mut changes: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for event in texts.clone().filter_map(|text| Pdu::parse(text).ok()) {
            let Some(user) = event.state_key().filter(|_| event.event_type() == "m.room.member") else { continue };
            let user = user.to_owned();
            let change = MembershipChange::new(latest.get(&user), &event).map_err(io::Error::other)?;
            changes.entry(user.clone()).or_default().push(change.change().to_string());
            latest.insert(user, event);
        }
        let knocks = PendingKnocks::from_state(self.version, latest.values().map(Pdu::text));
        let room = CompiledRoom::compile(self.version, &self.state).map_err(io::Error::other)?;
        let door = Answering::new(&room, &self.state);
        for knocker in knocks.iter() {
            let history = changes.get(knocker.user()).map(|names| names.join(", ")).unwrap_or_default();
            writeln!(out, "  {:<24} {history}", knocker.user())?;
            writeln!(out, "  {:<24} says: {}", "", shortened(knocker.reason().unwrap_or("nothing")))?;
            let told = match door.who_may(pending::Answer::Accept, knocker.user()) {
                Answerers::Only(users) => users.join(", "),
                Answerers::EverybodyJoinedBut(users) if users.is_empty() => "everybody in the room".to_owned(),
                Answerers::EverybodyJoinedBut(users) => format!("everybody in the room but {}", users.join(", ")),
            };
            writeln!(out, "  {:<24} told to: {told}", "")?;
        }
        Ok(())
    }

    /// The whole handshake: both ends, a fake clock, real signatures.
    fn the_handshake(&self, out: &mut impl Write) -> io::Result<()> {
        let user_id = UserId::parse(OUTSIDER).map_err(io::Error::other)?;
        let knocker = Knocker { user_id, key: Ed25519Key::from_seed("ed25519:walk", &[7; 32]) };
        let room = ResidentRoom {
            room_id: self.room_id,
            version: self.version,
            residence: Residence::Joined,
            state: &self.state,
        };
        let resident = Resident { room, last: self.last, now: NOW };
        let details = Details { reason: Some("Let me in, please".to_owned()), ..Details::default() };

        heading(out, &format!("{OUTSIDER} knocks: what the two servers say to each other"))?;
        let pending = between_servers::knock(&resident, &knocker, &details, out)?;
        writeln!(out, "\n  pending at {}, room version {}:", pending.server(), pending.version())?;
        writeln!(out, "  {}", pending.event_id())?;
        let event: Value = serde_json::from_str(pending.event())?;
        for (key, value) in event.as_object().into_iter().flatten() {
            match value.as_array() {
                None => writeln!(out, "    {key:<17} {}", shortened(&plain(value)))?,
                Some(events) => {
                    for (position, event) in events.iter().enumerate() {
                        let key = if position == 0 { key.as_str() } else { "" };
                        writeln!(out, "    {key:<17} {}  {}", plain(event), self.name_of(&plain(event)))?;
                    }
                }
            }
        }
        let shown = KnockedRoom::new(pending.knock_state(), user_id);
        let section = KnockedRoom::section([(self.room_id.as_str(), &shown)]);
        let section = KnockSection::parse(&section).map_err(io::Error::other)?;
        writeln!(
            out,
            "\n  the room in the client's /sync: no section before, now `{}`:",
            Section::of(Membership::Knock)
        )?;
        for event in section.rooms().flat_map(|(_, room)| room.state()) {
            writeln!(out, "    {:<22} {}", event.event_type(), shortened(event.content()))?;
        }

        heading(out, "Had somebody changed the knock on its way")?;
        for (what, text) in [
            ("another reason", pending.event().replace("please", "now")),
            ("another depth", pending.event().replace(r#""depth":2"#, r#""depth":3"#)),
            ("no depth", pending.event().replace(r#""depth""#, r#""height""#)),
            ("of another user", pending.event().replace("@nia", "@mia")),
        ] {
            let request = SendKnock { event_id: pending.event_id(), origin: user_id.server_name(), body: &text };
            let keys = |_: &str, _: &str| {
                Some(VerifyKey { public_key: knocker.key.public_key(), validity: KeyValidity::Until(NOW) })
            };
            let verified = request.check(Some(&room)).and_then(|received| received.verify(&keys, &Ed25519, NOW));
            let told = verified.map_or_else(|refusal| told(&refusal), |_| "accepted".to_owned());
            writeln!(out, "  {what:<17} {told}")?;
        }

        heading(out, &format!("{OUTSIDER} takes the knock back"))?;
        match between_servers::retract(&resident, &knocker, &pending, out)? {
            Retracted::InRoom { server, event_id } => writeln!(out, "\n  left by way of {server}: {event_id}")?,
            Retracted::LocallyOnly { failure } => writeln!(out, "\n  left, but only here: {failure}")?,
        }
        let (before, after) = (Section::of(Membership::Knock), Section::of(Membership::Leave));
        writeln!(out, "  the room in the client's /sync: `{before}` before, now `{after}`")
    }

    fn what_a_knocker_is_shown(&self, out: &mut impl Write) -> io::Result<()> {
        heading(out, &format!("What {KNOCKER} is shown of the room (stripped state)"))?;
        let user = UserId::parse(KNOCKER).map_err(io::Error::other)?;
        for event in stripped_state::for_client(&self.state, user) {
            writeln!(out, "  {:<22} {}", event.event_type(), shortened(event.content()))?;
        }
        let events = stripped_state::events(&self.state).count();
        writeln!(out, "  To the other server the first {events} go as whole, signed events.")
    }

    fn membership(&self, user: &str) -> String {
        self.state.event("m.room.member", user).map_or_else(|| "-".to_owned(), |event| text_in(event, "membership"))
    }

    fn text_of(&self, event_type: &str, key: &str) -> String {
        self.state.event(event_type, "").map_or_else(|| "-".to_owned(), |event| text_in(event, key))
    }

    /// What an event that the template refers to is.
    fn name_of(&self, event_id: &str) -> String {
        ["m.room.power_levels", "m.room.join_rules", "m.room.create"]
            .into_iter()
            .find(|event_type| self.state.event(event_type, "").and_then(Event::event_id) == Some(event_id))
            .map_or_else(|| "the last event of the room".to_owned(), str::to_owned)
    }
}

fn heading(out: &mut impl Write, heading: &str) -> io::Result<()> {
    writeln!(out, "\n{heading}\n")
}

fn verdict(refused: Option<Rejection>) -> String {
    refused.map_or_else(|| "yes".to_owned(), |refused| format!("no, rule {}: {}", refused.number(), refused.reason()))
}

fn told(refusal: &Refusal) -> String {
    let response = refusal.to_response();
    format!("{} {}: {refusal}", response.status(), response.errcode())
}

fn text_in(event: &Pdu<'_>, key: &str) -> String {
    let content: Value = serde_json::from_str(event.content()).unwrap_or_default();
    content.get(key).map_or_else(|| "-".to_owned(), plain)
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn shortened(text: &str) -> String {
    const WIDTH: usize = 70;
    match text.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
