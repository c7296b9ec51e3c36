"""The scenarios' fixtures (a stage, a home, a center that is gone afterwards), with a Python service and callers on top."""
import importlib.util
import pathlib
import sys
import textwrap

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from signatures import SIGNATURES, TYPES  # noqa: E402

_spec = importlib.util.spec_from_file_location("scenario_fixtures", HERE.parents[2] / "test" / "scenario" / "conftest.py")
scenario = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(scenario)
stage, home, rhodes, center, time_limit = scenario.stage, scenario.home, scenario.rhodes, scenario.center, scenario.time_limit

PYTHON = "/usr/bin/python3"


def documents():
    return [
        {"apiVersion": "rhodes/v1", "kind": "Service", "metadata": {"name": "py"}, "spec": {
            "types": TYPES, "provides": [{"function": text} for text in SIGNATURES],
            "run": {"exec": [PYTHON, str(HERE / "server.py")], "restart": "always"}}},
        {"apiVersion": "rhodes/v1", "kind": "Application", "metadata": {"name": "caller"}, "spec": {
            "types": TYPES, "calls": [{"to": "service/py", "protocol": "shm", "timeout": "3s"}]}},
        {"apiVersion": "rhodes/v1", "kind": "Service", "metadata": {"name": "other"}, "spec": {
            "provides": [{"function": "f: func() -> u32"}]}},
    ]


class Callers:
    """callers(code) runs the code as application/caller, inside a session, and wants it to end well."""

    def __init__(self, rhodes):
        self.rhodes = rhodes

    def command(self, code):
        program = "import json, os, signal, sys, threading, time\nimport rhodes\n" \
                  "with rhodes.open() as session:\n    py = session.bind('service/py')\n" \
                  + textwrap.indent(textwrap.dedent(code), "    ")
        return ["run", "--as", "application/caller", "--", PYTHON, "-c", program]

    def __call__(self, code):
        return self.rhodes.ok(*self.command(code), seconds=60).out

    def start(self, code):
        return self.rhodes.start(*self.command(code))


@pytest.fixture
def callers(center):
    status, answer, _ = center.rest("POST", "/v1/apply", {"documents": documents()})
    assert status == 200, answer
    center.until_ready("service/py")
    return Callers(center)
