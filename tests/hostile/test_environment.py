"""A full disk, closed streams, a folder that goes, signals: a report or one clear sentence."""

from __future__ import annotations

import os
import resource
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.hostile.commands import CODES, TOKEN, is_calm, left_behind, ran, started, valid
from tests.hostile.scripts import program
from tests.hostile.test_killed import SETUP, TRAINS

ENDINGS = (".trace", ".trace-wal", ".trace-shm")  # of what a later `report` tells
DOCTOR = f"{shlex.quote(sys.executable)} -m traindoctor"
CHECK = "check train.py:setup --select TD101"
WATCH = "watch train.py"


def in_shell(line: str, folder: Path) -> tuple[int, str]:
    """Run a line of bash in a folder with a training program; return its status and stderr."""
    (folder / "train.py").write_text(program("pass"))
    (folder / "temporary").mkdir()
    environment = os.environ | {"TMPDIR": str(folder / "temporary"), TOKEN: str(folder)}
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        cwd=folder,
        env=environment,
        capture_output=True,
        timeout=180,
        check=False,
    )
    return done.returncode, done.stderr.decode(errors="replace")


LINES = {
    # What is run, and what it ends with.
    f"{DOCTOR} {CHECK} >&-": 0,
    f"{DOCTOR} {CHECK} --report r.json <&- >&- 2>&-; code=$?; test -s r.json && exit $code": 0,
    f"{DOCTOR} {CHECK} > /dev/full": 2,
    f"{DOCTOR} {CHECK} > /dev/full 2>&1": 2,
    f"ln -s /dev/full r.json; {DOCTOR} {CHECK} --report r.json": 2,
    f"{DOCTOR} {CHECK} --report /proc/r.json": 2,
    f"{DOCTOR} {CHECK} -v 2>&1 | head -c 1": 0,
    f"({DOCTOR} {CHECK}; echo $? > code) | true; exit $(cat code)": 0,
    f"mkdir d; cd d; rmdir ../d; PYTHONSAFEPATH=1 {DOCTOR} check ../train.py:setup": 2,
    f"{DOCTOR} {WATCH} >&-": 0,
    f"{DOCTOR} {WATCH} <&- >&- 2>&-": 0,
    f"{DOCTOR} {WATCH} 2> /dev/full": 2,
    f"{DOCTOR} {WATCH} 2>&1 | head -c 1": 0,
    f"TMPDIR=/proc {DOCTOR} {WATCH} --trace t.trace": 0,
    f"{DOCTOR} {WATCH.replace('watch', 'watch --trace /proc/t.trace')}": 5,
    f"(ulimit -f 8; {DOCTOR} {WATCH})": 5,
    f"(ulimit -f 8; {DOCTOR} {CHECK})": 0,
    f"ln -s /tmp temporary/traindoctor-$(id -u); {DOCTOR} {WATCH}": 2,
}
QUICK = list(LINES)[1:2]


@pytest.mark.parametrize(
    "line", [pytest.param(x, marks=() if x in QUICK else pytest.mark.slow) for x in LINES]
)
def test_a_bad_world_is_a_report_or_a_sentence(line: str, tmp_path: Path) -> None:
    code, err = in_shell(line, tmp_path)
    assert is_calm(err), err
    assert "Traceback" not in err, err
    assert code == LINES[line], err
    assert left_behind(tmp_path) == []


@pytest.fixture
def small_disk(tmp_path: Path):
    """A folder with little room."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False)


@pytest.mark.slow
def test_a_disk_that_fills_up_costs_the_trace_and_not_the_run(
    small_disk: Path, tmp_path: Path
) -> None:
    (tmp_path / "train.py").write_text(TRAINS.format(workers=0, epochs=40))
    words = ("watch", "--trace", str(small_disk / "t.trace"), "train.py")
    code, _, err = ran(words, tmp_path)
    assert is_calm(err), err
    assert code in CODES, err


def limited() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


@pytest.mark.slow
@pytest.mark.parametrize("command", ["watch", "check"])
def test_files_that_cannot_grow_are_told(command: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(program("pass"))
    target = ("--report", "r.html", "train.py" if command == "watch" else "train.py:setup")
    code, _, err = ran((command, *target), tmp_path, preexec_fn=limited)
    assert is_calm(err), err
    assert code in CODES, err
    assert left_behind(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("command", ["watch", "check"])
@pytest.mark.parametrize(
    "signals", [(signal.SIGTERM,), (signal.SIGINT,), (signal.SIGINT, signal.SIGINT)]
)
@pytest.mark.parametrize("seconds", [0.3, 1.5, 4.0])
def test_a_signal_ends_everything(
    command: str, signals: tuple[int, ...], seconds: float, tmp_path: Path
) -> None:
    script, target = (TRAINS, "train.py") if command == "watch" else (SETUP, "train.py:setup")
    text = script.format(workers=0, epochs=10**6) if command == "watch" else script
    (tmp_path / "train.py").write_text(text)
    with started((command, target), tmp_path) as process:
        time.sleep(seconds)
        for number in signals:
            process.send_signal(number)
            time.sleep(0.5)
        _, err = process.communicate(timeout=120)
    text = err.decode(errors="replace")
    assert is_calm(text), text
    last = signals[0]
    assert process.returncode in {-last, 128 + last, *CODES}, text
    left = left_behind(tmp_path)
    assert [name for name in left if not name.endswith(ENDINGS)] == []


@pytest.mark.slow
def test_a_working_directory_that_goes_while_it_is_examined(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    deed = "__import__('shutil').rmtree(HERE)"
    (folder / "train.py").write_text(program(deed))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = os.environ | {"TMPDIR": str(temporary)}
    for words in (("check", "train.py:setup", "--format", "json"), ("watch", "train.py")):
        folder.mkdir(exist_ok=True)
        (folder / "train.py").write_text(program(deed))
        done = subprocess.run(
            [sys.executable, "-m", "traindoctor", *words],
            cwd=folder,
            env=environment,
            capture_output=True,
            timeout=180,
            check=False,
        )
        assert is_calm(done.stderr.decode()), done.stderr.decode()
        assert done.returncode in CODES
        if words[0] == "check":
            valid(done.stdout.decode())
