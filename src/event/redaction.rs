//! Redaction: what stays of an event when its content is taken back, and what every server hashes and signs.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#redactions>

use super::event_type::EventType;
use super::pdu::{Pdu, event_type};
use super::{Event, PduError};
use crate::json::{Canonical, CanonicalDialect, Filter, Kind, Member, Str, canonicalize};
use crate::room_version::{RoomVersion, RoomVersionRules};

/// Redacts an event, as canonical JSON. Any object with a `type` can be redacted: no format is demanded.
///
/// A `content` that is no object becomes an empty one, but for a create event's since v11, which stays as it is. Only
/// what stays has to be canonical.
///
/// # Errors
///
/// [`PduError`] if the text is no JSON object, has no `type`, or what stays is not canonical.
///
/// # Examples
///
/// ```
/// use matrix_knock::RoomVersion;
/// use matrix_knock::event::redact;
///
/// let event = r#"{"type":"m.room.member","content":{"membership":"knock","reason":"x"},"unsigned":{}}"#;
/// let redacted = r#"{"content":{"membership":"knock"},"type":"m.room.member"}"#;
/// assert_eq!(redact(RoomVersion::V10, event)?, redacted);
/// # Ok::<(), matrix_knock::event::PduError>(())
/// ```
pub fn redact(version: RoomVersion, text: &str) -> Result<String, PduError> {
    redacted(version, CanonicalDialect::of(version), text, true).map(Canonical::into_text)
}

/// What a server hashes for the event ID and signs: the redacted event without its signatures.
pub(crate) fn essential(version: RoomVersion, text: &str) -> Result<Canonical<'_>, PduError> {
    redacted(version, CanonicalDialect::of(version), text, false)
}

/// [`essential`] with whatever numbers the event has.
pub(crate) fn essential_of_stored(version: RoomVersion, text: &str) -> Result<Canonical<'_>, PduError> {
    redacted(version, CanonicalDialect::Lenient, text, false)
}

/// [`essential`] of an event that was read, as text.
pub(crate) fn essential_of(version: RoomVersion, pdu: &Pdu<'_>) -> Result<String, PduError> {
    let rules = version.rules();
    let content = KeptContent::of(Type::named(&pdu.event_type()), rules);
    let kept = Kept { updated: rules.updated_redaction, content, signatures: false };
    Ok(pdu.canonical_part(CanonicalDialect::of(version), Redaction::Event(&kept))?)
}

fn redacted(
    version: RoomVersion,
    dialect: CanonicalDialect,
    text: &str,
    signatures: bool,
) -> Result<Canonical<'_>, PduError> {
    let rules = version.rules();
    let redact = |content| {
        let kept = Kept { updated: rules.updated_redaction, content, signatures };
        canonicalize(text, dialect, Redaction::Event(&kept))
    };
    // What stays of the content depends on the type, which comes last in canonical form. Nearly all events that come this
    // way are member events, so a look at the end saves the search for the type in them.
    match redact(KeptContent::of(Type::Member, rules)) {
        Ok(redacted) if redacted.last_member_is(r#""type":"m.room.member""#) => Ok(redacted),
        _ => Ok(redact(KeptContent::of(Type::named(&event_type(text)?.text()), rules))?),
    }
}

/// The types of events whose content keeps something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Aliases,
    Create,
    HistoryVisibility,
    JoinRules,
    Member,
    PowerLevels,
    Redaction,
    Other,
}

impl Type {
    fn named(name: &str) -> Self {
        match EventType::from(name) {
            EventType::Create => Self::Create,
            EventType::JoinRules => Self::JoinRules,
            EventType::Member => Self::Member,
            EventType::PowerLevels => Self::PowerLevels,
            _ => match name {
                "m.room.aliases" => Self::Aliases,
                "m.room.history_visibility" => Self::HistoryVisibility,
                "m.room.redaction" => Self::Redaction,
                _ => Self::Other,
            },
        }
    }
}

/// What stays of an event.
#[derive(Debug, Clone, Copy)]
struct Kept {
    /// Since v11.
    updated: bool,
    content: KeptContent,
    signatures: bool,
}

/// What stays at one level of an event.
#[derive(Debug, Clone, Copy)]
enum Redaction<'k> {
    Event(&'k Kept),
    Content(&'k KeptContent),
    ThirdPartyInvite,
    Everything,
}

/// What stays of the content of a type of event.
#[derive(Debug, Clone, Copy)]
enum KeptContent {
    Everything,
    Keys(&'static [&'static str]),
    /// Since v11: and the `signed` of `third_party_invite`.
    KeysAndSigned(&'static [&'static str]),
}

impl Filter for Redaction<'_> {
    fn keeps_all(self) -> bool {
        matches!(self, Self::Everything)
    }

    fn member(self, key: Str<'_>, kind: Kind) -> Member<Self> {
        match self {
            Self::Everything => Member::Keep(self),
            Self::Event(kept) => match &*key.text() {
                "auth_events" | "depth" | "event_id" | "hashes" | "origin_server_ts" | "prev_events" | "room_id"
                | "sender" | "state_key" | "type" => Member::Keep(Self::Everything),
                "content" => match (&kept.content, kind) {
                    (KeptContent::Everything, _) => Member::Keep(Self::Everything),
                    (content, Kind::Object) => Member::Keep(Self::Content(content)),
                    // Synapse does so: what is no object has nothing that may stay.
                    _ => Member::Empty,
                },
                "signatures" => keep_if(kept.signatures),
                "membership" | "origin" | "prev_state" => keep_if(!kept.updated),
                _ => Member::omit(key),
            },
            Self::Content(content) => match content {
                // What is no object has no `signed`: the key goes. An object without it becomes empty.
                KeptContent::KeysAndSigned(_) if key.is("third_party_invite") => match kind {
                    Kind::Object => Member::Keep(Self::ThirdPartyInvite),
                    _ => Member::Omit,
                },
                KeptContent::Keys(keys) | KeptContent::KeysAndSigned(keys) => {
                    keep_if(keys.iter().any(|name| key.is(name)))
                }
                KeptContent::Everything => Member::Keep(Self::Everything),
            },
            Self::ThirdPartyInvite => keep_if(key.is("signed")),
        }
    }
}

fn keep_if(kept: bool) -> Member<Redaction<'static>> {
    if kept { Member::Keep(Redaction::Everything) } else { Member::Omit }
}

impl KeptContent {
    const fn of(event_type: Type, rules: &RoomVersionRules) -> Self {
        match event_type {
            Type::Member if rules.updated_redaction => {
                Self::KeysAndSigned(&["join_authorised_via_users_server", "membership"])
            }
            Type::Member if rules.redaction_keeps_authorizing_user => {
                Self::Keys(&["join_authorised_via_users_server", "membership"])
            }
            Type::Member => Self::Keys(&["membership"]),
            Type::Create if rules.updated_redaction => Self::Everything,
            Type::Create => Self::Keys(&["creator"]),
            Type::JoinRules if rules.restricted_join_rule => Self::Keys(&["allow", "join_rule"]),
            Type::JoinRules => Self::Keys(&["join_rule"]),
            Type::PowerLevels if rules.updated_redaction => Self::Keys(&[
                "ban",
                "events",
                "events_default",
                "invite",
                "kick",
                "redact",
                "state_default",
                "users",
                "users_default",
            ]),
            Type::PowerLevels => Self::Keys(&[
                "ban",
                "events",
                "events_default",
                "kick",
                "redact",
                "state_default",
                "users",
                "users_default",
            ]),
            Type::HistoryVisibility => Self::Keys(&["history_visibility"]),
            Type::Aliases if !rules.strict_canonical_json => Self::Keys(&["aliases"]),
            Type::Redaction if rules.updated_redaction => Self::Keys(&["redacts"]),
            Type::Aliases | Type::Redaction | Type::Other => Self::Keys(&[]),
        }
    }
}
