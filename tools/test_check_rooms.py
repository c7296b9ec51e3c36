#!/usr/bin/python3
"""check_rooms must find each kind of wrong door, and must be silent about a right tree."""
import pathlib
import subprocess
import sys
import tempfile

CHECK = pathlib.Path(__file__).resolve().parent / "check_rooms.py"


def judge(files: dict[str, str]) -> tuple[int, str]:
    with tempfile.TemporaryDirectory(prefix="rhodes rooms ") as root:
        for name, text in files.items():
            path = pathlib.Path(root) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        done = subprocess.run([sys.executable, str(CHECK), root], capture_output=True, text=True)
        return done.returncode, done.stdout


def expect(name: str, files: dict[str, str], code: int, text: str) -> bool:
    got, out = judge(files)
    good = got == code and text in out
    print(f"{'ok' if good else 'FAIL'} {name}" + ("" if good else f": status {got}\n{out}"))
    return good


def main() -> int:
    good = [
        expect("doors_that_are_drawn_pass",
               {"src/model/a.c": '#include "base/result.h"\n#include "model/a.h"\n#include <stdio.h>\n',
                "src/agent/b.c": '#include "wire/call.h"\n#include "rhodes/verdict.h"\n'}, 0, "clean"),
        expect("a_door_upwards_is_found",
               {"src/base/a.c": '#include "model/name.h"\n'}, 1, "src/base/a.c:1: no door from base to model"),
        expect("center_and_agent_never_include_each_other",
               {"src/center/a.c": '#include "agent/b.h"\n', "src/agent/b.c": '\n# include "center/a.h"\n'}, 1,
               "src/center/a.c:1: no door from center to agent"),
        expect("the_agent_side_of_it_is_found_too",
               {"src/agent/b.c": '\n# include "center/a.h"\n'}, 1, "src/agent/b.c:2: no door from agent to center"),
        expect("cli_sees_base_only", {"src/cli/a.h": '#include "model/name.h"\n'}, 1, "no door from cli to model"),
        expect("an_include_without_its_room_is_found",
               {"src/base/a.c": '#include "bytes.h"\n'}, 1, "'bytes.h' does not name its room"),
        expect("a_room_that_nobody_drew_is_found", {"src/attic/a.c": "\n"}, 1, "room 'attic'"),
        expect("tests_may_include_the_test_layer",
               {"src/base/test_a.c": '#include "test/lib/isolated.h"\n'}, 0, "clean"),
        expect("other_files_may_not",
               {"src/base/a.c": '#include "test/lib/isolated.h"\n'}, 1, "no door from base to test"),
    ]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
