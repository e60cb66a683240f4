//! A version that differs from one of the specification in a single rule, for each of the rules.

use matrix_knock::RoomVersion;
use matrix_knock::auth::{AuthorizeError, authorize};
use matrix_knock::event::{KeyValidity, Membership, Pdu, event_id, redact, sign_event};
use matrix_knock::room_version::{EventIdFormat, RoomVersionRules};
use matrix_knock::state::StateMap;

use super::generators::{Host, Zeroes};
use super::{Zeroing, believed, server};

fn changed(goes_by: RoomVersion, change: impl FnOnce(&mut RoomVersionRules)) -> RoomVersion {
    let version = RoomVersion::unstable_with("org.example.changed", goes_by, change).unwrap();
    assert_ne!(version.rules(), goes_by.rules());
    version
}

const ALICE: &str = "@alice:home";
const BOB: &str = "@bob:home";
const KAY: &str = "@kay:away";

/// A room of Alice with these contents, and with these members.
fn room(contents: &[(&str, &str)], members: &[(&str, &str)]) -> StateMap<Host> {
    let create = Host { event_id: Some("$create".to_owned()), ..Host::new("m.room.create", "", ALICE, "{}") };
    let events = contents.iter().map(|(event_type, content)| Host::new(event_type, "", ALICE, *content));
    let members = members.iter().map(|(user, is)| Host::member(user, user, format!(r#"{{"membership":"{is}"}}"#)));
    [create].into_iter().chain(events).chain(members).collect()
}

/// The verdict as text.
fn decide(version: RoomVersion, event: &Host, state: &StateMap<Host>) -> String {
    match authorize(version, event, state, &Zeroes) {
        Ok(allowed) => allowed.membership().to_string(),
        Err(AuthorizeError::Rejected(rejection)) => {
            let number = rejection.number();
            assert_eq!(rejection.version(), version);
            let rule = if number.is_empty() { "an added rule".to_owned() } else { format!("rule {number}") };
            let message = format!("{rule} of room version {version}: {}", rejection.reason());
            assert_eq!(rejection.to_string(), message);
            format!("{:?} {number}", rejection.rule())
        }
        Err(error) => error.to_string(),
    }
}

fn own(membership: Membership) -> Host {
    Host::member(KAY, KAY, format!(r#"{{"membership":"{membership}"}}"#))
}

const V10: RoomVersion = RoomVersion::V10;
const V11: RoomVersion = RoomVersion::V11;

#[test]
fn knocking() {
    let open = room(&[("m.room.join_rules", r#"{"join_rule":"knock"}"#)], &[]);
    let waiting = room(&[], &[(KAY, "knock")]);
    let without = changed(V11, |rules| rules.knocking = false);
    for (version, knock, leave) in
        [(V11, "knock", "leave"), (without, "UnknownMembership 4.8", "LeaveFromNothing 4.5.1")]
    {
        assert_eq!(decide(version, &own(Membership::Knock), &open), knock);
        assert_eq!(decide(version, &own(Membership::Leave), &waiting), leave);
    }
    // A rule that the version gone by does not have has no number.
    let with = changed(RoomVersion::V6, |rules| rules.knocking = true);
    assert_eq!(decide(with, &own(Membership::Knock), &open), "knock");
    assert_eq!(decide(with, &own(Membership::Knock), &waiting), "KnockJoinRule ");
    assert_eq!(decide(RoomVersion::V6, &own(Membership::Knock), &open), "UnknownMembership 4.6");
}

#[test]
fn join_rules() {
    let both = room(&[("m.room.join_rules", r#"{"join_rule":"knock_restricted"}"#)], &[(ALICE, "join")]);
    let without = changed(V11, |rules| rules.knock_restricted_join_rule = false);
    assert_eq!(decide(V11, &own(Membership::Knock), &both), "knock");
    assert_eq!(decide(without, &own(Membership::Knock), &both), "KnockJoinRule 4.7.1");

    let restricted = room(&[("m.room.join_rules", r#"{"join_rule":"restricted"}"#)], &[(ALICE, "join")]);
    let vouched = r#"{"membership":"join","join_authorised_via_users_server":"@alice:home"}"#;
    let vouched = Host::member(KAY, KAY, vouched);
    let without = changed(V11, |rules| rules.restricted_join_rule = false);
    assert_eq!(decide(V11, &vouched, &restricted), "join");
    assert_eq!(decide(without, &vouched, &restricted), "JoinRule 4.3.7");
}

#[test]
fn powers() {
    let kick = Host::member(ALICE, BOB, r#"{"membership":"leave"}"#);
    let members = [(ALICE, "join"), (BOB, "join")];
    let text = room(&[("m.room.power_levels", r#"{"users":{"@alice:home":"100"}}"#)], &members);
    let lenient = changed(V11, |rules| rules.integer_power_levels = false);
    assert_eq!(decide(V11, &kick, &text), "KickPower 4.5.5");
    assert_eq!(decide(lenient, &kick, &text), "leave");

    // Nobody has a level, and the create event says nothing of a creator.
    let levels = room(&[("m.room.power_levels", "{}")], &members);
    let privileged = changed(V11, |rules| rules.privileged_creators = true);
    assert_eq!(decide(V11, &kick, &levels), "KickPower 4.5.5");
    assert_eq!(decide(privileged, &kick, &levels), "leave");

    let bare = room(&[], &members);
    let named = changed(V11, |rules| rules.creator_is_sender = false);
    assert_eq!(decide(V11, &kick, &bare), "leave");
    assert_eq!(decide(named, &kick, &bare), "KickPower 4.5.5");
}

/// A signed event with this content.
fn signed(version: RoomVersion, event_type: &str, content: &str) -> String {
    let room_id = match version.rules().create_event_is_room_id && event_type == "m.room.create" {
        true => "",
        false => r#""room_id":"!r:home","#,
    };
    let text = format!(
        r#"{{"type":"{event_type}","state_key":"","sender":"{ALICE}",{room_id}"content":{content},"auth_events":[],
        "prev_events":[],"depth":1,"origin_server_ts":1}}"#
    );
    sign_event(version, &text, server("home"), &Zeroing).unwrap().into_text()
}

#[test]
fn ids() {
    let standard = changed(V11, |rules| rules.event_ids = EventIdFormat::StandardHash);
    // The alphabets differ in two characters; one of a few hashes has one of them.
    let texts = (0..20).map(|number| signed(V11, "m.room.name", &format!(r#"{{"name":"{number}"}}"#)));
    let ids: Vec<_> = texts.map(|text| [V11, standard].map(|version| event_id(version, &text).unwrap())).collect();
    assert!(ids.iter().all(|[url_safe, standard]| standard.replace('+', "-").replace('/', "_") == *url_safe));
    assert!(ids.iter().any(|[url_safe, standard]| standard != url_safe));

    let by_create = changed(V11, |rules| rules.create_event_is_room_id = true);
    let create = signed(by_create, "m.room.create", "{}");
    assert!(believed(by_create, &create, KeyValidity::Forever).is_ok());
    let missing = Err("event has no `room_id`".to_owned());
    assert_eq!(believed(V11, &create, KeyValidity::Forever), missing);
    let create = signed(V11, "m.room.create", "{}");
    let unexpected = Err("event has a `room_id`, which it must not have in this room version".to_owned());
    assert_eq!(believed(by_create, &create, KeyValidity::Forever), unexpected);
}

#[test]
fn keys_and_numbers() {
    let text = signed(V11, "m.room.name", "{}");
    let forgiving = changed(V11, |rules| rules.enforces_key_validity = false);
    assert!(believed(V11, &text, KeyValidity::Until(0)).is_err());
    assert!(believed(forgiving, &text, KeyValidity::Until(0)).is_ok());

    let loose = changed(V11, |rules| rules.strict_canonical_json = false);
    let text = signed(loose, "m.room.name", r#"{"name":1.5}"#);
    assert!(believed(loose, &text, KeyValidity::Forever).is_ok());
    let position = text.find("1.5").unwrap();
    let message = format!("number not allowed in canonical JSON at byte {position}");
    assert_eq!(believed(V11, &text, KeyValidity::Forever), Err(message));
}

#[test]
fn redactions() {
    let content = |version, text: &str| {
        let redacted = redact(version, text).unwrap();
        matrix_knock::event::Event::content(&Pdu::parse(&redacted).unwrap()).to_owned()
    };
    let join =
        signed(V10, "m.room.member", r#"{"join_authorised_via_users_server":"@alice:home","membership":"join"}"#);
    let forgetful = changed(V10, |rules| rules.redaction_keeps_authorizing_user = false);
    assert_eq!(content(V10, &join), r#"{"join_authorised_via_users_server":"@alice:home","membership":"join"}"#);
    assert_eq!(content(forgetful, &join), r#"{"membership":"join"}"#);

    let create = signed(V11, "m.room.create", r#"{"creator":"@alice:home","x":1}"#);
    let old = changed(V11, |rules| rules.updated_redaction = false);
    assert_eq!(content(V11, &create), r#"{"creator":"@alice:home","x":1}"#);
    assert_eq!(content(old, &create), r#"{"creator":"@alice:home"}"#);
}
