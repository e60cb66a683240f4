//! The knocker's server: it drives the machines of the knock and of the leave that takes it back.

use std::io::{self, Write};

use matrix_knock::event::{Ed25519Key, KeyValidity, Sign as _, VerifyKey};
use matrix_knock::id::{EventId, ServerName, UserId};
use matrix_knock::knocking::PendingKnock;
use matrix_knock::knocking::invitation::{AcceptedInvite, InviteDecision, InviteRequest};
use matrix_knock::knocking::out_of_band::SentKnock;
use matrix_knock::knocking::room_state::VerifiedRoomState;
use matrix_knock::machine::{Machine, Reply, Request, Want};
use matrix_knock::resident::answer::Inviting;
use matrix_knock::wire::HttpResponse;
use matrix_knock::{Ed25519, RoomVersion};

use super::answers;
use super::resident::{self, OnlyKey, Resident};

/// A server with one user, a clock, and a key made from a fixed seed.
pub(crate) struct Knocker {
    pub(crate) user_id: UserId<'static>,
    key: Ed25519Key,
    now: u64,
}

/// What came of the keys that a machine wanted, as far as somebody wants to read it.
pub(crate) trait Told {
    fn tell(&self, out: &mut impl Write) -> io::Result<()>;
}

impl Told for VerifiedRoomState {
    fn tell(&self, out: &mut impl Write) -> io::Result<()> {
        for (position, reason) in self.dropped() {
            writeln!(out, "  (drop)   entry {position}: {reason}")?;
        }
        Ok(())
    }
}

/// A leave wants no keys.
impl Told for () {
    fn tell(&self, _out: &mut impl Write) -> io::Result<()> {
        Ok(())
    }
}

impl Knocker {
    pub(crate) fn new(user_id: UserId<'static>, now: u64) -> io::Result<Self> {
        let key = Ed25519Key::from_seed("ed25519:walk", &[7; 32]).map_err(io::Error::other)?;
        Ok(Self { user_id, key, now })
    }

    pub(crate) fn server(&self) -> ServerName<'static> {
        self.user_id.server_name()
    }

    /// The key that others verify the events of this server with.
    pub(crate) fn key(&self) -> OnlyKey<'_> {
        let key = VerifyKey { public_key: self.key.public_key(), validity: KeyValidity::Until(self.now) };
        OnlyKey { server: self.server().as_str(), key_id: self.key.key_id().as_str(), key: Some(key) }
    }

    /// Drives a machine to its end, and writes every step.
    pub(crate) fn drive<M: Machine<Verified: Told>>(
        &self,
        machine: &mut M,
        resident: &mut Resident<'_>,
        out: &mut impl Write,
    ) -> io::Result<M::Outcome> {
        loop {
            if let Some(outcome) = machine.outcome() {
                return Ok(outcome);
            }
            let (ticket, want) = machine.want();
            let taken = match want {
                Want::Request(request) => {
                    let answer = self.send(&request, resident, out)?;
                    let reply = answer.as_ref().map(|(status, body)| HttpResponse::new(*status, body).into());
                    machine.reply(ticket, reply.unwrap_or(Reply::None), self.now)
                }
                Want::Sign(bytes) => {
                    writeln!(out, "  (sign)   {} bytes with {}", bytes.len(), self.key.key_id())?;
                    let signature = self.key.sign(bytes.as_bytes());
                    machine.signature(ticket, self.key.key_id(), &signature)
                }
                Want::Keys(wanted) => {
                    for (server, key_ids) in wanted {
                        let key_ids: Vec<String> = key_ids.into_iter().collect();
                        writeln!(out, "  (keys)   of {server}: {}", key_ids.join(", "))?;
                    }
                    match machine.keys(ticket, &Resident::keys().as_slice(), &Ed25519, self.now) {
                        Ok(verified) => Ok(verified.tell(out)?),
                        Err(not_taken) => Err(not_taken),
                    }
                }
                _ => return Err(io::Error::other("the machine wants what this host does not know")),
            };
            taken.map_err(io::Error::other)?;
        }
    }

    /// Signs the invite that the resident server asks for, as its server, and writes every step.
    pub(crate) fn countersign(
        &self,
        inviting: &mut Inviting,
        knock: &PendingKnock,
        out: &mut impl Write,
    ) -> io::Result<AcceptedInvite> {
        let (ticket, Want::Request(request)) = inviting.want() else { return Err(io::Error::other("no request")) };
        let http = request.to_http();
        let origin = ServerName::parse(resident::SERVER).map_err(io::Error::other)?;
        let invite = InviteRequest::parse(origin, http.as_http()).map_err(io::Error::other)?;
        let checked = invite.check(self.server(), &RoomVersion::ALL).map_err(io::Error::other)?;
        for (server, key_ids) in checked.wanted_keys() {
            writeln!(out, "  (keys)   of {server}: {}", key_ids.into_iter().collect::<Vec<_>>().join(", "))?;
        }
        let verified = checked.verify(&Resident::keys().as_slice(), &Ed25519, self.now).map_err(io::Error::other)?;
        let acceptance = verified.acceptance(&sent_knock(knock)?).map_err(io::Error::other)?;
        let accepted = verified.decide(InviteDecision::Admit).map_err(io::Error::other)?;
        let accepted = accepted.countersign(&self.key).map_err(io::Error::other)?;
        let body = accepted.to_response();
        writeln!(out, "  {:<8} {:<10} {:<15} 200, {} bytes", http.method, "invite", request.server, body.len())?;
        writeln!(out, "  the invite {}", answers::acceptance(acceptance))?;
        inviting.reply(ticket, HttpResponse::new(200, &body).into(), self.now).map_err(io::Error::other)?;
        let (ticket, Want::Keys(_)) = inviting.want() else { return Err(io::Error::other("no signature")) };
        inviting.keys(ticket, &self.key(), &Ed25519, self.now).map_err(io::Error::other)?;
        Ok(accepted)
    }

    /// Sends a request, and writes what comes of it. No other server than the resident one answers.
    fn send(
        &self,
        request: &Request,
        resident: &mut Resident<'_>,
        out: &mut impl Write,
    ) -> io::Result<Option<(u16, String)>> {
        let http = request.to_http();
        let answer = (request.server == resident::SERVER).then(|| {
            resident.answer(self.server(), http.as_http()).map_or_else(
                |refusal| {
                    let response = refusal.to_response();
                    (response.status(), response.to_string())
                },
                |body| (200, body),
            )
        });
        let endpoint = http.path.split('/').nth(4).unwrap_or_default();
        write!(out, "  {:<8} {endpoint:<10} {:<15} ", http.method, request.server)?;
        match &answer {
            Some((status, body)) => writeln!(out, "{status}, {} bytes", body.len())?,
            None => writeln!(out, "no answer")?,
        }
        Ok(answer)
    }
}

/// The knock, as far as an answer has to be compared with it.
pub(super) fn sent_knock(knock: &PendingKnock) -> io::Result<SentKnock<'_>> {
    let event_id = EventId::parse(knock.event_id()).map_err(io::Error::other)?;
    Ok(SentKnock {
        room_id: knock.room_id(),
        user_id: knock.user_id(),
        event_id,
        version: knock.version(),
        current: Some(event_id),
        through: Some(knock.server()),
    })
}
