//! Where we decide otherwise than ruma, on purpose.
//!
//! A decision is not a list of outcomes that are let pass: it says how the *input* would have to be changed for ruma to
//! decide as we do on the original. So a difference is explained only if nothing else is different in it.

use matrix_knock::RoomVersion;

use super::room::{Case, Encoding, Json, NOT_A_USER, object, raw, small_order_key, text};

/// Those rules that depend on the state. "Row" is the table in section 3 of DESIGN.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Decision {
    /// Row "level `null` in v1-v9": as if the key were absent, but for the entries of `users`.
    /// Malformed for ruma.
    NullLevelIsAbsent,
    /// Row "a `state_key` that is no well-formed user ID": compared as a string. Ruma refuses the event.
    StateKeyIsText,
    /// Row "`content` of the wrong kind": a list is never read as an object. Ruma's derived readers do.
    ListIsNoObject,
    /// Row "duplicate keys in an object": malformed. In maps, ruma takes the last.
    DuplicateKeys,
    /// Row "`m.federate` of another kind than a boolean": only `false` bars. Ruma refuses every event of the room.
    OnlyFalseBars,
    /// Row "malformed": "a value is read only where the rule needs it" (above the table). A sender of the creator's
    /// server needs no `m.federate`; ruma reads it all the same.
    FederateReadWhereNeeded,
    /// Row "`creator` present but no user ID (v1-v10)": matches nobody. Ruma refuses whatever asks for the creator.
    CreatorIsNobody,
    /// Row "malformed `additional_creators` (v12)": read leniently. Ruma refuses whatever asks for the creators.
    AdditionalCreatorsLenient,
    /// Row "no join rules event, or no `join_rule` in it": `invite`. Ruma refuses.
    NoJoinRulesIsInvite,
    /// Row "level as a string (v1-v9)": the grammar of the version's text. Ruma trims all Unicode white space and takes
    /// `++5`.
    StringGrammar,
    /// Row "level as a float (v1-v5)": truncated. Ruma has no floats. (`-0`, which serde_json reads as a float, too.)
    FloatTruncated,
    /// Row "level beyond 64 bits": saturates; and what is beyond 2^53 is a level in these versions. Malformed for ruma.
    LevelSaturates,
    /// Row "malformed level": refuses only what needs that level. For ruma, one malformed entry spoils all `users`, a
    /// kick needs the ban level, and a number beyond a double spoils the event.
    LevelReadWhereNeeded,
    /// Row "`third_party_invite: null` on an invite": present, so refused. Absent for ruma.
    NullIsPresent,
    /// Row "third-party signatures": malformed entries are passed over. Ruma refuses for some of them.
    MalformedEntriesPassedOver,
    /// Canonical JSON is strict since v6 only (<https://spec.matrix.org/v1.19/rooms/v6/#canonical-json>), so in v1-v5
    /// what is signed may have floats and large integers. Ruma has the strict form only.
    SignedNumbersLenient,
    /// `event::signature`: base64 in all four forms, as Synapse reads it, in signatures too. For ruma, standard only.
    SignatureUrlSafe,
    /// `event::Verify`: strict, no points of small order (nor has libsodium, which Synapse uses). Ruma is not strict.
    StrictVerification,
    /// `third_party_invite::MAX_VERIFICATIONS`: at most 512 verifications. Ruma has no bound.
    VerificationBound,
}

impl Decision {
    /// In the order in which they are applied. (`null` is what others put in the place of what is
    /// malformed.)
    pub(crate) const ALL: [Self; 19] = [
        Self::NullLevelIsAbsent,
        Self::StateKeyIsText,
        Self::ListIsNoObject,
        Self::DuplicateKeys,
        Self::OnlyFalseBars,
        Self::FederateReadWhereNeeded,
        Self::CreatorIsNobody,
        Self::AdditionalCreatorsLenient,
        Self::NoJoinRulesIsInvite,
        Self::StringGrammar,
        Self::FloatTruncated,
        Self::LevelSaturates,
        Self::LevelReadWhereNeeded,
        Self::NullIsPresent,
        Self::MalformedEntriesPassedOver,
        Self::SignedNumbersLenient,
        Self::SignatureUrlSafe,
        Self::StrictVerification,
        Self::VerificationBound,
    ];

    /// What ruma has to be shown. None where this decision does not come up.
    pub(crate) fn translated(self, case: &Case) -> Option<Case> {
        let mut translated = case.clone();
        self.apply(&mut translated);
        (translated != *case).then_some(translated)
    }

    fn apply(self, case: &mut Case) {
        match self {
            Self::NullLevelIsAbsent => null_level_is_absent(case),
            Self::StateKeyIsText => state_key_is_text(case),
            Self::ListIsNoObject => list_is_no_object(case),
            Self::DuplicateKeys => duplicate_keys(case),
            Self::OnlyFalseBars => only_false_bars(case),
            Self::FederateReadWhereNeeded => federate_read_where_needed(case),
            Self::CreatorIsNobody => creator_is_nobody(case),
            Self::AdditionalCreatorsLenient => additional_creators_lenient(case),
            Self::NoJoinRulesIsInvite => no_join_rules_is_invite(case),
            Self::StringGrammar => each_level(case, |case, level| {
                let is_string = level.starts_with('"') && case.version < RoomVersion::V10;
                (is_string && reading(level, case.version).is_none()).then(|| "null".to_owned())
            }),
            Self::FloatTruncated => each_level(case, |case, level| {
                let is_float = !level.starts_with('"') && (level.contains(['.', 'e']) || level == "-0");
                reading(level, case.version).filter(|_| is_float).map(|level| level.to_string())
            }),
            Self::LevelSaturates => {
                let mut large = false;
                each_level(&mut case.clone(), |case, level| {
                    large |= reading(level, case.version).is_some_and(|level| level.unsigned_abs() >= 1 << 53);
                    None
                });
                if large {
                    each_level(case, |case, level| reading(level, case.version).and_then(in_range));
                }
            }
            Self::LevelReadWhereNeeded => level_read_where_needed(case),
            Self::NullIsPresent => {
                let invite = case.content.sole("third_party_invite");
                if invite == Some(&raw("null")) && case.content.get("membership") == Some(&text("invite")) {
                    case.content.set("third_party_invite", raw("7"));
                }
            }
            Self::MalformedEntriesPassedOver => malformed_entries_passed_over(case),
            Self::SignedNumbersLenient => {
                let lenient = case.version < RoomVersion::V6;
                if let Some(Json::Object(members)) = signed(case).filter(|_| lenient) {
                    members.retain(|(_, value)| !is_lenient_number(value));
                }
            }
            Self::SignatureUrlSafe => {
                for_each_signature(case, |_, encoding| {
                    if *encoding == Encoding::UrlSafe {
                        *encoding = Encoding::Unpadded;
                    }
                });
            }
            Self::StrictVerification => {
                for (_, content) in case.invites.values_mut() {
                    if content.get("public_key") == Some(&small_order_key()) {
                        content.remove("public_key");
                    }
                    if let Some(Json::List(keys)) = content.get_mut("public_keys") {
                        keys.retain(|key| key.get("public_key") != Some(&small_order_key()));
                    }
                }
            }
            Self::VerificationBound => verification_bound(case),
        }
    }
}

/// Texts of levels and what they are in v1 to v5, in v6 to v9 and since v10, by the text of the
/// versions. (Of `null` that says nothing else than that it is none.)
pub(crate) const LEVELS: [(&str, [Option<i64>; 3]); 34] = [
    ("0", [Some(0); 3]),
    ("50", [Some(50); 3]),
    ("100", [Some(100); 3]),
    ("1", [Some(1); 3]),
    ("-1", [Some(-1); 3]),
    ("99", [Some(99); 3]),
    ("\"50\"", [Some(50), Some(50), None]),
    ("\"100\"", [Some(100), Some(100), None]),
    ("\" \\t\\r\\n+0050 \"", [Some(50), Some(50), None]),
    ("\"-1\"", [Some(-1), Some(-1), None]),
    ("\"\"", [None; 3]),
    ("\"fifty\"", [None; 3]),
    ("\"5 0\"", [None; 3]),
    ("\"50.0\"", [None; 3]),
    ("\"+-5\"", [None; 3]),
    ("\"++50\"", [None; 3]),
    ("\"\\u00a050\"", [None; 3]),
    ("\"50\\u000b\"", [None; 3]),
    ("\"9223372036854775808\"", [Some(i64::MAX), Some(i64::MAX), None]),
    ("\"-99999999999999999999\"", [Some(-i64::MAX), Some(-i64::MAX), None]),
    ("9007199254740991", [Some(9_007_199_254_740_991); 3]),
    ("9007199254740992", [Some(9_007_199_254_740_992), None, None]),
    ("9223372036854775807", [Some(i64::MAX), None, None]),
    ("99999999999999999999", [Some(i64::MAX), None, None]),
    ("-99999999999999999999", [Some(-i64::MAX), None, None]),
    ("50.0", [Some(50), None, None]),
    ("99.9", [Some(99), None, None]),
    ("-0.5", [Some(0), None, None]),
    ("1e2", [Some(100), None, None]),
    ("-0", [Some(0), None, None]),
    ("1e309", [None; 3]),
    ("null", [None; 3]),
    ("true", [None; 3]),
    ("[50]", [None; 3]),
];

fn reading(level: &str, version: RoomVersion) -> Option<i64> {
    let (_, readings) = LEVELS.iter().find(|(text, _)| *text == level)?;
    match version {
        RoomVersion::V1 | RoomVersion::V2 | RoomVersion::V3 | RoomVersion::V4 | RoomVersion::V5 => readings[0],
        RoomVersion::V6 | RoomVersion::V7 | RoomVersion::V8 | RoomVersion::V9 => readings[1],
        _ => readings[2],
    }
}

/// A large level as one that ruma can read and that has the same order among the levels of the table.
fn in_range(level: i64) -> Option<String> {
    let in_range = match level.unsigned_abs() {
        9_007_199_254_740_991 => "1000001",
        9_007_199_254_740_992 => "1000002",
        0..=9_007_199_254_740_992 => return None,
        _ => "1000003",
    };
    Some(format!("{}{in_range}", if level < 0 { "-" } else { "" }))
}

const NAMED: [&str; 4] = ["invite", "kick", "ban", "users_default"];

/// Replaces the texts of levels.
fn each_level(case: &mut Case, mut replace: impl FnMut(&Case, &str) -> Option<String>) {
    let Some(mut content) = case.power_levels.take() else { return };
    let mut each = |level: &mut Json| {
        if let Json::Raw(text) = level {
            if let Some(replaced) = replace(case, text) {
                *text = replaced;
            }
        }
    };
    if let Json::Object(members) = &mut content {
        for (key, value) in members {
            match value {
                Json::Object(users) if key == "users" => users.iter_mut().for_each(|(_, level)| each(level)),
                value if NAMED.contains(&key.as_str()) => each(value),
                _ => {}
            }
        }
    }
    case.power_levels = Some(content);
}

/// A key that stands twice is malformed whatever it says.
fn null_level_is_absent(case: &mut Case) {
    if case.version >= RoomVersion::V10 {
        return;
    }
    let Some(content) = &mut case.power_levels else { return };
    for name in NAMED {
        if content.sole(name) == Some(&raw("null")) {
            content.remove(name);
        }
    }
}

/// The user has another name, that is all.
fn state_key_is_text(case: &mut Case) {
    let authorizer = case.content.get("join_authorised_via_users_server");
    if case.target.as_deref() != Some(NOT_A_USER) && authorizer != Some(&text(NOT_A_USER)) {
        return;
    }
    fn rename(value: &mut Json) {
        match value {
            Json::Text(text) => rename_text(text),
            Json::List(items) => items.iter_mut().for_each(rename),
            Json::Object(members) => {
                for (key, value) in members {
                    rename_text(key);
                    rename(value);
                }
            }
            Json::Raw(_) | Json::Signature(..) => {}
        }
    }
    fn rename_text(text: &mut String) {
        if text == NOT_A_USER {
            *text = "@nowhere:nowhere.example".to_owned();
        }
    }
    case.target.iter_mut().for_each(rename_text);
    rename(&mut case.content);
    // Before v11 a `creator` that is no user ID is nobody, not even of that state key.
    if case.version >= RoomVersion::V11 {
        case.create.iter_mut().for_each(|(_, content)| rename(content));
    }
    case.power_levels.iter_mut().for_each(rename);
    if let Some(member) = case.members.remove(NOT_A_USER) {
        case.members.insert("@nowhere:nowhere.example".to_owned(), member);
    }
}

fn list_is_no_object(case: &mut Case) {
    fn malformed(content: &mut Json) {
        if let Json::List(_) = content {
            *content = raw("null");
        }
    }
    case.create.iter_mut().for_each(|(_, content)| malformed(content));
    case.join_rules.iter_mut().for_each(malformed);
    case.members.values_mut().for_each(malformed);
    case.invites.values_mut().for_each(|(_, content)| malformed(content));
    malformed(&mut case.content);
    if let Some(invite @ Json::List(_)) = case.content.get_mut("third_party_invite") {
        *invite = raw("7");
    }
    for (_, content) in case.invites.values_mut() {
        if let Some(Json::List(keys)) = content.get_mut("public_keys") {
            keys.retain(|key| !matches!(key, Json::List(_)));
        }
    }
}

/// Where ruma reads a map. In its structures, a key that stands twice is malformed as well.
fn duplicate_keys(case: &mut Case) {
    fn malformed(members: &mut Json, is_read: impl Fn(&str) -> bool) {
        let Json::Object(list) = &*members else { return };
        let keys: Vec<_> = list.iter().map(|(key, _)| key.clone()).collect();
        for key in keys {
            if is_read(&key) && members.count(&key) > 1 {
                members.set(&key, raw("null"));
            }
        }
    }
    if let Some(content) = &mut case.power_levels {
        malformed(content, |key| key == "users" || NAMED.contains(&key));
        if let Some(users) = content.get_mut("users") {
            malformed(users, |_| true);
        }
    }
    if let Some(signed) = signed(case) {
        malformed(signed, |_| true);
    }
}

fn only_false_bars(case: &mut Case) {
    let Some((_, content)) = &mut case.create else { return };
    let federate = content.sole("m.federate");
    if federate.is_some_and(|federate| *federate != raw("true") && *federate != raw("false")) {
        content.remove("m.federate");
    }
}

fn federate_read_where_needed(case: &mut Case) {
    let Some((creator, content)) = &mut case.create else { return };
    if server(creator) != server(case.sender) {
        return;
    }
    if !matches!(content, Json::Object(_)) {
        *content = object([]);
    }
    if content.count("m.federate") > 1 {
        content.remove("m.federate");
    }
}

fn server(user: &str) -> Option<&str> {
    user.split_once(':').map(|(_, server)| server)
}

fn is_user_id(text: &str) -> bool {
    text.starts_with('@') && text.contains(':')
}

fn creator_is_nobody(case: &mut Case) {
    let Some((_, content)) = &mut case.create else { return };
    let named = content.sole("creator").and_then(Json::as_text).is_some_and(is_user_id);
    if case.version < RoomVersion::V11 && !named {
        content.set("creator", text("@nobody:nowhere.example"));
    }
}

fn additional_creators_lenient(case: &mut Case) {
    let Some((_, content)) = &mut case.create else { return };
    if case.version < RoomVersion::V12 {
        return;
    }
    let alone = content.count("additional_creators") == 1;
    match content.get_mut("additional_creators") {
        Some(Json::List(creators)) if alone => {
            creators.retain(|creator| creator.as_text().is_some_and(is_user_id));
        }
        _ => content.remove("additional_creators"),
    }
}

fn no_join_rules_is_invite(case: &mut Case) {
    let content = case.join_rules.get_or_insert_with(|| object([]));
    if matches!(content, Json::Object(_)) && content.get("join_rule").is_none() {
        content.push("join_rule", text("invite"));
    }
}

/// Takes out what is malformed and not needed.
fn level_read_where_needed(case: &mut Case) {
    let version = case.version;
    let (users, named) = needed_levels(case);
    let Some(content) = &mut case.power_levels else { return };
    let is_malformed =
        |level: &Json| !matches!(level, Json::Raw(text) if reading(text, version).is_some() || text.contains("100000"));
    if content.get("events").is_some_and(|events| events.render(false).contains("1e309")) {
        content.remove("events");
    }
    for name in ["invite", "kick", "ban"] {
        if !named.contains(&name) && content.get(name).is_some_and(is_malformed) {
            content.remove(name);
        }
    }
    let mut default_needed = false;
    match content.get_mut("users") {
        Some(Json::Object(levels)) => {
            default_needed = users.iter().any(|user| !levels.iter().any(|(name, _)| name == user));
            levels.retain(|(user, level)| users.contains(user) || !is_malformed(level) && is_user_id(user));
        }
        Some(_) if users.is_empty() => content.remove("users"),
        // Malformed for everybody, so that nobody needs the default.
        Some(_) => {}
        None => default_needed = !users.is_empty(),
    }
    if !default_needed && content.get("users_default").is_some_and(is_malformed) {
        content.remove("users_default");
    }
}

/// Whose levels the rule of this change needs, and which of the others.
fn needed_levels(case: &Case) -> (Vec<String>, Vec<&'static str>) {
    let membership = case.content.sole("membership").and_then(Json::as_text);
    let target = case.target.clone().unwrap_or_default();
    let is_self = target == case.sender;
    let sender = case.sender.to_owned();
    let (mut users, named) = match membership {
        Some("invite") if case.content.get("third_party_invite").is_none() => (vec![sender], vec!["invite"]),
        Some("join") => {
            let authorizer = case.content.sole("join_authorised_via_users_server").and_then(Json::as_text);
            (authorizer.map(str::to_owned).into_iter().collect(), vec!["invite"])
        }
        Some("leave") if !is_self => {
            let banned = case.members.get(&target).and_then(|member| member.sole("membership")) == Some(&text("ban"));
            (vec![sender, target], if banned { vec!["kick", "ban"] } else { vec!["kick"] })
        }
        Some("ban") => (vec![sender, target], vec!["ban"]),
        _ => (vec![], vec![]),
    };
    if let Some((creator, content)) = case.create.as_ref().filter(|_| case.version >= RoomVersion::V12) {
        // A creator stands above levels.
        let Some(Json::List(others)) = content.sole("additional_creators") else {
            users.retain(|user| user != creator);
            return (users, named);
        };
        users.retain(|user| user != creator && !others.contains(&text(user)));
    }
    (users, named)
}

fn signed(case: &mut Case) -> Option<&mut Json> {
    let is_invite = case.content.get("membership") == Some(&text("invite"));
    case.content.get_mut("third_party_invite").filter(|_| is_invite)?.get_mut("signed")
}

fn is_lenient_number(value: &Json) -> bool {
    match value {
        Json::Raw(number) => ["1.5", "9007199254740992", "-0"].contains(&number.as_str()),
        Json::List(items) => items.iter().any(is_lenient_number),
        Json::Object(members) => members.iter().any(|(_, value)| is_lenient_number(value)),
        Json::Text(_) | Json::Signature(..) => false,
    }
}

fn malformed_entries_passed_over(case: &mut Case) {
    for (_, content) in case.invites.values_mut() {
        if content.sole("public_key").is_none_or(|key| key.as_text().is_none()) {
            content.remove("public_key");
        }
        match content.get_mut("public_keys") {
            Some(Json::List(keys)) => {
                keys.retain(|key| key.get("public_key").is_some_and(|key| key.as_text().is_some()));
            }
            _ => content.remove("public_keys"),
        }
    }
    // A float spoils the event since v6, wherever it stands.
    let strict = case.version >= RoomVersion::V6;
    let is_kept = |value: &Json| strict && is_lenient_number(value);
    if let Some(Json::Object(servers)) = signed(case).and_then(|signed| signed.get_mut("signatures")) {
        servers.retain(|(_, signatures)| matches!(signatures, Json::Object(_)) || is_kept(signatures));
        for (_, signatures) in servers {
            if let Json::Object(signatures) = signatures {
                signatures.retain(|(_, value)| matches!(value, Json::Text(_) | Json::Signature(..)) || is_kept(value));
            }
        }
    }
}

fn for_each_signature(case: &mut Case, mut each: impl FnMut(u8, &mut Encoding)) {
    let Some(Json::Object(servers)) = signed(case).and_then(|signed| signed.get_mut("signatures")) else { return };
    for (_, signatures) in servers {
        let Json::Object(signatures) = signatures else { continue };
        for (_, value) in signatures {
            if let Json::Signature(key, encoding) = value {
                each(*key, encoding);
            }
        }
    }
}

/// For a room with one key.
fn verification_bound(case: &mut Case) {
    let mut left = 512_u32;
    for_each_signature(case, |_, encoding| {
        if left == 0 {
            *encoding = Encoding::Tampered;
        }
        left = left.saturating_sub(1);
    });
}
