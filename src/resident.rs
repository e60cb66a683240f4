//! The resident server: a homeserver with a joined user in the room answers `make_knock`, `send_knock`, `make_leave` and
//! `send_leave`, and lets its own users knock.
//!
//! ```text
//! MakeKnock ┐                                                                    ┌─ template ──▶ Template ──▶ 200
//!           ├─ check ──▶ AuthorizedRequest ── decide ──▶ ApprovedRequest ────────┤
//! MakeLeave ┘                                                                    └─ sign ──▶ LocalEvent ── accept ──▶ SignedEvent
//!
//! SendKnock ┐
//!           ├─ check ──▶ FormatChecked ── verify ──▶ SignatureChecked ── authorize ──▶ AuthorizedEvent ── accept ──▶ Accepted ──▶ 200
//! SendLeave ┘
//! ```
//!
//! Every step returns the next value or a [`Refusal`], whose [`to_response`](Refusal::to_response) is the answer. Nothing of
//! the room's state lives from one step to the next: each step takes the state as it is then, and has a method that says
//! which entries it [reads](crate::state::Reads). So a host may await anything between two steps.
//!
//! # What the host owes
//!
//! | before | the host | and if it cannot |
//! | --- | --- | --- |
//! | `parse` | authenticates the request (X-Matrix); that server is the `origin` | 401, not of this crate |
//! | | reads the path | [`parse`](MakeRequest::parse) refuses: [`Refusal::Path`] |
//! | `check` | finds the room, its version, and whether a user of this server is joined | [`Refusal::UnknownRoom`] |
//! | | fetches the entries of `reads` from the current state | its own error, 500 |
//! | `decide` | decides by its own policy: rate limits, suspended users | a [`Decision`] |
//! | `template` | fetches `reads` again; names the forward extremities of the room | its own error, 500 |
//! | `verify` | fetches the keys that [`key_ids`](submission::FormatChecked::key_ids) names | goes on without: [`Refusal::Signature`] |
//! | `authorize` | looks whether it has accepted the event before | [`known`](submission::SignatureChecked::known): the same answer again |
//! | | finds the events in `auth_events`, in any order | [`UnknownAuthEvents`](submission::UnknownAuthEvents) names the missing ones; it may fetch them and ask again, or refuse with that |
//! | | finds the events in `prev_events` | [`Refusal::UnknownPrevEvents`] |
//! | | computes the state before the event (state resolution over the previous events) | [`Refusal::UnknownState`] |
//! | | fetches `reads` from that state and from the current one | its own error, 500 |
//! | `accept` | asks the room's policy server, if the room [names one](submission::AuthorizedEvent::policy_server) and a user of it is joined | a [`PolicyVerdict`](crate::policy::PolicyVerdict) |
//! | | takes the lock of the room, fetches `reads` from the current state, decides | its own error, 500; a [`Decision`] |
//! | the answer | stores the event, makes it part of the room, sends it to every server with a joined user | its own error, 500 |
//!
//! A mistake of the host (an entry that was not looked up, a key that cannot sign) is [`Refusal::Host`], 500 on the wire, and
//! never told as a refusal of the room.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#knocking-rooms>

pub mod answer;
mod local;
mod refusal;
mod request;
pub mod submission;

use crate::auth::server_is_allowed;
use crate::error::ErrorResponse;
use crate::event::{Event, EventType, Membership};
use crate::id::{RoomId, ServerName};
use crate::room_version::RoomVersion;
use crate::state::{Reads, RoomState};

pub use self::answer::{MustReach, Reason, must_also_reach, reads_of_must_also_reach};
pub use self::local::{ByHost, LocalEvent};
pub use self::refusal::{AuthStage, HostError, Mismatch, Refusal};
pub use self::request::{ApprovedRequest, AuthorizedRequest, MakeKnock, MakeLeave, MakeRequest};

mod sealed {
    pub trait Sealed {}
}

/// What a request is about: a [`Knock`] or a [`Leave`]. A host that serves both writes its handlers once, over this trait.
pub trait RequestKind:
    sealed::Sealed + Clone + Copy + Default + PartialEq + Eq + std::fmt::Debug + Send + Sync + 'static
{
    /// The membership that the event has to have.
    const MEMBERSHIP: Membership;
    /// The endpoint of the template: `make_knock`.
    const MAKE: &'static str;
    /// The endpoint of the event: `send_knock`.
    const SEND: &'static str;
}

/// A knock: `make_knock`, `send_knock`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Knock;

/// A leave, which takes a knock back or declines an invite: `make_leave`, `send_leave`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leave;

impl sealed::Sealed for Knock {}
impl sealed::Sealed for Leave {}

impl RequestKind for Knock {
    const MEMBERSHIP: Membership = Membership::Knock;
    const MAKE: &'static str = "make_knock";
    const SEND: &'static str = "send_knock";
}

impl RequestKind for Leave {
    const MEMBERSHIP: Membership = Membership::Leave;
    const MAKE: &'static str = "make_leave";
    const SEND: &'static str = "send_leave";
}

/// How this server itself stands to the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Residence {
    /// A user of this server is joined, and all of the state is there.
    Joined,
    /// A user of this server is joined, but the state is still being fetched after a fast join: nothing can be decided.
    PartialState,
    /// No user of this server is joined (any more): what is known of the state is old.
    Left,
}

/// A room that the resident server knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResidentRoom<'r> {
    /// Its ID.
    pub room_id: RoomId<'r>,
    /// Its version.
    pub version: RoomVersion,
    /// How this server stands to it.
    pub residence: Residence,
}

impl ResidentRoom<'_> {
    /// Checks that this server is in the room, with all of its state.
    const fn check_residence(&self) -> Result<(), Refusal> {
        match self.residence {
            Residence::Joined => Ok(()),
            Residence::PartialState => Err(Refusal::PartialState),
            Residence::Left => Err(Refusal::NotInRoom),
        }
    }

    /// Checks residence and the server ACL, of the room that the request names.
    fn check(&self, asked: &str, origin: ServerName<'_>, state: &(impl RoomState + ?Sized)) -> Result<(), Refusal> {
        if self.room_id != *asked {
            return Err(HostError::OtherRoom.into());
        }
        self.check_residence()?;
        if server_is_allowed(origin, state)? { Ok(()) } else { Err(Refusal::ServerDenied) }
    }
}

/// Writes the events that somebody outside the room is shown, as
/// [`Accepted::room_state`](submission::Accepted::room_state) returns them. For a host with typed
/// answers; [`Accepted::to_response`](submission::Accepted::to_response) does it by itself.
///
/// An event without a text is left out.
///
/// # Errors
///
/// [`HostError::NoCreateEvent`]: the create event has to be among them.
pub fn room_state_texts<E: Event, T>(
    events: impl IntoIterator<Item = E>,
    mut text: impl FnMut(&E) -> Option<T>,
) -> Result<Vec<T>, Refusal> {
    let mut has_create_event = false;
    let mut texts = Vec::new();
    for event in events {
        let text = text(&event);
        has_create_event |= text.is_some() && event.is_type(EventType::Create);
        texts.extend(text);
    }
    if has_create_event { Ok(texts) } else { Err(HostError::NoCreateEvent.into()) }
}

/// The entries that the check of residence and ACL reads.
fn reads_of_check() -> Reads {
    Reads::of_types([EventType::ServerAcl])
}

/// The host's own decision on a request that the rules allow.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Decision {
    /// Nothing against it.
    Admit,
    /// Not so many requests; the next one may come after so many milliseconds, if that is known.
    RateLimited {
        /// Milliseconds from now.
        retry_after_ms: Option<u64>,
    },
    /// Something that the rules do not know forbids it: a policy of the host.
    Forbidden,
    /// The user is suspended.
    Suspended,
    /// An error of the host's own, with whatever properties: MSC4490's `contact`, for example.
    Refuse(Box<ErrorResponse>),
}

impl Decision {
    fn admitted(self) -> Result<(), Refusal> {
        match self {
            Self::Admit => Ok(()),
            Self::RateLimited { retry_after_ms } => Err(Refusal::RateLimited { retry_after_ms }),
            Self::Forbidden => Err(Refusal::Forbidden),
            Self::Suspended => Err(Refusal::Suspended),
            Self::Refuse(response) => Err(Refusal::ByHost(response)),
        }
    }
}
