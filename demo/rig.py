"""What the demo stands on: a wire with a web server at its far end, a Rhodes home of its own, and proof that all of it is gone
afterwards.

Namespaces have no names here: each lives as long as a process in it, so whatever becomes of the demo, nothing stays. The demo
runs in the near one, whose interface has no address: the kernel itself cannot reach the web server.
"""
import ctypes
import hashlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
NEAR, FAR = "rhodes0", "rhodes1"
FAR_ADDRESS, NETMASK = "10.0.0.2", "255.255.255.0"
FILE_BYTES = 8 << 20
PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
HERE = pathlib.Path(__file__).resolve().parent
PREFIX = HERE.parents[2]


class Failed(Exception):
    """A step did not do what it must."""


def wait_for(what, condition, seconds=5.0, pause=0.005):
    """Looks until `condition()` gives something true, and returns it."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {seconds:g} s")
        time.sleep(pause)


def enter_namespace():
    """Starts this program again in namespaces of its own: "root" or "user". Returns why it cannot be, or "" inside of them."""
    inside = os.environ.get("RHODES_DEMO_INSIDE")
    if inside is not None:
        return inside
    reasons = []
    for ways in (["-nmi"], ["-Urnmi"]):
        command = ["unshare", *ways, "--", "sh", "-c", f"ip link add {NEAR} type veth peer name {FAR}"]
        try:
            probe = subprocess.run(command, capture_output=True, text=True, timeout=10)
        except OSError as error:
            return f"unshare: {error.strerror}"
        if probe.returncode == 0:
            os.environ["RHODES_DEMO_INSIDE"] = ""
            os.execvp("unshare", ["unshare", *ways, "--", PYTHON, *sys.argv])
        reasons.append(probe.stderr.strip().splitlines()[-1] if probe.stderr.strip() else "refused")
    return reasons[-1]


def run(*command, seconds=15):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=seconds)
    if done.returncode != 0:
        raise Failed(f"{' '.join(str(word) for word in command)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def children(pid="self"):
    """The children of all threads of a process."""
    found = []
    for tasks in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in tasks.read_text().split()]
        except OSError:
            pass
    return found


class Rig:
    """Everything that must be gone at the end."""

    def __init__(self, simulated):
        # Orphans become our children, so that none is overlooked.
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.simulated = simulated
        self.shared_memory = set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="rhodes-demo-"))
        self.log = open(self.home / "processes.log", "ab")
        self.processes = []
        self.queues = None
        self.port = 80

    # -- processes

    def start(self, *command, **how):
        how.setdefault("stdin", subprocess.DEVNULL)
        how.setdefault("stdout", subprocess.DEVNULL)
        how.setdefault("stderr", self.log)
        # Should the demo be killed, these go with it, and the namespaces with them.
        process = subprocess.Popen([str(word) for word in command],
                                   preexec_fn=lambda: self.libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), **how)
        self.processes.append(process)
        return process

    def stop(self, process, sign=signal.SIGTERM):
        if process.poll() is None:
            process.send_signal(sign)
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                pipe.close()
        if process in self.processes:
            self.processes.remove(process)

    # -- the wire and the server

    def wire_up(self):
        """The web server with its file, at the far end of a wire. Returns what was made, in words."""
        self.root = self.home / "www"
        self.root.mkdir()
        content = os.urandom(FILE_BYTES)
        (self.root / "file").write_bytes(content)
        self.sha256 = hashlib.sha256(content).hexdigest()
        self.mount_queues()
        return self.wire_simulated() if self.simulated else self.wire_real()

    def mount_queues(self):
        if self.simulated:
            return
        place = self.home / "mqueue"
        place.mkdir()
        if subprocess.run(["mount", "-t", "mqueue", "none", str(place)], capture_output=True).returncode == 0:
            self.queues = place

    def wire_real(self):
        self.holder = self.start("unshare", "-n", "--", "sleep", "infinity")
        mine = os.readlink("/proc/self/ns/net")
        wait_for("the far namespace", lambda: os.readlink(f"/proc/{self.holder.pid}/ns/net") != mine)
        self.inside = ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net", "--"]
        run("ip", "link", "add", NEAR, "type", "veth", "peer", "name", FAR, "netns", self.holder.pid)
        for where, name in (([], NEAR), (self.inside, FAR)):
            # Quiet, not needed: no IPv6 of the kernel's own on this wire.
            subprocess.run([*where, "sh", "-c", f"echo 1 > /proc/sys/net/ipv6/conf/{name}/disable_ipv6"],
                           capture_output=True)
        # A connection that the far end gives up must not keep the namespace for minutes while it is retried.
        run(*self.inside, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/tcp_orphan_retries")
        run(*self.inside, "ip", "link", "set", "lo", "up")
        run(*self.inside, "ip", "addr", "add", f"{FAR_ADDRESS}/24", "dev", FAR)
        run(*self.inside, "ip", "link", "set", FAR, "up")
        run("ip", "link", "set", NEAR, "up")
        # The far side must cut its segments itself: there is no card between that would.
        run(*self.inside, "ethtool", "-K", FAR, "tso", "off", "gso", "off", "gro", "off")
        server = self.serve(FAR_ADDRESS, 80, self.inside)
        wait_for("the web server", lambda: self.listens(f"/proc/{self.holder.pid}/net/tcp", FAR_ADDRESS, 80))
        self.device = f"{{nic: {{interface: {NEAR}}}}}"
        return f"{server} behind the veth pair {NEAR}-{FAR}, in a network namespace of its own"

    def wire_simulated(self):
        for _ in range(5):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            server = self.serve("127.0.0.1", port, [])
            try:
                wait_for("the web server", lambda: self.listens("/proc/self/net/tcp", "127.0.0.1", port), 2)
                break
            except Failed:
                self.stop(self.server)
        else:
            raise Failed("no web server gets a port on 127.0.0.1")
        path = self.home / "wire.sock"
        self.wire = self.start(PREFIX / "libexec/rhodes/demo/simwire", path, FAR_ADDRESS, NETMASK, 80, port,
                               stdout=subprocess.PIPE)
        if self.wire.stdout.readline().strip() != b"ready":
            raise Failed("simwire does not start")
        self.device = f'{{sim: {{peer: "{path}"}}}}'
        return f"{server} on 127.0.0.1 behind a SIMULATED wire (two lwIP stacks, a Unix socket between them)"

    def serve(self, address, port, inside):
        nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/sbin")
        if nginx is None:
            self.server = self.start(*inside, PYTHON, "-m", "http.server", "--bind", address, "-d", self.root, port)
            return "python3 -m http.server"
        scratch = self.home / "nginx"
        scratch.mkdir(exist_ok=True)
        paths = "".join(f"{name}_temp_path {scratch}/{name}; "
                        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (scratch / "nginx.conf").write_text(
            f"user root root; daemon off; master_process off; pid {scratch}/pid; error_log {scratch}/error.log;\n"
            "events {}\n"
            f"http {{ access_log off; {paths}keepalive_requests 100000; sendfile on; "
            f"server {{ listen {address}:{port}; root {self.root}; }} }}\n")
        self.server = self.start(*inside, nginx, "-p", scratch, "-e", scratch / "error.log", "-c",
                                 scratch / "nginx.conf")
        return "nginx"

    @staticmethod
    def listens(table, address, port):
        local = f"{int.from_bytes(socket.inet_aton(address), sys.byteorder):08X}:{port:04X}"
        return any(line.split()[1] == local and line.split()[3] == "0A"
                   for line in pathlib.Path(table).read_text().splitlines()[1:])

    # -- the end

    def clear(self):
        """Ends whatever still runs and removes the home. Returns what should not have been there any more."""
        left = []
        for process in list(self.processes):
            self.stop(process)
        wait_quietly(lambda: not self.orphans(), 2)
        for pid in self.orphans():
            left.append(f"process {pid} ({command_line(pid)})")
            os.kill(pid, signal.SIGKILL)
        wait_quietly(lambda: not self.orphans(), 1)
        if self.queues:
            left += [f"message queue /{name}" for name in os.listdir(self.queues)]
            subprocess.run(["umount", str(self.queues)], capture_output=True)
        if os.path.isdir("/dev/shm"):
            left += [f"/dev/shm/{name}" for name in set(os.listdir("/dev/shm")) - self.shared_memory
                     if "rhodes" in name]
        if not self.simulated:
            # With the last process of the far namespace its end of the pair goes, and with that ours.
            if not wait_quietly(lambda: not os.path.exists(f"/proc/sys/net/ipv4/conf/{NEAR}"), 8):
                left.append(f"interface {NEAR}")
        self.log.close()
        shutil.rmtree(self.home, ignore_errors=True)
        if self.home.exists():
            left.append(str(self.home))
        return left

    @staticmethod
    def orphans():
        """Children that still live; those that ended are taken off on the way."""
        for pid in children():
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass
        return children()


def wait_quietly(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def command_line(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
    except OSError:
        return "gone"


class Center:
    """The center over its REST socket, to look at often without a process each time."""

    def __init__(self, home):
        self.path = str(home / "state" / "center" / "center.sock")

    def get(self, path):
        connection = http.client.HTTPConnection("rhodes", timeout=5)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(5)
        try:
            connection.sock.connect(self.path)
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def agents(self):
        return {agent["resource"]: agent for agent in self.get("/v1/agents")["items"]}
