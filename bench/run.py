#!/usr/bin/env python3
"""Runs benchmarks: writes build/bench/NAME.json, prints a table, and draws all there are into build/bench/index.html.

    bench/run.py call|push|all [--quick] [--stage DIR] [--output DIR]

A figure that misses its goal is reported as it is. The exit status is 1 when a benchmark could not run.
"""
import argparse
import importlib
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
NAMES = ("call", "push")

sys.path.insert(0, str(ROOT / "bench"))

import figures  # noqa: E402
import report  # noqa: E402
from node import BenchError  # noqa: E402


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Runs benchmarks of Rhodes beside their rivals.")
    parser.add_argument("name", choices=[*NAMES, "all"], nargs="?", default="all")
    parser.add_argument("--quick", action="store_true", help="a few runs of the smaller cases: shows that it works, measures nothing")
    parser.add_argument("--stage", type=pathlib.Path, default=ROOT / "build" / "stage", help="tree with bin/rhodes (build/stage)")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "build" / "bench", help="folder for the results (build/bench)")
    return parser.parse_args()


def main() -> int:
    o = options()
    status = 0
    for name in NAMES if o.name == "all" else (o.name,):
        print(f"bench {name}: {importlib.import_module(name).__doc__.strip()}\n", flush=True)
        began = time.monotonic()
        try:
            cases = importlib.import_module(name).run(o.stage.resolve(), o.quick)
        except (BenchError, OSError, subprocess.SubprocessError) as error:
            print(f"bench {name}: {error}", file=sys.stderr)
            status = 1
            continue
        path = figures.write(o.output, name, cases)
        print(figures.table(cases))
        print(f"\nbench {name}: {len(cases)} cases in {time.monotonic() - began:.0f} s -> {path}\n", flush=True)
    page = report.draw(o.output)
    print(f"all figures: {page}")
    return status


if __name__ == "__main__":
    sys.exit(main())
