"""Users of our host knock on rooms of a Synapse."""

import time

from actors import FULL, HS1, HS2, HS3, VERSIONS, events_of, four_keys, q, types
from proxy import lose
from servers import HS4

from scenarios.texts import TRICKY


def theirs_accept(t):
    """Our user knocks on a Synapse room, is invited, and joins."""
    alice, our = t.user(HS1, "alice", "Alice"), t.user(HS3, "our", "Our user 🔔")
    room = alice.create(t.version, t.rule)
    t.status("knock", our.knock(room, "Let me in, please", [HS1]), 200)
    x = our.wait(room, "knock")
    shown = events_of(x, "knock_state")
    t.check("we show the stripped state of their room", types(shown) == FULL, types(shown))
    t.check(
        "of four keys each, the create event first, the knock last",
        four_keys(shown) and shown[0]["type"] == "m.room.create" and shown[-1].get("state_key") == our.id,
        shown,
    )
    m = alice.member(room, our, "knock", reason="Let me in, please")
    t.check("their room has the knock", m and m["displayname"] == "Our user 🔔", m)
    st, r = alice.http("GET", f"/_matrix/client/v3/rooms/{q(room)}/members?membership=knock")
    t.check("/members of the admin has it", [e["state_key"] for e in r["chunk"]] == [our.id], r)
    x = alice.wait(
        room, "join", lambda x: any(e.get("state_key") == our.id for e in events_of(x, "timeline"))
    )
    t.check("/sync of the admin has it", x)
    t.status("accept by an invite", alice.invite(room, our, "Come in"), 200)
    x = our.wait(room, "invite")
    shown = events_of(x, "invite_state")
    t.check("our user is invited", any(e["content"].get("membership") == "invite" for e in shown), shown)
    t.check("which is known to answer the knock", our.is_let_in(room, "LinkedByAuthEvents"), our.log())
    t.status("the invited user cannot knock", our.knock(room, "again", [HS1]), 403, "M_FORBIDDEN")
    t.status("join", our.join(room, HS1), 200)
    t.check("their room has the join", alice.member(room, our, "join"))
    t.status("the joined user cannot knock", our.knock(room, "again", [HS1]), 403, "M_FORBIDDEN")


def theirs_deny(t):
    """Denied by a kick and by a ban, of which Synapse does not tell us; knocks again."""
    alice, our = t.user(HS1, "alice"), t.user(HS3, "our")
    room = alice.create(t.version, t.rule)
    t.status("knock", our.knock(room, "first", [HS1]), 200)
    t.status("deny by a kick", alice.kick(room, our, "not today"), 200)
    time.sleep(0.3)
    t.info("we hear of the denial from Synapse", room in our.rooms().get("leave", {}))
    t.status("knock again", our.knock(room, "second", [HS1]), 200)
    t.check("their room has the second knock", alice.member(room, our, "knock", reason="second"))
    t.status("ban", alice.ban(room, our), 200)
    t.status("the banned user is refused", our.knock(room, "third", [HS1]), 403, "M_FORBIDDEN")
    t.status("unban", alice.unban(room, our), 200)
    t.status("knock after that", our.knock(room, "fourth", [HS1]), 200)
    t.check("their room has that knock", alice.member(room, our, "knock", reason="fourth"))


def theirs_retract(t):
    """Our user takes the knock back, and knocks again; and takes back what was denied, and declines an invite."""
    alice, our = t.user(HS1, "alice"), t.user(HS3, "our")
    room = alice.create(t.version, t.rule)
    t.status("knock", our.knock(room, "first", [HS1]), 200)
    t.status("leave", our.leave(room, "changed my mind"), 200)
    t.check("their room has the leave", alice.member(room, our, "leave", reason="changed my mind"))
    x = our.wait(room, "leave")
    t.check("we show it", [e["content"]["membership"] for e in events_of(x, "timeline")] == ["leave"], x)
    t.check("and no knock", room not in our.rooms()["knock"])
    t.status("knock again", our.knock(room, "second", [HS1]), 200)
    t.check("their room has the second knock", alice.member(room, our, "knock", reason="second"))
    alice.kick(room, our)
    t.status("leave after a denial", our.leave(room), 200)
    t.check("is over for us", our.wait(room, "leave"))
    t.status("knock again", our.knock(room, "third", [HS1]), 200)
    t.status("accepted", alice.invite(room, our), 200)
    t.check("our user is invited", our.wait(room, "invite"))
    t.status("decline", our.leave(room, "no, thanks"), 200)
    t.check("their room has the leave", alice.member(room, our, "leave", reason="no, thanks"))
    t.status("knock again", our.knock(room, "fourth", [HS1]), 200)
    t.status("accepted", alice.invite(room, our), 200)
    t.check("our user is invited", our.wait(room, "invite"))
    t.status("the invite is taken back", alice.kick(room, our), 200)
    t.check("we hear of that", our.wait(room, "leave"))


def theirs_refused(t):
    """What Synapse refuses, as our client is told."""
    alice, our = t.user(HS1, "alice"), t.user(HS3, "our")
    for rule in ["invite", "public"] + (["restricted"] if int(t.version) >= 8 else []):
        t.status(
            f"join rule {rule}", our.knock(alice.create(t.version, rule), "x", [HS1]), 403, "M_FORBIDDEN"
        )
    room = alice.create(t.version, t.rule)
    alice.ban(room, our)
    t.status("banned", our.knock(room, "x", [HS1]), 403, "M_FORBIDDEN")
    gone = "!" + "A" * 43 if t.version == "12" else f"!gone{t.unique()}:{HS1}"
    t.status("unknown room", our.knock(gone, "x", [HS1]), 404, "M_NOT_FOUND")
    t.status("unknown room, no server", our.knock("!" + "B" * 43, "x"), 404, "M_NOT_FOUND")
    t.status("unknown alias", our.knock(f"#gone{t.unique()}:{HS1}", "x"), 404, "M_NOT_FOUND")
    t.status("no room", our.knock("nonsense", "x"), 400, "M_INVALID_PARAM")
    others = ",".join(v for v in VERSIONS if v != t.version)
    room = alice.create(t.version, t.rule)
    st, r = our.knock(room, "x", [HS1], headers={"x-knock-versions": others})
    t.status("version that is not offered", (st, r), 400, "M_INCOMPATIBLE_ROOM_VERSION")
    t.check("with the version", r.get("room_version") == t.version, r)
    t.status(
        "no version with knocking", our.knock(room, "x", [HS1], headers={"x-knock-versions": "1,6"}), 403
    )
    room = alice.create(t.version, t.rule, acl={"allow": ["*"], "deny": ["hs3.*"]})
    t.status("denied by an ACL", our.knock(room, "x", [HS1]), 403, "M_FORBIDDEN")
    room = alice.create(t.version, t.rule, creation_content={"m.federate": False})
    t.status("not federated", our.knock(room, "x", [HS1]), 403, "M_FORBIDDEN")


def theirs_servers(t):
    """Which servers are asked."""
    alice, our = t.user(HS1, "alice"), t.user(HS3, "our")
    room = alice.create(t.version, t.rule)
    t.status("a server that is down, and the right one", our.knock(room, "one", [HS4, HS1]), 200)
    t.check("their room has the knock", alice.member(room, our, "knock", reason="one"))
    t.status(
        "a server that does not know the room, and the right one", our.knock(room, "two", [HS2, HS1]), 200
    )
    t.check("their room has the knock", alice.member(room, our, "knock", reason="two"))
    t.status(
        "ourselves, nonsense, and the right one", our.knock(room, "three", [HS3, "not a server", HS1]), 200
    )
    t.check("their room has the knock", alice.member(room, our, "knock", reason="three"))
    t.status("server_name instead of via", our.knock(room, "four", [HS1], param="server_name"), 200)
    t.check("their room has the knock", alice.member(room, our, "knock", reason="four"))
    t.status("only a server that is down", t.user(HS3, "x").knock("!" + "C" * 43, "x", [HS4]), 502)
    st, r = our.knock(room, "five")
    want = 404 if t.version == "12" else 200
    t.status("no server: before v12 the room ID has one", (st, r), want)
    alias = f"door{t.unique()}"
    st, r = alice.http("PUT", f"/_matrix/client/v3/directory/room/{q(f'#{alias}:{HS1}')}", {"room_id": room})
    t.status("an alias", our.knock(f"#{alias}:{HS1}", "six"), 200)
    t.check("their room has the knock", alice.member(room, our, "knock", reason="six"))


def theirs_silent(t):
    """The answer to send_knock is lost on the way: the knock stands in the room all the same."""
    alice, david = t.user(HS1, "alice"), t.user(HS2, "david")
    room = alice.create(t.version, t.rule)
    alice.invite(room, david)
    t.status("david joins", david.join(room, HS1), 200)
    part = f"/send_knock/{room}/"
    for what, via in (("no other server", [HS1]), ("another server of the room", [HS1, HS2])):
        for then in ("accepted", "taken back"):
            our = t.user(HS3, "our")
            with t.fault(HS1, part, after=lose):
                got = our.knock(room, "hello", via)
            t.status(f"{what}, {then}: knock", got, 502 if len(via) == 1 else 200)
            t.check(f"{what}, {then}: their room has the knock", alice.member(room, our, "knock"))
            t.check(f"{what}, {then}: we show it", our.wait(room, "knock"))
            t.equal(
                f"{what}, {then}: one event was sent, however often",
                len(t.events_sent("send_knock", room, our, HS1, HS2)),
                1,
            )
            if then == "accepted":
                t.status(f"{what}, {then}: invite", alice.invite(room, our), 200)
                t.check(f"{what}, {then}: we have the invite", our.wait(room, "invite"))
                known = our.is_let_in(room, "LinkedByAuthEvents")
                t.check(f"{what}, {then}: and know that it answers the knock", known, our.log())
            else:
                t.status(f"{what}, {then}: leave", our.leave(room, "oh"), 200)
                t.check(
                    f"{what}, {then}: their room has the leave", alice.member(room, our, "leave", reason="oh")
                )


def theirs_contents(t):
    """Reasons and names of all kinds from our users: Synapse takes our bytes, and has what the user wrote."""
    alice = t.user(HS1, "alice")
    room = alice.create(t.version, t.rule)
    for what, text in TRICKY:
        our = t.user(HS3, "our", text)
        t.status(f"{what}: knock", our.knock(room, text, [HS1]), 200)
        m = alice.member(room, our, "knock")
        t.check(f"{what}: the reason", m and m.get("reason") == text, m)
        t.check(f"{what}: the name", m and m.get("displayname") == text, m)
    our = t.user(HS3, "our")
    t.status("a reason of 70,000 bytes", our.knock(room, "x" * 70000, [HS1]), 413, "M_TOO_LARGE")
    t.status("a reason of 65,500 bytes", our.knock(room, "x" * 65500, [HS1]), 413, "M_TOO_LARGE")
    t.status("a reason of 60,000 bytes", our.knock(room, "x" * 60000, [HS1]), 200)
    m = alice.member(room, our, "knock")
    t.check("is in their room", m and len(m["reason"]) == 60000)
    for body, status, code in [
        (b"", 400, "M_NOT_JSON"),
        (b"{", 400, "M_NOT_JSON"),
        (b"[]", 400, "M_BAD_JSON"),
        (b'{"reason":5}', 400, "M_BAD_JSON"),
        (b'{"reason":null}', 200, None),
        (b'{"reason":"\\ud800"}', 400, "M_BAD_JSON"),
        (b'{"reason":"\xff"}', 400, "M_NOT_JSON"),
        (b'{"reason":"a","membership":"join","displayname":"evil"}', 200, None),
        (b'{"x":' + b"[" * 100 + b"]" * 100 + b"}", 200, None),
        (b'{"x":' + b"[" * 1000 + b"]" * 1000 + b"}", 400, "M_BAD_JSON"),
    ]:
        t.status(f"body {body[:40]!r}", our.knock(room, None, [HS1], raw_body=body), status, code)
    m = alice.member(room, our, "knock")
    t.check("extra keys of the body do not get into the event", m and m.get("displayname") != "evil", m)
