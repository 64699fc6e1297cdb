"""When schedulers step, and which rates they set."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from tests.instruments.loops import batches, loss_of, network, trace_of
from torch.optim import lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from traindoctor.instruments.handling import handling_seen
from traindoctor.instruments.recorder import Recorder
from traindoctor.trace import SchedulerRow


class Halving(LRScheduler):
    """A scheduler of the user's own, which steps in its constructor once more."""

    def __init__(self, optimizer: Any) -> None:
        super().__init__(optimizer)
        self.step()

    def get_lr(self) -> list[Any]:
        return [group["lr"] / 2 for group in self.optimizer.param_groups]

    def step(self, epoch: int | None = None) -> None:
        super().step(epoch)


def stepped(make: Any, order: str = "optimizer scheduler", number: int = 6) -> Any:
    """Return a loop that calls both in this order."""

    def loop(recorder: Recorder) -> None:
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        scheduler = make(optimizer)
        for _ in batches(recorder, number):
            loss_of(model).backward()
            for name in order.split():
                {"optimizer": optimizer, "scheduler": scheduler}[name].step()

    return loop


def rows(loop: Any) -> tuple[SchedulerRow, ...]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return trace_of(loop).schedulers


def test_the_rates_are_those_that_the_scheduler_sets() -> None:
    (row,) = rows(stepped(lambda o: lr_scheduler.StepLR(o, step_size=2, gamma=0.5)))
    assert (row.class_name, row.num_steps, row.optimizer) == ("StepLR", 6, 0)
    assert row.settings == {"step_size": 2, "gamma": 0.5}
    assert row.rates == (0.1, 0.05, 0.05, 0.025, 0.025, 0.0125)
    assert (row.base_rate, row.last_rate, row.highest_rate) == (0.1, 0.0125, 0.1)
    assert (row.gaps, row.num_before, row.num_ahead) == (((1, 5),), 0, 0)
    assert row.place.function == "<lambda>"
    assert row.step_place.function == "loop"


def test_a_scheduler_ahead_of_the_optimizer_is_seen_to_be() -> None:
    (row,) = rows(stepped(lambda o: lr_scheduler.StepLR(o, 2), "scheduler optimizer"))
    assert (row.num_before, row.num_ahead, row.num_at_place) == (1, 6, 6)


def test_steps_inside_constructors_are_nobodys() -> None:
    (row,) = rows(stepped(Halving))
    assert (row.class_name, row.num_steps) == ("Halving", 6)
    assert row.rates[0] == 0.1 / 8  # two halves from its constructor, and one step


def test_schedulers_in_others_belong_to_them() -> None:
    def make(optimizer: Any) -> Any:
        warm = lr_scheduler.LinearLR(optimizer, 0.1, total_iters=3)
        return lr_scheduler.SequentialLR(
            optimizer, [warm, lr_scheduler.ExponentialLR(optimizer, 0.9)], milestones=[3]
        )

    first, second, outer = rows(stepped(make))
    assert [row.parent for row in (first, second, outer)] == [2, 2, None]
    assert [row.num_steps for row in (first, second, outer)] == [0, 0, 6]
    assert outer.settings["_milestones"] == (3,)


def test_a_metric_is_no_epoch() -> None:
    def loop(recorder: Recorder) -> None:
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        plateau = lr_scheduler.ReduceLROnPlateau(optimizer, patience=1)
        told = lr_scheduler.StepLR(optimizer, 2)
        for index in batches(recorder):
            loss_of(model).backward()
            optimizer.step()
            plateau.step(1.0)
            told.step(index)

    first, second = rows(loop)
    assert (first.num_steps, first.num_told) == (6, 0)
    assert (second.num_steps, second.num_told) == (6, 6)


def test_the_settings_of_a_partial_and_of_one_cycle_are_found() -> None:
    from transformers import get_linear_schedule_with_warmup

    (row,) = rows(stepped(lambda o: get_linear_schedule_with_warmup(o, 10, 100)))
    assert row.settings == {"num_warmup_steps": 10, "num_training_steps": 100}
    (row,) = rows(stepped(lambda o: lr_scheduler.OneCycleLR(o, 0.5, total_steps=20)))
    assert (row.settings["max_lr"], row.settings["total_steps"]) == (0.5, 20)


def test_a_scheduler_that_was_there_before_is_met_at_its_first_step_or_when_it_is_handed_over() -> (
    None
):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    known, unknown = (lr_scheduler.StepLR(optimizer, n) for n in (2, 3))
    known.last_epoch = 7
    recorder = Recorder()
    with handling_seen(recorder, [optimizer], [known]):
        loss_of(model).backward()
        optimizer.step()
        known.step()
        unknown.step()
    first, second = recorder.trace().schedulers
    assert (first.position, first.is_built_in_run, first.num_steps) == (7, False, 1)
    assert (second.settings["step_size"], second.is_built_in_run) == (3, False)


def test_torchs_warning_names_the_users_line_and_nothing_stays_replaced() -> None:
    before = LRScheduler.step, LRScheduler.__init__, lr_scheduler.SequentialLR.step
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trace_of(stepped(lambda o: lr_scheduler.StepLR(o, 2), "scheduler optimizer"))
    assert {warning.filename for warning in caught} == {__file__}
    assert (LRScheduler.step, LRScheduler.__init__, lr_scheduler.SequentialLR.step) == before


def test_a_state_dict_holds_no_trace_of_being_watched() -> None:
    kept: list[Any] = []

    def loop(recorder: Recorder) -> None:
        optimizer = torch.optim.SGD(network().parameters(), lr=0.1)
        kept.append(lr_scheduler.StepLR(optimizer, 2).state_dict())

    trace_of(loop)
    loop(Recorder())
    assert kept[0] == kept[1]
