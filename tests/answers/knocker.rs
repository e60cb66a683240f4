//! The knocker's server: it signs invites, and looks at what comes from a room that it is not in.

use matrix_knock::event::{Pdu, VerifiedPdu, WholePdu};
use matrix_knock::id::EventId;
use matrix_knock::knocking::invitation::{AcceptedInvite, InviteDecision, InviteRefusal, InviteRequest};
use matrix_knock::knocking::out_of_band::{Acceptance, NoAnswer, SentKnock};
use matrix_knock::machine::Request;
use matrix_knock::{Ed25519, RoomVersion};

use crate::room::{AllKeys, HERE, THEN, THERE, key, name};

/// Signs the invite that is asked for. Nothing that an honest server sends is worth a warning.
pub(crate) fn countersign(
    request: &Request,
    knock: Option<&SentKnock<'_>>,
) -> Result<(Option<Result<Acceptance, NoAnswer>>, AcceptedInvite), InviteRefusal> {
    let http = request.to_http();
    let invite = InviteRequest::parse(name(HERE), http.as_http())?;
    let checked = invite.check(name(THERE), &RoomVersion::ALL)?;
    let wanted: Vec<_> = checked.wanted_keys().into_keys().map(|server| server.to_string()).collect();
    assert_eq!(wanted, [HERE]);
    let verified = checked.verify(&AllKeys, &Ed25519, THEN)?;
    assert_eq!(verified.warnings(), []);
    let acceptance = knock.map(|knock| verified.acceptance(knock));
    Ok((acceptance, verified.decide(InviteDecision::Admit)?.countersign(&key(THERE))?))
}

/// What comes of an event that was brought in a transaction.
pub(crate) fn whole<T>(version: RoomVersion, text: &str, read: impl FnOnce(&WholePdu<'_>) -> T) -> T {
    let signed = Pdu::parse(text).unwrap().check_format(version).unwrap();
    match signed.check_signatures(&AllKeys, &Ed25519, THEN).unwrap().check_hash().unwrap() {
        VerifiedPdu::Whole(event) => read(&event),
        VerifiedPdu::Redacted(_) => panic!("the hash is wrong"),
    }
}

pub(crate) fn id(event_id: &str) -> EventId<'_> {
    EventId::parse(event_id).unwrap()
}
