"""The figures, their table and their page; no process is started here."""
import json
import pathlib
import sys
import xml.dom.minidom

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import figures  # noqa: E402
import report  # noqa: E402


def test_quantiles_are_samples():
    samples = [float(n) for n in range(100, 0, -1)]
    assert figures.quantile(samples, 0.5) == 50
    assert figures.quantile(samples, 0.99) == 99
    assert figures.quantile(samples, 1) == 100
    assert figures.quantile([7.0], 0.99) == 7
    assert figures.quantile([1.0, 2.0], 0.5) == 1


def a_case(name="trip <64 B>", unit="us", better="lower"):
    rounds = [{"rhodes": [30.0, 40.0, 50.0], "pipe": [10.0, 10.0, 10.0]}, {"rhodes": [20.0], "pipe": [10.0]},
              {"rhodes": [60.0], "pipe": [10.0]}]
    return figures.case(name, unit, better, rounds)


def test_a_ratio_is_taken_round_by_round():
    case = a_case()
    assert case["ratio"] == {"pipe": {"median": 4.0, "min": 2.0, "max": 6.0}}
    assert case["rhodes"] == {"p50": 40.0, "p99": 60.0, "max": 60.0, "runs": 5}
    assert case["rivals"]["pipe"]["runs"] == 5


def test_results_have_the_agreed_form_and_a_table(tmp_path):
    path = figures.write(tmp_path, "call", [a_case()])
    result = json.loads(path.read_text())
    assert list(result) == ["bench", "machine", "cases"] and result["bench"] == "call" and "Linux" in result["machine"]
    assert list(result["cases"][0]) == ["case", "unit", "better", "rhodes", "rivals", "ratio"]
    lines = figures.table(result["cases"]).splitlines()
    assert len(lines) == 3 and lines[2].endswith("4 (2-6)")


def test_the_page_draws_every_case_and_nothing_from_elsewhere(tmp_path):
    figures.write(tmp_path, "call", [a_case(), a_case("rate", "MiB/s", "higher")])
    figures.write(tmp_path, "push", [a_case("edit & apply", "ms")])
    text = report.draw(tmp_path).read_text()
    assert text.count("<svg") == 3 and "trip &lt;64 B&gt;" in text and "edit &amp; apply" in text
    assert "http" not in text and "<script" not in text
    for svg in text.split("<svg")[1:]:
        xml.dom.minidom.parseString("<svg" + svg.partition("</svg>")[0] + "</svg>")


def test_no_results_are_said_and_other_files_are_refused(tmp_path):
    assert "make bench" in report.draw(tmp_path).read_text()
    for text in ("{}", "[]", "not json", '{"bench": "x", "machine": "m", "cases": [{}]}'):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(SystemExit, match="not the result of a benchmark"):
            report.draw(tmp_path)
