#!/usr/bin/env python3
"""Checks that doors between rooms open one way: reads the #include "room/file.h" lines below src/."""
import pathlib
import re
import sys

DOORS = {
    "base": set(),
    "model": {"base"},
    "wire": {"model", "base"},
    "interceptor": {"wire", "model", "base"},
    "transmitter": {"wire", "model", "base"},
    "adapter": {"model", "base"},
    "client": {"interceptor", "transmitter", "wire", "base"},
    "agent": {"interceptor", "adapter", "transmitter", "wire", "model", "base"},
    "center": {"transmitter", "wire", "model", "base"},
    "cli": {"base"},
}
ALWAYS = {"rhodes"}  # include/rhodes: what we promise to others


def main() -> int:
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    bad = 0
    for path in sorted(root.glob("src/*/*.[ch]")):
        room = path.parent.name
        if room not in DOORS:
            print(f"{path.relative_to(root)}: room '{room}' is not in tools/check_rooms.py")
            bad += 1
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if not found:
                continue
            target = found.group(1)
            door = target.split("/")[0] if "/" in target else None
            if door is None:
                print(f"{path.relative_to(root)}:{number}: '{target}' does not name its room")
                bad += 1
            elif door == "test" and path.name.startswith("test_"):
                continue
            elif door != room and door not in ALWAYS and door not in DOORS[room]:
                print(f"{path.relative_to(root)}:{number}: no door from {room} to {door}")
                bad += 1
    print(f"rooms: {'clean' if not bad else str(bad) + ' wrong'}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
