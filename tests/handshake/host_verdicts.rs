//! The host's own authorization in place of ours, and what changes in the room while others are asked.

use matrix_knock::auth::{AuthStatus, Rule};
use matrix_knock::error::ErrorResponse;
use matrix_knock::event::{Event, Membership, Pdu};
use matrix_knock::policy::{PolicyRefusal, PolicyVerdict};
use matrix_knock::resident::submission::{AuthEventRef, AuthorizedEvent, HostVerdict, SignatureChecked};
use matrix_knock::resident::{AuthStage, Decision, HostError, Knock, Leave, Refusal, RequestKind};
use matrix_knock::state::StateMap;
use serde_json::json;

use super::asking::FORBIDDEN;
use super::breaks::Said;
use super::federation::{KAY, rooms};
use super::submission::{Stored, Submission, pdus, put, signed_by_policy_server, texts};

const STAGES: [(AuthStage, &str); 4] = [
    (AuthStage::Itself, "by itself: refused by the host's own authorization"),
    (AuthStage::AuthEvents, "by its auth events: refused by the host's own authorization"),
    (AuthStage::StateBefore, "by the state before it: refused by the host's own authorization"),
    (AuthStage::CurrentState, "by the current state: refused by the host's own authorization"),
];

/// Every verdict, with the stage that the refusal names and its message.
fn verdicts() -> Vec<(HostVerdict, Option<(AuthStage, &'static str)>)> {
    let rejected = STAGES.map(|(stage, message)| (HostVerdict::Rejected(stage), Some((stage, message))));
    [(HostVerdict::Allowed, None), (HostVerdict::SoftFailed, Some(STAGES[3]))].into_iter().chain(rejected).collect()
}

fn is_refused_by_host<T: std::fmt::Debug>(result: Result<T, Refusal>, (stage, message): (AuthStage, &str)) {
    let refusal = result.expect_err("the host refuses it");
    assert_eq!((&refusal, refusal.to_string().as_str()), (&Refusal::RejectedByHost { stage }, message));
    let response = refusal.to_response();
    assert_eq!((response.status(), response.to_string().as_str(), response.retry_after()), {
        (FORBIDDEN.0, FORBIDDEN.1, None)
    });
    assert!(!refusal.is_host_error());
}

/// By our own rules.
fn authorized<'q, K: RequestKind>(
    submission: &Submission,
    verified: &SignatureChecked<'q, K>,
    before: &StateMap<Pdu<'_>>,
    current: &StateMap<Pdu<'_>>,
) -> Result<AuthorizedEvent<'q, K>, Refusal> {
    let events: Vec<Stored> = submission.auth_events.iter().map(|(event, _)| event.clone()).collect();
    let events = texts(&events);
    let found = pdus(&events).into_iter().map(|event| AuthEventRef { event, status: AuthStatus::Accepted });
    let auth_events = verified.match_auth_events(found)?;
    verified.clone().authorize(&auth_events, before, current)
}

fn instead_of_our_rules<K: RequestKind>() {
    for (version, join_rule) in rooms() {
        let good = Submission::new(K::MEMBERSHIP, version, join_rule);
        good.verified::<K, _>(|verified, before, current| {
            for (verdict, refused) in verdicts() {
                let found = verified.clone().authorize_by_host(verdict);
                match refused {
                    Some(refused) => is_refused_by_host(found, refused),
                    // The same event as by our rules.
                    None => assert_eq!(found, authorized(&good, verified, before, current)),
                }
            }
        });
        // What the host vouches for is not looked at again, whatever our rules say.
        let mut broken = good.clone();
        broken.auth_events.clear();
        put(broken.other("m.room.member", KAY, json!({ "membership": "ban" })), &mut broken.state);
        broken.event["prev_events"] = json!([]);
        broken.verified::<K, _>(|verified, before, current| {
            assert_eq!(authorized(&broken, verified, before, current), Err(Refusal::NoPrevEvents));
            let allowed = verified.clone().authorize_by_host(HostVerdict::Allowed).expect("the host allows it");
            assert_eq!(allowed.event().event_id(), Some(verified.event_id()));
            let by_state = allowed.clone().accept(current, PolicyVerdict::NotNamed, Decision::Admit);
            let rule = if K::MEMBERSHIP == Membership::Leave { Rule::LeaveFromNothing } else { Rule::KnockMembership };
            let refusal = by_state.expect_err("the current state refuses it");
            assert!(Said::Rule(AuthStage::CurrentState, rule).is(&refusal, version), "{refusal:?}");
            let accepted =
                allowed.accept_by_host(HostVerdict::Allowed, current, PolicyVerdict::NotNamed, Decision::Admit);
            let accepted = accepted.expect("the host allows it");
            assert_eq!(accepted.pdu().event_id(), verified.event_id());
        });
    }
}

#[test]
fn the_host_decides_by_itself() {
    instead_of_our_rules::<Knock>();
    instead_of_our_rules::<Leave>();
}

/// Verdict, policy server, the host's decision: the first that is against it names the refusal.
fn all_together<K: RequestKind>() {
    let refused_by_policy = || PolicyRefusal::Refused(Box::new(ErrorResponse::internal("Oh")));
    let limited =
        |retry_after_ms| (Decision::RateLimited { retry_after_ms }, Some(Refusal::RateLimited { retry_after_ms }));
    let decisions = [
        (Decision::Admit, None),
        limited(None),
        limited(Some(1)),
        (Decision::Forbidden, Some(Refusal::Forbidden)),
        (Decision::Suspended, Some(Refusal::Suspended)),
    ];
    for (version, join_rule) in rooms() {
        // No outsider is shown which policy server it is.
        let answer = Submission::new(K::MEMBERSHIP, version, join_rule).answer();
        let good = Submission::new(K::MEMBERSHIP, version, join_rule).with_policy_server();
        let text = |event: &&Pdu<'_>| event.to_federation(version).ok();
        good.verified::<K, _>(|verified, before, current| {
            let allowed = authorized(&good, verified, before, current).expect("an event that is allowed");
            let policies = [
                (PolicyVerdict::NotNamed, Some(Refusal::Host(HostError::PolicyServer))),
                (signed_by_policy_server(allowed.formatted(), current), None),
                (PolicyVerdict::Refused(refused_by_policy()), Some(Refusal::Policy(refused_by_policy()))),
            ];
            for (verdict, refused) in verdicts() {
                for (policy, stopped) in &policies {
                    for (decision, decided) in &decisions {
                        let found = allowed.clone().accept_by_host(verdict, current, policy.clone(), decision.clone());
                        if let Some(refused) = refused {
                            is_refused_by_host(found, refused);
                            continue;
                        }
                        // By our rules it is the same, and so is the answer.
                        assert_eq!(found, allowed.clone().accept(current, policy.clone(), decision.clone()));
                        assert_eq!(found.as_ref().err(), stopped.as_ref().or(decided.as_ref()));
                        let Ok(accepted) = found else { continue };
                        assert_eq!(accepted.event().event_id(), Some(verified.event_id()));
                        assert_eq!(accepted.to_response(current, text), answer);
                    }
                }
            }
        });
    }
}

#[test]
fn every_verdict_and_decision() {
    all_together::<Knock>();
    all_together::<Leave>();
}

/// While the policy server is asked, the room changes: what it forbids by then is not accepted.
fn changed_meanwhile<K: RequestKind>() {
    for (version, join_rule) in rooms() {
        let good = Submission::new(K::MEMBERSHIP, version, join_rule).with_policy_server();
        let is_leave = K::MEMBERSHIP == Membership::Leave;
        let member = |membership: &str| good.other("m.room.member", KAY, json!({ "membership": membership }));
        let nothing = Rule::LeaveFromNothing;
        let changes = match is_leave {
            true => vec![(member("leave"), nothing), (member("ban"), nothing)],
            false => vec![
                (member("invite"), Rule::KnockMembership),
                (member("join"), Rule::KnockMembership),
                (member("ban"), Rule::KnockMembership),
                (good.other("m.room.join_rules", "", json!({ "join_rule": "invite" })), Rule::KnockJoinRule),
            ],
        };
        good.verified::<K, _>(|verified, before, current| {
            let allowed = authorized(&good, verified, before, current).expect("an event that is allowed");
            for (event, rule) in changes {
                let mut later = good.state.clone();
                put(event, &mut later);
                let later = texts(&later);
                let later: StateMap<Pdu<'_>> = pdus(&later).into_iter().collect();
                // Before the policy server and the host are heard.
                for (policy, decision) in [
                    (signed_by_policy_server(allowed.formatted(), current), Decision::Admit),
                    (PolicyVerdict::Refused(PolicyRefusal::NoAnswer), Decision::Admit),
                    (PolicyVerdict::NotNamed, Decision::Forbidden),
                ] {
                    let refusal = allowed.clone().accept(&later, policy, decision).expect_err("the room forbids it");
                    assert!(Said::Rule(AuthStage::CurrentState, rule).is(&refusal, version), "{refusal:?}");
                    let response = refusal.to_response();
                    assert_eq!((response.status(), response.to_string().as_str()), FORBIDDEN);
                }
            }
        });
    }
}

#[test]
fn the_room_changes_meanwhile() {
    changed_meanwhile::<Knock>();
    changed_meanwhile::<Leave>();
}
