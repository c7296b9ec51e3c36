"""What every scenario stands on: a stage, a home of its own, a center that is really gone at the end, and a runner.

A scenario uses real processes only. Each has its own RHODES_HOME (nothing here has a fixed path or port), a time limit, and
is failed when anything that belongs to its home is still running after it, when a socket there is still listened on, or
when a process died of a signal that nobody sent on purpose.
"""
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import typing

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SANITIZER = os.environ.get("RHODES_SANITIZER")  # its runtime, when the stage is built with one
PATIENCE = 3 if SANITIZER else 1
SECONDS = 90 * PATIENCE  # for one scenario
NAMES = {"center.sock", "watch.sock", "agent.sock"}


class Result(typing.NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> typing.Any:
        return json.loads(self.out)


def processes_of(home: pathlib.Path) -> dict[int, str]:
    """Processes (not this one) whose command line or environment names this home: pid and command line."""
    found = {}
    needle = os.fsencode(str(home))
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            line = pathlib.Path(entry.path, "cmdline").read_bytes()
            if needle in line or needle in pathlib.Path(entry.path, "environ").read_bytes():
                found[int(entry.name)] = line.replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue  # it has just ended
    return found


def listened_on(path: pathlib.Path) -> bool:
    """Whether somebody answers at this Unix socket, however long its path is."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
            with socket.socket(socket.AF_UNIX, kind) as probe:
                try:
                    probe.connect(f"/proc/self/fd/{directory}/{path.name}")
                    return True
                except OSError:
                    pass
    finally:
        os.close(directory)
    return False


def until(condition: typing.Callable[[], typing.Any], seconds: float = 10, what: str = "") -> typing.Any:
    """Waits until the condition is true and returns what it returned; fails the scenario when the time is over."""
    end = time.monotonic() + seconds * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            pytest.fail(f"not within {seconds * PATIENCE:g} s: {what or condition}")
        time.sleep(0.01)


class Connection(http.client.HTTPConnection):
    """HTTP over the center's Unix socket, for what the CLI would not send."""

    def __init__(self, path: pathlib.Path, seconds: float = 20):
        super().__init__("localhost", timeout=seconds * PATIENCE)
        self.path = path

    def connect(self) -> None:
        directory = os.open(self.path.parent, os.O_PATH | os.O_DIRECTORY)
        try:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(self.timeout)
            self.sock.connect(f"/proc/self/fd/{directory}/{self.path.name}")
        finally:
            os.close(directory)


class Rhodes:
    """Runs `rhodes ...` against one home: rhodes("get", "services") -> Result. Never raises for a status."""

    def __init__(self, stage: pathlib.Path, home: pathlib.Path):
        self.stage = stage
        self.home = home
        self.env = {name: value for name, value in os.environ.items()
                    if not name.startswith("RHODES_") and name != "XDG_STATE_HOME"}
        self.env["RHODES_HOME"] = str(home)
        self.env["PYTHONPATH"] = str(stage / "lib" / "python3")
        self.env["PATH"] = f"{stage / 'bin'}:{self.env.get('PATH', '/usr/bin:/bin')}"
        if SANITIZER:
            self.env["LD_PRELOAD"] = SANITIZER

    def __call__(self, *words: str | pathlib.Path, stdin: str | bytes = "", seconds: float = 30,
                 env: dict | None = None, cwd: pathlib.Path | None = None) -> Result:
        done = subprocess.run([self.stage / "bin" / "rhodes", *map(str, words)], capture_output=True, cwd=cwd or "/",
                              input=stdin.encode() if isinstance(stdin, str) else stdin, timeout=seconds * PATIENCE,
                              env=dict(self.env, **(env or {})))
        result = Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
        assert result.code >= 0, f"rhodes {words} died by signal {-result.code}: {result.err}"
        return result

    def ok(self, *words: str | pathlib.Path, **options: typing.Any) -> Result:
        """The same, for what must work."""
        result = self(*words, **options)
        assert result.code == 0, f"rhodes {' '.join(map(str, words))}: status {result.code}\n{result.out}{result.err}"
        return result

    def start(self, *words: str | pathlib.Path, **options: typing.Any) -> subprocess.Popen:
        """In the background; the scenario waits for it."""
        return subprocess.Popen([self.stage / "bin" / "rhodes", *map(str, words)], env=self.env, cwd="/", text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

    def rest(self, method: str, path: str, body: typing.Any = None, headers: dict | None = None,
             seconds: float = 20) -> tuple[int, typing.Any, dict]:
        """One request to the center's socket: status, body (parsed when it is JSON), headers."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        with contextlib.closing(Connection(self.home / "center" / "center.sock", seconds)) as connection:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            data = answer.read()
            kind = answer.headers.get("Content-Type", "")
            return answer.status, json.loads(data) if "json" in kind else data, dict(answer.headers)

    def revision(self) -> int:
        return self.rest("GET", "/v1/status")[1]["revision"]

    def everything(self) -> dict:
        """All that the center has stored, to show that a refusal changed none of it."""
        kept = {name: self.rest("GET", f"/v1/{name}")[1]
                for name in ("applications", "services", "drivers", "hardware", "links", "hierarchies")}
        kept["matrix"] = self.rest("GET", "/v1/matrix")[1]
        return kept

    def agents(self) -> dict[str, dict]:
        return {agent["resource"]: agent for agent in self.rest("GET", "/v1/agents")[1]["items"]}

    def until_ready(self, *resources: str, seconds: float = 15) -> dict[str, dict]:
        """Waits until the agents of these resources are there, in sync, and their programs are ready (if they have one)."""
        def ready() -> dict | None:
            agents = self.agents()
            good = all(name in agents and agents[name]["state"] == "ready" and agents[name]["inSync"] and
                       agents[name]["program"]["state"] in ("ready", "none") for name in resources)
            return agents if good else None
        return until(ready, seconds, f"{resources} ready")


@pytest.fixture(scope="session")
def stage() -> pathlib.Path:
    path = pathlib.Path(os.environ.get("RHODES_STAGE", ROOT / "build" / "stage")).resolve()
    if not (path / "bin" / "rhodes").exists():
        pytest.exit(f"no {path}/bin/rhodes; type make first", 2)
    return path


@pytest.fixture(autouse=True)
def time_limit():
    """A scenario that hangs is failed where it hangs."""
    def over(number, frame):
        raise TimeoutError(f"the scenario took more than {SECONDS} s")
    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def home_end(home: pathlib.Path, root: pathlib.Path) -> list[str]:
    """Ends and removes all that belongs to a home; says what should not have been there."""
    end = time.monotonic() + 5 * PATIENCE
    while processes_of(home) and time.monotonic() < end:
        time.sleep(0.01)
    left = [f"process {pid}: {line}" for pid, line in processes_of(home).items()]
    left += [f"socket in use: {path}" for path in home.rglob("*.sock") if path.name in NAMES and listened_on(path)]
    for pid in processes_of(home):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if left or os.environ.get("RHODES_KEEP"):
        for log in sorted(home.rglob("*.log")):
            print(f"--- {log.relative_to(home)}\n{log.read_text(errors='replace')[-4000:]}")
    if not os.environ.get("RHODES_KEEP"):
        shutil.rmtree(root, ignore_errors=True)
    return left


@pytest.fixture
def home():
    """A short home, not made yet, as a newcomer's is not."""
    root = pathlib.Path(tempfile.mkdtemp(prefix="rhodes-"))
    yield root / "home"
    left = home_end(root / "home", root)
    assert not left, "left behind: " + "; ".join(left)


@pytest.fixture
def long_home():
    """A home whose path is far longer than a Unix socket's address may be, with a space in it."""
    root = pathlib.Path(tempfile.mkdtemp(prefix="rhodes-"))
    path = root.joinpath(*[f"a rather long name {n} {'x' * 60}" for n in range(12)], "home")
    assert len(str(path)) > 900
    yield path
    left = home_end(path, root)
    assert not left, "left behind: " + "; ".join(left)


@pytest.fixture
def rhodes(stage, home) -> Rhodes:
    return Rhodes(stage, home)


@contextlib.contextmanager
def running(rhodes: Rhodes):
    """A center, from `rhodes up` to `rhodes down`."""
    rhodes.ok("up")
    try:
        yield rhodes
    finally:
        down = rhodes("down")
        assert down.code == 0, f"rhodes down: {down.code}\n{down.out}{down.err}"


@pytest.fixture
def center(rhodes):
    """The same as `rhodes`, with a center running."""
    with running(rhodes):
        yield rhodes


@pytest.fixture
def write(tmp_path):
    """write("name.yaml", text) -> path of a file of the scenario's own."""
    def make(name: str, text: str | bytes) -> pathlib.Path:
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path
    return make
