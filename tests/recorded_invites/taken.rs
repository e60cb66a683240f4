//! Every recorded invite is taken, as it was sent, and answered with one signature more.

use matrix_knock::Ed25519;
use matrix_knock::event::Keys;
use matrix_knock::event::KeysFn;
use matrix_knock::id::{EventId, RoomId, UserId};
use matrix_knock::knocking::invitation::{AcceptedInvite, InviteRequest};
use matrix_knock::knocking::out_of_band::{Acceptance, NoAnswer, SentKnock};
use matrix_knock::knocking::room_state::{ShowUnverified, ShownEvent};
use matrix_knock::wire::HttpRequest;
use matrix_knock::x_matrix::Authorization;
use serde_json::{Value, json};

use super::attempt::{Attempt, Done};
use super::{INVITED, INVITER, NOW, Recorded, documents, oracle, published, recorded, server};

fn request(recorded: &Recorded) -> HttpRequest<'_> {
    let Recorded { method, uri, body, .. } = recorded;
    HttpRequest { method, path: uri, query: "", body: body.get().as_bytes() }
}

fn received(recorded: &Recorded, knock: Option<&SentKnock<'_>>) -> Done {
    let documents = documents();
    let known = |name: &str, key_id: &str| documents.key(name, key_id).or_else(|| published(name, key_id));
    Attempt::of(recorded, &Value::Null).receive(request(recorded), &KeysFn(known), knock)
}

fn shown_to_client(invite: &AcceptedInvite, unverified: ShowUnverified) -> Vec<Value> {
    let shown: Vec<ShownEvent> = invite.invite_state(unverified);
    assert!(shown.iter().all(|shown| shown.is_verified));
    shown.iter().map(|shown| serde_json::from_str(shown.event.text()).unwrap()).collect()
}

/// The vectors are what was sent: the signature of each request covers the body.
#[test]
fn the_requests_are_whole() {
    let keys = documents();
    for recorded in recorded() {
        let Recorded { source, method, uri, to, authorization, body, status, .. } = &recorded;
        let authorization = Authorization::parse(authorization).unwrap();
        let origin = authorization.verify(method, uri, Some(body.get()), server(to), keys.as_slice(), &Ed25519, NOW);
        assert_eq!(origin, Ok(server(INVITER)), "{source}");
        assert_eq!((&**to, *status, body.get()), (INVITED, 200, &*oracle::canonical(&recorded.body())), "{source}");
    }
}

#[test]
fn each_is_taken() {
    let (mut taken, mut seen_by_client) = (0, 0);
    for recorded in recorded() {
        let (source, version, event) = (&recorded.source, recorded.version(), recorded.event());
        let Done { result, warnings, wanted, verified, signed, .. } = received(&recorded, None);
        let invite = result.unwrap_or_else(|refusal| panic!("{source}: {refusal}"));

        // The same event with one signature more: to the byte, and under the same ID.
        let expected = oracle::countersigned(version, &event, INVITED);
        assert_eq!(invite.event().text(), expected, "{source}");
        assert_eq!(invite.to_response(), format!(r#"{{"event":{expected}}}"#), "{source}");
        let [_, event_id] = recorded.ids();
        assert_eq!((invite.event().event_id(), invite.version()), (&*event_id, version), "{source}");
        assert_eq!(oracle::event_id(version, &event), event_id, "{source}");
        // Synapse's answer has the same signature of the inviting server, and its own.
        let answered: Value = serde_json::from_str(recorded.response.get()).unwrap();
        let [ours, theirs]: [Value; 2] = [serde_json::from_str(&expected).unwrap(), answered["event"].clone()];
        let unsigned = |event: &Value| oracle::without(event, &["signatures", "unsigned"]);
        assert_eq!(unsigned(&ours), unsigned(&theirs), "{source}");
        assert_eq!(ours["signatures"][INVITER], theirs["signatures"][INVITER], "{source}");

        // These servers send whole events, the create event among them: there is nothing to warn
        // of.
        assert_eq!(warnings, Vec::<String>::new(), "{source}");
        // All is signed by one key. The invite and each entry are verified once, and nothing else.
        let state = recorded.body()["invite_room_state"].as_array().unwrap().clone();
        assert_eq!((wanted, verified, signed), (1, state.len() + 1, 1), "{source}");

        // Synapse's client was shown the same, in the same order.
        let entries = state.iter().chain([&event]).map(oracle::stripped);
        let shown: Vec<Value> = entries.collect();
        for unverified in [ShowUnverified::BeforeV12, ShowUnverified::Always, ShowUnverified::Never] {
            assert_eq!(shown_to_client(&invite, unverified), shown, "{source}");
        }
        if let Some(client) = &recorded.client {
            assert_eq!(&shown, client, "{source}");
            seen_by_client += 1;
        }

        // It is the same after a restart.
        let stored = serde_json::to_string(&invite).unwrap();
        assert_eq!(serde_json::from_str::<AcceptedInvite>(&stored).unwrap(), invite, "{source}");
        // And a request that comes twice gets the same answer.
        assert_eq!(received(&recorded, None).result, Ok(invite), "{source}");
        taken += 1;
    }
    assert_eq!((taken, seen_by_client), (20, 15));
}

/// By its parts, as a host with a typed server gives it; and owned.
#[test]
fn by_its_parts() {
    let keys = documents();
    for recorded in recorded() {
        let [room_id, event_id] = recorded.ids();
        let origin = server(INVITER);
        let parsed = InviteRequest::parse(origin, request(&recorded)).unwrap();
        let made = InviteRequest::new(RoomId::parse(&room_id).unwrap(), &*event_id, origin, recorded.body.get());
        assert_eq!((&parsed, &parsed.clone().into_owned()), (&made, &made));
        let checked = made.check(server(INVITED), &[recorded.version()]).unwrap();
        let verified = checked.verify(&keys, &Ed25519, NOW).unwrap();
        assert_eq!(verified.target(), UserId::parse(recorded.event()["state_key"].as_str().unwrap()).unwrap());
        assert_eq!(verified.version(), recorded.version());
        assert_eq!(verified.room_state().dropped().count(), 0);
        let signed_by: Vec<&str> = verified.pdu().signed().signed_by().collect();
        assert_eq!(signed_by, [INVITER]);
    }
}

/// The knock that was pending in ten of the recordings is linked by its ID; every other knock is
/// merely answered, or is over.
#[test]
fn which_answer_a_knock() {
    let (mut linked, mut asked) = (0, 0);
    for recorded in recorded() {
        let source = &recorded.source;
        let [room_id, _] = recorded.ids();
        let event = recorded.event();
        let user_id = event["state_key"].as_str().unwrap();
        let knocked = recorded.knock.as_deref();
        let event_id = EventId::parse(knocked.unwrap_or("$another")).unwrap();
        let knock = SentKnock {
            room_id: RoomId::parse(&room_id).unwrap(),
            user_id: UserId::parse(user_id).unwrap(),
            event_id,
            version: recorded.version(),
            current: Some(event_id),
            through: Some(server(INVITER)),
        };
        let other_user = format!("@other{}", user_id.trim_start_matches('@'));
        let other_version = matrix_knock::RoomVersion::V11;
        let another = EventId::parse("$another").unwrap();
        let link = match knocked {
            Some(id) => {
                assert!(event["auth_events"].as_array().unwrap().contains(&json!(id)), "{source}");
                linked += 1;
                Acceptance::LinkedByAuthEvents
            }
            None => Acceptance::MerelyInvited,
        };
        for (knock, expected) in [
            (knock, Ok(link)),
            // It was never said through which server.
            (SentKnock { through: None, ..knock }, Ok(link)),
            // A knock that crossed the invite on its way.
            (SentKnock { event_id: another, current: Some(another), ..knock }, Ok(Acceptance::MerelyInvited)),
            (SentKnock { current: None, ..knock }, Err(NoAnswer::NotCurrent)),
            (SentKnock { current: EventId::parse("$leave").ok(), ..knock }, Err(NoAnswer::NotCurrent)),
            (SentKnock { room_id: RoomId::parse("!other:a").unwrap(), ..knock }, Err(NoAnswer::OtherRoom)),
            (SentKnock { user_id: UserId::parse(&other_user).unwrap(), ..knock }, Err(NoAnswer::OtherUser)),
            (SentKnock { version: other_version, ..knock }, Err(NoAnswer::OtherVersion { found: recorded.version() })),
        ] {
            let Done { result, acceptance, .. } = received(&recorded, Some(&knock));
            assert_eq!(acceptance, Some(expected), "{source}");
            // Whatever the knock, the invite is taken.
            assert!(result.is_ok(), "{source}");
            asked += 1;
        }
    }
    assert_eq!((linked, asked), (10, 160));
}
