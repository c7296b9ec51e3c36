"""The first session of the README is typed as it stands there, by a machine."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from conftest import PATIENCE, ROOT, SANITIZER, running


def session() -> list[tuple[str, list[str]]]:
    """Each command of the console block, and the lines that the README shows under it."""
    block = re.search(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), re.S).group(1)
    steps: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            steps.append((line[2:], []))
        else:
            steps[-1][1].append(line)
    return steps


def test_the_first_session_prints_what_the_readme_shows(rhodes):
    script = ["set -u", "exec 2>&1"]
    steps = session()
    assert not any("PYTHONPATH" in command for command, _ in steps)
    for number, (command, _) in enumerate(steps):
        command = command.replace('"$PWD/build/stage', f'"{rhodes.stage}')
        if command.endswith("&"):
            # A person is slower than a program's start.
            script += [f"({command[:-1]}) > /dev/null 2>&1 < /dev/null &",
                       "until rhodes agent list -o json | grep -q '\"state\": *\"ready\"'; do sleep 0.05; done"]
            command = "true"
        script.append(f"{command} || echo \"README: status $?\"; echo 'README: step {number}'")
    done = subprocess.run(["bash", "-c", "\n".join(script)], cwd=ROOT, env=rhodes.env, capture_output=True, text=True,
                          timeout=60 * PATIENCE)
    print(done.stdout, done.stderr)
    assert "README: status" not in done.stdout, done.stdout + done.stderr
    parts = re.split(r"README: step \d+\n", done.stdout)
    for (command, shown), printed in zip(steps, parts):
        if shown:
            assert printed.splitlines() == shown, command


def test_a_home_with_a_very_long_path_works_too(stage, long_home, write):
    from conftest import Rhodes
    with running(Rhodes(stage, long_home)) as center:
        center.ok("apply", "-f", pathlib.Path(ROOT, "docs/first-session/adder.yaml"))
        serving = center.start("run", "--as", "service/adder", "--", "/usr/bin/python3",
                               ROOT / "docs/first-session/adder.py")
        center.until_ready("service/adder")
        assert center.ok("call", "service/adder", "add", "40", "2").out.strip() == "42"
        serving.terminate()
        serving.communicate(timeout=20 * PATIENCE)


def test_two_homes_do_not_know_of_each_other(center, stage, tmp_path):
    from conftest import Rhodes
    other = Rhodes(stage, center.home.parent / "other")
    with running(other):
        other.ok("apply", "-f", pathlib.Path(ROOT, "docs/first-session/adder.yaml"))
        assert "adder" not in center.ok("get", "services").out
        assert "adder" in other.ok("get", "services").out
    assert center.ok("status").code == 0
    assert not os.path.exists(other.home / "center" / "center.sock") or other("status").code == 6


def example_served(center, folder, service, program, *words):
    """The example's service by its program until `rhodes run` of the words ended: what those printed."""
    center.ok("apply", "-f", folder / "manifest.yaml")
    serving = center.start("run", "--as", service, "--", *program)
    try:
        center.until_ready(service)
        return center.ok("run", *words, stdin="the cat and the dog and the bird").out
    finally:
        serving.terminate()
        serving.communicate(timeout=20 * PATIENCE)


@pytest.mark.skipif(bool(SANITIZER), reason="the example is built without a sanitizer")
def test_the_example_in_c_builds_and_runs_as_its_readme_says(center, stage, tmp_path):
    folder = shutil.copytree(ROOT / "languages/c/example", tmp_path / "an example", ignore=shutil.ignore_patterns("server", "client"))
    shown = (folder / "README.md").read_text().split("```")[3].lstrip("\n")
    env = dict(center.env, PKG_CONFIG_PATH=str(stage / "lib" / "pkgconfig"))
    subprocess.run(["make"], cwd=folder, env=env, check=True, capture_output=True, timeout=60)
    printed = example_served(center, folder, "service/statistics", [folder / "server"],
                             "--as", "application/report", "--", folder / "client", "3", "4", "5")
    assert printed == shown


def test_the_example_in_python_runs_as_its_page_says(center):
    folder = ROOT / "languages/python/example"
    printed = example_served(center, folder, "service/words", ["/usr/bin/python3", folder / "server.py"],
                             "--as", "application/reader", "--", "/usr/bin/python3", folder / "client.py")
    assert printed.splitlines()[:2] == ["    3 the", "    2 and"]
