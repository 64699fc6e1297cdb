"""The healthy scripts are healthy when they are simply run: each ends well and learns."""

from __future__ import annotations

import pytest
from tests.watch.catalog import ALL, SCRIPTS, Script
from tests.watch.running import run


def parameters() -> list[object]:
    """Make one test of each script; most are slow."""
    return [
        pytest.param(script, id=script.name, marks=[] if script.is_quick else [pytest.mark.slow])
        for script in ALL
    ]


@pytest.mark.parametrize("script", parameters())
def test_a_healthy_script_ends_well_and_learns(script: Script, tmp_path):
    for package in script.needs:
        pytest.importorskip(package)

    ran = run(script, SCRIPTS, tmp_path)

    assert ran.status == 0, ran.printed[-3000:]
    assert script.has_learned(ran.printed), script.numbers(ran.printed)


def test_no_script_is_left_out():
    files = {str(path.relative_to(SCRIPTS)) for path in SCRIPTS.rglob("*.py")}
    helpers = {"speech_data.py", "ranker/__init__.py", "ranker/data.py", "ranker/model.py"}

    assert files - helpers == {script.file for script in ALL}
    assert len(ALL) >= 32


def test_no_script_knows_who_watches():
    for path in SCRIPTS.rglob("*.py"):
        text = path.read_text().lower()
        assert "traindoctor" not in text, path
        assert "TD" not in path.read_text(), path
