"""Programs that end their process, or treat it badly: a report or a sentence, and nothing stays."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.hostile.commands import CODES, is_calm, left_behind, ran, valid
from tests.hostile.scripts import DEEDS, ENDLESS, program

QUICK = ("os._exit",)
# What the interpreter itself says of such a program, whoever runs it.
OWN_CODES = {"SIGKILL": -9, "SIGTERM": -15, "abort": -6, "KeyboardInterrupt": -2}


def cases(names: dict[str, str]) -> list[object]:
    return [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in names]


def written(folder: Path, deed: str) -> None:
    (folder / "gone").mkdir()
    (folder / "train.py").write_text(program(deed))


@pytest.mark.slow
@pytest.mark.parametrize("name", DEEDS)
def test_a_factory_that_treats_its_process_badly_is_reported(name: str, tmp_path: Path) -> None:
    written(tmp_path, DEEDS[name])
    words = ("check", "train.py:setup", "--select", "TD101,TD201", "--format", "json")
    code, out, err = ran((*words, "--timeout", "20"), tmp_path)
    assert is_calm(err), err
    assert code in CODES, err
    valid(out)
    assert left_behind(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ENDLESS)
def test_a_factory_that_hangs_is_reported(name: str, tmp_path: Path) -> None:
    written(tmp_path, ENDLESS[name])
    words = ("check", "train.py:setup", "--select", "TD101", "--format", "json")
    code, out, err = ran((*words, "--timeout", "5"), tmp_path)
    assert (code, is_calm(err)) == (5, True), err
    assert "gave no sign of life" in str(valid(out)["probes"])
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("name", cases(DEEDS))
def test_a_script_that_treats_its_process_badly_is_reported(name: str, tmp_path: Path) -> None:
    written(tmp_path, DEEDS[name])
    code, _, err = ran(("watch", "--report", "report.json", "train.py"), tmp_path)
    assert is_calm(err), err
    assert code in CODES | {3} or code == OWN_CODES.get(name), err
    report = valid((tmp_path / "report.json").read_text())
    assert report["target"]["kind"] in ("script", "factory")
    assert [left for left in left_behind(tmp_path) if "sleep" not in left] == []
