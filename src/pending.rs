//! The pending knocks of a room: who waits for an answer, and who may give it.
//!
//! [`PendingKnocks`] is an index that a host keeps beside each room: it takes the member events of the room's current
//! state one by one, or all at once as JSON texts. [`Answering`] says who may accept, decline or ban, and makes one
//! answer to many knocks. Neither sends anything, nor notes who was told of what.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#knocking-on-rooms>
//!
//! # Examples
//!
//! A knock arrives; whoever may accept it is told; a moderator accepts all.
//!
//! ```
//! use matrix_knock::RoomVersion;
//! use matrix_knock::auth::CompiledRoom;
//! use matrix_knock::event::{Event, Pdu};
//! use matrix_knock::pending::{Answer, Answerers, Answering, Knocker, PendingKnocks, Update};
//! use matrix_knock::state::StateMap;
//!
//! let create = r#"{"type":"m.room.create","state_key":"","sender":"@alice:a.example","content":{}}"#;
//! let levels = r#"{"type":"m.room.power_levels","state_key":"","sender":"@alice:a.example",
//!     "content":{"invite":50,"users":{"@mod:a.example":50}}}"#;
//! let alice = r#"{"type":"m.room.member","state_key":"@alice:a.example","sender":"@alice:a.example",
//!     "content":{"membership":"join"}}"#;
//! let knock = r#"{"type":"m.room.member","state_key":"@kay:b.example","sender":"@kay:b.example",
//!     "content":{"membership":"knock","displayname":"Kay","reason":"Let me in"}}"#;
//! let state: StateMap<Pdu> = [create, levels, alice, knock].into_iter().map(Pdu::parse).collect::<Result<_, _>>()?;
//!
//! let mut knocks = PendingKnocks::new();
//! let update = knocks.apply(&Pdu::parse(knock)?.with_event_id("$knock"), 1_700_000_000_000)?;
//! assert_eq!(update, Update::Knocked);
//! let kay = knocks.knocker("@kay:b.example").expect("she knocks");
//! assert_eq!((kay.event_id(), kay.reason()), ("$knock", Some("Let me in")));
//!
//! // The moderator is not in the room, and a creator of version 12 needs no level.
//! let room = CompiledRoom::compile(RoomVersion::V12, &state)?;
//! let door = Answering::new(&room, &state);
//! assert_eq!(door.who_may(Answer::Accept, kay.user())?, Answerers::Only(vec!["@alice:a.example"]));
//!
//! let answers = door.all(Answer::Accept, "@alice:a.example", knocks.iter().map(Knocker::user));
//! assert_eq!(answers.events[0].content(), r#"{"membership":"invite"}"#);
//! assert_eq!(answers.refused, []);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod answer;
mod serialized;
mod stored;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;

pub use self::answer::{Answer, Answerers, Answering, Answers, NotAnswered, Refused};
use crate::event::{Event, EventType, Membership};
use crate::membership_change::Member;
use crate::room_version::RoomVersion;

/// A user who knocks, by their latest knock. Texts stand here in full, as long as an event lets them be (65,536 bytes); they
/// are the knocker's own, who may write anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Knocker {
    user: Arc<str>,
    event_id: Box<str>,
    origin_server_ts: i64,
    reason: Option<Box<str>>,
    displayname: Option<Box<str>>,
    avatar_url: Option<Box<str>>,
}

impl Knocker {
    fn new(user: &str, event_id: &str, origin_server_ts: i64, member: Member<'_>) -> Self {
        Self {
            user: user.into(),
            event_id: event_id.into(),
            origin_server_ts,
            reason: member.reason().map(Into::into),
            displayname: member.displayname().map(Into::into),
            avatar_url: member.avatar_url().map(Into::into),
        }
    }

    /// Forgets what the event does not say any more. Returns whether there was something to forget.
    fn forget_unless(&mut self, member: Member<'_>) -> bool {
        let forget = |known: &mut Option<Box<str>>, said: Option<Cow<'_, str>>| {
            let forgets = known.is_some() && said.is_none();
            if forgets {
                *known = None;
            }
            forgets
        };
        let reason = forget(&mut self.reason, member.reason());
        let displayname = forget(&mut self.displayname, member.displayname());
        let avatar_url = forget(&mut self.avatar_url, member.avatar_url());
        reason || displayname || avatar_url
    }

    /// Who knocks: a user ID.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The ID of the latest knock.
    #[must_use]
    pub fn event_id(&self) -> &str {
        &self.event_id
    }

    /// When the knock was sent, in milliseconds since the Unix epoch, by the clock of the knocker's server.
    #[must_use]
    pub const fn origin_server_ts(&self) -> i64 {
        self.origin_server_ts
    }

    /// Why they want to come in. Any text.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Their display name. Any text.
    #[must_use]
    pub fn displayname(&self) -> Option<&str> {
        self.displayname.as_deref()
    }

    /// Their avatar. Any text; it ought to be an `mxc:` URI.
    #[must_use]
    pub fn avatar_url(&self) -> Option<&str> {
        self.avatar_url.as_deref()
    }
}

/// A place in the order of arrival. It stays good when knocks go, the one that stood there too. Of use for the index that
/// gave it, and clones of that, stored ones too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(u64);

impl Position {
    /// Before the first knock.
    pub const START: Self = Self(0);

    /// The position as a number, to be handed to a client.
    #[must_use]
    pub const fn to_token(self) -> u64 {
        self.0
    }

    /// The position that a client hands back. Any number is one: at worst there is nothing behind it.
    #[must_use]
    pub const fn from_token(token: u64) -> Self {
        Self(token)
    }
}

/// What an event changed in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Update {
    /// Nothing: no knock, and no end of one. Or it was there already.
    Nothing,
    /// Somebody knocks who did not: whoever may answer wants to know.
    Knocked,
    /// Somebody knocks again.
    KnockedAgain,
    /// The knock was redacted: its reason, name and avatar are gone. Its place in the order stays.
    Redacted,
    /// The user knocks no longer: answered, retracted, joined.
    Ended,
}

/// A knock whose event says no ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("the knock has no event ID")]
pub struct NoEventId;

/// The pending knocks of one room, in order of arrival.
///
/// An update takes the same time in a room of any size, on average over many; the memory is in proportion to the knocks
/// that are pending. Who knocks again goes to the end: it is another event. Equal are indices with the same knocks in the
/// same order.
///
/// With serde it keeps its order and its positions.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(try_from = "serialized::Stored<'static>")]
pub struct PendingKnocks {
    /// Sorted by position. What ends leaves a gap; there are never more gaps than knocks, but for a few.
    slots: Vec<Slot>,
    /// Where in `slots` a user's knock is.
    places: HashMap<Arc<str>, usize>,
    last: u64,
}

#[derive(Debug, Clone)]
struct Slot {
    position: Position,
    knocker: Option<Knocker>,
}

impl PendingKnocks {
    /// Below this many slots, gaps are left alone.
    const FEW: usize = 16;

    /// An index of a room in which nobody knocks.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the whole state of a room from the JSON texts of its events, in any order: federation format, with or without
    /// a note of the ID as `event_id`. Without one the ID is computed, since v3.
    ///
    /// One pass: a text that cannot be a knock is not even parsed, and nothing is allocated for it. What is no readable knock
    /// is passed over.
    ///
    /// A state does not tell in which order its events arrived: here, it is that of their `origin_server_ts` (0 for a knock
    /// without one), then of their IDs. Servers may lie about the former.
    ///
    /// # Examples
    ///
    /// ```
    /// use matrix_knock::RoomVersion;
    /// use matrix_knock::pending::{Knocker, PendingKnocks};
    ///
    /// let knock = |user: &str, time: u64| {
    ///     format!(
    ///         r#"{{"type":"m.room.member","state_key":"{user}","sender":"{user}","origin_server_ts":{time},
    ///         "content":{{"membership":"\u006bnock"}}}}"#
    ///     )
    /// };
    /// let state = [knock("@kay:b.example", 2), knock("@zoe:c.example", 1), "{}".to_owned()];
    /// let knocks = PendingKnocks::from_state(RoomVersion::V10, &state);
    /// let users: Vec<_> = knocks.iter().map(Knocker::user).collect();
    /// assert_eq!(users, ["@zoe:c.example", "@kay:b.example"]);
    /// ```
    #[must_use]
    pub fn from_state<T: AsRef<str>>(version: RoomVersion, texts: impl IntoIterator<Item = T>) -> Self {
        let knockers = texts.into_iter().filter_map(|text| stored::knocker(version, text.as_ref()));
        let mut knockers: Vec<Knocker> = knockers.collect();
        knockers.sort_by(|one, other| {
            (one.origin_server_ts, &one.event_id).cmp(&(other.origin_server_ts, &other.event_id))
        });
        let mut index = Self::new();
        for knocker in knockers {
            index.put(knocker);
        }
        index
    }

    /// Takes an event that has become a part of the room's current state, or one that stands there and was redacted. What is
    /// no member event changes nothing; what is no readable knock ends the user's knock, if there is one.
    ///
    /// The same knock a second time changes nothing, unless it says less than before: it was redacted, and the index forgets
    /// what it does not say any more. What is forgotten does not come back with the same event.
    ///
    /// # Errors
    ///
    /// [`NoEventId`] if it is a knock without an [`event_id`](Event::event_id).
    ///
    /// # Examples
    ///
    /// See the [module's](self).
    pub fn apply(&mut self, event: &(impl Event + ?Sized), origin_server_ts: i64) -> Result<Update, NoEventId> {
        let Some(user) = event.state_key().filter(|_| event.is_type(EventType::Member)) else {
            return Ok(Update::Nothing);
        };
        let knock = Member::read(event.content()).ok().filter(|member| member.membership() == Some(Membership::Knock));
        let Some(member) = knock else {
            return Ok(self.remove(user).map_or(Update::Nothing, |_| Update::Ended));
        };
        let event_id = event.event_id().ok_or(NoEventId)?;
        if let Some(known) = self.knocker_mut(user).filter(|known| known.event_id() == event_id) {
            // The same event a second time says as much as the first time, or less: it was redacted meanwhile.
            let says_less = known.forget_unless(member);
            return Ok(if says_less { Update::Redacted } else { Update::Nothing });
        }
        let before = self.put(Knocker::new(user, event_id, origin_server_ts, member));
        Ok(before.map_or(Update::Knocked, |_| Update::KnockedAgain))
    }

    /// Takes out the knock of a user whose member event is no longer a part of the room's state, and gives it.
    /// [`apply`](Self::apply) does so where another member event takes its place.
    pub fn remove(&mut self, user: &str) -> Option<Knocker> {
        let place = self.places.remove(user)?;
        let knocker = self.slots.get_mut(place)?.knocker.take();
        self.close_gaps();
        knocker
    }

    /// The pending knock of this user.
    #[must_use]
    pub fn knocker(&self, user: &str) -> Option<&Knocker> {
        self.slots.get(*self.places.get(user)?)?.knocker.as_ref()
    }

    fn knocker_mut(&mut self, user: &str) -> Option<&mut Knocker> {
        self.slots.get_mut(*self.places.get(user)?)?.knocker.as_mut()
    }

    /// All pending knocks, in order of arrival.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Knocker> {
        self.slots.iter().filter_map(|slot| slot.knocker.as_ref())
    }

    /// The pending knocks that arrived after this position, each with its own: a page is the first few of them, and the
    /// position of its last knock is where the next page begins. Whatever goes or arrives between two pages, no event comes
    /// twice, and none that stays is left out.
    ///
    /// # Examples
    ///
    /// ```
    /// # use matrix_knock::{RoomVersion, pending::PendingKnocks};
    /// # let knock = |user: &str| {
    /// #     format!(r#"{{"type":"m.room.member","state_key":"{user}","event_id":"${user}","content":{{"membership":"knock"}}}}"#)
    /// # };
    /// # let mut knocks = PendingKnocks::from_state(RoomVersion::V10, ["@a:x", "@b:x", "@c:x", "@d:x"].map(knock));
    /// use matrix_knock::pending::Position;
    ///
    /// // Of the knocks of a, b, c and d.
    /// let page: Vec<_> = knocks.after(Position::START).take(2).collect();
    /// let (last, knocker) = page[1];
    /// assert_eq!(knocker.user(), "@b:x");
    ///
    /// knocks.remove("@b:x");
    /// let (_, next) = knocks.after(last).next().expect("there are more");
    /// assert_eq!(next.user(), "@c:x");
    /// ```
    pub fn after(&self, position: Position) -> impl DoubleEndedIterator<Item = (Position, &Knocker)> {
        let start = self.slots.partition_point(|slot| slot.position <= position);
        let rest = self.slots.get(start..).unwrap_or_default();
        rest.iter().filter_map(|slot| slot.knocker.as_ref().map(|knocker| (slot.position, knocker)))
    }

    /// How many knocks are pending.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether nobody knocks.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Puts a knock at the end, and gives the one that the user had.
    fn put(&mut self, knocker: Knocker) -> Option<Knocker> {
        let before = self.remove(&knocker.user);
        self.last = self.last.saturating_add(1);
        self.places.insert(Arc::clone(&knocker.user), self.slots.len());
        self.slots.push(Slot { position: Position(self.last), knocker: Some(knocker) });
        before
    }

    /// Closes the gaps where they are more than the knocks: then it has cost as much to make them.
    fn close_gaps(&mut self) {
        let gaps = self.slots.len().saturating_sub(self.places.len());
        if self.slots.len() < Self::FEW || gaps <= self.places.len() {
            return;
        }
        self.slots.retain(|slot| slot.knocker.is_some());
        for (new, slot) in self.slots.iter().enumerate() {
            if let Some(place) = slot.knocker.as_ref().and_then(|knocker| self.places.get_mut(&knocker.user)) {
                *place = new;
            }
        }
    }
}

impl PartialEq for PendingKnocks {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for PendingKnocks {}
