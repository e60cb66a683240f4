"""Two of our hosts and Synapses in one room."""

from actors import HS1, HS2, HS3, HS5, events_of, until


def everybody_sees(t, room, users, who, membership, what):
    for user in users:
        t.check(
            f"{what}: {user.server} has {membership}",
            user.member(room, who, membership),
            user.member(room, who),
        )


def three_ours(t):
    """A room of our first host, with users of our second host and of a Synapse in it; each of them answers knocks."""
    first, second, third = t.user(HS3, "first"), t.user(HS5, "second"), t.user(HS1, "third")
    levels = {"users": {second.id: 60, third.id: 60} | ({} if t.version == "12" else {first.id: 100})}
    room = first.create(t.version, t.rule, power_level_content_override=levels)
    users = [first, second, third]
    for user in (second, third):
        t.status(f"invite {user.server}", first.invite(room, user), 200)
        t.check(f"{user.server} is invited", user.wait(room, "invite"))
        t.status(f"join {user.server}", user.join(room, HS3), 200)
    for user in (second, third):
        everybody_sees(t, room, users, user, "join", f"the join of {user.server}")
    knockers = [t.user(HS2, "far"), t.user(HS3, "near"), t.user(HS5, "other")]
    vias = [HS5, None, None]
    for knocker, via, answerer in zip(knockers, vias, (second, third, first)):
        t.status(f"{knocker.server} knocks", knocker.knock(room, "Hello", [via] if via else ()), 200)
        everybody_sees(t, room, users, knocker, "knock", f"the knock of {knocker.server}")
        for host in (first, second):
            waiting = until(lambda: any(p["user"] == knocker.id for p in host.pending(room)))
            t.check(
                f"the index of {host.server} has the knock of {knocker.server}", waiting, host.pending(room)
            )
        t.status(f"{answerer.server} accepts", answerer.invite(room, knocker), 200)
        everybody_sees(t, room, users, knocker, "invite", f"the invite of {knocker.server}")
        t.check(f"{knocker.server} shows the invite", knocker.wait(room, "invite"))
        t.status(f"{knocker.server} joins", knocker.join(room, answerer.server), 200)
        everybody_sees(t, room, users, knocker, "join", f"the join of {knocker.server}")
    t.equal("nobody waits any more", (first.pending(room), second.pending(room)), ([], []))
    # The knocker's server is in the room as well: it knocks by itself, from what it has heard.
    everybody = [*users, knockers[0]]
    denied = t.user(HS2, "denied")
    t.status("one more knocks by our second host", denied.knock(room, "x", [HS5]), 200)
    everybody_sees(t, room, everybody, denied, "knock", "the knock to be denied")
    t.status("the Synapse denies it", third.kick(room, denied, "no"), 200)
    everybody_sees(t, room, everybody, denied, "leave", "the denial")
    t.status("knocks again by our first host", denied.knock(room, "y", [HS3]), 200)
    everybody_sees(t, room, everybody, denied, "knock", "the second knock")
    t.status("our second host bans", second.ban(room, denied), 200)
    everybody_sees(t, room, everybody, denied, "ban", "the ban")
    for via in (HS3, HS5):
        t.status(f"refused by {via}", denied.knock(room, "z", [via]), 403)


def three_theirs(t):
    """A room of a Synapse, with a user of our first host in it; users of our second host knock by way of either."""
    alice, our = t.user(HS1, "alice"), t.user(HS3, "our")
    for via, answered_by_us in ((HS3, False), (HS1, True)):
        by_way_of(t, alice, our, via, our if answered_by_us else alice)


def by_way_of(t, alice, our, via, answerer):
    room = alice.create(
        t.version,
        t.rule,
        power_level_content_override={"users": {our.id: 60} | ({} if t.version == "12" else {alice.id: 100})},
    )
    t.status("invite our first host", alice.invite(room, our), 200)
    t.check("invited", our.wait(room, "invite"))
    t.status("join", our.join(room, HS1), 200)
    knocker = t.user(HS5, "knocker")
    t.status(f"knock by {via}", knocker.knock(room, "Hello", [via]), 200)
    shown = events_of(knocker.wait(room, "knock"), "knock_state")
    t.check(
        f"knock by {via}: the room's name is shown",
        any(e["content"].get("name") == "The room" for e in shown),
        shown,
    )
    everybody_sees(t, room, [alice, our], knocker, "knock", f"knock by {via}")
    t.status(f"knock by {via}: taken back", knocker.leave(room, "oh"), 200)
    everybody_sees(t, room, [alice, our], knocker, "leave", f"knock by {via}, taken back")
    t.status(f"knock by {via} again", knocker.knock(room, "Hello again", [via]), 200)
    everybody_sees(t, room, [alice, our], knocker, "knock", f"knock by {via} again")
    t.status(f"knock by {via}: {answerer.server} accepts", answerer.invite(room, knocker), 200)
    t.check(f"knock by {via}: the invite is shown", knocker.wait(room, "invite"))
    t.check(
        f"knock by {via}: it answers the knock", knocker.is_let_in(room, "LinkedByAuthEvents"), knocker.log()
    )
    t.status(f"knock by {via}: join", knocker.join(room, answerer.server), 200)
    everybody_sees(t, room, [alice, our, knocker], knocker, "join", f"knock by {via}: the join")
