//! What a host may do with every public type, and what every error says.

use std::error::Error;
use std::fmt::Debug;

use matrix_knock::auth::{
    AuthEvent, AuthStatus, AuthorizeError, CompiledRoom, Evidence, Rejection, Rule, Selection, ServerAcl,
};
use matrix_knock::client::{
    BuiltRequest, HttpRequest, HttpResponse, KnockError, KnockErrorKind, KnockRequest, KnockResponse, RequestError,
};
use matrix_knock::error::{Errcode, ErrorResponse, UnknownErrcode};
use matrix_knock::event::{
    FormatError, FormattedPdu, KeyValidity, Malformed, MemberFacts, Membership, NoVerifier, Pdu, PduError, Proposal,
    RedactedPdu, ServerKeys, ServerKeysError, Sha256Hash, SignError, SignatureError, SignedEvent, SignedPdu,
    VerifiedPdu, VerifyKey, WholePdu,
};
use matrix_knock::id::{EventId, IdError, RoomAlias, RoomId, RoomIdOrAlias, ServerName, UserId};
use matrix_knock::json::{CanonicalDialect, JsonError, JsonErrorKind};
use matrix_knock::knocking::out_of_band::{Acceptance, Msc4233Denial, MustReach, NoAnswer, Reason, SentKnock};
use matrix_knock::knocking::room_state::{Dropped, ReceivedRoomState, VerifiedRoomState};
use matrix_knock::knocking::{
    Details, Failed, Failure, Knocking, NotTaken, OwnMembership, PendingKnock, Reply, Request, Retracted, Retracting,
    Start, Ticket, Want,
};
use matrix_knock::membership_change::{Change, Member, MembershipChange, NotAChange};
use matrix_knock::pending::{
    Answer, Answerers, Answering, Answers, Knocker, NoEventId, NotAnswered, PendingKnocks, Position,
    Refused as RefusedAnswer, Update,
};
use matrix_knock::resident::submission::{AuthEventRef, NoCreateEvent, PolicyVerdict, SendKnock, SendLeave};
use matrix_knock::resident::{AuthStage, Decision, LocalError, MakeKnock, MakeLeave, Mismatch, Refusal, Residence};
use matrix_knock::room_version::{EventIdFormat, RoomVersion, RoomVersionRules, UnknownRoomVersion};
use matrix_knock::state::{FromFn, StateMap};
use matrix_knock::stripped_state::{NotStripped, StrippedEvent};
use matrix_knock::sync::{KnockSection, KnockedRoom, MemberEventKey, ReadRoom, Section, SectionError};
use matrix_knock::template::{BadTemplate, CheckedTemplate, Expected};
use matrix_knock::template::{PrevEvent, Template, TemplateError};

fn value<T: Send + Sync + Debug + Clone + PartialEq>() {}

fn error<T: Error + Send + Sync + Clone + PartialEq + 'static>() {}

fn proof<T: Send + Sync + Debug + Clone>() {}

#[test]
fn values_errors_and_proofs() {
    value::<Acceptance>();
    value::<AuthEvent<'_>>();
    value::<CanonicalDialect>();
    value::<Change>();
    value::<CompiledRoom>();
    value::<EventId<'_>>();
    value::<EventIdFormat>();
    value::<Evidence<'_>>();
    value::<FormattedPdu<'_>>();
    value::<JsonErrorKind>();
    value::<KeyValidity>();
    value::<SentKnock<'_>>();
    value::<Template>();
    value::<Malformed>();
    value::<Member<'_>>();
    value::<Membership>();
    value::<MembershipChange<'_>>();
    value::<Msc4233Denial>();
    value::<MustReach<'_>>();
    value::<NoVerifier>();
    value::<Pdu<'_>>();
    value::<PrevEvent<'_>>();
    value::<Proposal<'_>>();
    value::<Reason>();
    value::<RedactedPdu>();
    value::<RoomAlias<'_>>();
    value::<RoomId<'_>>();
    value::<RoomVersion>();
    value::<RoomVersionRules>();
    value::<Rule>();
    value::<Selection<'_>>();
    value::<ServerAcl<'_>>();
    value::<ServerKeys>();
    value::<ServerName<'_>>();
    value::<Sha256Hash>();
    value::<SignedEvent>();
    value::<SignedPdu<'_>>();
    value::<AuthStatus>();
    value::<StrippedEvent>();
    value::<UserId<'_>>();
    value::<VerifiedPdu<'_>>();
    value::<VerifyKey>();
    value::<WholePdu<'_>>();
    value::<KnockSection>();
    value::<KnockedRoom>();
    value::<MemberEventKey>();
    value::<MemberFacts>();
    value::<ReadRoom>();
    value::<Section>();
    value::<Answer>();
    value::<Answerers<'_>>();
    value::<Answers<'_>>();
    value::<Knocker>();
    value::<PendingKnocks>();
    value::<Position>();
    value::<RefusedAnswer<'_>>();
    value::<Update>();
    value::<VerifiedRoomState>();
    value::<ReceivedRoomState>();
    value::<Details>();
    value::<Failed>();
    value::<Knocking>();
    value::<OwnMembership>();
    value::<PendingKnock>();
    value::<Reply<'_>>();
    value::<Request>();
    value::<Retracted>();
    value::<Retracting>();
    value::<Start>();
    value::<Ticket>();
    value::<Want<'_>>();
    value::<Expected<'_>>();
    value::<CheckedTemplate>();
    value::<Decision>();
    value::<AuthStage>();
    value::<MakeKnock<'_>>();
    value::<MakeLeave<'_>>();
    value::<Mismatch>();
    value::<Residence>();
    value::<AuthEventRef<Pdu<'_>>>();
    value::<PolicyVerdict>();
    value::<SendKnock<'_>>();
    value::<SendLeave<'_>>();
    value::<Errcode>();
    value::<ErrorResponse>();
    value::<BuiltRequest>();
    value::<HttpRequest<'_>>();
    value::<HttpResponse<'_>>();
    value::<KnockRequest>();
    value::<KnockResponse>();
    value::<RoomIdOrAlias<'_>>();
    error::<NotStripped>();
    error::<KnockError>();
    error::<KnockErrorKind>();
    error::<RequestError>();
    error::<matrix_knock::client::KnockRefusal>();
    error::<UnknownErrcode>();
    error::<AuthorizeError>();
    error::<FormatError>();
    error::<IdError>();
    error::<JsonError>();
    error::<NoAnswer>();
    error::<NoEventId>();
    error::<NotAChange>();
    error::<NotAnswered>();
    error::<PduError>();
    error::<Rejection>();
    error::<ServerKeysError>();
    error::<SectionError>();
    error::<SignError>();
    error::<SignatureError>();
    error::<TemplateError>();
    error::<Dropped>();
    error::<Failure>();
    error::<LocalError>();
    error::<NotTaken>();
    error::<BadTemplate>();
    error::<Refusal>();
    error::<NoCreateEvent>();
    error::<UnknownRoomVersion>();
    proof::<FromFn<fn(&str, &str) -> Option<Pdu<'static>>>>();
    proof::<StateMap<Pdu<'_>>>();
    proof::<Answering<'_, StateMap<Pdu<'_>>>>();
    proof::<matrix_knock::auth::Authorized<'_, Pdu<'_>>>();
    proof::<matrix_knock::auth::StateIndependent<'_, Pdu<'_>>>();
}

#[test]
fn messages() {
    let server = || "b.example".to_owned();
    let key_id = || "ed25519:1".to_owned();
    let messages: [(&dyn Error, &str); 38] = [
        (&UnknownRoomVersion, "unknown room version"),
        (&IdError::Sigil('!'), "does not begin with `!`"),
        (&IdError::RoomSigil, "does not begin with `!` or `#`"),
        (&UnknownErrcode, "unknown error code"),
        (&IdError::TooLong, "is longer than 255 bytes"),
        (&IdError::NoDomain, "has no domain"),
        (&IdError::ServerName, "has a malformed server name"),
        (&IdError::LocalPart, "has a malformed local part"),
        (&PduError::TooLarge { bytes: 400_000 }, "event text of 400000 bytes, more than 393216"),
        (&PduError::NotAnObject, "event is not an object"),
        (&PduError::Missing("type"), "event has no `type`"),
        (&PduError::WrongKind("type"), "`type` of the event is of the wrong kind"),
        (&FormatError::TooLarge { bytes: 65_537 }, "event of 65537 bytes, more than 65536"),
        (&FormatError::Missing("depth"), "event has no `depth`"),
        (&FormatError::Unexpected("event_id"), "event has a `event_id`, which it must not have in this room version"),
        (&FormatError::WrongKind("depth"), "`depth` of the event is of the wrong kind or out of range"),
        (&FormatError::TooLong("type"), "`type` of the event is longer than 255 bytes"),
        (&FormatError::Id { property: "sender", error: IdError::NoDomain }, "`sender` of the event has no domain"),
        (
            &FormatError::TooMany { property: "auth_events", count: 11 },
            "`auth_events` of the event names 11 events, too many",
        ),
        (&SignatureError::NotSigned { server: server() }, "no signature by a known key of `b.example` that counts"),
        (
            &SignatureError::BadSignature { server: server(), key_id: key_id() },
            "the signature of `b.example` by `ed25519:1` does not verify",
        ),
        (&SignatureError::NoAuthorizingUser, "`join_authorised_via_users_server` is not a user ID"),
        (&SignError::Signatures, "`signatures` of the event is of the wrong kind"),
        (&SignError::KeyId { key_id: "x".to_owned() }, "the key ID `x` is not `ed25519:` and a version"),
        (&ServerKeysError::NotSigned, "no key of the document has signed it"),
        (&TemplateError::NoPrevEvents, "no previous events"),
        (
            &NoAnswer::OtherVersion { found: RoomVersion::V1 },
            "the event was checked by room version 1, not by that of the knock",
        ),
        (&NoAnswer::OtherRoom, "the event is not of the room that was knocked on"),
        (&NoAnswer::OtherUser, "the event is not the membership of the user who knocked"),
        (&NoAnswer::ByTheKnocker, "the event was sent by the user who knocked"),
        (&NoAnswer::NotAnInvite, "the event is not an invite"),
        (&NoAnswer::NeitherLeaveNorBan, "the event is neither a leave nor a ban"),
        (&NoAnswer::NotKnocking, "the knock is not the user's current membership"),
        (&NoAnswer::KnockNotInAuthEvents, "the knock is not among the auth events"),
        (
            &NoAnswer::Origin { origin: server() },
            "`b.example` is neither the server knocked through nor that of the event's sender",
        ),
        (&NotAChange::NotAMemberEvent, "not an `m.room.member` event with a `state_key`"),
        (&NotAChange::OtherUser, "the two events are of different users"),
        (
            &NotAChange::Malformed(Malformed::Member),
            "the content of an `m.room.member` event in the state is malformed",
        ),
    ];
    for (error, message) in messages {
        assert_eq!(error.to_string(), message);
    }
    for rule in Rule::ALL {
        assert_eq!(rule.to_string(), rule.reason());
        assert!(!rule.reason().ends_with('.') && rule.reason().starts_with(char::is_lowercase), "{rule:?}");
    }
}
