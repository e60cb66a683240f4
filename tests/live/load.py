"""10,000 knocks from 100 simulated servers, all at once, on one room of the host; for `live.py --load MEMBERS`.

Each server has a name of its own (127.0.0.1 and a port), signs its requests and events, and answers for its key. Before
the knocks so many MEMBERS join the room from ten of these servers, in transactions, as they would come in a real room.
"""

import base64
import hashlib
import http.client
import json
import multiprocessing
import threading
import time

from actors import HS3, T, q
from canonicaljson import encode_canonical_json
from proxy import Stub, serve
from signedjson.key import generate_signing_key

SERVERS, KNOCKS, RESIDENT_SERVERS = 100, 10_000, 10
FIRST_PORT = 20_100
VERSION = "11"
KEPT = (
    "type",
    "room_id",
    "sender",
    "state_key",
    "content",
    "hashes",
    "depth",
    "prev_events",
    "auth_events",
    "origin_server_ts",
)


def unpadded(digest, alphabet=base64.b64encode):
    return alphabet(digest).decode().rstrip("=")


def signature(key, value):
    return unpadded(key.sign(encode_canonical_json(value)).signature)


def sign_event(event, server, key):
    """Hashes and signs a member event of version 11. Returns it and its ID."""
    event = {name: value for name, value in event.items() if name not in ("hashes", "signatures", "unsigned")}
    event["hashes"] = {"sha256": unpadded(hashlib.sha256(encode_canonical_json(event)).digest())}
    redacted = {name: event[name] for name in KEPT if name in event}
    redacted["content"] = {"membership": event["content"]["membership"]}
    digest = hashlib.sha256(encode_canonical_json(redacted)).digest()
    event["signatures"] = {server: {f"{key.alg}:{key.version}": signature(key, redacted)}}
    return event, "$" + unpadded(digest, base64.urlsafe_b64encode)


def authorization(method, uri, server, key, content=None):
    request = {"method": method, "uri": uri, "origin": server, "destination": HS3}
    if content is not None:
        request["content"] = content
    return f'X-Matrix origin="{server}",key="{key.alg}:{key.version}",sig="{signature(key, request)}",destination="{HS3}"'


def call(connection, method, uri, server, key, content=None):
    body = None if content is None else encode_canonical_json(content)
    connection.request(method, uri, body, {"Authorization": authorization(method, uri, server, key, content)})
    response = connection.getresponse()
    return response.status, response.read()


def knocker(port, room, server, key, count, times):
    """The knocks of one server, one after the other."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    for number in range(count):
        user = f"@knocker{number}:{server}"
        began = time.monotonic()
        status, answer = call(
            connection,
            "GET",
            f"/_matrix/federation/v1/make_knock/{q(room)}/{q(user)}?ver={VERSION}",
            server,
            key,
        )
        made = time.monotonic()
        if status == 200:
            event, event_id = sign_event(json.loads(answer)["event"], server, key)
            sent = time.monotonic()
            status, answer = call(
                connection,
                "PUT",
                f"/_matrix/federation/v1/send_knock/{q(room)}/{q(event_id)}",
                server,
                key,
                event,
            )
            shown = len(json.loads(answer).get("knock_room_state", [])) if status == 200 else 0
            times.append((status, shown, made - began, time.monotonic() - sent))
        else:
            times.append((status, 0, made - began, 0.0))


def knockers(port, room, servers, count, out):
    """A process: the knocks of several servers at once."""
    times = []
    threads = [
        threading.Thread(target=knocker, args=(port, room, *server, count, times)) for server in servers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    out.put(times)


def join_members(port, room, chain, servers, members):
    """Joins of so many users, in transactions of 50, each event after the one before."""
    last, depth, auth = chain
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    refused = 0
    for first in range(0, members, 50):
        pdus = []
        for number in range(first, min(first + 50, members)):
            server, key = servers[number % RESIDENT_SERVERS]
            user, depth = f"@member{number}:{server}", depth + 1
            event = {
                "type": "m.room.member",
                "room_id": room,
                "sender": user,
                "state_key": user,
                "depth": depth,
                "content": {"membership": "join"},
                "prev_events": [last],
                "auth_events": auth,
                "origin_server_ts": int(time.time() * 1000),
            }
            event, last = sign_event(event, server, key)
            pdus.append(event)
        server, key = servers[0]
        body = {"origin": server, "origin_server_ts": int(time.time() * 1000), "pdus": pdus}
        status, answer = call(connection, "PUT", f"/_matrix/federation/v1/send/t{first}", server, key, body)
        results = json.loads(answer).get("pdus", {}) if status == 200 else {}
        refused += len(pdus) - sum("error" not in result for result in results.values())
    return refused


def memory(host):
    with open(f"/proc/{host.process.pid}/status") as status:
        sizes = dict(line.split(":", 1) for line in status)
    return {name: int(sizes[name].split()[0]) // 1024 for name in ("VmRSS", "VmHWM")}


def cpu(host):
    with open(f"/proc/{host.process.pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def percentiles(values):
    values = sorted(values)
    return (
        ", ".join(
            f"p{p} {values[min(len(values) - 1, len(values) * p // 100)] * 1000:.0f} ms" for p in (50, 90, 99)
        )
        + f", longest {values[-1] * 1000:.0f} ms"
    )


def run(world, members, knocks=KNOCKS):
    """Returns whether all was answered rightly."""
    host = world.servers[HS3]
    certificate = f"{world.work}/certificate.pem", f"{world.work}/key.pem"
    servers = []
    for number in range(SERVERS):
        name, key = f"127.0.0.1:{FIRST_PORT + number}", generate_signing_key(f"k{number}")
        serve(world.network, name, Stub(name, key, None), certificate)
        servers.append((name, key))
    t = T(world, VERSION, "knock", "load")
    owner = t.user(HS3, "owner")
    room = owner.create(VERSION, "public")
    good = True
    if members:
        _, answer = owner.http("GET", "/_matrix/client/v3/sync")
        known = answer["rooms"]["join"][room]["timeline"]["events"]
        ids = {(event["type"], event.get("state_key")): event["event_id"] for event in known}
        auth = [
            ids[entry]
            for entry in (("m.room.create", ""), ("m.room.power_levels", ""), ("m.room.join_rules", ""))
        ]
        began, used = time.monotonic(), cpu(host)
        refused = join_members(host.port, room, (known[-1]["event_id"], len(known), auth), servers, members)
        print(
            f"{members} joins in {time.monotonic() - began:.0f} s ({cpu(host) - used:.0f} s of the host's CPU), {refused} refused; memory in MB {memory(host)}",
            flush=True,
        )
        good &= refused == 0
    status, _ = owner.set_state(room, "m.room.join_rules", {"join_rule": "knock"})
    assert status == 200

    per_server, out = knocks // SERVERS, multiprocessing.Queue()
    began, used = time.monotonic(), cpu(host)
    processes = [
        multiprocessing.Process(target=knockers, args=(host.port, room, servers[n::4], per_server, out))
        for n in range(4)
    ]
    for process in processes:
        process.start()
    times = [found for _ in processes for found in out.get()]
    for process in processes:
        process.join()
    seconds, used = time.monotonic() - began, cpu(host) - used
    statuses = {
        status: sum(found[0] == status for found in times) for status in {found[0] for found in times}
    }
    shown = {found[1] for found in times}
    waiting = owner.pending(room)
    print(
        f"{len(times)} knocks of {SERVERS} servers in {seconds:.1f} s ({used:.1f} s of the host's CPU): statuses {statuses}, entries shown {shown}"
    )
    print(f"make_knock: {percentiles([found[2] for found in times])}")
    print(f"send_knock: {percentiles([found[3] for found in times])}")
    print(f"waiting in the index: {len(waiting)}; memory in MB {memory(host)}")
    good &= (
        statuses == {200: per_server * SERVERS}
        and len({w["user"] for w in waiting}) == per_server * SERVERS
        and len(shown) == 1
    )
    return good and memory(host)["VmHWM"] < 1000
