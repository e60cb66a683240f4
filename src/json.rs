//! JSON texts of remote servers, read and written without a tree of values.
//!
//! A reader walks over a text once, borrows every string that has no escape, and gives numbers as they were
//! written. Nothing here is recursive beyond [`MAX_CONTAINER_DEPTH`], and nothing allocates while reading.
//!
//! Why not serde_json: a decision must not allocate, object keys that stand twice must be noticed, numbers must
//! reach the rules as written (`1.0` and `1e2` are levels in room versions 1 to 5 and malformed later), and the
//! result must not change when another crate of the host turns on a feature of serde_json. serde_json is the
//! oracle for this module in the tests.

mod canonical;
mod field;
mod filter;
mod reader;
mod string;
mod value;

use std::borrow::Cow;

pub(crate) use canonical::{Canonical, canonical_container, canonical_part, canonicalize, push_string, push_strings};
pub use canonical::{CanonicalDialect, canonical};
pub(crate) use field::{Field, read_array_unread, read_field, read_object, read_object_field, read_object_unread};
pub(crate) use filter::{Everything, Filter, Member, Without};
pub(crate) use reader::{Kind, Number, Reader, is_plain_object_without};
pub(crate) use string::Str;
pub(crate) use value::{Captured, JsonText};

/// [`canonical`], borrowed if the text is that already, but for objects that stand deep in it.
pub(crate) fn canonical_as_it_stands(text: &str, dialect: CanonicalDialect) -> Result<Cow<'_, str>, JsonError> {
    let as_written = Reader::new(text).skip_as_written(|number| dialect.is_as_written(number));
    match as_written.filter(|value| value.len() == text.len()) {
        Some(value) => Ok(Cow::Borrowed(value)),
        None => canonical(text, dialect).map(Cow::Owned),
    }
}

/// How deep objects and arrays may stand in each other: 128 levels.
pub const MAX_DEPTH: u32 = 128;

/// How deep objects and arrays may stand in each other in what has events in it, such as a request between servers: 160 levels.
/// An event of [`MAX_DEPTH`] fits in, with room for what comes around it.
pub const MAX_CONTAINER_DEPTH: u32 = 160;

/// A text that is not the JSON it has to be, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{kind} at byte {at}")]
pub struct JsonError {
    kind: JsonErrorKind,
    at: usize,
}

impl JsonError {
    pub(crate) const fn new(kind: JsonErrorKind, at: usize) -> Self {
        Self { kind, at }
    }

    /// What is wrong.
    #[must_use]
    pub const fn kind(&self) -> JsonErrorKind {
        self.kind
    }

    /// Where it is wrong: an offset into the text in bytes, from 0.
    #[must_use]
    pub const fn at(&self) -> usize {
        self.at
    }
}

impl JsonErrorKind {
    /// Whether the text is in the grammar of JSON, as far as it was read, and only has a value that this crate does not take.
    const fn is_about_a_value(self) -> bool {
        match self {
            Self::TooDeep
            | Self::DeeperThan { .. }
            | Self::LoneSurrogate
            | Self::DuplicateKey
            | Self::NumberNotAllowed => true,
            Self::UnexpectedEnd
            | Self::UnexpectedCharacter
            | Self::TrailingCharacters
            | Self::ControlCharacter
            | Self::InvalidEscape => false,
        }
    }
}

/// The kinds of [`JsonError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum JsonErrorKind {
    /// The text ends within a value.
    #[error("unexpected end of JSON")]
    UnexpectedEnd,
    /// A character that cannot stand here.
    #[error("unexpected character")]
    UnexpectedCharacter,
    /// Something other than white space behind the value.
    #[error("characters after the JSON value")]
    TrailingCharacters,
    /// Objects and arrays nested deeper than [`MAX_DEPTH`].
    #[error("JSON nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// Objects and arrays nested deeper than another bound: [`MAX_CONTAINER_DEPTH`] in what has events in it, less in an error.
    #[error("JSON nested deeper than {levels} levels")]
    DeeperThan {
        /// The bound.
        levels: u32,
    },
    /// A control character (below U+0020) within a string that is not escaped.
    #[error("unescaped control character in a string")]
    ControlCharacter,
    /// A backslash followed by something that is no escape.
    #[error("invalid escape in a string")]
    InvalidEscape,
    /// An escape of one half of a surrogate pair: no Unicode text.
    #[error("lone surrogate in a string")]
    LoneSurrogate,
    /// An object in which the same key stands twice.
    #[error("duplicate key in an object")]
    DuplicateKey,
    /// A number that this dialect of canonical JSON does not have: since v6 a float, an exponent, `-0` or an integer
    /// beyond ±(2^53-1); before v6 a float beyond the range of a double.
    #[error("number not allowed in canonical JSON")]
    NumberNotAllowed,
}
