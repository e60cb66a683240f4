//! The entries of an answer: whole, redacted or cut to four keys, one of them spoiled; and what is
//! to become of each.

use matrix_knock::RoomVersion;
use serde_json::{Map, Value, json};

use crate::recorded::{KEY_ID, RESIDENT};

/// How a server sends an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The event as it was made.
    Whole,
    /// The event as it is after its redaction: signatures and hashes are those of the whole one.
    Redacted,
    /// `type`, `state_key`, `sender`, `content`.
    FourKeys,
}

/// What is wrong with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spoil {
    Signature,
    NoSignatures,
    /// The content says more than was signed.
    Forged,
    OtherRoom,
    NoStateKey,
    LoneSurrogate,
    KeyTwice,
    InfiniteNumber,
    /// So many levels in the event, its own braces included.
    Levels(usize),
    Null,
    ContentIsAList,
    TooLarge,
    /// Not of the event: nobody signs it.
    OddUnsigned,
    /// Another type, written in this way.
    Type(&'static str),
    /// A create event with this state key, which is not empty.
    SecondCreate,
    /// The only one of four keys.
    Cut,
}

pub(crate) const SPOILS: [Spoil; 19] = [
    Spoil::Signature,
    Spoil::NoSignatures,
    Spoil::Forged,
    Spoil::OtherRoom,
    Spoil::NoStateKey,
    Spoil::LoneSurrogate,
    Spoil::KeyTwice,
    Spoil::InfiniteNumber,
    Spoil::Levels(120),
    Spoil::Levels(121),
    Spoil::Levels(128),
    Spoil::Levels(129),
    Spoil::Null,
    Spoil::ContentIsAList,
    Spoil::TooLarge,
    Spoil::OddUnsigned,
    Spoil::Type(r"m.room.\u006dember"),
    Spoil::SecondCreate,
    Spoil::Cut,
];

/// What is to become of an entry, were it alone.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fate {
    /// Shown as verified: this, of four keys.
    Verified(Value),
    /// A candidate to be shown as not verified.
    Unverified(Value),
    /// As that, but nested too deep to be shown.
    TooDeep(Value),
    /// Dropped for this reason (as far as a number in it).
    Dropped(String),
}

/// An event that is sent.
#[derive(Debug, Clone)]
pub(crate) struct Entry<'e> {
    pub(crate) event: &'e Map<String, Value>,
    pub(crate) form: Form,
    pub(crate) spoil: Option<Spoil>,
}

fn dropped(reason: &str) -> Fate {
    Fate::Dropped(reason.to_owned())
}

fn malformed(reason: &str) -> Fate {
    Fate::Dropped(format!("malformed event: {reason}"))
}

/// What the redaction leaves of a content.
/// <https://spec.matrix.org/v1.19/rooms/v7/#redactions> and those of the later versions.
fn redacted(version: RoomVersion, event_type: &str, content: &Value) -> Value {
    let kept: &[&str] = match event_type {
        "m.room.create" if version >= RoomVersion::V11 => return content.clone(),
        "m.room.create" => &["creator"],
        "m.room.join_rules" if version >= RoomVersion::V8 => &["join_rule", "allow"],
        "m.room.join_rules" => &["join_rule"],
        "m.room.member" if version >= RoomVersion::V9 => &["membership", "join_authorised_via_users_server"],
        "m.room.member" => &["membership"],
        _ => &[],
    };
    let kept = kept.iter().filter_map(|key| Some(((*key).to_owned(), content.get(key)?.clone())));
    Value::Object(kept.collect())
}

impl Entry<'_> {
    fn event_type(&self) -> &str {
        self.event["type"].as_str().expect("a type")
    }

    pub(crate) fn is_create(&self) -> bool {
        self.event_type() == "m.room.create"
    }

    /// The form in which it is sent.
    fn sent_form(&self) -> Form {
        if self.spoil == Some(Spoil::Cut) { Form::FourKeys } else { self.form }
    }

    /// The content as it is sent, but for what spoils it.
    fn content(&self, version: RoomVersion) -> Value {
        let content = &self.event["content"];
        match self.sent_form() {
            Form::Redacted => redacted(version, self.event_type(), content),
            Form::Whole | Form::FourKeys => content.clone(),
        }
    }

    /// What is put into the content to spoil it, as JSON text behind a comma.
    fn put_into_content(&self) -> String {
        match self.spoil {
            Some(Spoil::Forged) => r#","forged":"x""#.to_owned(),
            Some(Spoil::LoneSurrogate) => r#","forged":"\udead""#.to_owned(),
            Some(Spoil::KeyTwice) => r#","forged":{"a":1,"\u0061":2}"#.to_owned(),
            Some(Spoil::InfiniteNumber) => r#","forged":1e400"#.to_owned(),
            // The event itself and its content are two levels.
            Some(Spoil::Levels(levels)) => {
                let lists = levels.checked_sub(2).expect("more than two levels");
                format!(r#","forged":{}{}"#, "[".repeat(lists), "]".repeat(lists))
            }
            _ => String::new(),
        }
    }

    /// The entry as it is sent.
    pub(crate) fn text(&self, version: RoomVersion) -> String {
        let mut members: Vec<(String, String)> = self
            .event
            .iter()
            .filter(|(name, _)| match self.sent_form() {
                Form::Whole | Form::Redacted => true,
                Form::FourKeys => ["type", "state_key", "sender", "content"].contains(&name.as_str()),
            })
            .map(|(name, value)| (name.clone(), value.to_string()))
            .collect();
        let mut set = |name: &str, value: Option<String>| {
            members.retain(|(known, _)| known != name);
            members.extend(value.map(|value| (name.to_owned(), value)));
        };
        let content = self.content(version).to_string();
        let more = self.put_into_content();
        let inner = content.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).expect("an object");
        let more = if inner.is_empty() { more.trim_start_matches(',') } else { &more };
        set("content", Some(format!("{{ {inner}{more} }}")));
        if self.sent_form() == Form::Redacted {
            set("unsigned", Some(r#"{"redacted_because":{"content":{"reason":"x"}},"redacted_by":"$x"}"#.to_owned()));
        }
        match self.spoil {
            Some(Spoil::Signature) => {
                let signature = self.event["signatures"][RESIDENT][KEY_ID].as_str().expect("a signature");
                let first = if signature.starts_with('A') { 'B' } else { 'A' };
                let rest = signature.get(1..).expect("more characters");
                set("signatures", Some(json!({ RESIDENT: { KEY_ID: format!("{first}{rest}") } }).to_string()));
            }
            Some(Spoil::NoSignatures) => set("signatures", Some("{}".to_owned())),
            // Since version 12 a create event is of the room that its hash names.
            Some(Spoil::OtherRoom) if self.is_create() && version == RoomVersion::V12 => {
                set("origin_server_ts", Some("1".to_owned()));
            }
            Some(Spoil::OtherRoom) => set("room_id", Some(r#""!other:hs1.test:18448""#.to_owned())),
            Some(Spoil::NoStateKey) => set("state_key", None),
            Some(Spoil::Null) => return "null".to_owned(),
            Some(Spoil::ContentIsAList) => set("content", Some("[]".to_owned())),
            Some(Spoil::TooLarge) => set("x", Some(format!("\"{}\"", "x".repeat(66_000)))),
            Some(Spoil::OddUnsigned) => {
                let odd = format!(r#"{{"age":1.5,"x":"\ud800","x":{}1{}}}"#, "[".repeat(300), "]".repeat(300));
                set("unsigned", Some(odd));
            }
            Some(Spoil::Type(name)) => set("type", Some(format!("\"{name}\""))),
            Some(Spoil::SecondCreate) => {
                set("type", Some(r#""m.room.create""#.to_owned()));
                set("state_key", Some(r#""x""#.to_owned()));
            }
            _ => {}
        }
        let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\" : {value}")).collect();
        format!("{{\n{}\n}}", members.join(",\t"))
    }

    /// The event of four keys with this content.
    fn shown(&self, content: &Value) -> Value {
        let [event_type, state_key, sender] = ["type", "state_key", "sender"].map(|name| &self.event[name]);
        match self.spoil {
            Some(Spoil::SecondCreate) => {
                json!({ "content": content, "sender": sender, "state_key": "x", "type": "m.room.create" })
            }
            _ => json!({ "content": content, "sender": sender, "state_key": state_key, "type": event_type }),
        }
    }

    /// What is to become of it, were it alone.
    pub(crate) fn fate(&self, version: RoomVersion) -> Fate {
        // First what makes it no event at all, in any form.
        match self.spoil {
            Some(Spoil::Null) => return malformed("event is not an object"),
            Some(Spoil::LoneSurrogate) => return malformed("lone surrogate in a string"),
            Some(Spoil::KeyTwice) => return malformed("duplicate key in an object"),
            Some(Spoil::InfiniteNumber) => return malformed("number not allowed in canonical JSON"),
            Some(Spoil::Levels(129)) => return malformed("JSON nested deeper than 128 levels"),
            Some(Spoil::TooLarge) => return malformed("event of"),
            Some(Spoil::ContentIsAList) => {
                return malformed("`content` of the event is of the wrong kind or out of range");
            }
            // Since version 12 a create event alone has no room ID; without its state key it is
            // none.
            Some(Spoil::NoStateKey)
                if self.is_create() && version == RoomVersion::V12 && self.sent_form() != Form::FourKeys =>
            {
                return malformed("event has no `room_id`");
            }
            Some(Spoil::NoStateKey) => return dropped("not a state event"),
            _ => {}
        }
        match self.sent_form() {
            Form::FourKeys => self.fate_of_four_keys(version),
            Form::Whole | Form::Redacted => self.fate_of_signed(version),
        }
    }

    fn fate_of_four_keys(&self, version: RoomVersion) -> Fate {
        let event_type = match self.spoil {
            Some(Spoil::Type(_)) => "m.room.member",
            Some(Spoil::SecondCreate) => "m.room.create",
            _ => self.event_type(),
        };
        match event_type {
            "m.room.member" => dropped("an unverified member event"),
            "m.room.create" if version == RoomVersion::V12 => dropped("an unverified create event"),
            _ if matches!(self.spoil, Some(Spoil::Levels(121..))) => Fate::TooDeep(self.shown(&json!({}))),
            _ => {
                let more = format!("{{{}}}", self.put_into_content().trim_start_matches(','));
                let more: Map<String, Value> = serde_json::from_str(&more).expect("JSON that everybody reads");
                let mut content = self.content(version);
                content.as_object_mut().expect("an object").extend(more);
                Fate::Unverified(self.shown(&content))
            }
        }
    }

    fn fate_of_signed(&self, version: RoomVersion) -> Fate {
        let is_create_of_v12 = self.is_create() && version == RoomVersion::V12;
        let bad_signature = || dropped(&format!("the signature of `{RESIDENT}` by `{KEY_ID}` does not verify"));
        let other_room = || dropped("an event of another room");
        let content = &self.event["content"];
        let redacted = redacted(version, self.event_type(), content);
        match self.spoil {
            // Since version 12 a create event alone has no room ID; under another name it is none.
            Some(Spoil::Type(_) | Spoil::SecondCreate) if is_create_of_v12 => malformed("event has no `room_id`"),
            Some(Spoil::Signature | Spoil::Type(_) | Spoil::SecondCreate) => bad_signature(),
            Some(Spoil::NoSignatures) => dropped(&format!("no signature by a known key of `{RESIDENT}` that counts")),
            Some(Spoil::OtherRoom) => other_room(),
            // A redaction keeps all of a create event's content since version 11; in version 12 its
            // hash is the room's ID.
            Some(Spoil::Forged | Spoil::Levels(_)) if is_create_of_v12 => other_room(),
            Some(Spoil::Forged | Spoil::Levels(_)) if self.is_create() && version >= RoomVersion::V11 => {
                bad_signature()
            }
            // What else is put into a content is covered by the content hash alone: the redacted
            // event holds.
            Some(Spoil::Forged | Spoil::Levels(_)) => Fate::Verified(self.shown(&redacted)),
            _ if self.form == Form::Redacted => Fate::Verified(self.shown(&redacted)),
            _ => Fate::Verified(self.shown(content)),
        }
    }

    /// Whether there is a way to spoil an entry of this form like that.
    pub(crate) fn can_be(&self, spoil: Spoil) -> bool {
        let of_signed = matches!(spoil, Spoil::Signature | Spoil::NoSignatures | Spoil::OtherRoom | Spoil::Cut);
        let is_member_already = matches!(spoil, Spoil::Type(_)) && self.event_type() == "m.room.member";
        !(is_member_already || (self.form == Form::FourKeys && of_signed))
    }
}
