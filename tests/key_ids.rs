//! The IDs of keys: which are taken; every one that is taken signs, wherever signatures go.
//!
//! <https://spec.matrix.org/v1.19/appendices/#signing-details> has letters, digits and `_` in a
//! version; servers have others, `+` and `-` among them, and their signatures count everywhere.
#![cfg(feature = "ed25519")]
#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot be set up fails")]

#[path = "headroom/room.rs"]
mod room;

use std::collections::{BTreeMap, BTreeSet};

use matrix_knock::event::{
    Ed25519Key, KeyDocument, KeyValidity, Keys as _, Pdu, ServerKeys, Sign, SignatureError, VerifyKey, sign_event,
};
use matrix_knock::id::{IdError, KeyId, MAX_ID_BYTES, OwnedKeyId, OwnedServerName, UserId};
use matrix_knock::knocking::room_state::{ReceivedRoomState, ShowUnverified};
use matrix_knock::knocking::{Details, Intent, Knocking, OwnMembership, PendingKnock, Retracting, Start};
use matrix_knock::machine::{Endpoint, Machine as _, Want};
use matrix_knock::pending::{Knocker, PendingKnocks};
use matrix_knock::resident::Refusal;
use matrix_knock::wire::HttpResponse;
use matrix_knock::x_matrix::{Authorization, SignedRequest, XMatrixError};
use matrix_knock::{Ed25519, RoomVersion};
use room::{HOME, KAY, NOW, RESIDENT, Room, server};
use serde_json::{Value, json};

/// What becomes of a text by every way in: all say the same.
fn parse(text: &str) -> Result<(), IdError> {
    let expected = KeyId::parse(text).map(drop);
    let ways = [
        OwnedKeyId::parse(text).map(drop),
        text.parse::<OwnedKeyId>().map(drop),
        KeyId::try_from(text).map(drop),
        OwnedKeyId::try_from(text).map(drop),
        OwnedKeyId::try_from(text.to_owned()).map(drop),
        Ed25519Key::from_seed(text, &[1; 32]).map(drop),
    ];
    for way in ways {
        assert_eq!(way, expected, "{text:?}");
    }
    let json = Value::from(text).to_string();
    let by_serde = serde_json::from_str::<OwnedKeyId>(&json).map(|id| id.as_str().to_owned());
    assert_eq!(by_serde.ok().as_deref(), Some(text).filter(|_| expected.is_ok()), "{text:?}");
    // Borrowed from a JSON text where nothing is escaped.
    if !json.contains('\\') {
        let by_serde = serde_json::from_str::<KeyId<'_>>(&json).map(KeyId::as_str);
        assert_eq!(by_serde.ok(), Some(text).filter(|_| expected.is_ok()), "{text:?}");
    }
    if expected.is_ok() {
        let owned = OwnedKeyId::parse(text).expect("the same");
        assert_eq!(serde_json::to_string(&owned).ok(), Some(json.clone()));
        assert_eq!(serde_json::to_string(&owned.as_borrowed()).ok(), Some(json));
        assert_eq!((owned.to_string(), owned.as_str(), owned.as_borrowed() == text), (text.to_owned(), text, true));
        let key = Ed25519Key::from_seed(text, &[1; 32]).expect("the same");
        assert_eq!(key.key_id(), owned.as_borrowed());
    }
    expected
}

/// Every ASCII character, alone, in front, within and behind; some others; each length.
#[test]
fn grammar() {
    let mut cells = 0;
    for byte in 0..=127 {
        let character = char::from(byte);
        // What can be seen, but for what ends a parameter of an `Authorization` header.
        let is_taken = ('!'..='~').contains(&character) && !['"', ',', '\\'].contains(&character);
        let expected = if is_taken { Ok(()) } else { Err(IdError::KeyId) };
        for version in
            [format!("{character}"), format!("{character}a"), format!("a{character}b"), format!("a{character}")]
        {
            assert_eq!(parse(&format!("ed25519:{version}")), expected, "{version:?}");
            cells += 1;
        }
    }
    for text in [
        "",
        "ed25519",
        "ed25519:",
        "1",
        ":1",
        "Ed25519:1",
        "ED25519:1",
        "ed25519 :1",
        " ed25519:1",
        "ed25519;1",
        "ed2551:1",
        "curve25519:1",
        "ed25519_1",
        "ed25519:é",
        "ed25519:\u{a0}",
        "ed25519:1\u{2028}",
        "ed25519:\u{ff0b}",
    ] {
        assert_eq!(parse(text), Err(IdError::KeyId), "{text:?}");
        cells += 1;
    }
    for bytes in 9..=MAX_ID_BYTES + 3 {
        let expected = if bytes <= MAX_ID_BYTES { Ok(()) } else { Err(IdError::TooLong) };
        assert_eq!(parse(&format!("ed25519:{}", "a".repeat(bytes - 8))), expected, "{bytes} bytes");
        cells += 1;
    }
    assert_eq!(cells, 128 * 4 + 17 + 250);
    assert_eq!(IdError::KeyId.to_string(), "is not the ID of an ed25519 key");
}

/// IDs in the grammar of the specification, as servers have them, and with everything that can be.
const IDS: [&str; 14] = [
    "ed25519:1",
    "ed25519:a_Zz9",
    "ed25519:a+b",
    "ed25519:a-b",
    "ed25519:a/b",
    "ed25519:a=b",
    "ed25519:+",
    "ed25519:-",
    "ed25519:/",
    "ed25519:=",
    "ed25519:l8Hft5qXKn1vfHrg3p4+8gELQVo8N13JkluMfmn2sQ==",
    "ed25519:2024-01-01T00:00:00Z",
    "ed25519:ed25519:1",
    "ed25519:!#$%&'()*+-./:;<=>?@[]^_`{|}~",
];

/// A whole knock, in which both servers sign by this ID: the machine, `send_knock`, the room state,
/// what is stored of it, and the index of pending knocks.
#[test]
fn a_knock_by_every_id() {
    let mut cells = 0;
    for version in &RoomVersion::ALL[6..] {
        for id in IDS {
            let room = Room::new(*version, id);
            knock(&room, id);
            cells += 1;
        }
    }
    assert_eq!(cells, 6 * 14);
}

fn knock(room: &Room, id: &str) {
    let servers: [OwnedServerName; 1] = [RESIDENT.parse().expect("a server name")];
    let user_id = UserId::parse(KAY).expect("a user ID");
    let details = Details { reason: Some("Let me in".to_owned()), ..Details::default() };
    let intent = Intent {
        room_id: room.room_id(),
        user_id,
        own: OwnMembership::OutOfBand,
        servers: &servers,
        versions: &RoomVersion::ALL,
        details: &details,
    };
    let Start::Remote(mut machine) = Knocking::start(&intent) else { panic!("a server to ask") };
    let template = room.make_knock();
    machine.reply(machine.want().0, HttpResponse::new(200, &template).into(), NOW).expect("asked for");
    let (ticket, Want::Sign(message)) = machine.want() else { panic!("a signature") };
    let signature = room.home_key.sign(message.as_bytes());
    machine.signature(ticket, room.home_key.key_id(), &signature).expect("asked for");
    // Stored in the middle of it.
    let stored = serde_json::to_string(&machine).expect("it can be stored");
    let mut machine: Knocking = serde_json::from_str(&stored).expect("what was stored");
    let (ticket, Want::Request(request)) = machine.want() else { panic!("a request") };
    let Endpoint::SendKnock { event, .. } = &request.endpoint else { panic!("the knock") };
    let signatures: Value = serde_json::from_str(event.text()).expect("JSON");
    let signers: Vec<&String> = signatures["signatures"][HOME].as_object().expect("signatures").keys().collect();
    assert_eq!(signers, [id]);

    let taken = room.send_knock(event.event_id(), event.text()).expect("a knock that is taken");
    assert_eq!((&*taken.text, &*taken.stored), (event.text(), event.text()));
    machine.reply(ticket, HttpResponse::new(200, &taken.body).into(), NOW).expect("asked for");
    let (ticket, Want::Keys(wanted)) = machine.want() else { panic!("keys") };
    assert_eq!(wanted, BTreeMap::from([(server(RESIDENT).into_owned(), BTreeSet::from([id.to_owned()]))]));
    let verified = machine.keys(ticket, &room.keys(), &Ed25519, NOW).expect("asked for");
    assert_eq!((verified.shown().len(), verified.dropped().count()), (3, 0));
    let knock = machine.outcome().expect("its end").expect("a knock");
    let stored: PendingKnock =
        serde_json::from_str(&serde_json::to_string(&knock).expect("it can be stored")).expect("what was stored");
    assert_eq!(stored, knock);
    assert_eq!(stored.knock_state(ShowUnverified::Never).len(), 4);

    // The room's list of those who wait, by the event and by its text; stored too.
    let pdu = knock.event().pdu().expect("an event");
    let mut index = PendingKnocks::new();
    index.apply(&pdu, 5).expect("an ID");
    let of_state = PendingKnocks::from_state(room.version, [knock.event().text()]);
    let index: PendingKnocks =
        serde_json::from_str(&serde_json::to_string(&index).expect("it can be stored")).expect("what was stored");
    for index in [index, of_state] {
        let waiting: Vec<_> =
            index.iter().map(|knocker| (knocker.user(), knocker.event_id(), knocker.reason())).collect();
        assert_eq!(waiting, [(KAY, knock.event_id(), Some("Let me in"))]);
        assert_eq!(index.knocker(KAY).map(Knocker::event_id), Some(knock.event_id()));
    }

    // A local user's by the other server's key.
    let local = room.local_knock(&details).expect("a knock");
    let formatted = Pdu::parse(local.text()).expect("an event").check_format(room.version).expect("a good one");
    assert_eq!(formatted.key_ids(RESIDENT), [id]);
    assert!(formatted.check_signatures(&room.keys(), &Ed25519, NOW).is_ok());

    // Taken back by the same key.
    let mut leave = Retracting::of_knock(&knock, &[], None);
    let template: Value = serde_json::from_str(&template).expect("JSON");
    let mut template = template.clone();
    template["event"]["content"] = json!({ "membership": "leave" });
    leave.reply(leave.want().0, HttpResponse::new(200, &template.to_string()).into(), NOW).expect("asked for");
    let (ticket, Want::Sign(message)) = leave.want() else { panic!("a signature") };
    let signature = room.home_key.sign(message.as_bytes());
    leave.signature(ticket, room.home_key.key_id(), &signature).expect("asked for");
    let (_, Want::Request(request)) = leave.want() else { panic!("a request") };
    let body = request.body().expect("the event");
    let formatted = Pdu::parse(&body).expect("an event").check_format(room.version).expect("a good one");
    let signed = formatted.check_signatures(&room.keys(), &Ed25519, NOW).expect("a good signature");
    assert_eq!(signed.signed_by().collect::<Vec<_>>(), [HOME]);
}

/// A signature by another ID of the same key is none: the ID is looked up as it stands there.
#[test]
fn the_id_is_taken_as_it_stands() {
    let mut cells = 0;
    for id in IDS {
        let room = Room::new(RoomVersion::V10, id);
        let event = room.knock(r#"{"membership":"knock"}"#, "");
        for other in IDS {
            let found = Room::new(RoomVersion::V10, other);
            let taken = found.send_knock(event.event_id(), event.text());
            let key = VerifyKey { public_key: room.home_key.public_key(), validity: KeyValidity::Forever };
            assert_eq!(room.keys().key(HOME, other), Some(key).filter(|_| id == other));
            let refusal = Refusal::Signature(SignatureError::NotSigned { server: HOME.to_owned() });
            assert_eq!(taken.map(drop), if id == other { Ok(()) } else { Err(refusal) }, "{id} by {other}");
            let list = format!("[{}]", event.text());
            let state = ReceivedRoomState::of_list(&list);
            let state = state.verify(RoomVersion::V10, room.room_id(), &found.keys(), &Ed25519, NOW);
            assert_eq!((state.shown().len(), state.dropped().count()), if id == other { (1, 0) } else { (0, 1) });
            cells += 1;
        }
    }
    assert_eq!(cells, 14 * 14);
}

/// Key documents and requests between servers.
#[test]
fn documents_and_requests() {
    for id in IDS {
        let key = Ed25519Key::from_seed(id, &[3; 32]).expect("a key ID");
        let document = KeyDocument::new(server(HOME), NOW).with_key(key.key_id(), key.public_key());
        let text = document.sign(&[&key]).expect("a document");
        let keys = ServerKeys::parse(server(HOME), &text, &Ed25519).expect("its keys");
        let known = VerifyKey { public_key: key.public_key(), validity: KeyValidity::Until(NOW) };
        assert_eq!(keys.keys().collect::<Vec<_>>(), [(id, known)]);

        let content = Some(r#"{"a":1}"#);
        let (origin, destination) = (server(HOME), server(RESIDENT));
        let request = SignedRequest { method: "PUT", uri: "/x", origin, destination, content };
        let header = request.sign(&key).expect("a body").to_string();
        assert_eq!(
            header.split_once(",sig=").map(|(first, _)| first.to_owned()),
            Some(format!(r#"X-Matrix origin="{HOME}",destination="{RESIDENT}",key="{id}""#))
        );
        let read = Authorization::parse(&header).expect("a header");
        assert_eq!((read.key_id(), read.to_string()), (KeyId::parse(id).expect("a key ID"), header));
        assert_eq!(read.verify("PUT", "/x", content, destination, &keys, &Ed25519, NOW), Ok(origin));
        assert_eq!(
            read.verify("PUT", "/y", content, destination, &keys, &Ed25519, NOW),
            Err(XMatrixError::BadSignature)
        );
    }
}

/// An event that has a signature by one ID is signed by another.
#[test]
fn two_ids_of_one_server() {
    let room = Room::new(RoomVersion::V11, "ed25519:a+b");
    let event = room.knock(r#"{"membership":"knock"}"#, "");
    let other = Ed25519Key::from_seed("ed25519:a/b=", &[4; 32]).expect("a key ID");
    let both = sign_event(RoomVersion::V11, event.text(), server(HOME), &other).expect("an event");
    assert_eq!(both.event_id(), event.event_id());
    let formatted = Pdu::parse(both.text()).expect("an event").check_format(RoomVersion::V11).expect("a good one");
    assert_eq!(formatted.key_ids(HOME), ["ed25519:a+b", "ed25519:a/b="]);
    assert!(formatted.check_signatures(&room.keys(), &Ed25519, NOW).is_ok());
}

/// A host learns of a malformed ID when it reads its key, not in the middle of a knock.
#[test]
fn found_out_at_the_start() {
    for (id, error) in [
        ("", IdError::KeyId),
        ("1", IdError::KeyId),
        ("ed25519:", IdError::KeyId),
        ("ed25519:a b", IdError::KeyId),
        ("ed25519:a\"b", IdError::KeyId),
        ("ed25519:a\\b", IdError::KeyId),
        ("ed25519:a,b", IdError::KeyId),
        ("rsa:1", IdError::KeyId),
        (&*format!("ed25519:{}", "a".repeat(248)), IdError::TooLong),
    ] {
        assert_eq!(Ed25519Key::from_seed(id, &[1; 32]).map(drop), Err(error), "{id:?}");
    }
}
