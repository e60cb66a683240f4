//! Machines at every point of an exchange.

use matrix_knock::event::Sign as _;
use matrix_knock::knocking::{Details, Failed, Knocking, PendingKnock, Retracting};
use matrix_knock::machine::{Endpoint, Machine, Reply, Request, Want};
use matrix_knock::wire::HttpResponse;
use matrix_knock::{Ed25519, RoomVersion};

use crate::room::{AllKeys, HOME, NOW, RESIDENT, Room, key, key_id, names};
use crate::stage;
use crate::stored::offered;

const SERVERS: [&str; 3] = ["c.example", RESIDENT, "d.example"];

fn details() -> Details {
    Details { reason: Some("Let me in".to_owned()), displayname: Some("Kay".to_owned()), avatar_url: None }
}

/// What a server of the room answers.
fn honest(room: &mut Room, request: &Request) -> (u16, String) {
    match &request.endpoint {
        Endpoint::MakeKnock { .. } => room.make_knock(&[room.version.as_str()]),
        Endpoint::MakeLeave { .. } => room.make_leave(),
        Endpoint::SendKnock { event, .. } => room.send_knock(event.event_id(), event.text()),
        Endpoint::SendLeave { event, .. } => room.send_leave(event.event_id(), event.text()),
        other => panic!("unknown endpoint: {other:?}"),
    }
}

/// The machine at every point until it has ended. `answer` has what comes of a request to the server at this position, with an
/// event or without one; of none it is the honest answer.
fn points<M: Machine + Clone>(
    mut machine: M,
    room: &mut Room,
    answer: impl Fn(bool, usize) -> Option<(u16, &'static str)>,
) -> Vec<M> {
    let mut points = vec![machine.clone()];
    while machine.outcome().is_none() {
        let before = machine.clone();
        let (ticket, want) = before.want();
        match want {
            Want::Request(request) => {
                let position = SERVERS.iter().position(|server| request.server == **server).unwrap();
                match answer(request.body().is_some(), position) {
                    Some((0, _)) => machine.reply(ticket, Reply::None, NOW).unwrap(),
                    Some((status, body)) => machine.reply(ticket, HttpResponse::new(status, body).into(), NOW).unwrap(),
                    None => {
                        let (status, body) = honest(room, &request);
                        machine.reply(ticket, HttpResponse::new(status, &body).into(), NOW).unwrap();
                    }
                }
            }
            Want::Sign(bytes) => machine.signature(ticket, key_id(), &key(HOME).sign(bytes.as_bytes())).unwrap(),
            Want::Keys(_) => drop(machine.keys(ticket, &AllKeys, &Ed25519, NOW).unwrap()),
            Want::Ended => panic!("no outcome"),
        }
        points.push(machine.clone());
    }
    points
}

/// How servers answer, so that a machine comes to every state that there is.
type Answers = fn(bool, usize) -> Option<(u16, &'static str)>;

const LIMITED: Option<(u16, &str)> = Some((429, r#"{"retry_after_ms":7}"#));
const SUSPENDED: Option<(u16, &str)> =
    Some((403, r#"{"errcode":"M_USER_SUSPENDED","error":"No","org.example.contact":{"a":["@help:c.example"]}}"#));
const ANSWERS: [Answers; 7] = [
    |_, _| None,
    // The template comes from the second, the last one takes the event.
    |is_sent, position| if position == usize::from(is_sent) { Some((0, "")) } else { None },
    |_, position| if position == 0 { LIMITED } else { Some((0, "")) },
    |_, _| Some((403, "")),
    |_, _| SUSPENDED,
    |is_sent, _| if is_sent { Some((500, "")) } else { None },
    |is_sent, position| match (is_sent, position) {
        (true, 0) => Some((0, "")),
        (true, _) => LIMITED,
        (false, _) => None,
    },
];

fn knock(room: &Room) -> Knocking {
    let stage::Machine::Knock(knock) = stage::start(room, &SERVERS, &offered(room.version), &details()) else {
        panic!("a knock")
    };
    *knock
}

/// A knock at every point.
pub(crate) fn knocks(version: RoomVersion) -> Vec<Knocking> {
    let room = Room::new(version);
    ANSWERS.into_iter().flat_map(|answers| points(knock(&room), &mut room.clone(), answers)).collect()
}

/// A leave at every point.
pub(crate) fn leaves(version: RoomVersion) -> Vec<Retracting> {
    let mut room = Room::new(version);
    let taken = stage::pending(&mut room);
    let leave = Retracting::of_knock(&taken, &names(SERVERS), Some("Never mind"));
    // The server that took the knock is asked first.
    let first = |answers: Answers| {
        move |is_sent, position| answers(is_sent, [1, 0, 2].into_iter().position(|it| it == position).unwrap())
    };
    ANSWERS.into_iter().flat_map(|answers| points(leave.clone(), &mut room.clone(), first(answers))).collect()
}

pub(crate) fn pending_knocks(version: RoomVersion) -> (Vec<PendingKnock>, Vec<Failed>) {
    let outcomes = knocks(version).into_iter().filter_map(|machine| machine.outcome());
    let (mut pending, mut failed) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        match outcome {
            Ok(knock) => pending.push(knock),
            Err(failure) => failed.push(failure),
        }
    }
    (pending, failed)
}
