"""The commands that look at one thing: a view of their own over the same engine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PATIENTS = Path(__file__).with_name("patients.py")


def doctor(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "traindoctor", *words],
        capture_output=True,
        cwd=folder,
        timeout=120,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("steps", "--batches", "4"), "4 batches, 4 backward passes, 4 optimizer steps"),
        pytest.param(("backward", "--batches", "3"), "its own batch", marks=pytest.mark.slow),
        pytest.param(("batch",), "list of 8 for Patient", marks=pytest.mark.slow),
        pytest.param(("timing",), "samples/s is the bound", marks=pytest.mark.slow),
        pytest.param(
            ("timing", "--samples", "64", "--seconds", "60"),
            "64 samples in 60 s",
            marks=pytest.mark.slow,
        ),
        pytest.param(("timing", "--seconds", "60"), "60 s suffice for", marks=pytest.mark.slow),
    ],
)
def test_a_healthy_target_is_shown_and_ends_with_zero(
    tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    command, *rest = words
    done = doctor(tmp_path, command, f"{PATIENTS}:setup", *rest)
    assert (done.returncode, done.stderr) == (0, "")
    assert says in done.stdout


@pytest.mark.slow
def test_a_log_that_is_too_good_ends_with_one_and_says_what_is_plausible(tmp_path: Path) -> None:
    claim = ("--samples", "1000000000", "--epochs", "5", "--seconds", "1")
    done = doctor(tmp_path, "timing", f"{PATIENTS}:setup", *claim)
    assert done.returncode == 1
    assert "TD501 faster-than-possible" in done.stdout
    text = " ".join(done.stdout.split())
    assert "would be plausible" in text
    assert "--samples 1000000000 --epochs 5 --seconds 1.0 --select TD501" in text


def test_a_run_of_no_time_is_no_claim(tmp_path: Path) -> None:
    done = doctor(tmp_path, "timing", f"{PATIENTS}:setup", "--seconds", "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no run takes no time" in done.stderr
