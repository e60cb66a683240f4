//! What holds for every event, every state and every text: nothing panics, nothing takes long, a decision reads what it
//! says it reads, and memberships move as an independent model of the specification says.
#![expect(clippy::indexing_slicing, clippy::string_slice, reason = "an index that is off fails the test")]
#![expect(clippy::arithmetic_side_effects, reason = "small numbers")]

#[path = "properties/generators.rs"]
mod generators;
#[path = "properties/model.rs"]
mod model;
#[path = "properties/monsters.rs"]
mod monsters;
#[path = "properties/walk.rs"]
mod walk;

use std::cell::RefCell;
use std::collections::BTreeSet;

use generators::{Host, USERS, Zeroes, events, map, respelled, states, texts};
use matrix_knock::RoomVersion;
use matrix_knock::auth::{
    AuthEvent, AuthStatus, AuthorizeError, CompiledRoom, Evidence, Rule, Selection, authorize, authorize_proposal,
    check_state_independent,
};
use matrix_knock::event::{Event, EventType, MemberFacts, Membership, Pdu, PduError, Proposal};
use matrix_knock::id::{EventId, IdError, MAX_ID_BYTES, RoomAlias, RoomId, ServerName, UserId};
use matrix_knock::json::{CanonicalDialect, JsonError, canonical};
use matrix_knock::state::{NotLookedUp, RoomState, StateMap};
use matrix_knock::stripped_state::{StrippedEvent, TYPES, for_client};
use matrix_knock::template::{PrevEvent, Template, TemplateError};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use serde_json::value::RawValue;
use serde_json::{Value, json};

const BOTH: [CanonicalDialect; 2] = [CanonicalDialect::Strict, CanonicalDialect::Lenient];

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// The verdict, by both ways to decide.
fn verdict<E: Event + ?Sized>(
    version: RoomVersion,
    event: &E,
    state: &(impl RoomState + ?Sized),
) -> Result<Membership, AuthorizeError> {
    let verdict = authorize(version, event, state, &Zeroes).map(|allowed| {
        assert!(std::ptr::addr_eq(allowed.event(), event));
        assert_eq!(allowed.version(), version);
        allowed.membership()
    });
    match CompiledRoom::compile(version, state) {
        Ok(room) => {
            let compiled = room.authorize(event, state, &Zeroes).map(|allowed| allowed.membership());
            assert_eq!(compiled, verdict, "the compiled room");
        }
        Err(error) => {
            let refused = error.rejection().map(|rejection| (rejection.rule(), rejection.malformed()));
            assert_eq!(refused, Some((Rule::NoCreateEvent, None)));
            let expected = match &*event.event_type() {
                "m.room.member" => error,
                _ => AuthorizeError::NotAMemberEvent,
            };
            assert_eq!(verdict, Err(expected));
        }
    }
    verdict
}

/// A whole state has looked everything up.
fn known<T>(looked_up: Result<T, NotLookedUp>) -> Result<T, TestCaseError> {
    looked_up.map_err(|error| TestCaseError::fail(error.to_string()))
}

/// Every door of the crate, in every version.
fn through_everything<E: Event + ?Sized>(event: &E, state: &[Host]) -> Result<(), TestCaseError> {
    let auth_events: Vec<_> = state.iter().map(auth_event).collect();
    let create_event = auth_events.iter().copied().find(|entry| entry.event_type == "m.room.create");
    let evidence = Evidence { auth_events: &auth_events, create_event, signed_by: &["home"] };
    let is_member = event.event_type() == "m.room.member";
    let looked_up = map(state);
    for version in RoomVersion::ALL {
        let decided = verdict(version, event, &looked_up);
        let independent = check_state_independent(version, event, &evidence).map(|passed| {
            assert!(std::ptr::addr_eq(passed.event(), event));
            assert_eq!(passed.version(), version);
        });
        for error in [decided.err(), independent.err()].into_iter().flatten() {
            match error {
                AuthorizeError::NotAMemberEvent => prop_assert!(!is_member),
                AuthorizeError::Rejected(rejection) => {
                    prop_assert!(is_member);
                    prop_assert_eq!(rejection.version(), version);
                    prop_assert_eq!(Some(rejection.number()), rejection.rule().number(version), "{}", rejection);
                }
                other => prop_assert!(false, "{}", other),
            }
        }

        let selection = Selection::of(version, event);
        let selected: Vec<_> = selection.state().collect();
        prop_assert!(selected.len() <= 6);
        prop_assert_eq!(selected.iter().collect::<BTreeSet<_>>().len(), selected.len());
        let named = usize::from(version == RoomVersion::V12);
        prop_assert!(selection.auth_events().eq(selected.into_iter().skip(named)));

        let Ok(user) = UserId::parse(event.sender()) else { continue };
        template(version, user, state, &looked_up)?;
    }
    for stripped in state.iter().filter_map(StrippedEvent::of) {
        prop_assert_eq!(canonical(stripped.text(), CanonicalDialect::Lenient), Ok(stripped.to_string()));
    }
    let Ok(user) = UserId::parse(event.sender()) else { return Ok(()) };
    for stripped in known(for_client(&looked_up, user))? {
        // One JSON value, by somebody else's reading; nested not too deep, without lone surrogates.
        let alone = format!(r#"{{"type":"","sender":"","content":{}}}"#, stripped.content());
        if serde_json::from_str::<&RawValue>(stripped.content()).is_ok() && Pdu::parse_stored(&alone).is_ok() {
            prop_assert_eq!(StrippedEvent::try_from(stripped.to_string()), Ok(stripped.clone()));
            if canonical(stripped.content(), CanonicalDialect::Lenient).is_ok() {
                // Four keys and no others.
                let form = canonical(stripped.text(), CanonicalDialect::Lenient);
                prop_assert_eq!(form.ok(), StrippedEvent::of(&Pdu::parse_stored(stripped.text())?).map(String::from));
            }
        }
        let parts = (stripped.event_type(), stripped.state_key(), stripped.sender(), stripped.content());
        let is_it = |event: &Host| {
            let state_key = event.state_key.as_deref().unwrap_or_default();
            let content = event.content().trim_matches([' ', '\t', '\n', '\r']);
            parts == (event.event_type.as_str().into(), state_key.into(), event.sender.as_str().into(), content)
        };
        prop_assert!(state.iter().any(is_it), "{}", stripped);
    }
    Ok(())
}

fn auth_event(event: &Host) -> AuthEvent<'_> {
    AuthEvent {
        event_id: event.event_id.as_deref().unwrap_or_default(),
        event_type: &event.event_type,
        state_key: event.state_key.as_deref(),
        room_id: event.room_id.as_deref(),
        status: if event.prev.is_some() { AuthStatus::Rejected } else { AuthStatus::Accepted },
    }
}

fn template(
    version: RoomVersion,
    user: UserId<'_>,
    events: &[Host],
    state: &StateMap<&Host>,
) -> Result<(), TestCaseError> {
    let prev_events: Vec<_> = ["$a", "$\\\"\n", "$a", "$b:c"].into_iter().flat_map(EventId::parse).collect();
    let prev_events: Vec<_> = prev_events.into_iter().map(|event_id| PrevEvent { event_id, depth: u64::MAX }).collect();
    let Ok(room) = RoomId::parse("!\u{1}\"😀:home") else { return Err(TestCaseError::fail("a room ID")) };
    let knock = Proposal::of_oneself(user.as_str(), Membership::Knock);
    let allowed = authorize_proposal(version, &knock, state).map(|allowed| allowed.membership());
    prop_assert_eq!(&allowed, &verdict(version, &knock, state));
    let template = Template::knock(version, room, user, state, &prev_events, u64::MAX >> 11);
    match (allowed, template) {
        (Err(refused), template) => {
            let rejection = refused.rejection().ok_or_else(|| TestCaseError::fail(refused.to_string()))?;
            prop_assert_eq!(template, Err(TemplateError::Rejected(rejection)));
        }
        (Ok(_), Err(TemplateError::NoEventId { event_type })) => {
            let is_named = |event: &Host| event.event_id.as_deref().is_some_and(|id| EventId::parse(id).is_ok());
            prop_assert!(events.iter().any(|event| event.is_type(event_type) && !is_named(event)));
        }
        (Ok(membership), template) => {
            prop_assert_eq!(membership, Membership::Knock);
            let text = template.map(|template| template.to_response()).map_err(|error| error.to_string());
            let text = text.map_err(TestCaseError::fail)?;
            prop_assert_eq!(canonical(&text, CanonicalDialect::Strict), Ok(text.clone()));
            let response: Value =
                serde_json::from_str(&text).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(&response["event"]["prev_events"], &json!(["$a", "$\\\"\n", "$b:c"]));
            prop_assert_eq!(&response["event"]["state_key"], user.as_str());
            prop_assert_eq!(&response["room_version"], version.as_str());
        }
    }
    Ok(())
}

/// What is accepted is given back as it was.
fn identifiers(text: &str) -> Result<(), TestCaseError> {
    let parsed: [Result<&str, IdError>; 5] = [
        UserId::parse(text).map(UserId::as_str),
        RoomId::parse(text).map(RoomId::as_str),
        EventId::parse(text).map(EventId::as_str),
        RoomAlias::parse(text).map(RoomAlias::as_str),
        ServerName::parse(text).map(ServerName::as_str),
    ];
    for (parsed, sigil) in parsed.into_iter().zip(["@", "!", "$", "#", ""]) {
        match parsed {
            Ok(same) => {
                prop_assert_eq!(same, text);
                prop_assert!(text.len() <= MAX_ID_BYTES && text.starts_with(sigil) && !text.contains('\0'));
            }
            Err(IdError::Sigil(expected)) => {
                prop_assert_eq!(expected.to_string(), sigil);
                prop_assert!(!text.starts_with(expected));
            }
            Err(IdError::TooLong) => prop_assert!(text.len() > MAX_ID_BYTES),
            Err(IdError::NoDomain) => prop_assert!(!text.contains(':')),
            Err(IdError::LocalPart) => prop_assert!(text.contains('\0') || text.len() == 1),
            Err(IdError::ServerName) => prop_assert!(sigil.is_empty() || text.contains(':')),
            // That of room IDs and aliases in one, or none of these.
            Err(other) => prop_assert!(false, "{text}: {other}"),
        }
    }
    if let Ok(user) = UserId::parse(text) {
        let domain = text.split_once(':').map(|(_, domain)| domain);
        prop_assert_eq!(domain, Some(user.server_name().as_str()));
    }
    Ok(())
}

/// The same event as strings.
fn host(event: &impl Event) -> Host {
    Host {
        event_type: event.event_type().into_owned(),
        state_key: event.state_key().map(str::to_owned),
        sender: event.sender().to_owned(),
        content: event.content().to_owned(),
        room_id: event.room_id().map(str::to_owned),
        event_id: event.event_id().map(str::to_owned),
        prev: event.sole_prev_event().map(str::to_owned),
    }
}

proptest! {
    #![proptest_config(config(6000))]

    #[test]
    fn no_text_panics(text in texts()) {
        identifiers(&text)?;
        let forms = BOTH.map(|dialect| canonical(&text, dialect));
        for form in forms.iter().flatten() {
            prop_assert_eq!(canonical(form, CanonicalDialect::Lenient), Ok(form.clone()));
        }
        let (parsed, stored) = (Pdu::parse(&text), Pdu::parse_stored(&text));
        match (&parsed, &stored, &forms[1]) {
            (Err(error), _, Err(json)) => prop_assert_eq!(error, &PduError::Json(*json)),
            (parsed, stored, _) => prop_assert_eq!(parsed, stored),
        }
        let Ok(pdu) = stored else { return Ok(()) };
        let facts = MemberFacts::of(pdu.content());
        prop_assert_eq!(pdu.member_facts(), facts);
        if let Ok(parsed) = parsed {
            prop_assert_eq!(parsed.member_facts(), facts);
            for version in RoomVersion::ALL {
                if let Ok(formatted) = parsed.clone().check_format(version) {
                    prop_assert_eq!(formatted.pdu().member_facts(), facts);
                }
            }
        }
        let own = host(&pdu);
        let create = Host::new("m.room.create", "", USERS[0], text.as_str());
        let state = [create, own];
        through_everything(&pdu, &state)?;
        for version in RoomVersion::ALL {
            prop_assert_eq!(verdict(version, &pdu, &map(&state)), verdict(version, &state[1], &map(&state)));
        }
    }

    #[test]
    fn no_event_panics(event in events(), state in states()) {
        through_everything(&event, &state)?;
    }
}

/// Asked for what, so far?
struct Recording<'s, S: ?Sized> {
    state: &'s S,
    asked: RefCell<BTreeSet<(String, String)>>,
}

impl<S: RoomState + ?Sized> RoomState for Recording<'_, S> {
    type Event<'e>
        = S::Event<'e>
    where
        Self: 'e;

    fn event(&self, event_type: EventType<'_>, state_key: &str) -> Result<Option<S::Event<'_>>, NotLookedUp> {
        self.asked.borrow_mut().insert((event_type.to_string(), state_key.to_owned()));
        self.state.event(event_type, state_key)
    }
}

fn asked<S: ?Sized, T>(state: &S, act: impl FnOnce(&Recording<'_, S>) -> T) -> (BTreeSet<(String, String)>, T) {
    let recording = Recording { state, asked: RefCell::default() };
    let answer = act(&recording);
    (recording.asked.into_inner(), answer)
}

/// A decision reads entries that the selection names, and no others; so it is the same from these alone.
#[test]
fn reads_only_what_is_selected() {
    let mut runner = TestRunner::new(config(6000));
    let read = RefCell::new(BTreeSet::new());
    let result = runner.run(&(events(), states(), select(&RoomVersion::ALL[..])), |(event, state, version)| {
        let selection = Selection::of(version, &event);
        let selected: BTreeSet<_> =
            selection.state().map(|(event_type, state_key)| (event_type.to_string(), state_key.to_owned())).collect();

        let looked_up = map(&state);
        let decide = |state: &Recording<'_, StateMap<&Host>>| {
            authorize(version, &event, state, &Zeroes).map(|it| it.membership())
        };
        let (entries, decided) = asked(&looked_up, decide);
        prop_assert!(entries.is_subset(&selected), "{:?} of {:?}", entries, selected);
        let chosen: StateMap<&Host> = state
            .iter()
            .filter(|entry| {
                let state_key = entry.state_key.clone().unwrap_or_default();
                selected.contains(&(entry.event_type.clone(), state_key))
            })
            .collect();
        prop_assert_eq!(verdict(version, &event, &chosen), decided);

        let (compiled_from, room) = asked(&looked_up, |state| CompiledRoom::compile(version, state));
        let allowed = CompiledRoom::COMPILED_FROM.map(|event_type| (event_type.to_string(), String::new()));
        prop_assert!(compiled_from.is_subset(&allowed.into()), "{:?}", compiled_from);
        if let Ok(room) = room {
            let decide = |state: &Recording<'_, StateMap<&Host>>| {
                room.authorize(&event, state, &Zeroes).map(|it| it.membership())
            };
            let (entries, _) = asked(&looked_up, decide);
            prop_assert!(entries.is_subset(&selected), "{:?} of {:?}", entries, selected);
            let types = ["m.room.member", "m.room.third_party_invite"];
            prop_assert!(entries.iter().all(|(event_type, _)| types.contains(&event_type.as_str())), "{:?}", entries);
        }
        read.borrow_mut().extend(entries.into_iter().map(|(event_type, _)| event_type));
        Ok(())
    });
    assert_eq!(result, Ok(()));
    let types = ["create", "join_rules", "member", "power_levels", "third_party_invite"];
    assert_eq!(read.into_inner(), types.map(|name| format!("m.room.{name}")).into());
}

/// The decision that reads most: all that is selected for a join with the word of another user.
#[test]
fn reads_all_that_is_selected() {
    let content = r#"{"join_authorised_via_users_server":"@alice:home","membership":"join"}"#;
    let join = Host::member(USERS[3], USERS[3], content);
    let state = [
        Host::new("m.room.create", "", USERS[0], "{}"),
        Host::new("m.room.join_rules", "", USERS[0], r#"{"join_rule":"restricted"}"#),
        Host::member(USERS[0], USERS[0], r#"{"membership":"join"}"#),
    ];
    let decide = |state: &Recording<'_, _>| authorize(RoomVersion::V8, &join, state, &Zeroes).map(|it| it.membership());
    let (entries, decided) = asked(&map(&state), decide);
    assert_eq!(decided, Ok(Membership::Join));
    let entries: Vec<_> =
        entries.iter().map(|(event_type, state_key)| (event_type.as_str(), state_key.as_str())).collect();
    let expected = [
        ("m.room.create", ""),
        ("m.room.join_rules", ""),
        ("m.room.member", USERS[0]),
        ("m.room.member", USERS[3]),
        ("m.room.power_levels", ""),
    ];
    assert_eq!(entries, expected);
    let selection = Selection::of(RoomVersion::V8, &join);
    let selected: BTreeSet<_> = selection.state().map(|(event_type, key)| (event_type.as_str(), key)).collect();
    assert_eq!(selected, expected.into());
}

fn showable() -> impl Strategy<Value = Vec<Host>> {
    let types = TYPES.into_iter().map(EventType::as_str);
    let types: Vec<_> = types.chain(["m.room.member", "m.room.power_levels", "m.room.names"]).collect();
    let keys =
        prop_oneof![4 => Just(String::new()), 3 => select(&USERS[..]).prop_map(str::to_owned), 1 => any::<String>()];
    let value = prop_oneof![
        any::<String>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        Just(json!([null, { "b": true, "a": "\u{7}😀" }])),
    ];
    let content = prop_oneof![
        8 => proptest::collection::btree_map("[a-d]{1,2}|\\PC{1,3}", value, 0..4).prop_map(|members| json!(members)),
        1 => select(vec![json!([]), json!("{"), json!(null), json!(1)]),
    ];
    let event = (select(types), keys, any::<String>(), content).prop_map(|(event_type, state_key, sender, content)| {
        Host { event_id: Some("$id".to_owned()), ..Host::new(event_type, &state_key, &sender, content.to_string()) }
    });
    vec(event, 0..24)
}

proptest! {
    #![proptest_config(config(2000))]

    /// Exactly four keys; the create event first, the user's own member event last, the others between in their order.
    #[test]
    fn stripped_state_for_a_client(state in showable(), user in select(&USERS[..])) {
        let last = |event_type: &str, state_key: &str| {
            state.iter().rfind(|event| event.event_type == event_type && event.state_key.as_deref() == Some(state_key))
        };
        let order = ["create", "join_rules", "name", "avatar", "topic", "canonical_alias", "encryption"];
        let mut expected: Vec<_> = order.iter().map(|name| last(&format!("m.room.{name}"), "")).collect();
        expected.push(last("m.room.member", user));
        let expected: Vec<_> = expected
            .into_iter()
            .flatten()
            .map(|event| (event, serde_json::from_str::<Value>(&event.content).unwrap_or_default()))
            .filter(|(_, content)| content.is_object())
            .map(|(event, content)| json!({
                "type": event.event_type,
                "state_key": event.state_key,
                "sender": event.sender,
                "content": content,
            }))
            .collect();
        let parsed = UserId::parse(user).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let shown: Vec<_> = known(for_client(&map(&state), parsed))?
            .iter()
            .map(|event| serde_json::from_str::<Value>(&event.to_string()).unwrap_or_default())
            .collect();
        for event in &shown {
            let keys: BTreeSet<_> = event.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
            prop_assert_eq!(keys, BTreeSet::from(["content", "sender", "state_key", "type"]));
        }
        prop_assert_eq!(shown, expected);
    }
}

proptest! {
    #![proptest_config(config(4000))]

    /// What an event says does not depend on how it is spelled: white space, order and escapes are nothing.
    #[test]
    fn blind_to_spelling(text in texts(), event in events(), state in states(), choices in vec(any::<u8>(), 8..99)) {
        let respell = |text: &str| {
            let form = canonical(text, CanonicalDialect::Lenient)?;
            Ok::<_, JsonError>((respelled(&form, &choices), form))
        };
        if let Ok((respelled, form)) = respell(&text) {
            let parse = |text| Pdu::parse(text).map(|pdu| {
                let content = canonical(pdu.content(), CanonicalDialect::Lenient).unwrap_or_default();
                Host { content, ..host(&pdu) }
            });
            prop_assert_eq!(parse(&respelled), parse(&form));
        }
        let respell_content = |host: &Host| match respell(&host.content) {
            Ok((respelled, form)) => [respelled, form].map(|content| Host { content, ..host.clone() }),
            Err(_) => [host.clone(), host.clone()],
        };
        let [event_respelled, event] = respell_content(&event);
        let (respelled, state): (Vec<_>, Vec<_>) = state.iter().map(|host| respell_content(host).into()).unzip();
        for version in RoomVersion::ALL {
            let again = verdict(version, &event_respelled, &map(&respelled));
            prop_assert_eq!(again, verdict(version, &event, &map(&state)), "{}", version);
        }
    }
}
