//! Which entries of a room's state an event depends on.

use std::borrow::Cow;
use std::iter::once;

use crate::event::content::member::MemberContent;
use crate::event::content::third_party_invite::Signed;
use crate::event::{Event, EventType, Membership};
use crate::json::{Field, Str};
use crate::room_version::RoomVersion;
use crate::state::Reads;

/// The entries of a room's state that an `m.room.member` event refers to, and that a decision on it may read: at most
/// six, whatever the size of the room.
///
/// An event whose content is malformed selects what is left to select; it is refused anyway.
///
/// <https://spec.matrix.org/v1.19/server-server-api/#auth-events-selection>
///
/// # Examples
///
/// ```
/// use matrix_knock::RoomVersion;
/// use matrix_knock::auth::Selection;
/// use matrix_knock::event::{EventType, Membership, Proposal};
///
/// let knock = Proposal::of_oneself("@kay:b.example", Membership::Knock);
/// let selection = Selection::of(RoomVersion::V12, &knock);
/// let read: Vec<_> = selection.state().collect();
/// assert_eq!(
///     read,
///     [
///         (EventType::Create, ""),
///         (EventType::PowerLevels, ""),
///         (EventType::Member, "@kay:b.example"),
///         (EventType::JoinRules, ""),
///     ],
/// );
/// // Since version 12 the room ID stands for the create event.
/// assert!(selection.auth_events().eq(read.into_iter().skip(1)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection<'e> {
    version: RoomVersion,
    sender: &'e str,
    target: Option<&'e str>,
    join_rules: bool,
    third_party_invite: Option<Cow<'e, str>>,
    authorizing_user: Option<Cow<'e, str>>,
}

impl<'e> Selection<'e> {
    /// What an `m.room.member` event selects.
    #[must_use]
    pub fn of(version: RoomVersion, event: &'e (impl Event + ?Sized)) -> Self {
        let facts = event.member_facts();
        let membership = facts.membership();
        // Nearly all have neither.
        let content = match facts.has_authorizing_user() || facts.has_third_party_invite() {
            true => MemberContent::read(event.content()).unwrap_or_default(),
            false => MemberContent::default(),
        };
        let sender = event.sender();
        let target = event.state_key().filter(|target| *target != sender);
        let third_party_invite = match (membership, content.third_party_invite) {
            (Some(Membership::Invite), Field::Is(invite)) => {
                Signed::read(invite).and_then(|signed| signed.token.known().map(Str::text))
            }
            _ => None,
        };
        let authorizing_user = match (membership, content.authorizing_user) {
            (Some(Membership::Join), Field::Is(user)) if version.rules().restricted_join_rule => {
                Some(user.text()).filter(|user| *user != sender && Some(&**user) != target)
            }
            _ => None,
        };
        Self {
            version,
            sender,
            target,
            join_rules: matches!(membership, Some(Membership::Join | Membership::Invite | Membership::Knock)),
            third_party_invite,
            authorizing_user,
        }
    }

    /// What the event's `auth_events` are chosen from: pairs of event type and state key, none twice. An entry that the
    /// state does not have is left out of `auth_events`.
    pub fn auth_events(&self) -> impl Iterator<Item = (EventType<'static>, &str)> {
        let create = (!self.version.rules().create_event_is_room_id).then_some((EventType::Create, ""));
        create.into_iter().chain(self.others())
    }

    /// What [`authorize`](super::authorize) may read: the same, and always the create event.
    pub fn state(&self) -> impl Iterator<Item = (EventType<'static>, &str)> {
        once((EventType::Create, "")).chain(self.others())
    }

    /// The entries of [`state`](Self::state), to be fetched.
    #[must_use]
    pub fn reads(&self) -> Reads {
        self.state().collect()
    }

    fn others(&self) -> impl Iterator<Item = (EventType<'static>, &str)> {
        let member = |user| (EventType::Member, user);
        once((EventType::PowerLevels, ""))
            .chain(once(member(self.sender)))
            .chain(self.target.map(member))
            .chain(self.join_rules.then_some((EventType::JoinRules, "")))
            .chain(self.third_party_invite.as_deref().map(|token| (EventType::ThirdPartyInvite, token)))
            .chain(self.authorizing_user.as_deref().map(member))
    }
}
