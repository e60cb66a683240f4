//! Every check of `send_knock` and `send_leave`, broken.

use matrix_knock::RoomVersion;
use matrix_knock::auth::{AuthStatus, Rule};
use matrix_knock::error::{Errcode, ErrorResponse};
use matrix_knock::event::{Ed25519Key, FormatError, KeyValidity, Membership, PduError, SignatureError};
use matrix_knock::json::JsonErrorKind;
use matrix_knock::policy::{PolicyRefusal, PolicyVerdict};
use matrix_knock::resident::{AuthStage, Decision, Mismatch, Refusal, Residence};
use serde_json::{Value, json};

use super::asking::{FORBIDDEN, UNKNOWN_ROOM};
use super::federation::{A, KAY, KEY_ID, THEN};
use super::malformed::malformed;
use super::submission::{Stored, Submission, put};

const SIGNATURE: (u16, &str) =
    (400, r#"{"errcode":"M_INVALID_PARAM","error":"A signature of the event is missing or wrong"}"#);

/// What is said: the whole refusal, or by which state and which rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    This(Refusal),
    Rule(AuthStage, Rule),
    /// That these auth events are missing, by their IDs.
    Missing(Vec<String>),
    /// An error of the JSON, wherever.
    Json(JsonErrorKind),
}

impl Said {
    pub(crate) fn is(&self, found: &Refusal, version: RoomVersion) -> bool {
        match (self, found) {
            (Self::Rule(by, rule), Refusal::Rejected { stage, rejection }) => {
                let found = (stage, rejection.rule(), rejection.version(), rejection.malformed());
                found == (by, *rule, version, None)
            }
            (Self::Missing(ids), Refusal::UnknownAuthEvents(unknown)) => unknown.ids().eq(ids.iter()),
            (Self::Json(kind), Refusal::Format(FormatError::Pdu(PduError::Json(error)))) => error.kind() == *kind,
            (Self::This(refusal), found) => refusal == found,
            (Self::Rule(..) | Self::Missing(_) | Self::Json(_), _) => false,
        }
    }
}

/// One thing that is broken.
pub(crate) struct Break {
    pub(crate) name: &'static str,
    /// Which check it breaks: of two breaks of the same check either may name the refusal.
    pub(crate) step: u32,
    pub(crate) apply: fn(&mut Submission),
    pub(crate) said: fn(&Submission) -> Said,
    pub(crate) response: (u16, &'static str),
}

const fn mismatch(mismatch: Mismatch) -> Said {
    Said::This(Refusal::Mismatch(mismatch))
}

const fn itself(rule: Rule) -> Said {
    Said::Rule(AuthStage::Itself, rule)
}

fn not_signed() -> Said {
    Said::This(Refusal::Signature(SignatureError::NotSigned { server: "k.example".to_owned() }))
}

fn text_of(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

pub(crate) const fn row(
    step: u32,
    name: &'static str,
    apply: fn(&mut Submission),
    said: fn(&Submission) -> Said,
    response: (u16, &'static str),
) -> Break {
    Break { name, step, apply, said, response }
}

/// Every break that a knock and a leave have in common, in the order of the checks.
fn common() -> Vec<Break> {
    vec![
        row(10, "unknown room", |it| it.is_known = false, |_| Said::This(Refusal::UnknownRoom), UNKNOWN_ROOM),
        row(20, "left", |it| it.residence = Residence::Left, |_| Said::This(Refusal::NotInRoom), UNKNOWN_ROOM),
        row(
            20,
            "partial state",
            |it| it.residence = Residence::PartialState,
            |_| Said::This(Refusal::PartialState),
            UNKNOWN_ROOM,
        ),
        row(
            30,
            "ACL",
            |it| put(it.other("m.room.server_acl", "", json!({ "allow": [] })), &mut it.state),
            |_| Said::This(Refusal::ServerDenied),
            (403, r#"{"errcode":"M_FORBIDDEN","error":"The server is not allowed in the room"}"#),
        ),
        row(
            183,
            "more bytes than can be sent on",
            |it| it.bytes = Some(65_409),
            |_| Said::This(Refusal::TooLarge),
            (413, r#"{"errcode":"M_TOO_LARGE","error":"The event is too large"}"#),
        ),
        row(
            186,
            "nested deeper than can be sent on",
            |it| {
                let nested: Value =
                    serde_json::from_str(&format!("{}{}", "[".repeat(119), "]".repeat(119))).expect("JSON");
                it.event["content"]["x"] = nested;
            },
            |_| Said::This(Refusal::TooDeep),
            (400, r#"{"errcode":"M_BAD_JSON","error":"The event is nested too deep"}"#),
        ),
        row(
            190,
            "another room",
            |it| it.event["room_id"] = json!("!other:a.example"),
            |_| mismatch(Mismatch::RoomId),
            (400, r#"{"errcode":"M_INVALID_PARAM","error":"The event is of another room"}"#),
        ),
        row(
            200,
            "another type",
            |it| it.event["type"] = json!("m.room.message"),
            |_| mismatch(Mismatch::EventType),
            (400, r#"{"errcode":"M_INVALID_PARAM","error":"Not an `m.room.member` event"}"#),
        ),
        row(
            210,
            "another membership",
            |it| it.event["content"]["membership"] = json!("join"),
            |_| mismatch(Mismatch::Membership),
            (400, r#"{"errcode":"M_INVALID_PARAM","error":"The `membership` is not the one of the request"}"#),
        ),
        row(
            215,
            "no state key",
            |it| drop(it.event.as_object_mut().map(|it| it.remove("state_key"))),
            |_| mismatch(Mismatch::NoStateKey),
            (400, r#"{"errcode":"M_INVALID_PARAM","error":"The event has no `state_key`"}"#),
        ),
        row(
            220,
            "another state key",
            |it| it.event["state_key"] = json!("@other:k.example"),
            |_| mismatch(Mismatch::StateKey),
            (400, r#"{"errcode":"M_INVALID_PARAM","error":"The `state_key` is not the sender"}"#),
        ),
        row(
            230,
            "another server",
            |it| it.origin = A.to_owned(),
            |_| mismatch(Mismatch::Sender),
            (400, r#"{"errcode":"M_INVALID_PARAM","error":"The sender is of another server"}"#),
        ),
        row(
            240,
            "another event ID",
            |it| it.event_id = Some("$other".to_owned()),
            |_| mismatch(Mismatch::EventId),
            (400, r#"{"errcode":"M_INVALID_PARAM","error":"The event ID in the path is not that of the event"}"#),
        ),
        row(
            260,
            "no key that is known",
            |it| it.key = Ed25519Key::from_seed("ed25519:2", b"kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk").expect("a key ID"),
            |_| not_signed(),
            SIGNATURE,
        ),
        row(270, "an expired key", |it| it.validity = KeyValidity::Expired(THEN - 1), |_| not_signed(), SIGNATURE),
        row(270, "a key out of date", |it| it.validity = KeyValidity::Until(THEN - 1), |_| not_signed(), SIGNATURE),
        row(
            280,
            "a forged signature",
            |it| it.key = Ed25519Key::from_seed(KEY_ID, &[0; 32]).expect("a key ID"),
            |_| {
                let (server, key_id) = ("k.example".to_owned(), KEY_ID.to_owned());
                Said::This(Refusal::Signature(SignatureError::BadSignature { server, key_id }))
            },
            SIGNATURE,
        ),
        row(
            290,
            "a wrong hash",
            |it| it.signed.push(|event| event["content"]["reason"] = json!("S")),
            |_| Said::This(Refusal::ContentHash),
            (400, r#"{"errcode":"M_INVALID_PARAM","error":"The content hash of the event is wrong"}"#),
        ),
        row(
            300,
            "unknown auth events",
            |it| it.found = Some(it.auth_events.len() - 1),
            |it| Said::Missing(vec![text_of(&it.auth_events.last().expect("an auth event").0["event_id"])]),
            FORBIDDEN,
        ),
        row(
            310,
            "no previous events",
            |it| it.event["prev_events"] = json!([]),
            |_| Said::This(Refusal::NoPrevEvents),
            FORBIDDEN,
        ),
        row(
            330,
            "auth events twice",
            |it| {
                let mut twice = it.auth_events[0].clone();
                twice.0["event_id"] = json!(format!("${:B>43}", ""));
                it.auth_events.push(twice);
            },
            |_| itself(Rule::DuplicateAuthEvents),
            FORBIDDEN,
        ),
        row(
            340,
            "an auth event that does not belong there",
            |it| it.auth_events.push((it.other("m.room.name", "", json!({})), AuthStatus::Accepted)),
            |_| itself(Rule::UnselectedAuthEvent),
            FORBIDDEN,
        ),
        row(
            350,
            "a rejected auth event",
            |it| it.auth_events[0].1 = AuthStatus::Rejected,
            |_| itself(Rule::RejectedAuthEvent),
            FORBIDDEN,
        ),
        row(
            370,
            "an auth event of another room",
            |it| it.auth_events[0].0["room_id"] = json!("!other:a.example"),
            |_| itself(Rule::AuthEventOfOtherRoom),
            FORBIDDEN,
        ),
        row(
            500,
            "policy server",
            |it| {
                *it = it.clone().with_policy_server();
                it.policy = PolicyVerdict::Refused(PolicyRefusal::NoAnswer);
            },
            |_| Said::This(Refusal::Policy(PolicyRefusal::NoAnswer)),
            (403, r#"{"errcode":"M_FORBIDDEN","error":"The policy server of the room has not signed the event"}"#),
        ),
        row(
            510,
            "rate limit",
            |it| it.decision = Decision::RateLimited { retry_after_ms: Some(1500) },
            |_| Said::This(Refusal::RateLimited { retry_after_ms: Some(1500) }),
            (429, r#"{"errcode":"M_LIMIT_EXCEEDED","error":"Too many requests","retry_after_ms":1500}"#),
        ),
        row(
            510,
            "forbidden",
            |it| it.decision = Decision::Forbidden,
            |_| Said::This(Refusal::Forbidden),
            (403, r#"{"errcode":"M_FORBIDDEN","error":"Not allowed here"}"#),
        ),
        row(
            510,
            "suspended",
            |it| it.decision = Decision::Suspended,
            |_| Said::This(Refusal::Suspended),
            (403, r#"{"errcode":"M_USER_SUSPENDED","error":"The user is suspended"}"#),
        ),
        row(
            510,
            "an error of the host's own",
            |it| it.decision = Decision::Refuse(own_error()),
            |_| Said::This(Refusal::ByHost(own_error())),
            OWN_ERROR,
        ),
    ]
}

/// Those of a version: the create event is named by the `auth_events`, or by the room ID.
fn of_the_create_event(version: RoomVersion) -> Break {
    if version >= RoomVersion::V12 {
        return row(
            320,
            "the create event of another room",
            |it| {
                let mut create = it.other("m.room.create", "", json!({ "room_version": "12" }));
                drop(create.as_object_mut().map(|it| it.remove("room_id")));
                put(create, &mut it.state);
            },
            |_| itself(Rule::NoCreateEvent),
            FORBIDDEN,
        );
    }
    row(
        360,
        "no create event named",
        |it| it.auth_events.retain(|(event, _)| event["type"] != json!("m.room.create")),
        |_| itself(Rule::NoCreateEvent),
        FORBIDDEN,
    )
}

/// The event of this type, and of Kay if it is a membership.
fn at<'e>(mut events: impl Iterator<Item = &'e mut Stored>, event_type: &str) -> &'e mut Value {
    let key = if event_type == "m.room.member" { KAY } else { "" };
    let found = events.find(|event| event["type"] == json!(event_type) && event["state_key"] == json!(key));
    &mut found.expect("an event of the room")["content"]
}

fn named<'e>(submission: &'e mut Submission, event_type: &str) -> &'e mut Value {
    at(submission.auth_events.iter_mut().map(|(event, _)| event), event_type)
}

/// That the room is of one server alone: by each of the three states.
fn not_federated(version: RoomVersion) -> Vec<Break> {
    let mut breaks = vec![row(
        430,
        "not federated before",
        |it| at(it.before.iter_mut(), "m.room.create")["m.federate"] = json!(false),
        |_| Said::Rule(AuthStage::StateBefore, Rule::NotFederated),
        FORBIDDEN,
    )];
    // Since v12 the create event is that of the room in any case.
    let now = |it: &mut Submission| at(it.state.iter_mut(), "m.room.create")["m.federate"] = json!(false);
    if version >= RoomVersion::V12 {
        let said = |_: &Submission| Said::Rule(AuthStage::AuthEvents, Rule::NotFederated);
        breaks.push(row(400, "not federated", now, said, FORBIDDEN));
        return breaks;
    }
    breaks.push(row(
        400,
        "not federated by the auth events",
        |it| named(it, "m.room.create")["m.federate"] = json!(false),
        |_| Said::Rule(AuthStage::AuthEvents, Rule::NotFederated),
        FORBIDDEN,
    ));
    let said = |_: &Submission| Said::Rule(AuthStage::CurrentState, Rule::NotFederated);
    breaks.push(row(460, "not federated now", now, said, FORBIDDEN));
    breaks
}

/// The host refuses with an error that is its own.
pub(crate) fn own_error() -> Box<ErrorResponse> {
    let response = ErrorResponse::with_status(451, Errcode::from("ORG.EXAMPLE_LAW"), "Not in this country");
    Box::new(response.with_extra(r#"{"org.example.contact":["@law:a.example"]}"#).expect("an object"))
}

pub(crate) const OWN_ERROR: (u16, &str) = (
    451,
    concat!(
        r#"{"errcode":"ORG.EXAMPLE_LAW","error":"Not in this country","#,
        r#""org.example.contact":["@law:a.example"]}"#
    ),
);

fn of_knocks(version: RoomVersion) -> Vec<Break> {
    let mut breaks = vec![
        row(
            40,
            "a version without knocking",
            |it| it.version = RoomVersion::V6,
            |_| Said::This(Refusal::NoKnocking(RoomVersion::V6)),
            (403, r#"{"errcode":"M_FORBIDDEN","error":"There is no knocking in the version of the room"}"#),
        ),
        row(
            410,
            "the join rule by the auth events",
            |it| *named(it, "m.room.join_rules") = json!({ "join_rule": "invite" }),
            |_| Said::Rule(AuthStage::AuthEvents, Rule::KnockJoinRule),
            FORBIDDEN,
        ),
        row(
            420,
            "banned by the auth events",
            |it| {
                let ban = it.other("m.room.member", KAY, json!({ "membership": "ban" }));
                it.auth_events.push((ban, AuthStatus::Accepted));
            },
            |_| Said::Rule(AuthStage::AuthEvents, Rule::KnockMembership),
            FORBIDDEN,
        ),
        row(
            440,
            "the join rule before",
            |it| *at(it.before.iter_mut(), "m.room.join_rules") = json!({ "join_rule": "public" }),
            |_| Said::Rule(AuthStage::StateBefore, Rule::KnockJoinRule),
            FORBIDDEN,
        ),
        row(
            450,
            "invited before",
            |it| put(it.other("m.room.member", KAY, json!({ "membership": "invite" })), &mut it.before),
            |_| Said::Rule(AuthStage::StateBefore, Rule::KnockMembership),
            FORBIDDEN,
        ),
        row(
            470,
            "the join rule now",
            |it| *at(it.state.iter_mut(), "m.room.join_rules") = json!({ "join_rule": "restricted" }),
            |_| Said::Rule(AuthStage::CurrentState, Rule::KnockJoinRule),
            FORBIDDEN,
        ),
        row(
            480,
            "joined now",
            |it| put(it.other("m.room.member", KAY, json!({ "membership": "join" })), &mut it.state),
            |_| Said::Rule(AuthStage::CurrentState, Rule::KnockMembership),
            FORBIDDEN,
        ),
    ];
    // Before, the property means nothing.
    if version >= RoomVersion::V8 {
        const RESPONSE: (u16, &str) =
            (400, r#"{"errcode":"M_INVALID_PARAM","error":"A knock has no `join_authorised_via_users_server`"}"#);
        let said = |_: &Submission| mismatch(Mismatch::AuthorizingUser);
        let user = |it: &mut Submission| it.event["content"][AUTHORIZING_USER] = json!("@alice:a.example");
        let nobody = |it: &mut Submission| it.event["content"][AUTHORIZING_USER] = json!(null);
        breaks.push(row(250, "an authorizing user", user, said, RESPONSE));
        breaks.push(row(250, "no authorizing user", nobody, said, RESPONSE));
    }
    breaks
}

const AUTHORIZING_USER: &str = "join_authorised_via_users_server";

fn of_leaves(version: RoomVersion) -> Vec<Break> {
    let mut breaks = vec![
        row(
            410,
            "nothing to leave by the auth events",
            |it| *named(it, "m.room.member") = json!({ "membership": "leave" }),
            |_| Said::Rule(AuthStage::AuthEvents, Rule::LeaveFromNothing),
            FORBIDDEN,
        ),
        row(
            440,
            "nothing to leave before",
            |it| it.before.retain(|event| event["state_key"] != json!(KAY)),
            |_| Said::Rule(AuthStage::StateBefore, Rule::LeaveFromNothing),
            FORBIDDEN,
        ),
        row(
            470,
            "nothing to leave now",
            |it| *at(it.state.iter_mut(), "m.room.member") = json!({ "membership": "ban" }),
            |_| Said::Rule(AuthStage::CurrentState, Rule::LeaveFromNothing),
            FORBIDDEN,
        ),
    ];
    if version >= RoomVersion::V8 {
        let user = |it: &mut Submission| it.event["content"][AUTHORIZING_USER] = json!("@alice:a.example");
        let said = |_: &Submission| itself(Rule::AuthorizingServerSignature);
        breaks.push(row(380, "an authorizing user whose server has not signed", user, said, FORBIDDEN));
    }
    breaks
}

/// Every break there is, in the order of the checks.
pub(crate) fn breaks(membership: Membership, version: RoomVersion) -> Vec<Break> {
    let mut breaks = common();
    breaks.extend(malformed());
    breaks.push(of_the_create_event(version));
    breaks.extend(not_federated(version));
    breaks.extend(if membership == Membership::Leave { of_leaves(version) } else { of_knocks(version) });
    breaks.sort_by_key(|row| row.step);
    breaks
}
