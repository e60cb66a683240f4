//! Events in every form that a ruma-based host keeps: each reads as the library's own `Pdu` of the
//! same text, and decides the same.
#![expect(clippy::expect_used, reason = "a test that cannot be set up fails")]

use std::collections::HashMap;
use std::sync::Arc;

use matrix_knock::auth::{AuthorizeError, authorize};
use matrix_knock::event::{Event, EventType, MemberFacts, Membership, Pdu};
use matrix_knock::state::RoomState;
use matrix_knock::{NoVerifier, RoomVersion};
use matrix_knock_ruma::event::{CanonicalEvent, StateResEvent, is_type, name_of_type, pdu_of_raw, state_event_type};
use matrix_knock_ruma::state::StateMap;
use proptest::prelude::*;
use ruma_common::serde::Raw;
use ruma_common::{
    CanonicalJsonObject, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId,
};
use ruma_events::{AnyStateEvent, StateEventType, TimelineEventType};
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Debug, Deserialize)]
struct PduEvent {
    event_id: OwnedEventId,
    room_id: Option<OwnedRoomId>,
    sender: OwnedUserId,
    #[serde(rename = "type")]
    kind: TimelineEventType,
    content: Box<RawValue>,
    state_key: Option<String>,
    prev_events: Vec<OwnedEventId>,
}

matrix_knock_ruma::impl_event! {
    impl Event for PduEvent |pdu| {
        event_type: &pdu.kind,
        state_key: pdu.state_key.as_deref(),
        sender: &pdu.sender,
        content: &pdu.content,
        room_id: pdu.room_id.as_deref(),
        event_id: Some(&*pdu.event_id),
        prev_events: &pdu.prev_events
    }
}

impl ruma_state_res::Event for PduEvent {
    type Id = OwnedEventId;

    fn event_id(&self) -> &OwnedEventId {
        &self.event_id
    }

    fn room_id(&self) -> Option<&RoomId> {
        self.room_id.as_deref()
    }

    fn sender(&self) -> &UserId {
        &self.sender
    }

    fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
        MilliSecondsSinceUnixEpoch(0_u8.into())
    }

    fn event_type(&self) -> &TimelineEventType {
        &self.kind
    }

    fn content(&self) -> &RawValue {
        &self.content
    }

    fn state_key(&self) -> Option<&str> {
        self.state_key.as_deref()
    }

    fn prev_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(self.prev_events.iter())
    }

    fn auth_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(std::iter::empty())
    }

    fn redacts(&self) -> Option<&OwnedEventId> {
        None
    }

    fn rejected(&self) -> bool {
        false
    }
}

/// All that the library asks of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Read {
    event_type: String,
    /// Of these types, those that the event is of.
    is_type: Vec<EventType<'static>>,
    state_key: Option<String>,
    sender: String,
    content: String,
    room_id: Option<String>,
    event_id: Option<String>,
    sole_prev_event: Option<String>,
    member_facts: MemberFacts,
}

const TYPES: [EventType<'static>; 13] = [
    EventType::Create,
    EventType::JoinRules,
    EventType::PowerLevels,
    EventType::Member,
    EventType::ThirdPartyInvite,
    EventType::ServerAcl,
    EventType::Policy,
    EventType::HistoryVisibility,
    EventType::Name,
    EventType::Avatar,
    EventType::Topic,
    EventType::CanonicalAlias,
    EventType::Encryption,
];

impl Read {
    fn of(event: &impl Event) -> Self {
        let other = EventType::from("org.example.x");
        let owned = |text: &str| text.to_owned();
        Self {
            event_type: event.event_type().into_owned(),
            is_type: TYPES.into_iter().chain([other]).filter(|event_type| event.is_type(*event_type)).collect(),
            state_key: event.state_key().map(owned),
            sender: event.sender().to_owned(),
            content: event.content().to_owned(),
            room_id: event.room_id().map(owned),
            event_id: event.event_id().map(owned),
            sole_prev_event: event.sole_prev_event().map(owned),
            member_facts: event.member_facts(),
        }
    }
}

/// Each form of the text, read.
fn forms(text: &str) -> Vec<Read> {
    let struct_: PduEvent = serde_json::from_str(text).expect("an event");
    let object: CanonicalJsonObject = serde_json::from_str(text).expect("an object");
    let raw: Raw<AnyStateEvent> = serde_json::from_str(text).expect("JSON");
    vec![
        Read::of(&Pdu::parse_stored(text).expect("an event")),
        Read::of(&struct_),
        Read::of(&&struct_),
        Read::of(&StateResEvent(&struct_)),
        Read::of(&CanonicalEvent::new(&object)),
        Read::of(&CanonicalEvent::with_event_id(&object, &struct_.event_id)),
        Read::of(&pdu_of_raw(&raw).expect("an event")),
    ]
}

#[test]
fn every_form_reads_the_same() {
    let names = TYPES.iter().map(|event_type| event_type.as_str()).chain(["org.example.x", "m.room.message"]);
    for name in names {
        for (state_key, room_id, prev_events) in [
            ("", r#","state_key":"""#, r#"["$a"]"#),
            (r#","room_id":"!r:a.example""#, r#","state_key":"@kay:b.example""#, r#"["$a","$b"]"#),
            (r#","room_id":"!r:a.example""#, "", "[]"),
        ] {
            let text = format!(
                r#"{{"content":{{"displayname":"Kay","membership":"knock"}},"event_id":"$e","prev_events":{prev_events},"sender":"@kay:b.example","type":"{name}"{state_key}{room_id}}}"#
            );
            let forms = forms(&text);
            let first = forms.first().expect("a form");
            assert_eq!(first.event_type, name);
            assert_eq!(first.sole_prev_event.as_deref(), (prev_events == r#"["$a"]"#).then_some("$a"));
            for (number, form) in forms.iter().enumerate() {
                assert_eq!(form, first, "form {number} of {text}");
            }
        }
    }
}

#[test]
fn types_by_variant_and_by_name() {
    for event_type in TYPES {
        let timeline = TimelineEventType::from(event_type.as_str());
        assert_eq!(name_of_type(&timeline), event_type.as_str());
        let state = state_event_type(event_type);
        assert_eq!((state.to_string().as_str(), &timeline), (event_type.as_str(), &state.clone().into()));
        for other in TYPES {
            assert_eq!(is_type(&timeline, other), event_type == other);
        }
        // Not the catch-all variant, which is equal to nothing.
        assert_eq!(state, StateEventType::from(event_type.as_str()));
    }
    let custom = TimelineEventType::from("org.example.x");
    assert!(is_type(&custom, "org.example.x".into()) && !is_type(&custom, "org.example.y".into()));
    assert_eq!(name_of_type(&custom), "org.example.x");
    assert_eq!(state_event_type("org.example.x".into()).to_string(), "org.example.x");
}

#[test]
fn objects_that_are_no_events() {
    let read = |text: &str| {
        let object: CanonicalJsonObject = serde_json::from_str(text).expect("an object");
        Read::of(&CanonicalEvent::new(&object))
    };
    let nothing = Read {
        event_type: String::new(),
        is_type: Vec::new(),
        state_key: None,
        sender: String::new(),
        content: String::new(),
        room_id: None,
        event_id: None,
        sole_prev_event: None,
        member_facts: MemberFacts::of(""),
    };
    assert_eq!(read("{}"), nothing);
    let wrong = r#"{"type":1,"state_key":null,"sender":[],"content":1,"room_id":{},"event_id":true,"prev_events":{}}"#;
    assert_eq!(read(wrong), Read { content: "1".to_owned(), member_facts: MemberFacts::of("1"), ..nothing.clone() });
    // As versions 1 and 2 have it.
    let pair = read(r#"{"prev_events":[["$a:b",{"sha256":"x"}]]}"#);
    assert_eq!(pair, Read { sole_prev_event: Some("$a:b".to_owned()), ..nothing.clone() });
    assert_eq!(read(r#"{"prev_events":[[]]}"#), nothing);
    assert_eq!(read(r#"{"prev_events":[1]}"#), nothing);
}

fn stored(name: &str, state_key: &str, content: &str) -> PduEvent {
    let text = format!(
        r#"{{"type":"{name}","state_key":"{state_key}","sender":"@alice:a.example","content":{content},"event_id":"$e","prev_events":[]}}"#
    );
    serde_json::from_str(&text).expect("an event")
}

type Map<E> = HashMap<(StateEventType, String), E>;

fn room(join_rule: &str, member: Option<&str>) -> Map<Arc<PduEvent>> {
    let mut events = vec![
        stored("m.room.create", "", r#"{"creator":"@alice:a.example"}"#),
        stored("m.room.join_rules", "", &format!(r#"{{"join_rule":"{join_rule}"}}"#)),
        stored("org.example.x", "k", "{}"),
    ];
    events.extend(member.map(|content| stored("m.room.member", "@kay:b.example", content)));
    let key = |event: &PduEvent| (event.kind.to_string().into(), event.state_key.clone().expect("a state key"));
    events.into_iter().map(|event| (key(&event), Arc::new(event))).collect()
}

#[test]
fn rumas_map_as_the_state_of_a_room() {
    let map = room("knock", None);
    let state = StateMap(&map);
    for (event_type, key, is_there) in [
        (EventType::Create, "", true),
        (EventType::Create, "x", false),
        (EventType::JoinRules, "", true),
        (EventType::Name, "", false),
        (EventType::Member, "@kay:b.example", false),
        (EventType::from("org.example.x"), "k", true),
        (EventType::from("org.example.x"), "", false),
        (EventType::from("org.example.y"), "k", false),
    ] {
        let found = state.event(event_type, key).expect("a whole state");
        let expected = map.get(&(state_event_type(event_type), key.to_owned()));
        assert_eq!(
            (found.map(Arc::as_ptr), found.is_some()),
            (expected.map(Arc::as_ptr), is_there),
            "{event_type} {key}"
        );
    }
    assert_eq!(format!("{state:?}"), "StateMap(3 events)");
}

/// The decision is that of the library's own types, and ruma's.
#[test]
fn decisions() {
    let knock = PduEvent {
        sender: "@kay:b.example".try_into().expect("a user"),
        ..stored("m.room.member", "@kay:b.example", r#"{"membership":"knock"}"#)
    };
    let member = |membership: &str| format!(r#"{{"membership":"{membership}"}}"#);
    for (join_rule, before, allowed) in [
        ("knock", None, true),
        ("knock_restricted", None, true),
        ("invite", None, false),
        ("public", None, false),
        ("knock", Some("leave"), true),
        ("knock", Some("knock"), true),
        ("knock", Some("invite"), false),
        ("knock", Some("join"), false),
        ("knock", Some("ban"), false),
    ] {
        let map = room(join_rule, before.map(member).as_deref());
        let state = StateMap(&map);
        let ours = authorize(RoomVersion::V10, &knock, &state, &NoVerifier);
        let wrapped = StateResEvent(&knock);
        let by_wrapper = authorize(RoomVersion::V10, &wrapped, &state, &NoVerifier);
        let rules = ruma_common::room_version_rules::AuthorizationRules::V10;
        let fetch = |event_type: &StateEventType, key: &str| state.get(event_type, key).map(|event| &**event);
        let rumas = ruma_state_res::check_state_dependent_auth_rules(&rules, &knock, fetch);
        assert_eq!(
            (ours.as_ref().ok().map(|proof| proof.membership()), rumas.is_ok()),
            (allowed.then_some(Membership::Knock), allowed),
            "{join_rule} {before:?}"
        );
        assert_eq!(
            by_wrapper.map(drop).map_err(AuthorizeError::into),
            ours.map(drop).map_err(Text::from),
            "{join_rule}"
        );
    }
}

/// An error by its text.
#[derive(Debug, PartialEq, Eq)]
struct Text(String);

impl From<AuthorizeError> for Text {
    fn from(error: AuthorizeError) -> Self {
        Self(error.to_string())
    }
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i32>().prop_map(Into::into),
        "[a-z@$!:.]{0,8}".prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            proptest::collection::btree_map("[a-z]{1,6}", inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

/// What each property may be: often what an event has there.
fn property(name: &'static str) -> impl Strategy<Value = Option<serde_json::Value>> {
    let good = match name {
        "type" => serde_json::json!("m.room.member"),
        "content" => serde_json::json!({ "membership": "knock" }),
        "prev_events" => serde_json::json!(["$a"]),
        "room_id" => serde_json::json!("!r:a.example"),
        "event_id" => serde_json::json!("$e"),
        _ => serde_json::json!("@kay:b.example"),
    };
    prop_oneof![4 => Just(Some(good)), 1 => json().prop_map(Some), 1 => Just(None)]
}

const NAMES: [&str; 7] = ["type", "state_key", "sender", "content", "room_id", "event_id", "prev_events"];

proptest! {
    /// Whatever an object has under the names that are read, it is read without a panic. Where the
    /// library takes it for an event at all, it reads and decides the same.
    #[test]
    fn any_object(values in NAMES.map(property)) {
        let object = NAMES.iter().zip(values).filter_map(|(name, value)| Some(((*name).to_owned(), value?)));
        let text = serde_json::Value::Object(object.collect()).to_string();
        let object: CanonicalJsonObject = serde_json::from_str(&text).expect("an object");
        let event = CanonicalEvent::new(&object);
        let content = object.get("content").map(ToString::to_string).unwrap_or_default();
        prop_assert_eq!(event.content(), content);
        let map = room("knock", None);
        let decide = |event: &dyn Event| authorize(RoomVersion::V11, event, &StateMap(&map), &NoVerifier).map(drop);
        let decided = decide(&event);
        if let Ok(pdu) = Pdu::parse_stored(&text) {
            let written = Read { content: event.content().to_owned(), ..Read::of(&pdu) };
            prop_assert_eq!((Read::of(&event), decided), (written, decide(&pdu)));
        }
    }
}
