//! An invite with seven events of its room, checked and countersigned: ours and with ruma's parts.

use std::collections::BTreeMap;
use std::hint::black_box;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use matrix_knock::Ed25519;
use matrix_knock::event::{Ed25519Key, KeyValidity, Keys, Sign, Verify, VerifyKey, redact, sign_event};
use matrix_knock::id::{RoomId, ServerName};
use matrix_knock::json::{CanonicalDialect, canonical};
use matrix_knock::knocking::invitation::{InviteDecision, InviteRequest};
use matrix_knock::knocking::room_state::ShowUnverified;
use ruma_common::room_version_rules::RoomVersionRules;
use ruma_common::serde::Base64;
use ruma_common::{CanonicalJsonObject, CanonicalJsonValue};
use ruma_signatures::{Ed25519KeyPair, PublicKeyMap, Verified};
use ruma_state_res::check_pdu_format;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Operation;
use super::exchange::{NOW, ROOM};
use super::room::VERSION;

const INVITER: &str = "a.example:8448";
const HOME: &str = "b.example:8448";
const ALICE: &str = "@alice:a.example:8448";
const KAY: &str = "@kay:b.example:8448";
const RULES: RoomVersionRules = RoomVersionRules::V10;

/// An invite as it comes to the invited user's server.
#[derive(Debug)]
pub(crate) struct Invited {
    event_id: String,
    body: String,
    pub(crate) ours: Ed25519Key,
    inviters_key: [u8; 32],
    /// What the inviter's server has signed: the invite and the state.
    signed: Vec<(String, [u8; 64])>,
    /// What is to be signed here.
    message: String,
    key: SigningKey,
    rumas_keys: PublicKeyMap,
}

/// What a server reads of the body.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    event: &'a RawValue,
    #[serde(borrow)]
    invite_room_state: Vec<&'a RawValue>,
    room_version: &'a str,
}

fn event(event_type: &str, state_key: &str, content: &str) -> String {
    format!(
        r#"{{"auth_events":["$1F2Tdzc1qE0Z_hM0sQdTlUmUZJgRqVlFzqMuGr9Yaps","$aCrFpB5gJWPMfGR2uKnbbJJlSR9VZRNMhCC0vz_rNZk"],
        "content":{content},"depth":9,"origin_server_ts":{NOW},"prev_events":["$q_w7YUBP7NR3arNe5-SzZFtyE6qxaqfvoaOtbxaD6es"],
        "room_id":"{ROOM}","sender":"{ALICE}","state_key":"{state_key}","type":"{event_type}"}}"#
    )
}

impl Invited {
    pub(crate) fn new() -> &'static Self {
        Self::with_entries(7)
    }

    /// With so many of the seven events of the room's state.
    pub(crate) fn with_entries(entries: usize) -> &'static Self {
        let theirs = Ed25519Key::from_seed("ed25519:a_mdJa", &[7; 32]).unwrap();
        let ours = Ed25519Key::from_seed("ed25519:1", &[1; 32]).unwrap();
        let inviter = ServerName::parse(INVITER).unwrap();
        let sign = |text: &str| sign_event(VERSION, text, inviter, &theirs).unwrap();
        let state = [
            ("m.room.create", "", r#"{"creator":"@alice:a.example:8448","room_version":"10"}"#),
            ("m.room.join_rules", "", r#"{"join_rule":"knock"}"#),
            ("m.room.name", "", r#"{"name":"Knock knock"}"#),
            ("m.room.topic", "", r#"{"topic":"Who is there?"}"#),
            ("m.room.avatar", "", r#"{"url":"mxc://a.example/SEsfnsuifSDFSSEF"}"#),
            ("m.room.canonical_alias", "", r##"{"alias":"#knock:a.example"}"##),
            ("m.room.member", ALICE, r#"{"displayname":"Alice","membership":"join"}"#),
        ];
        let state = state.iter().take(entries).map(|(event_type, key, content)| sign(&event(event_type, key, content)));
        let state: Vec<_> = state.collect();
        let invite =
            sign(&event("m.room.member", KAY, r#"{"displayname":"Kay 🔔","membership":"invite","reason":"Come in"}"#));
        let essential = |text: &str| {
            let redacted = canonical(&redact(VERSION, text).unwrap(), CanonicalDialect::Strict).unwrap();
            let mut essential: serde_json::Value = serde_json::from_str(&redacted).unwrap();
            essential.as_object_mut().unwrap().remove("signatures");
            serde_json::to_string(&essential).unwrap()
        };
        let signed = state.iter().chain([&invite]).map(|event| {
            let message = essential(event.text());
            let signature = theirs.sign(message.as_bytes());
            (message, signature)
        });
        let signed: Vec<_> = signed.collect();
        let list: Vec<&str> = state.iter().map(|event| event.text()).collect();
        let body =
            format!(r#"{{"event":{},"invite_room_state":[{}],"room_version":"10"}}"#, invite.text(), list.join(","));
        let key = ("ed25519:a_mdJa".to_owned(), Base64::new(theirs.public_key().to_vec()));
        Box::leak(Box::new(Self {
            event_id: invite.event_id().to_owned(),
            body,
            ours,
            inviters_key: theirs.public_key(),
            signed,
            message: essential(invite.text()),
            key: SigningKey::from_bytes(&[1; 32]),
            rumas_keys: PublicKeyMap::from([(INVITER.to_owned(), BTreeMap::from([key]))]),
        }))
    }

    /// From the body to the event with both signatures, and how many events the client is shown.
    pub(crate) fn sign(&self, verifier: &impl Verify, signer: &impl Sign) -> (String, usize) {
        let room_id = RoomId::parse(ROOM).unwrap();
        let inviter = ServerName::parse(INVITER).unwrap();
        let request = InviteRequest::new(room_id, &*self.event_id, inviter, black_box(&*self.body));
        let checked = request.check(ServerName::parse(HOME).unwrap(), &[VERSION]).unwrap();
        assert!(checked.wanted_keys().len() == 1);
        let verified = checked.verify(self, verifier, NOW).unwrap();
        assert!(verified.warnings().is_empty());
        let shown = verified.room_state().shown().len();
        let accepted = verified.decide(InviteDecision::Admit).unwrap().countersign(signer).unwrap();
        (accepted.event().text().to_owned(), shown)
    }

    /// What the client is shown of it: to count what that takes.
    pub(crate) fn shown(&self) -> usize {
        let request = InviteRequest::new(
            RoomId::parse(ROOM).unwrap(),
            &*self.event_id,
            ServerName::parse(INVITER).unwrap(),
            &*self.body,
        );
        let checked = request.check(ServerName::parse(HOME).unwrap(), &[VERSION]).unwrap();
        let verified = checked.verify(self, &Ed25519, NOW).unwrap();
        let accepted = verified.decide(InviteDecision::Admit).unwrap().countersign(&self.ours).unwrap();
        accepted.invite_state(ShowUnverified::default()).len()
    }

    /// The same with ruma's parts, in the order in which a server needs them.
    fn sign_by_ruma(&self, pair: &Ed25519KeyPair) -> (String, usize) {
        let body: Body<'_> = serde_json::from_str(black_box(&self.body)).unwrap();
        assert_eq!(body.room_version, VERSION.as_str());
        let verified = |text: &str| -> CanonicalJsonObject {
            let object: CanonicalJsonObject = serde_json::from_str(text).unwrap();
            check_pdu_format(&object, &RULES.event_format).unwrap();
            assert!(matches!(ruma_signatures::verify_event(&self.rumas_keys, &object, &RULES), Ok(Verified::All)));
            object
        };
        let mut event = verified(body.event.get());
        assert_eq!(format!("${}", ruma_signatures::reference_hash(&event, &RULES).unwrap()), self.event_id);
        let is = |event: &CanonicalJsonObject, key: &str, value: &str| matches!(event.get(key), Some(CanonicalJsonValue::String(text)) if text == value);
        assert!(is(&event, "room_id", ROOM) && is(&event, "type", "m.room.member") && is(&event, "state_key", KAY));
        let mut shown = Vec::with_capacity(body.invite_room_state.len());
        for entry in body.invite_room_state {
            let mut entry = verified(entry.get());
            assert!(is(&entry, "room_id", ROOM));
            entry.retain(|key, _| matches!(key.as_str(), "content" | "sender" | "state_key" | "type"));
            shown.push(serde_json::to_string(&entry).unwrap());
        }
        ruma_signatures::hash_and_sign_event(HOME, pair, &mut event, &RULES.redaction).unwrap();
        (serde_json::to_string(&event).unwrap(), shown.len())
    }

    /// Bare strict verification of what the inviter's server has signed, and one signature: nine
    /// operations on the curve.
    pub(crate) fn curve(&self) -> bool {
        let all = self.signed.iter().all(|(message, signature)| {
            let key = VerifyingKey::from_bytes(black_box(&self.inviters_key)).unwrap();
            key.verify_strict(black_box(message.as_bytes()), &Signature::from_bytes(black_box(signature))).is_ok()
        });
        black_box(self.key.sign(black_box(self.message.as_bytes())));
        all
    }
}

/// The keys of the inviter's server.
impl Keys for Invited {
    fn key(&self, _server: &str, _key_id: &str) -> Option<VerifyKey> {
        Some(VerifyKey { public_key: self.inviters_key, validity: KeyValidity::Forever })
    }
}

pub(crate) fn operation() -> Operation {
    let invited = Invited::new();
    assert!(invited.curve());
    assert_eq!((invited.signed.len(), invited.shown()), (8, 8));
    let mut document = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    document.extend([1; 32]);
    let pair = Ed25519KeyPair::from_der(&document, "1".to_owned()).unwrap();
    Operation::new(
        || invited.sign(&Ed25519, &invited.ours),
        move || invited.sign_by_ruma(&pair),
        |ours, ruma| *ours == *ruma && ours.1 == 7,
    )
    .with_limit(|| invited.curve())
}
