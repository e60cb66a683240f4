//! What the inviting server has to see to: who may answer a knock, and what is sent and taken of an invite.

use matrix_knock::RoomVersion;
use matrix_knock::error::{Errcode, ErrorResponse};
use matrix_knock::event::{Event as _, Pdu};
use matrix_knock::machine::{Machine as _, Reply, Want};
use matrix_knock::policy::PolicyVerdict;
use matrix_knock::resident::answer::{
    Action, AnswerRequest, Answered, BadInviteAnswer, CountersignedInvite, Inviting, NotInvited,
};
use matrix_knock::resident::{Decision, Refusal};
use matrix_knock::stripped_state::{ShownTypes, TYPES};
use matrix_knock::template::Details;
use matrix_knock::wire::HttpResponse;
use matrix_knock::{Ed25519, event::EventType};
use serde_json::{Value, json};

use super::room::{A, ALICE, AllKeys, BEN, K, KAY, NOW, Room, json_of, key, sign, user, versions, with};

fn answered(room: &Room, action: Action, sender: &str, target: &str, reason: &str) -> Result<Answered, Refusal> {
    let (state, resident) = (room.state(), room.resident());
    let request = AnswerRequest::new(action, user(sender), user(target));
    let approved = request.check(&resident, &state)?.decide(Decision::Admit)?;
    let details = Details { reason: Some(reason.to_owned()), ..Details::default() };
    let event = approved.sign(&state, &details, &room.prev_events(), NOW, &key(A))?;
    event.accept(&state, PolicyVerdict::NotNamed)
}

/// Alice accepts Kay's knock: the machine that asks Kay's server.
pub(crate) fn inviting(room: &Room) -> Inviting {
    let Ok(Answered::Invite(invite)) = answered(room, Action::Accept, ALICE, KAY, "Come in") else {
        panic!("Kay is of another server")
    };
    let state = room.state();
    invite
        .start(&ShownTypes::default(), &state, |event| event.to_federation(room.version).ok())
        .expect("a create event")
}

/// The event that is asked to be signed, with Kay's server's signature.
fn signed_by_kays_server(room: &Room, machine: &Inviting) -> Value {
    json_of(&sign(room.version, &json_of(machine.event().text()), K).1)
}

/// What comes of an answer.
fn outcome(room: &Room, status: u16, body: &str) -> Result<CountersignedInvite, NotInvited> {
    let mut machine = inviting(room);
    let (ticket, _) = machine.want();
    machine.reply(ticket, Reply::Response(HttpResponse::new(status, body)), NOW).expect("it was asked for");
    let (ticket, want) = machine.want();
    if let Want::Keys(_) = want {
        machine.keys(ticket, &AllKeys, &Ed25519, NOW).expect("they were asked for");
    }
    assert_eq!(machine.want().1, Want::Ended);
    machine.outcome().expect("it has ended")
}

pub(crate) fn countersigned(room: &Room) -> CountersignedInvite {
    let body = json!({ "event": signed_by_kays_server(room, &inviting(room)) });
    outcome(room, 200, &body.to_string()).expect("signed")
}

#[test]
fn the_users_server_is_asked_with_whole_events() {
    let kinds = [
        ("m.room.name", json!({ "name": "Tür" })),
        ("m.room.avatar", json!({ "url": "mxc://a.example/x" })),
        ("m.room.topic", json!({ "topic": "t" })),
        ("m.room.canonical_alias", json!({ "alias": "#a:a.example" })),
        ("m.room.encryption", json!({ "algorithm": "m.megolm.v1.aes-sha2" })),
    ];
    for version in versions() {
        let mut room = Room::new(version);
        for (event_type, content) in &kinds {
            room.send(ALICE, event_type, "", content.clone());
        }
        let machine = inviting(&room);
        let (_, Want::Request(request)) = machine.want() else { panic!("a request") };
        let path = request.path();
        assert_eq!((request.server.as_str(), request.method(), &*request.query()), (K, "PUT", ""));
        let id = machine.event().event_id();
        assert!(
            path.starts_with("/_matrix/federation/v2/invite/") && path.ends_with(id.trim_start_matches('$')),
            "{path}"
        );

        let body = json_of(&request.body().expect("a body"));
        let keys: Vec<&str> = body.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(keys, ["event", "invite_room_state", "room_version"]);
        assert_eq!(
            (&body["event"], &body["room_version"]),
            (&json_of(machine.event().text()), &json!(version.as_str()))
        );
        assert_eq!(body["event"]["content"], json!({ "membership": "invite", "reason": "Come in" }));
        let mut places = Vec::new();
        for entry in body["invite_room_state"].as_array().expect("a list") {
            let text = entry.to_string();
            let event = Pdu::parse(&text).expect("an event").check_format(version).expect("a whole event");
            places.push((event.pdu().event_type().into_owned(), event.pdu().state_key().map(str::to_owned)));
        }
        let place = |event_type: &EventType<'_>| (event_type.to_string(), Some(String::new()));
        let mut expected: Vec<_> = TYPES.iter().map(place).collect();
        expected.push(("m.room.member".to_owned(), Some(ALICE.to_owned())));
        assert_eq!(places, expected, "{version}");
    }
}

#[test]
fn of_the_answer_the_signature_is_taken_and_nothing_else() {
    for version in versions() {
        let room = Room::new(version);
        let machine = inviting(&room);
        let signed = signed_by_kays_server(&room, &machine);
        let mut stuffed = with(&signed, "unsigned", json!({ "invite_room_state": [], "age": 1 }));
        stuffed["signatures"]["other.example"] = json!({ "ed25519:1": "AAAA" });
        stuffed["signatures"][A] = json!({});
        for answer in [&signed, &stuffed] {
            let body = json!({ "event": answer, "more": 1 }).to_string();
            let invite = outcome(&room, 200, &body).expect("signed");
            assert_eq!(json_of(invite.event().text()), signed, "{version}");
        }
        for (answer, bad) in [
            (json!({}), BadInviteAnswer::NoEvent),
            (json!({ "event": json_of(machine.event().text()) }), BadInviteAnswer::NotSigned),
            (json!({ "event": with(&signed, "depth", json!(99)) }), BadInviteAnswer::OtherEvent),
            (json!([200, { "event": signed }]), BadInviteAnswer::NoEvent),
        ] {
            assert_eq!(outcome(&room, 200, &answer.to_string()), Err(bad.into()), "{version}");
        }
    }
}

#[test]
fn what_the_inviting_client_is_told() {
    let room = Room::new(RoomVersion::V11);
    let mut cells = 0;
    for (status, errcode, expected) in [
        (400, "M_INCOMPATIBLE_ROOM_VERSION", (400, "M_INCOMPATIBLE_ROOM_VERSION")),
        (400, "M_ORG.EXAMPLE", (400, "M_ORG.EXAMPLE")),
        (400, "M_MISSING_PARAM", (502, "M_UNKNOWN")),
        (400, "M_INVALID_PARAM", (502, "M_UNKNOWN")),
        (403, "M_FORBIDDEN", (403, "M_FORBIDDEN")),
        (403, "M_INVITE_BLOCKED", (403, "M_INVITE_BLOCKED")),
        (429, "M_LIMIT_EXCEEDED", (429, "M_LIMIT_EXCEEDED")),
        (404, "M_UNRECOGNIZED", (502, "M_UNKNOWN")),
        (404, "M_NOT_FOUND", (502, "M_UNKNOWN")),
        (500, "M_UNKNOWN", (502, "M_UNKNOWN")),
    ] {
        let body = json!({ "errcode": errcode, "error": "Why", "room_version": "11" });
        let not_invited = outcome(&room, status, &body.to_string()).expect_err("an error");
        let response = not_invited.to_response();
        assert_eq!((response.status(), response.errcode().as_str()), expected, "{errcode}");
        if expected.0 == status {
            assert_eq!(json_of(&response.to_string()), body);
        }
        cells += 1;
    }
    assert_eq!(cells, 10);
}

/// The rule that refuses an answer.
fn rule(room: &Room, action: Action, sender: &str, target: &str) -> &'static str {
    match answered(room, action, sender, target, "") {
        Err(refusal @ Refusal::Rejected { rejection, .. }) => {
            let expected = ErrorResponse::new(Errcode::Forbidden, "The room does not allow it");
            assert_eq!(refusal.to_response(), expected);
            rejection.rule().name()
        }
        Err(refusal @ Refusal::NothingToAnswer { .. }) => {
            assert_eq!((refusal.to_response().status(), refusal.to_response().errcode()), (403, &Errcode::Forbidden));
            "nothing to answer"
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_may_answer() {
    const OUT: &str = "@out:a.example";
    for version in versions() {
        let mut room = Room::new(version);
        let content = json!({ "invite": 50, "kick": 50, "ban": 50 });
        let content =
            if version >= RoomVersion::V12 { content } else { with(&content, "users", json!({ ALICE: 100 })) };
        room.send(ALICE, "m.room.power_levels", "", content);
        for (action, out, powerless) in [
            (Action::Accept, "InviterNotJoined", "InvitePower"),
            (Action::Decline, "KickerNotJoined", "KickPower"),
            (Action::Ban, "BannerNotJoined", "BanPower"),
        ] {
            assert_eq!(rule(&room, action, OUT, KAY), out, "{version}");
            assert_eq!(rule(&room, action, BEN, KAY), powerless, "{version}");
            assert!(answered(&room, action, ALICE, KAY, "").is_ok(), "{version}");
            // Who is in the room does not knock, nor does somebody who never was there.
            for target in [BEN, "@nobody:k.example"] {
                assert_eq!(rule(&room, action, ALICE, target), "nothing to answer");
            }
        }
        room.member(ALICE, KAY, "ban");
        assert_eq!(rule(&room, Action::Unban, OUT, KAY), "KickerNotJoined");
        assert_eq!(rule(&room, Action::Unban, BEN, KAY), "UnbanPower");
        assert_eq!(rule(&room, Action::Accept, ALICE, KAY), "nothing to answer");
        let Ok(Answered::Append(_)) = answered(&room, Action::Unban, ALICE, KAY, "") else { panic!("an unban") };
        // Then there may be another knock, and an invite.
        room.member(ALICE, KAY, "leave");
        room.member(KAY, KAY, "knock");
        assert!(answered(&room, Action::Accept, ALICE, KAY, "").is_ok(), "{version}");
    }
}

#[test]
fn the_reason_stands_in_the_event() {
    for version in versions() {
        let mut room = Room::new(version);
        for (before, action, membership) in [
            ("knock", Action::Decline, "leave"),
            ("knock", Action::Ban, "ban"),
            ("invite", Action::Revoke, "leave"),
            ("ban", Action::Unban, "leave"),
        ] {
            room.member(ALICE, KAY, before);
            let Ok(Answered::Append(answer)) = answered(&room, action, ALICE, KAY, "Why ö") else {
                panic!("{action:?}")
            };
            let event = json_of(answer.event().text());
            assert_eq!(event["content"], json!({ "membership": membership, "reason": "Why ö" }), "{version}");
        }
    }
}
