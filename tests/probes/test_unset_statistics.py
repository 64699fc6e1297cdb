"""Batch norm by the constructor's statistics."""

from __future__ import annotations

from typing import Any

import torch
from tests.probes.asking import asks
from tests.probes.running import gradients, line, module, run, source
from torch import nn
from torch.utils.data import DataLoader

from traindoctor.experiments import Lab, ReadSource
from traindoctor.probing import Finding, NoOptions
from traindoctor.target.setup import TrainingSetup
from traindoctor.trace import Trace
from traindoctor_probes.unset_statistics import examine

BUILT = line(6, "self.norm = nn.BatchNorm1d(8)")


def findings(
    modes: tuple[bool, ...] = (False,) * 6,
    fresh: tuple[str, ...] = ("norm",),
    text: str = "module.eval()\n",
    rms: float | None = 0.1,
) -> list[Finding]:
    rows = (module("norm", class_name="BatchNorm1d", modes=modes, place=BUILT),)
    known = Trace(facts={"fresh_statistics": fresh}, source=source(text))
    seen = run(modules=rows, rows=gradients("norm.weight", rms))
    return list(examine(asks(read_source=known, short_run=seen), NoOptions()))


def test_eval_mode_with_fresh_statistics_is_an_error_where_it_is_set() -> None:
    (finding,) = findings()
    assert (finding.code, finding.location.line) == ("TD719", 1)
    assert [place.line for place in finding.also_at] == [6]


def test_of_several_lines_that_set_it_none_is_named() -> None:
    (finding,) = findings(text="module.eval()\nmodel.eval()\n")
    assert finding.location.line == 6


def test_train_mode_and_loaded_statistics_are_healthy() -> None:
    assert findings(modes=(True,) * 6) == []
    assert findings(modes=(False, True, True)) == []
    assert findings(fresh=()) == []


def test_one_that_is_frozen_altogether_is_switched_off_on_purpose() -> None:
    assert findings(rms=None) == []


def test_a_module_that_is_not_called_for_training_is_healthy() -> None:
    assert findings(modes=()) == []


def test_fresh_are_the_statistics_that_no_batch_and_nobody_has_set() -> None:
    model = nn.ModuleDict({name: nn.BatchNorm1d(3) for name in ("fresh", "seen", "set")})
    model["none"] = nn.BatchNorm1d(3, track_running_stats=False)
    model["seen"](torch.randn(8, 3))
    model["set"].running_mean += 1  # type: ignore[operator]
    loader: Any = DataLoader([])
    lab = Lab(TrainingSetup(model=model, loader=loader))
    assert lab.perform(ReadSource()).facts["fresh_statistics"] == ("fresh",)
