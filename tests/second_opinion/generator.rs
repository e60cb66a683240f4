//! Rooms and events, made from a tape of numbers. A zero stands for the plainest choice, so that proptest, which shrinks
//! numbers, shrinks rooms.

use matrix_knock::RoomVersion;
use proptest::collection::vec;
use proptest::prelude::{Strategy, any};

use super::decisions::LEVELS;
use super::room::{
    ALICE, BOB, CAROL, Case, Encoding, Json, NOT_A_USER, USERS, object, public_key, raw, small_order_key, text,
};

pub(crate) struct Tape(std::vec::IntoIter<u16>);

impl Tape {
    /// One of the numbers below `weights.len()`, as often as its weight says. The first one of a tape at its end.
    pub(crate) fn pick(&mut self, weights: &[u32]) -> usize {
        let total: u32 = weights.iter().sum();
        let mut point = u32::from(self.0.next().unwrap_or_default()).saturating_mul(total) >> 16;
        for (index, weight) in weights.iter().enumerate() {
            match point.checked_sub(*weight) {
                Some(rest) => point = rest,
                None => return index,
            }
        }
        0
    }

    pub(crate) fn one_of<T: Clone>(&mut self, values: &[T]) -> T {
        let weights = vec![1; values.len()];
        values[self.pick(&weights)].clone()
    }

    /// In so many of a hundred cases.
    pub(crate) fn percent(&mut self, share: u32) -> bool {
        self.pick(&[100_u32.saturating_sub(share), share]) == 1
    }
}

pub(crate) fn tapes() -> impl Strategy<Value = Vec<u16>> {
    vec(any::<u16>(), 110)
}

pub(crate) fn case(tape: &mut Tape) -> Case {
    let version = tape.one_of(&RoomVersion::ALL);
    let membership = ["invite", "join", "leave", "ban", "knock", "gone"][tape.pick(&[25, 35, 20, 12, 18, 1])];
    let sender = USERS[tape.pick(&[45, 20, 20, 15])];
    let is_of_oneself = tape.percent(match membership {
        "join" | "knock" => 92,
        "leave" => 35,
        _ => 3,
    });
    let target = match () {
        () if is_of_oneself => sender,
        () if tape.percent(4) => NOT_A_USER,
        () => tape.one_of(&USERS),
    };
    let authorizer = tape.one_of(&USERS);
    let mut case = Case {
        version,
        create: (!tape.percent(1)).then(|| ([ALICE, BOB][tape.pick(&[9, 1])], create(tape))),
        join_rules: join_rules(tape, membership),
        power_levels: (!tape.percent(35)).then(|| power_levels(tape)),
        members: USERS
            .iter()
            .map(|&user| (user, user == sender && !is_of_oneself || user == authorizer))
            .chain([(NOT_A_USER, false)])
            .filter_map(|(user, joined)| Some((user.to_owned(), member(tape, joined)?)))
            .collect(),
        invites: Default::default(),
        sender,
        target: (!tape.percent(1)).then(|| target.to_owned()),
        content: object([("membership", text(membership))]),
        prev_events: match tape.pick(&[80, 20, 2, 2, 2]) {
            0 => vec!["$other"],
            1 => vec!["$create"],
            2 => vec!["$create", "$other"],
            3 => vec!["$create", "$create"],
            _ => vec![],
        },
        escaped: tape.percent(10),
    };
    let with_authorizer = tape.percent(if membership == "join" { 55 } else { 8 });
    if with_authorizer {
        let authorizer = match tape.pick(&[80, 4, 4, 4]) {
            0 => text(authorizer),
            1 => text(NOT_A_USER),
            2 => raw("null"),
            _ => raw("[1]"),
        };
        case.content.push("join_authorised_via_users_server", authorizer);
    }
    let with_third_party = tape.percent(if membership == "invite" { 50 } else { 3 });
    if with_third_party {
        third_party(tape, &mut case, target);
    }
    match tape.pick(&[300, 1, 1, 1, 1, 1, 1]) {
        0 => {}
        1 => case.content.remove("membership"),
        2 => case.content.set("membership", raw("null")),
        3 => case.content.set("membership", raw("1")),
        4 => case.content.push("membership", text("join")),
        5 => case.content = Json::List(vec![text(membership)]),
        _ => case.content = text(membership),
    }
    case
}

fn create(tape: &mut Tape) -> Json {
    match tape.pick(&[100, 1, 1, 1, 1]) {
        0 => {}
        1 => return Json::List(vec![raw("false")]),
        2 => return Json::List(vec![text(ALICE)]),
        3 => return raw("null"),
        _ => return text(ALICE),
    }
    let mut content = object([]);
    match tape.pick(&[80, 6, 4, 2, 2, 2, 1]) {
        0 => content.push("creator", text(ALICE)),
        1 => content.push("creator", text(BOB)),
        2 => {}
        3 => content.push("creator", raw("null")),
        4 => content.push("creator", raw("{}")),
        5 => content.push("creator", text(NOT_A_USER)),
        _ => {
            content.push("creator", text(ALICE));
            content.push("creator", text(ALICE));
        }
    }
    match tape.pick(&[80, 5, 6, 2, 2, 2, 1]) {
        0 => {}
        1 => content.push("m.federate", raw("true")),
        2 => content.push("m.federate", raw("false")),
        3 => content.push("m.federate", raw("null")),
        4 => content.push("m.federate", text("false")),
        5 => content.push("m.federate", raw("[false]")),
        _ => {
            content.push("m.federate", raw("true"));
            content.push("m.federate", raw("false"));
        }
    }
    match tape.pick(&[60, 20, 8, 4, 4, 2, 2, 2, 1]) {
        0 => {}
        1 => content.push("additional_creators", Json::List(vec![text(BOB)])),
        2 => content.push("additional_creators", Json::List(vec![text(CAROL), text(BOB), text(CAROL)])),
        3 => content.push("additional_creators", Json::List(vec![raw("1"), text(BOB)])),
        4 => content.push("additional_creators", Json::List(vec![text(NOT_A_USER), text(BOB)])),
        5 => content.push("additional_creators", text(BOB)),
        6 => content.push("additional_creators", object([(BOB, raw("1"))])),
        7 => content.push("additional_creators", raw("null")),
        _ => {
            content.push("additional_creators", Json::List(vec![text(BOB)]));
            content.push("additional_creators", Json::List(vec![text(BOB)]));
        }
    }
    content
}

fn join_rules(tape: &mut Tape, membership: &str) -> Option<Json> {
    let (knock, public) = if membership == "knock" { (90, 10) } else { (15, 40) };
    let join_rule = match tape.pick(&[public, 20, knock, 30, knock, 3, 3, 4, 4, 1, 1, 1, 1, 1]) {
        0 => text("public"),
        1 => text("invite"),
        2 => text("knock"),
        3 => text("restricted"),
        4 => text("knock_restricted"),
        5 => text("private"),
        6 => text("Public"),
        7 => return None,
        8 => return Some(object([("allow", raw("[]"))])),
        9 => raw("null"),
        10 => Json::List(vec![text("public")]),
        11 => return Some(Json::List(vec![text("public")])),
        12 => return Some(text("public")),
        _ => return Some(object([("join_rule", text("public")), ("join_rule", text("public"))])),
    };
    Some(object([("join_rule", join_rule)]))
}

fn member(tape: &mut Tape, joined: bool) -> Option<Json> {
    let membership = |name| Some(object([("membership", text(name))]));
    let join = if joined { 900 } else { 15 };
    match tape.pick(&[30, join, 25, 15, 20, 12, 1, 1, 1, 1, 1, 1, 1]) {
        0 => None,
        1 => membership("join"),
        2 => membership("invite"),
        3 => membership("leave"),
        4 => membership("knock"),
        5 => membership("ban"),
        6 => membership("gone"),
        7 => Some(object([])),
        8 => Some(object([("membership", raw("null"))])),
        9 => Some(object([("membership", raw("5"))])),
        10 => Some(object([("membership", text("join")), ("membership", text("join"))])),
        11 => Some(Json::List(vec![text("join")])),
        _ => Some(text("join")),
    }
}

fn level(tape: &mut Tape) -> Json {
    let plain = tape.percent(88);
    let (level, _) = if plain { tape.one_of(&LEVELS[..6]) } else { tape.one_of(&LEVELS) };
    raw(level)
}

fn power_levels(tape: &mut Tape) -> Json {
    match tape.pick(&[100, 1, 1]) {
        0 => {}
        1 => return Json::List(vec![raw("100")]),
        _ => return raw("null"),
    }
    let mut users = object([]);
    for (user, share) in [(ALICE, 70), (BOB, 40), (CAROL, 40), (USERS[3], 20), (NOT_A_USER, 2), ("", 1), (ALICE, 2)] {
        if tape.percent(share) {
            let level = if user == ALICE && tape.percent(70) { raw("100") } else { level(tape) };
            users.push(user, level);
        }
    }
    let mut content = match tape.pick(&[80, 10, 2, 2, 1]) {
        0 => object([("users", users)]),
        1 => object([]),
        2 => object([("users", raw("null"))]),
        3 => object([("users", Json::List(vec![text(ALICE), raw("100")]))]),
        _ => object([("users", users), ("users", object([]))]),
    };
    for (name, share) in [("users_default", 30), ("invite", 30), ("kick", 30), ("ban", 30), ("invite", 1), ("ban", 1)] {
        if tape.percent(share) {
            content.push(name, level(tape));
        }
    }
    if tape.percent(1) {
        content.push("events", raw(r#"{"m.room.name": 1e309}"#));
    }
    content
}

/// A `third_party_invite` in the event, and what it redeems in the state.
fn third_party(tape: &mut Tape, case: &mut Case, target: &str) {
    let other = tape.one_of(&USERS);
    if !tape.percent(5) {
        let sender = if tape.percent(5) { other } else { case.sender };
        case.invites.insert("token".to_owned(), (sender, issued(tape)));
    }
    let mut signed = object([]);
    match tape.pick(&[100, 4, 1, 1, 1]) {
        0 => signed.push("mxid", text(target)),
        1 => signed.push("mxid", text(other)),
        2 => {}
        3 => signed.push("mxid", raw("null")),
        _ => {
            signed.push("mxid", text(target));
            signed.push("mxid", text(target));
        }
    }
    match tape.pick(&[100, 3, 1, 1, 1]) {
        0 => signed.push("token", text("token")),
        1 => signed.push("token", text("another")),
        2 => {}
        3 => signed.push("token", raw("7")),
        _ => {
            signed.push("token", text("token"));
            signed.push("token", text("token"));
        }
    }
    match tape.pick(&[80, 5, 2, 2, 2, 2, 1]) {
        0 => {}
        1 => signed.push("note", Json::List(vec![raw("1"), text("é\n\"\u{1F600}"), raw("null")])),
        2 => signed.push("note", raw("1.5")),
        3 => signed.push("note", raw("9007199254740992")),
        4 => signed.push("note", Json::List(vec![raw("-0")])),
        5 => signed.push("unsigned", raw("1.5")),
        _ => signed.push("note", raw("1e309")),
    }
    let signatures = match tape.pick(&[100, 1, 1, 1]) {
        0 => signatures(tape),
        1 => raw("null"),
        2 => Json::List(vec![Json::Signature(1, Encoding::Unpadded)]),
        _ => object([]),
    };
    if !tape.percent(1) {
        signed.push("signatures", signatures);
    }
    let invite = match tape.pick(&[100, 3, 1, 1, 1, 1, 1, 1]) {
        0 => object([("display_name", text("k")), ("signed", signed)]),
        1 => raw("null"),
        2 => object([]),
        3 => text("signed"),
        4 => Json::List(vec![signed]),
        5 => object([("signed", signed.clone()), ("signed", signed)]),
        6 => object([("signed", Json::List(vec![signed]))]),
        _ => raw("false"),
    };
    case.content.push("third_party_invite", invite);
}

/// What the inviting server made of it: the key 1 counts, the key 2 does not.
fn issued(tape: &mut Tape) -> Json {
    let mut content = object([("display_name", text("k"))]);
    match tape.pick(&[60, 20, 2, 2, 2, 2, 2, 1]) {
        0 => content.push("public_key", public_key(1)),
        1 => {}
        2 => content.push("public_key", public_key(3)),
        3 => content.push("public_key", raw("null")),
        4 => content.push("public_key", raw("1")),
        5 => content.push("public_key", text("no base64")),
        6 => content.push("public_key", small_order_key()),
        _ => {
            content.push("public_key", public_key(1));
            content.push("public_key", public_key(1));
        }
    }
    let key = |key| object([("public_key", key)]);
    match tape.pick(&[40, 40, 10, 2, 2, 2, 2, 1]) {
        0 => {}
        1 => content.push("public_keys", Json::List(vec![key(public_key(1)), key(public_key(4))])),
        2 => content.push("public_keys", Json::List(vec![])),
        3 => content.push("public_keys", raw("null")),
        4 => content.push("public_keys", Json::List(vec![raw("1"), object([]), key(public_key(1))])),
        5 => content.push("public_keys", Json::List(vec![key(raw("null")), key(small_order_key())])),
        6 => content.push("public_keys", Json::List(vec![Json::List(vec![public_key(1)])])),
        _ => return Json::List(vec![public_key(1), raw("[]")]),
    }
    content
}

fn signatures(tape: &mut Tape) -> Json {
    let mut servers = object([]);
    for (server, share) in [("id.example", 97), ("aa.example", 20), ("zz.example", 10)] {
        if !tape.percent(share) {
            continue;
        }
        let key_id = ["ed25519:0", "ed25519:", "ed25519", "x25519:0", "ed25519:a:b"][tape.pick(&[40, 2, 1, 1, 2])];
        let signature = match tape.pick(&[70, 4, 4, 4, 4, 2, 2, 2, 2, 2]) {
            0 => Json::Signature(1, Encoding::Unpadded),
            1 => Json::Signature(1, Encoding::Padded),
            2 => Json::Signature(1, Encoding::UrlSafe),
            3 => Json::Signature(1, Encoding::Tampered),
            4 => Json::Signature(2, Encoding::Unpadded),
            5 => Json::Signature(1, Encoding::Short),
            6 => Json::Signature(1, Encoding::SmallOrder),
            7 => raw("1.5"),
            8 => raw("null"),
            _ => text("é"),
        };
        match tape.pick(&[60, 5, 1, 1]) {
            0 => servers.push(server, object([(key_id, signature)])),
            1 => servers
                .push(server, object([("ed25519:9", Json::Signature(3, Encoding::Unpadded)), (key_id, signature)])),
            2 => servers.push(server, Json::List(vec![signature])),
            _ => servers.push(server, raw("null")),
        }
    }
    servers
}

impl From<Vec<u16>> for Tape {
    fn from(numbers: Vec<u16>) -> Self {
        Self(numbers.into_iter())
    }
}
