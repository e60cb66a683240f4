//! The properties of an object that a rule reads.

use std::str::FromStr;

use super::reader::{Kind, Reader};
use super::{JsonError, Str};

/// A property of an object, as far as a rule is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Field<T> {
    /// There is no such property.
    #[default]
    Missing,
    /// It is there, and is of the wrong kind, has an impossible value or stands twice.
    Malformed,
    /// It is there once, and has this value.
    Is(T),
}

impl<T> Field<T> {
    /// Takes what was read; a second value for the same property makes it malformed.
    #[inline]
    pub(crate) fn put(&mut self, read: Self) {
        *self = match self {
            Self::Missing => read,
            Self::Malformed | Self::Is(_) => Self::Malformed,
        };
    }

    /// The value if the property is there, or this error if it is malformed.
    pub(crate) fn optional<E>(self, malformed: E) -> Result<Option<T>, E> {
        match self {
            Self::Missing => Ok(None),
            Self::Malformed => Err(malformed),
            Self::Is(value) => Ok(Some(value)),
        }
    }

    /// The value; none if the property is missing or malformed.
    pub(crate) fn known(self) -> Option<T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Missing | Self::Malformed => None,
        }
    }

    #[inline]
    pub(crate) fn map<U>(self, to: impl FnOnce(T) -> U) -> Field<U> {
        match self {
            Self::Missing => Field::Missing,
            Self::Malformed => Field::Malformed,
            Self::Is(value) => Field::Is(to(value)),
        }
    }
}

impl<'a> Reader<'a> {
    /// Reads a string, or reads over something else that is malformed where a string should be.
    pub(crate) fn string_field(&mut self) -> Result<Field<Str<'a>>, JsonError> {
        if let Some(plain) = self.plain_string() {
            return Ok(Field::Is(plain));
        }
        if self.kind()? == Kind::String {
            return self.string().map(Field::Is);
        }
        self.skip_value().map(|()| Field::Malformed)
    }

    /// Reads a list of what `entry` reads, or reads over something else. Malformed is also a list with an entry that is.
    pub(crate) fn list_field<T>(
        &mut self,
        mut entry: impl FnMut(&mut Self) -> Result<Field<T>, JsonError>,
    ) -> Result<Field<Vec<T>>, JsonError> {
        if self.kind()? != Kind::Array {
            return self.skip_value().map(|()| Field::Malformed);
        }
        let mut list = Field::Is(Vec::new());
        self.array(|reader| {
            match (&mut list, entry(reader)?) {
                (Field::Is(entries), Field::Is(entry)) => entries.push(entry),
                (malformed, _) => *malformed = Field::Malformed,
            }
            Ok(())
        })?;
        Ok(list)
    }

    /// Reads a number that is written as an integer of this type (`-0` is one too, where the dialect has it), or reads over
    /// something else that is malformed where one should be.
    pub(crate) fn integer_field<T: FromStr>(&mut self) -> Result<Field<T>, JsonError> {
        if self.kind()? == Kind::Number {
            return Ok(self.number()?.text().parse().map_or(Field::Malformed, Field::Is));
        }
        self.skip_value().map(|()| Field::Malformed)
    }
}

/// Reads an object that is the whole text. `Err` if the text is anything else.
pub(crate) fn read_object<'a>(
    text: &'a str,
    member: impl FnMut(Str<'a>, &mut Reader<'a>) -> Result<(), JsonError>,
) -> Result<(), JsonError> {
    let mut reader = Reader::new(text);
    reader.object(member)?;
    reader.end()
}

/// Reads an object that is the whole text, of which each member stands for itself.
pub(crate) fn read_object_unread<'a>(text: &'a str, member: impl FnMut(Str<'a>, &'a str)) -> Result<(), JsonError> {
    let mut reader = Reader::new(text);
    reader.object_unread(member)?;
    reader.end()
}

/// Reads an array that is the whole text, of which each entry stands for itself: `entry` gets the texts.
pub(crate) fn read_array_unread<'a>(text: &'a str, mut entry: impl FnMut(&'a str)) -> Result<(), JsonError> {
    let mut reader = Reader::new(text);
    reader.array(|reader| {
        entry(reader.skip_unread()?);
        Ok(())
    })?;
    reader.end()
}

/// Reads a value that is the whole text. Malformed if the text is no JSON.
pub(crate) fn read_field<'a, T>(
    text: &'a str,
    read: impl FnOnce(&mut Reader<'a>) -> Result<Field<T>, JsonError>,
) -> Field<T> {
    let mut reader = Reader::new(text);
    let field = read(&mut reader).unwrap_or(Field::Malformed);
    if reader.end().is_ok() { field } else { Field::Malformed }
}

/// Reads an object that comes next, or reads over something else. Whether it was an object.
pub(crate) fn read_object_field<'a>(
    reader: &mut Reader<'a>,
    member: impl FnMut(Str<'a>, &mut Reader<'a>) -> Result<(), JsonError>,
) -> Result<bool, JsonError> {
    if reader.kind()? == Kind::Object {
        return reader.object(member).map(|()| true);
    }
    reader.skip_value().map(|()| false)
}
