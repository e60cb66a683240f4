//! What a host may do with every public type, and what every error says.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::error::Error;
use std::fmt::Debug;
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use matrix_knock::auth::{
    AclDenial, AuthEvent, AuthStatus, AuthorizeError, Authorized, CompiledRoom, Evidence, Obstacle, ObstacleCause,
    Rejection, Rule, Selection, ServerAcl, StateIndependent,
};
use matrix_knock::client::{
    KnockError, KnockErrorKind, KnockRefusal, KnockRequest, KnockResponse, PassedOver, RequestError, WhyPassedOver,
};
use matrix_knock::error::{Errcode, ErrorResponse, ExtraError, OtherErrcode, PathError};
use matrix_knock::event::{
    Event, EventType, FormatError, FormattedPdu, KeyDocument, KeyValidity, Keys, KeysFn, Malformed, MemberFacts,
    Membership, NoVerifier, OtherEventType, OwnedPdu, Pdu, PduError, Proposal, RedactedPdu, ServerKeys,
    ServerKeysError, Sha256Hash, Sign, SignError, SignatureError, SignedEvent, SignedPdu, UnknownMembership,
    VerifiedPdu, Verify, VerifyKey, WholePdu,
};
use matrix_knock::id::{
    EventId, IdError, KeyId, OwnedEventId, OwnedKeyId, OwnedRoomAlias, OwnedRoomId, OwnedRoomIdOrAlias,
    OwnedServerName, OwnedUserId, RoomAlias, RoomId, RoomIdOrAlias, ServerName, UserId,
};
use matrix_knock::json::{CanonicalDialect, JsonError, JsonErrorKind};
use matrix_knock::knocking::invitation::{
    AcceptedInvite, ApprovedInvite, CheckedInvite, InviteDecision, InviteMismatch, InviteRefusal, InviteRequest,
    RoomStateFault, VerifiedInvite,
};
use matrix_knock::knocking::out_of_band::{Acceptance, Msc4233Denial, NoAnswer, ReceivedInvite, Revocation, SentKnock};
use matrix_knock::knocking::room_state::{Dropped, ReceivedRoomState, ShowUnverified, ShownEvent, VerifiedRoomState};
use matrix_knock::knocking::{
    Departure, Details, Failed, Failure, Intent, Knocking, NotAKnock, OwnMembership, PendingKnock, Retracted,
    Retracting, Start,
};
use matrix_knock::machine::{Endpoint, ErrorReply, Machine, NotTaken, Reply, Request, Ticket, Want};
use matrix_knock::membership_change::{Before, Change, Member, MembershipChange, NotAChange};
use matrix_knock::pending::{
    Answer, Answerers, Answering, Answers, Knocker, NoEventId, NotAnswered, PendingKnocks, Position,
    Refused as RefusedAnswer, Update,
};
use matrix_knock::policy::{PolicyRefusal, PolicyServer, PolicySignature, PolicyVerdict};
use matrix_knock::receipt::{
    Check, Dropped as ReceiptDropped, Outcome, ReceiptError, ReceivedEvent, Rejected, SoftFailure, States,
};
use matrix_knock::resident::answer::{
    Action, AnswerEvent, AnswerRequest, Answered, ApprovedAnswer, AuthorizedAnswer, BadInviteAnswer, ClientAction,
    CountersignedInvite, Inviting, NotInvited, UnsignedInvite,
};
use matrix_knock::resident::submission::{
    Accepted, AuthEventRef, AuthEvents, AuthorizedEvent, FormatChecked, HostVerdict, Repeated, SendKnock, SendLeave,
    SendRequest, SignatureChecked, UnknownAuthEvents,
};
use matrix_knock::resident::{
    ApprovedRequest, AuthStage, AuthorizedRequest, ByHost, Decision, HostError, Knock, Leave, LocalEvent, MakeKnock,
    MakeLeave, MakeRequest, Mismatch, MustReach, Reason, Refusal, RequestKind, Residence, ResidentRoom,
};
use matrix_knock::restricted_join::{AllowConditions, JoinBy, JoinCheck, MayJoin, RefusedJoin, RoomMembership};
use matrix_knock::room_version::{
    EventIdFormat, RoomVersion, RoomVersionRules, UnknownRoomVersion, UnstableVersionError,
};
use matrix_knock::state::{FromFn, NotLookedUp, Reads, RoomState, Snapshot, StateMap};
use matrix_knock::stripped_state::{NotStripped, ShownTypes, StrippedEvent, TooManyTypes};
use matrix_knock::summary::{RoomSummary, SummaryAccess, SummaryError};
use matrix_knock::sync::{KnockSection, Knockable, KnockedRoom, MemberEventKey, ReadRoom, Section, SectionError};
use matrix_knock::template::{BadTemplate, CheckedTemplate, Expected, PrevEvent, Template, TemplateError};
use matrix_knock::visibility::{
    EventVisibility, HistoryVisibility, JoinedLater, Stretch, UnknownHistoryVisibility, UserAtEvent, VisibilityAtEvent,
};
use matrix_knock::wire::{BuiltRequest, HttpRequest, HttpResponse};
use matrix_knock::x_matrix::{Authorization, SignedRequest, XMatrixError};
use serde::Serialize;
use serde::de::DeserializeOwned;

fn value<T: Send + Sync + Debug + Clone + PartialEq>() {}

fn error<T: Error + Send + Sync + Clone + PartialEq + 'static>() {}

fn proof<T: Send + Sync + Debug + Clone>() {}

fn stored<T: Serialize + DeserializeOwned>() {}

/// Read in another way: by an owned form, or from the answer that it is.
fn written<T: Serialize>() {}

fn object<T: ?Sized>() {}

fn room_state<T: RoomState + ?Sized>() {}

fn machine<T: Machine + Serialize + DeserializeOwned>() {}

fn request_kind<T: RequestKind>() {}

/// The traits in here that no object is made of.
const OTHER_TRAITS: [&str; 3] = ["RoomState", "Machine", "RequestKind"];

/// Checks each type, and lists their names.
macro_rules! types {
    ($($check:ident { $($type:ty,)* })*) => {
        #[test]
        fn values_errors_and_proofs() {
            $($($check::<$type>();)*)*
        }

        const LISTED: &[&str] = &[$($(stringify!($type),)*)*];
    };
}

types! {
    value {
        // auth
        AclDenial,
        AuthEvent<'_>,
        AuthStatus,
        CompiledRoom,
        Evidence<'_>,
        Obstacle<'_>,
        ObstacleCause,
        Rule,
        Selection<'_>,
        ServerAcl<'_>,
        // client
        KnockRequest,
        KnockResponse,
        PassedOver,
        WhyPassedOver,
        // error
        Errcode,
        ErrorResponse,
        OtherErrcode,
        // event
        EventType<'_>,
        FormattedPdu<'_>,
        KeyDocument<'_>,
        KeyValidity,
        Malformed,
        MemberFacts,
        Membership,
        NoVerifier,
        OtherEventType<'_>,
        OwnedPdu,
        Pdu<'_>,
        Proposal<'_>,
        RedactedPdu,
        ServerKeys,
        Sha256Hash,
        SignedEvent,
        SignedPdu<'_>,
        VerifiedPdu<'_>,
        VerifyKey,
        WholePdu<'_>,
        // id
        EventId<'_>,
        KeyId<'_>,
        OwnedEventId,
        OwnedKeyId,
        OwnedRoomAlias,
        OwnedRoomId,
        OwnedRoomIdOrAlias,
        OwnedServerName,
        OwnedUserId,
        RoomAlias<'_>,
        RoomId<'_>,
        RoomIdOrAlias<'_>,
        ServerName<'_>,
        UserId<'_>,
        // json
        CanonicalDialect,
        JsonErrorKind,
        // knocking
        Acceptance,
        AcceptedInvite,
        ApprovedInvite<'_>,
        CheckedInvite<'_>,
        InviteDecision,
        InviteRequest<'_>,
        ReceivedInvite<'_>,
        Revocation,
        VerifiedInvite<'_>,
        CheckedTemplate,
        Details,
        Failed,
        Knocking,
        Msc4233Denial,
        OwnMembership,
        PendingKnock,
        ReceivedRoomState,
        Retracted,
        Retracting,
        SentKnock<'_>,
        ShowUnverified,
        ShownEvent,
        Start,
        VerifiedRoomState,
        // machine
        Endpoint,
        ErrorReply<'_>,
        Reply<'_>,
        Request,
        Ticket,
        Want<'_>,
        // membership_change
        Before<'_, Pdu<'_>>,
        Change,
        Member<'_>,
        MembershipChange<'_>,
        // pending
        Answer,
        Answerers<'_>,
        Answers<'_>,
        Knocker,
        PendingKnocks,
        Position,
        RefusedAnswer<'_>,
        Update,
        // policy
        PolicyServer,
        PolicySignature,
        PolicyVerdict,
        // receipt
        Check,
        Outcome,
        ReceivedEvent<'_>,
        // resident
        Action,
        AnswerEvent,
        AnswerRequest<'_>,
        Answered,
        ApprovedAnswer<'_, '_>,
        AuthorizedAnswer<'_, '_>,
        ByHost,
        ClientAction,
        CountersignedInvite,
        Inviting,
        UnsignedInvite,
        Accepted<'_, Knock>,
        ApprovedRequest<'_, '_, Knock>,
        AuthEventRef<Pdu<'_>>,
        AuthEvents<Pdu<'_>>,
        AuthStage,
        AuthorizedEvent<'_, Leave>,
        AuthorizedRequest<'_, '_, Leave>,
        Decision,
        FormatChecked<'_, Knock>,
        HostVerdict,
        Knock,
        Leave,
        LocalEvent<Knock>,
        MakeKnock<'_>,
        MakeLeave<'_>,
        MakeRequest<'_, Leave>,
        Mismatch,
        MustReach<'_>,
        Reason,
        Repeated<Knock>,
        Residence,
        ResidentRoom<'_>,
        SendKnock<'_>,
        SendLeave<'_>,
        SendRequest<'_, Knock>,
        SignatureChecked<'_, Leave>,
        // restricted_join
        AllowConditions,
        JoinBy<'_>,
        JoinCheck,
        MayJoin<'_>,
        RoomMembership,
        // room_version
        EventIdFormat,
        RoomVersion,
        RoomVersionRules,
        // state
        Reads,
        Snapshot<Pdu<'_>>,
        // stripped_state
        ShownTypes,
        StrippedEvent,
        // summary
        RoomSummary,
        SummaryAccess,
        // sync
        KnockSection,
        Knockable,
        KnockedRoom,
        MemberEventKey,
        ReadRoom,
        Section,
        // template
        Expected<'_>,
        PrevEvent<'_>,
        Template,
        // visibility
        EventVisibility,
        HistoryVisibility,
        JoinedLater,
        Stretch,
        UserAtEvent,
        VisibilityAtEvent,
        // wire
        BuiltRequest,
        HttpRequest<'_>,
        HttpResponse<'_>,
        // x_matrix
        Authorization,
        SignedRequest<'_>,
    }
    error {
        AuthorizeError,
        BadInviteAnswer,
        BadTemplate,
        Dropped,
        ExtraError,
        Failed,
        Failure,
        FormatError,
        HostError,
        IdError,
        InviteMismatch,
        InviteRefusal,
        JsonError,
        JsonErrorKind,
        KnockError,
        KnockErrorKind,
        KnockRefusal,
        Malformed,
        Mismatch,
        NoAnswer,
        NoEventId,
        NotAChange,
        NotAKnock,
        NotAnswered,
        NotInvited,
        NotLookedUp,
        NotStripped,
        NotTaken,
        PathError,
        PduError,
        PolicyRefusal,
        ReceiptDropped,
        ReceiptError,
        Refusal,
        RefusedJoin,
        Rejected,
        Rejection,
        RoomStateFault,
        RequestError,
        SectionError,
        ServerKeysError,
        SignError,
        SignatureError,
        SoftFailure,
        SummaryError,
        TemplateError,
        TooManyTypes,
        UnknownAuthEvents,
        UnknownHistoryVisibility,
        UnknownMembership,
        UnknownRoomVersion,
        UnstableVersionError,
        WhyPassedOver,
        XMatrixError,
    }
    // What has no equality: a proof, a closure, a host's own type, a borrowed wish.
    proof {
        Answering<'_, StateMap<Pdu<'_>>>,
        Authorized<'_, Pdu<'_>>,
        Departure<'_>,
        FromFn<fn(&str, &str) -> Option<Pdu<'static>>>,
        Intent<'_>,
        KeysFn<fn(&str, &str) -> Option<VerifyKey>>,
        StateIndependent<'_, Pdu<'_>>,
        StateMap<Pdu<'_>>,
        States<'_, StateMap<Pdu<'_>>, StateMap<Pdu<'_>>>,
    }
    stored {
        AcceptedInvite,
        Details,
        Errcode,
        EventIdFormat,
        Failed,
        Failure,
        HistoryVisibility,
        Inviting,
        KeyValidity,
        Knocking,
        MemberFacts,
        Membership,
        OwnedEventId,
        OwnedKeyId,
        OwnedRoomAlias,
        OwnedRoomId,
        OwnedRoomIdOrAlias,
        OwnedServerName,
        OwnedUserId,
        PendingKnock,
        PendingKnocks,
        ReceivedRoomState,
        RoomVersion,
        RoomVersionRules,
        ServerKeys,
        StrippedEvent,
        Ticket,
        VerifyKey,
        CheckedTemplate,
    }
    written {
        ErrorResponse,
        EventId<'_>,
        KeyId<'_>,
        KnockRequest,
        KnockResponse,
        KnockedRoom,
        RoomAlias<'_>,
        RoomId<'_>,
        RoomIdOrAlias<'_>,
        ServerName<'_>,
        SignedEvent,
        Template,
        UserId<'_>,
    }
    object {
        dyn Event,
        dyn Keys,
        dyn Sign,
        dyn Verify,
    }
    room_state {
        StateMap<Pdu<'_>>,
        Snapshot<Pdu<'_>>,
        FromFn<fn(&str, &str) -> Option<Pdu<'static>>>,
        HashMap<(String, String), Pdu<'_>>,
        BTreeMap<(String, String), Pdu<'_>>,
        &StateMap<Pdu<'_>>,
        Box<StateMap<Pdu<'_>>>,
        Rc<StateMap<Pdu<'_>>>,
        Arc<StateMap<Pdu<'_>>>,
    }
    machine {
        Inviting,
        Knocking,
        Retracting,
    }
    request_kind {
        Knock,
        Leave,
    }
}

#[cfg(feature = "ed25519")]
#[test]
fn of_the_feature_ed25519() {
    value::<matrix_knock::Ed25519>();
    proof::<matrix_knock::event::Ed25519Key>();
}

const OF_THE_FEATURE: [&str; 2] = ["Ed25519", "Ed25519Key"];

/// Every type and trait that the sources have as `pub` is above; the compiler sees to it that `pub` is public.
#[test]
fn none_is_missing() {
    let name_at = |text: &str| -> String { text.chars().take_while(|character| character.is_alphanumeric()).collect() };
    let listed = LISTED.iter().map(|listed| name_at(listed.trim_start_matches("dyn ")));
    let others = OTHER_TRAITS.iter().chain(&OF_THE_FEATURE).map(|name| (*name).to_owned());
    let renamed = [("RefusedAnswer", "Refused"), ("ReceiptDropped", "Dropped")];
    let rename = |name: String| renamed.iter().find(|(from, _)| *from == name).map_or(name, |(_, to)| (*to).to_owned());
    let listed: BTreeSet<String> = listed.chain(others).map(rename).collect();

    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut found = BTreeSet::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            for line in fs::read_to_string(&path).expect("a source").lines().map(str::trim_start) {
                let kinds = ["pub struct ", "pub enum ", "pub trait ", "pub type "];
                found.extend(kinds.iter().filter_map(|kind| line.strip_prefix(kind)).map(name_at));
                // The identifiers come from a macro: `UserId, OwnedUserId, check_user_id`.
                if let Some((borrowed, (owned, _))) = line.split_once(", Owned").zip(line.split_once(", check_")) {
                    found.extend([name_at(borrowed.0), name_at(owned)]);
                }
            }
        }
    }
    // The names within macros, and the trait that nobody can name.
    for no_type in ["", "Sealed"] {
        assert!(found.remove(no_type), "`{no_type}`");
    }
    assert!(found.len() > 150, "the types were not found");
    assert_eq!(found.difference(&listed).collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(OF_THE_FEATURE.iter().filter(|name| !found.contains(**name)).count(), 0);
}

#[test]
fn messages() {
    let server = || "b.example".to_owned();
    let key_id = || "ed25519:1".to_owned();
    let messages: [(&dyn Error, &str); 36] = [
        (&UnknownRoomVersion, "unknown room version"),
        (&IdError::Sigil('!'), "does not begin with `!`"),
        (&IdError::RoomSigil, "does not begin with `!` or `#`"),
        (&IdError::TooLong, "is longer than 255 bytes"),
        (&IdError::NoDomain, "has no domain"),
        (&IdError::ServerName, "has a malformed server name"),
        (&IdError::KeyId, "is not the ID of an ed25519 key"),
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
        (&SignError::Signatures, "`signatures` of the event is of the wrong kind"),
        (&ServerKeysError::NotSigned, "no key of the document has signed it"),
        (&TemplateError::NoPrevEvents, "no previous events"),
        (
            &NoAnswer::OtherVersion { found: RoomVersion::V1 },
            "the event was checked by room version 1, not by that of the knock",
        ),
        (&NoAnswer::OtherRoom, "the event is of another room"),
        (&NoAnswer::OtherUser, "the event is not the membership of this user"),
        (&NoAnswer::ByTheUser, "the event was sent by the user"),
        (&NoAnswer::NotAnInvite, "the event is not an invite"),
        (&NoAnswer::NeitherLeaveNorBan, "the event is neither a leave nor a ban"),
        (&NoAnswer::NotCurrent, "the knock or invite is not the user's current membership"),
        (&NoAnswer::NotInAuthEvents, "the knock or invite is not among the auth events"),
        (
            &NoAnswer::Origin { origin: server() },
            "`b.example` has no part in this, and the event's sender is of another server",
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

#[test]
fn messages_about_versions_knocks_and_machines() {
    let messages: [(&dyn Error, &str); 25] = [
        (&UnstableVersionError::Empty, "the name of a room version is empty"),
        (&UnstableVersionError::TooLong { bytes: 33 }, "the name of a room version has 33 bytes, more than 32"),
        (
            &UnstableVersionError::Character,
            "the name of a room version has a character other than `a-z`, `0-9`, `.` and `-`",
        ),
        (&UnstableVersionError::Specified, "the specification has a room version of this name"),
        (&UnstableVersionError::GoesBy, "a room version goes by a version that the specification does not have"),
        (&SignError::Hash, "the content hash in `hashes` is not that of the event"),
        (&SignError::EventId, "event has an `event_id`, which would be signed with it"),
        (&NotTaken::NotAsked, "this is not asked for now"),
        (&Failure::NoServers, "no server to ask"),
        (&Failure::NoVersions, "no room version with knocking to offer"),
        (&Failure::OwnMembership { membership: Membership::Ban }, "the user's membership is `ban`"),
        (&Failure::TooLarge, "the event would be too large"),
        (&Failure::IncompatibleRoomVersion { room_version: "x".to_owned() }, "the room has version `x`"),
        (&Failure::Forbidden, "not allowed"),
        (&Failure::RateLimited { retry_after_ms: Some(1) }, "rate limited"),
        (&Failure::NotFound, "unknown room"),
        (&Failure::NoKnocking, "the servers of the room do not have knocking"),
        (&Failure::Refused { status: 400, errcode: None }, "refused with status 400"),
        (
            &Failure::Refused { status: 403, errcode: Some(Errcode::UserSuspended) },
            "refused with status 403 M_USER_SUSPENDED",
        ),
        (&Failed::from(Failure::NoAnswer), "no useful answer"),
        (&NotAKnock::NoKnocking(RoomVersion::V6), "no knocking in room version 6"),
        (&NotAKnock::Format(FormatError::Missing("depth")), "event has no `depth`"),
        (&NotAKnock::NotOwnKnock, "the event is not a user's own knock"),
        (&NotAKnock::Id(IdError::NoDomain), "an ID of the event has no domain"),
        (&NoEventId, "the knock has no event ID"),
    ];
    for (error, message) in messages {
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn messages_about_the_authentication_of_requests() {
    let messages: [(XMatrixError, &str); 12] = [
        (XMatrixError::TooLong { bytes: 8193 }, "header of 8193 bytes, more than 8192"),
        (XMatrixError::Scheme, "the scheme is not `X-Matrix`"),
        (XMatrixError::Parameters, "malformed parameters"),
        (XMatrixError::Missing("origin"), "no `origin`"),
        (XMatrixError::Repeated("sig"), "`sig` occurs twice"),
        (
            XMatrixError::ServerName { parameter: "origin", error: IdError::ServerName },
            "`origin` has a malformed server name",
        ),
        (XMatrixError::KeyId, "`key` is not an ed25519 key ID"),
        (XMatrixError::Signature, "`sig` is not a signature"),
        (XMatrixError::OtherDestination, "the request is for another server"),
        (XMatrixError::UnknownKey, "unknown key"),
        (XMatrixError::ExpiredKey, "expired key"),
        (XMatrixError::BadSignature, "the signature does not verify"),
    ];
    for (error, message) in messages {
        assert_eq!(error.to_string(), message);
    }
    assert_eq!(UnknownMembership.to_string(), "unknown membership");
    assert_eq!(UnknownHistoryVisibility.to_string(), "unknown history visibility");
    assert_eq!(JsonErrorKind::DeeperThan { levels: 160 }.to_string(), "JSON nested deeper than 160 levels");
}

#[test]
fn messages_about_joins() {
    let messages = [
        (RefusedJoin::UnableToAuthorise, "unable to tell whether the user meets a condition of the room"),
        (RefusedJoin::UnableToGrant, "no user of this server can authorize the join"),
        (RefusedJoin::Forbidden, "the room does not let the user join"),
    ];
    for (error, message) in messages {
        assert_eq!(error.to_string(), message);
    }
    let messages = [
        (SummaryError::NotAnObject, "the summary is not an object"),
        (SummaryError::NoRoomId, "the summary does not name a room"),
        (SummaryError::RoomId(IdError::LocalPart), "`room_id` of the summary has a malformed local part"),
    ];
    for (error, message) in messages {
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn messages_about_what_is_shown_and_passed_over() {
    let names: Vec<String> = (1..=20).map(|number| format!("org.example.{number}")).collect();
    let too_many =
        ShownTypes::new(names.iter().map(|name| EventType::from(name.as_str()))).expect_err("too many types");
    let server = || "b.example".to_owned();
    let messages: [(&dyn Error, &str); 17] = [
        (&too_many, "21 types of events, more than 20"),
        (&Dropped::Beyond, "beyond the first 100 entries"),
        (&Dropped::Format(FormatError::Missing("depth")), "malformed event: event has no `depth`"),
        (&Dropped::NotState, "not a state event"),
        (&Dropped::OtherRoom, "an event of another room"),
        (&Dropped::Repeated, "another event with the same type and state key is shown"),
        (
            &Dropped::Signature(SignatureError::NotSigned { server: server() }),
            "no signature by a known key of `b.example` that counts",
        ),
        (&Dropped::UnverifiedCreate, "an unverified create event"),
        (&Dropped::UnverifiedMember, "an unverified member event"),
        (&Dropped::TooDeep, "nested deeper than 120 levels"),
        (&WhyPassedOver::Name, "not a parameter of this endpoint"),
        (&WhyPassedOver::Encoding, "not percent-encoded UTF-8"),
        (&WhyPassedOver::Malformed, "not a server name"),
        (&WhyPassedOver::TooMany, "beyond the first 20 servers"),
        (&ExtraError::NotAnObject, "not an object"),
        (&ExtraError::TooLarge { bytes: 4097 }, "properties of 4097 bytes, more than 4096"),
        (&SectionError::NotAnObject, "the `knock` section is not an object"),
    ];
    for (error, message) in messages {
        assert_eq!(error.to_string(), message);
    }
}

/// An entry that was not looked up is told the same by every step, and is never told on the wire.
#[test]
fn messages_about_what_was_not_looked_up() {
    let missing = || NotLookedUp::new(EventType::Member, "@kay:b.example");
    let message = "the `m.room.member` entry of the state with the state key `@kay:b.example` was not looked up";
    let host = HostError::from(missing());
    let errors: [&dyn Error; 6] = [
        &missing(),
        &AuthorizeError::from(missing()),
        &TemplateError::from(missing()),
        &NotAnswered::from(missing()),
        &host,
        &Refusal::from(missing()),
    ];
    for error in errors {
        assert_eq!(error.to_string(), message);
    }
    assert_eq!(AuthorizeError::from(missing()).rejection(), None);
    let wire = r#"{"errcode":"M_UNKNOWN","error":"Internal server error"}"#;
    for response in [
        ErrorResponse::from(missing()),
        ErrorResponse::from(host),
        ErrorResponse::from(TemplateError::from(missing())),
        ErrorResponse::from(Refusal::from(missing())),
    ] {
        assert_eq!((response.status(), response.to_string().as_str()), (500, wire));
    }
}

#[test]
fn messages_of_refusals() {
    let version = RoomVersion::V10;
    let messages: [(Refusal, &str); 40] = [
        (Refusal::Path(PathError::NoSuchEndpoint), "the path is not that of the endpoint"),
        (Refusal::Path(PathError::Method), "the endpoint does not have this method"),
        (Refusal::Path(PathError::UriTooLong), "the path or the query is too long"),
        (Refusal::Path(PathError::Encoding), "the path is not percent-encoded UTF-8"),
        (Refusal::Path(PathError::RoomId), "not a room ID"),
        (Refusal::UnknownRoom, "unknown room"),
        (Refusal::NotInRoom, "this server is not in the room"),
        (Refusal::PartialState, "the state of the room is not complete yet"),
        (Refusal::ServerDenied, "the ACL of the room denies the server"),
        (Refusal::UserId, "not a user ID"),
        (Refusal::UserOfOtherServer, "the user belongs to another server"),
        (Refusal::NoVersions, "no `ver`"),
        (Refusal::IncompatibleRoomVersion(version), "the asking server does not have room version 10"),
        (Refusal::NoKnocking(version), "no knocking in room version 10"),
        (Refusal::OldEventFormat(version), "no templates in room version 10"),
        (Refusal::NotUtf8, "the body is not UTF-8"),
        (Refusal::Format(FormatError::Missing("depth")), "malformed event: event has no `depth`"),
        (
            Refusal::Signature(SignatureError::NotSigned { server: "b.example".to_owned() }),
            "no signature by a known key of `b.example` that counts",
        ),
        (Refusal::ContentHash, "the content hash is wrong"),
        (Refusal::NoPrevEvents, "no previous events"),
        (Refusal::UnknownPrevEvents, "unknown previous events"),
        (Refusal::UnknownState, "unknown state before the event"),
        (
            Refusal::RejectedByHost { stage: AuthStage::CurrentState },
            "by the current state: refused by the host's own authorization",
        ),
        (Refusal::TooLarge, "the event would be too large"),
        (Refusal::TooDeep, "the event is nested too deep to be sent on"),
        (Refusal::ByHost(Box::new(ErrorResponse::internal("Oh"))), "refused by the host: Oh"),
        (Refusal::RateLimited { retry_after_ms: Some(1) }, "rate limited"),
        (Refusal::Forbidden, "forbidden by the host"),
        (Refusal::Suspended, "the user is suspended"),
        (Refusal::NothingToAnswer { expected: Membership::Knock }, "the membership of the user is not `knock`"),
        (
            Refusal::Policy(PolicyRefusal::Refused(Box::new(ErrorResponse::internal("Oh")))),
            "refused by the policy server of the room: Oh",
        ),
        (Refusal::Policy(PolicyRefusal::BadSignature), "the signature of the policy server does not verify"),
        (Refusal::Policy(PolicyRefusal::NoAnswer), "no signature of the policy server"),
        (HostError::OtherRoom.into(), "the room is not the one that the request names"),
        (HostError::OtherAuthEvents.into(), "the auth events were matched with another event"),
        (HostError::PolicyServer.into(), "the verdict is not that of the policy server that the room names now"),
        (HostError::NoForwardExtremities.into(), "no previous events to come after"),
        (
            HostError::NoEventId { event_type: EventType::Create }.into(),
            "the `m.room.create` event of the state has no event ID",
        ),
        (HostError::NoCreateEvent.into(), "the create event of the room has no text that could be sent"),
        (HostError::Sign(SignError::EventId).into(), "event has an `event_id`, which would be signed with it"),
    ];
    let host_errors: Vec<_> = messages.iter().filter(|(refusal, _)| refusal.is_host_error()).collect();
    assert_eq!(host_errors, messages[33..].iter().collect::<Vec<_>>());
    for (refusal, message) in messages {
        assert_eq!(refusal.to_string(), message);
    }
    let mismatches = [
        (Mismatch::RoomId, "the event is of another room"),
        (Mismatch::EventType, "the event is not an `m.room.member` event"),
        (Mismatch::Membership, "the `membership` is not the one of the request"),
        (Mismatch::NoStateKey, "the event has no `state_key`"),
        (Mismatch::StateKey, "the `state_key` is not the sender"),
        (Mismatch::Sender, "the sender is of another server"),
        (Mismatch::EventId, "the event ID in the path is not that of the event"),
        (Mismatch::AuthorizingUser, "a knock with a `join_authorised_via_users_server`"),
    ];
    for (mismatch, message) in mismatches {
        assert_eq!(mismatch.to_string(), message);
        assert_eq!(Refusal::Mismatch(mismatch).to_string(), message);
    }
    let stages = [
        (AuthStage::Itself, "by itself"),
        (AuthStage::AuthEvents, "by its auth events"),
        (AuthStage::StateBefore, "by the state before it"),
        (AuthStage::CurrentState, "by the current state"),
    ];
    assert_eq!(stages.map(|(stage, _)| stage.to_string()), stages.map(|(_, message)| message));
}

#[test]
fn messages_about_invites_and_receipt() {
    let server = || "b.example".to_owned();
    let not_signed = || SignatureError::NotSigned { server: server() };
    let messages: [(&dyn Error, &str); 39] = [
        (&NotInvited::Refused(Box::new(ErrorResponse::internal("Oh"))), "refused: Oh"),
        (&NotInvited::NoAnswer, "the server of the user could not be asked"),
        (&NotInvited::BadAnswer(BadInviteAnswer::NoEvent), "no event in the answer"),
        (&BadInviteAnswer::TooLarge, "answer of more than 262144 bytes"),
        (&BadInviteAnswer::OtherEvent, "another event than the one to sign"),
        (&BadInviteAnswer::NotSigned, "not signed by the server of the user"),
        (&BadInviteAnswer::BadSignature, "a signature of the server of the user does not verify"),
        (&InviteRefusal::Path(PathError::RoomId), "not a room ID"),
        (&InviteRefusal::NotUtf8, "the body is not UTF-8"),
        (&InviteRefusal::TooLarge, "the invite is too large"),
        (&InviteRefusal::NotAnObject, "the body is not an object"),
        (&InviteRefusal::Missing("event"), "no `event`"),
        (&InviteRefusal::Malformed("event"), "`event` is of the wrong kind"),
        (&InviteRefusal::IncompatibleRoomVersion("x".to_owned()), "this server does not have room version `x`"),
        (&InviteRefusal::Format(FormatError::Missing("depth")), "malformed event: event has no `depth`"),
        (&InviteRefusal::TooDeep, "event nested deeper than 120 levels"),
        (&InviteRefusal::Signature(not_signed()), "no signature by a known key of `b.example` that counts"),
        (&InviteRefusal::ContentHash, "the content hash is wrong"),
        (&InviteRefusal::RoomState(RoomStateFault::Missing), "`invite_room_state`: missing"),
        (&InviteRefusal::Blocked, "the user has blocked such invites"),
        (&InviteRefusal::Forbidden, "not allowed"),
        (&InviteRefusal::ByHost(Box::new(ErrorResponse::internal("Oh"))), "refused by the host: Oh"),
        (&InviteRefusal::Mismatch(InviteMismatch::EventId), "the event ID in the path is not that of the event"),
        (&InviteMismatch::RoomId, "the event is of another room"),
        (&InviteMismatch::RoomVersion, "the room is of another version"),
        (&InviteMismatch::EventType, "the event is not an `m.room.member` event"),
        (&InviteMismatch::Membership, "the `membership` is not `invite`"),
        (&InviteMismatch::Sender, "the sender is of another server"),
        (&InviteMismatch::StateKey, "the invited user is of another server"),
        (&RoomStateFault::NoCreateEvent, "no valid create event"),
        (&RoomStateFault::Entry { index: 3, reason: Dropped::NotState }, "entry 3: not a state event"),
        (&RoomStateFault::Stripped, "entries that are no whole events"),
        (&ReceiptDropped::Format(FormatError::Missing("depth")), "malformed event: event has no `depth`"),
        (&ReceiptDropped::Signatures(not_signed()), "no signature by a known key of `b.example` that counts"),
        (&ReceiptError::NotAMemberEvent, "not an `m.room.member` event"),
        (&ReceiptError::OtherAuthEvents, "the auth events were matched with another event"),
        (&ReceiptError::PolicyServer, "the verdict is not that of the policy server that the room names now"),
        (&SoftFailure::PolicyServer(PolicyRefusal::NoAnswer), "no signature of the policy server"),
        (&PathError::Method, "the endpoint does not have this method"),
    ];
    for (error, message) in messages {
        assert_eq!(error.to_string(), message);
    }
}
