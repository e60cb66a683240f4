//! Settings that are malformed: they count as `shared`, the default.

use std::iter;

use matrix_knock::event::{Membership, Pdu};
use matrix_knock::state::StateMap;
use matrix_knock::visibility::{EventVisibility, HistoryVisibility, JoinedLater, Stretch};

use crate::{MESSAGE, pdus, setting, state_event, user};

/// Contents of no setting, as they stand in an event.
fn contents() -> Vec<String> {
    let values = ["null", "1", "true", "\"\"", "\"Joined\"", "\"joined \"", "\"public\"", "[]", "[\"joined\"]", "{}"];
    let with = |value: &str| format!(r#"{{"history_visibility":{value}}}"#);
    let mut contents: Vec<String> = values.iter().map(|value| with(value)).collect();
    contents.push(with("{\"history_visibility\":\"joined\"}"));
    contents.push(with(&format!("\"{}\"", "joined".repeat(1000))));
    contents.extend(["{}", "[]", "null", "\"joined\"", r#"["history_visibility","joined"]"#].map(str::to_owned));
    contents.push(r#"{"History_Visibility":"joined"}"#.to_owned());
    contents.push(r#"{"history_visibility":"joined","history_visibility":"joined"}"#.to_owned());
    contents
}

#[test]
fn malformed_counts_as_shared() {
    let contents = contents();
    assert_eq!(contents.len(), 19);
    for content in &contents {
        assert_eq!(HistoryVisibility::of_content(content), HistoryVisibility::Shared, "{content}");
    }
    // What a store could give that is no JSON at all.
    let deep = format!(r#"{{"history_visibility":"joined","a":{}{}}}"#, "[".repeat(1000), "]".repeat(1000));
    let unfinished = r#"{"history_visibility":"joined""#;
    for content in
        ["", " ", unfinished, r#"{"history_visibility":"joined"}}"#, r#"{"history_visibility":joined}"#, &deep]
    {
        assert_eq!(HistoryVisibility::of_content(content), HistoryVisibility::Shared, "{content}");
    }
    assert_eq!(HistoryVisibility::default(), HistoryVisibility::Shared);
}

/// Every one of them between two messages: after it, and on its own side, the room is `shared`.
#[test]
fn within_a_timeline() {
    let kay = user("@kay:b.example");
    for content in contents() {
        let malformed = state_event("m.room.history_visibility", "", &content);
        let event = Pdu::parse_stored(&malformed).unwrap();
        assert_eq!(HistoryVisibility::of_event(&event), Some(HistoryVisibility::Shared), "{content}");
        let state: StateMap<Pdu<'_>> = iter::once(event).collect();
        assert_eq!(HistoryVisibility::of_state(&state), Ok(HistoryVisibility::Shared), "{content}");
        let texts = [MESSAGE.to_owned(), malformed.clone(), MESSAGE.to_owned(), setting("joined"), MESSAGE.to_owned()];
        let decide = |joined_after| {
            let stretch = Stretch { visibility: HistoryVisibility::Invited, joined_after };
            stretch.for_user(kay, Membership::Knock, pdus(&texts))
        };
        let (hidden, later) = (EventVisibility::Hidden, EventVisibility::JoinedLater);
        assert_eq!(decide(JoinedLater::No), [hidden; 5], "{content}");
        assert_eq!(decide(JoinedLater::Yes), [hidden, later, later, later, hidden], "{content}");
    }
}

/// The room's setting is the event with an empty state key.
#[test]
fn no_settings() {
    for text in [
        setting("joined").replace(r#""state_key":"""#, r#""state_key":"x""#),
        setting("joined").replace(r#""state_key":"","#, ""),
        setting("joined").replace("m.room.history_visibility", "m.room.history_visibilit"),
        MESSAGE.to_owned(),
    ] {
        assert_eq!(HistoryVisibility::of_event(&Pdu::parse(&text).unwrap()), None, "{text}");
    }
}
