//! Mistakes of the host: each is 500 on the wire, and none is told as a refusal of the room.

use matrix_knock::RoomVersion;
use matrix_knock::auth::{AuthStatus, AuthorizeError, Rejection, authorize_proposal};
use matrix_knock::error::{Errcode, ErrorResponse, PathError};
use matrix_knock::event::{Event, EventType, FormatError, Membership, Pdu, PduError, Proposal, SignatureError};
use matrix_knock::id::{EventId, RoomId};
use matrix_knock::policy::{PolicyRefusal, PolicyServer, PolicyVerdict};
use matrix_knock::resident::submission::{AuthEventRef, HostVerdict, SendKnock, SendLeave, UnknownAuthEvents};
use matrix_knock::resident::{
    AuthStage, Decision, HostError, Knock, Leave, MakeKnock, MakeLeave, Mismatch, Refusal, RequestKind, Residence,
    ResidentRoom,
};
use matrix_knock::state::{NotLookedUp, Reads, RoomState, Snapshot, StateMap};
use matrix_knock::template::{Details, PrevEvent, TemplateError};
use serde_json::json;

use super::federation::{Federation, KAY, THEN, key, knocking_server, rooms};
use super::submission::{Stored, Submission, pdus, texts};

const INTERNAL: &str = r#"{"errcode":"M_UNKNOWN","error":"Internal server error"}"#;

/// That this is what comes of it, and on the wire.
fn is_host_error(found: &Refusal, expected: &HostError, message: &str) {
    assert_eq!((found, found.to_string().as_str()), (&Refusal::Host(expected.clone()), message));
    assert_eq!(expected.to_string(), message);
    assert!(found.is_host_error());
    for response in [found.to_response(), found.clone().into(), expected.clone().into()] {
        assert_eq!((response.status(), response.errcode(), response.retry_after()), (500, &Errcode::Unknown, None));
        assert_eq!(response.to_string(), INTERNAL);
    }
}

fn not_looked_up(found: &Refusal, event_type: EventType<'_>, state_key: &str) {
    let error = NotLookedUp::new(event_type, state_key);
    let message = format!("the `{event_type}` entry of the state with the state key `{state_key}` was not looked up");
    assert_eq!((error.event_type(), error.state_key()), (event_type, state_key));
    assert_eq!(Refusal::from(error.clone()), *found);
    assert_eq!(ErrorResponse::from(error.clone()).to_string(), INTERNAL);
    assert_eq!(Refusal::from(TemplateError::from(error.clone())), *found);
    is_host_error(found, &error.into(), &message);
}

/// A room to ask about, and how this server stands to it.
fn resident(federation: &Federation) -> ResidentRoom<'_> {
    let room_id = RoomId::parse(&federation.room.id).expect("a room ID");
    ResidentRoom { room_id, version: federation.room.version, residence: Residence::Joined }
}

/// The parts of a state without one entry, and that entry.
fn without_one<'p>(reads: &Reads, events: &[Pdu<'p>]) -> Vec<(Snapshot<Pdu<'p>>, EventType<'static>, String)> {
    let all = [
        EventType::Create,
        EventType::JoinRules,
        EventType::PowerLevels,
        EventType::Member,
        EventType::ServerAcl,
        EventType::Policy,
        EventType::Name,
        EventType::Avatar,
        EventType::Topic,
        EventType::CanonicalAlias,
        EventType::Encryption,
    ];
    let without = |(event_type, state_key): (EventType<'_>, &str)| {
        let others: Reads = reads.iter().filter(|entry| *entry != (event_type, state_key)).collect();
        assert_eq!(others.len() + 1, reads.len());
        let event_type = all.into_iter().find(|known| *known == event_type).expect("a type that is asked for");
        (Snapshot::of_events(&others, events.iter().cloned()), event_type, state_key.to_owned())
    };
    reads.iter().map(without).collect()
}

/// What comes of a step with one entry missing: the answer that it gives with all of them, or that this one is missing.
fn one_missing<T: PartialEq + std::fmt::Debug>(
    reads: &Reads,
    events: &[Pdu<'_>],
    step: impl Fn(&Snapshot<Pdu<'_>>) -> Result<T, Refusal>,
) -> usize {
    let whole = step(&Snapshot::of_events(reads, events.iter().cloned()));
    let mut missed = 0;
    for (part, event_type, state_key) in without_one(reads, events) {
        match step(&part) {
            Err(refusal) if refusal.is_host_error() => {
                not_looked_up(&refusal, event_type, &state_key);
                missed += 1;
            }
            other => assert_eq!(other, whole, "without {event_type} {state_key}"),
        }
    }
    missed
}

/// Every step with every entry of what it reads missing.
#[test]
fn entries_that_were_not_looked_up() {
    for (version, join_rule) in rooms() {
        let federation = Federation::new(version, join_rule);
        let texts = texts(&federation.room.places.values().map(|id| federation.room.stored(id)).collect::<Vec<_>>());
        let events = pdus(&texts);
        let state: StateMap<Pdu<'_>> = events.iter().cloned().collect();
        let room = resident(&federation);
        let offered = [version.as_str()];
        let make = || MakeKnock::new(room.room_id, KAY, knocking_server(), offered);
        let checked = one_missing(&make().reads(&room), &events, |state| make().check(&room, state));
        assert_eq!(checked, 4, "the ACL, and what the rules read of a knock");

        let approved = make().check(&room, &state).expect("a knock").decide(Decision::Admit).expect("admitted");
        let last = [PrevEvent { event_id: EventId::parse(&federation.room.tip).expect("an ID"), depth: 8 }];
        let made = one_missing(&approved.reads(), &events, |state| approved.template(state, &last, THEN));
        assert_eq!(made, 4);
        let signed = one_missing(&approved.reads(), &events, |state| {
            approved.sign(state, &Details::default(), &last, THEN, &key("k.example"))
        });
        assert_eq!(signed, 4);
        let local = approved.sign(&state, &Details::default(), &last, THEN, &key("k.example")).expect("a knock");
        let accepted =
            one_missing(&local.reads(), &events, |state| local.clone().accept(state, PolicyVerdict::NotNamed));
        // Power levels count for nothing in a knock: only the template names them. The policy server counts.
        assert_eq!(accepted, 4);
        let policy = one_missing(&PolicyServer::reads(), &events, |state| Ok(local.policy_server(state)?));
        assert_eq!(policy, 1);
    }
}

/// The steps of an event that another server sends.
fn sent<K: RequestKind>(counts: [usize; 6]) {
    for (version, join_rule) in rooms() {
        let good = Submission::new(K::MEMBERSHIP, version, join_rule);
        let state = texts(&good.state);
        let events = pdus(&state);
        let named: Vec<Stored> = good.auth_events.iter().map(|(event, _)| event.clone()).collect();
        let named = texts(&named);
        let named = pdus(&named);
        let text = |event: &&Pdu<'_>| event.to_federation(version).ok();
        good.verified::<K, _>(|verified, before, current| {
            let found = named.iter().map(|event| AuthEventRef { event, status: AuthStatus::Accepted });
            let auth_events = verified.match_auth_events(found).expect("all of them");
            let reads = verified.reads();
            let by_before =
                one_missing(&reads, &events, |state| verified.clone().authorize(&auth_events, state, current));
            let by_current =
                one_missing(&reads, &events, |state| verified.clone().authorize(&auth_events, before, state));
            let allowed = verified.clone().authorize(&auth_events, before, current).expect("an event that is allowed");
            let policy = one_missing(&PolicyServer::reads(), &events, |state| Ok(allowed.policy_server(state)?));
            let accepting = one_missing(&allowed.reads(), &events, |state| {
                allowed.clone().accept(state, PolicyVerdict::NotNamed, Decision::Admit)
            });
            let accepted = allowed
                .clone()
                .accept_by_host(HostVerdict::Allowed, current, PolicyVerdict::NotNamed, Decision::Admit)
                .expect("an event that is allowed");
            let answering = one_missing(&accepted.reads(), &events, |state| accepted.to_response(state, text));
            let again = verified.clone().known();
            let repeating = one_missing(&again.reads(), &events, |state| again.to_response(state, text));
            let found = [by_before, by_current, policy, accepting, answering, repeating];
            assert_eq!(found, counts, "{version} {join_rule}");
        });
    }
}

#[test]
fn entries_that_were_not_looked_up_for_a_sent_event() {
    // Create event, join rules, member; the policy, alone and with them; the seven that are shown.
    sent::<Knock>([3, 3, 1, 4, 7, 7]);
    sent::<Leave>([2, 2, 1, 3, 0, 0]);
}

/// The room of another request.
#[test]
fn another_room() {
    const MESSAGE: &str = "the room is not the one that the request names";
    let federation = Federation::new(RoomVersion::V10, "knock");
    let state = federation.room.state();
    let room = resident(&federation);
    let other = RoomId::parse("!other:a.example").expect("a room ID");
    let origin = knocking_server();
    // Whatever else is wrong: it is about something else.
    for residence in [Residence::Joined, Residence::Left, Residence::PartialState] {
        let room = ResidentRoom { residence, ..room };
        let nothing: [&str; 0] = [];
        for refusal in [
            MakeKnock::new(other, KAY, origin, ["10"]).check(&room, &state).map(drop),
            MakeKnock::new(other, "", origin, nothing).check(&room, &state).map(drop),
            MakeLeave::new(other, KAY, origin).check(&room, &state).map(drop),
            SendKnock::new(other, "$x", origin, "{}").check(&room, &state).map(drop),
            SendLeave::new(other, "$x", origin, "").check(&room, &Snapshot::<Pdu<'_>>::new()).map(drop),
        ] {
            is_host_error(&refusal.expect_err("another room"), &HostError::OtherRoom, MESSAGE);
        }
    }
}

/// The auth events of another event, which are good ones.
#[test]
fn auth_events_of_another_event() {
    for (version, join_rule) in rooms() {
        let good = Submission::new(Membership::Knock, version, join_rule);
        let mut other = good.clone();
        other.event["depth"] = json!(1);
        let named: Vec<Stored> = good.auth_events.iter().map(|(event, _)| event.clone()).collect();
        let named = texts(&named);
        let named = pdus(&named);
        let found = || named.iter().map(|event| AuthEventRef { event, status: AuthStatus::Accepted });
        let of_other = other.verified::<Knock, _>(|verified, _, _| verified.match_auth_events(found()));
        let of_other = of_other.expect("all of them");
        good.verified::<Knock, _>(|verified, before, current| {
            let refusal = verified.clone().authorize(&of_other, before, current).expect_err("of another event");
            let message = "the auth events were matched with another event";
            is_host_error(&refusal, &HostError::OtherAuthEvents, message);
        });
    }
}

/// Too little for a template or an event of this server's own.
#[test]
fn too_little_for_a_template() {
    for (version, join_rule) in rooms() {
        let federation = Federation::new(version, join_rule);
        let mut events: Vec<Stored> = federation.room.places.values().map(|id| federation.room.stored(id)).collect();
        let state = texts(&events);
        let state: StateMap<Pdu<'_>> = pdus(&state).into_iter().collect();
        let room = resident(&federation);
        let request = MakeKnock::new(room.room_id, KAY, knocking_server(), [version.as_str()]);
        let approved = request.check(&room, &state).expect("a knock").decide(Decision::Admit).expect("admitted");
        let last = [PrevEvent { event_id: EventId::parse(&federation.room.tip).expect("an ID"), depth: 8 }];
        let both = |state: &StateMap<Pdu<'_>>, last: &[PrevEvent<'_>], error: &HostError, message: &str| {
            let key = key("k.example");
            let made = approved.template(state, last, THEN).map(drop);
            let signed = approved.sign(state, &Details::default(), last, THEN, &key).map(drop);
            for refusal in [made, signed] {
                is_host_error(&refusal.expect_err("too little"), error, message);
            }
        };
        both(&state, &[], &HostError::NoForwardExtremities, "no previous events to come after");

        for (known, event_type) in
            [(EventType::PowerLevels, "m.room.power_levels"), (EventType::JoinRules, "m.room.join_rules")]
        {
            let error = HostError::NoEventId { event_type: known };
            let message = format!("the `{event_type}` event of the state has no event ID");
            let of_type = |event: &&mut Stored| event["type"] == json!(event_type);
            let event = events.iter_mut().find(of_type).expect("an event");
            let id = event["event_id"].take();
            for bad in [None, Some(""), Some("x"), Some("!x")] {
                match bad {
                    Some(bad) => event["event_id"] = json!(bad),
                    None => drop(event.as_object_mut().and_then(|event| event.remove("event_id"))),
                }
                let changed = texts(std::slice::from_ref(event));
                let mut changed_state = state.clone();
                for event in pdus(&changed) {
                    assert!(changed_state.insert(event).is_ok());
                }
                both(&changed_state, &last, &error, &message);
            }
            event["event_id"] = id;
        }
    }
}

/// The create event has no text: an answer without it would say nothing of the room.
#[test]
fn an_answer_without_the_create_event() {
    const MESSAGE: &str = "the create event of the room has no text that could be sent";
    for (version, join_rule) in rooms() {
        let good = Submission::new(Membership::Knock, version, join_rule);
        good.verified::<Knock, _>(|verified, _, current| {
            let allowed = verified.clone().authorize_by_host(HostVerdict::Allowed).expect("the host allows it");
            let accepted =
                allowed.accept_by_host(HostVerdict::Allowed, current, PolicyVerdict::NotNamed, Decision::Admit);
            let accepted = accepted.expect("the host allows it");
            let others =
                |event: &&Pdu<'_>| event.to_federation(version).ok().filter(|_| !event.is_type(EventType::Create));
            let mut without = current.clone();
            assert!(without.remove(EventType::Create, "").is_some());
            let again = verified.clone().known();
            for refusal in [
                accepted.to_response(current, others),
                accepted.to_response(current, |_| None),
                accepted.to_response(&without, |event| event.to_federation(version).ok()),
                again.to_response(current, others),
            ] {
                is_host_error(&refusal.expect_err("no create event"), &HostError::NoCreateEvent, MESSAGE);
            }
            // An event without a text among the others is left out.
            let create = accepted.to_response(current, |event| {
                event.to_federation(version).ok().filter(|_| event.is_type(EventType::Create))
            });
            let create_event = current_create(current, version);
            assert_eq!(create, Ok(format!(r#"{{"knock_room_state":[{create_event}]}}"#)));
        });
    }
}

fn current_create(current: &StateMap<Pdu<'_>>, version: RoomVersion) -> String {
    let create = current.event(EventType::Create, "").expect("a whole state").expect("a create event");
    create.to_federation(version).expect("JSON")
}

/// Every other refusal is none of the host's mistakes, whatever its status.
#[test]
fn all_the_others() {
    let rejection: Rejection = {
        let state = StateMap::<Pdu<'_>>::new();
        let knock = Proposal::of_oneself(KAY, Membership::Knock);
        let Err(AuthorizeError::Rejected(rejection)) = authorize_proposal(RoomVersion::V10, &knock, &state) else {
            panic!("no room")
        };
        rejection
    };
    let unknown: UnknownAuthEvents = Submission::new(Membership::Knock, RoomVersion::V10, "knock")
        .verified::<Knock, _>(|verified, _, _| verified.match_auth_events(Vec::<AuthEventRef<Pdu<'_>>>::new()))
        .expect_err("nothing was found");
    let (of_client, of_server, gone) = (400, 500, 404);
    for (refusal, status) in [
        (Refusal::Path(PathError::NoSuchEndpoint), gone),
        (Refusal::Path(PathError::Method), 405),
        (Refusal::Path(PathError::UriTooLong), 414),
        (Refusal::Path(PathError::Encoding), of_client),
        (Refusal::Path(PathError::RoomId), gone),
        (Refusal::UnknownRoom, gone),
        (Refusal::NotInRoom, gone),
        (Refusal::PartialState, gone),
        (Refusal::ServerDenied, 403),
        (Refusal::UserId, of_client),
        (Refusal::UserOfOtherServer, 403),
        (Refusal::NoVersions, of_client),
        (Refusal::IncompatibleRoomVersion(RoomVersion::V10), of_client),
        (Refusal::NoKnocking(RoomVersion::V6), 403),
        (Refusal::OldEventFormat(RoomVersion::V1), gone),
        (Refusal::NotUtf8, of_client),
        (Refusal::Format(FormatError::Pdu(PduError::NotAnObject)), of_client),
        (Refusal::Format(FormatError::TooLarge { bytes: 65_537 }), 413),
        (Refusal::Mismatch(Mismatch::RoomId), of_client),
        (Refusal::Mismatch(Mismatch::NoStateKey), of_client),
        (Refusal::Signature(SignatureError::NotSigned { server: "a.example".to_owned() }), of_client),
        (Refusal::ContentHash, of_client),
        (Refusal::NoPrevEvents, 403),
        // The next server may know more: no refusal, and no mistake.
        (Refusal::UnknownPrevEvents, of_server),
        (Refusal::UnknownState, of_server),
        (Refusal::UnknownAuthEvents(unknown), 403),
        (Refusal::Rejected { stage: AuthStage::Itself, rejection }, 403),
        (Refusal::RejectedByHost { stage: AuthStage::Itself }, 403),
        (Refusal::TooLarge, 413),
        (Refusal::TooDeep, of_client),
        (Refusal::ByHost(Box::new(ErrorResponse::internal("A failure of the host's own"))), of_server),
        (Refusal::RateLimited { retry_after_ms: None }, 429),
        (Refusal::Forbidden, 403),
        (Refusal::Suspended, 403),
        (Refusal::Policy(PolicyRefusal::BadSignature), 403),
    ] {
        assert!(!refusal.is_host_error(), "{refusal:?}");
        let response = refusal.to_response();
        assert_eq!(response.status(), status, "{refusal:?}");
        assert_ne!(response.to_string(), INTERNAL);
    }
    let unknown = r#"{"errcode":"M_UNKNOWN","error":"This server does not know the state before the event"}"#;
    assert_eq!(Refusal::UnknownPrevEvents.to_response().to_string(), unknown);
    assert_eq!(Refusal::UnknownState.to_response().to_string(), unknown);
}
