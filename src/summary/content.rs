//! What a summary takes out of the contents of events.

use crate::id::RoomAlias;
use crate::json::{Field, Reader, read_field, read_object_unread};

/// The property of this name if it is a string, whatever else stands there.
pub(super) fn text(content: &str, name: &str) -> Option<String> {
    string(property(content, name)?)
}

/// The value that is a string.
pub(super) fn string(value: &str) -> Option<String> {
    read_field(value, Reader::string_field).known().map(|text| text.text().into_owned())
}

/// The text of the property of this name, if it is there once.
pub(super) fn property<'c>(content: &'c str, name: &str) -> Option<&'c str> {
    let mut found = Field::Missing;
    let read = read_object_unread(content, |key, value| {
        if key.is(name) {
            found.put(Field::Is(value));
        }
    });
    read.ok().and(found.known())
}

/// The topic as plain text: the first plain text among the forms in `m.topic`, if there are any;
/// else the `topic`.
///
/// <https://spec.matrix.org/v1.19/client-server-api/#mroomtopic>
pub(super) fn topic(content: &str) -> Option<String> {
    let Some(forms) = property(content, "m.topic").and_then(|topic| property(topic, "m.text")) else {
        return text(content, "topic");
    };
    let mut found = None;
    let read = crate::json::read_array_unread(forms, |form| {
        let is_plain =
            property(form, "mimetype").is_none_or(|kind| string(kind).is_some_and(|kind| kind == "text/plain"));
        if found.is_none() && is_plain {
            found = text(form, "body");
        }
    });
    match read {
        Ok(()) => found,
        // What is not a list has no forms.
        Err(_) => text(content, "topic"),
    }
}

pub(super) fn is_alias(text: &str) -> bool {
    RoomAlias::parse(text).is_ok()
}

pub(super) fn is_mxc(text: &str) -> bool {
    text.starts_with("mxc://")
}
