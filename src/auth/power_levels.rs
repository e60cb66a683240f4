//! Who has how much power in a room, and how much it takes.

use crate::event::Malformed;
use crate::event::content::create::{additional_creators, creator};
use crate::event::content::power_levels::{NamedLevels, read};
use crate::event::{Event, EventType};
use crate::json::{Field, Str};
use crate::room_version::RoomVersionRules;
use crate::state::{NotLookedUp, RoomState};

/// The power of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Power {
    /// A level as the power levels event gives it.
    Level(i64),
    /// Since v12: a creator stands above every level, and no creator above another.
    Creator,
}

/// The power of two users, and what the memberships of a room take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Powers {
    /// Of the user who acts.
    sender: Result<Power, Malformed>,
    /// Of the user who is acted on.
    target: Result<Power, Malformed>,
    named: Result<NamedLevels, Malformed>,
}

impl Powers {
    /// From what `users` says of the two, and whether they are creators that stand above levels (v12).
    pub(crate) fn new(
        named: Result<NamedLevels, Malformed>,
        [sender, target]: [Field<i64>; 2],
        creators: [bool; 2],
    ) -> Self {
        let power = |own, creator: bool| match named {
            _ if creator => Ok(Power::Creator),
            Ok(named) => named.user(own).map(Power::Level),
            Err(malformed) => Err(malformed),
        };
        let [sender_creates, target_creates] = creators;
        Self { sender: power(sender, sender_creates), target: power(target, target_creates), named }
    }

    /// Whether the sender may invite.
    pub(crate) fn suffice_to_invite(&self) -> Result<bool, Malformed> {
        Ok(self.sender? >= self.level(NamedLevels::invite)?)
    }

    /// Whether the sender may kick the target.
    pub(crate) fn suffice_to_kick(&self) -> Result<bool, Malformed> {
        let sender = self.sender?;
        Ok(sender >= self.level(NamedLevels::kick)? && self.target? < sender)
    }

    /// Whether the sender may ban the target.
    pub(crate) fn suffice_to_ban(&self) -> Result<bool, Malformed> {
        let sender = self.sender?;
        Ok(sender >= self.level(NamedLevels::ban)? && self.target? < sender)
    }

    /// Whether the sender has the level that a ban takes, whoever the target is.
    pub(crate) fn reach_ban(&self) -> Result<bool, Malformed> {
        Ok(self.sender? >= self.level(NamedLevels::ban)?)
    }

    fn level(&self, level: fn(&NamedLevels) -> Result<i64, Malformed>) -> Result<Power, Malformed> {
        match &self.named {
            Ok(named) => level(named).map(Power::Level),
            Err(malformed) => Err(*malformed),
        }
    }
}

/// The power of two users from the state of a room, in one pass over its power levels event.
pub(crate) fn powers(
    state: &(impl RoomState + ?Sized),
    create: &impl Event,
    [sender, target]: [&str; 2],
    rules: &RoomVersionRules,
) -> Result<Powers, NotLookedUp> {
    let creators = match rules.privileged_creators {
        true => privileged_creators(create, [sender, target]),
        false => [false, false],
    };
    let Some(event) = state.event(EventType::PowerLevels, "")? else {
        // Before v12 a room without power levels is its creator's: 100 to everybody else's 0.
        let own = |user| if is_creator(create, user, rules) { Field::Is(100) } else { Field::Missing };
        return Ok(Powers::new(Ok(NamedLevels::default()), [own(sender), own(target)], creators));
    };
    let mut own = [Field::Missing; 2];
    let wanted = |name: Str<'_>| name.is(sender) || name.is(target);
    let named = read(event.content(), rules, wanted, |name, level| {
        let [of_sender, of_target] = &mut own;
        if name.is(sender) {
            of_sender.put(level);
        }
        if name.is(target) {
            of_target.put(level);
        }
    });
    Ok(Powers::new(named, own, creators))
}

/// Whether the user made the room: the sender of the create event since v11, before it the `creator` in its content.
pub(crate) fn is_creator(create: &impl Event, user: &str, rules: &RoomVersionRules) -> bool {
    if rules.creator_is_sender {
        return create.sender() == user;
    }
    creator(create.content()).is_some_and(|creator| creator == user)
}

fn privileged_creators(create: &impl Event, users: [&str; 2]) -> [bool; 2] {
    let mut found = users.map(|user| create.sender() == user);
    if found.contains(&false) {
        additional_creators(create.content(), |creator| {
            for (found, user) in found.iter_mut().zip(users) {
                *found |= creator.is(user);
            }
        });
    }
    found
}
