//! A walk over a recorded room: the rules, those who wait, and a whole handshake between two servers.

mod answers;
mod handshake;
mod knocker;
mod recording;
mod resident;
mod rules;
mod waiting;

use std::error::Error;
use std::io::{self, Write};

use matrix_knock::auth::authorize_proposal;
use matrix_knock::event::{Event, Membership, OwnedPdu, Proposal};
use matrix_knock::state::StateMap;
use serde_json::Value;

use self::recording::Room;

/// Nobody whom the recorded room has ever heard of.
const OUTSIDER: &str = "@nia:hs3.test";
/// Banned by the walk: nobody is in the recorded room.
const BANNED: &str = "@mallory:hs3.test";
const BAN: &str = r#"{"type":"m.room.member","state_key":"@mallory:hs3.test","sender":"@alice12:hs1.test:18448",
    "content":{"membership":"ban"}}"#;
/// Whose knock is answered.
const KNOCKER: &str = "@zoe12:hs2.test:28448";

struct Walk {
    /// As it was recorded.
    room: Room,
    /// Its state, and the ban.
    state: StateMap<OwnedPdu>,
    /// In the order in which they appear; at the end two that the recorded room does not know.
    users: Vec<String>,
}

/// Writes the walk.
pub(crate) fn walk(out: &mut impl Write) -> io::Result<()> {
    let walk = Walk::new().map_err(|error| io::Error::other(error.to_string()))?;
    writeln!(out, "A room of version {}, recorded from {}:", walk.room.version, walk.room.recorded)?;
    writeln!(out, "{}", walk.room.id)?;

    walk.who_may_knock(out)?;
    walk.under_other_join_rules(out)?;
    walk.who_may_answer(out)?;
    walk.who_waits(out)?;
    walk.what_a_knocker_is_shown(out)?;
    walk.the_handshake(out)
}

impl Walk {
    fn new() -> Result<Self, Box<dyn Error>> {
        let room = Room::recorded()?;
        let mut state = room.state();
        let mut users = room.users();
        users.extend([OUTSIDER.to_owned(), BANNED.to_owned()]);

        let ban = OwnedPdu::parse_stored(BAN)?;
        let proposal = Proposal { sender: ban.sender(), target: BANNED, membership: Membership::Ban };
        authorize_proposal(room.version, &proposal, &state)?;
        state.extend([ban]);
        Ok(Self { room, state, users })
    }
}

fn heading(out: &mut impl Write, heading: &str) -> io::Result<()> {
    writeln!(out, "\n{heading}\n")
}

/// A text in the content of an event.
fn text_in(event: &impl Event, key: &str) -> Option<String> {
    let content: Value = serde_json::from_str(event.content()).ok()?;
    content.get(key).map(plain)
}

/// A value for people: a string without its quotes.
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
