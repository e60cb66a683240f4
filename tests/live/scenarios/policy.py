"""Rooms with a policy server: a stub that signs, refuses, signs wrongly, or does not answer."""

import copy
import json

from actors import HS1, HS2, HS3, STUB, Hand, q
from proxy import Lost
from signedjson.key import encode_verify_key_base64, get_verify_key
from synapse.api.room_versions import KNOWN_ROOM_VERSIONS
from synapse.crypto.event_signing import compute_event_signature

KEY_ID = "ed25519:policy_server"


class Policy:
    """What the stub, as a policy server, says of the events of a room."""

    def __init__(self, t, room):
        self.t, self.stub, self.room = t, t.world.stub, room
        self.stub.policy[room] = self.sign

    def signature(self, event, key=None):
        version, unsigned = KNOWN_ROOM_VERSIONS[self.t.version], copy.deepcopy(event) | {"signatures": {}}
        return compute_event_signature(version, unsigned, STUB, key or self.stub.policy_key)[STUB][KEY_ID]

    def sign(self, event):
        return 200, {STUB: {KEY_ID: self.signature(event)}}

    def refuse(self, _event):
        return 400, {"errcode": "M_FORBIDDEN", "error": "This looks like spam"}

    def sign_another(self, event):
        return 200, {STUB: {KEY_ID: self.signature(event | {"origin_server_ts": 5})}}

    def sign_by_another_key(self, event):
        class Key:
            alg, version = "ed25519", "policy_server"
            sign = self.t.world.keys[STUB].sign

        return 200, {STUB: {KEY_ID: self.signature(event, Key())}}

    def nonsense(self, _event):
        return 200, b"[" * 100_000

    def huge(self, _event):
        return 200, b'{"x":"' + b"x" * 5_000_000 + b'"}'

    def lost(self, _event):
        raise Lost

    def nothing(self, _event):
        return 200, {}

    def asked(self):
        """How often it was asked about an event of the room."""
        return len(self.stub.got.get(("policy", self.room), []))

    def says(self, answer):
        self.stub.policy[self.room] = answer


def with_policy(t, owner, to):
    """A room of `owner`, in which the stub has a user and is named as the policy server. Returns it and the policy."""
    room = owner.create(t.version, "public")
    t.join_by_hand(room, f"@police{t.unique()}:{STUB}", STUB, to)
    policy = Policy(t, room)
    key = encode_verify_key_base64(get_verify_key(t.world.stub.policy_key))
    status, answer = owner.set_state(room, "m.room.policy", {"via": STUB, "public_keys": {"ed25519": key}})
    assert status == 200, (status, answer)
    t.equal("it is not asked about the state event that names it", policy.asked(), 0)
    content = {"join_rule": t.rule} | ({"allow": []} if t.rule != "knock" else {})
    t.status(
        "it is asked about the next one, and signs", owner.set_state(room, "m.room.join_rules", content), 200
    )
    t.check("it was asked", policy.asked() > 0)
    return room, policy


def policy_ours(t):
    """Our room has a policy server: every way to knock and to answer is shown to it, and nothing gets past it."""
    host, kay = t.user(HS3, "host"), t.user(HS1, "kay")
    room, policy = with_policy(t, host, HS3)
    silent = [
        policy.refuse,
        policy.sign_another,
        policy.sign_by_another_key,
        policy.nonsense,
        policy.huge,
        policy.lost,
    ]
    for answer in [*silent, policy.nothing]:
        policy.says(answer)
        what = answer.__name__
        hand = Hand(t, "hand")
        event, event_id = t.build(hand.template(room))
        got = t.send("knock", room, event, event_id)
        if answer == policy.refuse:
            t.equal(f"{what}: send_knock, verbatim", got, policy.refuse(None))
        else:
            t.status(f"{what}: send_knock", got, 403, "M_FORBIDDEN")
        t.equal(f"{what}: the room has no knock", host.member(room, hand), None)
        local = t.user(HS3, "local")
        got = local.knock(room, "x")
        if answer == policy.refuse:
            t.equal(f"{what}: a local knock, verbatim", got, policy.refuse(None))
        else:
            t.status(f"{what}: a local knock", got, 403, "M_FORBIDDEN")
        t.equal(f"{what}: nor that one", host.member(room, local), None)
    policy.says(policy.refuse)
    t.check("a user of Synapse is refused", kay.knock(room, "x", [HS3])[0] >= 400)
    policy.says(policy.sign)
    t.status("a user of Synapse is let knock", kay.knock(room, "x", [HS3]), 200)
    t.check("our room has the knock", host.member(room, kay, "knock"))
    event_id = t.events_sent("send_knock", room, kay, HS3)[-1]
    _, answer = t.fed("GET", f"/_matrix/federation/v1/event/{q(event_id)}", origin=STUB)
    signatures = answer["pdus"][0]["signatures"]
    t.equal("with both signatures", sorted(signatures), sorted([HS1, STUB]))
    for answer in silent:
        policy.says(answer)
        what = answer.__name__
        for action in ("invite", "kick", "ban"):
            got = host.act(action, room, {"user_id": kay.id})
            if answer == policy.refuse:
                t.equal(f"{what}: {action}, verbatim", got, policy.refuse(None))
            else:
                t.status(f"{what}: {action}", got, 403, "M_FORBIDDEN")
        t.check(f"{what}: still a knock", host.member(room, kay, "knock"))
    policy.says(policy.sign)
    t.status("accept", host.invite(room, kay), 200)
    t.check("Synapse shows the invite", kay.wait(room, "invite"))
    sent = [path for path in t.world.network.sent(HS1, f"/invite/{room}/")]
    invite = json.loads(t.world.network.bodies[sent[-1].rsplit("/", 1)[1]])["event"]
    t.equal("the invite had both signatures", sorted(invite["signatures"]), sorted([HS3, STUB]))
    t.status("join", kay.join(room, HS3), 200)
    t.check("our room has the join", host.member(room, kay, "join"))


def policy_theirs(t):
    """A room of Synapse has a policy server: what that says to our user's knock comes to our user."""
    alice, our = t.user(HS1, "alice"), t.user(HS3, "our")
    room, policy = with_policy(t, alice, HS1)
    policy.says(policy.refuse)
    # Synapse takes such an event and soft-fails it: send_knock is answered as if nothing were.
    status, _ = our.knock(room, "x", [HS1])
    t.info("the status of a knock on a room of Synapse whose policy server refuses it", status)
    t.equal("their room has no knock", alice.member(room, our), None)
    policy.says(policy.sign)
    t.status("let through", our.knock(room, "y", [HS1]), 200)
    t.check("their room has the knock", alice.member(room, our, "knock", reason="y"))
    t.status("accept", alice.invite(room, our), 200)
    t.check("our user is invited", our.wait(room, "invite"))
    t.status("join", our.join(room, HS1), 200)
    t.check("their room has the join", alice.member(room, our, "join"))
    # Now this server is in the room: what comes in a transaction is shown to the policy server too, if it has no
    # signature of it yet.
    lee = t.user(HS2, "lee")
    t.status("a knock on the room that we are in", lee.knock(room, "z", [HS1]), 200)
    t.check("comes to us", our.member(room, lee, "knock"))
