//! Which action a client's `/invite`, `/kick`, `/ban` or `/unban` is: each endpoint with each
//! membership.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#room-membership>

use matrix_knock::error::Errcode;
use matrix_knock::event::Membership;
use matrix_knock::resident::Refusal;
use matrix_knock::resident::answer::{Action, ClientAction};

/// A cell of the table below.
const fn cell(action: Option<Action>) -> Result<Option<Action>, Refusal> {
    Ok(action)
}

const NOT_THERE: Result<Option<Action>, Refusal> = Err(Refusal::NothingToAnswer { expected: Membership::Join });

#[test]
fn each_endpoint_with_each_membership() {
    use Membership::{Ban, Invite, Join, Knock, Leave};
    let memberships = [None, Some(Leave), Some(Knock), Some(Invite), Some(Join), Some(Ban)];
    let invite = cell(Some(Action::Invite));
    let unban = cell(Some(Action::Unban));
    let by_host = cell(None);
    let [accept, decline, ban, revoke] =
        [Action::Accept, Action::Decline, Action::Ban, Action::Revoke].map(|action| cell(Some(action)));
    let table = [
        (ClientAction::Invite, [&invite, &invite, &accept, &invite, &invite, &invite]),
        (ClientAction::Kick, [&NOT_THERE, &NOT_THERE, &decline, &revoke, &by_host, &NOT_THERE]),
        (ClientAction::Ban, [&by_host, &by_host, &ban, &by_host, &by_host, &by_host]),
        (ClientAction::Unban, [&unban, &unban, &unban, &unban, &unban, &unban]),
    ];
    assert_eq!(table.map(|(endpoint, _)| endpoint), ClientAction::ALL);
    for (endpoint, row) in table {
        for (membership, expected) in memberships.into_iter().zip(row) {
            let action = endpoint.action(membership);
            assert_eq!(&action, expected, "{endpoint:?} {membership:?}");
            // What the action makes of the membership is what was asked for.
            if let Ok(Some(action)) = action {
                assert_eq!(action.membership(), endpoint.membership());
            }
        }
    }
}

#[test]
fn by_the_segment_of_the_path() {
    for action in ClientAction::ALL {
        assert_eq!(ClientAction::of_segment(action.as_str()), Some(action));
    }
    assert_eq!(ClientAction::ALL.map(ClientAction::as_str), ["invite", "kick", "ban", "unban"]);
    for other in ["", "Invite", "knock", "join", "leave", "invite/", " kick"] {
        assert_eq!(ClientAction::of_segment(other), None, "{other}");
    }
}

#[test]
fn a_kick_of_somebody_who_is_not_there() {
    let response = Refusal::NothingToAnswer { expected: Membership::Join }.to_response();
    assert_eq!((response.status(), response.errcode()), (403, &Errcode::Forbidden));
    assert_eq!(response.error(), "The user is not in the room");
}
