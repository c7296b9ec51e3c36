#!/usr/bin/python3
"""Runs everything that can be tested and ends with one line: `N passed, N failed`.

A stage is one command with a time limit and a log below build/check/. What a stage counts is the smallest thing that
its tool reports: a cmocka case, a pytest case, a fuzz target, a build. Two things are counted that no tool reports: a
sanitizer report of a process whose exit status nobody looks at, and a process that a stage left running (this process is a
subreaper, so orphans come to it). The exit status is 1 when anything failed.
"""
import argparse
import ctypes
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as xml

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
LOGS = BUILD / "check"
PYTHON_SESSIONS = ROOT / "languages" / "python" / "test" / "test_session.py"
PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
MESON = "/usr/bin/meson" if os.path.exists("/usr/bin/meson") else "meson"
TAIL_LINES = 60
PR_SET_CHILD_SUBREAPER = 36

SANITIZED = {
    "asan": (["-Db_sanitize=address,undefined", "-Dc_args=-fno-sanitize-recover=all -fno-omit-frame-pointer"], {}),
    "tsan": (["-Db_sanitize=thread"], {}),
}


def environment() -> dict:
    """The tests' environment: nothing of Rhodes and nothing of make in it, and no terminal wanted."""
    env = {name: value for name, value in os.environ.items()
           if not name.startswith(("RHODES_", "ASAN_", "UBSAN_", "LSAN_", "TSAN_", "MAKE", "MFLAGS"))}
    env.pop("XDG_STATE_HOME", None)
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    return env


class Check:
    def __init__(self) -> None:
        self.passed = 0
        self.failed = 0
        self.skipped = 0

    def say(self, text: str) -> None:
        print(text, flush=True)

    def count(self, name: str, seconds: float, passed: int, failed: int, skipped: int = 0) -> None:
        self.passed += passed
        self.failed += failed
        self.skipped += skipped
        more = f", {skipped} skipped" if skipped else ""
        word = "FAIL" if failed else "ok  "
        self.say(f"{word} {name}: {passed} passed, {failed} failed{more} ({seconds:.0f} s)")

    def show_tail(self, log: pathlib.Path) -> None:
        lines = log.read_text(errors="replace").splitlines()
        for line in lines[-TAIL_LINES:]:
            self.say(f"     | {line}")
        self.say(f"     | (all of it: {log.relative_to(ROOT)})")

    def run(self, name: str, command: list, seconds: int, env: dict) -> tuple[int, float, pathlib.Path]:
        """Runs one command into its log. The status is -1 when the time was over."""
        log = LOGS / f"{name.replace(' ', '-')}.log"
        self.say(f".... {name}")
        began = time.monotonic()
        with open(log, "wb") as out:
            process = subprocess.Popen([str(word) for word in command], cwd=ROOT, env=env, stdin=subprocess.DEVNULL,
                                       stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
            try:
                status = process.wait(seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                out.write(f"\ncheck: not done within {seconds} s\n".encode())
                status = -1
        self.leftovers(name)
        return status, time.monotonic() - began, log

    def leftovers(self, name: str) -> None:
        """Counts and ends what the stage left running. A process that is just ending gets a moment."""
        for attempt in range(40):
            reap()
            left = children()
            if not left:
                return
            time.sleep(0.05)
        while left:
            for pid in left:
                self.say(f"FAIL {name}: left running: {pid} {command_line(pid)}")
                self.failed += 1
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)
            reap()
            left = children()  # those whose parent we have just ended

    def simple(self, name: str, command: list, seconds: int, env: dict | None = None) -> bool:
        """A stage that counts as one."""
        status, took, log = self.run(name, command, seconds, env or environment())
        if status:
            self.show_tail(log)
        self.count(name, took, int(status == 0), int(status != 0))
        return status == 0


def children() -> list[int]:
    return [int(pid) for pid in pathlib.Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


def reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def command_line(pid: int) -> str:
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:200]
    except OSError:
        return "?"


def cmocka_cases(text: str) -> tuple[int, int] | None:
    """The cases of a cmocka program, from the last summary of each of its groups."""
    passed = [int(n) for n in re.findall(r"^\[  PASSED  \] (\d+) test", text, re.M)]
    failed = [int(n) for n in re.findall(r"^\[  FAILED  \] (\d+) test", text, re.M)]
    return (sum(passed), sum(failed)) if passed else None


def unit(check: Check, name: str, directory: pathlib.Path, seconds: int, env: dict, wrapper: str = "",
         patience: int = 1) -> None:
    """All tests that meson knows in one build directory, counted by cmocka case."""
    command = [MESON, "test", "-C", directory, "--no-rebuild", "--print-errorlogs", "-t", str(patience)]
    if wrapper:
        command += ["--wrapper", wrapper]
    for old in (directory / "meson-logs").glob("testlog*.json"):
        old.unlink()
    status, took, log = check.run(name, command, seconds, env)
    record = next((directory / "meson-logs").glob("testlog*.json"), None)  # its name has the wrapper's in it
    passed = failed = skipped = 0
    bad = []
    for line in record.read_text().splitlines() if record else []:
        test = json.loads(line)
        good = test["result"] in ("OK", "EXPECTEDFAIL")
        # The self-test of the test layer shows failures on purpose: its own summary is the last one.
        cases = cmocka_cases(test.get("stdout", "") + test.get("stderr", "")) if test["result"] != "EXPECTEDFAIL" else None
        if test["result"] == "SKIP":
            skipped += 1
        elif good:
            passed += cases[0] if cases else 1
        else:
            bad.append(test["name"])
            passed += cases[0] if cases else 0
            failed += max(cases[1], 1) if cases else 1
    if (status or not passed) and not failed:
        failed = 1
    if failed:
        check.show_tail(log)
        check.say(f"     | failed: {', '.join(bad) or 'the test run itself'}")
    check.count(name, took, passed, failed, skipped)


def scenarios(check: Check, name: str, stage: pathlib.Path, seconds: int, env: dict,
              what: pathlib.Path = ROOT / "test" / "scenario") -> None:
    """Runs the pytest file or folder `what` against a stage, counted by case."""
    if what.is_dir() and not list(what.glob("test_*.py")):
        check.say(f"     {name}: no scenarios")
        return
    record = LOGS / f"{name.replace(' ', '-')}.xml"
    record.unlink(missing_ok=True)
    env = dict(env, RHODES_STAGE=str(stage))
    status, took, log = check.run(name, [PYTHON, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-ra",
                                         f"--junitxml={record}", what], seconds, env)
    passed = failed = skipped = 0
    for suite in xml.parse(record).getroot().iter("testsuite") if record.exists() else []:
        bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        failed += bad
        skipped += int(suite.get("skipped", 0))
        passed += max(int(suite.get("tests", 0)) - bad - int(suite.get("skipped", 0)), 0)
    if (status or not passed) and not failed:
        failed = 1
    if failed:
        check.show_tail(log)
    check.count(name, took, passed, failed, skipped)


def ninja(directory: pathlib.Path, targets: list) -> list:
    jobs = os.environ.get("JOBS")
    return ["ninja", "-C", directory, *(["-j", jobs] if jobs else []), *targets]


def build(check: Check, name: str, directory: pathlib.Path, options: list, seconds: int, stage: pathlib.Path | None = None,
          compiler: str = "gcc", targets: list = []) -> bool:
    """Sets up (once), builds and installs into a stage. Counts as one."""
    env = dict(environment(), CC=compiler)
    prefix = ["--prefix", str(stage), "--libdir", "lib"] if stage else []
    if not (directory / "build.ninja").exists():
        shutil.rmtree(directory, ignore_errors=True)
        status, took, log = check.run(f"{name} setup", [MESON, "setup", directory, *prefix, *options], 300, env)
        if status:
            check.show_tail(log)
            check.count(name, took, 0, 1)
            return False
    if not check.simple(name, ninja(directory, targets), seconds, env):
        return False
    if stage:
        status, took, log = check.run(f"{name} stage", [MESON, "install", "-C", directory, "--no-rebuild",
                                                        "--only-changed", "--quiet"], 300, env)
        if status:
            check.show_tail(log)
            check.count(f"{name} stage", took, 0, 1)
            return False
    return True


def plain(check: Check, args: argparse.Namespace) -> None:
    if build(check, "build", BUILD / "release", [], 900, BUILD / "stage"):
        unit(check, "unit tests", BUILD / "release", 300, environment())


def plain_scenarios(check: Check, args: argparse.Namespace) -> None:
    if (BUILD / "stage" / "bin" / "rhodes").exists():
        scenarios(check, "scenarios", BUILD / "stage", 480, environment())
        scenarios(check, "python", BUILD / "stage", 180, environment(), PYTHON_SESSIONS)
        scenarios(check, "bench smoke", BUILD / "stage", 120, environment(), ROOT / "bench" / "test_quick.py")


def format_check(check: Check, args: argparse.Namespace) -> None:
    check.simple("format and layout", [PYTHON, "tools/lint.py", "--quick"], 120)


def runtime_library(name: str) -> str:
    """The sanitizer's runtime, to be loaded first into programs that are not built with it (Python)."""
    found = subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout.strip()
    return os.path.realpath(found)


def asan_environment(reports: pathlib.Path) -> dict:
    """Reports go to files as well, since nobody looks at the exit status of an agent's program. Leaks of Debian's own
    programs (Python among them) are theirs, so they are not counted; those below our stage are. libfyaml 0.7.12 loses its
    stacks when a text ends inside a deep nesting."""
    suppressions = LOGS / "lsan.supp"
    suppressions.write_text("leak:/usr/bin/\nleak:/usr/sbin/\nleak:libfyaml\n")
    return dict(environment(),
                ASAN_OPTIONS=f"log_path='{reports}/report':detect_leaks=1:abort_on_error=0:halt_on_error=1",
                LSAN_OPTIONS=f"suppressions='{suppressions}':print_suppressions=0",
                UBSAN_OPTIONS=f"log_path='{reports}/report':halt_on_error=1:print_stacktrace=1")


def reports_count(check: Check, name: str, reports: pathlib.Path) -> None:
    found = [report for report in sorted(reports.glob("report*")) if report.stat().st_size]
    for report in found[:5]:
        check.show_tail(report)
    if found:
        check.count(f"{name} reports", 0, 0, len(found))


def asan(check: Check, args: argparse.Namespace) -> None:
    directory, stage, reports = BUILD / "asan", BUILD / "stage-asan", LOGS / "asan"
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir()
    if not build(check, "asan build", directory, SANITIZED["asan"][0], 900, stage):
        return
    env = asan_environment(reports)
    library = runtime_library("libasan.so")
    unit(check, "asan unit tests", directory, 480, dict(env, ASAN_OPTIONS=env["ASAN_OPTIONS"].split(":", 1)[1]),
         wrapper=f"env LD_PRELOAD={library}", patience=3)
    if (stage / "bin" / "rhodes").exists():
        scenarios(check, "asan scenarios", stage, 600, dict(env, RHODES_SANITIZER=library))
        scenarios(check, "asan python", stage, 300, dict(env, RHODES_SANITIZER=library), PYTHON_SESSIONS)
    reports_count(check, "asan", reports)


def tsan(check: Check, args: argparse.Namespace) -> None:
    if build(check, "tsan build", BUILD / "tsan", SANITIZED["tsan"][0], 900):
        unit(check, "tsan unit tests", BUILD / "tsan", 600, dict(environment(), TSAN_OPTIONS="halt_on_error=1:report_mutex_bugs=0:die_after_fork=0"), patience=5)


def clang(check: Check, args: argparse.Namespace) -> None:
    """The other compiler's opinion: everything compiles without a warning."""
    build(check, "clang build", BUILD / "clang", ["-Doptimization=0"], 900, compiler="clang")


def fuzz(check: Check, args: argparse.Namespace) -> None:
    directory = BUILD / "fuzz"
    if not build(check, "fuzz build", directory, ["-Dfuzz=true"], 900, compiler="clang", targets=["fuzzers"]):
        return
    for target in sorted((directory / "test" / "fuzz").glob("fuzz_*")):
        if not target.is_file() or not os.access(target, os.X_OK):
            continue
        name = target.name.removeprefix("fuzz_")
        seeds = ROOT / "test" / "fuzz" / "corpus" / name
        found = BUILD / "fuzz-corpus" / name
        found.mkdir(parents=True, exist_ok=True)
        check.simple(target.name, [target, f"-max_total_time={args.fuzz_seconds}", "-timeout=10", "-rss_limit_mb=2048",
                                   "-print_final_stats=1", f"-artifact_prefix={LOGS}/{target.name}-", found, seeds],
                     args.fuzz_seconds + 60)


STAGES = {"plain": plain, "format": format_check, "scenario": plain_scenarios, "asan": asan, "clang": clang, "fuzz": fuzz,
          "tsan": tsan}
DEFAULT = ["plain", "format", "scenario", "asan", "clang", "fuzz"]


def main() -> int:
    parser = argparse.ArgumentParser(description="run everything that can be tested")
    parser.add_argument("--only", action="append", choices=list(STAGES), help="run this stage only (repeatable)")
    parser.add_argument("--fuzz-seconds", type=int, default=4, help="for each fuzz target (default 4)")
    args = parser.parse_args()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    LOGS.mkdir(parents=True, exist_ok=True)
    check = Check()
    began = time.monotonic()
    for name in args.only or DEFAULT:
        STAGES[name](check, args)
    if check.skipped:
        check.say(f"{check.skipped} skipped (the logs in build/check say why)")
    check.say(f"logs in build/check, {time.monotonic() - began:.0f} s")
    total = f"{check.passed} passed, {check.failed} failed"
    (LOGS / "sum").write_text(total + "\n")
    check.say(total)
    return 1 if check.failed or not check.passed else 0


if __name__ == "__main__":
    sys.exit(main())
