"""A loss that is not finite is told with its operation, unless the weights were ruined before."""

from __future__ import annotations

import math

import pytest
from tests.probes.asking import LINE, SETUP, asks

from traindoctor.errors import CannotJudge
from traindoctor.probing import Finding, NoOptions
from traindoctor.trace import LossRow, OperationRow, Trace, UpdateRow
from traindoctor_probes.loss_finite import examine

LOG = OperationRow(operation="log", place=LINE, input_minimum=-2.0, input_maximum=3.0)


def losses(*values: float) -> tuple[LossRow, ...]:
    return tuple(LossRow(step=n, batch=n, value=value) for n, value in enumerate(values))


def found(run: Trace, *operations: OperationRow) -> list[Finding]:
    located = Trace(setup=SETUP, operations=operations)
    return list(examine(asks(short_run=run, locate_non_finite=located), NoOptions()))


def test_the_operation_and_its_input_are_named() -> None:
    (finding,) = found(Trace(setup=SETUP, losses=losses(1.0, math.nan, math.nan)), LOG)
    assert (finding.code, finding.location.line) == ("TD102", LINE.line)
    assert finding.title == "The loss is NaN at step 1"
    assert "between -2 and 3" in finding.message
    assert "TD418" in finding.explains


def test_a_loop_without_an_optimizer_counts_batches() -> None:
    rows = tuple(LossRow(step=0, batch=n, value=value) for n, value in enumerate((1.0, math.inf)))
    (finding,) = found(Trace(setup=SETUP, losses=rows))
    assert finding.title == "The loss is infinite at batch 1"


def test_a_mean_of_nothing_is_called_that() -> None:
    empty = OperationRow(operation="mean", place=LINE, input_shapes=((0,),))
    (finding,) = found(Trace(setup=SETUP, losses=losses(math.nan)), empty)
    assert "its input is empty" in finding.message


def test_weights_that_were_ruined_first_are_the_cause() -> None:
    ruined = UpdateRow(
        step=0, parameter="w", weight_rms=1, update_rms=1, share_changed=1, num_not_finite=3
    )
    run = Trace(setup=SETUP, losses=losses(1.0, math.nan), updates=(ruined,))
    (finding,) = found(run)
    assert "TD418" not in finding.explains
    assert "after step 0" in finding.message


def test_finite_losses_are_silent_and_none_at_all_are_not_judged() -> None:
    assert found(Trace(setup=SETUP, losses=losses(1.0, 1e30))) == []
    with pytest.raises(CannotJudge):
        found(Trace(setup=SETUP))


def test_an_origin_that_was_not_found_is_not_denied() -> None:
    run = Trace(setup=SETUP, losses=losses(1.0, math.nan))
    (finding,) = found(run)
    assert "was not found" in finding.message
    replayed = Trace(setup=SETUP, facts={"output_is_finite": True})
    (finding,) = examine(asks(short_run=run, locate_non_finite=replayed), NoOptions())
    assert "outside that call" in finding.message
