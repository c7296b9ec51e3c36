#!/usr/bin/python3
"""Rhodes at work, end to end: a web page is fetched through governed resources while the center changes how they talk.

Each step prints one line, `ok STEP: figure` or `FAIL STEP: reason`; the exit status is 1 if any failed. It needs nothing but
what is installed beside it, works as root or in a user namespace, and leaves nothing behind (its last step looks).
"""
import argparse
import collections
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import rig  # noqa: E402
from rig import Failed, wait_for  # noqa: E402

SECONDS_MAX = 60
CLIENT, TCP, DRIVER, NIC = "application/httpclient", "service/tcp", "driver/netdriver", "hardware/nic0"
SWITCHES = 12
CALLS_BETWEEN = 800
URL = f"http://{rig.FAR_ADDRESS}/file"


def percentile(ordered, share):
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Fetching:
    """An httpclient that goes on until it is told to stop; what it says is read as it comes."""

    def __init__(self, demo):
        self.demo = demo
        self.calls, self.files, self.end = [], [], None
        self.begun = None
        self.process = demo.rig.start(*demo.client("--keep-going"), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      env=demo.environment)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.wait_calls(20)

    def _read(self):
        for line in self.process.stdout:
            said = json.loads(line)
            if "begun" in said:
                self.begun = said["begun"]
            elif "file" in said:
                self.files.append(said["file"])
            elif "error" in said:
                self.end = said
            elif "calls" in said:
                self.calls += said["calls"]

    def wait_calls(self, more, seconds=10):
        """Waits until that many more calls were made, or it has ended."""
        wanted = len(self.calls) + more
        wait_for("calls of the client", lambda: len(self.calls) >= wanted or not self.reader.is_alive(), seconds)
        if len(self.calls) < wanted:
            raise Failed(f"the client has ended: {self.reason()}")

    def reason(self):
        return json.dumps(self.end.get("error")) if self.end else f"status {self.process.poll()}"

    def stop(self, seconds=10):
        """Lets it finish its file, and returns what it said last."""
        if not self.process.stdin.closed:
            self.process.stdin.close()
        return self.join(seconds)

    def join(self, seconds):
        self.reader.join(seconds)
        if self.reader.is_alive():
            self.demo.rig.stop(self.process, signal.SIGKILL)
            raise Failed(f"the client did not end within {seconds:g} s")
        self.demo.rig.stop(self.process)
        if self.end is None:
            raise Failed(f"the client ended without a word (status {self.process.returncode})")
        return self.end

    def figures(self, begin, end):
        """Throughput and latency of the calls that lie between two moments."""
        chosen = [call for call in self.calls if begin <= call[0] and call[0] + call[1] <= end]
        if not chosen:
            return "no call in time"
        took = sorted(call[1] for call in chosen)
        speed = sum(call[2] for call in chosen) / ((end - begin) / 1e9) / 1e6
        return (f"{speed:6.1f} MB/s, a call p50 {percentile(took, 0.5) / 1000:5.0f} us "
                f"p99 {percentile(took, 0.99) / 1000:6.0f} us")


class Demo:
    def __init__(self, simulated):
        self.rig = rig.Rig(simulated)
        self.state = self.rig.home / "state"
        self.center = rig.Center(self.rig.home)
        self.environment = dict(os.environ, RHODES_HOME=str(self.state), PYTHONDONTWRITEBYTECODE="1",
                                PYTHONPATH=str(rig.PREFIX / "lib/python3"))
        self.failures = 0
        self.is_up = False

    # -- tools

    def step(self, name, work):
        """Runs one step and prints its line. True when it went well."""
        try:
            print(f"ok {name}: {work()}", flush=True)
            return True
        except Exception as error:  # whatever it is, the other steps still have something to say
            self.failures += 1
            kind = "" if isinstance(error, Failed) else f"{type(error).__name__}: "
            print(f"FAIL {name}: {kind}{' '.join(str(error).split())}", flush=True)
            return False

    def command(self, *words, seconds=15):
        return subprocess.run([rig.PREFIX / "bin/rhodes", *words], env=self.environment, capture_output=True, text=True,
                              timeout=seconds)

    def rhodes(self, *words, seconds=15):
        """A `rhodes` command that must work."""
        done = self.command(*words, seconds=seconds)
        if done.returncode != 0:
            raise Failed(f"rhodes {' '.join(words)}: exit {done.returncode}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def changed(self, *words):
        """A change that must be in force everywhere; its answer."""
        return json.loads(self.rhodes(*words, "-o", "json"))

    def client(self, *options):
        return [rig.PREFIX / "bin/rhodes", "run", "--as", CLIENT, "--", rig.PYTHON, rig.HERE / "httpclient.py",
                *options, URL]

    def manifest(self, name):
        text = (rig.HERE / "manifests" / f"{name}.yaml").read_text()
        text = text.replace("@DEVICE@", self.rig.device).replace("@PROGRAMS@", str(rig.PREFIX / "libexec/rhodes/demo"))
        path = self.rig.home / f"{name}.yaml"
        path.write_text(text)
        return str(path)

    def fetch(self, seconds=20):
        """One fetch; its figures, after the comparison with the file on disk."""
        done = subprocess.run([str(word) for word in self.client()], env=self.environment, capture_output=True, text=True,
                              timeout=seconds)
        if done.returncode != 0:
            raise Failed(f"the fetch failed: {(done.stdout or done.stderr).strip()}")
        got = json.loads(done.stdout.splitlines()[-1])
        self.compare(got)
        return got

    def compare(self, got):
        if got["sha256"] != self.rig.sha256 or got["bytes"] != rig.FILE_BYTES:
            raise Failed(f"got {got['bytes']} bytes with SHA-256 {got['sha256']}, the file has {self.rig.sha256}")

    def in_sync(self):
        agents = self.center.agents()
        lively = [agent for agent in agents.values() if agent["state"] != "stopped"]
        return agents if lively and all(agent["inSync"] and agent["state"] == "ready" for agent in lively) else None

    def counters(self, resource, function):
        """A function of a resource's own, called at its agent as a person's tool does."""
        import rhodes
        agent = self.state / "agents" / resource.replace("/", ".") / "agent.sock"
        with rhodes.open(agent=agent, operator=True) as session:
            return dict(session.bind(resource)[function]())

    # -- the steps

    def wire(self):
        return f"{self.rig.wire_up()}; 8 MiB of random bytes"

    def up(self):
        begin = time.monotonic()
        self.is_up = True
        self.rhodes("up")
        files = [word for name in ("hierarchy", "nic0", "netdriver", "tcp", "httpclient") for word in ("-f", self.manifest(name))]
        revision = self.changed("apply", *files)["revision"]

        def serving():
            agents = self.center.agents()
            return all(agents.get(name, {}).get("state") == "ready" and agents[name]["applied"] >= revision
                       for name in (TCP, DRIVER, NIC)) and agents

        agents = wait_for("agents of tcp, netdriver and nic0", serving, 10)
        return f"center and {len(agents)} agents from 5 manifests, revision {revision}, {time.monotonic() - begin:.2f} s"

    def first_fetch(self):
        got = self.fetch()
        rate = got["bytes"] / got["seconds"] / 1e6
        return (f"8 MiB, SHA-256 {got['sha256'][:16]}... as on disk, {got['seconds']:.2f} s, {rate:.1f} MB/s, "
                f"{sum(got['calls'].values())} calls, p50 {got['latency_us']['p50']:.0f} us "
                f"p99 {got['latency_us']['p99']:.0f} us")

    def live_switch(self):
        before = self.quiet_counters()
        fetching = Fetching(self)
        sockets = internet_sockets(fetching.begun)
        moments, changes = [], []
        for number in range(SWITCHES):
            fetching.wait_calls(CALLS_BETWEEN)
            protocol = "shm" if number % 2 == 0 else "msgqueue"
            begin = time.monotonic_ns()
            took = [self.changed("link", "set", caller, callee, "--protocol", protocol)["effect"]
                    for caller, callee in ((DRIVER, NIC), (CLIENT, TCP))]
            for effect in took:
                if effect["applied"] != effect["agents"] or effect["agents"] < 2:
                    raise Failed(f"not applied by all: {json.dumps(effect)}")
            moments.append((begin, time.monotonic_ns()))
            changes.append((protocol, took))
        fetching.wait_calls(CALLS_BETWEEN)
        last = time.monotonic_ns()
        end = fetching.stop()
        if end["error"]:
            raise Failed(f"the client: {json.dumps(end['error'])}")
        for got in fetching.files:
            self.compare(got)
        after = self.quiet_counters()
        self.compare_counters(end["calls"], before, after)
        if sockets:
            raise Failed(f"the client owns internet sockets: {sockets}")
        self.print_switches(fetching, moments, changes, last)
        return (f"{2 * SWITCHES} changes of protocol during {len(fetching.files)} x 8 MiB over {count(end['calls']['connect'], 'connection')}, "
                f"each with the SHA-256 of the file; {sum(end['calls'].values())} calls, none lost, none repeated; the client owned no "
                f"internet socket")

    def print_switches(self, fetching, moments, changes, last):
        for number, (protocol, effects) in enumerate(changes):
            previous = moments[number - 1][1] if number else fetching.calls[0][0]
            following = moments[number + 1][0] if number + 1 < len(moments) else last
            took = " + ".join(f"{effect['ms']:.1f}" for effect in effects)
            print(f"   {number + 1:2} to {protocol:8} in {took} ms: {fetching.figures(previous, moments[number][0])}"
                  f"  ->  {fetching.figures(moments[number][1], following)}", flush=True)

    def quiet_counters(self):
        """The counters of all three hops, once no frame is under way."""
        def look():
            counts = [self.counters(TCP, "stat"), self.counters(DRIVER, "info"), self.counters(NIC, "stat")]
            same = getattr(self, "_counts", None) == (seen := [counts[0]["frames_in"], counts[0]["frames_out"]])
            self._counts = seen
            return counts if same else None

        self._counts = None
        return wait_for("a quiet wire", look, 5, 0.05)

    def compare_counters(self, made, before, after):
        tcp, driver, nic = ({name: late[name] - early[name] for name in late if isinstance(late[name], int)}
                            for early, late in zip(before, after))
        pairs = [(f"{name} of the client", made[name], f"those run by {TCP}", tcp[f"{name}s"])
                 for name in ("connect", "send", "recv", "close")]
        pairs += [("frames that nic0 gave", nic["rx_frames"], "those netdriver got", driver["rx_frames"]),
                  ("frames that netdriver gave", driver["rx_frames"], "those tcp got", tcp["frames_in"]),
                  ("frames that tcp sent", tcp["frames_out"], "those netdriver took", driver["tx_frames"]),
                  ("frames that netdriver sent", driver["tx_frames"], "those nic0 took", nic["tx_frames"])]
        wrong = [f"{what}: {count}, {other}: {seen}" for what, count, other, seen in pairs if count != seen]
        if wrong:
            raise Failed("; ".join(wrong))

    def refusal(self):
        revision = self.center.get("/v1/status")["revision"]
        done = self.command("apply", "-f", self.manifest("rogue"))
        said = " ".join(done.stderr.split())
        if done.returncode != 4:
            raise Failed(f"registering driver/rogue: exit {done.returncode}, not 4: {said or done.stdout.strip()}")
        for part in ("driver/rogue", TCP, "hierarchies/default", "revision", "hint:"):
            if part not in said:
                raise Failed(f"the refusal does not say '{part}': {said}")
        now = self.center.get("/v1/status")["revision"]
        if now != revision or self.command("get", "driver", "rogue").returncode == 0:
            raise Failed(f"something was stored: revision {revision} became {now}")
        return f"exit 4, nothing stored (still revision {revision}): {said}"

    def allowed_by_edit(self):
        edge = f"driver/rogue:{TCP}"
        first = self.changed("layer", "set", "--add-edge", edge)["revision"]
        second = self.changed("apply", "-f", self.manifest("rogue"))["revision"]
        if not self.has_edge("driver/rogue", TCP):
            raise Failed("the matrix does not have the edge")
        self.rhodes("delete", "driver", "rogue")
        self.rhodes("layer", "set", "--remove-edge", edge)
        if self.has_edge("driver/rogue", TCP):
            raise Failed("the matrix still has the edge")
        if self.command("apply", "-f", self.manifest("rogue")).returncode != 4:
            raise Failed("driver/rogue is not refused again")
        return (f"the hierarchical rule got the edge {edge} (revision {first}), driver/rogue was registered "
                f"(revision {second}); both taken back, and it is refused again")

    def has_edge(self, caller, callee):
        return any(edge["caller"] == caller and edge["callee"] == callee for edge in self.center.get("/v1/matrix")["edges"])

    def denial(self):
        fetching = Fetching(self)
        before = self.refused()
        begin = time.monotonic_ns()
        denied = self.changed("link", "deny", TCP, DRIVER)
        try:
            end = fetching.join(6)
            refused = wait_for("the agents' counts", lambda: self.refused() - before)
            bypassed = self.bypass()
        finally:
            self.changed("link", "allow", TCP, DRIVER)
        error = end["error"] or {}
        after = (error.get("at", begin) - begin) / 1e9
        wanted = f"{DRIVER} refuses {TCP}"
        if not error or wanted not in error["text"] or f"revision {denied['revision']}" not in error["text"]:
            raise Failed(f"the client's error does not say '{wanted}' by revision {denied['revision']}: {json.dumps(end)}")
        if after > 1:
            raise Failed(f"the client was told only after {after:.2f} s")
        if not bypassed.startswith("DENIED") or f"revision {denied['revision']}" not in bypassed:
            raise Failed(f"with {TCP}'s agent bypassed, {DRIVER}'s agent answers: {bypassed}")
        return (f"{after * 1000:.0f} ms after the change was asked for the client gets {error['type']}: {error['text']} "
                f"(refused at agents: {', '.join(f'{name} {count}' for name, count in refused.items())}); "
                f"{TCP}'s agent bypassed, {DRIVER}'s agent says {bypassed}")

    def bypass(self):
        """What the callee's agent alone says to a caller's agent that does not judge."""
        done = subprocess.run([rig.PREFIX / "libexec/rhodes/demo/bypass", TCP, DRIVER], env=self.environment,
                              capture_output=True, text=True, timeout=10)
        return (done.stdout + done.stderr).strip()

    def refused(self):
        """How many calls each agent of the two ends has refused."""
        agents = self.center.agents()
        return collections.Counter({name: agents[name]["counters"]["refused"] for name in (TCP, DRIVER)})

    def kill(self):
        fetching = Fetching(self)
        agent = self.center.agents()[DRIVER]
        begin = time.monotonic()
        os.kill(agent["pid"], signal.SIGKILL)

        def is_back():
            now = self.center.agents().get(DRIVER, {})
            return (now.get("state") == "ready" and now["pid"] != agent["pid"] and now["inSync"]
                    and now["program"]["state"] == "ready")

        wait_for("the new agent", is_back, 5)
        back = time.monotonic() - begin
        if back > 1:
            raise Failed(f"the agent was back only after {back:.2f} s")
        try:
            fetching.wait_calls(200, 7)
        except Failed:
            pass  # it ended with an error, which is looked at below
        end = fetching.stop()
        for got in fetching.files:
            self.compare(got)
        error = end["error"]
        if error and not error["verdict"]:
            raise Failed(f"the fetch ended with something untyped: {json.dumps(error)}")
        longest = max(call[1] for call in fetching.calls) / 1e9
        became = f"ended with {error['verdict']} ({error['text']})" if error else "went on to its end, SHA-256 as on disk"
        return f"{DRIVER}'s agent is back after {back * 1000:.0f} ms; the fetch {became}; longest call {longest:.2f} s"

    def fetch_again(self):
        got = self.fetch()
        return f"8 MiB in {got['seconds']:.2f} s, SHA-256 as on disk"

    def show(self):
        agents = wait_for("agents in sync", self.in_sync, 5)
        print(indent(self.rhodes("matrix")))
        print(indent(self.rhodes("agent", "list")))
        lively = sum(agent["inSync"] for agent in agents.values())
        return f"{lively} agents live, all in sync at revision {self.center.get('/v1/matrix')['revision']}"

    def down(self):
        self.rhodes("down")
        self.is_up = False
        return "center, agents and programs ended"

    def clear(self):
        if self.is_up:
            self.command("down")
        for process in list(self.rig.processes):
            self.rig.stop(process)
        left = self.rig.clear()
        if left:
            raise Failed("left behind and removed now: " + ", ".join(left))
        return "no process, namespace, socket, memfd, queue or file is left"

    def run(self):
        if self.step("wire", self.wire) and self.step("up", self.up):
            self.step("fetch", self.first_fetch)
            self.step("live switch", self.live_switch)
            self.step("refusal", self.refusal)
            self.step("rule edited", self.allowed_by_edit)
            self.step("denial", self.denial)
            self.step("fetch after denial", self.fetch_again)
            self.step("kill", self.kill)
            self.step("fetch after kill", self.fetch_again)
            self.step("matrix", self.show)
            self.step("down", self.down)


def count(number, noun):
    return f"{number} {noun}{'' if number == 1 else 's'}"


def indent(text):
    return "\n".join(f"   {line}".rstrip() for line in text.rstrip().splitlines())


def internet_sockets(pid):
    """Those sockets of a process that are in a table of internet or packet sockets."""
    inodes = set()
    for link in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(link)
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = []
    for table in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6", "packet"):
        path = pathlib.Path(f"/proc/{pid}/net/{table}")
        lines = path.read_text().splitlines()[1:] if path.exists() else []
        column = 8 if table == "packet" else 9
        found += [f"{table} {line.split()[column]}" for line in lines if line.split()[column] in inodes]
    return found


def on_alarm(number, frame):
    raise Failed(f"the demo took longer than {SECONDS_MAX} s")


def main():
    parser = argparse.ArgumentParser(prog="rhodes demo", description=__doc__.splitlines()[0])
    parser.add_argument("--simulated-nic", action="store_true", help="no namespaces: the wire is a Unix socket")
    arguments = parser.parse_args()
    why = "as asked" if arguments.simulated_nic else rig.enter_namespace()
    if why:
        print(f"note: no network namespace ({why}); running with a SIMULATED network interface", flush=True)
    sys.path.insert(0, str(rig.PREFIX / "lib/python3"))
    begin = time.monotonic()
    demo = Demo(bool(why))
    signal.signal(signal.SIGALRM, on_alarm)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    signal.alarm(SECONDS_MAX)
    try:
        demo.run()
    finally:
        signal.alarm(0)
        demo.step("nothing left", demo.clear)
    print(f"{'FAIL' if demo.failures else 'ok'} demo: {demo.failures} steps failed, {time.monotonic() - begin:.1f} s"
          if demo.failures else f"ok demo: {time.monotonic() - begin:.1f} s", flush=True)
    return 1 if demo.failures else 0


if __name__ == "__main__":
    sys.exit(main())
