//! `m.room.power_levels`. <https://spec.matrix.org/v1.19/client-server-api/#mroompower_levels>
//!
//! What a level may be depends on the version, and each later form is a part of the earlier one:
//! since v10 an integer; since v6 also a string; before, also a number with a fraction or an exponent.
//!
//! A level that is malformed spoils only what needs that level: an event that put it there was accepted once, by
//! servers that did not need it either.

use super::Malformed;
use crate::json::{Field, JsonError, Kind, Number, Reader, Str, read_object, read_object_field};
use crate::room_version::RoomVersionRules;

/// What holds where nothing is said.
const INVITE: i64 = 0;
const KICK: i64 = 50;
const BAN: i64 = 50;
const USERS_DEFAULT: i64 = 0;

/// The levels of a room that hold for everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct NamedLevels {
    pub(crate) invite: Field<i64>,
    pub(crate) kick: Field<i64>,
    pub(crate) ban: Field<i64>,
    pub(crate) users_default: Field<i64>,
    /// Malformed if `users` is no object, so that nobody's level is known.
    pub(crate) users: Field<()>,
}

impl NamedLevels {
    /// Who may invite: 0 unless said otherwise.
    pub(crate) fn invite(&self) -> Result<i64, Malformed> {
        or_default(self.invite, INVITE)
    }

    /// Who may kick: 50 unless said otherwise.
    pub(crate) fn kick(&self) -> Result<i64, Malformed> {
        or_default(self.kick, KICK)
    }

    /// Who may ban: 50 unless said otherwise.
    pub(crate) fn ban(&self) -> Result<i64, Malformed> {
        or_default(self.ban, BAN)
    }

    /// The level of a user whose own entry in `users` this is.
    pub(crate) fn user(&self, own: Field<i64>) -> Result<i64, Malformed> {
        match (self.users, own) {
            (Field::Malformed, _) | (_, Field::Malformed) => Err(Malformed::PowerLevels),
            (_, Field::Is(level)) => Ok(level),
            (_, Field::Missing) => or_default(self.users_default, USERS_DEFAULT),
        }
    }
}

fn or_default(field: Field<i64>, default: i64) -> Result<i64, Malformed> {
    match field {
        Field::Missing => Ok(default),
        Field::Malformed => Err(Malformed::PowerLevels),
        Field::Is(level) => Ok(level),
    }
}

/// Reads the levels; `user` gets the entries of `users` that are wanted, also those that stand twice.
pub(crate) fn read<'a>(
    content: &'a str,
    rules: &RoomVersionRules,
    wanted: impl Fn(Str<'a>) -> bool,
    mut user: impl FnMut(Str<'a>, Field<i64>),
) -> Result<NamedLevels, Malformed> {
    let mut levels = NamedLevels::default();
    read_object(content, |key, reader| {
        let (slot, default) = match &*key.text() {
            "invite" => (&mut levels.invite, INVITE),
            "kick" => (&mut levels.kick, KICK),
            "ban" => (&mut levels.ban, BAN),
            "users_default" => (&mut levels.users_default, USERS_DEFAULT),
            "users" => {
                let object = read_object_field(reader, |key, reader| {
                    if wanted(key) {
                        user(key, level(reader, rules, None)?);
                        return Ok(());
                    }
                    reader.skip_value()
                })?;
                levels.users.put(if object { Field::Is(()) } else { Field::Malformed });
                return Ok(());
            }
            _ => return reader.skip_value(),
        };
        slot.put(level(reader, rules, Some(default))?);
        Ok(())
    })
    .map_err(|_| Malformed::PowerLevels)?;
    Ok(levels)
}

/// Reads a level. `default` is what holds if there is none.
fn level(reader: &mut Reader<'_>, rules: &RoomVersionRules, default: Option<i64>) -> Result<Field<i64>, JsonError> {
    let level = match reader.kind()? {
        // DEVIATION: `null` is no level by the text. Synapse lets such an event in and reads it as if the key were absent, and with
        // it most of the federation.
        Kind::Null if !rules.integer_power_levels => reader.skip_value().map(|()| default)?,
        Kind::Number if rules.strict_canonical_json => reader.number()?.strict_integer(),
        Kind::Number => any_number(reader.number()?),
        // `[ \t\r\n]*[+-]?[0-9]+[ \t\r\n]*`. Beyond 64 bits it saturates.
        // <https://spec.matrix.org/v1.19/rooms/v9/#mroompower_levels-events-accept-values-as-strings>
        Kind::String if !rules.integer_power_levels => decimal(reader.string()?.chars()),
        _ => reader.skip_value().map(|()| None)?,
    };
    Ok(level.map_or(Field::Malformed, Field::Is))
}

/// v1 to v5: an integer, or a float truncated toward zero. Beyond 64 bits it saturates, so that "above everybody"
/// stays above everybody; beyond the range of a double it is malformed.
/// <https://spec.matrix.org/v1.19/rooms/v5/#mroompower_levels-events-accept-values-as-floats>
fn any_number(number: Number<'_>) -> Option<i64> {
    if number.is_integer() {
        return decimal(number.text().chars());
    }
    let float = number.text().parse::<f64>().ok().filter(|float| float.is_finite())?;
    #[expect(
        clippy::as_conversions,
        reason = "`as` is the truncation and saturation that is wanted, and std has no other"
    )]
    Some(float as i64)
}

fn decimal(mut chars: impl Iterator<Item = char> + Clone) -> Option<i64> {
    let is_space = |character: &char| matches!(character, ' ' | '\t' | '\r' | '\n');
    let mut next = chars.find(|character| !is_space(character));
    let negative = next == Some('-');
    if matches!(next, Some('-' | '+')) {
        next = chars.next();
    }
    let mut value = i64::from(next?.to_digit(10)?);
    let signed = |value: i64, digit: u32| {
        let digit = i64::from(digit);
        let shifted = value.saturating_mul(10);
        if negative { shifted.saturating_sub(digit) } else { shifted.saturating_add(digit) }
    };
    value = if negative { value.saturating_neg() } else { value };
    loop {
        next = chars.next();
        match next.and_then(|character| character.to_digit(10)) {
            Some(digit) => value = signed(value, digit),
            None => break,
        }
    }
    match next {
        None => Some(value),
        Some(character) if is_space(&character) => chars.all(|character| is_space(&character)).then_some(value),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room_version::RoomVersion;

    /// The invite level in each group of versions: 1 to 5, 6 to 9, 10 to 12.
    fn invite_level(value: &str) -> [Option<i64>; 3] {
        [RoomVersion::V5, RoomVersion::V9, RoomVersion::V12].map(|version| {
            let content = format!(r#"{{"invite":{value}}}"#);
            match read(&content, version.rules(), |_| true, |_, _| ()).unwrap().invite {
                Field::Is(level) => Some(level),
                _ => None,
            }
        })
    }

    #[test]
    fn every_form_of_a_level() {
        const MAX: Option<i64> = Some(i64::MAX);
        const MIN: Option<i64> = Some(i64::MIN);
        for (value, levels) in [
            ("50", [Some(50); 3]),
            ("-50", [Some(-50); 3]),
            ("0", [Some(0); 3]),
            ("9007199254740991", [Some(9_007_199_254_740_991); 3]),
            ("-9007199254740991", [Some(-9_007_199_254_740_991); 3]),
            ("9007199254740992", [Some(9_007_199_254_740_992), None, None]),
            ("-9007199254740992", [Some(-9_007_199_254_740_992), None, None]),
            ("-0", [Some(0), None, None]),
            ("9223372036854775807", [MAX, None, None]),
            ("9223372036854775808", [MAX, None, None]),
            ("-9223372036854775808", [MIN, None, None]),
            ("-9223372036854775809", [MIN, None, None]),
            ("99999999999999999999999999", [MAX, None, None]),
            ("50.0", [Some(50), None, None]),
            ("50.9", [Some(50), None, None]),
            ("-50.9", [Some(-50), None, None]),
            ("-0.5", [Some(0), None, None]),
            ("5e1", [Some(50), None, None]),
            ("5.114698E4", [Some(51_146), None, None]),
            ("1e-400", [Some(0), None, None]),
            ("1e20", [MAX, None, None]),
            ("-1e20", [MIN, None, None]),
            ("1e308", [MAX, None, None]),
            ("1e309", [None; 3]),
            ("-1e309", [None; 3]),
            (r#""50""#, [Some(50), Some(50), None]),
            (r#""+50""#, [Some(50), Some(50), None]),
            (r#""-50""#, [Some(-50), Some(-50), None]),
            (r#"" \t\r\n 00050 \t\r\n""#, [Some(50), Some(50), None]),
            (r#""\u0035\u0030""#, [Some(50), Some(50), None]),
            (r#""-0""#, [Some(0), Some(0), None]),
            (r#""9223372036854775808""#, [MAX, MAX, None]),
            (r#""-9223372036854775808""#, [MIN, MIN, None]),
            (r#""-99999999999999999999""#, [MIN, MIN, None]),
            (r#""""#, [None; 3]),
            (r#"" ""#, [None; 3]),
            (r#""+""#, [None; 3]),
            (r#""- 5""#, [None; 3]),
            (r#""+-5""#, [None; 3]),
            (r#""5 5""#, [None; 3]),
            (r#""5.0""#, [None; 3]),
            (r#""5e1""#, [None; 3]),
            (r#""1_000""#, [None; 3]),
            (r#""0x10""#, [None; 3]),
            (r#""٥٠""#, [None; 3]),
            (r#""\u00a050""#, [None; 3]),
            (r#""50\u000b""#, [None; 3]),
            ("true", [None; 3]),
            ("null", [Some(0), Some(0), None]),
            ("[50]", [None; 3]),
            (r#"{"50":50}"#, [None; 3]),
        ] {
            assert_eq!(invite_level(value), levels, "{value}");
        }
    }

    #[test]
    fn defaults_and_what_is_malformed() {
        let read = |content| {
            let mut users = Vec::new();
            read(
                content,
                RoomVersion::V10.rules(),
                |_| true,
                |name, level| users.push((name.text().into_owned(), level)),
            )
            .map(|levels| (levels, users))
        };
        let (levels, users) = read("{}").unwrap();
        assert_eq!((levels.invite(), levels.kick(), levels.ban()), (Ok(0), Ok(50), Ok(50)));
        assert_eq!((levels.user(Field::Missing), levels.user(Field::Is(7))), (Ok(0), Ok(7)));
        assert_eq!(users, []);

        let (levels, users) =
            read(r#"{"invite":1,"kick":"x","ban":3,"ban":3,"users_default":4,"users":{"@a:b":5,"@c:d":"6"}}"#).unwrap();
        assert_eq!((levels.invite(), levels.kick()), (Ok(1), Err(Malformed::PowerLevels)));
        assert_eq!((levels.ban(), levels.user(Field::Missing)), (Err(Malformed::PowerLevels), Ok(4)));
        assert_eq!(levels.user(Field::Malformed), Err(Malformed::PowerLevels));
        assert_eq!(users, [("@a:b".to_owned(), Field::Is(5)), ("@c:d".to_owned(), Field::Malformed)]);

        for content in [
            r#"{"users":[],"users_default":4}"#,
            r#"{"users":null,"users_default":4}"#,
            r#"{"users":"@a:b","users_default":4}"#,
        ] {
            let (levels, _) = read(content).unwrap();
            assert_eq!(levels.user(Field::Missing), Err(Malformed::PowerLevels), "{content}");
        }
        let (levels, _) = read(r#"{"users":{"@a:b":1},"users":{}}"#).unwrap();
        assert_eq!(levels.user(Field::Is(1)), Err(Malformed::PowerLevels));
        let read_in =
            |version: RoomVersion, content| super::read(content, version.rules(), |_| true, |_, _| ()).unwrap();
        let nulls = r#"{"invite":null,"kick":null,"ban":null,"users_default":null}"#;
        let levels = read_in(RoomVersion::V9, nulls);
        assert_eq!((levels.invite(), levels.kick(), levels.ban()), (Ok(0), Ok(50), Ok(50)));
        assert_eq!(levels.user(Field::Missing), Ok(0));
        let levels = read_in(RoomVersion::V10, nulls);
        assert_eq!(
            (levels.invite(), levels.user(Field::Missing)),
            (Err(Malformed::PowerLevels), Err(Malformed::PowerLevels))
        );
        let twice = read_in(RoomVersion::V9, r#"{"kick":null,"kick":50}"#);
        assert_eq!(twice.kick(), Err(Malformed::PowerLevels));
        let mut users = Vec::new();
        let content = r#"{"users":{"@a:b":null}}"#;
        super::read(content, RoomVersion::V9.rules(), |_| true, |_, level| users.push(level)).unwrap();
        assert_eq!(users, [Field::Malformed]);
        for malformed in ["", "[]", "null", r#"{"invite":01}"#, r#"{"users":{"@a:b":1}"#] {
            assert_eq!(read(malformed), Err(Malformed::PowerLevels), "{malformed}");
        }
    }
}
