"""The rival of bench/push: an etcd of one member, and one etcdctl process that holds N watches on one key.

One client process with N watches on one connection is cheaper for etcd than N processes, as Rhodes has them, so the
comparison favours etcd; its watchers also acknowledge nothing, while every agent puts its view in force and says so."""
from __future__ import annotations

import base64
import http.client
import json
import os
import pathlib
import select
import shutil
import socket
import subprocess
import tempfile
import time

from node import BenchError

KEY = "k"


def ports_free(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()


class Etcd:
    """with Etcd() as etcd: etcd.watch(100); etcd.push("value") -> seconds until all have it"""

    def __init__(self) -> None:
        for program in ("etcd", "etcdctl"):
            if not shutil.which(program):
                raise BenchError(f"no {program} in PATH; tools/setup bench installs it (etcd-server, etcd-client)")
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="rhodes-bench-etcd-"))
        self.watcher: subprocess.Popen | None = None
        self.watchers = 0
        client, peer = ports_free(2)
        self.endpoint = f"127.0.0.1:{client}"
        self.log = open(self.root / "log", "wb")
        self.server = subprocess.Popen(
            ["etcd", "--name", "bench", "--data-dir", self.root / "data",
             "--listen-client-urls", f"http://{self.endpoint}", "--advertise-client-urls", f"http://{self.endpoint}",
             "--listen-peer-urls", f"http://127.0.0.1:{peer}", "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
             "--initial-cluster", f"bench=http://127.0.0.1:{peer}"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.connection = http.client.HTTPConnection("127.0.0.1", client, timeout=30)

    def __enter__(self) -> Etcd:
        end = time.monotonic() + 20
        while True:
            try:
                self.put("first")
                return self
            except (OSError, http.client.HTTPException, BenchError) as error:
                self.connection.close()
                if time.monotonic() > end or self.server.poll() is not None:
                    self.__exit__()
                    raise BenchError(f"etcd does not answer: {error}") from None
                time.sleep(0.05)

    def __exit__(self, *unused: object) -> None:
        self.connection.close()
        self.unwatch()
        self.server.terminate()
        self.server.wait()
        self.log.close()
        shutil.rmtree(self.root, ignore_errors=True)

    def put(self, value: str) -> None:
        """A put over the HTTP gateway on a connection that is kept, as the edit at the center is."""
        body = json.dumps({"key": base64.b64encode(KEY.encode()).decode(), "value": base64.b64encode(value.encode()).decode()})
        self.connection.request("POST", "/v3/kv/put", body)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise BenchError(f"etcd put: {answer.status}: {text.decode(errors='replace')[:200]}")

    def watch(self, count: int) -> None:
        self.unwatch()
        self.watchers = count
        self.watcher = subprocess.Popen(["etcdctl", f"--endpoints={self.endpoint}", "watch", "-i"], bufsize=0,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
                                        env=dict(os.environ, ETCDCTL_API="3"))
        self.watcher.stdin.write(f"watch {KEY}\n".encode() * count)
        end = time.monotonic() + 60
        probe = 0
        while self.arrivals(f"probe-{probe:08}", 1) < count:  # each is seen by those that watch by now
            probe += 1
            if time.monotonic() > end:
                raise BenchError(f"etcd: {count} watchers are not there after 60 s")

    def unwatch(self) -> None:
        if self.watcher:
            self.watcher.kill()
            self.watcher.wait()
            self.watcher.stdin.close()
            self.watcher.stdout.close()
            self.watcher = None

    def arrivals(self, value: str, seconds: float) -> int:
        """Puts the value, and counts the watchers that have it within that time."""
        self.put(value)
        end = time.monotonic() + seconds
        needle = value.encode() + b"\n"  # watchers print at once: lines mix, but are whole
        count, rest = 0, b""
        while count < self.watchers:
            ready, _, _ = select.select([self.watcher.stdout], [], [], max(0, end - time.monotonic()))
            if not ready:
                break
            data = os.read(self.watcher.stdout.fileno(), 1 << 20)
            if not data:
                raise BenchError("etcdctl ended")
            rest += data
            count += rest.count(needle)
            last = rest.rfind(needle)
            rest = rest[last + len(needle):] if last >= 0 else rest[-len(needle) + 1:]
        return count

    def push(self, value: str) -> float:
        before = time.perf_counter()
        if self.arrivals(value, 60) < self.watchers:
            raise BenchError(f"etcd: not all of {self.watchers} watchers had the value within 60 s")
        return time.perf_counter() - before
