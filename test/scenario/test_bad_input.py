"""Bad input, through the real command, the real socket and real programs: each gets the error that a person would want, with
line and column where there is a file, and nothing changes."""
import json
import os
import pathlib
import re
import signal
import sys
import time

import pytest

import raw
from conftest import PATIENCE, until

PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable

GOOD = """\
apiVersion: rhodes/v1
kind: Service
metadata: {name: tcp}
spec:
  provides:
    - {function: "add: func(a: s32, b: s32) -> s32"}
---
apiVersion: rhodes/v1
kind: Application
metadata: {name: client}
spec:
  calls:
    - {to: service/tcp, timeout: 2s}
"""


@pytest.fixture
def registered(center, write):
    """A center that knows two resources and one edge, so that there is something to be left unchanged."""
    center.ok("apply", "-f", write("good.yaml", GOOD))
    return center


class Unchanged:
    """with unchanged(rhodes): ... - the same revision, the same objects, the same matrix before and after."""

    def __init__(self, rhodes):
        self.rhodes = rhodes

    def __enter__(self):
        self.before = (self.rhodes.revision(), self.rhodes.everything())

    def __exit__(self, *error):
        if error[0] is None:
            assert (self.rhodes.revision(), self.rhodes.everything()) == self.before


def manifest(spec: str, name: str = "x", kind: str = "Service") -> str:
    return f"apiVersion: rhodes/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n{spec}"


# Name, manifest, code, where the finger must point (line, column), a word of the sentence, exit status.
MANIFESTS = [
    ("an unknown field", manifest("  privilege: user\n  colour: red\n"), "RH1002", (6, 3), "colour", 1),
    ("an unknown field deep inside", manifest("  provides:\n    - {function: 'a: func()', simbol: b}\n"), "RH1002",
     (6, 31), "simbol", 1),
    ("an unknown field at the top", "apiVersion: rhodes/v1\nkind: Service\nmetadata: {name: x}\nspecs: {}\n", None,
     (4, 1), "specs", 1),
    ("a duplicate key", manifest("  privilege: user\n  privilege: kernel\n"), None, (6, 3), "privilege", 1),
    ("a list where a text belongs", manifest("  privilege: [user]\n"), "RH1003", (5, 14), "privilege", 1),
    ("a text where a list belongs", manifest("  provides: all\n"), "RH1003", (5, 13), "provides", 1),
    ("a number as a name", manifest("  privilege: user\n", name="17"), "RH1003", (3, 18), "name", 1),
    ("a value that is none", manifest("  privilege: root\n"), "RH1006", (5, 14), "root", 1),
    ("a timeout without a unit", manifest("  calls:\n    - {to: service/tcp, timeout: 17}\n", kind="Application"), None,
     (6, 34), "timeout", 1),
    ("a kind that nobody knows", "apiVersion: rhodes/v1\nkind: Servant\nmetadata: {name: x}\nspec: {}\n", None, (2, 7),
     "Servant", 1),
    ("a version that nobody knows", "apiVersion: rhodes/v7\nkind: Service\nmetadata: {name: x}\nspec: {}\n", None, (1, 13),
     "rhodes/v7", 1),
    ("no name", "apiVersion: rhodes/v1\nkind: Service\nmetadata: {}\nspec: {}\n", "RH1004", (3, 11), "name", 1),
    ("a function type that is none", manifest("  provides:\n    - {function: 'add: func(a: s33) -> s32'}\n"), "RH1007",
     (6, 18), "s33", 1),
    ("an unknown reference", manifest("  calls:\n    - {to: service/nobody}\n", kind="Application"), "RH1010", (6, 12),
     "service/nobody", 1),
    ("a reference to itself", manifest("  calls:\n    - {to: driver/x}\n", kind="Driver"), "RH1011", (6, 12), "driver/x",
     1),
    ("a reference upwards", manifest("  calls:\n    - {to: service/tcp}\n", kind="Driver"), "RH1013", (6, 12),
     "service/tcp", 4),
    ("a function that the callee has not", manifest(
        "  calls:\n    - {to: service/tcp, functions: ['sub: func(a: s32) -> s32']}\n", kind="Application"), "RH1015",
     (6, None), "sub", 1),
    ("a type that the callee has not", manifest(
        "  calls:\n    - {to: service/tcp, functions: ['add: func(a: u64, b: s32) -> s32']}\n", kind="Application"),
     "RH1014", (6, None), "u64", 5),
    ("text that is no YAML", "apiVersion: rhodes/v1\nkind: [Service\nmetadata: {name: x}\n", None, (None, None), "", 1),
    ("a tab as indentation", "apiVersion: rhodes/v1\nkind: Service\nmetadata:\n\tname: x\n", None, (4, None), "", 1),
]


@pytest.mark.parametrize("text, code, place, word, status", [case[1:] for case in MANIFESTS],
                         ids=[case[0].replace(" ", "-") for case in MANIFESTS])
def test_a_wrong_manifest_is_refused_at_its_line_and_column(registered, write, text, code, place, word, status):
    path = write("wrong.yaml", text)
    with Unchanged(registered):
        result = registered("apply", "-f", path)
    assert result.code == status, result.err
    found = re.match(r"(.*?):(\d+):(\d+): ", result.err)
    assert found, f"no FILE:LINE:COLUMN in: {result.err}"
    assert pathlib.Path(found.group(1)).name == "wrong.yaml"
    for wanted, got in zip(place, found.group(2, 3)):
        assert wanted is None or int(got) == wanted, result.err
    assert code is None or code in result.err, result.err
    assert word in result.err
    assert result.out == ""


def test_one_wrong_document_takes_the_others_with_it(registered, write):
    text = manifest("  privilege: user\n", name="fine") + "---\n" + manifest("  colour: red\n", name="wrong")
    with Unchanged(registered):
        result = registered("apply", "-f", write("two.yaml", text))
    assert result.code == 1
    assert "two.yaml:11:3: RH1002" in result.err, result.err


def test_a_cycle_is_refused(registered, write):
    # Within the default hierarchy no cycle can be built, so the layers are opened to each other first.
    registered.ok("layer", "set", "--add-edge", "service:service")
    text = "---\n".join(manifest(f"  calls:\n    - {{to: service/{callee}}}\n", name=caller)
                        for caller, callee in (("a", "b"), ("b", "c"), ("c", "a")))
    with Unchanged(registered):
        result = registered("apply", "-f", write("cycle.yaml", text))
    assert result.code == 1, result.err
    assert "RH1012" in result.err
    assert re.match(r".*cycle\.yaml:(6|13|20):12: ", result.err), result.err
    for name in ("service/a", "service/b", "service/c"):
        assert name in result.err


NAMES = {
    "control characters": "a\x07b", "an escape sequence": "\x1b[2Jx", "a line break": "a\nb", "path parts": "../../etc/passwd",
    "a slash": "a/b", "a dot": ".", "two dots": "..", "10,000 letters": "a" * 10_000, "64 letters": "a" * 64, "nothing": "",
    "capitals": "Tcp", "a space": "a b", "a hyphen first": "-a", "a hyphen last": "a-", "no ASCII": "tċp", "a NUL": "a\0b",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=[key.replace(" ", "-") for key in NAMES])
def test_a_bad_name_is_refused_and_cannot_write_to_the_terminal(registered, write, name):
    document = {"apiVersion": "rhodes/v1", "kind": "Service", "metadata": {"name": name}, "spec": {}}
    path = write("name.yaml", json.dumps(document, indent=1))
    with Unchanged(registered):
        result = registered("apply", "-f", path)
        status, problem, _ = registered.rest("POST", "/v1/apply", {"documents": [document]})
    assert result.code == 1, result.err
    assert re.match(r".*name\.yaml:5:\d+: RH100[1345] ", result.err), result.err
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", result.err), "raw control characters reach the terminal"
    assert len(result.err) < 2000
    assert status == 400 and problem["code"] in ("RH1001", "RH1005"), problem
    assert len(problem["detail"]) < 600


def test_a_name_of_63_letters_is_the_longest(registered, write):
    registered.ok("apply", "-f", write("long.yaml", manifest("  privilege: user\n", name="a" * 63)))
    registered.ok("get", "service", "a" * 63)


@pytest.mark.parametrize("name", ["../services", "a%2Fb", "%2e%2e", "a%00b", "a%0ab", "A", "x" * 10_000])
def test_a_bad_name_in_a_path_is_refused(registered, name):
    with Unchanged(registered):
        for method, headers in (("GET", {}), ("DELETE", {"If-Match": "*"})):
            status, problem, _ = registered.rest(method, f"/v1/services/{name}", headers=headers)
            assert 400 <= status < 500, problem
            assert problem["code"].startswith("RH"), problem


def test_a_second_resource_of_the_same_name_is_refused(registered, write):
    document = {"apiVersion": "rhodes/v1", "kind": "Service", "metadata": {"name": "tcp"}, "spec": {}}
    twice = write("twice.yaml", manifest("  privilege: user\n") + "---\n" + manifest("  privilege: kernel\n"))
    with Unchanged(registered):
        status, problem, _ = registered.rest("POST", "/v1/services", document)
        assert (status, problem["code"]) == (409, "RH1017"), problem
        status, problem, _ = registered.rest("PUT", "/v1/services/tcp", document, {"If-None-Match": "*"})
        assert status in (409, 412) and problem["code"] in ("RH1017", "RH1019"), problem
        result = registered("apply", "-f", twice)
        assert result.code == 1 and "RH1008" in result.err, result.err
        assert re.match(r".*twice\.yaml:7:1: ", result.err), result.err


BODIES = {
    "no JSON": (b"nonsense", 400, "RH1001"), "nothing": (b"", 400, "RH1001"), "half of it": (b'{"documents": [', 400, "RH1001"),
    "100,000 brackets": (b"[" * 100_000, 400, "RH1001"),
    "100,000 closed brackets": (b'{"documents": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400, "RH1001"),
    "100,000 braces": (b'{"a":' * 100_000, 400, "RH1001"),
    "2 MiB": (b'{"documents": ["' + b"x" * (2 << 20) + b'"]}', 413, "RH1009"),
    "no UTF-8": (b'{"documents": ["\xff\xfe"]}', 400, "RH1001"), "a list": (b"[]", 400, None), "a number": (b"17", 400, None),
    "an unknown member": (b'{"documents": [], "force": true}', 400, "RH1002"),
    "the same member twice": (b'{"documents": [], "documents": []}', 400, None),
    "more behind the end": (b'{"documents": []} {"documents": []}', 400, "RH1001"),
    "documents that are none": (b'{"documents": [1, null, "x"]}', 400, "RH1003"),
}


@pytest.mark.parametrize("body, status, code", BODIES.values(), ids=[key.replace(" ", "-") for key in BODIES])
def test_a_body_that_is_wrong_is_refused_and_the_center_goes_on(registered, body, status, code):
    with Unchanged(registered):
        got, problem, headers = registered.rest("POST", "/v1/apply", body, {"Content-Type": "application/json"})
        assert got == status, problem
        assert headers["Content-Type"] == "application/problem+json"
        assert code is None or problem["code"] == code, problem
        assert problem["detail"] or problem["title"]
    assert registered.rest("GET", "/livez")[0] == 200


SERVER = """\
import os, signal, sys, time
import rhodes
with rhodes.open() as session:
    @session.serve("add: func(a: s32, b: s32) -> s32")
    def add(a, b):
        if a == 666:
            os.kill(os.getpid(), signal.SIGKILL)
        if a == 777:
            time.sleep(b)
        return a + b
    session.run(threads=2)
"""


def program(center, write, *words: str | pathlib.Path, function: str = "add: func(a: s32, b: s32) -> s32") -> None:
    """service/tcp with this program, and application/client that may call it."""
    environment = {"PYTHONPATH": f"{center.stage}/lib/python3:{pathlib.Path(raw.__file__).parent}"}
    documents = [
        {"apiVersion": "rhodes/v1", "kind": "Service", "metadata": {"name": "tcp"},
         "spec": {"provides": [{"function": function}],
                  "run": {"exec": [PYTHON, *map(str, words)], "env": environment, "restart": "always"}}},
        {"apiVersion": "rhodes/v1", "kind": "Application", "metadata": {"name": "client"},
         "spec": {"calls": [{"to": "service/tcp", "timeout": "2s"}],
                  "run": {"exec": [PYTHON, "-c", "import rhodes; rhodes.open().run()"], "env": environment}}},
    ]
    center.ok("apply", "-f", write("program.yaml", "\n---\n".join(map(json.dumps, documents))))
    center.until_ready("service/tcp", "application/client")


def call(center, *arguments: int, timeout: str = "2s"):
    return center("call", "service/tcp", "add", *map(str, arguments), "--as", "application/client", "--timeout", timeout)


@pytest.fixture
def adder(center, write):
    program(center, write, write("server.py", SERVER))
    result = call(center, 2, 3)
    assert result.code == 0 and "5" in result.out, result.err
    return center


def test_a_callee_that_dies_ends_the_call_at_once_and_comes_back(adder):
    with Unchanged(adder):
        began = time.monotonic()
        result = call(adder, 666, 0, timeout="10s")
        took = time.monotonic() - began
        assert result.code == 1, result.out
        assert "UNKNOWN" in result.err or "died" in result.err, result.err
        assert took < 5 * PATIENCE, "the death was not seen, the deadline was"
        adder.until_ready("service/tcp")
        assert call(adder, 2, 3).code == 0


def test_a_callee_that_hangs_ends_the_call_by_its_deadline(adder):
    with Unchanged(adder):
        began = time.monotonic()
        result = call(adder, 777, 3, timeout="500ms")
        took = time.monotonic() - began
        assert result.code == 1, result.out
        assert "TIMEOUT" in result.err or "deadline" in result.err, result.err
        assert 0.5 <= took < 2 * PATIENCE
        assert call(adder, 2, 3).code == 0, "the other serving thread is free"


@pytest.mark.parametrize("how", raw.GARBAGE)
def test_a_callee_that_answers_garbage_hurts_nobody_else(center, write, how):
    function = "add: func(a: s32, b: s32) -> string"
    program(center, write, raw.__file__, function, how, function=function)
    with Unchanged(center):
        began = time.monotonic()
        result = call(center, 2, 3, timeout="1s")
        assert result.code == 1, result.out
        assert time.monotonic() - began < 4 * PATIENCE
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\xff]", result.err), "the callee's bytes reach the terminal"
        agents = center.until_ready("application/client")
        assert agents["application/client"]["restarts"] == 0
        assert agents["service/tcp"]["restarts"] == 0, "the callee's agent is not hurt either"


def test_a_program_cannot_register_as_somebody_else(adder):
    sockets = {name: str(adder.home / "agents" / name.replace("/", ".") / "agent.sock")
               for name in ("service/tcp", "application/client")}
    with Unchanged(adder):
        stranger = raw.Agent(sockets["service/tcp"])  # this process was not started by that agent
        answer = stranger.ask(raw.HELLO, numbers=(4711,), texts=("service/tcp",))
        assert answer["result"] == 14, answer  # NOT_BOUND
        assert answer["texts"][0], "no sentence"
        stranger.close()
        other = raw.Agent(sockets["application/client"])  # and nobody is another resource than the agent's
        answer = other.ask(raw.HELLO, numbers=(4712,), texts=("service/tcp",))
        assert answer["result"] == 14, answer
        other.close()
        assert call(adder, 2, 3).code == 0


def test_a_second_program_of_the_same_resource_is_refused(adder):
    result = adder("run", "--as", "service/tcp", "--", "/bin/true")
    assert result.code != 0
    assert "service/tcp" in result.err, result.err
    assert call(adder, 2, 3).code == 0


@pytest.mark.parametrize("data", [b"", b"x", b"\0" * 80, os.urandom(500), raw.encode(raw.HELLO, version=9),
                                  raw.encode(raw.HELLO)[:-1], raw.encode(raw.HELLO, texts=(b"a\0b",)),
                                  raw.encode(999), raw.encode(raw.BIND, texts=("service/tcp", "add")), b"\xff" * 65536],
                         ids=["empty", "one-byte", "zeros", "random", "version-9", "cut", "a-nul-inside", "type-999",
                              "bind-before-hello", "64-kib"])
def test_nonsense_on_an_agents_socket_is_shown_the_door(adder, data):
    stranger = raw.Agent(str(adder.home / "agents" / "service.tcp" / "agent.sock"))
    stranger.send(data)
    answer = stranger.receive()
    assert answer == {} or answer["result"] != 0, answer
    stranger.close()
    assert call(adder, 2, 3).code == 0
