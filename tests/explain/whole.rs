//! Whole explanations of a made room and of recorded ones, in every form that a state comes in.

use serde_json::{Value, json};

use super::rooms::Recorded;
use super::{ROOM, explain, explained};

const EVERYTHING: &str = include_str!("everything_in_the_way.txt");

#[test]
fn everything_in_the_way() {
    assert_eq!(explained("@kay:b.evil.example", ROOM), EVERYTHING);
}

#[test]
fn the_readme_shows_it() {
    let readme = include_str!("../../README.md");
    let (_, shown) = readme.split_once("## Why may they not knock?").expect("the section about `explain`");
    let (_, shown) = shown.split_once("```text\n").expect("an explanation");
    let (shown, _) = shown.split_once("```").expect("its end");
    // A part of it; the rest is left out behind the last line.
    let shown = shown.strip_suffix("…\n").expect("a mark of what is left out");
    assert!(shown.lines().count() > 20 && EVERYTHING.starts_with(shown), "{shown}");
}

#[test]
fn recorded_rooms() {
    for (scenario, user, expected) in [
        ("v6/knock/m_no_knock_support", "@x:hs3.test", include_str!("v6_no_knocking.txt")),
        ("v7/knock/e_banned_invited_joined", "@bob7:hs1.test:18448", include_str!("v7_banned.txt")),
        ("v10/knock/l2_space", "@kay10:hs2.test:28448", include_str!("v10_knocking.txt")),
        ("v12/knock/h_server_acl", "@new:hs2.test:28448", include_str!("v12_server_acl.txt")),
        ("v12/knock/i_not_federated", "@new:hs2.test:28448", include_str!("v12_not_federated.txt")),
        ("v12/knock_restricted/a_remote_knock_accept", "@new:hs3.test", include_str!("v12_knock_restricted.txt")),
    ] {
        let room = Recorded::of(scenario, user);
        let events = room.client_events();
        let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
        let Value::Object(mut pdus) = room.pdus() else { panic!("an object") };
        // IDs are computed where none is noted.
        assert_eq!(explained(user, &room.pdus().to_string()), expected, "{scenario}");
        assert_eq!(explained(user, &Value::from(events.clone()).to_string()), expected, "{scenario}");
        assert_eq!(explained(user, &json!({ "state": events }).to_string()), expected, "{scenario}");
        assert_eq!(explained(user, &lines), expected, "{scenario}");
        assert_eq!(explained(user, &format!(" \n{}\r\n\n", lines.replace('\n', "\r\n\r\n"))), expected);
        pdus.remove("auth_chain");
        assert_eq!(explained(user, &Value::from(pdus).to_string()), expected, "{scenario}");
    }
}

#[test]
fn another_version_and_another_server() {
    let version = explain(&["--user=@kay:b.evil.example", "--room-version=6"], ROOM.as_bytes()).output;
    let title =
        "@kay:b.evil.example and !door:a.example, room version 6\n  (the `m.room.create` event says version 10)\n";
    assert!(version.starts_with(title), "{version}");
    assert!(version.contains("\nMay they knock? no, 5 things are in the way\n"), "{version}");
    let same = explain(&["--room-version", "10", "--user", "@kay:b.evil.example"], ROOM.as_bytes());
    assert_eq!(same.output, EVERYTHING);

    // A server with a joined user changes nothing; without one it is in the way.
    let by = |server| explain(&["--user", "@kay:b.evil.example", "--server", server], ROOM.as_bytes()).output;
    assert_eq!(by("a.example"), EVERYTHING);
    let none = "c.example:80 has no joined user in the room: it does not answer for the room";
    let more = |way: &str| format!("{way} no, 5 things are in the way\n  1. {none}\n");
    let other = by("c.example:80");
    assert!(other.contains(&more("May they knock?")) && other.contains(&more("May they join?")), "{other}");
}

#[test]
fn a_list_has_an_end() {
    let mut events: Vec<Value> = serde_json::from_str(ROOM).expect("a list");
    for number in 0..1_000 {
        let user = format!("@m{number:04}:s{number:04}.example");
        events.push(json!({ "type": "m.room.member", "state_key": user, "sender": user, "event_id": "$m",
            "content": { "membership": "join" } }));
    }
    events[0]["content"] = json!({ "creator": "@alice:a.example", "room_version": "10" });
    events[2]["content"] = json!({ "users": { "@alice:a.example": 100 } });
    let report = explained("@zoe:a.example", &Value::from(events).to_string());
    let everybody = concat!(
        "  invite                      everybody who is joined: @alice:a.example, @carol:a.example, ",
        "@m0000:s0000.example, @m0001:s0001.example, @m0002:s0002.example and 998 more\n",
        "  ban                         @alice:a.example\n",
    );
    assert!(report.contains(everybody), "{report}");
    let servers = concat!(
        "  their own: a.example has users in the room\n  s0000.example (1 joined), s0001.example (1 joined), ",
        "s0002.example (1 joined), s0003.example (1 joined), s0004.example (1 joined) and 995 more\n",
    );
    assert!(report.contains(servers), "{report}");
    assert!(report.lines().count() < 50, "{report}");
}

/// Where nobody may, the reason is that of the member who comes furthest: one who may not take part
/// at all says nothing about the others.
#[test]
fn why_nobody_may() {
    let mut events: Vec<Value> = serde_json::from_str(ROOM).expect("a list");
    events[2]["content"] = json!({ "users_default": 50, "invite": 51, "ban": 51 });
    events.push(
        json!({ "type": "m.room.member", "state_key": "@z:z.example", "sender": "@z:z.example", "event_id": "$z",
        "content": { "membership": "join" } }),
    );
    let nobody = concat!(
        "  invite                      nobody: the inviting user has not the power to invite (rule 4.4.5)\n",
        "  ban                         nobody: the banning user has not the power to ban, or not more than the other ",
        "(rule 4.6.3)\n",
    );
    let report = explained("@new:a.example", &Value::from(events.clone()).to_string());
    assert!(report.contains(nobody), "{report}");
    events.retain(|event| event["content"]["membership"] != "join");
    let report = explained("@new:a.example", &Value::from(events).to_string());
    let nobody = "  invite                      nobody: no other user is joined\n";
    assert!(report.contains(nobody) && report.contains("\n  none: nobody is joined\n"), "{report}");
}
