//! To and from serde_json's `RawValue`, in which hosts keep JSON. Feature `serde_json`.
//!
//! Reading never goes through serde_json: it keeps the last of two equal keys, and a `RawValue` may be nested 10,000 levels
//! deep and have lone surrogates in it.

use serde::Deserialize as _;
use serde::de::value::{Error, MapDeserializer};
use serde::de::{Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::value::RawValue;

use crate::event::{Pdu, PduError, SignedEvent};
use crate::stripped_state::StrippedEvent;
use crate::template::Template;

/// Reads an event that comes from anywhere, as [`Pdu::parse`].
impl<'a> TryFrom<&'a RawValue> for Pdu<'a> {
    type Error = PduError;

    fn try_from(value: &'a RawValue) -> Result<Self, PduError> {
        Self::parse(value.get())
    }
}

/// Without reading or copying the text.
impl From<StrippedEvent> for Box<RawValue> {
    fn from(event: StrippedEvent) -> Self {
        raw(event.into())
    }
}

/// Without reading or copying the text.
impl From<SignedEvent> for Box<RawValue> {
    fn from(event: SignedEvent) -> Self {
        raw(event.into_text())
    }
}

/// The body of the answer, without reading it again.
impl From<&Template> for Box<RawValue> {
    fn from(template: &Template) -> Self {
        raw(template.to_response())
    }
}

/// A text of this crate's own, which is JSON.
fn raw(mut text: String) -> Box<RawValue> {
    // serde_json takes a text for a raw value without reading it if it comes from a deserializer that answers as its own does. A
    // serde_json that asks in another way gets the text to read; what it cannot read is no value.
    let unread = Box::<RawValue>::deserialize(Named(&mut text));
    unread.or_else(|_| RawValue::from_string(text)).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// Hands a text over under the name that it is asked for.
struct Named<'t>(&'t mut String);

impl<'de> Deserializer<'de> for Named<'_> {
    type Error = Error;

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(MapDeserializer::new(std::iter::once((name, Text(self.0)))))
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        Text(self.0).deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}

/// Hands a text over.
struct Text<'t>(&'t mut String);

impl IntoDeserializer<'_, Error> for Text<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Text<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(std::mem::take(self.0))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event as _;

    #[test]
    fn a_text_is_handed_over_as_it_is() {
        let text = r#"{"content":{"a":[1,"é"]},"sender":"@a:b","state_key":"","type":"t"}"#;
        let event = StrippedEvent::try_from(text.to_owned()).unwrap();
        let value: Box<RawValue> = event.into();
        assert_eq!(value.get(), text);
        let pdu = Pdu::try_from(&*value).unwrap();
        assert_eq!((pdu.text(), pdu.sender()), (text, "@a:b"));
        // Neither read (it need not even be JSON) nor copied.
        let text = "not JSON".to_owned().into_boxed_str();
        let address = text.as_ptr();
        let value = raw(text.into());
        assert_eq!((value.get(), value.get().as_ptr()), ("not JSON", address));
        let deep = RawValue::from_string(format!("{}{}", "[".repeat(1000), "]".repeat(1000))).unwrap();
        assert!(matches!(Pdu::try_from(&*deep), Err(PduError::Json(_))));
    }
}
