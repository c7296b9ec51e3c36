"""A program that speaks to its agent without librhodes, so that it can speak wrongly: the session socket of
src/wire/session.h and the rings of src/wire/ring.h, in as few lines as it takes. Used by scenarios, and run by an agent as
the program of a resource:

    raw.py SIGNATURE HOW          serves SIGNATURE and answers each call in the way that HOW names (see GARBAGE)
"""
import contextlib
import fcntl
import mmap
import os
import socket
import struct
import sys
import time

HELLO, SERVE, READY, CHANNEL, BIND, PEER = 1, 2, 3, 4, 5, 6
ANSWER = 0x8000
CALLER, SERVER = 1, 2

MESSAGE = struct.Struct("<HHIiI4Q32s")
HEAD = struct.Struct("<IHHQQQQQIiII8Q")  # wire/call.h
CALL_MAGIC = 0x31434852
REQUEST, REPLY = 1, 2

RING_MAGIC, RING_SLOTS, CHUNK_BYTES = 0x31525248, 4, 64 * 1024 + 128
SLOT_BYTES = (8 + CHUNK_BYTES + 63) & ~63
RING_BYTES = (4096 + RING_SLOTS * SLOT_BYTES + 4095) & ~4095
MORE = 0x80000000
F_ADD_SEALS, SEALS = 1033, 0x0001 | 0x0002 | 0x0004 | 0x0010  # SEAL, SHRINK, GROW, FUTURE_WRITE
SYS_FUTEX, FUTEX_WAKE = 202, 1


def encode(kind: int, tag: int = 1, flags: int = 0, numbers: tuple = (), texts: tuple = (), version: int = 1) -> bytes:
    data = MESSAGE.pack(version, kind, tag, 0, flags, *(tuple(numbers) + (0,) * 4)[:4], bytes(32))
    for text in (tuple(texts) + ("",) * 4)[:4]:
        text = text if isinstance(text, bytes) else text.encode()
        data += struct.pack("<I", len(text)) + text
    return data


class Agent:
    """A connection to an agent's socket, whatever the length of its path."""

    def __init__(self, path: str):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(10)
        directory = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY)
        try:
            self.socket.connect(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
        finally:
            os.close(directory)

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes, fds: tuple = ()) -> None:
        socket.send_fds(self.socket, [data], list(fds))

    def receive(self) -> dict:
        """The next message; an empty dict at the end of the stream."""
        try:
            data, fds, _, _ = socket.recv_fds(self.socket, 65536, 4)
        except ConnectionResetError:
            return {}
        if not data:
            return {}
        _, kind, tag, result, flags, n0, n1, n2, n3, _ = MESSAGE.unpack_from(data)
        at, texts = MESSAGE.size, []
        for _ in range(4):
            length, = struct.unpack_from("<I", data, at)
            texts.append(data[at + 4:at + 4 + length].decode())
            at += 4 + length
        return {"kind": kind, "tag": tag, "result": result, "flags": flags, "numbers": (n0, n1, n2, n3), "texts": texts,
                "fds": fds}

    def ask(self, kind: int, fds: tuple = (), **fields) -> dict:
        """Sends a request and returns its answer; what comes in between is not ours to judge."""
        self.send(encode(kind, tag=77, **fields), fds)
        while True:
            answer = self.receive()
            if not answer or (answer["kind"] == kind | ANSWER and answer["tag"] == 77):
                return answer


class Ring:
    """Our memory to write, the agent's to read."""

    def __init__(self):
        self.fd = os.memfd_create("rhodes-ring", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.posix_fallocate(self.fd, 0, RING_BYTES)
        self.mine = memoryview(mmap.mmap(self.fd, RING_BYTES)).cast("B")
        struct.pack_into("<4I", self.mine, 0, RING_MAGIC, 1, RING_SLOTS, SLOT_BYTES)
        struct.pack_into("<I", self.mine, 192, 0xFFFFFFFF)
        for i in range(RING_SLOTS):
            struct.pack_into("<I", self.mine, 4096 + i * SLOT_BYTES, (i + 1 - RING_SLOTS) & 0xFFFFFFFF)
        fcntl.fcntl(self.fd, F_ADD_SEALS, SEALS)
        self.peer = None
        self.put = self.got = 0

    def attach(self, fd: int) -> None:
        self.peer = memoryview(mmap.mmap(fd, RING_BYTES, prot=mmap.PROT_READ)).cast("B")
        os.close(fd)

    def word(self, at: int) -> int:
        return struct.unpack_from("<I", self.peer, at)[0]

    def get(self) -> tuple[bytes, bool] | None:
        """The next chunk and whether more follow; None when the agent has left."""
        slot = 4096 + self.got % RING_SLOTS * SLOT_BYTES
        while self.word(slot) != (self.got + 1) & 0xFFFFFFFF:
            if self.word(256):
                return None
            time.sleep(0.0005)
        size = self.word(slot + 4)
        data = bytes(self.peer[slot + 8:slot + 8 + (size & ~MORE)])
        self.got += 1
        struct.pack_into("<I", self.mine, 64, self.got & 0xFFFFFFFF)
        self.wake(64)
        return data, bool(size & MORE)

    def message(self) -> bytes | None:
        """A whole message: the head and its body."""
        data = b""
        while True:
            chunk = self.get()
            if chunk is None:
                return None
            data += chunk[0]
            if not chunk[1]:
                return data

    def publish(self, data: bytes, size: int | None = None, sequence: int | None = None) -> None:
        slot = 4096 + self.put % RING_SLOTS * SLOT_BYTES
        self.put += 1
        self.mine[slot + 8:slot + 8 + len(data)] = data
        struct.pack_into("<I", self.mine, slot + 4, len(data) if size is None else size)
        struct.pack_into("<I", self.mine, slot, (self.put if sequence is None else sequence) & 0xFFFFFFFF)
        self.wake(slot)

    def wake(self, at: int) -> None:
        import ctypes
        address = ctypes.addressof(ctypes.c_char.from_buffer(self.mine, at))
        ctypes.CDLL(None).syscall(SYS_FUTEX, ctypes.c_void_p(address), FUTEX_WAKE, 2 ** 31 - 1, None, None, 0)


def reply(request: bytes, body: bytes = b"", result: int = 0, **changed) -> bytes:
    """A reply to this request, with some of its fields changed."""
    names = ("magic", "type", "flags", "caller", "sequence", "function", "deadline", "executor", "body_bytes", "result",
             "binding", "protocol")
    fields = dict(zip(names, HEAD.unpack_from(request)))
    stamps = HEAD.unpack_from(request)[len(names):]
    fields.update(type=REPLY, body_bytes=len(body), result=result, **{})
    fields.update(changed)
    return HEAD.pack(*(fields[name] for name in names), *stamps) + body


# Each takes the ring and the request, and answers wrongly in its own way.
GARBAGE = {
    "magic": lambda ring, request: ring.publish(reply(request, b"\0" * 8, magic=0xDEADBEEF)),
    "type": lambda ring, request: ring.publish(reply(request, b"\0" * 8, type=99)),
    "short-body": lambda ring, request: ring.publish(reply(request, b"\1")),
    "wild-offsets": lambda ring, request: ring.publish(reply(request, b"\xff" * 8)),
    "lying-length": lambda ring, request: ring.publish(reply(request, b"\0" * 8, body_bytes=0x7FFFFFFF)),
    "head-cut": lambda ring, request: ring.publish(reply(request)[:20]),
    "huge-chunk": lambda ring, request: ring.publish(reply(request, b"\0" * 8), size=0x7FFFFFFF),
    "random": lambda ring, request: ring.publish(os.urandom(4096)),
    "wrong-sequence": lambda ring, request: ring.publish(reply(request, b"\0" * 8, sequence=2 ** 63)),
    "verdict-of-nobody": lambda ring, request: ring.publish(reply(request, b"why", result=12345)),
    "text-that-is-no-utf8": lambda ring, request: ring.publish(reply(request, b"\xff\xfe\x1b[2J", result=11)),
    "request-back": lambda ring, request: ring.publish(request),
}


def serve(signature: str, how: str) -> int:
    agent = Agent(os.environ["RHODES_AGENT"])
    for kind, fields in ((HELLO, {"numbers": (os.getpid(),)}), (SERVE, {"texts": (signature,)})):
        answer = agent.ask(kind, **fields)
        if not answer or answer["result"]:
            print(f"refused: {answer}", file=sys.stderr)
            return 1
    ring = Ring()
    answer = agent.ask(CHANNEL, fds=(ring.fd,), numbers=(1, SERVER))
    if not answer or answer["result"]:
        print(f"no channel: {answer}", file=sys.stderr)
        return 1
    ring.attach(answer["fds"][0])
    agent.ask(READY)
    with contextlib.suppress(KeyboardInterrupt):
        while (request := ring.message()) is not None:
            GARBAGE[how](ring, request)
    return 0


if __name__ == "__main__":
    sys.exit(serve(*sys.argv[1:3]))
