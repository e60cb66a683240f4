//! Joins of rooms whose join rule is `restricted` or `knock_restricted`: who may join outright
//! instead of knocking, which user of this server can authorize it, and the errors of a join.
//!
//! Nothing in here makes a join. Before a knock the host learns whether the user could join; at
//! `make_join` and `send_join` it learns what to answer.
//!
//! | the user | who [can authorize](authorizing_user) | a join by way of this server |
//! | --- | --- | --- |
//! | is invited or joined, or the room is `public`: [`JoinBy::Rules`] | | is allowed |
//! | is joined to a room of the conditions: [`JoinBy::Condition`] | somebody | is allowed |
//! | is joined to a room of the conditions | nobody | 400 `M_UNABLE_TO_GRANT_JOIN` |
//! | may be joined to one: [`MayJoin::NotKnown`] | | 400 `M_UNABLE_TO_AUTHORISE_JOIN` |
//! | is joined to none, or a rule refuses: [`MayJoin::No`] | | 403 `M_FORBIDDEN` |
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#restricted-rooms>,
//! <https://spec.matrix.org/v1.19/server-server-api/#restricted-rooms>
//!
//! # Examples
//!
//! A user wants to knock, and need not:
//!
//! ```
//! use matrix_knock::RoomVersion;
//! use matrix_knock::event::Pdu;
//! use matrix_knock::id::{RoomId, UserId};
//! use matrix_knock::restricted_join::{JoinBy, JoinCheck, RoomMembership};
//! use matrix_knock::state::StateMap;
//!
//! let create = r#"{"type":"m.room.create","state_key":"","sender":"@alice:a.example",
//!     "content":{}}"#;
//! let join_rules = r#"{"type":"m.room.join_rules","state_key":"","sender":"@alice:a.example",
//!     "content":{"join_rule":"knock_restricted","allow":[
//!         {"type":"org.example.moon_phase"},
//!         {"type":"m.room_membership","room_id":"!club:a.example"}]}}"#;
//! let state = StateMap::from([Pdu::parse(create)?, Pdu::parse(join_rules)?]);
//!
//! let check = JoinCheck::new(RoomVersion::V11, UserId::parse("@kay:b.example")?, &state)?;
//! let club = RoomId::parse("!club:a.example")?;
//! assert_eq!(check.rooms(), [club]);
//!
//! let answer = check.answer(|_| RoomMembership::Joined);
//! assert_eq!(answer.join_instead(), Some(JoinBy::Condition(club)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod conditions;
mod refusal;

pub(crate) use self::conditions::joined_to_any;
pub use self::conditions::{AllowConditions, MAX_CONDITION_ROOMS, RoomMembership};
pub use self::refusal::RefusedJoin;
use crate::auth::{AuthorizeError, CompiledRoom, Rejection, Rule, Selection, authorize_proposal};
use crate::event::{Event, EventType, Membership, Proposal};
use crate::id::{OwnedRoomId, RoomId, UserId};
use crate::room_version::RoomVersion;
use crate::state::{NotLookedUp, Reads, RoomState};

/// Whether a user may join a room, as far as this server can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MayJoin<'c> {
    /// They may.
    Yes(JoinBy<'c>),
    /// They may not: a rule refuses, or they are joined to no room of the conditions.
    No,
    /// This server cannot tell: no room of the conditions is known to have them, and at least one
    /// is not known here.
    NotKnown,
}

/// By what a user may join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JoinBy<'c> {
    /// By the rules as they are: the room is public, or the user is invited or joined already.
    Rules,
    /// By being joined to this room, the first of the conditions that is met. A user with the power
    /// to invite has to authorize the join: see [`authorizing_user`].
    Condition(RoomId<'c>),
}

impl<'c> MayJoin<'c> {
    /// Returns by what the user may join instead of knocking, for the host to offer before it
    /// starts a knock. `None` leaves the knock as it is.
    ///
    /// It changes nothing of what is decided on the knock.
    #[must_use]
    pub const fn join_instead(self) -> Option<JoinBy<'c>> {
        match self {
            Self::Yes(by) => Some(by),
            Self::No | Self::NotKnown => None,
        }
    }

    /// Returns what a resident server does with a join: the user to write into
    /// `join_authorised_via_users_server`, or `None` if the join needs nobody's authorization.
    ///
    /// `authorizing_user` is what [`authorizing_user`] has found. It is looked at for
    /// [`JoinBy::Condition`] only.
    ///
    /// # Errors
    ///
    /// [`RefusedJoin`] has the answer.
    ///
    /// # Examples
    ///
    /// ```
    /// use matrix_knock::id::{RoomId, UserId};
    /// use matrix_knock::restricted_join::{JoinBy, MayJoin, RefusedJoin};
    ///
    /// let alice = UserId::parse("@alice:a.example")?;
    /// let by_condition = MayJoin::Yes(JoinBy::Condition(RoomId::parse("!club:a.example")?));
    /// assert_eq!(by_condition.grant(Some(alice)), Ok(Some(alice)));
    /// assert_eq!(by_condition.grant(None), Err(RefusedJoin::UnableToGrant));
    /// assert_eq!(MayJoin::NotKnown.grant(Some(alice)), Err(RefusedJoin::UnableToAuthorise));
    /// # Ok::<(), matrix_knock::id::IdError>(())
    /// ```
    pub fn grant<'u>(self, authorizing_user: Option<UserId<'u>>) -> Result<Option<UserId<'u>>, RefusedJoin> {
        match self {
            Self::Yes(JoinBy::Rules) => Ok(None),
            Self::Yes(JoinBy::Condition(_)) => authorizing_user.map(Some).ok_or(RefusedJoin::UnableToGrant),
            Self::No => Err(RefusedJoin::Forbidden),
            Self::NotKnown => Err(RefusedJoin::UnableToAuthorise),
        }
    }
}

/// Whether a user may join a room that this server is in: what the rules say, and the conditions
/// that are left to look at.
///
/// The server ACL and whether the server is resident are not looked at, as in
/// [`authorize_proposal`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinCheck {
    refused: Option<Rejection>,
    /// Empty unless the rules refuse for want of an authorizing user only.
    conditions: AllowConditions,
}

impl JoinCheck {
    /// Returns the entries of the state that [`new`](Self::new) reads.
    #[must_use]
    pub fn reads(version: RoomVersion, user: UserId<'_>) -> Reads {
        let join = Proposal::of_oneself(user.as_str(), Membership::Join);
        Selection::of(version, &join).reads()
    }

    /// Asks the authorization rules whether the user may join, and reads the conditions if all that
    /// is missing is an authorizing user. So it is in rooms with the join rule `restricted` (since
    /// v8) or `knock_restricted` (since v10); in others no condition counts.
    ///
    /// # Errors
    ///
    /// [`NotLookedUp`] if a snapshot lacks an entry of [`reads`](Self::reads).
    pub fn new(version: RoomVersion, user: UserId<'_>, state: &(impl RoomState + ?Sized)) -> Result<Self, NotLookedUp> {
        let join = Proposal::of_oneself(user.as_str(), Membership::Join);
        let refused = match authorize_proposal(version, &join, state) {
            Ok(_) => None,
            Err(AuthorizeError::Rejected(rejection)) => Some(rejection),
            Err(AuthorizeError::NotLookedUp(error)) => return Err(error),
            // A proposal is a member event.
            Err(AuthorizeError::NotAMemberEvent) => None,
        };
        let conditions = match refused {
            Some(rejection) if rejection.rule() == Rule::JoinNotAuthorized => AllowConditions::of(version, state)?,
            Some(_) | None => None,
        };
        Ok(Self { refused, conditions: conditions.unwrap_or_default() })
    }

    /// Returns the rule that refuses a join that nobody authorizes.
    #[must_use]
    pub const fn rejection(&self) -> Option<Rejection> {
        self.refused
    }

    /// Returns the rooms in which the user's membership counts, in the order of the conditions. At
    /// most [`MAX_CONDITION_ROOMS`], none twice; none if the conditions do not matter.
    #[must_use]
    pub fn rooms(&self) -> &[OwnedRoomId] {
        self.conditions.rooms()
    }

    /// Returns the answer. `look_up` is asked for one room after the other until the user is joined
    /// to one.
    #[must_use]
    pub fn answer(&self, look_up: impl FnMut(RoomId<'_>) -> RoomMembership) -> MayJoin<'_> {
        match self.refused {
            None => MayJoin::Yes(JoinBy::Rules),
            Some(_) => self.conditions.answer(look_up),
        }
    }

    /// Returns the answer as [`answer`](Self::answer) does, with an asynchronous look-up that can
    /// fail.
    ///
    /// # Errors
    ///
    /// The first error of the closure.
    pub async fn fetch<'c, X, F: Future<Output = Result<RoomMembership, X>>>(
        &'c self,
        look_up: impl FnMut(RoomId<'c>) -> F,
    ) -> Result<MayJoin<'c>, X> {
        match self.refused {
            None => Ok(MayJoin::Yes(JoinBy::Rules)),
            Some(_) => self.conditions.fetch(look_up).await,
        }
    }
}

/// The most users with the power to invite whose membership [`authorizing_user`] looks at.
pub const MAX_AUTHORIZING_USERS: usize = 20;

/// Returns the first of these users who can authorize a join: who has the level to invite and is
/// joined.
///
/// `users` are the users of this server that are joined to the room, as the host knows them; the
/// state is asked for the membership of those with the level, at most [`MAX_AUTHORIZING_USERS`].
/// The user's server has to sign the join, so a user of another server is of no use. `None` in
/// versions without restricted joins.
///
/// `room` was compiled from `state`, or from one that does not differ in
/// [what is compiled](CompiledRoom::COMPILED_FROM).
///
/// <https://spec.matrix.org/v1.19/rooms/v8/#authorization-rules>
///
/// # Errors
///
/// [`NotLookedUp`] if a snapshot lacks an entry of [`reads_of_authorizing_user`].
///
/// # Examples
///
/// ```
/// use matrix_knock::RoomVersion;
/// use matrix_knock::auth::CompiledRoom;
/// use matrix_knock::event::Pdu;
/// use matrix_knock::id::UserId;
/// use matrix_knock::restricted_join::{authorizing_user, reads_of_authorizing_user};
/// use matrix_knock::state::StateMap;
///
/// let create = r#"{"type":"m.room.create","state_key":"","sender":"@alice:a.example",
///     "content":{}}"#;
/// let levels = r#"{"type":"m.room.power_levels","state_key":"","sender":"@alice:a.example",
///     "content":{"invite":50,"users":{"@alice:a.example":100}}}"#;
/// let alice = r#"{"type":"m.room.member","state_key":"@alice:a.example",
///     "sender":"@alice:a.example","content":{"membership":"join"}}"#;
/// let state = StateMap::from([Pdu::parse(create)?, Pdu::parse(levels)?, Pdu::parse(alice)?]);
///
/// let room = CompiledRoom::compile(RoomVersion::V11, &state)?;
/// let users = [UserId::parse("@bob:a.example")?, UserId::parse("@alice:a.example")?];
/// assert_eq!(reads_of_authorizing_user(&room, users).len(), 1);
/// assert_eq!(authorizing_user(&room, &state, users)?, Some(users[1]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn authorizing_user<'u>(
    room: &CompiledRoom,
    state: &(impl RoomState + ?Sized),
    users: impl IntoIterator<Item = UserId<'u>>,
) -> Result<Option<UserId<'u>>, NotLookedUp> {
    for user in with_the_level(room, users) {
        let member = state.event(EventType::Member, user.as_str())?;
        if member.and_then(|member| member.member_facts().membership()) == Some(Membership::Join) {
            return Ok(Some(user));
        }
    }
    Ok(None)
}

/// Returns the entries of the state that [`authorizing_user`] reads: the memberships of those of
/// the users who have the level to invite, at most [`MAX_AUTHORIZING_USERS`].
#[must_use]
pub fn reads_of_authorizing_user<'u>(room: &CompiledRoom, users: impl IntoIterator<Item = UserId<'u>>) -> Reads {
    with_the_level(room, users).map(|user| (EventType::Member, user.as_str())).collect()
}

fn with_the_level<'u>(
    room: &CompiledRoom,
    users: impl IntoIterator<Item = UserId<'u>>,
) -> impl Iterator<Item = UserId<'u>> {
    let knows_the_rule = room.version().rules().restricted_join_rule;
    let suffices = move |user: &UserId<'_>| knows_the_rule && room.power_suffices_to_invite(user.as_str());
    users.into_iter().filter(suffices).take(MAX_AUTHORIZING_USERS)
}
