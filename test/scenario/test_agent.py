"""The agent, with real programs on both sides: no call is lost or runs twice, whatever is switched or killed; the callee's
agent is the boundary; every call ends in time; and nothing stays behind.

The programs (programs/*.c) write down what they did: the callee each execution before it answers, the caller how each
call ended. What they wrote is compared at the end.
"""
import collections
import contextlib
import os
import pathlib
import random
import shutil
import signal
import socket
import struct
import subprocess
import time

import pytest

import raw
from center_lib import alive
from conftest import PATIENCE, SANITIZER, until

HERE = pathlib.Path(__file__).resolve().parent
HIT = "hit: func(caller: u64, number: u64) -> u64"
NAP = "nap: func(ms: u32) -> u32"
LONG = "long: func(block: list<u8>) -> list<u8>"
A, B, EDGE = "application/a", "service/b", "application.a:service.b"
LANE, CLOSE = 7, 8
DENIED, NOT_BOUND = 1, 14


@pytest.fixture(scope="session")
def programs(stage, tmp_path_factory):
    """The C programs, compiled against the stage as anybody would."""
    where = tmp_path_factory.mktemp("programs")
    for source in (HERE / "programs").glob("*.c"):
        subprocess.run(["cc", "-std=gnu17", "-O2", "-g", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror", f"-I{stage}/include",
                        source, "-o", where / source.stem, f"-L{stage}/lib", f"-Wl,-rpath,{stage}/lib",
                        "-Wl,--allow-shlib-undefined", "-lrhodes", "-pthread"], check=True)
    return where


def document(kind: str, name: str, **spec) -> dict:
    return {"apiVersion": "rhodes/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


class World:
    """application/a calls service/b; what both wrote."""

    def __init__(self, rhodes, programs, folder):
        self.rhodes, self.programs = rhodes, programs
        self.hits, self.outcomes = folder / "hits", folder / "outcomes"

    def apply(self, *documents: dict) -> dict:
        status, answer, _ = self.rhodes.rest("POST", "/v1/apply?wait=5s", {"documents": list(documents)})
        assert status == 200, answer
        return answer

    def callee(self, threads: int = 4, **run) -> dict:
        return document("Service", "b", provides=[{"function": f} for f in (HIT, NAP, LONG)],
                        run={"exec": [str(self.programs / "counter"), str(self.hits), str(threads)], **run})

    def caller(self, *words, protocol: str = "shm", **run) -> dict:
        return document("Application", "a", calls=[{"to": B, "protocol": protocol}],
                        run={"exec": [str(self.programs / "caller"), B, str(self.outcomes), *map(str, words)], "restart": "never",
                             **run})

    def link(self, **spec) -> dict:
        return self.apply(document("Link", EDGE, caller=A, callee=B, **spec))

    def start(self, *words, **more) -> None:
        """Both sides, and the first calls have ended."""
        self.apply(self.callee(), self.caller(*words, **more))
        until(lambda: self.ended(), 20, "the first call")

    def ended(self) -> list[tuple]:
        """(thread, number, result, took in ms, sentence) of every call so far."""
        if not self.outcomes.exists():
            return []
        lines = [line.split(" ", 4) for line in self.outcomes.read_text().split("\n")[:-1] if line != "end"]
        return [(int(t), int(n), result, int(us) / 1000, why) for t, n, result, us, why in lines]

    def more(self, calls: int, seconds: float = 10) -> None:
        """Waits until so many further calls have ended. By lines, not by reading them: there are many."""
        with open(self.outcomes, "rb") as file:
            file.seek(0, os.SEEK_END)
            seen = 0

            def enough() -> bool:
                nonlocal seen
                seen += file.read().count(b"\n")
                return seen > calls
            until(enough, seconds, f"{calls} more calls")

    def pid(self, resource: str) -> int:
        return self.rhodes.agents()[resource]["pid"]

    def program(self, resource: str) -> int:
        return self.rhodes.agents()[resource]["program"]["pid"]

    def ready(self, resource: str) -> bool:
        agent = self.rhodes.agents().get(resource)
        return bool(agent) and agent["state"] == "ready" and agent["program"]["state"] == "ready"

    def finish(self) -> collections.Counter:
        """Ends the caller and compares: each call ran as often as its caller was told."""
        os.kill(until(lambda: self.program(A), 10), signal.SIGTERM)
        until(lambda: self.outcomes.read_text().endswith("end\n"), 25, "the caller's end")
        data = self.hits.read_bytes()
        runs = collections.Counter(struct.iter_unpack("<QQ", data))
        seen = self.ended()
        for thread, number, result, _, why in seen:
            times = runs[thread, number]
            assert times <= 1, f"call {number} of thread {thread} ran {times} times"
            if result == "OK":
                assert times == 1, f"call {number} of thread {thread} was answered but did not run"
            elif result in ("NOT_EXECUTED", "DENIED", "OVER_LIMIT"):
                assert times == 0, f"call {number} of thread {thread} ran, but its caller was told: {result} {why}"
        assert set(runs) <= {(t, n) for t, n, *_ in seen}, "a call ran that nobody made"
        return collections.Counter(result for _, _, result, _, _ in seen)

    def only(self, results: collections.Counter, *allowed: str) -> None:
        """Nothing ended otherwise; if it did, how it was told."""
        others = collections.Counter((result, why) for _, _, result, _, why in self.ended() if result not in allowed)
        assert not others, f"{results}: {others.most_common(5)}"

    def event_names(self, resource: str) -> collections.Counter:
        items = self.rhodes.rest("GET", "/v1/events?limit=1000")[1]["items"]
        return collections.Counter(e["event"] for e in items if e.get("resource") == resource)


@pytest.fixture
def world(center, programs, tmp_path):
    return World(center, programs, tmp_path)


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


# Nothing lost, nothing twice


def test_fifty_switches_of_protocol_lose_nothing_and_repeat_nothing(world):
    world.start(4, 0, 5000, 100, 200000)
    for i in range(50):
        effect = world.link(protocol="msgqueue" if i % 2 == 0 else "shm")["effect"]
        assert effect["rejected"] == [] and effect["pending"] == [], effect
        world.more(8, 10)
    switches = until(lambda: world.rhodes.agents()[A]["counters"]["switches"] >= 50 and
                     world.rhodes.agents()[A]["counters"]["switches"], 5, "switches")
    results = world.finish()
    world.only(results, "OK", "BLOCK")
    assert switches >= 50


@pytest.mark.parametrize("victims", [(B,), (A,), (A, B)], ids=["callee's agent", "caller's agent", "both"])
def test_killed_agents_lose_nothing_and_repeat_nothing(world, victims):
    world.start(4, 0, 20000, 200, 100000)
    programs = {A: world.program(A), B: world.program(B)}
    for i in range(12):
        victim = victims[i % len(victims)]
        old = world.pid(victim)
        kill(old)
        until(lambda: world.pid(victim) not in (0, old) and world.ready(victim), 10, f"a new agent for {victim}")
        world.more(20, 10)
        assert {A: world.program(A), B: world.program(B)} == programs, "the programs outlive their agents"
    results = world.finish()
    world.only(results, "OK", "BLOCK", "UNKNOWN")
    # A first call on a fresh thread may have no executor to name; all others must be known.
    assert results["UNKNOWN"] <= 4, results
    for victim in victims:
        assert world.event_names(victim)["program.adopted"] >= 1


def test_switches_and_kills_at_once_lose_nothing_and_repeat_nothing(world):
    world.start(4, 0, 20000, 200, 100000)
    choice = random.Random(17)
    for i in range(30):
        status, answer, _ = world.rhodes.rest("PUT", f"/v1/links/{EDGE}",
                                              document("Link", EDGE, caller=A, callee=B, protocol=("msgqueue", "shm")[i % 2]),
                                              {"If-Match": "*"} if i else {"If-None-Match": "*"})
        assert status in (200, 201), answer
        if i % 3 == 2:
            kill(world.pid(choice.choice((A, B))))
        world.more(10, 10)
    until(lambda: world.ready(A) and world.ready(B), 10)
    results = world.finish()
    world.only(results, "OK", "BLOCK", "UNKNOWN")


@pytest.mark.parametrize("victims,result", [
    (("agent b",), "OK"), (("agent a",), "OK"), (("agent a", "agent b"), "OK"),
    (("program b",), "UNKNOWN"), (("agent b", "program b"), "UNKNOWN"), (("program b", "agent b"), "UNKNOWN"),
    (("agent a", "program b"), "UNKNOWN"), (("agent a", "agent b", "program b"), "UNKNOWN"),
], ids=lambda v: "+".join(v) if isinstance(v, tuple) else v)
def test_a_kill_inside_a_call_is_answered_from_memory_or_told_as_unknown(world, victims, result):
    """The second call has begun to run when they die. Its program remembers, if it lives; nobody runs it again if not."""
    world.apply(world.callee(env={"HIT_MS": "400"}), world.caller(1, 3, 10000))
    until(lambda: world.hits.exists() and world.hits.stat().st_size == 32, 15, "the second call runs")
    pids = {"agent a": world.pid(A), "agent b": world.pid(B), "program b": world.program(B)}
    for victim in victims:
        kill(pids[victim])
    ended = until(lambda: len(world.ended()) == 3 and world.ended(), 15)
    assert [e[2] for e in ended] == ["OK", result, "OK"], ended
    runs = collections.Counter(struct.iter_unpack("<QQ", world.hits.read_bytes()))
    assert runs == {(1, 1): 1, (1, 2): 1, (1, 3): 1}, runs
    assert ended[1][3] < 5000 * PATIENCE, "long before its deadline"


def test_a_call_that_may_have_run_is_never_told_as_not_executed(world):
    """Callee and its agent die inside a call, and the program does not come back: nobody can tell any more."""
    world.apply(world.callee(env={"HIT_MS": "60000"}, restart="never"), world.caller(1, 1, 2000))
    until(lambda: world.hits.exists() and world.hits.stat().st_size == 16, 15, "the call runs")
    pids = world.program(B), world.pid(B)
    kill(pids[1])
    kill(pids[0])
    ended = until(lambda: world.ended(), 10)
    assert ended[0][2] == "UNKNOWN" and "may have run" in ended[0][4], ended


def test_a_killed_callee_program_is_started_again_and_no_call_runs_twice(world):
    world.start(2, 0, 5000, 500)
    for _ in range(5):
        until(lambda: world.ready(B), 10)
        old = world.program(B)
        kill(old)
        until(lambda: world.ready(B) and world.program(B) != old, 15, "a new program")
        world.more(5, 10)
    results = world.finish()
    world.only(results, "OK", "UNKNOWN", "NOT_EXECUTED")
    assert results["UNKNOWN"] <= 10, "at most the calls that were inside"


# The callee's agent is the boundary


def view_keys(path: pathlib.Path) -> dict:
    """The keys in an agent's saved view (src/wire/event.c), by (peer, outgoing). Only the agent's own user can read it."""
    data, at = path.read_bytes(), 4

    def take(form: str):
        nonlocal at
        values = struct.unpack_from("<" + form, data, at)
        at += struct.calcsize("<" + form)
        return values[0] if len(values) == 1 else values

    def text() -> str:
        nonlocal at
        size = take("I")
        at += size
        return data[at - size:at].decode()

    def functions() -> None:
        for _ in range(take("I")):
            text(), take("Q")

    take("Q"), text(), take("Q"), functions()
    for _ in range(2):
        for _ in range(take("I")):
            text()
    if take("B"):
        text()
    take("BB")
    if take("B"):
        text()
    keys = {}
    for _ in range(take("I")):
        peer = text()
        outgoing = take("B")
        take("BBQQ"), text()
        keys[peer, bool(outgoing)] = take("32s")
        functions()
    return keys


class FakeAgent(raw.Agent):
    """A caller's agent that judges nothing."""

    def peer(self, key: bytes, caller: str = A, callee: str = B) -> dict:
        message = bytearray(raw.encode(raw.PEER, tag=5, numbers=(4711,), texts=(caller, callee)))
        message[raw.MESSAGE.size - 32:raw.MESSAGE.size] = key
        self.send(bytes(message))
        return self.receive()

    def lane(self) -> raw.Ring:
        ring = raw.Ring()
        answer = self.ask(LANE, fds=(ring.fd,), numbers=(99, 1, 1))  # 1: shm
        assert answer["result"] == 0, answer
        ring.attach(answer["fds"][0])
        return ring


def request(signature: str, body: bytes, number: int = 1) -> bytes:
    function = 0xcbf29ce484222325
    for byte in signature.encode():
        function = (function ^ byte) * 0x100000001b3 % 2 ** 64
    deadline = time.clock_gettime_ns(time.CLOCK_MONOTONIC) + 2_000_000_000
    return raw.HEAD.pack(raw.CALL_MAGIC, raw.REQUEST, 4, 8888, number, function, deadline, 0, len(body), 0, 0, 0,
                         *[0] * 8) + body  # 4: CALL_OPERATOR, which nobody becomes by saying so


def test_the_callees_agent_refuses_what_a_bypassed_callers_agent_lets_through(world):
    world.apply(world.callee(), document("Application", "a", calls=[{"to": B}]))
    until(lambda: world.ready(B), 10)
    home = world.rhodes.home / "agents" / "service.b"
    key = until(lambda: (home / "view").exists() and view_keys(home / "view").get((A, False)), 5)
    socket_path = str(home / "agent.sock")

    wrong = FakeAgent(socket_path).peer(bytes(32))
    assert wrong["result"] == DENIED and "key" in wrong["texts"][0] and wrong["texts"][1], wrong
    stranger = FakeAgent(socket_path).peer(key, caller="application/other")
    assert stranger["result"] == DENIED and "application/other" in stranger["texts"][0], stranger
    elsewhere = FakeAgent(socket_path).peer(key, callee="service/other")
    assert elsewhere["result"] != 0, elsewhere

    agent = FakeAgent(socket_path)
    assert agent.peer(key)["result"] == 0
    ring = agent.lane()
    hit = struct.pack("<QQ", 1, 1)
    ring.publish(request(HIT, hit))
    answer = ring.message()
    assert raw.HEAD.unpack_from(answer)[9] == 0, "while the link allows it, the call runs"

    effect = world.link(access="deny")["effect"]
    assert effect["rejected"] == [] and effect["pending"] == [], effect
    ring.publish(request(HIT, hit, 2))
    answer = ring.message()
    assert raw.HEAD.unpack_from(answer)[9] == DENIED, "the callee's agent judges by itself"
    sentence = answer[raw.HEAD.size:].decode()
    assert "denies" in sentence and A in sentence and B in sentence and EDGE in sentence, sentence
    assert len(world.hits.read_bytes()) == 16, "it did not run"
    ring.publish(request("other: func()", b"", 3))
    assert raw.HEAD.unpack_from(ring.message())[9] != 0
    agent.close()


def test_a_denied_link_stops_calls_and_allowing_it_lets_them_through_again(world):
    world.start(1, 0, 2000, 1000)
    world.link(access="deny")
    denied = until(lambda: [e for e in world.ended() if e[2] == "DENIED"], 5)
    assert EDGE in denied[0][4] and "revision" in denied[0][4], denied[0]
    before = len(world.ended())
    until(lambda: len(world.ended()) > before + 5, 5)
    assert all(e[2] == "DENIED" for e in world.ended()[before:]), "not one more gets through"
    world.link(access="allow")
    before = len(world.ended())
    until(lambda: len(world.ended()) > before + 5, 5)
    assert all(e[2] == "OK" for e in world.ended()[before:])
    world.finish()


def test_a_process_that_is_not_the_program_may_not_speak_for_it(world):
    world.apply(world.callee())
    until(lambda: world.ready(B), 10)
    agent = raw.Agent(str(world.rhodes.home / "agents" / "service.b" / "agent.sock"))
    answer = agent.ask(raw.HELLO, numbers=(1,), texts=(B,))
    assert answer["result"] == NOT_BOUND and str(os.getpid()) in answer["texts"][0] and B in answer["texts"][0], answer
    other = agent.ask(raw.HELLO, numbers=(1,), texts=("driver/x",))
    assert other["result"] == NOT_BOUND and "driver/x" in other["texts"][0], other
    assert agent.ask(raw.SERVE, texts=(HIT,)) == {}, "and what it may not send ends its session"


def test_there_are_so_many_sessions_and_no_more(world):
    world.apply(world.callee())
    until(lambda: world.ready(B), 10)
    path = str(world.rhodes.home / "agents" / "service.b" / "agent.sock")
    sessions = []
    try:
        for _ in range(256):  # one place is the program's
            sessions.append(raw.Agent(path))
        assert sessions[0].ask(raw.HELLO, flags=1)["result"] == 0
        assert until(lambda: not sessions[-1].receive(), 5) is True, "the one too many is hung up on"
        sessions.pop(5).close()

        def place() -> bool:
            with contextlib.closing(raw.Agent(path)) as again:
                try:
                    return again.ask(raw.HELLO, flags=1).get("result") == 0
                except BrokenPipeError:
                    return False
        until(place, 5, "the place that was given back")
    finally:
        for session in sessions:
            session.close()


def test_a_program_may_say_twice_that_it_is_ready(world, tmp_path):
    """Who joins a new agent cannot know whether the last one heard it."""
    script = tmp_path / "twice.py"
    script.write_text(f"""import os, sys, time
sys.path.insert(0, {str(HERE)!r})
import raw
agent = raw.Agent(os.environ["RHODES_AGENT"])
print([agent.ask(raw.HELLO, numbers=(5,)).get("result"), agent.ask(raw.READY).get("result"), agent.ask(raw.READY).get("result")])
""")
    world.apply(document("Service", "b", provides=[{"function": HIT}]))
    done = world.rhodes("run", "--as", B, "--", "/usr/bin/python3", str(script))
    assert done.out == "[0, 0, 0]\n", done


# Every call ends in time


def test_a_callee_that_hangs_is_a_timeout_at_the_deadline(world):
    world.apply(world.callee(threads=2), world.caller(1, 4, 400, env={"NAP_MS": "3000"}))
    ended = until(lambda: len(world.ended()) == 4 and world.ended(), 20)
    assert [e[2] for e in ended[:2]] == ["TIMEOUT", "TIMEOUT"], ended
    assert B in ended[0][4], ended[0]
    # Both serving threads still sleep: the next calls find none, and are told so.
    assert [e[2] for e in ended[2:]] == ["NOT_EXECUTED", "NOT_EXECUTED"] and "2 serving threads" in ended[2][4], ended
    for e in ended:
        assert 390 <= e[3] <= 500 * PATIENCE, e
    world.outcomes.unlink()
    world.apply(world.caller(1, 3, 8000))  # the late replies were dropped, the channels are good again
    until(lambda: len(world.ended()) == 3 and all(e[2] == "OK" for e in world.ended()), 20)


def test_a_callee_that_dies_in_a_call_is_unknown_at_once(world):
    world.apply(world.callee(), world.caller(1, 1, 20000, env={"NAP_MS": "15000"}))
    until(lambda: world.rhodes.agents()[B]["counters"]["callsIn"] >= 1, 10)
    began = time.monotonic()
    kill(world.program(B))
    ended = until(lambda: world.ended(), 5)
    assert time.monotonic() - began < 1 * PATIENCE
    assert ended[0][2] == "UNKNOWN" and B in ended[0][4], ended


def test_a_callee_that_answers_garbage_is_told_as_such(world):
    serve = ["/usr/bin/python3", str(HERE / "raw.py"), HIT, "short-body"]
    world.apply(document("Service", "b", provides=[{"function": f} for f in (HIT, NAP, LONG)], run={"exec": serve, "restart": "never"}),
                world.caller(1, 1, 2000))
    ended = until(lambda: world.ended(), 15)
    assert ended[0][2] == "GARBAGE" and B in ended[0][4], ended
    assert ended[0][3] < 1500 * PATIENCE


def test_a_callee_that_is_not_there_is_not_executed_at_the_deadline(world):
    world.apply(document("Service", "b", provides=[{"function": f} for f in (HIT, NAP, LONG)]), world.caller(1, 2, 300))
    ended = until(lambda: len(world.ended()) == 2 and world.ended(), 10)
    for e in ended:
        assert e[2] == "NOT_EXECUTED" and "not there" in e[4] and 290 <= e[3] <= 400 * PATIENCE, e


# Without a center; restarts; nothing left


def test_without_a_center_calls_go_on_and_the_agent_says_by_which_rules(world, stage):
    world.start(1, 0, 5000, 1000)
    revision = world.rhodes.revision()
    status = world.rhodes.rest("GET", "/v1/status")[1]
    agents = {name: world.pid(name) for name in (A, B)}
    programs = [world.program(A), world.program(B)]
    home = world.rhodes.home
    kill(status["pid"])
    world.more(20, 5)
    log = home / "agents" / "service.b" / "agent.log"
    until(lambda: f"center.away" in log.read_text() and f"rules_of_revision={revision}" in log.read_text(), 5)
    # Nor does an agent that starts now need one.
    kill(agents[B])
    with open(log, "ab") as out:
        new = subprocess.Popen([stage / "bin" / "rhodes-agent", "--home", home, "--resource", B, "--managed"], env=world.rhodes.env,
                               stderr=out)
    world.more(20, 10)
    assert "rules_from=file" in log.read_text() and "program.adopted" in log.read_text()
    assert all(e[2] == "OK" for e in world.ended()), [e for e in world.ended() if e[2] != "OK"]
    kill(agents[A], signal.SIGTERM)
    new.terminate()
    assert new.wait(10) == 0
    for pid in programs + [agents[A]]:
        until(lambda: not alive(pid), 5, "it ends with its agent")
    world.rhodes.ok("up")  # for the fixture's `down`


def test_what_was_revoked_stays_revoked_when_agent_and_center_die_at_once(world, stage):
    """APPLIED is a promise: the next agent, alone, knows at least that revision."""
    world.start(1, 0, 2000, 1000)
    home = world.rhodes.home
    center, old, other = world.rhodes.rest("GET", "/v1/status")[1]["pid"], world.pid(B), world.pid(A)
    effect = world.link(access="deny")
    kill(center)  # first: it would start another agent
    kill(old)
    assert effect["effect"]["rejected"] == [] and effect["effect"]["pending"] == [], effect
    key = view_keys(home / "agents" / "service.b" / "view")[A, False]
    log = home / "agents" / "service.b" / "agent.log"
    with open(log, "ab") as out:
        new = subprocess.Popen([stage / "bin" / "rhodes-agent", "--home", home, "--resource", B, "--managed"], env=world.rhodes.env,
                               stderr=out)
    until(lambda: "rules_from=file" in log.read_text(), 5, "the new agent works without a center")
    assert f"event=rules.loaded revision={effect['revision']}" in log.read_text()
    agent = FakeAgent(str(home / "agents" / "service.b" / "agent.sock"))
    assert agent.peer(key)["result"] == 0
    ring = agent.lane()
    ring.publish(request(HIT, struct.pack("<QQ", 77, 1)))
    assert raw.HEAD.unpack_from(ring.message())[9] == DENIED
    agent.close()
    new.terminate()
    assert new.wait(10) == 0
    kill(other, signal.SIGTERM)  # the agent of A ends its program too
    world.rhodes.ok("up")  # for the fixture's `down`


@pytest.mark.parametrize("restart,status,again", [("on-failure", 1, True), ("on-failure", 0, False), ("always", 0, True),
                                                  ("never", 1, False)])
def test_a_program_is_started_again_as_its_manifest_says(world, tmp_path, restart, status, again):
    runs = tmp_path / "runs"
    world.apply(document("Service", "b", run={"exec": ["sh", "-c", f"date +%s%N >> {runs}; exit {status}"], "restart": restart}))
    until(lambda: runs.exists() and (len(runs.read_text().split()) >= (4 if again else 1)), 10)
    state = until(lambda: (s := world.rhodes.agents()[B]["program"]["state"]) in ("exited", "failed") and s, 5)
    times = [int(t) / 1e9 for t in runs.read_text().split()]
    if again:
        assert times[1] - times[0] < 0.1 * PATIENCE, "at once the first time"
        assert times[3] - times[2] > 0.15, "then slower and slower"
    else:
        assert state == ("exited" if status == 0 else "failed")
        time.sleep(0.3)  # it is the absence that is tested
        assert len(runs.read_text().split()) == 1


@pytest.mark.parametrize("seen,restart,status,again", [(True, "never", 0, False), (True, "never", 1, False),
                                                       (True, "on-failure", 0, False), (False, "never", 0, False),
                                                       (False, "on-failure", 0, True), (False, "always", 0, True)])
def test_what_ended_under_an_earlier_agent_is_started_as_its_manifest_says(world, tmp_path, seen, restart, status, again):
    """The next agent knows what the last one saw; an end that no agent saw counts as a failure."""
    runs, go = tmp_path / "runs", tmp_path / "go"
    os.mkfifo(go)
    script = f"echo $$ >> {runs}; read word < {go}; exit {status}"
    world.apply(document("Service", "b", run={"exec": ["sh", "-c", script], "restart": restart}))
    program = int(until(lambda: runs.exists() and runs.read_text().strip(), 10))
    old = world.pid(B)
    if not seen:
        os.kill(old, signal.SIGSTOP)
    go.write_text("on\n")
    until(lambda: not alive(program), 10, "its end")
    state = "exited" if seen and status == 0 else "failed"
    if seen:
        until(lambda: world.rhodes.agents()[B]["program"]["state"] == state, 10)
    kill(old)
    until(lambda: world.pid(B) not in (0, old), 10, "the next agent")
    if again:
        until(lambda: len(runs.read_text().split()) == 2, 10, "started again")
    else:
        until(lambda: world.rhodes.agents()[B]["program"]["state"] == state, 10)
        assert len(runs.read_text().split()) == 1, "started again"
    world.rhodes.ok("down")
    before = len(runs.read_text().split())
    world.rhodes.ok("up")
    until(lambda: len(runs.read_text().split()) > before, 10, "after down and up it begins anew")


@pytest.mark.parametrize("run,words", [({"exec": ["/nonexistent/program"]}, "/nonexistent/program cannot be executed"),
                                       ({"exec": ["true"], "directory": "/nonexistent"}, "/nonexistent cannot be entered")])
def test_a_program_that_cannot_be_executed_says_so(world, run, words):
    world.apply(document("Service", "b", run={**run, "restart": "never"}))
    until(lambda: world.rhodes.agents().get(B, {}).get("program", {}).get("state") == "failed", 10)
    items = world.rhodes.rest("GET", "/v1/events?limit=100")[1]["items"]
    assert any(words in e["text"] for e in items), items


def test_a_changed_command_replaces_the_program(world):
    world.start(1, 0, 5000, 1000)
    old = world.program(B)
    world.apply(world.callee(threads=7))
    until(lambda: world.ready(B) and world.program(B) != old, 10)
    assert not pathlib.Path(f"/proc/{old}").exists()
    assert b"7" in pathlib.Path(f"/proc/{world.program(B)}/cmdline").read_bytes().split(b"\0")
    world.finish()


def test_run_ends_with_its_commands_status(center, stage):
    center.rest("POST", "/v1/apply", {"documents": [document("Application", "a")]})
    agent = [stage / "bin" / "rhodes-agent", "--home", center.home, "--resource", A, "--run", "--"]
    done = subprocess.run(agent + ["sh", "-c", "echo $RHODES_RESOURCE; echo told >&2; exit 7"], capture_output=True, text=True,
                          timeout=20, env=center.env)
    assert (done.returncode, done.stdout, done.stderr) == (7, A + "\n", "told\n")
    missing = subprocess.run(agent + ["/nonexistent/program"], capture_output=True, text=True, timeout=20, env=center.env)
    assert missing.returncode == 127 and "/nonexistent/program: No such file" in missing.stderr, missing
    running = subprocess.Popen(agent + ["sleep", "60"], env=center.env)
    until(lambda: center.agents().get(A, {}).get("program", {}).get("pid"), 10)
    second = subprocess.run(agent + ["true"], capture_output=True, text=True, timeout=20, env=center.env)
    assert second.returncode == 1 and "runs already" in second.stderr, second
    running.terminate()
    assert running.wait(10) == 128 + signal.SIGTERM
    unknown = subprocess.run(agent[:4] + ["application/nobody", "--run", "--", "true"], capture_output=True, text=True, timeout=20,
                             env=center.env)
    assert unknown.returncode == 1 and "application/nobody" in unknown.stderr, unknown


@contextlib.contextmanager
def queues_seen(folder: pathlib.Path):
    """The names of POSIX message queues, where this user may mount their file system."""
    folder.mkdir()
    if subprocess.run(["mount", "-t", "mqueue", "none", folder], capture_output=True).returncode:
        yield lambda: set()
        return
    try:
        yield lambda: {name for name in os.listdir(folder) if name.startswith("rhodes")}
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("deaths", [1, 4], ids=["between two agents", "while the next one is held back"])
@pytest.mark.parametrize("how", ["down", "delete", "no run"])
def test_a_program_ends_with_its_resource_also_when_no_agent_is_there(world, deaths, how):
    world.apply(world.callee())
    until(lambda: world.ready(B), 10)
    program = world.program(B)
    for _ in range(deaths):
        agent = until(lambda: world.pid(B) if pathlib.Path(f"/proc/{world.pid(B)}/fd").exists() else 0, 20)
        kill(agent)
        until(lambda: not pathlib.Path(f"/proc/{agent}").exists(), 5)
    assert pathlib.Path(f"/proc/{program}").exists()
    if how == "down":
        world.rhodes.ok("down")
        assert not pathlib.Path(f"/proc/{program}").exists()
        world.rhodes.ok("up")
    elif how == "delete":
        world.rhodes.ok("delete", B)
    else:
        world.apply(document("Service", "b", provides=[{"function": f} for f in (HIT, NAP, LONG)]))
    until(lambda: not pathlib.Path(f"/proc/{program}").exists(), 5)


def test_nothing_is_left_behind_after_stop(world, tmp_path):
    with queues_seen(tmp_path / "mqueue") as queues:
        world.start(4, 0, 5000, 0, 100000, protocol="msgqueue")
        world.link(protocol="shm")
        kill(world.pid(B))
        until(lambda: world.ready(B), 10)
        pids = [world.pid(A), world.pid(B), world.program(A), world.program(B)]
        world.rhodes.ok("down")
        for pid in pids:
            assert not pathlib.Path(f"/proc/{pid}").exists(), f"process {pid} is left"
        for name in ("application.a", "service.b"):
            left = {path.name for path in (world.rhodes.home / "agents" / name).iterdir()}
            assert left <= {"view", "agent.log", "program.log"}, left
        until(lambda: not queues(), 5, "no queue with a name")
    for log in world.rhodes.home.glob("agents/*/agent.log"):
        assert "threads_left" not in log.read_text(), "every thread has ended"
    world.rhodes.ok("up")
