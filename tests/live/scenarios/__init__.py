"""All the scenarios, and in which room versions and with which join rules each is played."""

from scenarios import complement, complement_more, four_keys, hostile, ours, policy, restarts, theirs, three


def everywhere(_version, _rule):
    return True


def once(version, rule):
    """For what does not depend on the room version."""
    return (version, rule) == ("12", "knock")


def since_8(version, _rule):
    return int(version) >= 8


SINCE_8 = [complement_more.complement_restricted, complement_more.complement_restricted_failover]
ONLY_12 = [complement_more.complement_concurrent_join_rules]


def _of(module, prefix):
    return [f for name, f in vars(module).items() if name.startswith(prefix) and callable(f)]


# The one that takes longest comes first.
SCENARIOS = (
    [(hostile.hostile_silence, once), (hostile.hostile_keys, once)]
    + [
        (scenario, everywhere)
        for scenario in (
            *_of(ours, "ours_"),
            *_of(theirs, "theirs_"),
            *_of(complement, "complement_"),
            *(s for s in _of(complement_more, "complement_") if s not in SINCE_8 + ONLY_12),
            policy.policy_ours,
            policy.policy_theirs,
            four_keys.four_keys_knock,
            four_keys.four_keys_invite,
            three.three_ours,
            three.three_theirs,
            hostile.hostile_template,
            hostile.hostile_state,
            hostile.hostile_invite,
        )
    ]
    + [(scenario, since_8) for scenario in SINCE_8]
    + [(scenario, once) for scenario in ONLY_12]
)
# These stop and start servers, one after the other when all else is done; see `live.play_staged`.
STAGED = [(scenario, everywhere) for scenario in (*_of(restarts, "killed_"), restarts.synapse_down)]
