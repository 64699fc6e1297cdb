"""A batch is called unlearnable only if nothing learns it, two samples of it alone included."""

from __future__ import annotations

from typing import Any

import pytest
from tests.probes.asking import FACTORY, SETUP

from traindoctor.errors import CannotJudge
from traindoctor.experiments import OverfitBatch
from traindoctor.probing import Finding
from traindoctor.trace import CriterionRow, LossRow, Trace
from traindoctor_probes.one_batch import Options, examine


def ran(learned: bool | None, end: float, **facts: Any) -> Trace:
    """Return the trace of one batch trained on; keys that are no fact belong to its criterion."""
    criterion = {k: facts.pop(k) for k in list(facts) if k.startswith(("input", "num"))}
    given = {
        "learned": learned,
        "course": "reached" if learned else "stuck",
        "start": 2.0,
        "end": end,
        "peak": 2.0,
        "floor": 0.0,
        "floor_reason": "",
        "progress": 1 - end / 2,
        "steps": 60,
        "learning_rate": 1e-3,
        "optimizer": "AdamW",
    }
    return Trace(
        setup=SETUP,
        losses=(LossRow(step=0, batch=0, value=2.0), LossRow(step=1, batch=0, value=end)),
        criteria=(CriterionRow(function="cross_entropy", value=end, **criterion),),
        facts={"overfit": given | facts},
    )


STUCK, LEARNED = ran(False, 0.8), ran(True, 0.01)


def found(own: Trace, fresh: Trace = STUCK, few: Trace = STUCK) -> list[Finding]:
    def ask(experiment: Any) -> Trace:
        assert isinstance(experiment, OverfitBatch)
        return few if experiment.samples else fresh if experiment.fresh else own

    return list(examine(ask, Options()))


def test_a_batch_that_nothing_learns_is_told_with_every_curve() -> None:
    (finding,) = found(STUCK)
    assert (finding.code, finding.location.line) == ("TD601", FACTORY.line)
    assert finding.title == "One batch cannot be learned: its loss stays at 0.8, its floor is 0"
    assert finding.series[0].name == "your optimizer"


def test_bounded_logits_are_recognised() -> None:
    few = ran(False, 0.24, input_minimum=-1.0, input_maximum=1.0, num_classes=3)
    (finding,) = found(STUCK, few=few)
    assert "something bounds them" in finding.mechanism


def test_samples_that_look_alike_at_the_loss_are_a_proof_by_themselves() -> None:
    few = ran(None, 0.3, input_minimum=-4.0, input_maximum=4.0, input_spread=0.0)
    (finding,) = found(STUCK, few=few)
    assert "their inputs do not reach it" in finding.mechanism


@pytest.mark.parametrize(
    "own",
    [
        LEARNED,
        ran(None, 1.2, course="falling"),
        ran(False, 1.2, course="falling", steps=10),
    ],
)
def test_what_learns_or_still_falls_is_healthy(own: Trace) -> None:
    assert found(own) == []


@pytest.mark.parametrize(
    ("own", "fresh", "few"),
    [
        (STUCK, LEARNED, STUCK),  # the optimizer is at fault, and others say how
        (STUCK, STUCK, LEARNED),  # too little capacity, or labels that contradict each other
        (ran(False, 0.8, floor=None), STUCK, STUCK),
        (ran(None, 1.9, course="falling", steps=3), STUCK, STUCK),
        (ran(False, 2.0, course="flat", steps=30), STUCK, STUCK),
    ],
)
def test_what_has_another_explanation_is_not_judged(own: Trace, fresh: Trace, few: Trace) -> None:
    with pytest.raises(CannotJudge, match="loss went from"):
        found(own, fresh, few)
