"""Pulses say the same of a run as its steps do, however few they have become."""

from __future__ import annotations

import math
import random

from traindoctor.watching.meter import MOST_ROWS, Meter


def metered(losses: list[float]) -> Meter:
    meter = Meter()
    for number, loss in enumerate(losses):
        meter.batch(8, 0.25)
        meter.backward(loss, 0.5)
        meter.step(0, float(number), rates=(0.1,), norm=2 * loss, seconds=0.125)
    return meter


def test_the_pulses_of_a_long_run_are_few_and_their_sums_are_the_run_s() -> None:
    losses = [random.Random(number).random() for number in range(20_000)]
    losses[12_345] = 99.0
    rows = metered(losses).all_rows()
    assert len(rows) <= MOST_ROWS + 1
    assert [row.first_step for row in rows[1:]] == [row.last_step + 1 for row in rows[:-1]]
    assert sum(row.num_steps for row in rows) == 20_000
    assert math.isclose(sum(row.loss * row.num_steps for row in rows), sum(losses), rel_tol=1e-9)
    assert max(row.maximum_loss for row in rows) == 99.0
    assert max(row.maximum_gradient_norm for row in rows) == 198.0
    assert min(row.minimum_loss for row in rows) == min(losses)
    assert sum(row.num_samples or 0 for row in rows) == 160_000
    assert sum(row.fetch_seconds for row in rows) == 5_000
    assert rows[0].loss == losses[0]
    assert rows[-1].last_loss == losses[-1]


def test_where_passes_begin_is_kept_and_so_is_which_of_them_read_a_new_loader() -> None:
    meter, num_steps = Meter(), 3 * MOST_ROWS
    for number in range(num_steps):
        begins = number % 100 == 0
        meter.batch(8, 0.25, begins=begins, is_new=number < num_steps / 2)
        meter.step(0, float(number))
    rows = meter.all_rows()
    assert len(rows) < num_steps / 2
    assert [sum(row.num_begun for row in rows), sum(row.num_new for row in rows)] == [62, 31]
    assert all(row.num_begun == 1 for row in rows if row.first_step % 100 == 0)


def test_losses_that_are_no_numbers_are_counted_and_left_out_of_the_mean() -> None:
    (row,) = metered([math.nan]).all_rows()
    assert (row.num_losses_not_finite, row.loss, row.num_norms_not_finite) == (1, None, 1)


def test_a_run_without_any_step_keeps_no_rows() -> None:
    meter = Meter()
    for _ in range(1000):
        meter.backward(1.0, 0.1)
    assert meter.all_rows() == ()
