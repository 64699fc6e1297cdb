"""The planted faults are what the table says they are."""

from __future__ import annotations

from collections import Counter

import pytest
from tests.watch.breakages import BREAKAGES
from tests.watch.build import Breakage, build, edited, numbers
from tests.watch.catalog import ALL
from tests.watch.running import run

NAMES = [breakage.name for breakage in BREAKAGES]


@pytest.mark.parametrize("breakage", BREAKAGES, ids=NAMES)
def test_an_edit_fits_its_script(breakage: Breakage):
    text = edited(breakage)

    assert len(numbers(breakage, text)) == len(breakage.lines)
    compile(text, breakage.edited_file, "exec")


def test_every_script_is_broken_in_at_least_three_ways():
    ways = Counter(breakage.script for breakage in BREAKAGES)

    assert {script.name for script in ALL} == set(ways)
    assert min(ways.values()) >= 3
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.slow
@pytest.mark.parametrize("breakage", BREAKAGES, ids=NAMES)
def test_a_broken_script_shows_what_the_table_says(breakage: Breakage, tmp_path):
    built = build(breakage, tmp_path / "scripts")
    for package in built.script.needs:
        pytest.importorskip(package)

    ran = run(built.script, built.folder, tmp_path / "work")

    assert ran.status == breakage.status, ran.printed[-3000:]
    assert built.script.has_learned(ran.printed) == breakage.learns
