//! `m.room.member`. <https://spec.matrix.org/v1.19/client-server-api/#mroommember>

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Malformed, read_object};
use crate::json::{Field, Str};

pub(crate) const MEMBER: &str = "m.room.member";

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

impl fmt::Display for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The membership in the content of a member event of a room's state; none if it is a string that names none.
pub(crate) fn stored_membership(content: &str) -> Result<Option<Membership>, Malformed> {
    let read = MemberContent::read(content).map_err(|_| Malformed::Member)?;
    match read.membership {
        Field::Is(membership) => Ok(membership),
        Field::Missing | Field::Malformed => Err(Malformed::Member),
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
        read_object(content, |key, reader| {
            match () {
                () if key.is("membership") => {
                    found.membership.put(reader.string_field()?.map(Membership::named));
                }
                () if key.is("join_authorised_via_users_server") => {
                    found.authorizing_user.put(reader.string_field()?);
                }
                () if key.is("third_party_invite") => {
                    found.third_party_invite.put(Field::Is(reader.skip()?));
                }
                () => reader.skip_value()?,
            }
            Ok(())
        })
        .map_err(|_| Malformed::Event)?;
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memberships() {
        for membership in Membership::ALL {
            let content = format!(r#"{{"displayname":"x","membership":"{membership}"}}"#);
            assert_eq!(stored_membership(&content), Ok(Some(membership)));
        }
        assert_eq!(stored_membership(r#"{"membership":"\u006anock"}"#), Ok(None));
        assert_eq!(stored_membership(r#"{"\u006dembership":"\u006bnock"}"#), Ok(Some(Membership::Knock)));
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
            assert_eq!(stored_membership(malformed), Err(Malformed::Member), "{malformed}");
        }
    }
}
