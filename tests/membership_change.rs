//! The names of membership changes: every pair and sender against a table, against the rules, and over recorded rooms.
#![expect(clippy::expect_used, reason = "a test that cannot be set up fails")]

use std::collections::{BTreeMap, BTreeSet};

use matrix_knock::RoomVersion;
use matrix_knock::auth::authorize;
use matrix_knock::event::{Event, Malformed, Membership, Pdu, Verify};
use matrix_knock::membership_change::{Before, Change, Member, MembershipChange, NotAChange};
use matrix_knock::state::StateMap;
use serde_json::{Value, json};

const TABLE: &str = include_str!("membership_change/table.txt");
const ROOMS: &str = include_str!("vectors/rooms.jsonl");

const USER: &str = "@kay:b";
const ANOTHER: &str = "@mod:a";

fn member(sender: &str, content: &Value) -> String {
    json!({ "type": "m.room.member", "state_key": USER, "sender": sender, "content": content }).to_string()
}

fn parse(text: &str) -> Pdu<'_> {
    Pdu::parse(text).expect("an event")
}

fn event_before<'e, E: ?Sized>(event: Option<&'e E>) -> Before<'e, E> {
    event.map_or(Before::NoEvent, Before::Event)
}

/// The change from one content to another. Without the former there is no event before.
fn change(before: Option<&Value>, sender: &str, content: &Value) -> Change {
    let before = before.map(|content| member(USER, content));
    let after = member(sender, content);
    let (before, after) = (before.as_deref().map(parse), parse(&after));
    let change = MembershipChange::new(event_before(before.as_ref()), &after).expect("two member events");
    if let Some(before) = &before {
        // Who knows no more than the content says the same.
        assert_eq!(MembershipChange::new(Before::Content(before.content()), &after), Ok(change));
    }
    assert_eq!((change.target(), change.sender()), (USER, sender));
    change.change()
}

/// The rows of the table: from, to, the names if the user and if somebody else sent the event.
fn rows() -> Vec<[&'static str; 4]> {
    let rows = TABLE.lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| {
        let mut words = row.split_whitespace();
        [(); 4].map(|()| words.next().expect("four words"))
    })
    .collect()
}

#[test]
fn the_table_of_the_specification() {
    let rows = rows();
    let pairs: BTreeSet<_> = rows.iter().map(|row| [row[0], row[1]]).collect();
    assert_eq!((rows.len(), pairs.len()), (25, 25), "not every pair");
    let mut seen = BTreeSet::new();
    for [from, to, by_oneself, by_another] in rows {
        let before = json!({ "membership": from });
        // In the table a join of a joined user is a change of the profile.
        let after = match to {
            "join" => json!({ "membership": to, "displayname": "Kay" }),
            _ => json!({ "membership": to, "reason": "x" }),
        };
        for (sender, expected) in [(USER, by_oneself), (ANOTHER, by_another)] {
            let found = change(Some(&before), sender, &after);
            assert_eq!(found.name(), expected, "{from} to {to} by {sender}");
            seen.insert(found);
            if from == "leave" {
                assert_eq!(change(None, sender, &after), found, "none to {to} by {sender}");
                let strange = json!({ "membership": "something else" });
                assert_eq!(change(Some(&strange), sender, &after), found, "something else to {to} by {sender}");
            }
            let strange = json!({ "membership": "knocking" });
            assert_eq!(change(Some(&before), sender, &strange), Change::Impossible);
        }
    }
    assert_eq!(seen, BTreeSet::from(Change::ALL), "not every name is in the table");
}

#[test]
fn names() {
    for change in Change::ALL {
        assert_eq!(change.name().replace('_', ""), format!("{change:?}").to_lowercase());
        assert_eq!(change.to_string(), change.name());
    }
}

/// Believes every signature.
struct Credulous;

impl Verify for Credulous {
    fn verify(&self, _public_key: &[u8; 32], _message: &[u8], _signature: &[u8; 64]) -> bool {
        true
    }
}

fn state_event(event_type: &str, state_key: &str, sender: &str, content: &Value) -> String {
    json!({ "type": event_type, "state_key": state_key, "sender": sender, "content": content }).to_string()
}

/// Whether any of many rooms allows the change: every version, join rule, and relation of the two users' powers; the
/// other user joined and not.
fn some_room_allows(before: Option<&Value>, sender: &str, content: &Value) -> bool {
    let text = member(sender, content);
    let event = parse(&text);
    let rooms = RoomVersion::ALL.into_iter().flat_map(|version| {
        ["public", "invite", "knock", "restricted", "knock_restricted"].into_iter().flat_map(move |join_rule| {
            [(100, 0), (50, 50), (0, 100)]
                .into_iter()
                .flat_map(move |powers| ["join", "leave"].map(|other| (version, join_rule, powers, other)))
        })
    });
    rooms.into_iter().any(|(version, join_rule, (others_power, power), other)| {
        let levels = json!({ "users": { ANOTHER: others_power, USER: power } });
        let mut texts = vec![
            state_event("m.room.create", "", "@founder:a", &json!({ "creator": "@founder:a" })),
            state_event("m.room.join_rules", "", "@founder:a", &json!({ "join_rule": join_rule })),
            state_event("m.room.power_levels", "", "@founder:a", &levels),
            state_event("m.room.member", ANOTHER, ANOTHER, &json!({ "membership": other })),
            state_event("m.room.third_party_invite", "t", sender, &json!({ "public_key": "A".repeat(43) })),
        ];
        texts.extend(before.map(|content| member(USER, content)));
        let state: StateMap<Pdu<'_>> = texts.iter().map(|text| parse(text)).collect();
        authorize(version, &event, &state, &Credulous).is_ok()
    })
}

/// `impossible` is exactly what the rules of no room allow. The exception is what changes nothing, which is `none`
/// whoever sent it.
#[test]
fn impossible_is_what_no_room_allows() {
    let signed = json!({ "mxid": USER, "token": "t", "signatures": { "i": { "ed25519:0": "A".repeat(86) } } });
    let mut refused_but_named = BTreeSet::new();
    let mut by_third_party = BTreeMap::new();
    for before in [None, Some("leave"), Some("invite"), Some("join"), Some("ban"), Some("knock"), Some("x")] {
        for membership in Membership::ALL {
            for sender in [USER, ANOTHER] {
                for third_party in [false, true] {
                    let mut content = json!({ "membership": membership.as_str(), "displayname": "x" });
                    content["join_authorised_via_users_server"] = json!(ANOTHER);
                    if third_party {
                        content["third_party_invite"] = json!({ "display_name": "k…", "signed": signed });
                    }
                    let stored = before.map(|name| json!({ "membership": name }));
                    let found = change(stored.as_ref(), sender, &content);
                    let allowed = some_room_allows(stored.as_ref(), sender, &content);
                    let cell = (before.unwrap_or("-"), membership.as_str(), sender);
                    if membership == Membership::Invite && third_party {
                        by_third_party.insert((cell.0, cell.2), found.name());
                    }
                    if found != Change::Impossible && !allowed {
                        assert_eq!(found, Change::None, "{cell:?}");
                        refused_but_named.insert(cell);
                    } else {
                        assert_eq!(found != Change::Impossible, allowed, "{cell:?}: {found}, {content}");
                    }
                }
            }
        }
    }
    let nothing_changed = [
        ("-", "leave", USER),
        ("ban", "ban", USER),
        ("invite", "invite", USER),
        ("leave", "leave", USER),
        ("x", "leave", USER),
    ];
    assert_eq!(refused_but_named, BTreeSet::from(nothing_changed));
    for sender in [USER, ANOTHER] {
        for (before, expected) in [
            ("-", "invited"),
            ("leave", "invited"),
            ("join", "invited"),
            ("invite", "none"),
            ("ban", "impossible"),
            ("knock", if sender == USER { "invited" } else { "knock_accepted" }),
        ] {
            assert_eq!(by_third_party[&(before, sender)], expected, "{before} by {sender}");
        }
    }
}

#[test]
fn what_there_is_to_say_of_a_change() {
    let before = member(USER, &json!({ "membership": "knock", "displayname": "Kay", "reason": "please" }));
    let after = member(USER, &json!({ "membership": "knock", "displayname": "Kay", "avatar_url": "mxc://b/k" }));
    let (before, after) = (parse(&before), parse(&after));
    let again = MembershipChange::new(Before::Event(&before), &after).expect("two member events");
    assert_eq!(again.change(), Change::KnockedAgain);
    assert_eq!([again.displayname_changed(), again.avatar_url_changed(), again.reason_changed()], [false, true, true]);
    assert_eq!(again.before(), Member::read(before.content()).expect("a member"));
    assert_eq!(again.after().avatar_url().as_deref(), Some("mxc://b/k"));
    let first = MembershipChange::new(Before::NoEvent, &before).expect("a member event");
    assert_eq!((first.change(), first.before()), (Change::Knocked, Member::OUTSIDE));
    assert_eq!([first.displayname_changed(), first.avatar_url_changed(), first.reason_changed()], [true, false, true]);
}

#[test]
fn joins_with_and_without_a_change_of_the_profile() {
    let joined = |content: &str| -> Value { serde_json::from_str(content).expect("JSON") };
    let before = joined(r#"{"membership":"join","displayname":"Kay","avatar_url":"mxc://b/k","reason":"x"}"#);
    for (after, expected) in [
        (r#"{"membership":"join","displayname":"Kay","avatar_url":"mxc://b/k"}"#, Change::None),
        (r#"{"membership":"join","displayname":"\u004bay","avatar_url":"mxc:\/\/b/k","x":1}"#, Change::None),
        (r#"{"membership":"join","displayname":"Kai","avatar_url":"mxc://b/k"}"#, Change::ProfileChanged),
        (r#"{"membership":"join","displayname":null,"avatar_url":"mxc://b/k"}"#, Change::ProfileChanged),
        (r#"{"membership":"join","displayname":"Kay","avatar_url":""}"#, Change::ProfileChanged),
    ] {
        let text = format!(r#"{{"type":"m.room.member","state_key":"{USER}","sender":"{USER}","content":{after}}}"#);
        let (before, after) = (member(USER, &before), parse(&text));
        let before = parse(&before);
        assert_eq!(
            MembershipChange::new(Before::Event(&before), &after).expect("member events").change(),
            expected,
            "{text}"
        );
    }
    // No name, null and a number are the same: none.
    let nameless = json!({ "membership": "join" });
    for name in [json!(null), json!(1)] {
        assert_eq!(change(Some(&nameless), USER, &json!({ "membership": "join", "displayname": name })), Change::None);
    }
}

#[test]
fn who_vouched() {
    let content = json!({ "membership": "join", "join_authorised_via_users_server": ANOTHER });
    let text = member(USER, &content);
    let event = parse(&text);
    for (before, expected) in [("leave", Some(ANOTHER)), ("knock", Some(ANOTHER)), ("invite", None), ("join", None)] {
        let before = member(USER, &json!({ "membership": before }));
        let before = parse(&before);
        let change = MembershipChange::new(Before::Event(&before), &event).expect("two member events");
        assert_eq!(change.authorized_by().as_deref(), expected);
    }
}

#[test]
fn what_is_no_change() {
    let knock = member(USER, &json!({ "membership": "knock" }));
    let strip = |from: &str, to: &str| knock.replace(from, to);
    let message = strip(r#""state_key":"@kay:b","#, "");
    let other_type = strip("m.room.member", "m.room.members");
    let other_user = strip(r#""state_key":"@kay:b""#, r#""state_key":"@zoe:b""#);
    let malformed = strip(r#""knock""#, "1");
    let error = |before: &str, after: &str| MembershipChange::new(Before::Event(&parse(before)), &parse(after)).err();
    assert_ne!(message, knock);
    for (before, after, expected) in [
        (&knock, &message, NotAChange::NotAMemberEvent),
        (&message, &knock, NotAChange::NotAMemberEvent),
        (&knock, &other_type, NotAChange::NotAMemberEvent),
        (&other_type, &knock, NotAChange::NotAMemberEvent),
        (&other_user, &knock, NotAChange::OtherUser),
        (&malformed, &knock, NotAChange::Malformed(Malformed::Member)),
        (&knock, &malformed, NotAChange::Malformed(Malformed::Event)),
    ] {
        assert_eq!(error(before, after), Some(expected), "{before} to {after}");
    }
    // Events of two types of a host's own.
    let (before, after) = (parse(&knock), parse(&knock));
    let [before, after]: [&dyn Event; 2] = [&before, &after];
    assert_eq!(
        MembershipChange::new(Before::Event(before), after).map(|change| change.change()),
        Ok(Change::KnockedAgain)
    );
    let of_content =
        |content: &str| MembershipChange::new(Before::Content(content), after).map(|change| change.change());
    assert_eq!(of_content(r#"{"membership":"leave"}"#), Ok(Change::Knocked));
    for malformed in ["", "null", "[]", "{}", r#"{"membership":1}"#] {
        assert_eq!(of_content(malformed), Err(NotAChange::Malformed(Malformed::Member)), "{malformed}");
    }
}

/// Every member event of the recorded rooms with the one before it, by depth. One that the server has rejected, or that
/// has never been a part of the room's state, is named but comes before none.
#[test]
fn recorded_changes() {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for line in ROOMS.lines() {
        let room: Value = serde_json::from_str(line).expect("a room");
        let mut events: Vec<&Value> = room["events"].as_array().expect("events").iter().collect();
        events.retain(|event| event["pdu"]["type"] == "m.room.member");
        events.sort_by_key(|event| event["pdu"]["depth"].as_i64());
        let mut members: BTreeMap<String, String> = BTreeMap::new();
        for event in events {
            let text = event["pdu"].to_string();
            let pdu = parse(&text);
            let user = pdu.state_key().expect("a state event").to_owned();
            let standing = match (event.get("rejected"), event["flags"].as_array()) {
                (Some(_), _) => "rejected",
                (None, Some(_)) => "aside",
                (None, None) => "in the room",
            };
            let before = members.get(&user).map(|text| parse(text));
            let change = MembershipChange::new(event_before(before.as_ref()), &pdu).expect("a member event").change();
            *counts.entry((standing, change.name())).or_default() += 1;
            drop(before);
            if standing == "in the room" {
                assert_ne!(change, Change::Impossible, "{text}");
                members.insert(user, text);
            }
        }
    }
    let expected = BTreeMap::from([
        (("aside", "knocked"), 3),
        (("aside", "none"), 5),
        (("in the room", "banned"), 10),
        (("in the room", "invitation_accepted"), 23),
        (("in the room", "invitation_rejected"), 10),
        (("in the room", "invited"), 23),
        (("in the room", "joined"), 125),
        (("in the room", "knock_accepted"), 15),
        (("in the room", "knock_denied"), 10),
        (("in the room", "knock_denied_and_banned"), 5),
        (("in the room", "knock_retracted"), 11),
        (("in the room", "knocked"), 246),
        (("in the room", "knocked_again"), 131),
        (("in the room", "left"), 13),
        (("in the room", "unbanned"), 5),
        (("rejected", "knocked"), 1),
    ]);
    assert_eq!(counts, expected);
}
