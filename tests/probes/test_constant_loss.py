"""One loss for all batches is told, unless it has a slope or rests at its floor."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.probes.asking import LINE, SETUP, asks, batch, raised

from traindoctor.errors import CannotJudge
from traindoctor.probing import Finding, NoOptions
from traindoctor.trace import (
    CountRow,
    CriterionRow,
    GradientRow,
    HandledRow,
    LossRow,
    Place,
    SourceRow,
    StepRow,
    Trace,
    UpdateRow,
)
from traindoctor_probes.constant_loss import examine

ENTROPY = CriterionRow(function="cross_entropy", place=LINE, value=1.1, target_dtype="int64")


def run(*values: float, rms: float = 0.0, digests: str = "abcdef") -> Trace:
    return Trace(
        setup=SETUP,
        batches=tuple(batch(index=n, digest=digest) for n, digest in enumerate(digests)),
        losses=tuple(LossRow(step=n, batch=n, value=value) for n, value in enumerate(values)),
        steps=tuple(StepRow(index=n) for n in range(len(values))),
        gradients=(GradientRow(step=0, parameter="w", rms=rms),),
    )


def found(trace: Trace, criterion: CriterionRow = ENTROPY) -> list[Finding]:
    return list(examine(asks(Trace(criteria=(criterion,)), short_run=trace), NoOptions()))


@pytest.mark.parametrize("value", [0.0, 0.693147])
def test_one_number_for_different_batches_is_told(value: float) -> None:
    (finding,) = found(run(*[value] * 6))
    assert (finding.code, finding.location.line) == ("TD103", LINE.line)
    assert "gave 1.1" in finding.message


def test_losses_that_differ_are_healthy() -> None:
    assert found(run(1.0, 1.0, 1.0, 1.0, 1.001)) == []


def test_the_same_batch_again_and_again_says_nothing() -> None:
    assert found(run(*[1.0] * 6, digests="aaaaaa")) == []


def test_a_constant_value_with_a_slope_is_healthy() -> None:
    assert found(run(*[0.0] * 6, rms=1e-3)) == []


def moving(trace: Trace, update: float = 1e-3) -> Trace:
    """Return a run whose weights move in every step."""
    steps = range(len(trace.losses))
    row = UpdateRow(step=0, parameter="w", weight_rms=1.0, update_rms=update, share_changed=1.0)
    return replace(trace, updates=tuple(replace(row, step=n) for n in steps))


def test_ln_2_for_all_batches_while_the_weights_move_is_of_two_equal_scores() -> None:
    run_of = moving(run(*[0.6931472] * 6, rms=1e-2))
    text = "\n" * 6 + "loss = -F.logsigmoid(margin).mean()"
    source = SourceRow(file="a.py", text=text)
    seen = asks(Trace(), short_run=run_of, read_source=Trace(source=(source,)))
    (finding,) = examine(seen, NoOptions())
    assert (finding.code, finding.location.line) == ("TD103", 7)
    assert "two equal scores" in finding.message


@pytest.mark.parametrize(
    "seen",
    [
        moving(run(*[0.6931472] * 6, rms=1e-2), update=1e-7),  # a rate that warms up from zero
        moving(run(*[1.0986123] * 6, rms=1e-2)),  # ln 3 is not what two scores cost
        moving(run(*[0.6931472] * 5, 0.6931, rms=1e-2)),
    ],
)
def test_what_is_not_ln_2_all_along_or_does_not_move_is_no_comparison(seen: Trace) -> None:
    assert found(seen) == []


def test_a_loss_at_its_floor_is_healthy() -> None:
    assert found(run(*[0.0] * 6), replace(ENTROPY, function="mse_loss", value=0.0)) == []


def test_few_losses_are_not_judged() -> None:
    with pytest.raises(CannotJudge):
        found(run(1.0, 1.0))


LOOP = """def train(loader):
    total, num = 0.0, 0
    for batch in loader:
        try:
            loss = step(batch)
            total += loss.item()
            num += 1
        except Exception:
            continue
    return total / max(num, 1)
"""


def idle(**facts: Any) -> Trace:
    """Return a run in which no batch came to a backward pass."""
    given = {
        "losses": (),
        "steps": (),
        "gradients": (),
        "setup": replace(SETUP, trains_by_hand=True),
        "handled": (HandledRow(handler=Place("/user/train.py", 8), batches=tuple(range(6))),),
        "facts": {"loop_places": [Place("/user/train.py", 3, "train")]},
    }
    return replace(run(), **{**given, **facts})


def reported(trace: Trace, text: str = LOOP) -> list[Finding]:
    source = Trace(source=(SourceRow(file="/user/train.py", text=text),))
    return list(examine(asks(short_run=trace, read_source=source), NoOptions()))


def test_a_total_that_nothing_is_added_to_is_the_loss_that_is_reported() -> None:
    (finding,) = reported(idle())
    assert (finding.code, finding.location.line) == ("TD103", 6)
    assert finding.title == "`total` stays at 0.0 for each of 6 different batches"


def test_a_total_that_was_added_to_is_another_matter() -> None:
    count = CountRow(place=Place("/user/train.py", 6, "train"), count=1)
    with pytest.raises(CannotJudge):
        reported(idle(counts=(count,)))


@pytest.mark.parametrize(
    "facts",
    [
        {"handled": ()},  # it left the batches for reasons of its own
        {"facts": {"moved": ("w",), "loop_places": [Place("/user/train.py", 3)]}},  # by hand
        {"exceptions": (raised("ValueError", "no"),)},  # it ended early
    ],
)
def test_a_loop_that_trains_otherwise_or_broke_off_reports_nothing(facts: dict[str, Any]) -> None:
    with pytest.raises(CannotJudge):
        reported(idle(**facts))


def test_a_total_without_a_known_start_is_left_alone() -> None:
    with pytest.raises(CannotJudge):
        reported(idle(), LOOP.replace("total, num = 0.0, 0", "total, num = start, 0"))
