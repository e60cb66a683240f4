//! The contents that the rules read, each property only when a rule asks for it.

pub(crate) mod create;
pub(crate) mod join_rules;
pub(crate) mod member;
pub(crate) mod power_levels;
pub(crate) mod third_party_invite;

pub use member::{MemberFacts, Membership, UnknownMembership};

/// The content that a rule could not make sense of where it needed to: it is no JSON object, or the property that the
/// rule asks for is of the wrong kind or stands twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
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
