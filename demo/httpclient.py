#!/usr/bin/python3
"""The program of application/httpclient: HTTP/1.1 over service/tcp. It owns no internet socket: connect, send, recv and
close are calls to another resource, judged and carried by agents.

    httpclient.py http://10.0.0.2/file              fetches once and prints one line of JSON
    httpclient.py --keep-going http://10.0.0.2/file fetches again and again over one connection until standard input
                                                    ends, and prints each call as it goes

Exit status: 0 when all was fetched whole, 1 after an error, which is the last line's "error".
"""
import argparse
import contextlib
import hashlib
import json
import os
import sys
import threading
import time
import urllib.parse

import rhodes


class Calls:
    """Makes the calls, and remembers of each when it began (ns), how long it took (ns), and how many bytes it brought."""

    def __init__(self, tcp):
        self.tcp = tcp
        self.made = {"connect": 0, "send": 0, "recv": 0, "close": 0}
        self.fresh = []
        self.latencies = []

    def __call__(self, name, *arguments):
        self.made[name] += 1
        begin = time.monotonic_ns()
        result = getattr(self.tcp, name)(*arguments)
        took = time.monotonic_ns() - begin
        self.latencies.append(took)
        self.fresh.append((begin, took, len(result) if name == "recv" else 0))
        return result


class Connection:
    """One HTTP/1.1 connection, opened when it is needed."""

    def __init__(self, calls, host, port, chunk):
        self.calls, self.host, self.port, self.chunk = calls, host, port, chunk
        self.connection = None
        self.buffer = b""

    def receive(self):
        data = self.calls("recv", self.connection, self.chunk)
        if not data:
            raise ConnectionError("the server ended the connection in the middle of an answer")
        return data

    def get(self, path):
        """The body of a GET, in pieces."""
        if self.connection is None:
            self.connection = self.calls("connect", self.host, self.port)
            self.buffer = b""
        request = f"GET {path} HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode()
        while request:
            request = request[self.calls("send", self.connection, request):]
        head = self.buffer
        while b"\r\n\r\n" not in head:
            head += self.receive()
        head, _, body = head.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        if status.split()[1] != "200":
            raise ConnectionError(f"the server answers: {status}")
        fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        left = int(fields["content-length"])
        while True:
            piece, body = body[:left], body[left:]
            left -= len(piece)
            yield piece
            if left == 0:
                break
            body = self.receive()
        self.buffer = body
        if status.startswith("HTTP/1.0") or fields.get("connection", "").lower() == "close":
            self.close()

    def close(self):
        if self.connection is not None:
            connection, self.connection = self.connection, None
            self.calls("close", connection)


def fetch(connection, path):
    digest, count = hashlib.sha256(), 0
    begin = time.monotonic()
    for piece in connection.get(path):
        digest.update(piece)
        count += len(piece)
        yield None
    yield {"sha256": digest.hexdigest(), "bytes": count, "seconds": time.monotonic() - begin}


def percentiles(latencies):
    ordered = sorted(latencies) or [0]
    return {name: ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1000
            for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))}


def say(line):
    print(json.dumps(line), flush=True)


def keep_going(calls, connection, path):
    """Fetches until standard input ends, telling of the calls every 50 ms."""
    ended = threading.Event()
    threading.Thread(target=lambda: (os.read(0, 1), ended.set()), daemon=True).start()
    told = time.monotonic()
    while not ended.is_set():
        for done in fetch(connection, path):
            if done is not None:
                say({"file": done})
            if time.monotonic() - told > 0.05:
                told = time.monotonic()
                fresh, calls.fresh = calls.fresh, []
                say({"calls": fresh})


def run(arguments, url):
    with rhodes.open("application/httpclient") as session:
        calls = Calls(session.bind("service/tcp"))
        connection = Connection(calls, url.hostname, url.port or 80, arguments.chunk)
        end, error = {}, None
        try:
            if arguments.keep_going:
                say({"begun": os.getpid()})
                keep_going(calls, connection, url.path or "/")
            else:
                *_, end = fetch(connection, url.path or "/")
            connection.close()
        except (rhodes.Error, OSError) as caught:
            error = {"at": time.monotonic_ns(), "type": type(caught).__name__,
                     "verdict": getattr(caught, "verdict", ""), "text": str(caught)}
            with contextlib.suppress(rhodes.Error, OSError):
                connection.close()
        if arguments.keep_going:
            say({"calls": calls.fresh})
        say({**end, "calls": calls.made, "latency_us": percentiles(calls.latencies), "error": error})
        return 1 if error else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", type=urllib.parse.urlsplit)
    parser.add_argument("--keep-going", action="store_true", help="until standard input ends")
    parser.add_argument("--chunk", type=int, default=16384, help="bytes to ask for at once (default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.url.scheme != "http" or not arguments.url.hostname:
        parser.error("the URL begins with http:// and names a host")
    return run(arguments, arguments.url)


if __name__ == "__main__":
    sys.exit(main())
