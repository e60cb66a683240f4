//! `m.room.member`. <https://spec.matrix.org/v1.19/client-server-api/#mroommember>

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Malformed;
use crate::json::{Field, JsonError, Reader, Str, read_object, read_object_field};

/// How a user stands to a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Membership {
    /// Kept out until somebody lifts it.
    Ban,
    /// Asked in.
    Invite,
    /// In the room.
    Join,
    /// Asks to be let in. Since v7.
    Knock,
    /// Not in the room. A user without a member event stands the same.
    Leave,
}

impl Membership {
    /// The membership as events write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ban => "ban",
            Self::Invite => "invite",
            Self::Join => "join",
            Self::Knock => "knock",
            Self::Leave => "leave",
        }
    }

    /// All five, in the order of the alphabet.
    pub const ALL: [Self; 5] = [Self::Ban, Self::Invite, Self::Join, Self::Knock, Self::Leave];

    /// The content of a member event that says nothing else.
    pub(crate) const fn bare_content(self) -> &'static str {
        match self {
            Self::Ban => r#"{"membership":"ban"}"#,
            Self::Invite => r#"{"membership":"invite"}"#,
            Self::Join => r#"{"membership":"join"}"#,
            Self::Knock => r#"{"membership":"knock"}"#,
            Self::Leave => r#"{"membership":"leave"}"#,
        }
    }

    /// The membership of a content that says nothing else. Many do, and these need not be taken apart.
    fn of_bare(content: &str) -> Option<Self> {
        content.strip_prefix(r#"{"membership":""#)?.strip_suffix(r#""}"#).and_then(Self::of_text)
    }

    fn of_text(text: &str) -> Option<Self> {
        match text {
            "ban" => Some(Self::Ban),
            "invite" => Some(Self::Invite),
            "join" => Some(Self::Join),
            "knock" => Some(Self::Knock),
            "leave" => Some(Self::Leave),
            _ => None,
        }
    }

    /// The membership of this name, if it is one, however it is written.
    pub(crate) fn named(name: Str<'_>) -> Option<Self> {
        match name.plain() {
            Some(plain) => Self::of_text(plain),
            None => Self::ALL.into_iter().find(|membership| name.is(membership.as_str())),
        }
    }
}

/// A text that is none of the five memberships.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("unknown membership")]
pub struct UnknownMembership;

impl FromStr for Membership {
    type Err = UnknownMembership;

    fn from_str(text: &str) -> Result<Self, UnknownMembership> {
        Self::of_text(text).ok_or(UnknownMembership)
    }
}

impl TryFrom<&str> for Membership {
    type Error = UnknownMembership;

    fn try_from(text: &str) -> Result<Self, UnknownMembership> {
        text.parse()
    }
}

impl AsRef<str> for Membership {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq<str> for Membership {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Membership {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Display for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What nearly every decision needs of the content of an `m.room.member` event, and no more: three bytes.
///
/// Reading contents is much of what a decision costs, in a compiled room most. An event that is read once and decided on often, or
/// looked up in the state again and again, keeps them ([`Event::member_facts`](crate::event::Event::member_facts)). serde stores
/// them.
///
/// # Examples
///
/// ```
/// use matrix_knock::event::{MemberFacts, Membership};
///
/// let facts = MemberFacts::of(r#"{"displayname":"Kay","membership":"knock","reason":"Let me in, please"}"#);
/// assert_eq!(facts.membership(), Some(Membership::Knock));
/// assert_eq!(MemberFacts::of("[]").membership(), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "StoredFacts", try_from = "StoredFacts")]
pub struct MemberFacts {
    /// None if the content is no object.
    membership: Option<Field<Option<Membership>>>,
    /// Whatever their kinds are.
    has_authorizing_user: bool,
    has_third_party_invite: bool,
}

impl MemberFacts {
    /// Reads a content, whatever it is.
    #[must_use]
    pub fn of(content: &str) -> Self {
        Self::from_read(MemberContent::read(content).ok().as_ref())
    }

    /// Reads a content that comes next.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, JsonError> {
        let mut found = MemberContent::default();
        let is_object = read_object_field(reader, |key, reader| found.put(key, reader))?;
        Ok(Self::from_read(Some(&found).filter(|_| is_object)))
    }

    fn from_read(content: Option<&MemberContent<'_>>) -> Self {
        Self {
            membership: content.map(|content| content.membership),
            has_authorizing_user: content.is_some_and(|content| !matches!(content.authorizing_user, Field::Missing)),
            has_third_party_invite: content
                .is_some_and(|content| !matches!(content.third_party_invite, Field::Missing)),
        }
    }

    /// The `membership`; none if it is not one of the five, or not to be made out.
    #[must_use]
    pub fn membership(self) -> Option<Membership> {
        self.membership.and_then(Field::known).flatten()
    }

    /// The `membership` as the rules see it; none if it is a string that names no membership.
    pub(crate) fn membership_field(self) -> Result<Field<Option<Membership>>, Malformed> {
        self.membership.ok_or(Malformed::Event)
    }

    /// The membership that a member event of a room's state gives; none if it is a string that names none.
    pub(crate) fn stored_membership(self) -> Result<Option<Membership>, Malformed> {
        self.membership.and_then(Field::known).ok_or(Malformed::Member)
    }

    /// Whether there is a `join_authorised_via_users_server`, of whatever kind.
    pub(crate) const fn has_authorizing_user(self) -> bool {
        self.has_authorizing_user
    }

    /// Whether there is a `third_party_invite`, of whatever kind.
    pub(crate) const fn has_third_party_invite(self) -> bool {
        self.has_third_party_invite
    }
}

/// [`MemberFacts`] as serde stores them.
#[derive(Serialize, Deserialize)]
struct StoredFacts {
    membership: StoredMembership,
    has_authorizing_user: bool,
    has_third_party_invite: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredMembership {
    Ban,
    Invite,
    Join,
    Knock,
    Leave,
    /// A string that names no membership.
    Unknown,
    Missing,
    Malformed,
    /// The content is no object, so that there is nothing in it.
    NoObject,
}

/// What was stored are no facts of any content.
#[derive(Debug, thiserror::Error)]
#[error("a content that is no object has no properties")]
struct NoFacts;

impl From<MemberFacts> for StoredFacts {
    fn from(facts: MemberFacts) -> Self {
        let MemberFacts { membership, has_authorizing_user, has_third_party_invite } = facts;
        let membership = match membership {
            Some(Field::Is(Some(Membership::Ban))) => StoredMembership::Ban,
            Some(Field::Is(Some(Membership::Invite))) => StoredMembership::Invite,
            Some(Field::Is(Some(Membership::Join))) => StoredMembership::Join,
            Some(Field::Is(Some(Membership::Knock))) => StoredMembership::Knock,
            Some(Field::Is(Some(Membership::Leave))) => StoredMembership::Leave,
            Some(Field::Is(None)) => StoredMembership::Unknown,
            Some(Field::Missing) => StoredMembership::Missing,
            Some(Field::Malformed) => StoredMembership::Malformed,
            None => StoredMembership::NoObject,
        };
        Self { membership, has_authorizing_user, has_third_party_invite }
    }
}

impl TryFrom<StoredFacts> for MemberFacts {
    type Error = NoFacts;

    fn try_from(stored: StoredFacts) -> Result<Self, NoFacts> {
        let StoredFacts { membership, has_authorizing_user, has_third_party_invite } = stored;
        let membership = match membership {
            StoredMembership::Ban => Some(Field::Is(Some(Membership::Ban))),
            StoredMembership::Invite => Some(Field::Is(Some(Membership::Invite))),
            StoredMembership::Join => Some(Field::Is(Some(Membership::Join))),
            StoredMembership::Knock => Some(Field::Is(Some(Membership::Knock))),
            StoredMembership::Leave => Some(Field::Is(Some(Membership::Leave))),
            StoredMembership::Unknown => Some(Field::Is(None)),
            StoredMembership::Missing => Some(Field::Missing),
            StoredMembership::Malformed => Some(Field::Malformed),
            StoredMembership::NoObject if has_authorizing_user || has_third_party_invite => return Err(NoFacts),
            StoredMembership::NoObject => None,
        };
        Ok(Self { membership, has_authorizing_user, has_third_party_invite })
    }
}

/// What the rules read of the content of a member event.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct MemberContent<'a> {
    /// `membership`; none if it is a string that names no membership.
    pub(crate) membership: Field<Option<Membership>>,
    /// `join_authorised_via_users_server`: who lets the user join. Since v8.
    pub(crate) authorizing_user: Field<Str<'a>>,
    /// The text of `third_party_invite`, of whatever kind.
    pub(crate) third_party_invite: Field<&'a str>,
}

impl<'a> MemberContent<'a> {
    pub(crate) fn read(content: &'a str) -> Result<Self, Malformed> {
        let mut found = Self::default();
        if let Some(membership) = Membership::of_bare(content) {
            found.membership = Field::Is(Some(membership));
            return Ok(found);
        }
        read_object(content, |key, reader| found.put(key, reader)).map_err(|_| Malformed::Event)?;
        Ok(found)
    }

    #[inline]
    fn put(&mut self, key: Str<'a>, reader: &mut Reader<'a>) -> Result<(), JsonError> {
        match () {
            () if key.is("membership") => self.membership.put(reader.string_field()?.map(Membership::named)),
            () if key.is("join_authorised_via_users_server") => self.authorizing_user.put(reader.string_field()?),
            () if key.is("third_party_invite") => self.third_party_invite.put(Field::Is(reader.skip()?)),
            () => reader.skip_value()?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_and_read() {
        let memberships = [
            "",
            r#""membership":"ban""#,
            r#""membership":"invite""#,
            r#""membership":"join""#,
            r#""membership":"knock""#,
            r#""membership":"leave""#,
            r#""membership":"x""#,
            r#""membership":1"#,
        ];
        let mut names = Vec::new();
        for membership in memberships {
            for more in ["", r#""third_party_invite":1"#, r#""join_authorised_via_users_server":1"#] {
                let comma = if membership.is_empty() || more.is_empty() { "" } else { "," };
                let facts = MemberFacts::of(&format!("{{{membership}{comma}{more}}}"));
                let stored = serde_json::to_value(facts).unwrap();
                assert_eq!(serde_json::from_value::<MemberFacts>(stored.clone()).unwrap(), facts, "{stored}");
                names.push(stored["membership"].as_str().unwrap().to_owned());
            }
        }
        names.dedup();
        assert_eq!(names, ["missing", "ban", "invite", "join", "knock", "leave", "unknown", "malformed"]);
        let no_object = MemberFacts::of("[]");
        let stored = r#"{"membership":"no_object","has_authorizing_user":false,"has_third_party_invite":false}"#;
        assert_eq!(serde_json::to_string(&no_object).unwrap(), stored);
        assert_eq!(serde_json::from_str::<MemberFacts>(stored).unwrap(), no_object);
        for changed in ["authorizing_user", "third_party_invite"] {
            let stored = stored.replace(&format!(r#"{changed}":false"#), &format!(r#"{changed}":true"#));
            let error = serde_json::from_str::<MemberFacts>(&stored).unwrap_err();
            assert_eq!(error.to_string(), "a content that is no object has no properties");
        }
        assert_eq!(std::mem::size_of::<MemberFacts>(), 3);
    }

    #[test]
    fn memberships() {
        for membership in Membership::ALL {
            let content = format!(r#"{{"displayname":"x","membership":"{membership}"}}"#);
            assert_eq!(MemberFacts::of(&content).stored_membership(), Ok(Some(membership)));
        }
        assert_eq!(MemberFacts::of(r#"{"membership":"\u006anock"}"#).stored_membership(), Ok(None));
        assert_eq!(
            MemberFacts::of(r#"{"\u006dembership":"\u006bnock"}"#).stored_membership(),
            Ok(Some(Membership::Knock))
        );
        for malformed in [
            "{}",
            "",
            "[]",
            r#"["membership","join"]"#,
            r#"{"membership":1}"#,
            r#"{"membership":null}"#,
            r#"{"membership":"join","membership":"join"}"#,
            r#"{"membership":"join",}"#,
            r#"{"membership":"join"} x"#,
        ] {
            assert_eq!(MemberFacts::of(malformed).stored_membership(), Err(Malformed::Member), "{malformed}");
        }
    }
}
