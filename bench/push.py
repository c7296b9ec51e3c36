"""Question: how long after an edit is it in force, at 1, 100 and 1,000 agents?

The edit changes what service/target provides, which concerns every application that calls it; so one PUT with `wait` goes
to N real agents, and is answered when the last has put its new view in force and said so. Beside it, in turns: etcd
delivers a value of the size of that change to N watchers. Both store durably (fsync) before they tell anybody.
"""
from __future__ import annotations

import pathlib
import resource
import time

import figures
from etcd import Etcd
from node import BenchError, Node, document

COUNTS = (1, 100, 1000)
STARTING_MAX = 12  # agents that are being started at a time: more would only wait for the same two CPUs
VALUE_BYTES = 256  # about what a change of one edge is as a frame
WARM_UP = 3


def raise_limits() -> None:
    """An agent has two files open at the center and one here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(16384, hard) if hard != resource.RLIM_INFINITY else 16384
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def service(turn: int) -> dict:
    provides = [{"function": "ping: func() -> u32"}]
    if turn % 2:
        provides.append({"function": "pong: func() -> u32"})
    return document("Service", "target", {"provides": provides})


def agents_grow(node: Node, have: int, want: int) -> None:
    """Registers applications and starts their agents, a few at a time, until `want` are ready and in sync."""
    names = [f"app-{i}" for i in range(have, want)]
    node.apply([document("Application", name, {"calls": [{"to": "service/target"}]}) for name in names])
    started = have
    for name in names:
        node.start_agent(f"application/{name}", "--managed")
        started += 1
        if (started - have) % STARTING_MAX == 0 or started == want:
            node.until(lambda: node.request("GET", "/v1/status")["inSync"] >= started, 60,
                       f"{started} agents in sync")


class Edits:
    """Edits the service, each time to the other of its two forms."""

    def __init__(self, node: Node):
        self.node = node
        self.turn = 0

    def push(self, count: int) -> float:
        self.turn += 1
        before = time.perf_counter()
        answer = self.node.request("PUT", "/v1/services/target?wait=60s", service(self.turn), {"If-Match": "*"})
        took = time.perf_counter() - before
        effect = answer["effect"]
        if effect["agents"] != count or effect["applied"] != count:
            raise BenchError(f"the edit concerned {effect['agents']} agents and {effect['applied']} of {count} applied it: "
                             f"{str(effect)[:300]}")
        return took


def measure(edits: Edits, etcd: Etcd, count: int, runs: int, rounds: int) -> dict:
    taken: list[dict[str, list[float]]] = []
    for turn in range(rounds):
        one: dict[str, list[float]] = {"rhodes": [], "etcd": []}
        for run in range(runs):
            value = f"{turn}-{run}-".ljust(VALUE_BYTES, "v")
            if (turn + run) % 2:  # who goes first changes
                one["rhodes"].append(edits.push(count) * 1e3)
                one["etcd"].append(etcd.push(value) * 1e3)
            else:
                one["etcd"].append(etcd.push(value) * 1e3)
                one["rhodes"].append(edits.push(count) * 1e3)
        taken.append(one)
    return figures.case(f"edit to applied, {count:,} agent{'s' if count > 1 else ''}", "ms", "lower", taken)


def run(stage: pathlib.Path, quick: bool) -> list[dict]:
    raise_limits()
    counts = (1, 10) if quick else COUNTS
    cases = []
    with Etcd() as etcd, Node(stage) as node:
        node.apply([service(0)])
        edits = Edits(node)
        have = 0
        for count in counts:
            agents_grow(node, have, count)
            have = count
            etcd.watch(count)
            for i in range(WARM_UP):
                edits.push(count)
                etcd.push(f"warm-up-{i}".ljust(VALUE_BYTES, "v"))
            runs = 4 if quick else 40 if count <= 100 else 12
            cases.append(measure(edits, etcd, count, runs, 2 if quick else 5))
    return cases
