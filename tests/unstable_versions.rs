//! Room versions that the specification does not have: each goes by one that it has, from the format of its events to who knocks.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]
#![expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "what is off fails the test")]

#[path = "unstable_versions/changed.rs"]
mod changed;
#[expect(dead_code, reason = "other tests take more of it")]
#[path = "properties/generators.rs"]
mod generators;
#[path = "unstable_versions/same.rs"]
mod same;

use matrix_knock::RoomVersion;
use matrix_knock::auth::authorize;
use matrix_knock::event::{
    Event, KeyValidity, KeysFn, Membership, Pdu, Sign, SignatureError, VerifiedPdu, VerifyKey, content_hash, event_id,
    redact, sign_event,
};
use matrix_knock::id::{EventId, KeyId, RoomId, ServerName, UserId};
use matrix_knock::pending::{Knocker, PendingKnocks};
use matrix_knock::resident::{Decision, MakeKnock, Refusal, Residence, ResidentRoom};
use matrix_knock::state::StateMap;
use matrix_knock::stripped_state::{StrippedEvent, for_client};
use matrix_knock::sync::is_knockable;
use matrix_knock::template::{BadTemplate, CheckedTemplate, Details, Expected, PrevEvent};

use generators::Zeroes;

const NAME: &str = "org.matrix.msc3757.11";
const ROOM: &str = "!r:a.example";
const KAY: &str = "@kay:b.example";

/// Signs with zeroes.
struct Zeroing;

impl Sign for Zeroing {
    fn key_id(&self) -> KeyId<'_> {
        KeyId::parse("ed25519:0").unwrap()
    }

    fn sign(&self, _message: &[u8]) -> [u8; 64] {
        [0; 64]
    }
}

/// An event as it is believed: its ID, whose signatures were checked, and its text.
type Believed = (String, Vec<String>, String);

/// Checks the format, the signatures by a key of this validity, and the hash. What is wrong with the event is told as text.
fn believed(version: RoomVersion, text: &str, validity: KeyValidity) -> Result<Believed, String> {
    let keys = KeysFn(|_: &str, _: &str| Some(VerifyKey { public_key: [0; 32], validity }));
    let formatted = Pdu::parse(text).map_err(|error| error.to_string())?.check_format(version);
    let formatted = formatted.map_err(|error| error.to_string())?;
    assert_eq!(formatted.version(), version);
    let told = |error: SignatureError| error.to_string();
    let signed = formatted.check_signatures(&keys, &Zeroes, 0).map_err(told)?;
    assert_eq!(signed.version(), version);
    let by = signed.signed_by().map(str::to_owned).collect();
    Ok(match signed.check_hash().map_err(told)? {
        VerifiedPdu::Whole(whole) => (whole.event_id().to_owned(), by, whole.pdu().text().to_owned()),
        VerifiedPdu::Redacted(redacted) => (redacted.event_id().to_owned(), by, redacted.text().to_owned()),
    })
}

fn server(name: &str) -> ServerName<'_> {
    ServerName::parse(name).unwrap()
}

/// A signed state event, and its ID. The content since version 11.
fn event(version: RoomVersion, sender: &str, event_type: &str, state_key: &str, content: &str) -> (String, String) {
    let text = format!(
        r#"{{"type":"{event_type}","state_key":"{state_key}","sender":"{sender}","room_id":"{ROOM}","content":{content},
        "auth_events":[],"prev_events":["$last"],"depth":5,"origin_server_ts":1700000000000}}"#
    );
    let (_, name) = sender.split_once(':').unwrap();
    let signed = sign_event(version, &text, server(name), &Zeroing).unwrap();
    (signed.event_id().to_owned(), signed.into_text())
}

const ALICE: &str = "@alice:a.example";

/// A room that Alice made, with notes of the IDs of its events.
fn room(version: RoomVersion) -> Vec<String> {
    let created = format!(r#"{{"room_version":"{version}"}}"#);
    let events = [
        ("m.room.create", "", created.as_str()),
        ("m.room.member", ALICE, r#"{"membership":"join"}"#),
        ("m.room.join_rules", "", r#"{"join_rule":"knock"}"#),
        ("m.room.name", "", r#"{"name":"Knock!"}"#),
    ];
    let noted = |(event_type, state_key, content)| {
        let (id, text) = event(version, ALICE, event_type, state_key, content);
        text.replacen('{', &format!(r#"{{"event_id":"{id}","#), 1)
    };
    events.map(noted).into()
}

/// One knock of version 11 in all but the name: what differs is the name, and nothing else.
#[test]
fn from_the_request_to_the_pending_knock() {
    let msc3757 = RoomVersion::unstable(NAME, RoomVersion::V11).unwrap();
    let texts = room(msc3757);
    let state: StateMap<Pdu<'_>> = texts.iter().map(|text| Pdu::parse_stored(text).unwrap()).collect();
    let (room_id, kay, home) = (RoomId::parse(ROOM).unwrap(), UserId::parse(KAY).unwrap(), server("b.example"));

    // The knocking server has to have it by its name.
    let resident = ResidentRoom { room_id, version: msc3757, residence: Residence::Joined };
    let request = |versions: &[&'static str]| MakeKnock::new(room_id, KAY, home, versions.iter().copied());
    let refused = request(&["10", "11", "12"]).check(&resident, &state).unwrap_err();
    assert_eq!(refused, Refusal::IncompatibleRoomVersion(msc3757));
    assert_eq!(refused.to_string(), "the asking server does not have room version org.matrix.msc3757.11");
    let body = concat!(
        r#"{"errcode":"M_INCOMPATIBLE_ROOM_VERSION","error":"This server does not have the version of the room","#,
        r#""room_version":"org.matrix.msc3757.11"}"#
    );
    assert_eq!((refused.to_response().status(), refused.to_response().to_string().as_str()), (400, body));

    let approved = request(&["11", NAME]).check(&resident, &state).unwrap().decide(Decision::Admit).unwrap();
    let last = PrevEvent { event_id: EventId::parse(state_id(&state, "m.room.name")).unwrap(), depth: 5 };
    let answer = approved.template(&state, &[last], 1).unwrap().to_response();
    assert!(answer.ends_with(r#","room_version":"org.matrix.msc3757.11"}"#), "{answer}");
    let read = |versions: &[RoomVersion]| CheckedTemplate::read(Expected::Knock(versions), room_id, kay, &answer);
    assert_eq!(read(&[RoomVersion::V11]), Err(BadTemplate::RoomVersion));
    let template = read(&[RoomVersion::V11, msc3757]).unwrap();
    assert_eq!(template.version(), msc3757);

    // ID, hash, redaction and signatures are those of version 11.
    let details = Details { reason: Some("Let me in".to_owned()), ..Details::default() };
    let text = sign_event(msc3757, &template.to_event(&details, home, 1), home, &Zeroing).unwrap().into_text();
    assert_eq!(event_id(msc3757, &text), event_id(RoomVersion::V11, &text));
    assert_eq!(content_hash(msc3757, &text), content_hash(RoomVersion::V11, &text));
    assert_eq!(redact(msc3757, &text), redact(RoomVersion::V11, &text));
    let whole = believed(msc3757, &text, KeyValidity::Forever).unwrap();
    assert_eq!(whole, (event_id(RoomVersion::V11, &text).unwrap(), vec!["b.example".to_owned()], text.clone()));
    assert_eq!(believed(RoomVersion::V11, &text, KeyValidity::Forever), Ok(whole));
    // Since v5 a key has its time.
    let expired = "no signature by a known key of `b.example` that counts";
    assert_eq!(believed(msc3757, &text, KeyValidity::Until(0)), Err(expired.to_owned()));

    // The rules are those of version 11, and so are their numbers.
    let knock = Pdu::parse(&text).unwrap();
    let allowed = authorize(msc3757, &knock, &state, &Zeroes).unwrap();
    assert_eq!((allowed.version(), allowed.membership()), (msc3757, Membership::Knock));
    let join = event(msc3757, KAY, "m.room.member", KAY, r#"{"membership":"join"}"#).1;
    let refused = authorize(msc3757, &Pdu::parse(&join).unwrap(), &state, &Zeroes).unwrap_err();
    let message = "rule 4.3.7 of room version org.matrix.msc3757.11: the join rule does not let the user join";
    assert_eq!(refused.to_string(), message);

    // What is shown, and who knocks.
    assert_eq!(is_knockable(msc3757, &state), Ok(true));
    let shown = for_client(&state, kay).unwrap();
    let expected = [
        r#"{"content":{"room_version":"org.matrix.msc3757.11"},"sender":"@alice:a.example","state_key":"","type":"m.room.create"}"#,
        r#"{"content":{"join_rule":"knock"},"sender":"@alice:a.example","state_key":"","type":"m.room.join_rules"}"#,
        r#"{"content":{"name":"Knock!"},"sender":"@alice:a.example","state_key":"","type":"m.room.name"}"#,
    ];
    assert_eq!(shown.iter().map(StrippedEvent::text).collect::<Vec<_>>(), expected);
    let knocks = PendingKnocks::from_state(msc3757, texts.iter().chain([&text]));
    let found: Vec<_> = knocks.iter().map(|knock| (knock.user(), knock.event_id(), knock.reason())).collect();
    assert_eq!(found, [(KAY, event_id(RoomVersion::V11, &text).unwrap().as_str(), Some("Let me in"))]);
    assert_eq!(knocks.knocker(KAY).map(Knocker::origin_server_ts), Some(1));
}

fn state_id<'s>(state: &'s StateMap<Pdu<'_>>, event_type: &str) -> &'s str {
    state.iter().find(|event| event.event_type() == event_type).and_then(Event::event_id).unwrap()
}
