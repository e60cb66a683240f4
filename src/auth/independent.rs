//! The rules about an event itself and the events that it refers to, whatever the state of the room is.

use std::collections::BTreeSet;

use super::{AuthorizeError, Rejection, Rule, Selection, check_type};
use crate::event::Event;
use crate::event::content::member::MemberContent;
use crate::id::UserId;
use crate::json::Field;
use crate::room_version::RoomVersion;

/// Whether an event was itself allowed when it came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuthStatus {
    /// It passed the rules (it may have been soft-failed).
    Accepted,
    /// It was rejected by the rules.
    Rejected,
}

/// What is known of an event that another one refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AuthEvent<'a> {
    /// Its ID, as the host computed it.
    pub event_id: &'a str,
    /// Its `type`.
    pub event_type: &'a str,
    /// Its `state_key`, if it has one.
    pub state_key: Option<&'a str>,
    /// Its `room_id`; none in the create event of a version 12 room.
    pub room_id: Option<&'a str>,
    /// How it came in.
    pub status: AuthStatus,
}

/// What a host knows of the surroundings of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence<'a> {
    /// The events that `auth_events` names, each of them, in that order.
    pub auth_events: &'a [AuthEvent<'a>],
    /// Since v12: the create event of the room, if the host knows it. Not asked for before.
    pub create_event: Option<AuthEvent<'a>>,
    /// The servers of which the event has a signature that was verified.
    pub signed_by: &'a [&'a str],
}

/// Proof that an event passed [`check_state_independent`]. It is made nowhere else.
#[derive(Debug)]
pub struct StateIndependent<'e, E: ?Sized> {
    event: &'e E,
    version: RoomVersion,
}

impl<'e, E: ?Sized> StateIndependent<'e, E> {
    /// The event that passed.
    #[must_use]
    pub const fn event(&self) -> &'e E {
        self.event
    }

    /// The room version by whose rules it passed.
    #[must_use]
    pub const fn version(&self) -> RoomVersion {
        self.version
    }
}

impl<E: ?Sized> Clone for StateIndependent<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E: ?Sized> Copy for StateIndependent<'_, E> {}

/// Decides by the rules that do not depend on the state of the room: those about `auth_events`, about the room ID
/// (v12), and about the signature of an authorizing user's server (v8 on).
///
/// That the sender's own server has signed is no matter of these rules: it is checked with the event's signatures.
///
/// # Errors
///
/// [`AuthorizeError::NotAMemberEvent`] for an event of another type; [`AuthorizeError::Rejected`] with the first rule,
/// in the order of the specification, that refuses.
///
/// # Examples
///
/// ```
/// use matrix_knock::RoomVersion;
/// use matrix_knock::auth::{AuthEvent, Evidence, Rule, AuthStatus, check_state_independent};
/// use matrix_knock::event::Pdu;
///
/// let knock = Pdu::parse(
///     r#"{"type":"m.room.member","state_key":"@k:b.example","sender":"@k:b.example","room_id":"!r:a.example",
///         "content":{"membership":"knock"},"auth_events":["$create","$name"],"prev_events":["$name"]}"#,
/// )?;
/// let create = AuthEvent {
///     event_id: "$create",
///     event_type: "m.room.create",
///     state_key: Some(""),
///     room_id: Some("!r:a.example"),
///     status: AuthStatus::Accepted,
/// };
/// let name = AuthEvent { event_id: "$name", event_type: "m.room.name", ..create };
/// let evidence = Evidence { auth_events: &[create, name], create_event: None, signed_by: &["b.example"] };
/// let refused = check_state_independent(RoomVersion::V10, &knock, &evidence).unwrap_err();
/// assert_eq!(refused.rejection().map(|rejection| rejection.rule()), Some(Rule::UnselectedAuthEvent));
/// # Ok::<(), matrix_knock::event::PduError>(())
/// ```
pub fn check_state_independent<'e, E: Event + ?Sized>(
    version: RoomVersion,
    event: &'e E,
    evidence: &Evidence<'_>,
) -> Result<StateIndependent<'e, E>, AuthorizeError> {
    check_type(event)?;
    match refusing(version, event, evidence) {
        Some(rule) => Err(Rejection::new(rule, version, None).into()),
        None => Ok(StateIndependent { event, version }),
    }
}

/// The first rule that refuses.
fn refusing(version: RoomVersion, event: &(impl Event + ?Sized), evidence: &Evidence<'_>) -> Option<Rule> {
    let by_room_id = version.rules().create_event_is_room_id;
    if by_room_id && !is_create_event_of(event.room_id(), evidence.create_event) {
        return Some(Rule::NoCreateEvent);
    }
    let entries = evidence.auth_events;
    let selection = Selection::of(version, event);
    let is_selected = |entry: &AuthEvent<'_>| {
        selection.auth_events().any(|(event_type, key)| event_type == *entry.event_type && entry.state_key == Some(key))
    };
    if has_duplicates(entries) {
        return Some(Rule::DuplicateAuthEvents);
    }
    if !entries.iter().all(is_selected) {
        return Some(Rule::UnselectedAuthEvent);
    }
    if entries.iter().any(|entry| entry.status == AuthStatus::Rejected) {
        return Some(Rule::RejectedAuthEvent);
    }
    if !by_room_id && !entries.iter().any(is_create) {
        return Some(Rule::NoCreateEvent);
    }
    if entries.iter().any(|entry| entry.room_id.is_none() || entry.room_id != event.room_id()) {
        return Some(Rule::AuthEventOfOtherRoom);
    }
    if event.state_key().is_none() {
        return Some(Rule::MissingStateKey);
    }
    authorizing_server(version, event, evidence.signed_by)
}

/// Since v8. The rules before this one are checked again with those that depend on the state.
fn authorizing_server(version: RoomVersion, event: &(impl Event + ?Sized), signed_by: &[&str]) -> Option<Rule> {
    if !version.rules().restricted_join_rule {
        return None;
    }
    let facts = event.member_facts();
    if facts.membership_field().is_err() {
        return Some(Rule::MissingMembership);
    }
    if !facts.has_authorizing_user() {
        return None;
    }
    let signed = match MemberContent::read(event.content()).unwrap_or_default().authorizing_user {
        // Nobody has signed for what is no user.
        Field::Missing | Field::Malformed => false,
        Field::Is(user) => UserId::parse(&user.text())
            .is_ok_and(|user| signed_by.iter().any(|server| *server == user.server_name().as_str())),
    };
    (!signed).then_some(Rule::AuthorizingServerSignature)
}

fn is_create(entry: &AuthEvent<'_>) -> bool {
    entry.event_type == "m.room.create" && entry.state_key == Some("")
}

/// v12: whether the room ID is that of an accepted create event, with `!` for `$`.
fn is_create_event_of(room_id: Option<&str>, create_event: Option<AuthEvent<'_>>) -> bool {
    let Some(create) = create_event.filter(|entry| is_create(entry) && entry.status == AuthStatus::Accepted) else {
        return false;
    };
    let opaque = create.event_id.strip_prefix('$');
    opaque.is_some() && room_id.and_then(|room_id| room_id.strip_prefix('!')) == opaque
}

fn has_duplicates(entries: &[AuthEvent<'_>]) -> bool {
    let mut seen = BTreeSet::new();
    !entries.iter().all(|entry| seen.insert((entry.event_type, entry.state_key)))
}
