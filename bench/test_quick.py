"""Each benchmark's short run against a stage: it runs, its results have the agreed form, and it leaves nothing behind."""
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
STAGE = pathlib.Path(os.environ.get("RHODES_STAGE", HERE.parent / "build" / "stage"))


def run(tmp_path, name, *more):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    done = subprocess.run([sys.executable, HERE / "run.py", name, "--quick", "--stage", STAGE, "--output", tmp_path / "out", *more],
                          capture_output=True, text=True, timeout=100, env=dict(os.environ, TMPDIR=str(temporary)))
    assert not list(temporary.iterdir()), "left behind"
    return done


def results(tmp_path, name, systems):
    result = json.loads((tmp_path / "out" / f"{name}.json").read_text())
    assert result["bench"] == name and result["cases"]
    for case in result["cases"]:
        assert set(case["rivals"]) == set(case["ratio"]) == systems
        for values in (case["rhodes"], *case["rivals"].values()):
            assert 0 < values["p50"] <= values["p99"] <= values["max"] and values["runs"] > 0
    assert (tmp_path / "out" / "index.html").read_text().count("<rect") == len(result["cases"]) * (1 + len(systems))
    return [case["case"] for case in result["cases"]]


def test_call_measures_both_protocols_beside_a_socket_pair_and_a_pipe(tmp_path):
    done = run(tmp_path, "call")
    assert done.returncode == 0, done.stdout + done.stderr
    cases = results(tmp_path, "call", {"socketpair", "pipe"})
    assert {"round trip 64 B shm", "throughput 64 KiB msgqueue"} <= set(cases) and "round trip 64 B shm" in done.stdout


@pytest.mark.skipif(not shutil.which("etcd"), reason="no etcd; tools/setup bench installs it")
def test_push_measures_real_agents_beside_etcd(tmp_path):
    done = run(tmp_path, "push")
    assert done.returncode == 0, done.stdout + done.stderr
    assert results(tmp_path, "push", {"etcd"}) == ["edit to applied, 1 agent", "edit to applied, 10 agents"]


def test_a_missing_stage_is_said_and_fails(tmp_path):
    done = run(tmp_path, "call", "--stage", tmp_path / "nothing")
    assert done.returncode == 1 and "type make first" in done.stderr
