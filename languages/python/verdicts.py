#!/usr/bin/env python3
"""Generates rhodes/_verdicts.py, one exception class per verdict, from protocol/verdicts.def.

    verdicts.py protocol/verdicts.def OUTPUT
"""
import pathlib
import re
import sys

HEAD = '''"""The verdicts of Rhodes as exceptions. Generated from protocol/verdicts.def."""
from __future__ import annotations


class Error(Exception):
    """The rules, the types or a limit said no; `verdict` names why. Failures of the machine are OSError instead."""

    verdict: str = ""
    number: int = 0
    status: int = 0
'''

CLASS = '''

class {name}(Error):
    """{sentence}."""

    verdict = "{verdict}"
    number = {number}
    status = {status}
'''


def class_name(verdict: str) -> str:
    return "".join(part.capitalize() for part in verdict.split("_"))


def main() -> int:
    source, output = sys.argv[1:]
    text = pathlib.Path(source).read_text()
    found = re.findall(r'^RHODES_VERDICT\((\w+), (\d+), (\d+), "([^"]*)"\)', text, re.MULTILINE)
    if not found or len(found) != len(re.findall(r"^RHODES_VERDICT", text, re.MULTILINE)):
        print(f"{source}: a line that is not RHODES_VERDICT(NAME, number, status, \"sentence\")", file=sys.stderr)
        return 1
    parts = [HEAD]
    for verdict, number, status, sentence in found:
        parts.append(CLASS.format(name=class_name(verdict), sentence=sentence[0].upper() + sentence[1:],
                                  verdict=verdict, number=number, status=status))
    names = [class_name(verdict) for verdict, *_ in found]
    parts.append("\n\nBY_NUMBER: dict[int, type[Error]] = {cls.number: cls for cls in (\n    "
                 + ",\n    ".join(names) + ",\n)}\n")
    parts.append("\n__all__ = [\n    " + ",\n    ".join(f'"{name}"' for name in ["Error", *names]) + ",\n]\n")
    pathlib.Path(output).write_text("".join(parts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
