//! The commands about the answer to a knock, its policy server, and receipt.

use std::error::Error;

use matrix_knock::auth::AuthStatus;
use matrix_knock::event::{Ed25519Key, KeyValidity, Pdu, VerifyKey};
use matrix_knock::id::{EventId, RoomId, UserId};
use matrix_knock::knocking::invitation::{InviteDecision, InviteRefusal, InviteRequest};
use matrix_knock::knocking::out_of_band::{Acceptance, SentKnock};
use matrix_knock::knocking::room_state::ShowUnverified;
use matrix_knock::machine::{Machine as _, Reply, Request, Want};
use matrix_knock::policy::{PolicyServer, PolicyVerdict};
use matrix_knock::receipt::{AuthEventRef, Dropped, Outcome, ReceivedEvent, SoftFailure, States};
use matrix_knock::resident::answer::{Action, AnswerRequest, Answered, Inviting};
use matrix_knock::resident::{Decision, Refusal, ResidentRoom};
use matrix_knock::state::StateMap;
use matrix_knock::stripped_state::ShownTypes;
use matrix_knock::template::{Details, PrevEvent};
use matrix_knock::wire::{BuiltRequest, HttpResponse};
use matrix_knock::{Ed25519, RoomVersion};
use serde_json::value::RawValue;

use super::handshake::{Room, positions, text};
use crate::lines::{Answer, Line, id, json_string, keys, optional, parse, required, room_version, server, state};

/// `answer`: a member's answer to a knock, up to the signed event.
pub(crate) fn answer(line: &Line<'_>) -> Answer {
    let version = room_version(line)?;
    let (room_id, sender, target) = (text("room_id", line)?, text("sender", line)?, text("target", line)?);
    let room_id = id("room_id", &room_id, RoomId::parse)?;
    let sender = id("sender", &sender, UserId::parse)?;
    let target = id("target", &target, UserId::parse)?;
    let action = match &*text("answer", line)? {
        "accept" => Action::Accept,
        "decline" => Action::Decline,
        "ban" => Action::Ban,
        "revoke" => Action::Revoke,
        "unban" => Action::Unban,
        "invite" => Action::Invite,
        other => return Err(format!("unknown answer `{other}`").into()),
    };
    let details = Details { reason: optional("reason", line)?, ..Details::default() };
    let (key, now) = (signing_key(line)?, parse("now", line)?);
    let positions = positions(line)?;
    let prev_events: Vec<PrevEvent<'_>> = positions
        .iter()
        .map(|(event_id, depth)| PrevEvent { event_id: event_id.as_borrowed(), depth: *depth })
        .collect();
    let Some(room) = Room::of(line)? else { return refused(&Refusal::UnknownRoom) };
    let resident = room.resident(room_id, version);
    match answered(action, (sender, target), &resident, &room.state, (&details, &prev_events, now, &key)) {
        Ok(answered) => Ok(answered),
        Err(refusal) => refused(&refusal),
    }
}

type Making<'m> = (&'m Details, &'m [PrevEvent<'m>], u64, &'m Ed25519Key);

fn answered(
    action: Action,
    (sender, target): (UserId<'_>, UserId<'_>),
    room: &ResidentRoom<'_>,
    state: &StateMap<Pdu<'_>>,
    (details, prev_events, now, key): Making<'_>,
) -> Result<String, Refusal> {
    let answer = AnswerRequest::new(action, sender, target).check(room, state)?.decide(Decision::Admit)?;
    let event = answer.sign(state, details, prev_events, now, key)?;
    // Nobody can be asked from here.
    let policy = event.policy_server(state)?.map_or(PolicyVerdict::NotNamed, PolicyVerdict::NotJoined);
    let (event, invite, also_to) = match event.accept(state, policy)? {
        Answered::Append(answer) => {
            let also_to: Vec<String> = answer.also_to().map(|reach| reach.server.to_string()).into_iter().collect();
            (answer.into_event(), None, also_to)
        }
        Answered::Invite(invite) => {
            let event = invite.event().clone();
            let text = |event: &&Pdu<'_>| event.to_federation(room.version).ok();
            let inviting = invite.start(&ShownTypes::default(), state, text)?;
            let (_, want) = inviting.want();
            (event, if let Want::Request(request) = want { Some(request) } else { None }, Vec::new())
        }
    };
    let invite = invite.map_or_else(|| "null".to_owned(), |request| http(&request));
    let also_to: Vec<String> = also_to.iter().map(|server| format!(r#""{server}""#)).collect();
    let (id, event) = (event.event_id().to_owned(), event.into_text());
    Ok(format!(r#""event_id":"{id}","event":{event},"invite":{invite},"also_to":[{}]"#, also_to.join(",")))
}

/// A request to another server; the body as the JSON that it is.
fn http(request: &Request) -> String {
    let server = &request.server;
    let BuiltRequest { method, path, body, .. } = request.to_http();
    format!(r#"{{"server":"{server}","method":"{method}","path":"{path}","body":{}}}"#, body.unwrap_or_default())
}

/// The answer to the client, and the rule that says no, if one does.
fn refused(refusal: &Refusal) -> Answer {
    if refusal.is_host_error() {
        return Err(refusal.to_string().into());
    }
    let response = refusal.to_response();
    let rule = match refusal {
        Refusal::Rejected { rejection, .. } => {
            format!(r#","rule":"{}","number":"{}""#, rejection.rule().name(), rejection.number())
        }
        _ => String::new(),
    };
    Ok(format!(r#""status":{},"body":{response}{rule}"#, response.status()))
}

/// `countersigned`: what comes of the answer to an invite.
pub(crate) fn countersigned(line: &Line<'_>) -> Answer {
    let (version, keys) = (room_version(line)?, keys(line)?);
    let event = required("event", line)?.get();
    let target = text("target_server", line)?;
    let target = server("target_server", &target)?;
    // Stored as the machine is after it has asked.
    let stored = format!(
        r#"{{"version":"{version}","event":{},"invite_room_state":[],"state":"asking","ticket":0}}"#,
        json_string(event)?
    );
    let mut inviting: Inviting = serde_json::from_str(&stored)?;
    if inviting.target().server_name() != target {
        return Err("`target_server` is not that of the invited user".into());
    }
    let status: u16 = parse("status", line)?;
    let body = line.get("response").map_or("null", |response| response.get());
    let reply = match status {
        0 => Reply::None,
        status => HttpResponse::new(status, body).into(),
    };
    inviting.reply(inviting.want().0, reply, 0)?;
    if let (ticket, Want::Keys(_)) = inviting.want() {
        inviting.keys(ticket, &keys, &Ed25519, u64::MAX)?;
    }
    match inviting.outcome() {
        Some(Ok(invite)) => Ok(format!(r#""event":{}"#, invite.event().text())),
        Some(Err(error)) => {
            let response = error.to_response();
            Ok(format!(r#""status":{},"body":{response}"#, response.status()))
        }
        None => Err("the invite has not ended".into()),
    }
}

/// `invite`: what the invited user's server answers, and what its client is shown.
pub(crate) fn invite(line: &Line<'_>) -> Answer {
    let (room_id, event_id, origin) = (text("room_id", line)?, text("event_id", line)?, text("origin", line)?);
    let (origin, own) = (server("origin", &origin)?, text("server_name", line)?);
    let own = server("server_name", &own)?;
    let room_id = id("room_id", &room_id, RoomId::parse)?;
    let versions: Vec<String> = parse("versions", line)?;
    let supported: Vec<RoomVersion> = versions.iter().filter_map(|version| version.parse().ok()).collect();
    let (keys, key) = (keys(line)?, signing_key(line)?);
    let knock: Option<String> = optional("knock", line)?;
    let request = InviteRequest::new(room_id, event_id, origin, required("body", line)?.get());
    let taken = || -> Result<String, InviteRefusal> {
        let verified = request.check(own, &supported)?.verify(&keys, &Ed25519, u64::MAX)?;
        let acceptance = knock.as_deref().and_then(|knock| acceptance(&verified, room_id, knock));
        let acceptance = acceptance.map_or("null", |acceptance| match acceptance {
            Acceptance::LinkedByAuthEvents => r#""linked""#,
            Acceptance::MerelyInvited => r#""merely_invited""#,
        });
        let warnings = verified.warnings().iter().map(|fault| serde_json::Value::from(fault.to_string()));
        let warnings = serde_json::Value::from_iter(warnings);
        let accepted = verified.decide(InviteDecision::Admit)?.countersign(&key)?;
        let client = accepted.invite_state(ShowUnverified::default());
        let client: Vec<&str> = client.iter().map(|shown| shown.event.text()).collect();
        Ok(format!(
            r#""status":200,"body":{},"client":[{}],"acceptance":{acceptance},"warnings":{warnings}"#,
            accepted.to_response(),
            client.join(",")
        ))
    };
    taken().or_else(|refusal| {
        let response = refusal.to_response();
        Ok(format!(r#""status":{},"body":{response}"#, response.status()))
    })
}

fn acceptance(
    invite: &matrix_knock::knocking::invitation::VerifiedInvite<'_>,
    room_id: RoomId<'_>,
    knock: &str,
) -> Option<Acceptance> {
    let event_id = EventId::parse(knock).ok()?;
    let knock = SentKnock {
        room_id,
        user_id: invite.target(),
        event_id,
        version: invite.version(),
        current: Some(event_id),
        through: None,
    };
    invite.acceptance(&knock).ok()
}

/// `receive`: the seven checks.
pub(crate) fn receive(line: &Line<'_>) -> Answer {
    let (version, keys) = (room_version(line)?, keys(line)?);
    let texts: Vec<&RawValue> = parse("auth_events", line)?;
    let known = texts.iter().map(|text| Pdu::parse_stored(text.get())).collect::<Result<Vec<_>, _>>()?;
    let statuses = texts.iter().map(|text| status(text)).collect::<Result<Vec<_>, _>>()?;
    let known = known.iter().zip(statuses).map(|(event, status)| AuthEventRef { event, status });
    let before = state("state", line)?;
    let mut current = state("current_state", line)?;
    let policy: Option<Line<'_>> = optional("policy", line)?;
    let policy_event = policy.as_ref().map(policy_event).transpose()?;
    if let Some(event) = &policy_event {
        current.insert(Pdu::parse_stored(event)?).map_err(|_| "a policy without a state key")?;
    }

    let received = || -> Result<ReceivedEvent<'_>, Dropped> {
        let formatted = Pdu::parse(required("event", line).map_or("null", RawValue::get))?.check_format(version)?;
        ReceivedEvent::verify(formatted, &keys, &Ed25519, u64::MAX)
    };
    required("event", line)?;
    let event = match received() {
        Ok(event) => event,
        Err(dropped) => return decided("dropped", Some(dropped.check().number()), None, &dropped.to_string(), false),
    };
    let named = PolicyServer::named(&current)?;
    let verdict = match (named, &policy) {
        (None, _) => PolicyVerdict::NotNamed,
        (Some(server), None) => PolicyVerdict::NotJoined(server),
        (Some(server), Some(policy)) => {
            let formatted = event.formatted()?;
            match server.signature_of(&formatted, &Ed25519) {
                Some(signature) => PolicyVerdict::Signed(signature),
                None => {
                    let signed = policy.get("signed").map_or("null", |signed| signed.get());
                    let response = (signed != "null").then(|| HttpResponse::new(200, signed));
                    server.read_answer(&formatted, response, &Ed25519).into()
                }
            }
        }
    };
    let redacted = event.is_redacted();
    let auth_events = match event.match_auth_events(known) {
        Ok(auth_events) => auth_events,
        // What is not there allows nothing.
        Err(unknown) => return decided("rejected", Some(4), None, &unknown.to_string(), redacted),
    };
    let states = States { before: &before, current: &current };
    let outcome = event.check(&auth_events, states, &Ed25519, verdict)?;
    let check = outcome.check().map(|check| check.number());
    match outcome {
        Outcome::Accepted(_) => decided("accepted", None, None, "", redacted),
        Outcome::SoftFailed(SoftFailure::CurrentState(rejection)) => decided(
            "soft_failed",
            check,
            Some((rejection.rule().name(), rejection.number())),
            &rejection.reason(),
            redacted,
        ),
        Outcome::SoftFailed(failure) => decided("soft_failed", check, None, &failure.to_string(), redacted),
        Outcome::Rejected(rejected) => {
            let rejection = rejected.rejection();
            decided(
                "rejected",
                check,
                Some((rejection.rule().name(), rejection.number())),
                &rejection.reason(),
                redacted,
            )
        }
    }
}

fn decided(outcome: &str, check: Option<u8>, rule: Option<(&str, &str)>, reason: &str, redacted: bool) -> Answer {
    let text = |text: Option<&str>| serde_json::to_string(&text);
    Ok(format!(
        r#""outcome":"{outcome}","check":{},"rule":{},"number":{},"reason":{},"redacted":{redacted}"#,
        serde_json::to_string(&check)?,
        text(rule.map(|(name, _)| name))?,
        text(rule.map(|(_, number)| number))?,
        text(Some(reason).filter(|reason| !reason.is_empty()))?
    ))
}

/// How an auth event came in: `"rejected":true` in one that was.
fn status(event: &RawValue) -> Result<AuthStatus, Box<dyn Error>> {
    let members: Line<'_> = serde_json::from_str(event.get())?;
    let is_rejected = members.get("rejected").is_some_and(|rejected| rejected.get() == "true");
    Ok(if is_rejected { AuthStatus::Rejected } else { AuthStatus::Accepted })
}

/// The state event that names this policy server.
fn policy_event(policy: &Line<'_>) -> Result<String, Box<dyn Error>> {
    let (name, key): (String, String) = (parse("server", policy)?, parse("public_key", policy)?);
    let content = serde_json::json!({"via": name, "public_keys": {"ed25519": key}});
    Ok(format!(r#"{{"type":"m.room.policy","state_key":"","sender":"@_:_","content":{content}}}"#))
}

/// `policy`: whether the room uses a policy server, and what to ask it.
pub(crate) fn policy(line: &Line<'_>) -> Answer {
    let version = room_version(line)?;
    let state = state("state", line)?;
    let joined: Vec<String> = parse("joined_servers", line)?;
    let formatted = Pdu::parse(required("event", line)?.get())?.check_format(version)?;
    let named = PolicyServer::named(&state)?.filter(|server| joined.iter().any(|joined| server.name() == **joined));
    let Some(policy) = named else { return Ok(r#""server":null,"request":null,"signed":false"#.to_owned()) };
    let signed = policy.signature_of(&formatted, &Ed25519).is_some();
    let request = match PolicyServer::is_asked_about(formatted.pdu()) {
        true => {
            let BuiltRequest { method, path, body, .. } = policy.request(&formatted)?;
            format!(r#"{{"method":"{method}","path":"{path}","body":{}}}"#, body.unwrap_or_default())
        }
        false => "null".to_owned(),
    };
    Ok(format!(r#""server":"{}","request":{request},"signed":{signed}"#, policy.name()))
}

/// The signing key of a line.
fn signing_key(line: &Line<'_>) -> Result<Ed25519Key, Box<dyn Error>> {
    let seed: String = parse("seed", line)?;
    // 32 bytes in base64, as a public key has.
    let seed = VerifyKey::from_base64(&seed, KeyValidity::Forever).ok_or("`seed` is not 32 bytes in base64")?;
    Ok(Ed25519Key::from_seed(&text("key_id", line)?, &seed.public_key)?)
}
