//! JSON texts with serde: written as the values that they are, and read from any format that describes itself.

use std::cell::RefCell;
use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::ser::{self, SerializeMap as _, SerializeSeq as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{JsonError, Kind, MAX_DEPTH, Reader, Str, push_string};

/// A JSON text that serializes as the value that it is: an object is an object, not a string with JSON in it.
pub(crate) struct JsonText<'a>(pub(crate) &'a str);

impl Serialize for JsonText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut reader = Reader::new(self.0);
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
    fn deeper<E: de::Error>(&mut self) -> Result<Capture<'_>, E> {
        if self.depth >= MAX_DEPTH {
            return Err(E::custom(format_args!("JSON nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Capture { out: self.out, depth: self.depth.saturating_add(1) })
    }
}

impl<'de> DeserializeSeed<'de> for Capture<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// The key of the one member in which serde_json hands over a number if some crate of the build has turned on its feature
/// `arbitrary_precision`.
const NUMBER: &str = "$serde_json::private::Number";

impl<'de> Visitor<'de> for Capture<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        self.out.push_str(if value { "true" } else { "false" });
        Ok(())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        self.out.push_str(&value.to_string());
        Ok(())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        self.out.push_str(&value.to_string());
        Ok(())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        if !value.is_finite() {
            return Err(E::custom("not a JSON number"));
        }
        // Shortest form that reads as the same number; an exponent is written as JSON has it.
        self.out.push_str(&format!("{value:?}"));
        Ok(())
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<(), E> {
        push_string(self.out, value);
        Ok(())
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.out.push_str("null");
        Ok(())
    }

    fn visit_none<E: de::Error>(self) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        let mut before = "[";
        loop {
            let start = self.out.len();
            self.out.push_str(before);
            if elements.next_element_seed(self.deeper()?)?.is_none() {
                self.out.truncate(start);
                break;
            }
            before = ",";
        }
        self.out.push_str(if before == "[" { "[]" } else { "]" });
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        let mut before = '{';
        while let Some(key) = members.next_key::<String>()? {
            if before == '{' && key == NUMBER {
                return number(self.out, &members.next_value::<String>()?);
            }
            self.out.push(before);
            push_string(self.out, &key);
            self.out.push(':');
            members.next_value_seed(self.deeper()?)?;
            before = ',';
        }
        self.out.push_str(if before == '{' { "{}" } else { "}" });
        Ok(())
    }
}

/// Writes a number that was handed over as text.
fn number<E: de::Error>(out: &mut String, text: &str) -> Result<(), E> {
    let mut reader = Reader::new(text);
    match reader.number().and_then(|number| reader.end().map(|()| number.text())) {
        Ok(number) if !number.is_empty() => {
            out.push_str(number);
            Ok(())
        }
        Ok(_) | Err(_) => Err(E::custom("not a JSON number")),
    }
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

    #[test]
    fn captured_from_text_and_from_values() {
        let from_text: Captured = serde_json::from_str(TEXT).unwrap();
        let expected =
            r#"{"b":[1,-2,18446744073709551615,1.5,1e300,true,false,null,"é😀\n"],"a":{},"c":[],"d":{"e":[[{}]]}}"#;
        assert_eq!(from_text.0, expected);
        let value: Value = serde_json::from_str(TEXT).unwrap();
        let from_value: Captured = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&from_value.0).unwrap(), value);
        let number: Captured = serde_json::from_str(r#"{"$serde_json::private::Number":"1.50"}"#).unwrap();
        assert_eq!(number.0, "1.50");
        for malformed in ["1 ", "x", "", "\\\"1\\\"", "01"] {
            let text = format!(r#"{{"$serde_json::private::Number":"{malformed}"}}"#);
            assert_eq!(serde_json::from_str::<Captured>(&text).is_ok(), malformed == "1 ", "{malformed}");
        }
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let read = |text: &str| {
            let mut deserializer = serde_json::Deserializer::from_str(text);
            Captured::deserialize(&mut deserializer).map(|captured| captured.0)
        };
        assert_eq!(read(&deep(127)).unwrap(), deep(127));
        assert!(read(&deep(200)).is_err());
    }
}
