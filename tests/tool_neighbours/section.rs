//! `knock-section`: each kind of bad value at each place of one room, beside good events and a
//! good room. Whatever is bad costs only itself.

use serde_json::{Value, json};

use crate::check;

/// A value as JSON text, and what is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bad {
    LoneSurrogate,
    KeyTwice,
    /// No double is so large.
    Infinite,
    /// So many lists in each other.
    Levels(usize),
    /// Nothing, but for its kind.
    Kind(&'static str),
}

impl Bad {
    const ALL: [Self; 13] = [
        Self::LoneSurrogate,
        Self::KeyTwice,
        Self::Infinite,
        Self::Levels(118),
        Self::Levels(200),
        Self::Levels(100_000),
        Self::Kind("null"),
        Self::Kind("true"),
        Self::Kind("7"),
        Self::Kind("1.5"),
        Self::Kind(r#""x""#),
        Self::Kind("[]"),
        Self::Kind("{}"),
    ];

    fn text(self) -> String {
        match self {
            Self::LoneSurrogate => r#""x\ud83d""#.to_owned(),
            Self::KeyTwice => r#"{"a":1,"\u0061":1}"#.to_owned(),
            Self::Infinite => "1e400".to_owned(),
            Self::Levels(levels) => format!("{}{}", "[".repeat(levels), "]".repeat(levels)),
            Self::Kind(text) => text.to_owned(),
        }
    }

    /// The value, if everybody can read it.
    fn value(self) -> Option<Value> {
        serde_json::from_str(&self.text()).ok().filter(|_| self != Self::KeyTwice)
    }
}

/// Where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A value of the event's content.
    InContent,
    Unsigned,
    /// `type`, `state_key`, `sender` or `content` of the event.
    Property(&'static str),
    Event,
    BesideEvents,
    Events,
    BesideKnockState,
    KnockState,
    Room,
}

const PLACES: [Place; 12] = [
    Place::InContent,
    Place::Unsigned,
    Place::Property("type"),
    Place::Property("state_key"),
    Place::Property("sender"),
    Place::Property("content"),
    Place::Event,
    Place::BesideEvents,
    Place::Events,
    Place::BesideKnockState,
    Place::KnockState,
    Place::Room,
];

fn event(name: &str) -> Value {
    json!({ "content": { "x": 1 }, "sender": "@a:a.example", "state_key": "", "type": name })
}

/// The room with this value at this place, and what of it is to be shown.
fn room(place: Place, bad: Bad) -> (String, Vec<Value>) {
    let text = bad.text();
    let property = |property: &str| {
        let members = ["content", "sender", "state_key", "type"].map(|name| match name == property {
            true => format!("\"{name}\":{text}"),
            false => format!("\"{name}\":{}", event("x.event")[name]),
        });
        members.join(",")
    };
    let of_event = match place {
        Place::InContent => format!("{{{}}}", property("").replace(r#""x":1"#, &format!(r#""x":{text}"#))),
        Place::Unsigned => format!(r#"{{"unsigned":{text},{}}}"#, property("")),
        Place::Property(name) => format!("{{{}}}", property(name)),
        Place::Event => text.clone(),
        _ => event("x.event").to_string(),
    };
    let mut shown = vec![event("x.before")];
    match place {
        Place::InContent => shown.extend(bad.value().map(|value| {
            let mut event = event("x.event");
            event["content"]["x"] = value;
            event
        })),
        // An object for the content, strings for the others.
        Place::Property(name) => {
            shown.extend(bad.value().filter(|value| value.is_object() == (name == "content")).and_then(|value| {
                let mut event = event("x.event");
                event[name] = value;
                Some(event).filter(|event| name == "content" || event[name].is_string())
            }))
        }
        Place::Event => {}
        _ => shown.push(event("x.event")),
    }
    shown.push(event("x.behind"));
    let mut events = format!("[{},{of_event},{}]", event("x.before"), event("x.behind"));
    if place == Place::Events {
        events.clone_from(&text);
    }
    let mut state = format!(r#"{{"events":{events}}}"#);
    match place {
        Place::BesideEvents => state = format!(r#"{{"x":{text},"events":{events}}}"#),
        Place::KnockState => state.clone_from(&text),
        _ => {}
    }
    let mut room = format!(r#"{{"knock_state":{state}}}"#);
    match place {
        Place::BesideKnockState => room = format!(r#"{{"x":{text},"knock_state":{state}}}"#),
        Place::Room => room.clone_from(&text),
        _ => {}
    }
    if matches!(place, Place::Events | Place::KnockState | Place::Room) {
        shown.clear();
    }
    (room, shown)
}

#[test]
fn a_bad_value_costs_only_itself() {
    let good = event("m.room.name");
    let mut cases = Vec::new();
    for place in PLACES {
        for bad in Bad::ALL {
            let (text, shown) = room(place, bad);
            // The bad room before the good one, and behind it.
            for bad_id in ["!b:x", "!z:x"] {
                let rooms =
                    [format!(r#""{bad_id}":{text}"#), format!(r#""!g:x":{{"knock_state":{{"events":[{good}]}}}}"#)];
                let rooms = if bad_id == "!b:x" { rooms.join(",") } else { format!("{},{}", rooms[1], rooms[0]) };
                let id = json!([format!("{place:?}"), format!("{bad:?}"), bad_id]);
                let line = json!({ "id": id, "section": format!(" {{{rooms}}} ") });
                cases.push((line, json!({ "id": id, "rooms": { bad_id: shown, "!g:x": [good] } })));
            }
        }
    }
    assert_eq!(cases.len(), 12 * 13 * 2);
    check("knock-section", &cases);
}

/// Of two events in a place the first one is shown, of two entries for a room the last one; a room
/// ID is any text.
#[test]
fn twice() {
    let again = {
        let mut again = event("m.room.name");
        again["content"] = json!({});
        again
    };
    let room = |events: &[&Value]| json!({ "knock_state": { "events": events } }).to_string();
    let (one, two) = (room(&[&event("m.room.name"), &again]), room(&[&again, &event("m.room.topic")]));
    let section = format!(r#"{{"!r:x":{one},"\u0021r:x":{two},"":{one},"é\"":{{}}}}"#);
    let rooms = json!({ "!r:x": [again, event("m.room.topic")], "": [event("m.room.name")], "é\"": [] });
    check("knock-section", &[(json!({ "id": 1, "section": section }), json!({ "id": 1, "rooms": rooms }))]);
}
