#!/usr/bin/python3
"""Lint: format, layout, Python that does not compile; without --quick also clang-tidy and cppcheck. At zero or failed."""
import json
import os
import pathlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "lint"
LINES_MAX = 800  # at 800, look for the second subject
TEST_LINES_MAX = 1000  # a test is a list of cases
MESON = "/usr/bin/meson" if os.path.exists("/usr/bin/meson") else "meson"


def files(*endings: str) -> list[str]:
    """What git knows, plus new files that it does not ignore."""
    out = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True,
                         capture_output=True, text=True).stdout
    return sorted({name for name in out.split("\0") if name.endswith(endings) and (ROOT / name).exists()})


def run(command: list[str]) -> tuple[int, str]:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return done.returncode, (done.stdout + done.stderr).strip()


def check_format() -> list[str]:
    code, out = run(["clang-format", "--dry-run", "-Werror", *files(".c", ".h")])
    return [out + "\nmake format mends it"] if code else []


def check_length() -> list[str]:
    def most(name: str) -> int:
        return TEST_LINES_MAX if os.path.basename(name).startswith("test_") else LINES_MAX
    return [f"{name}: {lines} lines, more than {most(name)}" for name in files(".c", ".h", ".py")
            if (lines := len((ROOT / name).read_text().splitlines())) > most(name)]


def check_rooms() -> list[str]:
    code, out = run([sys.executable, "tools/check_rooms.py", str(ROOT)])
    return [out] if code else []


def check_python() -> list[str]:
    bad = []
    for name in files(".py"):
        try:
            compile((ROOT / name).read_bytes(), name, "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as error:
            bad.append(f"{name}: {error}")
    return bad


def compile_commands() -> list[str]:
    """clang's own build directory, because clang-tidy wants flags that clang knows."""
    if not (BUILD / "build.ninja").exists():
        subprocess.run([MESON, "setup", str(BUILD)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL,
                       env=dict(os.environ, CC="clang"))
    else:
        subprocess.run(["ninja", "-C", str(BUILD), "build.ninja"], check=True, stdout=subprocess.DEVNULL)
    entries = json.loads((BUILD / "compile_commands.json").read_text())
    found = {os.path.relpath(os.path.join(entry["directory"], entry["file"]), ROOT) for entry in entries}
    return sorted(name for name in found if name.endswith(".c") and not name.startswith(("build", "..")))


def check_tidy() -> list[str]:
    """src, languages, demo and bench; tests may be long and repeat themselves."""
    names = [name for name in compile_commands() if not os.path.basename(name).startswith("test_")
             and not name.startswith("test/")]

    def tidy(name: str) -> str | None:
        code, out = run(["clang-tidy", "--quiet", "-p", str(BUILD), name])
        lines = [line for line in out.splitlines() if "warnings generated" not in line and "Suppressed" not in line
                 and "Use -header-filter" not in line]
        return "\n".join(lines) if code or any(": warning:" in line for line in lines) else None

    with ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, 4)) as pool:
        return [out for out in pool.map(tidy, names) if out]


def check_cppcheck() -> list[str]:
    code, out = run(["cppcheck", "--quiet", "--error-exitcode=1", "--enable=warning,portability", "--std=c11", "-j2",
                     "--inline-suppr", "--suppressions-list=tools/cppcheck.txt", "-D_GNU_SOURCE", "-Iinclude", "-Isrc",
                     "-Iprotocol", "--include=/usr/include/x86_64-linux-gnu/sys/queue.h", "--suppress=*:*/test_*", "src"])
    return [out] if code else []


def main() -> int:
    checks = [check_format, check_length, check_rooms, check_python]
    if "--quick" not in sys.argv[1:]:
        checks += [check_tidy, check_cppcheck]
    failed = 0
    for check in checks:
        bad = check()
        print(f"{'FAIL' if bad else 'ok  '} {check.__name__.removeprefix('check_')}", flush=True)
        for text in bad:
            print(text, flush=True)
        failed += bool(bad)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
