#!/usr/bin/env python3
"""Draws all build/bench/NAME.json into one page, build/bench/index.html: SVG inside HTML, no script, nothing from elsewhere.

    bench/report.py [DIR]

Each case is a row of bars on a logarithmic scale: a bar ends at p50 and its whisker at p99. The scale is common to the cases of one
unit, so that bars compare down the page.
"""
from __future__ import annotations

import html
import json
import math
import pathlib
import sys

COLOURS = ("#0b6e99", "#b5651d", "#6b7a3a", "#7d5ba6")  # rhodes first
BAR, GAP, LABEL, WIDTH, NUMBERS = 14, 12, 250, 900, 230

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1d2129; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
p.machine { color: #59616e; } svg { width: 100%; height: auto; } svg text { font: 12px system-ui, sans-serif; fill: #1d2129; }
svg .tick { stroke: #d8dce2; } svg .quiet { fill: #59616e; }
.key span { display: inline-block; width: .8em; height: .8em; margin: 0 .3em 0 1em; }
@media (prefers-color-scheme: dark) { body { background: #16191e; color: #dfe3ea; } svg text { fill: #dfe3ea; }
 svg .quiet, p.machine { fill: #98a1ae; color: #98a1ae; } svg .tick { stroke: #343a44; } }
"""


def systems(case: dict) -> list[tuple[str, dict]]:
    return [("rhodes", case["rhodes"]), *case["rivals"].items()]


class Scale:
    """Logarithmic, from the power of ten below the smallest value to the largest one."""

    def __init__(self, values: list[float]):
        good = [value for value in values if value > 0] or [1.0]
        self.low = math.floor(math.log10(min(good)))
        self.high = max(self.low + 1, math.ceil(math.log10(max(good))))
        self.width = WIDTH - LABEL - NUMBERS

    def x(self, value: float) -> float:
        position = (math.log10(value) - self.low) / (self.high - self.low) if value > 0 else 0
        return LABEL + max(0.0, min(1.0, position)) * self.width

    def ticks(self) -> list[float]:
        return [10.0 ** power for power in range(self.low, self.high + 1)]


def text(x: float, y: float, words: str, style: str = "", anchor: str = "start") -> str:
    kind = f' class="{style}"' if style else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{kind}>{html.escape(words)}</text>'


def bars(case: dict, scale: Scale, colours: dict[str, str], top: float) -> tuple[list[str], float]:
    out = [text(0, top + BAR - 3, case["case"])]
    for name, values in systems(case):
        end, tail, middle = scale.x(values["p50"]), scale.x(values["p99"]), top + BAR / 2
        ratio = case["ratio"].get(name)
        note = f"{values['p50']:g} (p99 {values['p99']:g})"
        title = f"{name}: p50 {values['p50']:g}, p99 {values['p99']:g}, max {values['max']:g} {case['unit']}, {values['runs']} runs"
        if ratio:
            note += f"  ×{ratio['median']:g}"
            title += f"; rhodes/{name} {ratio['median']:g} ({ratio['min']:g} to {ratio['max']:g})"
        out.append(f'<g><title>{html.escape(title)}</title><rect x="{LABEL}" y="{top + 1:.1f}" width="{max(1.0, end - LABEL):.1f}" '
                   f'height="{BAR - 2}" fill="{colours[name]}"/><line x1="{end:.1f}" x2="{tail:.1f}" y1="{middle:.1f}" '
                   f'y2="{middle:.1f}" stroke="{colours[name]}" stroke-width="2"/></g>')
        out.append(text(WIDTH - NUMBERS + 10, top + BAR - 3, note, "quiet"))
        top += BAR
    return out, top + GAP


def chart(cases: list[dict], colours: dict[str, str]) -> str:
    scale = Scale([values[key] for case in cases for _, values in systems(case) for key in ("p50", "p99")])
    out, top = [], 24.0
    for case in cases:
        rows, top = bars(case, scale, colours, top)
        out += rows
    unit, better = cases[0]["unit"], cases[0]["better"]
    head = [text(0, 12, f"{unit}, {better} is better", "quiet")]
    for tick in scale.ticks():
        x = scale.x(tick)
        head.append(f'<line class="tick" x1="{x:.1f}" x2="{x:.1f}" y1="18" y2="{top:.1f}"/>')
        head.append(text(x, 12, f"{tick:g}", "quiet", "middle"))
    return f'<svg viewBox="0 0 {WIDTH} {top:.0f}" role="img" aria-label="{html.escape(unit)}">{"".join(head + out)}</svg>'


def section(bench: dict) -> str:
    names = list(dict.fromkeys(name for case in bench["cases"] for name, _ in systems(case)))
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    key = "".join(f'<span style="background:{colours[name]}"></span>{html.escape(name)}' for name in names)
    units = dict.fromkeys((case["unit"], case["better"]) for case in bench["cases"])
    charts = "".join(chart([c for c in bench["cases"] if (c["unit"], c["better"]) == unit], colours) for unit in units)
    return (f'<h2 id="{html.escape(bench["bench"])}">{html.escape(bench["bench"])}</h2><p class="machine">'
            f'{html.escape(bench["machine"])}</p><p class="key">{key}</p>{charts}')


def draw(directory: pathlib.Path) -> pathlib.Path:
    """Writes the page for all results in the directory and returns its path. A file that is no result is refused."""
    sections = []
    for path in sorted(directory.glob("*.json")):
        try:
            sections.append(section(json.loads(path.read_text())))
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise SystemExit(f"{path}: not the result of a benchmark: {error!r}") from None
    page = directory / "index.html"
    directory.mkdir(parents=True, exist_ok=True)
    body = "".join(sections) or "<p>No results yet: <code>make bench</code>.</p>"
    page.write_text('<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
                    f"<title>Rhodes: benchmarks</title><style>{STYLE}</style><h1>Rhodes: benchmarks</h1>"
                    "<p>A bar ends at the median (p50) and its line at p99, on a logarithmic scale. × is rhodes divided by the rival, the median "
                    "over rounds that were measured in turns. Hold the pointer over a bar for the rest.</p>"
                    f"{body}</html>\n")
    return page


if __name__ == "__main__":
    root = pathlib.Path(__file__).resolve().parent.parent
    print(draw(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else root / "build" / "bench"))
