//! A knock, found in the JSON text of any event of a state.

use super::Knocker;
use crate::event::{EventType, Membership, event_id, without_event_id};
use crate::json::{Field, read_object};
use crate::membership_change::Member;
use crate::room_version::RoomVersion;

/// The knock that this text is, if it is one.
pub(super) fn knocker(version: RoomVersion, text: &str) -> Option<Knocker> {
    if !could_be_a_knock(text) {
        return None;
    }
    let mut event_type = Field::Missing;
    let mut state_key = Field::Missing;
    let mut content = Field::Missing;
    let mut noted_id = Field::Missing;
    let mut origin_server_ts = Field::Missing;
    read_object(text, |key, reader| {
        match () {
            () if key.is("type") => event_type.put(reader.string_field()?),
            () if key.is("state_key") => state_key.put(reader.string_field()?),
            () if key.is("content") => content.put(Field::Is(reader.skip()?)),
            () if key.is("event_id") => noted_id.put(reader.string_field()?),
            () if key.is("unsigned") => reader.skip_unsigned()?,
            () if key.is("origin_server_ts") => origin_server_ts.put(reader.integer_field()?),
            () => reader.skip_value()?,
        }
        Ok(())
    })
    .ok()?;
    let (Field::Is(event_type), Field::Is(user), Field::Is(content)) = (event_type, state_key, content) else {
        return None;
    };
    if !event_type.is(EventType::Member.as_str()) {
        return None;
    }
    let member = Member::read(content).ok().filter(|member| member.membership() == Some(Membership::Knock))?;
    let time = origin_server_ts.known().unwrap_or(0);
    // Only knocks come this far, so what follows may allocate.
    let event_id = match noted_id {
        Field::Is(noted) => noted.text().into_owned(),
        Field::Missing | Field::Malformed => {
            let event = without_event_id(version, text).ok()?;
            event_id(version, &event).ok()?
        }
    };
    Some(Knocker::new(&user.text(), &event_id, time, member))
}

/// Whether the membership may be `knock`: the word stands in the text as it is, or something is written with escapes by
/// number. (No other escape stands for a letter.) Far cheaper than to parse the text, and few others get past it.
fn could_be_a_knock(text: &str) -> bool {
    text.contains(r#""knock""#) || text.contains(r"\u")
}
