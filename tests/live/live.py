#!/usr/bin/env python3
"""Plays hosts with matrix-knock inside against real Synapses, both ways. `tests/live/run` sets all up and starts this."""

import argparse
import os
import queue
import re
import shutil
import sys
import tempfile
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import complement_list  # noqa: E402
import kills  # noqa: E402
import load  # noqa: E402
from actors import HS1, HS2, HS3, HS5, STUB, VERSIONS, T, World  # noqa: E402
from proxy import Network, Stub, serve  # noqa: E402
from scenarios import SCENARIOS, STAGED  # noqa: E402
from servers import PLAIN_PORT, Host, Synapse, add_names, drop_names, make_certificate  # noqa: E402
from signedjson.key import generate_signing_key  # noqa: E402


class Live:
    """All the servers, from start to stop."""

    def __init__(self, binary, work):
        self.world, self.binary, self.work = World(Network(), work), binary, work
        self.names_added = False

    def __enter__(self):
        world, work = self.world, self.work
        self.names_added = add_names()
        try:
            for name in (HS1, HS2):
                world.servers[name] = Synapse(name, f"{work}/{name.split('.')[0]}")
                world.keys[name] = world.servers[name].signing_key()
            world.servers[HS3] = Host(self.binary, HS3, f"{work}/hs3")
            world.servers[HS5] = Host(self.binary, HS5, f"{work}/hs5", stored=True)
            world.keys[STUB] = generate_signing_key("stub")
            policy_key = generate_signing_key("policy_server")
            world.stub = Stub(STUB, world.keys[STUB], policy_key)
            certificate = make_certificate(work)
            for name, port in PLAIN_PORT.items():
                serve(world.network, name, port, certificate)
            serve(world.network, STUB, world.stub, certificate)
            for server in world.servers.values():
                server.start()
            for server in world.servers.values():
                server.wait()
        except BaseException:
            self.__exit__()
            raise
        return world

    def __exit__(self, *_):
        for server in self.world.servers.values():
            server.stop()
        if self.names_added:
            drop_names()


def play(world, scenario, column, results, seconds):
    """Plays a scenario in one column."""
    t = T(world, *column, scenario.__name__)
    began = time.monotonic()
    try:
        scenario(t)
    except Exception:
        t.check("it runs through", False, traceback.format_exc())
    results[scenario.__name__, column] = t
    seconds[scenario.__name__] = seconds.get(scenario.__name__, 0) + time.monotonic() - began


def play_all(world, jobs, threads, results, seconds):
    """Plays the scenarios beside one another."""
    waiting = queue.SimpleQueue()
    for job in jobs:
        waiting.put(job)

    def work():
        while True:
            try:
                scenario, column = waiting.get_nowait()
            except queue.Empty:
                return
            play(world, scenario, column, results, seconds)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def play_staged(world, scenario, columns, results, seconds):
    """Plays a scenario that stops and starts servers: all columns up to the same point, then the function that they
    yield is called once, and so on."""
    began = time.monotonic()
    played = {column: T(world, *column, scenario.__name__) for column in columns}
    running = {column: scenario(t) for column, t in played.items()}
    while running:
        actions = {}

        def step(column):
            try:
                actions[column] = next(running[column])
            except StopIteration:
                pass
            except Exception:
                played[column].check("it runs through", False, traceback.format_exc())

        workers = [threading.Thread(target=step, args=(column,)) for column in running]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        running = {column: running[column] for column in actions}
        for action in actions.values():
            # It is the same for all columns.
            action(world)
            break
    for column, t in played.items():
        results[scenario.__name__, column] = t
    seconds[scenario.__name__] = time.monotonic() - began


def tell(names, columns, results, seconds):
    """Prints the table, what failed, and what else was seen. Returns how many cells pass."""
    width = max(map(len, names), default=0)
    heads = [("r" if rule != "knock" else "") + version for version, rule in columns]
    print(f"\n{'scenario':{width}} " + " ".join(f"{head:>5}" for head in heads) + "   (r: knock_restricted)")
    for name in names:
        cells = []
        for column in columns:
            t = results.get((name, column))
            bad = t and sum(not good for _, good, _ in t.checks)
            cells.append("-" if not t else "pass" if not bad else f"{bad} bad")
        print(f"{name:{width}} " + " ".join(f"{cell:>5}" for cell in cells) + f"   {seconds[name]:.0f} s")
    failed, seen = {}, {}
    for (name, _), t in results.items():
        for what, good, detail in t.checks:
            if not good:
                failed.setdefault((name, what), []).append((t.column, detail))
        for what, value in t.infos:
            seen.setdefault((name, what, value), []).append(t.column)
    if seen:
        print("\nwhat else was seen:")
    for (name, what, value), where in sorted(seen.items()):
        print(f"  {name}: {what}: {value[:160]} (in {', '.join(where)})")
    if failed:
        print("\nassertions that fail:")
    for (name, what), where in sorted(failed.items()):
        print(f"  {name}: {what}: in {', '.join(column for column, _ in where)}: {str(where[0][1])[-800:]}")
    return sum(all(good for _, good, _ in t.checks) and bool(t.checks) for t in results.values())


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--host", required=True, help="the program `knock-host`")
    arguments.add_argument("--versions", default=",".join(VERSIONS), help="room versions, such as 10,12")
    arguments.add_argument(
        "--only", default=".", help="the scenarios whose name this regular expression finds"
    )
    arguments.add_argument("--work", help="a folder for logs and databases, which is kept")
    arguments.add_argument("--threads", type=int, default=5)
    arguments.add_argument(
        "--list", action="store_true", help="print the names of the scenarios and what they are"
    )
    arguments.add_argument(
        "--kills", type=int, metavar="N", help="instead of the scenarios: kill the second host N times"
    )
    arguments.add_argument(
        "--load", type=int, metavar="MEMBERS", help="instead: many knocks on a room with so many members"
    )
    arguments.add_argument("--seed", default=str(time.time_ns()), help="for --kills: what chance starts from")
    options = arguments.parse_args()
    if options.list:
        for scenario, _ in SCENARIOS + STAGED:
            print(f"{scenario.__name__:28} {scenario.__doc__.splitlines()[0]}")
        return
    only = re.compile(options.only)
    versions = options.versions.split(",")
    columns = [(v, "knock") for v in versions] + [(v, "knock_restricted") for v in versions if int(v) >= 10]
    chosen = [(s, which) for s, which in SCENARIOS if only.search(s.__name__)]
    staged = [(s, which) for s, which in STAGED if only.search(s.__name__)]
    jobs = [(scenario, column) for scenario, which in chosen for column in columns if which(*column)]
    work = os.path.abspath(options.work or tempfile.mkdtemp(prefix="live."))
    os.makedirs(work, exist_ok=True)
    if os.listdir(work):
        sys.exit(f"{work} is not empty")
    results, seconds = {}, {}
    began = time.monotonic()
    try:
        with Live(options.host, work) as world:
            print(f"the servers are up after {time.monotonic() - began:.0f} s", flush=True)
            if options.kills:
                sys.exit(0 if kills.run(world, options.kills, options.seed) else 1)
            if options.load is not None:
                sys.exit(0 if load.run(world, options.load) else 1)
            play_all(world, jobs, options.threads, results, seconds)
            for scenario, which in staged:
                play_staged(world, scenario, [c for c in columns if which(*c)], results, seconds)
    finally:
        if options.work is None:
            shutil.rmtree(work, ignore_errors=True)
    names = [s.__name__ for s, _ in chosen + staged if any(name == s.__name__ for name, _ in results)]
    passed = tell(names, columns, results, seconds)
    unplayed = complement_list.missing(results) if options.only == "." and versions == VERSIONS else []
    if unplayed:
        print("\ncomplement.md names what was not played:", *unplayed, sep="\n  ")
    checks = [good for t in results.values() for _, good, _ in t.checks]
    print(f"\n{sum(checks)} of {len(checks)} assertions hold; {time.monotonic() - began:.0f} s")
    print(f"live: {passed} of {len(results)} pass")
    sys.exit(0 if results and passed == len(results) and not unplayed else 1)


if __name__ == "__main__":
    main()
