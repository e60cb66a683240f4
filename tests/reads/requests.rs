//! Every step of a resident server, for knocks and for leaves, each over a state of its own: between two steps anything may
//! happen.

use matrix_knock::RoomVersion;
use matrix_knock::auth::{AuthStatus, Selection};
use matrix_knock::event::{
    Event, KeyValidity, KeysFn, Membership, Proposal, Sign, SignedEvent, Verify, VerifyKey, sign_event,
};
use matrix_knock::id::{EventId, KeyId, RoomId, ServerName, UserId};
use matrix_knock::policy::{PolicyRefusal, PolicyServer, PolicyVerdict};
use matrix_knock::resident::submission::{AuthEventRef, SendRequest, SignatureChecked};
use matrix_knock::resident::{
    Decision, Knock, Leave, MakeKnock, MakeLeave, MakeRequest, Refusal, RequestKind, Residence, ResidentRoom,
};
use matrix_knock::state::{Reads, RoomState, StateMap};
use matrix_knock::template::{Details, PrevEvent};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::config;
use super::generators::{Host, USERS};
use super::look_up::{View, Watch};
use super::rooms::{of_version, rooms};

/// Signs with zeroes.
pub(crate) struct Zeroing;

impl Sign for Zeroing {
    fn key_id(&self) -> KeyId<'_> {
        KeyId::parse("ed25519:0").unwrap()
    }

    fn sign(&self, _message: &[u8]) -> [u8; 64] {
        [0; 64]
    }
}

/// Any key of any server.
pub(crate) fn any_key(_server: &str, _key_id: &str) -> Option<VerifyKey> {
    Some(VerifyKey { public_key: [0; 32], validity: KeyValidity::Forever })
}

/// The names of the steps of one kind.
pub(crate) fn name<K: RequestKind>(step: &str) -> String {
    format!("{} {step}", K::MEMBERSHIP)
}

/// The requests of one kind are made in two ways.
pub(crate) trait Made: RequestKind {
    fn make<'q>(room_id: RoomId<'q>, user: &'q str, origin: ServerName<'q>, versions: &'q str)
    -> MakeRequest<'q, Self>;
}

impl Made for Knock {
    fn make<'q>(
        room_id: RoomId<'q>,
        user: &'q str,
        origin: ServerName<'q>,
        versions: &'q str,
    ) -> MakeRequest<'q, Self> {
        MakeKnock::new(room_id, user, origin, versions.split(' '))
    }
}

impl Made for Leave {
    fn make<'q>(
        room_id: RoomId<'q>,
        user: &'q str,
        origin: ServerName<'q>,
        _versions: &'q str,
    ) -> MakeRequest<'q, Self> {
        MakeLeave::new(room_id, user, origin)
    }
}

/// What the room is like at each step.
pub(crate) type Times<'t, E> = [&'t StateMap<E>; 3];

/// `make_knock` or `make_leave`, up to the template, and up to the event of a local user.
pub(crate) fn make<K: Made, E: Event>(
    watch: &Watch,
    room: &ResidentRoom<'_>,
    (user, origin): (&str, ServerName<'_>),
    [first, second, third]: Times<'_, E>,
) -> Result<(), TestCaseError> {
    let roles = [(user, "sender")];
    let request = K::make(room.room_id, user, origin, "7 8 9 10 11 12");
    let checked = watch.outcome(&name::<K>("MakeRequest::check"), &roles, &request.reads(room), first, |state| {
        request.clone().check(room, state)
    })?;
    let Ok(checked) = checked else { return Ok(()) };
    let approved = checked.decide(Decision::Admit).expect("it is admitted");
    let reads = approved.reads();
    let prev_events = [PrevEvent { event_id: EventId::parse("$last").expect("an event ID"), depth: 5 }];
    watch.run(&name::<K>("ApprovedRequest::template"), &roles, &reads, second, |state| {
        approved.template(state, &prev_events, 1)
    })?;
    let details = Details { reason: Some("Kay".to_owned()), ..Details::default() };
    let local = watch.outcome(&name::<K>("ApprovedRequest::sign"), &roles, &reads, second, |state| {
        approved.sign(state, &details, &prev_events, 1, &Zeroing)
    })?;
    let Ok(local) = local else { return Ok(()) };
    watch.run(&name::<K>("LocalEvent::policy_server"), &roles, &PolicyServer::reads(), third, |state| {
        local.policy_server(state)
    })?;
    for policy in [PolicyVerdict::NotNamed, PolicyVerdict::Refused(PolicyRefusal::NoAnswer)] {
        watch.run(&name::<K>("LocalEvent::accept"), &roles, &local.reads(), third, |state| {
            local.clone().accept(state, policy.clone()).map(SignedEvent::into_text)
        })?;
    }
    Ok(())
}

/// `send_knock` or `send_leave`, up to the answer. `found` are the auth events.
pub(crate) fn send<K: RequestKind, E: Event + Clone>(
    watch: &Watch,
    room: &ResidentRoom<'_>,
    (user, request): (&str, &SendRequest<'_, K>),
    found: &[AuthEventRef<E>],
    [first, second, third]: Times<'_, E>,
) -> Result<(), TestCaseError> {
    let roles = [(user, "sender")];
    let checked = watch.outcome(&name::<K>("SendRequest::check"), &roles, &request.reads(), first, |state| {
        request.check(room, state)
    })?;
    let Ok(checked) = checked else { return Ok(()) };
    let checked = checked.verify(&KeysFn(any_key), &Trusting, 0);
    let Ok(checked) = checked else { return Ok(()) };
    answer(watch, &name::<K>("Repeated::to_response"), &checked.clone().known().reads(), third, |state, text| {
        checked.clone().known().to_response(state, |event| text(event))
    })?;

    let Ok(auth_events) = checked.match_auth_events(found.iter().cloned()) else { return Ok(()) };
    let reads = SignatureChecked::reads(&checked);
    let authorized =
        watch.outcome(&name::<K>("SignatureChecked::authorize, before"), &roles, &reads, first, |state| {
            checked.clone().authorize(&auth_events, state, second)
        })?;
    let again = watch.outcome(&name::<K>("SignatureChecked::authorize, current"), &roles, &reads, second, |state| {
        checked.clone().authorize(&auth_events, first, state)
    })?;
    prop_assert_eq!(&authorized, &again);
    let Ok(authorized) = authorized else { return Ok(()) };
    let reads = PolicyServer::reads();
    watch.run(&name::<K>("AuthorizedEvent::policy_server"), &roles, &reads, second, |state| {
        authorized.policy_server(state)
    })?;
    let named = PolicyServer::named(third).expect("a whole state");
    let policy = named.map_or(PolicyVerdict::NotNamed, PolicyVerdict::NotJoined);
    for decision in [Decision::Forbidden, Decision::Admit] {
        watch.run(&name::<K>("AuthorizedEvent::accept"), &roles, &authorized.reads(), third, |state| {
            authorized.clone().accept(state, policy.clone(), decision.clone())
        })?;
    }
    let Ok(accepted) = authorized.accept(third, policy, Decision::Admit) else { return Ok(()) };
    answer(watch, &name::<K>("Accepted::to_response"), &accepted.reads(), third, |state, text| {
        accepted.to_response(state, |event| text(event))
    })?;
    watch.run(&name::<K>("Accepted::room_state"), &roles, &accepted.reads(), third, |state| {
        accepted
            .room_state(state)
            .map(|events| events.iter().map(|event| event.content().to_owned()).collect::<Vec<_>>())
    })?;
    Ok(())
}

/// An answer that shows the state, with and without the text of the create event.
fn answer<E: Event>(
    watch: &Watch,
    step: &str,
    reads: &Reads,
    state: &StateMap<E>,
    answer: impl Fn(&View<'_, E>, &dyn Fn(&E) -> Option<String>) -> Result<String, Refusal>,
) -> Result<(), TestCaseError> {
    let whole = |event: &E| Some(format!("{:?}", event.content()));
    let without_create = |event: &E| whole(event).filter(|_| event.event_type() != "m.room.create");
    watch.run(step, &[], reads, state, |state| answer(state, &whole))?;
    watch.run(step, &[], reads, state, |state| answer(state, &without_create))
}

/// Believes every signature.
pub(crate) struct Trusting;

impl Verify for Trusting {
    fn verify(&self, _key: &[u8; 32], _message: &[u8], _signature: &[u8; 64]) -> bool {
        true
    }
}

/// What is odd about an event that a server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Oddity {
    None,
    /// Another user vouches, as for a join.
    Vouched,
    RejectedAuthEvent,
    NoAuthEvents,
    NoPrevEvents,
}

/// The event of a user with this membership, as its server sends it, and its auth events from this state.
fn sent<'s>(
    version: RoomVersion,
    room_id: &str,
    (user, membership): (&str, Membership),
    state: &StateMap<&'s Host>,
    oddity: Oddity,
) -> (SignedEvent, Vec<AuthEventRef<&'s Host>>) {
    let proposal = Proposal::of_oneself(user, membership);
    let selection = Selection::of(version, &proposal);
    let status = if oddity == Oddity::RejectedAuthEvent { AuthStatus::Rejected } else { AuthStatus::Accepted };
    let selected = selection.auth_events().filter_map(|(event_type, key)| state.event(event_type, key).expect("known"));
    let mut found: Vec<_> = selected.map(|event| AuthEventRef { event: *event, status }).collect();
    if oddity == Oddity::NoAuthEvents {
        found.clear();
    }
    let is_old = version <= RoomVersion::V2;
    let reference = |id: &str| if is_old { json!([id, { "sha256": "x" }]) } else { json!(id) };
    let auth_events: Vec<Value> = found.iter().filter_map(|found| Some(reference(found.event.event_id()?))).collect();
    let prev_events = if oddity == Oddity::NoPrevEvents { json!([]) } else { json!([reference("$last")]) };
    let server = UserId::parse(user).expect("a user ID").server_name();
    let mut event = json!({
        "type": "m.room.member", "sender": user, "state_key": user, "room_id": room_id, "auth_events": auth_events,
        "prev_events": prev_events, "depth": 6, "origin_server_ts": 1, "content": { "membership": membership.as_str() },
    });
    if is_old {
        event["event_id"] = json!(format!("$event:{server}"));
    }
    if oddity == Oddity::Vouched {
        event["content"]["join_authorised_via_users_server"] = json!(USERS[0]);
    }
    let signed = sign_event(version, &event.to_string(), server, &Zeroing).expect("an event");
    let home = ServerName::parse("home").expect("a server name");
    (sign_event(version, signed.text(), home, &Zeroing).expect("an event"), found)
}

/// The event of a user, as its server sends it.
pub(crate) fn sent_by<K: RequestKind>(
    version: RoomVersion,
    room_id: &str,
    user: &str,
    state: &StateMap<&Host>,
) -> SignedEvent {
    sent(version, room_id, (user, K::MEMBERSHIP), state, Oddity::None).0
}

/// All that happens to one knock and to one leave of a user.
fn handle<K: Made>(
    watch: &Watch,
    room: &ResidentRoom<'_>,
    (user, origin): (&str, ServerName<'_>),
    oddity: Oddity,
    times: [&StateMap<&Host>; 3],
) -> Result<(), TestCaseError> {
    make::<K, _>(watch, room, (user, origin), times)?;
    let (event, found) = sent(room.version, room.room_id.as_str(), (user, K::MEMBERSHIP), times[0], oddity);
    let request = SendRequest::<K>::new(room.room_id, event.event_id(), origin, event.text());
    send(watch, room, (user, &request), &found, times)
}

#[test]
fn requests() {
    let watch = Watch::default();
    let oddity = prop_oneof![
        6 => Just(Oddity::None),
        1 => Just(Oddity::Vouched),
        1 => Just(Oddity::RejectedAuthEvent),
        1 => Just(Oddity::NoAuthEvents),
        1 => Just(Oddity::NoPrevEvents),
    ];
    let residence = prop_oneof![
        20 => Just(Residence::Joined),
        1 => Just(Residence::PartialState),
        1 => Just(Residence::Left),
    ];
    let version = prop_oneof![1 => select(&RoomVersion::ALL[..6]), 4 => select(&RoomVersion::ALL[6..])];
    let times = (rooms(), option::weighted(0.4, rooms()), option::weighted(0.4, rooms()));
    let user = (select(&USERS[..]), proptest::bool::weighted(0.05));
    let result = TestRunner::new(config(6000)).run(
        &(version, times, user, residence, oddity),
        |(version, (first, second, third), (user, of_another), residence, oddity)| {
            let second = second.unwrap_or_else(|| first.clone());
            let third = third.unwrap_or_else(|| second.clone());
            let [(room_id, first), (_, second), (_, third)] =
                [first, second, third].map(|events| of_version(version, events));
            let [first, second, third]: [StateMap<&Host>; 3] =
                [&first, &second, &third].map(|events| events.iter().collect());
            let times = [&first, &second, &third];
            let room = ResidentRoom { room_id: RoomId::parse(&room_id).unwrap(), version, residence };
            let own = UserId::parse(user).unwrap().server_name();
            let origin = if of_another { ServerName::parse("other").unwrap() } else { own };
            handle::<Knock>(&watch, &room, (user, origin), oddity, times)?;
            handle::<Leave>(&watch, &room, (user, origin), oddity, times)
        },
    );
    assert_eq!(result.map_err(|error| error.to_string()), Ok(()));
    for kind in ["knock", "leave"] {
        let names = STEPS.map(|step| format!("{kind} {step}"));
        watch.assert_reached([50, 50], &names.each_ref().map(String::as_str));
    }
    // A template names the power levels, and so they are read for it; the verdict on a knock or on a leave of one's own does not
    // depend on them.
    let never = ["knock", "leave"].into_iter().flat_map(|kind| {
        let steps = [
            "AuthorizedEvent::accept",
            "LocalEvent::accept",
            "MakeRequest::check",
            "SignatureChecked::authorize, before",
            "SignatureChecked::authorize, current",
        ];
        steps.map(|step| format!("{kind} {step}: m.room.power_levels"))
    });
    assert_eq!(watch.never_read(), never.collect::<Vec<_>>());
}

/// The steps that can refuse.
const STEPS: [&str; 8] = [
    "MakeRequest::check",
    "ApprovedRequest::template",
    "ApprovedRequest::sign",
    "LocalEvent::accept",
    "SendRequest::check",
    "SignatureChecked::authorize, before",
    "SignatureChecked::authorize, current",
    "AuthorizedEvent::accept",
];
