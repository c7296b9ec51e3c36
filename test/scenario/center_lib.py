"""A real rhodes-center in a home of its own, and agents written in Python, for test_center.py.

The agents speak the frames of src/wire/event.h by themselves (struct), so that the center is tested against the contract
and not against its own decoder.
"""
import contextlib
import dataclasses
import http.client
import json
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import tempfile
import time
import typing

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
STAGE = pathlib.Path(os.environ.get("RHODES_STAGE", ROOT / "build" / "stage"))
PATIENCE = 20.0  # how long anything may take before a test gives up
HELLO, APPLIED, REJECTED, RESYNC, STATUS, NOTICE, WELCOME, REFUSED, SNAPSHOT, DELTA, STOP = range(1, 12)
COLLECTIONS = {"Application": "applications", "Service": "services", "Driver": "drivers", "Hardware": "hardware",
               "Link": "links", "Hierarchy": "hierarchies"}


def until(condition: typing.Callable[[], typing.Any], what: str = "condition") -> typing.Any:
    """Waits for a condition; there is nothing to wait on but the thing itself."""
    end = time.monotonic() + PATIENCE
    while not (result := condition()):
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.005)
    return result


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: pathlib.Path, timeout: float = PATIENCE):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


@dataclasses.dataclass
class Answer:
    status: int
    headers: typing.Any
    text: bytes

    @property
    def json(self) -> typing.Any:
        return json.loads(self.text)

    @property
    def code(self) -> str:
        assert self.headers["Content-Type"] == "application/problem+json", self.text
        problem = self.json
        assert problem["status"] == self.status and problem["type"] == "about:blank" and problem["title"]
        first = problem["refusals"][0]
        for name in ("code", "pointer", "detail", "rule", "revision", "hint"):
            assert problem[name] == first[name]
        assert problem["detail"] and problem["hint"] and problem["refusalsTotal"] >= len(problem["refusals"])
        return problem["code"]


def service(name: str, *calls: typing.Any, kind: str = "Service", **spec: typing.Any) -> dict:
    """A document: service("tcp", "driver/net", {"to": ...}, provides=[...])."""
    listed = [{"to": call} if isinstance(call, str) else call for call in calls]
    if listed:
        spec["calls"] = listed
    return {"apiVersion": "rhodes/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def link(caller: str, callee: str, **spec: typing.Any) -> dict:
    return {"apiVersion": "rhodes/v1", "kind": "Link", "spec": {"caller": caller, "callee": callee, **spec}}


def hierarchy(**spec: typing.Any) -> dict:
    return {"apiVersion": "rhodes/v1", "kind": "Hierarchy", "metadata": {"name": "default"}, "spec": spec}


class Center:
    def __init__(self, *options: str, agent: str | None = None):
        """`agent`: the text of a program to be put beside the center as rhodes-agent."""
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="rhodes-center-"))
        self.home = self.root / "home"
        self.bin = self.root / "bin"
        self.bin.mkdir()
        shutil.copy2(STAGE / "bin" / "rhodes-center", self.bin)
        if agent:
            (self.bin / "rhodes-agent").write_text(agent)
            (self.bin / "rhodes-agent").chmod(0o755)
        self.options = options
        self.process: subprocess.Popen | None = None
        self.log = self.root / "log"

    def start(self, **popen: typing.Any) -> "Center":
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([self.bin / "rhodes-center", "--home", self.home, "--foreground", *self.options],
                                            stderr=log, **popen)
        until(self.is_ready, "the center to be ready")
        return self

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.get("/readyz").status == 200
        except (FileNotFoundError, ConnectionError):
            return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)

    def end(self) -> int:
        self.process.terminate()
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
        said = self.log.read_text(errors="replace") if self.log.exists() else ""
        shutil.rmtree(self.root, ignore_errors=True)
        assert "Sanitizer" not in said and "runtime error" not in said and "Assertion" not in said, said[-6000:]
        assert not self.process or self.process.returncode in (0, -9), said[-2000:]

    def connection(self) -> UnixConnection:
        return UnixConnection(self.home / "center" / "center.sock")

    def request(self, method: str, target: str, body: typing.Any = None, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        with contextlib.closing(self.connection()) as connection:
            connection.request(method, target, body, named)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())

    def get(self, target: str, **headers: str) -> Answer:
        return self.request("GET", target, **headers)

    def apply(self, *documents: dict, delete: typing.Sequence[tuple[str, str]] = (), query: str = "") -> Answer:
        body = {"documents": list(documents), "delete": [{"kind": kind, "name": name} for kind, name in delete]}
        return self.request("POST", "/v1/apply" + query, body)

    def put(self, *documents: dict, query: str = "") -> dict:
        """Applies what must work."""
        answer = self.apply(*documents, query=query)
        assert answer.status == 200, answer.text
        return answer.json

    def revision(self) -> int:
        return self.get("/v1/status").json["revision"]

    def agent(self, resource: str) -> dict:
        answer = self.get("/v1/agents/" + resource.replace("/", "."))
        return answer.json if answer.status == 200 else {}

    def stream(self, target: str, **headers: str) -> "Stream":
        return Stream(self, target, headers)


class Stream:
    """Server-sent events, one at a time."""

    def __init__(self, center: Center, target: str, headers: dict[str, str]):
        self.connection = center.connection()
        self.connection.request("GET", target, headers={k.replace("_", "-"): v for k, v in headers.items()})
        self.response = self.connection.getresponse()
        assert self.response.status == 200, self.response.read()
        assert self.response.headers["Content-Type"] == "text/event-stream"

    def next(self) -> tuple[str, str | None, typing.Any]:
        """(event, id or None, data); raises EOFError at the end."""
        event, identity, data = "message", None, None
        while True:
            line = self.response.readline()
            if not line:
                raise EOFError
            line = line.decode().rstrip("\n")
            if not line and data is not None:
                return event, identity, json.loads(data)
            name, _, value = line.partition(": ")
            if name == "event":
                event = value
            elif name == "id":
                identity = value
            elif name == "data":
                data = value

    def close(self) -> None:
        self.connection.close()
        self.response.close()


class Reader:
    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def take(self, form: str) -> int:
        value, = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return value

    def raw(self, n: int) -> bytes:
        assert self.at + n <= len(self.data)
        self.at += n
        return self.data[self.at - n:self.at]

    def text(self) -> str:
        return self.raw(self.take("I")).decode()

    def optional(self) -> str | None:
        return self.text() if self.take("B") else None

    def functions(self) -> list[str]:
        return [(self.text(), self.take("Q"))[0] for _ in range(self.take("I"))]

    def own(self) -> dict:
        return {"resource": self.text(), "revision": self.take("Q"), "functions": self.functions(),
                "arguments": [self.text() for _ in range(self.take("I"))],
                "environment": [self.text() for _ in range(self.take("I"))],
                "directory": self.optional(), "restart": self.take("B"), "device": self.take("B"),
                "target": self.optional()}

    def edges(self) -> dict:
        edges = {}
        for _ in range(self.take("I")):
            peer, outgoing = self.text(), bool(self.take("B"))
            edges[peer, outgoing] = {"allowed": bool(self.take("B")), "protocol": self.take("B"),
                                     "timeout": self.take("Q"), "revision": self.take("Q"), "rule": self.text(),
                                     "key": self.raw(32), "functions": self.functions()}
        return edges


@dataclasses.dataclass
class Frame:
    type: int
    revision: int = 0
    revision_from: int = 0
    verdict: int = 0
    text: str = ""
    own: dict | None = None
    edges: dict = dataclasses.field(default_factory=dict)
    removals: list = dataclasses.field(default_factory=list)


def frame_read(data: bytes) -> Frame:
    reader = Reader(data)
    frame = Frame(reader.take("H"))
    assert reader.take("H") == 1
    if frame.type == WELCOME:
        frame.revision = reader.take("Q")
    elif frame.type == REFUSED:
        frame.verdict, frame.text = reader.take("I"), reader.text()
    elif frame.type == SNAPSHOT:
        frame.revision, frame.own, frame.edges = reader.take("Q"), reader.own(), reader.edges()
    elif frame.type == DELTA:
        frame.revision_from, frame.revision = reader.take("Q"), reader.take("Q")
        frame.own = reader.own() if reader.take("B") else None
        frame.edges = reader.edges()
        frame.removals = [(reader.text(), bool(reader.take("B"))) for _ in range(reader.take("I"))]
    assert reader.at == len(data), "left-over bytes in a frame"
    return frame


def text(value: str) -> bytes:
    return struct.pack("<I", len(value.encode())) + value.encode()


class Agent:
    """An agent by hand: says what it is told to say, and nothing else."""

    def __init__(self, center: Center, resource: str, revision: int = 0, managed: bool = False, hello: bool = True,
                 greet: bool = True):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(str(center.home / "center" / "watch.sock"))
        self.resource, self.view = resource, None
        if hello:
            self.say(HELLO, text(resource) + struct.pack("<IQQB", os.getpid(), 0x1234, revision, managed))
        if hello and greet:
            assert self.hear().type == WELCOME
            self.snapshot = self.hear()
            assert self.snapshot.type == SNAPSHOT and self.snapshot.own["resource"] == resource
            self.applied(self.snapshot)

    def say(self, kind: int, payload: bytes = b"") -> None:
        self.socket.sendall(struct.pack("<IHH", len(payload) + 4, kind, 1) + payload)

    def raw(self, n: int) -> bytes:
        data = b""
        while len(data) < n:
            piece = self.socket.recv(n - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    def hear(self) -> Frame:
        return frame_read(self.raw(*struct.unpack("<I", self.raw(4))))

    def quiet(self, seconds: float = 0.05) -> bool:
        """Nothing comes for a while."""
        self.socket.settimeout(seconds)
        try:
            self.socket.recv(1, socket.MSG_PEEK)
            return False
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(PATIENCE)

    def applied(self, frame: Frame) -> None:
        self.say(APPLIED, struct.pack("<QQ", frame.revision, 1000))

    def rejected(self, frame: Frame, verdict: int, reason: str) -> None:
        self.say(REJECTED, struct.pack("<QI", frame.revision, verdict) + text(reason))

    def status(self, applied: int, pid: int, state: int, *counters: int) -> None:
        self.say(STATUS, struct.pack("<QIB6Q", applied, pid, state, *counters))

    def notice(self, name: str, what: str) -> None:
        self.say(NOTICE, text(name) + text(what))

    def ended(self) -> bool:
        """The center has closed the connection."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self.socket.close()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False

