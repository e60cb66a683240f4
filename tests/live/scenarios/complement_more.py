"""What else Complement's tests assert about invites, leaves, bans and join rules around a knock; see `complement.md`."""

import time

from actors import HS1, HS2, HS3, VERSIONS, Hand, events_of, q, types

from scenarios.complement import knocking_between_two_users


def seen(user, room, who, membership, reason=None):
    """Whether the /sync of a member of the room has this membership of somebody else, in the timeline or the state."""
    return user.wait(
        room,
        "join",
        lambda x: any(
            e["type"] == "m.room.member"
            and e.get("state_key") == who.id
            and e["content"].get("membership") == membership
            and (reason is None or e["content"].get("reason") == reason)
            for e in events_of(x, "timeline") + events_of(x, "state")
        ),
    )


def gone(user, since, room):
    """Whether the room is among those that the user has left: of Synapse by an incremental /sync."""
    return user.wait(room, "leave") if user.local else user.news(since, room, "leave")


def state_of(user, room, etype, key=""):
    st, r = user.http("GET", f"/_matrix/client/v3/rooms/{q(room)}/state/{q(etype)}/{q(key)}")
    return r if st == 200 else {}


def join_without_via(user, room):
    return user.http("POST", f"/_matrix/client/v3/join/{q(room)}", {})


def refused(t, what, got):
    """Complement: any 4xx or 5xx."""
    return t.check(what, got[0] >= 400, got)


def complement_theirs_observed_local(t):
    """TestKnocking: a room and a knocker of one Synapse, ours observes."""
    knocking_between_two_users(t, t.user(HS1, "alice"), t.user(HS1, "bob"), HS1, t.user(HS3, "david"), True)


def complement_theirs_observed_remote(t):
    """TestKnocking: a room of one Synapse, a knocker of another, ours observes."""
    knocking_between_two_users(
        t, t.user(HS1, "alice"), t.user(HS2, "charlie"), HS1, t.user(HS3, "david"), False
    )


def complement_change_of_rule(t):
    """TestKnocking: the new join rule is what the administrator's /sync shows. As there, without `allow`."""
    pairs = [("ours, local", HS3, HS3), ("ours, remote", HS3, HS1), ("theirs", HS1, HS3)]
    for what, at, of in pairs:
        host, knocker = t.user(at, "host"), t.user(of, "knocker")
        room = host.create(t.version, "invite")
        st, r = host.set_state(room, "m.room.join_rules", {"join_rule": t.rule})
        t.status(f"{what}: change the join rule", (st, r), 200)
        event_id = r.get("event_id")
        t.check(
            f"{what}: /sync shows the event",
            host.wait(
                room,
                "join",
                lambda x: any(
                    e.get("event_id") == event_id for e in events_of(x, "timeline") + events_of(x, "state")
                ),
            ),
        )
        t.check(
            f"{what}: the rule is the new one",
            state_of(host, room, "m.room.join_rules").get("join_rule") == t.rule,
        )
        t.status(f"{what}: a join without an invite", knocker.join(room, at), 403)
        t.status(f"{what}: a knock", knocker.knock(room, "x", [at], param="server_name"), 200)
        t.check(f"{what}: the room has it", host.member(room, knocker, "knock"))


def complement_no_reason(t):
    """TestKnocking: a knock whose body is an empty object."""
    for what, at, of in [("ours, local", HS3, HS3), ("ours, remote", HS3, HS1), ("theirs", HS1, HS3)]:
        host, knocker = t.user(at, "host"), t.user(of, "knocker")
        room = host.create(t.version, t.rule)
        t.status(f"{what}: a knock", knocker.knock(room, None, [at], param="server_name"), 200)
        t.check(
            f"{what}: the knocker's /sync shows it",
            knocker.wait(
                room,
                "knock",
                lambda x: any(
                    e.get("state_key") == knocker.id and e["content"].get("membership") == "knock"
                    for e in events_of(x, "knock_state")
                ),
            ),
        )
        m = host.member(room, knocker, "knock")
        t.check(f"{what}: the event has no reason", m and "reason" not in m, m)


def complement_admin_sync(t):
    """TestKnocking: what the user in the room is shown by /sync of a knock and of the answers to it."""
    for what, at, of in [("ours, local", HS3, HS3), ("ours, remote", HS3, HS1), ("theirs", HS1, HS3)]:
        host, knocker = t.user(at, "host"), t.user(of, "knocker")
        room = host.create(t.version, t.rule)
        t.status(f"{what}: knock", knocker.knock(room, "let me in", [at]), 200)
        t.check(
            f"{what}: /sync shows the knock, with its reason", seen(host, room, knocker, "knock", "let me in")
        )
        t.status(f"{what}: kick", host.kick(room, knocker, "not today"), 200)
        t.check(
            f"{what}: /sync shows the leave, with its reason", seen(host, room, knocker, "leave", "not today")
        )
        t.status(f"{what}: knock again", knocker.knock(room, "please", [at]), 200)
        t.status(f"{what}: invite", host.invite(room, knocker), 200)
        t.check(f"{what}: /sync shows the invite", seen(host, room, knocker, "invite"))
        t.check(f"{what}: so does the knocker's", knocker.wait(room, "invite"))
        t.status(f"{what}: join", knocker.join(room, at), 200)
        t.check(f"{what}: /sync shows the join", seen(host, room, knocker, "join"))
        t.status(f"{what}: ban", host.act("ban", room, {"user_id": knocker.id, "reason": "out"}), 200)
        t.check(f"{what}: /sync shows the ban, with its reason", seen(host, room, knocker, "ban", "out"))
        t.status(f"{what}: the banned user's knock", knocker.knock(room, "sorry", [at]), 403)


def complement_send_join_validation(t):
    """TestCannotSendNonJoinViaSendJoinV2: a knock, among others, is no join."""
    host, charlie = t.user(HS3, "host"), Hand(t, "charlie")
    room = host.create(t.version, "public")
    st, r = t.make("join", room, charlie.id)
    join, jid = t.build(r["event"])
    t.status("the join", t.send("join", room, join, jid, ver="v2"), 200)
    bare = {
        k: v for k, v in join.items() if k not in ("hashes", "signatures", "content", "state_key", "type")
    }
    bare.update(prev_events=[jid], auth_events=join["auth_events"][:2] + [jid], depth=join["depth"] + 1)
    cases = [
        ("regular event", {"type": "m.room.message", "content": {"body": "bzz"}}),
        ("non-state membership event", {"type": "m.room.member", "content": {"body": "bzz"}}),
    ]
    for m in ("leave", "knock", "invite"):
        cases.append(
            (f"{m} event", {"type": "m.room.member", "state_key": charlie.id, "content": {"membership": m}})
        )
    cases.append(
        (
            "event with mismatched state key",
            {"type": "m.room.member", "state_key": f"@doris:{HS2}", "content": {"membership": "join"}},
        )
    )
    for what, over in cases:
        ev, eid = t.build(bare | over)
        t.status(f"send_join v2: {what}", t.send("join", room, ev, eid, ver="v2"), 400)


def complement_banned_template(t):
    """TestBannedUserCannotSendJoin; and the same with a knock: the template is another user's than the event."""
    for kind, rule, ver in (("join", "public", "v2"), ("knock", t.rule, "v1")):
        host, banned, other = t.user(HS3, "host"), Hand(t, "banned"), Hand(t, "other")
        room = host.create(t.version, rule)
        t.status(f"{kind}: ban", host.ban(room, banned), 200)
        st, r = t.make(kind, room, other.id)
        t.status(f"{kind}: the template for another user", (st, r), 200)
        ev, eid = t.build(r["event"], sender=banned.id, state_key=banned.id)
        t.status(f"{kind}: sent as the banned user", t.send(kind, room, ev, eid, ver=ver), 403, "M_FORBIDDEN")
        t.check(f"{kind}: the user is still banned", host.member(room, banned, "ban"))


def complement_partial_state_all(t):
    """tests/msc3902: make_knock, send_knock, make_join and send_join while the state is being fetched, with the error code."""
    host, who = t.user(HS3, "host"), Hand(t, "w")
    room = host.create(t.version, t.rule)
    template = who.template(room)
    knock, kid = t.build(template)
    # Complement's helper for make_knock puts `join` into its template, so that is what it sends.
    join, jid = t.build(template, {"membership": "join"})
    host.http("PUT", f"/_knock/partial/{q(room)}", {"partial": True})
    for what, got in (
        ("make_knock", t.make("knock", room, who.id, vers=VERSIONS)),
        ("send_knock", t.send("knock", room, knock, kid)),
        ("send_knock of what Complement sends", t.send("knock", room, join, jid)),
        ("make_join", t.make("join", room, who.id, vers=VERSIONS)),
        ("send_join", t.send("join", room, join, jid, ver="v2")),
        ("make_leave", t.make("leave", room, who.id, vers=[])),
    ):
        t.status(f"Rejects {what} during partial join", got, 404, "M_NOT_FOUND")
    host.http("PUT", f"/_knock/partial/{q(room)}", {"partial": False})
    t.status("the knock after that", t.send("knock", room, knock, kid), 200)


def federation_rooms_invite(t, at, of):
    """tests/federation_rooms_invite_test.go: a room at one server, invited users of another. Nobody knocks."""
    alice, bob, bob2 = t.user(at, "alice"), t.user(of, "bob"), t.user(of, "bob2")

    def invited(what, room, user):
        t.status(f"{what}: invite", alice.invite(room, user), 200)
        t.check(f"{what}: the invited user sees it", user.wait(room, "invite"))

    what = "Invited user can reject invite over federation"
    room = alice.create(t.version, "invite")
    invited(what, room, bob)
    t.status(f"{what}: leave", bob.act("leave", room), 200)
    t.check(f"{what}: the inviter's /sync shows the leave", seen(alice, room, bob, "leave"))

    room = alice.create(t.version, "invite")
    for n in (1, 2, 3):
        what = f"Invited user can reject invite over federation several times: {n}"
        invited(what, room, bob)
        t.status(f"{what}: leave", bob.act("leave", room), 200)
        t.check(f"{what}: the room has the leave", alice.member(room, bob, "leave"))

    what = "Invited user can reject invite over federation for empty room"
    room = alice.create(t.version, "invite")
    invited(what, room, bob)
    since = bob.sync_token()
    t.status(f"{what}: the inviter leaves", alice.act("leave", room), 200)
    t.check(f"{what}: and is shown that", alice.wait(room, "leave"))
    t.status(f"{what}: leave", bob.act("leave", room), 200)
    t.check(f"{what}: the invited user's /sync shows the leave", gone(bob, since, room))

    what = "Remote invited user can see room metadata"
    room = alice.create(t.version, "invite")
    invited(what, room, bob)
    shown = events_of(bob.wait(room, "invite"), "invite_state")
    for etype, field, value in (
        ("m.room.name", "name", "The room"),
        ("m.room.join_rules", "join_rule", "invite"),
    ):
        values = [e["content"].get(field) for e in shown if e["type"] == etype]
        t.check(
            f"{what}: {etype}", values == [value] and state_of(alice, room, etype).get(field) == value, values
        )

    for what, rejects in (
        ("Remote invited user can join the room when homeserver is already participating in the room", False),
        ("Remote invited user can reject invite when homeserver is already participating in the room", True),
    ):
        room = alice.create(t.version, "invite")
        invited(what, room, bob)
        t.status(f"{what}: the first one joins", bob.join(room, at), 200)
        t.check(f"{what}: the inviter's /sync shows it", seen(alice, room, bob, "join"))
        invited(what, room, bob2)
        # The invite has also come as an event of the room.
        t.check(f"{what}: the first one sees the second invite", bob.member(room, bob2, "invite"))
        if rejects:
            t.status(f"{what}: the second one leaves", bob2.act("leave", room), 200)
            t.check(f"{what}: the inviter's /sync shows that", seen(alice, room, bob2, "leave"))
        else:
            t.status(f"{what}: the second one joins", bob2.join(room, at), 200)
            t.check(f"{what}: the inviter's /sync shows that", seen(alice, room, bob2, "join"))

    what = "Inviter user can rescind invite over federation"
    room = alice.create(t.version, "invite")
    invited(what, room, bob)
    since = bob.sync_token()
    t.status(f"{what}: kick", alice.kick(room, bob, "testing"), 200)
    t.check(f"{what}: the invited user's /sync shows the leave", gone(bob, since, room))


def complement_invites_ours(t):
    """TestFederationRoomsInvite: our room, users of Synapse."""
    federation_rooms_invite(t, HS3, HS1)


def complement_invites_theirs(t):
    """TestFederationRoomsInvite: a room of Synapse, our users."""
    federation_rooms_invite(t, HS1, HS3)


def rescinded_by_another(t, at, of, is_believed):
    alice, alice2, bob = t.user(at, "alice"), t.user(at, "alice2"), t.user(of, "bob")
    first = alice.create(t.version, "invite")
    t.status("invite to the first room", alice.invite(first, bob), 200)
    t.check("is seen", bob.wait(first, "invite"))
    t.status("join without naming a server", join_without_via(bob, first), 200)
    room = alice.create(t.version, "invite")
    t.status("invite of the second inviter", alice.invite(room, alice2), 200)
    t.check("is seen by them", alice2.wait(room, "invite"))
    t.status("who joins", join_without_via(alice2, room), 200)
    t.status("and invites", alice2.invite(room, bob), 200)
    t.check("which is seen", bob.wait(room, "invite"))
    t.status("somebody else than the inviter kicks", alice.kick(room, bob, "testing"), 200)
    # Synapse sends events to a server in their order: what comes later has come.
    st, r = alice.set_state(first, "m.room.topic", {"topic": "later"})
    t.check(
        "a later event has come",
        bob.wait(
            first,
            "join",
            lambda x: any(
                e.get("event_id") == r.get("event_id")
                for e in events_of(x, "timeline") + events_of(x, "state")
            ),
        ),
    )
    if is_believed:
        t.check("Non-invitee user can rescind invite over federation", bob.wait(room, "leave"))
    else:
        t.check(
            "Non-invitee user cannot rescind invite over federation", room in bob.rooms().get("invite", {})
        )


def complement_rescinded_by_another_ours(t):
    """TestFederationRoomsInvite, 'Non-invitee user cannot rescind invite over federation': our room, a user of Synapse."""
    rescinded_by_another(t, HS3, HS1, False)


def complement_rescinded_by_another_theirs(t):
    """The same with a room of Synapse and our user: here the library goes by the server of the inviter, on purpose."""
    rescinded_by_another(t, HS1, HS3, True)


def complement_reject_seen(t):
    """TestFederationRejectInvite: a third server in the room sees the invite and its rejection."""
    for what, at, of, by in (("ours", HS3, HS1, HS2), ("theirs", HS1, HS3, HS2), ("we watch", HS1, HS2, HS3)):
        alice, charlie, delia = t.user(at, "alice"), t.user(of, "charlie"), t.user(by, "delia")
        room = alice.create(t.version, "public")
        t.status(f"{what}: the third server joins", delia.join(room, at), 200)
        t.status(f"{what}: invite", alice.invite(room, charlie), 200)
        t.check(f"{what}: the third server sees the invite", delia.member(room, charlie, "invite"))
        t.check(f"{what}: so does the invited user", charlie.wait(room, "invite"))
        t.status(f"{what}: leave", charlie.act("leave", room), 200)
        t.check(f"{what}: the third server sees the rejection", delia.member(room, charlie, "leave"))


def complement_unban_via_invite(t):
    """TestUnbanViaInvite: banned in a room, unbanned, invited, joined again."""
    for what, at, of in (("ours", HS3, HS1), ("theirs", HS1, HS3)):
        bob, alice = t.user(at, "bob"), t.user(of, "alice")
        room = bob.create(t.version, "public")
        t.status(f"{what}: join", alice.join(room, at), 200)
        t.status(f"{what}: ban", bob.ban(room, alice), 200)
        t.check(
            f"{what}: the banned user's /sync shows it",
            alice.wait(
                room,
                "leave",
                lambda x: any(
                    e.get("state_key") == alice.id and e["content"].get("membership") == "ban"
                    for e in events_of(x, "timeline") + events_of(x, "state")
                ),
            ),
        )
        t.status(f"{what}: unban", bob.act("unban", room, {"user_id": alice.id}), 200)
        t.check(f"{what}: /sync of the other shows that", seen(bob, room, alice, "leave"))
        t.status(f"{what}: invite", bob.invite(room, alice), 200)
        t.check(f"{what}: /sync of the inviter shows it", seen(bob, room, alice, "invite"))
        t.check(f"{what}: that of the invited user too", alice.wait(room, "invite"))
        t.status(f"{what}: join again", alice.join(room, at), 200)
        t.check(f"{what}: the room has the join", bob.member(room, alice, "join"))


def complement_invites_local(t):
    """tests/csapi/rooms_invite_test.go: users of one server, ours."""
    alice, bob = t.user(HS3, "alice"), t.user(HS3, "bob")
    room = alice.create(t.version, "invite")
    t.status("Uninvited users cannot join the room", bob.act("join", room), 403)
    t.status("Users cannot invite themselves to a room", alice.invite(room, alice), 403)
    t.status("invite", alice.invite(room, bob), 200)
    x = bob.wait(room, "invite")
    shown = events_of(x, "invite_state")
    for etype, field in (("m.room.name", "name"), ("m.room.join_rules", "join_rule")):
        values = [e["content"].get(field) for e in shown if e["type"] == etype]
        t.check(
            f"Invited user can see room metadata: {etype}",
            values == [state_of(alice, room, etype).get(field)],
            values,
        )
    t.status("Invited user can reject invite", bob.act("leave", room), 200)
    t.check("which the inviter's /sync shows", seen(alice, room, bob, "leave"))
    t.status("invite again", alice.invite(room, bob), 200)
    t.status("Can invite users to invite-only rooms", bob.act("join", room), 200)
    t.check("both see the join", bob.wait(room, "join") and seen(alice, room, bob, "join"))
    t.status("Users cannot invite a user that is already in the room", alice.invite(room, bob), 403)
    t.status(
        "power for the other", alice.set_state(room, "m.room.power_levels", {"users": {bob.id: 100}}), 200
    )
    t.status("the creator leaves", alice.act("leave", room), 200)
    t.check("the other sees that", seen(bob, room, alice, "leave"))
    t.status("the creator is invited", bob.invite(room, alice), 200)
    t.check("and sees it", alice.wait(room, "invite"))
    t.status("Test that we can be reinvited to a room we created", alice.act("join", room), 200)
    t.check("the other sees the join", bob.member(room, alice, "join"))


def complement_invites_local_empty(t):
    """'Invited user can reject invite for empty room', on one server; and the same for a knock."""
    alice, bob, kay = t.user(HS3, "alice"), t.user(HS3, "bob"), t.user(HS3, "kay")
    room = alice.create(t.version, t.rule)
    t.status("invite", alice.invite(room, bob), 200)
    t.check("is seen", bob.wait(room, "invite"))
    t.status("a knock", kay.knock(room, "x"), 200)
    t.status("the only member leaves", alice.act("leave", room), 200)
    t.check("and sees that", alice.wait(room, "leave"))
    t.status("Invited user can reject invite for empty room", bob.act("leave", room), 200)
    t.check(
        "and sees the leave, and no invite",
        bob.wait(room, "leave") and room not in bob.rooms().get("invite", {}),
    )
    t.status("the knock is taken back", kay.act("leave", room), 200)
    t.check("and is not shown any more", room not in kay.rooms().get("knock", {}))


def complement_create_event_in_invite(t):
    """TestMSC4311FullCreateEventOnStrippedState: what is right of it. (Clients get four keys: matrix-org/complement#796.)"""
    for what, at, of in (("ours, local", HS3, HS3), ("ours, remote", HS3, HS1), ("theirs", HS1, HS3)):
        alice, target = t.user(at, "alice"), t.user(of, "target")
        room = alice.create(t.version, "public")
        t.status(f"{what}: invite", alice.invite(room, target), 200)
        shown = events_of(target.wait(room, "invite"), "invite_state")
        create = [e for e in shown if e["type"] == "m.room.create"]
        t.check(f"{what}: invite_state has the create event", len(create) == 1, types(shown))
        t.info(
            f"{what}: the create event in invite_state has `origin_server_ts`",
            any("origin_server_ts" in e for e in create),
        )


def check_restricted_room(t, at, of):
    """tests/restricted_rooms_test.go, checkRestrictedRoom: what needs no join by membership of another room."""
    rule = "restricted" if t.rule == "knock" else t.rule
    alice, bob = t.user(at, "alice"), t.user(of, "bob")
    what = f"{'our' if at == HS3 else 'their'} room, {'our' if of == HS3 else 'their'} user"
    allowed, room = alice.create(t.version, "public"), alice.create(t.version, "invite")
    content = {"join_rule": rule, "allow": [{"type": "m.room_membership", "room_id": allowed, "via": [at]}]}
    t.status(f"{what}: the rule", alice.set_state(room, "m.room.join_rules", content), 200)
    refused(t, f"{what}: Join should fail initially", bob.join(room, at))
    t.status(f"{what}: the allowed room is joined", bob.join(allowed, at), 200)
    t.check(f"{what}: which its server has seen", alice.member(allowed, bob, "join"))
    st, r = bob.join(room, at)
    # 200 in Complement, and here as soon as the host does restricted joins.
    t.info(f"{what}: Join should succeed when joined to allowed room", st)
    if st == 200:
        t.status(f"{what}: the room is left", bob.act("leave", room), 200)
        t.check(f"{what}: which its server has seen", alice.member(room, bob, "leave"))
    t.status(f"{what}: the allowed room is left", bob.act("leave", allowed), 200)
    t.check(f"{what}: which its server has seen", alice.member(allowed, bob, "leave"))
    refused(t, f"{what}: Join should fail when left allowed room", bob.join(room, at))
    t.status(f"{what}: invite", alice.invite(room, bob), 200)
    t.check(f"{what}: is seen", bob.wait(room, "invite"))
    t.status(f"{what}: Join should succeed when invited", bob.join(room, at), 200)
    t.status(f"{what}: leave", bob.act("leave", room), 200)
    t.check(f"{what}: which the room's server has seen", alice.member(room, bob, "leave"))
    t.status(f"{what}: the allowed room is joined again", bob.join(allowed, at), 200)
    for allow in (["invalid"], "invalid"):
        t.status(
            f"{what}: allow {allow!r}",
            alice.set_state(room, "m.room.join_rules", {"join_rule": rule, "allow": allow}),
            200,
        )
        refused(t, f"{what}: Join should fail with mangled join rules: {allow!r}", bob.join(room, at))
        if rule == "knock_restricted":
            # Not of Complement: `allow` is nothing to a knock.
            t.status(f"{what}: but a knock is taken: {allow!r}", bob.knock(room, "x", [at]), 200)


def complement_restricted(t):
    """TestRestrictedRoomsLocalJoin, TestRestrictedRoomsRemoteJoin, and the two InMSC3787Room."""
    for at, of in ((HS3, HS3), (HS3, HS1), (HS1, HS3)):
        check_restricted_room(t, at, of)


def complement_restricted_failover(t):
    """TestRestrictedRoomsRemoteJoinFailOver, first half: ours is in the room and cannot let anybody in; another server can."""
    rule = "restricted" if t.rule == "knock" else t.rule
    alice, bob, charlie = t.user(HS1, "alice"), t.user(HS3, "bob"), t.user(HS2, "charlie")
    allowed, room = alice.create(t.version, "public"), alice.create(t.version, "invite")
    content = {"join_rule": rule, "allow": [{"type": "m.room_membership", "room_id": allowed, "via": [HS1]}]}
    t.status("the rule", alice.set_state(room, "m.room.join_rules", content), 200)
    levels = {"invite": 100} | ({} if t.version == "12" else {"users": {alice.id: 100}})
    t.status("only the creator may invite", alice.set_state(room, "m.room.power_levels", levels), 200)
    t.status("invite", alice.invite(room, bob), 200)
    t.check("is seen", bob.wait(room, "invite"))
    t.status("we join", bob.join(room, HS1), 200)
    t.status("the third server joins the allowed room", charlie.join(allowed, HS1), 200)
    t.check("which the first has seen", alice.member(allowed, charlie, "join"))
    refused(t, "a join by way of us", charlie.join(room, HS3))
    got = charlie.http("POST", f"/_matrix/client/v3/join/{q(room)}?via={q(HS3)}&via={q(HS1)}", {})
    t.status("a join by way of us, then of the first server", got, 200)
    for name, who in (("the first server", alice), ("ours", bob)):
        m = who.member(room, charlie, "join")
        t.check(
            f"{name} has the join, authorized by its creator",
            m and m.get("join_authorised_via_users_server") == alice.id,
            m,
        )


def complement_concurrent_join_rules(t):
    """tests/v12_test.go, 'admin with >PL100 sorts after the room creator for state resolution': two join rules at once, the
    later one `knock`. The host has no state resolution: here the last to come counts, which is the same event."""
    alice, bob = t.user(HS3, "alice"), Hand(t, "bob")
    room = alice.create(t.version, "public")
    st, r = t.make("join", room, bob.id)
    join, jid = t.build(r["event"])
    t.status("the other one joins", t.send("join", room, join, jid, ver="v2"), 200)
    st, levels = alice.set_state(room, "m.room.power_levels", {"users": {bob.id: 9493420}})
    t.status("and gets a level above 100", (st, levels), 200)
    t.status(
        "the creator sets `invite`", alice.set_state(room, "m.room.join_rules", {"join_rule": "invite"}), 200
    )
    ev, eid = t.build(
        {
            "type": "m.room.join_rules",
            "state_key": "",
            "room_id": room,
            "sender": bob.id,
            "content": {"join_rule": "knock"},
            "prev_events": [levels["event_id"]],
            "auth_events": [levels["event_id"], jid],
            "depth": join["depth"] + 2,
        }
    )
    txn = {"origin": HS2, "origin_server_ts": int(time.time() * 1000), "pdus": [ev]}
    got = t.fed("PUT", f"/_matrix/federation/v1/send/{t.unique()}", txn)
    t.check("the other one's `knock` is taken", got == (200, {"pdus": {eid: {}}}), got)
    t.check(
        "/sync shows it",
        alice.wait(
            room,
            "join",
            lambda x: any(e.get("event_id") == eid for e in events_of(x, "timeline") + events_of(x, "state")),
        ),
    )
    t.check(
        "the join rule is `knock`", state_of(alice, room, "m.room.join_rules").get("join_rule") == "knock"
    )
    kay = Hand(t, "kay")
    kay.knock(room)
    t.check("and one can knock", alice.member(room, kay, "knock"))
