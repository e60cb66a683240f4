//! The seven checks on receipt of an event, and what follows from each.

use matrix_knock::auth::AuthStatus;
use matrix_knock::event::{
    Event as _, FormatError, KeyValidity, KeysFn, MAX_EVENT_BYTES, Pdu, SignatureError, VerifyKey,
};
use matrix_knock::policy::{PolicyRefusal, PolicyVerdict};
use matrix_knock::receipt::{AuthEventRef, Check, Dropped, Outcome, ReceiptError, ReceivedEvent, SoftFailure, States};
use matrix_knock::{Ed25519, RoomVersion};
use serde_json::{Value, json};

use super::room::{
    A, ALICE, AllKeys, BEN, BOT, K, KAY, KEY_ID, NOW, P, Room, json_of, key, policy_answer, policy_signature, sign,
    versions, with,
};

/// An event up to check 3.
fn verified(version: RoomVersion, text: &str) -> Result<ReceivedEvent<'_>, Dropped> {
    let formatted = Pdu::parse(text).map_err(FormatError::Pdu)?.check_format(version)?;
    ReceivedEvent::verify(formatted, &AllKeys, &Ed25519, NOW)
}

/// Checks 4 to 7 of an event that names events of `room`.
fn judged(
    text: &str,
    room: &Room,
    (before, current): (&Room, &Room),
    verdict: PolicyVerdict,
) -> Result<Outcome, ReceiptError> {
    let event = verified(room.version, text).expect("checks 1 and 2 pass");
    let auth_events = event.match_auth_events(room.found()).expect("all are known");
    let (before, current) = (before.state(), current.state());
    event.check(&auth_events, States { before: &before, current: &current }, &Ed25519, verdict)
}

fn in_words(outcome: Result<Outcome, ReceiptError>) -> (Option<u8>, String) {
    let outcome = outcome.expect("no mistake of the host");
    let why = match &outcome {
        Outcome::Accepted(signature) => format!("accepted, signed: {}", signature.is_some()),
        Outcome::SoftFailed(SoftFailure::CurrentState(rejection)) => format!("soft-failed {}", rejection.rule().name()),
        Outcome::SoftFailed(refusal) => format!("soft-failed: {refusal}"),
        Outcome::Rejected(rejected) => format!("rejected {}", rejected.rejection().rule().name()),
    };
    (outcome.check().map(Check::number), why)
}

fn words(check: Option<u8>, why: &str) -> (Option<u8>, String) {
    (check, why.to_owned())
}

#[test]
fn each_check_has_its_consequence() {
    let mut cells = 0;
    for version in versions() {
        let room = Room::with_policy_server(version);
        let invite = room.membership(ALICE, KAY, "invite");
        let (_, text) = sign(version, &invite, A);
        let signed = || PolicyVerdict::Signed(policy_signature(&room, &text));
        let accepted = words(None, "accepted, signed: true");
        assert_eq!(in_words(judged(&text, &room, (&room, &room), signed())), accepted, "{version}");

        // 1. Dropped by its format.
        let mut malformed = json_of(&text);
        malformed.as_object_mut().and_then(|event| event.remove("depth"));
        let dropped = verified(version, &malformed.to_string()).map(drop);
        assert_eq!(dropped, Err(Dropped::Format(FormatError::Missing("depth"))));
        // 2. Dropped by its signature.
        let (_, forged) = sign(version, &invite, K);
        let dropped = verified(version, &forged).map(drop).expect_err("forged");
        assert_eq!(dropped, Dropped::Signatures(SignatureError::NotSigned { server: A.to_owned() }));
        assert_eq!(dropped.check().number(), 2);
        // 3. Redacted by its hash, and it goes on as the same event.
        let whole = with(&invite, "content", json!({ "membership": "invite", "reason": "Come in" }));
        let (id, whole) = sign(version, &whole, A);
        let mut changed = json_of(&whole);
        changed["content"]["reason"] = json!("Something else");
        let changed = changed.to_string();
        let redacted = verified(version, &changed).expect("the signature holds");
        assert_eq!((redacted.is_redacted(), redacted.event_id()), (true, &*id));
        let kept = json_of(&redacted.to_text(None).expect("the event"));
        assert_eq!(kept["content"], json!({ "membership": "invite" }));
        let verdict = PolicyVerdict::Signed(policy_signature(&room, &whole));
        assert_eq!(in_words(judged(&changed, &room, (&room, &room), verdict)), accepted);

        // 4. Rejected by its auth events: here Alice was banned, by the states she was not.
        let mut other = room.clone();
        other.member(BEN, ALICE, "ban");
        let by_other = with(&invite, "auth_events", json!(other.auth_events(&invite)));
        let (_, by_other) = sign(version, &by_other, A);
        let rejected = words(Some(4), "rejected InviterNotJoined");
        assert_eq!(in_words(judged(&by_other, &other, (&room, &room), signed())), rejected, "{version}");
        // 5. Rejected by the state before it.
        let rejected = words(Some(5), "rejected InviterNotJoined");
        assert_eq!(in_words(judged(&text, &room, (&other, &room), signed())), rejected, "{version}");
        // 6. Soft-failed by the current state.
        let failed = words(Some(6), "soft-failed InviterNotJoined");
        assert_eq!(in_words(judged(&text, &room, (&room, &other), signed())), failed, "{version}");
        // 7. Soft-failed by the policy server.
        let refused = PolicyVerdict::Refused(PolicyRefusal::NoAnswer);
        let failed = words(Some(7), "soft-failed: no signature of the policy server");
        assert_eq!(in_words(judged(&text, &room, (&room, &room), refused)), failed, "{version}");
        cells += 7;
    }
    assert_eq!(cells, 42);
    assert_eq!(Check::ALL.map(Check::number), [1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn rejected_events_before_and_beside() {
    for version in versions() {
        let room = Room::new(version);
        // A previous event that was rejected makes no difference.
        let leave = room.membership(KAY, KAY, "leave");
        let after_rejected = with(&leave, "prev_events", json!(["$rejected0000000000000000000000000000000000000"]));
        let (_, text) = sign(version, &after_rejected, K);
        let accepted = words(None, "accepted, signed: false");
        assert_eq!(in_words(judged(&text, &room, (&room, &room), PolicyVerdict::NotNamed)), accepted, "{version}");
        // No previous event at all means that no state was before it.
        let (_, from_nothing) = sign(version, &with(&leave, "prev_events", json!([])), K);
        let rejected = words(Some(5), "rejected NoCreateEvent");
        assert_eq!(in_words(judged(&from_nothing, &room, (&room, &room), PolicyVerdict::NotNamed)), rejected);
        // An auth event that was rejected does.
        let event = verified(version, &text).expect("an event");
        let (knock, _) = room.at("m.room.member", KAY);
        let found = room.found().into_iter().map(|found| match found.event.event_id() == Some(knock) {
            true => AuthEventRef { status: AuthStatus::Rejected, ..found },
            false => found,
        });
        let auth_events = event.match_auth_events(found).expect("all are known");
        let state = room.state();
        let states = States { before: &state, current: &state };
        let rejected = event.check(&auth_events, states, &Ed25519, PolicyVerdict::NotNamed);
        assert_eq!(in_words(rejected), words(Some(4), "rejected RejectedAuthEvent"), "{version}");
    }
}

#[test]
fn which_signatures_count() {
    let mut cells = 0;
    for version in versions() {
        let room = Room::new(version);
        let (_, text) = sign(version, &room.membership(KAY, KAY, "leave"), K);
        let good = json_of(&text)["signatures"].clone();
        let not_signed = SignatureError::NotSigned { server: K.to_owned() };
        let bad = |key_id: &str| SignatureError::BadSignature { server: K.to_owned(), key_id: key_id.to_owned() };
        let signature = good[K][KEY_ID].as_str().expect("a signature").to_owned();
        let wrong = json_of(&sign(version, &room.membership(KAY, KAY, "knock"), K).1)["signatures"][K][KEY_ID].clone();
        for (of_kay, expected) in [
            // With padding or without; beside the signatures of unknown keys and algorithms, and of the policy server.
            (json!({ KEY_ID: signature }), None),
            (json!({ KEY_ID: format!("{signature}==") }), None),
            (json!({ KEY_ID: signature, "ed25519:unknown": "AAAA", "ed25519:policy_server": "AAAA" }), None),
            (json!({ KEY_ID: signature, "ml-dsa:1": "AAAA" }), None),
            (json!({ "ml-dsa:1": signature }), Some(not_signed.clone())),
            (json!({ "ed25519:unknown": signature }), Some(not_signed.clone())),
            (json!({}), Some(not_signed.clone())),
            (json!({ KEY_ID: "no base64" }), Some(bad(KEY_ID))),
            (json!({ KEY_ID: wrong }), Some(bad(KEY_ID))),
        ] {
            let mut event = json_of(&text);
            event["signatures"] = json!({ K: of_kay });
            let text = event.to_string();
            let dropped = verified(version, &text).map(drop).err();
            assert_eq!(dropped, expected.map(Dropped::Signatures), "{version} {}", event["signatures"]);
            cells += 1;
        }
        // Of all known keys each has to verify.
        let second = |server: &str, key_id: &str| {
            let key_of = if key_id == "ed25519:2" { key("z.example") } else { key(server) };
            let is_known = key_id == KEY_ID || key_id == "ed25519:2";
            is_known.then_some(VerifyKey { public_key: key_of.public_key(), validity: KeyValidity::Forever })
        };
        let mut event = json_of(&text);
        event["signatures"][K]["ed25519:2"] = json!(signature);
        let text = event.to_string();
        let formatted = Pdu::parse(&text).expect("an event").check_format(version).expect("the format");
        let dropped = ReceivedEvent::verify(formatted, &KeysFn(second), &Ed25519, NOW).map(drop);
        assert_eq!(dropped, Err(Dropped::Signatures(bad("ed25519:2"))), "{version}");
        cells += 1;
    }
    assert_eq!(cells, 60);
}

#[test]
fn how_long_keys_count() {
    const DAY: u64 = 24 * 60 * 60 * 1000;
    let mut cells = 0;
    for version in versions() {
        let room = Room::new(version);
        let leave = room.membership(KAY, KAY, "leave");
        for (validity, made_at, counts) in [
            (KeyValidity::Until(NOW), NOW, true),
            (KeyValidity::Until(NOW), NOW + 1, false),
            // A year is promised, seven days are believed.
            (KeyValidity::Until(NOW + 365 * DAY), NOW + 7 * DAY, true),
            (KeyValidity::Until(NOW + 365 * DAY), NOW + 7 * DAY + 1, false),
        ] {
            let (_, text) = sign(version, &with(&leave, "origin_server_ts", json!(made_at)), K);
            let keys = |server: &str, _: &str| Some(VerifyKey { public_key: key(server).public_key(), validity });
            let formatted = Pdu::parse(&text).expect("an event").check_format(version).expect("the format");
            let verified = ReceivedEvent::verify(formatted, &KeysFn(keys), &Ed25519, NOW);
            let not_signed = Dropped::Signatures(SignatureError::NotSigned { server: K.to_owned() });
            assert_eq!(verified.map(drop).err(), (!counts).then_some(not_signed), "{version} {validity:?} {made_at}");
            cells += 1;
        }
    }
    assert_eq!(cells, 24);
}

#[test]
fn signed_by_the_policy_server_is_not_signed_by_the_sender() {
    for version in versions() {
        let mut room = Room::with_policy_server(version);
        room.member(ALICE, BEN, "leave");
        // Its own user leaves: that takes the signature of its published key, and that of its judgement.
        let leave = room.membership(BOT, BOT, "leave");
        let (_, text) = sign(version, &leave, P);
        let judgement: Value = json_of(&policy_answer(version, &text))[P].clone();
        let mut only_judged = json_of(&text);
        only_judged["signatures"][P] = judgement.clone();
        let only_judged = only_judged.to_string();
        let not_signed = Dropped::Signatures(SignatureError::NotSigned { server: P.to_owned() });
        assert_eq!(verified(version, &only_judged).map(drop), Err(not_signed), "{version}");

        let signature = policy_signature(&room, &text);
        let event = verified(version, &text).expect("its signature");
        let kept = json_of(&event.to_text(Some(&signature)).expect("the event"));
        let mut both = json_of(&text);
        both["signatures"][P].as_object_mut().expect("an object").extend(judgement.as_object().cloned().expect("one"));
        assert_eq!(kept, both, "{version}");
        // The rules judge a signed event as any other: here the one who leaves was never there.
        let mut gone = room.clone();
        gone.member(BOT, BOT, "leave");
        let verdict = PolicyVerdict::Signed(signature);
        let rejected = words(Some(5), "rejected LeaveFromNothing");
        assert_eq!(in_words(judged(&text, &room, (&gone, &room), verdict)), rejected, "{version}");
    }
}

#[test]
fn the_size_counts_with_the_signatures() {
    let mut cells = 0;
    for version in versions() {
        let room = Room::new(version);
        let of = |reason: usize| {
            let content = json!({ "membership": "knock", "reason": "x".repeat(reason) });
            sign(version, &room.draft(KAY, "m.room.member", KAY, content), K).1
        };
        let most = MAX_EVENT_BYTES - of(0).len();
        for (reason, expected) in [(most, None), (most + 1, Some(FormatError::TooLarge { bytes: 65_537 }))] {
            let text = of(reason);
            // Nobody has signed `unsigned`: it does not count.
            let text = text.replacen('{', r#"{"unsigned":{"age":123456789},"#, 1);
            assert_eq!(verified(version, &text).map(drop).err(), expected.map(Dropped::Format), "{version}");
            cells += 1;
        }
    }
    assert_eq!(cells, 12);
}
