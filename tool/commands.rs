//! The commands by name: what each takes, what it answers.

mod answers;
mod client;
mod events;
mod handshake;
mod room;

use crate::lines::{Answer, Line};

/// A command, which answers one line at a time.
pub(crate) struct Command {
    pub(crate) name: &'static str,
    /// What it is for.
    pub(crate) about: &'static str,
    /// The members of a line; those in brackets may be left out.
    pub(crate) takes: &'static str,
    /// The members of the answer.
    pub(crate) gives: &'static str,
    pub(crate) answer: fn(&Line<'_>) -> Answer,
}

impl Command {
    /// Returns the command of this name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        COMMANDS.iter().find(|command| command.name == name)
    }
}

pub(crate) const COMMANDS: [Command; 21] = [
    Command {
        name: "authorize",
        about: "Whether the rules let a membership event into a room. Server ACLs are no rules: see `explain`.",
        takes: "room_version, state, event",
        gives: "allow; rule, number, reason if it is false",
        answer: room::authorize,
    },
    Command {
        name: "event-id",
        about: "The ID and the content hash of an event, and what a redaction leaves of it.",
        takes: "room_version, event",
        gives: "event_id, content_hash, hash_ok if the event has hashes, redacted",
        answer: events::event_id,
    },
    Command {
        name: "canonical",
        about: "The canonical form of a JSON value; without a version, that of version 6 and later.",
        takes: "value, [room_version]",
        gives: "canonical (a string)",
        answer: events::canonical_json,
    },
    Command {
        name: "verify",
        about: "Whether format, signatures and content hash of an event are valid.",
        takes: "room_version, event, keys {server: {key ID: base64}}",
        gives: "verdict (ok, hash_mismatch, bad_signature, bad_format), reason",
        answer: events::verify,
    },
    Command {
        name: "make-knock",
        about: "What a resident server answers to `make_knock`. A state of null is an unknown room.",
        takes: "room_version, room_id, user_id, origin, ver, state, prev_events, [server_name], now",
        gives: "status, body; reason if it is a refusal (which check, which rule)",
        answer: handshake::make_knock,
    },
    Command {
        name: "send-knock",
        about: "What a resident server answers to `send_knock`. A state of null is an unknown room.",
        takes: "room_version, room_id, event_id, origin, body, state, auth_events, keys, [server_name]",
        gives: "status, body; reason if it is a refusal (which check, which rule)",
        answer: handshake::send_knock,
    },
    Command {
        name: "template",
        about: "The event that a knocking server makes of an answer to `make_knock`.",
        takes: "room_id, user_id, ver, response, now, server_name, [reason], [displayname], [avatar_url]",
        gives: "ok; event if it is true, reason if not",
        answer: handshake::template,
    },
    Command {
        name: "stripped-state",
        about: "What somebody outside a room is shown of it.",
        takes: "room_version, state, user_id",
        gives: "federation (events), client (four keys each)",
        answer: room::stripped_state,
    },
    Command {
        name: "filter-state",
        about: "What of a `knock_room_state` a client is shown: what is verified, and what a host may choose to show.",
        takes: "room_version, room_id, user_id, knock_room_state, keys",
        gives: "client, unverified (four keys each), dropped (index and reason of each)",
        answer: handshake::filter_state,
    },
    Command {
        name: "classify",
        about: "The name of what a member event did. Without `before`, `unsigned.prev_content` counts.",
        takes: "[before] (null: there was no member event), event",
        gives: "change",
        answer: room::classify,
    },
    Command {
        name: "answer",
        about: "A member's answer: accept, decline, ban; revoke (an invite), unban; invite (without a knock).",
        takes: "room_version, room_id, state, prev_events, [server_name], sender, target, answer, [reason],\nnow, key_id, seed",
        gives: "event_id, event, invite (server, method, path, body; or null), also_to;\nor status, body, rule, number",
        answer: answers::answer,
    },
    Command {
        name: "countersigned",
        about: "What comes of the answer to an invite: the event with both signatures, or the error for the client.",
        takes: "event, room_version, target_server, status (0: none), response, keys",
        gives: "event; or status, body",
        answer: answers::countersigned,
    },
    Command {
        name: "invite",
        about: "What the invited user's server answers to an invite, and what the client is shown.",
        takes: "room_id, event_id, origin, server_name, body, versions, keys, [knock], key_id, seed",
        gives: "status, body; and client, acceptance (linked, merely_invited, null), warnings if it is 200",
        answer: answers::invite,
    },
    Command {
        name: "receive",
        about: "The seven checks on receipt of a member event.",
        takes: "room_version, event, keys, auth_events, state, current_state,\npolicy (null or server, public_key, signed)",
        gives: "outcome (accepted, soft_failed, rejected, dropped), check (1 to 7),\nrule, number, reason, redacted",
        answer: answers::receive,
    },
    Command {
        name: "policy",
        about: "The policy server of a room, what to ask it about an event, and whether it has signed.",
        takes: "room_version, state, joined_servers, event",
        gives: "server (or null), request (method, path, body; or null), signed",
        answer: answers::policy,
    },
    Command {
        name: "pending",
        about: "Who waits for an answer after these member events, in order of arrival.",
        takes: "room_version, events",
        gives: "knocks (user_id, event_id, reason, displayname)",
        answer: room::pending,
    },
    Command {
        name: "knockable",
        about: "Whether a room can be knocked on, by its summary or entry of a directory.",
        takes: "[room_version], [join_rule]",
        gives: "knockable (true; false; null: not known)",
        answer: room::knockable,
    },
    Command {
        name: "visible",
        about: "Whether a user may see an event, by history visibility and membership before it and after it.",
        takes: "visibility, [visibility_after] (if the event sets it), membership,\n[membership_after] (if it is the user's own), joined_later (true: at any point after it)",
        gives: "visible",
        answer: room::visible,
    },
    Command {
        name: "knock-section",
        about: "What a client reads out of the `rooms.knock` of a sync.",
        takes: "section (a string)",
        gives: "rooms {room ID: events (four keys each)}",
        answer: client::knock_section,
    },
    Command {
        name: "knock-answer",
        about: "What a client reads out of the answer to its `POST /knock`.",
        takes: "status, [retry_after] (the header), body (a string)",
        gives: "room_id; or kind, errcode, error, retry_after_ms",
        answer: client::knock_answer,
    },
    Command {
        name: "request",
        about: "What a server reads out of a client's `POST /knock`, or the error that it answers.",
        takes: "method, path, [query], [body]",
        gives: "room_id_or_alias, via, reason; or status, body",
        answer: client::request,
    },
];
