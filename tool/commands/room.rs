//! The commands about a room and its members.

use std::fmt::Display;

use matrix_knock::auth::{self, AuthorizeError};
use matrix_knock::event::{Event as _, EventType, Membership, Pdu, event_id_of_stored};
use matrix_knock::id::UserId;
use matrix_knock::membership_change::{Before, MembershipChange};
use matrix_knock::pending::{Knocker, PendingKnocks};
use matrix_knock::state::RoomState as _;
use matrix_knock::stripped_state::{self, StrippedEvent};
use matrix_knock::sync::{Knockable, summary_is_knockable};
use matrix_knock::visibility::{HistoryVisibility, JoinedLater, UserAtEvent, VisibilityAtEvent};
use matrix_knock::{Ed25519, RoomVersion};
use serde_json::value::RawValue;

use crate::lines::{Answer, Line, id, json_string, optional, parse, required, room_version, state};

/// `authorize`: the verdict on an event over a state.
pub(crate) fn authorize(line: &Line<'_>) -> Answer {
    let version = room_version(line)?;
    let state = state("state", line)?;
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
    let state = state("state", line)?;
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

/// `classify`: the name of what a member event did, given the one before, or by what the event says of it.
pub(crate) fn classify(line: &Line<'_>) -> Answer {
    let text = required("event", line)?.get();
    let event = Pdu::parse(text)?;
    let before = line.get("before").map(|before| before.get()).filter(|before| *before != "null");
    let before = before.map(Pdu::parse_stored).transpose().map_err(|error| format!("`before`: {error}"))?;
    let before = match &before {
        Some(before) => Before::Event(before),
        None if line.contains_key("before") => Before::NoEvent,
        None => Before::of_client_event(text)?.ok_or("neither `before` nor `unsigned.prev_content` of the event")?,
    };
    let change = MembershipChange::new(before, &event)?;
    Ok(format!(r#""change":"{}""#, change.change()))
}

/// `pending`: who waits for an answer after these member events.
pub(crate) fn pending(line: &Line<'_>) -> Answer {
    let version = room_version(line)?;
    let events: Vec<&RawValue> = parse("events", line)?;
    let mut knocks = PendingKnocks::new();
    for (position, text) in events.into_iter().map(RawValue::get).enumerate() {
        let malformed = |error: &dyn Display| format!("`events[{position}]`: {error}");
        let mut event = Pdu::parse_stored(text).map_err(|error| malformed(&error))?;
        if event.event_id().is_none() {
            event = event.with_event_id(event_id_of_stored(version, text).map_err(|error| malformed(&error))?);
        }
        let members: Line<'_> = serde_json::from_str(text)?;
        let origin_server_ts = optional("origin_server_ts", &members).map_err(|error| malformed(&error))?;
        knocks.apply(&event, origin_server_ts.unwrap_or(0)).map_err(|error| malformed(&error))?;
    }
    let knocks: Vec<String> = knocks.iter().map(knock).collect::<Result<_, _>>()?;
    Ok(format!(r#""knocks":[{}]"#, knocks.join(",")))
}

fn knock(knocker: &Knocker) -> serde_json::Result<String> {
    let text = |text: Option<&str>| serde_json::to_string(&text);
    Ok(format!(
        r#"{{"user_id":{},"event_id":{},"reason":{},"displayname":{}}}"#,
        json_string(knocker.user())?,
        json_string(knocker.event_id())?,
        text(knocker.reason())?,
        text(knocker.displayname())?
    ))
}

/// `knockable`: whether a room can be knocked on, as far as its summary says.
pub(crate) fn knockable(line: &Line<'_>) -> Answer {
    let version: Option<String> = optional("room_version", line)?;
    let join_rule: Option<String> = optional("join_rule", line)?;
    let knockable = match summary_is_knockable(version.as_deref(), join_rule.as_deref(), &RoomVersion::ALL) {
        Knockable::Yes => "true",
        Knockable::No => "false",
        Knockable::NotKnown => "null",
    };
    Ok(format!(r#""knockable":{knockable}"#))
}

/// `visible`: whether a user may see an event.
///
/// A visibility that is not understood counts as in an event, and null as none that is set. A
/// membership of null is that of a user without a member event.
pub(crate) fn visible(line: &Line<'_>) -> Answer {
    let visibility = |value: &RawValue| HistoryVisibility::of_content(&format!(r#"{{"history_visibility":{value}}}"#));
    let visibility_after = line.get("visibility_after").filter(|value| value.get() != "null");
    let room = VisibilityAtEvent {
        before: visibility(required("visibility", line)?),
        after: visibility_after.map(|value| visibility(value)),
    };
    let before: Option<Membership> = parse("membership", line)?;
    let user = UserAtEvent {
        before: before.unwrap_or(Membership::Leave),
        after: optional("membership_after", line)?,
        joined_later: if parse("joined_later", line)? { JoinedLater::Yes } else { JoinedLater::No },
    };
    Ok(format!(r#""visible":{}"#, room.for_user(user).is_visible()))
}
