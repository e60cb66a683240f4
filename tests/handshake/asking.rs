//! `make_knock` and `make_leave` with every check broken, one at a time and two at a time: the earlier check names the refusal.

use matrix_knock::RoomVersion;
use matrix_knock::auth::Rule;
use matrix_knock::event::{Membership, Pdu};
use matrix_knock::id::{EventId, RoomId, ServerName};
use matrix_knock::resident::{
    AuthStage, Decision, MakeKnock, MakeLeave, MakeRequest, Refusal, RequestKind, Residence, ResidentRoom,
};
use matrix_knock::template::PrevEvent;
use serde_json::{Value, json};

use super::breaks::{OWN_ERROR, Said, own_error};
use super::federation::{ALICE, KAY, THEN, rooms};
use super::submission::{HandIn, Parts, Whole, pdus, put, texts};
use super::walks::ready;

pub(crate) const UNKNOWN_ROOM: (u16, &str) = (404, r#"{"errcode":"M_NOT_FOUND","error":"Unknown room"}"#);
pub(crate) const FORBIDDEN: (u16, &str) = (403, r#"{"errcode":"M_FORBIDDEN","error":"The room does not allow it"}"#);

/// Everything that goes into an answer.
#[derive(Clone)]
struct Asking {
    membership: Membership,
    version: RoomVersion,
    room_id: String,
    is_known: bool,
    residence: Residence,
    /// With IDs.
    state: Vec<Value>,
    tip: (String, u64),
    origin: &'static str,
    user_id: String,
    versions: Vec<String>,
    decision: Decision,
}

impl Asking {
    /// A good one.
    fn new(membership: Membership, version: RoomVersion, join_rule: &str) -> Self {
        let room = ready(membership, version, join_rule).room;
        Self {
            membership,
            version,
            room_id: room.id.clone(),
            is_known: true,
            residence: Residence::Joined,
            state: room.places.values().map(|id| room.stored(id)).collect(),
            tip: (room.tip.clone(), room.depth),
            origin: "k.example",
            user_id: KAY.to_owned(),
            versions: vec!["org.example.x".to_owned(), version.to_string()],
            decision: Decision::Admit,
        }
    }

    fn put(&mut self, event_type: &str, state_key: &str, content: &Value) {
        let event = json!({
            "type": event_type, "state_key": state_key, "sender": ALICE, "content": content, "event_id": "$other",
        });
        put(event, &mut self.state);
    }

    /// What the resident server says: by the whole state, and by the entries that each step reads.
    fn answer(&self) -> Result<String, Refusal> {
        let texts = texts(&self.state);
        let state = pdus(&texts);
        let room_id = RoomId::parse(&self.room_id).expect("a room ID");
        let origin = ServerName::parse(self.origin).expect("a server name");
        let (by_whole, by_parts) = match self.membership {
            Membership::Leave => {
                let request = MakeLeave::new(room_id, &self.user_id, origin);
                (self.answer_by::<_, Whole>(request.clone(), &state), self.answer_by::<_, Parts>(request, &state))
            }
            _ => {
                let request = MakeKnock::new(room_id, &self.user_id, origin, &self.versions);
                (self.answer_by::<_, Whole>(request.clone(), &state), self.answer_by::<_, Parts>(request, &state))
            }
        };
        assert_eq!(by_parts, by_whole);
        by_whole
    }

    fn answer_by<K: RequestKind, H: HandIn>(
        &self,
        request: MakeRequest<'_, K>,
        current: &[Pdu<'_>],
    ) -> Result<String, Refusal> {
        if !self.is_known {
            return Err(Refusal::UnknownRoom);
        }
        let room_id = RoomId::parse(&self.room_id).expect("a room ID");
        let room = ResidentRoom { room_id, version: self.version, residence: self.residence };
        let state = H::hand_in(current, &request.reads(&room));
        let allowed = request.check(&room, &state)?;
        assert_eq!(allowed.user_id(), *self.user_id);
        let approved = allowed.decide(self.decision.clone())?;
        let last = PrevEvent { event_id: EventId::parse(&self.tip.0).expect("an event ID"), depth: self.tip.1 };
        let state = H::hand_in(current, &approved.reads());
        let template = approved.template(&state, &[last], THEN).expect("a template");
        assert_eq!(template.version(), self.version);
        Ok(template.to_response())
    }
}

/// One thing that is broken: which check, what it is called, what is said.
type Break = (u32, &'static str, fn(&mut Asking), Said, (u16, &'static str));

fn by_state(rule: Rule) -> Said {
    Said::Rule(AuthStage::CurrentState, rule)
}

/// What is wrong with the asking server's versions, or with the room's.
fn of_versions(version: RoomVersion) -> Vec<Break> {
    let incompatible = |version: RoomVersion| Said::This(Refusal::IncompatibleRoomVersion(version));
    let body = match version {
        RoomVersion::V7 => INCOMPATIBLE[0],
        RoomVersion::V8 => INCOMPATIBLE[1],
        RoomVersion::V9 => INCOMPATIBLE[2],
        RoomVersion::V10 => INCOMPATIBLE[3],
        RoomVersion::V11 => INCOMPATIBLE[4],
        _ => INCOMPATIBLE[5],
    };
    vec![
        (
            6,
            "no versions",
            |it| it.versions.clear(),
            Said::This(Refusal::NoVersions),
            (400, r#"{"errcode":"M_MISSING_PARAM","error":"`ver` is missing"}"#),
        ),
        (
            7,
            "other versions",
            |it| it.versions = ["13", "", "1"].map(str::to_owned).to_vec(),
            incompatible(version),
            (400, body),
        ),
        (
            8,
            "a version without knocking",
            |it| (it.version, it.versions) = (RoomVersion::V6, vec!["6".to_owned()]),
            Said::This(Refusal::NoKnocking(RoomVersion::V6)),
            (403, r#"{"errcode":"M_FORBIDDEN","error":"There is no knocking in the version of the room"}"#),
        ),
    ]
}

macro_rules! incompatible {
    ($($version:literal)*) => {
        [$(concat!(
            r#"{"errcode":"M_INCOMPATIBLE_ROOM_VERSION","error":"This server does not have the version of the room","#,
            r#""room_version":""#, $version, r#""}"#,
        )),*]
    };
}

const INCOMPATIBLE: [&str; 6] = incompatible!("7" "8" "9" "10" "11" "12");

/// In the order of the checks.
fn breaks(membership: Membership, version: RoomVersion) -> Vec<Break> {
    let mut breaks: Vec<Break> = vec![
        (1, "unknown room", |it| it.is_known = false, Said::This(Refusal::UnknownRoom), UNKNOWN_ROOM),
        (2, "left", |it| it.residence = Residence::Left, Said::This(Refusal::NotInRoom), UNKNOWN_ROOM),
        (
            2,
            "partial state",
            |it| it.residence = Residence::PartialState,
            Said::This(Refusal::PartialState),
            UNKNOWN_ROOM,
        ),
        (
            3,
            "ACL",
            |it| it.put("m.room.server_acl", "", &json!({ "allow": ["*"], "deny": ["*.example"] })),
            Said::This(Refusal::ServerDenied),
            (403, r#"{"errcode":"M_FORBIDDEN","error":"The server is not allowed in the room"}"#),
        ),
        (
            4,
            "no user ID",
            |it| it.user_id = "kay:k.example".to_owned(),
            Said::This(Refusal::UserId),
            (400, r#"{"errcode":"M_INVALID_PARAM","error":"Not a user ID"}"#),
        ),
        (
            5,
            "a user of another server",
            |it| it.origin = "b.example",
            Said::This(Refusal::UserOfOtherServer),
            (403, r#"{"errcode":"M_FORBIDDEN","error":"The user is of another server"}"#),
        ),
        (
            9,
            "not federated",
            |it| {
                let create = it.state.iter_mut().find(|event| event["type"] == json!("m.room.create"));
                create.expect("a create event")["content"]["m.federate"] = json!(false);
            },
            by_state(Rule::NotFederated),
            FORBIDDEN,
        ),
        (
            12,
            "rate limit",
            |it| it.decision = Decision::RateLimited { retry_after_ms: Some(1500) },
            Said::This(Refusal::RateLimited { retry_after_ms: Some(1500) }),
            (429, r#"{"errcode":"M_LIMIT_EXCEEDED","error":"Too many requests","retry_after_ms":1500}"#),
        ),
        (
            12,
            "some rate limit",
            |it| it.decision = Decision::RateLimited { retry_after_ms: None },
            Said::This(Refusal::RateLimited { retry_after_ms: None }),
            (429, r#"{"errcode":"M_LIMIT_EXCEEDED","error":"Too many requests"}"#),
        ),
        (
            12,
            "forbidden",
            |it| it.decision = Decision::Forbidden,
            Said::This(Refusal::Forbidden),
            (403, r#"{"errcode":"M_FORBIDDEN","error":"Not allowed here"}"#),
        ),
        (
            12,
            "suspended",
            |it| it.decision = Decision::Suspended,
            Said::This(Refusal::Suspended),
            (403, r#"{"errcode":"M_USER_SUSPENDED","error":"The user is suspended"}"#),
        ),
        (
            12,
            "an error of the host's own",
            |it| it.decision = Decision::Refuse(own_error()),
            Said::This(Refusal::ByHost(own_error())),
            OWN_ERROR,
        ),
    ];
    let mut row = |step, name, apply, rule| breaks.push((step, name, apply, by_state(rule), FORBIDDEN));
    if membership == Membership::Leave {
        let nothing = Rule::LeaveFromNothing;
        row(11, "no member", |it| it.state.retain(|event| event["state_key"] != json!(KAY)), nothing);
        row(11, "has left", |it| it.put("m.room.member", KAY, &json!({ "membership": "leave" })), nothing);
        row(11, "banned", |it| it.put("m.room.member", KAY, &json!({ "membership": "ban" })), nothing);
    } else {
        let (rule, membership) = (Rule::KnockJoinRule, Rule::KnockMembership);
        row(10, "no join rules", |it| it.state.retain(|event| event["type"] != json!("m.room.join_rules")), rule);
        row(10, "public", |it| it.put("m.room.join_rules", "", &json!({ "join_rule": "public" })), rule);
        row(10, "unknown", |it| it.put("m.room.join_rules", "", &json!({ "join_rule": "Knock" })), rule);
        row(11, "joined", |it| it.put("m.room.member", KAY, &json!({ "membership": "join" })), membership);
        row(11, "invited", |it| it.put("m.room.member", KAY, &json!({ "membership": "invite" })), membership);
        row(11, "banned", |it| it.put("m.room.member", KAY, &json!({ "membership": "ban" })), membership);
        breaks.extend(of_versions(version));
    }
    breaks.sort_by_key(|(step, ..)| *step);
    breaks
}

fn refused(asking: &Asking, (_, name, _, said, expected): &Break, other: &str) {
    let name = format!("{} {}: {name}, {other}", asking.membership, asking.version);
    let Err(refusal) = asking.answer() else { panic!("{name} is answered") };
    assert!(said.is(&refusal, asking.version), "{name}: {refusal:?}, not {said:?}");
    let response = refusal.to_response();
    assert_eq!((response.status(), response.to_string().as_str()), *expected, "{name}");
}

#[test]
fn checks_broken() {
    let mut pairs = 0_u32;
    for membership in [Membership::Knock, Membership::Leave] {
        for (version, join_rule) in rooms() {
            let good = Asking::new(membership, version, join_rule);
            assert!(good.answer().is_ok());
            let rows = breaks(membership, version);
            for first in &rows {
                let mut broken = good.clone();
                (first.2)(&mut broken);
                refused(&broken, first, "");
                for second in rows.iter().filter(|second| second.0 > first.0) {
                    let mut broken = good.clone();
                    // What both of them set is as the first wants it.
                    (second.2)(&mut broken);
                    (first.2)(&mut broken);
                    if (first.0, second.0) == (7, 8) {
                        // The version that is not offered is another one then.
                        assert_eq!(broken.answer(), Err(Refusal::IncompatibleRoomVersion(RoomVersion::V6)));
                        continue;
                    }
                    refused(&broken, first, second.1);
                    pairs += 1;
                }
            }
        }
    }
    assert!(pairs > 1800, "{pairs} pairs");
}

/// User IDs that are none, and users of servers that only look the same.
#[test]
fn users() {
    for membership in [Membership::Knock, Membership::Leave] {
        for (user_id, origin, refusal) in [
            ("", "k.example", Refusal::UserId),
            ("@kay", "k.example", Refusal::UserId),
            ("@kay:", "k.example", Refusal::UserId),
            ("@kay:k.example:x", "k.example", Refusal::UserId),
            ("@kay:k example", "k.example", Refusal::UserId),
            ("@k\0:k.example", "k.example", Refusal::UserId),
            ("!kay:k.example", "k.example", Refusal::UserId),
            ("@kay:k.example", "b.example", Refusal::UserOfOtherServer),
            ("@kay:k.example:8448", "k.example", Refusal::UserOfOtherServer),
            ("@kay:k.example", "k.example:8448", Refusal::UserOfOtherServer),
            ("@kay:K.example", "k.example", Refusal::UserOfOtherServer),
            ("@kay:evil.k.example", "k.example", Refusal::UserOfOtherServer),
        ] {
            let mut asking = Asking::new(membership, RoomVersion::V10, "knock");
            (asking.user_id, asking.origin) = (user_id.to_owned(), origin);
            assert_eq!(asking.answer(), Err(refusal), "{user_id}");
        }
    }
}

/// What is answered, whole.
#[test]
fn templates() {
    for (version, join_rule) in rooms() {
        for membership in [Membership::Knock, Membership::Leave] {
            let asking = Asking::new(membership, version, join_rule);
            let id = |event_type: &str, state_key: &str| {
                let is_it =
                    |event: &&Value| event["type"] == json!(event_type) && event["state_key"] == json!(state_key);
                asking.state.iter().find(is_it).expect("an event")["event_id"].clone()
            };
            let mut auth_events = vec![id("m.room.power_levels", "")];
            match membership {
                Membership::Leave => auth_events.push(id("m.room.member", KAY)),
                _ => auth_events.push(id("m.room.join_rules", "")),
            }
            if version < RoomVersion::V12 {
                auth_events.insert(0, id("m.room.create", ""));
            }
            let expected = json!({
                "event": {
                    "auth_events": auth_events, "content": { "membership": membership.as_str() },
                    "depth": asking.tip.1 + 1, "origin_server_ts": THEN, "prev_events": [asking.tip.0],
                    "room_id": asking.room_id, "sender": KAY, "state_key": KAY, "type": "m.room.member",
                },
                "room_version": version.as_str(),
            });
            assert_eq!(asking.answer(), Ok(expected.to_string()));
        }
    }
}
