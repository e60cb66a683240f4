//! `m.room.join_rules`. <https://spec.matrix.org/v1.19/client-server-api/#mroomjoin_rules>

use super::Malformed;
use crate::json::{Field, Str, read_object};
use crate::room_version::RoomVersionRules;

/// How people come into a room, as far as its version knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JoinRule {
    Public,
    Invite,
    /// Since v7.
    Knock,
    /// Since v8.
    Restricted,
    /// Since v10.
    KnockRestricted,
    /// `private`, or a rule that this version does not know: nobody comes in, not even the invited. (A `join_rule` that is not a
    /// string is malformed, which comes to the same.)
    Unknown,
}

/// The join rule of a join rules event.
///
/// DEVIATION: the specification does not say what a missing `join_rule` means. It counts as `invite`, as in Synapse.
pub(crate) fn join_rule(content: &str, rules: &RoomVersionRules) -> Result<JoinRule, Malformed> {
    // Many say nothing else, and need not be taken apart.
    match content {
        r#"{"join_rule":"public"}"# => return Ok(JoinRule::Public),
        r#"{"join_rule":"invite"}"# => return Ok(JoinRule::Invite),
        r#"{"join_rule":"knock"}"# if rules.knocking => return Ok(JoinRule::Knock),
        _ => {}
    }
    let mut join_rule = Field::Missing;
    read_object(content, |key, reader| {
        if key.is("join_rule") {
            join_rule.put(reader.string_field()?.map(|name| known(name, rules)));
        } else {
            reader.skip_value()?;
        }
        Ok(())
    })
    .map_err(|_| Malformed::JoinRules)?;
    match join_rule {
        Field::Missing => Ok(JoinRule::Invite),
        Field::Is(join_rule) => Ok(join_rule),
        Field::Malformed => Err(Malformed::JoinRules),
    }
}

/// The text of `allow`, of whatever kind it is, in the content of a join rules event.
pub(crate) fn allow_list(content: &str) -> Field<&str> {
    let mut allow = Field::Missing;
    let read = read_object(content, |key, reader| {
        let value = reader.skip()?;
        if key.is("allow") {
            allow.put(Field::Is(value));
        }
        Ok(())
    });
    if read.is_ok() { allow } else { Field::Malformed }
}

fn known(name: Str<'_>, rules: &RoomVersionRules) -> JoinRule {
    match () {
        () if name.is("public") => JoinRule::Public,
        () if name.is("invite") => JoinRule::Invite,
        () if rules.knocking && name.is("knock") => JoinRule::Knock,
        () if rules.restricted_join_rule && name.is("restricted") => JoinRule::Restricted,
        () if rules.knock_restricted_join_rule && name.is("knock_restricted") => JoinRule::KnockRestricted,
        () => JoinRule::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room_version::RoomVersion;

    #[test]
    fn by_version() {
        let since = |name: &str, expected: JoinRule| {
            let content = format!(r#"{{"allow":[],"join_rule":"{name}"}}"#);
            let mut known = RoomVersion::ALL.into_iter().filter(|version| {
                let read = join_rule(&content, version.rules());
                assert!(read == Ok(expected) || read == Ok(JoinRule::Unknown), "{name} {version}: {read:?}");
                read == Ok(expected)
            });
            known.next()
        };
        assert_eq!(since("public", JoinRule::Public), Some(RoomVersion::V1));
        assert_eq!(since("invite", JoinRule::Invite), Some(RoomVersion::V1));
        assert_eq!(since("kn\\u006fck", JoinRule::Knock), Some(RoomVersion::V7));
        assert_eq!(since("restricted", JoinRule::Restricted), Some(RoomVersion::V8));
        assert_eq!(since("knock_restricted", JoinRule::KnockRestricted), Some(RoomVersion::V10));
        assert_eq!(since("private", JoinRule::Public), None);
        assert_eq!(since("Public", JoinRule::Public), None);
    }

    #[test]
    fn odd_contents() {
        let read = |content| join_rule(content, RoomVersion::V10.rules());
        assert_eq!(read("{}"), Ok(JoinRule::Invite));
        for malformed in [
            "[]",
            "",
            "null",
            r#"{"join_rule":null}"#,
            r#"{"join_rule":["public"]}"#,
            r#"{"join_rule":"public"}}"#,
            r#"{"join_rule":"public","join_rule":"public"}"#,
        ] {
            assert_eq!(read(malformed), Err(Malformed::JoinRules), "{malformed}");
        }
    }
}
