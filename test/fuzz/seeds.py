#!/usr/bin/python3
"""Writes the seeds of the binary decoders below test/fuzz/corpus/. Seeds are kept in the repository; run this after a layout
has changed. Text corpora (wit, object, manifest, rest_body) are written by hand, or below where they are long."""
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


if __name__ == "__main__":
    sessions()
