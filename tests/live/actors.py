"""What the scenarios are written with: users of each server, requests signed by hand, and what is checked."""

import http.client
import itertools
import json
import threading
import time
import urllib.parse
from contextlib import contextmanager

from canonicaljson import encode_canonical_json
from proxy import Fault, Hold
from servers import HS1, HS2, HS3, HS5, STUB
from signedjson.sign import sign_json
from synapse.api.room_versions import KNOWN_ROOM_VERSIONS
from synapse.crypto.event_signing import add_hashes_and_signatures
from synapse.events import make_event_from_dict

VERSIONS = ["7", "8", "9", "10", "11", "12"]
COUNTER = itertools.count(1)
# How long something may take to get from one server to another, in seconds. It is waited for only if it does not come.
PATIENCE = 15.0
FULL = ["m.room.avatar", "m.room.create", "m.room.join_rules", "m.room.member", "m.room.name", "m.room.topic"]
# Stands for a key of an event that is left out.
DROP = object()


def q(text):
    return urllib.parse.quote(text, safe="")


def four_keys(events):
    return all(set(event) == {"content", "sender", "state_key", "type"} for event in events)


def types(events):
    return sorted(event["type"] for event in events)


def events_of(entry, section):
    return entry.get(section, {}).get("events", []) if entry else []


def until(what, timeout=PATIENCE, pause=0.1):
    """What this returns, once it is true; the last that it returned if that does not come."""
    end = time.monotonic() + timeout
    while True:
        found = what()
        if found or time.monotonic() > end:
            return found
        time.sleep(pause)


class World:
    """All the servers and what is between them."""

    def __init__(self, network, work):
        self.network, self.work = network, work
        # By server name: processes, and the keys by which requests in their names are signed by hand.
        self.servers, self.keys = {}, {}
        self.stub = None


class Member:
    """A user of a Synapse or of a host, by the same calls."""

    def __init__(self, t, server, name, display=None):
        self.t, self.server, self.process = t, server, t.world.servers[server]
        name = f"{name}{t.unique()}"
        self.local = server in (HS3, HS5)
        if self.local:
            self.id, self.token = f"@{name}:{server}", name
        else:
            body = {"username": name, "password": f"pw-{name}", "auth": {"type": "m.login.dummy"}}
            status, answer = self.process.raw("POST", "/_matrix/client/v3/register", body)
            assert status == 200, (status, answer)
            self.id, self.token = answer["user_id"], answer["access_token"]
        if display is not None:
            self.http("PUT", f"/_matrix/client/v3/profile/{q(self.id)}/displayname", {"displayname": display})

    def http(self, method, uri, body=None, headers=None):
        return self.process.raw(method, uri, body, self.token, headers)

    def knock(self, room, reason=None, via=(), headers=None, param="via", raw_body=None):
        uri = f"/_matrix/client/v3/knock/{q(room)}"
        if via:
            uri += "?" + "&".join(f"{param}=" + q(server) for server in via)
        body = {} if reason is None else {"reason": reason}
        return self.http("POST", uri, body if raw_body is None else raw_body, headers)

    def act(self, action, room, body=None):
        return self.http("POST", f"/_matrix/client/v3/rooms/{q(room)}/{action}", body or {})

    def join(self, room, via):
        return self.http("POST", f"/_matrix/client/v3/join/{q(room)}?via={q(via)}", {})

    def leave(self, room, reason=None):
        return self.act("leave", room, {"reason": reason} if reason else {})

    def invite(self, room, who, reason=None):
        return self.act("invite", room, {"user_id": who.id} | ({"reason": reason} if reason else {}))

    def kick(self, room, who, reason="no"):
        return self.act("kick", room, {"user_id": who.id, "reason": reason})

    def ban(self, room, who):
        return self.act("ban", room, {"user_id": who.id})

    def unban(self, room, who):
        return self.act("unban", room, {"user_id": who.id})

    def set_state(self, room, event_type, content, key=""):
        uri = f"/_matrix/client/v3/rooms/{q(room)}/state/{q(event_type)}/{q(key)}"
        return self.http("PUT", uri, content)

    def pending(self, room):
        """Who waits, as the host's own index has it."""
        return self.http("GET", f"/_knock/pending/{q(room)}")[1]

    def rooms(self):
        # Another limit each time: Synapse caches answers to the same request.
        chosen = {"room": {"include_leave": True, "timeline": {"limit": 100 + next(COUNTER) % 1000}}}
        uri = f"/_matrix/client/v3/sync?timeout=0&set_presence=offline&filter={q(json.dumps(chosen))}"
        status, answer = self.http("GET", uri)
        assert status == 200, (status, answer)
        return answer.get("rooms", {})

    def sync_token(self):
        chosen = {"room": {"timeline": {"limit": 1 + next(COUNTER) % 1000}}}
        uri = f"/_matrix/client/v3/sync?timeout=0&set_presence=offline&filter={q(json.dumps(chosen))}"
        return self.http("GET", uri)[1]["next_batch"]

    def news(self, since, room, section, timeout=PATIENCE):
        """The entry of the room in this section of an incremental /sync of Synapse, once it is there."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            uri = f"/_matrix/client/v3/sync?timeout=500&set_presence=offline&since={since}"
            _, answer = self.http("GET", uri)
            since = answer["next_batch"]
            entry = answer.get("rooms", {}).get(section, {}).get(room)
            if entry is not None:
                return entry
        return None

    def wait(self, room, section, what=lambda entry: True, timeout=PATIENCE):
        """The entry of the room in this section of /sync, once it is there and as wanted."""

        def found():
            entry = self.rooms().get(section, {}).get(room)
            return entry if entry is not None and what(entry) else None

        return until(found, timeout, 0.2)

    def member(self, room, who, membership=None, timeout=PATIENCE, reason=None):
        """The content of the member event of `who` as this user is told, once it has this membership (and reason)."""
        uri = f"/_matrix/client/v3/rooms/{q(room)}/state/m.room.member/{q(who.id)}"

        def found():
            status, content = self.http("GET", uri)
            is_it = status == 200 and content.get("membership") == membership
            return content if is_it and (reason is None or content.get("reason") == reason) else None

        if membership is None:
            status, content = self.http("GET", uri)
            return content if status == 200 else None
        return until(found, timeout)

    def log(self):
        """What the host has written about this user."""
        with open(f"{self.process.folder}/stdout.txt", encoding="utf-8", errors="replace") as file:
            return [line.strip() for line in file if self.id in line]

    def is_let_in(self, room, how):
        """Whether the host took an invite to this room as the answer to the user's knock, and how it knew."""
        return any(f"{self.id} is let into {room}: " in line and how in line for line in self.log())

    def create(self, version, rule, **more):
        """A room with everything that stripped state has."""
        content = {"join_rule": rule}
        if rule in ("restricted", "knock_restricted"):
            content["allow"] = more.pop(
                "allow", [{"type": "m.room_membership", "room_id": "!elsewhere:example.org"}]
            )
        state = [
            {"type": "m.room.join_rules", "state_key": "", "content": content},
            {"type": "m.room.avatar", "state_key": "", "content": {"url": "mxc://x/y"}},
        ]
        if "acl" in more:
            state.append({"type": "m.room.server_acl", "state_key": "", "content": more.pop("acl")})
        body = {
            "room_version": version,
            "preset": "private_chat",
            "name": "The room",
            "topic": "All about it",
        }
        status, answer = self.http(
            "POST", "/_matrix/client/v3/createRoom", body | {"initial_state": state} | more
        )
        assert status == 200, (status, answer)
        return answer["room_id"]


class T:
    """One scenario in one room version with one join rule: makes users, keeps what was checked."""

    def __init__(self, world, version, rule, name):
        self.world, self.version, self.rule, self.name = world, version, rule, name
        self.checks, self.infos = [], []

    @property
    def column(self):
        return ("r" if self.rule != "knock" else "") + self.version

    def info(self, what, value):
        """Notes something that may be one way or the other."""
        self.infos.append((what, str(value)))

    def unique(self):
        return f"v{self.version}{'r' if self.rule != 'knock' else ''}n{next(COUNTER)}"

    def user(self, server, name, display=None):
        return Member(self, server, name, display)

    def check(self, what, good, detail=None):
        self.checks.append((what, bool(good), detail))
        return good

    def equal(self, what, got, wanted):
        return self.check(what, got == wanted, f"got {got!r} instead of {wanted!r}")

    def status(self, what, got, status, errcode=None):
        answered, answer = got
        code = answer.get("errcode") if isinstance(answer, dict) else None
        return self.check(what, answered == status and errcode in (None, code), got)

    def other_room(self):
        """The ID of a room of this version that nobody has, of this server where the version has a server in it."""
        return "!" + "A" * 43 if self.version == "12" else f"!gone{self.unique()}"

    def events_sent(self, endpoint, room, user, *servers):
        """The IDs of the events of (or for) this user that these servers were sent by this endpoint of a room."""
        return self.world.network.events_sent(endpoint, room, user.id, servers)

    # -- faults --------------------------------------------------------------------------

    @contextmanager
    def fault(self, server, part, **what):
        fault = self.world.network.add(Fault(server, part, **what))
        try:
            yield fault
        finally:
            self.world.network.remove(fault)

    @contextmanager
    def hold(self, server, part, when):
        """Requests to this server with this part wait `before` they get there, or `after` they were answered."""
        hold = Hold()
        try:
            with self.fault(server, part, **{when: hold}):
                yield hold
        finally:
            hold.release()

    @staticmethod
    def background(function, *arguments):
        """Calls it in a thread of its own. What is returned gives the result (`None` if the connection broke)."""
        result = []

        def run():
            try:
                result.append(function(*arguments))
            except (OSError, http.client.HTTPException):
                result.append(None)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()

        def finished(timeout=90):
            thread.join(timeout)
            return result[0] if result else None

        return finished

    # -- federation by hand ----------------------------------------------------------------

    def fed(self, method, uri, content=None, origin=HS2, to=HS3, sign=True, destination=None, headers=None):
        """A request signed in the name of `origin`, past the proxy."""
        destination = destination or to
        sent = {"Host": to}
        if sign:
            request = {"method": method, "uri": uri, "origin": origin, "destination": destination}
            if content is not None:
                request["content"] = content
            signatures = sign_json(request, origin, self.world.keys[origin])["signatures"][origin]
            ((key_id, signature),) = signatures.items()
            parts = f'origin="{origin}",key="{key_id}",sig="{signature}",destination="{destination}"'
            sent["Authorization"] = f"X-Matrix {parts}"
        body = None if content is None else encode_canonical_json(content)
        return self.world.servers[to].raw(method, uri, body, headers=sent | (headers or {}))

    def make(self, kind, room, user_id, vers=None, origin=HS2, **more):
        vers = [self.version] if vers is None else vers
        uri = f"/_matrix/federation/v1/make_{kind}/{q(room)}/{q(user_id)}"
        if vers:
            uri += "?" + "&".join("ver=" + q(version) for version in vers)
        return self.fed("GET", uri, None, origin, **more)

    def build(self, template, content=None, signer=HS2, **over):
        """Fills in, hashes and signs a template. Returns the event and its ID."""
        event = json.loads(json.dumps(template))
        event["content"] = {**event.get("content", {}), **(content or {})}
        event.setdefault("origin_server_ts", int(time.time() * 1000))
        event.update(over)
        event = {
            key: value
            for key, value in event.items()
            if value is not DROP and key not in ("signatures", "hashes")
        }
        version = KNOWN_ROOM_VERSIONS[self.version]
        add_hashes_and_signatures(version, event, signer, self.world.keys[signer])
        return event, make_event_from_dict(json.loads(json.dumps(event)), version).event_id

    def send(self, kind, room, event, event_id, origin=HS2, ver="v1", **more):
        uri = f"/_matrix/federation/{ver}/send_{kind}/{q(room)}/{q(event_id)}"
        return self.fed("PUT", uri, event, origin, **more)

    def join_by_hand(self, room, user_id, origin, to=HS3):
        """Joins a user of a server that has keys and no homeserver. Returns the event's ID."""
        uri = f"/_matrix/federation/v1/make_join/{q(room)}/{q(user_id)}?ver={self.version}"
        status, answer = self.fed("GET", uri, None, origin, to)
        assert status == 200, (status, answer)
        join, event_id = self.build(answer["event"], signer=origin)
        uri = f"/_matrix/federation/v2/send_join/{q(room)}/{q(event_id)}"
        status, answer = self.fed("PUT", uri, join, origin, to)
        assert status == 200, (status, answer)
        return event_id


class Hand:
    """A user of a Synapse that this does not know of (or of the stub): its requests are signed by hand."""

    def __init__(self, t, name, server=HS2):
        self.t, self.server, self.id = t, server, f"@{name}{t.unique()}:{server}"

    def template(self, room):
        status, answer = self.t.make("knock", room, self.id, origin=self.server)
        assert status == 200, (status, answer)
        return answer["event"]

    def knock(self, room, content=None, **over):
        event, event_id = self.t.build(self.template(room), content, self.server, **over)
        got = self.t.send("knock", room, event, event_id, self.server)
        assert got[0] == 200, got
        return event, event_id


__all__ = [
    "DROP",
    "FULL",
    "VERSIONS",
    "HS1",
    "HS2",
    "HS3",
    "HS5",
    "STUB",
    "Hand",
    "KNOWN_ROOM_VERSIONS",
    "Member",
    "PATIENCE",
    "T",
    "World",
    "events_of",
    "four_keys",
    "q",
    "types",
    "until",
]
