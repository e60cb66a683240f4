//! What is in the grammar of each kind of identifier.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{IdError, MAX_ID_BYTES};

/// The part of a user ID behind its first `:`, for a text that need not be a well-formed user ID.
pub(crate) fn domain(id: &str) -> Option<&str> {
    let rest = id.strip_prefix('@')?;
    let (_, behind) = rest.split_at_checked(rest.bytes().position(|byte| byte == b':')?)?;
    behind.strip_prefix(':')
}

pub(super) fn check_user_id(text: &str) -> Result<(), IdError> {
    check_with_domain(text, '@')
}

pub(super) fn check_room_alias(text: &str) -> Result<(), IdError> {
    check_with_domain(text, '#')
}

pub(super) fn check_room_id(text: &str) -> Result<(), IdError> {
    check_with_or_without_domain(text, '!')
}

pub(super) fn check_event_id(text: &str) -> Result<(), IdError> {
    check_with_or_without_domain(text, '$')
}

pub(super) fn check_key_id(text: &str) -> Result<(), IdError> {
    if text.len() > MAX_ID_BYTES {
        return Err(IdError::TooLong);
    }
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b'\\');
    match text.strip_prefix("ed25519:") {
        Some(version) if !version.is_empty() && version.bytes().all(is_allowed) => Ok(()),
        Some(_) | None => Err(IdError::KeyId),
    }
}

fn check_with_domain(text: &str, sigil: char) -> Result<(), IdError> {
    let rest = sigiled(text, sigil)?;
    let (local, domain) = rest.split_once(':').ok_or(IdError::NoDomain)?;
    check_local_part(local)?;
    check_server_name(domain)
}

fn check_with_or_without_domain(text: &str, sigil: char) -> Result<(), IdError> {
    let rest = sigiled(text, sigil)?;
    if rest.contains(':') {
        return check_with_domain(text, sigil);
    }
    if rest.is_empty() {
        return Err(IdError::LocalPart);
    }
    check_local_part(rest)
}

fn sigiled(text: &str, sigil: char) -> Result<&str, IdError> {
    if text.len() > MAX_ID_BYTES {
        return Err(IdError::TooLong);
    }
    text.strip_prefix(sigil).ok_or(IdError::Sigil(sigil))
}

fn check_local_part(local: &str) -> Result<(), IdError> {
    if local.contains('\0') { Err(IdError::LocalPart) } else { Ok(()) }
}

pub(super) fn check_server_name(text: &str) -> Result<(), IdError> {
    if is_server_name(text) { Ok(()) } else { Err(IdError::ServerName) }
}

fn is_server_name(text: &str) -> bool {
    if text.len() > MAX_ID_BYTES {
        return false;
    }
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split_once(']').is_some_and(|(address, port)| {
            is_ipv6(address) && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
        });
    }
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    is_host(host) && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_ipv6(text: &str) -> bool {
    // Rust's parser also takes a zone (`%eth0`) in other types, but not in this one.
    text.parse::<Ipv6Addr>().is_ok()
}

/// A DNS name or an IPv4 address. Four groups of digits are an address, and must then be one.
fn is_host(text: &str) -> bool {
    if is_dotted_quad(text) {
        return is_ipv4(text);
    }
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
}

/// Four groups of one to three digits: in a server name, an IPv4 address.
pub(crate) fn is_dotted_quad(host: &str) -> bool {
    let is_group = |group: &str| (1..=3).contains(&group.len()) && group.bytes().all(|byte| byte.is_ascii_digit());
    host.split('.').count() == 4 && host.split('.').all(is_group)
}

fn is_ipv4(text: &str) -> bool {
    // Rust refuses leading zeroes, which the grammar has.
    text.parse::<Ipv4Addr>().is_ok() || text.split('.').all(|group| group.parse::<u8>().is_ok())
}
