//! What a knocker is shown of a room whose server is older, sloppier or more hostile than the text:
//! recorded answers to `send_knock`, whole, cut to four keys and redacted, one entry of each
//! spoiled in each way.
//!
//! Beside the library stands what the specification and the design say of each entry, as whole
//! results: what is verified, what may be shown as not verified, what is dropped and why. Never is
//! a create event of version 12 shown unverified, never a member event, and each entry that is
//! shown says whether it is verified, whatever the host chooses.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv1send_knockroomideventid>,
//! <https://spec.matrix.org/v1.19/server-server-api/#validating-hashes-and-signatures-on-received-events>
#![cfg(feature = "ed25519")]
#![expect(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot be set up fails"
)]

#[path = "nobody_sees_nothing/entries.rs"]
mod entries;
#[path = "nobody_sees_nothing/recorded.rs"]
mod recorded;
#[path = "nobody_sees_nothing/stored.rs"]
mod stored;

use std::collections::BTreeMap;

use entries::{Entry, Fate, Form, SPOILS};
use matrix_knock::RoomVersion;
use matrix_knock::event::{Ed25519Key, Sign as _};
use matrix_knock::id::{OwnedServerName, RoomId, UserId};
use matrix_knock::knocking::room_state::{ShowUnverified, VerifiedRoomState};
use matrix_knock::knocking::{Details, Intent, Knocking, OwnMembership, PendingKnock, Start};
use matrix_knock::machine::Machine as _;
use matrix_knock::stripped_state::StrippedEvent;
use matrix_knock::sync::{KnockSection, KnockedRoom};
use matrix_knock::wire::HttpResponse;
use recorded::{RESIDENT, Remembering, Room, rooms};
use serde_json::{Value, json};

/// A little later than the recordings, in milliseconds since the Unix epoch.
pub(crate) const NOW: u64 = 1_795_321_000_000;

/// How a server answers: which events, in which order, in which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Whole,
    /// As servers before v1.16 of the specification.
    FourKeys,
    /// As Synapse 1.157 in version 12.
    FourKeysButCreate,
    Redacted,
    /// Only the create event was redacted, and only it comes whole.
    RedactedCreate,
    Alternating,
    /// Every event twice, the whole one first.
    TwinsWholeFirst,
    TwinsFourKeysFirst,
    Reversed,
}

const SHAPES: [Shape; 9] = [
    Shape::Whole,
    Shape::FourKeys,
    Shape::FourKeysButCreate,
    Shape::Redacted,
    Shape::RedactedCreate,
    Shape::Alternating,
    Shape::TwinsWholeFirst,
    Shape::TwinsFourKeysFirst,
    Shape::Reversed,
];

impl Shape {
    fn entries(self, room: &Room) -> Vec<Entry<'_>> {
        let entry = |event, form| Entry { event, form, spoil: None };
        let mut entries: Vec<Entry<'_>> = Vec::new();
        for (number, event) in room.events.iter().enumerate() {
            let is_create = event["type"] == "m.room.create";
            match self {
                Self::Whole | Self::Reversed => entries.push(entry(event, Form::Whole)),
                Self::FourKeys => entries.push(entry(event, Form::FourKeys)),
                Self::FourKeysButCreate if is_create => entries.push(entry(event, Form::Whole)),
                Self::RedactedCreate if is_create => entries.push(entry(event, Form::Redacted)),
                Self::FourKeysButCreate | Self::RedactedCreate => entries.push(entry(event, Form::FourKeys)),
                Self::Redacted => entries.push(entry(event, Form::Redacted)),
                Self::Alternating if number % 2 == 0 => entries.push(entry(event, Form::FourKeys)),
                Self::Alternating => entries.push(entry(event, Form::Whole)),
                Self::TwinsWholeFirst => {
                    entries.extend([Form::Whole, Form::FourKeys].map(|form| entry(event, form)));
                }
                Self::TwinsFourKeysFirst => {
                    entries.extend([Form::FourKeys, Form::Whole].map(|form| entry(event, form)));
                }
            }
        }
        if self == Self::Reversed {
            entries.reverse();
        }
        // What another server says of the knocker's own membership.
        entries.push(entry(&room.own, Form::FourKeys));
        entries
    }
}

/// What is to become of an answer.
#[derive(Debug, Clone, PartialEq, Default)]
struct Expected {
    verified: Vec<Value>,
    unverified: Vec<Value>,
    dropped: BTreeMap<usize, String>,
}

fn place(event: &Value) -> [&Value; 2] {
    ["type", "state_key"].map(|name| &event[name])
}

impl Expected {
    fn of(version: RoomVersion, entries: &[Entry<'_>]) -> Self {
        const REPEATED: &str = "another event with the same type and state key is shown";
        const TOO_DEEP: &str = "nested deeper than 120 levels";
        let fates: Vec<Fate> = entries.iter().map(|entry| entry.fate(version)).collect();
        let mut expected = Self::default();
        for (index, fate) in fates.iter().enumerate() {
            match fate {
                Fate::Verified(event) if expected.verified.iter().any(|known| place(known) == place(event)) => {
                    expected.dropped.insert(index, REPEATED.to_owned());
                }
                Fate::Verified(event) => expected.verified.push(event.clone()),
                Fate::Dropped(reason) => drop(expected.dropped.insert(index, reason.clone())),
                Fate::Unverified(_) | Fate::TooDeep(_) => {}
            }
        }
        for (index, fate) in fates.iter().enumerate() {
            let (Fate::Unverified(event) | Fate::TooDeep(event)) = fate else { continue };
            let mut known = expected.verified.iter().chain(&expected.unverified);
            let is_known = known.any(|known| place(known) == place(event));
            match fate {
                _ if is_known => drop(expected.dropped.insert(index, REPEATED.to_owned())),
                Fate::TooDeep(_) => drop(expected.dropped.insert(index, TOO_DEEP.to_owned())),
                _ => expected.unverified.push(event.clone()),
            }
        }
        // The create event comes first.
        expected.verified.sort_by_key(|event| place(event) != [&json!("m.room.create"), &json!("")]);
        expected
    }

    fn found(state: &VerifiedRoomState) -> Self {
        let dropped = state.dropped().map(|(index, reason)| (index, reason_of(&reason.to_string())));
        Self { verified: values(state.shown()), unverified: values(state.unverified()), dropped: dropped.collect() }
    }

    /// What the client is shown: the create event first, the user's own knock last.
    fn shown(&self, version: RoomVersion, choice: ShowUnverified, own: &Value) -> Vec<(Value, bool)> {
        let shows_unverified = match choice {
            ShowUnverified::BeforeV12 => version < RoomVersion::V12,
            ShowUnverified::Always => true,
            ShowUnverified::Never => false,
        };
        let unverified = self.unverified.iter().filter(|_| shows_unverified);
        let all = self.verified.iter().map(|event| (event, true)).chain(unverified.map(|event| (event, false)));
        let mut all: Vec<(Value, bool)> = all.map(|(event, is_verified)| (event.clone(), is_verified)).collect();
        all.sort_by_key(|(event, _)| place(event) != [&json!("m.room.create"), &json!("")]);
        all.push((own.clone(), true));
        all
    }
}

/// A reason without the numbers at its end: where in a text, how many bytes.
fn reason_of(reason: &str) -> String {
    let reason = reason.split(" at byte ").next().unwrap_or(reason);
    if reason.starts_with("malformed event: event of ") {
        "malformed event: event of".to_owned()
    } else {
        reason.to_owned()
    }
}

fn value(event: &StrippedEvent) -> Value {
    serde_json::from_str(event.text()).expect("JSON that everybody reads")
}

fn values(events: &[StrippedEvent]) -> Vec<Value> {
    events.iter().map(value).collect()
}

/// Drives a knock to its end over this answer to `send_knock`.
pub(crate) fn arrive(room: &Room, answer: &str, verifier: &Remembering) -> (VerifiedRoomState, PendingKnock) {
    let (room_id, user_id) = (RoomId::parse(&room.id).expect("a room"), UserId::parse(&room.user).expect("a user"));
    let servers: [OwnedServerName; 1] = [RESIDENT.parse().expect("a server name")];
    let intent = Intent {
        room_id,
        user_id,
        own: OwnMembership::OutOfBand,
        servers: &servers,
        versions: &RoomVersion::ALL,
        details: &Details::default(),
    };
    let Start::Remote(mut machine) = Knocking::start(&intent) else { panic!("a server to ask") };
    let [auth, prev] = ["$a", "$p"].map(|start| format!("{start:x<44}"));
    let template = json!({ "room_version": room.version.as_str(), "event": {
        "type": "m.room.member", "room_id": room.id, "sender": room.user, "state_key": room.user,
        "content": { "membership": "knock" }, "auth_events": [auth],
        "prev_events": [prev], "depth": 9, "origin_server_ts": 1,
    } });
    let template = template.to_string();
    machine.reply(machine.want().0, HttpResponse::new(200, &template).into(), NOW).expect("asked for");
    let key = Ed25519Key::from_seed("ed25519:1", &[7; 32]).expect("a key ID");
    machine.signature(machine.want().0, key.key_id(), &[1; 64]).expect("asked for");
    machine.reply(machine.want().0, HttpResponse::new(200, answer).into(), NOW).expect("asked for");
    let state = machine.keys(machine.want().0, room, verifier, NOW).expect("asked for");
    let knock = machine.outcome().expect("its end").expect("a knock");
    (state, knock)
}

pub(crate) fn own_knock(room: &Room) -> Value {
    json!({ "content": { "membership": "knock" }, "sender": room.user, "state_key": room.user, "type": "m.room.member" })
}

pub(crate) const CHOICES: [ShowUnverified; 3] =
    [ShowUnverified::BeforeV12, ShowUnverified::Always, ShowUnverified::Never];

pub(crate) fn shown(knock: &PendingKnock, choice: ShowUnverified) -> Vec<(Value, bool)> {
    knock.knock_state(choice).iter().map(|shown| (value(&shown.event), shown.is_verified)).collect()
}

/// How often each came out, over all answers.
#[derive(Debug, Default)]
struct Count {
    answers: usize,
    verified: usize,
    unverified: usize,
    dropped: BTreeMap<String, usize>,
}

impl Count {
    fn add(&mut self, expected: &Expected) {
        self.answers += 1;
        self.verified += expected.verified.len();
        self.unverified += expected.unverified.len();
        for reason in expected.dropped.values() {
            *self.dropped.entry(reason.clone()).or_default() += 1;
        }
    }
}

/// Compares what comes of an answer with what is to come of it, up to what a client reads in its
/// `/sync`.
fn check(room: &Room, entries: &[Entry<'_>], verifier: &Remembering, what: &str) -> Expected {
    let version = room.version;
    let texts: Vec<String> = entries.iter().map(|entry| entry.text(version)).collect();
    let (state, knock) = arrive(room, &format!(r#"{{"knock_room_state":[{}]}}"#, texts.join(",")), verifier);
    let expected = Expected::of(version, entries);
    assert_eq!(Expected::found(&state), expected, "{what}");
    assert_eq!(
        state.has_create_event(),
        expected.verified.first().is_some_and(|event| event["type"] == "m.room.create" && event["state_key"] == "")
    );

    let stored = serde_json::to_string(&knock).expect("it can be stored");
    let restored: PendingKnock = serde_json::from_str(&stored).expect("what was stored");
    for choice in CHOICES {
        let of_model = expected.shown(version, choice, &own_knock(room));
        assert_eq!(shown(&knock, choice), of_model, "{what}, {choice:?}");
        assert_eq!(shown(&restored, choice), of_model, "{what}, {choice:?}, stored");
        for (event, is_verified) in &of_model {
            let event_type = event["type"].as_str().expect("a type");
            assert!(*is_verified || event_type != "m.room.member", "{what}");
            assert!(*is_verified || event_type != "m.room.create" || version < RoomVersion::V12, "{what}");
        }
        let user = UserId::parse(&room.user).expect("a user");
        let section = KnockedRoom::section([(&*room.id, &KnockedRoom::new(knock.knock_state(choice), user))]);
        let everybody: Value = serde_json::from_str(&section).expect("a client's parser reads it");
        let read = KnockSection::parse(&section).expect("a section");
        let (_, read) = read.rooms().next().expect("a room");
        assert_eq!(everybody[&room.id]["knock_state"]["events"], json!(values(read.state())));
        assert_eq!(sorted(values(read.state())), sorted(of_model.into_iter().map(|(event, _)| event).collect()));
    }
    expected
}

fn sorted(mut events: Vec<Value>) -> Vec<Value> {
    events.sort_by_key(Value::to_string);
    events
}

/// Versions 7 to 12, all shapes, each entry spoiled in each way, all choices of the host.
#[test]
fn every_answer_gives_what_the_text_says() {
    let verifier = Remembering::default();
    let mut counts: BTreeMap<RoomVersion, Count> = BTreeMap::new();
    for room in rooms() {
        let count = counts.entry(room.version).or_default();
        for shape in SHAPES {
            let entries = shape.entries(&room);
            count.add(&check(&room, &entries, &verifier, &format!("{}, {shape:?}", room.name)));
            for index in 0..entries.len() {
                for spoil in SPOILS.into_iter().filter(|spoil| entries[index].can_be(*spoil)) {
                    let mut entries = entries.clone();
                    entries[index].spoil = Some(spoil);
                    let what = format!("{}, {shape:?}, {spoil:?} at {index}", room.name);
                    count.add(&check(&room, &entries, &verifier, &what));
                }
            }
        }
    }
    let versions: Vec<RoomVersion> = counts.keys().copied().collect();
    assert_eq!(versions, RoomVersion::ALL[6..]);
    for (version, count) in counts {
        // No kind of entry is left out by chance.
        let reasons: Vec<&str> = count.dropped.keys().map(String::as_str).collect();
        let only_v12 = ["an unverified create event", "malformed event: event has no `room_id`"];
        let expected = REASONS.into_iter().filter(|reason| version == RoomVersion::V12 || !only_v12.contains(reason));
        assert_eq!(reasons, expected.collect::<Vec<_>>(), "version {version}");
        let cells = (count.answers, count.verified, count.unverified);
        let expected = match version {
            RoomVersion::V12 => (3_573, 14_404, 4_265),
            RoomVersion::V11 => (3_573, 14_404, 5_057),
            _ => (3_573, 14_488, 5_033),
        };
        assert_eq!(cells, expected, "version {version}: {count:?}");
    }
}

/// Why entries are dropped, in order.
const REASONS: [&str; 16] = [
    "an event of another room",
    "an unverified create event",
    "an unverified member event",
    "another event with the same type and state key is shown",
    "malformed event: JSON nested deeper than 128 levels",
    "malformed event: `content` of the event is of the wrong kind or out of range",
    "malformed event: duplicate key in an object",
    "malformed event: event has no `room_id`",
    "malformed event: event is not an object",
    "malformed event: event of",
    "malformed event: lone surrogate in a string",
    "malformed event: number not allowed in canonical JSON",
    "nested deeper than 120 levels",
    "no signature by a known key of `hs1.test:18448` that counts",
    "not a state event",
    "the signature of `hs1.test:18448` by `ed25519:a_iYFt` does not verify",
];

/// Whatever the server's age, a knocker on a room that is not of version 12 sees all that it sent;
/// in version 12, all that it has signed.
#[test]
fn a_knocker_sees_more_than_a_room_id() {
    let verifier = Remembering::default();
    for room in rooms() {
        for shape in SHAPES {
            let entries = shape.entries(&room);
            let expected = check(&room, &entries, &verifier, &room.name);
            let state = room.events.iter().filter(|event| event["type"] != "m.room.member");
            let mut types: Vec<&Value> = state.clone().map(|event| &event["type"]).collect();
            types.sort_by_key(|event_type| event_type.to_string());
            let by_choice = CHOICES.map(|choice| {
                let shown = expected.shown(room.version, choice, &own_knock(&room));
                let mut types: Vec<Value> = shown.into_iter().map(|(event, _)| event["type"].clone()).collect();
                types.retain(|event_type| event_type != "m.room.member");
                types.sort_by_key(Value::to_string);
                types
            });
            let all: Vec<Value> = types.into_iter().cloned().collect();
            if room.version < RoomVersion::V12 {
                assert_eq!((&by_choice[0], &by_choice[1]), (&all, &all), "{}, {shape:?}", room.name);
            } else {
                assert_eq!(by_choice[0], by_choice[2], "{}, {shape:?}", room.name);
            }
        }
    }
}
