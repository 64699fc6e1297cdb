"""The whole line, from a shell's point of view: real processes, real torch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

PATIENTS = Path(__file__).with_name("patients.py")
SCHEMA = json.loads(files("traindoctor.report").joinpath("schema.json").read_text())
COMMAND = (sys.executable, "-m", "traindoctor")
# A rule whose probe takes one step, so that a death is met once and soon.
QUICK = ("--select", "TD101")
TIMEOUT = "8"  # torch itself needs seconds for its first step on a busy machine


def doctor(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words], capture_output=True, cwd=folder, timeout=120, text=True, check=False
    )


def examined(*words: str, folder: Path) -> tuple[int, dict, str]:
    """Check and return the exit code, the report, which fits its schema, and stderr."""
    done = doctor("check", f"{PATIENTS}:setup", *words, "--format", "json", folder=folder)
    report = json.loads(done.stdout)
    jsonschema.validate(report, SCHEMA)
    return done.returncode, report, done.stderr


def line_of(what: str) -> int:
    lines = PATIENTS.read_text().splitlines()
    return next(n for n, line in enumerate(lines, 1) if line.endswith(f"# line of {what}"))


def test_a_healthy_target_ends_with_zero_and_an_empty_stderr(tmp_path):
    code, report, err = examined(folder=tmp_path)

    assert (code, report["verdict"], err) == (0, "healthy", "")
    assert report["target"]["model"] == {"class": "Patient", "parameters": 10, "trainable": 10}


@pytest.mark.parametrize(
    ("does", "cause"),
    [
        ("segfault", "killed by signal 11 (SIGSEGV)"),
        pytest.param("leave", "called os._exit(3)", marks=pytest.mark.slow),
        pytest.param("shoot", "sent itself signal 9 (SIGKILL)", marks=pytest.mark.slow),
        ("loop", f"gave no sign of life for {TIMEOUT} s"),
    ],
)
def test_a_death_in_user_code_leaves_a_report_that_names_it(tmp_path, does, cause):
    arguments = ("--arg", f"does={does}", "--timeout", TIMEOUT)

    code, report, _ = examined(*arguments, *QUICK, folder=tmp_path)

    broken = [probe for probe in report["probes"] if probe["status"] == "errored"]
    where = f"{PATIENTS}:{line_of(does)} in forward"
    assert code == 5
    assert report["verdict"] == "inconclusive"
    assert broken[0]["reason"].startswith(f"{cause} at {where}, while `")
    assert {probe["status"] for probe in report["probes"]} <= {"errored", "skipped"}


@pytest.mark.parametrize(
    ("does", "cause"),
    [
        ("segfault", "killed by signal 11 (SIGSEGV)"),
        pytest.param("loop", f"gave no sign of life for {TIMEOUT} s", marks=pytest.mark.slow),
    ],
)
def test_a_factory_that_dies_ends_with_two_and_a_report(tmp_path, does, cause):
    arguments = ("--arg", f"factory_does={does}", "--timeout", TIMEOUT)

    code, report, err = examined(*arguments, folder=tmp_path)

    where = f"{PATIENTS}:{line_of('factory ' + does)} in setup"
    assert code == 2
    assert err == f"traindoctor: the target could not be loaded: {cause} at {where}\n"
    assert {probe["status"] for probe in report["probes"]} == {"skipped"}


@pytest.mark.slow
def test_output_of_user_code_stays_out_of_ours(tmp_path):
    code, report, err = examined("--arg", "does=flood", *QUICK, folder=tmp_path)

    assert (code, report["findings"], err) == (0, [], "")


@pytest.mark.slow
def test_verbose_passes_the_output_of_user_code_on(tmp_path):
    code, _, err = examined("--arg", "does=flood", "-v", *QUICK, folder=tmp_path)

    assert code == 0
    assert "rubbish" in err


@pytest.mark.slow
def test_user_code_that_asks_a_question_gets_no_answer(tmp_path):
    _, report, _ = examined("--arg", "does=ask", *QUICK, folder=tmp_path)

    assert f"EOFError at {PATIENTS}:{line_of('ask')}" in json.dumps(report)


def test_a_target_that_is_not_there_is_one_sentence_and_a_report(tmp_path):
    done = doctor("check", "none.py:setup", "--report", "report.json", folder=tmp_path)

    assert (done.returncode, done.stdout) == (2, "")
    assert "none.py" in done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads((tmp_path / "report.json").read_text())["verdict"] == "inconclusive"


def test_output_and_reports_go_to_files_and_stdout_stays_empty(tmp_path):
    words = ("--output", "out.json", "--report", "a.txt", "--report", "b.json", *QUICK)

    done = doctor("check", f"{PATIENTS}:setup", *words, folder=tmp_path)

    assert (done.returncode, done.stdout) == (0, "")
    assert json.loads((tmp_path / "out.json").read_text())["findings"] == []
    assert (tmp_path / "a.txt").read_text().startswith("traindoctor check ")
    assert (tmp_path / "b.json").read_text() == (tmp_path / "out.json").read_text()


@pytest.mark.slow
def test_one_rule_selected_and_quiet_proves_a_fix_in_one_line(tmp_path):
    done = doctor("check", f"{PATIENTS}:setup", "--select", "TD401", "-q", folder=tmp_path)

    assert done.stdout == "Nothing found by 1 probe; the others did not run.\n"
    assert (done.returncode, done.stderr) == (0, "")


def test_gradflow_prints_one_row_a_module(tmp_path):
    done = doctor("gradflow", f"{PATIENTS}:setup", "--batches", "3", folder=tmp_path)

    assert done.returncode == 0
    assert "\nlayer " in done.stdout


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_to_the_command_line_leaves_no_process_and_no_file(tmp_path, number, code):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job's is ignored
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process = subprocess.Popen(
        [*COMMAND, "check", f"{PATIENTS}:setup", "--arg", "factory_does=loop"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(temporary)},
    )
    worker = awaited(lambda: children_of(process.pid))[0]
    time.sleep(1)

    process.send_signal(number)
    process.communicate(timeout=30)

    assert process.returncode == code
    assert not Path(f"/proc/{worker}").exists()
    assert list(temporary.iterdir()) == []


def test_a_worker_does_not_outlive_a_command_line_that_was_killed(tmp_path):
    process = subprocess.Popen(
        [*COMMAND, "check", f"{PATIENTS}:setup", "--arg", "factory_does=loop"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    worker = awaited(lambda: children_of(process.pid))[0]
    time.sleep(3)

    process.kill()
    process.wait()

    awaited(lambda: not is_alive(worker))


def awaited(condition, seconds: float = 30.0):
    """Return what a condition gives once it is true."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return result


def children_of(parent: int) -> list[int]:
    text = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    return [int(word) for word in text.split()]


def is_alive(process: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return False
