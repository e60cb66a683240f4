//! The commands about the handshake between two servers.

use std::collections::BTreeMap;
use std::error::Error;

use matrix_knock::auth::AuthStatus;
use matrix_knock::event::{Event, Pdu};
use matrix_knock::id::{EventId, RoomId, ServerName, UserId};
use matrix_knock::knocking::room_state::ReceivedRoomState;
use matrix_knock::resident::submission::{AuthEventRef, PolicyVerdict, SendKnock};
use matrix_knock::resident::{Decision, MakeKnock, Refusal, Residence, ResidentRoom};
use matrix_knock::state::StateMap;
use matrix_knock::template::PrevEvent;
use matrix_knock::template::{CheckedTemplate, Details, Expected};
use matrix_knock::{Ed25519, RoomVersion};
use serde_json::value::RawValue;

use crate::commands::{Answer, Line, keys, optional, parse, required, room_version, state};

/// What the state of a line is to a resident server; none if it does not know the room.
struct Room<'a> {
    state: StateMap<Pdu<'a>>,
    residence: Residence,
}

/// `make-knock`: what a resident server answers to the request.
pub(crate) fn make_knock(line: &Line<'_>) -> Answer {
    let room = room(line)?;
    let (room_id, user_id, origin) = (text("room_id", line)?, text("user_id", line)?, text("origin", line)?);
    let origin = server("origin", &origin)?;
    let versions: Option<Vec<String>> = optional("ver", line)?;
    let versions = versions.unwrap_or_default();
    let versions: Vec<&str> = versions.iter().map(String::as_str).collect();
    let resident = resident(room.as_ref(), line, &room_id)?;
    let request = MakeKnock { user_id: &user_id, origin, versions: &versions };
    let admitted = match request.check(resident.as_ref()).and_then(|allowed| allowed.decide(Decision::Admit)) {
        Ok(admitted) => admitted,
        Err(refusal) => return Ok(refused(&refusal)),
    };
    let events: Vec<&RawValue> = parse("prev_events", line)?;
    let positions = events.iter().map(|event| position(event)).collect::<Result<Vec<_>, _>>()?;
    let prev_events = positions
        .iter()
        .map(|(event_id, depth)| Ok(PrevEvent { event_id: EventId::parse(event_id)?, depth: *depth }))
        .collect::<Result<Vec<_>, Box<dyn Error>>>()?;
    let template = admitted.template(&prev_events, parse("now", line)?)?;
    Ok(format!(r#""status":200,"body":{}"#, template.to_response()))
}

/// `send-knock`: what a resident server answers to the signed event.
pub(crate) fn send_knock(line: &Line<'_>) -> Answer {
    let room = room(line)?;
    let (room_id, event_id, origin) = (text("room_id", line)?, text("event_id", line)?, text("origin", line)?);
    let request =
        SendKnock { event_id: &event_id, origin: server("origin", &origin)?, body: required("body", line)?.get() };
    let resident = resident(room.as_ref(), line, &room_id)?;
    let keys = keys(line)?;
    let version = room_version(line)?;
    let texts: Vec<&RawValue> = parse("auth_events", line)?;
    let known = texts.iter().map(|text| Pdu::parse_stored(text.get())).collect::<Result<Vec<_>, _>>()?;

    let accepted = request.check(resident.as_ref()).and_then(|received| {
        let verified = received.verify(&keys, &Ed25519, u64::MAX)?;
        let named: Vec<AuthEventRef<&Pdu<'_>>> = verified
            .auth_events()
            .filter_map(|id| known.iter().find(|event| event.event_id() == Some(id)))
            .map(|event| AuthEventRef { event, status: AuthStatus::Accepted })
            .collect();
        let before = resident.map(|resident| resident.state).ok_or(Refusal::UnknownRoom)?;
        verified.authorize(&named, before)?.accept(PolicyVerdict::NotUsed, Decision::Admit)
    });
    match accepted {
        Ok(knock) => {
            Ok(format!(r#""status":200,"body":{}"#, knock.to_response(|event| event.to_federation(version).ok())?))
        }
        Err(refusal) => Ok(refused(&refusal)),
    }
}

/// `template`: what a knocking server makes of an answer to `make_knock`.
pub(crate) fn template(line: &Line<'_>) -> Answer {
    let (room_id, user_id, server_name) = (text("room_id", line)?, text("user_id", line)?, text("server_name", line)?);
    let room_id = RoomId::parse(&room_id).map_err(|error| format!("`room_id` {error}"))?;
    let user_id = UserId::parse(&user_id).map_err(|error| format!("`user_id` {error}"))?;
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
        Ok(proposed) => Ok(format!(r#""ok":true,"event":{}"#, proposed.to_event(&details, server_name, now))),
        Err(reason) => Ok(format!(r#""ok":false,"reason":{}"#, serde_json::to_string(&reason.to_string())?)),
    }
}

/// `filter-state`: what of a `knock_room_state` may be shown to a client, and why not the rest.
pub(crate) fn filter_state(line: &Line<'_>) -> Answer {
    let version = room_version(line)?;
    let room_id = text("room_id", line)?;
    let room_id = RoomId::parse(&room_id).map_err(|error| format!("`room_id` {error}"))?;
    let state = ReceivedRoomState::of_list(line.get("knock_room_state").map_or("null", |state| state.get()));
    let arrival = state.verify(version, room_id, &keys(line)?, &Ed25519, u64::MAX);
    let client: Vec<String> = arrival.shown().iter().map(ToString::to_string).collect();
    let dropped = arrival
        .dropped()
        .map(|(index, reason)| {
            Ok(format!(r#"{{"index":{index},"reason":{}}}"#, serde_json::to_string(&reason.to_string())?))
        })
        .collect::<Result<Vec<String>, serde_json::Error>>()?;
    Ok(format!(r#""client":[{}],"dropped":[{}]"#, client.join(","), dropped.join(",")))
}

fn refused(refusal: &Refusal) -> String {
    let response = refusal.to_response();
    format!(r#""status":{},"body":{response}"#, response.status())
}

/// The state, and whether a user of `server_name` is joined by it.
fn room<'a>(line: &Line<'a>) -> Result<Option<Room<'a>>, Box<dyn Error>> {
    if required("state", line)?.get() == "null" {
        return Ok(None);
    }
    let state = state(line)?;
    let server_name: Option<String> = optional("server_name", line)?;
    let events: Vec<&RawValue> = parse("state", line)?;
    let mut joined = server_name.is_none();
    for event in events {
        let event = Pdu::parse_stored(event.get())?;
        let membership: BTreeMap<String, &RawValue> = serde_json::from_str(event.content()).unwrap_or_default();
        let joins = event.event_type() == "m.room.member"
            && membership.get("membership").is_some_and(|membership| membership.get() == r#""join""#);
        let user = event.state_key().and_then(|user| UserId::parse(user).ok());
        joined |= joins && user.map(|user| user.server_name().as_str()) == server_name.as_deref();
    }
    let residence = if joined { Residence::Joined } else { Residence::Left };
    Ok(Some(Room { state, residence }))
}

fn resident<'r>(
    room: Option<&'r Room<'_>>,
    line: &Line<'_>,
    room_id: &'r str,
) -> Result<Option<ResidentRoom<'r, StateMap<Pdu<'r>>>>, Box<dyn Error>> {
    let (Some(room), Ok(room_id)) = (room, RoomId::parse(room_id)) else { return Ok(None) };
    Ok(Some(ResidentRoom { room_id, version: room_version(line)?, residence: room.residence, state: &room.state }))
}

fn position(event: &RawValue) -> Result<(String, u64), Box<dyn Error>> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(event.get())?;
    Ok((parse("event_id", &members)?, parse("depth", &members)?))
}

fn server<'a>(name: &str, text: &'a str) -> Result<ServerName<'a>, String> {
    ServerName::parse(text).map_err(|error| format!("`{name}` {error}"))
}

fn text(name: &str, line: &Line<'_>) -> Result<String, String> {
    parse(name, line)
}
