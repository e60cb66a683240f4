//! Hostile changes to the `invite_room_state`, by the names that `refusals.txt` has for them. The
//! first entry is the create event, the second the join rules, the last the member event of who
//! invites.

use serde_json::{Value, json};

use super::attempt::Attempt;
use super::changes::{Change, bomb, flip, replaced};
use super::{INVITED, INVITER, OTHER, oracle};

pub(crate) const STATE: &[Change] = &[
    ("state: missing", |a| a.state = Value::Null),
    ("state: null", |a| {
        a.state = json!("@");
        a.rewrite = Some(|body| replaced(&body, r#""@""#, "null"));
    }),
    ("state: an object", |a| a.state = json!({ "m.room.create": a.state[0] })),
    ("state: a string", |a| a.state = json!("[]")),
    ("state: empty", |a| a.state = json!([])),
    ("state: no create event", |a| {
        entries(a).remove(0);
    }),
    ("state: create event of another room", |a| a.state[0] = a.elsewhere["invite_room_state"][0].clone()),
    ("state: create events of two rooms", |a| {
        let other = a.elsewhere["invite_room_state"][0].clone();
        entries(a).insert(0, other);
    }),
    ("state: create event twice", |a| {
        let create = a.state[0].clone();
        entries(a).push(create);
    }),
    ("state: create event last", |a| {
        let create = entries(a).remove(0);
        entries(a).push(create);
    }),
    ("state: join rules of another room", |a| a.state[1] = a.elsewhere["invite_room_state"][1].clone()),
    ("state: join rules of another room, by its ID alone", |a| {
        made(a, 1, |event| event["room_id"] = json!("!other:hs1.test:18448"));
    }),
    ("state: join rules not signed", |a| a.state[1]["signatures"] = json!({})),
    ("state: join rules signed by another server", |a| {
        a.state[1] = oracle::made_by(a.version, &a.state[1], OTHER);
    }),
    ("state: join rules by a user of another server, who has not signed", |a| {
        made(a, 1, |event| event["sender"] = json!("@mallory:hs3.test:38448"));
    }),
    ("state: join rules with a bit of the signature changed", |a| {
        flip(&mut a.state[1]["signatures"][INVITER]["ed25519:a_iYFt"]);
    }),
    ("state: join rules changed", |a| a.state[1]["content"]["join_rule"] = json!("public")),
    ("state: join rules no state event", |a| made(a, 1, |event| *event = oracle::without(event, &["state_key"]))),
    ("state: join rules without a content hash", |a| a.state[1] = oracle::without(&a.state[1], &["hashes"])),
    ("state: join rules of 70 KB", |a| made(a, 1, |event| event["content"]["x"] = json!("x".repeat(70_000)))),
    ("state: join rules with 500 signatures", |a| {
        for number in 0..500 {
            a.state[1]["signatures"][INVITER][format!("ed25519:{number}")] = json!("A".repeat(86));
        }
    }),
    ("state: name changed", |a| {
        let name = entries(a).iter_mut().find(|event| event["type"] == json!("m.room.name"));
        name.into_iter().for_each(|name| name["content"]["name"] = json!("Free money"));
    }),
    ("state: member event not signed", |a| {
        let last = entries(a).len() - 1;
        a.state[last]["signatures"] = json!({});
    }),
    ("state: member event of the user, by who invites", |a| {
        let last = entries(a).len() - 1;
        let user = a.event["state_key"].clone();
        made(a, last, |event| event["content"]["membership"] = json!("ban"));
        a.state[last]["state_key"] = user;
        a.state[last] = oracle::made_by(a.version, &a.state[last], INVITER);
    }),
    ("state: member event of the user, signed by nobody of that server", |a| {
        let last = entries(a).len() - 1;
        let user = a.event["state_key"].clone();
        a.state[last]["sender"] = user.clone();
        a.state[last]["state_key"] = user;
        a.state[last] = oracle::made_by(a.version, &a.state[last], INVITER);
        assert!(a.state[last]["signatures"][INVITED].is_null());
    }),
    ("state: stripped events", |a| entries(a).iter_mut().for_each(|event| *event = oracle::stripped(event))),
    ("state: one stripped event", |a| a.state[1] = oracle::stripped(&a.state[1])),
    ("state: create event stripped", |a| a.state[0] = oracle::stripped(&a.state[0])),
    ("state: member event stripped", |a| {
        let last = entries(a).len() - 1;
        a.state[last] = oracle::stripped(&a.state[last]);
    }),
    ("state: an entry that is null", |a| a.state[1] = Value::Null),
    ("state: an entry that is a number", |a| a.state[1] = json!(5)),
    ("state: an entry that is a list", |a| a.state[1] = json!([a.state[1]])),
    ("state: an entry that is empty", |a| a.state[1] = json!({})),
    ("state: an entry that is no JSON", |a| a.rewrite = Some(|body| entry_before(&body, "{x}"))),
    ("state: an entry nested 130 levels", |a| {
        a.rewrite = Some(|body| entry_before(&body, &format!(r#"{{"content":{}}}"#, bomb(130))));
    }),
    ("state: a bomb", |a| a.rewrite = Some(|body| entry_before(&body, &bomb(30_000)))),
    ("state: a bomb of 8 MB", |a| a.rewrite = Some(|body| entry_before(&body, &bomb(4_000_000)))),
    ("state: a bomb that goes on", |a| a.rewrite = Some(|body| entry_before(&body, &"[".repeat(4_000_000)))),
    ("state: 100 entries", |a| {
        let last = a.state[1].clone();
        entries(a).resize(100, last);
    }),
    ("state: 101 entries", |a| {
        let last = a.state[1].clone();
        entries(a).resize(101, last);
    }),
    ("state: 10,000 entries, all right", |a| {
        let last = a.state[1].clone();
        entries(a).resize(10_000, last);
    }),
    ("state: 10,000 entries, all stripped", |a| {
        let last = json!({ "type": "x", "state_key": "", "sender": "@a:b", "content": {} });
        entries(a).resize(10_000, last);
    }),
    ("state: 10,000 empty entries behind the create event", |a| {
        entries(a).splice(1..1, vec![json!({}); 10_000]);
    }),
    ("state: 10,000 entries, the create event last", |a| {
        let create = entries(a).remove(0);
        let last = a.state[0].clone();
        entries(a).resize(9_999, last);
        entries(a).push(create);
    }),
];

fn entries<'v>(attempt: &'v mut Attempt<'_>) -> &'v mut Vec<Value> {
    attempt.state.as_array_mut().unwrap()
}

/// Changes an entry and makes it anew, as the inviting server does.
fn made(attempt: &mut Attempt<'_>, index: usize, change: fn(&mut Value)) {
    change(&mut attempt.state[index]);
    attempt.state[index] = oracle::made_by(attempt.version, &attempt.state[index], INVITER);
}

/// The body with an entry more, in front.
fn entry_before(body: &str, entry: &str) -> Vec<u8> {
    replaced(body, r#""invite_room_state":["#, &format!(r#""invite_room_state":[{entry},"#))
}
