"""Measured tables go to the page: each in the place of the one before, the rest as it was."""

from __future__ import annotations

from benchmarks.__main__ import renewed
from benchmarks.sheet import Sheet

PAGE = (
    "# What it costs\n\nHow.\n\n## A step\n\n| a |\n| --- |\n| 1 |\n\n*May.*\n\n## Ranks\n\nText.\n"
)


def test_a_table_takes_the_place_of_the_one_before():
    sheet = Sheet("A step", ("a", "b"), [("2", "3")], ["*June.*"])

    assert renewed(PAGE, sheet) == (
        "# What it costs\n\nHow.\n\n## A step\n\n| a | b |\n| --- | --- |\n| 2 | 3 |\n\n*June.*\n\n"
        "## Ranks\n\nText.\n"
    )


def test_a_new_table_stands_last_and_changes_nothing_else():
    sheet = Sheet("Growth", ("a",), [("2",)])

    page = renewed(PAGE, sheet)
    assert page == f"{PAGE}\n## Growth\n\n| a |\n| --- |\n| 2 |\n"
    assert renewed(page, sheet) == page
