//! The commands about the handshake between two servers.

use std::error::Error;

use matrix_knock::auth::AuthStatus;
use matrix_knock::event::Pdu;
use matrix_knock::id::{EventId, OwnedEventId, RoomId, UserId};
use matrix_knock::knocking::room_state::ReceivedRoomState;
use matrix_knock::policy::PolicyVerdict;
use matrix_knock::resident::submission::{AuthEventRef, SendKnock};
use matrix_knock::resident::{Decision, MakeKnock, Refusal, Residence, ResidentRoom};
use matrix_knock::state::StateMap;
use matrix_knock::stripped_state::StrippedEvent;
use matrix_knock::template::{CheckedTemplate, Details, Expected, PrevEvent};
use matrix_knock::{Ed25519, RoomVersion};
use serde_json::value::RawValue;

use crate::lines::{Answer, Line, id, json_string, keys, optional, parse, required, room_version, server, state};

/// `make-knock`: what a resident server answers to the request.
pub(crate) fn make_knock(line: &Line<'_>) -> Answer {
    let room = Room::of(line)?;
    let (room_id, user_id, origin) = (text("room_id", line)?, text("user_id", line)?, text("origin", line)?);
    let origin = server("origin", &origin)?;
    let versions: Option<Vec<String>> = optional("ver", line)?;
    let Some((room, room_id)) = room.zip(RoomId::parse(&room_id).ok()) else {
        return answered(Err(Refusal::UnknownRoom));
    };
    let resident = room.resident(room_id, room_version(line)?);
    let request = MakeKnock::new(room_id, user_id, origin, versions.unwrap_or_default());
    let approved = match request.check(&resident, &room.state).and_then(|request| request.decide(Decision::Admit)) {
        Ok(approved) => approved,
        Err(refusal) => return answered(Err(refusal)),
    };
    let positions = positions(line)?;
    let prev_events: Vec<PrevEvent<'_>> = positions
        .iter()
        .map(|(event_id, depth)| PrevEvent { event_id: event_id.as_borrowed(), depth: *depth })
        .collect();
    let template = approved.template(&room.state, &prev_events, parse("now", line)?);
    answered(template.map(|template| template.to_response()))
}

/// `send-knock`: what a resident server answers to the signed event.
pub(crate) fn send_knock(line: &Line<'_>) -> Answer {
    let room = Room::of(line)?;
    let (room_id, event_id, origin) = (text("room_id", line)?, text("event_id", line)?, text("origin", line)?);
    let (origin, body) = (server("origin", &origin)?, required("body", line)?.get());
    let (version, keys) = (room_version(line)?, keys(line)?);
    let known: Vec<&RawValue> = parse("auth_events", line)?;
    let known = known.into_iter().map(|text| Pdu::parse_stored(text.get())).collect::<Result<Vec<_>, _>>()?;
    let Some((room, room_id)) = room.zip(RoomId::parse(&room_id).ok()) else {
        return answered(Err(Refusal::UnknownRoom));
    };

    let request = SendKnock::new(room_id, event_id, origin, body);
    let known = known.iter().map(|event| AuthEventRef { event, status: AuthStatus::Accepted });
    let accept = || -> Result<String, Refusal> {
        let checked = request.check(&room.resident(room_id, version), &room.state)?;
        let checked = checked.verify(&keys, &Ed25519, u64::MAX)?;
        let auth_events = checked.match_auth_events(known)?;
        let authorized = checked.authorize(&auth_events, &room.state, &room.state)?;
        let accepted = authorized.accept(&room.state, PolicyVerdict::NotNamed, Decision::Admit)?;
        accepted.to_response(&room.state, |event| event.to_federation(version).ok())
    };
    answered(accept())
}

/// `template`: what a knocking server makes of an answer to `make_knock`.
pub(crate) fn template(line: &Line<'_>) -> Answer {
    let (room_id, user_id, server_name) = (text("room_id", line)?, text("user_id", line)?, text("server_name", line)?);
    let room_id = id("room_id", &room_id, RoomId::parse)?;
    let user_id = id("user_id", &user_id, UserId::parse)?;
    let server_name = server("server_name", &server_name)?;
    let versions: Vec<String> = parse("ver", line)?;
    // Versions that are unknown here are none that could have been offered.
    let offered: Vec<RoomVersion> = versions.iter().filter_map(|version| version.parse().ok()).collect();
    let details = Details {
        reason: optional("reason", line)?,
        displayname: optional("displayname", line)?,
        avatar_url: optional("avatar_url", line)?,
    };
    let now = parse("now", line)?;
    let response = required("response", line)?.get();
    match CheckedTemplate::read(Expected::Knock(&offered), room_id, user_id, response) {
        Ok(template) => Ok(format!(r#""ok":true,"event":{}"#, template.to_event(&details, server_name, now))),
        Err(reason) => Ok(format!(r#""ok":false,"reason":{}"#, json_string(&reason.to_string())?)),
    }
}

/// `filter-state`: what of a `knock_room_state` may be shown to a client, and why not the rest.
pub(crate) fn filter_state(line: &Line<'_>) -> Answer {
    let version = room_version(line)?;
    let room_id = text("room_id", line)?;
    let room_id = id("room_id", &room_id, RoomId::parse)?;
    let state = ReceivedRoomState::of_list(line.get("knock_room_state").map_or("null", |state| state.get()));
    let verified = state.verify(version, room_id, &keys(line)?, &Ed25519, u64::MAX);
    let list = |events: &[StrippedEvent]| events.iter().map(StrippedEvent::text).collect::<Vec<_>>().join(",");
    let (client, unverified) = (list(verified.shown()), list(verified.unverified()));
    let dropped = verified
        .dropped()
        .map(|(index, reason)| Ok(format!(r#"{{"index":{index},"reason":{}}}"#, json_string(&reason.to_string())?)))
        .collect::<Result<Vec<String>, serde_json::Error>>()?;
    Ok(format!(r#""client":[{client}],"unverified":[{unverified}],"dropped":[{}]"#, dropped.join(",")))
}

/// The answer on the wire, and for a refusal its reason in words. What a host has done wrong is an
/// error of the line.
fn answered(body: Result<String, Refusal>) -> Answer {
    match body {
        Ok(body) => Ok(format!(r#""status":200,"body":{body}"#)),
        Err(refusal) if refusal.is_host_error() => Err(refusal.into()),
        Err(refusal) => {
            let response = refusal.to_response();
            let reason = json_string(&refusal.to_string())?;
            Ok(format!(r#""status":{},"body":{response},"reason":{reason}"#, response.status()))
        }
    }
}

/// The room of a line.
pub(super) struct Room<'a> {
    pub(super) state: StateMap<Pdu<'a>>,
    residence: Residence,
}

impl<'a> Room<'a> {
    /// Reads the `state`, and whether a user of `server_name` is joined by it. `None` if the room is unknown.
    pub(super) fn of(line: &Line<'a>) -> Result<Option<Self>, Box<dyn Error>> {
        if required("state", line)?.get() == "null" {
            return Ok(None);
        }
        let state = state("state", line)?;
        let server_name: Option<String> = optional("server_name", line)?;
        let residence = match server_name {
            Some(server_name) if !state.servers_with_joined_users().contains(server_name.as_str()) => Residence::Left,
            _ => Residence::Joined,
        };
        Ok(Some(Self { state, residence }))
    }

    pub(super) fn resident<'r>(&self, room_id: RoomId<'r>, version: RoomVersion) -> ResidentRoom<'r> {
        ResidentRoom { room_id, version, residence: self.residence }
    }
}

/// IDs and depths of the `prev_events`.
pub(super) fn positions(line: &Line<'_>) -> Result<Vec<(OwnedEventId, u64)>, Box<dyn Error>> {
    let events: Vec<&RawValue> = parse("prev_events", line)?;
    let position = |event: &RawValue| -> Result<(OwnedEventId, u64), Box<dyn Error>> {
        let members: Line<'_> = serde_json::from_str(event.get())?;
        let event_id: String = parse("event_id", &members)?;
        Ok((EventId::parse(&event_id)?.into_owned(), parse("depth", &members)?))
    };
    events.into_iter().map(position).collect()
}

pub(super) fn text(name: &str, line: &Line<'_>) -> Result<String, String> {
    parse(name, line)
}
