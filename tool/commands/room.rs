//! The commands about a room and its members.

use matrix_knock::Ed25519;
use matrix_knock::auth::{self, AuthorizeError};
use matrix_knock::event::{EventType, Pdu};
use matrix_knock::id::UserId;
use matrix_knock::membership_change::MembershipChange;
use matrix_knock::state::RoomState as _;
use matrix_knock::stripped_state::{self, StrippedEvent};

use crate::lines::{Answer, Line, id, json_string, required, room_version, state};

/// `authorize`: the verdict on an event over a state.
pub(crate) fn authorize(line: &Line<'_>) -> Answer {
    let version = room_version(line)?;
    let state = state(line)?;
    let event = Pdu::parse(required("event", line)?.get())?;
    match auth::authorize(version, &event, &state, &Ed25519) {
        Ok(_) => Ok(r#""allow":true"#.to_owned()),
        Err(AuthorizeError::Rejected(rejection)) => Ok(format!(
            r#""allow":false,"rule":"{}","number":"{}","reason":{}"#,
            rejection.rule().name(),
            rejection.number(),
            json_string(&rejection.reason())?
        )),
        Err(error) => Err(error.into()),
    }
}

/// `stripped-state`: what the user is shown of the room, between servers and in a client.
pub(crate) fn stripped_state(line: &Line<'_>) -> Answer {
    let version = room_version(line)?;
    let state = state(line)?;
    let user_id: String = serde_json::from_str(required("user_id", line)?.get())?;
    let user_id = id("user_id", &user_id, UserId::parse)?;
    let events = stripped_state::events(&state).collect::<Result<Vec<_>, _>>()?;
    let own = state.event(EventType::Member, user_id.as_str())?;
    // Nobody has checked these events before. What has no canonical form can be neither sent nor shown.
    let federation: Vec<String> = events.iter().filter_map(|event| event.to_federation(version).ok()).collect();
    let client = events.iter().copied().chain(own).filter_map(|event| StrippedEvent::of(&event));
    let client: Vec<String> = client.map(String::from).collect();
    Ok(format!(r#""federation":[{}],"client":[{}]"#, federation.join(","), client.join(",")))
}

/// `classify`: the name of what a member event did, given the one before.
pub(crate) fn classify(line: &Line<'_>) -> Answer {
    let before = match required("before", line)?.get() {
        "null" => None,
        before => Some(Pdu::parse_stored(before).map_err(|error| format!("`before`: {error}"))?),
    };
    let event = Pdu::parse(required("event", line)?.get())?;
    let change = MembershipChange::new(before.as_ref(), &event)?;
    Ok(format!(r#""change":"{}""#, change.change()))
}
