//! Hostile answers to our invites: what is taken of them, and what the inviting user's client is
//! told.

use matrix_knock::error::ErrorResponse;
use matrix_knock::event::{KeyValidity, KeysFn, VerifyKey};
use matrix_knock::machine::{Machine as _, Reply, Want};
use matrix_knock::resident::answer::{BadInviteAnswer, NotInvited};
use matrix_knock::wire::HttpResponse;
use serde_json::{Value, json};

use super::attempt::Found;
use super::changes::{bomb, flip};
use super::inviting::{answered, known, of_recorded, sent};
use super::{INVITED, INVITER, OTHER, Recorded, oracle, published, recorded};

/// What comes of an answer: our event with the one signature, or nothing.
type Expected = Result<(), BadInviteAnswer>;

/// The name of a change to the event, the change, and what comes of it.
type Event = (&'static str, fn(&mut Value), Expected);
/// The same for the body around the event.
type Body = (&'static str, fn(&str) -> String, Expected);

const TAKEN: Expected = Ok(());
const NO_EVENT: Expected = Err(BadInviteAnswer::NoEvent);
const OTHER_EVENT: Expected = Err(BadInviteAnswer::OtherEvent);
const NOT_SIGNED: Expected = Err(BadInviteAnswer::NotSigned);
const BAD_SIGNATURE: Expected = Err(BadInviteAnswer::BadSignature);
const TOO_LARGE: Expected = Err(BadInviteAnswer::TooLarge);

/// Changes to the event in an answer that is right.
const EVENTS: &[Event] = &[
    ("nothing", |_| {}, TAKEN),
    // Of the signatures one is taken, whatever is beside it.
    ("our signature dropped", |e| e["signatures"] = json!({ INVITED: e["signatures"][INVITED] }), TAKEN),
    ("our signature changed", |e| flip(&mut e["signatures"][INVITER]["ed25519:a_iYFt"]), TAKEN),
    ("our signatures emptied", |e| e["signatures"][INVITER] = json!({}), TAKEN),
    ("our signature by another key added", |e| e["signatures"][INVITER]["ed25519:2"] = json!("A".repeat(86)), TAKEN),
    (
        "signature of another server added",
        |e| e["signatures"][OTHER] = json!({ "ed25519:test": "A".repeat(86) }),
        TAKEN,
    ),
    (
        "signature of a policy server added",
        |e| {
            e["signatures"][OTHER] = json!({ "ed25519:policy_server": "A".repeat(86) });
        },
        TAKEN,
    ),
    (
        "their signature by an unknown key added",
        |e| e["signatures"][INVITED]["ed25519:0"] = json!("A".repeat(86)),
        TAKEN,
    ),
    ("their signature that is none added", |e| e["signatures"][INVITED]["ed25519:0"] = json!("?"), TAKEN),
    ("their signature of another algorithm added", |e| e["signatures"][INVITED]["rsa:1"] = json!("AAAA"), TAKEN),
    ("their signature padded", |e| their_signature(e, |text| format!("{text}==")), TAKEN),
    (
        "their signature in the other alphabet",
        |e| {
            their_signature(e, |text| text.replace('+', "-").replace('/', "_"));
        },
        TAKEN,
    ),
    (
        "unsigned stuffed",
        |e| {
            e["unsigned"] = json!({
                "age": 1, "redacted_because": {}, "invite_room_state": [{}], "prev_content": { "membership": "join" },
                "x": "x".repeat(100_000),
            });
        },
        TAKEN,
    ),
    ("unsigned a list", |e| e["unsigned"] = json!([1]), TAKEN),
    ("unsigned with a fraction", |e| e["unsigned"] = json!({ "age": 0.5 }), TAKEN),
    ("unsigned of 300 KB", |e| e["unsigned"] = json!({ "x": "x".repeat(300_000) }), TOO_LARGE),
    // Another event.
    ("another reason", |e| e["content"]["reason"] = json!("Come"), OTHER_EVENT),
    ("a property of the content more", |e| e["content"]["x"] = json!(1), OTHER_EVENT),
    ("a property more", |e| e["x"] = json!(1), OTHER_EVENT),
    ("an event ID", |e| e["event_id"] = json!("$event"), OTHER_EVENT),
    ("another membership", |e| e["content"]["membership"] = json!("join"), OTHER_EVENT),
    ("redirected to another room", |e| e["room_id"] = json!("!other:hs2.test:28448"), OTHER_EVENT),
    (
        "redirected to another room, signed",
        |e| {
            e["room_id"] = json!("!other:hs2.test:28448");
            signed_anew(e);
        },
        OTHER_EVENT,
    ),
    ("another user", |e| e["state_key"] = json!("@other:hs2.test:28448"), OTHER_EVENT),
    ("another sender", |e| e["sender"] = json!("@other:hs1.test:18448"), OTHER_EVENT),
    ("a later time", |e| e["origin_server_ts"] = json!(1_795_320_999_999_u64), OTHER_EVENT),
    (
        "another depth, signed",
        |e| {
            e["depth"] = json!(1);
            signed_anew(e);
        },
        OTHER_EVENT,
    ),
    ("auth events in another order", |e| e["auth_events"].as_array_mut().unwrap().reverse(), OTHER_EVENT),
    ("no auth events", |e| e["auth_events"] = json!([]), OTHER_EVENT),
    ("another hash beside", |e| e["hashes"]["md5"] = json!("AAAA"), OTHER_EVENT),
    ("empty", |e| *e = json!({}), OTHER_EVENT),
    ("a list", |e| *e = json!([e.clone()]), OTHER_EVENT),
    ("null", |e| *e = Value::Null, OTHER_EVENT),
    // Not signed.
    ("without their signature", |e| e["signatures"] = json!({ INVITER: e["signatures"][INVITER] }), NOT_SIGNED),
    ("no signatures", |e| *e = oracle::without(e, &["signatures"]), NOT_SIGNED),
    ("signatures null", |e| e["signatures"] = Value::Null, NOT_SIGNED),
    ("signatures a list", |e| e["signatures"] = json!([e["signatures"]]), NOT_SIGNED),
    ("their signatures null", |e| e["signatures"][INVITED] = Value::Null, NOT_SIGNED),
    ("their signatures emptied", |e| e["signatures"][INVITED] = json!({}), NOT_SIGNED),
    ("their signature null", |e| e["signatures"][INVITED][oracle::KEY_ID] = Value::Null, NOT_SIGNED),
    ("their signature empty", |e| their_signature(e, |_| String::new()), NOT_SIGNED),
    ("their signature cut off", |e| their_signature(e, |text| text.get(..85).unwrap().to_owned()), NOT_SIGNED),
    (
        "their signature under another name",
        |e| {
            e["signatures"] = json!({ "hs2.test": e["signatures"][INVITED], OTHER: e["signatures"][INVITED] });
        },
        NOT_SIGNED,
    ),
    (
        "their signature under an unknown key ID",
        |e| {
            e["signatures"][INVITED] = json!({ "ed25519:0": e["signatures"][INVITED][oracle::KEY_ID] });
        },
        NOT_SIGNED,
    ),
    (
        "their signature behind eight others",
        |e| {
            (0..8).for_each(|number| e["signatures"][INVITED][format!("ed25519:{number}")] = json!("A".repeat(86)));
        },
        NOT_SIGNED,
    ),
    // Signed wrongly.
    ("a bit of their signature changed", |e| flip(&mut e["signatures"][INVITED][oracle::KEY_ID]), BAD_SIGNATURE),
    (
        "signed by another's key",
        |e| {
            e["signatures"][INVITED][oracle::KEY_ID] = e["signatures"][INVITER]["ed25519:a_iYFt"].clone();
        },
        BAD_SIGNATURE,
    ),
    (
        "a second signature that is wrong",
        |e| {
            e["signatures"][INVITED]["ed25519:a_mdJa"] = e["signatures"][INVITED][oracle::KEY_ID].clone();
        },
        BAD_SIGNATURE,
    ),
];

/// Changes to the text of a body that is right: what stands around the event.
const BODIES: &[Body] = &[
    ("properties beside the event", |event| format!(r#"{{"room_id":"!x:y","event":{event},"state":[{{}}]}}"#), TAKEN),
    (
        "white space",
        |event| format!(" {{ \"event\" :\n{}}}\t", event.replace(r#","hashes""#, " ,\r\n \"hashes\"")),
        TAKEN,
    ),
    (
        "escapes",
        |event| format!(r#"{{"\u0065vent":{}}}"#, event.replace("m.room.member", r"m.room.\u006dember")),
        TAKEN,
    ),
    ("unsigned nested 200 levels", |event| with_unsigned(event, &bomb(200)), TAKEN),
    ("unsigned with half a character", |event| with_unsigned(event, r#""\ud800""#), TAKEN),
    ("empty", |_| String::new(), NO_EVENT),
    ("null", |_| "null".to_owned(), NO_EVENT),
    ("a number", |_| "5".to_owned(), NO_EVENT),
    ("empty object", |_| "{}".to_owned(), NO_EVENT),
    ("HTML", |_| "<html><body>It works!</body></html>".to_owned(), NO_EVENT),
    ("an error", |_| r#"{"errcode":"M_FORBIDDEN","error":"No"}"#.to_owned(), NO_EVENT),
    ("the event itself", str::to_owned, NO_EVENT),
    ("the first version of the API", |event| format!(r#"[200,{{"event":{event}}}]"#), NO_EVENT),
    ("event twice", |event| format!(r#"{{"event":{event},"event":{event}}}"#), NO_EVENT),
    ("cut off", |event| format!(r#"{{"event":{event}"#), NO_EVENT),
    ("something behind it", |event| format!(r#"{{"event":{event}}}{{}}"#), NO_EVENT),
    ("a bomb that goes on", |_| format!(r#"{{"event":{}"#, "[".repeat(200_000)), NO_EVENT),
    ("a bomb", |_| format!(r#"{{"event":{}}}"#, bomb(100_000)), OTHER_EVENT),
    (
        "a property twice",
        |event| {
            format!(
                r#"{{"event":{}}}"#,
                event.replacen(r#""hashes""#, r#""content":{"membership":"join"},"hashes""#, 1)
            )
        },
        OTHER_EVENT,
    ),
    (
        "no JSON in it",
        |event| format!(r#"{{"event":{}}}"#, event.replacen(r#""hashes""#, r#"x,"hashes""#, 1)),
        OTHER_EVENT,
    ),
    ("262,145 bytes", |event| padded(event, 262_145), TOO_LARGE),
    ("8 MiB", |event| padded(event, 8 << 20), TOO_LARGE),
    ("20 MB", |event| padded(event, 20_000_000), TOO_LARGE),
    ("262,144 bytes", |event| padded(event, 262_144), TAKEN),
];

/// What is known of the keys, and what comes of an answer that is right.
const KEYS: &[(&str, Found, Expected)] = &[
    ("unknown", |_, _| None, NOT_SIGNED),
    ("of every other server", |name, id| published(name, id).filter(|_| name != INVITED), NOT_SIGNED),
    ("expired in time", |name, id| with(name, id, KeyValidity::Expired(1_795_320_900_000)), TAKEN),
    ("expired before", |name, id| with(name, id, KeyValidity::Expired(1_795_320_000_000)), NOT_SIGNED),
    ("valid until before", |name, id| with(name, id, KeyValidity::Until(1_795_320_000_000)), NOT_SIGNED),
    ("another", |name, id| published(OTHER, id).filter(|_| name == INVITED), BAD_SIGNATURE),
];

fn with(name: &str, key_id: &str, validity: KeyValidity) -> Option<VerifyKey> {
    published(name, key_id).map(|key| VerifyKey { validity, ..key })
}

fn their_signature(event: &mut Value, change: fn(&str) -> String) {
    let signature = &mut event["signatures"][INVITED][oracle::KEY_ID];
    *signature = json!(change(signature.as_str().unwrap()));
}

/// What the invited server has changed it signs too. (The content is signed alike in all versions.)
fn signed_anew(event: &mut Value) {
    event["hashes"]["sha256"] = json!(oracle::content_hash(event));
    oracle::sign(matrix_knock::RoomVersion::V10, event, INVITED);
}

fn with_unsigned(event: &str, unsigned: &str) -> String {
    format!(r#"{{"event":{{"unsigned":{unsigned},{}}}"#, event.strip_prefix('{').unwrap())
}

fn padded(event: &str, bytes: usize) -> String {
    let body = format!(r#"{{"event":{event}}}"#);
    format!("{body}{}", " ".repeat(bytes - body.len()))
}

/// The event that comes back, if all is right.
fn right(recorded: &Recorded) -> String {
    oracle::countersigned(recorded.version(), &recorded.event(), INVITED)
}

/// Gives an answer, and looks at all that comes of it.
fn check(recorded: &Recorded, reply: Reply<'_>, keys: Found, expected: &Expected, name: &str) {
    let source = &recorded.source;
    let mut inviting = of_recorded(recorded);
    let found = answered(&mut inviting, reply, &KeysFn(keys));
    // Our text with exactly one signature more; or nothing that could be appended.
    let expected = expected.clone().map(|()| right(recorded)).map_err(NotInvited::BadAnswer);
    assert_eq!(found, expected, "{name}: {source}");
    assert_eq!(inviting.event().text(), sent(recorded), "{name}: {source}");
    if let Err(error) = found {
        let response = r#"{"errcode":"M_UNKNOWN","error":"The server of the user did not sign the invite"}"#;
        assert_eq!((error.to_response().status(), &*error.to_response().to_string()), (502, response), "{name}");
    }
    // It has ended: who answers wrongly is not asked again.
    let ended = inviting.clone();
    assert!(!inviting.retry() && inviting == ended, "{name}");
}

#[test]
fn changed_events() {
    let mut cells = 0;
    for recorded in recorded() {
        for (name, change, expected) in EVENTS {
            let mut event: Value = serde_json::from_str(&right(&recorded)).unwrap();
            change(&mut event);
            let event = event.to_string();
            let body = format!(r#"{{"event":{event}}}"#);
            check(&recorded, HttpResponse::new(200, &body).into(), known, expected, name);
            check(&recorded, Reply::Invited { event: &event }, known, expected, name);
            cells += 2;
        }
        // Each property of its own.
        let right: Value = serde_json::from_str(&right(&recorded)).unwrap();
        for (name, value) in right.as_object().unwrap().iter().filter(|(name, _)| *name != "signatures") {
            let mut changed = right.clone();
            changed[name] = if value.is_string() { json!(format!("{}x", value.as_str().unwrap())) } else { json!("x") };
            let mut null = right.clone();
            null[name] = Value::Null;
            for event in [changed, null, oracle::without(&right, &[name])] {
                let event = event.to_string();
                check(&recorded, Reply::Invited { event: &event }, known, &OTHER_EVENT, name);
                cells += 1;
            }
        }
    }
    assert_eq!(cells, 2520);
}

/// The signed invite of another room, as it was answered there.
#[test]
fn answers_to_other_invites() {
    let (recorded, mut cells) = (recorded(), 0);
    for one in &recorded {
        for other in &recorded {
            let expected = if one.source == other.source { TAKEN } else { OTHER_EVENT };
            check(one, Reply::Invited { event: &right(other) }, known, &expected, &other.source);
            cells += 1;
        }
    }
    assert_eq!(cells, 400);
}

#[test]
fn changed_bodies() {
    let mut cells = 0;
    for recorded in recorded() {
        let event = right(&recorded);
        for (name, change, expected) in BODIES {
            let body = change(&event);
            check(&recorded, HttpResponse::new(200, &body).into(), known, expected, name);
            cells += 1;
        }
    }
    assert_eq!(cells, 480);
}

#[test]
fn keys_that_do_not_count() {
    let mut cells = 0;
    for recorded in recorded() {
        let event = right(&recorded);
        for (name, keys, expected) in KEYS {
            check(&recorded, Reply::Invited { event: &event }, *keys, expected, name);
            cells += 1;
        }
    }
    assert_eq!(cells, 120);
}

/// A status, its body, and what the client is told: the same, or (`None`) that the server could not
/// be asked.
const ERRORS: &[(u16, &str, Option<&str>)] = &[
    (400, r#"{"errcode":"M_INCOMPATIBLE_ROOM_VERSION","error":"No","room_version":"7"}"#, Some("")),
    (403, r#"{"errcode":"M_INVITE_BLOCKED","error":"Not by you"}"#, Some("")),
    (403, r#"{"errcode":"M_FORBIDDEN","error":"No \"invites\" here\n"}"#, Some("")),
    (403, r#"{"errcode":"M_FORBIDDEN","error":""}"#, Some("")),
    (403, r#"{"errcode":"M_FORBIDDEN"}"#, Some(r#"{"errcode":"M_FORBIDDEN","error":""}"#)),
    (403, r#"{"contact":"@help:hs2.test:28448","errcode":"ORG.EXAMPLE_NO","error":"No","x":[1]}"#, Some("")),
    (400, r#"{"errcode":"M_UNSUPPORTED_ROOM_VERSION","error":"No"}"#, Some("")),
    (400, r#"{"errcode":"M_FORBIDDEN","error":"No"}"#, Some("")),
    (429, r#"{"errcode":"M_LIMIT_EXCEEDED","error":"Wait","retry_after_ms":2000}"#, Some("")),
    // These say nothing to the client: it has not written the request.
    (400, r#"{"errcode":"M_MISSING_PARAM","error":"No `event`"}"#, None),
    (400, r#"{"errcode":"M_INVALID_PARAM","error":"Wrong"}"#, None),
    (400, r#"{"errcode":"M_BAD_JSON","error":"Wrong"}"#, None),
    (400, r#"{"errcode":"M_NOT_JSON","error":"Wrong"}"#, None),
    (403, r#"{"errcode":"M_UNAUTHORIZED","error":"Who?"}"#, None),
    (401, r#"{"errcode":"M_UNAUTHORIZED","error":"Who?"}"#, None),
    (401, r#"{"errcode":"M_FORBIDDEN","error":"Who?"}"#, None),
    (403, r#"{"errcode":"M_INVALID_PARAM","error":"Wrong"}"#, None),
    // An old server.
    (404, r#"{"errcode":"M_UNRECOGNIZED","error":"Unrecognized request"}"#, None),
    (404, r#"{"errcode":"M_NOT_FOUND","error":"No such user"}"#, None),
    (405, r#"{"errcode":"M_UNRECOGNIZED","error":"Unrecognized request"}"#, None),
    (404, "<html>404</html>", None),
    (400, r#"{"errcode":"M_UNRECOGNIZED","error":"Unrecognized request"}"#, None),
    (413, r#"{"errcode":"M_TOO_LARGE","error":"Too large"}"#, None),
    // What is no error of this API.
    (403, "", None),
    (403, "<html>Forbidden</html>", None),
    (403, r#"["M_FORBIDDEN"]"#, None),
    (403, r#"{"error":"No"}"#, None),
    (403, r#"{"errcode":403,"error":"No"}"#, None),
    (403, r#"{"errcode":"M_FORBIDDEN","errcode":"M_FORBIDDEN"}"#, None),
    (400, r#"{"errcode":"M_FORBIDDEN""#, None),
    (500, r#"{"errcode":"M_UNKNOWN","error":"Internal server error"}"#, None),
    (500, r#"{"errcode":"M_FORBIDDEN","error":"No"}"#, None),
    (502, "<html>Bad gateway</html>", None),
    (503, r#"{"errcode":"M_INVITE_BLOCKED","error":"No"}"#, None),
    (504, "", None),
    // Nobody follows redirects, and nobody but 200 has an event.
    (100, r#"{"event":{}}"#, None),
    (201, r#"{"event":{}}"#, None),
    (202, r#"{"errcode":"M_FORBIDDEN","error":"No"}"#, None),
    (204, "", None),
    (301, r#"{"event":{}}"#, None),
    (302, r#"{"errcode":"M_FORBIDDEN","error":"No"}"#, None),
    (308, "", None),
    (0, "", None),
    (999, r#"{"errcode":"M_FORBIDDEN","error":"No"}"#, None),
];

/// Gives an error, and looks at all that comes of it.
fn check_error(recorded: &Recorded, reply: Reply<'_>, told: Option<(u16, &str)>, name: &str) {
    let mut inviting = of_recorded(recorded);
    let (_, Want::Request(asked)) = of_recorded(recorded).want() else { panic!("a request") };
    let error = answered(&mut inviting, reply, &KeysFn(known)).unwrap_err();
    let is_refused = matches!(error, NotInvited::Refused(_));
    assert_eq!(is_refused, told.is_some(), "{name}");
    let nobody = r#"{"errcode":"M_UNKNOWN","error":"The server of the user could not be asked"}"#;
    let response: ErrorResponse = error.clone().into();
    assert_eq!((response.status(), &*response.to_string()), told.unwrap_or((502, nobody)), "{name}");
    if is_refused {
        assert_eq!(error, NotInvited::Refused(Box::new(response)), "{name}");
        assert!(!inviting.retry(), "{name}");
        return;
    }
    // The same is asked once more, and a right answer is taken.
    assert_eq!(error, NotInvited::NoAnswer, "{name}");
    assert!(inviting.retry() && !inviting.clone().retry(), "{name}");
    let (_, Want::Request(again)) = inviting.want() else { panic!("{name}") };
    assert_eq!(again, asked, "{name}");
    let right = right(recorded);
    assert_eq!(answered(&mut inviting, Reply::Invited { event: &right }, &KeysFn(known)), Ok(right), "{name}");
}

#[test]
fn errors() {
    let mut cells = 0;
    for recorded in recorded() {
        for (status, body, told) in ERRORS {
            let told = told.map(|told| (*status, if told.is_empty() { *body } else { told }));
            check_error(&recorded, HttpResponse::new(*status, body).into(), told, &format!("{status} {body}"));
            cells += 1;
        }
        // Nobody answers, or something else than what was asked for.
        for reply in [
            Reply::None,
            Reply::Template { room_version: Some("10"), event: &right(&recorded) },
            Reply::Accepted { knock_room_state: &[] },
        ] {
            check_error(&recorded, reply, None, "no answer");
            cells += 1;
        }
        // An event is taken with the status 200 alone.
        let body = format!(r#"{{"event":{}}}"#, right(&recorded));
        for status in [100, 201, 202, 204, 301, 302, 400, 403, 404, 500] {
            check_error(&recorded, HttpResponse::new(status, &body).into(), None, "an event with another status");
            cells += 1;
        }
        // Longer than anybody reads, and a text that is too long to pass on.
        for length in [5_000, 70_000, 8 << 20] {
            let body = json!({ "errcode": "M_FORBIDDEN", "error": "x".repeat(length) }).to_string();
            check_error(&recorded, HttpResponse::new(403, &body).into(), None, "a long error");
            cells += 1;
        }
        // The header counts before the body.
        let body = r#"{"errcode":"M_LIMIT_EXCEEDED","error":"Wait","retry_after_ms":2000}"#;
        let told = r#"{"errcode":"M_LIMIT_EXCEEDED","error":"Wait","retry_after_ms":7000}"#;
        let response = HttpResponse { status: 429, retry_after: Some("7"), body };
        check_error(&recorded, response.into(), Some((429, told)), "Retry-After");
        cells += 1;
    }
    assert_eq!(cells, 1220);
}
