"""From which backward passes a step's gradients are, and whether any came in time."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import torch
from tests.instruments.loops import batches, loss_of, network, trace_of
from torch import nn

from traindoctor.instruments.handling import handling_seen
from traindoctor.instruments.recorder import Recorder
from traindoctor.trace import HandlingRow


def handling(loop: Any) -> HandlingRow:
    (row,) = trace_of(loop).handling
    return row


def test_a_usual_loop_has_a_pass_a_step() -> None:
    def loop(recorder: Recorder) -> None:
        model = network()
        optimizer = torch.optim.AdamW(model.parameters())
        for _ in batches(recorder):
            optimizer.zero_grad()
            loss_of(model).backward()
            optimizer.step()

    row = handling(loop)
    assert (row.class_name, row.num_steps, row.num_attempts) == ("AdamW", 6, 6)
    assert (row.windows, row.num_late, row.num_closures) == (((1, 6),), 0, 0)
    assert row.place.text == "optimizer.step()"


@pytest.mark.parametrize("divide", [False, True])
def test_a_step_between_a_loss_and_its_pass_is_late_however_the_loss_is_scaled(
    divide: bool,
) -> None:
    def loop(recorder: Recorder) -> None:
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in batches(recorder):
            optimizer.zero_grad()
            loss = loss_of(model)
            optimizer.step()
            (loss / 4 + 0.0 if divide else loss).backward()

    row = handling(loop)
    assert row.num_late == 6
    assert "backward()" in row.backward_place.text


def test_a_step_before_the_forward_pass_is_the_same_loop_from_another_end() -> None:
    def loop(recorder: Recorder) -> None:
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in batches(recorder):
            optimizer.step()
            optimizer.zero_grad()
            loss_of(model).backward()

    assert handling(loop).num_late == 0


def test_losses_made_at_once_and_stepped_on_in_turn_are_not_late() -> None:
    def loop(recorder: Recorder) -> None:
        models = network(), network()
        optimizers = [torch.optim.SGD(model.parameters(), lr=0.1) for model in models]
        for _ in batches(recorder):
            for loss, optimizer in zip([*map(loss_of, models)], optimizers, strict=True):
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    rows = trace_of(loop).handling
    assert [(row.num_late, row.windows) for row in rows] == [(0, ((1, 6),))] * 2


def test_windows_of_accumulation_are_counted_by_their_length() -> None:
    def loop(recorder: Recorder) -> None:
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for index in batches(recorder, 22):
            loss_of(model).backward()
            if (index % 11 + 1) % 4 == 0:
                optimizer.step()
                optimizer.zero_grad()

    assert handling(loop).windows == ((4, 3), (7, 1))


def test_a_closure_differentiates_inside_its_step() -> None:
    def loop(recorder: Recorder) -> None:
        model = network()
        optimizer = torch.optim.LBFGS(model.parameters(), max_iter=2)
        for _ in batches(recorder):
            optimizer.step(lambda: evaluate(model, optimizer))

    def evaluate(model: Any, optimizer: Any) -> torch.Tensor:
        optimizer.zero_grad()
        loss = loss_of(model)
        loss.backward()
        return loss

    row = handling(loop)
    assert (row.num_closures, row.num_late) == (6, 0)


def test_a_step_that_calls_its_parents_is_one_step() -> None:
    class Mine(torch.optim.Adam):
        def step(self, closure: Any = None) -> Any:
            return super().step(closure)

    def loop(recorder: Recorder) -> None:
        model = network()
        torch.optim.Adam(model.parameters())  # only now torch hooks the parent's step as well
        optimizer = Mine(model.parameters())
        for _ in batches(recorder):
            optimizer.zero_grad()
            loss_of(model).backward()
            optimizer.step()

    assert handling(loop).num_steps == 6


def test_a_step_that_raised_does_not_hide_the_next_ones() -> None:
    def loop(recorder: Recorder) -> None:
        model = network()
        optimizer = torch.optim.LBFGS(model.parameters(), max_iter=1)
        with pytest.raises(RuntimeError, match="no memory"):
            optimizer.step(refuse)
        loss_of(model).backward()
        optimizer.step(lambda: loss_of(model))

    def refuse() -> float:
        raise RuntimeError("no memory")

    assert handling(loop).num_steps == 1


def test_optimizers_are_not_kept_alive_and_their_sums_are_for_a_while() -> None:
    recorder = Recorder()
    died: list[int] = []
    with handling_seen(recorder):
        for number in range(40):
            model = network()
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            weakref.finalize(optimizer, died.append, number)
            loss_of(model).backward()
            optimizer.step()
        gc.collect()
        assert len(died) == 39
    rows = recorder.trace().handling
    assert 16 < len(rows) <= 33
    assert [row.optimizer for row in rows[:3]] == [0, 1, 2]


CALM = 40  # of `CALM_AFTER`, which is more


def plain(recorder: Recorder, number: int, model: Any, optimizer: Any) -> None:
    """A usual loop."""
    for _ in batches(recorder, number):
        optimizer.zero_grad()
        loss_of(model).backward()
        optimizer.step()


def late(recorder: Recorder, number: int, model: Any, optimizer: Any) -> None:
    """A loop that steps before the backward pass."""
    for _ in batches(recorder, number):
        optimizer.zero_grad()
        loss = loss_of(model)
        optimizer.step()
        loss.backward()


def clipped(recorder: Recorder, number: int, model: Any, optimizer: Any) -> None:
    """A loop that clips what was used, after the step."""
    for _ in batches(recorder, number):
        optimizer.zero_grad()
        loss_of(model).backward()
        optimizer.step()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)


@pytest.fixture
def is_soon_calm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("traindoctor.instruments.order.CALM_AFTER", CALM)


@pytest.mark.usefixtures("is_soon_calm")
def test_a_plain_loop_is_soon_followed_in_one_step_of_eight() -> None:
    def loop(recorder: Recorder) -> None:
        model = network()
        plain(recorder, CALM + 80, model, torch.optim.SGD(model.parameters(), lr=0.1))

    row = handling(loop)
    assert (row.num_steps, row.windows) == (CALM + 10, ((1, CALM + 10),))
    assert (row.num_late, row.num_closures) == (0, 0)


@pytest.mark.usefixtures("is_soon_calm")
def test_what_goes_wrong_in_a_calm_loop_is_noticed_and_then_followed() -> None:
    def loop(recorder: Recorder) -> None:
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        plain(recorder, CALM + 3, model, optimizer)
        late(recorder, 80, model, optimizer)

    assert 80 - 8 <= handling(loop).num_late <= 80


@pytest.mark.usefixtures("is_soon_calm")
def test_another_optimizer_wakes_a_calm_loop() -> None:
    def loop(recorder: Recorder) -> None:
        models = network(), network()
        first = torch.optim.SGD(models[0].parameters(), lr=0.1)
        plain(recorder, CALM + 3, models[0], first)
        plain(recorder, 20, models[1], torch.optim.SGD(models[1].parameters(), lr=0.1))
        plain(recorder, 20, models[0], first)

    rows = trace_of(loop).handling
    assert [row.num_steps for row in rows] == [CALM + 20, 20]


@pytest.mark.usefixtures("is_soon_calm")
def test_whoever_handles_gradients_has_every_step_followed() -> None:
    def loop(recorder: Recorder) -> None:
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        plain(recorder, CALM + 3, model, optimizer)
        clipped(recorder, 20, model, optimizer)

    trace = trace_of(loop)
    (clip,) = trace.clips
    assert (clip.count, clip.num_used) == (20, 19)  # the first is in a step that was not followed
    assert trace.handling[0].num_late == 0
