"""A loss function that is raised, or a likelihood that is lowered, is told; mixed pulls are not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from tests.probes.asking import LINE, SETUP, asks

from traindoctor.experiments import LongRun
from traindoctor.probing import Confidence, Finding, NoOptions
from traindoctor.trace import (
    BackwardRow,
    CriterionRow,
    LossRow,
    ModuleRow,
    OptimizerRow,
    Place,
    PulseRow,
    SourceRow,
    StepRow,
    Trace,
)
from traindoctor_probes.loss_direction import examine


def row(function: str, sign: int | None, value: float = 1.0) -> CriterionRow:
    return CriterionRow(
        function=function, place=LINE, value=value, num_classes=4, gradient_sign=sign
    )


def falls(losses: Sequence[float], num_optimizers: int = 1) -> Trace:
    return Trace(
        pulses=tuple(
            PulseRow(
                optimizer=n % num_optimizers,
                first_step=n,
                last_step=n,
                loss=loss if math.isfinite(loss) else None,
                num_losses_not_finite=int(not math.isfinite(loss)),
            )
            for n, loss in enumerate(losses)
        )
    )


def found(
    *rows: CriterionRow,
    maximize: bool = False,
    num_optimizers: int = 1,
    course: Sequence[float] = (),
    modules: tuple[ModuleRow, ...] = (),
    **facts: bool,
) -> list[Finding]:
    step = Trace(
        modules=modules,
        facts=facts,
        setup=SETUP,
        losses=(LossRow(step=0, batch=0, value=1.0),),
        criteria=rows,
        backwards=(BackwardRow(index=0, step=0, batch=0, place=LINE),),
        optimizers=tuple(
            OptimizerRow(index=n, class_name="SGD", maximize=maximize)
            for n in range(num_optimizers)
        ),
    )
    return list(examine(asks(step, long_run=falls(course, num_optimizers)), NoOptions()))


@pytest.mark.parametrize(
    ("rows", "maximize", "title"),
    [
        ([row("cross_entropy", -1)], False, "Training raises `cross_entropy`"),
        ([row("log_likelihood", 1)], False, "Training lowers a log-likelihood"),
        ([row("mse_loss", 1)], True, "Training raises `mse_loss`"),
        ([row("partial_likelihood", 1)], False, "Training lowers a partial log-likelihood"),
        (
            [row("opposed_minimum", 1)],
            False,
            "Training lowers a minimum that is never above zero",
        ),
    ],
)
def test_the_wrong_direction_is_told(rows: list[CriterionRow], maximize: bool, title: str) -> None:
    (finding,) = found(*rows, maximize=maximize)
    assert (finding.code, finding.title) == ("TD106", title)


@pytest.mark.parametrize(
    "rows",
    [
        [row("cross_entropy", 1)],
        [row("log_likelihood", -1)],
        [row("partial_likelihood", -1)],
        [row("opposed_maximum", 1)],
        [row("cross_entropy", -1), row("cross_entropy", 1)],  # an adversarial term
        [row("gaussian_nll_loss", -1)],
        [row("kl_div", -1), row("mse_loss", 1)],
        [row("log_likelihood", 0)],  # advantages of both signs
        [row("cross_entropy", None)],  # an evaluation
        [],
    ],
)
def test_healthy_directions_are_silent(rows: list[CriterionRow]) -> None:
    assert found(*rows) == []


def test_an_optimizer_that_maximizes_a_negated_loss_is_healthy() -> None:
    assert found(row("cross_entropy", -1), maximize=True) == []


def test_several_optimizers_are_silent() -> None:
    assert found(row("cross_entropy", -1), num_optimizers=2) == []


STEP = Trace(
    setup=SETUP,
    losses=(LossRow(step=0, batch=0, value=1.0),),
    backwards=(BackwardRow(index=0, step=0, batch=0, place=LINE),),
    optimizers=(OptimizerRow(index=0, class_name="SGD"),),
)
PLUNGE = [-3.0 * 1.5**n for n in range(80)]


@pytest.mark.parametrize(
    "course",
    [
        PLUNGE,
        [*PLUNGE, *[-3.0 * 1.5**80] * 300],  # at rest: the rate is zero
        [*PLUNGE, *[math.inf] * 20],  # as one that is no number stands in a course
        [700.0, *PLUNGE],
    ],
)
def test_a_loss_that_falls_without_bound_is_likely_where_it_is_differentiated(
    course: list[float],
) -> None:
    (finding,) = found(course=course)
    assert (finding.code, finding.confidence) == ("TD106", Confidence.LIKELY)
    assert finding.location.line == LINE.line
    assert finding.title == "Training lowers an objective that has no lower bound"


@pytest.mark.parametrize(
    "course",
    [
        [-0.1 - 5e3 * n for n in range(2000)],  # a critic that nothing holds: steadily
        [-0.01 * n**2 for n in range(20_000)],  # and with a momentum that builds up
        [-3000 * math.log(1 + n) for n in range(2000)],  # a density of many dimensions sharpens
        [3.0 - 0.01 * n for n in range(2000)],
        [-1.0, *[-1e9] * 20, *[-2.0] * 60],  # it comes back
        [*PLUNGE[:30]],  # not as far
        [math.nan, *PLUNGE[:10]],
        PLUNGE[:3],
    ],
)
def test_losses_that_may_be_negative_are_silent(course: list[float]) -> None:
    assert found(course=course) == []


def hastened(own: list[float], faster: list[float] | None) -> list[Finding]:
    """Return what is found of a run and of the same one at ten times its rate, if it can be had."""

    def ask(experiment: Any) -> Trace:
        given = {"long_run": falls(own if experiment == LongRun() else faster or [])}
        hidden = faster is None and experiment == LongRun(factor=10)
        return asks(STEP, **({} if hidden else given))(experiment)

    return list(examine(ask, NoOptions()))


def test_a_run_that_is_too_short_to_fall_far_enough_is_tried_at_a_higher_rate() -> None:
    (finding,) = hastened(PLUNGE[:30], PLUNGE)
    assert (finding.code, finding.location.line) == ("TD106", LINE.line)
    assert "at 10 times the learning rate the loss went from -3 to" in finding.message


@pytest.mark.parametrize(
    ("own", "faster"),
    [
        (PLUNGE[:10], PLUNGE),  # it never came far: no second run is asked for
        (PLUNGE[:30], [-1.0, *[math.inf] * 59]),  # a rate that no healthy run bears
        (PLUNGE[:30], [-5e3 * n for n in range(60)]),  # a critic that nothing holds
        (PLUNGE[:30], None),  # a watched run
    ],
)
def test_what_does_not_fall_without_bound_at_a_higher_rate_either_is_silent(
    own: list[float], faster: list[float] | None
) -> None:
    assert hastened(own, faster) == []


def test_two_that_train_one_another_are_silent_wherever_they_go() -> None:
    assert found(course=PLUNGE, num_optimizers=2) == []


def layer(path: str, order: int, num_trainable: int) -> ModuleRow:
    return ModuleRow(path=path, order=order, num_parameters=8, num_trainable=num_trainable)


@pytest.mark.parametrize(
    ("modules", "value", "is_told"),
    [
        ((layer("", 0, 8), layer("body", 1, 0), layer("head", 2, 8)), 0.3, True),  # fine-tuned
        ((layer("", 0, 8), layer("noise", 1, 8), layer("classifier", 2, 0)), 0.3, False),
        ((layer("", 0, 8), layer("prompt", 1, 8), layer("model", 2, 0)), 1.4, True),
    ],
)
def test_what_is_trained_to_mislead_a_frozen_model_is_left_alone(
    modules: tuple[ModuleRow, ...], value: float, is_told: bool
) -> None:
    assert bool(found(row("cross_entropy", -1, value), modules=modules)) is is_told


@pytest.mark.parametrize(
    ("is_last_at_rest", "value", "num_found"), [(True, 0.3, 0), (False, 0.3, 1), (True, 1.4, 1)]
)
def test_a_frozen_model_that_was_right_is_misled_on_purpose(
    is_last_at_rest: bool, value: float, num_found: int
) -> None:
    given = row("cross_entropy", -1, value)
    assert len(found(given, is_last_at_rest=is_last_at_rest)) == num_found


OWN = """\
class Lion(Optimizer):
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                p.mul_(1 - group["lr"])
                update = (m * b1 + p.grad * (1 - b1)).sign_()
                p.data.add_(update, alpha=group["lr"])
                m.mul_(b2).add_(p.grad, alpha=1 - b2)
"""


@pytest.mark.parametrize(
    ("source", "line"), [(OWN, 7), (OWN.replace("p.mul_(1 - group", "p.add_(group"), 2)]
)
def test_an_optimizer_that_climbs_by_itself_is_told_where_it_writes(source: str, line: int) -> None:
    (finding,) = by_itself(0.6, 0.3, 0.5, 0.4, 0.4, source=source)
    assert (finding.code, finding.location.line) == ("TD106", line)
    assert "the optimizer goes with the gradient" in finding.message
    assert finding.remedies[0].title == "Let the optimizer go against the gradient"


@pytest.mark.parametrize(
    "cosines", [(0.6,) * 4, (0.6, 0.6, -0.1, 0.5, 0.5), (0.1,) * 5, (None,) * 5]
)
def test_an_optimizer_that_does_not_always_climb_is_left_alone(cosines: tuple[float, ...]) -> None:
    assert by_itself(*cosines) == []


def by_itself(*cosines: float | None, source: str = OWN) -> list[Finding]:
    own = OptimizerRow(index=0, class_name="Lion", step_place=Place("/user/lion.py", 2))
    step = Trace(
        setup=SETUP,
        losses=(LossRow(step=0, batch=0, value=1.0),),
        criteria=(row("cross_entropy", 1),),
        optimizers=(own,),
        steps=tuple(StepRow(index=n, cosine=cosine) for n, cosine in enumerate(cosines)),
    )
    known = Trace(source=(SourceRow(file="/user/lion.py", text=source),))
    return list(examine(asks(step, long_run=falls([1.0]), read_source=known), NoOptions()))
