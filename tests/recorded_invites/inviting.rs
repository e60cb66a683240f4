//! The inviting server with a recorded invite of its own: what it asks, and that it takes the
//! answers that were recorded.

use matrix_knock::event::{Ed25519Key, EventType};
use matrix_knock::event::{Event as _, Keys, KeysFn, Pdu, VerifyKey, sign_event};
use matrix_knock::id::{EventId, RoomId, UserId};
use matrix_knock::machine::{Endpoint, Machine as _, Reply, Request, Want};
use matrix_knock::policy::PolicyVerdict;
use matrix_knock::resident::answer::{Action, AnswerRequest, Answered, Inviting, NotInvited};
use matrix_knock::resident::{Decision, Residence, ResidentRoom};
use matrix_knock::state::StateMap;
use matrix_knock::stripped_state::ShownTypes;
use matrix_knock::template::{Details, PrevEvent};
use matrix_knock::wire::HttpResponse;
use matrix_knock::{Ed25519, RoomVersion};
use serde_json::{Value, json};

use super::attempt::Attempt;
use super::{INVITED, INVITER, NOW, Recorded, documents, oracle, published, recorded, server};

/// The keys of the recordings, and those of the tests.
pub(crate) fn known(name: &str, key_id: &str) -> Option<VerifyKey> {
    documents().key(name, key_id).or_else(|| published(name, key_id))
}

/// The machine as it was stored, once it had asked the invited user's server. (The private key that
/// the event was signed with is not known.)
pub(crate) fn inviting(version: RoomVersion, event: &str, state: &[String]) -> Inviting {
    let stored = json!({
        "version": version, "event": event, "policy": "not_named", "invite_room_state": state,
        "state": "asking", "ticket": 0,
    });
    serde_json::from_value(stored).unwrap()
}

/// The same for a recorded invite.
pub(crate) fn of_recorded(recorded: &Recorded) -> Inviting {
    let state =
        recorded.body()["invite_room_state"].as_array().unwrap().iter().map(oracle::canonical).collect::<Vec<_>>();
    inviting(recorded.version(), &sent(recorded), &state)
}

/// The event as it was stored, without what Synapse puts into `unsigned`.
pub(crate) fn sent(recorded: &Recorded) -> String {
    oracle::canonical(&oracle::without(&recorded.event(), &["unsigned"]))
}

/// Takes an answer, and the keys that are asked for then. The machine is stored and read again
/// before each step.
pub(crate) fn answered(inviting: &mut Inviting, reply: Reply<'_>, keys: &dyn Keys) -> Result<String, NotInvited> {
    let restart = |inviting: &mut Inviting| {
        let stored = serde_json::to_string(inviting).unwrap();
        let again: Inviting = serde_json::from_str(&stored).unwrap();
        assert_eq!(&again, inviting, "{stored}");
        *inviting = again;
    };
    restart(inviting);
    let (ticket, want) = inviting.want();
    assert!(matches!(want, Want::Request(_)) && inviting.outcome().is_none());
    inviting.reply(ticket, reply, NOW).unwrap();
    restart(inviting);
    assert!(inviting.reply(ticket, reply, NOW).is_err(), "the same answer twice");
    if let (ticket, Want::Keys(wanted)) = inviting.want() {
        // Those of the invited user's server, and not too many.
        assert_eq!(wanted.keys().map(|name| name.as_borrowed()).collect::<Vec<_>>(), [server(INVITED)]);
        assert!(wanted.values().all(|key_ids| (1..=8).contains(&key_ids.len())), "{wanted:?}");
        assert_eq!(inviting.outcome(), None);
        inviting.keys(ticket, keys, &Ed25519, NOW).unwrap();
        restart(inviting);
        assert!(inviting.keys(ticket, keys, &Ed25519, NOW).is_err(), "the same keys twice");
    }
    assert!(matches!(inviting.want(), (_, Want::Ended)));
    inviting.outcome().unwrap().map(|invite| invite.event().text().to_owned())
}

#[test]
fn what_was_asked_is_asked() {
    for recorded in recorded() {
        let source = &recorded.source;
        let inviting = of_recorded(&recorded);
        let (_, Want::Request(request)) = inviting.want() else { panic!("{source}") };
        assert_eq!((request.server.as_borrowed(), request.method()), (server(INVITED), "PUT"), "{source}");
        assert_eq!(request.path_and_query(), recorded.uri, "{source}");
        // The event had its `unsigned` when it was sent.
        let body: Value = serde_json::from_str(&request.body().unwrap()).unwrap();
        let mut expected = recorded.body();
        expected["event"] = oracle::without(&expected["event"], &["unsigned"]);
        assert_eq!(body, expected, "{source}");
        let Request { endpoint: Endpoint::Invite { room_id, room_version, event, invite_room_state }, .. } = request
        else {
            panic!("{source}");
        };
        let [in_room, event_id] = recorded.ids();
        assert_eq!((room_id.to_string(), event.event_id()), (in_room, &*event_id), "{source}");
        assert_eq!((room_version, event.text()), (recorded.version(), &*sent(&recorded)), "{source}");
        assert_eq!(invite_room_state.len(), expected["invite_room_state"].as_array().unwrap().len(), "{source}");
    }
}

#[test]
fn the_recorded_answers_are_taken() {
    for recorded in recorded() {
        let source = &recorded.source;
        let answer: Value = serde_json::from_str(recorded.response.get()).unwrap();
        // Our text, with the signature out of the answer, and nothing else out of it.
        let mut expected: Value = serde_json::from_str(&sent(&recorded)).unwrap();
        expected["signatures"][INVITED] = answer["event"]["signatures"][INVITED].clone();
        assert_eq!(expected["signatures"][INVITED].as_object().unwrap().len(), 1, "{source}");
        let expected = Ok(oracle::canonical(&expected));

        let documents = documents();
        let response = HttpResponse::new(recorded.status, recorded.response.get());
        assert_eq!(answered(&mut of_recorded(&recorded), response.into(), &documents), expected, "{source}");
        let event = oracle::canonical(&answer["event"]);
        let by_parts = Reply::Invited { event: &event };
        assert_eq!(answered(&mut of_recorded(&recorded), by_parts, &documents), expected, "{source}");
    }
}

/// Both ends of this library: what the one answers, the other takes.
#[test]
fn our_own_answers_are_taken() {
    for recorded in recorded() {
        let source = &recorded.source;
        let attempt = Attempt { is_made_anew: false, ..Attempt::of(&recorded, &Value::Null) };
        let invite = attempt.run().result.unwrap();
        let answer = invite.to_response();
        let taken = answered(&mut of_recorded(&recorded), HttpResponse::new(200, &answer).into(), &KeysFn(known));
        assert_eq!(taken.as_deref(), Ok(invite.event().text()), "{source}");
        let expected = oracle::countersigned(recorded.version(), &recorded.event(), INVITED);
        assert_eq!(taken, Ok(expected), "{source}");
    }
}

/// What the steps before lead to is the same machine as the one that is read from what was stored.
#[test]
fn the_machine_of_the_pipeline() {
    let key = Ed25519Key::from_seed(oracle::KEY_ID, &oracle::key(INVITER).to_bytes()).unwrap();
    let [alice, kay] = ["@alice:hs1.test:18448", "@kay:hs2.test:28448"];
    let mut prev = Vec::new();
    let mut make = |event_type: &str, state_key: &str, sender: &str, content: Value| {
        let event = json!({
            "type": event_type, "state_key": state_key, "sender": sender, "content": content, "room_id": "!r:hs1.test:18448",
            "auth_events": [], "prev_events": prev, "depth": 1, "origin_server_ts": 1,
        });
        let made = sign_event(RoomVersion::V10, &event.to_string(), server(INVITER), &key).unwrap();
        prev = vec![made.event_id().to_owned()];
        (made.event_id().to_owned(), made.into_text())
    };
    let texts = [
        make("m.room.create", "", alice, json!({ "creator": alice, "room_version": "10" })),
        make("m.room.member", alice, alice, json!({ "membership": "join" })),
        make("m.room.join_rules", "", alice, json!({ "join_rule": "knock" })),
        make("m.room.member", kay, kay, json!({ "membership": "knock" })),
    ];
    let events = texts.iter().map(|(id, text)| Pdu::parse(text).unwrap().with_event_id(id.as_str()));
    let state: StateMap<Pdu<'_>> = events.collect();
    let room_id = RoomId::parse("!r:hs1.test:18448").unwrap();
    let room = ResidentRoom { room_id, version: RoomVersion::V10, residence: Residence::Joined };
    let (alice, kay) = (UserId::parse(alice).unwrap(), UserId::parse(kay).unwrap());
    let request = AnswerRequest::new(Action::Accept, alice, kay).check(&room, &state).unwrap();
    let last = PrevEvent { event_id: EventId::parse(&texts[3].0).unwrap(), depth: 1 };
    let approved = request.decide(Decision::Admit).unwrap();
    let event = approved.sign(&state, &Details::default(), &[last], NOW, &key).unwrap();
    let Ok(Answered::Invite(invite)) = event.accept(&state, PolicyVerdict::NotNamed) else { panic!("an invite") };
    let text = |event: &&Pdu<'_>| event.to_federation(RoomVersion::V10).ok();
    let sent = invite.event().clone();
    let made = invite.start(&ShownTypes::default(), &state, text).unwrap();
    let (_, Want::Request(request)) = made.want() else { panic!("a request") };
    let body: Value = serde_json::from_str(&request.body().unwrap()).unwrap();
    let entries = body["invite_room_state"].as_array().unwrap();
    assert_eq!(entries[0]["type"], json!(EventType::Create.as_str()));
    let read = inviting(RoomVersion::V10, sent.text(), &entries.iter().map(oracle::canonical).collect::<Vec<_>>());
    assert_eq!(made, read);
    let event: Value = serde_json::from_str(sent.text()).unwrap();
    let expected = oracle::countersigned(RoomVersion::V10, &event, INVITED);
    let answer = format!(r#"{{"event":{expected}}}"#);
    let taken = answered(&mut made.clone(), HttpResponse::new(200, &answer).into(), &KeysFn(known));
    assert_eq!(taken, Ok(expected));
    assert_eq!(sent.pdu().unwrap().state_key(), Some(kay.as_str()));
}
