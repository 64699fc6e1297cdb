"""Weights that were loaded for nothing."""

from __future__ import annotations

from typing import Any

from tests.probes.asking import asks
from tests.probes.running import FILE, source

from traindoctor.probing import Finding, NoOptions
from traindoctor.trace import Place, Trace, TransferRow
from traindoctor_probes.loaded_weights import examine

TEXT = """def setup():
    model = Net()
    model.load_state_dict(state, strict=False)
    model.apply(draw)


def other():
    model.apply(draw)
"""
LOAD = Place(FILE, 3, "setup", "model.load_state_dict(state, strict=False)")


def findings(text: str = TEXT, **facts: Any) -> list[Finding]:
    given = {
        "place": LOAD,
        "class_name": "Net",
        "num_given": 10,
        "num_taken": 10,
        "num_elements": 1000,
    }
    known = Trace(transfers=(TransferRow(**given | facts),), source=source(text))
    return list(examine(asks(read_source=known), NoOptions()))


def test_a_prefix_that_keeps_everything_out_is_taken_off_in_the_remedy() -> None:
    names = tuple(f"layers.{index}.weight" for index in range(10))
    (finding,) = findings(
        num_taken=0,
        missing=names,
        unexpected=tuple(f"module.{name}" for name in names),
        num_renamed=10,
        given_prefix="module.",
    )
    assert (finding.code, finding.location.line) == ("TD715", 3)
    assert 'removeprefix("module.")' in finding.remedies[0].after


def test_a_state_dict_that_was_filtered_until_nothing_was_left_is_found() -> None:
    (finding,) = findings(num_given=0, num_taken=0, missing=("head.weight",))
    assert "filtered out" in finding.message


def test_a_fresh_head_is_healthy() -> None:
    head = {"missing": ("head.weight", "head.bias"), "unexpected": ("fc.weight", "fc.bias")}
    assert findings(num_taken=8, **head) == []


def test_a_model_that_lacks_nothing_may_leave_names_over() -> None:
    assert findings(num_taken=0, unexpected=("x",), num_renamed=0) == []


def test_weights_that_are_drawn_after_loading_are_a_warning_at_the_line_that_draws() -> None:
    (finding,) = findings(overwritten=("a.weight", "b.weight"), num_overwritten=900)
    assert (finding.code, finding.location.line) == ("TD718", 4)
    assert [place.line for place in finding.also_at] == [3]


def test_what_another_function_draws_is_not_the_place() -> None:
    text = TEXT.replace("    model.apply(draw)\n\n", "    model.eval()\n\n", 1)
    (finding,) = findings(text, overwritten=("a.weight",), num_overwritten=900)
    assert finding.location.line == 3


def test_a_head_that_is_drawn_after_loading_is_healthy() -> None:
    assert findings(overwritten=("head.weight",), num_overwritten=100) == []
