"""What scalers scale, skip and are bypassed with."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.instruments.loops import batches, loss_of, network, trace_of

from traindoctor.instruments.recorder import Recorder
from traindoctor.trace import Trace


def scaled(step: Any, scaler: Any, infinite: tuple[int, ...] = (), combine: Any = None) -> Trace:
    """Train with a scaler; `step` does what follows on the backward pass."""

    def loop(recorder: Recorder) -> None:
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        for index in batches(recorder, 8):
            optimizer.zero_grad()
            loss = loss_of(model)
            (combine or scaler.scale)(loss).backward()
            if index in infinite:
                next(model.parameters()).grad.fill_(float("inf"))
            step(scaler, optimizer)

    return trace_of(loop)


def usual(scaler: Any, optimizer: Any) -> None:
    scaler.step(optimizer)
    scaler.update()


def test_skipped_steps_are_counted_and_the_scale_is_kept() -> None:
    trace = scaled(usual, torch.amp.GradScaler("cpu", init_scale=1024.0), (0, 1, 5))
    (row,), (handling,) = trace.scalers, trace.handling
    assert (row.num_scaled, row.num_steps, row.num_updates) == (8, 8, 8)
    assert (row.num_skipped, row.longest_skip, row.num_late) == (3, 2, 0)
    assert row.scales == (512.0, 256.0, 256.0, 256.0, 256.0, 128.0, 128.0, 128.0)
    assert (handling.num_steps, handling.num_attempts, handling.num_scaled) == (5, 8, 0)


def test_steps_are_late_once_twenty_have_followed_the_first_that_was_taken() -> None:
    scaler = torch.amp.GradScaler("cpu")

    def loop(recorder: Recorder) -> None:
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        for index in batches(recorder, 30):
            optimizer.zero_grad()
            scaler.scale(loss_of(model)).backward()
            if index in (0, 1, 25):
                next(model.parameters()).grad.fill_(float("nan"))
            usual(scaler, optimizer)

    (row,) = trace_of(loop).scalers
    assert (row.num_late, row.num_late_skipped, row.num_skipped) == (7, 1, 3)


def test_a_step_past_the_scaler_is_on_scaled_gradients() -> None:
    trace = scaled(lambda _, optimizer: optimizer.step(), torch.amp.GradScaler("cpu"))
    assert trace.handling[0].num_scaled == 8
    assert trace.handling[0].scale_place.function == "loop"
    assert trace.scalers[0].scales == (65536.0,)


@pytest.mark.parametrize(
    "combine",
    [
        lambda loss, scaler: scaler.scale(loss) / 2,
        lambda loss, scaler: scaler.scale([loss, loss])[1],
        lambda loss, scaler: torch.stack([scaler.scale(loss), scaler.scale(loss)]).mean(),
    ],
)
def test_a_scaled_loss_is_known_behind_what_is_done_with_it(combine: Any) -> None:
    scaler = torch.amp.GradScaler("cpu")
    trace = scaled(
        lambda _, optimizer: optimizer.step(), scaler, combine=lambda loss: combine(loss, scaler)
    )
    assert trace.handling[0].num_scaled == 8


def test_a_step_after_unscaling_by_whatever_means_is_not_past_the_scaler() -> None:
    def explicit(scaler: Any, optimizer: Any) -> None:
        scaler.unscale_(optimizer)
        optimizer.step()
        scaler.update()

    def by_hand(scaler: Any, optimizer: Any) -> None:
        for p in optimizer.param_groups[0]["params"]:
            p.grad.div_(scaler.get_scale())
        optimizer.step()

    for step in (explicit, by_hand):
        assert scaled(step, torch.amp.GradScaler("cpu")).handling[0].num_scaled == 0


def test_a_step_on_what_the_scaler_found_infinite_is_counted_apart() -> None:
    def careless(scaler: Any, optimizer: Any) -> None:
        scaler.unscale_(optimizer)
        optimizer.step()
        scaler.update()

    def careful(scaler: Any, optimizer: Any) -> None:
        scaler.unscale_(optimizer)
        held = optimizer.param_groups[0]["params"]
        if torch.isfinite(torch.nn.utils.clip_grad_norm_(held, 1.0)):
            optimizer.step()
        scaler.update()

    # The weights that an infinite step ruins make every later gradient NaN.
    (row,) = scaled(careless, torch.amp.GradScaler("cpu"), (6,)).handling
    assert (row.num_unguarded, row.num_infinite) == (8, 2)
    (row,) = scaled(careful, torch.amp.GradScaler("cpu"), (0, 3)).handling
    assert (row.num_unguarded, row.num_infinite) == (6, 0)


def test_gradients_of_a_loss_that_was_not_scaled_are_divided_all_the_same() -> None:
    scaler = torch.amp.GradScaler("cpu")

    def forget(loss: torch.Tensor) -> torch.Tensor:
        scaler.scale(loss)
        return loss

    trace = scaled(usual, scaler, combine=forget)
    assert (trace.handling[0].num_shrunk, trace.handling[0].num_scaled) == (8, 0)


def test_a_disabled_scaler_does_nothing_and_has_no_row() -> None:
    trace = scaled(usual, torch.amp.GradScaler("cpu", enabled=False))
    assert trace.scalers == ()
    assert (trace.handling[0].num_scaled, trace.handling[0].num_shrunk) == (0, 0)
