"""A center with agents in a home of its own, for a benchmark: real processes from a stage, gone without a trace at the end."""
from __future__ import annotations

import contextlib
import http.client
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time
import typing

DOCUMENTS_AT_ONCE = 200  # an apply's body may have 1 MiB


class BenchError(Exception):
    """Something that the benchmark stands on is not there or does not work; the text is for a person."""


class Unix(http.client.HTTPConnection):
    """HTTP over the center's Unix socket."""

    def __init__(self, path: pathlib.Path, seconds: float = 120):
        super().__init__("localhost", timeout=seconds)
        self.path = path

    def connect(self) -> None:
        directory = os.open(self.path.parent, os.O_PATH | os.O_DIRECTORY)  # a socket's address has 108 bytes, a path more
        try:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(self.timeout)
            self.sock.connect(f"/proc/self/fd/{directory}/{self.path.name}")
        finally:
            os.close(directory)


class Node:
    """with Node(stage) as node: node.apply([...]); node.start_agent(...); node.request(...)"""

    def __init__(self, stage: pathlib.Path):
        self.stage = stage
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="rhodes-bench-"))
        self.home = self.root / "home"
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("RHODES_")}
        self.env["RHODES_HOME"] = str(self.home)
        self.started: list[subprocess.Popen] = []
        self.connection: Unix | None = None

    def __enter__(self) -> Node:
        try:
            self.command("up")
        except BaseException:
            shutil.rmtree(self.root, ignore_errors=True)
            raise
        self.connection = Unix(self.home / "center" / "center.sock")
        return self

    def __exit__(self, *unused: typing.Any) -> None:
        for process in self.started:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        for process in self.started:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for stream in (process.stdin, process.stdout):
                if stream:
                    stream.close()
        if self.connection:
            self.connection.close()
        with contextlib.suppress(BenchError):
            self.command("down")
        shutil.rmtree(self.root, ignore_errors=True)

    def command(self, *words: str) -> str:
        program = self.stage / "bin" / "rhodes"
        if not program.exists():
            raise BenchError(f"no {program}; type make first, or name another stage with --stage")
        done = subprocess.run([program, *words], env=self.env, capture_output=True, text=True, timeout=60,
                              stdin=subprocess.DEVNULL)
        if done.returncode:
            raise BenchError(f"rhodes {' '.join(words)}: status {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def request(self, method: str, path: str, body: typing.Any = None, headers: dict | None = None) -> typing.Any:
        """One request on a connection that is kept; the parsed answer. BenchError for anything but 2xx."""
        assert self.connection
        data = None if body is None else json.dumps(body).encode()
        self.connection.request(method, path, data, headers or {})
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise BenchError(f"{method} {path}: {answer.status}: {text.decode(errors='replace')[:500]}")
        return json.loads(text)

    def apply(self, documents: list[dict], wait: str | None = None) -> dict:
        answer: dict = {}
        for i in range(0, len(documents), DOCUMENTS_AT_ONCE):
            answer = self.request("POST", f"/v1/apply?wait={wait}" if wait else "/v1/apply",
                                  {"documents": documents[i:i + DOCUMENTS_AT_ONCE]})
        return answer

    def start_agent(self, resource: str, *words: str, **options: typing.Any) -> subprocess.Popen:
        """Starts `rhodes-agent` for a resource; with `--run -- CMD` among the words its streams are CMD's."""
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen([self.stage / "bin" / "rhodes-agent", "--home", str(self.home),
                                    "--resource", resource, *words], env=self.env, **dict(streams, **options))
        self.started.append(process)
        return process

    def agents(self) -> dict[str, dict]:
        return {agent["resource"]: agent for agent in self.request("GET", "/v1/agents")["items"]}

    def until(self, condition: typing.Callable[[], typing.Any], seconds: float, what: str) -> typing.Any:
        end = time.monotonic() + seconds
        pause = 0.002
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > end:
                raise BenchError(f"not within {seconds:g} s: {what}")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.2)

    def logs(self) -> str:
        """The ends of the logs, for when it went wrong."""
        return "".join(f"--- {log.relative_to(self.home)}\n{log.read_text(errors='replace')[-1500:]}"
                       for log in sorted(self.home.rglob("*.log"))[:6])


def document(kind: str, name: str | None, spec: dict, labels: dict | None = None) -> dict:
    metadata: dict = {} if name is None else {"name": name}
    if labels:
        metadata["labels"] = labels
    return {"apiVersion": "rhodes/v1", "kind": kind, "metadata": metadata, "spec": spec}
