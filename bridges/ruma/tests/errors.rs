//! What ruma writes for an error of the library's is the library's own body as JSON, under the same
//! status.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up fails")]

use matrix_knock::RoomVersion;
use matrix_knock::auth::{Rejection, authorize_proposal};
use matrix_knock::client::{KnockRefusal, RequestError};
use matrix_knock::error::{Errcode, ErrorResponse, PathError};
use matrix_knock::event::{EventType, FormatError, Membership, Pdu, Proposal, SignatureError};
use matrix_knock::knocking::Failure;
use matrix_knock::knocking::invitation::InviteRefusal;
use matrix_knock::policy::PolicyRefusal;
use matrix_knock::resident::{AuthStage, HostError, Mismatch, Refusal};
use matrix_knock::state::{NotLookedUp, StateMap};
use matrix_knock_ruma::Unconvertible;
use matrix_knock_ruma::error::{ApiError, kind, to_ruma};
use proptest::prelude::*;
use ruma_common::api::OutgoingResponseExt as _;
use ruma_common::api::error::{ErrorBody, ErrorKind};
use serde_json::Value;

/// How ruma holds the error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// With an `ErrorKind`.
    Kind,
    /// As JSON.
    Json,
}

/// Writes the error with ruma, and compares everything with the library's own answer.
fn check(response: &ErrorResponse) -> Form {
    let error = to_ruma(response);
    let form = match &error.body {
        ErrorBody::Standard(body) => {
            assert_eq!(body.kind.errcode().as_str(), response.errcode().as_str());
            assert_eq!(body.message, response.error());
            Form::Kind
        }
        ErrorBody::Json(_) => Form::Json,
        ErrorBody::NotJson { .. } => panic!("{response}"),
    };
    assert_eq!(kind(response), error.error_kind().cloned());
    let written = error.try_into_http_response::<Vec<u8>>().expect("an answer of ruma's");
    assert_eq!(written.status().as_u16(), response.status(), "{response}");
    let body: Value = serde_json::from_slice(written.body()).expect("JSON");
    assert_eq!(body, serde_json::from_str::<Value>(&response.to_string()).expect("JSON"), "{response}");
    let header = written.headers().get("retry-after").map(|value| value.to_str().expect("ASCII").to_owned());
    let seconds = (form == Form::Kind).then(|| response.retry_after_ms().map(|ms| (ms / 1000).to_string())).flatten();
    assert_eq!(header, seconds, "{response}");
    form
}

#[test]
fn every_errcode() {
    for errcode in Errcode::ALL {
        for status in [errcode.status(), 418] {
            let plain = ErrorResponse::with_status(status, errcode.clone(), "a \"text\"");
            // ruma's kind has to have a version.
            let expected = if errcode == Errcode::IncompatibleRoomVersion { Form::Json } else { Form::Kind };
            assert_eq!(check(&plain), expected, "{plain}");
            let extra = plain.with_extra(r#"{"contact":"@help:a.example","org.example":[1]}"#).expect("an object");
            assert_eq!(check(&extra), Form::Json, "{extra}");
        }
    }
    for (response, form) in [
        (ErrorResponse::incompatible_room_version("11"), Form::Kind),
        (ErrorResponse::incompatible_room_version("org.example.x"), Form::Kind),
        // Not in ruma's grammar.
        (ErrorResponse::incompatible_room_version(""), Form::Json),
        (ErrorResponse::incompatible_room_version("a b"), Form::Json),
        (ErrorResponse::limit_exceeded(None), Form::Kind),
        (ErrorResponse::limit_exceeded(Some(0)), Form::Kind),
        (ErrorResponse::limit_exceeded(Some(2500)), Form::Kind),
        (ErrorResponse::limit_exceeded(Some((1 << 53) - 1)), Form::Kind),
        // More than ruma writes.
        (ErrorResponse::limit_exceeded(Some(1 << 53)), Form::Json),
        (ErrorResponse::limit_exceeded(Some(u64::MAX)), Form::Json),
        (ErrorResponse::method_not_allowed(), Form::Kind),
        (ErrorResponse::uri_too_long(), Form::Kind),
        (ErrorResponse::internal("x"), Form::Kind),
        // Codes that only ruma knows, or nobody.
        (ErrorResponse::new(Errcode::from("M_BAD_STATE"), "x"), Form::Kind),
        (ErrorResponse::new(Errcode::from("M_UNABLE_TO_GRANT_JOIN"), "x"), Form::Kind),
        (ErrorResponse::new(Errcode::from("ORG.EXAMPLE_CODE"), "x"), Form::Kind),
        (ErrorResponse::new(Errcode::from(""), "x"), Form::Kind),
        // ruma would add `soft_logout`, or wants a contact.
        (ErrorResponse::new(Errcode::from("M_USER_LOCKED"), "x"), Form::Json),
        (ErrorResponse::new(Errcode::from("M_RESOURCE_LIMIT_EXCEEDED"), "x"), Form::Json),
        // ruma knows this one under another name as well, which it would write.
        (ErrorResponse::new(Errcode::from("ORG.MATRIX.MSC4155.INVITE_BLOCKED"), "x"), Form::Json),
    ] {
        assert_eq!(check(&response), form, "{response}");
    }
    // ruma keeps the properties of a code that nobody knows.
    let custom =
        ErrorResponse::new(Errcode::from("ORG.X"), "x").with_extra(r#"{"a":{"b":[null]}}"#).expect("an object");
    assert_eq!(check(&custom), Form::Kind);
}

/// Nothing is allowed in a room without a create event.
fn rejection() -> Rejection {
    let knock = Proposal::of_oneself("@kay:b.example", Membership::Knock);
    let refused = authorize_proposal(RoomVersion::V11, &knock, &StateMap::<Pdu<'_>>::new());
    refused.expect_err("a refusal").rejection().expect("by a rule")
}

/// One of each kind, but for `UnknownAuthEvents`, which only a submitted event makes; its answer is
/// that of `NoPrevEvents`.
#[test]
fn every_refusal() {
    let by_host = ErrorResponse::new(Errcode::Forbidden, "no").with_extra(r#"{"a":1}"#).expect("an object");
    let refusals = [
        Refusal::Path(PathError::NoSuchEndpoint),
        Refusal::Path(PathError::Method),
        Refusal::Path(PathError::UriTooLong),
        Refusal::Path(PathError::Encoding),
        Refusal::Path(PathError::RoomId),
        Refusal::UnknownRoom,
        Refusal::NotInRoom,
        Refusal::PartialState,
        Refusal::ServerDenied,
        Refusal::UserId,
        Refusal::UserOfOtherServer,
        Refusal::NoVersions,
        Refusal::IncompatibleRoomVersion(RoomVersion::V11),
        Refusal::NoKnocking(RoomVersion::V6),
        Refusal::OldEventFormat(RoomVersion::V1),
        Refusal::NotUtf8,
        Refusal::Format(FormatError::TooLarge { bytes: 65_537 }),
        Refusal::Format(FormatError::Missing("sender")),
        Refusal::Mismatch(Mismatch::RoomId),
        Refusal::Mismatch(Mismatch::EventType),
        Refusal::Mismatch(Mismatch::Membership),
        Refusal::Mismatch(Mismatch::NoStateKey),
        Refusal::Mismatch(Mismatch::StateKey),
        Refusal::Mismatch(Mismatch::Sender),
        Refusal::Mismatch(Mismatch::EventId),
        Refusal::Mismatch(Mismatch::AuthorizingUser),
        Refusal::Signature(SignatureError::NotSigned { server: "b.example".to_owned() }),
        Refusal::ContentHash,
        Refusal::NoPrevEvents,
        Refusal::UnknownPrevEvents,
        Refusal::UnknownState,
        Refusal::Rejected { stage: AuthStage::Itself, rejection: rejection() },
        Refusal::RejectedByHost { stage: AuthStage::CurrentState },
        Refusal::Policy(PolicyRefusal::BadSignature),
        Refusal::Policy(PolicyRefusal::NoAnswer),
        Refusal::TooLarge,
        Refusal::TooDeep,
        Refusal::RateLimited { retry_after_ms: Some(2500) },
        Refusal::RateLimited { retry_after_ms: None },
        Refusal::Forbidden,
        Refusal::Suspended,
        Refusal::NothingToAnswer { expected: Membership::Knock },
        Refusal::Host(HostError::NotLookedUp(NotLookedUp::new(EventType::Create, ""))),
        Refusal::Host(HostError::OtherRoom),
    ];
    for refusal in refusals {
        assert_eq!(check(&refusal.to_response()), Form::Kind, "{refusal}");
        let error = ApiError::from(refusal.clone());
        assert_eq!(error.to_string(), to_ruma(&refusal.to_response()).to_string());
    }
    assert_eq!(check(&Refusal::ByHost(Box::new(by_host.clone())).to_response()), Form::Json);
    assert_eq!(check(&Refusal::Policy(PolicyRefusal::Refused(Box::new(by_host))).to_response()), Form::Json);

    let failures = [
        Failure::NoServers,
        Failure::NoVersions,
        Failure::OwnMembership { membership: Membership::Ban },
        Failure::TooLarge,
        Failure::IncompatibleRoomVersion { room_version: "13".to_owned() },
        Failure::Forbidden,
        Failure::RateLimited { retry_after_ms: Some(1) },
        Failure::NotFound,
        Failure::NoKnocking,
        Failure::Refused { status: 403, errcode: Some(Errcode::from("M_CONSENT_NOT_GIVEN")) },
        Failure::NoAnswer,
    ];
    for failure in failures {
        assert_eq!(check(&failure.to_response()), Form::Kind, "{failure}");
    }
    for refusal in [KnockRefusal::Guest, KnockRefusal::Suspended, KnockRefusal::UnknownAlias] {
        assert_eq!(check(&refusal.to_response()), Form::Kind, "{refusal}");
    }
    for error in [RequestError::Path, RequestError::Reason, RequestError::ReasonTooLong { bytes: 70_000 }] {
        assert_eq!(check(&error.to_response()), Form::Kind, "{error}");
    }
    let blocked: ErrorResponse = InviteRefusal::Blocked.into();
    assert_eq!((check(&blocked), kind(&blocked)), (Form::Kind, Some(ErrorKind::InviteBlocked)));
    let own: ErrorResponse = Unconvertible::Endpoint.into();
    assert_eq!((check(&own), own.status()), (Form::Kind, 500));
}

proptest! {
    #[test]
    fn any_error(
        status in 200_u16..600,
        code in "(M_[A-Z_]{0,20}|[A-Za-z._\"é]{0,12})",
        known in 0..Errcode::ALL.len(),
        is_known in any::<bool>(),
        text in any::<String>(),
        version in any::<Option<String>>(),
        extra in proptest::option::of(("[a-z_]{1,12}", any::<i32>())),
    ) {
        let known = Errcode::ALL.into_iter().nth(known).expect("a code");
        let errcode = if is_known { known } else { Errcode::from(code.as_str()) };
        let mut response = ErrorResponse::with_status(status, errcode, text);
        if let Some(version) = version {
            response = ErrorResponse::incompatible_room_version(version);
        }
        if let Some((key, value)) = extra {
            response = response.with_extra(&format!(r#"{{"{key}":{value}}}"#)).expect("an object");
        }
        let _form = check(&response);
    }
}
