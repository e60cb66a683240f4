//! What authors of hosts looked for in the crate, each by name: conversions, comparisons, serde, their own types as events,
//! states and keys.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

#[path = "embedder/host.rs"]
mod host;
#[cfg(feature = "http")]
#[path = "embedder/http.rs"]
mod http;
#[path = "embedder/requests.rs"]
mod requests;
#[path = "embedder/serde.rs"]
mod serde;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::error::Error;
use std::fmt::Debug;
use std::fs;
use std::path::Path;

use matrix_knock::client::{KnockRefusal, RequestError};
use matrix_knock::error::{Errcode, ErrorResponse};
use matrix_knock::event::{EventType, Membership, Pdu, Sign, SignedEvent, UnknownMembership, sign_event};
use matrix_knock::id::{
    EventId, IdError, KeyId, OwnedEventId, OwnedKeyId, OwnedRoomAlias, OwnedRoomId, OwnedRoomIdOrAlias,
    OwnedServerName, OwnedUserId, RoomAlias, RoomId, RoomIdOrAlias, ServerName, UserId,
};
use matrix_knock::knocking::room_state::{ShowUnverified, ShownEvent};
use matrix_knock::knocking::{Failed, Failure, PendingKnock};
use matrix_knock::resident::submission::UnknownAuthEvents;
use matrix_knock::resident::{HostError, Refusal};
use matrix_knock::room_version::{RoomVersion, UnknownRoomVersion};
use matrix_knock::state::NotLookedUp;
use matrix_knock::stripped_state::StrippedEvent;
use matrix_knock::template::TemplateError;
use matrix_knock::x_matrix::XMatrixError;

/// Signs with nothing: for what does not look at signatures.
#[derive(Debug, Clone)]
struct NoKey;

impl Sign for NoKey {
    fn key_id(&self) -> KeyId<'static> {
        KeyId::parse("ed25519:1").unwrap()
    }

    fn sign(&self, _message: &[u8]) -> [u8; 64] {
        [7; 64]
    }
}

const CREATE: &str = r#"{"type":"m.room.create","state_key":"","sender":"@alice:a.example","room_id":"!r:a.example",
    "content":{"room_version":"10"},"auth_events":[],"prev_events":[],"depth":1,"event_id":"$create",
    "origin_server_ts":1600000000000,"hashes":{"sha256":"AAAA"},"signatures":{}}"#;
const JOIN_RULES: &str = r#"{"type":"m.room.join_rules","state_key":"","sender":"@alice:a.example","room_id":"!r:a.example",
    "content":{"join_rule":"knock"},"event_id":"$rules"}"#;
const NAME: &str =
    r#"{"type":"m.room.name","state_key":"","sender":"@alice:a.example","content":{"name":"Knock!","n":[1.5,-0]}}"#;
const KNOCK: &str = r#"{"type":"m.room.member","sender":"@kay:b.example","state_key":"@kay:b.example","room_id":"!r:a.example",
    "content":{"membership":"knock","reason":"Let me in"},"auth_events":["$create","$rules"],"prev_events":["$rules"],
    "depth":3,"origin_server_ts":1700000000000}"#;

fn knock() -> SignedEvent {
    sign_event(RoomVersion::V10, KNOCK, ServerName::parse("b.example").unwrap(), &NoKey).unwrap()
}

fn stripped(text: &str) -> StrippedEvent {
    StrippedEvent::of(&Pdu::parse(text).unwrap()).unwrap()
}

fn shown(text: &str, is_verified: bool) -> ShownEvent {
    ShownEvent { event: stripped(text), is_verified }
}

/// What a host of other software has stored of a knock.
fn pending_knock() -> PendingKnock {
    let server = ServerName::parse("a.example").unwrap();
    let shown = [shown(JOIN_RULES, false), shown(CREATE, true), shown(NAME, false)];
    PendingKnock::of_stored(RoomVersion::V10, knock().text(), server, shown).unwrap()
}

#[test]
fn a_pending_knock_of_what_a_host_has_stored() {
    let pending = pending_knock();
    assert_eq!((pending.room_id(), pending.user_id()), (RoomId::parse("!r:a.example").unwrap(), pending.user_id()));
    assert_eq!((pending.user_id(), pending.server()), (UserId::parse("@kay:b.example").unwrap(), pending.server()));
    assert_eq!((pending.server().as_str(), pending.version()), ("a.example", RoomVersion::V10));
    assert_eq!((pending.event(), pending.event_id()), (&knock(), knock().event_id()));
    let (create, own) = (shown(CREATE, true), shown(KNOCK, true));
    assert_eq!(pending.knock_state(ShowUnverified::Never), [create.clone(), own.clone()]);
    let all = [create, shown(JOIN_RULES, false), shown(NAME, false), own];
    assert_eq!(pending.knock_state(ShowUnverified::Always), all);
    assert_eq!(pending.knock_state(ShowUnverified::default()), all);
}

#[test]
fn a_failure_is_an_error() {
    let mut failed = Failed::from(Failure::NoAnswer);
    failed.perhaps = Some(pending_knock());
    assert_eq!((&failed.failure, failed.error(), failed.extra()), (&Failure::NoAnswer, None, None));
    let error: Box<dyn Error + Send + Sync> = Box::new(failed.clone());
    assert_eq!(error.to_string(), "no useful answer");
    assert_eq!(error.downcast_ref::<Failed>(), Some(&failed));
}

/// Three things that a client is told apart.
#[test]
fn which_membership_stood_in_the_way() {
    for (membership, message, answer) in [
        (Membership::Join, "the user's membership is `join`", "You are in the room already"),
        (Membership::Invite, "the user's membership is `invite`", "You are invited to the room already"),
        (Membership::Ban, "the user's membership is `ban`", "You are banned from the room"),
    ] {
        let failure = Failure::OwnMembership { membership };
        assert_eq!((failure.to_string().as_str(), failure.to_response().error()), (message, answer));
    }
}

macro_rules! identifiers {
    ($name:ident, $owned:ident, $text:literal, $malformed:literal, $error:expr) => {{
        let (borrowed, owned) = ($name::try_from($text).unwrap(), $owned::try_from($text.to_owned()).unwrap());
        assert_eq!(($text.parse(), $owned::try_from($text)), (Ok(owned.clone()), Ok(owned.clone())));
        assert_eq!(($name::try_from($malformed), $malformed.parse::<$owned>()), (Err($error), Err($error)));
        assert_eq!(($name::from(&owned), $owned::from(borrowed)), (borrowed, owned.clone()));
        assert_eq!((owned.as_borrowed(), borrowed.into_owned()), (borrowed, owned.clone()));
        fn text(text: &(impl AsRef<str> + ?Sized)) -> &str {
            text.as_ref()
        }
        assert_eq!([text(&borrowed), text(&owned), borrowed.as_str(), owned.as_str()], [$text; 4]);
        assert_eq!([borrowed.to_string(), owned.to_string(), borrowed.into(), owned.clone().into()], [$text; 4]);
        let string = $text.to_owned();
        assert!(borrowed == $text && borrowed == *$text && borrowed == string && borrowed == owned);
        assert!(owned == $text && owned == *$text && owned == string && owned == borrowed);
        assert!(borrowed != $malformed && owned != $malformed);
        // A map by the owned form is searched by the text.
        let (hashed, sorted) = (HashMap::from([(owned.clone(), 1)]), BTreeMap::from([(owned.clone(), 1)]));
        assert_eq!((hashed.get($text), sorted.get($text), hashed.get($malformed)), (Some(&1), Some(&1), None));
        let json = serde_json::to_string(&borrowed).unwrap();
        assert_eq!((json.as_str(), serde_json::to_string(&owned).unwrap()), (concat!("\"", $text, "\""), json.clone()));
        assert_eq!(serde_json::from_str::<$name<'_>>(&json).unwrap(), borrowed);
        assert_eq!(serde_json::from_str::<$owned>(&json).unwrap(), owned);
        assert_eq!(serde_json::from_value::<$owned>($text.into()).unwrap(), owned);
        assert_eq!(serde_json::to_string(&sorted).unwrap(), concat!("{\"", $text, "\":1}"));
        assert_eq!(serde_json::from_str::<BTreeMap<$owned, u8>>(concat!("{\"", $text, "\":1}")).unwrap(), sorted);
        for error in [
            serde_json::from_str::<$name<'_>>(concat!("\"", $malformed, "\"")).unwrap_err().to_string(),
            serde_json::from_value::<$owned>($malformed.into()).unwrap_err().to_string(),
        ] {
            assert!(error.starts_with(&$error.to_string()), "{error}");
        }
    }};
}

#[test]
fn identifiers_to_and_from_texts() {
    identifiers!(UserId, OwnedUserId, "@kay:b.example", "kay:b.example", IdError::Sigil('@'));
    identifiers!(RoomId, OwnedRoomId, "!r:a.example", "!r:a_b", IdError::ServerName);
    identifiers!(RoomId, OwnedRoomId, "!CfT5xE9KUcYpbuxIJaL3Ka8vcLsbkDtpwVM4C-zLkBo", "!", IdError::LocalPart);
    identifiers!(EventId, OwnedEventId, "$CfT5xE9KUcYpbuxIJaL3Ka8vcLsbkDtpwVM4C-zLkBo", "e", IdError::Sigil('$'));
    identifiers!(ServerName, OwnedServerName, "a.example:8448", "a_b", IdError::ServerName);
    identifiers!(KeyId, OwnedKeyId, "ed25519:a_b+c-d", "ed25519:", IdError::KeyId);
    identifiers!(RoomAlias, OwnedRoomAlias, "#room:a.example", "#room", IdError::NoDomain);
    for (text, is_alias) in [("#room:a.example", true), ("!r:a.example", false)] {
        let (borrowed, owned) = (RoomIdOrAlias::try_from(text).unwrap(), text.parse::<OwnedRoomIdOrAlias>().unwrap());
        assert_eq!(matches!(borrowed, RoomIdOrAlias::Alias(_)), is_alias);
        assert_eq!((owned.as_borrowed(), borrowed.into_owned()), (borrowed, owned.clone()));
        assert_eq!([borrowed.as_ref(), owned.as_ref(), borrowed.as_str(), owned.as_str()], [text; 4]);
        assert_eq!(
            (String::from(owned.clone()), OwnedRoomIdOrAlias::try_from(text.to_owned())),
            (text.to_owned(), Ok(owned))
        );
    }
}

/// What the documentation says of ruma's grammar.
#[test]
fn identifiers_that_ruma_reads_otherwise() {
    use ruma_common::{EventId as RumaEventId, RoomId as RumaRoomId, ServerName as RumaServerName};

    for name in ["256.1.1.1", "b:+8"] {
        assert!(<&RumaServerName>::try_from(name).is_ok(), "{name}");
        assert_eq!(ServerName::parse(name), Err(IdError::ServerName), "{name}");
    }
    assert!(<&RumaRoomId>::try_from("!").is_ok() && <&RumaEventId>::try_from("$").is_ok());
    assert_eq!((RoomId::parse("!"), EventId::parse("$")), (Err(IdError::LocalPart), Err(IdError::LocalPart)));
    assert!(<&RumaRoomId>::try_from("!a:b_c").is_ok());
    assert_eq!(RoomId::parse("!a:b_c"), Err(IdError::ServerName));
    assert!(<&RumaServerName>::try_from("b:65536").is_err() && ServerName::parse("b:65536").is_ok());
    let [longest, too_long] = [244, 250].map(|bytes| format!("{}.example:80", "b".repeat(bytes)));
    assert_eq!((longest.len(), ServerName::parse(&longest).map(ServerName::as_str)), (255, Ok(longest.as_str())));
    assert!(<&RumaServerName>::try_from(too_long.as_str()).is_ok());
    assert_eq!((too_long.len(), ServerName::parse(&too_long)), (261, Err(IdError::ServerName)));
}

#[test]
fn room_versions_and_memberships_of_texts() {
    for version in RoomVersion::ALL {
        let text = version.to_string();
        assert_eq!((RoomVersion::try_from(&*text), text.parse()), (Ok(version), Ok(version)));
        assert!(
            version == *text && version == text.as_str() && version.as_ref() == text && String::from(version) == text
        );
    }
    assert_eq!(
        (RoomVersion::try_from("13"), "".parse()),
        (Err(UnknownRoomVersion), Err::<RoomVersion, _>(UnknownRoomVersion))
    );
    for (membership, text) in [
        (Membership::Ban, "ban"),
        (Membership::Invite, "invite"),
        (Membership::Join, "join"),
        (Membership::Knock, "knock"),
        (Membership::Leave, "leave"),
    ] {
        assert_eq!((Membership::try_from(text), text.parse()), (Ok(membership), Ok(membership)));
        assert!(membership == *text && membership == text && membership.as_ref() == text);
        assert_eq!(membership.to_string(), text);
    }
    assert_eq!(
        (Membership::try_from("Join"), "".parse()),
        (Err(UnknownMembership), Err::<Membership, _>(UnknownMembership))
    );
}

/// Whatever went wrong, `?` makes an answer of it.
#[test]
fn an_answer_of_every_error() {
    fn handler<E>(error: E) -> Result<(), ErrorResponse>
    where
        ErrorResponse: From<E>,
    {
        Err::<(), E>(error)?;
        Ok(())
    }
    let parts = |result: Result<(), ErrorResponse>| {
        let response = result.unwrap_err();
        (response.status(), response.errcode().clone(), response.error().to_owned())
    };
    let not_looked_up = || NotLookedUp::new(EventType::Create, "");
    let internal = || (500, Errcode::Unknown, "Internal server error");
    for (answer, expected) in [
        (handler(Refusal::UnknownRoom), (404, Errcode::NotFound, "Unknown room")),
        (handler(Failure::Forbidden), (403, Errcode::Forbidden, "The room does not allow it")),
        (handler(Failed::from(Failure::NotFound)), (404, Errcode::NotFound, "Unknown room")),
        (handler(RequestError::NotAnObject), (400, Errcode::BadJson, "The body is not an object")),
        (handler(KnockRefusal::Guest), (403, Errcode::GuestAccessForbidden, "Guests may not knock")),
        (handler(XMatrixError::Scheme), (401, Errcode::Unauthorized, "Malformed `Authorization` header")),
        (handler(not_looked_up()), internal()),
        (handler(HostError::NotLookedUp(not_looked_up())), internal()),
        (handler(TemplateError::NoPrevEvents), internal()),
    ] {
        let (status, errcode, error) = expected;
        assert_eq!(parts(answer), (status, errcode, error.to_owned()));
    }
    fn of_unknown_auth_events(error: UnknownAuthEvents) -> ErrorResponse {
        error.into()
    }
    let _by_name: fn(UnknownAuthEvents) -> ErrorResponse = of_unknown_auth_events;

    let limited = ErrorResponse::from(Refusal::RateLimited { retry_after_ms: Some(1500) });
    assert_eq!((limited.retry_after_ms(), limited.retry_after(), limited.room_version()), (Some(1500), Some(2), None));
    let incompatible = ErrorResponse::from(Refusal::IncompatibleRoomVersion(RoomVersion::V12));
    assert_eq!((incompatible.room_version(), incompatible.retry_after_ms()), (Some("12"), None));
}

/// Errors, and what the wire may add to, can grow without breaking a host that matches on them.
#[test]
fn what_may_grow_is_non_exhaustive() {
    let on_the_wire = ["Errcode", "Endpoint", "EventType", "JsonErrorKind", "MemberEventKey", "Reply", "Decision"];
    // Where there is nothing to add: the stages at which an event is authorized.
    // (`Want` is closed too: a host that does not know what a machine wants cannot go on.)
    let closed = ["AuthStage"];
    let mut seen = BTreeSet::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let mut attributes = String::new();
            for line in text.lines().map(str::trim_start) {
                if let Some(name) = line.strip_prefix("pub enum ") {
                    let name = name.split(['<', ' ']).next().unwrap();
                    let is_error = attributes.contains("thiserror::Error");
                    if (is_error || on_the_wire.contains(&name)) && !closed.contains(&name) {
                        assert!(attributes.contains("#[non_exhaustive]"), "`{name}`");
                        seen.insert(name.to_owned());
                    }
                }
                match line.starts_with("#[") || line.starts_with("//") {
                    true => attributes.push_str(line),
                    false => attributes.clear(),
                }
            }
        }
    }
    assert!(on_the_wire.iter().all(|name| seen.contains(*name)) && seen.len() > 25, "{seen:?}");
}
