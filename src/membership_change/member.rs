//! What a member event says of a user, beside what the rules read.

use std::borrow::Cow;

use crate::event::{Malformed, Membership};
use crate::json::{Field, Kind, Str, read_object};

/// What the content of a member event says of the user. Borrowed from the text; texts with escapes are decoded when asked
/// for.
///
/// A display name, avatar or reason that is no string, or stands twice, is none.
///
/// # Examples
///
/// ```
/// use matrix_knock::event::Membership;
/// use matrix_knock::membership_change::Member;
///
/// let member = Member::read(r#"{"membership":"knock","displayname":null,"reason":"I\u0020ask"}"#)?;
/// assert_eq!(member.membership(), Some(Membership::Knock));
/// assert_eq!(member.displayname(), None);
/// assert_eq!(member.reason().as_deref(), Some("I ask"));
/// # Ok::<(), matrix_knock::event::Malformed>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<'e> {
    membership: Option<Membership>,
    displayname: Option<Str<'e>>,
    avatar_url: Option<Str<'e>>,
    reason: Option<Str<'e>>,
    authorizing_user: Option<Str<'e>>,
    third_party_invite: bool,
}

impl<'e> Member<'e> {
    /// A user without a member event: `leave`, and nothing else.
    pub const OUTSIDE: Self = Self {
        membership: Some(Membership::Leave),
        displayname: None,
        avatar_url: None,
        reason: None,
        authorizing_user: None,
        third_party_invite: false,
    };

    /// Reads the `content` of a member event.
    ///
    /// # Errors
    ///
    /// [`Malformed::Event`] if it is no JSON object, or its `membership` is missing, no string, or there twice.
    pub fn read(content: &'e str) -> Result<Self, Malformed> {
        let mut membership = Field::Missing;
        let mut displayname = Field::Missing;
        let mut avatar_url = Field::Missing;
        let mut reason = Field::Missing;
        let mut authorizing_user = Field::Missing;
        let mut third_party_invite = Field::Missing;
        read_object(content, |key, reader| {
            match () {
                () if key.is("membership") => membership.put(reader.string_field()?.map(Membership::named)),
                () if key.is("displayname") => displayname.put(reader.string_field()?),
                () if key.is("avatar_url") => avatar_url.put(reader.string_field()?),
                () if key.is("reason") => reason.put(reader.string_field()?),
                () if key.is("join_authorised_via_users_server") => authorizing_user.put(reader.string_field()?),
                () if key.is("third_party_invite") => {
                    third_party_invite.put(Field::Is(reader.kind()?));
                    reader.skip_value()?;
                }
                () => reader.skip_value()?,
            }
            Ok(())
        })
        .map_err(|_| Malformed::Event)?;
        let Field::Is(membership) = membership else { return Err(Malformed::Event) };
        Ok(Self {
            membership,
            displayname: displayname.known(),
            avatar_url: avatar_url.known(),
            reason: reason.known(),
            authorizing_user: authorizing_user.known(),
            third_party_invite: third_party_invite == Field::Is(Kind::Object),
        })
    }

    /// The `membership`; none if it is a string that names none of the five.
    #[must_use]
    pub const fn membership(&self) -> Option<Membership> {
        self.membership
    }

    /// The `displayname`: any text, also an empty one.
    #[must_use]
    pub fn displayname(&self) -> Option<Cow<'e, str>> {
        self.displayname.map(Str::text)
    }

    /// The `avatar_url`: any text. It ought to be an `mxc:` URI.
    #[must_use]
    pub fn avatar_url(&self) -> Option<Cow<'e, str>> {
        self.avatar_url.map(Str::text)
    }

    /// The `reason`: any text, by whoever sent the event.
    #[must_use]
    pub fn reason(&self) -> Option<Cow<'e, str>> {
        self.reason.map(Str::text)
    }

    /// The `join_authorised_via_users_server`: any text. It ought to be the user ID of the member who vouches for the
    /// joining one.
    #[must_use]
    pub fn authorizing_user(&self) -> Option<Cow<'e, str>> {
        self.authorizing_user.map(Str::text)
    }

    /// Whether there is a `third_party_invite`, an object: the user was invited by an e-mail address or the like.
    #[must_use]
    pub const fn is_third_party_invite(&self) -> bool {
        self.third_party_invite
    }

    pub(super) fn same_displayname(&self, other: &Self) -> bool {
        self.displayname == other.displayname
    }

    pub(super) fn same_avatar_url(&self, other: &Self) -> bool {
        self.avatar_url == other.avatar_url
    }

    pub(super) fn same_profile(&self, other: &Self) -> bool {
        self.same_displayname(other) && self.same_avatar_url(other)
    }

    pub(super) fn same_reason(&self, other: &Self) -> bool {
        self.reason == other.reason
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read() {
        let content = r#"{"membership":"join","displayname":"K\u0061y","avatar_url":"mxc://b/c","reason":"\"",
            "join_authorised_via_users_server":"@a:b","third_party_invite":{},"x":[]}"#;
        let member = Member::read(content).unwrap();
        assert_eq!(member.membership(), Some(Membership::Join));
        assert_eq!(member.displayname().as_deref(), Some("Kay"));
        assert_eq!(member.avatar_url().as_deref(), Some("mxc://b/c"));
        assert_eq!(member.reason().as_deref(), Some("\""));
        assert_eq!(member.authorizing_user().as_deref(), Some("@a:b"));
        assert!(member.is_third_party_invite());
        assert_eq!(member, Member::read(&content.replace("K\\u0061y", "Kay")).unwrap());
        assert_ne!(member, Member::read(&content.replace("K\\u0061y", "Kai")).unwrap());
    }

    #[test]
    fn what_is_none() {
        for content in [
            r#"{"membership":"x"}"#,
            r#"{"membership":"x","displayname":null,"avatar_url":1,"reason":["x"]}"#,
            r#"{"membership":"x","displayname":"a","displayname":"a","third_party_invite":null}"#,
        ] {
            let none = Member { membership: None, ..Member::OUTSIDE };
            assert_eq!(Member::read(content), Ok(none), "{content}");
        }
        for content in ["", "[]", "{}", r#"{"membership":1}"#, r#"{"membership":"join","membership":"join"}"#] {
            assert_eq!(Member::read(content), Err(Malformed::Event), "{content}");
        }
    }
}
