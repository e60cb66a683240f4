//! What goes by a version does as that version does, for every event, every state and every text.

use matrix_knock::RoomVersion;
use matrix_knock::auth::{
    AuthEvent, AuthStatus, AuthorizeError, CompiledRoom, Evidence, Rejection, Selection, authorize,
    check_state_independent,
};
use matrix_knock::event::{
    KeyValidity, Membership, Pdu, content_hash, event_id, redact, reference_hash, room_id_of_create, sign_event,
    without_event_id,
};
use matrix_knock::id::{EventId, RoomId, UserId};
use matrix_knock::pending::PendingKnocks;
use matrix_knock::sync::is_knockable;
use matrix_knock::template::{PrevEvent, Template, TemplateError};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

use super::generators::{Host, USERS, Zeroes, events, map, states, texts};
use super::{Zeroing, believed, server};

/// A version that goes by this one.
fn unstable(goes_by: RoomVersion) -> RoomVersion {
    RoomVersion::unstable("org.example.unstable", goes_by).unwrap()
}

/// All of a refusal but the name of the version.
fn nameless(rejection: Rejection, version: RoomVersion) -> String {
    assert_eq!(rejection.version(), version);
    let message = format!("rule {} of room version {version}: {}", rejection.number(), rejection.reason());
    assert_eq!(rejection.to_string(), message);
    format!("{:?} {} {:?}", rejection.rule(), rejection.number(), rejection.malformed())
}

fn verdict<T>(decided: Result<T, AuthorizeError>, version: RoomVersion) -> Result<T, String> {
    decided.map_err(|error| match error {
        AuthorizeError::Rejected(rejection) => nameless(rejection, version),
        other => other.to_string(),
    })
}

/// The verdicts on an event, by each way to one.
fn decisions(version: RoomVersion, event: &Host, state: &[Host]) -> Vec<Result<Option<Membership>, String>> {
    let looked_up = map(state);
    let plain = authorize(version, event, &looked_up, &Zeroes).map(|allowed| {
        assert_eq!(allowed.version(), version);
        Some(allowed.membership())
    });
    let compiled = CompiledRoom::compile(version, &looked_up).and_then(|room| {
        assert_eq!(room.version(), version);
        room.authorize(event, &looked_up, &Zeroes).map(|allowed| Some(allowed.membership()))
    });
    let auth_events: Vec<AuthEvent<'_>> = state
        .iter()
        .map(|event| AuthEvent {
            event_id: event.event_id.as_deref().unwrap_or_default(),
            event_type: &event.event_type,
            state_key: event.state_key.as_deref(),
            room_id: event.room_id.as_deref(),
            status: AuthStatus::Accepted,
        })
        .collect();
    let create_event = auth_events.iter().copied().find(|entry| entry.event_type == "m.room.create");
    let evidence = Evidence { auth_events: &auth_events, create_event, signed_by: &["home"] };
    let independent = check_state_independent(version, event, &evidence).map(|_| None);
    [plain, compiled, independent].map(|decided| verdict(decided, version)).into()
}

fn template(version: RoomVersion, state: &[Host]) -> Result<(String, String), String> {
    let last = PrevEvent { event_id: EventId::parse("$last").unwrap(), depth: 1 };
    let (room_id, user_id) = (RoomId::parse("!room:home").unwrap(), UserId::parse(USERS[3]).unwrap());
    match Template::knock(version, room_id, user_id, &map(state), &[last], 1) {
        Ok(template) => {
            let response: Value = serde_json::from_str(&template.to_response()).unwrap();
            assert_eq!(response["room_version"], version.as_str());
            Ok((template.to_event(), response["event"].to_string()))
        }
        Err(TemplateError::Rejected(rejection)) => Err(nameless(rejection, version)),
        Err(TemplateError::OldEventFormat(of)) => {
            assert_eq!(of, version);
            Err("an old event format".to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}

/// What becomes of a text that may be an event.
fn readings(version: RoomVersion, text: &str) -> Vec<Result<String, String>> {
    fn told<T: ToString, X: ToString>(result: Result<T, X>) -> Result<String, String> {
        result.map(|value| value.to_string()).map_err(|error| error.to_string())
    }
    let signed = sign_event(version, text, server("home"), &Zeroing);
    let keys = [KeyValidity::Forever, KeyValidity::Until(0)];
    let mut found: Vec<_> = keys.map(|validity| believed(version, text, validity).map(|it| format!("{it:?}"))).into();
    if let Ok(signed) = &signed {
        found.extend(keys.map(|validity| believed(version, signed.text(), validity).map(|it| format!("{it:?}"))));
    }
    found.extend([
        told(event_id(version, text)),
        told(content_hash(version, text)),
        told(reference_hash(version, text)),
        told(redact(version, text)),
        told(without_event_id(version, text)),
        told(signed.map(|signed| format!("{} {}", signed.event_id(), signed.text()))),
        Ok(format!("{:?}", Pdu::parse(text).map(|pdu| pdu.to_federation(version)))),
        Ok(format!("{:?}", PendingKnocks::from_state(version, [text]))),
        Ok(format!("{:?}", room_id_of_create(version, "$x"))),
    ]);
    found
}

/// An event as its server sends it, in the format of its version.
fn sent(version: RoomVersion, event: &Host) -> String {
    let reference = if version <= RoomVersion::V2 { r#"["$last",{"sha256":"x"}]"# } else { r#""$last""# };
    let id = if version <= RoomVersion::V2 { r#""event_id":"$event:home","# } else { "" };
    let text = |text: &str| Value::from(text).to_string();
    let state_key = event.state_key.as_deref().map(|key| format!(r#""state_key":{},"#, text(key))).unwrap_or_default();
    let room_id = event.room_id.as_deref().map(|id| format!(r#""room_id":{},"#, text(id))).unwrap_or_default();
    format!(
        concat!(
            r#"{{{}"type":{},"sender":{},{}{}"content":{},"auth_events":[],"prev_events":[{}],"depth":1,"#,
            r#""origin_server_ts":1}}"#
        ),
        id,
        text(&event.event_type),
        text(&event.sender),
        state_key,
        room_id,
        event.content,
        reference
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_decision(version in select(&RoomVersion::ALL[..]), event in events(), state in states()) {
        let unstable = unstable(version);
        prop_assert_eq!(decisions(unstable, &event, &state), decisions(version, &event, &state));
        prop_assert_eq!(template(unstable, &state), template(version, &state));
        prop_assert_eq!(is_knockable(unstable, &map(&state)), is_knockable(version, &map(&state)));
        let selected = |version| format!("{:?}", Selection::of(version, &event).auth_events().collect::<Vec<_>>());
        prop_assert_eq!(selected(unstable), selected(version));
        let reads = |version| Selection::of(version, &event).reads();
        prop_assert_eq!(reads(unstable), reads(version));
    }

    #[test]
    fn every_text(version in select(&RoomVersion::ALL[..]), text in texts(), event in events()) {
        for text in [text, sent(version, &event)] {
            prop_assert_eq!(readings(unstable(version), &text), readings(version, &text), "{}", text);
        }
    }
}
