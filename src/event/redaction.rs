//! Redaction: what stays of an event when its content is taken back, and what every server hashes and signs.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#redactions>

use super::PduError;
use super::content::{CREATE, JOIN_RULES, MEMBER, POWER_LEVELS};
use super::pdu::event_type;
use crate::json::{CanonicalDialect, Filter, Kind, Member, Str, canonical_part};
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
    redacted(version, text, true)
}

/// What a server hashes for the event ID and signs: the redacted event without its signatures.
pub(crate) fn essential(version: RoomVersion, text: &str) -> Result<String, PduError> {
    redacted(version, text, false)
}

fn redacted(version: RoomVersion, text: &str, signatures: bool) -> Result<String, PduError> {
    let content = KeptContent::of(event_type(text)?, version.rules());
    let keep = Redaction::Event { rules: version.rules(), content, signatures };
    Ok(canonical_part(text, CanonicalDialect::of(version), keep)?)
}

/// What stays at one level of an event.
#[derive(Debug, Clone, Copy)]
enum Redaction {
    Event { rules: &'static RoomVersionRules, content: KeptContent, signatures: bool },
    Content { keys: &'static [&'static str], third_party_invite: bool },
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

impl Filter for Redaction {
    fn member(self, key: Str<'_>, kind: Kind) -> Member<Self> {
        match self {
            Self::Everything => Member::Keep(self),
            Self::Event { content, .. } if key.is("content") => match (content, kind) {
                (KeptContent::Everything, _) => Member::Keep(Self::Everything),
                (KeptContent::Keys(keys), Kind::Object) => {
                    Member::Keep(Self::Content { keys, third_party_invite: false })
                }
                (KeptContent::KeysAndSigned(keys), Kind::Object) => {
                    Member::Keep(Self::Content { keys, third_party_invite: true })
                }
                // Synapse does so: what is no object has nothing that may stay.
                (KeptContent::Keys(_) | KeptContent::KeysAndSigned(_), _) => Member::Empty,
            },
            Self::Event { signatures: false, .. } if key.is("signatures") => Member::Omit,
            Self::Event { rules, .. } => keep_if(is_kept(key, rules)),
            // What is no object has no `signed`: the key goes. An object without it becomes empty.
            Self::Content { third_party_invite: true, .. } if key.is("third_party_invite") => match kind {
                Kind::Object => Member::Keep(Self::ThirdPartyInvite),
                _ => Member::Omit,
            },
            Self::Content { keys, .. } => keep_if(keys.iter().any(|name| key.is(name))),
            Self::ThirdPartyInvite => keep_if(key.is("signed")),
        }
    }
}

fn keep_if(kept: bool) -> Member<Redaction> {
    if kept { Member::Keep(Redaction::Everything) } else { Member::Omit }
}

/// Whether a key of the event itself stays.
fn is_kept(key: Str<'_>, rules: &RoomVersionRules) -> bool {
    const ALWAYS: [&str; 11] = [
        "auth_events",
        "depth",
        "event_id",
        "hashes",
        "origin_server_ts",
        "prev_events",
        "room_id",
        "sender",
        "signatures",
        "state_key",
        "type",
    ];
    const BEFORE_V11: [&str; 3] = ["membership", "origin", "prev_state"];
    ALWAYS.iter().any(|name| key.is(name)) || (!rules.updated_redaction && BEFORE_V11.iter().any(|name| key.is(name)))
}

impl KeptContent {
    fn of(event_type: Str<'_>, rules: &RoomVersionRules) -> Self {
        match () {
            () if event_type.is(MEMBER) && rules.updated_redaction => {
                Self::KeysAndSigned(&["join_authorised_via_users_server", "membership"])
            }
            () if event_type.is(MEMBER) && rules.redaction_keeps_authorizing_user => {
                Self::Keys(&["join_authorised_via_users_server", "membership"])
            }
            () if event_type.is(MEMBER) => Self::Keys(&["membership"]),
            () if event_type.is(CREATE) && rules.updated_redaction => Self::Everything,
            () if event_type.is(CREATE) => Self::Keys(&["creator"]),
            () if event_type.is(JOIN_RULES) && rules.restricted_join_rule => Self::Keys(&["allow", "join_rule"]),
            () if event_type.is(JOIN_RULES) => Self::Keys(&["join_rule"]),
            () if event_type.is(POWER_LEVELS) && rules.updated_redaction => Self::Keys(&[
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
            () if event_type.is(POWER_LEVELS) => Self::Keys(&[
                "ban",
                "events",
                "events_default",
                "kick",
                "redact",
                "state_default",
                "users",
                "users_default",
            ]),
            () if event_type.is("m.room.history_visibility") => Self::Keys(&["history_visibility"]),
            () if event_type.is("m.room.aliases") && !rules.strict_canonical_json => Self::Keys(&["aliases"]),
            () if event_type.is("m.room.redaction") && rules.updated_redaction => Self::Keys(&["redacts"]),
            () => Self::Keys(&[]),
        }
    }
}
