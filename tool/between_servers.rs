//! The part of the walk that happens between two servers: a knock, and the leave that takes it back.

use std::io::{self, Write};

use matrix_knock::auth::AuthStatus;
use matrix_knock::event::{Ed25519Key, Event, KeyValidity, Keys, Pdu, Sign, VerifyKey};
use matrix_knock::id::{EventId, RoomId, ServerName, UserId};
use matrix_knock::knocking::{
    Details, Intent, Knocking, OwnMembership, PendingKnock, Reply, Request, Retracted, Retracting, Start, Want,
};
use matrix_knock::resident::submission::{AuthEventRef, PolicyVerdict, SendKnock, SendLeave};
use matrix_knock::resident::{Decision, MakeKnock, MakeLeave, Refusal, ResidentRoom};
use matrix_knock::state::{FromFn, RoomState, StateMap};
use matrix_knock::template::PrevEvent;
use matrix_knock::{Ed25519, RoomVersion};

/// It does not answer.
const DOWN: &str = "hs0.test";
/// The server of the recorded room, and its real key.
const RESIDENT: &str = "hs1.test:18448";
const RESIDENT_KEY: (&str, &str) = ("ed25519:a_iYFt", "kUrTBlD18L/h77V8xlu2lEPYAx2XZuLBTS3AvTxhHmI");

/// The resident server: the recorded room, and what has come into it since.
pub(crate) struct Resident<'a> {
    pub(crate) room: ResidentRoom<'a, StateMap<Pdu<'a>>>,
    pub(crate) last: PrevEvent<'a>,
    pub(crate) now: u64,
}

/// The server of a user who knocks: a clock, and a key made from a fixed seed.
pub(crate) struct Knocker<'a> {
    pub(crate) user_id: UserId<'a>,
    pub(crate) key: Ed25519Key,
}

impl Knocker<'_> {
    fn server(&self) -> ServerName<'_> {
        self.user_id.server_name()
    }
}

/// Finds the keys of both servers.
fn keys<'k>(knocker: &'k Knocker<'_>, now: u64) -> impl Keys + 'k {
    move |server: &str, key_id: &str| match server {
        RESIDENT if key_id == RESIDENT_KEY.0 => VerifyKey::from_base64(RESIDENT_KEY.1, KeyValidity::Forever),
        server if server == knocker.server().as_str() && key_id == knocker.key.key_id() => {
            Some(VerifyKey { public_key: knocker.key.public_key(), validity: KeyValidity::Until(now) })
        }
        _ => None,
    }
}

/// Knocks by way of a server that is down and of the resident one, writes every step, and gives what is pending.
pub(crate) fn knock(
    resident: &Resident<'_>,
    knocker: &Knocker<'_>,
    details: &Details,
    out: &mut impl Write,
) -> io::Result<PendingKnock> {
    let start = Knocking::start(&Intent {
        room_id: resident.room.room_id,
        user_id: knocker.user_id,
        own: OwnMembership::OutOfBand,
        servers: &[DOWN, RESIDENT],
        versions: &RoomVersion::ALL,
        details,
    });
    let Start::Remote(mut knocking) = start else { return Err(io::Error::other("the knock has not begun")) };
    while knocking.outcome().is_none() {
        let (ticket, want) = knocking.want();
        match want {
            Want::Request(request) => {
                let answer = exchange(&request, resident, knocker, None, out)?;
                knocking.reply(ticket, reply(answer.as_ref()), resident.now)
            }
            Want::Sign(bytes) => {
                writeln!(out, "  (sign)   {} bytes with {}", bytes.len(), knocker.key.key_id())?;
                let signature = knocker.key.sign(bytes.as_bytes());
                knocking.signature(ticket, knocker.key.key_id(), &signature)
            }
            Want::Keys(wanted) => {
                for (server, key_ids) in &wanted {
                    writeln!(
                        out,
                        "  (keys)   of {server}: {}",
                        key_ids.iter().cloned().collect::<Vec<_>>().join(", ")
                    )?;
                }
                let arrival = knocking.keys(ticket, &keys(knocker, resident.now), &Ed25519, resident.now);
                arrival.map(|arrival| {
                    for (position, reason) in arrival.dropped() {
                        drop(writeln!(out, "  (drop)   entry {position}: {reason}"));
                    }
                })
            }
            Want::Ended => break,
        }
        .map_err(io::Error::other)?;
    }
    match knocking.outcome() {
        Some(Ok(pending)) => Ok(pending),
        Some(Err(failed)) => Err(io::Error::other(failed.failure)),
        None => Err(io::Error::other("the knock has not ended")),
    }
}

/// Takes the knock back, and writes every step.
pub(crate) fn retract(
    resident: &Resident<'_>,
    knocker: &Knocker<'_>,
    knock: &PendingKnock,
    out: &mut impl Write,
) -> io::Result<Retracted> {
    let mut retracting =
        Retracting::start(knock, &[], Some("Not today")).ok_or(io::Error::other("that is no knock"))?;
    loop {
        if let Some(retracted) = retracting.outcome() {
            return Ok(retracted);
        }
        let (ticket, want) = retracting.want();
        match want {
            Want::Request(request) => {
                let answer = exchange(&request, resident, knocker, Some(knock), out)?;
                retracting.reply(ticket, reply(answer.as_ref()), resident.now)
            }
            Want::Sign(bytes) => {
                writeln!(out, "  (sign)   {} bytes with {}", bytes.len(), knocker.key.key_id())?;
                let signature = knocker.key.sign(bytes.as_bytes());
                retracting.signature(ticket, knocker.key.key_id(), &signature)
            }
            Want::Keys(_) | Want::Ended => break Err(io::Error::other("a leave needs no keys")),
        }
        .map_err(io::Error::other)?;
    }
}

fn reply(answer: Option<&(u16, String)>) -> Reply<'_> {
    answer.map_or(Reply::None, |(status, body)| Reply::Response { status: *status, body })
}

/// Sends a request and writes what comes of it.
fn exchange(
    request: &Request,
    resident: &Resident<'_>,
    knocker: &Knocker<'_>,
    standing: Option<&PendingKnock>,
    out: &mut impl Write,
) -> io::Result<Option<(u16, String)>> {
    let endpoint = request.path_and_query.split('/').nth(4).unwrap_or_default();
    let answer = (request.server == RESIDENT)
        .then(|| resident.answer(request, knocker, standing).unwrap_or_else(|refusal| refused(&refusal)));
    let told =
        answer.as_ref().map_or("no answer".to_owned(), |(status, body)| format!("{status}, {} bytes", body.len()));
    writeln!(out, "  {:<8} {endpoint:<10} {:<15} {told}", request.method, request.server)?;
    Ok(answer)
}

fn refused(refusal: &Refusal) -> (u16, String) {
    let response = refusal.to_response();
    (response.status(), response.to_string())
}

impl Resident<'_> {
    /// What the resident server answers. `standing` is the knock that came into the room since it was recorded.
    fn answer(
        &self,
        request: &Request,
        knocker: &Knocker<'_>,
        standing: Option<&PendingKnock>,
    ) -> Result<(u16, String), Refusal> {
        let (path, query) = request.path_and_query.split_once('?').unwrap_or((&request.path_and_query, ""));
        let mut path = path.split('/').skip(4).map(decoded);
        let [endpoint, room_id, last] = std::array::from_fn(|_| path.next().unwrap_or_default());
        let knock = standing.and_then(|knock| Pdu::parse_stored(knock.event()).ok().map(|pdu| (knock, pdu)));
        let knock = knock.map(|(knock, pdu)| pdu.with_event_id(knock.event_id()));
        let state = FromFn(|event_type: &str, state_key: &str| -> Option<&dyn Event> {
            let of_knock =
                knock.as_ref().filter(|knock| (event_type, Some(state_key)) == ("m.room.member", knock.state_key()));
            let recorded = || self.room.state.event(event_type, state_key).map(|event| -> &dyn Event { event });
            of_knock.map(|event| -> &dyn Event { event }).or_else(recorded)
        });
        let room = ResidentRoom {
            room_id: self.room.room_id,
            version: self.room.version,
            residence: self.room.residence,
            state: &state,
        };
        let room = (RoomId::parse(&room_id) == Ok(room.room_id)).then_some(&room);
        let origin = knocker.server();
        let body = request.body.as_deref().unwrap_or_default();
        let host = |error: matrix_knock::template::TemplateError| (500, error.to_string());
        let text = |event: &&dyn Event| {
            let stored = self.room.state.event(event.event_type(), event.state_key().unwrap_or_default());
            stored.and_then(|event| event.to_federation(self.room.version).ok())
        };
        match endpoint.as_str() {
            "make_knock" => {
                let versions: Vec<&str> = query.split('&').filter_map(|pair| pair.strip_prefix("ver=")).collect();
                let asked = MakeKnock { user_id: &last, origin, versions: &versions }.check(room)?;
                let template = asked.decide(Decision::Admit)?.template(&[self.last], self.now);
                Ok(template.map_or_else(host, |template| (200, template.to_response())))
            }
            "make_leave" => {
                let asked = MakeLeave { user_id: &last, origin }.check(room)?;
                let after = knock.as_ref().and_then(Event::event_id).and_then(|id| EventId::parse(id).ok());
                let last = after
                    .map_or(self.last, |event_id| PrevEvent { event_id, depth: self.last.depth.saturating_add(1) });
                let template = asked.decide(Decision::Admit)?.template(&[last], self.now);
                Ok(template.map_or_else(host, |template| (200, template.to_response())))
            }
            "send_knock" => {
                let verified = SendKnock { event_id: &last, origin, body }.check(room)?;
                let verified = verified.verify(&keys(knocker, self.now), &Ed25519, self.now)?;
                let named = self.named(verified.auth_events(), None);
                let permitted = verified.authorize(&named, &state)?;
                let accepted = permitted.accept(PolicyVerdict::NotUsed, Decision::Admit)?;
                Ok(accepted.to_response(text).map_or_else(|error| (500, error.to_string()), |body| (200, body)))
            }
            "send_leave" => {
                let verified = SendLeave { event_id: &last, origin, body }.check(room)?;
                let verified = verified.verify(&keys(knocker, self.now), &Ed25519, self.now)?;
                let named = self.named(verified.auth_events(), knock.as_ref());
                let permitted = verified.authorize(&named, &state)?;
                let accepted = permitted.accept(PolicyVerdict::NotUsed, Decision::Admit)?;
                Ok((200, accepted.to_response().to_owned()))
            }
            _ => Err(Refusal::UnknownRoom),
        }
    }

    /// The events that an event names, as far as they are known here.
    fn named<'s, 'i>(
        &'s self,
        ids: impl Iterator<Item = &'i str>,
        knock: Option<&'s Pdu<'s>>,
    ) -> Vec<AuthEventRef<&'s Pdu<'s>>> {
        let known = ["m.room.create", "m.room.power_levels", "m.room.join_rules"];
        let recorded = known.map(|event_type| self.room.state.event(event_type, ""));
        ids.filter_map(|id| recorded.into_iter().flatten().chain(knock).find(|event| event.event_id() == Some(id)))
            .map(|event| AuthEventRef { event, status: AuthStatus::Accepted })
            .collect()
    }
}

/// What a part of a path stands for; the walk's own are well-formed.
fn decoded(part: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = part;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let (digits, behind) = after.split_at_checked(2).unwrap_or((after, ""));
        bytes.extend(u8::from_str_radix(digits, 16));
        rest = behind;
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}
