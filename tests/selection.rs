//! What an event selects, over the whole product, against the list of the specification:
//! <https://spec.matrix.org/v1.19/server-server-api/#auth-events-selection>

use std::collections::BTreeSet;

use matrix_knock::RoomVersion;
use matrix_knock::auth::Selection;
use matrix_knock::event::{EventType, Pdu};

const SENDER: &str = "@sender:a";

type Entries = BTreeSet<(String, String)>;

fn entries<'a>(selected: impl Iterator<Item = (EventType<'static>, &'a str)>) -> Entries {
    let listed: Vec<_> = selected.map(|(event_type, key)| (event_type.to_string(), key.to_owned())).collect();
    let set: Entries = listed.iter().cloned().collect();
    assert_eq!(set.len(), listed.len(), "nothing is selected twice: {listed:?}");
    set
}

/// The list of the specification, item by item.
fn expected(
    version: u8,
    membership: &str,
    target: Option<&str>,
    token: Option<&str>,
    authorizer: Option<&str>,
) -> Entries {
    let mut list = vec![("m.room.power_levels", ""), ("m.room.member", SENDER)];
    if version < 12 {
        list.push(("m.room.create", ""));
    }
    list.extend(target.map(|target| ("m.room.member", target)));
    if ["join", "invite", "knock"].contains(&membership) {
        list.push(("m.room.join_rules", ""));
    }
    if membership == "invite" {
        list.extend(token.map(|token| ("m.room.third_party_invite", token)));
    }
    if membership == "join" && version >= 8 {
        list.extend(authorizer.map(|user| ("m.room.member", user)));
    }
    list.into_iter().map(|(event_type, key)| (event_type.to_owned(), key.to_owned())).collect()
}

#[test]
fn the_whole_product() {
    let mut cells = 0;
    for version in RoomVersion::ALL {
        let number: u8 = version.as_str().parse().expect("a number");
        for membership in ["join", "invite", "knock", "leave", "ban", "x"] {
            for target in [None, Some(SENDER), Some("@target:b")] {
                for (invite, token) in [
                    ("", None),
                    (r#","third_party_invite":null"#, None),
                    (r#","third_party_invite":{"signed":{}}"#, None),
                    (r#","third_party_invite":{"signed":{"token":1}}"#, None),
                    (r#","third_party_invite":{"signed":{"token":"t\u006fken"}}"#, Some("token")),
                ] {
                    for (vouch, authorizer) in [
                        ("", None),
                        (r#","join_authorised_via_users_server":1"#, None),
                        (r#","join_authorised_via_users_server":"@admin:a""#, Some("@admin:a")),
                        (r#","join_authorised_via_users_server":"@sender:a""#, Some(SENDER)),
                        (r#","join_authorised_via_users_server":"@target:b""#, Some("@target:b")),
                    ] {
                        let state_key = target.map(|key| format!(r#""state_key":"{key}","#)).unwrap_or_default();
                        let text = format!(
                            r#"{{"type":"m.room.member","sender":"{SENDER}",{state_key}
                            "content":{{"membership":"{membership}"{invite}{vouch}}}}}"#
                        );
                        let event = Pdu::parse(&text).expect("an event");
                        let selection = Selection::of(version, &event);
                        let list = expected(number, membership, target, token, authorizer);
                        assert_eq!(entries(selection.auth_events()), list, "version {version}: {text}");
                        // A decision reads the create event too, in every version.
                        let mut read = list;
                        read.insert(("m.room.create".to_owned(), String::new()));
                        assert_eq!(entries(selection.state()), read, "version {version}: {text}");
                        assert_eq!(selection.state().next(), Some((EventType::Create, "")));
                        let reads = selection.reads();
                        let named = |(event_type, key): (EventType<'_>, &str)| format!("{event_type} {key}");
                        assert!(reads.iter().map(named).eq(selection.state().map(named)), "version {version}: {text}");
                        cells += 1;
                    }
                }
            }
        }
    }
    assert_eq!(cells, 12 * 6 * 3 * 5 * 5);
}

/// An event whose content is malformed selects what is left.
#[test]
fn malformed_contents() {
    for content in ["[]", "1", "{}", r#"{"membership":1}"#, r#"{"membership":"join","membership":"join"}"#] {
        let text = format!(r#"{{"type":"m.room.member","sender":"{SENDER}","content":{content}}}"#);
        let event = Pdu::parse_stored(&text).expect("an event");
        let selection = Selection::of(RoomVersion::V10, &event);
        assert_eq!(entries(selection.auth_events()), expected(10, "x", None, None, None), "{content}");
    }
}
