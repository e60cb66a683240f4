//! The event that a resident server proposes to a knocking one: the answer to `make_knock`, and to the `make_leave` that
//! takes a knock back.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1make_knockroomiduserid>,
//! <https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1make_leaveroomiduserid>

mod received;

use std::cmp::Reverse;
use std::collections::BTreeSet;

use serde::{Serialize, Serializer};

pub use self::received::{BadTemplate, CheckedTemplate, Details, Expected, MAX_TEMPLATE_BYTES};
use crate::auth::{AuthorizeError, Rejection, Selection, authorize_proposal};
use crate::event::{Event, EventType, Membership, Proposal};
use crate::id::{EventId, RoomId, UserId};
use crate::json::{JsonText, push_string, push_strings};
use crate::room_version::{EventIdFormat, RoomVersion};
use crate::state::{NotLookedUp, Reads, RoomState};

pub use crate::event::MAX_PREV_EVENTS;

/// The highest depth that an event may have in the versions that have knocking: 2^53-1, as every integer in them.
pub const MAX_DEPTH: u64 = (1 << 53) - 1;

/// An event that the room ends in, as far as the host has seen (a forward extremity).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PrevEvent<'a> {
    /// Its ID.
    pub event_id: EventId<'a>,
    /// Its `depth`.
    pub depth: u64,
}

/// Why there is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// The user may not do so in the room.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// A snapshot lacks an entry that the template needs: the host's mistake.
    #[error(transparent)]
    NotLookedUp(#[from] NotLookedUp),
    /// Events of room versions 1 and 2 name others with their hashes, which is beyond this crate: there is no knocking in
    /// them.
    #[error("no templates in room version {0}")]
    OldEventFormat(RoomVersion),
    /// The host gave no event to come after.
    #[error("no previous events")]
    NoPrevEvents,
    /// An event of the state that the template has to name has no event ID, or one that is none.
    #[error("the `{event_type}` event of the state has no event ID")]
    NoEventId {
        /// The type of the event.
        event_type: EventType<'static>,
    },
}

/// A change of membership that is allowed in the room and waits for the sender's server to fill and to sign it. It has no
/// hashes, no signatures and no `unsigned`.
///
/// # Examples
///
/// ```
/// use matrix_knock::RoomVersion;
/// use matrix_knock::event::Pdu;
/// use matrix_knock::template::{PrevEvent, Template};
/// use matrix_knock::id::{EventId, RoomId, UserId};
/// use matrix_knock::state::StateMap;
///
/// let create =
///     r#"{"type":"m.room.create","state_key":"","sender":"@a:a.example","content":{},"event_id":"$create"}"#;
/// let rules = r#"{"type":"m.room.join_rules","state_key":"","sender":"@a:a.example",
///     "content":{"join_rule":"knock"},"event_id":"$rules"}"#;
/// let state = StateMap::from([Pdu::parse(create)?, Pdu::parse(rules)?]);
/// let template = Template::knock(
///     RoomVersion::V11,
///     RoomId::parse("!room:a.example")?,
///     UserId::parse("@kay:b.example")?,
///     &state,
///     &[PrevEvent { event_id: EventId::parse("$rules")?, depth: 6 }],
///     1_700_000_000_000,
/// )?;
/// assert_eq!(
///     template.to_response(),
///     concat!(
///         r#"{"event":{"auth_events":["$create","$rules"],"content":{"membership":"knock"},"depth":7,"#,
///         r#""origin_server_ts":1700000000000,"prev_events":["$rules"],"room_id":"!room:a.example","#,
///         r#""sender":"@kay:b.example","state_key":"@kay:b.example","type":"m.room.member"},"#,
///         r#""room_version":"11"}"#,
///     )
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pub(super) version: RoomVersion,
    pub(super) membership: Membership,
    pub(super) room_id: String,
    pub(super) sender: String,
    pub(super) target: String,
    pub(super) auth_events: Vec<String>,
    pub(super) prev_events: Vec<String>,
    pub(super) depth: u64,
    origin_server_ts: u64,
}

impl Template {
    /// Makes a template of a knock by `user_id`, if the state allows it.
    ///
    /// `prev_events` are the events that the room ends in; of more than [`MAX_PREV_EVENTS`] the deepest are taken, and
    /// one that stands twice counts once. `now` is the time in milliseconds since the Unix epoch, at most 2^53-1. The events of the
    /// state that the knock refers to must know their IDs.
    ///
    /// # Errors
    ///
    /// [`TemplateError`]: the rules refuse the knock, or the host gave too little.
    pub fn knock(
        version: RoomVersion,
        room_id: RoomId<'_>,
        user_id: UserId<'_>,
        state: &(impl RoomState + ?Sized),
        prev_events: &[PrevEvent<'_>],
        now: u64,
    ) -> Result<Self, TemplateError> {
        let knock = Proposal::of_oneself(user_id.as_str(), Membership::Knock);
        Self::of_proposal(version, &knock, room_id, state, prev_events, now)
    }

    /// Returns the entries of the state that [`knock`](Self::knock) reads.
    #[must_use]
    pub fn reads_of_knock(version: RoomVersion, user_id: UserId<'_>) -> Reads {
        let knock = Proposal::of_oneself(user_id.as_str(), Membership::Knock);
        Selection::of(version, &knock).reads()
    }

    /// Makes a template of any change of membership, if the state allows it: a join, a kick. `prev_events` and `now` as for
    /// [`knock`](Self::knock); the state is read at [`Selection::reads`] of the proposal.
    ///
    /// For knocks, leaves and answers there are the steps of [`resident`](crate::resident), which check more. Of what this
    /// makes, the host checks the rest: that it is in the room, the server ACL, the policy server.
    ///
    /// # Errors
    ///
    /// [`TemplateError`]: the rules refuse the change, or the host gave too little.
    ///
    /// # Examples
    ///
    /// ```
    /// use matrix_knock::RoomVersion;
    /// use matrix_knock::event::{Membership, Pdu, Proposal};
    /// use matrix_knock::id::{EventId, RoomId};
    /// use matrix_knock::state::StateMap;
    /// use matrix_knock::template::{PrevEvent, Template};
    ///
    /// let create =
    ///     r#"{"type":"m.room.create","state_key":"","sender":"@a:a.example","content":{},"event_id":"$create"}"#;
    /// let rules = r#"{"type":"m.room.join_rules","state_key":"","sender":"@a:a.example",
    ///     "content":{"join_rule":"public"},"event_id":"$rules"}"#;
    /// let state = StateMap::from([Pdu::parse(create)?, Pdu::parse(rules)?]);
    /// let join = Proposal::of_oneself("@kay:b.example", Membership::Join);
    /// let last = PrevEvent { event_id: EventId::parse("$rules")?, depth: 2 };
    /// let room_id = RoomId::parse("!r:a.example")?;
    /// let template = Template::of_proposal(RoomVersion::V11, &join, room_id, &state, &[last], 1_700_000_000_000)?;
    /// assert!(template.to_event().contains(r#""content":{"membership":"join"},"depth":3"#));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of_proposal(
        version: RoomVersion,
        change: &Proposal<'_>,
        room_id: RoomId<'_>,
        state: &(impl RoomState + ?Sized),
        prev_events: &[PrevEvent<'_>],
        now: u64,
    ) -> Result<Self, TemplateError> {
        match authorize_proposal(version, change, state) {
            // A proposal is a member event.
            Ok(_) | Err(AuthorizeError::NotAMemberEvent) => {}
            Err(AuthorizeError::Rejected(rejection)) => return Err(rejection.into()),
            Err(AuthorizeError::NotLookedUp(error)) => return Err(error.into()),
        }
        if version.rules().event_ids == EventIdFormat::InBody {
            return Err(TemplateError::OldEventFormat(version));
        }
        let prev_events = deepest(prev_events);
        let depth = prev_events.iter().map(|event| event.depth).max().ok_or(TemplateError::NoPrevEvents)?;
        Ok(Self {
            version,
            membership: change.membership,
            room_id: room_id.as_str().to_owned(),
            sender: change.sender.to_owned(),
            target: change.target.to_owned(),
            auth_events: auth_events(&Selection::of(version, change), state)?,
            prev_events: prev_events.iter().map(|event| event.event_id.as_str().to_owned()).collect(),
            depth: depth.saturating_add(1).min(MAX_DEPTH),
            origin_server_ts: now.min(MAX_DEPTH),
        })
    }

    /// The room version of the template.
    #[must_use]
    pub const fn version(&self) -> RoomVersion {
        self.version
    }

    /// The body of the answer to `make_knock` or `make_leave`: the event and the room version, as canonical JSON.
    #[must_use]
    pub fn to_response(&self) -> String {
        format!(r#"{{"event":{},"room_version":"{}"}}"#, self.to_event(), self.version)
    }

    /// The event without hashes and signatures, as canonical JSON.
    #[must_use]
    pub fn to_event(&self) -> String {
        let mut out = String::from(r#"{"auth_events":"#);
        push_strings(&mut out, &self.auth_events);
        out.push_str(&format!(r#","content":{{"membership":"{}"}}"#, self.membership));
        out.push_str(&format!(r#","depth":{},"origin_server_ts":{}"#, self.depth, self.origin_server_ts));
        out.push_str(r#","prev_events":"#);
        push_strings(&mut out, &self.prev_events);
        for (key, value) in [("room_id", &self.room_id), ("sender", &self.sender), ("state_key", &self.target)] {
            out.push_str(&format!(r#","{key}":"#));
            push_string(&mut out, value);
        }
        out.push_str(r#","type":"m.room.member"}"#);
        out
    }
}

/// The body of the answer.
impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        JsonText(&self.to_response()).serialize(serializer)
    }
}

fn auth_events(selection: &Selection<'_>, state: &(impl RoomState + ?Sized)) -> Result<Vec<String>, TemplateError> {
    let mut ids = Vec::new();
    for (event_type, state_key) in selection.auth_events() {
        let Some(event) = state.event(event_type, state_key)? else { continue };
        let id = event.event_id().filter(|id| EventId::parse(id).is_ok());
        ids.push(id.ok_or(TemplateError::NoEventId { event_type })?.to_owned());
    }
    Ok(ids)
}

/// The deepest events, each once, in the order given.
fn deepest<'a>(events: &[PrevEvent<'a>]) -> Vec<PrevEvent<'a>> {
    let mut seen = BTreeSet::new();
    let mut events: Vec<_> = events.iter().copied().filter(|event| seen.insert(event.event_id)).enumerate().collect();
    events.sort_by_key(|(_, event)| Reverse(event.depth));
    events.truncate(MAX_PREV_EVENTS);
    events.sort_by_key(|(position, _)| *position);
    events.into_iter().map(|(_, event)| event).collect()
}
