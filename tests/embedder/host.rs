//! The host's own types as events, states, keys, signers and verifiers, by value and behind pointers.

use std::borrow::Cow;
use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use matrix_knock::auth::authorize_proposal;
use matrix_knock::event::{
    Event, EventType, KeyValidity, Keys, KeysFn, Membership, OwnedPdu, Pdu, Proposal, ServerKeys, Sign, Verify,
    VerifyKey,
};
use matrix_knock::id::{OwnedServerName, ServerName};
use matrix_knock::room_version::RoomVersion;
use matrix_knock::state::{NotLookedUp, RoomState, StateMap};

use super::{CREATE, JOIN_RULES, NAME, NoKey, knock};

#[test]
fn a_signed_event_as_one_that_the_rules_read() {
    let signed = knock();
    let pdu = signed.pdu().unwrap();
    assert_eq!((pdu.event_id(), pdu.sender()), (Some(signed.event_id()), "@kay:b.example"));
    assert_eq!((pdu.room_id(), pdu.sole_prev_event()), (Some("!r:a.example"), Some("$rules")));
}

#[test]
fn an_event_for_a_task_that_outlives_its_text() {
    let signed = knock();
    let pdu = Pdu::parse(signed.text()).unwrap().with_event_id(signed.event_id());
    let owned: OwnedPdu = pdu.clone().into_owned();
    assert_eq!((&owned, OwnedPdu::from(pdu.clone())), (&owned, owned.clone()));
    assert_eq!(owned.as_pdu(), pdu);
    let of_task = thread::spawn(move || (owned.sender().to_owned(), owned.event_id().map(str::to_owned)));
    let expected = ("@kay:b.example".to_owned(), Some(signed.event_id().to_owned()));
    assert_eq!(of_task.join().unwrap(), expected);
}

#[cfg(feature = "serde_json")]
#[test]
fn raw_values() {
    use matrix_knock::event::{PduError, SignedEvent};
    use matrix_knock::id::{EventId, RoomId, UserId};
    use matrix_knock::stripped_state::StrippedEvent;
    use matrix_knock::template::{PrevEvent, Template};
    use serde_json::value::RawValue;

    use super::KNOCK;

    let raw: Box<RawValue> = serde_json::from_str(KNOCK).unwrap();
    assert_eq!(Pdu::try_from(&*raw), Pdu::parse(KNOCK));
    // Read as from anywhere: what serde_json lets pass is noticed.
    let twice = RawValue::from_string(r#"{"type":"t","type":"t","sender":"@a:b","content":{}}"#.to_owned()).unwrap();
    assert!(matches!(Pdu::try_from(&*twice), Err(PduError::Json(_))));

    let stripped = super::stripped(NAME);
    let text = stripped.text().to_owned();
    assert_eq!(Box::<RawValue>::from(stripped).get(), text);
    let spelled = StrippedEvent::try_from(text.replace("1.5", "0.15E1")).unwrap();
    assert!(Box::<RawValue>::from(spelled).get().contains("0.15E1"));
    let signed = knock();
    let (text, event): (_, SignedEvent) = (signed.text().to_owned(), signed.clone());
    assert_eq!(Box::<RawValue>::from(event).get(), text);
    let template = Template::knock(
        RoomVersion::V10,
        RoomId::parse("!r:a.example").unwrap(),
        UserId::parse("@kay:b.example").unwrap(),
        &StateMap::from([CREATE, JOIN_RULES].map(|text| Pdu::parse(text).unwrap())),
        &[PrevEvent { event_id: EventId::parse("$rules").unwrap(), depth: 2 }],
        1_700_000_000_000,
    );
    let template = template.unwrap();
    assert_eq!(Box::<RawValue>::from(&template).get(), template.to_response());
}

#[test]
fn a_state_map_as_a_collection() {
    let [create, rules, name] = [CREATE, JOIN_RULES, NAME].map(|text| Pdu::parse(text).unwrap());
    let mut state = StateMap::new();
    state.extend([&name, &create]);
    state.extend(Some(&rules));
    let texts = |events: Vec<&Pdu<'_>>| events.iter().map(|event| event.text().to_owned()).collect::<Vec<_>>();
    let expected = [CREATE, JOIN_RULES, NAME];
    assert_eq!(texts(state.iter().copied().collect()), expected);
    let mut seen = Vec::new();
    for event in &state {
        seen.push(*event);
    }
    assert_eq!(texts(seen), expected);
    assert_eq!((state.len(), state.iter().len()), (3, 3));
    assert_eq!((state.remove(EventType::Name, ""), state.remove(EventType::Name, "")), (Some(&name), None));
    assert_eq!(texts(state.into_iter().collect()), expected.get(..2).unwrap());
}

/// Whether somebody may knock, by any look-up.
fn may_knock<S: RoomState + ?Sized>(state: &S) -> bool {
    let knock = Proposal::of_oneself("@kay:b.example", Membership::Knock);
    authorize_proposal(RoomVersion::V10, &knock, state).is_ok()
}

#[test]
fn states_of_all_kinds() {
    let events = || [CREATE, JOIN_RULES].map(|text| Pdu::parse(text).unwrap());
    let place = |event: &Pdu<'_>| (event.event_type().into_owned(), event.state_key().unwrap().to_owned());
    let map = StateMap::from(events());
    assert!(may_knock(&map) && may_knock(&&map) && may_knock(&&&map));
    assert!(may_knock(&Box::new(map.clone())) && may_knock(&Rc::new(map.clone())) && may_knock(&Arc::new(map.clone())));
    assert!(may_knock(&Arc::new(Box::new(&map))));
    let hashed: HashMap<_, _> = events().into_iter().map(|event| (place(&event), event)).collect();
    let sorted: BTreeMap<_, _> = events().into_iter().map(|event| (place(&event), event)).collect();
    let shared: BTreeMap<_, _> = sorted.iter().map(|(place, event)| (place.clone(), Arc::new(event.clone()))).collect();
    let owned: HashMap<_, _, RandomState> =
        events().into_iter().map(|event| (place(&event), event.into_owned())).collect();
    assert!(may_knock(&hashed) && may_knock(&sorted) && may_knock(&shared) && may_knock(&owned));
    assert!(may_knock(&Arc::new(hashed)) && !may_knock(&BTreeMap::<(String, String), OwnedPdu>::new()));
}

/// The types of a host that has an enum of event types, and no way from it to a text that lives long enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Create,
    JoinRules,
    Other(u32),
}

impl Kind {
    /// Of what is asked for, without a look at its name.
    fn of(event_type: EventType<'_>) -> Option<Self> {
        match event_type {
            EventType::Create => Some(Self::Create),
            EventType::JoinRules => Some(Self::JoinRules),
            _ => None,
        }
    }
}

struct Row {
    kind: Kind,
    content: &'static str,
}

impl Event for Row {
    fn event_type(&self) -> Cow<'_, str> {
        match self.kind {
            Kind::Create => "m.room.create".into(),
            Kind::JoinRules => "m.room.join_rules".into(),
            Kind::Other(number) => format!("org.example.{number}").into(),
        }
    }

    fn is_type(&self, event_type: EventType<'_>) -> bool {
        Kind::of(event_type).map_or_else(|| self.event_type() == event_type.as_str(), |kind| kind == self.kind)
    }

    fn state_key(&self) -> Option<&str> {
        Some("")
    }

    fn sender(&self) -> &'static str {
        "@alice:a.example"
    }

    fn content(&self) -> &str {
        self.content
    }

    fn room_id(&self) -> Option<&str> {
        None
    }

    fn event_id(&self) -> Option<&str> {
        Some("$event")
    }

    fn sole_prev_event(&self) -> Option<&str> {
        None
    }
}

struct Table(HashMap<Kind, Row>);

impl RoomState for Table {
    type Event<'s> = &'s Row;

    fn event(&self, event_type: EventType<'_>, state_key: &str) -> Result<Option<&Row>, NotLookedUp> {
        Ok(Kind::of(event_type).filter(|_| state_key.is_empty()).and_then(|kind| self.0.get(&kind)))
    }
}

#[test]
fn event_types_that_are_an_enum() {
    let row = |kind, content| (kind, Row { kind, content });
    let rows = [row(Kind::Create, "{}"), row(Kind::JoinRules, r#"{"join_rule":"knock"}"#), row(Kind::Other(7), "{}")];
    let other = Row { kind: Kind::Other(7), content: "{}" };
    assert!(other.is_type("org.example.7".into()) && !other.is_type("org.example.8".into()));
    assert!(!other.is_type(EventType::Create));
    assert!(may_knock(&StateMap::from(rows.each_ref().map(|(_, row)| row))));
    let mut table = Table(HashMap::from(rows));
    assert!(may_knock(&table));
    table.0.remove(&Kind::JoinRules);
    assert!(!may_knock(&table));
}

fn known() -> VerifyKey {
    VerifyKey { public_key: [9; 32], validity: KeyValidity::Forever }
}

/// A verifier that believes what [`NoKey`] signs.
#[derive(Debug, Clone)]
struct Believes;

impl Verify for Believes {
    fn verify(&self, _public_key: &[u8; 32], _message: &[u8], signature: &[u8; 64]) -> bool {
        *signature == NoKey.sign(&[])
    }
}

#[test]
fn keys_signers_and_verifiers_behind_pointers() {
    fn knows<K: Keys + ?Sized>(keys: &K, server: &str) -> bool {
        keys.key(server, "ed25519:1").is_some()
    }
    fn signs<S: Sign + ?Sized>(signer: &S) -> bool {
        (signer.key_id().as_str(), signer.sign(b"x")) == ("ed25519:1", [7; 64])
    }
    fn verifies<V: Verify + ?Sized>(verifier: &V) -> bool {
        verifier.verify(&[9; 32], b"x", &[7; 64]) && !verifier.verify(&[9; 32], b"x", &[8; 64])
    }
    let keys = KeysFn(|server: &str, key_id: &str| ((server, key_id) == ("a", "ed25519:1")).then(known));
    let shared: Arc<dyn Keys> = Arc::new(keys);
    assert!(knows(&keys, "a") && knows(&&keys, "a") && knows(&Box::new(keys), "a") && knows(&Rc::new(keys), "a"));
    assert!(knows(&shared, "a") && knows(&*shared, "a") && !knows(&shared, "b"));
    let signer: Arc<dyn Sign + Send + Sync> = Arc::new(NoKey);
    assert!(signs(&NoKey) && signs(&&NoKey) && signs(&Box::new(NoKey)) && signs(&Rc::new(NoKey)));
    assert!(signs(&signer) && signs(&*signer));
    let verifier: Arc<dyn Verify + Send + Sync> = Arc::new(Believes);
    assert!(
        verifies(&Believes) && verifies(&&Believes) && verifies(&Box::new(Believes)) && verifies(&Rc::new(Believes))
    );
    assert!(verifies(&verifier) && verifies(&*verifier));
}

#[test]
fn key_documents_as_keys() {
    let of_server = |name: &str| {
        let document = format!(
            r#"{{"server_name":"{name}","valid_until_ts":9,"verify_keys":{{"ed25519:1":{{"key":"{key}"}}}},
            "signatures":{{"{name}":{{"ed25519:1":"{sig}"}}}}}}"#,
            key = "A".repeat(43),
            // 64 times 7.
            sig = format_args!("{}Bw", "BwcH".repeat(21)),
        );
        ServerKeys::parse(ServerName::parse(name).unwrap(), &document, &Believes).unwrap()
    };
    let documents = ["a.example", "b.example:80"].map(of_server);
    let name = |keys: &ServerKeys| keys.server_name().into_owned();
    let expected = Some(VerifyKey { public_key: [0; 32], validity: KeyValidity::Until(9) });
    let hashed: HashMap<OwnedServerName, ServerKeys> =
        documents.iter().map(|keys| (name(keys), keys.clone())).collect();
    let sorted: BTreeMap<OwnedServerName, ServerKeys> =
        documents.iter().map(|keys| (name(keys), keys.clone())).collect();
    let list = documents.to_vec();
    let behind_pointers: Vec<Arc<ServerKeys>> = list.iter().cloned().map(Arc::new).collect();
    let all: [&dyn Keys; 6] =
        [&documents.as_slice(), &list, &hashed, &sorted, &behind_pointers, &Arc::new(list.clone())];
    for keys in all {
        assert_eq!((keys.key("a.example", "ed25519:1"), keys.key("b.example:80", "ed25519:1")), (expected, expected));
        assert_eq!((keys.key("b.example", "ed25519:1"), keys.key("a.example", "ed25519:2")), (None, None));
    }
    // The documents are looked up by the server that is asked for, wherever they stand.
    let misplaced = HashMap::from([(OwnedServerName::parse("c.example").unwrap(), of_server("a.example"))]);
    assert_eq!((misplaced.key("c.example", "ed25519:1"), misplaced.key("a.example", "ed25519:1")), (None, None));
}
