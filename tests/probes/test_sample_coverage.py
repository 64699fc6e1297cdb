"""A batch that no backward pass goes through is missing, unless it was left out on purpose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from tests.probes.asking import FACTORY, asks

from traindoctor.probing import Confidence, Finding, NoOptions, Severity
from traindoctor.trace import (
    BackwardRow,
    BatchRow,
    ExceptionRow,
    HandledRow,
    Place,
    SetupRow,
    SourceRow,
    Trace,
)
from traindoctor_probes.sample_coverage import examine

FILE = "/user/train.py"
TEXT = """
def train(model, loader, optimizer):
    for index, batch in enumerate(loader):
        loss = model(batch)
        if index % 4:
            continue
        loss.backward()
        optimizer.step()
"""
LOOP = Place(FILE, 3, "train", "for index, batch in enumerate(loader):")
BACKWARD = Place(FILE, 7, "train", "loss.backward()")


def found(
    through: Sequence[tuple[int, ...]],
    num_batches: int = 8,
    sizes: Sequence[int] = (),
    text: str = TEXT,
    **tables: Any,
) -> list[Finding]:
    """Judge a loop whose backward passes go through these batches, each at its last one."""
    run = Trace(
        **{
            "setup": SetupRow(has_train_loop=True, trains_by_hand=True, factory=FACTORY),
            "batches": tuple(
                BatchRow(index=i, size=sizes[i] if sizes else 16) for i in range(num_batches)
            ),
            "backwards": tuple(
                BackwardRow(index=i, step=i, batch=these[-1], through=these, place=BACKWARD)
                for i, these in enumerate(through)
            ),
            "facts": {"loop_places": [LOOP]},
            **tables,
        }
    )
    source = Trace(source=(SourceRow(file=FILE, text=text, is_factory=True),))
    return list(examine(asks(short_run=run, read_source=source), NoOptions()))


def test_skipped_batches_are_an_error_at_the_condition_that_skips_them() -> None:
    (finding,) = found([(0,), (4,)])
    assert (finding.code, finding.severity) == ("TD502", Severity.ERROR)
    assert finding.title == "80 of 128 samples served never reach a backward pass"
    assert (finding.location.file, finding.location.line) == (FILE, 5)
    assert finding.confidence is Confidence.CERTAIN


def test_losses_that_are_added_up_and_differentiated_later_are_not_missing() -> None:
    assert found([(0, 1, 2, 3), (4, 5, 6, 7)]) == []


def test_the_last_batch_and_the_smaller_ones_may_be_left() -> None:
    assert found([(i,) for i in range(7)]) == []
    assert found([(i,) for i in range(8) if i != 3], sizes=[16, 16, 16, 9, 16, 16, 16, 16]) == []


def test_batches_that_a_handler_swallowed_are_said_to_be_so() -> None:
    caught = HandledRow(handler=Place(FILE, 9), count=8)
    (finding,) = found([], handled=(caught,))
    assert "8 exceptions of theirs were caught" in finding.message
    assert finding.confidence is Confidence.LIKELY


def test_a_run_that_ended_with_an_exception_says_nothing() -> None:
    ended = ExceptionRow(phase="train_loop", type_name="ValueError", message="")
    assert found([(0,)], exceptions=(ended,)) == []


def test_a_loop_that_moves_its_weights_without_backward_is_another_kind_of_training() -> None:
    assert found([], facts={"moved": ("weight",)}) == []


def test_the_canonical_loop_leaves_nothing() -> None:
    assert found([(0,)], setup=SetupRow()) == []


def test_a_pass_that_only_evaluates_leaves_nothing() -> None:
    batches = tuple(BatchRow(index=i, epoch=i // 8, size=16) for i in range(16))
    assert found([(i,) for i in range(8)], batches=batches) == []
    assert len(found([(0,), (1,), (9,), (10,)], batches=batches)) == 1


def test_a_batch_that_the_model_sees_without_gradients_is_evaluated_on() -> None:
    trained = [(i,) for i in range(12) if i % 3]
    assert len(found(trained, 12)) == 1
    facts = {"loop_places": [LOOP], "evaluated_batches": {0, 3, 6, 9}}
    assert found(trained, 12, facts=facts) == []


def test_a_few_batches_may_be_left_for_reasons_of_their_own() -> None:
    assert found([(i,) for i in range(12) if i % 6], 12) == []


def test_the_beginning_of_a_run_may_be_a_warm_up() -> None:
    assert found([(i,) for i in range(4, 12)], 12) == []


def test_batches_that_are_fetched_ahead_or_kept_are_trained_on_later() -> None:
    last = tuple(BackwardRow(index=i, step=i, batch=7, through=(7,)) for i in range(8))
    assert found([], backwards=last) == []


@pytest.mark.parametrize(
    "lines",
    [
        "kept.append(batch)\n        if len(kept) < 4:",  # for one large step
        "if index >= (epoch + 1) * share:",  # a curriculum
        "limit = epoch + 1\n        if index > limit:",
        "self.seen.append(batch)\n        if len(self.seen) % 4:",
    ],
)
def test_what_is_kept_for_later_or_planned_by_the_epoch_is_meant(lines: str) -> None:
    text = TEXT.replace("loader, optimizer", "loader, epoch").replace("if index % 4:", lines)
    loop = {"loop_places": [LOOP]}
    step = Place(FILE, 7 + lines.count("\n"), "train", "loss.backward()")
    backwards = tuple(
        BackwardRow(index=i, step=i, batch=4 * i, through=(4 * i,), place=step) for i in range(2)
    )
    assert found([], text=text, backwards=backwards, facts=loop) == []


@pytest.mark.parametrize("test", ["batch.sum() > 0", "loss > 3", "not torch.isfinite(loss)"])
def test_a_filter_that_looks_at_the_batch_is_told_for_information(test: str) -> None:
    (finding,) = found([(0,), (4,)], text=TEXT.replace("index % 4", test))
    assert finding.severity is Severity.INFO


def test_a_limit_that_is_not_reached_yet_may_be_a_warm_up() -> None:
    assert found([], text=TEXT.replace("index % 4", "step < 100")) == []
    assert len(found([], text=TEXT.replace("index % 4", "step % 4"))) == 1


CALLED = """
def train(model, loader, optimizer):
    for index, batch in enumerate(loader):
        if index % 4:
            continue
        train_step(model, batch, optimizer)
    if not loader:
        return

def train_step(model, batch, optimizer):
    model(batch).backward()
    optimizer.step()
"""


def test_a_condition_in_the_loop_is_found_where_another_function_differentiates() -> None:
    step = Place(FILE, 11, "train_step", "model(batch).backward()")
    backwards = tuple(
        BackwardRow(index=i, step=i, batch=4 * i, through=(4 * i,), place=step) for i in range(2)
    )
    (finding,) = found([], backwards=backwards, text=CALLED)
    assert (finding.confidence, finding.location.line) == (Confidence.CERTAIN, 4)
