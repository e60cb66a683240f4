//! The whole product of what a decision depends on, against a table written from the text of the specification by
//! somebody who had not seen the implementation (`auth_matrix/spec_table.rs`). Both ways to decide, and the *number* of
//! the refusing rule, not just yes or no.
#![expect(clippy::expect_used, clippy::arithmetic_side_effects, reason = "a test that cannot be set up fails")]

#[path = "auth_matrix/spec_table.rs"]
pub mod spec_table;

use std::borrow::Cow;

use matrix_knock::RoomVersion;
use matrix_knock::auth::{AuthorizeError, CompiledRoom, authorize};
use matrix_knock::event::{Event, Verify};
use matrix_knock::state::FromFn;
use spec_table::{
    Authorizer, BEFORES, Before, Case, JOIN_RULES, JoinRule, Levels, NEWS, New, Role, THIRD_PARTIES, ThirdParty,
    verdict,
};

const FOUNDER: &str = "@founder:home";
const SENDER: &str = "@sender:home";
const REMOTE_SENDER: &str = "@sender:away";
const TARGET: &str = "@target:home";
const AUTHORIZER: &str = "@authorizer:home";
const CREATE_ID: &str = "$create";

/// An event as a host could have it: nothing but borrowed parts.
#[derive(Debug, Clone, Copy)]
struct Part<'a> {
    event_type: &'a str,
    state_key: Option<&'a str>,
    sender: &'a str,
    content: &'a str,
    event_id: Option<&'a str>,
    prev: Option<&'a str>,
}

impl Event for Part<'_> {
    fn event_type(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.event_type)
    }
    fn state_key(&self) -> Option<&str> {
        self.state_key
    }
    fn sender(&self) -> &str {
        self.sender
    }
    fn content(&self) -> &str {
        self.content
    }
    fn room_id(&self) -> Option<&str> {
        None
    }
    fn event_id(&self) -> Option<&str> {
        self.event_id
    }
    fn sole_prev_event(&self) -> Option<&str> {
        self.prev
    }
}

fn state_event<'a>(event_type: &'a str, state_key: &'a str, sender: &'a str, content: &'a str) -> Part<'a> {
    Part { event_type, state_key: Some(state_key), sender, content, event_id: None, prev: None }
}

/// Signatures are not the subject here: a signature of ones is good.
struct Ones;

impl Verify for Ones {
    fn verify(&self, _key: &[u8; 32], _message: &[u8], signature: &[u8; 64]) -> bool {
        signature.iter().all(|byte| *byte == 1)
    }
}

/// The levels of a room and who its creators are, as far as two users and an authorizing one are concerned.
#[derive(Debug, Clone, Copy)]
struct Power {
    levels: Option<Levels>,
    sender: Role,
    target: Role,
    authorizer: Role,
}

fn powers() -> Vec<Power> {
    use Role::{AdditionalCreator, CreateSender, Ordinary};
    let none = Levels {
        sender: None,
        target: None,
        authorizer: None,
        users_default: None,
        invite: None,
        kick: None,
        ban: None,
    };
    let users = |sender, target| Levels { sender: Some(sender), target: Some(target), ..none };
    let plain = |levels| Power { levels, sender: Ordinary, target: Ordinary, authorizer: Ordinary };
    const HIGHEST: i64 = (1 << 53) - 1;
    vec![
        plain(None),
        Power { sender: CreateSender, ..plain(None) },
        Power { target: CreateSender, ..plain(None) },
        Power { authorizer: CreateSender, ..plain(None) },
        Power { sender: CreateSender, ..plain(Some(none)) },
        plain(Some(users(50, 0))),
        plain(Some(users(49, 0))),
        plain(Some(users(50, 50))),
        plain(Some(users(100, 50))),
        plain(Some(Levels { kick: Some(51), ..users(50, 49) })),
        plain(Some(Levels { ban: Some(51), ..users(50, 49) })),
        plain(Some(Levels { invite: Some(50), authorizer: Some(50), ..users(49, 0) })),
        plain(Some(Levels { invite: Some(50), authorizer: Some(49), ..users(50, 0) })),
        plain(Some(Levels { users_default: Some(50), ..none })),
        plain(Some(Levels { users_default: Some(-1), sender: Some(0), kick: Some(0), ban: Some(0), ..none })),
        plain(Some(Levels { users_default: Some(-1), invite: Some(-1), ..none })),
        plain(Some(Levels { ban: Some(HIGHEST), ..users(HIGHEST, HIGHEST - 1) })),
        Power {
            sender: AdditionalCreator,
            ..plain(Some(Levels { kick: Some(HIGHEST), ban: Some(HIGHEST), invite: Some(HIGHEST), ..users(0, 100) }))
        },
        Power { sender: CreateSender, target: AdditionalCreator, ..plain(Some(users(100, 0))) },
        Power { target: CreateSender, ..plain(Some(users(100, 0))) },
        Power { authorizer: AdditionalCreator, ..plain(Some(Levels { invite: Some(100), ..none })) },
    ]
}

/// The texts of a room's create event, join rules and power levels, and who sent the first.
struct Room {
    create_sender: &'static str,
    create: String,
    join_rules: Option<&'static str>,
    levels: Option<String>,
}

impl Room {
    fn new(version: u8, power: Power, sender: &'static str, join_rule: JoinRule, federate_false: bool) -> Self {
        let users = [(power.sender, sender), (power.target, TARGET), (power.authorizer, AUTHORIZER)];
        let create_sender =
            users.iter().find(|(role, _)| *role == Role::CreateSender).map_or(FOUNDER, |(_, user)| user);
        let additional: Vec<_> = users
            .iter()
            .filter(|(role, _)| *role == Role::AdditionalCreator)
            .map(|(_, user)| format!(r#""{user}""#))
            .collect();
        let mut create = format!(r#""additional_creators":[{}],"room_version":"{version}""#, additional.join(","));
        if version < 11 {
            create.push_str(&format!(r#","creator":"{create_sender}""#));
        }
        if federate_false {
            create.push_str(r#","m.federate":false"#);
        }
        Self {
            create_sender,
            create: format!("{{{create}}}"),
            join_rules: join_rules(join_rule),
            levels: power.levels.map(|levels| levels_text(levels, sender)),
        }
    }
}

fn join_rules(join_rule: JoinRule) -> Option<&'static str> {
    Some(match join_rule {
        JoinRule::Public => r#"{"join_rule":"public"}"#,
        JoinRule::Invite => r#"{"join_rule":"invite"}"#,
        JoinRule::Knock => r#"{"join_rule":"knock"}"#,
        JoinRule::Restricted => r#"{"allow":[],"join_rule":"restricted"}"#,
        JoinRule::KnockRestricted => r#"{"allow":[],"join_rule":"knock_restricted"}"#,
        JoinRule::Private => r#"{"join_rule":"private"}"#,
        JoinRule::Unknown => r#"{"join_rule":"example.unknown"}"#,
        JoinRule::MissingEvent => return None,
        JoinRule::MissingKey => r#"{"allow":[]}"#,
        JoinRule::WrongType => r#"{"join_rule":["knock"]}"#,
    })
}

fn levels_text(levels: Levels, sender: &str) -> String {
    let join = |entries: &[(&str, Option<i64>)]| {
        let entries = entries.iter().filter_map(|(name, level)| level.map(|level| format!(r#""{name}":{level}"#)));
        entries.collect::<Vec<_>>().join(",")
    };
    let users = join(&[(sender, levels.sender), (TARGET, levels.target), (AUTHORIZER, levels.authorizer)]);
    let named = join(&[
        ("users_default", levels.users_default),
        ("invite", levels.invite),
        ("kick", levels.kick),
        ("ban", levels.ban),
    ]);
    let comma = if named.is_empty() { "" } else { "," };
    format!(r#"{{"events":{{"m.room.name":50}},"users":{{{users}}}{comma}{named}}}"#)
}

fn membership(before: Before) -> Option<&'static str> {
    Some(match before {
        Before::NoEvent => return None,
        Before::Invite => r#"{"membership":"invite"}"#,
        Before::Join => r#"{"displayname":"J","membership":"join"}"#,
        Before::Leave => r#"{"membership":"leave"}"#,
        Before::Knock => r#"{"membership":"knock"}"#,
        Before::Ban => r#"{"membership":"ban"}"#,
        Before::Other => r#"{"membership":"example.other"}"#,
    })
}

fn content(new: New, authorizer: Authorizer, third_party: ThirdParty, target: &str) -> String {
    let membership = match new {
        New::Join => Some("join"),
        New::Invite => Some("invite"),
        New::Leave => Some("leave"),
        New::Ban => Some("ban"),
        New::Knock => Some("knock"),
        New::Unknown => Some("example.unknown"),
        New::Missing => None,
    };
    let mut parts: Vec<String> = membership.iter().map(|name| format!(r#""membership":"{name}""#)).collect();
    match authorizer {
        Authorizer::Absent => {}
        Authorizer::NotAString => parts.push(r#""join_authorised_via_users_server":1"#.to_owned()),
        Authorizer::NoMemberEvent | Authorizer::Is(_) => {
            parts.push(format!(r#""join_authorised_via_users_server":"{AUTHORIZER}""#));
        }
    }
    let mxid = if third_party == ThirdParty::OtherMxid { "@other:home" } else { target };
    let byte = if third_party == ThirdParty::BadSignature { 'A' } else { 'B' };
    let signature = match byte {
        'A' => "A".repeat(86),
        _ => format!("{}AQ", "AQEB".repeat(21)),
    };
    let mut signed = vec![format!(r#""signatures":{{"id.example":{{"ed25519:0":"{signature}"}}}}"#)];
    if third_party != ThirdParty::NoMxid {
        signed.push(format!(r#""mxid":"{mxid}""#));
    }
    if third_party != ThirdParty::NoToken {
        signed.push(r#""token":"token""#.to_owned());
    }
    match third_party {
        ThirdParty::Absent => {}
        ThirdParty::Null => parts.push(r#""third_party_invite":null"#.to_owned()),
        ThirdParty::NotAnObject => parts.push(r#""third_party_invite":"signed""#.to_owned()),
        ThirdParty::NoSigned => parts.push(r#""third_party_invite":{"display_name":"x"}"#.to_owned()),
        ThirdParty::SignedNotAnObject => parts.push(r#""third_party_invite":{"signed":[]}"#.to_owned()),
        _ => parts.push(format!(r#""third_party_invite":{{"signed":{{{}}}}}"#, signed.join(","))),
    }
    format!("{{{}}}", parts.join(","))
}

const KEY: &str = r#"{"public_key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#;

/// Decides one cell both ways and says where it differs from the table.
fn disagreement(case: &Case, room: &Room, compiled: &CompiledRoom, content: &str) -> Option<String> {
    let sender = sender_of(case.sender_remote);
    let target = if case.is_self { sender } else { TARGET };
    let authorizer = match case.authorizer {
        Authorizer::Is(before) => membership(before),
        _ => None,
    };
    let sender_before = membership(case.sender_before);
    let target_before = if case.is_self { sender_before } else { membership(case.target_before) };
    let invite_sender = if case.third_party == ThirdParty::OtherSender { FOUNDER } else { sender };
    let memberships = FromFn(|event_type: &str, state_key: &str| match (event_type, state_key) {
        ("m.room.member", AUTHORIZER) => {
            authorizer.map(|text| state_event("m.room.member", AUTHORIZER, AUTHORIZER, text))
        }
        ("m.room.member", TARGET) => target_before.map(|text| state_event("m.room.member", TARGET, TARGET, text)),
        ("m.room.member", user) if user == sender => {
            sender_before.map(|text| state_event("m.room.member", sender, sender, text))
        }
        ("m.room.third_party_invite", "token") if case.third_party != ThirdParty::NoInviteEvent => {
            Some(state_event("m.room.third_party_invite", "token", invite_sender, KEY))
        }
        _ => None,
    });
    let state = FromFn(|event_type: &str, state_key: &str| {
        use matrix_knock::state::RoomState as _;
        match (event_type, state_key) {
            ("m.room.create", "") => Some(Part {
                event_id: Some(CREATE_ID),
                ..state_event("m.room.create", "", room.create_sender, &room.create)
            }),
            ("m.room.join_rules", "") => {
                room.join_rules.map(|text| state_event("m.room.join_rules", "", FOUNDER, text))
            }
            ("m.room.power_levels", "") => {
                room.levels.as_deref().map(|text| state_event("m.room.power_levels", "", FOUNDER, text))
            }
            // A whole state has looked everything up.
            _ => memberships.event(event_type.into(), state_key).expect("a whole state"),
        }
    });
    let event = Part {
        event_type: "m.room.member",
        state_key: case.has_state_key.then_some(target),
        sender,
        content,
        event_id: None,
        prev: Some(if case.only_prev_is_create { CREATE_ID } else { "$other" }),
    };
    let expected = verdict(case);
    let plain = authorize(compiled.version(), &event, &state, &Ones);
    let fast = compiled.authorize(&event, &memberships, &Ones);
    let number =
        |error: &AuthorizeError| error.rejection().map(|rejection| rejection.number().to_owned()).unwrap_or_default();
    let plain_error = plain.as_ref().err();
    let fast_error = fast.as_ref().err();
    let agrees = plain_error == fast_error && plain_error.map(number) == expected.clone().err();
    (!agrees).then(|| format!("{case:?}\n  table {expected:?}, plain {plain_error:?}, compiled {fast_error:?}"))
}

const fn sender_of(remote: bool) -> &'static str {
    if remote { REMOTE_SENDER } else { SENDER }
}

fn compile(version: RoomVersion, room: &Room) -> CompiledRoom {
    let state = FromFn(|event_type: &str, _: &str| match event_type {
        "m.room.create" => {
            let create = state_event("m.room.create", "", room.create_sender, &room.create);
            Some(Part { event_id: Some(CREATE_ID), ..create })
        }
        "m.room.join_rules" => room.join_rules.map(|text| state_event("m.room.join_rules", "", FOUNDER, text)),
        "m.room.power_levels" => {
            room.levels.as_deref().map(|text| state_event("m.room.power_levels", "", FOUNDER, text))
        }
        _ => None,
    });
    CompiledRoom::compile(version, &state).expect("the room has a create event")
}

/// Who does it to whom, and how they stand to the room before.
fn pairs() -> impl Iterator<Item = (bool, Before, Before)> {
    let others = BEFORES.into_iter().flat_map(|sender| BEFORES.into_iter().map(move |target| (false, sender, target)));
    BEFORES.into_iter().map(|before| (true, before, before)).chain(others)
}

/// What a test varies besides version, join rule, power, memberships and self/other.
struct Product<'a> {
    news: &'a [New],
    authorizers: &'a [Authorizer],
    third_parties: &'a [ThirdParty],
    federation: &'a [(bool, bool)],
    only_prev: &'a [bool],
    state_key: &'a [bool],
}

impl Product<'_> {
    /// Decides every cell of one room version. How many there are, and where the first ones differ.
    fn run(&self, version: RoomVersion) -> (u64, Vec<String>) {
        let number = version.as_str().parse().expect("versions are numbers");
        let mut cells = 0_u64;
        let mut found = Vec::new();
        for join_rule in JOIN_RULES {
            for power in powers() {
                for &(federate_false, sender_remote) in self.federation {
                    if sender_remote && power.sender == Role::CreateSender {
                        continue; // The founder's server is nowhere remote.
                    }
                    let sender = sender_of(sender_remote);
                    let room = Room::new(number, power, sender, join_rule, federate_false);
                    let compiled = compile(version, &room);
                    for &new in self.news {
                        for &authorizer in self.authorizers {
                            for &third_party in self.third_parties {
                                let contents = [TARGET, sender].map(|user| content(new, authorizer, third_party, user));
                                for (is_self, sender_before, target_before) in pairs() {
                                    for &only_prev_is_create in self.only_prev {
                                        for &has_state_key in self.state_key {
                                            if is_self && !has_state_key {
                                                continue;
                                            }
                                            let case = Case {
                                                version: number,
                                                new,
                                                has_state_key,
                                                is_self,
                                                sender_before,
                                                target_before,
                                                join_rule,
                                                levels: power.levels,
                                                sender_role: power.sender,
                                                target_role: power.target,
                                                authorizer_role: power.authorizer,
                                                authorizer,
                                                third_party,
                                                federate_false,
                                                sender_remote,
                                                only_prev_is_create,
                                            };
                                            let [to_target, to_self] = &contents;
                                            let content = if is_self { to_self } else { to_target };
                                            cells += 1;
                                            found.extend(disagreement(&case, &room, &compiled, content));
                                            assert!(found.len() < 10, "{}", found.join("\n"));
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        (cells, found)
    }

    fn check(&self, name: &str, versions: &[RoomVersion]) {
        let mut cells = 0;
        for &version in versions {
            let (count, found) = self.run(version);
            assert!(found.is_empty(), "{}", found.join("\n"));
            cells += count;
        }
        println!("{name}: {cells} cells, all as the specification says");
    }
}

const FEDERATION: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

fn memberships(versions: &[RoomVersion]) {
    let product = Product {
        news: &NEWS,
        authorizers: &spec_table::authorizers(),
        third_parties: &[ThirdParty::Absent],
        federation: &FEDERATION,
        only_prev: &[false],
        state_key: &[true],
    };
    product.check("memberships", versions);
}

#[test]
fn memberships_of_versions_1_to_3() {
    memberships(&RoomVersion::ALL[..3]);
}

#[test]
fn memberships_of_versions_4_to_6() {
    memberships(&RoomVersion::ALL[3..6]);
}

#[test]
fn memberships_of_versions_7_to_9() {
    memberships(&RoomVersion::ALL[6..9]);
}

#[test]
fn memberships_of_versions_10_to_12() {
    memberships(&RoomVersion::ALL[9..]);
}

#[test]
fn third_party_invites() {
    let product = Product {
        news: &[New::Invite, New::Join, New::Knock],
        authorizers: &[Authorizer::Absent],
        third_parties: &THIRD_PARTIES,
        federation: &FEDERATION,
        only_prev: &[false],
        state_key: &[true],
    };
    product.check("third-party invites", &RoomVersion::ALL);
}

#[test]
fn first_joins_and_missing_state_keys() {
    let product = Product {
        news: &NEWS,
        authorizers: &[Authorizer::Absent],
        third_parties: &[ThirdParty::Absent],
        federation: &FEDERATION,
        only_prev: &[true, false],
        state_key: &[true, false],
    };
    product.check("first joins and missing state keys", &RoomVersion::ALL);
}

#[test]
fn the_table_itself() {
    assert_eq!(spec_table::self_check(), Vec::<String>::new());
}
