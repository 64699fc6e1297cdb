"""A gradient has exploded if the loss is worse for it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.probes.asking import asks
from tests.probes.running import FILE, gradients, module, parameter, run

from traindoctor.errors import CannotJudge
from traindoctor.probing import Finding
from traindoctor.trace import BackwardRow, LossRow, OptimizerRow, Place, PulseRow, StepRow, Trace
from traindoctor_probes.gradient_spikes import Options, examine

STEP = Place(FILE, 20, "train", "optimizer.step()")


def long(
    norms: dict[int, float] | None = None,
    losses: dict[int, float] | None = None,
    after: float = 1.0,
    number: int = 60,
    **facts: Any,
) -> Trace:
    """Return a run at norm 1 and loss 1, with exceptions by step; `after` is the loss after 40."""
    pulses = []
    for n in range(number):
        norm = (norms or {}).get(n, 1.0)
        loss = (losses or {}).get(n, 1.0 if n <= 40 else after)
        pulses.append(
            PulseRow(
                first_step=n,
                last_step=n,
                loss=loss,
                gradient_norm=norm,
                maximum_gradient_norm=norm,
                num_norms=1,
            )
        )
    tables = {
        "pulses": tuple(pulses),
        "backwards": (BackwardRow(index=0, step=0, batch=0),),
        "steps": (StepRow(index=0, place=STEP),),
        "optimizers": (OptimizerRow(index=0, class_name="SGD"),),
    }
    return Trace(**tables | facts)


def deep(rms: list[float], losses: list[float]) -> Trace:
    """Return a short run of like layers whose gradients have this RMS, in forward order."""
    names = [f"layers.{n}.weight" for n in range(len(rms))]
    return run(
        parameters=[parameter(name, place=Place(FILE, 8)) for name in names],
        modules=[module(f"layers.{n}", order=n) for n in range(len(rms))],
        rows=[
            row for name, value in zip(names, rms, strict=True) for row in gradients(name, value)
        ],
        updates=tuple(update(name) for name in names),
        losses=tuple(LossRow(step=n, batch=n, value=value) for n, value in enumerate(losses)),
    )


def update(name: str) -> Any:
    from traindoctor.trace import UpdateRow

    return UpdateRow(step=5, parameter=name, weight_rms=1.0, update_rms=0.01, share_changed=1.0)


def found(trace: Trace, short: Trace | None = None) -> list[Finding]:
    return list(examine(asks(long_run=trace, short_run=short or Trace()), Options()))


def test_a_spike_after_which_the_loss_is_worse_is_an_error_at_the_step() -> None:
    (finding,) = found(long({40: 5e3}, {40: 80.0}, after=4.0))
    assert (finding.code, finding.location.line) == ("TD205", 20)
    assert finding.title == "The gradient's norm was 5e+03 times its median at step 41"
    assert "The loss was 1 before that step, and 4 after it" in finding.message


@pytest.mark.parametrize(
    "trace",
    [
        long({40: 5e3}, {40: 80.0}),  # Adam absorbs it: the loss is as before
        long({40: 1.0}, {40: 80.0}),  # clipped
        long({40: 500.0}, {40: 80.0}, after=4.0),  # long, not that long
        long({40: 5e3}, {40: 80.0}, after=1.5),
        long({n: 2.0 ** (n - 30) for n in range(30, 60)}, after=50.0),  # step by step: TD105
        long({40: 5e3}, {n: 1.2 ** (n - 20) for n in range(20, 41)}, after=500.0),  # risen before
        long({5: 5e3}, after=1.0),  # the first noisy steps
        long({58: 5e3}, after=4.0),  # what follows was not seen
        long({40: 5e3}, dict.fromkeys(range(60), -1.0)),  # a likelihood
    ],
)
def test_what_is_absorbed_or_comes_by_degrees_is_silent(trace: Trace) -> None:
    assert found(trace) == []


def test_a_norm_that_was_not_measured_says_nothing() -> None:
    pulses = tuple(PulseRow(first_step=n, last_step=n, loss=1.0) for n in range(60))
    assert found(long(pulses=pulses)) == []


def test_growth_through_depth_with_a_loss_that_does_not_fall_is_an_error_at_the_layer() -> None:
    rms = [1e5, 1e4, 1e3, 1e2, 1e1, 1.0]
    (finding,) = found(long(), deep(rms, [2.0, 9.0, 30.0, 8.0, 50.0, 40.0]))
    assert finding.title == "The gradient's norm grows 100,000 times through 6 layers"
    assert finding.location.line == 8
    assert "Each layer passes back 10 times the gradient" in finding.mechanism


@pytest.mark.parametrize(
    ("rms", "losses"),
    [
        ([1e5, 1e4, 1e3, 1e2, 1e1, 1.0], [2.0, 1.9, 1.8, 1.5, 1.2, 1.0]),  # it learns
        ([30.0, 10.0, 5.0, 3.0, 2.0, 1.0], [2.0] * 6),  # a little
        ([1e5, 1.0, 1e3], [2.0] * 6),  # too few layers
        ([1.0, 1e1, 1e2, 1e3, 1e4, 1e5], [2.0] * 6),  # it vanishes: TD204
    ],
)
def test_growth_that_does_no_harm_is_silent(rms: list[float], losses: list[float]) -> None:
    assert found(long(), deep(rms, losses)) == []


def test_without_a_backward_pass_nothing_is_judged() -> None:
    with pytest.raises(CannotJudge):
        found(Trace())
