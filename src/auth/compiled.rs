//! A room whose create event, join rules and power levels are read once, for many decisions.

use super::facts::{Facts, NoFact, StateFacts, same_domain};
use super::power_levels::Powers;
use super::{AuthorizeError, Authorized, check_type, member};
use crate::event::content::create::{additional_creators, creator, federates};
use crate::event::content::join_rules::JoinRule;
use crate::event::content::power_levels::{NamedLevels, read};
use crate::event::{Event, EventType, Malformed, Membership, NoVerifier, Proposal, Verify};
use crate::id::domain;
use crate::json::Field;
use crate::room_version::RoomVersion;
use crate::state::{ByKey, NotLookedUp, Reads, RoomState};

/// A room ready to decide on many membership events: it has read what does not change between them.
///
/// Gives the same verdicts as [`authorize`](super::authorize) over the state that it was compiled from. It has to be
/// compiled again when one of the events [`COMPILED_FROM`](Self::COMPILED_FROM) changes; memberships and third-party
/// invites it asks for each time.
///
/// # Examples
///
/// ```
/// use matrix_knock::auth::CompiledRoom;
/// use matrix_knock::event::{Membership, Pdu, Proposal};
/// use matrix_knock::state::StateMap;
/// use matrix_knock::{NoVerifier, RoomVersion};
///
/// let create = r#"{"type":"m.room.create","state_key":"","sender":"@alice:a.example","content":{}}"#;
/// let rules = r#"{"type":"m.room.join_rules","state_key":"","sender":"@a:a.example","content":{"join_rule":"knock"}}"#;
/// let state = StateMap::from([Pdu::parse(create)?, Pdu::parse(rules)?]);
///
/// let room = CompiledRoom::compile(RoomVersion::V12, &state).expect("a room with a create event");
/// for user in ["@kay:b.example", "@zoe:c.example"] {
///     let knock = Proposal::of_oneself(user, Membership::Knock);
///     assert!(room.authorize(&knock, &state, &NoVerifier).is_ok());
/// }
/// # Ok::<(), matrix_knock::event::PduError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompiledRoom {
    version: RoomVersion,
    create_event_id: Option<Box<str>>,
    create_domain: Option<Box<str>>,
    federates: Result<bool, Malformed>,
    creator: Option<Box<str>>,
    /// Since v12: those who stand above every level.
    privileged: Vec<Box<str>>,
    join_rule: Result<JoinRule, Malformed>,
    named: Result<NamedLevels, Malformed>,
    users: ByKey<Field<i64>>,
}

impl CompiledRoom {
    /// The types of the state events (with an empty state key) that a compiled room has read.
    pub const COMPILED_FROM: [EventType<'static>; 3] =
        [EventType::Create, EventType::JoinRules, EventType::PowerLevels];

    /// Returns the entries of the state that [`compile`](Self::compile) reads.
    #[must_use]
    pub fn reads() -> Reads {
        Reads::of_types(Self::COMPILED_FROM)
    }

    /// Reads the room. Takes time and memory in proportion to the size of these three events.
    ///
    /// # Errors
    ///
    /// [`Rule::NoCreateEvent`](super::Rule::NoCreateEvent) if the state has no create event: no event of such a room is
    /// ever allowed. [`AuthorizeError::NotLookedUp`] if a snapshot lacks an entry of [`reads`](Self::reads).
    pub fn compile(version: RoomVersion, state: &(impl RoomState + ?Sized)) -> Result<Self, AuthorizeError> {
        let rules = version.rules();
        let facts = StateFacts::new(version, state)?;
        let create = facts.create();

        let creator = match rules.creator_is_sender {
            true => Some(create.sender().into()),
            false => creator(create.content()).map(Into::into),
        };
        let mut privileged = Vec::new();
        if rules.privileged_creators {
            privileged.push(create.sender().into());
            additional_creators(create.content(), |creator| privileged.push(creator.text().into()));
            privileged.sort_unstable();
        }
        let mut users = ByKey::<Field<i64>>::default();
        let named = match state.event(EventType::PowerLevels, "")? {
            Some(event) => read(
                event.content(),
                rules,
                |_| true,
                |name, level| {
                    users.entry(name.text().into()).or_default().put(level);
                },
            ),
            None => {
                users.extend(creator.clone().map(|creator| (creator, Field::Is(100))));
                Ok(NamedLevels::default())
            }
        };
        Ok(Self {
            version,
            create_event_id: create.event_id().map(Into::into),
            create_domain: domain(create.sender()).map(Into::into),
            federates: federates(create.content()),
            creator,
            privileged,
            join_rule: match facts.join_rule() {
                Ok(join_rule) => Ok(join_rule),
                Err(NoFact::Malformed(malformed)) => Err(malformed),
                Err(NoFact::NotLookedUp(error)) => return Err(error.into()),
            },
            named,
            users,
        })
    }

    /// Decides as [`authorize`](super::authorize) does. `state` is asked for memberships and third-party invites only.
    ///
    /// # Errors
    ///
    /// As [`authorize`](super::authorize).
    pub fn authorize<'e, E: Event + ?Sized>(
        &self,
        event: &'e E,
        state: &(impl RoomState + ?Sized),
        verifier: &(impl Verify + ?Sized),
    ) -> Result<Authorized<'e, E>, AuthorizeError> {
        check_type(event)?;
        let membership = member::decide(&self.version, event, self, state, verifier)?;
        Ok(Authorized { event, version: self.version, membership })
    }

    /// Decides as [`authorize_proposal`](super::authorize_proposal) does: could this user do it now? `state` is asked for memberships only.
    ///
    /// # Errors
    ///
    /// As [`authorize_proposal`](super::authorize_proposal).
    pub fn authorize_proposal<'p>(
        &self,
        proposal: &'p Proposal<'p>,
        state: &(impl RoomState + ?Sized),
    ) -> Result<Authorized<'p, Proposal<'p>>, AuthorizeError> {
        let membership = member::decide(&self.version, proposal, self, state, &NoVerifier)?;
        Ok(Authorized { event: proposal, version: self.version, membership })
    }

    /// The users whose power is their own: creators that stand above levels (v12), and those that the power levels name.
    /// In order of their IDs, each once.
    pub(crate) fn named_users(&self) -> Vec<&str> {
        #[expect(clippy::disallowed_methods, reason = "sorted below")]
        let named = self.users.keys();
        let mut users: Vec<&str> = named.chain(&self.privileged).map(|user| &**user).collect();
        users.sort_unstable();
        users.dedup();
        users
    }

    /// Whether the power of those who are not [named](Self::named_users) is enough to invite, to kick (`leave`) or to ban
    /// this user. A malformed level is not enough for anything.
    pub(crate) fn default_power_suffices(&self, membership: Membership, target: &str) -> bool {
        let own = [Field::Missing, self.users.get(target).copied().unwrap_or_default()];
        let powers = Powers::new(self.named, own, [false, self.is_privileged(target)]);
        let suffices = match membership {
            Membership::Invite => powers.suffice_to_invite(),
            Membership::Leave => powers.suffice_to_kick(),
            Membership::Ban => powers.suffice_to_ban(),
            // Only users themselves do that.
            Membership::Join | Membership::Knock => Ok(false),
        };
        suffices == Ok(true)
    }

    /// Whether the power of this user is enough to invite. A malformed level is not enough.
    pub(crate) fn power_suffices_to_invite(&self, user: &str) -> bool {
        let powers = self.powers([user, user]);
        powers.is_ok_and(|powers| powers.suffice_to_invite() == Ok(true))
    }

    /// The version that the room was compiled for.
    #[must_use]
    pub const fn version(&self) -> RoomVersion {
        self.version
    }

    fn is_privileged(&self, user: &str) -> bool {
        self.privileged.binary_search_by(|creator| (**creator).cmp(user)).is_ok()
    }
}

impl Facts for CompiledRoom {
    #[inline]
    fn federates_with(&self, sender: &str) -> Result<bool, Malformed> {
        match self.federates {
            Ok(false) | Err(_) if same_domain(self.create_domain.as_deref(), sender) => Ok(true),
            federates => federates,
        }
    }

    fn is_create_event(&self, event_id: &str) -> bool {
        self.create_event_id.as_deref() == Some(event_id)
    }

    fn is_creator(&self, user: &str) -> bool {
        self.creator.as_deref() == Some(user)
    }

    fn join_rule(&self) -> Result<JoinRule, NoFact> {
        Ok(self.join_rule?)
    }

    fn powers(&self, [sender, target]: [&str; 2]) -> Result<Powers, NotLookedUp> {
        let own = |user| self.users.get(user).copied().unwrap_or_default();
        let creators = [self.is_privileged(sender), self.is_privileged(target)];
        Ok(Powers::new(self.named, [own(sender), own(target)], creators))
    }
}
