//! The policy server of a room changes while an invite is away to be countersigned.

use matrix_knock::Ed25519;
use matrix_knock::policy::PolicyVerdict;
use matrix_knock::resident::answer::{Action, Answered, Inviting};
use matrix_knock::resident::{HostError, Refusal};
use matrix_knock::wire::HttpResponse;
use serde_json::{Value, json};

use crate::gates::{Gate, countersigned, details};
use crate::room::{ALICE, HERE, KAY, Room, THEN, THERE, versions};
use crate::server::{P, Q, content, naming, server, signature, signed};

/// What the room named when the invite was sent, and names when it comes back.
const NAMED: [Option<(&str, u8)>; 4] = [None, Some((P, 1)), Some((P, 2)), Some((Q, 1))];

fn named(room: &Room, named: Option<(&str, u8)>) -> Room {
    named.map_or_else(|| room.clone(), |(server, key)| naming(room, server, key))
}

fn signers(text: &str) -> Vec<String> {
    text.parse::<Value>().unwrap()["signatures"].as_object().unwrap().keys().cloned().collect()
}

/// The machine stores with which verdict it was sent. If that is lost, or the signature is, it
/// passes no policy server.
#[test]
fn what_is_stored() {
    for &version in versions() {
        let room = Gate::Append.room(version);
        let signed = room.answer((Action::Accept, ALICE, KAY), &details(), THEN + 60_000).unwrap();
        let by = PolicyVerdict::Signed(signature(version, signed.text(), P, 1));
        let (unnamed, named) = (room.clone(), naming(&room, P, 1));
        let Answered::Invite(invite) = named.accept(signed, by).unwrap() else { panic!("no invite") };
        let event: Value = invite.event().text().parse().unwrap();
        let stored = serde_json::to_value(named.invite(invite)).unwrap();
        let key = signed_key(1);
        assert_eq!(stored["policy"], json!({ "signed": { "name": P, "public_key": key } }));

        let mut unsigned = event.clone();
        unsigned["signatures"].as_object_mut().unwrap().remove(P);
        let without = |key: &str| {
            let mut stored = stored.clone();
            stored.as_object_mut().unwrap().remove(key);
            stored
        };
        let with = |key: &str, value: Value| {
            let mut stored = stored.clone();
            stored[key] = value;
            stored
        };
        let not_asked = Err(Refusal::Host(HostError::PolicyServer));
        let other_key = json!({ "signed": { "name": P, "public_key": signed_key(2) } });
        let no_key = json!({ "signed": { "name": P, "public_key": null } });
        for (stored, expected) in [
            (stored.clone(), Ok(())),
            (without("policy"), not_asked.clone()),
            (with("policy", json!("not_named")), not_asked.clone()),
            (with("policy", other_key), not_asked.clone()),
            (with("policy", no_key), not_asked.clone()),
            (with("event", unsigned.to_string().into()), not_asked),
        ] {
            let mut inviting: Inviting = serde_json::from_value(stored).unwrap();
            let invite = crate::gates::asked(&mut inviting);
            assert_eq!(invite.clone().accept(&named.state()).map(drop), expected);
            // The room names none: whatever it was, nobody asks.
            assert!(invite.accept(&unnamed.state()).is_ok());
        }
        for bad in [json!("signed"), json!({ "signed": {} }), json!({ "refused": {} }), json!(null)] {
            assert!(serde_json::from_value::<Inviting>(with("policy", bad)).is_err());
        }
    }
}

fn signed_key(key: u8) -> Value {
    content(P, key)["public_keys"]["ed25519"].clone()
}

#[test]
fn while_it_is_countersigned() {
    let mut cells = 0;
    for &version in versions() {
        let room = Gate::Append.room(version);
        let text = room.answer((Action::Accept, ALICE, KAY), &details(), THEN + 60_000).unwrap().text().to_owned();
        for before in NAMED {
            let then = named(&room, before);
            let joined: Option<(&str, PolicyVerdict)> =
                before.map(|(name, key)| (name, PolicyVerdict::Signed(signature(version, &text, name, key))));
            let absent = before.map(|(name, key)| ("", PolicyVerdict::NotJoined(server(name, key))));
            let verdicts = match before {
                None => vec![("", PolicyVerdict::NotNamed)],
                Some(_) => joined.into_iter().chain(absent).collect(),
            };
            for (signer, verdict) in verdicts {
                let invite = countersigned(&room, &then, verdict);
                for after in NAMED {
                    let now = named(&then, after);
                    let found = invite.clone().accept(&now.look_up(&invite.reads()));
                    let mut expected = vec![HERE, THERE];
                    expected.extend(Some(signer).filter(|signer| !signer.is_empty()));
                    if after.is_none_or(|after| Some(after) == before) {
                        assert_eq!(signers(found.unwrap().text()), expected, "{before:?} {after:?}");
                        cells += 1;
                        continue;
                    }
                    assert_eq!(found, Err(Refusal::Host(HostError::PolicyServer)), "{before:?} {after:?}");
                    // The one that the room names now is asked.
                    let (name, key) = after.unwrap();
                    let asked = invite.formatted().unwrap();
                    assert_eq!(server(name, key).signature_of(&asked, &Ed25519), None);
                    let body = signed(version, invite.event().text(), name, key).to_string();
                    let answer = server(name, key).read_answer(&asked, Some(HttpResponse::new(200, &body)), &Ed25519);
                    let invite = invite.clone().with_verdict(answer.into());
                    let event = invite.accept(&now.state()).unwrap();
                    if !expected.contains(&name) {
                        expected.push(name);
                        expected.sort_unstable();
                    }
                    assert_eq!(signers(event.text()), expected);
                    cells += 1;
                }
            }
        }
    }
    assert_eq!(cells, 6 * (1 + 2 + 2 + 2) * 4);
}
