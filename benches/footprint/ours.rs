//! A server's part in `send_knock`, by matrix-knock: an event is parsed, verified, named and decided on.

use matrix_knock::auth::authorize;
use matrix_knock::event::{KeyValidity, KeysFn, Pdu, VerifiedPdu, VerifyKey};
use matrix_knock::state::StateMap;
use matrix_knock::{Ed25519, NoVerifier, RoomVersion};

fn main() {
    let mut lines = std::io::stdin().lines().map_while(Result::ok);
    let body = lines.next().unwrap_or_default();
    let texts: Vec<String> = lines.collect();
    let state: StateMap<Pdu<'_>> = texts.iter().flat_map(|text| Pdu::parse_stored(text)).collect();
    let keys = KeysFn(|_: &str, _: &str| Some(VerifyKey { public_key: [7; 32], validity: KeyValidity::Forever }));
    let decide = || {
        let formatted = Pdu::parse(&body).ok()?.check_format(RoomVersion::V10).ok()?;
        let signed = formatted.check_signatures(&keys, &Ed25519, 0).ok()?;
        let VerifiedPdu::Whole(whole) = signed.check_hash().ok()? else { return None };
        authorize(RoomVersion::V10, whole.pdu(), &state, &NoVerifier).ok()?;
        Some(whole.event_id().to_owned())
    };
    println!("{:?}", decide());
}
