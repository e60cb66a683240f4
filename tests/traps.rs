//! The traps, each of which some server fell into, and the decisions where the specification is silent: a row each.
#![expect(clippy::expect_used, clippy::arithmetic_side_effects, reason = "a test that cannot be set up fails")]

use matrix_knock::auth::{
    AuthEvent, AuthStatus, AuthorizeError, CompiledRoom, Evidence, Rule, authorize, check_state_independent,
};
use matrix_knock::event::{Event, Malformed, Pdu};
use matrix_knock::state::StateMap;
use matrix_knock::{NoVerifier, RoomVersion};

const CREATOR: &str = "@creator:a";
const USER: &str = "@user:b";

fn event(event_type: &str, state_key: &str, sender: &str, content: &str) -> String {
    format!(
        r#"{{"type":"{event_type}","state_key":"{state_key}","sender":"{sender}","content":{content},"event_id":"$c"}}"#
    )
}

/// The room: its create event, and others by type, state key and content.
fn verdict(
    version: RoomVersion,
    create: &str,
    state: &[(&str, &str, &str)],
    event: &str,
) -> Result<(), AuthorizeError> {
    let mut texts = vec![self::event("m.room.create", "", CREATOR, create)];
    texts.extend(state.iter().map(|(event_type, key, content)| self::event(event_type, key, CREATOR, content)));
    let state: StateMap<Pdu<'_>> = texts.iter().map(|text| Pdu::parse_stored(text).expect("an event")).collect();
    let event = Pdu::parse_stored(event).expect("an event");
    let plain = authorize(version, &event, &state, &NoVerifier).map(|_| ());
    let compiled = CompiledRoom::compile(version, &state).expect("a create event");
    assert_eq!(compiled.authorize(&event, &state, &NoVerifier).map(|_| ()), plain);
    plain
}

type Row<'a> = (
    &'a str,
    &'a [RoomVersion],
    &'a str,
    &'a [(&'a str, &'a str, &'a str)],
    String,
    Result<(), (Rule, Option<Malformed>)>,
);

fn check(rows: &[Row<'_>]) {
    for (name, versions, create, state, event, expected) in rows {
        for version in *versions {
            let found = verdict(*version, create, state, event);
            let found = found.map_err(|error| {
                let rejection = error.rejection().expect("a member event");
                (rejection.rule(), rejection.malformed())
            });
            assert_eq!(found, *expected, "{name} in version {version}");
        }
    }
}

fn own(membership: &str) -> String {
    event("m.room.member", USER, USER, &format!(r#"{{"membership":"{membership}"}}"#))
}

fn by_creator(membership: &str) -> String {
    event("m.room.member", USER, CREATOR, &format!(r#"{{"membership":"{membership}"}}"#))
}

const ALL: &[RoomVersion] = &RoomVersion::ALL;
const CREATE: &str = r#"{"creator":"@creator:a"}"#;
const JOINED: (&str, &str, &str) = ("m.room.member", CREATOR, r#"{"membership":"join"}"#);
const INVITED: (&str, &str, &str) = ("m.room.member", USER, r#"{"membership":"invite"}"#);
const KNOCKING: (&str, &str, &str) = ("m.room.member", USER, r#"{"membership":"knock"}"#);

const fn rules(content: &str) -> (&str, &str, &str) {
    ("m.room.join_rules", "", content)
}

const fn levels(content: &str) -> (&str, &str, &str) {
    ("m.room.power_levels", "", content)
}

fn versions(first: usize, last: usize) -> &'static [RoomVersion] {
    ALL.get(first - 1..last).expect("versions are 1 to 12")
}

#[test]
fn join_rules_that_a_version_does_not_know() {
    let knock = rules(r#"{"join_rule":"knock"}"#);
    let restricted = rules(r#"{"join_rule":"restricted"}"#);
    let both = rules(r#"{"join_rule":"knock_restricted"}"#);
    let refused = Err((Rule::JoinRule, None));
    check(&[
        ("knock, invited", versions(1, 6), CREATE, &[knock, INVITED], own("join"), refused),
        ("knock, invited", versions(7, 12), CREATE, &[knock, INVITED], own("join"), Ok(())),
        ("restricted, invited", versions(1, 7), CREATE, &[restricted, INVITED], own("join"), refused),
        ("restricted, invited", versions(8, 12), CREATE, &[restricted, INVITED], own("join"), Ok(())),
        ("knock_restricted, invited", versions(1, 9), CREATE, &[both, INVITED], own("join"), refused),
        ("knock_restricted, invited", versions(10, 12), CREATE, &[both, INVITED], own("join"), Ok(())),
        ("knock_restricted", versions(7, 9), CREATE, &[both], own("knock"), Err((Rule::KnockJoinRule, None))),
        ("knock_restricted", versions(10, 12), CREATE, &[both], own("knock"), Ok(())),
        ("restricted", versions(7, 12), CREATE, &[restricted], own("knock"), Err((Rule::KnockJoinRule, None))),
        ("private", ALL, CREATE, &[rules(r#"{"join_rule":"private"}"#), INVITED], own("join"), refused),
        ("none, invited", ALL, CREATE, &[INVITED], own("join"), Ok(())),
        ("none", ALL, CREATE, &[], own("join"), refused),
        ("no key, invited", ALL, CREATE, &[rules("{}"), INVITED], own("join"), Ok(())),
        (
            "a list",
            ALL,
            CREATE,
            &[rules(r#"["join_rule","public"]"#), INVITED],
            own("join"),
            Err((Rule::JoinRule, Some(Malformed::JoinRules))),
        ),
        (
            "a number",
            versions(7, 12),
            CREATE,
            &[rules(r#"{"join_rule":1}"#)],
            own("knock"),
            Err((Rule::KnockJoinRule, Some(Malformed::JoinRules))),
        ),
        ("an escape", ALL, CREATE, &[rules(r#"{"join\u005frule":"p\u0075blic"}"#)], own("join"), Ok(())),
    ]);
}

#[test]
fn knocks() {
    let public = rules(r#"{"join_rule":"public"}"#);
    let open = rules(r#"{"join_rule":"knock"}"#);
    let stored = |content| ("m.room.member", USER, content);
    check(&[
        ("join of a knocking user in a public room", ALL, CREATE, &[public, KNOCKING], own("join"), Ok(())),
        ("leave from knock", versions(1, 6), CREATE, &[KNOCKING], own("leave"), Err((Rule::LeaveFromNothing, None))),
        ("leave from knock", versions(7, 12), CREATE, &[KNOCKING], own("leave"), Ok(())),
        ("a knock again", versions(7, 12), CREATE, &[open, KNOCKING], own("knock"), Ok(())),
        ("a knock", versions(1, 6), CREATE, &[open], own("knock"), Err((Rule::UnknownMembership, None))),
        (
            "an unknown stored membership",
            versions(7, 12),
            CREATE,
            &[open, stored(r#"{"membership":"x"}"#)],
            own("knock"),
            Ok(()),
        ),
        (
            "a stored membership of another kind",
            versions(7, 12),
            CREATE,
            &[open, stored(r#"{"membership":1}"#)],
            own("knock"),
            Err((Rule::KnockMembership, Some(Malformed::Member))),
        ),
        (
            "a stored content that is a list",
            versions(7, 12),
            CREATE,
            &[open, stored("[]")],
            own("knock"),
            Err((Rule::KnockMembership, Some(Malformed::Member))),
        ),
        (
            "an authorizing user on a knock",
            versions(7, 12),
            CREATE,
            &[open],
            event(
                "m.room.member",
                USER,
                USER,
                r#"{"membership":"knock","join_authorised_via_users_server":"@creator:a"}"#,
            ),
            Ok(()),
        ),
        (
            "a membership twice",
            ALL,
            CREATE,
            &[open],
            event("m.room.member", USER, USER, r#"{"membership":"knock","membership":"knock"}"#),
            Err((Rule::UnknownMembership, Some(Malformed::Event))),
        ),
        (
            "a membership that is no string",
            ALL,
            CREATE,
            &[open],
            event("m.room.member", USER, USER, r#"{"membership":["knock"]}"#),
            Err((Rule::UnknownMembership, Some(Malformed::Event))),
        ),
        (
            "no membership",
            ALL,
            CREATE,
            &[open],
            event("m.room.member", USER, USER, "{}"),
            Err((Rule::MissingMembership, None)),
        ),
        (
            "no object",
            ALL,
            CREATE,
            &[open],
            event("m.room.member", USER, USER, "[]"),
            Err((Rule::MissingMembership, Some(Malformed::Event))),
        ),
    ]);
}

#[test]
fn federation() {
    let public = [rules(r#"{"join_rule":"public"}"#)];
    let powers = [JOINED, levels(r#"{"users":{"@creator:a":100}}"#)];
    let refused = Err((Rule::NotFederated, None));
    for content in [
        r#"{"m.federate":false}"#,
        r#"{"m.federate":true}"#,
        r#"{"m.federate":"false"}"#,
        r#"{"m.federate":null}"#,
        r#"{"m.federate":0}"#,
    ] {
        let remote = if content.contains(":false") { refused } else { Ok(()) };
        check(&[
            ("remote sender", ALL, content, &public, own("join"), remote),
            ("local sender, remote target", ALL, content, &powers, by_creator("invite"), Ok(())),
        ]);
    }
    let nowhere = event("m.room.member", "@user", "@user", r#"{"membership":"join"}"#);
    let malformed = Err((Rule::NotFederated, Some(Malformed::Create)));
    check(&[
        (
            "a sender without domain",
            ALL,
            r#"{"m.federate":false}"#,
            &public,
            nowhere.clone(),
            Err((Rule::NotFederated, None)),
        ),
        ("a sender without domain", ALL, "{}", &public, nowhere, Ok(())),
        ("a malformed create event, remote", ALL, "[]", &public, own("join"), malformed),
        ("twice, remote", ALL, r#"{"m.federate":true,"m.federate":true}"#, &public, own("join"), malformed),
        ("a malformed create event, local", versions(11, 12), "[]", &[JOINED], by_creator("invite"), Ok(())),
    ]);
}

#[test]
fn a_malformed_level_refuses_only_what_needs_it() {
    let power = |rule| Err((rule, Some(Malformed::PowerLevels)));
    let odd_kick = levels(r#"{"kick":"x","users":{"@creator:a":100}}"#);
    let odd_users = levels(r#"{"users":["@creator:a"]}"#);
    let odd_other = levels(r#"{"redact":{},"events":1,"users":{"@creator:a":100,"@other:c":"x"}}"#);
    let banned = ("m.room.member", USER, r#"{"membership":"ban"}"#);
    let before_12 = versions(1, 11);
    check(&[
        ("kick", before_12, CREATE, &[JOINED, odd_kick], by_creator("leave"), power(Rule::KickPower)),
        ("ban", before_12, CREATE, &[JOINED, odd_kick], by_creator("ban"), Ok(())),
        ("invite", before_12, CREATE, &[JOINED, odd_kick], by_creator("invite"), Ok(())),
        ("users, kick", before_12, CREATE, &[JOINED, odd_users], by_creator("leave"), power(Rule::KickPower)),
        ("users, invite", before_12, CREATE, &[JOINED, odd_users], by_creator("invite"), power(Rule::InvitePower)),
        ("users, ban", before_12, CREATE, &[JOINED, odd_users], by_creator("ban"), power(Rule::BanPower)),
        ("users, unban", before_12, CREATE, &[JOINED, odd_users, banned], by_creator("leave"), power(Rule::UnbanPower)),
        (
            "users, knock",
            versions(7, 12),
            CREATE,
            &[rules(r#"{"join_rule":"knock"}"#), odd_users],
            own("knock"),
            Ok(()),
        ),
        ("another's", ALL, CREATE, &[JOINED, odd_other], by_creator("leave"), Ok(())),
        // A creator of version 12 needs no level; the others still do.
        (
            "users, kick by the creator",
            versions(12, 12),
            CREATE,
            &[JOINED, odd_kick],
            by_creator("leave"),
            power(Rule::KickPower),
        ),
        ("users, invite by the creator", versions(12, 12), CREATE, &[JOINED, odd_users], by_creator("invite"), Ok(())),
        (
            "users, kick by the creator",
            versions(12, 12),
            CREATE,
            &[JOINED, odd_users],
            by_creator("leave"),
            power(Rule::KickPower),
        ),
        ("not JSON", before_12, CREATE, &[JOINED, levels("[1]")], by_creator("ban"), power(Rule::BanPower)),
        (
            "escapes",
            before_12,
            CREATE,
            &[JOINED, levels(r#"{"user\u0073":{"\u0040creator:a":49}}"#)],
            by_creator("ban"),
            Err((Rule::BanPower, None)),
        ),
        (
            "escapes",
            before_12,
            CREATE,
            &[JOINED, levels(r#"{"users":{"@creator:a":50},"b\u0061n":51}"#)],
            by_creator("ban"),
            Err((Rule::BanPower, None)),
        ),
        (
            "unban without the kick level",
            before_12,
            CREATE,
            &[JOINED, banned, levels(r#"{"users":{"@creator:a":60},"kick":61,"ban":60}"#)],
            by_creator("leave"),
            Err((Rule::KickPower, None)),
        ),
        (
            "unban without the ban level",
            before_12,
            CREATE,
            &[JOINED, banned, levels(r#"{"users":{"@creator:a":60},"kick":60,"ban":61}"#)],
            by_creator("leave"),
            Err((Rule::UnbanPower, None)),
        ),
    ]);
}

#[test]
fn creators() {
    let first = |user: &str| {
        format!(
            r#"{{"type":"m.room.member","state_key":"{user}","sender":"{user}","content":{{"membership":"join"}},"prev_events":["$c"]}}"#
        )
    };
    let refused = Err((Rule::JoinRule, None));
    let listed = r#"{"creator":"@user:b","additional_creators":["@user:b",1,["@x:y"]]}"#;
    let other_joined = ("m.room.member", USER, r#"{"membership":"join"}"#);
    let kick = event("m.room.member", "@x:y", USER, r#"{"membership":"leave"}"#);
    let kick_creator = event("m.room.member", CREATOR, USER, r#"{"membership":"leave"}"#);
    let high = levels(r#"{"kick":9007199254740991,"users":{"@user:b":0}}"#);
    check(&[
        ("content.creator", versions(1, 10), r#"{"creator":"@user:b"}"#, &[], first(USER), Ok(())),
        ("content.creator", versions(11, 12), r#"{"creator":"@user:b"}"#, &[], first(USER), refused),
        ("the sender", versions(1, 10), r#"{"creator":"@user:b"}"#, &[], first(CREATOR), refused),
        ("the sender", versions(11, 12), r#"{"creator":"@user:b"}"#, &[], first(CREATOR), Ok(())),
        ("no creator", versions(1, 10), "{}", &[], first(CREATOR), refused),
        ("a creator that is no string", versions(1, 10), r#"{"creator":1}"#, &[], first(CREATOR), refused),
        ("a creator that is no user ID", versions(1, 10), r#"{"creator":"@nowhere"}"#, &[], first("@nowhere"), refused),
        ("an additional creator does not join first", versions(12, 12), listed, &[], first(USER), refused),
        ("an additional creator kicks", versions(12, 12), listed, &[other_joined, high], kick.clone(), Ok(())),
        (
            "an additional creator kicks",
            versions(1, 11),
            listed,
            &[other_joined, high],
            kick,
            Err((Rule::KickPower, None)),
        ),
        (
            "a creator kicks a creator",
            versions(12, 12),
            listed,
            &[other_joined, high],
            kick_creator,
            Err((Rule::KickPower, None)),
        ),
    ]);
}

#[test]
fn what_is_no_member_event_gets_no_verdict() {
    for event_type in ["m.room.message", "m.room.create", "m.room.members", ""] {
        let event = event(event_type, USER, USER, r#"{"membership":"knock"}"#);
        for version in RoomVersion::ALL {
            assert_eq!(verdict(version, CREATE, &[], &event), Err(AuthorizeError::NotAMemberEvent));
        }
    }
    assert_eq!(AuthorizeError::NotAMemberEvent.rejection(), None);
    assert_eq!(AuthorizeError::NotAMemberEvent.to_string(), "not an `m.room.member` event");
    let message = r#"{"type":"m.room.member","sender":"@user:b","content":{"membership":"knock"}}"#;
    let refused = verdict(RoomVersion::V10, CREATE, &[], message).map_err(|error| error.to_string());
    assert_eq!(refused, Err("rule 4.1 of room version 10: the event has no `state_key`".to_owned()));
}

/// The server of the user who authorizes has to have signed, on every member event that names one; nobody can sign for what
/// is no user.
#[test]
fn authorizing_servers() {
    let create = AuthEvent {
        event_id: "$c",
        event_type: "m.room.create",
        state_key: Some(""),
        room_id: Some("!c"),
        status: AuthStatus::Accepted,
    };
    let entries = [create];
    let check = |version: RoomVersion, content: &str, signed_by: &[&str]| {
        let text = format!(
            r#"{{"type":"m.room.member","state_key":"{USER}","sender":"{USER}","room_id":"!c","content":{content}}}"#
        );
        let event = Pdu::parse(&text).expect("an event");
        let auth_events = if version < RoomVersion::V12 { entries.as_slice() } else { &[] };
        let evidence = Evidence { auth_events, create_event: Some(create), signed_by };
        let checked = check_state_independent(version, &event, &evidence);
        checked.map(|checked| (checked.event().state_key().map(str::to_owned), checked.version()))
    };
    let passes = |version| Ok((Some(USER.to_owned()), version));
    for version in RoomVersion::ALL {
        for membership in ["join", "knock", "leave", "x"] {
            let with =
                |user: &str| format!(r#"{{"membership":"{membership}","join_authorised_via_users_server":{user}}}"#);
            let refusal = |user: &str, signed_by: &[&str]| {
                let refused = check(version, &with(user), signed_by);
                refused.err().and_then(|error| error.rejection()).map(|rejection| rejection.rule())
            };
            let unsigned = Some(Rule::AuthorizingServerSignature).filter(|_| version >= RoomVersion::V8);
            assert_eq!(refusal(r#""@admin:a""#, &["b", "a"]), None);
            assert_eq!(refusal(r#""@admin:a""#, &["b"]), unsigned);
            assert_eq!(refusal(r#""@admin:a""#, &[]), unsigned);
            assert_eq!(refusal(r#""a""#, &["a"]), unsigned);
            assert_eq!(refusal("1", &["a"]), unsigned);
            assert_eq!(refusal("null", &["a"]), unsigned);
            assert_eq!(check(version, &format!(r#"{{"membership":"{membership}"}}"#), &[]), passes(version));
        }
    }
    let message = r#"{"type":"m.room.message","sender":"@user:b","room_id":"!c","content":{}}"#;
    let message = Pdu::parse(message).expect("an event");
    let evidence = Evidence { auth_events: &entries, create_event: None, signed_by: &[] };
    let checked = check_state_independent(RoomVersion::V10, &message, &evidence);
    assert_eq!(checked.map(|_| ()), Err(AuthorizeError::NotAMemberEvent));
    let no_state_key = r#"{"type":"m.room.member","sender":"@user:b","room_id":"!c","content":{"membership":"knock"}}"#;
    let no_state_key = Pdu::parse(no_state_key).expect("an event");
    let refused = check_state_independent(RoomVersion::V10, &no_state_key, &evidence).map(|_| ());
    assert_eq!(refused.map_err(|error| error.rejection().map(|it| it.rule())), Err(Some(Rule::MissingStateKey)));
    // A content that cannot be read has no authorizing user that could be checked.
    let malformed = check(RoomVersion::V10, "[]", &["a", "b"]).err().and_then(|error| error.rejection());
    assert_eq!(malformed.map(|rejection| rejection.rule()), Some(Rule::MissingMembership));
}
