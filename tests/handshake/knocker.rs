//! The knocking server, `k.example`: a host that does what the machine wants.

use std::fmt::Debug;

use matrix_knock::event::{Sign, sign_event};
use matrix_knock::id::{OwnedServerName, RoomId, UserId};
use matrix_knock::knocking::room_state::{ShowUnverified, VerifiedRoomState};
use matrix_knock::knocking::{
    Details, Failed, Failure, Intent, Knocking, OwnMembership, PendingKnock, Retracted, Retracting, Start,
};
use matrix_knock::machine::{Machine, Reply, Request, Want};
use matrix_knock::wire::HttpResponse;
use matrix_knock::{Ed25519, RoomVersion};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::federation::{A, AllKeys, Answer, B, Federation, KAY, Room, THEN, key, key_id, knocking_server};

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
pub(crate) struct Walk<O, V = VerifiedRoomState> {
    pub(crate) outcome: O,
    /// Whom it asked for what: `a.example make_knock`.
    pub(crate) asked: Vec<String>,
    pub(crate) arrival: Option<V>,
}

pub(crate) type Knocked = Walk<Result<PendingKnock, Failed>>;

/// The knock, or why there is none: the failure, what the server said whose failure it is, the
/// knock that may stand all the same.
pub(crate) type Parts<'w> = Result<&'w PendingKnock, (&'w Failure, Option<&'w str>, Option<&'w PendingKnock>)>;

impl Knocked {
    /// The outcome in its parts. No server in here says more than a text.
    pub(crate) fn parts(&self) -> Parts<'_> {
        self.outcome.as_ref().map_err(|failed| {
            assert_eq!(failed.extra(), None);
            (&failed.failure, failed.error(), failed.perhaps.as_ref())
        })
    }
}

/// What the client is shown of the knock. All of it is verified, so that the host has no choice.
pub(crate) fn knock_state(knock: &PendingKnock) -> Vec<String> {
    let shown = knock.knock_state(ShowUnverified::Never);
    assert!(shown.iter().all(|shown| shown.is_verified));
    for choice in [ShowUnverified::BeforeV12, ShowUnverified::Always] {
        assert_eq!(knock.knock_state(choice), shown);
    }
    shown.into_iter().map(|shown| shown.event.to_string()).collect()
}

pub(crate) fn details() -> Details {
    Details {
        reason: Some("Let me in: \"Ö\" \u{1F6AA}".to_owned()),
        displayname: Some("Kay".to_owned()),
        avatar_url: Some("mxc://k.example/kay".to_owned()),
    }
}

pub(crate) fn names(servers: &[&str]) -> Vec<OwnedServerName> {
    servers.iter().map(|server| server.parse().expect("a server name")).collect()
}

/// A machine for Kay's knock.
pub(crate) fn machine(room_id: &str, servers: &[&str], details: &Details) -> Knocking {
    let intent = Intent {
        room_id: RoomId::parse(room_id).expect("a room ID"),
        user_id: UserId::parse(KAY).expect("a user ID"),
        own: OwnMembership::OutOfBand,
        servers: &names(servers),
        versions: &RoomVersion::ALL,
        details,
    };
    match Knocking::start(&intent) {
        Start::Remote(machine) => *machine,
        other => panic!("nobody to ask: {other:?}"),
    }
}

/// A machine that takes Kay's knock back.
pub(crate) fn retracting(knock: &PendingKnock, servers: &[&str], reason: Option<&str>) -> Retracting {
    Retracting::of_knock(knock, &names(servers), reason)
}

/// What is asked for, in short.
pub(crate) fn short(request: &Request) -> String {
    let path = request.path();
    let endpoint = path.split('/').nth(4).expect("an endpoint");
    format!("{} {endpoint}", request.server)
}

pub(crate) fn reply_of(answer: &Answer) -> Reply<'_> {
    answer.as_ref().map_or(Reply::None, |(status, body)| HttpResponse::new(*status, body).into())
}

/// The machine as it comes back out of the store. It wants the same.
fn stored<M: Machine + Serialize + DeserializeOwned + PartialEq + Debug>(machine: &M) -> M
where
    M::Outcome: PartialEq + Debug,
{
    let text = serde_json::to_string(machine).expect("a text");
    let back: M = serde_json::from_str(&text).expect("a machine");
    assert_eq!((&back, back.want(), back.outcome()), (machine, machine.want(), machine.outcome()));
    back
}

/// Serves the machine until it has ended.
fn drive<M: Machine + Serialize + DeserializeOwned + PartialEq + Debug>(
    mut machine: M,
    mut now: u64,
    memory: Memory,
    mut answer: impl FnMut(&Request, u64) -> Answer,
) -> Walk<M::Outcome, M::Verified>
where
    M::Outcome: PartialEq + Debug,
{
    let (mut asked, mut arrival) = (Vec::new(), None);
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
                machine.signature(ticket, key_id(), &signature)
            }
            Want::Keys(_) => machine.keys(ticket, &AllKeys, &Ed25519, now).map(|arrived| arrival = Some(arrived)),
            Want::Ended => break,
        };
        assert_eq!(taken, Ok(()));
    }
    Walk { outcome: machine.outcome().expect("an end"), asked, arrival }
}

/// Serves the machine until it has ended.
pub(crate) fn run(machine: Knocking, memory: Memory, answer: impl FnMut(&Request, u64) -> Answer) -> Knocked {
    drive(machine, NOW, memory, answer)
}

/// Kay knocks, and both servers are there.
pub(crate) fn knock(federation: &mut Federation) -> Knocked {
    let machine = machine(&federation.room.id, &BOTH, &details());
    run(machine, Memory::Keeps, |request, now| federation.serve(request, now))
}

/// Serves the machine that takes a knock back until it has ended. A leave brings no state, so no keys are asked for.
pub(crate) fn run_retraction(
    machine: Retracting,
    memory: Memory,
    answer: impl FnMut(&Request, u64) -> Answer,
) -> Walk<Retracted, ()> {
    let walk = drive(machine, NOW + 500, memory, answer);
    assert_eq!(walk.arrival, None, "a leave brings no state");
    walk
}

/// The end of a leave that this server has taken into the room: it is Kay's membership there.
pub(crate) fn left(server: &str, room: &Room) -> Retracted {
    let text = &room.events[&room.at("m.room.member", KAY)];
    // Signed once more with the same key it is the same event.
    let event = sign_event(room.version, text, knocking_server(), &key("k.example")).expect("an event");
    assert_eq!(event.text(), text);
    Retracted::InRoom { server: server.parse().expect("a server name"), event }
}
