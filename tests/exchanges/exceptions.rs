//! What we answer otherwise than Synapse did, and why.

use matrix_knock::auth::Rule;
use matrix_knock::event::{FormatError, PduError, SignatureError};
use matrix_knock::id::IdError;
use matrix_knock::resident::{AuthStage, Mismatch, Refusal};

/// Requests of one kind that we answer in another way than Synapse, for one reason.
pub(crate) struct Exception {
    pub(crate) kind: &'static str,
    pub(crate) synapse: &'static str,
    pub(crate) ours: &'static str,
    /// How many lines of the recordings.
    pub(crate) count: usize,
    pub(crate) reason: &'static str,
    /// Which ones.
    pub(crate) requests: &'static [Request],
}

/// A request, by what the recordings say that it is, and what we refuse it for.
pub(crate) struct Request {
    pub(crate) note: &'static str,
    pub(crate) is_refused_for: fn(&Refusal) -> bool,
}

macro_rules! exceptions {
    ($($kind:ident, $synapse:literal => $ours:literal, $count:literal: $reason:literal {
        $($note:literal: $refusal:pat $(if $guard:expr)?,)*
    })*) => {
        pub(crate) const EXCEPTIONS: &[Exception] = &[$(Exception {
            kind: stringify!($kind),
            synapse: $synapse,
            ours: $ours,
            count: $count,
            reason: $reason,
            requests: &[$(Request {
                note: $note,
                is_refused_for: |refusal| matches!(refusal, $refusal $(if $guard)?),
            }),*],
        }),*];
    };
}

exceptions! {
    make_knock, "400 M_UNKNOWN" => "400 M_INVALID_PARAM", 6: "a parameter that is no user ID has an errcode of its own" {
        "not a user ID": Refusal::UserId,
        "a user ID without a server": Refusal::UserId,
    }
    make_knock, "200" => "404 M_NOT_FOUND", 6: "a server that has left the room knows its old state only: no template" {
        "make_knock after hs1 left the room": Refusal::NotInRoom,
        "(kay knocks via hs1 after hs1 left the room)": Refusal::NotInRoom,
    }
    // Synapse soft-fails the first of them and answers with 200 nevertheless.
    send_knock, "200" => "404 M_NOT_FOUND", 6: "a server that has left the room has nobody in it to see a knock" {
        "send_knock after hs1 left the room": Refusal::NotInRoom,
        "(kay knocks via hs1 after hs1 left the room)": Refusal::NotInRoom,
    }
    send_knock, "400 M_BAD_JSON" => "400 M_INVALID_PARAM", 48: "a well-formed event, but not what the request is about" {
        "another room's ID in the path": Refusal::Mismatch(Mismatch::RoomId),
        "type m.room.message": Refusal::Mismatch(Mismatch::EventType),
        "type m.room.topic": Refusal::Mismatch(Mismatch::EventType),
        "membership 'leave'": Refusal::Mismatch(Mismatch::Membership),
        "membership 'join'": Refusal::Mismatch(Mismatch::Membership),
        "membership 'invite'": Refusal::Mismatch(Mismatch::Membership),
        "membership 'ban'": Refusal::Mismatch(Mismatch::Membership),
        "membership 'KNOCK'": Refusal::Mismatch(Mismatch::Membership),
        "membership 'org.example.x'": Refusal::Mismatch(Mismatch::Membership),
        "membership missing": Refusal::Mismatch(Mismatch::Membership),
        "membership not a string": Refusal::Mismatch(Mismatch::Membership),
        "membership an array": Refusal::Mismatch(Mismatch::Membership),
        "no state_key": Refusal::Mismatch(Mismatch::NoStateKey),
        "state_key empty": Refusal::Mismatch(Mismatch::StateKey),
        "state_key of another user of hs2": Refusal::Mismatch(Mismatch::StateKey),
        "state_key of a user of hs1": Refusal::Mismatch(Mismatch::StateKey),
    }
    send_leave, "400 M_BAD_JSON" => "400 M_INVALID_PARAM", 3: "a well-formed event, but not what the request is about" {
        "a knock event sent to send_leave v2": Refusal::Mismatch(Mismatch::Membership),
    }
    send_knock, "403 M_FORBIDDEN" => "400 M_INVALID_PARAM", 12: "sender and state key are compared before any signature" {
        "sender of hs1, state_key of hs2, signed by hs2": Refusal::Mismatch(Mismatch::StateKey),
        "sender and state_key of hs1, signed by hs2": Refusal::Mismatch(Mismatch::Sender),
        "sender of hs3, signed by hs3, sent by hs2": Refusal::Mismatch(Mismatch::Sender),
        "sender of the unreachable hs4, signed by hs2": Refusal::Mismatch(Mismatch::Sender),
    }
    send_knock, "400 M_MISSING_PARAM" => "400 M_BAD_JSON", 9: "what the event lacks is no parameter of the request" {
        "body an empty object": Refusal::Format(FormatError::Pdu(PduError::Missing("type"))),
        "room_id missing": Refusal::Format(FormatError::Missing("room_id")),
        "depth missing": Refusal::Format(FormatError::Missing("depth")),
    }
    send_knock, "400 M_UNKNOWN" => "400 M_BAD_JSON", 3: "an event whose sender is no user ID is malformed" {
        "sender not a user ID": Refusal::Format(FormatError::Id { property: "sender", error: IdError::Sigil('@') }),
    }
    send_knock, "403 M_FORBIDDEN" => "400 M_BAD_JSON", 6: "an event without what every event has is malformed" {
        "signatures missing": Refusal::Format(FormatError::Missing("signatures")),
        "hashes empty": Refusal::Format(FormatError::Missing("hashes.sha256")),
    }
    send_knock, "403 M_FORBIDDEN" => "400 M_INVALID_PARAM", 15: "a missing or wrong signature is a fault of the request" {
        "signature corrupted": Refusal::Signature(SignatureError::BadSignature { .. }),
        "signatures empty": Refusal::Signature(SignatureError::NotSigned { .. }),
        "signed by hs3 only": Refusal::Signature(SignatureError::NotSigned { .. }),
        "signature under an unknown key ID": Refusal::Signature(SignatureError::NotSigned { .. }),
        "origin_server_ts far ahead": Refusal::Signature(SignatureError::NotSigned { .. }),
    }
    send_knock, "403 M_FORBIDDEN" => "400 M_INVALID_PARAM", 9: "a change after signing shows in the event ID first" {
        "depth changed after signing": Refusal::Mismatch(Mismatch::EventId),
        "origin_server_ts changed after signing": Refusal::Mismatch(Mismatch::EventId),
        "an extra hash added after signing": Refusal::Mismatch(Mismatch::EventId),
    }
    send_knock, "200" => "400 M_INVALID_PARAM", 6: "the event ID in the path is that of the event; Synapse does not read it" {
        "another event ID in the path": Refusal::Mismatch(Mismatch::EventId),
        "a malformed event ID in the path": Refusal::Mismatch(Mismatch::EventId),
    }
    send_knock, "200" => "400 M_INVALID_PARAM", 6: "redacted for its content hash, a knock would lose the reason and the name" {
        "reason changed after hashing (content hash mismatch)": Refusal::ContentHash,
        "a top-level key added after hashing": Refusal::ContentHash,
    }
    // In versions 10 and 12: in version 7 the property means nothing, and the knock is taken here
    // too.
    send_knock, "200" => "400 M_INVALID_PARAM", 2: "nobody authorizes a knock" {
        "join_authorised_via_users_server in content": Refusal::Mismatch(Mismatch::AuthorizingUser),
    }
    // In version 12.
    send_knock, "400 M_BAD_JSON" => "403 M_FORBIDDEN", 1: "naming the create event breaks a rule of authorization" {
        "auth_events with the create event": Refusal::Rejected { stage: AuthStage::Itself, rejection }
            if rejection.rule() == Rule::UnselectedAuthEvent,
    }
}
