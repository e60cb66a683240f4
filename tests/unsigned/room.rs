//! A room, and the events that come in: each with what decides about it.

use matrix_knock::RoomVersion;
use matrix_knock::event::Pdu;
use matrix_knock::state::StateMap;
use serde_json::{Value, json};

use super::events::{ALICE, Room, event_id, signed};

pub(crate) const KAY: &str = "@kay:b.example";

/// An event as it comes in, without `unsigned`, and the ID that it has or claims.
#[derive(Debug, Clone)]
pub(crate) struct Base {
    pub(crate) name: &'static str,
    pub(crate) text: String,
    pub(crate) event_id: String,
}

impl Base {
    fn new(name: &'static str, version: RoomVersion, event: &Value) -> Self {
        Self { name, text: event.to_string(), event_id: event_id(version, event) }
    }
}

/// A room that can be knocked on, and Kay's knock in it.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    pub(crate) room: Room,
    /// Create event, join rules and Kay's knock, as the host has them.
    stored: [String; 3],
    /// The IDs of those that events name in their `auth_events`.
    named: [Option<String>; 3],
}

impl Scene {
    pub(crate) fn new(version: RoomVersion) -> Self {
        let room = Room::new(version);
        let rules = room.event("m.room.join_rules", "", &json!({ "join_rule": "knock" }));
        let events =
            [room.create.clone(), rules, signed(version, &kays(&room, &json!({ "membership": "knock" }), &[]))];
        let ids = events.each_ref().map(|event| event_id(version, event));
        let mut stored = events;
        for (event, id) in stored.iter_mut().zip(&ids) {
            event["event_id"] = json!(id);
        }
        let mut named = ids.map(Some);
        if version >= RoomVersion::V12 {
            named[0] = None;
        }
        Self { room, stored: stored.map(|event| event.to_string()), named }
    }

    pub(crate) const fn version(&self) -> RoomVersion {
        self.room.version
    }

    /// The state before the knock, or with it.
    pub(crate) fn state(&self, with_knock: bool) -> StateMap<Pdu<'_>> {
        let texts = self.stored.iter().take(if with_knock { 3 } else { 2 });
        texts.map(|text| Pdu::parse_stored(text).expect("an event")).collect()
    }

    fn kays(&self, content: &Value, with_knock: bool) -> Value {
        // Of the join rules, no leave and no ban takes note.
        let [create, rules, knock] = self.named.each_ref();
        let named = if with_knock { [create, knock] } else { [create, rules] };
        let named: Vec<&str> = named.into_iter().flatten().map(String::as_str).collect();
        kays(&self.room, content, &named)
    }

    /// The ID of Kay's knock.
    pub(crate) fn knock_id(&self) -> &str {
        self.named[2].as_deref().expect("the knock is named")
    }

    /// Kay's event with this content, whole and in every way in which it may be wrong.
    fn member_events(&self, content: &Value, with_knock: bool) -> Vec<Base> {
        let version = self.version();
        let good = self.kays(content, with_knock);
        let with = |property: &str, value: Value| {
            let mut event = good.clone();
            event[property] = value;
            event
        };
        let in_content = |value: Value| {
            let mut event = good.clone();
            event["content"]["x"] = value;
            signed(version, &event)
        };
        let of_bytes = |bytes: usize| {
            let short = in_content(json!("")).to_string().len();
            in_content(json!("x".repeat(bytes - short)))
        };
        let of_depth = |levels: usize| in_content((2..levels).fold(json!(0), |inner, _| json!([inner])));
        let sign = |event: &Value| signed(version, event);
        let mut forged = sign(&good);
        forged["depth"] = json!(7);
        let mut changed = sign(&good);
        changed["content"]["reason"] = json!("Another");
        let base = |name, event: &Value| Base::new(name, version, event);
        let mut bases = vec![
            base("good", &sign(&good)),
            base("with a bad signature", &forged),
            base("with a wrong hash", &changed),
            base("of another room", &sign(&with("room_id", json!("!other:a.example")))),
            base("of another user", &sign(&with("state_key", json!(ALICE)))),
            base("of another type", &sign(&with("type", json!("m.room.name")))),
            base("of another membership", &sign(&with("content", json!({ "membership": "join" })))),
            base("without previous events", &sign(&with("prev_events", json!([])))),
            base("without auth events", &sign(&with("auth_events", json!([])))),
            base("of 65,408 bytes", &of_bytes(65_408)),
            base("of 65,409 bytes", &of_bytes(65_409)),
            base("of 65,536 bytes", &of_bytes(65_536)),
            base("of 65,537 bytes", &of_bytes(65_537)),
            base("of 120 levels", &of_depth(120)),
            base("of 121 levels", &of_depth(121)),
            base("of 128 levels", &of_depth(128)),
            base("of 129 levels", &of_depth(129)),
        ];
        let mut float = base("with a float", &in_content(json!(15)));
        float.text = float.text.replacen(r#""x":15"#, r#""x":1.5"#, 1);
        bases.push(float);
        bases
    }

    pub(crate) fn knocks(&self) -> Vec<Base> {
        self.member_events(&json!({ "membership": "knock", "reason": "Let me in", "displayname": "Kay" }), false)
    }

    pub(crate) fn leaves(&self) -> Vec<Base> {
        self.member_events(&json!({ "membership": "leave", "reason": "Never mind" }), true)
    }

    /// What others make of Kay's knock.
    pub(crate) fn answers(&self) -> Vec<Base> {
        let answer = |name, content: Value| {
            let mut event = self.kays(&content, true);
            event["sender"] = json!(ALICE);
            Base::new(name, self.version(), &signed(self.version(), &event))
        };
        vec![
            answer("an invite", json!({ "membership": "invite" })),
            answer("a leave", json!({ "membership": "leave" })),
            answer("a ban", json!({ "membership": "ban" })),
        ]
    }

    /// State events of Alice's, whole and in some ways in which they may be wrong.
    pub(crate) fn state_events(&self) -> Vec<Base> {
        let version = self.version();
        let named = |name: &str| self.room.draft("m.room.name", "", &json!({ "name": name }));
        let good = signed(version, &named("Türen"));
        let mut changed = good.clone();
        changed["content"]["name"] = json!("Another");
        let mut forged = good.clone();
        forged["depth"] = json!(7);
        let mut elsewhere = named("Elsewhere");
        elsewhere["room_id"] = json!("!other:a.example");
        let long = |bytes: usize| {
            let short = signed(version, &named("")).to_string().len();
            signed(version, &named(&"x".repeat(bytes - short)))
        };
        let base = |name, event: &Value| Base::new(name, version, event);
        vec![
            base("good", &good),
            base("the create event", &self.room.create),
            base("with a wrong hash", &changed),
            base("with a bad signature", &forged),
            base("of another room", &signed(version, &elsewhere)),
            base("of 65,536 bytes", &long(65_536)),
            base("of 65,537 bytes", &long(65_537)),
        ]
    }

    /// Events of four keys, as older servers send them.
    pub(crate) fn stripped_events(&self) -> Vec<Base> {
        let stripped = |name, event_type: &str, content: Value| {
            let event = json!({ "type": event_type, "state_key": "", "sender": ALICE, "content": content });
            Base { name, text: event.to_string(), event_id: String::new() }
        };
        vec![
            stripped("a name", "m.room.name", json!({ "name": "Türen" })),
            stripped("a create event", "m.room.create", json!({})),
            stripped("a member", "m.room.member", json!({ "membership": "join" })),
        ]
    }

    /// The event in the answer to `make_knock`.
    pub(crate) fn templates(&self) -> Vec<Base> {
        let good = self.kays(&json!({ "membership": "knock" }), false);
        let mut other = good.clone();
        other["sender"] = json!(ALICE);
        let base = |name, event: &Value| Base { name, text: event.to_string(), event_id: String::new() };
        vec![base("good", &good), base("of another user", &other)]
    }
}

/// A member event of Kay's, not signed yet.
fn kays(room: &Room, content: &Value, auth_events: &[&str]) -> Value {
    let mut event = room.draft("m.room.member", KAY, content);
    event["sender"] = json!(KAY);
    event["depth"] = json!(6);
    event["auth_events"] = json!(auth_events);
    event["prev_events"] = json!(["$NNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNN"]);
    event
}
