"""Trainable parameters that the user's own code takes off the graph."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.probes.running import gradients, line, module, parameter, run

from traindoctor.experiments import LossWithNoise, OneStep, ShortRun
from traindoctor.probing import Confidence, Finding, NoOptions
from traindoctor.trace import CutRow, LossRow, ParameterRow, Trace
from traindoctor_probes.graph_cuts import examine

DETACH = CutRow(
    operation="detach",
    place=line(12, "return self.head(x.detach())"),
    reaches_loss=True,
    parameters=("body.weight",),
)
RUN = run(
    parameters=[parameter("body.weight"), parameter("head.weight")],
    modules=[module(""), module("body"), module("head")],
    rows=gradients("body.weight", None) + gradients("head.weight", 0.1),
)


def loss(value: float) -> Trace:
    return Trace(losses=(LossRow(step=0, batch=0, value=value),))


def findings(
    *cuts: CutRow, trace: Trace = RUN, again: float = 1.0, noisy: float = 1.5, **one: Any
) -> list[Finding]:
    def ask(experiment: Any) -> Trace:
        if isinstance(experiment, ShortRun):
            return trace
        if isinstance(experiment, OneStep):
            return replace(loss(1.0), cuts=cuts or (DETACH,), **one)
        assert isinstance(experiment, LossWithNoise)
        return loss(noisy if experiment.parameters else again)

    return list(examine(ask, NoOptions()))


def test_a_detach_before_the_head_is_certain_if_noise_behind_it_moves_the_loss() -> None:
    (finding,) = findings()
    assert (finding.code, finding.location.line) == ("TD206", 12)
    assert finding.confidence is Confidence.CERTAIN
    assert "body.weight" in finding.message


def test_a_statistic_is_neither_named_nor_told_beside_what_cuts() -> None:
    scale = replace(DETACH, only_scales=True, place=line(9, "scale = x.detach().amax()"))
    (finding,) = findings(scale, DETACH)
    assert finding.location.line == 12
    assert not finding.also_at
    (alone,) = findings(scale)
    assert alone.location.line == 9


def test_a_loss_that_is_read_is_no_other_cut() -> None:
    read = replace(DETACH, operation="item", reaches_loss=False, place=line(30, "loss.item()"))
    (finding,) = findings(DETACH, read)
    assert not finding.also_at


def test_what_could_be_taken_away_is_named_before_an_index() -> None:
    nearest = replace(DETACH, operation="argmin", place=line(9, "index = distance.argmin(1)"))
    (finding,) = findings(nearest, DETACH)
    assert finding.location.line == 12
    assert [place.line for place in finding.also_at] == [9]


def test_values_that_the_loss_does_not_need_are_not_cut_off() -> None:
    assert findings(noisy=1.0) == []


def test_where_the_seed_does_not_decide_the_loss_it_is_likely() -> None:
    (finding,) = findings(again=1.1)
    assert finding.confidence is Confidence.LIKELY


def test_a_number_read_for_the_log_is_left_alone() -> None:
    logged = replace(DETACH, operation="argmax", reaches_loss=False)
    assert findings(logged) == []


@pytest.mark.parametrize(
    "trace",
    [
        replace(RUN, gradients=tuple(gradients("body.weight", 0.1))),  # a target's stop-gradient
        replace(RUN, facts={"moved": ("body.weight",)}),  # a running average
        replace(RUN, parameters=(parameter("body.weight", num_optimizers=0),)),  # frozen by choice
        replace(RUN, parameters=(parameter("body.weight", requires_grad=False),)),
    ],
)
def test_cuts_that_are_meant_so_are_left_alone(trace: Trace) -> None:
    assert findings(trace=trace) == []


def test_a_trunk_in_eval_mode_under_no_grad_is_meant_so() -> None:
    modules = (module(""), module("body", is_training=False), module("head"))
    without = replace(DETACH, operation="no_grad")
    assert findings(without, trace=replace(RUN, modules=modules)) == []
    assert len(findings(without)) == 1


def twin(root: str) -> list[ParameterRow]:
    return [parameter(f"{root}.{part}.weight") for part in ("first", "second")]


def test_a_twin_of_a_trained_module_is_a_target_network() -> None:
    names = ("target.first.weight", "target.second.weight")
    trace = run(
        parameters=twin("online") + twin("target"),
        modules=[module(""), module("online"), module("target")],
        rows=[
            *(row for name in names for row in gradients(name, None)),
            *(row for item in twin("online") for row in gradients(item.name, 0.1)),
        ],
    )
    assert findings(replace(DETACH, parameters=names), trace=trace) == []


def test_what_the_graph_holds_had_its_gradient_cleared() -> None:
    assert findings(facts={"in_graph": ("body.weight",)}) == []
