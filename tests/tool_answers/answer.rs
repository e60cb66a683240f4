//! `answer`: a member's answer to a knock.

use serde_json::{Value, json};

use crate::room::{ALICE, KAY, LOU, NOW, Room, event_id, seed_text, signed};
use crate::{assert_answers, error, missing_members, refusal, with, without};

pub(crate) fn line(room: &Room, answer: &str, target: &str) -> Value {
    json!({
        "room_version": room.version, "room_id": room.room_id, "state": room.state(), "prev_events": room.prev_events(),
        "server_name": "a.example", "sender": ALICE, "target": target, "answer": answer, "reason": "Come \u{2028}in",
        "now": NOW, "key_id": "ed25519:1", "seed": seed_text("a.example"),
    })
}

fn encoded(id: &str) -> String {
    id.replace('!', "%21").replace('/', "%2F").replace(':', "%3A").replace('$', "%24")
}

#[test]
fn every_answer_in_every_version() {
    let mut cells = 0;
    for version in ["7", "8", "9", "10", "11", "12"] {
        for (answer, before, after) in [
            ("accept", "knock", "invite"),
            ("decline", "knock", "leave"),
            ("ban", "knock", "ban"),
            ("revoke", "invite", "leave"),
            ("unban", "ban", "leave"),
        ] {
            let mut cases = Vec::new();
            for target in [KAY, LOU] {
                let by = if before == "knock" { target } else { ALICE };
                let room = Room::new(version, &[(target, before, by)]);
                for reason in [json!("Come \u{2028}in"), Value::Null] {
                    let mut auth_events = vec!["create", "levels", "alice", target];
                    auth_events.extend((answer == "accept").then_some("rules"));
                    let mut content = json!({"membership": after, "reason": reason});
                    if reason.is_null() {
                        content = without(&content, "reason");
                    }
                    let event = room.member(target, ALICE, content, &auth_events);
                    let event = signed(version, &event, &["a.example"]);
                    let id = event_id(version, &event);

                    let is_outside = target == KAY;
                    let state = ["create", "rules", "name", "alice"].map(|name| room.event(name).to_string()).join(",");
                    let invite = match is_outside && answer == "accept" {
                        true => format!(
                            concat!(
                                r#"{{"server":"b.example","method":"PUT","path":"/_matrix/federation/v2/invite/{}/{}","#,
                                r#""body":{{"event":{},"invite_room_state":[{}],"room_version":"{}"}}}}"#,
                            ),
                            encoded(&room.room_id),
                            encoded(&id),
                            event,
                            state,
                            version
                        ),
                        false => "null".to_owned(),
                    };
                    // Who waits for an answer has to hear of it, also outside the room. Nobody waits for the end of a ban.
                    let also_to = match is_outside && matches!(answer, "decline" | "ban" | "revoke") {
                        true => r#"["b.example"]"#,
                        false => "[]",
                    };
                    let expected =
                        format!(r#""event_id":"{id}","event":{event},"invite":{invite},"also_to":{also_to}"#);
                    cases.push((with(&line(&room, answer, target), "reason", reason), expected));
                }
                // Without a reason as with null, and whether the server is in the room is not asked without its name.
                let (with_null, expected) = cases.last().unwrap().clone();
                cases.push((without(&without(&with_null, "reason"), "server_name"), expected));
            }
            cells += assert_answers("answer", cases);
        }
    }
    assert_eq!(cells, 6 * 5 * 2 * 3);
}

#[test]
fn refusals() {
    let room = Room::new("11", &[(KAY, "knock", KAY), ("@mod:a.example", "join", "@mod:a.example")]);
    let accept = line(&room, "accept", KAY);
    let by_rule = |message: &str, rule: &str, number: &str| {
        format!(r#"{},"rule":"{rule}","number":"{number}""#, refusal(403, "M_FORBIDDEN", message))
    };
    let not_allowed = |rule, number| by_rule("The room does not allow it", rule, number);
    let unknown = refusal(404, "M_NOT_FOUND", "Unknown room");
    let not_knocking = refusal(403, "M_FORBIDDEN", "The user does not knock");
    let by_member = |answer| with(&line(&room, answer, KAY), "sender", "@mod:a.example");
    let cases = vec![
        (with(&accept, "state", Value::Null), unknown.clone()),
        (with(&accept, "server_name", "c.example"), unknown),
        (with(&accept, "target", ALICE), not_knocking.clone()),
        (with(&accept, "target", LOU), not_knocking.clone()),
        (with(&with(&accept, "sender", KAY), "answer", "decline"), not_knocking),
        (with(&accept, "answer", "revoke"), refusal(403, "M_FORBIDDEN", "The user is not invited")),
        (with(&accept, "answer", "unban"), refusal(403, "M_FORBIDDEN", "The user is not banned")),
        (by_member("accept"), not_allowed("InvitePower", "4.4.5")),
        (by_member("decline"), not_allowed("KickPower", "4.5.5")),
        (by_member("ban"), not_allowed("BanPower", "4.6.3")),
        (with(&accept, "sender", "@eve:a.example"), not_allowed("InviterNotJoined", "4.4.2")),
        (with(&accept, "reason", "x".repeat(65_536)), refusal(413, "M_TOO_LARGE", "The event is too large")),
    ];
    assert_eq!(assert_answers("answer", cases), 12);

    let numbers = [("7", "4.3.5"), ("8", "4.4.5"), ("10", "4.4.5"), ("12", "5.4.5")];
    let cases = numbers.map(|(version, number)| {
        let room = Room::new(version, &[(KAY, "knock", KAY), ("@mod:a.example", "join", "@mod:a.example")]);
        (with(&line(&room, "accept", KAY), "sender", "@mod:a.example"), not_allowed("InvitePower", number))
    });
    assert_eq!(assert_answers("answer", cases.to_vec()), 4);
}

#[test]
fn bad_input() {
    let room = Room::new("11", &[(KAY, "knock", KAY)]);
    let line = line(&room, "accept", KAY);
    let mut cases = missing_members(
        &line,
        &["room_version", "room_id", "state", "prev_events", "sender", "target", "answer", "now", "key_id", "seed"],
    );
    let mut unnoted = room.state();
    unnoted[0] = room.event("create");
    cases.extend([
        (with(&line, "room_version", "x"), error("unknown room version `x`")),
        (with(&line, "answer", "yes"), error("unknown answer `yes`")),
        (with(&line, "room_id", "r:a"), error("`room_id` does not begin with `!`")),
        (with(&line, "sender", "alice"), error("`sender` does not begin with `@`")),
        (with(&line, "target", "@kay"), error("`target` has no domain")),
        (with(&line, "seed", "AAAA"), error("`seed` is not 32 bytes in base64")),
        (with(&line, "seed", ""), error("`seed` is not 32 bytes in base64")),
        (with(&line, "key_id", "rsa:1"), error("is not the ID of an ed25519 key")),
        (with(&line, "now", "later"), error("`now`: invalid type: string \"later\", expected u64 at line 1 column 7")),
        (with(&line, "reason", 1), error("`reason`: invalid type: integer `1`, expected a string at line 1 column 1")),
        (with(&line, "prev_events", json!([])), error("no previous events to come after")),
        (with(&line, "prev_events", json!([{"depth": 1}])), error("missing `event_id`")),
        (with(&line, "prev_events", json!([{"event_id": "$x"}])), error("missing `depth`")),
        (with(&line, "state", json!([1])), error("`state[0]`: event is not an object")),
        // Ours to write is only what names its auth events.
        (with(&line, "state", unnoted), error("the `m.room.create` event of the state has no event ID")),
    ]);
    assert_eq!(assert_answers("answer", cases), 25);
}
