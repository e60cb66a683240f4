//! JSON texts with serde: written as the values that they are, and read from any format that describes itself.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::ser::{self, SerializeMap as _, SerializeSeq as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{JsonError, Kind, MAX_CONTAINER_DEPTH, MAX_DEPTH, Reader, Str, push_string};

/// A JSON text that serializes as the value that it is: an object is an object, not a string with JSON in it. It may have events in
/// it, so it may be nested [`MAX_CONTAINER_DEPTH`] levels deep.
pub(crate) struct JsonText<'a>(pub(crate) &'a str);

impl Serialize for JsonText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut reader = Reader::with_depth(self.0, MAX_CONTAINER_DEPTH);
        let written = Next(RefCell::new(&mut reader)).serialize(serializer)?;
        reader.end().map_err(ser::Error::custom)?;
        Ok(written)
    }
}

/// The value that comes next in a text. It is read while it is written, so it can be written once.
struct Next<'r, 'a>(RefCell<&'r mut Reader<'a>>);

impl Serialize for Next<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut reader = self.0.borrow_mut();
        let kind = reader.kind().map_err(ser::Error::custom)?;
        match kind {
            Kind::Object => {
                let mut map = serializer.serialize_map(None)?;
                write_each(
                    |each| reader.object(|key, reader| each(Some(key), reader)),
                    |key, value| map.serialize_entry(&*key.map(Str::text).unwrap_or_default(), &value),
                )?;
                map.end()
            }
            Kind::Array => {
                let mut list = serializer.serialize_seq(None)?;
                write_each(
                    |each| reader.array(|reader| each(None, reader)),
                    |_, value| list.serialize_element(&value),
                )?;
                list.end()
            }
            Kind::String => serializer.serialize_str(&reader.string().map_err(ser::Error::custom)?.text()),
            Kind::Number => {
                let text = reader.number().map_err(ser::Error::custom)?.text();
                if let Ok(number) = text.parse::<i64>() {
                    return serializer.serialize_i64(number);
                }
                if let Ok(number) = text.parse::<u64>() {
                    return serializer.serialize_u64(number);
                }
                match text.parse::<f64>() {
                    Ok(number) if number.is_finite() => serializer.serialize_f64(number),
                    _ => Err(ser::Error::custom("number beyond the range of a double")),
                }
            }
            Kind::True | Kind::False => {
                reader.skip().map_err(ser::Error::custom)?;
                serializer.serialize_bool(kind == Kind::True)
            }
            Kind::Null => {
                reader.skip().map_err(ser::Error::custom)?;
                serializer.serialize_unit()
            }
        }
    }
}

/// Writes the members of an object or the elements of an array: `read` calls what it is given for each, and `write` has to read
/// the value. An error in writing ends the reading.
fn write_each<'a, E: ser::Error>(
    read: impl FnOnce(&mut dyn FnMut(Option<Str<'a>>, &mut Reader<'a>) -> Result<(), JsonError>) -> Result<(), JsonError>,
    mut write: impl FnMut(Option<Str<'a>>, Next<'_, 'a>) -> Result<(), E>,
) -> Result<(), E> {
    let mut failed = None;
    let read = read(&mut |key, reader| {
        let stop = reader.error(super::JsonErrorKind::UnexpectedCharacter);
        write(key, Next(RefCell::new(reader))).map_err(|error| {
            failed = Some(error);
            stop
        })
    });
    match (failed, read) {
        (Some(error), _) => Err(error),
        (None, read) => read.map_err(ser::Error::custom),
    }
}

/// The JSON text of a value that was read from a format that describes itself.
pub(crate) struct Captured(pub(crate) String);

impl<'de> Deserialize<'de> for Captured {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut text = String::new();
        Capture { out: &mut text, depth: 0 }.deserialize(deserializer)?;
        Ok(Self(text))
    }
}

struct Capture<'o> {
    out: &'o mut String,
    depth: u32,
}

impl Capture<'_> {
    fn inner(&mut self) -> Capture<'_> {
        Capture { out: self.out, depth: self.depth.saturating_add(1) }
    }
}

fn too_deep<E: de::Error>() -> E {
    E::custom(format_args!("JSON nested deeper than {MAX_DEPTH} levels"))
}

/// What kind of value was captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// A string that does not stand in the input as it is.
    OwnedString,
    /// Anything else.
    Other,
}

impl<'de> DeserializeSeed<'de> for Capture<'_> {
    type Value = Kept;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Kept, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// A key of a map: borrowed if it outlives the reading.
#[derive(Deserialize)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// The key of the one member in which serde_json hands over a number if some crate of the build has turned on its feature
/// `arbitrary_precision`.
///
/// It hands that key over as borrowed and the number as owned. An object of somebody's that has such a key has both borrowed if
/// it comes from a text that serde_json wrote, and both owned if it comes from a value.
const NUMBER: &str = "$serde_json::private::Number";

impl<'de> Visitor<'de> for Capture<'_> {
    type Value = Kept;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Kept, E> {
        self.out.push_str(if value { "true" } else { "false" });
        Ok(Kept::Other)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Kept, E> {
        self.out.push_str(&value.to_string());
        Ok(Kept::Other)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Kept, E> {
        self.out.push_str(&value.to_string());
        Ok(Kept::Other)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Kept, E> {
        if !value.is_finite() {
            return Err(E::custom("not a JSON number"));
        }
        // Shortest form that reads as the same number; an exponent is written as JSON has it.
        self.out.push_str(&format!("{value:?}"));
        Ok(Kept::Other)
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Kept, E> {
        push_string(self.out, value);
        Ok(Kept::OwnedString)
    }

    fn visit_borrowed_str<E: de::Error>(self, value: &'de str) -> Result<Kept, E> {
        push_string(self.out, value);
        Ok(Kept::Other)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Kept, E> {
        self.out.push_str("null");
        Ok(Kept::Other)
    }

    fn visit_none<E: de::Error>(self) -> Result<Kept, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Kept, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Kept, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<Kept, A::Error> {
        if self.depth >= MAX_DEPTH {
            return Err(too_deep());
        }
        let mut before = "[";
        loop {
            let start = self.out.len();
            self.out.push_str(before);
            if elements.next_element_seed(self.inner())?.is_none() {
                self.out.truncate(start);
                break;
            }
            before = ",";
        }
        self.out.push_str(if before == "[" { "[]" } else { "]" });
        Ok(Kept::Other)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Kept, A::Error> {
        // A number may stand where an object would be too deep.
        let only_number = self.depth >= MAX_DEPTH;
        if self.depth > MAX_DEPTH {
            return Err(too_deep());
        }
        let start = self.out.len();
        let mut before = '{';
        let mut may_be_number = false;
        while let Some(Key(key)) = members.next_key()? {
            let is_number_key = before == '{' && matches!(key, Cow::Borrowed(NUMBER));
            if only_number && !is_number_key {
                return Err(too_deep());
            }
            self.out.push(before);
            push_string(self.out, &key);
            self.out.push(':');
            let value = members.next_value_seed(self.inner())?;
            may_be_number = is_number_key && value == Kept::OwnedString;
            before = ',';
        }
        self.out.push_str(if before == '{' { "{}" } else { "}" });
        let number = self.out.get(start..).filter(|_| may_be_number).and_then(number);
        match number.map(str::to_owned) {
            Some(number) => {
                self.out.truncate(start);
                self.out.push_str(&number);
            }
            None if only_number => return Err(too_deep()),
            None => {}
        }
        Ok(Kept::Other)
    }
}

/// The number that is the value of [`NUMBER`] in this object.
fn number(object: &str) -> Option<&str> {
    let value = object.strip_prefix(r#"{"$serde_json::private::Number":""#)?.strip_suffix(r#""}"#)?;
    let mut reader = Reader::new(value);
    let number = reader.number().ok()?.text();
    reader.end().ok().filter(|()| number.len() == value.len())?;
    Some(number)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const TEXT: &str = r#" { "b" : [1, -2, 18446744073709551615, 1.5, 1e300, true, false, null, "\u00e9\ud83d\ude00\n"], "a":{},
        "\u0063":[] , "d":{"e":[[{}]]} } "#;

    #[test]
    fn values_as_they_are() {
        let value: Value = serde_json::from_str(TEXT).unwrap();
        assert_eq!(serde_json::to_value(JsonText(TEXT)).unwrap(), value);
        assert_eq!(json!({ "inside": JsonText(TEXT) }), json!({ "inside": value }));
        let written = serde_json::to_string(&JsonText(TEXT)).unwrap();
        let expected =
            r#"{"b":[1,-2,18446744073709551615,1.5,1e300,true,false,null,"é😀\n"],"a":{},"c":[],"d":{"e":[[{}]]}}"#;
        assert_eq!(written.replace("1e+300", "1e300"), expected);
        for text in ["1", "\"a\"", "null", "[]", "{}", "true"] {
            assert_eq!(serde_json::to_string(&JsonText(text)).unwrap(), text);
        }
        for (text, error) in [
            ("", "unexpected end of JSON at byte 0"),
            ("{", "unexpected end of JSON at byte 1"),
            ("{}{}", "characters after the JSON value at byte 2"),
            ("[1e999]", "number beyond the range of a double"),
            (r#"{"a":["\ud800"]}"#, "lone surrogate in a string at byte 7"),
        ] {
            assert_eq!(serde_json::to_string(&JsonText(text)).unwrap_err().to_string(), error, "{text}");
        }
    }

    /// As serde_json hands a number over with its feature `arbitrary_precision`.
    struct HandedOver(&'static str, &'static str);

    impl<'de> Deserializer<'de> for HandedOver {
        type Error = de::value::Error;

        fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
            let key = de::value::BorrowedStrDeserializer::new(self.0);
            visitor.visit_map(de::value::MapDeserializer::new([(key, self.1.to_owned())].into_iter()))
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
        }
    }

    #[test]
    fn numbers_that_are_handed_over_as_text() {
        for number in ["1.50", "-0", "1e400", "123456789012345678901234567890"] {
            assert_eq!(Captured::deserialize(HandedOver(NUMBER, number)).unwrap().0, number);
            // Where an object would be too deep.
            let mut out = String::new();
            let kept = Capture { out: &mut out, depth: MAX_DEPTH }.deserialize(HandedOver(NUMBER, number));
            assert_eq!((kept, out.as_str()), (Ok(Kept::Other), number));
        }
        for (key, value) in [(NUMBER, "x"), (NUMBER, ""), (NUMBER, " 1"), (NUMBER, "1 "), (NUMBER, "01"), ("a", "1")] {
            let object = format!(r#"{{"{key}":"{value}"}}"#);
            assert_eq!(Captured::deserialize(HandedOver(key, value)).unwrap().0, object);
            let mut out = String::new();
            let kept = Capture { out: &mut out, depth: MAX_DEPTH }.deserialize(HandedOver(key, value));
            assert_eq!(kept.unwrap_err().to_string(), "JSON nested deeper than 128 levels");
        }
        // An object that somebody has sent is an object, with whatever key.
        for text in [
            r#"{"$serde_json::private::Number":"1.50"}"#,
            r#"{"$serde_json::private::Number":"x"}"#,
            r#"{"$serde_json::private::Number":1}"#,
            r#"{"$serde_json::private::Number":"1","a":"2"}"#,
            r#"{"a":"2","$serde_json::private::Number":"1"}"#,
            r#"[{"$serde_json::private::Number":{"$serde_json::private::Number":[]}}]"#,
            r#"{"$serde_json::private::RawValue":"1"}"#,
        ] {
            assert_eq!(serde_json::from_str::<Captured>(text).unwrap().0, text);
            let value: Value = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::from_str::<Value>(&Captured::deserialize(&value).unwrap().0).unwrap(), value);
            let from_value: Captured = serde_json::from_value(value.clone()).unwrap();
            assert_eq!(serde_json::from_str::<Value>(&from_value.0).unwrap(), value);
        }
    }

    #[test]
    fn captured_from_text_and_from_values() {
        let from_text: Captured = serde_json::from_str(TEXT).unwrap();
        let expected =
            r#"{"b":[1,-2,18446744073709551615,1.5,1e300,true,false,null,"é😀\n"],"a":{},"c":[],"d":{"e":[[{}]]}}"#;
        assert_eq!(from_text.0, expected);
        let value: Value = serde_json::from_str(TEXT).unwrap();
        let from_value: Captured = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&from_value.0).unwrap(), value);
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let read = |text: &str| {
            let mut deserializer = serde_json::Deserializer::from_str(text);
            Captured::deserialize(&mut deserializer).map(|captured| captured.0)
        };
        assert_eq!(read(&deep(127)).unwrap(), deep(127));
        let refused = read(&deep(200)).unwrap_err().to_string();
        assert_eq!(refused, "recursion limit exceeded at line 1 column 128");
    }
}
