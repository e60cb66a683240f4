//! What has to come of an exchange, told from all that was answered so far: written from the specification's text and the
//! design, by other means than the crate's own. It knows no states: it looks at the whole history each time.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use matrix_knock::RoomVersion;
use matrix_knock::error::Errcode;
use matrix_knock::id::OwnedServerName;
use matrix_knock::knocking::{Details, Failure};
use matrix_knock::machine::Request;
use matrix_knock::wire::HttpResponse;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::room::{HOME, KAY};

/// What is asked of other servers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Purpose<'a> {
    Knock(&'a [RoomVersion]),
    Leave(&'a [RoomVersion]),
}

/// What was asked for, and by whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exchange<'a> {
    pub(crate) purpose: Purpose<'a>,
    pub(crate) room_id: &'a str,
    pub(crate) servers: &'a [OwnedServerName],
    pub(crate) details: &'a Details,
}

/// An HTTP response.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// The header `Retry-After`.
    pub(crate) retry_after: Option<String>,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn new(status: u16, body: impl Into<String>) -> Self {
        Self { status, retry_after: None, body: body.into() }
    }

    pub(crate) fn to_http(&self) -> HttpResponse<'_> {
        HttpResponse { status: self.status, retry_after: self.retry_after.as_deref(), body: &self.body }
    }

    /// Milliseconds: the header says whole seconds, and counts before the body.
    pub(crate) fn retry_after_ms(&self) -> Option<u64> {
        let digits = |text: &&str| !text.is_empty() && text.chars().all(|digit| digit.is_ascii_digit());
        let seconds = self.retry_after.as_deref().map(str::trim).filter(digits);
        let seconds = seconds.and_then(|seconds| seconds.parse::<u128>().ok());
        let header = seconds.filter(|seconds| *seconds <= u128::from(u64::MAX)).map(|seconds| seconds * 1000);
        let header = header.map(|milliseconds| u64::try_from(milliseconds).unwrap_or(u64::MAX));
        header.or_else(|| error(&self.body)?.get("retry_after_ms")?.as_u64())
    }

    /// What the server says to people, and in properties that no other error has.
    fn said(&self) -> Said {
        let text = || Some(error(&self.body)?.get("error")?.as_str()?.to_owned());
        let extra = || {
            let passes = |member: &Value| levels(member) <= 16 && canon(member).len() <= 4096;
            let mut others = once(&self.body)?;
            others.retain(|(key, _)| !["errcode", "error", "retry_after_ms", "room_version"].contains(&key.as_str()));
            let others = others.into_iter().filter_map(|(key, value)| Some((key, strict(value)?)));
            let extra: Value = others.filter(|(key, value)| passes(&json!({ key: value }))).collect();
            Some(extra).filter(|extra| extra != &json!({}) && canon(extra).len() <= 4096)
        };
        Said { error: text().filter(|text| text.len() <= 4096), extra: extra() }
    }
}

/// How deep objects and arrays stand in each other.
fn levels(value: &Value) -> u32 {
    match value {
        Value::Array(values) => 1 + values.iter().map(levels).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(levels).max().unwrap_or(0),
        _ => 0,
    }
}

/// What a server said whose failure is told.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Said {
    pub(crate) error: Option<String>,
    pub(crate) extra: Option<Value>,
}

/// Something that the machine was given and took.
#[derive(Debug, Clone)]
pub(crate) enum Given {
    /// The response and the time; none if there was no answer.
    Reply(Option<Response>, u64),
    Signature(String, [u8; 64]),
}

/// The event that has to be signed, in all its forms.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Expected {
    pub(crate) version: RoomVersion,
    /// What is signed.
    pub(crate) message: String,
    pub(crate) event_id: String,
    hashed: Value,
}

/// A request as it goes over the wire.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OnTheWire {
    server: OwnedServerName,
    method: &'static str,
    path_and_query: String,
    body: Option<String>,
}

impl OnTheWire {
    pub(crate) fn of(request: &Request) -> Self {
        Self {
            server: request.server.clone(),
            method: request.method(),
            path_and_query: request.path_and_query(),
            body: request.body().map(Cow::into_owned),
        }
    }
}

/// What has to be wanted now.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Now {
    Ask(OnTheWire),
    Sign(Expected),
    Accepted { server: OwnedServerName, event_id: String, text: String, version: RoomVersion },
    Failed { failure: Failure, said: Said, perhaps: Option<(OwnedServerName, String)> },
}

impl Exchange<'_> {
    pub(crate) fn now(&self, history: &[Given]) -> Now {
        let failed = |(failure, said)| Now::Failed { failure, said, perhaps: None };
        let mut failures = Vec::new();
        let mut replies = history.iter();
        let mut server = 0;
        let (version, proposed) = loop {
            if server == self.servers.len() {
                return failed(Self::told(failures));
            }
            let reply = match replies.next() {
                None => return Now::Ask(self.make(server)),
                Some(Given::Reply(reply, now)) => (reply, now),
                Some(Given::Signature(..)) => panic!("a signature of nothing"),
            };
            match reply {
                (Some(Response { status: 200, body, .. }), now) => match self.read_template(body) {
                    Some((version, proposed)) => break (version, self.rebuilt(&proposed, *now)),
                    None => failures.push((Failure::NoAnswer, Said::default())),
                },
                (Some(response), _) => match self.other_version(&response.body) {
                    Some(room_version) => {
                        return failed((Failure::IncompatibleRoomVersion { room_version }, response.said()));
                    }
                    None => failures.push((Self::refusal(response, false), response.said())),
                },
                (None, _) => failures.push((Failure::NoAnswer, Said::default())),
            }
            server += 1;
        };
        // Hash and signature come on top: what they add too much is noticed with the signature.
        if canon(&proposed).len() > 65_408 {
            return failed((Failure::TooLarge, Said::default()));
        }
        let event = event_of(version, proposed);
        let (key_id, signature) = match replies.next() {
            None => return Now::Sign(event),
            Some(Given::Signature(key_id, signature)) => (key_id, signature),
            Some(Given::Reply(..)) => panic!("a reply to nothing"),
        };
        let mut signed = event.hashed.clone();
        signed["signatures"] = json!({ HOME: { key_id: BASE64_STANDARD_NO_PAD.encode(signature) } });
        let text = canon(&signed);
        if text.len() > 65_408 {
            return failed((Failure::TooLarge, Said::default()));
        }
        let mut perhaps = None;
        let mut ended = None;
        for reply in replies {
            let Given::Reply(reply, _) = reply else { panic!("a signature of nothing") };
            let name = self.servers[server].clone();
            match reply {
                Some(Response { status: 200, .. }) => {
                    return Now::Accepted { server: name, event_id: event.event_id, text, version };
                }
                // A timeout on the way says nothing of the server behind it.
                Some(response @ Response { status: 400..=499, .. }) if response.status != 408 => {
                    ended = Some((Self::refusal(response, true), response.said()));
                }
                _ => {
                    perhaps = perhaps.or(Some((name, event.event_id.clone())));
                    server += 1;
                }
            }
        }
        if server == self.servers.len() {
            ended = Some((Failure::NoAnswer, Said::default()));
        }
        match ended {
            Some((failure, said)) => Now::Failed { failure, said, perhaps },
            None => Now::Ask(self.send(server, &event.event_id, text)),
        }
    }

    /// The first 403, else the first 429, else 404, else that there is no knocking, else nothing of
    /// use. What the server says whose failure it is goes with it.
    fn told(failures: Vec<(Failure, Said)>) -> (Failure, Said) {
        let first = |is: fn(&Failure) -> bool| failures.iter().find(|(failure, _)| is(failure)).cloned();
        first(|failure| matches!(failure, Failure::Forbidden | Failure::Refused { status: 403, .. }))
            .or_else(|| {
                first(|failure| matches!(failure, Failure::RateLimited { .. } | Failure::Refused { status: 429, .. }))
            })
            .or_else(|| first(|failure| *failure == Failure::NotFound))
            .or_else(|| first(|failure| *failure == Failure::NoKnocking))
            .unwrap_or_else(|| {
                let said = failures.first().map(|(_, said)| said.clone());
                (Failure::NoAnswer, said.unwrap_or_default())
            })
    }

    /// What an error comes to: by its code, and by its status if it has none or one that says
    /// nothing.
    fn refusal(response: &Response, is_sent: bool) -> Failure {
        let status = response.status;
        let errcode = error(&response.body).and_then(|body| body.get("errcode")?.as_str().map(str::to_owned));
        let errcode = errcode.filter(|errcode| errcode.len() <= 255);
        let by_status = match status {
            403 => "M_FORBIDDEN",
            404 => "M_NOT_FOUND",
            405 => "M_UNRECOGNIZED",
            413 => "M_TOO_LARGE",
            429 => "M_LIMIT_EXCEEDED",
            _ => "M_UNKNOWN",
        };
        match errcode.as_deref().filter(|errcode| *errcode != "M_UNKNOWN").unwrap_or(by_status) {
            "M_FORBIDDEN" => Failure::Forbidden,
            "M_NOT_FOUND" => Failure::NotFound,
            "M_UNRECOGNIZED" => Failure::NoKnocking,
            // Before, nothing was sent that could be.
            "M_TOO_LARGE" if is_sent => Failure::TooLarge,
            "M_LIMIT_EXCEEDED" => Failure::RateLimited { retry_after_ms: response.retry_after_ms() },
            _ => Failure::Refused { status, errcode: errcode.map(Errcode::from) },
        }
    }

    fn other_version(&self, body: &str) -> Option<String> {
        let Purpose::Knock(offered) = self.purpose else { return None };
        let body = error(body)?;
        body.get("errcode").filter(|errcode| *errcode == "M_INCOMPATIBLE_ROOM_VERSION")?;
        let named = body.get("room_version")?.as_str().filter(|named| named.len() <= 255)?;
        offered.iter().all(|version| version.as_str() != named).then(|| named.to_owned())
    }

    fn make(&self, server: usize) -> OnTheWire {
        let endpoint = match self.purpose {
            Purpose::Knock(_) => "make_knock",
            Purpose::Leave(_) => "make_leave",
        };
        let mut path = format!("/_matrix/federation/v1/{endpoint}/{}/{}", escaped(self.room_id), escaped(KAY));
        if let Purpose::Knock(versions) = self.purpose {
            for (version, separator) in versions.iter().zip(std::iter::once('?').chain(std::iter::repeat('&'))) {
                path += &format!("{separator}ver={version}");
            }
        }
        OnTheWire { server: self.servers[server].clone(), method: "GET", path_and_query: path, body: None }
    }

    fn send(&self, server: usize, event_id: &str, text: String) -> OnTheWire {
        let endpoint = match self.purpose {
            Purpose::Knock(_) => "v1/send_knock",
            Purpose::Leave(_) => "v2/send_leave",
        };
        let path = format!("/_matrix/federation/{endpoint}/{}/{}", escaped(self.room_id), escaped(event_id));
        OnTheWire { server: self.servers[server].clone(), method: "PUT", path_and_query: path, body: Some(text) }
    }

    /// What may be taken from a template, if it is what was asked for.
    pub(crate) fn read_template(&self, body: &str) -> Option<(RoomVersion, Value)> {
        let answer = strict(body).filter(|_| body.len() <= 131_072)?;
        let (answer, event) = (answer.as_object()?, answer.get("event")?.as_object()?);
        let (version, membership) = match (self.purpose, answer.get("room_version")) {
            (Purpose::Knock(offered), named) => {
                (*offered.iter().find(|version| named.is_some_and(|named| named == version.as_str()))?, "knock")
            }
            // The only possible version need not be named.
            (Purpose::Leave(possible), None) => match possible {
                [only] => (*only, "leave"),
                _ => return None,
            },
            (Purpose::Leave(possible), Some(named)) => {
                (*possible.iter().find(|version| named == version.as_str())?, "leave")
            }
        };
        for (key, value) in [("room_id", self.room_id), ("sender", KAY), ("state_key", KAY), ("type", "m.room.member")]
        {
            event.get(key).filter(|named| *named == value)?;
        }
        let content = event.get("content")?.as_object()?;
        content.get("membership").filter(|named| *named == membership)?;
        if content.contains_key("join_authorised_via_users_server") || content.contains_key("third_party_invite") {
            return None;
        }
        let depth = event.get("depth")?.as_u64().filter(|depth| *depth < 1 << 53)?;
        for (key, counts) in [("auth_events", 0..=10), ("prev_events", 1..=20)] {
            let ids: Option<Vec<_>> = event.get(key)?.as_array()?.iter().map(Value::as_str).collect();
            let mut ids = ids.filter(|ids| counts.contains(&ids.len()) && ids.iter().all(|id| is_event_id(id)))?;
            let all = ids.len();
            ids.sort_unstable();
            ids.dedup();
            if ids.len() < all {
                return None;
            }
        }
        let (auth_events, prev_events) = (&event["auth_events"], &event["prev_events"]);
        Some((version, json!({ "auth_events": auth_events, "prev_events": prev_events, "depth": depth })))
    }

    /// The event with what is known on this side, and with nothing else.
    fn rebuilt(&self, proposed: &Value, now: u64) -> Value {
        let mut content = Map::new();
        let membership = match self.purpose {
            Purpose::Knock(_) => "knock",
            Purpose::Leave(_) => "leave",
        };
        content.insert("membership".to_owned(), membership.into());
        let Details { reason, displayname, avatar_url } = self.details;
        for (key, value) in [("reason", reason), ("displayname", displayname), ("avatar_url", avatar_url)] {
            content.extend(value.clone().map(|value| (key.to_owned(), value.into())));
        }
        json!({
            "type": "m.room.member", "room_id": self.room_id, "sender": KAY, "state_key": KAY, "content": content,
            "origin": HOME, "origin_server_ts": now.min((1 << 53) - 1), "auth_events": proposed["auth_events"],
            "prev_events": proposed["prev_events"], "depth": proposed["depth"],
        })
    }
}

/// Content hash, redaction and reference hash, by hand.
fn event_of(version: RoomVersion, mut event: Value) -> Expected {
    let hash = Sha256::digest(canon(&event));
    event["hashes"] = json!({ "sha256": BASE64_STANDARD_NO_PAD.encode(hash) });
    let mut redacted = event.clone();
    redacted["content"] = json!({ "membership": event["content"]["membership"] });
    if version >= RoomVersion::V11 {
        redacted.as_object_mut().unwrap().remove("origin");
    }
    let message = canon(&redacted);
    let event_id = format!("${}", BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&message)));
    Expected { version, message, event_id, hashed: event }
}

fn is_event_id(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    id.len() == 44 && id.starts_with('$') && id.bytes().skip(1).all(allowed)
}

fn escaped(part: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    part.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// Canonical JSON, of integers and what else the events in here have.
pub(crate) fn canon(value: &Value) -> String {
    match value {
        Value::Array(values) => format!("[{}]", values.iter().map(canon).collect::<Vec<_>>().join(",")),
        Value::Object(members) => {
            let members: BTreeMap<_, _> = members.iter().collect();
            let members =
                members.into_iter().map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), canon(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}

/// An error body, if it is one of a length that is looked at: of what stands twice or is no JSON there
/// is nothing in it.
pub(crate) fn error(body: &str) -> Option<BTreeMap<String, Value>> {
    let read = |(key, value): &(String, &str)| Some((key.clone(), serde_json::from_str(value).ok()?));
    Some(once(body)?.iter().filter_map(read).collect())
}

/// The members of an error body that stand in it once, as texts.
fn once(body: &str) -> Option<Vec<(String, &str)>> {
    let members = members(body).filter(|_| body.len() <= 65_536)?;
    let is_once = |key: &str| members.iter().filter(|(other, _)| other == key).count() == 1;
    Some(members.iter().filter(|(key, _)| is_once(key)).cloned().collect())
}

const SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// The members of an object as texts. The values may turn out to be no JSON; where a key does, there is no
/// member.
fn members(body: &str) -> Option<Vec<(String, &str)>> {
    let mut text = body.trim_matches(SPACE).strip_prefix('{')?.trim_start_matches(SPACE);
    let mut found = Vec::new();
    if text == "}" {
        return Some(found);
    }
    loop {
        let (key, behind) = text.split_at(string_end(text)?);
        let behind = behind.trim_start_matches(SPACE).strip_prefix(':')?;
        let (value, behind) = behind.split_at(value_end(behind)?);
        found.extend(serde_json::from_str(key).ok().map(|key: String| (key, value.trim_matches(SPACE))));
        match behind.strip_prefix(',') {
            Some(more) => text = more.trim_start_matches(SPACE),
            None => return Some(found).filter(|_| behind == "}"),
        }
    }
}

/// Where the string ends that the text begins with.
fn string_end(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    let mut ends = text.strip_prefix('"')?.char_indices().filter(|(_, character)| {
        let is_end = *character == '"' && !is_escaped;
        is_escaped = *character == '\\' && !is_escaped;
        is_end
    });
    ends.next().map(|(at, _)| at + 2)
}

/// Where the value ends that the text begins with: at what cannot be within it.
fn value_end(text: &str) -> Option<usize> {
    let (mut open, mut at) = (0, 0);
    loop {
        match text.get(at..)?.chars().next()? {
            '"' => at += string_end(text.get(at..)?)?,
            ',' | '}' | ']' if open == 0 => return Some(at),
            character => {
                match character {
                    '{' | '[' => open += 1,
                    '}' | ']' => open -= 1,
                    _ => {}
                }
                at += character.len_utf8();
            }
        }
    }
}

/// JSON without keys that stand twice.
pub(crate) fn strict(text: &str) -> Option<Value> {
    serde_json::from_str::<Strict>(text).ok().map(|Strict(value)| value)
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Strict(value)) = elements.next_element()? {
            array.push(value);
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((key, Strict(value))) = members.next_entry::<String, _>()? {
            if object.insert(key, value).is_some() {
                return Err(A::Error::custom("a key that stands twice"));
            }
        }
        Ok(object.into())
    }
}
