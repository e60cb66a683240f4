//! Texts, contents and events that nobody should send, among some that everybody sends.

use std::borrow::Cow;

use matrix_knock::event::{Event, Verify};
use matrix_knock::state::StateMap;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// An event as a host could have it: strings, the content among them, which nobody has looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) event_type: String,
    pub(crate) state_key: Option<String>,
    pub(crate) sender: String,
    pub(crate) content: String,
    pub(crate) room_id: Option<String>,
    pub(crate) event_id: Option<String>,
    pub(crate) prev: Option<String>,
}

impl Host {
    pub(crate) fn new(event_type: &str, state_key: &str, sender: &str, content: impl Into<String>) -> Self {
        Self {
            event_type: event_type.to_owned(),
            state_key: Some(state_key.to_owned()),
            sender: sender.to_owned(),
            content: content.into(),
            room_id: Some("!room:home".to_owned()),
            event_id: None,
            prev: None,
        }
    }

    pub(crate) fn member(sender: &str, target: &str, content: impl Into<String>) -> Self {
        Self::new("m.room.member", target, sender, content)
    }
}

impl Event for Host {
    fn event_type(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.event_type)
    }
    fn state_key(&self) -> Option<&str> {
        self.state_key.as_deref()
    }
    fn sender(&self) -> &str {
        &self.sender
    }
    fn content(&self) -> &str {
        &self.content
    }
    fn room_id(&self) -> Option<&str> {
        self.room_id.as_deref()
    }
    fn event_id(&self) -> Option<&str> {
        self.event_id.as_deref()
    }
    fn sole_prev_event(&self) -> Option<&str> {
        self.prev.as_deref()
    }
}

/// The state of these events: of two for one place the last.
pub(crate) fn map(state: &[Host]) -> StateMap<&Host> {
    state.iter().collect()
}

/// A signature of zeroes is good.
pub(crate) struct Zeroes;

impl Verify for Zeroes {
    fn verify(&self, _key: &[u8; 32], _message: &[u8], signature: &[u8; 64]) -> bool {
        signature == &[0; 64]
    }
}

pub(crate) const USERS: [&str; 4] = ["@alice:home", "@bob:home", "@carol:home", "@dave:away"];
const MEMBERSHIPS: &[&str] = &["join", "invite", "knock", "leave", "ban"];
const STATE: &[(&str, &str)] = &[
    ("m.room.create", ""),
    ("m.room.join_rules", ""),
    ("m.room.power_levels", ""),
    ("m.room.member", USERS[0]),
    ("m.room.member", USERS[1]),
    ("m.room.member", USERS[2]),
    ("m.room.member", USERS[3]),
    ("m.room.third_party_invite", "token"),
    ("m.room.name", ""),
];

fn any_of(texts: &'static [&'static str]) -> impl Strategy<Value = String> + Clone {
    select(texts).prop_map(str::to_owned)
}

/// Bytes of any kind, read as text where they are none.
fn bytes() -> impl Strategy<Value = String> {
    prop_oneof![
        vec(any::<u8>(), 0..64).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        any::<String>(),
        r#"[\[\]{}",:0-9eE+. \\utrfn-]{0,40}"#,
        "[@!#$][a-c:\\[\\]0-9.\\x00é-]{0,12}",
        ("[@!#$]", 240..270_usize).prop_map(|(sigil, length)| format!("{sigil}{}:b", "a".repeat(length))),
    ]
}

/// JSON with the words of the specification at the wrong places.
fn hostile_json() -> impl Strategy<Value = String> {
    let keys = any_of(&[
        "membership",
        "join_authorised_via_users_server",
        "third_party_invite",
        "signed",
        "mxid",
        "token",
        "signatures",
        "public_key",
        "public_keys",
        "join_rule",
        "allow",
        "creator",
        "m.federate",
        "additional_creators",
        "users",
        "users_default",
        "invite",
        "kick",
        "ban",
        "events",
        "type",
        "state_key",
        "sender",
        "content",
        "room_id",
        "event_id",
        "prev_events",
        "auth_events",
        "@alice:home",
        "@bob:home",
        "@dave:away",
        "ed25519:1",
        "home",
        "m\\u0065mbership",
        "us\\u0065rs",
        "\\u0062an",
        "\\ud800",
        "",
    ]);
    let leaf = prop_oneof![
        4 => any_of(&[
            r#""join""#, r#""invite""#, r#""knock""#, r#""leave""#, r#""ban""#, r#""kn\u006fck""#, r#""public""#,
            r#""knock_restricted""#, r#""restricted""#, r#""@alice:home""#, r#""@bob:home""#, r#""@\u0064ave:away""#,
            r#""token""#, r#""m.room.member""#, r#""m.room.create""#, r#""""#, r#""\ud83d\ude00""#, r#""\ud83d""#,
            r#""AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA""#, r#""====""#, r#""\u0000""#,
        ]),
        3 => any_of(&[
            "0", "-1", "50", "100", "-0", "1.5", "1e2", "1e400", "-1e-400", "9007199254740991", "9007199254740992",
            "9223372036854775807", "-9223372036854775808", "-9223372036854775809", "99999999999999999999999999",
            r#""50""#, r#"" +50 ""#, r#""-9223372036854775809""#, r#""5_0""#, r#""٥""#, "null", "true", "false", "[]",
            "{}",
        ]),
    ];
    leaf.prop_recursive(4, 24, 5, move |inner| {
        let member = (keys.clone(), inner.clone()).prop_map(|(key, value)| format!(r#""{key}":{value}"#));
        prop_oneof![
            1 => vec(inner, 0..4).prop_map(|elements| format!("[{}]", elements.join(","))),
            4 => vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(", "))),
        ]
    })
}

/// What a server that means well writes, for some event or other.
fn plausible() -> impl Strategy<Value = String> + Clone {
    let user = || any_of(&USERS);
    let signed = (user(), any_of(&["token", "other"]), any_of(&["A", "B"])).prop_map(|(user, token, sign)| {
        let signatures = format!(r#"{{"id.home":{{"ed25519:0":"{}"}}}}"#, sign.repeat(86));
        let signed = format!(r#"{{"mxid":"{user}","token":"{token}","signatures":{signatures}}}"#);
        format!(r#"{{"membership":"invite","third_party_invite":{{"signed":{signed}}}}}"#)
    });
    prop_oneof![
        6 => any_of(MEMBERSHIPS).prop_map(|membership| format!(r#"{{"membership":"{membership}"}}"#)),
        2 => (any_of(MEMBERSHIPS), user()).prop_map(|(membership, user)| {
            format!(r#"{{"join_authorised_via_users_server":"{user}","membership":"{membership}"}}"#)
        }),
        2 => signed,
    ]
}

/// What stands in the state under a type.
fn plausible_state(event_type: &str) -> BoxedStrategy<String> {
    match event_type {
        "m.room.create" => any_of(&[
            r#"{"creator":"@alice:home"}"#,
            r#"{"creator":"@bob:home","m.federate":false}"#,
            r#"{"additional_creators":["@bob:home","@dave:away"],"room_version":"12"}"#,
        ])
        .boxed(),
        "m.room.join_rules" => any_of(&[
            r#"{"join_rule":"knock"}"#,
            r#"{"join_rule":"knock_restricted","allow":[]}"#,
            r#"{"join_rule":"restricted","allow":[]}"#,
            r#"{"join_rule":"public"}"#,
            r#"{"join_rule":"invite"}"#,
        ])
        .boxed(),
        "m.room.power_levels" => any_of(&[
            "{}",
            r#"{"users":{"@alice:home":100,"@bob:home":50},"invite":50}"#,
            r#"{"users":{"@alice:home":"100","@dave:away":50.5},"users_default":"1","kick":1,"ban":99}"#,
            r#"{"users":{"@b\u006fb:home":100},"invite":100}"#,
        ])
        .boxed(),
        "m.room.third_party_invite" => any_of(&[
            r#"{"public_key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#,
            r#"{"public_keys":[{"public_key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},{},1],"public_key":1}"#,
        ])
        .boxed(),
        _ => prop_oneof![Just(r#"{"membership":"join"}"#.to_owned()), plausible()].boxed(),
    }
}

/// Flips, cuts, doubles and adds bytes.
fn mutated(texts: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    (texts, vec((0..4_u8, any::<Index>(), 1..8_usize, any::<u8>()), 1..4)).prop_map(|(text, mutations)| {
        let mut bytes = text.into_bytes();
        for (kind, at, length, byte) in mutations {
            let start = at.index(bytes.len() + 1);
            let range = start..bytes.len().min(start + length);
            match kind {
                0 => drop(bytes.drain(range)),
                1 => {
                    let copied = bytes[range.clone()].to_vec();
                    drop(bytes.splice(range.end..range.end, copied));
                }
                2 => bytes.insert(start, byte),
                _ => bytes.iter_mut().skip(start).take(1).for_each(|flipped| *flipped ^= 1 << (byte % 8)),
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The same JSON with some of the characters in its strings escaped, if it has no such escapes yet.
pub(crate) fn respelled(text: &str, choices: &[u8]) -> String {
    if text.contains("\\u") {
        return text.to_owned();
    }
    let (mut out, mut in_string, mut escaped) = (String::new(), false, false);
    for (character, choice) in text.chars().zip(choices.iter().cycle()) {
        match character {
            '"' if !escaped => in_string = !in_string,
            'a'..='z' | '0'..='9' | '@' | '_' | ':' if in_string && !escaped && *choice > 200 => {
                out.push_str(&format!("\\u{:04x}", u32::from(character)));
                continue;
            }
            _ => {}
        }
        escaped = character == '\\' && in_string && !escaped;
        out.push(character);
    }
    out
}

fn contents(plausible: impl Strategy<Value = String> + Clone + 'static) -> impl Strategy<Value = String> {
    prop_oneof![
        6 => plausible.clone(),
        2 => hostile_json(),
        1 => mutated(plausible),
        1 => bytes(),
    ]
}

fn users() -> impl Strategy<Value = String> {
    prop_oneof![
        20 => any_of(&USERS),
        1 => any_of(&["", "@", "@:", "@a", "alice:home", "@\0:home", "@alice:home:1", "@alice:[::1]"]),
        1 => bytes(),
    ]
}

/// An event to decide on.
pub(crate) fn events() -> impl Strategy<Value = Host> {
    let event_type = prop_oneof![30 => Just("m.room.member".to_owned()), 1 => any_of(&["", "m.room.create", "\0"])];
    let id = || option::of(any_of(&["$create", "$other", "", "\u{0}"]));
    let target = prop_oneof![8 => users().prop_map(Some), 1 => Just(None), 1 => Just(Some(String::new()))];
    let room_id = option::of(any_of(&["!room:home", "!create", "!", "\u{10ffff}"]));
    (event_type, users(), any::<bool>(), target, contents(plausible()), room_id, id(), id()).prop_map(
        |(event_type, sender, own, target, content, room_id, event_id, prev)| {
            let state_key = if own { Some(sender.clone()) } else { target };
            Host { event_type, state_key, sender, content, room_id, event_id, prev }
        },
    )
}

/// A state of whatever entries; nearly always with a create event.
pub(crate) fn states() -> impl Strategy<Value = Vec<Host>> {
    let entry = |event_type: &'static str, state_key: &'static str| {
        let ids = option::weighted(0.9, any_of(&["$create", "$other", "", "$a\"b\\c"]));
        (users(), contents(plausible_state(event_type)), ids).prop_map(move |(sender, content, event_id)| Host {
            event_id,
            ..Host::new(event_type, state_key, &sender, content)
        })
    };
    let create = option::weighted(0.95, entry("m.room.create", ""));
    let others = vec(select(STATE).prop_flat_map(move |(event_type, state_key)| entry(event_type, state_key)), 0..12);
    (create, others).prop_map(|(create, others)| create.into_iter().chain(others).collect())
}

/// Texts to read: no JSON, nearly JSON, JSON, whole events.
pub(crate) fn texts() -> impl Strategy<Value = String> {
    let events = events().prop_map(|event| {
        let field = |key: &str, value: &Option<String>| {
            value
                .as_ref()
                .map(|value| format!(r#","{key}":{}"#, serde_json::Value::from(value.as_str())))
                .unwrap_or_default()
        };
        format!(
            r#"{{"content":{}{}{}{}{}{},"prev_events":[{}]}}"#,
            event.content,
            field("type", &Some(event.event_type)),
            field("sender", &Some(event.sender)),
            field("state_key", &event.state_key),
            field("room_id", &event.room_id),
            field("event_id", &event.event_id),
            event.prev.map(|prev| serde_json::Value::from(prev).to_string()).unwrap_or_default(),
        )
    });
    let events = events.boxed();
    prop_oneof![
        2 => bytes(),
        2 => hostile_json(),
        2 => mutated(hostile_json()),
        3 => events.clone(),
        2 => mutated(events),
    ]
}
