//! A second opinion on redaction, hashes, event IDs and signatures: ruma's, of the same events.
//!
//! Ruma leaves out versions 1 to 5, for want of a canonical form that all servers share. In the others it says what we
//! say but for what stands in [`Exception`], in [`texts_that_only_one_of_us_reads`] and in
//! [`signed::events_that_only_one_of_us_believes`]: each with a case in which that alone makes the difference.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]
#![expect(clippy::indexing_slicing, reason = "a property of an event that is an object")]

use std::cell::RefCell;
use std::collections::BTreeSet;

use matrix_knock::RoomVersion;
use matrix_knock::event::{PduError, content_hash, event_id, redact, reference_hash};
use matrix_knock::json::JsonErrorKind;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::TestRunner;
use ruma_common::canonical_json::CanonicalJsonFieldError;
use ruma_common::room_version_rules::RoomVersionRules;
use ruma_common::{CanonicalJsonObject, RoomVersionId};
use serde_json::{Map, Value, json};

const SAFE: i64 = (1 << 53) - 1;

/// The versions that ruma hashes and signs in.
fn versions() -> impl Iterator<Item = RoomVersion> {
    RoomVersion::ALL.into_iter().filter(|version| *version >= RoomVersion::V6)
}

fn rules(version: RoomVersion) -> RoomVersionRules {
    RoomVersionId::try_from(version.as_str()).unwrap().rules().expect("a version that ruma knows")
}

/// Where one of us says something else than the other, by the event; ruma says the same of the translated one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Exception {
    /// A `content` that is no object: ruma leaves it, we leave `{}`, as Synapse does. Of a create event since v11 all
    /// content stays, for both.
    Content,
    /// Since v11, a `third_party_invite` in a member event that is no object, so that nothing in it may stay: ruma
    /// leaves it, we take it away, as Synapse does.
    ThirdPartyInvite,
}

impl Exception {
    const ALL: [Self; 2] = [Self::Content, Self::ThirdPartyInvite];

    fn translated(self, version: RoomVersion, event: &Value) -> Option<Value> {
        let (kind, content) = (event.get("type")?.as_str()?, event.get("content")?);
        let mut event = event.clone();
        match self {
            Self::Content if content.is_object() => return None,
            Self::Content if kind == "m.room.create" && version >= RoomVersion::V11 => return None,
            Self::Content => event["content"] = json!({}),
            Self::ThirdPartyInvite if kind != "m.room.member" || version < RoomVersion::V11 => return None,
            Self::ThirdPartyInvite if content.get("third_party_invite")?.is_object() => return None,
            Self::ThirdPartyInvite => drop(event["content"].as_object_mut()?.remove("third_party_invite")),
        }
        Some(event)
    }
}

/// Why an event cannot be redacted.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    NoType,
    TypeOfTheWrongKind,
}

/// What is left of an event, its reference hash in the dialect of event IDs.
type Opinion = Result<(String, String), Refusal>;

fn ours(version: RoomVersion, text: &str) -> Opinion {
    let refusal = |error| match error {
        PduError::Missing("type") => Refusal::NoType,
        PduError::WrongKind("type") => Refusal::TypeOfTheWrongKind,
        error => panic!("{error}: {text}"),
    };
    let redacted = redact(version, text).map_err(refusal)?;
    let id = event_id(version, text).unwrap();
    // The other spelling of the same hash.
    let hash = reference_hash(version, text).unwrap().to_string();
    assert_eq!(id, format!("${}", hash.replace('+', "-").replace('/', "_")));
    Ok((redacted, id))
}

fn rumas(version: RoomVersion, text: &str) -> Opinion {
    let object: CanonicalJsonObject = serde_json::from_str(text).unwrap();
    let hash = ruma_signatures::reference_hash(&object, &rules(version)).ok();
    let redacted = ruma_common::canonical_json::redact(object, &rules(version).redaction, None);
    let redacted = redacted.map_err(|error| match error {
        CanonicalJsonFieldError::Missing { path } if path == "type" => Refusal::NoType,
        CanonicalJsonFieldError::InvalidType { path, .. } if path == "type" => Refusal::TypeOfTheWrongKind,
        error => panic!("{error}: {text}"),
    })?;
    Ok((serde_json::to_string(&redacted).unwrap(), format!("${}", hash.unwrap_or_default())))
}

fn rumas_hash(text: &str) -> Option<String> {
    let object: CanonicalJsonObject = serde_json::from_str(text).ok()?;
    ruma_signatures::content_hash(&object).ok().map(|hash| hash.encode())
}

/// Compares both, and says which exception was made.
fn compare(version: RoomVersion, event: &Value, text: &str) -> Option<Exception> {
    assert_eq!(content_hash(version, text).ok().map(|hash| hash.to_string()), rumas_hash(text), "{text}");
    let ours = ours(version, text);
    let found = Exception::ALL.into_iter().find_map(|one| Some((one, one.translated(version, event)?)));
    assert_eq!(ours == rumas(version, text), found.is_none(), "{version}, {found:?}: {text}");
    let (exception, translated) = found?;
    assert_eq!(ours, rumas(version, &translated.to_string()), "{version}, {exception:?}: {text}");
    Some(exception)
}

/// Every type whose content a redaction treats in its own way in some version, and others.
const TYPES: &str = "m.room.member,m.room.create,m.room.join_rules,m.room.power_levels,m.room.aliases,m.room.redaction,\
    m.room.history_visibility,m.room.server_acl,m.room.third_party_invite,m.room.message,m.room.member ,";

/// Every key that some version keeps in the content of some type, and others.
const CONTENT_KEYS: &str = "membership,join_authorised_via_users_server,third_party_invite,creator,join_rule,allow,ban,\
    events,events_default,invite,kick,redact,state_default,users,users_default,aliases,history_visibility,redacts,\
    signed,content,reason,notifications,additional_creators,Membership,";

/// Every key that some version keeps of an event, and others; `type` and `content` apart.
const KEYS: &str = "auth_events,depth,event_id,hashes,origin_server_ts,prev_events,room_id,sender,signatures,state_key,\
    membership,origin,prev_state,unsigned,redacts,age_ts,Type,org.example.x,";

fn one_of(names: &'static str) -> impl Strategy<Value = &'static str> {
    select(names.split(',').collect::<Vec<_>>())
}

/// Strings with what has to be escaped, what must not be, and what sorts differently by code point and by UTF-16.
fn strings() -> impl Strategy<Value = String> {
    const CHARACTERS: [char; 20] = [
        'a',
        'Z',
        '0',
        ' ',
        '"',
        '\\',
        '/',
        '\0',
        '\u{8}',
        '\n',
        '\u{1f}',
        '\u{7f}',
        '\u{80}',
        'é',
        '日',
        '\u{2028}',
        '\u{e000}',
        '\u{fffd}',
        '\u{ffff}',
        '\u{1F511}',
    ];
    vec(select(&CHARACTERS[..]), 0..6).prop_map(String::from_iter)
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        select(vec![0, 1, -1, 100, SAFE, -SAFE]).prop_map(Value::from),
        (-SAFE..=SAFE).prop_map(Value::from),
        strings().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let key = prop_oneof![strings(), one_of(CONTENT_KEYS).prop_map(str::to_owned)];
        let object =
            btree_map(key, inner.clone(), 0..4).prop_map(|members| Value::Object(members.into_iter().collect()));
        prop_oneof![vec(inner, 0..4).prop_map(Value::from), object]
    })
}

/// An object with some of these keys and values of any kind.
fn some_of(keys: &'static str) -> impl Strategy<Value = Map<String, Value>> {
    let keys: Vec<_> = keys.split(',').map(str::to_owned).collect();
    let most = keys.len();
    (subsequence(keys, 0..=most), vec(values(), most)).prop_map(|(keys, values)| keys.into_iter().zip(values).collect())
}

fn contents() -> impl Strategy<Value = Value> {
    let invite = prop_oneof![
        values(),
        some_of("signed,display_name,").prop_map(Value::Object),
        Just(json!({ "signed": { "mxid": "@kay:b.example", "token": "t", "signatures": {} }, "display_name": "K" })),
    ];
    (some_of(CONTENT_KEYS), invite).prop_map(|(mut content, invite)| {
        content.entry("third_party_invite").and_modify(|value| *value = invite);
        Value::Object(content)
    })
}

fn events() -> impl Strategy<Value = Value> {
    let event_type = prop_oneof![
        20 => one_of(TYPES).prop_map(|name| Some(json!(name))),
        1 => values().prop_map(Some),
        1 => Just(None),
    ];
    let content = prop_oneof![16 => contents().prop_map(Some), 1 => values().prop_map(Some), 1 => Just(None)];
    (event_type, content, some_of(KEYS)).prop_map(|(event_type, content, mut event)| {
        event.extend(event_type.map(|name| ("type".to_owned(), name)));
        event.extend(content.map(|content| ("content".to_owned(), content)));
        Value::Object(event)
    })
}

/// The same value in another text: keys in another order, white space, escapes that need not be.
fn spelled(value: &Value, dice: &mut impl Iterator<Item = u8>) -> String {
    let space = ["", " ", "\n", "\t", "\r"].into_iter().nth(usize::from(dice.next().unwrap_or(0) % 8)).unwrap_or("");
    match value {
        Value::Object(members) => {
            let member =
                |(key, value)| format!("{}{space}:{}", spelled(&Value::String(key), dice), spelled(&value, dice));
            let mut members: Vec<_> = members.clone().into_iter().map(member).collect();
            members.sort_by_cached_key(|_| dice.next());
            format!("{space}{{{space}{}}}{space}", members.join(","))
        }
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| spelled(item, dice)).collect();
            format!("[{}{space}]", items.join(","))
        }
        Value::String(text) => {
            let characters = text.chars().map(|character| match dice.next() {
                Some(..64) => character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04X}")).collect(),
                _ if character == '/' => "\\/".to_owned(),
                _ if character == '"' => "\\\"".to_owned(),
                _ => json!(character).to_string().replace('"', ""),
            });
            format!("{space}\"{}\"", characters.collect::<String>())
        }
        other => format!("{other}{space}"),
    }
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

#[test]
fn any_event() {
    let seen = RefCell::new(BTreeSet::new());
    let result = TestRunner::new(config(2000)).run(&(events(), vec(any::<u8>(), 1..64)), |(event, tape)| {
        let text = spelled(&event, &mut tape.into_iter().cycle());
        assert_eq!(serde_json::from_str::<Value>(&text).ok().as_ref(), Some(&event), "{text}");
        for version in versions() {
            seen.borrow_mut().extend(compare(version, &event, &text).map(|exception| (exception, version)));
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    let content = versions().map(|version| (Exception::Content, version));
    let invite = versions().skip(5).map(|version| (Exception::ThirdPartyInvite, version));
    assert_eq!(seen.into_inner(), content.chain(invite).collect());
}

/// Each exception in the smallest event in which it is all that differs, and events beside it, with what we leave.
#[test]
fn exceptions() {
    use Exception::{Content, ThirdPartyInvite};
    let of = |kind: &str, content: &str| format!(r#"{{"content":{content},"type":"{kind}"}}"#);
    let member = |invite: &str| of("m.room.member", &format!(r#"{{"third_party_invite":{invite}}}"#));
    for version in versions() {
        let since_v11 = version >= RoomVersion::V11;
        let check = |event: &str, exception, left: &str| {
            assert_eq!(compare(version, &event.parse().unwrap(), event), exception, "{version} {event}");
            assert_eq!(redact(version, event).as_deref(), Ok(left), "{version} {event}");
        };
        for content in ["[]", r#"[{"membership":"join"}]"#, r#""x""#, "null", "1", "true"] {
            for kind in ["m.room.member", "X", "m.room.power_levels"] {
                check(&of(kind, content), Some(Content), &of(kind, "{}"));
            }
            let kept = if since_v11 { content } else { "{}" };
            check(&of("m.room.create", content), (!since_v11).then_some(Content), &of("m.room.create", kept));
        }
        for invite in ["null", "1", "false", "[]", r#"["signed"]"#, r#""signed""#] {
            check(&member(invite), since_v11.then_some(ThirdPartyInvite), &of("m.room.member", "{}"));
        }
        for (invite, left) in [("{}", "{}"), (r#"{"a":1}"#, "{}"), (r#"{"a":1,"signed":[1]}"#, r#"{"signed":[1]}"#)] {
            check(&member(invite), None, &if since_v11 { member(left) } else { of("m.room.member", "{}") });
        }
    }
}

/// What serde_json reads and ruma takes is not quite what we do.
#[test]
fn texts_that_only_one_of_us_reads() {
    let deep = |levels: usize| format!(r#"{{"x":{}{}}}"#, "[".repeat(levels - 1), "]".repeat(levels - 1));
    let long = |bytes: usize| format!(r#"{{"x":"{}"}}"#, "x".repeat(bytes - 8));
    let both_read = [deep(127), long(65_535), r#"{"x":9007199254740991}"#.to_owned()];
    let only_ours = [deep(128), long(65_536)];
    let neither = ["9007199254740992", "-9007199254740992", "1.0", "1e2", "-0"];
    for version in versions() {
        let ours = |text: &str| match content_hash(version, text) {
            Ok(hash) => Ok(hash.to_string()),
            Err(PduError::Json(error)) => Err(error.kind()),
            Err(error) => panic!("{error}: {text}"),
        };
        for text in &both_read {
            assert_eq!(ours(text).ok(), rumas_hash(text), "{text}");
        }
        for text in &only_ours {
            assert_eq!((ours(text).is_ok(), rumas_hash(text)), (true, None), "{text}");
        }
        let (text, last) = (r#"{"x":1,"\u0078":2}"#, rumas_hash(r#"{"x":2}"#));
        assert_eq!((ours(text), rumas_hash(text)), (Err(JsonErrorKind::DuplicateKey), last));
        for text in neither.map(|number| format!(r#"{{"x":{number}}}"#)) {
            assert_eq!((ours(&text), rumas_hash(&text)), (Err(JsonErrorKind::NumberNotAllowed), None), "{text}");
        }
        let text = r#"{"x":"\ud800"}"#;
        assert_eq!((ours(text), rumas_hash(text)), (Err(JsonErrorKind::LoneSurrogate), None));
        // What a redaction takes away need not be canonical for us; ruma does not read it.
        let text = r#"{"type":"X","content":{"x":1.5},"unsigned":{"x":-0}}"#;
        assert_eq!(redact(version, text), Ok(r#"{"content":{},"type":"X"}"#.to_owned()));
        assert_eq!(rumas_hash(text), None);
    }
}

#[cfg(feature = "ed25519")]
mod signed {
    use matrix_knock::Ed25519;
    use matrix_knock::event::{
        Ed25519Key, KeyValidity, KeysFn, Pdu, SignatureError, VerifiedPdu, VerifyKey, sign_event,
    };
    use matrix_knock::id::ServerName;
    use ruma_common::serde::Base64;
    use ruma_signatures::{Ed25519KeyPair, PublicKeyMap, Verified, hash_and_sign_event, verify_event};

    use super::*;

    /// The server of the sender, of who authorizes them, and one more; the seed of each key is its index, over and over.
    const SERVERS: [&str; 3] = ["a.example", "b.example", "c.example"];

    fn seed(server: &str) -> [u8; 32] {
        [u8::try_from(SERVERS.iter().position(|name| *name == server).unwrap()).unwrap(); 32]
    }

    fn key(server: &str) -> Ed25519Key {
        Ed25519Key::from_seed("ed25519:k_1", &seed(server)).expect("a key ID")
    }

    /// The same key for ruma, which wants PKCS#8: RFC 8410, section 7.
    fn pair(server: &str) -> Ed25519KeyPair {
        let mut document = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
        document.extend(seed(server));
        Ed25519KeyPair::from_der(&document, "k_1".to_owned()).unwrap()
    }

    /// What we say: the ID and who has signed, and what is left if it is not all.
    fn ours(version: RoomVersion, text: &str) -> Result<(Option<String>, String, Vec<String>), SignatureError> {
        let keys = KeysFn(|server: &str, key_id: &str| {
            let known = SERVERS.contains(&server) && key_id == "ed25519:k_1";
            known.then(|| VerifyKey { public_key: key(server).public_key(), validity: KeyValidity::Forever })
        });
        let formatted = Pdu::parse(text).unwrap().check_format(version).expect(text);
        let signed = formatted.check_signatures(&keys, &Ed25519, 0)?;
        let (id, signed_by) = (signed.event_id().to_owned(), signed.signed_by().map(str::to_owned).collect());
        Ok(match signed.check_hash().unwrap() {
            VerifiedPdu::Whole(whole) => {
                assert_eq!((whole.event_id(), whole.pdu().text()), (&*id, text));
                (None, id, signed_by)
            }
            VerifiedPdu::Redacted(redacted) => {
                assert_eq!(redacted.event_id(), id);
                (Some(redacted.text().to_owned()), id, signed_by)
            }
        })
    }

    fn rumas(version: RoomVersion, text: &str) -> Option<Verified> {
        let public = |name| [("ed25519:k_1".to_owned(), Base64::new(key(name).public_key().to_vec()))].into();
        let keys: PublicKeyMap = SERVERS.map(|name| (name.to_owned(), public(name))).into();
        verify_event(&keys, &serde_json::from_str(text).unwrap(), &rules(version)).ok()
    }

    fn sign(version: RoomVersion, event: &Value, servers: &[&str]) -> String {
        servers.iter().fold(event.to_string(), |text, server| {
            sign_event(version, &text, ServerName::parse(server).unwrap(), &key(server)).unwrap().text().to_owned()
        })
    }

    fn rumas_sign(version: RoomVersion, event: &Value, servers: &[&str]) -> String {
        let mut object = serde_json::from_value(event.clone()).unwrap();
        for server in servers {
            hash_and_sign_event(server, &pair(server), &mut object, &rules(version).redaction).unwrap();
        }
        serde_json::to_string(&object).unwrap()
    }

    /// An event in format by `@kay:a.example`, and who has to sign it: her server, and that of who
    /// authorizes her.
    fn event(version: RoomVersion, kind: &str, content: Value) -> (Value, Vec<&'static str>) {
        let has_authorizing_user = kind == "m.room.member" && content.get("join_authorised_via_users_server").is_some();
        let mut event = json!({
            "type": kind, "sender": "@kay:a.example", "content": content, "room_id": "!r:a.example", "depth": 7,
            "auth_events": ["$one"], "prev_events": ["$two"], "origin_server_ts": 1_700_000_000_000_i64,
            "origin": "a.example", "unsigned": { "age": 1 }, "state_key": "",
        });
        if kind == "m.room.create" && version == RoomVersion::V12 {
            event.as_object_mut().unwrap().remove("room_id");
        }
        let authorizing = (has_authorizing_user && version >= RoomVersion::V8).then_some("b.example");
        (event, ["a.example"].into_iter().chain(authorizing).collect())
    }

    /// A type and a content that both of us read in the same way.
    fn kinds_and_contents() -> impl Strategy<Value = (&'static str, Value)> {
        let membership = select(vec!["knock", "join", "leave", "ban", "invite"]);
        (one_of(TYPES), contents(), membership, any::<bool>()).prop_map(|(kind, mut content, membership, by)| {
            let members = content.as_object_mut().unwrap();
            members.remove("third_party_invite");
            members.remove("join_authorised_via_users_server");
            if kind == "m.room.member" {
                members.insert("membership".to_owned(), json!(membership));
                members.extend(by.then(|| ("join_authorised_via_users_server".to_owned(), json!("@x:b.example"))));
            }
            (kind, content)
        })
    }

    proptest! {
        #![proptest_config(config(200))]

        /// Both make the same signatures, believe them, and see what was changed afterwards.
        #[test]
        fn either_signs_and_either_believes((kind, content) in kinds_and_contents(), extra in any::<bool>()) {
            for version in versions() {
                let (event, mut servers) = event(version, kind, content.clone());
                let required = servers.clone();
                servers.extend(extra.then_some("c.example"));
                let text = sign(version, &event, &servers);
                // ruma keeps what nobody signs.
                let mut bare = event.clone();
                bare.as_object_mut().unwrap().remove("unsigned");
                prop_assert_eq!(&rumas_sign(version, &bare, &servers), &text);
                let object = serde_json::from_str(&text).unwrap();
                let id = format!("${}", ruma_signatures::reference_hash(&object, &rules(version)).unwrap());
                let sender = required[0];
                let signed_by: Vec<_> = required.iter().map(|server| (*server).to_owned()).collect();
                prop_assert_eq!(ours(version, &text), Ok((None, id.clone(), signed_by.clone())));
                prop_assert_eq!(rumas(version, &text), Some(Verified::All));

                let mut changed: Value = text.parse().unwrap();
                changed["org.example.changed"] = json!(1);
                let (redacted, _) = super::rumas(version, &text).unwrap();
                prop_assert_eq!(ours(version, &changed.to_string()), Ok((Some(redacted), id.clone(), signed_by)));
                prop_assert_eq!(rumas(version, &changed.to_string()), Some(Verified::Signatures));

                changed["depth"] = json!(8);
                let bad = SignatureError::BadSignature { server: "a.example".into(), key_id: "ed25519:k_1".into() };
                prop_assert_eq!(ours(version, &changed.to_string()), Err(bad));
                prop_assert_eq!(rumas(version, &changed.to_string()), None);

                for server in required {
                    let mut changed: Value = text.parse().unwrap();
                    changed["signatures"].as_object_mut().unwrap().remove(server);
                    // That of who authorizes the user is asked for by a rule, here; ruma asks for
                    // both at once.
                    let expected = match server == sender {
                        true => Err(SignatureError::NotSigned { server: server.to_owned() }),
                        false => Ok((None, id.clone(), vec![sender.to_owned()])),
                    };
                    prop_assert_eq!(ours(version, &changed.to_string()), expected);
                    prop_assert_eq!(rumas(version, &changed.to_string()), None);
                }
            }
        }
    }

    /// What we say of an event of which ruma says something else, each with the reason.
    #[test]
    fn events_that_only_one_of_us_believes() {
        for version in versions() {
            let check = |event: &Value, by: &[&str], by_ruma: Option<Verified>| {
                let text = event.to_string();
                let signed_by = by.iter().map(|server| (*server).to_owned()).collect();
                let whole = Ok((None, event_id(version, &text).unwrap(), signed_by));
                assert_eq!((ours(version, &text), rumas(version, &text)), (whole, by_ruma), "{version} {text}");
            };
            let signed_by = |kind: &str, content, server| {
                let text = sign(version, &event(version, kind, content).0, &[server]);
                text.parse::<Value>().unwrap()
            };

            // Nobody has to sign the invite of somebody who was invited by address: no exception.
            let invite = json!({ "membership": "invite", "third_party_invite": { "signed": {} } });
            check(&signed_by("m.room.member", invite, "c.example"), &[], Some(Verified::All));

            // Present, and so a third-party invite, of whatever kind it is; ruma wants an object.
            let invite = json!({ "membership": "invite", "third_party_invite": null });
            check(&signed_by("m.room.member", invite, "c.example"), &[], None);

            // No membership, no third-party invite; ruma wants one in every member event.
            check(&signed_by("m.room.member", json!({}), "a.example"), &["a.example"], None);

            // Only a member event can be authorized by somebody; ruma wants the signature in every event.
            let content = json!({ "join_authorised_via_users_server": "@x:b.example" });
            let by_ruma = (version < RoomVersion::V8).then_some(Verified::All);
            check(&signed_by("X", content, "a.example"), &["a.example"], by_ruma);

            // Both alphabets of base64, as Synapse; ruma reads the standard one.
            let mut event = signed_by("X", json!({}), "a.example");
            let signature = &mut event["signatures"]["a.example"]["ed25519:k_1"];
            let standard = signature.as_str().unwrap();
            assert!(standard.contains(['+', '/']), "{version}");
            *signature = json!(standard.replace('+', "-").replace('/', "_"));
            check(&event, &["a.example"], None);
        }
    }
}
