"""A server that lies in each of its answers, or does not answer. What our host signs, shows and says to its clients."""

import copy
import json
import time

from actors import DROP, HS1, HS3, STUB, events_of, q
from proxy import Lost, Stub, serve
from signedjson.key import generate_signing_key
from servers import HS4

EVIL = "EVIL"


class Room:
    """A room of the stub: its events are built here, and it has no homeserver behind it."""

    def __init__(self, t, who):
        self.t, self.who, self.admin = t, who, f"@admin{t.unique()}:{STUB}"
        self.id = None if t.version == "12" else f"!room{t.unique()}:{STUB}"
        content = {"room_version": t.version} | ({} if int(t.version) > 10 else {"creator": self.admin})
        self.create, create_id = self.event("m.room.create", content, auth=[], depth=1)
        if self.id is None:
            self.id = "!" + create_id[1:]
        join = {"membership": "join"}
        first = [] if t.version == "12" else [create_id]
        self.join, join_id = self.event("m.room.member", join, self.admin, auth=first, depth=2)
        rule = {"join_rule": t.rule} | ({"allow": []} if t.rule != "knock" else {})
        self.rules, rules_id = self.event("m.room.join_rules", rule, auth=[*first, join_id], depth=3)
        self.name, self.last = self.event("m.room.name", {"name": "Honest"}, auth=[*first, join_id], depth=4)
        self.auth = [*first, rules_id]

    def event(self, event_type, content, state_key="", auth=None, depth=5, signer=STUB, **over):
        event = {
            "type": event_type,
            "sender": self.admin,
            "content": content,
            "depth": depth,
            "auth_events": self.auth if auth is None else auth,
            "prev_events": [] if depth == 1 else ["$" + "x" * 43],
        }
        if self.id is not None:
            event["room_id"] = self.id
        if state_key is not DROP:
            event["state_key"] = state_key
        return self.t.build(event, signer=signer, **over)

    def template(self):
        return {
            "room_version": self.t.version,
            "event": {
                "type": "m.room.member",
                "state_key": self.who.id,
                "sender": self.who.id,
                "room_id": self.id,
                "content": {"membership": "knock"},
                "depth": 5,
                "auth_events": self.auth,
                "prev_events": [self.last],
                "origin_server_ts": int(time.time() * 1000),
                "origin": HS3,
            },
        }

    def state(self):
        return [self.create, self.rules, self.name]

    def answer(self, endpoint, answer):
        self.t.world.stub.script[endpoint, self.id] = answer

    def sent(self):
        """The events that the stub was sent with `send_knock`."""
        return [json.loads(raw) for raw in self.t.world.stub.got.get(("send_knock", self.id), [])]


def endless(start):
    """A body that never ends."""

    def chunks():
        yield start
        while True:
            yield b"x" * 65536

    return chunks()


def lying_templates(honest):
    """Names and answers to make_knock; a dictionary of changes is of the event."""

    def with_event(**changes):
        answer = copy.deepcopy(honest)
        answer["event"].update(changes)
        answer["event"] = {key: value for key, value in answer["event"].items() if value is not DROP}
        return 200, answer

    def with_content(**changes):
        answer = copy.deepcopy(honest)
        answer["event"]["content"].update(changes)
        return 200, answer

    other = f"@other:{HS3}"
    yield "nothing", (200, b"")
    yield "no JSON", (200, b"<html>")
    yield "a list", (200, [])
    yield "null", (200, b"null")
    yield "not UTF-8", (200, b'{"event":"\xff"}')
    yield "deep", (200, b"[" * 200_000)
    yield "huge", (200, b'{"event":{"x":"' + b"x" * 20_000_000 + b'"}}')
    yield "a redirect", (302, b"")
    yield "no event", (200, {"room_version": honest["room_version"]})
    yield "no version", (200, {"event": honest["event"]})
    yield "a version that nobody has", (200, honest | {"room_version": "org.example.99"})
    yield "a version without knocking", (200, honest | {"room_version": "6"})
    yield "a version that is no string", (200, honest | {"room_version": 10})
    yield "another type", with_event(type="m.room.power_levels")
    yield "a message", with_event(type="m.room.message", state_key=DROP, content={"body": EVIL})
    yield "another sender", with_event(sender=other)
    yield "another state key", with_event(state_key=other)
    yield "both another", with_event(sender=other, state_key=other)
    yield "no state key", with_event(state_key=DROP)
    yield "another room", with_event(room_id="!other:evil.example")
    yield "no room", with_event(room_id=DROP)
    yield "a redaction too", with_event(redacts="$" + "x" * 43)
    yield "joins", with_content(membership="join")
    yield "leaves", with_content(membership="leave")
    yield "no membership", with_event(content={})
    yield "content that is no object", with_event(content=EVIL)
    yield "another name", with_content(displayname=EVIL, reason=EVIL, avatar_url=EVIL)
    yield "more content", with_content(evil=EVIL, third_party_invite={"signed": {"mxid": other}})
    yield "an authorising user", with_content(join_authorised_via_users_server=other)
    yield "much content", with_content(evil=EVIL * 20_000)
    yield "10,000 auth events", with_event(auth_events=["$" + "x" * 43] * 10_000)
    yield "auth events that are none", with_event(auth_events=[5])
    yield "10,000 previous events", with_event(prev_events=["$" + "x" * 43] * 10_000)
    yield "a depth beyond all", with_event(depth=2**53)
    yield "a negative depth", with_event(depth=-5)
    yield "a time far off", with_event(origin_server_ts=2**53 - 1)
    yield "hashes and signatures", with_event(hashes={"sha256": EVIL}, signatures={STUB: {"ed25519:x": EVIL}})
    yield "unsigned", with_event(unsigned={"x": EVIL * 30_000})
    yield "an event ID", with_event(event_id="$evil")


def hostile_template(t):
    """A server that lies in its template: nothing but a knock of our user on that room is ever signed."""
    our = t.user(HS3, "our")
    room = Room(t, our)
    room.answer("send_knock", (200, {"knock_room_state": room.state()}))
    for what, answer in lying_templates(room.template()):
        room.answer("make_knock", answer)
        before = len(room.sent())
        began = time.monotonic()
        status, answer = our.knock(room.id, "Hello", [STUB])
        t.check(f"{what}: answered in time", time.monotonic() - began < 20, time.monotonic() - began)
        sent = room.sent()[before:]
        t.check(f"{what}: an error, or it was sent", (status == 200) == bool(sent), (status, answer))
        t.check(
            f"{what}: no word about our own server", status in (200, 400, 403, 404, 502), (status, answer)
        )
        for event in sent:
            seen = {key: event.get(key) for key in ("type", "sender", "state_key", "room_id")}
            asked = {"type": "m.room.member", "sender": our.id, "state_key": our.id, "room_id": room.id}
            t.equal(f"{what}: what was signed", seen, asked)
            t.equal(f"{what}: its content", event["content"], {"membership": "knock", "reason": "Hello"})
            t.check(
                f"{what}: nothing else in it", EVIL not in json.dumps(event) and "redacts" not in event, event
            )
    room.answer("make_knock", (200, room.template()))
    t.status("the truth is taken", our.knock(room.id, "Hello", [STUB]), 200)


def lying_states(t, room):
    """Names and answers to send_knock; all that is EVIL must not be shown."""
    state = room.state()

    def named(name=EVIL, **more):
        return room.event("m.room.name", {"name": name}, **more)[0]

    def changed(event, **changes):
        return copy.deepcopy(event) | changes

    def entries(*more):
        return 200, {"knock_room_state": [*state, *more]}

    other_room = Room(t, room.who)
    yield "a name that was changed", entries(changed(room.name, content={"name": EVIL}))
    yield "a name without signatures", entries(changed(named(), signatures={}))
    yield "a signature of another key", entries(named(signer=HS1))
    yield "a sender of another server", entries(named(sender=f"@x:{HS1}"))
    yield "a sender whose server is down", entries(named(sender=f"@x:{HS4}"))
    yield "a name of another room", entries(other_room.event("m.room.name", {"name": EVIL})[0])
    yield (
        "another create event",
        entries(other_room.create, changed(room.create, content={"room_version": "1", "x": EVIL})),
    )
    yield (
        "our user's join",
        entries(room.event("m.room.member", {"membership": "join", "displayname": EVIL}, room.who.id)[0]),
    )
    yield (
        "our user's ban",
        entries(room.event("m.room.member", {"membership": "ban", "reason": EVIL}, room.who.id)[0]),
    )
    yield "a message", entries(room.event("m.room.message", {"body": EVIL}, state_key=DROP)[0])
    yield "no events", entries(None, 5, EVIL, [], {}, {"type": "m.room.name"})
    yield "10,000 entries", entries(*[changed(named(), signatures={})] * 10_000)
    yield (
        "a name of 5 MB",
        entries(
            {
                "type": "m.room.name",
                "state_key": "",
                "sender": room.admin,
                "content": {"name": EVIL * 1_250_000},
            }
        ),
    )
    yield "no list", (200, {"knock_room_state": {"x": EVIL}})
    yield "nothing", (200, b"")
    yield "no JSON", (200, EVIL.encode())
    yield "deep", (200, b'{"knock_room_state":[' + b"[" * 200_000)
    yield "huge", (200, b'{"knock_room_state":[' + b'"EVIL",' * 3_000_000)
    yield "the list twice", (200, b'{"knock_room_state":[],"knock_room_state":["EVIL"]}')


def hostile_state(t):
    """A server that lies in its answer to send_knock: the knock stands, and no lie is shown."""
    our = t.user(HS3, "our")
    room = Room(t, our)
    room.answer("make_knock", lambda path, raw: (200, room.template()))
    for what, answer in lying_states(t, room):
        room.answer("send_knock", answer)
        began = time.monotonic()
        t.status(f"{what}: knock", our.knock(room.id, "Hello", [STUB]), 200)
        t.check(f"{what}: answered in time", time.monotonic() - began < 20, time.monotonic() - began)
        entry = our.rooms()["knock"].get(room.id)
        t.check(f"{what}: no lie is shown", entry and EVIL not in json.dumps(entry), entry)
        own = [e for e in events_of(entry, "knock_state") if e["type"] == "m.room.member"]
        t.equal(
            f"{what}: of the members the user alone, who knocks",
            [(e["state_key"], e["content"]["membership"]) for e in own],
            [(our.id, "knock")],
        )
        name = [e["content"]["name"] for e in events_of(entry, "knock_state") if e["type"] == "m.room.name"]
        t.check(f"{what}: the room's name, if any", name in ([], ["Honest"]), name)
    room.answer("send_knock", (200, {"knock_room_state": room.state()}))
    t.status("the truth is taken", our.knock(room.id, "Hello", [STUB]), 200)
    shown = events_of(our.rooms()["knock"][room.id], "knock_state")
    t.equal(
        "and shown",
        [e["type"] for e in shown],
        ["m.room.create", "m.room.join_rules", "m.room.name", "m.room.member"],
    )


def hostile_invite(t):
    """A server that lies in an invite: it is refused, nothing is signed or shown."""
    our, other = t.user(HS3, "our"), t.user(HS3, "other")
    room = Room(t, our)
    join = room.event("m.room.member", {"membership": "join"}, room.admin)[0]

    def invite(target=our.id, content=None, **more):
        return room.event("m.room.member", content or {"membership": "invite"}, target, **more)

    def put(event, event_id, room_id=room.id, body=None, **over):
        whole = {"event": event, "room_version": t.version, "invite_room_state": [*room.state(), join]} | over
        body = body if body is not None else {k: v for k, v in whole.items() if v is not DROP}
        uri = f"/_matrix/federation/v2/invite/{q(room_id)}/{q(event_id)}"
        return t.fed("PUT", uri, body, origin=STUB)

    good, good_id = invite()
    lies = [
        ("joins", put(*invite(content={"membership": "join"}))),
        ("bans", put(*invite(content={"membership": "ban"}))),
        ("another type", put(*room.event("m.room.name", {"name": EVIL}, our.id))),
        ("a user of another server", put(*invite(target=f"@x:{HS1}"))),
        ("a sender of another server", put(*invite(sender=f"@x:{HS1}"))),
        ("no user", put(*invite(target="nobody"))),
        ("another event ID", put(good, "$" + "x" * 43)),
        ("another room", put(good, good_id, "!other:" + STUB)),
        ("changed after it was signed", put(good | {"origin_server_ts": 5}, good_id)),
        ("not signed", put(good | {"signatures": {}}, good_id)),
        ("signed by another", put(*invite(signer=HS1))),
        ("a version that nobody has", put(good, good_id, room_version="org.example.99")),
        ("another version", put(good, good_id, room_version="11" if t.version == "12" else "12")),
        ("no event", put(None, good_id)),
        ("an event that is a list", put([], good_id)),
        ("no body", put(good, good_id, body={})),
    ]
    if t.version == "12":
        lies += [
            ("no state", put(good, good_id, invite_room_state=DROP)),
            ("no create event", put(good, good_id, invite_room_state=[room.rules])),
            ("a state that is no list", put(good, good_id, invite_room_state={})),
            ("10,000 entries", put(good, good_id, invite_room_state=[room.create] + [{"x": EVIL}] * 10_000)),
        ]
    for what, (status, answer) in lies:
        t.check(f"{what}: refused", status in (400, 403) and "errcode" in answer, (status, answer))
        t.check(f"{what}: not signed", HS3 not in json.dumps(answer.get("event", {})), answer)
    for user in (our, other):
        t.equal("nobody is shown an invite", user.rooms()["invite"], {})
    # What is changed in an event of the state after it was signed is taken out of it, and the rest believed.
    changed = room.name | {"content": {"name": EVIL}}
    t.status(
        "a name that was changed", put(good, good_id, invite_room_state=[*room.state(), join, changed]), 200
    )
    shown = json.dumps(our.rooms()["invite"])
    t.check("is not shown", room.id in shown and EVIL not in shown, shown)
    status, answer = put(good, good_id)
    t.check(
        "the truth is taken, and signed by us",
        status == 200 and HS3 in answer["event"]["signatures"],
        (status, answer),
    )
    t.equal("and shown", list(our.rooms()["invite"]), [room.id])


def hostile_keys(t):
    """Servers whose key documents lie: what is signed by such keys is not believed."""
    host = t.user(HS3, "host")
    room = host.create(t.version, t.rule)
    day = 86_400_000

    def lies(stub):
        honest = stub.honest_keys

        def unsigned(**changes):
            document = {k: v for k, v in honest().items() if k != "signatures"} | changes
            return {k: v for k, v in document.items() if v is not DROP}

        yield "of another server", lambda: stub.sign(unsigned(server_name=STUB))
        yield "not signed", unsigned
        yield (
            "changed after it was signed",
            lambda: honest() | {"valid_until_ts": int(time.time() * 1000) + 2 * day},
        )
        yield "expired", lambda: stub.sign(unsigned(valid_until_ts=5))
        yield "no end", lambda: stub.sign(unsigned(valid_until_ts=DROP))
        yield "no keys", lambda: stub.sign(unsigned(verify_keys={}))
        yield (
            "keys that are none",
            lambda: stub.sign(unsigned(verify_keys={f"ed25519:{stub.key.version}": {"key": "AA"}})),
        )
        yield "a list", lambda: []
        yield "huge", lambda: b'{"x":"' + b"x" * 20_000_000 + b'"}'
        yield "endless", lambda: endless(b'{"x":"')
        yield "deep", lambda: b"[" * 200_000
        yield "lost", lambda: (_ for _ in ()).throw(Lost())

    certificate = f"{t.world.work}/certificate.pem", f"{t.world.work}/key.pem"
    count = len(list(lies(Stub("x", generate_signing_key("x"), None))))
    for number in range(count + 1):
        name = f"127.0.0.1:{14500 + number}"
        key = t.world.keys[name] = generate_signing_key(f"k{number}")
        stub = Stub(name, key, None)
        what, document = [*lies(stub), ("the truth", stub.honest_keys)][number]
        stub.key_document = document
        server = serve(t.world.network, name, stub, certificate)
        try:
            began = time.monotonic()
            got = t.make("knock", room, f"@user:{name}", origin=name)
            t.check(f"{what}: answered in time", time.monotonic() - began < 20, time.monotonic() - began)
            t.status(f"key document: {what}", got, 200 if what == "the truth" else 401)
        finally:
            server.shutdown()
            server.server_close()


def hostile_silence(t):
    """Servers that do not answer, answer without end, or reset: who else asks is answered meanwhile."""
    our, other = t.user(HS3, "our"), t.user(HS3, "other")
    room = Room(t, our)
    honest = other.create(t.version, t.rule)
    for what, answer in [
        ("endless", lambda path, raw: (200, endless(b'{"event":{"x":"'))),
        ("reset", lambda path, raw: (_ for _ in ()).throw(Lost())),
        ("silent", lambda path, raw: (time.sleep(45), (200, b""))[1]),
    ]:
        for endpoint in ("make_knock", "send_knock"):
            room.answer("make_knock", lambda path, raw: (200, room.template()))
            room.answer(endpoint, answer)
            knock = t.background(our.knock, room.id, "Hello", [STUB])
            began, before = time.monotonic(), len(room.sent())
            for _ in range(10):
                asked = time.monotonic()
                t.status(
                    f"{what}, {endpoint}: others are answered",
                    other.set_state(honest, "m.room.topic", {"topic": str(asked)}),
                    200,
                )
                t.check(
                    f"{what}, {endpoint}: at once", time.monotonic() - asked < 3, time.monotonic() - asked
                )
            got = knock(100)
            t.check(
                f"{what}, {endpoint}: our client has an answer in time",
                got and time.monotonic() - began < 95,
                got,
            )
            # An answer to send_knock that cannot be read is an answer: the knock stands.
            wanted = 200 if (what, endpoint) == ("endless", "send_knock") else 502
            t.status(f"{what}, {endpoint}: our client is told", got or (None, None), wanted)
            if endpoint == "make_knock":
                t.equal(f"{what}: nothing was sent", len(room.sent()), before)
    with open(f"/proc/{t.world.servers[HS3].process.pid}/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    t.check("the host has used less than 400 MB", peak < 400_000, peak)
