//! Whether a room can be knocked on, as far as a summary or an entry of a directory says: every
//! version and join rule, each of them also missing or not known, against a table written from the
//! texts of the room versions.

use matrix_knock::RoomVersion;
use matrix_knock::sync::{Knockable, summary_is_knockable};

/// Join rules, and for whom they let people knock: `-` no version, `7` since version 7, `10` since
/// version 10, `?` nobody knows what a version that is not known here makes of it.
///
/// <https://spec.matrix.org/v1.19/client-server-api/#mroomjoin_rules>,
/// <https://spec.matrix.org/v1.19/rooms/v7/#authorization-rules>,
/// <https://spec.matrix.org/v1.19/rooms/v10/#authorization-rules>
const RULES: [(Option<&str>, &str); 12] = [
    // "When not present, the room is assumed to be public."
    (None, "-"),
    (Some("public"), "-"),
    (Some("invite"), "-"),
    (Some("private"), "-"),
    (Some("restricted"), "-"),
    (Some("knock"), "7"),
    (Some("knock_restricted"), "10"),
    (Some(""), "?"),
    (Some("Knock"), "?"),
    (Some("knock "), "?"),
    (Some("x.example.rule"), "?"),
    (Some("knock\",\"join_rule\":\"knock"), "?"),
];

/// The number by whose rules a version goes; none if it is not known.
const VERSIONS: [(Option<&str>, Option<u32>); 20] = [
    (Some("1"), Some(1)),
    (Some("2"), Some(2)),
    (Some("3"), Some(3)),
    (Some("4"), Some(4)),
    (Some("5"), Some(5)),
    (Some("6"), Some(6)),
    (Some("7"), Some(7)),
    (Some("8"), Some(8)),
    (Some("9"), Some(9)),
    (Some("10"), Some(10)),
    (Some("11"), Some(11)),
    (Some("12"), Some(12)),
    // Unstable ones that this host knows.
    (Some("org.example.like-6"), Some(6)),
    (Some("org.example.like-12"), Some(12)),
    (None, None),
    (Some(""), None),
    (Some("13"), None),
    (Some("07"), None),
    (Some("org.matrix.msc3757.11"), None),
    (Some(" 7"), None),
];

#[test]
fn every_version_and_join_rule() {
    let mut supported = RoomVersion::ALL.to_vec();
    let unstable = [("org.example.like-6", RoomVersion::V6), ("org.example.like-12", RoomVersion::V12)];
    let unstable = unstable.map(|(name, like)| RoomVersion::unstable(name, like).expect("a version"));
    supported.extend(unstable);
    let (mut yes, mut no, mut not_known) = (0, 0, 0);
    for (version, number) in VERSIONS {
        for (rule, since) in RULES {
            let expected = match (since, number) {
                ("-", _) => Knockable::No,
                (_, None) => Knockable::NotKnown,
                // Whoever knows the version knows that the rule is none of its.
                ("?", Some(_)) => Knockable::No,
                (since, Some(number)) if since.parse().is_ok_and(|since: u32| number >= since) => Knockable::Yes,
                (_, Some(_)) => Knockable::No,
            };
            let found = summary_is_knockable(version, rule, &supported);
            assert_eq!(found, expected, "{version:?}, {rule:?}");
            assert_eq!(found.is_worth_offering(), expected != Knockable::No);
            match found {
                Knockable::Yes => yes += 1,
                Knockable::No => no += 1,
                Knockable::NotKnown => not_known += 1,
            }
        }
    }
    assert_eq!((yes, no, not_known), (11, 187, 42));
}
