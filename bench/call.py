"""Question: what does a governed call cost, beside the same exchange over a Unix socket pair and over a pipe?

`round trip`: one caller; echo of N bytes there and back; the time of each call. `throughput`: two callers at once; N bytes
there, four back; payload delivered a second. Both over msgqueue and shm between the two agents: caller, its agent, callee's
agent, callee are four processes; a rival's caller and callee are two with nothing between them, which is the floor. Each series begins
with 50 warm-up calls whose content is compared. A round measures rhodes and each rival moments apart, in changing order.
"""
from __future__ import annotations

import contextlib
import pathlib
import subprocess

import figures
from node import BenchError, Node, document

SIZES = {"64 B": 64, "1 KiB": 1 << 10, "4 KiB": 4 << 10, "64 KiB": 64 << 10, "1 MiB": 1 << 20}
PROTOCOLS = ("msgqueue", "shm")
RIVALS = ("socketpair", "pipe")
SYSTEMS = ("rhodes", *RIVALS)
CALLER, CALLEE = "application/bench", "service/bench"


def calls_for(size: int, quick: bool) -> int:
    """So many that one series takes about a tenth of a second."""
    calls = 1000 if size <= 4096 else 400 if size <= 65536 else 60
    return calls // 10 if quick else calls


def documents(program: pathlib.Path) -> list[dict]:
    return [
        document("Service", "bench", {
            "provides": [{"function": "echo: func(data: list<u8>) -> list<u8>"},
                         {"function": "sink: func(data: list<u8>) -> u32"}],
            "run": {"exec": [str(program), "serve"]}}),
        document("Application", "bench", {"calls": [{"to": CALLEE, "protocol": "msgqueue", "timeout": "30s"}]}),
    ]


class Measurer:
    """The measuring program, which is the program of application/bench."""

    def __init__(self, node: Node, program: pathlib.Path):
        self.process = node.start_agent(CALLER, "--run", "--", str(program), "measure", stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=None, text=True)
        answer = self.process.stdout.readline().strip()
        if answer != "ready":
            raise BenchError(f"the measuring program did not start: {answer or 'it ended'}")

    def series(self, kind: str, system: str, size: int, calls: int) -> list[float]:
        self.process.stdin.write(f"{kind} {system} {size} {calls}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer or answer.startswith("error"):
            raise BenchError(f"{kind} {system} {size}: {answer.strip() or 'the measuring program ended'}")
        return [float(word) for word in answer.split()]

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait(20)


def measure(measurer: Measurer, kind: str, size: int, quick: bool, turn: int) -> dict[str, list[float]]:
    """One round: every system once, the first one another each time. Trips in us, rates in MiB/s."""
    calls = calls_for(size, quick)
    taken = {}
    for system in SYSTEMS[turn % 3:] + SYSTEMS[:turn % 3]:
        times = measurer.series(kind, system, size, calls)
        if kind == "trip":
            taken[system] = [t / 1e3 for t in times]
        else:
            taken[system] = [calls // 2 * 2 * size / (1 << 20) / (times[0] / 1e9)]
    return {system: taken[system] for system in SYSTEMS}


def run(stage: pathlib.Path, quick: bool) -> list[dict]:
    program = stage / "libexec" / "rhodes" / "bench" / "bench-call"
    if not program.exists():
        raise BenchError(f"no {program}; type make first, or name another stage with --stage")
    rounds = 2 if quick else 9
    sizes = {name: SIZES[name] for name in ("64 B", "64 KiB")} if quick else SIZES
    cases = []
    with Node(stage) as node:
        try:
            node.apply(documents(program))
            node.until(lambda: node.agents().get(CALLEE, {}).get("program", {}).get("state") == "ready", 20,
                       f"{CALLEE} ready")
            measurer = Measurer(node, program)
            for protocol in PROTOCOLS:
                node.apply([document("Link", None, {"caller": CALLER, "callee": CALLEE, "protocol": protocol})], "10s")
                for kind, name, unit, better in (("trip", "round trip", "us", "lower"),
                                                 ("rate", "throughput", "MiB/s", "higher")):
                    for label, size in sizes.items():
                        taken = [measure(measurer, kind, size, quick, turn) for turn in range(rounds)]
                        cases.append(figures.case(f"{name} {label} {protocol}", unit, better, taken))
            measurer.end()
        except BaseException:
            with contextlib.suppress(OSError):
                print(node.logs())
            raise
    return cases
