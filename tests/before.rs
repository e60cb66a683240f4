//! Membership changes by what is known of the membership before: an event, its content, no event,
//! or what an event itself says to a client. All pairs, senders and ways against the table of
//! `membership_change`, which is written from the specification.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test that cannot be set up fails")]

use matrix_knock::event::{Malformed, Pdu};
use matrix_knock::json::JsonErrorKind;
use matrix_knock::membership_change::{Before, MembershipChange, NotAChange};
use serde_json::{Value, json};

const TABLE: &str = include_str!("membership_change/table.txt");
const USER: &str = "@kay:b.example";
const ANOTHER: &str = "@mod:a.example";
const MEMBERSHIPS: [&str; 5] = ["invite", "join", "leave", "ban", "knock"];

/// How the membership before is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Event,
    Content,
    /// `unsigned.prev_content`.
    Client,
    NoEvent,
}

/// What the change is called.
fn name(from: &str, to: &str, by_oneself: bool, same_profile: bool, third_party: bool) -> &'static str {
    // A membership that no version has is as good as none; nobody gets one.
    let from = if MEMBERSHIPS.contains(&from) { from } else { "leave" };
    if !MEMBERSHIPS.contains(&to) {
        return "impossible";
    }
    match (from, to) {
        // The rule about third-party invites asks neither who sends them nor for a power level, and
        // of the user only not to be banned. Somebody else's answers a knock all the same.
        ("join" | "leave", "invite") if third_party => return "invited",
        ("knock", "invite") if third_party && by_oneself => return "invited",
        ("join", "join") if same_profile && by_oneself => return "none",
        _ => {}
    }
    let rows = TABLE.lines().filter(|line| !line.starts_with('#')).map(|line| line.split_whitespace());
    let mut rows = rows.map(|mut words| [(); 4].map(|()| words.next().expect("four words")));
    let [_, _, of_oneself, of_another] = rows.find(|row| row[..2] == [from, to]).expect("a row for each pair");
    if by_oneself { of_oneself } else { of_another }
}

fn content(membership: &str, displayname: Option<&str>, third_party: bool) -> Value {
    let mut content = json!({ "membership": membership, "reason": "x" });
    if let Some(displayname) = displayname {
        content["displayname"] = json!(displayname);
    }
    if third_party {
        content["third_party_invite"] = json!({ "display_name": "k", "signed": {} });
    }
    content
}

fn event(sender: &str, content: &Value) -> Value {
    json!({ "type": "m.room.member", "state_key": USER, "sender": sender, "content": content })
}

fn parse(text: &str) -> Pdu<'_> {
    Pdu::parse(text).expect("an event")
}

#[test]
fn every_way_to_know_it() {
    let mut cells = 0;
    for way in [Way::Event, Way::Content, Way::Client, Way::NoEvent] {
        for from in MEMBERSHIPS.into_iter().chain(["x"]) {
            if way == Way::NoEvent && from != "leave" {
                continue;
            }
            for to in MEMBERSHIPS.into_iter().chain(["y"]) {
                for sender in [USER, ANOTHER] {
                    for (same_profile, third_party) in [(false, false), (false, true), (true, false), (true, true)] {
                        // Without an event before there is no name to keep.
                        let known = if way == Way::NoEvent { None } else { Some("Kay") };
                        let displayname = if same_profile { known } else { Some("K\u{202e}") };
                        let before = content(from, known, false);
                        let mut after = event(sender, &content(to, displayname, third_party));
                        if way == Way::Client {
                            after["unsigned"] = json!({ "prev_content": before, "age": 5 });
                        }
                        let (before, after) = (before.to_string(), after.to_string());
                        let replaced = event(ANOTHER, &content(from, known, false)).to_string();
                        let (replaced, after_event) = (parse(&replaced), parse(&after));
                        let by_way = match way {
                            Way::Event => Before::Event(&replaced),
                            Way::Content => Before::Content(&before),
                            Way::Client => {
                                Before::of_client_event(&after).expect("an object").expect("the event says it")
                            }
                            Way::NoEvent => Before::NoEvent,
                        };
                        let change = MembershipChange::new(by_way, &after_event).expect("a change");
                        let expected = name(from, to, sender == USER, same_profile, third_party);
                        let what = format!("{way:?}: {after} after {before}");
                        assert_eq!(change.change().name(), expected, "{what}");
                        assert_eq!((change.target(), change.sender()), (USER, sender), "{what}");
                        assert_eq!(change.displayname_changed(), !same_profile, "{what}");
                        assert_eq!(change.reason_changed(), way == Way::NoEvent, "{what}");
                        assert_eq!(change.before().displayname().as_deref(), known, "{what}");
                        assert_eq!(change.after().displayname().as_deref(), displayname, "{what}");
                        cells += 1;
                    }
                }
            }
        }
    }
    assert_eq!(cells, (3 * 6 + 1) * 6 * 2 * 4);
}

/// What an event says to a client, and where it says nothing.
#[test]
fn what_an_event_says() {
    let prev = r#"{"membership" : "kno\u0063k"}"#;
    let says = |unsigned: &str| {
        format!(
            r#"{{"type":"m.room.member","x":"\ud800","content":{{}},{unsigned}"sender":"@a:b","state_key":"@a:b"}}"#
        )
    };
    let mut cells = 0;
    for (unsigned, content) in [
        (format!(r#""unsigned":{{"prev_content":{prev}}},"#), Some(prev)),
        // Whatever else stands there.
        (
            format!(r#""unsigned":{{"age":1e999,"age":"\udead","prev_content":{prev},"x":{{"a":1,"a":2}}}},"#),
            Some(prev),
        ),
        (format!(r#""\u0075nsigned":{{"prev\u005fcontent": {prev} }},"#), Some(prev)),
        // It is said, though there is no membership in it.
        (r#""unsigned":{"prev_content":{}},"#.to_owned(), Some("{}")),
        (r#""unsigned":{"prev_content":[]},"#.to_owned(), Some("[]")),
        (String::new(), None),
        (r#""unsigned":{},"#.to_owned(), None),
        (r#""unsigned":{"prev_content":null},"#.to_owned(), None),
        (r#""unsigned":null,"#.to_owned(), None),
        (r#""unsigned":[],"#.to_owned(), None),
        (r#""unsigned":"x","#.to_owned(), None),
        // Nobody knows which of two counts.
        (format!(r#""unsigned":{{"prev_content":{prev},"prev_content":{prev}}},"#), None),
        (format!(r#""unsigned":{{"prev_content":{prev}}},"unsigned":{{"prev_content":{prev}}},"#), None),
        // Beside the event's `unsigned`, or deeper, it is something else.
        (format!(r#""prev_content":{prev},"#), None),
        (format!(r#""unsigned":{{"unsigned":{{"prev_content":{prev}}}}},"#), None),
    ] {
        let text = says(&unsigned);
        let before: Option<Before<'_, Pdu<'_>>> = Before::of_client_event(&text).expect("an object");
        assert_eq!(before, content.map(Before::Content), "{text}");
        cells += 1;
    }
    assert_eq!(cells, 15);
    for (text, kind, byte) in [
        ("", JsonErrorKind::UnexpectedEnd, 0),
        ("[]", JsonErrorKind::UnexpectedCharacter, 0),
        ("null", JsonErrorKind::UnexpectedCharacter, 0),
        (r#"{"unsigned":{"prev_content":{}}"#, JsonErrorKind::UnexpectedEnd, 31),
        (r#"{"unsigned":{"prev_content":{}}} x"#, JsonErrorKind::TrailingCharacters, 33),
    ] {
        let error = Before::<'_, Pdu<'_>>::of_client_event(text).expect_err("no object");
        assert_eq!((error.kind(), error.to_string().ends_with(&format!("at byte {byte}"))), (kind, true), "{error}");
    }
}

/// A membership that cannot be read is no change, however it is known, and neither are two events
/// of different users.
#[test]
fn what_is_no_change() {
    let after = event(USER, &json!({ "membership": "knock" })).to_string();
    let after = parse(&after);
    let malformed = Err(NotAChange::Malformed(Malformed::Member));
    let mut cells = 0;
    for content in
        ["{}", r#"{"membership":null}"#, r#"{"membership":5}"#, "{\"membership\":\"a\",\"membership\":\"a\"}"]
    {
        let before =
            format!(r#"{{"type":"m.room.member","state_key":"{USER}","sender":"{USER}","content":{content}}}"#);
        let before = Pdu::parse_stored(&before).expect("an event");
        let client = format!(r#"{{"unsigned":{{"prev_content":{content}}}}}"#);
        let client = Before::of_client_event(&client).expect("an object").expect("it says something");
        for before in [Before::Event(&before), Before::Content(content), client] {
            assert_eq!(MembershipChange::new(before, &after), malformed, "{content}");
            cells += 1;
        }
    }
    for content in ["", "[]", "null", "{", r#""knock""#] {
        assert_eq!(MembershipChange::new(Before::Content(content), &after), malformed, "{content}");
        cells += 1;
    }
    assert_eq!(cells, 17);

    let mut other = event(USER, &json!({ "membership": "leave" }));
    other["state_key"] = json!(ANOTHER);
    let mut name = event(USER, &json!({ "membership": "leave" }));
    name["type"] = json!("m.room.name");
    let mut message = event(USER, &json!({ "membership": "leave" }));
    message.as_object_mut().expect("an object").remove("state_key");
    for (before, expected) in
        [(other, NotAChange::OtherUser), (name, NotAChange::NotAMemberEvent), (message, NotAChange::NotAMemberEvent)]
    {
        let text = before.to_string();
        let before = parse(&text);
        assert_eq!(MembershipChange::new(Before::Event(&before), &after), Err(expected), "{text}");
    }
}
