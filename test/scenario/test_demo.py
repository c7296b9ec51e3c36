"""The demo as a person starts it: every line is ok, and it leaves nothing, also when it is stopped in the middle."""
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time

import pytest

from conftest import PATIENCE, SANITIZER, until

STEPS = ["wire", "up", "fetch", "live switch", "refusal", "rule edited", "denial", "fetch after denial", "kill",
         "fetch after kill", "matrix", "down", "nothing left", "demo"]

# The demo promises figures (under 60 s, 1 s to refuse) for the build that people run, not for one that checks itself.
pytestmark = pytest.mark.skipif(bool(SANITIZER), reason="the demo measures time; a sanitizer's build does not keep it")


@pytest.fixture(autouse=True)
def place(monkeypatch):
    """A place for temporary files that no other demo on this machine shares, and that any user may write to."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        monkeypatch.setenv("TMPDIR", folder)
        yield pathlib.Path(folder)


def homes() -> set[str]:
    return {path for path in os.listdir(os.environ["TMPDIR"]) if path.startswith("rhodes-demo-")}


def demo(stage, *options: str) -> list[str]:
    done = subprocess.run([stage / "bin" / "rhodes", "demo", *options], capture_output=True, text=True, timeout=80 * PATIENCE,
                          stdin=subprocess.DEVNULL)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert not homes()
    said = [line for line in lines if line.startswith(("ok ", "FAIL "))]
    assert [line.split(":")[0] for line in said] == [f"ok {step}" for step in STEPS], done.stdout
    seconds = float(re.search(r"([0-9.]+) s$", lines[-1])[1])
    assert seconds < 60
    return lines


def test_every_step_of_the_demo_is_ok(stage):
    lines = demo(stage)
    switches = [line for line in lines if re.match(r" +\d+ to (shm|msgqueue) ", line)]
    assert len(switches) >= 10
    assert any("A = {" in line for line in lines) and any("H = {" in line for line in lines)


def test_without_namespaces_it_says_so_and_works_on_a_simulated_interface(stage):
    lines = demo(stage, "--simulated-nic")
    assert lines[0].startswith("note: ") and "SIMULATED" in lines[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user to become")
def test_it_works_without_root(stage):
    try:
        done = subprocess.run([stage / "bin" / "rhodes", "demo"], capture_output=True, text=True, timeout=80 * PATIENCE,
                              stdin=subprocess.DEVNULL, user="nobody", group="nogroup", extra_groups=[], cwd="/",
                              env={"PATH": os.environ["PATH"], "TMPDIR": os.environ["TMPDIR"], "HOME": "/nonexistent"})
    except PermissionError:
        pytest.skip("the stage cannot be read by another user")
    if "Permission denied" in done.stderr and "ok wire" not in done.stdout:
        pytest.skip("the stage cannot be read by another user")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not homes()


def test_stopped_in_the_middle_it_still_clears_up(stage):
    process = subprocess.Popen([stage / "bin" / "rhodes", "demo"], stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
    for line in process.stdout:
        if line.startswith("ok fetch:"):
            break
    process.send_signal(signal.SIGTERM)
    rest = process.stdout.read()
    assert process.wait(30) != 0
    assert "ok nothing left" in rest
    assert not homes()


def test_a_killed_demo_takes_its_network_along(stage):
    """Nothing can clear up after SIGKILL, but no namespace has a name: the kernel takes it when its processes are gone."""
    process = subprocess.Popen([stage / "bin" / "rhodes", "demo"], stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
    for line in process.stdout:
        if line.startswith("ok up:"):
            break
    namespace = os.readlink(f"/proc/{process.pid}/ns/net")
    process.kill()
    process.wait()
    process.stdout.close()
    for name in homes():  # what a person would do: end the center, remove the directory
        home = pathlib.Path(os.environ["TMPDIR"]) / name
        ours = lambda: [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and names(pid, str(home))]  # noqa: E731
        end = time.monotonic() + 10
        while ours() and time.monotonic() < end:
            for pid in ours():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.02)
        subprocess.run(["rm", "-rf", home], check=True)
    until(lambda: not lives_in(namespace), 5, "the network namespace gone")


def lives_in(namespace: str) -> list[str]:
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/ns/net"):
        try:
            found += [str(path)] if os.readlink(path) == namespace else []
        except OSError:
            pass
    return found


def names(pid: str, home: str) -> bool:
    """Does a process belong to a home, by its command line, its environment, or the children it holds?"""
    try:
        place = pathlib.Path("/proc") / pid
        return home.encode() in (place / "cmdline").read_bytes() + (place / "environ").read_bytes()
    except OSError:
        return False
