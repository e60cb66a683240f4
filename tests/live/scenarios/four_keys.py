"""Older servers send stripped state with four keys an entry, without anything that could be verified."""

import json

from actors import HS1, HS3, events_of, types, until


def cut(name):
    """A change of an answer: the entries of this list have four keys each."""

    def change(status, body):
        if status != 200:
            return status, body
        answer = json.loads(body)
        keys = ("type", "state_key", "sender", "content")
        answer[name] = [{key: entry[key] for key in keys} for entry in answer.get(name, [])]
        return status, json.dumps(answer).encode()

    return change


def four_keys_knock(t):
    """The answer to send_knock has four keys an entry: what cannot be verified is shown as a host lets it be shown."""
    alice, our = t.user(HS1, "alice"), t.user(HS3, "our")
    room = alice.create(t.version, t.rule)
    with t.fault(HS1, f"/send_knock/{room}/", change=cut("knock_room_state")):
        t.status("knock", our.knock(room, "x", [HS1]), 200)
    shown = events_of(our.wait(room, "knock"), "knock_state")
    own = [event for event in shown if event["type"] == "m.room.member" and event["state_key"] == our.id]
    t.equal("the user's own knock is shown", [event["content"]["membership"] for event in own], ["knock"])
    t.info("what is shown of the room", types(shown))
    t.check("nobody else's membership", len([e for e in shown if e["type"] == "m.room.member"]) == 1, shown)
    t.status("accepted", alice.invite(room, our), 200)
    t.check("our user is invited", our.wait(room, "invite"))
    t.check("which is known to answer the knock", our.is_let_in(room, "LinkedByAuthEvents"), our.log())
    t.status("join", our.join(room, HS1), 200)
    t.check("their room has the join", alice.member(room, our, "join"))


def four_keys_invite(t):
    """An invite whose invite_room_state has four keys an entry: before version 12 taken, since then refused."""
    alice, our = t.user(HS1, "alice"), t.user(HS3, "our")
    room = alice.create(t.version, t.rule)
    t.status("knock", our.knock(room, "x", [HS1]), 200)
    t.check("knocks", our.wait(room, "knock"))
    # The request is signed as a whole: so the invite is changed by its sender, here by hand in the name of Synapse.
    held = {}

    def keep(status, body):
        held["answer"] = status, body
        return status, body

    with t.fault(HS3, f"/invite/{room}/", change=keep):
        t.status("invited as a whole", alice.invite(room, our), 200)
    t.check("our user is invited", our.wait(room, "invite"))
    path = t.world.network.sent(HS3, f"/invite/{room}/")[-1]
    body = json.loads(t.world.network.bodies[path.rsplit("/", 1)[1]])
    t.status("declined", our.leave(room), 200)
    t.check("their room has the leave", alice.member(room, our, "leave"))
    t.check("and so do we", until(lambda: room not in our.rooms()["invite"]))
    keys = ("type", "state_key", "sender", "content")
    body["invite_room_state"] = [{key: entry[key] for key in keys} for entry in body["invite_room_state"]]
    uri = path.replace("!", "%21").replace(":", "%3A").replace("$", "%24")
    status, answer = t.fed("PUT", uri, body, origin=HS1)
    if t.version == "12":
        t.status("refused", (status, answer), 400, "M_INVALID_PARAM")
        t.check("no invite is shown", room not in our.rooms()["invite"])
        return
    t.status("taken", (status, answer), 200)
    shown = events_of(our.rooms()["invite"].get(room), "invite_state")
    t.check(
        "the invite is shown", [e["content"].get("membership") for e in shown].count("invite") == 1, shown
    )
    t.info("what is shown with such an invite", types(shown))
