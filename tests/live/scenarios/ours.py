"""Users of a Synapse knock on rooms of our host."""

import time

from actors import FULL, HS1, HS2, HS3, Hand, events_of, four_keys, q, types

from scenarios.texts import TRICKY


def ours_accept(t):
    """A Synapse user knocks on our room, is invited, and joins."""
    host, kay = t.user(HS3, "host"), t.user(HS1, "kay", "Kay 🔔")
    room = host.create(t.version, t.rule)
    t.status("knock", kay.knock(room, "Let me in, please", [HS3]), 200)
    x = kay.wait(room, "knock")
    shown = events_of(x, "knock_state")
    t.check("Synapse shows the stripped state of our room", types(shown) == FULL, types(shown))
    t.check("of four keys each", four_keys(shown), shown)
    own = [e for e in shown if e.get("state_key") == kay.id]
    t.check("and the knock itself", own and own[0]["content"].get("reason") == "Let me in, please", own)
    m = host.member(room, kay, "knock")
    t.check(
        "our room has the knock", m and (m["reason"], m["displayname"]) == ("Let me in, please", "Kay 🔔"), m
    )
    pending = host.pending(room)
    t.check("our index of pending knocks too", [p["user"] for p in pending] == [kay.id], pending)
    t.status("accept by an invite", host.invite(room, kay, "Come in"), 200)
    x = kay.wait(room, "invite")
    shown = events_of(x, "invite_state")
    t.check(
        "Synapse shows the invite",
        any(e["type"] == "m.room.member" and e["content"]["membership"] == "invite" for e in shown),
        shown,
    )
    t.check("with our stripped state", set(FULL) <= set(types(shown)), types(shown))
    t.info("the invite_state that Synapse shows has four keys each", four_keys(shown))
    pending = host.pending(room)
    t.check("nobody knocks any more", pending == [], pending)
    t.status("the invited user cannot knock", kay.knock(room, "again", [HS3]), 403)
    t.status("join", kay.join(room, HS3), 200)
    t.check("our room has the join", host.member(room, kay, "join"))
    t.check("Synapse shows the joined room", kay.wait(room, "join"))
    t.status("the joined user cannot knock", kay.knock(room, "again", [HS3]), 403)


def ours_deny(t):
    """Denied by a kick; knocks again with another reason."""
    host, kay = t.user(HS3, "host"), t.user(HS1, "kay")
    room = host.create(t.version, t.rule)
    t.status("knock", kay.knock(room, "first", [HS3]), 200)
    since = kay.sync_token()
    t.status("deny by a kick", host.kick(room, kay, "not today"), 200)
    t.check("our room has the leave", host.member(room, kay, "leave", reason="not today"))
    t.info("Synapse believes the denial that we send (MSC4233)", bool(kay.news(since, room, "leave", 1.0)))
    t.status("knock again", kay.knock(room, "second", [HS3]), 200)
    t.check("our room has the second knock", host.member(room, kay, "knock", reason="second"))
    x = kay.wait(
        room,
        "knock",
        lambda x: any(e["content"].get("reason") == "second" for e in events_of(x, "knock_state")),
    )
    t.check("Synapse shows the second knock", x)


def ours_ban(t):
    """Banned while knocking: refused until unbanned."""
    host, kay = t.user(HS3, "host"), t.user(HS1, "kay")
    room = host.create(t.version, t.rule)
    t.status("knock", kay.knock(room, "first", [HS3]), 200)
    t.status("ban", host.ban(room, kay), 200)
    t.status("the banned user is refused", kay.knock(room, "again", [HS3]), 403, "M_FORBIDDEN")
    t.check("our room has the ban", host.member(room, kay, "ban"))
    t.status("unban", host.unban(room, kay), 200)
    t.status("knock after that", kay.knock(room, "third", [HS3]), 200)
    t.check("our room has the knock", host.member(room, kay, "knock", reason="third"))
    stranger = t.user(HS1, "stranger")
    t.status("ban of somebody who never knocked", host.ban(room, stranger), 200)
    t.status("who is refused", stranger.knock(room, "x", [HS3]), 403, "M_FORBIDDEN")


def ours_reknock(t):
    """Knocks again while the knock stands: the reason changes."""
    host, kay = t.user(HS3, "host"), t.user(HS1, "kay")
    room = host.create(t.version, t.rule)
    for reason in ("one", "two", None, "two"):
        t.status(f"knock {reason}", kay.knock(room, reason, [HS3]), 200)
        m = host.member(room, kay, "knock")
        t.check(f"our room has the reason {reason}", m and m.get("reason") == reason, m)
    pending = host.pending(room)
    t.check("one knock is pending", [(p["user"], p["reason"]) for p in pending] == [(kay.id, "two")], pending)
    t.status("and accepted", host.invite(room, kay), 200)
    t.check("Synapse shows the invite", kay.wait(room, "invite"))


def ours_leave(t):
    """The Synapse user takes the knock back by leaving, and knocks again."""
    host, kay = t.user(HS3, "host"), t.user(HS1, "kay")
    room = host.create(t.version, t.rule)
    t.status("knock", kay.knock(room, "first", [HS3]), 200)
    t.status("leave", kay.leave(room), 200)
    time.sleep(0.3)
    m = host.member(room, kay)
    t.info(
        "after a Synapse user has left a room that it knocked on, our room has", (m or {}).get("membership")
    )
    t.status("knock again", kay.knock(room, "second", [HS3]), 200)
    t.check("our room has the second knock", host.member(room, kay, "knock", reason="second"))


def ours_decline(t):
    """The accepted knocker declines the invite: Synapse's make_leave and send_leave."""
    host, kay = t.user(HS3, "host"), t.user(HS1, "kay")
    room = host.create(t.version, t.rule)
    t.status("knock", kay.knock(room, "first", [HS3]), 200)
    t.status("accept", host.invite(room, kay), 200)
    t.check("Synapse shows the invite", kay.wait(room, "invite"))
    t.status("decline", kay.leave(room, "changed my mind"), 200)
    m = host.member(room, kay, "leave")
    t.check("our room has the leave that Synapse sent", m, m)
    t.status("knock again", kay.knock(room, "second", [HS3]), 200)
    t.check("our room has the second knock", host.member(room, kay, "knock", reason="second"))
    t.status("invite again", host.invite(room, kay), 200)
    t.check("Synapse shows the second invite", kay.wait(room, "invite"))
    since = kay.sync_token()
    t.status("take the invite back", host.kick(room, kay), 200)
    t.check("Synapse shows that the invite is gone", kay.news(since, room, "leave"))


def ours_retract(t):
    """make_leave and send_leave for a knock, signed by hand for hs2 (Synapse itself takes knocks back locally only)."""
    host = t.user(HS3, "host")
    room = host.create(t.version, t.rule)
    for ver in ("v1", "v2"):
        who = Hand(t, "who")
        ev, eid = who.knock(room)
        t.check("the knock is in", host.member(room, who, "knock"))
        st, r = t.make("leave", room, who.id, vers=[])
        t.check("make_leave", st == 200 and r["room_version"] == t.version, (st, r))
        leave, lid = t.build(r["event"], {"reason": "changed my mind"})
        got = t.send("leave", room, leave, lid, ver=ver)
        t.check(f"send_leave {ver}", got == (200, [200, {}] if ver == "v1" else {}), got)
        t.check("our room has the leave", host.member(room, who, "leave", reason="changed my mind"))
        got = t.send("leave", room, leave, lid, ver=ver)
        t.check("the same leave once more", got[0] == 200, got)
        t.status("make_leave once more", t.make("leave", room, who.id, vers=[]), 403, "M_FORBIDDEN")
        got = t.send("knock", room, ev, eid)
        t.check("the old knock once more", got[0] == 200, got)
        t.check("changes nothing", host.member(room, who, "leave"))
    t.status(
        "make_leave of a user who never knocked",
        t.make("leave", room, Hand(t, "x").id, vers=[]),
        403,
        "M_FORBIDDEN",
    )


def ours_join_rules(t):
    """Join rules that let nobody knock."""
    host, kay = t.user(HS3, "host"), t.user(HS1, "kay")
    rules = ["invite", "public", "private", "restricted", "org.example.unknown"]
    if int(t.version) < 10:
        rules.append("knock_restricted")
    for rule in rules:
        room = host.create(t.version, rule)
        t.status(f"{rule}", kay.knock(room, "x", [HS3]), 403, "M_FORBIDDEN")
    room = host.create(t.version, "invite")
    t.status("refused", kay.knock(room, "x", [HS3]), 403)
    host.set_state(room, "m.room.join_rules", {"join_rule": t.rule, "allow": []})
    t.status("after the rule has changed", kay.knock(room, "x", [HS3]), 200)
    host.set_state(room, "m.room.join_rules", {})
    t.status("an empty join_rules event", t.user(HS1, "zoe").knock(room, "x", [HS3]), 403)


def ours_unknown(t):
    """Rooms that we do not know, or have left, or whose state is not complete."""
    host, kay = t.user(HS3, "host"), t.user(HS1, "kay")
    gone = "!" + "A" * 43 if t.version == "12" else f"!gone:{HS3}"
    # Synapse makes 502 of a 404 of make_knock, whoever sent it.
    t.status("unknown room: we say 404, Synapse its client 502", kay.knock(gone, "x", [HS3]), 502)
    t.status("make_knock on it", t.make("knock", gone, Hand(t, "w").id), 404, "M_NOT_FOUND")
    t.status(
        "make_knock on what is no room ID", t.make("knock", "nonsense", Hand(t, "w").id), 404, "M_NOT_FOUND"
    )
    room = host.create(t.version, t.rule)
    who = Hand(t, "w")
    st, r = t.make("knock", room, who.id)
    ev, eid = t.build(r["event"])
    host.http("PUT", f"/_knock/partial/{q(room)}", {"partial": True})
    t.status("make_knock, partial state", t.make("knock", room, who.id), 404, "M_NOT_FOUND")
    t.status("send_knock, partial state", t.send("knock", room, ev, eid), 404, "M_NOT_FOUND")
    host.http("PUT", f"/_knock/partial/{q(room)}", {"partial": False})
    t.status("send_knock after that", t.send("knock", room, ev, eid), 200)
    t.status("the last user leaves", host.leave(room), 200)
    t.status("make_knock on a room that we have left", t.make("knock", room, who.id), 404, "M_NOT_FOUND")
    t.status("send_knock too", t.send("knock", room, ev, eid), 404, "M_NOT_FOUND")
    t.status("and a Synapse user's knock", kay.knock(room, "x", [HS3]), 502)


def ours_acl(t):
    """A server ACL, and a room that is not federated."""
    host, kay, lee = t.user(HS3, "host"), t.user(HS1, "kay"), t.user(HS2, "lee")
    room = host.create(
        t.version, t.rule, acl={"allow": ["*"], "deny": ["hs1.test"], "allow_ip_literals": False}
    )
    t.status("the denied server's user", kay.knock(room, "x", [HS3]), 403, "M_FORBIDDEN")
    t.status("another server's user", lee.knock(room, "x", [HS3]), 200)
    who = Hand(t, "w")
    st, r = t.make("knock", room, who.id)
    ev, eid = t.build(r["event"])
    host.set_state(room, "m.room.server_acl", {"allow": ["hs1.*", "HS3.test"]})
    t.status("send_knock after an ACL", t.send("knock", room, ev, eid), 403, "M_FORBIDDEN")
    t.status("make_leave after an ACL", t.make("leave", room, lee.id, vers=[]), 403, "M_FORBIDDEN")
    t.status("the server that is allowed now", kay.knock(room, "x", [HS3]), 200)
    room = host.create(t.version, t.rule, creation_content={"m.federate": False})
    t.status("a room that is not federated", kay.knock(room, "x", [HS3]), 403, "M_FORBIDDEN")
    local = t.user(HS3, "local")
    t.status("but a local user", local.knock(room, "x"), 200)


def ours_contents(t):
    """Reasons and names of all kinds from Synapse: our room has what the user wrote."""
    host = t.user(HS3, "host")
    room = host.create(t.version, t.rule)
    for what, text in TRICKY:
        kay = t.user(HS1, "kay", text[:250] or None)
        st, r = kay.knock(room, text, [HS3])
        t.status(f"{what}: knock", (st, r), 200)
        m = host.member(room, kay, "knock")
        name = (m or {}).get("displayname")
        t.check(f"{what}: the reason", m and m.get("reason") == text, m)
        own = kay.http("GET", f"/_matrix/client/v3/profile/{q(kay.id)}/displayname")[1]
        t.check(f"{what}: the name", name == own.get("displayname"), (name, own))
    kay = t.user(HS1, "kay")
    st, r = kay.knock(room, "x" * 70000, [HS3])
    t.check("a reason of 70,000 bytes is refused", st in (400, 413), (st, r))
    t.info("Synapse's answer to a reason of 70,000 bytes", st)
    kay = t.user(HS1, "kay")
    t.status("a reason of 60,000 bytes", kay.knock(room, "y" * 60000, [HS3]), 200)
    m = host.member(room, kay, "knock")
    t.check("is in our room", m and len(m["reason"]) == 60000)
    t.status("and the knock can be accepted", host.invite(room, kay), 200)
