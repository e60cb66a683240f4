//! Identifiers that both sides take, that only one takes, and any text at all.
#![expect(clippy::expect_used, reason = "a test that cannot be set up fails")]

use std::fmt::Debug;

use matrix_knock::id::{EventId, IdError, KeyId, RoomAlias, RoomId, RoomIdOrAlias, ServerName, UserId};
use matrix_knock_ruma::id::RumaId;
use proptest::prelude::*;
use ruma_common::IdParseError;

/// What each side makes of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    Both,
    OnlyRuma(IdError),
    OnlyOurs,
    Neither,
}

macro_rules! sides {
    ($($name:ident $ours:ident $rumas:ident,)*) => {$(
        /// Converts the text from each side that takes it to the other, and back.
        fn $name(text: &str) -> Takes {
            let ours = $ours::parse(text);
            let rumas = <&ruma_common::$rumas>::try_from(text);
            match (ours, rumas) {
                (Ok(ours), Ok(rumas)) => {
                    assert_eq!($ours::from_ruma(rumas), Ok(ours), "{text:?}");
                    let to_ruma: Result<_, IdParseError> = ours.to_ruma();
                    assert_eq!(to_ruma.expect("an identifier of ruma's"), rumas, "{text:?}");
                    Takes::Both
                }
                (Err(error), Ok(rumas)) => {
                    assert_eq!($ours::from_ruma(rumas), Err(error), "{text:?}");
                    Takes::OnlyRuma(error)
                }
                (Ok(ours), Err(error)) => {
                    assert_eq!(ours.to_ruma().map_err(|error| error.to_string()), Err(error.to_string()), "{text:?}");
                    Takes::OnlyOurs
                }
                (Err(_), Err(_)) => Takes::Neither,
            }
        }
    )*};
}

sides! {
    server ServerName ServerName,
    user UserId UserId,
    room RoomId RoomId,
    event EventId EventId,
    alias RoomAlias RoomAliasId,
    room_or_alias RoomIdOrAlias RoomOrAliasId,
    key KeyId ServerSigningKeyId,
}

/// The table in the documentation of the module `id`, and what is around it.
#[test]
fn what_only_one_side_takes() {
    let server_255 = "a".repeat(255);
    let server_261 = format!("{server_255}:12345");
    let server_262 = format!("{server_255}:123456");
    let event_256 = format!("${}", "a".repeat(255));
    let user_255 = format!("@{}:b", "a".repeat(252));
    let user_256 = format!("@{}:b", "a".repeat(253));
    let only_ruma = Takes::OnlyRuma;
    let (server_name, local_part) = (IdError::ServerName, IdError::LocalPart);
    for (text, takes) in [
        ("b.example", Takes::Both),
        ("b.example:8448", Takes::Both),
        ("1.2.3.4", Takes::Both),
        ("[::1]:80", Takes::Both),
        (server_255.as_str(), Takes::Both),
        ("256.1.1.1", only_ruma(server_name)),
        ("b:+8", only_ruma(server_name)),
        ("b:000080", only_ruma(server_name)),
        (server_261.as_str(), only_ruma(server_name)),
        ("b:65535", Takes::Both),
        ("b:65536", Takes::OnlyOurs),
        ("b:99999", Takes::OnlyOurs),
        (server_262.as_str(), Takes::Neither),
        ("", Takes::Neither),
        ("b_c", Takes::Neither),
    ] {
        assert_eq!(server(text), takes, "{text}");
    }
    for (text, takes) in [
        ("@a:b", Takes::Both),
        ("@:b", Takes::Both),
        ("@é \u{1}:b", Takes::Both),
        (user_255.as_str(), Takes::Both),
        (user_256.as_str(), Takes::Neither),
        ("@a:256.1.1.1", only_ruma(server_name)),
        ("@a:b:+8", only_ruma(server_name)),
        ("@a:b:99999", Takes::OnlyOurs),
        ("@a\0:b", Takes::Neither),
        ("@a", Takes::Neither),
        ("a:b", Takes::Neither),
    ] {
        assert_eq!(user(text), takes, "{text:?}");
        let as_alias = text.replacen('@', "#", 1);
        assert_eq!(alias(&as_alias), takes, "{as_alias:?}");
        assert_eq!(room_or_alias(&as_alias), takes, "{as_alias:?}");
    }
    for (text, takes) in [
        ("!a:b", Takes::Both),
        ("!2dpEZGZptZRLjpG4zhaOpng8UeStblrCZUl1wSMFdyE", Takes::Both),
        ("!a:b:99999", Takes::Both),
        ("!a:b_c", only_ruma(server_name)),
        ("!a:", only_ruma(server_name)),
        ("!a:256.1.1.1", only_ruma(server_name)),
        ("!", only_ruma(local_part)),
        ("!a\0", Takes::Neither),
        ("a:b", Takes::Neither),
    ] {
        assert_eq!(room(text), takes, "{text:?}");
        assert_eq!(room_or_alias(text), takes, "{text:?}");
    }
    for (text, takes) in [
        ("$a:b", Takes::Both),
        ("$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg", Takes::Both),
        ("$", only_ruma(local_part)),
        ("$a\0", only_ruma(local_part)),
        ("$a\0:b", only_ruma(local_part)),
        (event_256.as_str(), only_ruma(IdError::TooLong)),
        ("$a:b:+8", only_ruma(server_name)),
        ("$a:b:99999", Takes::OnlyOurs),
        ("$a:b_c", Takes::Neither),
        ("a", Takes::Neither),
    ] {
        assert_eq!(event(text), takes, "{text:?}");
    }
    for (text, takes) in [
        ("ed25519:a_1", Takes::Both),
        ("rsa:1", only_ruma(IdError::KeyId)),
        ("ed25519:a+b", Takes::OnlyOurs),
        ("ed25519:a-b", Takes::OnlyOurs),
        ("ed25519:", Takes::Neither),
        ("ed25519", Takes::Neither),
    ] {
        assert_eq!(key(text), takes, "{text:?}");
    }
}

/// Texts near the grammar: a sigil, a local part, a server name with a port.
fn near_the_grammar() -> impl Strategy<Value = String> {
    let host = "([a-z0-9.-]{0,12}|[0-9]{1,3}(\\.[0-9]{1,3}){3}|\\[[0-9a-f:.]{0,8}\\]|[a-z_é]{1,4})";
    let text = format!("[@!#$]?[a-z0-9_\\x00é ]{{0,6}}(:{host}(:[+-]?[0-9]{{0,6}})?)?");
    proptest::string::string_regex(&text).expect("an expression")
}

proptest! {
    /// No text makes a conversion panic, and each side's error is the error of the conversion:
    /// `sides` asserts it.
    #[test]
    fn any_text(near in near_the_grammar(), any in any::<String>(), long in 250_usize..265) {
        for text in [near.clone(), any, format!("{near}{}", "a".repeat(long))] {
            for side in [server, user, room, event, alias, room_or_alias, key] {
                let _checked_inside = side(&text);
            }
            for sigil in ['@', '!', '#', '$'] {
                let text = format!("{sigil}{text}");
                for side in [user, room, event, alias, room_or_alias] {
                    let _checked_inside = side(&text);
                }
            }
        }
    }
}
