#!/usr/bin/python3
"""Writes the seeds of the binary decoders below test/fuzz/corpus/. Seeds are kept in the repository; run this after a layout
has changed. Text corpora (wit, object, manifest, rest_body) are written by hand, or below where they are long."""
import json
import pathlib
import struct

CORPUS = pathlib.Path(__file__).resolve().parent / "corpus"


def seed(target: str, name: str, data: bytes) -> None:
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def text(value: str) -> bytes:
    return struct.pack("<I", len(value.encode())) + value.encode()


def session(kind: int, tag: int = 1, result: int = 0, flags: int = 0, numbers: tuple = (0, 0, 0, 0),
            texts: tuple = ("", "", "", "")) -> bytes:
    """wire/session.h"""
    return (struct.pack("<HHIiI4Q", 1, kind, tag, result, flags, *numbers) + bytes(range(32)) +
            b"".join(map(text, texts)))


def sessions() -> None:
    answer = 0x8000
    seed("session", "hello", session(1, flags=1, numbers=(7, 0, 0, 0), texts=("service/tcp", "", "", "")))
    seed("session", "serve", session(2, texts=("connect: func(host: string, port: u16) -> u32", "", "", "")))
    seed("session", "ready", session(3))
    seed("session", "channel", session(4, numbers=(9, 1, 0, 0)))
    seed("session", "bind", session(5, texts=("driver/netdriver", "xmit", "record r { a: u32 }", "")))
    seed("session", "peer", session(6, numbers=(2 ** 64 - 1, 0, 0, 0), texts=("service/tcp", "driver/x", "", "")))
    seed("session", "lane", session(7, numbers=(1, 1, 3, 0)))
    seed("session", "close", session(8, numbers=(1, 0, 0, 0)))
    seed("session", "answer-refused", session(5 | answer, result=1, texts=("no edge", "declare it", "", "")))
    seed("session", "text-of-8192", session(2, texts=("x" * 8192, "", "", "")))
    seed("session", "text-of-8193", session(2, texts=("x" * 8193, "", "", "")))
    seed("session", "length-of-4-gib", session(3)[:-4] + b"\xff\xff\xff\xff")
    seed("session", "one-byte-short", session(3)[:-1])
    seed("session", "one-byte-left-over", session(3) + b"\0")
    seed("session", "nul-in-text", session(1, texts=("a\0b", "", "", "")))
    seed("session", "version-2", b"\2" + session(3)[1:])
    seed("session", "empty", b"")


FUNCTIONS = {
    "plain": "add: func(a: s32, b: s32) -> s32",
    "no-result": "stop: func()",
    "bytes": "xmit: func(frame: list<u8>, queue: u32) -> s32",
    "nested": "rx: func(max: u32, wait-ms: u32) -> list<list<u8>>",
    "inline-record": "info: func() -> record{mac: list<u8>, mtu: u32, name: string}",
    "inline-enum": "set: func(m: enum{on, off})",
    "tuple-and-option": "f: func(x: tuple<u8, option<string>, f64>) -> option<char>",
    "deep": "f: func(x: " + "list<" * 16 + "u8" + ">" * 16 + ")",
    "too-deep": "f: func(x: " + "list<" * 17 + "u8" + ">" * 17 + ")",
    "not-yet": "f: func(x: resource)",
    "broken": "f: func(x: list<u8) -> ",
}
TYPES = {
    "record": "record point { x: s32, y: s32 }", "enum": "enum colour { red, green }", "alias": "type bytes = list<u8>",
    "itself": "record r { r: r }", "two": "record a { b: b }\nrecord b { x: u8 }", "comment": "// nothing\n/* more */",
}


def functions() -> None:
    """The type definitions, a NUL, the function: as in model/wit.h's two texts."""
    for name, function in FUNCTIONS.items():
        seed("wit", name, b"\0" + function.encode())
    for name, types in TYPES.items():
        seed("wit", "types-" + name, types.encode() + b"\0f: func(p: point, c: colour, b: bytes)")


DOCUMENTS = {
    "service": {"kind": "Service", "metadata": {"name": "tcp", "labels": {"lang": "c"}}, "spec": {
        "privilege": "user", "types": "record p { x: u8 }", "provides": [{"function": "f: func(p: p)", "symbol": "f_p"}],
        "calls": [{"to": "driver/d", "protocol": "shm", "timeout": "50ms", "functions": ["g: func() -> u8"]}],
        "run": {"exec": ["./tcp", "-v"], "env": {"A": "b"}, "directory": "/tmp", "restart": "always"}}},
    "hardware": {"kind": "Hardware", "metadata": {"name": "nic0"}, "spec": {"device": {"nic": {"interface": "veth0"}}}},
    "sim": {"kind": "Hardware", "metadata": {"name": "nic1"}, "spec": {"device": {"sim": {"peer": "/tmp/wire"}}}},
    "link": {"kind": "Link", "metadata": {}, "spec": {"caller": "application/a", "callee": "service/b", "access": "deny",
                                                      "protocol": "msgqueue", "timeout": "100us"}},
    "hierarchy": {"kind": "Hierarchy", "metadata": {"name": "default"}, "spec": {
        "mode": "strict", "edges": [{"from": "driver/r", "to": "service", "upcall": True}]}},
    "unknown-field": {"kind": "Service", "metadata": {"name": "x"}, "spec": {"colour": "red"}},
    "wrong-types": {"kind": 7, "metadata": [], "spec": "x"},
    "long-name": {"kind": "Driver", "metadata": {"name": "a" * 64}, "spec": {}},
    "control-character": {"kind": "Driver", "metadata": {"name": "a\x07"}, "spec": {}},
}


def documents() -> None:
    for name, document in DOCUMENTS.items():
        whole = {"apiVersion": "rhodes/v1", **document}
        seed("object", name, json.dumps(whole).encode())
        seed("rest_body", name, json.dumps({"documents": [whole], "delete": [{"kind": "Service", "name": "y"}]}).encode())
    seed("object", "brackets", b"[" * 200)
    seed("rest_body", "brackets", b'{"documents":' + b"[" * 200)
    seed("rest_body", "twice", b'{"documents":[],"documents":[]}')
    seed("rest_body", "no-utf8", b'{"documents":["\xff"]}')


MANIFESTS = {
    "two-documents": "---\nkind: A\nmetadata: {name: x}\n---\nkind: B\n...\n",
    "json": '{"kind": "Service", "spec": {"a": [1, -2, 0x1f, 0o17, 1e3, .inf, true, null]}}',
    "strings": "a: yes\nb: \"\\u00e9\\n\"\nc: 'it''s'\nd: |\n  text\n   more\ne: >-\n  folded\n  text\n",
    "anchors": "a: &x [1, 2]\nb: *x\nc: {<<: *x}\n", "laughs": "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: [*c,*c]\n",
    "duplicate": "a: 1\na: 2\n", "tag": "a: !!binary aGVsbG8=\nb: !local x\n", "tab": "a:\n\tb: 1\n", "open": "a: [1, 2\n",
    "deep": "[" * 70 + "]" * 70, "utf8": "name: tċp\n", "directive": "%YAML 1.2\n---\na: 1\n", "empty": "", "comment": "# x\n",
}


def manifests() -> None:
    for name, manifest in MANIFESTS.items():
        seed("manifest", name, manifest.encode())
    seed("manifest", "no-utf8", b"a: \xff\xfe\n")
    seed("manifest", "nul", b"a: x\0y\n")


def call_head(kind: int, body_bytes: int, result: int = 0, magic: int = 0x31434852) -> bytes:
    """wire/call.h"""
    return struct.pack("<IHHQQQQQIiII8Q", magic, kind, 0, 1, 1, 2, 3, 4, body_bytes, result, 0, 0, *[0] * 8)


def chunk(data: bytes, more: bool = False) -> bytes:
    return struct.pack("<H", len(data) | (0x8000 if more else 0)) + data


def calls() -> None:
    for way in range(3):
        first = bytes([way])
        seed("call", f"{way}-one-chunk", first + chunk(call_head(1, 5) + b"hello"))
        seed("call", f"{way}-three-chunks", first + chunk(call_head(2, 9) + b"abc", True) + chunk(b"def", True) + chunk(b"ghi"))
        seed("call", f"{way}-two-messages", first + chunk(call_head(1, 0)) + chunk(call_head(2, 3, 11) + b"why"))
        seed("call", f"{way}-fence", first + chunk(call_head(3, 0)))
        seed("call", f"{way}-too-short", first + chunk(call_head(1, 9) + b"abc"))
        seed("call", f"{way}-too-long", first + chunk(call_head(1, 1) + b"abc"))
        seed("call", f"{way}-empty-chunk", first + chunk(call_head(1, 3), True) + chunk(b"", True) + chunk(b"abc"))
        seed("call", f"{way}-half-a-head", first + chunk(call_head(1, 3)[:64], True) + chunk(call_head(1, 3)[64:] + b"abc"))
        seed("call", f"{way}-4-gib", first + chunk(call_head(1, 0xFFFFFFFF)))
        seed("call", f"{way}-magic", first + chunk(call_head(1, 0, magic=0)))


def values() -> None:
    """The number of a type in fuzz_value.c, then a body in the canonical ABI."""
    seed("value", "numbers", b"\0" + struct.pack("<B7xQB3xIfxxxxd", 1, 2, 1, 0x41, 1.5, 2.5))
    seed("value", "no-bool", b"\0" + struct.pack("<B7xQB3xIfxxxxd", 1, 2, 2, 0x41, 1.5, 2.5))
    seed("value", "surrogate", b"\0" + struct.pack("<B7xQB3xIfxxxxd", 1, 2, 1, 0xD800, 1.5, 2.5))
    seed("value", "texts", b"\1" + struct.pack("<4I", 16, 3, 19, 2) + b"abcxy")
    seed("value", "no-utf8", b"\1" + struct.pack("<4I", 16, 3, 19, 2) + b"\xff\xfe\xfdxy")
    seed("value", "past-the-end", b"\1" + struct.pack("<4I", 16, 300, 19, 2) + b"abcxy")
    seed("value", "lists", b"\2" + struct.pack("<6I", 8, 2, 24, 1, 25, 1) + b"ab")
    seed("value", "overlap", b"\2" + struct.pack("<6I", 8, 2, 8, 16, 8, 16))
    seed("value", "itself", b"\2" + struct.pack("<2I", 0, 0x10000000))
    seed("value", "records", b"\3" + struct.pack("<2IB3xIIB3xI", 8, 1, 7, 28, 1, 1, 9) + b"y")
    seed("value", "tuple", b"\4" + struct.pack("<B3xB3xIIB3x", 1, 1, 24, 1, 2) + struct.pack("<2I", 32, 1) + b"z")
    seed("value", "nothing", b"\6")


def frame(kind: int, payload: bytes, version: int = 1) -> bytes:
    return struct.pack("<IHH", len(payload) + 4, kind, version) + payload


def events() -> None:
    """Frames without a view."""
    seed("event", "resync", frame(4, b""))
    seed("event", "stop", frame(11, b""))
    seed("event", "welcome", frame(7, struct.pack("<Q", 12)))
    seed("event", "applied", frame(2, struct.pack("<QQ", 12, 1800)))
    seed("event", "rejected", frame(3, struct.pack("<Qi", 12, 5) + text("no")))
    seed("event", "version-2", frame(4, b"", 2))
    seed("event", "type-99", frame(99, b""))
    seed("event", "4-gib", b"\xff\xff\xff\xff" + frame(4, b"")[4:])


def fnv(value: str) -> int:
    """base/hash.h"""
    number = 0xcbf29ce484222325
    for byte in value.encode():
        number = ((number ^ byte) * 0x100000001b3) % 2 ** 64
    return number


def signatures(*names: str) -> bytes:
    return struct.pack("<I", len(names)) + b"".join(text(n) + struct.pack("<Q", fnv(n)) for n in names)


def texts_of(*values: str) -> bytes:
    return struct.pack("<I", len(values)) + b"".join(map(text, values))


def own(resource: str = "service/tcp", device: int = 0, target: str = "") -> bytes:
    return (text(resource) + struct.pack("<Q", 3) + signatures("get: func() -> u32") + texts_of("./tcp", "-v") +
            texts_of("A=b") + b"\1" + text("/srv") + bytes([0, device]) + (b"\1" + text(target) if target else b"\0"))


def edge(peer: str, outgoing: int, *names: str) -> bytes:
    return (text(peer) + bytes([outgoing, 1, 1]) + struct.pack("<QQ", 5 * 10 ** 9, 2) + text("hierarchies/default") +
            bytes(range(32)) + signatures(*names))


def edges(*all_of_them: bytes) -> bytes:
    return struct.pack("<I", len(all_of_them)) + b"".join(all_of_them)


def views() -> None:
    """Frames with a view or a delta in them."""
    row = edges(edge("application/http", 0), edge("driver/net", 0), edge("driver/net", 1, "xmit: func(frame: list<u8>)"))
    view = struct.pack("<Q", 9) + own() + row
    gone = struct.pack("<I", 1) + text("driver/old") + b"\1"
    seed("event", "hello", frame(1, text("service/tcp") + struct.pack("<IQQB", 7, 8, 9, 1)))
    seed("event", "status", frame(5, struct.pack("<QIB6Q", 9, 7, 2, 1, 2, 3, 4, 5, 6)))
    seed("event", "notice", frame(6, text("program.lost") + text("it exited with 1")))
    seed("event", "refused", frame(8, struct.pack("<I", 1) + text("no")))
    seed("event", "snapshot", frame(9, view))
    seed("event", "snapshot-device", frame(9, struct.pack("<Q", 9) + own("hardware/nic0", 1, "veth0") + edges()))
    seed("event", "delta", frame(10, struct.pack("<QQ", 8, 9) + b"\1" + own() + row + gone))
    seed("event", "delta-without-self", frame(10, struct.pack("<QQ", 8, 9) + b"\0" + row + gone))
    seed("event", "view", b"RXV1" + view)
    seed("event", "two-frames", frame(4, b"") + frame(11, b""))
    seed("event", "count-of-65536", frame(9, view)[:-4] + struct.pack("<I", 65536))
    seed("event", "not-sorted", frame(9, struct.pack("<Q", 9) + own() + edges(edge("driver/b", 1), edge("driver/a", 1))))


if __name__ == "__main__":
    sessions()
    calls()
    values()
    events()
    views()
    functions()
    documents()
    manifests()
