"""Figures: from samples to the JSON of a benchmark and to its table. Every figure stands beside its rivals and their ratio."""
from __future__ import annotations

import json
import math
import os
import pathlib
import platform
import statistics
import time


def quantile(samples: list[float], q: float) -> float:
    """The nearest-rank quantile: always one of the samples."""
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(q * len(ordered) - 1e-9) - 1)]


def summary(samples: list[float]) -> dict:
    return {"p50": figure(quantile(samples, 0.5)), "p99": figure(quantile(samples, 0.99)),
            "max": figure(max(samples)), "runs": len(samples)}


def figure(value: float) -> float:
    """Four significant digits: more would be noise."""
    return float(f"{value:.4g}")


def case(name: str, unit: str, better: str, rounds: list[dict[str, list[float]]]) -> dict:
    """One case. Each round has the samples of `rhodes` and of each rival, taken in turns; the ratio is of their medians."""
    rivals = [system for system in rounds[0] if system != "rhodes"]
    pooled = {system: [v for r in rounds for v in r[system]] for system in rounds[0]}
    ratios = {rival: [statistics.median(r["rhodes"]) / statistics.median(r[rival]) for r in rounds] for rival in rivals}
    return {"case": name, "unit": unit, "better": better, "rhodes": summary(pooled["rhodes"]),
            "rivals": {rival: summary(pooled[rival]) for rival in rivals},
            "ratio": {rival: {"median": figure(statistics.median(ratios[rival])), "min": figure(min(ratios[rival])),
                              "max": figure(max(ratios[rival]))} for rival in rivals}}


def machine() -> str:
    model = "unknown CPU"
    with open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return (f"{os.cpu_count()} x {model}, {memory:.0f} GiB, Linux {platform.release()}, load {os.getloadavg()[0]:.1f} at the "
            f"end, {time.strftime('%Y-%m-%d', time.gmtime())}")


def write(directory: pathlib.Path, bench: str, cases: list[dict]) -> pathlib.Path:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{bench}.json"
    text = json.dumps({"bench": bench, "machine": machine(), "cases": cases}, indent=1)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text + "\n")
    temporary.replace(path)
    return path


def table(cases: list[dict]) -> str:
    rows = [["case", "unit", "system", "p50", "p99", "max", "runs", "rhodes/rival (min-max)"]]
    for c in cases:
        rows.append([c["case"], c["unit"], "rhodes", *cells(c["rhodes"]), ""])
        for rival, values in c["rivals"].items():
            ratio = c["ratio"][rival]
            rows.append(["", "", rival, *cells(values), f"{ratio['median']:g} ({ratio['min']:g}-{ratio['max']:g})"])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    left = (0, 1, 2)
    return "\n".join("  ".join(cell.ljust(w) if i in left else cell.rjust(w)
                               for i, (cell, w) in enumerate(zip(row, widths))).rstrip() for row in rows)


def cells(values: dict) -> list[str]:
    return [f"{values['p50']:g}", f"{values['p99']:g}", f"{values['max']:g}", str(values["runs"])]
