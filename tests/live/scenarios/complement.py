"""What Complement's tests about knocks assert, under their names; `complement.md` beside has the list."""

from actors import HS1, HS2, HS3, Hand, events_of, q


def knocking_between_two_users(t, host, knocker, via, observer, local):
    """tests/knocking_test.go, knockingBetweenTwoUsersTest; what it asserts, under its names."""
    reason = "Let me in... LET ME IN!!!"
    room = host.create(t.version, "invite")
    host.invite(room, observer)
    observer.join(room, host.server)
    via = [via]

    def knock(reason):
        st, r = knocker.knock(room, reason or None, via, param="server_name")
        x = st == 200 and knocker.wait(
            room,
            "knock",
            lambda x: any(
                e["type"] == "m.room.member"
                and e.get("state_key") == knocker.id
                and e["content"]["membership"] == "knock"
                and (e["content"].get("reason") or "") == reason
                for e in events_of(x, "knock_state")
            ),
        )
        return bool(x), (st, r)

    c = lambda what, pair: t.check(what, *pair)
    t.status(
        "Knocking on a room with a join rule other than 'knock' should fail",
        knocker.knock(room, "Can I knock anyways?", via),
        403,
    )
    st, r = host.set_state(room, "m.room.join_rules", {"join_rule": t.rule})
    t.check(
        "Change the join rule of a room from 'invite' to 'knock'",
        st == 200 and observer.wait(room, "join", lambda x: True),
        (st, r),
    )
    t.status(
        "Attempting to join a room with join rule 'knock' without an invite should fail",
        knocker.join(room, host.server),
        403,
    )
    c("Knocking on a room with join rule 'knock' should succeed", knock(reason))
    c(
        "A user that has already knocked is allowed to knock again on the same room",
        knock("I really like knock knock jokes"),
    )
    seen = host.wait(
        room,
        "join",
        lambda x: any(
            e.get("state_key") == knocker.id and e["content"].get("reason") == reason
            for e in events_of(x, "timeline")
        ),
    )
    t.check(
        "Users in the room see a user's membership update when they knock",
        seen and observer.member(room, knocker, "knock"),
    )
    if local:
        knocker.leave(room)
        x = knocker.wait(
            room,
            "leave",
            lambda x: any(
                e["sender"] == knocker.id and e["content"]["membership"] == "leave"
                for e in events_of(x, "timeline")
            ),
        )
        good, detail = knock("Let me in... again?")
        t.check(
            "A user that has knocked on a local room can rescind their knock and then knock again",
            x and good,
            (x, detail),
        )
    st, r = host.kick(room, knocker, "I don't think so")
    left = observer.member(room, knocker, "leave")
    good, detail = knock("Pleeease let me in?")
    t.check("A user in the room can reject a knock", st == 200 and left and good, (st, r, left, detail))
    st, r = host.kick(room, knocker, "Please try again")
    good, detail = knock("")
    t.check("A user can knock on a room without a reason", st == 200 and good, (st, r, detail))
    st, r = host.invite(room, knocker)
    t.check(
        "A user in the room can accept a knock",
        st == 200 and knocker.wait(room, "invite") and observer.member(room, knocker, "invite"),
        (st, r),
    )
    again = "I'm sticking my hand out the window and knocking again!"
    t.status(
        "A user cannot knock on a room they are already invited to", knocker.knock(room, again, via), 403
    )
    st, r = knocker.join(room, host.server)
    observer.member(room, knocker, "join")
    st2, r2 = knocker.knock(room, again, via)
    t.check("A user cannot knock on a room they are already in", (st, st2) == (200, 403), (st, r, st2, r2))
    st, r = host.ban(room, knocker)
    seen = observer.member(room, knocker, "ban")
    st2, r2 = knocker.knock(room, "I didn't mean it!", via)
    t.check(
        "A user that is banned from a room cannot knock on it",
        st == 200 and seen and st2 == 403,
        (st, r, seen, st2, r2),
    )


def complement_ours_local(t):
    """TestKnocking: our room, our knocker, Synapse observes."""
    knocking_between_two_users(t, t.user(HS3, "alice"), t.user(HS3, "bob"), HS3, t.user(HS2, "david"), True)


def complement_ours_remote(t):
    """TestKnocking: our room, a knocker of Synapse, another Synapse observes."""
    knocking_between_two_users(
        t, t.user(HS3, "alice"), t.user(HS1, "charlie"), HS3, t.user(HS2, "david"), False
    )


def complement_theirs_remote(t):
    """TestKnocking: a room of Synapse, our knocker, another Synapse observes. Our user can also rescind."""
    knocking_between_two_users(
        t, t.user(HS1, "alice"), t.user(HS3, "charlie"), HS1, t.user(HS2, "david"), True
    )


def complement_validation(t):
    """TestCannotSendNonKnockViaSendKnock, and the same for send_leave: only the right kind of event may be sent."""
    host, charlie = t.user(HS3, "host"), Hand(t, "charlie")
    room = host.create(t.version, "public")
    st, r = t.fed("GET", f"/_matrix/federation/v1/make_join/{q(room)}/{q(charlie.id)}?ver={t.version}")
    assert st == 200, (st, r)
    join, jid = t.build(r["event"])
    st, r = t.fed("PUT", f"/_matrix/federation/v2/send_join/{q(room)}/{q(jid)}", join)
    assert st == 200, (st, r)
    bare = {
        k: v for k, v in join.items() if k not in ("hashes", "signatures", "content", "state_key", "type")
    }
    bare.update(prev_events=[jid], auth_events=join["auth_events"][:2] + [jid], depth=join["depth"] + 1)
    for kind, ver, expected in (("knock", "v1", "knock"), ("leave", "v1", "leave"), ("leave", "v2", "leave")):
        cases = [
            ("regular event", {"type": "m.room.message", "content": {"body": "bzz"}}),
            ("non-state membership event", {"type": "m.room.member", "content": {"body": "bzz"}}),
        ]
        for m in ("join", "leave", "knock", "invite"):
            if m != expected:
                cases.append(
                    (
                        f"{m} event",
                        {"type": "m.room.member", "state_key": charlie.id, "content": {"membership": m}},
                    )
                )
        cases.append(
            (
                "event with mismatched state key",
                {"type": "m.room.member", "state_key": f"@doris:{HS2}", "content": {"membership": expected}},
            )
        )
        for what, over in cases:
            ev, eid = t.build(bare | over)
            t.status(f"send_{kind} {ver}: {what}", t.send(kind, room, ev, eid, ver=ver), 400)


def complement_partial_state(t):
    """tests/msc3902: 'Rejects make_knock during partial join', 'Rejects send_knock during partial join'."""
    host, who = t.user(HS3, "host"), Hand(t, "w")
    room = host.create(t.version, t.rule)
    ev, eid = t.build(who.template(room))
    host.http("PUT", f"/_knock/partial/{q(room)}", {"partial": True})
    t.status("Rejects make_knock during partial join", t.make("knock", room, who.id), 404)
    t.status("Rejects send_knock during partial join", t.send("knock", room, ev, eid), 404)
