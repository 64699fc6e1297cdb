"""The scoreboard counts what was found, keeps a third apart, and goes on where it was ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.bank.cases import SEEDS, cases
from tests.bank.scoreboard import examine, kept
from tests.bank.table import page


def row(kind: str, rule: str, *roots: str, **facts: Any) -> dict[str, Any]:
    given = {
        "kind": kind,
        "name": f"{rule}-mlp",
        "rule": rule,
        "model": "mlp",
        "seed": 1,
        "is_held_out": False,
        "roots": list(roots),
        "alarms": list(roots),
        "line": 7,
        "lines": [],
        "error": "",
        "code": "new",
    }
    return given | facts


ROWS = [
    row("fault", "TD401", "TD401", lines=[7]),
    row("fault", "TD402", "TD402", "TD103", lines=[8]),
    row("fault", "TD403", "TD601"),
    row("fault", "TD404"),
    row("fault", "TD405", "TD405", is_held_out=True),
    row("pair", "TD201+TD806", "TD806", "TD201"),
    row("twin", "TD507"),
    row("sweep", "", "TD601", alarms=[]),
]


def test_each_count_is_of_what_it_says() -> None:
    text = page(ROWS, is_whole=True)
    lines = dict(line.strip("| ").split(" | ", 1) for line in text.splitlines() if "|" in line)
    assert lines["one fault: detected"].endswith("3 of 4 (75.0%) | 1 of 1 (100.0%)")
    assert lines["one fault: root cause exact"].endswith("2 of 4 (50.0%) | 1 of 1 (100.0%)")
    assert "| 1 of 4 (25.0%) |" in lines["one fault: exactly the root causes planted"]
    assert "1 of 2 (50.0%) | –" in lines["one fault: line right"]
    assert "1 of 1 (100.0%) | –" in lines["two faults: exactly the root causes planted"]
    assert "0 of 1 (0.0%)" in lines["healthy twins with an error or worse"]
    assert "1 of 1 (100.0%)" in lines["the zoo with a warning"]
    assert lines["TD402"] == "mlp | 1 | 0 | 0 of 1 | any model"


def test_what_is_wrong_is_listed_with_what_was_said() -> None:
    text = page(ROWS, is_whole=True)
    assert "`TD402-mlp` (seed 1): TD402, TD103 at line 7, not 8" in text
    assert "`TD404-mlp` (seed 1): nothing" in text
    assert "`TD401-mlp`" not in text


def test_only_what_the_same_code_found_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "kept.jsonl"
    pairs = (("a", "new"), ("b", "new"), ("a", "old"), ("c", "old"))
    found = [{"key": key, "code": code} for key, code in pairs]
    file.write_text("".join(json.dumps(one) + "\n" for one in found) + '{"key": "d", "co')
    assert set(kept(file, ["new"])) == {"a", "b"}
    both = kept(file, ["old", "new"])
    assert {key: one["code"] for key, one in both.items()} == {"a": "new", "b": "new", "c": "old"}


def test_the_page_says_which_code_found_it() -> None:
    assert "Found by the code with digest new.\n" in page(ROWS, is_whole=True)
    text = page([*ROWS, row("fault", "TD406", "TD406", code="old")], is_whole=True)
    assert "Found by the code with digest new; 1 by old.\n" in text


def test_cases_are_told_apart_and_a_third_of_the_programs_is_held_out_under_every_seed() -> None:
    every = list(cases())
    assert len({case.key for case in every}) == len(every)
    by_name: dict[str, set[bool]] = {}
    for case in every:
        by_name.setdefault(case.name, set()).add(case.is_held_out)
    assert all(len(parts) == 1 for parts in by_name.values())
    held = sum(parts == {True} for parts in by_name.values())
    assert 0.25 < held / len(by_name) < 0.42
    assert {case.seed for case in every if case.kind == "fault"} == set(SEEDS)


def test_a_case_is_examined_from_its_text() -> None:
    case = next(c for c in cases() if c.name == "TD401-mlp-setup" and c.seed == SEEDS[1])
    found = examine(case)
    assert (found["roots"], found["error"]) == (["TD401"], "")
    assert found["line"] in found["lines"]
