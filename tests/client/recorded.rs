//! Reality: every `/knock` that a recorded client made is read as Synapse read it, or a listed exception says why not; is built again as
//! it was; and Synapse's answer is understood.

use std::collections::BTreeMap;

use matrix_knock::client::{KnockErrorKind, KnockRequest, KnockResponse, RequestError};
use matrix_knock::wire::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::{Value, json};

const CALLS: &str = include_str!("../vectors/client_calls.jsonl");

#[derive(Deserialize)]
struct Call {
    source: String,
    method: String,
    path: String,
    query: String,
    body: Option<String>,
    body_hex: Option<String>,
    status: u16,
    response: Value,
}

/// Where our answer is another than the recorded one.
struct Exception {
    /// The end of the path, and the body.
    path: &'static str,
    body: &'static str,
    /// Status, and code if there was one, of the recorded answers.
    recorded: &'static [(u16, Option<&'static str>)],
    ours: (u16, &'static str),
    why: &'static str,
}

const EXCEPTIONS: [Exception; 5] = [
    Exception {
        path: "/not-a-room-id",
        body: r#"{"reason":"x"}"#,
        recorded: &[(400, Some("M_UNKNOWN"))],
        ours: (400, "M_INVALID_PARAM"),
        why: "a parameter with a wrong value has a code of its own",
    },
    Exception {
        path: "",
        body: r#"{"reason":5}"#,
        recorded: &[(200, None)],
        ours: (400, "M_BAD_JSON"),
        why: "a reason is a string; Synapse sends the number into the room",
    },
    Exception {
        path: "",
        body: r#"{"reason":"first","reason":"second"}"#,
        recorded: &[(200, None)],
        ours: (400, "M_BAD_JSON"),
        why: "a property that stands twice is malformed everywhere in here; Synapse takes the last",
    },
    Exception {
        path: "",
        body: r#"{"reason":"a\ud83db"}"#,
        recorded: &[(502, Some("M_UNKNOWN")), (500, Some("M_UNKNOWN"))],
        ours: (400, "M_BAD_JSON"),
        why: "half a surrogate pair is no text; Synapse notices when it hashes the event, and blames itself or the others",
    },
    Exception {
        path: "",
        body: r#"{"reason":"a\udc00b"}"#,
        recorded: &[(502, Some("M_UNKNOWN")), (500, Some("M_UNKNOWN"))],
        ours: (400, "M_BAD_JSON"),
        why: "as the other half",
    },
];

fn calls() -> Vec<Call> {
    CALLS.lines().map(|line| serde_json::from_str(line).expect("a call")).collect()
}

impl Call {
    fn body(&self) -> Vec<u8> {
        let Some(hex) = &self.body_hex else { return self.body.clone().expect("a body").into_bytes() };
        hex.as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hexadecimal digits"))
            .collect()
    }

    fn recorded(&self) -> (u16, Option<&str>) {
        (self.status, self.response.get("errcode").map(|errcode| errcode.as_str().expect("a code")))
    }

    fn exception(&self) -> Option<(usize, &'static Exception)> {
        let is_listed = |exception: &&Exception| {
            self.path.ends_with(exception.path)
                && self.body.as_deref() == Some(exception.body)
                && exception.recorded.contains(&self.recorded())
        };
        // Where no path is named, the body says it all.
        EXCEPTIONS.iter().enumerate().find(|(_, exception)| is_listed(exception))
    }

    /// The room, as the sender encoded it: no more than these characters.
    fn room(&self) -> String {
        let (_, encoded) = self.path.split_once("/knock/").expect("the path of a knock");
        encoded.replace("%21", "!").replace("%23", "#").replace("%3A", ":")
    }

    /// The servers, each of which stands under one name.
    fn servers(&self) -> Vec<String> {
        let pairs = self.query.split('&').filter(|pair| !pair.is_empty());
        pairs.map(|pair| pair.split_once('=').expect("a pair").1.replace("%3A", ":")).collect()
    }
}

#[test]
fn requests_are_read_as_they_were() {
    let mut used: BTreeMap<usize, Vec<(u16, Option<String>)>> = BTreeMap::new();
    let (mut read, mut refused) = (0, 0);
    for call in calls() {
        let body = call.body();
        let request = HttpRequest { method: &call.method, path: &call.path, query: &call.query, body: &body };
        let parsed = KnockRequest::parse(request);
        let (status, errcode) = call.recorded();
        let refused_with = parsed.as_ref().err().map(RequestError::to_response);
        let ours = parsed.as_ref().map_err(|_| {
            let response = refused_with.as_ref().expect("an error");
            (response.status(), response.errcode().as_str())
        });
        if let Some((position, exception)) = call.exception() {
            assert_eq!(ours, Err(exception.ours), "{}: {}", call.source, exception.why);
            assert_ne!((exception.ours.0, Some(exception.ours.1)), (status, errcode), "{}", call.source);
            used.entry(position).or_default().push((status, errcode.map(str::to_owned)));
            continue;
        }
        // Of the recorded errors those with 400 are about the request, the others about the room.
        match ours {
            Err(ours) => {
                assert_eq!((status, errcode), (ours.0, Some(ours.1)), "{}", call.source);
                refused += 1;
            }
            Ok(knock) => {
                assert_ne!(status, 400, "{}", call.source);
                let sent: Value = serde_json::from_slice(&body).expect("JSON");
                assert_eq!(knock.room_id_or_alias().as_str(), call.room(), "{}", call.source);
                assert_eq!(knock.via(), call.servers(), "{}", call.source);
                assert_eq!(knock.reason(), sent["reason"].as_str(), "{}", call.source);
                built_again(&call, knock, &sent);
                read += 1;
            }
        }
    }
    assert_eq!((read, refused, used.values().map(Vec::len).sum::<usize>()), (353, 24, 27));
    for (position, exception) in EXCEPTIONS.iter().enumerate() {
        for (status, errcode) in exception.recorded {
            let recorded = (*status, errcode.map(str::to_owned));
            assert!(used.get(&position).is_some_and(|used| used.contains(&recorded)), "unused: {}", exception.why);
        }
    }
}

fn built_again(call: &Call, knock: &KnockRequest, sent: &Value) {
    let built = knock.to_http();
    assert_eq!((built.method, &built.path), ("POST", &call.path), "{}", call.source);
    assert!(built.query.contains(&call.query), "{}", call.source);
    let body: Value = serde_json::from_str(&built.body.expect("a body")).expect("JSON");
    let expected = sent["reason"].as_str().map_or_else(|| json!({}), |reason| json!({ "reason": reason }));
    assert_eq!(body, expected, "{}", call.source);
}

#[test]
fn answers_are_understood() {
    let mut kinds: BTreeMap<(u16, Option<String>), (KnockErrorKind, usize)> = BTreeMap::new();
    let mut knocks = 0;
    for call in calls() {
        let body = call.response.to_string();
        match KnockResponse::parse(HttpResponse { status: call.status, retry_after: None, body: &body }) {
            Ok(response) => {
                let written: Value = serde_json::from_str(&response.to_string()).expect("JSON");
                assert_eq!((call.status, written), (200, call.response), "{}", call.source);
                knocks += 1;
            }
            Err(error) => {
                assert_eq!((error.status(), error.errcode()), call.recorded(), "{}", call.source);
                assert_eq!(error.error(), call.response["error"].as_str(), "{}", call.source);
                let (status, errcode) = call.recorded();
                let (kind, count) =
                    kinds.entry((status, errcode.map(str::to_owned))).or_insert((error.kind().clone(), 0));
                assert_eq!(kind, error.kind(), "{}", call.source);
                *count = count.saturating_add(1);
            }
        }
    }
    let kinds: Vec<(u16, String, KnockErrorKind, usize)> = kinds
        .into_iter()
        .map(|((status, errcode), (kind, count))| (status, errcode.expect("a code"), kind, count))
        .collect();
    let expected = [
        (400, "M_BAD_JSON", KnockErrorKind::Other, 6),
        (400, "M_NOT_JSON", KnockErrorKind::Other, 18),
        (400, "M_UNKNOWN", KnockErrorKind::Other, 3),
        (403, "M_BAD_STATE", KnockErrorKind::Other, 5),
        (403, "M_FORBIDDEN", KnockErrorKind::Forbidden, 81),
        (404, "M_NOT_FOUND", KnockErrorKind::NotFound, 3),
        (404, "M_UNKNOWN", KnockErrorKind::NotFound, 9),
        (500, "M_FORBIDDEN", KnockErrorKind::Forbidden, 1),
        (500, "M_UNKNOWN", KnockErrorKind::Other, 6),
        (502, "M_UNKNOWN", KnockErrorKind::NoAnswer, 15),
    ];
    let expected = expected.map(|(status, errcode, kind, count)| (status, errcode.to_owned(), kind, count));
    assert_eq!((kinds, knocks), (expected.to_vec(), 257));
}
