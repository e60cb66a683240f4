//! From the text of an event to its ID.

use std::hint::black_box;

use matrix_knock::event::{event_id, redact};
use matrix_knock::json::{CanonicalDialect, canonical};
use ruma_common::CanonicalJsonObject;
use ruma_common::room_version_rules::RoomVersionRules;
use sha2::{Digest as _, Sha256};

use super::Operation;
use super::room::VERSION;

/// A recorded knock, about 1 KB.
pub(crate) const KNOCK: &str = include_str!("../knock.json");

static RULES: RoomVersionRules = RoomVersionRules::V10;

/// The limit: the hash of the redacted event, which somebody else has redacted and put in canonical form.
pub(crate) fn operation() -> Operation {
    let mut redacted: serde_json::Value = serde_json::from_str(&redact(VERSION, KNOCK).unwrap()).unwrap();
    let object = redacted.as_object_mut().unwrap();
    object.remove("signatures");
    object.remove("unsigned");
    let hashed = canonical(&redacted.to_string(), CanonicalDialect::Strict).unwrap();
    Operation::new(
        || event_id(VERSION, black_box(KNOCK)).unwrap(),
        || {
            let object: CanonicalJsonObject = serde_json::from_str(black_box(KNOCK)).unwrap();
            ruma_signatures::reference_hash(&object, &RULES).unwrap()
        },
        |ours, ruma| ours.strip_prefix('$') == Some(ruma.as_str()),
    )
    .with_limit(move || Sha256::digest(black_box(hashed.as_bytes())))
}
