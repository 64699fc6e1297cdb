"""Pulses equal what one would write down while training by hand."""

from __future__ import annotations

import math

import pytest

from traindoctor.trace import BackwardRow, BatchRow, StepRow
from traindoctor.trace.pulses import pulses_of


def backward(index: int, step: int, loss: float | None, batch: int = 0) -> BackwardRow:
    return BackwardRow(index=index, step=step, batch=batch, loss=loss, seconds=0.5)


def step(index: int, optimizer: int = 0, **facts: object) -> StepRow:
    return StepRow(index=index, optimizer=optimizer, **facts)  # type: ignore[arg-type]


def test_each_step_of_a_plain_loop_has_its_own_loss_batch_and_time() -> None:
    steps = [
        step(n, batch=n, gradient_norm=n + 1.0, learning_rates=(0.1,), seconds=0.1, ended=2.0 * n)
        for n in range(3)
    ]
    passes = [backward(n, n, 3.0 - n, batch=n) for n in range(3)]
    batches = [BatchRow(index=n, size=4, fetch_seconds=0.2) for n in range(3)]
    pulses = pulses_of(steps, passes, batches)
    assert [row.loss for row in pulses] == [3.0, 2.0, 1.0]
    assert [row.gradient_norm for row in pulses] == [1.0, 2.0, 3.0]
    assert [(row.first_step, row.last_step, row.num_steps) for row in pulses] == [
        (n, n, 1) for n in range(3)
    ]
    assert [(row.num_batches, row.num_samples, row.fetch_seconds) for row in pulses] == [
        (1, 4, 0.2)
    ] * 3
    assert [row.seconds for row in pulses] == [0.0, 2.0, 2.0]
    assert pulses[1].backward_seconds == 0.5
    assert pulses[1].last_learning_rates == (0.1,)


def test_an_accumulated_step_stands_for_all_its_passes() -> None:
    passes = [backward(n, n // 3, float(n), batch=n) for n in range(6)]
    batches = [BatchRow(index=n, size=2) for n in range(6)]
    pulses = pulses_of([step(0, batch=2), step(1, batch=5)], passes, batches)
    assert [row.loss for row in pulses] == [1.0, 4.0]
    assert [(row.minimum_loss, row.maximum_loss, row.last_loss) for row in pulses] == [
        (0.0, 2.0, 2.0),
        (3.0, 5.0, 5.0),
    ]
    assert [(row.num_backwards, row.num_batches, row.num_samples) for row in pulses] == [
        (3, 3, 6)
    ] * 2


def test_a_generator_and_its_critic_each_have_their_own_losses() -> None:
    steps = [step(0, 0), step(1, 1), step(2, 0), step(3, 1)]
    passes = [backward(n, n, loss) for n, loss in enumerate((1.0, -5.0, 2.0, -6.0))]
    pulses = pulses_of(steps, passes)
    assert [(row.optimizer, row.first_step, row.loss) for row in pulses] == [
        (0, 0, 1.0),
        (1, 0, -5.0),
        (0, 1, 2.0),
        (1, 1, -6.0),
    ]


def test_two_optimizers_on_one_pass_share_its_loss() -> None:
    steps = [step(0, 0), step(1, 1), step(2, 0), step(3, 1)]
    passes = [backward(0, 0, 1.0), backward(1, 2, 2.0)]
    assert [row.loss for row in pulses_of(steps, passes)] == [1.0, 1.0, 2.0, 2.0]


def test_passes_inside_a_step_are_that_steps() -> None:
    passes = [backward(0, 0, 4.0), backward(1, 0, 2.0), backward(2, 1, 1.0)]
    pulses = pulses_of([step(0), step(1)], passes)
    assert [(row.num_backwards, row.loss) for row in pulses] == [(2, 3.0), (1, 1.0)]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_no_number_is_counted_and_left_out_of_the_mean(bad: float) -> None:
    passes = [backward(0, 0, 2.0), backward(1, 0, bad)]
    (pulse,) = pulses_of([step(0, gradient_norm=bad)], passes)
    assert (pulse.loss, pulse.num_losses_not_finite) == (2.0, 1)
    assert (pulse.gradient_norm, pulse.num_norms, pulse.num_norms_not_finite) == (None, 1, 1)


def test_a_batch_of_unknown_size_makes_the_number_of_samples_unknown() -> None:
    batches = [BatchRow(index=0, size=4), BatchRow(index=1)]
    (pulse,) = pulses_of([step(0, batch=1)], [backward(0, 0, 1.0)], batches)
    assert (pulse.num_batches, pulse.num_samples) == (2, None)


def test_without_steps_there_is_no_pulse() -> None:
    assert pulses_of([], [backward(0, 0, 1.0)]) == ()
