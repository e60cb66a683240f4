//! The contents that the rules read, each property only when a rule asks for it.

pub(crate) mod create;
pub(crate) mod join_rules;
pub(crate) mod member;
pub(crate) mod power_levels;
pub(crate) mod third_party_invite;

pub use member::{MemberFacts, Membership};

pub(crate) use self::create::CREATE;
pub(crate) use self::join_rules::JOIN_RULES;
pub(crate) use self::member::MEMBER;
pub(crate) use self::power_levels::POWER_LEVELS;
pub(crate) use self::third_party_invite::THIRD_PARTY_INVITE;
use crate::json::{JsonError, Kind, Reader, Str};

/// The content that a rule could not make sense of where it needed to: it is no JSON object, or the property that the
/// rule asks for is of the wrong kind or stands twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Malformed {
    /// The content of the create event of the room.
    #[error("the content of the `m.room.create` event is malformed")]
    Create,
    /// The content of the join rules event of the room.
    #[error("the content of the `m.room.join_rules` event is malformed")]
    JoinRules,
    /// The content of the power levels event of the room, in a level that the rule needs.
    #[error("a level in the `m.room.power_levels` event is malformed")]
    PowerLevels,
    /// The content of a membership in the state of the room.
    #[error("the content of an `m.room.member` event in the state is malformed")]
    Member,
    /// The content of the event itself.
    #[error("the content of the event is malformed")]
    Event,
}

/// Reads an object that is the whole text. `Err` if the text is anything else.
pub(crate) fn read_object<'a>(
    text: &'a str,
    member: impl FnMut(Str<'a>, &mut Reader<'a>) -> Result<(), JsonError>,
) -> Result<(), JsonError> {
    let mut reader = Reader::new(text);
    reader.object(member)?;
    reader.end()
}

/// Reads an object that comes next, or reads over something else. Whether it was an object.
pub(crate) fn read_object_field<'a>(
    reader: &mut Reader<'a>,
    member: impl FnMut(Str<'a>, &mut Reader<'a>) -> Result<(), JsonError>,
) -> Result<bool, JsonError> {
    if reader.kind()? == Kind::Object {
        return reader.object(member).map(|()| true);
    }
    reader.skip_value().map(|()| false)
}
