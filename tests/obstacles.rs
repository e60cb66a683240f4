//! All obstacles to a knock and to a join, over the whole product of what they depend on, beside
//! the decision and beside a list of what the specification asks for, each by itself.
//!
//! <https://spec.matrix.org/v1.19/rooms/v12/#authorisation-rules>
#![expect(clippy::expect_used, reason = "a test that cannot be set up fails")]

use matrix_knock::RoomVersion;
use matrix_knock::auth::{
    AclDenial, AuthorizeError, Obstacle, ObstacleCause, Rule, authorize_proposal, obstacles_to_join,
    obstacles_to_knock, reads_of_obstacles, server_is_allowed,
};
use matrix_knock::event::{EventType, Malformed, Membership, OwnedPdu, Proposal};
use matrix_knock::id::UserId;
use matrix_knock::room_version::UnstableVersionError;
use matrix_knock::state::{NotLookedUp, RoomState as _, Snapshot, StateMap};

const FOUNDER: &str = "@founder:home";

fn event(event_type: &str, state_key: &str, content: &str) -> OwnedPdu {
    let text =
        format!(r#"{{"type":"{event_type}","state_key":"{state_key}","sender":"{FOUNDER}","content":{content}}}"#);
    OwnedPdu::parse_stored(text).expect("an event")
}

/// What the room says, each `None` without such an event.
#[derive(Debug, Clone, Copy)]
struct Room {
    version: RoomVersion,
    user: &'static str,
    create: Option<&'static str>,
    join_rules: Option<&'static str>,
    membership: Option<&'static str>,
    levels: Option<&'static str>,
    acl: Option<&'static str>,
}

impl Room {
    fn state(&self) -> StateMap<OwnedPdu> {
        let entries = [
            ("m.room.create", "", self.create),
            ("m.room.join_rules", "", self.join_rules),
            ("m.room.member", self.user, self.membership),
            ("m.room.power_levels", "", self.levels),
            ("m.room.server_acl", "", self.acl),
        ];
        entries.into_iter().filter_map(|(name, key, content)| Some(event(name, key, content?))).collect()
    }

    fn user(&self) -> UserId<'static> {
        UserId::parse(self.user).expect("a user ID")
    }

    fn number(&self) -> usize {
        RoomVersion::ALL.iter().position(|version| *version == self.version).expect("a version").saturating_add(1)
    }

    /// The denials, by what [`ACLS`] says of each server.
    fn denials(&self) -> Vec<AclDenial> {
        let entry = |entry: &str| AclDenial::DenyEntry(entry.into());
        match (self.acl, self.user) {
            (None | Some(OPEN), _) | (Some(NO_AWAY), "@u:home" | "@u:1.2.3.4") => vec![],
            (Some(NO_AWAY), _) => vec![entry("aw?y"), entry("*y")],
            (Some(NO_ADDRESS), "@u:1.2.3.4") => vec![AclDenial::IpLiteral],
            (Some(NO_ADDRESS), _) => vec![],
            (Some(HOME_ONLY), "@u:home") => vec![],
            (Some(HOME_ONLY), "@u:1.2.3.4") => vec![AclDenial::IpLiteral, AclDenial::NoAllowEntry],
            _ => vec![AclDenial::NoAllowEntry],
        }
    }

    /// The rule about the create event that refuses, if one does.
    fn by_create(&self) -> Option<Refused> {
        match self.create {
            None => Some((Rule::NoCreateEvent, None, EventType::Create)),
            _ if self.user == "@u:home" => None,
            Some(LOCAL) => Some((Rule::NotFederated, None, EventType::Create)),
            Some(TWICE) => Some((Rule::NotFederated, Some(Malformed::Create), EventType::Create)),
            Some(_) => None,
        }
    }

    fn join_rules_are_malformed(&self) -> Option<Malformed> {
        matches!(self.join_rules, Some(WRONG_KIND | NO_OBJECT)).then_some(Malformed::JoinRules)
    }

    fn knock(&self) -> Vec<Refused> {
        let knocking = self.number() >= 7;
        let version = (!knocking).then_some((Rule::UnknownMembership, None, EventType::Create));
        let lets_knock = match self.join_rules {
            Some(KNOCK) => true,
            Some(KNOCK_RESTRICTED) => self.number() >= 10,
            _ => false,
        };
        let join_rule =
            (!lets_knock).then_some((Rule::KnockJoinRule, self.join_rules_are_malformed(), EventType::JoinRules));
        let membership = match self.membership {
            Some(INVITE | JOIN | BAN) => Some((Rule::KnockMembership, None, EventType::Member)),
            Some(NO_OBJECT) => Some((Rule::KnockMembership, Some(Malformed::Member), EventType::Member)),
            _ => None,
        };
        [self.by_create(), version, join_rule, membership].into_iter().flatten().collect()
    }

    fn join(&self) -> Vec<Refused> {
        let membership = match self.membership {
            Some(BAN) => Some((Rule::JoinWhileBanned, None, EventType::Member)),
            Some(NO_OBJECT) => Some((Rule::JoinWhileBanned, Some(Malformed::Member), EventType::Member)),
            _ => None,
        };
        let is_inside = matches!(self.membership, Some(INVITE | JOIN));
        let since = match self.join_rules {
            None | Some(PUBLIC | INVITE_ONLY | NO_RULE) => 1,
            Some(KNOCK) => 7,
            Some(RESTRICTED) => 8,
            Some(KNOCK_RESTRICTED) => 10,
            Some(_) => usize::MAX,
        };
        let rule = match self.join_rules {
            _ if since > self.number() => Some(Rule::JoinRule),
            Some(PUBLIC) => None,
            _ if is_inside => None,
            Some(RESTRICTED | KNOCK_RESTRICTED) => Some(Rule::JoinNotAuthorized),
            _ => Some(Rule::JoinRule),
        };
        let join_rule = rule.map(|rule| (rule, self.join_rules_are_malformed(), EventType::JoinRules));
        [self.by_create(), membership, join_rule].into_iter().flatten().collect()
    }
}

/// A rule, what it could not read, and the event that says so.
type Refused = (Rule, Option<Malformed>, EventType<'static>);

const USERS: [&str; 3] = ["@u:home", "@u:away", "@u:1.2.3.4"];

const LOCAL: &str = r#"{"creator":"@founder:home","m.federate":false}"#;
const TWICE: &str = r#"{"m.federate":true,"m.federate":true}"#;
const CREATES: [Option<&str>; 5] =
    [None, Some("{}"), Some(r#"{"creator":"@founder:home","m.federate":true}"#), Some(LOCAL), Some(TWICE)];

const PUBLIC: &str = r#"{"join_rule":"public"}"#;
const INVITE_ONLY: &str = r#"{"join_rule":"invite"}"#;
const KNOCK: &str = r#"{"join_rule":"knock"}"#;
const RESTRICTED: &str = r#"{"allow":[],"join_rule":"restricted"}"#;
const KNOCK_RESTRICTED: &str = r#"{"allow":[],"join_rule":"knock_restricted"}"#;
const NO_RULE: &str = "{}";
const WRONG_KIND: &str = r#"{"join_rule":["knock"]}"#;
const NO_OBJECT: &str = "[]";
const JOIN_RULES: [Option<&str>; 10] = [
    None,
    Some(PUBLIC),
    Some(INVITE_ONLY),
    Some(KNOCK),
    Some(RESTRICTED),
    Some(KNOCK_RESTRICTED),
    Some(r#"{"join_rule":"private"}"#),
    Some(NO_RULE),
    Some(WRONG_KIND),
    Some(NO_OBJECT),
];

const INVITE: &str = r#"{"membership":"invite"}"#;
const JOIN: &str = r#"{"membership":"join"}"#;
const BAN: &str = r#"{"membership":"ban"}"#;
const MEMBERSHIPS: [Option<&str>; 8] = [
    None,
    Some(INVITE),
    Some(JOIN),
    Some(BAN),
    Some(r#"{"membership":"leave"}"#),
    Some(r#"{"membership":"knock"}"#),
    Some(r#"{"membership":"other"}"#),
    Some(NO_OBJECT),
];

/// Power lets nobody in by themselves.
const LEVELS: [Option<&str>; 3] =
    [None, Some(r#"{"users":{"@u:home":100,"@u:away":100}}"#), Some(r#"{"users":[],"users":{}}"#)];

const OPEN: &str = r#"{"allow":["*"]}"#;
const NO_AWAY: &str = r#"{"allow":["*"],"deny":["aw?y","evil","*y"]}"#;
const NO_ADDRESS: &str = r#"{"allow":["*"],"allow_ip_literals":false}"#;
const HOME_ONLY: &str = r#"{"allow":["HOME"],"allow_ip_literals":false}"#;
const ACLS: [Option<&str>; 6] =
    [None, Some(OPEN), Some(NO_AWAY), Some(NO_ADDRESS), Some(HOME_ONLY), Some(r#"{"allow":"*"}"#)];

fn rooms() -> impl Iterator<Item = Room> {
    let each =
        |rooms: Vec<Room>, with: &dyn Fn(Room) -> Vec<Room>| rooms.into_iter().flat_map(with).collect::<Vec<_>>();
    RoomVersion::ALL.into_iter().flat_map(move |version| {
        let user = USERS[0];
        let room = Room { version, user, create: None, join_rules: None, membership: None, levels: None, acl: None };
        let rooms = USERS.iter().map(|user| Room { user, ..room }).collect();
        let rooms = each(rooms, &|room| CREATES.iter().map(|create| Room { create: *create, ..room }).collect());
        let rooms = each(rooms, &|room| JOIN_RULES.iter().map(|rules| Room { join_rules: *rules, ..room }).collect());
        let rooms = each(rooms, &|room| MEMBERSHIPS.iter().map(|is| Room { membership: *is, ..room }).collect());
        let rooms = each(rooms, &|room| LEVELS.iter().map(|levels| Room { levels: *levels, ..room }).collect());
        each(rooms, &|room| ACLS.iter().map(|acl| Room { acl: *acl, ..room }).collect())
    })
}

/// What is wrong with these obstacles, if anything is.
fn disagreement(room: &Room, membership: Membership, found: &[Obstacle<'_>], rules: &[Refused]) -> Option<String> {
    let state = room.state();
    let denials: Vec<_> = room.denials().into_iter().map(|denial| (denial, EventType::ServerAcl, "")).collect();
    let key = |event_type| if event_type == EventType::Member { room.user } else { "" };
    let expected: Vec<_> = rules.iter().map(|(rule, malformed, name)| (*rule, *malformed, *name, key(*name))).collect();
    let (mut of_acl, mut of_rules) = (Vec::new(), Vec::new());
    for obstacle in found {
        let (event_type, state_key) = (obstacle.event_type(), obstacle.state_key());
        match obstacle.cause() {
            ObstacleCause::ServerAcl(denial) => of_acl.push((denial.clone(), event_type, state_key)),
            ObstacleCause::Rule(rejection) => {
                assert_eq!((obstacle.rejection(), rejection.version()), (Some(*rejection), room.version));
                of_rules.push((rejection.rule(), rejection.malformed(), event_type, state_key));
            }
        }
    }
    // Denials come first.
    let in_order = found.iter().skip_while(|obstacle| obstacle.rejection().is_none());
    let in_order = in_order.filter(|obstacle| obstacle.rejection().is_none()).count() == 0;

    let proposal = Proposal::of_oneself(room.user, membership);
    let decided = authorize_proposal(room.version, &proposal, &state);
    let allowed = server_is_allowed(room.user().server_name(), &state) == Ok(true) && decided.is_ok();
    let first = found.iter().find_map(Obstacle::rejection);
    let refused = decided.err().map(|error| error.rejection().expect("a refusal"));
    let agrees =
        (of_acl == denials && of_rules == expected && in_order) && (found.is_empty() == allowed && first == refused);
    (!agrees).then(|| format!("{membership} {room:?}\nfound {found:?}\nexpected {denials:?} {expected:?}, {refused:?}"))
}

#[test]
fn all_of_them_and_none_else() {
    let (mut cells, mut free, mut most) = (0_u32, 0_u32, 0);
    let mut wrong = Vec::new();
    for room in rooms() {
        let state = room.state();
        let knock = obstacles_to_knock(room.version, room.user(), &state).expect("a whole state");
        let join = obstacles_to_join(room.version, room.user(), &state).expect("a whole state");
        wrong.extend(disagreement(&room, Membership::Knock, &knock, &room.knock()));
        wrong.extend(disagreement(&room, Membership::Join, &join, &room.join()));
        cells = cells.saturating_add(1);
        free = free.saturating_add(u32::from(knock.is_empty()));
        most = knock.len().max(most);
    }
    assert_eq!(wrong.first(), None, "{} of {cells}", wrong.len());
    // Four rules and two denials at most here; some rooms let the user knock.
    assert_eq!((cells, free > 1_000, most), (12 * 3 * 5 * 10 * 8 * 3 * 6, true, 6));
}

#[test]
fn the_entries_that_are_read() {
    let mut rooms_with_all = 0;
    for room in rooms().filter(|room| room.acl == Some(NO_AWAY) && room.levels.is_none()) {
        let state = room.state();
        let reads = reads_of_obstacles(room.version, room.user());
        assert_eq!(reads.len(), 5);
        let look_up = |left_out: Option<EventType<'_>>| {
            let reads = reads.iter().filter(|(event_type, _)| Some(*event_type) != left_out).collect();
            Snapshot::fill(&reads, |event_type, key| state.event(event_type, key).map(|event| event.cloned())).unwrap()
        };
        let snapshot = look_up(None);
        let knock = obstacles_to_knock(room.version, room.user(), &state);
        let join = obstacles_to_join(room.version, room.user(), &state);
        assert_eq!(obstacles_to_knock(room.version, room.user(), &snapshot), knock, "{room:?}");
        assert_eq!(obstacles_to_join(room.version, room.user(), &snapshot), join, "{room:?}");
        let needed = [(EventType::ServerAcl, ""), (EventType::Create, ""), (EventType::JoinRules, "")];
        for (event_type, key) in needed.into_iter().chain([(EventType::Member, room.user)]) {
            let unknown = Err(NotLookedUp::new(event_type, key));
            let snapshot = look_up(Some(event_type));
            assert_eq!(obstacles_to_knock(room.version, room.user(), &snapshot), unknown, "{room:?}");
            assert_eq!(obstacles_to_join(room.version, room.user(), &snapshot), unknown, "{room:?}");
        }
        rooms_with_all += 1;
    }
    assert_eq!(rooms_with_all, 12 * 3 * 5 * 10 * 8);
}

#[test]
fn in_words() -> Result<(), UnstableVersionError> {
    let room = Room {
        version: RoomVersion::V6,
        user: "@u:away",
        create: Some(LOCAL),
        join_rules: Some(INVITE_ONLY),
        membership: Some(BAN),
        levels: None,
        acl: Some(NO_AWAY),
    };
    let words = |version| -> Vec<String> {
        let found = obstacles_to_knock(version, room.user(), &room.state()).expect("a whole state");
        found.iter().map(Obstacle::to_string).collect()
    };
    let acl = ["the entry `aw?y` of `deny` fits the server", "the entry `*y` of `deny` fits the server"];
    let v6 = [
        "rule 3 of room version 6: the room is not federated and the sender is of another server",
        "rule 4.6 of room version 6: the membership is none of this room version",
        // A version without knocking has no numbers for these.
        "the join rule does not let anybody knock",
        "the user is banned, invited or joined",
    ];
    assert_eq!(words(RoomVersion::V6), [&acl[..], &v6].concat());
    // A version that goes by another, and has knocking as well.
    let unstable = RoomVersion::unstable_with("org.example.6", RoomVersion::V6, |rules| rules.knocking = true)?;
    let unstable_v6 = [v6[0].replace("version 6", "version org.example.6"), v6[2].to_owned(), v6[3].to_owned()];
    assert_eq!(words(unstable)[2..], unstable_v6);
    let v12 = [
        "rule 4 of room version 12: the room is not federated and the sender is of another server",
        "rule 5.7.1 of room version 12: the join rule does not let anybody knock",
        "rule 5.7.4 of room version 12: the user is banned, invited or joined",
    ];
    assert_eq!(words(RoomVersion::V12), [&acl[..], &v12].concat());
    let proposal = Proposal::of_oneself(room.user, Membership::Knock);
    let state = room.state();
    let first = authorize_proposal(RoomVersion::V12, &proposal, &state).map_err(|error| error.to_string());
    assert_eq!(first.err().as_deref(), Some(v12[0]));
    let none = authorize_proposal(RoomVersion::V12, &proposal, &StateMap::<OwnedPdu>::new()).err();
    assert!(matches!(none, Some(AuthorizeError::Rejected(rejection)) if rejection.rule() == Rule::NoCreateEvent));
    Ok(())
}
