"""The command as a person meets it: every verb against a real center, and what a real center seldom says against one that is made up."""
import contextlib
import http.server
import itertools
import json
import os
import pathlib
import pty
import re
import select
import socket
import socketserver
import subprocess
import threading
import time

import pytest

from conftest import PATIENCE, ROOT, Rhodes, running, until

NET = """\
apiVersion: rhodes/v1
kind: Driver
metadata: {name: netdriver, labels: {lang: c, "on": "no"}}
spec:
  provides:
    - {function: "xmit: func(frame: list<u8>) -> s32"}
"""
WEB = """\
apiVersion: rhodes/v1
kind: Service
metadata: {name: tcp}
spec:
  types: |
    record address { host: string, port: u16 }
  provides:
    - {function: "connect: func(to: address) -> u32"}
  calls:
    - {to: driver/netdriver, protocol: shm, timeout: 50ms}
---
apiVersion: rhodes/v1
kind: Application
metadata: {name: httpclient}
spec:
  calls:
    - to: service/tcp
"""


def documents(text: str) -> list[str]:
    return re.split(r"^---$", text, flags=re.M)


@pytest.fixture
def registered(center, write):
    center.ok("apply", "-f", write("net.yaml", NET), "-f", write("web.yaml", WEB))
    return center


# Help and usage.

def verbs(rhodes) -> list[str]:
    listed = rhodes.ok("help").out
    return [line[2:].split("   ")[0].rstrip() for line in re.findall(r"^  [a-z][a-z ]*? {2,}[A-Z].*$", listed, re.M)]


def test_every_verb_has_a_help_with_an_example_that_names_it(rhodes):
    names = verbs(rhodes)
    assert {"up", "down", "apply", "link set", "call", "matrix", "demo", "agent list"} <= set(names)
    for name in names:
        by_option, by_verb = rhodes.ok(*name.split(), "--help"), rhodes.ok("help", *name.split())
        assert by_option.out == by_verb.out
        assert by_option.out.startswith(f"usage: rhodes {name}")
        assert f"rhodes {name}" in by_option.out.split("example:")[1]
        assert "--home DIR" in by_option.out


def test_a_group_has_a_help_wherever_the_option_stands(rhodes):
    group = rhodes.ok("help", "link").out
    assert "link deny" in group and "layer" not in group
    for words in (("link", "--help"), ("link", "-h"), ("-h", "link"), ("--home", "/x", "link", "--help"), ("-q", "link", "-h")):
        assert rhodes.ok(*words).out == group, words


def test_the_reference_is_what_the_command_says(rhodes):
    assert (ROOT / "docs" / "cli.md").read_text() == rhodes.ok("help", "--markdown").out


USAGE = [
    ((), "usage: rhodes VERB"),
    (("aply",), "did you mean 'apply'?"),
    (("link", "dney", "a", "b"), "did you mean 'link deny'?"),
    (("link",), "set, allow, deny, show"),
    (("apply",), "-f FILE"),
    (("apply", "--fiel", "x"), "did you mean '--file'?"),
    (("apply", "-f"), "-f needs FILE"),
    (("apply", "-f", "-", "-f", "-"), "given twice"),
    (("apply", "-f", "-", "--wait", "soon"), "--wait is a duration"),
    (("get", "servics"), "did you mean 'services'?"),
    (("get", "agents"), "rhodes agent list"),
    (("get", "a", "b", "c"), "unexpected argument 'c'"),
    (("get", "-o", "xml"), "table|json|yaml|name"),
    (("describe",), "needs KIND NAME"),
    (("delete", "service"), "KIND/NAME"),
    (("link", "set", "tcp", "net", "--protocol", "shm"), "LAYER/NAME"),
    (("link", "set", "service/tcp", "driver/net"), "--protocol or --timeout"),
    (("layer", "set"), "--mode"),
    (("layer", "set", "--add-edge", "driver"), "CALLER:CALLEE"),
    (("layer", "set", "--mode", "strict", "--upcall"), "--add-edge"),
    (("call", "tcp", "f"), "LAYER/NAME"),
    (("call", "service/tcp", "f", "--timeout", "5"), "--timeout is a duration"),
    (("run", "--", "true"), "--as RESOURCE"),
    (("run", "--as", "x", "--", "true"), "LAYER/NAME"),
    (("run", "--as", "hardware/nic0", "--", "true"), "hardware/nic0 runs no program"),
    (("call", "service/a", "f", "--as", "service/a"), "leave --as out"),
    (("events", "--limit", "many"), "--limit is a number from 0 to 1000, not 'many'"),
    (("events", "--limit", "1001"), "--limit is a number from 0 to 1000, not '1001'"),
    (("apply", "-f", "-", "--wait", "301s"), "--wait is a duration of at most 5m"),
    (("--", "up"), "a verb stands before '--'"),
    (("-q",), "usage: rhodes VERB"),
    (("api", "get", "/"), "capital letters"),
    (("api", "GET", "v1"), "begins with '/'"),
    (("up", "--store", "floppy"), "sqlite|memory"),
    (("status", "--home", ""), "--home needs a directory"),
]


@pytest.mark.parametrize("words, sentence", USAGE, ids=["-".join(words) or "nothing" for words, _ in USAGE])
def test_wrong_usage_is_status_2_with_a_usage_line(rhodes, words, sentence):
    result = rhodes(*words)
    assert result.code == 2 and result.out == ""
    assert sentence in result.err and "usage: rhodes" in result.err, result.err


def test_a_relative_home_is_refused_in_the_environment_and_taken_as_an_option(rhodes, tmp_path):
    assert rhodes("status", env={"RHODES_HOME": "relative"}).code == 2
    result = rhodes("status", "--home", "relative", cwd=tmp_path)
    assert result.code == 6 and f"no center at {tmp_path}/relative" in result.err


def test_explain_knows_codes_names_and_verdicts(rhodes):
    for word in ("RH1013", "rh1013", "1013", "LAYER_FORBIDDEN", "layer-forbidden"):
        assert rhodes.ok("explain", word).out.startswith("RH1013 LAYER_FORBIDDEN (verdict DENIED, HTTP 403)")
    assert rhodes.ok("explain", "RH1009", "-o", "json").json["status"] == 413
    assert "RH1013" in rhodes.ok("explain", "denied").out
    result = rhodes("explain", "DENYED")
    assert result.code == 1 and "did you mean 'DENIED'?" in result.err


def test_what_cannot_be_printed_is_no_success(rhodes, stage):
    with open("/dev/full", "w") as full:
        done = subprocess.run([stage / "bin" / "rhodes", "help"], stdout=full, stderr=subprocess.PIPE, env=rhodes.env)
    assert done.returncode == 1 and b"standard output" in done.stderr


# Without a center.

@pytest.mark.parametrize("words", [("status",), ("get",), ("matrix",), ("agent", "list"), ("events",), ("events", "-f"),
                                   ("layer", "show"), ("api", "GET", "/livez"), ("delete", "service/x"),
                                   ("link", "deny", "service/a", "driver/b"), ("describe", "service/a"),
                                   ("call", "service/a", "f"), ("run", "--as", "service/a", "--", "true")], ids=" ".join)
def test_no_center_is_status_6_and_says_what_to_type(rhodes, words):
    result = rhodes(*words)
    assert result.code == 6 and result.out == ""
    assert result.err == f"rhodes: no center at {rhodes.home}; start one with: rhodes up\n"


def test_run_goes_on_without_the_center_by_the_rules_that_it_keeps(rhodes, write):
    with running(rhodes):
        rhodes.ok("apply", "-f", write("net.yaml", NET))
        kept = rhodes.home / "agents" / "driver.netdriver" / "view"
        rhodes.ok("run", "--as", "driver/netdriver", "--", "/bin/sh", "-c", f"until [ -e '{kept}' ]; do sleep 0.02; done")
    assert rhodes("run", "--as", "driver/netdriver", "--", "/bin/sh", "-c", "exit 7").code == 7


def test_down_without_a_center_is_done(rhodes):
    assert "no center" in rhodes.ok("down").out
    assert not rhodes.home.exists()


FILES = {
    "empty": ("", "RH1001"), "only a comment": ("# x\n", "RH1001"), "a bomb": (
        "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
            f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)), ":6:"),
    "too large": ("a: '" + "x" * (1 << 20) + "'", "RH1009"), "too deep": ("a: " + "[" * 100_000, ":1:67: RH1009"),
    "a tab": ("a:\n\t- b\n", ":2:1: RH1001"), "no utf8": (b"a: b\nc: \xff\n", ":2:4: RH1001"),
    "a key twice": ("a: 1\na: 2\n", ":2:1: RH1008"), "an unknown tag": ("a: !ruby/object x\n", ":1:17: RH1001"),
    "an unknown alias": ("a: *b\n", ":1:4: RH1001"), "a list": ("- a\n", ":1:1: RH1001"), "a terminal escape": (
        "a: \x1b[2J\n", ":1:4: RH1001"), "binary": (bytes(range(256)), ":1:1: RH1001"),
}


@pytest.mark.parametrize("text, part", FILES.values(), ids=[name.replace(" ", "-") for name in FILES])
def test_a_file_that_is_no_manifest_needs_no_center_to_be_refused(rhodes, write, text, part):
    path = write("x.yaml", text)
    began = time.monotonic()
    for result in (rhodes("apply", "-f", path), rhodes("apply", "-f", "-", stdin=path.read_bytes())):
        assert result.code == 1 and result.out == ""
        assert part in result.err and result.err.count("\n") == 1, result.err
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", result.err)
    assert time.monotonic() - began < 4 * PATIENCE


def test_what_is_no_file_is_told_as_such(rhodes, tmp_path):
    assert "is a directory" in rhodes("apply", "-f", tmp_path).err
    result = rhodes("apply", "-f", tmp_path / "none.yaml")
    assert result.code == 1 and f"{tmp_path}/none.yaml: No such file or directory" in result.err


# A real center.

def test_up_and_down_can_be_said_twice(rhodes):
    with running(rhodes):
        first = rhodes.ok("status", "-o", "json").json
        again = rhodes.ok("up")
        assert "is up already" in again.out and str(first["pid"]) in again.out
        assert rhodes.ok("status", "-o", "json").json["pid"] == first["pid"]
        assert first["store"]["driver"] == "sqlite"
        assert (rhodes.home / "center" / "center.log").stat().st_mode & 0o777 == 0o600
        other = rhodes("up", "--store", "memory")
        assert other.code == 5 and "rhodes down" in other.err
    assert not (rhodes.home / "center" / "center.sock").exists() or rhodes("status").code == 6
    assert rhodes("status").code == 6
    rhodes.ok("down")


def test_a_home_that_cannot_be_written_says_how_to_choose_another(rhodes):
    result = rhodes("up", env={"RHODES_HOME": "/dev/null/x"})
    assert result.code == 1 and "/dev/null/x/center/center.log cannot be written: Not a directory" in result.err
    assert "next: choose another place with --home DIR or RHODES_HOME" in result.err


def test_two_ups_at_once_make_one_center(rhodes):
    both = [rhodes.start("up"), rhodes.start("up")]
    ends = [process.communicate(timeout=40 * PATIENCE) for process in both]
    try:
        assert [process.returncode for process in both] == [0, 0], ends
        pids = {re.search(r"pid (\d+)", out).group(1) for out, _ in ends}
        assert len(pids) == 1
    finally:
        rhodes.ok("down")


def test_a_center_that_cannot_start_shows_its_log(rhodes):
    (rhodes.home / "center").mkdir(parents=True, mode=0o700)
    (rhodes.home / "center" / "rhodes.db").mkdir()
    result = rhodes("up")
    assert result.code == 1
    assert "log says" in result.err and "center.log" in result.err and len(result.err.splitlines()) > 2, result.err


def test_a_home_with_a_long_path_works(stage, long_home):
    rhodes = Rhodes(stage, long_home)
    with running(rhodes):
        assert str(long_home) in rhodes.ok("status").out


def test_store_memory_forgets(rhodes, write):
    rhodes.ok("up", "--store", "memory")
    rhodes.ok("apply", "-f", write("net.yaml", NET))
    rhodes.ok("down")
    rhodes.ok("up", "--store", "memory")
    try:
        assert rhodes("get", "driver/netdriver").code == 1
    finally:
        rhodes.ok("down")


def test_apply_prints_what_it_did_once_under_one_revision(center, write):
    net, web = write("net.yaml", NET), write("web.yaml", WEB)
    before = center.revision()
    dry = center.ok("apply", "-f", net, "-f", web, "--dry-run")
    assert "driver/netdriver" in dry.out and "dry run: nothing was stored" in dry.out
    assert center.revision() == before
    result = center.ok("apply", "-f", net, "-f", web)
    assert re.search(r"driver/netdriver +created +revision \d+", result.out)
    assert center.revision() == before + 1
    again = center.ok("apply", "-f", net, "-f", web)
    assert again.out.count("unchanged") == 3
    assert center.revision() == before + 1
    assert center.ok("apply", "-f", net, "-o", "name").out == "driver/netdriver\n"
    assert center.ok("apply", "-f", net, "-o", "json").json["results"][0]["action"] == "unchanged"
    assert center.ok("apply", "-f", net, "-q").out == ""


def test_standard_input_json_and_deletions_go_into_one_transaction(registered):
    before = registered.revision()
    document = {"apiVersion": "rhodes/v1", "kind": "Service", "metadata": {"name": "dns"}, "spec": {}}
    result = registered.ok("apply", "-f", "-", "--delete", "application/httpclient", stdin=json.dumps(document))
    assert re.search(r"service/dns +created", result.out) and re.search(r"application/httpclient +deleted", result.out)
    assert registered.revision() == before + 1
    result = registered("apply", "-f", "-", "--delete", "driver/netdriver", stdin=json.dumps(document))
    assert result.code == 5 and "delete driver/netdriver: RH1016" in result.err, result.err
    assert registered.revision() == before + 1


def test_a_refusal_points_into_the_file_with_rule_revision_and_hint(registered, write):
    path = write("rogue.yaml", """\
# a driver that calls upwards
apiVersion: rhodes/v1
kind: Driver
metadata: {name: rogue}
spec:
  calls:
    - {protocol: shm,
       to: service/tcp}
""")
    result = registered("apply", "-f", write("net.yaml", NET), "-f", path)
    assert result.code == 4 and result.out == ""
    lines = result.err.splitlines()
    assert lines[0].startswith(f"{path}:8:12: RH1013 the hierarchical rule forbids this reference: "), result.err
    assert "driver/rogue" in lines[0] and "service/tcp" in lines[0]
    assert re.match(r"  rule: hierarchies/default of revision \d+$", lines[1])
    assert lines[2].startswith("  hint: rhodes layer set --add-edge driver/rogue:service/tcp"), result.err
    registered.ok("layer", "set", "--add-edge", "driver/rogue:service/tcp")
    registered.ok("apply", "-f", path)


def test_get_prints_tables_names_json_and_yaml_that_applies_again(registered, write):
    table = registered.ok("get").out
    assert re.search(r"^service/tcp +\d+ +1 +1 +-$", table, re.M) and "hierarchies/default" in table
    assert registered.ok("get", "services", "-o", "name").out == "service/tcp\n"
    assert registered.ok("get", "driver", "netdriver", "-o", "json").json["metadata"]["labels"] == {"lang": "c", "on": "no"}
    assert [item["kind"] for item in registered.ok("get", "Application", "-o", "json").json["items"]] == ["Application"]
    yaml = registered.ok("get", "-o", "yaml").out
    assert "  types: |\n    record address" in yaml and '"on": "no"' in yaml
    assert registered.ok("apply", "-f", "-", stdin=yaml).out.count("unchanged") == 4
    one = registered.ok("get", "service/tcp", "-o", "yaml").out
    registered.ok("apply", "-f", write("tcp.yaml", one.replace("50ms", "60ms")))
    stale = registered("apply", "-f", "-", stdin=one.replace("50ms", "70ms"))
    assert stale.code == 5 and "RH1019" in stale.err, stale.err
    missing = registered("get", "service/nobody")
    assert missing.code == 1 and "RH1018" in missing.err
    assert "no links are registered" in registered.ok("get", "links").out


def test_many_objects_come_in_pages(center, write):
    names = [f"s{n}" for n in range(1100)]
    center.ok("apply", "-f", write("many.yaml", "---\n".join(
        f"apiVersion: rhodes/v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{}}\n" for name in names)))
    assert sorted(center.ok("get", "services", "-o", "name").out.split()) == sorted(f"service/{name}" for name in names)


def test_describe_shows_what_is_around(registered):
    out = registered.ok("describe", "service", "tcp").out
    assert "connect: func(to: address) -> u32" in out and "record address" in out
    assert re.search(r"calls\n +driver/netdriver +shm +50ms +allowed", out)
    assert re.search(r"called by\n +application/httpclient +msgqueue", out)
    assert "rhodes run --as service/tcp" in out
    assert registered.ok("describe", "service/tcp", "-o", "json").json["calls"][0]["callee"] == "driver/netdriver"
    assert "mode" in registered.ok("describe", "hierarchy/default").out


def test_what_has_ended_or_failed_is_told_as_such(registered, write):
    assert registered("run", "--as", "driver/netdriver", "--", "/bin/false").code == 1
    until(lambda: registered.agents()["driver/netdriver"]["state"] == "stopped", what="the agent's end")
    out = registered.ok("describe", "driver/netdriver").out
    assert re.search(r"agent\n  stopped since \S+, was pid \d+, ", out) and "NOT in sync" not in out and "pid 0" not in out, out
    assert "of which" not in registered.ok("status").out
    tcp = registered.ok("get", "service/tcp", "-o", "yaml").out
    registered.ok("apply", "-f", "-", stdin=tcp + "  run: {exec: [./tcp], restart: never}\n")
    until(lambda: registered.agents().get("service/tcp", {}).get("program", {}).get("state") == "failed", what="the failure")
    out = registered.ok("describe", "service/tcp").out
    assert f"program failed; why: rhodes events, {registered.home}/agents/service.tcp/program.log" in out, out
    assert re.search(r"^failed +program of service/tcp; rhodes describe service/tcp$", registered.ok("status").out, re.M)
    agent = registered.agents()["service/tcp"]
    assert agent["state"] == "ready"


def test_an_agent_that_is_lost_is_told_by_status(rhodes, made_up):
    agents = [{"resource": "service/tcp", "state": "lost", "pid": 7, "program": {"state": "ready", "pid": 8}},
              {"resource": "service/udp", "state": "failed", "pid": 0, "program": {"state": "none", "pid": 0}},
              {"resource": "service/a", "state": "stopped", "pid": 7, "program": {"state": "failed", "pid": 0}},
              {"resource": "service/b", "state": "ready", "pid": 7, "program": {"state": "failed", "pid": 0}}]
    status = {"home": "/h", "store": {"driver": "sqlite", "state": "ok"}, "agents": 1, "inSync": 1}
    made_up(lambda handler, body: (200, {"revision": 1, "items": agents} if handler.path == "/v1/agents" else status))
    out = rhodes.ok("status").out
    assert re.search(r"^lost +agent of service/tcp; rhodes describe service/tcp$", out, re.M), out
    assert re.search(r"^failed +agent of service/udp; rhodes describe service/udp$", out, re.M), out
    assert re.search(r"^failed +program of service/b; rhodes describe service/b$", out, re.M), out
    assert "service/a" not in out
    assert rhodes.ok("status", "-o", "json").json == status


def test_links_are_made_changed_and_shown(registered):
    pair = ("service/tcp", "driver/netdriver")
    assert "none: as the caller's manifest says" in registered.ok("link", "show", *pair).out
    assert "created" in registered.ok("link", "set", *pair, "--protocol", "msgqueue", "--timeout", "20ms").out
    assert "updated" in registered.ok("link", "deny", *pair).out
    shown = registered.ok("link", "show", *pair, "-o", "json").json
    assert (shown["allowed"], shown["protocol"], shown["timeout"]) == (False, "msgqueue", "20ms")
    assert "denied" in registered.ok("link", "show", *pair).out
    assert "updated" in registered.ok("link", "allow", *pair, "--protocol", "shm").out
    shown = registered.ok("link", "show", *pair, "-o", "json").json
    assert (shown["allowed"], shown["protocol"], shown["timeout"]) == (True, "shm", "20ms")
    listed = registered.ok("get", "links").out
    assert re.search(r"service/tcp +driver/netdriver +allow +shm +20ms", listed)
    assert "deleted" in registered.ok("delete", "link/service.tcp:driver.netdriver").out
    result = registered("link", "deny", "application/httpclient", "driver/netdriver")
    assert result.code == 1 and result.err.startswith("rhodes: RH1021"), "who typed no document is shown no place in one"
    assert registered("link", "show", "application/httpclient", "driver/netdriver").code == 1


def test_the_hierarchical_rule_is_changed_and_defended(registered):
    assert "mode below" in registered.ok("layer", "show").out
    registered.ok("layer", "set", "--add-edge", "driver:service", "--add-edge", "driver/a:application/b", "--upcall")
    edges = registered.ok("layer", "show", "-o", "json").json["spec"]["edges"]
    assert len(edges) == 2 and all(edge["upcall"] for edge in edges)
    shown = registered.ok("layer", "show").out
    assert "and driver/a -> application/b (upcall)" in shown and "and driver -> service (upcall)" in shown
    assert re.search(r"^driver +\. +\+ +\. +1$", shown, re.M) and "+ by an added edge" in shown, shown
    registered.ok("layer", "set", "--mode", "strict", "--remove-edge", "driver:service")
    out = registered.ok("layer", "show").out
    assert "+" not in out, out
    assert "mode strict" in out and "driver -> service" not in out
    assert registered("layer", "set", "--remove-edge", "driver:service").code == 1
    registered.ok("layer", "set", "--mode", "below")
    document = {"apiVersion": "rhodes/v1", "kind": "Application", "metadata": {"name": "direct"},
                "spec": {"calls": [{"to": "driver/netdriver"}]}}
    registered.ok("apply", "-f", "-", stdin=json.dumps(document))
    result = registered("layer", "set", "--mode", "strict")
    assert result.code == 4 and "RH1027" in result.err and "application/direct" in result.err, result.err


def test_the_matrix_has_sets_and_marks_and_folds(registered):
    out = registered.ok("matrix").out
    assert "S = { S1 tcp }" in out and "H = { }" in out
    assert re.search(r"^ +S1 +D1\nA1 +1 +\.\nS1 +\. +1$", out, re.M), out
    registered.ok("layer", "set", "--add-edge", "driver:service")
    registered.ok("apply", "-f", "-", stdin=WEB.replace("50ms", "60ms"))
    shown = registered.ok("link", "show", "service/tcp", "driver/netdriver").out
    assert f"hierarchies/default since revision {registered.revision()}\n" in shown, "not the rule's own, which is older"
    registered.ok("apply", "-f", "-", stdin=WEB)
    registered.ok("link", "deny", "service/tcp", "driver/netdriver")
    assert re.search(r"^S1 +\. +x$", registered.ok("matrix").out, re.M)
    edges = registered.ok("matrix", "--edges").out
    assert re.search(r"service/tcp +driver/netdriver +x +shm +50ms +links/service\.tcp:driver\.netdriver since revision", edges)
    assert registered.ok("matrix", "-o", "name").out.split() == ["application/httpclient:service/tcp",
                                                                 "service/tcp:driver/netdriver"]


def test_a_matrix_wider_than_the_terminal_becomes_a_list(center, write):
    callees = [f"s{n}" for n in range(30)]
    text = "".join(f"apiVersion: rhodes/v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{}}\n---\n" for name in callees)
    text += "apiVersion: rhodes/v1\nkind: Application\nmetadata: {name: a}\nspec:\n  calls:\n" + "".join(
        f"    - {{to: service/{name}}}\n" for name in callees)
    center.ok("apply", "-f", write("wide.yaml", text))
    assert center.ok("matrix").out.count("application/a") == 30


def test_deleting_takes_kind_and_name_in_both_forms(registered):
    result = registered("delete", "driver", "netdriver")
    assert result.code == 5 and "RH1016" in result.err
    assert registered.ok("delete", "application", "httpclient", "--dry-run").out.count("deleted") == 1
    registered.ok("delete", "application/httpclient", "service/tcp", "driver/netdriver")
    assert registered.ok("get", "-o", "name").out == "hierarchies/default\n"
    result = registered("delete", "service", "tcp")
    assert result.code == 1 and "RH1018" in result.err


def test_the_api_is_open_to_what_has_no_verb(registered):
    assert registered.ok("api", "GET", "/readyz").out.strip() == "ok"
    missing = registered("api", "DELETE", "/v1/services/tcp")
    assert missing.code == 5 and json.loads(missing.out)["code"] == "RH1020"
    wrong = registered("api", "DELETE", "/v1/services/tcp", "-H", 'If-Match: "999999"')
    assert wrong.code == 5 and "HTTP 412" in wrong.err
    body = json.dumps({"documents": [], "delete": [{"kind": "Application", "name": "httpclient"}]})
    assert json.loads(registered.ok("api", "POST", "/v1/apply", "-d", "-", stdin=body).out)["results"][0]["action"] == "deleted"


def test_events_are_listed_and_followed(registered):
    follower = registered.start("events", "-f", "-o", "json", "--limit", "0")
    try:
        words = itertools.cycle(["deny", "allow"])  # again and again: the first may come before the follower listens

        def heard():
            registered.ok("link", next(words), "service/tcp", "driver/netdriver")
            return select.select([follower.stdout], [], [], 0.5)[0]
        until(heard, what="an event")
        assert json.loads(follower.stdout.readline())["event"]
    finally:
        follower.terminate()
        follower.communicate()
    listed = registered.ok("events", "--limit", "3")
    assert 1 <= len(listed.out.splitlines()) <= 3


SERVER = """\
import rhodes
with rhodes.open() as session:
    @session.serve("add: func(a: s32, b: s32) -> s32")
    def add(a, b):
        return a + b
    @session.serve("turn: func(data: list<u8>, times: option<u32>) -> list<u8>")
    def turn(data, times):
        return bytes(data)[::-1] * (times or 1)
    @session.serve("half: func(x: f64) -> f64")
    def half(x):
        return x / 2
    @session.serve("pair: func(list: list<u16>, x: f32) -> record{list: list<u16>, x: f32}")
    def pair(list, x):
        return {"list": list, "x": x}
    @session.serve("nothing: func()")
    def nothing():
        pass
    session.run(threads=2)
"""


@pytest.fixture
def calculator(center, write):
    run = {"exec": ["/usr/bin/python3", str(write("server.py", SERVER))], "env": {"PYTHONPATH": f"{center.stage}/lib/python3"}}
    functions = [{"function": text} for text in ("add: func(a: s32, b: s32) -> s32", "nothing: func()", "half: func(x: f64) -> f64",
                                                 "pair: func(list: list<u16>, x: f32) -> record{list: list<u16>, x: f32}",
                                                 "turn: func(data: list<u8>, times: option<u32>) -> list<u8>")]
    center.ok("apply", "-f", "-", stdin="\n---\n".join(json.dumps(d) for d in [
        {"apiVersion": "rhodes/v1", "kind": "Service", "metadata": {"name": "calculator"}, "spec": {"provides": functions, "run": run}},
        {"apiVersion": "rhodes/v1", "kind": "Application", "metadata": {"name": "client"},
         "spec": {"calls": [{"to": "service/calculator"}]}},
        {"apiVersion": "rhodes/v1", "kind": "Application", "metadata": {"name": "stranger"}, "spec": {}}]))
    center.until_ready("service/calculator")
    return center


def test_a_call_takes_its_types_from_the_callee(calculator, write):
    call = lambda *words: calculator("call", "service/calculator", *words)
    assert call("add", "2", "-3").out == "-1\n"
    assert call("add", "b=1", "a=2").out == "3\n"
    assert call("add", '{"a": 20, "b": 22}').out == call("add", "[20, 22]").out == "42\n"
    assert call("turn", "data=abc").json == "cba"
    assert call("turn", "hex:00ff", "2").json == "hex:ff00ff00"
    assert call("turn", f"data=@{write('x', b'xyz')}", "times=null").json == "zyx"
    assert call("nothing").out == "done\n"
    assert call("half", "0.2").out == call("half", "0.2", "-o", "yaml").out == "0.1\n"
    assert call("half", "2").out == "1.0\n" and float(call("half", "0.6").out) == 0.3
    assert call("pair", "[]", "0.1").out == '{\n  "list": [],\n  "x": 0.1\n}\n'
    assert call("pair", "list=[7, 8]", "x=-1e-30").out == '{\n  "list": [\n    7,\n    8\n  ],\n  "x": -1e-30\n}\n'
    wrong = call("add", "2", "x")
    assert wrong.code == 1 and "b: s32 is expected" in wrong.err and "service/calculator provides add: func(a: s32, b: s32) -> s32" in wrong.err
    assert call("sub", "1", "2").code == 1


def test_a_call_in_the_name_of_another_obeys_the_rules(calculator):
    holders = [calculator.start("run", "--as", f"application/{name}", "--", "/bin/sleep", "1000") for name in ("client", "stranger")]
    try:
        until(lambda: {"application/client", "application/stranger"} <= {
            name for name, agent in calculator.agents().items() if agent["state"] == "ready"}, what="the agents")
        call = lambda name, *more: calculator("call", "service/calculator", "add", "2", "3", "--as", f"application/{name}", *more)
        traced = call("client", "--trace")
        assert traced.out == "5\n", traced.err
        assert "the function began" in traced.err and "between the agents: msgqueue" in traced.err
        refused = call("stranger")
        assert refused.code == 4 and "DENIED" in refused.err, refused.err
        denied = calculator.ok("link", "deny", "application/client", "service/calculator")
        assert re.search(r"applied by 2/2 agents in \d+\.\d ms", denied.out), denied.out
        refused = call("client")
        assert refused.code == 4 and "links/application.client:service.calculator" in refused.err, refused.err
        calculator.ok("link", "allow", "application/client", "service/calculator", "--protocol", "shm")
        assert "between the agents: shm" in call("client", "--trace").err
        listed = calculator.ok("agent", "list").out
        assert re.search(r"^service/calculator +ready +\d+ +ready +(\d+)/\1 +yes", listed, re.M), listed
        assert "in sync: revision" in calculator.ok("describe", "application/client").out
    finally:
        for holder in holders:
            holder.terminate()
            holder.communicate()


def test_a_call_without_an_agent_says_so(registered):
    result = registered("call", "service/tcp", "connect", "{}")
    assert result.code == 1 and "no agent of service/tcp is running" in result.err, result.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another account")
def test_a_call_at_a_home_of_another_account_is_not_told_as_no_center(registered):
    command = [registered.stage / "bin" / "rhodes", "call", "service/tcp", "connect", "{}"]
    try:
        done = subprocess.run(command, user=65534, group=65534, extra_groups=[], cwd="/", capture_output=True, text=True, env=registered.env)
    except PermissionError:
        pytest.skip("the stage cannot be read by another user")
    assert done.returncode == 1 and "Permission denied" in done.stderr, done.stderr


def test_run_has_the_commands_status_and_streams(registered):
    result = registered("run", "--as", "application/httpclient", "--", "/bin/sh", "-c", "cat; echo $RHODES_RESOURCE; exit 7", stdin="in ")
    assert result.code == 7 and result.out == "in application/httpclient\n", result.err


# A center that is made up, for what a real one seldom says.

class Made(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append((self.command, self.path, body, dict(self.headers)))
        status, headers, text = self.server.script(self, json.loads(body) if body else None)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_PUT = do_POST = do_DELETE = answer

    def address_string(self):
        return "unix"

    def log_message(self, *words):
        pass


@pytest.fixture
def made_up(rhodes):
    """made_up(script) -> the server: script(handler, body) returns (status, value or bytes) or with headers in between."""
    servers = []

    def make(script):
        def full(handler, body):
            status, *headers, value = script(handler, body)
            text = value if isinstance(value, bytes) else json.dumps(value).encode()
            return status, headers[0] if headers else {"Content-Type": "application/json"}, text
        (rhodes.home / "center").mkdir(parents=True)
        server = Made(str(rhodes.home / "center" / "center.sock"), Answers)
        server.script, server.asked = full, []
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return server
    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


def effect(**more) -> dict:
    return {"revision": 7, "results": [{"kind": "Driver", "name": "netdriver", "action": "updated", "revision": 7}],
            "effect": {"agents": 2, "applied": 2, "rejected": [], "pending": [], "ms": 1.84} | more}


def test_applied_by_all_is_status_0_and_says_how_fast(rhodes, made_up, write):
    server = made_up(lambda handler, body: (200, effect()))
    result = rhodes.ok("apply", "-f", write("net.yaml", NET))
    assert result.out == "driver/netdriver  updated  revision 7\napplied by 2/2 agents in 1.8 ms\n"
    assert server.asked[0][1] == "/v1/apply?wait=5000000us"
    rhodes.ok("apply", "-f", write("net.yaml", NET), "--wait", "20ms", "-q")
    assert server.asked[1][1] == "/v1/apply?wait=20000us"


def test_not_in_force_everywhere_is_status_3_with_the_reason_and_what_to_type(rhodes, made_up, write):
    path = write("net.yaml", NET)
    made_up(lambda handler, body: (200, effect(applied=0, pending=["driver/netdriver"], rejected=[
        {"agent": "service/tcp", "verdict": "OVER_LIMIT", "reason": "no more queues \x1b[2J"}])))
    result = rhodes("apply", "-f", path, "--wait", "100ms")
    assert result.code == 3
    assert "applied by 0/2 agents" in result.out
    assert "the agent of service/tcp does not apply it: OVER_LIMIT: no more queues \\x1b[2J" in result.err
    assert "the agent of driver/netdriver has not applied it after 0.1 s" in result.err
    assert "next: rhodes describe service/tcp" in result.err
    assert rhodes("apply", "-f", path, "-o", "json").code == 3


def test_not_waiting_is_not_called_applied(rhodes, made_up, write):
    server = made_up(lambda handler, body: (200, effect(applied=0, pending=["driver/netdriver", "service/tcp"])))
    result = rhodes.ok("apply", "-f", write("net.yaml", NET), "--wait", "0")
    assert "pushed to 2 agents, not waited for" in result.out
    assert server.asked[0][1] == "/v1/apply"


@pytest.mark.parametrize("status, code", [(400, 1), (403, 4), (404, 1), (409, 5), (412, 5), (428, 5), (413, 1), (507, 1)])
def test_each_status_has_its_exit_code(rhodes, made_up, status, code):
    made_up(lambda handler, body: (status, {"title": "x", "status": status, "code": "RH9999", "detail": "of a later version"}))
    result = rhodes("status")
    assert result.code == code and result.err == "rhodes: RH9999 x: of a later version\n"


def test_all_refusals_are_printed_each_with_its_place(rhodes, made_up, write):
    refusals = [{"code": "RH1013", "pointer": "/documents/1/spec/calls/0/to", "detail": "a -> b", "rule": "hierarchies/default",
                 "revision": 4, "hint": "turn \x9b it"},
                {"code": "RH1002", "pointer": "/documents/0/spec/provides/0/function", "detail": "z"},
                {"code": "RH1004", "pointer": "/documents/2/metadata/labels/none/here", "detail": "y"},
                {"code": "RH1006", "pointer": "/documents/9/spec", "detail": "w"}]
    made_up(lambda handler, body: (403, refusals[0] | {"status": 403, "refusals": refusals, "refusalsTotal": 9}))
    net, web = write("net.yaml", NET), write("web.yaml", WEB)
    lines = rhodes("apply", "-f", net, "-f", web).err.splitlines()
    assert lines == [
        f"{web}:10:12: RH1013 the hierarchical rule forbids this reference: a -> b",
        "  rule: hierarchies/default of revision 4", "  hint: turn \\u{9b} it",
        f"{net}:6:8: RH1002 unknown field: z", f"{web}:14:11: RH1004 a field is missing: y",
        "rhodes: /documents/9/spec: RH1006 not a valid value: w", "  and 5 more"]


def test_a_link_that_others_change_meanwhile_is_read_again(rhodes, made_up):
    tries = []

    def script(handler, body):
        if handler.command == "GET":
            return 200, {"ETag": f'"{len(tries) + 3}"'}, {
                "apiVersion": "rhodes/v1", "kind": "Link", "metadata": {"name": "x", "revision": 3, "createdRevision": 1},
                "spec": {"caller": "service/a", "callee": "driver/b", "timeout": "9ms"}}
        tries.append((handler.headers["If-Match"], body))
        return (412, {"code": "RH1019", "status": 412}) if len(tries) < 3 else (200, effect())
    made_up(script)
    rhodes.ok("link", "set", "service/a", "driver/b", "--protocol", "shm")
    assert [match for match, _ in tries] == ['"3"', '"4"', '"5"']
    assert tries[0][1]["spec"] == {"caller": "service/a", "callee": "driver/b", "timeout": "9ms", "protocol": "shm"}
    assert "revision" not in tries[0][1]["metadata"]


def test_a_link_that_others_never_stop_changing_is_a_conflict(rhodes, made_up):
    made_up(lambda handler, body: (404, {"code": "RH1018"}) if handler.command == "GET" else (412, {"code": "RH1019"}))
    result = rhodes("link", "deny", "service/a", "driver/b")
    assert result.code == 5 and "5 times" in result.err


def test_a_center_that_answers_nonsense_is_survived(rhodes, made_up):
    answers = iter([b"", b"nonsense", b"[]", b"\x00\xff", b"{\"a\":1", b"x" * 100_000])
    made_up(lambda handler, body: (200, next(answers)))
    for _ in range(2):
        assert rhodes("status").code == 1
    assert rhodes("get", "services").code == 0  # a list where an object belongs has no items
    for _ in range(3):
        result = rhodes("matrix")
        assert result.code == 1 and result.err == "rhodes: the center's answer is not JSON\n"


def test_a_page_that_leads_back_to_itself_ends(rhodes, made_up):
    made_up(lambda handler, body: (200, {"revision": 1, "items": [], "next": "again"}))
    result = rhodes("get", "services")
    assert result.code == 1 and "does not end" in result.err


def test_a_center_that_hangs_up_is_told_from_none(rhodes):
    (rhodes.home / "center").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(rhodes.home / "center" / "center.sock"))
        listener.listen()

        def hang_up():
            with contextlib.suppress(OSError):
                listener.accept()[0].close()
        threading.Thread(target=hang_up, daemon=True).start()
        result = rhodes("status")
    assert result.code == 1 and "broke off" in result.err
    assert rhodes("status").code == 6  # the stale socket of a center that is gone


def test_control_characters_of_others_never_reach_the_terminal(rhodes, made_up):
    evil = "a\x1b[2J\n\x9b\x7f\u202e"
    agent = {"resource": evil, "state": evil, "pid": 1, "program": {"state": evil}, "rejected": {"verdict": evil, "reason": evil}}
    item = {"kind": "Link", "metadata": {"name": evil}, "spec": {"caller": evil, "callee": evil, "protocol": evil}}
    made_up(lambda handler, body: (200, {"items": [agent] if "agents" in handler.path else [
        {"at": evil, "event": evil, "resource": evil, "text": evil}] if "events" in handler.path else [item],
        "edges": [{"caller": evil, "callee": evil, "rule": evil}], "sets": {"A": [evil]}}))
    for words in (("agent", "list"), ("events",), ("get", "links"), ("matrix", "--edges"), ("matrix", "-o", "name")):
        for form in ("table", "json", "yaml", "name"):
            result = rhodes(*words, "-o", form) if "-o" not in words else rhodes(*words)
            assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", result.out), (words, form, result.out)


def on_terminal(rhodes, *words, **environment) -> str:
    """What a person sees who runs it on a terminal."""
    pid, terminal = pty.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            os.execve(rhodes.stage / "bin" / "rhodes", ["rhodes", *words], dict(rhodes.env, TERM="xterm", **environment))
        os._exit(127)
    seen = b""
    with contextlib.suppress(OSError):
        while select.select([terminal], [], [], 20 * PATIENCE)[0]:
            piece = os.read(terminal, 65536)
            if not piece:
                break
            seen += piece
    os.close(terminal)
    os.waitpid(pid, 0)
    return seen.decode()


def test_colours_only_on_a_terminal_and_never_with_no_color(rhodes, made_up):
    agent = {"resource": "service/tcp", "state": "ready", "inSync": True}
    made_up(lambda handler, body: (200, {"items": [agent]}))
    assert "\x1b" not in rhodes.ok("agent", "list").out
    assert "\x1b[32mready\x1b[0m" in on_terminal(rhodes, "agent", "list")
    assert "\x1b" not in on_terminal(rhodes, "agent", "list", NO_COLOR="1")


def test_a_long_wait_shows_that_it_goes_on(rhodes, made_up, write):
    def script(handler, body):
        time.sleep(1.2)
        return 200, effect()
    made_up(script)
    path = str(write("net.yaml", NET))
    seen = on_terminal(rhodes, "apply", "-f", path)
    assert re.search(r"waiting for the agents \(\d s\)", seen) and "applied by 2/2" in seen
    assert "waiting" not in on_terminal(rhodes, "apply", "-f", path, "-q")
    assert "waiting" not in rhodes.ok("apply", "-f", path).err


def test_a_stream_of_events_that_ends_is_status_6(rhodes, made_up):
    text = b": hello\n\nid: 1\nevent: x\ndata: {\"event\": \"agent.ready\",\ndata:  \"text\": \"one\"}\n\ndata: nonsense\n\ndata: {\"event\": \"two\"}\n\n"
    made_up(lambda handler, body: (200, {"Content-Type": "text/event-stream"}, text))
    result = rhodes("events", "-f", "-o", "name")
    assert result.code == 6 and result.out == "agent.ready\ntwo\n"
