//! The decision: may this membership change happen in this room?
//!
//! [`authorize`] decides by the rules that depend on the room's state, from whatever state the host hands in;
//! [`CompiledRoom`] does the same for many events of one room. [`check_state_independent`] has the rules that depend on
//! the event and what it refers to. An event that comes from another server has to pass both, the former more than
//! once: <https://spec.matrix.org/v1.19/server-server-api/#checks-performed-on-receipt-of-a-pdu>
//!
//! In scope are all events of type `m.room.member`. Everything else is an error here, not a refusal.
//!
//! Before any event is looked at, [`server_is_allowed`] says whether the server that asks may take part in the room.
//!
//! A decision names the first rule that refuses. [`obstacles_to_knock`] and [`obstacles_to_join`]
//! name everything that is in a user's way, the server ACL included: for an admin API, or a person
//! who asks why.
//!
//! # Examples
//!
//! ```
//! use matrix_knock::RoomVersion;
//! use matrix_knock::auth::authorize_proposal;
//! use matrix_knock::event::{Membership, Pdu, Proposal};
//! use matrix_knock::state::StateMap;
//!
//! let create = r#"{"type":"m.room.create","state_key":"","sender":"@alice:a.example","content":{}}"#;
//! let join_rules =
//!     r#"{"type":"m.room.join_rules","state_key":"","sender":"@alice:a.example","content":{"join_rule":"knock"}}"#;
//! let state = StateMap::from([Pdu::parse(create)?, Pdu::parse(join_rules)?]);
//!
//! let knock = Proposal::of_oneself("@kay:b.example", Membership::Knock);
//! assert!(authorize_proposal(RoomVersion::V11, &knock, &state).is_ok());
//!
//! let join = Proposal::of_oneself("@kay:b.example", Membership::Join);
//! let refused = authorize_proposal(RoomVersion::V11, &join, &state).unwrap_err();
//! assert_eq!(refused.to_string(), "rule 4.3.7 of room version 11: the join rule does not let the user join");
//! # Ok::<(), matrix_knock::event::PduError>(())
//! ```

mod compiled;
mod facts;
mod independent;
mod member;
mod obstacles;
mod power_levels;
mod rule;
mod selection;
mod server_acl;

pub use self::compiled::CompiledRoom;
use self::facts::StateFacts;
pub use self::independent::{AuthEvent, AuthStatus, Evidence, StateIndependent, check_state_independent};
pub use self::obstacles::{Obstacle, ObstacleCause, obstacles_to_join, obstacles_to_knock, reads_of_obstacles};
pub use self::rule::{Rejection, Rule};
pub use self::selection::Selection;
pub use self::server_acl::{AclDenial, ServerAcl, server_is_allowed};
use crate::event::{Event, EventType, Membership, NoVerifier, Proposal, Verify};
use crate::room_version::RoomVersion;
use crate::state::{NotLookedUp, RoomState};

/// Why [`authorize`] does not allow an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorizeError {
    /// The event is not of type `m.room.member`: this crate does not decide on it, and has not refused it.
    #[error("not an `m.room.member` event")]
    NotAMemberEvent,
    /// The state does not know an entry that the decision needs: the host's mistake, and no verdict.
    #[error(transparent)]
    NotLookedUp(#[from] NotLookedUp),
    /// A rule of the specification refuses the event.
    #[error(transparent)]
    Rejected(#[from] Rejection),
}

impl AuthorizeError {
    /// The refusal, if it is one.
    #[must_use]
    pub const fn rejection(&self) -> Option<Rejection> {
        match self {
            Self::NotAMemberEvent | Self::NotLookedUp(_) => None,
            Self::Rejected(rejection) => Some(*rejection),
        }
    }
}

/// Proof that an event passed [`authorize`] or [`CompiledRoom::authorize`]. It is made nowhere else.
#[derive(Debug)]
pub struct Authorized<'e, E: ?Sized> {
    event: &'e E,
    version: RoomVersion,
    membership: Membership,
}

impl<'e, E: ?Sized> Authorized<'e, E> {
    /// The event that is allowed.
    #[must_use]
    pub const fn event(&self) -> &'e E {
        self.event
    }

    /// The room version by whose rules it is allowed.
    #[must_use]
    pub const fn version(&self) -> RoomVersion {
        self.version
    }

    /// What the event makes the membership.
    #[must_use]
    pub const fn membership(&self) -> Membership {
        self.membership
    }
}

impl<E: ?Sized> Clone for Authorized<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E: ?Sized> Copy for Authorized<'_, E> {}

/// Decides by the rules that depend on the state of the room.
///
/// The answer is for this state: the one before the event, the one that its `auth_events` make, or the current one.
/// Reads at most the entries that [`Selection::state`] names, and allocates nothing unless something in the events is written
/// with escapes, or a third-party invite has to be verified. `verifier` is asked about third-party invites
/// only.
///
/// # Errors
///
/// [`AuthorizeError::NotAMemberEvent`] for an event of another type; [`AuthorizeError::NotLookedUp`] if a
/// [snapshot](crate::state::Snapshot) lacks an entry of [`Selection::reads`]; [`AuthorizeError::Rejected`] with the first rule,
/// in the order of the specification, that refuses.
pub fn authorize<'e, E: Event + ?Sized>(
    version: RoomVersion,
    event: &'e E,
    state: &(impl RoomState + ?Sized),
    verifier: &(impl Verify + ?Sized),
) -> Result<Authorized<'e, E>, AuthorizeError> {
    check_type(event)?;
    let facts = StateFacts::new(version, state)?;
    let membership = member::decide(&version, event, &facts, state, verifier)?;
    Ok(Authorized { event, version, membership })
}

/// Decides on a change of membership that nobody has made an event of yet: could this user do it now?
///
/// # Errors
///
/// As [`authorize`]. A proposal always is a member event.
///
/// # Examples
///
/// See the [module's](self).
pub fn authorize_proposal<'p>(
    version: RoomVersion,
    proposal: &'p Proposal<'p>,
    state: &(impl RoomState + ?Sized),
) -> Result<Authorized<'p, Proposal<'p>>, AuthorizeError> {
    let facts = StateFacts::new(version, state)?;
    let membership = member::decide(&version, proposal, &facts, state, &NoVerifier)?;
    Ok(Authorized { event: proposal, version, membership })
}

fn check_type(event: &(impl Event + ?Sized)) -> Result<(), AuthorizeError> {
    if event.is_type(EventType::Member) { Ok(()) } else { Err(AuthorizeError::NotAMemberEvent) }
}
