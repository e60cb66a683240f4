//! Everything that keeps a user from knocking or joining, not only the first refusal.

use std::borrow::Cow;
use std::fmt;

use super::{AclDenial, AuthorizeError, Rejection, Rule, Selection, ServerAcl, authorize_proposal};
use crate::event::{Event, EventType, MemberFacts, Membership, Proposal};
use crate::id::UserId;
use crate::room_version::RoomVersion;
use crate::state::{NotLookedUp, Reads, RoomState};

/// Something that keeps a user from knocking or joining, and the entry of the state that says so.
///
/// `Display` names the rule as [`Rejection`] does. A rule without a number (about the join rule, in
/// a version that has no knocking) is told by its reason alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle<'u> {
    cause: ObstacleCause,
    event_type: EventType<'static>,
    state_key: &'u str,
}

/// Which check an [`Obstacle`] fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObstacleCause {
    /// The server ACL of the room denies the user's server.
    ServerAcl(AclDenial),
    /// An authorization rule refuses the membership.
    Rule(Rejection),
}

impl<'u> Obstacle<'u> {
    /// Returns which check fails.
    #[must_use]
    pub const fn cause(&self) -> &ObstacleCause {
        &self.cause
    }

    /// Returns the refusal, if an authorization rule refuses.
    #[must_use]
    pub const fn rejection(&self) -> Option<Rejection> {
        match &self.cause {
            ObstacleCause::ServerAcl(_) => None,
            ObstacleCause::Rule(rejection) => Some(*rejection),
        }
    }

    /// Returns the type of the state event that would have to change. The state may have no such
    /// event: a room without join rules counts as `invite`.
    #[must_use]
    pub const fn event_type(&self) -> EventType<'static> {
        self.event_type
    }

    /// Returns the state key of that event: the user's ID for their membership, else empty.
    #[must_use]
    pub const fn state_key(&self) -> &'u str {
        self.state_key
    }
}

impl fmt::Display for Obstacle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            ObstacleCause::ServerAcl(denial) => write!(f, "{denial}"),
            ObstacleCause::Rule(rejection) if rejection.number().is_empty() => f.write_str(&rejection.reason()),
            ObstacleCause::Rule(rejection) => write!(f, "{rejection}"),
        }
    }
}

/// Returns everything that keeps the user from knocking in this state: the denials of the server
/// ACL, then the refusing rules in the order in which the decision names them.
///
/// Empty if and only if [`server_is_allowed`](super::server_is_allowed) lets the user's server take
/// part and [`authorize_proposal`] allows the knock. Otherwise the first rule is the one that
/// `authorize_proposal` names. For explanations: it may ask the decision up to six times. At most 4
/// rules and 18 denials.
///
/// No rule is written a second time here: what a refusing rule has read is replaced by what would
/// satisfy it (the room federates, the version has knocking, the join rule is `knock`, the user has
/// no membership), and the decision is asked again.
///
/// Whether a homeserver can answer for the room, and what it forbids on its own, is not looked at:
/// see [`MakeKnock::check`](crate::resident::MakeRequest::check).
///
/// <https://spec.matrix.org/v1.19/server-server-api/#server-access-control-lists-acls>,
/// <https://spec.matrix.org/v1.19/rooms/v12/#authorisation-rules>
///
/// # Errors
///
/// [`NotLookedUp`] if a snapshot lacks an entry of [`reads_of_obstacles`].
///
/// # Examples
///
/// ```
/// use matrix_knock::RoomVersion;
/// use matrix_knock::auth::obstacles_to_knock;
/// use matrix_knock::event::Pdu;
/// use matrix_knock::id::UserId;
/// use matrix_knock::state::StateMap;
///
/// let create = r#"{"type":"m.room.create","state_key":"","sender":"@alice:a.example",
///     "content":{}}"#;
/// let acl = r#"{"type":"m.room.server_acl","state_key":"","sender":"@alice:a.example",
///     "content":{"allow":["*"],"deny":["*.evil.example"]}}"#;
/// let ban = r#"{"type":"m.room.member","state_key":"@kay:b.evil.example",
///     "sender":"@alice:a.example","content":{"membership":"ban"}}"#;
/// let state = StateMap::from([Pdu::parse(create)?, Pdu::parse(acl)?, Pdu::parse(ban)?]);
///
/// let kay = UserId::parse("@kay:b.evil.example")?;
/// let obstacles = obstacles_to_knock(RoomVersion::V11, kay, &state)?;
/// let said: Vec<_> = obstacles.iter().map(ToString::to_string).collect();
/// assert_eq!(said, [
///     "the entry `*.evil.example` of `deny` fits the server",
///     "rule 4.7.1 of room version 11: the join rule does not let anybody knock",
///     "rule 4.7.4 of room version 11: the user is banned, invited or joined",
/// ]);
/// let events: Vec<_> = obstacles.iter().map(|obstacle| obstacle.event_type().as_str()).collect();
/// assert_eq!(events, ["m.room.server_acl", "m.room.join_rules", "m.room.member"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn obstacles_to_knock<'u>(
    version: RoomVersion,
    user: UserId<'u>,
    state: &(impl RoomState + ?Sized),
) -> Result<Vec<Obstacle<'u>>, NotLookedUp> {
    obstacles(version, Proposal::of_oneself(user.as_str(), Membership::Knock), user, state)
}

/// Returns everything that keeps the user from joining in this state by themselves, as
/// [`obstacles_to_knock`] does for a knock.
///
/// By themselves: no member vouches for them. Where nothing but [`Rule::JoinNotAuthorized`] is in
/// the way, a member may. At most 4 rules and 18 denials.
///
/// # Errors
///
/// As [`obstacles_to_knock`].
pub fn obstacles_to_join<'u>(
    version: RoomVersion,
    user: UserId<'u>,
    state: &(impl RoomState + ?Sized),
) -> Result<Vec<Obstacle<'u>>, NotLookedUp> {
    obstacles(version, Proposal::of_oneself(user.as_str(), Membership::Join), user, state)
}

/// Returns the five entries of the state that [`obstacles_to_knock`] and [`obstacles_to_join`]
/// read.
#[must_use]
pub fn reads_of_obstacles(version: RoomVersion, user: UserId<'_>) -> Reads {
    // A join selects the same entries as a knock.
    let knock = Proposal::of_oneself(user.as_str(), Membership::Knock);
    Reads::of_types([EventType::ServerAcl]).and(&Selection::of(version, &knock).reads())
}

fn obstacles<'u>(
    version: RoomVersion,
    proposal: Proposal<'u>,
    user: UserId<'u>,
    state: &(impl RoomState + ?Sized),
) -> Result<Vec<Obstacle<'u>>, NotLookedUp> {
    let denials = match state.event(EventType::ServerAcl, "")? {
        Some(acl) => ServerAcl::read(acl.content()).denials(user.server_name()),
        None => Vec::new(),
    };
    let of_acl =
        |denial| Obstacle { cause: ObstacleCause::ServerAcl(denial), event_type: EventType::ServerAcl, state_key: "" };
    let mut found: Vec<Obstacle<'u>> = denials.into_iter().map(of_acl).collect();

    let mut cleared = Cleared { state, user: user.as_str(), create: false, join_rule: None, membership: false };
    let mut asked = version;
    loop {
        let rejection = match authorize_proposal(asked, &proposal, &cleared) {
            // A proposal is a member event.
            Ok(_) | Err(AuthorizeError::NotAMemberEvent) => return Ok(found),
            Err(AuthorizeError::NotLookedUp(error)) => return Err(error),
            Err(AuthorizeError::Rejected(rejection)) => rejection,
        };
        let cause = ObstacleCause::Rule(Rejection::new(rejection.rule(), version, rejection.malformed()));
        let (event_type, state_key, is_new) = match rejection.rule() {
            Rule::NoCreateEvent | Rule::NotFederated => {
                (EventType::Create, "", !std::mem::replace(&mut cleared.create, true))
            }
            Rule::UnknownMembership => {
                let lacked_knocking = !asked.rules().knocking;
                asked = asked.with_knocking();
                (EventType::Create, "", lacked_knocking)
            }
            Rule::KnockJoinRule => {
                let before = cleared.join_rule.replace(r#"{"join_rule":"knock"}"#);
                (EventType::JoinRules, "", before.is_none())
            }
            Rule::JoinRule | Rule::JoinNotAuthorized => {
                let before = cleared.join_rule.replace(r#"{"join_rule":"public"}"#);
                (EventType::JoinRules, "", before.is_none())
            }
            Rule::KnockMembership | Rule::JoinWhileBanned => {
                (EventType::Member, user.as_str(), !std::mem::replace(&mut cleared.membership, true))
            }
            // No other rule refuses what users do with their own membership.
            _ => (EventType::Member, user.as_str(), false),
        };
        found.push(Obstacle { cause, event_type, state_key });
        // What was cleared does not refuse again. If it did, there would be no more to find out.
        if !is_new {
            return Ok(found);
        }
    }
}

/// A state in which what refused before is out of the way.
struct Cleared<'c, S: ?Sized> {
    state: &'c S,
    user: &'c str,
    /// The create event is by the user: their server takes part.
    create: bool,
    /// The content of the join rules.
    join_rule: Option<&'static str>,
    /// The user has no membership.
    membership: bool,
}

impl<S: RoomState + ?Sized> RoomState for Cleared<'_, S> {
    type Event<'s>
        = Entry<'s, S::Event<'s>>
    where
        Self: 's;

    fn event(&self, event_type: EventType<'_>, state_key: &str) -> Result<Option<Self::Event<'_>>, NotLookedUp> {
        let put = |event_type, content| Ok(Some(Entry::Put { event_type, sender: self.user, content }));
        match (event_type, self.join_rule) {
            (EventType::Create, _) if self.create => put(EventType::Create, "{}"),
            (EventType::JoinRules, Some(content)) => put(EventType::JoinRules, content),
            (EventType::Member, _) if self.membership && state_key == self.user => Ok(None),
            _ => Ok(self.state.event(event_type, state_key)?.map(Entry::Known)),
        }
    }
}

/// An entry of the state as it is, or what was put in its place.
enum Entry<'c, E> {
    Known(E),
    Put { event_type: EventType<'static>, sender: &'c str, content: &'static str },
}

impl<E: Event> Event for Entry<'_, E> {
    fn event_type(&self) -> Cow<'_, str> {
        match self {
            Self::Known(event) => event.event_type(),
            Self::Put { event_type, .. } => event_type.as_str().into(),
        }
    }

    fn state_key(&self) -> Option<&str> {
        match self {
            Self::Known(event) => event.state_key(),
            Self::Put { .. } => Some(""),
        }
    }

    fn sender(&self) -> &str {
        match self {
            Self::Known(event) => event.sender(),
            Self::Put { sender, .. } => sender,
        }
    }

    fn content(&self) -> &str {
        match self {
            Self::Known(event) => event.content(),
            Self::Put { content, .. } => content,
        }
    }

    fn room_id(&self) -> Option<&str> {
        match self {
            Self::Known(event) => event.room_id(),
            Self::Put { .. } => None,
        }
    }

    fn event_id(&self) -> Option<&str> {
        match self {
            Self::Known(event) => event.event_id(),
            Self::Put { .. } => None,
        }
    }

    fn sole_prev_event(&self) -> Option<&str> {
        match self {
            Self::Known(event) => event.sole_prev_event(),
            Self::Put { .. } => None,
        }
    }

    fn member_facts(&self) -> MemberFacts {
        match self {
            Self::Known(event) => event.member_facts(),
            Self::Put { content, .. } => MemberFacts::of(content),
        }
    }
}
