//! Stripped state, by look-up and out of a pile of texts; and who knocks, out of such a pile.

use std::collections::HashMap;
use std::hint::black_box;

use matrix_knock::event::{EventType, Pdu};
use matrix_knock::id::UserId;
use matrix_knock::pending::PendingKnocks;
use matrix_knock::state::{FromFn, RoomState as _, StateMap};
use matrix_knock::stripped_state::{StrippedEvent, TYPES, for_client, in_texts};
use memchr::memchr;
use ruma_common::serde::Raw;
use ruma_common::{OwnedEventId, OwnedUserId};
use ruma_events::room::member::{MembershipState, RoomMemberEventContent};
use ruma_events::{AnyStateEvent, AnyStrippedStateEvent, StateEventType, TimelineEventType};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Operation;
use super::room::{Stored, VERSION, WAITING, leaked, raw, stored};

/// How the texts of a pile are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As servers send events to each other: canonical JSON, the type at its end.
    Federation,
    /// With an `unsigned` behind the type.
    Unsigned,
}

/// The text of a state event of about 800 bytes: what a server has beside the few properties that matter here.
pub(crate) fn state_event(event_type: &str, state_key: &str, content: &str, number: usize, form: Form) -> String {
    let id = |offset: usize| format!("$Zk3pWnQ0rYhT8vLxJd5sAeUo1bMqRfCgK{:09}", number.saturating_add(offset));
    let sender = if state_key.is_empty() { "@founder:a.example" } else { state_key };
    let unsigned = match form {
        Form::Federation => "",
        Form::Unsigned => {
            r#","unsigned":{"age_ts":1795320483644,"replaces_state":"$ww9FrykXFnMX4IkLxd4gk0Snf21TMxA8T0C_B5TZI28"}"#
        }
    };
    format!(
        r#"{{"auth_events":["{}","{}","{}"],"content":{content},"depth":{number},"hashes":{{"sha256":"KdoQXMysu5htYQ8u/MPclBS7boTmafGH/CqcwEpu4Dk"}},"origin":"a.example","origin_server_ts":1795320483644,"prev_events":["{}"],"room_id":"!mdzTZKjFFTCZKQSMlf:a.example","sender":"{sender}","signatures":{{"a.example":{{"ed25519:a_mdJa":"KSphBi24tccI+pKxeLFbEUD2BLn2Mo8JwYNIDjSjKx3V608sNq7DVt18ys2V0FvpWVPbiiEP/ebhWTj3wAjKBA"}}}},"state_key":"{state_key}","type":"{event_type}"{unsigned}}}"#,
        id(1),
        id(2),
        id(3),
        id(4),
    )
}

const CONTENTS: [(&str, &str); 7] = [
    ("m.room.create", r#"{"creator":"@founder:a.example","room_version":"10"}"#),
    ("m.room.join_rules", r#"{"join_rule":"knock"}"#),
    ("m.room.name", r#"{"name":"Räksmörgås \"and\" friends"}"#),
    (
        "m.room.avatar",
        r#"{"info":{"h":398,"mimetype":"image/jpeg","size":31037,"w":394},"url":"mxc://a.example/JWEIFJgwEIhweiWJE"}"#,
    ),
    ("m.room.topic", r#"{"topic":"Who is there? All that concerns doors, bells and those who wait outside"}"#),
    ("m.room.canonical_alias", r##"{"alias":"#knock:a.example","alt_aliases":["#door:a.example","#bell:a.example"]}"##),
    (
        "m.room.encryption",
        r#"{"algorithm":"m.megolm.v1.aes-sha2","rotation_period_ms":604800000,"rotation_period_msgs":100}"#,
    ),
];

const KNOCKED: &str = r#"{"avatar_url":"mxc://b.example/JWEIFJgwEIhweiWJE","displayname":"Wanda","membership":"knock","reason":"Let me in, please"}"#;

/// The stripped form as a server with ruma makes it.
#[derive(Deserialize, Serialize)]
struct Stripped<'a> {
    #[serde(borrow)]
    content: &'a RawValue,
    sender: OwnedUserId,
    state_key: String,
    r#type: StateEventType,
}

/// The seven events and the knocker's own, each from its stored text to the text that goes to the client.
pub(crate) fn lookup_of_texts() -> Operation {
    let mut texts: HashMap<&'static str, HashMap<&'static str, &'static str>> = HashMap::new();
    for (number, (event_type, content)) in CONTENTS.into_iter().enumerate() {
        let text = leaked(state_event(event_type, "", content, number, Form::Federation));
        texts.entry(event_type).or_default().insert("", text);
    }
    let own = leaked(state_event("m.room.member", WAITING, KNOCKED, 8, Form::Federation));
    texts.entry("m.room.member").or_default().insert(WAITING, own);
    let texts: &'static _ = Box::leak(Box::new(texts));
    let text = move |event_type: &str, key: &str| texts.get(event_type)?.get(key).copied();
    let user = UserId::parse(WAITING).unwrap();
    Operation::new(
        move || {
            let state = FromFn(|event_type: &str, key: &str| {
                text(event_type, key).map(|text| Pdu::parse_stored(text).unwrap())
            });
            for_client(black_box(&state), user).unwrap()
        },
        move || {
            let all = TYPES.into_iter().map(|event_type| (event_type, "")).chain([(EventType::Member, WAITING)]);
            let found = all.filter_map(|(event_type, key)| text(black_box(event_type.as_str()), key));
            found
                .map(|text| Raw::<Stripped<'_>>::new(&serde_json::from_str(text).unwrap()).unwrap().cast_unchecked())
                .collect::<Vec<Raw<AnyStrippedStateEvent>>>()
        },
        |ours, ruma| {
            ours.len() == 8 && ours.iter().map(StrippedEvent::text).eq(ruma.iter().map(|raw| raw.json().get()))
        },
    )
}

/// What is sent of an event that was read before.
#[derive(Serialize)]
struct StrippedRef<'a> {
    content: &'a RawValue,
    sender: &'a ruma_common::UserId,
    state_key: &'a str,
    r#type: &'a TimelineEventType,
}

/// The same from events that were read before, by the same look-up.
pub(crate) fn lookup() -> Operation {
    let event = |event_type, key, sender, content: &str| stored(event_type, key, sender, raw(content.to_owned()));
    let events = CONTENTS.map(|(event_type, content)| event(event_type, "", "@founder:a.example", content));
    let own = event("m.room.member", WAITING, WAITING, KNOCKED);
    let state: StateMap<Stored<'_>> = events.into_iter().chain([own]).collect();
    let state: &'static StateMap<Stored<'static>> = Box::leak(Box::new(state));
    let user = UserId::parse(WAITING).unwrap();
    Operation::new(
        move || for_client(black_box(state), user).unwrap(),
        move || {
            let all = TYPES.into_iter().map(|event_type| (event_type, "")).chain([(EventType::Member, WAITING)]);
            let found = all.filter_map(|(event_type, key)| state.event(black_box(event_type), key).unwrap());
            let stripped = found.map(|event| StrippedRef {
                content: event.content,
                sender: event.sender,
                state_key: event.state_key.unwrap(),
                r#type: &event.ruma_type,
            });
            stripped
                .map(|event| Raw::new(&event).unwrap().cast_unchecked())
                .collect::<Vec<Raw<AnyStrippedStateEvent>>>()
        },
        |ours, ruma| {
            ours.len() == 8 && ours.iter().map(StrippedEvent::text).eq(ruma.iter().map(|raw| raw.json().get()))
        },
    )
}

/// So many texts, nearly all of them of members, with the seven far apart among them.
pub(crate) fn pile(count: usize, form: Form) -> impl Iterator<Item = String> {
    let apart = count.checked_div(CONTENTS.len()).unwrap_or_default().max(1);
    (0..count).map(move |number| {
        let place = number.checked_div(apart).unwrap_or_default();
        match CONTENTS.get(place) {
            Some((event_type, content)) if number.checked_rem(apart) == Some(0) => {
                state_event(event_type, "", content, number, form)
            }
            _ => {
                let user = format!("@user{number:07}:a.example");
                let content = format!(
                    r#"{{"avatar_url":"mxc://a.example/SEsfnsuifSDFSSEF","displayname":"User {number}","membership":"join"}}"#
                );
                state_event("m.room.member", &user, &content, number, form)
            }
        }
    })
}

/// The seven out of a pile of texts. For ruma they are known to be JSON before.
///
/// The limit: going over all their bytes, looking for one that is not there.
pub(crate) fn raw_texts(count: usize, form: Form) -> Operation {
    let texts: Vec<Raw<AnyStateEvent>> = pile(count, form).map(|text| Raw::from_json_string(text).unwrap()).collect();
    let texts: &'static [Raw<AnyStateEvent>] = texts.leak();
    Operation::new(
        move || {
            let found = in_texts(black_box(texts).iter().map(|raw| raw.json().get())).unwrap();
            found.iter().map(Pdu::text).collect::<Vec<&str>>()
        },
        move || {
            let mut found = [None; TYPES.len()];
            for raw in black_box(texts) {
                let event_type = raw.get_field::<StateEventType>("type").unwrap().unwrap();
                let slot = match event_type {
                    StateEventType::RoomCreate => 0,
                    StateEventType::RoomJoinRules => 1,
                    StateEventType::RoomName => 2,
                    StateEventType::RoomAvatar => 3,
                    StateEventType::RoomTopic => 4,
                    StateEventType::RoomCanonicalAlias => 5,
                    StateEventType::RoomEncryption => 6,
                    _ => continue,
                };
                let slot: Option<&mut Option<&str>> = found.get_mut(slot);
                if raw.get_field::<&str>("state_key").unwrap() == Some("") {
                    slot.into_iter().for_each(|slot| *slot = Some(raw.json().get()));
                }
            }
            found.into_iter().flatten().collect::<Vec<&str>>()
        },
        |ours, ruma| ours.len() == TYPES.len() && ours == ruma,
    )
    .with_limit(move || black_box(texts).iter().filter(|raw| memchr(0, raw.json().get().as_bytes()).is_some()).count())
}

/// Who knocks, out of a pile of texts of which every two hundredth is a knock: user, ID of the event, reason, in order of arrival. The
/// limit as above.
pub(crate) fn pending(count: usize) -> Operation {
    let texts = pile(count, Form::Federation).enumerate().map(|(number, text)| {
        if number.checked_rem(200) != Some(100) {
            return text;
        }
        let content = r#"{"displayname":"Wanda","membership":"knock","reason":"Let me in, please"}"#;
        let user = format!("@knocker{number:07}:b.example");
        let knock = state_event("m.room.member", &user, content, number, Form::Federation);
        knock.replacen('{', &format!(r#"{{"event_id":"$Zk3pWnQ0rYhT8vLxJd5sAeUo1bMqRfCgK{number:09}","#), 1)
    });
    let texts: Vec<Raw<AnyStateEvent>> = texts.map(|text| Raw::from_json_string(text).unwrap()).collect();
    let texts: &'static [Raw<AnyStateEvent>] = texts.leak();
    Operation::new(
        move || PendingKnocks::from_state(VERSION, black_box(texts).iter().map(|raw| raw.json().get())),
        move || {
            let mut found = Vec::new();
            for raw in black_box(texts) {
                if raw.get_field::<StateEventType>("type").unwrap() != Some(StateEventType::RoomMember) {
                    continue;
                }
                let content = raw.get_field::<RoomMemberEventContent>("content").unwrap().unwrap();
                if content.membership == MembershipState::Knock {
                    let user = raw.get_field::<OwnedUserId>("state_key").unwrap().unwrap();
                    let time = raw.get_field::<i64>("origin_server_ts").unwrap().unwrap();
                    let event_id = raw.get_field::<OwnedEventId>("event_id").unwrap().unwrap();
                    found.push((time, event_id, user, content.reason));
                }
            }
            found.sort();
            found
        },
        move |ours, ruma| {
            let ours = ours.iter().map(|knocker| (knocker.user(), knocker.event_id(), knocker.reason()));
            let ruma =
                ruma.iter().map(|(_, event_id, user, reason)| (user.as_str(), event_id.as_str(), reason.as_deref()));
            ruma.len() == count.saturating_add(99).checked_div(200).unwrap_or_default() && ours.eq(ruma)
        },
    )
    .with_limit(move || black_box(texts).iter().filter(|raw| memchr(0, raw.json().get().as_bytes()).is_some()).count())
}
