//! The ways in which an event comes in, each with all that it says of the event.

use std::fmt::Debug;

use matrix_knock::Ed25519;
use matrix_knock::auth::AuthStatus;
use matrix_knock::event::{
    Ed25519Key, Event, FormatError, OwnedPdu, Pdu, PduError, VerifiedPdu, content_hash, event_id, event_id_of_stored,
    redact, reference_hash, sign_event, transaction_pdus, without_event_id,
};
use matrix_knock::id::{EventId, OwnedServerName, RoomId, ServerName, UserId};
use matrix_knock::knocking::out_of_band::SentKnock;
use matrix_knock::knocking::room_state::ReceivedRoomState;
use matrix_knock::knocking::{Details, Intent, Knocking, OwnMembership, PendingKnock, Start};
use matrix_knock::machine::{Machine as _, Reply, Want};
use matrix_knock::membership_change::{Before, MembershipChange};
use matrix_knock::pending::PendingKnocks;
use matrix_knock::policy::PolicyVerdict;
use matrix_knock::resident::submission::{AuthEventRef, SendRequest};
use matrix_knock::resident::{Decision, Knock, Leave, Refusal, RequestKind, Residence, ResidentRoom};
use matrix_knock::stripped_state::{self, StrippedEvent};
use matrix_knock::sync::KnockSection;
use matrix_knock::template::{CheckedTemplate, Expected};
use matrix_knock::wire::{BuiltRequest, HttpResponse};
use serde_json::value::RawValue;

use super::events::{A, AllKeys, NOW};
use super::room::{Base, KAY, Scene};

/// The way that has a bound of its own.
pub(crate) const TEMPLATE: &str = "a template";

/// A way in: for which events, and what comes of one. `text` is the event of `base`, with or
/// without `unsigned`.
pub(crate) struct Way {
    pub(crate) name: &'static str,
    pub(crate) bases: fn(&Scene) -> Vec<Base>,
    pub(crate) read: fn(&Scene, &Base, &str) -> String,
}

/// The ways for events of every room version.
pub(crate) const OF_EVERY_VERSION: [Way; 11] = [
    Way { name: "Pdu::parse", bases: Scene::state_events, read: |_, _, text| outline(Pdu::parse(text)) },
    Way { name: "Pdu::parse_stored", bases: Scene::state_events, read: |_, _, text| outline(Pdu::parse_stored(text)) },
    Way {
        name: "OwnedPdu::parse_stored",
        bases: Scene::state_events,
        read: |_, _, text| outline(OwnedPdu::parse_stored(text)),
    },
    Way {
        name: "Pdu::try_from(RawValue)",
        bases: Scene::state_events,
        read: |_, _, text| {
            let raw: &RawValue = serde_json::from_str(text).expect("JSON");
            outline(Pdu::try_from(raw))
        },
    },
    Way { name: "the checks of an event", bases: Scene::state_events, read: checks },
    Way { name: "a PDU of a transaction", bases: Scene::state_events, read: in_transaction },
    Way { name: "the functions of texts", bases: Scene::state_events, read: functions },
    Way { name: "a whole entry of a room state", bases: Scene::state_events, read: entry },
    Way { name: "an entry of four keys", bases: Scene::stripped_events, read: entry },
    Way { name: "stripped_state::in_texts", bases: Scene::state_events, read: in_texts },
    Way { name: "what a client reads", bases: Scene::stripped_events, read: section },
];

/// The ways for events of the versions that have knocking.
pub(crate) const OF_KNOCKS: [Way; 8] = [
    Way { name: "the checks of a knock", bases: Scene::knocks, read: checks },
    Way { name: "send_knock", bases: Scene::knocks, read: |scene, base, text| sent::<Knock>(scene, base, text, false) },
    Way { name: "send_leave", bases: Scene::leaves, read: |scene, base, text| sent::<Leave>(scene, base, text, true) },
    Way { name: "the answer to a knock", bases: Scene::answers, read: answer },
    Way { name: "PendingKnock::of_stored", bases: Scene::knocks, read: stored_knock },
    Way { name: "PendingKnocks", bases: Scene::knocks, read: pending },
    Way { name: "MembershipChange", bases: Scene::knocks, read: change },
    Way { name: TEMPLATE, bases: Scene::templates, read: template },
];

/// Errors say where in the text; that is all that may differ.
fn said<T: Debug>(value: T) -> String {
    let mut out = String::new();
    let text = format!("{value:?}");
    let mut parts = text.split("at: ");
    out.push_str(parts.next().unwrap_or_default());
    parts.for_each(|part| out.push_str(part.trim_start_matches(|character: char| character.is_ascii_digit())));
    out
}

fn outline<E: Event>(event: Result<E, impl Debug>) -> String {
    let of = |event: &E| {
        let strings = [event.state_key(), Some(event.sender()), event.room_id(), event.event_id()];
        let strings = strings.map(|text| text.map(str::to_owned));
        let names = [event.event_type().into_owned(), event.content().to_owned()];
        (strings, names, event.sole_prev_event().map(str::to_owned), event.member_facts())
    };
    said(event.as_ref().map(of))
}

/// Format, signatures, hash.
fn checks(scene: &Scene, _: &Base, text: &str) -> String {
    let formatted = Pdu::parse(text).map_err(FormatError::Pdu).and_then(|event| event.check_format(scene.version()));
    let formatted = match formatted {
        Ok(formatted) => formatted,
        Err(error) => return said(error),
    };
    let auth_events: Vec<String> = formatted.auth_events().map(str::to_owned).collect();
    let prev_events: Vec<String> = formatted.prev_events().map(str::to_owned).collect();
    let numbers = (formatted.depth(), formatted.origin_server_ts(), formatted.canonical_bytes());
    let federation = formatted.pdu().to_federation(scene.version());
    let id = formatted.event_id().to_owned();
    let verified = formatted.check_signatures(&AllKeys, &Ed25519, NOW).and_then(|signed| signed.check_hash());
    let verified = verified.map(|verified| match verified {
        VerifiedPdu::Whole(whole) => {
            (whole.event_id().to_owned(), whole.signed().signed_by().map(str::to_owned).collect::<Vec<_>>(), None)
        }
        VerifiedPdu::Redacted(left) => {
            let signed_by = left.signed_by().map(str::to_owned).collect();
            (left.event_id().to_owned(), signed_by, Some(left.text().to_owned()))
        }
    });
    said((id, auth_events, prev_events, numbers, federation, verified))
}

/// Among others in a transaction, which are read all the same.
fn in_transaction(scene: &Scene, base: &Base, text: &str) -> String {
    let other = scene.room.create.to_string();
    let body = format!(r#"{{"origin":"a.example","pdus":[{other},{text},{other}],"origin_server_ts":1}}"#);
    let pdus = transaction_pdus(&body).expect("a transaction");
    assert_eq!(pdus, [other.as_str(), text, other.as_str()]);
    checks(scene, base, pdus[1])
}

/// Hashes, IDs, the redacted and the signed form.
fn functions(scene: &Scene, _: &Base, text: &str) -> String {
    let version = scene.version();
    let signer = Ed25519Key::from_seed("ed25519:b", &[1; 32]).expect("a key ID");
    let server = ServerName::parse("b.example").expect("a server name");
    let without_note = without_event_id(version, text).map_err(PduError::Json);
    said((
        content_hash(version, text).map(|hash| hash.to_string()),
        reference_hash(version, text).map(|hash| hash.to_string()),
        event_id(version, text),
        event_id_of_stored(version, text),
        without_note.and_then(|text| event_id(version, &text)),
        redact(version, text),
        sign_event(version, text, server, &signer).map(|event| (event.event_id().to_owned(), event.into_text())),
    ))
}

/// An entry of a `knock_room_state`.
fn entry(scene: &Scene, _: &Base, text: &str) -> String {
    let list = format!("[{text}]");
    let answer = format!(r#"{{"knock_room_state":{list}}}"#);
    let received = ReceivedRoomState::of_list(&list);
    assert_eq!(ReceivedRoomState::of_answer(&answer), received);
    assert_eq!(ReceivedRoomState::of_entries([text]), received);
    let room_id = RoomId::parse(&scene.room.id).expect("a room ID");
    let wanted = received.wanted_keys(scene.version());
    said((wanted, received.verify(scene.version(), room_id, &AllKeys, &Ed25519, NOW)))
}

/// What is chosen of a store, and what a client is shown of it.
fn in_texts(_: &Scene, _: &Base, text: &str) -> String {
    let chosen = stripped_state::in_texts([text]);
    let shown = chosen.map(|events| events.iter().map(StrippedEvent::of).collect::<Vec<_>>());
    said((shown, StrippedEvent::try_from(text.to_owned())))
}

/// What a client reads in a `/sync`: as a part of the state, and as the member event beside it.
fn section(_: &Scene, _: &Base, text: &str) -> String {
    let section =
        format!(r#"{{"!r:a.example":{{"knock_state":{{"events":[{text}]}},"state":{{"events":[{text}]}}}}}}"#);
    let read = KnockSection::parse(&section).map(|section| {
        let rooms =
            section.rooms().map(|(id, room)| (id.to_owned(), room.state().to_vec(), room.member_event().is_some()));
        rooms.collect::<Vec<_>>()
    });
    said(read)
}

/// The request as HTTP has it.
fn put(name: &str, scene: &Scene, base: &Base, text: &str) -> BuiltRequest {
    let api = if name == "send_knock" { "v1" } else { "v2" };
    let encoded = |id: &str| id.replace('$', "%24").replace('!', "%21").replace(':', "%3A");
    let path = format!("/_matrix/federation/{api}/{name}/{}/{}", encoded(&scene.room.id), encoded(&base.event_id));
    BuiltRequest { method: "PUT", path, query: String::new(), body: Some(text.to_owned()) }
}

/// A request with a signed event, up to its end. What is accepted is the event without `unsigned`.
fn sent<K: RequestKind + Debug + Clone + PartialEq>(
    scene: &Scene,
    base: &Base,
    text: &str,
    with_knock: bool,
) -> String {
    let room_id = RoomId::parse(&scene.room.id).expect("a room ID");
    let room = ResidentRoom { room_id, version: scene.version(), residence: Residence::Joined };
    let origin = ServerName::parse("b.example").expect("a server name");
    let request = SendRequest::<K>::new(room_id, base.event_id.as_str(), origin, text);
    assert_eq!(SendRequest::<K>::parse(origin, put(K::SEND, scene, base, text).as_http()), Ok(request.clone()));
    let state = scene.state(with_knock);
    let accept = || {
        let checked = request.check(&room, &state)?.verify(&AllKeys, &Ed25519, NOW)?;
        let found = state.iter().map(|event| AuthEventRef { event, status: AuthStatus::Accepted });
        let auth_events = checked.match_auth_events(found)?;
        checked.authorize(&auth_events, &state, &state)?.accept(&state, PolicyVerdict::NotNamed, Decision::Admit)
    };
    let accepted: Result<_, Refusal> = accept();
    said(accepted.map(|accepted| {
        let (text, stored) = (accepted.to_text(), accepted.to_stored().expect("an event"));
        assert_eq!(text.as_deref(), Ok(base.text.as_str()));
        assert_eq!((stored.text(), stored.event_id()), (base.text.as_str(), Some(base.event_id.as_str())));
        (text, accepted.to_response(&state, |event| event.to_federation(scene.version()).ok()))
    }))
}

/// What the knocker's server may believe of an answer.
fn answer(scene: &Scene, _: &Base, text: &str) -> String {
    let formatted = Pdu::parse(text).expect("an event").check_format(scene.version()).expect("its format");
    let verified = formatted.check_signatures(&AllKeys, &Ed25519, NOW).expect("signed").check_hash();
    let Ok(VerifiedPdu::Whole(whole)) = verified else { return said(verified.map(drop)) };
    let event_id = EventId::parse(scene.knock_id()).expect("an event ID");
    let knock = SentKnock {
        room_id: RoomId::parse(&scene.room.id).expect("a room ID"),
        user_id: UserId::parse(KAY).expect("a user ID"),
        event_id,
        version: scene.version(),
        current: Some(event_id),
        through: None,
    };
    let origin = ServerName::parse(A).expect("a server name");
    said((knock.acceptance(&whole), knock.msc4233_denial(&whole, origin)))
}

/// A knock that other software has stored: what is kept of it.
fn stored_knock(scene: &Scene, _: &Base, text: &str) -> String {
    let server = ServerName::parse(A).expect("a server name");
    let knock = PendingKnock::of_stored(scene.version(), text, server, []);
    said(knock.map(|knock| serde_json::to_string(&knock).expect("JSON")))
}

/// The index of those who wait, from a state and event by event.
fn pending(scene: &Scene, base: &Base, text: &str) -> String {
    let from_state = PendingKnocks::from_state(scene.version(), [text]);
    let noted = text.replacen('{', &format!(r#"{{"event_id":"{}","#, base.event_id), 1);
    let from_noted = PendingKnocks::from_state(scene.version(), [noted]);
    let mut applied = PendingKnocks::new();
    let event = Pdu::parse_stored(text).map(|event| event.with_event_id(base.event_id.as_str()));
    let update = event.map(|event| applied.apply(&event, 5));
    let all = [from_state, from_noted, applied].map(|index| serde_json::to_string(&index).expect("JSON"));
    said((all, update))
}

fn change(_: &Scene, _: &Base, text: &str) -> String {
    let event = Pdu::parse_stored(text);
    said(event.as_ref().map(|event| MembershipChange::new(Before::<Pdu<'_>>::NoEvent, event)))
}

/// The event that the knocking server makes of a template: read by itself, and by the machine in
/// both forms.
fn template(scene: &Scene, _: &Base, text: &str) -> String {
    let versions = [scene.version()];
    let (room_id, user_id) =
        (RoomId::parse(&scene.room.id).expect("a room ID"), UserId::parse(KAY).expect("a user ID"));
    let body = format!(r#"{{"event":{text},"room_version":"{}"}}"#, scene.version());
    let details = Details { reason: Some("Let me in".to_owned()), ..Details::default() };
    let origin = user_id.server_name();
    let read = CheckedTemplate::read(Expected::Knock(&versions), room_id, user_id, &body);
    let event = read.map(|template| template.to_event(&details, origin, NOW));

    let servers = [OwnedServerName::parse(A).expect("a server name")];
    let intent = Intent {
        room_id,
        user_id,
        own: OwnMembership::OutOfBand,
        servers: &servers,
        versions: &versions,
        details: &details,
    };
    let room_version = versions[0].as_str();
    let replies = [
        Reply::Response(HttpResponse::new(200, &body)),
        Reply::Template { room_version: Some(room_version), event: text },
    ];
    let wanted = replies.map(|reply| {
        let Start::Remote(mut machine) = Knocking::start(&intent) else { panic!("there is a server to ask") };
        machine.reply(machine.want().0, reply, NOW).expect("it is asked for");
        match machine.want().1 {
            Want::Sign(bytes) => bytes.to_owned(),
            _ => said(machine.outcome()),
        }
    });
    said((event, wanted))
}
