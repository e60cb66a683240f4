//! The knocking server, `k.example`: a host that does what the machine wants.

use matrix_knock::event::Sign;
use matrix_knock::id::{RoomId, UserId};
use matrix_knock::knocking::room_state::VerifiedRoomState;
use matrix_knock::knocking::{
    Details, Failed, Intent, Knocking, OwnMembership, PendingKnock, Reply, Request, Retracted, Retracting, Start, Want,
};
use matrix_knock::{Ed25519, RoomVersion};

use super::federation::{A, Answer, B, Federation, KAY, KEY_ID, THEN, key, keys};

/// The time at which Kay knocks.
pub(crate) const NOW: u64 = THEN + 1_000_000;
pub(crate) const BOTH: [&str; 2] = [A, B];

/// Whether the host stores its machine between all steps and goes on with what it has read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Memory {
    Keeps,
    Stores,
}

/// What the knocking server did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Walk<O> {
    pub(crate) outcome: O,
    /// Whom it asked for what: `a.example make_knock`.
    pub(crate) asked: Vec<String>,
    pub(crate) arrival: Option<VerifiedRoomState>,
}

pub(crate) type Knocked = Walk<Result<PendingKnock, Failed>>;

pub(crate) fn details() -> Details {
    Details {
        reason: Some("Let me in: \"Ö\" \u{1F6AA}".to_owned()),
        displayname: Some("Kay".to_owned()),
        avatar_url: Some("mxc://k.example/kay".to_owned()),
    }
}

/// A machine for Kay's knock.
pub(crate) fn machine(room_id: &str, servers: &[&str], details: &Details) -> Knocking {
    let intent = Intent {
        room_id: RoomId::parse(room_id).expect("a room ID"),
        user_id: UserId::parse(KAY).expect("a user ID"),
        own: OwnMembership::OutOfBand,
        servers,
        versions: &RoomVersion::ALL,
        details,
    };
    match Knocking::start(&intent) {
        Start::Remote(machine) => *machine,
        other => panic!("nobody to ask: {other:?}"),
    }
}

/// What is asked for, in short.
pub(crate) fn short(request: &Request) -> String {
    let endpoint = request.path_and_query.split('/').nth(4).expect("an endpoint");
    format!("{} {endpoint}", request.server)
}

pub(crate) fn reply_of(answer: &Answer) -> Reply<'_> {
    answer.as_ref().map_or(Reply::None, |(status, body)| Reply::Response { status: *status, body })
}

/// The machine as it comes back out of the store. It wants the same.
fn stored(machine: &Knocking) -> Knocking {
    let text = serde_json::to_string(machine).expect("a text");
    let back: Knocking = serde_json::from_str(&text).expect("a machine");
    assert_eq!((&back, back.want(), back.outcome()), (machine, machine.want(), machine.outcome()));
    back
}

/// Serves the machine until it has ended.
pub(crate) fn run(mut machine: Knocking, memory: Memory, mut answer: impl FnMut(&Request, u64) -> Answer) -> Knocked {
    let (mut now, mut asked, mut arrival) = (NOW, Vec::new(), None);
    loop {
        if memory == Memory::Stores {
            machine = stored(&machine);
        }
        now += 1000;
        let (ticket, want) = machine.want();
        let taken = match want {
            Want::Request(request) => {
                assert_eq!(machine.outcome(), None);
                asked.push(short(&request));
                let answer = answer(&request, now);
                machine.reply(ticket, reply_of(&answer), now)
            }
            Want::Sign(bytes) => {
                let signature = key("k.example").sign(bytes.as_bytes());
                machine.signature(ticket, KEY_ID, &signature)
            }
            Want::Keys(_) => machine.keys(ticket, &keys, &Ed25519, now).map(|arrived| arrival = Some(arrived)),
            Want::Ended => break,
        };
        assert_eq!(taken, Ok(()));
    }
    Walk { outcome: machine.outcome().expect("an end"), asked, arrival }
}

/// Kay knocks, and both servers are there.
pub(crate) fn knock(federation: &mut Federation) -> Knocked {
    let machine = machine(&federation.room.id, &BOTH, &details());
    run(machine, Memory::Keeps, |request, now| federation.serve(request, now))
}

/// Serves the machine that takes a knock back until it has ended.
pub(crate) fn run_retraction(
    mut machine: Retracting,
    memory: Memory,
    mut answer: impl FnMut(&Request, u64) -> Answer,
) -> Walk<Retracted> {
    let (mut now, mut asked) = (NOW + 500, Vec::new());
    loop {
        if memory == Memory::Stores {
            let text = serde_json::to_string(&machine).expect("a text");
            let back: Retracting = serde_json::from_str(&text).expect("a machine");
            assert_eq!((&back, back.want(), back.outcome()), (&machine, machine.want(), machine.outcome()));
            machine = back;
        }
        now += 1000;
        let (ticket, want) = machine.want();
        let taken = match want {
            Want::Request(request) => {
                assert_eq!(machine.outcome(), None);
                asked.push(short(&request));
                let answer = answer(&request, now);
                machine.reply(ticket, reply_of(&answer), now)
            }
            Want::Sign(bytes) => {
                let signature = key("k.example").sign(bytes.as_bytes());
                machine.signature(ticket, KEY_ID, &signature)
            }
            Want::Keys(wanted) => panic!("a leave brings no state: {wanted:?}"),
            Want::Ended => break,
        };
        assert_eq!(taken, Ok(()));
    }
    Walk { outcome: machine.outcome().expect("an end"), asked, arrival: None }
}
