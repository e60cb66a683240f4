//! A stretch of the timeline, decided at once.

use std::collections::BTreeMap;

use super::{
    EventVisibility, HistoryVisibility, JoinedLater, UserAtEvent, VisibilityAtEvent, membership, own_membership,
};
use crate::event::{Event, EventType, Membership};
use crate::id::{ServerName, UserId, domain};

/// A stretch of a room's timeline: what holds at its start, and what comes after its end.
///
/// The events are given in order, the oldest first, each of them accepted. The state before each of
/// them has to be the state before the one in front of it, changed by that one: visibility and
/// membership are followed from event to event. A page of `/messages` that was read backwards is
/// turned round first. Where the room's graph forks and the order of the timeline is another, the
/// host decides event by event, by the state that it has stored for each
/// ([`VisibilityAtEvent::read`], [`UserAtEvent::read`]).
///
/// Each event is looked at once. There are two allocations for a stretch, and for a server one more
/// for each of its users; none for an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stretch {
    /// The visibility before the first event.
    pub visibility: HistoryVisibility,
    /// Whether the user (for a server: any of its users) joined at any point after the last event.
    ///
    /// For a user who is in the room at the end of the stretch both values come to the same.
    pub joined_after: JoinedLater,
}

impl Stretch {
    /// Decides for each event whether this user may see it. `membership` is the user's before the
    /// first event, `Leave` without a member event.
    pub fn for_user<E: Event>(
        self,
        user: UserId<'_>,
        membership: Membership,
        events: impl IntoIterator<Item = E>,
    ) -> Vec<EventVisibility> {
        self.decide(&mut OneUser { user, membership }, events)
    }

    /// Decides for each event whether this server may see it: if any of its users may, as
    /// [`VisibilityAtEvent::for_server`] has it. `memberships` are those of the server's users
    /// before the first event; users of other servers are passed over.
    pub fn for_server<'m, E: Event>(
        self,
        server: ServerName<'_>,
        memberships: impl IntoIterator<Item = (UserId<'m>, Membership)>,
        events: impl IntoIterator<Item = E>,
    ) -> Vec<EventVisibility> {
        let mut users = UsersOfServer { server, memberships: BTreeMap::new(), joined: 0, invited: 0 };
        for (user, membership) in memberships {
            users.put(user.as_str(), membership);
        }
        self.decide(&mut users, events)
    }

    fn decide<E: Event>(
        self,
        audience: &mut impl Audience,
        events: impl IntoIterator<Item = E>,
    ) -> Vec<EventVisibility> {
        let events = events.into_iter();
        let mut visibility = self.visibility;
        // Both answers of each event: who joined later is not known before the end.
        let mut both = Vec::with_capacity(events.size_hint().0);
        let mut before_last_join = 0;
        for event in events {
            let room = VisibilityAtEvent { before: visibility, after: HistoryVisibility::of_event(&event) };
            let (before, after) = audience.at(&event);
            if after == Some(Membership::Join) {
                before_last_join = both.len();
            }
            let decide = |joined_later| room.for_user(UserAtEvent { before, after, joined_later });
            both.push((decide(JoinedLater::No), decide(JoinedLater::Yes)));
            visibility = room.after.unwrap_or(visibility);
        }
        if self.joined_after == JoinedLater::Yes {
            before_last_join = both.len();
        }
        let decided = both.into_iter().enumerate();
        decided.map(|(at, (no, yes))| if at < before_last_join { yes } else { no }).collect()
    }
}

/// Who asks: a user, or all the users of a server as one.
trait Audience {
    /// The membership before the event, and the one that the event sets if it is an own member
    /// event.
    fn at(&mut self, event: &impl Event) -> (Membership, Option<Membership>);
}

struct OneUser<'u> {
    user: UserId<'u>,
    membership: Membership,
}

impl Audience for OneUser<'_> {
    fn at(&mut self, event: &impl Event) -> (Membership, Option<Membership>) {
        let before = self.membership;
        let after = own_membership(self.user, event);
        self.membership = after.unwrap_or(before);
        (before, after)
    }
}

/// The users of a server. No rule asks which of them it is, so they are together one user whose
/// membership is the best among them.
struct UsersOfServer<'s> {
    server: ServerName<'s>,
    memberships: BTreeMap<Box<str>, Membership>,
    joined: usize,
    invited: usize,
}

impl UsersOfServer<'_> {
    /// Takes the membership of a user, if it is one of the server.
    fn put(&mut self, user: &str, membership: Membership) -> Option<Membership> {
        if domain(user) != Some(self.server.as_str()) {
            return None;
        }
        let before = match self.memberships.get_mut(user) {
            Some(before) => Some(std::mem::replace(before, membership)),
            None => self.memberships.insert(user.into(), membership),
        };
        if let Some(count) = before.and_then(|before| self.count(before)) {
            *count = count.saturating_sub(1);
        }
        if let Some(count) = self.count(membership) {
            *count = count.saturating_add(1);
        }
        Some(membership)
    }

    const fn count(&mut self, membership: Membership) -> Option<&mut usize> {
        match membership {
            Membership::Join => Some(&mut self.joined),
            Membership::Invite => Some(&mut self.invited),
            Membership::Ban | Membership::Knock | Membership::Leave => None,
        }
    }

    const fn best(&self) -> Membership {
        match (self.joined, self.invited) {
            (0, 0) => Membership::Leave,
            (0, _) => Membership::Invite,
            _ => Membership::Join,
        }
    }
}

impl Audience for UsersOfServer<'_> {
    fn at(&mut self, event: &impl Event) -> (Membership, Option<Membership>) {
        let before = self.best();
        let target = event.state_key().filter(|_| event.is_type(EventType::Member));
        (before, target.and_then(|user| self.put(user, membership(event.member_facts()))))
    }
}
