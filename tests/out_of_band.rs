//! What comes after a knock: who hears of the answer, and which answers count; in full products, and over recorded rooms.
#![cfg(feature = "ed25519")]
#![expect(clippy::expect_used, reason = "a test that cannot be set up fails")]

use std::collections::BTreeMap;

use matrix_knock::auth::authorize_proposal;
use matrix_knock::event::{
    Ed25519Key, Event, EventType, KeyValidity, Keys, KeysFn, Membership, Pdu, Proposal, ServerKeys, VerifiedPdu,
    VerifyKey, WholePdu, sign_event,
};
use matrix_knock::id::{EventId, RoomId, ServerName, UserId};
use matrix_knock::knocking::out_of_band::{Acceptance, Msc4233Denial, NoAnswer, SentKnock};
use matrix_knock::resident::{MustReach, Reason, must_also_reach, reads_of_must_also_reach};
use matrix_knock::state::{NotLookedUp, Snapshot, StateMap};
use matrix_knock::{Ed25519, RoomVersion};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

const ROOMS: &str = include_str!("vectors/rooms.jsonl");
const KEYS: &str = include_str!("vectors/keys.jsonl");

/// When the recordings were made: 2026-11-22.
const NOW: u64 = 1_795_320_900_000;

fn server(name: &str) -> ServerName<'_> {
    ServerName::parse(name).expect("a server name")
}

// Which of our events must reach which server.

fn member(user: &str, membership: &str) -> Option<String> {
    let content = (membership != "none").then(|| json!({ "membership": membership }))?;
    Some(json!({ "type": "m.room.member", "state_key": user, "sender": user, "content": content }).to_string())
}

/// A change of `target`'s membership by `sender` in a room of `@admin:a`. `None` if the rules refuse it.
fn reached(
    version: RoomVersion,
    before: &str,
    sender: &str,
    target: &str,
    membership: Membership,
    own: &str,
) -> Option<Option<(String, Reason)>> {
    let create = json!({
        "type": "m.room.create", "state_key": "", "sender": "@admin:a", "content": { "creator": "@admin:a" },
    });
    let join_rules = json!({
        "type": "m.room.join_rules", "state_key": "", "sender": "@admin:a", "content": { "join_rule": "knock" },
    });
    let mut texts = vec![create.to_string(), join_rules.to_string()];
    texts.extend(member("@admin:a", "join"));
    texts.extend(member(target, before));
    let state: StateMap<Pdu<'_>> = texts.iter().map(|text| Pdu::parse(text).expect("an event")).collect();
    let change = Proposal { sender, target, membership };
    let allowed = authorize_proposal(version, &change, &state).ok()?;
    let reached = must_also_reach(&allowed, &state, server(own)).expect("a whole state");
    // The entry that it says it reads is enough, and without it nothing is said of a change that another server may hear of.
    let reads = reads_of_must_also_reach(&change);
    let part = Snapshot::of_events(&reads, texts.iter().map(|text| Pdu::parse(text).expect("an event")));
    assert_eq!(must_also_reach(&allowed, &part, server(own)), Ok(reached));
    let is_looked_up = UserId::parse(target).is_ok_and(|target| target.server_name() != server(own))
        && UserId::parse(sender).is_ok_and(|sender| sender.server_name() == server(own));
    let unknown = if is_looked_up { Err(NotLookedUp::new(EventType::Member, target)) } else { Ok(None) };
    assert_eq!(must_also_reach(&allowed, &Snapshot::<Pdu<'_>>::new(), server(own)), unknown);
    Some(reached.map(|MustReach { server, reason }| (server.as_str().to_owned(), reason)))
}

/// What becomes of each membership (a row) when somebody else makes it `ban`, `invite`, `join`, `knock`, `leave`. `!` is
/// refused by the rules, `.` need not be told.
const BY_ANOTHER: [(&str, [&str; 5]); 7] = [
    ("none", [".", "Invited", "!", "!", "."]),
    ("ban", [".", "!", "!", "!", "."]),
    ("invite", ["InviteRevoked", "Invited", "!", "!", "InviteRevoked"]),
    ("join", ["Removed", "!", "!", "!", "Removed"]),
    ("knock", ["KnockDenied", "Invited", "!", "!", "KnockDenied"]),
    ("leave", [".", "Invited", "!", "!", "."]),
    ("something else", [".", "Invited", "!", "!", "."]),
];

#[test]
fn who_must_hear_of_which_change() {
    let by_oneself = |version, before: &str, user, membership, own| {
        let reached = reached(version, before, user, user, membership, own).flatten();
        assert_eq!(reached, None, "{version}: {before} to {membership} by {user}");
    };
    for version in RoomVersion::ALL {
        for (before, row) in BY_ANOTHER {
            for (membership, expected) in Membership::ALL.into_iter().zip(row) {
                let told = |target, own| reached(version, before, "@admin:a", target, membership, own);
                let found = match told("@kay:b:80", "a") {
                    None => "!".to_owned(),
                    Some(None) => ".".to_owned(),
                    Some(Some((server, reason))) => {
                        assert_eq!(server, "b:80");
                        format!("{reason:?}")
                    }
                };
                assert_eq!(found, expected, "{version}: {before} to {membership}");
                // A user of our own server, an event of another server's user, a state key without a server.
                let nobody = (expected != "!").then_some(None);
                assert_eq!(told("@kay:a", "a"), nobody, "{version}: {before} to {membership}");
                assert_eq!(told("@kay:b:80", "b"), nobody);
                assert_eq!(told("@kay:b:80", "b:80"), nobody);
                assert_eq!(told("kay", "a"), nobody);
                for (user, own) in [("@kay:a", "a"), ("@kay:b", "a"), ("@kay:b", "b")] {
                    by_oneself(version, before, user, membership, own);
                }
            }
        }
    }
}

// What an event that arrives means to a knock.

const ROOM: &str = "!room:a";
const KAY: &str = "@kay:b";
const ADMIN: &str = "@admin:a";
const KNOCK: &str = "$knock";

const WITH_KNOCKING: [RoomVersion; 6] =
    [RoomVersion::V7, RoomVersion::V8, RoomVersion::V9, RoomVersion::V10, RoomVersion::V11, RoomVersion::V12];

fn key(server: &str) -> Ed25519Key {
    let seed = server.bytes().next().expect("a name");
    Ed25519Key::from_seed("ed25519:1", &[seed; 32]).expect("a key ID")
}

fn keys(server: &str, key_id: &str) -> Option<VerifyKey> {
    let public_key = key(server).public_key();
    (key_id == "ed25519:1").then_some(VerifyKey { public_key, validity: KeyValidity::Forever })
}

fn whole<'a>(version: RoomVersion, text: &'a str, keys: &(impl Keys + ?Sized)) -> Option<WholePdu<'a>> {
    let formatted = Pdu::parse(text).ok()?.check_format(version).ok()?;
    match formatted.check_signatures(keys, &Ed25519, NOW).ok()?.check_hash().ok()? {
        VerifiedPdu::Whole(whole) => Some(whole),
        VerifiedPdu::Redacted(_) => None,
    }
}

/// The pending knock of `@kay:b` in room version 10, sent through `through`.
fn knock() -> SentKnock<'static> {
    let event_id = EventId::parse(KNOCK).expect("an event ID");
    SentKnock {
        room_id: RoomId::parse(ROOM).expect("a room ID"),
        user_id: UserId::parse(KAY).expect("a user ID"),
        event_id,
        version: RoomVersion::V10,
        current: Some(event_id),
        through: Some(server("through")),
    }
}

/// An answer by `@admin:a` that names the knock.
fn answer(content: Value) -> Value {
    json!({
        "type": "m.room.member", "sender": ADMIN, "state_key": KAY, "room_id": ROOM, "content": content,
        "auth_events": ["$create", "$admin", KNOCK], "prev_events": [KNOCK], "depth": 5, "origin_server_ts": 1,
    })
}

/// Both questions about an event, signed by `signer`, from `origin`.
fn both_signed_by(
    signer: &str,
    knock: &SentKnock<'_>,
    version: RoomVersion,
    event: &Value,
    origin: &str,
) -> (Result<Acceptance, NoAnswer>, Result<Msc4233Denial, NoAnswer>) {
    let signed = sign_event(version, &event.to_string(), server(signer), &key(signer)).expect("an event").into_text();
    let event = whole(version, &signed, &KeysFn(keys)).expect("a whole event");
    (knock.acceptance(&event), knock.msc4233_denial(&event, server(origin)))
}

fn both(
    knock: &SentKnock<'_>,
    version: RoomVersion,
    event: &Value,
    origin: &str,
) -> (Result<Acceptance, NoAnswer>, Result<Msc4233Denial, NoAnswer>) {
    let signer = event["sender"].as_str().and_then(|sender| sender.split_once(':')).expect("a user ID").1;
    both_signed_by(signer, knock, version, event, origin)
}

#[test]
fn what_each_membership_means() {
    let answers = [
        (json!({ "membership": "ban" }), (Err(NoAnswer::NotAnInvite), Ok(Msc4233Denial::Banned))),
        (json!({ "membership": "invite" }), (Ok(Acceptance::LinkedByAuthEvents), Err(NoAnswer::NeitherLeaveNorBan))),
        (json!({ "membership": "join" }), (Err(NoAnswer::NotAnInvite), Err(NoAnswer::NeitherLeaveNorBan))),
        (json!({ "membership": "knock" }), (Err(NoAnswer::NotAnInvite), Err(NoAnswer::NeitherLeaveNorBan))),
        (json!({ "membership": "leave" }), (Err(NoAnswer::NotAnInvite), Ok(Msc4233Denial::Declined))),
        (json!({ "membership": "other" }), (Err(NoAnswer::NotAnInvite), Err(NoAnswer::NeitherLeaveNorBan))),
        (json!({ "membership": 1 }), (Err(NoAnswer::NotAnInvite), Err(NoAnswer::NeitherLeaveNorBan))),
        (json!({}), (Err(NoAnswer::NotAnInvite), Err(NoAnswer::NeitherLeaveNorBan))),
    ];
    for version in WITH_KNOCKING {
        let knock = SentKnock { version, ..knock() };
        for (content, expected) in &answers {
            let event = answer(content.clone());
            assert_eq!(both(&knock, version, &event, "through"), *expected, "{version} {content}");
            let mut by_the_knocker = event;
            by_the_knocker["sender"] = json!(KAY);
            let neither = (Err(NoAnswer::ByTheUser), Err(NoAnswer::ByTheUser));
            assert_eq!(both(&knock, version, &by_the_knocker, "through"), neither, "{version} {content}");
        }
    }
    assert!(Acceptance::LinkedByAuthEvents.msc4509_joins());
    assert!(!Acceptance::MerelyInvited.msc4509_joins());
}

/// The event, the knock, the origin: one thing wrong at a time.
#[test]
fn each_condition_alone() {
    const VERSION: RoomVersion = RoomVersion::V10;
    let refused = |error: NoAnswer| (Err(error.clone()), Err(error));
    for (membership, denial) in [("leave", Msc4233Denial::Declined), ("ban", Msc4233Denial::Banned)] {
        let ask = |knock: &SentKnock<'_>, version, change: fn(&mut Value), origin: &str| {
            let [mut invite, mut event] =
                ["invite", membership].map(|membership| answer(json!({ "membership": membership })));
            change(&mut invite);
            change(&mut event);
            (both(knock, version, &invite, origin).0, both(knock, version, &event, origin).1)
        };
        let as_it_is: fn(&mut Value) = |_| {};
        let good = (Ok(Acceptance::LinkedByAuthEvents), Ok(denial));
        assert_eq!(ask(&knock(), VERSION, as_it_is, "through"), good);

        // Not an event about this knock.
        assert_eq!(
            ask(&knock(), RoomVersion::V9, as_it_is, "through"),
            refused(NoAnswer::OtherVersion { found: RoomVersion::V9 })
        );
        let changed = |change| ask(&knock(), VERSION, change, "through");
        assert_eq!(changed(|event| event["room_id"] = json!("!other:a")), refused(NoAnswer::OtherRoom));
        assert_eq!(changed(|event| event["type"] = json!("m.room.name")), refused(NoAnswer::OtherUser));
        assert_eq!(changed(|event| event["state_key"] = json!("@other:b")), refused(NoAnswer::OtherUser));
        assert_eq!(changed(|event| event["state_key"] = json!("@KAY:b")), refused(NoAnswer::OtherUser));
        let no_state = changed(|event| drop(event.as_object_mut().expect("an object").remove("state_key")));
        assert_eq!(no_state, refused(NoAnswer::OtherUser));

        // 1. The knock is the current membership.
        for current in [None, Some("$retraction"), Some("$knock_again")] {
            let current = current.map(|id| EventId::parse(id).expect("an event ID"));
            let over = SentKnock { current, ..knock() };
            assert_eq!(ask(&over, VERSION, as_it_is, "through"), refused(NoAnswer::NotCurrent));
        }
        // A repeated knock takes the place of the first.
        let again = EventId::parse("$knock_again").expect("an event ID");
        let again = SentKnock { event_id: again, current: Some(again), ..knock() };
        let unlinked = (Ok(Acceptance::MerelyInvited), Err(NoAnswer::NotInAuthEvents));
        assert_eq!(ask(&again, VERSION, as_it_is, "through"), unlinked);

        // 2. The knock is among the auth events; to be among the previous ones is not enough.
        for auth_events in [
            |event: &mut Value| event["auth_events"] = json!([]),
            |event: &mut Value| {
                event["auth_events"] = json!(["$create", "$admin", "$knoc", "$knock2", "$KNOCK"]);
            },
        ] {
            assert_eq!(changed(auth_events), unlinked);
        }

        // 3. It comes from the server that was knocked through, or from the sender's. An invite may come from anywhere.
        let from = |through: Option<&'static str>, origin| {
            let knock = SentKnock { through: through.map(server), ..knock() };
            ask(&knock, VERSION, as_it_is, origin)
        };
        let elsewhere =
            |origin: &str| (Ok(Acceptance::LinkedByAuthEvents), Err(NoAnswer::Origin { origin: origin.to_owned() }));
        assert_eq!(from(Some("through"), "a"), good);
        assert_eq!(from(Some("a"), "a"), good);
        assert_eq!(from(None, "a"), good);
        assert_eq!(from(None, "through"), elsewhere("through"));
        for origin in ["other", "b", "A", "a:8448", "through:1"] {
            assert_eq!(from(Some("through"), origin), elsewhere(origin));
        }

        // Signed by another than the sender's server, or changed: no proof, and so no answer.
        let event = answer(json!({ "membership": membership })).to_string();
        let foreign = sign_event(VERSION, &event, server("other"), &key("other")).expect("an event").into_text();
        assert_eq!(whole(VERSION, &foreign, &KeysFn(keys)), None);
        let signed = sign_event(VERSION, &event, server("a"), &key("a")).expect("an event").into_text();
        assert_eq!(
            whole(VERSION, &signed.replacen(r#"{"membership""#, r#"{"a":1,"membership""#, 1), &KeysFn(keys)),
            None
        );
    }
}

/// Anybody can write a third-party invite in another's name, and name the knock in it: that makes no link.
#[test]
fn a_third_party_invite_is_no_link() {
    for version in WITH_KNOCKING {
        let knock = SentKnock { version, ..knock() };
        let invite = answer(json!({ "membership": "invite", "third_party_invite": { "signed": {} } }));
        for signer in ["a", "evil"] {
            let (acceptance, _) = both_signed_by(signer, &knock, version, &invite, "evil");
            assert_eq!(acceptance, Ok(Acceptance::MerelyInvited), "{version} {signer}");
        }
    }
}

// Recorded rooms.

#[derive(Deserialize)]
struct Room<'a> {
    server: &'a str,
    room_id: &'a str,
    room_version: &'a str,
    #[serde(borrow)]
    events: Vec<Recorded<'a>>,
}

#[derive(Deserialize)]
struct Recorded<'a> {
    event_id: &'a str,
    #[serde(default)]
    rejected: Option<&'a str>,
    #[serde(default, borrow)]
    flags: Vec<&'a str>,
    #[serde(borrow)]
    pdu: &'a RawValue,
}

/// Everything that happened to a knocker next, as the resident server stored it. Who was knocking is taken from the order of
/// the events, not from the `auth_events` that are put to the test.
#[test]
fn recorded_answers() {
    let keys: Vec<ServerKeys> = KEYS
        .lines()
        .map(|text| {
            let document: Value = serde_json::from_str(text).expect("JSON");
            let name = server(document["server_name"].as_str().expect("a name"));
            ServerKeys::parse(name, text, &Ed25519).expect("a document signed by its server")
        })
        .collect();
    let mut counts: BTreeMap<(String, &str, String), usize> = BTreeMap::new();
    for line in ROOMS.lines() {
        let room: Room<'_> = serde_json::from_str(line).expect("a room");
        let version: RoomVersion = room.room_version.parse().expect("a version");
        let mut events: Vec<_> = room
            .events
            .iter()
            .filter(|event| event.rejected.is_none() && event.flags.is_empty())
            .filter_map(|event| Some((event, whole(version, event.pdu.get(), keys.as_slice())?)))
            .collect();
        events.sort_by_key(|(_, whole)| whole.signed().formatted().depth());
        let mut current: BTreeMap<String, (&str, bool)> = BTreeMap::new();
        for (recorded, whole) in &events {
            let pdu = whole.pdu();
            let Some(user) = pdu.state_key().filter(|_| pdu.event_type() == "m.room.member") else { continue };
            let content: Value = serde_json::from_str(pdu.content()).expect("JSON");
            let membership = content["membership"].as_str().expect("a membership").to_owned();
            let is_knock = membership == "knock";
            let before = current.insert(user.to_owned(), (recorded.event_id, is_knock));
            let Some((event_id, true)) = before else { continue };
            let event_id = EventId::parse(event_id).expect("an event ID");
            let through = server(room.server);
            let knock = SentKnock {
                room_id: RoomId::parse(room.room_id).expect("a room ID"),
                user_id: UserId::parse(user).expect("a user ID"),
                event_id,
                version,
                current: Some(event_id),
                through: Some(through),
            };
            let answer = match membership.as_str() {
                "invite" => format!("{:?}", knock.acceptance(whole)),
                _ => format!("{:?}", knock.msc4233_denial(whole, through)),
            };
            let by = if pdu.sender() == user { "oneself" } else { "another" };
            *counts.entry((membership, by, answer)).or_default() += 1;
        }
    }
    let row = |membership: &str, by, answer: &str, count| ((membership.to_owned(), by, answer.to_owned()), count);
    let expected = BTreeMap::from([
        row("ban", "another", "Ok(Banned)", 5),
        row("invite", "another", "Ok(LinkedByAuthEvents)", 15),
        row("knock", "oneself", "Err(ByTheUser)", 131),
        row("leave", "another", "Ok(Declined)", 10),
        row("leave", "oneself", "Err(ByTheUser)", 11),
    ]);
    assert_eq!(counts, expected);
}
