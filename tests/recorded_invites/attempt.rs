//! One request with an invite, run against the invited user's server from its path to the answer.

use std::cell::Cell;

use matrix_knock::Ed25519;
use matrix_knock::RoomVersion;
use matrix_knock::event::{Ed25519Key, Keys, KeysFn, Sign, Verify, VerifyKey};
use matrix_knock::id::KeyId;
use matrix_knock::knocking::invitation::{AcceptedInvite, InviteDecision, InviteRefusal, InviteRequest};
use matrix_knock::knocking::out_of_band::{Acceptance, NoAnswer, SentKnock};
use matrix_knock::wire::HttpRequest;
use serde_json::{Value, json};

use super::{INVITED, INVITER, NOW, Recorded, documents, oracle, published, server};

/// The keys that the invited server finds.
pub(crate) type Found = fn(&str, &str) -> Option<VerifyKey>;

/// The parts of a request, to be changed. What is not changed is right.
pub(crate) struct Attempt<'r> {
    pub(crate) version: RoomVersion,
    /// The body of an invite to another room of the same version.
    pub(crate) elsewhere: &'r Value,
    pub(crate) event: Value,
    pub(crate) room_version: Value,
    pub(crate) state: Value,
    /// The event gets its content hash and the signature of the inviting server once it is changed.
    pub(crate) is_made_anew: bool,
    /// What is done to the text of the body.
    pub(crate) rewrite: Option<fn(String) -> Vec<u8>>,
    pub(crate) method: String,
    pub(crate) endpoint: String,
    pub(crate) room_in_path: Option<String>,
    pub(crate) event_in_path: Option<String>,
    pub(crate) origin: &'static str,
    pub(crate) own: &'static str,
    pub(crate) supported: Vec<RoomVersion>,
    /// Instead of the keys of the recordings and the tests.
    pub(crate) keys: Option<Found>,
    pub(crate) decision: InviteDecision,
}

/// What came of a request, and what it cost.
pub(crate) struct Done {
    pub(crate) result: Result<AcceptedInvite, InviteRefusal>,
    pub(crate) warnings: Vec<String>,
    pub(crate) acceptance: Option<Result<Acceptance, NoAnswer>>,
    /// How many keys were wanted, in all.
    pub(crate) wanted: usize,
    pub(crate) verified: usize,
    pub(crate) signed: usize,
}

impl<'r> Attempt<'r> {
    pub(crate) fn of(recorded: &Recorded, elsewhere: &'r Value) -> Self {
        let body = recorded.body();
        Self {
            version: recorded.version(),
            elsewhere,
            event: oracle::without(&body["event"], &["unsigned"]),
            room_version: body["room_version"].clone(),
            state: body["invite_room_state"].clone(),
            is_made_anew: true,
            rewrite: None,
            method: "PUT".to_owned(),
            endpoint: "/_matrix/federation/v2/invite".to_owned(),
            room_in_path: None,
            event_in_path: None,
            origin: INVITER,
            own: INVITED,
            supported: RoomVersion::ALL.to_vec(),
            keys: None,
            decision: InviteDecision::Admit,
        }
    }

    /// The event as it is sent.
    pub(crate) fn sent(&self) -> Value {
        match self.is_made_anew {
            true => oracle::made_by(self.version, &self.event, INVITER),
            false => self.event.clone(),
        }
    }

    pub(crate) fn run(&self) -> Done {
        let sent = self.sent();
        let mut body = json!({ "event": sent, "room_version": self.room_version, "invite_room_state": self.state });
        // `null` in the parts is a property that is not there.
        for name in ["event", "room_version", "invite_room_state"] {
            if body[name].is_null() {
                body = oracle::without(&body, &[name]);
            }
        }
        let text = body.to_string();
        let bytes = self.rewrite.map_or_else(|| text.clone().into_bytes(), |rewrite| rewrite(text.clone()));
        let room_id = self.room_in_path.clone().unwrap_or_else(|| text_of(&sent["room_id"]));
        let event_id = self.event_in_path.clone().unwrap_or_else(|| match sent.is_object() {
            true => oracle::event_id(self.version, &sent),
            false => "$event".to_owned(),
        });
        let path = format!("{}/{}/{}", self.endpoint, room_id.replace('/', "%2F"), event_id.replace('/', "%2F"));
        let request = HttpRequest { method: &self.method, path: &path, query: "", body: &bytes };
        let documents = documents();
        let known = |name: &str, key_id: &str| documents.key(name, key_id).or_else(|| published(name, key_id));
        match self.keys {
            Some(keys) => self.receive(request, &KeysFn(keys), None),
            None => self.receive(request, &KeysFn(known), None),
        }
    }

    /// Receives this very request.
    pub(crate) fn receive(&self, request: HttpRequest<'_>, keys: &dyn Keys, knock: Option<&SentKnock<'_>>) -> Done {
        let (verifier, signer) = (CountingVerifier::default(), CountingSigner::of(self.own));
        let (mut warnings, mut wanted, mut acceptance) = (Vec::new(), 0, None);
        let mut receive = || {
            let request = InviteRequest::parse(server(self.origin), request)?;
            let checked = request.check(server(self.own), &self.supported)?;
            wanted = checked.wanted_keys().values().map(|of_server| of_server.len()).sum();
            let verified = checked.verify(keys, &verifier, NOW)?;
            warnings = verified.warnings().iter().map(ToString::to_string).collect();
            acceptance = knock.map(|knock| verified.acceptance(knock));
            verified.decide(self.decision.clone())?.countersign(&signer)
        };
        let result = receive();
        Done { result, warnings, acceptance, wanted, verified: verifier.0.get(), signed: signer.signed.get() }
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or("!room:a").to_owned()
}

impl Done {
    /// Status, code and reason, or the warnings of an invite that is taken.
    pub(crate) fn summary(&self) -> String {
        match &self.result {
            Ok(_) if self.warnings.is_empty() => "200".to_owned(),
            Ok(_) if self.warnings.len() > 3 => format!("200: {}, ...", self.warnings[..3].join("; ")),
            Ok(_) => format!("200: {}", self.warnings.join("; ")),
            Err(refusal) => {
                let response = refusal.to_response();
                format!("{} {}: {refusal}", response.status(), response.errcode())
            }
        }
    }
}

#[derive(Default)]
struct CountingVerifier(Cell<usize>);

impl Verify for CountingVerifier {
    fn verify(&self, public_key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
        self.0.set(self.0.get() + 1);
        Ed25519.verify(public_key, message, signature)
    }
}

/// The key of a server that is known to all.
struct CountingSigner {
    key: Ed25519Key,
    signed: Cell<usize>,
}

impl CountingSigner {
    fn of(name: &str) -> Self {
        let key = Ed25519Key::from_seed(oracle::KEY_ID, &oracle::key(name).to_bytes()).unwrap();
        Self { key, signed: Cell::new(0) }
    }
}

impl Sign for CountingSigner {
    fn key_id(&self) -> KeyId<'_> {
        self.key.key_id()
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.signed.set(self.signed.get() + 1);
        self.key.sign(message)
    }
}
