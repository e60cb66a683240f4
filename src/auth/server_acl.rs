//! Which servers may take part in a room. <https://spec.matrix.org/v1.19/client-server-api/#mroomserver_acl>

use std::borrow::Cow;
use std::fmt;

use crate::event::{Event, EventType};
use crate::id::{ServerName, is_dotted_quad};
use crate::json::{Field, Kind, Reader, Str, read_object};
use crate::state::{NotLookedUp, RoomState};

/// A list without entries, as JSON.
const NO_ENTRIES: &str = "[]";

/// Whether a server may take part in the room: by its `m.room.server_acl` event with an empty state key. A room without
/// one lets every server in.
///
/// To be asked about the authenticated server behind a request, over the current state; the answer to one that is kept
/// out is 403 `M_FORBIDDEN`. It is no authorization rule: an event that came in some other way is not refused for it.
///
/// <https://spec.matrix.org/v1.19/server-server-api/#server-access-control-lists-acls>
///
/// # Examples
///
/// ```
/// use matrix_knock::auth::server_is_allowed;
/// use matrix_knock::event::Pdu;
/// use matrix_knock::id::ServerName;
/// use matrix_knock::state::StateMap;
///
/// let acl = r#"{"type":"m.room.server_acl","state_key":"","sender":"@alice:a.example",
///     "content":{"allow":["*"],"deny":["*.evil.example"],"allow_ip_literals":false}}"#;
/// let state = StateMap::from([Pdu::parse(acl)?]);
///
/// assert!(server_is_allowed(ServerName::parse("b.example:8448")?, &state)?);
/// assert!(!server_is_allowed(ServerName::parse("very.evil.example")?, &state)?);
/// assert!(!server_is_allowed(ServerName::parse("[2001:db8::1]")?, &state)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`NotLookedUp`] if a snapshot lacks the `m.room.server_acl` entry.
pub fn server_is_allowed(server: ServerName<'_>, state: &(impl RoomState + ?Sized)) -> Result<bool, NotLookedUp> {
    let event = state.event(EventType::ServerAcl, "")?;
    Ok(event.is_none_or(|event| ServerAcl::read(event.content()).allows(server)))
}

/// The most entries of `deny` that [`ServerAcl::denials`] names.
const MAX_DENY_ENTRIES: usize = 16;

/// Why a server ACL keeps a server out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AclDenial {
    /// The name is an IP address, and `allow_ip_literals` is false.
    IpLiteral,
    /// This entry of `deny` fits the server: a glob, as the event has it, of any length.
    DenyEntry(Box<str>),
    /// No entry of `allow` fits the server.
    NoAllowEntry,
}

impl fmt::Display for AclDenial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IpLiteral => f.write_str("`allow_ip_literals` is false and the server is named by an IP address"),
            Self::DenyEntry(entry) => write!(f, "the entry `{entry}` of `deny` fits the server"),
            Self::NoAllowEntry => f.write_str("no entry of `allow` fits the server"),
        }
    }
}

/// The content of an `m.room.server_acl` event, borrowed.
///
/// <https://spec.matrix.org/v1.19/client-server-api/#mroomserver_acl>
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ServerAcl<'a> {
    allow_ip_literals: bool,
    /// The values as they were written, of whatever kind.
    allow: &'a str,
    deny: &'a str,
}

impl<'a> ServerAcl<'a> {
    /// What `{}` says, the content of a redacted event among others: no server is allowed.
    const EMPTY: Self = Self { allow_ip_literals: true, allow: NO_ENTRIES, deny: NO_ENTRIES };

    /// Reads the content, a JSON text.
    ///
    /// A property that is missing or of the wrong kind has its default: no entries for `allow` (which keeps every
    /// server out) and for `deny`, true for `allow_ip_literals`. A content that is no JSON object, or in which one of
    /// the three stands twice, counts as `{}`.
    #[must_use]
    pub fn read(content: &'a str) -> Self {
        // DEVIATION: the text is silent on such contents. A parser that keeps the last of two, as Synapse's does, would
        // let a second `deny` undo the first: to let nobody in is the side to err on. (An event that came through
        // `Pdu::parse` and `check_format` has no such content.)
        Self::read_well_formed(content).unwrap_or(Self::EMPTY)
    }

    fn read_well_formed(content: &'a str) -> Option<Self> {
        let mut allow_ip_literals = Field::Missing;
        let mut allow = Field::Missing;
        let mut deny = Field::Missing;
        read_object(content, |key, reader| {
            let kind = reader.kind()?;
            let value = reader.skip()?;
            match () {
                () if key.is("allow") => allow.put(Field::Is(value)),
                () if key.is("allow_ip_literals") => allow_ip_literals.put(Field::Is(kind != Kind::False)),
                () if key.is("deny") => deny.put(Field::Is(value)),
                () => {}
            }
            Ok(())
        })
        .ok()?;
        Some(Self {
            allow_ip_literals: allow_ip_literals.optional(()).ok()?.unwrap_or(Self::EMPTY.allow_ip_literals),
            allow: allow.optional(()).ok()?.unwrap_or(Self::EMPTY.allow),
            deny: deny.optional(()).ok()?.unwrap_or(Self::EMPTY.deny),
        })
    }

    /// Whether the list lets this server take part: its name, without a port, is an IP address only if those may be,
    /// fits no entry of `deny` and fits one of `allow`.
    ///
    /// An entry fits the whole name, whatever the case of ASCII letters; `*` stands for any number of characters, `?`
    /// for exactly one. An IPv6 address keeps its brackets. Takes, for each entry, at most a time in proportion to its
    /// length times that of the name, and never allocates.
    ///
    /// <https://spec.matrix.org/v1.19/appendices/#glob-style-matching>
    #[must_use]
    pub fn allows(&self, server: ServerName<'_>) -> bool {
        let host = host(server);
        if is_ip_literal(host) && !self.allow_ip_literals {
            return false;
        }
        !has_entry_for(host, self.deny) && has_entry_for(host, self.allow)
    }

    /// Returns every reason why the list keeps this server out, in the order of the checks: none if
    /// and only if it [allows](Self::allows) the server. Of the entries of `deny` that fit, the
    /// first 16 are named.
    ///
    /// <https://spec.matrix.org/v1.19/client-server-api/#mroomserver_acl>
    #[must_use]
    pub fn denials(&self, server: ServerName<'_>) -> Vec<AclDenial> {
        let host = host(server);
        let mut denials = Vec::new();
        if is_ip_literal(host) && !self.allow_ip_literals {
            denials.push(AclDenial::IpLiteral);
        }
        let mut named = 0_usize;
        each_entry_for(host, self.deny, |entry| {
            if named < MAX_DENY_ENTRIES {
                denials.push(AclDenial::DenyEntry(entry.text().into()));
            }
            named = named.saturating_add(1);
        });
        if !has_entry_for(host, self.allow) {
            denials.push(AclDenial::NoAllowEntry);
        }
        denials
    }

    /// Returns the first entry of `allow` that fits this server: a glob. It lets the server in
    /// unless there are [denials](Self::denials).
    #[must_use]
    pub fn allow_entry(&self, server: ServerName<'_>) -> Option<Cow<'a, str>> {
        let mut first = None;
        each_entry_for(host(server), self.allow, |entry| first = first.or(Some(entry)));
        first.map(Str::text)
    }
}

/// The name without its port. An IPv6 address keeps its brackets, as in Synapse and ruma (Dendrite drops them where
/// there is a port, and keeps them where there is none).
fn host(server: ServerName<'_>) -> &str {
    let name = server.as_str();
    let host = match name.starts_with('[') {
        true => name.split_inclusive(']').next(),
        false => name.split(':').next(),
    };
    host.unwrap_or(name)
}

/// Whether the host is an address by the grammar of server names. That has leading zeroes, as in `010.0.0.1`, which
/// the parsers of Synapse and ruma take for a DNS name.
fn is_ip_literal(host: &str) -> bool {
    host.starts_with('[') || is_dotted_quad(host)
}

/// Whether a string in this JSON array fits.
fn has_entry_for(host: &str, list: &str) -> bool {
    let mut found = false;
    each_entry(list, |entry| found = found || fits(entry, host));
    found
}

/// Calls `each` for every string in this JSON array that fits.
fn each_entry_for<'a>(host: &str, list: &'a str, mut each: impl FnMut(Str<'a>)) {
    each_entry(list, |entry| {
        if fits(entry, host) {
            each(entry);
        }
    });
}

/// Calls `each` for every string in this JSON array.
///
/// DEVIATION: the text does not say what becomes of a list of another kind, or of an entry that is no string. As in
/// Synapse the one has no entries, even if it is `deny`, and the other is passed over.
fn each_entry<'a>(list: &'a str, mut each: impl FnMut(Str<'a>)) {
    // A value that is no array has no entries; one that was read once is well-formed JSON.
    let _not_an_array = Reader::new(list).array(|reader| {
        if let Field::Is(entry) = reader.string_field()? {
            each(entry);
        }
        Ok(())
    });
}

// DEVIATION: the text does not say whose case is meant. Synapse folds all of Unicode, where the Kelvin sign is a `k`;
// server names are ASCII, and nobody denies one by such a letter.
fn fits(entry: Str<'_>, host: &str) -> bool {
    glob(entry.chars(), host.chars())
}

/// Matches a glob, both ends anchored. When the characters behind a `*` do not fit, that `*` takes one more character;
/// the ones before it never have to be tried again, so the work is at most about the product of both lengths.
fn glob(mut pattern: impl Iterator<Item = char> + Clone, mut name: impl Iterator<Item = char> + Clone) -> bool {
    // Behind the last `*`: what the pattern goes on with, and the part of the name that it was tried on.
    let mut last_star = None;
    loop {
        let wanted = pattern.next();
        if wanted == Some('*') {
            last_star = Some((pattern.clone(), name.clone()));
            continue;
        }
        match (wanted, name.next()) {
            (None, None) => return true,
            (Some('?'), Some(_)) => {}
            (Some(wanted), Some(found)) if wanted.eq_ignore_ascii_case(&found) => {}
            // A `*` that took more would leave even less.
            (Some(_), None) => return false,
            (_, Some(_)) => {
                let Some((behind, tried)) = &mut last_star else { return false };
                tried.next();
                (pattern, name) = (behind.clone(), tried.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::event::Pdu;
    use crate::state::StateMap;

    const SERVERS: [&str; 6] = ["a.example", "b.example:8448", "1.2.3.4", "[::1]", "[::1]:80", "evil.example"];

    /// Those of [`SERVERS`] that the content lets in.
    fn allowed(content: &str) -> Vec<&'static str> {
        let acl = ServerAcl::read(content);
        let allows = |server: &&str| {
            let server = ServerName::parse(server).unwrap();
            let (allows, denials) = (acl.allows(server), acl.denials(server));
            assert_eq!(allows, denials.is_empty(), "{content} {server} {denials:?}");
            assert_eq!(acl.allow_entry(server).is_none(), denials.contains(&AclDenial::NoAllowEntry), "{content}");
            allows
        };
        SERVERS.into_iter().filter(allows).collect()
    }

    #[test]
    fn every_denial_is_named() {
        let denials = |content: &str, server: &str| {
            let denials = ServerAcl::read(content).denials(ServerName::parse(server).unwrap());
            denials.iter().map(AclDenial::to_string).collect::<Vec<_>>()
        };
        let entry = |entry: &str| format!("the entry `{entry}` of `deny` fits the server");
        let none = "no entry of `allow` fits the server".to_owned();
        let ip = "`allow_ip_literals` is false and the server is named by an IP address".to_owned();
        let content = r#"{"allow_ip_literals":false,"deny":["1.*","b",1,"\u002a"],"allow":["a.*","[*"]}"#;
        assert_eq!(denials(content, "1.2.3.4:80"), [ip.clone(), entry("1.*"), entry("*"), none.clone()]);
        assert_eq!(denials(content, "[::1]"), [ip, entry("*")]);
        assert_eq!(denials(content, "b:80"), [entry("b"), entry("*"), none.clone()]);
        assert_eq!(denials(content, "a.example"), [entry("*")]);
        assert_eq!(denials("[]", "a.example"), std::slice::from_ref(&none));
        assert_eq!(denials(r#"{"allow":["A.*"]}"#, "a.example"), [""; 0]);
        let many = format!(r#"{{"deny":[{}"*"]}}"#, r#""*","#.repeat(20_000));
        assert_eq!(denials(&many, "a"), [vec![entry("*"); MAX_DENY_ENTRIES], vec![none]].concat());
        let acl = ServerAcl::read(r#"{"allow":["b",1,"\u0061.*","*"]}"#);
        let first = |server| acl.allow_entry(ServerName::parse(server).unwrap());
        assert_eq!((first("a.b").as_deref(), first("c").as_deref()), (Some("a.*"), Some("*")));
    }

    #[test]
    fn contents() {
        let [a, b, v4, v6, v6_port, evil] = SERVERS;
        let all = SERVERS.to_vec();
        for (content, expected) in [
            (r#"{"allow":["*"]}"#, all.clone()),
            (r#"{"allow":["*"],"deny":["evil.example"]}"#, vec![a, b, v4, v6, v6_port]),
            (r#"{"allow":["evil.example"],"deny":["evil.example"]}"#, vec![]),
            (r#"{"allow":["a.example","B.Example"],"deny":[]}"#, vec![a, b]),
            // Not the port, only the name is compared.
            (r#"{"allow":["b.example:8448","*:80"]}"#, vec![]),
            // Addresses.
            (r#"{"allow":["*"],"allow_ip_literals":false}"#, vec![a, b, evil]),
            (r#"{"allow":["*"],"allow_ip_literals":true}"#, all.clone()),
            (r#"{"allow":["1.2.3.4","[::1]"],"allow_ip_literals":false}"#, vec![]),
            (r#"{"allow":["1.2.?.*","[::1]"]}"#, vec![v4, v6, v6_port]),
            (r#"{"allow":["::1"]}"#, vec![]),
            // Defaults, where a property is missing or of the wrong kind.
            ("{}", vec![]),
            (r#"{"deny":["evil.example"]}"#, vec![]),
            (r#"{"allow":"*"}"#, vec![]),
            (r#"{"allow":{"*":"*"}}"#, vec![]),
            (r#"{"allow":null,"allow_ip_literals":true}"#, vec![]),
            (r#"{"allow":["*"],"deny":"*"}"#, all.clone()),
            (r#"{"allow":["*"],"allow_ip_literals":"false"}"#, all.clone()),
            (r#"{"allow":["*"],"allow_ip_literals":0}"#, all.clone()),
            (r#"{"allow":["*"],"allow_ip_literals":null}"#, all.clone()),
            // Entries that are no strings.
            (r#"{"allow":[1,null,["*"],{"*":"*"},"a.example",true],"deny":[{},[],false]}"#, vec![a]),
            // Escapes, also of keys; case of keys; other properties.
            (r#"{"\u0061llow":["\u002a"],"deny":["\u0045vil.example"]}"#, vec![a, b, v4, v6, v6_port]),
            (r#"{"Allow":["*"]}"#, vec![]),
            (r#"{"other":1,"allow":["*"],"other":["x"]}"#, all),
            // Malformed.
            (r#"{"allow":["*"],"allow":["*"]}"#, vec![]),
            (r#"{"allow":["*"],"deny":[],"deny":[]}"#, vec![]),
            (r#"{"allow":["*"],"allow_ip_literals":true,"allow_ip_literals":true}"#, vec![]),
            (r#"["*"]"#, vec![]),
            (r#"{"allow":["*"]}}"#, vec![]),
            (r#"{"allow":["*"]"#, vec![]),
            ("null", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(allowed(content), expected, "{content}");
        }
    }

    #[test]
    fn addresses() {
        let acl = ServerAcl::read(r#"{"allow":["*"],"allow_ip_literals":false}"#);
        for (server, allowed) in [
            ("1.2.3.4", false),
            ("1.2.3.4:80", false),
            ("010.2.3.004", false),
            ("[2001:db8::1]", false),
            ("[::ffff:1.2.3.4]:80", false),
            ("1a.2.3.4", true),
            ("1.2.3", true),
            ("1.2.3.4.5", true),
            ("1.2.3.4.example", true),
        ] {
            assert_eq!(acl.allows(ServerName::parse(server).unwrap()), allowed, "{server}");
        }
    }

    #[test]
    fn only_the_event_with_an_empty_state_key_counts() {
        let server = ServerName::parse("b.example").unwrap();
        let event = |event_type: &str, key: &str, content: &str| {
            format!(r#"{{"type":"{event_type}","state_key":"{key}","sender":"@a:a.example","content":{content}}}"#)
        };
        let none = StateMap::<Pdu<'_>>::new();
        assert_eq!(server_is_allowed(server, &none), Ok(true));
        for (event, expected) in [
            (event("m.room.server_acl", "", "{}"), false),
            (event("m.room.server_acl", "", r#"{"allow":["b.*"]}"#), true),
            (event("m.room.server_acl", "x", "{}"), true),
            (event("m.room.name", "", "{}"), true),
        ] {
            let state = StateMap::from([Pdu::parse(&event).unwrap()]);
            assert_eq!(server_is_allowed(server, &state), Ok(expected), "{event}");
        }
    }

    #[test]
    fn globs() {
        for (pattern, name, expected) in [
            ("a.example", "a.example", true),
            ("A.eXample", "a.Example", true),
            ("a.example", "ba.example", false),
            ("a.example", "a.example.org", false),
            ("*.example", "a.example", true),
            ("*.example", ".example", true),
            ("*.example", "example", false),
            ("*", "a", true),
            ("", "a", false),
            ("?", "", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a?c", "abbc", false),
            ("**a**", "bab", true),
            ("*ab*ab", "abaab", true),
            ("*aab", "aaab", true),
            // Nothing else is special.
            ("a.c", "abc", false),
            ("[ab]", "a", false),
            ("[::1]", "[::1]", true),
            ("\\*", "\\a", true),
            ("a+", "aa", false),
            // The Kelvin sign is no `k` here; a character of several bytes is one.
            ("\u{212A}", "k", false),
            ("?", "\u{1F6AA}", true),
        ] {
            assert_eq!(glob(pattern.chars(), name.chars()), expected, "{pattern} {name}");
        }
    }

    /// The meaning of a glob, with no thought for the time that it takes.
    fn means(pattern: &[u8], name: &[u8]) -> bool {
        match pattern {
            [] => name.is_empty(),
            [b'*', rest @ ..] => (0..=name.len()).any(|taken| means(rest, &name[taken..])),
            [b'?', rest @ ..] => !name.is_empty() && means(rest, &name[1..]),
            [byte, rest @ ..] => name.first() == Some(byte) && means(rest, &name[1..]),
        }
    }

    /// All words of up to four letters.
    fn words(alphabet: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        let mut longest = words.clone();
        for _ in 0..4 {
            longest =
                longest.iter().flat_map(|word| alphabet.chars().map(move |last| format!("{word}{last}"))).collect();
            words.extend_from_slice(&longest);
        }
        words
    }

    #[test]
    fn all_short_globs() {
        let (patterns, names) = (words("ab*?"), words("ab."));
        assert_eq!((patterns.len(), names.len()), (341, 121));
        for pattern in &patterns {
            for name in &names {
                let expected = means(pattern.as_bytes(), name.as_bytes());
                assert_eq!(glob(pattern.chars(), name.chars()), expected, "{pattern} {name}");
            }
        }
    }

    #[test]
    fn hostile_globs_take_bounded_work() {
        let name = "a".repeat(255);
        for (pattern, expected) in [
            (format!("{}b", "*a".repeat(120)), false),
            (format!("*{}b*", "a".repeat(127)), false),
            (format!("*{}b", "?*".repeat(127)), false),
            ("*".repeat(60_000), true),
            ("?".repeat(60_000), false),
            (format!("{}b*", "*a".repeat(30_000)), false),
        ] {
            let steps = Cell::new(0_usize);
            let counted = |_: &char| steps.set(steps.get() + 1);
            assert_eq!(glob(pattern.chars().inspect(counted), name.chars().inspect(counted)), expected);
            let bound = 2 * pattern.len().min(255) * name.len() + pattern.len();
            assert!(steps.get() <= bound, "{} steps, more than {bound}", steps.get());
        }
    }
}
