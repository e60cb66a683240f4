//! Member events as they are sent, and what a redaction leaves of them.

use matrix_knock::RoomVersion;
use matrix_knock::event::event_id;

use crate::model::Entry;

/// What is no content of a member event.
pub(crate) const MALFORMED: [&str; 6] = [
    "[]",
    r#""knock""#,
    "{}",
    r#"{"membership":1}"#,
    r#"{"membership":["knock"]}"#,
    r#"{"membership":"knock","membership":"knock"}"#,
];

/// How the membership of a knock may be written.
pub(crate) const WRITTEN: [&str; 3] = [r#""knock""#, r#""\u006bnock""#, r#" "kn\u006Fck" "#];

/// A reason, a name or an avatar.
#[derive(Debug, Clone)]
pub(crate) enum Said {
    Nothing,
    Text(String),
    /// What is no string.
    Otherwise(&'static str),
    /// The key stands twice: nobody knows which counts. (Servers do not let such an event in; old
    /// stores may have it.)
    Twice(String),
}

impl Said {
    fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Nothing | Self::Otherwise(_) | Self::Twice(_) => None,
        }
    }

    fn push(&self, name: &str, out: &mut String) {
        let string = |text: &str| serde_json::to_string(text).expect("a string");
        match self {
            Self::Nothing => {}
            Self::Text(text) => out.push_str(&format!(r#","{name}":{}"#, string(text))),
            Self::Otherwise(value) => out.push_str(&format!(r#","{name}":{value}"#)),
            Self::Twice(text) => {
                let text = string(text);
                out.push_str(&format!(r#","{name}":{text},"{name}":{text}"#));
            }
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Content {
    Knock {
        /// The membership, a JSON string.
        written: &'static str,
        reason: Said,
        displayname: Said,
        avatar_url: Said,
    },
    /// Another membership.
    Other(&'static str),
    Malformed(&'static str),
}

impl Content {
    fn text(&self) -> String {
        match self {
            Self::Knock { written, reason, displayname, avatar_url } => {
                let mut out = format!(r#"{{"membership":{written}"#);
                reason.push("reason", &mut out);
                displayname.push("displayname", &mut out);
                avatar_url.push("avatar_url", &mut out);
                out + "}"
            }
            Self::Other(membership) => format!(r#"{{"membership":"{membership}","reason":"x","displayname":"y"}}"#),
            Self::Malformed(text) => (*text).to_owned(),
        }
    }

    /// What a redaction leaves of it: of what is here, the membership.
    fn redacted(&self) -> String {
        match self {
            Self::Knock { .. } => r#"{"membership":"knock"}"#.to_owned(),
            Self::Other(membership) => format!(r#"{{"membership":"{membership}"}}"#),
            Self::Malformed(_) => "{}".to_owned(),
        }
    }
}

/// A member event as it was sent.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) user: String,
    pub(crate) id: String,
    pub(crate) time: i64,
    pub(crate) text: String,
    content: Content,
}

pub(crate) fn user(number: u8) -> String {
    format!("@u{number}:b")
}

/// How the event is stored: a host may have noted its ID.
fn stored(text: &str, id: &str, noted: bool) -> String {
    if noted { text.replacen('{', &format!(r#"{{"event_id":"{id}","#), 1) } else { text.to_owned() }
}

/// The event without the host's note of its ID.
pub(crate) fn without_note(text: &str) -> String {
    match text.strip_prefix(r#"{"event_id":""#).and_then(|rest| rest.split_once(r#"","#)) {
        Some((_, rest)) => format!("{{{rest}"),
        None => text.to_owned(),
    }
}

impl Sent {
    /// The event with this number: its hash, and with it its ID, is another than that of all
    /// others.
    pub(crate) fn new(
        version: RoomVersion,
        number: usize,
        user: u8,
        content: Content,
        by_oneself: bool,
        time: Option<i64>,
        noted: bool,
    ) -> Self {
        let user = self::user(user);
        let sender = if by_oneself { &user } else { "@mod:a" };
        let text = Self::write(&user, sender, number, time, &content.text());
        // What cannot be redacted has no ID of its own; it is no knock either.
        let id = event_id(version, &text).unwrap_or_else(|_| format!("$malformed{number}"));
        Self { text: stored(&text, &id, noted), user, id, time: time.unwrap_or(0), content }
    }

    fn write(user: &str, sender: &str, number: usize, time: Option<i64>, content: &str) -> String {
        format!(
            concat!(
                r#"{{"auth_events":["$c"],"content":{},"depth":7,"hashes":{{"sha256":"{}"}},"origin_server_ts":{},"#,
                r#""prev_events":["$p"],"room_id":"!r:a","sender":"{}","signatures":{{}},"state_key":"{}","#,
                r#""type":"m.room.member","unsigned":{{"age":{}}}}}"#
            ),
            content,
            number,
            // What is no time counts as 0.
            time.map_or_else(|| r#""soon""#.to_owned(), |time| time.to_string()),
            sender,
            user,
            number
        )
    }

    /// The event as a store has it once it is redacted.
    pub(crate) fn redacted(&self) -> String {
        self.text.replacen(
            &format!(r#""content":{},"depth""#, self.content.text()),
            &format!(r#""content":{},"depth""#, self.content.redacted()),
            1,
        )
    }

    pub(crate) const fn is_knock(&self) -> bool {
        matches!(self.content, Content::Knock { .. })
    }

    /// The knock as it is listed.
    pub(crate) fn entry(&self) -> Entry {
        let [reason, displayname, avatar_url] = match &self.content {
            Content::Knock { reason, displayname, avatar_url, .. } => [reason, displayname, avatar_url].map(Said::text),
            Content::Other(_) | Content::Malformed(_) => [None, None, None],
        };
        let (user, event_id, time) = (self.user.clone(), self.id.clone(), self.time);
        Entry { user, event_id, time, reason, displayname, avatar_url }
    }
}
