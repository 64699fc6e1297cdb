"""What CI services read: the action runs as written, and the documented jobs parse."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def step(name: str) -> dict:
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    return next(step for step in action["runs"]["steps"] if step["name"] == name)


def test_the_action_examines_annotates_and_leaves_its_reports(tmp_path):
    (tmp_path / "bin").mkdir()
    launcher = tmp_path / "bin" / "traindoctor"
    launcher.write_text(f'#!/bin/sh\nexec {sys.executable} -m traindoctor "$@"\n')
    launcher.chmod(0o755)
    (tmp_path / "train.py").write_text(
        "def train(model, loader, optimizer):\n    for x in loader:\n"
        "        model(x).backward()\n        optimizer.step()\n"
    )
    given = {"COMMAND": "lint", "TARGET": "train.py", "ARGUMENTS": "", "FOLDER": "kept"}
    assert set(step("Examine")["env"]) == set(given)
    environment = {
        **os.environ,
        **given,
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    bash = shutil.which("bash") or "bash"

    ended = subprocess.run(
        [bash, "-e", "-o", "pipefail", "-c", step("Examine")["run"]],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 1, ended.stderr
    assert ended.stdout.startswith("::warning file=train.py,line=4,")
    kept = sorted(path.name for path in (tmp_path / "kept").iterdir())
    assert kept == ["report.html", "report.json", "report.sarif", "report.xml"]


def test_inputs_reach_the_shell_as_variables_and_never_as_text_of_the_script():
    for name in ("Install", "Examine"):
        assert "${{" not in step(name)["run"]


def test_ci_runs_commands_there_are_on_each_python_that_is_declared():
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    jobs = yaml.safe_load(text)["jobs"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    declared = re.findall(
        r'"Programming Language :: Python :: (3\.\d+)"',
        (ROOT / "pyproject.toml").read_text("utf-8"),
    )

    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert {"make docs", "make lint", "make release"} < set(commands)
    for command in commands:
        assert re.search(rf"^{command.split()[1]}:", makefile, re.MULTILINE), command
    assert [row["python"] for row in jobs["test"]["strategy"]["matrix"]["include"]] == declared


def test_the_documented_jobs_are_yaml_and_name_the_hook_there_is():
    text = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    jobs = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    inputs = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))["inputs"]

    github, gitlab, pre_commit = jobs
    used = github["jobs"]["training"]["steps"][-1]["with"]
    assert set(used) <= set(inputs)
    assert "report.xml" in gitlab["traindoctor"]["script"][-1]
    assert pre_commit["repos"][0]["hooks"][0]["id"] == hooks[0]["id"]
