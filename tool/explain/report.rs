//! The explanation, in words.

use matrix_knock::auth::{Obstacle, ObstacleCause, Rejection, Rule, ServerAcl};
use matrix_knock::event::{Event as _, EventType, Malformed, Membership, OwnedPdu};
use matrix_knock::id::{ServerName, UserId};
use serde_json::{Value, json};

use super::ExplainError;
use super::room::{Able, Room, Way};
use super::text::{Look, Style, named, shown};

/// Writes the explanation: at most a few dozen lines, however large the room is.
pub(super) fn write(
    room: &Room<'_>,
    user: UserId<'_>,
    server: Option<ServerName<'_>>,
    style: Style,
) -> Result<String, ExplainError> {
    let (knock, join) = (room.obstacles(Way::Knock, user)?, room.obstacles(Way::Join, user)?);
    let mut report = Report { room, user, style, out: String::new() };
    report.title();
    report.what_the_state_says(&knock);
    report.way(Way::Knock, &knock, server);
    report.way(Way::Join, &join, server);
    report.who_could_let_them_in();
    report.under_each_join_rule()?;
    report.servers();
    Ok(report.out)
}

struct Report<'r, 'a> {
    room: &'r Room<'a>,
    user: UserId<'r>,
    style: Style,
    out: String,
}

impl Report<'_, '_> {
    fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn heading(&mut self, text: &str) {
        let heading = self.style.paint(Look::Heading, text);
        self.line(&format!("\n{heading}"));
    }

    fn title(&mut self) {
        let room_id = self.room.room_id.as_deref().map_or("a room without an ID".to_owned(), shown);
        let title = format!("{} and {room_id}, room version {}", shown(self.user.as_str()), self.room.version);
        let title = self.style.paint(Look::Heading, &title);
        self.line(&title);
        if let Some(version) = &self.room.version_of_create {
            self.line(&format!("  (the `m.room.create` event says version {})", shown(version)));
        }
    }

    /// An event of the state: its ID, its type, its sender.
    fn source(&self, event_type: EventType<'_>, state_key: &str) -> String {
        let name = match state_key {
            "" => event_type.to_string(),
            key => format!("{event_type} of {}", shown(key)),
        };
        let source = match self.room.event(event_type, state_key) {
            None => format!("the state has no {name}"),
            Some(event) => {
                let event_id = self.room.event_id(event).map_or("(no event ID)".to_owned(), |id| shown(&id));
                format!("{event_id}, {name}, sent by {}", shown(event.sender()))
            }
        };
        self.style.paint(Look::Source, &source)
    }

    fn fact(&mut self, label: &str, value: &str, event_type: EventType<'_>, state_key: &str) {
        let source = self.source(event_type, state_key);
        self.line(&format!("  {label:<11} {value}"));
        self.line(&format!("  {:<11} {source}", ""));
    }

    fn what_the_state_says(&mut self, knock: &[Obstacle<'_>]) {
        let is_malformed = |what| knock.iter().filter_map(Obstacle::rejection).any(|it| it.malformed() == Some(what));
        self.heading("What the state says");

        let key = self.user.as_str();
        let content = self.room.content(EventType::Member, key);
        let membership = match (self.room.event(EventType::Member, key), self.room.membership(self.user)) {
            (None, _) => "none".to_owned(),
            (Some(_), Some(membership)) => membership.to_string(),
            (Some(_), None) if is_malformed(Malformed::Member) => "malformed".to_owned(),
            (Some(_), None) => format!("{}: counts as none", quoted(&content, "membership")),
        };
        let reason = content.get("reason").and_then(Value::as_str);
        let reason = reason.map_or(String::new(), |reason| format!(", for this reason: {}", shown(reason)));
        self.fact("membership", &format!("{membership}{reason}"), EventType::Member, key);

        let join_rule = match self.join_rule() {
            _ if is_malformed(Malformed::JoinRules) => "malformed: nobody may knock or join".to_owned(),
            None => "invite, since the state names none".to_owned(),
            Some(join_rule) => format!("{}{}", shown(&join_rule), self.conditions(&join_rule)),
        };
        self.fact("join rule", &join_rule, EventType::JoinRules, "");

        let create = self.room.content(EventType::Create, "");
        let federation = match (self.room.event(EventType::Create, ""), create.get("m.federate")) {
            (None, _) => "nothing is allowed in a room without a create event".to_owned(),
            (Some(_), _) if is_malformed(Malformed::Create) => {
                "malformed: users of its creator's server alone".to_owned()
            }
            (Some(create), Some(Value::Bool(false))) => {
                let server = create.sender().split_once(':').map_or("its creator's server", |(_, server)| server);
                format!("users of {} alone (`m.federate` is false)", shown(server))
            }
            (Some(_), _) => "users of all servers".to_owned(),
        };
        self.fact("federation", &federation, EventType::Create, "");

        let server = self.user.server_name();
        let acl = self.room.event(EventType::ServerAcl, "");
        let acl = acl.map(|acl| ServerAcl::read(acl.content())).map(|acl| (acl.denials(server), acl));
        let acl = match acl {
            None => "none: every server may take part".to_owned(),
            Some((denials, acl)) if denials.is_empty() => {
                let entry = acl.allow_entry(server).unwrap_or_default();
                format!("allows {server} by the entry `{}` of `allow`", shown(&entry))
            }
            Some((denials, _)) => {
                format!("denies {server}: {}", named(denials.iter().map(ToString::to_string)))
            }
        };
        self.fact("server ACL", &acl, EventType::ServerAcl, "");
    }

    /// The join rule that the state names.
    fn join_rule(&self) -> Option<String> {
        self.room.content(EventType::JoinRules, "").get("join_rule")?.as_str().map(str::to_owned)
    }

    /// The rooms that a `restricted` or `knock_restricted` join rule names.
    fn conditions(&self, join_rule: &str) -> String {
        if !matches!(join_rule, "restricted" | "knock_restricted") {
            return String::new();
        }
        let content = self.room.content(EventType::JoinRules, "");
        let allow = content.get("allow").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let is_membership = |condition: &&Value| condition.get("type") == Some(&json!("m.room_membership"));
        let rooms = allow.iter().filter(is_membership).filter_map(|condition| condition.get("room_id")?.as_str());
        let rooms: Vec<&str> = rooms.collect();
        match rooms.is_empty() {
            true => ", without a condition that anybody could meet".to_owned(),
            false => format!(", for users who are joined to {}", named(rooms.into_iter())),
        }
    }

    fn way(&mut self, way: Way, obstacles: &[Obstacle<'_>], server: Option<ServerName<'_>>) {
        let asks = match way {
            Way::Knock => "May they knock?",
            Way::Join => "May they join?",
        };
        let mut reasons: Vec<(String, Option<String>)> = Vec::new();
        if let Some(server) = server.filter(|server| !self.room.servers().contains_key(server)) {
            reasons.push((format!("{server} has no joined user in the room: it does not answer for the room"), None));
        }
        for obstacle in obstacles {
            let source = self.source(obstacle.event_type(), obstacle.state_key());
            reasons.push((reason(obstacle, way), Some(source)));
        }
        let verdict = match (reasons.len(), way) {
            (0, Way::Knock) if self.room.membership(self.user) == Some(Membership::Knock) => {
                self.style.paint(Look::Yes, "yes, again: they knock already")
            }
            (0, Way::Join) if self.room.membership(self.user) == Some(Membership::Join) => {
                self.style.paint(Look::Yes, "they are in the room")
            }
            (0, Way::Join) if self.room.membership(self.user) == Some(Membership::Invite) => {
                self.style.paint(Look::Yes, "yes: they are invited")
            }
            (0, _) => self.style.paint(Look::Yes, "yes"),
            (1, _) => self.style.paint(Look::No, "no, one thing is in the way"),
            (count, _) => self.style.paint(Look::No, &format!("no, {count} things are in the way")),
        };
        let asks = self.style.paint(Look::Heading, asks);
        self.line(&format!("\n{asks} {verdict}"));
        for (number, (reason, source)) in (1..).zip(reasons) {
            self.line(&format!("  {number}. {reason}"));
            if let Some(source) = source {
                self.line(&format!("     {source}"));
            }
        }
        if way == Way::Join && obstacles.iter().any(is_for_want_of_a_word) {
            let users = self.room.who_may_authorize(self.user);
            let line = match users.is_empty() {
                true => "nobody could vouch for them as things stand".to_owned(),
                false => format!("who could vouch for them, if they meet a condition: {}", named(users.into_iter())),
            };
            self.line(&format!("  {line}"));
        }
    }

    fn who_could_let_them_in(&mut self) {
        use Membership::{Ban, Invite, Join, Knock, Leave};
        self.heading("Who could let them in, or keep them out");
        let is = self.room.membership(self.user);
        let invite = self.room.who_may(Invite, self.user);
        self.able(if is == Some(Knock) { "accept the knock (invite)" } else { "invite" }, &invite);
        let leave = match is {
            Some(Knock) => Some("decline the knock (kick)"),
            Some(Invite) => Some("take the invite back (kick)"),
            Some(Join) => Some("kick"),
            Some(Ban) => Some("lift the ban"),
            Some(Leave) | None => None,
        };
        if let Some(label) = leave {
            self.able(label, &self.room.who_may(Leave, self.user));
        }
        match is {
            Some(Ban) => {
                let then = self.room.who_may_without_membership(Invite, self.user);
                self.able("then invite", &then);
            }
            _ => self.able("ban", &self.room.who_may(Ban, self.user)),
        }
        let source = self.source(EventType::PowerLevels, "");
        self.line(&format!("  {source}"));
    }

    fn able(&mut self, label: &str, able: &Able<'_>) {
        let others = self.room.joined().filter(|user| self.user != **user).count();
        let who = match (able.users.len(), able.refusal) {
            (0, None) => "nobody: no other user is joined".to_owned(),
            (0, Some(refusal)) => format!("nobody: {}", in_words(refusal)),
            (count, _) if count > 1 && count == others => {
                format!("everybody who is joined: {}", named(able.users.iter()))
            }
            _ => named(able.users.iter()),
        };
        self.line(&format!("  {label:<27} {who}"));
    }

    fn under_each_join_rule(&mut self) -> Result<(), ExplainError> {
        const RULES: [&str; 5] = ["public", "invite", "knock", "restricted", "knock_restricted"];
        self.heading("Under each join rule, with all else as it is");
        self.line(&format!("  {:<18} {:<35} {}", "", "knock", "join"));
        let current = self.join_rule();
        let mut vouched = false;
        for rule in RULES {
            let event = json!({
                "type": "m.room.join_rules", "state_key": "", "sender": "", "content": { "join_rule": rule },
            });
            let event = OwnedPdu::parse_stored(event.to_string())?;
            let knock = self.room.obstacles_under(&event, Way::Knock, self.user)?;
            let join = self.room.obstacles_under(&event, Way::Join, self.user)?;
            let lacks_a_word = !join.is_empty() && join.iter().all(is_for_want_of_a_word);
            let is_vouched = lacks_a_word && self.room.somebody_may_authorize_under(&event, self.user);
            vouched |= is_vouched;
            let join = if is_vouched { (Look::Yes, "if a member vouches".to_owned()) } else { cell(&join) };
            let knock = cell(&knock);
            let marker = if current.as_deref() == Some(rule) { "*" } else { "" };
            let padding = " ".repeat(35_usize.saturating_sub(knock.1.chars().count()));
            let (knock, join) = (self.style.paint(knock.0, &knock.1), self.style.paint(join.0, &join.1));
            self.line(&format!("  {:<18} {knock}{padding} {join}", format!("{rule}{marker}")));
        }
        self.line(&format!("  The numbers are those of the refusing rules in room version {}.", self.room.version));
        if current.as_deref().is_some_and(|current| RULES.contains(&current)) {
            self.line("  * The join rule as it is.");
        }
        if vouched {
            self.line("  A server with a member who may invite vouches for users who meet a condition in `allow`.");
        }
        Ok(())
    }

    fn servers(&mut self) {
        self.heading("Which servers can answer a knock");
        let servers = self.room.servers();
        let own = self.user.server_name();
        if servers.contains_key(&own) {
            self.line(&format!("  their own: {own} has users in the room"));
        }
        let others = servers.iter().filter(|(server, _)| **server != own);
        let others: Vec<String> = others.map(|(server, users)| format!("{server} ({users} joined)")).collect();
        match (others.is_empty(), servers.is_empty()) {
            (_, true) => self.line("  none: nobody is joined"),
            (true, false) => {}
            (false, false) => self.line(&format!("  {}", named(others.into_iter()))),
        }
        if self.room.event(EventType::Policy, "").is_some() {
            self.line("  The room names a policy server, which may refuse as well.");
        }
        self.line("  What a server forbids on its own (rate limits, suspended users) is not in the state.");
    }
}

/// Whether nothing is missing but a member's word.
fn is_for_want_of_a_word(obstacle: &Obstacle<'_>) -> bool {
    obstacle.rejection().is_some_and(|rejection| rejection.rule() == Rule::JoinNotAuthorized)
}

/// An obstacle in words, with the number of its rule.
fn reason(obstacle: &Obstacle<'_>, way: Way) -> String {
    match obstacle.cause() {
        ObstacleCause::ServerAcl(denial) => format!("server ACL: {}", shown(&denial.to_string())),
        ObstacleCause::Rule(rejection) if way == Way::Knock && rejection.rule() == Rule::UnknownMembership => {
            format!("room version {} has no knocking (rule {})", rejection.version(), rejection.number())
        }
        ObstacleCause::Rule(rejection) => in_words(*rejection),
    }
}

fn in_words(rejection: Rejection) -> String {
    match rejection.number() {
        "" => rejection.reason(),
        number => format!("{} (rule {number})", rejection.reason()),
    }
}

/// Obstacles in short: the numbers of the rules.
fn cell(obstacles: &[Obstacle<'_>]) -> (Look, String) {
    if obstacles.is_empty() {
        return (Look::Yes, "yes".to_owned());
    }
    let mut out = "no".to_owned();
    for obstacle in obstacles {
        let short = match obstacle.cause() {
            ObstacleCause::ServerAcl(_) if out.contains("server ACL") => continue,
            ObstacleCause::ServerAcl(_) => "server ACL",
            // The version has no knocking, which has a number.
            ObstacleCause::Rule(rejection) if rejection.number().is_empty() => continue,
            ObstacleCause::Rule(rejection) => rejection.number(),
        };
        out.push_str(if out == "no" { ": " } else { ", " });
        out.push_str(short);
    }
    (Look::No, out)
}

/// A property as it stands in a content.
fn quoted(content: &Value, name: &str) -> String {
    content.get(name).map_or("none".to_owned(), |value| shown(&value.to_string()))
}
