//! Deciding allocates nothing: a room of a million must not cost a byte for each knock.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use allocation_counter::measure;
use matrix_knock::auth::{CompiledRoom, Rule, authorize, server_is_allowed};
use matrix_knock::event::{Event, Membership, Pdu, Proposal, content_hash, event_id, redact};
use matrix_knock::id::{ServerName, UserId};
use matrix_knock::json::{CanonicalDialect, canonical};
use matrix_knock::membership_change::{Before, Change, MembershipChange};
use matrix_knock::pending::PendingKnocks;
use matrix_knock::state::{RoomState, StateMap};
use matrix_knock::visibility::{EventVisibility, HistoryVisibility, JoinedLater, Stretch};
use matrix_knock::{NoVerifier, RoomVersion};

fn member(user: &str, membership: &str) -> String {
    format!(
        r#"{{"type":"m.room.member","state_key":"{user}","sender":"{user}","content":{{"membership":"{membership}",
        "displayname":"Somebody","avatar_url":"mxc://a.example/abc"}}}}"#
    )
}

fn state_event(event_type: &str, content: &str) -> String {
    format!(r#"{{"type":"{event_type}","state_key":"","sender":"@founder:a.example","content":{content}}}"#)
}

/// A room with 500 users in its power levels and some memberships.
fn room(version: RoomVersion) -> Vec<String> {
    let users: Vec<String> = (0..500).map(|number| format!(r#""@u{number}:a.example":{}"#, number % 100)).collect();
    let levels = format!(
        r#"{{"ban":50,"events":{{"m.room.name":50}},"invite":0,"kick":50,"redact":50,"users":{{"@mod:a.example":100,{}}}}}"#,
        users.join(",")
    );
    let create = format!(
        r#"{{"creator":"@founder:a.example","room_version":"{version}","additional_creators":["@x:a.example"]}}"#
    );
    let mut texts = vec![
        state_event("m.room.create", &create),
        state_event("m.room.join_rules", r#"{"allow":[],"join_rule":"knock_restricted"}"#),
        state_event("m.room.power_levels", &levels),
        member("@mod:a.example", "join"),
        member("@knocker:b.example", "knock"),
        member("@banned:b.example", "ban"),
    ];
    texts.extend((0..100).map(|number| member(&format!("@u{number}:a.example"), "join")));
    texts
}

/// What `work` gives, and how many allocations it took.
fn allocations<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let mut result = None;
    let counted = measure(|| result = Some(work()));
    (result.unwrap(), counted.count_total)
}

/// Decides both ways, asserts the verdict, and says how many allocations each way took.
fn decide<E: Event>(
    version: RoomVersion,
    event: &E,
    state: &impl RoomState,
    expected: Result<Membership, Rule>,
) -> [u64; 2] {
    let compiled = CompiledRoom::compile(version, state).unwrap();
    let (plain, of_plain) = allocations(|| authorize(version, event, state, &NoVerifier));
    let (fast, of_fast) = allocations(|| compiled.authorize(event, state, &NoVerifier));
    for verdict in [plain, fast] {
        let verdict = verdict.map(|authorized| authorized.membership());
        assert_eq!(verdict.map_err(|error| error.rejection().unwrap().rule()), expected);
    }
    [of_plain, of_fast]
}

#[test]
fn a_decision_allocates_nothing() {
    for version in [RoomVersion::V10, RoomVersion::V12] {
        let texts = room(version);
        let events: Vec<_> = texts.iter().map(|text| Pdu::parse(text).unwrap()).collect();
        let state: StateMap<&Pdu<'_>> = events.iter().collect();
        let (moderator, knocker, banned) = ("@mod:a.example", "@knocker:b.example", "@banned:b.example");
        let by = |sender, target, membership| Proposal { sender, target, membership };
        for (proposal, expected) in [
            (Proposal::of_oneself("@new:c.example", Membership::Knock), Ok(Membership::Knock)),
            (Proposal::of_oneself(knocker, Membership::Knock), Ok(Membership::Knock)),
            (Proposal::of_oneself(banned, Membership::Knock), Err(Rule::KnockMembership)),
            (Proposal::of_oneself(knocker, Membership::Leave), Ok(Membership::Leave)),
            (Proposal::of_oneself(knocker, Membership::Join), Err(Rule::JoinNotAuthorized)),
            (by(moderator, knocker, Membership::Invite), Ok(Membership::Invite)),
            (by(moderator, knocker, Membership::Leave), Ok(Membership::Leave)),
            (by(moderator, knocker, Membership::Ban), Ok(Membership::Ban)),
            (by(moderator, banned, Membership::Leave), Ok(Membership::Leave)),
            (by("@u7:a.example", knocker, Membership::Leave), Err(Rule::KickPower)),
        ] {
            assert_eq!(decide(version, &proposal, &state, expected), [0, 0], "{proposal:?} in version {version}");
        }
        let join = format!(
            r#"{{"type":"m.room.member","state_key":"@new:c.example","sender":"@new:c.example",
            "content":{{"membership":"join","join_authorised_via_users_server":"{moderator}"}}}}"#
        );
        let join = Pdu::parse(&join).unwrap();
        assert_eq!(decide(version, &join, &state, Ok(Membership::Join)), [0, 0]);
    }
    let acl =
        state_event("m.room.server_acl", r#"{"allow":["\u002a"],"deny":["*.e\u0076il.*"],"allow_ip_literals":false}"#);
    let state = StateMap::from([Pdu::parse(&acl).unwrap()]);
    let server = ServerName::parse("b.example:8448").unwrap();
    assert_eq!(allocations(|| server_is_allowed(server, &state)), (Ok(true), 0));
    // The counter counts.
    assert_eq!(allocations(|| String::from("x")).1, 1);
}

/// What an event of about 1 KB costs: these are upper bounds that a change must not pass unnoticed.
#[test]
fn an_event_allocates_little() {
    const KNOCK: &str = include_str!("../benches/knock.json");
    const VERSION: RoomVersion = RoomVersion::V10;
    let counts = [
        allocations(|| event_id(VERSION, KNOCK)).1,
        allocations(|| content_hash(VERSION, KNOCK)).1,
        allocations(|| canonical(KNOCK, CanonicalDialect::Strict)).1,
        allocations(|| redact(VERSION, KNOCK)).1,
        allocations(|| Pdu::parse(KNOCK).is_ok()).1,
        allocations(|| Pdu::parse_stored(KNOCK).is_ok()).1,
    ];
    assert_eq!(counts, [4, 1, 2, 4, 1, 0]);
}

/// Neither the members who do not knock, however they are written, nor the naming of a change.
#[test]
fn members_who_do_not_knock_allocate_nothing() {
    let joined = member("@somebody:a.example", "join");
    let written = [
        joined.clone(),
        joined.replace("Somebody", r"S\u00f6mebody"),
        joined.replace("join", r"\u006aoin"),
        joined.replace("type", r"\u0074ype"),
        joined.replace("Somebody", r#"","x":"knock"#),
        member("@knock:a.example", "leave"),
        state_event("m.room.join_rules", r#"{"join_rule":"knock"}"#),
        "{".to_owned(),
    ];
    let state = || written.iter().cycle().take(10_000);
    assert_eq!(allocations(|| PendingKnocks::from_state(RoomVersion::V10, state()).len()), (0, 0));

    let knock = member("@kay:b.example", "knock").replace("Somebody", r"S\u00f6mebody");
    let (knock, left) = (Pdu::parse(&knock).unwrap(), member("@kay:b.example", "leave"));
    let left = Pdu::parse(&left).unwrap();
    let (change, count) = allocations(|| MembershipChange::new(Before::Event(&knock), &left).unwrap().change());
    assert_eq!((change, count), (Change::KnockRetracted, 0));
}

/// Two for a stretch of whatever length, and for a server one more for each of its users.
#[test]
fn a_stretch_of_the_timeline_allocates_nothing_for_an_event() {
    let written = [
        state_event("m.room.history_visibility", r#"{"history_visibility":"joined"}"#),
        r#"{"type":"m.room.message","sender":"@kay:b.example","content":{"body":"Hello"}}"#.to_owned(),
        member("@kay:b.example", "knock"),
        member("@lou:b.example", "join").replace("join", r"\u006aoin"),
        state_event("m.room.history_visibility", r#"{"a":[1],"history_visibility":"sh\u0061red"}"#),
        member("@kay:b.example", "join"),
        state_event("m.room.history_visibility", r#"{"history_visibility":["malformed"]}"#),
        member("@somebody:a.example", "join"),
    ];
    let events: Vec<_> = written.iter().map(|text| Pdu::parse(text).unwrap()).collect();
    let stretch = Stretch { visibility: HistoryVisibility::Invited, joined_after: JoinedLater::No };
    let (kay, server) = (UserId::parse("@kay:b.example").unwrap(), ServerName::parse("b.example").unwrap());
    let visible = |decided: Vec<EventVisibility>| decided.iter().filter(|decided| decided.is_visible()).count();
    for length in [8, 10_000] {
        let page = || (0..length).map(|at| &events[at % events.len()]);
        let (decided, of_user) = allocations(|| stretch.for_user(kay, Membership::Leave, page()));
        assert_eq!((decided.len(), of_user <= 2), (length, true), "{of_user}");
        let (decided, of_server) = allocations(|| stretch.for_server(server, [(kay, Membership::Leave)], page()));
        assert_eq!((decided.len(), of_server <= 5), (length, true), "{of_server}");
        assert!(visible(decided) >= length / 2);
    }
}
