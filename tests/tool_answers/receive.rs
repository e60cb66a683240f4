//! `receive`: the seven checks.

use serde_json::{Value, json};

use crate::room::{ALICE, KAY, LOU, Room, keys, public_key, signed};
use crate::{assert_answers, error, missing_members, with};

/// What the command says: the outcome, the check, the rule with its number, the reason, whether the hash was wrong.
fn says(outcome: &str, check: u8, rule: Option<(&str, &str)>, reason: &str, redacted: bool) -> String {
    let check = if check == 0 { Value::Null } else { check.into() };
    let (rule, number) = rule.map_or((Value::Null, Value::Null), |(rule, number)| (rule.into(), number.into()));
    let reason = if reason.is_empty() { Value::Null } else { reason.into() };
    format!(
        r#""outcome":"{outcome}","check":{check},"rule":{rule},"number":{number},"reason":{reason},"redacted":{redacted}"#
    )
}

fn accepted() -> String {
    says("accepted", 0, None, "", false)
}

/// A line about this event, signed by its sender's server, in the room as it is.
fn line(room: &Room, event: &Value) -> Value {
    let (_, server) = event["sender"].as_str().unwrap().split_once(':').unwrap();
    let auth_events: Vec<Value> = room.state().as_array().unwrap().clone();
    json!({
        "room_version": room.version, "event": signed(room.version, event, &[server]), "keys": keys(),
        "auth_events": auth_events, "state": room.state(), "current_state": room.state(), "policy": null,
    })
}

const BY_ALICE: [&str; 4] = ["create", "levels", "alice", KAY];

#[test]
fn every_membership() {
    let mut cells = 0;
    for version in ["7", "8", "9", "10", "11", "12"] {
        let room = Room::new(version, &[(KAY, "knock", KAY)]);
        let invited = Room::new(version, &[(KAY, "invite", ALICE)]);
        let member = |room: &Room, sender: &str, membership: &str, auth_events: &[&str]| {
            let event = room.member(KAY, sender, json!({"membership": membership}), auth_events);
            (line(room, &event), accepted())
        };
        let asks = ["create", "levels", KAY, "rules"];
        let with_rules = ["create", "levels", "alice", KAY, "rules"];
        let cases = vec![
            member(&room, KAY, "knock", &asks),
            member(&room, KAY, "leave", &asks[..3]),
            member(&invited, KAY, "join", &asks),
            member(&room, ALICE, "invite", &with_rules),
            member(&room, ALICE, "leave", &BY_ALICE),
            member(&room, ALICE, "ban", &BY_ALICE),
        ];
        cells += assert_answers("receive", cases);
    }
    assert_eq!(cells, 36);
}

#[test]
fn every_check() {
    // The numbers of rules 4.5.2 and 2.3, and of the rule about the create event, in each version.
    let versions = [
        ("7", "4.4.2", "2.3", "2.2"),
        ("8", "4.5.2", "2.3", "2.2"),
        ("11", "4.5.2", "2.3", "2.2"),
        ("12", "5.5.2", "3.3", "3.2"),
    ];
    let mut cells = 0;
    for (version, kicker, rejected, unselected) in versions {
        let room = Room::new(version, &[(KAY, "knock", KAY)]);
        let event = room.member(KAY, ALICE, json!({"membership": "leave", "reason": "No"}), &BY_ALICE);
        let good = line(&room, &event);
        let gone = {
            let mut room = Room::new(version, &[(KAY, "knock", KAY)]);
            room.add("alice", "m.room.member", ALICE, ALICE, json!({"membership": "leave"}));
            room.state()
        };
        let not_joined = |outcome, check| {
            says(outcome, check, Some(("KickerNotJoined", kicker)), "the kicking user is not joined", false)
        };
        let mut forged = good.clone();
        forged["event"]["content"]["reason"] = "Yes".into();
        let mut forged_and_late = forged.clone();
        forged_and_late["current_state"] = gone.clone();
        let late = says("soft_failed", 6, Some(("KickerNotJoined", kicker)), "the kicking user is not joined", true);
        let mut rejected_auth_event = good.clone();
        rejected_auth_event["auth_events"][1]["rejected"] = true.into();
        let mut accepted_auth_event = good.clone();
        accepted_auth_event["auth_events"][1]["rejected"] = false.into();
        let unselected_event =
            room.member(KAY, ALICE, json!({"membership": "leave"}), &[&BY_ALICE[..], &["name"]].concat());
        let unsigned = "no signature by a known key of `a.example` that counts";
        let cases = vec![
            (good.clone(), accepted()),
            (
                with(&good, "event", with(&good["event"], "depth", "4")),
                says(
                    "dropped",
                    1,
                    None,
                    "malformed event: `depth` of the event is of the wrong kind or out of range",
                    false,
                ),
            ),
            (
                with(&good, "event", json!([])),
                says("dropped", 1, None, "malformed event: event is not an object", false),
            ),
            (with(&good, "keys", json!({})), says("dropped", 2, None, unsigned, false)),
            (
                with(&good, "event", with(&good["event"], "depth", 5)),
                says("dropped", 2, None, "the signature of `a.example` by `ed25519:1` does not verify", false),
            ),
            (forged, says("accepted", 0, None, "", true)),
            (forged_and_late, late),
            (
                rejected_auth_event,
                says(
                    "rejected",
                    4,
                    Some(("RejectedAuthEvent", rejected)),
                    "one of the `auth_events` was rejected",
                    false,
                ),
            ),
            (accepted_auth_event, accepted()),
            (
                line(&room, &unselected_event),
                says(
                    "rejected",
                    4,
                    Some(("UnselectedAuthEvent", unselected)),
                    "one of the `auth_events` does not belong there",
                    false,
                ),
            ),
            // What is not there allows nothing.
            (
                with(&good, "auth_events", json!([])),
                says("rejected", 4, None, &format!("unknown auth events: {}", room.ids(&BY_ALICE).join(", ")), false),
            ),
            (with(&good, "state", gone.clone()), not_joined("rejected", 5)),
            (with(&good, "current_state", gone.clone()), not_joined("soft_failed", 6)),
            (with(&with(&good, "state", gone.clone()), "current_state", gone), not_joined("rejected", 5)),
        ];
        cells += assert_answers("receive", cases);
    }
    assert_eq!(cells, 4 * 14);
}

#[test]
fn the_policy_server() {
    let mut cells = 0;
    for version in ["7", "10", "12"] {
        let mut room = Room::new(version, &[(KAY, "knock", KAY)]);
        let policy = json!({"via": "p.example", "public_keys": {"ed25519": public_key("p.example")}});
        let not_named = line(&room, &room.member(KAY, ALICE, json!({"membership": "ban"}), &BY_ALICE));
        room.add("policy", "m.room.policy", "", ALICE, policy);
        let event = room.member(KAY, ALICE, json!({"membership": "ban"}), &BY_ALICE);
        let named = line(&room, &event);
        let by_policy = signed(version, &named["event"], &["p.example"])["signatures"]["p.example"].clone();
        let other = signed(version, &not_named["event"], &["p.example"])["signatures"]["p.example"].clone();
        let answers = |line: &Value, signed: Value| {
            with(
                line,
                "policy",
                json!({"server": "p.example", "public_key": public_key("p.example"), "signed": signed}),
            )
        };
        let no_signature = says("soft_failed", 7, None, "no signature of the policy server", false);
        let does_not_verify = says("soft_failed", 7, None, "the signature of the policy server does not verify", false);
        let mut cases = vec![
            (not_named.clone(), accepted()),
            // The room names one, and nobody of it is joined.
            (named.clone(), accepted()),
            // The event brings the signature.
            (
                answers(&with(&named, "event", signed(version, &event, &["a.example", "p.example"])), Value::Null),
                accepted(),
            ),
        ];
        for line in [&not_named, &named] {
            let good = if line == &named { &by_policy } else { &other };
            let bad = if line == &named { &other } else { &by_policy };
            cases.extend([
                (answers(line, json!({"p.example": good})), accepted()),
                (answers(line, json!({"p.example": good, "a.example": bad})), accepted()),
                (answers(line, json!({"p.example": bad})), does_not_verify.clone()),
                (answers(line, json!({"q.example": good})), no_signature.clone()),
                (
                    answers(line, json!({"p.example": {"ed25519:1": good["ed25519:policy_server"]}})),
                    no_signature.clone(),
                ),
                (answers(line, json!({"p.example": []})), no_signature.clone()),
                (answers(line, json!({})), no_signature.clone()),
                (answers(line, json!([])), no_signature.clone()),
                (answers(line, Value::Null), no_signature.clone()),
                (answers(line, json!({"p.example": good, "x": "x".repeat(65_536)})), no_signature.clone()),
            ]);
        }
        cells += assert_answers("receive", cases);
    }
    assert_eq!(cells, 3 * 23);
}

#[test]
fn bad_input() {
    let room = Room::new("11", &[(KAY, "knock", KAY)]);
    let event = room.member(KAY, ALICE, json!({"membership": "leave"}), &BY_ALICE);
    let line = line(&room, &event);
    let mut cases = missing_members(&line, &["room_version", "event", "keys", "auth_events", "state", "current_state"]);
    let name = with(&event, "type", "m.room.name");
    let name = with(&line, "event", signed("11", &name, &["a.example"]));
    cases.extend([
        (crate::without(&line, "policy"), accepted()),
        (name, error("not an `m.room.member` event")),
        (with(&line, "room_version", "0"), error("unknown room version `0`")),
        (
            with(&line, "auth_events", json!({})),
            error("`auth_events`: invalid type: map, expected a sequence at line 1 column 0"),
        ),
        (with(&line, "auth_events", json!([LOU])), error("event is not an object")),
        (with(&line, "state", json!([{"type": "x", "sender": "y"}])), error("`state[0]`: event has no `content`")),
        (with(&line, "policy", json!({})), error("missing `server`")),
        (with(&line, "policy", json!({"server": "p.example"})), error("missing `public_key`")),
    ]);
    assert_eq!(assert_answers("receive", cases), 14);
}
