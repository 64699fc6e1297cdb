"""Traces of runs that went on from each other are one view, and judged together."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

COMMAND = (sys.executable, "-m", "traindoctor")
PROGRAM = Path(__file__).with_name("resumed.py").read_text()
OPTIMIZER = '    optimizer.load_state_dict(checkpoint["optimizer"])\n'
SCHEDULE = '    scheduler.load_state_dict(checkpoint["scheduler"])\n'


def doctor(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words], capture_output=True, cwd=folder, timeout=300, text=True, check=False
    )


def joined(folder: Path, text: str) -> dict[str, Any]:
    """Run a script twice, and return the report on both."""
    (folder / "train.py").write_text(text)
    for name in ("one.trace", "two.trace"):
        done = doctor(folder, "watch", "-q", "--exit-zero", "--trace", name, "train.py", "4")
        assert done.returncode == 0, done.stderr
    done = doctor(folder, "report", "one.trace", "two.trace", "-q", "--report", "both.json")
    assert "Traceback" not in done.stderr
    report: dict[str, Any] = json.loads((folder / "both.json").read_text())
    return report


@pytest.mark.slow
def test_a_healthy_run_goes_on_in_one_view(tmp_path: Path) -> None:
    report = joined(tmp_path, PROGRAM)
    assert (report["verdict"], report["findings"]) == ("healthy", [])
    (run,) = (item for item in report["experiments"] if item["name"] == "watched-run")
    assert run["steps"] == 96
    assert report["measurements"]["steps_of_runs"] == [48, 48]
    curve = report["measurements"]["run_curve"]
    assert curve["x"] == list(range(96))
    assert len(curve["loss"]) == 96
    assert curve["loss"][48] < 0.8 * curve["loss"][0], "it went on from there"


@pytest.mark.slow
def test_a_schedule_that_begins_anew_is_told_from_both(tmp_path: Path) -> None:
    report = joined(tmp_path, PROGRAM.replace(SCHEDULE, ""))
    (finding,) = report["findings"]
    assert finding["code"] == "TD407"
    assert finding["location"]["line"] == 16
    values = {item["label"]: item["value"] for item in finding["evidence"]}
    assert values["steps of the run before"] == 48
    alone = doctor(tmp_path, "report", "two.trace", "-q", "--report", "alone.json")
    assert alone.returncode == 0, "one trace does not tell it"


@pytest.mark.slow
def test_a_lost_state_is_told_by_the_run_before(tmp_path: Path) -> None:
    text = PROGRAM.replace(OPTIMIZER, "").replace(SCHEDULE, "").replace("scheduler.step()", "")
    report = joined(tmp_path, text)
    lost = [f for f in report["findings"] if f["code"] == "TD417"]
    assert len(lost) == 1
    labels = {item["label"]: item for item in lost[0]["evidence"]}
    assert labels["steps of the run before"]["value"] == 48
    assert "at which the run before ended" in labels["first loss"]["expected"]


@pytest.mark.parametrize(
    ("names", "sentence"),
    [(["a", "a"], "a trace is named twice"), (["a", "b"], "only runs of one script are joined")],
)
def test_what_does_not_belong_together_is_not_joined(
    tmp_path: Path, names: list[str], sentence: str
) -> None:
    from traindoctor.trace.storage import TraceFile
    from traindoctor.watching.record import RUN

    for name in "ab":
        file = TraceFile(tmp_path / name)
        file.put_facts(RUN, {"reference": f"{name}.py"})
        file.close()
    done = doctor(tmp_path, "report", *names)
    assert done.returncode == 2
    assert sentence in done.stderr
