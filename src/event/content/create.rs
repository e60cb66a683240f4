//! `m.room.create`. <https://spec.matrix.org/v1.19/client-server-api/#mroomcreate>

use std::borrow::Cow;

use super::Malformed;
use crate::id::UserId;
use crate::json::{Field, Kind, Reader, Str, is_plain_object_without, read_object};

/// Whether servers other than the creator's may take part.
///
/// Only the boolean `false` says no: the specification says nothing of other kinds, and a room that some servers take
/// part in must not split over one.
pub(crate) fn federates(content: &str) -> Result<bool, Malformed> {
    // Most contents are nothing but names and versions, which need not be taken apart.
    if is_plain_object_without(content, "m.federate") {
        return Ok(true);
    }
    let mut federate = Field::Missing;
    read_object(content, |key, reader| {
        if key.is("m.federate") {
            let bars = reader.kind()? == Kind::False;
            reader.skip_value()?;
            federate.put(Field::Is(!bars));
        } else {
            reader.skip_value()?;
        }
        Ok(())
    })
    .map_err(|_| Malformed::Create)?;
    match federate {
        Field::Missing => Ok(true),
        Field::Is(federates) => Ok(federates),
        Field::Malformed => Err(Malformed::Create),
    }
}

/// The `room_version`, if it is a string.
pub(crate) fn room_version(content: &str) -> Option<Cow<'_, str>> {
    string("room_version", content)
}

/// The `creator` of a room of version 1 to 10. None if it is no user ID: such a creator is nobody.
pub(crate) fn creator(content: &str) -> Option<Cow<'_, str>> {
    string("creator", content).filter(|creator| UserId::parse(creator).is_ok())
}

/// The property of this name, if it is a string.
fn string<'a>(name: &str, content: &'a str) -> Option<Cow<'a, str>> {
    let mut found = Field::Missing;
    let read = read_object(content, |key, reader| {
        if key.is(name) {
            found.put(reader.string_field()?);
        } else {
            reader.skip_value()?;
        }
        Ok(())
    });
    match (read, found) {
        (Ok(()), Field::Is(found)) => Some(found.text()),
        _ => None,
    }
}

/// Calls `each` for every string in `additional_creators` (v12). Anything else in there is passed over: an event with
/// it is never accepted as a create event, so this is about rooms that could not be.
pub(crate) fn additional_creators<'a>(content: &'a str, mut each: impl FnMut(Str<'a>)) {
    let mut creators = Field::Missing;
    let read = read_object(content, |key, reader| {
        let value = reader.skip()?;
        if key.is("additional_creators") {
            creators.put(Field::Is(value));
        }
        Ok(())
    });
    if let (Ok(()), Field::Is(creators)) = (read, creators) {
        let mut reader = Reader::new(creators);
        // A value that is no array has no entries; one that was read once is well-formed JSON.
        let _not_an_array = reader.array(|reader| {
            if let Field::Is(creator) = reader.string_field()? {
                each(creator);
            }
            Ok(())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_false_bars() {
        for (content, expected) in [
            ("{}", Ok(true)),
            (r#"{"m.federate":false}"#, Ok(false)),
            (r#"{"m\u002efederate":false}"#, Ok(false)),
            (r#"{"m.federate":true}"#, Ok(true)),
            (r#"{"m.federate":"false"}"#, Ok(true)),
            (r#"{"m.federate":0}"#, Ok(true)),
            (r#"{"m.federate":null}"#, Ok(true)),
            (r#"{"m.federate":true,"m.federate":true}"#, Err(Malformed::Create)),
            (r#"{"creator":"@a:b","room_version":"10"}"#, Ok(true)),
            (r#"{"creator":"@a:b", "m.federate":false}"#, Ok(false)),
            (r#"{"creator":"@a:b","m.federate":false}"#, Ok(false)),
            (r#"{"m.federate":false,"creator":"@a:b"}"#, Ok(false)),
            (r#"{"m\u002efederate":false,"creator":"@a:b"}"#, Ok(false)),
            (r#"{"creator":"@a:b","m.federate":"x","m.federate":"x"}"#, Err(Malformed::Create)),
            (r#"{"creator":"@a:b","room_version":"10"}}"#, Err(Malformed::Create)),
            (r#"{"creator":"@a:b","room_version":"10",}"#, Err(Malformed::Create)),
            (r#"{"creator":"@a:b","room_version":"10""#, Err(Malformed::Create)),
            (r#"{"creator":"@a:b","room_version":"1"#, Err(Malformed::Create)),
            (r#"{"creator":"@a:b","room_version"#, Err(Malformed::Create)),
            ("{\"creator\":\"@a:b\",\"room_version\":\"\n\"}", Err(Malformed::Create)),
            (r#"{"creator":"@a:b";"room_version":"10"}"#, Err(Malformed::Create)),
            ("[]", Err(Malformed::Create)),
            (r#"{"a":}"#, Err(Malformed::Create)),
            ("{} {}", Err(Malformed::Create)),
        ] {
            assert_eq!(federates(content), expected, "{content}");
        }
    }

    #[test]
    fn creators() {
        let name = |content| creator(content).map(Cow::into_owned);
        assert_eq!(name(r#"{"creator":"@\u0061:b"}"#), Some("@a:b".to_owned()));
        for nobody in [
            "{}",
            r#"{"creator":1}"#,
            r#"{"creator":"@nowhere"}"#,
            r#"{"creator":"@a:b","creator":"@a:b"}"#,
            r#"["creator","@a:b"]"#,
            "{",
        ] {
            assert_eq!(name(nobody), None, "{nobody}");
        }
        let listed = |content| {
            let mut all = Vec::new();
            additional_creators(content, |creator| all.push(creator.text().into_owned()));
            all
        };
        assert_eq!(listed(r#"{"additional_creators":["@a:b",1,["@x:y"],"@\u0063:d"]}"#), ["@a:b", "@c:d"]);
        for none in [
            "{}",
            r#"{"additional_creators":{"@a:b":1}}"#,
            r#"{"additional_creators":"@a:b"}"#,
            r#"{"additional_creators":["@a:b"],"additional_creators":["@a:b"]}"#,
            r#"{"additional_creators":["@a:b"]"#,
        ] {
            assert_eq!(listed(none), [""; 0], "{none}");
        }
    }
}
