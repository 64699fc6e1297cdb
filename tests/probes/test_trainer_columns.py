"""Dropped columns are a fault where the loss is another one with them, or comes to be at all."""

from __future__ import annotations

import math

from tests.probes.asking import FACTORY, FORWARD, LINE, asks

from traindoctor.probing import Finding, NoOptions, Severity
from traindoctor.trace import EvaluationRow, ExceptionRow, SetupRow, SourceRow, Trace
from traindoctor_probes.trainer_columns import examine

ARGUMENTS = "def setup():\n    args = TrainingArguments(output_dir='out')\n"
NAMES_NOTHING = ("args", "kwargs")


def found(
    losses: dict[str, float | str], forward: tuple[str, ...] = ("features",)
) -> list[Finding]:
    setup = SetupRow(
        kind="Trainer",
        forward_parameters=forward,
        forward_takes_kwargs=forward == NAMES_NOTHING,
        forward_place=FORWARD,
        factory=FACTORY,
    )
    rows = tuple(
        EvaluationRow(label=label, value=math.nan, detail=value)
        if isinstance(value, str)
        else EvaluationRow(label=label, value=value)
        for label, value in losses.items()
    )
    tried = Trace(
        setup=setup,
        evaluations=rows,
        facts={"columns": ("features", "weight", "index"), "dropped": ("weight", "index")},
    )
    known = Trace(setup=setup, source=(SourceRow(file="/user/train.py", text=ARGUMENTS),))
    return list(examine(asks(read_source=known, all_columns=tried), NoOptions()))


def test_a_weight_that_changes_the_loss_is_an_error_at_the_arguments() -> None:
    (finding,) = found(
        {"as it is": 2.0, "with all": 1.5, "without weight": 2.0, "without index": 1.5}
    )
    assert (finding.code, finding.severity) == ("TD008", Severity.ERROR)
    assert finding.title == "The Trainer drops weight, and the loss needs it"
    assert (finding.location.file, finding.location.line) == ("/user/train.py", 2)


def test_a_forward_that_names_nothing_loses_everything_and_is_pointed_at() -> None:
    (finding,) = found({"as it is": "KeyError: 'features'", "with all": 1.5}, NAMES_NOTHING)
    assert finding.severity is Severity.CRITICAL
    assert finding.location.line == FORWARD.line
    assert finding.quote == "KeyError: 'features'"


def test_columns_that_the_forward_refuses_are_rightly_dropped() -> None:
    assert found({"as it is": 2.0, "with all": "TypeError: unexpected keyword"}) == []


def test_columns_without_which_the_loss_is_the_same_have_no_use() -> None:
    assert found({"as it is": 2.0, "with all": 2.0}) == []


def test_a_loss_that_is_nan_either_way_has_another_cause() -> None:
    assert found({"as it is": math.nan, "with all": math.nan}) == []


def test_where_nothing_is_dropped_nothing_is_said() -> None:
    assert found({}) == []


def watched(message: str) -> list[Finding]:
    """Return what is found in a script that a KeyError ended."""
    setup = SetupRow(kind="script", factory=FACTORY, forward_place=FORWARD)
    row = ExceptionRow(phase="train_loop", type_name="KeyError", message=message, place=LINE)
    run = Trace(
        setup=setup,
        exceptions=(row,),
        facts={"columns": ("features", "weight"), "dropped": ("weight",)},
    )
    known = Trace(setup=setup, source=(SourceRow(file="/user/train.py", text=ARGUMENTS),))
    return list(examine(asks(read_source=known, short_run=run), NoOptions()))


def test_a_watched_collator_that_asks_for_a_dropped_column_is_told_so() -> None:
    (finding,) = watched("'weight'")
    assert (finding.code, finding.severity) == ("TD008", Severity.CRITICAL)
    assert (finding.location.line, finding.also_at[0].line) == (2, LINE.line)


def test_a_watched_collator_that_asks_for_what_nobody_had_is_another_fault() -> None:
    assert watched("'wieght'") == []
