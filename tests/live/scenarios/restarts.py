"""Our host is killed in the middle of each handshake, or ended; a Synapse is down for a while. What was begun goes on.

These are generators: each yields what is to be done to the servers, which `live.play_staged` does once for all columns.
"""

import time

from actors import HS1, HS3, HS5, until


def kill(world):
    """Kills the second host (SIGKILL) and starts it again."""
    host = world.servers[HS5]
    host.kill()
    host.start()
    host.wait()


def terminate(world):
    """Ends the second host (SIGTERM) and starts it again."""
    host = world.servers[HS5]
    if not host.stop(15):
        raise RuntimeError("the host did not end in time with status 0")
    host.start()
    host.wait()


def stop_synapse(world):
    world.servers[HS1].stop()


def start_synapse(world):
    world.servers[HS1].start()
    world.servers[HS1].wait()


# When the request is held at the other server's door, and how the host ends then.
KILLS = [("before", kill), ("after", kill), ("after", terminate)]


def _is_once(t, room, who, endpoint, what):
    t.equal(f"{what}: one event was sent, however often", len(t.events_sent(endpoint, room, who, HS1)), 1)


def _interrupted(t, what, server, part, when, end, function, *arguments):
    """Calls this, and ends the host while the request with this part is on its way: it is lost."""
    with t.hold(server, part, when) as hold:
        finished = t.background(function, *arguments)
        t.check(f"{what}: is under way", hold.reached.wait(20))
        yield end
        hold.release(lost=True)
        finished()


def killed_knocking(t):
    """The host ends while its user's knock is under way: before and after each request has got to the other server."""
    alice = t.user(HS1, "alice")
    room = alice.create(t.version, t.rule)
    keys = t.world.servers[HS5].key_document()
    for endpoint in ("make_knock", "send_knock"):
        for when, end in KILLS:
            what = f"{endpoint}, {end.__name__} {when}"
            our = t.user(HS5, "our")
            yield from _interrupted(
                t, what, HS1, f"/{endpoint}/{room}/", when, end, our.knock, room, "Hello", [HS1]
            )
            t.check(f"{what}: our user knocks", our.wait(room, "knock", timeout=40))
            t.check(f"{what}: their room has the knock", alice.member(room, our, "knock", reason="Hello"))
            _is_once(t, room, our, "send_knock", what)
    t.equal("the keys are the same", t.world.servers[HS5].key_document(), keys)


def killed_retracting(t):
    """The host ends while a knock is taken back."""
    alice = t.user(HS1, "alice")
    room = alice.create(t.version, t.rule)
    for endpoint in ("make_leave", "send_leave"):
        for when, end in KILLS:
            what = f"{endpoint}, {end.__name__} {when}"
            our = t.user(HS5, "our")
            t.status(f"{what}: knock", our.knock(room, "Hello", [HS1]), 200)
            yield from _interrupted(t, what, HS1, f"/{endpoint}/{room}/", when, end, our.leave, room, "oh")
            t.check(f"{what}: our user has left", our.wait(room, "leave", timeout=40))
            t.check(f"{what}: their room has the leave", alice.member(room, our, "leave", reason="oh"))
            _is_once(t, room, our, "send_leave", what)


def killed_inviting(t):
    """The host ends while it has an invite signed that answers a knock."""
    owner = t.user(HS5, "owner")
    for when, end in KILLS:
        what = f"{end.__name__} {when}"
        room = owner.create(t.version, t.rule)
        kay = t.user(HS1, "kay")
        t.status(f"{what}: knock", kay.knock(room, "Hello", [HS5]), 200)
        yield from _interrupted(t, what, HS1, f"/invite/{room}/", when, end, owner.invite, room, kay)
        t.check(f"{what}: our room has the invite", owner.member(room, kay, "invite", timeout=40))
        t.check(f"{what}: it is shown", kay.wait(room, "invite"))
        _is_once(t, room, kay, "invite", what)
        t.status(f"{what}: join", kay.join(room, HS5), 200)
        t.check(f"{what}: our room has the join", owner.member(room, kay, "join"))


def killed_answering(t):
    """The host ends while it tells the others of the room that a knock was denied."""
    owner, david = t.user(HS5, "owner"), t.user(HS1, "david")
    room = owner.create(t.version, t.rule)
    owner.invite(room, david)
    t.status("somebody of the other server is in the room", david.join(room, HS5), 200)
    for when, end in KILLS:
        what = f"{end.__name__} {when}"
        kay = t.user(HS1, "kay")
        t.status(f"{what}: knock", kay.knock(room, "Hello", [HS5]), 200)
        # Their server is in the room and makes the knock by itself: it comes to us in a transaction.
        t.check(f"{what}: our room has it", owner.member(room, kay, "knock", timeout=40))
        with t.hold(HS1, room, when) as hold:
            t.status(f"{what}: denied", owner.kick(room, kay, "no"), 200)
            # A server gets one transaction at a time: so one of the columns is held here, and the others wait for it.
            hold.reached.wait(2)
            yield end
            hold.release(lost=True)
        t.check(f"{what}: our room has the denial", owner.member(room, kay, "leave", reason="no"))
        t.check(f"{what}: the other server too", david.member(room, kay, "leave", timeout=40))
        t.equal(f"{what}: nobody waits", owner.pending(room), [])


def killed_receiving(t):
    """The host ends while it answers a knock of another server: what it has answered stands, and can be asked again."""
    owner = t.user(HS5, "owner")
    room = owner.create(t.version, t.rule)
    for when, end in KILLS:
        what = f"{end.__name__} {when}"
        kay = t.user(HS1, "kay")
        yield from _interrupted(
            t, what, HS5, f"/send_knock/{room}/", when, end, kay.knock, room, "Hello", [HS5]
        )
        if when == "after":
            t.check(f"{what}: our room has the knock", owner.member(room, kay, "knock", reason="Hello"))
        else:
            t.equal(f"{what}: our room has no knock", owner.member(room, kay), None)
        t.status(
            f"{what}: knock again",
            until(lambda: (got := kay.knock(room, "Again", [HS5]))[0] == 200 and got) or (0, 0),
            200,
        )
        t.check(f"{what}: our room has that", owner.member(room, kay, "knock", reason="Again"))
        t.equal(
            f"{what}: one waits", [p["reason"] for p in owner.pending(room) if p["user"] == kay.id], ["Again"]
        )


def synapse_down(t):
    """A Synapse is down for a while: knocks, answers and leaves meanwhile, and after that."""
    alice, our, gone, invited = (
        t.user(HS1, "alice"),
        t.user(HS3, "our"),
        t.user(HS3, "gone"),
        t.user(HS3, "invited"),
    )
    theirs = alice.create(t.version, t.rule)
    for user in (gone, invited):
        t.status("our users knock", user.knock(theirs, "Hello", [HS1]), 200)
    host, kay, denied, david = (
        t.user(HS3, "host"),
        t.user(HS1, "kay"),
        t.user(HS1, "denied"),
        t.user(HS1, "david"),
    )
    ours = host.create(t.version, t.rule)
    host.invite(ours, david)
    t.status("one of theirs is in our room", david.join(ours, HS3), 200)
    for user in (kay, denied):
        t.status("their users knock", user.knock(ours, "Hello", [HS3]), 200)
        t.check("which comes to us", host.member(ours, user, "knock"))
    yield stop_synapse

    t.status("a knock on their room", our.knock(theirs, "Hello", [HS1]), 502)
    t.check("is shown nowhere", theirs not in our.rooms()["knock"])
    t.status("a knock is taken back: here it is over", gone.leave(theirs), 200)
    t.check("which is shown", gone.wait(theirs, "leave"))
    began = time.monotonic()
    t.status("an invite cannot be signed", host.invite(ours, kay), 502)
    t.check("which is told in time", time.monotonic() - began < 60)
    t.equal("the knock still stands", host.member(ours, kay)["membership"], "knock")
    t.status("a denial needs nobody", host.kick(ours, denied, "no"), 200)
    t.check("and is in our room", host.member(ours, denied, "leave", reason="no"))
    yield start_synapse

    t.check("the denial gets there", david.member(ours, denied, "leave", timeout=60))
    t.status("the invite is signed now", host.invite(ours, kay), 200)
    t.check("it is shown", kay.wait(ours, "invite"))
    t.check("and in the room as they have it", david.member(ours, kay, "invite", timeout=60))
    t.status("join", kay.join(ours, HS3), 200)
    t.check("and gets to our room", host.member(ours, kay, "join"))
    t.status("a knock on their room", our.knock(theirs, "Hello", [HS1]), 200)
    t.check("is in their room", alice.member(theirs, our, "knock"))
    t.status("one that stood before is accepted", alice.invite(theirs, invited), 200)
    t.check("which our user is shown", invited.wait(theirs, "invite"))
    t.check("as the answer to the knock", invited.is_let_in(theirs, "LinkedByAuthEvents"), invited.log())
    t.status("who had left may knock again", gone.knock(theirs, "Again", [HS1]), 200)
    t.check("which their room has", alice.member(theirs, gone, "knock", reason="Again"))
