//! Headroom: what this crate takes by a request, and what it makes, can be sent on. A transaction,
//! the signed text of a request and a `/sync` answer nest an event deeper, and other servers count
//! what they add to it; none of that may be refused anywhere on the way.
//!
//! The bounds are those of the design, not taken from the crate: 65,408 bytes and 120 levels of
//! the event without `unsigned`. Sizes and depths are measured with serde_json, whose reader stops
//! at 128 levels, as those of many servers and clients do.
#![cfg(feature = "ed25519")]
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up fails")]
#![expect(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "sizes and properties of known events")]

#[path = "headroom/made.rs"]
mod made;
#[path = "headroom/room.rs"]
mod room;
#[path = "headroom/transactions.rs"]
mod transactions;

use matrix_knock::RoomVersion;
use matrix_knock::event::{FormatError, MAX_SUBMITTED_BYTES, MAX_SUBMITTED_DEPTH, PduError, SignedEvent};
use matrix_knock::json::JsonErrorKind;
use matrix_knock::resident::Refusal;
use room::{KAY, Room};
use serde_json::{Value, json};
use transactions::goes_on;

pub(crate) const KEY_ID: &str = "ed25519:1";
/// What an event of a room may have, by the specification.
const MAX_BYTES: usize = 65_536;
/// What is taken and made, by the design.
pub(crate) const TAKEN_BYTES: usize = 65_408;
const TAKEN_LEVELS: usize = 120;

#[test]
fn the_bounds_of_the_design() {
    assert_eq!((MAX_SUBMITTED_BYTES, MAX_SUBMITTED_DEPTH), (65_408, 120));
}

/// Objects and lists in each other, the outermost included.
fn levels(value: &Value) -> usize {
    match value {
        Value::Array(values) => 1 + values.iter().map(levels).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(levels).max().unwrap_or(0),
        _ => 0,
    }
}

/// Where an event gets its size or its depth from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Content,
    /// An unknown property of the event itself, which is signed as any other.
    Beside,
}

/// A value of so many levels.
fn nested(levels: usize, objects: bool) -> String {
    let (open, close) = if objects { (r#"{"a":"#, "}") } else { ("[", "]") };
    format!("{}1{}", open.repeat(levels), close.repeat(levels))
}

fn with(room: &Room, place: Place, value: &str) -> SignedEvent {
    match place {
        Place::Content => room.knock(&format!(r#"{{"membership":"knock","x":{value}}}"#), ""),
        Place::Beside => room.knock(r#"{"membership":"knock"}"#, &format!(r#","x":{value}"#)),
    }
}

/// A knock of exactly so many bytes, of this character as far as it goes.
fn of_size(room: &Room, place: Place, character: char, bytes: usize) -> SignedEvent {
    let empty = with(room, place, r#""""#).text().len();
    let rest = bytes - empty;
    // As canonical JSON writes it.
    let unit = json!(character).to_string().len() - 2;
    let text: String = std::iter::repeat_n(character, rest / unit).chain("a".repeat(rest % unit).chars()).collect();
    let event = with(room, place, &json!(text).to_string());
    assert_eq!(event.text().len(), bytes);
    event
}

/// A knock of exactly so many levels.
fn of_depth(room: &Room, place: Place, objects: bool, depth: usize) -> SignedEvent {
    let outside = if place == Place::Content { 2 } else { 1 };
    with(room, place, &nested(depth - outside, objects))
}

/// What relays put beside an event, which decides nothing.
fn odd_unsigned() -> [String; 3] {
    let long = format!(r#"{{"prev_content":{{"x":"{}"}}}}"#, "x".repeat(100_000));
    ["".to_owned(), r#","unsigned":{"age":1.5}"#.to_owned(), format!(r#","unsigned":{long}"#)]
}

fn with_unsigned(event: &SignedEvent, unsigned: &str) -> String {
    let text = event.text().strip_suffix('}').expect("an object");
    format!("{text}{unsigned}}}")
}

/// Sends a knock, whatever stands beside it. If it is taken, so many copies go on; if not, the
/// refusal and its status are these.
fn check(room: &Room, event: &SignedEvent, refusal: Option<(Refusal, u16, &str)>, copies: usize, what: &str) {
    for unsigned in odd_unsigned() {
        let taken = room.send_knock(event.event_id(), &with_unsigned(event, &unsigned));
        match (&refusal, taken) {
            (None, Ok(taken)) => {
                assert_eq!((&*taken.text, &*taken.stored), (event.text(), event.text()), "{what}");
                let answer: Value = serde_json::from_str(&taken.body).expect("JSON");
                assert_eq!(answer["knock_room_state"].as_array().map(Vec::len), Some(3));
            }
            (Some((expected, status, errcode)), Err(found)) => {
                let response = found.to_response();
                assert_eq!(&found, expected, "{what}");
                assert_eq!((response.status(), response.errcode().as_str()), (*status, *errcode), "{what}");
            }
            (_, taken) => panic!("{what}: {:?}", taken.map(|taken| taken.text.len())),
        }
    }
    if refusal.is_none() {
        goes_on(room, event, copies, what);
    }
}

/// Each size around the bound and around that of the specification, made of each kind of
/// character, in each place.
#[test]
fn sizes() {
    let mut cells = 0;
    for version in &RoomVersion::ALL[6..] {
        let room = Room::new(*version, KEY_ID);
        for bytes in [
            TAKEN_BYTES - 1,
            TAKEN_BYTES,
            TAKEN_BYTES + 1,
            // Those that were taken once and that Synapse does not take.
            65_460,
            MAX_BYTES - 1,
            MAX_BYTES,
            MAX_BYTES + 1,
        ] {
            for place in [Place::Content, Place::Beside] {
                for character in ['a', 'é', '\u{1F6AA}', '"', '\u{1}'] {
                    let event = of_size(&room, place, character, bytes);
                    let refusal = match bytes {
                        0..=65_408 => None,
                        65_409..=65_536 => Some((Refusal::TooLarge, 413, "M_TOO_LARGE")),
                        _ => Some((Refusal::Format(FormatError::TooLarge { bytes }), 413, "M_TOO_LARGE")),
                    };
                    let what = format!("{version}, {bytes} bytes of {character:?} in {place:?}");
                    check(&room, &event, refusal, if character == 'a' { 50 } else { 1 }, &what);
                    cells += 1;
                }
            }
        }
    }
    assert_eq!(cells, 6 * 7 * 2 * 5);
}

/// Each depth around the bounds, of lists and of objects, in each place.
#[test]
fn depths() {
    let mut cells = 0;
    for version in &RoomVersion::ALL[6..] {
        let room = Room::new(*version, KEY_ID);
        for depth in [3, 118, TAKEN_LEVELS - 1, TAKEN_LEVELS, TAKEN_LEVELS + 1, 122, 123, 124, 126, 127, 128] {
            for place in [Place::Content, Place::Beside] {
                for objects in [false, true] {
                    let event = of_depth(&room, place, objects, depth);
                    // One reader stops at 128, so it is asked within.
                    let read: Option<Value> = serde_json::from_str(event.text()).ok();
                    assert!(depth == 128 || read.as_ref().map(levels) == Some(depth), "{depth}");
                    let refusal = (depth > TAKEN_LEVELS).then_some((Refusal::TooDeep, 400, "M_BAD_JSON"));
                    check(&room, &event, refusal, 50, &format!("{version}, {depth} levels in {place:?}"));
                    cells += 1;
                }
            }
        }
    }
    assert_eq!(cells, 6 * 11 * 2 * 2);
}

/// Beyond 128 levels there is no event, and nobody signs one.
#[test]
fn no_event_at_all() {
    for version in &RoomVersion::ALL[6..] {
        let room = Room::new(*version, KEY_ID);
        let event = of_depth(&room, Place::Content, false, 128);
        for deeper in [1, 2, 100, 100_000] {
            let more = format!("[{}1{}]", "[".repeat(deeper), "]".repeat(deeper));
            let text = event.text().replacen("[1]", &more, 1);
            match room.send_knock(event.event_id(), &text).map(|taken| taken.text) {
                Err(Refusal::Format(FormatError::Pdu(PduError::Json(error)))) => {
                    assert_eq!(error.kind(), JsonErrorKind::TooDeep);
                }
                other => panic!("{version}: {other:?}"),
            }
        }
    }
}

/// The largest and the deepest at once.
#[test]
fn both_bounds() {
    for version in &RoomVersion::ALL[6..] {
        let room = Room::new(*version, KEY_ID);
        let event = |depth: usize, bytes: usize| {
            let value = |text: &str| format!(r#"{{"deep":{},"long":"{text}"}}"#, nested(depth - 3, true));
            let empty = with(&room, Place::Content, &value("")).text().len();
            let event = with(&room, Place::Content, &value(&"x".repeat(bytes - empty)));
            assert_eq!(event.text().len(), bytes);
            event
        };
        check(&room, &event(TAKEN_LEVELS, TAKEN_BYTES), None, 50, "both bounds");
        let too_large = Some((Refusal::TooLarge, 413, "M_TOO_LARGE"));
        check(&room, &event(TAKEN_LEVELS, TAKEN_BYTES + 1), too_large.clone(), 50, "one byte more");
        check(&room, &event(TAKEN_LEVELS + 1, TAKEN_BYTES + 1), too_large, 50, "both more");
        let too_deep = Some((Refusal::TooDeep, 400, "M_BAD_JSON"));
        check(&room, &event(TAKEN_LEVELS + 1, TAKEN_BYTES), too_deep, 50, "one level more");
    }
}

/// What a client is shown of the deepest event that is taken can be read in a whole `/sync`.
#[test]
fn in_a_sync() {
    use matrix_knock::event::Pdu;
    use matrix_knock::id::UserId;
    use matrix_knock::stripped_state::StrippedEvent;
    use matrix_knock::sync::{KnockSection, KnockedRoom, MemberEventKey};

    let room = Room::new(RoomVersion::V11, KEY_ID);
    let event = of_depth(&room, Place::Content, true, TAKEN_LEVELS);
    let pdu = Pdu::parse(event.text()).expect("an event");
    let stripped = StrippedEvent::of(&pdu).expect("a state event");
    let id = matrix_knock::id::EventId::parse(event.event_id()).expect("an event ID");
    let shown = KnockedRoom::new([stripped.clone()], UserId::parse(KAY).expect("a user ID"));
    let shown = shown.with_member_event(MemberEventKey::State, id, &pdu, 5);
    let section = KnockedRoom::section([(&*room.id, &shown)]);
    let sync: Value =
        serde_json::from_str(&format!(r#"{{"rooms":{{"knock":{section}}}}}"#)).expect("a client reads it");
    assert_eq!(levels(&sync), 126);
    let content = &sync["rooms"]["knock"][&room.id]["knock_state"]["events"][0]["content"];
    assert_eq!(content, &serde_json::from_str::<Value>(pdu_content(&pdu)).expect("JSON"));
    assert_eq!(KnockSection::parse(&section).expect("a section").rooms().next().expect("a room").1.state(), [stripped]);
}

fn pdu_content<'p>(pdu: &'p matrix_knock::event::Pdu<'_>) -> &'p str {
    use matrix_knock::event::Event as _;
    pdu.content()
}
