//! Every yes and no of an explanation, beside the decision: each user of each recorded room.

use matrix_knock::auth::{authorize, authorize_proposal, server_is_allowed};
use matrix_knock::event::{Event as _, EventType, Membership, OwnedPdu, Pdu, Proposal};
use matrix_knock::id::UserId;
use matrix_knock::state::StateMap;
use matrix_knock::{NoVerifier, RoomVersion};
use serde_json::json;

use super::explained;
use super::rooms::{Recorded, recorded};

const RULES: [&str; 5] = ["public", "invite", "knock", "restricted", "knock_restricted"];

/// What the decision says of a user.
struct Decided<'s> {
    version: RoomVersion,
    user: &'s str,
    state: StateMap<OwnedPdu>,
}

impl Decided<'_> {
    fn may(&self, membership: Membership) -> bool {
        let server = UserId::parse(self.user).expect("a user ID").server_name();
        let proposal = Proposal::of_oneself(self.user, membership);
        let is_allowed = server_is_allowed(server, &self.state).expect("a whole state");
        is_allowed && authorize_proposal(self.version, &proposal, &self.state).is_ok()
    }

    fn joined(&self) -> Vec<&str> {
        let members = self.state.iter().filter(|event| event.is_type(EventType::Member));
        let joined = members.filter(|member| member.member_facts().membership() == Some(Membership::Join));
        joined.filter_map(|member| member.state_key()).collect()
    }

    /// Whether a server that the ACL lets in may join the user by a member's word.
    fn may_be_vouched_for(&self) -> bool {
        let server = UserId::parse(self.user).expect("a user ID").server_name();
        let is_allowed = server_is_allowed(server, &self.state).expect("a whole state");
        let content = |by: &str| json!({ "membership": "join", "join_authorised_via_users_server": by });
        let mut joins = self.joined().into_iter().map(|by| {
            let join =
                json!({ "type": "m.room.member", "state_key": self.user, "sender": self.user, "content": content(by) });
            let join = join.to_string();
            let join = Pdu::parse(&join).expect("an event");
            authorize(self.version, &join, &self.state, &NoVerifier).is_ok()
        });
        is_allowed && joins.any(|may| may)
    }

    fn who_may(&self, membership: Membership) -> Vec<&str> {
        let others = self.joined().into_iter().filter(|sender| *sender != self.user);
        let may = |sender: &&str| {
            let proposal = Proposal { sender, target: self.user, membership };
            authorize_proposal(self.version, &proposal, &self.state).is_ok()
        };
        others.filter(may).collect()
    }

    fn with_join_rule(&self, rule: &str) -> Self {
        let mut state = self.state.clone();
        let event =
            json!({ "type": "m.room.join_rules", "state_key": "", "sender": "@a:b", "content": { "join_rule": rule } });
        drop(state.insert(OwnedPdu::parse_stored(event.to_string()).expect("an event")));
        Self { state, ..*self }
    }
}

/// What stands behind this start of a line.
fn after<'r>(report: &'r str, start: &str) -> &'r str {
    let mut found = report.lines().filter_map(|line| line.strip_prefix(start));
    match (found.next(), found.next()) {
        (Some(rest), None) => rest.trim(),
        _ => panic!("`{start}` is not there once in\n{report}"),
    }
}

fn check(room: &Recorded, user: &str) {
    let pdus = room.pdus().to_string();
    let report = explained(user, &pdus);
    let events: Vec<OwnedPdu> = room.pdus()["pdus"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|event| OwnedPdu::parse_stored(event.to_string()).expect("an event"))
        .collect();
    let version = room.version.parse().expect("a version");
    let decided = Decided { version, user, state: events.into_iter().collect() };

    // Yes and no, and as many reasons as are said.
    for (way, membership) in [("May they knock?", Membership::Knock), ("May they join?", Membership::Join)] {
        let verdict = after(&report, way);
        assert_eq!(!verdict.starts_with("no"), decided.may(membership), "{} {user}\n{report}", room.scenario);
        let (_, section) = report.split_once(way).expect("the section");
        let reasons = section.split("\n\n").next().expect("its lines").lines();
        let reasons = reasons
            .filter(|line| line.trim_start().split_once(". ").is_some_and(|(number, _)| number.parse::<u8>().is_ok()));
        let expected = match verdict.split(' ').nth(1) {
            Some("one") => 1,
            Some(count) => count.parse().unwrap_or(0),
            None => 0,
        };
        assert_eq!(reasons.count(), expected, "{report}");
    }

    // Who may.
    let names = |users: Vec<&str>| {
        let more = users.len().saturating_sub(5);
        let named = users.iter().take(5).copied().collect::<Vec<_>>().join(", ");
        if more > 0 { format!("{named} and {more} more") } else { named }
    };
    let said = |label: &str| {
        let rest = after(&report, label);
        let rest = rest.strip_prefix("everybody who is joined: ").unwrap_or(rest);
        if rest.starts_with("nobody: ") { String::new() } else { rest.to_owned() }
    };
    let member = decided.state.iter().find(|event| event.is_type(EventType::Member) && event.state_key() == Some(user));
    let is = member.and_then(|member| member.member_facts().membership());
    let (invite, leave) = match is {
        Some(Membership::Knock) => ("  accept the knock (invite) ", Some("  decline the knock (kick) ")),
        Some(Membership::Invite) => ("  invite ", Some("  take the invite back (kick) ")),
        Some(Membership::Join) => ("  invite ", Some("  kick ")),
        Some(Membership::Ban) => ("  invite ", Some("  lift the ban ")),
        Some(Membership::Leave) | None => ("  invite  ", None),
    };
    // The join rule `invite` has a line as well, with a table behind it.
    let invite = format!("{invite:<30}");
    assert_eq!(said(&invite), names(decided.who_may(Membership::Invite)), "{report}");
    if let Some(leave) = leave {
        assert_eq!(said(&format!("{leave:<30}")), names(decided.who_may(Membership::Leave)), "{report}");
    }
    if is != Some(Membership::Ban) {
        assert_eq!(said(&format!("{:<30}", "  ban")), names(decided.who_may(Membership::Ban)), "{report}");
    }

    // Under each join rule.
    let (_, table) = report.split_once("\nUnder each join rule").expect("the table");
    for (row, rule) in table.lines().skip(2).zip(RULES) {
        let under = decided.with_join_rule(rule);
        let name = row.split_whitespace().next().expect("a join rule");
        assert_eq!(name.trim_end_matches('*'), rule, "{report}");
        let cells: Vec<char> = row.chars().collect();
        let (knock, join): (String, String) = (cells[21..56].iter().collect(), cells[57..].iter().collect());
        assert_eq!(knock.trim() == "yes", under.may(Membership::Knock), "{rule}\n{report}");
        assert_eq!(join.trim() == "yes", under.may(Membership::Join), "{rule}\n{report}");
        let by_a_word = !under.may(Membership::Join) && under.may_be_vouched_for();
        assert_eq!(join.trim() == "if a member vouches", by_a_word, "{rule}\n{report}");
        assert_eq!(knock.trim() == "yes", !knock.starts_with("no: "), "{report}");
    }
}

#[test]
fn every_user_of_every_recorded_room() {
    let mut explained = 0;
    for room in recorded() {
        for user in room.users() {
            check(&room, &user);
            explained += 1;
        }
    }
    assert!(explained > 300, "{explained}");
}
