//! Texts and contents of a size that no event has. Each has its answer, within seconds.

use std::cell::Cell;
use std::time::{Duration, Instant};

use matrix_knock::RoomVersion;
use matrix_knock::auth::{AuthorizeError, Evidence, Rule, authorize, check_state_independent};
use matrix_knock::event::{Malformed, Membership, Pdu, PduError, Verify};
use matrix_knock::id::{EventId, IdError, RoomAlias, RoomId, ServerName, UserId};
use matrix_knock::json::{CanonicalDialect, JsonErrorKind, canonical};
use matrix_knock::stripped_state::for_client;
use matrix_knock::template::{PrevEvent, Template};

use super::generators::{Host, USERS, Zeroes, map};
use super::{BOTH, auth_event, verdict};

const MANY: usize = 100_000;
const LONG: usize = 10_000_000;
const ALICE: &str = USERS[0];
const BOB: &str = USERS[1];
const DAVE: &str = USERS[3];

/// Fails if it takes so long that a cost which grows with the square of the size is behind it.
fn quickly<T>(act: impl FnOnce() -> T) -> T {
    #[expect(clippy::disallowed_methods, reason = "the clock is what is tested")]
    let start = Instant::now();
    let answer = act();
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    answer
}

fn form(text: &str, dialect: CanonicalDialect) -> Result<String, (JsonErrorKind, usize)> {
    quickly(|| canonical(text, dialect)).map_err(|error| (error.kind(), error.at()))
}

/// A room that is knocked on, with one entry of its own for each type. The last entry counts.
fn room(entry: Option<Host>) -> Vec<Host> {
    let mut room = vec![
        Host::new("m.room.create", "", ALICE, r#"{"creator":"@alice:home"}"#),
        Host::new("m.room.join_rules", "", ALICE, r#"{"join_rule":"knock"}"#),
        Host::new("m.room.power_levels", "", ALICE, r#"{"users":{"@alice:home":100}}"#),
        Host::member(ALICE, ALICE, r#"{"membership":"join"}"#),
    ];
    room.extend(entry);
    room.iter_mut().for_each(|event| event.event_id = Some(format!("${}", event.event_type)));
    room
}

fn knock() -> Host {
    Host::member(DAVE, DAVE, r#"{"membership":"knock"}"#)
}

fn kick() -> Host {
    Host::member(ALICE, BOB, r#"{"membership":"leave"}"#)
}

fn decide(event: &Host, state: &[Host]) -> Result<Membership, (Rule, Option<Malformed>)> {
    quickly(|| verdict(RoomVersion::V10, event, &map(state))).map_err(refusal)
}

fn refusal(error: AuthorizeError) -> (Rule, Option<Malformed>) {
    error.rejection().map_or((Rule::MissingMembership, None), |refused| (refused.rule(), refused.malformed()))
}

/// One content in every place where one is read: of the event, the create event, join rules, power levels, a member.
fn everywhere(content: &str) -> [Result<Membership, (Rule, Option<Malformed>)>; 5] {
    let put = |event_type, state_key| room(Some(Host::new(event_type, state_key, ALICE, content)));
    [
        decide(&Host::member(DAVE, DAVE, content), &room(None)),
        decide(&knock(), &put("m.room.create", "")),
        decide(&knock(), &put("m.room.join_rules", "")),
        decide(&kick(), &put("m.room.power_levels", "")),
        decide(&knock(), &put("m.room.member", DAVE)),
    ]
}

const NOWHERE: [Result<Membership, (Rule, Option<Malformed>)>; 5] = [
    Err((Rule::MissingMembership, Some(Malformed::Event))),
    Err((Rule::NotFederated, Some(Malformed::Create))),
    Err((Rule::KnockJoinRule, Some(Malformed::JoinRules))),
    Err((Rule::KickPower, Some(Malformed::PowerLevels))),
    Err((Rule::KnockMembership, Some(Malformed::Member))),
];

#[test]
fn nested_a_million_deep() {
    for (open, at) in [("[", 129), (r#"{"a":"#, 5 * 128 + 1), (r#"{"":["#, 5 * 64 + 1)] {
        let text = open.repeat(1_000_000);
        for dialect in BOTH {
            assert_eq!(form(&text, dialect), Err((JsonErrorKind::TooDeep, at)));
        }
        assert_eq!(Pdu::parse(&text), Err(PduError::TooLarge { bytes: text.len() }));
        let kind = match quickly(|| Pdu::parse_stored(&text)) {
            Err(PduError::Json(error)) => Some((error.kind(), error.at())),
            Err(PduError::NotAnObject) => None,
            other => Some((JsonErrorKind::TrailingCharacters, other.map_or(0, |pdu| pdu.text().len()))),
        };
        assert_eq!(kind, (open != "[").then_some((JsonErrorKind::TooDeep, at)));
        assert_eq!(everywhere(&text), NOWHERE);
    }
}

#[test]
fn ten_megabytes() {
    let long = "x".repeat(LONG);
    let string = format!(r#""{long}""#);
    for dialect in BOTH {
        assert!(form(&string, dialect).as_ref() == Ok(&string));
        assert!(
            form(&format!(r#""{}""#, r"\u0078".repeat(LONG / 6)), dialect) == Ok(format!(r#""{}""#, &long[..LONG / 6]))
        );
        assert_eq!(form(&string[..LONG], dialect), Err((JsonErrorKind::UnexpectedEnd, LONG)));
        assert_eq!(form(&" ".repeat(LONG), dialect), Err((JsonErrorKind::UnexpectedEnd, LONG)));
        let list = format!("[{}0]", "0,".repeat(LONG / 2));
        assert!(form(&list, dialect).as_ref() == Ok(&list));
    }
    let text = format!(r#"{{"type":"m.room.member","sender":"{DAVE}","content":{{"a":{string}}}}}"#);
    assert_eq!(Pdu::parse(&text), Err(PduError::TooLarge { bytes: text.len() }));
    assert_eq!(quickly(|| Pdu::parse_stored(&text)).map(|pdu| pdu.text().len()), Ok(text.len()));

    for malformed in
        [format!(r#"{{"a":{string}}}}}"#), format!(r#"{{"a":{string}"#), string.clone(), format!("[{string}]")]
    {
        assert!(everywhere(&malformed) == NOWHERE, "{}", &malformed[..8]);
    }
    let content = format!(r#"{{"a":{string},"membership":"knock","join_rule":"knock","kick":100}}"#);
    let allowed = [Ok(Membership::Knock), Ok(Membership::Knock), Ok(Membership::Knock)];
    let [event, create, join_rules, power_levels, member] = everywhere(&content);
    assert_eq!([event, create, join_rules], allowed);
    assert_eq!([power_levels, member], [Err((Rule::KickPower, None)), Ok(Membership::Knock)]);

    let parsed = [
        UserId::parse(&long).map(UserId::as_str),
        RoomId::parse(&long).map(RoomId::as_str),
        EventId::parse(&long).map(EventId::as_str),
        RoomAlias::parse(&long).map(RoomAlias::as_str),
    ];
    assert_eq!(parsed, [Err(IdError::TooLong); 4]);
    assert_eq!(ServerName::parse(&long), Err(IdError::ServerName));

    let name = Host::new("m.room.name", "", ALICE, format!(r#"{{"name":{string}}}"#));
    let Ok(user) = UserId::parse(DAVE) else { return assert_eq!(DAVE, "a user ID") };
    let shown: Result<Vec<_>, _> = quickly(|| for_client(&map(&room(Some(name))), user))
        .map(|shown| shown.iter().map(|event| event.content().len()).collect());
    let expected = [r#"{"creator":"@alice:home"}"#.len(), r#"{"join_rule":"knock"}"#.len(), LONG + 11];
    assert_eq!(shown, Ok(expected.into()));
}

#[test]
fn a_hundred_thousand_keys() {
    let object = |member: fn(usize) -> String| format!("{{{}}}", (0..MANY).map(member).collect::<Vec<_>>().join(","));
    let same = object(|_| r#""membership":"knock""#.to_owned());
    let spelled = object(|number| format!(r#""\u00{:02x}":0"#, number % 2 + 0x60));
    for text in [&same, &spelled] {
        for dialect in BOTH {
            assert_eq!(form(text, dialect), Err((JsonErrorKind::DuplicateKey, text.len())));
        }
    }
    let twice = Err((Rule::UnknownMembership, Some(Malformed::Event)));
    assert_eq!(decide(&Host::member(DAVE, DAVE, same.as_str()), &room(None)), twice);

    let falling = object(|number| format!(r#""@user{:06}:home":0"#, MANY - number));
    let rising = object(|number| format!(r#""@user{:06}:home":0"#, number + 1));
    assert!(form(&falling, CanonicalDialect::Strict) == Ok(rising.clone()));
    for (own, expected) in [
        (r#""@alice:home":51"#, Ok(Membership::Leave)),
        (r#""@alice:home":49"#, Err((Rule::KickPower, None))),
        (r#""@alice:home":51,"@al\u0069ce:home":51"#, Err((Rule::KickPower, Some(Malformed::PowerLevels)))),
        (r#""@bob:home":51,"@alice:home":51"#, Err((Rule::KickPower, None))),
    ] {
        let content = format!(r#"{{"users":{},{own}}}}}"#, &rising[..rising.len() - 1]);
        assert_eq!(
            decide(&kick(), &room(Some(Host::new("m.room.power_levels", "", ALICE, content)))),
            expected,
            "{own}"
        );
    }
    let alice = format!(r#"{{"users":{}}}"#, same.replace(r#""membership":"knock""#, r#""@alice:home":100"#));
    let twice = Err((Rule::KickPower, Some(Malformed::PowerLevels)));
    assert_eq!(decide(&kick(), &room(Some(Host::new("m.room.power_levels", "", ALICE, alice)))), twice);
}

/// Each level is put in order, and each time what stands within is moved.
#[test]
fn out_of_order_on_every_level() {
    let long = "x".repeat(LONG / 10);
    let nest = |open: &str, close: &str| format!(r#"{}"{long}"{}"#, open.repeat(128), close.repeat(128));
    let ordered = nest(r#"{"b":"#, "}").replace('}', "").replace(r#"{"b":"#, r#"{"a":0,"b":"#) + &"}".repeat(128);
    assert!(form(&nest(r#"{"b":"#, r#","a":0}"#), CanonicalDialect::Strict) == Ok(ordered));
}

#[test]
fn a_million_digits() {
    let digits = "9".repeat(1_000_000);
    let not_allowed = |at| Err((JsonErrorKind::NumberNotAllowed, at));
    for (text, strict, lenient) in [
        (digits.clone(), not_allowed(0), Ok(digits.as_str())),
        (format!("-{digits}"), not_allowed(0), Ok("-")),
        (format!("0.{digits}"), not_allowed(0), Ok("1.0")),
        (format!("0.{}1", "0".repeat(1_000_000)), not_allowed(0), Ok("0.0")),
        (format!("1e{digits}"), not_allowed(0), not_allowed(0)),
        (format!("[1e-{digits}]"), not_allowed(1), Ok("[0.0]")),
        (format!("{digits}.0"), not_allowed(0), not_allowed(0)),
        (
            format!("0{digits}"),
            Err((JsonErrorKind::TrailingCharacters, 1)),
            Err((JsonErrorKind::TrailingCharacters, 1)),
        ),
    ] {
        let lenient = lenient.map(|form| if form == "-" { text.clone() } else { form.to_owned() });
        assert!(form(&text, CanonicalDialect::Strict) == strict.map(str::to_owned), "{}", &text[..8]);
        assert!(form(&text, CanonicalDialect::Lenient) == lenient, "{}", &text[..8]);
    }
    let levels = |level: &str| format!(r#"{{"users":{{"@alice:home":{level}}},"kick":9223372036854775807}}"#);
    let quoted = format!(r#"" +{digits} ""#);
    let malformed = Err((Rule::KickPower, Some(Malformed::PowerLevels)));
    for (level, v5, v9, v10) in [
        (digits.as_str(), Ok(Membership::Leave), malformed, malformed),
        (quoted.as_str(), Ok(Membership::Leave), Ok(Membership::Leave), malformed),
    ] {
        // From version 6 on the other number is no level either.
        let content = levels(level);
        let plain = content.replace("9223372036854775807", "9007199254740991");
        for (version, content, expected) in
            [(RoomVersion::V5, &content, v5), (RoomVersion::V9, &plain, v9), (RoomVersion::V10, &plain, v10)]
        {
            let state = room(Some(Host::new("m.room.power_levels", "", ALICE, content.as_str())));
            assert_eq!(quickly(|| verdict(version, &kick(), &map(&state))).map_err(refusal), expected, "{version}");
        }
    }
}

/// Counts, and finds nothing good.
#[derive(Default)]
struct Counting(Cell<usize>);

impl Verify for Counting {
    fn verify(&self, _key: &[u8; 32], _message: &[u8], _signature: &[u8; 64]) -> bool {
        self.0.set(self.0.get() + 1);
        false
    }
}

/// As many signatures and keys as fit into two events: work that grows with the product has to be bounded.
#[test]
fn signatures_times_keys() {
    let signatures: Vec<_> = (0..500).map(|number| format!(r#""ed25519:{number}":"{}""#, "A".repeat(86))).collect();
    let keys: Vec<_> = (0..1000).map(|_| format!(r#"{{"public_key":"{}"}}"#, "A".repeat(43))).collect();
    let signatures = format!(r#"{{"a":{{{}}}}}"#, signatures.join(","));
    let signed = format!(r#"{{"mxid":"{BOB}","token":"t","signatures":{signatures}}}"#);
    let content = format!(r#"{{"membership":"invite","third_party_invite":{{"signed":{signed}}}}}"#);
    let invite = Host::member(ALICE, BOB, content);
    let keys = format!(r#"{{"public_keys":[{}]}}"#, keys.join(","));
    let state = room(Some(Host::new("m.room.third_party_invite", "t", ALICE, keys)));
    let counting = Counting::default();
    let decided =
        quickly(|| authorize(RoomVersion::V10, &invite, &map(&state), &counting).map(|allowed| allowed.membership()));
    assert_eq!(decided.map_err(refusal), Err((Rule::ThirdPartyInviteSignature, None)));
    assert_eq!(counting.0.get(), 512);
    let decided =
        quickly(|| authorize(RoomVersion::V10, &invite, &map(&state), &Zeroes).map(|allowed| allowed.membership()));
    assert_eq!(decided.map_err(refusal), Ok(Membership::Invite));
}

#[test]
fn a_hundred_thousand_references() {
    let state = room(None);
    let mut auth_events = vec![auth_event(&state[0]); MANY];
    let keys: Vec<_> = (0..MANY).map(|number| number.to_string()).collect();
    auth_events.iter_mut().zip(&keys).for_each(|(entry, key)| entry.state_key = Some(key));
    let check = |auth_events: &[_]| {
        let evidence = Evidence { auth_events, create_event: None, signed_by: &[] };
        let checked =
            quickly(|| check_state_independent(RoomVersion::V10, &knock(), &evidence).map(|passed| passed.version()));
        checked.map_err(refusal)
    };
    assert_eq!(check(&auth_events), Err((Rule::UnselectedAuthEvent, None)));
    auth_events.push(auth_events[0]);
    assert_eq!(check(&auth_events), Err((Rule::DuplicateAuthEvents, None)));

    let ids: Vec<_> = (0..MANY).map(|number| format!("${number}")).collect();
    let prev_events: Vec<_> = ids
        .iter()
        .zip(0..)
        .filter_map(|(id, depth)| Some(PrevEvent { event_id: EventId::parse(id).ok()?, depth }))
        .collect();
    let (Ok(room_id), Ok(user)) = (RoomId::parse("!room:home"), UserId::parse(DAVE)) else {
        return assert_eq!((DAVE, "!room:home"), ("a user ID", "a room ID"));
    };
    let template = quickly(|| Template::knock(RoomVersion::V10, room_id, user, &map(&state), &prev_events, 1));
    let expected = format!(
        concat!(
            r#"{{"auth_events":["$m.room.create","$m.room.power_levels","$m.room.join_rules"],"#,
            r#""content":{{"membership":"knock"}},"depth":{},"origin_server_ts":1,"prev_events":["{}"],"#,
            r#""room_id":"!room:home","sender":"{user}","state_key":"{user}","type":"m.room.member"}}"#,
        ),
        MANY,
        ids[MANY - 20..].join(r#"",""#),
        user = user,
    );
    assert_eq!(template.map(|template| template.to_event()), Ok(expected));
}
